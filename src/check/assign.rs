//! Assignments: `=`, `+=` and the like, `++` and `--`, `let`.

use super::env::{Mismatch, VariableKey};
use super::operators::{arithmetic_type, negate};
use super::place::in_size_of_array;
use super::shape::{Shape, Value, readable};
use super::{Checked, Checker, Stop, build};
use crate::builtins;
use crate::diagnostics::{Diagnostic, Span};
use crate::image::MapId;
use crate::ir::{self, ExprKind as Ir, StmtKind, VarId};
use crate::syntax::ast::{self, BinaryOp, ExprKind};
use crate::types::{Agg, Type};

impl Checker<'_, '_> {
    /// `place = value`, `place op= value`
    pub fn assign(
        &mut self,
        place: &ast::Expr,
        op: Option<BinaryOp>,
        value: &ast::Expr,
        span: Span,
        out: &mut Vec<ir::Stmt>,
    ) -> Checked<()> {
        match &place.kind {
            ExprKind::Variable(name) => self.assign_variable(name, op, value, (place.span, span), out),
            ExprKind::Map { name, key } => {
                let key = key.as_deref();
                match op {
                    None => self.assign_map(name, key, value, (place.span, span), out),
                    Some(op) => self.update_map(name, key, op, value, (place.span, span), out),
                }
            }
            ExprKind::Error => Err(Stop::Reported),
            // The grammar lets nothing else stand here.
            _ => self.error("not-assignable", place.span, "Only a variable or a map can be assigned to"),
        }
    }

    fn assign_variable(
        &mut self,
        name: &str,
        op: Option<BinaryOp>,
        value: &ast::Expr,
        (place, span): (Span, Span),
        out: &mut Vec<ir::Stmt>,
    ) -> Checked<()> {
        let value = match op {
            None => self.expr(value),
            Some(op) => {
                let (left, right) = (self.read_variable(name, place), self.value(value));
                left.and_then(|left| self.binary(op, left, right?, span))
            }
        };
        let (id, key) = self.assigned_variable(name, place);
        let set = value.and_then(|value| self.set_variable(name, (id, key), value, span));
        match set {
            Ok(stmt) => {
                out.push(stmt);
                Ok(())
            }
            Err(stop) => {
                if stop == Stop::Reported {
                    self.env.poison_variable(key);
                }
                Err(stop)
            }
        }
    }

    /// The statement that gives a variable a value, which widens the variable's type.
    fn set_variable(
        &mut self,
        name: &str,
        (var, key): (VarId, VariableKey),
        value: Value,
        span: Span,
    ) -> Checked<ir::Stmt> {
        let shape = value.shape();
        if shape.ty == Type::Void {
            return self.error("no-value", span, "Value 'void' cannot be assigned to a scratch variable.");
        }
        self.host.types.close(&shape.ty);
        if let Err(mismatch) = self.env.widen_variable(key, &shape, span) {
            return self.variable_mismatch(name, &shape.ty, mismatch, span);
        }
        let have = self.env.variable(key)?.ty;
        let literal = value.constant().filter(|_| value.literal);
        match self.convert(value, &have) {
            Some(value) => Ok(build::stmt(StmtKind::SetVar { var, value }, span)),
            None => match literal {
                Some(number) => self.literal_range(number, &have, span),
                None => {
                    let set_at = (key.1.start != span.start).then_some(key.1);
                    self.variable_mismatch(name, &shape.ty, Mismatch { have, set_at }, span)
                }
            },
        }
    }

    fn variable_mismatch<T>(&mut self, name: &str, ty: &Type, mismatch: Mismatch, span: Span) -> Checked<T> {
        let what = format!("${name}");
        self.assign_mismatch(&what, "variable", ty, mismatch, span)
    }

    /// A literal that its place cannot hold.
    fn literal_range<T>(&mut self, number: i128, have: &Type, span: Span) -> Checked<T> {
        let spelled = self.spell(have);
        let mut error =
            Diagnostic::error("literal-range", span, format!("{number} is outside the range of {spelled}"));
        if let Some(int) = have.as_int() {
            let bits = u32::from(int.size) * 8 - u32::from(int.signed);
            let (low, high) = if int.signed { (-(1i128 << bits), 1i128 << bits) } else { (0, 1i128 << bits) };
            error = error.note(format!("it goes from {low} to {}", high - 1));
        }
        self.fail(error.help(format!("to keep only its lowest bits, write the cast: ({spelled}){number}")))
    }

    fn assign_mismatch<T>(
        &mut self,
        what: &str,
        kind: &str,
        ty: &Type,
        Mismatch { have, set_at }: Mismatch,
        span: Span,
    ) -> Checked<T> {
        let (found, expected) = (self.spell(ty), self.spell(&have));
        let mut error = Diagnostic::error(
            "type-mismatch",
            span,
            format!(
                "Type mismatch for {what}: trying to assign value of type '{found}' when {kind} already has a type '{expected}'"
            ),
        );
        let of = |ty: &Type| match ty {
            Type::Agg(agg) => agg.parameters(),
            _ => None,
        };
        if let Some(first) = set_at {
            let before = of(&have).map_or(expected.clone(), |more| format!("{expected} {more}"));
            error = error.label(first, format!("{before} here"));
        }
        error = match (ty, &have) {
            (Type::Agg(new), Type::Agg(old)) if new.name() == old.name() => match new.parameters() {
                Some(more) => error
                    .note(format!("this {found} is {more}"))
                    .help(format!("all {}() of one map have the same numbers: use another map", new.name())),
                None => error.help(format!("{what} gathers numbers of one sign: cast the value")),
            },
            (Type::Int(_), Type::Int(_)) => error.help(format!("cast the value: ({expected})…")),
            (Type::Str(_), Type::Int(_)) => error.help(format!("use another {kind} for strings")),
            (Type::Int(crate::types::Int { size: 8, .. }) | Type::Ptr { .. }, Type::Str(_)) => {
                error.help("read the string that it points to with str(…)")
            }
            (_, Type::Agg(agg)) => {
                error.help(format!("{what} gathers with {}(): use another map for plain values", agg.name()))
            }
            (Type::Ptr { .. }, Type::Ptr { .. }) => error.help(format!("cast the value: ({expected})…")),
            _ => error,
        };
        self.fail(error)
    }

    /// `@x = value`, `@x[key] = count()`
    fn assign_map(
        &mut self,
        name: &str,
        key: Option<&ast::Expr>,
        value: &ast::Expr,
        (place, span): (Span, Span),
        out: &mut Vec<ir::Stmt>,
    ) -> Checked<()> {
        if let ExprKind::Call { name: function, name_span, args } = &value.kind
            && let Some(builtin) = builtins::find(function)
            && builtin.gathers()
        {
            let aggregation = self.aggregation(builtin, function, *name_span, args, value.span);
            if let Ok(aggregation) = &aggregation {
                self.learn_value(name, &Type::Agg(aggregation.agg).into(), span);
            }
            let (map, key) = self.map_access(name, key, place)?;
            let stmt = aggregation.and_then(|a| self.aggregate(map, key, a, span));
            return self.set_map(map, stmt, out);
        }
        if let ExprKind::Block(block) = &value.kind
            && let Some(last) = block.value.as_deref().filter(|last| gathers(last))
        {
            let body = self.scoped(|this| {
                let mut body = vec![];
                this.statements(&block.statements, &mut body);
                this.assign_map(name, key, last, (place, span), &mut body)?;
                Ok(body)
            })?;
            out.push(build::stmt(StmtKind::Block(body), span));
            return Ok(());
        }
        let whole = matches!(value.kind, ExprKind::Map { .. });
        let value = self.expr(value);
        // With a cast it is a number like any other.
        let copied = value.as_ref().ok().filter(|_| whole).and_then(|value| self.read_aggregation(value));
        if let Ok(value) = &value
            && *value.ty() != Type::Void
            && copied.is_none()
        {
            self.learn_value(name, &value.shape(), span);
        }
        let (map, key) = self.map_access(name, key, place)?;
        let stmt = value.and_then(|value| {
            let known = self.env.map(map).and_then(|m| m.value.shape.as_ref());
            if let Some(agg) = copied
                && !known.is_some_and(|s| matches!(s.ty, Type::Int(_)))
            {
                let name = self.map_name(map);
                return self.copied_aggregation(&name, &agg, span);
            }
            let value = self.map_assignment(map, value, span)?;
            Ok(build::stmt(StmtKind::SetMap { map, key, value }, span))
        });
        self.set_map(map, stmt, out)
    }

    /// What a map holds is known as soon as its value's type is, even where that of its key is not yet. If the two do
    /// not agree, the assignment itself says so.
    fn learn_value(&mut self, name: &str, shape: &Shape, span: Span) {
        if let Some(map) = self.env.map_id(name) {
            let _ = self.env.widen_value(map, shape, span);
        }
    }

    /// Puts an assignment in place, or remembers that there was an error with it.
    fn set_map(&mut self, map: MapId, stmt: Checked<ir::Stmt>, out: &mut Vec<ir::Stmt>) -> Checked<()> {
        match stmt {
            Ok(stmt) => out.push(stmt),
            Err(stop) => {
                if stop == Stop::Reported {
                    self.env.poison_value(map);
                }
                return Err(stop);
            }
        }
        Ok(())
    }

    /// A value on its way into a map, which widens the map's type.
    fn map_assignment(&mut self, map: MapId, value: Value, span: Span) -> Checked<ir::Expr> {
        let shape = value.shape();
        let name = self.map_name(map);
        if shape.ty == Type::Void {
            let found = self.spell(&shape.ty);
            return self.error("no-value", span, format!("Value '{found}' cannot be assigned to a map."));
        }
        self.host.types.close(&shape.ty);
        if let Err(mismatch) = self.env.widen_value(map, &shape, span) {
            return self.assign_mismatch(&name, "map", &shape.ty, mismatch, span);
        }
        let have = self.env.value(map)?.ty;
        match self.convert(value, &have) {
            Some(value) => Ok(value),
            None => {
                let set_at = self.env.map(map).and_then(|m| m.value.set_at).filter(|at| *at != span);
                self.assign_mismatch(&name, "map", &shape.ty, Mismatch { have, set_at }, span)
            }
        }
    }

    /// The aggregation that a value is read from.
    fn read_aggregation(&self, value: &Value) -> Option<(MapId, Agg)> {
        let Ir::MapGet { map, .. } = value.expr.kind else { return None };
        match self.env.map(map)?.value.shape.as_ref()?.ty {
            Type::Agg(agg) => Some((map, agg)),
            _ => None,
        }
    }

    fn copied_aggregation<T>(&mut self, to: &str, from: &(MapId, Agg), span: Span) -> Checked<T> {
        let (map, agg) = from;
        let (source, function) = (self.map_name(*map), agg.name());
        self.fail(
            Diagnostic::error(
                "aggregation-value",
                span,
                format!("what {function}() has gathered stays in its map"),
            )
            .note(format!("{source} is kept per CPU and added up when it is read"))
            .help(format!("for its value now, write the cast: {to} = (int64){source}"))
            .help(format!("to gather the same twice, call it twice: {to} = {function}(…)")),
        )
    }

    /// The statement for `@x = count()` and the like.
    fn aggregate(
        &mut self,
        map: MapId,
        key: Option<ir::Expr>,
        aggregation: builtins::Aggregation,
        span: Span,
    ) -> Checked<ir::Stmt> {
        let builtins::Aggregation { agg, value, weight } = aggregation;
        let ty = Type::Agg(agg);
        if let Err(mismatch) = self.env.widen_value(map, &ty.clone().into(), span) {
            let name = self.map_name(map);
            return self.assign_mismatch(&name, "map", &ty, mismatch, span);
        }
        if let (Agg::TSeries { intervals, .. }, Some(_)) = (agg, &key)
            && intervals > builtins::MAX_KEYED_INTERVALS
        {
            let most = builtins::MAX_KEYED_INTERVALS;
            let name = self.map_name(map);
            return self.fail(
                Diagnostic::error(
                    "argument-range",
                    span,
                    format!(
                        "tseries() num_intervals must be <= {most} for a map with keys ({intervals} provided)"
                    ),
                )
                .note(format!("without keys {name} could have more")),
            );
        }
        if let (Agg::Min { signed: false } | Agg::Max { signed: false }, Some(value)) = (agg, &value)
            && let Ok(Type::Agg(Agg::Min { signed: true } | Agg::Max { signed: true })) =
                self.env.value(map).map(|shape| shape.ty.clone())
            && exceeds_signed(value)
        {
            let name = self.map_name(map);
            self.report(
                Diagnostic::warning(
                    "sign-mismatch",
                    span,
                    format!("uint64 is compared with the int64 of {name}"),
                )
                .note("all are taken as int64, so numbers from 2^63 on count as negative")
                .help("cast one to the type of the others"),
            );
        }
        Ok(build::stmt(StmtKind::Aggregate { map, key, value, weight }, span))
    }

    /// `@x += value`
    fn update_map(
        &mut self,
        name: &str,
        key: Option<&ast::Expr>,
        op: BinaryOp,
        value: &ast::Expr,
        (place, span): (Span, Span),
        out: &mut Vec<ir::Stmt>,
    ) -> Checked<()> {
        let value = self.value(value);
        let (map, key) = self.map_access(name, key, place)?;
        let stmt = value.and_then(|value| self.updated_map(map, key, op, value, (place, span), out));
        self.set_map(map, stmt, out)
    }

    fn updated_map(
        &mut self,
        map: MapId,
        key: Option<ir::Expr>,
        op: BinaryOp,
        value: Value,
        (place, span): (Span, Span),
        out: &mut Vec<ir::Stmt>,
    ) -> Checked<ir::Stmt> {
        self.plain_value(map, span)?;
        let mut value = value;
        if matches!(op, BinaryOp::Add | BinaryOp::Sub)
            && let Type::Int(_) = self.env.value(map)?.ty
        {
            value = match self.number(value) {
                Ok(value) => {
                    let have = self.map_value(map, None, place)?;
                    let ty = arithmetic_type(op, &have, &value);
                    let ty = self.widen_counter(map, ty, span)?;
                    let delta = if op == BinaryOp::Sub { negate(value.expr) } else { value.expr };
                    let add = self.map_add(map, key, build::cast(delta, ty.clone()), false, ty, span);
                    return Ok(build::stmt(StmtKind::Expr(add), span));
                }
                Err(value) => value,
            };
        }
        // The key is needed twice.
        let key = key.map(|key| match key.kind {
            Ir::Const(_) | Ir::Var(_) | Ir::Bytes(_) => key,
            _ => {
                let (set, key) = self.keep(key);
                out.push(set);
                key
            }
        });
        let old = self.map_value(map, key.clone(), place)?;
        let value = self.binary(op, old, value, span)?;
        let value = self.map_assignment(map, value, span)?;
        Ok(build::stmt(StmtKind::SetMap { map, key, value }, span))
    }

    /// Widens an integer map that is counted up to what the sum needs.
    fn widen_counter(&mut self, map: MapId, ty: Type, span: Span) -> Checked<Type> {
        if let Err(mismatch) = self.env.widen_value(map, &ty.clone().into(), span) {
            let name = self.map_name(map);
            return self.assign_mismatch(&name, "map", &ty, mismatch, span);
        }
        Ok(self.env.value(map)?.ty)
    }

    fn map_add(
        &mut self,
        map: MapId,
        key: Option<ir::Expr>,
        delta: ir::Expr,
        old: bool,
        ty: Type,
        span: Span,
    ) -> ir::Expr {
        let kind = Ir::MapAdd { map, key: key.map(Box::new), delta: Box::new(delta), old };
        build::expr(kind, ty, span)
    }

    /// Refuses to change a map that gathers.
    fn plain_value(&mut self, map: MapId, span: Span) -> Checked<()> {
        let Type::Agg(agg) = self.env.value(map)?.ty else { return Ok(()) };
        let name = self.map_name(map);
        let have = Type::Agg(agg);
        let set_at = self.env.map(map).and_then(|m| m.value.set_at);
        let ty = readable(&agg).map_or(Type::I64, Type::Int);
        self.assign_mismatch(&name, "map", &ty, Mismatch { have, set_at }, span)
    }

    /// `find(@x, key, $variable)`
    pub fn find_in_map(
        &mut self,
        map: MapId,
        key: ir::Expr,
        (name, place): (&str, Span),
        span: Span,
    ) -> Checked<Value> {
        let variable = self.assigned_variable(name, place);
        let (set_key, key) = self.keep(key);
        let value = self.map_value(map, Some(key.clone()), place)?;
        let stored = self.map_type(map)?;
        let set = self.set_variable(name, variable, value, place)?;
        let boxed = Box::new(key);
        if self.env.variable(variable.1)?.ty == stored {
            let found = Ir::MapFind { map, key: boxed, var: variable.0 };
            let found = build::expr(found, Type::Bool, span);
            return Ok(Value::new(super::convert::after(vec![set_key], found)));
        }
        // The variable is wider, or the value is put together when it is read.
        let has = build::expr(Ir::MapHas { map, key: boxed }, Type::Bool, span);
        let (set_found, found) = self.keep(has);
        let set = build::conditional(found.clone(), vec![set], vec![], span);
        Ok(Value::new(super::convert::after(vec![set_key, set_found, set], found)))
    }

    /// `x++`, `--x`
    pub fn step(&mut self, place: &ast::Expr, delta: i8, postfix: bool, span: Span) -> Checked<Value> {
        match &place.kind {
            ExprKind::Variable(name) => self.step_variable(name, delta, postfix, (place.span, span)),
            ExprKind::Map { name, key } => {
                let (map, key) = self.map_access(name, key.as_deref(), place.span)?;
                self.step_map(map, key, delta, postfix, (place.span, span))
            }
            ExprKind::Error => Err(Stop::Reported),
            _ => {
                let symbol = step_symbol(delta);
                let message = format!("{symbol} changes a variable or a map, and this is neither");
                self.error("not-assignable", place.span, message)
            }
        }
    }

    fn step_variable(
        &mut self,
        name: &str,
        delta: i8,
        old: bool,
        (place, span): (Span, Span),
    ) -> Checked<Value> {
        let (var, key) = self.variable(name, place)?;
        let have = self.env.variable(key)?;
        let (ty, delta) = match self.step_by(&have.ty, delta, span) {
            Some(step) => step,
            None => return self.not_steppable(&have.ty, delta, span),
        };
        if let Type::Int(_) = ty {
            let _ = self.env.widen_variable(key, &ty.clone().into(), span);
        }
        let ty = self.env.variable(key)?.ty;
        let delta = Box::new(build::cast(delta, ty.clone()));
        Ok(Value::new(build::expr(Ir::VarAdd { var, delta, old }, ty, span)))
    }

    fn step_map(
        &mut self,
        map: MapId,
        key: Option<ir::Expr>,
        delta: i8,
        old: bool,
        (_, span): (Span, Span),
    ) -> Checked<Value> {
        self.plain_value(map, span)?;
        let have = self.env.value(map)?;
        let (ty, delta) = match self.step_by(&have.ty, delta, span) {
            Some(step) => step,
            None => return self.not_steppable(&have.ty, delta, span),
        };
        let ty = self.widen_counter(map, ty, span)?;
        let delta = build::cast(delta, ty.clone());
        Ok(Value::new(self.map_add(map, key, delta, old, ty, span)))
    }

    /// The type after one step, and how far that goes.
    fn step_by(&mut self, ty: &Type, delta: i8, span: Span) -> Option<(Type, ir::Expr)> {
        let one = build::signed(i64::from(delta), Type::I64, span);
        match ty {
            // Going down may go below zero.
            Type::Int(int) if int.signed || delta < 0 => Some((Type::I64, one)),
            Type::Int(_) => Some((Type::U64, one)),
            Type::Ptr { to, .. } => {
                if let Type::Struct(id) = **to {
                    self.host.types.structure(id);
                }
                let size = crate::types::layout::size_of(to, self.host.types.layouts()).max(1);
                Some((ty.clone(), build::signed(i64::from(size) * i64::from(delta), Type::I64, span)))
            }
            _ => None,
        }
    }

    fn not_steppable<T>(&mut self, ty: &Type, delta: i8, span: Span) -> Checked<T> {
        let (symbol, found) = (step_symbol(delta), self.spell(ty));
        self.error("invalid-operator", span, format!("{symbol} has no meaning for {found}"))
    }

    /// `let $x`, `let $x: type`, `let $x = value`
    pub fn let_variable(
        &mut self,
        name: &str,
        name_span: Span,
        ty: Option<&ast::TypeName>,
        value: Option<&ast::Expr>,
        out: &mut Vec<ir::Stmt>,
    ) -> Checked<()> {
        let ty = ty.map(|ty| self.declared_type(ty));
        let value = value.map(|v| self.expr(v));
        let (id, key) = self.declare(name, name_span, value.is_some());
        let result = self.initialise(name, (id, key), ty, value, name_span);
        match result {
            Ok(stmt) => {
                out.extend(stmt);
                Ok(())
            }
            Err(stop) => {
                if stop == Stop::Reported {
                    self.env.poison_variable(key);
                }
                Err(stop)
            }
        }
    }

    fn initialise(
        &mut self,
        name: &str,
        variable: (VarId, VariableKey),
        ty: Option<Checked<Type>>,
        value: Option<Checked<Value>>,
        span: Span,
    ) -> Checked<Option<ir::Stmt>> {
        let ty = ty.transpose()?;
        match &ty {
            // `let $s: string` is as long as what is assigned.
            None | Some(Type::Str(0) | Type::Buf(0)) => {}
            Some(ty) => self.env.fix_variable(variable.1, ty.clone(), span),
        }
        let Some(value) = value.transpose()? else { return Ok(None) };
        let value = match ty {
            Some(Type::Str(declared)) => in_size_of_array(value, declared),
            _ => value,
        };
        let at = value.expr.span;
        self.set_variable(name, variable, value, span.to(at)).map(Some)
    }

    /// A type that a variable can be declared with.
    fn declared_type(&mut self, ty: &ast::TypeName) -> Checked<Type> {
        let named = self.named_type(ty)?;
        if matches!(named, Type::Void | Type::Agg(_)) {
            let found = self.spell(&named);
            return self.error(
                "invalid-type",
                ty.span,
                format!("Invalid variable declaration type: {found}"),
            );
        }
        Ok(named)
    }
}

/// Whether a number without a sign, in 64 bits, may be one that `int64` does not hold.
fn exceeds_signed(value: &ir::Expr) -> bool {
    match &value.kind {
        Ir::Const(n) => i64::try_from(*n).is_err(),
        Ir::Cast(from) => from.ty.as_int().is_none_or(|int| int.size == 8),
        _ => true,
    }
}

/// Whether an expression is an aggregation, maybe as a block's value: `{ let $n = 1; avg($n) }`.
fn gathers(e: &ast::Expr) -> bool {
    match &e.kind {
        ExprKind::Call { name, .. } => builtins::find(name).is_some_and(|builtin| builtin.gathers()),
        ExprKind::Block(block) => block.value.as_deref().is_some_and(gathers),
        _ => false,
    }
}

fn step_symbol(delta: i8) -> &'static str {
    if delta < 0 { "--" } else { "++" }
}
