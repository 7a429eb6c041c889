//! What `#if` comes to.

use super::{Macro, Preprocessor, functions, joined};
use crate::diagnostics::{FileId, Span};
use crate::syntax::ast::{BinaryOp, Expr, ExprKind, UnaryOp};
use crate::syntax::{self, MAX_DEPTH};
use crate::types::constants;

/// How deep the body of a macro with parameters is taken to be.
const CALL_DEPTH: u16 = 50;

impl Preprocessor<'_> {
    /// The value of an `#if`, in which unknown names are 0, as in C.
    ///
    /// `depth` is that of the expression and of the macros that lead to it; `arguments` are those of the macro that it
    /// is the body of.
    pub fn evaluate(&self, expr: &Expr, depth: u16, arguments: &[(String, i64)]) -> Option<i64> {
        let truth = |b: bool| Some(i64::from(b));
        match &expr.kind {
            ExprKind::Int(n) => i64::try_from(*n).ok(),
            ExprKind::Name(name) if arguments.iter().any(|(argument, _)| argument == name) => {
                arguments.iter().find(|(argument, _)| argument == name).map(|(_, value)| *value)
            }
            ExprKind::Name(name) => match self.macros.get(name) {
                Some(Macro::Value(value)) if depth + value.depth <= MAX_DEPTH && self.left.get() > 0 => {
                    self.left.set(self.left.get() - 1);
                    self.evaluate(&value.node, depth + value.depth, &[])
                }
                None if name == "BPFTRACE_HAVE_BTF" => truth(self.defined(name)),
                None => match constants::lookup(name).filter(|known| !known.enumerator) {
                    Some(known) => i64::try_from(known.value).ok(),
                    None => self.value_elsewhere(name, depth),
                },
                _ => None,
            },
            ExprKind::Call { name, args, .. } if name == "defined" => match args.as_slice() {
                [Expr { kind: ExprKind::Name(name), .. }] => truth(self.defined(name)),
                _ => None,
            },
            // Where something is built in or a module, its name is defined, or that with `_MODULE` behind it.
            ExprKind::Call { name, args, .. } if name == "IS_ENABLED" => match args.as_slice() {
                [Expr { kind: ExprKind::Name(option), .. }] => {
                    truth(self.defined(option) || self.defined(&format!("{option}_MODULE")))
                }
                _ => None,
            },
            ExprKind::Call { name, args, .. } => {
                let args = args.iter().map(|arg| self.evaluate(arg, depth, arguments));
                self.call(name, args.collect::<Option<_>>()?, depth)
            }
            ExprKind::Ternary { condition, then, otherwise } => {
                let holds = self.evaluate(condition, depth, arguments)?;
                let chosen = if holds != 0 { then.as_deref() } else { Some(&**otherwise) };
                chosen.map_or(Some(holds), |chosen| self.evaluate(chosen, depth, arguments))
            }
            ExprKind::Unary { op, operand } => {
                let value = self.evaluate(operand, depth, arguments)?;
                match op {
                    UnaryOp::Not => truth(value == 0),
                    UnaryOp::Neg => value.checked_neg(),
                    UnaryOp::Invert => Some(!value),
                    _ => None,
                }
            }
            ExprKind::Binary { op, left, right } => {
                let (a, b) =
                    (self.evaluate(left, depth, arguments)?, self.evaluate(right, depth, arguments)?);
                match op {
                    BinaryOp::Add => a.checked_add(b),
                    BinaryOp::Sub => a.checked_sub(b),
                    BinaryOp::Mul => a.checked_mul(b),
                    BinaryOp::Div => a.checked_div(b),
                    BinaryOp::Mod => a.checked_rem(b),
                    BinaryOp::BitAnd => Some(a & b),
                    BinaryOp::BitOr => Some(a | b),
                    BinaryOp::BitXor => Some(a ^ b),
                    BinaryOp::Shl => u32::try_from(b).ok().and_then(|b| a.checked_shl(b)),
                    BinaryOp::Shr => u32::try_from(b).ok().and_then(|b| a.checked_shr(b)),
                    BinaryOp::And => truth(a != 0 && b != 0),
                    BinaryOp::Or => truth(a != 0 || b != 0),
                    BinaryOp::Eq => truth(a == b),
                    BinaryOp::Ne => truth(a != b),
                    BinaryOp::Lt => truth(a < b),
                    BinaryOp::Le => truth(a <= b),
                    BinaryOp::Gt => truth(a > b),
                    BinaryOp::Ge => truth(a >= b),
                }
            }
            _ => None,
        }
    }

    /// The value of a name that the script does not define: 0, if no header does.
    fn value_elsewhere(&self, name: &str, depth: u16) -> Option<i64> {
        if !self.includes() {
            return Some(0);
        }
        let Some(found) = self.elsewhere(name).filter(|found| !found.has_parameters(name)) else {
            return Some(0);
        };
        let text = joined(found.rest(name));
        let value = syntax::parse_expression(&text, 0, FileId::default(), &self.values).ok()?;
        let left = self.left.get().checked_sub(1)?;
        self.left.set(left);
        let depth = depth.checked_add(value.depth).filter(|depth| *depth <= MAX_DEPTH)?;
        self.evaluate(&value.node, depth, &[])
    }

    /// The value of a macro with parameters.
    fn call(&self, name: &str, args: Vec<i64>, depth: u16) -> Option<i64> {
        let (span, text) = match self.macros.get(name) {
            Some(Macro::Function(span, text)) => (*span, text.clone()),
            Some(_) => return None,
            None => {
                let found = self.elsewhere(name).filter(|found| found.has_parameters(name))?;
                (Span::new(FileId::default(), 0, name.len()), joined(found.rest(name)))
            }
        };
        let left = self.left.get().checked_sub(1)?;
        self.left.set(left);
        let function = functions::read(name, span, &text, &self.values).ok()?;
        let value = function.body.value.filter(|_| function.body.statements.is_empty())?;
        if args.len() != function.params.len() {
            return None;
        }
        let names = function.params.into_iter().map(|param| param.name);
        let arguments: Vec<(String, i64)> = names.zip(args).collect();
        let depth = depth.checked_add(CALL_DEPTH).filter(|depth| *depth <= MAX_DEPTH)?;
        self.evaluate(&value, depth, &arguments)
    }
}
