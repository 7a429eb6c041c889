//! What the grammar's actions do: make nodes, measure how deep they nest, and report what is wrong with a piece
//! that parsed. Statements are here, the rest in the files below.

mod expressions;
mod types;

pub use expressions::values;

use super::ast::{
    BinaryOp, Block, ConfigEntry, Expr, ExprKind, Range, Stmt, StmtKind, Tag, TypeName, UnaryOp,
};
use super::token::Lexeme;
use crate::diagnostics::{Diagnostic, FileId, Span};

/// How deep a tree may be: every later stage walks it by recursion.
pub const MAX_DEPTH: u16 = 256;

/// A node and the height of the tree below it.
#[derive(Clone, Debug)]
pub struct Deep<T> {
    pub node: T,
    pub depth: u16,
}

pub type DeepExpr = Deep<Expr>;
pub type DeepStmt = Deep<Stmt>;
pub type DeepBlock = Deep<Block>;
pub type DeepType = Deep<TypeName>;

/// What was parsed; the first token says which.
#[derive(Clone, Debug)]
pub enum Parsed {
    Body(Block),
    Expr(DeepExpr),
    Config(Vec<ConfigEntry>),
}

/// What follows `else`.
pub enum Else {
    Block(DeepBlock),
    If(Box<DeepStmt>),
}

/// A word of a type.
#[derive(Clone, Copy)]
pub enum TypeWord<'s> {
    Tag(Tag),
    Name(&'s str),
}

/// Makes the nodes of one parse. Places are indices of tokens.
pub struct Builder<'s> {
    file: FileId,
    tokens: &'s [Lexeme<'s>],
    pub diagnostics: Vec<Diagnostic>,
    too_deep: bool,
}

impl<'s> Builder<'s> {
    pub fn new(file: FileId, tokens: &'s [Lexeme<'s>]) -> Self {
        Builder { file, tokens, diagnostics: vec![], too_deep: false }
    }

    /// The bytes of the tokens from `l` up to, not including, `r`.
    fn span(&self, l: usize, r: usize) -> Span {
        let start = self.tokens.get(l).map_or(0, |t| t.start);
        let end = r.checked_sub(1).filter(|last| *last >= l).and_then(|i| self.tokens.get(i));
        Span::new(self.file, start, end.map_or(start, |t| t.end))
    }

    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.diagnostics.push(Diagnostic::error(code, span, message));
        let last = self.diagnostics.len() - 1;
        &mut self.diagnostics[last]
    }

    fn unsupported(&mut self, span: Span, what: &str) {
        self.error("unsupported", span, format!("{what} is not supported yet"));
    }

    /// The height of a node above others, or `None`, reported once, if that is too much.
    fn above(&mut self, span: Span, below: impl IntoIterator<Item = u16>) -> Option<u16> {
        let depth = below.into_iter().max().unwrap_or(0) + 1;
        if depth <= MAX_DEPTH {
            return Some(depth);
        }
        if !self.too_deep {
            self.too_deep = true;
            self.error("nested-too-deep", span, format!("this nests deeper than {MAX_DEPTH} levels"))
                .help
                .push("keep parts of it in variables".into());
        }
        None
    }

    fn expr(
        &mut self,
        l: usize,
        r: usize,
        below: impl IntoIterator<Item = u16>,
        kind: impl FnOnce() -> ExprKind,
    ) -> DeepExpr {
        let span = self.span(l, r);
        match self.above(span, below) {
            Some(depth) => Deep { node: Expr { kind: kind(), span }, depth },
            None => Deep { node: Expr { kind: ExprKind::Error, span }, depth: 0 },
        }
    }

    fn stmt(
        &mut self,
        span: Span,
        below: impl IntoIterator<Item = u16>,
        kind: impl FnOnce() -> StmtKind,
    ) -> DeepStmt {
        match self.above(span, below) {
            Some(depth) => Deep { node: Stmt { kind: kind(), span }, depth },
            None => Deep { node: Stmt { kind: StmtKind::Error, span }, depth: 0 },
        }
    }

    // ---- statements ----

    pub fn block(&mut self, l: usize, r: usize, items: Vec<DeepStmt>, last: Option<DeepStmt>) -> DeepBlock {
        let span = self.span(l, r);
        let below = items.iter().chain(&last).map(|s| s.depth).max().unwrap_or(0);
        let mut statements: Vec<Stmt> = items.into_iter().map(|s| s.node).collect();
        let value = match last.map(|s| s.node) {
            Some(Stmt { kind: StmtKind::Expr(value), .. }) => Some(Box::new(value)),
            Some(other) => {
                statements.push(other);
                None
            }
            None => None,
        };
        match self.above(span, [below]) {
            Some(depth) => Deep { node: Block { statements, value, span }, depth },
            None => Deep { node: Block { statements: vec![], value: None, span }, depth: 0 },
        }
    }

    pub fn block_stmt(&mut self, block: DeepBlock) -> DeepStmt {
        self.stmt(block.node.span, [block.depth], || StmtKind::Block(block.node))
    }

    pub fn expr_stmt(&mut self, expr: DeepExpr) -> DeepStmt {
        self.stmt(expr.node.span, [expr.depth], || StmtKind::Expr(expr.node))
    }

    pub fn error_stmt(&mut self, l: usize, r: usize) -> DeepStmt {
        let span = self.span(l, r);
        self.stmt(span, [], || StmtKind::Error)
    }

    pub fn unsupported_stmt(&mut self, l: usize, r: usize, what: &str) -> DeepStmt {
        let span = self.span(l, r);
        self.unsupported(span, &format!("`{what}`"));
        self.error_stmt(l, r)
    }

    pub fn assign(
        &mut self,
        l: usize,
        r: usize,
        place: DeepExpr,
        op: Option<BinaryOp>,
        value: DeepExpr,
    ) -> DeepStmt {
        let span = self.span(l, r);
        if op.is_none() && matches!(&place.node.kind, ExprKind::Name(n) if n == "_") {
            return self.stmt(span, [value.depth], || StmtKind::Discard(value.node));
        }
        if !self.assignable(&place.node) {
            return self.error_stmt(l, r);
        }
        self.stmt(span, [place.depth, value.depth], || StmtKind::Assign {
            place: place.node,
            op,
            value: value.node,
        })
    }

    fn assignable(&mut self, place: &Expr) -> bool {
        match &place.kind {
            ExprKind::Variable(_) | ExprKind::Map { .. } | ExprKind::Error => return true,
            ExprKind::Name(name) => {
                let name = name.clone();
                self.error("not-assignable", place.span, format!("`{name}` cannot be assigned to"))
                    .help
                    .push(format!(
                        "a variable of this probe is `${name}`, a map that all probes share is `@{name}`"
                    ));
            }
            ExprKind::Field { .. } | ExprKind::TupleField { .. } | ExprKind::Index { .. } => {
                self.error("not-assignable", place.span, "a part of a value cannot be changed")
                    .help
                    .push("make a new value and assign it as a whole".into());
            }
            ExprKind::Unary { op: UnaryOp::Deref, .. } => {
                self.error("not-assignable", place.span, "the traced program's memory cannot be written")
                    .help
                    .push("assign to a variable, `$x`, or a map, `@x`".into());
            }
            _ => {
                self.error("not-assignable", place.span, "this cannot be assigned to")
                    .help
                    .push("assign to a variable, `$x`, or a map, `@x`".into());
            }
        }
        false
    }

    #[allow(clippy::too_many_arguments)] // the parts of the grammar's rule
    pub fn let_(
        &mut self,
        l: usize,
        r: usize,
        name_l: usize,
        name_r: usize,
        name: &str,
        ty: Option<DeepType>,
        value: Option<DeepExpr>,
    ) -> DeepStmt {
        let (span, name_span) = (self.span(l, r), self.span(name_l, name_r));
        let depth = ty.as_ref().map_or(0, |t| t.depth).max(value.as_ref().map_or(0, |v| v.depth));
        self.stmt(span, [depth], || StmtKind::Let {
            name: bare(name),
            name_span,
            ty: ty.map(|t| t.node),
            value: value.map(|v| v.node),
        })
    }

    pub fn return_(&mut self, l: usize, r: usize, value: Option<DeepExpr>) -> DeepStmt {
        let span = self.span(l, r);
        self.stmt(span, value.as_ref().map(|v| v.depth), || StmtKind::Return(value.map(|v| v.node)))
    }

    pub fn break_(&mut self, l: usize, r: usize) -> DeepStmt {
        let span = self.span(l, r);
        self.stmt(span, [], || StmtKind::Break)
    }

    pub fn continue_(&mut self, l: usize, r: usize) -> DeepStmt {
        let span = self.span(l, r);
        self.stmt(span, [], || StmtKind::Continue)
    }

    /// `if (a = 1)` parses, as a record.
    fn condition(&mut self, condition: &Expr) {
        if let ExprKind::Record(fields) = &condition.kind
            && let Some((name, _)) = fields.first()
        {
            let name = name.clone();
            self.error("assignment-in-condition", condition.span, "`=` does not compare")
                .help
                .push(format!("write `{name} == …`"));
        }
    }

    pub fn if_(
        &mut self,
        l: usize,
        r: usize,
        condition: DeepExpr,
        then: DeepBlock,
        otherwise: Option<Else>,
    ) -> DeepStmt {
        self.condition(&condition.node);
        let span = self.span(l, r);
        let otherwise = otherwise.map(|e| match e {
            Else::Block(block) => block,
            Else::If(stmt) => {
                let span = stmt.node.span;
                let statements = vec![stmt.node];
                Deep { node: Block { statements, value: None, span }, depth: stmt.depth }
            }
        });
        let below = [condition.depth, then.depth, otherwise.as_ref().map_or(0, |b| b.depth)];
        self.stmt(span, below, || StmtKind::If {
            condition: condition.node,
            then: then.node,
            otherwise: otherwise.map(|b| b.node),
        })
    }

    pub fn while_(&mut self, l: usize, r: usize, condition: DeepExpr, body: DeepBlock) -> DeepStmt {
        self.condition(&condition.node);
        let span = self.span(l, r);
        self.stmt(span, [condition.depth, body.depth], || StmtKind::While {
            condition: condition.node,
            body: body.node,
        })
    }

    pub fn unroll(&mut self, l: usize, r: usize, count: DeepExpr, body: DeepBlock) -> DeepStmt {
        let span = self.span(l, r);
        self.stmt(span, [count.depth, body.depth], || StmtKind::Unroll { count: count.node, body: body.node })
    }

    pub fn for_(
        &mut self,
        l: usize,
        r: usize,
        (variable_l, variable_r, variable): (usize, usize, &str),
        over: Deep<Range>,
        body: DeepBlock,
    ) -> DeepStmt {
        let (span, variable_span) = (self.span(l, r), self.span(variable_l, variable_r));
        self.stmt(span, [over.depth, body.depth], || StmtKind::For {
            variable: bare(variable),
            variable_span,
            over: over.node,
            body: body.node,
        })
    }

    pub fn map_range(&mut self, map: DeepExpr) -> Deep<Range> {
        Deep { node: Range::Map(map.node), depth: map.depth }
    }

    pub fn number_range(&mut self, start: DeepExpr, end: DeepExpr) -> Deep<Range> {
        Deep { node: Range::Numbers { start: start.node, end: end.node }, depth: start.depth.max(end.depth) }
    }

    pub fn config_entry(&mut self, l: usize, r: usize, name: &str, value: DeepExpr) -> ConfigEntry {
        ConfigEntry { name: name.into(), value: value.node, span: self.span(l, r) }
    }

    pub fn config_error(&mut self, l: usize, r: usize) -> ConfigEntry {
        let span = self.span(l, r);
        ConfigEntry { name: String::new(), value: Expr { kind: ExprKind::Error, span }, span }
    }
}

/// A name without its `$` or `@`.
fn bare(name: &str) -> String {
    name.trim_start_matches(['$', '@']).to_owned()
}
