//! The buckets of `hist` and `lhist`: which a value falls in, and what values a bucket holds. Code generation
//! emits the same arithmetic as [`hist_index`] and [`lhist_index`] (its tests compare the two); printing uses the
//! bounds.

/// How many buckets a log2 histogram has: one for negative numbers, one for each number below `2^bits`, and
/// `2^bits` for each power of two from there on.
pub fn hist_buckets(bits: u8) -> u32 {
    let bits = u32::from(bits.min(5));
    1 + (1 << bits) * (65 - bits)
}

/// The bucket of a value. `negative` is whether the value, read as its own type, is below zero.
pub fn hist_index(bits: u8, value: u64, negative: bool) -> u32 {
    let bits = u32::from(bits.min(5));
    if negative {
        return 0;
    }
    if value < 1 << bits {
        // Below 32, so it fits.
        return 1 + value as u32;
    }
    let log = value.ilog2();
    let sub = (value >> (log - bits)) as u32 & ((1 << bits) - 1);
    1 + (1 << bits) * (log - bits + 1) + sub
}

/// The lowest value of a bucket, and the lowest of the next one (`None` past the last). Bucket 0 has no lowest
/// value and is not asked for.
pub fn hist_bounds(bits: u8, index: u32) -> (u64, Option<u64>) {
    let start = |index: u32| -> Option<u64> {
        let bits = u32::from(bits.min(5));
        let n = index.saturating_sub(1);
        if n < 1 << bits {
            return Some(u64::from(n));
        }
        let (power, sub) = ((n >> bits) + bits - 1, n & ((1 << bits) - 1));
        let step = 1u64.checked_shl(power.checked_sub(bits)?)?;
        1u64.checked_shl(power)?.checked_add(step.checked_mul(u64::from(sub))?)
    };
    (start(index).unwrap_or(u64::MAX), start(index.saturating_add(1)))
}

/// How many buckets a linear histogram has: one below `min`, one for each step, one from `max` on.
pub fn lhist_buckets(min: i64, max: i64, step: i64) -> u32 {
    let steps = (i128::from(max) - i128::from(min)).max(0).div_euclid(i128::from(step.max(1)));
    let rest = (i128::from(max) - i128::from(min)).max(0).rem_euclid(i128::from(step.max(1)));
    u32::try_from(steps + i128::from(rest > 0)).unwrap_or(u32::MAX - 2).saturating_add(2)
}

/// The bucket of a value.
pub fn lhist_index(min: i64, max: i64, step: i64, value: i64) -> u32 {
    if value < min {
        0
    } else if value >= max {
        lhist_buckets(min, max, step) - 1
    } else {
        let n = (i128::from(value) - i128::from(min)) / i128::from(step.max(1));
        u32::try_from(n).unwrap_or(u32::MAX - 1) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_within_its_bucket() {
        for bits in 0..=5 {
            let mut last = 0;
            for power in 0..64 {
                for near in [-1i64, 0, 1, 2, 3] {
                    let value = (1u64 << power).wrapping_add_signed(near);
                    let index = hist_index(bits, value, false);
                    let (low, high) = hist_bounds(bits, index);
                    assert!(
                        low <= value && high.is_none_or(|h| value < h),
                        "{bits} {value}: {low}..{high:?}"
                    );
                    assert!(index < hist_buckets(bits));
                    last = last.max(index);
                }
            }
            assert_eq!(hist_index(bits, u64::MAX, false), hist_buckets(bits) - 1);
            assert_eq!(hist_bounds(bits, hist_buckets(bits) - 1).1, None);
        }
        assert_eq!(hist_index(0, 5, true), 0);
        assert_eq!((hist_index(0, 0, false), hist_index(0, 1, false), hist_index(0, 2, false)), (1, 2, 3));
    }

    #[test]
    fn linear_buckets_cover_the_range() {
        assert_eq!(lhist_buckets(0, 10, 1), 12);
        assert_eq!(lhist_buckets(0, 10, 3), 6);
        assert_eq!(lhist_index(0, 10, 3, -1), 0);
        assert_eq!(lhist_index(0, 10, 3, 9), 4);
        assert_eq!(lhist_index(0, 10, 3, 10), 5);
    }
}
