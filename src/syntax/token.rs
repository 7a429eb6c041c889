//! The tokens of probe bodies, predicates and the config block. What stands outside of them (attach points, C
//! definitions) is not made of tokens; [`super::script`] reads it.

use logos::{Lexer, Logos};

use crate::diagnostics::{Diagnostic, FileId, Span};

/// Literals keep their text: their value, and what may be wrong with it, is found when the tree is built.
#[derive(Logos, Clone, Copy, Debug, PartialEq)]
#[logos(error = LexError)]
#[logos(skip r"[ \t\r\n\f\v]+")]
#[logos(skip(r"//[^\n]*", allow_greedy = true))]
#[logos(skip r"/\*([^*]|\*+[^*/])*\*+/")]
pub enum Token<'s> {
    #[regex("[A-Za-z_][A-Za-z0-9_]*", |l| l.slice())]
    Ident(&'s str),
    /// With its `@`.
    #[regex("@([A-Za-z_][A-Za-z0-9_]*)?", |l| l.slice())]
    Map(&'s str),
    /// With its `$`.
    #[regex(r"\$[A-Za-z_][A-Za-z0-9_]*", |l| l.slice())]
    Variable(&'s str),
    /// `$1`, with its `$`.
    #[regex(r"\$[0-9]+", |l| l.slice())]
    Positional(&'s str),
    #[token("$#")]
    PositionalCount,
    /// Whatever letters follow belong to it, so that a wrong suffix is seen as one.
    #[regex("[0-9][A-Za-z0-9_]*", |l| l.slice())]
    Int(&'s str),
    /// With its quotes.
    #[regex(r#""([^"\\\n]|\\[^\n])*""#, |l| l.slice())]
    #[token("\"", unclosed_string)]
    #[regex(r"'([^'\\\n]|\\[^\n])*'", |_| Err(LexError::SingleQuotes))]
    #[regex(r#"[“”„‘’«][^“”„‘’»"'\n]*[“”„‘’»"']"#, |_| Err(LexError::TypographicQuotes))]
    Str(&'s str),

    #[token("if")]
    If,
    #[token("else")]
    Else,
    #[token("while")]
    While,
    #[token("unroll")]
    Unroll,
    #[token("for")]
    For,
    #[token("let")]
    Let,
    #[token("return")]
    Return,
    #[token("break")]
    Break,
    #[token("continue")]
    Continue,
    #[token("import")]
    Import,
    #[token("comptime")]
    Comptime,
    #[token("struct")]
    Struct,
    #[token("union")]
    Union,
    #[token("enum")]
    Enum,

    #[token("{")]
    LBrace,
    #[token("}")]
    RBrace,
    #[token("(")]
    LParen,
    #[token(")")]
    RParen,
    #[token("[")]
    LBracket,
    #[token("]")]
    RBracket,
    #[token(",")]
    Comma,
    #[token(";")]
    Semi,
    #[token(":")]
    Colon,
    #[token("?")]
    Question,
    #[token(".")]
    Dot,
    #[token("..")]
    DotDot,
    #[token("->")]
    Arrow,
    #[token("+")]
    Plus,
    #[token("-")]
    Minus,
    #[token("*")]
    Star,
    #[token("/")]
    Slash,
    #[token("%")]
    Percent,
    #[token("&")]
    And,
    #[token("|")]
    Or,
    #[token("^")]
    Caret,
    #[token("<<")]
    Shl,
    #[token(">>")]
    Shr,
    #[token("&&")]
    AndAnd,
    #[token("||")]
    OrOr,
    #[token("==")]
    EqEq,
    #[token("!=")]
    Ne,
    #[token("<")]
    Lt,
    #[token("<=")]
    Le,
    #[token(">")]
    Gt,
    #[token(">=")]
    Ge,
    #[token("!")]
    Not,
    #[token("~")]
    Tilde,
    #[token("++")]
    Inc,
    #[token("--")]
    Dec,
    #[token("=")]
    Assign,
    #[token("+=")]
    AddAssign,
    #[token("-=")]
    SubAssign,
    #[token("*=")]
    MulAssign,
    #[token("/=")]
    DivAssign,
    #[token("%=")]
    ModAssign,
    #[token("&=")]
    AndAssign,
    #[token("|=")]
    OrAssign,
    #[token("^=")]
    XorAssign,
    #[token("<<=")]
    ShlAssign,
    #[token(">>=")]
    ShrAssign,

    #[token("/*", unclosed_comment)]
    UnclosedComment,

    // What follows is never lexed: `shape` and `recover` put it in place of what they recognize.
    /// The `(` of a cast.
    CastParen,
    /// The `(` after `sizeof` and its relatives, before a type.
    TypeParen,
    /// The `{` of a block that is a value.
    ValueBrace,
    /// An `if` that is a value.
    ValueIf,
    /// In place of what could not be parsed.
    Error,
    /// The first token says what the rest is.
    StartBody,
    StartExpr,
    StartConfig,
    /// The last token: the `/` that ends a predicate, or the end of the text.
    End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum LexError {
    #[default]
    Unknown,
    UnclosedString,
    UnclosedComment,
    SingleQuotes,
    TypographicQuotes,
}

fn unclosed_string<'s>(lexer: &mut Lexer<'s, Token<'s>>) -> Result<&'s str, LexError> {
    let rest = lexer.remainder();
    lexer.bump(rest.find('\n').unwrap_or(rest.len()));
    Err(LexError::UnclosedString)
}

fn unclosed_comment<'s>(lexer: &mut Lexer<'s, Token<'s>>) -> Result<(), LexError> {
    lexer.bump(lexer.remainder().len());
    Err(LexError::UnclosedComment)
}

/// A token and the bytes it covers. One that was put in by a repair covers none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lexeme<'s> {
    pub token: Token<'s>,
    pub start: usize,
    pub end: usize,
}

/// The tokens of a text from some place on. What is no token is reported and left out.
pub struct Lexemes<'s, 'd> {
    lexer: Lexer<'s, Token<'s>>,
    file: FileId,
    diagnostics: &'d mut Vec<Diagnostic>,
    /// Something swallowed the rest of a line or of the text, so what follows may look wrong without being so.
    pub torn: bool,
}

impl<'s, 'd> Lexemes<'s, 'd> {
    pub fn new(text: &'s str, from: usize, file: FileId, diagnostics: &'d mut Vec<Diagnostic>) -> Self {
        let mut lexer = Token::lexer(text);
        lexer.bump(from);
        Lexemes { lexer, file, diagnostics, torn: false }
    }

    fn report(&mut self, error: LexError) -> Option<Token<'s>> {
        let range = self.lexer.span();
        let span = Span::new(self.file, range.start, range.end);
        match error {
            LexError::UnclosedString => {
                self.torn = true;
                self.diagnostics.push(
                    Diagnostic::error("unclosed-string", span, "this string is not closed on its line")
                        .help("close it with `\"`; a line break inside a string is written `\\n`"),
                );
                Some(Token::Str("\"\""))
            }
            LexError::UnclosedComment => {
                self.torn = true;
                let open = Span::new(self.file, range.start, range.start + 2);
                self.diagnostics.push(
                    Diagnostic::error("unclosed-comment", open, "this comment is not closed")
                        .help("end it with `*/`"),
                );
                None
            }
            LexError::SingleQuotes => {
                let inner = &self.lexer.slice()[1..range.len() - 1];
                let mut message = Diagnostic::error("single-quotes", span, "single quotes mean nothing here");
                let mut chars = inner.chars();
                message = match (chars.next(), chars.next()) {
                    (Some(c), None) if c != '\\' => message.help(format!(
                        "write the character's code, {}, or the string \"{}\"",
                        u32::from(c),
                        c.escape_default()
                    )),
                    _ => message.help(format!("strings are written in double quotes: \"{inner}\"")),
                };
                self.diagnostics.push(message);
                Some(Token::Str("\"\""))
            }
            LexError::TypographicQuotes => {
                let inner = self.lexer.slice().trim_matches(|c| "“”„‘’«»\"'".contains(c));
                let help = format!("write it with plain quotes: \"{inner}\"");
                self.diagnostics.push(
                    Diagnostic::error("unknown-character", span, "typographic quotes mean nothing here")
                        .help(help),
                );
                Some(Token::Str("\"\""))
            }
            LexError::Unknown => self.unknown(span),
        }
    }

    /// What can stand in the place of a character that means nothing, if anything should.
    fn unknown(&mut self, span: Span) -> Option<Token<'s>> {
        // A run of them (a pasted prompt, another script) is one mistake.
        if let Some(last) = self.diagnostics.last_mut()
            && last.code == "unknown-character"
            && let Some(place) = last.span.as_mut()
            && place.end == span.start
        {
            place.end = span.end;
            return None;
        }
        let slice = self.lexer.slice();
        let shown = if slice == "`" { "a backtick".into() } else { format!("`{}`", slice.escape_debug()) };
        let message = Diagnostic::error("unknown-character", span, format!("{shown} means nothing here"));
        let (message, token) = match slice {
            "$" => (
                message.help("a variable is `$` and a name, `$x`; a parameter of the script is `$1`"),
                Some(Token::Error),
            ),
            "#" => {
                // A comment of other languages, most likely. If it is none, what follows looks wrong anyway.
                let rest = self.lexer.remainder();
                self.lexer.bump(rest.find('\n').unwrap_or(rest.len()));
                self.torn = true;
                (message.help("a comment starts with `//`"), None)
            }
            "'" => (message.help("strings are written in double quotes"), None),
            "\\" => (message.help("a statement may span lines without `\\`"), None),
            "\u{a0}" => (message.help("this is a no-break space; replace it by an ordinary one"), None),
            _ => (message, None),
        };
        self.diagnostics.push(message);
        token
    }
}

impl<'s> Iterator for Lexemes<'s, '_> {
    type Item = Lexeme<'s>;

    fn next(&mut self) -> Option<Lexeme<'s>> {
        loop {
            let token = match self.lexer.next()? {
                Ok(token) => Some(token),
                Err(error) => self.report(error),
            };
            let range = self.lexer.span();
            if let Some(token) = token {
                return Some(Lexeme { token, start: range.start, end: range.end });
            }
        }
    }
}
