//! Reading memory: structs, bitfields, arrays, stacks; and where values are kept.

use super::build::*;
use super::run::{Has, load};
use crate::diagnostics::Span;
use crate::image::{MapKind, STACKS_PREFIX};
use crate::ir::{Expr, ExprKind, Place, PlaceKind};
use crate::types::{Bits, Field, Int, Space, StackFormat, StackMode, Struct, StructId, Type};

const BOTH: [Has; 2] = [Has::Everything, Has::Nothing];

fn field(base: Place, name: &str, ty: Type, offset: u32, bits: Option<Bits>) -> Place {
    let field = Field { name: name.into(), ty: ty.clone(), offset, bits };
    Place { kind: PlaceKind::Field { base: Box::new(base), field }, ty, span: Span::default() }
}

fn load_place(place: Place) -> Expr {
    let ty = place.ty.clone();
    expr(ExprKind::Load(Box::new(place)), ty)
}

fn number(e: Expr) -> Expr {
    expr(ExprKind::Cast(Box::new(e)), Type::I64)
}

/// `{ u64 a; i16 b; u16 c; u32 bits; struct { u8 d[12]; } inner; void *next; }`
#[repr(C)]
struct Sample {
    a: u64,
    b: i16,
    c: u16,
    bits: u32,
    d: [u8; 12],
    next: *const Sample,
}

#[test]
fn chains_of_fields_are_read() {
    let mut script = Script::new();
    let results = script.results();
    let id = StructId(0);
    let ty = Type::Struct(id);
    let size = size_of::<Sample>() as u32;
    script
        .program
        .layouts
        .structs
        .insert(id, Struct { name: "sample".into(), union: false, size, align: 8, fields: vec![] });
    let base = || deref_place(word(0, Type::U64), Space::User, ty.clone());
    let next = || {
        let pointer = load_place(field(base(), "next", Type::U64, 32, None));
        deref_place(pointer, Space::User, ty.clone())
    };
    let bits = |int, shift, width| {
        let ty = Type::Int(int);
        number(load_place(field(base(), "bits", ty, 12, Some(Bits { shift, width }))))
    };
    let at = |index| {
        let array = Type::Array { elem: Box::new(Type::U8), len: 12 };
        let array = Box::new(field(next(), "d", array, 16, None));
        let kind = PlaceKind::Index { base: array, index: Box::new(index) };
        number(load_place(Place { kind, ty: Type::U8, span: Span::default() }))
    };
    let address = expr(ExprKind::AddressOf(Box::new(field(next(), "c", Type::U16, 10, None))), Type::I64);
    // A copy of the whole, and a part of that.
    let whole = load_place(base());
    let part = ExprKind::Part { base: Box::new(whole.clone()), offset: 8 };
    let of_var = ExprKind::Part { base: Box::new(var(0, ty.clone())), offset: 10 };
    script.probe(
        vec![ty.clone()],
        vec![
            set_var(0, whole),
            set_result(results, 0, number(load_place(field(next(), "a", Type::U64, 0, None)))),
            set_result(results, 1, number(load_place(field(base(), "b", Type::Int(Int::I16), 8, None)))),
            set_result(results, 2, bits(Int::U32, 3, 5)),
            set_result(results, 3, bits(Int::I32, 3, 5)),
            set_result(results, 4, bits(Int::U32, 0, 32)),
            set_result(results, 5, at(i64c(3))),
            set_result(results, 6, at(word(1, Type::I64))),
            set_result(results, 7, address),
            set_result(results, 8, number(expr(part, Type::Int(Int::I16)))),
            set_result(results, 9, number(expr(of_var, Type::U16))),
        ],
    );
    for has in BOTH {
        let Some(loaded) = load(&script, has) else { return };
        let d = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
        let second = Sample { a: 99, b: 0, c: 5, bits: 0, d, next: std::ptr::null() };
        let first = Sample { a: 1, b: -7, c: 4000, bits: 0xffff_fff8 & !(1 << 3), d: [0; 12], next: &second };
        loaded.run(&[&raw const first as u64, 11]);
        let got: Vec<_> = (0..10).map(|n| loaded.number(results, n).unwrap()).collect();
        let address = &raw const second.c as i64;
        assert_eq!(got, [99, -7, 30, -2, 0xffff_fff0, 3, 11, address, -7, 4000]);
        // Nothing there.
        loaded.run(&[8, 11]);
        let got: Vec<_> = (0..10).map(|n| loaded.number(results, n).unwrap()).collect();
        assert_eq!(got, [0, 0, 0, 0, 0, 0, 0, 10, 0, 0]);
    }
}

#[test]
fn elements_out_of_bounds_are_zero() {
    for len in [3u32, 40] {
        let mut script = Script::new();
        let results = script.results();
        let ty = Type::Array { elem: Box::new(Type::U16), len };
        let element = |index| {
            let base = Box::new(var(0, ty.clone()));
            number(expr(ExprKind::Element { base, index: Box::new(index) }, Type::U16))
        };
        script.probe(
            vec![ty.clone()],
            vec![
                set_var(0, deref(word(0, Type::U64), Space::User, ty.clone())),
                set_result(results, 0, element(word(1, Type::I64))),
                set_result(results, 1, element(i64c(2))),
            ],
        );
        for has in BOTH {
            let Some(loaded) = load(&script, has) else { return };
            let data: Vec<u16> = (0..40).map(|n| n * 1000).collect();
            for index in [0i64, 1, 2, i64::from(len) - 1, len.into(), -1, i64::MAX] {
                loaded.run(&[data.as_ptr() as u64, index.cast_unsigned()]);
                let expected = if (0..len.into()).contains(&index) { index * 1000 } else { 0 };
                assert_eq!(loaded.number(results, 0), Some(expected), "{index} of {len}");
                assert_eq!(loaded.number(results, 1), Some(2000));
            }
        }
    }
}

#[test]
fn tuples_assign_to_themselves() {
    let mut script = Script::new();
    let results = script.results();
    let ty = Type::Tuple(vec![Type::I64, Type::I64]);
    let part = |offset| expr(ExprKind::Part { base: Box::new(var(0, ty.clone())), offset }, Type::I64);
    let bytes_equal = |a, b| {
        let kind = ExprKind::BytesEqual { left: Box::new(a), right: Box::new(b), negate: false };
        number(expr(kind, Type::Bool))
    };
    script.probe(
        vec![ty.clone()],
        vec![
            set_var(0, tuple(vec![(0, i64c(1)), (8, word(0, Type::I64))])),
            set_var(0, tuple(vec![(0, part(8)), (8, part(0))])),
            set_result(results, 0, part(0)),
            set_result(results, 1, part(8)),
            set_result(results, 2, bytes_equal(var(0, ty.clone()), tuple(vec![(0, i64c(5)), (8, i64c(1))]))),
        ],
    );
    let Some(loaded) = load(&script, Has::Nothing) else { return };
    loaded.run(&[5]);
    assert_eq!([0, 1, 2].map(|n| loaded.number(results, n)), [Some(5), Some(1), Some(1)]);
    loaded.run(&[6]);
    assert_eq!([0, 1, 2].map(|n| loaded.number(results, n)), [Some(6), Some(1), Some(0)]);
}

#[test]
fn variables_that_were_never_set_are_zero() {
    let mut script = Script::new();
    let results = script.results();
    let tuple_ty = Type::Tuple(vec![Type::I64, Type::I64]);
    let part = expr(ExprKind::Part { base: Box::new(var(2, tuple_ty.clone())), offset: 8 }, Type::I64);
    let set = vec![
        set_var(0, i64c(5)),
        set_var(1, literal("set", 200)),
        set_var(2, tuple(vec![(0, i64c(1)), (8, i64c(2))])),
    ];
    script.probe(
        vec![Type::I64, Type::Str(200), tuple_ty],
        vec![
            condition(word(0, Type::Bool), set, vec![]),
            set_result(results, 0, var(0, Type::I64)),
            set_result(results, 1, number(equal(var(1, Type::Str(200)), literal("", 1)))),
            set_result(results, 2, part),
        ],
    );
    for has in BOTH {
        let Some(loaded) = load(&script, has) else { return };
        for (flag, expected) in [(1, [5, 0, 2]), (0, [0, 1, 0])] {
            loaded.run(&[flag]);
            assert_eq!([0, 1, 2].map(|n| loaded.number(results, n).unwrap()), expected);
        }
    }
}

/// More variables and keys than the stack has room for.
#[test]
fn programs_larger_than_the_stack_load() {
    let mut script = Script::new();
    let results = script.results();
    let key = Type::Tuple(vec![Type::U64; 4]);
    let map = script.map(MapKind::Hash, Some(key), Type::I64);
    let count = 100;
    let mut body: Vec<_> = (0..count).map(|n| set_var(n, word(n % 12, Type::I64))).collect();
    for n in 0..count {
        let part = |k| (8 * k, expr(ExprKind::Cast(Box::new(var((n + k) % count, Type::I64))), Type::U64));
        body.push(set_map(map, Some(tuple((0..4).map(part).collect())), var(n, Type::I64)));
        body.push(set_result(results, (n % 30).into(), var(n, Type::I64)));
    }
    script.probe(vec![Type::I64; count as usize], body);
    for has in BOTH {
        let Some(loaded) = load(&script, has) else { return };
        loaded.run(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(loaded.number(results, 3), Some(93 % 12));
    }
}

#[test]
fn stacks_are_kept_under_their_hash() {
    for limit in [1u32, 3, 127, 1024] {
        let mut script = Script::new();
        let format = StackFormat { mode: StackMode::Bpftrace, limit };
        let kernel = script.map(MapKind::Hash, Some(Type::KStack(format)), Type::I64);
        let user = script.map(MapKind::Array, None, Type::UStack(format));
        let stack = |ty| expr(ExprKind::Stack, ty);
        let add = ExprKind::MapAdd {
            map: kernel,
            key: Some(Box::new(stack(Type::KStack(format)))),
            delta: Box::new(i64c(1)),
            old: true,
        };
        script.probe(
            vec![],
            vec![
                stmt(crate::ir::StmtKind::Expr(expr(add, Type::I64))),
                set_map(user, None, stack(Type::UStack(format))),
            ],
        );
        let Some(loaded) = load(&script, Has::Nothing) else { return };
        assert_eq!(loaded.image.manifest.stack_limits, [limit]);
        for _ in 0..3 {
            loaded.run(&[]);
        }
        let keys = loaded.keys(kernel);
        let [key] = keys.as_slice() else { panic!("{} stacks for one place", keys.len()) };
        assert_eq!(loaded.get(kernel, key), Some(3u64.to_ne_bytes().to_vec()));
        let word = |bytes: &[u8], at| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        let count = word(key, 8);
        assert!(count >= 1 && count <= limit.into(), "{count} frames");
        let name = format!("{STACKS_PREFIX}{limit}");
        let frames = loaded.named(&name, &key[..8]).unwrap();
        assert_eq!(frames.len(), limit as usize * 8);
        for n in 0..limit as usize {
            let frame = word(&frames, 8 * n);
            assert_eq!(frame != 0, (n as u64) < count, "frame {n} of {count} is {frame:#x}");
            assert!(frame == 0 || frame >> 63 == 1, "{frame:#x} is no kernel address");
        }
        let value = loaded.get(user, &[0; 4]).unwrap();
        assert_eq!(word(&value, 8) >> 32, u64::from(std::process::id()));
        let frames = loaded.named(&name, &value[..8]).unwrap();
        assert!(word(&frames, 0) != 0 && word(&frames, 0) >> 63 == 0);
    }
}
