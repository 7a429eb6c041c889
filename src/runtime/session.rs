//! A run from its beginning to its end.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::attaching::Attached;
use super::epoll::{Epoll, Event};
use super::events::Actions;
use super::load::{BUG, Loaded, load, run_once};
use super::losses::Losses;
use super::packets::Packets;
use super::ring::{Drained, Ring};
use super::signals::Signals;
use super::{Child, Job, Purpose};
use crate::diagnostics::{Diagnostic, system_words};
use crate::image::{Program, Target};
use crate::output::{self, Output};
use crate::probes::attach::{Attachment, Objects};
use crate::types::Type;

/// How often losses are looked for and processes are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How soon a file is opened that a process has mapped: it may be deleted, or its container gone, when it is needed.
const FILES: Duration = Duration::from_millis(100);
/// How long a program may take from `execve` to being mapped; without its mappings its symbols may stay unknown.
const EXECUTION: Duration = Duration::from_millis(50);
/// How long records gather where they come thick and fast: being woken for each costs more than reading it.
const GATHER: Duration = Duration::from_millis(1);
/// After so many records we see whether we should stop.
const AT_ONCE: usize = 16_384;
/// So many objects of an iterator at once.
const PIECE: usize = 256;
/// How long to wait for records that are still being written after everything was detached.
const LAST_WRITES: Duration = Duration::from_millis(500);

/// Runs a program to its end. The result is the exit code.
pub fn run(job: &Job<'_>, child: Option<&mut Child>) -> Result<u8, Diagnostic> {
    let output = open_output(job)?;
    let signals = Signals::take()
        .map_err(|e| Diagnostic::error("signals", None, format!("signals cannot be caught: {e}")))?;
    let loaded = load(job)?;
    let mut session = Session::new(job, &loaded, &signals, output)?;
    match session.run(child) {
        Ok(()) => {}
        Err(Stop::Problem(problem)) => {
            let _ = session.actions.output.finish();
            return Err(*problem);
        }
        // The reader has enough: `bpftrace … | head`. That is how such a pipe ends.
        Err(Stop::Write(e)) if e.kind() == io::ErrorKind::BrokenPipe => {}
        Err(Stop::Write(e)) => {
            return Err(Diagnostic::error("output", None, format!("cannot write the output: {e}")));
        }
    }
    Ok(session.actions.exit.unwrap_or(0))
}

/// Why a run ends before its end.
pub(super) enum Stop {
    Problem(Box<Diagnostic>),
    Write(io::Error),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Stop {
        Stop::Write(e)
    }
}

impl From<Diagnostic> for Stop {
    fn from(d: Diagnostic) -> Stop {
        Stop::Problem(Box::new(d))
    }
}

fn open_output(job: &Job<'_>) -> Result<Box<dyn Output>, Diagnostic> {
    let options = job.options;
    let file = match &options.output {
        Some(path) => File::create(path).map_err(|e| {
            Diagnostic::error(
                "output",
                None,
                format!("cannot write to {}: {}", path.display(), system_words(&e)),
            )
        })?,
        // Not `Stdout` itself, which has a buffer of its own.
        None => File::from(io::stdout().as_fd().try_clone_to_owned().map_err(|e| {
            Diagnostic::error("output", None, format!("stdout cannot be used: {}", system_words(&e)))
        })?),
    };
    Ok(output::to(options.form, options.buffering, Box::new(file)))
}

pub(super) struct Session<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) loaded: &'a Loaded,
    pub(super) signals: &'a Signals,
    pub(super) actions: Actions<'a>,
    ring: Option<Ring>,
    packets: Option<Packets>,
    losses: Losses,
    /// Whether user addresses have to be named, maybe after their process has ended.
    user_symbols: bool,
}

impl<'a> Session<'a> {
    fn new(
        job: &'a Job<'a>,
        loaded: &'a Loaded,
        signals: &'a Signals,
        output: Box<dyn Output>,
    ) -> Result<Session<'a>, Diagnostic> {
        let ring = loaded
            .ring
            .as_ref()
            .map(|(fd, size)| Ring::open(fd.as_fd(), *size))
            .transpose()
            .map_err(|e| Diagnostic::error("ring", None, format!("cannot map the ring buffer: {e}")))?;
        let traces = job.options.purpose == Purpose::Trace && !job.options.dry_run;
        let packets = if traces { Packets::open(job, loaded)? } else { None };
        let manifest = &job.image.manifest;
        let types = manifest.events.iter().flat_map(|event| &event.args);
        let types = types.chain(manifest.maps.iter().flat_map(|map| map.key.iter().chain([&map.value])));
        let user_symbols = { types }.any(names_user_addresses);
        Ok(Session {
            job,
            loaded,
            signals,
            actions: Actions::new(job, loaded, output)?,
            ring,
            packets,
            losses: Losses::default(),
            user_symbols,
        })
    }

    fn run(&mut self, mut child: Option<&mut Child>) -> Result<(), Stop> {
        self.run_all(&Target::Begin)?;
        if self.job.options.purpose != Purpose::Trace {
            self.drain_to_the_end()?;
            self.try_all()?;
            return self.end();
        }
        let followed = self.follow();
        let mut stopped = false;
        let mut attached = self.attach_all(&mut stopped)?;
        if self.job.options.dry_run {
            return Ok(());
        }
        stopped |= self.signals.stop() || self.actions.hurry;
        if stopped {
            return self.interrupted(attached, child.is_some());
        }
        self.pin(attached.places.iterators())?;
        self.announce(&attached)?;
        if let Some(child) = child.as_deref_mut() {
            if let Err(problem) = child.start() {
                // A terminal's Ctrl-C ends the child too, which waits to be started.
                return match self.signals.stop() {
                    true => self.interrupted(attached, true),
                    false => Err(problem.into()),
                };
            }
            // The kernel maps the program a moment after `execve` has closed the descriptors by which we know of it. What
            // is followed need not be caught there.
            let patience = Instant::now() + EXECUTION;
            while !followed && !self.keep_symbols() && Instant::now() < patience {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        self.tell_pins(attached.places.iterators())?;
        self.iterate(attached.places.iterators())?;
        // With nothing attached, nothing is ever going to happen.
        let waits = attached.places.waits() || self.programs_at(&Target::Signal).next().is_some();
        if waits && self.actions.exit.is_none() && !self.actions.hurry {
            self.poll(child.map(|child| &*child), &mut attached.places)?;
        }
        self.losses.of_kprobes(attached.places.missed());
        drop(attached);
        self.end()
    }

    /// A signal came before everything was attached. Nothing more is begun, a command least of all: what it does would
    /// be seen by a part of the probes.
    fn interrupted(&mut self, attached: Attached, command: bool) -> Result<(), Stop> {
        self.actions.hurry = true;
        let count = attached.count;
        let warning = Diagnostic::warning(
            "interrupted",
            None,
            format!("interrupted while probes were being attached, after {count} of them"),
        );
        (self.job.report)(&if command { warning.note("the command was not run") } else { warning });
        self.losses.of_kprobes(attached.places.missed());
        drop(attached);
        self.end()
    }

    /// Leaves iterators behind as files: all or, where one of them cannot be, none.
    fn pin(&self, iterators: &[Objects]) -> Result<(), Diagnostic> {
        for (n, iterator) in iterators.iter().enumerate() {
            let Err(problem) = iterator.leave() else { continue };
            for path in iterators.iter().take(n).filter_map(Objects::pin) {
                // What cannot be taken back stays, and the error below says that something is wrong.
                let _ = std::fs::remove_file(path);
            }
            let mut places = self.job.image.manifest.programs.iter().flat_map(|program| &program.attach);
            let span = places.rfind(|place| place.what.pin() == iterator.pin()).map(|place| place.span);
            let error = Diagnostic::error("pin", span, problem.message);
            return Err(problem.help.into_iter().fold(error, Diagnostic::help));
        }
        Ok(())
    }

    fn tell_pins(&mut self, iterators: &[Objects]) -> Result<(), Stop> {
        for path in iterators.iter().filter_map(Objects::pin) {
            // Behind what `BEGIN` printed.
            self.drain_to_the_end()?;
            self.actions.output.text("pinned", format!("Program pinned to {path}\n").as_bytes())?;
        }
        Ok(())
    }

    /// Runs programs over objects of the kernel. They write a byte for each object, so that the kernel gives us pieces of
    /// the work: what was sent meanwhile is handled before the next one.
    fn iterate(&mut self, iterators: &[Objects]) -> Result<(), Stop> {
        let problem =
            |what, e| Diagnostic::error("iterator", None, format!("the iterator cannot be {what}: {e}"));
        let mut piece = [0; PIECE];
        for iterator in iterators.iter().filter(|iterator| iterator.pin().is_none()) {
            let mut objects = iterator.open().map_err(|e| problem("opened", e))?;
            loop {
                let read = match objects.read(&mut piece) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    read => read.map_err(|e| problem("read", e))?,
                };
                while matches!(self.drain()?, Drained::More | Drained::Stopped) && self.actions.exit.is_none()
                {
                }
                self.actions.hurry |= self.signals.stop();
                if read == 0 || self.actions.exit.is_some() || self.actions.hurry {
                    break;
                }
            }
        }
        Ok(())
    }

    /// What comes after everything was detached.
    fn end(&mut self) -> Result<(), Stop> {
        self.drain_to_the_end()?;
        self.run_all(&Target::End)?;
        // What `END` prints is printed even if it was `exit()` that brought us here.
        let code = self.actions.exit.take();
        self.drain_to_the_end()?;
        self.actions.exit = self.actions.exit.or(code).or_else(|| Losses::exit(self.loaded));
        self.losses.of_mappings(self.actions.symbols.lost());
        self.losses.total(self.job, self.loaded, &mut *self.actions.output)?;
        if self.actions.commands_not_run > 0 {
            let count = self.actions.commands_not_run;
            let message =
                format!("system() was asked for {count} more commands, which were not run any more");
            (self.job.report)(&Diagnostic::warning("commands", None, message));
        }
        self.actions.output.end()?;
        if self.job.config.print_maps_on_exit {
            self.actions.print_all()?;
        }
        self.actions.output.finish()?;
        Ok(())
    }

    /// Runs the programs for the start, for the end or for a signal.
    fn run_all(&self, when: &Target) -> Result<(), Diagnostic> {
        for program in self.programs_at(when) {
            run_once(&self.loaded.object, &program.name).map_err(|e| refused(program, &e))?;
        }
        Ok(())
    }

    pub(super) fn programs_at(&self, when: &Target) -> impl Iterator<Item = &'a Program> {
        let programs = &self.job.image.manifest.programs;
        programs.iter().filter(move |p| p.attach.iter().any(|a| a.what == *when))
    }

    fn announce(&mut self, attached: &Attached) -> io::Result<()> {
        if !self.job.options.quiet {
            let ours = self.job.image.manifest.programs.iter().flat_map(|p| &p.attach);
            let ours = ours.filter(|a| a.what.is_run_by_us()).count();
            self.actions.output.attached(attached.count + ours)?;
        }
        if self.job.options.notify_attached {
            self.actions.output.flush()?;
            let mut stdout = io::stdout();
            stdout.write_all(b"__BPFTRACE_NOTIFY_PROBES_ATTACHED\n")?;
            stdout.flush()?;
        }
        Ok(())
    }

    /// Handles events until something asks us to stop.
    fn poll(&mut self, child: Option<&Child>, attached: &mut Attachment) -> Result<(), Stop> {
        let epoll = Epoll::new()?;
        epoll.add(self.signals.as_fd(), Event::Signal)?;
        epoll.add(self.signals.user(), Event::User)?;
        if let Some((fd, _)) = &self.loaded.ring {
            epoll.add(fd.as_fd(), Event::Records)?;
        }
        for fd in self.packets.iter().flat_map(Packets::descriptors) {
            epoll.add(fd, Event::Records)?;
        }
        for process in child.map(Child::process).into_iter().chain(self.job.target) {
            epoll.add(process.as_fd(), Event::Ended)?;
        }
        let mut pause = TICK;
        for fd in self.actions.symbols.followed() {
            epoll.add(fd, Event::Mapped)?;
            pause = FILES;
        }
        if self.job.options.output.is_none() {
            epoll.add_closing(io::stdout().as_fd());
        }
        let mut next_tick = Instant::now() + TICK;
        let mut read_at = Instant::now() - TICK;
        loop {
            let events = epoll.wait(next_tick.saturating_duration_since(Instant::now()).min(pause))?;
            self.actions.symbols.update();
            if events.has(Event::Signal) && self.signals.stop() {
                self.actions.hurry = true;
                return Ok(());
            }
            if events.has(Event::User) && self.signals.asked() {
                self.run_all(&Target::Signal)?;
            }
            if events.has(Event::Closed) {
                return Err(Stop::Write(io::ErrorKind::BrokenPipe.into()));
            }
            if events.has(Event::Records) {
                if read_at.elapsed() < GATHER {
                    std::thread::sleep(GATHER);
                }
                let drained = self.drain()?;
                if self.actions.exit.is_some() {
                    return Ok(());
                }
                for (address, span) in std::mem::take(&mut self.actions.unwatched) {
                    if !attached.unwatch(address) {
                        self.actions.was_not_watched(address, span)?;
                    }
                }
                if matches!(drained, Drained::Empty | Drained::Busy) {
                    self.actions.output.flush()?;
                }
                read_at = Instant::now();
            }
            // Their last records have been written before they ended, and are read after everything is detached.
            if events.has(Event::Ended) {
                return Ok(());
            }
            if Instant::now() >= next_tick {
                self.losses.watch(self.job, self.loaded, &mut *self.actions.output)?;
                if let Some(packets) = &mut self.packets {
                    packets.drain(&mut self.actions, false)?;
                }
                self.actions.output.flush()?;
                self.keep_symbols();
                if let Some(code) = Losses::exit(self.loaded) {
                    // What is there to read was there before it.
                    self.drain()?;
                    self.actions.exit = self.actions.exit.or(Some(code));
                    return Ok(());
                }
                next_tick = Instant::now() + TICK;
            }
        }
    }

    /// Handles some records.
    fn drain(&mut self) -> Result<Drained, Stop> {
        let actions = &mut self.actions;
        if let Some(packets) = &mut self.packets {
            packets.drain(actions, false)?;
        }
        let Some(ring) = &mut self.ring else { return Ok(Drained::Empty) };
        let mut failed = None;
        actions.took_long = false;
        let (_, drained) = ring.drain(AT_ONCE, |record| match actions.record(record) {
            Ok(()) if actions.took_long => ControlFlow::Break(()),
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                failed = Some(e);
                ControlFlow::Break(())
            }
        });
        match failed {
            Some(e) => Err(e.into()),
            None => Ok(drained),
        }
    }

    /// Handles all records that there are, also those that programs are just writing.
    pub(super) fn drain_to_the_end(&mut self) -> Result<(), Stop> {
        let deadline = Instant::now() + LAST_WRITES;
        loop {
            self.actions.hurry |= self.signals.stop();
            match self.drain()? {
                Drained::Empty => break,
                Drained::Busy if Instant::now() >= deadline => break,
                Drained::Busy => std::thread::sleep(Duration::from_micros(100)),
                Drained::More | Drained::Stopped => {}
            }
        }
        if let Some(packets) = &mut self.packets {
            packets.drain(&mut self.actions, true)?;
        }
        self.actions.output.flush()?;
        Ok(())
    }

    /// Has the kernel tell what processes map, if that is needed. Where it does not, those that end early have
    /// addresses in place of names.
    fn follow(&mut self) -> bool {
        let wanted = self.user_symbols && !self.job.config.lazy_symbolication;
        wanted && self.actions.symbols.follow(self.job.kernel.online_cpus()).unwrap_or(false)
    }

    /// Notes where the libraries of the processes that we know of are, as long as they run. The result is whether
    /// all is known that is needed at least: what maps files.
    fn keep_symbols(&mut self) -> bool {
        if !self.user_symbols || self.job.config.lazy_symbolication {
            return true;
        }
        let mut all = true;
        for pid in self.job.child.into_iter().chain(self.job.options.pid) {
            all &= self.actions.symbols.keep(pid);
        }
        all
    }
}

/// The kernel did not run a program that is not attached.
pub(super) fn refused(program: &Program, error: &io::Error) -> Diagnostic {
    Diagnostic::error("run", program.span, format!("the kernel did not run this: {error}")).note(BUG)
}

fn names_user_addresses(ty: &Type) -> bool {
    match ty {
        Type::USym | Type::UStack(_) => true,
        Type::Array { elem, .. } => names_user_addresses(elem),
        Type::Tuple(types) => types.iter().any(names_user_addresses),
        Type::Record(fields) => fields.iter().any(|(_, ty)| names_user_addresses(ty)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{StackFormat, StackMode};

    #[test]
    fn user_addresses_are_found_inside_others() {
        let stack = Type::UStack(StackFormat { mode: StackMode::Raw, limit: 3 });
        assert!(names_user_addresses(&Type::Tuple(vec![Type::U64, stack])));
        assert!(!names_user_addresses(&Type::Tuple(vec![Type::U64, Type::KSym])));
    }
}
