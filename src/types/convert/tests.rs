//! On BTF built by hand, which needs no kernel.

use std::ffi::CString;

use libbpf_sys as sys;

use super::*;

/// Builds BTF; each method gives the new type's id.
struct Builder(*mut sys::btf);

/// Adds something with or without a name.
macro_rules! add {
    ($builder:ident, $function:ident($name:expr; $($argument:expr),*)) => {
        // SAFETY: the object is alive, and the name is a C string.
        $builder.add($name, |btf, name| unsafe { sys::$function(btf, name, $($argument),*) })
    };
    ($builder:ident, $function:ident($($argument:expr),*)) => {
        // SAFETY: the object is alive.
        $builder.add("", |btf, _| unsafe { sys::$function(btf, $($argument),*) })
    };
}

impl Builder {
    fn new() -> Builder {
        // SAFETY: it takes nothing.
        Builder(unsafe { sys::btf__new_empty() })
    }

    fn add(&mut self, name: &str, add: impl FnOnce(*mut sys::btf, *const std::ffi::c_char) -> i32) -> u32 {
        let name = CString::new(name).unwrap();
        u32::try_from(add(self.0, name.as_ptr())).unwrap_or_else(|_| panic!("{name:?} refused"))
    }

    fn int(&mut self, name: &str, size: u64, encoding: u32) -> u32 {
        add!(self, btf__add_int(name; size, encoding as i32))
    }

    fn ptr(&mut self, to: u32) -> u32 {
        add!(self, btf__add_ptr(to as i32))
    }

    fn constant(&mut self, of: u32) -> u32 {
        add!(self, btf__add_const(of as i32))
    }

    fn tag(&mut self, tag: &str, of: u32) -> u32 {
        add!(self, btf__add_type_tag(tag; of as i32))
    }

    fn typedef(&mut self, name: &str, of: u32) -> u32 {
        add!(self, btf__add_typedef(name; of as i32))
    }

    fn array(&mut self, of: u32, len: u32) -> u32 {
        add!(self, btf__add_array(of as i32, of as i32, len))
    }

    fn forward(&mut self, name: &str) -> u32 {
        add!(self, btf__add_fwd(name; sys::BTF_FWD_STRUCT))
    }

    fn enumeration(&mut self, name: &str, size: u32, values: &[(&str, i64)]) -> u32 {
        let id = add!(self, btf__add_enum(name; size));
        for (name, value) in values {
            add!(self, btf__add_enum_value(name; *value));
        }
        id
    }

    /// Members are names, types, offsets and widths, both in bits.
    fn structure(&mut self, name: &str, size: u32, members: &[(&str, u32, u32, u32)]) -> u32 {
        let id = add!(self, btf__add_struct(name; size));
        self.members(members);
        id
    }

    fn union(&mut self, name: &str, size: u32, members: &[(&str, u32, u32, u32)]) -> u32 {
        let id = add!(self, btf__add_union(name; size));
        self.members(members);
        id
    }

    fn members(&mut self, members: &[(&str, u32, u32, u32)]) {
        for (name, ty, offset, width) in members {
            add!(self, btf__add_field(name; *ty as i32, *offset, *width));
        }
    }

    fn built(self) -> World {
        World { sources: Sources::of(Btf::built(self.0)), table: Table::default() }
    }
}

struct World {
    sources: Sources,
    table: Table,
}

impl World {
    fn convert(&mut self, id: u32) -> Type {
        let ty = self.sources.at(0, id);
        Converter { sources: &mut self.sources, table: &mut self.table }.convert(ty)
    }

    fn fields(&mut self, id: u32) -> Vec<Field> {
        let Type::Struct(id) = self.convert(id) else { panic!("no struct") };
        assert!(Converter { sources: &mut self.sources, table: &mut self.table }.load(id));
        self.table.layouts.structs[&id].fields.clone()
    }
}

#[test]
fn text_is_what_c_calls_char() {
    let mut b = Builder::new();
    let unsigned_char = b.int("char", 1, 0);
    let byte = b.int("unsigned char", 1, 0);
    let signed = b.int("signed char", 1, sys::BTF_INT_SIGNED);
    let u8_type = b.typedef("u8", byte);
    let (name, mac, int8) = (b.array(unsigned_char, 16), b.array(u8_type, 6), b.array(signed, 4));
    let flexible = b.array(unsigned_char, 0);
    let lines = b.array(name, 3);
    let mut w = b.built();
    assert_eq!(w.convert(name), Type::Str(16));
    assert_eq!(w.convert(int8), Type::Str(4));
    assert_eq!(w.convert(mac), Type::Array { elem: Box::new(Type::U8), len: 6 });
    assert_eq!(w.convert(flexible), Type::Array { elem: Box::new(Type::U8), len: 0 });
    assert_eq!(w.convert(lines), Type::Array { elem: Box::new(Type::Str(16)), len: 3 });
}

#[test]
fn integers_that_c_has_and_the_language_has_not() {
    let mut b = Builder::new();
    let wide = b.int("__int128", 16, sys::BTF_INT_SIGNED);
    let truth = b.int("_Bool", 1, sys::BTF_INT_BOOL);
    let mut w = b.built();
    assert_eq!(w.convert(wide), Type::Array { elem: Box::new(Type::U8), len: 16 });
    assert_eq!(w.convert(truth), Type::Bool);
    assert_eq!(w.convert(0), Type::Void);
    assert_eq!(w.convert(9999), Type::Void);
}

#[test]
fn tags_tell_user_memory_from_the_kernels() {
    let mut b = Builder::new();
    let int = b.int("int", 4, sys::BTF_INT_SIGNED);
    let (user, percpu) = (b.tag("user", int), b.tag("percpu", int));
    // `const int __user *`, with the qualifier on either side of the tag.
    let constant = b.constant(user);
    let (to_user, to_constant, to_percpu, plain) = (b.ptr(user), b.ptr(constant), b.ptr(percpu), b.ptr(int));
    let to_pointer = b.ptr(to_user);
    let mut w = b.built();
    assert_eq!(w.convert(to_user), Type::ptr(Type::I32, Space::User));
    assert_eq!(w.convert(to_constant), Type::ptr(Type::I32, Space::User));
    assert_eq!(w.convert(to_percpu), Type::ptr(Type::I32, Space::Kernel));
    assert_eq!(w.convert(plain), Type::ptr(Type::I32, Space::Kernel));
    assert_eq!(w.convert(to_pointer), Type::ptr(Type::ptr(Type::I32, Space::User), Space::Kernel));
}

#[test]
fn anonymous_members_are_flattened_after_the_named() {
    let mut b = Builder::new();
    let int = b.int("unsigned int", 4, 0);
    let inner = b.structure("", 8, &[("c", int, 0, 0), ("d", int, 32, 0)]);
    let either = b.union("", 8, &[("b", int, 0, 0), ("", inner, 0, 0)]);
    let outer = b.structure("outer", 16, &[("a", int, 0, 0), ("", either, 32, 0), ("e", int, 96, 0)]);
    let mut w = b.built();
    let fields = w.fields(outer);
    let places: Vec<(&str, u32)> = fields.iter().map(|f| (f.name.as_str(), f.offset)).collect();
    assert_eq!(places, [("a", 0), ("e", 12), ("b", 4), ("c", 4), ("d", 8)]);
}

#[test]
fn bitfields_keep_their_type_and_place() {
    let mut b = Builder::new();
    let int = b.int("unsigned int", 4, 0);
    let kind = b.enumeration("kind", 4, &[("A", 0), ("B", -1)]);
    let s = b.structure("s", 8, &[("x", int, 0, 3), ("k", kind, 3, 2), ("y", int, 40, 24)]);
    let mut w = b.built();
    let fields = w.fields(s);
    if cfg!(target_endian = "little") {
        let bits = |shift, width| Some(Bits { shift, width });
        let places: Vec<_> = fields.iter().map(|f| (f.offset, f.bits)).collect();
        assert_eq!(places, [(0, bits(0, 3)), (0, bits(3, 2)), (4, bits(8, 24))]);
    }
    // A negative enumerator makes the enum signed.
    assert!(matches!(fields[1].ty, Type::Enum { int: Int::I32, .. }), "{:?}", fields[1]);
    let Type::Enum { id, .. } = fields[1].ty else { unreachable!() };
    assert_eq!(w.table.layouts.enums[&id].values, [("A".to_owned(), 0), ("B".to_owned(), -1)]);
}

#[test]
fn declared_structs_are_those_defined() {
    let mut b = Builder::new();
    let int = b.int("int", 4, sys::BTF_INT_SIGNED);
    let (known, unknown) = (b.forward("known"), b.forward("unknown"));
    let (to_known, to_unknown) = (b.ptr(known), b.ptr(unknown));
    let defined = b.structure("known", 4, &[("n", int, 0, 0)]);
    let mut w = b.built();
    assert_eq!(w.convert(to_known), Type::ptr(w.convert(defined), Space::Kernel));
    let Type::Ptr { to, .. } = w.convert(to_unknown) else { panic!("no pointer") };
    let Type::Struct(id) = *to else { panic!("{to:?}") };
    assert_eq!(w.table.layouts.structs[&id].name, "unknown");
    assert!(!Converter { sources: &mut w.sources, table: &mut w.table }.load(id));
    // The same one again is the same.
    assert_eq!(w.convert(unknown), Type::Struct(id));
}

#[test]
fn bitfields_lie_in_aligned_integers_where_they_can() {
    let le = |offset, size, shift, width| (offset, size, Bits { shift, width });
    if cfg!(target_endian = "big") {
        return;
    }
    assert_eq!(holder(32, 3, 4), le(4, 4, 0, 3));
    assert_eq!(holder(35, 1, 4), le(4, 4, 3, 1));
    assert_eq!(holder(63, 1, 4), le(4, 4, 31, 1));
    assert_eq!(holder(9, 2, 1), le(1, 1, 1, 2));
    // Packed: 16 bits from the fourth on fit no aligned 16, and no 16 at all.
    assert_eq!(holder(4, 16, 2), le(0, 8, 4, 16));
    assert_eq!(holder(24, 12, 2), le(3, 2, 0, 12));
}
