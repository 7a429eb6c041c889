//! Walks over a tree, for stages that rewrite some of it.

use super::ast::{Block, Expr, ExprKind, Range, Script, Stmt, StmtKind, TypeBase, TypeName};
use crate::diagnostics::Span;

/// What is done with the nodes of a tree. Each function by itself goes on to the parts; one that does more calls
/// the `walk` function of its kind where it wants that.
pub trait Visitor {
    fn block(&mut self, block: &mut Block) {
        walk_block(self, block);
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        walk_stmt(self, stmt);
    }

    fn expr(&mut self, expr: &mut Expr) {
        walk_expr(self, expr);
    }

    fn ty(&mut self, ty: &mut TypeName) {
        walk_type(self, ty);
    }

    /// Every place that a node keeps.
    fn span(&mut self, _: &mut Span) {}
}

/// Everything in the script that is made of expressions: the declarations of maps, macros and probes.
pub fn walk_script<V: Visitor + ?Sized>(v: &mut V, script: &mut Script) {
    script.maps.iter_mut().flat_map(|map| &mut map.args).for_each(|arg| v.expr(arg));
    script.macros.iter_mut().for_each(|definition| v.block(&mut definition.body));
    walk_probes(v, script);
}

/// The predicates and bodies of the script's probes.
pub fn walk_probes<V: Visitor + ?Sized>(v: &mut V, script: &mut Script) {
    for probe in &mut script.probes {
        probe.predicate.iter_mut().for_each(|predicate| v.expr(predicate));
        v.block(&mut probe.body);
    }
}

pub fn walk_block<V: Visitor + ?Sized>(v: &mut V, block: &mut Block) {
    v.span(&mut block.span);
    block.statements.iter_mut().for_each(|s| v.stmt(s));
    block.value.iter_mut().for_each(|e| v.expr(e));
}

pub fn walk_stmt<V: Visitor + ?Sized>(v: &mut V, stmt: &mut Stmt) {
    v.span(&mut stmt.span);
    match &mut stmt.kind {
        StmtKind::Expr(e) | StmtKind::Discard(e) => v.expr(e),
        StmtKind::Assign { place, value, .. } => {
            v.expr(place);
            v.expr(value);
        }
        StmtKind::Let { name_span, ty, value, .. } => {
            v.span(name_span);
            ty.iter_mut().for_each(|ty| v.ty(ty));
            value.iter_mut().for_each(|e| v.expr(e));
        }
        StmtKind::Return(value) => value.iter_mut().for_each(|e| v.expr(e)),
        StmtKind::If { condition, then, otherwise } => {
            v.expr(condition);
            v.block(then);
            otherwise.iter_mut().for_each(|b| v.block(b));
        }
        StmtKind::While { condition: head, body } | StmtKind::Unroll { count: head, body } => {
            v.expr(head);
            v.block(body);
        }
        StmtKind::For { variable_span, over, body, .. } => {
            v.span(variable_span);
            match over {
                Range::Map(map) => v.expr(map),
                Range::Numbers { start, end } => {
                    v.expr(start);
                    v.expr(end);
                }
            }
            v.block(body);
        }
        StmtKind::Block(b) => v.block(b),
        StmtKind::Break | StmtKind::Continue | StmtKind::Error => {}
    }
}

pub fn walk_expr<V: Visitor + ?Sized>(v: &mut V, expr: &mut Expr) {
    v.span(&mut expr.span);
    match &mut expr.kind {
        ExprKind::Int(_)
        | ExprKind::Bool(_)
        | ExprKind::Str(_)
        | ExprKind::Name(_)
        | ExprKind::Variable(_)
        | ExprKind::Positional(_)
        | ExprKind::PositionalCount
        | ExprKind::Error => {}
        ExprKind::Map { key, .. } => key.iter_mut().for_each(|k| v.expr(k)),
        ExprKind::Call { args, name_span, .. } => {
            v.span(name_span);
            args.iter_mut().for_each(|a| v.expr(a));
        }
        ExprKind::Tuple(items) => items.iter_mut().for_each(|i| v.expr(i)),
        ExprKind::Unary { operand, .. } => v.expr(operand),
        ExprKind::Cast { ty, operand } => {
            v.ty(ty);
            v.expr(operand);
        }
        ExprKind::TypeCall { ty, name_span, .. } => {
            v.span(name_span);
            v.ty(ty);
        }
        ExprKind::Binary { left, right, .. } => {
            v.expr(left);
            v.expr(right);
        }
        ExprKind::Step { place, .. } => v.expr(place),
        ExprKind::Ternary { condition, then, otherwise } => {
            v.expr(condition);
            then.iter_mut().for_each(|t| v.expr(t));
            v.expr(otherwise);
        }
        ExprKind::Field { base, name_span, .. } => {
            v.expr(base);
            v.span(name_span);
        }
        ExprKind::TupleField { base, .. } => v.expr(base),
        ExprKind::Index { base, index } => {
            v.expr(base);
            v.expr(index);
        }
        ExprKind::Record(fields) => fields.iter_mut().for_each(|(_, value)| v.expr(value)),
        ExprKind::Block(b) => v.block(b),
    }
}

pub fn walk_type<V: Visitor + ?Sized>(v: &mut V, ty: &mut TypeName) {
    v.span(&mut ty.span);
    match &mut ty.base {
        TypeBase::Named { .. } => {}
        TypeBase::Of(e) => v.expr(e),
    }
}

/// Calls `f` with each expression of a script, inner ones first.
pub fn script(script: &mut Script, f: &mut dyn FnMut(&mut Expr)) {
    walk_script(&mut Each(f), script);
}

/// Calls `f` with each expression of a block.
pub fn block(block: &mut Block, f: &mut dyn FnMut(&mut Expr)) {
    walk_block(&mut Each(f), block);
}

/// Calls `f` with the expression's parts, then with itself.
pub fn expr(e: &mut Expr, f: &mut dyn FnMut(&mut Expr)) {
    Each(f).expr(e);
}

struct Each<'f>(&'f mut dyn FnMut(&mut Expr));

impl Visitor for Each<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        walk_expr(self, expr);
        (self.0)(expr);
    }
}
