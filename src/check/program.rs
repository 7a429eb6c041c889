//! From attach points to programs: which there are, what each is called, and the whole put together.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use regex_lite::Regex;

use super::declarations::Declared;
use super::env::MapInfo;
use super::scope::Current;
use super::shape::Value;
use super::{Checker, Resolve, build, walk};
use crate::diagnostics::{Diagnostic, Diagnostics, Severity, Span};
use crate::image::{self, MapKind, Target};
use crate::ir;
use crate::probes::{self, Group, Host, View};
use crate::syntax::ast;
use crate::types::Type;
use crate::types::linked::{CFunction, CType};

/// The names that `probe` can yield, each once.
#[derive(Default)]
pub struct Names {
    list: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Names {
    pub fn add(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }
}

/// A probe of the script at attach points that share a program.
pub struct Instance<'s> {
    probe: &'s ast::Probe,
    group: Rc<Group>,
    /// In a session: what runs when the functions return.
    ret: Option<(&'s ast::Probe, Rc<Group>)>,
    /// It is checked, since others may use what it sets, but not run: `--probe-filter`.
    unwanted: bool,
}

/// Finds the attach points of all probes.
pub fn resolve<'s>(
    script: &'s ast::Script,
    host: &mut Host<'_>,
    filter: Option<&Regex>,
    names: &mut Names,
    resolve: Resolve<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Instance<'s>> {
    let mut instances = vec![];
    for probe in &script.probes {
        if probe.attach_points.is_empty() {
            diagnostics.push(Diagnostic::error("no-attach-points", probe.span, "No attach points for probe"));
        }
        let uses = walk::uses(probe);
        let mut to_choose_by = Names::default();
        let names = if uses.name { &mut *names } else { &mut to_choose_by };
        let mut number = |name: &str| if uses.name || filter.is_some() { names.add(name) } else { 0 };
        let (groups, problems) = resolve(&probe.attach_points, uses, host, &mut number);
        if groups.is_empty()
            && problems.iter().any(|p| p.severity == Severity::Warning)
            && !problems.has_errors()
            && !probe.attach_points.is_empty()
        {
            let message = "Probe has no valid attach points. It is being removed which may cause issues with \
                           program behavior.";
            diagnostics.push(Diagnostic::warning("no-attach-points", probe.span, message));
        }
        diagnostics.extend(problems);
        for group in &groups {
            let mut kept = group.clone();
            filter.iter().for_each(|filter| keep_matching(&mut kept, filter, names));
            let unwanted = kept.attach.is_empty();
            let mut group = if unwanted { group.clone() } else { kept };
            group.clear_cookies();
            instances.push(Instance { probe, group: Rc::new(group), ret: None, unwanted });
        }
    }
    let attached = instances
        .iter()
        .filter(|i| !i.unwanted)
        .flat_map(|i| &i.group.attach)
        .map(|a| a.what.probes())
        .sum::<usize>() as u64;
    let (probes, programs) = (host.config.max_probes, host.config.max_bpf_progs);
    let instances = sessions(instances, host);
    if attached > probes {
        diagnostics.push(too_many(script, "probes to attach to", attached, "max_probes", probes));
    } else if instances.len() as u64 > programs {
        let made = instances.len() as u64;
        diagnostics.push(too_many(script, "BPF programs to generate", made, "max_bpf_progs", programs));
    }
    instances
}

/// Leaves out the attach points of a group that have other names, and of those that are many places the places: the
/// names are those that `probe` prints there.
fn keep_matching(group: &mut Group, filter: &Regex, names: &Names) {
    let wanted = |id: u32| names.list.get(id as usize).is_some_and(|name: &String| filter.is_match(name));
    group.attach.retain_mut(|attach| match &mut attach.what {
        Target::Begin | Target::End | Target::Signal => true,
        Target::KprobeMulti { functions, name_ids, .. } => keep(functions, name_ids, wanted),
        Target::UprobeMulti { offsets, name_ids, .. } => keep(offsets, name_ids, wanted),
        _ => filter.is_match(&attach.name),
    });
}

/// Leaves out places by the numbers of their names. The result is whether any are left.
fn keep<T>(places: &mut Vec<T>, name_ids: &mut Vec<u32>, wanted: impl Fn(u32) -> bool) -> bool {
    let keep: Vec<bool> = name_ids.iter().map(|id| wanted(*id)).collect();
    let (mut place, mut id) = (keep.iter(), keep.iter());
    places.retain(|_| place.next() == Some(&true));
    name_ids.retain(|_| id.next() == Some(&true));
    !places.is_empty()
}

/// The kernel's function that tells a session's program which of the two it runs for.
const IS_RETURN: &str = "bpf_session_is_return";

/// Puts probes of the same functions' entry and return into one program each, where the kernel can run it at both. As
/// in the reference, each of the two has a single attach point, and no other probe is like it.
fn sessions<'s>(instances: Vec<Instance<'s>>, host: &mut Host<'_>) -> Vec<Instance<'s>> {
    let may = |i: &Instance<'_>| i.probe.attach_points.len() == 1 && !i.unwanted;
    let mut all: Vec<Option<Instance<'s>>> = instances.into_iter().map(Some).collect();
    let (mut entries, mut returns): (HashMap<String, Vec<usize>>, HashMap<String, Vec<usize>>) =
        Default::default();
    for (n, instance) in all.iter().enumerate() {
        let Some(instance) = instance.as_ref().filter(|i| may(i)) else { continue };
        let [attach] = instance.group.attach.as_slice() else { continue };
        // What differs between the two is the provider's name.
        let Some((provider, place)) = attach.name.split_once(':') else { continue };
        match provider {
            "kprobe" | "uprobe" | "fentry" => entries.entry(place.to_owned()).or_default().push(n),
            "kretprobe" | "uretprobe" | "fexit" => returns.entry(place.to_owned()).or_default().push(n),
            _ => {}
        }
    }
    for (place, entries) in entries {
        for entry in entries {
            let candidates = returns.get(&place).map(Vec::as_slice).unwrap_or_default();
            let group = |n: usize| all.get(n).and_then(Option::as_ref).map(|i| Rc::clone(&i.group));
            let Some(before) = group(entry) else { continue };
            let joined: Vec<_> = candidates
                .iter()
                .filter_map(|n| Some((*n, probes::join(&before, group(*n)?.as_ref(), host)?)))
                .collect();
            let [(ret, joined)] = joined.as_slice() else { continue };
            // The kernel can, but without BTF no program can call its function. Asked here, since BTF takes a while.
            if host.types.function(None, IS_RETURN).is_none() {
                return all.into_iter().flatten().collect();
            }
            let Some(ret) = all.get_mut(*ret).and_then(Option::take) else { continue };
            if let Some(Some(entry)) = all.get_mut(entry) {
                let (section, attach) = (joined.section.clone(), vec![joined.attach.clone()]);
                entry.group = Rc::new(Group { section, attach, view: before.view.clone() });
                entry.ret = Some((ret.probe, ret.group));
            }
        }
    }
    all.into_iter().flatten().collect()
}

/// One of the limits that keep a wildcard from freezing the machine.
fn too_many(script: &ast::Script, what: &str, count: u64, variable: &str, limit: u64) -> Diagnostic {
    let span =
        script.probes.iter().find(|p| p.attach_points.iter().any(|a| a.text.contains('*'))).map(|p| p.span);
    Diagnostic::error("too-many-probes", span, format!("There are {count} {what}; the limit is {limit}"))
        .note("tracing very many places at once can slow the whole machine down")
        .help(format!(
            "narrow the wildcard, or allow it with BPFTRACE_{}={count} or {variable} = {count} in the config block",
            variable.to_ascii_uppercase()
        ))
}

impl Checker<'_, '_> {
    /// One pass over all programs.
    pub fn probes(&mut self, instances: &[Instance<'_>]) -> Vec<ir::Probe> {
        let mut taken = BTreeSet::new();
        instances
            .iter()
            .enumerate()
            .filter_map(|(number, Instance { probe, group, ret, unwanted })| {
                self.probe = Current::new(number, Rc::clone(group));
                self.host.types.look_in(group.view.program.as_deref());
                let mut body = self.scoped(|this| this.probe_body(probe));
                if let Some((ret, view)) = ret {
                    // Behind all others, so that no variable has the same owner.
                    self.probe.go_on(instances.len() + number, Rc::clone(view));
                    let after = self.scoped(|this| this.probe_body(ret));
                    let returns = self.is_return(probe.span.head());
                    body = vec![build::conditional(returns, after, body, probe.span.head())];
                }
                let first = group.attach.first().map_or(group.view.provider, |a| &a.name);
                let checked = ir::Probe {
                    name: {
                        let types = &self.host.types;
                        // The bodies of loops are called after their programs.
                        let linked = |name: &str| {
                            types.linked_file(name).is_some()
                                || types.linked_file(&format!("{name}_loop")).is_some()
                        };
                        program_name(first, &mut taken, linked)
                    },
                    section: group.section.clone(),
                    context: group.view.context,
                    nesting: group.view.nesting,
                    // Anything but zero at the entry would keep the return from being seen.
                    returns_zero: group.view.returns_zero || ret.is_some(),
                    object: group.view.object,
                    space: group.view.space,
                    attach: group.attach.clone(),
                    variables: self.take_variables(),
                    body,
                    span: probe.span,
                };
                (!unwanted).then_some(checked)
            })
            .collect()
    }

    fn probe_body(&mut self, probe: &ast::Probe) -> Vec<ir::Stmt> {
        let condition = probe.predicate.as_ref().map(|p| (self.condition(p), p.span));
        let mut body = self.block(&probe.body);
        match condition {
            // An error or a type yet to come: nothing of this will run.
            Some((Err(_), _)) | None => {}
            Some((Ok(condition), span)) => body = vec![build::conditional(condition, body, vec![], span)],
        }
        // A command of `-c` is not a filter: what it makes others do belongs to the picture.
        let filters = self.host.pid.is_some() && !self.options.has_child;
        if filters && self.in_view(|v| Some(v.filter_pid)) == Some(true) {
            let ours = self.is_target(probe.span);
            body = vec![build::conditional(ours, body, vec![], probe.span)];
        }
        body
    }

    /// Whether a session's program runs for the functions' return.
    fn is_return(&mut self, span: Span) -> ir::Expr {
        // Since Linux 7.0 it is told the context.
        let told = self.host.types.function(None, IS_RETURN).is_some_and(|f| !f.params.is_empty());
        let (mut params, mut args) = (vec![], vec![]);
        if told {
            params.push(CType::Pointer(Box::new(CType::Void)));
            args.push(build::expr(ir::ExprKind::ContextPointer, Type::U64, span));
        }
        let function = Box::new(CFunction { name: IS_RETURN.into(), params, result: CType::Int(1) });
        build::expr(ir::ExprKind::Kfunc { function, args }, Type::Bool, span)
    }

    /// Whether the process is the one of `-p`.
    fn is_target(&self, span: Span) -> ir::Expr {
        let both = build::expr(ir::ExprKind::TaskIds, Type::U64, span);
        let pid = build::binary(ir::Binary::Shr, both, build::constant(32, Type::U64, span));
        let target = build::expr(ir::ExprKind::Global(image::Global::TargetPid), Type::U64, span);
        build::binary(ir::Binary::Eq, pid, target)
    }

    /// Something of what the program at hand sees of its attach points.
    pub fn in_view<T>(&self, get: impl FnOnce(&View) -> Option<T>) -> Option<T> {
        self.probe.group.as_ref().and_then(|g| get(&g.view))
    }

    /// The full name of the provider of the probe at hand.
    pub fn provider(&self) -> &'static str {
        self.in_view(|v| Some(v.provider)).unwrap_or_default()
    }

    /// A name that `probe` can yield, by number.
    pub fn probe_name(&mut self, name: &str) -> u32 {
        self.names.add(name)
    }

    /// `probe` as text, for what takes strings. Anything else is left as it is.
    pub fn name_as_text(&self, value: Value) -> Value {
        if *value.ty() != Type::ProbeName {
            return value;
        }
        let (span, names) = (value.expr.span, &self.names.list);
        let only = value.constant().and_then(|number| names.get(usize::try_from(number).ok()?));
        if let Some(name) = only {
            return Value { literal: true, ..Value::new(build::text(name.as_bytes(), span)) };
        }
        let longest = names.iter().map(|name| name.len() as u32).max().unwrap_or(0);
        let kind = ir::ExprKind::ProbeText(Box::new(value.expr));
        Value::new(build::expr(kind, Type::Str(longest + 1), span))
    }

    /// Everything put together, after the last pass.
    pub fn program(self, probes: Vec<ir::Probe>, declared: &[ast::MapDeclaration]) -> ir::Program {
        let config = self.host.config;
        let maps: Vec<_> = self
            .env
            .maps()
            .iter()
            .map(|map| lower_map(map, Declared::of(declared, &map.name), config.max_map_keys))
            .collect();
        let events = self.pass.events.list;
        for ty in maps
            .iter()
            .flat_map(|m| m.key.iter().chain([&m.value]))
            .chain(events.iter().flat_map(|e| &e.args))
            .chain(probes.iter().flat_map(|p| p.variables.iter().map(|v| &v.ty)))
        {
            self.host.types.close(ty);
        }
        ir::Program {
            probes,
            maps,
            events,
            strings: self.pass.strings,
            probe_names: self.names.list,
            layouts: self.host.types.layouts().clone(),
        }
    }
}

fn lower_map(map: &MapInfo, declared: Option<Declared>, max_keys: u64) -> image::Map {
    let keyed = map.keyed.is_some_and(|(keyed, _)| keyed);
    let key = if keyed { map.key.shape.as_ref().map(|s| s.ty.clone()) } else { None };
    let value = map.value.shape.as_ref().map_or(Type::I64, |s| s.ty.clone());
    let aggregation = matches!(value, Type::Agg(_));
    let kind = match (&key, aggregation) {
        (Some(_), _) if let Some(declared) = declared => declared.kind,
        (None, false) => MapKind::Array,
        (None, true) => MapKind::PerCpuArray,
        (Some(_), false) => MapKind::Hash,
        (Some(_), true) => MapKind::PerCpuHash,
    };
    let max_keys = declared.map_or(max_keys, |d| d.max_entries.into());
    // `@` alone is a name too, and none of these can be one of the compiler's own.
    let symbol = format!("AT_{}", map.name);
    let (name, declared) = (format!("@{}", map.name), declared.is_some());
    let mut map = image::Map { name, symbol, kind, key, value, max_entries: 1, declared };
    map.max_entries = match map.key {
        Some(_) => u32::try_from(max_keys).unwrap_or(u32::MAX).max(1),
        None => map.pieces(),
    };
    map
}

/// A C identifier for a program, short enough for the kernel to show whole where that is possible, and of no function
/// that is linked to it.
fn program_name(attach: &str, taken: &mut BTreeSet<String>, is_linked: impl Fn(&str) -> bool) -> String {
    const LONGEST: usize = 15;
    let clean: String = attach.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    // The end of a long name says more than its beginning: `tracepoint_syscalls_sys_enter_openat`.
    let start = clean.len().saturating_sub(LONGEST);
    let mut name = clean.get(start..).unwrap_or_default().trim_start_matches('_').to_owned();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, 'p');
    }
    let used = |name: &str| taken.contains(name) || is_linked(name);
    if used(&name) {
        for n in 2u32.. {
            let suffix = format!("_{n}");
            let keep = name.len().min(LONGEST.saturating_sub(suffix.len()));
            let other = format!("{}{suffix}", name.get(..keep).unwrap_or_default());
            if !used(&other) {
                name = other;
                break;
            }
        }
    }
    taken.insert(name.clone());
    name
}
