//! What maps gather: `@x = count()`. Each processor has its own numbers, which are put together when they are read.

use super::{Aggregation, Builtin, Kind, Param, optional, required};
use crate::check::{Call, Checked, build};
use crate::ir::Expr;
use crate::types::{Agg, Each, Type, buckets};

/// The most buckets that `lhist` makes, as in the reference.
const MAX_BUCKETS: i128 = 1000;

const NUMBER: &[Param] = &[required("n", Kind::Int)];

pub const TABLE: &[Builtin] = &[
    Builtin::gather("count", &[], "count_t", "Counts how often this runs", count),
    Builtin::gather("sum", NUMBER, "sum_t", "Adds up", sum),
    Builtin::gather("avg", NUMBER, "avg_t", "The average", avg),
    Builtin::gather("min", NUMBER, "min_t", "The smallest", min),
    Builtin::gather("max", NUMBER, "max_t", "The largest", max),
    Builtin::gather("stats", NUMBER, "stats_t", "Count, average and total", stats),
    Builtin::gather(
        "hist",
        &[required("n", Kind::Int), optional("bits", Kind::Number)],
        "hist_t",
        "A histogram with a bucket for each power of two",
        hist,
    )
    .doc("With `bits` from 0 to 5 each power of two is divided in 2^bits buckets."),
    Builtin::gather(
        "lhist",
        &[
            required("n", Kind::Int),
            required("min", Kind::Number),
            required("max", Kind::Number),
            required("step", Kind::Number),
        ],
        "lhist_t",
        "A histogram with buckets of equal width",
        lhist,
    ),
    Builtin::gather(
        "tseries",
        &[
            required("n", Kind::Int),
            required("interval_ns", Kind::Number),
            required("num_intervals", Kind::Number),
            optional("agg", Kind::Text),
        ],
        "tseries_t",
        "A number for each of the last intervals of time",
        tseries,
    )
    .doc(
        "Of several numbers in an interval the last counts, or what `agg` makes of them: `\"avg\"`, `\"max\"`, `\"min\"` or \
         `\"sum\"`. The interval is in nanoseconds, or has a unit: `tseries(@queue, 100ms, 20, \"max\")`. There are less \
         than a million of them, in maps with keys up to 1000. They begin at whole multiples of their length since 1970, and all keys of a map are shown up to \
         the last interval of any of them.",
    ),
];

/// So many intervals are too many, as in the reference.
const MAX_INTERVALS: i128 = 1_000_000;
/// The most in a map with keys: what it keeps per CPU has no more than 32 KB.
pub const MAX_KEYED_INTERVALS: u32 = 1000;

/// The number to gather in 64 bits, and whether it has a sign.
fn number(call: &mut Call<'_, '_, '_>) -> Checked<(Expr, bool)> {
    let value = call.value(0)?;
    let signed = value.ty().as_int().is_some_and(|int| int.signed);
    Ok((build::cast(value.expr, if signed { Type::I64 } else { Type::U64 }), signed))
}

/// The number as a signed one, whatever its type: an error code in `retval` is below zero.
fn signed(call: &mut Call<'_, '_, '_>) -> Checked<Expr> {
    Ok(build::cast(call.value(0)?.expr, Type::I64))
}

/// The smallest or largest number. A literal that could have either sign does not give one to the others of its map.
fn extreme(call: &mut Call<'_, '_, '_>, agg: impl FnOnce(bool) -> Agg) -> Checked<Aggregation> {
    let value = call.value(0)?;
    let either = value.literal && value.constant().is_some_and(|n| n >= 0);
    let signed = !either && value.ty().as_int().is_some_and(|int| int.signed);
    let value = build::cast(value.expr, if signed { Type::I64 } else { Type::U64 });
    Ok(Aggregation { agg: agg(signed), value: Some(value), weight: None })
}

fn of_number(call: &mut Call<'_, '_, '_>, agg: impl FnOnce(bool) -> Agg) -> Checked<Aggregation> {
    let (value, signed) = number(call)?;
    Ok(Aggregation { agg: agg(signed), value: Some(value), weight: None })
}

fn count(_: &mut Call<'_, '_, '_>) -> Checked<Aggregation> {
    Ok(Aggregation { agg: Agg::Count, value: None, weight: None })
}

fn sum(call: &mut Call<'_, '_, '_>) -> Checked<Aggregation> {
    of_number(call, |signed| Agg::Sum { signed })
}

fn avg(call: &mut Call<'_, '_, '_>) -> Checked<Aggregation> {
    of_number(call, |signed| Agg::Avg { signed })
}

fn min(call: &mut Call<'_, '_, '_>) -> Checked<Aggregation> {
    extreme(call, |signed| Agg::Min { signed })
}

fn max(call: &mut Call<'_, '_, '_>) -> Checked<Aggregation> {
    extreme(call, |signed| Agg::Max { signed })
}

fn stats(call: &mut Call<'_, '_, '_>) -> Checked<Aggregation> {
    of_number(call, |signed| Agg::Stats { signed })
}

fn hist(call: &mut Call<'_, '_, '_>) -> Checked<Aggregation> {
    let value = signed(call)?;
    let bits = call.number(1).unwrap_or(0);
    let bits = match u8::try_from(bits) {
        Ok(bits) if bits <= 5 => bits,
        _ => {
            let span = call.arg_span(1);
            return call.check.error("argument-range", span, format!("hist: bits {bits} must be 0..5"));
        }
    };
    Ok(Aggregation { agg: Agg::Hist { bits }, value: Some(value), weight: None })
}

fn lhist(call: &mut Call<'_, '_, '_>) -> Checked<Aggregation> {
    let value = signed(call)?;
    let (low, high, step) =
        (call.number(1).unwrap_or(0), call.number(2).unwrap_or(0), call.number(3).unwrap_or(0));
    let problem = if step < 1 {
        Some((3, format!("lhist() step must be >= 1 ({step} provided)")))
    } else if low > high {
        Some((1, format!("lhist() counts from its min up to its max: {low} is more than {high}")))
    } else if high - low < step {
        let range = high - low;
        Some((3, format!("lhist() has not one step of {step} in a range of {range}")))
    } else if (high - low) / step > MAX_BUCKETS {
        let needed = (high - low) / step;
        Some((3, format!("lhist() too many buckets, must be <= {MAX_BUCKETS} (would need {needed})")))
    } else {
        None
    };
    if let Some((index, message)) = problem {
        let span = call.arg_span(index);
        return call.check.error("argument-range", span, message);
    }
    let (Ok(min), Ok(max), Ok(step)) = (i64::try_from(low), i64::try_from(high), i64::try_from(step)) else {
        return call.fail("argument-range", "lhist() takes numbers up to 9223372036854775807");
    };
    debug_assert!(buckets::lhist_buckets(min, max, step) <= 1002);
    Ok(Aggregation { agg: Agg::LHist { min, max, step }, value: Some(value), weight: None })
}

fn tseries(call: &mut Call<'_, '_, '_>) -> Checked<Aggregation> {
    let (value, signed) = number(call)?;
    let (interval, intervals) = (call.number(1).unwrap_or(0), call.number(2).unwrap_or(0));
    let each = call.text(3);
    let refused = |call: &mut Call<'_, '_, '_>, index, message: String| {
        let span = call.arg_span(index);
        call.check.error("argument-range", span, message)
    };
    let Some(interval) = u64::try_from(interval).ok().filter(|n| *n > 0) else {
        return refused(call, 1, format!("tseries() interval_ns must be >= 1 ({interval} provided)"));
    };
    if intervals < 1 {
        return refused(call, 2, format!("tseries() num_intervals must be >= 1 ({intervals} provided)"));
    }
    if intervals >= MAX_INTERVALS {
        return refused(
            call,
            2,
            format!("tseries() num_intervals must be < {MAX_INTERVALS} ({intervals} provided)"),
        );
    }
    let each = match each.as_deref() {
        None => Each::Last,
        Some("avg") => Each::Avg,
        Some("max") => Each::Max,
        Some("min") => Each::Min,
        Some("sum") => Each::Sum,
        Some(other) => {
            let message = format!("tseries() gathers by avg, max, min or sum, not by \"{other}\"");
            return refused(call, 3, message);
        }
    };
    let now = super::time::wall_clock(call)?;
    let intervals = u32::try_from(intervals).unwrap_or(1);
    let agg = Agg::TSeries { interval, intervals, each, signed };
    Ok(Aggregation { agg, value: Some(value), weight: Some(now) })
}
