//! What leaves the compiler: a BPF ELF object and a manifest that says how to load, attach and read it. The
//! runtime needs nothing else, so an image that was written to a file runs without the compiler.

use serde::{Deserialize, Serialize};

use crate::diagnostics::Span;
use crate::types::layout::SERIES_WORDS;
use crate::types::{Agg, Layouts, Type};

/// A compiled script.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Image {
    pub elf: Vec<u8>,
    pub manifest: Manifest,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    pub programs: Vec<Program>,
    /// By [`MapId`]: the script's maps, in order of first use.
    pub maps: Vec<Map>,
    /// By [`EventId`].
    pub events: Vec<Event>,
    /// By [`StringId`]: formats of `strftime` and the like.
    pub strings: Vec<String>,
    /// By the number that [`Type::ProbeName`] holds.
    pub probe_names: Vec<String>,
    /// The structs and enums that the types here name.
    pub layouts: Layouts,
    /// Which of [`Global`] the object has, as 64-bit variables in `.rodata` called by [`Global::symbol`].
    pub globals: Vec<Global>,
    /// The stack maps of the object: one for each depth used.
    pub stack_limits: Vec<u32>,
    /// Whether there is a ring buffer ([`RING_BUFFER`]) and how large the script makes one want it.
    pub ring: Option<Ring>,
    /// The size of a slot of [`SCRATCH`], which has `slots` times the number of CPUs of them; 0 for none.
    pub scratch_size: u32,
    pub scratch_slots: u32,
}

/// Names of the maps that the compiler itself makes. All others are the script's. C keeps names with two underscores for
/// its implementations, so that no code which a script imports has one of them.
pub const RING_BUFFER: &str = "__bt_events";
/// Memory for what the stack cannot hold: an array of `slots * cpus` areas.
pub const SCRATCH: &str = "__bt_scratch";
/// An array of `u64`: see [`Counter`] for the first ones, then for each script map in order how many updates it
/// refused since it was full.
pub const COUNTERS: &str = "__bt_counters";
/// The buffers in which the kernel puts packets, one for each CPU ([`EventKind::Packet`]): an array of perf events.
pub const PACKETS: &str = "__bt_packets";
/// `__bt_stacks_<limit>`: a hash from a stack's 64-bit id to its `limit` frames (`u64` each).
pub const STACKS_PREFIX: &str = "__bt_stacks_";

/// So many places the kernel lets go of before anybody notices. Nobody waits until it has let go of more:
/// [`Target::slow_places`] and [`Counter::Over`].
pub const FEW_PLACES: usize = 4;

/// Places in [`COUNTERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Records that the ring buffer had no room for.
    LostEvents = 0,
    /// Runs that found their scratch memory in use.
    MissedRuns = 1,
    /// Stacks that the stack map had no room for.
    LostStacks = 2,
    /// One more than the code of an `exit()` that the ring buffer had no room for.
    LostExit = 3,
    /// Not 0 once it is all over: programs at many places, which the kernel may let go of later, do nothing then.
    Over = 4,
    /// The first of the script's maps.
    Maps = 8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ring {
    /// Only a few events: `exit()`, prints from `interval`.
    Small,
    /// Events at the rate of what is traced.
    Large,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MapId(pub u32);
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId(pub u32);
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StringId(pub u32);

/// A map of the script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// With the `@`: `@`, `@start`.
    pub name: String,
    /// Its name in the object: a C identifier.
    pub symbol: String,
    pub kind: MapKind,
    /// `None` for a map without keys. Several keys are a tuple.
    pub key: Option<Type>,
    /// For a map whose value is never set (`@x` only read): an integer.
    pub value: Type,
    /// For a map without keys, its [`Map::pieces`].
    pub max_entries: u32,
    /// The script declares it, and with that says how many entries it has.
    pub declared: bool,
}

/// How many intervals of a time series are in one entry of a map without keys: what is kept per CPU has at most 32 KiB.
pub const SERIES_PIECE: u32 = 1024;

impl Map {
    /// How many entries a map without keys has: one, but for long time series, which lie in pieces, one after the other.
    pub fn pieces(&self) -> u32 {
        match &self.value {
            Type::Agg(Agg::TSeries { intervals, .. }) if self.key.is_none() => {
                intervals.div_ceil(SERIES_PIECE).max(1)
            }
            _ => 1,
        }
    }

    /// The size of a value as it is in one entry.
    pub fn entry_size(&self, layouts: &Layouts) -> u32 {
        match self.pieces() {
            1 => crate::types::layout::size_of(&self.value, layouts),
            _ => SERIES_PIECE * SERIES_WORDS * 8,
        }
    }

    /// Where in the value of a map without keys a `u64` stands that is 1 once the script has written the map, and 0
    /// again after `delete` and `clear`: a slot of an array is always there, but only a map that was written is
    /// printed. The value in the object ends after it. `None` for a map with keys.
    pub fn written_flag(&self, layouts: &Layouts) -> Option<u32> {
        let size = self.entry_size(layouts);
        self.key.is_none().then(|| size.next_multiple_of(8))
    }
}

/// The kernel's map types that scripts use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MapKind {
    /// One entry, for a map without keys.
    Array,
    PerCpuArray,
    Hash,
    LruHash,
    PerCpuHash,
    LruPerCpuHash,
}

impl MapKind {
    pub fn per_cpu(self) -> bool {
        matches!(self, MapKind::PerCpuArray | MapKind::PerCpuHash | MapKind::LruPerCpuHash)
    }
}

/// A 64-bit number that is known when the program is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Global {
    /// `CLOCK_MONOTONIC` (what `bpf_ktime_get_ns` reads) at the start, for `elapsed`.
    StartTime,
    /// The child's pid (`-c`), or 0.
    ChildPid,
    /// The pid given with `-p`, or the child's, or 0.
    TargetPid,
    /// How many CPUs can run: `ncpus`.
    Cpus,
    /// The device and inode of the loader's pid namespace, 0 if it is the initial one.
    PidNamespaceDevice,
    PidNamespaceInode,
    /// What `CLOCK_TAI` is ahead of `CLOCK_BOOTTIME`, for kernels that cannot tell programs the former.
    TaiOffset,
}

impl Global {
    pub fn symbol(self) -> &'static str {
        match self {
            Global::StartTime => "__bt_start_time",
            Global::ChildPid => "__bt_child_pid",
            Global::TargetPid => "__bt_target_pid",
            Global::Cpus => "__bt_cpus",
            Global::PidNamespaceDevice => "__bt_pidns_dev",
            Global::PidNamespaceInode => "__bt_pidns_ino",
            Global::TaiOffset => "__bt_tai_offset",
        }
    }
}

/// A BPF program and where it goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Program {
    /// The function's name in the object.
    pub name: String,
    pub attach: Vec<Attach>,
    /// For messages.
    pub span: Span,
}

/// One place to attach to, or several that one kernel call takes together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// The full name in the script's terms, as `probe` prints it: `kprobe:vfs_read`. A wildcard's own text where
    /// `what` holds many.
    pub name: String,
    pub span: Span,
    pub what: Target,
}

/// What the kernel is asked for. `name_ids` run parallel to the targets: the number of the probe name that `probe`
/// yields there, passed as the BPF cookie; 0 and empty where the program does not ask for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    Begin,
    End,
    /// When SIGUSR1 comes.
    Signal,
    /// With `--test` and `--bench`.
    Test,
    Bench,
    /// Read to its end once everything is attached. `pid` limits it to one task; `cgroups` is whether it goes over
    /// these, which takes an order to be named. With `pin` it is not read, but left behind as that file.
    Iter {
        pid: Option<u32>,
        cgroups: bool,
        pin: Option<String>,
    },
    Kprobe {
        function: String,
        module: Option<String>,
        offset: u64,
        ret: bool,
        name_id: u32,
    },
    /// With `kprobe_multi`; functions by name, all in one link.
    KprobeMulti {
        functions: Vec<String>,
        ret: bool,
        name_ids: Vec<u32>,
    },
    /// As [`Target::KprobeMulti`], with one program for the functions' entry and their return.
    KprobeSession {
        functions: Vec<String>,
        name_ids: Vec<u32>,
    },
    /// The name is in the program's section.
    Fentry {
        function: String,
        module: Option<String>,
        ret: bool,
    },
    /// A function of a BPF program that runs.
    BpfFunction {
        id: u32,
        function: String,
        ret: bool,
    },
    /// One program for the function's entry and its return.
    Fsession {
        function: String,
        module: Option<String>,
    },
    Tracepoint {
        category: String,
        event: String,
        name_id: u32,
    },
    RawTracepoint {
        event: String,
        /// The program's section names the event, so that the verifier knows its arguments' types (`tp_btf`).
        typed: bool,
    },
    /// `offset` is in the file. `pid` limits it to a process.
    Uprobe {
        path: String,
        offset: u64,
        ret: bool,
        pid: Option<u32>,
        name_id: u32,
    },
    /// With `uprobe_multi`; all in one link.
    UprobeMulti {
        path: String,
        offsets: Vec<u64>,
        ret: bool,
        pid: Option<u32>,
        name_ids: Vec<u32>,
    },
    /// As [`Target::UprobeMulti`], with one program for the functions' entry and their return.
    UprobeSession {
        path: String,
        offsets: Vec<u64>,
        pid: Option<u32>,
        name_ids: Vec<u32>,
    },
    /// All places of one USDT probe in a file that the program can serve.
    Usdt {
        path: String,
        places: Vec<UsdtPlace>,
        pid: Option<u32>,
        name_id: u32,
        /// In one link, `uprobe_multi`.
        bulk: bool,
        /// Whether this is the probe's first program: it may have several, which count as one.
        first: bool,
    },
    /// A debug register: in each thread of a process and those that it makes, or, for the kernel's addresses, on each
    /// CPU. `mode` is a set of `HW_BREAKPOINT_R`, `W` and `X`.
    Watchpoint {
        address: u64,
        length: u64,
        mode: u32,
        pid: Option<u32>,
        name_id: u32,
    },
    /// `perf_event_open(2)`: the type and config fields, and how often.
    Perf {
        kind: u32,
        config: u64,
        sample: Sample,
        cpus: Cpus,
        pid: Option<u32>,
        name_id: u32,
    },
}

impl Target {
    /// Whether the program is not attached: the loader runs it when its time has come.
    pub fn is_run_by_us(&self) -> bool {
        matches!(self, Target::Begin | Target::End | Target::Signal | Target::Test | Target::Bench)
    }

    /// How many places this is that the kernel may let go of one after the other, however many ask for it.
    pub fn slow_places(&self) -> usize {
        match self {
            Target::Fentry { .. }
            | Target::Fsession { .. }
            | Target::Kprobe { .. }
            | Target::Tracepoint { .. }
            | Target::Uprobe { .. } => 1,
            Target::Usdt { places, bulk: false, .. } => places.len(),
            _ => 0,
        }
    }

    /// The file that it is left behind as.
    pub fn pin(&self) -> Option<&str> {
        match self {
            Target::Iter { pin, .. } => pin.as_deref(),
            _ => None,
        }
    }

    /// How many probes this is: what `Attached N probes` and the limit `max_probes` count.
    pub fn probes(&self) -> usize {
        match self {
            Target::KprobeMulti { functions, .. } | Target::KprobeSession { functions, .. } => {
                functions.len().saturating_mul(self.probes_a_place())
            }
            Target::UprobeMulti { offsets, .. } | Target::UprobeSession { offsets, .. } => {
                offsets.len().saturating_mul(self.probes_a_place())
            }
            Target::Usdt { first, .. } => usize::from(*first),
            _ => self.probes_a_place(),
        }
    }

    /// How many of those are at each place: two where a program runs at the entry and at the return. The functions of
    /// `kprobe_session` count once, as they always did.
    pub fn probes_a_place(&self) -> usize {
        match self {
            Target::UprobeSession { .. } | Target::Fsession { .. } => 2,
            _ => 1,
        }
    }

    /// The numbers of the probe names that the kernel is given when this is attached, so that programs read them back
    /// (`bpf_get_attach_cookie`). `None` for what takes no cookie: a program for that has one name only.
    pub fn name_ids(&self) -> Option<&[u32]> {
        match self {
            Target::Begin
            | Target::End
            | Target::Signal
            | Target::Test
            | Target::Bench
            | Target::Iter { .. }
            | Target::Fentry { .. }
            | Target::Fsession { .. }
            | Target::BpfFunction { .. }
            | Target::RawTracepoint { .. } => None,
            Target::Kprobe { name_id, .. }
            | Target::Tracepoint { name_id, .. }
            | Target::Uprobe { name_id, .. }
            | Target::Usdt { name_id, .. }
            | Target::Watchpoint { name_id, .. }
            | Target::Perf { name_id, .. } => Some(std::slice::from_ref(name_id)),
            Target::KprobeMulti { name_ids, .. }
            | Target::KprobeSession { name_ids, .. }
            | Target::UprobeMulti { name_ids, .. }
            | Target::UprobeSession { name_ids, .. } => Some(name_ids),
        }
    }

    /// Leaves the numbers of probe names out, where the program does not ask for them.
    pub fn clear_cookies(&mut self) {
        match self {
            Target::Begin
            | Target::End
            | Target::Signal
            | Target::Test
            | Target::Bench
            | Target::Iter { .. }
            | Target::Fentry { .. }
            | Target::Fsession { .. }
            | Target::BpfFunction { .. }
            | Target::RawTracepoint { .. } => {}
            Target::Kprobe { name_id, .. }
            | Target::Tracepoint { name_id, .. }
            | Target::Uprobe { name_id, .. }
            | Target::Usdt { name_id, .. }
            | Target::Watchpoint { name_id, .. }
            | Target::Perf { name_id, .. } => *name_id = 0,
            Target::KprobeMulti { name_ids, .. }
            | Target::KprobeSession { name_ids, .. }
            | Target::UprobeMulti { name_ids, .. }
            | Target::UprobeSession { name_ids, .. } => name_ids.clear(),
        }
    }
}

/// Where the kernel puts a breakpoint, and a counter that it increments as long as that is there; both as offsets in the
/// file. The counter is 0 where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsdtPlace {
    pub offset: u64,
    pub semaphore: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sample {
    /// Every so many events, or nanoseconds for clocks.
    Period(u64),
    /// So many times a second.
    Frequency(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cpus {
    /// On one: `interval`.
    One,
    All,
}

/// A kind of record that programs send. A record in the ring buffer is:
///
/// - `u32` number of the event
/// - `u32` zero
/// - the arguments as [`crate::types::layout::sequence`] lays out their [`packed`] types
/// - the bytes of variable arguments, one after the other without padding
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    pub kind: EventKind,
    /// The types of the arguments.
    pub args: Vec<Type>,
    pub span: Span,
}

/// The size of a record's head, where its arguments begin. All records are a multiple of 8 long.
pub const EVENT_HEAD: u32 = 8;
/// Strings and buffers of at least this size are sent with their actual length: see [`packed`].
pub const VARIABLE_FROM: u32 = 64;

/// The most bytes of a packet in one record, which the kernel's buffers of perf events limit to 64 KiB with everything
/// that goes before them.
pub const PACKET_BYTES: u32 = 65_472;

/// How an argument lies in the fixed part of a record: a long string or buffer is the `u32` number of its bytes
/// (for a string without the NUL; for one that fills its type, the type's size less one), and the bytes themselves
/// follow the fixed part. Everything else is itself.
pub fn packed(ty: &Type) -> &Type {
    match ty {
        Type::Str(n) | Type::Buf(n) if *n >= VARIABLE_FROM => &Type::U32,
        other => other,
    }
}

/// What the runtime does with a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// The format, as in the script, and its arguments. `errorf` and `warnf` add the place.
    Printf {
        format: String,
        to: PrintTo,
    },
    /// `print(value)`.
    PrintValue,
    /// `print(@m)`, with `top` and `div`.
    PrintMap {
        map: MapId,
        top: Option<u32>,
        div: Option<u32>,
    },
    /// `print(@m[key])`: the arguments are the key and, for maps that are not per-CPU, the value.
    PrintEntry {
        map: MapId,
    },
    Clear(MapId),
    Zero(MapId),
    /// `time(format)`
    Time {
        format: String,
    },
    /// The only argument is the exit code, a `U8`.
    Exit,
    /// The arguments are the strings, "" for those not there.
    Join {
        separator: String,
    },
    Cat {
        format: String,
    },
    System {
        format: String,
    },
    /// The only argument is the address, a `U64`.
    Unwatch,
    /// `skboutput`: what goes to a file of packets, the first bytes left out. It comes in [`PACKETS`], laid out as a
    /// record of the ring buffer. The arguments are the time since boot in nanoseconds, a `U64`; the size of the whole
    /// packet, a `U32`; and its bytes, a `Buf` of [`PACKET_BYTES`].
    Packet {
        path: String,
        skip: u32,
    },
    /// A warning about the place: what happened there.
    Warning {
        message: String,
    },
    /// A helper failed; the only argument is its result, an `I32`.
    HelperError {
        helper: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrintTo {
    Output,
    /// As an error message with the place in the script: `errorf`.
    Error,
    Warning,
}
