//! What has to be known of a probe before its code is generated.

use std::collections::BTreeSet;

use super::Settings;
use crate::image::MapId;
use crate::ir::{Expr, ExprKind, Place, PlaceKind, Probe, Stmt, StmtKind, VarId};
use crate::kernel::Feature;

/// Facts of one probe.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Whether there is a loop whose body becomes a function of its own.
    pub(super) outlined: bool,
    /// Whether one of those bodies ends the program.
    pub(super) returns_in_loop: bool,
    /// Variables that some loop uses.
    pub(super) in_loop: BTreeSet<VarId>,
    /// Variables that may be read before they have been set.
    pub(super) uninitialized: BTreeSet<VarId>,
    /// Variables whose address is taken.
    pub(super) addressed: BTreeSet<VarId>,
    /// Maps in which it looks for keys.
    pub(super) searched: BTreeSet<MapId>,
}

impl Facts {
    pub(super) fn of(probe: &Probe, settings: &Settings<'_>) -> Facts {
        let mut walk = Walk {
            facts: Facts::default(),
            has_loop: (settings.has)(Feature::Loop),
            depth: 0,
            assigned: BTreeSet::new(),
        };
        walk.statements(&probe.body);
        walk.facts.searched = maps_of(probe, |expr| match expr {
            ExprKind::MapGet { map, .. }
            | ExprKind::MapHas { map, .. }
            | ExprKind::MapFind { map, .. }
            | ExprKind::MapAdd { map, .. } => Some(*map),
            _ => None,
        });
        walk.facts
    }
}

struct Walk {
    facts: Facts,
    has_loop: bool,
    /// How many loops are around.
    depth: u32,
    /// The variables that are set on every way to here.
    assigned: BTreeSet<VarId>,
}

impl Walk {
    fn statements(&mut self, statements: &[Stmt]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn reads(&mut self, var: VarId) {
        if !self.assigned.contains(&var) {
            self.facts.uninitialized.insert(var);
        }
        self.touches(var);
    }

    fn touches(&mut self, var: VarId) {
        if self.depth > 0 {
            self.facts.in_loop.insert(var);
        }
    }

    fn sets(&mut self, var: VarId) {
        self.assigned.insert(var);
        self.touches(var);
    }

    /// What is set in both ways is set after them.
    fn either(&mut self, then: impl FnOnce(&mut Self), otherwise: impl FnOnce(&mut Self)) {
        let before = self.assigned.clone();
        then(self);
        let after_then = std::mem::replace(&mut self.assigned, before);
        otherwise(self);
        self.assigned = self.assigned.intersection(&after_then).copied().collect();
    }

    fn in_loop(&mut self, outlined: bool, body: impl FnOnce(&mut Self)) {
        self.facts.outlined |= outlined;
        self.depth += 1;
        self.either(body, |_| ());
        self.depth -= 1;
    }

    fn statement(&mut self, statement: &Stmt) {
        match &statement.kind {
            StmtKind::Expr(value) => self.expr(value),
            StmtKind::SetVar { var, value } => {
                self.expr(value);
                self.sets(*var);
            }
            StmtKind::SetMap { key, value, .. } => {
                self.optional(key.as_ref());
                self.expr(value);
            }
            StmtKind::Aggregate { key, value, weight, .. } => {
                self.optional(key.as_ref());
                self.optional(value.as_ref());
                self.optional(weight.as_ref());
            }
            StmtKind::If { condition, then, otherwise } => {
                self.expr(condition);
                self.either(|w| w.statements(then), |w| w.statements(otherwise));
            }
            StmtKind::While { condition, body } => {
                let outlined = self.has_loop;
                self.in_loop(outlined, |w| {
                    w.expr(condition);
                    w.statements(body);
                });
            }
            StmtKind::ForRange { var, start, end, body } => {
                self.expr(start);
                self.expr(end);
                let outlined = self.has_loop;
                self.in_loop(outlined, |w| {
                    w.sets(*var);
                    w.statements(body);
                });
            }
            StmtKind::ForMap { var, body, .. } => self.in_loop(true, |w| {
                w.sets(*var);
                w.statements(body);
            }),
            StmtKind::Return(value) => {
                self.optional(value.as_ref());
                self.facts.returns_in_loop |= self.depth > 0;
            }
            StmtKind::Emit { args, .. } | StmtKind::SeqPrintf { args, .. } => {
                args.iter().for_each(|arg| self.expr(arg));
            }
            StmtKind::SeqWrite(text) => self.expr(text),
            StmtKind::Block(body) => self.statements(body),
            StmtKind::Break | StmtKind::Continue => (),
        }
    }

    fn optional(&mut self, expr: Option<&Expr>) {
        if let Some(expr) = expr {
            self.expr(expr);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Var(var) => self.reads(*var),
            ExprKind::VarAdd { var, delta, .. } => {
                self.expr(delta);
                self.reads(*var);
            }
            // It may stay as it was.
            ExprKind::MapFind { key, var, .. } => {
                self.expr(key);
                self.reads(*var);
            }
            ExprKind::And(a, b) | ExprKind::Or(a, b) => {
                self.expr(a);
                self.either(|w| w.expr(b), |_| ());
            }
            ExprKind::Select { condition, then, otherwise } => {
                self.expr(condition);
                self.either(|w| w.expr(then), |w| w.expr(otherwise));
            }
            ExprKind::Block { body, value } => {
                self.statements(body);
                self.expr(value);
            }
            ExprKind::Load(place) | ExprKind::AddressOf(place) | ExprKind::KernelPath(place) => {
                self.place(place)
            }
            _ => operands(expr, &mut |operand| self.expr(operand)),
        }
    }

    fn place(&mut self, place: &Place) {
        match &place.kind {
            PlaceKind::Deref { pointer, .. } => self.expr(pointer),
            PlaceKind::Context { .. } => (),
            PlaceKind::Field { base, .. } => self.place(base),
            PlaceKind::Index { base, index } => {
                self.place(base);
                self.expr(index);
            }
            PlaceKind::Variable(var) => {
                self.facts.addressed.insert(*var);
                self.reads(*var);
            }
            PlaceKind::MapValue { key, .. } => self.optional(key.as_deref()),
            PlaceKind::Map(_) => (),
            PlaceKind::Part { base, .. } => self.place(base),
        }
    }
}

/// Calls `visit` with each direct operand of an expression, but for those of the statements in a block.
pub(super) fn operands<'e>(expr: &'e Expr, visit: &mut dyn FnMut(&'e Expr)) {
    match &expr.kind {
        ExprKind::Const(_)
        | ExprKind::Bytes(_)
        | ExprKind::Var(_)
        | ExprKind::MapLen(_)
        | ExprKind::ContextPointer
        | ExprKind::TaskIds
        | ExprKind::Global(_)
        | ExprKind::Stack
        | ExprKind::String(_)
        | ExprKind::ProbeName => (),
        ExprKind::TaskName { tid, .. } => visit(tid),
        ExprKind::ProbeText(number) => visit(number),
        ExprKind::PerCpu { cpu, .. } => cpu.iter().for_each(|e| visit(e)),
        ExprKind::MapGet { key, .. } | ExprKind::MapDelete { key, .. } => key.iter().for_each(|k| visit(k)),
        ExprKind::MapHas { key, .. } | ExprKind::MapFind { key, .. } => visit(key),
        ExprKind::MapAdd { key, delta, .. } => {
            key.iter().for_each(|k| visit(k));
            visit(delta);
        }
        ExprKind::VarAdd { delta, .. } => visit(delta),
        ExprKind::Load(place) | ExprKind::AddressOf(place) | ExprKind::KernelPath(place) => {
            place_operands(place, visit);
        }
        ExprKind::SkbOutput { packet, length, head, .. } => {
            visit(packet);
            visit(length);
            head.iter().for_each(visit);
        }
        ExprKind::Helper { args, .. }
        | ExprKind::Call { args, .. }
        | ExprKind::Kfunc { args, .. }
        | ExprKind::Fill { args, .. } => args.iter().for_each(visit),
        ExprKind::ReadString { address, len, .. } => {
            visit(address);
            len.iter().for_each(|l| visit(l));
        }
        ExprKind::ReadBuffer { address, len, .. } => {
            visit(address);
            visit(len);
        }
        ExprKind::Pack(parts) => parts.iter().for_each(|(_, part)| visit(part)),
        ExprKind::Reinterpret(operand) | ExprKind::Cast(operand) | ExprKind::Unary { operand, .. } => {
            visit(operand);
        }
        ExprKind::Binary { left, right, .. }
        | ExprKind::StringEqual { left, right, .. }
        | ExprKind::BytesEqual { left, right, .. }
        | ExprKind::StringFind { haystack: left, needle: right }
        | ExprKind::StringConcat(left, right)
        | ExprKind::And(left, right)
        | ExprKind::Or(left, right) => {
            visit(left);
            visit(right);
        }
        ExprKind::Select { condition, then, otherwise } => {
            visit(condition);
            visit(then);
            visit(otherwise);
        }
        ExprKind::BytesOrder { left, right, count } => {
            visit(left);
            visit(right);
            visit(count);
        }
        ExprKind::StringLength(text) => visit(text),
        ExprKind::Name { number, .. } => visit(number),
        ExprKind::Block { value, .. } => visit(value),
        ExprKind::Part { base, .. } => visit(base),
        ExprKind::Element { base, index } => {
            visit(base);
            visit(index);
        }
    }
}

fn place_operands<'e>(place: &'e Place, visit: &mut dyn FnMut(&'e Expr)) {
    match &place.kind {
        PlaceKind::Deref { pointer, .. } => visit(pointer),
        PlaceKind::Context { .. } => (),
        PlaceKind::Field { base, .. } => place_operands(base, visit),
        PlaceKind::Index { base, index } => {
            place_operands(base, visit);
            visit(index);
        }
        PlaceKind::Variable(_) | PlaceKind::Map(_) => (),
        PlaceKind::MapValue { key, .. } => key.iter().for_each(|k| visit(k)),
        PlaceKind::Part { base, .. } => place_operands(base, visit),
    }
}

/// Whether evaluating an expression may change something, or leave.
pub(super) fn has_effects(expr: &Expr) -> bool {
    let own = match expr.kind {
        ExprKind::MapAdd { .. }
        | ExprKind::VarAdd { .. }
        | ExprKind::MapFind { .. }
        | ExprKind::MapDelete { .. }
        | ExprKind::SkbOutput { .. }
        | ExprKind::Call { .. }
        | ExprKind::Block { .. }
        // It leaves where a pointer on the way is null.
        | ExprKind::KernelPath(_) => true,
        ExprKind::Const(..)
        | ExprKind::Bytes(..)
        | ExprKind::Var(..)
        | ExprKind::MapGet { .. }
        | ExprKind::MapHas { .. }
        | ExprKind::MapLen(..)
        | ExprKind::Load(..)
        | ExprKind::AddressOf(..)
        | ExprKind::ContextPointer
        | ExprKind::TaskIds
        | ExprKind::PerCpu { .. }
        | ExprKind::Helper { .. }
        | ExprKind::Kfunc { .. }
        | ExprKind::Fill { .. }
        | ExprKind::Global(..)
        | ExprKind::ReadString { .. }
        | ExprKind::TaskName { .. }
        | ExprKind::ReadBuffer { .. }
        | ExprKind::Pack(..)
        | ExprKind::Stack
        | ExprKind::Reinterpret(..)
        | ExprKind::Cast(..)
        | ExprKind::Unary { .. }
        | ExprKind::Binary { .. }
        | ExprKind::StringEqual { .. }
        | ExprKind::BytesEqual { .. }
        | ExprKind::BytesOrder { .. }
        | ExprKind::StringLength(..)
        | ExprKind::StringFind { .. }
        | ExprKind::StringConcat(..)
        | ExprKind::Name { .. }
        | ExprKind::And(..)
        | ExprKind::Or(..)
        | ExprKind::Select { .. }
        | ExprKind::ProbeName
        | ExprKind::ProbeText(..)
        | ExprKind::String(..)
        | ExprKind::Part { .. }
        | ExprKind::Element { .. } => false,
    };
    let mut found = own;
    if !own {
        operands(expr, &mut |operand| found |= has_effects(operand));
    }
    found
}

/// Calls `visit` with every statement of a body, nested ones too.
fn each_statement<'e>(body: &'e [Stmt], visit: &mut dyn FnMut(&'e Stmt)) {
    for statement in body {
        visit(statement);
        match &statement.kind {
            StmtKind::If { then, otherwise, .. } => {
                each_statement(then, visit);
                each_statement(otherwise, visit);
            }
            StmtKind::While { body, .. }
            | StmtKind::ForRange { body, .. }
            | StmtKind::ForMap { body, .. }
            | StmtKind::Block(body) => each_statement(body, visit),
            _ => (),
        }
        statement_operands(statement, &mut |expr| each_statement_within(expr, visit));
    }
}

/// The statements of the blocks in an expression.
fn each_statement_within<'e>(expr: &'e Expr, visit: &mut dyn FnMut(&'e Stmt)) {
    if let ExprKind::Block { body, .. } = &expr.kind {
        each_statement(body, visit);
    }
    operands(expr, &mut |operand| each_statement_within(operand, visit));
}

/// Calls `visit` with each expression that is directly in a statement.
pub(super) fn statement_operands<'e>(statement: &'e Stmt, visit: &mut dyn FnMut(&'e Expr)) {
    match &statement.kind {
        StmtKind::Expr(e)
        | StmtKind::SetVar { value: e, .. }
        | StmtKind::Return(Some(e))
        | StmtKind::SeqWrite(e) => visit(e),
        StmtKind::SetMap { key, value, .. } => {
            key.iter().for_each(&mut *visit);
            visit(value);
        }
        StmtKind::Aggregate { key, value, weight, .. } => {
            [key, value, weight].into_iter().flatten().for_each(visit);
        }
        StmtKind::If { condition, .. } | StmtKind::While { condition, .. } => visit(condition),
        StmtKind::ForRange { start, end, .. } => {
            visit(start);
            visit(end);
        }
        StmtKind::Emit { args, .. } | StmtKind::SeqPrintf { args, .. } => args.iter().for_each(visit),
        StmtKind::ForMap { .. }
        | StmtKind::Block(_)
        | StmtKind::Break
        | StmtKind::Continue
        | StmtKind::Return(None) => (),
    }
}

/// The maps that a program gathers in.
pub(super) fn gathers(probe: &Probe) -> BTreeSet<MapId> {
    let mut maps = BTreeSet::new();
    each_statement(&probe.body, &mut |statement| {
        if let StmtKind::Aggregate { map, .. } = &statement.kind {
            maps.insert(*map);
        }
    });
    maps
}

/// The maps that a program deletes keys from.
pub(super) fn empties(probe: &Probe) -> BTreeSet<MapId> {
    maps_of(probe, |expr| match expr {
        ExprKind::MapDelete { map, key: Some(_) } => Some(*map),
        _ => None,
    })
}

/// The maps that `which` finds in a program's expressions.
fn maps_of(probe: &Probe, which: impl Fn(&ExprKind) -> Option<MapId>) -> BTreeSet<MapId> {
    fn within(expr: &Expr, visit: &mut dyn FnMut(&ExprKind)) {
        visit(&expr.kind);
        operands(expr, &mut |operand| within(operand, visit));
    }
    let mut maps = BTreeSet::new();
    each_statement(&probe.body, &mut |statement| {
        statement_operands(statement, &mut |expr| within(expr, &mut |kind| maps.extend(which(kind))));
    });
    maps
}

/// Whether an expression reads a variable; a block of statements may read any.
pub(super) fn mentions(expr: &Expr, var: VarId) -> bool {
    let mut found = match &expr.kind {
        ExprKind::Var(v) | ExprKind::VarAdd { var: v, .. } | ExprKind::MapFind { var: v, .. } => *v == var,
        ExprKind::Block { .. } => true,
        _ => false,
    };
    if !found {
        operands(expr, &mut |operand| found |= mentions(operand, var));
    }
    found
}
