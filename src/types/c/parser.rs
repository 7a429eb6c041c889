//! Definitions and the specifiers that they begin with. A recursive descent over the tokens, whose depth is bounded.

use std::collections::HashMap;

use super::attributes::{Attributes, is_attribute};
use super::scope::Object;
use super::token::{Kind, Token};
use crate::diagnostics::{Diagnostic, Span, suggest};
use crate::syntax::ast::Tag;
use crate::types::names::well_known;
use crate::types::store::Types;
use crate::types::{Enum, Int, Type, layout};

pub type Parsed<T> = Result<T, Diagnostic>;

/// How deep structs, parentheses and the like may stand in each other.
const MAX_DEPTH: u32 = 48;

pub struct Parser<'t, 'a> {
    tokens: &'t [Token<'a>],
    at: usize,
    /// Of the whole definition.
    whole: Span,
    pub pack: Option<u32>,
    pub types: &'t mut Types,
    /// The constants of the enum that is being read.
    pub enumerators: HashMap<&'a str, i128>,
    depth: u32,
}

/// What a declaration begins with.
pub struct Specifiers {
    pub object: Object,
    pub attributes: Attributes,
    typedef: bool,
    /// The type is defined right here, and has no name: a member of such a type needs none either.
    pub anonymous: bool,
    pub span: Span,
}

impl<'t, 'a> Parser<'t, 'a> {
    pub fn new(tokens: &'t [Token<'a>], whole: Span, pack: Option<u32>, types: &'t mut Types) -> Self {
        Parser { tokens, at: 0, whole, pack, types, enumerators: HashMap::new(), depth: 0 }
    }

    // ---- tokens ----

    pub fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    pub fn peek_at(&self, ahead: usize) -> Option<Token<'a>> {
        self.tokens.get(self.at + ahead).copied()
    }

    pub fn position(&self) -> usize {
        self.at
    }

    pub fn go_to(&mut self, position: usize) {
        self.at = position;
    }

    pub fn skip(&mut self) {
        self.at += 1;
    }

    pub fn at(&self, text: &str) -> bool {
        self.peek().is_some_and(|t| t.text == text && t.kind != Kind::Text)
    }

    pub fn take(&mut self, text: &str) -> bool {
        let there = self.at(text);
        self.at += usize::from(there);
        there
    }

    /// The place of the next token, or of the end.
    pub fn span(&self) -> Span {
        self.peek().map_or(Span { start: self.whole.end, ..self.whole }, |t| t.span)
    }

    /// The place of the token before.
    pub fn last(&self) -> Span {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(self.whole.head(), |t| t.span)
    }

    pub fn expect(&mut self, text: &str, place: &str) -> Parsed<()> {
        if self.take(text) { Ok(()) } else { Err(self.unexpected(&format!("`{text}` {place}"))) }
    }

    pub fn unexpected(&self, wanted: &str) -> Diagnostic {
        match self.peek() {
            Some(token) => {
                let message = format!("expected {wanted}, found `{}`", token.text);
                Diagnostic::error("c-syntax", token.span, message)
            }
            None => {
                let message = format!("expected {wanted}, but the definition ends here");
                Diagnostic::error("c-syntax", self.last(), message)
            }
        }
    }

    /// Skips to after the parenthesis that closes the one before.
    pub fn skip_parentheses(&mut self) -> Parsed<()> {
        let mut depth = 1usize;
        while let Some(token) = self.peek() {
            self.skip();
            match token.text {
                "(" => depth += 1,
                ")" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
        Err(self.unexpected("`)`"))
    }

    /// One level deeper, if that is not too deep.
    pub fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return Err(Diagnostic::error("too-deep", self.span(), "this is nested too deeply"));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    // ---- definitions ----

    pub fn definitions(&mut self) -> Parsed<()> {
        while self.peek().is_some() {
            if self.take(";") || self.static_assert()? {
                continue;
            }
            let specifiers = self.specifiers()?;
            while !self.at(";") && self.peek().is_some() {
                self.declaration(&specifiers)?;
                if !self.take(",") {
                    break;
                }
            }
            if self.peek().is_some() {
                self.expect(";", "after a definition")?;
            }
        }
        Ok(())
    }

    fn declaration(&mut self, specifiers: &Specifiers) -> Parsed<()> {
        let declared = self.declarator(specifiers.object.clone(), specifiers.attributes)?;
        let Some((name, span)) = declared.name else { return Err(self.unexpected("a name")) };
        if !specifiers.typedef {
            return Err(Diagnostic::error(
                "c-syntax",
                span,
                format!("`{name}` is neither a type nor a constant"),
            )
            .note("C definitions of a script can only define types; there is no memory for variables"));
        }
        let attributes = specifiers.attributes.and(declared.attributes);
        let mut object = self.vector(declared.object, attributes, span)?;
        let align = attributes.aligned;
        object.align = object.align.max(align);
        if let Some((known, first)) = self.types.scope().typedefs.get(name)
            && *known != object
        {
            return Err(redefined(&format!("the type `{name}`"), span, *first));
        }
        // The only name that it has is the one to show.
        if let (true, Type::Struct(id)) = (specifiers.anonymous, &object.ty) {
            self.types.name_struct(*id, name);
        }
        self.types.define_typedef(name, object, span);
        Ok(())
    }

    /// `_Static_assert(…)`, which is skipped.
    pub fn static_assert(&mut self) -> Parsed<bool> {
        if !self.take("_Static_assert") && !self.take("static_assert") {
            return Ok(false);
        }
        self.expect("(", "after `_Static_assert`")?;
        self.skip_parentheses()?;
        Ok(true)
    }

    // ---- specifiers ----

    /// Whether a type comes next.
    pub fn starts_type(&mut self) -> bool {
        let Some(token) = self.peek().filter(|t| t.kind == Kind::Word) else { return false };
        matches!(token.text, "struct" | "union" | "enum")
            || is_integer_word(token.text)
            || is_attribute(token.text)
            || floating(token.text).is_some()
            || matches!(token.text, "typeof" | "__typeof__" | "__typeof")
            || self.typedef(token.text).is_some()
    }

    pub fn specifiers(&mut self) -> Parsed<Specifiers> {
        let start = self.span();
        let mut words: Vec<&str> = vec![];
        let mut found: Option<Object> = None;
        let (mut typedef, mut anonymous) = (false, false);
        let mut attributes = Attributes::default();
        while let Some(token) = self.peek().filter(|t| t.kind == Kind::Word) {
            attributes = attributes.and(self.attributes()?);
            let Some(token) = self.peek().filter(|t| t.kind == Kind::Word && *t == token) else { continue };
            match token.text {
                "typedef" => {
                    typedef = true;
                    self.skip();
                }
                "extern" | "static" | "_Thread_local" => self.skip(),
                "struct" | "union" | "enum" if found.is_none() && words.is_empty() => {
                    self.skip();
                    let (object, unnamed) = self.nested(|this| match token.text {
                        "struct" => this.record(Tag::Struct),
                        "union" => this.record(Tag::Union),
                        _ => this.enumeration(),
                    })?;
                    (found, anonymous) = (Some(object), unnamed);
                }
                word if is_integer_word(word) && found.is_none() => {
                    words.push(word);
                    self.skip();
                }
                word if matches!(
                    (word, words.as_slice()),
                    ("double", ["long"]) | ("__int128", ["signed" | "unsigned"])
                ) =>
                {
                    words.clear();
                    found = Some(opaque(16, 16));
                    self.skip();
                }
                "typeof" | "__typeof__" | "__typeof" if found.is_none() && words.is_empty() => {
                    self.skip();
                    found = Some(self.nested(Self::type_of)?);
                }
                "_BitInt" | "_Complex" if found.is_none() => {
                    let message = format!("`{}` is not supported in C definitions", token.text);
                    return Err(Diagnostic::error("unsupported", token.span, message));
                }
                word if found.is_none() && words.is_empty() => {
                    let object = match floating(word) {
                        Some(object) => object,
                        None => self.typedef(word).ok_or_else(|| self.unknown(None, word, token.span))?,
                    };
                    found = Some(object);
                    self.skip();
                }
                _ => break,
            }
        }
        let span = start.to(self.last());
        let object = match found {
            Some(object) => object,
            None if words.is_empty() => return Err(self.unexpected("a type")),
            None => integer(&words).ok_or_else(|| {
                Diagnostic::error("c-syntax", span, format!("`{}` is not a type of C", words.join(" ")))
            })?,
        };
        Ok(Specifiers { object, attributes, typedef, anonymous, span })
    }

    /// The type that a name stands for: one of the script's, a well-known one, one of the kernel's.
    fn typedef(&mut self, name: &str) -> Option<Object> {
        if let Some((object, _)) = self.types.scope().typedefs.get(name) {
            return Some(object.clone());
        }
        // The language's other types (string, inet) mean nothing in C.
        let known = well_known(name).filter(|ty| matches!(ty, Type::Int(_) | Type::Bool | Type::Void));
        match known {
            Some(ty) => Some(ty.into()),
            None if well_known(name).is_some() => None,
            None => self.types.find(None, name).map(Object::from),
        }
    }

    pub fn unknown(&mut self, tag: Option<Tag>, name: &str, span: Span) -> Diagnostic {
        let spelled = tag.map_or(name.to_owned(), |tag| format!("{} {name}", tag.keyword()));
        let error =
            Diagnostic::error("unknown-type", span, format!("Cannot resolve unknown type \"{spelled}\""));
        if tag.is_none() && well_known(name).is_some() {
            return error.note("it is a type of the language, but not of C");
        }
        let names = self.types.similar(tag, name);
        let error = match self.types.unread_headers() {
            Some((why, Some(help))) => error.note(why).help(help),
            Some((why, None)) => error.note(why),
            None => error,
        };
        match suggest::did_you_mean(name, names) {
            Some(names) => error.help(names),
            None => match self.types.problem() {
                Some(problem) => error.note(problem),
                None => error.note("neither the script nor the kernel's type information (BTF) defines it"),
            },
        }
    }

    // ---- enums ----

    /// After `enum`.
    fn enumeration(&mut self) -> Parsed<(Object, bool)> {
        let mut attributes = self.attributes()?;
        let name = self.word();
        attributes = attributes.and(self.attributes()?);
        // C23: `enum name : type`.
        let fixed = if name.is_some() && self.at(":") {
            self.skip();
            self.specifiers()?.object.ty.as_int()
        } else {
            None
        };
        let Some((name, span)) = name.filter(|_| !self.at("{")) else {
            if !self.at("{") {
                return Err(self.unexpected("a name or `{` after `enum`"));
            }
            return self.enumerators(name, fixed, attributes);
        };
        match self.types.find(Some(Tag::Enum), name) {
            Some(ty) => Ok((ty.into(), false)),
            None => Err(self.unknown(Some(Tag::Enum), name, span)),
        }
    }

    /// From the `{` on.
    fn enumerators(
        &mut self,
        name: Option<(&'a str, Span)>,
        fixed: Option<Int>,
        attributes: Attributes,
    ) -> Parsed<(Object, bool)> {
        if let Some((name, span)) = name {
            self.check_tag(Tag::Enum, name, span)?;
        }
        let at = name.map_or(self.span(), |(_, span)| span);
        self.skip();
        // An enum may stand within another's: `enum { A = sizeof(enum { B }) }`.
        let outer = std::mem::take(&mut self.enumerators);
        let values = self.enumerator_list();
        self.enumerators = outer;
        let (values, attributes) = (values?, attributes.and(self.attributes()?));
        let int = fixed.unwrap_or_else(|| enum_int(&values, attributes.packed));
        let values = values.into_iter().map(|(name, value)| (name, value as i64)).collect();
        let definition = Enum { name: name.map_or(String::new(), |(n, _)| n.to_owned()), int, values };
        let ty = self.types.define_enum(definition, at);
        Ok((Object { align: attributes.aligned, ..Object::from(ty) }, name.is_none()))
    }

    /// After the `{`, and the `}` too.
    fn enumerator_list(&mut self) -> Parsed<Vec<(String, i128)>> {
        let (mut values, mut next) = (vec![], 0i128);
        while !self.take("}") {
            let Some((name, span)) = self.word() else { return Err(self.unexpected("a name or `}`")) };
            self.attributes()?;
            if self.take("=") {
                next = self.constant()?.value;
            }
            let twice = self.enumerators.insert(name, next).is_some();
            if twice || self.types.scope().enumerator(name).is_some() {
                let message = format!("the constant `{name}` is defined twice");
                return Err(Diagnostic::error("c-redefined", span, message));
            }
            values.push((name.to_owned(), next));
            next += 1;
            if !self.take(",") {
                self.expect("}", "after the constants")?;
                break;
            }
        }
        Ok(values)
    }

    /// A name, if one comes next.
    pub fn word(&mut self) -> Option<(&'a str, Span)> {
        let token = self.peek().filter(|t| t.kind == Kind::Word)?;
        self.skip();
        Some((token.text, token.span))
    }

    /// Refuses to define a name a second time.
    pub fn check_tag(&self, tag: Tag, name: &str, span: Span) -> Parsed<()> {
        match self.types.scope().tagged(name) {
            Some((_, _, first)) => Err(redefined(&format!("{} {name}", tag.keyword()), span, first)),
            None => Ok(()),
        }
    }

    // ---- sizes ----

    /// A type's size and alignment in bytes. `span` is where it is used.
    pub fn size_and_alignment(&mut self, object: &Object, span: Span) -> Parsed<(u64, u32)> {
        if object.function {
            return Err(Diagnostic::error("c-type", span, "a function has no size")
                .help("write a pointer to it: `int (*name)(void)`"));
        }
        if object.ty == Type::Void {
            return Err(Diagnostic::error("c-type", span, "`void` has no size"));
        }
        self.complete(&object.ty, span)?;
        let layouts = self.types.layouts();
        let align = object.align.unwrap_or_else(|| alignment(&object.ty, self.types));
        Ok((u64::from(layout::size_of(&object.ty, layouts)), align))
    }

    fn complete(&mut self, ty: &Type, span: Span) -> Parsed<()> {
        match ty {
            Type::Array { elem, .. } => self.complete(elem, span),
            Type::Struct(id) => {
                if self.types.structure(*id).is_some() {
                    self.types.close(ty);
                    return Ok(());
                }
                let (name, tag) =
                    self.types.layouts().structs.get(id).map_or((String::new(), Tag::Struct), |s| {
                        (s.name.clone(), if s.union { Tag::Union } else { Tag::Struct })
                    });
                if self.types.is_promised(*id) {
                    let message = format!("{} {name} is not complete at this place", tag.keyword());
                    return Err(Diagnostic::error("c-incomplete", span, message)
                        .help("define it before, or use a pointer to it"));
                }
                Err(self.unknown(Some(tag), &name, span))
            }
            _ => Ok(()),
        }
    }
}

fn redefined(what: &str, span: Span, first: Span) -> Diagnostic {
    Diagnostic::error("c-redefined", span, format!("{what} is defined twice"))
        .label(first, "the first is here")
}

/// In bytes; not limited as [`layout::align_of`] is.
fn alignment(ty: &Type, types: &Types) -> u32 {
    match ty {
        Type::Array { elem, .. } => alignment(elem, types),
        Type::Struct(id) => types.layouts().structs.get(id).map_or(1, |s| s.align),
        ty => layout::align_of(ty, types.layouts()),
    }
}

fn is_integer_word(word: &str) -> bool {
    matches!(word, "signed" | "__signed__" | "unsigned" | "char" | "short" | "int" | "long")
}

fn integer(words: &[&str]) -> Option<Object> {
    let words: Vec<&str> = words.iter().map(|w| if *w == "__signed__" { "signed" } else { w }).collect();
    well_known(&words.join(" ")).map(Object::from)
}

/// Numbers that BPF has no operations for; of those that there is no way to show, their bytes.
fn floating(word: &str) -> Option<Object> {
    match word {
        "float" => Some(Type::FLOAT.into()),
        "double" => Some(Type::DOUBLE.into()),
        "__int128" | "__int128_t" | "__uint128_t" | "_Float128" | "__float128" => Some(opaque(16, 16)),
        _ => None,
    }
}

fn opaque(size: u32, align: u32) -> Object {
    Object { align: Some(align), ..Object::from(Type::Array { elem: Box::new(Type::U8), len: size }) }
}

/// The integer that GCC and Clang give an enum: `unsigned int` unless something is negative, and longer ones only
/// where they must be.
fn enum_int(values: &[(String, i128)], packed: bool) -> Int {
    let signed = values.iter().any(|(_, v)| *v < 0);
    let fits = |size: u8| {
        values.iter().all(|(_, v)| super::constant::Constant::new(*v, Int { size, signed }).value == *v)
    };
    let sizes: &[u8] = if packed { &[1, 2, 4] } else { &[4] };
    let size = sizes.iter().copied().find(|size| fits(*size)).unwrap_or(8);
    Int { size, signed }
}
