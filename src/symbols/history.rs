//! What processes had mapped, also those that are gone: of processes that were there before us as we find it at the
//! start, of everything later as the kernel tells it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::maps::{self, Content, FileKey, Mapping, Names};
use super::record::{Event, Record};
use super::ring;
use crate::kernel::clock;
use crate::kernel::perf_ring::PerfRing;

/// How long we wait for the mappings at the start. Then it is over before the first probe is there, and nobody sees us
/// read them; where there are thousands of processes, it goes on meanwhile.
const AT_FIRST: Duration = Duration::from_millis(50);
/// How many processes are remembered. Past that, the half of the ended ones that ended first is forgotten.
const LIVES: usize = 16_384;

pub(super) struct History {
    rings: Vec<PerfRing>,
    /// What came so late that something before it may be still to come, from another CPU.
    later: Vec<Record>,
    told: Told,
    first: First,
}

/// The mappings of all processes at the start, by process.
type Snapshot = HashMap<u32, Vec<Mapping>>;

/// Reading all of `/proc` takes a while, so that it is done on the side.
enum First {
    Coming(Receiver<Snapshot>),
    There(Snapshot),
}

/// What the kernel has told.
struct Told {
    lives: HashMap<u32, Life>,
    /// When some of them are to be forgotten.
    limit: usize,
    names: Names,
    /// Files that were mapped once.
    files: HashSet<FileKey>,
    lost: u64,
}

impl Default for Told {
    fn default() -> Told {
        Told { lives: HashMap::new(), limit: LIVES, names: Names::default(), files: HashSet::new(), lost: 0 }
    }
}

struct Life {
    now: Image,
    /// What the process was before it executed another program, or who had its number before.
    before: Option<Image>,
    parent: u32,
    ended: Option<u64>,
}

/// One program in memory.
#[derive(Clone)]
struct Image {
    /// By address. A fork shares them.
    mappings: Rc<Vec<Mapping>>,
    /// The process whose mappings at the start hold too, below these.
    base: Option<u32>,
}

impl Life {
    /// One that was there before us.
    fn earlier(pid: u32) -> Life {
        let now = Image { mappings: Rc::default(), base: Some(pid) };
        Life { now, before: None, parent: 0, ended: None }
    }
}

impl History {
    /// Begins to listen, on these CPUs.
    ///
    /// # Errors
    /// As of [`ring::open`].
    pub fn begin(cpus: &[u32]) -> io::Result<History> {
        let rings = cpus.iter().map(|cpu| ring::open(*cpu)).collect::<io::Result<_>>()?;
        let (sender, receiver) = channel();
        // In this order, so that nothing is missed between them.
        // Whoever leaves tracers out of what is traced goes by the name.
        let thread = std::thread::Builder::new().name("bpftrace".into());
        thread.spawn(move || {
            // Nobody waits for it any more if tracing is over.
            let _ = sender.send(snapshot());
        })?;
        let first = match receiver.recv_timeout(AT_FIRST) {
            Ok(snapshot) => First::There(snapshot),
            Err(_) => First::Coming(receiver),
        };
        Ok(History { rings, later: vec![], told: Told::default(), first })
    }

    /// What becomes readable when there is much to read.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.iter().map(AsFd::as_fd)
    }

    /// Reads what the kernel has told since the last time. `new` gets each file that was not mapped before, with the
    /// process that has mapped it and that one's parent.
    pub fn update(&mut self, mut new: impl FnMut([u32; 2], &Mapping, &FileKey)) {
        let now = clock(libc::CLOCK_MONOTONIC);
        let records = &mut self.later;
        for ring in &mut self.rings {
            ring.drain(|kind, flags, bytes| records.extend(Record::parse(kind, flags, bytes)));
        }
        if records.is_empty() {
            return;
        }
        // Each CPU's are in order already. A process goes from one to another: what came while we read may be the
        // second half of something.
        records.sort_by_key(|record| record.time);
        let ready = records.partition_point(|record| record.time < now);
        for record in records.drain(..ready) {
            self.told.take(record, &mut new);
        }
    }

    /// How many records had no room.
    pub fn lost(&self) -> u64 {
        self.told.lost
    }

    /// Waits until the mappings at the start are known.
    fn first(&mut self) -> &Snapshot {
        if let First::Coming(receiver) = &self.first {
            self.first = First::There(receiver.recv().unwrap_or_default());
        }
        match &self.first {
            First::There(snapshot) => snapshot,
            First::Coming(_) => unreachable!("it has just come"),
        }
    }

    /// What a process had, or has, at an address.
    pub fn find(&mut self, pid: u32, address: u64) -> Option<Mapping> {
        let Some(life) = self.told.lives.get(&pid) else {
            return maps::find(self.first().get(&pid)?, address).cloned();
        };
        let mut bases = vec![];
        for image in [Some(&life.now), life.before.as_ref()].into_iter().flatten() {
            if let Some(mapping) = maps::find(&image.mappings, address) {
                return Some(mapping.clone());
            }
            bases.extend(image.base);
        }
        let first = if bases.is_empty() { return None } else { self.first() };
        bases.iter().find_map(|pid| maps::find(first.get(pid)?, address)).cloned()
    }
}

impl Told {
    fn take(&mut self, record: Record, new: &mut impl FnMut([u32; 2], &Mapping, &FileKey)) {
        let Record { pid, time, event } = record;
        match event {
            Event::Fork { parent } => {
                let now = self.life(parent).now.clone();
                let before = self.lives.remove(&pid).map(|earlier| earlier.now);
                self.lives.insert(pid, Life { now, before, parent, ended: None });
                if self.lives.len() > self.limit {
                    self.forget();
                }
            }
            Event::Execute => {
                let life = self.life(pid);
                let fresh = Image { mappings: Rc::default(), base: None };
                life.before = Some(std::mem::replace(&mut life.now, fresh));
            }
            Event::Exit => self.life(pid).ended = Some(time),
            Event::Lost(count) => self.lost += count,
            Event::Map(map) => {
                let mapping = map.mapping(&mut self.names);
                let life = self.life(pid);
                let parent = life.parent;
                put(Rc::make_mut(&mut life.now.mappings), mapping.clone());
                if let Content::File(key) = &mapping.of
                    && self.files.insert(key.clone())
                {
                    new([pid, parent], &mapping, key);
                }
            }
        }
    }

    fn life(&mut self, pid: u32) -> &mut Life {
        self.lives.entry(pid).or_insert_with(|| Life::earlier(pid))
    }

    fn forget(&mut self) {
        let mut ends: Vec<u64> = self.lives.values().filter_map(|life| life.ended).collect();
        let middle = ends.len() / 2;
        if middle > 0 {
            let (_, last, _) = ends.select_nth_unstable(middle);
            let last = *last;
            self.lives.retain(|_, life| life.ended.is_none_or(|at| at > last));
        }
        // Where most are alive, it is not tried again for each new one.
        self.limit = LIVES.max(self.lives.len() * 2);
        self.names = Names::default();
        self.files.clear();
    }
}

/// Adds a mapping in place of those that it covers.
fn put(mappings: &mut Vec<Mapping>, new: Mapping) {
    let from = mappings.partition_point(|m| m.end <= new.start);
    let to = mappings.partition_point(|m| m.start < new.end);
    mappings.splice(from..to.max(from), [new]);
}

/// The mappings of all processes that there are.
fn snapshot() -> Snapshot {
    let mut names = Names::default();
    let Ok(entries) = fs::read_dir("/proc") else { return Snapshot::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
        let mappings = maps::parse(&text, &mut names);
        (!mappings.is_empty()).then_some((pid, mappings))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::record::Map;
    use super::*;

    fn map(pid: u32, time: u64, start: u64, path: &str) -> Record {
        let map = Map {
            start,
            len: 0x1000,
            offset: 0,
            device: (8, 1),
            inode: path.len() as u64,
            path: path.to_owned(),
        };
        Record { pid, time, event: Event::Map(map) }
    }

    fn event(pid: u32, time: u64, event: Event) -> Record {
        Record { pid, time, event }
    }

    fn told(records: impl IntoIterator<Item = Record>) -> (History, Vec<String>) {
        let mut history = History {
            rings: vec![],
            later: vec![],
            told: Told::default(),
            first: First::There(Snapshot::new()),
        };
        let mut files = vec![];
        for record in records {
            history.told.take(record, &mut |pids, _, key| files.push(format!("{pids:?} {}", key.path)));
        }
        (history, files)
    }

    fn path(history: &mut History, pid: u32, address: u64) -> Option<String> {
        match history.find(pid, address)?.of {
            Content::File(key) => Some(key.path.to_string()),
            other => Some(format!("{other:?}")),
        }
    }

    #[test]
    fn a_process_has_what_its_parent_had_until_it_executes_and_then_still_by_its_old_addresses() {
        let (mut history, files) = told([
            map(1, 1, 0x1000, "/bin/sh"),
            event(2, 2, Event::Fork { parent: 1 }),
            map(1, 3, 0x9000, "/lib/later.so"),
            event(2, 4, Event::Execute),
            map(2, 5, 0x5000, "/bin/ls"),
            event(2, 6, Event::Exit),
        ]);
        assert_eq!(path(&mut history, 2, 0x5001).unwrap(), "/bin/ls");
        assert_eq!(path(&mut history, 2, 0x1001).unwrap(), "/bin/sh");
        assert_eq!(path(&mut history, 2, 0x9001), None);
        assert_eq!(path(&mut history, 1, 0x9001).unwrap(), "/lib/later.so");
        assert_eq!(path(&mut history, 3, 0x1001), None);
        assert_eq!(files, ["[1, 0] /bin/sh", "[1, 0] /lib/later.so", "[2, 1] /bin/ls"]);
    }

    #[test]
    fn what_was_there_before_us_is_below_what_came_later() {
        let (mut history, _) = told([
            event(2, 2, Event::Fork { parent: 1 }),
            event(3, 3, Event::Fork { parent: 2 }),
            map(3, 4, 0x1000, "/lib/over.so"),
        ]);
        let text = "1000-3000 r-xp 00000000 08:01 42 /bin/old\n";
        let first = Snapshot::from([(1, maps::parse(text, &mut Names::default()))]);
        history.first = First::There(first);
        assert_eq!(path(&mut history, 1, 0x1001).unwrap(), "/bin/old");
        assert_eq!(path(&mut history, 3, 0x1001).unwrap(), "/lib/over.so");
        assert_eq!(path(&mut history, 3, 0x2001).unwrap(), "/bin/old", "of its parent's parent");
    }

    #[test]
    fn a_mapping_replaces_what_it_covers() {
        let (mut history, _) =
            told([map(1, 1, 0x1000, "/a"), map(1, 2, 0x2000, "/b"), map(1, 3, 0x1800, "/c")]);
        assert_eq!(path(&mut history, 1, 0x1900).unwrap(), "/c");
        assert_eq!(path(&mut history, 1, 0x2900), None);
    }

    #[test]
    fn those_that_ended_first_are_forgotten_first() {
        let many = LIVES as u32 + 10;
        let ends = (1..many).map(|pid| event(pid, pid.into(), Event::Exit));
        let (mut history, _) = told(ends.chain([event(many, 0, Event::Fork { parent: many + 1 })]));
        assert!(history.told.lives.len() < LIVES * 3 / 4);
        assert!(!history.told.lives.contains_key(&1) && history.told.lives.contains_key(&(many - 1)));
        assert!(history.told.lives.contains_key(&many), "what runs is not");
        assert_eq!(history.find(1, 0x1000), None);
    }

    /// Needs to be root.
    #[test]
    fn a_process_that_has_come_and_gone() {
        let cpus = crate::kernel::Kernel::new().online_cpus().to_vec();
        let mut history = match History::begin(&cpus) {
            Ok(history) => history,
            Err(e) => return crate::testing::skip("root", format!("perf events of all processes: {e}")),
        };
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let mut seen = vec![];
        history.update(|[pid, parent], mapping, key| seen.push((pid, parent, mapping.start, key.clone())));
        let (_, parent, start, key) =
            seen.iter().find(|(of, .., key)| *of == pid && key.path.ends_with("/true")).unwrap();
        assert_eq!(*parent, std::process::id());
        assert_eq!(history.find(pid, *start).unwrap().of, Content::File(key.clone()));
        assert!(path(&mut history, pid, a_process_that_has_come_and_gone as fn() as usize as u64).is_some());
    }
}
