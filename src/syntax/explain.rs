//! A token that the grammar did not want, in words: what was found, what was expected, what to write instead, and
//! how the parser may go on.

use super::recover::{Repair, enclosing};
use super::shape::wants_value;
use super::token::{Lexeme, Token};
use crate::diagnostics::{Diagnostic, FileId, Span};

/// The message for the token at `at` and the repair of it. `expected` has the grammar's names of the tokens that
/// could have stood there.
pub fn mistake(tokens: &[Lexeme<'_>], at: usize, expected: &[String], file: FileId) -> (Diagnostic, Repair) {
    Mistake { tokens, at, expected, file }.explain()
}

struct Mistake<'a, 's> {
    tokens: &'a [Lexeme<'s>],
    at: usize,
    expected: &'a [String],
    file: FileId,
}

const SYNTAX: &str = "syntax";

impl<'s> Mistake<'_, 's> {
    fn token(&self, offset: isize) -> Option<Token<'s>> {
        self.tokens.get(self.at.checked_add_signed(offset)?).map(|t| t.token)
    }

    fn expects(&self, terminal: &str) -> bool {
        self.expected.iter().any(|e| e.trim_matches('"') == terminal)
    }

    fn span_of(&self, index: usize) -> Span {
        self.tokens.get(index).map_or(Span::new(self.file, 0, 0), |t| Span::new(self.file, t.start, t.end))
    }

    /// The token itself.
    fn here(&self) -> Span {
        self.span_of(self.at)
    }

    /// Just after the token before.
    fn before(&self) -> Span {
        let end = self.at.checked_sub(1).map_or(0, |i| self.span_of(i).end as usize);
        Span::new(self.file, end, end)
    }

    fn error(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(SYNTAX, span, message)
    }

    fn explain(&self) -> (Diagnostic, Repair) {
        // A value could stand here, or else something that follows one.
        if self.expects("int") { self.value_missing() } else { self.operator_missing() }
    }

    /// A value was expected and something else found.
    fn value_missing(&self) -> (Diagnostic, Repair) {
        let found = self.found();
        let before = self.token(-1);
        let token = self.token(0).unwrap_or(Token::End);
        let insert = Repair::Insert(Token::Error);
        if token == Token::Else {
            let error = self.error(self.here(), "this `else` belongs to no `if`");
            return (error.help("an `else` follows the `}` of its `if` at once, without `;`"), Repair::Cut);
        }
        if let (Some(Token::Assign), Token::Assign | Token::EqEq) = (before, token) {
            return (self.error(self.here(), "`=` too many").help("comparing is `==`"), Repair::Delete);
        }
        if let (Some(Token::Assign), Token::Lt | Token::Gt) = (before, token) {
            let op = if token == Token::Lt { "<=" } else { ">=" };
            return (
                self.error(self.here(), format!("unexpected {found}"))
                    .help(format!("this comparison is written `{op}`")),
                Repair::Delete,
            );
        }
        if let (Some(Token::EqEq | Token::Ne), Token::Assign) = (before, token) {
            return (
                self.error(self.here(), "`=` too many").help("comparing is `==` or `!=`"),
                Repair::Delete,
            );
        }
        if matches!(token, Token::RParen | Token::RBracket) && !self.is_open(token) {
            return (
                self.error(self.here(), format!("{found} closes nothing")).help("remove it"),
                Repair::Delete,
            );
        }
        if keyword(token).is_some() && !matches!(before, Some(Token::Semi | Token::LBrace | Token::RBrace)) {
            let error = self.error(self.here(), format!("expected a value, found {found}"));
            let help = format!("{found} starts a statement; it cannot stand inside of one");
            return (error.help(help), Repair::Cut);
        }
        let after =
            before.map(describe).filter(|_| before.is_some_and(|t| wants_value(t) && t != Token::StartExpr));
        let span = if matches!(token, Token::End | Token::RBrace) { self.before() } else { self.here() };
        let message = match after {
            Some(after) => format!("expected a value after {after}, found {found}"),
            None if matches!(before, Some(Token::StartExpr)) => "the predicate is empty".to_owned(),
            None => format!("expected a statement or a value, found {found}"),
        };
        let error = self.error(span, message);
        match (before, token) {
            (Some(Token::Comma), Token::RParen) => {
                (error.help("remove the comma, or add an argument"), insert)
            }
            (Some(Token::LBracket), Token::RBracket) => {
                (error.help("a map without keys is written without brackets: `@x`"), insert)
            }
            (Some(Token::Comma), Token::Comma) => (error, Repair::Delete),
            (Some(Token::StartExpr), Token::End) => {
                (error.help("write a condition between the slashes, or leave them out"), insert)
            }
            (Some(Token::Star), Token::Star) => (error, insert),
            (Some(Token::And), Token::And) | (Some(Token::Or), Token::Or) => (error, insert),
            (_, t) if ends_value(t) || binary(t) => (error, insert),
            _ => (error, Repair::Cut),
        }
    }

    /// Something was expected that follows a value or a keyword.
    fn operator_missing(&self) -> (Diagnostic, Repair) {
        let found = self.found();
        let token = self.token(0).unwrap_or(Token::End);
        if let Some(special) = self.known(token) {
            return special;
        }
        let after_value = self.expects("+") || self.expects("==");
        if after_value {
            if token == Token::Assign {
                let error = self.error(self.here(), "`=` does not compare").help("write `==` to compare");
                return (error, Repair::Replace(Token::EqEq));
            }
            if assigns(token) {
                let error = self.error(self.here(), format!("{found} cannot stand inside of an expression"));
                return (
                    error.help("assign in a statement of its own, and use the variable here"),
                    Repair::Cut,
                );
            }
            if matches!(token, Token::RParen | Token::RBracket) && !self.is_open(token) {
                return (
                    self.error(self.here(), format!("{found} closes nothing")).help("remove it"),
                    Repair::Delete,
                );
            }
        }
        if let Some(word) = self.word_operator(token) {
            return word;
        }
        if self.expects(";") && self.statement_level() {
            return self.semicolon_missing(token);
        }
        for (terminal, closer, opener) in [(")", Token::RParen, "("), ("]", Token::RBracket, "[")] {
            if self.expects(terminal) {
                return self.closer_missing(closer, terminal, opener);
            }
        }
        if self.expects("{") {
            return self.block_missing();
        }
        if self.expects("end") {
            let error = self.error(
                self.here(),
                format!("expected an operator or the predicate's closing `/`, found {found}"),
            );
            return (error, Repair::Cut);
        }
        if self.expects(":") && self.open_ternary() {
            let error = self.error(self.here(), format!("expected `:` and the other value, found {found}"));
            return (error.help("a choice is written `condition ? this : that`"), Repair::Cut);
        }
        let mut error = self.error(self.here(), format!("expected {}, found {found}", self.in_words()));
        if let Some(Token::For) = self.token(-1) {
            error = error.help("loops are written `for ($i : 0..10) { … }` and `for ($kv : @map) { … }`");
        } else if let (Some(Token::Let), Token::Map(_)) = (self.token(-1), token) {
            error = error.help("maps need no declaration in a probe: assign to it");
        } else if let (Some(Token::Let), Token::Ident(name)) = (self.token(-1), token) {
            error = error.help(format!("variables begin with `$`: `let ${name}`"));
        } else if let Some(Token::Dot | Token::Arrow) = self.token(-1) {
            error = error.help("after it comes a field's name, or a number for an element of a tuple");
        }
        (error, Repair::Cut)
    }

    /// What people bring along from other languages.
    fn known(&self, token: Token<'s>) -> Option<(Diagnostic, Repair)> {
        let before = self.token(-1);
        Some(match (before, token) {
            (Some(Token::Ident("elif" | "elsif" | "elseif")), _) => {
                let span = self.span_of(self.at - 1);
                (self.error(span, "this is written `else if`"), Repair::Cut)
            }
            (Some(Token::Ident("do" | "switch" | "goto" | "foreach")), t)
                if t != Token::LParen && !binary(t) =>
            {
                let span = self.span_of(self.at - 1);
                let error = self.error(span, "there is no such statement");
                (
                    error.help(
                        "the statements are `if`, `for`, `while`, `unroll`, `break`, `continue` and `return`",
                    ),
                    Repair::Cut,
                )
            }
            (Some(Token::Ident(ty)), Token::Ident(name)) if self.token(1) == Some(Token::Assign) => {
                let span = self.span_of(self.at - 1).to(self.here());
                let error = self.error(span, format!("`{ty} {name}` declares nothing"));
                (
                    error.help(format!(
                        "variables begin with `$`: write `${name} = …` or `let ${name}: {ty} = …`"
                    )),
                    Repair::Cut,
                )
            }
            (Some(Token::Ident("comptime")), _) => {
                let span = self.span_of(self.at - 1);
                (Diagnostic::error("unsupported", span, "`comptime` is not supported yet"), Repair::Cut)
            }
            (Some(Token::Str(_)), Token::Str(_)) => {
                let error = self.error(self.here(), "two strings side by side are not joined");
                (error.help("write them as one string"), Repair::Delete)
            }
            (Some(Token::Int(_)), Token::DotDot) => return None,
            _ => return None,
        })
    }

    fn word_operator(&self, token: Token<'s>) -> Option<(Diagnostic, Repair)> {
        let Token::Ident(word) = token else { return None };
        let (op, token) = match word {
            "and" | "AND" => ("&&", Token::AndAnd),
            "or" | "OR" => ("||", Token::OrOr),
            "eq" | "is" => ("==", Token::EqEq),
            "mod" => ("%", Token::Percent),
            _ => return None,
        };
        let error = self.error(self.here(), format!("`{word}` is no operator"));
        Some((error.help(format!("write `{op}`")), Repair::Replace(token)))
    }

    fn semicolon_missing(&self, token: Token<'s>) -> (Diagnostic, Repair) {
        let found = self.found();
        match token {
            Token::LBrace | Token::ValueBrace => {
                let error = self.error(self.here(), "this block follows what takes none");
                (
                    error.help(
                        "a block follows `if`, `else`, `for`, `while` or `unroll`, or stands alone after `;`",
                    ),
                    Repair::Insert(Token::Semi),
                )
            }
            Token::Comma => {
                let error = self.error(self.here(), "unexpected `,`");
                (error.help("statements are separated by `;`"), Repair::Replace(Token::Semi))
            }
            Token::Colon => (
                self.error(self.here(), "unexpected `:`").help("statements are separated by `;`"),
                Repair::Cut,
            ),
            Token::Dot | Token::DotDot => {
                (self.error(self.here(), format!("unexpected {found}")), Repair::Cut)
            }
            _ => {
                let error = self.error(self.before(), format!("expected `;` before {found}"));
                (
                    error.label(self.here(), "the next statement seems to start here"),
                    Repair::Insert(Token::Semi),
                )
            }
        }
    }

    fn closer_missing(&self, closer: Token<'static>, text: &str, opener: &str) -> (Diagnostic, Repair) {
        let found = self.found();
        let token = self.token(0).unwrap_or(Token::End);
        let open = enclosing(self.tokens, self.at);
        let list = self.expects(",");
        // Only what cannot be part of the list shows that the bracket should have been closed before.
        let closed_here =
            ends_value(token) || matches!(token, Token::LBrace | Token::End) || keyword(token).is_some();
        let message = match (closed_here, list) {
            (true, _) => format!("`{opener}` is not closed: expected `{text}` before {found}"),
            (false, true) => format!("expected `,` or `{text}`, found {found}"),
            (false, false) => format!("expected `{text}`, found {found}"),
        };
        let span = if closed_here { self.before() } else { self.here() };
        let mut error = self.error(span, message);
        if let Some(open) = open {
            error = error.label(self.span_of(open), format!("this `{opener}` is open"));
        }
        let repair = if closed_here {
            Repair::Insert(closer)
        } else if list && starts_value(token) {
            Repair::Insert(Token::Comma)
        } else {
            Repair::Cut
        };
        (error, repair)
    }

    fn block_missing(&self) -> (Diagnostic, Repair) {
        let found = self.found();
        let error = self.error(self.here(), format!("expected `{{`, found {found}"));
        let error = match self.token(-1) {
            Some(Token::Else) => {
                error.help("write the statements after `else` in braces, or `else if (…) { … }`")
            }
            _ => error.help("write the statements in braces, even a single one: `{ …; }`"),
        };
        (error, Repair::Cut)
    }

    fn in_words(&self) -> String {
        let mut words: Vec<&str> = vec![];
        for expected in self.expected {
            let word = match expected.trim_matches('"') {
                "ident" => "a name",
                "variable" => "a variable (`$x`)",
                "string" => "a string",
                "int" => "a value",
                "map" | "positional" | "$#" | "error" | "castparen" | "typeparen" | "valuebrace"
                | "valueif" | "startbody" | "startexpr" | "startconfig" => continue,
                "end" => "the end",
                _ => expected.trim_matches('"'),
            };
            if !words.contains(&word) {
                words.push(word);
            }
        }
        // A field may be called by any keyword; nobody needs that list.
        if words.contains(&"a name") && words.len() > 8 {
            words.retain(|w| w.starts_with('a'));
        }
        let quoted = |w: &&str| {
            if w.starts_with("a ") || w.starts_with("the ") { (*w).to_owned() } else { format!("`{w}`") }
        };
        match words.as_slice() {
            [] => "something else".into(),
            [one] => quoted(one),
            [init @ .., last] => {
                let init: Vec<String> = init.iter().take(4).map(quoted).collect();
                format!("{} or {}", init.join(", "), quoted(last))
            }
        }
    }

    fn found(&self) -> String {
        self.token(0).map_or("the end".into(), describe)
    }

    /// There is an open bracket that this closing one could close.
    fn is_open(&self, closer: Token<'_>) -> bool {
        match enclosing(self.tokens, self.at).map(|i| self.tokens[i].token) {
            Some(Token::LBracket) => closer == Token::RBracket,
            Some(Token::LBrace | Token::ValueBrace) | None => false,
            Some(_) => closer == Token::RParen,
        }
    }

    fn statement_level(&self) -> bool {
        let open = enclosing(self.tokens, self.at).map(|i| self.tokens[i].token);
        matches!(open, Some(Token::LBrace | Token::ValueBrace)) && !self.open_ternary()
    }

    /// A `?` of the same statement waits for its `:`.
    fn open_ternary(&self) -> bool {
        let mut colons = 0usize;
        for lexeme in self.tokens[..self.at.min(self.tokens.len())].iter().rev() {
            match lexeme.token {
                Token::Colon => colons += 1,
                Token::Question if colons == 0 => return true,
                Token::Question => colons -= 1,
                Token::Semi | Token::LBrace | Token::RBrace | Token::LParen | Token::LBracket => {
                    return false;
                }
                _ => {}
            }
        }
        false
    }
}

fn assigns(token: Token<'_>) -> bool {
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
fn ends_value(token: Token<'_>) -> bool {
    matches!(token, Token::RParen | Token::RBracket | Token::RBrace | Token::Comma | Token::Semi | Token::End)
}

fn starts_value(token: Token<'_>) -> bool {
    use Token::*;
    matches!(token, Ident(_) | Map(_) | Variable(_) | Positional(_) | PositionalCount | Int(_) | Str(_))
}

fn binary(token: Token<'_>) -> bool {
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

fn keyword(token: Token<'_>) -> Option<&'static str> {
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
        Token::Struct => "struct",
        Token::Union => "union",
        Token::Enum => "enum",
        _ => return None,
    })
}

/// A token as a message names it.
fn describe(token: Token<'_>) -> String {
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
        Error | BlockComment => return "this".into(),
        If | Else | While | Unroll | For | Let | Return | Break | Continue | Import | Struct | Union
        | Enum | ValueIf => keyword(token).unwrap_or(""),
    };
    format!("`{symbol}`")
}
