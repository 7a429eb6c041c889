//! Signals as events: what asks us to stop arrives on a file descriptor, so no code runs at a bad moment.

use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Signals that are taken from here on: SIGINT and SIGTERM, and SIGUSR1, which must not kill a tracer.
pub struct Signals {
    fd: OwnedFd,
}

/// When the first signal came, in nanoseconds of the monotonic clock.
static FIRST: AtomicU64 = AtomicU64::new(0);

/// A second signal this soon is the first one once more: `timeout` and shells signal both the process and its
/// group.
const SAME: Duration = Duration::from_millis(250);

impl Signals {
    /// Blocks the signals and opens their descriptor.
    pub fn take() -> io::Result<Signals> {
        let set = mask(&[libc::SIGINT, libc::SIGTERM, libc::SIGUSR1]);
        change(libc::SIG_BLOCK, &set);
        // SAFETY: the set is initialised; a new descriptor is ours.
        let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above.
        Ok(Signals { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Whether a signal has come that asks us to stop.
    pub fn stop(&self) -> bool {
        // SAFETY: all bytes zero is a value of this plain struct.
        let mut info: libc::signalfd_siginfo = unsafe { zeroed() };
        let size = size_of_val(&info);
        loop {
            // SAFETY: the buffer is as large as said.
            let got = unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut info).cast(), size) };
            if got != size as isize {
                return false;
            }
            if info.ssi_signo != libc::SIGUSR1 as u32 {
                return true;
            }
        }
    }

    /// From now on, another SIGINT or SIGTERM ends the process at once: the user does not want to wait for our end.
    pub fn next_is_final(&self) {
        FIRST.store(now(), Ordering::Relaxed);
        // SAFETY: the struct is plain, and the handler does only what handlers may.
        unsafe {
            let mut action: libc::sigaction = zeroed();
            action.sa_sigaction = leave as *const () as usize;
            for signal in [libc::SIGINT, libc::SIGTERM] {
                libc::sigaction(signal, &action, std::ptr::null_mut());
            }
        }
        change(libc::SIG_UNBLOCK, &mask(&[libc::SIGINT, libc::SIGTERM]));
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// To be called in a child before it executes something: it takes signals again.
pub fn give_back() {
    change(libc::SIG_UNBLOCK, &mask(&[libc::SIGINT, libc::SIGTERM, libc::SIGUSR1]));
}

extern "C" fn leave(signal: libc::c_int) {
    if now().saturating_sub(FIRST.load(Ordering::Relaxed)) >= SAME.as_nanos() as u64 {
        // SAFETY: async-signal-safe.
        unsafe { libc::_exit(128 + signal) }
    }
}

fn now() -> u64 {
    monotonic(libc::CLOCK_MONOTONIC)
}

/// A clock's nanoseconds. Async-signal-safe.
pub fn monotonic(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is ours.
    unsafe { libc::clock_gettime(clock, &mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

fn mask(signals: &[libc::c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

fn change(how: libc::c_int, set: &libc::sigset_t) {
    // SAFETY: the set is initialised; the old one is not asked for.
    unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) };
}
