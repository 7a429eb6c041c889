//! Addresses to names, for the kernel and for processes.

use crate::config::Config;

/// Symbolizes addresses; opens what it needs when it first needs it.
pub struct Symbols {}

/// One name for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    pub name: String,
    pub offset: u64,
    /// The module or the file it is in.
    pub module: Option<String>,
}

impl Symbols {
    /// Opens nothing yet.
    pub fn new(config: &Config) -> Symbols {
        let _ = config;
        todo!()
    }

    /// Remembers a process's mappings as they are now, so that its addresses can be named after it is gone. Cheap
    /// (one read of `/proc/PID/maps`); good moments are when the child of `-c` has just executed its program,
    /// and when it is about to exit.
    pub fn keep(&mut self, pid: u32) {
        let _ = pid;
        todo!()
    }
}
