//! `__attribute__` and its like, as far as they matter for layouts or for where a pointer points.

use super::parser::{Parsed, Parser};
use super::scope::Object;
use super::token::Kind;
use crate::diagnostics::{Diagnostic, Span};
use crate::types::Type;

#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes {
    pub packed: bool,
    /// In bytes.
    pub aligned: Option<u32>,
    /// `__user`
    pub user: bool,
    /// `vector_size`, in bytes.
    pub vector: Option<u32>,
}

impl Attributes {
    pub fn and(self, other: Attributes) -> Attributes {
        Attributes {
            packed: self.packed || other.packed,
            aligned: self.aligned.max(other.aligned),
            user: self.user || other.user,
            vector: self.vector.or(other.vector),
        }
    }
}

/// The kernel's names for attributes, and C's own.
const ATTRIBUTES: [&str; 8] = [
    "__attribute__",
    "__attribute",
    "__packed",
    "__aligned",
    "_Alignas",
    "alignas",
    "____cacheline_aligned",
    "____cacheline_aligned_in_smp",
];

/// Words that change nothing here, the kernel's annotations among them.
const IGNORED: [&str; 31] = [
    "const",
    "__const",
    "__const__",
    "volatile",
    "__volatile__",
    "restrict",
    "__restrict",
    "__restrict__",
    "_Atomic",
    "__extension__",
    "register",
    "inline",
    "__inline",
    "__inline__",
    "_Noreturn",
    "__user",
    "__kernel",
    "__iomem",
    "__percpu",
    "__rcu",
    "__force",
    "__nocast",
    "__bitwise",
    "__private",
    "__safe",
    "__deprecated",
    "__maybe_unused",
    "__always_unused",
    "__randomize_layout",
    "__no_randomize_layout",
    "__must_check",
];

pub fn is_attribute(word: &str) -> bool {
    ATTRIBUTES.contains(&word) || IGNORED.contains(&word)
}

/// What `aligned` means without a number: the largest alignment that any type has.
const MAX_ALIGN: u32 = 16;
/// The size of a cache line, where the kernel's annotations ask for one.
const CACHE_LINE: u32 = 64;

impl Parser<'_, '_> {
    /// All attributes and qualifiers that come next.
    pub fn attributes(&mut self) -> Parsed<Attributes> {
        let mut found = Attributes::default();
        while let Some(token) = self.peek().filter(|t| t.kind == Kind::Word && is_attribute(t.text)) {
            self.skip();
            match token.text {
                "__attribute__" | "__attribute" => self.attribute_list(&mut found)?,
                "__packed" => found.packed = true,
                "__user" => found.user = true,
                "__aligned" | "_Alignas" | "alignas" => {
                    let align = self.alignment()?;
                    found.aligned = found.aligned.max(Some(align));
                }
                "____cacheline_aligned" | "____cacheline_aligned_in_smp" => {
                    found.aligned = found.aligned.max(Some(CACHE_LINE));
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// `((packed, aligned(8)))`
    fn attribute_list(&mut self, found: &mut Attributes) -> Parsed<()> {
        self.expect("(", "after `__attribute__`")?;
        self.expect("(", "after `__attribute__(`")?;
        while !self.take(")") {
            let Some(token) = self.peek() else { return Err(self.unexpected("`))` to end the attributes")) };
            self.skip();
            match token.text.trim_matches('_') {
                "packed" => found.packed = true,
                "aligned" => {
                    let align = if self.at("(") { self.alignment()? } else { MAX_ALIGN };
                    found.aligned = found.aligned.max(Some(align));
                }
                "vector_size" => found.vector = Some(self.alignment()?),
                name @ ("mode" | "ms_struct" | "scalar_storage_order" | "ext_vector_type") => {
                    let message = format!("the attribute `{name}` is not supported");
                    return Err(Diagnostic::error("unsupported", token.span, message)
                        .note("it changes how the type lies in memory"));
                }
                _ if token.text == "(" => self.skip_parentheses()?,
                _ => {}
            }
        }
        self.expect(")", "to end the attributes")
    }

    /// A type as an array of it, where `vector_size` makes it a vector.
    pub fn vector(&mut self, object: Object, attributes: Attributes, span: Span) -> Parsed<Object> {
        let Some(bytes) = attributes.vector else { return Ok(object) };
        let (size, _) = self.size_and_alignment(&object, span)?;
        let number = matches!(object.ty, Type::Int(_) | Type::Bool | Type::Float { .. } | Type::Array { .. });
        match u32::try_from(size) {
            Ok(size) if number && size > 0 && bytes >= size && bytes.is_multiple_of(size) => {
                let ty = Type::Array { elem: Box::new(object.ty), len: bytes / size };
                Ok(Object { ty, align: Some(bytes), ..object })
            }
            _ => Err(Diagnostic::error("c-type", span, format!("this cannot be a vector of {bytes} bytes"))),
        }
    }

    /// `(8)`, `(struct foo)`
    fn alignment(&mut self) -> Parsed<u32> {
        let span = self.span();
        self.expect("(", "before an alignment")?;
        let align = if self.starts_type() {
            let object = self.type_name()?;
            self.size_and_alignment(&object, span)?.1
        } else {
            let value = self.constant()?;
            let span = span.to(self.last());
            u32::try_from(value.value).ok().filter(|a| a.is_power_of_two() && *a <= 1 << 20).ok_or_else(
                || {
                    let message = format!("{} is not an alignment: it takes a power of two", value.value);
                    Diagnostic::error("c-constant", span, message)
                },
            )?
        };
        self.expect(")", "after an alignment")?;
        Ok(align)
    }
}
