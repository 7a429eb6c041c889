//! What tracing costs, next to another bpftrace when one is installed: start-up, time per hit of the common actions,
//! printed events and printed maps. Both binaries take turns on the same work, so that the ratios hold on a noisy machine.
//!
//! `make bench` runs it as root and writes `docs/benchmarks.md`. By hand: `cargo bench --bench compare [-- OUT]`.
//! The other binary is `/usr/bin/bpftrace`, or what `BENCH_OTHER` names.

#[path = "compare/printing.rs"]
mod printing;
#[path = "compare/trials.rs"]
mod trials;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, fs, io, mem};

/// How often each start-up is measured.
const STARTS: usize = 15;
/// How often each action's cost is measured.
const ROUNDS: usize = 5;
/// System calls in one measurement.
const CALLS: u32 = 300_000;
/// System calls that print a line each.
const LINES: u32 = 1_000_000;

/// A whole script, run to its end.
const STARTUPS: [(&str, &str); 3] = [
    ("hello world", r#"BEGIN { printf("hello world\n"); exit(); }"#),
    ("one tracepoint", "tracepoint:raw_syscalls:sys_enter { @[comm] = count(); } BEGIN { exit(); }"),
    ("ten probes", TEN_PROBES),
];

const TEN_PROBES: &str = r#"
tracepoint:syscalls:sys_enter_read { @start[tid] = nsecs; }
tracepoint:syscalls:sys_exit_read /@start[tid]/ { @ns = hist(nsecs - @start[tid]); delete(@start[tid]); }
tracepoint:syscalls:sys_enter_openat { printf("%s %s\n", comm, str(args->filename)); }
tracepoint:syscalls:sys_exit_openat /args->ret < 0/ { @failed[comm] = count(); }
tracepoint:syscalls:sys_enter_write { @bytes = lhist(args->count, 0, 4096, 256); }
tracepoint:sched:sched_switch { @switches[cpu] = count(); }
tracepoint:sched:sched_process_exit { @exits = count(); }
software:page-faults:100 { @faults[comm] = count(); }
interval:s:10 { print(@switches); }
BEGIN { exit(); }
"#;

/// The body of a probe that fires once a call. The first is what the others are compared with.
const ACTIONS: [(&str, &str); 12] = [
    ("(empty probe)", "$x = 1;"),
    ("count()", "@ = count();"),
    ("keyed count()", "@[tid] = count();"),
    ("sum(n)", "@ = sum(cpu);"),
    ("++", "@++;"),
    ("hist(n)", "@ = hist(tid);"),
    ("keyed hist(n)", "@[tid] = hist(tid);"),
    ("lhist(n)", "@ = lhist(tid % 1000, 0, 1000, 10);"),
    ("start and delete", "@s[tid] = nsecs; delete(@s[tid]);"),
    ("str(p)", "$s = str(curtask, 16); if ($s == \"x\") { @++; }"),
    ("comm == literal", r#"if (comm == "a_process_name") { @++; }"#),
    ("printf", r#"printf("%d %s\n", pid, comm);"#),
];

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    // `cargo bench` passes `--bench`; a path is where the report goes.
    let report = env::args().skip(1).find(|a| !a.starts_with('-'));
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_bpftrace"));
    let other = env::var_os("BENCH_OTHER").map_or_else(|| "/usr/bin/bpftrace".into(), PathBuf::from);
    let other = other.exists().then_some(other);
    let mut out = String::new();
    heading(&mut out, &ours, other.as_deref())?;
    startups(&mut out, &ours, other.as_deref())?;
    actions(&mut out, &ours, other.as_deref())?;
    trials::actions(&mut out, &ours, other.as_deref())?;
    lines(&mut out, &ours, other.as_deref())?;
    printing::maps(&mut out, &ours, other.as_deref())?;
    print!("{out}");
    if let Some(path) = report {
        fs::write(path, out)?;
    }
    Ok(())
}

fn heading(out: &mut String, ours: &Path, other: Option<&Path>) -> Result<()> {
    let version = |path: &Path| -> Result<String> {
        let text = Command::new(path).arg("--version").output()?.stdout;
        Ok(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned())
    };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cpus = std::thread::available_parallelism()?;
    *out += "# Benchmarks\n\nWritten by `make bench`; run it to get your own machine's numbers. ";
    *out += "Columns show medians; a ratio is this program's median through the other's, ";
    *out += "below 1 where this one is the better.\n\n";
    *out += &format!("- kernel {}, {cpus} CPUs\n- this program: {}\n", release.trim(), version(ours)?);
    match other {
        Some(path) => *out += &format!("- the other: {} ({})\n", version(path)?, path.display()),
        None => *out += "- no other bpftrace is installed, so there is nothing to compare with\n",
    }
    Ok(())
}

/// What one run took.
#[derive(Clone, Copy)]
struct Usage {
    wall_ms: f64,
    cpu_ms: f64,
    user_ms: f64,
    peak_mb: f64,
}

fn startups(out: &mut String, ours: &Path, other: Option<&Path>) -> Result<()> {
    *out += "\n## Start-up\n\nFrom the start of the process to its end, of scripts that exit at once.\n\n";
    *out += "| script | wall ms | CPU ms | peak MB | other wall | other CPU | other peak | ratios |\n";
    *out += "| --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for (name, script) in STARTUPS {
        let (mut mine, mut theirs) = (vec![], vec![]);
        run_once(ours, script)?;
        for _ in 0..STARTS {
            mine.push(run_once(ours, script)?);
            if let Some(other) = other {
                theirs.push(run_once(other, script)?);
            }
        }
        let cells = |runs: &[Usage]| {
            [(|u: &Usage| u.wall_ms) as fn(&Usage) -> f64, |u| u.cpu_ms, |u| u.peak_mb]
                .map(|field| median(runs.iter().map(field)))
        };
        let (a, b) = (cells(&mine), cells(&theirs));
        *out += &format!("| {name} | {:.1} | {:.1} | {:.1} ", a[0], a[1], a[2]);
        *out += &match other {
            Some(_) => format!(
                "| {:.1} | {:.1} | {:.1} | {:.2}, {:.2}, {:.2} |\n",
                b[0],
                b[1],
                b[2],
                a[0] / b[0],
                a[1] / b[1],
                a[2] / b[2]
            ),
            None => "| | | | |\n".into(),
        };
    }
    Ok(())
}

fn run_once(bpftrace: &Path, script: &str) -> Result<Usage> {
    let start = Instant::now();
    let child =
        Command::new(bpftrace).args(["-e", script]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let usage = wait(child)?;
    Ok(Usage { wall_ms: start.elapsed().as_secs_f64() * 1e3, ..usage })
}

/// Waits for a child and reads what it used.
fn wait(child: Child) -> io::Result<Usage> {
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid value of a plain C struct.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: both pointers are to live local variables; the pid is of a child that nobody has waited for.
    if unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage) } < 0 {
        return Err(io::Error::last_os_error());
    }
    if !libc::WIFEXITED(status) || libc::WEXITSTATUS(status) != 0 {
        return Err(io::Error::other(format!("the traced run failed with status {status:#x}")));
    }
    let ms = |t: libc::timeval| t.tv_sec as f64 * 1e3 + t.tv_usec as f64 / 1e3;
    let (user_ms, system_ms) = (ms(usage.ru_utime), ms(usage.ru_stime));
    Ok(Usage { wall_ms: 0.0, cpu_ms: user_ms + system_ms, user_ms, peak_mb: usage.ru_maxrss as f64 / 1024.0 })
}

fn actions(out: &mut String, ours: &Path, other: Option<&Path>) -> Result<()> {
    *out += "\n## Time per hit\n\nNanoseconds of CPU that a probe on a system call (`tracepoint:syscalls:sys_enter_getppid`) ";
    *out += "adds to each call beyond what the empty probe adds. Below some ten nanoseconds this is noise, and so are ";
    *out += "ratios with such a number.\n\n";
    *out += "| action | ns | other ns | ratio |\n| --- | --- | --- | --- |\n";
    let untraced = (0..ROUNDS).map(|_| time_calls()).fold(f64::INFINITY, f64::min);
    let (mut base, mut other_base) = (0.0, 0.0);
    for (name, body) in ACTIONS {
        let mine = per_call(ours, body)?;
        let theirs = other.map(|path| per_call(path, body)).transpose()?;
        if base == 0.0 {
            (base, other_base) = (mine, theirs.unwrap_or_default());
            let theirs = theirs.map_or(String::new(), |t| format!("{:.0}", t - untraced));
            *out += &format!("| {name}, beyond no probe | {:.0} | {theirs} | |\n", mine - untraced);
            continue;
        }
        let mine = (mine - base).max(0.5);
        *out += &match theirs.map(|t| (t - other_base).max(0.5)) {
            Some(theirs) => format!("| {name} | {mine:.0} | {theirs:.0} | {:.2} |\n", mine / theirs),
            None => format!("| {name} | {mine:.0} | | |\n"),
        };
    }
    Ok(())
}

/// Nanoseconds of a traced system call: the quickest of some rounds, since noise only ever adds.
fn per_call(bpftrace: &Path, body: &str) -> Result<f64> {
    let tracer =
        Tracer::start(bpftrace, &format!("tracepoint:syscalls:sys_enter_getppid {{ {body} }}"), &[])?;
    let best = (0..ROUNDS).map(|_| time_calls()).fold(f64::INFINITY, f64::min);
    tracer.stop()?;
    Ok(best)
}

/// Of the CPU, so that it does not matter who else is there.
fn time_calls() -> f64 {
    let start = cpu_time();
    call(CALLS);
    (cpu_time() - start) / f64::from(CALLS)
}

/// What this thread has taken so far, in nanoseconds.
fn cpu_time() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The traced work: the cheapest system call there is.
fn call(times: u32) {
    for _ in 0..times {
        // SAFETY: takes no arguments and touches no memory. libc's own getppid may not enter the kernel.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
}

fn lines(out: &mut String, ours: &Path, other: Option<&Path>) -> Result<()> {
    *out += "\n## Printed events\n\nOne million system calls with a `printf` each.\n\n";
    *out += "| program | lines printed | reported lost | calls per second | user CPU per line |\n";
    *out += "| --- | --- | --- | --- | --- |\n";
    for (name, path) in [("this program", Some(ours)), ("the other", other)] {
        let Some(path) = path else { continue };
        let script = r#"tracepoint:syscalls:sys_enter_getppid { printf("%d %s\n", pid, comm); }"#;
        let tracer = Tracer::start(path, script, &[])?;
        let start = Instant::now();
        call(LINES);
        let seconds = start.elapsed().as_secs_f64();
        let done = tracer.stop()?;
        *out += &format!(
            "| {name} | {} | {} | {:.0} | {:.2} µs |\n",
            done.lines,
            done.lost,
            f64::from(LINES) / seconds,
            done.user_us / done.lines.max(1) as f64
        );
    }
    Ok(())
}

/// A tracer whose probes are attached.
struct Tracer {
    child: Child,
    reader: std::thread::JoinHandle<io::Result<u64>>,
    errors: std::thread::JoinHandle<String>,
}

/// What a tracer has to show at its end.
struct Done {
    lines: u64,
    lost: u64,
    user_us: f64,
    cpu_ms: f64,
}

impl Tracer {
    fn start(bpftrace: &Path, script: &str, environment: &[(&str, String)]) -> Result<Tracer> {
        let mut child = Command::new(bpftrace)
            .args(["-B", "full", "-e", script])
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let mut stderr = child.stderr.take().ok_or("no stderr")?;
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            // What was read before a fault is still worth showing.
            let _ = stderr.read_to_string(&mut text);
            text
        });
        // Neither program says in a way that both share when it has attached; both do well within this time.
        std::thread::sleep(Duration::from_millis(1500));
        if let Some(status) = child.try_wait()? {
            let text = errors.join().unwrap_or_default();
            return Err(format!("{} ended at once ({status}): {text}", bpftrace.display()).into());
        }
        Ok(Tracer { child, reader: std::thread::spawn(move || count_lines(stdout)), errors })
    }

    /// [`Tracer::stop`], unless it takes too long: then it is killed.
    fn stop_within(self, limit: Duration) -> Result<Option<Done>> {
        let (ended, end) = mpsc::channel::<()>();
        let pid = self.child.id() as libc::pid_t;
        let watch = std::thread::spawn(move || {
            let late = end.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
            if late {
                // SAFETY: it has not been waited for, since whoever does so then tells us.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            late
        });
        let done = self.stop();
        drop(ended);
        let late = watch.join().map_err(|_| "the watching thread panicked")?;
        if late { Ok(None) } else { done.map(Some) }
    }

    fn stop(self) -> Result<Done> {
        // SAFETY: signals a child that has not been waited for.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGINT) };
        let lines = self.reader.join().map_err(|_| "the reader panicked")??;
        let text = self.errors.join().unwrap_or_default();
        let usage = wait(self.child)?;
        let lost = text.lines().filter_map(lost_in).sum();
        Ok(Done { lines, lost, user_us: usage.user_ms * 1e3, cpu_ms: usage.cpu_ms })
    }
}

/// `Lost 12 events`, in whatever sentence.
fn lost_in(line: &str) -> Option<u64> {
    let rest = &line[line.to_ascii_lowercase().find("lost ")? + 5..];
    rest.split_whitespace().next()?.parse().ok()
}

/// Lines that the probe on the system call printed.
fn count_lines(stdout: ChildStdout) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 20, stdout);
    let (mut line, mut lines) = (vec![], 0);
    while reader.read_until(b'\n', &mut line)? > 0 {
        // Each begins with a pid; headings and blank lines do not.
        lines += u64::from(line.first().is_some_and(u8::is_ascii_digit));
        line.clear();
    }
    Ok(lines)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
