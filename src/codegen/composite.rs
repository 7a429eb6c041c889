//! Composite values, and the parts of them.

use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::Error;
use super::expr::Padding;
use super::llvm::Result;
use super::memory::Mem;
use super::program::Gen;
use crate::ir::{Expr, ExprKind};
use crate::types::Type;
use crate::types::layout::BUF_DATA;

impl<'g, 'c> Gen<'g, 'c> {
    /// The address of a part of a struct in kernel or user memory, so that only that part is read.
    pub(super) fn part_of_place(
        &mut self,
        base: &'g Expr,
        offset: u32,
    ) -> Result<Option<super::place::Address<'c>>> {
        match &base.kind {
            ExprKind::Load(place) => {
                let mut address = self.resolve(place)?;
                address.add(offset);
                Ok(Some(address))
            }
            ExprKind::Part { base, offset: outer } => self.part_of_place(base, outer.saturating_add(offset)),
            _ => Ok(None),
        }
    }

    pub(super) fn pack(
        &mut self,
        parts: &'g [(u32, Expr)],
        to: Mem<'c>,
        size: u32,
        padding: Padding,
    ) -> Result<()> {
        let mut order: Vec<&'g (u32, Expr)> = parts.iter().collect();
        order.sort_by_key(|(offset, _)| *offset);
        let mut end = 0u32;
        for (offset, part) in order {
            if *offset > end {
                self.zero(self.part(to, end)?, offset - end)?;
            }
            end = end.max(offset.saturating_add(self.size_of(&part.ty)));
        }
        if end < size {
            self.zero(self.part(to, end)?, size - end)?;
        }
        for (offset, part) in parts {
            let place = self.part(to, *offset)?;
            self.scoped(|g| g.write(part, place, padding))?;
        }
        Ok(())
    }

    /// An element's offset, and whether the index is within the array (an `i1`).
    fn element_offset(
        &mut self,
        base: &'g Expr,
        index: &'g Expr,
    ) -> Result<(IntValue<'c>, IntValue<'c>, u32)> {
        let (len, size) = match &base.ty {
            Type::Array { elem, len } => (*len, self.size_of(elem)),
            Type::Str(n) | Type::Buf(n) => (*n, 1),
            other => return Err(Error::Internal(format!("an element of {other:?}"))),
        };
        let index = self.scalar(index)?;
        let within = self.ll.compare(IntPredicate::ULT, index, self.ll.imm(u64::from(len)))?;
        let index = self.ll.bound(index, u64::from(len.saturating_sub(1)))?;
        let offset = self.ll.builder.build_int_mul(index, self.ll.imm(u64::from(size)), "")?;
        Ok((offset, within, size))
    }

    pub(super) fn element_scalar(
        &mut self,
        base: &'g Expr,
        index: &'g Expr,
        ty: &Type,
    ) -> Result<IntValue<'c>> {
        let size = u32::from(self.int(ty)?.size);
        let to = self.stack_temp(8)?;
        self.element(base, index, to, size)?;
        self.load(to, ty)
    }

    pub(super) fn element(&mut self, base: &'g Expr, index: &'g Expr, to: Mem<'c>, size: u32) -> Result<()> {
        let mem = self.memory(base)?;
        let mem = if matches!(base.ty, Type::Buf(_)) { self.part(mem, BUF_DATA)? } else { mem };
        let (offset, within, elem) = self.element_offset(base, index)?;
        let size = size.min(elem);
        self.either(
            within,
            |g| {
                // By a helper: before 5.12 the stack cannot be read at an offset that is not constant.
                let from = g.ll.at_dynamic(mem.ptr, offset)?;
                if mem.on_stack {
                    let args = [to.ptr.into(), g.ll.imm(u64::from(size)).into(), from.into()];
                    return g.ll.helper(super::helpers::id::PROBE_READ_KERNEL, &args).map(drop);
                }
                let align = mem.align.min(1 << elem.trailing_zeros().min(3));
                g.copy(to, Mem { ptr: from, align, on_stack: false }, size)
            },
            |g| g.zero(to, size),
        )
    }
}
