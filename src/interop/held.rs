//! Signals that end us wait while something on disk has to be removed first.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus};

use crate::kernel::owned;
use crate::process::pidfd;

/// What ends a process that does not catch it, and is sent to end one.
const SIGNALS: [libc::c_int; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// While this lives, signals that would end this process wait; then they do. To be made while there is one thread: what is
/// sent to a process goes to any of its threads that takes it.
pub(super) struct Held {
    /// Those of before.
    mask: libc::sigset_t,
    /// Readable when a signal waits. It is never read, so that the signal goes on waiting.
    waiting: OwnedFd,
}

impl Held {
    pub(super) fn new() -> io::Result<Held> {
        // SAFETY: sets are plain numbers, which these calls fill in.
        unsafe {
            let (mut held, mut mask): (libc::sigset_t, libc::sigset_t) =
                (std::mem::zeroed(), std::mem::zeroed());
            libc::sigemptyset(&mut held);
            for signal in SIGNALS.into_iter().filter(|signal| !is_ignored(*signal)) {
                libc::sigaddset(&mut held, signal);
            }
            let waiting = owned(libc::signalfd(-1, &held, libc::SFD_CLOEXEC))?;
            match libc::pthread_sigmask(libc::SIG_BLOCK, &held, &mut mask) {
                0 => Ok(Held { mask, waiting }),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }

    /// Runs a command to its end, or to the first signal, which is an error.
    pub(super) fn run(&self, command: &mut Command) -> io::Result<ExitStatus> {
        let mask = self.mask;
        // SAFETY: sigprocmask(2) is async-signal-safe. For the command all is as it was, so that Ctrl-C ends it too.
        unsafe {
            command.pre_exec(move || {
                match libc::sigprocmask(libc::SIG_SETMASK, &mask, std::ptr::null_mut()) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            });
        }
        let mut child = command.spawn()?;
        let ended =
            pidfd(child.id() as libc::pid_t).and_then(|ended| self.wait(&ended).map(|signal| !signal));
        if !matches!(ended, Ok(true)) {
            // It may have ended by itself meanwhile, which changes nothing.
            let _ = child.kill();
        }
        let status = child.wait()?;
        let interrupted = !ended? || status.signal().is_some_and(|signal| SIGNALS.contains(&signal));
        if interrupted { Err(io::ErrorKind::Interrupted.into()) } else { Ok(status) }
    }

    /// Waits until a process has ended, or a signal waits: that is `true`.
    fn wait(&self, ended: &OwnedFd) -> io::Result<bool> {
        let poll = |fd: &OwnedFd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let mut both = [poll(&self.waiting), poll(ended)];
        loop {
            // SAFETY: the pointer is to as many as are said.
            if unsafe { libc::poll(both.as_mut_ptr(), 2, -1) } >= 0 {
                return Ok(both[0].revents != 0);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: the mask is what the same call gave.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.mask, std::ptr::null_mut()) };
    }
}

/// As under nohup(1). Blocked, it would wait like the others.
fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: the struct is plain, and the call only fills it in.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}
