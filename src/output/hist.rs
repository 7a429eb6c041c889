//! Histograms: which buckets are shown, what they are called and how they are drawn. The buckets themselves are
//! those of [`crate::types::buckets`].

use super::number;
use super::value::{part, word};
use crate::types::{Agg, buckets};

/// The buckets from the first to the last that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Histogram {
    pub buckets: Vec<Bucket>,
}

/// Values from `low` up to `high`, which is not in it; without a bound it is open on that side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    pub low: Option<Label>,
    pub high: Option<Label>,
    pub count: u64,
}

/// A bound, and how it is shown: `1024` as `1K`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub value: i128,
    pub text: String,
}

impl Label {
    fn plain(value: i128) -> Label {
        Label { value, text: value.to_string() }
    }
}

/// The histogram that an aggregation's bytes hold; `None` for what is none. `div` divides the counts of `hist`;
/// `lhist` has always ignored it.
pub(super) fn histogram(agg: &Agg, bytes: &[u8], div: u64) -> Option<Histogram> {
    match *agg {
        Agg::Hist { bits } => {
            let counts = counts(bytes, buckets::hist_buckets(bits));
            Some(collect(&counts, div.max(1), |index| log2_label(bits, index)))
        }
        Agg::LHist { min, max, step } => {
            let counts = counts(bytes, buckets::lhist_buckets(min, max, step));
            let last = u32::try_from(counts.len()).unwrap_or(u32::MAX).saturating_sub(1);
            Some(collect(&counts, 1, |index| linear_label(min, max, step, index, last)))
        }
        _ => None,
    }
}

fn counts(bytes: &[u8], buckets: u32) -> Vec<u64> {
    (0..buckets).map(|n| word(part(bytes, n.saturating_mul(8), 8))).collect()
}

/// `label` gives a bucket's lower bound by its index, of the one after the last too.
fn collect(counts: &[u64], div: u64, label: impl Fn(u32) -> Option<Label>) -> Histogram {
    let filled = |n: &u64| *n > 0;
    let (Some(first), Some(last)) = (counts.iter().position(filled), counts.iter().rposition(filled)) else {
        return Histogram::default();
    };
    let shown = counts.iter().enumerate().take(last + 1).skip(first);
    let buckets = shown.map(|(index, count)| {
        let index = index as u32;
        Bucket { low: label(index), high: label(index + 1), count: count / div }
    });
    Histogram { buckets: buckets.collect() }
}

/// The lower bound of a log2 bucket. Bucket 0, of negative numbers, has none.
fn log2_label(bits: u8, index: u32) -> Option<Label> {
    if index == 0 || index >= buckets::hist_buckets(bits) {
        return None;
    }
    let (low, high) = buckets::hist_bounds(bits, index);
    // The unit is the largest that the bucket is wide: 1024 is 1K only where the next bound is not 1025. A bucket
    // starts at the next one's width at least, so what it starts at is a multiple of it.
    let width = high.map_or(1 << (63 - bits.min(5)), |high| high - low);
    let thousands = width.checked_ilog2().unwrap_or(0) / 10;
    let unit = ["", "K", "M", "G", "T", "P", "E"].get(thousands as usize).copied().unwrap_or("");
    let scaled = if unit.is_empty() { low } else { low >> (10 * thousands) };
    Some(Label { value: i128::from(low), text: format!("{scaled}{unit}") })
}

/// The lower bound of a linear bucket. Bucket 0 has none; the last begins at `max`.
fn linear_label(min: i64, max: i64, step: i64, index: u32, last: u32) -> Option<Label> {
    if index == 0 || index > last {
        return None;
    }
    let value = match index {
        _ if index == last => i128::from(max),
        _ => i128::from(min) + i128::from(index - 1) * i128::from(step),
    };
    const KILO: i128 = 1024;
    // Units only if all bounds can have them.
    if i128::from(step) % KILO != 0 || value == 0 {
        return Some(Label::plain(value));
    }
    let text = if value % (KILO * KILO) == 0 {
        format!("{}M", value / (KILO * KILO))
    } else if value % KILO == 0 {
        format!("{}K", value / KILO)
    } else {
        value.to_string()
    };
    Some(Label { value, text })
}

/// The columns: the interval, the count, the bar.
const INTERVAL: usize = 16;
const COUNT: usize = 8;
const BAR: usize = 52;

impl Histogram {
    /// Appends a line a bucket.
    pub fn draw(&self, out: &mut Vec<u8>) {
        let most = self.buckets.iter().map(|b| b.count).max().unwrap_or(0);
        for bucket in &self.buckets {
            let start = out.len();
            bucket.interval(out);
            fill(out, start + INTERVAL);
            let mut count = vec![];
            number::unsigned(&mut count, bucket.count);
            out.extend(std::iter::repeat_n(b' ', COUNT.saturating_sub(count.len())));
            out.extend_from_slice(&count);
            out.extend_from_slice(b" |");
            let start = out.len();
            out.extend(std::iter::repeat_n(b'@', bar(bucket.count, most)));
            fill(out, start + BAR);
            out.extend_from_slice(b"|\n");
        }
    }
}

/// How long a bar is. In single precision, as the original computes it: the last column depends on it.
fn bar(count: u64, most: u64) -> usize {
    if most == 0 {
        return 0;
    }
    (count as f32 / most as f32 * BAR as f32) as usize
}

fn fill(out: &mut Vec<u8>, to: usize) {
    if out.len() < to {
        out.resize(to, b' ');
    }
}

impl Bucket {
    fn interval(&self, out: &mut Vec<u8>) {
        let text = match (&self.low, &self.high) {
            (Some(low), Some(high)) if low.value + 1 == high.value => format!("[{}]", low.text),
            (Some(low), Some(high)) => format!("[{}, {})", low.text, high.text),
            (Some(low), None) => format!("[{}, ...)", low.text),
            (None, Some(high)) => format!("(..., {})", high.text),
            (None, None) => "(...)".to_owned(),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::buckets::{hist_buckets, hist_index, lhist_buckets, lhist_index};

    fn bytes(buckets: u32, indexes: impl IntoIterator<Item = u32>) -> Vec<u8> {
        let mut counts = vec![0u64; buckets as usize];
        indexes.into_iter().for_each(|n| counts[n as usize] += 1);
        counts.iter().flat_map(|n| n.to_ne_bytes()).collect()
    }

    fn log2(bits: u8, values: &[i64]) -> Vec<u8> {
        bytes(hist_buckets(bits), values.iter().map(|v| hist_index(bits, *v as u64, *v < 0)))
    }

    fn linear(min: i64, max: i64, step: i64, values: &[i64]) -> Vec<u8> {
        bytes(lhist_buckets(min, max, step), values.iter().map(|v| lhist_index(min, max, step, *v)))
    }

    fn drawn(agg: Agg, bytes: &[u8], div: u64) -> String {
        let mut out = vec![];
        histogram(&agg, bytes, div).unwrap().draw(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Only the intervals and counts.
    fn intervals(agg: Agg, bytes: &[u8]) -> Vec<(String, u64)> {
        let histogram = histogram(&agg, bytes, 1).unwrap();
        let shown = histogram.buckets.iter().map(|b| {
            let mut text = vec![];
            b.interval(&mut text);
            (String::from_utf8(text).unwrap(), b.count)
        });
        shown.collect()
    }

    #[test]
    fn columns() {
        let text = drawn(Agg::Hist { bits: 0 }, &log2(0, &[-5, 1, 1, 2, 3, 3, 3]), 1);
        let expected = [
            "(..., 0)               1 |@@@@@@@@@@@@@                                       |",
            "[0]                    0 |                                                    |",
            "[1]                    2 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |",
            "[2, 4)                 4 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert_eq!(drawn(Agg::Hist { bits: 0 }, &log2(0, &[]), 1), "");
    }

    #[test]
    fn counts_are_divided_for_log2_only() {
        let values = [100; 7];
        assert!(
            drawn(Agg::Hist { bits: 0 }, &log2(0, &values), 2).starts_with("[64, 128)              3 |@@")
        );
        let agg = Agg::LHist { min: 0, max: 200, step: 50 };
        assert!(drawn(agg, &linear(0, 200, 50, &values), 2).starts_with("[100, 150)             7 |@@@"));
        // What is divided to nothing has no bar.
        let gone = drawn(Agg::Hist { bits: 0 }, &log2(0, &values), 100);
        assert_eq!(gone, format!("[64, 128)              0 |{}|\n", " ".repeat(52)));
    }

    #[test]
    fn wide_intervals_and_counts_push_the_columns() {
        let agg = Agg::LHist { min: 10_000_000, max: 30_000_000, step: 10_000_000 };
        let text = drawn(agg, &linear(10_000_000, 30_000_000, 10_000_000, &[10_000_001]), 1);
        assert!(text.starts_with("[10000000, 20000000)       1 |@"), "{text}");
        let mut counts = log2(0, &[0]);
        counts[8..16].copy_from_slice(&12_345_678_901u64.to_ne_bytes());
        assert!(drawn(Agg::Hist { bits: 0 }, &counts, 1).starts_with("[0]             12345678901 |@"));
    }

    #[test]
    fn log2_intervals_have_units() {
        let cases: [(u8, i64, &str); 16] = [
            (0, 0, "[0]"),
            (0, 1, "[1]"),
            (0, 3, "[2, 4)"),
            (0, 512, "[512, 1K)"),
            (0, 1024, "[1K, 2K)"),
            (0, 600_000, "[512K, 1M)"),
            (0, 1 << 20, "[1M, 2M)"),
            (0, 1 << 33, "[8G, 16G)"),
            (0, i64::MAX, "[4E, 8E)"),
            (3, 15, "[15]"),
            (3, 16, "[16, 18)"),
            (3, 1024, "[1024, 1152)"),
            (3, 8192, "[8K, 9K)"),
            (2, 4095, "[3584, 4K)"),
            (5, 63, "[63]"),
            (5, 1 << 40, "[1024G, 1056G)"),
        ];
        for (bits, value, interval) in cases {
            let shown = intervals(Agg::Hist { bits }, &log2(bits, &[value]));
            assert_eq!(shown, [(interval.to_owned(), 1)], "{bits} {value}");
        }
        let top = bytes(hist_buckets(0), [hist_index(0, u64::MAX, false)]);
        assert_eq!(intervals(Agg::Hist { bits: 0 }, &top), [("[8E, ...)".to_owned(), 1)]);
    }

    #[test]
    fn linear_intervals_at_the_edges() {
        let agg = Agg::LHist { min: 0, max: 10, step: 3 };
        let shown = intervals(agg, &linear(0, 10, 3, &[-1, 0, 9, 10]));
        let names: Vec<_> = shown.iter().map(|(name, count)| format!("{name} {count}")).collect();
        assert_eq!(names, ["(..., 0) 1", "[0, 3) 1", "[3, 6) 0", "[6, 9) 0", "[9] 1", "[10, ...) 1"]);
        let only = |min, max, step, value| {
            let agg = Agg::LHist { min, max, step };
            intervals(agg, &linear(min, max, step, &[value])).remove(0).0
        };
        assert_eq!(only(0, 100, 10, 100), "[100, ...)");
        assert_eq!(only(10, 110, 10, 9), "(..., 10)");
        assert_eq!(only(-100, 100, 50, -75), "[-100, -50)");
        assert_eq!(only(0, 8192, 1024, 1500), "[1K, 2K)");
        assert_eq!(only(0, 8 << 20, 1 << 20, 1 << 20), "[1M, 2M)");
        assert_eq!(only(0, 5, 1, 3), "[3]");
        assert_eq!(only(610_000, 670_000, 10_000, 640_000), "[640000, 650000)");
    }
}
