//! `--help`: the options, or what is known about names.

use std::path::Path;

use clap::CommandFactory;

use super::arguments::Arguments;
use crate::diagnostics::Diagnostic;
use crate::output::Form;
use crate::{config, manual};

const EXAMPLES: &str = r#"Examples:
  bpftrace -l 'tracepoint:syscalls:sys_enter_*'
      list the entries of all system calls
  bpftrace -e 'tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }'
      count system calls by program, until Ctrl-C
  bpftrace -e 't:syscalls:sys_enter_openat { printf("%s %s\n", comm, str(args.filename)); }'
      show which program opens which file
  bpftrace -e 'profile:hz:99 { @[kstack] = count(); }'
      sample where the kernel spends its time
  bpftrace -e 'uprobe:libc:malloc /pid == cpid/ { @ = hist(arg0); }' -c 'ls /'
      a histogram of the sizes a command allocates
  bpftrace -lv 'tracepoint:block:block_rq_issue'
      show what a probe's args hold

Config variables can be set in the environment (BPFTRACE_MAX_STRLEN=64) or at the top of a script
(config = { max_strlen = 64 }):
"#;

const COLORS: &str = "\n\nNO_COLOR and BPFTRACE_COLOR=always|never|auto choose colors.";

/// The help text around the options.
const HELP: &str = "{about}\n\nUSAGE: {usage}\n\n{all-args}{after-help}";

/// What is printed, with what else stands on the command line: names to be told about. With `-f json` it is for
/// programs.
pub(super) fn text(rest: &[String], form: Form) -> Result<String, Diagnostic> {
    match form {
        Form::Json if rest.is_empty() => Ok(manual::json(&manual::entries())),
        Form::Json => Ok(manual::json(&manual::look_up(rest)?)),
        Form::Text if names(rest) => Ok(manual::text(&manual::look_up(rest)?)),
        Form::Text => Ok(options()),
    }
}

fn options() -> String {
    let after = format!("{EXAMPLES}{}{COLORS}", config::manual::names(100, "  "));
    Arguments::command().term_width(100).help_template(HELP).after_help(after).render_help().to_string()
}

/// Whether `--help` is asked about names. A script beside it is none: `bpftrace script.bt --help` shows the options.
fn names(rest: &[String]) -> bool {
    let script = |name: &String| name == "-" || name.contains(['/', '.']) || Path::new(name).is_file();
    !rest.is_empty() && !rest.iter().any(script)
}
