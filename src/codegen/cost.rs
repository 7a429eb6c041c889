//! How many rounds a loop can have where the verifier has to walk through each of them.

use super::analysis::{operands, statement_operands};
use crate::ir::{Expr, Stmt, StmtKind};

/// How many of the verifier's million instructions one nest of loops may take.
const BUDGET: u64 = 150_000;
/// About how many instructions one part of an expression becomes, with the paths that lead through it.
const INSTRUCTIONS: u64 = 15;

/// The rounds of a loop with this condition and body.
pub(super) fn of_loop(condition: Option<&Expr>, body: &[Stmt]) -> u64 {
    let mut counted = Counted::default();
    if let Some(condition) = condition {
        counted.expr(condition);
    }
    counted.statements(body, 1);
    let rounds = BUDGET / (counted.parts.max(1) * INSTRUCTIONS);
    // Nested loops share it. No more than a thousand in any case: each round is also a state to remember.
    let root = (rounds as f64).powf(1.0 / f64::from(counted.levels.max(1)));
    (root as u64).clamp(4, 1000)
}

#[derive(Default)]
struct Counted {
    parts: u64,
    levels: u32,
}

impl Counted {
    fn expr(&mut self, expr: &Expr) {
        self.parts += 1;
        operands(expr, &mut |operand| self.expr(operand));
    }

    fn statements(&mut self, body: &[Stmt], level: u32) {
        self.levels = self.levels.max(level);
        for statement in body {
            self.parts += 1;
            statement_operands(statement, &mut |expr| self.expr(expr));
            match &statement.kind {
                StmtKind::If { then, otherwise, .. } => {
                    self.statements(then, level);
                    self.statements(otherwise, level);
                }
                StmtKind::While { body, .. }
                | StmtKind::ForRange { body, .. }
                | StmtKind::ForMap { body, .. } => self.statements(body, level + 1),
                StmtKind::Block(body) => self.statements(body, level),
                _ => (),
            }
        }
    }
}
