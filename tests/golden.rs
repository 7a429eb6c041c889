//! Golden tests: `tests/golden/<area>/<case>.bt` is turned into text, which has to be that of `<case>.out` beside it.
//!
//! `UPDATE=1 cargo test --test golden` writes the `.out` files; read what changed before committing it. A filter
//! works as ever: `cargo test --test golden syntax-errors/unclosed`.
//!
//! The examples of the manual of builtins are compiled too: `stdlib/strlen`.
//!
//! To add an area, make its directory and add a line to [`AREAS`] with the function that renders a script. The
//! function sees the script's text and whatever it likes to make of it; it must not depend on the machine.

#[path = "golden/checking.rs"]
mod checking;
#[path = "golden/codes.rs"]
mod codes;
#[path = "support/points.rs"]
mod points;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use bpftrace::config::Config;
use bpftrace::diagnostics::{FileId, Sources};
use bpftrace::expand::{self, Expanded};
use bpftrace::syntax;
use libtest_mimic::{Arguments, Failed, Trial};

/// Makes the text to compare of a script's.
type Render = fn(&str) -> Result<String, Failed>;

/// An area's directory, and how its scripts become text.
const AREAS: &[(&str, Render)] = &[
    ("ast", ast),
    ("syntax-errors", syntax_errors),
    ("expand", expanded),
    ("expand-errors", expand_errors),
    ("check", checking::program),
    ("check-errors", checking::problems),
    ("probe-errors", checking::probe_problems),
];

/// The syntax tree of a script without mistakes.
fn ast(text: &str) -> Result<String, Failed> {
    let (script, diagnostics) = syntax::parse(text, FileId::default());
    if !diagnostics.is_empty() {
        return Err(codes::shown(&diagnostics, &Sources::single("stdin", text)).into());
    }
    Ok(syntax::dump::script(&script))
}

/// What is said about a script that does not parse.
fn syntax_errors(text: &str) -> Result<String, Failed> {
    let (_, diagnostics) = syntax::parse(text, FileId::default());
    if diagnostics.is_empty() {
        return Err("the script parsed".into());
    }
    Ok(codes::shown(&diagnostics, &Sources::single("stdin", text)))
}

/// The tree once macros, imports, `#define`s and parameters are in place. Imports are those beside the case.
fn expanded(text: &str) -> Result<String, Failed> {
    let (expanded, sources) = expand(text, "expand")?;
    if !expanded.diagnostics.is_empty() {
        return Err(codes::shown(expanded.diagnostics.iter(), &sources).into());
    }
    Ok(syntax::dump::script(&expanded.script))
}

/// What is said about a script while it is expanded.
fn expand_errors(text: &str) -> Result<String, Failed> {
    let (expanded, sources) = expand(text, "expand-errors")?;
    if expanded.diagnostics.is_empty() {
        return Err("the script is expanded without complaint".into());
    }
    Ok(codes::shown(expanded.diagnostics.iter(), &sources))
}

/// Expands a script with a few parameters. A line `// options: a=1 b` gives it options.
fn expand(text: &str, area: &str) -> Result<(Expanded, Sources), Failed> {
    let mut sources = Sources::single("stdin", text);
    let (script, problems) = syntax::parse(text, FileId::default());
    if !problems.is_empty() {
        return Err(codes::shown(&problems, &sources).into());
    }
    let named = text.lines().find_map(|line| line.strip_prefix("// options:")).unwrap_or_default();
    let named: Vec<String> = named.split_whitespace().map(str::to_owned).collect();
    let inputs = expand::Inputs {
        positional: &["7".to_owned(), "word".to_owned()],
        named: &named,
        directory: &Path::new("tests/golden").join(area),
        config: &Config::default(),
        config_from_env: &[],
        has_btf: &|| true,
        header_macro: &|_, _| None,
    };
    Ok((expand::expand(script, &inputs, &mut sources), sources))
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![];
    for (area, render) in AREAS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(area);
        let mut scripts: Vec<PathBuf> = match fs::read_dir(&directory) {
            Ok(entries) => entries.flatten().map(|e| e.path()).collect(),
            Err(error) => {
                eprintln!("{}: {error}", directory.display());
                return ExitCode::FAILURE;
            }
        };
        scripts.retain(|path| path.extension().is_some_and(|e| e == "bt"));
        scripts.sort();
        for script in scripts {
            let case = script.file_stem().unwrap_or_default().to_string_lossy();
            trials.push(Trial::test(format!("{area}/{case}"), move || run(&script, *render)));
        }
    }
    for (name, example) in bpftrace::builtins::examples::EXAMPLES {
        trials.push(Trial::test(format!("stdlib/{name}"), move || checking::example(name, example)));
    }
    for (name, example) in bpftrace::manual::other_examples() {
        trials.push(Trial::test(format!("manual/{name}"), move || checking::example(name, example)));
    }
    for (line, example) in documented(include_str!("../docs/language.md")) {
        let name = format!("docs/language.md:{line}");
        trials.push(Trial::test(name.clone(), move || checking::example(&name, &example)));
    }
    trials.push(Trial::test("every code is shown", || codes::complete(render_all)));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The scripts in a document, each with the number of its first line.
fn documented(document: &str) -> Vec<(usize, String)> {
    let mut scripts = vec![];
    let mut lines = document.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        if line == "```bpftrace" {
            let script = lines.by_ref().map(|(line, _)| line).take_while(|line| *line != "```");
            scripts.push((number + 1, script.collect::<Vec<_>>().join("\n")));
        }
    }
    scripts
}

/// Renders every case; whether it is as it should be, its own test tells.
fn render_all() {
    for (area, render) in AREAS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(area);
        let scripts = fs::read_dir(directory).into_iter().flatten().flatten().map(|e| e.path());
        for script in scripts.filter(|path| path.extension().is_some_and(|e| e == "bt")) {
            let _ = fs::read_to_string(script).map(|text| render(&text));
        }
    }
}

fn run(script: &Path, render: fn(&str) -> Result<String, Failed>) -> Result<(), Failed> {
    let text = fs::read_to_string(script)?;
    let actual = render(&text)?;
    let golden = script.with_extension("out");
    if env::var_os("UPDATE").is_some_and(|v| v == "1") {
        fs::write(golden, actual)?;
        return Ok(());
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    if actual == expected {
        return Ok(());
    }
    Err(format!("{} differs (- expected, + actual):\n{}", golden.display(), difference(&expected, &actual))
        .into())
}

/// The lines that two texts do not have in common, among those that they have.
fn difference(expected: &str, actual: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    // The length of the longest common part of what is left, from each pair of lines on.
    let mut common = vec![vec![0usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        let (sign, line) = if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
            (' ', old[i - 1])
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            i += 1;
            ('-', old[i - 1])
        } else {
            j += 1;
            ('+', new[j - 1])
        };
        out.push_str(&format!("{sign} {line}\n"));
    }
    out
}
