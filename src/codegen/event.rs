//! Records for user space: see [`crate::image::Event`] for their layout.

use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::Error;
use super::analysis::has_effects;
use super::expr::Padding;
use super::helpers::{self, CURRENT_CPU, id};
use super::llvm::Result;
use super::memory::Mem;
use super::object::helper_error;
use super::program::Gen;
use crate::diagnostics::Span;
use crate::image::{
    Counter, Cpus, EVENT_HEAD, Event, EventId, EventKind, PACKET_BYTES, Ring, Target, packed,
};
use crate::ir::Expr;
use crate::types::layout::{Sequence, sequence};
use crate::types::{Int, Type};

/// `-EFAULT`, as the helper has it for no packet, and `-ENOSPC`, when the buffer is full.
const NO_PACKET: i64 = -14;
const NO_ROOM: i64 = -28;

impl<'g, 'c> Gen<'g, 'c> {
    pub(super) fn emit(&mut self, event: EventId, args: &'g [Expr]) -> Result<()> {
        let types: Vec<&Type> = args.iter().map(|arg| &arg.ty).collect();
        let layout = sequence(types.iter().map(|ty| packed(ty)), &self.program.layouts);
        let variable = types.iter().any(|ty| packed(ty) != *ty);
        // In the ring buffer itself if the size is known and nothing is lost when there is no room.
        if variable || self.is_exit(event) || args.iter().any(has_effects) {
            self.emit_copied(event, args, &layout)
        } else {
            self.emit_in_place(event, args, &layout)
        }
    }

    fn ring(&mut self, event: EventId) -> Result<inkwell::values::PointerValue<'c>> {
        let rare = self.probe.attach.iter().all(|attach| {
            attach.what.is_run_by_us() || matches!(attach.what, Target::Perf { cpus: Cpus::One, .. })
        });
        let exit = self.is_exit(event);
        self.object.ring(self.ll, if rare || exit { Ring::Small } else { Ring::Large })
    }

    fn is_exit(&self, event: EventId) -> bool {
        matches!(self.object.events.get(event.0 as usize).map(|e| &e.kind), Some(EventKind::Exit))
    }

    /// There was no room for an `exit()`, which must not get lost with what filled the buffer.
    fn lost_exit(&mut self, code: IntValue<'c>) -> Result<()> {
        let ll = self.ll;
        let counters = self.object.counters(ll)?;
        let key = self.stack_temp(4)?;
        ll.store(key.ptr, ll.imm(Counter::LostExit as u64), 4, 4)?;
        let slot = ll.helper_ptr(id::MAP_LOOKUP, &[counters.into(), key.ptr.into()])?;
        let missing = ll.is_null(slot)?;
        let code = ll.builder.build_int_add(code, ll.imm(1), "")?;
        self.either(missing, |_| Ok(()), |g| g.ll.store(slot, code, 8, 8))
    }

    /// Writes a record's head and the gaps between its arguments.
    fn begin_record(
        &mut self,
        record: Mem<'c>,
        event: EventId,
        layout: &Sequence,
        sizes: &[u32],
        end: u32,
    ) -> Result<()> {
        let ll = self.ll;
        ll.store(record.ptr, ll.imm(u64::from(event.0)), 4, 4)?;
        ll.store(self.part(record, 4)?.ptr, ll.imm(0), 4, 4)?;
        let mut at = EVENT_HEAD;
        for (offset, size) in layout.offsets.iter().zip(sizes) {
            let offset = EVENT_HEAD + offset;
            if offset > at {
                self.zero(self.part(record, at)?, offset - at)?;
            }
            at = at.max(offset.saturating_add(*size));
        }
        if end > at { self.zero(self.part(record, at)?, end - at) } else { Ok(()) }
    }

    fn emit_in_place(&mut self, event: EventId, args: &'g [Expr], layout: &Sequence) -> Result<()> {
        let size = EVENT_HEAD.saturating_add(layout.size).next_multiple_of(8);
        let sizes: Vec<u32> = args.iter().map(|arg| self.size_of(&arg.ty)).collect();
        self.reserve(event, size, |g, record| {
            g.begin_record(record, event, layout, &sizes, size)?;
            for (arg, offset) in args.iter().zip(&layout.offsets) {
                let to = g.part(record, EVENT_HEAD + offset)?;
                g.scoped(|g| g.write(arg, to, Padding::Undefined))?;
            }
            Ok(())
        })
    }

    fn reserve(
        &mut self,
        event: EventId,
        size: u32,
        fill: impl FnOnce(&mut Self, Mem<'c>) -> Result<()>,
    ) -> Result<()> {
        let ring = self.ring(event)?;
        let args = [ring.into(), self.ll.imm(u64::from(size)).into(), self.ll.imm(0).into()];
        let ptr = self.ll.helper_ptr(id::RINGBUF_RESERVE, &args)?;
        let lost = self.ll.is_null(ptr)?;
        self.either(
            lost,
            |g| g.bump(Counter::LostEvents as u32),
            |g| {
                fill(g, Mem { ptr, align: 8, on_stack: false })?;
                g.ll.helper(id::RINGBUF_SUBMIT, &[ptr.into(), g.ll.imm(0).into()]).map(drop)
            },
        )
    }

    fn emit_copied(&mut self, event: EventId, args: &'g [Expr], layout: &Sequence) -> Result<()> {
        let ll = self.ll;
        let fixed = EVENT_HEAD.saturating_add(layout.size);
        let is_variable = |arg: &Expr| packed(&arg.ty) != &arg.ty;
        let variable = |arg: &Expr| match arg.ty {
            Type::Str(n) | Type::Buf(n) if is_variable(arg) => u64::from(n),
            _ => 0,
        };
        let most = u64::from(fixed) + args.iter().map(variable).sum::<u64>();
        let most = u32::try_from(most.next_multiple_of(8))
            .map_err(|_| Error::Internal("a record of more than 4 GiB".into()))?;
        let sizes: Vec<u32> = args.iter().map(|arg| self.size_of(packed(&arg.ty))).collect();
        let has_variable = args.iter().any(is_variable);
        // An offset that is not constant is only possible outside the stack.
        let record = if has_variable { self.scratch_temp(most)? } else { self.temp(most)? };
        let end = if has_variable { fixed } else { most };
        self.begin_record(record, event, layout, &sizes, end)?;
        let (mut at, mut at_most) = (ll.imm(u64::from(fixed)), u64::from(fixed));
        for (arg, offset) in args.iter().zip(&layout.offsets) {
            let place = self.part(record, EVENT_HEAD + offset)?;
            if !is_variable(arg) {
                self.scoped(|g| g.write(arg, place, Padding::Undefined))?;
                continue;
            }
            let to = Mem { ptr: ll.at_dynamic(record.ptr, at)?, align: 1, on_stack: false };
            let len = self.scoped(|g| g.append(arg, to))?;
            ll.store(place.ptr, len, 4, 4)?;
            at_most += variable(arg);
            let sum = ll.builder.build_int_add(at, len, "")?;
            at = ll.bound(sum, at_most)?;
        }
        let size = if has_variable {
            let size = ll.builder.build_int_add(at, ll.imm(7), "")?;
            let size = ll.builder.build_and(size, ll.imm(!7), "")?;
            ll.bound(size, u64::from(most))?
        } else {
            ll.imm(u64::from(most))
        };
        let ring = self.ring(event)?;
        let args = [ring.into(), record.ptr.into(), size.into(), ll.imm(0).into()];
        let result = ll.helper(id::RINGBUF_OUTPUT, &args)?;
        let lost = ll.is_true(result)?;
        let exit = self.is_exit(event);
        self.when(lost, |g| {
            if !exit {
                return g.bump(Counter::LostEvents as u32);
            }
            let code = g.ll.load(g.part(record, EVENT_HEAD)?.ptr, Int::U8, 1)?;
            g.scoped(|g| g.lost_exit(code))
        })
    }

    /// Sends the first bytes of a packet, with a record before them; the result is the helper's. The verifier wants to
    /// know what `packet` is, so nothing may be calculated with it.
    pub(super) fn skb_output(
        &mut self,
        event: EventId,
        packet: &'g Expr,
        length: &'g Expr,
        head: &'g [Expr],
        span: Span,
    ) -> Result<IntValue<'c>> {
        let ll = self.ll;
        let types: Vec<&Type> = head.iter().map(|arg| &arg.ty).chain([&Type::U32]).collect();
        let layout = sequence(types.iter().copied(), &self.program.layouts);
        let sizes: Vec<u32> = types.iter().map(|ty| self.size_of(ty)).collect();
        let fixed = EVENT_HEAD.saturating_add(layout.size);
        let packet = self.scalar(packet)?;
        let length = self.scalar(length)?;
        let length = ll.bound(length, u64::from(PACKET_BYTES))?;
        let record = self.stack_temp(fixed)?;
        self.begin_record(record, event, &layout, &sizes, fixed)?;
        for (n, offset) in layout.offsets.iter().enumerate() {
            let place = self.part(record, EVENT_HEAD + offset)?;
            match head.get(n) {
                Some(arg) => self.scoped(|g| g.write(arg, place, Padding::Undefined))?,
                None => ll.store(place.ptr, length, 4, 4)?,
            }
        }
        let packets = self.object.packets(ll)?;
        let shifted = ll.builder.build_left_shift(length, ll.imm(32), "")?;
        let flags = ll.builder.build_or(shifted, ll.imm(CURRENT_CPU), "")?;
        let size = ll.imm(u64::from(fixed));
        self.locate(span);
        // Some tracepoints may have none, and the verifier wants that to be looked at.
        let there = ll.is_true(packet)?;
        let result = self.choose(
            there,
            |g| {
                let args = [packet.into(), packets.into(), flags.into(), record.ptr.into(), size.into()];
                g.ll.helper(id::SKB_OUTPUT, &args)
            },
            |g| Ok(g.ll.imm(NO_PACKET.cast_unsigned())),
        )?;
        let full = ll.compare(IntPredicate::EQ, result, ll.imm(NO_ROOM.cast_unsigned()))?;
        self.when(full, |g| g.bump(Counter::LostEvents as u32))?;
        Ok(result)
    }

    /// Tells the user that a helper failed, where there is one.
    pub(super) fn report_helper(&mut self, helper: u32, result: IntValue<'c>) -> Result<()> {
        if self.is_pinned() {
            return Ok(());
        }
        let (kind, args) = (helper_error(&helpers::name(helper)), vec![Type::I32]);
        let event = self.object.add_event(Event { kind, args, span: self.place });
        self.reserve(event, EVENT_HEAD + 8, |g, record| {
            g.begin_record(record, event, &sequence([], &g.program.layouts), &[], EVENT_HEAD)?;
            g.ll.store(g.part(record, EVENT_HEAD)?.ptr, result, 4, 4)?;
            g.zero(g.part(record, EVENT_HEAD + 4)?, 4)
        })
    }

    /// Sends an event without arguments, where somebody takes it.
    pub(super) fn notify(&mut self, kind: EventKind, span: Span) -> Result<()> {
        if self.is_pinned() {
            return Ok(());
        }
        let event = self.object.add_event(Event { kind, args: vec![], span });
        let layout = sequence([], &self.program.layouts);
        self.emit_in_place(event, &[], &layout)
    }
}
