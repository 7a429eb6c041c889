//! `rawtracepoint`: the places of tracepoints, with the arguments that the kernel gives to them instead of a record.

use super::functions::{VMLINUX, params};
use super::view::Words;
use super::{Ask, Group, Host, Listed, Provider, Search, Searched, View, fentry, point};
use crate::diagnostics::{Diagnostic, Span};
use crate::image::{Attach, Target};
use crate::ir::{Context, Nesting};
use crate::pattern::{Pattern, has_wildcard};
use crate::syntax::ast::AttachPoint;
use crate::types::store::Prototype;

pub(super) struct RawTracepoint;

const USAGE: &str = "rawtracepoint:sched_switch or rawtracepoint:xfs:xfs_iget_hit";

/// The most arguments that the kernel gives to a tracepoint (`MAX_BPF_FUNC_REG_ARGS` and what `trace/bpf_probe.h`
/// can cast). Reading one that the event does not have is refused when the program is attached.
const MOST_ARGUMENTS: u32 = 12;

fn module_and_event(point: &AttachPoint) -> Result<(Option<&str>, &str), Diagnostic> {
    match point::parts(point, 1..=2, USAGE)? {
        [module, event] if !event.text.is_empty() => Ok((Some(&module.text), &event.text)),
        [event] if !event.text.is_empty() => Ok((None, &event.text)),
        _ => Err(Diagnostic::error("attach-point-arguments", point.span, "the attach point names no event")
            .help(format!("it is written {USAGE}"))),
    }
}

/// The module, the event and, where BTF has it, what it is given.
type Event = (String, String, Option<Prototype>);

fn events(module: Option<&str>, event: &str, host: &mut Host<'_>) -> Vec<Event> {
    if !module.is_some_and(has_wildcard) && !has_wildcard(event) {
        let found = match module {
            Some(module) => host.types.raw_tracepoint(Some(module), event).map(|p| (module.to_owned(), p)),
            None => home(event, host),
        };
        if let Some((module, prototype)) = found {
            return vec![(module, event.to_owned(), Some(prototype))];
        }
        // Without BTF the event can still be traced, and its arguments read as numbers.
        let untyped = host.types.problem().is_some() && module.is_none_or(|m| m == VMLINUX);
        let there = untyped && host.kernel.symbol(&format!("__tracepoint_{event}")).is_some();
        return if there { vec![(VMLINUX.to_owned(), event.to_owned(), None)] } else { vec![] };
    }
    let mut found = matching(module, event, host);
    found
        .drain(..)
        .map(|(module, event)| {
            let prototype = host.types.raw_tracepoint(Some(&module), &event);
            (module, event, prototype)
        })
        .collect()
}

/// The module that has an event.
fn home(event: &str, host: &mut Host<'_>) -> Option<(String, Prototype)> {
    if let Some(prototype) = host.types.raw_tracepoint(Some(VMLINUX), event) {
        return Some((VMLINUX.to_owned(), prototype));
    }
    let (module, event) = matching(None, event, host).into_iter().next()?;
    let prototype = host.types.raw_tracepoint(Some(&module), &event)?;
    Some((module, prototype))
}

/// The modules and names of events that BTF describes, sorted as listed.
fn matching(module: Option<&str>, event: &str, host: &mut Host<'_>) -> Vec<(String, String)> {
    let only = module.filter(|m| !has_wildcard(m));
    let module = module.map_or_else(Pattern::any, Pattern::new);
    let event = Pattern::new(event);
    let mut found = vec![];
    host.types.raw_tracepoints(only, &mut |own, name| {
        if module.matches(own) && event.matches(name) {
            found.push((own.to_owned(), name.to_owned()));
        }
    });
    found.sort_by_cached_key(|(module, name)| format!("{module}:{name}"));
    found.dedup();
    found
}

fn missing(module: Option<&str>, event: &str, host: &mut Host<'_>, span: Span) -> Diagnostic {
    let what = format!("{}:{event}", module.unwrap_or("*"));
    let problem = point::missing("rawtracepoint", &what, span);
    if let Some(why) = host.types.problem() {
        return problem.note(format!("the kernel's types are not known: {why}"));
    }
    if has_wildcard(event) || module.is_some_and(has_wildcard) {
        return problem.note("no event of the kernel matches the pattern");
    }
    let mut names = vec![];
    host.types.raw_tracepoints(None, &mut |own, name| {
        // A right name in the wrong module is as near as can be.
        names.push(if name == event { format!("{own}:{name}") } else { name.to_owned() });
    });
    let elsewhere = names.iter().find(|name| name.ends_with(&format!(":{event}")));
    if let Some(name) = elsewhere {
        return problem.help(format!("did you mean `{name}`?"));
    }
    let enter = event.strip_prefix("sys_enter_").map(|_| "sys_enter");
    if let Some(all) = enter.or(event.strip_prefix("sys_exit_").map(|_| "sys_exit")) {
        return problem
            .note(format!("all system calls share the raw tracepoint {all}; its second argument tells which"))
            .help(format!("tracepoint:syscalls:{event} is for one of them"));
    }
    point::did_you_mean(problem, event, names)
}

impl Provider for RawTracepoint {
    fn names(&self) -> &'static [&'static str] {
        &["rawtracepoint", "rt"]
    }

    fn searched(&self) -> Searched {
        Searched::Always
    }

    fn resolve(&self, ask: Ask<'_, '_>) -> Result<Vec<Group>, Diagnostic> {
        let Ask { point, host, mut names, uses } = ask;
        let (module, event) = module_and_event(point)?;
        let events = events(module, event, host);
        if events.is_empty() {
            return Err(missing(module, event, host, point.span));
        }
        let mut groups = vec![];
        for (module, event, prototype) in events {
            let name = format!("rawtracepoint:{module}:{event}");
            let name_id = names.id(&name);
            let mut view = View::empty("rawtracepoint", Context::Words, Nesting::Interrupts, name_id);
            view.filter_pid = true;
            let mut words = Words::default();
            let typed = uses.objects && prototype.is_some();
            match prototype {
                Some(prototype) => {
                    let (args, taken) = fentry::arguments(&prototype, host.types);
                    words = taken;
                    view.args = Some(args);
                }
                None => {
                    words.take(8 * MOST_ARGUMENTS);
                }
            }
            view.words = words.loads();
            let section = if typed { format!("tp_btf/{event}") } else { "raw_tp".into() };
            let attach =
                vec![Attach { name, span: point.span, what: Target::RawTracepoint { event, typed } }];
            groups.push(Group { section, attach, view });
        }
        Ok(groups)
    }

    fn list(&self, search: Search<'_, '_>) -> Result<(), Diagnostic> {
        let Search { point, verbose, host, found } = search;
        let (module, event) = point::module_and_name(point);
        for (module, event) in matching(module, event, host) {
            let signature =
                verbose.then(|| host.types.raw_tracepoint_signature(Some(&module), &event)).flatten();
            let args = signature.iter().flat_map(params).collect();
            found(Listed { name: format!("rawtracepoint:{module}:{event}"), args });
        }
        Ok(())
    }
}
