//! The kernel's records about processes: `enum perf_event_type` of `<linux/perf_event.h>`.

use super::maps::{Content, FileKey, Mapping, Names};

const LOST: u32 = 2;
const COMM: u32 = 3;
const EXIT: u32 = 4;
const FORK: u32 = 7;
const MMAP2: u32 = 10;

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub pid: u32,
    /// In nanoseconds since boot, without suspensions.
    pub time: u64,
    pub event: Event,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Fork {
        parent: u32,
    },
    Execute,
    Exit,
    Map(Map),
    /// So many records had no room. They are of any process.
    Lost(u64),
}

/// Something executable that was mapped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Map {
    pub start: u64,
    pub len: u64,
    pub offset: u64,
    pub device: (u32, u32),
    pub inode: u64,
    pub path: String,
}

impl Record {
    /// `None` for what is of no interest: threads, other kinds, processes outside of our pid namespace, and what is too
    /// short.
    pub fn parse(kind: u32, flags: u16, bytes: &[u8]) -> Option<Record> {
        let u32_at = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let u64_at = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        // `sample_id_all` with only the time.
        let time_at = bytes.len().checked_sub(8)?;
        if kind == LOST {
            // u64 id, lost.
            return Some(Record { pid: 0, time: u64_at(time_at)?, event: Event::Lost(u64_at(8)?) });
        }
        let pid = u32_at(0)?;
        // What the kernel writes for a process that our namespace does not have, and for one without a number any more.
        if matches!(pid, 0 | u32::MAX) {
            return None;
        }
        let event = match kind {
            // u32 pid, ppid, tid, ptid; u64 time. Threads have their process's pid.
            FORK if u32_at(8)? == pid => Event::Fork { parent: u32_at(4)? },
            EXIT if u32_at(8)? == pid => Event::Exit,
            // u32 pid, tid; the name.
            COMM if u32::from(flags) & libbpf_sys::PERF_RECORD_MISC_COMM_EXEC != 0 => Event::Execute,
            // u32 pid, tid; u64 addr, len, pgoff; u32 maj, min; u64 ino, ino_generation; u32 prot, flags; the path.
            MMAP2 => {
                let path = bytes.get(64..time_at)?;
                let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
                Event::Map(Map {
                    start: u64_at(8)?,
                    len: u64_at(16)?,
                    offset: u64_at(24)?,
                    device: (u32_at(32)?, u32_at(36)?),
                    inode: u64_at(40)?,
                    path: String::from_utf8_lossy(path).into_owned(),
                })
            }
            _ => return None,
        };
        Some(Record { pid, time: u64_at(time_at)?, event })
    }
}

impl Map {
    /// As `/proc/PID/maps` has it.
    pub fn mapping(&self, names: &mut Names) -> Mapping {
        let device = format!("{:02x}:{:02x}", self.device.0, self.device.1);
        Mapping {
            start: self.start,
            end: self.start.saturating_add(self.len),
            offset: self.offset,
            of: match FileKey::new(&device, self.inode, &self.path, names) {
                Some(key) => Content::File(key),
                None if self.path == "[vdso]" => Content::Vdso,
                None => Content::Anonymous,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: &[u32], rest: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend(rest);
        bytes.extend(77u64.to_ne_bytes());
        bytes
    }

    #[test]
    fn records_of_processes() {
        let fork = bytes(&[5, 4, 5, 4, 0, 0], &[]);
        let expected = Record { pid: 5, time: 77, event: Event::Fork { parent: 4 } };
        assert_eq!(Record::parse(FORK, 0, &fork), Some(expected));
        assert_eq!(Record::parse(FORK, 0, &bytes(&[5, 5, 6, 5, 0, 0], &[])), None, "a thread");
        let exit = Record { pid: 5, time: 77, event: Event::Exit };
        assert_eq!(Record::parse(EXIT, 0, &fork), Some(exit));
        let comm = bytes(&[5, 5], b"name\0\0\0\0");
        assert_eq!(Record::parse(COMM, 0, &comm), None, "a thread's own name");
        assert_eq!(Record::parse(COMM, 1 << 13, &comm).unwrap().event, Event::Execute);
        assert_eq!(Record::parse(COMM, 1 << 13, &[]), None);
        assert_eq!(
            Record::parse(COMM, 1 << 13, &bytes(&[0, 0], b"name\0\0\0\0")),
            None,
            "of another namespace"
        );
        assert_eq!(Record::parse(LOST, 0, &bytes(&[1, 0, 9, 0], &[])).unwrap().event, Event::Lost(9));
    }

    #[test]
    fn mappings_are_those_of_maps() {
        let words = [5, 6, 0x1000, 0, 0x2000, 0, 0x3000, 0, 8, 17, 42, 0, 0, 0, 5, 2];
        let map = |path: &[u8]| match Record::parse(MMAP2, 2, &bytes(&words, path)).unwrap().event {
            Event::Map(map) => map.mapping(&mut Names::default()),
            other => panic!("{other:?}"),
        };
        let text = "1000-3000 r-xp 3000 08:11 42  /bin/true\n";
        assert_eq!(
            [map(b"/bin/true\0\0\0\0\0\0\0")],
            *super::super::maps::parse(text, &mut Names::default())
        );
        assert_eq!(map(b"[vdso]\0\0").of, Content::Vdso);
        assert_eq!(
            map(b"//anon\0\0").of,
            Content::Anonymous,
            "it has an inode here, but in fact it has none"
        );
        assert_eq!(Record::parse(MMAP2, 2, &bytes(&words[..9], &[])), None);
    }
}
