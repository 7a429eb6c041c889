//! `uprobe:PROGRAM@FILE:LINE[:COLUMN]`: statements by where their source is.

use std::path::Path;

use super::super::view::Reason;
use super::super::{Host, point};
use super::typed;
use crate::diagnostics::Diagnostic;
use crate::process::files::Places;
use crate::syntax::ast::{AttachPart, AttachPoint};
use crate::types::dwarf::{NoCode, Source};

/// The program and the place of an attach point's parts after the provider; `None` if it is none of these.
pub(super) fn parse(
    parts: &[AttachPart],
    host: &Host<'_>,
) -> Option<Result<(AttachPart, Source), Diagnostic>> {
    let (target, rest) = parts.split_first()?;
    let (program, file) = target
        .text
        .rsplit_once('@')
        .filter(|(program, file)| !program.is_empty() && !file.is_empty() && file.contains('.'))?;
    // A program may have such a name itself.
    if !Places::of(host.pid).find(&target.text).is_empty() {
        return None;
    }
    let number = |part: &AttachPart, what: &str| {
        point::number(part).ok().filter(|n| *n > 0).ok_or_else(|| {
            let message = format!("\"{}\" is not the number of a {what}", part.text);
            Diagnostic::error("attach-point-line", part.span, message).help(
                "a place in a source is written uprobe:PROGRAM@FILE:LINE or uprobe:PROGRAM@FILE:LINE:COLUMN",
            )
        })
    };
    let place = match rest {
        [line] => number(line, "line").map(|line| (line, 0)),
        [line, column] => number(line, "line").and_then(|line| Ok((line, number(column, "column")?))),
        _ => {
            let message = "a place in a source has a line and may have a column";
            Err(Diagnostic::error("attach-point-line", target.span, message)
                .help(format!("write uprobe:{}:LINE or uprobe:{}:LINE:COLUMN", target.text, target.text)))
        }
    };
    let program = AttachPart { text: program.to_owned(), ..target.clone() };
    Some(place.map(|(line, column)| (program, Source { file: file.to_owned(), line, column })))
}

/// The addresses of a source line's code in a program.
pub(super) fn addresses(
    path: &Path,
    source: &Source,
    point: &AttachPoint,
    host: &mut Host<'_>,
) -> Result<Vec<u64>, Diagnostic> {
    let problem = |message: String| Diagnostic::error(point::NO_LINE, point.span, message);
    let found = host.types.program_line(path, source).map_err(|missing| {
        let Reason { note, help } = typed::no_debug_information(path, &missing);
        let message = format!("No DWARF debug info found for '{}'", path.display());
        let problem = problem(message).note(note);
        match help {
            Some(help) => problem.help(help),
            None => problem,
        }
    })?;
    let Source { file, line, column } = source;
    let list = |all: &mut dyn Iterator<Item = String>| all.take(8).collect::<Vec<_>>().join(", ");
    found.map_err(|why| match why {
        NoCode::File(known) => {
            let message = format!("No compilation unit matches {file}");
            let mut names: Vec<&str> = known.iter().filter_map(|path| path.rsplit('/').next()).collect();
            names.sort_unstable();
            names.dedup();
            let wanted = file.rsplit('/').next().unwrap_or(file);
            let same = known.iter().find(|path| path.rsplit('/').next() == Some(wanted));
            match same {
                Some(same) => problem(message).help(format!("did you mean {same}?")),
                None => {
                    let problem = problem(message).note(format!(
                        "{} is made of {}{}",
                        path.display(),
                        list(&mut names.iter().map(|n| (*n).to_owned())),
                        if names.len() > 8 { ", …" } else { "" }
                    ));
                    point::did_you_mean(problem, wanted, names)
                }
            }
        }
        NoCode::Ambiguous(files) => {
            let names = list(&mut files.iter().cloned());
            problem(format!("Ambiguous source path, matches multiple files: {names}"))
                .help("write more of the path")
        }
        NoCode::Line(before, after) => {
            let problem = problem(format!("{file}:{line} has no code"));
            let nearest: Vec<String> =
                [before, after].into_iter().flatten().map(|line| format!("{file}:{line}")).collect();
            match nearest.as_slice() {
                [] => problem.note("no line of the file has"),
                _ => problem.help(format!("the nearest lines that have some: {}", nearest.join(", "))),
            }
        }
        NoCode::Column(columns) => {
            let columns = list(&mut columns.iter().map(u64::to_string));
            problem(format!("no statement of {file}:{line} begins in column {column}"))
                .help(format!("statements of this line begin in columns {columns}"))
        }
    })
}
