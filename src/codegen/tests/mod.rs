//! Programs built by hand, run on the kernel.

mod build;
mod run;
mod scalars;
