//! Attaching: in the order that shows, and at the same time where none does.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::session::{Session, Stop};
use super::{Job, tell};
use crate::config::Missing;
use crate::diagnostics::Diagnostic;
use crate::image::{Attach, Program, Target};
use crate::kernel::Kernel;
use crate::probes::attach::{Attachment, attach};
use crate::probes::{self, AttachError};

/// So few probes are attached before anybody notices, and by this thread.
const FEW: usize = 16;
/// For each uprobe the kernel waits until no CPU runs old code, and many can wait together: a thousand take a
/// twentieth of the time. It attaches kprobes, fentry and tracepoints one after the other whoever asks (Linux 6.12 to
/// 7.3), and more threads only get in each other's way.
const THREADS: usize = 32;
/// From when on progress is shown, and how often.
const PATIENCE: Duration = Duration::from_secs(1);
const REFRESH: Duration = Duration::from_millis(100);

pub(super) struct Attached {
    pub places: Attachment,
    /// How many probes those are for the user: a link may be for many functions, or a probe have a link a CPU.
    pub count: usize,
}

/// A place and the program that goes there.
#[derive(Clone, Copy)]
struct Task<'t> {
    program: Option<BorrowedFd<'t>>,
    place: &'t Attach,
}

impl Task<'_> {
    fn run(&self, kernel: &Kernel, verbose: bool) -> Result<Attachment, AttachError> {
        if verbose {
            tell(&format!("Attaching {}\n", self.place.name));
        }
        let lost = || AttachError { message: format!("{} has no program", self.place.name), help: None };
        attach(kernel, self.program.ok_or_else(lost)?, self.place)
    }
}

impl Session<'_> {
    /// Attaches everything. Where a signal ends that early, `stopped` tells; what was attached by then goes with the
    /// result.
    pub(super) fn attach_all(&self, stopped: &mut bool) -> Result<Attached, Stop> {
        let programs: Vec<_> = self.loaded.object.progs_mut().collect();
        let by_name: HashMap<&OsStr, BorrowedFd<'_>> =
            programs.iter().map(|program| (program.name(), program.as_fd())).collect();
        let task = |program: &Program, place| {
            let program = by_name.get(OsStr::new(&program.name)).copied();
            Task { program, place }
        };
        let tasks = self.job.image.manifest.programs.iter();
        let tasks = tasks.flat_map(|p| p.attach.iter().map(move |a| (p, a)));
        let tasks = tasks.filter(|(_, a)| !a.what.is_run_by_us()).map(|(p, a)| task(p, a));
        // The kernel runs the programs of one place in the order in which they were attached, or, at functions, in
        // the opposite one. So that they run as they are written, the latter are attached last to first.
        let (mut backwards, mut order): (Vec<_>, Vec<_>) =
            tasks.partition(|task| runs_last_attached_first(&task.place.what));
        backwards.reverse();
        order.append(&mut backwards);
        let counters = self.loaded.counters.as_ref().and_then(|fd| fd.try_clone().ok());
        let mut attached = Attached { places: Attachment::new(counters, self.job.kernel), count: 0 };
        let mut progress = Progress::new(self.job, &order);
        let mut rest = order.as_slice();
        while !rest.is_empty() && !*stopped {
            let (length, threads) = together(rest);
            let (now, later) = rest.split_at(length);
            rest = later;
            for (task, result) in now.iter().zip(self.attach_some(now, threads, &mut progress, stopped)) {
                match result {
                    Some(Ok(mut places)) => {
                        let refused = places.take_refused();
                        attached.count += count(&task.place.what, refused.len());
                        attached.places.append(places);
                        if !refused.is_empty() {
                            progress.clear();
                            // As for other things that a wildcard matches: the rest is what was wanted.
                            self.warn(task.place, probes::partly(task.place, &refused));
                        }
                    }
                    Some(Err(problem)) => {
                        progress.clear();
                        self.refused(task.place, problem)?;
                    }
                    None => {}
                }
            }
        }
        let mut places = self.job.image.manifest.programs.iter().flat_map(|program| &program.attach);
        let others = places.any(|place| place.what.is_run_by_us());
        if !order.is_empty() && attached.places.is_empty() && !others && !*stopped {
            let problem = Diagnostic::error("attach", None, "none of the probes could be attached");
            return Err(problem.into());
        }
        Ok(attached)
    }

    /// The results, in order; `None` for what was not tried any more, after a signal or a failure that ends it all.
    fn attach_some(
        &self,
        tasks: &[Task<'_>],
        threads: usize,
        progress: &mut Progress,
        stopped: &mut bool,
    ) -> Vec<Option<Result<Attachment, AttachError>>> {
        let mut results: Vec<_> = tasks.iter().map(|_| None).collect();
        let (kernel, verbose) = (self.job.kernel, self.job.options.verbose);
        let fatal = self.job.config.missing_probes == Missing::Error;
        if tasks.iter().map(|task| task.place.what.probes()).sum::<usize>() <= FEW {
            for (task, slot) in tasks.iter().zip(&mut results) {
                *stopped |= self.signals.stop();
                if *stopped {
                    break;
                }
                let result = task.run(kernel, verbose);
                let ends = fatal && result.is_err();
                *slot = Some(result);
                progress.done(task.place.what.probes());
                if ends {
                    break;
                }
            }
            return results;
        }
        let (next, enough) = (AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            for _ in 0..threads {
                let (sender, next, enough) = (sender.clone(), &next, &enough);
                let work = move || {
                    while !enough.load(Ordering::Relaxed) {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        let Some(task) = tasks.get(n) else { break };
                        if sender.send((n, task.run(kernel, verbose))).is_err() {
                            break;
                        }
                    }
                };
                let builder = thread::Builder::new().stack_size(1 << 18);
                // As many as there can be have to do; this thread is one if it comes to that.
                if builder.spawn_scoped(scope, work.clone()).is_err() {
                    work();
                    break;
                }
            }
            drop(sender);
            loop {
                match receiver.recv_timeout(REFRESH) {
                    Ok((n, result)) => {
                        if fatal && result.is_err() {
                            enough.store(true, Ordering::Relaxed);
                        }
                        progress.done(tasks.get(n).map_or(0, |task| task.place.what.probes()));
                        if let Some(slot) = results.get_mut(n) {
                            *slot = Some(result);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => progress.show(),
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                if self.signals.stop() {
                    *stopped = true;
                    enough.store(true, Ordering::Relaxed);
                }
            }
        });
        results
    }

    /// A place that cannot be attached is an error, unless the settings say otherwise.
    fn refused(&self, place: &Attach, problem: AttachError) -> Result<(), Diagnostic> {
        if self.job.config.missing_probes != Missing::Error {
            self.warn(place, problem);
            return Ok(());
        }
        let error = Diagnostic::error("attach", place.span, problem.message);
        Err(match problem.help {
            Some(help) => error.help(help),
            None => error,
        })
    }

    /// Says what is not attached, where it is not to be ignored.
    fn warn(&self, place: &Attach, problem: AttachError) {
        if self.job.config.missing_probes == Missing::Ignore || !self.job.options.warnings {
            return;
        }
        let warning = Diagnostic::warning("attach", place.span, problem.message);
        (self.job.report)(&match problem.help {
            Some(help) => warning.help(help),
            None => warning,
        });
    }
}

/// How many of the first tasks can be attached now, and by how many threads: uprobes at places of their own, since
/// nobody sees in which order they are attached; else what comes before those.
fn together(tasks: &[Task<'_>]) -> (usize, usize) {
    let mut seen = HashSet::new();
    let apart =
        tasks.iter().take_while(|task| place(&task.place.what).is_some_and(|place| seen.insert(place)));
    match apart.count() {
        0 => (tasks.iter().take_while(|task| place(&task.place.what).is_none()).count().max(1), 1),
        many => (many, THREADS.min(many)),
    }
}

/// Where a uprobe is.
fn place(what: &Target) -> Option<(&str, u64)> {
    match what {
        Target::Uprobe { path, offset, .. } => Some((path, *offset)),
        _ => None,
    }
}

/// How many probes are attached where the kernel has refused some places.
fn count(what: &Target, refused: usize) -> usize {
    what.probes().saturating_sub(refused.saturating_mul(what.probes_a_place()))
}

fn runs_last_attached_first(what: &Target) -> bool {
    match what {
        Target::Begin
        | Target::End
        | Target::Signal
        | Target::Test
        | Target::Bench
        | Target::Kprobe { ret: false, .. }
        | Target::KprobeMulti { ret: false, .. }
        | Target::KprobeSession { .. }
        | Target::UprobeSession { .. }
        | Target::Fsession { .. }
        | Target::BpfFunction { .. }
        | Target::Fentry { .. }
        | Target::Uprobe { .. }
        | Target::Usdt { .. }
        | Target::UprobeMulti { .. } => true,
        Target::Kprobe { .. }
        | Target::KprobeMulti { .. }
        | Target::Tracepoint { .. }
        | Target::RawTracepoint { .. }
        | Target::Iter { .. }
        | Target::Watchpoint { .. }
        | Target::Perf { .. } => false,
    }
}

/// A line on a terminal's stderr, as long as it takes.
struct Progress {
    /// Where nobody reads it, there is none.
    total: Option<usize>,
    done: usize,
    next: Instant,
    shown: bool,
}

impl Progress {
    fn new(job: &Job<'_>, tasks: &[Task<'_>]) -> Progress {
        let wanted = !job.options.quiet && !job.options.verbose && std::io::stderr().is_terminal();
        let total = wanted.then(|| tasks.iter().map(|task| task.place.what.probes()).sum());
        Progress { total, done: 0, next: Instant::now() + PATIENCE, shown: false }
    }

    fn done(&mut self, probes: usize) {
        self.done += probes;
        self.show();
    }

    fn show(&mut self) {
        let now = Instant::now();
        let Some(total) = self.total.filter(|_| now >= self.next) else { return };
        self.next = now + REFRESH;
        self.shown = true;
        tell(&format!("\r\x1b[KAttaching {} of {total} probes...", self.done));
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            tell("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Span;

    #[test]
    fn refused_functions_do_not_count() {
        let functions = || ["a", "b", "c"].map(str::to_owned).to_vec();
        let entries = Target::KprobeMulti { functions: functions(), ret: false, name_ids: vec![] };
        assert_eq!((count(&entries, 0), count(&entries, 1)), (3, 2));
        let both = Target::KprobeSession { functions: functions(), name_ids: vec![] };
        assert_eq!((count(&both, 0), count(&both, 1)), (3, 2));
    }

    #[test]
    fn only_uprobes_at_other_places_are_attached_at_once() {
        let uprobe = |offset| Target::Uprobe { path: "p".into(), offset, ret: false, pid: None, name_id: 0 };
        let fentry = || Target::Fentry { function: "f".into(), module: None, ret: false };
        let targets = [fentry(), fentry(), uprobe(1), uprobe(2), uprobe(1), fentry()];
        let places: Vec<Attach> = targets
            .into_iter()
            .map(|what| Attach { name: String::new(), span: Span::default(), what })
            .collect();
        let tasks: Vec<_> = places.iter().map(|place| Task { program: None, place }).collect();
        assert_eq!(together(&tasks), (2, 1));
        assert_eq!(together(&tasks[2..]), (2, 2));
        assert_eq!(together(&tasks[4..]), (1, 1));
        assert_eq!(together(&tasks[5..]), (1, 1));
    }
}
