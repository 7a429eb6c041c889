//! Strings and other sequences of bytes: reading and copying.

use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::expr::Padding;
use super::helpers::id;
use super::llvm::Result;
use super::memory::Mem;
use super::place::Address;
use super::program::Gen;
use crate::ir::{Expr, ExprKind};
use crate::types::layout::{BUF_DATA, sequence};
use crate::types::{Int, Space, Type};

impl<'g, 'c> Gen<'g, 'c> {
    /// Writes a constant string and its NUL.
    pub(super) fn write_string(
        &mut self,
        to: Mem<'c>,
        bytes: &[u8],
        size: u32,
        padding: Padding,
    ) -> Result<()> {
        let room = size.saturating_sub(1) as usize;
        let bytes = bytes.get(..room).unwrap_or(bytes);
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let whole = padding == Padding::Zero || to.on_stack;
        let written = if whole { size } else { (len + 1).min(size) };
        self.write_bytes(to, bytes, written)
    }

    /// Reads a string up to its NUL, "" if it cannot be read. The result is the helper's: the length with the NUL,
    /// or negative.
    pub(super) fn read_string(
        &mut self,
        to: Mem<'c>,
        size: u32,
        address: IntValue<'c>,
        len: Option<IntValue<'c>>,
        space: Space,
        padding: Padding,
    ) -> Result<IntValue<'c>> {
        let ll = self.ll;
        // Where the helper may write less than all, the verifier does not count on any of it.
        if padding == Padding::Zero || (to.on_stack && len.is_some()) {
            self.zero(to, size)?;
        }
        let size = match len {
            Some(len) => {
                // Of no bytes at all, the helper writes none.
                ll.store(to.ptr, ll.imm(0), 1, 1)?;
                ll.bound(len, u64::from(size))?
            }
            None => ll.imm(u64::from(size)),
        };
        let args = [to.ptr.into(), size.into(), address.into()];
        self.read_with((id::PROBE_READ_USER_STR, id::PROBE_READ_KERNEL_STR), address, space, &args)
    }

    /// Calls the helper for user or the one for kernel memory. Where the script does not say which it is, a probe in
    /// the kernel may have got the address from either (a system call's argument, kept in a map), and the address
    /// tells: the kernel's are those of the upper half.
    fn read_with(
        &mut self,
        (user, kernel): (u32, u32),
        address: IntValue<'c>,
        space: Space,
        args: &[super::llvm::Arg<'c>],
    ) -> Result<IntValue<'c>> {
        // Where the upper half begins on x86_64; arm64's processors look at this bit, above it may be a tag.
        const UPPER: u64 = if cfg!(target_arch = "aarch64") { 1 << 55 } else { 1 << 63 };
        let read = |g: &mut Self, helper: u32| {
            let result = g.ll.helper(helper, args)?;
            g.check_helper(helper, result)?;
            Ok(result)
        };
        match (space, self.space(space)) {
            (_, Space::User) => read(self, user),
            // A number in the script is nobody's address.
            (Space::Unknown, _) if !address.is_const() => {
                let upper = self.ll.builder.build_and(address, self.ll.imm(UPPER), "")?;
                let is_user = self.ll.compare(IntPredicate::EQ, upper, self.ll.imm(0))?;
                self.choose(is_user, |g| read(g, user), |g| read(g, kernel))
            }
            _ => read(self, kernel),
        }
    }

    pub(super) fn read_string_place(
        &mut self,
        to: Mem<'c>,
        size: u32,
        address: &Address<'c>,
        padding: Padding,
    ) -> Result<()> {
        let from = self.address_of(address)?;
        self.read_string(to, size, from, None, self.space_of(address), padding).map(drop)
    }

    pub(super) fn read_buffer(
        &mut self,
        to: Mem<'c>,
        len: IntValue<'c>,
        address: IntValue<'c>,
        space: Space,
    ) -> Result<()> {
        let args = [to.ptr.into(), len.into(), address.into()];
        self.read_with((id::PROBE_READ_USER, id::PROBE_READ_KERNEL), address, space, &args).map(drop)
    }

    /// Copies a string up to its NUL; the place's size may be another.
    pub(super) fn copy_string(
        &mut self,
        to: Mem<'c>,
        to_size: u32,
        from: Mem<'c>,
        from_size: u32,
        padding: Padding,
    ) -> Result<()> {
        if padding == Padding::Undefined && from_size <= to_size && from_size <= 32 {
            self.copy(to, from, from_size)?;
            return if to.on_stack && from_size < to_size {
                self.zero(self.part(to, from_size)?, to_size - from_size)
            } else {
                Ok(())
            };
        }
        if padding == Padding::Zero {
            self.zero(to, to_size)?;
        }
        self.copy_text(to, to_size.min(from_size), from.ptr.into()).map(drop)
    }

    /// Copies a string within BPF memory; the result is its length with the NUL.
    pub(super) fn copy_text(
        &mut self,
        to: Mem<'c>,
        size: u32,
        from: super::llvm::Arg<'c>,
    ) -> Result<IntValue<'c>> {
        let args = [to.ptr.into(), self.ll.imm(u64::from(size)).into(), from];
        self.ll.helper(id::PROBE_READ_KERNEL_STR, &args)
    }

    /// Writes a string or buffer without its padding at a place that has room for all of its type, and says how
    /// many bytes it has: what a record carries of it.
    pub(super) fn append(&mut self, expr: &'g Expr, to: Mem<'c>) -> Result<IntValue<'c>> {
        let ll = self.ll;
        let size = self.size_of(&expr.ty);
        match (&expr.kind, &expr.ty) {
            (ExprKind::ReadString { address, len, space }, Type::Str(n)) => {
                let address = self.scalar(address)?;
                let len = len.as_deref().map(|len| self.scalar(len)).transpose()?;
                self.locate(expr.span);
                let result = self.read_string(to, *n, address, len, *space, Padding::Undefined)?;
                self.text_length(result, *n)
            }
            (ExprKind::Bytes(bytes), Type::Str(n)) => {
                let room = n.saturating_sub(1) as usize;
                let bytes = bytes.get(..room).unwrap_or(bytes);
                self.write_bytes(to, bytes, u32::try_from(bytes.len()).unwrap_or(0))?;
                Ok(ll.imm(bytes.len() as u64))
            }
            (ExprKind::ReadBuffer { address, len, space }, Type::Buf(n)) => {
                let address = self.scalar(address)?;
                let len = self.scalar(len)?;
                self.locate(expr.span);
                let len = ll.bound(len, u64::from(*n))?;
                self.read_buffer(to, len, address, self.space(*space))?;
                Ok(len)
            }
            // What is shorter has room, and no more bytes for being called longer.
            (ExprKind::Cast(operand), _) if self.size_of(&operand.ty) <= size => self.append(operand, to),
            (ExprKind::Select { condition, then, otherwise }, ty)
                if then.ty == *ty && otherwise.ty == *ty =>
            {
                let condition = self.truth(condition)?;
                self.choose(
                    condition,
                    |g| g.scoped(|g| g.append(then, to)),
                    |g| g.scoped(|g| g.append(otherwise, to)),
                )
            }
            (_, Type::Buf(n)) => {
                let from = self.memory(expr)?;
                let len = ll.load(from.ptr, Int::U32, from.align)?;
                let len = ll.bound(len, u64::from(*n))?;
                let data = ll.at(from.ptr, u64::from(BUF_DATA))?;
                ll.helper(id::PROBE_READ_KERNEL, &[to.ptr.into(), len.into(), data.into()])?;
                Ok(len)
            }
            _ => {
                let from = self.memory(expr)?;
                let result = self.copy_text(to, size, from.ptr.into())?;
                self.text_length(result, size)
            }
        }
    }

    /// From the result of a helper that reads a string: the bytes before the NUL.
    pub(super) fn text_length(&self, result: IntValue<'c>, size: u32) -> Result<IntValue<'c>> {
        let ll = self.ll;
        let some = ll.compare(IntPredicate::SGT, result, ll.imm(0))?;
        let len = ll.builder.build_int_sub(result, ll.imm(1), "")?;
        let len = ll.select(some, len, ll.imm(0))?;
        ll.bound(len, u64::from(size.saturating_sub(1)))
    }

    /// Zeroes what is behind the end of each string and buffer in a value.
    pub(super) fn pad(&mut self, mem: Mem<'c>, ty: &Type) -> Result<()> {
        match ty {
            Type::Str(n) => self.scoped(|g| {
                let copy = g.temp(*n)?;
                g.copy(copy, mem, *n)?;
                g.copy_string(mem, *n, copy, *n, Padding::Zero)
            }),
            Type::Buf(n) => self.scoped(|g| {
                let len = g.ll.load(mem.ptr, Int::U32, mem.align)?;
                let len = g.ll.bound(len, u64::from(*n))?;
                let (copy, data) = (g.temp(*n)?, g.part(mem, BUF_DATA)?);
                g.copy(copy, data, *n)?;
                g.zero(data, *n)?;
                g.read_buffer(data, len, g.ll.address(copy.ptr)?, Space::Kernel)
            }),
            Type::Tuple(types) => {
                let offsets = sequence(types, &self.program.layouts).offsets;
                for (ty, offset) in types.iter().zip(offsets) {
                    self.pad(self.part(mem, offset)?, ty)?;
                }
                Ok(())
            }
            Type::Record(fields) => {
                let offsets = sequence(fields.iter().map(|(_, ty)| ty), &self.program.layouts).offsets;
                for ((_, ty), offset) in fields.iter().zip(offsets) {
                    self.pad(self.part(mem, offset)?, ty)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Memory that may be read at an offset that is not constant.
    pub(super) fn indexable(&mut self, mem: Mem<'c>, size: u32) -> Result<Mem<'c>> {
        if !mem.on_stack {
            return Ok(mem);
        }
        let copy = self.scratch_temp(size)?;
        self.copy(copy, mem, size)?;
        Ok(copy)
    }

    pub(super) fn word_at(&self, mem: Mem<'c>, at: IntValue<'c>) -> Result<IntValue<'c>> {
        self.ll.load(self.ll.at_dynamic(mem.ptr, at)?, Int::U64, mem.align)
    }

    pub(super) fn swap_bytes(&self, value: IntValue<'c>) -> Result<IntValue<'c>> {
        let b = &self.ll.builder;
        let mut result = self.ll.imm(0);
        for n in 0..8 {
            let byte = b.build_right_shift(value, self.ll.imm(8 * n), false, "")?;
            let byte = b.build_and(byte, self.ll.imm(0xff), "")?;
            let byte = b.build_left_shift(byte, self.ll.imm(56 - 8 * n), "")?;
            result = b.build_or(result, byte, "")?;
        }
        Ok(result)
    }
}
