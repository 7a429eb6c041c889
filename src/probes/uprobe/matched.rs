//! All that one attach point matches in a file, for messages about one of them.

use std::path::Path;

use super::super::Host;
use super::super::view::Reason;
use super::{Place, open};
use crate::process::demangle;

/// What one attach point matches in a file.
pub(super) struct Matched {
    /// Whether it may match several functions.
    pub(super) several: bool,
    count: usize,
    /// The first functions, as their source has them.
    first: Vec<String>,
}

/// How many functions a message names.
const NAMED: usize = 4;

impl Matched {
    pub(super) fn new(places: &[Place], several: bool) -> Matched {
        let first = places.iter().take(NAMED).map(|place| spelled(&place.name)).collect();
        Matched { several, count: places.len(), first }
    }

    /// Why an argument that this function lacks may be one of another: that of a pattern, an overloaded name, or a
    /// name that several files of the program's source gave to a function of their own.
    pub(super) fn others(&self, place: &Place, path: &Path, host: &Host<'_>) -> Option<Reason> {
        let this = spelled(&place.name);
        if self.count > 1 {
            let more = if self.count > self.first.len() { ", …" } else { "" };
            let note = format!(
                "{} functions match, each with its own arguments ({}{more}), and this is {this}",
                self.count,
                self.first.join(", "),
            );
            return Some(Reason {
                note,
                help: Some("name the one that is meant, with its parameters".into()),
            });
        }
        let (name, own) = place.entry.as_ref().filter(|(name, _)| *name == place.name)?;
        let elf = open(path, host).ok()?;
        let all = elf.functions_of(name).ok()?;
        let other = all.iter().map(|f| f.address).find(|address| address != own)?;
        let path = path.display();
        Some(Reason {
            note: format!(
                "{path} has {} functions called {this}, which may have other arguments, and this is the one at {own:#x}",
                all.len()
            ),
            help: Some(format!("give the address of the one that is meant, as in uprobe:{path}:{other:#x}")),
        })
    }
}

fn spelled(name: &str) -> String {
    demangle::demangled(name).unwrap_or_else(|| name.to_owned())
}
