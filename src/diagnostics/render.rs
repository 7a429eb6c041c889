//! Diagnostics to text.
//!
//! ```text
//! stdin:1:9-12: ERROR: unknown builtin `pidd`
//! BEGIN { pidd }
//!         ~~~~
//! HINT: did you mean `pid`?
//! ```

use std::io::IsTerminal as _;

use super::{Diagnostic, Position, Severity, Sources, Span};

/// The columns of source text that are shown around a span.
const WIDTH: usize = 120;

/// The lines of source text that are shown for a span of many.
const LINES: usize = 6;

const TAB: &str = "    ";

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";
const RESET: &str = "\x1b[0m";

/// Whether to colour what goes to the terminal, from `BPFTRACE_COLOR` (`auto`, `always`, `never`) and `NO_COLOR`
/// (<https://no-color.org>). `Err` has a value of `BPFTRACE_COLOR` that is none of these; it is as good as `auto`.
pub fn use_color(env: impl Fn(&str) -> Option<String>) -> Result<bool, String> {
    let auto = || {
        let no_color = env("NO_COLOR").is_some_and(|v| !v.is_empty());
        !no_color && std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
    };
    match env("BPFTRACE_COLOR").as_deref() {
        Some("always") => Ok(true),
        Some("never") => Ok(false),
        Some("auto") | None => Ok(auto()),
        Some(other) => Err(other.to_owned()),
    }
}

/// All messages, errors first, as lines of text.
pub fn text<'d>(
    diagnostics: impl IntoIterator<Item = &'d Diagnostic>,
    sources: &Sources,
    color: bool,
) -> String {
    let mut sorted: Vec<&Diagnostic> = diagnostics.into_iter().collect();
    sorted.sort_by_key(|d| std::cmp::Reverse(d.severity));
    sorted.into_iter().map(|d| one(d, sources, color)).collect()
}

/// One message as lines of text.
pub fn one(diagnostic: &Diagnostic, sources: &Sources, color: bool) -> String {
    let (word, tint) = match diagnostic.severity {
        Severity::Error => ("ERROR", RED),
        Severity::Warning => ("WARNING", YELLOW),
    };
    let mut out = Text { sources, color, out: String::new() };
    out.place(diagnostic.span, word, &diagnostic.message, tint);
    for call in diagnostic.span.iter().flat_map(|span| sources.calls(*span)) {
        out.place(Some(call.call), "NOTE", &expanded(&call.name), CYAN);
    }
    for (span, label) in &diagnostic.labels {
        out.place(Some(*span), "NOTE", label, CYAN);
    }
    for note in &diagnostic.notes {
        out.place(None, "NOTE", note, CYAN);
    }
    for help in &diagnostic.help {
        out.place(None, "HINT", help, CYAN);
    }
    out.out
}

/// What is said about the call of a macro that something is wrong in.
fn expanded(name: &str) -> String {
    format!("in this call of the macro `{name}`")
}

/// Only the message itself with its place, without the source text: for what a script itself says about a place. In a
/// macro its calls follow, with their text.
pub fn headline(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let severity = if diagnostic.severity == Severity::Error { "ERROR" } else { "WARNING" };
    let mut out = Text { sources, color: false, out: String::new() };
    for call in diagnostic.span.iter().flat_map(|span| sources.calls(*span)) {
        out.place(Some(call.call), severity, "expanded from", CYAN);
    }
    let calls = out.out.trim_end();
    let between = if calls.is_empty() { "" } else { "\n" };
    format!("{}{severity}: {}{between}{calls}", prefix(diagnostic.span, sources), diagnostic.message)
}

/// `stdin:1:9-12: `, `stdin:1-3: ` for several lines, nothing where there is no place.
fn prefix(span: Option<Span>, sources: &Sources) -> String {
    let Some((span, source)) = span.and_then(|s| Some((s, sources.get(s.file)?))) else {
        return String::new();
    };
    let p = sources.position(span);
    if p.line == p.last_line {
        format!("{}:{}:{}-{}: ", source.name, p.line, p.start, p.end)
    } else {
        format!("{}:{}-{}: ", source.name, p.line, p.last_line)
    }
}

struct Text<'a> {
    sources: &'a Sources,
    color: bool,
    out: String,
}

impl Text<'_> {
    fn line(&mut self, text: &str, tint: &str) {
        if self.color {
            self.out.push_str(tint);
        }
        self.out.push_str(text);
        if self.color {
            self.out.push_str(RESET);
        }
        self.out.push('\n');
    }

    /// `place: WORD: message`, and the source text of the place.
    fn place(&mut self, span: Option<Span>, word: &str, message: &str, tint: &str) {
        let position = span.and_then(|s| self.sources.get(s.file).map(|_| self.sources.position(s)));
        let prefix = prefix(span, self.sources);
        self.line(&format!("{prefix}{word}: {message}"), tint);
        if let (Some(span), Some(position)) = (span, position) {
            self.source(span, position, tint);
        }
    }

    fn source(&mut self, span: Span, position: Position, tint: &str) {
        let Some(source) = self.sources.get(span.file) else { return };
        let count = position.last_line - position.line + 1;
        let lines =
            source.text.split('\n').map(|l| l.trim_end_matches('\r')).skip(position.line - 1).take(count);
        if count > 1 {
            for (n, line) in lines.enumerate() {
                if n + 1 < LINES || n + 1 == count || count == LINES {
                    let shown = Shown::new(line, 1, 1);
                    self.out.push_str(&shown.text);
                    self.out.push('\n');
                } else if n + 1 == LINES {
                    self.out.push_str("...\n");
                }
            }
            return;
        }
        for line in lines {
            let shown = Shown::new(line, position.start, position.end);
            self.out.push_str(&shown.text);
            self.out.push('\n');
            self.line(&shown.marks, tint);
        }
    }
}

/// A line as it is shown, cut around what matters in it, with the marks below.
struct Shown {
    text: String,
    marks: String,
}

impl Shown {
    /// `start` and `end` are columns; `end` is the one after the last.
    fn new(line: &str, start: usize, end: usize) -> Shown {
        let columns: Vec<char> = line.chars().collect();
        let (start, end) = (start.saturating_sub(1), end.saturating_sub(1));
        let (mut from, mut to) = (0, columns.len());
        if columns.len() > WIDTH {
            // A third of what is shown is before the span, unless the line is soon at an end.
            from = start.saturating_sub(WIDTH / 3).min(columns.len() - WIDTH);
            to = from + WIDTH;
        }
        let mut shown = Shown { text: String::new(), marks: String::new() };
        if from > 0 {
            shown.text.push_str("...");
            shown.marks.push_str("   ");
        }
        // An empty span at the end of a line is marked after it.
        let last = if to == columns.len() { to.max(start + 1) } else { to };
        for column in from..last {
            let mark = if (start..end.max(start + 1)).contains(&column) { "~" } else { " " };
            match columns.get(column) {
                Some('\t') => {
                    shown.text.push_str(TAB);
                    shown.marks.push_str(&mark.repeat(TAB.len()));
                }
                // What could move the terminal's cursor is not shown as it is.
                Some(c) => {
                    shown.text.push(if c.is_control() { '\u{fffd}' } else { *c });
                    shown.marks.push_str(mark);
                }
                None => shown.marks.push_str(mark),
            }
        }
        if to < columns.len() {
            shown.text.push_str("...");
        }
        shown.marks.truncate(shown.marks.trim_end().len());
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::FileId;

    fn error(start: usize, end: usize) -> Diagnostic {
        Diagnostic::error("test", Span::new(FileId(0), start, end), "it is wrong")
    }

    fn rendered(text: &str, diagnostic: &Diagnostic) -> String {
        one(diagnostic, &Sources::single("stdin", text), false)
    }

    #[test]
    fn the_first_line_has_the_place_and_the_span_is_underlined() {
        let diagnostic = error(8, 11).help("do it right").note("it was never right");
        assert_eq!(
            rendered("begin { @=*uptr(1) }", &diagnostic),
            "stdin:1:9-12: ERROR: it is wrong\n\
             begin { @=*uptr(1) }\n\
             \x20       ~~~\n\
             NOTE: it was never right\n\
             HINT: do it right\n"
        );
    }

    #[test]
    fn tabs_and_wide_letters_keep_the_underline_in_place() {
        assert_eq!(
            rendered("a\n\té\tbad\r\n", &error(6, 9)),
            "stdin:2:4-7: ERROR: it is wrong\n    é    bad\n         ~~~\n"
        );
    }

    #[test]
    fn what_has_no_place_has_none_and_what_is_empty_has_one_mark() {
        let mut diagnostic = error(3, 3);
        assert_eq!(rendered("abc\n", &diagnostic), "stdin:1:4-5: ERROR: it is wrong\nabc\n   ~\n");
        diagnostic.span = None;
        diagnostic.severity = Severity::Warning;
        assert_eq!(rendered("abc\n", &diagnostic), "WARNING: it is wrong\n");
        // A span outside of the text is no reason to fail.
        assert_eq!(rendered("abc", &error(90, 99)), "stdin:1:4-5: ERROR: it is wrong\nabc\n   ~\n");
    }

    #[test]
    fn spans_of_lines_show_them() {
        assert_eq!(rendered("a {\nb\n}\n", &error(2, 8)), "stdin:1-3: ERROR: it is wrong\na {\nb\n}\n");
        let text = "x\n".repeat(30);
        let shown = rendered(&text, &error(0, 59));
        assert_eq!(shown.lines().count(), LINES + 2, "{shown}");
        assert!(shown.ends_with("x\n...\nx\n"));
    }

    #[test]
    fn long_lines_are_cut_around_the_span() {
        let text = format!("{}BAD{}", "a".repeat(500), "b".repeat(500));
        let shown = rendered(&text, &error(500, 503));
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1].len(), WIDTH + 6);
        assert!(lines[1].starts_with("...a") && lines[1].ends_with("b..."));
        let mark = lines[2].find("~~~").unwrap();
        assert_eq!(&lines[1][mark..mark + 3], "BAD");
        // The span may itself be longer than what is shown.
        assert_eq!(rendered(&text, &error(0, 1000)).lines().nth(2).unwrap(), "~".repeat(WIDTH));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert!(!rendered("a\x1b[2Jb", &error(0, 1)).contains('\x1b'));
    }

    #[test]
    fn colour_is_for_who_wants_it() {
        let sources = Sources::single("f", "abc");
        assert_eq!(
            one(&error(0, 1), &sources, true),
            "\x1b[31mf:1:1-2: ERROR: it is wrong\x1b[0m\nabc\n\x1b[31m~\x1b[0m\n"
        );
        let env =
            |value: &'static str| move |name: &str| (name == "BPFTRACE_COLOR").then(|| value.to_owned());
        assert_eq!(use_color(env("always")), Ok(true));
        assert_eq!(use_color(env("never")), Ok(false));
        assert_eq!(use_color(env("sometimes")), Err("sometimes".into()));
    }

    #[test]
    fn a_macros_place_is_shown_with_the_calls_that_lead_to_it() {
        let mut sources = Sources::single("f", "macro m() { bad }\nmacro n() { m() }\nBEGIN { n(); }");
        let outer = sources.add_expansion("n", FileId(0), Span::new(FileId(0), 44, 47));
        let inner = sources.add_expansion("m", FileId(0), Span::new(outer, 30, 33));
        let diagnostic = Diagnostic::error("test", Span::new(inner, 12, 15), "it is wrong");
        assert_eq!(
            one(&diagnostic, &sources, false),
            "f:1:13-16: ERROR: it is wrong\nmacro m() { bad }\n            ~~~\n\
             f:2:13-16: NOTE: in this call of the macro `m`\nmacro n() { m() }\n            ~~~\n\
             f:3:9-12: NOTE: in this call of the macro `n`\nBEGIN { n(); }\n        ~~~\n"
        );
        assert_eq!(sources.outermost(Span::new(inner, 12, 15)).start, 44);
    }
}
