//! `#define`, for the C definitions of a script: what macros stand for takes the place of their names, token by
//! token, as C has it. (What they mean in probes is the business of [`crate::expand`].)

use std::collections::HashMap;

use super::token::{Kind, Token};
use crate::diagnostics::{Diagnostic, Span};

/// How many tokens one definition may have in the end: they can double with each macro that is defined by others.
const MAX_TOKENS: usize = 200_000;

/// How deep macros may stand in each other's definitions and arguments.
const MAX_DEPTH: usize = 64;

#[derive(Default)]
pub struct Macros<'a> {
    by_name: HashMap<&'a str, Macro<'a>>,
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
        if self.by_name.is_empty() {
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
                None => known.body.clone(),
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
        let mut out = vec![];
        for token in &known.body {
            if token.text == "##" || token.text == "#" {
                let message = format!(
                    "the macro `{}` makes tokens with `{}`, which is not supported",
                    call.text, token.text
                );
                return Err(
                    Diagnostic::error("unsupported", call.span, message).label(token.span, "it does so here")
                );
            }
            let number = parameters.names.iter().position(|name| *name == token.text);
            match number {
                Some(number) if token.kind == Kind::Word => {
                    self.active.push("");
                    let argument = self.all(arguments.get(number).copied().unwrap_or_default());
                    self.active.pop();
                    out.extend(argument?);
                }
                _ if parameters.variadic && token.text == "__VA_ARGS__" => {
                    for (n, argument) in arguments.iter().enumerate().skip(wanted) {
                        if n > wanted {
                            out.push(Token { kind: Kind::Punctuation, text: ",", ..*token });
                        }
                        out.extend_from_slice(argument);
                    }
                }
                _ => out.push(*token),
            }
        }
        Ok(out)
    }
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
        let mut macros = Macros::default();
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
        assert!(expanded("F(a) x##a", "F(1)").unwrap_err().message.contains("##"));
    }
}
