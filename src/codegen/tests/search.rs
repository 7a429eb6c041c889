//! What is found out about strings: length, search, order; and what is made of them.

use std::sync::LazyLock;

use super::build::*;
use super::run::{Has, Loaded, kernel_has, load};
use crate::image::MapKind;
use crate::ir::{Expr, ExprKind, Names, StmtKind, VarId};
use crate::kernel::Feature;
use crate::types::{Int, Type};

fn number(e: Expr) -> Expr {
    expr(ExprKind::Cast(Box::new(e)), Type::I64)
}

fn find(haystack: Expr, needle: Expr) -> Expr {
    let kind = ExprKind::StringFind { haystack: Box::new(haystack), needle: Box::new(needle) };
    expr(kind, Type::I64)
}

fn length(text: Expr) -> Expr {
    number(expr(ExprKind::StringLength(Box::new(text)), Type::U64))
}

fn c_string(text: &[u8]) -> Vec<u8> {
    [text, b"\0"].concat()
}

/// What Rust finds.
fn position(haystack: &[u8], needle: &[u8]) -> i64 {
    if needle.is_empty() {
        return 0;
    }
    haystack.windows(needle.len()).position(|window| window == needle).map_or(-1, |at| at as i64)
}

fn results(loaded: &Loaded, map: crate::image::MapId, count: u64) -> Vec<i64> {
    (0..count).map(|n| loaded.number(map, n).unwrap()).collect()
}

/// Both ways for short strings, with `bpf_loop` for all.
fn ways(size: u32) -> &'static [Has] {
    if size > 4096 {
        if kernel_has(&[Feature::Loop]) { &[Has::Everything] } else { &[] }
    } else {
        &[Has::Everything, Has::Nothing]
    }
}

/// Texts with a needle at the start, at each place in a word, at the end, twice, half, and behind the NUL.
fn haystacks(needle: &[u8], size: usize) -> Vec<Vec<u8>> {
    let filler = |n: usize| -> Vec<u8> { (0..n).map(|n| b"abcdeffedcba.,:"[n % 15]).collect() };
    let most = size - 1;
    let mut texts = vec![vec![], needle.to_vec(), filler(most)];
    for before in (0..18).chain([most.saturating_sub(needle.len()), most / 2]) {
        texts.push([&filler(before), needle].concat());
        texts.push([&filler(before), needle, b"zz", needle, b"!"].concat());
        // All but its last character, then all of it.
        let half = &needle[..needle.len().saturating_sub(1)];
        texts.push([&filler(before), half].concat());
        texts.push([&filler(before), half, needle].concat());
    }
    texts.retain(|text| text.len() <= most);
    texts
}

#[test]
fn a_string_is_found_where_it_is() {
    for size in [8u32, 16, 100, 300, 1024, 4096, 65536] {
        for needle in ["", "x", "xyz", "12345678", "aaaaaaaab", "a longer one that has 33 of them."] {
            let mut script = Script::new();
            let results_map = script.results();
            let read = |n, size| user_string(word(n, Type::U64), size);
            script.probe(
                vec![Type::Str(size)],
                vec![
                    set_var(0, read(0, size)),
                    set_result(results_map, 0, find(read(0, size), literal(needle, needle.len() as u32 + 1))),
                    set_result(results_map, 1, find(var(0, Type::Str(size)), read(1, 8))),
                ],
            );
            for has in ways(size) {
                let Some(loaded) = load(&script, *has) else { return };
                let pointer = c_string(needle.as_bytes());
                for text in haystacks(needle.as_bytes(), size as usize) {
                    // What is behind the NUL is not part of it.
                    let all = [c_string(&text), needle.as_bytes().to_vec(), vec![0; 16]].concat();
                    loaded.run(&[all.as_ptr() as u64, pointer.as_ptr() as u64]);
                    let whole = position(&text, needle.as_bytes());
                    let cut = position(&text, &needle.as_bytes()[..needle.len().min(7)]);
                    assert_eq!(
                        results(&loaded, results_map, 2),
                        [whole, cut],
                        "{needle:?} in {:?} of {size}, {has:?}",
                        String::from_utf8_lossy(&text)
                    );
                }
            }
        }
    }
}

#[test]
fn long_needles_are_found() {
    if !kernel_has(&[Feature::Loop]) {
        return;
    }
    for size in [10u32, 17, 64, 264, 300, 1024] {
        let mut script = Script::new();
        let results_map = script.results();
        let read = |n| user_string(word(n, Type::U64), size);
        script.probe(vec![], vec![set_result(results_map, 0, find(read(0), read(1)))]);
        let Some(loaded) = load(&script, Has::Everything) else { return };
        for needle in ["", "x", "12345678", "aaaaaaaab", "a longer one that has 33 of them."] {
            let pointer = c_string(needle.as_bytes());
            for text in haystacks(needle.as_bytes(), size as usize) {
                let all = [c_string(&text), needle.as_bytes().to_vec(), vec![0; 16]].concat();
                loaded.run(&[all.as_ptr() as u64, pointer.as_ptr() as u64]);
                let needle = &needle.as_bytes()[..needle.len().min(size as usize - 1)];
                assert_eq!(
                    results(&loaded, results_map, 1),
                    [position(&text, needle)],
                    "{:?} in {:?} of {size}",
                    String::from_utf8_lossy(needle),
                    String::from_utf8_lossy(&text)
                );
            }
        }
    }
    let size = 20_000u32;
    let mut script = Script::new();
    let results_map = script.results();
    let read = |n| user_string(word(n, Type::U64), size);
    let literal_of = |len: usize| literal(&"0123456789abcdef".repeat(len / 16), len as u32 + 1);
    script.probe(
        vec![],
        vec![
            set_result(results_map, 0, find(read(0), read(1))),
            set_result(results_map, 1, find(read(0), literal_of(160))),
        ],
    );
    let Some(loaded) = load(&script, Has::Everything) else { return };
    let text: Vec<u8> = (0..size - 1).map(|n| b'a' + (n % 26) as u8 + u8::from(n == 15_000)).collect();
    for needle in [&text[10_000..], &text[14_990..15_020], &text[..], &text[1..17_000]] {
        let (hay, pointer) = (c_string(&text), c_string(needle));
        loaded.run(&[hay.as_ptr() as u64, pointer.as_ptr() as u64]);
        let expected = [position(&text, needle), -1];
        assert_eq!(results(&loaded, results_map, 2), expected, "{}", needle.len());
    }
}

#[test]
fn strings_have_lengths() {
    for size in [2u32, 16, 64, 1024, 65536] {
        let mut script = Script::new();
        let results_map = script.results();
        let read = || user_string(word(0, Type::U64), size);
        script.probe(
            vec![Type::Str(size)],
            vec![
                set_var(0, read()),
                set_result(results_map, 0, length(read())),
                set_result(results_map, 1, length(var(0, Type::Str(size)))),
                set_result(results_map, 2, length(literal("hello", 10))),
                // It is still what it was.
                set_result(results_map, 3, length(var(0, Type::Str(size)))),
            ],
        );
        for has in [Has::Everything, Has::Nothing] {
            let Some(loaded) = load(&script, has) else { return };
            for len in [0, 1, 7, 8, size as usize - 1, size as usize, size as usize + 9] {
                let text = c_string(&vec![b'x'; len]);
                loaded.run(&[text.as_ptr() as u64]);
                let len = len.min(size as usize - 1) as i64;
                assert_eq!(results(&loaded, results_map, 4), [len, len, 5, len], "{len} of {size}");
            }
        }
    }
}

#[test]
fn values_have_an_order() {
    let order = |left: Expr, right: Expr, count: Expr| {
        let kind =
            ExprKind::BytesOrder { left: Box::new(left), right: Box::new(right), count: Box::new(count) };
        number(expr(kind, Type::Int(Int::I32)))
    };
    for size in [8u32, 13, 300, 5000] {
        let mut script = Script::new();
        let results_map = script.results();
        let read = |n| user_string(word(n, Type::U64), size);
        script.probe(
            vec![],
            vec![
                set_result(results_map, 0, order(read(0), read(1), word(2, Type::U64))),
                set_result(results_map, 1, order(word(2, Type::U64), u64c(3), u64c(1))),
            ],
        );
        if size > 4096 && !kernel_has(&[Feature::Loop]) {
            return;
        }
        for has in ways(size) {
            let Some(loaded) = load(&script, *has) else { return };
            for (a, b) in
                [("", ""), ("same", "same"), ("same", "some"), ("b", "abc"), ("1234567x", "1234567y")]
            {
                let b_late = "=".repeat(size as usize - 3) + b;
                let a_late = "=".repeat(size as usize - 3) + a;
                for (a, b) in [(a, b), (b, a), (&a_late, &b_late)] {
                    for count in [0u64, 1, 2, 3, 8, 12, 100, u64::MAX] {
                        let (x, y) = (c_string(a.as_bytes()), c_string(b.as_bytes()));
                        loaded.run(&[x.as_ptr() as u64, y.as_ptr() as u64, count]);
                        let start = |text: &str| -> Vec<u8> {
                            let mut bytes = text.as_bytes()[..text.len().min(size as usize - 1)].to_vec();
                            bytes.resize(size as usize, 0);
                            bytes.truncate(count.min(u64::from(size)) as usize);
                            bytes
                        };
                        let expected = start(a).cmp(&start(b)) as i64;
                        let byte = (count as u8).cmp(&3) as i64;
                        assert_eq!(
                            results(&loaded, results_map, 2),
                            [expected, byte],
                            "{a:?} and {b:?} in {count} of {size}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn strings_are_joined() {
    let size = 300u32;
    let join =
        |a: Expr, b: Expr, size| expr(ExprKind::StringConcat(Box::new(a), Box::new(b)), Type::Str(size));
    let mut script = Script::new();
    let results_map = script.results();
    let read = |n| user_string(word(n, Type::U64), size);
    let is = |value: Expr, n| number(equal(value, user_string(word(n, Type::U64), 2 * size)));
    script.probe(
        vec![Type::Str(2 * size - 1), Type::Str(16)],
        vec![
            set_var(0, join(read(0), read(1), 2 * size - 1)),
            set_result(results_map, 0, is(var(0, Type::Str(2 * size - 1)), 2)),
            set_var(1, join(read(0), literal("-end", 5), 16)),
            set_result(results_map, 1, is(var(1, Type::Str(16)), 3)),
            set_result(results_map, 2, length(join(read(0), read(1), 2 * size - 1))),
        ],
    );
    for has in [Has::Everything, Has::Nothing] {
        let Some(loaded) = load(&script, has) else { return };
        for a in [0usize, 1, 10, 14, 15, 299] {
            for b in [0usize, 1, 299] {
                let (x, y) = (vec![b'x'; a], vec![b'y'; b]);
                let whole = c_string(&[x.clone(), y.clone()].concat());
                let mut short = [x.clone(), b"-end".to_vec()].concat();
                short.truncate(15);
                let texts = [c_string(&x), c_string(&y), whole, c_string(&short)];
                loaded.run(&texts.each_ref().map(|text| text.as_ptr() as u64));
                assert_eq!(results(&loaded, results_map, 3), [1, 1, (a + b) as i64], "{a} and {b}");
            }
        }
    }
}

#[test]
fn numbers_have_names() {
    static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
        names: vec!["zero".into(), String::new(), "two".into()],
        otherwise: "none",
    });
    let mut script = Script::new();
    let results_map = script.results();
    let name = || {
        let number = Box::new(word(0, Type::U64));
        expr(ExprKind::Name { names: &NAMES, number }, Type::Str(64))
    };
    script.probe(
        vec![],
        vec![set_result(results_map, 0, number(equal(name(), user_string(word(1, Type::U64), 64))))],
    );
    for has in [Has::Everything, Has::Nothing] {
        let Some(loaded) = load(&script, has) else { return };
        for (number, name) in [(0, "zero"), (1, "none"), (2, "two"), (3, "none"), (u64::MAX, "none")] {
            let text = c_string(name.as_bytes());
            loaded.run(&[number, text.as_ptr() as u64]);
            assert_eq!(results(&loaded, results_map, 1), [1], "{number}");
        }
    }
}

/// A search in a search in a loop, with all that may be long: what has to stay within the verifier's patience.
#[test]
fn searches_of_any_size_load() {
    if !kernel_has(&[Feature::Loop]) {
        return;
    }
    for hay in [12u32, 64, 1024, 65536] {
        for needle in [10u32, 49, 250, 1024, 65536] {
            let mut script = Script::new();
            let results_map = script.results();
            let stored = script.map(MapKind::Array, None, Type::Str(needle));
            let read = |n, size| user_string(word(n, Type::U64), size);
            let search = |size| number(find(var(0, Type::Str(size)), read(1, needle)));
            let inner = stmt(StmtKind::ForRange {
                var: VarId(1),
                start: i64c(0),
                end: word(2, Type::I64),
                body: vec![set_result(results_map, 1, search(hay))],
            });
            script.probe(
                vec![Type::Str(hay), Type::I64],
                vec![
                    set_map(stored, None, read(1, needle)),
                    set_result(results_map, 2, find(read(0, hay), get(stored, None, Type::Str(needle)))),
                    set_var(0, read(0, hay)),
                    set_result(results_map, 0, search(hay)),
                    inner,
                ],
            );
            let Some(loaded) = load(&script, Has::Everything) else { return };
            let (x, y) = (c_string(b"..needle-long"), c_string(b"needle-lo"));
            loaded.run(&[x.as_ptr() as u64, y.as_ptr() as u64, 2]);
            assert_eq!(results(&loaded, results_map, 3), [2, 2, 2], "{needle} in {hay}");
        }
    }
}

/// One after the other: the verifier must not go through what follows once for each way through what was before.
#[test]
fn many_searches_load() {
    for has in [Has::Everything, Has::Nothing] {
        let mut script = Script::new();
        let results_map = script.results();
        let read = |n, size| user_string(word(n, Type::U64), size);
        let long = if has == Has::Everything { 64 } else { 9 };
        let mut body = vec![set_var(0, read(0, 28)), set_var(1, read(1, long))];
        for n in 0..8 {
            let needle = if n % 2 == 0 { var(1, Type::Str(long)) } else { literal("needle", 7) };
            body.push(set_result(results_map, n, find(var(0, Type::Str(28)), needle)));
        }
        script.probe(vec![Type::Str(28), Type::Str(long)], body);
        if has == Has::Everything && !kernel_has(&[Feature::Loop]) {
            continue;
        }
        let start = std::time::Instant::now();
        let Some(loaded) = load(&script, has) else { return };
        eprintln!("{has:?}: loaded in {:?}", start.elapsed());
        let (x, y) = (c_string(b"hay with a needle in it"), c_string(b"in it"));
        loaded.run(&[x.as_ptr() as u64, y.as_ptr() as u64]);
        assert_eq!(results(&loaded, results_map, 8), [18, 11, 18, 11, 18, 11, 18, 11]);
    }
}
