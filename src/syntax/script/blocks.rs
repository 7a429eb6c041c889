//! What stands in braces: the tokens of a block, and the grammar's part.

use super::{Reader, word};
use crate::diagnostics::Span;
use crate::syntax::build::Parsed;
use crate::syntax::token::{Lexeme, Lexemes, Token};
use crate::syntax::{recover, shape};

/// How deep brackets may nest; the tree has a limit of its own.
const MAX_BRACKETS: usize = 200;

/// The tokens of a block, with as many closing braces as opening ones.
pub struct Braces<'s> {
    pub tokens: Vec<Lexeme<'s>>,
    /// A string or a comment swallowed some of it: what is wrong with the rest is no news.
    pub torn: bool,
}

impl<'s> Reader<'s> {
    /// The tokens from the `{` here to its `}`. Where that is missing, it is reported and put in.
    pub fn braces(&mut self) -> Braces<'s> {
        let open = self.at;
        if !self.unbalanced
            && let Some(braces) = self.balanced_braces()
        {
            return braces;
        }
        // The block may have lost its `}` long before the end of the script: where a line starts like a probe.
        self.unbalanced = true;
        let mut found = vec![];
        let mut tokens: Vec<Lexeme<'s>> = vec![];
        let mut stack: Vec<usize> = vec![];
        // A closing brace, and the opening one that it does not look like it belongs to.
        let mut odd: Option<(Lexeme<'s>, usize)> = None;
        // Where to go on: the next probe, or the end.
        let mut next = self.text.len();
        let mut lexemes = Lexemes::new(self.text, open, self.file, &mut found);
        for lexeme in lexemes.by_ref() {
            if !tokens.is_empty() && starts_probe(self.text, lexeme.start) {
                next = lexeme.start;
                break;
            }
            tokens.push(lexeme);
            match lexeme.token {
                Token::LBrace => stack.push(lexeme.start),
                Token::RBrace => {
                    let opener = stack.pop().unwrap_or(open);
                    if odd.is_none() && !indented_alike(self.text, opener, lexeme.start) {
                        odd = Some((lexeme, opener));
                    }
                }
                _ => {}
            }
            if stack.is_empty() {
                next = lexeme.end;
                break;
            }
        }
        let torn = lexemes.torn;
        self.diagnostics.append(&mut found);
        self.at = next;
        if !stack.is_empty() && !torn {
            let labels = match odd {
                Some((brace, opener)) => vec![
                    (self.span(opener, opener + 1), "perhaps it is this one".to_owned()),
                    (self.span(brace.start, brace.end), "which this `}` closes in its place".to_owned()),
                ],
                None => {
                    let others = stack.iter().skip(1).map(|at| self.span(*at, at + 1));
                    others.map(|span| (span, "nor is this one".to_owned())).collect()
                }
            };
            let span = self.span(open, open + 1);
            let error = self.error("unclosed-brace", span, "this `{` is not closed");
            error.labels = labels;
            error.help.push("add a `}`".into());
        }
        let end = tokens.last().map_or(open, |t| t.end);
        tokens.extend(stack.iter().map(|_| Lexeme { token: Token::RBrace, start: end, end }));
        Braces { tokens, torn }
    }

    /// The tokens up to the `}` that counting finds, if it does.
    fn balanced_braces(&mut self) -> Option<Braces<'s>> {
        let mut found = vec![];
        let mut tokens = vec![];
        let mut depth = 0usize;
        let mut lexemes = Lexemes::new(self.text, self.at, self.file, &mut found);
        for lexeme in lexemes.by_ref() {
            tokens.push(lexeme);
            match lexeme.token {
                Token::LBrace => depth += 1,
                Token::RBrace => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                let torn = lexemes.torn;
                self.at = lexeme.end;
                self.diagnostics.append(&mut found);
                return Some(Braces { tokens, torn });
            }
        }
        None
    }

    /// Parses tokens, the first of which will be `start`. Brackets' depth is bounded first, since the tree will be
    /// walked by recursion.
    pub fn grammar(&mut self, start: Token<'s>, mut tokens: Vec<Lexeme<'s>>, torn: bool) -> Option<Parsed> {
        if let Some(span) = self.too_deep(&tokens) {
            let message = format!("this nests deeper than {MAX_BRACKETS} brackets");
            self.error("nested-too-deep", span, message).help.push("keep parts of it in variables".into());
            return None;
        }
        let first = tokens.first().map_or(self.at, |t| t.start);
        let last = tokens.last().map_or(self.at, |t| t.end);
        tokens.insert(0, Lexeme { token: start, start: first, end: first });
        tokens.push(Lexeme { token: Token::End, start: last, end: last });
        shape::shape(&mut tokens, &self.values);
        let mut found = vec![];
        let parsed = recover::parse(tokens, self.file, &mut found);
        self.spilled = torn || !found.is_empty();
        if !torn {
            self.diagnostics.append(&mut found);
        }
        parsed
    }

    fn too_deep(&self, tokens: &[Lexeme<'_>]) -> Option<Span> {
        let mut depth = 0usize;
        for lexeme in tokens {
            match lexeme.token {
                Token::LBrace | Token::LParen | Token::LBracket => depth += 1,
                Token::RBrace | Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > MAX_BRACKETS {
                return Some(self.span(lexeme.start, lexeme.end));
            }
        }
        None
    }
}

/// A `}` that begins its line is indented like the line of its `{`. What does not begin its line may be anywhere.
fn indented_alike(text: &str, opener: usize, closer: usize) -> bool {
    let line = |at: usize| text[..at].rfind('\n').map_or(0, |n| n + 1);
    let indent = |at: usize| {
        let line = &text[line(at)..];
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    };
    let begins_line = text[line(closer)..closer].trim().is_empty();
    !begins_line || line(opener) == line(closer) || indent(opener) == indent(closer)
}

/// Whether that is the name of a kind of probe that is followed by a colon.
pub fn is_provider(word: &str) -> bool {
    matches!(
        word,
        "kprobe"
            | "kretprobe"
            | "fentry"
            | "fexit"
            | "kfunc"
            | "kretfunc"
            | "uprobe"
            | "uretprobe"
            | "usdt"
            | "tracepoint"
            | "rawtracepoint"
            | "profile"
            | "interval"
            | "software"
            | "hardware"
            | "watchpoint"
            | "iter"
            | "self"
            | "test"
            | "bench"
            | "k"
            | "kr"
            | "f"
            | "fr"
            | "u"
            | "ur"
            | "U"
            | "t"
            | "rt"
            | "p"
            | "i"
            | "s"
            | "h"
            | "w"
            | "it"
    )
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
        word => is_provider(word) && after.starts_with(':'),
    }
}
