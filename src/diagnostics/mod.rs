//! What went wrong (or may go wrong) and where: one type for every stage, from the lexer to the verifier.
//!
//! A [`Diagnostic`] is plain data. Only the renderer ([`render`]) turns it into text; nothing else in the
//! crate formats one.

pub mod codes;
pub mod render;
pub mod suggest;

use serde::{Deserialize, Serialize};

/// What the system says of an error, in words alone: `No such file or directory`, without the number that the standard
/// library puts behind.
pub fn system_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// One source text of the program: the script itself, one of its imports, or what a macro's text became at one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileId(pub u32);

/// A half-open range of bytes in one source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    pub file: FileId,
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(file: FileId, start: usize, end: usize) -> Self {
        // Sources over 4 GiB are refused when they are read, so the clamp is never seen.
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { file, start: clamp(start), end: clamp(end) }
    }

    /// The smallest span that covers both; this one if they are of different texts, as an operand and the macro
    /// around it are.
    pub fn to(self, other: Span) -> Span {
        if self.file != other.file {
            return self;
        }
        Span { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// An empty span at the start.
    pub fn head(self) -> Span {
        Span { end: self.start, ..self }
    }
}

/// The texts of a program, and their names as they are shown: `stdin` for `-e` and `-`, the path for a file.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    entries: Vec<Entry>,
}

/// One text with its name.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: String,
    pub text: String,
}

/// A macro's text where a call put it. Its places are those of the macro; that they are of a text of their own tells
/// one call's from another's.
#[derive(Clone, Debug)]
pub struct Expansion {
    /// The macro's name.
    pub name: String,
    /// Where it is called.
    pub call: Span,
    /// The text that the macro is written in.
    of: FileId,
}

#[derive(Clone, Debug)]
enum Entry {
    Text(Source),
    Expansion(Expansion),
}

impl Sources {
    /// A program of one text.
    pub fn single(name: impl Into<String>, text: impl Into<String>) -> Self {
        let mut sources = Sources::default();
        sources.add(name, text);
        sources
    }

    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        self.push(Entry::Text(Source { name: name.into(), text: text.into() }))
    }

    /// Adds the text of a macro, which is written in `of`, as it is put in place at a call.
    pub fn add_expansion(&mut self, name: impl Into<String>, of: FileId, call: Span) -> FileId {
        self.push(Entry::Expansion(Expansion { name: name.into(), call, of }))
    }

    fn push(&mut self, entry: Entry) -> FileId {
        let id = FileId(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        self.entries.push(entry);
        id
    }

    /// All texts, those of macros too.
    pub fn ids(&self) -> impl Iterator<Item = FileId> + use<> {
        (0..u32::try_from(self.entries.len()).unwrap_or(u32::MAX)).map(FileId)
    }

    /// The text of a file; a macro's is the one that it is written in.
    pub fn get(&self, id: FileId) -> Option<&Source> {
        match self.entries.get(usize::try_from(id.0).ok()?)? {
            Entry::Text(source) => Some(source),
            Entry::Expansion(expansion) if expansion.of != id => self.get(expansion.of),
            Entry::Expansion(_) => None,
        }
    }

    /// The call that put a text in place, for those of macros.
    pub fn expansion(&self, id: FileId) -> Option<&Expansion> {
        match self.entries.get(usize::try_from(id.0).ok()?)? {
            Entry::Text(_) => None,
            Entry::Expansion(expansion) => Some(expansion),
        }
    }

    /// The calls of macros that lead to a place, innermost first.
    pub fn calls(&self, span: Span) -> impl Iterator<Item = &Expansion> {
        std::iter::successors(self.expansion(span.file), |e| self.expansion(e.call.file))
    }

    /// The place outside of all macros: the outermost call that leads to it, or itself.
    pub fn outermost(&self, span: Span) -> Span {
        self.calls(span).last().map_or(span, |e| e.call)
    }

    /// The text under a span, or "" where it points outside.
    pub fn text(&self, span: Span) -> &str {
        self.get(span.file).and_then(|s| s.text.get(span.start as usize..span.end as usize)).unwrap_or("")
    }

    /// Where a span starts and ends, as the first line of a message shows it: `file:line:start-end`, or
    /// `file:line-last_line` where it covers several lines.
    pub fn position(&self, span: Span) -> Position {
        let Some(source) = self.get(span.file) else {
            return Position { line: 1, start: 1, last_line: 1, end: 2 };
        };
        let text = source.text.as_str();
        let start = floor_char_boundary(text, span.start as usize);
        let end = floor_char_boundary(text, span.end as usize).max(start);
        // A line break at the end of a span does not make it one of two lines.
        let end = start + text[start..end].trim_end_matches(['\n', '\r']).len();
        let column = |at: usize| {
            let line_start = text[..at].rfind('\n').map_or(0, |n| n + 1);
            text[line_start..at].chars().count() + 1
        };
        let line = text[..start].matches('\n').count() + 1;
        let last_line = line + text[start..end].matches('\n').count();
        let (first, last) = (column(start), column(end));
        let empty = line == last_line && last <= first;
        Position { line, start: first, last_line, end: if empty { first + 1 } else { last } }
    }
}

/// The nearest place at or before `at` where a character starts.
fn floor_char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// See [`Sources::position`]. All count from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    /// The column of the first character.
    pub start: usize,
    pub last_line: usize,
    /// The column after the last character, as the reference counts.
    pub end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    Warning,
    Error,
}

/// One message for the user.
///
/// `message` is one sentence without a full stop that says what is wrong; `notes` say why; `help` says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// A stable name of the kind of problem, in kebab-case: one of [`codes::CODES`].
    pub code: &'static str,
    pub message: String,
    /// Absent for what has no place in the script: a missing privilege, an option.
    pub span: Option<Span>,
    /// Further places that matter, with a few words each.
    pub labels: Vec<(Span, String)>,
    pub notes: Vec<String>,
    pub help: Vec<String>,
}

impl Diagnostic {
    pub fn error(code: &'static str, span: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, span.into(), message.into())
    }

    pub fn warning(code: &'static str, span: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, span.into(), message.into())
    }

    fn new(severity: Severity, code: &'static str, span: Option<Span>, message: String) -> Self {
        Diagnostic { severity, code, message, span, labels: vec![], notes: vec![], help: vec![] }
    }

    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push((span, text.into()));
        self
    }

    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }
}

/// Messages gathered by a stage that goes on after the first.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    pub fn push(&mut self, diagnostic: Diagnostic) {
        // Checking one body for several probes must not say one thing several times.
        if !self.list.contains(&diagnostic) {
            self.list.push(diagnostic);
        }
    }

    /// Adds an error only if none of its kind is there for the same place: one body is checked for each of the programs
    /// that a wildcard makes, and the same mistake may read a little different in each.
    pub fn push_first(&mut self, diagnostic: Diagnostic) {
        let place = |d: &Diagnostic| (d.severity, d.code, d.span);
        let known = diagnostic.severity == Severity::Error && diagnostic.span.is_some();
        if !(known && self.list.iter().any(|d| place(d) == place(&diagnostic))) {
            self.push(diagnostic);
        }
    }

    pub fn extend(&mut self, other: impl IntoIterator<Item = Diagnostic>) {
        other.into_iter().for_each(|d| self.push(d));
    }

    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Diagnostics { list: vec![diagnostic] }
    }
}
