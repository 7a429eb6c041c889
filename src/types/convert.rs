//! From BTF to the type model: where a type is read from, and what it becomes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use super::btf::{Btf, Composite, Integer, Kind, Member};
use super::linked::record_kind;
use super::{Bits, Enum, EnumId, Field, Int, Layouts, Space, Struct, StructId, Type};

/// A type in one of the opened objects. One that a module shares with vmlinux is always named as vmlinux's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeRef {
    object: usize,
    id: u32,
}

/// How deep typedefs, pointers and the like are followed. The deepest in a kernel are about ten.
const MAX_DEPTH: u32 = 64;

/// The BTF objects, opened as they are needed: vmlinux is the first.
#[derive(Default)]
pub struct Sources {
    path: Option<PathBuf>,
    objects: Vec<(String, Rc<Btf>)>,
    /// Why there is no vmlinux, once that is known.
    problem: Option<String>,
    all_modules: bool,
    /// Those of objects that the script links: what it does not name itself is not looked for in them.
    linked: Vec<(String, Rc<Btf>)>,
}

/// Where the numbers of linked objects begin.
const LINKED: usize = usize::MAX / 2;

pub const VMLINUX: &str = "vmlinux";

impl Sources {
    pub fn new(path: Option<PathBuf>) -> Sources {
        Sources { path, ..Sources::default() }
    }

    /// As if this were the kernel's.
    #[cfg(test)]
    fn of(btf: Btf) -> Sources {
        Sources { objects: vec![(VMLINUX.to_owned(), Rc::new(btf))], all_modules: true, ..Sources::default() }
    }

    /// Why no types are known; `None` if they are.
    pub fn problem(&mut self) -> Option<&str> {
        self.vmlinux();
        self.problem.as_deref()
    }

    /// The same without opening anything.
    pub fn failure(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Whether the kernel (or a file in its place) describes its types, without reading them.
    pub fn exist(&self) -> bool {
        !self.objects.is_empty()
            || self.path.as_deref().unwrap_or(std::path::Path::new("/sys/kernel/btf/vmlinux")).exists()
    }

    pub fn vmlinux(&mut self) -> Option<Rc<Btf>> {
        if self.objects.is_empty() && self.problem.is_none() {
            match Btf::vmlinux(self.path.as_deref()) {
                Ok(btf) => self.objects.push((VMLINUX.to_owned(), Rc::new(btf))),
                Err(e) => {
                    let place =
                        self.path.as_ref().map_or("/sys/kernel/btf/vmlinux".into(), |p| p.to_string_lossy());
                    self.problem = Some(format!("no types of the kernel can be read from {place}: {e}"));
                }
            }
        }
        self.objects.first().map(|(_, btf)| Rc::clone(btf))
    }

    /// The index of a module's object, if the module is loaded and has BTF.
    pub fn module(&mut self, name: &str) -> Option<usize> {
        let base = self.vmlinux()?;
        if let Some(known) = self.objects.iter().position(|(n, _)| n == name) {
            return Some(known);
        }
        // With a file instead of the kernel's own BTF, ids of modules would mean something else.
        if self.path.is_some() {
            return None;
        }
        // The name becomes part of a path.
        let plain =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let btf = plain.then(|| Btf::module(name, base).ok()).flatten()?;
        self.objects.push((name.to_owned(), Rc::new(btf)));
        Some(self.objects.len() - 1)
    }

    /// Opens every module's object.
    pub fn open_modules(&mut self) {
        if std::mem::replace(&mut self.all_modules, true) || self.path.is_some() {
            return;
        }
        let Ok(entries) = std::fs::read_dir("/sys/kernel/btf") else { return };
        let mut names: Vec<String> = entries.flatten().flat_map(|e| e.file_name().into_string()).collect();
        // So that ids do not depend on the order of a directory.
        names.sort();
        for name in names {
            self.module(&name);
        }
    }

    /// The first type of that name and of one of these kinds (the first kind first) in vmlinux or, failing that, in
    /// any module.
    pub fn find(&mut self, name: &str, kinds: &[u32]) -> Option<TypeRef> {
        self.vmlinux()?;
        self.find_from(0, name, kinds).or_else(|| {
            let opened = self.objects.len();
            self.open_modules();
            self.find_from(opened, name, kinds)
        })
    }

    /// Only looks where something has been opened already.
    pub fn find_opened(&self, name: &str, kinds: &[u32]) -> Option<TypeRef> {
        self.find_from(0, name, kinds)
    }

    fn find_from(&self, first: usize, name: &str, kinds: &[u32]) -> Option<TypeRef> {
        let mut objects = self.objects.iter().enumerate().skip(first);
        objects.find_map(|(object, (_, btf))| {
            let id = kinds.iter().find_map(|kind| btf.find(name, *kind))?;
            Some(self.at(object, id))
        })
    }

    pub fn find_in(&mut self, module: &str, name: &str, kind: u32) -> Option<TypeRef> {
        let object = self.module(module)?;
        let id = self.objects.get(object)?.1.find(name, kind)?;
        let found = self.at(object, id);
        // A module's search includes vmlinux, but the question was about the module.
        (found.object == object).then_some(found)
    }

    /// The objects opened so far.
    pub fn objects(&self) -> impl Iterator<Item = (usize, &str, &Rc<Btf>)> {
        self.objects.iter().enumerate().map(|(n, (name, btf))| (n, name.as_str(), btf))
    }

    /// Adds the types of an object that the script links.
    pub fn link(&mut self, btf: Rc<Btf>) -> usize {
        self.linked.push((String::new(), btf));
        LINKED + self.linked.len() - 1
    }

    /// The first type of that name in a linked object.
    pub fn find_linked(&self, name: &str, kinds: &[u32]) -> Option<TypeRef> {
        (LINKED..).zip(&self.linked).find_map(|(object, (_, btf))| {
            let id = kinds.iter().find_map(|kind| btf.find(name, *kind))?;
            Some(TypeRef { object, id })
        })
    }

    fn get(&self, object: usize) -> Option<&(String, Rc<Btf>)> {
        match object.checked_sub(LINKED) {
            Some(linked) => self.linked.get(linked),
            None => self.objects.get(object),
        }
    }

    /// The module that a type is of, or `vmlinux`.
    pub fn name(&self, ty: TypeRef) -> Option<&str> {
        self.get(ty.object).map(|(name, _)| name.as_str())
    }

    pub fn object(&self, ty: TypeRef) -> Option<Rc<Btf>> {
        self.get(ty.object).map(|(_, btf)| Rc::clone(btf))
    }

    /// Another type of the object that this one is in.
    pub fn within(&self, ty: TypeRef, id: u32) -> TypeRef {
        self.at(ty.object, id)
    }

    pub fn at(&self, object: usize, id: u32) -> TypeRef {
        let own = object >= LINKED || self.get(object).is_some_and(|(_, btf)| btf.ids().contains(&id));
        TypeRef { object: if own { object } else { 0 }, id }
    }
}

impl TypeRef {
    pub fn id(self) -> u32 {
        self.id
    }

    fn is_linked(self) -> bool {
        self.object >= LINKED
    }
}

/// The structs and enums that have been met, and where each comes from.
#[derive(Default)]
pub struct Table {
    pub layouts: Layouts,
    structs: HashMap<TypeRef, StructId>,
    enums: HashMap<TypeRef, EnumId>,
    /// By [`StructId`].
    origins: Vec<(TypeRef, State)>,
    /// Structs and unions that something declares before it is known what they are, and those that the script
    /// defines: who means the same name means the same struct.
    named: HashMap<String, StructId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The name and size are in the layouts, the fields are not.
    Met,
    Loaded,
    /// The name is all that is known.
    Declared,
    /// Something else than BTF defines it: the script, further down, a header or a program.
    Promised,
}

/// The origin of what is in no object.
const NOWHERE: TypeRef = TypeRef { object: usize::MAX, id: 0 };

/// Reads types out of the sources into the table.
pub struct Converter<'a> {
    pub sources: &'a mut Sources,
    pub table: &'a mut Table,
}

impl Converter<'_> {
    /// The type as the language sees it: typedefs and qualifiers are gone.
    pub fn convert(&mut self, ty: TypeRef) -> Type {
        self.convert_at(ty, 0).0
    }

    /// The type, and whether a tag on the way says that it lies in user memory.
    fn convert_at(&mut self, ty: TypeRef, depth: u32) -> (Type, bool) {
        let mut user = false;
        let mut at = ty;
        for depth in depth..MAX_DEPTH {
            let Some(btf) = self.sources.object(at) else { break };
            let Some(entry) = btf.entry(at.id) else { break };
            let inner = |this: &mut Self, id| this.convert_at(this.sources.at(at.object, id), depth + 1);
            let plain = match entry.kind {
                Kind::Typedef(of) | Kind::Qualifier(of) => {
                    at = self.sources.at(at.object, of);
                    continue;
                }
                Kind::TypeTag(of) => {
                    user |= entry.name == "user";
                    at = self.sources.at(at.object, of);
                    continue;
                }
                Kind::Var(of) => inner(self, of).0,
                Kind::Int(int) => integer(int),
                Kind::Float { size: 4 } => Type::FLOAT,
                Kind::Float { size: 8 } => Type::DOUBLE,
                Kind::Float { size } => bytes(size),
                Kind::Ptr(to) => {
                    let (to, user) = inner(self, to);
                    Type::ptr(to, if user { Space::User } else { Space::Kernel })
                }
                Kind::Array { elem, len } => {
                    let text = len > 0 && is_char(&btf, elem);
                    if text {
                        Type::Str(len)
                    } else {
                        Type::Array { elem: Box::new(inner(self, elem).0), len }
                    }
                }
                Kind::Composite(composite) => Type::Struct(self.meet(at, entry.name, composite)),
                Kind::Enum(values) => self.enumeration(at, entry.name, values),
                Kind::Forward { union } => self.forward(entry.name, union),
                // Functions can only be pointed to.
                Kind::Void | Kind::Func { .. } | Kind::Proto(_) | Kind::Other => Type::Void,
            };
            return (plain, user);
        }
        (Type::Void, user)
    }

    fn meet(&mut self, ty: TypeRef, name: &str, composite: Composite<'_>) -> StructId {
        if let Some(id) = self.table.structs.get(&ty) {
            return *id;
        }
        let id = match self.table.named(name, composite.union) {
            None if ty.is_linked() && self.is_kernels(name, composite) => {
                match self
                    .sources
                    .find(name, &[record_kind(composite.union)])
                    .map(|found| self.convert(found))
                {
                    Some(Type::Struct(id)) => id,
                    _ => self.table.add(ty, State::Met, name, composite.union, composite.size),
                }
            }
            Some((id, State::Declared)) => {
                self.table.found(id, ty, composite.size);
                id
            }
            Some((id, _)) => id,
            None => self.table.add(ty, State::Met, name, composite.union, composite.size),
        };
        self.table.structs.insert(ty, id);
        id
    }

    /// Whether a struct of a linked object stands for the kernel's of that name: C for BPF often names only the members
    /// that it uses, whose places are found when it is loaded (CO-RE), so its own layout means nothing.
    fn is_kernels(&mut self, name: &str, composite: Composite<'_>) -> bool {
        if name.is_empty() {
            return false;
        }
        let Some(found) = self.sources.find(name, &[record_kind(composite.union)]) else { return false };
        let Some(btf) = self.sources.object(found) else { return false };
        let Some(Kind::Composite(kernels)) = btf.entry(found.id).map(|entry| entry.kind) else {
            return false;
        };
        let mut names = composite.members().map(|member| member.name);
        names.all(|name| kernels.members().any(|member| member.name == name))
    }

    /// A struct that is only declared here may be defined elsewhere: in vmlinux for a module, or in a module.
    fn forward(&mut self, name: &str, union: bool) -> Type {
        let kind = record_kind(union);
        if let Some((id, State::Loaded | State::Promised)) = self.table.named(name, union) {
            return Type::Struct(id);
        }
        // Not in modules yet unopened: a pointer that nobody follows must not open them.
        if let Some(found) = self.sources.find_opened(name, &[kind]) {
            return self.convert(found);
        }
        Type::Struct(match self.table.named(name, union) {
            Some((id, _)) => id,
            None => self.table.declare(name, union),
        })
    }

    fn enumeration(&mut self, ty: TypeRef, name: &str, values: super::btf::Enumeration<'_>) -> Type {
        let int = Int { size: int_size(values.size), signed: values.signed };
        let id = match self.table.enums.get(&ty) {
            Some(id) => *id,
            None => {
                let values = values.values().map(|(name, value)| (name.to_owned(), value)).collect();
                let id = self.table.add_enum(Enum { name: name.to_owned(), int, values });
                self.table.enums.insert(ty, id);
                id
            }
        };
        Type::Enum { id, int }
    }

    /// Loads a struct's fields. Whether it has any to load.
    pub fn load(&mut self, id: StructId) -> bool {
        let Some((origin, state)) = self.table.origins.get(id.0 as usize).copied() else { return false };
        match state {
            State::Loaded => return true,
            State::Declared => return self.load_declared(id),
            State::Promised => return false,
            State::Met => {}
        }
        let read = self.sources.object(origin).and_then(|btf| match btf.entry(origin.id)?.kind {
            Kind::Composite(composite) => {
                Some((self.fields(origin, composite, 0, 0), btf.align_of(origin.id)))
            }
            _ => None,
        });
        let (Some((fields, align)), Some(layout)) = (read, self.table.layouts.structs.get_mut(&id)) else {
            return false;
        };
        layout.fields = fields;
        layout.align = align;
        self.table.set_state(id, State::Loaded);
        true
    }

    /// Someone looks into a struct that was only declared: now it is worth while to open the modules.
    fn load_declared(&mut self, id: StructId) -> bool {
        let Some(Struct { name, union, .. }) = self.table.layouts.structs.get(&id).cloned() else {
            return false;
        };
        let kind = record_kind(union);
        let Some(found) = self.sources.find(&name, &[kind]) else { return false };
        let Type::Struct(defined) = self.convert(found) else { return false };
        if !self.load(defined) {
            return false;
        }
        if let Some(layout) = self.table.layouts.structs.get(&defined).cloned() {
            self.table.layouts.structs.insert(id, layout);
        }
        self.table.set_state(id, State::Loaded);
        true
    }

    /// The named members in order, then those of the anonymous ones. `base` is in bits.
    fn fields(&mut self, ty: TypeRef, composite: Composite<'_>, base: u32, depth: u32) -> Vec<Field> {
        let mut named = vec![];
        let mut flattened = vec![];
        for member in composite.members() {
            let member = Member { bit_offset: base.saturating_add(member.bit_offset), ..member };
            let of = self.sources.at(ty.object, member.ty);
            if !member.name.is_empty() {
                named.push(self.field(of, member));
            } else if depth < MAX_DEPTH
                && let Some((of, btf)) = self.composite(of)
                && let Some(Kind::Composite(inner)) = btf.entry(of.id).map(|e| e.kind)
            {
                flattened.extend(self.fields(of, inner, member.bit_offset, depth + 1));
            }
        }
        named.extend(flattened);
        named
    }

    /// The struct or union behind qualifiers.
    fn composite(&self, ty: TypeRef) -> Option<(TypeRef, Rc<Btf>)> {
        let mut at = ty;
        for _ in 0..MAX_DEPTH {
            let btf = self.sources.object(at)?;
            match btf.entry(at.id)?.kind {
                Kind::Composite(_) => return Some((at, btf)),
                Kind::Typedef(of) | Kind::Qualifier(of) | Kind::TypeTag(of) => {
                    at = self.sources.at(at.object, of)
                }
                _ => return None,
            }
        }
        None
    }

    fn field(&mut self, ty: TypeRef, member: Member<'_>) -> Field {
        let (ty, old) = (self.convert(ty), self.old_bitfield(ty));
        let (at, width) = match (member.width, old) {
            (0, Some((offset, width))) => (member.bit_offset.saturating_add(offset), width),
            (width, _) => (member.bit_offset, width),
        };
        let name = member.name.to_owned();
        match ty.as_int().filter(|_| width > 0) {
            Some(int) => bitfield(name, ty, int, at, width),
            None => Field { name, ty, offset: member.bit_offset / 8, bits: None },
        }
    }

    /// Before 4.20 a bitfield's type was an integer of so many bits.
    fn old_bitfield(&self, ty: TypeRef) -> Option<(u32, u32)> {
        match self.sources.object(ty)?.entry(ty.id)?.kind {
            Kind::Int(int) if int.bits != int.size.saturating_mul(8) => Some((int.bit_offset, int.bits)),
            _ => None,
        }
    }
}

impl Table {
    fn add(&mut self, origin: TypeRef, state: State, name: &str, union: bool, size: u32) -> StructId {
        let id = StructId(self.origins.len() as u32);
        self.origins.push((origin, state));
        let name = name.to_owned();
        self.layouts.structs.insert(id, Struct { name, union, size, align: 1, fields: vec![] });
        id
    }

    /// The struct or union of that name that something has declared or the script defines.
    pub fn named(&self, name: &str, union: bool) -> Option<(StructId, State)> {
        let id = *self.named.get(name)?;
        let same = self.layouts.structs.get(&id).is_some_and(|s| s.union == union);
        let (origin, state) = self.origins.get(id.0 as usize).filter(|_| same)?;
        // What was declared and then found has an origin, by which it is known.
        (*origin == NOWHERE).then_some((id, *state))
    }

    /// A struct or union of which there is only a name so far.
    pub fn declare(&mut self, name: &str, union: bool) -> StructId {
        let id = self.add(NOWHERE, State::Declared, name, union, 0);
        self.named.insert(name.to_owned(), id);
        id
    }

    /// One without a name, which the script is about to define.
    pub fn declare_anonymous(&mut self, union: bool) -> StructId {
        self.add(NOWHERE, State::Promised, "", union, 0)
    }

    /// One of a program, whose fields are read when someone looks inside.
    pub fn foreign(&mut self, name: &str, union: bool, size: u32) -> StructId {
        self.add(NOWHERE, State::Promised, name, union, size)
    }

    /// The script will define it.
    pub fn promise(&mut self, id: StructId) {
        self.set_state(id, State::Promised);
    }

    pub fn is_declared(&self, id: StructId) -> bool {
        self.origins.get(id.0 as usize).is_some_and(|(_, state)| *state == State::Declared)
    }

    pub fn is_promised(&self, id: StructId) -> bool {
        self.origins.get(id.0 as usize).is_some_and(|(_, state)| *state == State::Promised)
    }

    /// The script defines it.
    pub fn define(&mut self, id: StructId, layout: Struct) {
        self.layouts.structs.insert(id, layout);
        self.set_state(id, State::Loaded);
    }

    /// What was declared is a type of BTF.
    fn found(&mut self, id: StructId, ty: TypeRef, size: u32) {
        if let Some(origin) = self.origins.get_mut(id.0 as usize) {
            *origin = (ty, State::Met);
        }
        if let Some(layout) = self.layouts.structs.get_mut(&id) {
            layout.size = size;
        }
    }

    pub fn add_enum(&mut self, definition: Enum) -> EnumId {
        let id = EnumId(self.layouts.enums.len() as u32);
        self.layouts.enums.insert(id, definition);
        id
    }

    fn set_state(&mut self, id: StructId, state: State) {
        if let Some((_, old)) = self.origins.get_mut(id.0 as usize) {
            *old = state;
        }
    }
}

/// A bitfield of `width` bits from bit `at` on. `int` is the integer of its type.
///
/// The bits of signed ones are read without their sign, which no script expects: bpftrace has always read them so.
pub fn bitfield(name: String, ty: Type, int: Int, at: u32, width: u32) -> Field {
    let (offset, size, bits) = holder(at, width, int.size);
    let ty = match ty {
        Type::Int(_) => Type::Int(Int { size, signed: false }),
        ty if size == int.size => ty,
        _ => Type::Int(Int { size, signed: int.signed }),
    };
    Field { name, ty, offset, bits: Some(bits) }
}

/// The integer that holds `width` bits from bit `at` on, if possible of `size` bytes and aligned as that: its offset,
/// its size, and the bits in it.
fn holder(at: u32, width: u32, size: u8) -> (u32, u8, Bits) {
    let own = u32::from(size);
    // A program's debug information may say anything.
    let holds = |offset: u32, size: u32| {
        u64::from(at) + u64::from(width) <= (u64::from(offset) + u64::from(size)) * 8
    };
    let aligned = at / 8 / own * own;
    // A packed struct may begin it anywhere, and then a larger integer may have to hold it.
    let (offset, size) = if holds(aligned, own) {
        (aligned, own)
    } else {
        (at / 8, [own, 8].into_iter().find(|s| holds(at / 8, *s)).unwrap_or(8))
    };
    let below = at - offset * 8;
    // BTF counts bits from the most significant one where the machine does.
    let shift = if cfg!(target_endian = "little") {
        below
    } else {
        (size * 8).saturating_sub(below.saturating_add(width))
    };
    (offset, size as u8, Bits { shift: shift as u8, width: width.min(size * 8 - shift) as u8 })
}

fn integer(int: Integer) -> Type {
    match int.size {
        _ if int.bool => Type::Bool,
        1 | 2 | 4 | 8 => Type::Int(Int { size: int_size(int.size), signed: int.signed }),
        // `__int128` has no counterpart.
        size => bytes(size),
    }
}

fn int_size(size: u32) -> u8 {
    match size {
        1 | 2 | 8 => size as u8,
        _ => 4,
    }
}

fn bytes(size: u32) -> Type {
    Type::Array { elem: Box::new(Type::U8), len: size }
}

/// Whether an array of these is text: C's `char`, whatever its sign (kernels since 6.2 have it unsigned), and `int8`.
fn is_char(btf: &Btf, mut id: u32) -> bool {
    for _ in 0..MAX_DEPTH {
        let Some(entry) = btf.entry(id) else { return false };
        match entry.kind {
            Kind::Int(int) => return int.size == 1 && !int.bool && (int.signed || entry.name == "char"),
            Kind::Typedef(of) | Kind::Qualifier(of) | Kind::TypeTag(of) => id = of,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests;
