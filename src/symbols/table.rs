//! Small symbol tables of our own: perf maps and the vDSO.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use object::{Object, ObjectSymbol};

use super::maps::{self, Content, Names};

/// Symbols by address.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    start: u64,
    size: u64,
    name: String,
}

impl Table {
    fn new(mut entries: Vec<Entry>) -> Table {
        entries.sort_by_key(|e| e.start);
        Table { entries }
    }

    /// The name of what is at an address, and how far into it.
    pub fn find(&self, address: u64) -> Option<(&str, u64)> {
        let after = self.entries.partition_point(|e| e.start <= address);
        let entry = self.entries.get(after.checked_sub(1)?)?;
        let offset = address - entry.start;
        (offset < entry.size).then_some((&entry.name, offset))
    }
}

/// `perf-PID.map`: what a compiler at run time says about its code, a line `start size name` each, in hex.
#[derive(Debug)]
pub(super) struct PerfMap {
    path: PathBuf,
    /// The only user whose file is believed.
    owner: u32,
    read: Option<(u64, SystemTime)>,
    table: Table,
}

impl PerfMap {
    /// Of a process, whose `/tmp` need not be ours, nor its number.
    pub fn of(pid: u32) -> Option<PerfMap> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let owner = fs::metadata(&process).ok()?.uid();
        let status = fs::read_to_string(process.join("status")).ok()?;
        let own_pid = status
            .lines()
            .find_map(|l| l.strip_prefix("NSpid:"))
            .and_then(|l| l.split_whitespace().last())
            .and_then(|n| n.parse::<u32>().ok())
            .unwrap_or(pid);
        Some(PerfMap {
            path: process.join(format!("root/tmp/perf-{own_pid}.map")),
            owner,
            read: None,
            table: Table::default(),
        })
    }

    /// Reads what has been added since the last time.
    pub fn find(&mut self, address: u64) -> Option<(&str, u64)> {
        // Anyone may write to /tmp: a file of another user could make names up, and a pipe could hold us up.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(&self.path);
        // A process that has gone takes its `/proc` with it, but not what was read.
        if let Ok(file) = file
            && let Ok(about) = file.metadata()
            && about.is_file()
            && about.uid() == self.owner
        {
            let now = about.modified().ok().map(|time| (about.len(), time));
            if self.read.is_none() || self.read != now {
                self.table = Table::new(parse(BufReader::new(file)));
                self.read = now;
            }
        }
        self.table.find(address)
    }
}

fn parse(mut input: impl BufRead) -> Vec<Entry> {
    let mut entries = vec![];
    let mut line = vec![];
    loop {
        line.clear();
        match input.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return entries,
            Ok(_) => (),
        }
        let text = String::from_utf8_lossy(&line);
        let mut words = text.trim_end().splitn(3, ' ');
        let mut hex = || u64::from_str_radix(words.next()?.trim_start_matches("0x"), 16).ok();
        if let (Some(start), Some(size)) = (hex(), hex())
            && let Some(name) = words.next()
        {
            entries.push(Entry { start, size, name: name.to_owned() });
        }
    }
}

/// The vDSO's symbols by their offsets, from our own: the kernel maps the same one into every process. Empty if
/// its size is another, as in a 32-bit process.
pub(super) fn vdso(size: u64) -> Table {
    own_vdso(size).unwrap_or_default()
}

fn own_vdso(size: u64) -> Option<Table> {
    let text = fs::read_to_string("/proc/self/maps").ok()?;
    let own = maps::parse(&text, &mut Names::default()).into_iter().find(|m| m.of == Content::Vdso)?;
    if own.end - own.start != size || size > 1 << 20 {
        return None;
    }
    let mut memory = File::open(Path::new("/proc/self/mem")).ok()?;
    memory.seek(SeekFrom::Start(own.start)).ok()?;
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    memory.read_exact(&mut bytes).ok()?;
    let elf = object::File::parse(&*bytes).ok()?;
    let entries = elf
        .dynamic_symbols()
        .filter(|s| s.size() > 0)
        .filter_map(|s| Some(Entry { start: s.address(), size: s.size(), name: s.name().ok()?.to_owned() }));
    Some(Table::new(entries.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Table {
        Table::new(parse(text.as_bytes()))
    }

    #[test]
    fn lines_of_perf_maps() {
        let table = entries("2000 10 LazyCompile:~f file.js:1:2\nbroken\n0x1000 20 first\n");
        assert_eq!(table.find(0x1010), Some(("first", 0x10)));
        assert_eq!(table.find(0x1020), None);
        assert_eq!(table.find(0x2000), Some(("LazyCompile:~f file.js:1:2", 0)));
        assert_eq!(table.find(0), None);
        assert_eq!(table.find(u64::MAX), None);
    }

    #[test]
    fn a_perf_map_is_believed_if_it_is_its_owners_and_read_again_when_it_grows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("perf-1.map");
        fs::write(&path, "1000 10 a\n").unwrap();
        let owner = fs::metadata(&path).unwrap().uid();
        let map = |owner| PerfMap { path: path.clone(), owner, read: None, table: Table::default() };
        let mut own = map(owner);
        assert_eq!(own.find(0x1000), Some(("a", 0)));
        assert_eq!(own.find(0x3000), None);
        fs::write(&path, "1000 10 a\n3000 10 b\n").unwrap();
        assert_eq!(own.find(0x3001), Some(("b", 1)));
        fs::remove_file(&path).unwrap();
        assert_eq!(own.find(0x3001), Some(("b", 1)), "what was read stays");
        fs::write(&path, "1000 10 forged\n").unwrap();
        assert_eq!(map(owner + 1).find(0x1000), None);
        let target = dir.path().join("elsewhere");
        fs::rename(&path, &target).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert_eq!(map(owner).find(0x1000), None, "links are not followed");
    }

    #[test]
    fn the_vdso_has_the_clock() {
        let text = fs::read_to_string("/proc/self/maps").unwrap();
        let Some(own) = maps::parse(&text, &mut Names::default()).into_iter().find(|m| m.of == Content::Vdso)
        else {
            return;
        };
        let table = vdso(own.end - own.start);
        let clock = table.entries.iter().find(|e| e.name.ends_with("clock_gettime")).unwrap();
        assert!(table.find(clock.start + 1).unwrap().0.contains("clock_gettime"));
        assert!(vdso(4096 * 77).entries.is_empty());
    }
}
