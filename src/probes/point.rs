//! Reading the parts of an attach point, and the messages about them.

use crate::diagnostics::{Diagnostic, Span, suggest};
use crate::pattern::has_wildcard;
use crate::syntax::ast::{AttachPart, AttachPoint};
use crate::syntax::literal;

/// The code of errors about attach points that do not exist, which `missing_probes` may lower.
pub(super) const MISSING: &str = "missing-probe";
/// The code of errors about patterns that match nothing, which is fine as long as another attach point is there.
pub(super) const NO_MATCH: &str = "no-match";
/// What holds the place is not there, which `missing_probes` may lower as well.
pub(super) const NO_PROGRAM: &str = "unknown-program";
pub(super) const NO_MODULE: &str = "unknown-module";
pub(super) const NO_LINE: &str = "unknown-line";

/// `[module:]name` of a listing, whatever else there is; nothing written means every name.
pub(super) fn module_and_name(point: &AttachPoint) -> (Option<&str>, &str) {
    match point.parts.get(1..).unwrap_or_default() {
        [] => (None, "*"),
        [name] => (None, name.text.as_str()),
        [module, name, ..] => (Some(module.text.as_str()), name.text.as_str()),
    }
}

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
pub(super) fn number(part: &AttachPart) -> Result<u64, Diagnostic> {
    read(&part.text, part)
}

fn read(text: &str, part: &AttachPart) -> Result<u64, Diagnostic> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Diagnostic::error("bad-number", part.span, format!("\"{text}\" is not a number")));
    }
    literal::int(text).map_err(|why| why.diagnostic(part.span))
}

/// What is not there. The wording up to the first note is what tools that wrap bpftrace look for.
pub(super) fn missing(provider: &str, what: &str, span: Span) -> Diagnostic {
    let code = if has_wildcard(what) { NO_MATCH } else { MISSING };
    Diagnostic::error(code, span, format!("No matches for {provider} {what}."))
        .help("to go on without it, set missing_probes to \"warn\" or \"ignore\" in the config block")
}

/// A function's name, split from the offset in `name+0x10`. In quotes a `+` may be the name's own.
pub(super) fn with_offset(part: &AttachPart, return_probe: bool) -> Result<(&str, u64), Diagnostic> {
    let Some((name, offset)) = part.text.rsplit_once('+') else { return Ok((&part.text, 0)) };
    let digit = offset.trim_start().starts_with(|c: char| c.is_ascii_digit());
    if part.quoted && !digit {
        return Ok((&part.text, 0));
    }
    let value = read(offset.trim(), part)?;
    if return_probe && value != 0 {
        let message = "a return probe cannot be at an offset: it fires when the function returns";
        return Err(
            Diagnostic::error("attach-point-offset", part.span, message).help(format!("leave out +{offset}"))
        );
    }
    Ok((name, value))
}

/// Adds the names nearest to one that is not there.
pub(super) fn did_you_mean<S: AsRef<str>>(
    problem: Diagnostic,
    name: &str,
    known: impl IntoIterator<Item = S>,
) -> Diagnostic {
    match suggest::did_you_mean(name, known) {
        Some(help) => problem.help(help),
        None => problem,
    }
}
