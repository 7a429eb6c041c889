//! Types as C and C++ spell them, for listings, in the form that the reference has: `const char* str`.

use gimli::{
    DW_AT_signature, DW_TAG_array_type, DW_TAG_atomic_type, DW_TAG_base_type, DW_TAG_class_type,
    DW_TAG_const_type, DW_TAG_enumeration_type, DW_TAG_formal_parameter, DW_TAG_pointer_type,
    DW_TAG_ptr_to_member_type, DW_TAG_reference_type, DW_TAG_restrict_type, DW_TAG_rvalue_reference_type,
    DW_TAG_structure_type, DW_TAG_subroutine_type, DW_TAG_typedef, DW_TAG_union_type,
    DW_TAG_unspecified_parameters, DW_TAG_unspecified_type, DW_TAG_volatile_type,
};

use super::convert::{children, dimensions};
use super::descent::{Descent, Limit};
use super::program::{EntryId, Reader};

/// What stands before a name and what after it.
struct Spelled {
    before: String,
    after: String,
    /// It is an array or a function, so that a pointer to it takes parentheses.
    binds: bool,
}

impl From<String> for Spelled {
    fn from(before: String) -> Spelled {
        Spelled { before, after: String::new(), binds: false }
    }
}

impl Reader<'_> {
    /// A declaration of something of a type; `None` is void.
    pub fn declaration(&self, ty: Option<EntryId>, name: &str) -> String {
        let Spelled { before, after, .. } = self.spell(ty, Limit::new().top());
        match name.is_empty() || before.ends_with('(') || before.ends_with("(*") {
            true => format!("{before}{name}{after}"),
            false => format!("{before} {name}{after}"),
        }
    }

    fn spell(&self, ty: Option<EntryId>, at: Descent<'_>) -> Spelled {
        let Some(at) = at.down() else { return "void".to_owned().into() };
        let Some((unit, entry)) = ty.and_then(|ty| self.entry(ty)) else {
            return "void".to_owned().into();
        };
        // A type unit's is declared where it is used, without a name.
        if let Some(signature) = entry.attr_value(DW_AT_signature)
            && let Some(defined) = self.target(&unit, &signature)
        {
            return self.spell(Some(defined), at);
        }
        let of = self.type_of(&unit, &entry);
        let inner = |this: &Self| this.spell(of, at);
        let named = |tag: &str| -> Spelled {
            let name = self.qualified(&unit, &entry).unwrap_or_else(|| "<anonymous>".into());
            format!("{tag}{name}").into()
        };
        match entry.tag() {
            DW_TAG_base_type | DW_TAG_typedef | DW_TAG_unspecified_type => named(""),
            DW_TAG_structure_type => named("struct "),
            DW_TAG_class_type => named("class "),
            DW_TAG_union_type => named("union "),
            DW_TAG_enumeration_type => named("enum "),
            DW_TAG_pointer_type => self.pointer(inner(self), "*"),
            DW_TAG_reference_type => self.pointer(inner(self), "&"),
            DW_TAG_rvalue_reference_type => self.pointer(inner(self), "&&"),
            DW_TAG_ptr_to_member_type => self.pointer(inner(self), "::*"),
            DW_TAG_const_type => self.qualified_as("const", of, inner(self)),
            DW_TAG_volatile_type => self.qualified_as("volatile", of, inner(self)),
            DW_TAG_restrict_type => self.qualified_as("restrict", of, inner(self)),
            DW_TAG_atomic_type => self.qualified_as("_Atomic", of, inner(self)),
            DW_TAG_array_type => {
                let mut spelled = inner(self);
                let lengths = dimensions(&unit, entry.offset().0);
                let lengths: String =
                    lengths.iter().map(|n| if *n == 0 { "[]".into() } else { format!("[{n}]") }).collect();
                spelled.after.insert_str(0, &lengths);
                Spelled { binds: true, ..spelled }
            }
            DW_TAG_subroutine_type => {
                let params: Vec<String> = children(&unit, entry.offset().0)
                    .iter()
                    .filter_map(|child| match child.tag() {
                        DW_TAG_formal_parameter => {
                            let Spelled { before, after, .. } = self.spell(self.type_of(&unit, child), at);
                            Some(before + &after)
                        }
                        DW_TAG_unspecified_parameters => Some("...".to_owned()),
                        _ => None,
                    })
                    .collect();
                let mut spelled = inner(self);
                spelled.after.insert_str(0, &format!("({})", params.join(", ")));
                Spelled { binds: true, ..spelled }
            }
            _ => "<unknown type>".to_owned().into(),
        }
    }

    fn pointer(&self, to: Spelled, sign: &str) -> Spelled {
        if !to.binds {
            return Spelled { before: to.before + sign, ..to };
        }
        Spelled { before: format!("{} ({sign}", to.before), after: format!("){}", to.after), binds: false }
    }

    /// Of a pointer the qualifier stands after the star.
    fn qualified_as(&self, word: &str, of: Option<EntryId>, inner: Spelled) -> Spelled {
        let pointer = of.and_then(|of| self.entry(of)).is_some_and(|(_, entry)| {
            matches!(entry.tag(), DW_TAG_pointer_type | DW_TAG_reference_type | DW_TAG_rvalue_reference_type)
        });
        let before = match pointer {
            true => format!("{} {word}", inner.before),
            false => format!("{word} {}", inner.before),
        };
        Spelled { before, ..inner }
    }
}
