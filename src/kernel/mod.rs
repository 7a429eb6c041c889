//! Facts about the running kernel, each found out when it is first asked for and then remembered.

mod cpus;
mod features;
pub mod info;
pub(crate) mod kallsyms;
pub mod kfunc;
mod namespace;
pub(crate) mod perf;
pub(crate) mod perf_ring;
mod privilege;
pub mod programs;
pub mod traceable;
pub mod tracefs;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

pub use features::Feature;
pub use namespace::PidNamespace;
pub use privilege::{Capabilities, Capability, Lockdown};
use tracefs::{Tracefs, TracefsError};

/// The descriptor that a system call (or a function of libbpf or libc that hands its result on) has just made, or its
/// error, which is in `errno`.
pub(crate) fn owned(result: impl Into<libc::c_long>) -> io::Result<OwnedFd> {
    match RawFd::try_from(result.into()) {
        // SAFETY: the kernel has just made it for us, so nothing else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The kernel we run on. Cheap to make; nothing is read before it is asked for.
#[derive(Default)]
pub struct Kernel {
    btf: Option<PathBuf>,
    traceable: Option<PathBuf>,
    version: OnceLock<Version>,
    features: Mutex<BTreeMap<Feature, bool>>,
    symbols: Mutex<HashMap<String, Option<u64>>>,
    capabilities: OnceLock<Capabilities>,
    lockdown: OnceLock<Lockdown>,
    tracefs: OnceLock<Result<Tracefs, TracefsError>>,
    possible_cpus: OnceLock<u32>,
    online_cpus: OnceLock<Vec<u32>>,
    pid_namespace: OnceLock<PidNamespace>,
}

impl Kernel {
    pub fn new() -> Kernel {
        Kernel::default()
    }

    /// With the functions that can be traced from a file instead of from the kernel itself.
    #[must_use]
    pub fn with_traceable(self, path: PathBuf) -> Kernel {
        Kernel { traceable: Some(path), ..self }
    }

    /// See [`Kernel::with_traceable`]: what is not in that list cannot be traced.
    pub fn has_own_list(&self) -> bool {
        self.traceable.is_some()
    }

    /// With the kernel's types from a file (raw BTF, or an ELF with `.BTF`) instead of from the kernel itself.
    #[must_use]
    pub fn with_btf(self, path: PathBuf) -> Kernel {
        Kernel { btf: Some(path), ..self }
    }

    /// See [`Kernel::with_btf`].
    pub fn btf(&self) -> Option<&Path> {
        self.btf.as_deref()
    }

    /// Of the running kernel, as `uname -r` tells it; 0.0.0 if that cannot be read.
    pub fn version(&self) -> Version {
        *self.version.get_or_init(Version::running)
    }

    /// The most bytes that a map's key may have, if that is limited: until 5.11 it was copied to the BPF stack
    /// (`MAX_BPF_STACK` in `htab_map_alloc_check`).
    pub fn max_key(&self) -> Option<u64> {
        let version = self.version();
        (version < Version::new(5, 11, 0) && version > Version::default()).then_some(512)
    }

    /// Whether probes can be put into its functions at all: it registers them as a source of events.
    pub fn has_kprobes(&self) -> bool {
        std::path::Path::new("/sys/bus/event_source/devices/kprobe").exists()
    }

    /// Tries the feature out, or, without the privilege to try, judges by the kernel's version.
    pub fn has(&self, feature: Feature) -> bool {
        let mut known = self.features.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(feature).or_insert_with(|| {
            let tried = self.capabilities().may_trace(self.version()).then(|| features::probe(feature));
            tried.flatten().unwrap_or_else(|| self.version() >= feature.since())
        })
    }

    /// From now on the kernel does not have this feature, whatever it says: `--no-feature`.
    pub fn deny(&self, feature: Feature) {
        self.features.lock().unwrap_or_else(PoisonError::into_inner).insert(feature, false);
    }

    /// The opposite of [`Kernel::deny`].
    #[cfg(test)]
    pub fn allow(&self, feature: Feature) {
        self.features.lock().unwrap_or_else(PoisonError::into_inner).insert(feature, true);
    }

    /// The address of a kernel symbol (`/proc/kallsyms`), `None` if it has none or addresses are hidden.
    pub fn symbol(&self, name: &str) -> Option<u64> {
        self.symbols(&[name]).into_iter().next().flatten()
    }

    /// The addresses of several symbols in one pass over `/proc/kallsyms`, in the order of the names. The file has
    /// 100,000 lines and more, so ask for all that is needed at once.
    pub fn symbols(&self, names: &[&str]) -> Vec<Option<u64>> {
        let mut known = self.symbols.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: Vec<&str> = names.iter().copied().filter(|n| !known.contains_key(*n)).collect();
        if !missing.is_empty() {
            known.extend(kallsyms::addresses(&missing));
        }
        names.iter().map(|name| known.get(*name).copied().flatten()).collect()
    }

    /// How many CPUs there can be: one more than the highest number in `/sys/devices/system/cpu/possible`.
    pub fn possible_cpus(&self) -> u32 {
        *self.possible_cpus.get_or_init(cpus::possible)
    }

    /// The numbers of the CPUs that run now (`/sys/devices/system/cpu/online`).
    pub fn online_cpus(&self) -> &[u32] {
        self.online_cpus.get_or_init(cpus::online)
    }

    /// What this process may do.
    pub fn capabilities(&self) -> Capabilities {
        *self.capabilities.get_or_init(Capabilities::of_this_process)
    }

    pub fn lockdown(&self) -> Lockdown {
        *self.lockdown.get_or_init(Lockdown::current)
    }

    /// The tracing file system: where it is mounted, else through a mount of our own that nobody else sees.
    pub fn tracefs(&self) -> Result<&Tracefs, &TracefsError> {
        self.tracefs.get_or_init(Tracefs::open).as_ref()
    }

    /// The pid namespace of this process.
    pub fn pid_namespace(&self) -> PidNamespace {
        *self.pid_namespace.get_or_init(PidNamespace::of_this_process)
    }
}

/// A kernel's version: `6.18.44`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl Version {
    pub const fn new(major: u32, minor: u32, patch: u32) -> Version {
        Version { major, minor, patch }
    }

    /// As `KERNEL_VERSION()` of the kernel's headers makes one number of it.
    pub fn code(self) -> u32 {
        (self.major << 16) + (self.minor << 8) + self.patch.min(255)
    }

    pub(crate) fn running() -> Version {
        std::fs::read_to_string("/proc/sys/kernel/osrelease").map(|r| Version::parse(&r)).unwrap_or_default()
    }

    /// From a release such as `6.1.0-44-amd64` or `6.18-rc3`; what is not a number there counts as 0.
    fn parse(release: &str) -> Version {
        let mut numbers = release
            .trim()
            .split('.')
            .map(|part| part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or("").parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Version { major: next(), minor: next(), patch: next() }
    }
}

/// A clock's nanoseconds; 0 for one that is unknown. Async-signal-safe.
pub fn clock(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is ours.
    unsafe { libc::clock_gettime(clock, &mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// The size of a page of memory, in bytes.
pub fn page_size() -> usize {
    // SAFETY: takes a number, returns one.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_all_shapes() {
        assert_eq!(Version::parse("6.1.0-44-amd64\n"), Version::new(6, 1, 0));
        assert_eq!(Version::parse("6.18-rc3"), Version::new(6, 18, 0));
        assert_eq!(Version::parse("5.15.167.4-microsoft-standard-WSL2"), Version::new(5, 15, 167));
        assert_eq!(Version::parse(""), Version::new(0, 0, 0));
        assert!(Version::new(5, 8, 0) < Version::new(5, 15, 0));
    }

    #[test]
    fn denied_features_stay_denied() {
        let kernel = Kernel::new();
        kernel.deny(Feature::UprobeMulti);
        assert!(!kernel.has(Feature::UprobeMulti));
    }

    #[test]
    fn symbols_come_in_the_order_of_the_names() {
        let kernel = Kernel::new();
        let [text, none, start] = kernel.symbols(&["_text", "no such symbol", "start_kernel"])[..] else {
            panic!("three were asked for")
        };
        assert_eq!(none, None);
        if kernel.capabilities().has(Capability::Syslog) {
            assert!(text.is_some() && start.is_some() && text != start);
            assert_eq!(kernel.symbol("start_kernel"), start);
        }
    }
}
