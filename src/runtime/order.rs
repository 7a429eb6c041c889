//! The order in which a map's entries are printed: by value ascending, the same values by key, so that the largest
//! come last and the same data always prints the same.

use super::sums::integer;
use crate::output::Entry;
use crate::types::layout::{self, sequence, size_of};
use crate::types::{Agg, Int, Layouts, Type};

/// Sorts a map's entries.
pub fn sort(entries: &mut [Entry], key: Option<&Type>, value: &Type, layouts: &Layouts) {
    // Sums over hundreds of buckets are worth remembering; so many entries are never compared by key alone.
    entries.sort_by_cached_key(|entry| Rank {
        value: weight(value, &entry.value),
        key: key.map(|key| part(key, &entry.key, layouts)),
    });
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    value: i128,
    key: Option<Part>,
}

/// What an entry is sorted by first; the same for all where values have no order of their own.
fn weight(ty: &Type, bytes: &[u8]) -> i128 {
    let word = |n: usize| bytes.get(n * 8..n * 8 + 8).map_or(0, integer);
    let wide = |signed: bool, n: u64| if signed { n.cast_signed().into() } else { i128::from(n) };
    match ty {
        Type::Int(int) | Type::Enum { int, .. } => number(*int, bytes),
        Type::Agg(Agg::Count) => word(0).into(),
        Type::Agg(Agg::Sum { signed } | Agg::Min { signed } | Agg::Max { signed }) => wide(*signed, word(0)),
        Type::Agg(Agg::Avg { signed } | Agg::Stats { signed }) => match word(1) {
            0 => 0,
            count => wide(*signed, word(0)) / i128::from(count),
        },
        Type::Agg(Agg::Hist { .. } | Agg::LHist { .. }) => {
            bytes.chunks(8).map(|bucket| i128::from(integer(bucket))).sum()
        }
        _ => 0,
    }
}

fn number(int: Int, bytes: &[u8]) -> i128 {
    let size = usize::from(int.size).clamp(1, 8);
    let value = bytes.get(..size).map_or(0, integer);
    if int.signed {
        let unused = 64 - 8 * size as u32;
        ((value << unused).cast_signed() >> unused).into()
    } else {
        value.into()
    }
}

/// A key, or a part of one, in comparable form. Keys of one map have one shape, so only like is compared with like.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(i128),
    Bytes(Vec<u8>),
    Parts(Vec<Part>),
}

fn part(ty: &Type, bytes: &[u8], layouts: &Layouts) -> Part {
    let at = |offset: u32, ty: &Type| {
        let (from, size) = (offset as usize, size_of(ty, layouts) as usize);
        part(ty, bytes.get(from..from + size).unwrap_or_default(), layouts)
    };
    match ty {
        Type::Str(_) => Part::Bytes(bytes.split(|b| *b == 0).next().unwrap_or_default().to_vec()),
        Type::Buf(_) => Part::Bytes(bytes.get(layout::BUF_DATA as usize..).unwrap_or_default().to_vec()),
        Type::Tuple(types) => {
            let offsets = sequence(types, layouts).offsets;
            Part::Parts(types.iter().zip(offsets).map(|(ty, offset)| at(offset, ty)).collect())
        }
        Type::Record(fields) => {
            let offsets = sequence(fields.iter().map(|(_, ty)| ty), layouts).offsets;
            Part::Parts(fields.iter().zip(offsets).map(|((_, ty), offset)| at(offset, ty)).collect())
        }
        Type::Array { elem, len } => {
            let size = size_of(elem, layouts);
            Part::Parts((0..*len).map(|n| at(n * size, elem)).collect())
        }
        // Address or id first, and the rest of the bytes to tell apart what shares it.
        Type::USym | Type::KStack(_) | Type::UStack(_) | Type::Timestamp | Type::CgroupPath => {
            let rest = bytes.get(8..).unwrap_or_default().to_vec();
            Part::Parts(vec![at(0, &Type::U64), Part::Bytes(rest)])
        }
        scalar => match scalar.as_int() {
            Some(int) => Part::Number(number(int, bytes)),
            None => Part::Bytes(bytes.to_vec()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(key: &Type, value: &Type, entries: &[(&[u8], &[u8])]) -> Vec<Vec<u8>> {
        let mut entries: Vec<Entry> =
            entries.iter().map(|(key, value)| Entry { key: key.to_vec(), value: value.to_vec() }).collect();
        sort(&mut entries, Some(key), value, &Layouts::default());
        entries.into_iter().map(|e| e.key).collect()
    }

    #[test]
    fn by_value_then_by_key() {
        let count = Type::Agg(Agg::Count);
        let (one, two) = (1u64.to_ne_bytes(), 2u64.to_ne_bytes());
        let keys = sorted(
            &Type::Str(8),
            &count,
            &[
                (b"zz\0aaaaa", &one),
                (b"many\0\0\0\0", &two),
                (b"aa\0zzzzz", &one),
                (b"b\0\0\0\0\0\0\0", &one),
            ],
        );
        assert_eq!(keys, [&b"aa\0zzzzz"[..], b"b\0\0\0\0\0\0\0", b"zz\0aaaaa", b"many\0\0\0\0"]);
    }

    #[test]
    fn numbers_are_no_bytes() {
        let value = Type::Str(1);
        let key = |n: i32| n.to_ne_bytes().to_vec();
        let unsorted: Vec<Vec<u8>> = [300, -1, 2, 256].into_iter().map(key).collect();
        let entries: Vec<(&[u8], &[u8])> = unsorted.iter().map(|k| (&k[..], &b"x"[..])).collect();
        assert_eq!(sorted(&Type::I32, &value, &entries), [key(-1), key(2), key(256), key(300)]);
        assert_eq!(sorted(&Type::U32, &value, &entries), [key(2), key(256), key(300), key(-1)]);
    }

    #[test]
    fn keys_of_many_parts_compare_part_by_part() {
        let ty = Type::Tuple(vec![Type::Str(2), Type::U64]);
        let key = |text: &[u8; 2], n: u64| {
            let mut bytes = text.to_vec();
            bytes.resize(8, 0xaa);
            bytes.extend(n.to_ne_bytes());
            bytes
        };
        let (a, b, c) = (key(b"a\0", 256), key(b"a\0", 1), key(b"b\0", 0));
        let one = 1u64.to_ne_bytes();
        let keys = sorted(&ty, &Type::U64, &[(&c, &one), (&a, &one), (&b, &one)]);
        assert_eq!(keys, [b, a, c]);
    }

    #[test]
    fn averages_and_histograms_weigh_what_they_show() {
        let words = |words: &[i64]| -> Vec<u8> { words.iter().flat_map(|w| w.to_ne_bytes()).collect() };
        let average = |signed| Type::Agg(Agg::Avg { signed });
        assert_eq!(weight(&average(false), &words(&[100, 10])), 10);
        assert_eq!(weight(&average(true), &words(&[-100, 10])), -10);
        assert_eq!(weight(&average(true), &words(&[5, 0])), 0);
        assert_eq!(weight(&Type::Agg(Agg::Hist { bits: 0 }), &words(&[1, 2, 3])), 6);
        assert_eq!(weight(&Type::Agg(Agg::Min { signed: true }), &words(&[-3, 1])), -3);
    }
}
