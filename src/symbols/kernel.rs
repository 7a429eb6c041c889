//! The kernel's code symbols by address.

use std::time::{Duration, Instant};

use super::KernelSymbol;
use crate::kernel::kallsyms;

/// No function is larger: an address further from the symbol before it belongs to something else.
const LARGEST: u64 = 1 << 20;
/// How long an unknown address is taken as such before the symbols are read again: it may be of a module or a BPF
/// program that came later.
const AGE: Duration = Duration::from_secs(5);

/// The symbols, read from `/proc/kallsyms` at the first question: 50 ms, nearly all of it the kernel's own work, and
/// 5 MB. Reading them all is the only way it offers.
#[derive(Default)]
pub(super) struct Kernel {
    table: Option<Table>,
}

struct Table {
    loaded: Instant,
    /// By address; of several symbols at one only the first in the file, as the kernel itself names it.
    entries: Vec<Entry>,
    names: String,
    modules: Vec<String>,
}

/// Where a symbol is, and its name's place in [`Table::names`].
#[derive(Clone, Copy)]
struct Entry {
    address: u64,
    name: u32,
    length: u16,
    /// One more than the index of the module; 0 for the kernel proper.
    module: u16,
}

impl Kernel {
    pub fn find(&mut self, address: u64) -> Option<KernelSymbol<'_>> {
        let table = self.table.get_or_insert_with(Table::load);
        let known = table.index(address).is_some();
        // Where addresses are hidden there is nothing to wait for.
        if !known && !table.entries.is_empty() && table.loaded.elapsed() > AGE {
            *table = Table::load();
        }
        table.find(address)
    }
}

impl Table {
    fn load() -> Table {
        let mut table = Table::empty();
        // Without the file there are no symbols, and addresses are shown as they are.
        let _ = kallsyms::stream(|symbol| {
            if symbol.is_code() && symbol.address != 0 {
                table.add(symbol.address, symbol.name, symbol.module);
            }
            true
        });
        table.finish();
        table
    }

    fn empty() -> Table {
        Table { loaded: Instant::now(), entries: vec![], names: String::new(), modules: vec![] }
    }

    fn add(&mut self, address: u64, name: &str, module: Option<&str>) {
        let module = module.map_or(0, |module| {
            // Modules' symbols come module by module.
            if self.modules.last().is_none_or(|last| last != module) {
                self.modules.push(module.to_owned());
            }
            u16::try_from(self.modules.len()).unwrap_or(0)
        });
        let (Ok(at), Ok(length)) = (u32::try_from(self.names.len()), u16::try_from(name.len())) else {
            return;
        };
        self.names.push_str(name);
        self.entries.push(Entry { address, name: at, length, module });
    }

    fn finish(&mut self) {
        self.entries.sort_by_key(|e| e.address);
        self.entries.dedup_by_key(|e| e.address);
        self.entries.shrink_to_fit();
        self.names.shrink_to_fit();
    }

    fn index(&self, address: u64) -> Option<Entry> {
        let after = self.entries.partition_point(|e| e.address <= address);
        let entry = *self.entries.get(after.checked_sub(1)?)?;
        (address - entry.address < LARGEST).then_some(entry)
    }

    fn find(&self, address: u64) -> Option<KernelSymbol<'_>> {
        let entry = self.index(address)?;
        let start = entry.name as usize;
        let module = usize::from(entry.module).checked_sub(1).and_then(|n| self.modules.get(n));
        Some(KernelSymbol {
            name: self.names.get(start..start + usize::from(entry.length))?,
            offset: address - entry.address,
            module: module.map(String::as_str),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_symbol_before_an_address() {
        let mut table = Table::empty();
        for (address, name, module) in [
            (0x2000, "second", None),
            (0x1000, "first", None),
            (0x1000, "alias", None),
            (0x9000, "helper", Some("kvm")),
            (0x9100, "other", Some("ext4")),
        ] {
            table.add(address, name, module);
        }
        table.finish();
        let find = |address| table.find(address).map(|s| (s.name, s.offset, s.module));
        assert_eq!(find(0xfff), None);
        assert_eq!(find(0x1000), Some(("first", 0, None)));
        assert_eq!(find(0x1fff), Some(("first", 0xfff, None)));
        assert_eq!(find(0x2001), Some(("second", 1, None)));
        assert_eq!(find(0x9010), Some(("helper", 0x10, Some("kvm"))));
        assert_eq!(find(0x9100), Some(("other", 0, Some("ext4"))));
        assert_eq!(find(0x9100 + LARGEST), None);
        assert_eq!(find(u64::MAX), None);
    }

    /// Needs readable addresses in kallsyms, as root has them.
    #[test]
    fn the_running_kernels_own_symbols() {
        let mut found = None;
        kallsyms::stream(|s| {
            if s.name == "schedule" && s.address != 0 {
                found = Some(s.address);
            }
            found.is_none()
        })
        .unwrap();
        let Some(address) = found else {
            return crate::testing::skip("root", "the kernel hides its addresses");
        };
        let mut kernel = Kernel::default();
        let symbol = kernel.find(address + 5).unwrap();
        assert_eq!((symbol.name, symbol.offset, symbol.module), ("schedule", 5, None));
        assert_eq!(kernel.find(0), None);
    }
}
