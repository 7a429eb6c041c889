//! Programs built by hand, run on the kernel.

mod aggregates;
mod build;
mod calls;
mod events;
mod kinds;
mod linked;
mod loops;
mod memory;
mod run;
mod scalars;
mod search;
mod strings;
