//! Positional parameters in attach points: `kprobe:$1`.

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::syntax::ast::{AttachPart, Script};

/// Puts the values of `$1`, `$2`, … into the attach points.
pub fn fill_in(script: &mut Script, positional: &[String]) -> Diagnostics {
    let mut problems = Diagnostics::default();
    for point in script.probes.iter_mut().flat_map(|probe| &mut probe.attach_points) {
        for part in point.parts.iter_mut().filter(|part| part.text.contains('$')) {
            match filled_in(part, positional) {
                Ok(text) => part.text = text,
                Err(problem) => problems.push(problem),
            }
        }
    }
    problems
}

fn filled_in(part: &AttachPart, positional: &[String]) -> Result<String, Diagnostic> {
    let mut text = String::with_capacity(part.text.len());
    let mut rest = part.text.as_str();
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            // Symbols may contain it.
            text.push('$');
        } else {
            let value = after[..digits].parse::<usize>().ok().and_then(|n| positional.get(n.checked_sub(1)?));
            let value = value.ok_or_else(|| {
                Diagnostic::error(
                    "missing-parameter",
                    part.span,
                    format!("the parameter ${} was not given", &after[..digits]),
                )
                .help("parameters follow the script, or the program of -e: bpftrace script.bt FIRST SECOND")
            })?;
            text.push_str(value);
        }
        rest = &after[digits..];
    }
    text.push_str(rest);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::FileId;

    fn points(text: &str, positional: &[&str]) -> Result<Vec<String>, String> {
        let (mut script, problems) = crate::syntax::parse(text, FileId::default());
        assert!(problems.is_empty(), "{problems:?}");
        let positional: Vec<String> = positional.iter().map(|p| (*p).to_owned()).collect();
        if let Some(problem) = fill_in(&mut script, &positional).iter().next() {
            return Err(problem.message.clone());
        }
        let points = script.probes.iter().flat_map(|p| &p.attach_points);
        Ok(points.map(|p| p.parts.iter().map(|p| p.text.as_str()).collect::<Vec<_>>().join(":")).collect())
    }

    #[test]
    fn parameters_become_parts() {
        assert_eq!(points("uprobe:$2:$1_x { }", &["f", "/bin/sh"]).unwrap(), ["uprobe:/bin/sh:f_x"]);
        assert_eq!(points("interval:s:$1 { }", &["5"]).unwrap(), ["interval:s:5"]);
        assert_eq!(points("kprobe:$3 { }", &["a"]).unwrap_err(), "the parameter $3 was not given");
    }
}
