//! `software`: events that the kernel counts, a probe every so many of them.

use super::pattern::Pattern;
use super::{Group, Host, Listed, Provider, Searched, Uses, View, point};
use crate::diagnostics::Diagnostic;
use crate::image::{Attach, Cpus, Sample, Target};
use crate::ir::Context;
use crate::syntax::ast::AttachPoint;

pub(super) struct Software;

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

const USAGE: &str = "software:faults:100, or software:faults for the usual count";

impl Provider for Software {
    fn names(&self) -> &'static [&'static str] {
        &["software", "s"]
    }

    fn searched(&self) -> Searched {
        Searched::Always
    }

    fn resolve(
        &self,
        point: &AttachPoint,
        uses: Uses,
        host: &mut Host<'_>,
        add_name: &mut dyn FnMut(&str) -> u32,
    ) -> Result<Vec<Group>, Diagnostic> {
        let parts = point::parts(point, 1..=2, USAGE)?;
        let (event, count) = match parts {
            [event] => (event, None),
            [event, count, ..] => (event, Some(count).filter(|c| !c.text.is_empty())),
            [] => {
                return Err(Diagnostic::error(
                    "attach-point-arguments",
                    point.span,
                    "software takes an event",
                ));
            }
        };
        let known = SOFTWARE.iter().find(|e| e.names.contains(&event.text.as_str())).ok_or_else(|| {
            let message = format!("{} is not a software probe", event.text);
            let names = SOFTWARE.iter().flat_map(|e| e.names);
            let problem = Diagnostic::error("unknown-event", event.span, message);
            point::did_you_mean(problem, &event.text, names).help("bpftrace -l 'software:*' lists the events")
        })?;
        let count = count.map(point::number).transpose()?;
        let name = match count {
            Some(count) if count > 0 => format!("software:{}:{count}", event.text),
            _ => format!("software:{}", event.text),
        };
        let name_id = if uses.name { add_name(&name) } else { 0 };
        let what = Target::Perf {
            kind: libbpf_sys::PERF_TYPE_SOFTWARE,
            config: known.config.into(),
            sample: Sample::Period(count.filter(|&n| n > 0).unwrap_or(known.count)),
            cpus: Cpus::All,
            pid: host.pid,
            name_id,
        };
        let attach = Attach { name, span: point.span, what };
        let view = View::empty("software", Context::Registers, name_id);
        Ok(vec![Group { section: "perf_event".into(), attach: vec![attach], view }])
    }

    fn list(
        &self,
        point: &AttachPoint,
        _: bool,
        _: &mut Host<'_>,
        found: &mut dyn FnMut(Listed),
    ) -> Result<(), Diagnostic> {
        let pattern = point.parts.get(1).map_or_else(Pattern::any, |part| Pattern::new(&part.text));
        let mut names: Vec<String> = SOFTWARE
            .iter()
            .flat_map(|event| event.names)
            .filter(|name| pattern.matches(name))
            .map(|name| format!("software:{name}:"))
            .collect();
        names.sort_unstable();
        names.into_iter().for_each(|name| found(Listed { name, args: vec![] }));
        Ok(())
    }
}
