//! Well-known constants of the kernel's headers: `AF_INET`, `O_CREAT`, `TASK_RUNNING`.
//!
//! Scripts use them freely, on machines that have no headers. Those that are enumerators the kernel tells itself, in
//! BTF; a `#define` is in no BTF, so its value has to be known here. What is here is part of the ABI with user space,
//! or has been the same in every kernel from 5.10 to 6.18 that was looked at; and has one value on x86-64 and arm64, or
//! [both](per_arch). What differs between kernels is not guessed: see [`varies`].
//!
//! The values are those of the headers of Linux 6.1 (UAPI for both architectures, and `include/linux` for what only
//! the kernel has), the latter compared with those of 6.12. The tests compare them with what the C compiler at hand
//! makes of its headers, and with the running kernel's BTF.

mod devices;
mod errors;
mod files;
pub mod functions;
mod limits;
mod links;
mod memory;
mod network;
mod process;

/// The constants of a header.
struct Group {
    /// As it is included: `linux/fcntl.h`. A script's author finds it in the kernel's `include` or in
    /// `include/uapi`.
    header: &'static str,
    kind: Kind,
    constants: &'static [(&'static str, i128)],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Macro,
    /// An enumerator in kernels of today, if not in all.
    Enum,
}

/// A table of groups: `"linux/stat.h" Macro { S_IFDIR = 0o40000, … }`.
macro_rules! table {
    ($($header:literal $kind:ident { $($name:ident = $value:expr),* $(,)? })*) => {
        &[$(
            super::Group {
                header: $header,
                kind: super::Kind::$kind,
                constants: &[$((stringify!($name), $value)),*],
            },
        )*]
    };
}
use table;

/// The value on the architecture at hand.
const fn per_arch(x86_64: i128, aarch64: i128) -> i128 {
    if cfg!(target_arch = "aarch64") { aarch64 } else { x86_64 }
}

const TABLES: [&[Group]; 8] = [
    network::NETWORK,
    links::LINKS,
    files::FILES,
    devices::DEVICES,
    process::PROCESS,
    memory::MEMORY,
    errors::ERRORS,
    limits::LIMITS,
];

/// Constants that are not the same in all kernels, with what decides them.
const VARIES: [(&str, &[&str]); 6] = [
    (
        "the kernel's configuration",
        &["HZ", "NR_CPUS", "CONFIG_HZ", "CONFIG_NR_CPUS", "THREAD_SIZE", "MAX_NUMNODES"],
    ),
    (
        "linux/gfp.h",
        &["GFP_ATOMIC", "GFP_NOWAIT", "GFP_HIGHUSER_MOVABLE", "GFP_TRANSHUGE", "GFP_TRANSHUGE_LIGHT"],
    ),
    ("linux/mm.h", &["VM_DENYWRITE", "VM_SOFTDIRTY", "VM_GROWSUP"]),
    ("linux/sched.h", &["TASK_TRACED", "TASK_STATE_MAX", "PF_KSWAPD", "PF_FROZEN", "PF_USED_ASYNC"]),
    ("linux/fs.h", &["FMODE_NDELAY", "FMODE_EXCL", "FMODE_NONOTIFY"]),
    ("linux/slab.h", &["SLAB_HWCACHE_ALIGN", "SLAB_PANIC", "SLAB_ACCOUNT", "SLAB_RECLAIM_ACCOUNT"]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constant {
    /// In the range of an `i64` or of a `u64`.
    pub value: i128,
    /// The header that defines it, as it is included.
    pub header: &'static str,
    /// Whether the kernel has it as an enumerator, so that its BTF may know it, and its type.
    pub enumerator: bool,
}

/// The well-known constant of that name.
///
/// The tables are in the order of their headers, and searched from the front: some microseconds, once for each use of
/// a constant in a script.
pub fn lookup(name: &str) -> Option<Constant> {
    let listed = groups().find_map(|group| {
        let (_, value) = group.constants.iter().find(|(n, _)| *n == name)?;
        Some(Constant { value: *value, header: group.header, enumerator: group.kind == Kind::Enum })
    });
    let told = || match name {
        VERSION => {
            let value = i128::from(crate::kernel::Version::running().code());
            Some(Constant { value, header: "linux/version.h", enumerator: false })
        }
        _ => Some(Constant { value: page_constant(name)?, header: "asm/page.h", enumerator: false }),
    };
    listed.or_else(told)
}

/// Whether a well-known constant of that name is a macro, and no enumerator.
pub fn is_macro(name: &str) -> bool {
    lookup(name).is_some_and(|known| !known.enumerator)
}

/// The names of all of them.
pub fn names() -> impl Iterator<Item = &'static str> {
    groups().flat_map(|group| group.constants).map(|(name, _)| *name).chain(PAGE).chain([VERSION])
}

/// What decides the value of a constant that scripts may want but that is not the same in all kernels: a header, or
/// more.
pub fn varies(name: &str) -> Option<&'static str> {
    VARIES.iter().find(|(_, names)| names.contains(&name)).map(|(decides, _)| *decides)
}

fn groups() -> impl Iterator<Item = &'static Group> {
    TABLES.iter().copied().flatten()
}

/// The running kernel's version, as `KERNEL_VERSION()` makes one.
const VERSION: &str = "LINUX_VERSION_CODE";
const PAGE: [&str; 3] = ["PAGE_SIZE", "PAGE_SHIFT", "PAGE_MASK"];

/// On arm64 the running kernel decides.
fn page_constant(name: &str) -> Option<i128> {
    let size = || i128::try_from(crate::kernel::page_size()).ok();
    match name {
        "PAGE_SIZE" => size(),
        "PAGE_SHIFT" => Some(size()?.trailing_zeros().into()),
        "PAGE_MASK" => Some(-size()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
