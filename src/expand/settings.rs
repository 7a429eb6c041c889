//! The `config` block of a script.

use crate::config::{Config, ConfigError};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::syntax::ast::{ConfigEntry, ExprKind, Script, UnaryOp};

/// Sets what the script's `config` block says, except for what is `fixed`: the environment has set that.
pub fn apply(script: &Script, config: &mut Config, fixed: &[&str]) -> Diagnostics {
    let mut problems = Diagnostics::default();
    for entry in &script.config {
        let Some(value) = text(entry) else {
            let message = format!("the value of {} has to be a literal", entry.name);
            problems.push(Diagnostic::error("config", entry.value.span, message));
            continue;
        };
        // It has to be right even where the environment wins.
        let mut scratch = config.clone();
        match scratch.set(&entry.name, &value) {
            Ok(()) if Config::canonical(&entry.name).is_some_and(|name| fixed.contains(&name)) => {}
            Ok(()) => *config = scratch,
            Err(e @ ConfigError::Unknown { .. }) => {
                let mut problem = Diagnostic::error("config", entry.span, e.to_string());
                problem.help.extend(suggest::did_you_mean(&entry.name, Config::names()));
                problems.push(problem);
            }
            Err(e) => problems.push(Diagnostic::error("config", entry.value.span, e.to_string())),
        }
    }
    problems
}

fn text(entry: &ConfigEntry) -> Option<String> {
    Some(match &entry.value.kind {
        ExprKind::Int(n) => n.to_string(),
        ExprKind::Bool(b) => b.to_string(),
        ExprKind::Str(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ExprKind::Name(name) => name.clone(),
        ExprKind::Unary { op: UnaryOp::Neg, operand } => match operand.kind {
            ExprKind::Int(n) => format!("-{n}"),
            _ => return None,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::FileId;
    use crate::types::StackMode;

    fn applied(text: &str, fixed: &[&str]) -> (Config, Vec<String>) {
        let (script, problems) = crate::syntax::parse(text, FileId::default());
        assert!(problems.is_empty(), "{problems:?}");
        let mut config = Config::default();
        let problems = apply(&script, &mut config, fixed);
        (config, problems.into_iter().map(|p| p.message).collect())
    }

    #[test]
    fn the_block_sets_what_the_environment_leaves() {
        let text = "config = { stack_mode = perf; max_strlen = 64; license = \"Dual MIT/GPL\" } BEGIN { }";
        let (config, problems) = applied(text, &["max_strlen"]);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(
            (config.stack_mode, config.max_strlen, &config.license[..]),
            (StackMode::Perf, 1024, "Dual MIT/GPL")
        );
    }

    #[test]
    fn what_is_wrong_is_said_even_where_it_does_not_count() {
        let (config, problems) =
            applied("config = { max_strlen = -1; max_strln = 3 } BEGIN { }", &["max_strlen"]);
        assert_eq!(config, Config::default());
        assert_eq!(
            problems,
            [
                "\"-1\" is not a value of max_strlen: it takes a number of bytes",
                "there is no config variable \"max_strln\""
            ]
        );
    }
}
