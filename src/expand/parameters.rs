//! `$1`, `$2`, … in attach points. Those in expressions have types, which the check gives them.

use crate::diagnostics::{Diagnostic, Diagnostics, Span};
use crate::syntax::ast::{AttachPart, AttachPoint, Script};

pub fn apply(script: &mut Script, positional: &[String], diagnostics: &mut Diagnostics) {
    for point in script.probes.iter_mut().flat_map(|probe| &mut probe.attach_points) {
        if !point.parts.iter().any(|part| !part.quoted && part.text.contains('$')) {
            continue;
        }
        match substitute(point, positional) {
            Ok(parts) => point.parts = parts,
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
}

/// The parts with their parameters in place. A parameter may itself have several parts: `/bin/bash:readline`.
fn substitute(point: &AttachPoint, positional: &[String]) -> Result<Vec<AttachPart>, Diagnostic> {
    let mut parts = vec![];
    for part in &point.parts {
        if part.quoted || !part.text.contains('$') {
            parts.push(part.clone());
            continue;
        }
        let mut text = String::new();
        let mut rest = part.text.as_str();
        while let Some(at) = rest.find('$') {
            text.push_str(&rest[..at]);
            let digits = rest[at + 1..].chars().take_while(char::is_ascii_digit).count();
            let end = at + 1 + digits;
            let place = place(part, part.text.len() - rest.len() + at, digits + 1);
            text.push_str(value(&rest[at + 1..end], positional, place)?);
            rest = &rest[end..];
        }
        text.push_str(rest);
        parts.extend(text.split(':').map(|text| AttachPart { text: text.into(), ..part.clone() }));
    }
    Ok(parts)
}

/// The bytes of the source that have the parameter, or the whole part if it is not as it was written.
fn place(part: &AttachPart, at: usize, length: usize) -> Span {
    if part.text.len() != (part.span.end - part.span.start) as usize {
        return part.span;
    }
    let start = part.span.start as usize + at;
    Span::new(part.span.file, start, start + length)
}

fn value<'p>(digits: &str, positional: &'p [String], place: Span) -> Result<&'p str, Diagnostic> {
    let error = |message: String| Diagnostic::error("bad-parameter", place, message);
    if digits.is_empty() || digits.starts_with('0') {
        return Err(error("in an attach point, `$` begins a parameter of the script: `$1`, `$2`, …".into())
            .help("if it belongs to a name, put that part in quotes"));
    }
    let given = digits.parse::<usize>().ok().and_then(|n| positional.get(n - 1));
    given.map(String::as_str).ok_or_else(|| {
        let count = match positional.len() {
            0 => "none was given".to_owned(),
            1 => "only one was given".to_owned(),
            n => format!("only {n} were given"),
        };
        error(format!("the probe needs parameter ${digits} of the script, but {count}"))
            .help("parameters follow the script on the command line: bpftrace script.bt parameter …")
    })
}
