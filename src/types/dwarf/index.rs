//! What a unit has, by name and by address, from one walk over its entries. Bodies of functions are skipped.

use std::collections::HashMap;

use gimli::{
    AttributeValue, DW_AT_abstract_origin, DW_AT_declaration, DW_AT_high_pc, DW_AT_low_pc, DW_AT_ranges,
    DW_AT_specification, DW_TAG_base_type, DW_TAG_class_type, DW_TAG_enumeration_type, DW_TAG_module,
    DW_TAG_namespace, DW_TAG_structure_type, DW_TAG_subprogram, DW_TAG_typedef, DW_TAG_union_type, DwTag,
    EntriesTreeNode, Range,
};

use super::program::{Entry, UnitData};
use super::sections::Slice;
use crate::syntax::ast::Tag;

/// How deep namespaces and classes may be in each other.
const MAX_NESTING: usize = 64;

/// The functions and types of a unit.
#[derive(Debug, Default)]
pub struct Index {
    /// The code of functions, and the offset of each one's entry.
    functions: Vec<(Range, usize)>,
    /// The types with names, those only declared too.
    pub types: Vec<Named>,
    by_name: HashMap<String, Vec<usize>>,
    by_offset: HashMap<usize, usize>,
}

/// A type with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// With its namespaces: `ns::Foo`.
    pub name: String,
    pub kind: DwTag,
    pub offset: usize,
    pub declaration: bool,
}

impl Named {
    /// Whether a script can mean this one with that tag. C++ classes are structs.
    pub fn is(&self, tag: Option<Tag>) -> bool {
        match tag {
            None => true,
            Some(Tag::Struct) => matches!(self.kind, DW_TAG_structure_type | DW_TAG_class_type),
            Some(Tag::Union) => self.kind == DW_TAG_union_type,
            Some(Tag::Enum) => self.kind == DW_TAG_enumeration_type,
        }
    }
}

/// What a walk comes upon.
pub enum Found<'a, 'd> {
    Type(Named),
    /// The offset of an enum, with a name or without.
    Enum(usize),
    Function(&'a Entry<'d>),
}

impl Index {
    pub fn of(unit: &UnitData<'_>) -> Index {
        let mut index = Index::default();
        walk(unit, &mut |found| match found {
            Found::Type(named) => {
                let number = index.types.len();
                index.by_name.entry(named.name.clone()).or_default().push(number);
                index.by_offset.insert(named.offset, number);
                index.types.push(named);
            }
            Found::Enum(_) => {}
            Found::Function(entry) => {
                let offset = entry.offset().0;
                each_range(unit, entry, &mut |range| index.functions.push((range, offset)));
            }
        });
        index
    }

    /// The function that begins at an address or, failing that, has its code there.
    pub fn function(&self, address: u64) -> Option<usize> {
        let begins = self.functions.iter().find(|(range, _)| range.begin == address);
        let inside = || self.functions.iter().find(|(r, _)| r.begin <= address && address < r.end);
        begins.or_else(inside).map(|(_, offset)| *offset)
    }

    pub fn named(&self, name: &str) -> impl Iterator<Item = &Named> {
        self.by_name.get(name).into_iter().flatten().filter_map(|n| self.types.get(*n))
    }

    /// The type at an offset.
    pub fn at(&self, offset: usize) -> Option<&Named> {
        self.by_offset.get(&offset).and_then(|n| self.types.get(*n))
    }
}

/// Calls `each` with the types and the functions of a unit. What is damaged ends the walk.
pub fn walk<'d>(unit: &UnitData<'d>, each: &mut dyn FnMut(Found<'_, 'd>)) {
    let Ok(mut tree) = unit.unit.entries_tree(None) else { return };
    if let Ok(root) = tree.root() {
        children(unit, root, "", &mut HashMap::new(), each);
    }
}

fn children<'d>(
    unit: &UnitData<'d>,
    node: EntriesTreeNode<'_, '_, Slice<'d>>,
    scope: &str,
    declared: &mut HashMap<usize, String>,
    each: &mut dyn FnMut(Found<'_, 'd>),
) {
    let mut nodes = node.children();
    while let Ok(Some(node)) = nodes.next() {
        let entry = node.entry();
        let kind = entry.tag();
        let inside = match kind {
            DW_TAG_subprogram => {
                each(Found::Function(entry));
                continue;
            }
            DW_TAG_namespace | DW_TAG_module => true,
            DW_TAG_structure_type | DW_TAG_class_type | DW_TAG_union_type => true,
            DW_TAG_enumeration_type | DW_TAG_typedef | DW_TAG_base_type => false,
            _ => continue,
        };
        if kind == DW_TAG_enumeration_type {
            each(Found::Enum(entry.offset().0));
        }
        let name = unit.name(entry);
        let full = match &name {
            Some(name) if scope.is_empty() => name.clone(),
            Some(name) => format!("{scope}::{name}"),
            // Members of an anonymous namespace are found without it.
            None => scope.to_owned(),
        };
        // A type unit has its type outside of the namespace, and in there a declaration of it.
        let full = match entry.attr_value(DW_AT_specification) {
            Some(AttributeValue::UnitRef(of)) => declared.get(&of.0).cloned().unwrap_or(full),
            _ => full,
        };
        if name.is_some() && !matches!(kind, DW_TAG_namespace | DW_TAG_module) {
            let declaration = entry.attr_value(DW_AT_declaration) == Some(AttributeValue::Flag(true));
            if declaration {
                declared.insert(entry.offset().0, full.clone());
            }
            each(Found::Type(Named { name: full.clone(), kind, offset: entry.offset().0, declaration }));
        }
        if inside && entry.depth() < MAX_NESTING as isize {
            children(unit, node, &full, declared, each);
        }
    }
}

/// The code of a function or of a copy of one. What the linker dropped has none.
pub fn each_range<'d>(unit: &UnitData<'d>, entry: &Entry<'d>, each: &mut dyn FnMut(Range)) {
    // Most entries of C++ are declarations.
    let has_code = [DW_AT_low_pc, DW_AT_ranges, DW_AT_high_pc].iter().any(|name| entry.has_attr(*name));
    if !has_code {
        return;
    }
    let Ok(mut ranges) = unit.dwarf.die_ranges(&unit.unit, entry) else { return };
    while let Ok(Some(range)) = ranges.next() {
        if range.begin < range.end && range.begin != 0 && !unit.unit.header.is_tombstone_address(range.begin)
        {
            each(range);
        }
    }
}

/// The copies of functions that were inlined into the function at an offset: the code of each.
pub fn inlined(unit: &UnitData<'_>, function: usize) -> Vec<Vec<Range>> {
    let mut found = vec![];
    let Ok(mut tree) = unit.unit.entries_tree(Some(gimli::UnitOffset(function))) else { return found };
    if let Ok(root) = tree.root() {
        collect_inlined(unit, root, 0, &mut found);
    }
    found
}

fn collect_inlined<'d>(
    unit: &UnitData<'d>,
    node: EntriesTreeNode<'_, '_, Slice<'d>>,
    nesting: usize,
    found: &mut Vec<Vec<Range>>,
) {
    let mut nodes = node.children();
    while let Ok(Some(node)) = nodes.next() {
        let entry = node.entry();
        match entry.tag() {
            gimli::DW_TAG_inlined_subroutine if entry.has_attr(DW_AT_abstract_origin) => {
                let mut ranges = vec![];
                each_range(unit, entry, &mut |range| ranges.push(range));
                found.push(ranges);
            }
            gimli::DW_TAG_lexical_block => {}
            _ => continue,
        }
        if nesting < MAX_NESTING {
            collect_inlined(unit, node, nesting + 1, found);
        }
    }
}
