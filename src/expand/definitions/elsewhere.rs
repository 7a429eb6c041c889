//! Macros that are not in the script.

use super::{Macro, joined};
use crate::diagnostics::{Sources, Span};
use crate::expand::Inputs;
use crate::syntax::ast::Definition;
use crate::types::c::MacroText;
use crate::types::constants;

/// A macro that is not in the script, but in a header that it includes, or well-known.
pub struct Elsewhere(MacroText);

impl Elsewhere {
    pub fn find(name: &str, definitions: &[Definition], inputs: &Inputs<'_>) -> Option<Elsewhere> {
        let well_known = || {
            let (header, text) = constants::functions::lookup(name)?;
            Some(MacroText { file: header.to_owned(), start: 0, end: text.len(), text })
        };
        (inputs.header_macro)(definitions, name).or_else(well_known).map(Elsewhere)
    }

    /// What follows its name.
    pub fn rest(&self, name: &str) -> &str {
        let MacroText { text, start, end, .. } = &self.0;
        text.get(*start + name.len()..*end).unwrap_or_default()
    }

    pub fn has_parameters(&self, name: &str) -> bool {
        self.rest(name).starts_with('(')
    }

    /// Its file becomes a source, since messages may be about it.
    pub fn into_macro(self, name: &str, sources: &mut Sources) -> Macro {
        let rest = joined(self.rest(name));
        let MacroText { file, text, start, .. } = self.0;
        let file = sources.add(file, text);
        Macro::Function(Span::new(file, start, start + name.len()), rest)
    }
}
