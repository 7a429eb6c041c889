//! What the CPUs gathered, each on its own, as one value.

use crate::types::layout::SERIES_WORDS;
use crate::types::{Agg, Each, Type};

/// Adds up a map's value over the CPUs, to zeros: `parts` yields each CPU's bytes. What is no aggregation and no
/// integer is that of the first CPU that has any.
pub fn over_cpus<'a>(ty: &Type, total: &mut [u8], parts: impl Iterator<Item = &'a [u8]>) {
    for part in parts {
        match ty {
            Type::Agg(agg) => add(agg, total, part),
            Type::Int(_) => add_bytes(total, part),
            _ if total.iter().all(|b| *b == 0) => total.copy_from_slice(part),
            _ => {}
        }
    }
}

fn word(bytes: &[u8], n: usize) -> u64 {
    bytes.get(n * 8..n * 8 + 8).map_or(0, |b| u64::from_ne_bytes(b.try_into().unwrap_or_default()))
}

fn set_word(bytes: &mut [u8], n: usize, value: u64) {
    if let Some(place) = bytes.get_mut(n * 8..n * 8 + 8) {
        place.copy_from_slice(&value.to_ne_bytes());
    }
}

fn add(agg: &Agg, total: &mut [u8], part: &[u8]) {
    match agg {
        Agg::Min { signed } => extreme(total, part, |new, old| less(*signed, new, old)),
        Agg::Max { signed } => extreme(total, part, |new, old| less(*signed, old, new)),
        Agg::TSeries { each, signed, .. } => series(*each, *signed, total, part),
        Agg::Count
        | Agg::Sum { .. }
        | Agg::Avg { .. }
        | Agg::Stats { .. }
        | Agg::Hist { .. }
        | Agg::LHist { .. } => {
            for n in 0..total.len() / 8 {
                set_word(total, n, word(total, n).wrapping_add(word(part, n)));
            }
        }
    }
}

/// Of each interval, what was gathered last: a CPU may still have what it was in the round before.
fn series(each: Each, signed: bool, total: &mut [u8], part: &[u8]) {
    let words = SERIES_WORDS as usize;
    for (total, part) in total.chunks_exact_mut(words * 8).zip(part.chunks_exact(words * 8)) {
        let (own, other) = (word(total, 2), word(part, 2));
        let unset = total.iter().all(|b| *b == 0);
        let newer = match each {
            _ if unset || other > own => true,
            _ if other < own || part.iter().all(|b| *b == 0) => continue,
            Each::Last => word(part, 1) > word(total, 1),
            Each::Min => less(signed, word(part, 0), word(total, 0)),
            Each::Max => less(signed, word(total, 0), word(part, 0)),
            Each::Avg | Each::Sum => {
                set_word(total, 0, word(total, 0).wrapping_add(word(part, 0)));
                set_word(total, 1, word(total, 1).wrapping_add(word(part, 1)));
                continue;
            }
        };
        if newer {
            total.copy_from_slice(part);
        }
    }
}

/// The second word says whether there is a value at all.
fn extreme(total: &mut [u8], part: &[u8], better: impl Fn(u64, u64) -> bool) {
    if word(part, 1) != 0 && (word(total, 1) == 0 || better(word(part, 0), word(total, 0))) {
        set_word(total, 0, word(part, 0));
        set_word(total, 1, 1);
    }
}

pub(super) fn less(signed: bool, a: u64, b: u64) -> bool {
    if signed { a.cast_signed() < b.cast_signed() } else { a < b }
}

/// Adds integers of up to eight bytes, wrapping at their size.
fn add_bytes(total: &mut [u8], part: &[u8]) {
    let sum = integer(total).wrapping_add(integer(part)).to_ne_bytes();
    let len = total.len().min(8);
    let from = if cfg!(target_endian = "big") { 8 - len } else { 0 };
    total[..len].copy_from_slice(&sum[from..from + len]);
}

/// The integer in up to eight bytes, zero-extended.
pub(super) fn integer(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    let len = bytes.len().min(8);
    let from = if cfg!(target_endian = "big") { 8 - len } else { 0 };
    word[from..from + len].copy_from_slice(&bytes[..len]);
    u64::from_ne_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_ne_bytes()).collect()
    }

    fn total(ty: &Type, parts: &[&[u8]]) -> Vec<u8> {
        let mut total = vec![0; parts[0].len()];
        over_cpus(ty, &mut total, parts.iter().copied());
        total
    }

    fn sum(ty: Type, parts: &[&[u64]]) -> Vec<u8> {
        let parts: Vec<Vec<u8>> = parts.iter().map(|p| words(p)).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        total(&ty, &parts)
    }

    #[test]
    fn counts_sums_and_buckets_add_up() {
        assert_eq!(sum(Type::Agg(Agg::Count), &[&[1], &[2], &[40]]), words(&[43]));
        let minus = |n: i64| n.cast_unsigned();
        let signed = Type::Agg(Agg::Sum { signed: true });
        assert_eq!(sum(signed, &[&[minus(-5)], &[3]]), words(&[minus(-2)]));
        let stats = Type::Agg(Agg::Stats { signed: false });
        assert_eq!(sum(stats, &[&[10, 2], &[0, 0], &[5, 1]]), words(&[15, 3]));
        let linear = Type::Agg(Agg::LHist { min: 0, max: 1, step: 1 });
        assert_eq!(sum(linear, &[&[1, 2, 3], &[0, 0, 4]]), words(&[1, 2, 7]));
    }

    #[test]
    fn extremes_ignore_cpus_without_a_value() {
        let max = |signed| Type::Agg(Agg::Max { signed });
        let min = |signed| Type::Agg(Agg::Min { signed });
        assert_eq!(sum(min(false), &[&[0, 0], &[7, 1], &[9, 1]]), words(&[7, 1]));
        assert_eq!(sum(max(false), &[&[0, 0], &[7, 1], &[9, 1]]), words(&[9, 1]));
        let minus = u64::MAX;
        assert_eq!(sum(max(true), &[&[minus, 1], &[0, 0]]), words(&[minus, 1]));
        assert_eq!(sum(max(true), &[&[minus, 1], &[3, 1]]), words(&[3, 1]));
        assert_eq!(sum(max(false), &[&[minus, 1], &[3, 1]]), words(&[minus, 1]));
        assert_eq!(sum(min(true), &[&[minus, 1], &[3, 1]]), words(&[minus, 1]));
        assert_eq!(sum(min(true), &[&[0, 0], &[0, 0]]), words(&[0, 0]));
    }

    #[test]
    fn intervals_are_put_together_where_they_are_the_same() {
        let series = |each| Type::Agg(Agg::TSeries { interval: 1, intervals: 2, each, signed: true });
        let minus = (-5i64).cast_unsigned();
        let parts: [&[u64]; 3] = [&[3, 1, 8, 4, 1, 7], &[0; 6], &[minus, 2, 8, 9, 1, 5]];
        assert_eq!(sum(series(Each::Sum), &parts), words(&[minus + 3, 3, 8, 4, 1, 7]));
        assert_eq!(sum(series(Each::Min), &parts), words(&[minus, 2, 8, 4, 1, 7]));
        assert_eq!(sum(series(Each::Max), &parts), words(&[3, 1, 8, 4, 1, 7]));
        // The second word is when it was.
        assert_eq!(sum(series(Each::Last), &parts), words(&[minus, 2, 8, 4, 1, 7]));
    }

    #[test]
    fn small_integers_wrap_at_their_size() {
        let parts: [&[u8]; 2] = [&[200], &[100]];
        assert_eq!(total(&Type::U8, &parts), [44]);
        let text: [&[u8]; 3] = [&[0, 0], b"ab", b"cd"];
        assert_eq!(total(&Type::Str(2), &text), b"ab");
    }
}
