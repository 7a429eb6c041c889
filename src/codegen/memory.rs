//! Where values live that do not fit a register: the 512 bytes of BPF stack, or scratch memory. Both are handed out
//! for the duration of a statement and used again by the next.

use inkwell::values::{IntValue, PointerValue};

use super::helpers::id;
use super::llvm::Result;
use super::program::Gen;
use crate::types::{Int, Type};

/// What all functions of a program may take of the 512 bytes. The rest is for LLVM, which spills registers to the
/// stack and rounds every function's use up.
const STACK_BUDGET: u32 = 288;
/// Copies and fills up to this size are single loads and stores, larger ones a helper's work.
const INLINE_BYTES: u32 = 64;
/// The first word of scratch memory says whether it is in use.
const SCRATCH_HEAD: u32 = 8;

/// A place in BPF memory.
///
/// On the stack nothing is left undefined, not even what is behind a string's end: LLVM keeps small values in
/// registers, and neither it nor the verifier before 6.3 lets an undefined one be copied.
#[derive(Clone, Copy)]
pub(super) struct Mem<'c> {
    pub(super) ptr: PointerValue<'c>,
    /// What its address is known to be a multiple of.
    pub(super) align: u32,
    /// The verifier wants constant offsets there.
    pub(super) on_stack: bool,
}

/// A place that every function of the program can find again.
#[derive(Clone, Copy)]
pub(super) enum Home<'c> {
    /// Only for the function that it is in.
    Stack(PointerValue<'c>),
    /// Bytes into the scratch memory.
    Scratch(u32),
}

#[derive(Default)]
pub(super) struct Pool<'c> {
    slots: Vec<Slot<'c>>,
    stack_used: u32,
    scratch_top: u32,
    scratch_high: u32,
    depth: u32,
}

struct Slot<'c> {
    ptr: PointerValue<'c>,
    size: u32,
    /// The scope that uses it.
    user: Option<u32>,
    function: inkwell::values::FunctionValue<'c>,
}

impl<'c> Pool<'c> {
    /// Scratch memory until the end of the scope.
    pub(super) fn scratch(&mut self, size: u32) -> Home<'c> {
        let at = self.scratch_top.max(SCRATCH_HEAD);
        self.scratch_top = at.saturating_add(size.max(1)).next_multiple_of(8);
        self.scratch_high = self.scratch_high.max(self.scratch_top);
        Home::Scratch(at)
    }

    /// How much scratch memory the program has come to need.
    pub(super) fn scratch_size(&self) -> u32 {
        self.scratch_high
    }

    /// Makes the program have scratch memory at all.
    pub(super) fn require_scratch(&mut self) {
        self.scratch_high = self.scratch_high.max(SCRATCH_HEAD);
    }
}

impl<'c> Mem<'c> {
    fn align_at(self, offset: u32) -> u32 {
        if offset == 0 { self.align } else { self.align.min(1 << offset.trailing_zeros().min(3)) }
    }
}

impl<'g, 'c> Gen<'g, 'c> {
    /// Runs code whose temporary memory is free again afterwards.
    pub(super) fn scoped<T>(&mut self, code: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let scratch = self.pool.scratch_top;
        self.pool.depth += 1;
        let result = code(self);
        let depth = self.pool.depth;
        self.pool.depth -= 1;
        self.pool.scratch_top = scratch;
        for slot in &mut self.pool.slots {
            if slot.user.is_some_and(|user| user >= depth) {
                slot.user = None;
            }
        }
        result
    }

    pub(super) fn mem(&self, home: Home<'c>) -> Result<Mem<'c>> {
        Ok(match home {
            Home::Stack(ptr) => Mem { ptr, align: 8, on_stack: true },
            Home::Scratch(offset) => {
                let ptr = self.ll.at(self.frame.scratch, u64::from(offset))?;
                Mem { ptr, align: 8, on_stack: false }
            }
        })
    }

    /// Memory for the rest of the statement.
    pub(super) fn temp(&mut self, size: u32) -> Result<Mem<'c>> {
        if u64::from(size) <= self.settings.config.on_stack_limit
            && let Some(mem) = self.try_stack(size)?
        {
            return Ok(mem);
        }
        self.scratch_temp(size)
    }

    /// Memory for the rest of the statement that may be indexed.
    pub(super) fn scratch_temp(&mut self, size: u32) -> Result<Mem<'c>> {
        let home = self.pool.scratch(size);
        self.mem(home)
    }

    /// A few bytes on the stack for the rest of the statement: not counted against the budget when that is spent,
    /// for what cannot be elsewhere.
    pub(super) fn stack_temp(&mut self, size: u32) -> Result<Mem<'c>> {
        match self.try_stack(size)? {
            Some(mem) => Ok(mem),
            None => self.new_slot(size, Some(self.pool.depth)),
        }
    }

    /// A place for as long as the program runs.
    pub(super) fn permanent(&mut self, size: u32) -> Result<Home<'c>> {
        let size = size.next_multiple_of(8);
        let fits = u64::from(size) <= self.settings.config.on_stack_limit.max(8)
            && self.pool.stack_used + size <= STACK_BUDGET;
        if fits { Ok(Home::Stack(self.new_slot(size, Some(0))?.ptr)) } else { Ok(self.pool.scratch(size)) }
    }

    fn try_stack(&mut self, size: u32) -> Result<Option<Mem<'c>>> {
        let size = size.max(1).next_multiple_of(8);
        let depth = self.pool.depth;
        if let Some(ptr) = self.free_slot(size, depth) {
            return Ok(Some(Mem { ptr, align: 8, on_stack: true }));
        }
        if self.pool.stack_used + size > STACK_BUDGET {
            return Ok(None);
        }
        self.new_slot(size, Some(depth)).map(Some)
    }

    /// Zero in eight bytes of the current function's stack, written at its start.
    pub(super) fn entry_zero(&mut self) -> Result<PointerValue<'c>> {
        let mem = self.new_slot(8, Some(0))?;
        self.at_entry(|g| g.ll.store(mem.ptr, g.ll.imm(0), 8, 8))?;
        Ok(mem.ptr)
    }

    /// Adds code at the end of the current function's first block.
    fn at_entry<T>(&mut self, code: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.aside(|g| {
            match g.frame.entry.get_terminator() {
                Some(end) => g.ll.builder.position_before(&end),
                None => g.ll.resume(g.frame.entry),
            }
            g.locate_entry();
            code(g)
        })
    }

    pub(super) fn new_slot(&mut self, size: u32, user: Option<u32>) -> Result<Mem<'c>> {
        let size = size.next_multiple_of(8);
        // BPF knows no allocation but in the first block.
        let ptr = self.at_entry(|g| {
            let ll = g.ll;
            Ok(if size == 8 {
                ll.builder.build_alloca(ll.i64, "")?
            } else {
                ll.builder.build_alloca(ll.i64.array_type(size / 8), "")?
            })
        })?;
        self.pool.stack_used += size;
        self.pool.slots.push(Slot { ptr, size, user, function: self.frame.function });
        Ok(Mem { ptr, align: 8, on_stack: true })
    }

    /// Stack memory of at least that size until [`Gen::release_stack`].
    pub(super) fn claim_stack(&mut self, size: u32) -> Result<PointerValue<'c>> {
        match self.free_slot(size, 0) {
            Some(ptr) => Ok(ptr),
            None => self.new_slot(size, Some(0)).map(|mem| mem.ptr),
        }
    }

    /// The smallest slot of the current function that nothing uses and that is large enough, for a scope.
    fn free_slot(&mut self, size: u32, user: u32) -> Option<PointerValue<'c>> {
        let function = self.frame.function;
        let slots = self.pool.slots.iter_mut();
        let free = slots.filter(|s| s.user.is_none() && s.size >= size && s.function == function);
        let slot = free.min_by_key(|s| s.size)?;
        slot.user = Some(user);
        Some(slot.ptr)
    }

    /// Gives back what [`Gen::claim_stack`] gave.
    pub(super) fn release_stack(&mut self, ptr: PointerValue<'c>) {
        self.pool.slots.iter_mut().filter(|slot| slot.ptr == ptr).for_each(|slot| slot.user = None);
    }

    pub(super) fn part(&self, mem: Mem<'c>, offset: u32) -> Result<Mem<'c>> {
        let ptr = self.ll.at(mem.ptr, u64::from(offset))?;
        Ok(Mem { ptr, align: mem.align_at(offset), ..mem })
    }

    /// Reads a scalar of a type.
    pub(super) fn load(&self, mem: Mem<'c>, ty: &Type) -> Result<IntValue<'c>> {
        self.ll.load(mem.ptr, self.int(ty)?, mem.align)
    }

    /// Writes a scalar of a type.
    pub(super) fn store(&self, mem: Mem<'c>, ty: &Type, value: IntValue<'c>) -> Result<()> {
        self.ll.store(mem.ptr, value, u32::from(self.int(ty)?.size), mem.align)
    }

    /// Pieces of 8, 4, 2 and 1 bytes that cover a range without crossing alignment.
    pub(super) fn pieces(mem_align: u32, size: u32) -> impl Iterator<Item = (u32, u32)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let left = size - at;
            let piece = [8u32, 4, 2, 1].into_iter().find(|p| *p <= left && *p <= mem_align)?;
            at += piece;
            Some((at - piece, piece))
        })
    }

    fn inline(mem_align: u32, size: u32) -> bool {
        size <= INLINE_BYTES && size / mem_align.max(1) <= 16
    }

    pub(super) fn zero(&mut self, mem: Mem<'c>, size: u32) -> Result<()> {
        if mem.on_stack || Self::inline(mem.align, size) {
            for (at, piece) in Self::pieces(mem.align, size) {
                let part = self.part(mem, at)?;
                self.ll.store(part.ptr, self.ll.imm(0), piece, piece)?;
            }
            return Ok(());
        }
        // A read that fails fills its destination with zeros, and null fails at once.
        let args = [mem.ptr.into(), self.ll.imm(u64::from(size)).into(), self.ll.imm(0).into()];
        self.ll.helper(id::PROBE_READ_KERNEL, &args)?;
        Ok(())
    }

    pub(super) fn copy(&mut self, to: Mem<'c>, from: Mem<'c>, size: u32) -> Result<()> {
        if size == 0 || to.ptr == from.ptr {
            return Ok(());
        }
        let align = to.align.min(from.align);
        if Self::inline(align, size) {
            for (at, piece) in Self::pieces(align, size) {
                let int = Int { size: piece as u8, signed: false };
                let value = self.ll.load(self.part(from, at)?.ptr, int, piece)?;
                self.ll.store(self.part(to, at)?.ptr, value, piece, piece)?;
            }
            return Ok(());
        }
        let args = [to.ptr.into(), self.ll.imm(u64::from(size)).into(), from.ptr.into()];
        self.ll.helper(id::PROBE_READ_KERNEL, &args)?;
        Ok(())
    }

    /// Writes constant bytes, and zeros after them up to `size`.
    pub(super) fn write_bytes(&mut self, mem: Mem<'c>, bytes: &[u8], size: u32) -> Result<()> {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(size);
        if Self::inline(mem.align, size) || mem.on_stack {
            for (at, piece) in Self::pieces(mem.align, size) {
                let word = word(bytes, at, piece);
                self.ll.store(self.part(mem, at)?.ptr, self.ll.imm(word), piece, piece)?;
            }
            return Ok(());
        }
        if len < size {
            self.zero(mem, size)?;
        }
        if len > 0 {
            let bytes = bytes.get(..len as usize).unwrap_or(bytes);
            let constant = self.object.constant(self.ll, bytes)?;
            let args = [mem.ptr.into(), self.ll.imm(u64::from(len)).into(), constant.into()];
            self.ll.helper(id::PROBE_READ_KERNEL, &args)?;
        }
        Ok(())
    }
}

/// The bytes from `at` on, zeros after their end, as the number that they are in memory.
pub(super) fn word(bytes: &[u8], at: u32, size: u32) -> u64 {
    let mut word = [0u8; 8];
    for (to, from) in word.iter_mut().zip(bytes.iter().skip(at as usize).take(size as usize)) {
        *to = *from;
    }
    match size {
        1 => u64::from(word[0]),
        2 => u64::from(u16::from_ne_bytes([word[0], word[1]])),
        4 => u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]])),
        _ => u64::from_ne_bytes(word),
    }
}
