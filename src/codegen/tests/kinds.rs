//! Programs of every kind: that the kernel takes them, and what differs between them.

use super::build::*;
use super::run::{Has, Loaded, image, image_with, kernel_has, load, load_image, text_of};
use crate::diagnostics::{FileId, Sources, Span};
use crate::image::{self, Counter, EventKind, MapKind, SCRATCH, Target};
use crate::ir::{Context, Expr, ExprKind, Stmt, StmtKind, VarId};
use crate::kernel::Feature;
use crate::types::{Agg, Space, StackFormat, StackMode, Type};

/// What most scripts do, with values too large for the stack.
fn body(script: &mut Script, argument: Expr) -> (Vec<Type>, Vec<Stmt>) {
    let text = Type::Str(1024);
    let format = StackFormat { mode: StackMode::Bpftrace, limit: 127 };
    let counts = script.gather(Some(Type::Tuple(vec![Type::Str(16), Type::KStack(format)])), Agg::Count);
    let hist = script.gather(None, Agg::Hist { bits: 0 });
    let starts = script.map(MapKind::Hash, Some(Type::U64), Type::I64);
    let event = script.event(vec![Type::Str(1024), Type::U64, Type::UStack(format)]);
    let read = |space| {
        let kind = ExprKind::ReadString { address: Box::new(argument.clone()), len: None, space };
        expr(kind, text.clone())
    };
    let key = tuple(vec![(0, comm()), (16, expr(ExprKind::Stack, Type::KStack(format)))]);
    let now = expr(ExprKind::Helper { id: 5, args: vec![] }, Type::I64);
    let unreadable = deref(argument.clone(), Space::Unknown, Type::U64);
    let statements = vec![
        set_var(0, read(Space::Unknown)),
        condition(
            equal(var(0, text.clone()), literal("never", 16)),
            vec![stmt(StmtKind::Return(Some(i64c(0))))],
            vec![],
        ),
        set_var(1, i64c(0)),
        stmt(StmtKind::While {
            condition: binary(crate::ir::Binary::Lt, var(1, Type::I64), i64c(3), Type::Bool),
            body: vec![increment(1), set_map(starts, Some(unreadable), now)],
        }),
        aggregate(counts, Some(key), None),
        aggregate(hist, None, Some(argument.clone())),
        emit(
            event,
            vec![
                var(0, text.clone()),
                expr(ExprKind::ProbeName, Type::ProbeName),
                expr(ExprKind::Stack, Type::UStack(format)),
            ]
            .into_iter()
            .zip([None, Some(Type::U64), None])
            .map(|(e, to)| match to {
                Some(ty) => expr(ExprKind::Cast(Box::new(e)), ty),
                None => e,
            })
            .collect(),
        ),
    ];
    (vec![text.clone(), Type::I64], statements)
}

#[test]
fn programs_of_every_kind_load() {
    let perf = Target::Perf {
        kind: 1,
        config: 0,
        sample: image::Sample::Frequency(99),
        cpus: image::Cpus::All,
        pid: None,
        name_id: 0,
    };
    let kprobe = Target::Kprobe { function: "f".into(), module: None, offset: 0, ret: false, name_id: 0 };
    let uprobe = Target::Uprobe { path: "/bin/true".into(), offset: 0, ret: false, pid: None, name_id: 0 };
    let tracepoint =
        Target::Tracepoint { category: "syscalls".into(), event: "sys_enter_openat".into(), name_id: 0 };
    let raw = Target::RawTracepoint { event: "sys_enter".into(), typed: false };
    let kinds = [
        ("kprobe", Context::Registers, kprobe),
        ("uprobe", Context::Registers, uprobe),
        ("tp/syscalls/sys_enter_openat", Context::Record, tracepoint),
        ("perf_event", Context::Registers, perf),
        ("raw_tp/sys_enter", Context::Words, raw),
        ("raw_tp", Context::None, Target::Begin),
    ];
    for has in [Has::Everything, Has::Nothing] {
        let mut script = Script::new();
        for (section, context, target) in kinds.clone() {
            let (variables, statements) = body(&mut script, word(2, Type::U64));
            script.probe_at(section, context, target, variables, statements);
        }
        let image = image(&script, has);
        // One slot for those that never overlap, one for each of the others.
        assert_eq!(image.manifest.scratch_slots, 4);
        if load_image(image).is_none() {
            return;
        }
    }
}

#[test]
fn fentry_programs_load_and_return_zero() {
    if !kernel_has(&[Feature::Fentry]) {
        return;
    }
    let mut script = Script::new();
    let target = Target::Fentry { function: "vfs_read".into(), module: None, ret: false };
    let (variables, mut statements) = body(&mut script, word(1, Type::U64));
    statements.push(stmt(StmtKind::Return(Some(i64c(1)))));
    script.probe_at("fentry/vfs_read", Context::Words, target, variables, statements);
    load(&script, Has::Everything);
}

#[test]
fn a_program_with_several_names_asks_for_its_cookie() {
    if !kernel_has(&[Feature::Cookie]) {
        return;
    }
    let mut script = Script::new();
    let results = script.results();
    let target =
        |name_id| Target::Kprobe { function: "f".into(), module: None, offset: 0, ret: false, name_id };
    let name = || expr(ExprKind::Cast(Box::new(expr(ExprKind::ProbeName, Type::ProbeName))), Type::I64);
    script.probe_at("kprobe", Context::Registers, target(3), vec![], vec![set_result(results, 0, name())]);
    let calls = |script: &Script| super::run::text(script).contains("inttoptr (i64 174 to ptr)");
    assert!(!calls(&script), "one name is a constant");
    let other = image::Attach { what: target(4), ..script.program.probes[0].attach[0].clone() };
    script.program.probes[0].attach.push(other);
    assert!(calls(&script));
    load(&script, Has::Everything);
}

/// A program that fills scratch memory, and notes that it ran.
fn runs(with_return: bool) -> (Script, image::MapId) {
    let mut script = Script::new();
    let count = script.map(MapKind::Array, None, Type::I64);
    let add = ExprKind::MapAdd { map: count, key: None, delta: Box::new(i64c(1)), old: false };
    let mut body =
        vec![set_var(0, user_string(word(0, Type::U64), 200)), stmt(StmtKind::Expr(expr(add, Type::I64)))];
    if with_return {
        let kind = StmtKind::ForRange {
            var: VarId(1),
            start: i64c(0),
            end: i64c(3),
            body: vec![stmt(StmtKind::Return(None))],
        };
        body.push(stmt(kind));
    }
    body.push(condition(
        equal(var(0, Type::Str(200)), literal("x", 2)),
        vec![set_map(count, None, i64c(100))],
        vec![],
    ));
    script.probe(vec![Type::Str(200), Type::I64], body);
    (script, count)
}

fn busy(loaded: &Loaded, value: u64) {
    let manifest = &loaded.image.manifest;
    for index in 0..manifest.scratch_slots * super::run::cpus() {
        let mut area = vec![0; manifest.scratch_size as usize];
        area[..8].copy_from_slice(&value.to_ne_bytes());
        loaded.put(SCRATCH, &index.to_ne_bytes(), &area);
    }
}

#[test]
fn a_run_that_finds_its_memory_in_use_is_counted_and_changes_nothing() {
    for has in [Has::Everything, Has::Nothing] {
        let (script, count) = runs(false);
        let Some(loaded) = load(&script, has) else { return };
        let text = c"y".as_ptr() as u64;
        loaded.run(&[text]);
        loaded.run(&[text]);
        assert_eq!(loaded.words(count), [2]);
        busy(&loaded, 1);
        loaded.run(&[text]);
        assert_eq!((loaded.words(count), loaded.counter(Counter::MissedRuns as u32)), (vec![2], 1));
        busy(&loaded, 0);
        loaded.run(&[text]);
        assert_eq!((loaded.words(count), loaded.counter(Counter::MissedRuns as u32)), (vec![3], 1));
    }
}

#[test]
fn every_way_out_gives_the_memory_back() {
    for has in [Has::Everything, Has::Nothing] {
        let (script, count) = runs(true);
        let Some(loaded) = load(&script, has) else { return };
        for _ in 0..5 {
            loaded.run(&[c"y".as_ptr() as u64]);
        }
        assert_eq!(loaded.words(count), [5]);
    }
}

#[test]
fn failed_reads_are_reported_when_asked_for() {
    let mut script = Script::new();
    let results = script.results();
    let read = deref(word(0, Type::U64), Space::User, Type::I64);
    script.probe(
        vec![Type::Str(100)],
        vec![set_result(results, 0, read), set_var(0, user_string(word(0, Type::U64), 100))],
    );
    let Some(quiet) = load(&script, Has::Nothing) else { return };
    assert_eq!(quiet.image.manifest.ring, None);
    let Some(loaded) = load_image(image_with(&script, Has::Nothing, true)) else { return };
    let value = 5i64;
    loaded.run(&[&raw const value as u64]);
    assert_eq!(loaded.number(results, 0), Some(5));
    assert!(loaded.records().is_empty());
    loaded.run(&[8]);
    assert_eq!(loaded.number(results, 0), Some(0));
    let helpers: Vec<(String, i32)> = loaded
        .records()
        .iter()
        .map(|record| {
            let event = u32::from_ne_bytes(record[..4].try_into().unwrap()) as usize;
            let EventKind::HelperError { helper } = &loaded.image.manifest.events[event].kind else {
                panic!("{record:?}")
            };
            (helper.clone(), i32::from_ne_bytes(record[8..12].try_into().unwrap()))
        })
        .collect();
    let fault = -libc::EFAULT;
    assert_eq!(helpers, [("probe_read_user".into(), fault), ("probe_read_user_str".into(), fault)]);
}

#[test]
fn the_object_has_its_maps_and_its_license() {
    use object::{Object, ObjectSection, ObjectSymbol};
    let mut script = Script::new();
    script.config.license = "Dual MIT/GPL".into();
    let (variables, statements) = body(&mut script, word(0, Type::U64));
    script.probe(variables, statements);
    let image = image(&script, Has::Everything);
    let file = object::File::parse(image.elf.as_slice()).unwrap();
    let section = |name| file.section_by_name(name).unwrap_or_else(|| panic!("no section {name}"));
    assert_eq!(section("license").data().unwrap(), b"Dual MIT/GPL\0");
    assert!(["raw_tp", ".maps", ".rodata", ".BTF", ".BTF.ext"].iter().all(|name| section(name).size() > 0));
    let symbols: Vec<&str> = file.symbols().filter_map(|s| s.name().ok()).collect();
    for name in [
        "probe_0",
        "AT_m0",
        "AT_m1",
        "AT_m2",
        "__bt_events",
        "__bt_scratch",
        "__bt_counters",
        "__bt_stacks_127",
    ] {
        assert!(symbols.contains(&name), "no {name} in {symbols:?}");
    }
    assert_eq!(image.manifest.programs[0].name, "probe_0");
}

#[test]
fn code_of_macros_is_at_the_call_and_that_of_imports_in_their_file() {
    let mut sources = Sources::single("main.bt", "BEGIN {\n  call();\n}\n");
    let import = sources.add("lib/other.bt", "\n\nmacro call() { 1 }\n");
    let expansion = sources.add_expansion("call", import, Span::new(FileId::default(), 10, 16));
    let mut script = Script::new();
    let event = script.event(vec![]);
    let at = |file, start| Stmt { span: Span::new(file, start, start + 1), ..emit(event, vec![]) };
    script.probe(vec![], vec![at(expansion, 17), at(import, 17)]);
    let text = text_of(&script, &sources);
    let node = |start: &str, within: &str| {
        text.lines().any(|line| line.contains(&format!("= {start}")) && line.contains(within))
    };
    assert!(node("!DILocation", "line: 2, column: 3"), "{text}");
    assert!(
        node("!DIFile", "lib/other.bt") && node("distinct !DILexicalBlock", "line: 3, column: 16"),
        "{text}"
    );
}
