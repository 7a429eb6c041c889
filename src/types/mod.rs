//! The types of values: one model from the checker through code generation to printing.
//!
//! A [`Type`] is small, comparable and serialisable. What it cannot hold by itself (the fields of structs, the
//! names of enums) is in a [`Layouts`] table under an id. Where types come from (BTF, DWARF, tracefs, C) is the
//! business of the files in this room.

pub mod btf;
pub mod buckets;
pub mod c;
pub mod constants;
mod convert;
pub mod dwarf;
pub mod layout;
pub mod linked;
pub mod names;
mod spell;
pub mod store;
pub mod tracefs;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// An integer type: 1, 2, 4 or 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Int {
    pub size: u8,
    pub signed: bool,
}

impl Int {
    pub const I8: Int = Int { size: 1, signed: true };
    pub const I16: Int = Int { size: 2, signed: true };
    pub const I32: Int = Int { size: 4, signed: true };
    pub const I64: Int = Int { size: 8, signed: true };
    pub const U8: Int = Int { size: 1, signed: false };
    pub const U16: Int = Int { size: 2, signed: false };
    pub const U32: Int = Int { size: 4, signed: false };
    pub const U64: Int = Int { size: 8, signed: false };
}

/// Which memory a pointer points into, so which helper reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Space {
    /// Not known: read as the probe's own side, kernel where the probe has none.
    #[default]
    Unknown,
    Kernel,
    User,
    /// The program's context or other memory that BPF loads read directly.
    Bpf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StructId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EnumId(pub u32);

/// The type of a value. Its bytes in memory (map keys and values, events, scratch memory) are in [`layout`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Type {
    /// The value of what has none: `print(…)`.
    Void,
    Bool,
    Int(Int),
    Enum {
        id: EnumId,
        int: Int,
    },
    /// A string of at most this many bytes, the NUL counted. After the first NUL the bytes are undefined, but for
    /// map keys, where they are zero.
    Str(u32),
    /// Bytes, at most this many.
    Buf(u32),
    Ptr {
        to: Box<Type>,
        space: Space,
    },
    Array {
        elem: Box<Type>,
        len: u32,
    },
    Struct(StructId),
    Tuple(Vec<Type>),
    Record(Vec<(String, Type)>),
    /// A floating-point number of 4 or 8 bytes. BPF cannot calculate with it: it is read, kept and printed.
    Float {
        size: u8,
    },
    /// An IPv4 or IPv6 address, from `ntop`.
    Inet,
    /// From `macaddr`.
    Mac,
    /// From `strftime`.
    Timestamp,
    /// A kernel address that prints as its symbol.
    KSym,
    /// An address in a process that prints as its symbol.
    USym,
    KStack(StackFormat),
    UStack(StackFormat),
    /// A user id that prints as the user's name, from `username`.
    Username,
    /// The `probe` builtin: a number in the image's table of probe names.
    ProbeName,
    /// From `cgroup_path`.
    CgroupPath,
    /// What a map holds after `@ = count()` and the like; of no other thing.
    Agg(Agg),
}

/// `kstack(perf, 5)`: how a stack prints, and how many frames it has at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StackFormat {
    pub mode: StackMode,
    pub limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StackMode {
    Bpftrace,
    Perf,
    Raw,
    BuildId,
}

/// What a map gathers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Agg {
    Count,
    Sum {
        signed: bool,
    },
    Min {
        signed: bool,
    },
    Max {
        signed: bool,
    },
    Avg {
        signed: bool,
    },
    Stats {
        signed: bool,
    },
    /// A log2 histogram whose powers of two are divided in `2^bits` buckets each, `bits` from 0 to 5.
    Hist {
        bits: u8,
    },
    LHist {
        min: i64,
        max: i64,
        step: i64,
    },
    /// The last `intervals` intervals of so many nanoseconds, each with one number.
    TSeries {
        interval: u64,
        intervals: u32,
        each: Each,
        signed: bool,
    },
}

/// What a time series keeps of the numbers that fall in one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Each {
    Last,
    Avg,
    Max,
    Min,
    Sum,
}

/// The fields of a struct or union.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Struct {
    /// `task_struct`; "" for an anonymous one.
    pub name: String,
    pub union: bool,
    /// In bytes.
    pub size: u32,
    /// In bytes, a power of two; known where the fields are.
    pub align: u32,
    /// Members of anonymous members are here too, under their own names and at their offsets in this struct, after
    /// the named ones.
    pub fields: Vec<Field>,
}

impl Struct {
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    pub ty: Type,
    /// In bytes from the start of the struct; for a bitfield, of the integer that holds it.
    pub offset: u32,
    pub bits: Option<Bits>,
}

/// A bitfield in the integer of its field's type: the lowest bit's number there, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bits {
    pub shift: u8,
    pub width: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enum {
    pub name: String,
    pub int: Int,
    pub values: Vec<(String, i64)>,
}

/// Structs and enums by id. The checker fills one as it meets them; an image carries those that its values need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layouts {
    pub structs: BTreeMap<StructId, Struct>,
    pub enums: BTreeMap<EnumId, Enum>,
}

impl Type {
    pub const U8: Type = Type::Int(Int::U8);
    pub const U16: Type = Type::Int(Int::U16);
    pub const U32: Type = Type::Int(Int::U32);
    pub const U64: Type = Type::Int(Int::U64);
    pub const I32: Type = Type::Int(Int::I32);
    pub const I64: Type = Type::Int(Int::I64);
    pub const FLOAT: Type = Type::Float { size: 4 };
    pub const DOUBLE: Type = Type::Float { size: 8 };

    pub fn ptr(to: Type, space: Space) -> Type {
        Type::Ptr { to: Box::new(to), space }
    }

    /// Whether a value fits a register; every other one lives in memory.
    pub fn is_scalar(&self) -> bool {
        matches!(
            self,
            Type::Bool
                | Type::Int(_)
                | Type::Enum { .. }
                | Type::Ptr { .. }
                | Type::KSym
                | Type::Username
                | Type::ProbeName
        )
    }

    /// The integer that holds a value of a scalar type.
    pub fn as_int(&self) -> Option<Int> {
        match self {
            Type::Bool => Some(Int::U8),
            Type::Int(int) | Type::Enum { int, .. } => Some(*int),
            Type::Ptr { .. } | Type::KSym => Some(Int::U64),
            Type::Username | Type::ProbeName => Some(Int::U32),
            _ => None,
        }
    }
}

/// Shows types as the language spells them: `uint64`, `struct task_struct *`, `(string[16],int64)`.
pub struct Spelled<'a>(pub &'a Type, pub &'a Layouts);

impl fmt::Display for Spelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spelled(ty, layouts) = *self;
        let inner = |ty| Spelled(ty, layouts);
        match ty {
            Type::Void => write!(f, "void"),
            Type::Bool => write!(f, "bool"),
            Type::Int(int) => write!(f, "{int}"),
            Type::Enum { id, .. } => match layouts.enums.get(id) {
                Some(e) if !e.name.is_empty() => write!(f, "enum {}", e.name),
                _ => write!(f, "enum"),
            },
            Type::Str(size) => write!(f, "string[{size}]"),
            Type::Buf(size) => write!(f, "buffer[{size}]"),
            Type::Ptr { to, .. } => write!(f, "{} *", inner(to)),
            Type::Array { elem, len } => write!(f, "{}[{len}]", inner(elem)),
            Type::Struct(id) => match layouts.structs.get(id) {
                Some(s) => write!(f, "{} {}", if s.union { "union" } else { "struct" }, s.name),
                None => write!(f, "struct"),
            },
            Type::Tuple(types) => {
                write!(f, "(")?;
                for (n, ty) in types.iter().enumerate() {
                    write!(f, "{}{}", if n > 0 { "," } else { "" }, inner(ty))?;
                }
                write!(f, ")")
            }
            Type::Record(fields) => {
                write!(f, "record {{ ")?;
                for (n, (name, ty)) in fields.iter().enumerate() {
                    write!(f, "{}.{name} = {}", if n > 0 { ", " } else { "" }, inner(ty))?;
                }
                write!(f, " }}")
            }
            Type::Float { size: 4 } => write!(f, "float"),
            Type::Float { .. } => write!(f, "double"),
            Type::Inet => write!(f, "inet"),
            Type::Mac => write!(f, "macaddr_t"),
            Type::Timestamp => write!(f, "timestamp"),
            Type::KSym => write!(f, "ksym_t"),
            Type::USym => write!(f, "usym_t"),
            Type::KStack(format) => write!(f, "kstack{format}"),
            Type::UStack(format) => write!(f, "ustack{format}"),
            Type::Username => write!(f, "username"),
            Type::ProbeName => write!(f, "probe"),
            Type::CgroupPath => write!(f, "cgroup_path_t"),
            Type::Agg(agg) => write!(f, "{}", agg.name()),
        }
    }
}

impl StackFormat {
    /// How many frames there are without a limit.
    pub const FRAMES: u32 = 127;
}

/// What stands behind `kstack`: `(perf, 5)`.
impl fmt::Display for StackFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.mode, self.limit) {
            (StackMode::Bpftrace, Self::FRAMES) => Ok(()),
            (StackMode::Bpftrace, limit) => write!(f, "({limit})"),
            (mode, Self::FRAMES) => write!(f, "({})", mode.name()),
            (mode, limit) => write!(f, "({}, {limit})", mode.name()),
        }
    }
}

impl fmt::Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}int{}", if self.signed { "" } else { "u" }, u32::from(self.size) * 8)
    }
}

impl Agg {
    /// The function that makes it.
    pub fn name(&self) -> &'static str {
        match self {
            Agg::Count => "count",
            Agg::Sum { .. } => "sum",
            Agg::Min { .. } => "min",
            Agg::Max { .. } => "max",
            Agg::Avg { .. } => "avg",
            Agg::Stats { .. } => "stats",
            Agg::Hist { .. } => "hist",
            Agg::LHist { .. } => "lhist",
            Agg::TSeries { .. } => "tseries",
        }
    }

    /// What tells it from another one that the same function makes, after "it is …".
    pub fn parameters(&self) -> Option<String> {
        match self {
            Agg::Hist { bits } => Some(format!("of {bits} bits")),
            Agg::LHist { min, max, step } => Some(format!("from {min} to {max} in steps of {step}")),
            Agg::TSeries { interval, intervals, each, signed } => {
                let numbers = if *signed { "signed" } else { "unsigned" };
                let each = match each {
                    Each::Last => "the last one",
                    Each::Avg => "the average",
                    Each::Max => "the largest",
                    Each::Min => "the smallest",
                    Each::Sum => "the sum",
                };
                Some(format!("of {intervals} intervals of {interval} ns, with {each} of {numbers} numbers"))
            }
            _ => None,
        }
    }
}

impl StackMode {
    pub const ALL: [StackMode; 4] =
        [StackMode::Bpftrace, StackMode::Perf, StackMode::Raw, StackMode::BuildId];

    pub fn name(self) -> &'static str {
        match self {
            StackMode::Bpftrace => "bpftrace",
            StackMode::Perf => "perf",
            StackMode::Raw => "raw",
            StackMode::BuildId => "build_id",
        }
    }

    pub fn from_name(name: &str) -> Option<StackMode> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }
}
