//! From what a script calls a program or a library to its file.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::archive::{self, Bytes};
use super::{ldcache, under};
use crate::pattern::Pattern;

/// Where names are looked up: this process's files, or another one's.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// See [`super::root`].
    root: Option<PathBuf>,
    /// The directories of `$PATH`.
    path: Vec<PathBuf>,
}

impl Places {
    /// Those of a process, or of this one.
    pub fn of(pid: Option<u32>) -> Places {
        let root = pid.and_then(super::root);
        let path = match (&root, pid) {
            (Some(_), Some(pid)) => path_of(pid),
            _ => std::env::var_os("PATH"),
        };
        let path = path.map(|p| std::env::split_paths(&p).collect()).unwrap_or_default();
        Places { root, path }
    }

    /// The files that a name means: `/bin/bash`, `bash`, `libc`, `libc.so.6`, `/usr/lib/libssl*`. Only a name with
    /// wildcards means more than one.
    pub fn find(&self, name: &str) -> Vec<PathBuf> {
        let pattern = Pattern::new(name);
        if pattern.is_literal() {
            let found = self.library(name).or_else(|| self.program(name));
            return found.into_iter().collect();
        }
        let mut candidates: Vec<String> = vec![];
        if !name.contains('/') {
            candidates.extend(self.path.iter().filter_map(|dir| Some(format!("{}/{name}", dir.to_str()?))));
        }
        candidates.push(name.to_owned());
        let found: BTreeSet<PathBuf> = candidates.iter().flat_map(|text| self.glob(text)).collect();
        found.into_iter().filter(|path| is_elf(path)).collect()
    }

    /// Names that [`Places::find`] would have found, to choose a similar one from: of libraries for what looks like
    /// one, else of the programs in `$PATH`.
    pub fn known(&self, name: &str) -> Vec<String> {
        if name.starts_with("lib") {
            let cache = self.read_cache();
            let names = ldcache::libraries(&cache).unwrap_or_default();
            return names.into_iter().filter_map(|(n, _)| Some(n.split_once(".so")?.0.to_owned())).collect();
        }
        if let Some((dir, _)) = name.rsplit_once('/') {
            let dir = if dir.is_empty() { "/" } else { dir };
            return entries(&under(self.root.as_deref(), Path::new(dir)))
                .map(|entry| format!("{}/{entry}", dir.trim_end_matches('/')))
                .collect();
        }
        self.path.iter().flat_map(|dir| entries(&under(self.root.as_deref(), dir))).collect()
    }

    /// A shared library by its name, with or without its version: from the linker's cache, else from the usual
    /// directories.
    fn library(&self, name: &str) -> Option<PathBuf> {
        if !name.starts_with("lib") || name.contains('/') {
            return None;
        }
        let cache = self.read_cache();
        let known = ldcache::libraries(&cache).unwrap_or_default();
        let cached = best(name, known.iter().map(|(n, path)| (*n, path)));
        if let Some(path) = cached {
            return Some(under(self.root.as_deref(), path)).filter(|path| path.exists());
        }
        LIBRARIES.iter().find_map(|dir| {
            let dir = under(self.root.as_deref(), Path::new(dir));
            // Newer versions first, as the cache has them.
            let mut names: Vec<String> = entries(&dir).filter(|entry| entry.starts_with(name)).collect();
            names.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| b.cmp(a)));
            let found = best(name, names.iter().map(|n| (n.as_str(), n)))?;
            Some(dir.join(found)).filter(|path| is_elf(path))
        })
    }

    fn read_cache(&self) -> Vec<u8> {
        std::fs::read(under(self.root.as_deref(), Path::new("/etc/ld.so.cache"))).unwrap_or_default()
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        if name.is_empty() {
            return None;
        }
        let direct = under(self.root.as_deref(), Path::new(name));
        if archive::file(&direct).is_file() {
            return Some(direct);
        }
        if name.contains('/') {
            return None;
        }
        let places = self.path.iter().map(|dir| under(self.root.as_deref(), &dir.join(name)));
        places.into_iter().find(|path| path.is_file())
    }

    /// The paths that match a pattern, component by component; names in an archive are matched whole.
    fn glob(&self, text: &str) -> Vec<PathBuf> {
        if let Some((archives, names)) = text.split_once("!/") {
            let members = self.glob(archives).into_iter().filter(|path| path.is_file());
            let pattern = Pattern::new(names);
            let fits = |path: &PathBuf| archive::member(path).is_some_and(|(_, name)| pattern.matches(name));
            return members.flat_map(|path| archive::members(&path)).filter(fits).collect();
        }
        let start = match (&self.root, text.starts_with('/')) {
            (Some(root), _) => root.clone(),
            (None, true) => PathBuf::from("/"),
            (None, false) => PathBuf::new(),
        };
        text.split('/').filter(|part| !part.is_empty()).fold(vec![start], |found, part| {
            let pattern = Pattern::new(part);
            let next = |dir: PathBuf| -> Vec<PathBuf> {
                if pattern.is_literal() {
                    return Some(dir.join(part)).filter(|path| path.exists()).into_iter().collect();
                }
                let read = if dir.as_os_str().is_empty() { Path::new(".") } else { &dir };
                entries(read).filter(|entry| pattern.matches(entry)).map(|entry| dir.join(entry)).collect()
            };
            found.into_iter().flat_map(next).collect()
        })
    }
}

/// Where libraries are without a cache (musl), and for what the cache does not have.
const LIBRARIES: &[&str] = &[
    "/lib64",
    "/usr/lib64",
    if cfg!(target_arch = "aarch64") { "/usr/lib/aarch64-linux-gnu" } else { "/usr/lib/x86_64-linux-gnu" },
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
];

/// The library that a name means: itself, `name.so`, or the first `name.so.*`.
fn best<'a, T>(name: &str, libraries: impl Iterator<Item = (&'a str, T)> + Clone) -> Option<T> {
    let any = |fits: &dyn Fn(&str) -> bool| libraries.clone().find(|(n, _)| fits(n)).map(|(_, item)| item);
    any(&|n| n == name)
        .or_else(|| any(&|n| n.strip_prefix(name) == Some(".so")))
        .or_else(|| any(&|n| n.strip_prefix(name).is_some_and(|rest| rest.starts_with(".so."))))
}

/// The names in a directory; none if it cannot be read.
fn entries(dir: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

fn is_elf(path: &Path) -> bool {
    if archive::file(path) != path {
        return Bytes::open(path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"));
    }
    let mut magic = [0; 4];
    path.is_file()
        && std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == *b"\x7fELF"
}

/// `$PATH` in the environment of a process.
fn path_of(pid: u32) -> Option<std::ffi::OsString> {
    use std::os::unix::ffi::OsStrExt;
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environment.split(|&b| b == 0).find_map(|entry| entry.strip_prefix(b"PATH="))?;
    Some(std::ffi::OsStr::from_bytes(value).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Places {
        Places::of(None)
    }

    #[test]
    fn programs_are_found_in_path() {
        let sh = here().find("sh");
        assert_eq!(sh.len(), 1);
        assert!(sh[0].is_absolute() && sh[0].ends_with("sh"));
        assert_eq!(here().find("/bin/sh"), [PathBuf::from("/bin/sh")]);
        assert!(here().find("no-such-program").is_empty() && here().find("/no/such").is_empty());
        assert!(here().find("").is_empty());
        assert!(here().known("shh").contains(&"sh".to_owned()));
    }

    #[test]
    fn libraries_are_found_by_name() {
        let libc = here().find("libc");
        assert_eq!(libc.len(), 1, "{libc:?}");
        assert!(is_elf(&libc[0]));
        assert_eq!(here().find("libc.so.6"), libc);
        assert!(here().find("libnothing").is_empty());
        assert!(here().known("libx").contains(&"libc".to_owned()));
    }

    #[test]
    fn the_best_library_is_the_one_named() {
        let names = ["libssl.so.3", "libssl.so.1.1", "libssl3.so", "libssl.so"];
        let all = || names.iter().map(|n| (*n, *n));
        assert_eq!(best("libssl", all()), Some("libssl.so"));
        assert_eq!(best("libssl", all().take(3)), Some("libssl.so.3"));
        assert_eq!(best("libssl.so.1.1", all()), Some("libssl.so.1.1"));
        assert_eq!(best("libss", all()), None);
    }

    #[test]
    fn wildcards_match_files() {
        let dir = tempfile::tempdir().unwrap();
        let own = std::env::current_exe().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        for name in ["sub/prog1", "sub/prog2"] {
            std::os::unix::fs::symlink(&own, dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("sub/prog3"), "not ELF").unwrap();
        let base = dir.path().to_str().unwrap();
        let expected = [dir.path().join("sub/prog1"), dir.path().join("sub/prog2")];
        assert_eq!(here().find(&format!("{base}/s*/prog*")), expected);
        assert_eq!(here().find(&format!("{base}/sub/prog[2-9]")), expected[1..]);
        assert!(here().find(&format!("{base}/x*/prog1")).is_empty());
    }
}
