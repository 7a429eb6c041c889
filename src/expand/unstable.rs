//! Features that may change with the next version: the config block says what becomes of a script that uses them.

use crate::builtins::NOT_YET;
use crate::config::{Config, Unstable};
use crate::diagnostics::{Diagnostic, Diagnostics, Span};
use crate::syntax::ast::{Expr, ExprKind, Script};
use crate::syntax::visit;

/// Warns of each once, and refuses it wherever it is used, as the settings say.
pub fn apply(script: &mut Script, config: &Config, diagnostics: &mut Diagnostics) {
    let features = [
        ("tseries", config.unstable_tseries),
        ("dw_ustack", config.unstable_dw_ustack),
        ("typeinfo", config.unstable_typeinfo),
    ];
    let mut warned = vec![];
    visit::script(script, &mut |expr| {
        let Some((name, span)) = called(expr) else { return };
        let Some((name, what)) = features.iter().find(|(feature, _)| *feature == name) else { return };
        match what {
            Unstable::Enable => {}
            // What is not there at all is told of later.
            Unstable::Warn if warned.contains(name) || NOT_YET.contains(name) => {}
            Unstable::Warn => {
                warned.push(*name);
                let message = format!("Script is using an unstable feature: {name}");
                diagnostics.push(
                    Diagnostic::warning("unstable", span, message)
                        .note("it may change with the next version")
                        .help(format!("if that is fine, say so: config = {{ unstable_{name} = enable }}")),
                );
            }
            Unstable::Error => diagnostics.push(
                Diagnostic::error(
                    "unstable",
                    span,
                    format!("{name} is unstable, and unstable_{name} is error"),
                )
                .help(format!("to use it, set unstable_{name} to warn or enable in the config block")),
            ),
        }
    });
}

/// The function that an expression calls.
fn called(expr: &Expr) -> Option<(&str, Span)> {
    match &expr.kind {
        ExprKind::Call { name, name_span, .. } | ExprKind::TypeCall { name, name_span, .. } => {
            Some((name, *name_span))
        }
        ExprKind::Name(name) => Some((name, expr.span)),
        _ => None,
    }
}
