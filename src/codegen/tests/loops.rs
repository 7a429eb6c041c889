//! Loops, with `bpf_loop` and without.

use super::build::*;
use super::run::{Has, kernel_has, load};
use crate::image::{MapId, MapKind};
use crate::ir::{Binary, Expr, ExprKind, Stmt, StmtKind, VarId};
use crate::kernel::Feature;
use crate::types::{Agg, Type};

const BOTH: [Has; 2] = [Has::Everything, Has::Nothing];

fn i(n: u32) -> Expr {
    var(n, Type::I64)
}

fn add(a: Expr, b: Expr) -> Expr {
    binary(Binary::Add, a, b, Type::I64)
}

fn is(op: Binary, a: Expr, b: Expr) -> Expr {
    binary(op, a, b, Type::Bool)
}

fn while_loop(condition: Expr, body: Vec<Stmt>) -> Stmt {
    stmt(StmtKind::While { condition, body })
}

fn range(n: u32, start: Expr, end: Expr, body: Vec<Stmt>) -> Stmt {
    stmt(StmtKind::ForRange { var: VarId(n), start, end, body })
}

fn bump(map: MapId, key: Expr, delta: Expr) -> Stmt {
    let kind = ExprKind::MapAdd { map, key: Some(Box::new(key)), delta: Box::new(delta), old: true };
    stmt(StmtKind::Expr(expr(kind, Type::I64)))
}

#[test]
fn while_runs_until_its_condition_fails() {
    let mut script = Script::new();
    let results = script.results();
    let limit = word(0, Type::I64);
    script.probe(
        vec![Type::I64, Type::I64],
        vec![
            set_var(0, i64c(0)),
            set_var(1, i64c(0)),
            while_loop(
                is(Binary::Lt, i(0), limit),
                vec![
                    increment(0),
                    // Skips odd numbers, and stops at 50.
                    condition(
                        is(Binary::Eq, binary(Binary::And, i(0), i64c(1), Type::I64), i64c(1)),
                        vec![stmt(StmtKind::Continue)],
                        vec![],
                    ),
                    condition(is(Binary::Eq, i(0), i64c(50)), vec![stmt(StmtKind::Break)], vec![]),
                    set_var(1, add(i(1), i(0))),
                ],
            ),
            set_result(results, 0, i(0)),
            set_result(results, 1, i(1)),
        ],
    );
    for has in BOTH {
        let Some(loaded) = load(&script, has) else { return };
        for (limit, rounds, sum) in [(0, 0, 0), (1, 1, 0), (10, 10, 30), (1000, 50, 600)] {
            loaded.run(&[limit]);
            let got = (loaded.number(results, 0), loaded.number(results, 1));
            assert_eq!(got, (Some(rounds), Some(sum)), "to {limit} with {has:?}");
        }
    }
}

#[test]
fn ranges_and_nested_loops() {
    let mut script = Script::new();
    let results = script.results();
    script.probe(
        vec![Type::I64, Type::I64, Type::I64],
        vec![
            set_var(2, i64c(0)),
            range(
                0,
                word(0, Type::I64),
                word(1, Type::I64),
                vec![range(
                    1,
                    i64c(0),
                    i(0),
                    vec![
                        condition(is(Binary::Eq, i(1), i64c(3)), vec![stmt(StmtKind::Break)], vec![]),
                        set_var(2, add(i(2), i64c(1))),
                        bump(results, expr(ExprKind::Cast(Box::new(i(0))), Type::U64), i(1)),
                    ],
                )],
            ),
            set_result(results, 100, i(2)),
        ],
    );
    for has in BOTH {
        let Some(loaded) = load(&script, has) else { return };
        loaded.run(&[(-2i64).cast_unsigned(), 6]);
        let expected: i64 = (-2..6i64).map(|i| i.clamp(0, 3)).sum();
        assert_eq!(loaded.number(results, 100), Some(expected), "{has:?}");
        assert_eq!((loaded.number(results, 2), loaded.number(results, 5)), (Some(1), Some(3)));
        assert_eq!(loaded.number(results, (-1i64).cast_unsigned()), None);
        // Backwards there is nothing.
        loaded.run(&[6, 6]);
        assert_eq!(loaded.number(results, 100), Some(0));
        loaded.run(&[6, (-6i64).cast_unsigned()]);
        assert_eq!(loaded.number(results, 100), Some(0));
    }
}

#[test]
fn return_ends_the_program_from_any_depth() {
    let mut script = Script::new();
    let results = script.results();
    let give_up = stmt(StmtKind::Return(Some(binary(Binary::Mul, i(0), i64c(10), Type::I64))));
    script.probe(
        vec![Type::I64, Type::I64],
        vec![
            range(
                0,
                i64c(0),
                i64c(5),
                vec![range(
                    1,
                    i64c(0),
                    i64c(5),
                    vec![condition(
                        is(Binary::Eq, add(i(0), i(1)), word(0, Type::I64)),
                        vec![give_up],
                        vec![],
                    )],
                )],
            ),
            set_result(results, 0, i64c(1)),
        ],
    );
    for has in BOTH {
        let Some(loaded) = load(&script, has) else { return };
        assert_eq!(loaded.run(&[7]), 30);
        assert_eq!(loaded.number(results, 0), None);
        assert_eq!(loaded.run(&[9]), 0);
        assert_eq!(loaded.number(results, 0), Some(1));
        // The next run starts afresh.
        assert_eq!(loaded.run(&[8]), 40);
    }
}

#[test]
fn a_loop_without_end_is_ended_and_says_so() {
    let mut script = Script::new();
    let results = script.results();
    script.probe(
        vec![Type::I64],
        vec![set_var(0, i64c(0)), while_loop(u64c(1), vec![increment(0)]), set_result(results, 0, i(0))],
    );
    for has in BOTH {
        let Some(loaded) = load(&script, has) else { return };
        loaded.run(&[]);
        let rounds = loaded.number(results, 0).unwrap();
        let outlined = has == Has::Everything && kernel_has(&[Feature::Loop]);
        assert!(if outlined { rounds == 1 << 23 } else { rounds >= 100 }, "{rounds}");
        let records = loaded.records();
        assert_eq!(records.len(), 1);
        let event = u32::from_ne_bytes(records[0][..4].try_into().unwrap()) as usize;
        match &loaded.image.manifest.events[event].kind {
            crate::image::EventKind::Warning { message } => {
                assert!(message.contains(&rounds.to_string()), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Adds up keys and values of a map in a loop over it.
fn sum_entries(script: &mut Script, map: MapId, key: Type, value: Type, results: MapId) {
    let entry = Type::Tuple(vec![key.clone(), value.clone()]);
    let part = |offset, ty| {
        let base = Box::new(var(0, entry.clone()));
        expr(ExprKind::Cast(Box::new(expr(ExprKind::Part { base, offset }, ty))), Type::I64)
    };
    let limit = is(Binary::Eq, part(0, key.clone()), word(0, Type::I64));
    let body = vec![
        condition(limit, vec![stmt(StmtKind::Continue)], vec![]),
        bump(results, u64c(0), part(0, key)),
        bump(results, u64c(1), part(8, value)),
    ];
    script.probe(vec![entry.clone()], vec![stmt(StmtKind::ForMap { var: VarId(0), map, body })]);
}

#[test]
fn loops_over_maps_see_every_entry() {
    if !kernel_has(&[Feature::ForEachMap]) {
        return;
    }
    let mut script = Script::new();
    let plain = script.map(MapKind::Hash, Some(Type::U32), Type::I64);
    let results = script.results();
    sum_entries(&mut script, plain, Type::U32, Type::I64, results);
    let insert = set_map(plain, Some(word(0, Type::U32)), word(1, Type::I64));
    script.probe(vec![], vec![insert]);
    let Some(loaded) = load(&script, Has::Everything) else { return };
    for n in 1..=10 {
        loaded.run_program("probe_1", &[n, 100 * n]);
    }
    loaded.run(&[0]);
    assert_eq!((loaded.number(results, 0), loaded.number(results, 1)), (Some(55), Some(5500)));
    loaded.run(&[10]);
    assert_eq!((loaded.number(results, 0), loaded.number(results, 1)), (Some(100), Some(10000)));
}

#[test]
fn loops_over_gathering_maps_see_sums() {
    if !kernel_has(&[Feature::LookupPerCpu]) {
        return;
    }
    for agg in [Agg::Count, Agg::Avg { signed: true }, Agg::Max { signed: true }] {
        let mut script = Script::new();
        let map = script.gather(Some(Type::U64), agg);
        let results = script.results();
        sum_entries(&mut script, map, Type::U64, Type::I64, results);
        let value = (agg != Agg::Count).then(|| word(1, Type::I64));
        script.probe(vec![], vec![aggregate(map, Some(word(0, Type::U64)), value)]);
        let Some(loaded) = load(&script, Has::Everything) else { return };
        for n in [1, 2] {
            for value in [10 * n, 20 * n] {
                loaded.run_program("probe_1", &[n, value]);
            }
        }
        loaded.run(&[0]);
        let expected = match agg {
            Agg::Count => 4,
            Agg::Avg { .. } => 15 + 30,
            _ => 20 + 40,
        };
        assert_eq!((loaded.number(results, 0), loaded.number(results, 1)), (Some(3), Some(expected)));
    }
}

#[test]
fn composite_keys_and_values_come_through_a_loop() {
    if !kernel_has(&[Feature::ForEachMap]) {
        return;
    }
    let mut script = Script::new();
    let key = Type::Tuple(vec![Type::U8, Type::Str(40)]);
    let value = Type::Str(100);
    let map = script.map(MapKind::Hash, Some(key.clone()), value.clone());
    let entry = Type::Tuple(vec![key.clone(), value.clone()]);
    let event = script.event(vec![key.clone(), value.clone()]);
    let part = |offset, ty: &Type| {
        expr(ExprKind::Part { base: Box::new(var(0, entry.clone())), offset }, ty.clone())
    };
    let body = vec![emit(event, vec![part(0, &key), part(41, &value)])];
    let make = tuple(vec![(0, word(0, Type::U8)), (1, user_string(word(1, Type::U64), 40))]);
    script.probe(
        vec![entry.clone()],
        vec![
            set_map(map, Some(make), user_string(word(2, Type::U64), 100)),
            stmt(StmtKind::ForMap { var: VarId(0), map, body }),
        ],
    );
    let Some(loaded) = load(&script, Has::Everything) else { return };
    loaded.run(&[7, c"key".as_ptr() as u64, c"a value".as_ptr() as u64]);
    let records = loaded.records();
    let bytes = &records[0][8..];
    assert_eq!(bytes[..5], *b"\x07key\0");
    assert_eq!(u32::from_ne_bytes(bytes[44..48].try_into().unwrap()), 7);
    assert_eq!(&bytes[48..55], b"a value");
}

#[test]
fn maps_know_how_many_keys_they_have() {
    if !kernel_has(&[Feature::ForEachMap]) {
        return;
    }
    let mut script = Script::new();
    let map = script.gather(Some(Type::U64), Agg::Count);
    let results = script.results();
    let len = expr(ExprKind::Cast(Box::new(expr(ExprKind::MapLen(map), Type::U64))), Type::I64);
    let has = ExprKind::MapHas { map, key: Box::new(u64c(2)) };
    let delete = ExprKind::MapDelete { map, key: Some(Box::new(word(1, Type::U64))) };
    let number = |kind| expr(ExprKind::Cast(Box::new(expr(kind, Type::Bool))), Type::I64);
    script.probe(
        vec![],
        vec![
            aggregate(map, Some(word(0, Type::U64)), None),
            set_result(results, 0, len),
            set_result(results, 1, number(has)),
            set_result(results, 2, number(delete)),
        ],
    );
    let Some(loaded) = load(&script, Has::Everything) else { return };
    let run = |a, b| {
        loaded.run(&[a, b]);
        [0, 1, 2].map(|n| loaded.number(results, n).unwrap())
    };
    assert_eq!(run(1, 50), [1, 0, 0]);
    assert_eq!(run(2, 1), [2, 1, 1]);
    assert_eq!(run(2, 1), [1, 1, 0]);
}
