//! Real processes: our own, and children of compiled programs.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::*;

fn symbols(set: impl FnOnce(&mut Config)) -> Symbols {
    let mut config = Config::default();
    set(&mut config);
    Symbols::new(&config, &[])
}

#[inline(never)]
fn a_function_to_find() -> u64 {
    std::hint::black_box(17)
}

#[test]
fn own_functions_and_libraries() {
    let mut symbols = symbols(|_| ());
    let pid = std::process::id();
    let own = a_function_to_find as fn() -> u64 as usize as u64;
    let symbol = symbols.user(pid, own + 1).unwrap();
    assert!(symbol.name.contains("a_function_to_find"), "{symbol:?}");
    assert_eq!(symbol.offset, 1);
    assert!(symbol.module.as_ref().unwrap().contains("/deps/bpftrace-"), "{symbol:?}");
    let libc = libc::getpid as unsafe extern "C" fn() -> i32 as usize as u64;
    let symbol = symbols.user(pid, libc).unwrap();
    assert!(symbol.name.contains("getpid") && symbol.module.as_ref().unwrap().contains("libc"), "{symbol:?}");
    assert_eq!(symbols.user(pid, 1), None);
    let (id, offset) = symbols.build_id(pid, libc).unwrap();
    assert!(id.len() >= 8 && offset > 0);
    assert_eq!(symbols.frame(pid, 1), &Frame::default());
    assert_eq!(symbols.user(u32::MAX, own), None);
}

/// A program that says where its functions are and then waits for a line.
const PROGRAM: &str = "
#include <stdio.h>
__attribute__((noinline)) int traced(int n) { printf(\"%p\\n\", (void *)traced); return n; }
int main(void) { int n = traced(1); fflush(stdout); return getchar() + n - n; }
";

/// `None` where there is no compiler; one that fails is a failure.
fn compile(dir: &Path, flags: &[&str]) -> Option<PathBuf> {
    compile_source(dir, PROGRAM, flags)
}

fn compile_source(dir: &Path, text: &str, flags: &[&str]) -> Option<PathBuf> {
    let (source, program) = (dir.join("program.c"), dir.join("program"));
    fs::write(&source, text).unwrap();
    match Command::new("cc").args(flags).arg("-o").arg(&program).arg(&source).output() {
        Ok(output) if output.status.success() => Some(program),
        Ok(output) => panic!("cc {flags:?}: {}", String::from_utf8_lossy(&output.stderr)),
        Err(e) => {
            crate::testing::skip("cc", format!("no C compiler: cc: {e}"));
            None
        }
    }
}

/// The running program and the address of `traced` in it.
fn start(program: &Path) -> (Child, u64) {
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = u64::from_str_radix(line.trim().trim_start_matches("0x"), 16).unwrap();
    (child, address)
}

fn stop(mut child: Child) {
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    child.wait().unwrap();
}

#[test]
fn a_process_is_named_after_it_is_gone_if_it_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let Some(program) = compile(dir.path(), &["-pie", "-fPIE"]) else { return };
    let (child, address) = start(&program);
    let pid = child.id();
    let mut kept = symbols(|_| ());
    kept.keep(pid);
    fs::remove_file(&program).unwrap();
    stop(child);
    let symbol = kept.user(pid, address).unwrap();
    assert_eq!((symbol.name.as_str(), symbol.offset), ("traced", 0));
    assert_eq!(symbol.module.as_deref(), program.to_str());
    assert_eq!(symbols(|_| ()).user(pid, address), None, "without its mappings an address says nothing");
}

#[test]
fn source_lines_if_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let Some(program) = compile(dir.path(), &["-g", "-O1"]) else { return };
    let (child, address) = start(&program);
    let mut with = symbols(|_| ());
    let frame = with.frame(child.id(), address);
    let symbol = frame.symbol.clone().unwrap();
    assert_eq!(symbol.name, "traced");
    let source = symbol.source.unwrap();
    assert!(source.ends_with("program.c:3") && source.starts_with('/'), "{source}");
    let mut without = symbols(|config| config.show_debug_info = false);
    assert_eq!(without.frame(child.id(), address).symbol.as_ref().unwrap().source, None);
    stop(child);
}

/// Runs a tool on the program's directory; whether it is there.
fn tool(dir: &Path, name: &str, args: &[&str]) -> bool {
    match Command::new(name).args(args).current_dir(dir).output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => panic!("{name} {args:?}: {}", String::from_utf8_lossy(&output.stderr)),
        Err(e) => {
            crate::testing::skip(name, e.to_string());
            false
        }
    }
}

#[test]
fn a_stripped_program_has_what_was_taken_out_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(program) = compile(dir.path(), &["-g", "-O1", "-Wl,--build-id=0xabcdef0123456789"]) else {
        return;
    };
    let taken = dir.path().join("ids/.build-id/ab");
    fs::create_dir_all(&taken).unwrap();
    let file = taken.join("cdef0123456789.debug");
    if !tool(dir.path(), "objcopy", &["--only-keep-debug", "program", file.to_str().unwrap()])
        || !tool(dir.path(), "strip", &["program"])
    {
        return;
    }
    let (child, address) = start(&program);
    let mut with = Symbols::new(&Config::default(), &[dir.path().join("ids")]);
    assert_eq!(with.user(child.id(), address + 1).unwrap().name, "traced");
    let symbol = with.frame(child.id(), address + 1).symbol.clone().unwrap();
    assert_eq!((symbol.name.as_str(), symbol.offset), ("traced", 1));
    assert!(symbol.source.unwrap().ends_with("program.c:3"));
    assert_eq!(symbol.module.as_deref(), program.to_str());
    assert_eq!(symbols(|_| ()).frame(child.id(), address).symbol, None);
    stop(child);
}

#[test]
fn inlined_functions_are_frames_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let source = PROGRAM.replace(
        "int main",
        "static inline __attribute__((always_inline)) int in(int n) { return traced(n); } int main",
    );
    let source =
        source.replace("traced(1)", "in(1)").replace("(void *)traced", "__builtin_return_address(0)");
    let Some(program) = compile_source(dir.path(), &source, &["-g", "-O1"]) else { return };
    let (child, address) = start(&program);
    let mut all = symbols(|_| ());
    // Where it returns to may be behind the call's last line.
    let frame = all.frame(child.id(), address - 1);
    let inlined: Vec<&str> = frame.inlined.iter().map(|f| f.name.as_str()).collect();
    assert_eq!((inlined, frame.symbol.as_ref().unwrap().name.as_str()), (vec!["in"], "main"));
    stop(child);
}

#[test]
fn names_of_stripped_programs_are_not_made_up() {
    let dir = tempfile::tempdir().unwrap();
    let Some(program) = compile(dir.path(), &["-s"]) else { return };
    let (child, address) = start(&program);
    assert_eq!(symbols(|_| ()).frame(child.id(), address).symbol, None);
    stop(child);
}

#[test]
fn rust_names_are_demangled_or_not() {
    let pid = std::process::id();
    let own = a_function_to_find as fn() -> u64 as usize as u64;
    let plain = symbols(|_| ()).user(pid, own).unwrap().name.clone();
    assert!(plain.contains("::a_function_to_find"), "{plain}");
    let mangled = symbols(|c| c.cpp_demangle = false).user(pid, own).unwrap().name.clone();
    assert!(mangled.starts_with("_R") || mangled.starts_with("_ZN"), "{mangled}");
}

/// What the parts cost: `cargo test --release --lib symbols::tests::cost -- --ignored --nocapture`.
#[test]
#[ignore = "a benchmark"]
fn cost_of_first_and_later_questions() {
    let resident = || {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
    };
    let mut all = symbols(|_| ());
    let pid = std::process::id();
    let own = a_function_to_find as fn() -> u64 as usize as u64;
    let libc = libc::getpid as unsafe extern "C" fn() -> i32 as usize as u64;
    let mut step = |what: &str, run: &mut dyn FnMut(&mut Symbols)| {
        let (start, before) = (std::time::Instant::now(), resident());
        run(&mut all);
        println!("{what}: {:?}, {} KiB", start.elapsed(), resident().saturating_sub(before));
    };
    step("first kernel symbol", &mut |s| _ = s.kernel(0xffff_ffff_8100_1000));
    step("second kernel symbol", &mut |s| _ = s.kernel(0xffff_ffff_8100_2000));
    step("libc, tables", &mut |s| assert!(s.user(pid, libc).is_some()));
    step("libc, debug info", &mut |s| assert!(s.frame(pid, libc).symbol.is_some()));
    step("libc, again", &mut |s| assert!(s.frame(pid, libc + 1).symbol.is_some()));
    step("libc, cached", &mut |s| assert!(s.frame(pid, libc + 1).symbol.is_some()));
    step("this program, tables", &mut |s| assert!(s.user(pid, own).is_some()));
    step("this program, debug info", &mut |s| assert!(s.frame(pid, own).symbol.is_some()));
}
