//! Files of packets, as tcpdump(8) and Wireshark read them: pcap-savefile(5).

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;

/// The byte order is ours, which readers see by this; times are in microseconds.
const MAGIC: u32 = 0xa1b2_c3d4;
const VERSION: [u16; 2] = [2, 4];
/// The most bytes that are kept of a packet.
const LONGEST: u32 = 65_535;
/// `LINKTYPE_RAW`: packets begin with the header of IPv4 or IPv6.
const RAW_IP: u32 = 101;

/// A file that packets are written to.
pub struct Capture {
    file: BufWriter<Box<dyn Write>>,
}

impl Capture {
    /// Makes the file anew; `-` is the standard output, as for tcpdump.
    pub fn create(path: &str) -> io::Result<Capture> {
        let file = match path {
            "-" => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            _ => File::create(path)?,
        };
        Capture::begin(Box::new(file))
    }

    fn begin(file: Box<dyn Write>) -> io::Result<Capture> {
        let mut file = BufWriter::new(file);
        file.write_all(&MAGIC.to_ne_bytes())?;
        VERSION.iter().try_for_each(|n| file.write_all(&n.to_ne_bytes()))?;
        // Times are in UTC, and nobody knows how exact they are.
        [0, 0, LONGEST, RAW_IP].iter().try_for_each(|n| file.write_all(&n.to_ne_bytes()))?;
        file.flush()?;
        Ok(Capture { file })
    }

    /// Adds a packet: its time in nanoseconds since 1970, its first bytes, and how many it has in all.
    pub fn packet(&mut self, time: u64, bytes: &[u8], whole: u32) -> io::Result<()> {
        // The format ends in 2106.
        let seconds = u32::try_from(time / 1_000_000_000).unwrap_or(u32::MAX);
        let micros = (time % 1_000_000_000 / 1000) as u32;
        let bytes = bytes.get(..LONGEST as usize).unwrap_or(bytes);
        let kept = bytes.len() as u32;
        let head = [seconds, micros, kept, whole.max(kept)];
        head.iter().try_for_each(|n| self.file.write_all(&n.to_ne_bytes()))?;
        self.file.write_all(bytes)
    }

    /// Lets others see what was added.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[derive(Clone, Default)]
    struct Shared(Rc<RefCell<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|n| n.to_ne_bytes()).collect()
    }

    #[test]
    fn a_header_and_packets_with_theirs() {
        let file = Shared::default();
        let mut capture = Capture::begin(Box::new(file.clone())).unwrap();
        let version = [2u16.to_ne_bytes(), 4u16.to_ne_bytes()].concat();
        let header = [words(&[0xa1b2_c3d4]), version, words(&[0, 0, 65_535, 101])].concat();
        // It is there before the first packet.
        assert_eq!(*file.0.borrow(), header);
        file.0.borrow_mut().clear();
        capture.packet(1_700_000_000_123_456_789, b"abc", 40).unwrap();
        capture.packet(5, &[7; 70_000], 0).unwrap();
        capture.flush().unwrap();
        let first = [words(&[1_700_000_000, 123_456, 3, 40]), b"abc".to_vec()].concat();
        let second = [words(&[0, 0, 65_535, 65_535]), vec![7; 65_535]].concat();
        assert_eq!(*file.0.borrow(), [first, second].concat());
    }
}
