//! The results of `test` and `bench` probes as text, in the shape that test runners know from Google's.

use std::io::Write;
use std::time::Duration;

use super::{Outcome, Trial};

const GREEN: &str = "32";
const RED: &str = "31";

/// Appends what is said about one of them, and after the last one, about all.
pub(super) fn text(out: &mut Vec<u8>, trial: &Trial<'_>) {
    // Writing to memory does not fail.
    let _ = match trial.outcome {
        Outcome::Test { took, passed, output } => test(out, trial, took, passed, output),
        Outcome::Bench { nanoseconds, runs } => bench(out, trial, nanoseconds, runs),
    };
}

fn test(
    out: &mut Vec<u8>,
    trial: &Trial<'_>,
    took: Duration,
    passed: &[bool],
    output: &[u8],
) -> std::io::Result<()> {
    let mark = |color: &str, text: &str| match trial.color {
        true => format!("\x1b[{color}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let all = trial.names.len();
    let name = trial.names.get(trial.index).copied().unwrap_or_default();
    if trial.first {
        writeln!(out, "{} Running {}.", mark(GREEN, "[==========]"), tests(all))?;
    }
    writeln!(out, "{} {name}", mark(GREEN, "[ RUN      ]"))?;
    if passed.get(trial.index) == Some(&true) {
        write!(out, "{}", mark(GREEN, "[       OK ]"))?;
    } else {
        for line in output.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        write!(out, "{}", mark(RED, "[  FAILED  ]"))?;
    }
    writeln!(out, " {name} ({})", duration(took))?;
    if trial.index + 1 < all {
        return Ok(());
    }
    writeln!(out, "{} {} ran.", mark(GREEN, "[==========]"), tests(all))?;
    let good = passed.iter().filter(|passed| **passed).count();
    writeln!(out, "{} {}.", mark(GREEN, "[  PASSED  ]"), tests(good))?;
    let bad: Vec<_> = trial.names.iter().zip(passed).filter(|(_, passed)| !**passed).collect();
    if bad.is_empty() {
        return Ok(());
    }
    writeln!(out, "{} {}, listed below:", mark(RED, "[  FAILED  ]"), tests(bad.len()))?;
    bad.iter().try_for_each(|(name, _)| writeln!(out, "{} {name}", mark(RED, "[  FAILED  ]")))
}

fn tests(count: usize) -> String {
    format!("{count} test{}", if count == 1 { "" } else { "s" })
}

/// In whole units of the largest one that fits.
fn duration(time: Duration) -> String {
    let ns = time.as_nanos();
    let (unit, name) = match ns {
        0..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "us"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    format!("{} {name}", ns / unit)
}

fn bench(out: &mut Vec<u8>, trial: &Trial<'_>, nanoseconds: u64, runs: u64) -> std::io::Result<()> {
    const RUNS: &str = "Iterations";
    let width = 1 + trial.names.iter().map(|name| name.len()).max().unwrap_or(0).max(40);
    if trial.first {
        writeln!(out, "{:width$}{:15}{RUNS}", "Benchmark", "Time(ns)")?;
        writeln!(out, "{}", "-".repeat(width + 15 + RUNS.len()))?;
    }
    let name = trial.names.get(trial.index).copied().unwrap_or_default();
    writeln!(out, "{name:width$}{nanoseconds:<15}{runs}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(names: &[&str], outcomes: &[Outcome<'_>]) -> String {
        let mut out = vec![];
        for (index, outcome) in outcomes.iter().enumerate() {
            text(&mut out, &Trial { names, index, first: index == 0, outcome: *outcome, color: false });
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn tests_are_told_one_by_one_and_then_all() {
        let took = Duration::from_nanos(1999);
        let outcomes = [
            Outcome::Test { took, passed: &[true], output: b"unseen\n" },
            Outcome::Test { took, passed: &[true, false], output: b"seen\n\nboth\n" },
        ];
        let expected = "\
[==========] Running 2 tests.
[ RUN      ] test:a
[       OK ] test:a (1 us)
[ RUN      ] test:b
seen
both
[  FAILED  ] test:b (1 us)
[==========] 2 tests ran.
[  PASSED  ] 1 test.
[  FAILED  ] 1 test, listed below:
[  FAILED  ] test:b
";
        assert_eq!(said(&["test:a", "test:b"], &outcomes), expected);
    }

    #[test]
    fn benchmarks_are_a_table() {
        let text = said(&["bench:a"], &[Outcome::Bench { nanoseconds: 12, runs: 100_000 }]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("{:41}{:15}Iterations", "Benchmark", "Time(ns)"));
        assert_eq!(lines[1], "-".repeat(66));
        assert_eq!(lines[2], format!("{:41}{:15}100000", "bench:a", "12"));
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        let text = |ns| duration(Duration::from_nanos(ns));
        assert_eq!(
            [text(999), text(1_000), text(2_500_000), text(3_000_000_000)],
            ["999 ns", "1 us", "2 ms", "3 s"]
        );
    }
}
