//! `--info`: what this program was built with and what this kernel can do, in the layout that wrappers and test
//! engines search for lines such as `uprobe_multi: yes`.

use std::ffi::CStr;
use std::fmt::Write;

use super::{Feature, Kernel, Lockdown, features};

/// What the build knows about itself.
#[derive(Clone, Debug)]
pub struct Build<'a> {
    /// `v0.26.0`
    pub version: &'a str,
    /// `19.1.7`
    pub llvm: &'a str,
    /// Whether arguments of user functions are read from DWARF.
    pub dwarf: bool,
    /// Whether the service manager is told when probes are attached.
    pub systemd: bool,
}

/// The whole report. `btf` is why the kernel's types cannot be read, where they cannot.
pub fn report(kernel: &Kernel, build: &Build<'_>, btf: Option<&str>) -> String {
    let [system, release, version, machine] = uname();
    let limit = features::instruction_limit().map_or("unknown".to_owned(), |limit| limit.to_string());
    let module_btf = std::fs::read_dir("/sys/kernel/btf")
        .is_ok_and(|entries| entries.flatten().any(|entry| entry.file_name() != "vmlinux"));
    let has = |feature| yes(kernel.has(feature));
    let mut text = String::new();
    section(&mut text, "System");
    line(&mut text, "OS", &format!("{system} {release} {version}"));
    line(&mut text, "Arch", &machine);
    section(&mut text, "Build");
    line(&mut text, "version", build.version);
    line(&mut text, "LLVM", build.llvm);
    // A disassembler for what the kernel's JIT makes: `-d` shows BPF instead.
    line(&mut text, "bfd", yes(false));
    line(&mut text, "libdw (DWARF support)", yes(build.dwarf));
    line(&mut text, "libsystemd (systemd notify support)", yes(build.systemd));
    line(&mut text, "blazesym (advanced symbolization)", yes(true));
    line(&mut text, "dwunwind (DWARF stack unwinding)", yes(false));
    section(&mut text, "Kernel helpers");
    let helpers = [
        ("dpath", has(Feature::DPath)),
        ("get_tai_ns", has(Feature::Tai)),
        ("get_func_ip", has(Feature::FuncIp)),
        ("lookup_percpu_elem", has(Feature::LookupPerCpu)),
        ("loop", has(Feature::Loop)),
        ("for_each_map_elem", has(Feature::ForEachMap)),
        ("get_attach_cookie", has(Feature::Cookie)),
    ];
    columns(&mut text, &helpers);
    section(&mut text, "Kernel features");
    let features = [
        ("Instruction limit", limit.as_str()),
        ("btf", yes(btf.is_none())),
        ("module btf", yes(module_btf)),
        ("fetching atomics", has(Feature::AtomicFetch)),
        ("far jumps", has(Feature::FarJump)),
        ("long map keys", yes(kernel.max_key().is_none())),
        ("missed hits counted", features::counts_misses().map_or("unknown", yes)),
    ];
    columns(&mut text, &features);
    section(&mut text, "Probe types");
    let probes = [
        ("kprobe_multi", has(Feature::KprobeMulti)),
        ("uprobe_multi", has(Feature::UprobeMulti)),
        ("kprobe_session", has(Feature::KprobeSession)),
        ("iter", has(Feature::Iter)),
        ("fentry", has(Feature::Fentry)),
        ("uprobe_session", has(Feature::UprobeSession)),
        ("fsession", has(Feature::Fsession)),
        ("kprobe", yes(kernel.has_kprobes())),
    ];
    columns(&mut text, &probes);
    access(&mut text, kernel, btf);
    text
}

/// What stands between this process and tracing.
fn access(text: &mut String, kernel: &Kernel, btf: Option<&str>) {
    section(text, "Access");
    let missing = kernel.capabilities().missing_for_tracing(kernel.version());
    let missing: Vec<String> = missing.iter().map(|capability| capability.to_string()).collect();
    let capabilities = match missing.as_slice() {
        [] => "all that tracing needs".to_owned(),
        missing => {
            format!("{} missing (features above are judged by the kernel's version)", missing.join(" and "))
        }
    };
    line(text, "capabilities", &capabilities);
    let lockdown = match kernel.lockdown() {
        Lockdown::Off => "off",
        Lockdown::Integrity => "integrity",
        Lockdown::Confidentiality => "confidentiality (kernel memory cannot be read)",
        Lockdown::Unknown => "unknown",
    };
    line(text, "lockdown", lockdown);
    let tracefs = match kernel.tracefs() {
        Ok(tracefs) if tracefs.is_private() => "not mounted, read through a mount of our own".to_owned(),
        Ok(_) => "mounted".to_owned(),
        Err(e) => format!("{e}; {}", e.help()),
    };
    line(text, "tracefs", &tracefs);
    if let Some(problem) = btf {
        line(text, "types", problem);
    }
}

fn yes(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn section(text: &mut String, title: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(title);
    text.push('\n');
}

// Writing to a string cannot fail.

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name}: {value}");
}

/// Two entries a line.
fn columns(text: &mut String, entries: &[(&str, &str)]) {
    for pair in entries.chunks(2) {
        let cells: Vec<String> = pair.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let _ = match cells.as_slice() {
            [left, right] => writeln!(text, "  {left:<33}{right}"),
            rest => writeln!(text, "  {}", rest.concat()),
        };
    }
}

/// The system's name, release, version and machine.
fn uname() -> [String; 4] {
    let mut names = std::mem::MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: uname fills the struct with strings that end with NUL; before it, they are all zero, which is "" each.
    let names = unsafe {
        libc::uname(names.as_mut_ptr());
        names.assume_init()
    };
    [&names.sysname, &names.release, &names.version, &names.machine].map(|name| {
        // SAFETY: as above.
        unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_tells_what_the_kernel_has() {
        let kernel = Kernel::new();
        kernel.deny(Feature::UprobeMulti);
        let build = Build { version: "v0.26.0", llvm: "19.1.7", dwarf: false, systemd: false };
        let text = report(&kernel, &build, Some("no BTF at all"));
        assert!(text.starts_with("System\n  OS: Linux "), "{text}");
        assert!(text.contains("\nBuild\n  version: v0.26.0\n  LLVM: 19.1.7\n  bfd: no\n"), "{text}");
        assert!(text.contains("libdw (DWARF support): no"));
        assert!(text.contains("uprobe_multi: no\n") && text.contains("btf: no\n"), "{text}");
        assert!(text.contains("  types: no BTF at all\n"));
        let loops = if kernel.has(Feature::Loop) { "loop: yes" } else { "loop: no" };
        assert!(text.contains(loops));
        let known = report(&kernel, &build, None);
        assert!(known.contains("btf: yes") && !known.contains("types:"));
        eprintln!("{known}");
    }

    #[test]
    fn columns_stand_below_each_other() {
        let mut text = String::new();
        columns(&mut text, &[("a", "yes"), ("b", "no"), ("c", "yes")]);
        assert_eq!(text, format!("  a: yes{}b: no\n  c: yes\n", " ".repeat(27)));
    }
}
