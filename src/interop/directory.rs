//! A directory for one compilation: the headers that come with this binary, and what the compiler writes.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// libbpf's headers for BPF C: their names and texts.
const BPF_HEADERS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/bpf_headers.rs"));

/// A directory that only its owner can read and write, gone when this is.
pub(super) struct Directory(PathBuf);

impl Directory {
    /// One below `TMPDIR` or `/tmp`, with the headers in it.
    pub(super) fn new() -> io::Result<Directory> {
        let template = std::env::temp_dir().join("bpftrace-XXXXXX");
        let mut template = CString::new(template.as_os_str().as_bytes())?.into_bytes_with_nul();
        // SAFETY: the template is a C string of our own, which mkdtemp(3) writes the name into.
        let made = unsafe { libc::mkdtemp(template.as_mut_ptr().cast()) };
        if made.is_null() {
            return Err(io::Error::last_os_error());
        }
        template.pop();
        let directory = Directory(PathBuf::from(OsString::from_vec(template)));
        std::fs::create_dir(directory.0.join("bpf"))?;
        for (name, text) in BPF_HEADERS {
            std::fs::write(directory.0.join("bpf").join(name), text)?;
        }
        Ok(directory)
    }

    /// Adds a header.
    pub(super) fn add(&mut self, name: &str, text: &str) -> io::Result<()> {
        std::fs::write(self.0.join(name), text)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans up there.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
