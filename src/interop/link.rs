//! libbpf's static linker, from memory to memory.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::AsRawFd as _;
use std::ptr::{NonNull, null, null_mut};
use std::sync::{Mutex, PoisonError};

use libbpf_rs::PrintLevel;
use libbpf_sys as sys;

use super::Object;
use crate::kernel::owned;

/// Links the script's object with those that it imports. The error is what libbpf says.
pub fn link(script: &[u8], objects: &[Object]) -> Result<Vec<u8>, String> {
    SAID.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let before = libbpf_rs::set_print(Some((PrintLevel::Warn, |_, text| {
        SAID.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
    })));
    let linked = linked(script, objects);
    libbpf_rs::set_print(before);
    linked.map_err(|error| {
        let said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
        let first =
            said.lines().map(|line| line.trim_start_matches("libbpf: ")).find(|line| !line.is_empty());
        first.map_or_else(|| error.to_string(), str::to_owned)
    })
}

/// What libbpf said while it linked.
static SAID: Mutex<String> = Mutex::new(String::new());

fn linked(script: &[u8], objects: &[Object]) -> std::io::Result<Vec<u8>> {
    // SAFETY: the name is a C string.
    let mut memory =
        File::from(owned(unsafe { libc::memfd_create(c"bpftrace".as_ptr(), libc::MFD_CLOEXEC) })?);
    // SAFETY: the descriptor is open and outlives the linker, which does not close it.
    let linker = unsafe { sys::bpf_linker__new_fd(memory.as_raw_fd(), null_mut()) };
    let linker = Linker(NonNull::new(linker).ok_or_else(std::io::Error::last_os_error)?);
    linker.add(script)?;
    for object in objects {
        linker.add(&object.elf)?;
    }
    // SAFETY: the linker is alive and has not been finished.
    check(unsafe { sys::bpf_linker__finalize(linker.0.as_ptr()) })?;
    let mut elf = vec![];
    memory.rewind()?;
    memory.read_to_end(&mut elf)?;
    Ok(elf)
}

struct Linker(NonNull<sys::bpf_linker>);

impl Linker {
    fn add(&self, elf: &[u8]) -> std::io::Result<()> {
        // SAFETY: the linker is alive. It copies the bytes to a file of its own, and takes a pointer to what it may
        // change only because all of C does.
        check(unsafe {
            sys::bpf_linker__add_buf(self.0.as_ptr(), elf.as_ptr().cast_mut().cast(), elf.len() as _, null())
        })
    }
}

impl Drop for Linker {
    fn drop(&mut self) {
        // SAFETY: it is ours, and freed once.
        unsafe { sys::bpf_linker__free(self.0.as_ptr()) }
    }
}

fn check(result: i32) -> std::io::Result<()> {
    if result < 0 { Err(std::io::Error::from_raw_os_error(-result)) } else { Ok(()) }
}
