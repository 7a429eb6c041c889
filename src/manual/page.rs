//! The parts of the manual page `bpftrace.8` that are made from the entries.

use std::fmt::Write;

use super::{Entry, Kind, entries};

const BEGINS: &str = ".\\\" Generated: UPDATE=1 cargo test --lib manual:: writes it anew.\n";
const ENDS: &str = ".\\\" End of what is generated.\n";

/// The page with its generated part as it has to be; `None` if the page has no place for it.
pub fn renewed(page: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGINS)?;
    let (_, after) = rest.split_once(ENDS)?;
    Some(format!("{before}{BEGINS}{}{ENDS}{after}", generated()))
}

fn generated() -> String {
    let all = entries();
    let mut out = String::new();
    let sections: [(&str, &str, &[Kind]); 4] = [
        ("PROBES", PROBES, &[Kind::Probe]),
        ("LANGUAGE", LANGUAGE, &[Kind::Keyword, Kind::Variable]),
        ("BUILTINS AND FUNCTIONS", FUNCTIONS, &[Kind::Builtin, Kind::Function, Kind::Aggregation]),
        ("CONFIG VARIABLES", CONFIG, &[Kind::Config, Kind::Environment]),
    ];
    for (title, introduction, kinds) in sections {
        let _ = write!(out, ".SH {title}\n{introduction}");
        for entry in all.iter().filter(|e| kinds.contains(&e.kind)) {
            out.push_str(&paragraph(entry));
        }
    }
    out
}

fn paragraph(entry: &Entry) -> String {
    let written: Vec<String> = match entry.builtin {
        Some(builtin) => vec![builtin.to_string()],
        None if matches!(entry.kind, Kind::Config | Kind::Environment) => vec![entry.name.to_owned()],
        None => entry.forms.clone(),
    };
    let mut out = ".TP\n".to_owned();
    for (n, form) in written.iter().enumerate() {
        // Further ones on lines of their own, above the same text.
        let _ = writeln!(out, "{}.B {}", if n > 0 { ".TQ\n" } else { "" }, escaped(form));
    }
    let mut text = format!("{}.", entry.summary);
    for more in &entry.paragraphs {
        text.push(' ');
        text.push_str(more);
    }
    if !entry.aliases.is_empty() {
        let _ = write!(text, " Also: `{}`.", entry.aliases.join("`, `"));
    }
    out.push_str(&marked(&text));
    out.push('\n');
    out
}

/// Markdown's backquotes in bold, each sentence on a line as manual pages have it.
fn marked(text: &str) -> String {
    let mut out = String::new();
    for (n, part) in text.split('`').enumerate() {
        let part = escaped(part);
        if n % 2 == 1 {
            let _ = write!(out, "\\fB{part}\\fP");
        } else {
            out.push_str(&part.replace(". ", ".\n"));
        }
    }
    // At the start of a line these would be requests.
    out.lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() })
        .collect::<Vec<_>>()
        .join("\n")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('…', "...").replace('"', "\\(dq")
}

const PROBES: &str = "\
A script's probes are written as a kind and what it is about, with wildcards (\\fB*\\fP, \\fB?\\fP, \\fB[abc]\\fP) where there are
many.
.B bpftrace \\-l
lists them.
";

const LANGUAGE: &str = "";

const FUNCTIONS: &str = "\
In brackets are arguments that can be left out.
.BI \"bpftrace \\-\\-help \" NAME
shows more, with an example.
";

const CONFIG: &str = "\
They are set at the top of a script,
.BR \"config = { max_strlen = 64 }\" ,
or in the environment, which wins: \\fBBPFTRACE_MAX_STRLEN=64\\fP.
";
