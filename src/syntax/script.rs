//! The top level of a script: finds the definitions, the config block, the declarations and the probes, and hands
//! what is between braces and slashes to the grammar.

pub mod blocks;
mod declarations;
mod probes;

use std::collections::HashSet;

use blocks::Braces;

use super::ast::{Definition, DefinitionKind, Expr, Script};
use super::build::{Deep, Parsed};
use super::token::{Lexeme, Lexemes, Token};
use crate::diagnostics::{Diagnostic, FileId, Span};

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
        unbalanced: false,
        spilled: false,
    };
    reader.script();
    let mut diagnostics = reader.diagnostics;
    diagnostics.sort_by_key(|d| d.span.map(|s| s.start));
    // A comment that is not closed is met by whoever skips it.
    diagnostics.dedup();
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
        unbalanced: false,
        spilled: false,
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
    /// Some block has lost its `}`, so braces say little about where a block ends.
    unbalanced: bool,
    /// What was read last had mistakes that may have spilled over.
    spilled: bool,
}

const CONDITIONALS: &str = "conditionals (#if … #endif) cannot enclose probes";

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
                (_, "config") if self.follows("config", '=') || self.follows("config", '{') => self.config(),
                (_, "macro") if self.names("macro") => self.macro_definition(),
                (_, "fn") if self.names("fn") => self.unsupported_function(),
                (_, "import") => self.import(),
                (_, "let") => self.map_declaration(),
                (';' | '}' | ')' | ',', _) => {
                    self.at += first.len_utf8();
                    if self.spilled {
                        continue;
                    }
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
        let conditional = matches!(word(body), "if" | "ifdef" | "ifndef" | "elif" | "else" | "endif");
        if conditional && !self.script.probes.is_empty() {
            let span = self.span(start, start + text.len());
            // Once says it for all parts.
            if !self.diagnostics.iter().any(|d| d.message == CONDITIONALS) {
                let error = self.error("misplaced", span, CONDITIONALS);
                error.help.push("they are for the C definitions before the probes".into());
                error.help.push(
                    "in a probe, if comptime (…) { … } asks what is known when the script is compiled".into(),
                );
            }
            let text = text.to_owned();
            self.script.definitions.push(Definition { kind: DefinitionKind::Directive, text, span });
            return;
        }
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

    fn unsupported_function(&mut self) {
        let span = self.span(self.at, self.at + "fn".len());
        let error = self.error("unsupported", span, "functions are not supported yet");
        error.help.push("a macro does what most functions do: macro name($argument) { … }".into());
        if let Some(open) = self.rest().find('{') {
            self.at += open;
            self.braces();
        } else {
            self.at = self.text.len();
        }
    }

    // ---- config ----

    fn config(&mut self) {
        let start = self.at;
        let name = self.span(start, start + "config".len());
        self.at = name.end as usize;
        self.layout();
        if self.rest().starts_with('=') {
            self.at += 1;
            self.layout();
        } else {
            self.error("syntax", name, "expected `=` after `config`")
                .help
                .push("write `config = { name = value; … }`".into());
        }
        if !self.rest().starts_with('{') {
            let span = self.span(self.at, self.at);
            self.error("syntax", span, "expected `{` after `config =`")
                .help
                .push("write `config = { name = value; … }`".into());
            return;
        }
        let Braces { tokens, torn } = self.braces();
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
}

/// The name that a text starts with, or "".
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let word = &text[..end];
    if word.starts_with(|c: char| c.is_ascii_digit()) { "" } else { word }
}
