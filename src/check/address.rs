//! `&`: where values lie in memory.

use super::shape::Value;
use super::{Checked, Checker, build};
use crate::diagnostics::{Diagnostic, Span};
use crate::ir::{self, Place, PlaceKind};
use crate::syntax::ast::{self, ExprKind};
use crate::types::{Space, Type};

impl Checker<'_, '_> {
    /// `&operand`
    pub fn address_of(&mut self, operand: &ast::Expr, span: Span) -> Checked<Value> {
        let place = match &operand.kind {
            ExprKind::Variable(name) => {
                // Whoever has the address may set it.
                let value = self.set_elsewhere(name, operand.span)?;
                self.place_of(value.expr)
            }
            ExprKind::Map { name, key: None } if self.has_keys(name) => {
                let map = self.whole_map(name, operand.span)?;
                let ty = self.host.types.find(Some(ast::Tag::Struct), "bpf_map").unwrap_or(Type::Void);
                Some(Place { kind: PlaceKind::Map(map), ty, span })
            }
            ExprKind::Map { name, key } => {
                if key.is_none() {
                    self.whole_map(name, operand.span)?;
                }
                let (map, key) = self.map_access(name, key.as_deref(), operand.span)?;
                let ty = self.map_type(map)?;
                if let Type::Agg(agg) = &ty {
                    let name = self.map_name(map);
                    return self.fail(
                        Diagnostic::error(
                            "aggregation-value",
                            span,
                            format!("The address of a {} cannot be taken", agg.name()),
                        )
                        .note(format!("{name} is kept per CPU, in one place for each"))
                        .help(format!("keep its value in a variable: $x = (int64){name}")),
                    );
                }
                Some(Place { kind: PlaceKind::MapValue { map, key: key.map(Box::new) }, ty, span })
            }
            _ => {
                let value = super::place::characters(self.value(operand)?);
                self.place_of(value.expr)
            }
        };
        let Some(place) = place else {
            return self.fail(
                Diagnostic::error(
                    "invalid-operator",
                    span,
                    "The & operator can only be used on what lies in memory",
                )
                .note("that is a variable, a map's value, or a field of a struct: &$x, &@x[key], &$task.comm")
                .help("assign it to a variable first, and take the address of that"),
            );
        };
        if let PlaceKind::Field { field, .. } = &place.kind
            && field.bits.is_some()
        {
            return self.fail(
                Diagnostic::error("invalid-operator", span, "The & operator can not be used on a bitfield")
                    .note("it does not begin at a byte of its own"),
            );
        }
        let space = space_of(&place);
        let address = build::address_of(Place { span, ..place }, space);
        Ok(Value::new(ir::Expr { span, ..address }))
    }

    /// Whether the script has a map of that name.
    pub fn has_map(&self, map: &str) -> bool {
        self.env.map_id(map).is_some()
    }

    /// Whether a map has keys.
    pub fn has_keys(&self, map: &str) -> bool {
        let info = self.env.map_id(map).and_then(|id| self.env.map(id));
        info.and_then(|map| map.keyed).is_some_and(|(keyed, _)| keyed)
    }

    /// Where a value is read from; `None` for what is calculated.
    fn place_of(&self, expr: ir::Expr) -> Option<Place> {
        let ir::Expr { kind, ty, span } = expr;
        let kind = match kind {
            ir::ExprKind::Load(place) => return Some(*place),
            ir::ExprKind::Var(var) => PlaceKind::Variable(var),
            ir::ExprKind::MapGet { map, key } => PlaceKind::MapValue { map, key },
            ir::ExprKind::Part { base, offset } => {
                PlaceKind::Part { base: Box::new(self.place_of(*base)?), offset }
            }
            ir::ExprKind::Element { base, index } => {
                PlaceKind::Index { base: Box::new(self.place_of(*base)?), index }
            }
            ir::ExprKind::Reinterpret(inner) => {
                return self.place_of(*inner).map(|place| Place { ty, span, ..place });
            }
            ir::ExprKind::Block { body, value } if body.is_empty() => return self.place_of(*value),
            _ => return None,
        };
        Some(Place { kind, ty, span })
    }
}

/// The memory that a place is in.
pub fn space_of(place: &Place) -> Space {
    match &place.kind {
        PlaceKind::Deref { space, .. } => *space,
        // Addresses in there are the kernel's.
        PlaceKind::Context { .. }
        | PlaceKind::Variable(_)
        | PlaceKind::MapValue { .. }
        | PlaceKind::Map(_) => Space::Kernel,
        PlaceKind::Field { base, .. } | PlaceKind::Index { base, .. } | PlaceKind::Part { base, .. } => {
            space_of(base)
        }
    }
}
