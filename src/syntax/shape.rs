//! Decides, before the grammar sees the tokens, what would need more than one token of lookahead: which `(` opens
//! a cast or a type, which `{` and `if` are values.

use std::collections::HashSet;

use super::classes::wants_value;
use super::token::{Lexeme, Token};
use crate::builtins;

/// Calls whose argument may be a type.
const TYPE_CALLS: &[&str] = &["sizeof", "offsetof", "typeof", "typeinfo"];

/// Types of which there are arrays with a length that is named.
const SIZED: &[&str] = &[
    "string", "buffer", "char", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
    "uint64",
];

/// Names that are values though they look like types in parentheses: `(pid) * 2` multiplies.
fn is_builtin(name: &str) -> bool {
    let bare = || builtins::find(name).is_some_and(|builtin| builtin.bare);
    matches!(name, "true" | "false") || name.starts_with("__builtin_") || bare()
}

/// `values` are further names that are no types: the script's `#define`s.
pub fn shape(tokens: &mut [Lexeme<'_>], values: &HashSet<&str>) {
    for at in 0..tokens.len() {
        let before = at.checked_sub(1).and_then(|i| tokens.get(i)).map(|t| t.token);
        let shaped = match tokens[at].token {
            Token::LParen => match before {
                Some(Token::Ident(name)) => (TYPE_CALLS.contains(&name)
                    && type_argument(tokens, at + 1, values))
                .then_some(Token::TypeParen),
                _ => cast(tokens, at + 1, values).then_some(Token::CastParen),
            },
            Token::LBrace if before.is_some_and(wants_value) => Some(Token::ValueBrace),
            Token::If if before.is_some_and(wants_value) => Some(Token::ValueIf),
            _ => None,
        };
        if let Some(token) = shaped {
            tokens[at].token = token;
        }
    }
}

/// The words and suffixes of a type.
struct TypeShape<'s> {
    /// The token after it.
    end: usize,
    words: usize,
    tagged: bool,
    /// The last word.
    name: &'s str,
    suffixed: bool,
}

fn type_shape<'s>(tokens: &[Lexeme<'s>], mut at: usize) -> Option<TypeShape<'s>> {
    let token = |at: usize| tokens.get(at).map(|t| t.token);
    let mut shape = TypeShape { end: at, words: 0, tagged: false, name: "", suffixed: false };
    loop {
        match token(at) {
            Some(Token::Ident(name)) => {
                shape.words += 1;
                shape.name = name;
            }
            Some(Token::Struct | Token::Union | Token::Enum) => shape.tagged = true,
            _ => break,
        }
        at += 1;
    }
    if shape.words == 0 {
        return None;
    }
    loop {
        at += match (token(at), token(at + 1), token(at + 2)) {
            (Some(Token::Star), ..) => 1,
            (Some(Token::LBracket), Some(Token::RBracket), _) => 2,
            (Some(Token::LBracket), Some(Token::Int(_)), Some(Token::RBracket)) => 3,
            // `string[PATH_MAX]`; any other name may be an array's, and the one in brackets an index.
            (Some(Token::LBracket), Some(Token::Ident(_)), Some(Token::RBracket))
                if shape.tagged || SIZED.contains(&shape.name) =>
            {
                3
            }
            _ => break,
        };
        shape.suffixed = true;
    }
    shape.end = at;
    Some(shape)
}

/// A type that stands alone in the argument of `sizeof` and its relatives.
fn type_argument(tokens: &[Lexeme<'_>], at: usize, values: &HashSet<&str>) -> bool {
    if matches!(tokens.get(at).map(|t| t.token), Some(Token::Ident("typeof"))) {
        return typeof_end(tokens, at + 1).is_some_and(|end| {
            matches!(tokens.get(end).map(|t| t.token), Some(Token::RParen | Token::Comma))
        });
    }
    type_shape(tokens, at).is_some_and(|shape| {
        let closed = matches!(tokens.get(shape.end).map(|t| t.token), Some(Token::RParen | Token::Comma));
        let plain = shape.words == 1 && !shape.tagged;
        closed && !(plain && (is_builtin(shape.name) || values.contains(shape.name)))
    })
}

/// `(type)` before something that can be cast.
fn cast(tokens: &[Lexeme<'_>], at: usize, values: &HashSet<&str>) -> bool {
    if matches!(tokens.get(at).map(|t| t.token), Some(Token::Ident("typeof"))) {
        return typeof_end(tokens, at + 1)
            .is_some_and(|end| tokens.get(end).map(|t| t.token) == Some(Token::RParen));
    }
    let Some(shape) = type_shape(tokens, at) else { return false };
    if tokens.get(shape.end).map(|t| t.token) != Some(Token::RParen) {
        return false;
    }
    let operand = (tokens.get(shape.end + 1).map(|t| t.token), tokens.get(shape.end + 2).map(|t| t.token));
    let plain = shape.words == 1 && !shape.tagged;
    if plain && (is_builtin(shape.name) || values.contains(shape.name)) {
        return false;
    }
    match operand {
        // An operand for certain, or else an operator between two operands: the language takes it as a cast.
        (Some(Token::And), after) => matches!(after, Some(Token::Variable(_) | Token::Map(_))),
        (Some(token), _) => {
            use Token::*;
            matches!(
                token,
                Ident(_)
                    | Int(_)
                    | Str(_)
                    | Variable(_)
                    | Map(_)
                    | Positional(_)
                    | PositionalCount
                    | LParen
                    | Minus
                    | Dec
                    | Inc
                    | Not
                    | Tilde
                    | Star
            )
        }
        (None, _) => false,
    }
}

/// The token after `(…)` and the suffixes behind it, where they follow `typeof`.
fn typeof_end(tokens: &[Lexeme<'_>], open: usize) -> Option<usize> {
    if tokens.get(open)?.token != Token::LParen {
        return None;
    }
    let mut depth = 0;
    for (at, lexeme) in tokens.iter().enumerate().skip(open) {
        match lexeme.token {
            Token::LParen | Token::CastParen | Token::TypeParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let suffixes = tokens[at + 1..].iter().take_while(|t| {
                matches!(t.token, Token::Star | Token::LBracket | Token::RBracket | Token::Int(_))
            });
            return Some(at + 1 + suffixes.count());
        }
    }
    None
}
