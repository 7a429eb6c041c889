//! Forms that the language no longer has, or soon will not have. Those that mean one thing only still do; each is told
//! of once, with what is written now.

use super::{Checked, Checker, Value, build};
use crate::diagnostics::{Diagnostic, Severity, Span};
use crate::syntax::ast::{Expr, ExprKind};

impl Checker<'_, '_> {
    /// Says that a form is an old one, unless that has been said.
    pub fn old_form(&mut self, span: Span, message: &str, help: impl Into<String>) {
        let warning = Diagnostic::warning("deprecated", span, message).help(help);
        let known = |d: &Diagnostic| {
            d.severity == Severity::Warning && d.code == warning.code && d.message == message
        };
        if !self.pass.diagnostics.iter().any(known) {
            self.report(warning);
        }
    }

    /// `delete(@a[1], @b[2])`, which deleted several keys until 0.21. No call that is right today looks like it.
    pub fn old_delete(&mut self, args: &[Expr], span: Span) -> Option<Checked<Value>> {
        let keyed = |e: &Expr| matches!(&e.kind, ExprKind::Map { key: Some(_), .. });
        if args.len() < 2 || !args.iter().all(keyed) {
            return None;
        }
        self.old_form(
            span,
            "delete() of several keys at once is no longer part of the language",
            "write a delete(@map, key) for each of them",
        );
        let deleted: Checked<Vec<Value>> =
            args.iter().map(|arg| self.call("delete", span, std::slice::from_ref(arg), span)).collect();
        Some(deleted.map(|deleted| {
            let mut body = vec![];
            deleted.into_iter().for_each(|value| super::control::effects(value.expr, &mut body));
            Value::new(build::void(body, span))
        }))
    }
}
