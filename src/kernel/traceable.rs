//! The functions that probes can be put on.
//!
//! The kernel's own list is `available_filter_functions` in tracefs: what ftrace can patch. Where that cannot be read
//! (no privilege, no ftrace, a kernel that refuses), the code symbols of `/proc/kallsyms` come near it once what cannot
//! be traced is taken away.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader};

use super::{Kernel, kallsyms};

/// A function as the kernel lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function<'a> {
    pub name: &'a str,
    pub module: Option<&'a str>,
}

impl Kernel {
    /// Calls `each` with every function that can be traced until it returns false. A name comes as often as there
    /// are functions of that name. Reading the list takes the kernel some 10 to 30 ms.
    pub fn traceable(&self, mut each: impl FnMut(Function<'_>) -> bool) -> io::Result<()> {
        if let Some(path) = &self.traceable {
            let file = std::fs::File::open(path);
            let file = file.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
            return filter_functions(BufReader::new(file), &mut each);
        }
        let mut began = false;
        let listed = self.tracefs().ok().map(|tracefs| {
            let file = BufReader::with_capacity(1 << 16, tracefs.file("available_filter_functions")?);
            filter_functions(file, &mut |function| {
                began = true;
                each(function)
            })
        });
        match listed {
            Some(Ok(())) if began => return Ok(()),
            // What has been listed already must not come twice.
            Some(Err(e)) if began => return Err(e),
            _ => {}
        }
        let mut symbols = Traceable { blacklist: blacklist(), ..Traceable::default() };
        kallsyms::stream(|symbol| {
            let Some(function) = symbols.function(symbol) else { return true };
            each(function)
        })
    }

    /// Whether there is such a function to trace, in a module where one is given. Reads the list up to there.
    pub fn is_traceable(&self, name: &str, module: Option<&str>) -> bool {
        let mut found = false;
        let read = self.traceable(|function| {
            found = function.name == name
                && match (module, function.module) {
                    (None, _) | (Some("vmlinux"), None) => true,
                    (wanted, own) => wanted == own,
                };
            !found
        });
        read.is_ok() && found
    }
}

/// Lines such as `vfs_read` and `kvm_vcpu_kick [kvm]`.
fn filter_functions(mut input: impl BufRead, each: &mut dyn FnMut(Function<'_>) -> bool) -> io::Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_ascii_whitespace();
        // Weak functions that were overridden keep their place without a name.
        let Some(name) = words.next().filter(|n| !n.starts_with("__ftrace_invalid_address")) else {
            continue;
        };
        let module = words.next().and_then(|m| m.strip_prefix('[')?.strip_suffix(']'));
        if !each(Function { name, module }) {
            return Ok(());
        }
    }
}

/// Parts of the kernel's code that no probe may enter, or that is gone after boot, by the symbols around them.
const CLOSED: [(&str, &str); 4] = [
    ("__entry_text_start", "__entry_text_end"),
    ("__noinstr_text_start", "__noinstr_text_end"),
    ("__kprobes_text_start", "__kprobes_text_end"),
    ("_sinittext", "_einittext"),
];

/// Which symbols, in the order of their addresses, are functions that can be traced.
#[derive(Default)]
struct Traceable {
    blacklist: HashSet<String>,
    /// The end of the closed part that we are in.
    closed_until: Option<&'static str>,
    /// Ends that came before their start: of parts that are empty, since symbols of one address have no order.
    ended: Vec<&'static str>,
}

impl Traceable {
    fn function<'a>(&mut self, symbol: kallsyms::Symbol<'a>) -> Option<Function<'a>> {
        for (start, end) in CLOSED {
            if symbol.name == start && !self.ended.contains(&end) {
                self.closed_until = Some(end);
            } else if symbol.name == end {
                self.ended.push(end);
                if self.closed_until == Some(end) {
                    self.closed_until = None;
                }
            }
        }
        // Modules come after the kernel, and their names are not sorted among its parts.
        let open = self.closed_until.is_none() || symbol.module.is_some();
        // Programs and trampolines have symbols of pretended modules.
        let made = symbol.module.is_some_and(|m| m == "bpf" || m.starts_with("__builtin__"));
        let function = symbol.is_code() && open && !made && is_function(symbol.name);
        (function && !self.blacklist.contains(symbol.name))
            .then_some(Function { name: symbol.name, module: symbol.module })
    }
}

/// Whether a code symbol is the start of a function that can be traced, as far as its name tells.
fn is_function(name: &str) -> bool {
    const PREFIXES: [&str; 9] = [
        // Padding and hashes before functions; static calls; what speculation is fenced with.
        "__pfx_",
        "__cfi_",
        "__SCT__",
        "__SCK__",
        "__x86_indirect_",
        "__x86_return_",
        "srso_",
        "retbleed_",
        "__initcall_",
    ];
    let marker = name.ends_with("_text_start") || name.ends_with("_text_end");
    let part = name.contains(".cold") || name.starts_with(['.', '$']);
    let edge = matches!(name, "_text" | "_stext" | "_etext" | "_sinittext" | "_einittext");
    !marker && !part && !edge && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The functions that kprobes refuse: lines such as `0xffffffff81000010-0xffffffff81001a87    asm_exc_page_fault`. Empty
/// where debugfs is not mounted or not ours to read.
fn blacklist() -> HashSet<String> {
    let text = std::fs::read_to_string("/sys/kernel/debug/kprobes/blacklist").unwrap_or_default();
    text.lines().filter_map(|line| line.split_ascii_whitespace().nth(1)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernels_own_list() {
        let text = "vfs_read\n__ftrace_invalid_address___64\nkick [kvm]\n\nlast\t[a_b]\n";
        let mut seen = vec![];
        filter_functions(text.as_bytes(), &mut |f| {
            seen.push((f.name.to_owned(), f.module.map(str::to_owned)));
            true
        })
        .unwrap();
        let some = |m: &str| Some(m.to_owned());
        assert_eq!(
            seen,
            [("vfs_read".into(), None), ("kick".into(), some("kvm")), ("last".into(), some("a_b"))]
        );
    }

    #[test]
    fn symbols_that_no_probe_may_be_put_on() {
        let mut traceable =
            Traceable { blacklist: HashSet::from(["banned".to_owned()]), ..Traceable::default() };
        let mut names = vec![];
        for (kind, name, module) in [
            (b'T', "_text", None),
            (b'T', "__entry_text_start", None),
            (b'T', "entry_SYSCALL_64", None),
            (b'T', "__entry_text_end", None),
            // An empty part, its symbols in the wrong order.
            (b'T', "__noinstr_text_end", None),
            (b'T', "__noinstr_text_start", None),
            (b't', "__pfx_vfs_read", None),
            (b'T', "vfs_read", None),
            (b't', "vfs_read.cold", None),
            (b't', "helper.isra.0", None),
            (b'D', "jiffies", None),
            (b'T', "banned", None),
            (b'T', "_sinittext", None),
            (b'T', "start_kernel", None),
            (b't', "of_a_module", Some("kvm")),
            (b't', "bpf_prog_1", Some("bpf")),
        ] {
            let symbol = kallsyms::Symbol { address: 0, kind, name, module };
            names.extend(traceable.function(symbol).map(|f| (f.name, f.module)));
        }
        assert_eq!(names, [("vfs_read", None), ("helper.isra.0", None), ("of_a_module", Some("kvm"))]);
    }

    #[test]
    fn functions_of_this_kernel() {
        let kernel = Kernel::new();
        if kernel.traceable(|_| true).is_err() {
            return crate::testing::skip(
                "root",
                "neither ftrace's list of functions nor kallsyms can be read",
            );
        }
        assert!(kernel.is_traceable("vfs_read", None));
        assert!(kernel.is_traceable("vfs_read", Some("vmlinux")));
        assert!(!kernel.is_traceable("vfs_read", Some("no_such_module")));
        assert!(!kernel.is_traceable("no_such_function", None));
        assert!(!kernel.is_traceable("vfs_read.cold", None));
    }
}
