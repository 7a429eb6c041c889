//! Kernel functions by name and pattern, for kprobes and fentry.

use std::collections::{BTreeSet, HashMap};

use super::renames::{self, Made, Other};
use super::{Host, point};
use crate::diagnostics::{Diagnostic, Span, suggest};
use crate::kernel::{Feature, Kernel, kallsyms};
use crate::pattern::{Pattern, has_wildcard};
use crate::syntax::ast::{AttachPart, AttachPoint};
use crate::types::store::Signature;

/// What kernel functions belong to that are no module's.
pub(super) const VMLINUX: &str = "vmlinux";
/// What fentry calls BPF programs' module.
pub(super) const PROGRAMS: &str = "bpf";

/// `[module:]function` of an attach point.
pub(super) struct Request<'a> {
    pub module: Option<&'a AttachPart>,
    pub function: &'a AttachPart,
}

impl<'a> Request<'a> {
    pub fn parse(point: &'a AttachPoint, usage: &str) -> Result<Request<'a>, Diagnostic> {
        match point::parts(point, 1..=2, usage)? {
            [module, function] => Ok(Request { module: Some(module), function }),
            [function] => Ok(Request { module: None, function }),
            _ => {
                Err(Diagnostic::error("attach-point-arguments", point.span, format!("it is written {usage}")))
            }
        }
        .and_then(|request: Request<'_>| {
            if !request.function.text.is_empty() {
                return Ok(request);
            }
            let message = "the attach point names no function";
            Err(Diagnostic::error("attach-point-function", point.span, message)
                .help(format!("it is written {usage}")))
        })
    }

    pub fn has_wildcard(&self) -> bool {
        has_wildcard(&self.function.text) || self.module.is_some_and(|m| has_wildcard(&m.text))
    }

    /// As messages call it: `module:function`.
    pub fn name(&self) -> String {
        match self.module {
            Some(module) => format!("{}:{}", module.text, self.function.text),
            None => self.function.text.clone(),
        }
    }

    pub fn module_pattern(&self) -> Option<Pattern> {
        self.module.map(|part| Pattern::new(&part.text))
    }
}

/// A function that can be traced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    /// `vmlinux` for the kernel itself.
    pub module: String,
    pub name: String,
    /// Others have the name too, so that it alone does not tell which is meant.
    pub ambiguous: bool,
}

/// The functions that can be traced and match, by module and name.
pub(super) fn matching(
    kernel: &Kernel,
    module: Option<&Pattern>,
    function: &Pattern,
    span: Span,
) -> Result<Vec<Found>, Diagnostic> {
    let mut found: BTreeSet<(String, String)> = BTreeSet::new();
    let mut times: HashMap<String, u32> = HashMap::new();
    kernel
        .traceable(|f| {
            if function.matches(f.name) && is_wise(f.name) {
                *times.entry(f.name.to_owned()).or_default() += 1;
                let own = f.module.unwrap_or(VMLINUX);
                if module.is_none_or(|m| m.matches(own)) {
                    found.insert((own.to_owned(), f.name.to_owned()));
                }
            }
            true
        })
        .map_err(|e| unreadable(&e, span))?;
    let ambiguous = |name: &str| times.get(name).is_some_and(|&n| n > 1);
    let known = |(module, name): (String, String)| Found { module, ambiguous: ambiguous(&name), name };
    Ok(found.into_iter().map(known).collect())
}

fn unreadable(error: &std::io::Error, span: Span) -> Diagnostic {
    Diagnostic::error("no-functions", span, format!("cannot read the list of kernel functions: {error}"))
        .help("run as root, which may read tracefs and /proc/kallsyms")
}

/// Functions that are not taken by a wildcard: the kernel lets them be traced, but with all of RCU or the idle loop
/// under probes it gets slow or stuck. The kernel's own test of kprobe_multi leaves the same ones out
/// (`tools/testing/selftests/bpf/prog_tests/kprobe_multi_test.c`); parts of functions are not called.
fn is_wise(name: &str) -> bool {
    !name.starts_with("rcu_")
        && !name.contains(".part.")
        && !matches!(name, "arch_cpu_idle" | "default_idle" | "bpf_dispatcher_xdp_func")
}

/// Why there is no kprobe anywhere.
pub(super) const NO_KPROBES: &str =
    "this kernel was built without kprobes (CONFIG_KPROBES, CONFIG_KPROBE_EVENTS)";

/// What to do then.
pub(super) fn without_kprobes(kernel: &Kernel) -> &'static str {
    match kernel.has(Feature::Fentry) {
        true => "fentry or a tracepoint may see the same: bpftrace -l lists what there is",
        false => "a tracepoint may see the same: bpftrace -l 'tracepoint:*' lists them",
    }
}

/// The error for a function that cannot be probed, with why and what can be instead.
pub(super) fn missing(provider: &str, request: &Request<'_>, host: &Host<'_>, span: Span) -> Diagnostic {
    let mut problem = why_missing(provider, request, host.kernel, span);
    if matches!(provider, "kprobe" | "kretprobe") && !host.kernel.has_kprobes() {
        // No other function would do.
        problem.help.clear();
        return problem.note(NO_KPROBES).help(without_kprobes(host.kernel));
    }
    problem
}

fn why_missing(provider: &str, request: &Request<'_>, kernel: &Kernel, span: Span) -> Diagnostic {
    let problem = point::missing(provider, &request.name(), span);
    if let Some(module) = request.module.filter(|m| !has_wildcard(&m.text) && m.text != VMLINUX) {
        let loaded = modules();
        if !loaded.contains(&module.text) {
            let message = format!(
                "specified module {} in probe {provider}:{} is not loaded.",
                module.text,
                request.name()
            );
            let problem = Diagnostic::error(point::NO_MODULE, module.span, message);
            return point::did_you_mean(problem, &module.text, loaded)
                .help(format!("load it: modprobe {}", module.text));
        }
    }
    if request.has_wildcard() {
        return problem.note("no function that can be traced matches the pattern");
    }
    let name = request.function.text.split('+').next().unwrap_or("");
    match look(kernel, name, request.module.map(|m| m.text.as_str())) {
        Ok(look) => look.explain(provider, name, kernel).add_to(problem),
        Err(error) => problem.note(unreadable(&error, span).message),
    }
}

/// What there is of a function in the running kernel.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The function itself is there and can be traced, in the module that was asked for.
    pub exists: bool,
    /// Another module has a function of that name.
    pub elsewhere: Option<String>,
    /// What the function is called in this kernel.
    pub successor: Option<Other>,
    /// What its callers did not take in, where that is all that is left of it.
    part: Option<String>,
    /// Names that may have been meant.
    near: Vec<String>,
    /// A probe that sees about the same.
    instead: Option<String>,
}

/// Looks for a function by all names that it may have.
pub(super) fn look(kernel: &Kernel, name: &str, module: Option<&str>) -> std::io::Result<Look> {
    let (others, instead) = renames::others(name);
    let mut look = Look { instead, ..Look::default() };
    let (mut names, mut made, mut present) = (vec![], None, vec![false; others.len()]);
    kernel.traceable(|f| {
        let own = f.module.unwrap_or(VMLINUX);
        if f.name == name {
            match module.is_none_or(|m| m == own) {
                true => look.exists = true,
                false => look.elsewhere = Some(own.to_owned()),
            }
        }
        match renames::made_of(f.name, name) {
            Some(Made::Clone) if made.is_none() => made = Some(f.name.to_owned()),
            Some(Made::Part) => look.part = Some(f.name.to_owned()),
            _ => {}
        }
        if let Some(at) = others.iter().position(|other| other.name == f.name) {
            present[at] = true;
        }
        // Most of the kernel's functions are nothing like it, and need not be kept.
        if f.name.len().abs_diff(name.len()) < 16 {
            names.push(f.name.to_owned());
        }
        !look.exists
    })?;
    if look.exists {
        return Ok(look);
    }
    let why =
        |made: &String| format!("the compiler made {made} of {name}, and may have changed its parameters");
    let made = made.map(|made| Other { why: why(&made), name: made, differs: None });
    look.successor = made
        .or_else(|| others.into_iter().zip(present).find(|(_, present)| *present).map(|(other, _)| other));
    look.near = suggest::closest(name, &names);
    Ok(look)
}

/// Why a function cannot be probed, and what can be instead.
#[derive(Debug, Default)]
pub(super) struct Explained {
    pub note: Option<String>,
    pub help: Vec<String>,
}

impl Explained {
    fn add_to(self, mut problem: Diagnostic) -> Diagnostic {
        if let Some(note) = self.note {
            problem = problem.note(note);
        }
        self.help.into_iter().fold(problem, Diagnostic::help)
    }
}

impl Look {
    pub(super) fn explain(self, provider: &str, name: &str, kernel: &Kernel) -> Explained {
        if let Some(module) = self.elsewhere {
            let help = vec![format!("{name} is in {module}: write {provider}:{module}:{name}")];
            return Explained { note: None, help };
        }
        if let Some(Other { name: new, why, differs }) = self.successor {
            let mut help = vec![format!("write {provider}:{new}, or use --fix-renames")];
            help.extend(
                differs.map(|differs| format!("what the probe reads has to change with it: {differs}")),
            );
            return Explained { note: Some(why), help };
        }
        let note = match (kernel.symbol(name), self.part, cold(name)) {
            (Some(_), ..) => format!(
                "{name} exists but is not traceable: it is marked notrace, or it belongs to the probes themselves"
            ),
            (None, Some(part), _) => format!("the compiler put {name} into its callers, but for {part}"),
            (None, None, Some(cold)) => {
                format!("the compiler put {name} into its callers, but for {cold}, which cannot be traced")
            }
            (None, None, None) => {
                format!("{name} is not traceable: the kernel has no such function, or inlines it")
            }
        };
        let instead = self.instead.filter(|probe| has_event(kernel, probe));
        let help = match instead {
            Some(probe) => Some(format!("{probe} sees about the same")),
            None => suggest::one_of(&self.near),
        };
        Explained { note: Some(note), help: help.into_iter().collect() }
    }
}

/// The part of a function that hardly ever runs (`f.cold`), where the kernel has one.
fn cold(name: &str) -> Option<String> {
    let mut found = None;
    let _ = kallsyms::stream(|symbol| {
        if renames::made_of(symbol.name, name) == Some(Made::Cold) {
            found = Some(symbol.name.to_owned());
        }
        found.is_none()
    });
    found
}

/// Whether the kernel has the tracepoint of a table, or does not let us know.
fn has_event(kernel: &Kernel, probe: &str) -> bool {
    let mut parts = probe.split(':').skip(1);
    let (Some(category), Some(event)) = (parts.next(), parts.next()) else { return false };
    kernel.tracefs().map_or(true, |tracefs| tracefs.event_id(category, event).is_ok())
}

/// The modules that are loaded.
fn modules() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/modules").unwrap_or_default();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// The parameters as `-lv` shows them: `struct file * file`.
pub(super) fn params(signature: &Signature) -> impl Iterator<Item = String> + '_ {
    signature.params.iter().map(|(ty, name)| format!("{ty} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_leave_out_what_would_hang() {
        assert!(!is_wise("rcu_read_lock") && !is_wise("default_idle") && !is_wise("f.part.0"));
        assert!(is_wise("vfs_read") && is_wise("call_rcu"));
    }

    /// A kernel whose functions are in a file.
    fn with_functions(list: &str, test: impl FnOnce(&Kernel)) {
        let path = std::env::temp_dir().join(format!("functions-{}-{}", std::process::id(), list.len()));
        std::fs::write(&path, list).unwrap();
        test(&Kernel::new().with_traceable(path.clone()));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_function_is_found_by_its_other_names() {
        let list = "kernel_clone\n__blk_account_io_start\nfinish_task_switch.isra.0\nlookup_it.part.0\n\
                    helper [mod]\nvfs_read\nfolio_mark_accessed\n";
        with_functions(list, |kernel| {
            let look = |name| look(kernel, name, None).unwrap();
            let text = |name| {
                let Explained { note, help } = look(name).explain("kprobe", name, kernel);
                format!("{}; {}", note.unwrap_or_default(), help.join("; "))
            };
            assert!(look("vfs_read").exists && look("vfs_read").successor.is_none());
            let successor = |name| look(name).successor.map(|other| other.name);
            assert_eq!(successor("_do_fork").as_deref(), Some("kernel_clone"));
            assert_eq!(successor("blk_account_io_start").as_deref(), Some("__blk_account_io_start"));
            assert_eq!(successor("finish_task_switch").as_deref(), Some("finish_task_switch.isra.0"));
            assert_eq!(successor("lookup_it"), None);
            assert_eq!(successor("mark_page_accessd"), None);
            assert_eq!(
                text("blk_account_io_start"),
                "since Linux 5.16 blk_account_io_start is __blk_account_io_start; \
                 write kprobe:__blk_account_io_start, or use --fix-renames"
            );
            assert!(text("mark_page_accessed").ends_with("has to change with it: it takes a struct folio *"));
            assert!(
                text("lookup_it")
                    .starts_with("the compiler put lookup_it into its callers, but for lookup_it.part.0")
            );
            assert!(text("vfs_reed").ends_with("did you mean `vfs_read`?"));
            let elsewhere = super::look(kernel, "helper", Some("other")).unwrap();
            assert!(!elsewhere.exists && elsewhere.elsewhere.as_deref() == Some("mod"));
        });
    }

    #[test]
    fn functions_of_the_kernel_match() {
        let kernel = Kernel::new();
        let find = |module: Option<&str>, function| {
            matching(&kernel, module.map(Pattern::new).as_ref(), &Pattern::new(function), Span::default())
        };
        let Ok(found) = find(None, "vfs_rea*") else {
            return crate::testing::skip(
                "root",
                "neither ftrace's list of functions nor kallsyms can be read",
            );
        };
        assert!(found.iter().any(|f| f.name == "vfs_read" && f.module == VMLINUX), "{found:?}");
        assert!(found.iter().all(|f| f.name.starts_with("vfs_rea")));
        assert_eq!(find(Some("vmlin*"), "vfs_rea*").unwrap().len(), found.len());
        assert!(find(Some("nothing"), "vfs_read").unwrap().is_empty());
    }
}
