//! The types that a script can name, gathered from every source and loaded as they are used.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use libbpf_sys as sys;

use super::btf::{Btf, Entry, Kind, Proto};
use super::c::{Reading, Scope};
use super::convert::{Converter, Sources, Table, TypeRef};
use super::dwarf::Programs;
use super::linked::Linked;
use super::names::well_known;
use super::spell::Speller;
use super::{Enum, EnumId, Layouts, Struct, StructId, Type, constants};
use crate::diagnostics::suggest;
use crate::kernel::Kernel;
use crate::syntax::ast::Tag;

/// All named types. Structs are known by id as soon as something mentions them; their fields are read from BTF
/// when someone looks inside.
pub struct Types {
    pub(super) sources: Sources,
    pub(super) table: Table,
    /// What the script defines: it wins over every other source.
    pub(super) scope: Scope,
    /// The headers that it includes.
    pub(super) reading: Reading,
    enumerators: HashMap<String, Option<(Type, i64)>>,
    pub(super) programs: Programs,
    pub(super) linked: Linked,
    /// The last one used, since making one takes memory for every type there is.
    speller: Option<(Rc<Btf>, Speller)>,
    /// One more, for what headers of the script's take from headers that are not there.
    printer: Option<(Rc<Btf>, Speller)>,
}

/// A function's parameters and result, from BTF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    pub params: Vec<(String, Type)>,
    /// More may follow: `...`.
    pub variadic: bool,
    pub result: Type,
}

/// The same as C spells it, for listings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Each parameter's type and name: `struct file *`, `file`.
    pub params: Vec<(String, String)>,
    /// `ssize_t`; `void` where there is none.
    pub result: String,
}

/// What the name of a constant stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// An enumerator, with its enum's type.
    Enumerator(Type, i64),
    /// A well-known constant of the kernel's headers: a number like one that the script would have.
    Number(i128),
    /// A string, from a header that the script includes.
    Text(Vec<u8>),
}

/// What a raw tracepoint's function is called: since 6.4, and before that since 5.10. The functions for a tracepoint's
/// perf events would do as well, but they are named for the event's class.
const RAW_TRACEPOINT: [&str; 2] = ["__probestub_", "__traceiter_"];

impl Types {
    /// Nothing is opened before the first question.
    pub fn new(kernel: &Kernel) -> Types {
        Types {
            sources: Sources::new(kernel.btf().map(Path::to_owned)),
            table: Table::default(),
            scope: Scope::default(),
            reading: Reading::default(),
            enumerators: HashMap::new(),
            programs: Programs::default(),
            linked: Linked::default(),
            speller: None,
            printer: None,
        }
    }

    /// Why no types of the kernel are known, if so.
    pub fn problem(&mut self) -> Option<&str> {
        self.sources.problem()
    }

    /// The same, if somebody has asked for such types already.
    pub fn failure(&self) -> Option<&str> {
        self.sources.failure()
    }

    /// The type of that name: a struct, union or enum with its tag or without, a typedef.
    pub fn find(&mut self, tag: Option<Tag>, name: &str) -> Option<Type> {
        let name = name.strip_prefix("const ").unwrap_or(name);
        if let Some(defined) = self.scope.find(tag, name) {
            return Some(defined);
        }
        if tag.is_none()
            && let Some(known) = well_known(name)
        {
            return Some(known);
        }
        // Only a name of more than one word can be empty or contain blanks, and no type of C has such a name.
        if name.is_empty() || name.contains(char::is_whitespace) {
            return None;
        }
        if self.headers_first()
            && let Some(defined) = self.header_type(tag, name)
        {
            return Some(defined);
        }
        if let Some(defined) = self.program_type(tag, name) {
            return Some(defined);
        }
        match self.sources.find(name, kinds(tag)) {
            Some(found) => Some(self.converter().convert(found)),
            None => self.header_type(tag, name).or_else(|| self.linked_type(tag, name)),
        }
    }

    /// Whether the kernel describes its types. They are not read for that.
    pub fn has_btf(&self) -> bool {
        self.sources.exist()
    }

    /// A struct or union that can be told without opening anything.
    pub(super) fn opened(&mut self, tag: Tag, name: &str) -> Option<StructId> {
        let found = self.sources.find_opened(name, kinds(Some(tag)))?;
        match self.converter().convert(found) {
            Type::Struct(id) => Some(id),
            _ => None,
        }
    }

    /// A struct with its fields, loaded if need be. `None` for one that is only declared.
    pub fn structure(&mut self, id: StructId) -> Option<&Struct> {
        let known = self.program_fields(id)
            || self.header_fields(id)
            || (self.headers_first() && self.header_fields_of_declared(id))
            || self.converter().load(id)
            || self.header_fields_of_declared(id);
        known.then(|| self.table.layouts.structs.get(&id)).flatten()
    }

    pub fn enumeration(&mut self, id: EnumId) -> Option<&Enum> {
        self.table.layouts.enums.get(&id)
    }

    /// A constant of the kernel: of any of its enums, or of its headers.
    pub fn constant(&mut self, name: &str) -> Option<Named> {
        if let Some((ty, value)) = self.scope.enumerator(name) {
            return Some(Named::Enumerator(ty, value));
        }
        if self.headers_first()
            && let Some(known) = self.header_constant(name)
        {
            return Some(known);
        }
        if let Some((ty, value)) = self.program_enumerator(name) {
            return Some(Named::Enumerator(ty, value));
        }
        let known = constants::lookup(name);
        // A macro is in no BTF, so none is read for it.
        if known.is_none_or(|c| c.enumerator)
            && let Some((ty, value)) = self.enumerator(name)
        {
            return Some(Named::Enumerator(ty, value));
        }
        match known {
            Some(known) => Some(Named::Number(known.value)),
            None => self.header_constant(name),
        }
    }

    /// Names of constants close to this one, best first, for "did you mean".
    pub fn similar_constants(&mut self, name: &str) -> Vec<String> {
        self.sources.vmlinux();
        let mut known: Vec<&str> = constants::names().collect();
        known.extend(self.scope.constants());
        for (_, _, btf) in self.sources.objects() {
            for entry in btf.ids().filter_map(|id| btf.entry(id)) {
                if let Kind::Enum(values) = entry.kind {
                    known.extend(values.values().map(|(name, _)| name));
                }
            }
        }
        suggest::closest(name, known)
    }

    /// A constant of any enum of the script or of the kernel: `TCP_ESTABLISHED`.
    pub fn enumerator(&mut self, name: &str) -> Option<(Type, i64)> {
        if let Some(defined) = self.scope.enumerator(name) {
            return Some(defined);
        }
        if let Some(known) = self.enumerators.get(name) {
            return known.clone();
        }
        let found = self.search_enumerators(name);
        let found = found.map(|(ty, value)| (self.converter().convert(ty), value));
        self.enumerators.insert(name.to_owned(), found.clone());
        found
    }

    fn search_enumerators(&mut self, name: &str) -> Option<(TypeRef, i64)> {
        self.sources.vmlinux()?;
        self.enumerators_from(0, name).or_else(|| {
            // The modules are many, and what is known without them is not one of theirs.
            if constants::lookup(name).is_some() {
                return None;
            }
            let opened = self.sources.objects().count();
            self.sources.open_modules();
            self.enumerators_from(opened, name)
        })
    }

    fn enumerators_from(&self, first: usize, name: &str) -> Option<(TypeRef, i64)> {
        self.sources.objects().skip(first).find_map(|(object, _, btf)| {
            let (id, value) = btf.enumerator(name)?;
            Some((self.sources.at(object, id), value))
        })
    }

    /// A kernel function's prototype, of a module where given.
    pub fn function(&mut self, module: Option<&str>, name: &str) -> Option<Prototype> {
        let found = self.find_function(module, name)?;
        self.prototype(found)
    }

    /// A variable of the kernel itself that BTF describes, which are those that each CPU has for itself: its number in
    /// BTF and its type.
    pub fn variable(&mut self, name: &str) -> Option<(u32, Type)> {
        let id = self.sources.vmlinux()?.find(name, sys::BTF_KIND_VAR)?;
        let found = self.sources.at(0, id);
        Some((id, self.converter().convert(found)))
    }

    /// The names of such variables that a name may be a slip of.
    pub fn similar_variables(&mut self, name: &str) -> Vec<String> {
        let Some(btf) = self.sources.vmlinux() else { return vec![] };
        let variables = btf.ids().filter_map(|id| btf.entry(id).filter(|e| matches!(e.kind, Kind::Var(_))));
        suggest::closest(name, variables.map(|entry| entry.name))
    }

    /// The arguments of a raw tracepoint: those that the kernel's code gives to the event, before any record is made.
    pub fn raw_tracepoint(&mut self, module: Option<&str>, event: &str) -> Option<Prototype> {
        let found = self.find_raw_tracepoint(module, event)?;
        let mut prototype = self.prototype(found)?;
        // The first one is the private data of whoever listens.
        prototype.params.drain(..prototype.params.len().min(1));
        Some(prototype)
    }

    /// A function's prototype as C spells it.
    pub fn signature(&mut self, module: Option<&str>, name: &str) -> Option<Signature> {
        let found = self.find_function(module, name)?;
        self.spell(found)
    }

    /// A raw tracepoint's arguments as C spells them.
    pub fn raw_tracepoint_signature(&mut self, module: Option<&str>, event: &str) -> Option<Signature> {
        let found = self.find_raw_tracepoint(module, event)?;
        let mut signature = self.spell(found)?;
        signature.params.drain(..signature.params.len().min(1));
        Some(signature)
    }

    /// Calls `each` with the module (`vmlinux` for none) and name of every function that BTF describes, of one module
    /// or, without, of all.
    pub fn functions(&mut self, module: Option<&str>, each: &mut dyn FnMut(&str, &str)) {
        self.entries(module, &mut |module, entry| {
            if matches!(entry.kind, Kind::Func { .. }) {
                each(module, entry.name);
            }
        });
    }

    /// The same for raw tracepoints: the module and the event.
    pub fn raw_tracepoints(&mut self, module: Option<&str>, each: &mut dyn FnMut(&str, &str)) {
        let mut seen = HashSet::new();
        self.functions(module, &mut |module, name| {
            for prefix in RAW_TRACEPOINT {
                if let Some(event) = name.strip_prefix(prefix)
                    && seen.insert(format!("{module}:{event}"))
                {
                    each(module, event);
                }
            }
        });
    }

    /// The same for structs, unions and enums, with their tags: `struct task_struct`.
    pub fn definitions(&mut self, each: &mut dyn FnMut(&str, Tag, &str)) {
        self.entries(None, &mut |module, entry| {
            let tag = match entry.kind {
                Kind::Composite(composite) if composite.union => Tag::Union,
                Kind::Composite(_) => Tag::Struct,
                Kind::Enum(_) => Tag::Enum,
                _ => return,
            };
            if !entry.name.is_empty() {
                each(module, tag, entry.name);
            }
        });
    }

    fn entries(&mut self, module: Option<&str>, each: &mut dyn FnMut(&str, Entry<'_>)) {
        let only = match module {
            Some(module) => match self.sources.module(module) {
                Some(object) => Some(object),
                None => return,
            },
            None => {
                self.sources.open_modules();
                None
            }
        };
        for (object, name, btf) in self.sources.objects() {
            if only.is_none_or(|only| only == object) {
                btf.ids().filter_map(|id| btf.entry(id)).for_each(|entry| each(name, entry));
            }
        }
    }

    /// The definition of a struct, union or enum in C, `struct path {` and so on to `};`, and the module that it is
    /// of (`vmlinux` for none).
    pub fn definition(&mut self, tag: Tag, name: &str) -> Option<(String, String)> {
        let found = self.sources.find(name, kinds(Some(tag)))?;
        // A printer prints a type once, so each definition takes one of its own. What the type needs comes first.
        let text = Speller::new(&self.sources.object(found)?)?.definition(found.id())?;
        let head = format!("{} {name} {{", tag.keyword());
        let start =
            text.match_indices(&head).map(|(at, _)| at).find(|at| *at == 0 || text[..*at].ends_with('\n'))?;
        let length = text.get(start..)?.find("\n}")?;
        let end = text.get(start + length + 1..)?.find('\n').map_or(text.len(), |n| start + length + 1 + n);
        Some((self.sources.name(found)?.to_owned(), text.get(start..end)?.to_owned()))
    }

    /// The kernel's types as a C header.
    pub fn vmlinux_header(&mut self) -> Result<String, String> {
        let Some(btf) = self.sources.vmlinux() else {
            return Err(self.problem().unwrap_or("the kernel does not describe its types").to_owned());
        };
        let header = Speller::new(&btf).and_then(|mut speller| speller.header(btf.ids()));
        header.ok_or_else(|| "the kernel's types cannot be written as C".to_owned())
    }

    /// The same with all that it needs before it, for a C compiler: also of a typedef, where there is no tag.
    pub(in crate::types) fn definition_in_c(&mut self, tag: Option<Tag>, name: &str) -> Option<String> {
        let found = self.sources.find(name, kinds(tag))?;
        let btf = self.sources.object(found)?;
        // One printer for all, which prints each type once.
        if !self.printer.as_ref().is_some_and(|(of, _)| Rc::ptr_eq(of, &btf)) {
            self.printer = Some((Rc::clone(&btf), Speller::new(&btf)?));
        }
        self.printer.as_mut()?.1.definition(found.id())
    }

    fn find_function(&mut self, module: Option<&str>, name: &str) -> Option<TypeRef> {
        match module {
            Some(module) => self.sources.find_in(module, name, sys::BTF_KIND_FUNC),
            None => self.sources.find(name, &[sys::BTF_KIND_FUNC]),
        }
    }

    fn find_raw_tracepoint(&mut self, module: Option<&str>, event: &str) -> Option<TypeRef> {
        RAW_TRACEPOINT.iter().find_map(|prefix| self.find_function(module, &format!("{prefix}{event}")))
    }

    pub(super) fn spell(&mut self, function: TypeRef) -> Option<Signature> {
        let btf = self.sources.object(function)?;
        let proto = proto(&btf, function)?;
        if !self.speller.as_ref().is_some_and(|(of, _)| Rc::ptr_eq(of, &btf)) {
            self.speller = Some((Rc::clone(&btf), Speller::new(&btf)?));
        }
        let (_, speller) = self.speller.as_mut()?;
        let params = proto.params().filter(|(name, ty)| !(name.is_empty() && *ty == 0));
        let params = params
            .map(|(name, ty)| Some((speller.declaration(ty)?, name.to_owned())))
            .collect::<Option<_>>()?;
        Some(Signature { params, result: speller.declaration(proto.result)? })
    }

    fn prototype(&mut self, function: TypeRef) -> Option<Prototype> {
        let btf = self.sources.object(function)?;
        let proto = proto(&btf, function)?;
        let mut convert = |id| {
            let ty = self.sources.within(function, id);
            self.converter().convert(ty)
        };
        // `...` is not a parameter that could be read.
        let (rest, params): (Vec<_>, Vec<_>) =
            proto.params().partition(|(name, ty)| name.is_empty() && *ty == 0);
        let params = params.into_iter().map(|(name, ty)| (name.to_owned(), convert(ty))).collect();
        Some(Prototype { params, variadic: !rest.is_empty(), result: convert(proto.result) })
    }

    /// Names of structs or of typedefs close to this one, best first, for "did you mean".
    pub fn similar(&mut self, tag: Option<Tag>, name: &str) -> Vec<String> {
        self.sources.vmlinux();
        let of_program = self.program_type_names(tag);
        let kinds = kinds(tag);
        let mut known: Vec<&str> = if tag.is_none() { super::names::all().collect() } else { vec![] };
        for (_, _, btf) in self.sources.objects() {
            let entries = btf.ids().filter_map(|id| btf.entry(id));
            known.extend(entries.filter(|e| e.kind.is(kinds)).map(|e| e.name));
        }
        known.extend(self.scope.names(tag));
        known.extend(of_program.iter().map(String::as_str));
        suggest::closest(name, known.into_iter().filter(|n| !n.is_empty()))
    }

    /// Loads everything that a value of this type holds, so that [`Types::layouts`] can size and print it.
    pub fn close(&mut self, ty: &Type) {
        self.close_all(ty, &mut HashSet::new());
    }

    fn close_all(&mut self, ty: &Type, seen: &mut HashSet<StructId>) {
        match ty {
            Type::Array { elem, .. } => self.close_all(elem, seen),
            Type::Tuple(types) => types.iter().for_each(|ty| self.close_all(ty, seen)),
            Type::Record(fields) => fields.iter().for_each(|(_, ty)| self.close_all(ty, seen)),
            // What is loaded is not always closed.
            Type::Struct(id) if seen.insert(*id) => {
                let fields = self.structure(*id).map(|s| s.fields.clone()).unwrap_or_default();
                fields.iter().for_each(|field| self.close_all(&field.ty, seen));
            }
            _ => {}
        }
    }

    /// What has been loaded so far.
    pub fn layouts(&self) -> &Layouts {
        &self.table.layouts
    }

    pub(super) fn converter(&mut self) -> Converter<'_> {
        Converter { sources: &mut self.sources, table: &mut self.table }
    }
}

pub(super) fn proto(btf: &Btf, function: TypeRef) -> Option<Proto<'_>> {
    let Kind::Func { proto } = btf.entry(function.id())?.kind else { return None };
    match btf.entry(proto)?.kind {
        Kind::Proto(proto) => Some(proto),
        _ => None,
    }
}

/// The kinds of BTF that a name can be, in the order in which they are looked for. C itself wants the tag; without
/// one a typedef goes first, as in C.
pub(super) fn kinds(tag: Option<Tag>) -> &'static [u32] {
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
