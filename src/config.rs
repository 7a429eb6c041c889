//! Config variables: one table for the script's `config` block, the environment and the documentation.

use crate::types::StackMode;

/// The settings in force. See `docs/language.md` of the reference, section “Config Variables”.
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
        }
    }
}

/// The largest value that a program works with, in bytes: what fits a slot of scratch memory on any machine.
pub const MAX_VALUE: u64 = 16 << 20;

/// A variable's name and how it is set from text.
struct Variable {
    name: &'static str,
    /// What may be written, for messages.
    expects: &'static str,
    set: fn(&mut Config, &str) -> Option<()>,
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

macro_rules! variables {
    ($($name:ident: $expects:literal = |$value:ident| $parse:expr;)*) => {
        &[$(Variable {
            name: stringify!($name),
            expects: $expects,
            set: |config, $value| {
                config.$name = $parse;
                Some(())
            },
        }),*]
    };
}

const VARIABLES: &[Variable] = variables! {
    cache_user_symbols: "PER_PID, PER_PROGRAM or NONE" = |v| match v {
        "PER_PID" | "1" | "true" => CacheUserSymbols::PerPid,
        "PER_PROGRAM" => CacheUserSymbols::PerProgram,
        "NONE" | "0" | "false" => CacheUserSymbols::None,
        _ => return None,
    };
    cpp_demangle: "true or false" = |v| boolean(v)?;
    lazy_symbolication: "true or false" = |v| boolean(v)?;
    license: "a license that the kernel knows, such as GPL" = |v| match v {
        "GPL" | "GPL v2" | "GPL and additional rights" | "Dual BSD/GPL" | "Dual MIT/GPL" | "Dual MPL/GPL" => v.into(),
        _ => return None,
    };
    log_size: "a number of bytes" = |v| number(v)?;
    max_bpf_progs: "a number" = |v| number(v)?;
    max_cat_bytes: "a number of bytes" = |v| number(v)?;
    max_map_keys: "a number" = |v| number(v)?;
    max_probes: "a number" = |v| number(v)?;
    max_strlen: "a number of bytes from 1 to 16777216" = |v| number(v).filter(|n| (1..=MAX_VALUE).contains(n))?;
    missing_probes: "error, warn or ignore" = |v| match v {
        "error" => Missing::Error,
        "warn" => Missing::Warn,
        "ignore" => Missing::Ignore,
        _ => return None,
    };
    on_stack_limit: "a number of bytes" = |v| number(v)?;
    perf_rb_pages: "a number of pages" = |v| Some(number(v)?);
    print_maps_on_exit: "true or false" = |v| boolean(v)?;
    show_debug_info: "true or false" = |v| boolean(v)?;
    stack_mode: "bpftrace, perf, raw or build_id" = |v| StackMode::from_name(v)?;
    str_trunc_trailer: "a text" = |v| v.into();
};

/// Why a variable was not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("there is no config variable \"{name}\"")]
    Unknown { name: String },
    #[error("\"{value}\" is not a value of {name}: it takes {expects}")]
    Value { name: &'static str, value: String, expects: &'static str },
}

impl Config {
    /// All variables' names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        VARIABLES.iter().map(|v| v.name)
    }

    /// The variable that a spelling means: `BPFTRACE_STACK_MODE`, `STACK_MODE` and `stack_mode` are one.
    pub fn canonical(name: &str) -> Option<&'static str> {
        let bare = Self::bare(name);
        Self::names().find(|n| *n == bare)
    }

    /// A variable's name without the environment's prefix and capitals, known or not.
    pub fn bare(name: &str) -> String {
        let mut lower = name.to_ascii_lowercase();
        if lower.starts_with("bpftrace_") {
            lower.drain(.."bpftrace_".len());
        }
        lower
    }

    /// Sets one variable from its text.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let variable = Self::canonical(name)
            .and_then(|n| VARIABLES.iter().find(|v| v.name == n))
            .ok_or_else(|| ConfigError::Unknown { name: name.into() })?;
        (variable.set)(self, value).ok_or_else(|| ConfigError::Value {
            name: variable.name,
            value: value.into(),
            expects: variable.expects,
        })
    }

    /// Sets every variable that the environment (`BPFTRACE_…`) has, and says which those were: they win over the
    /// script's.
    pub fn set_from_env(
        &mut self,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<&'static str>, ConfigError> {
        let mut found = vec![];
        for name in Self::names() {
            if let Some(value) = env(&format!("BPFTRACE_{}", name.to_ascii_uppercase())) {
                self.set(name, &value)?;
                found.push(name);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_have_three_spellings_and_checked_values() {
        let mut config = Config::default();
        config.set("BPFTRACE_MAX_STRLEN", "64").unwrap();
        config.set("STACK_MODE", "perf").unwrap();
        config.set("missing_probes", "warn").unwrap();
        assert_eq!(
            (config.max_strlen, config.stack_mode, config.missing_probes),
            (64, StackMode::Perf, Missing::Warn)
        );
        assert_eq!(
            config.set("max_strlen", "many").unwrap_err().to_string(),
            "\"many\" is not a value of max_strlen: it takes a number of bytes from 1 to 16777216"
        );
        assert!(matches!(config.set("nonsense", "1"), Err(ConfigError::Unknown { .. })));
    }

    #[test]
    fn the_environment_says_what_it_set() {
        let mut config = Config::default();
        let env = |name: &str| (name == "BPFTRACE_MAX_MAP_KEYS").then(|| "7".to_owned());
        assert_eq!(config.set_from_env(env).unwrap(), ["max_map_keys"]);
        assert_eq!(config.max_map_keys, 7);
    }
}
