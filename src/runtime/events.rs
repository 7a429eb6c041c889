//! What programs send, and what is done about it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use super::load::Loaded;
use super::packets::Packet;
use super::{Job, order};
use crate::diagnostics::{Diagnostic, Span, system_words};
use crate::format::Format;
use crate::image::{EVENT_HEAD, Event, EventKind, Manifest, MapId, PrintTo, packed};
use crate::output::{self, Bytes, Entry, Lookups, Message, MessageKind, Names, Output};
use crate::symbols::Symbols;
use crate::types::layout::{sequence, size_of};
use crate::types::{Agg, Type};

/// Does what records ask for.
pub struct Actions<'a> {
    job: &'a Job<'a>,
    loaded: &'a Loaded,
    plans: Vec<Plan<'a>>,
    pub output: Box<dyn Output>,
    pub symbols: Symbols,
    lookups: Lookups,
    /// The code of `exit()`, once it was called.
    pub exit: Option<u8>,
    /// Addresses that are not to be watched any more, and where the script says so.
    pub unwatched: Vec<(u64, Span)>,
    /// Packets to be written.
    pub packets: Vec<Packet>,
    /// How many error messages there were.
    pub errors: u64,
    /// We were told to stop: commands are not run any more, only counted.
    pub hurry: bool,
    pub commands_not_run: u64,
    /// The last record took its time, so that it is good to see what else happens before the next one.
    pub took_long: bool,
    /// Storage that is used again for each record: nothing is allocated for it in the long run.
    arguments: Vec<Bytes<'static>>,
    text: Vec<u8>,
}

/// An event with everything that is the same for all its records.
struct Plan<'a> {
    event: &'a Event,
    arguments: Vec<Argument<'a>>,
    /// Where the bytes of variable arguments begin.
    variable: usize,
    format: Format,
    told_cut: Cell<bool>,
}

struct Argument<'a> {
    ty: &'a Type,
    offset: usize,
    size: usize,
    /// See [`packed`].
    packed: bool,
}

impl<'a> Plan<'a> {
    fn new(event: &'a Event, manifest: &Manifest) -> Result<Plan<'a>, Diagnostic> {
        let layouts = &manifest.layouts;
        let types: Vec<&Type> = event.args.iter().map(packed).collect();
        let layout = sequence(types.iter().copied(), layouts);
        let head = EVENT_HEAD as usize;
        let arguments = event
            .args
            .iter()
            .zip(&types)
            .zip(&layout.offsets)
            .map(|((ty, small), offset)| Argument {
                ty,
                offset: head + *offset as usize,
                size: size_of(small, layouts) as usize,
                packed: *small != ty,
            })
            .collect();
        let format = match &event.kind {
            EventKind::Printf { format, .. } | EventKind::Cat { format } | EventKind::System { format } => {
                Format::parse(format).map_err(|e| Diagnostic::error("format", event.span, e.message))?
            }
            _ => Format::default(),
        };
        Ok(Plan {
            event,
            arguments,
            variable: head + layout.size as usize,
            format,
            told_cut: Cell::new(false),
        })
    }

    /// Finds a record's arguments in its bytes; `None` if it is too short for them.
    fn read<'r>(&'r self, record: &'r [u8], arguments: &mut Vec<Bytes<'r>>) -> Option<()> {
        let mut variable = self.variable;
        for argument in &self.arguments {
            let bytes = record.get(argument.offset..argument.offset + argument.size)?;
            let bytes = if argument.packed {
                let len = u32::from_ne_bytes(bytes.try_into().ok()?) as usize;
                let from = variable;
                variable += len;
                record.get(from..variable)?
            } else {
                bytes
            };
            arguments.push(Bytes { ty: argument.ty, bytes, bare: argument.packed });
        }
        Some(())
    }
}

/// Empties a vector and keeps its memory, for elements of another lifetime.
fn reuse<'a>(mut vector: Vec<Bytes<'_>>) -> Vec<Bytes<'a>> {
    vector.clear();
    // The elements are of one size, so the standard library collects in place.
    vector.into_iter().map(|_| -> Bytes<'a> { unreachable!("it is empty") }).collect()
}

impl<'a> Actions<'a> {
    pub fn new(
        job: &'a Job<'a>,
        loaded: &'a Loaded,
        output: Box<dyn Output>,
    ) -> Result<Actions<'a>, Diagnostic> {
        let manifest = &job.image.manifest;
        Ok(Actions {
            job,
            loaded,
            plans: manifest.events.iter().map(|e| Plan::new(e, manifest)).collect::<Result<_, _>>()?,
            output,
            symbols: Symbols::new(job.config, job.debug_files),
            lookups: Lookups::default(),
            exit: None,
            unwatched: vec![],
            packets: vec![],
            errors: 0,
            hurry: false,
            commands_not_run: 0,
            took_long: false,
            arguments: vec![],
            text: vec![],
        })
    }

    /// Does what a record asks for. After `exit()` records are ignored: what they tell happened later.
    pub fn record(&mut self, record: &[u8]) -> io::Result<()> {
        if self.exit.is_some() { Ok(()) } else { self.take(record) }
    }

    /// Keeps the packet of a record, also after `exit()`: it comes another way, and may have been sent before.
    pub fn packet(&mut self, record: &[u8]) -> io::Result<()> {
        self.take(record)
    }

    fn take(&mut self, record: &[u8]) -> io::Result<()> {
        let plans = std::mem::take(&mut self.plans);
        let number =
            record.get(..4).map_or(u32::MAX, |b| u32::from_ne_bytes(b.try_into().unwrap_or_default()));
        let result = match plans.get(number as usize) {
            Some(plan) => {
                let mut arguments = reuse(std::mem::take(&mut self.arguments));
                let result = match plan.read(record, &mut arguments) {
                    Some(()) => self.act(plan, &arguments).and_then(|()| self.tell_cut(plan)),
                    None => self.complain(plan.event.span, "a record of this is too short"),
                };
                self.arguments = reuse(arguments);
                result
            }
            None => {
                (self.job.report)(&Diagnostic::warning(
                    "record",
                    None,
                    format!("a record of an unknown kind ({number}) was ignored"),
                ));
                Ok(())
            }
        };
        self.plans = plans;
        result
    }

    /// Says, once for each place in the script, that a number was shown in part.
    fn tell_cut(&mut self, plan: &Plan<'_>) -> io::Result<()> {
        let cut = std::mem::take(&mut self.lookups.cut);
        if !cut || !self.job.options.warnings || plan.told_cut.replace(true) {
            return Ok(());
        }
        let text = "a number needs more than the 32 bits that %d, %u and %x show: use %ld, %lu or %lx";
        self.message(MessageKind::Warning, text.as_bytes(), plan.event.span)
    }

    fn act(&mut self, plan: &Plan<'_>, arguments: &[Bytes<'_>]) -> io::Result<()> {
        let span = plan.event.span;
        match &plan.event.kind {
            EventKind::Printf { to: PrintTo::Output, .. } => {
                self.with_names(|output, names| output.printf(&plan.format, arguments, names))
            }
            EventKind::Printf { to, .. } => {
                let text = self.format(plan, arguments);
                match to {
                    PrintTo::Warning if !self.job.options.warnings => Ok(()),
                    PrintTo::Warning => self.message(MessageKind::Warning, &text, span),
                    _ => self.message(MessageKind::Error, &text, span),
                }
            }
            EventKind::PrintValue => match arguments {
                [value, ..] => self.with_names(|output, names| output.value(*value, names)),
                [] => Ok(()),
            },
            EventKind::PrintMap { map, top, div } => self.print_map(*map, *top, *div, span),
            EventKind::PrintEntry { map } => self.print_entry(*map, arguments, span),
            EventKind::Clear(id) => self.change(*id, span, "clear", |map, what| map.clear(what)),
            EventKind::Zero(id) => self.change(*id, span, "zero", |map, what| map.zero(what)),
            EventKind::Time { format } => {
                self.text.clear();
                self.lookups.time(&mut self.text, format);
                self.output.text("time", &self.text)
            }
            EventKind::Exit => {
                self.exit = Some(arguments.first().and_then(|a| a.bytes.first()).copied().unwrap_or(0));
                Ok(())
            }
            EventKind::Join { separator } => {
                self.text.clear();
                let strings = arguments.iter().map(|a| a.bytes.split(|b| *b == 0).next().unwrap_or_default());
                for (n, string) in strings.take_while(|s| !s.is_empty()).enumerate() {
                    if n > 0 {
                        self.text.extend_from_slice(separator.as_bytes());
                    }
                    self.text.extend_from_slice(string);
                }
                self.output.text("join", &self.text)
            }
            EventKind::Cat { .. } => {
                let path = self.format(plan, arguments);
                self.cat(&path, span)
            }
            EventKind::System { .. } if self.hurry => {
                self.commands_not_run += 1;
                Ok(())
            }
            EventKind::System { .. } => {
                self.took_long = true;
                let command = self.format(plan, arguments);
                self.system(&command, span)
            }
            EventKind::Unwatch => {
                let bytes = arguments.first().and_then(|a| a.bytes.first_chunk().copied());
                self.unwatched.push((u64::from_ne_bytes(bytes.unwrap_or_default()), span));
                self.took_long = true;
                Ok(())
            }
            EventKind::Packet { path, skip } => {
                let [time, whole, packet] = arguments else { return Ok(()) };
                let time = time.bytes.first_chunk().copied().map_or(0, u64::from_ne_bytes);
                let whole = whole.bytes.first_chunk().copied().map_or(0, u32::from_ne_bytes);
                // Nothing is left of a packet that is no longer than what is skipped.
                if let Some(bytes) = packet.bytes.get(*skip as usize..).filter(|bytes| !bytes.is_empty()) {
                    let wall = self.lookups.since_boot(time);
                    let (path, bytes, whole) = (path.clone(), bytes.to_vec(), whole.saturating_sub(*skip));
                    self.packets.push(Packet { time, wall, path, bytes, whole });
                }
                Ok(())
            }
            EventKind::Warning { message } => match self.job.options.warnings {
                true => self.message(MessageKind::Runtime, message.as_bytes(), span),
                false => Ok(()),
            },
            EventKind::HelperError { helper } => {
                let code = arguments.first().map_or(0, |a| {
                    a.bytes.get(..4).map_or(0, |b| i32::from_ne_bytes(b.try_into().unwrap_or_default()))
                });
                let text = io::Error::from_raw_os_error(-code).to_string();
                self.message(MessageKind::Helper { name: helper, code }, text.as_bytes(), span)
            }
        }
    }

    /// All maps, as they are printed at the end: by name, those that were never written left out.
    pub fn print_all(&mut self) -> io::Result<()> {
        let maps = &self.job.image.manifest.maps;
        let mut order: Vec<usize> = (0..maps.len()).collect();
        order.sort_by(|a, b| maps[*a].name.cmp(&maps[*b].name));
        for n in order {
            let (what, Some(map)) = (&maps[n], self.loaded.maps.get(n)) else { continue };
            match map.read(what) {
                Ok(entries) if entries.is_empty() => {}
                Ok(entries) => {
                    let entries = order::sorted(&entries, what, &self.job.image.manifest.layouts);
                    self.with_names(|output, names| output.map(what, &entries, None, None, names))?;
                }
                Err(e) => self.unreadable(&what.name, &e),
            }
        }
        Ok(())
    }

    fn print_map(&mut self, id: MapId, top: Option<u32>, div: Option<u32>, span: Span) -> io::Result<()> {
        let Some((what, map)) = self.map(id) else { return self.complain(span, "there is no such map") };
        let mut entries = match map.read(what) {
            Ok(entries) => entries,
            Err(e) => {
                self.unreadable(&what.name, &e);
                return Ok(());
            }
        };
        // Asked for by name, a map without a key is shown even if nothing was written yet; not so a histogram, of
        // which there is nothing to show.
        let histogram =
            matches!(what.value, Type::Agg(Agg::Hist { .. } | Agg::LHist { .. } | Agg::TSeries { .. }));
        if what.key.is_none() && entries.is_empty() && !histogram {
            entries.push(&[], &map.empty());
        }
        let entries = order::sorted(&entries, what, &self.job.image.manifest.layouts);
        self.with_names(|output, names| output.map(what, &entries, top, div, names))
    }

    fn print_entry(&mut self, id: MapId, arguments: &[Bytes<'_>], span: Span) -> io::Result<()> {
        let Some((what, map)) = self.map(id) else { return self.complain(span, "there is no such map") };
        let Some(key) = arguments.first() else { return self.complain(span, "the key is missing") };
        // Keys in the kernel are padded with zeros, and so is what we look up.
        let mut key = key.bytes.to_vec();
        key.resize(map.key_size(), 0);
        let value = match arguments.get(1) {
            Some(value) => value.bytes.to_vec(),
            None => match map.value(what, &key) {
                Ok(value) => value,
                Err(e) => {
                    self.unreadable(&what.name, &e);
                    return Ok(());
                }
            },
        };
        let entry = Entry { key: key.into(), value: value.into() };
        self.with_names(|output, names| output.entry(what, &entry, names))
    }

    fn change(
        &mut self,
        id: MapId,
        span: Span,
        verb: &str,
        change: impl FnOnce(&super::maps::Map, &crate::image::Map) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some((what, map)) = self.map(id) else { return self.complain(span, "there is no such map") };
        match change(map, what) {
            Ok(()) => Ok(()),
            Err(e) => self.complain(span, &format!("cannot {verb} {}: {e}", what.name)),
        }
    }

    fn cat(&mut self, path: &[u8], span: Span) -> io::Result<()> {
        let limit = self.job.config.max_cat_bytes;
        let mut content = vec![];
        let name = std::path::Path::new(std::ffi::OsStr::from_bytes(path));
        match File::open(name).and_then(|file| file.take(limit).read_to_end(&mut content)) {
            Ok(_) => self.output.text("cat", &content),
            Err(e) => {
                let why = system_words(&e);
                self.complain(span, &format!("failed to open file '{}' ({why})", name.display()))
            }
        }
    }

    fn system(&mut self, command: &[u8], span: Span) -> io::Result<()> {
        // What was printed before comes before what the command prints on stderr.
        self.output.flush()?;
        let mut shell = Command::new("/bin/sh");
        shell
            .arg("-c")
            .arg(std::ffi::OsStr::from_bytes(command))
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        match shell.output() {
            Ok(done) => self.output.text("syscall", &done.stdout),
            Err(e) => self.complain(span, &format!("cannot run a shell: {e}")),
        }
    }

    fn map(&self, id: MapId) -> Option<(&'a crate::image::Map, &'a super::maps::Map)> {
        let (job, loaded) = (self.job, self.loaded);
        Some((job.image.manifest.maps.get(id.0 as usize)?, loaded.maps.get(id.0 as usize)?))
    }

    fn with_names<T>(&mut self, then: impl FnOnce(&mut dyn Output, &mut Names<'_>) -> T) -> T {
        let loaded = self.loaded;
        let mut names = Names {
            manifest: &self.job.image.manifest,
            symbols: &mut self.symbols,
            frames: &mut |limit, id| frames(&loaded.stacks, limit, id),
            config: self.job.config,
            lookups: &mut self.lookups,
        };
        then(&mut *self.output, &mut names)
    }

    fn format(&mut self, plan: &Plan<'_>, arguments: &[Bytes<'_>]) -> Vec<u8> {
        let mut text = vec![];
        self.with_names(|_, names| output::format_to(&mut text, &plan.format, arguments, names));
        text
    }

    fn message(&mut self, kind: MessageKind<'_>, text: &[u8], span: Span) -> io::Result<()> {
        let text = &String::from_utf8_lossy(text);
        self.errors += u64::from(kind == MessageKind::Error);
        self.output.message(&Message { kind, text, span, sources: self.job.sources })
    }

    /// Warns that no watchpoint was at an address.
    pub fn was_not_watched(&mut self, address: u64, span: Span) -> io::Result<()> {
        if !self.job.options.warnings {
            return Ok(());
        }
        self.message(MessageKind::Warning, format!("no watchpoint is at {address:#x}").as_bytes(), span)
    }

    /// Says what went wrong at a place of the script.
    pub fn complain(&mut self, span: Span, text: &str) -> io::Result<()> {
        self.message(MessageKind::Error, text.as_bytes(), span)
    }

    fn unreadable(&self, name: &str, error: &io::Error) {
        (self.job.report)(&Diagnostic::error("map", None, format!("cannot read the map {name}: {error}")));
    }
}

/// The frames of a stack, innermost first; none if it is not known.
fn frames(stacks: &BTreeMap<u32, OwnedFd>, limit: u32, id: u64) -> Vec<u64> {
    let mut frames = vec![0u64; limit as usize];
    let Some(map) = stacks.get(&limit) else { return vec![] };
    // SAFETY: the map was made with keys of 8 bytes and values of `limit` times 8.
    let error = unsafe {
        libbpf_sys::bpf_map_lookup_elem(map.as_raw_fd(), (&raw const id).cast(), frames.as_mut_ptr().cast())
    };
    if error == 0 { frames } else { vec![] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Layouts;

    fn event(args: Vec<Type>) -> Event {
        Event { kind: EventKind::PrintValue, args, span: Span::default() }
    }

    #[test]
    fn arguments_are_found_in_place() {
        let event = event(vec![Type::U8, Type::Str(64), Type::U64, Type::Buf(100), Type::Str(8)]);
        let manifest = Manifest { layouts: Layouts::default(), ..Manifest::default() };
        let plan = Plan::new(&event, &manifest).unwrap();
        let mut record = vec![0; 8];
        record.extend([7, 0, 0, 0]);
        record.extend(3u32.to_ne_bytes());
        record.extend(9u64.to_ne_bytes());
        record.extend(2u32.to_ne_bytes());
        record.extend(*b"short\0\0\0");
        record.extend([0; 4]);
        record.extend(*b"abc\x01\x02");
        let mut arguments = vec![];
        plan.read(&record, &mut arguments).unwrap();
        let bytes: Vec<(&[u8], bool)> = arguments.iter().map(|a| (a.bytes, a.bare)).collect();
        let nine = 9u64.to_ne_bytes();
        assert_eq!(
            bytes,
            [(&[7][..], false), (b"abc", true), (&nine, false), (&[1, 2], true), (b"short\0\0\0", false)]
        );
        // One byte less, and the buffer is not there.
        assert_eq!(plan.read(&record[..record.len() - 1], &mut vec![]), None);
        assert_eq!(plan.read(&record[..10], &mut vec![]), None);
    }

    #[test]
    fn storage_is_used_again() {
        let ty = Type::U8;
        let mut arguments = Vec::with_capacity(5);
        arguments.push(Bytes { ty: &ty, bytes: &[1], bare: false });
        let before = arguments.as_ptr() as usize;
        let after = reuse(arguments);
        assert_eq!((after.as_ptr() as usize, after.capacity(), after.len()), (before, 5, 0));
    }
}
