//! Statements.

use super::comptime::Decision;
use super::shape::{Shape, Value};
use super::{Checked, Checker, Stop, build};
use crate::diagnostics::{Diagnostic, Span};
use crate::ir::{self, StmtKind};
use crate::syntax::ast::{self, ExprKind};
use crate::types::Type;

/// The most rounds that `unroll` writes out, as in the reference.
const MAX_UNROLL: i128 = 100;
/// The most rounds of one `unroll` in others, all of them counted.
const MAX_UNROLLED: u128 = 10_000;

impl Checker<'_, '_> {
    /// A block as statements; its value, if any, is discarded.
    pub fn block(&mut self, block: &ast::Block) -> Vec<ir::Stmt> {
        self.scoped(|this| {
            let mut out = vec![];
            this.statements(&block.statements, &mut out);
            this.reachable(&block.statements, block.value.as_deref());
            if let Some(value) = &block.value
                && this.discarded(value, &mut out) == Err(Stop::Unresolved)
            {
                this.pass.unresolved.get_or_insert(value.span);
            }
            out
        })
    }

    /// Warns of a value that the last statement before it keeps from being reached.
    pub fn reachable(&mut self, statements: &[ast::Stmt], value: Option<&ast::Expr>) {
        if let (Some(last), Some(value)) = (statements.last(), value)
            && leaves(&last.kind)
        {
            self.unreachable(value.span, last.span);
        }
    }

    fn unreachable(&mut self, span: Span, by: Span) {
        self.report(
            Diagnostic::warning("unreachable-code", span, "Unreachable statement")
                .label(by, "the block is left here"),
        );
    }

    /// Statements in the scope at hand. One that is wrong does not keep the rest from being checked.
    pub fn statements(&mut self, statements: &[ast::Stmt], out: &mut Vec<ir::Stmt>) {
        let mut left: Option<Span> = None;
        for stmt in statements {
            if let Some(by) = left.take() {
                self.unreachable(stmt.span, by);
            }
            // What went wrong has been reported, or will be understood in a later pass.
            if self.statement(stmt, out) == Err(Stop::Unresolved) {
                self.pass.unresolved.get_or_insert(stmt.span);
            }
            if leaves(&stmt.kind) {
                left = Some(stmt.span);
            }
        }
    }

    fn statement(&mut self, stmt: &ast::Stmt, out: &mut Vec<ir::Stmt>) -> Checked<()> {
        let span = stmt.span;
        match &stmt.kind {
            ast::StmtKind::Expr(e) => self.discarded(e, out)?,
            ast::StmtKind::Assign { place, op, value } => self.assign(place, *op, value, span, out)?,
            ast::StmtKind::Discard(e) => {
                let value = self.expr(e)?;
                effects(value.expr, out);
            }
            ast::StmtKind::Let { name, name_span, ty, value } => {
                self.let_variable(name, *name_span, ty.as_ref(), value.as_ref(), out)?;
            }
            ast::StmtKind::If { condition, then, otherwise } => {
                self.if_statement(condition, then, otherwise.as_ref(), span, out)?;
            }
            ast::StmtKind::While { condition, body } => {
                self.old_form(
                    keyword(span, "while"),
                    "While loops are deprecated",
                    "where the number of rounds is known, write for ($i : 0..10) { … }",
                );
                let condition = self.condition(condition);
                let body = self.loop_body(body);
                out.push(build::stmt(StmtKind::While { condition: condition?, body }, span));
            }
            ast::StmtKind::Unroll { count, body } => self.unroll(count, body, span, out)?,
            ast::StmtKind::For { variable, variable_span, over, body } => match over {
                ast::Range::Map(map) => self.for_map(variable, *variable_span, map, body, span, out)?,
                ast::Range::Numbers { start, end } => {
                    self.for_range(variable, *variable_span, (start, end), body, span, out)?;
                }
            },
            ast::StmtKind::Return(value) => {
                let value = value.as_ref().map(|e| self.return_value(e)).transpose()?;
                out.push(build::stmt(StmtKind::Return(value), span));
            }
            ast::StmtKind::Break => self.leave_loop("break", StmtKind::Break, span, out)?,
            ast::StmtKind::Continue => self.leave_loop("continue", StmtKind::Continue, span, out)?,
            ast::StmtKind::Block(b) => {
                let body = self.block(b);
                out.push(build::stmt(StmtKind::Block(body), span));
            }
            ast::StmtKind::Error => {}
        }
        Ok(())
    }

    fn if_statement(
        &mut self,
        condition: &ast::Expr,
        then: &ast::Block,
        otherwise: Option<&ast::Block>,
        span: Span,
        out: &mut Vec<ir::Stmt>,
    ) -> Checked<()> {
        let decision = self.decide_sides(condition)?;
        if let Ok(Decision::Taken(holds)) = decision {
            let side = if holds { Some(then) } else { otherwise };
            if let Some(side) = side {
                let body = self.block(side);
                out.push(build::stmt(StmtKind::Block(body), span));
            }
            return Ok(());
        }
        let literal = match decision {
            Ok(Decision::Literal(holds, _)) => Some(holds),
            _ => None,
        };
        let then = self.unreached(literal == Some(false), |this| this.block(then));
        let otherwise = match otherwise {
            Some(block) => self.unreached(literal == Some(true), |this| this.block(block)),
            None => vec![],
        };
        let condition = self.decided(decision?)?;
        out.push(build::conditional(condition, then, otherwise, span));
        Ok(())
    }

    /// [`Checker::decide`] for what has two sides. Without a decision both are still checked, but for `comptime`, on which
    /// depends which of them has to make sense.
    fn decide_sides(&mut self, condition: &ast::Expr) -> Checked<Checked<Decision>> {
        let is_comptime = matches!(condition.kind, ExprKind::Unary { op: ast::UnaryOp::Comptime, .. });
        match self.decide(condition) {
            Err(stop) if is_comptime => Err(stop),
            decision => Ok(decision),
        }
    }

    /// A condition for the program to look at.
    fn decided(&mut self, decision: Decision) -> Checked<ir::Expr> {
        match decision {
            Decision::Open(value) | Decision::Literal(_, value) => self.truth(value),
            Decision::Taken(holds) => Ok(build::boolean(holds, Span::default())),
        }
    }

    /// An expression whose value nobody takes.
    fn discarded(&mut self, e: &ast::Expr, out: &mut Vec<ir::Stmt>) -> Checked<()> {
        if let ExprKind::Ternary { condition, then, otherwise } = &e.kind {
            return self.discarded_ternary(condition, then.as_deref(), otherwise, e.span, out);
        }
        if let ExprKind::Block(block) = &e.kind {
            let body = self.block(block);
            out.push(build::stmt(StmtKind::Block(body), e.span));
            return Ok(());
        }
        let value = self.expr(e)?;
        let taken = matches!(value.ty(), Type::Void)
            || match &e.kind {
                ExprKind::Step { .. } => true,
                // `delete` tells whether there was something to delete; most do not care.
                ExprKind::Call { name, .. } => name == "delete",
                _ => false,
            };
        if !taken {
            self.report(
                Diagnostic::warning("discarded-value", e.span, "Return value discarded")
                    .help("write \"_ = …\" to say that this is meant"),
            );
        }
        effects(value.expr, out);
        Ok(())
    }

    /// `condition ? print(1) : 0` as a statement: the two sides need not agree.
    fn discarded_ternary(
        &mut self,
        condition: &ast::Expr,
        then: Option<&ast::Expr>,
        otherwise: &ast::Expr,
        span: Span,
        out: &mut Vec<ir::Stmt>,
    ) -> Checked<()> {
        let decision = self.decide_sides(condition)?;
        let arm = |this: &mut Self, e: Option<&ast::Expr>, unreached| -> Checked<Vec<ir::Stmt>> {
            let mut body = vec![];
            if let Some(e) = e {
                let value = this.unreached(unreached, |this| this.expr(e))?;
                effects(value.expr, &mut body);
            }
            Ok(body)
        };
        let literal = match decision {
            Ok(Decision::Taken(holds)) => {
                let side = if holds { then } else { Some(otherwise) };
                out.extend(arm(self, side, false)?);
                return Ok(());
            }
            Ok(Decision::Literal(holds, _)) => Some(holds),
            _ => None,
        };
        let then = arm(self, then, literal == Some(false));
        let otherwise = arm(self, Some(otherwise), literal == Some(true));
        let condition = self.decided(decision?)?;
        out.push(build::conditional(condition, then?, otherwise?, span));
        Ok(())
    }

    fn loop_body(&mut self, body: &ast::Block) -> Vec<ir::Stmt> {
        self.probe.loops += 1;
        let body = self.block(body);
        self.probe.loops -= 1;
        body
    }

    fn leave_loop(&mut self, word: &str, kind: StmtKind, span: Span, out: &mut Vec<ir::Stmt>) -> Checked<()> {
        if self.probe.loops == 0 {
            return self.fail(
                Diagnostic::error("outside-loop", span, format!("{word} statement must be inside a loop"))
                    .help("to leave the probe, write \"return\""),
            );
        }
        out.push(build::stmt(kind, span));
        Ok(())
    }

    fn unroll(
        &mut self,
        count: &ast::Expr,
        body: &ast::Block,
        span: Span,
        out: &mut Vec<ir::Stmt>,
    ) -> Checked<()> {
        let value = self.expr(count)?;
        let Some(rounds) = value.constant() else {
            let found = self.spell(value.ty());
            return self.fail(
                Diagnostic::error("unroll-count", count.span, "invalid unroll value")
                    .note(format!(
                        "the number of rounds must be known before the script runs; this is of type {found}"
                    ))
                    .help("use \"for ($i : 0..n)\" for a number that is only known when the probe fires"),
            );
        };
        if !(1..=MAX_UNROLL).contains(&rounds) {
            let limit = if rounds < 1 { "minimum value is 1" } else { "maximum value is 100" };
            return self.fail(
                Diagnostic::error("unroll-count", count.span, format!("unroll {limit}"))
                    .note(format!("{rounds} was given"))
                    .help(if rounds < 1 {
                        "to run the block not at all, leave it out"
                    } else {
                        "use \"for ($i : 0..n)\" for more rounds"
                    }),
            );
        }
        let outer = self.probe.unrolled.max(1);
        self.probe.unrolled = outer.saturating_mul(rounds.unsigned_abs());
        let within = self.probe.unrolled <= MAX_UNROLLED;
        if within {
            for _ in 0..rounds {
                let body = self.block(body);
                out.push(build::stmt(StmtKind::Block(body), span));
            }
        }
        self.probe.unrolled = outer;
        if within {
            return Ok(());
        }
        self.fail(
            Diagnostic::error(
                "unroll-count",
                span,
                format!("unroll in unroll: more than {MAX_UNROLLED} rounds in all"),
            )
            .help("use \"for ($i : 0..n)\" for the inner one"),
        )
    }

    fn for_range(
        &mut self,
        variable: &str,
        variable_span: Span,
        (start, end): (&ast::Expr, &ast::Expr),
        body: &ast::Block,
        span: Span,
        out: &mut Vec<ir::Stmt>,
    ) -> Checked<()> {
        let (low, high) = (self.range_end(start, "start"), self.range_end(end, "end"));
        let ty = match (&low, &high) {
            (Ok(low), Ok(high)) => range_type(low, high),
            _ => Type::I64,
        };
        let (var, body) = self.scoped(|this| {
            let (var, key) = this.declare(variable, variable_span, true);
            let _ = this.env.widen_variable(key, &ty.clone().into(), variable_span);
            (var, this.loop_body(body))
        });
        let (start, end) = (build::cast(low?.expr, ty.clone()), build::cast(high?.expr, ty));
        out.push(build::stmt(StmtKind::ForRange { var, start, end, body }, span));
        Ok(())
    }

    fn range_end(&mut self, e: &ast::Expr, which: &str) -> Checked<Value> {
        let value = self.expr(e)?;
        match self.number(value) {
            Ok(value) => Ok(value),
            Err(value) => {
                let found = self.spell(value.ty());
                self.fail(
                    Diagnostic::error(
                        "type-mismatch",
                        e.span,
                        format!("Loop range requires an integer for the {which} value"),
                    )
                    .note(format!("this is of type {found}")),
                )
            }
        }
    }

    fn for_map(
        &mut self,
        variable: &str,
        variable_span: Span,
        map: &ast::Expr,
        body: &ast::Block,
        span: Span,
        out: &mut Vec<ir::Stmt>,
    ) -> Checked<()> {
        let ExprKind::Map { name, key: None } = &map.kind else {
            return self.fail(
                Diagnostic::error("type-mismatch", map.span, "for needs a map or a range to go over")
                    .help("write \"for ($kv : @map)\" or \"for ($i : 0..10)\""),
            );
        };
        let instead = format!("print the whole map: print(@{name})");
        self.can_iterate("for", &instead, span)?;
        let entry = self.map_entries(name, map.span);
        let (var, body) = self.scoped(|this| {
            let (var, key) = this.declare(variable, variable_span, true);
            match &entry {
                Ok((_, shape)) => {
                    let _ = this.env.widen_variable(key, shape, variable_span);
                }
                Err(Stop::Reported) => this.env.poison_variable(key),
                Err(Stop::Unresolved) => {}
            }
            (var, this.loop_body(body))
        });
        let (map, _) = entry?;
        out.push(build::stmt(StmtKind::ForMap { var, map, body }, span));
        Ok(())
    }

    /// What `for` gives for each entry of a map: a tuple of key and value.
    fn map_entries(&mut self, name: &str, span: Span) -> Checked<(crate::image::MapId, Shape)> {
        let id = self.whole_map(name, span)?;
        if self.env.map(id).and_then(|m| m.keyed).is_none_or(|(keyed, _)| !keyed) {
            return self.fail(
                Diagnostic::error(
                    "map-without-keys",
                    span,
                    format!("@{name} has one value and no keys to go through"),
                )
                .help(format!("use its value, @{name}, as it is")),
            );
        }
        let key = self.env.key(id)?;
        let value = match self.env.value(id)? {
            Shape { ty: Type::Agg(agg), .. } => match super::shape::readable(&agg) {
                Some(int) => Type::Int(int).into(),
                None => {
                    return self.fail(
                        Diagnostic::error(
                            "aggregation-value",
                            span,
                            format!("Loop expression does not support type: {}", agg.name()),
                        )
                        .note("what it gathers is put together only when it is printed")
                        .help(format!("print the whole map: print(@{name})")),
                    );
                }
            },
            shape => shape,
        };
        let flex = super::shape::Flex::of(vec![key.flex, value.flex]);
        Ok((id, Shape { ty: Type::Tuple(vec![key.ty, value.ty]), flex }))
    }

    fn return_value(&mut self, e: &ast::Expr) -> Checked<ir::Expr> {
        let value = self.expr(e)?;
        match self.number(value) {
            Ok(value) => Ok(build::cast(value.expr, Type::I64)),
            Err(value) => {
                let found = self.spell(value.ty());
                self.error("type-mismatch", e.span, format!("a probe returns an integer, not {found}"))
            }
        }
    }

    /// What decides an `if`: whether the value is not zero.
    pub fn condition(&mut self, e: &ast::Expr) -> Checked<ir::Expr> {
        let value = self.value(e)?;
        self.truth(value)
    }

    /// Whether a value is not zero.
    pub fn truth(&mut self, value: Value) -> Checked<ir::Expr> {
        match value.ty() {
            Type::Bool => Ok(value.expr),
            Type::Int(_) | Type::Enum { .. } | Type::Ptr { .. } | Type::KSym | Type::Username => {
                Ok(build::cast(value.expr, Type::Bool))
            }
            // As the reference does for literals: an empty string is false.
            Type::Str(_) if value.text().is_some() => {
                let full = value.text().is_some_and(|t| !t.is_empty());
                Ok(build::boolean(full, value.expr.span))
            }
            ty => {
                let (found, span) = (self.spell(ty), value.expr.span);
                let mut error =
                    Diagnostic::error("type-mismatch", span, format!("Invalid condition: {found}"))
                        .note("a condition is an integer, a bool or a pointer");
                if matches!(value.ty(), Type::Str(_)) {
                    error = error.help("compare it with another string: … == \"\"");
                }
                self.fail(error)
            }
        }
    }
}

/// What a range counts with: `uint64` where an end needs it and neither has a sign, else `int64`.
fn range_type(start: &Value, end: &Value) -> Type {
    let unsigned = |v: &Value| match v.constant() {
        Some(number) if v.literal => number >= 0,
        _ => v.ty().as_int().is_some_and(|int| !int.signed),
    };
    let needed = |v: &Value| !v.literal && *v.ty() == Type::U64;
    if unsigned(start) && unsigned(end) && (needed(start) || needed(end)) { Type::U64 } else { Type::I64 }
}

/// Whether nothing after this statement is run.
fn leaves(stmt: &ast::StmtKind) -> bool {
    match stmt {
        ast::StmtKind::Return(_) | ast::StmtKind::Break | ast::StmtKind::Continue => true,
        ast::StmtKind::Expr(e) => matches!(&e.kind, ExprKind::Call { name, .. } if name == "exit"),
        ast::StmtKind::Block(block) => block_leaves(block),
        ast::StmtKind::If { then, otherwise: Some(otherwise), .. } => {
            block_leaves(then) && block_leaves(otherwise)
        }
        _ => false,
    }
}

fn block_leaves(block: &ast::Block) -> bool {
    let value = block.value.as_ref();
    block.statements.iter().any(|stmt| leaves(&stmt.kind))
        || value.is_some_and(|e| matches!(&e.kind, ExprKind::Call { name, .. } if name == "exit"))
}

/// The word that a statement begins with.
fn keyword(stmt: Span, word: &str) -> Span {
    Span { end: stmt.start + u32::try_from(word.len()).unwrap_or(0), ..stmt }
}

/// Keeps what an expression does, and drops what it yields.
pub fn effects(e: ir::Expr, out: &mut Vec<ir::Stmt>) {
    match e.kind {
        ir::ExprKind::Block { body, value } => {
            out.extend(body);
            effects(*value, out);
        }
        ir::ExprKind::Cast(inner) | ir::ExprKind::Reinterpret(inner) => effects(*inner, out),
        ir::ExprKind::Const(_) | ir::ExprKind::Bytes(_) | ir::ExprKind::Var(_) | ir::ExprKind::String(_) => {}
        _ => {
            let span = e.span;
            out.push(build::stmt(StmtKind::Expr(e), span));
        }
    }
}
