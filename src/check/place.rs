//! Fields, elements and what pointers point to.
//!
//! A struct or array in kernel or user memory is a `Load` of a place; a further access takes the place out again and
//! extends it, so that a chain of fields is read in one go at its end.

use super::address::space_of;
use super::shape::Value;
use super::{Checked, Checker, build};
use crate::diagnostics::{Diagnostic, Span};
use crate::image::EventKind;
use crate::ir::{self, ExprKind, Place, PlaceKind};
use crate::types::{Bits, Field, Int, Space, StructId, Type, layout};

impl Checker<'_, '_> {
    /// The memory that a pointer is for, where its type does not say: the probe's own side.
    pub fn resolve_space(&self, space: Space) -> Space {
        match space {
            Space::Unknown => match self.in_view(|v| Some(v.space)) {
                Some(Space::Unknown) | None => Space::Kernel,
                Some(known) => known,
            },
            known => known,
        }
    }

    /// What is read from memory of that space: pointers found in user memory point to user memory.
    fn read_in(&self, ty: Type, space: Space) -> Type {
        match (ty, space) {
            (Type::Ptr { to, .. }, Space::User) => Type::Ptr { to, space: Space::User },
            (Type::Ptr { to, space: Space::Unknown }, Space::Kernel | Space::Bpf) => {
                Type::Ptr { to, space: Space::Kernel }
            }
            (ty, _) => ty,
        }
    }

    /// A place's value; arrays of characters are strings. Such an array may be full, so that the string has one byte
    /// more than it: for the NUL, which is put where the array ends.
    fn read(&mut self, mut place: Place) -> Value {
        let space = space_of(&place);
        place.ty = self.read_in(place.ty, space);
        // Where a pointer to a string points, the string has its NUL.
        let within = matches!(place.kind, PlaceKind::Field { .. } | PlaceKind::Index { .. });
        if let (Type::Str(len), true) = (&place.ty, within) {
            place.ty = array_of_characters(*len);
        }
        let characters = match &place.ty {
            Type::Array { elem, len } if **elem == Type::Int(Int::I8) => Some(*len),
            _ => None,
        };
        match characters {
            // `char name[]`: its end is known only by its NUL.
            Some(0) => {
                place.ty = Type::Int(Int::I8);
                Value::new(build::address_of(place, space))
            }
            Some(len) => {
                let array = build::load(place);
                Value::new(ir::Expr { ty: Type::Str(self.host.config.whole_text_size(len)), ..array })
            }
            None => Value::new(build::load(place)),
        }
    }

    /// What a pointer points to.
    fn target(&mut self, pointer: ir::Expr, to: Type, space: Space, span: Span) -> Place {
        build::deref(pointer, to, self.resolve_space(space), span)
    }

    /// `*pointer`
    pub fn deref(&mut self, value: Value, span: Span) -> Checked<Value> {
        match value.ty().clone() {
            Type::Ptr { to, .. } if *to == Type::Void => self.fail(
                Diagnostic::error("void-pointer", span, "Can not dereference a pointer to void")
                    .help("say what it points to with a cast: *(uint64 *)…"),
            ),
            Type::Ptr { to, space } => {
                let place = self.target(value.expr, *to, space, span);
                Ok(self.read(place))
            }
            // A plain number is the address of a word.
            Type::Int(_) => {
                let space = value.space;
                let address = build::cast(value.expr, Type::ptr(Type::U64, space));
                let place = self.target(address, Type::U64, space, span);
                Ok(self.read(place))
            }
            // `*args`, from when that was a pointer.
            Type::Record(_) => Ok(value),
            ty => {
                let found = self.spell(&ty);
                self.error(
                    "not-a-pointer",
                    span,
                    format!("Can not dereference type '{found}'. It is not a pointer."),
                )
            }
        }
    }

    /// `base.name`, through any number of pointers.
    pub fn field(&mut self, base: Value, name: &str, name_span: Span, span: Span) -> Checked<Value> {
        let mut base = base;
        while let Type::Ptr { to, .. } = base.ty()
            && let Type::Ptr { .. } | Type::Record(_) = **to
        {
            let at = base.expr.span;
            base = self.deref(base, at)?;
        }
        match base.ty().clone() {
            Type::Ptr { to, space } => match *to {
                Type::Struct(id) => {
                    let field = self.find_field(id, name, name_span)?;
                    let at = base.expr.span;
                    let place = self.target(base.expr, Type::Struct(id), space, at);
                    Ok(self.read(build::field(place, &field, field.ty.clone(), span)))
                }
                other => self.no_fields(&Type::ptr(other, space), name, span),
            },
            Type::Struct(id) => {
                let field = self.find_field(id, name, name_span)?;
                match base.expr.kind {
                    ExprKind::Load(place) => {
                        Ok(self.read(build::field(*place, &field, field.ty.clone(), span)))
                    }
                    kind => Ok(self.copied_field(ir::Expr { kind, ..base.expr }, &field, span)),
                }
            }
            Type::Record(fields) => self.record_field(base, &fields, name, name_span, span),
            ty => self.no_fields(&ty, name, span),
        }
    }

    /// A field of a struct that was copied: `$s = *(struct x *)arg0; $s.y`.
    fn copied_field(&mut self, base: ir::Expr, field: &Field, span: Span) -> Value {
        let ty = match &field.ty {
            Type::Str(len) => array_of_characters(*len),
            other => other.clone(),
        };
        if let Type::Array { elem, len } = &ty
            && **elem == Type::Int(Int::I8)
        {
            let string = Type::Str(self.host.config.whole_text_size(*len));
            let array = build::part(base, field.offset, ty, span);
            return Value::new(build::expr(ExprKind::Pack(vec![(0, array)]), string, span));
        }
        Value::new(match (field.bits, ty.as_int()) {
            // The bits are those of the integer, also where it is read as a bool.
            (Some(bits), Some(int)) => {
                let whole = build::part(base, field.offset, Type::Int(int), span);
                bitfield(whole, bits, int, ty)
            }
            _ => build::part(base, field.offset, ty, span),
        })
    }

    fn record_field(
        &mut self,
        base: Value,
        fields: &[(String, Type)],
        name: &str,
        name_span: Span,
        span: Span,
    ) -> Checked<Value> {
        let Some(index) = fields.iter().position(|(n, _)| n == name) else {
            let names: Vec<&str> = fields.iter().map(|(n, _)| n.as_str()).collect();
            let mut error = Diagnostic::error(
                "unknown-field",
                name_span,
                format!("Record does not contain a field named '{name}'"),
            );
            error = match super::expr::similar(name, names.iter().copied()) {
                Some(names) => error.help(names),
                None => error.note(format!("it has {}", names.join(", "))),
            };
            return self.fail(error);
        };
        self.nth_part(base, index, span)
    }

    /// A part of a tuple or record by its number, which is in range.
    fn nth_part(&mut self, base: Value, index: usize, span: Span) -> Checked<Value> {
        let shape = base.shape().part(index);
        let offset = self.offsets(base.ty()).get(index).copied();
        let (Some(shape), Some(offset)) = (shape, offset) else { return Err(super::Stop::Reported) };
        match base.expr.kind {
            // What of it is not asked for does nothing.
            ExprKind::Pack(mut parts) if base.literal && index < parts.len() => {
                let (_, part) = parts.swap_remove(index);
                Ok(Value { flex: shape.flex, literal: true, ..Value::new(ir::Expr { span, ..part }) })
            }
            kind => {
                let base = ir::Expr { kind, ..base.expr };
                let expr = build::part(base, offset, shape.ty, span);
                Ok(Value { flex: shape.flex, ..Value::new(expr) })
            }
        }
    }

    /// `tuple.0`
    pub fn tuple_field(&mut self, base: Value, index: u64, span: Span) -> Checked<Value> {
        let base = match base.ty() {
            Type::Ptr { to, .. } if matches!(**to, Type::Tuple(_)) => {
                let at = base.expr.span;
                self.deref(base, at)?
            }
            _ => base,
        };
        match base.ty() {
            Type::Tuple(types) => {
                let count = types.len();
                match usize::try_from(index) {
                    Ok(n) if n < count => self.nth_part(base, n, span),
                    _ => self.fail(
                        Diagnostic::error(
                            "tuple-index",
                            span,
                            format!("Invalid tuple index: {index}. Found {count} elements in tuple."),
                        )
                        .note("the first element is number 0"),
                    ),
                }
            }
            ty => {
                let found = self.spell(ty);
                self.error(
                    "not-a-tuple",
                    span,
                    format!("Can not access index '{index}' on expression of type '{found}'"),
                )
            }
        }
    }

    pub fn find_field(&mut self, id: StructId, name: &str, span: Span) -> Checked<Field> {
        let spelled = self.spell(&Type::Struct(id));
        let Some(definition) = self.host.types.structure(id) else {
            return self.fail(
                Diagnostic::error("unknown-type", span, format!("Unknown struct/union: '{spelled}'"))
                    .note("it is only declared, never defined, in the kernel's type information"),
            );
        };
        if let Some(field) = definition.field(name) {
            return Ok(field.clone());
        }
        let other = super::expr::similar(name, definition.fields.iter().map(|f| f.name.as_str()));
        let mut error = Diagnostic::error(
            "unknown-field",
            span,
            format!("Struct/union of type '{spelled}' does not contain a field named '{name}'"),
        );
        error = match other {
            Some(names) => error.help(names),
            None => {
                let names: Vec<&str> = definition.fields.iter().take(8).map(|f| f.name.as_str()).collect();
                let more = if definition.fields.len() > names.len() { ", …" } else { "" };
                error.note(format!("it has {}{more}", names.join(", ")))
            }
        };
        self.fail(error)
    }

    fn no_fields<T>(&mut self, ty: &Type, name: &str, span: Span) -> Checked<T> {
        let found = self.spell(ty);
        let mut error = Diagnostic::error(
            "not-a-struct",
            span,
            format!("Can not access field '{name}' on expression of type '{found}'"),
        );
        if matches!(ty, Type::Int(_) | Type::Ptr { .. }) {
            error = error.help(format!("cast it to a pointer to its struct: ((struct … *)…).{name}"));
        }
        // Of what would be a struct if the kernel's types were known.
        if matches!(ty, Type::Ptr { to, .. } if **to == Type::Void)
            && let Some(problem) = self.host.types.problem()
        {
            error = error.note(problem.to_owned());
        }
        self.fail(error)
    }

    /// `base[index]`
    pub fn index(&mut self, base: Value, index: Value, span: Span) -> Checked<Value> {
        if matches!(base.ty(), Type::Tuple(_)) {
            return match index.constant().map(u64::try_from) {
                Some(Ok(n)) => self.tuple_field(base, n, span),
                _ => self.fail(
                    Diagnostic::error(
                        "tuple-index",
                        index.expr.span,
                        "The index of a tuple must be known before the script runs",
                    )
                    .help("write a number: $t.0"),
                ),
            };
        }
        let base = characters(base);
        let (constant, index_span) = (index.constant(), index.expr.span);
        // As in C, a pointer may point into the midst of something.
        let pointer = matches!(base.ty(), Type::Ptr { .. });
        let index = match self.number(index) {
            Ok(index) if pointer || constant.is_none_or(|n| n >= 0) => index,
            Ok(index) | Err(index) => {
                let found = constant.map_or_else(|| self.spell(index.ty()).to_string(), |n| n.to_string());
                return self.error(
                    "array-index",
                    index_span,
                    format!("elements are counted by integers from 0 on, not by {found}"),
                );
            }
        };
        match base.ty().clone() {
            Type::Ptr { to, space } => {
                if *to == Type::Void {
                    return self.fail(
                        Diagnostic::error(
                            "void-pointer",
                            span,
                            "void * has no elements: how large they are is not known",
                        )
                        .help("say what it points to with a cast: ((uint64 *)…)[0]"),
                    );
                }
                let pointer = self.offset_pointer(base.expr, &to, index.expr);
                let place = self.target(pointer, *to, space, span);
                Ok(self.read(place))
            }
            Type::Array { elem, len } => self.element(base, *elem, len, (index.expr, constant), span),
            Type::Str(len) => self.element(base, Type::Int(Int::I8), len, (index.expr, constant), span),
            ty => {
                let found = self.spell(&ty);
                self.error(
                    "not-an-array",
                    span,
                    format!("{found} has no elements: arrays, strings, pointers and tuples have"),
                )
            }
        }
    }

    /// An index that is known only when it is used: the user is told if there is no such element.
    fn guarded_index(&mut self, index: ir::Expr, len: u32, span: Span) -> ir::Expr {
        let place = index.span;
        let (set, index) = self.keep(index);
        // Kept as the reference says it: see `diagnostics::codes`.
        let message = "Array access out of bounds. This can lead to unexpected results.".to_owned();
        let warning = self.emit(EventKind::Warning { message }, vec![], span);
        let end = build::constant(len.into(), Type::U64, place);
        let beyond = build::binary(ir::Binary::Ge, index.clone(), end);
        let check = build::conditional(beyond, vec![warning], vec![], place);
        super::convert::after(vec![set, check], index)
    }

    fn element(
        &mut self,
        base: Value,
        elem: Type,
        len: u32,
        (index, constant): (ir::Expr, Option<i128>),
        span: Span,
    ) -> Checked<Value> {
        if let Some(n) = constant
            && len > 0
            && n >= i128::from(len)
        {
            return self.error(
                "array-index",
                index.span,
                format!("the index {n} is out of bounds for array of size {len}"),
            );
        }
        let index = build::cast(index, Type::U64);
        let index = if constant.is_none() && len > 0 { self.guarded_index(index, len, span) } else { index };
        let array = Type::Array { elem: Box::new(elem.clone()), len };
        match base.expr.kind {
            ExprKind::Load(mut place) => {
                place.ty = array;
                Ok(self.read(build::index(*place, index, elem, span)))
            }
            kind => {
                let base = ir::Expr { kind, ..base.expr };
                let base = if base.ty == array { base } else { build::reinterpret(base, array) };
                let element = ExprKind::Element { base: Box::new(base), index: Box::new(index) };
                Ok(Value::new(build::expr(element, elem, span)))
            }
        }
    }

    /// A pointer moved by so many elements.
    pub fn offset_pointer(&mut self, pointer: ir::Expr, to: &Type, count: ir::Expr) -> ir::Expr {
        if let Type::Struct(id) = to {
            self.host.types.structure(*id);
        }
        let size = layout::size_of(to, self.host.types.layouts()).max(1);
        let (ty, span) = (pointer.ty.clone(), pointer.span.to(count.span));
        let bytes = match count.kind {
            ExprKind::Const(n) => build::constant(n.wrapping_mul(u64::from(size)), Type::U64, count.span),
            _ if size == 1 => build::cast(count, Type::U64),
            _ => {
                let size = build::constant(u64::from(size), Type::U64, count.span);
                build::binary(ir::Binary::Mul, build::cast(count, Type::U64), size)
            }
        };
        let sum = build::binary(ir::Binary::Add, build::cast(pointer, Type::U64), bytes);
        ir::Expr { span, ..build::cast(sum, ty) }
    }

    /// A tracepoint's argument: an array of characters in the record may be full as one of a struct.
    pub fn recorded(&self, argument: ir::Expr) -> ir::Expr {
        match (argument.kind, argument.ty) {
            (ExprKind::Load(mut place), Type::Str(len))
                if matches!(place.kind, PlaceKind::Context { .. }) =>
            {
                place.ty = array_of_characters(len);
                let ty = Type::Str(self.host.config.whole_text_size(len));
                ir::Expr { kind: ExprKind::Load(place), ty, span: argument.span }
            }
            (kind, ty) => ir::Expr { kind, ty, span: argument.span },
        }
    }
}

fn array_of_characters(len: u32) -> Type {
    Type::Array { elem: Box::new(Type::Int(Int::I8)), len }
}

/// A string that was an array of characters as that array, for what looks at its bytes.
pub fn characters(value: Value) -> Value {
    if !matches!(value.ty(), Type::Str(_)) {
        return value;
    }
    let expr = match value.expr.kind {
        ExprKind::Load(place) if matches!(place.ty, Type::Array { .. }) => {
            ir::Expr { ty: place.ty.clone(), kind: ExprKind::Load(place), span: value.expr.span }
        }
        ExprKind::Pack(mut parts) if matches!(parts.as_slice(), [(0, whole)] if matches!(whole.ty, Type::Array { .. })) => {
            match parts.pop() {
                Some((_, whole)) => whole,
                None => ir::Expr { kind: ExprKind::Pack(parts), ..value.expr },
            }
        }
        kind => ir::Expr { kind, ..value.expr },
    };
    Value { expr, ..value }
}

/// A string that was an array of so many characters as a string of the array's own size: `let $c: string[16] =
/// curtask.comm`. The last character of a full one makes room for the NUL.
pub fn in_size_of_array(value: Value, declared: u32) -> Value {
    let expr = match value.expr {
        ir::Expr { kind: ExprKind::Load(mut place), ty: Type::Str(_), span } if matches!(&place.ty, Type::Array { len, .. } if *len == declared) =>
        {
            place.ty = Type::Str(declared);
            ir::Expr { ty: place.ty.clone(), kind: ExprKind::Load(place), span }
        }
        other => other,
    };
    Value { expr, ..value }
}

/// A bitfield out of the integer that holds it.
fn bitfield(whole: ir::Expr, bits: Bits, int: Int, ty: Type) -> ir::Expr {
    let span = whole.span;
    let (width, shift) = (u32::from(bits.width.clamp(1, 64)), u32::from(bits.shift));
    let wide = if int.signed { Type::I64 } else { Type::U64 };
    let by = |n: u32| build::constant(u64::from(n), wide.clone(), span);
    let raised = build::binary(
        ir::Binary::Shl,
        build::cast(whole, wide.clone()),
        by(64u32.saturating_sub(width + shift)),
    );
    // The second shift brings the sign down for signed ones.
    build::cast(build::binary(ir::Binary::Shr, raised, by(64 - width)), ty)
}
