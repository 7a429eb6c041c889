//! `uprobe` and `uretprobe`: functions of programs and libraries.

mod functions;
mod matched;
mod request;
mod source;
mod typed;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use self::functions::{Wanted, matching, names};
use self::matched::Matched;
use self::request::{Request, What};
use super::arch::Arch;
use super::{Ask, Group, Host, Listed, Provider, Search, Searched, Uses, View, point, programs, view};
use crate::diagnostics::Diagnostic;
use crate::image::{Attach, Target};
use crate::ir::{Context, ExprKind, Nesting};
use crate::kernel::Feature;
use crate::pattern::has_wildcard;
use crate::process::archive::{self, Bytes};
use crate::process::demangle;
use crate::process::elf::{Elf, ElfError, Function};
use crate::process::instructions::{Around, around};
use crate::syntax::ast::{AttachPart, AttachPoint};
use crate::syntax::literal;
use crate::types::dwarf::Source;
use crate::types::{Space, Type};

pub(super) struct Uprobe {
    names: &'static [&'static str],
    ret: bool,
}

impl Uprobe {
    pub(super) const ENTRY: Uprobe = Uprobe { names: &["uprobe", "u"], ret: false };
    pub(super) const RETURN: Uprobe = Uprobe { names: &["uretprobe", "ur"], ret: true };

    fn usage(&self) -> &'static str {
        match self.ret {
            false => "uprobe:/bin/bash:readline, uprobe:libc:malloc+4 or uprobe:/bin/bash:0x4a0b0",
            true => "uretprobe:/bin/bash:readline or uretprobe:libc:malloc",
        }
    }
}

const FORCE: &str = "Use --unsafe to force attachment. Where no instruction begins there, the probed process may crash or \
                     compute nonsense";

/// What is probed in one file.
struct File {
    path: PathBuf,
    places: Vec<Place>,
}

/// An instruction that is probed.
struct Place {
    /// The name after the path: `malloc`, `malloc+4`, `4660`, `file.c:12`.
    name: String,
    /// It is a line of the source, which a `@` goes before.
    line: bool,
    /// Where it is in the file.
    offset: u64,
    /// The function that it is the first instruction of: its symbol and its address.
    entry: Option<(String, u64)>,
}

impl Uprobe {
    /// The places that an attach point means, and whether there may be several in one file.
    fn places(&self, point: &AttachPoint, host: &mut Host<'_>) -> Result<(Vec<File>, bool), Diagnostic> {
        let request = Request::parse(point, host, self.usage())?;
        let target = request.target.as_deref();
        let paths = programs::named("uprobe", target, point, host)?;
        // Of many files some can be what they want.
        let many = target.is_some_and(|t| has_wildcard(&t.text));
        let (function, demangled) = match &request.what {
            What::Function { name, demangled } => (name.as_ref(), *demangled),
            What::Source(place) => return self.lines(point, &paths, place, many, host),
        };
        let address = literal::int(&function.text).ok().filter(|_| !function.quoted);
        if many && address.is_some() {
            let message = "an address cannot be in several files";
            return Err(Diagnostic::error("attach-point-address", point.span, message)
                .help("write the path of one file"));
        }
        if function.text.is_empty() {
            let message = format!("{} lacks the function or address", self.names[0]);
            return Err(Diagnostic::error("attach-point-function", function.span, message)
                .help(format!("it is written {}", self.usage())));
        }
        let mut files = vec![];
        for path in paths {
            let found = match address {
                Some(address) => self.at_address(&path, address, function, host),
                None => self.functions(&path, (function, demangled), host, many),
            };
            match found {
                Ok(places) if places.is_empty() => {}
                Ok(places) => files.push(File { path, places }),
                Err(_) if many => {}
                Err(problem) => return Err(problem),
            }
        }
        if files.is_empty() {
            let target = target.map_or("*", |t| t.text.as_str());
            let what = format!("{target}:{}", function.text);
            return Err(point::missing(self.names[0], &what, point.span)
                .note("no function of the files matches the pattern"));
        }
        let several = demangled || has_wildcard(&function.text) || many;
        Ok((files, several))
    }

    /// Statements by where their source is.
    fn lines(
        &self,
        point: &AttachPoint,
        paths: &[PathBuf],
        place: &Source,
        many: bool,
        host: &mut Host<'_>,
    ) -> Result<(Vec<File>, bool), Diagnostic> {
        if self.ret {
            let message = "a return probe cannot be at a line: it fires when the function returns";
            return Err(Diagnostic::error("attach-point-offset", point.span, message)
                .help("use uprobe, or name the function"));
        }
        let mut files = vec![];
        for path in paths {
            let addresses = match source::addresses(path, place, point, host) {
                Err(_) if many => continue,
                found => found?,
            };
            let elf = open(path, host)
                .map_err(|e| Diagnostic::error("unreadable-program", point.span, e.to_string()))?;
            let mut name = format!("{}:{}", place.file, place.line);
            if place.column > 0 {
                name.push_str(&format!(":{}", place.column));
            }
            let places: Vec<Place> = addresses
                .into_iter()
                .filter_map(|address| {
                    // Whoever means a function's first line means its arguments too.
                    let function = elf.function_at(address).ok().flatten();
                    let entry = function.filter(|f| f.address == address);
                    let entry = entry.map(|f| (f.name.to_owned(), address));
                    Some(Place { name: name.clone(), line: true, offset: elf.file_offset(address)?, entry })
                })
                .collect();
            if !places.is_empty() {
                files.push(File { path: path.clone(), places });
            }
        }
        if files.is_empty() {
            let message = format!("no code of {}:{} is in the program", place.file, place.line);
            return Err(Diagnostic::error(point::NO_LINE, point.span, message));
        }
        Ok((files, false))
    }

    /// Functions by name or pattern.
    fn functions(
        &self,
        path: &Path,
        (part, demangled): (&AttachPart, bool),
        host: &mut Host<'_>,
        many: bool,
    ) -> Result<Vec<Place>, Diagnostic> {
        let elf = open(path, host).map_err(|e| no_elf(&e, part))?;
        let damaged = |e: ElfError| no_elf(&e, part);
        let unsafe_mode = host.unsafe_mode;
        if has_wildcard(&part.text) {
            return matching(&elf, &Wanted::new(&part.text, demangled)).map_err(damaged);
        }
        let (name, offset) = point::with_offset(part, self.ret)?;
        let named = if demangled { vec![] } else { elf.functions_of(name).map_err(damaged)? };
        let mut function = named.first().copied();
        if let ([_, others @ ..], false) = (named.as_slice(), many) {
            self.warn_of_others(&elf, others, part, host);
        }
        if function.is_none() {
            let wanted = Wanted::new(name, demangled);
            let mut found = if wanted.demangled { matching(&elf, &wanted).map_err(damaged)? } else { vec![] };
            if offset == 0 && !found.is_empty() {
                return Ok(found);
            }
            if let (Some(only), true) = (found.pop(), found.is_empty())
                && let Some((symbol, _)) = only.entry
            {
                function = elf.function(&symbol).map_err(damaged)?;
            }
        }
        let Some(function) = function else {
            return if many { Ok(vec![]) } else { Err(self.unknown_function(&elf, name, part, host)) };
        };
        let name = function.name;
        if function.size == 0 && !unsafe_mode {
            let message = format!("Could not determine boundary for {name} (symbol has size 0).");
            return Err(Diagnostic::error("unknown-boundary", part.span, message).help(FORCE));
        }
        if offset >= function.size && offset > 0 {
            let size = function.size;
            let message = format!("Offset outside the function bounds ('{name}' size is {size})");
            return Err(Diagnostic::error("attach-point-offset", part.span, message));
        }
        if !unsafe_mode {
            self.at_instruction(&elf, &function, offset, part)?;
        }
        let place =
            elf.file_offset(function.address).and_then(|at| at.checked_add(offset)).ok_or_else(|| {
                Diagnostic::error(
                    "not-code",
                    part.span,
                    format!("{name} is not in the code of {}", path.display()),
                )
            })?;
        let entry = (offset == 0).then(|| (name.to_owned(), function.address));
        let name = if offset > 0 { format!("{name}+{offset}") } else { name.to_owned() };
        Ok(vec![Place { name, line: false, offset: place, entry }])
    }

    /// Says which functions have the name that is probed, too: without a wildcard one of them is.
    fn warn_of_others(&self, elf: &Elf, others: &[Function<'_>], part: &AttachPart, host: &mut Host<'_>) {
        let [other, ..] = others else { return };
        let (path, provider, count) = (elf.path().display(), self.names[0], others.len() + 1);
        let message =
            format!("{path} has {count} functions called {}, and one of them is probed", other.name);
        host.warnings.push(Diagnostic::warning("several-functions", part.span, message).help(format!(
            "give the address of another one, as in {provider}:{path}:{:#x}, or a pattern for all of them",
            other.address
        )));
    }

    /// One place by its virtual address, or, `--unsafe`, by where it is in the file.
    fn at_address(
        &self,
        path: &Path,
        address: u64,
        part: &AttachPart,
        host: &Host<'_>,
    ) -> Result<Vec<Place>, Diagnostic> {
        let unsafe_mode = host.unsafe_mode;
        let elf = match open(path, host) {
            Ok(elf) => elf,
            // Code that a JIT compiler wrote to a file.
            Err(ElfError::NotElf { .. }) if unsafe_mode => {
                let start = Bytes::open(path).map_or(0, |bytes| bytes.start());
                return Ok(vec![Place {
                    name: address.to_string(),
                    line: false,
                    offset: start.saturating_add(address),
                    entry: None,
                }]);
            }
            Err(e) => return Err(no_elf(&e, part)),
        };
        let function = elf.function_at(address).map_err(|e| no_elf(&e, part))?;
        match function {
            Some(f) if self.ret && f.address != address => {
                let offset = address - f.address;
                let message =
                    format!("a return probe cannot be at an offset, and this address is {}+{offset}", f.name);
                return Err(Diagnostic::error("attach-point-offset", part.span, message)
                    .help(format!("write {} instead", f.name)));
            }
            None if !unsafe_mode => {
                let message = format!("Could not resolve address: {}:{address:#x}", path.display());
                let why = if elf.is_stripped() {
                    "the file has no symbols that could tell where its instructions begin"
                } else {
                    "no function has this address"
                };
                return Err(Diagnostic::error("unknown-address", part.span, message).note(why).help(
                    "an address inside an instruction can crash the program; if you are sure of it, use --unsafe",
                ));
            }
            Some(f) if !unsafe_mode => self.at_instruction(&elf, &f, address - f.address, part)?,
            _ => {}
        }
        let place = elf.file_offset(address).or(unsafe_mode.then_some(address)).ok_or_else(|| {
            let message = format!("{address:#x} is not in the code of {}", path.display());
            Diagnostic::error("not-code", part.span, message)
        })?;
        let entry = function.filter(|f| f.address == address).map(|f| (f.name.to_owned(), address));
        Ok(vec![Place { name: address.to_string(), line: false, offset: place, entry }])
    }

    /// An error for an offset that is not where an instruction begins.
    fn at_instruction(
        &self,
        elf: &Elf,
        function: &Function<'_>,
        offset: u64,
        part: &AttachPart,
    ) -> Result<(), Diagnostic> {
        // A few bytes more than the instruction at the offset can have.
        let code = elf.code(function.address, offset.saturating_add(16));
        let place = format!("{}:{}+{offset}", elf.path().display(), function.name);
        let error = |message| Diagnostic::error("attach-point-offset", part.span, message);
        match around(code, offset) {
            Around::Begins => Ok(()),
            Around::Inside { start, next } => {
                let provider = self.names[0];
                Err(error(format!("Could not add {provider} into middle of instruction: {place}"))
                    .help(format!("instructions begin at +{start} and +{next}")))
            }
            Around::Unknown => {
                Err(error(format!("Failed to check if {} is in proper place: {place}", self.names[0]))
                    .note("the function's code cannot be told apart into instructions")
                    .help(FORCE))
            }
        }
    }

    fn unknown_function(&self, elf: &Elf, name: &str, part: &AttachPart, host: &mut Host<'_>) -> Diagnostic {
        let path = elf.path().display();
        let problem = point::missing(self.names[0], &format!("{path}:{name}"), part.span);
        let mut names = HashSet::new();
        let _ = elf.functions(&mut |f| {
            names.insert(f.name);
            true
        });
        if names.is_empty() {
            return problem.note(format!("{path} has no symbols at all: it is stripped and exports nothing"));
        }
        let problem = point::did_you_mean(problem, name, names);
        if elf.is_stripped() {
            return problem.note(format!(
                "{path} is stripped, so only the functions that it exports are known; install its debug symbols, \
                 or give an address with --unsafe"
            ));
        }
        match host.types.program_inlined(elf.path(), name) {
            Some((file, line)) => problem
                .note(format!(
                    "the compiler put {name} ({file}:{line}) into its callers: no function is left of it"
                ))
                .help(format!("probe a line of it, as in uprobe:{path}@{file}:{}", line.saturating_add(1))),
            None => problem.note(format!("{path} has no such function; the compiler may have inlined it")),
        }
    }

    fn view(&self, name_id: u32, place: &Place, path: &Path, uses: Uses, host: &Host<'_>) -> View {
        let at_entry = place.entry.is_some();
        let mut view = View::empty(self.names[0], Context::Registers, Nesting::Preemption, name_id);
        view.space = Space::User;
        let address = if self.ret {
            view.retval = Some(view::result());
            // The stack pointer's register holds where it returned to. The helper knows uprobes since they are
            // attached in bulk, 6.6.
            let known = host.kernel.has(Feature::UprobeMulti);
            let context = view::expr(ExprKind::ContextPointer, Type::U64);
            known.then(|| view::helper(libbpf_sys::BPF_FUNC_get_func_ip, vec![context]))
        } else {
            view.words = view::arguments(Space::User, at_entry);
            Some(view::load(Arch::HOST.ip, Type::U64))
        };
        if let (true, Some(address)) = (uses.addresses, &address) {
            let at = open(path, host).ok().and_then(|elf| elf.code_address(place.offset));
            view.moved_by = at.map(|at| view::moved_by(address.clone(), at));
        }
        view.func = address.map(view::user_symbol);
        view.program = Some(path.to_owned());
        view
    }

    /// Adds what debug information says about the function, if the probe asks for it.
    fn describe(
        &self,
        view: &mut View,
        place: &Place,
        path: &Path,
        matched: &Matched,
        uses: Uses,
        host: &mut Host<'_>,
    ) {
        // The results of many functions are many things, so they are numbers.
        if !uses.typed || (self.ret && matched.several) {
            return;
        }
        match &place.entry {
            Some((name, address)) => {
                typed::describe(view, path, (name, *address), self.ret, host);
                view.other_args = matched.others(place, path, host);
            }
            None => {
                view.no_args = Some(view::Reason {
                    note: "arguments are known only where a function is entered".into(),
                    help: Some("probe the function by its name".into()),
                });
            }
        }
    }

    /// Places of one file by what a program sees there.
    fn alike(
        &self,
        places: Vec<Place>,
        path: &Path,
        uses: Uses,
        host: &mut Host<'_>,
    ) -> Vec<(View, Vec<Place>)> {
        let matched = Matched::new(&places, true);
        let mut found: Vec<(View, Vec<Place>)> = vec![];
        for place in places {
            let mut view = self.view(0, &place, path, uses, host);
            self.describe(&mut view, &place, path, &matched, uses, host);
            match found.iter_mut().find(|(other, _)| other.same(&view, uses)) {
                Some((_, others)) => others.push(place),
                None => found.push((view, vec![place])),
            }
        }
        found
    }
}

fn no_elf(error: &ElfError, part: &AttachPart) -> Diagnostic {
    let problem = Diagnostic::error("unreadable-program", part.span, error.to_string());
    match error {
        ElfError::NotElf { .. } => problem.help("with --unsafe a place in any file can be given as a number"),
        _ => problem,
    }
}

/// A program with its symbols.
fn open(path: &Path, host: &Host<'_>) -> Result<Elf, ElfError> {
    Elf::open_with(path, host.types.debug_files())
}

impl Provider for Uprobe {
    fn names(&self) -> &'static [&'static str] {
        self.names
    }

    fn searched(&self) -> Searched {
        if self.ret { Searched::ByName } else { Searched::InProcesses }
    }

    fn resolve(&self, ask: Ask<'_, '_>) -> Result<Vec<Group>, Diagnostic> {
        let Ask { point, uses, host, mut names, .. } = ask;
        let (files, several) = self.places(point, host)?;
        let mut id = |name: &str| names.id(name);
        let provider = self.names[0];
        let bulk = several && host.bulk_uprobes();
        let (ret, pid) = (self.ret, host.pid);
        let mut groups = vec![];
        for File { path, places } in files {
            let shown = path.to_string_lossy().into_owned();
            let file = archive::file(&path).to_string_lossy().into_owned();
            let full = |place: &Place| {
                let before = if place.line { '@' } else { ':' };
                format!("{provider}:{shown}{before}{}", place.name)
            };
            if bulk {
                let last = point.parts.last().map_or("*", |part| part.text.as_str());
                for (mut view, places) in self.alike(places, &path, uses, host) {
                    let name_ids: Vec<u32> = places.iter().map(|place| id(&full(place))).collect();
                    let name = match places.as_slice() {
                        [place] => full(place),
                        _ => format!("{provider}:{shown}:{last}"),
                    };
                    view.name = match name_ids.as_slice() {
                        [_, _, ..] if uses.name => view::name_by_cookie(),
                        ids => view::name_constant(ids.first().copied().unwrap_or(0)),
                    };
                    let offsets = places.into_iter().map(|place| place.offset).collect();
                    let what = Target::UprobeMulti { path: file.clone(), offsets, ret, pid, name_ids };
                    let section = format!("{provider}.multi");
                    groups.push(Group {
                        section,
                        attach: vec![Attach { name, span: point.span, what }],
                        view,
                    });
                }
                continue;
            }
            let matched = Matched::new(&places, several);
            for place in places {
                let name = full(&place);
                let name_id = id(&name);
                let mut view = self.view(name_id, &place, &path, uses, host);
                self.describe(&mut view, &place, &path, &matched, uses, host);
                let what = Target::Uprobe { path: file.clone(), offset: place.offset, ret, pid, name_id };
                let attach = vec![Attach { name, span: point.span, what }];
                groups.push(Group { section: provider.into(), attach, view });
            }
        }
        Ok(groups)
    }

    fn list(&self, search: Search<'_, '_>) -> Result<(), Diagnostic> {
        let Search { point, verbose, host, found } = search;
        let parts = point.parts.get(1..).unwrap_or_default();
        let (target, wanted, language) = match parts {
            // Nobody wants to see the functions of every program there is.
            [] | [_] if host.pid.is_none() && host.command.is_none() => {
                let message = format!("{} needs to know in which program to look", self.names[0]);
                return Err(Diagnostic::error("attach-point-arguments", point.span, message)
                    .help(format!("name it, as in {}:/bin/bash:*, or a process with -p", self.names[0])));
            }
            [] => (None, Wanted::any(), None),
            [function] => (None, Wanted::new(&function.text, false), None),
            [target, ..] => match Request::parse(point, host, self.usage())?.what {
                What::Function { name, demangled } => {
                    let language = parts.get(1).filter(|_| demangled).map(|part| part.text.as_str());
                    (Some(target), Wanted::new(&name.text, demangled), language)
                }
                What::Source(_) => {
                    for File { path, places } in self.places(point, host)?.0 {
                        for place in places {
                            let name = format!("{}:{}@{}", self.names[0], path.display(), place.name);
                            found(Listed { name, args: vec![] });
                        }
                    }
                    return Ok(());
                }
            },
        };
        let paths = match (target, host.pid) {
            (None, pid @ Some(_)) => programs::mapped(pid, point.span)?,
            (target, _) => programs::named("uprobe", target, point, host)?,
        };
        let one = paths.len() == 1;
        for path in paths {
            let listed = open(&path, host).and_then(|elf| names(&elf, &wanted));
            let listed = match listed {
                Ok(listed) => listed,
                Err(e) if one => {
                    return Err(Diagnostic::error("unreadable-program", point.span, e.to_string()));
                }
                // What is mapped and not a program is not listed.
                Err(_) => continue,
            };
            for (name, address) in listed {
                let args = match verbose {
                    true => typed::declarations(&path, address, self.ret, host),
                    false => Ok(vec![]),
                };
                let args = args.unwrap_or_else(|why| {
                    if host.warnings.iter().all(|warning| warning.message != why.message) {
                        host.warnings.push(why);
                    }
                    vec![]
                });
                let shown = match language {
                    Some(language) => {
                        let spelled = demangle::demangled(&name).map(|full| format!("\"{full}\""));
                        format!("{language}:{}", spelled.unwrap_or(name))
                    }
                    None => name,
                };
                found(Listed { name: format!("{}:{}:{shown}", self.names[0], path.display()), args });
            }
        }
        Ok(())
    }
}
