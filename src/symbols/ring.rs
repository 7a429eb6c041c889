//! What has the kernel write down what processes map.

use std::io;

use crate::kernel::page_size;
use crate::kernel::perf::open_event;
use crate::kernel::perf_ring::PerfRing;

/// Pages of data, a power of two: with 4 KiB each, some 1000 mappings.
const PAGES: usize = 32;
/// We are woken when so much of it is full.
const WAKE: u32 = 4;

/// Has the kernel write down from now on what processes on a CPU map to execute, and that they begin and execute
/// other programs.
///
/// # Errors
/// `EACCES` or `EPERM` without `CAP_PERFMON`, `ENOMEM` past the limit on locked memory.
pub(super) fn open(cpu: u32) -> io::Result<PerfRing> {
    let mut attr = libbpf_sys::perf_event_attr {
        type_: libbpf_sys::PERF_TYPE_SOFTWARE,
        size: size_of::<libbpf_sys::perf_event_attr>() as u32,
        config: libbpf_sys::PERF_COUNT_SW_DUMMY.into(),
        sample_type: libbpf_sys::PERF_SAMPLE_TIME.into(),
        clockid: libc::CLOCK_MONOTONIC,
        ..Default::default()
    };
    attr.set_mmap(1);
    attr.set_mmap2(1);
    attr.set_comm(1);
    attr.set_comm_exec(1);
    attr.set_task(1);
    // Every record ends with its time, so that those of several CPUs can be put in order.
    attr.set_sample_id_all(1);
    attr.set_use_clockid(1);
    attr.set_watermark(1);
    attr.__bindgen_anon_2.wakeup_watermark = (PAGES * page_size()) as u32 / WAKE;
    PerfRing::map(open_event(&attr, -1, Some(cpu))?, PAGES)
}
