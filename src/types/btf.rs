//! BTF, the kernel's own description of its types, read through libbpf.
//!
//! A [`Btf`] is one object: vmlinux, or a module's on top of it. libbpf has checked the structure of what it opens
//! (lengths, string offsets, references), so records are read in place, without copies.

use std::cell::{Cell, OnceCell};
use std::ffi::{CStr, CString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;
use std::ptr::NonNull;
use std::rc::Rc;

use libbpf_sys as sys;

/// One BTF object.
pub struct Btf {
    raw: NonNull<sys::btf>,
    /// Of a module: the object whose ids come before its own. Held since libbpf points into it.
    base: Option<Rc<Btf>>,
    searches: Cell<u32>,
    index: OnceCell<Index>,
}

/// The hashes of names and the ids of the types that have them, sorted.
type Index = Box<[(u32, u32)]>;

/// From how many searches on an index pays. libbpf goes through all types, which takes 0.6 ms for 6.18's 127,000;
/// building the index takes several times as long. Scripts name few types; listings name thousands.
const INDEX_AFTER: u32 = 16;

/// A type: its name ("" for an anonymous one) and what it is.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub name: &'a str,
    pub kind: Kind<'a>,
}

/// What a type is. A `u32` is the id of another type in the same object.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    Void,
    Int(Integer),
    Float {
        size: u32,
    },
    Ptr(u32),
    Array {
        elem: u32,
        len: u32,
    },
    Composite(Composite<'a>),
    Enum(Enumeration<'a>),
    Forward {
        union: bool,
    },
    Typedef(u32),
    /// `const`, `volatile`, `restrict`.
    Qualifier(u32),
    /// An attribute such as `__user`, whose name is the entry's.
    TypeTag(u32),
    Func {
        proto: u32,
    },
    Proto(Proto<'a>),
    Var(u32),
    /// Sections and tags on declarations, which are not types.
    Other,
}

/// See [`Btf::linkage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    Static,
    Global,
    Extern,
}

#[derive(Clone, Copy, Debug)]
pub struct Integer {
    /// In bytes.
    pub size: u32,
    /// Where a bitfield was described by its type, as before 4.20, fewer than `8 * size`.
    pub bits: u32,
    pub bit_offset: u32,
    pub signed: bool,
    pub bool: bool,
}

/// A struct or union.
#[derive(Clone, Copy)]
pub struct Composite<'a> {
    btf: &'a Btf,
    raw: &'a [sys::btf_member],
    /// Whether offsets carry the width of a bitfield in their upper byte.
    packed_offsets: bool,
    pub union: bool,
    /// In bytes.
    pub size: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// "" for an anonymous struct or union.
    pub name: &'a str,
    pub ty: u32,
    /// In bits from the start.
    pub bit_offset: u32,
    /// In bits; 0 for what is not a bitfield.
    pub width: u32,
}

#[derive(Clone, Copy)]
pub struct Enumeration<'a> {
    btf: &'a Btf,
    raw: Enumerators<'a>,
    /// In bytes.
    pub size: u32,
    pub signed: bool,
}

#[derive(Clone, Copy)]
enum Enumerators<'a> {
    Short(&'a [sys::btf_enum]),
    Long(&'a [sys::btf_enum64]),
}

/// Whether a file begins as BTF does (`BTF_MAGIC` in `linux/btf.h`), in either byte order, or as ELF.
fn looks_like_btf(path: &Path) -> io::Result<bool> {
    let mut magic = vec![];
    io::Read::read_to_end(&mut io::Read::take(std::fs::File::open(path)?, 4), &mut magic)?;
    Ok(magic == *b"\x7fELF" || magic.starts_with(&[0x9f, 0xeb]) || magic.starts_with(&[0xeb, 0x9f]))
}

/// A function's type.
#[derive(Clone, Copy)]
pub struct Proto<'a> {
    btf: &'a Btf,
    raw: &'a [sys::btf_param],
    pub result: u32,
}

impl Btf {
    /// The running kernel's, or, where given, the one in a file.
    pub fn vmlinux(path: Option<&Path>) -> io::Result<Btf> {
        let raw = match path {
            Some(path) => {
                // libbpf would say so too, to the terminal.
                if !looks_like_btf(path)? {
                    let why = "it is neither BTF nor an ELF file, which may hold it";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
                let path = c_string(&path.to_string_lossy())?;
                // SAFETY: the path is a C string; no second object is asked for.
                unsafe { sys::btf__parse(path.as_ptr(), std::ptr::null_mut()) }
            }
            // SAFETY: it takes nothing.
            None => unsafe { sys::btf__load_vmlinux_btf() },
        };
        Btf::owned(raw, None)
    }

    /// A loaded module's.
    pub fn module(name: &str, base: Rc<Btf>) -> io::Result<Btf> {
        let name = c_string(name)?;
        // SAFETY: the name is a C string, and the base lives as long as what is made on it.
        Btf::owned(unsafe { sys::btf__load_module_btf(name.as_ptr(), base.raw.as_ptr()) }, Some(base))
    }

    /// The `.BTF` section of an object.
    pub fn from_bytes(bytes: &[u8]) -> io::Result<Btf> {
        let size = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        // SAFETY: so many bytes are there; libbpf checks and copies them.
        Btf::owned(unsafe { sys::btf__new(bytes.as_ptr().cast(), size) }, None)
    }

    fn owned(raw: *mut sys::btf, base: Option<Rc<Btf>>) -> io::Result<Btf> {
        let raw = NonNull::new(raw).ok_or_else(io::Error::last_os_error)?;
        Ok(Btf { raw, base, searches: Cell::new(0), index: OnceCell::new() })
    }

    /// An object that a test has built.
    #[cfg(test)]
    pub(super) fn built(raw: *mut sys::btf) -> Btf {
        Btf::owned(raw, None).unwrap()
    }

    /// The ids of this object's own types; a module's begin after those of vmlinux.
    pub fn ids(&self) -> std::ops::Range<u32> {
        self.base.as_ref().map_or(1, |base| base.count())..self.count()
    }

    fn count(&self) -> u32 {
        // SAFETY: the object is alive.
        unsafe { sys::btf__type_cnt(self.raw.as_ptr()) }
    }

    /// The first type of that name and kind (`BTF_KIND_…`); a module's search includes its base.
    pub fn find(&self, name: &str, kind: u32) -> Option<u32> {
        if name.is_empty() {
            return None;
        }
        self.searches.set(self.searches.get().saturating_add(1));
        if self.searches.get() > INDEX_AFTER {
            let base = self.base.as_ref().and_then(|base| base.find(name, kind));
            return base.or_else(|| self.find_in_index(name, kind));
        }
        let name = c_string(name).ok()?;
        // SAFETY: the object is alive and the name a C string.
        let id = unsafe { sys::btf__find_by_name_kind(self.raw.as_ptr(), name.as_ptr(), kind) };
        u32::try_from(id).ok()
    }

    fn find_in_index(&self, name: &str, kind: u32) -> Option<u32> {
        let index = self.index.get_or_init(|| {
            let named = self.ids().filter_map(|id| Some((self.entry(id)?.name, id)));
            let mut index: Vec<_> =
                named.filter(|(name, _)| !name.is_empty()).map(|(name, id)| (hash(name), id)).collect();
            index.sort_unstable();
            index.into()
        });
        let hash = hash(name);
        let first = index.partition_point(|(h, _)| *h < hash);
        let same = index.get(first..)?.iter().take_while(|(h, _)| *h == hash);
        same.map(|(_, id)| *id)
            .find(|id| self.raw_kind(*id) == Some(kind) && self.entry(*id).is_some_and(|e| e.name == name))
    }

    /// The enum with an enumerator of that name, and its value.
    pub fn enumerator(&self, name: &str) -> Option<(u32, i64)> {
        // There are tens of thousands of enumerators, so they are compared by where their name is, not by its text;
        // and most names that are looked for here are not there at all.
        let offsets = self.string_offsets(name);
        if offsets.is_empty() {
            return None;
        }
        self.ids().find_map(|id| {
            let kind = self.raw_kind(id)?;
            if kind != sys::BTF_KIND_ENUM && kind != sys::BTF_KIND_ENUM64 {
                return None;
            }
            let Kind::Enum(values) = self.entry(id)?.kind else { return None };
            let (_, value) = values.raw_values().find(|(offset, _)| offsets.contains(offset))?;
            Some((id, value))
        })
    }

    /// Where a string is among this object's: once in its own section and once in its base's, at most.
    fn string_offsets(&self, name: &str) -> Vec<u32> {
        let mut offsets = self.base.as_ref().map_or(vec![], |base| base.string_offsets(name));
        let before = self.base.as_ref().map_or(0, |base| base.strings().len());
        // Each string ends with NUL, and the first one is empty.
        let wanted = [b"\0", name.as_bytes(), b"\0"].concat();
        let strings = self.strings();
        // SAFETY: both are read within their lengths.
        let found = unsafe {
            libc::memmem(strings.as_ptr().cast(), strings.len(), wanted.as_ptr().cast(), wanted.len())
        };
        if !found.is_null() {
            offsets.extend(u32::try_from(before + (found.addr() - strings.as_ptr().addr()) + 1));
        }
        offsets
    }

    /// The object's own section of strings.
    fn strings(&self) -> &[u8] {
        let mut size = 0;
        // SAFETY: the object is alive, and so long is its data.
        let data = unsafe {
            let data: *const u8 = sys::btf__raw_data(self.raw.as_ptr(), &mut size).cast();
            if data.is_null() {
                return &[];
            }
            std::slice::from_raw_parts(data, size as usize)
        };
        // `struct btf_header`: its own length is the second word, the strings' offset behind it and length the fifth
        // and sixth. An object of the other byte order has lengths that do not fit, and no strings then.
        let word = |n: usize| {
            let bytes = data.get(4 * n..4 * n + 4)?.try_into().ok()?;
            usize::try_from(u32::from_ne_bytes(bytes)).ok()
        };
        let section = || {
            let start = word(1)?.checked_add(word(4)?)?;
            data.get(start..start.checked_add(word(5)?)?)
        };
        section().unwrap_or(&[])
    }

    fn raw_kind(&self, id: u32) -> Option<u32> {
        // SAFETY: the object is alive; what it points to lives as long.
        unsafe { sys::btf__type_by_id(self.raw.as_ptr(), id).as_ref() }.map(|ty| (ty.info >> 24) & 0x1f)
    }

    /// Who can call a function (`BTF_FUNC_…`), which is told for those of objects to be linked.
    pub fn linkage(&self, id: u32) -> Linkage {
        // SAFETY: the object is alive; what it points to lives as long.
        match unsafe { sys::btf__type_by_id(self.raw.as_ptr(), id).as_ref() }.map(|ty| ty.info & 0xffff) {
            Some(sys::BTF_FUNC_GLOBAL) => Linkage::Global,
            Some(sys::BTF_FUNC_EXTERN) => Linkage::Extern,
            _ => Linkage::Static,
        }
    }

    pub fn entry(&self, id: u32) -> Option<Entry<'_>> {
        if id == 0 {
            return Some(Entry { name: "", kind: Kind::Void });
        }
        // SAFETY: the object is alive; what it points to lives as long.
        let ty = unsafe { sys::btf__type_by_id(self.raw.as_ptr(), id).as_ref() }?;
        // SAFETY: it is a type of this object.
        Some(Entry { name: self.string(ty.name_off), kind: unsafe { self.kind(ty) } })
    }

    fn string(&self, offset: u32) -> &str {
        // SAFETY: the object is alive, and its strings end with NUL and live as long.
        unsafe {
            let text = sys::btf__str_by_offset(self.raw.as_ptr(), offset);
            if text.is_null() { "" } else { CStr::from_ptr(text).to_str().unwrap_or("") }
        }
    }

    /// # Safety
    /// `ty` must be a type within this object.
    unsafe fn kind<'a>(&'a self, ty: &'a sys::btf_type) -> Kind<'a> {
        // `struct btf_type` of linux/btf.h: 16 bits of vlen, 5 of kind from the 24th, the flag in the highest.
        let (count, kind, flag) = ((ty.info & 0xffff) as usize, (ty.info >> 24) & 0x1f, ty.info >> 31 != 0);
        // SAFETY: both members of the union are the same integer.
        let (size, of) = unsafe { (ty.__bindgen_anon_1.size, ty.__bindgen_anon_1.type_) };
        // SAFETY: libbpf has checked that the records which a kind announces follow its head.
        unsafe {
            match kind {
                sys::BTF_KIND_INT => Kind::Int(Integer::from_raw(size, trailing::<u32>(ty, 1)[0])),
                sys::BTF_KIND_FLOAT => Kind::Float { size },
                sys::BTF_KIND_PTR => Kind::Ptr(of),
                sys::BTF_KIND_ARRAY => {
                    let array = trailing::<sys::btf_array>(ty, 1)[0];
                    Kind::Array { elem: array.type_, len: array.nelems }
                }
                sys::BTF_KIND_STRUCT | sys::BTF_KIND_UNION => Kind::Composite(Composite {
                    btf: self,
                    raw: trailing(ty, count),
                    packed_offsets: flag,
                    union: kind == sys::BTF_KIND_UNION,
                    size,
                }),
                sys::BTF_KIND_ENUM => {
                    Kind::Enum(Enumeration::new(self, Enumerators::Short(trailing(ty, count)), size, flag))
                }
                sys::BTF_KIND_ENUM64 => {
                    Kind::Enum(Enumeration::new(self, Enumerators::Long(trailing(ty, count)), size, flag))
                }
                sys::BTF_KIND_FWD => Kind::Forward { union: flag },
                sys::BTF_KIND_TYPEDEF => Kind::Typedef(of),
                sys::BTF_KIND_CONST | sys::BTF_KIND_VOLATILE | sys::BTF_KIND_RESTRICT => Kind::Qualifier(of),
                sys::BTF_KIND_TYPE_TAG => Kind::TypeTag(of),
                sys::BTF_KIND_FUNC => Kind::Func { proto: of },
                sys::BTF_KIND_FUNC_PROTO => {
                    Kind::Proto(Proto { btf: self, raw: trailing(ty, count), result: of })
                }
                sys::BTF_KIND_VAR => Kind::Var(of),
                _ => Kind::Other,
            }
        }
    }

    /// A struct's or union's alignment in bytes: that of its members, since BTF does not tell what attributes ask for;
    /// 1 for a packed one.
    pub fn align_of(&self, id: u32) -> u32 {
        // SAFETY: the object is alive; an id that it does not have is an error, which is negative.
        let align = unsafe { sys::btf__align_of(self.raw.as_ptr(), id) };
        u32::try_from(align).unwrap_or(1).max(1)
    }

    /// A type's size in bytes; 0 for what has none.
    pub fn size_of(&self, id: u32) -> u32 {
        // SAFETY: as above.
        let size = unsafe { sys::btf__resolve_size(self.raw.as_ptr(), id) };
        u32::try_from(size).unwrap_or(0)
    }

    /// For libbpf's own functions; valid as long as this is.
    pub(super) fn as_ptr(&self) -> *const sys::btf {
        self.raw.as_ptr()
    }
}

impl Drop for Btf {
    fn drop(&mut self) {
        // SAFETY: it is ours alone, and the base outlives it.
        unsafe { sys::btf__free(self.raw.as_ptr()) }
    }
}

/// The records after a type's head.
///
/// # Safety
/// So many records of `T` must follow it, which are plain integers.
unsafe fn trailing<T>(ty: &sys::btf_type, count: usize) -> &[T] {
    let head: *const sys::btf_type = ty;
    // SAFETY: as promised by the caller; all records are aligned to four bytes.
    unsafe { std::slice::from_raw_parts(head.add(1).cast(), count) }
}

impl Kind<'_> {
    /// Whether it is one of the kinds of [`Btf::find`], as far as a script can name such a thing.
    pub fn is(&self, kinds: &[u32]) -> bool {
        let own: &[u32] = match self {
            Kind::Composite(c) if c.union => &[sys::BTF_KIND_UNION],
            Kind::Composite(_) => &[sys::BTF_KIND_STRUCT],
            Kind::Enum(_) => &[sys::BTF_KIND_ENUM, sys::BTF_KIND_ENUM64],
            Kind::Typedef(_) => &[sys::BTF_KIND_TYPEDEF],
            _ => &[],
        };
        own.iter().any(|kind| kinds.contains(kind))
    }
}

impl Integer {
    fn from_raw(size: u32, info: u32) -> Integer {
        let encoding = (info >> 24) & 0xf;
        Integer {
            size,
            bits: info & 0xff,
            bit_offset: (info >> 16) & 0xff,
            signed: encoding & sys::BTF_INT_SIGNED != 0,
            bool: encoding & sys::BTF_INT_BOOL != 0,
        }
    }
}

impl<'a> Composite<'a> {
    pub fn members(self) -> impl Iterator<Item = Member<'a>> {
        self.raw.iter().map(move |m| {
            let (bit_offset, width) =
                if self.packed_offsets { (m.offset & 0xff_ffff, m.offset >> 24) } else { (m.offset, 0) };
            Member { name: self.btf.string(m.name_off), ty: m.type_, bit_offset, width }
        })
    }
}

impl<'a> Enumeration<'a> {
    /// Before 6.0 the flag was not set for signed enums either; a negative value tells.
    fn new(btf: &'a Btf, raw: Enumerators<'a>, size: u32, flag: bool) -> Self {
        let signed = flag || matches!(raw, Enumerators::Short(values) if values.iter().any(|v| v.val < 0));
        Enumeration { btf, raw, size, signed }
    }

    pub fn len(&self) -> usize {
        match self.raw {
            Enumerators::Short(values) => values.len(),
            Enumerators::Long(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names and values in order.
    pub fn values(self) -> impl Iterator<Item = (&'a str, i64)> {
        self.raw_values().map(move |(name, value)| (self.btf.string(name), value))
    }

    /// The same with the names' offsets.
    fn raw_values(self) -> impl Iterator<Item = (u32, i64)> {
        (0..self.len()).map_while(move |n| match self.raw {
            Enumerators::Short(values) => {
                let v = values.get(n)?;
                // The 32 bits are those of the enum's own type.
                Some((v.name_off, if self.signed { i64::from(v.val) } else { i64::from(v.val as u32) }))
            }
            Enumerators::Long(values) => {
                let v = values.get(n)?;
                Some((v.name_off, (u64::from(v.val_hi32) << 32 | u64::from(v.val_lo32)) as i64))
            }
        })
    }
}

impl<'a> Proto<'a> {
    /// Names and types. A last one of type 0 without a name stands for `...`.
    pub fn params(self) -> impl Iterator<Item = (&'a str, u32)> {
        self.raw.iter().map(move |p| (self.btf.string(p.name_off), p.type_))
    }
}

impl std::fmt::Debug for Composite<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.members()).finish()
    }
}

impl std::fmt::Debug for Enumeration<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.values()).finish()
    }
}

impl std::fmt::Debug for Proto<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.params()).finish()
    }
}

fn hash(name: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish() as u32
}

fn c_string(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::Error::from_raw_os_error(libc::ENOENT))
}
