//! The cases as they are written in `tests/programs/*.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A file of cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// What the cases of this file have in common; a case's own keys win, its `needs` and `env` are added.
    #[serde(default)]
    defaults: Defaults,
    test: Vec<Case>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Defaults {
    options: Option<Vec<String>>,
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    vm: bool,
    #[serde(default)]
    serial: bool,
}

/// One run of bpftrace and what is to come of it. `README.md` beside the files explains each key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The file's name without `.toml`.
    #[serde(skip)]
    pub suite: String,
    pub name: String,

    // What is run: one of the first three, or only `options`.
    pub program: Option<String>,
    pub file: Option<String>,
    pub shell: Option<String>,
    pub options: Option<Vec<String>>,
    #[serde(default)]
    pub params: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    pub stdin: Option<String>,
    /// The user to run as, instead of root.
    pub user: Option<String>,

    // What happens meanwhile.
    pub workload: Option<String>,
    #[serde(default)]
    pub stop: Stop,

    // What is to come of it.
    #[serde(default)]
    pub exit: i32,
    pub stdout: Option<String>,
    #[serde(default)]
    pub stdout_has: Vec<String>,
    #[serde(default)]
    pub stdout_lacks: Vec<String>,
    pub stderr: Option<String>,
    #[serde(default)]
    pub stderr_has: Vec<String>,
    #[serde(default)]
    pub stderr_lacks: Vec<String>,
    /// A shell command that has to succeed once bpftrace is gone.
    pub check: Option<String>,

    /// In seconds, for all of it.
    #[serde(default = "default_timeout")]
    pub timeout: u64,
    #[serde(default)]
    pub needs: Vec<String>,
    #[serde(default)]
    pub vm: bool,
    #[serde(default)]
    pub serial: bool,
}

/// How a run ends once its workload has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// With SIGINT, as a person would.
    #[default]
    Int,
    /// With SIGTERM.
    Term,
    /// By itself.
    Never,
}

fn default_timeout() -> u64 {
    10
}

impl Case {
    pub fn full_name(&self) -> String {
        format!("{}::{}", self.suite, self.name)
    }

    /// Whether it has to be known when the probes are attached.
    pub fn waits_for_probes(&self) -> bool {
        self.workload.is_some()
    }

    fn fault(&self) -> Option<&'static str> {
        let kinds = [&self.program, &self.file, &self.shell];
        if kinds.iter().filter(|k| k.is_some()).count() > 1 {
            return Some("`program`, `file` and `shell` exclude each other");
        }
        if kinds.iter().all(|k| k.is_none()) && self.options.is_none() {
            return Some("there is nothing to run: give `program`, `file`, `shell` or `options`");
        }
        if self.shell.is_some() && self.workload.is_some() {
            return Some("with `shell`, the script has to start the workload itself");
        }
        let says_nothing = self.stdout.is_none()
            && self.stdout_has.is_empty()
            && self.stderr.is_none()
            && self.stderr_has.is_empty()
            && self.check.is_none();
        says_nothing.then_some("nothing is expected of the output")
    }
}

/// Where the cases lie.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs")
}

/// All cases, by file name and then in the order they are written.
pub fn load_all() -> Result<Vec<Case>, String> {
    let directory = directory();
    let entries = std::fs::read_dir(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    paths.sort();
    let mut cases = vec![];
    for path in paths {
        cases.extend(load(&path).map_err(|e| format!("{}: {e}", path.display()))?);
    }
    Ok(cases)
}

fn load(path: &Path) -> Result<Vec<Case>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let File { defaults, test } = toml::from_str(&text).map_err(|e| e.to_string())?;
    let suite = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let mut seen = std::collections::BTreeSet::new();
    let mut cases = vec![];
    for mut case in test {
        case.suite.clone_from(&suite);
        case.options = case.options.or_else(|| defaults.options.clone());
        case.needs.extend(defaults.needs.iter().cloned());
        case.vm |= defaults.vm;
        case.serial |= defaults.serial;
        for (name, value) in &defaults.env {
            case.env.entry(name.clone()).or_insert_with(|| value.clone());
        }
        if let Some(fault) = case.fault() {
            return Err(format!("test \"{}\": {fault}", case.name));
        }
        if !seen.insert(case.name.clone()) {
            return Err(format!("two tests are called \"{}\"", case.name));
        }
        cases.push(case);
    }
    Ok(cases)
}
