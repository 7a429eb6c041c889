//! What a map holds, as it was read.

use std::borrow::Cow;

use crate::output::Entry;

/// Entries of a map, one after the other, each its key and then its value. A map may have millions, so none has memory
/// of its own.
#[derive(Debug)]
pub struct Entries {
    key_size: usize,
    value_size: usize,
    bytes: Vec<u8>,
    count: usize,
}

impl Entries {
    /// None yet, of keys and values of these sizes, which may be zero.
    pub fn new(key_size: usize, value_size: usize) -> Entries {
        Entries { key_size, value_size, bytes: vec![], count: 0 }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds an entry, whose key and value have the sizes that were said.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.count += 1;
    }

    /// Adds an entry with a value that is written over zeros.
    pub fn push_with(&mut self, key: &[u8], write: impl FnOnce(&mut [u8])) {
        self.bytes.extend_from_slice(key);
        let at = self.bytes.len();
        self.bytes.resize(at + self.value_size, 0);
        write(self.bytes.get_mut(at..).unwrap_or_default());
        self.count += 1;
    }

    pub fn key(&self, n: usize) -> &[u8] {
        let at = n * (self.key_size + self.value_size);
        self.bytes.get(at..at + self.key_size).unwrap_or_default()
    }

    pub fn value(&self, n: usize) -> &[u8] {
        let at = n * (self.key_size + self.value_size) + self.key_size;
        self.bytes.get(at..at + self.value_size).unwrap_or_default()
    }

    /// All keys, in the order in which they were read.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count).map(|n| self.key(n))
    }

    pub fn entry(&self, n: usize) -> Entry<'_> {
        Entry { key: Cow::Borrowed(self.key(n)), value: Cow::Borrowed(self.value(n)) }
    }
}
