//! From one syntax tree to another: what is decided before anything has a type. The config block is applied, the
//! script's parameters take their places in attach points, `#define`s theirs in expressions.

mod config;
mod definitions;
mod parameters;

use crate::config::Config;
use crate::diagnostics::Diagnostics;
use crate::syntax::ast::Script;

/// What the command line and the machine say.
pub struct Inputs<'a> {
    /// `$1`, `$2`, …
    pub positional: &'a [String],
    /// The defaults, and what the environment sets.
    pub config: &'a Config,
    /// The variables that the environment sets: they win over the script's.
    pub config_from_env: &'a [&'static str],
    /// Whether the kernel describes its types, which `BPFTRACE_HAVE_BTF` tells scripts. Asked only by those that
    /// want to know.
    pub has_btf: &'a dyn Fn() -> bool,
}

/// The script, ready to be checked, and the settings it runs with.
///
/// `#include`s stay in it: what they would define comes from BTF, so the check can say which of them it misses when
/// a name is unknown.
pub fn expand(mut script: Script, inputs: &Inputs<'_>) -> (Script, Config, Diagnostics) {
    let mut diagnostics = Diagnostics::default();
    let config = config::apply(&script, inputs, &mut diagnostics);
    definitions::apply(&mut script, inputs.has_btf, &mut diagnostics);
    parameters::apply(&mut script, inputs.positional, &mut diagnostics);
    (script, config, diagnostics)
}

#[cfg(test)]
mod tests;
