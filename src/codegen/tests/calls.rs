//! Helper calls that are saved.

use super::build::*;
use super::run::{Has, load, text};
use crate::image::{Counter, MapId, MapKind};
use crate::ir::{Expr, ExprKind, Stmt, StmtKind};
use crate::types::Type;

const LOOKUP: u32 = 1;
const TIME: u32 = 5;
const TASK_IDS: u32 = 14;

fn helper(id: u32) -> Expr {
    expr(ExprKind::Helper { id, args: vec![] }, Type::U64)
}

fn delete(map: MapId, key: Expr) -> Stmt {
    let delete = ExprKind::MapDelete { map, key: Some(Box::new(key)) };
    stmt(StmtKind::Expr(expr(delete, Type::Bool)))
}

fn calls(script: &Script, id: u32) -> usize {
    text(script).matches(&format!("inttoptr (i64 {id} to ptr)")).count()
}

/// Who runs does not change while a program runs, the time does.
#[test]
fn what_stays_the_same_is_asked_for_once() {
    let mut script = Script::new();
    let map = script.map(MapKind::Hash, Some(Type::U64), Type::U64);
    let set = |key| set_map(map, Some(key), helper(TIME));
    script.probe(vec![], vec![set(helper(TASK_IDS)), set(u64c(1)), delete(map, helper(TASK_IDS))]);
    assert_eq!((calls(&script, TASK_IDS), calls(&script, TIME)), (1, 2));
}

/// `@start[tid] = nsecs` where another probe deletes the key again.
#[test]
fn keys_that_come_and_go_are_set_without_a_look() {
    let script = |deleted: bool, looks: bool| {
        let mut script = Script::new();
        let map = script.map(MapKind::Hash, Some(Type::U64), Type::U64);
        let other = script.map(MapKind::Hash, Some(Type::U64), Type::U64);
        let mut body = vec![set_map(map, Some(u64c(1)), word(0, Type::U64))];
        if looks {
            body.push(set_map(other, Some(u64c(1)), get(map, Some(u64c(1)), Type::U64)));
        }
        script.probe(vec![], body);
        let gone = if deleted { map } else { other };
        script.probe(vec![], vec![delete(gone, u64c(1))]);
        (script, map)
    };
    let lookups = |deleted, looks| calls(&script(deleted, looks).0, LOOKUP);
    // One more is in the function that counts what maps refuse.
    assert_eq!((lookups(true, false), lookups(false, false)), (1, 2));
    // Of both maps that are set, and of the one that is read.
    assert_eq!(lookups(true, true), 4);
    let (script, map) = script(true, false);
    let Some(loaded) = load(&script, Has::Nothing) else { return };
    for value in [5, 6] {
        loaded.run(&[value]);
        assert_eq!(loaded.number(map, 1), Some(value as i64));
    }
    // A full map takes a new value for a key that it has.
    for key in 2..=64u64 {
        loaded.put("AT_m0", &key.to_ne_bytes(), &[0; 8]);
    }
    loaded.run(&[7]);
    assert_eq!((loaded.number(map, 1), loaded.counter(Counter::Maps as u32)), (Some(7), 0));
    loaded.run_program("probe_1", &[]);
    assert_eq!(loaded.number(map, 1), None);
    loaded.put("AT_m0", &65u64.to_ne_bytes(), &[0; 8]);
    loaded.run(&[8]);
    assert_eq!((loaded.number(map, 1), loaded.counter(Counter::Maps as u32)), (None, 1));
}
