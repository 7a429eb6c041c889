//! A directory for one compilation: the headers that come with this binary, and what the compiler writes.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use super::held::Held;

/// libbpf's headers for BPF C: their names and texts.
const BPF_HEADERS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/bpf_headers.rs"));

/// A directory that only its owner can read and write, gone when this is. What would end us until then waits for that.
pub(super) struct Directory {
    path: PathBuf,
    held: Held,
}

impl Directory {
    /// One below `TMPDIR` or `/tmp`, with the headers in it.
    pub(super) fn new() -> io::Result<Directory> {
        let held = Held::new()?;
        let template = std::env::temp_dir().join("bpftrace-XXXXXX");
        let mut template = CString::new(template.as_os_str().as_bytes())?.into_bytes_with_nul();
        // SAFETY: the template is a C string of our own, which mkdtemp(3) writes the name into.
        let made = unsafe { libc::mkdtemp(template.as_mut_ptr().cast()) };
        if made.is_null() {
            return Err(io::Error::last_os_error());
        }
        template.pop();
        let directory = Directory { path: PathBuf::from(OsString::from_vec(template)), held };
        std::fs::create_dir(directory.path.join("bpf"))?;
        for (name, text) in BPF_HEADERS {
            std::fs::write(directory.path.join("bpf").join(name), text)?;
        }
        Ok(directory)
    }

    /// Adds a header.
    pub(super) fn add(&mut self, name: &str, text: &str) -> io::Result<()> {
        std::fs::write(self.path.join(name), text)
    }

    /// Runs a command that works in it, unless a signal ends that: this is an error then, and ends us with the directory.
    pub(super) fn run(&self, command: &mut Command) -> io::Result<ExitStatus> {
        self.held.run(command)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans up there.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
