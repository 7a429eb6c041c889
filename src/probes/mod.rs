//! Attach points: how each kind is written, matched, listed and attached, and what a program sees there. A file a
//! provider; adding one is a file and a line in [`PROVIDERS`], and, where the kernel is asked for something new, a
//! [`Target`](crate::image::Target): see `docs/architecture.md`.

mod abi;
pub mod arch;
pub mod attach;
mod bpf;
mod definitions;
mod detach;
mod event;
mod fentry;
mod functions;
mod iter;
mod kprobe;
mod link;
mod listing;
mod perf;
mod pin;
mod point;
mod programs;
mod rawtracepoint;
mod refusal;
mod renames;
mod session;
mod special;
mod timer;
mod tracepoint;
mod uprobe;
mod usdt;
mod view;
mod watchpoint;

#[cfg(test)]
mod attach_tests;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use listing::list;
pub use refusal::{AttachError, partly};
pub use session::join;
pub use view::Reason;

use crate::config::{Config, Missing};
use crate::diagnostics::{Diagnostic, Diagnostics, Severity, suggest};
use crate::image::Attach;
use crate::ir;
use crate::kernel::{Feature, Kernel, Version};
use crate::syntax::ast::AttachPoint;
use crate::types::store::Types;
use crate::types::{Space, Type};

/// The code of a message about tracefs that cannot be read.
pub const NO_TRACEFS: &str = "no-tracefs";

/// What an attach point is resolved against.
pub struct Host<'a> {
    pub kernel: &'a Kernel,
    pub types: &'a mut Types,
    pub config: &'a Config,
    /// `-p`, or the child of `-c`: what the kernel can limit to a process (uprobes, perf events) is. Only `-p` also
    /// makes the other programs compare pids.
    pub pid: Option<u32>,
    /// The program of `-c`, where one was given.
    pub command: Option<PathBuf>,
    pub unsafe_mode: bool,
    /// Probe functions of the kernel by the name that they have there: `--fix-renames`.
    pub fix_renames: bool,
    /// What a listing could not show, or an attach point says besides what it means.
    pub warnings: Vec<Diagnostic>,
}

impl Host<'_> {
    /// Whether one link takes many places of a file.
    fn bulk_uprobes(&self) -> bool {
        // Before 6.10 these watched one thread of a process only.
        let processes = Version { major: 6, minor: 10, patch: 0 };
        self.kernel.has(Feature::UprobeMulti) && (self.pid.is_none() || self.kernel.version() >= processes)
    }
}

/// What the body of a probe uses: it decides what can share one program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// `args` or `retval`, whose types may differ from one attach point to the next.
    pub typed: bool,
    /// Types by name or constants, which may be the probed program's.
    pub types: bool,
    /// `arg0`, `arg1`, …, which may be elsewhere at the next attach point.
    pub words: bool,
    /// `probe`, which needs a program or a cookie for each.
    pub name: bool,
    /// `uaddr`, which has to know which place fired.
    pub addresses: bool,
    /// `skboutput`, which takes arguments that the verifier knows as the kernel's objects.
    pub objects: bool,
}

/// Attach points that share one BPF program.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// See [`ir::Probe::section`].
    pub section: String,
    pub attach: Vec<Attach>,
    pub view: View,
}

impl Group {
    /// Leaves the numbers of names out where `probe` is a constant or not used: it takes no cookies then, which old
    /// kernels do not have.
    pub fn clear_cookies(&mut self) {
        if self.view.name.kind != ir::ExprKind::ProbeName {
            self.attach.iter_mut().for_each(|attach| attach.what.clear_cookies());
        }
    }
}

/// What a program sees at its attach points: `args`, `argN`, `retval`, `func` and `probe`, each as the expression
/// that yields it. The expressions have no place in the script: who uses one gives it the place of the use.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The provider's full name: `kprobe`.
    pub provider: &'static str,
    pub context: ir::Context,
    /// The fields of `args`; `None` where the probe has no typed arguments.
    pub args: Option<Vec<(String, ir::Expr)>>,
    /// Arguments that a program cannot read, and why.
    pub hidden: Vec<(String, String)>,
    /// Why there are no `args`, where that has a reason.
    pub no_args: Option<Reason>,
    /// Why an argument that is not here may be one of another function that the attach point means.
    pub other_args: Option<Reason>,
    /// The program or library that is probed: names mean its types before the kernel's.
    pub program: Option<PathBuf>,
    /// `arg0`, `arg1`, …
    pub words: Vec<ir::Expr>,
    pub retval: Option<ir::Expr>,
    /// Why `retval` is not what the function returns.
    pub no_result: Option<String>,
    pub func: Option<ir::Expr>,
    /// How far the probed program's addresses in memory are from those in its file.
    pub moved_by: Option<ir::Expr>,
    /// What `ctx` points to, where that is not `struct pt_regs`.
    pub ctx: Option<Type>,
    /// See [`ir::Probe::object`].
    pub object: Option<u32>,
    /// `probe`: a constant where all attach points have one name, which need not be asked of the kernel.
    pub name: ir::Expr,
    /// Where `argN` and plain integers point, when they are used as pointers.
    pub space: Space,
    pub nesting: ir::Nesting,
    /// See [`ir::Probe::returns_zero`].
    pub returns_zero: bool,
    /// Whoever reads this iterator later gets what it prints, and there is no bpftrace that could do anything else.
    pub pinned: bool,
    /// The kernel cannot limit these to the process of `-p`, so the program has to compare pids itself.
    pub filter_pid: bool,
}

/// An attach point as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `tracepoint:syscalls:sys_enter_openat`
    pub name: String,
    /// With `-lv`: a line an argument, `int dfd`, in order.
    pub args: Vec<String>,
}

/// When a provider is searched for a pattern that leaves the provider open, such as `-l '*sleep*'`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Searched {
    Always,
    /// With `-p`, or where the pattern names a file.
    InProcesses,
    /// Only when it is named: another provider lists the same places.
    ByName,
}

/// What [`Provider::resolve`] is asked.
pub struct Ask<'a, 'h> {
    pub point: &'a AttachPoint,
    pub uses: Uses,
    pub host: &'a mut Host<'h>,
    pub names: Names<'a>,
}

/// Numbers of probe names in the image.
pub struct Names<'a> {
    add: &'a mut dyn FnMut(&str) -> u32,
}

impl Names<'_> {
    /// The number of a name; 0 where nobody asks for it.
    pub fn id(&mut self, name: &str) -> u32 {
        (self.add)(name)
    }
}

/// What [`Provider::list`] is asked.
pub struct Search<'a, 'h> {
    /// It may be only the provider's name.
    pub point: &'a AttachPoint,
    pub verbose: bool,
    pub host: &'a mut Host<'h>,
    pub found: &'a mut dyn FnMut(Listed),
}

/// A kind of attach point.
pub trait Provider: Sync {
    /// The full name, then every other: `["kretprobe", "kr"]`.
    fn names(&self) -> &'static [&'static str];

    fn searched(&self) -> Searched;

    /// What an attach point means here and now: wildcards are expanded, existence is checked, and what can share a
    /// program is grouped.
    fn resolve(&self, ask: Ask<'_, '_>) -> Result<Vec<Group>, Diagnostic>;

    /// Finds the attach points that match, in order.
    fn list(&self, search: Search<'_, '_>) -> Result<(), Diagnostic>;
}

/// Every kind of attach point, by full name.
pub static PROVIDERS: &[&dyn Provider] = &[
    &special::Special::BEGIN,
    &special::Special::END,
    &special::Special::SIGNAL,
    &special::Special::TEST,
    &special::Special::BENCH,
    &timer::Timer::INTERVAL,
    &timer::Timer::PROFILE,
    &perf::Counter::SOFTWARE,
    &perf::Counter::HARDWARE,
    &tracepoint::Tracepoint,
    &rawtracepoint::RawTracepoint,
    &kprobe::Kprobe::ENTRY,
    &kprobe::Kprobe::RETURN,
    &fentry::Fentry::ENTRY,
    &fentry::Fentry::RETURN,
    &iter::Iter,
    &uprobe::Uprobe::ENTRY,
    &uprobe::Uprobe::RETURN,
    &usdt::Usdt,
    &watchpoint::Watchpoint,
];

/// The provider of that name, full or short, in any case where that leaves no doubt.
pub fn provider(name: &str) -> Option<&'static dyn Provider> {
    let named = |same: fn(&str, &str) -> bool| {
        PROVIDERS.iter().copied().find(|p| p.names().iter().any(|own| same(own, name)))
    };
    named(|own, name| own == name).or_else(|| named(str::eq_ignore_ascii_case))
}

/// Resolves the attach points of one probe. Those that are not there are errors, warnings or nothing, as
/// `missing_probes` says; what can share a program does. `add_name` numbers the names of all places, so that who calls
/// can choose among them; then [`Group::clear_cookies`] leaves out what no program needs.
pub fn resolve(
    points: &[AttachPoint],
    uses: Uses,
    host: &mut Host<'_>,
    add_name: &mut dyn FnMut(&str) -> u32,
) -> (Vec<Group>, Diagnostics) {
    let (mut groups, mut problems) = (vec![], vec![]);
    let mut reported = Diagnostics::default();
    let fixed;
    let points = match host.fix_renames {
        false => points,
        true => {
            let (new, notes) = renames::fixed(points, uses, host);
            reported.extend(notes);
            fixed = new;
            &fixed
        }
    };
    for point in points {
        let resolved = find_provider(point).and_then(|provider| {
            let names = Names { add: add_name };
            provider.resolve(Ask { point, uses, host, names })
        });
        match resolved {
            Ok(found) => found.into_iter().for_each(|group| merge(&mut groups, group, uses, host)),
            Err(problem) => problems.push(problem),
        }
    }
    let how = host.config.missing_probes;
    reported.extend(host.warnings.drain(..));
    reported.extend(problems.into_iter().filter_map(|problem| missing(problem, how, groups.is_empty())));
    (groups, reported)
}

fn find_provider(point: &AttachPoint) -> Result<&'static dyn Provider, Diagnostic> {
    let name = point.parts.first().map_or("", |part| part.text.as_str());
    provider(name).ok_or_else(|| {
        let span = point.parts.first().map_or(point.span, |part| part.span);
        let problem = Diagnostic::error("unknown-provider", span, format!("Invalid probe type: {name}"));
        if matches!(name, "asyncwatchpoint" | "aw") {
            return problem
                .note("bpftrace 0.25 has left these out")
                .help("watch an address: watchpoint:0x55d5c2a0:8:w");
        }
        if let Some(meant) = meant(point, name) {
            return problem.help(format!("write {meant}"));
        }
        let names = PROVIDERS.iter().filter_map(|p| p.names().first().copied());
        if point.parts.len() == 1 && suggest::closest(name, names.clone()).is_empty() {
            return problem
                .note("a probe is written with its kind before it: kprobe:vfs_read")
                .help(format!("to see which there are, bpftrace -l '*{name}*'"));
        }
        point::did_you_mean(problem, name, names)
    })
}

/// What an attach point was meant to be whose first part is no provider: a system call by its tracepoint's name, a
/// unit of time, parts with other separators.
fn meant(point: &AttachPoint, name: &str) -> Option<String> {
    let alone = point.parts.len() == 1;
    if alone && (name.starts_with("sys_enter_") || name.starts_with("sys_exit_")) {
        return Some(format!("tracepoint:syscalls:{name}"));
    }
    if let Some(call) = system_call(point) {
        return Some(call);
    }
    if !alone && matches!(name, "hz" | "s" | "ms" | "us") {
        return Some(format!("interval:{0} or profile:{0}", point.text));
    }
    let (first, _) = name.split_once('.')?;
    (alone && provider(first).is_some()).then(|| name.replace('.', ":"))
}

/// The tracepoint of a system call that is written as elsewhere: `syscall:open`, `ksyscall:open` and `kretsyscall:open`
/// as in libbpf, `syscall::open:return` as in DTrace.
fn system_call(point: &AttachPoint) -> Option<String> {
    let mut parts = point.parts.iter().map(|part| part.text.as_str()).filter(|part| !part.is_empty());
    let kind = parts.next()?;
    if !matches!(kind, "syscall" | "syscalls" | "sys" | "ksyscall" | "kretsyscall") {
        return None;
    }
    let call = parts.next()?;
    if call.starts_with("sys_enter_") || call.starts_with("sys_exit_") {
        return Some(format!("tracepoint:syscalls:{call}"));
    }
    let at_end = kind == "kretsyscall" || matches!(parts.next(), Some("return" | "exit"));
    let when = if at_end { "exit" } else { "enter" };
    Some(format!("tracepoint:syscalls:sys_{when}_{}", call.trim_start_matches("sys_")))
}

/// What the settings make of an error: what is not there, be it the function, its module or the whole file, may be a
/// warning or nothing. A pattern may match nothing if the probe is not left without attach points.
fn missing(mut problem: Diagnostic, how: Missing, alone: bool) -> Option<Diagnostic> {
    let how = match problem.code {
        point::MISSING | point::NO_PROGRAM | point::NO_MODULE | point::NO_LINE => how,
        point::NO_MATCH if how == Missing::Error && !alone => Missing::Warn,
        point::NO_MATCH => how,
        _ => Missing::Error,
    };
    if problem.code == point::NO_MATCH && how == Missing::Error {
        problem.message.insert_str(0, "Probe has no valid attach points. ");
    }
    match how {
        Missing::Ignore => return None,
        Missing::Warn => {
            problem.severity = Severity::Warning;
            problem.message.push_str(if problem.message.ends_with('.') {
                " Skipping."
            } else {
                ". Skipping."
            });
            problem.help.clear();
        }
        Missing::Error => {}
    }
    Some(problem)
}

/// Adds a group, to the program of another one if both see the same and `probe` can be told apart.
fn merge(groups: &mut Vec<Group>, group: Group, uses: Uses, host: &Host<'_>) {
    let cookies = |group: &Group| group.attach.iter().all(|a| a.what.name_ids().is_some());
    let same = groups.iter_mut().find(|other| {
        other.section == group.section
            && other.view.same(&group.view, uses)
            && (!uses.name
                || other.view.name == group.view.name
                || (cookies(other) && cookies(&group) && host.kernel.has(Feature::Cookie)))
    });
    match same {
        Some(other) => {
            if uses.name && other.view.name != group.view.name {
                other.view.name = view::name_by_cookie();
            }
            other.attach.extend(group.attach);
        }
        None => groups.push(group),
    }
}
