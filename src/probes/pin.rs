//! Links that stay when we are gone, as files of a BPF file system.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::refusal::AttachError;
use crate::diagnostics::system_words;

/// Where the BPF file system is.
pub(super) const BPF_FS: &str = "/sys/fs/bpf";

/// Makes a link a file. It is there until that is removed.
pub(super) fn pin(link: BorrowedFd<'_>, path: &str) -> Result<(), AttachError> {
    let name = CString::new(path)
        .map_err(|e| AttachError { message: format!("cannot pin the iterator: {e}"), help: None })?;
    // SAFETY: both are alive during the call, which keeps neither.
    if unsafe { libbpf_sys::bpf_obj_pin(link.as_raw_fd(), name.as_ptr()) } == 0 {
        return Ok(());
    }
    Err(explain(Path::new(path), io::Error::last_os_error()))
}

fn explain(path: &Path, error: io::Error) -> AttachError {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let (why, help) = match error.raw_os_error() {
        Some(libc::EEXIST) => {
            let help = format!("remove it with \"rm {}\", or choose another name", path.display());
            ("it is there already".to_owned(), Some(help))
        }
        // sysfs, on which it is mounted, says that the new file is not there.
        Some(libc::EPERM | libc::EINVAL | libc::ENOENT) if is_bpf(directory) == Some(false) => {
            let what = format!("{} is not in a BPF file system", directory.display());
            let help = if directory.starts_with(BPF_FS) {
                format!("mount it with \"mount -t bpf bpf {BPF_FS}\"")
            } else {
                format!("a pin has to be below {BPF_FS}, or wherever one is mounted")
            };
            (what, Some(help))
        }
        Some(libc::ENOENT) => {
            let missing = missing(directory);
            let help = format!("make it with \"mkdir -p {}\"", directory.display());
            // Nobody makes directories in sysfs.
            let help = Some(help).filter(|_| missing != Path::new(BPF_FS));
            (format!("there is no directory {}", missing.display()), help)
        }
        Some(libc::ENOTDIR) => (format!("{} is not a directory", directory.display()), None),
        Some(libc::EPERM | libc::EACCES) => {
            (format!("not permitted in {}", directory.display()), Some("run as root".to_owned()))
        }
        _ => (system_words(&error), None),
    };
    AttachError { message: format!("cannot pin the iterator as {}: {why}", path.display()), help }
}

/// The topmost part of a path that is not there.
fn missing(directory: &Path) -> PathBuf {
    let mut missing = directory;
    while let Some(parent) = missing.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        if fs::symlink_metadata(parent).is_ok() {
            break;
        }
        missing = parent;
    }
    missing.to_owned()
}

/// Whether a directory is in a BPF file system; `None` if that cannot be found out.
fn is_bpf(directory: &Path) -> Option<bool> {
    let path = CString::new(directory.as_os_str().as_bytes()).ok()?;
    // SAFETY: all zeros are a `statfs`.
    let mut about: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a NUL, and the kernel fills in no more than the struct.
    let found = unsafe { libc::statfs(path.as_ptr(), &raw mut about) } == 0;
    found.then_some(about.f_type == libc::BPF_FS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, errno: i32) -> (String, String) {
        let error = explain(Path::new(path), io::Error::from_raw_os_error(errno));
        (error.message, error.help.unwrap_or_default())
    }

    #[test]
    fn what_stands_in_the_way_is_named() {
        let (message, help) = said("/sys/fs/bpf/list", libc::EEXIST);
        assert_eq!(message, "cannot pin the iterator as /sys/fs/bpf/list: it is there already");
        assert!(help.contains("rm /sys/fs/bpf/list"), "{help}");
        let (message, help) = said("/proc/no/such/list", libc::ENOENT);
        assert!(message.ends_with(": there is no directory /proc/no"), "{message}");
        assert!(help.contains("mkdir -p /proc/no/such"), "{help}");
        for errno in [libc::EPERM, libc::ENOENT] {
            let (message, _) = said("/proc/list", errno);
            assert!(message.ends_with(": /proc is not in a BPF file system"), "{message}");
        }
        let (_, help) = said("/proc/list", libc::EPERM);
        assert!(help.contains("below /sys/fs/bpf"), "{help}");
        assert!(said("/proc/list", libc::EACCES).0.contains("not permitted in /proc"));
    }
}
