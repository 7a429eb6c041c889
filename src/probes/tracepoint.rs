//! `tracepoint`: the kernel's static events, with the fields that tracefs says their records have.

use super::{Ask, Group, Listed, Provider, Search, Searched, View, point, view};
use crate::diagnostics::{Diagnostic, Span};
use crate::image::{Attach, Target};
use crate::ir::{Context, Expr, Nesting};
use crate::kernel::Kernel;
use crate::kernel::tracefs::Tracefs;
use crate::pattern::{Pattern, has_wildcard};
use crate::syntax::ast::AttachPoint;
use crate::types::Type;
use crate::types::tracefs::{self, Placed, Record, RecordField};

pub(super) struct Tracepoint;

const USAGE: &str = "tracepoint:syscalls:sys_enter_openat";

/// The category and the event of an attach point. With one part only, that is the event's pattern: `tracepoint:*exec*`.
fn category_and_event(point: &AttachPoint) -> Result<(&str, &str), Diagnostic> {
    match point::parts(point, 1..=2, USAGE)? {
        [event] if has_wildcard(&event.text) => Ok(("*", &event.text)),
        [category, event] => Ok((&category.text, &event.text)),
        _ => Err(Diagnostic::error("attach-point-arguments", point.span, "tracepoint takes 2 arguments")
            .help(format!("it is written {USAGE}"))),
    }
}

fn open(kernel: &Kernel, span: Span) -> Result<&Tracefs, Diagnostic> {
    kernel.tracefs().map_err(|e| Diagnostic::error(super::NO_TRACEFS, span, e.to_string()).help(e.help()))
}

fn unreadable(file: &str, span: Span, error: &std::io::Error) -> Diagnostic {
    let problem =
        Diagnostic::error(super::NO_TRACEFS, span, format!("cannot read {file} in tracefs: {error}"));
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => problem.help("only root may read it: run as root"),
        _ => problem,
    }
}

/// All events as `category:event`, sorted.
fn events(tracefs: &Tracefs, span: Span) -> Result<Vec<String>, Diagnostic> {
    const FILE: &str = "available_events";
    let text = tracefs.read(FILE).map_err(|e| unreadable(FILE, span, &e))?;
    let mut events: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    events.sort_unstable();
    events.dedup();
    Ok(events)
}

/// The events that an attach point means.
fn matching(
    tracefs: &Tracefs,
    category: &str,
    event: &str,
    span: Span,
) -> Result<Vec<(String, String)>, Diagnostic> {
    if !has_wildcard(category) && !has_wildcard(event) {
        let id = format!("events/{category}/{event}/id");
        let plain = !category.contains('/') && !event.contains('/') && !event.is_empty();
        return Ok(if plain && tracefs.exists(id) { vec![(category.into(), event.into())] } else { vec![] });
    }
    let (category, event) = (Pattern::new(category), Pattern::new(event));
    Ok(events(tracefs, span)?
        .into_iter()
        .filter_map(|name| name.split_once(':').map(|(c, e)| (c.to_owned(), e.to_owned())))
        .filter(|(c, e)| category.matches(c) && event.matches(e))
        .collect())
}

/// The error for events that are not there, with those that are.
fn missing(tracefs: &Tracefs, category: &str, event: &str, span: Span) -> Diagnostic {
    let problem = point::missing("tracepoint", &format!("{category}:{event}"), span);
    let all = match events(tracefs, span) {
        Ok(all) => all,
        // Then what is there cannot be seen either.
        Err(unreadable) if !tracefs.exists("events") => return unreadable,
        Err(_) => return problem,
    };
    if has_wildcard(category) || has_wildcard(event) {
        return problem.note("no event of the kernel matches the pattern");
    }
    let known = || all.iter().filter_map(|name| name.split_once(':'));
    // The category may be wrong and the event right.
    if let Some((category, _)) = known().find(|(_, e)| *e == event) {
        return problem.help(format!("did you mean `{category}:{event}`?"));
    }
    if known().any(|(c, _)| c == category) {
        let of_category = known().filter(|(c, _)| *c == category).map(|(_, e)| e);
        return point::did_you_mean(problem, event, of_category)
            .note(format!("the category {category} has no event {event}"));
    }
    let mut categories: Vec<&str> = known().map(|(c, _)| c).collect();
    categories.dedup();
    point::did_you_mean(problem, category, categories).note(format!("there is no category {category}"))
}

/// The fields of `args`: the event's own, then those that all records have.
fn args(record: Record) -> Vec<(String, Expr)> {
    let value = |field: &RecordField| match (field.placed, &field.ty) {
        (Placed::Here, ty) => view::load(field.offset, ty.clone()),
        (placed, Type::Ptr { to, .. }) => {
            view::record_data(field.offset, placed == Placed::RelLoc, (**to).clone())
        }
        (_, ty) => view::load(field.offset, ty.clone()),
    };
    let fields = record.fields.iter().chain(&record.common);
    fields.map(|field| (field.name.clone(), value(field))).collect()
}

impl Provider for Tracepoint {
    fn names(&self) -> &'static [&'static str] {
        &["tracepoint", "t"]
    }

    fn searched(&self) -> Searched {
        Searched::Always
    }

    fn resolve(&self, ask: Ask<'_, '_>) -> Result<Vec<Group>, Diagnostic> {
        let Ask { point, uses, host, mut names, .. } = ask;
        let (category, event) = category_and_event(point)?;
        let files = open(host.kernel, point.span)?;
        let events = matching(files, category, event, point.span)?;
        if events.is_empty() {
            return Err(missing(files, category, event, point.span));
        }
        let mut groups = vec![];
        for (category, event) in events {
            let name = format!("tracepoint:{category}:{event}");
            let name_id = names.id(&name);
            let mut view = View::empty("tracepoint", Context::Record, Nesting::Never, name_id);
            view.filter_pid = true;
            if uses.typed {
                let record = tracefs::record(files, host.types, &category, &event);
                view.args = Some(args(record.map_err(|e| unreadable("format", point.span, &e))?));
            }
            let what = Target::Tracepoint { category, event, name_id };
            let attach = vec![Attach { name, span: point.span, what }];
            groups.push(Group { section: "tp".into(), attach, view });
        }
        Ok(groups)
    }

    fn list(&self, search: Search<'_, '_>) -> Result<(), Diagnostic> {
        let Search { point, verbose, host, found } = search;
        let (category, event) = match point.parts.get(1..).unwrap_or_default() {
            [] => ("*", "*"),
            [event] => ("*", event.text.as_str()),
            _ => category_and_event(point)?,
        };
        let files = open(host.kernel, point.span)?;
        for (category, event) in matching(files, category, event, point.span)? {
            let record =
                verbose.then(|| tracefs::record(files, host.types, &category, &event).ok()).flatten();
            let args =
                record.map(|r| r.fields.into_iter().map(|f| f.declaration).collect()).unwrap_or_default();
            found(Listed { name: format!("tracepoint:{category}:{event}"), args });
        }
        Ok(())
    }
}
