//! `uprobe` and `uretprobe`: functions of programs and libraries.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::arch::Arch;
use super::pattern::{Pattern, has_wildcard};
use super::{Ask, Group, Host, Listed, Provider, Search, Searched, View, point, programs, view};
use crate::diagnostics::Diagnostic;
use crate::image::{Attach, Target};
use crate::ir::{Context, ExprKind, Nesting};
use crate::kernel::{Feature, Version};
use crate::process::elf::{Elf, ElfError, Function};
use crate::process::instructions::{Around, around};
use crate::syntax::ast::{AttachPart, AttachPoint};
use crate::syntax::literal;
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

const FORCE: &str = "Use --unsafe to force attachment. WARNING: This option could lead to data corruption in the target \
                     process.";

/// What is probed in one file.
struct File {
    path: PathBuf,
    /// The name after the path (`malloc`, `malloc+4`, `4660`) and the place in the file.
    places: Vec<(String, u64)>,
}

/// What an attach point says.
struct Request<'a> {
    /// `None` for the program of `-p` or `-c`.
    target: Option<&'a AttachPart>,
    function: &'a AttachPart,
}

impl<'a> Request<'a> {
    fn parse(point: &'a AttachPoint, host: &Host<'_>, usage: &str) -> Result<Request<'a>, Diagnostic> {
        match point.parts.get(1..).unwrap_or_default() {
            [function] if host.pid.is_some() || host.command.is_some() => {
                Ok(Request { target: None, function })
            }
            [target, function] => Ok(Request { target: Some(target), function }),
            [_, language, _] => {
                let message = format!("the language qualifier \"{}\" is not supported", language.text);
                Err(Diagnostic::error("attach-point-language", language.span, message)
                    .help("leave it out and write the function's mangled name, which nm shows"))
            }
            _ => Err(point::parts(point, 2..=2, usage).err().unwrap_or_else(|| {
                Diagnostic::error("attach-point-arguments", point.span, format!("it is written {usage}"))
            })),
        }
    }
}

impl Uprobe {
    /// The places that an attach point means.
    fn places(&self, point: &AttachPoint, host: &Host<'_>) -> Result<Vec<File>, Diagnostic> {
        let request = Request::parse(point, host, self.usage())?;
        let function = request.function;
        let paths = programs::named("uprobe", request.target, point, host)?;
        // Of many files some can be what they want.
        let many = request.target.is_some_and(|t| has_wildcard(&t.text));
        let address = literal::int(&function.text).ok().filter(|_| !function.quoted);
        if many && address.is_some() {
            let message = "an address cannot be in several files";
            return Err(Diagnostic::error("attach-point-address", point.span, message)
                .help("write the path of one file"));
        }
        if function.text.is_empty() {
            let message = format!("{} should be attached to a function or an address", self.names[0]);
            return Err(Diagnostic::error("attach-point-function", function.span, message)
                .help(format!("it is written {}", self.usage())));
        }
        let mut files = vec![];
        for path in paths {
            let found = match address {
                Some(address) => self.at_address(&path, address, function, host.unsafe_mode),
                None => self.functions(&path, function, host.unsafe_mode, many),
            };
            match found {
                Ok(places) if places.is_empty() => {}
                Ok(places) => files.push(File { path, places }),
                Err(_) if many => {}
                Err(problem) => return Err(problem),
            }
        }
        if files.is_empty() {
            let target = request.target.map_or("*", |t| t.text.as_str());
            let what = format!("{target}:{}", function.text);
            return Err(point::missing(self.names[0], &what, point.span)
                .note("no function of the files matches the pattern"));
        }
        Ok(files)
    }

    /// Functions by name or pattern.
    fn functions(
        &self,
        path: &Path,
        part: &AttachPart,
        unsafe_mode: bool,
        many: bool,
    ) -> Result<Vec<(String, u64)>, Diagnostic> {
        let elf = Elf::open(path).map_err(|e| no_elf(&e, part))?;
        let damaged = |e: ElfError| no_elf(&e, part);
        if has_wildcard(&part.text) {
            return matching(&elf, &Pattern::new(&part.text)).map_err(damaged);
        }
        let (name, offset) = point::with_offset(part, self.ret)?;
        let Some(function) = elf.function(name).map_err(damaged)? else {
            return if many { Ok(vec![]) } else { Err(self.unknown_function(&elf, name, part)) };
        };
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
        let name = if offset > 0 { format!("{name}+{offset}") } else { name.to_owned() };
        Ok(vec![(name, place)])
    }

    /// One place by its virtual address, or, `--unsafe`, by where it is in the file.
    fn at_address(
        &self,
        path: &Path,
        address: u64,
        part: &AttachPart,
        unsafe_mode: bool,
    ) -> Result<Vec<(String, u64)>, Diagnostic> {
        let elf = match Elf::open(path) {
            Ok(elf) => elf,
            // Code that a JIT compiler wrote to a file.
            Err(ElfError::NotElf { .. }) if unsafe_mode => return Ok(vec![(address.to_string(), address)]),
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
        Ok(vec![(address.to_string(), place)])
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

    fn unknown_function(&self, elf: &Elf, name: &str, part: &AttachPart) -> Diagnostic {
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
        problem.note(format!("{path} has no such function; the compiler may have inlined it"))
    }

    fn view(&self, name_id: u32, at_entry: bool, host: &Host<'_>) -> View {
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
        view.func = address.map(view::user_symbol);
        view
    }
}

fn no_elf(error: &ElfError, part: &AttachPart) -> Diagnostic {
    let problem = Diagnostic::error("unreadable-program", part.span, error.to_string());
    match error {
        ElfError::NotElf { .. } => problem.help("with --unsafe a place in any file can be given as a number"),
        _ => problem,
    }
}

/// The functions that match, each address once, sorted by name.
fn matching(elf: &Elf, pattern: &Pattern) -> Result<Vec<(String, u64)>, ElfError> {
    let mut found: BTreeMap<&str, u64> = BTreeMap::new();
    elf.functions(&mut |f| {
        // Parts of functions that the compiler moved away are jumped to, not called.
        let whole = !f.name.contains(".part.") && !f.name.contains(".cold");
        if whole && f.size > 0 && pattern.matches(f.name) {
            found.entry(f.name).or_insert(f.address);
        }
        true
    })?;
    let mut seen = HashSet::new();
    Ok(found
        .into_iter()
        .filter_map(|(name, address)| Some((name.to_owned(), elf.file_offset(address)?)))
        .filter(|(_, offset)| seen.insert(*offset))
        .collect())
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
        let files = self.places(point, host)?;
        let mut id = |name: &str| names.id(name);
        let provider = self.names[0];
        let pattern = point.parts.iter().skip(1).any(|part| has_wildcard(&part.text));
        // Before 6.10 these watched one thread of a process only.
        let bulk = pattern
            && host.kernel.has(Feature::UprobeMulti)
            && (host.pid.is_none() || host.kernel.version() >= Version { major: 6, minor: 10, patch: 0 });
        let (ret, pid) = (self.ret, host.pid);
        let mut groups = vec![];
        for File { path, places } in files {
            let path = path.to_string_lossy().into_owned();
            let full = |place: &str| format!("{provider}:{path}:{place}");
            if bulk {
                let name_ids: Vec<u32> = places.iter().map(|(place, _)| id(&full(place))).collect();
                let name = match &places[..] {
                    [(place, _)] => full(place),
                    _ => full(point.parts.last().map_or("*", |part| part.text.as_str())),
                };
                let mut view = self.view(name_ids.first().copied().unwrap_or(0), true, host);
                if uses.name && places.len() > 1 {
                    view.name = view::name_by_cookie();
                }
                let offsets = places.into_iter().map(|(_, offset)| offset).collect();
                let what = Target::UprobeMulti { path, offsets, ret, pid, name_ids };
                let section = format!("{provider}.multi");
                groups.push(Group { section, attach: vec![Attach { name, span: point.span, what }], view });
                continue;
            }
            for (place, offset) in places {
                let name = full(&place);
                let name_id = id(&name);
                let at_entry = place.parse::<u64>().is_err() && !place.contains('+');
                let view = self.view(name_id, at_entry, host);
                let what = Target::Uprobe { path: path.clone(), offset, ret, pid, name_id };
                let attach = vec![Attach { name, span: point.span, what }];
                groups.push(Group { section: provider.into(), attach, view });
            }
        }
        Ok(groups)
    }

    fn list(&self, search: Search<'_, '_>) -> Result<(), Diagnostic> {
        let Search { point, host, found, .. } = search;
        let parts = point.parts.get(1..).unwrap_or_default();
        let (target, function) = match parts {
            // Nobody wants to see the functions of every program there is.
            [] | [_] if host.pid.is_none() && host.command.is_none() => {
                let message = format!("{} needs to know in which program to look", self.names[0]);
                return Err(Diagnostic::error("attach-point-arguments", point.span, message)
                    .help(format!("name it, as in {}:/bin/bash:*, or a process with -p", self.names[0])));
            }
            [] => (None, Pattern::any()),
            [function] => (None, Pattern::new(&function.text)),
            [target, .., function] => (Some(target), Pattern::new(&function.text)),
        };
        let paths = match (target, host.pid) {
            (None, pid @ Some(_)) => programs::mapped(pid, point.span)?,
            (target, _) => programs::named("uprobe", target, point, host)?,
        };
        let one = paths.len() == 1;
        for path in paths {
            let listed = Elf::open(&path).and_then(|elf| names(&elf, &function));
            match listed {
                Ok(names) => names.into_iter().for_each(|name| {
                    found(Listed {
                        name: format!("{}:{}:{name}", self.names[0], path.display()),
                        args: vec![],
                    });
                }),
                Err(e) if one => {
                    return Err(Diagnostic::error("unreadable-program", point.span, e.to_string()));
                }
                // What is mapped and not a program is not listed.
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// The names of the functions that match, sorted, each once.
fn names(elf: &Elf, pattern: &Pattern) -> Result<Vec<String>, ElfError> {
    let mut names = HashSet::new();
    elf.functions(&mut |f| {
        if pattern.matches(f.name) && !f.name.contains(".part.") {
            names.insert(f.name);
        }
        true
    })?;
    let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    names.sort_unstable();
    Ok(names)
}
