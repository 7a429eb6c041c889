//! What a case may need of the machine, or, with `no_` before it, what the machine may not have; found without the code under test: if that misjudges the kernel, cases have
//! to fail, not to be skipped.

use std::collections::{BTreeMap, HashSet};
use std::ffi::CString;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A need, whether this machine has it, and what to say where it has not.
struct Need {
    met: bool,
    reason: &'static str,
}

pub struct Needs(BTreeMap<&'static str, Need>);

/// What is told by a function that only kernels built with the feature have.
const BY_SYMBOL: &[(&str, &str, &str)] = &[
    (
        "kprobe_multi",
        "kprobe_multi_link_handler",
        "this kernel has no kprobe_multi links (5.18, CONFIG_FPROBE)",
    ),
    ("uprobe_multi", "uprobe_multi_link_handler", "this kernel has no uprobe_multi links (6.6)"),
    ("kprobe_session", "bpf_session_is_return", "this kernel has no kprobe sessions (6.10)"),
    ("fsession", "bpf_jit_supports_fsession", "this kernel has no fsession (7.0)"),
    ("map_iteration", "bpf_for_each_map_elem", "this kernel cannot go through a map (5.13)"),
    ("percpu_lookup", "bpf_map_lookup_percpu_elem", "this kernel cannot add up a per-CPU map (5.18)"),
    ("loops", "bpf_loop", "this kernel has no bpf_loop (5.17)"),
    ("func_ip", "bpf_get_func_ip_tracing", "this kernel has no bpf_get_func_ip (5.15)"),
    ("iter_task_vma", "task_vma_seq_start", "this kernel has no iterator over mappings (5.12)"),
];

impl Needs {
    pub fn find() -> Needs {
        let root = is_root();
        let symbols = symbols(BY_SYMBOL.iter().map(|(_, symbol, _)| *symbol));
        let mut needs = BTreeMap::new();
        let mut add = |name, met, reason| {
            needs.insert(name, Need { met, reason });
        };
        add("root", root, "not root: run the tests as root or through sudo");
        add("x86_64", cfg!(target_arch = "x86_64"), "this is not an x86-64");
        add("btf", Path::new("/sys/kernel/btf/vmlinux").exists(), "this kernel has no BTF");
        let libraries = std::process::Command::new("ldconfig").arg("-p").output();
        let libclang = libraries.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("libclang"));
        add("libclang", libclang, "libclang is not installed (libclang1-19)");
        add("clang", clang().is_ok(), "clang is not installed (clang-19): imports of BPF C are not tested");
        add("long_keys", release() >= (5, 11), "this kernel has no keys of more than 512 bytes (5.11)");
        // Stable kernels before 6.6 may have them, too.
        let info = std::process::Command::new(env!("CARGO_BIN_EXE_bpftrace")).arg("--info").output();
        let far = info.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("far jumps: yes"));
        add("far_jumps", far, "this kernel has no jumps of more than 32,767 instructions (6.6)");
        let written = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/kernels.md"));
        let column = written.is_ok_and(|text| has_column(&text, release()));
        add(
            "kernels_column",
            column,
            "docs/kernels.md has no column for this kernel: `make kernels` writes it",
        );
        let kprobe = Path::new("/sys/bus/event_source/devices/kprobe/type").exists();
        add("kprobe", kprobe, "this kernel has no kprobes");
        let registers =
            cfg!(target_arch = "x86_64") || Path::new("/sys/bus/event_source/devices/breakpoint").exists();
        add("debug_registers", registers, "this machine has no debug registers");
        let pmu = Path::new("/sys/bus/event_source/devices/cpu").exists();
        add("no_pmu", !pmu, "this machine has hardware counters");
        let uprobe = Path::new("/sys/bus/event_source/devices/uprobe/type").exists();
        add("uprobe", uprobe, "this kernel has no uprobes");
        // BPF trampolines hang on function tracing, and so does this file.
        let tracefs = Tracefs::mount();
        let fentry = tracefs.as_ref().is_some_and(|fs| readable(&fs.file("available_filter_functions")));
        add("fentry", fentry, "this kernel has no fentry (function tracing is not built in, or locked)");
        for (name, symbol, reason) in BY_SYMBOL {
            add(*name, symbols.contains(symbol), *reason);
        }
        add("tracefs", tracefs.is_some(), "this kernel has no tracefs");
        let block = tracefs.as_ref().is_some_and(|fs| fs.file("events/block/block_rq_issue").exists());
        add("block", block, "this kernel has no block tracepoints");
        let messages = std::process::Command::new("dmesg").output();
        let locked = messages.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("is locked down"));
        add("unlocked", !locked, "this kernel is locked down");
        add("locked", locked, "this kernel is not locked down");
        let compiler = std::process::Command::new("cc").arg("--version").output();
        add("cc", compiler.is_ok(), "there is no C compiler (cc)");
        add(
            "headers",
            Path::new("/usr/include/linux/fs.h").exists(),
            "there are no kernel headers (linux-libc-dev)",
        );
        add("strace", in_path("strace"), "strace is not installed");
        add("python3", in_path("python3"), "python3 is not installed");
        add("tcpdump", in_path("tcpdump"), "tcpdump is not installed");
        add("dwp", in_path("dwp"), "dwp is not installed (binutils)");
        Needs(needs)
    }

    /// Why a case with these needs cannot run here.
    pub fn missing(&self, wanted: &[String]) -> Option<String> {
        // Without root nothing loads, whatever a case says of itself: `rootless` marks the ones that need not.
        let implied = if wanted.iter().any(|w| w == "rootless") { None } else { Some("root") };
        for name in implied.into_iter().chain(wanted.iter().map(String::as_str)) {
            if let Some((lacked, need)) = name.strip_prefix("no_").and_then(|n| Some((n, self.0.get(n)?))) {
                if need.met {
                    return Some(format!("this kernel has {lacked}"));
                }
                continue;
            }
            match self.0.get(name) {
                Some(need) if !need.met => return Some(need.reason.to_owned()),
                Some(_) => {}
                None if name == "rootless" => {}
                // Never skipped in silence: a word that means nothing fails the case in `check_required`'s way.
                None => panic!("a test needs \"{name}\", which the harness does not know"),
            }
        }
        None
    }

    /// `BPFTRACE_TEST_REQUIRE` (comma-separated) names what this machine must have, so that cases that exist for
    /// it cannot all be skipped unnoticed.
    pub fn check_required(&self) -> Result<(), String> {
        let required = std::env::var("BPFTRACE_TEST_REQUIRE").unwrap_or_default();
        for name in required.split(',').filter(|n| !n.is_empty()) {
            match self.0.get(name) {
                Some(need) if need.met => {}
                Some(need) => return Err(format!("BPFTRACE_TEST_REQUIRE has {name}, but {}", need.reason)),
                None => return Err(format!("BPFTRACE_TEST_REQUIRE has \"{name}\", which is no need")),
            }
        }
        Ok(())
    }
}

pub fn is_root() -> bool {
    // SAFETY: geteuid(2) has no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// The compiler of imports. Here the code under test is asked, since what it knows are names, not the kernel; cases run
/// without the `BPFTRACE_CLANG` of who tests.
pub fn clang() -> Result<PathBuf, String> {
    bpftrace::interop::find_clang(None, std::env::var_os("PATH").as_deref())
}

/// The kernel's tracefs, mounted nowhere else while this looks: the machine's mount table stays as it is, since
/// bpftrace has to find its way whether it is there or not.
struct Tracefs {
    at: tempfile::TempDir,
}

impl Tracefs {
    fn mount() -> Option<Tracefs> {
        let at = tempfile::tempdir().ok()?;
        let path = CString::new(at.path().as_os_str().as_bytes()).ok()?;
        let kind = c"tracefs".as_ptr();
        // SAFETY: all three texts are NUL-terminated and live until the call returns; no data is passed.
        let mounted = unsafe { libc::mount(kind, path.as_ptr(), kind, 0, std::ptr::null()) } == 0;
        mounted.then_some(Tracefs { at })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.at.path().join(name)
    }
}

impl Drop for Tracefs {
    fn drop(&mut self) {
        if let Ok(path) = CString::new(self.at.path().as_os_str().as_bytes()) {
            // SAFETY: the path is NUL-terminated.
            unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        }
    }
}

fn readable(path: &Path) -> bool {
    fs::File::open(path).and_then(|mut file| file.read(&mut [0])).is_ok_and(|read| read == 1)
}

fn symbols<'a>(wanted: impl Iterator<Item = &'a str>) -> HashSet<&'a str> {
    let wanted: HashSet<&str> = wanted.collect();
    let text = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let names = text.lines().filter_map(|line| line.split_whitespace().nth(2));
    names.filter_map(|name| wanted.get(name).copied()).collect()
}

/// The running kernel's series, such as (6, 12); (0, 0) if it cannot be read.
fn release() -> (u32, u32) {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = text.split('.').map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Whether the table of `docs/kernels.md` is about a series too.
fn has_column(document: &str, (major, minor): (u32, u32)) -> bool {
    let head = document.lines().find(|line| line.starts_with("| `--info` says |"));
    head.is_some_and(|head| head.split('|').any(|cell| cell.trim() == format!("{major}.{minor}")))
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
