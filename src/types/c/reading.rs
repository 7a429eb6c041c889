//! When headers are read: never, if nothing needs them.
//!
//! Those of the kernel are the last source to be asked, since BTF knows better what they define, and those of C
//! define little that the language does not know. Any other header says what the script means by its names, so it is
//! read at once and comes before the kernel.

use std::fmt::Write;
use std::path::Path;

use super::headers::{Headers, MacroText, MacroTexts, Request};
use super::include::{Header, Includes, Whose, missing, system, whose};
use super::supplies::{Missing, Supply};
use super::token::{Kind, tokens};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::syntax::ast::{Definition, DefinitionKind, Tag};
use crate::types::names::well_known;
use crate::types::store::{Named, Types};
use crate::types::{StructId, Type, constants};

/// Messages about headers, after which the rest is left out.
const MAX_COMPLAINTS: usize = 5;

/// What to do where libclang is not there.
const INSTALL: &str = "install libclang (Debian and Ubuntu: libclang1-19; Fedora: clang-libs)";

/// The headers of a script.
#[derive(Default)]
pub struct Reading {
    state: State,
    /// They come before the kernel's own types.
    first: bool,
    /// Those that are nowhere, and need not be anywhere.
    missing: Vec<String>,
}

#[derive(Default)]
enum State {
    #[default]
    Nothing,
    Unread(Box<Request>),
    Failed(String),
    Read(Box<Headers>),
}

/// Macros of the headers that a script includes, which are read when one is asked for.
pub struct HeaderMacros<'i> {
    includes: &'i Includes,
    /// Whether the kernel describes its types.
    has_btf: &'i dyn Fn() -> bool,
    /// How many `#include`s it was read with, and what was read.
    read: Option<(usize, Option<MacroTexts>)>,
}

impl<'i> HeaderMacros<'i> {
    pub fn new(includes: &'i Includes, has_btf: &'i dyn Fn() -> bool) -> HeaderMacros<'i> {
        HeaderMacros { includes, has_btf, read: None }
    }

    /// `definitions` are the script's so far; headers that are nowhere, or cannot be read, define no macros.
    pub fn find(&mut self, definitions: &[Definition], name: &str) -> Option<MacroText> {
        let count = definitions.iter().filter(|d| d.kind == DefinitionKind::Include).count();
        if self.read.as_ref().is_none_or(|(read, _)| *read != count) {
            self.read = Some((count, self.read_macros(definitions)));
        }
        let found = self.read.as_mut()?.1.as_mut()?.find(name)?;
        // The headers for programs have another `MAJOR` than the kernel, and the kernel's own are full of tricks.
        let directories = || self.includes.kernel_directories().into_iter().chain(system());
        let anybodys = || directories().any(|directory| Path::new(&found.file).starts_with(directory));
        (constants::functions::lookup(name).is_none() || !anybodys()).then_some(found)
    }

    fn read_macros(&self, definitions: &[Definition]) -> Option<MacroTexts> {
        let headers = self.includes.headers(definitions).ok()?;
        if headers.iter().all(|h| h.path.is_none()) {
            return None;
        }
        let request = Request {
            text: text(&headers, definitions),
            names: vec![],
            includes: self.includes.clone(),
            btf: (self.has_btf)(),
            headers,
        };
        request.macros().ok()
    }
}

/// Finds the headers, and reads them if they say what the script means. `names` are those that the script uses.
pub fn include(
    definitions: &[Definition],
    includes: &Includes,
    names: &dyn Fn() -> Vec<String>,
    types: &mut Types,
) -> Diagnostics {
    let mut diagnostics = Diagnostics::default();
    if includes.files.is_empty() && definitions.iter().all(|d| d.kind != DefinitionKind::Include) {
        return diagnostics;
    }
    let headers = match includes.headers(definitions) {
        Ok(headers) => headers,
        Err(diagnostic) => return diagnostic.into(),
    };
    if let Some((variable, path)) = includes.wrong_tree()
        && headers.iter().any(|h| h.whose == Whose::Kernel)
    {
        let message = format!("{variable} is {}, where there is no directory include", path.display());
        diagnostics.push(
            Diagnostic::warning("environment", None, message)
                .help("it takes the directory of the kernel's source, or that of linux-headers"),
        );
    }
    for header in headers.iter().filter(|h| h.path.is_none()) {
        match missing(header, types.has_btf()) {
            Some(error) => diagnostics.push(error),
            None => types.reading.missing.push(header.spelled.clone()),
        }
    }
    if diagnostics.has_errors() || headers.iter().all(|h| h.path.is_none()) {
        return diagnostics;
    }
    types.reading.first = headers.iter().any(|h| h.path.is_some() && h.whose == Whose::Others);
    let request = Request {
        text: text(&headers, definitions),
        names: all_names(names(), definitions),
        includes: includes.clone(),
        btf: types.has_btf(),
        headers,
    };
    let headers = request.headers.clone();
    types.reading.state = State::Unread(Box::new(request));
    if types.reading.first {
        diagnostics.extend(types.read_headers(&headers));
    }
    diagnostics
}

/// The directives in order, each header once, those that are nowhere left out.
fn text(headers: &[Header], definitions: &[Definition]) -> String {
    let mut text = String::new();
    let mut line = |header: &Header| {
        if header.path.is_some() {
            let _ = writeln!(text, "#include {}", header.spelled);
        }
    };
    headers.iter().filter(|h| h.span.is_none()).for_each(&mut line);
    let mut written = headers.iter().filter(|h| h.span.is_some());
    for definition in definitions {
        match definition.kind {
            DefinitionKind::Include => {
                if let Some(header) = written.next().filter(|h| h.path.is_some()) {
                    let _ = writeln!(text, "#include {}", header.spelled);
                }
            }
            DefinitionKind::Directive => {
                let _ = writeln!(text, "{}", definition.text);
            }
            DefinitionKind::Type => {}
        }
    }
    text
}

/// The names in probes and in C definitions, each once.
fn all_names(mut names: Vec<String>, definitions: &[Definition]) -> Vec<String> {
    for definition in definitions.iter().filter(|d| d.kind == DefinitionKind::Type) {
        let words = tokens(&definition.text, definition.span).unwrap_or_default();
        names.extend(words.iter().filter(|t| t.kind == Kind::Word).map(|t| t.text.to_owned()));
    }
    names.sort();
    names.dedup();
    names
}

impl Types {
    /// Reads what has not been read. The messages matter only where the headers come first.
    fn read_headers(&mut self, headers: &[Header]) -> Vec<Diagnostic> {
        let request = match std::mem::take(&mut self.reading.state) {
            State::Unread(request) => request,
            other => {
                self.reading.state = other;
                return vec![];
            }
        };
        let ours = |h: &&Header| h.whose == Whose::Others && h.path.is_some();
        match request.read(&mut |missing| self.supply_missing(missing)) {
            Ok((read, complaints)) => {
                self.reading.state = State::Read(Box::new(read));
                let of = |file: &str| {
                    headers
                        .iter()
                        .filter(ours)
                        .find(|h| h.path.as_ref().is_some_and(|p| p.as_os_str() == file))
                };
                let told = complaints.iter().filter_map(|c| {
                    let header = of(&c.file)?;
                    let message = format!("{}:{}:{}: {}", c.file, c.line, c.column, c.message);
                    Some(Diagnostic::error("header", header.span, message))
                });
                told.take(MAX_COMPLAINTS).collect()
            }
            Err(why) => {
                let header = headers.iter().find(ours);
                let name = header.map_or("", |h| h.spelled.as_str());
                let message = format!("the header {name} cannot be read: {why}");
                self.reading.state = State::Failed(why);
                vec![Diagnostic::error("no-libclang", header.and_then(|h| h.span), message).help(INSTALL)]
            }
        }
    }

    /// What the language knows of what headers lack.
    fn supply_missing(&mut self, missing: &Missing) -> Option<Supply> {
        match missing {
            Missing::Header(name) => {
                let may_be_missing = match whose(name) {
                    Whose::Kernel => self.has_btf(),
                    Whose::Standard => true,
                    Whose::Others => false,
                };
                may_be_missing.then_some(Supply::Header)
            }
            Missing::Constant(name) => {
                let value = match constants::lookup(name) {
                    Some(known) => known.value,
                    None => self.enumerator(name)?.1.into(),
                };
                // What no `long long` holds is unsigned.
                let suffix = if value > i64::MAX.into() { "ULL" } else { "" };
                Some(Supply::Lines(format!("#define {name} ({value}{suffix})")))
            }
            Missing::Typedef(name) => {
                if let Some(Type::Int(int)) = well_known(name) {
                    let sign = if int.signed { "signed" } else { "unsigned" };
                    // As the kernel has them.
                    let long = if name.contains("64") { "long long" } else { "long" };
                    let word = *["char", "short", "int", long].get(int.size.trailing_zeros() as usize)?;
                    return Some(Supply::Lines(format!("typedef {sign} {word} {name};")));
                }
                self.definition_in_c(None, name).map(Supply::Lines)
            }
            Missing::Record(tag, name) => self.definition_in_c(Some(*tag), name).map(Supply::Lines),
        }
    }

    /// Asks the headers something.
    fn ask_headers<T>(&mut self, ask: impl FnOnce(&mut Headers, &mut Types) -> Option<T>) -> Option<T> {
        self.read_headers(&[]);
        match std::mem::take(&mut self.reading.state) {
            State::Read(mut headers) => {
                let answer = ask(&mut headers, self);
                self.reading.state = State::Read(headers);
                answer
            }
            other => {
                self.reading.state = other;
                None
            }
        }
    }

    /// Whether headers are asked before the kernel.
    pub(in crate::types) fn headers_first(&self) -> bool {
        self.reading.first
    }

    pub(in crate::types) fn header_type(&mut self, tag: Option<Tag>, name: &str) -> Option<Type> {
        self.ask_headers(|headers, types| headers.find(tag, name, types))
    }

    pub(in crate::types) fn header_constant(&mut self, name: &str) -> Option<Named> {
        self.ask_headers(|headers, types| headers.constant(name, types))
    }

    /// Whether a header that the script includes has a function of that name.
    pub fn is_header_function(&mut self, name: &str) -> bool {
        self.ask_headers(|headers, _| headers.has_function(name).then_some(())).is_some()
    }

    /// The id of a struct that a header defines, if headers come first.
    pub(in crate::types) fn header_struct(&mut self, tag: Tag, name: &str) -> Option<StructId> {
        if !self.reading.first {
            return None;
        }
        self.ask_headers(|headers, types| headers.record(tag == Tag::Union, name, types))
    }

    /// Makes the fields of a struct that headers promise; whether there is such a struct.
    pub(in crate::types) fn header_fields(&mut self, id: StructId) -> bool {
        matches!(self.reading.state, State::Read(_))
            && self.ask_headers(|headers, types| headers.define(id, types).then_some(())).is_some()
    }

    /// The same for a struct that is known only by its name.
    pub(in crate::types) fn header_fields_of_declared(&mut self, id: StructId) -> bool {
        let Some((union, name)) = self.declared(id) else { return false };
        self.ask_headers(|headers, types| headers.define_mentioned(id, union, &name, types).then_some(()))
            .is_some()
    }

    /// Why headers that might define a missing name were not read.
    pub fn unread_headers(&self) -> Option<(String, Option<&'static str>)> {
        if let State::Failed(why) = &self.reading.state {
            return Some((
                format!("the headers that the script includes were not read: {why}"),
                Some(INSTALL),
            ));
        }
        match self.reading.missing.as_slice() {
            [] => None,
            missing => {
                let list = missing.join(", ");
                Some((format!("the script includes {list}, which this machine does not have"), None))
            }
        }
    }
}
