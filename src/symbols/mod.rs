//! Addresses to names, for the kernel and for processes.
//!
//! Nothing is opened before the first address is asked for, and then only what that address needs: the kernel's
//! symbols for kernel addresses, a process's mappings and the one file that the address is in for its. Every answer
//! is kept.
//!
//! A process is most often gone when its addresses are named: [`Symbols::follow`] has the kernel tell what processes
//! map, from then on.

mod files;
mod history;
mod kernel;
mod maps;
mod process;
mod record;
mod ring;
mod table;

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{CacheUserSymbols, Config};
use files::Files;
use history::History;
use kernel::Kernel;
use maps::Mapping;
use process::Process;

/// A function that was inlined at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inlined {
    pub name: String,
    /// `/src/main.c:12`
    pub source: Option<String>,
}

/// A name for an address of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelSymbol<'a> {
    pub name: &'a str,
    pub offset: u64,
    pub module: Option<&'a str>,
}

/// A name for an address in a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    pub name: String,
    pub offset: u64,
    /// The file it is in.
    pub module: Option<Arc<str>>,
    /// `/src/main.c:12`, where debug information was asked for and found.
    pub source: Option<String>,
}

/// What an address in a stack stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Innermost first.
    pub inlined: Vec<Inlined>,
    pub symbol: Option<Symbol>,
}

/// Symbolizes addresses; opens what it needs when it first needs it.
pub struct Symbols {
    kernel: Kernel,
    sources: Sources,
    processes: HashMap<u32, Process>,
    debug_info: bool,
    keep: bool,
}

/// Where the names of processes' addresses come from.
struct Sources {
    files: Files,
    history: Option<History>,
}

impl Sources {
    /// What a process had mapped at an address earlier, if that was followed.
    fn past(&mut self, pid: u32, address: u64) -> Option<Mapping> {
        self.update();
        self.history.as_mut()?.find(pid, address)
    }

    fn update(&mut self) {
        let Sources { files, history } = self;
        if let Some(history) = history {
            history.update(|pids, mapping, key| files.open_early(pids, mapping, key));
        }
    }
}

/// How many processes are remembered. Past that, all but the kept ones are forgotten: tracing a build sees a new one
/// every millisecond.
const PROCESSES: usize = 4096;

impl Symbols {
    /// Opens nothing yet. `debug_files` are directories in which separate debug information is looked for first.
    pub fn new(config: &Config, debug_files: &[PathBuf]) -> Symbols {
        Symbols {
            kernel: Kernel::default(),
            sources: Sources { files: Files::new(config.cpp_demangle, debug_files), history: None },
            processes: HashMap::new(),
            debug_info: config.show_debug_info,
            keep: config.cache_user_symbols != CacheUserSymbols::None,
        }
    }

    /// The kernel's or a module's function at an address.
    pub fn kernel(&mut self, address: u64) -> Option<KernelSymbol<'_>> {
        self.kernel.find(address)
    }

    /// The function at an address in a process, by the symbol tables only.
    pub fn user(&mut self, pid: u32, address: u64) -> Option<&Symbol> {
        let (process, sources) = self.process(pid);
        process.symbol(address, sources)
    }

    /// The same for a frame of a stack: with debug information, where it is there and wanted (`show_debug_info`).
    pub fn frame(&mut self, pid: u32, address: u64) -> &Frame {
        let debug_info = self.debug_info;
        let (process, sources) = self.process(pid);
        process.frame(address, debug_info, sources)
    }

    /// The build ID of the file mapped there, and the address's offset in the file.
    pub fn build_id(&mut self, pid: u32, address: u64) -> Option<(&[u8], u64)> {
        let (process, sources) = self.process(pid);
        process.build_id(address, sources)
    }

    /// Remembers a process's mappings as they are now, and opens the files, so that its addresses can be named after
    /// it is gone. Good moments are when the child of `-c` has just executed its program, and when it is about to
    /// exit. Says whether any file was mapped.
    pub fn keep(&mut self, pid: u32) -> bool {
        let (process, sources) = self.process(pid);
        process.keep(sources)
    }

    /// Follows what processes map, from now on, so that addresses can be named of processes that have ended or execute
    /// another program by then. Says whether it does: nothing is to be kept with `cache_user_symbols = NONE`.
    ///
    /// # Errors
    /// The kernel's, if it does not tell: addresses of processes that are gone are then shown as numbers.
    pub fn follow(&mut self, cpus: &[u32]) -> io::Result<bool> {
        if self.keep {
            self.sources.history = Some(History::begin(cpus)?);
        }
        Ok(self.keep)
    }

    /// How much of what is followed the kernel had no room for.
    pub fn lost(&self) -> u64 {
        self.sources.history.as_ref().map_or(0, History::lost)
    }

    /// What becomes readable when [`Symbols::update`] has much to do; none if nothing is followed.
    pub fn followed(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sources.history.iter().flat_map(History::descriptors)
    }

    /// Takes note of what the kernel has told. Good from time to time: files are opened while there is a way to them.
    pub fn update(&mut self) {
        self.sources.update();
    }

    fn process(&mut self, pid: u32) -> (&mut Process, &mut Sources) {
        if !self.keep || (self.processes.len() >= PROCESSES && !self.processes.contains_key(&pid)) {
            self.processes.retain(|_, process| process.is_kept());
        }
        let process = self.processes.entry(pid).or_insert_with(|| Process::new(pid));
        process.check();
        (process, &mut self.sources)
    }
}

#[cfg(test)]
mod tests;
