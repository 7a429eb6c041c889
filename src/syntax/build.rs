//! What the grammar's actions do: make nodes, measure how deep they nest, and report what is wrong with a piece
//! that parsed.

use super::ast::{
    BinaryOp, Block, ConfigEntry, Expr, ExprKind, Range, Stmt, StmtKind, Tag, TypeName, TypeSuffix, UnaryOp,
};
use super::literal;
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
        ty: Option<TypeName>,
        value: Option<DeepExpr>,
    ) -> DeepStmt {
        let (span, name_span) = (self.span(l, r), self.span(name_l, name_r));
        let depth = value.as_ref().map_or(0, |v| v.depth);
        self.stmt(span, [depth], || StmtKind::Let {
            name: bare(name),
            name_span,
            ty,
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

    /// `if (a = 1)` parses, as a record of one field.
    fn condition(&mut self, condition: &Expr) {
        if let ExprKind::Record(fields) = &condition.kind
            && let [(name, _)] = fields.as_slice()
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

    // ---- expressions ----

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

    pub fn cast(&mut self, l: usize, r: usize, ty: TypeName, operand: DeepExpr) -> DeepExpr {
        self.expr(l, r, [operand.depth], || ExprKind::Cast { ty, operand: Box::new(operand.node) })
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
        ty: TypeName,
        fields: Vec<String>,
    ) -> DeepExpr {
        let name_span = self.span(l, l + 1);
        self.expr(l, r, [], || ExprKind::TypeCall { name: name.into(), name_span, ty, fields })
    }

    pub fn tuple(&mut self, l: usize, r: usize, items: Vec<DeepExpr>) -> DeepExpr {
        let depth = items.iter().map(|i| i.depth).max().unwrap_or(0);
        self.expr(l, r, [depth], || ExprKind::Tuple(items.into_iter().map(|i| i.node).collect()))
    }

    pub fn record(&mut self, l: usize, r: usize, fields: Vec<(usize, usize, &str, DeepExpr)>) -> DeepExpr {
        let depth = fields.iter().map(|f| f.3.depth).max().unwrap_or(0);
        let mut seen: Vec<(&str, Span)> = vec![];
        let mut named = vec![];
        for (name_l, name_r, name, value) in fields {
            let span = self.span(name_l, name_r);
            match seen.iter().find(|(n, _)| *n == name) {
                Some((_, first)) => {
                    let label = (*first, "it was named here first".to_owned());
                    let message = format!("the record has two fields `{name}`");
                    self.error("duplicate-field", span, message).labels.push(label);
                }
                None => seen.push((name, span)),
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

    // ---- types ----

    pub fn type_name(
        &mut self,
        l: usize,
        r: usize,
        words: Vec<TypeWord<'_>>,
        suffixes: Vec<TypeSuffix>,
    ) -> TypeName {
        let span = self.span(l, r);
        let mut tag = None;
        let mut names: Vec<&str> = vec![];
        for word in words {
            match word {
                TypeWord::Tag(t) if tag.is_none() && names.is_empty() => tag = Some(t),
                TypeWord::Tag(_) => {
                    self.error("bad-type", span, "this is not a type").help.push(
                        "a type is a name, perhaps after `struct`, `union` or `enum`, then any `*` and `[n]`"
                            .into(),
                    );
                    break;
                }
                // They change nothing about what is read.
                TypeWord::Name("const" | "volatile" | "restrict") => {}
                TypeWord::Name(name) => names.push(name),
            }
        }
        if names.is_empty() {
            self.error("bad-type", span, "the type has no name");
        }
        TypeName { tag, name: names.join(" "), suffixes, span }
    }

    /// `typeof(type)` is that type.
    pub fn typeof_type(
        &mut self,
        l: usize,
        r: usize,
        name: &str,
        mut ty: TypeName,
        suffixes: Vec<TypeSuffix>,
    ) -> TypeName {
        let span = self.span(l, r);
        if name != "typeof" {
            self.error("bad-type", span, format!("`{name}(…)` is not a type"));
        }
        ty.suffixes.extend(suffixes);
        TypeName { span, ..ty }
    }

    pub fn typeof_expr(&mut self, l: usize, r: usize, name: &str) -> TypeName {
        let span = self.span(l, r);
        if name == "typeof" {
            self.unsupported(span, "the type of an expression as a type");
        } else {
            self.error("bad-type", span, format!("`{name}(…)` is not a type"));
        }
        TypeName { tag: None, name: "uint64".into(), suffixes: vec![], span }
    }

    pub fn array_suffix(&mut self, l: usize, r: usize, count: Option<&str>) -> TypeSuffix {
        TypeSuffix::Array(count.map(|text| match literal::int(text) {
            Ok(n) => n,
            Err(error) => {
                let span = self.span(l, r);
                self.diagnostics.push(error.diagnostic(span));
                0
            }
        }))
    }
}

/// A name without its `$` or `@`.
fn bare(name: &str) -> String {
    name.trim_start_matches(['$', '@']).to_owned()
}

/// In a block that is a value, an `if` or a block at its end is the value.
fn values(block: &mut Block) {
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
