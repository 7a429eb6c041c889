//! The C definitions of scripts: `struct`, `union`, `enum` and `typedef`, with what of the preprocessor they need.
//!
//! This is a small parser of declarations, not a compiler: it knows the types of C, the layout that the ABI gives
//! them, attributes that change a layout, and constant expressions. Names that the script does not define are the
//! kernel's, from BTF.

mod attributes;
mod constant;
mod declarator;
mod expression;
mod headers;
mod include;
mod libclang;
mod macros;
mod members;
mod parser;
mod reading;
mod record;
mod scope;
mod supplies;
mod token;

#[cfg(test)]
mod tests;

pub use headers::MacroText;
pub use include::Includes;
pub use reading::{HeaderMacros, Reading, include};
pub use scope::Scope;

use crate::diagnostics::{Diagnostics, Span};
use crate::syntax::ast::{Definition, DefinitionKind, Tag};
use crate::types::store::Types;
use macros::{Macros, Made};
use parser::Parser;
use token::{Kind, Token};

/// Messages about the definitions of one script.
const MAX_MESSAGES: usize = 10;

/// Makes what the script defines known to `types`. Conditions (`#if`) have been decided: the definitions are those
/// that count.
pub fn define(definitions: &[Definition], types: &mut Types) -> Diagnostics {
    let mut diagnostics = Diagnostics::default();
    if !definitions.iter().any(|d| d.kind == DefinitionKind::Type) {
        return diagnostics;
    }
    let made = Made::default();
    let mut reader = Reader { macros: Macros::new(&made), pack: Pack::default(), read: vec![] };
    for definition in definitions {
        if let Err(diagnostic) = reader.read(definition) {
            diagnostics.push(diagnostic);
        }
    }
    let read = reader.read;
    for (tag, name) in read.iter().flat_map(|r| defined_tags(&r.tokens)) {
        types.promise(tag, name);
    }
    for Read { tokens, span, pack } in &read {
        if let Err(diagnostic) = Parser::new(tokens, *span, *pack, types).definitions() {
            diagnostics.push(diagnostic);
            // The more there are, the more of them follow from the first.
            if diagnostics.iter().count() >= MAX_MESSAGES {
                break;
            }
        }
    }
    diagnostics
}

/// One definition, its macros in place.
struct Read<'a> {
    tokens: Vec<Token<'a>>,
    span: Span,
    /// The `#pragma pack` in force, in bytes.
    pack: Option<u32>,
}

struct Reader<'a> {
    macros: Macros<'a>,
    pack: Pack,
    read: Vec<Read<'a>>,
}

impl<'a> Reader<'a> {
    fn read(&mut self, definition: &'a Definition) -> Result<(), crate::diagnostics::Diagnostic> {
        let tokens = match (token::tokens(&definition.text, definition.span), definition.kind) {
            (Ok(tokens), _) => tokens,
            // A macro of statements is for probes only.
            (Err(_), DefinitionKind::Directive) => return Ok(()),
            (Err(problem), _) => return Err(problem),
        };
        match definition.kind {
            DefinitionKind::Include => {}
            DefinitionKind::Type => {
                let tokens = self.macros.expand(tokens)?;
                self.read.push(Read { tokens, span: definition.span, pack: self.pack.now });
            }
            DefinitionKind::Directive => {
                let word = |n: usize| tokens.get(n).map_or("", |t| t.text);
                match (word(1), word(2)) {
                    ("define", _) => self.macros.define(tokens.get(2..).unwrap_or_default()),
                    ("undef", name) => self.macros.undefine(name),
                    ("pragma", "pack") => self.pack.apply(tokens.get(3..).unwrap_or_default()),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// `#pragma pack`
#[derive(Default)]
struct Pack {
    now: Option<u32>,
    saved: Vec<Option<u32>>,
}

impl Pack {
    /// `(n)`, `()`, `(push)`, `(push, n)`, `(pop)`
    fn apply(&mut self, tokens: &[Token<'_>]) {
        if tokens.iter().any(|t| t.text == "push") {
            self.saved.push(self.now);
        }
        if tokens.iter().any(|t| t.text == "pop") {
            self.now = self.saved.pop().flatten();
        }
        let number = tokens.iter().find(|t| t.kind == Kind::Number).and_then(|t| t.text.parse().ok());
        match number {
            Some(1 | 2 | 4 | 8 | 16) => self.now = number,
            Some(0) => self.now = None,
            None if tokens.len() == 2 => self.now = None,
            _ => {}
        }
    }
}

/// The structs and unions that are defined there, at any depth.
fn defined_tags<'t, 'a>(tokens: &'t [Token<'a>]) -> impl Iterator<Item = (Tag, &'a str)> + use<'t, 'a> {
    tokens.iter().enumerate().filter_map(|(at, token)| {
        let tag = match token.text {
            "struct" => Tag::Struct,
            "union" => Tag::Union,
            _ => return None,
        };
        let head: Vec<&Token<'a>> =
            tokens.get(at + 1..)?.iter().take_while(|t| !"{};".contains(t.text)).collect();
        let opens = tokens.get(at + 1 + head.len()).is_some_and(|t| t.text == "{");
        // The name stands outside of the parentheses of attributes.
        let mut depth = 0usize;
        let outside = head.into_iter().filter(|t| {
            match t.text {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                _ => return depth == 0,
            }
            false
        });
        let mut words = outside.filter(|t| !attributes::is_attribute(t.text));
        let name = words.next().filter(|t| opens && t.kind == Kind::Word)?;
        words.next().is_none().then_some((tag, name.text))
    })
}
