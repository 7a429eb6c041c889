//! Expressions: one function for what they turn into, which hands each kind to its file.

use super::comptime::Decision;
use super::operators::{literal_bool, literal_int, literal_text};
use super::shape::{Flex, Value};
use super::{Checked, Checker, Stop, build};
use crate::builtins;
use crate::diagnostics::{Diagnostic, Span, suggest};
use crate::ir;
use crate::syntax::ast::{self, BinaryOp, ExprKind, UnaryOp};
use crate::types::store::Named;
use crate::types::{Type, constants, layout};

impl Checker<'_, '_> {
    /// What an expression means. Its value may be of type `Void`: a call that yields nothing.
    pub fn expr(&mut self, e: &ast::Expr) -> Checked<Value> {
        let span = e.span;
        match &e.kind {
            ExprKind::Int(number) => Ok(literal_int(*number, span)),
            ExprKind::Bool(value) => Ok(literal_bool(*value, span)),
            ExprKind::Str(bytes) => Ok(self.text(bytes, span)),
            ExprKind::Name(name) => self.name(name, span),
            ExprKind::Variable(name) => self.read_variable(name, span),
            ExprKind::Map { name, key } => self.read_map(name, key.as_deref(), span),
            ExprKind::Positional(number) => Ok(self.positional(*number, span)),
            ExprKind::PositionalCount => {
                let count = u64::try_from(self.options.positional.len()).unwrap_or(u64::MAX);
                Ok(literal_int(count, span))
            }
            ExprKind::Call { name, name_span, args } => self.call(name, *name_span, args, span),
            ExprKind::Unary { op: UnaryOp::AddressOf, operand } => self.address_of(operand, span),
            ExprKind::Unary { op: UnaryOp::Comptime, operand } => self.comptime(operand, span),
            ExprKind::Unary { op, operand } => {
                let operand = self.value(operand)?;
                self.unary(*op, operand, span)
            }
            ExprKind::Binary { op, left, right } => self.binary_expr(*op, left, right, span),
            ExprKind::Step { place, delta, postfix } => self.step(place, *delta, *postfix, span),
            ExprKind::Ternary { condition, then, otherwise } => {
                self.ternary(condition, then.as_deref(), otherwise, span)
            }
            ExprKind::Field { base, name, name_span } => {
                if let ExprKind::Name(args) = &base.kind
                    && args == "args"
                {
                    return self.argument(name, *name_span, base.span, span);
                }
                let base = self.value(base)?;
                self.field(base, name, *name_span, span)
            }
            ExprKind::TupleField { base, index } => {
                let base = self.value(base)?;
                self.tuple_field(base, u64::from(*index), span)
            }
            ExprKind::Index { base, index } => {
                let (base, index) = (self.value(base), self.value(index));
                self.index(base?, index?, span)
            }
            ExprKind::Tuple(elements) => {
                let values = self.values(elements)?;
                Ok(self.tuple(values, span))
            }
            ExprKind::Record(fields) => self.record(fields, span),
            ExprKind::Cast { ty, operand } => {
                let (to, operand) = (self.named_type(ty), self.value(operand));
                self.cast(operand?, to?, span)
            }
            ExprKind::TypeCall { name, name_span, ty, fields } => {
                self.type_call(name, *name_span, ty, fields, span)
            }
            ExprKind::Block(block) => self.block_expr(block, span),
            ExprKind::Error => Err(Stop::Reported),
        }
    }

    /// An expression that has a value.
    pub fn value(&mut self, e: &ast::Expr) -> Checked<Value> {
        let value = self.expr(e)?;
        if *value.ty() == Type::Void {
            let what = match &e.kind {
                ExprKind::Call { name, .. } => format!("{name}() yields no value"),
                _ => "This yields no value".to_owned(),
            };
            return self.fail(
                Diagnostic::error("no-value", e.span, what).help("write it as a statement of its own"),
            );
        }
        Ok(value)
    }

    /// Several, all of which are checked even if one is wrong.
    pub fn values(&mut self, list: &[ast::Expr]) -> Checked<Vec<Value>> {
        let checked: Vec<Checked<Value>> = list.iter().map(|e| self.value(e)).collect();
        // An error matters more than a type that is not known yet.
        if checked.iter().any(|c| matches!(c, Err(Stop::Reported))) {
            return Err(Stop::Reported);
        }
        checked.into_iter().collect()
    }

    fn binary_expr(
        &mut self,
        op: BinaryOp,
        left: &ast::Expr,
        right: &ast::Expr,
        span: Span,
    ) -> Checked<Value> {
        let (left, right) = (self.value(left), self.value(right));
        self.binary(op, left?, right?, span)
    }

    /// Values side by side.
    pub fn tuple(&mut self, values: Vec<Value>, span: Span) -> Value {
        let literal = !values.is_empty() && values.iter().all(|v| v.literal);
        let types: Vec<Type> = values.iter().map(|v| v.ty().clone()).collect();
        let flex = Flex::of(values.iter().map(|v| v.flex.clone()).collect());
        types.iter().for_each(|ty| self.host.types.close(ty));
        let offsets = layout::sequence(&types, self.host.types.layouts()).offsets;
        let parts = offsets.into_iter().zip(values.into_iter().map(|v| v.expr)).collect();
        let expr = build::expr(ir::ExprKind::Pack(parts), Type::Tuple(types), span);
        Value { flex, literal, ..Value::new(expr) }
    }

    fn record(&mut self, fields: &[(String, ast::Expr)], span: Span) -> Checked<Value> {
        let mut parts = vec![];
        for (name, e) in fields {
            parts.push((name.clone(), self.value(e)));
        }
        let parts = parts
            .into_iter()
            .map(|(name, value)| Ok((name, value?)))
            .collect::<Checked<Vec<(String, Value)>>>()?;
        Ok(self.pack_record(parts, span))
    }

    pub fn pack_record(&mut self, parts: Vec<(String, Value)>, span: Span) -> Value {
        parts.iter().for_each(|(_, v)| self.host.types.close(v.ty()));
        let types: Vec<Type> = parts.iter().map(|(_, v)| v.ty().clone()).collect();
        let offsets = layout::sequence(&types, self.host.types.layouts()).offsets;
        let flex = Flex::of(parts.iter().map(|(_, v)| v.flex.clone()).collect());
        let literal = !parts.is_empty() && parts.iter().all(|(_, v)| v.literal);
        let (mut fields, mut packed) = (vec![], vec![]);
        for ((name, value), offset) in parts.into_iter().zip(offsets) {
            fields.push((name, value.ty().clone()));
            packed.push((offset, value.expr));
        }
        let expr = build::expr(ir::ExprKind::Pack(packed), Type::Record(fields), span);
        Value { flex, literal, ..Value::new(expr) }
    }

    fn ternary(
        &mut self,
        condition: &ast::Expr,
        then: Option<&ast::Expr>,
        otherwise: &ast::Expr,
        span: Span,
    ) -> Checked<Value> {
        let Some(then) = then else {
            let (condition, otherwise) = (self.value(condition), self.expr(otherwise));
            // `x ?: y` is x where that is not zero.
            let value = condition?;
            let (set, kept) = self.keep(value.expr);
            let then = Value { expr: kept.clone(), literal: false, ..value };
            let chosen = self.choose(Value::new(kept), then, otherwise?, span)?;
            return Ok(Value { expr: super::convert::after(vec![set], chosen.expr), ..chosen });
        };
        let decision = match (self.decide(condition), &condition.kind) {
            // The sides depend on it.
            (Err(stop), ExprKind::Unary { op: UnaryOp::Comptime, .. }) => return Err(stop),
            (decision, _) => decision,
        };
        let literal = match decision {
            Ok(Decision::Taken(holds)) => {
                let value = self.expr(if holds { then } else { otherwise })?;
                return Ok(Value { expr: ir::Expr { span, ..value.expr }, ..value });
            }
            Ok(Decision::Literal(holds, _)) => Some(holds),
            _ => None,
        };
        let then = self.unreached(literal == Some(false), |this| this.expr(then));
        let otherwise = self.unreached(literal == Some(true), |this| this.expr(otherwise));
        match decision? {
            Decision::Open(condition) | Decision::Literal(_, condition) => {
                self.choose(condition, then?, otherwise?, span)
            }
            Decision::Taken(_) => Err(Stop::Reported),
        }
    }

    /// One of two values.
    fn choose(&mut self, condition: Value, then: Value, otherwise: Value, span: Span) -> Checked<Value> {
        let condition = self.truth(condition)?;
        let (then, otherwise) = match then.ty() == otherwise.ty() {
            true => (then, otherwise),
            false => (self.name_as_text(then), self.name_as_text(otherwise)),
        };
        if *then.ty() == Type::Void && *otherwise.ty() == Type::Void {
            let (mut a, mut b) = (vec![], vec![]);
            super::control::effects(then.expr, &mut a);
            super::control::effects(otherwise.expr, &mut b);
            let choice = build::conditional(condition, a, b, span);
            return Ok(Value::new(build::void(vec![choice], span)));
        }
        let common = then.shape().widen(&otherwise.shape());
        let (a, b) = (then.ty().clone(), otherwise.ty().clone());
        let converted = common.and_then(|shape| {
            Some((self.convert(then, &shape.ty)?, self.convert(otherwise, &shape.ty)?, shape))
        });
        let Some((then, otherwise, shape)) = converted else {
            let (a, b) = (self.spell(&a), self.spell(&b));
            return self.error(
                "type-mismatch",
                span,
                format!("one branch is of type {a} and the other of type {b}, and nothing holds both"),
            );
        };
        let kind = ir::ExprKind::Select {
            condition: Box::new(condition),
            then: Box::new(then),
            otherwise: Box::new(otherwise),
        };
        Ok(Value { flex: shape.flex, ..Value::new(build::expr(kind, shape.ty, span)) })
    }

    fn block_expr(&mut self, block: &ast::Block, span: Span) -> Checked<Value> {
        self.scoped(|this| {
            let mut body = vec![];
            this.statements(&block.statements, &mut body);
            this.reachable(&block.statements, block.value.as_deref());
            let Some(value) = &block.value else {
                return Ok(Value::new(build::void(body, span)));
            };
            let value = this.expr(value)?;
            if body.is_empty() {
                return Ok(Value { expr: ir::Expr { span, ..value.expr }, ..value });
            }
            let ty = value.ty().clone();
            let kind = ir::ExprKind::Block { body, value: Box::new(value.expr) };
            Ok(Value { literal: false, expr: build::expr(kind, ty, span), ..value })
        })
    }

    /// `$1`: a number where it looks like one, else a string; 0 where there is none.
    fn positional(&mut self, number: u32, span: Span) -> Value {
        let given = usize::try_from(number).ok().and_then(|n| self.options.positional.get(n.checked_sub(1)?));
        match given {
            None => literal_int(0, span),
            Some(text) => match parse_number(text) {
                Some(n) if i64::try_from(n).is_err() && u64::try_from(n).is_err() => {
                    self.report(
                        Diagnostic::error(
                            "literal-overflow",
                            span,
                            format!("the parameter {text} is too large for a number"),
                        )
                        .note("numbers have 64 bits"),
                    );
                    self.text(text.as_bytes(), span)
                }
                Some(n) => match self.folded(Some(n), span) {
                    Ok(value) => value,
                    Err(_) => self.text(text.as_bytes(), span),
                },
                None => self.text(text.as_bytes(), span),
            },
        }
    }

    /// The text of `$1`, however it looks, for `str($1)`.
    pub fn positional_text(&self, number: u32, span: Span) -> Value {
        let text = usize::try_from(number).ok().and_then(|n| self.options.positional.get(n.checked_sub(1)?));
        self.text(text.map_or(b"", |t| t.as_bytes()), span)
    }

    /// A literal string, of a type that no string which was cut has.
    pub fn text(&self, bytes: &[u8], span: Span) -> Value {
        let value = literal_text(bytes, span);
        match *value.ty() {
            Type::Str(size) => {
                let ty = Type::Str(self.host.config.whole_text_size(size.saturating_sub(1)));
                Value { expr: ir::Expr { ty, ..value.expr }, ..value }
            }
            _ => value,
        }
    }

    /// A name alone: a builtin, or a constant of the kernel's enums.
    fn name(&mut self, name: &str, span: Span) -> Checked<Value> {
        if let Some(builtin) = builtins::find(name) {
            return self.call_builtin(builtin, name, span, None, span);
        }
        match self.host.types.constant(name) {
            Some(Named::Enumerator(ty, number)) => {
                let signed = ty.as_int().is_some_and(|int| int.signed);
                let expr = if signed || number >= 0 {
                    build::signed(number, ty, span)
                } else {
                    build::cast(build::signed(number, Type::I64, span), ty)
                };
                Ok(Value::new(expr))
            }
            Some(Named::Number(number)) => self.folded(Some(number), span),
            Some(Named::Text(text)) => Ok(self.text(&text, span)),
            None => self.unknown_name(name, span),
        }
    }

    fn unknown_name(&mut self, name: &str, span: Span) -> Checked<Value> {
        let error = Diagnostic::error("unknown-identifier", span, format!("Unknown identifier: '{name}'"));
        // As constants are written.
        let capitals = name.contains(|c: char| c.is_ascii_uppercase()) && name == name.to_ascii_uppercase();
        let definition = format!("define it before the first probe: #define {name} …");
        if let Some(decides) = constants::varies(name) {
            let place = if decides.ends_with(".h") { format!("<{decides}>") } else { decides.to_owned() };
            return self.fail(
                error
                    .note(format!("its value differs from kernel to kernel: {place} decides it"))
                    .help(definition),
            );
        }
        // What the probe's own arguments are called is the nearest of all.
        let arguments = self.in_view(|v| v.args.clone()).unwrap_or_default();
        let argument = arguments.iter().map(|(argument, _)| argument).find(|argument| *argument == name);
        if let Some(argument) = argument {
            return self.fail(
                error
                    .note("the arguments of a probe are the fields of args")
                    .help(format!("write args.{argument}")),
            );
        }
        let variable = format!("${name}");
        if self.probe.has(name, span) {
            return self.fail(error.help(format!("did you mean `{variable}`?")));
        }
        let map = self.env.map_id(name).and_then(|id| self.env.map(id));
        if map.is_some_and(|map| map.accessed) {
            return self.fail(error.help(format!("did you mean `@{name}`?")));
        }
        let bare = builtins::all().filter(|b| b.bare).flat_map(|b| b.names());
        let names = similar(name, bare).or_else(|| {
            let mut constants = self.host.types.similar_constants(name);
            constants.retain(|constant| capitals || constant.eq_ignore_ascii_case(name));
            suggest::one_of(&constants)
        });
        let error = match (names, self.host.types.problem()) {
            (Some(names), _) => error.help(names),
            (None, Some(problem)) if capitals => {
                error.note("no well-known constant has that name").note(problem.to_owned()).help(definition)
            }
            (None, None) if capitals => error
                .note("no enum of the kernel and no well-known constant of its headers has that name")
                .help(definition),
            (None, _) => error
                .note("no builtin and no constant of the kernel has that name")
                .help(format!("for a variable write ${name}, for a map @{name}")),
        };
        let error = self.with_headers(error);
        self.fail(error)
    }

    /// A name is unknown: adds what the headers of the script have to do with that.
    pub fn with_headers(&self, error: Diagnostic) -> Diagnostic {
        match self.host.types.unread_headers() {
            Some((why, Some(help))) => error.note(why).help(help),
            Some((why, None)) => error.note(why),
            None => error,
        }
    }

    /// `args.name`
    fn argument(&mut self, name: &str, name_span: Span, args_span: Span, span: Span) -> Checked<Value> {
        let args = self.arguments(args_span)?;
        if let Some((_, value)) = args.iter().find(|(n, _)| n == name) {
            if self.is_common_field(value) {
                return self.fail(
                    Diagnostic::error(
                        "common-field",
                        span,
                        "BPF does not support accessing common tracepoint fields",
                    )
                    .help("pid, tid and the like are builtins"),
                );
            }
            return Ok(Value::new(self.recorded(ir::Expr { span, ..value.clone() })));
        }
        let names: Vec<&str> = args.iter().map(|(n, _)| n.as_str()).collect();
        let hidden = self.in_view(|v| v.hidden.iter().find(|(n, _)| n == name).cloned());
        if let Some((_, why)) = hidden {
            return self.fail(
                Diagnostic::error("unreadable-argument", name_span, format!("args.{name} cannot be read"))
                    .note(why),
            );
        }
        let mut error = Diagnostic::error(
            "unknown-field",
            name_span,
            format!("args does not contain a field named '{name}'"),
        );
        let others = self.in_view(|v| v.other_args.clone());
        error = match similar(name, names.iter().copied()) {
            Some(names) => error.help(names),
            None if names.is_empty() && others.is_some() => error.note("this function has no arguments"),
            None if names.is_empty() => error.note("this probe has no arguments"),
            None => error.note(format!("it has {}", names.join(", "))),
        };
        if let Some(why) = others {
            error = why.help.into_iter().fold(error.note(why.note), Diagnostic::help);
        }
        self.fail(error)
    }

    /// The fields of `args` at the probe at hand.
    fn arguments(&mut self, span: Span) -> Checked<Vec<(String, ir::Expr)>> {
        let provider = self.provider();
        match self.in_view(|v| v.args.clone()) {
            Some(args) => Ok(args),
            None => {
                let mut error = Diagnostic::error(
                    "args-unavailable",
                    span,
                    format!(
                        "The args builtin can only be used with probes whose arguments have names: this {provider} probe has none"
                    ),
                );
                if let Some(why) = self.in_view(|v| v.no_args.clone()) {
                    error = error.note(why.note);
                    error = why.help.into_iter().fold(error, Diagnostic::help);
                } else if self.in_view(|v| v.words.first().cloned()).is_some() {
                    error = error.help("use arg0, arg1, … here, cast to their types");
                }
                self.fail(error)
            }
        }
    }

    /// Whether it lies in the head that all tracepoints' records have (`struct trace_entry`), which the kernel lets
    /// no program read.
    fn is_common_field(&self, value: &ir::Expr) -> bool {
        const HEAD: u32 = 8;
        let ir::ExprKind::Load(place) = &value.kind else { return false };
        let ir::PlaceKind::Context { offset } = place.kind else { return false };
        offset < HEAD && self.in_view(|v| Some(v.context)) == Some(ir::Context::Record)
    }

    /// `args` alone: all of them as a record.
    pub fn all_arguments(&mut self, span: Span) -> Checked<Value> {
        let args = self.arguments(span)?.into_iter().filter(|(_, expr)| !self.is_common_field(expr));
        let parts = args.map(|(name, expr)| (name, Value::new(self.recorded(ir::Expr { span, ..expr }))));
        let parts = parts.collect();
        Ok(self.pack_record(parts, span))
    }
}

/// A line of help with the names that a misspelled one may stand for.
pub fn similar<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> Option<String> {
    suggest::did_you_mean(name, known)
}

/// A number as a parameter may be written.
fn parse_number(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let number = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        i128::from_str_radix(hex, 16).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        i128::from_str_radix(digits, 8).ok()?
    } else {
        digits.parse().ok()?
    };
    // `parse` takes a sign too, but there has been one already.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    Some(if negative { -number } else { number })
}
