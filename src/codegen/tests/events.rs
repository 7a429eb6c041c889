//! Records as the runtime gets them.

use super::build::*;
use super::run::{Has, image, load};
use crate::image::{Ring, Target};
use crate::ir::{Context, Expr, ExprKind};
use crate::types::{Space, Type};

/// The event's number and what follows the head.
fn parts(record: &[u8]) -> (u32, &[u8]) {
    assert_eq!(record.len() % 8, 0);
    assert_eq!(record[4..8], [0; 4]);
    (u32::from_ne_bytes(record[..4].try_into().unwrap()), &record[8..])
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[test]
fn fixed_arguments_lie_at_their_offsets() {
    let mut script = Script::new();
    script.event(vec![]);
    let types = vec![Type::U8, Type::I32, Type::Str(16), Type::U64];
    let event = script.event(types);
    script.probe(
        vec![],
        vec![emit(event, vec![word(0, Type::U8), word(1, Type::I32), comm(), word(2, Type::U64)])],
    );
    for has in [Has::Everything, Has::Nothing] {
        let Some(loaded) = load(&script, has) else { return };
        loaded.run(&[0x1ff, u64::MAX, 0x1122_3344_5566_7788]);
        let records = loaded.records();
        let [record] = records.as_slice() else { panic!("{records:?}") };
        let (id, bytes) = parts(record);
        assert_eq!(id, 1);
        assert_eq!(bytes[..8], [0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        let name = std::fs::read("/proc/thread-self/comm").unwrap();
        assert_eq!(&bytes[8..8 + name.len() - 1], &name[..name.len() - 1]);
        assert_eq!(bytes[24..32], 0x1122_3344_5566_7788u64.to_ne_bytes());
        assert_eq!(record.len(), 40);
    }
}

#[test]
fn strings_are_sent_as_long_as_they_are() {
    for size in [64, 65, 100, 1024, 65536] {
        let mut script = Script::new();
        let event = script.event(vec![Type::Str(size), Type::U64, Type::Str(size), Type::Str(16)]);
        let string = |n| user_string(word(n, Type::U64), size);
        script.probe(
            vec![],
            vec![emit(
                event,
                vec![string(0), word(1, Type::U64), string(2), user_string(word(2, Type::U64), 16)],
            )],
        );
        for has in [Has::Everything, Has::Nothing] {
            let Some(loaded) = load(&script, has) else { return };
            let most = size as usize - 1;
            for (a, b) in
                [(0, 0), (1, 0), (0, 1), (5, 13), (most, most), (most + 1, most + 100), (most - 1, 3)]
            {
                let text = |len: usize, byte: u8| {
                    let mut text = vec![byte; len];
                    text.push(0);
                    text
                };
                let (first, second) = (text(a, b'a'), text(b, b'b'));
                loaded.run(&[first.as_ptr() as u64, 77, second.as_ptr() as u64]);
                let records = loaded.records();
                let [record] = records.as_slice() else { panic!("{} records", records.len()) };
                let (_, bytes) = parts(record);
                let (a, b) = (a.min(most), b.min(most));
                assert_eq!((number(bytes, 0) as usize, number(bytes, 16) as usize), (a, b));
                assert_eq!(bytes[8..16], 77u64.to_ne_bytes());
                let short = b.min(15);
                assert_eq!(&bytes[20..20 + short], &second[..short]);
                assert_eq!(bytes[20 + short], 0);
                let fixed = 40;
                assert_eq!(&bytes[fixed..fixed + a], &first[..a]);
                assert_eq!(&bytes[fixed + a..fixed + a + b], &second[..b]);
                assert_eq!(record.len(), (8 + fixed + a + b).next_multiple_of(8));
            }
        }
    }
}

fn buffer(address: Expr, len: Expr, size: u32) -> Expr {
    let kind = ExprKind::ReadBuffer { address: Box::new(address), len: Box::new(len), space: Space::User };
    expr(kind, Type::Buf(size))
}

#[test]
fn buffers_carry_their_length() {
    let mut script = Script::new();
    let small = Type::Buf(10);
    let event = script.event(vec![small, Type::Buf(200)]);
    let read = |size| buffer(word(0, Type::U64), word(1, Type::U64), size);
    script.probe(vec![], vec![emit(event, vec![read(10), read(200)])]);
    let Some(loaded) = load(&script, Has::Nothing) else { return };
    let data: Vec<u8> = (0..=255).collect();
    for len in [0usize, 1, 10, 11, 200, 201, usize::MAX] {
        loaded.run(&[data.as_ptr() as u64, len as u64]);
        let records = loaded.records();
        let (_, bytes) = parts(&records[0]);
        let (short, long) = (len.min(10), len.min(200));
        assert_eq!(number(bytes, 0) as usize, short);
        assert_eq!(&bytes[4..4 + short], &data[..short]);
        assert_eq!(number(bytes, 16) as usize, long);
        assert_eq!(&bytes[20..20 + long], &data[..long]);
    }
}

#[test]
fn variables_and_constants_are_sent_as_strings_too() {
    let mut script = Script::new();
    let ty = Type::Str(100);
    let event = script.event(vec![ty.clone(), ty.clone(), ty.clone(), ty.clone()]);
    let choice = ExprKind::Select {
        condition: Box::new(word(1, Type::Bool)),
        then: Box::new(literal("yes, it is", 100)),
        otherwise: Box::new(user_string(word(0, Type::U64), 100)),
    };
    let map = script.map(crate::image::MapKind::Array, None, ty.clone());
    script.probe(
        vec![ty.clone()],
        vec![
            set_var(0, user_string(word(0, Type::U64), 100)),
            set_map(map, None, var(0, ty.clone())),
            emit(
                event,
                vec![
                    var(0, ty.clone()),
                    literal("constant", 100),
                    get(map, None, ty.clone()),
                    expr(choice, ty.clone()),
                ],
            ),
        ],
    );
    for has in [Has::Everything, Has::Nothing] {
        let Some(loaded) = load(&script, has) else { return };
        for (flag, expected) in [(1, "hellohello".len() + "constantyes, it is".len()), (0, 23)] {
            loaded.run(&[c"hello".as_ptr() as u64, flag]);
            let records = loaded.records();
            let (_, bytes) = parts(&records[0]);
            let text = String::from_utf8_lossy(&bytes[16..16 + expected]).into_owned();
            assert_eq!(text, ["helloconstanthellohello", "helloconstanthelloyes, it is"][flag as usize]);
        }
    }
}

#[test]
fn what_an_argument_changes_is_changed_though_the_event_is_lost() {
    let mut script = Script::new();
    let event = script.event(vec![Type::I64, Type::Array { elem: Box::new(Type::U64), len: 512 }]);
    let count = script.map(crate::image::MapKind::Array, None, Type::I64);
    let add = ExprKind::MapAdd { map: count, key: None, delta: Box::new(i64c(1)), old: true };
    let array = deref(word(0, Type::U64), Space::User, script.program.events[0].args[1].clone());
    script.probe(vec![], vec![emit(event, vec![expr(add, Type::I64), array])]);
    let Some(loaded) = load(&script, Has::Nothing) else { return };
    let data = [3u64; 512];
    // The ring holds 4 MiB, a record takes 4 KiB.
    for _ in 0..1100 {
        loaded.run(&[data.as_ptr() as u64]);
    }
    assert_eq!(loaded.words(count), [1100]);
    let lost = loaded.counter(crate::image::Counter::LostEvents as u32);
    let received = loaded.records().len() as u64;
    assert!(lost > 50 && lost + received == 1100, "{lost} lost, {received} received");
}

#[test]
fn the_ring_is_as_large_as_its_events_are_frequent() {
    let ring = |target, exit: bool| {
        let mut script = Script::new();
        let event = script.event(vec![]);
        if exit {
            script.program.events[0].kind = crate::image::EventKind::Exit;
        }
        script.probe_at("raw_tp", Context::Words, target, vec![], vec![emit(event, vec![])]);
        image(&script, Has::Nothing).manifest.ring
    };
    let hot = || Target::RawTracepoint { event: "sys_enter".into(), typed: false };
    assert_eq!(ring(Target::Begin, false), Some(Ring::Small));
    assert_eq!(ring(hot(), false), Some(Ring::Large));
    assert_eq!(ring(hot(), true), Some(Ring::Small));
    let mut script = Script::new();
    script.probe(vec![], vec![]);
    assert_eq!(image(&script, Has::Nothing).manifest.ring, None);
}

#[test]
fn tuples_with_strings_are_sent_whole() {
    let mut script = Script::new();
    let value = tuple(vec![
        (0, word(0, Type::U8)),
        (1, user_string(word(1, Type::U64), 200)),
        (208, word(2, Type::U64)),
    ]);
    let event = script.event(vec![value.ty.clone()]);
    script.probe(vec![], vec![emit(event, vec![value])]);
    let Some(loaded) = load(&script, Has::Nothing) else { return };
    loaded.run(&[9, c"text".as_ptr() as u64, 10]);
    let records = loaded.records();
    let (_, bytes) = parts(&records[0]);
    assert_eq!((bytes.len(), bytes[0], &bytes[1..6]), (216, 9, &b"text\0"[..]));
    assert_eq!(bytes[201..216], [0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0]);
}
