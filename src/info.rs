//! `--info`: what the kernel and this build support, in the layout that the reference's test engine reads.

use std::fmt::Write as _;
use std::fs;

use crate::cli::VERSION;
use crate::kernel::{Feature, Kernel};

/// The whole text.
pub fn report(kernel: &Kernel) -> String {
    let mut text = String::new();
    let of = |name: &str| {
        fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default().trim().to_owned()
    };
    let has = |feature| yes(kernel.has(feature));
    section(
        &mut text,
        "System",
        &[
            ("OS", format!("{} {} {}", of("ostype"), of("osrelease"), of("version"))),
            ("Arch", std::env::consts::ARCH.to_owned()),
        ],
    );
    section(
        &mut text,
        "Build",
        &[
            ("version", VERSION.trim_start_matches("bpftrace ").to_owned()),
            ("LLVM", llvm_version()),
            ("bfd", yes(false)),
            // Functions and their sources are read from DWARF by blazesym; types are not yet.
            ("libdw (DWARF support)", yes(false)),
            ("libsystemd (systemd notify support)", yes(false)),
            ("blazesym (advanced symbolization)", yes(true)),
            ("dwunwind (DWARF stack unwinding)", yes(false)),
        ],
    );
    table(
        &mut text,
        "Kernel helpers",
        &[
            ("dpath", has(Feature::DPath)),
            ("get_tai_ns", has(Feature::Tai)),
            ("get_func_ip", has(Feature::FuncIp)),
            ("lookup_percpu_elem", has(Feature::LookupPerCpu)),
            ("loop", has(Feature::Loop)),
        ],
    );
    let modules = fs::read_dir("/sys/kernel/btf").map_or(0, |dir| dir.flatten().count());
    table(
        &mut text,
        "Kernel features",
        &[
            // Since 5.2, for who has CAP_BPF; the kernels before are not supported.
            ("Instruction limit", "1000000".to_owned()),
            ("btf", yes(fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(false))),
            ("module btf", yes(modules > 1)),
        ],
    );
    table(
        &mut text,
        "Probe types",
        &[
            ("kprobe_multi", has(Feature::KprobeMulti)),
            ("uprobe_multi", has(Feature::UprobeMulti)),
            ("kprobe_session", has(Feature::KprobeSession)),
            ("iter", has(Feature::Iter)),
        ],
    );
    text
}

fn yes(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

fn section(text: &mut String, title: &str, lines: &[(&str, String)]) {
    if !text.is_empty() {
        text.push('\n');
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{title}");
    for (name, value) in lines {
        let _ = writeln!(text, "  {name}: {value}");
    }
}

/// Two in a line.
fn table(text: &mut String, title: &str, cells: &[(&str, String)]) {
    const WIDTH: usize = 33;
    let lines: Vec<String> = cells
        .chunks(2)
        .map(|pair| {
            let mut pair = pair.iter().map(|(name, value)| format!("{name}: {value}"));
            let (left, right) = (pair.next().unwrap_or_default(), pair.next().unwrap_or_default());
            format!("{left:WIDTH$}{right}").trim_end().to_owned()
        })
        .collect();
    let _ = writeln!(text, "\n{title}");
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
}

fn llvm_version() -> String {
    let (major, minor, patch) = inkwell::support::get_llvm_version();
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_report_has_the_lines_that_others_look_for() {
        let text = super::report(&crate::kernel::Kernel::new());
        for line in ["System", "Build", "  LLVM: 19.", "\n\nKernel helpers\n", "  loop: ", "iter: "] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        let version = text.lines().find(|l| l.starts_with("  version: ")).unwrap();
        assert!(version.starts_with("  version: v0."), "{version}");
    }
}
