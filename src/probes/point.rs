//! Reading the parts of an attach point, and the messages about them.

use super::number;
use crate::diagnostics::{Diagnostic, Span, suggest};
use crate::syntax::ast::{AttachPart, AttachPoint};

/// The code of errors about attach points that do not exist, which `missing_probes` may lower.
pub(super) const MISSING: &str = "missing-probe";

/// The parts after the provider's name, if there are as many as it takes. `usage` shows how it is written.
pub(super) fn parts<'a>(
    point: &'a AttachPoint,
    counts: std::ops::RangeInclusive<usize>,
    usage: &str,
) -> Result<&'a [AttachPart], Diagnostic> {
    let parts = point.parts.get(1..).unwrap_or_default();
    if counts.contains(&parts.len()) {
        return Ok(parts);
    }
    let takes = match (*counts.start(), *counts.end()) {
        (0, 0) => "nothing after its name".to_owned(),
        (1, 1) => "1 argument".to_owned(),
        (low, high) if low == high => format!("{low} arguments"),
        (low, high) => format!("{low} or {high} arguments"),
    };
    let provider = point.parts.first().map_or("", |p| p.text.as_str());
    let message = format!("{provider} takes {takes}, this has {}", parts.len());
    Err(Diagnostic::error("attach-point-arguments", point.span, message)
        .help(format!("it is written {usage}")))
}

/// A number, as the language writes them.
pub(super) fn number(part: &AttachPart, what: &str) -> Result<u64, Diagnostic> {
    number::parse(&part.text).map_err(|why| {
        Diagnostic::error(
            "attach-point-number",
            part.span,
            format!("invalid {what} \"{}\": {why}", part.text),
        )
    })
}

/// What is not there. The wording up to the first note is what tools that wrap bpftrace look for.
pub(super) fn missing(provider: &str, what: &str, span: Span) -> Diagnostic {
    Diagnostic::error(MISSING, span, format!("No matches for {provider} {what}."))
        .help("to go on without it, set missing_probes to \"warn\" or \"ignore\" in the config block")
}

/// A function, file or symbol name split from `+offset`.
pub(super) fn with_offset<'a>(part: &'a AttachPart, allowed: bool) -> Result<(&'a str, u64), Diagnostic> {
    let Some((name, offset)) = part.text.split_once('+') else { return Ok((&part.text, 0)) };
    if !allowed {
        let message = "a return probe cannot be at an offset: it fires when the function returns";
        return Err(
            Diagnostic::error("attach-point-offset", part.span, message).help(format!("leave out +{offset}"))
        );
    }
    let value = number::parse(offset).map_err(|why| {
        Diagnostic::error("attach-point-number", part.span, format!("invalid offset \"{offset}\": {why}"))
    })?;
    Ok((name, value))
}

/// Adds the names nearest to one that is not there.
pub(super) fn did_you_mean<S: AsRef<str>>(
    problem: Diagnostic,
    name: &str,
    known: impl IntoIterator<Item = S>,
) -> Diagnostic {
    match suggest::closest(name, known).as_slice() {
        [] => problem,
        names => problem.help(format!("did you mean {}?", listed(names))),
    }
}

/// `a`, `a or b`, `a, b or c`
pub(super) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_english() {
        let names = |n: &[&str]| n.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        assert_eq!(listed(&names(&["a"])), "a");
        assert_eq!(listed(&names(&["a", "b", "c"])), "a, b or c");
    }
}
