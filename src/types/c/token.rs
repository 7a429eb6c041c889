//! The tokens of C.

use crate::diagnostics::{Diagnostic, Span};

/// A token: a piece of the script, and the place that messages about it show. For what a macro stands for, that is
/// where the macro is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    pub span: Span,
    /// Nothing stands between it and the token before.
    pub attached: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or a name.
    Word,
    Number,
    /// A character with its quotes.
    Char,
    /// A string with its quotes.
    Text,
    Punctuation,
}

/// Those of more than one character, the longer ones first.
const PUNCTUATION: [&str; 16] =
    ["...", "<<=", ">>=", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "##", "->", "++", "--", "::"];

/// The tokens of a text that starts at `span`.
pub fn tokens(text: &str, span: Span) -> Result<Vec<Token<'_>>, Diagnostic> {
    let place = |start: usize, end: usize| {
        let base = span.start as usize;
        Span::new(span.file, base + start, base + end)
    };
    let mut list = vec![];
    let (mut at, mut attached) = (0, false);
    while let Some(rest) = text.get(at..)
        && let Some(first) = rest.chars().next()
    {
        let (kind, length) = match first {
            c if c.is_whitespace() => (None, c.len_utf8()),
            '\\' if rest.starts_with("\\\n") => (None, 2),
            '\\' if rest.starts_with("\\\r\n") => (None, 3),
            '/' if rest.starts_with("//") => (None, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => match rest[2..].find("*/") {
                Some(end) => (None, end + 4),
                None => {
                    return Err(Diagnostic::error(
                        "unclosed-comment",
                        place(at, at + 2),
                        "this comment is not closed",
                    )
                    .help("end it with `*/`"));
                }
            },
            c if c.is_ascii_alphabetic() || c == '_' => (Some(Kind::Word), length(rest, is_word)),
            c if c.is_ascii_digit() => (Some(Kind::Number), length(rest, |c| is_word(c) || c == '.')),
            '\'' | '"' => match quoted(rest, first) {
                Some(length) if first == '"' => (Some(Kind::Text), length),
                Some(length) => (Some(Kind::Char), length),
                None => {
                    let end = at + rest.find('\n').unwrap_or(rest.len());
                    return Err(Diagnostic::error(
                        "unclosed-string",
                        place(at, end),
                        "this quote is not closed on its line",
                    ));
                }
            },
            c if c.is_ascii_punctuation() && !"`@$\\".contains(c) => {
                let long = PUNCTUATION.iter().find(|p| rest.starts_with(**p));
                (Some(Kind::Punctuation), long.map_or(1, |p| p.len()))
            }
            c => {
                let shown = c.escape_debug();
                return Err(Diagnostic::error(
                    "unknown-character",
                    place(at, at + c.len_utf8()),
                    format!("`{shown}` means nothing in C"),
                ));
            }
        };
        if let Some(kind) = kind {
            list.push(Token { kind, text: &rest[..length], span: place(at, at + length), attached });
        }
        attached = kind.is_some();
        at += length;
    }
    Ok(list)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// How many bytes of the text are such characters.
fn length(text: &str, of: impl Fn(char) -> bool) -> usize {
    text.find(|c| !of(c)).unwrap_or(text.len())
}

/// The length of a literal with its quotes; `None` if the line ends before.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        tokens(text, Span::default()).unwrap().iter().map(|t| t.text).collect()
    }

    #[test]
    fn comments_and_continued_lines_are_no_tokens() {
        assert_eq!(texts("a/* b */c // d\n\\\n e"), ["a", "c", "e"]);
        assert_eq!(
            texts("x<<=2;y[0x1fUL]='\\''"),
            ["x", "<<=", "2", ";", "y", "[", "0x1fUL", "]", "=", "'\\''"]
        );
    }

    #[test]
    fn what_is_no_token_has_a_place() {
        for (text, start, end) in [("int a@b;", 5, 6), ("x /* y", 2, 4), ("\"ab\n", 0, 3), ("é", 0, 2)] {
            let span = tokens(text, Span::default()).unwrap_err().span.unwrap();
            assert_eq!((span.start, span.end), (start, end), "{text}");
        }
    }
}
