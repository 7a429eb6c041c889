//! The order in which a map's entries are printed: by value ascending, the same values by key, so that the largest
//! come last and the same data always prints the same.

use std::cmp::Ordering;

use super::entries::Entries;
use super::sums::integer;
use crate::image::Map;
use crate::output::Entry;
use crate::types::layout::{self, sequence, size_of};
use crate::types::{Agg, Int, Layouts, Type};

/// A map's entries in that order.
pub fn sorted<'e>(entries: &'e Entries, map: &Map, layouts: &Layouts) -> Vec<Entry<'e>> {
    let mut parts = vec![];
    if let Some(key) = &map.key {
        take_apart(key, 0, layouts, &mut parts);
    }
    // What decides nearly always is found once for each entry, and lies where it is compared.
    let mut ranks: Vec<Rank> = (0..entries.len())
        .map(|n| Rank {
            weight: weight(&map.value, entries.value(n)),
            first: parts.first().map_or(0, |part| part.beginning(entries.key(n))),
            entry: n,
        })
        .collect();
    ranks.sort_unstable_by(|a, b| {
        let by_key = || compare(&parts, entries.key(a.entry), entries.key(b.entry));
        a.weight.cmp(&b.weight).then_with(|| a.first.cmp(&b.first)).then_with(by_key)
    });
    ranks.iter().map(|rank| entries.entry(rank.entry)).collect()
}

struct Rank {
    weight: i128,
    /// See [`Part::beginning`].
    first: u64,
    entry: usize,
}

/// What an entry is sorted by first; the same for all where values have no order of their own.
fn weight(ty: &Type, bytes: &[u8]) -> i128 {
    let word = |n: usize| bytes.get(n * 8..n * 8 + 8).map_or(0, integer);
    let wide = |signed: bool, n: u64| if signed { n.cast_signed().into() } else { i128::from(n) };
    match ty {
        Type::Int(int) | Type::Enum { int, .. } => number(*int, bytes),
        Type::Float { .. } => float(bytes).into(),
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

/// A number with the order that a `float` or `double` has among its like.
fn float(bytes: &[u8]) -> u64 {
    let bits = match bytes.len() {
        4 => f64::from(f32::from_bits(integer(bytes) as u32)).to_bits(),
        _ => integer(bytes),
    };
    // As `f64::total_cmp` does.
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
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

/// A part of a key that is compared as a whole, and where it lies.
enum Part {
    Number(Int, usize),
    Float(usize, usize),
    /// Up to its NUL.
    Text(usize, usize),
    Bytes(usize, usize),
}

/// The parts of a key, the first one first. Keys of one map have one shape, so only like is compared with like.
fn take_apart(ty: &Type, at: usize, layouts: &Layouts, parts: &mut Vec<Part>) {
    let size = size_of(ty, layouts) as usize;
    let mut member = |ty: &Type, offset: u32| take_apart(ty, at + offset as usize, layouts, parts);
    match ty {
        Type::Tuple(types) => {
            let offsets = sequence(types, layouts).offsets;
            types.iter().zip(offsets).for_each(|(ty, offset)| member(ty, offset));
        }
        Type::Record(fields) => {
            let offsets = sequence(fields.iter().map(|(_, ty)| ty), layouts).offsets;
            fields.iter().zip(offsets).for_each(|((_, ty), offset)| member(ty, offset));
        }
        Type::Array { elem, len } => {
            let size = size_of(elem, layouts);
            (0..*len).for_each(|n| member(elem, n.saturating_mul(size)));
        }
        Type::Float { .. } => parts.push(Part::Float(at, size)),
        Type::Str(_) => parts.push(Part::Text(at, size)),
        Type::Buf(_) => {
            let head = layout::BUF_DATA as usize;
            parts.push(Part::Bytes(at + head, size.saturating_sub(head)));
        }
        // Address or id first, and the rest of the bytes to tell apart what shares it.
        Type::USym | Type::KStack(_) | Type::UStack(_) | Type::Timestamp | Type::CgroupPath => {
            parts.extend([Part::Number(Int::U64, at), Part::Bytes(at + 8, size.saturating_sub(8))]);
        }
        scalar => parts.push(match scalar.as_int() {
            Some(int) => Part::Number(int, at),
            None => Part::Bytes(at, size),
        }),
    }
}

impl Part {
    /// The bytes of a text, or of what is compared as bytes.
    fn bytes<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        match *self {
            Part::Number(int, at) => part(key, at, int.size.into()),
            Part::Bytes(at, size) | Part::Float(at, size) => part(key, at, size),
            Part::Text(at, size) => {
                let text = part(key, at, size);
                let end = text.iter().position(|b| *b == 0).unwrap_or(text.len());
                text.get(..end).unwrap_or(text)
            }
        }
    }

    /// A number with the order that keys have by this part, or the same for both where more of it has to be seen.
    fn beginning(&self, key: &[u8]) -> u64 {
        match *self {
            Part::Number(int, at) => {
                let value = number(int, part(key, at, int.size.into())) as u64;
                if int.signed { value ^ 1 << 63 } else { value }
            }
            Part::Float(at, size) => float(part(key, at, size)),
            _ => {
                let mut word = [0; 8];
                for (to, from) in word.iter_mut().zip(self.bytes(key)) {
                    *to = *from;
                }
                u64::from_be_bytes(word)
            }
        }
    }
}

fn part(bytes: &[u8], at: usize, size: usize) -> &[u8] {
    bytes.get(at..at + size).unwrap_or_default()
}

fn compare(parts: &[Part], a: &[u8], b: &[u8]) -> Ordering {
    let by_part = |part: &Part| match part {
        Part::Number(..) | Part::Float(..) => part.beginning(a).cmp(&part.beginning(b)),
        Part::Text(..) | Part::Bytes(..) => part.bytes(a).cmp(part.bytes(b)),
    };
    parts.iter().map(by_part).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::MapKind;

    fn keys_sorted(key: &Type, value: &Type, entries: &[(&[u8], &[u8])]) -> Vec<Vec<u8>> {
        let map = Map {
            name: "@".into(),
            symbol: "AT_".into(),
            kind: MapKind::Hash,
            key: Some(key.clone()),
            value: value.clone(),
            max_entries: 10,
            declared: false,
        };
        let (first_key, first_value) = entries[0];
        let mut read = Entries::new(first_key.len(), first_value.len());
        entries.iter().for_each(|(key, value)| read.push(key, value));
        sorted(&read, &map, &Layouts::default()).into_iter().map(|e| e.key.into_owned()).collect()
    }

    #[test]
    fn by_value_then_by_key() {
        let count = Type::Agg(Agg::Count);
        let (one, two) = (1u64.to_ne_bytes(), 2u64.to_ne_bytes());
        let keys = keys_sorted(
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
        assert_eq!(keys_sorted(&Type::I32, &value, &entries), [key(-1), key(2), key(256), key(300)]);
        assert_eq!(keys_sorted(&Type::U32, &value, &entries), [key(2), key(256), key(300), key(-1)]);
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
        let keys = keys_sorted(&ty, &Type::U64, &[(&c, &one), (&a, &one), (&b, &one)]);
        assert_eq!(keys, [b, a, c]);
    }

    #[test]
    fn texts_that_begin_alike_compare_to_their_ends() {
        let one = 1u64.to_ne_bytes();
        let (a, b, c) = (b"long and same A\0", b"long and same B\0", b"long and\0same BB");
        let keys = keys_sorted(&Type::Str(16), &Type::U64, &[(b, &one), (c, &one), (a, &one)]);
        assert_eq!(keys, [c, a, b]);
        let ty = Type::Array { elem: Box::new(Type::I32), len: 2 };
        let key = |a: i32, b: i32| [a.to_ne_bytes(), b.to_ne_bytes()].concat();
        let (a, b, c) = (key(-1, 5), key(1, -5), key(1, 4));
        let keys = keys_sorted(&ty, &Type::U64, &[(&c, &one), (&b, &one), (&a, &one)]);
        assert_eq!(keys, [a, b, c]);
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
