//! The functions of a program that a name or a pattern means.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::Place;
use crate::pattern::Pattern;
use crate::process::demangle;
use crate::process::elf::{Elf, ElfError};

/// How names of functions are compared.
pub(super) struct Wanted {
    pattern: Pattern,
    /// Names as the source has them fit too.
    pub(super) demangled: bool,
    parameters: bool,
}

impl Wanted {
    pub(super) fn new(text: &str, demangled: bool) -> Wanted {
        // Only names of the source have these in them.
        let demangled = demangled || ["::", "(", "<", " "].iter().any(|sign| text.contains(sign));
        Wanted { pattern: Pattern::new(text), demangled, parameters: text.contains('(') }
    }

    pub(super) fn any() -> Wanted {
        Wanted { pattern: Pattern::any(), demangled: false, parameters: false }
    }

    fn fits(&self, name: &str) -> bool {
        let of_source = |full: String| {
            let name = if self.parameters { full.as_str() } else { demangle::without_parameters(&full) };
            self.pattern.matches(name)
        };
        self.pattern.matches(name) || (self.demangled && demangle::spellings(name).into_iter().any(of_source))
    }
}

/// The functions that match, each address once, sorted by name. Several may have one name: those that files of the source
/// have for themselves.
pub(super) fn matching(elf: &Elf, wanted: &Wanted) -> Result<Vec<Place>, ElfError> {
    let mut found: BTreeSet<(&str, u64)> = BTreeSet::new();
    elf.functions(&mut |f| {
        // Parts of functions that the compiler moved away are jumped to, not called.
        let whole = !f.name.contains(".part.") && !f.name.contains(".cold");
        if whole && f.size > 0 && wanted.fits(f.name) {
            found.insert((f.name, f.address));
        }
        true
    })?;
    let mut seen = HashSet::new();
    Ok(found
        .into_iter()
        .filter_map(|(name, address)| {
            let (name, entry) = (name.to_owned(), Some((name.to_owned(), address)));
            Some(Place { line: false, name, offset: elf.file_offset(address)?, entry })
        })
        .filter(|place| seen.insert(place.offset))
        .collect())
}

/// The names and addresses of the functions that match, sorted, each name once.
pub(super) fn names(elf: &Elf, wanted: &Wanted) -> Result<Vec<(String, u64)>, ElfError> {
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    elf.functions(&mut |f| {
        if wanted.fits(f.name) && !f.name.contains(".part.") {
            names.entry(f.name).or_insert(f.address);
        }
        true
    })?;
    Ok(names.into_iter().map(|(name, address)| (name.to_owned(), address)).collect())
}
