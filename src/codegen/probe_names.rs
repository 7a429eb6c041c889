//! What a program knows of where it is attached.

use inkwell::values::IntValue;

use super::llvm::Result;
use super::memory::Mem;
use super::program::Gen;
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

impl<'c> Gen<'_, 'c> {
    /// Copies the text of a name from a table of all of them.
    pub(super) fn probe_text(&mut self, number: IntValue<'c>, to: Mem<'c>, size: u32) -> Result<()> {
        let (names, row) = (&self.program.probe_names, size.next_multiple_of(8) as usize);
        let mut table = Vec::with_capacity(names.len() * row);
        for name in names {
            let start = table.len();
            table.extend(name.bytes().take(size.saturating_sub(1) as usize));
            table.resize(start + row, 0);
        }
        let ll = self.ll;
        let number = ll.bound(number, names.len().saturating_sub(1) as u64)?;
        let table = self.object.constant(ll, &table)?;
        let offset = ll.builder.build_int_mul(number, ll.imm(row as u64), "")?;
        let from = Mem { ptr: ll.at_dynamic(table, offset)?, align: 8, on_stack: false };
        self.copy(to, from, size)
    }
}
