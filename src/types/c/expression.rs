//! Constant expressions.

use super::constant::{Constant, precedence};
use super::parser::{Parsed, Parser};
use super::token::Kind;
use crate::diagnostics::{Diagnostic, Span};
use crate::types::store::Named;
use crate::types::{Int, Type};

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
            let field = match ty {
                Type::Struct(id) => self.types.structure(id).and_then(|s| s.field(name)).cloned(),
                _ => None,
            };
            let Some(field) = field else {
                return Err(Diagnostic::error("unknown-field", span, format!("there is no field `{name}`")));
            };
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
