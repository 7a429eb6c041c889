//! From what an attach point calls a program or a library to files.

use std::path::PathBuf;

use super::{Host, point};
use crate::diagnostics::{Diagnostic, Span, suggest};
use crate::pattern::has_wildcard;
use crate::process::archive::{self, ArchiveError};
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
    let problem = |message| Diagnostic::error(point::NO_PROGRAM, point.span, message);
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
    let name = &target.text;
    let message = format!("{provider} target file '{name}' does not exist or is not executable");
    let problem = Diagnostic::error(point::NO_PROGRAM, target.span, message);
    if let ([only], false) = (found.as_slice(), has_wildcard(name))
        && let Some(error) = archive::error(only)
    {
        return Err(in_archive(&error, problem));
    }
    if !found.is_empty() {
        return Ok(found);
    }
    if let Some((path, place)) = name.split_once('@').filter(|(path, _)| !places.find(path).is_empty()) {
        return Err(match provider {
            "uprobe" => problem
                .note(format!("{path} exists, but \"{place}\" does not look like a source file"))
                .help("a source line is written PROGRAM@FILE.c:LINE"),
            _ => problem.note(format!("{path} exists, but only uprobe takes source lines (@{place})")),
        });
    }
    if has_wildcard(name) {
        return Err(problem);
    }
    if name.is_empty() {
        return Err(problem.help(format!("name the program: {provider}:/bin/bash:main")));
    }
    if std::path::Path::new(name).exists() {
        return Err(problem.note(format!("{name} exists, but is no file that can be executed")));
    }
    // What all names begin with says nothing of how near they are: a directory, `lib`.
    let common = match name.rfind('/') {
        Some(slash) => slash + 1,
        None if name.starts_with("lib") => "lib".len(),
        None => 0,
    };
    let (start, own) = name.split_at(common);
    let known = places.known(name);
    let near = suggest::closest(own, known.iter().filter_map(|known| known.strip_prefix(start)));
    let near: Vec<String> = near.into_iter().map(|near| format!("{start}{near}")).collect();
    Err(match suggest::one_of(&near) {
        Some(help) => problem.help(help),
        None => problem,
    })
}

/// What is wrong with a member of an archive.
fn in_archive(error: &ArchiveError, problem: Diagnostic) -> Diagnostic {
    let problem = problem.note(error.to_string());
    match error {
        ArchiveError::Missing { name, others } => {
            // Another directory, that of an architecture, is the usual mistake.
            let last = name.rsplit('/').next().unwrap_or_default();
            let same = others.iter().filter(|other| other.rsplit('/').next() == Some(last));
            let mut near: Vec<String> = same.take(3).cloned().collect();
            if near.is_empty() {
                near = suggest::closest(name, others);
            }
            suggest::one_of(&near).into_iter().fold(problem, Diagnostic::help)
        }
        ArchiveError::Compressed { .. } => problem.help(
            "probe the file that it is unpacked to, or store it as it is (zip -0, on Android \
             extractNativeLibs=\"false\")",
        ),
        _ => problem,
    }
}

/// All files that a process has mapped as code, or that any process has.
pub(super) fn mapped(pid: Option<u32>, span: Span) -> Result<Vec<PathBuf>, Diagnostic> {
    let of = |pid| mapped_files(pid).map(|files| (root(pid), files));
    let all: Vec<_> = match pid {
        Some(pid) => vec![of(pid).map_err(|e| {
            Diagnostic::error(point::NO_PROGRAM, span, format!("cannot read what is mapped: {e}"))
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
