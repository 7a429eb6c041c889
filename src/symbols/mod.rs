//! Addresses to names, for the kernel and for processes.

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
