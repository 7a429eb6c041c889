//! Expressions: scalars to registers, everything else into memory.
//!
//! A scalar is always 64 bits wide between operations, extended from its type by its own sign. A composite is
//! written where it is wanted ([`Gen::write`]), so that it is copied no more than needed.

use inkwell::IntPredicate;
use inkwell::values::{IntValue, PointerValue};

use super::Error;
use super::helpers::fill_position;
use super::llvm::{Arg, Result};
use super::memory::Mem;
use super::program::Gen;
use crate::diagnostics::Span;
use crate::ir::{Binary, Expr, ExprKind, Place, PlaceKind, Unary, VarId};
use crate::types::layout::BUF_DATA;
use crate::types::linked::{CFunction, CType};
use crate::types::{Int, Type};

/// What the bytes after a string's or buffer's end are to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding {
    Undefined,
    /// Zeros, for what is compared or hashed by its bytes.
    Zero,
}

impl<'g, 'c> Gen<'g, 'c> {
    /// The value of a scalar expression.
    pub(super) fn scalar(&mut self, expr: &'g Expr) -> Result<IntValue<'c>> {
        let ll = self.ll;
        match &expr.kind {
            ExprKind::Const(value) => Ok(ll.imm(*value)),
            ExprKind::Var(var) => {
                let (mem, ty) = self.variable(*var)?;
                let value = self.load(mem, ty)?;
                self.as_type(value, &expr.ty)
            }
            ExprKind::MapGet { map, key } => self.map_get_scalar(expr, *map, key.as_deref()),
            ExprKind::MapHas { map, key } => self.map_has(*map, key),
            ExprKind::MapFind { map, key, var } => self.map_find(*map, key, *var),
            ExprKind::MapDelete { map, key } => self.map_delete(*map, key.as_deref(), false),
            ExprKind::MapLen(map) => self.map_len(*map),
            ExprKind::MapAdd { map, key, delta, old } => {
                let value = self.map_add(*map, key.as_deref(), delta, Some(*old))?;
                self.as_type(value, &expr.ty)
            }
            ExprKind::VarAdd { var, delta, old } => self.var_add(*var, delta, *old),
            ExprKind::Load(place) => {
                let address = self.resolve(place)?;
                self.locate(expr.span);
                self.read_scalar(&address, &expr.ty)
            }
            ExprKind::AddressOf(place) => {
                let address = self.resolve(place)?;
                self.address_of(&address)
            }
            ExprKind::ContextPointer => ll.address(self.frame.context),
            ExprKind::TaskIds => self.task_ids(),
            ExprKind::Helper { id, args } => {
                let args = self.helper_args(args)?;
                self.locate(expr.span);
                let value = ll.helper(*id, &args)?;
                self.as_type(value, &expr.ty)
            }
            ExprKind::Call { function, args } => {
                let value = self.call(function, args, expr.span)?;
                self.as_type(value, &expr.ty)
            }
            ExprKind::Kfunc { function, args } => {
                let args = self.helper_args(args)?;
                self.locate(expr.span);
                let value = ll.call(function, &args, Some(".ksyms"))?;
                // No more of the register is set than the result has bytes, as for a C bool.
                let known = if function.result == CType::Int(1) { Int::U8 } else { Int::U64 };
                self.as_type(ll.normalize(value, known)?, &expr.ty)
            }
            ExprKind::Global(global) => {
                let variable = self.object.global(ll, *global)?;
                let value = ll.load_volatile(variable, Int::U64)?;
                self.as_type(value, &expr.ty)
            }
            ExprKind::Cast(operand) => {
                let value = self.scalar(operand)?;
                self.as_type(value, &expr.ty)
            }
            ExprKind::Unary { op, operand } => self.unary(*op, operand, &expr.ty),
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right, &expr.ty),
            ExprKind::StringEqual { left, right, limit, negate } => {
                let equal = self.scoped(|g| g.string_equal(left, right, *limit))?;
                self.negated(equal, *negate)
            }
            ExprKind::BytesEqual { left, right, negate } => {
                let equal = self.scoped(|g| g.bytes_equal(left, right))?;
                self.negated(equal, *negate)
            }
            ExprKind::BytesOrder { left, right, count } => self.scoped(|g| g.bytes_order(left, right, count)),
            ExprKind::StringLength(text) => self.scoped(|g| g.text_length_of(text)),
            ExprKind::StringFind { haystack, needle } => self.scoped(|g| g.find_text(haystack, needle)),
            ExprKind::And(a, b) => {
                let a = self.truth(a)?;
                self.choose(a, |g| g.scalar(b), |g| Ok(g.ll.imm(0)))
            }
            ExprKind::Or(a, b) => {
                let a = self.truth(a)?;
                self.choose(a, |g| Ok(g.ll.imm(1)), |g| g.scalar(b))
            }
            ExprKind::Select { condition, then, otherwise } => {
                let condition = self.truth(condition)?;
                self.choose(condition, |g| g.scalar(then), |g| g.scalar(otherwise))
            }
            ExprKind::Block { body, value } => {
                self.statements(body)?;
                self.scalar(value)
            }
            ExprKind::Part { base, offset } => self.scoped(|g| {
                if let Some(address) = g.part_of_place(base, *offset)? {
                    return g.read_scalar(&address, &expr.ty);
                }
                let mem = g.memory(base)?;
                g.load(g.part(mem, *offset)?, &expr.ty)
            }),
            ExprKind::Element { base, index } => self.scoped(|g| g.element_scalar(base, index, &expr.ty)),
            ExprKind::Reinterpret(operand) => self.scoped(|g| {
                if operand.ty.is_scalar() {
                    let value = g.scalar(operand)?;
                    return g.as_type(value, &expr.ty);
                }
                let mem = g.memory(operand)?;
                g.load(mem, &expr.ty)
            }),
            ExprKind::String(id) => Ok(ll.imm(u64::from(id.0))),
            ExprKind::ProbeName => self.probe_name(),
            ExprKind::Bytes(_)
            | ExprKind::Fill { .. }
            | ExprKind::ReadString { .. }
            | ExprKind::ReadBuffer { .. }
            | ExprKind::Pack(_)
            | ExprKind::StringConcat(..)
            | ExprKind::Name { .. }
            | ExprKind::Stack => {
                Err(Error::Internal(format!("a value of type {:?} is used as a number", expr.ty)))
            }
        }
    }

    /// A condition, as an `i1`.
    pub(super) fn truth(&mut self, expr: &'g Expr) -> Result<IntValue<'c>> {
        let value = self.scalar(expr)?;
        self.ll.is_true(value)
    }

    /// Evaluates an expression for its effects.
    pub(super) fn discard(&mut self, expr: &'g Expr) -> Result<()> {
        match &expr.kind {
            ExprKind::MapDelete { map, key } => self.map_delete(*map, key.as_deref(), true).map(drop),
            // Without its value an atomic addition needs nothing newer than 5.10.
            ExprKind::MapAdd { map, key, delta, .. } => {
                self.map_add(*map, key.as_deref(), delta, None)?;
                Ok(())
            }
            ExprKind::Block { body, value } => {
                self.statements(body)?;
                self.discard(value)
            }
            ExprKind::Select { condition, then, otherwise } => {
                let condition = self.truth(condition)?;
                self.either(condition, |g| g.discard(then), |g| g.discard(otherwise))
            }
            // What yields nothing is a helper called for its effect, or a constant in the place of nothing.
            ExprKind::Helper { id, args } => {
                let args = self.helper_args(args)?;
                self.locate(expr.span);
                let result = self.ll.helper(*id, &args)?;
                self.check_helper(*id, result)
            }
            ExprKind::Call { function, args } => self.call(function, args, expr.span).map(drop),
            _ if expr.ty == Type::Void => Ok(()),
            _ if expr.ty.is_scalar() => self.scalar(expr).map(drop),
            _ => self.memory(expr).map(drop),
        }
    }

    /// A scalar cut to a type.
    pub(super) fn as_type(&self, value: IntValue<'c>, ty: &Type) -> Result<IntValue<'c>> {
        match ty {
            Type::Void => Ok(value),
            Type::Bool => self.ll.flag(self.ll.is_true(value)?),
            _ => self.ll.normalize(value, self.int(ty)?),
        }
    }

    fn negated(&self, equal: IntValue<'c>, negate: bool) -> Result<IntValue<'c>> {
        if negate { Ok(self.ll.builder.build_xor(equal, self.ll.imm(1), "")?) } else { Ok(equal) }
    }

    fn helper_args(&mut self, args: &'g [Expr]) -> Result<Vec<Arg<'c>>> {
        args.iter()
            .map(|arg| match &arg.kind {
                ExprKind::ContextPointer => Ok(self.frame.context.into()),
                _ => match own_variable(arg) {
                    // What a helper reads or writes there is for the verifier to know.
                    Some(var) => Ok(self.variable(var)?.0.ptr.into()),
                    None => self.scalar(arg).map(Arg::from),
                },
            })
            .collect()
    }

    /// Calls a function of a linked object. BPF passes whole registers, so numbers go as they are, extended to 64 bits.
    fn call(&mut self, function: &CFunction, args: &'g [Expr], span: Span) -> Result<IntValue<'c>> {
        let args = args
            .iter()
            .map(|arg| match own_pointer(arg) {
                Some(place) => self.own_pointer(place).map(Arg::from),
                None => self.scalar(arg).map(Arg::from),
            })
            .collect::<Result<Vec<_>>>()?;
        self.locate(span);
        self.ll.call(function, &args, None)
    }

    /// The address of what is in BPF memory, as a pointer that the verifier knows.
    fn own_pointer(&mut self, place: &'g Place) -> Result<PointerValue<'c>> {
        match &place.kind {
            PlaceKind::Variable(var) => Ok(self.variable(*var)?.0.ptr),
            PlaceKind::MapValue { map, key } => self.scoped(|g| {
                let key = g.key(*map, key.as_deref())?;
                g.lookup(*map, key)
            }),
            PlaceKind::Map(map) => Ok(self.object.map(*map)?.pointer),
            _ => Err(Error::Internal("this is not in BPF memory".into())),
        }
    }

    fn unary(&mut self, op: Unary, operand: &'g Expr, ty: &Type) -> Result<IntValue<'c>> {
        let value = self.scalar(operand)?;
        let builder = &self.ll.builder;
        let value = match op {
            Unary::Neg => builder.build_int_neg(value, "")?,
            Unary::Invert => builder.build_not(value, "")?,
            Unary::Not => return self.ll.flag(self.ll.compare(IntPredicate::EQ, value, self.ll.imm(0))?),
        };
        self.as_type(value, ty)
    }

    fn binary(&mut self, op: Binary, left: &'g Expr, right: &'g Expr, ty: &Type) -> Result<IntValue<'c>> {
        let signed = left.ty.as_int().is_some_and(|int| int.signed);
        let (a, b) = (self.scalar(left)?, self.scalar(right)?);
        let builder = &self.ll.builder;
        // A shift by more than BPF's 63 is taken modulo 64, as the machine does.
        let amount = |b| builder.build_and(b, self.ll.imm(63), "");
        let compare = |unsigned, with_sign| -> Result<IntValue<'c>> {
            self.ll.flag(self.ll.compare(if signed { with_sign } else { unsigned }, a, b)?)
        };
        let value = match op {
            Binary::Add => builder.build_int_add(a, b, "")?,
            Binary::Sub => builder.build_int_sub(a, b, "")?,
            Binary::Mul => builder.build_int_mul(a, b, "")?,
            Binary::And => builder.build_and(a, b, "")?,
            Binary::Or => builder.build_or(a, b, "")?,
            Binary::Xor => builder.build_xor(a, b, "")?,
            Binary::Shl => builder.build_left_shift(a, amount(b)?, "")?,
            Binary::Shr => builder.build_right_shift(a, amount(b)?, signed, "")?,
            Binary::Div => self.divide(a, b, signed, false)?,
            Binary::Rem => self.divide(a, b, signed, true)?,
            Binary::Eq => return self.ll.flag(self.ll.compare(IntPredicate::EQ, a, b)?),
            Binary::Ne => return self.ll.flag(self.ll.compare(IntPredicate::NE, a, b)?),
            Binary::Lt => return compare(IntPredicate::ULT, IntPredicate::SLT),
            Binary::Le => return compare(IntPredicate::ULE, IntPredicate::SLE),
            Binary::Gt => return compare(IntPredicate::UGT, IntPredicate::SGT),
            Binary::Ge => return compare(IntPredicate::UGE, IntPredicate::SGE),
        };
        self.as_type(value, ty)
    }

    /// BPF's own division is unsigned, and by zero gives zero, the remainder then being the dividend: just what is
    /// wanted. For LLVM a division by zero has no meaning, so it must not see what the divisor is.
    pub(super) fn divide(
        &self,
        a: IntValue<'c>,
        b: IntValue<'c>,
        signed: bool,
        remainder: bool,
    ) -> Result<IntValue<'c>> {
        let (ll, builder) = (self.ll, &self.ll.builder);
        let unsigned = |a, b: IntValue<'c>| -> Result<IntValue<'c>> {
            let b = match b.get_zero_extended_constant() {
                Some(0) => return Ok(if remainder { a } else { ll.imm(0) }),
                Some(_) => b,
                None => ll.opaque(b)?,
            };
            Ok(if remainder {
                builder.build_int_unsigned_rem(a, b, "")?
            } else {
                builder.build_int_unsigned_div(a, b, "")?
            })
        };
        if !signed {
            return unsigned(a, b);
        }
        // All ones for a negative number, else zero; x ^ s - s is then the absolute value, and -x if applied to it.
        let sign = |v| builder.build_right_shift(v, ll.imm(63), true, "");
        let apply = |v, s| -> Result<IntValue<'c>> {
            Ok(builder.build_int_sub(builder.build_xor(v, s, "")?, s, "")?)
        };
        let (sa, sb) = (sign(a)?, sign(b)?);
        let result = unsigned(apply(a, sa)?, apply(b, sb)?)?;
        // The remainder has the dividend's sign, as in C.
        let s = if remainder { sa } else { builder.build_xor(sa, sb, "")? };
        apply(result, s)
    }

    fn var_add(&mut self, var: VarId, delta: &'g Expr, old: bool) -> Result<IntValue<'c>> {
        let delta = self.scalar(delta)?;
        let (mem, ty) = self.variable(var)?;
        let before = self.load(mem, ty)?;
        let after = self.ll.builder.build_int_add(before, delta, "")?;
        let after = self.as_type(after, ty)?;
        self.store(mem, ty, after)?;
        Ok(if old { before } else { after })
    }

    /// A composite value in memory that may be read until the statement ends.
    pub(super) fn memory(&mut self, expr: &'g Expr) -> Result<Mem<'c>> {
        match &expr.kind {
            ExprKind::Var(var) => Ok(self.variable(*var)?.0),
            ExprKind::Part { base, offset } if !matches!(base.kind, ExprKind::Load(_)) => {
                let mem = self.memory(base)?;
                self.part(mem, *offset)
            }
            ExprKind::Block { body, value } => {
                self.statements(body)?;
                self.memory(value)
            }
            ExprKind::Reinterpret(operand) if !operand.ty.is_scalar() => self.memory(operand),
            _ => {
                let mem = self.temp(self.size_of(&expr.ty))?;
                self.write(expr, mem, Padding::Undefined)?;
                Ok(mem)
            }
        }
    }

    /// Writes a value to memory.
    pub(super) fn write(&mut self, expr: &'g Expr, to: Mem<'c>, padding: Padding) -> Result<()> {
        if expr.ty.is_scalar() {
            let value = self.scalar(expr)?;
            return self.store(to, &expr.ty, value);
        }
        let size = self.size_of(&expr.ty);
        match &expr.kind {
            ExprKind::Bytes(bytes) => match expr.ty {
                Type::Buf(n) => {
                    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(n);
                    self.ll.store(to.ptr, self.ll.imm(u64::from(len)), 4, to.align)?;
                    self.write_bytes(self.part(to, BUF_DATA)?, bytes, n)
                }
                _ => self.write_string(to, bytes, size, padding),
            },
            ExprKind::MapGet { map, key } => self.map_get(to, size, *map, key.as_deref(), expr, padding),
            ExprKind::Load(place) => {
                let address = self.resolve(place)?;
                self.locate(expr.span);
                match expr.ty {
                    Type::Str(_) => self.read_string_place(to, size, &address, padding),
                    _ => self.read_bytes(to, size, &address),
                }
            }
            ExprKind::Fill { id, args } => {
                let mut args = self.helper_args(args)?;
                let at = fill_position(*id).min(args.len());
                self.locate(expr.span);
                let own = [to.ptr.into(), self.ll.imm(u64::from(size)).into()];
                args.splice(at..at, own);
                // Linux 6.0 to 6.3 leaves what is behind the name's end as it was; zeroing two words first is less
                // than padding.
                if padding == Padding::Zero && *id == CURRENT_COMM {
                    self.zero(to, size)?;
                }
                let result = self.ll.helper(*id, &args)?;
                self.check_fill(*id, result, to, size)?;
                if padding == Padding::Zero && *id != CURRENT_COMM { self.pad(to, &expr.ty) } else { Ok(()) }
            }
            ExprKind::ReadString { address, len, space } => {
                let address = self.scalar(address)?;
                let len = len.as_deref().map(|len| self.scalar(len)).transpose()?;
                self.locate(expr.span);
                self.read_string(to, size, address, len, *space, padding).map(drop)
            }
            ExprKind::ReadBuffer { address, len, space } => {
                let Type::Buf(n) = expr.ty else {
                    return Err(Error::Internal(format!("a buffer of type {:?}", expr.ty)));
                };
                let address = self.scalar(address)?;
                let len = self.scalar(len)?;
                self.locate(expr.span);
                let len = self.ll.bound(len, u64::from(n))?;
                self.ll.store(to.ptr, len, 4, to.align)?;
                let data = self.part(to, BUF_DATA)?;
                if padding == Padding::Zero || to.on_stack {
                    self.zero(data, n)?;
                }
                self.read_buffer(data, len, address, *space)
            }
            ExprKind::Pack(parts) => self.pack(parts, to, size, padding),
            ExprKind::Stack => {
                self.locate(expr.span);
                self.stack(&expr.ty, to)
            }
            ExprKind::StringConcat(left, right) => self.concat(left, right, to, size, padding),
            ExprKind::Name { names, number } => self.name_of(names, number, to, size, padding),
            ExprKind::Reinterpret(operand) if operand.ty.is_scalar() => {
                let value = self.scalar(operand)?;
                let from = u32::from(self.int(&operand.ty)?.size).min(size);
                self.ll.store(to.ptr, value, from, to.align)?;
                self.zero(self.part(to, from)?, size - from)
            }
            ExprKind::Select { condition, then, otherwise } => {
                let condition = self.truth(condition)?;
                self.either(
                    condition,
                    |g| g.scoped(|g| g.write_as(then, &expr.ty, to, padding)),
                    |g| g.scoped(|g| g.write_as(otherwise, &expr.ty, to, padding)),
                )
            }
            ExprKind::Block { body, value } => {
                self.statements(body)?;
                self.write_as(value, &expr.ty, to, padding)
            }
            ExprKind::Part { base, offset } => {
                if let Some(address) = self.part_of_place(base, *offset)? {
                    return match expr.ty {
                        Type::Str(_) => self.read_string_place(to, size, &address, padding),
                        _ => self.read_bytes(to, size, &address),
                    };
                }
                let from = self.memory(base)?;
                let from = self.part(from, *offset)?;
                self.copy_value(to, from, &expr.ty, &expr.ty, padding)
            }
            ExprKind::Element { base, index } => self.element(base, index, to, size),
            ExprKind::Cast(operand) => self.write_as(operand, &expr.ty, to, padding),
            ExprKind::Var(_) | ExprKind::Reinterpret(_) => {
                let from = self.memory(expr)?;
                let ty = match expr.kind {
                    ExprKind::Var(var) => self.variable(var)?.1,
                    _ => &expr.ty,
                };
                self.copy_value(to, from, ty, &expr.ty, padding)
            }
            _ => Err(Error::Internal(format!("a number is used as a value of type {:?}", expr.ty))),
        }
    }

    /// Writes a value as one of another, larger type of its kind: a string in a place for a longer one.
    pub(super) fn write_as(
        &mut self,
        expr: &'g Expr,
        ty: &Type,
        to: Mem<'c>,
        padding: Padding,
    ) -> Result<()> {
        if expr.ty == *ty || self.size_of(&expr.ty) == self.size_of(ty) {
            return self.write(expr, to, padding);
        }
        if self.size_of(&expr.ty) < self.size_of(ty) && matches!(ty, Type::Str(_) | Type::Buf(_)) {
            self.write(expr, to, padding)?;
            if padding == Padding::Zero || to.on_stack {
                let (from, size) = (self.size_of(&expr.ty), self.size_of(ty));
                self.zero(self.part(to, from)?, size - from)?;
            }
            return Ok(());
        }
        self.scoped(|g| {
            let from = g.memory(expr)?;
            g.copy_value(to, from, &expr.ty, ty, padding)
        })
    }

    /// Copies a value, which may be of a shorter or longer type of its kind.
    pub(super) fn copy_value(
        &mut self,
        to: Mem<'c>,
        from: Mem<'c>,
        from_ty: &Type,
        ty: &Type,
        padding: Padding,
    ) -> Result<()> {
        let (have, want) = (self.size_of(from_ty), self.size_of(ty));
        if let (Type::Str(_), Type::Str(_)) = (from_ty, ty) {
            return self.copy_string(to, want, from, have, padding);
        }
        self.copy(to, from, have.min(want))?;
        if have < want {
            self.zero(self.part(to, have)?, want - have)?;
        }
        match (from_ty, ty) {
            (Type::Buf(a), Type::Buf(b)) if a > b => {
                let len = self.ll.load(to.ptr, Int::U32, to.align)?;
                let len = self.ll.bound(len, u64::from(*b))?;
                self.ll.store(to.ptr, len, 4, to.align)?;
            }
            _ => (),
        }
        if padding == Padding::Zero { self.pad(to, ty) } else { Ok(()) }
    }

    /// The address of a part of a struct in kernel or user memory, so that only that part is read.
    fn part_of_place(&mut self, base: &'g Expr, offset: u32) -> Result<Option<super::place::Address<'c>>> {
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

    fn pack(&mut self, parts: &'g [(u32, Expr)], to: Mem<'c>, size: u32, padding: Padding) -> Result<()> {
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

    fn element_scalar(&mut self, base: &'g Expr, index: &'g Expr, ty: &Type) -> Result<IntValue<'c>> {
        let size = u32::from(self.int(ty)?.size);
        let to = self.stack_temp(8)?;
        self.element(base, index, to, size)?;
        self.load(to, ty)
    }

    fn element(&mut self, base: &'g Expr, index: &'g Expr, to: Mem<'c>, size: u32) -> Result<()> {
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

    /// Zeroes what a helper that failed may not have written.
    fn check_fill(&mut self, helper: u32, result: IntValue<'c>, to: Mem<'c>, size: u32) -> Result<()> {
        self.check_helper(helper, result)?;
        if helper == CURRENT_COMM {
            return Ok(());
        }
        let failed = self.ll.compare(IntPredicate::SLT, result, self.ll.imm(0))?;
        self.when(failed, |g| g.zero(to, size))
    }
}

/// The variable whose address an expression is.
fn own_variable(expr: &Expr) -> Option<VarId> {
    match own_pointer(expr)?.kind {
        PlaceKind::Variable(var) => Some(var),
        _ => None,
    }
}

/// The variable, map or map's value whose address an expression is.
fn own_pointer(expr: &Expr) -> Option<&Place> {
    match &expr.kind {
        ExprKind::Cast(inner) => own_pointer(inner),
        ExprKind::AddressOf(place) => {
            let own =
                matches!(place.kind, PlaceKind::Variable(_) | PlaceKind::MapValue { .. } | PlaceKind::Map(_));
            own.then_some(place)
        }
        _ => None,
    }
}

/// `bpf_get_current_comm`, which always fills its buffer.
const CURRENT_COMM: u32 = 16;
