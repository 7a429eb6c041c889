//! The tracing file system, mounted or not.
//!
//! Everything is read through a directory's descriptor, so it makes no difference whether that is `/sys/kernel/tracing`
//! or a mount that only this process has.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::owned;

/// `TRACEFS_MAGIC` of `linux/magic.h`.
const MAGIC: u64 = 0x7472_6163;
/// Where it is mounted: its own place since 4.1, and where it was before (and still is, on demand).
const PLACES: [&CStr; 2] = [c"/sys/kernel/tracing", c"/sys/kernel/debug/tracing"];

/// The root of tracefs.
#[derive(Debug)]
pub struct Tracefs {
    root: OwnedFd,
    private: bool,
}

/// There is no way to tracefs.
#[derive(Debug, thiserror::Error)]
#[error("tracefs is not mounted, and mounting it for this process alone failed: {reason}")]
pub struct TracefsError {
    reason: io::Error,
}

impl TracefsError {
    /// What the user can do about it.
    pub fn help(&self) -> &'static str {
        match self.reason.raw_os_error() {
            Some(libc::ENODEV) => "this kernel was built without tracing (CONFIG_TRACING)",
            Some(libc::EPERM | libc::EACCES) => {
                "run as root, or mount it: mount -t tracefs tracefs /sys/kernel/tracing"
            }
            _ => "mount it: mount -t tracefs tracefs /sys/kernel/tracing",
        }
    }
}

impl Tracefs {
    pub(super) fn open() -> Result<Tracefs, TracefsError> {
        for place in PLACES {
            if let Some(root) = open_at(libc::AT_FDCWD, place, libc::O_PATH | libc::O_DIRECTORY)
                .ok()
                .filter(|dir| filesystem(dir) == Some(MAGIC))
            {
                return Ok(Tracefs { root, private: false });
            }
        }
        mount().map(|root| Tracefs { root, private: true }).map_err(|reason| TracefsError { reason })
    }

    /// Whether this is a mount of our own, which has no path that others could use.
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Opens a file for reading: `available_events`.
    pub fn file(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = c_path(path.as_ref())?;
        open_at(self.root.as_raw_fd(), &path, libc::O_RDONLY).map(File::from)
    }

    /// A file's text.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<String> {
        let mut text = String::new();
        self.file(path)?.read_to_string(&mut text)?;
        Ok(text)
    }

    /// The names in a directory, sorted.
    pub fn list(&self, path: impl AsRef<Path>) -> io::Result<Vec<String>> {
        let path = c_path(path.as_ref())?;
        let dir = open_at(self.root.as_raw_fd(), &path, libc::O_RDONLY | libc::O_DIRECTORY)?;
        // The standard library lists by path only; this one leads back to the open directory.
        let mut names = vec![];
        for entry in std::fs::read_dir(format!("/proc/self/fd/{}", dir.as_raw_fd()))? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        c_path(path.as_ref()).and_then(|path| open_at(self.root.as_raw_fd(), &path, libc::O_PATH)).is_ok()
    }

    /// The number of a tracepoint, which `perf_event_open(2)` takes as its `config`.
    pub fn event_id(&self, category: &str, event: &str) -> io::Result<u64> {
        let text = self.read(format!("events/{category}/{event}/id"))?;
        text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a number"))
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    // An empty path is refused by the kernel, and a user's name may climb out of the directory.
    if path.is_absolute() || path.components().any(|c| c.as_os_str() == OsStr::new("..")) {
        return Err(io::ErrorKind::NotFound.into());
    }
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::NotFound.into())
}

fn open_at(dir: RawFd, path: &CStr, flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: the path is a C string; the kernel checks everything else.
    owned(unsafe { libc::openat(dir, path.as_ptr(), flags | libc::O_CLOEXEC) })
}

fn filesystem(dir: &OwnedFd) -> Option<u64> {
    let mut info = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: fstatfs fills the struct, and it is read only where it says it did.
    let info = unsafe {
        if libc::fstatfs(dir.as_raw_fd(), info.as_mut_ptr()) != 0 {
            return None;
        }
        info.assume_init()
    };
    u64::try_from(info.f_type).ok()
}

/// A mount that is attached nowhere: it ends with its descriptor. The system calls are of Linux 5.2.
fn mount() -> io::Result<OwnedFd> {
    // `linux/mount.h`; all three have the same number on every architecture.
    const FSOPEN_CLOEXEC: libc::c_uint = 1;
    const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
    const FSMOUNT_CLOEXEC: libc::c_uint = 1;
    // SAFETY: the name is a C string, and fsconfig's create takes neither key nor value.
    unsafe {
        let context = owned(libc::syscall(libc::SYS_fsopen, c"tracefs".as_ptr(), FSOPEN_CLOEXEC))?;
        let null = std::ptr::null::<libc::c_char>();
        let fd = context.as_raw_fd();
        if libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, null, null, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        owned(libc::syscall(libc::SYS_fsmount, fd, FSMOUNT_CLOEXEC, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracefs() -> Option<Tracefs> {
        Tracefs::open().map_err(|e| crate::testing::skip("tracefs", format!("{e}; {}", e.help()))).ok()
    }

    #[test]
    fn events_are_there_mounted_or_not() {
        let Some(tracefs) = tracefs() else { return };
        assert!(tracefs.list("events").unwrap().contains(&"sched".to_owned()));
        assert!(tracefs.event_id("sched", "sched_switch").unwrap() > 0);
        assert!(tracefs.exists("events/sched/sched_switch/format"));
        assert!(!tracefs.exists("events/sched/no_such_event"));
    }

    #[test]
    fn our_own_mount_does_not_show() {
        let before = std::fs::read_to_string("/proc/self/mounts").unwrap();
        match mount() {
            Ok(root) => {
                let tracefs = Tracefs { root, private: true };
                assert!(!tracefs.read("available_events").unwrap().is_empty());
                assert_eq!(std::fs::read_to_string("/proc/self/mounts").unwrap(), before);
            }
            Err(e) => crate::testing::skip("tracefs", e),
        }
    }

    #[test]
    fn names_do_not_climb_out() {
        let Some(tracefs) = tracefs() else { return };
        assert!(tracefs.read("events/../../../../etc/passwd").is_err());
        assert!(tracefs.read("/etc/passwd").is_err());
        assert!(tracefs.read("events/a\0b").is_err());
    }
}
