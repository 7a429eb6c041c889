//! What is decided before the script runs: `comptime`, and the types of expressions that are not run.

use super::operators::{literal_bool, literal_int, literal_text};
use super::shape::Value;
use super::walk::{self, Node};
use super::{Checked, Checker};
use crate::builtins;
use crate::diagnostics::{Diagnostic, Span};
use crate::syntax::ast::{self, ExprKind, UnaryOp};
use crate::types::{Agg, Type};

/// What is known of a condition.
pub enum Decision {
    /// `comptime`: the side that is not taken is not looked at.
    Taken(bool),
    /// A literal: the side that is not taken must be right, but is never run.
    Literal(bool, Value),
    /// It is known when the probe fires.
    Open(Value),
}

impl Checker<'_, '_> {
    /// `comptime operand`
    pub fn comptime(&mut self, operand: &ast::Expr, span: Span) -> Checked<Value> {
        if depends_on_types(operand) {
            self.env.settled()?;
        }
        let value = self.unevaluated(operand)?;
        if value.literal {
            return Ok(Value { expr: crate::ir::Expr { span, ..value.expr }, ..value });
        }
        self.fail(
            Diagnostic::error("not-comptime", span, "Unable to resolve comptime expression")
                .label(operand.span, "its value is known only when the probe fires")
                .note(
                    "known before are literals, sizes and types, options, and what is calculated from those",
                ),
        )
    }

    /// The condition of an `if`.
    pub fn decide(&mut self, condition: &ast::Expr) -> Checked<Decision> {
        let value = self.value(condition)?;
        if !value.literal {
            return Ok(Decision::Open(value));
        }
        let holds = self.truth(value.clone())?.kind == crate::ir::ExprKind::Const(1);
        Ok(match condition.kind {
            ExprKind::Unary { op: UnaryOp::Comptime, .. } => Decision::Taken(holds),
            _ => Decision::Literal(holds, value),
        })
    }

    /// Checks what is never run: `fail` in there does not fail.
    pub fn unreached<T>(&mut self, unreached: bool, check: impl FnOnce(&mut Self) -> T) -> T {
        self.probe.unreached += u32::from(unreached);
        let result = check(self);
        self.probe.unreached -= u32::from(unreached);
        result
    }

    /// The type that an argument of `sizeof` and its like names, or that its value would have. It is not run.
    pub fn static_type(&mut self, e: &ast::Expr) -> Checked<Type> {
        match &e.kind {
            // A name alone may be a type: `sizeof(task_t)`.
            ExprKind::Name(name) if builtins::find(name).is_none() => {
                if let Some(ty) = self.host.types.find(None, name) {
                    return Ok(ty);
                }
            }
            ExprKind::TypeCall { name, ty, .. } if name == "typeof" => return self.named_type(ty),
            ExprKind::Call { name, args, .. } if name == "typeof" => {
                if let [of] = args.as_slice() {
                    return self.static_type(of);
                }
            }
            _ => {}
        }
        self.type_of(e)
    }

    /// The type of an expression, which is not run. That of a map as a whole is the type of its keys.
    pub fn type_of(&mut self, e: &ast::Expr) -> Checked<Type> {
        if let ExprKind::Map { name, key: None } = &e.kind {
            let map = self.whole_map(name, e.span)?;
            if self.has_keys(name) {
                return Ok(self.env.key(map)?.ty);
            }
            return self.map_type(map);
        }
        Ok(self.unevaluated(e)?.ty().clone())
    }

    /// As [`Checker::static_type`], but for arrays of characters, whose size is their own.
    pub fn type_in_memory(&mut self, e: &ast::Expr) -> Checked<Type> {
        let ty = self.static_type(e)?;
        match (&ty, &e.kind) {
            (_, ExprKind::TypeCall { .. } | ExprKind::Map { .. } | ExprKind::Name(_)) => Ok(ty),
            (_, ExprKind::Call { name, .. }) if name == "typeof" => Ok(ty),
            (Type::Str(_), _) => Ok(super::place::characters(self.unevaluated(e)?).ty().clone()),
            _ => Ok(ty),
        }
    }

    /// What an expression would be, which is not run.
    fn unevaluated(&mut self, e: &ast::Expr) -> Checked<Value> {
        self.probe.unevaluated += 1;
        let value = self.value(e);
        self.probe.unevaluated -= 1;
        value
    }

    /// `typeinfo`: what type something is, as a record of literals.
    pub fn typeinfo(&mut self, ty: &Type, span: Span) -> Value {
        let full = self.spell(ty);
        let parts = vec![
            // The reference has no number for types either.
            ("btf_id".to_owned(), literal_int(0, span)),
            ("base_type".to_owned(), literal_text(base_name(ty).as_bytes(), span)),
            ("full_type".to_owned(), literal_text(full.as_bytes(), span)),
        ];
        self.pack_record(parts, span)
    }

    /// Whether a condition that must be known holds: for assertions.
    pub fn known(&mut self, condition: Value) -> Checked<bool> {
        let span = condition.expr.span;
        if !condition.literal {
            return self.error("not-comptime", span, "Unable to resolve comptime expression");
        }
        Ok(self.truth(condition)?.kind == crate::ir::ExprKind::Const(1))
    }
}

/// Whether the types of variables or maps can decide what an expression comes to.
fn depends_on_types(e: &ast::Expr) -> bool {
    let mut found = false;
    walk::expr(e, &mut |node| {
        found |=
            matches!(node, Node::Expr(ast::Expr { kind: ExprKind::Variable(_) | ExprKind::Map { .. }, .. }));
    });
    found
}

/// Whether all of several literal booleans hold.
pub fn all(literals: &[Value], span: Span) -> Option<Value> {
    let mut holds = true;
    for value in literals {
        holds &= value.literal.then(|| value.constant()).flatten()? != 0;
    }
    Some(literal_bool(holds, span))
}

/// What `typeinfo` calls the kinds of types, as the reference does.
fn base_name(ty: &Type) -> &'static str {
    match ty {
        Type::Void => "void",
        Type::Bool => "bool",
        Type::Int(_) | Type::Enum { .. } => "int",
        Type::Str(_) | Type::ProbeName => "string",
        Type::Buf(_) => "buffer",
        Type::Ptr { .. } => "pointer",
        Type::Array { .. } => "array",
        Type::Struct(_) => "c_type",
        Type::Tuple(_) => "tuple",
        Type::Record(_) => "record",
        Type::Float { .. } => "float",
        Type::Inet => "inet",
        Type::Mac => "mac_address",
        Type::Timestamp => "timestamp",
        Type::KSym => "ksym_t",
        Type::USym => "usym_t",
        Type::KStack(_) => "kstack",
        Type::UStack(_) => "ustack",
        Type::Username => "username_t",
        Type::CgroupPath => "cgroup_path_t",
        Type::Agg(agg) => match agg {
            Agg::Count => "count_t",
            Agg::Sum { .. } => "sum_t",
            Agg::Min { .. } => "min_t",
            Agg::Max { .. } => "max_t",
            Agg::Avg { .. } => "avg_t",
            Agg::Stats { .. } => "stats_t",
            Agg::Hist { .. } => "hist_t",
            Agg::LHist { .. } => "lhist_t",
            Agg::TSeries { .. } => "tseries_t",
        },
    }
}
