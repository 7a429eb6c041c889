//! How far a question about a type follows what the type is made of.

use std::cell::Cell;

/// How deep typedefs, pointers, members and the like are followed.
pub const MAX_DEPTH: u32 = 64;

/// How many entries one question looks at. The largest classes that compilers write have some thousands.
const MAX_VISITS: u32 = 1 << 15;

/// What is left to one question, whichever way it goes.
pub struct Limit(Cell<u32>);

impl Limit {
    pub fn new() -> Limit {
        Limit(Cell::new(MAX_VISITS))
    }

    pub fn top(&self) -> Descent<'_> {
        Descent { depth: 0, left: &self.0 }
    }
}

/// A place in a walk down a type's parts. In a damaged file a type may be a part of itself, even twice: its depth alone
/// would not end the walk before 2^64 visits.
#[derive(Clone, Copy)]
pub struct Descent<'a> {
    depth: u32,
    left: &'a Cell<u32>,
}

impl Descent<'_> {
    /// One level further down; `None` where the walk ends.
    pub fn down(self) -> Option<Self> {
        if self.depth >= MAX_DEPTH || self.left.get() == 0 {
            return None;
        }
        self.spend(1);
        Some(Descent { depth: self.depth + 1, ..self })
    }

    /// Counts entries that were looked at on the way.
    pub fn spend(self, entries: usize) {
        self.left.set(self.left.get().saturating_sub(u32::try_from(entries).unwrap_or(u32::MAX)));
    }
}
