//! Loops. With `bpf_loop` and `bpf_for_each_map_elem` a loop's body is a function of its own that the kernel calls,
//! and the verifier walks through it once; without, it is a loop with a bound that the verifier can follow.
//!
//! A body that is a function of its own finds the program's context and scratch memory through a pair of pointers on
//! the program's stack. Variables that a loop uses live in scratch memory: there the verifier expects any value, and
//! does not go round for each one.

use inkwell::IntPredicate;
use inkwell::basic_block::BasicBlock;
use inkwell::values::{FunctionValue, IntValue, PointerValue};

use super::Error;
use super::debug::Param;
use super::helpers::id;
use super::llvm::Result;
use super::memory::Mem;
use super::program::{Frame, Gen};
use crate::diagnostics::Span;
use crate::image::{EventKind, MapId};
use crate::ir::{Expr, Stmt, VarId};
use crate::kernel::Feature;
use crate::types::{Int, Type};

/// `BPF_MAX_LOOPS`: what `bpf_loop` accepts.
const MOST_ROUNDS: u64 = 1 << 23;
/// The two pointers that every function of a loop gets.
pub(super) const SHARED_BYTES: u32 = 16;

/// The loop that `break` and `continue` are about.
#[derive(Clone, Copy)]
pub(super) enum Loop<'c> {
    /// The function returns: 1 to stop, 0 to go on.
    Outlined,
    Inline {
        next: BasicBlock<'c>,
        done: BasicBlock<'c>,
    },
}

impl<'g, 'c> Gen<'g, 'c> {
    /// Puts on the stack what the functions of loops need, with room for `more` pointers or numbers. Who is done with
    /// it before the program ends gives it back with [`Gen::release_stack`]: there is not room for many.
    pub(super) fn shared_frame(&mut self, more: u32) -> Result<PointerValue<'c>> {
        self.pool.require_scratch();
        let shared = self.claim_stack(SHARED_BYTES + more * 8)?;
        let ll = self.ll;
        ll.builder.build_store(shared, self.frame.context)?;
        ll.builder.build_store(ll.at(shared, 8)?, self.frame.scratch)?;
        Ok(shared)
    }

    /// Prepares for the loops of the program.
    pub(super) fn share_frame(&mut self) -> Result<()> {
        self.frame.shared = Some(self.shared_frame(0)?);
        let ll = self.ll;
        if self.facts.returns_in_loop {
            let (flag, result) = (self.pool.scratch(8), self.pool.scratch(8));
            self.leaving = Some((flag, result));
            ll.store(self.mem(flag)?.ptr, ll.imm(0), 8, 8)?;
            ll.store(self.mem(result)?.ptr, ll.imm(0), 8, 8)?;
        }
        Ok(())
    }

    fn shared(&self) -> Result<PointerValue<'c>> {
        self.frame.shared.ok_or_else(|| Error::Internal("a loop that was not foreseen".into()))
    }

    /// A function that the kernel calls for each round. `body` gets its parameters.
    pub(super) fn outline(
        &mut self,
        params: &[Param],
        span: Span,
        body: impl FnOnce(&mut Self, FunctionValue<'c>) -> Result<()>,
    ) -> Result<PointerValue<'c>> {
        let ll = self.ll;
        let function = self.aside(|g| {
            let line = ll.debug.line(span);
            let name = format!("{}_loop", g.probe.name);
            let function = ll.add_function(&name, None, params, line)?;
            let entry = ll.context.append_basic_block(function, "entry");
            let start = ll.context.append_basic_block(function, "body");
            ll.enter(entry);
            super::program::locate(ll, function, span);
            ll.jump(start)?;
            ll.enter(start);
            let shared = pointer_param(function, params.len().saturating_sub(1))?;
            let load = |offset| -> Result<PointerValue<'c>> {
                Ok(ll.builder.build_load(ll.ptr, ll.at(shared, offset)?, "")?.into_pointer_value())
            };
            let frame = Frame {
                function,
                entry,
                context: load(0)?,
                scratch: load(8)?,
                shared: Some(shared),
                exit: None,
                loops: vec![Loop::Outlined],
                zero_key: None,
            };
            let outer = std::mem::replace(&mut g.frame, frame);
            let result = g.scoped(|g| body(g, function));
            g.frame = outer;
            result?;
            ll.builder.build_return(Some(&ll.imm(0)))?;
            Ok(function)
        })?;
        Ok(function.as_global_value().as_pointer_value())
    }

    /// Calls `bpf_loop`; the result is the number of rounds begun.
    fn call_loop(&mut self, rounds: IntValue<'c>, function: PointerValue<'c>) -> Result<IntValue<'c>> {
        let args = [rounds.into(), function.into(), self.shared()?.into(), self.ll.imm(0).into()];
        let done = self.ll.helper(id::LOOP, &args)?;
        self.leave_if_asked()?;
        Ok(done)
    }

    /// Ends the program if a loop's body has asked for it.
    fn leave_if_asked(&mut self) -> Result<()> {
        let Some((flag, result)) = self.leaving else { return Ok(()) };
        let flag = self.ll.load(self.mem(flag)?.ptr, Int::U64, 8)?;
        let asked = self.ll.is_true(flag)?;
        self.when(asked, |g| {
            let result = g.ll.load(g.mem(result)?.ptr, Int::U64, 8)?;
            g.leave(Some(result))
        })
    }

    pub(super) fn while_loop(&mut self, condition: &'g Expr, body: &'g [Stmt], span: Span) -> Result<()> {
        if !self.has(Feature::Loop) {
            return self.inline_loop(span, super::cost::of_loop(Some(condition), body), |g, _, stop| {
                let more = g.truth(condition)?;
                let go_on = g.ll.block("go_on")?;
                g.ll.branch(more, go_on, stop)?;
                g.ll.enter(go_on);
                g.statements(body)
            });
        }
        let params = [Param::number("round"), Param::pointer("frame")];
        let function = self.outline(&params, span, |g, _| {
            let more = g.truth(condition)?;
            let (go_on, stop) = (g.ll.block("go_on")?, g.ll.block("stop")?);
            g.ll.branch(more, go_on, stop)?;
            g.ll.enter(stop);
            g.ll.builder.build_return(Some(&g.ll.imm(1)))?;
            g.ll.enter(go_on);
            g.statements(body)
        })?;
        let done = self.call_loop(self.ll.imm(MOST_ROUNDS), function)?;
        let exhausted = self.ll.compare(IntPredicate::UGE, done, self.ll.imm(MOST_ROUNDS))?;
        self.when(exhausted, |g| g.warn_rounds(span, MOST_ROUNDS))
    }

    fn warn_rounds(&mut self, span: Span, rounds: u64) -> Result<()> {
        let old = if self.has(Feature::Loop) { "" } else { " before Linux 5.17" };
        let message = format!("the loop was ended after {rounds} rounds: the kernel allows no more{old}");
        self.notify(EventKind::Warning { message }, span)
    }

    pub(super) fn for_range(
        &mut self,
        var: VarId,
        (start, end): (&'g Expr, &'g Expr),
        body: &'g [Stmt],
        span: Span,
    ) -> Result<()> {
        let above = if start.ty == Type::U64 { IntPredicate::UGT } else { IntPredicate::SGT };
        let (first, end) = (self.scalar(start)?, self.scalar(end)?);
        let ll = self.ll;
        let some = ll.compare(above, end, first)?;
        let count = ll.builder.build_int_sub(end, first, "")?;
        let count = ll.select(some, count, ll.imm(0))?;
        if !self.has(Feature::Loop) {
            return self.inline_loop(span, super::cost::of_loop(None, body), |g, round, stop| {
                let more = g.ll.compare(IntPredicate::ULT, round, count)?;
                let go_on = g.ll.block("go_on")?;
                g.ll.branch(more, go_on, stop)?;
                g.ll.enter(go_on);
                let value = g.ll.builder.build_int_add(first, round, "")?;
                g.set_variable(var, value)?;
                g.statements(body)
            });
        }
        let start_at = self.pool.scratch(8);
        ll.store(self.mem(start_at)?.ptr, first, 8, 8)?;
        let params = [Param::number("round"), Param::pointer("frame")];
        let function = self.outline(&params, span, |g, function| {
            let round = number_param(function, 0)?;
            let round = g.ll.normalize(round, Int::U32)?;
            let first = g.ll.load(g.mem(start_at)?.ptr, Int::U64, 8)?;
            g.set_variable(var, g.ll.builder.build_int_add(first, round, "")?)?;
            g.statements(body)
        })?;
        let too_many = ll.compare(IntPredicate::UGT, count, ll.imm(MOST_ROUNDS))?;
        let count = ll.bound(count, MOST_ROUNDS)?;
        // Where the verifier sees that there are no rounds, it drops the function but not what calls it, and then
        // fails over that. Not to be called, it must see too.
        self.when(some, |g| g.call_loop(count, function).map(drop))?;
        self.when(too_many, |g| g.warn_rounds(span, MOST_ROUNDS))
    }

    fn set_variable(&mut self, var: VarId, value: IntValue<'c>) -> Result<()> {
        let (mem, ty) = self.variable(var)?;
        self.store(mem, ty, value)
    }

    /// A loop that the verifier walks through: `body` gets the number of the round and the block to leave to.
    fn inline_loop(
        &mut self,
        span: Span,
        rounds: u64,
        body: impl FnOnce(&mut Self, IntValue<'c>, BasicBlock<'c>) -> Result<()>,
    ) -> Result<()> {
        let ll = self.ll;
        let counter = self.permanent_stack(8)?;
        ll.store(counter, ll.imm(0), 8, 8)?;
        let (head, round, next, exhausted, done) = (
            ll.block("loop")?,
            ll.block("round")?,
            ll.block("next")?,
            ll.block("exhausted")?,
            ll.block("done")?,
        );
        ll.jump(head)?;
        ll.enter(head);
        let number = ll.load(counter, Int::U64, 8)?;
        let more = ll.compare(IntPredicate::ULT, number, ll.imm(rounds))?;
        ll.branch(more, round, exhausted)?;
        ll.enter(round);
        self.frame.loops.push(Loop::Inline { next, done });
        let result = self.scoped(|g| body(g, number, done));
        self.frame.loops.pop();
        result?;
        ll.jump(next)?;
        ll.enter(next);
        let number = ll.load(counter, Int::U64, 8)?;
        ll.store(counter, ll.builder.build_int_add(number, ll.imm(1), "")?, 8, 8)?;
        ll.jump(head)?;
        ll.enter(exhausted);
        self.warn_rounds(span, rounds)?;
        ll.jump(done)?;
        ll.enter(done);
        Ok(())
    }

    pub(super) fn for_map(&mut self, var: VarId, map: MapId, body: &'g [Stmt], span: Span) -> Result<()> {
        if !self.has(Feature::ForEachMap) {
            return Err(Error::Internal("a loop over a map needs Linux 5.13".into()));
        }
        let params =
            [Param::pointer("map"), Param::pointer("key"), Param::pointer("value"), Param::pointer("frame")];
        let function = self.outline(&params, span, |g, function| {
            let from = |n| -> Result<Mem<'c>> {
                Ok(Mem { ptr: pointer_param(function, n)?, align: 8, on_stack: false })
            };
            let (key, value) = (from(1)?, from(2)?);
            g.scoped(|g| g.set_entry(var, map, key, value))?;
            g.statements(body)
        })?;
        let pointer = self.object.map(map)?.pointer;
        let args = [pointer.into(), function.into(), self.shared()?.into(), self.ll.imm(0).into()];
        self.ll.helper(id::FOR_EACH_MAP_ELEM, &args)?;
        self.leave_if_asked()
    }

    /// Gives a loop's variable the entry that it is at.
    fn set_entry(&mut self, var: VarId, map: MapId, key: Mem<'c>, value: Mem<'c>) -> Result<()> {
        let definition = self.script_map(map)?;
        let (to, ty) = self.variable(var)?;
        let (key_ty, value_ty) = match ty {
            Type::Tuple(types) => match types.as_slice() {
                [key, value] => (key, value),
                _ => return Err(Error::Internal("a map's entry is a key and a value".into())),
            },
            _ => return Err(Error::Internal("a loop over a map yields a tuple".into())),
        };
        let (key_at, value_at) = self.entry_offsets(&[key_ty.clone(), value_ty.clone()])?;
        let whole = self.size_of(ty);
        let (key_to, value_to) = (self.part(to, key_at)?, self.part(to, value_at)?);
        let (key_size, value_size) = (self.size_of(key_ty), self.size_of(value_ty));
        let gap = key_at + key_size;
        if value_at > gap {
            self.zero(self.part(to, gap)?, value_at - gap)?;
        }
        if whole > value_at + value_size {
            self.zero(self.part(to, value_at + value_size)?, whole - value_at - value_size)?;
        }
        self.copy(key_to, key, key_size)?;
        match &definition.value {
            Type::Agg(agg) => {
                // The kernel wants a key on the stack or in a map's value.
                let number = self.aggregate_value(map, agg, key_to.ptr)?;
                self.store(value_to, value_ty, number)
            }
            _ => self.copy(value_to, value, value_size),
        }
    }

    pub(super) fn break_loop(&mut self) -> Result<()> {
        match self.innermost()? {
            Loop::Outlined => {
                self.ll.builder.build_return(Some(&self.ll.imm(1)))?;
            }
            Loop::Inline { done, .. } => self.ll.jump(done)?,
        }
        self.ll.enter(self.ll.block("unreached")?);
        Ok(())
    }

    pub(super) fn continue_loop(&mut self) -> Result<()> {
        match self.innermost()? {
            Loop::Outlined => {
                self.ll.builder.build_return(Some(&self.ll.imm(0)))?;
            }
            Loop::Inline { next, .. } => self.ll.jump(next)?,
        }
        self.ll.enter(self.ll.block("unreached")?);
        Ok(())
    }

    fn innermost(&self) -> Result<Loop<'c>> {
        self.frame.loops.last().copied().ok_or_else(|| Error::Internal("not in a loop".into()))
    }

    fn permanent_stack(&mut self, size: u32) -> Result<PointerValue<'c>> {
        self.new_slot(size, Some(0)).map(|mem| mem.ptr)
    }
}

pub(super) fn pointer_param(function: FunctionValue<'_>, n: usize) -> Result<PointerValue<'_>> {
    match u32::try_from(n).ok().and_then(|n| function.get_nth_param(n)) {
        Some(param) if param.is_pointer_value() => Ok(param.into_pointer_value()),
        _ => Err(Error::Internal("a parameter that is no pointer".into())),
    }
}

pub(super) fn number_param(function: FunctionValue<'_>, n: u32) -> Result<IntValue<'_>> {
    match function.get_nth_param(n) {
        Some(param) if param.is_int_value() => Ok(param.into_int_value()),
        _ => Err(Error::Internal("a parameter that is no number".into())),
    }
}
