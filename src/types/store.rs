//! The types that a script can name, gathered from every source and loaded as they are used.

use std::collections::HashMap;
use std::path::PathBuf;

use libbpf_sys as sys;

use super::btf::Kind;
use super::convert::{Converter, Sources, Table, TypeRef};
use super::names::well_known;
use super::{Enum, EnumId, Layouts, Struct, StructId, Type};
use crate::diagnostics::suggest;
use crate::kernel::Kernel;
use crate::syntax::ast::Tag;

/// All named types. Structs are known by id as soon as something mentions them; their fields are read from BTF
/// when someone looks inside.
pub struct Types {
    sources: Sources,
    table: Table,
    enumerators: HashMap<String, Option<(Type, i64)>>,
}

/// A function's parameters and result, from BTF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    pub params: Vec<(String, Type)>,
    pub result: Type,
}

impl Types {
    /// Nothing is opened before the first question.
    pub fn new(_kernel: &Kernel) -> Types {
        Types::from_sources(Sources::default())
    }

    /// With the kernel's types from a file, raw BTF or an ELF with `.BTF`, instead of from the running kernel.
    pub fn with_btf(path: PathBuf) -> Types {
        Types::from_sources(Sources::new(Some(path)))
    }

    fn from_sources(sources: Sources) -> Types {
        Types { sources, table: Table::default(), enumerators: HashMap::new() }
    }

    /// Why no types of the kernel are known, if so.
    pub fn problem(&mut self) -> Option<&str> {
        self.sources.problem()
    }

    /// The type of that name: a struct, union or enum with its tag or without, a typedef.
    pub fn find(&mut self, tag: Option<Tag>, name: &str) -> Option<Type> {
        let name = name.strip_prefix("const ").unwrap_or(name);
        if tag.is_none()
            && let Some(known) = well_known(name)
        {
            return Some(known);
        }
        // Only a name of more than one word can be empty or contain blanks, and no type of C has such a name.
        if name.is_empty() || name.contains(char::is_whitespace) {
            return None;
        }
        let found = self.sources.find(name, kinds(tag))?;
        Some(self.converter().convert(found))
    }

    /// A struct with its fields, loaded if need be. `None` for one that is only declared.
    pub fn structure(&mut self, id: StructId) -> Option<&Struct> {
        self.converter().load(id).then(|| self.table.layouts.structs.get(&id)).flatten()
    }

    pub fn enumeration(&mut self, id: EnumId) -> Option<&Enum> {
        self.table.layouts.enums.get(&id)
    }

    /// A constant of any enum of the kernel: `TCP_ESTABLISHED`.
    pub fn enumerator(&mut self, name: &str) -> Option<(Type, i64)> {
        if let Some(known) = self.enumerators.get(name) {
            return known.clone();
        }
        let found = self.search_enumerators(name);
        let found = found.map(|(ty, value)| (self.converter().convert(ty), value));
        self.enumerators.insert(name.to_owned(), found.clone());
        found
    }

    /// Goes through all enums: an index over them would cost more to build than the few searches of a script.
    fn search_enumerators(&mut self, name: &str) -> Option<(TypeRef, i64)> {
        self.sources.vmlinux()?;
        self.enumerators_from(0, name).or_else(|| {
            let opened = self.sources.objects().count();
            self.sources.open_modules();
            self.enumerators_from(opened, name)
        })
    }

    fn enumerators_from(&self, first: usize, name: &str) -> Option<(TypeRef, i64)> {
        self.sources.objects().skip(first).find_map(|(object, _, btf)| {
            btf.ids().find_map(|id| match btf.entry(id)?.kind {
                Kind::Enum(values) => {
                    let (_, value) = values.values().find(|(n, _)| *n == name)?;
                    Some((self.sources.at(object, id), value))
                }
                _ => None,
            })
        })
    }

    /// A kernel function's prototype, of a module where given.
    pub fn function(&mut self, module: Option<&str>, name: &str) -> Option<Prototype> {
        let found = self.find_function(module, name)?;
        self.prototype(found)
    }

    fn find_function(&mut self, module: Option<&str>, name: &str) -> Option<TypeRef> {
        match module {
            Some(module) => self.sources.find_in(module, name, sys::BTF_KIND_FUNC),
            None => self.sources.find(name, &[sys::BTF_KIND_FUNC]),
        }
    }

    fn prototype(&mut self, function: TypeRef) -> Option<Prototype> {
        let btf = self.sources.object(function)?;
        let Kind::Func { proto } = btf.entry(function.id())?.kind else { return None };
        let Kind::Proto(proto) = btf.entry(proto)?.kind else { return None };
        let mut convert = |id| {
            let ty = self.sources.within(function, id);
            self.converter().convert(ty)
        };
        let params = proto
            .params()
            // `...` is not a parameter that could be read.
            .filter(|(name, ty)| !(name.is_empty() && *ty == 0))
            .map(|(name, ty)| (name.to_owned(), convert(ty)))
            .collect();
        Some(Prototype { params, result: convert(proto.result) })
    }

    /// Names of structs or of typedefs close to this one, best first, for "did you mean".
    pub fn similar(&mut self, tag: Option<Tag>, name: &str) -> Vec<String> {
        self.sources.vmlinux();
        let kinds = kinds(tag);
        let mut known: Vec<&str> = if tag.is_none() { super::names::all().collect() } else { vec![] };
        for (_, _, btf) in self.sources.objects() {
            let entries = btf.ids().filter_map(|id| btf.entry(id));
            known.extend(entries.filter(|e| e.kind.is(kinds)).map(|e| e.name));
        }
        suggest::closest(name, known.into_iter().filter(|n| !n.is_empty()))
    }

    /// Loads everything that a value of this type holds, so that [`Types::layouts`] can size and print it.
    pub fn close(&mut self, ty: &Type) {
        match ty {
            Type::Array { elem, .. } => self.close(elem),
            Type::Tuple(types) => types.iter().for_each(|ty| self.close(ty)),
            Type::Record(fields) => fields.iter().for_each(|(_, ty)| self.close(ty)),
            Type::Struct(id) => {
                // What is loaded is not always closed, but C lets no struct hold itself, so this ends.
                let fields = self.structure(*id).map(|s| s.fields.clone()).unwrap_or_default();
                fields.iter().for_each(|field| self.close(&field.ty));
            }
            _ => {}
        }
    }

    /// What has been loaded so far.
    pub fn layouts(&self) -> &Layouts {
        &self.table.layouts
    }

    fn converter(&mut self) -> Converter<'_> {
        Converter { sources: &mut self.sources, table: &mut self.table }
    }
}

/// The kinds of BTF that a name can be, in the order in which they are looked for. C itself wants the tag; without
/// one a typedef goes first, as in C.
fn kinds(tag: Option<Tag>) -> &'static [u32] {
    match tag {
        Some(Tag::Struct) => &[sys::BTF_KIND_STRUCT],
        Some(Tag::Union) => &[sys::BTF_KIND_UNION],
        Some(Tag::Enum) => &[sys::BTF_KIND_ENUM, sys::BTF_KIND_ENUM64],
        None => &[
            sys::BTF_KIND_TYPEDEF,
            sys::BTF_KIND_STRUCT,
            sys::BTF_KIND_UNION,
            sys::BTF_KIND_ENUM,
            sys::BTF_KIND_ENUM64,
        ],
    }
}

#[cfg(test)]
mod tests;
