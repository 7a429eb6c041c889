//! Tells libFuzzer to change scripts as [`crate::mutate`] does, and sometimes as it would by itself.

use crate::mutate::mutate;
use crate::random::Random;

/// Copies what fits; how much that was.
fn put(text: &str, out: &mut [u8]) -> usize {
    let size = text.len().min(out.len());
    out[..size].copy_from_slice(&text.as_bytes()[..size]);
    size
}

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::new(seed.into());
    match std::str::from_utf8(&data[..size]) {
        Ok(text) if !random.once_in(16) => {
            let made = mutate(text, &[], max_size, &mut random);
            put(&made, &mut data[..max_size])
        }
        _ => libfuzzer_sys::fuzzer_mutate(data, size, max_size),
    }
});

libfuzzer_sys::fuzz_crossover!(|data1: &[u8], data2: &[u8], out: &mut [u8], seed: u32| {
    let text = |data| String::from_utf8_lossy(data).into_owned();
    let made = mutate(&text(data1), &[text(data2)], out.len(), &mut Random::new(seed.into()));
    put(&made, out)
});
