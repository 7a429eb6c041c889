//! `#define`, for the C definitions of a script: what macros stand for takes the place of their names, token by
//! token, as C has it. (What they mean in probes is the business of [`crate::expand`].)

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;

use super::token::{Kind, Token, tokens};
use crate::diagnostics::{Diagnostic, Span};

/// How many tokens one definition may have in the end: they can double with each macro that is defined by others.
const MAX_TOKENS: usize = 200_000;

/// How deep macros may stand in each other's definitions and arguments.
const MAX_DEPTH: usize = 64;

/// Macros of the kernel's headers that make members of structs.
const WELL_KNOWN: &str = "\
BITS_PER_LONG (8 * sizeof(long))
BITS_PER_BYTE 8
rcu_head callback_head
DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))
BITS_TO_LONGS(nr) DIV_ROUND_UP(nr, BITS_PER_LONG)
BIT(nr) (1UL << (nr))
BIT_ULL(nr) (1ULL << (nr))
DECLARE_BITMAP(name, bits) unsigned long name[BITS_TO_LONGS(bits)]
DECLARE_FLEX_ARRAY(type, name) struct { struct { } __empty_ ## name; type name[]; }
struct_group(name, ...) union { struct { __VA_ARGS__ }; struct { __VA_ARGS__ } name; }";

/// The text of tokens that macros make of others.
#[derive(Default)]
pub struct Made {
    first: OnceCell<Box<Text>>,
    count: Cell<usize>,
}

#[derive(Default)]
struct Text {
    text: String,
    next: OnceCell<Box<Text>>,
}

/// So many tokens can be made.
const MAX_MADE: usize = 2000;

impl Made {
    fn keep(&self, text: String) -> Option<&str> {
        if self.count.get() >= MAX_MADE {
            return None;
        }
        self.count.set(self.count.get() + 1);
        let mut place = &self.first;
        while let Some(taken) = place.get() {
            place = &taken.next;
        }
        Some(&place.get_or_init(|| Box::new(Text { text, next: OnceCell::new() })).text)
    }
}

pub struct Macros<'a> {
    by_name: HashMap<&'a str, Macro<'a>>,
    made: &'a Made,
}

struct Macro<'a> {
    /// `None` for one that takes none.
    parameters: Option<Parameters<'a>>,
    body: Vec<Token<'a>>,
}

#[derive(Default)]
struct Parameters<'a> {
    names: Vec<&'a str>,
    /// `...`, whose arguments are called `__VA_ARGS__`.
    variadic: bool,
}

impl<'a> Macros<'a> {
    /// Only the well-known ones are defined. `made` holds the text of tokens that are in no script.
    pub fn new(made: &'a Made) -> Macros<'a> {
        let mut macros = Macros { by_name: HashMap::new(), made };
        for line in WELL_KNOWN.lines() {
            macros.define(&tokens(line, Span::default()).unwrap_or_default());
        }
        macros
    }

    /// Takes the tokens after `define`.
    pub fn define(&mut self, tokens: &[Token<'a>]) {
        let Some((name, rest)) = tokens.split_first() else { return };
        let function = rest.first().is_some_and(|t| t.text == "(" && t.attached);
        let (parameters, body) = match rest.iter().position(|t| t.text == ")") {
            Some(close) if function => (Some(parameters(&rest[1..close])), &rest[close + 1..]),
            _ => (None, rest),
        };
        self.by_name.insert(name.text, Macro { parameters, body: body.to_vec() });
    }

    pub fn undefine(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    /// The tokens with all macros in place.
    pub fn expand(&self, tokens: Vec<Token<'a>>) -> Result<Vec<Token<'a>>, Diagnostic> {
        if !tokens.iter().any(|t| self.by_name.contains_key(t.text)) {
            return Ok(tokens);
        }
        let mut expansion = Expansion { macros: self, active: vec![], made: 0 };
        expansion.all(&tokens)
    }
}

fn parameters<'a>(tokens: &[Token<'a>]) -> Parameters<'a> {
    let words = tokens.iter().filter(|t| t.kind == Kind::Word).map(|t| t.text).collect();
    Parameters { names: words, variadic: tokens.iter().any(|t| t.text == "...") }
}

struct Expansion<'m, 'a> {
    macros: &'m Macros<'a>,
    /// The macros that are being put in place: none of them is, within itself.
    active: Vec<&'a str>,
    made: usize,
}

impl<'a> Expansion<'_, 'a> {
    fn all(&mut self, tokens: &[Token<'a>]) -> Result<Vec<Token<'a>>, Diagnostic> {
        let mut out = vec![];
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            let known = self.macros.by_name.get(token.text).filter(|_| token.kind == Kind::Word);
            let Some(known) = known.filter(|_| !self.active.contains(&token.text)) else {
                self.push(&mut out, *token)?;
                continue;
            };
            let body = match &known.parameters {
                None => self.substitute(known, &Parameters::default(), &[], *token)?,
                Some(parameters) => {
                    let Some((arguments, used)) = arguments(tokens.get(at..).unwrap_or_default()) else {
                        // A function's name without its arguments stands for itself.
                        self.push(&mut out, *token)?;
                        continue;
                    };
                    at += used;
                    self.substitute(known, parameters, &arguments, *token)?
                }
            };
            // One that stands for nothing counts too.
            self.made += 1;
            if self.active.len() >= MAX_DEPTH || self.made > MAX_TOKENS {
                return Err(too_much(token.span));
            }
            let body: Vec<Token<'a>> = body.into_iter().map(|t| Token { span: token.span, ..t }).collect();
            self.active.push(token.text);
            let inner = self.all(&body);
            self.active.pop();
            for token in inner? {
                self.push(&mut out, token)?;
            }
        }
        Ok(out)
    }

    fn push(&mut self, out: &mut Vec<Token<'a>>, token: Token<'a>) -> Result<(), Diagnostic> {
        self.made += 1;
        if self.made > MAX_TOKENS {
            return Err(too_much(token.span));
        }
        out.push(token);
        Ok(())
    }

    /// A macro's body with arguments in place of the parameters.
    fn substitute(
        &mut self,
        known: &Macro<'a>,
        parameters: &Parameters<'a>,
        arguments: &[&[Token<'a>]],
        call: Token<'a>,
    ) -> Result<Vec<Token<'a>>, Diagnostic> {
        let (given, wanted) = (arguments.len(), parameters.names.len());
        // `()` is one empty argument, or none.
        let none = wanted == 0 && given == 1 && arguments[0].is_empty();
        if !none && (given < wanted || (given > wanted && !parameters.variadic)) {
            let message =
                format!("the macro `{}` takes {wanted} arguments, and here it has {given}", call.text);
            return Err(Diagnostic::error("preprocessor", call.span, message));
        }
        if self.active.len() >= MAX_DEPTH {
            return Err(too_much(call.span));
        }
        let mut out: Vec<Token<'a>> = vec![];
        let function = known.parameters.is_some();
        let mut at = 0;
        while let Some(token) = known.body.get(at) {
            at += 1;
            let next = known.body.get(at).map_or("", |t| t.text);
            let raw = parameters.argument(token, arguments);
            match (token.text, raw) {
                ("#", _) if function => {
                    let named = known.body.get(at).and_then(|t| parameters.argument(t, arguments));
                    let argument = named.ok_or_else(|| {
                        Diagnostic::error("preprocessor", call.span, "`#` stands before no parameter")
                            .label(token.span, "it stands here")
                    })?;
                    at += 1;
                    let text = self.make(quoted(&argument), call)?;
                    out.push(Token { kind: Kind::Text, text, ..*token });
                }
                ("##", _) => {
                    let Some(right) = known.body.get(at) else { break };
                    at += 1;
                    let right_raw = parameters.argument(right, arguments);
                    let mut right_tokens = right_raw.unwrap_or_else(|| vec![*right]).into_iter();
                    let comma = right.text == VARIADIC && out.last().is_some_and(|t| t.text == ",");
                    match (out.pop(), right_tokens.next()) {
                        // GNU C: the comma before no arguments goes.
                        (Some(_), None) if comma => {}
                        (Some(left), Some(first)) if comma => out.extend([left, first]),
                        (Some(left), Some(first)) => out.push(self.paste(left, first, call)?),
                        (left, first) => out.extend(left.into_iter().chain(first)),
                    }
                    out.extend(right_tokens);
                }
                (_, Some(raw)) if next == "##" => out.extend(raw),
                (_, Some(raw)) => {
                    self.active.push("");
                    let argument = self.all(&raw);
                    self.active.pop();
                    out.extend(argument?);
                }
                (_, None) => out.push(*token),
            }
        }
        Ok(out)
    }

    fn make(&self, text: String, call: Token<'a>) -> Result<&'a str, Diagnostic> {
        self.macros.made.keep(text).ok_or_else(|| too_much(call.span))
    }

    /// One token of two.
    fn paste(&self, left: Token<'a>, right: Token<'a>, call: Token<'a>) -> Result<Token<'a>, Diagnostic> {
        let text = self.make(format!("{}{}", left.text, right.text), call)?;
        match tokens(text, left.span).as_deref() {
            Ok([one]) => Ok(Token { span: left.span, attached: left.attached, ..*one }),
            _ => {
                let message = format!("`{}` and `{}` do not make one word", left.text, right.text);
                Err(Diagnostic::error("preprocessor", call.span, message)
                    .note(format!("the macro `{}` joins them with `##`", call.text)))
            }
        }
    }
}

/// What the arguments of `...` are called.
const VARIADIC: &str = "__VA_ARGS__";

impl<'a> Parameters<'a> {
    /// What a token of the body stands for, if it is a parameter.
    fn argument(&self, token: &Token<'a>, arguments: &[&[Token<'a>]]) -> Option<Vec<Token<'a>>> {
        if token.kind != Kind::Word {
            return None;
        }
        if self.variadic && token.text == VARIADIC {
            let mut all = vec![];
            for (n, argument) in arguments.iter().enumerate().skip(self.names.len()) {
                if n > self.names.len() {
                    all.push(Token { kind: Kind::Punctuation, text: ",", ..*token });
                }
                all.extend_from_slice(argument);
            }
            return Some(all);
        }
        let number = self.names.iter().position(|name| *name == token.text)?;
        Some(arguments.get(number).copied().unwrap_or_default().to_vec())
    }
}

/// The text of tokens as a string with its quotes.
fn quoted(tokens: &[Token<'_>]) -> String {
    let mut text = String::from("\"");
    for (n, token) in tokens.iter().enumerate() {
        if n > 0 && !token.attached {
            text.push(' ');
        }
        for c in token.text.chars() {
            // Within quotes only, as in C.
            if (c == '"' || c == '\\') && matches!(token.kind, Kind::Text | Kind::Char) {
                text.push('\\');
            }
            text.push(c);
        }
    }
    text + "\""
}

fn too_much(span: Span) -> Diagnostic {
    Diagnostic::error("preprocessor", span, "the macros here lead to too much")
}

/// The arguments in the parentheses that begin there, and how many tokens they and the parentheses are.
fn arguments<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<(Vec<&'t [Token<'a>]>, usize)> {
    if tokens.first()?.text != "(" {
        return None;
    }
    let (mut depth, mut start, mut list) = (0usize, 1, vec![]);
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" => depth += 1,
            ")" if depth == 1 => {
                list.push(tokens.get(start..at)?);
                return Some((list, at + 1));
            }
            ")" => depth = depth.saturating_sub(1),
            "," if depth == 1 => {
                list.push(tokens.get(start..at)?);
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::*;

    /// Lines of `#define`, without that word, and what a text becomes with them.
    fn expanded(defines: &str, text: &str) -> Result<String, Diagnostic> {
        let made = Made::default();
        let mut macros = Macros::new(&made);
        for line in defines.lines() {
            macros.define(&tokens(line, Span::default())?);
        }
        let list = macros.expand(tokens(text, Span::default())?)?;
        Ok(list.iter().map(|t| t.text).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn values_and_functions() {
        let defines = "N 4\nTWICE(x) ((x) * 2)\nBOTH(a, ...) a, __VA_ARGS__\nNONE() 7\nM N + 1";
        for (text, expected) in [
            ("int a[N];", "int a [ 4 ] ;"),
            ("M", "4 + 1"),
            ("TWICE(N)", "( ( 4 ) * 2 )"),
            ("TWICE((1, 2))", "( ( ( 1 , 2 ) ) * 2 )"),
            ("BOTH(1, 2, 3) NONE()", "1 , 2 , 3 7"),
            ("TWICE", "TWICE"),
        ] {
            assert_eq!(expanded(defines, text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn tokens_are_made_of_others() {
        let defines = "N 4\nJOIN(a, b) a ## b\nWIDE(n) __be##n\nTEXT(x) #x\nVA(f, ...) f(0, ##__VA_ARGS__)\n\
                       THIRD(a, b, c) a##b##c\nNAMED a ## _ ## b\nAFTER(x) x ## N";
        for (text, expected) in [
            ("JOIN(u, 32) x;", "u32 x ;"),
            ("WIDE(16)", "__be16"),
            // Its operands are not expanded, and what comes of it is.
            ("JOIN(N, 1) JOIN(, N) JOIN(N,)", "N1 4 4"),
            ("AFTER(x)", "xN"),
            ("THIRD(1, 2, 3)", "123"),
            ("NAMED", "a_b"),
            ("TEXT(a  b+\"c\\n\")", "\"a b+\\\"c\\\\n\\\"\""),
            ("VA(f) VA(f, 1, 2)", "f ( 0 ) f ( 0 , 1 , 2 )"),
            (
                "DECLARE_BITMAP(map, 100)",
                "unsigned long map [ ( ( ( 100 ) + ( ( 8 * sizeof ( long ) ) ) - 1 ) / ( ( 8 * sizeof ( long ) ) ) ) ]",
            ),
        ] {
            assert_eq!(expanded(defines, text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_leads_to_itself_ends() {
        assert_eq!(expanded("A B\nB A", "A B").unwrap(), "A B");
        assert_eq!(expanded("F(x) F(x + 1)", "F(1)").unwrap(), "F ( 1 + 1 )");
        let doubling: String = (1..60).map(|n| format!("A{n} A{} A{}\n", n - 1, n - 1)).collect();
        assert!(expanded(&doubling, "A59").unwrap_err().message.contains("too much"));
        assert!(expanded(&format!("{doubling}A0"), "A59").unwrap_err().message.contains("too much"));
    }

    #[test]
    fn wrong_uses_are_told() {
        assert!(expanded("F(a, b) a", "F(1)").unwrap_err().message.contains("takes 2 arguments"));
        let error = expanded("F(a) x##a", "F(+)").unwrap_err();
        assert_eq!(error.message, "`x` and `+` do not make one word");
        assert!(expanded("F(a) # b", "F(1)").unwrap_err().message.contains("stands before no parameter"));
        let endless = format!("F(a) {}", "a##1 ".repeat(MAX_MADE + 1));
        assert!(expanded(&endless, "F(x)").unwrap_err().message.contains("too much"));
    }
}
