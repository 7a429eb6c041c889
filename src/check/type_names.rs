//! Types as they are written, and what asks about types: `sizeof`, `offsetof`.

use super::operators::literal_int;
use super::shape::Value;
use super::{Checked, Checker};
use crate::config::MAX_VALUE;
use crate::diagnostics::{Diagnostic, Span};
use crate::syntax::ast::{TypeBase, TypeName, TypeSuffix};
use crate::types::store::Named;
use crate::types::{Space, Type, layout};

impl Checker<'_, '_> {
    /// The type that is written there.
    pub fn named_type(&mut self, written: &TypeName) -> Checked<Type> {
        let mut ty = self.base_type(written)?;
        for (n, suffix) in written.suffixes.iter().enumerate() {
            ty = match suffix {
                TypeSuffix::Pointer => Type::ptr(ty, Space::Unknown),
                suffix => {
                    let len = match suffix {
                        TypeSuffix::Array(len) => i128::from(len.unwrap_or(0)),
                        TypeSuffix::ArrayOf(name) => self.length(name, written.span)?,
                        TypeSuffix::Pointer => 0,
                    };
                    let Ok(len) = u32::try_from(len) else {
                        return self.error(
                            "invalid-type",
                            written.span,
                            format!("There is no array of {len} elements"),
                        );
                    };
                    let sized = match ty {
                        Type::Str(0) if n == 0 => Type::Str(len),
                        Type::Buf(0) if n == 0 => Type::Buf(len),
                        // For the bytes of an address, for which there is always room.
                        Type::Inet if n == 0 && matches!(len, 4 | 16) => Type::Inet,
                        elem => Type::Array { elem: Box::new(elem), len },
                    };
                    let size = u64::from(layout::size_of(&sized, self.host.types.layouts()));
                    if size > MAX_VALUE {
                        let text =
                            format!("A type of {size} bytes is too large: values have at most {MAX_VALUE}");
                        return self.error("invalid-type", written.span, text);
                    }
                    sized
                }
            };
        }
        Ok(ty)
    }

    /// The number that a constant of headers or enums stands for. (A `#define`'s has taken its place before.)
    fn length(&mut self, name: &str, span: Span) -> Checked<i128> {
        match self.host.types.constant(name) {
            Some(Named::Number(value)) => Ok(value),
            Some(Named::Enumerator(_, value)) => Ok(value.into()),
            Some(Named::Text(_)) => {
                self.error("invalid-type", span, format!("{name} is a string, and no number of elements"))
            }
            None => {
                let error = Diagnostic::error("invalid-type", span, format!("Unknown identifier: '{name}'"));
                let error =
                    error.note("the length of an array is a number or a constant that stands for one");
                let names = self.host.types.similar_constants(name);
                let error = match super::expr::similar(name, names) {
                    Some(names) => error.help(names),
                    None => error,
                };
                let error = self.with_headers(error);
                self.fail(error)
            }
        }
    }

    fn base_type(&mut self, written: &TypeName) -> Checked<Type> {
        let (tag, name) = match &written.base {
            TypeBase::Named { tag, name } => (*tag, name),
            TypeBase::Of(e) => return self.type_of(e),
        };
        if let Some(ty) = self.host.types.find(tag, name) {
            return Ok(ty);
        }
        let spelled = match tag {
            Some(tag) => format!("{} {name}", tag.keyword()),
            None => name.clone(),
        };
        let mut error = Diagnostic::error(
            "unknown-type",
            written.span,
            format!("Cannot resolve unknown type \"{spelled}\""),
        );
        let names = self.host.types.similar(tag, name);
        error = match super::expr::similar(name, names) {
            Some(names) => error.help(names),
            None => match self.host.types.problem() {
                Some(problem) => error.note(problem),
                None => error.note("neither the script nor the kernel's type information (BTF) defines it"),
            },
        };
        let error = self.with_headers(error);
        self.fail(error)
    }

    /// A type's size in bytes, its structs loaded.
    pub fn size_of(&mut self, ty: &Type) -> u32 {
        self.host.types.close(ty);
        layout::size_of(ty, self.host.types.layouts())
    }

    /// `sizeof(type)`, `offsetof(type, field)`
    pub fn type_call(
        &mut self,
        name: &str,
        name_span: Span,
        ty: &TypeName,
        fields: &[String],
        span: Span,
    ) -> Checked<Value> {
        match name {
            "sizeof" => {
                // `sizeof(x)` looks like a type even where x is a constant, and constants have 64 bits.
                if let TypeBase::Named { tag: None, name } = &ty.base
                    && ty.suffixes.is_empty()
                    && self.host.types.find(None, name).is_none()
                    && self.host.types.constant(name).is_some()
                {
                    return Ok(literal_int(8, span));
                }
                let ty = self.named_type(ty)?;
                self.sizeof(&ty, span)
            }
            "offsetof" if fields.is_empty() => self.fail(
                Diagnostic::error("argument-count", span, "offsetof() requires 2 arguments (1 provided)")
                    .help("name the field: offsetof(struct file, f_path.dentry)"),
            ),
            "offsetof" => {
                let ty = self.named_type(ty)?;
                self.offsetof(ty, fields, span)
            }
            "typeinfo" => {
                let ty = self.named_type(ty)?;
                Ok(self.typeinfo(&ty, span))
            }
            _ => self.fail(
                Diagnostic::error("unsupported", name_span, format!("{name}() of a type is not supported"))
                    .help("sizeof and offsetof take types"),
            ),
        }
    }

    pub fn sizeof(&mut self, ty: &Type, span: Span) -> Checked<Value> {
        if let Type::Struct(id) = ty
            && self.host.types.structure(*id).is_none()
        {
            let spelled = self.spell(ty);
            return self.error("unknown-type", span, format!("The size of {spelled} is not known"));
        }
        Ok(literal_int(u64::from(self.size_of(ty)), span))
    }

    pub fn offsetof(&mut self, ty: Type, fields: &[String], span: Span) -> Checked<Value> {
        let (mut ty, mut offset) = (ty, 0u64);
        for name in fields {
            let Type::Struct(id) = ty else {
                let spelled = self.spell(&ty);
                return self.error("not-a-struct", span, format!("'{spelled}' is not a C type."));
            };
            let field = self.find_field(id, name, span)?;
            offset += u64::from(field.offset);
            ty = field.ty;
        }
        Ok(literal_int(offset, span))
    }
}
