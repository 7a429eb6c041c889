//! How long large maps take to print when tracing ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use super::{Done, Result, Tracer, call, median};

const KEYS: u32 = 100_000;
const STACKS: u32 = 10_000;
const ROUNDS: usize = 3;
/// Whoever has not printed everything by then is not waited for.
const LIMIT: Duration = Duration::from_secs(20);
/// What makes the different stacks: see there.
const PROGRAM: &str = include_str!("stacks.c");

/// What fills the map.
#[derive(Clone, Copy)]
enum Work {
    Calls(u32),
    Stacks(u32),
}

const ONE_KEY: (&str, &str, Work) = ("one key", "@[1] = count();", Work::Calls(1));
const MAPS: [(&str, &str, Work); 2] = [
    ("100,000 keys", "@[nsecs] = count();", Work::Calls(KEYS)),
    ("10,000 user stacks", "@[ustack] = count();", Work::Stacks(STACKS)),
];

/// Milliseconds of time and of CPU from the signal to the end.
type Cost = [f64; 2];

pub fn maps(out: &mut String, ours: &Path, other: Option<&Path>) -> Result<()> {
    *out += "\n## Printing maps\n\nFrom the signal that ends tracing to the end of the process, beyond what a map of one ";
    *out += "key takes.\n\n";
    *out += "| map | wall ms | CPU ms | other wall | other CPU | ratios |\n| --- | --- | --- | --- | --- | --- |\n";
    let program = compile()?;
    let mut measured = [vec![], vec![]];
    for (side, path) in [Some(ours), other].into_iter().enumerate() {
        let Some(path) = path else { continue };
        let base = cost(path, ONE_KEY, &program)?.ok_or("one key took too long")?;
        for map in MAPS {
            let cost = cost(path, map, &program)?;
            let beyond = |n: usize| cost.map(|cost| (cost[n] - base[n]).max(0.5));
            measured[side].push([beyond(0), beyond(1)]);
        }
    }
    for (n, (name, ..)) in MAPS.into_iter().enumerate() {
        let [mine, theirs] = [0, 1].map(|side: usize| measured[side].get(n).copied());
        let limit = LIMIT.as_secs_f64() * 1e3;
        let text = |ms: Option<f64>| ms.map_or(format!("over {limit:.0}"), |ms| format!("{ms:.0}"));
        let mine = mine.ok_or("a map was not measured")?;
        *out += &format!("| {name} | {} | {} ", text(mine[0]), text(mine[1]));
        let Some(theirs) = theirs else {
            *out += "| | | |\n";
            continue;
        };
        let ratio = |n: usize| match (mine[n], theirs[n]) {
            (Some(mine), Some(theirs)) => format!("{:.2}", mine / theirs),
            (Some(mine), None) => format!("below {:.3}", mine / limit),
            (None, _) => "?".into(),
        };
        *out += &format!("| {} | {} | {}, {} |\n", text(theirs[0]), text(theirs[1]), ratio(0), ratio(1));
    }
    fs::remove_file(program)?;
    Ok(())
}

/// The median of some runs; `None` if one took too long.
fn cost(path: &Path, (_, body, work): (&str, &str, Work), program: &Path) -> Result<Option<Cost>> {
    // The second name is that of older versions.
    let keys = ["BPFTRACE_MAX_MAP_KEYS", "BPFTRACE_MAP_KEYS_MAX"].map(|name| (name, (2 * KEYS).to_string()));
    let script = format!("tracepoint:syscalls:sys_enter_getppid {{ {body} }}");
    let mut runs = vec![];
    for _ in 0..ROUNDS {
        let tracer = Tracer::start(path, &script, &keys)?;
        let child = match work {
            Work::Calls(times) => {
                call(times);
                None
            }
            Work::Stacks(count) => Some(run(program, count)?),
        };
        let before = cpu_ms(tracer.child.id())?;
        let start = Instant::now();
        let done = tracer.stop_within(LIMIT)?;
        let wall = start.elapsed().as_secs_f64() * 1e3;
        if let Some(mut child) = child {
            // It ends when its input does.
            drop(child.stdin.take());
            child.wait()?;
        }
        match done {
            Some(Done { cpu_ms, .. }) => runs.push([wall, cpu_ms - before]),
            None => return Ok(None),
        }
    }
    Ok(Some([0, 1].map(|n: usize| median(runs.iter().map(|run| run[n])))))
}

/// What a process has used so far. `/proc/PID/stat` would count in hundredths of a second.
fn cpu_ms(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let nanoseconds: f64 = text.split_whitespace().next().ok_or("an empty schedstat")?.parse()?;
    Ok(nanoseconds / 1e6)
}

/// The program that makes stacks, with the frame pointers that the kernel finds them by.
fn compile() -> Result<PathBuf> {
    let (source, program) = (temporary("c"), temporary("bin"));
    fs::write(&source, PROGRAM)?;
    let options = ["-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-o"];
    let done = Command::new("cc").args(options).arg(&program).arg(&source).status()?;
    fs::remove_file(source)?;
    if done.success() { Ok(program) } else { Err("cc does not compile benches/compare/stacks.c".into()) }
}

fn temporary(kind: &str) -> PathBuf {
    env::temp_dir().join(format!("bpftrace-bench-{}.{kind}", std::process::id()))
}

/// Runs it until all its calls have been made.
fn run(program: &Path, count: u32) -> Result<Child> {
    let mut command = Command::new(program);
    let mut child = command.arg(count.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
    if line == "done\n" { Ok(child) } else { Err("the program that makes stacks has failed".into()) }
}
