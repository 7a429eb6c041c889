//! `#include`: which headers a script asks for, and where they are.
//!
//! A header of the kernel need not be there when the kernel describes its types (BTF), and those of C whose names the
//! language knows need not be either.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::diagnostics::{Diagnostic, Span};
use crate::syntax::ast::{Definition, DefinitionKind};

/// Where C headers are looked for, and which are asked for outside of the script.
#[derive(Clone, Debug, Default)]
pub struct Includes {
    /// `-I`, then `CPATH`, then `C_INCLUDE_PATH`.
    pub directories: Vec<PathBuf>,
    /// `--include`
    pub files: Vec<PathBuf>,
    /// `BPFTRACE_KERNEL_SOURCE` and `BPFTRACE_KERNEL_BUILD`, else those of the running kernel's release.
    pub kernel_source: Option<PathBuf>,
    pub kernel_build: Option<PathBuf>,
    /// The script's own directory.
    pub script: PathBuf,
    /// `LIBCLANG_PATH`
    pub libclang: Option<OsString>,
    /// `BPFTRACE_CLANG`: the compiler of what is imported.
    pub clang: Option<OsString>,
}

/// A header that a script asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// As C has it: `<linux/fs.h>`, `"mine.h"`.
    pub spelled: String,
    /// Absent where it is nowhere.
    pub path: Option<PathBuf>,
    pub whose: Whose,
    /// Absent for those of the command line.
    pub span: Option<Span>,
}

/// Whose types a header defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The kernel's, which BTF knows better.
    Kernel,
    /// C's own, which the language knows.
    Standard,
    /// Any other's: what it says is what the script means.
    Others,
}

/// The directories of the kernel's headers, as far as programs include from them.
const KERNEL: [&str; 22] = [
    "acpi",
    "asm",
    "asm-generic",
    "clocksource",
    "crypto",
    "drm",
    "dt-bindings",
    "generated",
    "keys",
    "kvm",
    "linux",
    "media",
    "memory",
    "misc",
    "net",
    "pcmcia",
    "rdma",
    "scsi",
    "sound",
    "trace",
    "uapi",
    "xen",
];

/// Headers of whose types and constants the language knows what scripts use.
const STANDARD: [&str; 11] = [
    "errno.h",
    "fcntl.h",
    "inttypes.h",
    "limits.h",
    "signal.h",
    "stdbool.h",
    "stddef.h",
    "stdint.h",
    "sys/socket.h",
    "sys/stat.h",
    "sys/types.h",
];

impl Includes {
    /// The headers in order: those of the command line come first.
    pub fn headers(&self, definitions: &[Definition]) -> Result<Vec<Header>, Diagnostic> {
        let given = self.files.iter().map(|file| {
            let name = file.to_string_lossy();
            self.header(&name, true, None)
        });
        let written = definitions.iter().filter(|d| d.kind == DefinitionKind::Include).map(|d| {
            let (name, quoted) = included(&d.text).ok_or_else(|| {
                Diagnostic::error("bad-include", d.span, "this includes nothing")
                    .help("write #include <name.h> or #include \"name.h\"")
            })?;
            Ok(self.header(name, quoted, Some(d.span)))
        });
        given.map(Ok).chain(written).collect()
    }

    fn header(&self, name: &str, quoted: bool, span: Option<Span>) -> Header {
        let whose = whose(name);
        let own = quoted.then(|| self.script.join(name)).filter(|path| path.is_file());
        let directories =
            || self.directories.iter().cloned().chain(self.kernel_directories()).chain(system());
        let path = own.or_else(|| directories().map(|d| d.join(name)).find(|path| path.is_file()));
        // Clang would look for one in quotes beside the text that it is included from, which is in no directory.
        let path = path.map(|path| if quoted { std::path::absolute(&path).unwrap_or(path) } else { path });
        // One that lies with the script is not the kernel's, whatever it is called.
        let whose = if quoted && path.is_some() && span.is_some() { Whose::Others } else { whose };
        let spelled = match &path {
            Some(path) if quoted => format!("\"{}\"", path.display()),
            _ if quoted => format!("\"{name}\""),
            _ => format!("<{name}>"),
        };
        Header { spelled, path, whose, span }
    }

    /// What the environment says of the kernel's headers that is not so: the variable and its directory.
    pub fn wrong_tree(&self) -> Option<(&'static str, &Path)> {
        let given =
            [("BPFTRACE_KERNEL_SOURCE", &self.kernel_source), ("BPFTRACE_KERNEL_BUILD", &self.kernel_build)];
        given.into_iter().find_map(|(name, path)| {
            let path = path.as_deref().filter(|path| !path.join("include").is_dir())?;
            Some((name, path))
        })
    }

    /// The source and build directories of the kernel, where they are.
    pub fn kernel_trees(&self) -> Option<(PathBuf, PathBuf)> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let modules = Path::new("/lib/modules").join(release.trim());
        let given = |path: &Option<PathBuf>| path.clone().filter(|p| !p.as_os_str().is_empty());
        let build = given(&self.kernel_build).or_else(|| given(&self.kernel_source));
        let source = given(&self.kernel_source);
        let build = build.unwrap_or_else(|| modules.join("build"));
        // Where nothing is split, everything is in `build`.
        let source = source
            .or_else(|| Some(modules.join("source")).filter(|p| p.is_dir()))
            .unwrap_or_else(|| build.clone());
        (source.join("include").is_dir() || build.join("include").is_dir()).then_some((source, build))
    }

    /// As the kernel's own Makefile has them.
    pub fn kernel_directories(&self) -> Vec<PathBuf> {
        let Some((source, build)) = self.kernel_trees() else { return vec![] };
        let arch = if cfg!(target_arch = "aarch64") { "arch/arm64" } else { "arch/x86" };
        let of = |tree: &Path, rest: &str| tree.join(rest);
        vec![
            of(&source, arch).join("include"),
            of(&build, arch).join("include/generated"),
            of(&source, "include"),
            of(&build, "include"),
            of(&source, arch).join("include/uapi"),
            of(&build, arch).join("include/generated/uapi"),
            of(&source, "include/uapi"),
            of(&build, "include/generated/uapi"),
        ]
    }
}

/// Whose a header of that name is: `linux/fs.h`.
pub fn whose(name: &str) -> Whose {
    match name.split_once('/') {
        Some((directory, _)) if KERNEL.contains(&directory) => Whose::Kernel,
        _ if STANDARD.contains(&name) => Whose::Standard,
        _ => Whose::Others,
    }
}

/// Where C compilers look without being told.
pub fn system() -> Vec<PathBuf> {
    let mut list = vec![PathBuf::from("/usr/local/include"), multiarch(), "/usr/include".into()];
    list.extend(compilers());
    list
}

fn multiarch() -> PathBuf {
    PathBuf::from(format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH))
}

/// The directories of headers that belong to compilers (stddef.h and the like), newest last.
pub fn compilers() -> Vec<PathBuf> {
    let gcc = PathBuf::from(format!("/usr/lib/gcc/{}-linux-gnu", std::env::consts::ARCH));
    let mut list: Vec<PathBuf> = [gcc, "/usr/lib/clang".into()]
        .iter()
        .filter_map(|directory| std::fs::read_dir(directory).ok())
        .flat_map(|entries| entries.flatten().map(|e| e.path().join("include")))
        .filter(|path| path.join("stddef.h").is_file())
        .collect();
    list.sort();
    list
}

/// What an `#include` names, and whether it does so in quotes.
fn included(text: &str) -> Option<(&str, bool)> {
    let rest = text.strip_prefix('#')?.trim_start().strip_prefix("include")?.trim_start();
    let (rest, close, quoted) = match rest.split_at_checked(1)? {
        ("<", rest) => (rest, '>', false),
        ("\"", rest) => (rest, '"', true),
        _ => return None,
    };
    let (name, _) = rest.split_once(close)?;
    (!name.trim().is_empty() && !name.contains('\n')).then_some((name.trim(), quoted))
}

/// What is wrong with a header that is nowhere, if that is wrong. `btf` tells whether the kernel describes its types.
pub fn missing(header: &Header, btf: bool) -> Option<Diagnostic> {
    match header.whose {
        _ if header.path.is_some() => None,
        Whose::Standard => None,
        Whose::Kernel if btf => None,
        whose => {
            let message = format!("the header {} is nowhere to be found", header.spelled);
            let error = Diagnostic::error("missing-header", header.span, message);
            Some(match whose {
                Whose::Kernel => error
                    .note("this kernel has no type information (BTF) that could stand in for it")
                    .help("install the kernel's headers (linux-headers-$(uname -r)), or set BPFTRACE_KERNEL_SOURCE"),
                _ => error.help("-I DIR adds a directory in which headers are looked for"),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_included() {
        for (text, expected) in [
            ("#include <linux/fs.h>", Some(("linux/fs.h", false))),
            ("#  include\t\"a b.h\" // c", Some(("a b.h", true))),
            ("#include", None),
            ("#include <>", None),
            ("#include <a.h", None),
            ("#include a.h", None),
        ] {
            assert_eq!(included(text), expected, "{text}");
        }
    }

    #[test]
    fn headers_are_found_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (directory.path().join("first"), directory.path().join("second"));
        for path in [&first, &second] {
            std::fs::create_dir_all(path.join("linux")).unwrap();
        }
        std::fs::write(first.join("mine.h"), "").unwrap();
        std::fs::write(second.join("mine.h"), "").unwrap();
        std::fs::write(second.join("linux/mine.h"), "").unwrap();
        let includes =
            Includes { directories: vec![first.clone()], script: second.clone(), ..Includes::default() };
        let path = |name: &str, quoted| includes.header(name, quoted, Some(Span::default())).path;
        assert_eq!(path("mine.h", false), Some(first.join("mine.h")));
        assert_eq!(path("mine.h", true), Some(second.join("mine.h")));
        assert_eq!(path("linux/mine.h", false), None);
        let whose = |name: &str, quoted| includes.header(name, quoted, Some(Span::default())).whose;
        assert_eq!(whose("linux/mine.h", false), Whose::Kernel);
        assert_eq!(whose("linux/mine.h", true), Whose::Others);
        assert_eq!(whose("stdint.h", false), Whose::Standard);
        assert_eq!(whose("mine.h", false), Whose::Others);
    }

    #[test]
    fn only_some_headers_may_be_missing() {
        let includes = Includes::default();
        let wrong = |name: &str, btf| missing(&includes.header(name, false, None), btf).map(|d| d.message);
        assert_eq!(wrong("linux/no_such_header.h", true), None);
        assert_eq!(wrong("stdint.h", false), None);
        assert!(wrong("linux/no_such_header.h", false).unwrap().contains("<linux/no_such_header.h>"));
        assert!(wrong("no_such_header.h", true).unwrap().contains("nowhere"));
    }
}
