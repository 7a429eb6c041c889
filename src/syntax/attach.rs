//! Attach points. They are not made of tokens: paths, wildcards, C++ names and offsets stand in them as they are.
//!
//! A predicate's `/` and a path's `/` are told apart by where they stand: a path is the second part of a uprobe
//! or USDT probe, the third of an iterator, or any part that begins with `/`.

use super::ast::{AttachPart, AttachPoint};
use crate::diagnostics::{Diagnostic, FileId, Span};

/// What ends an attach point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// White space, `,`, `{`, or what can only be a predicate or a comment.
    Script,
    /// The end of the text: a pattern of `-l`.
    End,
}

/// Reads an attach point at `start`; returns it and where it ended.
pub fn scan(
    text: &str,
    start: usize,
    file: FileId,
    until: Until,
    diagnostics: &mut Vec<Diagnostic>,
) -> (AttachPoint, usize) {
    let mut scanner = Scanner {
        text,
        file,
        at: start,
        parts: vec![],
        part: String::new(),
        quoted: false,
        part_start: start,
    };
    while let Some(c) = scanner.peek(0) {
        if c == '"' {
            scanner.quotes(diagnostics);
        } else if until == Until::Script && scanner.ends(c) {
            break;
        } else if c == '\\'
            && until == Until::Script
            && scanner.peek(1).is_some_and(|c| !c.is_whitespace() || c == ' ')
        {
            scanner.at += 1;
            scanner.push();
        } else if c == ':' {
            scanner.end_part();
            scanner.at += 1;
            scanner.part_start = scanner.at;
        } else {
            scanner.push();
        }
    }
    let end = scanner.at;
    scanner.end_part();
    let text = text.get(start..end).unwrap_or("").to_owned();
    (AttachPoint { text, parts: scanner.parts, span: Span::new(file, start, end) }, end)
}

struct Scanner<'s> {
    text: &'s str,
    file: FileId,
    at: usize,
    parts: Vec<AttachPart>,
    part: String,
    quoted: bool,
    part_start: usize,
}

impl Scanner<'_> {
    /// The character `n` places ahead.
    fn peek(&self, n: usize) -> Option<char> {
        self.text.get(self.at..)?.chars().nth(n)
    }

    /// Takes the next character as it is.
    fn push(&mut self) {
        if let Some(c) = self.peek(0) {
            self.part.push(c);
            self.at += c.len_utf8();
        }
    }

    fn end_part(&mut self) {
        let span = Span::new(self.file, self.part_start, self.at);
        let text = std::mem::take(&mut self.part);
        self.parts.push(AttachPart { text, quoted: std::mem::take(&mut self.quoted), span });
    }

    fn ends(&self, c: char) -> bool {
        match c {
            '{' | '}' | ',' | ';' => true,
            // Code outside of a probe, rather than a function's name.
            '(' | ')' | '=' => self.parts.is_empty(),
            '/' => !self.in_path(),
            _ => c.is_whitespace(),
        }
    }

    fn in_path(&self) -> bool {
        let Some(provider) = self.parts.first() else { return false };
        let index = self.parts.len();
        if self.part.starts_with('/') || (self.part.is_empty() && !matches!(self.peek(1), Some('/' | '*'))) {
            return true;
        }
        match provider.text.to_ascii_lowercase().as_str() {
            "uprobe" | "uretprobe" | "u" | "ur" | "usdt" => index == 1,
            "iter" | "it" => index == 2,
            wildcard => wildcard.contains('*') && index == 1,
        }
    }

    fn quotes(&mut self, diagnostics: &mut Vec<Diagnostic>) {
        let open = self.at;
        self.quoted = true;
        self.at += 1;
        loop {
            match self.peek(0) {
                Some('"') => {
                    self.at += 1;
                    return;
                }
                Some('\\') if self.peek(1).is_some_and(|c| c != '\n') => {
                    self.at += 1;
                    self.push();
                }
                None | Some('\n') => {
                    let span = Span::new(self.file, open, self.at);
                    diagnostics.push(
                        Diagnostic::error(
                            "unclosed-string",
                            span,
                            "this quote in the attach point is not closed",
                        )
                        .help("close it with `\"`"),
                    );
                    return;
                }
                Some(_) => self.push(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Vec<String>, String) {
        let mut diagnostics = vec![];
        let (point, end) = scan(text, 0, FileId(0), Until::Script, &mut diagnostics);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        for part in &point.parts {
            let written = &text[part.span.start as usize..part.span.end as usize];
            assert!(part.quoted || written.replace('\\', "") == part.text, "{part:?}");
        }
        (point.parts.into_iter().map(|p| p.text).collect(), text[end..].to_owned())
    }

    #[test]
    fn a_slash_is_a_path_or_a_predicate() {
        for (text, expected, rest) in [
            ("BEGIN{", &["BEGIN"][..], "{"),
            ("BEGIN/1/{", &["BEGIN"], "/1/{"),
            ("kprobe:f/pid/{}", &["kprobe", "f"], "/pid/{}"),
            ("kprobe:f// c", &["kprobe", "f"], "// c"),
            ("uprobe:/bin/bash:readline /pid/", &["uprobe", "/bin/bash", "readline"], " /pid/"),
            ("uprobe:/bin/bash:readline/pid/", &["uprobe", "/bin/bash", "readline"], "/pid/"),
            ("uprobe:./a.out:f+0x10{", &["uprobe", "./a.out", "f+0x10"], "{"),
            ("uprobe:/usr/lib/*/*.so*:mal*,", &["uprobe", "/usr/lib/*/*.so*", "mal*"], ","),
            ("uprobe:/bin//bash:f{", &["uprobe", "/bin//bash", "f"], "{"),
            ("uprobe:bin/x@src/f.c:12{", &["uprobe", "bin/x@src/f.c", "12"], "{"),
            ("uprove:/bin/bash:f{", &["uprove", "/bin/bash", "f"], "{"),
            ("uprobe:libc:\"a, b:c\"/1/", &["uprobe", "libc", "a, b:c"], "/1/"),
            ("uprobe:\"/a b\":f ", &["uprobe", "/a b", "f"], " "),
            ("uprobe:/a\\ b:f ", &["uprobe", "/a b", "f"], " "),
            ("usdt:/x-1.2:prov:name\n", &["usdt", "/x-1.2", "prov", "name"], "\n"),
            ("iter:task:/sys/fs/bpf/t{", &["iter", "task", "/sys/fs/bpf/t"], "{"),
            ("tracepoint:syscalls:sys_enter_*/1/", &["tracepoint", "syscalls", "sys_enter_*"], "/1/"),
            ("kprobe:$1/$2/", &["kprobe", "$1"], "/$2/"),
            ("interval:s:1{", &["interval", "s", "1"], "{"),
            ("bench:{", &["bench", ""], "{"),
            ("*:/bin/bash:*{", &["*", "/bin/bash", "*"], "{"),
        ] {
            assert_eq!(
                parts(text),
                (expected.iter().map(|s| s.to_string()).collect(), rest.into()),
                "{text}"
            );
        }
    }
}
