//! Loops of code generation itself, most of them over the words of a string: walked through by the verifier, or left to
//! `bpf_loop`.

use inkwell::IntPredicate;
use inkwell::basic_block::BasicBlock;
use inkwell::values::{IntValue, PointerValue};

use super::Error;
use super::debug::Param;
use super::helpers::id;
use super::llvm::Result;
use super::loops::{Loop, SHARED_BYTES, number_param, pointer_param};
use super::memory::Mem;
use super::program::Gen;
use crate::kernel::Feature;
use crate::types::Int;

/// What the rounds of a loop read, made before it.
#[derive(Clone, Copy)]
pub(super) enum Kept<'c> {
    Memory(Mem<'c>),
    Number(IntValue<'c>),
}

impl<'g, 'c> Gen<'g, 'c> {
    /// A loop for the verifier to walk through: runs code with 0, `step`, twice `step` and so on below `end`. Where the
    /// code ends, the next round begins; it may also leave for the block it is given.
    pub(super) fn counted(
        &mut self,
        steps: (u64, u64),
        body: impl FnOnce(&mut Self, IntValue<'c>, BasicBlock<'c>) -> Result<()>,
    ) -> Result<()> {
        self.count_up(steps, &[], |g, at, _, done| body(g, at, done).map(|()| vec![])).map(drop)
    }

    /// As [`Gen::counted`], with a number that each round makes of what the one before it made, the first of `first`.
    /// The result is what the round that was left, or the last one, began with.
    pub(super) fn folded(
        &mut self,
        steps: (u64, u64),
        first: IntValue<'c>,
        body: impl FnOnce(&mut Self, IntValue<'c>, IntValue<'c>, BasicBlock<'c>) -> Result<IntValue<'c>>,
    ) -> Result<IntValue<'c>> {
        let lost = || Error::Internal("a loop without its number".into());
        let found = self.count_up(steps, &[first], |g, at, before, done| {
            let before = before.first().copied().ok_or_else(lost)?;
            Ok(vec![body(g, at, before, done)?])
        })?;
        found.first().copied().ok_or_else(lost)
    }

    fn count_up(
        &mut self,
        (end, step): (u64, u64),
        first: &[IntValue<'c>],
        body: impl FnOnce(&mut Self, IntValue<'c>, &[IntValue<'c>], BasicBlock<'c>) -> Result<Vec<IntValue<'c>>>,
    ) -> Result<Vec<IntValue<'c>>> {
        let ll = self.ll;
        let (head, round, done) = (ll.block("rounds")?, ll.block("round")?, ll.block("done")?);
        let start = ll.here()?;
        ll.jump(head)?;
        ll.enter(head);
        let counter = ll.builder.build_phi(ll.i64, "")?;
        counter.add_incoming(&[(&ll.imm(0), start)]);
        let mut kept = vec![];
        for value in first {
            let phi = ll.builder.build_phi(ll.i64, "")?;
            phi.add_incoming(&[(value, start)]);
            kept.push(phi);
        }
        let at = counter.as_basic_value().into_int_value();
        let before: Vec<IntValue<'c>> =
            kept.iter().map(|phi| phi.as_basic_value().into_int_value()).collect();
        ll.branch(ll.compare(IntPredicate::ULT, at, ll.imm(end))?, round, done)?;
        ll.enter(round);
        let after = body(self, at, &before, done)?;
        let following = ll.builder.build_int_add(at, ll.imm(step), "")?;
        let here = ll.here()?;
        counter.add_incoming(&[(&following, here)]);
        for (phi, value) in kept.iter().zip(&after) {
            phi.add_incoming(&[(value, here)]);
        }
        ll.jump(head)?;
        ll.enter(done);
        Ok(before)
    }

    /// Runs code for each round, which may end the loop with [`Gen::break_loop`], and which may store a result; it is
    /// `otherwise` if no round does. No more of them are `walked` where that can be avoided.
    pub(super) fn rounds(
        &mut self,
        (count, walked): (u32, u32),
        kept: &[Kept<'c>],
        otherwise: u64,
        body: impl FnOnce(&mut Self, IntValue<'c>, &[Kept<'c>], PointerValue<'c>) -> Result<()>,
    ) -> Result<IntValue<'c>> {
        if count <= walked || !self.has(Feature::Loop) {
            return self.walked_rounds(count, kept, otherwise, body);
        }
        let ll = self.ll;
        let cells = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        let frame = self.shared_frame(cells)?;
        let home = self.pool.scratch(8);
        let cell = |frame, n: u32| ll.at(frame, u64::from(SHARED_BYTES + 8 * n));
        for (n, kept) in (0u32..).zip(kept) {
            match kept {
                Kept::Memory(mem) => ll.builder.build_store(cell(frame, n)?, mem.ptr)?,
                Kept::Number(number) => ll.builder.build_store(cell(frame, n)?, *number)?,
            };
        }
        ll.store(self.mem(home)?.ptr, ll.imm(otherwise), 8, 8)?;
        let params = [Param::number("round"), Param::pointer("frame")];
        let function = self.outline(&params, self.place, |g, function| {
            let frame = pointer_param(function, 1)?;
            let mut inside = vec![];
            for (n, kept) in (0u32..).zip(kept) {
                inside.push(match kept {
                    Kept::Memory(mem) => {
                        let ptr = ll.builder.build_load(ll.ptr, cell(frame, n)?, "")?.into_pointer_value();
                        Kept::Memory(Mem { ptr, ..*mem })
                    }
                    Kept::Number(_) => Kept::Number(ll.load(cell(frame, n)?, Int::U64, 8)?),
                });
            }
            let round = g.round_below(count, number_param(function, 0)?)?;
            let result = g.mem(home)?.ptr;
            body(g, round, &inside, result)
        })?;
        let args = [ll.imm(u64::from(count)).into(), function.into(), frame.into(), ll.imm(0).into()];
        ll.helper(id::LOOP, &args)?;
        let result = ll.load_volatile(self.mem(home)?.ptr, Int::U64)?;
        self.release_stack(frame);
        Ok(result)
    }

    /// The number of a round, of which the verifier does not know how large it can be. There is no such round as the
    /// one that is left out; to take another number instead would be one more way to follow.
    pub(super) fn round_below(&mut self, count: u32, round: IntValue<'c>) -> Result<IntValue<'c>> {
        let round = self.ll.opaque(round)?;
        let over = self.ll.compare(IntPredicate::UGE, round, self.ll.imm(u64::from(count)))?;
        self.when(over, Self::break_loop)?;
        Ok(round)
    }

    fn walked_rounds(
        &mut self,
        count: u32,
        kept: &[Kept<'c>],
        otherwise: u64,
        body: impl FnOnce(&mut Self, IntValue<'c>, &[Kept<'c>], PointerValue<'c>) -> Result<()>,
    ) -> Result<IntValue<'c>> {
        let ll = self.ll;
        // See `forget`.
        let result = self.scratch_temp(8)?.ptr;
        ll.store(result, ll.imm(otherwise), 8, 8)?;
        self.counted((u64::from(count), 1), |g, number, done| {
            let next = ll.block("next")?;
            g.frame.loops.push(Loop::Inline { next, done });
            let walked = g.scoped(|g| body(g, number, kept, result));
            g.frame.loops.pop();
            walked?;
            ll.jump(next)?;
            ll.enter(next);
            Ok(())
        })?;
        ll.load_volatile(result, Int::U64)
    }
}
