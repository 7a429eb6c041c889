//! Runs one case.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use regex::Regex;

use super::case::{Case, Stop};
use super::expect::{self, Outcome, indent};
use super::setup::Setup;

/// In the environment it makes bpftrace say when its probes are attached, with itself on a line of its own.
const ATTACHED: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";

/// What was wrong with a run.
pub struct Fault {
    /// The command, each fault, and all that came out.
    pub text: String,
    /// The tracer's own words, if it said that it had not seen everything.
    pub lost: Option<String>,
}

impl From<String> for Fault {
    fn from(text: String) -> Fault {
        Fault { text, lost: None }
    }
}

/// Runs the case.
pub fn run(case: &Case, setup: &Setup) -> Result<(), Fault> {
    let temporary = tempfile::tempdir().map_err(|e| format!("no temporary directory: {e}"))?;
    let scene = Scene::new(case, setup, temporary.path()).map_err(|e| e.to_string())?;
    let mut command = scene.command(case).map_err(|e| e.to_string())?;
    let shown = show(&command);

    let deadline = Instant::now() + setup.timeout(case.timeout);
    let mut report = Report::default();
    let outcome = scene.play(case, &mut command, deadline, &mut report);
    match outcome {
        Ok(outcome) => {
            report.faults.extend(expect::faults(case, &outcome, &|text| scene.expand(text)));
            report.stdout = outcome.stdout;
            report.stderr = outcome.stderr;
        }
        Err(fault) => report.faults.push(format!("{shown}: {fault}")),
    }
    if let Some(check) = &case.check {
        scene.check(check, deadline, &mut report);
    }
    if report.faults.is_empty() {
        return Ok(());
    }
    Err(Fault { text: report.show(&shown), lost: lost(&report.stderr) })
}

/// What bpftrace says of hits and events that it did not get.
fn lost(stderr: &str) -> Option<String> {
    let pattern = r"(?m)^(Missed|Lost) \d+ .*$|^.*\d+ hits? left out: .*$";
    let found = Regex::new(pattern).ok()?.find(stderr)?;
    Some(found.as_str().to_owned())
}

#[derive(Default)]
struct Report {
    faults: Vec<String>,
    stdout: String,
    stderr: String,
    /// What the workload printed.
    workload: String,
}

impl Report {
    fn show(&self, command: &str) -> String {
        let mut text = format!("$ {command}\n");
        for fault in &self.faults {
            let _ = writeln!(text, "- {fault}");
        }
        let _ = writeln!(text, "stdout:\n{}\nstderr:\n{}", indent(&self.stdout), indent(&self.stderr));
        if !self.workload.is_empty() {
            let _ = writeln!(text, "workload:\n{}", indent(&self.workload));
        }
        text
    }
}

/// Where a case runs: its own directory, and the paths that its text may name.
struct Scene<'a> {
    setup: &'a Setup,
    directory: &'a Path,
    bpftrace: &'a Path,
}

impl<'a> Scene<'a> {
    fn new(case: &Case, setup: &'a Setup, directory: &'a Path) -> std::io::Result<Scene<'a>> {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o777))?;
        let bpftrace = setup.bpftrace_for(case.user.as_deref());
        Ok(Scene { setup, directory, bpftrace })
    }

    /// Fills in `%(tmp)`, `%(workload)`, `%(bpftrace)` and `%(root)`.
    fn expand(&self, text: &str) -> String {
        text.replace("%(tmp)", &self.directory.to_string_lossy())
            .replace("%(workload)", &self.setup.workload.to_string_lossy())
            .replace("%(bpftrace)", &self.bpftrace.to_string_lossy())
            .replace("%(root)", env!("CARGO_MANIFEST_DIR"))
    }

    fn command(&self, case: &Case) -> std::io::Result<Command> {
        let mut command = match &case.shell {
            Some(script) => self.shell(script),
            None => {
                let mut command = Command::new(self.bpftrace);
                command.args(case.options.iter().flatten().map(|option| self.expand(option)));
                if let Some(program) = &case.program {
                    command.args(["-e", &self.expand(program)]);
                }
                if let Some(text) = &case.file {
                    let path = self.directory.join("script.bt");
                    fs::write(&path, self.expand(text))?;
                    command.arg(path);
                }
                command
            }
        };
        command.args(case.params.iter().map(|param| self.expand(param)));
        command.current_dir(self.directory);
        self.environment(&mut command);
        command.envs(case.env.iter().map(|(name, value)| (name, self.expand(value))));
        if case.waits_for_probes() {
            command.env(ATTACHED, "1");
        }
        if let Some(user) = &case.user {
            let (uid, gid) = ids(user)?;
            command.uid(uid).gid(gid);
        }
        Ok(command)
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", &self.expand(script), "bash"]);
        command
    }

    /// The same for everyone: none of the tester's settings, and `bpftrace` is the one under test.
    fn environment(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap_or_default();
        let own = self.bpftrace.parent().unwrap_or(Path::new("/")).display().to_string();
        command.env("PATH", format!("{own}:{path}")).env("TMP", self.directory).env("LC_ALL", "C");
        command.env("BPFTRACE", self.bpftrace).env("WORKLOAD", &self.setup.workload);
        command.env("SLOWNESS", self.setup.slowness.to_string());
        if let Ok(clang) = crate::needs::clang() {
            command.env("CLANG", clang);
        }
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let tests_own = name == "BPFTRACE_TEST_BINARY" || name == "BPFTRACE_TEST_TIER";
            if (name.starts_with("BPFTRACE_") && !tests_own) || name == "NO_COLOR" {
                command.env_remove(&*name);
            }
        }
    }

    /// From start to end. An error is a fault of the harness's own doing; all others go to the report.
    fn play(
        &self,
        case: &Case,
        command: &mut Command,
        deadline: Instant,
        report: &mut Report,
    ) -> Result<Outcome, String> {
        let stdin = if case.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|e| e.to_string())?;
        let group = child.id();
        if let (Some(text), Some(mut pipe)) = (&case.stdin, child.stdin.take()) {
            let text = self.expand(text);
            thread::spawn(move || pipe.write_all(text.as_bytes()));
        }
        let (attached, is_attached) = mpsc::channel();
        let stdout = collect(child.stdout.take(), attached.clone());
        let stderr = collect(child.stderr.take(), attached);

        if let Some(workload) = &case.workload {
            match wait_attached(&is_attached, deadline) {
                Ok(()) => self.work(workload, case.stop, &mut child, deadline, report),
                Err(fault) => report.faults.push(fault),
            }
        }
        let status = wait_exit(&mut child, deadline).unwrap_or_else(|| {
            report
                .faults
                .push(format!("still running after {} s", self.setup.timeout(case.timeout).as_secs()));
            send(-group.cast_signed(), libc::SIGKILL);
            child.wait().unwrap_or_else(|_| ExitStatus::from_raw(9))
        });
        if kill_group(group) {
            report.faults.push("processes that it started are left behind".into());
        }
        Ok(Outcome {
            stdout: stdout.join().unwrap_or_default(),
            stderr: stderr.join().unwrap_or_default(),
            exit: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        })
    }

    fn work(&self, script: &str, stop: Stop, child: &mut Child, deadline: Instant, report: &mut Report) {
        let mut command = self.shell(script);
        command.current_dir(self.directory).env("BPFTRACE_PID", child.id().to_string());
        self.environment(&mut command);
        self.side_command("the workload", command, deadline, report);
        let signal = match stop {
            Stop::Int => libc::SIGINT,
            Stop::Term => libc::SIGTERM,
            Stop::Never => return,
        };
        match child.try_wait() {
            Ok(None) => send(child.id().cast_signed(), signal),
            _ => report.faults.push("it ended before it was told to (use stop = \"never\")".into()),
        }
    }

    fn check(&self, script: &str, deadline: Instant, report: &mut Report) {
        let mut command = self.shell(script);
        command.current_dir(self.directory);
        self.environment(&mut command);
        self.side_command("the check", command, deadline, report);
    }

    /// Runs a command beside bpftrace and reports it if it fails.
    fn side_command(&self, what: &str, mut command: Command, deadline: Instant, report: &mut Report) {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return report.faults.push(format!("{what} cannot start: {error}")),
        };
        let (unused, _) = mpsc::channel();
        let group = child.id();
        let stdout = collect(child.stdout.take(), unused.clone());
        let stderr = collect(child.stderr.take(), unused);
        let status = wait_exit(&mut child, deadline);
        kill_group(group);
        match status {
            Some(status) if status.success() => {}
            Some(status) => report.faults.push(format!("{what} failed: {status}")),
            None => report.faults.push(format!("{what} did not end in time")),
        }
        report.workload += &stdout.join().unwrap_or_default();
        report.workload += &stderr.join().unwrap_or_default();
    }
}

/// Reads a stream to its end, without the line that says that probes are attached.
fn collect(stream: Option<impl Read + Send + 'static>, attached: Sender<()>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = vec![];
        let Some(stream) = stream else { return String::new() };
        let mut reader = BufReader::with_capacity(1 << 16, stream);
        let mut line = vec![];
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            if line.trim_ascii_end() == ATTACHED.as_bytes() {
                // Nobody listens where the case does not wait.
                let _ = attached.send(());
            } else {
                text.extend_from_slice(&line);
            }
            line.clear();
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}

fn wait_attached(attached: &Receiver<()>, deadline: Instant) -> Result<(), String> {
    match attached.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(()) => Ok(()),
        Err(RecvTimeoutError::Disconnected) => Err("it ended before its probes were attached".into()),
        Err(RecvTimeoutError::Timeout) => Err("it did not say in time that its probes are attached".into()),
    }
}

fn wait_exit(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(pause),
            _ => return None,
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn send(pid: i32, signal: i32) {
    // SAFETY: kill(2) touches no memory of ours.
    unsafe { libc::kill(pid, signal) };
}

/// Ends what is left of a process group; whether there was anything.
fn kill_group(group: u32) -> bool {
    // An orphan that was killed a moment ago counts until init has reaped it.
    let patience = Instant::now() + Duration::from_millis(300);
    // SAFETY: as in `send`: signal 0 only asks.
    while unsafe { libc::kill(-group.cast_signed(), 0) } == 0 {
        if Instant::now() > patience {
            // SAFETY: as in `send`.
            unsafe { libc::kill(-group.cast_signed(), libc::SIGKILL) };
            return true;
        }
        thread::sleep(Duration::from_millis(2));
    }
    false
}

/// A user's ids from `/etc/passwd`.
fn ids(user: &str) -> std::io::Result<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd")?;
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|entry| entry[0] == user);
    let ids = entry.and_then(|entry| Some((entry.get(2)?.parse().ok()?, entry.get(3)?.parse().ok()?)));
    ids.ok_or_else(|| std::io::Error::other(format!("no user {user}")))
}

/// The command as it could be typed.
fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,@%+".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}
