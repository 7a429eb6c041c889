//! Facts about processes and the files they run.

pub mod archive;
pub mod debug_files;
pub mod demangle;
pub mod elf;
pub mod files;
pub mod instructions;
mod ldcache;
pub mod usdt;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::kernel::owned;

/// A descriptor that becomes readable when a process ends: pidfd_open(2).
pub fn pidfd(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// The files that a process has mapped as code, as it sees them, in order.
pub fn mapped_files(pid: u32) -> io::Result<Vec<PathBuf>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    Ok(code_in(&maps).map(PathBuf::from).collect::<BTreeSet<_>>().into_iter().collect())
}

/// The paths of executable mappings in the text of `/proc/PID/maps`: `start-end rwxp offset dev inode path`.
fn code_in(maps: &str) -> impl Iterator<Item = &str> {
    maps.lines().filter_map(|line| {
        let (_, rest) = line.split_once(' ')?;
        let (rights, rest) = rest.split_once(' ')?;
        let path = rest.splitn(4, ' ').nth(3)?.trim_start();
        let file = path.starts_with('/') && !path.ends_with(" (deleted)");
        (rights.as_bytes().get(2) == Some(&b'x') && file).then_some(path)
    })
}

/// All processes that run now.
pub fn running() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The threads of a process.
pub fn threads(pid: u32) -> io::Result<Vec<u32>> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task"))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// The program that a process runs, as it sees it.
pub fn executable(pid: u32) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe"))
}

/// How this process reaches another one's files: `/proc/PID/root` if that one has another root or other mounts.
pub fn root(pid: u32) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let same = |a: String, b: &str| {
        let (a, b) = (std::fs::metadata(a).ok()?, std::fs::metadata(b).ok()?);
        Some(a.ino() == b.ino() && a.dev() == b.dev())
    };
    let root = format!("/proc/{pid}/root");
    let other = same(format!("/proc/{pid}/ns/mnt"), "/proc/self/ns/mnt") == Some(false)
        || same(root.clone(), "/proc/self/root") == Some(false);
    other.then(|| root.into())
}

/// A path of a process as this one reaches it.
pub fn under(root: Option<&Path>, path: &Path) -> PathBuf {
    match root {
        Some(root) if !path.starts_with(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_counts() {
        let maps = "\
5581c0000000-5581c0002000 r--p 00000000 fe:00 123                        /usr/bin/a b
5581c0002000-5581c0004000 r-xp 00002000 fe:00 123                        /usr/bin/a b
7f0000000000-7f0000001000 r-xp 00000000 00:00 0                          [vdso]
7f0000002000-7f0000003000 r-xp 00000000 fe:00 9                          /tmp/x (deleted)
7f0000004000-7f0000005000 rwxp 00000000 00:00 0
";
        assert_eq!(code_in(maps).collect::<Vec<_>>(), ["/usr/bin/a b"]);
    }

    #[test]
    fn a_process_knows_itself() {
        let pid = std::process::id();
        let own = executable(pid).unwrap();
        assert_eq!(own, std::env::current_exe().unwrap());
        assert!(mapped_files(pid).unwrap().contains(&own));
        assert!(running().any(|other| other == pid));
        assert_eq!(root(pid), None);
        assert!(mapped_files(u32::MAX).is_err());
    }

    #[test]
    fn paths_of_others_go_through_their_root() {
        let root = Path::new("/proc/1/root");
        assert_eq!(under(Some(root), Path::new("/bin/sh")), Path::new("/proc/1/root/bin/sh"));
        assert_eq!(under(Some(root), Path::new("/proc/1/root/x")), Path::new("/proc/1/root/x"));
        assert_eq!(under(None, Path::new("/bin/sh")), Path::new("/bin/sh"));
    }
}
