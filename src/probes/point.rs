//! Reading the parts of an attach point, and the messages about them.

use super::number;
use crate::diagnostics::{Diagnostic, Span};
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
    match similar(name, known).as_slice() {
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

/// Up to three of the names that are near to one, nearest first: they differ in few letters, or one is in the
/// other.
pub(super) fn similar<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> Vec<String> {
    let limit = (name.chars().count() / 3).clamp(1, 4);
    let mut near: Vec<(usize, String)> = vec![];
    for candidate in known {
        let candidate = candidate.as_ref();
        // What differs in length by more than the limit can only contain the name.
        let contains = name.len() > 3
            && (candidate.trim_start_matches('_') == name.trim_start_matches('_')
                || candidate.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '_'])));
        let distance = if contains {
            1
        } else if candidate.len().abs_diff(name.len()) <= limit {
            distance(name, candidate, limit)
        } else {
            continue;
        };
        if distance <= limit {
            near.push((distance, candidate.to_owned()));
        }
    }
    near.sort_by(|a, b| (a.0, a.1.len(), &a.1).cmp(&(b.0, b.1.len(), &b.1)));
    near.dedup();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Levenshtein's distance in bytes, given up as `limit + 1`.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.as_bytes().iter().enumerate() {
        let mut diagonal = i;
        let mut best = i + 1;
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let next = (diagonal + usize::from(from != to)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
            best = best.min(next);
        }
        if best > limit {
            return limit + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let known = ["vfs_read", "vfs_write", "vfs_readv", "__vfs_read", "vfs_readlink", "ksys_read"];
        assert_eq!(similar("vfs_raed", known), ["vfs_read"]);
        assert_eq!(similar("vfs_read", ["vfs_read.isra.0", "vfs_reads"]), ["vfs_reads", "vfs_read.isra.0"]);
        assert_eq!(similar("zzz", known), Vec::<String>::new());
    }

    #[test]
    fn distances_are_counted() {
        assert_eq!(distance("kitten", "sitting", 5), 3);
        assert_eq!(distance("", "ab", 5), 2);
        assert_eq!(distance("abcdef", "uvwxyz", 2), 3);
    }

    #[test]
    fn lists_read_as_english() {
        let names = |n: &[&str]| n.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        assert_eq!(listed(&names(&["a"])), "a");
        assert_eq!(listed(&names(&["a", "b", "c"])), "a, b or c");
    }
}
