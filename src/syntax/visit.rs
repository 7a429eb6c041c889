//! Walks over every expression of a tree, for stages that rewrite some of them.

use super::ast::{Block, Expr, ExprKind, Range, Script, Stmt, StmtKind};

/// Calls `f` with each expression of the script's predicates and bodies, inner ones first.
pub fn script(script: &mut Script, f: &mut impl FnMut(&mut Expr)) {
    for probe in &mut script.probes {
        if let Some(predicate) = &mut probe.predicate {
            expr(predicate, f);
        }
        block(&mut probe.body, f);
    }
}

fn block(b: &mut Block, f: &mut impl FnMut(&mut Expr)) {
    b.statements.iter_mut().for_each(|s| stmt(s, f));
    if let Some(value) = &mut b.value {
        expr(value, f);
    }
}

fn stmt(s: &mut Stmt, f: &mut impl FnMut(&mut Expr)) {
    match &mut s.kind {
        StmtKind::Expr(e) | StmtKind::Discard(e) => expr(e, f),
        StmtKind::Assign { place, value, .. } => {
            expr(place, f);
            expr(value, f);
        }
        StmtKind::Let { value, .. } | StmtKind::Return(value) => value.iter_mut().for_each(|v| expr(v, f)),
        StmtKind::If { condition, then, otherwise } => {
            expr(condition, f);
            block(then, f);
            otherwise.iter_mut().for_each(|b| block(b, f));
        }
        StmtKind::While { condition: head, body } | StmtKind::Unroll { count: head, body } => {
            expr(head, f);
            block(body, f);
        }
        StmtKind::For { over, body, .. } => {
            match over {
                Range::Map(map) => expr(map, f),
                Range::Numbers { start, end } => {
                    expr(start, f);
                    expr(end, f);
                }
            }
            block(body, f);
        }
        StmtKind::Block(b) => block(b, f),
        StmtKind::Break | StmtKind::Continue | StmtKind::Error => {}
    }
}

/// Calls `f` with the expression's parts, then with itself.
pub fn expr(e: &mut Expr, f: &mut impl FnMut(&mut Expr)) {
    match &mut e.kind {
        ExprKind::Int(_)
        | ExprKind::Bool(_)
        | ExprKind::Str(_)
        | ExprKind::Name(_)
        | ExprKind::Variable(_)
        | ExprKind::Positional(_)
        | ExprKind::PositionalCount
        | ExprKind::TypeCall { .. }
        | ExprKind::Error => {}
        ExprKind::Map { key, .. } => key.iter_mut().for_each(|k| expr(k, f)),
        ExprKind::Call { args: items, .. } | ExprKind::Tuple(items) => {
            items.iter_mut().for_each(|i| expr(i, f))
        }
        ExprKind::Unary { operand, .. } | ExprKind::Cast { operand, .. } => expr(operand, f),
        ExprKind::Binary { left, right, .. } => {
            expr(left, f);
            expr(right, f);
        }
        ExprKind::Step { place, .. } => expr(place, f),
        ExprKind::Ternary { condition, then, otherwise } => {
            expr(condition, f);
            then.iter_mut().for_each(|t| expr(t, f));
            expr(otherwise, f);
        }
        ExprKind::Field { base, .. } | ExprKind::TupleField { base, .. } => expr(base, f),
        ExprKind::Index { base, index } => {
            expr(base, f);
            expr(index, f);
        }
        ExprKind::Record(fields) => fields.iter_mut().for_each(|(_, value)| expr(value, f)),
        ExprKind::Block(b) => block(b, f),
    }
    f(e);
}
