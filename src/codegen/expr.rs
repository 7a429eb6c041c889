//! Expressions: scalars to registers, everything else into memory.
//!
//! A scalar is always 64 bits wide between operations, extended from its type by its own sign. A composite is
//! written where it is wanted ([`Gen::write`]), so that it is copied no more than needed.

use inkwell::values::IntValue;

use super::Error;
use super::call::CURRENT_COMM;
use super::helpers::fill_position;
use super::llvm::Result;
use super::memory::Mem;
use super::program::Gen;
use crate::ir::{Expr, ExprKind};
use crate::types::layout::BUF_DATA;
use crate::types::linked::CType;
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
            ExprKind::AddressOf(place) => self.address_to_keep(place),
            ExprKind::ContextPointer => ll.address(self.frame.context),
            ExprKind::TaskIds => self.task_ids(),
            ExprKind::PerCpu { variable, cpu } => self.per_cpu(*variable, cpu.as_deref()),
            ExprKind::Helper { id, args } => {
                let args = self.helper_args(args)?;
                self.locate(expr.span);
                let value = ll.helper(*id, &args)?;
                self.as_type(value, &expr.ty)
            }
            ExprKind::SkbOutput { event, packet, length, head } => {
                let result = self.skb_output(*event, packet, length, head, expr.span)?;
                self.as_type(result, &expr.ty)
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
                let value = match expr.ty {
                    Type::Ptr { .. } | Type::Bool => self.scalar(operand)?,
                    _ => self.calculated(operand)?,
                };
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
            | ExprKind::ProbeText(_)
            | ExprKind::Fill { .. }
            | ExprKind::KernelPath(_)
            | ExprKind::TaskName { .. }
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
            ExprKind::ProbeText(number) => {
                let number = self.scalar(number)?;
                self.probe_text(number, to, size)
            }
            ExprKind::TaskName { tid, comm } => {
                let tid = self.scalar(tid)?;
                self.locate(expr.span);
                self.task_name(tid, *comm, to, size)
            }
            ExprKind::KernelPath(path) => {
                self.locate(expr.span);
                self.kernel_path(path, to, &expr.ty, padding)
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
}
