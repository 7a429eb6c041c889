//! Structs and unions with their members.

use std::collections::HashSet;

use super::attributes::Attributes;
use super::parser::{Parsed, Parser, Specifiers};
use super::record::{self, MAX_SIZE, Member, Rules};
use super::scope::Object;
use crate::diagnostics::{Diagnostic, Span};
use crate::syntax::ast::Tag;
use crate::types::{Field, Struct, Type};

/// How deep structs may lie in each other.
const MAX_NESTING: u32 = 48;

impl<'a> Parser<'_, 'a> {
    /// After `struct` or `union`: its type, and whether it is defined here without a name.
    pub fn record(&mut self, tag: Tag) -> Parsed<(Object, bool)> {
        let mut attributes = self.attributes()?;
        let name = self.word();
        attributes = attributes.and(self.attributes()?);
        if !self.at("{") {
            let Some((name, span)) = name else {
                return Err(self.unexpected(&format!("a name or `{{` after `{}`", tag.keyword())));
            };
            if let Some((other, _, at)) = self.types.scope().tagged(name).filter(|(t, _, _)| *t != tag) {
                let message = format!("`{name}` is no {}", tag.keyword());
                let label = format!("it is this {}", other.keyword());
                return Err(Diagnostic::error("c-type", span, message).label(at, label));
            }
            return Ok((Type::Struct(self.types.mention(tag, name)).into(), false));
        }
        let known = match name {
            Some((name, span)) => {
                self.check_tag(tag, name, span)?;
                Some(self.types.mention(tag, name))
            }
            None => None,
        };
        let at = name.map_or(self.span(), |(_, span)| span);
        self.skip();
        let (members, nesting) = self.members()?;
        let attributes = attributes.and(self.attributes()?);
        let rules = Rules {
            union: tag == Tag::Union,
            packed: attributes.packed,
            aligned: attributes.aligned,
            pack: self.pack,
        };
        let name = name.map_or("", |(name, _)| name);
        let layout = record::lay_out(name, members, rules).ok_or_else(|| too_large(at))?;
        Ok((self.types.define_struct(known, layout, nesting, at).into(), name.is_empty()))
    }

    /// After the `{`, and the `}` too. Also how deep structs are in each other.
    fn members(&mut self) -> Parsed<(Vec<Member>, u32)> {
        let mut list = Members { list: vec![], names: HashSet::new(), nesting: 0 };
        while !self.take("}") {
            if self.peek().is_none() {
                return Err(self.unexpected("a field or `}`"));
            }
            if self.take(";") || self.static_assert()? {
                continue;
            }
            let specifiers = self.specifiers()?;
            if self.at(";") || self.at("}") {
                // A struct without a name gives its fields to this one; one with a name is only defined here.
                if specifiers.anonymous && matches!(specifiers.object.ty, Type::Struct(_)) {
                    self.anonymous(&specifiers, &mut list)?;
                }
            } else {
                self.fields(&specifiers, &mut list)?;
            }
            // Clang and GCC do without the last one too.
            if !self.at("}") {
                self.expect(";", "after a field")?;
            }
        }
        Ok((list.list, list.nesting))
    }

    fn anonymous(&mut self, specifiers: &Specifiers, list: &mut Members) -> Parsed<()> {
        let inner = match &specifiers.object.ty {
            Type::Struct(id) => {
                self.types.structure(*id).map(|s: &Struct| s.fields.clone()).unwrap_or_default()
            }
            _ => vec![],
        };
        for Field { name, .. } in &inner {
            list.name(name, specifiers.span)?;
        }
        self.member(None, &specifiers.object, specifiers.attributes, inner, specifiers.span, list)
    }

    /// The declarators of one declaration.
    fn fields(&mut self, specifiers: &Specifiers, list: &mut Members) -> Parsed<()> {
        loop {
            if self.at(":") {
                self.bitfield(None, &specifiers.object, specifiers.attributes, self.span(), list)?;
            } else {
                let declared = self.declarator(specifiers.object.clone(), specifiers.attributes)?;
                let Some((name, span)) = declared.name else { return Err(self.unexpected("a field's name")) };
                list.name(name, span)?;
                let attributes = specifiers.attributes.and(declared.attributes);
                let object = self.vector(declared.object, attributes, span)?;
                if self.at(":") {
                    self.bitfield(Some(name), &object, attributes, span, list)?;
                } else {
                    self.member(Some(name), &object, attributes, vec![], span, list)?;
                }
            }
            if !self.take(",") {
                return Ok(());
            }
        }
    }

    fn member(
        &mut self,
        name: Option<&'a str>,
        object: &Object,
        attributes: Attributes,
        inner: Vec<Field>,
        span: Span,
        list: &mut Members,
    ) -> Parsed<()> {
        let (size, align) = self.size_and_alignment(object, span)?;
        list.nesting = list.nesting.max(self.nesting(&object.ty));
        if list.nesting > MAX_NESTING {
            return Err(Diagnostic::error("too-deep", span, "structs are nested too deeply"));
        }
        list.list.push(Member {
            name: name.map(str::to_owned),
            object: object.clone(),
            size,
            align,
            width: None,
            packed: attributes.packed,
            aligned: attributes.aligned,
            inner,
        });
        Ok(())
    }

    fn nesting(&self, ty: &Type) -> u32 {
        match ty {
            Type::Array { elem, .. } => self.nesting(elem),
            Type::Struct(id) => self.types.scope().nesting(*id) + 1,
            _ => 0,
        }
    }

    /// From the `:` on.
    fn bitfield(
        &mut self,
        name: Option<&'a str>,
        object: &Object,
        attributes: Attributes,
        span: Span,
        list: &mut Members,
    ) -> Parsed<()> {
        self.skip();
        let start = self.span();
        let value = self.constant()?.value;
        let width = start.to(self.last());
        let attributes = attributes.and(self.attributes()?);
        let Some(int) = object.ty.as_int().filter(|_| !matches!(object.ty, Type::Ptr { .. })) else {
            return Err(Diagnostic::error("c-type", span, "only integers and enums can be bitfields"));
        };
        let most = if object.ty == Type::Bool { 1 } else { 8 * i128::from(int.size) };
        let least = i128::from(name.is_some());
        if !(least..=most).contains(&value) {
            let message = match (value, name) {
                (0, Some(name)) => format!("the bitfield `{name}` has no bits"),
                _ => format!("a bitfield of this type cannot have {value} bits"),
            };
            return Err(
                Diagnostic::error("c-constant", width, message).note(format!("it can have up to {most}"))
            );
        }
        let (size, align) = self.size_and_alignment(object, span)?;
        list.list.push(Member {
            name: name.map(str::to_owned),
            object: object.clone(),
            size,
            align,
            width: u32::try_from(value).ok(),
            packed: attributes.packed,
            aligned: attributes.aligned,
            inner: vec![],
        });
        Ok(())
    }
}

struct Members {
    list: Vec<Member>,
    names: HashSet<String>,
    nesting: u32,
}

impl Members {
    /// Each name may stand once.
    fn name(&mut self, name: &str, span: Span) -> Parsed<()> {
        if self.names.insert(name.to_owned()) {
            return Ok(());
        }
        Err(Diagnostic::error("c-redefined", span, format!("there are two fields named `{name}`")))
    }
}

fn too_large(span: Span) -> Diagnostic {
    Diagnostic::error("c-type", span, "this type is too large")
        .note(format!("{MAX_SIZE} bytes are the most that is supported"))
}
