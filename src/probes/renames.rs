//! What functions of the kernel are called in other versions of it: the table is in `renames.txt`.

use super::functions::Request;
use super::{Host, Uses, functions};
use crate::diagnostics::Diagnostic;
use crate::pattern::has_wildcard;
use crate::syntax::ast::AttachPoint;

const TABLE: &str = include_str!("renames.txt");

/// The names that one function has had, oldest first.
#[derive(Debug, Default, PartialEq, Eq)]
struct Family<'a> {
    names: Vec<Name<'a>>,
    /// A probe that sees about the same.
    instead: Option<&'a str>,
}

#[derive(Debug, PartialEq, Eq)]
struct Name<'a> {
    name: &'a str,
    /// The kernel that brought it; `None` for the oldest.
    since: Option<&'a str>,
    /// How its parameters differ from those of the name before.
    differs: Option<&'a str>,
}

impl<'a> Family<'a> {
    fn parse(line: &'a str) -> Family<'a> {
        let (names, instead) = match line.split_once('@') {
            Some((names, probe)) => (names, Some(probe.trim())),
            None => (line, None),
        };
        let names = names.split('|').map(|step| {
            let (step, differs) = match step.split_once('(') {
                Some((step, differs)) => (step, Some(differs.trim_end().trim_end_matches(')'))),
                None => (step, None),
            };
            match step.trim().split_once(' ') {
                Some((since, name)) => Name { name: name.trim(), since: Some(since), differs },
                None => Name { name: step.trim(), since: None, differs },
            }
        });
        Family { names: names.collect(), instead }
    }
}

fn families() -> impl Iterator<Item = Family<'static>> {
    TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(Family::parse)
}

/// Another name of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Other {
    pub name: String,
    /// `Linux 5.10 renamed _do_fork to kernel_clone`
    pub why: String,
    /// How its parameters differ.
    pub differs: Option<String>,
}

/// The other names that a function has had or may get, newest first, and a probe that sees about the same.
pub(super) fn others(name: &str) -> (Vec<Other>, Option<String>) {
    if let Some(known) = system_call(name) {
        return known;
    }
    let (mut found, mut probe) = (vec![], None);
    for Family { names, instead } in families() {
        let Some(at) = names.iter().position(|own| own.name == name) else { continue };
        probe = probe.or(instead.map(str::to_owned));
        for (n, other) in names.iter().enumerate().rev().filter(|(n, _)| *n != at) {
            // Each step between the two can have changed the parameters.
            let steps = names.get(at.min(n) + 1..=at.max(n)).unwrap_or_default();
            let differs: Vec<&str> = steps.iter().filter_map(|step| step.differs).collect();
            let why = match (n > at, other.since, names.get(at).and_then(|own| own.since)) {
                (true, Some(since), _) => format!("since Linux {since} {name} is {}", other.name),
                (_, _, Some(since)) => format!("before Linux {since} {name} was {}", other.name),
                _ => format!("{name} is also known as {}", other.name),
            };
            let differs = match (differs.as_slice(), n > at) {
                ([], _) => None,
                (differs, true) => Some(differs.join("; ")),
                // The table tells it of the later one.
                (_, false) => Some("its parameters differ".into()),
            };
            found.push(Other { name: other.name.to_owned(), why, differs });
        }
    }
    (found, probe)
}

/// What the kernel's architectures put before a system call's name since Linux 4.17.
const SYSTEM_CALL: &str = if cfg!(target_arch = "aarch64") { "__arm64_sys_" } else { "__x64_sys_" };

fn system_call(name: &str) -> Option<(Vec<Other>, Option<String>)> {
    let call = ["sys_", "SyS_"].iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let new = format!("{SYSTEM_CALL}{call}");
    let why = format!("since Linux 4.17 {name} is {new}");
    let differs = Some("its arguments are in the struct pt_regs that arg0 points to".into());
    let probe = format!("tracepoint:syscalls:sys_enter_{call}");
    Some((vec![Other { name: new, why, differs }], Some(probe)))
}

/// What the compiler made of a function, by the suffix that it gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// `.isra.0`, `.constprop.0`, …: all of it, with other parameters.
    Clone,
    /// `.part.0`: what its callers did not take in.
    Part,
    /// `.cold`: what is hardly ever run.
    Cold,
}

/// Whether one symbol is what the compiler made of another, and what: `f.isra.0` of `f`.
pub(super) fn made_of(symbol: &str, name: &str) -> Option<Made> {
    let rest = symbol.strip_prefix(name)?.strip_prefix('.')?;
    let suffixes = || rest.split('.');
    Some(match () {
        () if suffixes().any(|s| s == "cold") => Made::Cold,
        () if suffixes().any(|s| s == "part") => Made::Part,
        () => Made::Clone,
    })
}

/// With `--fix-renames`: the attach points with the names that their functions have in this kernel, and what is to be
/// said about that.
pub(super) fn fixed(
    points: &[AttachPoint],
    uses: Uses,
    host: &Host<'_>,
) -> (Vec<AttachPoint>, Vec<Diagnostic>) {
    let (mut all, mut notes) = (vec![], vec![]);
    for point in points {
        let Some((provider, request)) = plain(point) else {
            all.push(point.clone());
            continue;
        };
        let (name, module) = (&request.function.text, request.module.map(|m| m.text.as_str()));
        let other = match functions::look(host.kernel, name, module) {
            Ok(look) if !look.exists => look.successor,
            _ => None,
        };
        let Some(other) = other else {
            all.push(point.clone());
            continue;
        };
        let note = |message| Diagnostic::warning("renamed-function", request.function.span, message);
        if let Some(differs) = &other.differs
            && (uses.words || uses.typed)
        {
            let message = format!("{}, but it is not put in its place: {differs}", other.why);
            notes.push(
                note(message)
                    .help(format!("change what the probe reads, and write {provider}:{}", other.name)),
            );
            all.push(point.clone());
            continue;
        }
        let mut new = point.clone();
        if let Some(part) = new.parts.last_mut() {
            part.text.clone_from(&other.name);
        }
        let same = |p: &AttachPoint| {
            p.parts.len() == new.parts.len() && p.parts.iter().zip(&new.parts).all(|(a, b)| a.text == b.text)
        };
        if points.iter().chain(&all).any(same) {
            notes.push(note(format!("{}, which is probed already", other.why)));
            continue;
        }
        notes.push(note(format!("{}: probing that", other.why)));
        all.push(new);
    }
    (all, notes)
}

/// An attach point that names one whole function of the kernel.
fn plain(point: &AttachPoint) -> Option<(&'static str, Request<'_>)> {
    let provider = super::provider(&point.parts.first()?.text)?.names().first().copied()?;
    if !matches!(provider, "kprobe" | "kretprobe" | "fentry" | "fexit") {
        return None;
    }
    let request = Request::parse(point, "").ok()?;
    let plain = !request.has_wildcard()
        && !has_wildcard(&request.function.text)
        && !request.function.text.contains('+')
        && request.module.is_none_or(|m| m.text != functions::PROGRAMS)
        && !request.function.text.starts_with(|c: char| c.is_ascii_digit());
    plain.then_some((provider, request))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_line_of_the_table() {
        let family =
            Family::parse("do_fork | 4.2 _do_fork | 5.10 kernel_clone (it differs) @ tracepoint:a:b");
        assert_eq!(
            family.names,
            [
                Name { name: "do_fork", since: None, differs: None },
                Name { name: "_do_fork", since: Some("4.2"), differs: None },
                Name { name: "kernel_clone", since: Some("5.10"), differs: Some("it differs") },
            ]
        );
        assert_eq!(family.instead, Some("tracepoint:a:b"));
        assert_eq!(Family::parse("f @ t:a:b").names, [Name { name: "f", since: None, differs: None }]);
    }

    /// No name twice, versions in order, and only characters that functions have.
    #[test]
    fn the_table_is_whole() {
        let mut seen = HashSet::new();
        let mut count = 0;
        for Family { names, instead } in families() {
            count += 1;
            assert!(names.len() > 1 || instead.is_some(), "{names:?} says nothing");
            let version = |text: &str| -> (u32, u32) {
                let (major, minor) = text.split_once('.').unwrap();
                (major.parse().unwrap(), minor.parse().unwrap())
            };
            let versions: Vec<_> = names.iter().skip(1).map(|n| version(n.since.unwrap())).collect();
            assert!(versions.is_sorted(), "{names:?}");
            for Name { name, .. } in &names {
                assert!(seen.insert(*name), "{name} is there twice");
                assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name}");
            }
            assert!(instead.is_none_or(|probe| probe.split(':').count() == 3 && !probe.contains(' ')));
        }
        assert!(count > 60, "{count}");
    }

    #[test]
    fn names_are_found_in_both_directions() {
        let (names, instead) = others("_do_fork");
        assert_eq!(names.len(), 2);
        assert_eq!(names[0].name, "kernel_clone");
        assert_eq!(names[0].why, "since Linux 5.10 _do_fork is kernel_clone");
        assert!(names[0].differs.as_deref().unwrap().contains("kernel_clone_args"));
        assert_eq!((names[1].name.as_str(), &names[1].differs), ("do_fork", &None));
        assert_eq!(names[1].why, "before Linux 4.2 _do_fork was do_fork");
        assert_eq!(instead.as_deref(), Some("tracepoint:sched:sched_process_fork"));
        assert_eq!(others("kernel_clone").0[0].differs.as_deref(), Some("its parameters differ"));
        assert_eq!(others("vfs_reed"), (vec![], None));
    }

    #[test]
    fn system_calls_have_a_prefix() {
        let (names, instead) = others("sys_execve");
        assert_eq!(names[0].name, format!("{SYSTEM_CALL}execve"));
        assert_eq!(instead.as_deref(), Some("tracepoint:syscalls:sys_enter_execve"));
        assert_eq!(others("SyS_read").0[0].name, format!("{SYSTEM_CALL}read"));
    }

    #[test]
    fn what_the_compiler_made_is_known() {
        assert_eq!(made_of("f.isra.0", "f"), Some(Made::Clone));
        assert_eq!(made_of("f.constprop.0.isra.0", "f"), Some(Made::Clone));
        assert_eq!(made_of("f.part.0", "f"), Some(Made::Part));
        assert_eq!(made_of("f.isra.0.cold", "f"), Some(Made::Cold));
        assert_eq!(made_of("f", "f"), None);
        assert_eq!(made_of("fg.isra.0", "f"), None);
    }
}
