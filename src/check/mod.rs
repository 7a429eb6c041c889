//! From what a script says to what it means: names, types, conversions, and what is legal where.

use crate::diagnostics::Diagnostics;
use crate::ir;
use crate::probes::Host;
use crate::syntax::ast;

/// What the command line says about the program.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `$1`, `$2`, …
    pub positional: Vec<String>,
    /// `-c` was given, so `cpid` has a value.
    pub has_child: bool,
    /// `--test`, `--bench`: which of those probes to keep. Without, they are dropped.
    pub warnings: bool,
}

/// Checks a script. The program is absent if there were errors; warnings come with it.
pub fn check(
    script: &ast::Script,
    host: &mut Host<'_>,
    options: &Options,
) -> (Option<ir::Program>, Diagnostics) {
    let _ = (script, host, options);
    todo!()
}
