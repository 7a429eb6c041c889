//! What tests share.

use std::fmt::Display;

/// Says that a test is left out because the machine lacks something. If `BPFTRACE_TEST_REQUIRE` (names with commas
/// between them) has that, the test fails instead: where all is said to be there, nothing is left out in silence.
///
/// The names are those of `tests/programs/harness/needs.rs`.
pub fn skip(need: &str, why: impl Display) {
    let required = std::env::var("BPFTRACE_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == need), "BPFTRACE_TEST_REQUIRE has {need}, but: {why}");
    eprintln!("SKIPPED: {why}");
}
