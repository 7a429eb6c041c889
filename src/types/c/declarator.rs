//! What stands around a name: pointers, arrays, functions.

use super::attributes::Attributes;
use super::parser::{Parsed, Parser};
use super::record::MAX_SIZE;
use super::scope::Object;
use super::token::Kind;
use crate::diagnostics::{Diagnostic, Span};
use crate::types::{Int, Space, Type};

/// How many pointers and arrays a type may be made of.
const MAX_DEPTH: u32 = 48;

/// A name and its type.
pub struct Declared<'a> {
    /// Absent from the abstract ones: `int *[4]`.
    pub name: Option<(&'a str, Span)>,
    pub object: Object,
    /// Those that stand with the name, which are not the type's.
    pub attributes: Attributes,
}

/// `[n]`, or the parameters of a function.
enum Suffix {
    Array(Option<u64>, Span),
    Function(Span),
}

impl<'a> Parser<'_, 'a> {
    /// A declarator of a type, and the attributes after it. `before` is what the specifiers said of it.
    pub fn declarator(&mut self, base: Object, before: Attributes) -> Parsed<Declared<'a>> {
        self.nested(|this| {
            let (mut object, mut attributes, mut user) = (base, this.attributes()?, before.user);
            user |= attributes.user;
            while this.at("*") {
                let span = this.span();
                this.skip();
                object = pointer(object, user, span)?;
                let found = this.attributes()?;
                user = found.user;
                attributes = attributes.and(found);
            }
            // A parenthesis begins either another declarator or, where there is no name, parameters.
            let inner = this.at("(")
                && this.peek_at(1).is_some_and(|t| t.text == "*" || t.text == "(" || t.kind == Kind::Word)
                && !this.parameters_follow();
            let mut declared = if inner {
                let start = this.position();
                this.skip();
                this.skip_parentheses()?;
                let object = this.suffixes(object)?;
                let end = this.position();
                this.go_to(start + 1);
                let declared = this.declarator(object, Attributes::default())?;
                this.expect(")", "after a name")?;
                this.go_to(end);
                declared
            } else {
                let name = this.word();
                let object = this.suffixes(object)?;
                Declared { name, object, attributes: Attributes::default() }
            };
            attributes = attributes.and(this.attributes()?);
            declared.attributes = declared.attributes.and(attributes);
            Ok(declared)
        })
    }

    /// After a `(`, which comes next: a type begins the parameters of a function without a name.
    fn parameters_follow(&mut self) -> bool {
        self.skip();
        let parameters =
            self.starts_type() && !self.peek().is_some_and(|t| super::attributes::is_attribute(t.text));
        self.go_to(self.position() - 1);
        parameters
    }

    fn suffixes(&mut self, base: Object) -> Parsed<Object> {
        let mut list = vec![];
        loop {
            let span = self.span();
            if self.take("[") {
                // C has qualifiers and `static` here, in parameters.
                let length = if self.at("]") { None } else { Some(self.array_length()?) };
                self.expect("]", "after an array's length")?;
                list.push(Suffix::Array(length, span.to(self.last())));
            } else if self.take("(") {
                self.skip_parentheses()?;
                list.push(Suffix::Function(span));
            } else {
                break;
            }
        }
        // The last one is the innermost: `int a[2][3]` has two elements of three.
        list.into_iter().rev().try_fold(base, |object, suffix| match suffix {
            Suffix::Array(length, span) => self.array(object, length, span),
            Suffix::Function(span) if object.function => {
                Err(Diagnostic::error("c-type", span, "a function cannot yield a function"))
            }
            Suffix::Function(_) => Ok(Object { function: true, ..Object::from(Type::Void) }),
        })
    }

    fn array_length(&mut self) -> Parsed<u64> {
        let start = self.span();
        let value = self.constant()?.value;
        let span = start.to(self.last());
        u64::try_from(value).map_err(|_| {
            Diagnostic::error("c-constant", span, format!("an array cannot have {value} elements"))
        })
    }

    fn array(&mut self, elem: Object, length: Option<u64>, span: Span) -> Parsed<Object> {
        let (size, _) = self.size_and_alignment(&elem, span)?;
        let length = length.unwrap_or(0);
        let total = size.max(1).saturating_mul(length);
        let (Ok(len), true) = (u32::try_from(length), total <= MAX_SIZE) else {
            return Err(Diagnostic::error("c-type", span, "this array is too large")
                .note(format!("it takes {total} bytes; {MAX_SIZE} are the most that is supported")));
        };
        // As with the kernel's own types: an array of characters is text, one without an end is not known to be.
        let text = elem.ty == Type::Int(Int::I8) && len > 0;
        let depth = deeper(&elem, span)?;
        let ty = if text { Type::Str(len) } else { Type::Array { elem: Box::new(elem.ty), len } };
        Ok(Object { ty, depth, ..elem })
    }

    /// A type without a name: in `sizeof` and casts.
    pub fn type_name(&mut self) -> Parsed<Object> {
        let specifiers = self.specifiers()?;
        let declared = self.declarator(specifiers.object, specifiers.attributes)?;
        match declared.name {
            None => Ok(declared.object),
            Some((name, span)) => Err(Diagnostic::error(
                "c-syntax",
                span,
                format!("expected a type only, found the name `{name}`"),
            )),
        }
    }
}

/// A pointer, whose memory is known only where it is said; the probe decides otherwise.
fn pointer(to: Object, user: bool, span: Span) -> Parsed<Object> {
    let depth = deeper(&to, span)?;
    let space = if user { Space::User } else { Space::Unknown };
    Ok(Object { depth, ..Object::from(Type::ptr(to.ty, space)) })
}

fn deeper(object: &Object, span: Span) -> Parsed<u32> {
    match object.depth {
        depth if depth < MAX_DEPTH => Ok(depth + 1),
        _ => Err(Diagnostic::error("too-deep", span, "this type is made of too many pointers and arrays")),
    }
}
