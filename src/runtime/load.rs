//! From the compiled object to loaded programs and maps.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use libbpf_rs::{Object, ObjectBuilder, OpenMapMut, PrintLevel};
use object::{Object as _, ObjectSymbol as _};

use super::maps::Map;
use super::{Job, tell, verifier};
use crate::diagnostics::Diagnostic;
use crate::image::{self, Global, MapKind, Ring, Target};
use crate::kernel::{Feature, clock, page_size, programs};
use crate::types::layout::size_of;

/// Maps larger than this are not allocated in advance where the kernel can do without. Smaller ones are: memory that
/// is taken while a probe fires may not be at hand, and then a key gets lost.
const PREALLOCATE: u64 = 16 << 20;
const SMALL_RING: u64 = 256 << 10;
const LARGEST_RING: u64 = 16 << 20;

/// What is in the kernel now.
pub struct Loaded {
    pub object: Object,
    /// By [`image::MapId`].
    pub maps: Vec<Map>,
    pub ring: Option<(OwnedFd, u32)>,
    pub counters: Option<OwnedFd>,
    /// The map of the buffers for packets, and how many pages each of them gets.
    pub packets: Option<(OwnedFd, usize)>,
    /// By the number of frames.
    pub stacks: BTreeMap<u32, OwnedFd>,
}

/// Loads an image's object.
pub fn load(job: &Job<'_>) -> Result<Loaded, Diagnostic> {
    let manifest = &job.image.manifest;
    if let Some(problem) = privileges(job) {
        return Err(problem);
    }
    raise_file_limit();
    let log = Log::start(job.options.show_libbpf, job.options.show_verifier);
    let mut open = ObjectBuilder::default()
        .name("bpftrace")
        .and_then(|builder| builder.open_memory(&job.image.elf))
        .map_err(|e| unusable(&e.to_string()))?;
    set_globals(job, &mut open)?;
    for mut map in open.maps_mut() {
        size_map(job, &mut map).map_err(|e| unusable(&e.to_string()))?;
    }
    // What a script imports may hold programs, too. None of them was asked for.
    for mut program in open.progs_mut() {
        if !manifest.programs.iter().any(|own| program.name() == own.name.as_str()) {
            program.set_autoload(false);
        }
    }
    let traced = name_programs(job, &mut open)?;
    if job.options.show_verifier {
        open.progs_mut().for_each(|mut program| program.set_log_level(VERIFIER_LOG_LEVEL));
    }
    let object = open.load().map_err(|e| {
        let text = log.text();
        verifier::explain(job, &e, &text)
    })?;
    drop((log, traced));
    let find = |name: &str| object.maps().find(|map| libbpf_rs::MapCore::name(map) == name);
    let own =
        |map: libbpf_rs::Map<'_>| map.as_fd().try_clone_to_owned().map_err(|e| unusable(&e.to_string()));
    let mut maps = vec![];
    for map in &manifest.maps {
        let handle =
            find(&map.symbol).ok_or_else(|| unusable(&format!("the object has no map {}", map.symbol)))?;
        maps.push(Map::new(map, &handle, &manifest.layouts).map_err(|e| unusable(&e.to_string()))?);
    }
    let ring = match find(image::RING_BUFFER) {
        Some(map) => {
            let size = libbpf_rs::MapCore::max_entries(&map);
            Some((own(map)?, size))
        }
        None => None,
    };
    let counters = find(image::COUNTERS).map(own).transpose()?;
    let packets = find(image::PACKETS).map(own).transpose()?.map(|map| (map, packet_pages(job)));
    let mut stacks = BTreeMap::new();
    for limit in &manifest.stack_limits {
        if let Some(map) = find(&format!("{}{limit}", image::STACKS_PREFIX)) {
            stacks.insert(*limit, own(map)?);
        }
    }
    Ok(Loaded { object, maps, ring, counters, packets, stacks })
}

/// Tells libbpf whose functions our programs trace, where that is not the kernel. The descriptors are needed until
/// all is loaded.
fn name_programs(job: &Job<'_>, open: &mut libbpf_rs::OpenObject) -> Result<Vec<OwnedFd>, Diagnostic> {
    let mut descriptors = vec![];
    for own in &job.image.manifest.programs {
        let [image::Attach { what: Target::BpfFunction { id, function, .. }, span, name }] =
            own.attach.as_slice()
        else {
            continue;
        };
        let gone =
            |why: String| Diagnostic::error("attach", *span, format!("{name} cannot be traced: {why}"));
        let traced = programs::by_id(*id).map_err(|e| gone(format!("program {id} has ended ({e})")))?;
        let program = open.progs_mut().find(|program| program.name() == own.name.as_str());
        if let Some(mut program) = program {
            let set = program.set_attach_target(traced.as_raw_fd(), Some(function.clone()));
            set.map_err(|e| gone(e.to_string()))?;
        }
        descriptors.push(traced);
    }
    Ok(descriptors)
}

/// `BPF_LOG_LEVEL1 | BPF_LOG_STATS`
const VERIFIER_LOG_LEVEL: u32 = 1 | 4;

/// Why this process cannot trace at all, if so.
fn privileges(job: &Job<'_>) -> Option<Diagnostic> {
    let kernel = job.kernel;
    kernel.capabilities().complaint(kernel.version())
}

fn unusable(reason: &str) -> Diagnostic {
    Diagnostic::error("load", None, format!("the compiled program cannot be used: {reason}")).note(BUG)
}

/// What is said where the fault is ours.
pub const BUG: &str = "this is a bug in bpftrace, not in the script";

/// Each attached probe holds descriptors, up to one a CPU, so take as many as we may have.
fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is ours.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Writes the numbers that are known only now into the object's constants.
fn set_globals(job: &Job<'_>, open: &mut libbpf_rs::OpenObject) -> Result<(), Diagnostic> {
    let globals = &job.image.manifest.globals;
    if globals.is_empty() {
        return Ok(());
    }
    let offsets = rodata_offsets(&job.image.elf).map_err(|e| unusable(&e.to_string()))?;
    let mut rodata = open
        .maps_mut()
        .find(|map| map.name().to_string_lossy().ends_with(".rodata"))
        .ok_or_else(|| unusable("the object has no .rodata"))?;
    let bytes = rodata.initial_value_mut().ok_or_else(|| unusable("its .rodata has no value"))?;
    for global in globals {
        let place = offsets
            .get(global.symbol())
            .and_then(|offset| bytes.get_mut(*offset..*offset + 8))
            .ok_or_else(|| unusable(&format!("the object has no variable {}", global.symbol())))?;
        place.copy_from_slice(&value(job, *global).to_ne_bytes());
    }
    Ok(())
}

fn value(job: &Job<'_>, global: Global) -> u64 {
    let child = || job.child.map_or(0, u64::from);
    match global {
        Global::StartTime => clock(libc::CLOCK_MONOTONIC),
        Global::ChildPid => child(),
        Global::TargetPid => job.options.pid.map_or_else(child, u64::from),
        Global::Cpus => job.kernel.possible_cpus().into(),
        Global::PidNamespaceDevice => job.kernel.pid_namespace().device,
        Global::PidNamespaceInode => job.kernel.pid_namespace().inode,
        Global::TaiOffset => clock(libc::CLOCK_TAI).wrapping_sub(clock(libc::CLOCK_BOOTTIME)),
    }
}

/// The places of the variables in `.rodata`.
fn rodata_offsets(elf: &[u8]) -> object::Result<BTreeMap<String, usize>> {
    let file = object::File::parse(elf)?;
    let section = file.section_by_name(".rodata").map(|s| object::ObjectSection::index(&s));
    Ok(file
        .symbols()
        .filter(|symbol| section.is_some() && symbol.section_index() == section)
        .filter_map(|symbol| Some((symbol.name().ok()?.to_owned(), usize::try_from(symbol.address()).ok()?)))
        .collect())
}

/// Gives a map the size that this machine and the settings call for.
fn size_map(job: &Job<'_>, map: &mut OpenMapMut<'_>) -> libbpf_rs::Result<()> {
    let manifest = &job.image.manifest;
    let name = map.name().to_string_lossy().into_owned();
    if name == image::RING_BUFFER {
        let (page, cpus) = (page_size() as u64, job.kernel.possible_cpus());
        let size = ring_size(manifest.ring, job.config.perf_rb_pages, memory(), page, cpus);
        let size = match job.config.perf_rb_pages {
            Some(_) => size,
            None => size.max(room_for(largest_record(job))),
        };
        return map.set_max_entries(size);
    }
    let Some(own) = manifest.maps.iter().find(|own| own.symbol == name) else { return Ok(()) };
    let cpus = match own.kind {
        MapKind::PerCpuHash => job.kernel.possible_cpus(),
        MapKind::Hash => 1,
        // The kernel has all of these in advance.
        _ => return Ok(()),
    };
    let entry = u64::from(map.value_size()) * u64::from(cpus) + u64::from(map.key_size()) + HASH_ELEMENT;
    let on_demand = entry * u64::from(own.max_entries) > PREALLOCATE && job.kernel.has(Feature::MapAlloc);
    let others = map.map_flags() & !libbpf_sys::BPF_F_NO_PREALLOC;
    map.set_map_flags(if on_demand { others | libbpf_sys::BPF_F_NO_PREALLOC } else { others })
}

/// What the kernel adds to an entry of a hash (`struct htab_elem`).
const HASH_ELEMENT: u64 = 48;

/// The size of the ring buffer in bytes: a power of two and a multiple of the page size, as the kernel wants it.
fn ring_size(ring: Option<Ring>, pages: Option<u64>, memory: u64, page: u64, cpus: u32) -> u32 {
    let bytes = match (pages, ring) {
        // Programs on all CPUs write into it at once.
        (Some(pages), _) => pages.max(cpus.into()).saturating_mul(page),
        (None, Some(Ring::Large)) => {
            // A thousandth or two of the memory, so that bursts of some milliseconds fit in.
            let share = (memory / 512).clamp(SMALL_RING, LARGEST_RING);
            1 << share.ilog2()
        }
        (None, _) => SMALL_RING,
    };
    // A GiB at most: the next power of two still fits.
    u32::try_from(bytes.clamp(page, 1 << 30).next_power_of_two()).unwrap_or(1 << 30)
}

/// How many pages of packets each CPU gets: together as many as there would be for records, and by default some of the
/// largest packets.
fn packet_pages(job: &Job<'_>) -> usize {
    let (page, cpus) = (page_size() as u64, job.kernel.possible_cpus().max(1));
    let pages = job.config.perf_rb_pages;
    let all = u64::from(ring_size(Some(Ring::Large), pages, memory(), page, cpus));
    let least = if pages.is_some() { page } else { SMALL_RING };
    let each = (all / u64::from(cpus)).max(least);
    usize::try_from(each / page).unwrap_or(1).next_power_of_two()
}

/// How many bytes the largest of a program's records may have.
fn largest_record(job: &Job<'_>) -> u64 {
    let manifest = &job.image.manifest;
    let sent = |event: &&image::Event| !matches!(event.kind, image::EventKind::Packet { .. });
    let size = |event: &image::Event| -> u64 {
        event.args.iter().map(|ty| u64::from(size_of(ty, &manifest.layouts))).sum()
    };
    manifest.events.iter().filter(sent).map(size).max().unwrap_or(0)
}

/// The ring buffer that takes a record of that size, with what goes before it, at all times but when it is full.
fn room_for(record: u64) -> u32 {
    let bytes = record.clamp(1, 256 << 20).saturating_mul(2).saturating_add(4096);
    u32::try_from(bytes.next_power_of_two()).unwrap_or(1 << 30)
}

/// The machine's memory in bytes.
fn memory() -> u64 {
    // SAFETY: all bytes zero is a value of the struct, which is ours.
    unsafe {
        let mut info: libc::sysinfo = std::mem::zeroed();
        match libc::sysinfo(&mut info) {
            0 => info.totalram.saturating_mul(info.mem_unit.into()),
            _ => 0,
        }
    }
}

/// What libbpf has to say, kept while an object is loaded: it is shown only when it is asked for, or explains why
/// loading failed.
struct Log;

static TEXT: Mutex<String> = Mutex::new(String::new());

fn with_text<T>(then: impl FnOnce(&mut String) -> T) -> T {
    then(&mut TEXT.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Log {
    fn start(show: bool, verifier: bool) -> Log {
        with_text(String::clear);
        libbpf_rs::set_print(Some(match (show, verifier) {
            (true, _) => (PrintLevel::Debug, |level, text| {
                tell(&format!("[{}] {text}", name(level)));
                with_text(|kept| kept.push_str(&text));
            }),
            (false, true) => (PrintLevel::Debug, |_, text| {
                if text.contains("-- BEGIN PROG LOAD LOG --") {
                    tell(&text);
                }
                with_text(|kept| kept.push_str(&text));
            }),
            (false, false) => (PrintLevel::Info, |_, text| with_text(|kept| kept.push_str(&text))),
        }));
        Log
    }

    fn text(&self) -> String {
        with_text(|text| text.clone())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Attaching has errors of its own; what libbpf prints of them would only repeat those.
        libbpf_rs::set_print(None);
        with_text(|text| *text = String::new());
    }
}

fn name(level: PrintLevel) -> &'static str {
    match level {
        PrintLevel::Debug => "DEBUG",
        PrintLevel::Info => "INFO",
        PrintLevel::Warn => "WARN",
    }
}

/// Runs a program in the kernel once, now: `BEGIN` and `END`.
pub fn run_once(object: &Object, name: &str) -> io::Result<u32> {
    let done = find(object, name)?.test_run(libbpf_rs::ProgramInput::default()).map_err(io::Error::other)?;
    Ok(done.return_value)
}

/// Runs a program for packets so many times; what it returned last, and how long it took on average.
pub fn run_many(object: &Object, name: &str, times: u32) -> io::Result<(u32, Duration)> {
    // As long as an Ethernet header: shorter packets are refused.
    let packet = [0; 14];
    let input = libbpf_rs::ProgramInput {
        data_in: Some(&packet),
        repeat: times,
        ..libbpf_rs::ProgramInput::default()
    };
    let done = find(object, name)?.test_run(input).map_err(io::Error::other)?;
    Ok((done.return_value, done.duration))
}

/// A program of an object, by name.
pub fn find<'o>(object: &'o Object, name: &str) -> io::Result<libbpf_rs::ProgramMut<'o>> {
    let program = object.progs_mut().find(|program| program.name() == name);
    program.ok_or_else(|| io::Error::other(format!("the object has no program {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_buffers_are_powers_of_two_pages() {
        const GIB: u64 = 1 << 30;
        let size = |ring, pages, memory| ring_size(Some(ring), pages, memory, 4096, 2);
        assert_eq!((room_for(0), room_for(16 << 20)), (8192, 64 << 20));
        assert_eq!(size(Ring::Small, None, 64 * GIB), 256 << 10);
        assert_eq!(size(Ring::Large, None, 64 * GIB), 16 << 20);
        assert_eq!(size(Ring::Large, None, 3 * GIB), 4 << 20);
        assert_eq!(size(Ring::Large, None, GIB / 64), 256 << 10);
        assert_eq!(size(Ring::Small, Some(3), GIB), 4 * 4096);
        assert_eq!(size(Ring::Large, Some(0), GIB), 2 * 4096);
        assert_eq!(size(Ring::Large, Some(u64::MAX), GIB), 1 << 30);
    }
}
