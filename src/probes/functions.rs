//! Kernel functions by name and pattern, for kprobes and fentry.

use std::collections::{BTreeSet, HashMap};

use super::{Host, point};
use crate::diagnostics::{Diagnostic, Span, suggest};
use crate::kernel::{Feature, Kernel};
use crate::pattern::{Pattern, has_wildcard};
use crate::syntax::ast::{AttachPart, AttachPoint};
use crate::types::store::Signature;

/// What kernel functions belong to that are no module's.
pub(super) const VMLINUX: &str = "vmlinux";

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
            let problem = Diagnostic::error("unknown-module", module.span, message);
            return point::did_you_mean(problem, &module.text, loaded)
                .help(format!("load it: modprobe {}", module.text));
        }
    }
    if request.has_wildcard() {
        return problem.note("no function that can be traced matches the pattern");
    }
    let name = request.function.text.split('+').next().unwrap_or("");
    let (mut names, mut elsewhere) = (vec![], None);
    let read = kernel.traceable(|f| {
        if f.name == name {
            elsewhere = Some(f.module.unwrap_or(VMLINUX).to_owned());
        }
        // Most of the kernel's functions are nothing like it, and need not be kept.
        if f.name.len().abs_diff(name.len()) < 16 {
            names.push(f.name.to_owned());
        }
        true
    });
    if let Err(error) = read {
        return problem.note(unreadable(&error, span).message);
    }
    if let Some(module) = elsewhere {
        return problem.help(format!("{name} is in {module}: write {provider}:{module}:{name}"));
    }
    let problem = match kernel.symbol(name) {
        Some(_) => problem.note(format!(
            "{name} exists but is not traceable: it is marked notrace, or it belongs to the probes themselves"
        )),
        None => {
            problem.note(format!("{name} is not traceable: the kernel has no such function, or inlines it"))
        }
    };
    let near = suggest::closest(name, &names);
    let made: Vec<&String> = near.iter().filter(|n| is_made_of(n, name)).collect();
    match made.as_slice() {
        [] => point::did_you_mean(problem, name, &near),
        [made, ..] => problem.help(format!(
            "the compiler made {made} of it, with other parameters: write {provider}:{made} if that will do"
        )),
    }
}

/// Whether the compiler has made one function of another: `f.isra.0`, `f.constprop.0`.
fn is_made_of(made: &str, name: &str) -> bool {
    made.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
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
    fn what_the_compiler_made_is_known() {
        assert!(is_made_of("f.isra.0", "f") && is_made_of("f.constprop.0.isra.0", "f"));
        assert!(!is_made_of("f", "f") && !is_made_of("fg.isra.0", "f"));
    }

    #[test]
    fn wildcards_leave_out_what_would_hang() {
        assert!(!is_wise("rcu_read_lock") && !is_wise("default_idle") && !is_wise("f.part.0"));
        assert!(is_wise("vfs_read") && is_wise("call_rcu"));
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
