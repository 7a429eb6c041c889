//! Scripts through the checker, at attach points that are made up: what a program sees there is the same on every
//! machine. Types are the running kernel's; the cases look only into what all kernels have, and say no offsets.

use std::path::Path;

use bpftrace::check::{self, Options, Resolve};
use bpftrace::codegen;
use bpftrace::config::Config;
use bpftrace::diagnostics::{Diagnostics, FileId, Sources};
use bpftrace::expand;
use bpftrace::kernel::{Feature, Kernel};
use bpftrace::probes::Host;
use bpftrace::syntax;
use bpftrace::types::store::Types;
use libtest_mimic::Failed;

use crate::codes;
use crate::points;

/// The program of a script, and its warnings.
pub fn program(text: &str) -> Result<String, Failed> {
    let (program, problems, sources) = check(text, &mut points::resolve)?;
    let warnings = shown(&problems, &sources);
    match program {
        Some(program) => Ok(format!("{}{warnings}", check::dump::program(&program))),
        None => Err(warnings.into()),
    }
}

/// What is said about a script with mistakes.
pub fn problems(text: &str) -> Result<String, Failed> {
    said(text, &mut points::resolve)
}

/// What is said about attach points that are wrong on every machine.
pub fn probe_problems(text: &str) -> Result<String, Failed> {
    said(text, &mut bpftrace::probes::resolve)
}

fn said(text: &str, resolve: Resolve<'_>) -> Result<String, Failed> {
    let (_, problems, sources) = check(text, resolve)?;
    if problems.is_empty() {
        return Err("nothing is said about the script".into());
    }
    Ok(shown(&problems, &sources))
}

/// Compiles the example that the manual has for a builtin: nothing may be said about it, but that `tseries` is new
/// and `while` old.
pub fn example(name: &str, text: &str) -> Result<(), Failed> {
    let builtin = bpftrace::builtins::find(if name == "argN" { "arg0" } else { name });
    let mut text = text.to_owned();
    if builtin.is_some_and(|b| b.needs_unsafe) {
        text.push_str("\n// --unsafe");
    }
    if name == "cpid" {
        text.push_str("\n// -c true");
    }
    let text =
        if name == "tseries" { format!("config = {{ unstable_tseries = enable }}\n{text}") } else { text };
    let (program, problems, sources) = check(&text, &mut points::resolve)?;
    let said = shown(&problems, &sources);
    // Without privileges the kernel hides its addresses; and it may be locked down.
    // Without a table of all its symbols it cannot tell where a variable is; and no program is probed here.
    let excused = [
        ("kaddr", "hides its address"),
        ("write_user", "locked down"),
        ("percpu_kaddr", "CONFIG_KALLSYMS_ALL"),
        ("uaddr", "needs a program"),
    ];
    if excused.iter().any(|(builtin, reason)| name == *builtin && said.contains(reason)) {
        return Ok(());
    }
    let old = name == "while" && problems.iter().all(|p| p.code == "deprecated");
    let Some(program) = program.filter(|_| said.is_empty() || old) else { return Err(said.into()) };
    let options = codegen::Options {
        config: &Config::default(),
        has: &|_| true,
        cpus: 2,
        sources: &sources,
        own_pids: false,
        report_helper_errors: false,
        verify: true,
        dump: None,
    };
    codegen::compile(&program, options).map(drop).map_err(|error| error.to_string().into())
}

fn shown(problems: &Diagnostics, sources: &Sources) -> String {
    codes::shown(problems.iter(), sources)
}

fn check(
    text: &str,
    resolve: Resolve<'_>,
) -> Result<(Option<bpftrace::ir::Program>, Diagnostics, Sources), Failed> {
    let mut sources = Sources::single("stdin", text);
    let (script, syntax_errors) = syntax::parse(text, FileId::default());
    if !syntax_errors.is_empty() {
        return Err(codes::shown(&syntax_errors, &sources).into());
    }
    let kernel = Kernel::new();
    if text.contains("// on an old kernel") {
        [Feature::ForEachMap, Feature::LookupPerCpu].into_iter().for_each(|feature| kernel.deny(feature));
    }
    let positional = ["7", "word", "0x10", "-3"].map(str::to_owned).to_vec();
    let inputs = expand::Inputs {
        positional: &positional,
        named: &[],
        directory: Path::new("tests/golden/check"),
        config: &Config::default(),
        config_from_env: &[],
        has_btf: &|| true,
        header_macro: &|_, _| None,
    };
    let expanded = expand::expand(script, &inputs, &mut sources);
    if expanded.diagnostics.has_errors() {
        return Err(codes::shown(expanded.diagnostics.iter(), &sources).into());
    }
    let mut types = Types::new(&kernel);
    let mut host = Host {
        kernel: &kernel,
        types: &mut types,
        config: &expanded.config,
        pid: None,
        command: None,
        unsafe_mode: text.contains("// --unsafe"),
        fix_renames: false,
        warnings: vec![],
    };
    let has_child = text.contains("// -c ");
    let options = Options { positional, has_child, ..Options::default() };
    let (program, more) = check::check_with(&expanded.script, &mut host, &options, resolve);
    let mut problems = expanded.diagnostics;
    problems.extend(more);
    Ok((program, problems, sources))
}
