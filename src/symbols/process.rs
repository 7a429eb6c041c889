//! One process: its mappings, and what its addresses have turned out to be.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use super::maps::{self, Content, Mapping, Names};
use super::table::{PerfMap, Table, vdso};
use super::{Frame, Sources, Symbol};

/// How long a process is taken for the one it was: its number may be given anew, and it may execute another
/// program.
const TRUST: Duration = Duration::from_millis(250);
/// How often mappings are read again for addresses that are in none: libraries are loaded, compilers at run time add
/// code, and broken stacks have addresses of nothing.
const REREAD: Duration = Duration::from_millis(50);
/// How many addresses are remembered; a stack unwound without frame pointers is full of new ones.
const ADDRESSES: usize = 100_000;

pub(super) struct Process {
    pid: u32,
    identity: Option<Identity>,
    kept: bool,
    checked: Option<Instant>,
    read: Option<Instant>,
    mappings: Vec<Mapping>,
    perf_map: Option<PerfMap>,
    vdso: Option<Table>,
    symbols: HashMap<u64, Option<Symbol>>,
    frames: HashMap<u64, Frame>,
}

/// When it was started, and its executable's inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    start: u64,
    executable: Option<u64>,
}

impl Identity {
    /// `None` once the process is gone or only waits to be.
    fn of(pid: u32) -> Option<Identity> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        if matches!(fields.next(), Some("Z" | "X")) {
            return None;
        }
        // proc(5): the start time is field 22; the state, which has been taken, is field 3.
        let start = fields.nth(18)?.parse().ok()?;
        let executable = fs::metadata(format!("/proc/{pid}/exe")).ok().map(|about| about.ino());
        Some(Identity { start, executable })
    }
}

impl Process {
    pub fn new(pid: u32) -> Process {
        Process {
            pid,
            identity: None,
            kept: false,
            checked: None,
            read: None,
            mappings: vec![],
            perf_map: None,
            vdso: None,
            symbols: HashMap::new(),
            frames: HashMap::new(),
        }
    }

    /// Forgets everything if the number now means another process or program. One that is gone stays as it was.
    pub fn check(&mut self) {
        if self.checked.is_some_and(|at| at.elapsed() < TRUST) {
            return;
        }
        let identity = Identity::of(self.pid);
        if let Some(identity) = identity
            && self.identity != Some(identity)
        {
            *self = Process { identity: Some(identity), kept: self.kept, ..Process::new(self.pid) };
        }
        self.checked = Some(Instant::now());
    }

    /// Whether it is to be remembered whatever else is forgotten.
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// Reads the mappings as they are now and opens what they map. Says whether there was any file.
    pub fn keep(&mut self, sources: &mut Sources) -> bool {
        self.kept = true;
        self.read();
        for mapping in &self.mappings {
            if let Content::File(key) = &mapping.of {
                sources.files.open(self.pid, mapping, key);
            }
        }
        if self.perf_map.is_none() {
            self.perf_map = PerfMap::of(self.pid);
        }
        self.mappings.iter().any(|mapping| matches!(mapping.of, Content::File(_)))
    }

    fn read(&mut self) {
        self.read = Some(Instant::now());
        let Ok(text) = fs::read_to_string(format!("/proc/{}/maps", self.pid)) else { return };
        // A process that has ended has none, and what it had is still true of its addresses.
        let mappings = maps::parse(&text, &mut Names::default());
        if !mappings.is_empty() {
            self.mappings = mappings;
        }
    }

    /// The mapping of an address; a copy, so that it can be looked into while files are opened.
    fn mapping(&mut self, address: u64, sources: &mut Sources) -> Option<Mapping> {
        if self.read.is_none() {
            self.read();
        }
        if maps::find(&self.mappings, address).is_none() && self.read.is_none_or(|at| at.elapsed() > REREAD) {
            self.read();
        }
        // It may have ended, executed another program, or unmapped a library since.
        maps::find(&self.mappings, address).cloned().or_else(|| sources.past(self.pid, address))
    }

    pub fn symbol(&mut self, address: u64, sources: &mut Sources) -> Option<&Symbol> {
        if !self.symbols.contains_key(&address) {
            let symbol = self.find(address, sources);
            if self.symbols.len() >= ADDRESSES {
                self.symbols.clear();
            }
            self.symbols.insert(address, symbol);
        }
        self.symbols.get(&address)?.as_ref()
    }

    fn find(&mut self, address: u64, sources: &mut Sources) -> Option<Symbol> {
        let pid = self.pid;
        match self.mapping(address, sources) {
            Some(mapping) => match &mapping.of {
                Content::File(key) => {
                    let offset = address - mapping.start + mapping.offset;
                    sources.files.symbol(pid, &mapping, key, offset)
                }
                Content::Vdso => {
                    let table = self.vdso.get_or_insert_with(|| vdso(mapping.end - mapping.start));
                    let found = table.find(address - mapping.start)?;
                    Some(symbol(found, "[vdso]"))
                }
                Content::Anonymous => self.compiled(address),
            },
            None => self.compiled(address),
        }
    }

    /// Code that was made at run time.
    fn compiled(&mut self, address: u64) -> Option<Symbol> {
        if self.perf_map.is_none() {
            self.perf_map = PerfMap::of(self.pid);
        }
        let name = format!("/tmp/perf-{}.map", self.pid);
        self.perf_map.as_mut()?.find(address).map(|found| symbol(found, &name))
    }

    pub fn frame(&mut self, address: u64, debug_info: bool, sources: &mut Sources) -> &Frame {
        if !self.frames.contains_key(&address) {
            let frame = self.make_frame(address, debug_info, sources);
            if self.frames.len() >= ADDRESSES {
                self.frames.clear();
            }
            self.frames.insert(address, frame);
        }
        self.frames.entry(address).or_default()
    }

    fn make_frame(&mut self, address: u64, debug_info: bool, sources: &mut Sources) -> Frame {
        if debug_info
            && let Some(mapping) = self.mapping(address, sources)
            && let Content::File(key) = &mapping.of
        {
            let offset = address - mapping.start + mapping.offset;
            return sources.files.frame(self.pid, &mapping, key, offset);
        }
        Frame { inlined: vec![], symbol: self.symbol(address, sources).cloned() }
    }

    pub fn build_id<'f>(&mut self, address: u64, sources: &'f mut Sources) -> Option<(&'f [u8], u64)> {
        let mapping = self.mapping(address, sources)?;
        let Content::File(key) = &mapping.of else { return None };
        let offset = address - mapping.start + mapping.offset;
        Some((sources.files.build_id(self.pid, &mapping, key)?, offset))
    }
}

fn symbol((name, offset): (&str, u64), module: &str) -> Symbol {
    Symbol { name: name.to_owned(), offset, module: Some(module.into()), source: None }
}
