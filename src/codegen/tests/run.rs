//! Compiles programs, and runs them where the kernel lets us: `BPF_PROG_TEST_RUN` of raw tracepoint programs.

use std::ffi::CStr;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use libbpf_rs::{AsRawLibbpf, MapCore, MapFlags, Object, ObjectBuilder, ProgramInput, RingBufferBuilder};

use super::build::Script;
use crate::codegen::{Options, compile};
use crate::diagnostics::Sources;
use crate::image::{self, Image, MapId};
use crate::kernel::{Feature, Kernel};

/// What the compiler is told that the kernel has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Has {
    /// All that the kernel under the test has.
    Everything,
    /// No more than 5.10.
    Nothing,
}

/// Whether the kernel has all of these; if not, says that a test is skipped.
pub(super) fn kernel_has(features: &[Feature]) -> bool {
    let missing = features.iter().find(|feature| !has(**feature));
    if let Some(feature) = missing {
        // Without privileges the kernel does not say what it has.
        let need = if is_root() { format!("{feature:?}").to_lowercase() } else { "root".to_owned() };
        crate::testing::skip(&need, format!("this kernel has no {feature:?}"));
    }
    missing.is_none()
}

fn is_root() -> bool {
    // SAFETY: only asks.
    unsafe { libc::geteuid() == 0 }
}

fn has(feature: Feature) -> bool {
    static KERNEL: LazyLock<Kernel> = LazyLock::new(Kernel::new);
    KERNEL.has(feature)
}

pub(super) fn image(script: &Script, has: Has) -> Image {
    image_with(script, has, false)
}

pub(super) fn image_with(script: &Script, has: Has, report_helper_errors: bool) -> Image {
    let has = |feature: Feature| has == Has::Everything && self::has(feature);
    let options = Options {
        config: &script.config,
        has: &has,
        cpus: cpus(),
        sources: &Sources::single("test.bt", "BEGIN { }\n"),
        own_pids: false,
        report_helper_errors,
        verify: true,
        dump: None,
    };
    compile(&script.program, options).unwrap()
}

pub(super) fn cpus() -> u32 {
    libbpf_rs::num_possible_cpus().map_or(1, |n| n as u32)
}

/// A program in the kernel.
pub(super) struct Loaded {
    object: Object,
    pub(super) image: Image,
    records: std::sync::Arc<Mutex<Vec<Vec<u8>>>>,
}

/// Loads a script, or says why not: without privileges, nothing is tested.
pub(super) fn load(script: &Script, has: Has) -> Option<Loaded> {
    let image = image(script, has);
    load_image(image)
}

pub(super) fn load_image(image: Image) -> Option<Loaded> {
    if !is_root() {
        crate::testing::skip("root", "loading BPF programs needs root");
        return None;
    }
    libbpf_rs::set_print(None);
    let mut open = ObjectBuilder::default().open_memory(&image.elf).unwrap();
    for mut map in open.maps_mut() {
        if map.name() == image::RING_BUFFER {
            map.set_max_entries(1 << 22).unwrap();
        }
    }
    let mut log = vec![0u8; 1 << 24];
    for program in open.progs_mut() {
        let raw = program.as_libbpf_object().as_ptr();
        // SAFETY: the program is open, and the buffer lives until after it is loaded.
        unsafe { libbpf_sys::bpf_program__set_log_buf(raw, log.as_mut_ptr().cast(), log.len() as u64) };
    }
    let object = match open.load() {
        Ok(object) => object,
        Err(error) => {
            let log = CStr::from_bytes_until_nul(&log).unwrap().to_string_lossy();
            let lines: Vec<&str> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(60)..];
            panic!("the kernel refuses the program: {error}\n{}", end.join("\n"));
        }
    };
    Some(Loaded { object, image, records: Default::default() })
}

impl Loaded {
    fn map(&self, name: &str) -> libbpf_rs::Map<'_> {
        self.object.maps().find(|m| m.name() == name).unwrap_or_else(|| panic!("no map {name}"))
    }

    /// Runs the first program with these words as its context; the result is what it returns.
    pub(super) fn run(&self, words: &[u64]) -> u64 {
        self.run_program("probe_0", words)
    }

    pub(super) fn run_program(&self, name: &str, words: &[u64]) -> u64 {
        let mut context: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        context.resize(12 * 8, 0);
        let program = self.object.progs_mut().find(|p| p.name() == name).unwrap();
        let input = ProgramInput { context_in: Some(&mut context), ..ProgramInput::default() };
        u64::from(program.test_run(input).unwrap().return_value)
    }

    /// The bytes of a script's map at a key, summed as words over the CPUs where it is per CPU.
    pub(super) fn get(&self, id: MapId, key: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = self.slot(id, key)?;
        if let Some(flag) = self.written_flag(id) {
            bytes.truncate(flag);
        }
        Some(bytes)
    }

    /// Whether a map without keys says that it was written.
    pub(super) fn written(&self, id: MapId) -> bool {
        let flag = self.written_flag(id).unwrap();
        self.slot(id, &[0; 4]).unwrap()[flag..].iter().any(|b| *b != 0)
    }

    fn written_flag(&self, id: MapId) -> Option<usize> {
        let manifest = &self.image.manifest;
        manifest.maps[id.0 as usize].written_flag(&manifest.layouts).map(|flag| flag as usize)
    }

    fn slot(&self, id: MapId, key: &[u8]) -> Option<Vec<u8>> {
        let definition = &self.image.manifest.maps[id.0 as usize];
        let map = self.map(&definition.symbol);
        if !definition.kind.per_cpu() {
            return map.lookup(key, MapFlags::ANY).unwrap();
        }
        let values = map.lookup_percpu(key, MapFlags::ANY).unwrap()?;
        let mut sum = vec![0u64; values[0].len() / 8];
        for value in &values {
            for (sum, word) in sum.iter_mut().zip(value.chunks_exact(8)) {
                *sum = sum.wrapping_add(u64::from_ne_bytes(word.try_into().unwrap()));
            }
        }
        Some(sum.iter().flat_map(|w| w.to_ne_bytes()).collect())
    }

    pub(super) fn number(&self, id: MapId, key: u64) -> Option<i64> {
        Some(i64::from_ne_bytes(self.get(id, &key.to_ne_bytes())?.try_into().unwrap()))
    }

    /// The words of a map without keys.
    pub(super) fn words(&self, id: MapId) -> Vec<u64> {
        let bytes = self.get(id, &[0; 4]).unwrap();
        bytes.chunks_exact(8).map(|w| u64::from_ne_bytes(w.try_into().unwrap())).collect()
    }

    pub(super) fn keys(&self, id: MapId) -> Vec<Vec<u8>> {
        let definition = &self.image.manifest.maps[id.0 as usize];
        self.map(&definition.symbol).keys().collect()
    }

    pub(super) fn counter(&self, n: u32) -> u64 {
        let value = self.map(image::COUNTERS).lookup(&n.to_ne_bytes(), MapFlags::ANY).unwrap().unwrap();
        u64::from_ne_bytes(value.try_into().unwrap())
    }

    /// A value of one of the compiler's own maps.
    pub(super) fn named(&self, name: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.map(name).lookup(key, MapFlags::ANY).unwrap()
    }

    /// Writes a value of one of the compiler's own maps.
    pub(super) fn put(&self, name: &str, key: &[u8], value: &[u8]) {
        self.map(name).update(key, value, MapFlags::ANY).unwrap();
    }

    /// The records sent since the last call.
    pub(super) fn records(&self) -> Vec<Vec<u8>> {
        let map = self.map(image::RING_BUFFER);
        let mut builder = RingBufferBuilder::new();
        let records = self.records.clone();
        builder
            .add(&map, move |bytes: &[u8]| {
                records.lock().unwrap_or_else(PoisonError::into_inner).push(bytes.to_vec());
                0
            })
            .unwrap();
        let ring = builder.build().unwrap();
        ring.poll(Duration::ZERO).unwrap();
        std::mem::take(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The program's optimised LLVM text.
pub(super) fn text(script: &Script) -> String {
    text_of(script, &Sources::single("test.bt", ""))
}

pub(super) fn text_of(script: &Script, sources: &Sources) -> String {
    let mut found = String::new();
    let mut dump = |stage, text: &str| {
        if stage == crate::codegen::Stage::Optimised {
            found = text.to_owned();
        }
    };
    let options = Options {
        config: &script.config,
        has: &|_| true,
        cpus: 1,
        sources,
        own_pids: false,
        report_helper_errors: false,
        verify: true,
        dump: Some(&mut dump),
    };
    compile(&script.program, options).unwrap();
    found
}
