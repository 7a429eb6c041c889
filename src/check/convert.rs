//! Conversions: the ones that happen by themselves where a value goes to a place of another type, and casts.

use super::shape::{Flex, Shape, Value, in_range, integral};
use super::{Checked, Checker, build};
use crate::diagnostics::{Diagnostic, Span};
use crate::ir;
use crate::types::{Int, Space, Type, layout};

impl Checker<'_, '_> {
    /// The value as an integer, for those that are one: an enum loses its name, a bool is 0 or 1.
    pub fn number(&mut self, value: Value) -> Result<Value, Value> {
        let ty = match value.ty() {
            Type::Int(_) => return Ok(value),
            Type::Enum { int, .. } => Type::Int(*int),
            Type::Bool => {
                let expr = build::cast(value.expr, Type::U8);
                return Ok(Value { expr, flex: Flex::Yes, ..value });
            }
            _ => return Err(value),
        };
        Ok(Value { expr: build::cast(value.expr, ty), ..value })
    }

    /// Converts a value for a place of that type; `None` if that cannot be, or if a literal does not fit. What may
    /// lose bits is warned about.
    pub fn convert(&mut self, value: Value, to: &Type) -> Option<ir::Expr> {
        if value.ty() == to {
            return Some(value.expr);
        }
        let from = value.ty().clone();
        match (&from, to) {
            (Type::Bool, Type::Int(_)) => Some(build::cast(value.expr, to.clone())),
            (_, Type::Int(int)) if integral(&from).is_some() => match value.constant() {
                Some(number) if value.literal => {
                    in_range(number, *int).then(|| build::cast(value.expr, to.clone()))
                }
                number => {
                    let kept = number.is_some_and(|n| in_range(n, *int)) || value.shape().fits(to);
                    if !kept {
                        self.warn_lossy(&from, to, value.expr.span);
                    }
                    Some(build::cast(value.expr, to.clone()))
                }
            },
            (Type::Str(have), Type::Str(size)) if self.holds_text(*size, *have) => {
                Some(resize(value.expr, to.clone()))
            }
            (Type::Buf(have), Type::Buf(size)) if have <= size => Some(resize(value.expr, to.clone())),
            (Type::Ptr { .. }, Type::Ptr { .. }) => {
                let shape = value.shape();
                shape.widen(&to.clone().into())?;
                Some(ir::Expr { ty: to.clone(), ..value.expr })
            }
            // The same pointers, of which only one side says what memory they point to.
            (Type::Array { elem: have, len: n }, Type::Array { elem, len }) if n == len => {
                let widened = Shape::from((**have).clone()).widen(&(**elem).clone().into())?;
                let pointers = matches!(**have, Type::Ptr { .. }) && matches!(widened.ty, Type::Ptr { .. });
                pointers.then(|| build::reinterpret(value.expr, to.clone()))
            }
            (Type::Tuple(_), Type::Tuple(types)) => {
                let to_parts: Vec<(Option<&str>, &Type)> = types.iter().map(|ty| (None, ty)).collect();
                self.convert_parts(value, to, &to_parts)
            }
            (Type::Record(_), Type::Record(fields)) => {
                let to_parts: Vec<(Option<&str>, &Type)> =
                    fields.iter().map(|(name, ty)| (Some(name.as_str()), ty)).collect();
                self.convert_parts(value, to, &to_parts)
            }
            _ => None,
        }
    }

    /// A tuple or record from another whose parts have other types (or another order).
    fn convert_parts(
        &mut self,
        value: Value,
        to: &Type,
        to_parts: &[(Option<&str>, &Type)],
    ) -> Option<ir::Expr> {
        let span = value.expr.span;
        let (mut before, mut parts) = self.parts(value)?;
        if parts.len() != to_parts.len() {
            return None;
        }
        let reordered = parts.iter().zip(to_parts).any(|((name, _), (to, _))| name.as_deref() != *to);
        if reordered {
            // What stands first runs first, wherever it goes.
            for (_, part) in &mut parts {
                if !matches!(
                    part.expr.kind,
                    ir::ExprKind::Const(_) | ir::ExprKind::Bytes(_) | ir::ExprKind::Var(_)
                ) {
                    let (set, kept) = self.keep(part.expr.clone());
                    before.push(set);
                    part.expr = kept;
                }
            }
        }
        let offsets = layout::sequence(to_parts.iter().map(|(_, ty)| *ty), self.host.types.layouts()).offsets;
        let mut packed = vec![];
        for ((name, ty), offset) in to_parts.iter().zip(offsets) {
            let index = match name {
                Some(name) => parts.iter().position(|(n, _)| n.as_deref() == Some(name))?,
                None => 0,
            };
            let (_, part) = parts.remove(index);
            packed.push((offset, self.convert(part, ty)?));
        }
        let pack = build::expr(ir::ExprKind::Pack(packed), to.clone(), span);
        Some(after(before, pack))
    }

    /// The parts of a tuple or record, and what has to run before they are used.
    #[allow(clippy::type_complexity)]
    pub fn parts(&mut self, value: Value) -> Option<(Vec<ir::Stmt>, Vec<(Option<String>, Value)>)> {
        let shape = value.shape();
        let names: Vec<Option<String>> = match &shape.ty {
            Type::Tuple(types) => vec![None; types.len()],
            Type::Record(fields) => fields.iter().map(|(name, _)| Some(name.clone())).collect(),
            _ => return None,
        };
        let offsets = self.offsets(&shape.ty);
        let (before, values): (_, Vec<ir::Expr>) = match value.expr.kind {
            ir::ExprKind::Pack(parts) => (vec![], parts.into_iter().map(|(_, part)| part).collect()),
            kind => {
                let whole = ir::Expr { kind, ..value.expr };
                let span = whole.span;
                let (before, whole) = match whole.kind {
                    ir::ExprKind::Var(_) => (vec![], whole),
                    _ => {
                        let (set, whole) = self.keep(whole);
                        (vec![set], whole)
                    }
                };
                let part = |(n, offset): (usize, u32)| {
                    let ty = shape.part(n).map_or(Type::Void, |p| p.ty);
                    build::part(whole.clone(), offset, ty, span)
                };
                (before, offsets.into_iter().enumerate().map(part).collect())
            }
        };
        let literal = value.literal;
        let parts = values
            .into_iter()
            .enumerate()
            .map(|(n, expr)| {
                let flex = shape.part(n).map(|p| p.flex).unwrap_or_default();
                let constant = matches!(expr.kind, ir::ExprKind::Const(_) | ir::ExprKind::Bytes(_));
                let literal = literal || (constant && flex == Flex::Yes);
                Value { flex, literal, ..Value::new(expr) }
            })
            .collect::<Vec<_>>();
        Some((before, names.into_iter().zip(parts).collect()))
    }

    /// Where the parts of a tuple or record lie.
    pub fn offsets(&self, ty: &Type) -> Vec<u32> {
        let layouts = self.host.types.layouts();
        match ty {
            Type::Tuple(types) => layout::sequence(types, layouts).offsets,
            Type::Record(fields) => layout::sequence(fields.iter().map(|(_, ty)| ty), layouts).offsets,
            _ => vec![],
        }
    }

    fn warn_lossy(&mut self, from: &Type, to: &Type, span: Span) {
        let (from, to) = (self.spell(from), self.spell(to));
        self.report(
            Diagnostic::warning(
                "lossy-conversion",
                span,
                format!("{from} is converted to {to}, which does not hold all of its values"),
            )
            .help(format!("to say that this is meant, write the cast: ({to})…")),
        );
    }

    /// `(type)value`
    pub fn cast(&mut self, value: Value, to: Type, span: Span) -> Checked<Value> {
        let value = if matches!(to, Type::Str(_)) { value } else { super::place::characters(value) };
        let from = value.ty().clone();
        let to = self.unsized_array(&from, to);
        let space = match &from {
            Type::Ptr { space, .. } => *space,
            _ => value.space,
        };
        let scalar = from.is_scalar() && !matches!(from, Type::ProbeName);
        let expr = match &to {
            Type::Bool if scalar => self.truth(value)?,
            Type::Int(_) if scalar => build::cast(value.expr, to),
            Type::Username if integral(&from).is_some() => build::cast(value.expr, to),
            Type::Enum { id, .. } if scalar => {
                self.check_enumerator(&value, *id, span)?;
                build::cast(value.expr, to)
            }
            // It stays the context, from which programs may load what they may not read as memory.
            Type::Ptr { to: pointee, .. } if matches!(value.expr.kind, ir::ExprKind::ContextPointer) => {
                build::expr(ir::ExprKind::ContextPointer, Type::ptr((**pointee).clone(), space), span)
            }
            Type::Ptr { to: pointee, .. } if scalar => {
                // An address has no sign: `(uint8 *)-1` is 0xff, since -1 fits 8 bits.
                let bits = from.as_int().map_or(Type::U64, |int| Type::Int(Int { signed: false, ..int }));
                let address = build::cast(build::cast(value.expr, bits), Type::U64);
                build::cast(address, Type::ptr((**pointee).clone(), space))
            }
            // An array in memory decays, as in C.
            Type::Ptr { to: pointee, .. } if matches!(from, Type::Array { .. } | Type::Str(_)) => {
                let pointee = (**pointee).clone();
                match self.address(value) {
                    Ok((address, space)) => build::cast(address, Type::ptr(pointee, space)),
                    Err(_) => return self.cannot_cast(&from, &Type::ptr(pointee, space), span),
                }
            }
            Type::Int(_) | Type::Array { .. } => match self.cast_bytes(value, &from, to.clone()) {
                Some(expr) => expr,
                None => return self.cannot_cast(&from, &to, span),
            },
            Type::Str(size) => match from {
                Type::Str(have) if *size == 0 || self.holds_text(*size, have) => {
                    let size = if *size == 0 { have } else { *size };
                    resize(value.expr, Type::Str(size))
                }
                _ => return self.cannot_cast(&from, &to, span),
            },
            _ if from == to => value.expr,
            _ => return self.cannot_cast(&from, &to, span),
        };
        Ok(Value { space, ..Value::new(ir::Expr { span, ..expr }) })
    }

    /// Whether a string of so many bytes holds one of that many. What `str()` reads without a length may be kept in a
    /// `string[max_strlen]`, where a last character makes room for the NUL.
    fn holds_text(&self, size: u32, text: u32) -> bool {
        text <= size || (text == self.host.config.text_size() && text == size.saturating_add(1))
    }

    /// Between integers and arrays, by their bytes.
    fn cast_bytes(&mut self, value: Value, from: &Type, to: Type) -> Option<ir::Expr> {
        let bytes = |ty: &Type| matches!(ty, Type::Int(_) | Type::Bool);
        let layouts = self.host.types.layouts();
        let (have, want) = (layout::size_of(from, layouts), layout::size_of(&to, layouts));
        match (from, &to) {
            (_, Type::Array { elem, .. }) if bytes(elem) && integral(from).is_some() => {
                // A number is as wide as the array where one can be.
                let expr = match u8::try_from(want) {
                    Ok(size @ (1 | 2 | 4 | 8)) if want > have || value.literal => {
                        let signed = integral(from).is_some_and(|int| int.signed);
                        build::cast(value.expr, Type::Int(Int { size, signed }))
                    }
                    _ if want == have => value.expr,
                    _ => return None,
                };
                Some(build::reinterpret(expr, to))
            }
            (Type::Bool | Type::Str(_) | Type::Array { .. }, Type::Array { elem, .. })
                if bytes(elem) && have == want =>
            {
                Some(retype(value.expr, to))
            }
            (Type::Array { elem, .. }, Type::Int(_)) if bytes(elem) && have == want => {
                Some(retype(value.expr, to))
            }
            _ => None,
        }
    }

    /// `(int8[])x` is as long as what is cast.
    fn unsized_array(&self, from: &Type, to: Type) -> Type {
        match to {
            Type::Array { elem, len: 0 } => {
                let layouts = self.host.types.layouts();
                let (have, one) = (layout::size_of(from, layouts), layout::size_of(&elem, layouts));
                let len = if one > 0 && have % one == 0 { have / one } else { 0 };
                Type::Array { elem, len }
            }
            other => other,
        }
    }

    fn check_enumerator(&mut self, value: &Value, id: crate::types::EnumId, span: Span) -> Checked<()> {
        let (true, Some(number)) = (value.literal, value.constant()) else { return Ok(()) };
        let Some(definition) = self.host.types.enumeration(id) else { return Ok(()) };
        if definition.values.iter().any(|(_, v)| i128::from(*v) == number) {
            return Ok(());
        }
        let name = definition.name.clone();
        self.error("enum-value", span, format!("Enum: {name} doesn't contain a variant value of {number}"))
    }

    fn cannot_cast<T>(&mut self, from: &Type, to: &Type, span: Span) -> Checked<T> {
        let mut error = Diagnostic::error(
            "invalid-cast",
            span,
            format!("Cannot cast from \"{}\" to \"{}\"", self.spell(from), self.spell(to)),
        );
        let layouts = self.host.types.layouts();
        let (have, want) = (layout::size_of(from, layouts), layout::size_of(to, layouts));
        error = match (from, to) {
            (Type::Array { .. }, Type::Int(_)) | (_, Type::Array { .. }) if have != want => {
                error.note(format!("they are not of one size: {have} and {want} bytes"))
            }
            (Type::Float { .. }, _) | (_, Type::Float { .. }) => error
                .note(super::operators::NO_FLOATS)
                .help("*(uint64 *)&… reads the bits of a double that is in memory"),
            (Type::Struct(_), _) | (_, Type::Struct(_)) => {
                error.help("cast a pointer to the struct, and read through it: *(struct x *)p")
            }
            (Type::Ptr { .. } | Type::Int(_), Type::Str(_)) => {
                error.help("read the string there with str(…)")
            }
            _ => error,
        };
        self.fail(error)
    }

    /// Where a value lies in memory, for what lies there: fields, elements, what pointers point to.
    pub fn address(&mut self, value: Value) -> Result<(ir::Expr, Space), Value> {
        match value.expr.kind {
            ir::ExprKind::Load(place) => {
                let space = super::address::space_of(&place);
                Ok((build::address_of(*place, space), space))
            }
            _ => Err(value),
        }
    }
}

/// Statements before an expression.
pub fn after(before: Vec<ir::Stmt>, value: ir::Expr) -> ir::Expr {
    if before.is_empty() {
        return value;
    }
    let (ty, span) = (value.ty.clone(), value.span);
    build::expr(ir::ExprKind::Block { body: before, value: Box::new(value) }, ty, span)
}

/// A string or buffer of another, larger size.
pub fn resize(value: ir::Expr, to: Type) -> ir::Expr {
    if value.ty == to {
        return value;
    }
    match value.kind {
        // These are as large as they are told.
        ir::ExprKind::Bytes(_) => ir::Expr { ty: to, ..value },
        _ => {
            let span = value.span;
            build::expr(ir::ExprKind::Cast(Box::new(value)), to, span)
        }
    }
}

/// The same bytes as another type: read as that type from the beginning where they are in memory.
fn retype(value: ir::Expr, to: Type) -> ir::Expr {
    match value.kind {
        ir::ExprKind::Load(mut place) if !matches!(place.kind, ir::PlaceKind::Context { .. }) => {
            place.ty = to.clone();
            ir::Expr { kind: ir::ExprKind::Load(place), ty: to, ..value }
        }
        kind => build::reinterpret(ir::Expr { kind, ..value }, to),
    }
}
