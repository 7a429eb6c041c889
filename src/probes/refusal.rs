//! What it means when the kernel refuses to attach, in words.

use super::functions;
use crate::image::{Attach, Cpus, Sample, Target};
use crate::kernel::Kernel;

/// Why an attach point could not be attached.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AttachError {
    /// What the kernel refused, in words.
    pub message: String,
    /// What can be done about it.
    pub help: Option<String>,
}

/// Why a system call or libbpf gave nothing.
pub(super) enum Refusal {
    Os(i32),
    Words(String),
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Refusal {
        Refusal::Os(error.raw_os_error().unwrap_or(libc::EINVAL))
    }
}

/// Explains an error number for what was asked for.
pub(super) fn refused(kernel: &Kernel, attach: &Attach, errno: i32) -> AttachError {
    let (why, help) = match errno {
        libc::EPERM | libc::EACCES => permission(&attach.what),
        _ => reason(kernel, &attach.what, errno),
    };
    AttachError { message: format!("Unable to attach probe: {}: {why}", attach.name), help }
}

/// What to say of the functions of a wildcard that the kernel did not take, while it took the others.
pub fn partly(attach: &Attach, refused: &[String]) -> AttachError {
    const SHOWN: usize = 5;
    let mut names = refused.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if refused.len() > SHOWN {
        names.push_str(&format!(" and {} more", refused.len() - SHOWN));
    }
    let message = format!("Unable to attach probe: {}: not to {names}", attach.name);
    let help = "they may have gone with their module, or have names that the kernel cannot tell apart; all others \
                are attached";
    AttachError { message, help: Some(help.into()) }
}

fn permission(what: &Target) -> (String, Option<String>) {
    let perf = matches!(what, Target::Perf { .. } | Target::Tracepoint { .. });
    let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
    let level = paranoid.ok().and_then(|text| text.trim().parse::<i32>().ok()).unwrap_or(0);
    match level {
        2.. if perf => (
            "not permitted".into(),
            Some(format!(
                "it takes CAP_PERFMON, since kernel.perf_event_paranoid is {level}: run as root or grant the \
                 capability"
            )),
        ),
        _ if matches!(what, Target::Uprobe { .. }) => (
            "not permitted".into(),
            Some(
                "single places of programs take CAP_SYS_ADMIN: run as root, or where there is uprobe_multi write a wildcard \
                 that matches the function, for which CAP_BPF and CAP_PERFMON will do"
                    .into(),
            ),
        ),
        _ => (
            "not permitted".into(),
            Some("it takes the capabilities CAP_BPF and CAP_PERFMON: run as root or grant them".into()),
        ),
    }
}

fn reason(kernel: &Kernel, what: &Target, errno: i32) -> (String, Option<String>) {
    let text = |s: &str| s.to_owned();
    match (what, errno) {
        (Target::Perf { sample: Sample::Frequency(rate), .. }, libc::EINVAL) => (
            format!("{rate} times a second is more than kernel.perf_event_max_sample_rate allows"),
            std::fs::read_to_string("/proc/sys/kernel/perf_event_max_sample_rate")
                .ok()
                .map(|max| format!("the limit is {} at the moment", max.trim())),
        ),
        (Target::Perf { .. }, libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV) => {
            (text("this machine does not count that event"), None)
        }
        (Target::Perf { pid: Some(pid), cpus: Cpus::All, .. }, libc::ESRCH) => {
            (format!("there is no process {pid}"), None)
        }
        (_, libc::EMFILE) => (
            text("too many open files"),
            Some(text("each attach point takes one: raise the limit with \"ulimit -n\"")),
        ),
        (Target::Tracepoint { .. } | Target::RawTracepoint { .. }, libc::ENOENT) => {
            (text("there is no such event"), None)
        }
        (Target::RawTracepoint { .. }, libc::EINVAL) => (
            text("the program reads arguments that the event does not have"),
            Some(text("bpftrace -lv with the probe's name lists the arguments")),
        ),
        (Target::Kprobe { .. } | Target::KprobeMulti { .. } | Target::KprobeSession { .. }, _)
            if !kernel.has_kprobes() =>
        {
            (text(functions::NO_KPROBES), Some(text(functions::without_kprobes(kernel))))
        }
        (Target::Kprobe { function, module, ret, .. }, libc::ENOENT) => {
            let message = format!("the kernel has no function {function} that can be traced");
            // BTF has the function, but the kernel may have it under another name.
            let Ok(look) = functions::look(kernel, function, module.as_deref()) else {
                return (message, None);
            };
            let provider = if *ret { "kretprobe" } else { "kprobe" };
            let functions::Explained { note, help } = look.explain(provider, function, kernel);
            (
                format!("{message}: {}", note.unwrap_or_default()),
                Some(help.join("; ")).filter(|h| !h.is_empty()),
            )
        }
        (Target::Kprobe { function, module, .. }, libc::EADDRNOTAVAIL) => (
            format!("several functions are called {function}, and the kernel cannot tell which one is meant"),
            module.is_none().then(|| "if they are in different modules, write kprobe:module:function".into()),
        ),
        (Target::KprobeMulti { .. } | Target::KprobeSession { .. }, libc::ENOENT | libc::ESRCH) => {
            (text("the kernel has none of the functions, or cannot tell which ones are meant"), None)
        }
        (Target::Kprobe { .. }, libc::EILSEQ) => (
            text("Possible attachment attempt in the middle of an instruction"),
            Some(text("the offset has to be that of an instruction's first byte")),
        ),
        (Target::Kprobe { function, offset, .. }, libc::EINVAL) => {
            let place = if *offset == 0 { String::new() } else { format!(" at {offset}") };
            let why = "it protects some functions (notrace, the kprobes blacklist) from being traced";
            let help = match super::renames::others(function) {
                (_, Some(probe)) => format!("{why}; {probe} sees about the same"),
                _ => why.to_owned(),
            };
            (format!("the kernel does not allow a probe in {function}{place}"), Some(help))
        }
        // `BPF_TRACE_MAX_PROGS`
        (Target::Tracepoint { .. }, libc::E2BIG) => (
            text("the kernel runs no more than 64 programs at one event"),
            Some(text("write what the probes do there into one")),
        ),
        (
            Target::Uprobe { path, .. }
            | Target::UprobeMulti { path, .. }
            | Target::UprobeSession { path, .. }
            | Target::Usdt { path, .. },
            libc::ENOENT,
        ) => (format!("{path} does not exist any more"), None),
        (
            Target::Uprobe { path, .. }
            | Target::UprobeMulti { path, .. }
            | Target::UprobeSession { path, .. }
            | Target::Usdt { path, .. },
            libc::EINVAL,
        ) => (
            format!("the kernel cannot put a probe there in {path}"),
            Some(text(
                "some instructions cannot be probed, and files on some file systems (FUSE, overlay) cannot",
            )),
        ),
        (
            Target::Uprobe { pid: Some(pid), .. }
            | Target::UprobeMulti { pid: Some(pid), .. }
            | Target::UprobeSession { pid: Some(pid), .. }
            | Target::Usdt { pid: Some(pid), .. },
            libc::ESRCH,
        ) => (format!("there is no process {pid}"), None),
        (Target::Watchpoint { .. }, libc::ENOSPC) => (
            text("all of the processor's debug registers are in use"),
            Some(text("there are four on most processors; debuggers use them too")),
        ),
        (Target::Watchpoint { pid: Some(pid), .. }, libc::ESRCH) => {
            (format!("there is no process {pid}"), None)
        }
        (Target::Watchpoint { .. }, libc::EINVAL | libc::EOPNOTSUPP | libc::ENODEV | libc::ENOENT) => (
            text("this machine cannot watch that"),
            Some(text(
                "virtual machines may have no debug registers, and addresses have to be aligned to the length",
            )),
        ),
        (_, libc::EEXIST) => (text("the event is in use by something that does not share it"), None),
        _ => (std::io::Error::from_raw_os_error(errno).to_string(), None),
    }
}
