//! What was lost, and the words for it: nothing is lost in silence.

use std::io;
use std::os::fd::AsRawFd;

use super::load::Loaded;
use super::{Job, tell};
use crate::diagnostics::Diagnostic;
use crate::image::{Counter, Map};
use crate::output::Output;
use crate::probes::attach::missed;

/// Keeps count of what has been reported.
#[derive(Default)]
pub struct Losses {
    events: u64,
    /// By map: whether it has been said that it is full.
    full: Vec<bool>,
    /// Hits that never reached a program.
    kprobes: u64,
    /// What processes mapped unseen.
    mappings: u64,
}

impl Losses {
    /// Reports what is new; called now and then while programs run.
    pub fn watch(&mut self, job: &Job<'_>, loaded: &Loaded, output: &mut dyn Output) -> io::Result<()> {
        let events = count(loaded, Counter::LostEvents as u32);
        if events > self.events {
            output.lost_events(events - self.events)?;
            self.events = events;
        }
        if !job.options.warnings {
            return Ok(());
        }
        let maps = &job.image.manifest.maps;
        self.full.resize(maps.len(), false);
        for ((n, map), said) in maps.iter().enumerate().zip(&mut self.full) {
            if !*said && map.key.is_some() && refused(loaded, n) > 0 {
                *said = true;
                let keys = map.max_entries;
                let message = format!("the map {} is full: it has {keys} keys, and more get lost", map.name);
                (job.report)(&full(message, map));
            }
        }
        Ok(())
    }

    /// The code of an `exit()` for which the ring buffer had no room.
    pub fn exit(loaded: &Loaded) -> Option<u8> {
        count(loaded, Counter::LostExit as u32).checked_sub(1).map(|code| code as u8)
    }

    /// Reports everything, once all is over.
    pub fn total(&mut self, job: &Job<'_>, loaded: &Loaded, output: &mut dyn Output) -> io::Result<()> {
        let said = std::mem::take(&mut self.full);
        // What is said now is the sum, so nothing is said before.
        self.full = vec![true; job.image.manifest.maps.len()];
        self.watch(job, loaded, output)?;
        if !job.options.warnings {
            return Ok(());
        }
        if self.events > 0 {
            output.flush()?;
            (job.report)(
                &Diagnostic::warning("lost-events", None, format!("Total lost event count: {}", self.events))
                    .note("events came faster than they could be printed")
                    .help(
                        "print less, or give them more room: BPFTRACE_PERF_RB_PAGES is its number of pages",
                    ),
            );
        }
        for (n, map) in job.image.manifest.maps.iter().enumerate() {
            let lost = refused(loaded, n);
            if lost == 0 {
                continue;
            }
            let (name, keys) = (&map.name, map.max_entries);
            let first = !said.get(n).copied().unwrap_or(false);
            let no_room =
                format!("Map full; can't update element: {name} has all its {keys} keys, {}", updates(lost));
            (job.report)(&match (is_full(job, loaded, n), first) {
                (true, true) => full(no_room, map),
                (true, false) => Diagnostic::warning("map-full", None, no_room),
                (false, _) => Diagnostic::warning(
                    "map-refused",
                    None,
                    format!("the map {name}: {}", updates(lost)),
                )
                .note("the kernel could not take a new key at that moment, or the map was full for a while"),
            });
        }
        self.missed(job, loaded);
        Ok(())
    }

    /// Notes what kprobes have missed, which their links know while they are attached.
    pub fn of_kprobes(&mut self, missed: u64) {
        self.kprobes = missed;
    }

    /// Notes how much of what processes map could not be followed.
    pub fn of_mappings(&mut self, missed: u64) {
        self.mappings = missed;
    }

    fn missed(&self, job: &Job<'_>, loaded: &Loaded) {
        let runs = count(loaded, Counter::MissedRuns as u32);
        if runs > 0 {
            let message =
                format!("{} left out: a probe fired while another was at work on that CPU", hits(runs));
            (job.report)(&Diagnostic::warning("missed-runs", None, message));
        }
        let stacks = count(loaded, Counter::LostStacks as u32);
        if stacks > 0 {
            let message = format!("{stacks} stacks could not be kept: there were too many different ones");
            (job.report)(&Diagnostic::warning("lost-stacks", None, message));
        }
        if self.mappings > 0 {
            let count = self.mappings;
            let message =
                format!("{count} mappings of processes were missed: their symbols may be addresses or wrong");
            let note = "more programs were started than could be followed";
            (job.report)(&Diagnostic::warning("lost-events", None, message).note(note));
        }
        let missed: Vec<(u64, &str)> = loaded
            .object
            .progs()
            .filter_map(|program| {
                let programs = &job.image.manifest.programs;
                let own = programs.iter().find(|own| program.name() == own.name.as_str())?;
                Some((missed(&program), own.attach.first()?.name.as_str()))
            })
            .filter(|(count, _)| *count > 0)
            .collect();
        if self.kprobes > 0 {
            tell(&format!("Missed {} of kprobes that the kernel could not take\n", hits(self.kprobes)));
        }
        if !missed.is_empty() {
            // Not a warning: where interrupts are traced, some are always missed.
            tell(&missed_line(&missed));
        }
    }
}

/// The kernel runs no tracing program while another one runs on the same CPU.
fn missed_line(missed: &[(u64, &str)]) -> String {
    let all = hits(missed.iter().map(|(count, _)| count).sum());
    let each: Vec<String> = missed.iter().map(|(count, name)| format!("{count} of {name}")).collect();
    format!("Missed {all} that came while a BPF program ran on the same CPU: {}\n", each.join(", "))
}

fn full(message: String, map: &Map) -> Diagnostic {
    let help = if map.declared {
        format!("declare {} with a larger number, or use fewer keys", map.name)
    } else {
        "set max_map_keys higher (BPFTRACE_MAX_MAP_KEYS=100000 or in a config block), or use fewer keys"
            .into()
    };
    Diagnostic::warning("map-full", None, message).help(help)
}

fn updates(n: u64) -> String {
    if n == 1 { "1 update was lost".into() } else { format!("{n} updates were lost") }
}

fn hits(n: u64) -> String {
    if n == 1 { "1 hit".into() } else { format!("{n} hits") }
}

/// Whether a map has as many keys as it can have.
fn is_full(job: &Job<'_>, loaded: &Loaded, map: usize) -> bool {
    let (Some(what), Some(map)) = (job.image.manifest.maps.get(map), loaded.maps.get(map)) else {
        return false;
    };
    map.count().is_ok_and(|count| count >= what.max_entries as usize)
}

/// How many updates a map has refused.
fn refused(loaded: &Loaded, map: usize) -> u64 {
    u32::try_from(map).map_or(0, |map| count(loaded, Counter::Maps as u32 + map))
}

fn count(loaded: &Loaded, index: u32) -> u64 {
    let mut value = 0u64;
    if let Some(map) = &loaded.counters {
        // SAFETY: the map is an array of `u64`; an index that it does not have is an error.
        unsafe {
            libbpf_sys::bpf_map_lookup_elem(
                map.as_raw_fd(),
                (&raw const index).cast(),
                (&raw mut value).cast(),
            );
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_hits_are_said_in_one_line() {
        assert_eq!(
            missed_line(&[(1, "kprobe:f"), (2, "profile:hz:99")]),
            "Missed 3 hits that came while a BPF program ran on the same CPU: 1 of kprobe:f, 2 of profile:hz:99\n"
        );
    }
}
