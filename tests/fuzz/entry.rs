//! What the fuzz targets do with a text, and the tests with the corpus: each goes one stage further.
//!
//! The attach points are made up, and the kernel is asked for nothing but its types. A text with `// old` in it is
//! compiled for a kernel of the oldest kind, one with `// unsafe` as with `--unsafe`.

use std::path::Path;
use std::sync::LazyLock;

use bpftrace::check::{self, Options};
use bpftrace::config::Config;
use bpftrace::diagnostics::{Diagnostic, FileId, Sources, render};
use bpftrace::kernel::{Feature, Kernel};
use bpftrace::probes::Host;
use bpftrace::types::c::Includes;
use bpftrace::types::store::Types;
use bpftrace::{codegen, expand, ir, syntax};

use crate::points;

static NEW: LazyLock<Kernel> = LazyLock::new(Kernel::new);
static OLD: LazyLock<Kernel> = LazyLock::new(|| {
    let kernel = Kernel::new();
    Feature::ALL.iter().for_each(|feature| kernel.deny(*feature));
    kernel
});

fn is_old(text: &str) -> bool {
    text.contains("// old")
}

/// What the kernel has: none of its features, or all of them.
fn has(text: &str) -> impl Fn(Feature) -> bool {
    let all = !is_old(text);
    move |_| all
}

/// Parses, prints the tree, expands the script and prints the tree again. The messages are shown, too: their spans
/// have to fit the text.
pub fn syntax(text: &str) {
    parsed(text);
}

/// As [`syntax`], and checks what came through.
pub fn check(text: &str) {
    checked(text);
}

/// As [`check`], and compiles what came through to an object.
pub fn codegen(text: &str) {
    let Some((program, config, sources)) = checked(text) else { return };
    let options = codegen::Options {
        config: &config,
        has: &has(text),
        cpus: 2,
        sources: &sources,
        own_pids: text.len().is_multiple_of(5),
        report_helper_errors: text.len().is_multiple_of(7),
        verify: true,
        dump: None,
    };
    if let Err(error) = codegen::compile(&program, options) {
        panic!("{error}");
    }
}

/// Shows messages; whether there was an error among them.
fn report<'a>(messages: impl IntoIterator<Item = &'a Diagnostic>, sources: &Sources) -> bool {
    let messages: Vec<&Diagnostic> = messages.into_iter().take(40).collect();
    render::text(messages.iter().copied(), sources, true);
    messages.iter().any(|m| m.severity == bpftrace::diagnostics::Severity::Error)
}

fn parsed(text: &str) -> Option<(expand::Expanded, Sources, Vec<String>)> {
    let mut sources = Sources::single("stdin", text);
    let (script, problems) = syntax::parse(text, FileId::default());
    let failed = report(&problems, &sources);
    syntax::dump::script(&script);
    let positional = ["7", "word", "0x10", "-3"].map(str::to_owned).to_vec();
    let inputs = expand::Inputs {
        positional: &positional,
        named: &["a=1".to_owned(), "b".to_owned()],
        // Nothing can be imported from there.
        directory: Path::new("/nonexistent"),
        config: &Config::default(),
        config_from_env: &[],
        has_btf: &|| true,
        header_macro: &|_, _| None,
    };
    let expanded = expand::expand(script, &inputs, &mut sources);
    let failed = report(expanded.diagnostics.iter(), &sources) || failed;
    syntax::dump::script(&expanded.script);
    (!failed && expanded.help.is_none()).then_some((expanded, sources, positional))
}

fn checked(text: &str) -> Option<(ir::Program, Config, Sources)> {
    let (expanded, sources, positional) = parsed(text)?;
    let kernel: &Kernel = if is_old(text) { &OLD } else { &NEW };
    let mut types = Types::new(kernel);
    let mut host = Host {
        kernel,
        types: &mut types,
        config: &expanded.config,
        pid: None,
        command: None,
        unsafe_mode: text.contains("// unsafe"),
        fix_renames: false,
        warnings: vec![],
    };
    // No libclang: it is another's, reads files, and would be all that is tested.
    let includes = Includes { libclang: Some("/nonexistent".into()), ..Includes::default() };
    let options = Options { positional, has_child: true, includes, ..Options::default() };
    let (program, problems) = check::check_with(&expanded.script, &mut host, &options, &mut points::resolve);
    report(problems.iter(), &sources);
    let program = program?;
    check::dump::program(&program);
    Some((program, expanded.config, sources))
}
