//! Signals as events: what asks us to stop becomes readable on a descriptor, so that we stop at a good moment; who
//! asks twice does not want to wait for one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use crate::kernel::{clock, owned};

/// SIGINT and SIGTERM are caught from here on, and SIGUSR1, which must not kill a tracer. Programs that we execute
/// have them as they were: handlers, unlike blocked signals, are not passed on.
pub struct Signals {
    /// Event counters: for what stops us, and for SIGUSR1.
    fd: OwnedFd,
    user: OwnedFd,
}

/// Where the handler reports.
static EVENTS: AtomicI32 = AtomicI32::new(-1);
static USER: AtomicI32 = AtomicI32::new(-1);
/// When the first signal came, in nanoseconds of the monotonic clock.
static FIRST: AtomicU64 = AtomicU64::new(0);

/// A second signal this soon is the first one once more: `timeout` and shells signal both the process and its
/// group.
const SAME: Duration = Duration::from_millis(250);

impl Signals {
    pub fn take() -> io::Result<Signals> {
        let (fd, user) = (counter()?, counter()?);
        EVENTS.store(fd.as_raw_fd(), Ordering::Relaxed);
        USER.store(user.as_raw_fd(), Ordering::Relaxed);
        for (signal, handler) in
            [(libc::SIGINT, stop as extern "C" fn(libc::c_int)), (libc::SIGTERM, stop), (libc::SIGUSR1, note)]
        {
            // SAFETY: the struct is plain, and the handlers do only what handlers may.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = handler as *const () as usize;
                action.sa_flags = libc::SA_RESTART;
                libc::sigaction(signal, &action, std::ptr::null_mut());
            }
        }
        Ok(Signals { fd, user })
    }

    /// Whether a signal that asks us to stop has come since the last call.
    pub fn stop(&self) -> bool {
        take(&self.fd)
    }

    /// Becomes readable when SIGUSR1 has come.
    pub fn user(&self) -> BorrowedFd<'_> {
        self.user.as_fd()
    }

    /// Whether SIGUSR1 has come since the last call.
    pub fn asked(&self) -> bool {
        take(&self.user)
    }
}

fn counter() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

/// Sets a counter back to zero; the result is whether it was more.
fn take(counter: &OwnedFd) -> bool {
    let mut count = 0u64;
    // SAFETY: the buffer is as large as said.
    let got = unsafe { libc::read(counter.as_raw_fd(), (&raw mut count).cast(), size_of_val(&count)) };
    got > 0
}

/// Async-signal-safe, and the error number is as it was when the interrupted code goes on.
fn count(counter: &AtomicI32) {
    let one = 1u64;
    // SAFETY: writes the number, nothing else.
    unsafe {
        let error = *libc::__errno_location();
        libc::write(counter.load(Ordering::Relaxed), (&raw const one).cast(), size_of_val(&one));
        *libc::__errno_location() = error;
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        EVENTS.store(-1, Ordering::Relaxed);
        USER.store(-1, Ordering::Relaxed);
    }
}

extern "C" fn stop(signal: libc::c_int) {
    let now = clock(libc::CLOCK_MONOTONIC);
    match FIRST.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => count(&EVENTS),
        // SAFETY: async-signal-safe.
        Err(first) if now.saturating_sub(first) >= SAME.as_nanos() as u64 => unsafe {
            libc::_exit(128 + signal)
        },
        Err(_) => {}
    }
}

extern "C" fn note(_: libc::c_int) {
    count(&USER);
}
