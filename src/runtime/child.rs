//! The processes that tracing is about: the command of `-c` and the process of `-p`.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::diagnostics::{Diagnostic, system_words};
use crate::process::pidfd;

/// How long a command may take to end after SIGTERM before it is killed.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running process; its descriptor becomes readable when it ends.
pub struct Process {
    pid: u32,
    fd: OwnedFd,
}

impl Process {
    /// The process of `-p`.
    pub fn find(pid: u32) -> Result<Process, Diagnostic> {
        match pidfd(pid as libc::pid_t) {
            Ok(fd) => Ok(Process { pid, fd }),
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {
                Err(Diagnostic::error("no-such-process", None, format!("there is no process {pid}"))
                    .note("it may have ended already; -p takes the id of a running process"))
            }
            // A thread's id that is not its process's: `pidfd_open` wants the latter.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                Err(Diagnostic::error("no-such-process", None, format!("{pid} is a thread, not a process"))
                    .help(format!("`grep Tgid /proc/{pid}/status` shows its process")))
            }
            Err(e) => Err(Diagnostic::error(
                "no-such-process",
                None,
                format!("process {pid} cannot be watched: {e}"),
            )),
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The command of `-c`: already a process, so that its id is known, but waiting to execute the program until
/// [`Child::start`]. Ended when dropped.
pub struct Child {
    process: Process,
    program: PathBuf,
    /// A byte written here lets it go.
    go: Option<File>,
    /// Closed by a successful `execve`; otherwise the error number comes through.
    result: File,
    reaped: bool,
}

impl Child {
    pub fn spawn(command: &str) -> Result<Child, Diagnostic> {
        let words = split(command).map_err(|e| Diagnostic::error("command", None, e))?;
        let Some(name) = words.first() else {
            return Err(Diagnostic::error("command", None, "the command of -c is empty"));
        };
        let program = find(name)?;
        let failed = |what: &str, e: io::Error| {
            Diagnostic::error(
                "command",
                None,
                format!("cannot run the command of -c: {what}: {}", system_words(&e)),
            )
        };
        let nul = |_| Diagnostic::error("command", None, "the command of -c contains a NUL byte");
        let path = CString::new(program.as_os_str().as_bytes()).map_err(nul)?;
        let words: Vec<CString> =
            words.into_iter().map(CString::new).collect::<Result<_, _>>().map_err(nul)?;
        let argv: Vec<*const libc::c_char> =
            words.iter().map(|w| w.as_ptr()).chain([std::ptr::null()]).collect();
        let (wait, go) = pipe().map_err(|e| failed("pipe", e))?;
        let (result, report) = pipe().map_err(|e| failed("pipe", e))?;
        // SAFETY: nothing is shared but memory that the child only reads, and it calls only what is allowed between
        // fork and exec.
        let pid = unsafe { libc::fork() };
        match pid {
            0 => wait_and_execute(&path, &argv, wait.as_raw_fd(), report.as_raw_fd(), go.as_raw_fd()),
            -1 => return Err(failed("fork", io::Error::last_os_error())),
            _ => {}
        }
        let fd = pidfd(pid).map_err(|e| failed("pidfd_open", e))?;
        Ok(Child {
            process: Process { pid: pid.unsigned_abs(), fd },
            program,
            go: Some(go.into()),
            result: result.into(),
            reaped: false,
        })
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The program it will be.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Lets it execute the program.
    pub fn start(&mut self) -> Result<(), Diagnostic> {
        let Some(mut go) = self.go.take() else { return Ok(()) };
        let mut error = vec![];
        let done = go.write_all(b"!").and_then(|()| self.result.read_to_end(&mut error));
        let reason = match (done, <[u8; 4]>::try_from(&error[..])) {
            (Ok(0), _) => return Ok(()),
            (Ok(_), Ok(number)) => io::Error::from_raw_os_error(i32::from_ne_bytes(number)),
            (Ok(_), Err(_)) => io::Error::other("unexpected answer"),
            (Err(e), _) => e,
        };
        Err(Diagnostic::error(
            "command",
            None,
            format!("cannot execute {}: {reason}", self.program.display()),
        ))
    }

    /// Ends it, politely at first.
    fn end(&mut self) {
        if self.reaped || self.reap(Duration::ZERO) {
            return;
        }
        // It has not been reaped, so the id is still its own.
        let pid = self.process.pid as libc::pid_t;
        // SAFETY: takes numbers.
        let signal = |signal| unsafe { libc::kill(pid, signal) };
        signal(libc::SIGTERM);
        // A stopped process would not see it.
        signal(libc::SIGCONT);
        if !self.reap(PATIENCE) {
            signal(libc::SIGKILL);
            self.reap(PATIENCE);
        }
    }

    /// Waits for its end, so long at most; whether it has ended.
    fn reap(&mut self, timeout: Duration) -> bool {
        let mut poll = libc::pollfd { fd: self.process.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor, as said.
        if unsafe { libc::poll(&mut poll, 1, timeout.as_millis() as libc::c_int) } == 1 {
            // SAFETY: a null status is allowed.
            unsafe {
                libc::waitpid(self.process.pid as libc::pid_t, std::ptr::null_mut(), libc::WNOHANG);
            }
            self.reaped = true;
        }
        self.reaped
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the child does until it is another program. Only async-signal-safe calls.
fn wait_and_execute(
    path: &CString,
    argv: &[*const libc::c_char],
    wait: RawFd,
    report: RawFd,
    go: RawFd,
) -> ! {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    // SAFETY: all pointers are of live C strings and local variables; `argv` ends with a null pointer.
    unsafe {
        // Our parent's death is our own: it is the one who would have ended us.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
        // Else the pipe would stay open through our own copy when the parent goes.
        libc::close(go);
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut byte = 0u8;
        if libc::read(wait, (&raw mut byte).cast(), 1) != 1 {
            libc::_exit(0);
        }
        libc::execve(path.as_ptr(), argv.as_ptr(), environ);
        let error = *libc::__errno_location();
        libc::write(report, (&raw const error).cast(), size_of_val(&error));
        libc::_exit(127)
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors, which are then ours.
    unsafe {
        if libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// The file that a command's first word means: as it is if it holds a slash, else looked up in `PATH`.
fn find(name: &str) -> Result<PathBuf, Diagnostic> {
    let executable = |path: &Path| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let found = if name.contains('/') {
        Some(PathBuf::from(name)).filter(|path| executable(path))
    } else {
        let path = std::env::var_os("PATH").unwrap_or_else(|| OsStr::new("/usr/bin:/bin").to_owned());
        std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| executable(path))
    };
    found.ok_or_else(|| {
        let place = if name.contains('/') { "" } else { " in PATH" };
        Diagnostic::error(
            "command",
            None,
            format!("the command of -c cannot be run: there is no executable file {name}{place}"),
        )
    })
}

/// Splits a command at blanks. Quotes and backslashes keep blanks, as in a shell; nothing else is special.
fn split(command: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (vec![], None::<String>, None::<char>);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\\', None | Some('"')) => match chars.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("the command of -c ends with a backslash".into()),
            },
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(quote) = quote {
        return Err(format!("the command of -c has a {quote} without its counterpart"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn ended(process: &Process, timeout: i32) -> bool {
        let mut poll = libc::pollfd { fd: process.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor.
        unsafe { libc::poll(&mut poll, 1, timeout) == 1 }
    }

    #[test]
    fn commands_are_split_like_a_shells() {
        assert_eq!(split("ls  -l /tmp ").unwrap(), ["ls", "-l", "/tmp"]);
        assert_eq!(
            split(r#"sh -c 'a "b"' "c\"d" e\ f """#).unwrap(),
            ["sh", "-c", "a \"b\"", "c\"d", "e f", ""]
        );
        assert!(split("sh -c 'a").unwrap_err().contains("counterpart"));
        assert!(split("").unwrap().is_empty());
    }

    #[test]
    fn a_child_waits_until_it_is_started() {
        let file = std::env::temp_dir().join(format!("bpftrace-child-{}", std::process::id()));
        let _ = std::fs::remove_file(&file);
        let mut child = Child::spawn(&format!("touch {}", file.display())).unwrap();
        assert!(!ended(child.process(), 50) && !file.exists());
        child.start().unwrap();
        assert!(ended(child.process(), 10_000));
        assert!(file.exists());
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_child_that_is_not_needed_any_more_is_ended() {
        let mut child = Child::spawn("sleep 100").unwrap();
        child.start().unwrap();
        let (pid, start) = (child.process().pid(), Instant::now());
        drop(child);
        assert!(start.elapsed() < PATIENCE);
        assert!(Process::find(pid).is_err());
        // One that was never started, too.
        let child = Child::spawn("sleep 100").unwrap();
        let pid = child.process().pid();
        drop(child);
        assert!(Process::find(pid).is_err());
    }

    #[test]
    fn what_cannot_be_run_is_said() {
        let message = |command: &str| Child::spawn(command).err().unwrap().message;
        assert!(message("no-such-command-here").contains("no executable file no-such-command-here in PATH"));
        assert!(message("/etc/passwd").contains("/etc/passwd"));
        assert!(message(" ").contains("empty"));
        let file = std::env::temp_dir().join(format!("bpftrace-script-{}", std::process::id()));
        std::fs::write(&file, "#!/no/such/interpreter\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = Child::spawn(file.to_str().unwrap()).unwrap();
        assert!(child.start().unwrap_err().message.contains("No such file"));
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn only_running_processes_are_found() {
        assert_eq!(Process::find(std::process::id()).unwrap().pid(), std::process::id());
        assert_eq!(Process::find(0x3f_ffff).err().unwrap().message, "there is no process 4194303");
    }
}
