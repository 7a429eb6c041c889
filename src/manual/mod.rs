//! The manual of everything that has a name in scripts: builtins and functions, config variables, kinds of probes,
//! keywords. `--help NAME` shows an entry, `--help -f json` gives all of them to programs such as editors, and the
//! manual page has a part that is made from them.

mod json;
mod language;
pub mod page;
mod probes;
mod text;

use crate::builtins::{self, Builtin, examples};
use crate::config::{self, ENVIRONMENT, VARIABLES};
use crate::diagnostics::{Diagnostic, suggest};
use crate::probes::PROVIDERS;

pub use json::lines as json;
pub use text::entries as text;

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name that stands for a value: `pid`.
    Builtin,
    Function,
    /// `count()` and its like.
    Aggregation,
    Keyword,
    /// `$x`, `@x`
    Variable,
    Probe,
    Config,
    Environment,
}

impl Kind {
    /// As people and programs read it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Builtin => "builtin",
            Kind::Function => "function",
            Kind::Aggregation => "map function",
            Kind::Keyword => "keyword",
            Kind::Variable => "variable",
            Kind::Probe => "probe",
            Kind::Config => "config variable",
            Kind::Environment => "environment variable",
        }
    }
}

/// What is to be said about a name.
#[derive(Clone)]
pub struct Entry {
    pub name: &'static str,
    pub aliases: Vec<&'static str>,
    pub kind: Kind,
    /// The ways to write it.
    pub forms: Vec<String>,
    /// A line without a full stop.
    pub summary: String,
    /// What else there is to know, in paragraphs. Words in backquotes are what is written in scripts.
    pub paragraphs: Vec<String>,
    pub example: &'static str,
    pub builtin: Option<&'static Builtin>,
}

/// An entry that has no other table.
struct Written {
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    forms: &'static [&'static str],
    summary: &'static str,
    text: &'static str,
    example: &'static str,
}

/// All entries, those of a kind together.
pub fn entries() -> Vec<Entry> {
    let builtins = builtins::all().filter(|b| !b.name.starts_with("__")).map(of_builtin);
    let language = language::KEYWORDS.iter().chain(language::VARIABLES).chain(probes::PROBES).map(of_written);
    builtins.chain(language).chain(of_config()).collect()
}

/// The entries of a name, of which there may be several: `config` is a keyword and a function.
pub fn find(name: &str) -> Vec<Entry> {
    let all = entries();
    let exactly: Vec<Entry> = all.iter().filter(|e| e.is_called(name, str::eq)).cloned().collect();
    if !exactly.is_empty() {
        return exactly;
    }
    all.into_iter().filter(|e| e.is_called(name, str::eq_ignore_ascii_case)).collect()
}

/// The entries of names that somebody asks about.
///
/// # Errors
///
/// A name that has none, with those that look like it.
pub fn look_up(names: &[String]) -> Result<Vec<Entry>, Diagnostic> {
    let mut found = vec![];
    for name in names {
        let entries = find(name);
        if entries.is_empty() {
            let error = Diagnostic::error("usage", None, format!("there is nothing called {name}"));
            let known: Vec<&str> = self::entries().iter().flat_map(Entry::names).collect();
            return Err(match suggest::did_you_mean(name, known) {
                Some(names) => error.help(names),
                None => error.help("bpftrace --help shows the options; --help NAME knows functions, probes, config variables and keywords"),
            });
        }
        found.extend(entries);
    }
    Ok(found)
}

impl Entry {
    fn names(&self) -> Vec<&'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied()).collect()
    }

    fn is_called(&self, name: &str, same: fn(&str, &str) -> bool) -> bool {
        let bare = name.strip_suffix("()").unwrap_or(name);
        let numbered = || builtins::numbered(bare).zip(self.builtin).is_some_and(|(a, b)| a.name == b.name);
        self.names().iter().any(|own| same(own, bare))
            || (self.kind == Kind::Config && same(&config::in_environment(self.name), bare))
            || numbered()
    }
}

fn of_builtin(builtin: &'static Builtin) -> Entry {
    let kind = match builtin {
        b if b.gathers() => Kind::Aggregation,
        b if b.bare => Kind::Builtin,
        _ => Kind::Function,
    };
    let mut paragraphs = vec![];
    if !builtin.doc.is_empty() {
        paragraphs.push(builtin.doc.to_owned());
    }
    let parameters = builtins::manual::parameters(builtin);
    paragraphs.extend(parameters.into_iter().map(|(name, text)| format!("`{name}`: {text}.")));
    paragraphs.extend(Some(builtins::manual::notes(builtin)).filter(|notes| !notes.is_empty()));
    Entry {
        name: builtin.name,
        aliases: builtin.aliases.to_vec(),
        kind,
        forms: vec![format!("{} {builtin}", builtin.result)],
        summary: builtin.summary.to_owned(),
        paragraphs,
        example: examples::of(builtin.name).unwrap_or_default(),
        builtin: Some(builtin),
    }
}

fn of_written(written: &'static Written) -> Entry {
    let provider =
        PROVIDERS.iter().find(|p| written.kind == Kind::Probe && p.names().first() == Some(&written.name));
    let others = provider.map_or(written.aliases, |p| p.names().get(1..).unwrap_or_default());
    Entry {
        name: written.name,
        aliases: others.to_vec(),
        kind: written.kind,
        forms: written.forms.iter().map(|&form| form.to_owned()).collect(),
        summary: written.summary.to_owned(),
        paragraphs: Some(written.text.to_owned()).filter(|text| !text.is_empty()).into_iter().collect(),
        example: written.example,
        builtin: None,
    }
}

fn of_config() -> impl Iterator<Item = Entry> {
    let variables = VARIABLES.iter().map(|variable| {
        let text = config::manual::paragraphs(variable.doc);
        let line = |p: &str| p.split_whitespace().collect::<Vec<_>>().join(" ");
        // Each entry of a list is a paragraph of its own.
        let mut paragraphs: Vec<String> = text.replace("\n* ", "\n\n* ").split("\n\n").map(line).collect();
        paragraphs.retain(|p| !p.is_empty());
        let first = if paragraphs.is_empty() { String::new() } else { paragraphs.remove(0) };
        let (summary, rest) = first.split_once(". ").unwrap_or((&first, ""));
        if !rest.is_empty() {
            paragraphs.insert(0, rest.to_owned());
        }
        paragraphs.push(format!(
            "Values: {}. Default: {}.",
            variable.expects,
            config::manual::default(variable)
        ));
        Entry {
            name: variable.name,
            aliases: variable.older.iter().map(|old| old.name).collect(),
            kind: Kind::Config,
            forms: vec![
                format!("config = {{ {} = … }}", variable.name),
                format!("{}=…", config::in_environment(variable.name)),
            ],
            summary: summary.trim_end_matches(['.', ':']).to_owned(),
            paragraphs,
            example: "",
            builtin: None,
        }
    });
    let environment = ENVIRONMENT.iter().map(|variable| Entry {
        name: variable.name,
        aliases: vec![],
        kind: Kind::Environment,
        forms: vec![format!("{}=…", variable.name)],
        summary: variable
            .doc
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .trim_end_matches('.')
            .to_owned(),
        paragraphs: vec![],
        example: "",
        builtin: None,
    });
    variables.chain(environment)
}

/// The examples that have no builtin of their name: a test compiles them, as it does those of builtins.
pub fn other_examples() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = language::KEYWORDS.iter().chain(language::VARIABLES).chain(probes::PROBES);
    all.map(|written| (written.name, written.example)).filter(|(_, example)| !example.is_empty())
}

#[cfg(test)]
mod tests;
