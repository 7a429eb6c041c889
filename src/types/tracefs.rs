//! The records of tracepoints, as the `format` files of tracefs describe them:
//!
//! ```text
//! field:unsigned short common_type;    offset:0;    size:2;    signed:0;
//! field:const char * filename;    offset:24;    size:8;    signed:0;
//! field:__data_loc char[] name;    offset:32;    size:4;    signed:0;
//! ```
//!
//! The file is the truth about where a field lies; BTF's `trace_event_raw_*` are not, above all for system calls,
//! whose arguments have slots of their own.

use std::io;

use super::store::Types;
use super::{Int, Space, Type};
use crate::kernel::tracefs::Tracefs;
use crate::syntax::ast::Tag;

/// What a tracepoint's program finds at its context pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `common_type`, `common_pid` and the like, which every record begins with.
    pub common: Vec<RecordField>,
    /// The event's own.
    pub fields: Vec<RecordField>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordField {
    pub name: String,
    /// As the file has it: `const char * filename`.
    pub declaration: String,
    /// For data that lies elsewhere in the record, a pointer to it.
    pub ty: Type,
    /// Where in the record a value of the type lies, in bytes.
    pub offset: u32,
    pub placed: Placed,
}

/// How a field's value is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// At its offset.
    Here,
    /// At its offset are 32 bits: in the lower half where in the record the data begins, in the upper its size.
    DataLoc,
    /// The same, but counted from the end of these 32 bits.
    RelLoc,
}

/// Reads what an event's records hold.
pub fn record(tracefs: &Tracefs, types: &mut Types, category: &str, event: &str) -> io::Result<Record> {
    let text = tracefs.read(format!("events/{category}/{event}/format"))?;
    Ok(parse(&text, category, &mut |tag, name| types.find(tag, name)))
}

/// Finds a type by its name.
type Find<'a> = dyn FnMut(Option<Tag>, &str) -> Option<Type> + 'a;

fn parse(text: &str, category: &str, find: &mut Find<'_>) -> Record {
    // What a system call is given are the caller's pointers; all other events record the kernel's.
    let space = if category == "syscalls" { Space::User } else { Space::Kernel };
    let mut record = Record::default();
    for line in text.lines() {
        let Some(field) = Line::parse(line).and_then(|line| line.field(space, find)) else { continue };
        let fields = if field.name.starts_with("common_") { &mut record.common } else { &mut record.fields };
        fields.push(field);
    }
    record
}

/// A line of the file, taken apart.
struct Line<'a> {
    declaration: &'a str,
    offset: u32,
    size: u32,
    signed: bool,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Line<'a>> {
        let mut parts = line.trim().split(';').map(str::trim);
        let declaration = parts.next()?.strip_prefix("field:")?.trim();
        let mut number = |name: &str| parts.next()?.strip_prefix(name)?.parse::<u32>().ok();
        let (offset, size) = (number("offset:")?, number("size:")?);
        // Kernels without the last one are as old as BPF.
        Some(Line { declaration, offset, size, signed: number("signed:").unwrap_or(0) != 0 })
    }

    fn field(&self, space: Space, find: &mut Find<'_>) -> Option<RecordField> {
        let declared = Declaration::parse(self.declaration)?;
        let space = if declared.user { Space::User } else { space };
        let field = |ty, offset, placed| RecordField {
            name: declared.name.to_owned(),
            declaration: self.declaration.to_owned(),
            ty,
            offset,
            placed,
        };
        let base = declared.base.and_then(|(tag, name)| find(tag, name));
        if declared.placed != Placed::Here {
            let elem = declared.pointed(base.unwrap_or(Type::Void), Space::Kernel);
            return Some(field(Type::ptr(elem, Space::Kernel), self.offset, declared.placed));
        }
        let ty = match declared.dimensions.as_slice() {
            [] => self.scalar(declared.pointed_or(base, space), space),
            dimensions => self.array(declared.pointed_or(base, space), declared.is_text(), dimensions),
        };
        // A slot that is larger than its value holds it where a register would.
        let own = ty.as_int().map_or(self.size, |int| u32::from(int.size));
        let shift = if cfg!(target_endian = "big") { self.size.saturating_sub(own) } else { 0 };
        Some(field(ty, self.offset + shift, Placed::Here))
    }

    /// A value that fills its slot, or an integer in a slot that is larger: the arguments of system calls have eight
    /// bytes each, of which the kernel itself looks only at those that the argument's type has.
    fn scalar(&self, ty: Option<Type>, space: Space) -> Type {
        let slot = Int { size: u8::try_from(self.size).unwrap_or(0), signed: self.signed };
        match ty {
            Some(ptr @ Type::Ptr { .. }) if self.size == 8 => in_space(ptr, space),
            // The kernel stores some enums in a byte.
            Some(Type::Enum { id, int }) if u32::from(int.size) > self.size && valid(slot) => {
                Type::Enum { id, int: slot }
            }
            Some(ty @ (Type::Int(_) | Type::Enum { .. } | Type::Bool))
                if ty.as_int().is_some_and(|int| u32::from(int.size) <= self.size) =>
            {
                ty
            }
            Some(ty @ Type::Struct(_)) => ty,
            _ if valid(slot) => Type::Int(slot),
            _ => Type::Array { elem: Box::new(Type::U8), len: self.size },
        }
    }

    /// The size of the slot decides about the outermost dimension: older kernels print names of constants.
    fn array(&self, elem: Option<Type>, text: bool, dimensions: &[Option<u32>]) -> Type {
        let inner: u32 = dimensions.iter().skip(1).map(|d| d.unwrap_or(1).max(1)).product();
        let size = elem.as_ref().and_then(known_size);
        let outer = match size {
            Some(size) => self.size / size.saturating_mul(inner).max(1),
            None => dimensions.first().copied().flatten().unwrap_or(0),
        };
        let mut ty = match (elem, size) {
            (Some(elem), Some(_)) => elem,
            // Unknown elements are so many bytes each.
            _ => bytes(self.size / outer.saturating_mul(inner).max(1)),
        };
        let lengths = dimensions.iter().skip(1).map(|d| d.unwrap_or(1)).rev().chain([outer]);
        for (n, len) in lengths.enumerate() {
            ty = if n == 0 && text && len > 0 {
                Type::Str(len)
            } else {
                Type::Array { elem: Box::new(ty), len }
            };
        }
        ty
    }
}

fn valid(int: Int) -> bool {
    matches!(int.size, 1 | 2 | 4 | 8)
}

fn bytes(size: u32) -> Type {
    match size {
        1 | 2 | 4 | 8 => Type::Int(Int { size: size as u8, signed: false }),
        len => Type::Array { elem: Box::new(Type::U8), len },
    }
}

/// Of what can be an array's element in a record.
fn known_size(ty: &Type) -> Option<u32> {
    ty.as_int().map(|int| u32::from(int.size))
}

/// With all pointers into one space: what a caller's pointer leads to is the caller's too.
fn in_space(ty: Type, space: Space) -> Type {
    match ty {
        Type::Ptr { to, .. } => Type::ptr(in_space(*to, space), space),
        other => other,
    }
}

/// `const char *const * argv`, `u8 mac[6]`, `__data_loc char[] name`.
struct Declaration<'a> {
    /// The name of the innermost type; `None` for one that has no name, such as a function's.
    base: Option<(Option<Tag>, &'a str)>,
    stars: usize,
    user: bool,
    name: &'a str,
    /// As far as they are numbers.
    dimensions: Vec<Option<u32>>,
    placed: Placed,
}

impl<'a> Declaration<'a> {
    fn parse(text: &'a str) -> Option<Declaration<'a>> {
        let (placed, text) = match text.split_once(char::is_whitespace) {
            Some(("__data_loc", rest)) => (Placed::DataLoc, rest),
            Some(("__rel_loc", rest)) => (Placed::RelLoc, rest),
            _ => (Placed::Here, text),
        };
        let mut user = text.contains("__user") || text.contains("btf_type_tag(\"user\")");
        user &= placed == Placed::Here;
        if let Some((_, rest)) = text.split_once("(*") {
            // A pointer to a function; where it is declared with its name inside.
            let name = words(rest).next()?;
            return Some(Declaration { base: None, stars: 1, user, name, dimensions: vec![], placed });
        }
        let text = text.trim();
        // `[]` stands after the name, or after the type for `__data_loc`.
        let (dimensions, head) = dimensions(text);
        let name = words(text.rsplit(']').next().filter(|t| !t.trim().is_empty()).unwrap_or(head)).last()?;
        let declared = head.strip_suffix(name).unwrap_or(head);
        let (before, stars) = (declared.split('*').next().unwrap_or(""), declared.matches('*').count());
        Some(Declaration { base: base(before), stars, user, name, dimensions, placed })
    }

    /// What the stars make of the innermost type.
    fn pointed(&self, base: Type, space: Space) -> Type {
        (0..self.stars).fold(base, |ty, _| Type::ptr(ty, space))
    }

    /// The same; something unknown can still be pointed to.
    fn pointed_or(&self, base: Option<Type>, space: Space) -> Option<Type> {
        match base {
            None if self.stars == 0 => None,
            base => Some(self.pointed(base.unwrap_or(Type::Void), space)),
        }
    }

    /// Whether an array of it is text.
    fn is_text(&self) -> bool {
        self.stars == 0
            && matches!(self.base, Some((None, "char" | "signed char" | "int8_t" | "s8" | "__s8")))
    }
}

/// The sizes in brackets, and the text before the first.
fn dimensions(text: &str) -> (Vec<Option<u32>>, &str) {
    let Some((head, rest)) = text.split_once('[') else { return (vec![], text) };
    let sizes =
        rest.split('[').map(|part| part.split(']').next().unwrap_or("").trim().parse().ok()).collect();
    (sizes, head.trim_end())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|w| !w.is_empty())
}

/// The name that is left of `const struct cred `, without qualifiers and attributes.
fn base(text: &str) -> Option<(Option<Tag>, &str)> {
    let mut text = text.trim();
    let mut tag = None;
    loop {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match word {
            "const" | "volatile" | "restrict" => {}
            "struct" => tag = Some(Tag::Struct),
            "union" => tag = Some(Tag::Union),
            "enum" => tag = Some(Tag::Enum),
            _ => break,
        }
        text = rest.trim_start();
    }
    // Address spaces and attributes come after the name: `void __seg_gs`, `char __attribute__((…))`.
    let mut end = 0;
    let mut at = 0;
    for word in text.split(' ') {
        at += word.len();
        if matches!(word, "const" | "volatile" | "restrict" | "__user" | "__rcu" | "__percpu" | "__iomem")
            || word.starts_with("__seg_")
            || word.starts_with("__attribute__")
        {
            break;
        }
        end = at;
        at += 1;
    }
    let name = text.get(..end)?.trim_end();
    (!name.is_empty()).then_some((tag, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::types::names::well_known;
    use crate::types::{EnumId, StructId};

    /// The first field that a line yields.
    fn field(line: &str, category: &str) -> RecordField {
        let mut find = |tag, name: &str| match (tag, name) {
            (Some(Tag::Struct), "iovec") => Some(Type::Struct(StructId(1))),
            (Some(Tag::Enum), "kind") => Some(Type::Enum { id: EnumId(2), int: Int::U32 }),
            (None, "umode_t") => Some(Type::U16),
            (None, "cap_user_data_t") => Some(Type::ptr(Type::Struct(StructId(3)), Space::Kernel)),
            (None, name) => well_known(name),
            _ => None,
        };
        let Record { common, fields } = parse(line, category, &mut find);
        common.into_iter().chain(fields).next().unwrap_or_else(|| panic!("{line}"))
    }

    fn ty(declaration: &str, size: u32) -> Type {
        field(&format!("\tfield:{declaration};\toffset:8;\tsize:{size};\tsigned:0;"), "sched").ty
    }

    #[test]
    fn arrays_of_all_kinds() {
        let array = |elem: Type, len| Type::Array { elem: Box::new(elem), len };
        assert_eq!(ty("char comm[16]", 16), Type::Str(16));
        assert_eq!(ty("char comm[TASK_COMM_LEN]", 16), Type::Str(16));
        assert_eq!(ty("u8 mac[6]", 6), array(Type::U8, 6));
        assert_eq!(ty("unsigned long sysctl_mem[3]", 24), array(Type::U64, 3));
        assert_eq!(ty("int grid[2][3]", 24), array(array(Type::I32, 3), 2));
        assert_eq!(ty("char lines[4][8]", 32), array(Type::Str(8), 4));
        assert_eq!(ty("char buf[]", 0), array(Type::Int(Int::I8), 0));
        assert_eq!(ty("struct unknown x[2]", 24), array(array(Type::U8, 12), 2));
    }

    #[test]
    fn pointers_point_into_the_space_of_the_event() {
        let line = |d: &str| format!("field:{d};offset:16;size:8;signed:0;");
        let (char_type, iovec) = (Type::Int(Int::I8), Type::Struct(StructId(1)));
        let user = |to| Type::ptr(to, Space::User);
        let at = field(&line("const char * filename"), "syscalls");
        assert_eq!((at.name.as_str(), at.ty), ("filename", user(char_type.clone())));
        assert_eq!(at.declaration, "const char * filename");
        let at = field(&line("const char *const * argv"), "syscalls");
        assert_eq!((at.name.as_str(), at.ty), ("argv", user(user(char_type.clone()))));
        let at = field(&line("const struct iovec *const vec"), "syscalls");
        assert_eq!((at.name.as_str(), at.ty), ("vec", user(iovec.clone())));
        // A typedef may hide the pointer.
        assert_eq!(field(&line("cap_user_data_t data"), "syscalls").ty, user(Type::Struct(StructId(3))));
        let kernel = |to| Type::ptr(to, Space::Kernel);
        assert_eq!(field(&line("struct iovec * * vec"), "sched").ty, kernel(kernel(iovec)));
        assert_eq!(field(&line("char __user * u"), "sched").ty, user(char_type));
        let tagged = r#"void __attribute__((btf_type_tag("user"))) * u"#;
        assert_eq!(field(&line(tagged), "sched").ty, user(Type::Void));
        assert_eq!(ty("void __seg_gs * ptr", 8), kernel(Type::Void));
        assert_eq!(ty("const void* ip", 8), kernel(Type::Void));
        assert_eq!(ty("struct nobody_knows * p", 8), kernel(Type::Void));
        assert_eq!(field(&line("int (*func)(void *)"), "sched").name, "func");
        assert_eq!(ty("int (*func)(void *)", 8), kernel(Type::Void));
    }

    #[test]
    fn integers_have_their_own_size_and_sign() {
        // A file descriptor is an int, whatever its slot.
        assert_eq!(ty("int dfd", 8), Type::I32);
        assert_eq!(ty("const umode_t mode", 8), Type::U16);
        assert_eq!(ty("unsigned int flags", 4), Type::U32);
        assert_eq!(ty("bool ok", 1), Type::Bool);
        assert_eq!(ty("enum kind k", 4), Type::Enum { id: EnumId(2), int: Int::U32 });
        assert_eq!(ty("enum kind k", 1), Type::Enum { id: EnumId(2), int: Int::U8 });
        assert_eq!(ty("enum nobody_knows k", 4), Type::U32);
        assert_eq!(ty("xfs_lsn_t lsn", 8), Type::U64);
        assert_eq!(field("field:xfs_lsn_t l; offset:8; size:8; signed:1;", "xfs").ty, Type::I64);
    }

    #[test]
    fn data_elsewhere_in_the_record() {
        let name = field("field:__data_loc char[] name;\toffset:8;\tsize:4;\tsigned:0;", "sched");
        let char_ptr = Type::ptr(Type::Int(Int::I8), Space::Kernel);
        assert_eq!((name.name.as_str(), name.ty, name.placed), ("name", char_ptr.clone(), Placed::DataLoc));
        let name = field("field:__rel_loc char[] name;offset:8;size:4;signed:0;", "user_events");
        assert_eq!((name.ty, name.placed), (char_ptr, Placed::RelLoc));
        let mask = field("field:__data_loc cpumask_t cpumask;offset:8;size:4;signed:0;", "ipi");
        assert_eq!((mask.name.as_str(), mask.placed), ("cpumask", Placed::DataLoc));
        let numbers = field("field:__data_loc unsigned int[] values;offset:8;size:4;signed:0;", "x");
        assert_eq!(numbers.ty, Type::ptr(Type::U32, Space::Kernel));
    }

    #[test]
    fn broken_lines_are_left_out() {
        for line in [
            "field:;offset:1;size:1;",
            "field:int x;offset:a;size:4;",
            "field:int x",
            "x",
            "field:*;offset:0;size:8;",
        ] {
            assert_eq!(parse(line, "x", &mut |_, _| None), Record::default(), "{line}");
        }
    }

    /// Every field of every event of the running kernel, against the file's own sizes.
    #[test]
    fn all_events_of_this_kernel() {
        let kernel = Kernel::new();
        let Ok(tracefs) = kernel.tracefs() else { return crate::testing::skip("tracefs", "no tracefs") };
        let Ok(events) = tracefs.read("available_events") else {
            return crate::testing::skip("root", "not root");
        };
        let mut types = Types::new(&kernel);
        for event in events.lines() {
            let (category, event) = event.split_once(':').unwrap();
            let text = tracefs.read(format!("events/{category}/{event}/format")).unwrap();
            let record = record(tracefs, &mut types, category, event).unwrap();
            let lines = text.lines().filter(|l| l.trim_start().starts_with("field:")).count();
            assert_eq!(record.common.len() + record.fields.len(), lines, "{category}:{event}");
            assert!(record.common.iter().any(|f| f.name == "common_pid" && f.ty == Type::I32));
        }
        if types.problem().is_none() {
            let switch = record(tracefs, &mut types, "sched", "sched_switch").unwrap();
            let at = |name: &str| switch.fields.iter().find(|f| f.name == name).unwrap().clone();
            assert_eq!((at("prev_comm").ty, at("prev_pid").ty), (Type::Str(16), Type::I32));
        }
    }
}
