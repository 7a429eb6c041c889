//! Calls of functions that imported C defines.

use super::calls::miscounted;
use super::shape::Value;
use super::{Checked, Checker, build};
use crate::builtins;
use crate::diagnostics::{Diagnostic, Span};
use crate::ir::{self, StmtKind};
use crate::syntax::ast;
use crate::types::linked::{Found, Function};
use crate::types::{Layouts, Type};

impl Checker<'_, '_> {
    /// A call of what an import defines; `None` if none defines it.
    pub fn linked_call(
        &mut self,
        name: &str,
        name_span: Span,
        args: &[ast::Expr],
        span: Span,
    ) -> Option<Checked<Value>> {
        let unfit = |file: String, why: &str| {
            let message = format!("{name}() of {file} cannot be called from a script: {why}");
            Diagnostic::error("linked-function", name_span, message)
        };
        let error = match self.host.types.linked_function(name)? {
            Found::Function(function) => return Some(self.call_function(name, *function, args, span)),
            Found::Unfit { file, why } => {
                unfit(file, &why).note("what can be passed and returned are integers, enums and pointers")
            }
            Found::Program { file } => unfit(file, "it is a program of its own, in a section (SEC)"),
            Found::Static { file } => {
                unfit(file, "it is static").help("leave out the word to call it from outside")
            }
        };
        let _ = self.values(args);
        Some(self.fail(error))
    }

    fn call_function(
        &mut self,
        name: &str,
        function: Function,
        args: &[ast::Expr],
        span: Span,
    ) -> Checked<Value> {
        let values = self.values(args);
        let wanted = function.params.len();
        if args.len() != wanted {
            let error = miscounted(name, (wanted, Some(wanted)), args.len(), span);
            return self.fail(error.note(is_defined(&function)));
        }
        let mut given = vec![];
        for (value, (param, ty)) in values?.into_iter().zip(&function.params) {
            given.push(self.linked_argument(name, &function, param, ty, value)?);
        }
        let call = ir::ExprKind::Call { function: Box::new(function.c), args: given };
        let call = build::expr(call, function.result.clone(), span);
        Ok(match function.result {
            Type::Void => Value::new(build::void(vec![build::stmt(StmtKind::Expr(call), span)], span)),
            _ => Value::new(call),
        })
    }

    /// An argument as the parameter's type.
    fn linked_argument(
        &mut self,
        name: &str,
        function: &Function,
        param: &str,
        wanted: &Type,
        value: Value,
    ) -> Checked<ir::Expr> {
        let (found, span) = (value.ty().clone(), value.expr.span);
        let converted = match wanted {
            Type::Bool if !matches!(found, Type::Ptr { .. }) && found.is_scalar() => Some(self.truth(value)?),
            Type::Int(_) => match self.number(value) {
                Ok(number) => self.convert(number, wanted),
                Err(_) => None,
            },
            Type::Enum { int, .. } => match self.number(value) {
                Ok(number) => {
                    self.convert(number, &Type::Int(*int)).map(|number| build::cast(number, wanted.clone()))
                }
                Err(_) => None,
            },
            Type::Ptr { to, .. } => match &found {
                Type::Ptr { to: have, .. } if points_to(to, have, self.host.types.layouts()) => {
                    Some(ir::Expr { ty: wanted.clone(), ..value.expr })
                }
                _ => None,
            },
            _ => None,
        };
        if let Some(expr) = converted {
            return Ok(expr);
        }
        let (spelled, have) = (self.spell(wanted), self.spell(&found));
        let of = if param.is_empty() { String::new() } else { format!(" for argument `{param}`") };
        let message = format!("{name}() expects {spelled}{of} ({have} provided)");
        let error = Diagnostic::error("argument-type", span, message).note(is_defined(function));
        let is_pointer = matches!(wanted, Type::Ptr { .. });
        self.fail(match &found {
            Type::Int(_) if is_pointer => {
                error.help(format!("to pass an address, write the cast: ({spelled})…"))
            }
            Type::Ptr { .. } if is_pointer => {
                error.help(format!("if that is what it is, write the cast: ({spelled})…"))
            }
            found if is_pointer && !found.is_scalar() => {
                error.help("pass the address of a variable that holds it: $x = …; f(&$x)")
            }
            _ => error,
        })
    }

    /// Names of the script's own that stand before functions of imports.
    pub fn check_hidden_functions(&mut self, macros: &[(String, Span)]) {
        for (name, span) in macros {
            if let Some(file) = self.host.types.linked_file(name) {
                let warning = format!("the macro {name} hides the function of {file}");
                self.report(
                    Diagnostic::warning("linked-function", *span, warning)
                        .help("rename one of them to call both"),
                );
            }
        }
    }

    /// A builtin stands before a function of an import that has its name.
    pub fn check_hidden_by_builtin(&mut self, builtin: &builtins::Builtin, name: &str, span: Span) {
        if let Some(file) = self.host.types.linked_file(name) {
            let warning = format!("this calls the builtin {builtin}, not the function of {file}");
            self.report(
                Diagnostic::warning("linked-function", span, warning).help("rename the function to call it"),
            );
        }
    }
}

/// What follows the message about a call.
fn is_defined(function: &Function) -> String {
    format!("it is defined as: {}", function.spelled)
}

/// Whether a pointer to the second type may go where one to the first is wanted. As in C `void` is anything, and a
/// string is its characters; signs do not matter.
fn points_to(wanted: &Type, have: &Type, layouts: &Layouts) -> bool {
    let name = |ty: &Type| match ty {
        Type::Struct(id) => layouts.structs.get(id).map(|s| (s.union, s.name.clone())),
        Type::Enum { id, .. } => layouts.enums.get(id).map(|e| (false, e.name.clone())),
        _ => None,
    };
    match (wanted, have) {
        (Type::Void, _) | (_, Type::Void) => true,
        (Type::Int(a), Type::Int(b)) => a.size == b.size,
        (Type::Int(byte), Type::Str(_) | Type::Buf(_)) => byte.size == 1,
        (Type::Array { elem: a, .. }, Type::Array { elem: b, .. }) => points_to(a, b, layouts),
        (_, Type::Array { elem, .. }) => points_to(wanted, elem, layouts),
        (Type::Ptr { to: a, .. }, Type::Ptr { to: b, .. }) => points_to(a, b, layouts),
        (Type::Struct(_), Type::Struct(_)) | (Type::Enum { .. }, Type::Enum { .. }) => {
            wanted == have || name(wanted).is_some_and(|n| !n.1.is_empty() && name(have) == Some(n))
        }
        _ => wanted == have,
    }
}
