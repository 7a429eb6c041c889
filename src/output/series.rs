//! Time series: which intervals are shown, and how they are drawn.

use super::clocks::Moment;
use super::value::{part, word};
use super::{Entry, Names};
use crate::types::layout::SERIES_WORDS;
use crate::types::{Agg, Each, Type};

/// The kernel's `CLOCK_TAI`, on which the intervals begin at whole multiples of their length.
const CLOCK_TAI: u32 = 11;

/// The intervals from the first that has a value to the last of its map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series {
    /// In nanoseconds.
    interval: u64,
    signed: bool,
    pub points: Vec<Point>,
}

/// An interval by its number since 1970, and what was gathered in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub number: u64,
    pub value: Option<i128>,
}

/// The time series that an aggregation's bytes hold; `None` for what is none. `last` is the number of the last
/// interval of all the map's keys, which all of them end with.
pub(super) fn series(agg: &Agg, bytes: &[u8], last: Option<u64>) -> Option<Series> {
    let Agg::TSeries { interval, signed, .. } = *agg else { return None };
    let values = values(agg, bytes);
    let last = last.or_else(|| values.last().map(|(number, _)| *number)).unwrap_or(0);
    let first = last.saturating_sub(u64::from(count(agg)).saturating_sub(1));
    let shown: Vec<_> = values.into_iter().filter(|(number, _)| (first..=last).contains(number)).collect();
    let numbers = shown.first().map(|(from, _)| *from..=last);
    // In the order of their numbers, as the points are.
    let mut shown = shown.into_iter().peekable();
    let mut value_at = |number| shown.next_if(|(n, _)| *n == number).map(|(_, value)| value);
    let points =
        numbers.into_iter().flatten().map(|number| Point { number, value: value_at(number) }).collect();
    Some(Series { interval, signed, points })
}

/// The last interval of all the entries of a map.
pub(super) fn last(ty: &Type, entries: &[Entry<'_>]) -> Option<u64> {
    let Type::Agg(agg @ Agg::TSeries { .. }) = ty else { return None };
    entries.iter().filter_map(|entry| values(agg, &entry.value).last().map(|(number, _)| *number)).max()
}

fn count(agg: &Agg) -> u32 {
    match agg {
        Agg::TSeries { intervals, .. } => *intervals,
        _ => 0,
    }
}

/// The intervals that have values, by number.
fn values(agg: &Agg, bytes: &[u8]) -> Vec<(u64, i128)> {
    let Agg::TSeries { each, signed, .. } = *agg else { return vec![] };
    let mut found = vec![];
    for n in 0..count(agg) {
        let at = |word_number: u32| word(part(bytes, (n * SERIES_WORDS + word_number).saturating_mul(8), 8));
        let (value, more, number) = (at(0), at(1), at(2));
        if (value, more, number) == (0, 0, 0) {
            continue;
        }
        let wide = |n: u64| if signed { i128::from(n.cast_signed()) } else { i128::from(n) };
        let value = match each {
            // Number 0 means to the reference that there is none, and it shows what it then has. No clock of today is
            // there, only that of its tests.
            _ if number == 0 => 0,
            Each::Avg => wide(value).checked_div(i128::from(more)).unwrap_or(0),
            _ => wide(value),
        };
        found.push((number, value));
    }
    found.sort_unstable();
    found
}

/// What follows `hh:mm:ss`, by the length of the intervals, and how many digits that is.
const UNITS: [(u64, &str, usize); 4] =
    [(1_000_000_000, "", 0), (1_000_000, ".ms", 3), (1_000, ".us", 6), (0, ".ns", 9)];
/// The columns of the drawing, its edges counted; and of the smallest value above it.
const WIDTH: usize = 53;
const LOW: usize = 21;

impl Series {
    /// When an interval begins.
    fn start(&self, point: &Point) -> Moment {
        Moment { clock: CLOCK_TAI, nanoseconds: point.number.wrapping_mul(self.interval) }
    }

    /// Appends the drawing: a line for each interval, with a mark where its value lies between the extremes.
    pub fn draw(&self, out: &mut Vec<u8>, names: &mut Names<'_>) {
        let known = || self.points.iter().filter_map(|point| point.value);
        let (Some(mut least), Some(mut most)) = (known().min(), known().max()) else {
            out.extend_from_slice(b"<no data>");
            return;
        };
        if least == most {
            // Room on both sides of the only value, where its type has any.
            least = (least - 1).max(if self.signed { i128::from(i64::MIN) } else { 0 });
            most = (most + 1).min(if self.signed { i128::from(i64::MAX) } else { i128::from(u64::MAX) });
        }
        let unit = UNITS.into_iter().find(|(from, ..)| self.interval >= *from);
        let (_, unit, digits) = unit.unwrap_or((0, "", 0));
        let width = "hh:mm:ss".len() + if digits > 0 { 1 + digits } else { 0 } + 1;
        let extremes = format!("{:width$}{least:<LOW$}{most:>high$}\n", "", high = WIDTH - LOW);
        let edge = "_".repeat(WIDTH - 2);
        out.extend_from_slice(extremes.as_bytes());
        out.extend_from_slice(format!("{:<width$}|{edge}|\n", format!("hh:mm:ss{unit}")).as_bytes());
        let zero = if least < 0 && most > 0 { place(WIDTH, -least, most - least) } else { 0 };
        for point in &self.points {
            names.lookups.clocks.time_of_day(out, digits, self.start(point));
            let mut graph = [b' '; WIDTH];
            let mut mark = |at: usize, letter| {
                if let Some(place) = graph.get_mut(at) {
                    *place = letter;
                }
            };
            mark(0, b'|');
            mark(WIDTH - 1, b'|');
            if zero > 0 {
                mark(zero, b'.');
            }
            if let Some(value) = point.value {
                mark(place(WIDTH - 1, value - least, most - least).min(WIDTH - 1), b'*');
            }
            out.push(b' ');
            out.extend_from_slice(&graph);
            let value = point.value.map_or_else(|| "-".to_owned(), |value| value.to_string());
            out.extend_from_slice(format!(" {value}\n").as_bytes());
        }
        out.extend_from_slice(format!("{:width$}v{edge}v\n", "").as_bytes());
        out.extend_from_slice(extremes.as_bytes());
    }

    /// Appends a list of the intervals that have values.
    pub fn json(&self, out: &mut Vec<u8>, names: &mut Names<'_>, integer: fn(&mut Vec<u8>, i128)) {
        out.push(b'[');
        let known = self.points.iter().filter_map(|point| Some((point, point.value?)));
        for (n, (point, value)) in known.enumerate() {
            out.extend_from_slice(if n > 0 { b", {" } else { b"{" });
            out.extend_from_slice(b"\"interval_start\": \"");
            names.lookups.clocks.utc(out, self.start(point));
            out.extend_from_slice(b"\", \"value\": ");
            integer(out, value);
            out.push(b'}');
        }
        out.push(b']');
    }
}

/// A part of so many columns, computed in single precision as the original does.
fn place(columns: usize, part: i128, whole: i128) -> usize {
    if whole == 0 {
        return columns / 2;
    }
    (columns as f32 * part as f32 / whole as f32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agg(each: Each, intervals: u32) -> Agg {
        Agg::TSeries { interval: 100_000_000, intervals, each, signed: true }
    }

    fn bytes(buckets: &[[i64; 3]]) -> Vec<u8> {
        buckets.iter().flatten().flat_map(|n| n.to_ne_bytes()).collect()
    }

    fn points(agg: &Agg, buckets: &[[i64; 3]], last: Option<u64>) -> Vec<(u64, Option<i128>)> {
        let series = series(agg, &bytes(buckets), last).unwrap();
        series.points.iter().map(|p| (p.number, p.value)).collect()
    }

    #[test]
    fn from_the_first_value_to_the_last_interval() {
        let three = agg(Each::Sum, 3);
        let buckets = [[5, 1, 12], [0, 0, 0], [-7, 1, 11]];
        assert_eq!(points(&three, &buckets, None), [(11, Some(-7)), (12, Some(5))]);
        // Another key has gone on: what is too old is not shown.
        assert_eq!(points(&three, &buckets, Some(14)), [(12, Some(5)), (13, None), (14, None)]);
        assert_eq!(points(&three, &buckets, Some(40)), []);
        assert_eq!(points(&three, &[[0; 3]; 3], None), []);
    }

    #[test]
    fn averages_and_sums_of_nothing() {
        let buckets = [[-9, 2, 20], [0, 4, 21]];
        assert_eq!(points(&agg(Each::Avg, 2), &buckets, None), [(20, Some(-4)), (21, Some(0))]);
        assert!(series(&Agg::Count, &[0; 8], None).is_none());
    }
}
