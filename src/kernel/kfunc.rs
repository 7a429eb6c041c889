//! Which of its own functions the kernel lets programs call.

use std::ffi::CString;

use libbpf_sys as sys;

use super::features::{self, insn};

/// Whether programs of a section may call a function of the kernel. As in the reference, that is so unless the
/// verifier says that it is not: it has looked at the list of such functions before it complains about arguments.
pub fn is_allowed(function: &str, section: &str) -> bool {
    let Ok(name) = CString::new(function) else { return false };
    // SAFETY: the name is a C string.
    let id = unsafe { sys::libbpf_find_vmlinux_btf_id(name.as_ptr(), sys::BPF_TRACE_FENTRY) };
    if id <= 0 {
        return false;
    }
    // A call of `BPF_PSEUDO_KFUNC_CALL`, then the end.
    let code = [insn(features::CALL, 0, 2, 0, id), insn(features::EXIT, 0, 0, 0, 0)];
    let log = features::verifier_log(program_type(section), &code);
    !log.contains(&format!("calling kernel function {function} is not allowed"))
}

/// The type of program that a section stands for.
fn program_type(section: &str) -> sys::bpf_prog_type {
    let kind = section.split(['/', '.']).next().unwrap_or_default();
    match kind {
        "tp" | "tracepoint" => sys::BPF_PROG_TYPE_TRACEPOINT,
        "raw_tp" | "raw_tracepoint" => sys::BPF_PROG_TYPE_RAW_TRACEPOINT,
        "perf_event" => sys::BPF_PROG_TYPE_PERF_EVENT,
        "xdp" => sys::BPF_PROG_TYPE_XDP,
        "fentry" | "fexit" | "fsession" | "tp_btf" | "iter" => sys::BPF_PROG_TYPE_TRACING,
        _ => sys::BPF_PROG_TYPE_KPROBE,
    }
}
