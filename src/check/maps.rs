//! Maps: what their keys and values are, and reading them.

use super::env::Mismatch;
use super::shape::{Shape, Value, readable};
use super::{Checked, Checker, Stop, build};
use crate::diagnostics::{Diagnostic, Span};
use crate::image::MapId;
use crate::ir::{self, ExprKind};
use crate::kernel::Feature;
use crate::syntax::ast;
use crate::types::{Agg, Type};

impl Checker<'_, '_> {
    /// A map named as a whole: `print(@x)`, `for ($kv : @x)`.
    pub fn whole_map(&mut self, name: &str, span: Span) -> Checked<MapId> {
        let id = self.env.map_id(name).ok_or(Stop::Reported)?;
        if self.env.map(id).is_some_and(|m| m.accessed) {
            return Ok(id);
        }
        let known: Vec<String> =
            self.env.maps().iter().filter(|m| m.accessed).map(|m| format!("@{}", m.name)).collect();
        let mut error = Diagnostic::error("undefined-map", span, format!("Undefined map: @{name}"));
        error = match super::expr::similar(&format!("@{name}"), known) {
            Some(names) => error.help(names),
            None => error.help(format!("nothing in the script assigns to it: write @{name} = … somewhere")),
        };
        self.fail(error)
    }

    /// The map of an access with or without a key, which has to be as all the others.
    pub fn accessed_map(&mut self, name: &str, has_key: bool, span: Span) -> Checked<MapId> {
        let id = self.env.map_id(name).ok_or(Stop::Reported)?;
        match self.env.map(id).and_then(|m| m.keyed) {
            Some((keyed, first)) if keyed != has_key => {
                let (this, before) = if has_key {
                    ("with an explicit key (non-scalar map)", "without an explicit key (scalar map)")
                } else {
                    ("without an explicit key (scalar map)", "with an explicit key (non-scalar map)")
                };
                self.fail(
                    Diagnostic::error(
                        "map-keys",
                        span,
                        format!("@{name} used as a map {this}, previously used {before}"),
                    )
                    .label(first, "used so here")
                    .help("a map has keys everywhere or nowhere: use two maps"),
                )
            }
            _ => Ok(id),
        }
    }

    /// A key as the map has it.
    pub fn map_key(&mut self, id: MapId, key: &ast::Expr) -> Checked<ir::Expr> {
        let result = self.value(key).and_then(|value| self.convert_key(id, value, key.span));
        if result.as_ref().is_err_and(|stop| *stop == Stop::Reported) {
            self.env.poison_key(id);
            self.env.poison_value(id);
        }
        result
    }

    fn convert_key(&mut self, id: MapId, value: Value, span: Span) -> Checked<ir::Expr> {
        let shape = value.shape();
        self.host.types.close(&shape.ty);
        if let Err(mismatch) = self.env.widen_key(id, &shape, span) {
            return self.key_mismatch(id, &shape.ty, mismatch, span);
        }
        let key = self.env.key(id)?;
        match self.convert(value, &key.ty) {
            Some(key) => Ok(key),
            None => self.key_mismatch(id, &shape.ty, Mismatch { have: key.ty, set_at: None }, span),
        }
    }

    fn key_mismatch<T>(&mut self, id: MapId, ty: &Type, mismatch: Mismatch, span: Span) -> Checked<T> {
        let name = self.map_name(id);
        let (found, have) = (self.spell(ty), self.spell(&mismatch.have));
        let mut error = Diagnostic::error(
            "map-key-type",
            span,
            format!(
                "Argument mismatch for {name}: trying to access with arguments: '{found}' when map expects arguments: '{have}'"
            ),
        );
        if let Some(first) = mismatch.set_at {
            error = error.label(first, format!("{have} here"));
        }
        let count = |ty: &Type| match ty {
            Type::Tuple(types) => types.len(),
            _ => 1,
        };
        if count(ty) != count(&mismatch.have) {
            error = error.help(match count(&mismatch.have) {
                1 => "give it one key everywhere".to_owned(),
                n => format!("give it {n} keys everywhere"),
            });
        }
        self.fail(error)
    }

    /// The map's name with its `@`.
    pub fn map_name(&self, id: MapId) -> String {
        self.env.map(id).map_or_else(String::new, |m| format!("@{}", m.name))
    }

    /// The map, and its key where it has one.
    pub fn map_access(
        &mut self,
        name: &str,
        key: Option<&ast::Expr>,
        span: Span,
    ) -> Checked<(MapId, Option<ir::Expr>)> {
        let id = self.accessed_map(name, key.is_some(), span);
        // The key is checked even where the map is wrong.
        match (id, key) {
            (Ok(id), Some(key)) => Ok((id, Some(self.map_key(id, key)?))),
            (Ok(id), None) => Ok((id, None)),
            (Err(stop), Some(key)) => {
                let _ = self.value(key);
                Err(stop)
            }
            (Err(stop), None) => Err(stop),
        }
    }

    /// What a map holds.
    pub fn map_type(&mut self, id: MapId) -> Checked<Type> {
        self.env.value(id).map(|shape| shape.ty)
    }

    /// A map's value in an expression.
    pub fn read_map(&mut self, name: &str, key: Option<&ast::Expr>, span: Span) -> Checked<Value> {
        let (id, key) = self.map_access(name, key, span)?;
        self.map_value(id, key, span)
    }

    /// The value under a key that has been checked.
    pub fn map_value(&mut self, id: MapId, key: Option<ir::Expr>, span: Span) -> Checked<Value> {
        let Shape { ty, flex } = self.env.value(id)?;
        let ty = match ty {
            Type::Agg(agg) => self.readable_aggregation(id, &agg, span)?,
            other => other,
        };
        let kind = ExprKind::MapGet { map: id, key: key.map(Box::new) };
        Ok(Value { flex, ..Value::new(build::expr(kind, ty, span)) })
    }

    fn readable_aggregation(&mut self, id: MapId, agg: &Agg, span: Span) -> Checked<Type> {
        let name = self.map_name(id);
        let Some(int) = readable(agg) else {
            return self.fail(
                Diagnostic::error(
                    "aggregation-value",
                    span,
                    format!("The value of {name} is a {}, which cannot be used in an expression", agg.name()),
                )
                .note("what it gathers is put together only when it is printed")
                .help(format!("print it: print({name})")),
            );
        };
        if !self.host.kernel.has(Feature::LookupPerCpu) {
            return self.fail(
                Diagnostic::error(
                    "kernel-feature",
                    span,
                    "Missing required kernel feature: map_lookup_percpu_elem",
                )
                .note(format!("{name} is kept per CPU, and Linux can add that up in a program from 5.18 on"))
                .help(match agg {
                    Agg::Count => format!("print it instead, or count with {name}++"),
                    Agg::Sum { .. } => format!("print it instead, or add up with {name} += …"),
                    _ => format!("print it instead: print({name})"),
                }),
            );
        }
        Ok(Type::Int(int))
    }

    /// What is worth saying about maps once all is known.
    pub fn check_maps(&mut self) {
        let unset: Vec<(String, Span)> = self
            .env
            .maps()
            .iter()
            .filter(|m| m.accessed && !m.optional && m.value.set_at.is_none() && !m.value.poisoned())
            .map(|m| (m.name.clone(), m.span))
            .collect();
        for (name, span) in unset {
            let set: Vec<String> = self
                .env
                .maps()
                .iter()
                .filter(|m| m.value.set_at.is_some())
                .map(|m| format!("@{}", m.name))
                .collect();
            let mut warning = Diagnostic::warning(
                "map-never-set",
                span,
                format!("@{name} is never assigned, so it is always zero"),
            );
            if let Some(names) = super::expr::similar(&format!("@{name}"), set) {
                warning = warning.help(names);
            }
            self.report(warning);
        }
    }
}
