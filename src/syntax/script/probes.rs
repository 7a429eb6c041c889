//! A probe: its attach points, predicate and body.

use super::Reader;
use super::blocks::{Braces, is_provider};
use crate::syntax::ast::{AttachPoint, Block, Expr, ExprKind, Probe};
use crate::syntax::attach::{self, Until};
use crate::syntax::build::Parsed;
use crate::syntax::classes::wants_value;
use crate::syntax::token::{Lexeme, Lexemes, Token};

impl<'s> Reader<'s> {
    pub fn probe(&mut self) {
        let name = self.probe_name();
        let start = self.at;
        let mut attach_points: Vec<AttachPoint> = vec![];
        let messages = self.diagnostics.len();
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
        let mistaken = self.diagnostics.len() > messages;
        let span = self.span(start, attach_points.last().map_or(start, |p| p.span.end as usize));
        let predicate =
            if self.rest().starts_with('/') { self.predicate(attach_points.last()) } else { None };
        self.layout();
        if !self.rest().starts_with('{') {
            if !mistaken {
                self.no_body(&attach_points);
            }
            if !self.skip_to_block() {
                return;
            }
        }
        let open = self.at;
        let Braces { tokens, torn } = self.braces();
        let body = match self.grammar(Token::StartBody, tokens, torn) {
            Some(Parsed::Body(body)) => body,
            _ => Block { statements: vec![], value: None, span: self.span(open, self.at) },
        };
        if !attach_points.is_empty() {
            self.script.probes.push(Probe { name, attach_points, predicate, body, span });
        }
    }

    /// Goes on at the next `{`, if there is one.
    pub fn skip_to_block(&mut self) -> bool {
        let open =
            Lexemes::new(self.text, self.at, self.file, &mut vec![]).find(|l| l.token == Token::LBrace);
        self.at = open.map_or(self.text.len(), |l| l.start);
        open.is_some()
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

    /// Reports what stands in place of the `{`.
    fn no_body(&mut self, points: &[AttachPoint]) {
        let (rest, here) = (self.rest(), self.at);
        let Some(point) = points.last() else { return };
        if rest.is_empty() {
            let end = point.span.end as usize;
            let message = format!("expected `{{` after `{}`", point.text);
            self.error("no-body", self.span(end, end), message)
                .help
                .push("a probe needs an action: `{ print(comm); }`".into());
            return;
        }
        let next = rest.split(|c: char| c.is_whitespace() || c == '{').next().unwrap_or("");
        let length = next.len().max(rest.chars().next().map_or(0, char::len_utf8));
        let span = self.span(here, here + length);
        if points.len() == 1 && !point.text.contains(':') && rest.starts_with(['(', '=', ')', ';', '}']) {
            let message = format!("expected a probe, found `{}`", point.text);
            self.error("no-probe", point.span, message)
                .help
                .push("statements stand in a probe: `BEGIN { … }`".into());
            return;
        }
        let error = self.error("no-body", span, format!("expected `{{`, `,` or a predicate, found `{next}`"));
        let kind = !point.text.contains(':')
            && is_provider(&point.text)
            && !matches!(point.text.to_ascii_lowercase().as_str(), "begin" | "end" | "self");
        let named = next.split(['/', '{', ',']).next().unwrap_or("");
        let written;
        let help = if kind && !named.is_empty() && !next.starts_with(':') {
            written = format!("write {}:{named}", point.text);
            &written
        } else if point.text.ends_with(':') || next.starts_with(':') {
            "an attach point is written without spaces; put names with spaces in quotes"
        } else if next.contains(':') {
            "separate probes by `,`, or give each its own `{ … }`"
        } else {
            "the action of a probe stands in `{ … }`, its predicate before that in `/ … /`"
        };
        error.help.push(help.into());
    }

    /// `/ … /` before a `{`.
    fn predicate(&mut self, point: Option<&AttachPoint>) -> Option<Expr> {
        let open = self.at;
        let slash = self.span(open, open + 1);
        let mut found = vec![];
        let mut tokens: Vec<Lexeme<'s>> = vec![];
        let mut closed = false;
        let mut depth = 0usize;
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
                Token::LBrace if depth == 0 && tokens.last().is_some_and(|t| !wants_value(t.token)) => {
                    self.at = lexeme.start;
                    break;
                }
                Token::LBrace => depth += 1,
                Token::RBrace => depth = depth.saturating_sub(1),
                _ => {}
            }
            tokens.push(lexeme);
        }
        let torn = found.iter().any(|d| d.code.starts_with("unclosed"));
        self.diagnostics.append(&mut found);
        if !closed && !torn {
            let within =
                self.text[..slash.start as usize].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let provider = point.and_then(|point| point.parts.first()).map_or("", |part| part.text.as_str());
            if matches!(provider, "watchpoint" | "w") {
                let error = self.error("unclosed-predicate", slash, "a watchpoint takes an address, no file");
                error.help.push(
                    "write watchpoint:0x55d5c2a0:4:w; `nm` shows where a program's variables lie".into(),
                );
                return Some(Expr { kind: ExprKind::Error, span: self.span(open, self.at) });
            }
            let error = self.error("unclosed-predicate", slash, "this predicate is not closed");
            error.help.push("end the condition with `/` before the `{`".into());
            if within {
                error.help.push("the parts of an attach point are separated by `:`".into());
            }
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
