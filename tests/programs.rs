//! Runs the built `bpftrace` on a real kernel: every case of `tests/programs/*.toml` starts it, does something for it
//! to see, and compares what it printed. `tests/programs/README.md` describes the format.
//!
//! The same binary runs in the VM tier (`tests/vm/run`), where `BPFTRACE_TEST_TIER=vm` selects the cases marked
//! `vm = true`, `BPFTRACE_TEST_REQUIRE` names what that kernel has to have, and `BPFTRACE_TEST_SLOWNESS` is how many
//! times longer than here everything may take. `make test` runs it apart from the
//! other tests, as root, and leaves it out among them with `BPFTRACE_TEST_TIER=none`.

#[path = "programs/harness/case.rs"]
mod case;
#[path = "programs/harness/expect.rs"]
mod expect;
#[path = "programs/harness/needs.rs"]
mod needs;
#[path = "programs/harness/rounds.rs"]
mod rounds;
#[path = "programs/harness/run.rs"]
mod run;
#[path = "programs/harness/setup.rs"]
mod setup;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Trial};

use crate::needs::Needs;
use crate::rounds::Rounds;
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

    let rounds = Arc::new(Rounds::new(setup));
    let skipped: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let trials = cases
        .into_iter()
        .filter(|case| rounds.wants(case))
        .map(|case| {
            let missing = needs.missing(&case.needs);
            let (rounds, skipped) = (rounds.clone(), skipped.clone());
            Trial::ignorable_test(case.full_name(), move || {
                if let Some(reason) = missing {
                    *skipped
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .entry(reason.clone())
                        .or_default() += 1;
                    return Ok(Completion::ignored_with(reason));
                }
                rounds.run(case)
            })
        })
        .collect();

    let mut conclusion = libtest_mimic::run(&arguments, trials);
    let second = rounds.finish();
    conclusion.num_passed += second.passed;
    conclusion.num_failed += second.failed;
    conclusion.num_ignored -= second.waited;
    let skipped = skipped.lock().unwrap_or_else(PoisonError::into_inner);
    for (reason, count) in skipped.iter() {
        println!("SKIPPED {count}: {reason}");
    }
    if !arguments.list {
        let again = match second.passed {
            0 => String::new(),
            n => format!(" ({n} of them ONLY ON A SECOND RUN, see above)"),
        };
        println!(
            "{} passed{again}, {} failed, {} skipped",
            conclusion.num_passed, conclusion.num_failed, conclusion.num_ignored
        );
    }
    conclusion.exit_code()
}
