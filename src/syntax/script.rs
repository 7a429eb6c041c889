//! The top level of a script: finds the definitions, the config block, and each probe's attach points, predicate
//! and body, and hands what is between braces and slashes to the grammar.

use std::collections::HashSet;

use super::ast::{AttachPoint, Block, Definition, DefinitionKind, Expr, ExprKind, Probe, Script};
use super::attach::{self, Until};
use super::build::{Deep, Parsed};
use super::recover;
use super::shape::{self, wants_value};
use super::token::{Lexeme, Lexemes, Token};
use crate::diagnostics::{Diagnostic, FileId, Span};

/// How deep brackets may nest; the tree has a limit of its own.
const MAX_BRACKETS: usize = 200;

/// Messages of one script, after which there are more useful things to do than to read on.
const MAX_MESSAGES: usize = 50;

pub fn parse(text: &str, file: FileId) -> (Script, Vec<Diagnostic>) {
    let mut reader = Reader {
        text,
        file,
        at: 0,
        script: Script::default(),
        values: HashSet::new(),
        diagnostics: vec![],
        configured: None,
    };
    reader.script();
    let mut diagnostics = reader.diagnostics;
    diagnostics.sort_by_key(|d| d.span.map(|s| s.start));
    if diagnostics.len() > MAX_MESSAGES {
        let more = diagnostics.len() - MAX_MESSAGES;
        diagnostics.truncate(MAX_MESSAGES);
        diagnostics.push(Diagnostic::error("too-many-errors", None, format!("and {more} more errors")));
    }
    (reader.script, diagnostics)
}

/// See [`super::parse_expression`].
pub fn parse_expression(
    text: &str,
    base: usize,
    file: FileId,
    values: &HashSet<&str>,
) -> Result<Deep<Expr>, Vec<Diagnostic>> {
    let mut diagnostics = vec![];
    let mut lexemes: Vec<Lexeme<'_>> = Lexemes::new(text, 0, file, &mut diagnostics).collect();
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    for lexeme in &mut lexemes {
        (lexeme.start, lexeme.end) = (lexeme.start + base, lexeme.end + base);
    }
    let mut reader = Reader {
        text,
        file,
        at: base,
        script: Script::default(),
        values: values.clone(),
        diagnostics,
        configured: None,
    };
    match reader.grammar(Token::StartExpr, lexemes, false) {
        Some(Parsed::Expr(expr)) if reader.diagnostics.is_empty() => Ok(expr),
        _ => Err(reader.diagnostics),
    }
}

struct Reader<'s> {
    text: &'s str,
    file: FileId,
    at: usize,
    script: Script,
    /// Names that `#define` gives a value.
    values: HashSet<&'s str>,
    diagnostics: Vec<Diagnostic>,
    /// The first config block.
    configured: Option<Span>,
}

impl<'s> Reader<'s> {
    fn rest(&self) -> &'s str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start, end)
    }

    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.diagnostics.push(Diagnostic::error(code, span, message));
        let last = self.diagnostics.len() - 1;
        &mut self.diagnostics[last]
    }

    /// Skips white space and comments.
    fn layout(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if let Some(comment) = trimmed.strip_prefix("/*") {
                match comment.find("*/") {
                    Some(end) => self.at += end + 4,
                    None => {
                        let span = self.span(self.at, self.at + 2);
                        self.error("unclosed-comment", span, "this comment is not closed")
                            .help
                            .push("end it with `*/`".into());
                        self.at = self.text.len();
                    }
                }
            } else {
                return;
            }
        }
    }

    /// The word that comes next, or "".
    fn word(&self) -> &'s str {
        word(self.rest())
    }

    fn script(&mut self) {
        if self.text.starts_with("#!") {
            self.at = self.text.find('\n').unwrap_or(self.text.len());
        }
        loop {
            self.layout();
            let rest = self.rest();
            let Some(first) = rest.chars().next() else { return };
            let before = self.at;
            match (first, self.word()) {
                ('#', _) => self.directive(),
                (_, "struct" | "union" | "enum" | "typedef") => self.type_definition(),
                (_, "config") if self.follows("config", '=') => self.config(),
                (_, word @ ("macro" | "fn")) if self.names(word) => self.unsupported_block(word),
                (_, "import") if self.follows("import", '"') => self.unsupported_line("imports"),
                (_, "let") => self.unsupported_line("a map's declaration"),
                (';' | '}' | ')' | ',', _) => {
                    self.at += first.len_utf8();
                    let span = self.span(before, self.at);
                    let error = self.error("syntax", span, format!("unexpected `{first}`"));
                    error.help.push(match first {
                        '}' => "it closes nothing: a `{` is missing before, or this is one too many".into(),
                        ';' => "no `;` is needed after a probe's `}`".into(),
                        _ => "here, a probe should start: `kprobe:vfs_read { … }`".into(),
                    });
                }
                _ => self.probe(),
            }
            if self.at == before {
                // Not reached: each of the above takes something. But a parser must never stand still.
                self.at += first.len_utf8();
            }
        }
    }

    /// After `word` and layout comes `next`.
    fn follows(&self, word: &str, next: char) -> bool {
        let mut ahead =
            Reader { script: Script::default(), values: HashSet::new(), diagnostics: vec![], ..*self };
        ahead.at += word.len();
        ahead.layout();
        ahead.rest().starts_with(next)
    }

    /// After `word` and white space comes a name.
    fn names(&self, word: &str) -> bool {
        let after = &self.rest()[word.len()..];
        after.starts_with(char::is_whitespace) && !self::word(after.trim_start()).is_empty()
    }

    // ---- C ----

    fn directive(&mut self) {
        let start = self.at;
        let mut end = start;
        loop {
            let line = &self.text[end..];
            let length = line.find('\n').unwrap_or(line.len());
            end += length;
            let continued = line[..length].trim_end_matches('\r').ends_with('\\') && end < self.text.len();
            if !continued {
                break;
            }
            end += 1;
        }
        self.at = end;
        let text = self.text[start..end].trim_end();
        let body = text[1..].trim_start();
        let kind =
            if body.starts_with("include") { DefinitionKind::Include } else { DefinitionKind::Directive };
        if let Some(define) = body.strip_prefix("define") {
            self.values.insert(word(define.trim_start()));
        }
        self.define(kind, start, start + text.len());
    }

    fn type_definition(&mut self) {
        let start = self.at;
        let mut scan: Vec<Diagnostic> = vec![];
        let mut depth = 0usize;
        let mut end = self.text.len();
        let mut closed = false;
        let typedef = self.word() == "typedef";
        let mut lexemes = Lexemes::new(self.text, start, self.file, &mut scan).peekable();
        while let Some(lexeme) = lexemes.next() {
            match lexeme.token {
                Token::LBrace => depth += 1,
                Token::RBrace => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 && !typedef {
                        let follows = lexemes.peek().map(|l| l.token);
                        if !matches!(follows, Some(Token::Semi | Token::Ident("__attribute__"))) {
                            (end, closed) = (lexeme.end, true);
                            break;
                        }
                    }
                }
                Token::RParen if depth == 0 && !typedef => {
                    // `__attribute__((…))` after the brace needs no semicolon either.
                    let done = self.text[start..lexeme.end].contains('}')
                        && !matches!(
                            lexemes.peek().map(|l| l.token),
                            Some(Token::RParen | Token::Semi | Token::Ident("__attribute__"))
                        );
                    if done {
                        (end, closed) = (lexeme.end, true);
                        break;
                    }
                }
                Token::Semi if depth == 0 => {
                    (end, closed) = (lexeme.end, true);
                    break;
                }
                _ => {}
            }
        }
        self.at = end;
        if !closed {
            let span = self.span(start, start + self.word_at(start).len());
            self.error("unclosed-brace", span, "this definition has no end")
                .help
                .push("it ends with `}` and `;`".into());
            return;
        }
        self.define(DefinitionKind::Type, start, end);
    }

    fn word_at(&self, at: usize) -> &'s str {
        word(&self.text[at..])
    }

    fn define(&mut self, kind: DefinitionKind, start: usize, end: usize) {
        let span = self.span(start, end);
        if !self.script.probes.is_empty() {
            self.error("misplaced", span, "C definitions come before the probes")
                .help
                .push("move it to the top of the script".into());
        }
        self.script.definitions.push(Definition { kind, text: self.text[start..end].to_owned(), span });
    }

    // ---- what is not there yet ----

    fn unsupported_block(&mut self, word: &str) {
        let span = self.span(self.at, self.at + word.len());
        let what = if word == "fn" { "functions" } else { "macros" };
        self.error("unsupported", span, format!("{what} are not supported yet"));
        if let Some(open) = self.rest().find('{') {
            self.at += open;
            self.braces();
        } else {
            self.at = self.text.len();
        }
    }

    fn unsupported_line(&mut self, what: &str) {
        let start = self.at;
        let rest = self.rest();
        self.at += rest.find([';', '\n']).map_or(rest.len(), |end| end + 1);
        let span = self.span(start, self.at);
        let is = if what.ends_with('s') { "are" } else { "is" };
        self.error("unsupported", span, format!("{what} {is} not supported yet"));
    }

    // ---- tokens ----

    /// The tokens from the `{` here to its `}`. Where that is missing, it is reported and put in.
    fn braces(&mut self) -> (Vec<Lexeme<'s>>, bool) {
        let open = self.at;
        let (tokens, closed, torn) = self.braces_until(false);
        if closed {
            return (tokens, torn);
        }
        // The block may have lost its `}` long before the end of the script: where a line starts like a probe.
        self.at = open;
        let (mut tokens, _, _) = self.braces_until(true);
        if !torn {
            let span = self.span(open, open + 1);
            let mut stack = vec![];
            for lexeme in &tokens {
                match lexeme.token {
                    Token::LBrace => stack.push(lexeme.start),
                    Token::RBrace => {
                        stack.pop();
                    }
                    _ => {}
                }
            }
            let innermost = stack.last().copied().filter(|at| *at != open).map(|at| self.span(at, at + 1));
            let error = self.error("unclosed-brace", span, "this `{` is not closed");
            error.help.push("add a `}`".into());
            if let Some(innermost) = innermost {
                error.labels.push((innermost, "so is this one".into()));
            }
        }
        let mut depth = tokens.iter().fold(0usize, |depth, lexeme| match lexeme.token {
            Token::LBrace => depth + 1,
            Token::RBrace => depth.saturating_sub(1),
            _ => depth,
        });
        let end = tokens.last().map_or(open, |t| t.end);
        while depth > 0 {
            tokens.push(Lexeme { token: Token::RBrace, start: end, end });
            depth -= 1;
        }
        (tokens, torn)
    }

    fn braces_until(&mut self, probe_ends: bool) -> (Vec<Lexeme<'s>>, bool, bool) {
        let mut found = vec![];
        let mut tokens = vec![];
        let mut depth = 0usize;
        let mut closed = false;
        let mut lexemes = Lexemes::new(self.text, self.at, self.file, &mut found);
        for lexeme in lexemes.by_ref() {
            if probe_ends && !tokens.is_empty() && starts_probe(self.text, lexeme.start) {
                break;
            }
            tokens.push(lexeme);
            match lexeme.token {
                Token::LBrace => depth += 1,
                Token::RBrace => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                closed = true;
                break;
            }
        }
        let torn = lexemes.torn;
        self.at = match tokens.last() {
            Some(last) if closed || probe_ends => last.end,
            _ => self.text.len(),
        };
        if probe_ends && !tokens.iter().any(|t| t.end == self.text.len()) {
            // Let the next probe begin where it was seen.
            self.layout();
        }
        // The first try's messages are repeated by the second.
        if closed || probe_ends {
            self.diagnostics.append(&mut found);
        }
        (tokens, closed, torn)
    }

    /// Parses tokens; the brackets' depth is bounded first, since the tree will be walked by recursion.
    fn grammar(&mut self, start: Token<'s>, mut tokens: Vec<Lexeme<'s>>, torn: bool) -> Option<Parsed> {
        let mut depth = 0usize;
        for lexeme in &tokens {
            match lexeme.token {
                Token::LBrace | Token::LParen | Token::LBracket => depth += 1,
                Token::RBrace | Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > MAX_BRACKETS {
                let span = self.span(lexeme.start, lexeme.end);
                let message = format!("this nests deeper than {MAX_BRACKETS} brackets");
                self.error("nested-too-deep", span, message)
                    .help
                    .push("keep parts of it in variables".into());
                return None;
            }
        }
        let (first, last) =
            (tokens.first().map_or(self.at, |t| t.start), tokens.last().map_or(self.at, |t| t.end));
        tokens.insert(0, Lexeme { token: start, start: first, end: first });
        tokens.push(Lexeme { token: Token::End, start: last, end: last });
        shape::shape(&mut tokens, &self.values);
        let mut found = vec![];
        let parsed = recover::parse(tokens, self.file, &mut found);
        // What follows from a string that swallowed the code after it is no news.
        if !torn {
            self.diagnostics.append(&mut found);
        }
        parsed
    }

    // ---- config ----

    fn config(&mut self) {
        let start = self.at;
        let name = self.span(start, start + "config".len());
        self.at = name.end as usize;
        self.layout();
        self.at += 1;
        self.layout();
        if !self.rest().starts_with('{') {
            let span = self.span(self.at, self.at);
            self.error("syntax", span, "expected `{` after `config =`")
                .help
                .push("write `config = { name = value; … }`".into());
            return;
        }
        let (tokens, torn) = self.braces();
        let parsed = self.grammar(Token::StartConfig, tokens, torn);
        if let Some(first) = self.configured {
            let error = self.error("misplaced", name, "there is a second config block");
            error.labels.push((first, "the first is here".into()));
            error.help.push("put all of the settings into one".into());
        } else if !self.script.probes.is_empty() {
            self.error("misplaced", name, "the config block comes before the probes")
                .help
                .push("move it to the top of the script".into());
        }
        self.configured.get_or_insert(name);
        if let Some(Parsed::Config(entries)) = parsed {
            self.script.config.extend(entries);
        }
    }

    // ---- probes ----

    fn probe(&mut self) {
        let name = self.probe_name();
        let start = self.at;
        let mut attach_points: Vec<AttachPoint> = vec![];
        loop {
            let (point, end) =
                attach::scan(self.text, self.at, self.file, Until::Script, &mut self.diagnostics);
            self.at = end;
            if point.text.is_empty() {
                self.no_attach_point(attach_points.is_empty());
                break;
            }
            attach_points.push(point);
            self.layout();
            if !self.rest().starts_with(',') {
                break;
            }
            self.at += 1;
            self.layout();
            if self.rest().starts_with(['/', '{']) {
                break;
            }
        }
        let span = self.span(start, attach_points.last().map_or(start, |p| p.span.end as usize));
        let predicate = if self.rest().starts_with('/') { self.predicate() } else { None };
        self.layout();
        if !self.rest().starts_with('{') && !self.no_body(&attach_points) {
            return;
        }
        let open = self.at;
        let (tokens, torn) = self.braces();
        let body = match self.grammar(Token::StartBody, tokens, torn) {
            Some(Parsed::Body(body)) => body,
            _ => Block { statements: vec![], value: None, span: self.span(open, self.at) },
        };
        if !attach_points.is_empty() {
            self.script.probes.push(Probe { name, attach_points, predicate, body, span });
        }
    }

    /// `name=` before the first attach point.
    fn probe_name(&mut self) -> Option<String> {
        let name = self.word();
        let after = self.rest()[name.len()..].trim_start();
        if name.is_empty() || !after.starts_with('=') || after.starts_with("==") {
            return None;
        }
        self.at = self.text.len() - after.len() + 1;
        self.layout();
        Some(name.to_owned())
    }

    fn no_attach_point(&mut self, first: bool) {
        let span = self.span(self.at, self.at + self.rest().chars().next().map_or(0, char::len_utf8));
        let message = match (first, self.rest().chars().next()) {
            (_, None) => "expected a probe, found the end of the script".to_owned(),
            (true, Some('{')) => "this block belongs to no probe".to_owned(),
            (true, Some(c)) => format!("expected a probe, found `{c}`"),
            (false, Some(c)) => format!("expected another probe after `,`, found `{c}`"),
        };
        self.error("no-probe", span, message)
            .help
            .push("a probe comes first, such as `kprobe:vfs_read { … }` or `BEGIN { … }`".into());
    }

    /// Reports what stands in place of the `{`, and goes on at the next one. False if there is none.
    fn no_body(&mut self, points: &[AttachPoint]) -> bool {
        let rest = self.rest();
        let here = self.at;
        let next = rest.split(|c: char| c.is_whitespace() || c == '{').next().unwrap_or("");
        let mut skipped = vec![];
        let open = Lexemes::new(self.text, here, self.file, &mut skipped)
            .find(|l| l.token == Token::LBrace)
            .map(|l| l.start);
        let Some(point) = points.last() else {
            self.at = open.unwrap_or(self.text.len());
            return open.is_some();
        };
        let end = point.span.end as usize;
        let after = self.span(end, end);
        if rest.is_empty() {
            self.error("no-body", after, format!("expected `{{` after `{}`", point.text))
                .help
                .push("a probe needs an action: `{ print(comm); }`".into());
            return false;
        }
        let span = self.span(here, here + next.len().max(rest.chars().next().map_or(0, char::len_utf8)));
        let error = self.error("no-body", span, format!("expected `{{`, `,` or a predicate, found `{next}`"));
        if point.text.ends_with(':') || next.starts_with(':') {
            error
                .help
                .push("an attach point is written without spaces; put names with spaces in quotes".into());
        } else if next.contains(':') {
            error.help.push("separate probes by `,`, or give each its own `{ … }`".into());
        } else if points.len() == 1 && !point.text.contains(':') && next.starts_with('(') {
            error.help.push("code stands in a probe: `BEGIN { … }`".into());
        } else {
            error
                .help
                .push("the action of a probe stands in `{ … }`, its predicate before that in `/ … /`".into());
        }
        self.at = open.unwrap_or(self.text.len());
        open.is_some()
    }

    /// `/ … /` before a `{`.
    fn predicate(&mut self) -> Option<Expr> {
        let open = self.at;
        let slash = self.span(open, open + 1);
        let mut found = vec![];
        let mut tokens: Vec<Lexeme<'s>> = vec![];
        let mut depth = 0usize;
        let mut closed = false;
        let mut lexemes = Lexemes::new(self.text, open + 1, self.file, &mut found).peekable();
        self.at = self.text.len();
        while let Some(lexeme) = lexemes.next() {
            match lexeme.token {
                Token::Slash
                    if depth == 0
                        && matches!(lexemes.peek().map(|l| l.token), Some(Token::LBrace) | None) =>
                {
                    closed = true;
                    self.at = lexeme.end;
                    break;
                }
                // The body, unless a value is wanted: then it is a block that is a value.
                Token::LBrace if tokens.last().is_some_and(|t| !wants_value(t.token)) => {
                    self.at = lexeme.start;
                    break;
                }
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
                _ => {}
            }
            tokens.push(lexeme);
        }
        let torn = found.iter().any(|d| d.code.starts_with("unclosed"));
        self.diagnostics.append(&mut found);
        if !closed && !torn {
            self.error("unclosed-predicate", slash, "this predicate is not closed")
                .help
                .push("end the condition with `/` before the `{`".into());
        }
        // The brackets may be unbalanced around the end, which the grammar is to report; braces must not be.
        let braces = tokens.iter().try_fold(0usize, |depth, lexeme| match lexeme.token {
            Token::LBrace => Some(depth + 1),
            Token::RBrace => depth.checked_sub(1),
            _ => Some(depth),
        });
        if braces != Some(0) {
            return Some(Expr { kind: ExprKind::Error, span: self.span(open, self.at) });
        }
        let end = self.at;
        let parsed = self.grammar(Token::StartExpr, tokens, torn || !closed);
        Some(match parsed {
            Some(Parsed::Expr(expr)) => expr.node,
            _ => Expr { kind: ExprKind::Error, span: self.span(open, end) },
        })
    }
}

/// The name that a text starts with, or "".
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let word = &text[..end];
    if word.starts_with(|c: char| c.is_ascii_digit()) { "" } else { word }
}

/// Whether a line starts here that looks like a probe's first.
fn starts_probe(text: &str, at: usize) -> bool {
    if at > 0 && !text[..at].ends_with('\n') {
        return false;
    }
    let rest = &text[at..];
    let after = rest[word(rest).len()..].trim_start_matches([' ', '\t']);
    match word(rest) {
        "BEGIN" | "END" | "begin" | "end" => true,
        "kprobe" | "kretprobe" | "fentry" | "fexit" | "kfunc" | "kretfunc" | "uprobe" | "uretprobe"
        | "usdt" | "tracepoint" | "rawtracepoint" | "profile" | "interval" | "software" | "hardware"
        | "watchpoint" | "asyncwatchpoint" | "iter" | "self" | "k" | "kr" | "f" | "fr" | "u" | "ur" | "U"
        | "t" | "rt" | "p" | "i" | "s" | "h" | "w" | "it" => after.starts_with(':'),
        _ => false,
    }
}
