//! Scripts through the checker, at attach points that are made up: what a program sees there is the same on every
//! machine. Types are the running kernel's; the cases look only into what all kernels have, and say no offsets.

use std::path::Path;

use bpftrace::check::{self, Options};
use bpftrace::config::Config;
use bpftrace::diagnostics::{Diagnostic, Diagnostics, FileId, Sources, Span, render};
use bpftrace::expand;
use bpftrace::image::{Attach, Target};
use bpftrace::ir::{Context, Expr, ExprKind, Place, PlaceKind};
use bpftrace::kernel::Kernel;
use bpftrace::probes::{Group, Host, Uses, View};
use bpftrace::syntax;
use bpftrace::syntax::ast::AttachPoint;
use bpftrace::types::store::Types;
use bpftrace::types::{Int, Space, Type};
use libtest_mimic::Failed;

/// The program of a script, and its warnings.
pub fn program(text: &str) -> Result<String, Failed> {
    let (program, problems, sources) = check(text)?;
    let warnings = shown(&problems, &sources);
    match program {
        Some(program) => Ok(format!("{}{warnings}", check::dump::program(&program))),
        None => Err(warnings.into()),
    }
}

/// What is said about a script with mistakes.
pub fn problems(text: &str) -> Result<String, Failed> {
    let (_, problems, sources) = check(text)?;
    if problems.is_empty() {
        return Err("nothing is said about the script".into());
    }
    Ok(shown(&problems, &sources))
}

fn shown(problems: &Diagnostics, sources: &Sources) -> String {
    let list: Vec<Diagnostic> = problems.iter().cloned().collect();
    render::text(&list, sources, false)
}

fn check(text: &str) -> Result<(Option<bpftrace::ir::Program>, Diagnostics, Sources), Failed> {
    let mut sources = Sources::single("stdin", text);
    let (script, syntax_errors) = syntax::parse(text, FileId::default());
    if !syntax_errors.is_empty() {
        return Err(render::text(&syntax_errors, &sources, false).into());
    }
    let kernel = Kernel::new();
    let positional = ["7", "word", "0x10", "-3"].map(str::to_owned).to_vec();
    let inputs = expand::Inputs {
        positional: &positional,
        named: &[],
        directory: Path::new("tests/golden/check"),
        config: &Config::default(),
        config_from_env: &[],
        has_btf: &|| true,
    };
    let expanded = expand::expand(script, &inputs, &mut sources);
    if expanded.diagnostics.has_errors() {
        return Err(render::text(expanded.diagnostics.iter(), &sources, false).into());
    }
    let mut types = Types::new(&kernel);
    let mut host = Host {
        kernel: &kernel,
        types: &mut types,
        config: &expanded.config,
        pid: None,
        command: None,
        unsafe_mode: text.contains("// --unsafe"),
    };
    let options = Options { positional, ..Options::default() };
    let (program, more) = check::check_with(&expanded.script, &mut host, &options, &mut resolve);
    let mut problems = expanded.diagnostics;
    problems.extend(more);
    Ok((program, problems, sources))
}

/// One program for each attach point.
fn resolve(
    points: &[AttachPoint],
    _: Uses,
    _: &mut Host<'_>,
    add_name: &mut dyn FnMut(&str) -> u32,
) -> (Vec<Group>, Diagnostics) {
    (points.iter().map(|point| group(point, add_name)).collect(), Diagnostics::default())
}

fn group(point: &AttachPoint, add_name: &mut dyn FnMut(&str) -> u32) -> Group {
    let provider = point.parts.first().map_or("", |p| p.text.as_str());
    let char_pointer = |space| Type::ptr(Type::Int(Int::I8), space);
    let number = add_name(&point.text);
    let mut view = View {
        provider: "BEGIN",
        context: Context::None,
        args: None,
        words: vec![],
        retval: None,
        func: None,
        name: expr(ExprKind::Const(number.into()), Type::ProbeName),
        space: Space::Kernel,
        ctx: None,
        object: None,
        nesting: bpftrace::ir::Nesting::Never,
        returns_zero: false,
        filter_pid: false,
    };
    match provider {
        "kprobe" | "uprobe" => {
            view.provider = if provider == "kprobe" { "kprobe" } else { "uprobe" };
            view.space = if provider == "kprobe" { Space::Kernel } else { Space::User };
            view.context = Context::Registers;
            view.words = (0..6).map(|n| load(8 * n, Type::U64)).collect();
            view.func = Some(expr(ExprKind::Cast(Box::new(load(128, Type::U64))), Type::KSym));
        }
        "kretprobe" => {
            view.provider = "kretprobe";
            view.context = Context::Registers;
            view.retval = Some(load(80, Type::U64));
        }
        "tracepoint" => {
            view.provider = "tracepoint";
            view.context = Context::Record;
            view.args = Some(vec![
                ("dfd".into(), load(16, Type::I32)),
                ("filename".into(), load(24, char_pointer(Space::User))),
                ("ret".into(), load(32, Type::I64)),
                ("comm".into(), load(40, Type::Str(16))),
            ]);
        }
        "interval" | "profile" => view.provider = "interval",
        _ => {}
    }
    let attach = Attach { name: point.text.clone(), span: point.span, what: Target::Begin };
    Group { section: view.provider.to_owned(), attach: vec![attach], view }
}

fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

fn load(offset: u32, ty: Type) -> Expr {
    let place = Place { kind: PlaceKind::Context { offset }, ty: ty.clone(), span: Span::default() };
    expr(ExprKind::Load(Box::new(place)), ty)
}
