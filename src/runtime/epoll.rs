//! Waiting for several things at once.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::kernel::owned;

/// What we wait for.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(super) enum Event {
    Records = 1,
    Signal = 2,
    /// A process that we follow has ended.
    Ended = 4,
    /// Nobody reads our output any more.
    Closed = 8,
    /// SIGUSR1 has come.
    User = 16,
    /// Processes have mapped much.
    Mapped = 32,
}

/// Several of [`Event`].
#[derive(Clone, Copy)]
pub(super) struct Events(u64);

impl Events {
    pub fn has(self, event: Event) -> bool {
        self.0 & event as u64 != 0
    }
}

pub(super) struct Epoll(OwnedFd);

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: takes a number.
        owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map(Epoll)
    }

    pub fn add(&self, fd: BorrowedFd<'_>, event: Event) -> io::Result<()> {
        self.control(fd, libc::EPOLLIN, event)
    }

    /// Waits for the other end to go away. Files that have none cannot be waited for, and need not.
    pub fn add_closing(&self, fd: BorrowedFd<'_>) {
        let _ = self.control(fd, 0, Event::Closed);
    }

    fn control(&self, fd: BorrowedFd<'_>, events: libc::c_int, event: Event) -> io::Result<()> {
        let mut wanted = libc::epoll_event { events: events.cast_unsigned(), u64: event as u64 };
        // SAFETY: both descriptors are open, and the struct is ours.
        let done =
            unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut wanted) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    pub fn wait(&self, timeout: Duration) -> io::Result<Events> {
        let mut ready = [libc::epoll_event { events: 0, u64: 0 }; 8];
        // Rounded up, so that it does not wake just before the time.
        let timeout = libc::c_int::try_from(timeout.as_millis() + 1).unwrap_or(libc::c_int::MAX);
        // SAFETY: room for as many events as said.
        let count = unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), ready.as_mut_ptr(), ready.len() as libc::c_int, timeout)
        };
        if count < 0 {
            let e = io::Error::last_os_error();
            return if e.kind() == io::ErrorKind::Interrupted { Ok(Events(0)) } else { Err(e) };
        }
        Ok(Events(ready.iter().take(count.unsigned_abs() as usize).fold(0, |all, event| all | event.u64)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn waiting_tells_who_woke_us() {
        let epoll = Epoll::new().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        epoll.add(reader.as_fd(), Event::Records).unwrap();
        epoll.add_closing(writer.as_fd());
        let file = File::open("/proc/self/exe").unwrap();
        epoll.add_closing(file.as_fd());
        let none = epoll.wait(Duration::ZERO).unwrap();
        assert!(!none.has(Event::Records) && !none.has(Event::Closed));
        (&writer).write_all(b"x").unwrap();
        let one = epoll.wait(Duration::from_secs(5)).unwrap();
        assert!(one.has(Event::Records) && !one.has(Event::Closed));
        drop(reader);
        assert!(epoll.wait(Duration::from_secs(5)).unwrap().has(Event::Closed));
    }
}
