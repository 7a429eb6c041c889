//! What the binary that ships is made of: what it links, how large it is, how fast it starts.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::{Dyn, FileHeader};
use object::{Endianness, StringTable};

const BINARY: &str = env!("CARGO_BIN_EXE_bpftrace");

/// The shared libraries that it asks the dynamic linker for.
fn needed(binary: &Path) -> Vec<String> {
    let data = std::fs::read(binary).unwrap();
    let data = data.as_slice();
    let header = FileHeader64::<Endianness>::parse(data).unwrap();
    let endian = header.endian().unwrap();
    let sections = header.sections(endian, data).unwrap();
    let (entries, strings) = sections.dynamic(endian, data).unwrap().expect("a dynamic section");
    let strings: StringTable = sections.strings(endian, data, strings).unwrap();
    entries
        .iter()
        .filter(|entry| entry.tag(endian) == DT_NEEDED)
        .map(|entry| String::from_utf8_lossy(entry.string(endian, strings).unwrap()).into_owned())
        .collect()
}

#[test]
#[cfg_attr(not(feature = "llvm-static"), ignore = "built to link shared libraries")]
fn only_the_c_runtime_is_shared() {
    let allowed =
        ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"];
    let extra: Vec<String> =
        needed(Path::new(BINARY)).into_iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(extra.is_empty(), "it needs {extra:?}");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "only a release build is stripped")]
fn it_is_smaller_than_45_megabytes() {
    let size = std::fs::metadata(BINARY).unwrap().len();
    assert!(size < 45_000_000, "it has {size} bytes");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "only a release build is fast")]
fn it_starts_in_less_than_5_milliseconds() {
    // The fastest of many: others use the machine too.
    let start = || {
        let before = Instant::now();
        let output = Command::new(BINARY).arg("--version").output().unwrap();
        let took = before.elapsed();
        assert!(output.status.success());
        took
    };
    let fastest = (0..50).map(|_| start()).min().unwrap();
    assert!(fastest < Duration::from_millis(5), "--version took {fastest:?} at best");
}
