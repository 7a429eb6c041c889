//! What calls of macros pass, and types among it.

use super::Expander;
use crate::builtins;
use crate::diagnostics::Diagnostic;
use crate::syntax::ast::{Block, Expr, ExprKind, MacroParamKind, TypeBase, TypeName};
use crate::syntax::visit::{self, Visitor};

/// An argument, expanded in its caller.
pub struct Argument {
    pub expr: Expr,
    /// The size and the height of its tree.
    pub nodes: usize,
    pub levels: u16,
}

impl Argument {
    pub fn new(mut expr: Expr, kind: MacroParamKind) -> Argument {
        let mut size = Size::default();
        if matches!(kind, MacroParamKind::Expr | MacroParamKind::Rest) {
            size.expr(&mut expr);
        }
        Argument { expr, nodes: size.nodes, levels: size.highest }
    }

    /// What stands in the place of the parameter's name. A map is its value there, never the map as a whole.
    pub fn value(&self) -> Expr {
        let expr = self.expr.clone();
        if !matches!(expr.kind, ExprKind::Map { key: None, .. }) {
            return expr;
        }
        let span = expr.span;
        let block = Block { statements: vec![], value: Some(Box::new(expr)), span };
        Expr { kind: ExprKind::Block(block), span }
    }
}

/// Measures a tree.
#[derive(Default)]
struct Size {
    nodes: usize,
    level: u16,
    highest: u16,
}

impl Size {
    fn node(&mut self, inside: impl FnOnce(&mut Self)) {
        self.nodes += 1;
        self.level = self.level.saturating_add(1);
        self.highest = self.highest.max(self.level);
        inside(self);
        self.level -= 1;
    }
}

impl Visitor for Size {
    fn block(&mut self, block: &mut Block) {
        self.node(|this| visit::walk_block(this, block));
    }

    fn stmt(&mut self, stmt: &mut crate::syntax::ast::Stmt) {
        self.node(|this| visit::walk_stmt(this, stmt));
    }

    fn expr(&mut self, e: &mut Expr) {
        self.node(|this| visit::walk_expr(this, e));
    }
}

impl Expander<'_, '_> {
    /// A type in a macro's body, whose name may be a parameter's.
    pub fn type_argument(&mut self, ty: &mut TypeName) {
        let passed = match &ty.base {
            TypeBase::Named { tag, name } => self
                .argument(MacroParamKind::Expr, name)
                .map(|passed| (*tag, passed.expr.clone(), passed.nodes, passed.levels)),
            TypeBase::Of(_) => None,
        };
        let Some((tag, passed, nodes, levels)) = passed else {
            visit::walk_type(self, ty);
            return;
        };
        self.span(&mut ty.span);
        let place = passed.span;
        if !self.spend(place, nodes, levels) {
            return;
        }
        match (tag, passed.kind) {
            (None, ExprKind::TypeCall { name, ty: given, .. }) if name == "typeof" => {
                ty.base = given.base;
                ty.suffixes.splice(0..0, given.suffixes);
            }
            (None, ExprKind::Call { name, mut args, .. }) if name == "typeof" && args.len() == 1 => {
                ty.base = TypeBase::Of(Box::new(args.remove(0)));
            }
            // A name alone is a type's, unless it is known to be a value's.
            (tag, ExprKind::Name(name)) if builtins::find(&name).is_none() => {
                ty.base = TypeBase::Named { tag, name };
            }
            (Some(tag), ExprKind::TypeCall { name, ty: given, .. })
                if name == "typeof" && given.suffixes.is_empty() =>
            {
                match given.base {
                    TypeBase::Named { tag: None, name } => ty.base = TypeBase::Named { tag: Some(tag), name },
                    _ => self.no_type_name(ty, place, tag.keyword()),
                }
            }
            (None, kind) => ty.base = TypeBase::Of(Box::new(Expr { kind, span: place })),
            (Some(tag), _) => self.no_type_name(ty, place, tag.keyword()),
        }
    }

    fn no_type_name(&mut self, ty: &TypeName, passed: crate::diagnostics::Span, tag: &str) {
        self.diagnostics.push(
            Diagnostic::error(
                "invalid-type",
                passed,
                format!("This cannot stand after `{tag}` in the macro"),
            )
            .label(ty.span, "its place")
            .help("pass a type's bare name, or drop the keyword in the macro and pass it in typeof(…)"),
        );
    }

    /// The fields of `offsetof(type, a.b)`: a parameter may stand for all of them.
    pub fn field_names(&self, fields: &mut Vec<String>) {
        let [only] = fields.as_slice() else { return };
        let Some(argument) = self.argument(MacroParamKind::Expr, only) else { return };
        let mut names = vec![];
        let mut e = &argument.expr;
        loop {
            match &e.kind {
                ExprKind::Field { base, name, .. } => {
                    names.push(name.clone());
                    e = base;
                }
                ExprKind::Name(name) => {
                    names.push(name.clone());
                    break;
                }
                _ => return,
            }
        }
        names.reverse();
        *fields = names;
    }
}
