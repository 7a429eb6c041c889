//! Letting go of events without waiting for the kernel.
//!
//! When the last descriptor of a tracepoint's, kprobe's or uprobe's event is closed, the kernel unregisters the event
//! and waits until no CPU can be in it, 20 to 100 ms each and under one lock: half a minute for the system calls'
//! tracepoints. Their programs are detached before by closing the links, so nothing needs this wait but the kernel's
//! own tidiness. The same goes for programs that have been told to do nothing, and that the kernel would let go of only one
//! after the other: at the trampolines of fentry and fexit (20 to 160 ms each), and at events before Linux 6.18.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// So many events are simply closed: their wait is not noticed.
const FEW: usize = 2;

/// Closes events that no program is attached to any more, and links of programs that do nothing any more. Where there are
/// many, a process of their own stays until the kernel is done with them, without anything else of this one: no terminal, no
/// pipes, no maps.
pub(super) fn leave(events: Vec<OwnedFd>) {
    let keeper = if events.len() > FEW { fork_with(&events).ok() } else { None };
    drop(events);
    // Only now the process may end, so that it and not we closed them for the last time.
    drop(keeper);
}

/// Forks a process that has nothing but these descriptors, and ends when the pipe is closed whose end is returned.
fn fork_with(events: &[OwnedFd]) -> io::Result<OwnedFd> {
    let (reader, writer) = pipe()?;
    let mut keep: Vec<RawFd> = events.iter().chain([&reader]).map(|fd| fd.as_raw_fd()).collect();
    keep.sort_unstable();
    // SAFETY: in the child of a process with threads nothing may be called that allocates or locks. What runs there
    // are system calls on descriptors that were listed before.
    let child = unsafe { libc::fork() };
    match child {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: as above.
            unsafe {
                // Its parent ends at once, so that nobody has to wait for it.
                if libc::fork() != 0 {
                    libc::_exit(0);
                }
                libc::setsid();
                libc::prctl(libc::PR_SET_NAME, c"probes-detach".as_ptr());
                close_all_but(&keep);
                let mut byte = 0u8;
                libc::read(reader.as_raw_fd(), (&raw mut byte).cast(), 1);
                libc::_exit(0);
            }
        }
        _ => {}
    }
    // SAFETY: it is our child, and waits for nothing.
    while unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) } < 0
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
    Ok(writer)
}

/// Closes every descriptor that is not in the list, which is sorted.
fn close_all_but(keep: &[RawFd]) {
    let mut from: RawFd = 0;
    for &fd in keep {
        if from < fd {
            close_range(from, fd - 1);
        }
        from = fd.saturating_add(1);
    }
    close_range(from, RawFd::MAX);
}

fn close_range(first: RawFd, last: RawFd) {
    // SAFETY: the descriptors are not used any more; numbers that are none are not an error.
    unsafe {
        // Linux 5.9.
        if libc::syscall(libc::SYS_close_range, first, last, 0) != 0 {
            for fd in first..=last.min(1 << 16) {
                libc::close(fd);
            }
        }
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: the kernel makes both descriptors or none.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// The other end of a pipe sees its end when the last process has closed it.
    #[test]
    fn what_is_left_is_closed_in_the_end() {
        let pipes: Vec<_> = (0..FEW + 1).map(|_| pipe().unwrap()).collect();
        let (readers, writers): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
        leave(writers);
        for reader in readers {
            let mut end = vec![];
            std::fs::File::from(reader).read_to_end(&mut end).unwrap();
            assert!(end.is_empty());
        }
    }

    #[test]
    fn the_process_keeps_nothing_else() {
        let (kept, _writer) = pipe().unwrap();
        let (mut ours, theirs) = pipe().map(|(r, w)| (std::fs::File::from(r), w)).unwrap();
        let keeper = fork_with(&[kept]).unwrap();
        // The forked process had a copy of this end. Were it still open there, the read would not come to an end.
        drop(theirs);
        assert_eq!(ours.read(&mut [0]).unwrap(), 0);
        drop(keeper);
    }
}
