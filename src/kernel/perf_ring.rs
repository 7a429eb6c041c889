//! The buffers in which the kernel writes down what events of `perf_event_open(2)` tell: a page with positions
//! (`struct perf_event_mmap_page`), then the data. Records that do not fit before the end go on at the beginning.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use super::page_size;

/// Where `data_head` and `data_tail` are in the first page.
const HEAD: usize = 1024;
const TAIL: usize = 1032;
/// `struct perf_event_header`: `u32` type, `u16` flags, `u16` size.
const HEADER: u64 = 8;

/// One event's buffer.
pub struct PerfRing {
    fd: OwnedFd,
    view: View,
    position: u64,
    /// One record, for those that are split.
    record: Vec<u8>,
    /// Keeps the memory that `view` points to.
    _mapping: MmapRaw,
}

struct View {
    head: *const AtomicU64,
    tail: *const AtomicU64,
    data: *const u8,
    size: u64,
}

impl PerfRing {
    /// Gives an event a buffer of so many pages, which have to be a power of two.
    ///
    /// # Errors
    /// `EPERM` past the limit on locked memory, `ENOMEM`.
    pub fn map(event: OwnedFd, pages: usize) -> io::Result<PerfRing> {
        let page = page_size();
        let mapping = MmapOptions::new().len((1 + pages) * page).map_raw(event.as_raw_fd())?;
        let start = mapping.as_ptr();
        // SAFETY: all within the mapping, whose first page has the positions, at multiples of 8.
        let (head, tail, data) = unsafe { (start.add(HEAD), start.add(TAIL), start.add(page)) };
        let view = View { head: head.cast(), tail: tail.cast(), data, size: (pages * page) as u64 };
        Ok(PerfRing { fd: event, view, position: 0, record: vec![], _mapping: mapping })
    }

    /// Calls `each` with the kind, the flags and the rest of each record that there is.
    pub fn drain(&mut self, mut each: impl FnMut(u32, u16, &[u8])) {
        let PerfRing { view, position, record, .. } = self;
        view.drain(position, record, &mut each);
    }
}

impl AsFd for PerfRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl View {
    fn drain(&self, position: &mut u64, record: &mut Vec<u8>, each: &mut dyn FnMut(u32, u16, &[u8])) {
        // SAFETY: both are mapped as long as the ring lives, aligned, and only ever accessed atomically.
        let (head, tail) = unsafe { (&*self.head, &*self.tail) };
        let end = head.load(Ordering::Acquire);
        if *position == end {
            return;
        }
        while end.saturating_sub(*position) >= HEADER {
            record.clear();
            self.copy(*position, HEADER, record);
            let &[k0, k1, k2, k3, f0, f1, s0, s1] = record.as_slice() else { break };
            let size = u64::from(u16::from_ne_bytes([s0, s1]));
            // What the kernel never writes, and what would keep us here.
            if size < HEADER || size > end - *position {
                break;
            }
            record.clear();
            self.copy(*position + HEADER, size - HEADER, record);
            each(u32::from_ne_bytes([k0, k1, k2, k3]), u16::from_ne_bytes([f0, f1]), record);
            *position += size;
        }
        *position = end;
        tail.store(end, Ordering::Release);
    }

    /// Copies bytes that the kernel has written and does not touch before the tail has passed them.
    fn copy(&self, from: u64, len: u64, to: &mut Vec<u8>) {
        let offset = from & (self.size - 1);
        let first = len.min(self.size - offset);
        for (offset, len) in [(offset, first), (0, (len - first).min(self.size))] {
            // SAFETY: the offset is below the size, and no more than what is left of it is read.
            let bytes = unsafe { std::slice::from_raw_parts(self.data.add(offset as usize), len as usize) };
            to.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_whole_also_across_the_end() {
        const SIZE: u64 = 64;
        let mut data = vec![0u64; SIZE as usize / 8];
        let (head, tail) = (AtomicU64::new(0), AtomicU64::new(0));
        let (mut position, mut record) = (0, vec![]);
        for n in 0..40u8 {
            let at = head.load(Ordering::Relaxed);
            let bytes = [&[10, 0, 0, 0, n, 0, 24, 0][..], &[n; 16]].concat();
            for (i, byte) in bytes.iter().enumerate() {
                let offset = (at + i as u64) % SIZE;
                data[offset as usize / 8] &= !(0xff << (offset % 8 * 8));
                data[offset as usize / 8] |= u64::from(*byte) << (offset % 8 * 8);
            }
            head.store(at + 24, Ordering::Relaxed);
            let view = View { head: &head, tail: &tail, data: data.as_ptr().cast(), size: SIZE };
            let mut seen = vec![];
            view.drain(&mut position, &mut record, &mut |kind, flags, rest: &[u8]| {
                seen.push((kind, flags, rest.to_vec()));
            });
            assert_eq!(seen, [(10, n.into(), vec![n; 16])]);
            assert_eq!(tail.load(Ordering::Relaxed), at + 24);
        }
    }

    #[test]
    fn what_is_no_record_ends_the_reading() {
        let data = [0u64; 8];
        let (head, tail) = (AtomicU64::new(32), AtomicU64::new(0));
        let view = View { head: &head, tail: &tail, data: data.as_ptr().cast(), size: 64 };
        let mut position = 0;
        view.drain(&mut position, &mut vec![], &mut |_, _, _| panic!("there is none"));
        assert_eq!((position, tail.load(Ordering::Relaxed)), (32, 32));
    }
}
