//! Config variables: what the script's `config` block and the environment can set.
//!
//! [`table`] has a line for each, from which come the parsing, the messages, `--help` and `docs/config.md`
//! ([`manual`]). The environment (`BPFTRACE_MAX_STRLEN`) wins over the script (`config = { max_strlen = 64 }`), and
//! both take the names of older versions.

pub mod manual;
mod table;

pub use table::{ENVIRONMENT, EnvironmentOnly, Retired, VARIABLES, Variable};

use crate::diagnostics::{Diagnostic, suggest};
use crate::kernel::Kernel;
use crate::types::StackMode;

/// The settings in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub max_strlen: u64,
    pub max_map_keys: u64,
    pub max_probes: u64,
    pub max_bpf_progs: u64,
    pub max_cat_bytes: u64,
    pub on_stack_limit: u64,
    /// Pages of the ring buffer; `None` for as many as the script's events make sensible.
    pub perf_rb_pages: Option<u64>,
    pub stack_mode: StackMode,
    pub str_trunc_trailer: String,
    pub missing_probes: Missing,
    pub print_maps_on_exit: bool,
    pub cpp_demangle: bool,
    pub lazy_symbolication: bool,
    pub show_debug_info: bool,
    pub cache_user_symbols: CacheUserSymbols,
    pub license: String,
    pub log_size: u64,
    pub unstable_tseries: Unstable,
    pub unstable_dw_ustack: Unstable,
    pub unstable_typeinfo: Unstable,
    /// The map with the time that `tseries` sees: `BPFTRACE_DUMMY_TS_MAP`.
    pub time_map: Option<String>,
}

/// `missing_probes`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Error,
    Warn,
    Ignore,
}

/// `cache_user_symbols`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheUserSymbols {
    Auto,
    PerProgram,
    PerPid,
    None,
}

/// What becomes of a script that uses a feature which may yet change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstable {
    Enable,
    Warn,
    Error,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_strlen: 1024,
            max_map_keys: 4096,
            max_probes: 1024,
            max_bpf_progs: 1024,
            max_cat_bytes: 10240,
            on_stack_limit: 32,
            perf_rb_pages: None,
            stack_mode: StackMode::Bpftrace,
            str_trunc_trailer: "..".into(),
            missing_probes: Missing::Error,
            print_maps_on_exit: true,
            cpp_demangle: true,
            lazy_symbolication: false,
            show_debug_info: true,
            cache_user_symbols: CacheUserSymbols::Auto,
            license: "GPL".into(),
            log_size: 1_000_000,
            unstable_tseries: Unstable::Warn,
            unstable_dw_ustack: Unstable::Warn,
            unstable_typeinfo: Unstable::Enable,
            time_map: None,
        }
    }
}

/// What `max_strlen` is where keys of maps are limited to 512 bytes: room for two strings, `comm` and `pid`.
pub const SHORT_STRINGS: u64 = 240;

impl Config {
    /// The defaults on this kernel: what books do, such as `@[str(args.filename)] = count()`, has to run there.
    pub fn for_kernel(kernel: &Kernel) -> Config {
        let mut config = Config::default();
        if kernel.max_key().is_some() {
            config.max_strlen = SHORT_STRINGS;
        }
        config
    }
}

/// The largest value that a program works with, in bytes: what fits a slot of scratch memory on any machine.
pub const MAX_VALUE: u64 = 16 << 20;

/// The largest record that a program sends, in bytes.
pub const MAX_RECORD: u64 = 16 << 20;

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub enum Name {
    /// The variable, under the name that it has today.
    Variable(&'static Variable),
    /// The variable, under an older name; with `inverse` it says the opposite.
    Old {
        variable: &'static Variable,
        inverse: bool,
    },
    Retired(&'static Retired),
    /// Only the environment can say it.
    Environment(&'static EnvironmentOnly),
}

impl Name {
    /// `BPFTRACE_STACK_MODE`, `STACK_MODE` and `stack_mode` are one.
    pub fn find(written: &str) -> Option<Name> {
        let bare = bare(written);
        let old = || {
            let mut all = VARIABLES.iter().flat_map(|v| v.older.iter().map(move |old| (v, old)));
            let (variable, old) = all.find(|(_, old)| old.name == bare)?;
            Some(Name::Old { variable, inverse: old.inverse })
        };
        VARIABLES
            .iter()
            .find(|v| v.name == bare)
            .map(Name::Variable)
            .or_else(old)
            .or_else(|| table::RETIRED.iter().find(|r| r.name == bare).map(Name::Retired))
            .or_else(|| ENVIRONMENT.iter().find(|e| bare == self::bare(e.name)).map(Name::Environment))
    }
}

/// A variable's name without the environment's prefix and capitals, known or not.
fn bare(name: &str) -> String {
    let mut lower = name.to_ascii_lowercase();
    if lower.starts_with("bpftrace_") {
        lower.drain(.."bpftrace_".len());
    }
    lower
}

/// What a variable is called in the environment.
pub fn in_environment(name: &str) -> String {
    format!("BPFTRACE_{}", name.to_ascii_uppercase())
}

/// A value that a variable does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid value for {name}. Found: {value}. Valid values: {expects}")]
pub struct BadValue {
    pub name: &'static str,
    pub value: String,
    pub expects: &'static str,
}

/// What the environment sets.
#[derive(Clone, Debug, Default)]
pub struct FromEnvironment {
    /// The variables, by the names of today.
    pub set: Vec<&'static str>,
    /// Old names, names that have no effect any more, and what may be slips.
    pub warnings: Vec<Diagnostic>,
}

impl Config {
    /// The size of a string that is read without a length: `max_strlen` characters and the NUL.
    pub fn text_size(&self) -> u32 {
        let most = self.max_strlen.saturating_add(1).min(MAX_VALUE);
        u32::try_from(most).unwrap_or(u32::MAX)
    }

    /// Whether a string of so many characters, whose type has that size, was longer where it was read. One of exactly
    /// `max_strlen` characters cannot be told from a longer one; literals and arrays of that length have a byte to
    /// spare.
    pub fn is_cut(&self, characters: usize, size: u32) -> bool {
        size == self.text_size() && characters + 1 >= size as usize
    }

    /// The size of a string of up to so many characters that is never one that was cut.
    pub fn whole_text_size(&self, characters: u32) -> u32 {
        let size = characters.saturating_add(1);
        size.saturating_add(u32::from(size == self.text_size()))
    }

    /// Sets a variable from its text. `inverse` is for old names that said the opposite.
    pub fn set(&mut self, variable: &'static Variable, value: &str, inverse: bool) -> Result<(), BadValue> {
        let refused = || BadValue { name: variable.name, value: value.into(), expects: variable.expects };
        let text = match (inverse, table::boolean(value)) {
            (false, _) => value,
            (true, Some(true)) => "false",
            (true, Some(false)) => "true",
            (true, None) => return Err(refused()),
        };
        (variable.set)(self, text).ok_or_else(refused)
    }

    /// Sets every variable that the environment has. `names` are those of all that is in it: among them are looked
    /// for the names that nothing reads.
    pub fn set_from_env(
        &mut self,
        env: impl Fn(&str) -> Option<String>,
        names: impl IntoIterator<Item = String>,
    ) -> Result<FromEnvironment, Diagnostic> {
        let mut found = FromEnvironment::default();
        for variable in VARIABLES {
            let name = in_environment(variable.name);
            let today = env(&name).map(|value| (name.clone(), value, false));
            // An old name counts where the new one is not there.
            let old = || {
                variable.older.iter().find_map(|old| {
                    let old_name = in_environment(old.name);
                    env(&old_name).map(|value| (old_name, value, old.inverse))
                })
            };
            let Some((written, value, inverse)) = today.or_else(old) else { continue };
            self.set(variable, &value, inverse)
                .map_err(|e| environment(Diagnostic::error, format!("{written}: {e}")))?;
            if written != name {
                let problem = environment(
                    Diagnostic::warning,
                    format!("{written} has been renamed, please use {name}"),
                );
                found.warnings.push(match inverse {
                    true => problem.note(format!("{name} says the opposite: {}", (variable.get)(self))),
                    false => problem,
                });
            }
            found.set.push(variable.name);
        }
        self.time_map = env("BPFTRACE_DUMMY_TS_MAP");
        for name in names {
            found.warnings.extend(unread(&name));
        }
        Ok(found)
    }
}

fn environment(
    make: fn(&'static str, Option<crate::diagnostics::Span>, String) -> Diagnostic,
    message: String,
) -> Diagnostic {
    make("environment", None, message)
}

/// Whether a variable of the environment is one of ours that has no effect, or may be a slip for one. Most that
/// begin with `BPFTRACE_` and are none belong to somebody's wrapper.
fn unread(name: &str) -> Option<Diagnostic> {
    let rest = name.strip_prefix("BPFTRACE_")?;
    if rest.bytes().any(|b| b.is_ascii_lowercase()) {
        return None;
    }
    match Name::find(name) {
        Some(Name::Retired(retired)) => {
            let message = format!("{name} is deprecated and has no effect");
            Some(environment(Diagnostic::warning, message).note(retired.why))
        }
        Some(_) => None,
        None => {
            let known = VARIABLES.iter().map(|v| in_environment(v.name));
            let known = known.chain(ENVIRONMENT.iter().map(|e| e.name.to_owned()));
            // The prefix, which they share, must not make far names near.
            let known: Vec<String> = known.map(|k| k.trim_start_matches("BPFTRACE_").to_owned()).collect();
            let near = suggest::closest(rest, known);
            let near: Vec<String> =
                near.iter().filter(|n| n.len() > 4).map(|n| format!("BPFTRACE_{n}")).collect();
            let help = suggest::one_of(&near)?;
            Some(environment(Diagnostic::warning, format!("{name} is not read by anything")).help(help))
        }
    }
}

#[cfg(test)]
mod tests;
