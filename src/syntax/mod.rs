//! Text to syntax tree.

pub mod ast;

use crate::diagnostics::{Diagnostic, FileId};

/// Parses a script. The tree is as complete as the errors allow.
pub fn parse(text: &str, file: FileId) -> (ast::Script, Vec<Diagnostic>) {
    let _ = (text, file);
    todo!()
}

/// Parses an attach point or a pattern of `-l`.
pub fn parse_attach_point(text: &str, file: FileId) -> Result<ast::AttachPoint, Diagnostic> {
    let _ = (text, file);
    todo!()
}
