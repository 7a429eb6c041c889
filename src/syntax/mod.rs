//! Text to syntax tree.
//!
//! [`script`] reads the top level and finds where attach points, predicates and bodies begin and end; [`attach`]
//! reads attach points; what is left is tokens ([`token`], [`literal`]), which [`shape`] disambiguates and
//! [`recover`] runs the grammar over, with [`build`] making the nodes and [`explain`] the messages.

pub mod ast;
mod attach;
mod build;
mod classes;
pub mod dump;
mod explain;
pub(crate) mod literal;
mod recover;
mod script;
mod shape;
pub mod text;
mod token;
pub mod visit;

#[allow(clippy::all, clippy::pedantic, unused)]
mod grammar {
    include!(concat!(env!("OUT_DIR"), "/bpftrace.rs"));
}

use std::collections::HashSet;

pub use build::{Deep, MAX_DEPTH};
pub use script::blocks::is_provider;

use crate::diagnostics::{Diagnostic, FileId};

/// Parses a script. The tree is as complete as the errors allow.
pub fn parse(text: &str, file: FileId) -> (ast::Script, Vec<Diagnostic>) {
    script::parse(text, file)
}

/// Parses an attach point or a pattern of `-l`: the whole text, in which `/` and spaces mean nothing special.
pub fn parse_attach_point(text: &str, file: FileId) -> Result<ast::AttachPoint, Diagnostic> {
    let mut diagnostics = vec![];
    let (point, _) = attach::scan(text, 0, file, attach::Until::End, &mut diagnostics);
    match diagnostics.into_iter().next() {
        Some(diagnostic) => Err(diagnostic),
        None => Ok(point),
    }
}

/// Parses the body of a `#define`, which stands at byte `base` of its source, as an expression. `values` are the
/// names that are no types, since `#define` gives them a value.
///
/// # Errors
///
/// What is wrong with it, if it is no expression.
pub fn parse_expression(
    text: &str,
    base: usize,
    file: FileId,
    values: &HashSet<&str>,
) -> Result<Deep<ast::Expr>, Vec<Diagnostic>> {
    script::parse_expression(text, base, file, values)
}

#[cfg(test)]
mod tests;
