//! `kstack` and `ustack`: the frames go to a map under a hash of theirs, the value is the hash.

use inkwell::IntPredicate;

use super::Error;
use super::helpers::{NOEXIST, USER_STACK, id};
use super::llvm::Result;
use super::memory::Mem;
use super::program::Gen;
use crate::image::Counter;
use crate::types::layout::{STACK_FRAMES, USTACK_PID};
use crate::types::{Int, Type};

/// The most frames that a stack can have: `/proc/sys/kernel/perf_event_max_stack` is 127 unless the administrator
/// wants more.
const MOST_FRAMES: u32 = 1024;
/// The multiplier of splitmix64, whose bits are well mixed.
const MIX: u64 = 0xbf58_476d_1ce4_e5b9;

impl<'g, 'c> Gen<'g, 'c> {
    /// Takes the current stack and writes its value.
    pub(super) fn stack(&mut self, ty: &Type, to: Mem<'c>) -> Result<()> {
        let (limit, user) = match ty {
            Type::KStack(format) => (format.limit, false),
            Type::UStack(format) => (format.limit, true),
            other => return Err(Error::Internal(format!("a stack of type {other:?}"))),
        };
        let limit = limit.clamp(1, MOST_FRAMES);
        let map = self.object.stack_map(self.ll, limit)?;
        self.scoped(|g| {
            let ll = g.ll;
            let frames = g.scratch_temp(limit * 8)?;
            let flags = if user { USER_STACK } else { 0 };
            let size = ll.imm(u64::from(limit) * 8);
            let args = [g.frame.context.into(), frames.ptr.into(), size.into(), ll.imm(flags).into()];
            // What the frames do not fill, the kernel zeroes.
            let result = ll.helper(id::GET_STACK, &args)?;
            g.check_helper(id::GET_STACK, result)?;
            let some = ll.compare(IntPredicate::SGT, result, ll.imm(0))?;
            let bytes = ll.select(some, result, ll.imm(0))?;
            let bytes = ll.bound(bytes, u64::from(limit) * 8)?;
            let count = ll.builder.build_right_shift(bytes, ll.imm(3), false, "")?;
            ll.store(g.part(to, STACK_FRAMES)?.ptr, count, 4, 4)?;
            let pid = if user {
                let ids = g.task_ids()?;
                g.ll.builder.build_right_shift(ids, ll.imm(32), false, "")?
            } else {
                ll.imm(0)
            };
            ll.store(g.part(to, USTACK_PID)?.ptr, pid, 4, 4)?;
            let hash = g.hash_frames(frames, bytes, limit)?;
            ll.store(to.ptr, hash, 8, 8)?;
            let key = g.stack_temp(8)?;
            ll.store(key.ptr, hash, 8, 8)?;
            let there = ll.is_true(bytes)?;
            g.when(there, |g| {
                let known = g.ll.helper_ptr(id::MAP_LOOKUP, &[map.into(), key.ptr.into()])?;
                let new = g.ll.is_null(known)?;
                g.when(new, |g| {
                    let ll = g.ll;
                    let args = [map.into(), key.ptr.into(), frames.ptr.into(), ll.imm(NOEXIST).into()];
                    let result = ll.helper(id::MAP_UPDATE, &args)?;
                    // Another CPU may have been faster with the same stack.
                    let failed = ll.is_true(result)?;
                    let other = ll.compare(IntPredicate::NE, result, ll.imm(EEXIST.cast_unsigned()))?;
                    let lost = ll.builder.build_and(failed, other, "")?;
                    g.when(lost, |g| g.bump(Counter::LostStacks as u32))
                })
            })
        })
    }

    /// A hash of the first `bytes` bytes; zero only for none.
    fn hash_frames(
        &mut self,
        frames: Mem<'c>,
        bytes: inkwell::values::IntValue<'c>,
        limit: u32,
    ) -> Result<inkwell::values::IntValue<'c>> {
        let ll = self.ll;
        let b = &ll.builder;
        self.folded((u64::from(limit) * 8, 8), ll.imm(0), |_, at, hash, done| {
            let body = ll.block("frame")?;
            ll.branch(ll.compare(IntPredicate::ULT, at, bytes)?, body, done)?;
            ll.enter(body);
            let frame = ll.load(ll.at_dynamic(frames.ptr, at)?, Int::U64, 8)?;
            let mixed = b.build_xor(hash, frame, "")?;
            let mixed = b.build_int_mul(mixed, ll.imm(MIX), "")?;
            let mixed = b.build_xor(mixed, b.build_right_shift(mixed, ll.imm(31), false, "")?, "")?;
            // So that the same frames in another order, or zeros, make a difference.
            Ok(b.build_int_add(mixed, ll.imm(1), "")?)
        })
    }
}

/// `-EEXIST`
const EEXIST: i64 = -17;
