//! `perf_event_open(2)`.

use std::io;
use std::os::fd::OwnedFd;

use super::owned;

/// Opens an event of a process, or of all of them, on a CPU, or on all of them where that is possible.
///
/// `attr` states its own size; what its addresses mean is for the caller to keep alive.
pub fn open_event(
    attr: &libbpf_sys::perf_event_attr,
    pid: libc::pid_t,
    cpu: Option<u32>,
) -> io::Result<OwnedFd> {
    let cpu = cpu.map_or(Ok(-1), libc::c_int::try_from);
    let cpu = cpu.map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    // SAFETY: the attributes are a valid `perf_event_attr`, of which the kernel reads as much as it says it has.
    owned(unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(attr),
            pid,
            cpu,
            -1,
            libc::c_ulong::from(libbpf_sys::PERF_FLAG_FD_CLOEXEC),
        )
    })
}
