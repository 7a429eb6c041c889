//! From what an attach point calls a program or a library to files.

use std::path::PathBuf;

use super::pattern::has_wildcard;
use super::{Host, point};
use crate::diagnostics::{Diagnostic, Span};
use crate::process::files::Places;
use crate::process::{executable, mapped_files, root, running, under};
use crate::syntax::ast::{AttachPart, AttachPoint};

/// The files that `target` means, at least one; `None` is the program of `-p` or `-c`.
pub(super) fn named(
    provider: &str,
    target: Option<&AttachPart>,
    point: &AttachPoint,
    host: &Host<'_>,
) -> Result<Vec<PathBuf>, Diagnostic> {
    let problem = |message| Diagnostic::error("unknown-program", point.span, message);
    let Some(target) = target else {
        if let Some(path) = &host.command {
            return Ok(vec![path.clone()]);
        }
        let pid = host.pid.unwrap_or(0);
        let path =
            executable(pid).map_err(|e| problem(format!("cannot find the program of process {pid}: {e}")))?;
        return Ok(vec![under(root(pid).as_deref(), &path)]);
    };
    if target.text == "*" {
        return mapped(host.pid, point.span);
    }
    let places = Places::of(host.pid);
    let found = places.find(&target.text);
    if !found.is_empty() {
        return Ok(found);
    }
    let name = &target.text;
    let message = format!("{provider} target file '{name}' does not exist or is not executable");
    let problem = Diagnostic::error("unknown-program", target.span, message);
    if let Some((path, place)) = name.split_once('@').filter(|(path, _)| !places.find(path).is_empty()) {
        return Err(
            problem.note(format!("{path} exists, but places in source files (@{place}) are not supported"))
        );
    }
    Err(point::did_you_mean(problem, name, if has_wildcard(name) { vec![] } else { places.known(name) }))
}

/// All files that a process has mapped as code, or that any process has.
pub(super) fn mapped(pid: Option<u32>, span: Span) -> Result<Vec<PathBuf>, Diagnostic> {
    let of = |pid| mapped_files(pid).map(|files| (root(pid), files));
    let all: Vec<_> = match pid {
        Some(pid) => vec![of(pid).map_err(|e| {
            Diagnostic::error("unknown-program", span, format!("cannot read what is mapped: {e}"))
        })?],
        // Processes end while this looks at them.
        None => running().filter_map(|pid| of(pid).ok()).collect(),
    };
    let mut files: Vec<PathBuf> = all
        .into_iter()
        .flat_map(|(root, files)| files.into_iter().map(move |file| under(root.as_deref(), &file)))
        .collect();
    files.sort_unstable();
    files.dedup();
    Ok(files)
}
