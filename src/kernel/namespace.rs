//! The pid namespace: in any but the initial one, what the kernel calls a pid is not what users see.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// The inode of the initial pid namespace: `PROC_PID_INIT_INO` of the kernel's `include/linux/proc_ns.h`.
const INITIAL_INODE: u64 = 0xeffffffc;

/// What `bpf_get_ns_current_pid_tgid` wants to know of a namespace. Both are 0 for the initial one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PidNamespace {
    pub device: u64,
    pub inode: u64,
}

impl PidNamespace {
    pub(super) fn of_this_process() -> PidNamespace {
        match fs::metadata("/proc/self/ns/pid") {
            Ok(file) if file.ino() != INITIAL_INODE => {
                PidNamespace { device: kernel_device(file.dev()), inode: file.ino() }
            }
            // Without /proc nothing is known, and pids are most likely the kernel's.
            _ => PidNamespace::default(),
        }
    }

    pub fn is_initial(self) -> bool {
        self == PidNamespace::default()
    }
}

/// The helper compares with the kernel's own `dev_t` (12 bits of major above 20 of minor), but `stat` spreads the
/// minor's bits around the major's.
fn kernel_device(dev: u64) -> u64 {
    (u64::from(libc::major(dev)) << 20) | u64::from(libc::minor(dev))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initial_namespace_is_zero() {
        let inode = fs::metadata("/proc/self/ns/pid").unwrap().ino();
        assert_eq!(PidNamespace::of_this_process().is_initial(), inode == INITIAL_INODE);
    }
}
