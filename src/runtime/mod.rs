//! Loads an image, attaches it, does what its programs ask for, and shows what its maps hold at the end.
//!
//! Nothing here knows how the image came about: a compiled script from a file runs the same.

pub mod attaching;
mod child;
mod entries;
mod epoll;
mod events;
mod load;
mod losses;
mod maps;
mod order;
mod packets;
mod ring;
mod session;
mod signals;
mod sums;
#[cfg(test)]
mod tests;
mod trials;
mod verifier;

use std::io::Write;
use std::path::PathBuf;

use crate::config::Config;
use crate::diagnostics::{Diagnostic, Sources};
use crate::image::{Image, Target};
use crate::kernel::Kernel;
use crate::output::{Buffering, Form};

pub use child::{Child, Process};
pub use session::run;

/// Which probes are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// All but those for tests and benchmarks.
    #[default]
    Trace,
    /// `test` probes, one after the other.
    Test,
    /// `bench` probes.
    Bench,
}

impl Purpose {
    /// Whether what goes there is loaded.
    pub fn wants(self, target: &Target) -> bool {
        match target {
            Target::Begin | Target::End => true,
            Target::Test => self == Purpose::Test,
            Target::Bench => self == Purpose::Bench,
            _ => self == Purpose::Trace,
        }
    }
}

/// How to run a program.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `-p`
    pub pid: Option<u32>,
    /// `-o`
    pub output: Option<PathBuf>,
    pub form: Form,
    pub buffering: Buffering,
    /// Print only what the program prints.
    pub quiet: bool,
    pub verbose: bool,
    /// Attach, then leave.
    pub dry_run: bool,
    pub purpose: Purpose,
    pub warnings: bool,
    /// Print a line on stdout once all probes are attached, for test engines
    /// (`__BPFTRACE_NOTIFY_PROBES_ATTACHED`).
    pub notify_attached: bool,
    /// Show what libbpf says: `-d libbpf`.
    pub show_libbpf: bool,
    /// Show the verifier's log: `-d verifier`.
    pub show_verifier: bool,
}

/// A program to run, and what it runs with.
pub struct Job<'a> {
    pub image: &'a Image,
    pub options: &'a Options,
    pub config: &'a Config,
    pub kernel: &'a Kernel,
    /// For messages.
    pub sources: &'a Sources,
    /// The process of `-p`.
    pub target: Option<&'a Process>,
    /// The id of the command of `-c`.
    pub child: Option<u32>,
    /// The directories of `--debuginfo`.
    pub debug_files: &'a [PathBuf],
    /// Whether results of tests are colored.
    pub color: bool,
    /// Shows a message to the user.
    pub report: &'a dyn Fn(&Diagnostic),
}

/// What is said on the side, to stderr, if anybody reads that.
fn tell(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
