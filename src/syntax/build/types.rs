//! Types.

use super::{Builder, Deep, DeepExpr, DeepType, TypeWord};
use crate::syntax::ast::{TypeBase, TypeName, TypeSuffix};
use crate::syntax::literal;

impl Builder<'_> {
    pub fn type_name(
        &mut self,
        l: usize,
        r: usize,
        words: Vec<TypeWord<'_>>,
        suffixes: Vec<TypeSuffix>,
    ) -> DeepType {
        let span = self.span(l, r);
        let mut tag = None;
        let mut names: Vec<&str> = vec![];
        for word in words {
            match word {
                TypeWord::Tag(t) if tag.is_none() && names.is_empty() => tag = Some(t),
                TypeWord::Tag(_) => {
                    self.error("bad-type", span, "this is not a type").help.push(
                        "a type is a name, perhaps after `struct`, `union` or `enum`, then any `*` and `[n]`"
                            .into(),
                    );
                    break;
                }
                // They change nothing about what is read.
                TypeWord::Name("const" | "volatile" | "restrict") => {}
                TypeWord::Name(name) => names.push(name),
            }
        }
        if names.is_empty() {
            self.error("bad-type", span, "the type has no name");
        }
        Deep {
            node: TypeName { base: TypeBase::Named { tag, name: names.join(" ") }, suffixes, span },
            depth: 0,
        }
    }

    /// `typeof(type)` is that type.
    pub fn typeof_type(
        &mut self,
        l: usize,
        r: usize,
        name: &str,
        mut ty: DeepType,
        suffixes: Vec<TypeSuffix>,
    ) -> DeepType {
        let span = self.span(l, r);
        if name != "typeof" {
            self.error("bad-type", span, format!("`{name}(…)` is not a type"));
        }
        ty.node.suffixes.extend(suffixes);
        ty.node.span = span;
        ty
    }

    /// `typeof(expression)`
    pub fn typeof_expr(
        &mut self,
        l: usize,
        r: usize,
        name: &str,
        e: DeepExpr,
        suffixes: Vec<TypeSuffix>,
    ) -> DeepType {
        let span = self.span(l, r);
        if name != "typeof" {
            self.error("bad-type", span, format!("`{name}(…)` is not a type"));
        }
        let depth = e.depth;
        Deep { node: TypeName { base: TypeBase::Of(Box::new(e.node)), suffixes, span }, depth }
    }

    pub fn array_suffix(&mut self, l: usize, r: usize, count: Option<&str>) -> TypeSuffix {
        TypeSuffix::Array(count.map(|text| match literal::int(text) {
            Ok(n) => n,
            Err(error) => {
                let span = self.span(l, r);
                self.diagnostics.push(error.diagnostic(span));
                0
            }
        }))
    }
}
