//! Actions measured with `--bench`: the kernel runs each program many times in a row, without a probe. This is steadier
//! than calls that are traced, and what to compare with where the other bpftrace has it, too.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{ACTIONS, Result, median};

const ROUNDS: usize = 7;

pub fn actions(out: &mut String, ours: &Path, other: Option<&Path>) -> Result<()> {
    *out += "\n## Time per run\n\nNanoseconds of the same actions by `--bench`, where the kernel runs a program without a ";
    *out += "probe; what running an empty one takes is in each.\n\n";
    *out += "| action | ns | least and most | other ns | ratio |\n| --- | --- | --- | --- | --- |\n";
    // Each has maps of its own: a map with keys and one without have no name in common.
    let probe = |(n, (_, body)): (usize, &(&str, &str))| {
        format!("bench:action{n} {{ {} }}\n", body.replace('@', &format!("@m{n}_")))
    };
    let script: String = ACTIONS.iter().enumerate().map(probe).collect();
    let (mut mine, mut theirs) = (Runs::new(), Runs::new());
    let mut other = other;
    for _ in 0..ROUNDS {
        measure(ours, &script, &mut mine)?;
        // Older ones have no `--bench`.
        other = other.filter(|path| measure(path, &script, &mut theirs).is_ok() && !theirs.is_empty());
    }
    for (n, (name, _)) in ACTIONS.iter().enumerate() {
        let of = |runs: &Runs| runs.get(&format!("action{n}")).cloned().unwrap_or_default();
        let (own, others) = (of(&mine), of(&theirs));
        let (ns, least, most) = (
            median(own.iter().copied()),
            own.iter().copied().fold(f64::INFINITY, f64::min),
            own.iter().copied().fold(0.0, f64::max),
        );
        *out += &format!("| {name} | {ns:.0} | {least:.0} to {most:.0} ");
        let others = median(others.iter().copied());
        *out += &match others.is_nan() {
            true => "| | |\n".to_owned(),
            false => format!("| {others:.0} | {:.2} |\n", ns / others),
        };
    }
    Ok(())
}

/// By probe, what each run said.
type Runs = HashMap<String, Vec<f64>>;

/// Adds what one run says: a line for each probe, with its name, nanoseconds and how often it ran.
fn measure(bpftrace: &Path, script: &str, runs: &mut Runs) -> Result<()> {
    let done = Command::new(bpftrace).args(["--bench", "-e", script]).stderr(Stdio::null()).output()?;
    if !done.status.success() {
        return Err(format!("{} --bench: {}", bpftrace.display(), done.status).into());
    }
    for line in String::from_utf8_lossy(&done.stdout).lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(Ok(ns)), Some(_), None) =
            (words.next(), words.next().map(str::parse), words.next(), words.next())
        {
            let name = name.rsplit(':').next().unwrap_or(name);
            runs.entry(name.to_owned()).or_default().push(ns);
        }
    }
    Ok(())
}
