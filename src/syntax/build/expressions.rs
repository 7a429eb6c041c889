//! Expressions.

use std::collections::HashMap;

use super::{Builder, DeepBlock, DeepExpr, DeepStmt, DeepType, Else, bare};
use crate::diagnostics::Span;
use crate::syntax::ast::{BinaryOp, Block, Expr, ExprKind, Stmt, StmtKind, UnaryOp};
use crate::syntax::build::Deep;
use crate::syntax::literal;

impl Builder<'_> {
    pub fn ternary(
        &mut self,
        l: usize,
        r: usize,
        condition: DeepExpr,
        then: Option<DeepExpr>,
        otherwise: DeepExpr,
    ) -> DeepExpr {
        let below = [condition.depth, then.as_ref().map_or(0, |t| t.depth), otherwise.depth];
        self.expr(l, r, below, || ExprKind::Ternary {
            condition: Box::new(condition.node),
            then: then.map(|t| Box::new(t.node)),
            otherwise: Box::new(otherwise.node),
        })
    }

    pub fn binary(&mut self, l: usize, r: usize, left: DeepExpr, op: BinaryOp, right: DeepExpr) -> DeepExpr {
        self.expr(l, r, [left.depth, right.depth], || ExprKind::Binary {
            op,
            left: Box::new(left.node),
            right: Box::new(right.node),
        })
    }

    pub fn unary(&mut self, l: usize, r: usize, op: UnaryOp, operand: DeepExpr) -> DeepExpr {
        self.expr(l, r, [operand.depth], || ExprKind::Unary { op, operand: Box::new(operand.node) })
    }

    pub fn step(&mut self, l: usize, r: usize, place: DeepExpr, delta: i8, postfix: bool) -> DeepExpr {
        if !matches!(place.node.kind, ExprKind::Variable(_) | ExprKind::Map { .. } | ExprKind::Error) {
            let op = if delta > 0 { "++" } else { "--" };
            self.error("not-assignable", place.node.span, format!("`{op}` needs a variable or a map"))
                .help
                .push("a variable is written `$x`, a map `@x`".into());
            return self.error_expr(l, r);
        }
        self.expr(l, r, [place.depth], || ExprKind::Step { place: Box::new(place.node), delta, postfix })
    }

    pub fn cast(&mut self, l: usize, r: usize, ty: DeepType, operand: DeepExpr) -> DeepExpr {
        self.expr(l, r, [ty.depth, operand.depth], || ExprKind::Cast {
            ty: ty.node,
            operand: Box::new(operand.node),
        })
    }

    /// `@x[a, b]` has one key, a tuple.
    pub fn map(&mut self, l: usize, r: usize, name: &str, keys: Option<Vec<DeepExpr>>) -> DeepExpr {
        let depth = keys.iter().flatten().map(|k| k.depth).max().unwrap_or(0);
        let key = keys.and_then(|mut keys| {
            let first = keys.first()?.node.span;
            let span = keys.last().map_or(first, |last| first.to(last.node.span));
            if keys.len() == 1 {
                return keys.pop().map(|k| Box::new(k.node));
            }
            let items = keys.into_iter().map(|k| k.node).collect();
            Some(Box::new(Expr { kind: ExprKind::Tuple(items), span }))
        });
        self.expr(l, r, [depth], || ExprKind::Map { name: bare(name), key })
    }

    pub fn index(&mut self, l: usize, r: usize, base: DeepExpr, index: DeepExpr) -> DeepExpr {
        self.expr(l, r, [base.depth, index.depth], || ExprKind::Index {
            base: Box::new(base.node),
            index: Box::new(index.node),
        })
    }

    pub fn field(&mut self, l: usize, r: usize, base: DeepExpr, name_l: usize, name: &str) -> DeepExpr {
        let name_span = self.span(name_l, r);
        self.expr(l, r, [base.depth], || ExprKind::Field {
            base: Box::new(base.node),
            name: name.into(),
            name_span,
        })
    }

    pub fn tuple_field(&mut self, l: usize, r: usize, base: DeepExpr, index: &str) -> DeepExpr {
        if matches!(base.node.kind, ExprKind::Int(_)) {
            let span = self.span(l, r);
            self.error("floating-point", span, "there are no floating-point numbers")
                .help
                .push("scale the value: count in thousandths, or in nanoseconds".into());
            return self.error_expr(l, r);
        }
        let Ok(index) = index.parse() else {
            let span = self.span(r.saturating_sub(1), r);
            self.error("bad-index", span, format!("`{index}` does not number an element of a tuple"))
                .help
                .push("elements are numbered from 0: `.0`, `.1`".into());
            return self.error_expr(l, r);
        };
        self.expr(l, r, [base.depth], || ExprKind::TupleField { base: Box::new(base.node), index })
    }

    pub fn call(&mut self, l: usize, r: usize, name: &str, args: Vec<DeepExpr>) -> DeepExpr {
        let name_span = self.span(l, l + 1);
        let depth = args.iter().map(|a| a.depth).max().unwrap_or(0);
        self.expr(l, r, [depth], || ExprKind::Call {
            name: name.into(),
            name_span,
            args: args.into_iter().map(|a| a.node).collect(),
        })
    }

    pub fn type_call(
        &mut self,
        l: usize,
        r: usize,
        name: &str,
        ty: DeepType,
        fields: Vec<String>,
    ) -> DeepExpr {
        let name_span = self.span(l, l + 1);
        self.expr(l, r, [ty.depth], || ExprKind::TypeCall {
            name: name.into(),
            name_span,
            ty: ty.node,
            fields,
        })
    }

    pub fn tuple(&mut self, l: usize, r: usize, items: Vec<DeepExpr>) -> DeepExpr {
        let depth = items.iter().map(|i| i.depth).max().unwrap_or(0);
        self.expr(l, r, [depth], || ExprKind::Tuple(items.into_iter().map(|i| i.node).collect()))
    }

    pub fn record(&mut self, l: usize, r: usize, fields: Vec<(usize, usize, &str, DeepExpr)>) -> DeepExpr {
        let depth = fields.iter().map(|f| f.3.depth).max().unwrap_or(0);
        let mut seen: HashMap<&str, Span> = HashMap::new();
        let mut named = vec![];
        for (name_l, name_r, name, value) in fields {
            let span = self.span(name_l, name_r);
            if let Some(first) = seen.insert(name, span) {
                let label = (first, "it was named here first".to_owned());
                let message = format!("the record has two fields `{name}`");
                self.error("duplicate-field", span, message).labels.push(label);
            }
            named.push((name.to_owned(), value.node));
        }
        self.expr(l, r, [depth], || ExprKind::Record(named))
    }

    pub fn block_expr(
        &mut self,
        l: usize,
        r: usize,
        items: Vec<DeepStmt>,
        last: Option<DeepStmt>,
    ) -> DeepExpr {
        let mut block = self.block(l, r, items, last);
        values(&mut block.node);
        self.expr(l, r, [block.depth], || ExprKind::Block(block.node))
    }

    pub fn if_expr(
        &mut self,
        l: usize,
        r: usize,
        condition: DeepExpr,
        then: DeepBlock,
        otherwise: Option<Else>,
    ) -> DeepExpr {
        let span = self.span(l, r);
        let stmt = self.if_(l, r, condition, then, otherwise);
        match if_value(stmt.node) {
            Ok(node) => Deep { node, depth: stmt.depth },
            Err(_) => {
                self.error("if-without-value", span, "this `if` has no value in every case")
                    .help
                    .push("give it an `else`, and end each block with a value that has no `;`".into());
                self.error_expr(l, r)
            }
        }
    }

    pub fn error_expr(&mut self, l: usize, r: usize) -> DeepExpr {
        self.expr(l, r, [], || ExprKind::Error)
    }

    pub fn int(&mut self, l: usize, r: usize, text: &str) -> DeepExpr {
        match literal::int(text) {
            Ok(value) => self.expr(l, r, [], || ExprKind::Int(value)),
            Err(error) => {
                let span = self.span(l, r);
                self.diagnostics.push(error.diagnostic(span));
                self.error_expr(l, r)
            }
        }
    }

    pub fn string(&mut self, l: usize, r: usize, text: &str) -> DeepExpr {
        let span = self.span(l, r);
        let (bytes, errors) = literal::string(text, span);
        self.diagnostics.extend(errors);
        self.expr(l, r, [], || ExprKind::Str(bytes))
    }

    pub fn name(&mut self, l: usize, r: usize, name: &str) -> DeepExpr {
        self.expr(l, r, [], || match name {
            "true" => ExprKind::Bool(true),
            "false" => ExprKind::Bool(false),
            _ => ExprKind::Name(name.into()),
        })
    }

    pub fn variable(&mut self, l: usize, r: usize, name: &str) -> DeepExpr {
        self.expr(l, r, [], || ExprKind::Variable(bare(name)))
    }

    pub fn positional(&mut self, l: usize, r: usize, text: &str) -> DeepExpr {
        match text.trim_start_matches('$').parse::<u32>() {
            Ok(n) if n > 0 => self.expr(l, r, [], || ExprKind::Positional(n)),
            other => {
                let span = self.span(l, r);
                let error =
                    self.error("bad-parameter", span, format!("`{text}` is not a parameter of the script"));
                error.help.push(match other {
                    Ok(_) => "parameters are numbered from `$1`; how many there are is `$#`".into(),
                    Err(_) => "parameters are numbered `$1`, `$2`, …".into(),
                });
                self.error_expr(l, r)
            }
        }
    }

    pub fn positional_count(&mut self, l: usize, r: usize) -> DeepExpr {
        self.expr(l, r, [], || ExprKind::PositionalCount)
    }
}

/// In a block that is a value, an `if` or a block at its end is the value.
pub fn values(block: &mut Block) {
    if block.value.is_some() {
        return;
    }
    match block.statements.pop() {
        Some(Stmt { kind: StmtKind::Block(mut inner), span }) => {
            values(&mut inner);
            block.value = Some(Box::new(Expr { kind: ExprKind::Block(inner), span }));
        }
        Some(stmt @ Stmt { kind: StmtKind::If { .. }, .. }) => match if_value(stmt) {
            Ok(value) => block.value = Some(Box::new(value)),
            Err(stmt) => block.statements.push(*stmt),
        },
        Some(other) => block.statements.push(other),
        None => {}
    }
}

/// An `if` whose branches all have values, as a conditional expression; or the statement, unchanged in meaning.
fn if_value(stmt: Stmt) -> Result<Expr, Box<Stmt>> {
    let StmtKind::If { condition, mut then, otherwise: Some(mut otherwise) } = stmt.kind else {
        return Err(Box::new(stmt));
    };
    values(&mut then);
    values(&mut otherwise);
    if then.value.is_none() || otherwise.value.is_none() {
        let kind = StmtKind::If { condition, then, otherwise: Some(otherwise) };
        return Err(Box::new(Stmt { kind, span: stmt.span }));
    }
    let block = |b: Block| Box::new(Expr { span: b.span, kind: ExprKind::Block(b) });
    let kind = ExprKind::Ternary {
        condition: Box::new(condition),
        then: Some(block(then)),
        otherwise: block(otherwise),
    };
    Ok(Expr { kind, span: stmt.span })
}
