//! Constant expressions.

use super::constant::{Constant, precedence};
use super::parser::{Parsed, Parser};
use super::scope::Object;
use super::token::Kind;
use crate::diagnostics::{Diagnostic, Span};
use crate::types::store::Named;
use crate::types::{Field, Int, Type};

impl Parser<'_, '_> {
    pub fn constant(&mut self) -> Parsed<Constant> {
        self.nested(|this| {
            let condition = this.binary(1)?;
            if !this.take("?") {
                return Ok(condition);
            }
            let then = this.constant()?;
            this.expect(":", "in a choice `a ? b : c`")?;
            let otherwise = this.constant()?;
            Ok(then.select(otherwise, condition.value != 0))
        })
    }

    /// Operators that bind at least that tight.
    fn binary(&mut self, least: u8) -> Parsed<Constant> {
        let start = self.span();
        let mut left = self.unary()?;
        while let Some(token) = self.peek().filter(|t| t.kind == Kind::Punctuation)
            && let Some(strength) = precedence(token.text).filter(|p| *p >= least)
        {
            self.skip();
            let right = self.nested(|this| this.binary(strength + 1))?;
            let span = start.to(self.last());
            left = left.binary(token.text, right).ok_or_else(|| {
                let what = match token.text {
                    "/" | "%" => "this divides by zero",
                    _ => "this shifts by more bits than there are",
                };
                Diagnostic::error("c-constant", span, what)
            })?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed<Constant> {
        let Some(token) = self.peek() else { return Err(self.unexpected("a number")) };
        let bad = |what: &str| Err(Diagnostic::error("c-constant", token.span, what));
        self.skip();
        match (token.kind, token.text) {
            (Kind::Number, text) => match Constant::literal(text) {
                Some(value) => Ok(value),
                None => bad(&format!("`{text}` is not an integer")),
            },
            (Kind::Char, text) => match Constant::character(text) {
                Some(value) => Ok(value),
                None => bad(&format!("{text} is not a character")),
            },
            (Kind::Punctuation, op @ ("+" | "-" | "~" | "!")) => {
                let operand = self.nested(Self::unary)?;
                operand.unary(op).ok_or_else(|| self.unexpected("a number"))
            }
            (Kind::Punctuation, "(") => self.nested(Self::parenthesized),
            (Kind::Word, "sizeof" | "_Alignof" | "__alignof__" | "alignof") => self.measure(token.text),
            (Kind::Word, "offsetof" | "__builtin_offsetof") => self.offset(),
            (Kind::Word, "true") => Ok(Constant::truth(true)),
            (Kind::Word, "false") => Ok(Constant::truth(false)),
            (Kind::Word, name) => self.named_constant(name, token.span),
            _ => {
                self.go_to(self.position() - 1);
                Err(self.unexpected("a number"))
            }
        }
    }

    /// After a `(`: a cast, or an expression.
    fn parenthesized(&mut self) -> Parsed<Constant> {
        if !self.starts_type() {
            let value = self.constant()?;
            self.expect(")", "after an expression")?;
            return Ok(value);
        }
        let start = self.span();
        let to = self.type_name()?;
        let span = start.to(self.last());
        self.expect(")", "after a type")?;
        let value = self.unary()?;
        match (&to.ty, to.ty.as_int()) {
            (Type::Bool, _) => Ok(Constant { value: i128::from(value.value != 0), int: Int::U8 }),
            (Type::Int(_) | Type::Enum { .. }, Some(int)) => Ok(Constant::new(value.value, int)),
            _ => Err(Diagnostic::error("c-constant", span, "a constant can only be cast to an integer")),
        }
    }

    /// After `sizeof` and the like.
    fn measure(&mut self, what: &str) -> Parsed<Constant> {
        self.expect("(", &format!("after `{what}`"))?;
        let start = self.span();
        if !self.starts_type() {
            return Err(self.unexpected("a type"));
        }
        let object = self.nested(Self::type_name)?;
        let (size, align) = self.size_and_alignment(&object, start.to(self.last()))?;
        self.expect(")", "after a type")?;
        let value = if what == "sizeof" { i128::from(size) } else { i128::from(align) };
        Ok(Constant { value, int: Int::U64 })
    }

    /// After `typeof`: a type, a constant, or a member of what a cast pointer points to, `((struct foo *)0)->a.b`.
    pub fn type_of(&mut self) -> Parsed<Object> {
        self.expect("(", "after `typeof`")?;
        let start = self.position();
        let cast = self.take("(") && self.take("(") && self.starts_type();
        self.go_to(start);
        let object = if self.starts_type() {
            self.type_name()?
        } else if cast {
            self.member_type()?
        } else {
            Object::from(Type::Int(self.constant()?.int))
        };
        self.expect(")", "after `typeof(`")?;
        Ok(object)
    }

    /// `((struct foo *)0)->a.b[1]`
    fn member_type(&mut self) -> Parsed<Object> {
        self.expect("(", "before a cast")?;
        self.expect("(", "before a type")?;
        let base = self.type_name()?;
        self.expect(")", "after a type")?;
        self.constant()?;
        self.expect(")", "after a cast")?;
        let mut ty = base.ty;
        loop {
            let span = self.span();
            let pointed = match &ty {
                Type::Ptr { to, .. } => Some((**to).clone()),
                Type::Array { elem, .. } => Some((**elem).clone()),
                Type::Str(_) => Some(Type::Int(Int::I8)),
                _ => None,
            };
            let of = if self.take("->") {
                pointed
            } else if self.take(".") {
                Some(ty)
            } else if self.take("[") {
                self.constant()?;
                self.expect("]", "after an index")?;
                match pointed {
                    Some(pointed) => ty = pointed,
                    None => {
                        return Err(Diagnostic::error(
                            "c-type",
                            span,
                            "this is neither an array nor a pointer",
                        ));
                    }
                }
                continue;
            } else {
                return Ok(ty.into());
            };
            let Some((name, span)) = self.word() else { return Err(self.unexpected("a field's name")) };
            ty = self.field_of(of, name, span)?.ty;
        }
    }

    fn field_of(&mut self, ty: Option<Type>, name: &str, span: Span) -> Parsed<Field> {
        let field = match ty {
            Some(Type::Struct(id)) => self.types.structure(id).and_then(|s| s.field(name)).cloned(),
            _ => None,
        };
        field.ok_or_else(|| Diagnostic::error("unknown-field", span, format!("there is no field `{name}`")))
    }

    /// After `offsetof`: `(struct foo, a.b)`
    fn offset(&mut self) -> Parsed<Constant> {
        self.expect("(", "after `offsetof`")?;
        let start = self.span();
        let object = self.nested(Self::type_name)?;
        self.size_and_alignment(&object, start.to(self.last()))?;
        self.expect(",", "before a field's name")?;
        let (mut ty, mut offset) = (object.ty, 0i128);
        loop {
            let Some((name, span)) = self.word() else { return Err(self.unexpected("a field's name")) };
            let field = self.field_of(Some(ty), name, span)?;
            offset += i128::from(field.offset);
            ty = field.ty;
            if !self.take(".") {
                break;
            }
        }
        self.expect(")", "after a field")?;
        Ok(Constant { value: offset, int: Int::U64 })
    }

    /// An enumerator; what `#define` defines has been put in place before.
    fn named_constant(&mut self, name: &str, span: Span) -> Parsed<Constant> {
        if let Some(value) = self.enumerators.get(name) {
            let int = if i32::try_from(*value).is_ok() { Int::I32 } else { Int::I64 };
            return Ok(Constant::new(*value, int));
        }
        match self.types.constant(name) {
            Some(Named::Enumerator(ty, value)) => {
                let int = ty.as_int().unwrap_or(Int::I32);
                return Ok(Constant::new(i128::from(value), int));
            }
            Some(Named::Number(value)) => {
                let int = if i32::try_from(value).is_ok() { Int::I32 } else { Int::I64 };
                return Ok(Constant { value, int });
            }
            Some(Named::Text(_)) | None => {}
        }
        Err(Diagnostic::error("unknown-identifier", span, format!("there is no constant `{name}`")).note(
            "the script does not define it, and the kernel's type information (BTF) has no such enumerator",
        ))
    }
}
