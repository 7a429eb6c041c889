//! From one syntax tree to another: what is decided before anything has a type. Imports are read, the config block
//! is applied, macros, `#define`s and the script's parameters take their places.

mod config;
mod definitions;
mod imports;
mod macros;
mod options;
mod parameters;
mod unstable;

use std::path::Path;

pub(crate) use imports::open_to_all;

use crate::config::Config;
use crate::diagnostics::{Diagnostics, Sources};
use crate::syntax::ast::{Definition, Script};
use crate::types::c::MacroText;

/// What the command line and the machine say.
pub struct Inputs<'a> {
    /// `$1`, `$2`, …
    pub positional: &'a [String],
    /// `name=value` and `name`, of the options after `--`.
    pub named: &'a [String],
    /// Where the script is, which its imports are looked for in; "" is the current directory.
    pub directory: &'a Path,
    /// The defaults, and what the environment sets.
    pub config: &'a Config,
    /// The variables that the environment sets: they win over the script's.
    pub config_from_env: &'a [&'static str],
    /// Whether the kernel describes its types, which `BPFTRACE_HAVE_BTF` tells scripts. Asked only by those that
    /// want to know.
    pub has_btf: &'a dyn Fn() -> bool,
    /// A macro of the headers that these definitions include. Asked only for names that nothing else explains.
    pub header_macro: &'a dyn Fn(&[Definition], &str) -> Option<MacroText>,
}

/// What became of a script.
pub struct Expanded {
    /// Ready to be checked.
    pub script: Script,
    /// The settings it runs with.
    pub config: Config,
    pub diagnostics: Diagnostics,
    /// What to show in place of running it: `--help` was among its options.
    pub help: Option<String>,
}

/// Expands a script. Its imports and what macros become are added to the sources.
///
/// `#include`s stay in it: what they would define comes from BTF, so the check can say which of them it misses when
/// a name is unknown.
pub fn expand(mut script: Script, inputs: &Inputs<'_>, sources: &mut Sources) -> Expanded {
    let mut diagnostics = Diagnostics::default();
    imports::apply(&mut script, inputs.directory, sources, &mut diagnostics);
    let config = config::apply(&script, inputs, &mut diagnostics);
    definitions::apply(&mut script, inputs, sources, &mut diagnostics);
    macros::apply(&mut script, sources, &mut diagnostics);
    unstable::apply(&mut script, &config, &mut diagnostics);
    let help = options::apply(&mut script, inputs.named, &mut diagnostics);
    if help.is_none() {
        parameters::apply(&mut script, inputs.positional, &mut diagnostics);
    }
    Expanded { script, config, diagnostics, help }
}

#[cfg(test)]
mod tests;
