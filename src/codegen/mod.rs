//! `ir` to LLVM to a BPF ELF object. The only room that knows LLVM.

use crate::config::Config;
use crate::image::Image;
use crate::ir;
use crate::kernel::Feature;

/// What code generation has to know besides the program.
pub struct Options<'a> {
    pub config: &'a Config,
    pub has: &'a dyn Fn(Feature) -> bool,
    /// Possible CPUs, for the size of scratch memory.
    pub cpus: u32,
    /// Source name and text, for the line information in the object.
    pub source: (&'a str, &'a str),
    /// `-k`: report failed reads.
    pub report_helper_errors: bool,
    /// Run LLVM's verifier on what was generated (`--verify-llvm-ir`; always in debug builds).
    pub verify: bool,
    /// Called with the module's text before and after optimisation: `-d codegen`, `-d codegen-opt`.
    pub dump: Option<&'a mut dyn FnMut(Stage, &str)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Generated,
    Optimised,
}

/// Code generation failed. That is a bug of this program, whatever the script.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("LLVM: {0}")]
    Llvm(String),
    #[error("cannot generate code: {0}")]
    Internal(String),
}

/// Compiles a program.
pub fn compile(program: &ir::Program, options: Options<'_>) -> Result<Image, Error> {
    let _ = (program, options);
    todo!()
}
