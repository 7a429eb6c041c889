//! Compares what came out with what a case expects.

use regex::RegexBuilder;

use super::case::Case;

/// What a run left.
pub struct Outcome {
    pub stdout: String,
    pub stderr: String,
    /// The exit code, or 128 and the signal, as a shell tells it.
    pub exit: i32,
}

/// Every way in which the outcome is not what the case says; empty if it is. `expand` fills in the placeholders.
pub fn faults(case: &Case, outcome: &Outcome, expand: &dyn Fn(&str) -> String) -> Vec<String> {
    let mut faults = vec![];
    if outcome.exit != case.exit {
        faults.push(format!("the exit code is {}, not {}", outcome.exit, case.exit));
    }
    let streams = [
        ("stdout", &outcome.stdout, &case.stdout, &case.stdout_has, &case.stdout_lacks),
        ("stderr", &outcome.stderr, &case.stderr, &case.stderr_has, &case.stderr_lacks),
    ];
    for (stream, text, whole, has, lacks) in streams {
        if let Some(whole) = whole {
            let whole = expand(whole);
            if text.trim_matches('\n') != whole.trim_matches('\n') {
                faults.push(format!("{stream} is not exactly\n{}", indent(&whole)));
            }
        }
        for pattern in has {
            match matches(&expand(pattern), text) {
                Ok(true) => {}
                Ok(false) => faults.push(format!("{stream} has nothing like  {pattern}")),
                Err(fault) => faults.push(fault),
            }
        }
        for pattern in lacks {
            match matches(&expand(pattern), text) {
                Ok(false) => {}
                Ok(true) => faults.push(format!("{stream} has something like  {pattern}")),
                Err(fault) => faults.push(fault),
            }
        }
    }
    // A case that does not speak of stderr expects nothing to go wrong.
    let silent = case.stderr.is_none() && case.stderr_has.is_empty();
    for word in ["panicked at", "ERROR", "WARNING"] {
        if outcome.stderr.contains(word) && (silent || word == "panicked at") {
            faults.push(format!("stderr has {word}"));
        }
    }
    faults
}

/// `^` and `$` stand for the ends of a line, `\A` and `\z` for those of the text.
fn matches(pattern: &str, text: &str) -> Result<bool, String> {
    let regex = RegexBuilder::new(pattern).multi_line(true).build().map_err(|e| e.to_string())?;
    Ok(regex.is_match(text))
}

pub fn indent(text: &str) -> String {
    if text.is_empty() {
        return "    (nothing)".into();
    }
    let mut lines: Vec<String> = text.lines().map(|line| format!("    {line}")).collect();
    if !text.ends_with('\n') {
        lines.push("    (no newline at the end)".into());
    }
    lines.join("\n")
}
