//! The `config = { … }` block to settings.

use super::Inputs;
use crate::config::{Config, Name, VARIABLES, Variable};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::syntax::ast::{ConfigEntry, Expr, ExprKind, Script};

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
    let written = entry.name.as_str();
    let warn = |message: String| Diagnostic::warning("retired-config", entry.span, message);
    let (variable, inverse) = match Name::find(written) {
        Some(Name::Variable(variable)) => (variable, false),
        Some(Name::Old { variable, inverse }) => {
            let mut warning = warn(format!("{written} has been renamed, please use {}", variable.name));
            if inverse {
                warning = warning.note(format!("`{}` says the opposite", variable.name));
            }
            diagnostics.push(warning);
            (variable, inverse)
        }
        Some(Name::Retired(retired)) => {
            let warning = warn(format!("{written} is deprecated and has no effect"));
            diagnostics.push(warning.note(retired.why));
            return Ok(());
        }
        Some(Name::Environment(variable)) => {
            let message = format!("{written}: can only be set as an environment variable");
            return Err(Diagnostic::error("unknown-config", entry.span, message)
                .help(format!("set {} in the environment", variable.name)));
        }
        None => return Err(unknown(entry)),
    };
    let Some(value) = text(&entry.value, variable)? else { return Ok(()) };
    // A setting of the environment wins, but a wrong one in the script is wrong all the same.
    let mut scratch = config.clone();
    let target = if from_env.contains(&variable.name) { &mut scratch } else { config };
    target.set(variable, &value, inverse).map_err(|problem| bad_value(&entry.value, problem.to_string()))
}

fn bad_value(value: &Expr, message: String) -> Diagnostic {
    Diagnostic::error("bad-config-value", value.span, message)
}

fn unknown(entry: &ConfigEntry) -> Diagnostic {
    let message = format!("{}: not a known configuration option", entry.name);
    let diagnostic = Diagnostic::error("unknown-config", entry.span, message);
    let names = || VARIABLES.iter().map(|v| v.name);
    let written = entry.name.to_ascii_lowercase();
    match suggest::did_you_mean(written.trim_start_matches("bpftrace_"), names()) {
        Some(help) => diagnostic.help(help),
        None => diagnostic.help(format!("there are {}", names().collect::<Vec<_>>().join(", "))),
    }
}

/// The value as text; nothing where it did not parse.
fn text(value: &Expr, variable: &Variable) -> Result<Option<String>, Diagnostic> {
    Ok(Some(match &value.kind {
        ExprKind::Int(n) => n.to_string(),
        ExprKind::Bool(b) => b.to_string(),
        ExprKind::Name(name) => name.clone(),
        ExprKind::Str(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ExprKind::Error => return Ok(None),
        _ => {
            return Err(bad_value(value, "the value of a config variable cannot be calculated".into())
                .help(format!("write {}", variable.expects)));
        }
    }))
}
