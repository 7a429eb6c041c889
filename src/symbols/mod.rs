//! Addresses to names, for the kernel and for processes.
//!
//! Nothing is opened before the first address is asked for, and then only what that address needs: the kernel's
//! symbols for kernel addresses, a process's mappings and the one file that the address is in for its. Every answer
//! is kept.

mod files;
mod kernel;
mod maps;
mod process;
mod table;

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{CacheUserSymbols, Config};
use files::Files;
use kernel::Kernel;
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
    files: Files,
    processes: HashMap<u32, Process>,
    debug_info: bool,
    keep: bool,
}

/// How many processes are remembered. Past that, all but the kept ones are forgotten: tracing a build sees a new one
/// every millisecond.
const PROCESSES: usize = 4096;

impl Symbols {
    /// Opens nothing yet.
    pub fn new(config: &Config) -> Symbols {
        Symbols {
            kernel: Kernel::default(),
            files: Files::new(config.cpp_demangle),
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
        let (process, files) = self.process(pid);
        process.symbol(address, files)
    }

    /// The same for a frame of a stack: with debug information, where it is there and wanted (`show_debug_info`).
    pub fn frame(&mut self, pid: u32, address: u64) -> &Frame {
        let debug_info = self.debug_info;
        let (process, files) = self.process(pid);
        process.frame(address, debug_info, files)
    }

    /// The build ID of the file mapped there, and the address's offset in the file.
    pub fn build_id(&mut self, pid: u32, address: u64) -> Option<(&[u8], u64)> {
        let (process, files) = self.process(pid);
        process.build_id(address, files)
    }

    /// Remembers a process's mappings as they are now, and opens the files, so that its addresses can be named after
    /// it is gone. Good moments are when the child of `-c` has just executed its program, and when it is about to
    /// exit. Says whether any file was mapped.
    pub fn keep(&mut self, pid: u32) -> bool {
        let (process, files) = self.process(pid);
        process.keep(files)
    }

    fn process(&mut self, pid: u32) -> (&mut Process, &mut Files) {
        if !self.keep || (self.processes.len() >= PROCESSES && !self.processes.contains_key(&pid)) {
            self.processes.retain(|_, process| process.is_kept());
        }
        let process = self.processes.entry(pid).or_insert_with(|| Process::new(pid));
        process.check();
        (process, &mut self.files)
    }
}

#[cfg(test)]
mod tests;
