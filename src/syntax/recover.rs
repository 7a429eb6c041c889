//! Runs the grammar over the tokens of a block, again after each mistake: what is wrong is put into words, mended
//! where it stands (a `;` put in, a stray `)` left out, a statement cut), and the rest parsed. So one mistake hides
//! no other.

use std::cell::RefCell;
use std::convert::Infallible;

use lalrpop_util::ParseError;

use super::build::{Builder, Parsed};
use super::explain;
use super::grammar::StartParser;
use super::token::{Lexeme, Token};
use crate::diagnostics::{Diagnostic, FileId};

/// Mistakes reported for one block. Each costs one more parse.
const MAX_MISTAKES: usize = 20;

/// What to do about a mistake, at a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Repair {
    Insert(Token<'static>),
    /// `count` tokens, of which the first is `back` before this one, by one other.
    Replace {
        back: usize,
        count: usize,
        with: Token<'static>,
    },
    Delete,
    /// Give up what is in the brackets around it, or the statement.
    Cut,
    /// Give the statement up.
    CutStatement,
}

/// Parses tokens that begin with one of the `Start…` and end with [`Token::End`]; braces in between are balanced.
/// `None` if nothing could be made of them.
pub fn parse<'s>(
    mut tokens: Vec<Lexeme<'s>>,
    file: FileId,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Parsed> {
    thread_local! {
        static PARSER: RefCell<StartParser> = RefCell::new(StartParser::new());
    }
    let mut last_mistake = None;
    for _ in 0..=MAX_MISTAKES * 2 {
        let mut builder = Builder::new(file, &tokens);
        let input = tokens.iter().enumerate().map(|(i, t)| Ok::<_, Infallible>((i, t.token, i + 1)));
        let (at, expected) = match PARSER.with_borrow(|parser| parser.parse(&mut builder, input)) {
            Ok(parsed) => {
                diagnostics.append(&mut builder.diagnostics);
                return Some(parsed);
            }
            Err(ParseError::UnrecognizedToken { token: (at, ..), expected }) => (at, expected),
            Err(ParseError::ExtraToken { token: (at, ..) }) => (at, vec![]),
            Err(ParseError::UnrecognizedEof { .. } | ParseError::InvalidToken { .. }) => return None,
            Err(ParseError::User { error }) => match error {},
        };
        // A repair that did not help is not worth a second message.
        let place = tokens.get(at).map(|t| t.start);
        let again = last_mistake == Some(place) || tokens.get(at).is_some_and(|t| t.token == Token::Error);
        last_mistake = Some(place);
        let repair = if again {
            Repair::CutStatement
        } else {
            let (diagnostic, repair) = explain::mistake(&tokens, at, &expected, file);
            diagnostics.push(diagnostic);
            repair
        };
        if !apply(&mut tokens, at, repair) {
            return None;
        }
    }
    None
}

/// Mends the tokens. False if there is no way.
fn apply(tokens: &mut Vec<Lexeme<'_>>, at: usize, repair: Repair) -> bool {
    let Some(here) = tokens.get(at).copied() else { return false };
    match repair {
        Repair::Insert(token) => tokens.insert(at, Lexeme { token, start: here.start, end: here.start }),
        Repair::Replace { back, count, with } => {
            let from = at.saturating_sub(back);
            let to = (from + count).min(tokens.len());
            let (start, end) = (tokens[from].start, tokens[to - 1].end);
            tokens.splice(from..to, [Lexeme { token: with, start, end }]);
        }
        Repair::Delete => {
            tokens.remove(at);
        }
        Repair::Cut => return cut(tokens, at, false),
        Repair::CutStatement => return cut(tokens, at, true),
    }
    true
}

/// Replaces what is inside of the innermost parentheses or square brackets, or the whole statement, by one
/// [`Token::Error`].
fn cut(tokens: &mut Vec<Lexeme<'_>>, at: usize, whole: bool) -> bool {
    let inside = enclosing(tokens, at)
        .filter(|open| !whole && is_bracket(tokens[*open].token))
        .and_then(|open| closing(tokens, open).filter(|close| *close >= at).map(|close| (open, close)));
    let (from, to) = match inside {
        Some((open, close)) => {
            if tokens[open].token != Token::LBracket {
                tokens[open].token = Token::LParen;
            }
            (open + 1, close)
        }
        None => statement(tokens, at),
    };
    let (Some(first), Some(last)) = (tokens.get(from), to.checked_sub(1).and_then(|i| tokens.get(i))) else {
        return false;
    };
    if to == from + 1 && first.token == Token::Error {
        return false;
    }
    let error = Lexeme { token: Token::Error, start: first.start, end: last.end.max(first.start) };
    tokens.splice(from..to.max(from), [error]);
    true
}

pub fn is_bracket(token: Token<'_>) -> bool {
    matches!(token, Token::LParen | Token::CastParen | Token::TypeParen | Token::LBracket)
}

fn opens(token: Token<'_>) -> bool {
    is_bracket(token) || matches!(token, Token::LBrace | Token::ValueBrace)
}

fn closes(token: Token<'_>) -> bool {
    matches!(token, Token::RParen | Token::RBracket | Token::RBrace)
}

/// The opening bracket or brace that is still open before `at`.
pub fn enclosing(tokens: &[Lexeme<'_>], at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for index in (0..at.min(tokens.len())).rev() {
        let token = tokens[index].token;
        if closes(token) {
            depth += 1;
        } else if opens(token) {
            match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return Some(index),
            }
        }
    }
    None
}

/// Where the bracket at `open` is closed, within its statement.
fn closing(tokens: &[Lexeme<'_>], open: usize) -> Option<usize> {
    // People write `for (a; b; c)`.
    let header = open.checked_sub(1).is_some_and(|before| tokens[before].token == Token::For);
    let mut stack = vec![];
    for (index, lexeme) in tokens.iter().enumerate().skip(open) {
        let token = lexeme.token;
        if opens(token) {
            stack.push(token);
        } else if closes(token) {
            let expected = match stack.pop()? {
                Token::LBracket => Token::RBracket,
                Token::LBrace | Token::ValueBrace => Token::RBrace,
                _ => Token::RParen,
            };
            if token != expected {
                return None;
            }
            if stack.is_empty() {
                return Some(index);
            }
        } else if token == Token::Semi
            && !header
            && !stack.iter().any(|t| matches!(t, Token::LBrace | Token::ValueBrace))
        {
            return None;
        }
    }
    None
}

/// The tokens of the statement around `at`, without its semicolon, up to its block if it has one.
fn statement(tokens: &[Lexeme<'_>], at: usize) -> (usize, usize) {
    let mut depth = 0usize;
    let mut from = at;
    while let Some(before) = from.checked_sub(1) {
        match tokens[before].token {
            Token::RBrace => depth += 1,
            Token::LBrace | Token::ValueBrace if depth > 0 => depth -= 1,
            Token::LBrace | Token::ValueBrace => break,
            Token::Semi if depth == 0 => break,
            Token::StartBody | Token::StartExpr | Token::StartConfig => break,
            _ => {}
        }
        from = before;
        // A block that ended here ended its statement, unless it was a value.
        if depth == 0 && before < at && tokens[before].token == Token::LBrace {
            // `before` opened a whole block: what is before it belongs to it, so the statement starts after it.
            let close = block_end(tokens, before);
            from = close.map_or(from, |c| (c + 1).min(at));
            break;
        }
    }
    let mut to = at;
    let mut depth = 0usize;
    while let Some(lexeme) = tokens.get(to) {
        match lexeme.token {
            Token::ValueBrace => depth += 1,
            Token::LBrace if depth == 0 => break,
            Token::LBrace => depth += 1,
            Token::RBrace if depth == 0 => break,
            Token::RBrace => depth -= 1,
            Token::Semi if depth == 0 => break,
            Token::End => break,
            _ => {}
        }
        to += 1;
    }
    (from, to)
}

fn block_end(tokens: &[Lexeme<'_>], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (index, lexeme) in tokens.iter().enumerate().skip(open) {
        match lexeme.token {
            Token::LBrace | Token::ValueBrace => depth += 1,
            Token::RBrace => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}
