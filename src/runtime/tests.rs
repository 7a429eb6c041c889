//! Programs that no script makes, for what scripts should never meet.

use super::load::load;
use super::{Job, Options};
use crate::codegen;
use crate::config::Config;
use crate::diagnostics::{Diagnostic, FileId, Sources, Span};
use crate::image::{Attach, Image, Target};
use crate::ir;
use crate::kernel::Kernel;
use crate::types::{Space, Type};

const SCRIPT: &str = "BEGIN {\n    @x = *8;\n}\n";

fn compile(config: &Config, body: Vec<ir::Stmt>, maps: Vec<crate::image::Map>) -> Image {
    let span = Span::new(FileId::default(), 0, 5);
    let program = ir::Program {
        probes: vec![ir::Probe {
            name: "begin".into(),
            section: "raw_tp".into(),
            context: ir::Context::None,
            nesting: ir::Nesting::Interrupts,
            returns_zero: false,
            object: None,
            space: Space::Kernel,
            attach: vec![Attach { name: "begin".into(), span, what: Target::Begin }],
            variables: vec![],
            body,
            span,
        }],
        maps,
        ..ir::Program::default()
    };
    let options = codegen::Options {
        config,
        has: &|_| true,
        cpus: 1,
        sources: &crate::diagnostics::Sources::single("script.bt", SCRIPT),
        own_pids: false,
        report_helper_errors: false,
        verify: true,
        dump: None,
    };
    codegen::compile(&program, options).unwrap()
}

/// What is said when the image is loaded; `None` without the privilege to try.
fn refusal(image: &Image, config: &Config, verbose: bool) -> Option<Diagnostic> {
    let kernel = Kernel::new();
    if !kernel.capabilities().may_trace(kernel.version()) {
        crate::testing::skip("root", "no privilege to load programs");
        return None;
    }
    let job = Job {
        image,
        options: &Options { verbose, ..Options::default() },
        config,
        kernel: &kernel,
        sources: &Sources::single("script.bt", SCRIPT),
        target: None,
        child: None,
        debug_files: &[],
        color: false,
        report: &|_| {},
    };
    Some(load(&job).err().expect("it is refused"))
}

#[test]
fn a_program_that_the_verifier_refuses_points_at_its_line() {
    let span = Span::new(FileId::default(), 12, 19);
    let expr = |kind| ir::Expr { kind, ty: Type::U64, span };
    // Memory of the kernel, read as if it were the program's own.
    let pointer = Box::new(expr(ir::ExprKind::Const(8)));
    let kind = ir::PlaceKind::Deref { pointer, space: Space::Bpf };
    let load = expr(ir::ExprKind::Load(Box::new(ir::Place { kind, ty: Type::U64, span })));
    let body = vec![ir::Stmt { kind: ir::StmtKind::Return(Some(load)), span }];
    let config = Config::default();
    let image = compile(&config, body, vec![]);

    let Some(problem) = refusal(&image, &config, false) else { return };
    let sources = Sources::single("script.bt", SCRIPT);
    assert_eq!(sources.text(problem.span.unwrap()), "@x = *8;");
    assert!(problem.notes[0].contains("invalid mem access"), "{problem:?}");
    assert!(problem.notes.iter().any(|n| n.contains("a bug in bpftrace")));
    assert!(problem.notes.iter().all(|n| n.lines().count() == 1), "no log unless it is asked for");
    let verbose = refusal(&image, &config, true).unwrap();
    assert!(verbose.notes.iter().any(|n| n.contains("processed ")), "{verbose:?}");
}

#[test]
fn a_map_that_the_kernel_refuses_is_named() {
    let map = crate::image::Map {
        name: "@big".into(),
        symbol: "AT_big".into(),
        kind: crate::image::MapKind::Hash,
        key: Some(Type::U64),
        value: Type::U64,
        max_entries: u32::MAX,
        declared: false,
    };
    let config = Config::default();
    let image = compile(&config, vec![], vec![map]);
    let Some(problem) = refusal(&image, &config, false) else { return };
    assert!(problem.message.contains("did not create the map @big"), "{problem:?}");
    assert!(problem.help.iter().any(|h| h.contains("max_map_keys")));
}
