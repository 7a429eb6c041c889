//! The corpus of the fuzz targets (`fuzz/`), without a fuzzer: each text goes through every stage, and so do texts
//! made of them at random. Nothing may panic, end the process or take long.
//!
//! `FUZZ_SEED` repeats a run, and `FUZZ_SECONDS` (20) is how long new texts are made.

#[path = "fuzz/entry.rs"]
#[allow(dead_code)]
mod entry;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "support/points.rs"]
mod points;
#[path = "support/random.rs"]
mod random;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use mutate::mutate;
use random::Random;

/// How long one text may take, in a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The main thread's, which scripts are compiled on.
const STACK: usize = 8 << 20;
/// In bytes; see `-max_len` in the Makefile.
const LONGEST: usize = 4096;

/// The kept corpus and found crashes, the goldens, and the tools.
fn texts() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = std::fs::read_dir(root.join("tests/golden")).unwrap().flatten().map(|e| e.path());
    let mut texts = vec![];
    for directory in golden.chain([root.join("tests/fuzz/corpus"), root.join("tools")]) {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        for path in entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_none_or(|e| e == "bt")) {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            texts.push((path.display().to_string(), text));
        }
    }
    texts.sort();
    texts
}

/// Runs with as much stack as the main thread has.
fn with_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Puts a text through all stages. What it was is told if it ends the process.
fn put_through(name: &str, text: &str) {
    let told = std::env::temp_dir().join(format!("bpftrace-fuzz-{}-{name}", std::process::id()));
    std::fs::write(&told, text).unwrap();
    let start = Instant::now();
    if let Err(panic) = std::panic::catch_unwind(|| entry::codegen(text)) {
        eprintln!("this text (in {}):\n{text}", told.display());
        std::panic::resume_unwind(panic);
    }
    assert!(start.elapsed() < PATIENCE, "{:?} for the text in {}", start.elapsed(), told.display());
    std::fs::remove_file(told).unwrap();
}

#[test]
fn the_corpus_goes_through() {
    with_stack(|| {
        let texts = texts();
        assert!(texts.len() > 100, "only {} texts", texts.len());
        for (name, text) in texts {
            eprintln!("{name}");
            put_through("corpus", &text);
        }
    });
}

#[test]
fn texts_at_random_go_through() {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse().ok());
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let seed: u64 = number("FUZZ_SEED").unwrap_or_else(now);
    let limit = Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(20));
    eprintln!("FUZZ_SEED={seed}");
    with_stack(move || {
        let (mut random, start, mut count) = (Random::new(seed), Instant::now(), 0);
        let mut texts: Vec<String> = texts().into_iter().map(|(_, text)| text).collect();
        while start.elapsed() < limit {
            let text = mutate(random.pick::<String>(&texts), &texts, LONGEST, &mut random);
            put_through("random", &text);
            // Some grow further from where they came.
            if random.once_in(4) {
                let at = random.below(texts.len());
                texts[at] = text;
            }
            count += 1;
        }
        eprintln!("{count} texts");
    });
}
