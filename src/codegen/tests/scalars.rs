//! Arithmetic, conditions, maps without more.

use super::build::*;
use super::run::{Has, load};
use crate::image::MapKind;
use crate::ir::{Binary, ExprKind, StmtKind, Unary};
use crate::types::{Agg, Int, Type};

const OPERATORS: [Binary; 16] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Rem,
    Binary::And,
    Binary::Or,
    Binary::Xor,
    Binary::Shl,
    Binary::Shr,
    Binary::Eq,
    Binary::Ne,
    Binary::Lt,
    Binary::Le,
    Binary::Gt,
    Binary::Ge,
];

/// What an operator means, in numbers wide enough for all of them.
fn meaning(op: Binary, a: i128, b: i128, int: Int) -> i128 {
    let shift = (b & 63) as u32;
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a.wrapping_mul(b),
        Binary::Div => a.checked_div(b).unwrap_or(0),
        Binary::Rem => a.checked_rem(b).unwrap_or(a),
        Binary::And => a & b,
        Binary::Or => a | b,
        Binary::Xor => a ^ b,
        Binary::Shl => (a as i64).wrapping_shl(shift).into(),
        Binary::Shr if int.signed => ((a as i64) >> shift).into(),
        Binary::Shr => ((a as u64) >> shift).into(),
        Binary::Eq => (a == b).into(),
        Binary::Ne => (a != b).into(),
        Binary::Lt => (a < b).into(),
        Binary::Le => (a <= b).into(),
        Binary::Gt => (a > b).into(),
        Binary::Ge => (a >= b).into(),
    }
}

fn cut(value: i128, int: Int) -> i128 {
    let bits = 8 * u32::from(int.size);
    let low = (value as u128) & (u128::MAX >> (128 - bits));
    if int.signed && low >> (bits - 1) == 1 { low as i128 - (1 << bits) } else { low as i128 }
}

fn compares(op: Binary) -> bool {
    matches!(op, Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge)
}

#[test]
fn operators_compute_what_they_mean() {
    for int in [Int::I8, Int::U8, Int::I16, Int::U16, Int::I32, Int::U32, Int::I64, Int::U64] {
        let ty = Type::Int(int);
        let mut script = Script::new();
        let results = script.results();
        let body = OPERATORS
            .iter()
            .zip(0..)
            .map(|(op, n)| {
                let result = if compares(*op) { Type::Bool } else { ty.clone() };
                let value = binary(*op, word(0, ty.clone()), word(1, ty.clone()), result);
                set_result(results, n, expr(ExprKind::Cast(Box::new(value)), Type::I64))
            })
            .collect();
        script.probe(vec![], body);
        let Some(loaded) = load(&script, Has::Everything) else { return };
        let values = [0i64, 1, 2, 3, 7, 13, 63, 100, -1, -2, -7, -100, i64::MAX, i64::MIN, i32::MIN.into()];
        for a in values {
            for b in values {
                loaded.run(&[a.cast_unsigned(), b.cast_unsigned()]);
                let (x, y) = (cut(a.into(), int), cut(b.into(), int));
                for (op, n) in OPERATORS.iter().zip(0..) {
                    let expected = cut(meaning(*op, x, y, int), if compares(*op) { Int::U8 } else { int });
                    let got = loaded.number(results, n).unwrap();
                    assert_eq!(got, expected as i64, "{x} {op:?} {y} as {int}");
                }
            }
        }
    }
}

#[test]
fn unary_operators_and_casts() {
    let mut script = Script::new();
    let results = script.results();
    let unary = |op, ty: Type| {
        let operand = Box::new(word(0, ty.clone()));
        expr(ExprKind::Unary { op, operand }, if op == Unary::Not { Type::Bool } else { ty })
    };
    let cast = |e, ty| expr(ExprKind::Cast(Box::new(e)), ty);
    script.probe(
        vec![],
        vec![
            set_result(results, 0, cast(unary(Unary::Neg, Type::I32), Type::I64)),
            set_result(results, 1, cast(unary(Unary::Invert, Type::U8), Type::I64)),
            set_result(results, 2, cast(unary(Unary::Not, Type::U64), Type::I64)),
            set_result(results, 3, cast(cast(word(0, Type::U64), Type::Int(Int::I8)), Type::I64)),
            set_result(results, 4, cast(cast(word(0, Type::U64), Type::Bool), Type::I64)),
            stmt(StmtKind::Return(Some(u64c(42)))),
            set_result(results, 5, i64c(1)),
        ],
    );
    let Some(loaded) = load(&script, Has::Nothing) else { return };
    assert_eq!(loaded.run(&[0x1_0000_00ff]), 42);
    let got: Vec<_> = (0..6).map(|n| loaded.number(results, n)).collect();
    assert_eq!(got, [Some(-255), Some(0), Some(0), Some(-1), Some(1), None]);
}

#[test]
fn and_or_and_select_evaluate_no_more_than_they_need() {
    let mut script = Script::new();
    let results = script.results();
    let touched = script.map(MapKind::Array, None, Type::I64);
    let untouched = script.map(MapKind::Array, None, Type::I64);
    // True, and leaves a trace.
    let touch = || {
        let add = ExprKind::MapAdd { map: touched, key: None, delta: Box::new(i64c(1)), old: false };
        let value = Box::new(expr(add, Type::I64));
        expr(ExprKind::Cast(value), Type::Bool)
    };
    let flag = |n| word(n, Type::Bool);
    let both = |a, b| expr(ExprKind::And(Box::new(a), Box::new(b)), Type::Bool);
    let any = |a, b| expr(ExprKind::Or(Box::new(a), Box::new(b)), Type::Bool);
    let number = |e| expr(ExprKind::Cast(Box::new(e)), Type::I64);
    let choice = ExprKind::Select {
        condition: Box::new(flag(0)),
        then: Box::new(i64c(10)),
        otherwise: Box::new(number(touch())),
    };
    script.probe(
        vec![],
        vec![
            set_result(results, 0, number(both(flag(0), touch()))),
            set_result(results, 1, number(any(flag(0), touch()))),
            set_result(results, 2, expr(choice, Type::I64)),
        ],
    );
    for has in [Has::Everything, Has::Nothing] {
        let Some(loaded) = load(&script, has) else { return };
        loaded.run(&[1]);
        assert_eq!(loaded.words(touched), [1]);
        assert!(loaded.written(touched) && !loaded.written(untouched));
        assert_eq!((0..3).map(|n| loaded.number(results, n).unwrap()).collect::<Vec<_>>(), [1, 1, 10]);
        loaded.run(&[0]);
        assert_eq!(loaded.words(touched), [3]);
        assert_eq!((0..3).map(|n| loaded.number(results, n).unwrap()).collect::<Vec<_>>(), [0, 1, 1]);
    }
}

#[test]
fn counting_in_maps() {
    let mut script = Script::new();
    let plain = script.gather(None, Agg::Count);
    let keyed = script.gather(Some(Type::U32), Agg::Count);
    let numbers = script.map(MapKind::Hash, Some(Type::U32), Type::I64);
    let before = script.results();
    let add = |old| ExprKind::MapAdd {
        map: numbers,
        key: Some(Box::new(word(0, Type::U32))),
        delta: Box::new(i64c(5)),
        old,
    };
    script.probe(
        vec![],
        vec![
            aggregate(plain, None, None),
            aggregate(keyed, Some(word(0, Type::U32)), None),
            set_result(before, 0, expr(add(true), Type::I64)),
            set_result(before, 1, expr(add(false), Type::I64)),
            stmt(StmtKind::Expr(expr(add(false), Type::I64))),
        ],
    );
    for has in [Has::Everything, Has::Nothing] {
        let Some(loaded) = load(&script, has) else { return };
        for n in [7, 7, 9] {
            loaded.run(&[n]);
        }
        assert_eq!(loaded.words(plain), [3]);
        let count = |key: u32| loaded.get(keyed, &key.to_ne_bytes());
        assert_eq!(count(7), Some(2u64.to_ne_bytes().to_vec()));
        assert_eq!(count(9), Some(1u64.to_ne_bytes().to_vec()));
        assert_eq!(count(8), None);
        assert_eq!(loaded.get(numbers, &7u32.to_ne_bytes()), Some(30u64.to_ne_bytes().to_vec()));
        assert_eq!((loaded.number(before, 0), loaded.number(before, 1)), (Some(0), Some(10)));
        loaded.run(&[7]);
        assert_eq!((loaded.number(before, 0), loaded.number(before, 1)), (Some(30), Some(40)));
    }
}

#[test]
fn a_full_map_counts_what_it_refuses() {
    let mut script = Script::new();
    let counts = script.gather(Some(Type::U64), Agg::Count);
    let set = script.map(MapKind::Hash, Some(Type::U64), Type::I64);
    let add = script.map(MapKind::Hash, Some(Type::U64), Type::I64);
    let adding = ExprKind::MapAdd {
        map: add,
        key: Some(Box::new(word(0, Type::U64))),
        delta: Box::new(i64c(1)),
        old: true,
    };
    script.probe(
        vec![],
        vec![
            aggregate(counts, Some(word(0, Type::U64)), None),
            set_map(set, Some(word(0, Type::U64)), i64c(1)),
            stmt(StmtKind::Expr(expr(adding, Type::I64))),
        ],
    );
    let Some(loaded) = load(&script, Has::Nothing) else { return };
    for n in 0..70 {
        loaded.run(&[n]);
    }
    let refused: Vec<u64> = (0..3).map(|n| loaded.counter(crate::image::Counter::Maps as u32 + n)).collect();
    assert_eq!(refused, [6, 6, 6]);
    assert_eq!(loaded.keys(set).len(), 64);
}
