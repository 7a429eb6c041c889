//! What kinds of tokens there are, and how a message names them.

use super::token::Token;

/// After this token comes a value.
pub fn wants_value(token: Token<'_>) -> bool {
    use Token::*;
    matches!(
        token,
        LParen
            | CastParen
            | LBracket
            | Comma
            | Colon
            | Question
            | DotDot
            | Plus
            | Minus
            | Star
            | Slash
            | Percent
            | And
            | Or
            | Caret
            | Shl
            | Shr
            | AndAnd
            | OrOr
            | EqEq
            | Ne
            | Lt
            | Le
            | Gt
            | Ge
            | Not
            | Tilde
            | Assign
            | AddAssign
            | SubAssign
            | MulAssign
            | DivAssign
            | ModAssign
            | AndAssign
            | OrAssign
            | XorAssign
            | ShlAssign
            | ShrAssign
            | Return
            | If
            | ValueIf
            | While
            | Unroll
            | Comptime
            | StartExpr
    )
}

/// `+=` and its kind.
pub fn assigns(token: Token<'_>) -> bool {
    use Token::*;
    matches!(
        token,
        AddAssign
            | SubAssign
            | MulAssign
            | DivAssign
            | ModAssign
            | AndAssign
            | OrAssign
            | XorAssign
            | ShlAssign
            | ShrAssign
    )
}

/// What can only stand after a complete value.
pub fn ends_value(token: Token<'_>) -> bool {
    matches!(token, Token::RParen | Token::RBracket | Token::RBrace | Token::Comma | Token::Semi | Token::End)
}

/// The beginning of a value, and of nothing else.
pub fn starts_value(token: Token<'_>) -> bool {
    use Token::*;
    matches!(token, Ident(_) | Map(_) | Variable(_) | Positional(_) | PositionalCount | Int(_) | Str(_))
}

/// The end of a value.
pub fn is_value(token: Token<'_>) -> bool {
    starts_value(token) || matches!(token, Token::RParen | Token::RBracket | Token::Error)
}

/// What stands between two values.
pub fn binary(token: Token<'_>) -> bool {
    use Token::*;
    matches!(
        token,
        Plus | Slash
            | Percent
            | Or
            | Caret
            | Shl
            | Shr
            | AndAnd
            | OrOr
            | EqEq
            | Ne
            | Lt
            | Le
            | Gt
            | Ge
            | Question
            | Dot
            | Arrow
            | Assign
    ) || assigns(token)
}

pub fn keyword(token: Token<'_>) -> Option<&'static str> {
    Some(match token {
        Token::If | Token::ValueIf => "if",
        Token::Else => "else",
        Token::While => "while",
        Token::Unroll => "unroll",
        Token::For => "for",
        Token::Let => "let",
        Token::Return => "return",
        Token::Break => "break",
        Token::Continue => "continue",
        Token::Import => "import",
        Token::Comptime => "comptime",
        Token::Struct => "struct",
        Token::Union => "union",
        Token::Enum => "enum",
        _ => return None,
    })
}

/// A token as a message names it.
pub fn describe(token: Token<'_>) -> String {
    use Token::*;
    let symbol = match token {
        Ident(text) | Map(text) | Variable(text) | Positional(text) | Int(text) => {
            return format!("`{text}`");
        }
        Str(text) if text.len() <= 24 => return format!("the string {text}"),
        Str(_) => return "a string".into(),
        PositionalCount => "$#",
        LBrace | ValueBrace => "{",
        RBrace => "}",
        LParen | CastParen | TypeParen => "(",
        RParen => ")",
        LBracket => "[",
        RBracket => "]",
        Comma => ",",
        Semi => ";",
        Colon => ":",
        Question => "?",
        Dot => ".",
        DotDot => "..",
        Arrow => "->",
        Plus => "+",
        Minus => "-",
        Star => "*",
        Slash => "/",
        Percent => "%",
        And => "&",
        Or => "|",
        Caret => "^",
        Shl => "<<",
        Shr => ">>",
        AndAnd => "&&",
        OrOr => "||",
        EqEq => "==",
        Ne => "!=",
        Lt => "<",
        Le => "<=",
        Gt => ">",
        Ge => ">=",
        Not => "!",
        Tilde => "~",
        Inc => "++",
        Dec => "--",
        Assign => "=",
        AddAssign => "+=",
        SubAssign => "-=",
        MulAssign => "*=",
        DivAssign => "/=",
        ModAssign => "%=",
        AndAssign => "&=",
        OrAssign => "|=",
        XorAssign => "^=",
        ShlAssign => "<<=",
        ShrAssign => ">>=",
        StartBody | StartExpr | StartConfig => return "the start".into(),
        End => return "the end of the predicate".into(),
        Error | UnclosedComment => return "this".into(),
        If | Else | While | Unroll | For | Let | Return | Break | Continue | Import | Comptime | Struct
        | Union | Enum | ValueIf => keyword(token).unwrap_or(""),
    };
    format!("`{symbol}`")
}
