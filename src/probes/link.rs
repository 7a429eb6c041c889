//! Links of BPF programs, each made with one system call by the program's descriptor, so that any thread can.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use libbpf_sys as sys;

use super::event::{create_link, link_options};
use super::refusal::Refusal;
use crate::kernel::owned;

/// When the program of a link over many functions runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Entry,
    Return,
    /// At both, and it asks which of them this is.
    Session,
}

impl When {
    pub fn of(ret: bool) -> When {
        if ret { When::Return } else { When::Entry }
    }

    /// `BPF_F_KPROBE_MULTI_RETURN` and `BPF_F_UPROBE_MULTI_RETURN` are both 1.
    fn flags(self) -> u32 {
        u32::from(self == When::Return)
    }
}

/// Functions of the kernel by name (`kprobe_multi`).
pub(super) fn kprobes(
    program: BorrowedFd<'_>,
    functions: &[String],
    when: When,
    name_ids: &[u32],
) -> Result<OwnedFd, Refusal> {
    let names = functions.iter().map(|name| CString::new(name.as_str()));
    let names = names.collect::<Result<Vec<_>, _>>().map_err(|_| Refusal::Os(libc::ENOENT))?;
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let cookies = cookies(name_ids);
    let mut options = link_options();
    options.__bindgen_anon_1.kprobe_multi = sys::bpf_link_create_opts__bindgen_ty_1__bindgen_ty_2 {
        flags: when.flags(),
        cnt: count(pointers.len())?,
        syms: pointers.as_mut_ptr(),
        cookies: or_null(&cookies),
        ..Default::default()
    };
    let kind = match when {
        When::Session => sys::BPF_TRACE_KPROBE_SESSION,
        When::Entry | When::Return => sys::BPF_TRACE_KPROBE_MULTI,
    };
    create_link(program, 0, kind, &options)
}

/// Where in a file.
#[derive(Default)]
pub(super) struct Places {
    pub offsets: Vec<u64>,
    /// Counters, by offsets in the file as well; none at all, or one for each place.
    pub semaphores: Vec<u64>,
    pub cookies: Vec<u64>,
}

impl Places {
    /// Without counters; with the numbers of their names, where these are asked for.
    pub fn named(offsets: &[u64], name_ids: &[u32]) -> Places {
        Places { offsets: offsets.to_vec(), semaphores: vec![], cookies: cookies(name_ids) }
    }
}

/// Places of a file (`uprobe_multi`), of one process or of all.
pub(super) fn uprobes(
    program: BorrowedFd<'_>,
    path: &str,
    places: &Places,
    when: When,
    pid: Option<u32>,
) -> Result<OwnedFd, Refusal> {
    let path = CString::new(path).map_err(|_| Refusal::Os(libc::ENOENT))?;
    let (offsets, semaphores) = (addresses(&places.offsets)?, addresses(&places.semaphores)?);
    let mut options = link_options();
    options.__bindgen_anon_1.uprobe_multi = sys::bpf_link_create_opts__bindgen_ty_1__bindgen_ty_3 {
        flags: when.flags(),
        cnt: count(offsets.len())?,
        path: path.as_ptr(),
        offsets: offsets.as_ptr(),
        ref_ctr_offsets: or_null(&semaphores),
        cookies: or_null(&places.cookies),
        pid: pid.unwrap_or(0),
        ..Default::default()
    };
    let kind = match when {
        When::Session => sys::BPF_TRACE_UPROBE_SESSION,
        When::Entry | When::Return => sys::BPF_TRACE_UPROBE_MULTI,
    };
    create_link(program, 0, kind, &options)
}

/// The function that was named when the program was loaded.
pub(super) fn trampoline(program: BorrowedFd<'_>, kind: sys::bpf_attach_type) -> Result<OwnedFd, Refusal> {
    create_link(program, 0, kind, &link_options())
}

/// An event of the kernel; `None` for the one that was named when the program was loaded.
pub(super) fn raw_tracepoint(program: BorrowedFd<'_>, event: Option<&str>) -> Result<OwnedFd, Refusal> {
    let event = event.map(CString::new).transpose().map_err(|_| Refusal::Os(libc::ENOENT))?;
    let name = event.as_ref().map_or(ptr::null(), |event| event.as_ptr());
    // SAFETY: the name is null or a C string, and the program's descriptor is open.
    Ok(owned(unsafe { sys::bpf_raw_tracepoint_open(name, program.as_raw_fd()) })?)
}

/// Numbers of probe names as the kernel takes them.
fn cookies(name_ids: &[u32]) -> Vec<u64> {
    name_ids.iter().map(|&id| id.into()).collect()
}

/// Offsets in a file, of the size that addresses have.
fn addresses(offsets: &[u64]) -> Result<Vec<libc::c_ulong>, Refusal> {
    let offsets = offsets.iter().map(|&offset| libc::c_ulong::try_from(offset));
    offsets.collect::<Result<_, _>>().map_err(|_| Refusal::Os(libc::EINVAL))
}

fn count(places: usize) -> Result<u32, Refusal> {
    u32::try_from(places).map_err(|_| Refusal::Os(libc::E2BIG))
}

fn or_null<T>(list: &[T]) -> *const T {
    if list.is_empty() { ptr::null() } else { list.as_ptr() }
}
