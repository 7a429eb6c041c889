//! `software` and `hardware`: events that the kernel and the processor count, a probe every so many of them.

use super::{Ask, Group, Listed, Provider, Search, Searched, View, point};
use crate::diagnostics::Diagnostic;
use crate::image::{Attach, Cpus, Sample, Target};
use crate::ir::{Context, Nesting};
use crate::pattern::Pattern;

pub(super) struct Counter {
    names: &'static [&'static str],
    /// Of `enum perf_type_id`.
    kind: u32,
    events: &'static [Event],
    usage: &'static str,
}

impl Counter {
    pub(super) const SOFTWARE: Counter = Counter {
        names: &["software", "s"],
        kind: libbpf_sys::PERF_TYPE_SOFTWARE,
        events: SOFTWARE,
        usage: "software:faults:100, or software:faults for the usual count",
    };
    pub(super) const HARDWARE: Counter = Counter {
        names: &["hardware", "h"],
        kind: libbpf_sys::PERF_TYPE_HARDWARE,
        events: HARDWARE,
        usage: "hardware:cache-misses:1e6, or hardware:cache-misses for the usual count",
    };
}

/// One event of `perf_event_open(2)`.
struct Event {
    /// The full name, then every other.
    names: &'static [&'static str],
    config: u32,
    /// How many events are one hit, if the script does not say.
    count: u64,
}

/// `enum perf_sw_ids` of `<linux/perf_event.h>`.
const SOFTWARE: &[Event] = &[
    Event { names: &["alignment-faults"], config: libbpf_sys::PERF_COUNT_SW_ALIGNMENT_FAULTS, count: 1 },
    Event { names: &["bpf-output"], config: libbpf_sys::PERF_COUNT_SW_BPF_OUTPUT, count: 1 },
    Event {
        names: &["context-switches", "cs"],
        config: libbpf_sys::PERF_COUNT_SW_CONTEXT_SWITCHES,
        count: 1000,
    },
    Event { names: &["cpu-clock", "cpu"], config: libbpf_sys::PERF_COUNT_SW_CPU_CLOCK, count: 1_000_000 },
    Event { names: &["cpu-migrations"], config: libbpf_sys::PERF_COUNT_SW_CPU_MIGRATIONS, count: 1 },
    Event { names: &["dummy"], config: libbpf_sys::PERF_COUNT_SW_DUMMY, count: 1 },
    Event { names: &["emulation-faults"], config: libbpf_sys::PERF_COUNT_SW_EMULATION_FAULTS, count: 1 },
    Event { names: &["major-faults"], config: libbpf_sys::PERF_COUNT_SW_PAGE_FAULTS_MAJ, count: 1 },
    Event { names: &["minor-faults"], config: libbpf_sys::PERF_COUNT_SW_PAGE_FAULTS_MIN, count: 100 },
    Event { names: &["page-faults", "faults"], config: libbpf_sys::PERF_COUNT_SW_PAGE_FAULTS, count: 100 },
    Event { names: &["task-clock"], config: libbpf_sys::PERF_COUNT_SW_TASK_CLOCK, count: 1 },
];

/// `enum perf_hw_id`.
const HARDWARE: &[Event] = &[
    Event {
        names: &["backend-stalls"],
        config: libbpf_sys::PERF_COUNT_HW_STALLED_CYCLES_BACKEND,
        count: 1_000_000,
    },
    Event {
        names: &["branch-instructions", "branches"],
        config: libbpf_sys::PERF_COUNT_HW_BRANCH_INSTRUCTIONS,
        count: 100_000,
    },
    Event { names: &["branch-misses"], config: libbpf_sys::PERF_COUNT_HW_BRANCH_MISSES, count: 100_000 },
    Event { names: &["bus-cycles"], config: libbpf_sys::PERF_COUNT_HW_BUS_CYCLES, count: 100_000 },
    Event { names: &["cache-misses"], config: libbpf_sys::PERF_COUNT_HW_CACHE_MISSES, count: 1_000_000 },
    Event {
        names: &["cache-references"],
        config: libbpf_sys::PERF_COUNT_HW_CACHE_REFERENCES,
        count: 1_000_000,
    },
    Event {
        names: &["cpu-cycles", "cycles"],
        config: libbpf_sys::PERF_COUNT_HW_CPU_CYCLES,
        count: 1_000_000,
    },
    Event {
        names: &["frontend-stalls"],
        config: libbpf_sys::PERF_COUNT_HW_STALLED_CYCLES_FRONTEND,
        count: 1_000_000,
    },
    Event { names: &["instructions"], config: libbpf_sys::PERF_COUNT_HW_INSTRUCTIONS, count: 1_000_000 },
    Event { names: &["ref-cycles"], config: libbpf_sys::PERF_COUNT_HW_REF_CPU_CYCLES, count: 1_000_000 },
];

impl Provider for Counter {
    fn names(&self) -> &'static [&'static str] {
        self.names
    }

    fn searched(&self) -> Searched {
        Searched::Always
    }

    fn resolve(&self, ask: Ask<'_, '_>) -> Result<Vec<Group>, Diagnostic> {
        let Ask { point, host, mut names, .. } = ask;
        let provider = self.names[0];
        let parts = point::parts(point, 1..=2, self.usage)?;
        let (event, count) = match parts {
            [event] => (event, None),
            [event, count, ..] => (event, Some(count).filter(|c| !c.text.is_empty())),
            [] => {
                return Err(Diagnostic::error(
                    "attach-point-arguments",
                    point.span,
                    format!("it is written {}", self.usage),
                ));
            }
        };
        let known = self.events.iter().find(|e| e.names.contains(&event.text.as_str())).ok_or_else(|| {
            let message = format!("{} is not a {provider} probe", event.text);
            let names = self.events.iter().flat_map(|e| e.names);
            let problem = Diagnostic::error("unknown-event", event.span, message);
            point::did_you_mean(problem, &event.text, names)
                .help(format!("bpftrace -l '{provider}:*' lists the events"))
        })?;
        let count = count.map(point::number).transpose()?;
        let name = match count {
            Some(count) if count > 0 => format!("{provider}:{}:{count}", event.text),
            _ => format!("{provider}:{}", event.text),
        };
        let name_id = names.id(&name);
        let what = Target::Perf {
            kind: self.kind,
            config: known.config.into(),
            sample: Sample::Period(count.filter(|&n| n > 0).unwrap_or(known.count)),
            cpus: Cpus::All,
            pid: host.pid,
            name_id,
        };
        let attach = Attach { name, span: point.span, what };
        let view = View::empty(provider, Context::Registers, Nesting::Never, name_id);
        Ok(vec![Group { section: "perf_event".into(), attach: vec![attach], view }])
    }

    fn list(&self, search: Search<'_, '_>) -> Result<(), Diagnostic> {
        let Search { point, found, .. } = search;
        let pattern = point.parts.get(1).map_or_else(Pattern::any, |part| Pattern::new(&part.text));
        let count = point.parts.get(2).map_or("", |part| part.text.as_str());
        let mut names: Vec<String> = self
            .events
            .iter()
            .flat_map(|event| event.names)
            .filter(|name| pattern.matches(name))
            .map(|name| format!("{}:{name}:{count}", self.names[0]))
            .collect();
        names.sort_unstable();
        names.into_iter().for_each(|name| found(Listed { name, args: vec![] }));
        Ok(())
    }
}
