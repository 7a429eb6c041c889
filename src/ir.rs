//! What a script means: resolved, typed, with every conversion written out. Code generation turns it into BPF
//! without asking anything else about the script, and its errors are this project's bugs, never the user's.
//!
//! Builtins and functions have no node of their own where a few general ones express them: `pid` is a helper call,
//! a shift and a cast. A new one is usually one entry in `builtins` and nothing here.

use crate::diagnostics::Span;
use crate::image::{Attach, EventId, MapId, StringId};
use crate::types::linked::CFunction;
use crate::types::{Field, Space, Type};

/// A script ready for code generation.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub probes: Vec<Probe>,
    /// By [`MapId`].
    pub maps: Vec<crate::image::Map>,
    /// By [`EventId`].
    pub events: Vec<crate::image::Event>,
    /// By [`StringId`].
    pub strings: Vec<String>,
    /// Names for [`Type::ProbeName`], by number.
    pub probe_names: Vec<String>,
    pub layouts: crate::types::Layouts,
}

/// One BPF program. It may be attached to many places, as long as it sees the same arguments in all of them.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Unique, a C identifier of at most 15 characters where possible: the kernel shows it in `bpftool prog`.
    pub name: String,
    /// The ELF section, which tells libbpf the program and attach type: `kprobe`, `kprobe.multi`, `tp/syscalls/…`,
    /// `fentry/vfs_read`, `perf_event`, `raw_tp`.
    pub section: String,
    /// What the program's context pointer points to.
    pub context: Context,
    pub nesting: Nesting,
    /// Whether the kernel takes only zero as the program's result: see `check_return_code` in its verifier.
    pub returns_zero: bool,
    /// Where in the context the pointer is without which there is nothing to do.
    pub object: Option<u32>,
    /// Where pointers of [`Space::Unknown`] lead.
    pub space: Space,
    pub attach: Vec<Attach>,
    pub variables: Vec<Variable>,
    /// The predicate, if any, is an `If` around all of it.
    pub body: Vec<Stmt>,
    pub span: Span,
}

/// See [`Probe::context`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// No readable context: `BEGIN`, `END` (raw tracepoint programs that are run by the loader).
    None,
    /// `struct pt_regs`: kprobe, uprobe, and, at its start, perf events.
    Registers,
    /// A tracepoint's record, as in its `format` file.
    Record,
    /// As [`Context::Words`], of pointers that may be null: `iter`.
    Objects,
    /// An array of `u64`: fentry, fexit, raw tracepoints. Pointers among them are trusted by the verifier.
    Words,
}

/// How runs of a program can overlap on one CPU, which decides on its scratch memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nesting {
    /// Never: while one such program runs the kernel skips all of them (`bpf_prog_active`).
    Never,
    /// By an interrupt, which ends before the interrupted program goes on.
    Interrupts,
    /// By another task, at any point.
    Preemption,
}

/// A scratch variable, one for each `let` or first assignment: shadowing has been resolved.
#[derive(Clone, Debug)]
pub struct Variable {
    pub name: String,
    pub ty: Type,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VarId(pub u32);

#[derive(Clone, Debug, PartialEq)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StmtKind {
    /// Evaluated for its effects.
    Expr(Expr),
    /// The value's type is the variable's.
    SetVar {
        var: VarId,
        value: Expr,
    },
    /// The key's and value's types are the map's.
    SetMap {
        map: MapId,
        key: Option<Expr>,
        value: Expr,
    },
    /// `@[key] = count()`, `sum(value)`, `hist(value)`…: `value` is 64-bit, absent for `count`. Which it is stands
    /// in the map's value type. `weight` is how much a count grows by, absent for one; for a time series, the time.
    Aggregate {
        map: MapId,
        key: Option<Expr>,
        value: Option<Expr>,
        weight: Option<Expr>,
    },
    If {
        condition: Expr,
        then: Vec<Stmt>,
        otherwise: Vec<Stmt>,
    },
    /// Any number of rounds; code generation picks a form that the kernel accepts.
    While {
        condition: Expr,
        body: Vec<Stmt>,
    },
    /// `start` inclusive to `end` exclusive, signed 64-bit, evaluated once.
    ForRange {
        var: VarId,
        start: Expr,
        end: Expr,
        body: Vec<Stmt>,
    },
    /// The variable is a tuple of the map's key and value. For per-CPU maps the value is the sum over CPUs.
    ForMap {
        var: VarId,
        map: MapId,
        body: Vec<Stmt>,
    },
    Break,
    Continue,
    /// Leaves the probe. The value is what the BPF program returns.
    Return(Option<Expr>),
    /// Sends a record to user space. The arguments' types are the event's.
    Emit {
        event: EventId,
        args: Vec<Expr>,
    },
    /// Writes a string to the file that an iterator's reader reads: `bpf_seq_write`. This and the next only with
    /// [`Context::Objects`].
    SeqWrite(Expr),
    /// As `bpf_seq_printf` does it: the kernel's own format, and at most [`SEQ_ARGUMENTS`] scalars of 64 bits or
    /// strings, of which the kernel takes less than 512 bytes together.
    SeqPrintf {
        format: String,
        args: Vec<Expr>,
    },
    Block(Vec<Stmt>),
}

/// `MAX_BPRINTF_VARARGS` of `linux/bpf.h`.
pub const SEQ_ARGUMENTS: usize = 12;

#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub ty: Type,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A scalar constant. For narrower types the value is sign or zero extended to 64 bits.
    Const(u64),
    /// A string constant for [`Type::Str`], bytes for [`Type::Buf`]: without a NUL, padded to the type's size.
    Bytes(Vec<u8>),
    Var(VarId),
    /// A map's value; zeros where the key is absent. An aggregation reads as one number (its type is an integer):
    /// the sum over CPUs, the average for `avg`.
    MapGet {
        map: MapId,
        key: Option<Box<Expr>>,
    },
    /// Whether the key is there: `Bool`.
    MapHas {
        map: MapId,
        key: Box<Expr>,
    },
    /// Whether the key is there, and if so its value in the variable, which is of the map's type: `Bool`.
    MapFind {
        map: MapId,
        key: Box<Expr>,
        var: VarId,
    },
    /// Deletes the key, or zeroes the value of a map without: `Bool`, whether there was one.
    MapDelete {
        map: MapId,
        key: Option<Box<Expr>>,
    },
    /// How many keys the map has: `U64`.
    MapLen(MapId),
    /// Adds atomically to an integer map value, a missing one being zero; the value is the one before if `old`,
    /// else the one after.
    MapAdd {
        map: MapId,
        key: Option<Box<Expr>>,
        delta: Box<Expr>,
        old: bool,
    },
    /// Assigns an expression to a variable and yields the value before if `old`, else the one after: `$x++`.
    VarAdd {
        var: VarId,
        delta: Box<Expr>,
        old: bool,
    },
    /// Reads memory.
    Load(Box<Place>),
    /// The address of a place, as a plain number: what it is used for is up to the kernel's reading helpers.
    AddressOf(Box<Place>),
    /// The program's context pointer, as an integer.
    ContextPointer,
    /// Of the current task, its process's id in the upper half and its own in the lower, as the tracer's pid
    /// namespace has them; zeros if it is not in there. `U64`.
    TaskIds,
    /// Where a per-CPU variable of the kernel is, by the number of its type in the kernel's BTF: the current CPU's or,
    /// where given, that of a CPU by its number (`U32`), which is 0 if there is no such CPU. `U64`.
    PerCpu {
        variable: u32,
        cpu: Option<Box<Expr>>,
    },
    /// A BPF helper by its number in `enum bpf_func_id`, with scalar arguments; the result is a 64-bit scalar that
    /// is then cut to the type.
    Helper {
        id: u32,
        args: Vec<Expr>,
    },
    /// Sends an event ([`crate::image::EventKind::Packet`]) with the first bytes of a packet that the kernel handed to
    /// the program: an `sk_buff` as the verifier knows it. Zero or, negative, an error of `bpf_skb_output`.
    SkbOutput {
        event: EventId,
        packet: Box<Expr>,
        /// How many bytes of the packet: `U64`.
        length: Box<Expr>,
        /// The arguments of the event that come before the bytes.
        head: Vec<Expr>,
    },
    /// A function of an object that the script links, with scalar arguments; the result is cut to the type.
    Call {
        function: Box<CFunction>,
        args: Vec<Expr>,
    },
    /// A function that the kernel lets programs call, with scalars and the context as arguments.
    Kfunc {
        function: Box<CFunction>,
        args: Vec<Expr>,
    },
    /// A helper `(void *to, u32 size, …)` that fills memory: `bpf_get_current_comm`. The type is a string or
    /// buffer of that size.
    Fill {
        id: u32,
        args: Vec<Expr>,
    },
    /// A number that the loader puts in place: see [`crate::image::Global`].
    Global(crate::image::Global),
    /// A string read from an address up to its NUL, at most `len` bytes with the NUL where given (never more than the
    /// type holds); "" if it cannot be read.
    ReadString {
        address: Box<Expr>,
        len: Option<Box<Expr>>,
        space: Space,
    },
    /// The name of the thread with an id (`I32`), "" if there is none: a string of `TASK_COMM_LEN` bytes, which
    /// `struct task_struct` has at an offset.
    TaskName {
        tid: Box<Expr>,
        comm: u32,
    },
    /// The path of a `struct path` of the kernel, "" if it has none; its end, if it is longer than the type. The place is
    /// reached from the context over pointers alone: the kernel takes only what its verifier can follow.
    KernelPath(Box<Place>),
    /// A [`Type::Buf`] of `len` bytes from an address.
    ReadBuffer {
        address: Box<Expr>,
        len: Box<Expr>,
        space: Space,
    },
    /// A composite value from its parts: each at its offset in the type's layout, the rest zero. Tuples, records,
    /// `usym`, `ntop`, `strftime`.
    Pack(Vec<(u32, Expr)>),
    /// The current kernel or user stack; the type says which and how deep.
    Stack,
    /// The bytes of a value read as another type of the same size (array and integer casts), or shorter ones
    /// (the first bytes).
    Reinterpret(Box<Expr>),
    /// A scalar converted to the type: truncated, or extended by its own sign; `Bool` is whether it is not zero. A
    /// string or buffer copied to one of a larger size.
    Cast(Box<Expr>),
    Unary {
        op: Unary,
        operand: Box<Expr>,
    },
    /// Scalars of one type; the result is of the same, `Bool` for comparisons. Division by zero gives 0, and the
    /// remainder the dividend, signed or not.
    Binary {
        op: Binary,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// Equality of strings: up to the NUL or, if `limit` is given, so many bytes. `Bool`.
    StringEqual {
        left: Box<Expr>,
        right: Box<Expr>,
        limit: Option<u32>,
        negate: bool,
    },
    /// Equality of two values of one type by their bytes: arrays, buffers, tuples, addresses. `Bool`.
    BytesEqual {
        left: Box<Expr>,
        right: Box<Expr>,
        negate: bool,
    },
    /// How the bytes of two values compare as `memcmp` does it, in the first `count` of the shorter one's: negative,
    /// zero or positive, a signed integer. What is behind a string's end counts as zeros.
    BytesOrder {
        left: Box<Expr>,
        right: Box<Expr>,
        count: Box<Expr>,
    },
    /// The characters of a string before its NUL: `U64`.
    StringLength(Box<Expr>),
    /// Where one string first occurs in another, in bytes, or -1: `I64`. The empty one occurs everywhere.
    StringFind {
        haystack: Box<Expr>,
        needle: Box<Expr>,
    },
    /// Two strings, one after the other, as much of them as the type holds.
    StringConcat(Box<Expr>, Box<Expr>),
    /// A string out of a table, by its number. Numbers without one yield `otherwise`.
    Name {
        names: &'static Names,
        number: Box<Expr>,
    },
    /// Short-circuit `&&` and `||` of `Bool`s.
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    /// Only the chosen one is evaluated; any type but `Void`.
    Select {
        condition: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    /// Statements, then a value. A call that yields nothing, such as `printf`, is one whose value is a constant of
    /// type `Void`; the checker leaves it only as a statement.
    Block {
        body: Vec<Stmt>,
        value: Box<Expr>,
    },
    /// A field of a composite in BPF memory: a tuple's, record's or struct value's.
    Part {
        base: Box<Expr>,
        offset: u32,
    },
    /// An element of an array in BPF memory; out of bounds reads as zero.
    Element {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    /// An entry of the image's strings, as its number.
    String(StringId),
    /// The number of the probe name of the attach point that fired.
    ProbeName,
    /// The text of a [`Type::ProbeName`].
    ProbeText(Box<Expr>),
}

/// Where the kernel has no `bpf_loop`, so that the verifier walks through every round, these are the largest types that
/// [`ExprKind::StringFind`] and [`ExprKind::BytesOrder`] take: what is searched, or compared …
pub const WALKED_BYTES: u32 = 4096;
/// … the characters of a needle that is a literal …
pub const WALKED_LITERAL: u32 = 136;
/// … and the size of any other needle.
pub const WALKED_NEEDLE: u32 = 9;

/// What numbers are called: signals, errors.
#[derive(Debug, PartialEq, Eq)]
pub struct Names {
    /// By number; "" where there is none.
    pub names: Vec<String>,
    pub otherwise: &'static str,
}

impl Names {
    pub fn of(&self, number: u64) -> &str {
        let name = usize::try_from(number).ok().and_then(|n| self.names.get(n));
        name.filter(|name| !name.is_empty()).map_or(self.otherwise, String::as_str)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    Neg,
    /// `Bool`
    Not,
    Invert,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    And,
    Or,
    Xor,
    Shl,
    Shr,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// Memory that an expression names: a chain of fields from a pointer, read in one go at its end; or a variable or map,
/// whose address is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub kind: PlaceKind,
    pub ty: Type,
    pub span: Span,
}

impl Place {
    /// Whether it is in the program's context itself, not behind a pointer that the context has.
    pub fn is_in_context(&self) -> bool {
        match &self.kind {
            PlaceKind::Field { base, .. } => base.is_in_context(),
            PlaceKind::Context { .. } => true,
            PlaceKind::Deref { pointer, .. } => matches!(pointer.kind, ExprKind::ContextPointer),
            _ => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum PlaceKind {
    /// What a pointer points to.
    Deref { pointer: Box<Expr>, space: Space },
    /// So many bytes into the context: registers, tracepoint fields, argument words.
    Context { offset: u32 },
    /// A field of a struct. Every kernel offset passes through here.
    Field { base: Box<Place>, field: Field },
    /// An element of an array.
    Index { base: Box<Place>, index: Box<Expr> },
    /// A variable of the script, in BPF memory.
    Variable(VarId),
    /// The value of a map's key, which is at zero where the key is missing.
    MapValue { map: MapId, key: Option<Box<Expr>> },
    /// The kernel's `struct bpf_map` of a map.
    Map(MapId),
    /// So many bytes into another place: a part of a composite in BPF memory.
    Part { base: Box<Place>, offset: u32 },
}
