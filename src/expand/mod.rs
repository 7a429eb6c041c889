//! From one syntax tree to another: what is decided before anything has a type.

mod parameters;
mod settings;

pub use parameters::fill_in;
pub use settings::apply;
