//! Statements.

use super::expr::Padding;
use super::llvm::Result;
use super::program::Gen;
use crate::ir::{Expr, Stmt, StmtKind, VarId};

impl<'g, 'c> Gen<'g, 'c> {
    pub(super) fn statements(&mut self, statements: &'g [Stmt]) -> Result<()> {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &'g Stmt) -> Result<()> {
        self.locate(statement.span);
        self.scoped(|g| match &statement.kind {
            StmtKind::Expr(value) => g.discard(value),
            StmtKind::SetVar { var, value } => g.set_var(*var, value),
            StmtKind::SetMap { map, key, value } => g.set_map(*map, key.as_ref(), value, statement.span),
            StmtKind::Aggregate { map, key, value, weight } => {
                g.aggregate(*map, key.as_ref(), value.as_ref(), weight.as_ref())
            }
            StmtKind::If { condition, then, otherwise } => {
                let condition = g.scoped(|g| g.truth(condition))?;
                if otherwise.is_empty() {
                    g.when(condition, |g| g.statements(then))
                } else {
                    g.either(condition, |g| g.statements(then), |g| g.statements(otherwise))
                }
            }
            StmtKind::While { condition, body } => g.while_loop(condition, body, statement.span),
            StmtKind::ForRange { var, start, end, body } => {
                g.for_range(*var, (start, end), body, statement.span)
            }
            StmtKind::ForMap { var, map, body } => g.for_map(*var, *map, body, statement.span),
            StmtKind::Break => g.break_loop(),
            StmtKind::Continue => g.continue_loop(),
            StmtKind::Return(value) => {
                let value = value.as_ref().map(|value| g.scalar(value)).transpose()?;
                g.leave(value)
            }
            StmtKind::Emit { event, args } => g.emit(*event, args),
            StmtKind::SeqWrite(text) => g.seq_write(text),
            StmtKind::SeqPrintf { format, args } => g.seq_printf(format, args),
            StmtKind::Block(body) => g.statements(body),
        })
    }

    fn set_var(&mut self, var: VarId, value: &'g Expr) -> Result<()> {
        let ty = self.variable(var)?.1;
        if ty.is_scalar() {
            let value = self.scalar(value)?;
            let (mem, ty) = self.variable(var)?;
            return self.store(mem, ty, value);
        }
        let to = self.variable(var)?.0;
        if self.facts.addressed.contains(&var) || uses_variable(value, var) {
            // `$x = (1, $x.0)`: not over what is still to be read.
            let from = self.temp(self.size_of(ty))?;
            self.write_as(value, ty, from, Padding::Undefined)?;
            return self.copy_value(to, from, ty, ty, Padding::Undefined);
        }
        self.write_as(value, ty, to, Padding::Undefined)
    }
}

fn uses_variable(expr: &Expr, var: VarId) -> bool {
    super::analysis::mentions(expr, var)
}
