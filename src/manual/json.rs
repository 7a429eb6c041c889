//! Entries for programs: an object a line. What it has is described in `docs/editors.md`.

use serde::Serialize;

use super::Entry;
use crate::builtins::{self, Builtin, Need};

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    kind: &'a str,
    aliases: &'a [&'a str],
    forms: &'a [String],
    summary: &'a str,
    description: String,
    example: &'a str,
    #[serde(flatten)]
    call: Option<Call>,
}

/// What only builtins and functions have.
#[derive(Serialize)]
struct Call {
    parameters: Vec<Parameter>,
    result: &'static str,
    asynchronous: bool,
    #[serde(rename = "unsafe")]
    needs_unsafe: bool,
    probes: &'static [&'static str],
}

#[derive(Serialize)]
struct Parameter {
    name: &'static str,
    #[serde(rename = "type")]
    ty: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    words: &'static [&'static str],
    optional: bool,
    repeated: bool,
}

/// The entries, each a line.
pub fn lines(entries: &[Entry]) -> String {
    let lines = entries.iter().map(|entry| {
        let line = Line {
            name: entry.name,
            kind: entry.kind.name(),
            aliases: &entry.aliases,
            forms: &entry.forms,
            summary: &entry.summary,
            description: entry.paragraphs.join("\n\n"),
            example: entry.example,
            call: entry.builtin.map(call),
        };
        // Nothing in it can fail to be written.
        serde_json::to_string(&line).unwrap_or_default() + "\n"
    });
    lines.collect()
}

fn call(builtin: &'static Builtin) -> Call {
    let parameters = builtin.params.iter().map(|param| Parameter {
        name: param.name,
        ty: kind(param.kind),
        words: if let builtins::Kind::Word(words) = param.kind { words } else { &[] },
        optional: param.need != Need::Required,
        repeated: param.need == Need::Repeated,
    });
    Call {
        parameters: parameters.collect(),
        result: builtin.result,
        asynchronous: builtin.asynchronous,
        needs_unsafe: builtin.needs_unsafe,
        probes: builtin.probes,
    }
}

fn kind(kind: builtins::Kind) -> &'static str {
    use builtins::Kind::*;
    match kind {
        Any => "any",
        Int => "integer",
        Address => "address",
        Number => "integer literal",
        Text => "string literal",
        Str => "string",
        Map => "map",
        Word(_) => "word",
        Special(_) => "special",
    }
}
