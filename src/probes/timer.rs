//! `interval` and `profile`: timers on one CPU and on all of them.

use super::{Ask, Group, Listed, Provider, Search, Searched, View, point};
use crate::diagnostics::Diagnostic;
use crate::image::{Attach, Cpus, Sample, Target};
use crate::ir::{Context, Nesting};
use crate::pattern::Pattern;
use crate::syntax::ast::AttachPart;

pub(super) struct Timer {
    names: &'static [&'static str],
    cpus: Cpus,
}

impl Timer {
    pub(super) const INTERVAL: Timer = Timer { names: &["interval", "i"], cpus: Cpus::One };
    pub(super) const PROFILE: Timer = Timer { names: &["profile", "p"], cpus: Cpus::All };

    fn usage(&self) -> &'static str {
        match self.cpus {
            Cpus::One => "interval:s:1, interval:ms:100, interval:us:500, interval:hz:10 or interval:1s",
            Cpus::All => "profile:hz:99, profile:s:1, profile:ms:10, profile:us:500 or profile:10ms",
        }
    }
}

const UNITS: [&str; 4] = ["hz", "ms", "s", "us"];

/// The unit, the number in that unit, and what the kernel is told.
fn rate<'a>(parts: &'a [AttachPart], usage: &str) -> Result<(&'a str, u64, Sample), Diagnostic> {
    let problem = |part: &AttachPart, message: String| {
        Diagnostic::error("attach-point-rate", part.span, message).help(format!("it is written {usage}"))
    };
    let number = |part| point::number(part).map_err(|error| error.help(format!("it is written {usage}")));
    match parts {
        [time] => {
            // A number without a unit is in nanoseconds.
            let nanoseconds = number(time)?;
            if nanoseconds < 1000 {
                return Err(problem(
                    time,
                    format!("{nanoseconds} ns is too short: the shortest time is 1 us"),
                ));
            }
            Ok(("us", nanoseconds / 1000, Sample::Period(nanoseconds)))
        }
        [unit, count] => {
            let value = number(count)?;
            if ["ns", "us", "ms", "s", "m", "h", "d"].iter().any(|suffix| {
                count.text.strip_suffix(suffix).is_some_and(|n| n.ends_with(|c: char| c.is_ascii_digit()))
            }) && !count.text.starts_with("0x")
            {
                let message = format!("{} has a unit of its own beside {}", count.text, unit.text);
                return Err(problem(count, message));
            }
            if value == 0 {
                return Err(problem(count, "a timer has to have a count of at least 1".into()));
            }
            let too_long =
                || problem(count, format!("{value} {} is longer than the kernel can count", unit.text));
            let period =
                |factor: u64| value.checked_mul(factor).filter(|&n| n <= i64::MAX as u64).map(Sample::Period);
            let sample = match unit.text.as_str() {
                "hz" => Some(Sample::Frequency(value)),
                "us" => period(1_000),
                "ms" => period(1_000_000),
                "s" => period(1_000_000_000),
                other => {
                    return Err(problem(unit, format!("\"{other}\" is not a unit of time")));
                }
            };
            Ok((&unit.text, value, sample.ok_or_else(too_long)?))
        }
        _ => Err(Diagnostic::error("attach-point-arguments", None, "a timer takes a unit and a count")),
    }
}

impl Provider for Timer {
    fn names(&self) -> &'static [&'static str] {
        self.names
    }

    fn searched(&self) -> Searched {
        Searched::ByName
    }

    fn resolve(&self, ask: Ask<'_, '_>) -> Result<Vec<Group>, Diagnostic> {
        let Ask { point, host, mut names, .. } = ask;
        let parts = point::parts(point, 1..=2, self.usage())?;
        let (unit, count, sample) = rate(parts, self.usage())?;
        let provider = self.names[0];
        let name = format!("{provider}:{unit}:{count}");
        let name_id = names.id(&name);
        let what = Target::Perf {
            kind: libbpf_sys::PERF_TYPE_SOFTWARE,
            config: libbpf_sys::PERF_COUNT_SW_CPU_CLOCK.into(),
            sample,
            cpus: self.cpus,
            // An interval is a timer, not a sample of what the process does.
            pid: host.pid.filter(|_| self.cpus == Cpus::All),
            name_id,
        };
        let attach = Attach { name, span: point.span, what };
        let view = View::empty(provider, Context::Registers, Nesting::Never, name_id);
        Ok(vec![Group { section: "perf_event".into(), attach: vec![attach], view }])
    }

    fn list(&self, search: Search<'_, '_>) -> Result<(), Diagnostic> {
        let Search { point, found, .. } = search;
        let pattern = point.parts.get(1).map_or_else(Pattern::any, |part| Pattern::new(&part.text));
        if let [_, unit, count] = point.parts.as_slice() {
            // As a script has it.
            found(Listed { name: format!("{}:{}:{}", self.names[0], unit.text, count.text), args: vec![] });
            return Ok(());
        }
        for unit in UNITS.into_iter().filter(|unit| pattern.matches(unit)) {
            found(Listed { name: format!("{}:{unit}:", self.names[0]), args: vec![] });
        }
        Ok(())
    }
}
