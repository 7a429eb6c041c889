//! Operators, carried out at once where both sides are literals.

use super::shape::{self, Flex, Value, integral};
use super::{Checked, Checker, build};
use crate::diagnostics::{Diagnostic, Span};
use crate::image::EventKind;
use crate::ir::{self, Binary, ExprKind, Unary};
use crate::syntax::ast::{BinaryOp, UnaryOp};
use crate::types::{Int, Space, Type};

/// What there is to say about a floating-point number in a place for an integer.
pub const NO_FLOATS: &str =
    "BPF programs cannot calculate with floating-point numbers: they can only be read, kept and printed";
const NUMBER_AND_TEXT: &str = "compare text with text; a number in quotes is text: \"1\"";

impl Checker<'_, '_> {
    pub fn binary(&mut self, op: BinaryOp, left: Value, right: Value, span: Span) -> Checked<Value> {
        if let Some(folded) = self.fold(op, &left, &right, span)? {
            return Ok(folded);
        }
        if matches!(op, BinaryOp::And | BinaryOp::Or) {
            let (left, right) = (self.truth(left)?, self.truth(right)?);
            let kind = match op {
                BinaryOp::And => ExprKind::And(Box::new(left), Box::new(right)),
                _ => ExprKind::Or(Box::new(left), Box::new(right)),
            };
            return Ok(Value::new(build::expr(kind, Type::Bool, span)));
        }
        if matches!(left.ty(), Type::Ptr { .. }) || matches!(right.ty(), Type::Ptr { .. }) {
            return self.pointer_operation(op, left, right, span);
        }
        let both_bool = *left.ty() == Type::Bool && *right.ty() == Type::Bool;
        if both_bool && matches!(op, BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor) {
            return Ok(operation(op, left.expr, right.expr, span));
        }
        let numeric = |v: &Value| *v.ty() == Type::Bool || integral(v.ty()).is_some();
        if !numeric(&left) || !numeric(&right) {
            return self.compare_others(op, left, right, span);
        }
        if op.is_comparison() {
            return self.compare_numbers(op, left, right, span);
        }
        self.arithmetic(op, left, right, span)
    }

    /// Arithmetic is done in 64 bits: signed if either side is, or if the result of a subtraction might be below
    /// zero.
    fn arithmetic(&mut self, op: BinaryOp, left: Value, right: Value, span: Span) -> Checked<Value> {
        let space = if left.space == Space::Unknown { right.space } else { left.space };
        let (Ok(left), Ok(right)) = (self.number(left), self.number(right)) else {
            return Err(super::Stop::Reported);
        };
        let ty = arithmetic_type(op, &left, &right);
        let (left, right) = (build::cast(left.expr, ty.clone()), build::cast(right.expr, ty));
        let value = match op {
            BinaryOp::Div | BinaryOp::Mod if !matches!(right.kind, ExprKind::Const(1..)) => {
                self.told_division(op, left, right, span)
            }
            _ => operation(op, left, right, span),
        };
        Ok(Value { space, ..value })
    }

    /// A division by what may be zero. The result is then BPF's own, 0 or the dividend, and the user is told.
    fn told_division(&mut self, op: BinaryOp, left: ir::Expr, right: ir::Expr, span: Span) -> Value {
        let ((set_left, left), (set_right, right)) = (self.keep(left), self.keep(right));
        let result = if op == BinaryOp::Div { "0" } else { "The dividend" };
        // It begins as the reference's does: see `diagnostics::codes`.
        let message = format!("Divide or modulo by 0 detected. {result} is being used as the result.");
        let warning = self.emit(EventKind::Warning { message }, vec![], span);
        let any = build::cast(right.clone(), Type::Bool);
        let tell = build::conditional(any, vec![], vec![warning], span);
        let divided = operation(op, left, right, span).expr;
        Value::new(super::convert::after(vec![set_left, set_right, tell], divided))
    }

    fn compare_numbers(&mut self, op: BinaryOp, left: Value, right: Value, span: Span) -> Checked<Value> {
        let (Ok(left), Ok(right)) = (self.number(left), self.number(right)) else {
            return Err(super::Stop::Reported);
        };
        let common = match left.shape().widen(&right.shape()) {
            Some(shape) => shape.ty,
            None => Type::I64,
        };
        if !left.shape().fits(&common) || !right.shape().fits(&common) {
            // A literal beyond int64 compares as what it is.
            let huge = |v: &Value| v.literal && v.constant().is_some_and(|n| n > i128::from(i64::MAX));
            if huge(&left) || huge(&right) {
                let (left, right) = (build::cast(left.expr, Type::U64), build::cast(right.expr, Type::U64));
                return Ok(operation(op, left, right, span));
            }
            let (a, b) = (self.spell(left.ty()), self.spell(right.ty()));
            self.report(
                Diagnostic::warning("sign-mismatch", span, format!("Comparison of {a} with {b}"))
                    .label(left.expr.span, a.clone())
                    .label(right.expr.span, b)
                    .note("both are taken as int64, so numbers from 2^63 on count as negative")
                    .help("cast one side to the type of the other"),
            );
        }
        let (left, right) = (build::cast(left.expr, common.clone()), build::cast(right.expr, common));
        Ok(operation(op, left, right, span))
    }

    fn pointer_operation(&mut self, op: BinaryOp, left: Value, right: Value, span: Span) -> Checked<Value> {
        let (a, b) = (left.ty().clone(), right.ty().clone());
        let number = |ty: &Type| *ty == Type::Bool || integral(ty).is_some();
        match (&a, &b) {
            (Type::Ptr { .. }, Type::Ptr { .. }) if op.is_comparison() => {
                if left.shape().widen(&right.shape()).is_none() {
                    let (a, b) = (self.spell(&a), self.spell(&b));
                    self.report(
                        Diagnostic::warning(
                            "pointer-types",
                            span,
                            format!("comparison of distinct pointer types: {a}, {b}"),
                        )
                        .label(left.expr.span, a)
                        .label(right.expr.span, b),
                    );
                }
            }
            (Type::Ptr { to, .. }, n) if number(n) && matches!(op, BinaryOp::Add | BinaryOp::Sub) => {
                let Ok(count) = self.number(right) else { return Err(super::Stop::Reported) };
                let count = match op {
                    BinaryOp::Sub => negate(count.expr),
                    _ => count.expr,
                };
                let to = (**to).clone();
                return Ok(Value::new(self.offset_pointer(left.expr, &to, count)));
            }
            (n, Type::Ptr { to, .. }) if number(n) && op == BinaryOp::Add => {
                let Ok(count) = self.number(left) else { return Err(super::Stop::Reported) };
                let to = (**to).clone();
                return Ok(Value::new(self.offset_pointer(right.expr, &to, count.expr)));
            }
            (Type::Ptr { .. }, n) | (n, Type::Ptr { .. }) if number(n) && op.is_comparison() => {}
            _ => return self.no_operator(op, left, right, span),
        }
        let (left, right) = (build::cast(left.expr, Type::U64), build::cast(right.expr, Type::U64));
        Ok(operation(op, left, right, span))
    }

    /// Strings, arrays, tuples and what else can only be equal or not.
    fn compare_others(&mut self, op: BinaryOp, left: Value, right: Value, span: Span) -> Checked<Value> {
        let negate = match op {
            BinaryOp::Eq => false,
            BinaryOp::Ne => true,
            _ => return self.no_operator(op, left, right, span),
        };
        match (left.ty().clone(), right.ty().clone()) {
            (Type::Str(_), Type::Str(_)) => {
                Ok(Value::new(string_equal(left.expr, right.expr, None, negate, span)))
            }
            (Type::ProbeName, Type::Str(_)) if right.text().is_some() => {
                self.compare_probe_name(left, &right, negate, span)
            }
            (Type::Str(_), Type::ProbeName) if left.text().is_some() => {
                self.compare_probe_name(right, &left, negate, span)
            }
            (Type::ProbeName, Type::Str(_)) | (Type::Str(_), Type::ProbeName) => {
                let (left, right) = (self.name_as_text(left), self.name_as_text(right));
                Ok(Value::new(string_equal(left.expr, right.expr, None, negate, span)))
            }
            (a, b) if a == b && a.is_scalar() => {
                let op = if negate { BinaryOp::Ne } else { BinaryOp::Eq };
                let (left, right) = (build::cast(left.expr, Type::U64), build::cast(right.expr, Type::U64));
                Ok(operation(op, left, right, span))
            }
            // A symbol is an address.
            (Type::KSym | Type::Username, n) | (n, Type::KSym | Type::Username) if integral(&n).is_some() => {
                let op = if negate { BinaryOp::Ne } else { BinaryOp::Eq };
                let (left, right) = (build::cast(left.expr, Type::U64), build::cast(right.expr, Type::U64));
                Ok(operation(op, left, right, span))
            }
            (Type::Tuple(_) | Type::Record(_), Type::Tuple(_) | Type::Record(_)) => {
                self.compare_parts(left, right, negate, span)
            }
            (Type::Buf(a), Type::Buf(b)) if a != b => {
                let common = Type::Buf(a.max(b));
                let resize = |value: Value| Box::new(super::convert::resize(value.expr, common.clone()));
                let kind = ExprKind::BytesEqual { left: resize(left), right: resize(right), negate };
                Ok(Value::new(build::expr(kind, Type::Bool, span)))
            }
            (a, b)
                if a == b
                    && matches!(
                        a,
                        Type::Array { .. } | Type::Buf(_) | Type::Inet | Type::Mac | Type::USym
                    ) =>
            {
                let kind =
                    ExprKind::BytesEqual { left: Box::new(left.expr), right: Box::new(right.expr), negate };
                Ok(Value::new(build::expr(kind, Type::Bool, span)))
            }
            _ => self.no_operator(op, left, right, span),
        }
    }

    fn compare_probe_name(&mut self, name: Value, text: &Value, negate: bool, span: Span) -> Checked<Value> {
        let text = String::from_utf8_lossy(text.text().unwrap_or_default()).into_owned();
        let number = u64::from(self.probe_name(&text));
        let op = if negate { BinaryOp::Ne } else { BinaryOp::Eq };
        let (left, right) = (build::cast(name.expr, Type::U32), build::constant(number, Type::U32, span));
        Ok(operation(op, left, right, span))
    }

    /// Tuples are equal if their parts are, whatever sizes those have.
    fn compare_parts(&mut self, left: Value, right: Value, negate: bool, span: Span) -> Checked<Value> {
        if left.shape().widen(&right.shape()).is_none() {
            let op = if negate { BinaryOp::Ne } else { BinaryOp::Eq };
            return self.no_operator(op, left, right, span);
        }
        let literal = left.literal && right.literal;
        let (Some((mut before, left)), Some((more, mut right))) = (self.parts(left), self.parts(right))
        else {
            return Err(super::Stop::Reported);
        };
        before.extend(more);
        let mut parts = vec![];
        for (name, part) in left {
            let index = match &name {
                Some(_) => right.iter().position(|(n, _)| *n == name).unwrap_or(0),
                None => 0,
            };
            if index >= right.len() {
                break;
            }
            let (_, other) = right.remove(index);
            parts.push(self.binary(BinaryOp::Eq, part, other, span)?);
        }
        if literal && let Some(equal) = super::comptime::all(&parts, span) {
            let equal = equal.constant() == Some(1);
            return Ok(literal_bool(equal != negate, span));
        }
        let equal = parts
            .into_iter()
            .map(|part| part.expr)
            .reduce(|a, b| build::expr(ExprKind::And(Box::new(a), Box::new(b)), Type::Bool, span));
        let equal = equal.unwrap_or_else(|| build::boolean(true, span));
        let equal = if negate { build::not(equal) } else { equal };
        Ok(Value::new(super::convert::after(before, equal)))
    }

    fn no_operator<T>(&mut self, op: BinaryOp, left: Value, right: Value, span: Span) -> Checked<T> {
        let (a, b) = (self.spell(left.ty()), self.spell(right.ty()));
        let symbol = op.symbol();
        let equality = matches!(op, BinaryOp::Eq | BinaryOp::Ne);
        let stack = |ty: &Type| matches!(ty, Type::KStack(_) | Type::UStack(_));
        let mut error = if equality {
            Diagnostic::error(
                "type-mismatch",
                span,
                format!("Type mismatch for '{symbol}': comparing {a} with {b}"),
            )
        } else {
            Diagnostic::error(
                "invalid-operator",
                span,
                format!("{symbol} has no meaning between {a} and {b}"),
            )
        };
        error = error.label(left.expr.span, a).label(right.expr.span, b);
        error = match (left.ty(), right.ty()) {
            (Type::Float { .. }, _) | (_, Type::Float { .. }) => error.note(NO_FLOATS),
            (Type::Int(_), Type::Str(_)) if left.literal => error.help(NUMBER_AND_TEXT),
            (Type::Str(_), Type::Int(_)) if right.literal => error.help(NUMBER_AND_TEXT),
            (Type::Ptr { .. } | Type::Int(_), Type::Str(_)) => {
                error.help("read the string with str(…) on the left side")
            }
            (Type::Str(_), Type::Ptr { .. } | Type::Int(_)) => {
                error.help("read the string with str(…) on the right side")
            }
            (Type::Str(_), Type::Str(_)) if op == BinaryOp::Add => {
                error.help("join strings with str_concat(a, b)")
            }
            (Type::Str(_), Type::Str(_)) => error.help("strings can be compared with == and != only"),
            (a, b) if equality && stack(a) && stack(b) => error
                .note("stacks cannot be compared: a program only has the ids under which they are kept")
                .help("use a stack as the key of a map, which tells them apart: @[kstack] = count()"),
            (Type::Struct(_), Type::Struct(_)) if equality => {
                error.note("structs cannot be compared as a whole").help("compare their fields, one by one")
            }
            (Type::Ptr { .. }, Type::Ptr { .. }) => {
                error.help("cast both to uint64 to calculate with the addresses")
            }
            _ => error,
        };
        self.fail(error)
    }

    pub fn unary(&mut self, op: UnaryOp, operand: Value, span: Span) -> Checked<Value> {
        match op {
            UnaryOp::Not => {
                if operand.literal
                    && let Some(number) = operand.constant()
                {
                    return Ok(Value { literal: true, ..Value::new(build::boolean(number == 0, span)) });
                }
                Ok(Value::new(ir::Expr { span, ..build::not(self.truth(operand)?) }))
            }
            UnaryOp::Neg | UnaryOp::Invert => {
                if operand.literal
                    && let Some(number) = operand.constant()
                {
                    let result = match op {
                        UnaryOp::Neg => -number,
                        // As the reference does: what is not negative stays so, in 64 bits.
                        _ if number >= 0 => i128::from(!(number as u64)),
                        _ => !number,
                    };
                    return self.folded(Some(result), span);
                }
                let negation = if op == UnaryOp::Neg { Unary::Neg } else { Unary::Invert };
                let (symbol, ty) = (if op == UnaryOp::Neg { "-" } else { "~" }, operand.ty().clone());
                match self.number(operand) {
                    Ok(operand) if ty != Type::Bool => {
                        let signed = integral(operand.ty()).is_some_and(|int| int.signed);
                        // A negated number is signed, or -pid would be a huge one.
                        let wide = if signed || op == UnaryOp::Neg { Type::I64 } else { Type::U64 };
                        let operand = build::cast(operand.expr, wide.clone());
                        let kind = ExprKind::Unary { op: negation, operand: Box::new(operand) };
                        Ok(Value::new(build::expr(kind, wide, span)))
                    }
                    _ => {
                        let found = self.spell(&ty);
                        self.error("invalid-operator", span, format!("{symbol} has no meaning for {found}"))
                    }
                }
            }
            UnaryOp::Deref => self.deref(operand, span),
            // Of syntax, not of values.
            UnaryOp::AddressOf | UnaryOp::Comptime => Err(super::Stop::Reported),
        }
    }

    /// What an operation on literals comes to; `None` if they are not literals.
    fn fold(&mut self, op: BinaryOp, left: &Value, right: &Value, span: Span) -> Checked<Option<Value>> {
        if !left.literal || !right.literal {
            return Ok(None);
        }
        if let Some(text) = left.text() {
            return match (op, right.text(), right.constant()) {
                // As a pointer into the literal: `str($1 + 1)`.
                (BinaryOp::Add, None, Some(n)) => {
                    let skip = usize::try_from(n).unwrap_or(usize::MAX);
                    let rest = text.get(skip..).unwrap_or_default();
                    Ok(Some(self.text(rest, span)))
                }
                (BinaryOp::Add, Some(more), _) => Ok(Some(self.text(&[text, more].concat(), span))),
                (_, Some(other), _) => Ok(compare(op, text, other).map(|b| literal_bool(b, span))),
                _ => Ok(None),
            };
        }
        let (Some(a), Some(b)) = (left.constant(), right.constant()) else { return Ok(None) };
        if let Some(answer) = compare(op, &a, &b) {
            return Ok(Some(literal_bool(answer, span)));
        }
        let result = match op {
            BinaryOp::And => return Ok(Some(literal_bool(a != 0 && b != 0, span))),
            BinaryOp::Or => return Ok(Some(literal_bool(a != 0 || b != 0, span))),
            BinaryOp::Add => a.checked_add(b),
            BinaryOp::Sub => a.checked_sub(b),
            BinaryOp::Mul => a.checked_mul(b),
            BinaryOp::Div | BinaryOp::Mod if b == 0 => {
                return self.fail(
                    Diagnostic::error(
                        "division-by-zero",
                        right.expr.span,
                        "unable to fold: division by zero",
                    )
                    .help("divide by something else"),
                );
            }
            BinaryOp::Div => a.checked_div(b),
            BinaryOp::Mod => a.checked_rem(b),
            BinaryOp::BitAnd => Some(a & b),
            BinaryOp::BitOr => Some(a | b),
            BinaryOp::BitXor => Some(a ^ b),
            BinaryOp::Shl | BinaryOp::Shr if !(0..64).contains(&b) => None,
            BinaryOp::Shl if a < 0 => Some(i128::from((a as i64) << b)),
            BinaryOp::Shl => Some(i128::from((a as u64) << b)),
            BinaryOp::Shr => Some(a >> b),
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => None,
        };
        self.folded(result, span).map(Some)
    }

    /// A number as the literal that stands for it.
    pub fn folded(&mut self, number: Option<i128>, span: Span) -> Checked<Value> {
        match number {
            Some(n) if n >= 0 && u64::try_from(n).is_ok() => Ok(literal_int(n as u64, span)),
            Some(n) if i64::try_from(n).is_ok() => {
                let n = n as i64;
                let expr = build::signed(n, Type::Int(shape::negative_literal(n)), span);
                Ok(Value { literal: true, ..Value::new(expr) })
            }
            _ => self.fail(
                Diagnostic::error("literal-overflow", span, "the result of these numbers is too large")
                    .note("numbers have 64 bits"),
            ),
        }
    }
}

/// The type that arithmetic is done in.
pub fn arithmetic_type(op: BinaryOp, left: &Value, right: &Value) -> Type {
    let int = |v: &Value| integral(v.ty()).unwrap_or(Int::U8);
    let (mut a, mut b) = (int(left).signed, int(right).signed);
    match (left.flex == Flex::Yes, right.flex == Flex::Yes) {
        (true, false) => a = b,
        (false, true) => b = a,
        _ => {}
    }
    let signed = match op {
        // How far to shift says nothing about what is shifted.
        BinaryOp::Shl | BinaryOp::Shr => int(left).signed,
        _ => a || b || op == BinaryOp::Sub,
    };
    if signed { Type::I64 } else { Type::U64 }
}

fn operation(op: BinaryOp, left: ir::Expr, right: ir::Expr, span: Span) -> Value {
    let op = match op {
        BinaryOp::Add => Binary::Add,
        BinaryOp::Sub => Binary::Sub,
        BinaryOp::Mul => Binary::Mul,
        BinaryOp::Div => Binary::Div,
        BinaryOp::Mod => Binary::Rem,
        BinaryOp::BitAnd | BinaryOp::And => Binary::And,
        BinaryOp::BitOr | BinaryOp::Or => Binary::Or,
        BinaryOp::BitXor => Binary::Xor,
        BinaryOp::Shl => Binary::Shl,
        BinaryOp::Shr => Binary::Shr,
        BinaryOp::Eq => Binary::Eq,
        BinaryOp::Ne => Binary::Ne,
        BinaryOp::Lt => Binary::Lt,
        BinaryOp::Le => Binary::Le,
        BinaryOp::Gt => Binary::Gt,
        BinaryOp::Ge => Binary::Ge,
    };
    Value::new(ir::Expr { span, ..build::binary(op, left, right) })
}

/// The negative of a number, in 64 bits.
pub fn negate(value: ir::Expr) -> ir::Expr {
    let span = value.span;
    match value.kind {
        ExprKind::Const(n) => build::constant(n.wrapping_neg(), Type::I64, span),
        _ => {
            let operand = Box::new(build::cast(value, Type::I64));
            build::expr(ExprKind::Unary { op: Unary::Neg, operand }, Type::I64, span)
        }
    }
}

pub fn string_equal(
    left: ir::Expr,
    right: ir::Expr,
    limit: Option<u32>,
    negate: bool,
    span: Span,
) -> ir::Expr {
    let kind = ExprKind::StringEqual { left: Box::new(left), right: Box::new(right), limit, negate };
    build::expr(kind, Type::Bool, span)
}

pub fn literal_int(number: u64, span: Span) -> Value {
    let int = shape::literal(number);
    let flex = if int.signed { Flex::Yes } else { Flex::No };
    Value { flex, literal: true, ..Value::new(build::constant(number, Type::Int(int), span)) }
}

pub fn literal_bool(value: bool, span: Span) -> Value {
    Value { literal: true, ..Value::new(build::boolean(value, span)) }
}

pub fn literal_text(bytes: &[u8], span: Span) -> Value {
    Value { literal: true, ..Value::new(build::text(bytes, span)) }
}

fn compare<T: PartialOrd + ?Sized>(op: BinaryOp, a: &T, b: &T) -> Option<bool> {
    Some(match op {
        BinaryOp::Eq => a == b,
        BinaryOp::Ne => a != b,
        BinaryOp::Lt => a < b,
        BinaryOp::Le => a <= b,
        BinaryOp::Gt => a > b,
        BinaryOp::Ge => a >= b,
        _ => return None,
    })
}
