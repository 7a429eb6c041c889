//! The manual of config variables, `docs/config.md`, from their table.

use std::fmt::Write;

use super::{Config, ENVIRONMENT, VARIABLES, Variable, in_environment, table::RETIRED};

/// The file, whole.
pub fn markdown() -> String {
    let mut out = INTRODUCTION.to_owned();
    for variable in VARIABLES {
        let _ = write!(out, "\n### {}\n\n", variable.name);
        let _ = writeln!(out, "* Values: {}", variable.expects);
        let _ = writeln!(out, "* Default: {}", default(variable));
        let _ = writeln!(out, "* In the environment: `{}`", in_environment(variable.name));
        for old in variable.older {
            let says = if old.inverse { ", which says the opposite" } else { "" };
            let _ = writeln!(out, "* Older name: `{}` (`{}`){says}", old.name, in_environment(old.name));
        }
        let _ = write!(out, "\n{}", paragraphs(variable.doc));
    }
    out.push_str(RETIRED_NAMES);
    for retired in RETIRED {
        let _ = writeln!(out, "| `{}` | {} |", retired.name, retired.why);
    }
    out.push_str(ENVIRONMENT_ONLY);
    for variable in ENVIRONMENT {
        let _ = write!(out, "\n### {}\n\n{}\n", variable.name, variable.doc);
    }
    out
}

/// What a variable is where nothing sets it.
pub fn default(variable: &Variable) -> String {
    match (variable.get)(&Config::default()) {
        text if text.is_empty() => "nothing".into(),
        text if variable.name == "perf_rb_pages" => text,
        text if variable.name == "cache_user_symbols" => format!("`{text}`, as `PER_PID`"),
        text => format!("`{text}`"),
    }
}

/// The names, for `--help`: in lines of at most `width` characters, each after `indent`.
pub fn names(width: usize, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for name in VARIABLES.iter().map(|v| v.name) {
        if lines
            .last()
            .is_some_and(|line| !line.is_empty() && indent.len() + line.len() + name.len() + 2 > width)
        {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            let _ = write!(line, "{}{name}", if line.is_empty() { "" } else { ", " });
        }
    }
    lines.iter().map(|line| format!("{indent}{line}")).collect::<Vec<_>>().join(",\n")
}

/// Documentation comments as text: without the blank that starts each line.
pub fn paragraphs(doc: &str) -> String {
    doc.lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .fold(String::new(), |all, line| all + line + "\n")
}

const INTRODUCTION: &str = "\
<!-- Generated from src/config/table.rs: `UPDATE=1 cargo test --lib config::` writes it anew. -->

# Config variables

Some behaviour is set by variables: in a block at the top of the script, or in the environment.

```
config = {
    max_strlen = 64;
    stack_mode = perf
}

BEGIN { }
```

In the block, `stack_mode`, `STACK_MODE` and `BPFTRACE_STACK_MODE` are one variable; in the environment it is the last
of these. **The environment wins over the block.** A value that a variable does not take is an error in both, and a name
that is not known is one in the block. Names of older versions are understood, and a warning says what they are today.

Values are numbers as anywhere in a script (`4096`, `0x1000`, `1e6`, `10_000`), words, strings in quotes, and `true` and
`false`, for which `1` and `0`, `on` and `off`, `yes` and `no` are taken too. Words may be in capitals.

What is called unstable works, and may change with the next version. With `warn` a script that uses it is told so once,
`enable` says that one knows, and `error` refuses it.

## Variables
";

const RETIRED_NAMES: &str = "
## Without effect

These are accepted with a warning.

| name | why |
| --- | --- |
";

const ENVIRONMENT_ONLY: &str = "
## Only in the environment
";
