//! Every kind of problem has a golden test, or a program test where it takes a machine to see it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bpftrace::diagnostics::codes::CODES;
use bpftrace::diagnostics::{Diagnostic, Sources, render};
use libtest_mimic::Failed;
use regex::Regex;

/// The codes that goldens have shown so far.
static SEEN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// What the machine decides: the code, and the program test that shows it, or why there can be none.
const BY_PROGRAMS: &[(&str, &str)] = &[
    ("ambiguous-function", "it takes two modules with functions of one name"),
    ("attach", "kprobes::missing functions can be let go"),
    ("attach-point-line", "dwarf::lines and files without code"),
    ("bench", "trials::benchmarks are measured, skipped and may fail"),
    ("bpf-c", "bpf_c::mistakes in the C are told where they are"),
    ("codegen", "it would be a bug of the compiler"),
    ("command", "basics::a child that cannot be started"),
    ("commands", "it takes commands that hang"),
    ("common-field", "script_options::the head that all tracepoints have cannot be read"),
    ("encoding", "script_options::a script in Latin-1"),
    ("environment", "config::what the environment says of variables that are gone or misspelled is told"),
    ("errorf", "trials::tests pass, fail, complain and leave"),
    ("format", "it takes a damaged record"),
    ("header", "cdefs::macros with parameters, in probes and in definitions"),
    ("interrupted", "basics::who is interrupted while attaching does not run the command"),
    ("iterator", "it takes a kernel that refuses an iterator it has"),
    ("kernel-too-old", "it takes a kernel before 5.18"),
    ("linked-function", "bpf_c::calls that do not fit are told, with what the function is"),
    ("load", "config::config license: the kernel refuses what is not GPL, and only known ones are taken"),
    ("lockdown", "it takes a locked kernel"),
    ("lost-events", "loss::of a million lines each is printed or reported lost"),
    ("lost-stacks", "it takes a full stack map"),
    ("map", "it takes a map that cannot be read"),
    ("map-full", "loss::a full map says so"),
    ("map-refused", "it takes a map that cannot be written"),
    ("missed-runs", "first_steps::what the scheduler does, by event"),
    ("missing-capability", "errors::without privileges the missing capability is named"),
    ("no-attach-points", "probes::a file that is missing can be let go"),
    ("no-btf", "it takes a kernel without BTF"),
    ("no-clang", "imports::without clang the package is named"),
    ("no-debug-information", "dwarf::no debug information"),
    ("no-fentry", "script_options::without kprobes and fentry, neither is recommended for the other"),
    ("no-functions", "it takes an unreadable tracefs"),
    ("no-kernel-types", "it takes a kernel without BTF"),
    ("no-libclang", "cdefs::without libclang, a header of one's own names the package"),
    ("no-probes", "script_options::a script without probes"),
    ("no-such-process", "basics::-p of a process that is not there"),
    ("no-tracefs", "it takes a kernel without tracefs"),
    ("not-code", "it takes a damaged program"),
    ("not-on-this-machine", "it takes another processor"),
    ("not-traceable", "kprobes::functions that a list of one's own does not have"),
    ("output", "basics::a file that is not there"),
    ("pattern", "listing::a pattern that looks like a file"),
    ("pin", "iter::pins that cannot be made"),
    ("pinned-iterator", "iter::what a pinned iterator cannot do"),
    ("record", "it takes a damaged record"),
    ("renamed-function", "probes::functions by the names that they have here"),
    ("ring", "it takes a kernel without memory"),
    ("run", "it takes a kernel without memory"),
    ("runtime", "dialect_basics::cat"),
    ("script", "basics::a file that is not there"),
    ("several-functions", "probes::static functions of one name"),
    ("signals", "it takes a kernel without memory"),
    (
        "too-long",
        "large::a probe of more instructions than a jump passes is refused with its place where there are no far jumps",
    ),
    ("unknown-boundary", "it takes an offset inside of an instruction"),
    ("unknown-line", "dwarf::lines and files without code"),
    ("unreadable-argument", "dwarf::arguments that BPF cannot read"),
    ("unknown-module", "it takes a kernel with kprobes"),
    ("unresolved-type", "no script is known to lead there"),
    ("usage", "basics::an option that is not there"),
    ("verifier", "it would be a bug of the compiler"),
];

/// Renders messages for a golden, and remembers what they were about.
pub fn shown<'d>(list: impl IntoIterator<Item = &'d Diagnostic>, sources: &Sources) -> String {
    let list: Vec<&Diagnostic> = list.into_iter().collect();
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).extend(list.iter().map(|d| d.code));
    render::text(list, sources, false)
}

/// The codes that the source names where it makes messages.
fn in_source(directory: &Path, codes: &mut BTreeSet<String>, all: &mut String) -> Result<(), Failed> {
    let made =
        Regex::new(r#"(?:Diagnostic::(?:error|warning)|\.(?:error|fail|warn))\(\s*"([a-z][a-z0-9-]+)","#)?;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            in_source(&path, codes, all)?;
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "codes.rs" {
            let text = fs::read_to_string(&path)?;
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            codes.extend(made.captures_iter(text).map(|found| found[1].to_owned()));
            all.push_str(text);
        }
    }
    Ok(())
}

/// Compares the table with the source and with what the goldens show; `goldens` renders all of them.
pub fn complete(goldens: impl FnOnce()) -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut made, mut source) = (BTreeSet::new(), String::new());
    in_source(&root.join("src"), &mut made, &mut source)?;
    let mut faults: Vec<String> = vec![];
    for code in made.iter().filter(|code| !CODES.contains(&code.as_str())) {
        faults.push(format!("{code} is not in src/diagnostics/codes.rs"));
    }
    for code in CODES.iter().filter(|code| !source.contains(&format!("\"{code}\""))) {
        faults.push(format!("{code} is made nowhere: remove it from src/diagnostics/codes.rs"));
    }
    if !CODES.is_sorted() {
        faults.push("src/diagnostics/codes.rs is not sorted".into());
    }
    goldens();
    let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for code in seen.iter().filter(|code| !CODES.contains(code)) {
        faults.push(format!("{code} is shown by a golden, but is not in src/diagnostics/codes.rs"));
    }
    for code in CODES.iter().filter(|code| !seen.contains(**code)) {
        let Some((_, shown)) = BY_PROGRAMS.iter().find(|(own, _)| own == code) else {
            faults.push(format!("no golden shows {code}"));
            continue;
        };
        let Some((suite, test)) = shown.split_once("::") else { continue };
        let suite = root.join("tests/programs").join(suite).with_extension("toml");
        let text = fs::read_to_string(&suite).unwrap_or_default();
        if !text.lines().any(|line| line == format!("name = \"{test}\"")) {
            faults.push(format!("{code}: there is no program test {shown}"));
        }
    }
    for (code, _) in BY_PROGRAMS.iter().filter(|(code, _)| seen.contains(code) || !CODES.contains(code)) {
        faults.push(format!("{code} needs no program test: remove it from BY_PROGRAMS"));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
}
