//! A tracer that takes bpftrace's scripts: text in, BPF through LLVM, output of a live kernel.
//!
//! The stages and the plain data between them:
//!
//! ```text
//! text ──syntax──▶ ast::Script ──expand──▶ ast::Script ──check──▶ ir::Program ──codegen──▶ Image ──runtime──▶ output
//! ```
#![deny(clippy::all, unsafe_op_in_unsafe_fn)]

pub mod builtins;
pub mod check;
pub mod cli;
pub mod codegen;
pub mod config;
pub mod diagnostics;
pub mod expand;
pub mod format;
pub mod image;
pub mod interop;
pub mod ir;
pub mod kernel;
pub mod manual;
pub mod output;
pub mod pattern;
mod pipeline;
pub mod probes;
pub mod process;
pub mod runtime;
pub mod symbols;
pub mod syntax;
#[cfg(test)]
mod testing;
pub mod types;

pub use pipeline::main;
