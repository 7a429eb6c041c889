//! Events of `perf_event_open(2)`, which single probes hang on.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::refusal::Refusal;
use crate::image::Sample;
use crate::kernel::owned;
use crate::kernel::perf::open_event;

/// What the system call is asked for.
#[derive(Clone, Default)]
pub(super) struct PerfEvent {
    /// The event source: one of `enum perf_type_id`, or what a directory of [`SOURCES`] says.
    pub kind: u32,
    pub config: u64,
    /// A function's name or a file's path, where the source wants one.
    pub name: Option<CString>,
    /// The offset into that; for a breakpoint, its length.
    pub offset: u64,
    pub sample: Option<Sample>,
    pub pid: Option<u32>,
    /// What a breakpoint looks for, and where.
    pub breakpoint: Option<(u32, u64)>,
}

/// Event sources that have no fixed number.
pub(super) const SOURCES: &str = "/sys/bus/event_source/devices";

impl PerfEvent {
    /// A probe of the source `kprobe` or `uprobe`: at an offset from a function, or in a file.
    pub fn probe(source: &str, ret: bool, name: Option<&str>, offset: u64) -> Result<PerfEvent, Refusal> {
        let read = |file: &str| std::fs::read_to_string(format!("{SOURCES}/{source}/{file}"));
        let number = |text: &str| text.trim().trim_start_matches("config:").parse::<u32>().ok();
        let kind = read("type").ok().and_then(|text| number(&text)).ok_or(Refusal::Os(libc::ENOENT))?;
        // Which bit of `config` makes it a return probe.
        let bit =
            if ret { read("format/retprobe").ok().and_then(|text| number(&text)).unwrap_or(0) } else { 0 };
        let name = name.map(CString::new).transpose().map_err(|_| Refusal::Os(libc::ENOENT))?;
        Ok(PerfEvent { kind, config: u64::from(ret) << bit, name, offset, ..PerfEvent::default() })
    }

    /// Makes the kernel increment a counter in the file's memory (at an offset in the file) as long as the event is there.
    pub fn counted_at(self, offset: u64) -> Result<PerfEvent, Refusal> {
        // The upper half of `config`, as `format/ref_ctr_offset` says: see `PERF_UPROBE_REF_CTR_OFFSET_SHIFT`.
        let offset = u32::try_from(offset).map_err(|_| Refusal::Os(libc::EINVAL))?;
        Ok(PerfEvent { config: self.config | u64::from(offset) << 32, ..self })
    }

    /// Opens it on a CPU. One that is limited to a process runs on all of them where `cpu` is `None`.
    pub fn open(&self, cpu: Option<u32>) -> Result<OwnedFd, Refusal> {
        let mut attr = libbpf_sys::perf_event_attr {
            type_: self.kind,
            size: size_of::<libbpf_sys::perf_event_attr>() as u32,
            config: self.config,
            ..Default::default()
        };
        attr.__bindgen_anon_3.config1 = self.name.as_ref().map_or(0, |name| name.as_ptr() as u64);
        attr.__bindgen_anon_4.config2 = self.offset;
        if let Some((mode, address)) = self.breakpoint {
            attr.bp_type = mode;
            attr.__bindgen_anon_3.bp_addr = address;
        }
        match self.sample {
            Some(Sample::Period(period)) => attr.__bindgen_anon_1.sample_period = period,
            Some(Sample::Frequency(rate)) => {
                attr.__bindgen_anon_1.sample_freq = rate;
                attr.set_freq(1);
            }
            None => {}
        }
        // Threads and children of a process are the process, too. A probe is in the process's memory anyway.
        attr.set_inherit(u64::from(self.pid.is_some() && self.sample.is_some()));
        let pid = process(self.pid)?;
        Ok(open_event(&attr, pid, cpu)?)
    }
}

/// A pid as system calls and libbpf take it: -1 for all.
pub(super) fn process(pid: Option<u32>) -> Result<libc::pid_t, Refusal> {
    pid.map_or(Ok(-1), |pid| libc::pid_t::try_from(pid).map_err(|_| Refusal::Os(libc::ESRCH)))
}

/// A BPF link from a program to an event, with a cookie. The kernel has these since 5.15.
pub(super) fn link(program: BorrowedFd<'_>, event: &OwnedFd, cookie: u32) -> Result<OwnedFd, Refusal> {
    let mut options = link_options();
    options.__bindgen_anon_1.perf_event.bpf_cookie = cookie.into();
    create_link(program, event.as_raw_fd(), libbpf_sys::BPF_PERF_EVENT, &options)
}

/// Options that say nothing yet.
pub(super) fn link_options() -> libbpf_sys::bpf_link_create_opts {
    libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    }
}

/// A BPF link of a kind, from a program to what a descriptor names (0 for nothing).
pub(super) fn create_link(
    program: BorrowedFd<'_>,
    target: libc::c_int,
    kind: libbpf_sys::bpf_attach_type,
    options: &libbpf_sys::bpf_link_create_opts,
) -> Result<OwnedFd, Refusal> {
    // SAFETY: the program's descriptor is open, the kernel checks the other one, and the options state their own size.
    let fd = unsafe { libbpf_sys::bpf_link_create(program.as_raw_fd(), target, kind, options) };
    Ok(owned(fd)?)
}

/// Hangs a program on an event, for kernels that have no links for these: it is there as long as the event is.
pub(super) fn hang(program: BorrowedFd<'_>, event: &OwnedFd) -> Result<(), Refusal> {
    // `_IOW('$', 8, u32)` in `linux/perf_event.h`.
    const SET_BPF: libc::Ioctl = 0x4004_2408;
    // SAFETY: both descriptors are open, and the second one is passed as a number.
    match unsafe { libc::ioctl(event.as_raw_fd(), SET_BPF, program.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().into()),
    }
}
