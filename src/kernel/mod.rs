//! Facts about the running kernel, each found out when it is first asked for and then remembered.

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
    /// `uprobe_multi` links, 6.6
    UprobeMulti,
    /// `bpf_ktime_get_tai_ns`, 6.1
    Tai,
    /// fentry and fexit, 5.5 with BTF; some builds refuse them
    Fentry,
    /// Map elements allocated on demand in any context, 6.1
    MapAlloc,
}

/// The kernel we run on. Cheap to make; nothing is read before it is asked for.
pub struct Kernel {}

impl Kernel {
    pub fn new() -> Kernel {
        Kernel {}
    }

    /// Tries the feature out, or, without the privilege to try, judges by the kernel's version.
    pub fn has(&self, feature: Feature) -> bool {
        let _ = feature;
        todo!()
    }

    /// The address of a kernel symbol (`/proc/kallsyms`), `None` if it has none or addresses are hidden.
    pub fn symbol(&self, name: &str) -> Option<u64> {
        let _ = name;
        todo!()
    }

    /// How many CPUs there can be (`/sys/devices/system/cpu/possible`).
    pub fn possible_cpus(&self) -> u32 {
        todo!()
    }
}

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}
