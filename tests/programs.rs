//! Runs the built `bpftrace` on a real kernel: every case of `tests/programs/*.toml` starts it, does something for it
//! to see, and compares what it printed. `tests/programs/README.md` describes the format.
//!
//! The same binary runs in the VM tier (`tests/vm/run`), where `BPFTRACE_TEST_TIER=vm` selects the cases marked
//! `vm = true` and `BPFTRACE_TEST_REQUIRE` names what that kernel has to have. `make test` runs it apart from the
//! other tests, as root, and leaves it out among them with `BPFTRACE_TEST_TIER=none`.

#[path = "programs/harness/case.rs"]
mod case;
#[path = "programs/harness/expect.rs"]
mod expect;
#[path = "programs/harness/needs.rs"]
mod needs;
#[path = "programs/harness/run.rs"]
mod run;
#[path = "programs/harness/setup.rs"]
mod setup;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::needs::Needs;
use crate::setup::Setup;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if std::env::var("BPFTRACE_TEST_TIER").is_ok_and(|tier| tier == "none") {
        println!("left out: `make programs` runs these as root");
        return ExitCode::SUCCESS;
    }
    let (setup, cases) = match Setup::new().and_then(|setup| Ok((setup, case::load_all()?))) {
        Ok(found) => found,
        Err(message) => {
            eprintln!("cannot start the program tests: {message}");
            return ExitCode::FAILURE;
        }
    };
    let needs = Needs::find();
    if let Err(message) = needs.check_required() {
        eprintln!("cannot start the program tests: {message}");
        return ExitCode::FAILURE;
    }

    let setup = Arc::new(setup);
    // Cases marked `serial` have the machine to themselves.
    let machine = Arc::new(RwLock::new(()));
    let skipped: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let trials = cases
        .into_iter()
        .filter(|case| !setup.in_vm || case.vm)
        .map(|case| {
            let missing = needs.missing(&case.needs);
            let (setup, machine, skipped) = (setup.clone(), machine.clone(), skipped.clone());
            Trial::ignorable_test(case.full_name(), move || {
                if let Some(reason) = missing {
                    *skipped
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .entry(reason.clone())
                        .or_default() += 1;
                    return Ok(Completion::ignored_with(reason));
                }
                let outcome = if case.serial {
                    let _alone = machine.write().unwrap_or_else(PoisonError::into_inner);
                    run::run(&case, &setup)
                } else {
                    let _shared = machine.read().unwrap_or_else(PoisonError::into_inner);
                    run::run(&case, &setup)
                };
                outcome.map(|()| Completion::Completed).map_err(Failed::from)
            })
        })
        .collect();

    let conclusion = libtest_mimic::run(&arguments, trials);
    let skipped = skipped.lock().unwrap_or_else(PoisonError::into_inner);
    for (reason, count) in skipped.iter() {
        println!("SKIPPED {count}: {reason}");
    }
    if !arguments.list {
        println!(
            "{} passed, {} failed, {} skipped",
            conclusion.num_passed, conclusion.num_failed, conclusion.num_ignored
        );
    }
    conclusion.exit_code()
}
