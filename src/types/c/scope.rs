//! What a script's own C defines. [`Types`] asks here before it asks the kernel.

use std::collections::HashMap;

use crate::diagnostics::Span;
use crate::syntax::ast::Tag;
use crate::types::store::Types;
use crate::types::{Enum, Struct, StructId, Type};

/// A type of C: what the language makes of it, and what only C's rules of layout need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub ty: Type,
    /// In bytes, where it is not the one that the type has by itself.
    pub align: Option<u32>,
    /// A function, which can only be pointed to.
    pub function: bool,
    /// How many pointers and arrays it is made of.
    pub depth: u32,
}

impl From<Type> for Object {
    fn from(ty: Type) -> Object {
        Object { ty, align: None, function: false, depth: 0 }
    }
}

/// The names that a script defines.
#[derive(Default)]
pub struct Scope {
    pub(super) typedefs: HashMap<String, (Object, Span)>,
    /// Structs, unions and enums, which share their names, and where each is defined.
    tags: HashMap<String, (Tag, Type, Span)>,
    enumerators: HashMap<String, (Type, i64, Span)>,
    /// Of the script's structs: how deep structs are in each other.
    nesting: HashMap<StructId, u32>,
}

impl Scope {
    /// As [`Types::find`].
    pub fn find(&self, tag: Option<Tag>, name: &str) -> Option<Type> {
        let typedef = || self.typedefs.get(name).map(|(object, _)| object.ty.clone());
        match tag {
            None => typedef().or_else(|| self.tags.get(name).map(|(_, ty, _)| ty.clone())),
            Some(tag) => self.tagged(name).filter(|(t, _, _)| *t == tag).map(|(_, ty, _)| ty),
        }
    }

    pub fn tagged(&self, name: &str) -> Option<(Tag, Type, Span)> {
        self.tags.get(name).cloned()
    }

    pub fn enumerator(&self, name: &str) -> Option<(Type, i64)> {
        self.enumerators.get(name).map(|(ty, value, _)| (ty.clone(), *value))
    }

    pub fn nesting(&self, id: StructId) -> u32 {
        self.nesting.get(&id).copied().unwrap_or(0)
    }

    /// The names of enumerators, for suggestions.
    pub fn constants(&self) -> impl Iterator<Item = &str> {
        self.enumerators.keys().map(String::as_str)
    }

    /// The names of types, for suggestions.
    pub fn names(&self, tag: Option<Tag>) -> impl Iterator<Item = &str> {
        let typedefs = self.typedefs.keys().filter(move |_| tag.is_none());
        let tags = self.tags.iter().filter(move |(_, (t, _, _))| tag.is_none_or(|tag| tag == *t));
        typedefs.chain(tags.map(|(name, _)| name)).map(String::as_str)
    }
}

impl Types {
    /// The struct or union of a name that the script mentions: one that it defines, or one that it only mentions and
    /// that may turn out to be the kernel's.
    pub(super) fn mention(&mut self, tag: Tag, name: &str) -> StructId {
        let known = self.known(tag == Tag::Union, name).or_else(|| self.header_struct(tag, name));
        known
            .or_else(|| self.opened(tag, name))
            .unwrap_or_else(|| self.table.declare(name, tag == Tag::Union))
    }

    /// The script will define a struct or union of that name: no other source is asked for it.
    pub(super) fn promise(&mut self, tag: Tag, name: &str) {
        let id = self.table.declare(name, tag == Tag::Union);
        self.table.promise(id);
    }

    /// The id that a name of a struct or union has by now.
    pub(super) fn known(&self, union: bool, name: &str) -> Option<StructId> {
        self.table.named(name, union).map(|(id, _)| id)
    }

    /// A struct or union that a header defines, and whose fields come later. Without a name, it is always another.
    pub(super) fn expect(&mut self, union: bool, name: &str) -> StructId {
        if name.is_empty() {
            return self.table.declare_anonymous(union);
        }
        let id = self.table.declare(name, union);
        self.table.promise(id);
        id
    }

    pub(super) fn supply(&mut self, id: StructId, layout: Struct) {
        self.table.define(id, layout);
    }

    pub(super) fn supply_enum(&mut self, definition: Enum) -> Type {
        let int = definition.int;
        Type::Enum { id: self.table.add_enum(definition), int }
    }

    /// The fields of a struct or union, whose id is from [`Types::mention`] if it has a name.
    pub(super) fn define_struct(
        &mut self,
        known: Option<StructId>,
        layout: Struct,
        nesting: u32,
        at: Span,
    ) -> Type {
        let id = known.unwrap_or_else(|| self.table.declare_anonymous(layout.union));
        if !layout.name.is_empty() {
            let tag = if layout.union { Tag::Union } else { Tag::Struct };
            self.scope.tags.insert(layout.name.clone(), (tag, Type::Struct(id), at));
        }
        self.scope.nesting.insert(id, nesting);
        self.table.define(id, layout);
        Type::Struct(id)
    }

    /// Gives a name to a struct that has none.
    pub(super) fn name_struct(&mut self, id: StructId, name: &str) {
        if let Some(layout) = self.table.layouts.structs.get_mut(&id).filter(|s| s.name.is_empty()) {
            layout.name = name.to_owned();
        }
    }

    pub(super) fn define_enum(&mut self, definition: Enum, at: Span) -> Type {
        let (name, int) = (definition.name.clone(), definition.int);
        let values = definition.values.clone();
        let ty = Type::Enum { id: self.table.add_enum(definition), int };
        if !name.is_empty() {
            self.scope.tags.insert(name, (Tag::Enum, ty.clone(), at));
        }
        for (name, value) in values {
            self.scope.enumerators.insert(name, (ty.clone(), value, at));
        }
        ty
    }

    pub(super) fn define_typedef(&mut self, name: &str, object: Object, at: Span) {
        self.scope.typedefs.insert(name.to_owned(), (object, at));
    }

    /// A struct of which only the name is known: whether it is a union, and the name.
    pub(super) fn declared(&self, id: StructId) -> Option<(bool, String)> {
        let layout = self.table.layouts.structs.get(&id).filter(|_| self.table.is_declared(id))?;
        Some((layout.union, layout.name.clone()))
    }

    /// Whether the script defines it further down.
    pub(super) fn is_promised(&self, id: StructId) -> bool {
        self.table.is_promised(id)
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }
}
