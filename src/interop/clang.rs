//! The compiler: where it is, how it is called, and what it says.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::directory::Directory;

/// The newest LLVM whose name is tried; one that is installed as `clang` is found whatever its number.
const NEWEST: u32 = 25;
/// The oldest that writes BTF for what is linked.
const OLDEST: u32 = 11;

pub(super) struct Clang(PathBuf);

/// What became of a file.
pub(super) struct Done {
    /// `None` if it was not compiled.
    pub(super) elf: Option<Vec<u8>>,
    pub(super) complaints: Vec<Complaint>,
    /// All of it as clang wrote it.
    pub(super) said: String,
    /// Every file that was read, but for those that come with this binary.
    pub(super) includes: Vec<PathBuf>,
}

/// A message of clang's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) level: Level,
    pub(super) message: String,
    /// "" where it is about no place.
    pub(super) file: String,
    /// Both count from 1, the column in bytes.
    pub(super) line: usize,
    pub(super) column: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Error,
    Warning,
    Note,
}

impl Clang {
    /// See [`find`].
    pub(super) fn find(chosen: Option<&OsStr>, path: Option<&OsStr>) -> Result<Clang, String> {
        find(chosen, path).map(Clang)
    }

    /// Compiles a file to an object.
    pub(super) fn compile(
        &self,
        file: &Path,
        directory: &Directory,
        includes: &[PathBuf],
    ) -> io::Result<Done> {
        let [object, list, messages] = ["out.o", "out.d", "out.txt"].map(|name| directory.path().join(name));
        // What an earlier run left must not be taken for this one's.
        let _ = std::fs::remove_file(&object);
        let mut command = Command::new(&self.0);
        command
            .args(arguments(includes, directory.path()))
            .args([OsStr::new("-MF"), list.as_os_str(), OsStr::new("-o"), object.as_os_str()])
            // A name that begins with a dash is no option.
            .args([OsStr::new("--"), file.as_os_str()])
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&messages)?);
        let status = directory
            .run(&mut command)
            .map_err(|e| io::Error::new(e.kind(), format!("cannot run {}: {e}", self.0.display())))?;
        let said = String::from_utf8_lossy(&std::fs::read(&messages)?).into_owned();
        let elf = if status.success() { Some(std::fs::read(&object)?) } else { None };
        let read = std::fs::read_to_string(&list).unwrap_or_default();
        let includes = dependencies(&read).filter(|path| !path.starts_with(directory.path())).collect();
        let complaints = said.lines().filter_map(complaint).collect();
        Ok(Done { elf, complaints, said, includes })
    }
}

/// The compiler: the one that is chosen (`BPFTRACE_CLANG`), else `clang` of the path (`PATH`), else the newest that has its
/// number in its name, there or where Debian keeps it. An error says that there is none.
pub fn find(chosen: Option<&OsStr>, path: Option<&OsStr>) -> Result<PathBuf, String> {
    if let Some(chosen) = chosen.map(Path::new) {
        let found = if chosen.components().count() > 1 {
            Some(chosen.to_owned()).filter(|file| file.is_file())
        } else {
            in_path(chosen, path)
        };
        return found.ok_or_else(|| format!("BPFTRACE_CLANG is {}, which is not there", chosen.display()));
    }
    let versions = || (OLDEST..=NEWEST).rev();
    let named = |name: String| in_path(Path::new(&name), path);
    named("clang".to_owned())
        .or_else(|| versions().find_map(|version| named(format!("clang-{version}"))))
        .or_else(|| {
            let kept = |version| PathBuf::from(format!("/usr/lib/llvm-{version}/bin/clang"));
            versions().map(kept).find(|file| file.is_file())
        })
        .ok_or_else(|| "clang is not installed".to_owned())
}

impl Done {
    /// Whether it failed for want of the kernel's types.
    pub(super) fn wants_vmlinux(&self) -> bool {
        self.complaints.iter().any(|c| c.level == Level::Error && c.message == "'vmlinux.h' file not found")
    }
}

fn arguments(includes: &[PathBuf], own: &Path) -> Vec<OsString> {
    let target = if cfg!(target_endian = "big") { "--target=bpfeb" } else { "--target=bpfel" };
    let fixed = [
        target,
        // As the script's own code: see `codegen`.
        "-mcpu=v3",
        // BPF C is written for what the optimiser makes of it; debug information becomes BTF.
        "-O2",
        "-g",
        "-c",
        "-MD",
        "-fno-stack-protector",
        // As the kernel from 7.0 on: a struct with its name but none as a member, whose members are the outer one's.
        "-fms-extensions",
        "-Wno-microsoft-anon-tag",
        "-fno-color-diagnostics",
        "-fno-caret-diagnostics",
        "-ferror-limit=10",
    ];
    let mut arguments: Vec<OsString> = fixed.map(OsString::from).into();
    // Headers of programs choose by the machine: glibc's by the compiler's own name for it, libbpf's by another.
    let machine = match std::env::consts::ARCH {
        "x86_64" => &["-D__x86_64__", "-D__TARGET_ARCH_x86"][..],
        "aarch64" => &["-D__aarch64__", "-D__TARGET_ARCH_arm64"],
        "riscv64" => &["-D__riscv", "-D__riscv_xlen=64", "-D__TARGET_ARCH_riscv"],
        "s390x" => &["-D__s390x__", "-D__TARGET_ARCH_s390"],
        "powerpc64" => &["-D__powerpc64__", "-D__TARGET_ARCH_powerpc"],
        _ => &[],
    };
    arguments.extend(machine.iter().map(OsString::from));
    for directory in includes.iter().map(PathBuf::as_path).chain([own]) {
        arguments.push("-I".into());
        arguments.push(directory.into());
    }
    // Where Debian keeps what depends on the machine; for BPF clang does not look there.
    arguments.push("-idirafter".into());
    arguments.push(format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH).into());
    arguments
}

fn in_path(program: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path?).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// `file:line:column: error: message`, `error: message`
fn complaint(line: &str) -> Option<Complaint> {
    let levels = [
        (": fatal error: ", Level::Error),
        (": error: ", Level::Error),
        (": warning: ", Level::Warning),
        (": note: ", Level::Note),
    ];
    // A message may quote another one: the first level is its own.
    let found = levels.iter().filter_map(|(text, level)| Some((line.find(text)?, text, *level)));
    let found = found.min_by_key(|(at, ..)| *at);
    let Some((at, text, level)) = found else {
        // clang's driver, not its frontend; that it stopped counting adds nothing.
        let message = line.strip_prefix("error: ").or_else(|| line.strip_prefix("fatal error: "))?;
        let whole = Complaint {
            level: Level::Error,
            message: message.to_owned(),
            file: String::new(),
            line: 0,
            column: 0,
        };
        return (!message.starts_with("too many errors emitted")).then_some(whole);
    };
    let (place, message) = (line.get(..at)?, line.get(at + text.len()..)?.to_owned());
    let mut parts = place.rsplitn(3, ':');
    let (column, row, file) = (parts.next()?.parse(), parts.next().map(str::parse), parts.next());
    Some(match (column, row, file) {
        (Ok(column), Some(Ok(line)), Some(file)) => {
            Complaint { level, message, file: file.to_owned(), line, column }
        }
        _ => Complaint { level, message, file: String::new(), line: 0, column: 0 },
    })
}

/// The files that a rule for make(1) names: blanks in their names have a backslash before them.
fn dependencies(rule: &str) -> impl Iterator<Item = PathBuf> {
    let joined = rule.replace("\\\n", " ").replace("\\ ", "\0");
    let files = joined.split_once(": ").map_or("", |(_, files)| files);
    let files: Vec<PathBuf> =
        files.split_whitespace().map(|file| file.replace('\0', " ").replace("$$", "$").into()).collect();
    files.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_with_their_places() {
        let at = |level, message: &str, file: &str, line, column| {
            Some(Complaint { level, message: message.into(), file: file.into(), line, column })
        };
        assert_eq!(
            complaint("a.bpf.c:2:10: error: expected ';'"),
            at(Level::Error, "expected ';'", "a.bpf.c", 2, 10)
        );
        assert_eq!(
            complaint("d:r/a.bpf.c:12:1: fatal error: 'x.h' file not found"),
            at(Level::Error, "'x.h' file not found", "d:r/a.bpf.c", 12, 1)
        );
        assert_eq!(
            complaint("a.c:1:2: warning: quotes: error: b [-Wx]"),
            at(Level::Warning, "quotes: error: b [-Wx]", "a.c", 1, 2)
        );
        assert_eq!(complaint("a.c:1:2: note: see"), at(Level::Note, "see", "a.c", 1, 2));
        assert_eq!(complaint("clang: error: no input files"), at(Level::Error, "no input files", "", 0, 0));
        assert_eq!(
            complaint("error: unknown target triple 'bpfel'"),
            at(Level::Error, "unknown target triple 'bpfel'", "", 0, 0)
        );
        for other in [
            "",
            "2 errors generated.",
            "In file included from a.c:1:",
            "fatal error: too many errors emitted, stopping now",
        ] {
            assert_eq!(complaint(other), None, "{other}");
        }
    }

    #[test]
    fn the_compiler_is_looked_for_by_its_names() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().as_os_str();
        let found = |chosen: Option<&str>| find(chosen.map(OsStr::new), Some(path));
        std::fs::write(directory.path().join("clang-12"), "").unwrap();
        std::fs::write(directory.path().join("clang-19"), "").unwrap();
        std::fs::write(directory.path().join("mine"), "").unwrap();
        assert_eq!(found(None), Ok(directory.path().join("clang-19")));
        std::fs::write(directory.path().join("clang"), "").unwrap();
        assert_eq!(found(None), Ok(directory.path().join("clang")));
        assert_eq!(found(Some("mine")), Ok(directory.path().join("mine")));
        assert!(found(Some("other")).unwrap_err().contains("BPFTRACE_CLANG is other"));
        assert!(found(Some("/no/clang")).unwrap_err().contains("/no/clang"));
    }

    #[test]
    fn dependencies_are_read() {
        let rule = "out.o: a.bpf.c \\\n  /usr/include/with\\ blank.h \\\n  b$$.h\n";
        let files: Vec<PathBuf> = dependencies(rule).collect();
        assert_eq!(files, ["a.bpf.c", "/usr/include/with blank.h", "b$.h"].map(PathBuf::from));
    }
}
