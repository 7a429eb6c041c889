//! Packets that programs send, from the kernel's buffers to files: `skboutput`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::Job;
use super::events::Actions;
use super::load::Loaded;
use crate::diagnostics::{Diagnostic, Span, system_words};
use crate::image::EventKind;
use crate::kernel::clock;
use crate::kernel::perf::open_event;
use crate::kernel::perf_ring::PerfRing;
use crate::output::Capture;

/// How long a packet's record may take from its time to being there to read.
const UNDER_WAY: u64 = 1_000_000;

/// A packet as it is to be written.
pub struct Packet {
    /// In nanoseconds since boot.
    pub time: u64,
    /// The time of day, in nanoseconds.
    pub wall: u64,
    pub path: String,
    pub bytes: Vec<u8>,
    /// How many bytes it has of which these are some.
    pub whole: u32,
}

/// A file that the script names.
struct File {
    path: String,
    span: Span,
    /// `None` once it cannot be written any more.
    capture: Option<Capture>,
}

/// The kernel's buffers, and the files.
pub struct Packets {
    rings: Vec<PerfRing>,
    /// What came so late that something before it may be still to come, from another CPU.
    later: Vec<Packet>,
    files: Vec<File>,
}

impl Packets {
    /// Makes the files, and has the kernel put packets into buffers from now on. `None` for programs that send none.
    pub fn open(job: &Job<'_>, loaded: &Loaded) -> Result<Option<Packets>, Diagnostic> {
        let Some((map, pages)) = &loaded.packets else { return Ok(None) };
        let mut files: Vec<File> = vec![];
        for event in &job.image.manifest.events {
            let EventKind::Packet { path, .. } = &event.kind else { continue };
            if files.iter().any(|file| file.path == *path) {
                continue;
            }
            let span = event.span;
            let capture = Capture::create(path).map_err(|e| {
                Diagnostic::error(
                    "output",
                    span,
                    format!("skboutput() cannot write to {path}: {}", system_words(&e)),
                )
            })?;
            files.push(File { path: path.clone(), span, capture: Some(capture) });
        }
        let mut rings = vec![];
        for cpu in job.kernel.online_cpus() {
            match open(*cpu, map.as_fd(), *pages) {
                Ok(ring) => rings.push(ring),
                // A CPU that went away in between sends nothing.
                Err(e) if e.raw_os_error() == Some(libc::ENODEV) => {}
                Err(e) => {
                    let problem = format!("no buffer for packets can be made: {}", system_words(&e));
                    let problem = Diagnostic::error("ring", None, problem);
                    return Err(problem.help("BPFTRACE_PERF_RB_PAGES sets how large they are together"));
                }
            }
        }
        Ok(Some(Packets { rings, later: vec![], files }))
    }

    /// What becomes readable when there are packets.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.iter().map(AsFd::as_fd)
    }

    /// Writes the packets that have come, in the order of their times. Some are left for the next time, but not at the
    /// end.
    pub fn drain(&mut self, actions: &mut Actions<'_>, end: bool) -> io::Result<()> {
        let now = clock(libc::CLOCK_BOOTTIME).saturating_sub(UNDER_WAY);
        let mut result = Ok(());
        for ring in &mut self.rings {
            ring.drain(|kind, _, rest| {
                if kind == libbpf_sys::PERF_RECORD_SAMPLE
                    && let Some(record) = raw(rest)
                    && let Err(e) = actions.packet(record)
                {
                    result = Err(e);
                }
            });
        }
        self.later.append(&mut actions.packets);
        self.later.sort_by_key(|packet| packet.time);
        let ready = if end { self.later.len() } else { self.later.partition_point(|p| p.time < now) };
        for packet in self.later.drain(..ready) {
            if let Some(file) = self.files.iter_mut().find(|file| file.path == packet.path) {
                file.write(|to| to.packet(packet.wall, &packet.bytes, packet.whole), actions)?;
            }
        }
        if ready > 0 {
            for file in &mut self.files {
                file.write(Capture::flush, actions)?;
            }
        }
        result
    }
}

impl File {
    /// One that cannot be written is left alone from then on, which is said once; a reader that is gone is an error.
    fn write(
        &mut self,
        act: impl FnOnce(&mut Capture) -> io::Result<()>,
        actions: &mut Actions<'_>,
    ) -> io::Result<()> {
        match self.capture.as_mut().map_or(Ok(()), act) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                self.capture = None;
                let text =
                    format!("skboutput() cannot write to {} any more: {}", self.path, system_words(&e));
                actions.complain(self.span, &text)
            }
            done => done,
        }
    }
}

/// One CPU's buffer, known to the programs by the map.
fn open(cpu: u32, map: BorrowedFd<'_>, pages: usize) -> io::Result<PerfRing> {
    let mut attr = libbpf_sys::perf_event_attr {
        type_: libbpf_sys::PERF_TYPE_SOFTWARE,
        size: size_of::<libbpf_sys::perf_event_attr>() as u32,
        config: libbpf_sys::PERF_COUNT_SW_BPF_OUTPUT.into(),
        sample_type: libbpf_sys::PERF_SAMPLE_RAW.into(),
        ..Default::default()
    };
    attr.__bindgen_anon_1.sample_period = 1;
    attr.__bindgen_anon_2.wakeup_events = 1;
    let ring = PerfRing::map(open_event(&attr, -1, Some(cpu))?, pages)?;
    let event = ring.as_fd().as_raw_fd();
    // SAFETY: key and value are 32-bit numbers, as the map's are.
    let failed = unsafe {
        libbpf_sys::bpf_map_update_elem(
            map.as_raw_fd(),
            (&raw const cpu).cast(),
            (&raw const event).cast(),
            0,
        )
    };
    if failed == 0 { Ok(ring) } else { Err(io::Error::last_os_error()) }
}

/// What a program sent, of a sample that is a `u32` size and as many bytes, of which the last ones are padding.
fn raw(sample: &[u8]) -> Option<&[u8]> {
    let (size, rest) = sample.split_first_chunk::<4>()?;
    rest.get(..u32::from_ne_bytes(*size) as usize)
}

#[cfg(test)]
mod tests {
    use super::raw;

    #[test]
    fn samples_are_as_long_as_they_say() {
        let sample = [&3u32.to_ne_bytes()[..], b"abc", b"padding"].concat();
        assert_eq!(raw(&sample), Some(&b"abc"[..]));
        assert_eq!((raw(&sample[..6]), raw(&sample[..3])), (None, None));
    }
}
