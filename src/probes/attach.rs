//! From what the manifest asks for to kernel links.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::event::{self, PerfEvent};
use super::link::{self, Places, When};
use super::refusal::{AttachError, Refusal, refused};
use super::{detach, pin};
use crate::image::{self, Attach, Counter, Cpus, Sample, Target};
use crate::kernel::{Feature, Kernel, Version, owned, programs};
use crate::process::threads;

/// Links into the kernel; dropping them detaches.
#[derive(Default)]
pub struct Attachment {
    links: Vec<OwnedFd>,
    perf: Vec<PerfLink>,
    /// Of [`Target::slow_places`]: trampolines, or events where the kernel has no links to these.
    slow: Vec<OwnedFd>,
    slow_perf: Vec<PerfLink>,
    /// The map with [`Counter::Over`].
    switch: Option<OwnedFd>,
    /// Whether the kernel takes programs from events one after the other.
    in_turn: bool,
    iterators: Vec<Objects>,
    /// What watches an address, which can be detached before the rest.
    watchpoints: Vec<(u64, Attachment)>,
    /// Functions of wildcards that the kernel did not take.
    refused: Vec<String>,
}

/// A program over objects of the kernel, which runs when somebody reads it.
pub struct Objects {
    link: OwnedFd,
    pin: Option<String>,
}

impl Objects {
    /// Opens a list of its objects: reading that to the end runs the program for each.
    pub fn open(&self) -> io::Result<File> {
        // SAFETY: takes a descriptor that is open.
        Ok(owned(unsafe { libbpf_sys::bpf_iter_create(self.link.as_raw_fd()) })?.into())
    }

    /// The file that it is to be left behind as, for others to read.
    pub fn pin(&self) -> Option<&str> {
        self.pin.as_deref()
    }

    /// Makes that file, where there is to be one.
    pub fn leave(&self) -> Result<(), AttachError> {
        self.pin().map_or(Ok(()), |path| pin::pin(self.link.as_fd(), path))
    }
}

/// A program on an event of `perf_event_open(2)`.
struct PerfLink {
    link: OwnedFd,
    event: OwnedFd,
}

impl Attachment {
    /// Nothing yet. The map of counters is what tells programs that all is over.
    pub fn new(counters: Option<OwnedFd>, kernel: &Kernel) -> Attachment {
        // Seen in 6.1 and 6.12, and no more in 6.18: 50 ms each, in which others wait for a lock.
        const TOGETHER: Version = Version { major: 6, minor: 18, patch: 0 };
        let mut all = Attachment::default();
        all.switch = counters;
        all.in_turn = kernel.version() < TOGETHER;
        all
    }

    pub fn is_empty(&self) -> bool {
        !self.waits() && self.iterators.is_empty()
    }

    /// Whether anything is attached that may fire at some time.
    pub fn waits(&self) -> bool {
        !(self.links.is_empty()
            && self.perf.is_empty()
            && self.slow.is_empty()
            && self.slow_perf.is_empty()
            && self.watchpoints.is_empty())
    }

    pub fn iterators(&self) -> &[Objects] {
        &self.iterators
    }

    /// Hands over the names of those functions that the kernel did not take, where it took others of the same attach
    /// point.
    pub fn take_refused(&mut self) -> Vec<String> {
        std::mem::take(&mut self.refused)
    }

    /// Takes over another's links, so that all are detached together.
    pub fn append(&mut self, mut other: Attachment) {
        self.links.append(&mut other.links);
        self.perf.append(&mut other.perf);
        self.slow.append(&mut other.slow);
        self.slow_perf.append(&mut other.slow_perf);
        self.watchpoints.append(&mut other.watchpoints);
        self.iterators.append(&mut other.iterators);
        self.refused.append(&mut other.refused);
    }

    /// All of it watches an address.
    fn watching(self, address: u64) -> Attachment {
        let mut all = Attachment::default();
        all.watchpoints.push((address, self));
        all
    }

    /// Detaches the watchpoints of an address. The result is whether there were any.
    pub fn unwatch(&mut self, address: u64) -> bool {
        let before = self.watchpoints.len();
        self.watchpoints.retain(|(watched, _)| *watched != address);
        self.watchpoints.len() < before
    }

    /// How many hits of kprobes the kernel has missed: it fired in a probe already, or too many calls of the function
    /// were on their way at once for its return probe. Known since Linux 6.7; 0 before.
    pub fn missed(&self) -> u64 {
        let events = self.perf.iter().chain(&self.slow_perf);
        let links = self.links.iter().map(AsFd::as_fd).chain(events.map(|event| event.link.as_fd()));
        links.map(missed_by).sum()
    }
}

fn missed_by(link: BorrowedFd<'_>) -> u64 {
    let mut info = libbpf_sys::bpf_link_info::default();
    let mut size = size_of_val(&info) as u32;
    // SAFETY: `info` is a plain struct of integers, `size` is its size, and the kernel writes no more than that. The
    // fields of the union that are read are those of the link's type; what an older kernel does not write stays zero.
    unsafe {
        if libbpf_sys::bpf_link_get_info_by_fd(link.as_raw_fd(), &raw mut info, &raw mut size) != 0 {
            return 0;
        }
        match info.type_ {
            libbpf_sys::BPF_LINK_TYPE_KPROBE_MULTI => info.__bindgen_anon_1.kprobe_multi.missed,
            libbpf_sys::BPF_LINK_TYPE_PERF_EVENT => match info.__bindgen_anon_1.perf_event.type_ {
                libbpf_sys::BPF_PERF_EVENT_KPROBE | libbpf_sys::BPF_PERF_EVENT_KRETPROBE => {
                    info.__bindgen_anon_1.perf_event.__bindgen_anon_1.kprobe.missed
                }
                _ => 0,
            },
            _ => 0,
        }
    }
}

impl Drop for Attachment {
    /// No program does anything any more when this returns. The kernel waits until no CPU is in a program that it
    /// detaches, and these waits are shared by some threads. Left to [`detach::leave`] are the events themselves, and,
    /// where the kernel would make us wait in turn, programs that have been told to do nothing.
    fn drop(&mut self) {
        let many = self.slow.len() + self.slow_perf.len() > image::FEW_PLACES;
        let told = many && self.switch.take().is_some_and(tell_the_end);
        let mut now = std::mem::take(&mut self.links);
        let mut later = vec![];
        for PerfLink { link, event } in std::mem::take(&mut self.perf) {
            now.push(link);
            later.push(event);
        }
        for PerfLink { link, event } in std::mem::take(&mut self.slow_perf) {
            if told && self.in_turn {
                later.push(link)
            } else {
                now.push(link)
            }
            later.push(event);
        }
        let rest = if told { &mut later } else { &mut now };
        rest.append(&mut self.slow);
        close(now);
        detach::leave(later);
    }
}

/// Has programs do nothing from now on. The result is whether they were told.
fn tell_the_end(counters: OwnedFd) -> bool {
    let (key, value) = (Counter::Over as u32, 1u64);
    // SAFETY: the map is an array of `u64`; an index that it does not have is an error. The other call has no pointers.
    unsafe {
        let counters = counters.as_raw_fd();
        if libbpf_sys::bpf_map_update_elem(counters, (&raw const key).cast(), (&raw const value).cast(), 0)
            != 0
        {
            return false;
        }
        // Waits until those are done that began before. Kernels with `nohz_full` CPUs do not, and say so.
        libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) == 0
    }
}

/// Drops things whose end waits for the kernel, in so many threads that most of them wait together. Older kernels (6.12
/// among them) make them wait one after the other.
fn close<T: Send>(mut links: Vec<T>) {
    const THREADS: usize = 256;
    let size = links.len().div_ceil(THREADS);
    std::thread::scope(|scope| {
        while links.len() > 1 {
            let some = links.split_off(links.len().saturating_sub(size));
            let thread = std::thread::Builder::new().stack_size(1 << 16);
            // Without another thread, what was to go with it has gone by now.
            if thread.spawn_scoped(scope, move || drop(some)).is_err() {
                break;
            }
        }
    });
}

impl From<OwnedFd> for Attachment {
    fn from(link: OwnedFd) -> Attachment {
        let mut all = Attachment::default();
        all.links.push(link);
        all
    }
}

impl From<PerfLink> for Attachment {
    fn from(link: PerfLink) -> Attachment {
        let mut all = Attachment::default();
        all.perf.push(link);
        all
    }
}

impl From<Objects> for Attachment {
    fn from(objects: Objects) -> Attachment {
        let mut all = Attachment::default();
        all.iterators.push(objects);
        all
    }
}

/// Attaches a loaded program, by its descriptor, to one place of its list. Not for those that the runtime runs itself:
/// [`Target::is_run_by_us`].
pub fn attach(kernel: &Kernel, program: BorrowedFd<'_>, attach: &Attach) -> Result<Attachment, AttachError> {
    let attached = attach_to(kernel, program, &attach.what);
    let slow = |mut all: Attachment| {
        if attach.what.slow_places() > 0 {
            all.slow = std::mem::take(&mut all.links);
            all.slow_perf = std::mem::take(&mut all.perf);
        }
        all
    };
    attached.map(slow).map_err(|why| match why {
        Refusal::Os(errno) => refused(kernel, attach, errno),
        Refusal::Words(message) => {
            AttachError { message: format!("Unable to attach probe: {}: {message}", attach.name), help: None }
        }
    })
}

fn attach_to(kernel: &Kernel, program: BorrowedFd<'_>, what: &Target) -> Result<Attachment, Refusal> {
    // One event on any CPU is enough for a probe: programs hang on the probe, not on the event's CPU.
    let any_cpu = || Some(kernel.online_cpus().first().copied().unwrap_or(0));
    // Of one process, it is on all of them.
    let in_process = |event: PerfEvent, pid: Option<u32>| {
        let cpu = if pid.is_some() { None } else { any_cpu() };
        PerfEvent { pid, ..event }.open(cpu)
    };
    match what {
        Target::Begin | Target::End | Target::Signal | Target::Test | Target::Bench => {
            Ok(Attachment::default())
        }
        Target::Tracepoint { category, event, name_id } => {
            let id =
                kernel.tracefs().map_err(|e| Refusal::Words(e.to_string()))?.event_id(category, event)?;
            let kind = libbpf_sys::PERF_TYPE_TRACEPOINT;
            let event = PerfEvent { kind, config: id, ..PerfEvent::default() };
            on_event(kernel, program, event.open(any_cpu())?, *name_id)
        }
        Target::Perf { kind, config, sample, cpus, pid, name_id } => {
            let event = PerfEvent {
                kind: *kind,
                config: *config,
                sample: Some(*sample),
                pid: *pid,
                ..PerfEvent::default()
            };
            let online = kernel.online_cpus();
            let cpus = match cpus {
                Cpus::One => online.get(..1).unwrap_or(&[0]),
                Cpus::All => online,
            };
            on_cpus(kernel, program, &event, cpus, *name_id)
        }
        Target::Watchpoint { address, length, mode, pid, name_id } => {
            let event = PerfEvent {
                kind: libbpf_sys::PERF_TYPE_BREAKPOINT,
                offset: *length,
                sample: Some(Sample::Period(1)),
                breakpoint: Some((*mode, *address)),
                ..PerfEvent::default()
            };
            let Some(pid) = pid else {
                let all = on_cpus(kernel, program, &event, kernel.online_cpus(), *name_id)?;
                return Ok(all.watching(*address));
            };
            // An event watches one thread, and those that it makes.
            let mut all = Attachment::default();
            for thread in threads(*pid).map_err(|_| Refusal::Os(libc::ESRCH))? {
                let opened = PerfEvent { pid: Some(thread), ..event.clone() }.open(None);
                match opened {
                    Err(Refusal::Os(libc::ESRCH)) => {}
                    other => all.append(on_event(kernel, program, other?, *name_id)?),
                }
            }
            if all.is_empty() { Err(Refusal::Os(libc::ESRCH)) } else { Ok(all.watching(*address)) }
        }
        Target::RawTracepoint { event, typed } => {
            Ok(link::raw_tracepoint(program, Some(event.as_str()).filter(|_| !typed))?.into())
        }
        // The function was named when the program was loaded.
        Target::Fentry { ret, .. } | Target::BpfFunction { ret, .. } => {
            let kind = if *ret { libbpf_sys::BPF_TRACE_FEXIT } else { libbpf_sys::BPF_TRACE_FENTRY };
            Ok(link::trampoline(program, kind)?.into())
        }
        Target::Fsession { .. } => Ok(link::trampoline(program, libbpf_sys::BPF_TRACE_FSESSION)?.into()),
        Target::Iter { pid, cgroups, pin } => {
            let mut info = libbpf_sys::bpf_iter_link_info::default();
            info.task.pid = pid.unwrap_or(0);
            if *cgroups {
                // All of them, from the root on.
                info.cgroup = Default::default();
                info.cgroup.order = libbpf_sys::BPF_CGROUP_ITER_DESCENDANTS_PRE;
            }
            let mut options = event::link_options();
            if pid.is_some() || *cgroups {
                options.iter_info = &raw mut info;
                options.iter_info_len = size_of_val(&info) as u32;
            }
            let link = event::create_link(program, 0, libbpf_sys::BPF_TRACE_ITER, &options)?;
            Ok(Objects { link, pin: pin.clone() }.into())
        }
        Target::Kprobe { function, module, offset, ret, name_id } => {
            let name = match module {
                Some(module) => format!("{module}:{function}"),
                None => function.clone(),
            };
            // Without a name the offset is an address.
            let name = Some(name.as_str()).filter(|name| !name.is_empty());
            let event = PerfEvent::probe("kprobe", *ret, name, *offset)?;
            on_event(kernel, program, event.open(any_cpu())?, *name_id)
        }
        Target::KprobeMulti { functions, ret, name_ids } => {
            kprobes(program, functions, When::of(*ret), name_ids)
        }
        Target::KprobeSession { functions, name_ids } => kprobes(program, functions, When::Session, name_ids),
        Target::Uprobe { path, offset, ret, pid, name_id } => {
            let event = PerfEvent::probe("uprobe", *ret, Some(path), *offset)?;
            on_event(kernel, program, in_process(event, *pid)?, *name_id)
        }
        Target::Usdt { path, places, pid, name_id, bulk: true, .. } => {
            let places = Places {
                offsets: places.iter().map(|place| place.offset).collect(),
                semaphores: places.iter().map(|place| place.semaphore).collect(),
                cookies: vec![u64::from(*name_id); places.len()],
            };
            Ok(link::uprobes(program, path, &places, When::Entry, *pid)?.into())
        }
        Target::Usdt { path, places, pid, name_id, .. } => {
            let mut all = Attachment::default();
            for place in places {
                let event = PerfEvent::probe("uprobe", false, Some(path), place.offset)?;
                let event = in_process(event.counted_at(place.semaphore)?, *pid)?;
                all.append(on_event(kernel, program, event, *name_id)?);
            }
            Ok(all)
        }
        Target::UprobeSession { path, offsets, pid, name_ids } => {
            Ok(link::uprobes(program, path, &Places::named(offsets, name_ids), When::Session, *pid)?.into())
        }
        Target::UprobeMulti { path, offsets, ret, pid, name_ids } => {
            Ok(link::uprobes(program, path, &Places::named(offsets, name_ids), When::of(*ret), *pid)?.into())
        }
    }
}

/// All functions in one link. The kernel takes all or none, so if some cannot be probed (their names are not unique,
/// or they went with their module), the others are found by halving; [`Attachment::take_refused`] tells which.
fn kprobes(
    program: BorrowedFd<'_>,
    functions: &[String],
    when: When,
    name_ids: &[u32],
) -> Result<Attachment, Refusal> {
    let refusal = match link::kprobes(program, functions, when, name_ids) {
        Err(Refusal::Os(errno @ (libc::ESRCH | libc::EINVAL | libc::ENOENT))) => errno,
        other => return other.map(Attachment::from),
    };
    if functions.len() < 2 {
        return Err(Refusal::Os(refusal));
    }
    let middle = functions.len() / 2;
    let halves =
        [(&functions[..middle], name_ids.get(..middle)), (&functions[middle..], name_ids.get(middle..))];
    let mut all = Attachment::default();
    for (functions, name_ids) in halves {
        match kprobes(program, functions, when, name_ids.unwrap_or_default()) {
            Ok(found) => all.append(found),
            Err(Refusal::Os(libc::ESRCH | libc::EINVAL | libc::ENOENT)) => {
                all.refused.extend_from_slice(functions);
            }
            Err(other) => return Err(other),
        }
    }
    if all.is_empty() { Err(Refusal::Os(refusal)) } else { Ok(all) }
}

/// Runs the program at each overflow of an event on any of these CPUs.
fn on_cpus(
    kernel: &Kernel,
    program: BorrowedFd<'_>,
    event: &PerfEvent,
    cpus: &[u32],
    cookie: u32,
) -> Result<Attachment, Refusal> {
    let mut all = Attachment::default();
    for &cpu in cpus {
        match event.open(Some(cpu)) {
            Ok(event) => all.append(on_event(kernel, program, event, cookie)?),
            // A CPU that went away in between has nothing to count.
            Err(Refusal::Os(libc::ENODEV)) if cpus.len() > 1 => {}
            Err(other) => return Err(other),
        }
    }
    if all.is_empty() { Err(Refusal::Os(libc::ENODEV)) } else { Ok(all) }
}

/// Runs the program at each overflow of an event, or at each hit of a probe.
fn on_event(
    kernel: &Kernel,
    program: BorrowedFd<'_>,
    event: OwnedFd,
    cookie: u32,
) -> Result<Attachment, Refusal> {
    if kernel.has(Feature::Cookie) {
        let link = event::link(program, &event, cookie)?;
        return Ok(PerfLink { link, event }.into());
    }
    event::hang(program, &event)?;
    Ok(event.into())
}

/// How many runs of a program the kernel has skipped, since it was running already on that CPU.
pub fn missed(program: &libbpf_rs::Program<'_>) -> u64 {
    programs::info(program.as_fd(), &mut []).map_or(0, |(info, _)| info.recursion_misses)
}
