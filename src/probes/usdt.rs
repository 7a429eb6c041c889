//! `usdt`: the places that programs and libraries mark for tracing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::arch::Arch;
use super::{Ask, Group, Host, Listed, Provider, Search, Searched, View, point, programs, view};
use crate::diagnostics::Diagnostic;
use crate::image::{Attach, Target, UsdtPlace};
use crate::ir::{Binary, Context, Expr, ExprKind, Nesting};
use crate::pattern::{Pattern, has_wildcard};
use crate::process::archive;
use crate::process::elf::{Elf, ElfError};
use crate::process::usdt::{self, Argument, Operand, Register, Syntax};
use crate::syntax::ast::{AttachPart, AttachPoint};
use crate::types::{Int, Space, Type};

pub(super) struct Usdt;

const USAGE: &str =
    "usdt:libstdc++:libstdcxx:throw, usdt:/usr/sbin/mysqld:query__start, or with -p usdt:query__start";

/// What an attach point says.
struct Request<'a> {
    /// `None` for what a process has mapped.
    target: Option<&'a AttachPart>,
    provider: Pattern,
    name: &'a AttachPart,
    pattern: Pattern,
}

impl<'a> Request<'a> {
    /// `listed`: a file alone means all that it has.
    fn parse(point: &'a AttachPoint, host: &Host<'_>, listed: bool) -> Result<Request<'a>, Diagnostic> {
        let of_process = host.pid.is_some() || host.command.is_some();
        let (target, provider, name) = match point.parts.get(1..).unwrap_or_default() {
            [name] if of_process => (None, None, name),
            [target] if listed => (Some(target), None, target),
            [target, name] => (Some(target), None, name),
            [target, provider, name] => (Some(target), Some(provider), name),
            _ => {
                return Err(point::parts(point, 2..=3, USAGE).err().unwrap_or_else(|| {
                    Diagnostic::error("attach-point-arguments", point.span, format!("it is written {USAGE}"))
                }));
            }
        };
        let provider = provider.filter(|p| !p.text.is_empty());
        let everything = listed && point.parts.len() == 2 && target.is_some();
        Ok(Request {
            target: target.filter(|target| !(target.text.is_empty() && of_process)),
            provider: provider.map_or_else(Pattern::any, |part| Pattern::new(&part.text)),
            name,
            pattern: if everything { Pattern::any() } else { Pattern::new(&name.text) },
        })
    }

    fn files(&self, point: &AttachPoint, host: &Host<'_>) -> Result<Vec<PathBuf>, Diagnostic> {
        match (self.target, host.pid) {
            (None, Some(pid)) if host.command.is_none() => programs::mapped(Some(pid), point.span),
            _ => programs::named("usdt", self.target, point, host),
        }
    }

    /// Whether some of the files may have nothing that matches.
    fn many(&self, host: &Host<'_>) -> bool {
        match self.target {
            Some(target) => has_wildcard(&target.text),
            None => host.command.is_none(),
        }
    }

    fn matches(&self, place: &usdt::Usdt) -> bool {
        self.provider.matches(&place.provider) && self.pattern.matches(&place.name)
    }

    /// What matches in each of the files, those with nothing left out.
    fn found(&self, point: &AttachPoint, host: &Host<'_>) -> Result<Vec<(Elf, Vec<usdt::Usdt>)>, Diagnostic> {
        let many = self.many(host);
        let mut found = vec![];
        for path in self.files(point, host)? {
            match read(&path) {
                Ok((elf, mut places)) => {
                    places.retain(|place| self.matches(place));
                    if !places.is_empty() {
                        found.push((elf, places));
                    }
                }
                Err(_) if many => {}
                Err(error) => {
                    return Err(Diagnostic::error("unreadable-program", point.span, error.to_string()));
                }
            }
        }
        Ok(found)
    }

    fn missing(&self, point: &AttachPoint, host: &Host<'_>) -> Diagnostic {
        let what: Vec<&str> = point.parts.iter().skip(1).map(|part| part.text.as_str()).collect();
        let problem = point::missing("usdt", &what.join(":"), point.span);
        let paths = self.files(point, host).unwrap_or_default();
        let mut names: Vec<String> = vec![];
        for (_, places) in paths.iter().filter_map(|path| read(path).ok()) {
            names.extend(places.into_iter().map(|place| format!("{}:{}", place.provider, place.name)));
        }
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return problem.note(match paths.as_slice() {
                [only] => format!("{} has no USDT probes", only.display()),
                _ => "none of the files has USDT probes".into(),
            });
        }
        let wanted = self.name.text.as_str();
        // Whoever left the provider out, or took another one, may still know the name.
        if let Some(same) =
            names.iter().find(|name| name.rsplit_once(':').is_some_and(|(_, name)| name == wanted))
        {
            return problem.help(format!("did you mean `{same}`?"));
        }
        let only_names = names.iter().filter_map(|name| name.rsplit_once(':').map(|(_, name)| name));
        point::did_you_mean(problem, wanted, only_names).help(match paths.as_slice() {
            [only] => format!("bpftrace -l 'usdt:{}:*' lists what there is", only.display()),
            _ => "bpftrace -l 'usdt:*' -p PID lists what there is".into(),
        })
    }
}

fn read(path: &Path) -> Result<(Elf, Vec<usdt::Usdt>), ElfError> {
    let elf = Elf::open(path)?;
    let places = usdt::places(&elf)?;
    Ok((elf, places))
}

/// The arguments of a place, up to the first that cannot be read.
fn words(elf: &Elf, place: &usdt::Usdt) -> Vec<Expr> {
    let arguments = usdt::arguments(&place.arguments, Syntax::HOST);
    arguments.into_iter().map_while(|argument| word(elf, place, &argument.ok()?)).collect()
}

/// An argument's value, widened to 64 bits.
fn word(elf: &Elf, place: &usdt::Usdt, argument: &Argument) -> Option<Expr> {
    let ty = integer(argument.size, argument.signed);
    let value = match &argument.operand {
        Operand::Constant(n) => {
            let unused = 64 - 8 * u32::from(argument.size);
            let cut = (*n as u64) << unused;
            return Some(view::number(if argument.signed {
                ((cut as i64) >> unused) as u64
            } else {
                cut >> unused
            }));
        }
        Operand::Register(register) => held(register, &ty)?,
        Operand::Memory { symbol, displacement, base, index } => {
            let mut address = view::number(*displacement as u64);
            if let Some(symbol) = symbol {
                // How far the file's addresses have moved in memory, the instruction's own place tells.
                let target = elf.symbol(symbol).ok().flatten()?.address;
                let distance = target.wrapping_sub(place.address);
                let here = view::load(Arch::HOST.ip, Type::U64);
                address = add(address, add(here, view::number(distance)));
            }
            if let Some(base) = base {
                address = add(held(base, &Type::U64)?, address);
            }
            if let Some((index, scale)) = index {
                let index = widened(held(index, &integer(index.size, index.signed))?);
                address = add(address, view::binary(Binary::Mul, index, view::number((*scale).into())));
            }
            view::dereference(address, Space::User, ty)
        }
    };
    Some(widened(value))
}

fn integer(size: u8, signed: bool) -> Type {
    Type::Int(Int { signed, size })
}

fn add(left: Expr, right: Expr) -> Expr {
    view::binary(Binary::Add, left, right)
}

fn widened(value: Expr) -> Expr {
    if value.ty == Type::U64 { value } else { view::expr(ExprKind::Cast(Box::new(value)), Type::U64) }
}

/// What a register has of that type, as the kernel saved it.
fn held(register: &Register, ty: &Type) -> Option<Expr> {
    let offset = Arch::HOST.register(register.name)?;
    Some(match register.shift {
        0 => view::load_word(offset, ty),
        shift => view::load(offset + u32::from(shift), ty.clone()),
    })
}

/// The arguments of a probe for listings: what its places have at each number.
#[derive(Default)]
struct Declared(Vec<Vec<String>>);

impl Declared {
    fn add(&mut self, elf: &Elf, place: &usdt::Usdt) {
        let readable = words(elf, place).len();
        for (n, argument) in usdt::arguments(&place.arguments, Syntax::HOST).into_iter().enumerate() {
            let kind = match argument {
                Ok(argument) if n < readable => {
                    let unsigned = if argument.signed { "" } else { "u" };
                    format!("{unsigned}int{}", 8 * u32::from(argument.size))
                }
                // Those after the first that is not there are not either.
                _ => "unreadable".into(),
            };
            match self.0.get_mut(n) {
                Some(kinds) if kinds.contains(&kind) => {}
                Some(kinds) => kinds.push(kind),
                None => self.0.push(vec![kind]),
            }
        }
    }

    /// `int32 arg0`
    fn lines(self) -> Vec<String> {
        let numbered = self.0.into_iter().enumerate();
        numbered.map(|(n, kinds)| format!("{} arg{n}", kinds.join(" or "))).collect()
    }
}

/// Places of one probe with the arguments in the same registers and memory.
struct Alike {
    words: Vec<Expr>,
    moved_by: Option<Expr>,
    places: Vec<UsdtPlace>,
}

impl Provider for Usdt {
    fn names(&self) -> &'static [&'static str] {
        &["usdt", "U"]
    }

    fn searched(&self) -> Searched {
        Searched::InProcesses
    }

    fn resolve(&self, ask: Ask<'_, '_>) -> Result<Vec<Group>, Diagnostic> {
        let Ask { point, uses, host, mut names } = ask;
        let request = Request::parse(point, host, false)?;
        let found = request.found(point, host)?;
        if found.is_empty() {
            return Err(request.missing(point, host));
        }
        let bulk = host.bulk_uprobes();
        let mut groups = vec![];
        for (elf, places) in found {
            let path = elf.path().to_string_lossy().into_owned();
            let file = archive::file(elf.path()).to_string_lossy().into_owned();
            // The compiler may have made several places of one, and each may have its arguments elsewhere.
            let mut by_name: BTreeMap<String, Vec<Alike>> = BTreeMap::new();
            for place in places {
                let name = format!("usdt:{path}:{}:{}", place.provider, place.name);
                let Some(offset) = elf.file_offset(place.address) else { continue };
                let semaphore = match place.semaphore {
                    0 => 0,
                    address => elf.data_offset(address).ok_or_else(|| {
                        let message = format!("the semaphore of {name} is not in the file's memory");
                        Diagnostic::error("not-code", point.span, message)
                            .note("without it the program does not reach the probe")
                    })?,
                };
                // They may need symbols, and tell places apart.
                let words = if uses.words { words(&elf, &place) } else { vec![] };
                let here = view::load(Arch::HOST.ip, Type::U64);
                let moved_by = uses.addresses.then(|| view::moved_by(here, place.address));
                let alike = by_name.entry(name).or_default();
                let at = UsdtPlace { offset, semaphore };
                match alike.iter_mut().find(|other| other.words == words && other.moved_by == moved_by) {
                    Some(other) => other.places.push(at),
                    None => alike.push(Alike { words, moved_by, places: vec![at] }),
                }
            }
            for (name, alike) in by_name {
                let name_id = names.id(&name);
                for (n, Alike { words, moved_by, places }) in alike.into_iter().enumerate() {
                    let mut view = View::empty("usdt", Context::Registers, Nesting::Preemption, name_id);
                    view.space = Space::User;
                    view.program = Some(elf.path().to_owned());
                    view.words = words;
                    view.moved_by = moved_by;
                    view.func = Some(view::user_symbol(view::load(Arch::HOST.ip, Type::U64)));
                    let (path, pid) = (file.clone(), host.pid);
                    let what = Target::Usdt { path, places, pid, name_id, bulk, first: n == 0 };
                    let attach = vec![Attach { name: name.clone(), span: point.span, what }];
                    let section = if bulk { "uprobe.multi" } else { "uprobe" };
                    groups.push(Group { section: section.into(), attach, view });
                }
            }
        }
        if groups.is_empty() {
            let message = "none of the places of this probe is in the code of its file";
            return Err(Diagnostic::error("not-code", point.span, message));
        }
        Ok(groups)
    }

    fn list(&self, search: Search<'_, '_>) -> Result<(), Diagnostic> {
        let Search { point, verbose, host, found } = search;
        let of_process = host.pid.is_some() || host.command.is_some();
        if point.parts.len() < 2 && !of_process {
            return Err(Diagnostic::error(
                "attach-point-arguments",
                point.span,
                "usdt needs to know in which program to look",
            )
            .help("name it, as in usdt:libstdc++:*, or a process with -p"));
        }
        let mut whole = point.clone();
        if whole.parts.len() < 2 {
            whole.parts.push(AttachPart { text: "*".into(), quoted: false, span: point.span });
        }
        let request = Request::parse(&whole, host, true)?;
        let mut listed: BTreeMap<String, Declared> = BTreeMap::new();
        for (elf, places) in request.found(&whole, host)? {
            let path = elf.path().display();
            for place in &places {
                let declared = listed.entry(format!("usdt:{path}:{}:{}", place.provider, place.name));
                let declared = declared.or_default();
                if verbose {
                    declared.add(&elf, place);
                }
            }
        }
        listed.into_iter().for_each(|(name, declared)| found(Listed { name, args: declared.lines() }));
        Ok(())
    }
}
