//! `count`, `sum`, `hist` and the like: gathered in place, on each CPU for itself, and read as a sum over all.

use inkwell::IntPredicate;
use inkwell::values::{IntValue, PointerValue};

use super::Error;
use super::llvm::Result;
use super::memory::Mem;
use super::program::Gen;
use crate::image::{MapId, SERIES_PIECE};
use crate::ir::Expr;
use crate::types::layout::SERIES_WORDS;
use crate::types::{Agg, Each, Int, Type, buckets};

impl<'g, 'c> Gen<'g, 'c> {
    /// `@m[key] = hist(value)`
    pub(super) fn aggregate(
        &mut self,
        map: MapId,
        key: Option<&'g Expr>,
        value: Option<&'g Expr>,
        weight: Option<&'g Expr>,
    ) -> Result<()> {
        let definition = self.script_map(map)?;
        let Type::Agg(agg) = &definition.value else {
            return Err(Error::Internal(format!("{} does not gather", definition.name)));
        };
        let signed = value.and_then(|v| v.ty.as_int()).is_some_and(|int| int.signed);
        let value = match value {
            Some(value) => self.scalar(value)?,
            None => self.ll.imm(1),
        };
        let weight = match weight {
            Some(weight) => self.scalar(weight)?,
            None => self.ll.imm(1),
        };
        let interval = match agg {
            Agg::TSeries { interval, intervals, .. } => Some(self.interval(weight, *interval, *intervals)?),
            _ => None,
        };
        let key = match interval {
            Some((_, place)) if definition.pieces() > 1 => self.piece(place)?,
            _ => self.key(map, key)?,
        };
        let slot = self.lookup_or_insert(map, key)?;
        // Other CPUs have their own value. On this one, an interrupting program may come between load and store.
        let atomic = !definition.kind.per_cpu() || self.settings.nested_maps.contains(&map);
        let missing = self.ll.is_null(slot)?;
        self.either(
            missing,
            |g| g.refused(map, None),
            |g| {
                g.mark_written(map, slot)?;
                match agg {
                    Agg::Count => g.add_word(slot, weight, atomic),
                    Agg::Sum { .. } => g.add_word(slot, value, atomic),
                    Agg::Avg { .. } | Agg::Stats { .. } => {
                        g.add_word(slot, value, atomic)?;
                        g.add_word(g.ll.at(slot, 8)?, weight, atomic)
                    }
                    Agg::Min { signed } => g.extreme(slot, value, *signed, true),
                    Agg::Max { signed } => g.extreme(slot, value, *signed, false),
                    Agg::Hist { bits } => {
                        let index = g.hist_index(*bits, value, signed)?;
                        g.add_bucket(slot, index, buckets::hist_buckets(*bits), weight, atomic)
                    }
                    Agg::LHist { min, max, step } => {
                        let index = g.lhist_index(*min, *max, *step, value)?;
                        let count = buckets::lhist_buckets(*min, *max, *step);
                        g.add_bucket(slot, index, count, weight, atomic)
                    }
                    Agg::TSeries { intervals, each, signed, .. } => {
                        let Some((number, place)) = interval else { return Ok(()) };
                        let at = g.place_in_series(slot, place, *intervals, definition.pieces() > 1)?;
                        g.add_to_series(at, number, (*each, *signed), value, weight)
                    }
                }
            },
        )
    }

    fn add_word(&mut self, at: PointerValue<'c>, value: IntValue<'c>, atomic: bool) -> Result<()> {
        if atomic {
            return self.ll.atomic_add(at, value, 8).map(drop);
        }
        let before = self.ll.load(at, Int::U64, 8)?;
        self.ll.store(at, self.ll.builder.build_int_add(before, value, "")?, 8, 8)
    }

    fn add_bucket(
        &mut self,
        slot: PointerValue<'c>,
        index: IntValue<'c>,
        count: u32,
        weight: IntValue<'c>,
        atomic: bool,
    ) -> Result<()> {
        let index = self.ll.bound(index, u64::from(count.saturating_sub(1)))?;
        let offset = self.ll.builder.build_left_shift(index, self.ll.imm(3), "")?;
        self.add_word(self.ll.at_dynamic(slot, offset)?, weight, atomic)
    }

    /// The number of the interval that a time is in, and its place, which is that of the one `intervals` before it.
    fn interval(
        &mut self,
        now: IntValue<'c>,
        interval: u64,
        intervals: u32,
    ) -> Result<(IntValue<'c>, IntValue<'c>)> {
        let ll = self.ll;
        let number = ll.builder.build_int_unsigned_div(now, ll.imm(interval.max(1)), "")?;
        let place = ll.builder.build_int_unsigned_rem(number, ll.imm(u64::from(intervals.max(1))), "")?;
        Ok((number, place))
    }

    /// The key of the entry that has a place of a long time series.
    fn piece(&mut self, place: IntValue<'c>) -> Result<PointerValue<'c>> {
        let ll = self.ll;
        let key = self.stack_temp(4)?;
        let piece = ll.builder.build_int_unsigned_div(place, ll.imm(u64::from(SERIES_PIECE)), "")?;
        ll.store(key.ptr, piece, 4, 4)?;
        Ok(key.ptr)
    }

    /// Where in an entry's value the place of an interval is.
    fn place_in_series(
        &mut self,
        slot: PointerValue<'c>,
        place: IntValue<'c>,
        intervals: u32,
        in_pieces: bool,
    ) -> Result<Mem<'c>> {
        let ll = self.ll;
        let place = match in_pieces {
            true => ll.builder.build_int_unsigned_rem(place, ll.imm(u64::from(SERIES_PIECE)), "")?,
            false => place,
        };
        let most = if in_pieces { SERIES_PIECE } else { intervals };
        let place = ll.bound(place, u64::from(most.saturating_sub(1)))?;
        let offset = ll.builder.build_int_mul(place, ll.imm(u64::from(SERIES_WORDS) * 8), "")?;
        Ok(Mem { ptr: ll.at_dynamic(slot, offset)?, align: 8, on_stack: false })
    }

    fn add_to_series(
        &mut self,
        at: Mem<'c>,
        number: IntValue<'c>,
        (each, signed): (Each, bool),
        value: IntValue<'c>,
        now: IntValue<'c>,
    ) -> Result<()> {
        let ll = self.ll;
        let (more, own) = (self.part(at, 8)?, self.part(at, 16)?);
        let other = ll.compare(IntPredicate::NE, ll.load(own.ptr, Int::U64, 8)?, number)?;
        self.when(other, |g| {
            g.zero(at, 16)?;
            g.ll.store(own.ptr, number, 8, 8)
        })?;
        match each {
            Each::Last => {
                ll.store(at.ptr, value, 8, 8)?;
                ll.store(more.ptr, now, 8, 8)
            }
            Each::Sum | Each::Avg => {
                self.add_word(at.ptr, value, false)?;
                self.add_word(more.ptr, ll.imm(1), false)
            }
            Each::Min => self.extreme_of(at, more, value, signed, true),
            Each::Max => self.extreme_of(at, more, value, signed, false),
        }
    }

    /// The number, and after it whether it is set.
    fn extreme(
        &mut self,
        slot: PointerValue<'c>,
        value: IntValue<'c>,
        signed: bool,
        least: bool,
    ) -> Result<()> {
        let whole = Mem { ptr: slot, align: 8, on_stack: false };
        self.extreme_of(whole, self.part(whole, 8)?, value, signed, least)
    }

    /// The arithmetic of [`buckets::hist_index`]. The logarithm is looked up by the bits below the highest one, made
    /// all ones and multiplied so that each of the 64 gives another number (a de Bruijn sequence): without a branch
    /// there is only one path for the verifier.
    fn hist_index(&mut self, bits: u8, value: IntValue<'c>, signed: bool) -> Result<IntValue<'c>> {
        let bits = u64::from(bits.min(5));
        let linear = self.ll.compare(IntPredicate::ULT, value, self.ll.imm(1 << bits))?;
        let table = self.object.constant(self.ll, &logarithms())?;
        let (ll, b) = (self.ll, &self.ll.builder);
        let mut ones = value;
        for shift in [1, 2, 4, 8, 16, 32] {
            let shifted = b.build_right_shift(ones, ll.imm(shift), false, "")?;
            ones = b.build_or(ones, shifted, "")?;
        }
        let place = b.build_int_mul(ones, ll.imm(DE_BRUIJN), "")?;
        let place = b.build_right_shift(place, ll.imm(58), false, "")?;
        let log = ll.load(ll.at_dynamic(table, place)?, Int::U8, 1)?;
        // 1 + ((log - bits + 1) << bits) + the bits after the highest.
        let shift = b.build_int_sub(log, ll.imm(bits), "")?;
        let shift = b.build_and(shift, ll.imm(63), "")?;
        let sub = b.build_right_shift(value, shift, false, "")?;
        let sub = b.build_and(sub, ll.imm((1 << bits) - 1), "")?;
        let power = b.build_int_add(shift, ll.imm(1), "")?;
        let power = b.build_left_shift(power, ll.imm(bits), "")?;
        let index = b.build_int_add(b.build_int_add(power, sub, "")?, ll.imm(1), "")?;
        let small = b.build_int_add(value, ll.imm(1), "")?;
        let index = ll.select(linear, small, index)?;
        if !signed {
            return Ok(index);
        }
        let negative = ll.compare(IntPredicate::SLT, value, ll.imm(0))?;
        ll.select(negative, ll.imm(0), index)
    }

    /// The arithmetic of [`buckets::lhist_index`].
    fn lhist_index(&mut self, min: i64, max: i64, step: i64, value: IntValue<'c>) -> Result<IntValue<'c>> {
        let (ll, b) = (self.ll, &self.ll.builder);
        let (low, high) = (ll.imm(min.cast_unsigned()), ll.imm(max.cast_unsigned()));
        // From min to max the difference is right even where it does not fit 63 bits.
        let above = b.build_int_sub(value, low, "")?;
        let steps = b.build_int_unsigned_div(above, ll.imm(step.max(1).cast_unsigned()), "")?;
        let index = b.build_int_add(steps, ll.imm(1), "")?;
        let last = ll.imm(u64::from(buckets::lhist_buckets(min, max, step) - 1));
        let below = ll.compare(IntPredicate::SLT, value, low)?;
        let past = ll.compare(IntPredicate::SGE, value, high)?;
        let index = ll.select(past, last, index)?;
        ll.select(below, ll.imm(0), index)
    }

    /// What an aggregation reads as: one number over all CPUs.
    pub(super) fn aggregate_value(
        &mut self,
        map: MapId,
        agg: &Agg,
        key: PointerValue<'c>,
    ) -> Result<IntValue<'c>> {
        let ll = self.ll;
        let (first, second) = (self.stack_temp(8)?, self.stack_temp(8)?);
        ll.store(first.ptr, ll.imm(0), 8, 8)?;
        ll.store(second.ptr, ll.imm(0), 8, 8)?;
        let gather = |g: &mut Self, found: PointerValue<'c>| {
            let there = g.ll.builder.build_is_not_null(found, "")?;
            g.when(there, |g| g.gather(agg, found, first, second))
        };
        if self.script_map(map)?.kind.per_cpu() {
            self.each_cpu(map, key, gather)?;
        } else {
            let found = self.lookup(map, key)?;
            gather(self, found)?;
        }
        let first = ll.load(first.ptr, Int::U64, 8)?;
        match agg {
            Agg::Avg { signed } | Agg::Stats { signed } => {
                let count = ll.load(second.ptr, Int::U64, 8)?;
                self.divide(first, count, *signed, false)
            }
            _ => Ok(first),
        }
    }

    fn gather(&mut self, agg: &Agg, found: PointerValue<'c>, first: Mem<'c>, second: Mem<'c>) -> Result<()> {
        let ll = self.ll;
        let add = |to: Mem<'c>, offset| -> Result<()> {
            let own = ll.load(ll.at(found, offset)?, Int::U64, 8)?;
            let sum = ll.builder.build_int_add(ll.load(to.ptr, Int::U64, 8)?, own, "")?;
            ll.store(to.ptr, sum, 8, 8)
        };
        match agg {
            Agg::Count | Agg::Sum { .. } => add(first, 0),
            Agg::Avg { .. } | Agg::Stats { .. } => {
                add(first, 0)?;
                add(second, 8)
            }
            Agg::Min { signed } | Agg::Max { signed } => {
                let own = ll.load(found, Int::U64, 8)?;
                let set = ll.is_true(ll.load(ll.at(found, 8)?, Int::U64, 8)?)?;
                let least = matches!(agg, Agg::Min { .. });
                self.when(set, |g| g.extreme_of(first, second, own, *signed, least))
            }
            Agg::Hist { .. } | Agg::LHist { .. } | Agg::TSeries { .. } => {
                Err(Error::Internal(format!("{} is not one number", agg.name())))
            }
        }
    }

    fn extreme_of(
        &mut self,
        first: Mem<'c>,
        second: Mem<'c>,
        value: IntValue<'c>,
        signed: bool,
        least: bool,
    ) -> Result<()> {
        let ll = self.ll;
        let how = match (least, signed) {
            (true, true) => IntPredicate::SLT,
            (true, false) => IntPredicate::ULT,
            (false, true) => IntPredicate::SGT,
            (false, false) => IntPredicate::UGT,
        };
        let unset = ll.compare(IntPredicate::EQ, ll.load(second.ptr, Int::U64, 8)?, ll.imm(0))?;
        let beyond = ll.compare(how, value, ll.load(first.ptr, Int::U64, 8)?)?;
        let take = ll.builder.build_or(unset, beyond, "")?;
        self.when(take, |g| {
            g.ll.store(first.ptr, value, 8, 8)?;
            g.ll.store(second.ptr, g.ll.imm(1), 8, 8)
        })
    }
}

/// Multiplied by `2^n - 1` for n from 1 to 64, its highest six bits are all different.
const DE_BRUIJN: u64 = 0x03f7_9d71_b4cb_0a89;

/// The logarithm for each of those six bits.
fn logarithms() -> [u8; 64] {
    let mut table = [0; 64];
    for log in 0..64u8 {
        let ones = u64::MAX >> (63 - log);
        if let Some(entry) = table.get_mut((ones.wrapping_mul(DE_BRUIJN) >> 58) as usize) {
            *entry = log;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_power_has_its_place_in_the_table() {
        let table = logarithms();
        let mut seen = table;
        seen.sort_unstable();
        assert!((0..64).eq(seen), "{table:?}");
    }
}
