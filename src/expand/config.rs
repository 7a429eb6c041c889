//! The `config = { … }` block to settings.

use super::Inputs;
use crate::config::{Config, ConfigError};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::syntax::ast::{ConfigEntry, Expr, ExprKind, Script};

/// Settings that once were, and have no effect any more.
const RETIRED: &[&str] = &[
    "symbol_source",
    "max_type_res_iterations",
    "use_blazesym",
    "unstable_addr",
    "unstable_import",
    "unstable_macro",
    "unstable_map_decl",
];

/// Settings under their old names. `no_cpp_demangle` says the opposite.
const RENAMED: &[(&str, &str)] =
    &[("strlen", "max_strlen"), ("cat_bytes_max", "max_cat_bytes"), ("map_keys_max", "max_map_keys")];

/// What only the environment can say.
const ENVIRONMENT: &[&str] = &["btf", "kernel_build", "kernel_source", "vmlinux"];

/// Features that a script can allow or refuse. All of them are allowed.
const UNSTABLE: &[&str] =
    &["unstable_import_statement", "unstable_tseries", "unstable_typeinfo", "unstable_dw_ustack"];

pub fn apply(script: &Script, inputs: &Inputs<'_>, diagnostics: &mut Diagnostics) -> Config {
    let mut config = inputs.config.clone();
    for entry in &script.config {
        if let Err(diagnostic) = set(&mut config, entry, inputs.config_from_env, diagnostics) {
            diagnostics.push(diagnostic);
        }
    }
    config
}

fn set(
    config: &mut Config,
    entry: &ConfigEntry,
    from_env: &[&'static str],
    diagnostics: &mut Diagnostics,
) -> Result<(), Diagnostic> {
    let Some(value) = text(&entry.value)? else { return Ok(()) };
    let bare = Config::bare(&entry.name);
    let bare = bare.as_str();
    let warn = |message: String| Diagnostic::warning("retired-config", entry.span, message);
    if RETIRED.contains(&bare) {
        diagnostics.push(warn(format!("the config variable `{bare}` has no effect any more")));
        return Ok(());
    }
    if UNSTABLE.contains(&bare) {
        return unstable(entry, bare, &value);
    }
    let mut name = bare;
    if let Some((_, new)) = RENAMED.iter().find(|(old, _)| *old == bare) {
        diagnostics.push(warn(format!("the config variable `{bare}` is now called `{new}`")));
        name = new;
    }
    // A setting of the environment wins, but a wrong one in the script is wrong all the same.
    let mut scratch = config.clone();
    let target =
        if Config::canonical(name).is_some_and(|n| from_env.contains(&n)) { &mut scratch } else { config };
    target.set(name, &value).map_err(|error| match error {
        ConfigError::Unknown { .. } => unknown(entry, bare),
        ConfigError::Value { name, value, expects } => {
            let message = format!("`{value}` is not a value of `{name}`");
            Diagnostic::error("bad-config-value", entry.value.span, message)
                .help(format!("it takes {expects}"))
        }
    })
}

fn unknown(entry: &ConfigEntry, bare: &str) -> Diagnostic {
    let message = format!("there is no config variable `{}`", entry.name);
    let diagnostic = Diagnostic::error("unknown-config", entry.span, message);
    if ENVIRONMENT.contains(&bare) {
        let variable = format!("BPFTRACE_{}", bare.to_ascii_uppercase());
        return diagnostic.help(format!("set {variable} in the environment: a script cannot"));
    }
    match suggest::did_you_mean(bare, Config::names()) {
        Some(help) => diagnostic.help(help),
        None => diagnostic.help(format!("there are {}", Config::names().collect::<Vec<_>>().join(", "))),
    }
}

fn unstable(entry: &ConfigEntry, name: &str, value: &str) -> Result<(), Diagnostic> {
    match value {
        "enable" | "warn" | "error" | "0" | "1" | "true" | "false" => Ok(()),
        _ => {
            let message = format!("`{value}` is not a value of `{name}`");
            Err(Diagnostic::error("bad-config-value", entry.value.span, message)
                .help("it takes enable, warn or error"))
        }
    }
}

/// The value as text; nothing where it did not parse.
fn text(value: &Expr) -> Result<Option<String>, Diagnostic> {
    Ok(Some(match &value.kind {
        ExprKind::Int(n) => n.to_string(),
        ExprKind::Bool(b) => b.to_string(),
        ExprKind::Name(name) => name.clone(),
        ExprKind::Str(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ExprKind::Error => return Ok(None),
        _ => {
            return Err(Diagnostic::error(
                "bad-config-value",
                value.span,
                "the value of a config variable cannot be calculated",
            )
            .help("write a number, a word, a string, true or false"));
        }
    }))
}
