//! `--test` and `--bench`: probes that are run by hand, and what came of them.

use std::time::{Duration, Instant};

use super::Purpose;
use super::load::{run_many, run_once};
use super::session::{Session, Stop, refused};
use crate::diagnostics::Diagnostic;
use crate::image::{Program, Target};
use crate::output::{self, Outcome, Trial};

/// A benchmark is repeated until it runs for so long.
const LONG_ENOUGH: Duration = Duration::from_millis(1);

impl Session<'_> {
    /// Runs each test or benchmark. The exit code says whether one has failed.
    pub(super) fn try_all(&mut self) -> Result<(), Stop> {
        let target = match self.job.options.purpose {
            Purpose::Bench => Target::Bench,
            _ => Target::Test,
        };
        let programs: Vec<(&Program, &str)> = self
            .programs_at(&target)
            .flat_map(|program| program.attach.iter().map(move |attach| (program, attach.name.as_str())))
            .collect();
        // `test:` and `bench:` go without saying.
        let names: Vec<&str> =
            programs.iter().map(|(_, name)| name.split_once(':').map_or(*name, |(_, name)| name)).collect();
        let color = self.job.color;
        let (mut passed, mut failed) = (vec![], false);
        let mut first = true;
        for (index, (program, name)) in programs.iter().enumerate() {
            if target == Target::Test {
                let (took, good, output) = self.test(program)?;
                passed.push(good);
                failed |= !good;
                let outcome = Outcome::Test { took, passed: &passed, output: &output };
                self.actions.output.trial(&Trial { names: &names, index, first, outcome, color })?;
                first = false;
                continue;
            }
            match self.bench(program)? {
                Bench::Measured { nanoseconds, runs } => {
                    let outcome = Outcome::Bench { nanoseconds, runs };
                    let trial = Trial { names: &names, index, first, outcome, color };
                    self.actions.output.trial(&trial)?;
                    first = false;
                }
                Bench::Skipped => {
                    let message = format!("Benchmark '{name}' is left out: it did not return 0");
                    (self.job.report)(&Diagnostic::warning("bench", program.span, message));
                }
                Bench::Failed => {
                    failed = true;
                    let message = format!("Benchmark '{name}' failed.");
                    (self.job.report)(&Diagnostic::error("bench", program.span, message));
                }
            }
        }
        self.actions.exit = failed.then_some(1);
        Ok(())
    }

    /// Runs a test; whether it passed, and what it printed.
    fn test(&mut self, program: &Program) -> Result<(Duration, bool, Vec<u8>), Stop> {
        let start = Instant::now();
        let returned = run_once(&self.loaded.object, &program.name).map_err(|e| refused(program, &e))?;
        let took = start.elapsed();
        let (clean, output) = self.settle()?;
        Ok((took, returned == 0 && clean, output))
    }

    fn bench(&mut self, program: &Program) -> Result<Bench, Stop> {
        let mut runs: u32 = 1;
        loop {
            let (returned, average) =
                run_many(&self.loaded.object, &program.name, runs).map_err(|e| refused(program, &e))?;
            let (clean, _) = self.settle()?;
            if !clean {
                return Ok(Bench::Failed);
            }
            // That is how a benchmark says that it cannot run here.
            if returned != 0 {
                return Ok(Bench::Skipped);
            }
            let total = average * runs;
            if total >= LONG_ENOUGH || runs >= u32::MAX / 2 {
                let nanoseconds = u64::try_from(average.as_nanos()).unwrap_or(u64::MAX);
                return Ok(Bench::Measured { nanoseconds, runs: runs.into() });
            }
            let factor = match total.as_nanos() {
                0..1_000 => 1_000,
                1_000..10_000 => 100,
                10_000..100_000 => 10,
                _ => 2,
            };
            runs = runs.saturating_mul(factor);
        }
    }

    /// Handles what a probe has sent, apart from all other output; whether nothing went wrong, and what was printed.
    fn settle(&mut self) -> Result<(bool, Vec<u8>), Stop> {
        let (output, kept) = output::kept();
        let usual = std::mem::replace(&mut self.actions.output, output);
        self.actions.errors = 0;
        let drained = self.drain_to_the_end();
        self.actions.output = usual;
        drained?;
        let code = self.actions.exit.take().unwrap_or(0);
        Ok((code == 0 && self.actions.errors == 0, kept.take()))
    }
}

enum Bench {
    Measured { nanoseconds: u64, runs: u64 },
    Skipped,
    Failed,
}
