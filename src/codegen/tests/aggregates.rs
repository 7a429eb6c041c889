//! Aggregations: what they gather, and what they read as.

use super::build::*;
use super::run::{Has, kernel_has, load};
use crate::image::{MapId, Target};
use crate::ir::{Context, ExprKind, StmtKind};
use crate::kernel::Feature;
use crate::types::{Agg, Int, Type, buckets};

/// Values around every power of two, and some others.
fn values() -> Vec<u64> {
    let mut values: Vec<u64> = (0..64)
        .flat_map(|power| (-2i64..=2).map(move |near| (1u64 << power).wrapping_add_signed(near)))
        .collect();
    values.extend((0..200u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    values.extend([0, 99, 100, 101, 1000, u64::MAX]);
    values
}

/// Which bucket grew.
fn grown(before: &[u64], after: &[u64]) -> Vec<usize> {
    (0..after.len()).filter(|n| before[*n] != after[*n]).collect()
}

#[test]
fn hist_has_the_buckets_that_are_printed() {
    for bits in [0u8, 1, 3, 5] {
        for signed in [false, true] {
            let mut script = Script::new();
            let map = script.gather(None, Agg::Hist { bits });
            let ty = if signed { Type::I64 } else { Type::U64 };
            script.probe(vec![], vec![aggregate(map, None, Some(word(0, ty)))]);
            let Some(loaded) = load(&script, Has::Nothing) else { return };
            let mut before = loaded.words(map);
            for value in values() {
                loaded.run(&[value]);
                let after = loaded.words(map);
                let negative = signed && value.cast_signed() < 0;
                let expected = buckets::hist_index(bits, value, negative) as usize;
                assert_eq!(
                    grown(&before, &after),
                    [expected],
                    "{value:#x} with {bits} bits, signed {signed}"
                );
                before = after;
            }
        }
    }
}

#[test]
fn hist_of_a_narrow_type_knows_its_sign() {
    let mut script = Script::new();
    let map = script.gather(Some(Type::U32), Agg::Hist { bits: 0 });
    script.probe(vec![], vec![aggregate(map, Some(word(0, Type::U32)), Some(word(1, Type::I32)))]);
    let Some(loaded) = load(&script, Has::Everything) else { return };
    loaded.run(&[1, 0xffff_ffff]);
    loaded.run(&[1, 5]);
    let words = loaded.get(map, &1u32.to_ne_bytes()).unwrap();
    let grown: Vec<usize> =
        words.chunks_exact(8).enumerate().filter(|(_, w)| w[0] > 0).map(|(n, _)| n).collect();
    assert_eq!(grown, [0, buckets::hist_index(0, 5, false) as usize]);
}

#[test]
fn lhist_has_the_buckets_that_are_printed() {
    for (min, max, step) in
        [(0, 100, 10), (0, 10, 3), (-50, 50, 7), (i64::MIN, i64::MAX, 1 << 60), (100, 200, 1)]
    {
        let mut script = Script::new();
        let map = script.gather(None, Agg::LHist { min, max, step });
        script.probe(vec![], vec![aggregate(map, None, Some(word(0, Type::I64)))]);
        let Some(loaded) = load(&script, Has::Nothing) else { return };
        let mut before = loaded.words(map);
        for value in values() {
            loaded.run(&[value]);
            let after = loaded.words(map);
            let expected = buckets::lhist_index(min, max, step, value.cast_signed()) as usize;
            assert_eq!(grown(&before, &after), [expected], "{value:#x} in {min} to {max} by {step}");
            before = after;
        }
    }
}

#[test]
fn weights_count_more_than_one() {
    let mut script = Script::new();
    let count = script.gather(None, Agg::Count);
    let hist = script.gather(None, Agg::Hist { bits: 0 });
    let weighted =
        |map, value| stmt(StmtKind::Aggregate { map, key: None, value, weight: Some(word(1, Type::U64)) });
    script.probe(vec![], vec![weighted(count, None), weighted(hist, Some(word(0, Type::U64)))]);
    let Some(loaded) = load(&script, Has::Nothing) else { return };
    loaded.run(&[8, 5]);
    loaded.run(&[8, 2]);
    assert_eq!(loaded.words(count), [7]);
    assert_eq!(loaded.words(hist)[buckets::hist_index(0, 8, false) as usize], 7);
}

fn read(map: MapId, key: Option<crate::ir::Expr>, signed: bool) -> crate::ir::Expr {
    get(map, key, if signed { Type::I64 } else { Type::U64 })
}

#[test]
fn aggregations_read_as_a_number_over_all_cpus() {
    if !kernel_has(&[Feature::LookupPerCpu]) {
        return;
    }
    for keyed in [false, true] {
        for signed in [false, true] {
            let mut script = Script::new();
            let kinds = [
                Agg::Count,
                Agg::Sum { signed },
                Agg::Min { signed },
                Agg::Max { signed },
                Agg::Avg { signed },
                Agg::Stats { signed },
            ];
            let key_ty = || keyed.then_some(Type::U64);
            let key = || keyed.then(|| u64c(3));
            let maps: Vec<MapId> = kinds.iter().map(|agg| script.gather(key_ty(), *agg)).collect();
            let results = script.results();
            let ty = if signed { Type::I64 } else { Type::U64 };
            let mut body: Vec<_> = maps
                .iter()
                .map(|map| {
                    let value = (*map != maps[0]).then(|| word(0, ty.clone()));
                    aggregate(*map, key(), value)
                })
                .collect();
            for (map, n) in maps.iter().zip(0..) {
                let number = expr(ExprKind::Cast(Box::new(read(*map, key(), signed))), Type::I64);
                body.push(set_result(results, n, number));
                if keyed {
                    body.push(set_result(results, 10 + n, read(*map, Some(u64c(99)), true)));
                }
            }
            script.probe(vec![], body);
            let Some(loaded) = load(&script, Has::Everything) else { return };
            for cpu in 0..2 {
                // A raw tracepoint program runs where we are: both CPUs take part.
                pin(cpu);
                for value in [10i64, -4, 7] {
                    loaded.run(&[value.cast_unsigned()]);
                }
            }
            let got: Vec<_> = (0..6).map(|n| loaded.number(results, n).unwrap()).collect();
            let (runs, sum) = (6, 2 * (10 - 4 + 7i64));
            let expected = if signed {
                [runs, sum, -4, 10, sum / runs, sum / runs]
            } else {
                let average = (sum.cast_unsigned() / runs.cast_unsigned()).cast_signed();
                [runs, sum, 7, -4, average, average]
            };
            assert_eq!(got, expected, "keyed {keyed}, signed {signed}");
            if keyed {
                assert!((10..16).all(|n| loaded.number(results, n) == Some(0)), "a key that is not there");
            }
        }
    }
}

/// Moves this thread to a CPU, where there is such a one.
fn pin(cpu: usize) {
    // SAFETY: the set is a plain bit array on the stack.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

#[test]
fn maps_without_keys_are_cleared_on_all_cpus() {
    if !kernel_has(&[Feature::LookupPerCpu]) {
        return;
    }
    let mut script = Script::new();
    let map = script.gather(None, Agg::Hist { bits: 0 });
    let delete = expr(ExprKind::MapDelete { map, key: None }, Type::Bool);
    let clear = condition(word(1, Type::Bool), vec![stmt(StmtKind::Expr(delete))], vec![]);
    script.probe(vec![], vec![aggregate(map, None, Some(word(0, Type::U64))), clear]);
    let Some(loaded) = load(&script, Has::Everything) else { return };
    for cpu in 0..2 {
        pin(cpu);
        loaded.run(&[4, 0]);
    }
    assert_eq!(loaded.words(map).iter().sum::<u64>(), 2);
    loaded.run(&[4, 1]);
    assert_eq!(loaded.words(map).iter().sum::<u64>(), 0);
}

#[test]
fn before_5_18_the_loader_clears_them() {
    let mut script = Script::new();
    let map = script.gather(None, Agg::Count);
    let delete = expr(ExprKind::MapDelete { map, key: None }, Type::Bool);
    script.probe(vec![], vec![aggregate(map, None, None), stmt(StmtKind::Expr(delete))]);
    let Some(loaded) = load(&script, Has::Nothing) else { return };
    loaded.run(&[]);
    let records = loaded.records();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    let event = u32::from_ne_bytes(record[..4].try_into().unwrap()) as usize;
    assert_eq!(loaded.image.manifest.events[event].kind, crate::image::EventKind::Clear(map));
}

/// Programs that the kernel keeps from interrupting each other need no atomic additions.
#[test]
fn only_nesting_programs_pay_for_atomics() {
    let text = |section: &str, target| {
        let mut script = Script::new();
        let map = script.gather(Some(Type::U64), Agg::Count);
        let key = expr(ExprKind::Helper { id: 14, args: vec![] }, Type::U64);
        script.probe_at(section, Context::Registers, target, vec![], vec![aggregate(map, Some(key), None)]);
        super::run::text(&script)
    };
    let kprobe = Target::Kprobe { function: "f".into(), module: None, offset: 0, ret: false, name_id: 0 };
    assert!(!text("kprobe", kprobe).contains("atomicrmw add ptr %4, i64 1"));
    let uprobe = Target::Uprobe { path: "/bin/true".into(), offset: 0, ret: false, pid: None, name_id: 0 };
    assert!(text("uprobe", uprobe).contains("atomicrmw"));
}

#[test]
fn narrow_values_are_gathered_whole() {
    let mut script = Script::new();
    let sum = script.gather(None, Agg::Sum { signed: true });
    script.probe(vec![], vec![aggregate(sum, None, Some(word(0, Type::Int(Int::I8))))]);
    let Some(loaded) = load(&script, Has::Nothing) else { return };
    loaded.run(&[0x1fe]);
    assert_eq!(loaded.words(sum), [(-2i64).cast_unsigned()]);
}
