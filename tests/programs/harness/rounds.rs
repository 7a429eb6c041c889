//! Which cases run beside which, and which run twice.
//!
//! A case may fail because of the machine and not of bpftrace, and one such failure among hundreds would decide over
//! all of them. Two kinds get a second chance, and every one that needed it is told at the end:
//!
//! - The tracer said that hits or events were lost. Linux runs no tracing program on a CPU where another one, or a
//!   call of bpf(2), was preempted; what a case expects may then never have been seen, whoever was preempted. Such a
//!   case runs again, alone, up to twice.
//! - Load: a neighbour's, which stops a virtual machine's clock for seconds, or that of the other cases. A case that
//!   failed runs once more, alone, when all others are done; what is broken fails again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use libtest_mimic::{Completion, Failed};

use super::case::Case;
use super::run::{self, Fault};
use super::setup::Setup;

/// How often a case is run again because something was lost.
const AGAIN_FOR_LOSSES: usize = 2;

/// More failures than these are no accident: none of them gets a second run.
const ACCIDENTS: usize = 8;

pub struct Rounds {
    setup: Setup,
    /// A case that has the machine to itself writes, the others read.
    machine: RwLock<()>,
    /// What waits for its second run, with its first fault.
    later: Mutex<Vec<(Case, Fault)>>,
    /// Names of cases that passed only after something was lost, with what it was.
    lossy: Mutex<BTreeMap<String, String>>,
}

/// What came of the second runs.
#[derive(Default)]
pub struct Second {
    pub passed: u64,
    pub failed: u64,
    /// Of both, who were counted as ignored before.
    pub waited: u64,
}

impl Rounds {
    pub fn new(setup: Setup) -> Rounds {
        Rounds { setup, machine: RwLock::default(), later: Mutex::default(), lossy: Mutex::default() }
    }

    /// Whether this case belongs to what is tested here.
    pub fn wants(&self, case: &Case) -> bool {
        !self.setup.in_vm || case.vm
    }

    /// Runs a case beside others, unless it wants to be alone.
    pub fn run(&self, case: Case) -> Result<Completion, Failed> {
        match self.run_until_complete(&case) {
            Ok(()) => Ok(Completion::Completed),
            Err(fault) => {
                lock(&self.later).push((case, fault));
                Ok(Completion::ignored_with("FAILED, and runs once more at the end"))
            }
        }
    }

    fn run_until_complete(&self, case: &Case) -> Result<(), Fault> {
        let mut result = if case.serial { self.run_alone(case) } else { self.run_beside(case) };
        let mut losses: Option<String> = None;
        for _ in 0..AGAIN_FOR_LOSSES {
            let Err(Fault { lost: Some(lost), .. }) = &result else { break };
            losses.get_or_insert_with(|| lost.clone());
            result = self.run_alone(case);
        }
        if let (Ok(()), Some(lost)) = (&result, losses) {
            lock(&self.lossy).insert(case.full_name(), lost);
        }
        result
    }

    fn run_alone(&self, case: &Case) -> Result<(), Fault> {
        let _alone = self.machine.write().unwrap_or_else(PoisonError::into_inner);
        run::run(case, &self.setup)
    }

    fn run_beside(&self, case: &Case) -> Result<(), Fault> {
        let _shared = self.machine.read().unwrap_or_else(PoisonError::into_inner);
        run::run(case, &self.setup)
    }

    /// Once all others are done: runs again what failed, and tells of everything that took more than one run.
    pub fn finish(&self) -> Second {
        let mut second = Second::default();
        let later = std::mem::take(&mut *lock(&self.later));
        second.waited = later.len() as u64;
        if later.len() > ACCIDENTS {
            println!("{} tests failed, too many for an accident: none runs once more", later.len());
            for (case, fault) in &later {
                println!("\n---- {} ----\n{}", case.full_name(), fault.text);
            }
            second.failed = second.waited;
            return second;
        }
        let mut told = vec![];
        for (case, first) in later {
            let name = case.full_name();
            let text = match self.run_until_complete(&case) {
                Ok(()) => {
                    second.passed += 1;
                    println!("test {name} ... ok, but only on a second run");
                    format!("passed only on a second run: {name}\n{}", first.text)
                }
                Err(again) => {
                    second.failed += 1;
                    println!("test {name} ... FAILED twice");
                    format!("failed twice: {name}\n{}\nand then:\n{}", first.text, again.text)
                }
            };
            told.push(text);
        }
        for text in told {
            println!("\n---- {text}");
        }
        let lossy = lock(&self.lossy);
        for (name, lost) in lossy.iter() {
            println!("ran again, alone, since something was lost: {name} ({lost})");
        }
        second
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
