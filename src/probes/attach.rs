//! From what the manifest asks for to kernel links.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ptr::NonNull;

use libbpf_rs::{AsRawLibbpf, KprobeMultiOpts, Link, PerfEventOpts, ProgramMut, UprobeMultiOpts, UprobeOpts};

use super::refusal::refused;
use crate::image::{Attach, Cpus, Sample, Target};
use crate::kernel::Kernel;

/// Links into the kernel; dropping them detaches.
pub struct Attachment {
    pub links: Vec<Link>,
}

/// Why an attach point could not be attached.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AttachError {
    /// What the kernel refused, in words.
    pub message: String,
    /// What can be done about it.
    pub help: Option<String>,
    /// The target is gone or was never there, so `missing_probes` decides whether that is an error.
    pub missing: bool,
}

/// Attaches a loaded program to one place of its list. Not for `BEGIN` and `END`, which the runtime runs itself.
pub fn attach(kernel: &Kernel, program: &ProgramMut<'_>, attach: &Attach) -> Result<Attachment, AttachError> {
    links(kernel, program, &attach.what).map(|links| Attachment { links }).map_err(|why| match why {
        Refusal::Os(errno) => refused(kernel, attach, errno),
        Refusal::Words(message) => AttachError {
            message: format!("Unable to attach probe: {}: {message}", attach.name),
            help: None,
            missing: false,
        },
    })
}

/// Why a system call or libbpf gave nothing.
enum Refusal {
    Os(i32),
    Words(String),
}

impl Refusal {
    fn last() -> Refusal {
        Refusal::Os(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL))
    }
}

fn links(kernel: &Kernel, program: &ProgramMut<'_>, what: &Target) -> Result<Vec<Link>, Refusal> {
    match what {
        Target::Begin | Target::End => Ok(vec![]),
        Target::Tracepoint { category, event, name_id } => {
            let id = kernel
                .tracefs()
                .map_err(|e| Refusal::Words(e.to_string()))?
                .event_id(category, event)
                .map_err(|e| Refusal::Os(e.raw_os_error().unwrap_or(libc::EINVAL)))?;
            // One event on any CPU is enough: programs hang on the tracepoint, not on the event's CPU.
            let event = PerfEvent {
                kind: libbpf_sys::PERF_TYPE_TRACEPOINT,
                config: id,
                sample: Sample::Period(1),
                pid: None,
            };
            let cpu = kernel.online_cpus().first().copied().unwrap_or(0);
            Ok(vec![on_event(program, event.open(cpu)?, *name_id)?])
        }
        Target::Perf { kind, config, sample, cpus, pid, name_id } => {
            let event = PerfEvent { kind: *kind, config: *config, sample: *sample, pid: *pid };
            let online = kernel.online_cpus();
            let cpus = match cpus {
                Cpus::One => online.get(..1).unwrap_or(&[0]),
                Cpus::All => online,
            };
            cpus.iter()
                .map(|&cpu| event.open(cpu))
                // A CPU that went away in between has nothing to count.
                .filter(|opened| !matches!(opened, Err(Refusal::Os(libc::ENODEV)) if cpus.len() > 1))
                .map(|opened| on_event(program, opened?, *name_id))
                .collect()
        }
        Target::RawTracepoint { event } => one(program.attach_raw_tracepoint(event)),
        // The function was named when the program was loaded.
        Target::Fentry { .. } => one(program.attach_trace()),
        Target::Kprobe { function, module, offset, ret, name_id } => {
            kprobe(program, function, module.as_deref(), *offset, *ret, *name_id).map(|link| vec![link])
        }
        Target::KprobeMulti { functions, ret, name_ids } => kprobes(program, functions, *ret, name_ids),
        Target::Uprobe { path, offset, ret, pid, name_id } => {
            let options = UprobeOpts { cookie: (*name_id).into(), retprobe: *ret, ..Default::default() };
            let offset = usize::try_from(*offset).map_err(|_| Refusal::Os(libc::EINVAL))?;
            one(program.attach_uprobe_with_opts(process(*pid)?, path, offset, options))
        }
        Target::UprobeMulti { path, offsets, ret, pid, name_ids } => {
            let offsets: Result<Vec<usize>, _> = offsets.iter().map(|&o| usize::try_from(o)).collect();
            let options = UprobeMultiOpts {
                offsets: offsets.map_err(|_| Refusal::Os(libc::EINVAL))?,
                cookies: cookies(name_ids),
                retprobe: *ret,
                ..Default::default()
            };
            one(program.attach_uprobe_multi_with_opts(process(*pid)?, path, "", options))
        }
    }
}

/// A single link, or the error number that libbpf left in `errno`.
fn one(link: libbpf_rs::Result<Link>) -> Result<Vec<Link>, Refusal> {
    link.map(|link| vec![link]).map_err(|_| Refusal::last())
}

/// A pid for libbpf: -1 for all.
fn process(pid: Option<u32>) -> Result<libc::pid_t, Refusal> {
    pid.map_or(Ok(-1), |pid| libc::pid_t::try_from(pid).map_err(|_| Refusal::Os(libc::ESRCH)))
}

fn cookies(name_ids: &[u32]) -> Vec<u64> {
    name_ids.iter().map(|&id| id.into()).collect()
}

fn kprobe(
    program: &ProgramMut<'_>,
    function: &str,
    module: Option<&str>,
    offset: u64,
    ret: bool,
    cookie: u32,
) -> Result<Link, Refusal> {
    let name = match module {
        Some(module) => format!("{module}:{function}"),
        None => function.to_owned(),
    };
    let name = CString::new(name).map_err(|_| Refusal::Os(libc::ENOENT))?;
    // Without a name the offset is an address.
    let symbol = if function.is_empty() { std::ptr::null() } else { name.as_ptr() };
    let options = libbpf_sys::bpf_kprobe_opts {
        sz: size_of::<libbpf_sys::bpf_kprobe_opts>() as libbpf_sys::size_t,
        bpf_cookie: cookie.into(),
        offset,
        retprobe: ret,
        ..Default::default()
    };
    // SAFETY: the program is loaded and lives through the call, the name is a C string or absent, and the options state their
    // own size. The link that is returned is ours.
    unsafe {
        let link = libbpf_sys::bpf_program__attach_kprobe_opts(
            program.as_libbpf_object().as_ptr(),
            symbol,
            &raw const options,
        );
        NonNull::new(link).map(|link| Link::from_ptr(link)).ok_or_else(Refusal::last)
    }
}

/// All functions in one link. The kernel takes all or none, so if some cannot be probed (their names are not unique,
/// or they went with their module), the others are found by halving.
fn kprobes(
    program: &ProgramMut<'_>,
    functions: &[String],
    ret: bool,
    name_ids: &[u32],
) -> Result<Vec<Link>, Refusal> {
    let options = KprobeMultiOpts {
        symbols: functions.to_vec(),
        cookies: cookies(name_ids),
        retprobe: ret,
        ..Default::default()
    };
    let refusal = match one(program.attach_kprobe_multi_with_opts(options)) {
        Err(Refusal::Os(errno @ (libc::ESRCH | libc::EINVAL | libc::ENOENT))) => errno,
        other => return other,
    };
    if functions.len() < 2 {
        return Err(Refusal::Os(refusal));
    }
    let middle = functions.len() / 2;
    let halves =
        [(&functions[..middle], name_ids.get(..middle)), (&functions[middle..], name_ids.get(middle..))];
    let mut links = vec![];
    for (functions, name_ids) in halves {
        match kprobes(program, functions, ret, name_ids.unwrap_or_default()) {
            Ok(found) => links.extend(found),
            Err(Refusal::Os(libc::ESRCH | libc::EINVAL | libc::ENOENT)) => {}
            Err(other) => return Err(other),
        }
    }
    if links.is_empty() { Err(Refusal::Os(refusal)) } else { Ok(links) }
}

/// What `perf_event_open(2)` is asked for.
struct PerfEvent {
    kind: u32,
    config: u64,
    sample: Sample,
    pid: Option<u32>,
}

impl PerfEvent {
    fn open(&self, cpu: u32) -> Result<OwnedFd, Refusal> {
        let mut attr = libbpf_sys::perf_event_attr {
            type_: self.kind,
            size: size_of::<libbpf_sys::perf_event_attr>() as u32,
            config: self.config,
            ..Default::default()
        };
        match self.sample {
            Sample::Period(period) => attr.__bindgen_anon_1.sample_period = period,
            Sample::Frequency(rate) => {
                attr.__bindgen_anon_1.sample_freq = rate;
                attr.set_freq(1);
            }
        }
        // Threads and children of a process are the process, too.
        attr.set_inherit(u64::from(self.pid.is_some()));
        let pid = process(self.pid)?;
        let cpu = libc::c_int::try_from(cpu).map_err(|_| Refusal::Os(libc::ENODEV))?;
        // SAFETY: the attributes are a valid `perf_event_attr` of the size they state, and live through the call.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attr,
                pid,
                cpu,
                -1,
                libc::c_ulong::from(libbpf_sys::PERF_FLAG_FD_CLOEXEC),
            )
        };
        match libc::c_int::try_from(fd) {
            // SAFETY: the kernel has just made this descriptor for us, so nothing else owns it.
            Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            _ => Err(Refusal::last()),
        }
    }
}

/// Runs the program at each overflow of an event, and starts it.
fn on_event(program: &ProgramMut<'_>, event: OwnedFd, cookie: u32) -> Result<Link, Refusal> {
    let options = PerfEventOpts { cookie: cookie.into(), ..Default::default() };
    let link =
        program.attach_perf_event_with_opts(event.as_raw_fd(), options).map_err(|_| Refusal::last())?;
    // The link closes it.
    let _ = event.into_raw_fd();
    Ok(link)
}

/// How many runs of a program the kernel has skipped, since it was running already on that CPU.
pub fn missed(program: &libbpf_rs::Program<'_>) -> u64 {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut size = size_of_val(&info) as u32;
    // SAFETY: `info` is a plain struct of integers, `size` is its size, and the kernel writes no more than that.
    let failed = unsafe {
        libbpf_sys::bpf_prog_get_info_by_fd(program.as_fd().as_raw_fd(), &raw mut info, &raw mut size)
    };
    if failed == 0 { info.recursion_misses } else { 0 }
}
