//! The kernel's ring buffer, read in place: no copy, no call and no allocation for a record.
//!
//! The layout is that of the kernel's `kernel/bpf/ringbuf.c`: a page with the consumer's position, one with the
//! producers', then the data, mapped twice in a row so that no record is ever split. A record is a `u32` length
//! with two flag bits, a `u32` of the kernel's own, and the bytes, the whole rounded up to 8.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};

use crate::kernel::page_size;

/// `BPF_RINGBUF_BUSY_BIT`: reserved, not yet committed.
const BUSY: u32 = 1 << 31;
/// `BPF_RINGBUF_DISCARD_BIT`
const DISCARD: u32 = 1 << 30;
/// `BPF_RINGBUF_HDR_SZ`
const HEADER: u64 = 8;

/// How [`Ring::drain`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Nothing is left.
    Empty,
    /// The next record is still being written.
    Busy,
    /// There is more.
    More,
    /// The caller broke off; that record counts as read.
    Stopped,
}

/// The reading end of a ring buffer. There may be one only.
pub struct Ring {
    view: View,
    /// Up to where we have read, and up to where the kernel knows we have.
    position: u64,
    published: u64,
    /// Keep the memory that `view` points to.
    _mappings: [MmapRaw; 2],
}

/// Where the parts are in memory.
struct View {
    consumer: *const AtomicU64,
    producer: *const AtomicU64,
    data: *const u8,
    size: u64,
}

impl Ring {
    /// Maps a ring buffer of that many bytes of data.
    pub fn open(map: BorrowedFd<'_>, size: u32) -> io::Result<Ring> {
        let page = page_size();
        let fd = map.as_raw_fd();
        let consumer = MmapOptions::new().len(page).map_raw(fd)?;
        let rest =
            MmapOptions::new().offset(page as u64).len(page + 2 * size as usize).map_raw_read_only(fd)?;
        let view = View {
            consumer: consumer.as_ptr().cast(),
            producer: rest.as_ptr().cast(),
            // SAFETY: the mapping is larger than a page.
            data: unsafe { rest.as_ptr().add(page) },
            size: size.into(),
        };
        let position = view.consumer().load(Ordering::Acquire);
        Ok(Ring { view, position, published: position, _mappings: [consumer, rest] })
    }

    /// Calls `each` with the bytes of records, in order, until there are none, `limit` have been read, or it breaks.
    pub fn drain(
        &mut self,
        limit: usize,
        mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> (usize, Drained) {
        drain(&self.view, &mut self.position, &mut self.published, limit, &mut each)
    }
}

impl View {
    fn consumer(&self) -> &AtomicU64 {
        // SAFETY: the page is mapped as long as `self` is, aligned, and only ever accessed atomically.
        unsafe { &*self.consumer }
    }

    fn producer(&self) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { &*self.producer }
    }

    fn header(&self, position: u64) -> &AtomicU32 {
        // SAFETY: the masked position is within the data, and records start at multiples of 8.
        unsafe { &*self.data.add(self.offset(position)).cast() }
    }

    fn offset(&self, position: u64) -> usize {
        (position & (self.size - 1)) as usize
    }

    /// The bytes of a committed record, at most as many as the buffer has.
    fn record(&self, position: u64, len: u32) -> &[u8] {
        let len = u64::from(len).min(self.size - HEADER) as usize;
        // SAFETY: the data is mapped twice in a row, so from any place in the first half `size` bytes can be read.
        // The kernel does not touch a committed record before the consumer's position has passed it.
        unsafe { std::slice::from_raw_parts(self.data.add(self.offset(position) + HEADER as usize), len) }
    }
}

fn drain(
    view: &View,
    position: &mut u64,
    published: &mut u64,
    limit: usize,
    each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> (usize, Drained) {
    // Telling the kernel costs a cache miss on both sides; once in a while is enough, as long as space is free.
    let batch = view.size / 16;
    let mut count = 0;
    let publish = |position: u64, published: &mut u64| {
        if *published != position {
            view.consumer().store(position, Ordering::Release);
            *published = position;
        }
    };
    loop {
        let mut end = view.producer().load(Ordering::Acquire);
        if *position >= end {
            publish(*position, published);
            // A producer wakes us only if it sees, after committing, that we wait for just its record. Either it
            // sees the position that we have just stored, or we see its record now.
            fence(Ordering::SeqCst);
            end = view.producer().load(Ordering::Acquire);
            if *position >= end {
                return (count, Drained::Empty);
            }
        }
        while *position < end {
            let mut header = view.header(*position).load(Ordering::Acquire);
            if header & BUSY != 0 {
                publish(*position, published);
                fence(Ordering::SeqCst);
                header = view.header(*position).load(Ordering::Acquire);
                if header & BUSY != 0 {
                    return (count, Drained::Busy);
                }
            }
            let len = header & !(BUSY | DISCARD);
            let flow = match header & DISCARD {
                0 => {
                    count += 1;
                    each(view.record(*position, len))
                }
                _ => ControlFlow::Continue(()),
            };
            *position += (HEADER + u64::from(len)).next_multiple_of(8);
            if *position - *published >= batch {
                publish(*position, published);
            }
            if flow.is_break() || count >= limit {
                publish(*position, published);
                return (count, if flow.is_break() { Drained::Stopped } else { Drained::More });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring in ordinary memory, with the kernel's part played by the test.
    struct Fake {
        consumer: AtomicU64,
        producer: AtomicU64,
        /// Twice the size: what is written goes to both halves, as it does through the double mapping.
        data: Vec<u64>,
        position: u64,
        published: u64,
    }

    const SIZE: u64 = 128;

    impl Fake {
        fn new() -> Fake {
            Fake {
                consumer: 0.into(),
                producer: 0.into(),
                data: vec![0; SIZE as usize / 4],
                position: 0,
                published: 0,
            }
        }

        fn put(&mut self, at: u64, bytes: &[u8]) {
            let (ptr, size) = (self.data.as_mut_ptr().cast::<u8>(), SIZE);
            for (n, byte) in bytes.iter().enumerate() {
                let offset = (at + n as u64) & (size - 1);
                for half in [0, size] {
                    // SAFETY: both offsets are below twice the size.
                    unsafe { *ptr.add((offset + half) as usize) = *byte };
                }
            }
        }

        /// Reserves a record and writes it; `flags` are those of its header.
        fn write(&mut self, bytes: &[u8], flags: u32) -> u64 {
            let at = self.producer.load(Ordering::Relaxed);
            self.put(at, &(bytes.len() as u32 | flags).to_ne_bytes());
            self.put(at + 8, bytes);
            self.producer.store(at + (8 + bytes.len() as u64).next_multiple_of(8), Ordering::Relaxed);
            at
        }

        fn drain(&mut self, limit: usize) -> (Vec<Vec<u8>>, Drained) {
            let view = View {
                consumer: &self.consumer,
                producer: &self.producer,
                data: self.data.as_ptr().cast(),
                size: SIZE,
            };
            let mut records = vec![];
            let mut each = |record: &[u8]| {
                records.push(record.to_vec());
                if record == b"stop" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let (count, drained) = drain(&view, &mut self.position, &mut self.published, limit, &mut each);
            assert_eq!(count, records.len());
            (records, drained)
        }
    }

    #[test]
    fn records_come_in_order_and_across_the_end() {
        let mut ring = Fake::new();
        // Forty rounds of 24 bytes: each offset of the ring is the start of a record, also the one that wraps.
        for n in 0..40u8 {
            ring.write(&[n; 10], 0);
            assert_eq!(ring.drain(100), (vec![vec![n; 10]], Drained::Empty));
            assert_eq!(ring.consumer.load(Ordering::Relaxed), 24 * (u64::from(n) + 1));
        }
    }

    #[test]
    fn a_busy_record_is_waited_for_and_a_discarded_one_skipped() {
        let mut ring = Fake::new();
        ring.write(b"one", 0);
        ring.write(b"gone", DISCARD);
        let at = ring.write(b"two", BUSY);
        ring.write(b"three", 0);
        assert_eq!(ring.drain(100), (vec![b"one".to_vec()], Drained::Busy));
        // The kernel has to know that we wait for exactly this one, or it would not wake us.
        assert_eq!(ring.consumer.load(Ordering::Relaxed), at);
        ring.put(at, &3u32.to_ne_bytes());
        assert_eq!(ring.drain(100), (vec![b"two".to_vec(), b"three".to_vec()], Drained::Empty));
    }

    #[test]
    fn limits_and_breaks_lose_nothing() {
        let mut ring = Fake::new();
        for word in [&b"a"[..], b"stop", b"b"] {
            ring.write(word, 0);
        }
        assert_eq!(ring.drain(1), (vec![b"a".to_vec()], Drained::More));
        assert_eq!(ring.drain(9), (vec![b"stop".to_vec()], Drained::Stopped));
        assert_eq!(ring.consumer.load(Ordering::Relaxed), 32);
        assert_eq!(ring.drain(9), (vec![b"b".to_vec()], Drained::Empty));
    }
}
