//! Finding things in a program's debug information: a function by its address, types and enumerators by name.

use gimli::{
    AttributeValue, DW_AT_decl_file, DW_AT_decl_line, DW_AT_inline, DW_TAG_enumerator, DebugInfoOffset,
    Section,
};

use super::index::{Found, Named, walk};
use super::lines::file_name;
use super::program::{EntryId, Reader, Space, UnitData, UnitId, Value};
use crate::syntax::ast::Tag;

impl<'d> Reader<'d> {
    /// The function whose code an address is in.
    pub fn function_at(&self, address: u64) -> Option<EntryId> {
        let unit = self.unit_at(address)?;
        let unit = self.full(unit)?;
        let offset = self.index(&unit).function(address)?;
        Some(EntryId { unit: unit.id, offset })
    }

    /// The unit whose code an address is in. Where the compiler left a table of addresses no other unit is looked at.
    pub fn unit_at(&self, address: u64) -> Option<UnitId> {
        let (mut listed, main) = (vec![], self.main());
        let mut headers = main.debug_aranges.headers();
        while let Ok(Some(header)) = headers.next() {
            let DebugInfoOffset(offset) = header.debug_info_offset();
            let id = UnitId { space: Space::Main, types: false, offset };
            let mut entries = header.entries();
            while let Ok(Some(entry)) = entries.next() {
                if entry.range().begin <= address && address < entry.range().end {
                    return Some(id);
                }
            }
            listed.push(offset);
        }
        listed.sort_unstable();
        self.unit_offsets().iter().filter(|offset| listed.binary_search(offset).is_err()).find_map(|offset| {
            let id = UnitId { space: Space::Main, types: false, offset: *offset };
            let unit = self.unit(id)?;
            let mut ranges = main.unit_ranges(&unit.unit).ok()?;
            let inside = std::iter::from_fn(|| ranges.next().ok().flatten())
                .any(|range| range.begin <= address && address < range.end);
            if !inside {
                self.forget(id);
            }
            inside.then_some(id)
        })
    }

    /// The first type of that name that `fits`, definitions before declarations. A name without namespaces also finds
    /// one in a namespace, if no type has just that name.
    pub fn find_type(&self, tag: Option<Tag>, name: &str) -> Option<EntryId> {
        if !self.mentions(name) {
            return None;
        }
        let qualified = format!("::{name}");
        let (mut best, mut best_rank) = (None, u8::MAX);
        self.each_type(name, &mut |unit, named| {
            let exact = named.name == name;
            if !named.is(tag) || !(exact || named.name.ends_with(&qualified)) {
                return true;
            }
            let rank = u8::from(named.declaration) * 4
                + u8::from(!exact) * 2
                // As in C, the name alone is first of all a typedef's.
                + u8::from(tag.is_none() && named.kind != gimli::DW_TAG_typedef);
            if rank < best_rank {
                best_rank = rank;
                best = Some(EntryId { unit: unit.id, offset: named.offset });
            }
            best_rank > 0
        });
        best
    }

    /// The definition of a struct, union or class that an entry only declares: of the same unit, or of another one.
    pub fn definition(&self, tag: Tag, name: &str, unit: UnitId) -> Option<EntryId> {
        let own = self.unit(unit)?;
        let index = self.index(&own);
        if let Some(named) = index.named(name).find(|named| named.is(Some(tag)) && !named.declaration) {
            return Some(EntryId { unit, offset: named.offset });
        }
        let mut found = None;
        self.each_type(name, &mut |unit, named| {
            if named.is(Some(tag)) && !named.declaration && named.name == name {
                found = Some(EntryId { unit: unit.id, offset: named.offset });
            }
            found.is_none()
        });
        found
    }

    /// The enum and the value of an enumerator.
    pub fn enumerator(&self, name: &str) -> Option<(EntryId, i64)> {
        if !self.mentions(name) {
            return None;
        }
        self.first(&mut |unit, item| {
            let Found::Enum(offset) = item else { return None };
            let (_, value) = enumerators(unit, offset).into_iter().find(|(own, _)| own == name)?;
            Some((EntryId { unit: unit.id, offset }, value))
        })
    }

    /// Where the source of a function is, of which the program has no code of its own: file and line.
    pub fn inlined_function(&self, name: &str) -> Option<(String, u64)> {
        if !self.mentions(name) {
            return None;
        }
        self.first(&mut |unit, item| {
            let Found::Function(entry) = item else { return None };
            if !entry.has_attr(DW_AT_inline) || unit.name(entry).as_deref() != Some(name) {
                return None;
            }
            let line = entry.attr(DW_AT_decl_line).and_then(|a| a.udata_value());
            let file = entry.attr(DW_AT_decl_file).and_then(|a| a.udata_value());
            // A split unit's files are listed with its skeleton, so that here only the unit's own is known.
            let own = || unit.unit.name.map(|name| name.to_string_lossy().into_owned());
            file.and_then(|file| file_name(unit, file)).or_else(own).zip(line)
        })
    }

    /// The first thing of all units that `choose` takes.
    fn first<T>(&self, choose: &mut dyn FnMut(&UnitData<'d>, Found<'_, 'd>) -> Option<T>) -> Option<T> {
        let mut found = None;
        self.each_unit(&mut |unit| {
            walk(unit, &mut |item| {
                if found.is_none() {
                    found = choose(unit, item);
                }
            });
            found.is_none()
        });
        found
    }

    /// Names of types, for suggestions.
    pub fn type_names(&self, tag: Option<Tag>, each: &mut dyn FnMut(&str)) {
        self.each_unit(&mut |unit| {
            walk(unit, &mut |item| {
                if let Found::Type(named) = item
                    && named.is(tag)
                    && !named.declaration
                {
                    each(&named.name);
                }
            });
            true
        });
    }

    /// Calls `each` with every named type of every unit, until it returns false. Only units that can have a type of
    /// that name are looked at.
    fn each_type(&self, name: &str, each: &mut dyn FnMut(&UnitData<'d>, &Named) -> bool) {
        if let Some(units) = self.listed_units(name) {
            for unit in units.into_iter().filter_map(|unit| self.full(unit)) {
                if !self.index(&unit).types.iter().all(|named| each(&unit, named)) {
                    return;
                }
            }
            return;
        }
        self.each_unit(&mut |unit| {
            let mut go_on = true;
            walk(unit, &mut |item| {
                if let Found::Type(named) = item {
                    go_on = go_on && each(unit, &named);
                }
            });
            go_on
        });
    }

    fn each_unit(&self, each: &mut dyn FnMut(&UnitData<'d>) -> bool) {
        for id in self.unit_ids() {
            let Some(unit) = self.full(id) else { continue };
            let mut go_on = each(&unit);
            // Types that are split off may be in units of their own there.
            if unit.id != id {
                let mut types: Vec<UnitId> = self.type_units(unit.id.space).values().copied().collect();
                types.sort_unstable();
                for id in types {
                    go_on = go_on && self.unit(id).is_none_or(|unit| each(&unit));
                    self.forget(id);
                }
            }
            self.forget(id);
            self.forget(unit.id);
            if !go_on {
                return;
            }
        }
    }

    /// Whether a name is among the program's strings, so that it is worth while to look through all units. What is
    /// split off has strings of its own.
    fn mentions(&self, name: &str) -> bool {
        let last = name.rsplit("::").next().unwrap_or(name);
        // Strings as short as the reference to one are put in its place.
        if last.len() < 8 || self.is_split() {
            return true;
        }
        let wanted: Vec<u8> = last.bytes().chain([0]).collect();
        let shared = self.dwarf(Space::Shared);
        [Some(self.main()), shared.as_deref()].into_iter().flatten().any(|dwarf| {
            let text = dwarf.debug_str.reader().slice();
            text.is_empty() || contains(text, &wanted)
        })
    }

    /// The units that `.debug_names` lists for a name; `None` where it does not list all units.
    fn listed_units(&self, name: &str) -> Option<Vec<UnitId>> {
        let (main, mut listed, mut found) = (self.main(), 0, vec![]);
        let last = name.rsplit("::").next().unwrap_or(name);
        let mut headers = main.debug_names.headers();
        while let Some(header) = headers.next().ok()? {
            let index = header.index().ok()?;
            // Types in units of their own are found by walking.
            if index.local_type_unit_count() > 0 || index.foreign_type_unit_count() > 0 {
                return None;
            }
            listed += index.compile_unit_count() as usize;
            let mut names = index.names();
            let mut take = |number| -> Option<()> {
                if index.name_string(number, &main.debug_str).ok()?.slice() != last.as_bytes() {
                    return Some(());
                }
                let mut entries = index.name_entries(number).ok()?;
                while let Some(entry) = entries.next().ok()? {
                    let unit = match entry.compile_unit(&index).ok()? {
                        Some(unit) => unit,
                        None => index.default_compile_unit().ok()??,
                    };
                    let id = UnitId { space: Space::Main, types: false, offset: unit.0 };
                    if !found.contains(&id) {
                        found.push(id);
                    }
                }
                Some(())
            };
            if index.has_hash_table() {
                let mut numbers = index.find_by_hash(hash(last)).ok()?;
                while let Some(number) = numbers.next().ok()? {
                    take(number)?;
                }
            } else {
                for number in names.by_ref() {
                    take(number)?;
                }
            }
        }
        (listed > 0 && listed == self.unit_offsets().len()).then_some(found)
    }
}

/// The hash of `.debug_names`: DJB's, of the name with its letters folded to lower case (DWARF 5, 6.1.1.4.5).
fn hash(name: &str) -> u32 {
    name.chars().flat_map(char::to_lowercase).fold(5381u32, |hash, c| {
        let mut bytes = [0; 4];
        c.encode_utf8(&mut bytes).bytes().fold(hash, |h, b| h.wrapping_mul(33).wrapping_add(b.into()))
    })
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    let Some((&first, rest)) = wanted.split_first() else { return true };
    let mut at = 0;
    while let Some(next) = text.get(at..).and_then(|t| t.iter().position(|b| *b == first)) {
        at += next + 1;
        if text.get(at..).is_some_and(|t| t.starts_with(rest)) {
            return true;
        }
    }
    false
}

/// The names and values of an enum's enumerators.
pub fn enumerators(unit: &UnitData<'_>, offset: usize) -> Vec<(String, i64)> {
    let mut found = vec![];
    let Ok(mut tree) = unit.unit.entries_tree(Some(gimli::UnitOffset(offset))) else { return found };
    let Ok(root) = tree.root() else { return found };
    let mut nodes = root.children();
    while let Ok(Some(node)) = nodes.next() {
        let entry = node.entry();
        if entry.tag() == DW_TAG_enumerator
            && let Some(name) = unit.name(entry)
            && let Some(value) = entry.attr(gimli::DW_AT_const_value)
        {
            found.push((name, constant(&value.raw_value()).unwrap_or(0)));
        }
    }
    found
}

/// A number as compilers write them: with a sign only where the form has one.
pub fn constant(value: &Value<'_>) -> Option<i64> {
    match *value {
        AttributeValue::Data1(n) => Some(n.into()),
        AttributeValue::Data2(n) => Some(n.into()),
        AttributeValue::Data4(n) => Some(n.into()),
        AttributeValue::Data8(n) | AttributeValue::Udata(n) => Some(n as i64),
        AttributeValue::Data16(n) => Some(n as i64),
        AttributeValue::Sdata(n) => Some(n),
        _ => None,
    }
}
