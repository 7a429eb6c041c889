//! Looks through a script's syntax before anything is typed: what a probe uses, and which maps there are.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::diagnostics::Span;
use crate::probes::Uses;
use crate::syntax::ast::*;

/// A statement or an expression.
#[derive(Clone, Copy)]
pub enum Node<'a> {
    Stmt(&'a Stmt),
    Expr(&'a Expr),
}

/// Calls `each` for every statement and expression of a block, parents first.
pub fn block<'a>(block: &'a Block, each: &mut dyn FnMut(Node<'a>)) {
    for s in &block.statements {
        stmt(s, each);
    }
    if let Some(value) = &block.value {
        expr(value, each);
    }
}

fn stmt<'a>(s: &'a Stmt, each: &mut dyn FnMut(Node<'a>)) {
    each(Node::Stmt(s));
    match &s.kind {
        StmtKind::Expr(e) | StmtKind::Discard(e) => expr(e, each),
        StmtKind::Assign { place, value, .. } => {
            expr(place, each);
            expr(value, each);
        }
        StmtKind::Let { ty: named, value, .. } => {
            named.iter().for_each(|t| ty(t, each));
            value.iter().for_each(|e| expr(e, each));
        }
        StmtKind::If { condition, then, otherwise } => {
            expr(condition, each);
            block(then, each);
            otherwise.iter().for_each(|b| block(b, each));
        }
        StmtKind::While { condition, body } => {
            expr(condition, each);
            block(body, each);
        }
        StmtKind::Unroll { count, body } => {
            expr(count, each);
            block(body, each);
        }
        StmtKind::For { over, body, .. } => {
            match over {
                Range::Map(map) => expr(map, each),
                Range::Numbers { start, end } => {
                    expr(start, each);
                    expr(end, each);
                }
            }
            block(body, each);
        }
        StmtKind::Return(value) => value.iter().for_each(|e| expr(e, each)),
        StmtKind::Block(b) => block(b, each),
        StmtKind::Break | StmtKind::Continue | StmtKind::Error => {}
    }
}

/// As [`block`], for one expression and what is in it.
pub fn expr<'a>(e: &'a Expr, each: &mut dyn FnMut(Node<'a>)) {
    each(Node::Expr(e));
    match &e.kind {
        ExprKind::Map { key, .. } => key.iter().for_each(|k| expr(k, each)),
        ExprKind::Call { args, .. } | ExprKind::Tuple(args) => args.iter().for_each(|a| expr(a, each)),
        ExprKind::Unary { operand, .. }
        | ExprKind::Step { place: operand, .. }
        | ExprKind::Field { base: operand, .. }
        | ExprKind::TupleField { base: operand, .. } => expr(operand, each),
        ExprKind::Cast { ty: named, operand } => {
            ty(named, each);
            expr(operand, each);
        }
        ExprKind::TypeCall { ty: named, .. } => ty(named, each),
        ExprKind::Binary { left, right, .. } | ExprKind::Index { base: left, index: right } => {
            expr(left, each);
            expr(right, each);
        }
        ExprKind::Ternary { condition, then, otherwise } => {
            expr(condition, each);
            then.iter().for_each(|t| expr(t, each));
            expr(otherwise, each);
        }
        ExprKind::Record(fields) => fields.iter().for_each(|(_, value)| expr(value, each)),
        ExprKind::Block(b) => block(b, each),
        ExprKind::Int(_)
        | ExprKind::Bool(_)
        | ExprKind::Str(_)
        | ExprKind::Name(_)
        | ExprKind::Variable(_)
        | ExprKind::Positional(_)
        | ExprKind::PositionalCount
        | ExprKind::Error => {}
    }
}

fn ty<'a>(named: &'a TypeName, each: &mut dyn FnMut(Node<'a>)) {
    match &named.base {
        TypeBase::Named { .. } => {}
        TypeBase::Of(e) => expr(e, each),
    }
}

/// Everything in a probe.
pub fn probe<'a>(probe: &'a Probe, each: &mut dyn FnMut(Node<'a>)) {
    probe.predicate.iter().for_each(|p| expr(p, each));
    block(&probe.body, each);
}

/// What decides how the probe's attach points are grouped.
pub fn uses(script_probe: &Probe) -> Uses {
    let mut uses = Uses::default();
    probe(script_probe, &mut |node| {
        let e = match node {
            Node::Stmt(Stmt { kind: StmtKind::Let { ty: Some(_), .. }, .. }) => {
                uses.types = true;
                return;
            }
            Node::Stmt(_) => return,
            Node::Expr(e) => e,
        };
        uses.types |= match &e.kind {
            ExprKind::Cast { .. } | ExprKind::TypeCall { .. } => true,
            ExprKind::Name(name) => crate::builtins::find(name).is_none(),
            _ => false,
        };
        if let ExprKind::Name(name) | ExprKind::Call { name, .. } = &e.kind {
            uses.typed |= matches!(name.as_str(), "args" | "retval");
            uses.words |= crate::builtins::numbered(name).is_some();
            uses.name |= name == "probe";
            uses.addresses |= name == "uaddr";
            uses.objects |= name == "skboutput";
            // What may be an argument whose `args.` was forgotten: then the message can say so.
            uses.typed |= matches!(e.kind, ExprKind::Name(_))
                && name.starts_with(|c: char| c.is_ascii_lowercase())
                && crate::builtins::find(name).is_none();
        }
    });
    uses
}

/// A map as its uses show it.
#[derive(Clone, Debug)]
pub struct FoundMap {
    pub name: String,
    /// Whether it is used with keys, and where that was first seen.
    pub keyed: Option<(bool, Span)>,
    /// Whether anything reads or sets a value of it. `print(@x)` alone does not make a map.
    pub accessed: bool,
    /// Whether it is given values with `=`, whose types are its own.
    pub assigned: bool,
    /// It is only named on sides of `comptime`, which may not be taken.
    pub optional: bool,
    /// Where it is first named.
    pub span: Span,
}

/// The maps that are named on sides of `comptime`: what these say of a map counts only where nothing else does.
fn optional(script: &Script) -> HashSet<Span> {
    let mut found = HashSet::new();
    let chooses = |e: &Expr| matches!(e.kind, ExprKind::Unary { op: UnaryOp::Comptime, .. });
    for p in &script.probes {
        probe(p, &mut |node| {
            let mut note = |node: Node<'_>| {
                if let Node::Expr(Expr { kind: ExprKind::Map { .. }, span }) = node {
                    found.insert(*span);
                }
            };
            match node {
                Node::Stmt(Stmt { kind: StmtKind::If { condition, then, otherwise }, .. })
                    if chooses(condition) =>
                {
                    block(then, &mut note);
                    otherwise.iter().for_each(|b| block(b, &mut note));
                }
                Node::Expr(Expr { kind: ExprKind::Ternary { condition, then, otherwise }, .. })
                    if chooses(condition) =>
                {
                    then.iter().for_each(|t| expr(t, &mut note));
                    expr(otherwise, &mut note);
                }
                _ => {}
            }
        });
    }
    found
}

/// The names that may be constants.
pub fn names(script: &Script) -> Vec<String> {
    let mut names = vec![];
    for script_probe in &script.probes {
        probe(script_probe, &mut |node| {
            if let Node::Expr(Expr { kind: ExprKind::Name(name), .. }) = node {
                names.push(name.clone());
            }
        });
    }
    names
}

/// The script's maps in order of first use.
pub fn maps(script: &Script) -> Vec<FoundMap> {
    let optional = optional(script);
    let mut perhaps: HashMap<usize, (bool, Span)> = HashMap::new();
    let mut found: Vec<FoundMap> = vec![];
    let mut index: BTreeMap<&str, usize> = BTreeMap::new();
    // Maps that stand as a whole, and whether that says that they have keys.
    let mut whole: HashMap<Span, Option<bool>> = HashMap::new();
    let mut assigned: HashSet<Span> = HashSet::new();
    for p in &script.probes {
        probe(p, &mut |node| match node {
            Node::Stmt(Stmt { kind: StmtKind::For { over: Range::Map(map), .. }, .. }) => {
                whole.insert(map.span, Some(true));
            }
            Node::Stmt(Stmt { kind: StmtKind::Assign { place, op: None, .. }, .. }) => {
                assigned.insert(place.span);
            }
            Node::Stmt(Stmt { kind: StmtKind::Let { ty: Some(ty), .. }, .. })
            | Node::Expr(Expr { kind: ExprKind::Cast { ty, .. } | ExprKind::TypeCall { ty, .. }, .. }) => {
                if let TypeBase::Of(e) = &ty.base
                    && let ExprKind::Map { key: None, .. } = e.kind
                {
                    whole.insert(e.span, None);
                }
            }
            // `&@x` of a map with keys is the map.
            Node::Expr(Expr { kind: ExprKind::Unary { op: UnaryOp::AddressOf, operand }, .. }) => {
                if let ExprKind::Map { key: None, .. } = operand.kind {
                    whole.insert(operand.span, None);
                }
            }
            Node::Expr(Expr { kind: ExprKind::Call { name, args, .. }, .. }) => {
                if let Some(Expr { kind: ExprKind::Map { key: None, .. }, span }) = args.first() {
                    let keyed = match name.as_str() {
                        "has_key" | "len" | "find" => Some(true),
                        "sizeof"
                        | "typeof"
                        | "typeinfo"
                        | "is_scalar"
                        | "is_integer"
                        | "is_str"
                        | "is_unsigned_integer"
                        | "is_ptr"
                        | "is_array"
                        | "assert_str" => None,
                        "delete" if args.len() > 1 => Some(true),
                        "delete" => Some(false),
                        "print" | "clear" | "zero" => None,
                        _ => return,
                    };
                    whole.insert(*span, keyed);
                }
            }
            Node::Expr(Expr { kind: ExprKind::Map { name, key }, span }) => {
                let n = *index.entry(name).or_insert_with(|| {
                    found.push(FoundMap {
                        name: name.clone(),
                        keyed: None,
                        accessed: false,
                        assigned: false,
                        optional: true,
                        span: *span,
                    });
                    found.len() - 1
                });
                let as_whole = whole.get(span);
                let keyed = match key {
                    Some(_) => Some(true),
                    None => *as_whole.unwrap_or(&Some(false)),
                };
                if let Some(map) = found.get_mut(n) {
                    map.accessed |= as_whole.is_none();
                    map.assigned |= assigned.contains(span);
                    let keyed = keyed.map(|keyed| (keyed, *span));
                    if !optional.contains(span) {
                        map.optional = false;
                        map.keyed = map.keyed.or(keyed);
                    } else if let Some(keyed) = keyed {
                        perhaps.entry(n).or_insert(keyed);
                    }
                }
            }
            Node::Stmt(_) | Node::Expr(_) => {}
        });
    }
    for (n, keyed) in perhaps {
        if let Some(map) = found.get_mut(n) {
            map.keyed = map.keyed.or(Some(keyed));
        }
    }
    found
}
