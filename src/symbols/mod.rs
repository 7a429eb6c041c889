//! Addresses to names, for the kernel and for processes.
//!
//! Nothing is opened before the first address is asked for, and then only what that address needs.

use std::sync::Arc;

use crate::config::Config;

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
    frame: Frame,
}

impl Symbols {
    /// Opens nothing yet.
    pub fn new(config: &Config) -> Symbols {
        let _ = config;
        Symbols { frame: Frame::default() }
    }

    pub fn kernel(&mut self, address: u64) -> Option<KernelSymbol<'_>> {
        let _ = address;
        None
    }

    /// By the symbol tables only.
    pub fn user(&mut self, pid: u32, address: u64) -> Option<&Symbol> {
        let _ = (pid, address);
        None
    }

    /// With debug information, where it is there and wanted (`show_debug_info`).
    pub fn frame(&mut self, pid: u32, address: u64) -> &Frame {
        let _ = (pid, address);
        &self.frame
    }

    /// The build ID of the file mapped there, and the address's offset in the file.
    pub fn build_id(&mut self, pid: u32, address: u64) -> Option<(&[u8], u64)> {
        let _ = (pid, address);
        None
    }

    /// Remembers a process's mappings as they are now, so that its addresses can be named after it is gone. Cheap
    /// (one read of `/proc/PID/maps`); good moments are when the child of `-c` has just executed its program,
    /// and when it is about to exit.
    pub fn keep(&mut self, pid: u32) {
        let _ = pid;
    }
}
