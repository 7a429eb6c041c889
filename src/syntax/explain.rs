//! A token that the grammar did not want, in words: what was found, what was expected, what to write instead, and
//! how the parser may go on.

use super::classes::{assigns, binary, describe, ends_value, is_value, keyword, starts_value, wants_value};
use super::recover::{Repair, enclosing, is_bracket};
use super::token::{Lexeme, Token};
use crate::builtins;
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

type Explained = (Diagnostic, Repair);

const LOOPS: &str = "loops are written `for ($i : 0..10) { … }` and `for ($kv : @map) { … }`";
const STATEMENTS: &str =
    "the statements are `if`, `for`, `while`, `unroll`, `break`, `continue` and `return`";

impl<'s> Mistake<'_, 's> {
    fn explain(&self) -> Explained {
        let found = self.token(0).unwrap_or(Token::End);
        self.slip(found)
            .or_else(|| self.foreign(found))
            .or_else(|| self.in_loop_header(found))
            .or_else(|| self.assignment(found))
            .or_else(|| self.stray_closer(found))
            .or_else(|| self.field_missing(found))
            .unwrap_or_else(|| {
                // A value could stand here, or else something that follows one.
                if self.expects("int") { self.value_missing(found) } else { self.other_missing(found) }
            })
    }

    // ---- what is around ----

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
        Diagnostic::error("syntax", span, message)
    }

    /// The bracket or brace that is open here.
    fn open(&self) -> Option<(usize, Token<'s>)> {
        let index = enclosing(self.tokens, self.at)?;
        self.tokens.get(index).map(|t| (index, t.token))
    }

    /// What stands before the open bracket.
    fn before_open(&self) -> Option<Token<'s>> {
        let (index, _) = self.open()?;
        self.tokens.get(index.checked_sub(1)?).map(|t| t.token)
    }

    /// The token is right behind the one before.
    fn touches(&self, at: usize) -> bool {
        match (at.checked_sub(1).and_then(|i| self.tokens.get(i)), self.tokens.get(at)) {
            (Some(a), Some(b)) => a.end == b.start,
            _ => false,
        }
    }

    fn is_config(&self) -> bool {
        self.tokens.first().is_some_and(|t| t.token == Token::StartConfig)
    }

    /// The tokens of the statement before this one, last first, without what is in brackets or blocks.
    fn statement_before(&self) -> impl Iterator<Item = Token<'s>> {
        let mut depth = 0usize;
        let before = self.tokens.iter().take(self.at).rev().map(|t| t.token);
        before.take_while(move |token| match token {
            Token::RParen | Token::RBracket | Token::RBrace => {
                depth += 1;
                true
            }
            Token::LBrace | Token::ValueBrace | Token::Semi if depth == 0 => false,
            t if is_bracket(*t) && depth == 0 => false,
            Token::LBrace | Token::ValueBrace => {
                depth -= 1;
                true
            }
            t if is_bracket(*t) => {
                depth -= 1;
                true
            }
            _ => true,
        })
    }

    /// A `?` of the same expression waits for its `:`.
    fn open_choice(&self) -> bool {
        let mut colons = 0usize;
        for token in self.statement_before() {
            match token {
                Token::Colon => colons += 1,
                Token::Question if colons == 0 => return true,
                Token::Question => colons -= 1,
                _ => {}
            }
        }
        false
    }

    /// Whether a comparison is what somebody wants here: in a predicate, or in what `if` and `while` ask.
    fn compares(&self) -> bool {
        let asks = |t: Option<Token<'_>>| matches!(t, Some(Token::If | Token::ValueIf | Token::While));
        match self.open() {
            Some((_, token)) if is_bracket(token) => asks(self.before_open()),
            None => self.tokens.first().is_some_and(|t| t.token == Token::StartExpr),
            Some(_) => asks(self.statement_before().last()),
        }
    }

    // ---- slips ----

    /// Operators that are written otherwise.
    fn slip(&self, found: Token<'s>) -> Option<Explained> {
        let no_operator = |from: usize, written: &str, token: Token<'static>, meant: &str| {
            let span = self.span_of(from).to(self.span_of(from + 1));
            let error =
                self.error(span, format!("`{written}` is no operator")).help(format!("write `{meant}`"));
            (error, Repair::Replace { back: self.at - from, count: 2, with: token })
        };
        let (before, after) = (self.token(-1), self.token(1));
        if found == Token::Assign
            && self.touches(self.at + 1)
            && !matches!(before, Some(Token::EqEq | Token::Ne))
        {
            match after {
                Some(Token::Gt) => return Some(no_operator(self.at, "=>", Token::Ge, ">=")),
                Some(Token::Lt) => return Some(no_operator(self.at, "=<", Token::Le, "<=")),
                Some(Token::Not) => return Some(no_operator(self.at, "=!", Token::Ne, "!=")),
                _ => {}
            }
        }
        if found == Token::Colon && after == Some(Token::Assign) && self.touches(self.at + 1) {
            return Some(no_operator(self.at, ":=", Token::Assign, "="));
        }
        if found == Token::DotDot && after == Some(Token::Dot) && self.touches(self.at + 1) {
            let span = self.here().to(self.span_of(self.at + 1));
            let error = self.error(span, "`...` stands for code that was left out");
            return Some((error.help("write what belongs there"), Repair::Cut));
        }
        if !self.touches(self.at) {
            return None;
        }
        match (before, found) {
            (Some(Token::Lt), Token::Gt) => Some(no_operator(self.at - 1, "<>", Token::Ne, "!=")),
            (Some(Token::EqEq), Token::Assign) => Some(no_operator(self.at - 1, "===", Token::EqEq, "==")),
            (Some(Token::Ne), Token::Assign) => Some(no_operator(self.at - 1, "!==", Token::Ne, "!=")),
            (Some(Token::Ident(name)), Token::Not) => {
                let error = self.error(self.here(), format!("`{name}` is called without `!`"));
                Some((error.help(format!("write `{name}()`")), Repair::Delete))
            }
            _ => None,
        }
    }

    /// What people bring along from other languages.
    fn foreign(&self, found: Token<'s>) -> Option<Explained> {
        let last = self.at.checked_sub(1)?;
        let before = self.token(-1);
        if let Token::Ident(word) = found {
            let operator = match word {
                "and" | "AND" => Some(("&&", Token::AndAnd)),
                "or" | "OR" => Some(("||", Token::OrOr)),
                "eq" | "is" => Some(("==", Token::EqEq)),
                "mod" => Some(("%", Token::Percent)),
                _ => None,
            };
            if let Some((written, token)) = operator.filter(|_| before.is_some_and(is_value)) {
                let error = self.error(self.here(), format!("`{word}` is no operator"));
                let repair = Repair::Replace { back: 0, count: 1, with: token };
                return Some((error.help(format!("write `{written}`")), repair));
            }
        }
        match (before?, found) {
            (Token::Ident("do" | "switch" | "goto" | "case"), t) if t != Token::LParen && !binary(t) => {
                let error = self.error(self.span_of(last), "there is no such statement");
                Some((error.help(STATEMENTS), Repair::Cut))
            }
            (Token::Ident(ty), Token::Ident(name)) if self.token(1) == Some(Token::Assign) => {
                let span = self.span_of(last).to(self.here());
                let error = self.error(span, format!("`{ty} {name}` declares nothing"));
                let help =
                    format!("variables begin with `$`: write `${name} = …` or `let ${name}: {ty} = …`");
                Some((error.help(help), Repair::Cut))
            }
            (Token::Str(_), Token::Str(_)) => {
                let error = self.error(self.here(), "two strings side by side are not joined");
                Some((error.help("write them as one string"), Repair::Delete))
            }
            (Token::RParen, Token::LBrace | Token::ValueBrace) => self.unknown_statement(),
            _ => None,
        }
    }

    /// `elif (…) {`: it looked like a call until the brace.
    fn unknown_statement(&self) -> Option<Explained> {
        let open = enclosing(self.tokens, self.at - 1)?.checked_sub(1)?;
        let Token::Ident(word) = self.tokens.get(open)?.token else { return None };
        let error = match word {
            "elif" | "elsif" | "elseif" => self.error(self.span_of(open), "this is written `else if`"),
            "foreach" => self.error(self.span_of(open), "there is no such statement").help(LOOPS),
            "switch" | "until" | "unless" => {
                self.error(self.span_of(open), "there is no such statement").help(STATEMENTS)
            }
            _ => return None,
        };
        Some((error, Repair::Cut))
    }

    /// Between `for (` and `:`.
    fn in_loop_header(&self, found: Token<'s>) -> Option<Explained> {
        let (open, _) = self.open()?;
        let for_header = self.before_open() == Some(Token::For);
        let bare = self.token(-1) == Some(Token::For);
        if !(for_header || bare)
            || self.tokens.get(open + 1..self.at)?.iter().any(|t| t.token == Token::Colon)
        {
            return None;
        }
        let error = match found {
            Token::Ident(name) if !matches!(self.token(-1), Some(Token::Variable(_))) => self
                .error(self.here(), format!("expected a variable, found `{name}`"))
                .help(format!("variables begin with `$`: `for (${name} : …)`"))
                .help(LOOPS),
            Token::Ident("in" | "of") => {
                self.error(self.here(), format!("expected `:`, found {}", describe(found))).help(LOOPS)
            }
            Token::Assign => self.error(self.here(), "this is not how loops count").help(LOOPS),
            _ => {
                let expected =
                    if matches!(self.token(-1), Some(Token::Variable(_))) { "`:`" } else { "a variable" };
                self.error(self.here(), format!("expected {expected}, found {}", describe(found))).help(LOOPS)
            }
        };
        Some((error, Repair::Cut))
    }

    /// `=` or `+=` inside of an expression.
    fn assignment(&self, found: Token<'s>) -> Option<Explained> {
        if !(found == Token::Assign || assigns(found))
            || !self.token(-1).is_some_and(is_value)
            || self.is_config()
        {
            return None;
        }
        if found == Token::Assign && self.compares() {
            let error = self.error(self.here(), "`=` does not compare").help("write `==` to compare");
            return Some((error, Repair::Replace { back: 0, count: 1, with: Token::EqEq }));
        }
        let error =
            self.error(self.here(), format!("{} cannot stand inside of an expression", describe(found)));
        let error = if found == Token::Assign {
            error.help("assign in a statement of its own; to compare, write `==`")
        } else {
            error.help("assign in a statement of its own, and use the variable here")
        };
        Some((error, Repair::Cut))
    }

    fn stray_closer(&self, found: Token<'s>) -> Option<Explained> {
        let stray = matches!(found, Token::RParen | Token::RBracket)
            && !self.open().is_some_and(|(_, token)| is_bracket(token));
        stray.then(|| {
            let error = self.error(self.here(), format!("{} closes nothing", describe(found)));
            (error.help("remove it"), Repair::Delete)
        })
    }

    fn field_missing(&self, found: Token<'s>) -> Option<Explained> {
        let before = self.token(-1).filter(|t| matches!(t, Token::Dot | Token::Arrow))?;
        let message = format!("expected a field after {}, found {}", describe(before), describe(found));
        let error = self.error(self.here(), message);
        let help = "a field is a name; an element of a tuple is a number, `.0`";
        // With a name put in, the rest can be read.
        Some((error.help(help), Repair::Insert(Token::Ident("?"))))
    }

    // ---- what is missing ----

    /// A value was expected and something else found.
    fn value_missing(&self, found: Token<'s>) -> Explained {
        let insert = Repair::Insert(Token::Error);
        let named = describe(found);
        let before = self.token(-1).unwrap_or(Token::End);
        match (before, found) {
            (_, Token::Else) => {
                let error = self.error(self.here(), "this `else` belongs to no `if`");
                return (
                    error.help("an `else` follows the `}` of its `if` at once, without `;`"),
                    Repair::Cut,
                );
            }
            (_, Token::Struct | Token::Union | Token::Enum) => {
                let error = self.error(self.here(), format!("expected a value, found {named}"));
                return (error.help("types stand in casts, `(struct name *)value`"), Repair::CutStatement);
            }
            (Token::StartExpr, Token::End) => {
                let error = self.error(self.here(), "the predicate is empty");
                return (error.help("write a condition between the slashes, or leave them out"), insert);
            }
            (t, Token::Semi | Token::RBrace | Token::LBrace | Token::End) if is_bracket(t) => {
                let (closer, text) =
                    if t == Token::LBracket { (Token::Error, "]") } else { (Token::RParen, ")") };
                let message = format!("{} is not closed: expected `{text}` before {named}", describe(t));
                return (self.error(self.before(), message), Repair::Insert(closer));
            }
            (t, _)
                if keyword(found).is_some() && !matches!(t, Token::Semi | Token::LBrace | Token::RBrace) =>
            {
                let error = self.error(self.here(), format!("expected a value, found {named}"));
                let help = format!("{named} starts a statement; it cannot stand inside of one");
                return (error.help(help), Repair::Cut);
            }
            _ => {}
        }
        let span = if matches!(found, Token::End | Token::RBrace) { self.before() } else { self.here() };
        let message = if wants_value(before) && before != Token::StartExpr {
            format!("expected a value after {}, found {named}", describe(before))
        } else {
            format!("expected a statement or a value, found {named}")
        };
        let error = self.error(span, message);
        match (before, found) {
            (Token::Semi | Token::LBrace | Token::RBrace, t) if t == Token::Assign || assigns(t) => (
                error
                    .help("name what is assigned to, `$x` or `@x`")
                    .help("if there was a `$x`, the shell has replaced it: put the program in single quotes, -e '…'"),
                insert,
            ),
            (Token::Comma, Token::RParen) => (error.help("remove the comma, or add an argument"), insert),
            (Token::LBracket, Token::RBracket) => {
                (error.help("a map without keys is written without brackets: `@x`"), insert)
            }
            (Token::Comma, Token::Comma) => (error, Repair::Delete),
            (_, t) if ends_value(t) || binary(t) => (error, insert),
            _ => (error, Repair::Cut),
        }
    }

    /// Something was expected that follows a value or a keyword.
    fn other_missing(&self, found: Token<'s>) -> Explained {
        let named = describe(found);
        if self.open_choice() && self.expects(":") {
            let error = self.error(self.here(), format!("expected `:` and the other value, found {named}"));
            return (error.help("a choice is written `condition ? this : that`"), Repair::Cut);
        }
        if self.expects(";") && !self.open().is_some_and(|(_, token)| is_bracket(token)) {
            return self.semicolon_missing(found);
        }
        if self.expects(")") {
            return self.closer_missing(found, Token::RParen, ")");
        }
        if self.expects("]") {
            return self.closer_missing(found, Token::RBracket, "]");
        }
        if self.expects("{") {
            return self.block_missing(found);
        }
        if self.expects("end") {
            let message = format!("expected an operator or the predicate's closing `/`, found {named}");
            return (self.error(self.here(), message), Repair::Cut);
        }
        let mut error = self.error(self.here(), format!("expected {}, found {named}", self.in_words()));
        match (self.token(-1), found) {
            (Some(Token::Let), Token::Map(_)) => {
                error = error.help("maps need no declaration in a probe: assign to it");
            }
            (Some(Token::Let), Token::Ident(name)) => {
                error = error.help(format!("variables begin with `$`: `let ${name}`"));
            }
            (Some(Token::Import), _) => error = error.help("what is imported is named in quotes"),
            _ if self.is_config() => error = error.help("a setting is written `name = value;`"),
            _ => {}
        }
        (error, Repair::Cut)
    }

    fn semicolon_missing(&self, found: Token<'s>) -> Explained {
        let named = describe(found);
        let separated = if self.is_config() {
            "settings are separated by `;`"
        } else {
            "statements are separated by `;`"
        };
        match found {
            Token::LBrace | Token::ValueBrace => {
                let error = self.error(self.here(), "this block follows what takes none");
                let help =
                    "a block follows `if`, `else`, `for`, `while` or `unroll`, or stands alone after `;`";
                (error.help(help), Repair::Insert(Token::Semi))
            }
            Token::Comma => {
                let repair = Repair::Replace { back: 0, count: 1, with: Token::Semi };
                (self.error(self.here(), "unexpected `,`").help(separated), repair)
            }
            Token::Colon => (self.error(self.here(), "unexpected `:`").help(separated), Repair::Cut),
            Token::Dot | Token::DotDot => {
                (self.error(self.here(), format!("unexpected {named}")), Repair::Cut)
            }
            _ => match self.token(-1) {
                Some(Token::Ident(name))
                    if matches!(found, Token::Str(_))
                        || (starts_value(found)
                            && builtins::find(name).is_some_and(|builtin| !builtin.bare)) =>
                {
                    let error =
                        self.error(self.here(), format!("the arguments of `{name}` stand in brackets"));
                    let value = match self.token(1) {
                        Some(Token::Semi | Token::RBrace | Token::End) | None => self.spelled(self.at),
                        _ => "…".to_owned(),
                    };
                    (error.help(format!("write `{name}({value})`")), Repair::CutStatement)
                }
                _ => {
                    let error = self.error(self.before(), format!("expected `;` before {named}"));
                    (error, Repair::Insert(Token::Semi))
                }
            },
        }
    }

    /// A token as it is written, if it is a short one.
    fn spelled(&self, index: usize) -> String {
        match self.tokens.get(index).map(|t| t.token) {
            Some(Token::Str(text)) if text.len() <= 40 => text.to_owned(),
            Some(Token::Ident(name) | Token::Variable(name) | Token::Map(name)) => name.to_owned(),
            _ => "…".to_owned(),
        }
    }

    fn closer_missing(&self, found: Token<'s>, closer: Token<'static>, text: &str) -> Explained {
        let named = describe(found);
        let open = self.open().filter(|(_, token)| is_bracket(*token));
        let opener = open.map_or("`(`".into(), |(_, token)| describe(token));
        // Arguments and keys are lists; anything else in brackets is one expression, most likely.
        let list = matches!(self.before_open(), Some(Token::Ident(_) | Token::Map(_)));
        // Only what cannot be part of it shows that the bracket should have been closed before.
        let several = closer == Token::RBracket && found == Token::Comma;
        let closed_here =
            (ends_value(found) && !several) || found == Token::LBrace || keyword(found).is_some();
        let message = if closed_here {
            format!("{opener} is not closed: expected `{text}` before {named}")
        } else if list {
            format!("expected `,` or `{text}`, found {named}")
        } else if self.token(-1).is_some_and(is_value) {
            format!("expected an operator or `{text}`, found {named}")
        } else {
            format!("expected `{text}`, found {named}")
        };
        let span = if closed_here { self.before() } else { self.here() };
        let mut error = self.error(span, message);
        if let Some((index, _)) = open {
            error = error.label(self.span_of(index), "it is open from here");
        }
        if several {
            error = error.help("only maps have several keys");
        }
        let repair = if closed_here {
            Repair::Insert(closer)
        } else if list && starts_value(found) {
            Repair::Insert(Token::Comma)
        } else {
            Repair::Cut
        };
        (error, repair)
    }

    fn block_missing(&self, found: Token<'s>) -> Explained {
        let error = self.error(self.here(), format!("expected `{{`, found {}", describe(found)));
        let error = match self.token(-1) {
            Some(Token::Else) => {
                error.help("write the statements after `else` in braces, or `else if (…) { … }`")
            }
            _ => error.help("write the statements in braces, even a single one: `{ …; }`"),
        };
        (error, Repair::Cut)
    }

    /// What the grammar expected.
    fn in_words(&self) -> String {
        if self.expects("struct") {
            return "a type".into();
        }
        let mut words: Vec<String> = vec![];
        for expected in self.expected {
            let word = match expected.trim_matches('"') {
                "ident" => "a name".into(),
                "variable" => "a variable (`$x`)".into(),
                "string" => "a string".into(),
                "int" => "a value".into(),
                "end" => "the end".into(),
                "map" | "positional" | "error" | "castparen" | "typeparen" | "valuebrace" | "valueif"
                | "startbody" | "startexpr" | "startconfig" => continue,
                symbol => format!("`{symbol}`"),
            };
            if !words.contains(&word) {
                words.push(word);
            }
        }
        match words.as_slice() {
            [] => "something else".into(),
            [one] => one.clone(),
            [init @ .., last] => format!("{} or {last}", init.join(", ")),
        }
    }
}
