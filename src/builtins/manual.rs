//! The manual of builtins and functions, `docs/stdlib.md`, from their tables.

use std::fmt::Write;

use super::{Builtin, Kind, Need, Param, TABLES, examples};

/// The file, whole.
pub fn markdown() -> String {
    let mut out = INTRODUCTION.to_owned();
    for (section, table) in TABLES {
        let _ = write!(out, "\n## {section}\n");
        for builtin in table.iter().filter(|b| !b.name.starts_with("__")) {
            entry(&mut out, builtin);
        }
    }
    out
}

fn entry(out: &mut String, builtin: &Builtin) {
    let _ = write!(out, "\n### {}\n\n", builtin.name);
    let _ = writeln!(out, "* `{} {builtin}`", builtin.result);
    for alias in builtin.aliases {
        let _ = writeln!(out, "* Also: `{alias}`");
    }
    let _ = write!(out, "\n{}.", builtin.summary);
    if !builtin.doc.is_empty() {
        let _ = write!(out, " {}", builtin.doc);
    }
    out.push('\n');
    let parameters = parameters(builtin);
    for (param, text) in &parameters {
        let _ = write!(out, "\n* `{param}`: {text}");
    }
    if !parameters.is_empty() {
        out.push('\n');
    }
    let notes = notes(builtin);
    if !notes.is_empty() {
        let _ = write!(out, "\n{notes}\n");
    }
    if let Some(example) = examples::of(builtin.name) {
        let _ = write!(out, "\n```\n{example}\n```\n");
    }
}

/// What may be given for parameters whose names do not say it.
pub fn parameters(builtin: &Builtin) -> Vec<(&'static str, String)> {
    let optional = |param: &Param| if param.need == Need::Optional { "optional, " } else { "" };
    let params = builtin.params.iter();
    params.filter_map(|p| Some((p.name, format!("{}{}", optional(p), kind(p.kind)?)))).collect()
}

/// When, how and where it can be used.
pub fn notes(builtin: &Builtin) -> String {
    let mut notes = vec![];
    if builtin.gathers() {
        notes.push("Only to the right of `@x =` or `@x[key] =`.".to_owned());
    }
    if builtin.asynchronous {
        notes.push("Happens in user space, a moment after the probe.".to_owned());
    }
    if builtin.needs_unsafe {
        notes.push("Needs `--unsafe`.".to_owned());
    }
    if !builtin.probes.is_empty() {
        notes.push(format!("Only in {}.", builtin.probes.join(", ")));
    }
    notes.join(" ")
}

/// What may be given for a parameter, where its name does not say it.
fn kind(kind: Kind) -> Option<String> {
    Some(match kind {
        Kind::Number => "an integer that is known before the script runs".into(),
        Kind::Text => "a string literal".into(),
        Kind::Map => "a map as a whole, without a key".into(),
        Kind::Word(words) => format!("{}, without quotes", words.join(", ")),
        Kind::Special(text) => text.into(),
        Kind::Any | Kind::Int | Kind::Address | Kind::Str => return None,
    })
}

const INTRODUCTION: &str = "\
<!-- Generated from src/builtins: `UPDATE=1 cargo test --lib builtins::` writes it anew. -->

# Builtins and functions

What scripts can use beside the language itself. Those that need no arguments can be written with and without
parentheses: `pid` and `pid()`. In `[brackets]` are arguments that can be left out.

Most things happen in the kernel, at once. What user space does, such as printing, happens a moment later, in the order
in which the probes asked for it; a map that is printed then shows what it holds by then.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_is_that_of_the_tables() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stdlib.md");
        let manual = markdown();
        if std::env::var_os("UPDATE").is_some_and(|v| v == "1") {
            std::fs::write(&path, &manual).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == manual, "docs/stdlib.md is not what src/builtins says: run with UPDATE=1");
    }

    #[test]
    fn every_builtin_has_an_example_that_uses_it() {
        for builtin in super::super::all().filter(|b| !b.name.starts_with("__")) {
            let example =
                examples::of(builtin.name).unwrap_or_else(|| panic!("{}: no example", builtin.name));
            let name = if builtin.name == "argN" { "arg" } else { builtin.name };
            assert!(example.contains(name), "{}: {example}", builtin.name);
        }
        for (name, _) in examples::EXAMPLES {
            assert!(*name == "argN" || super::super::find(name).is_some(), "{name} is no builtin");
        }
    }
}
