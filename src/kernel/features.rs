//! What a kernel may lack, tried out with tiny programs and with links that cannot succeed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use libbpf_sys as sys;

use super::{Version, owned, programs};

/// What a kernel may or may not have, with the version that brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feature {
    /// `bpf_get_attach_cookie`, 5.15
    Cookie,
    /// `bpf_get_func_ip`, 5.15
    FuncIp,
    /// `bpf_for_each_map_elem`, 5.13
    ForEachMap,
    /// `bpf_loop`, 5.17
    Loop,
    /// `bpf_map_lookup_percpu_elem`, 5.18
    LookupPerCpu,
    /// Atomic operations that fetch (xadd with a result, xchg, cmpxchg), 5.12
    AtomicFetch,
    /// `kprobe_multi` links, 5.18
    KprobeMulti,
    /// `kprobe_multi` links whose program runs at entry and return, 6.10
    KprobeSession,
    /// `uprobe_multi` links, 6.6
    UprobeMulti,
    /// `uprobe_multi` links whose program runs at entry and return, 6.13
    UprobeSession,
    /// `bpf_ktime_get_tai_ns`, 6.1
    Tai,
    /// fentry and fexit, 5.5 with BTF; some builds refuse them
    Fentry,
    /// Programs that run at a function's entry and return, with its types, 7.0
    Fsession,
    /// Map elements allocated on demand in any context, 6.1
    MapAlloc,
    /// `bpf_d_path`, 5.10
    DPath,
    /// Iterators over tasks and others, 5.8
    Iter,
    /// `bpf_probe_write_user`, 4.8; not where the kernel is locked down
    WriteUser,
    /// Jumps with a distance of 32 bits (`gotol`), 6.6
    FarJump,
}

impl Feature {
    /// All of them.
    pub const ALL: [Feature; 18] = [
        Feature::Cookie,
        Feature::FuncIp,
        Feature::ForEachMap,
        Feature::Loop,
        Feature::LookupPerCpu,
        Feature::AtomicFetch,
        Feature::KprobeMulti,
        Feature::KprobeSession,
        Feature::UprobeMulti,
        Feature::UprobeSession,
        Feature::Tai,
        Feature::Fentry,
        Feature::Fsession,
        Feature::MapAlloc,
        Feature::DPath,
        Feature::Iter,
        Feature::WriteUser,
        Feature::FarJump,
    ];

    /// The first version that has it.
    pub fn since(self) -> Version {
        let (major, minor) = match self {
            Feature::WriteUser => (4, 8),
            Feature::Fentry => (5, 5),
            Feature::Iter => (5, 8),
            Feature::DPath => (5, 10),
            Feature::AtomicFetch => (5, 12),
            Feature::ForEachMap => (5, 13),
            Feature::Cookie | Feature::FuncIp => (5, 15),
            Feature::Loop => (5, 17),
            Feature::LookupPerCpu | Feature::KprobeMulti => (5, 18),
            Feature::Tai | Feature::MapAlloc => (6, 1),
            Feature::UprobeMulti | Feature::FarJump => (6, 6),
            Feature::KprobeSession => (6, 10),
            Feature::UprobeSession => (6, 13),
            Feature::Fsession => (7, 0),
        };
        Version::new(major, minor, 0)
    }
}

/// Whether the running kernel has it; `None` if the kernel does not let us find out.
pub fn probe(feature: Feature) -> Option<bool> {
    // Some builds answer EPERM to what they do not want, even to root. It is about us only if nothing loads at all.
    let may_load = || answer(load(sys::BPF_PROG_TYPE_KPROBE, None, &RETURN_0)) == Some(true);
    attempt(feature).or_else(|| may_load().then_some(false))
}

fn attempt(feature: Feature) -> Option<bool> {
    match feature {
        Feature::Cookie => helper(sys::BPF_FUNC_get_attach_cookie),
        Feature::FuncIp => helper(sys::BPF_FUNC_get_func_ip),
        Feature::ForEachMap => helper(sys::BPF_FUNC_for_each_map_elem),
        Feature::Loop => helper(sys::BPF_FUNC_loop),
        Feature::LookupPerCpu => helper(sys::BPF_FUNC_map_lookup_percpu_elem),
        Feature::WriteUser => helper(sys::BPF_FUNC_probe_write_user),
        Feature::Tai => helper(sys::BPF_FUNC_ktime_get_tai_ns),
        Feature::AtomicFetch => answer(load(sys::BPF_PROG_TYPE_KPROBE, None, &ATOMIC_FETCH)),
        Feature::KprobeMulti => kprobe_multi(sys::BPF_TRACE_KPROBE_MULTI),
        Feature::KprobeSession => kprobe_multi(sys::BPF_TRACE_KPROBE_SESSION),
        Feature::UprobeMulti => uprobe_multi(sys::BPF_TRACE_UPROBE_MULTI),
        Feature::UprobeSession => uprobe_multi(sys::BPF_TRACE_UPROBE_SESSION),
        Feature::Fentry => fentry(),
        Feature::Fsession => answer(load_tracing(c"bpf_fentry_test1", sys::BPF_TRACE_FSESSION, &RETURN_0)),
        Feature::MapAlloc => map_alloc(),
        Feature::DPath => d_path(),
        Feature::Iter => answer(load_tracing(c"task", sys::BPF_TRACE_ITER, &RETURN_0)),
        Feature::FarJump => answer(load(sys::BPF_PROG_TYPE_KPROBE, None, &FAR_JUMP)),
    }
}

pub(super) const fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> [u8; 8] {
    let regs = if cfg!(target_endian = "little") { dst | src << 4 } else { dst << 4 | src };
    let (o, i) = (off.to_ne_bytes(), imm.to_ne_bytes());
    [code, regs, o[0], o[1], i[0], i[1], i[2], i[3]]
}

const MOV_IMM: u8 = 0xb7;
const MOV: u8 = 0xbf;
const ADD_IMM: u8 = 0x07;
const LOAD: u8 = 0x79;
const STORE: u8 = 0x7b;
const ATOMIC: u8 = 0xdb;
const LOAD_IMM64: u8 = 0x18;
/// `BPF_JMP32 | BPF_JA`: the distance is in `imm`.
const JUMP_32: u8 = 0x06;
const JUMP_IF_EQUAL: u8 = 0x15;
pub(super) const CALL: u8 = 0x85;
pub(super) const EXIT: u8 = 0x95;

const RETURN_0: [[u8; 8]; 2] = [insn(MOV_IMM, 0, 0, 0, 0), insn(EXIT, 0, 0, 0, 0)];

/// Adds to a word of the stack and takes its old value (`BPF_ADD | BPF_FETCH` is 1).
const ATOMIC_FETCH: [[u8; 8]; 5] = [
    insn(MOV_IMM, 0, 0, 0, 1),
    insn(STORE, 10, 0, -8, 0),
    insn(ATOMIC, 10, 0, -8, 1),
    insn(MOV_IMM, 0, 0, 0, 0),
    insn(EXIT, 0, 0, 0, 0),
];

/// A far jump, over one instruction. Where it is reached only perhaps: older kernels know the code for a jump whose
/// distance is elsewhere, and see only when they walk there that this one has none of those.
const FAR_JUMP: [[u8; 8]; 5] = [
    insn(CALL, 0, 0, 0, sys::BPF_FUNC_get_prandom_u32 as i32),
    insn(JUMP_IF_EQUAL, 0, 0, 1, 0),
    insn(JUMP_32, 0, 0, 0, 1),
    insn(MOV_IMM, 0, 0, 0, 0),
    insn(EXIT, 0, 0, 0, 0),
];

fn helper(id: sys::bpf_func_id) -> Option<bool> {
    // SAFETY: only numbers are passed; the options must be null.
    match unsafe { sys::libbpf_probe_bpf_helper(sys::BPF_PROG_TYPE_KPROBE, id, std::ptr::null()) } {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// What a BTF object's function has to be for an attach type: its id there.
#[derive(Clone, Copy)]
struct Attach {
    kind: sys::bpf_attach_type,
    btf_id: u32,
}

fn load(kind: sys::bpf_prog_type, attach: Option<Attach>, code: &[[u8; 8]]) -> io::Result<OwnedFd> {
    let mut options =
        sys::bpf_prog_load_opts { sz: size_of::<sys::bpf_prog_load_opts>() as _, ..Default::default() };
    if let Some(Attach { kind, btf_id }) = attach {
        (options.expected_attach_type, options.attach_btf_id) = (kind, btf_id);
    }
    // SAFETY: an instruction is eight bytes in any case; libbpf copies them and the names.
    owned(unsafe {
        let (name, license) = (c"probe".as_ptr(), c"GPL".as_ptr());
        sys::bpf_prog_load(kind, name, license, code.as_ptr().cast(), code.len() as _, &mut options)
    })
}

/// What the verifier says about a program, whether it takes it or not; "" if it does not get that far.
pub(super) fn verifier_log(kind: sys::bpf_prog_type, code: &[[u8; 8]]) -> String {
    let mut log = vec![0u8; 4096];
    let mut options = sys::bpf_prog_load_opts {
        sz: size_of::<sys::bpf_prog_load_opts>() as _,
        log_level: 1,
        log_size: log.len() as _,
        log_buf: log.as_mut_ptr().cast(),
        ..Default::default()
    };
    if kind == sys::BPF_PROG_TYPE_TRACING {
        options.expected_attach_type = sys::BPF_TRACE_FENTRY;
        // SAFETY: the name is a C string.
        let id =
            unsafe { sys::libbpf_find_vmlinux_btf_id(c"bpf_fentry_test1".as_ptr(), sys::BPF_TRACE_FENTRY) };
        options.attach_btf_id = u32::try_from(id).unwrap_or(0);
    }
    // SAFETY: an instruction is eight bytes in any case; the log outlives the call, and its size is given.
    let _ = owned(unsafe {
        let (name, license) = (c"probe".as_ptr(), c"GPL".as_ptr());
        sys::bpf_prog_load(kind, name, license, code.as_ptr().cast(), code.len() as _, &mut options)
    });
    String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

fn load_tracing(
    function: &std::ffi::CStr,
    kind: sys::bpf_attach_type,
    code: &[[u8; 8]],
) -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string.
    let id = unsafe { sys::libbpf_find_vmlinux_btf_id(function.as_ptr(), kind) };
    // No BTF, or no such function: either way, nothing of this kind can be loaded.
    let btf_id = u32::try_from(id).map_err(|_| io::Error::from_raw_os_error(libc::ENOENT))?;
    load(sys::BPF_PROG_TYPE_TRACING, Some(Attach { kind, btf_id }), code)
}

/// A refusal says that the feature is not there, unless it is us who are refused.
fn answer<T>(tried: io::Result<T>) -> Option<bool> {
    match tried {
        Ok(_) => Some(true),
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => None,
        Err(_) => Some(false),
    }
}

fn link(
    program: &OwnedFd,
    kind: sys::bpf_attach_type,
    options: &sys::bpf_link_create_opts,
) -> io::Result<OwnedFd> {
    // SAFETY: the options live through the call; what the kernel reads through them it checks itself.
    owned(unsafe { sys::bpf_link_create(program.as_raw_fd(), 0, kind, options) })
}

fn link_options() -> sys::bpf_link_create_opts {
    // SAFETY: all of its fields are numbers and pointers, for which zero is a value.
    let mut options: sys::bpf_link_create_opts = unsafe { std::mem::zeroed() };
    options.sz = size_of::<sys::bpf_link_create_opts>() as _;
    options
}

/// Asks for a link to symbols at an address where there are none: a kernel that knows such links tries to read them
/// (`EFAULT`), any other one refuses before (`EINVAL`, `EOPNOTSUPP`). Nothing is attached, which would cost
/// milliseconds.
fn kprobe_multi(kind: sys::bpf_attach_type) -> Option<bool> {
    let program = match load(sys::BPF_PROG_TYPE_KPROBE, Some(Attach { kind, btf_id: 0 }), &RETURN_0) {
        Ok(program) => program,
        refused => return answer(refused),
    };
    let mut options = link_options();
    options.__bindgen_anon_1.kprobe_multi = sys::bpf_link_create_opts__bindgen_ty_1__bindgen_ty_2 {
        cnt: 1,
        syms: std::ptr::without_provenance_mut(1),
        ..Default::default()
    };
    let refused = link(&program, kind, &options).err()?;
    Some(refused.raw_os_error() == Some(libc::EFAULT))
}

/// Asks for a link into a directory, which is no file to put uprobes in (`EBADF`).
fn uprobe_multi(kind: sys::bpf_attach_type) -> Option<bool> {
    let program = match load(sys::BPF_PROG_TYPE_KPROBE, Some(Attach { kind, btf_id: 0 }), &RETURN_0) {
        Ok(program) => program,
        refused => return answer(refused),
    };
    let mut options = link_options();
    let offset = 0;
    options.__bindgen_anon_1.uprobe_multi = sys::bpf_link_create_opts__bindgen_ty_1__bindgen_ty_3 {
        path: c"/".as_ptr(),
        offsets: &offset,
        cnt: 1,
        ..Default::default()
    };
    let refused = link(&program, kind, &options).err()?;
    Some(refused.raw_os_error() == Some(libc::EBADF))
}

/// Loading tells nothing, as some kernels refuse only to attach; so this attaches for a moment to a function that
/// exists for such tests and that nobody calls.
fn fentry() -> Option<bool> {
    let program = match load_tracing(c"bpf_fentry_test1", sys::BPF_TRACE_FENTRY, &RETURN_0) {
        Ok(program) => program,
        refused => return answer(refused),
    };
    // SAFETY: the name may be null, the rest is a number.
    answer(owned(unsafe { sys::bpf_raw_tracepoint_open(std::ptr::null(), program.as_raw_fd()) }))
}

/// Older kernels refuse a map without preallocation to perf event programs (commit 96da3f7d489d).
fn map_alloc() -> Option<bool> {
    let options = sys::bpf_map_create_opts {
        sz: size_of::<sys::bpf_map_create_opts>() as _,
        map_flags: sys::BPF_F_NO_PREALLOC,
        ..Default::default()
    };
    // SAFETY: the options live through the call.
    let map =
        owned(unsafe { sys::bpf_map_create(sys::BPF_MAP_TYPE_HASH, c"probe".as_ptr(), 4, 4, 1, &options) });
    let map = match map {
        Ok(map) => map,
        refused => return answer(refused),
    };
    let code = [
        insn(LOAD_IMM64, 1, sys::BPF_PSEUDO_MAP_FD as u8, 0, map.as_raw_fd()),
        insn(0, 0, 0, 0, 0),
        RETURN_0[0],
        RETURN_0[1],
    ];
    answer(load(sys::BPF_PROG_TYPE_PERF_EVENT, None, &code))
}

/// `bpf_d_path` of a function's first argument, in a function where it is allowed.
fn d_path() -> Option<bool> {
    let code = [
        insn(LOAD, 1, 1, 0, 0),
        insn(MOV_IMM, 6, 0, 0, 0),
        insn(STORE, 10, 6, -8, 0),
        insn(MOV, 2, 10, 0, 0),
        insn(ADD_IMM, 2, 0, 0, -8),
        insn(MOV_IMM, 3, 0, 0, 8),
        insn(CALL, 0, 0, 0, sys::BPF_FUNC_d_path as i32),
        RETURN_0[0],
        RETURN_0[1],
    ];
    answer(load_tracing(c"dentry_open", sys::BPF_TRACE_FENTRY, &code))
}

/// Whether the kernel counts the hits that came while a program ran on the CPU (5.12, commit 9ed9e9ba2337): what it
/// tells of a program then is long enough. `None` where no program may be loaded.
pub fn counts_misses() -> Option<bool> {
    let program = load(sys::BPF_PROG_TYPE_KPROBE, None, &RETURN_0).ok()?;
    let (_, told) = programs::info(program.as_fd(), &mut [])?;
    let needed = std::mem::offset_of!(sys::bpf_prog_info, recursion_misses) + size_of::<u64>();
    Some(told >= needed)
}

/// How many instructions a program may have while it is verified, as the verifier's log says; `None` where it does
/// not, or where nothing may be loaded.
pub fn instruction_limit() -> Option<u32> {
    // `processed 2 insns (limit 1000000) max_states_per_insn 0 …`
    let log = verifier_log(sys::BPF_PROG_TYPE_KPROBE, &RETURN_0);
    let (_, limit) = log.split_once("(limit ")?;
    limit.split(')').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;

    /// Everything but what a build may leave out follows from the version.
    #[test]
    fn what_is_tried_agrees_with_the_version() {
        let kernel = Kernel::new();
        if !kernel.capabilities().may_trace(kernel.version()) {
            crate::testing::skip("root", "no privilege to load programs");
            return;
        }
        for feature in Feature::ALL {
            let start = std::time::Instant::now();
            let tried = probe(feature);
            eprintln!("{feature:?}: {tried:?} in {:?}", start.elapsed());
            let built = !matches!(
                feature,
                Feature::KprobeMulti
                    | Feature::KprobeSession
                    | Feature::Fentry
                    | Feature::Fsession
                    | Feature::DPath
                    | Feature::Iter
                    | Feature::WriteUser
            );
            if built {
                assert_eq!(tried, Some(kernel.version() >= feature.since()), "{feature:?}");
            }
        }
    }

    #[test]
    fn misses_are_counted_from_5_12_on() {
        let kernel = Kernel::new();
        if !kernel.capabilities().may_trace(kernel.version()) {
            return crate::testing::skip("root", "no privilege to load programs");
        }
        assert_eq!(counts_misses(), Some(kernel.version() >= Version::new(5, 12, 0)));
    }

    #[test]
    fn the_verifier_says_how_much_it_takes() {
        if !Kernel::new().capabilities().has(crate::kernel::Capability::SysAdmin) {
            return crate::testing::skip("root", "no privilege to see the verifier's log");
        }
        assert!(instruction_limit().is_none_or(|limit| limit >= 4096));
    }

    #[test]
    fn a_program_the_verifier_refuses_is_a_no() {
        let kernel = Kernel::new();
        if !kernel.capabilities().may_trace(kernel.version()) {
            return crate::testing::skip("root", "no privilege to load programs");
        }
        assert_eq!(answer(load(sys::BPF_PROG_TYPE_KPROBE, None, &[insn(EXIT, 0, 0, 0, 0)])), Some(false));
        assert_eq!(answer(load(sys::BPF_PROG_TYPE_KPROBE, None, &RETURN_0)), Some(true));
    }
}
