//! Short ways to write `ir` expressions.

use crate::diagnostics::Span;
use crate::ir::{Binary, Expr, ExprKind, Place, PlaceKind, Stmt, StmtKind, Unary, VarId};
use crate::types::{Field, Space, Type};

pub fn expr(kind: ExprKind, ty: Type, span: Span) -> Expr {
    Expr { kind, ty, span }
}

pub fn stmt(kind: StmtKind, span: Span) -> Stmt {
    Stmt { kind, span }
}

/// A scalar; `value` is already extended to 64 bits.
pub fn constant(value: u64, ty: Type, span: Span) -> Expr {
    expr(ExprKind::Const(value), ty, span)
}

pub fn signed(value: i64, ty: Type, span: Span) -> Expr {
    constant(value.cast_unsigned(), ty, span)
}

pub fn boolean(value: bool, span: Span) -> Expr {
    constant(u64::from(value), Type::Bool, span)
}

/// A string literal in the smallest type that holds it.
pub fn text(bytes: &[u8], span: Span) -> Expr {
    let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX).saturating_add(1);
    expr(ExprKind::Bytes(bytes.to_vec()), Type::Str(size), span)
}

pub fn var(id: VarId, ty: Type, span: Span) -> Expr {
    expr(ExprKind::Var(id), ty, span)
}

/// A scalar as another scalar type. Constants are converted at once.
pub fn cast(from: Expr, ty: Type) -> Expr {
    if from.ty == ty {
        return from;
    }
    let span = from.span;
    match (&from.kind, ty.as_int()) {
        (ExprKind::Const(bits), _) if ty == Type::Bool => boolean(*bits != 0, span),
        (ExprKind::Const(bits), Some(int)) => {
            let unused = 64 - 8 * u32::from(int.size).clamp(1, 8);
            let bits = bits << unused;
            let bits =
                if int.signed { (bits.cast_signed() >> unused).cast_unsigned() } else { bits >> unused };
            constant(bits, ty, span)
        }
        _ => expr(ExprKind::Cast(Box::new(from)), ty, span),
    }
}

/// The same bytes under another type of the same size.
pub fn reinterpret(from: Expr, ty: Type) -> Expr {
    let span = from.span;
    expr(ExprKind::Reinterpret(Box::new(from)), ty, span)
}

/// An operation on two values of one scalar type.
pub fn binary(op: Binary, left: Expr, right: Expr) -> Expr {
    let span = left.span.to(right.span);
    let ty = match op {
        Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge => Type::Bool,
        _ => left.ty.clone(),
    };
    expr(ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) }, ty, span)
}

pub fn not(operand: Expr) -> Expr {
    let span = operand.span;
    expr(ExprKind::Unary { op: Unary::Not, operand: Box::new(operand) }, Type::Bool, span)
}

pub fn helper(id: u32, args: Vec<Expr>, ty: Type, span: Span) -> Expr {
    expr(ExprKind::Helper { id, args }, ty, span)
}

/// What a call without a value is: statements and nothing.
pub fn void(body: Vec<Stmt>, span: Span) -> Expr {
    let value = Box::new(constant(0, Type::Void, span));
    expr(ExprKind::Block { body, value }, Type::Void, span)
}

/// Reads a place.
pub fn load(place: Place) -> Expr {
    let (ty, span) = (place.ty.clone(), place.span);
    expr(ExprKind::Load(Box::new(place)), ty, span)
}

pub fn address_of(place: Place, space: Space) -> Expr {
    let (ty, span) = (Type::ptr(place.ty.clone(), space), place.span);
    expr(ExprKind::AddressOf(Box::new(place)), ty, span)
}

/// What a pointer points to, as a place of that type.
pub fn deref(pointer: Expr, to: Type, space: Space, span: Span) -> Place {
    Place { kind: PlaceKind::Deref { pointer: Box::new(pointer), space }, ty: to, span }
}

pub fn field(base: Place, field: &Field, ty: Type, span: Span) -> Place {
    Place { kind: PlaceKind::Field { base: Box::new(base), field: field.clone() }, ty, span }
}

pub fn index(base: Place, index: Expr, elem: Type, span: Span) -> Place {
    Place { kind: PlaceKind::Index { base: Box::new(base), index: Box::new(index) }, ty: elem, span }
}

/// A field of a composite in BPF memory.
pub fn part(base: Expr, offset: u32, ty: Type, span: Span) -> Expr {
    expr(ExprKind::Part { base: Box::new(base), offset }, ty, span)
}

pub fn conditional(condition: Expr, then: Vec<Stmt>, otherwise: Vec<Stmt>, span: Span) -> Stmt {
    stmt(StmtKind::If { condition, then, otherwise }, span)
}
