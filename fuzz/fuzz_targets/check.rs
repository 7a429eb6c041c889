#![no_main]
//! See `entry::check`.

#[path = "../../tests/fuzz/entry.rs"]
#[allow(dead_code)]
mod entry;
#[path = "../../tests/fuzz/mutate.rs"]
mod mutate;
#[path = "../../tests/support/points.rs"]
#[allow(dead_code)]
mod points;
#[path = "../../tests/support/random.rs"]
mod random;
#[path = "../mutator.rs"]
mod mutator;

libfuzzer_sys::fuzz_target!(|text: &str| entry::check(text));
