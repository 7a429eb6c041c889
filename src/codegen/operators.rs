//! Operators on numbers.

use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::llvm::Result;
use super::program::Gen;
use crate::ir::{Binary, Context, Expr, ExprKind, Unary, VarId};
use crate::types::Type;

impl<'g, 'c> Gen<'g, 'c> {
    pub(super) fn unary(&mut self, op: Unary, operand: &'g Expr, ty: &Type) -> Result<IntValue<'c>> {
        let value = self.scalar(operand)?;
        let builder = &self.ll.builder;
        let value = match op {
            Unary::Neg => builder.build_int_neg(value, "")?,
            Unary::Invert => builder.build_not(value, "")?,
            Unary::Not => return self.ll.flag(self.ll.compare(IntPredicate::EQ, value, self.ll.imm(0))?),
        };
        self.as_type(value, ty)
    }

    /// A scalar to calculate with. Arguments of kernel functions, and the context, are pointers to the verifier, of which it
    /// lets nobody take a part or a product.
    pub(super) fn calculated(&mut self, expr: &'g Expr) -> Result<IntValue<'c>> {
        let value = self.scalar(expr)?;
        let pointer = matches!(expr.ty, Type::Ptr { .. }) && !value.is_const();
        let known = self.probe.context == Context::Words || expr.kind == ExprKind::ContextPointer;
        if pointer && known { self.ll.unknown(value) } else { Ok(value) }
    }

    pub(super) fn binary(
        &mut self,
        op: Binary,
        left: &'g Expr,
        right: &'g Expr,
        ty: &Type,
    ) -> Result<IntValue<'c>> {
        let signed = left.ty.as_int().is_some_and(|int| int.signed);
        let compared =
            matches!(op, Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge);
        let (a, b) = match compared {
            true => (self.scalar(left)?, self.scalar(right)?),
            false => (self.calculated(left)?, self.calculated(right)?),
        };
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
        let value = if is_at_hand(left) && is_at_hand(right) { value } else { self.ll.settled(value)? };
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

    pub(super) fn var_add(&mut self, var: VarId, delta: &'g Expr, old: bool) -> Result<IntValue<'c>> {
        let at_hand = is_at_hand(delta);
        let delta = self.scalar(delta)?;
        let (mem, ty) = self.variable(var)?;
        let before = self.load(mem, ty)?;
        let after = self.ll.builder.build_int_add(before, delta, "")?;
        let after = if at_hand { after } else { self.ll.settled(after)? };
        let after = self.as_type(after, ty)?;
        self.store(mem, ty, after)?;
        Ok(if old { before } else { after })
    }
}

/// Whether a value takes no call and no memory to have.
fn is_at_hand(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Const(_) | ExprKind::Var(_) | ExprKind::Global(_) => true,
        ExprKind::Cast(operand) | ExprKind::Unary { operand, .. } => is_at_hand(operand),
        ExprKind::Binary { left, right, .. } => is_at_hand(left) && is_at_hand(right),
        _ => false,
    }
}
