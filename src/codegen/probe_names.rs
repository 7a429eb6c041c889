//! What a program knows of where it is attached.

use crate::image::Attach;
use crate::ir;

/// The numbers of the probe names of all attach points of a program, each once.
pub(super) fn name_ids(probe: &ir::Probe, names: &[String]) -> Vec<u32> {
    let mut ids: Vec<u32> = probe.attach.iter().flat_map(|attach| of(attach, names)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn of(attach: &Attach, names: &[String]) -> Vec<u32> {
    match attach.what.name_ids() {
        Some(ids) => ids.to_vec(),
        None => names
            .iter()
            .position(|name| *name == attach.name)
            .and_then(|n| u32::try_from(n).ok())
            .into_iter()
            .collect(),
    }
}
