//! How values lie in memory: map keys and values, event records, scratch memory. Code generation writes these
//! bytes and the runtime reads them; both ask here.
//!
//! | type | bytes |
//! | --- | --- |
//! | scalars | their integer, native byte order |
//! | `Str(n)` | `n` bytes |
//! | `Buf(n)` | `u32` length, then `n` bytes |
//! | `Tuple`, `Record` | each at the next multiple of its alignment, the whole rounded up to the largest |
//! | `Float` | as C has it, native byte order |
//! | `Inet` | `u32` family (2 or 10), 16 bytes of address |
//! | `Mac` | 6 bytes |
//! | `Timestamp` | `u64` nanoseconds of its clock, `u32` index of the format in the image's strings, `u32` clock: the kernel's `CLOCK_BOOTTIME` (7) or `CLOCK_TAI` (11) |
//! | `USym` | `u64` address, `u32` pid, `u32` zero |
//! | `KStack` | `u64` id, `u32` number of frames, `u32` zero |
//! | `UStack` | `u64` id, `u32` number of frames, `u32` pid |
//! | `CgroupPath` | `u64` cgroup id, `u32` index of the filter in the image's strings, `u32` zero |
//! | `Agg` | see [`agg_words`]; that many `u64` |

use super::{Agg, Layouts, Type, buckets};

/// Offsets of the parts of the composite values above.
pub const BUF_DATA: u32 = 4;
pub const INET_ADDRESS: u32 = 4;
pub const TIMESTAMP_FORMAT: u32 = 8;
pub const TIMESTAMP_CLOCK: u32 = 12;
pub const USYM_PID: u32 = 8;
pub const STACK_FRAMES: u32 = 8;
pub const USTACK_PID: u32 = 12;
pub const CGROUP_FILTER: u32 = 8;

/// Size in bytes.
pub fn size_of(ty: &Type, layouts: &Layouts) -> u32 {
    extent(ty, layouts).0
}

/// Alignment in bytes: 1, 2, 4 or 8.
pub fn align_of(ty: &Type, layouts: &Layouts) -> u32 {
    extent(ty, layouts).1
}

/// Size and alignment. Both at once: asked one after the other, each level of a nested type would be walked twice as
/// often as the one around it.
fn extent(ty: &Type, layouts: &Layouts) -> (u32, u32) {
    let whole = |sequence: Sequence| (sequence.size, sequence.align);
    match ty {
        Type::Void => (0, 1),
        Type::Str(n) => (*n, 1),
        Type::Buf(n) => (BUF_DATA.saturating_add(*n), 4),
        Type::Array { elem, len } => {
            let (size, align) = extent(elem, layouts);
            (size.saturating_mul(*len), align)
        }
        Type::Struct(id) => layouts.structs.get(id).map_or((0, 1), |s| (s.size, s.align.clamp(1, 8))),
        Type::Tuple(types) => whole(sequence(types, layouts)),
        Type::Record(fields) => whole(sequence(fields.iter().map(|(_, ty)| ty), layouts)),
        Type::Float { size } => ((*size).into(), (*size).into()),
        Type::Inet => (20, 4),
        Type::Mac => (6, 1),
        Type::Timestamp | Type::USym | Type::KStack(_) | Type::UStack(_) | Type::CgroupPath => (16, 8),
        Type::Agg(agg) => (8 * agg_words(agg), 8),
        scalar => scalar.as_int().map_or((0, 1), |int| (u32::from(int.size), u32::from(int.size))),
    }
}

/// Where the parts of a tuple, record or event lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    pub offsets: Vec<u32>,
    pub size: u32,
    pub align: u32,
}

pub fn sequence<'a>(types: impl IntoIterator<Item = &'a Type>, layouts: &Layouts) -> Sequence {
    let (mut offsets, mut at, mut align) = (vec![], 0u32, 1u32);
    for ty in types {
        let (size, own) = extent(ty, layouts);
        at = at.checked_next_multiple_of(own).unwrap_or(u32::MAX);
        offsets.push(at);
        at = at.saturating_add(size);
        align = align.max(own);
    }
    Sequence { offsets, size: at.checked_next_multiple_of(align).unwrap_or(u32::MAX), align }
}

/// See [`agg_words`].
pub const SERIES_WORDS: u32 = 3;

/// How many `u64` an aggregation keeps per key (and CPU).
///
/// - count, sum: the number
/// - min, max: the number, then 1 once it is set
/// - avg, stats: the sum, then the count
/// - hist, lhist: a count a bucket, see [`buckets`]
/// - tseries: [`SERIES_WORDS`] for each interval, at its number (the time divided by its length) modulo their count:
///   the number or sum; when that was, in nanoseconds, for the last one, else how many there were; the interval's own
///   number. All zero as long as there is none.
pub fn agg_words(agg: &Agg) -> u32 {
    match agg {
        Agg::Count | Agg::Sum { .. } => 1,
        Agg::Min { .. } | Agg::Max { .. } | Agg::Avg { .. } | Agg::Stats { .. } => 2,
        Agg::Hist { bits } => buckets::hist_buckets(*bits),
        Agg::LHist { min, max, step } => buckets::lhist_buckets(*min, *max, *step),
        Agg::TSeries { intervals, .. } => intervals.saturating_mul(SERIES_WORDS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walking each level twice would take hours.
    #[test]
    fn nesting_costs_no_more_than_its_depth() {
        let nested =
            (0..60).fold(Type::Int(crate::types::Int::I8), |inner, _| Type::Tuple(vec![inner, Type::U16]));
        let layouts = Layouts::default();
        assert_eq!((size_of(&nested, &layouts), align_of(&nested, &layouts)), (122, 2));
        assert_eq!(sequence([&nested, &Type::U64], &layouts).offsets, [0, 128]);
    }
}
