//! From DWARF to the type model, as `types/convert.rs` does for BTF: typedefs and qualifiers are gone, arrays of
//! characters are strings, members of anonymous members are members. Pointers point to user memory; C++'s references
//! act as pointers, and members of base classes are there as members of the derived one.

use std::collections::{HashMap, HashSet};

use gimli::{
    AttributeValue, DW_AT_alignment, DW_AT_artificial, DW_AT_bit_offset, DW_AT_bit_size, DW_AT_byte_size,
    DW_AT_count, DW_AT_data_bit_offset, DW_AT_data_member_location, DW_AT_decl_line, DW_AT_declaration,
    DW_AT_encoding, DW_AT_external, DW_AT_lower_bound, DW_AT_type, DW_AT_upper_bound, DW_TAG_array_type,
    DW_TAG_atomic_type, DW_TAG_base_type, DW_TAG_class_type, DW_TAG_const_type, DW_TAG_enumeration_type,
    DW_TAG_immutable_type, DW_TAG_inheritance, DW_TAG_member, DW_TAG_packed_type, DW_TAG_pointer_type,
    DW_TAG_ptr_to_member_type, DW_TAG_reference_type, DW_TAG_restrict_type, DW_TAG_rvalue_reference_type,
    DW_TAG_structure_type, DW_TAG_subrange_type, DW_TAG_typedef, DW_TAG_union_type, DW_TAG_volatile_type,
    DwAt, DwTag, Operation, UnitOffset,
};

use super::descent::{Descent, Limit, MAX_DEPTH};
use super::lookup::{constant, enumerators};
use super::program::{Entry, EntryId, Reader, UnitData};
use crate::syntax::ast::Tag;
use crate::types::convert::{Table, bitfield};
use crate::types::{Enum, EnumId, Field, Int, Space, Struct, StructId, Type};

/// The structs and enums of programs that have been met.
#[derive(Default)]
pub struct Known {
    structs: HashMap<(u32, EntryId), StructId>,
    enums: HashMap<(u32, EntryId), EnumId>,
    /// Each unit that uses a type has it, and these are one.
    alike: HashMap<Alike, StructId>,
    alike_enums: HashMap<(u32, String, u64), EnumId>,
    /// The program and the entry of structs whose fields have not been read.
    unread: HashMap<StructId, (u32, EntryId)>,
}

/// What makes a struct the same in another unit: the program, whether it is a union, its name, size and line.
type Alike = (u32, bool, String, Option<u64>, Option<u64>);

impl Known {
    pub fn unread(&self, id: StructId) -> Option<(u32, EntryId)> {
        self.unread.get(&id).copied()
    }
}

/// Reads types out of one program into the table.
pub struct Converter<'a, 'd> {
    pub reader: &'a Reader<'d>,
    /// The program's.
    pub number: u32,
    pub known: &'a mut Known,
    pub table: &'a mut Table,
}

impl<'d> Converter<'_, 'd> {
    pub fn convert(&mut self, id: EntryId) -> Type {
        self.convert_at(id, 0)
    }

    fn convert_at(&mut self, id: EntryId, depth: u32) -> Type {
        let Some((id, unit, entry)) = self.reader.bare(id) else { return Type::Void };
        if depth > MAX_DEPTH {
            return Type::Void;
        }
        match entry.tag() {
            DW_TAG_base_type => base(&unit, &entry),
            DW_TAG_pointer_type | DW_TAG_reference_type | DW_TAG_rvalue_reference_type => {
                let to = self.reader.type_of(&unit, &entry);
                Type::ptr(to.map_or(Type::Void, |to| self.convert_at(to, depth + 1)), Space::User)
            }
            // A member's offset, or for functions that and more.
            DW_TAG_ptr_to_member_type => Type::U64,
            DW_TAG_structure_type | DW_TAG_class_type | DW_TAG_union_type => {
                Type::Struct(self.meet(id, &unit, &entry))
            }
            DW_TAG_enumeration_type => self.enumeration(id, &unit, &entry),
            DW_TAG_array_type => self.array(&unit, &entry, depth),
            // Functions can only be pointed to.
            _ => Type::Void,
        }
    }

    fn array(&mut self, unit: &UnitData<'d>, entry: &Entry<'d>, depth: u32) -> Type {
        let Some(elem) = self.reader.type_of(unit, entry) else { return Type::Void };
        let mut lengths = dimensions(unit, entry.offset().0);
        let text = self.reader.is_char(elem);
        let mut ty = self.convert_at(elem, depth + 1);
        if text && let Some(length) = lengths.pop_if(|length| *length > 0) {
            ty = Type::Str(length);
        }
        for length in lengths.into_iter().rev() {
            ty = Type::Array { elem: Box::new(ty), len: length };
        }
        ty
    }

    fn meet(&mut self, id: EntryId, unit: &UnitData<'d>, entry: &Entry<'d>) -> StructId {
        if let Some(known) = self.known.structs.get(&(self.number, id)) {
            return *known;
        }
        let union = entry.tag() == DW_TAG_union_type;
        let name = self.reader.qualified(unit, entry).unwrap_or_default();
        let mut size = entry.attr(DW_AT_byte_size).and_then(|a| a.udata_value());
        let mut line = entry.attr(DW_AT_decl_line).and_then(|a| a.udata_value());
        let mut origin = id;
        if entry.has_attr(DW_AT_declaration) {
            // Whoever only has a pointer to it need not have all units searched.
            let tag = if union { Tag::Union } else { Tag::Struct };
            let index = self.reader.index(unit);
            let defined = index.named(&name).find(|named| named.is(Some(tag)) && !named.declaration);
            if let Some(named) = defined
                && let Ok(found) = unit.unit.entry(UnitOffset(named.offset))
            {
                origin = EntryId { unit: unit.id, offset: named.offset };
                size = found.attr(DW_AT_byte_size).and_then(|a| a.udata_value());
                line = found.attr(DW_AT_decl_line).and_then(|a| a.udata_value());
            } else {
                (size, line) = (None, None);
            }
        }
        let alike = (self.number, union, name.clone(), size, line);
        let same = self.known.alike.get(&alike).copied().filter(|_| !name.is_empty());
        let met = same.unwrap_or_else(|| {
            let met = self.table.foreign(&name, union, limited(size.unwrap_or(0)));
            self.known.alike.insert(alike, met);
            self.known.unread.insert(met, (self.number, origin));
            met
        });
        self.known.structs.insert((self.number, id), met);
        met
    }

    fn enumeration(&mut self, id: EntryId, unit: &UnitData<'d>, entry: &Entry<'d>) -> Type {
        if let Some(known) = self.known.enums.get(&(self.number, id)) {
            let int = self.table.layouts.enums.get(known).map_or(Int::U32, |e| e.int);
            return Type::Enum { id: *known, int };
        }
        let values = enumerators(unit, entry.offset().0);
        // No other type: a damaged enum may have itself here.
        let base = self.reader.type_of(unit, entry).and_then(|of| self.reader.bare(of));
        let base = base.filter(|(_, _, of)| of.tag() == DW_TAG_base_type);
        let base = base.and_then(|(_, unit, of)| self::base(&unit, &of).as_int());
        let size = entry.attr(DW_AT_byte_size).and_then(|a| a.udata_value()).map(int_size);
        let signed = base.map_or(values.iter().any(|(_, value)| *value < 0), |int| int.signed);
        let int = Int { size: size.or(base.map(|int| int.size)).unwrap_or(4), signed };
        let name = self.reader.qualified(unit, entry).unwrap_or_default();
        let line = entry.attr(DW_AT_decl_line).and_then(|a| a.udata_value()).unwrap_or(0);
        let alike = (self.number, name.clone(), line);
        let same = self.known.alike_enums.get(&alike).copied().filter(|_| !name.is_empty());
        let met = same.unwrap_or_else(|| {
            let met = self.table.add_enum(Enum { name, int, values });
            self.known.alike_enums.insert(alike, met);
            met
        });
        self.known.enums.insert((self.number, id), met);
        Type::Enum { id: met, int }
    }

    /// Reads the fields of a struct that has been met. Whether it has any to read.
    pub fn load(&mut self, id: StructId) -> bool {
        let Some((_, origin)) = self.known.unread(id) else { return false };
        let Some((unit, entry)) = self.reader.entry(origin) else { return false };
        let Some(met) = self.table.layouts.structs.get(&id).cloned() else { return false };
        let (origin, unit, entry) = if entry.has_attr(DW_AT_declaration) {
            let tag = if met.union { Tag::Union } else { Tag::Struct };
            let Some(found) = self.reader.definition(tag, &met.name, unit.id) else { return false };
            let Some((unit, entry)) = self.reader.entry(found) else { return false };
            (found, unit, entry)
        } else {
            (origin, unit, entry)
        };
        let size = entry.attr(DW_AT_byte_size).and_then(|a| a.udata_value());
        let mut fields = self.fields(&unit, origin.offset, 0, Limit::new().top());
        // As in C, no struct has itself inside: whoever walks down fields relies on it.
        fields.retain(|field| !self.holds(&field.ty, id));
        let align = self.reader.align_of(origin);
        self.known.unread.remove(&id);
        self.table.define(id, Struct { size: limited(size.unwrap_or(0)), align, fields, ..met });
        true
    }

    /// Whether a value of a type has one of that struct inside, as far as structs have been read.
    fn holds(&self, ty: &Type, id: StructId) -> bool {
        let (mut left, mut seen) = (vec![ty], HashSet::new());
        while let Some(ty) = left.pop() {
            match ty {
                Type::Array { elem, .. } => left.push(elem),
                Type::Struct(of) if *of == id => return true,
                Type::Struct(of) if seen.insert(*of) => {
                    let fields = self.table.layouts.structs.get(of).into_iter().flat_map(|s| &s.fields);
                    left.extend(fields.map(|field| &field.ty));
                }
                _ => {}
            }
        }
        false
    }

    /// The named members in order, then those of anonymous members and of base classes. `base` is in bits.
    fn fields(&mut self, unit: &UnitData<'d>, offset: usize, base: u64, at: Descent<'_>) -> Vec<Field> {
        let (mut named, mut flattened) = (vec![], vec![]);
        let members = children(unit, offset);
        at.spend(members.len());
        for member in members {
            let inherited = member.tag() == DW_TAG_inheritance;
            // Static members are elsewhere; a declaration of C++ before DWARF 5.
            let elsewhere = member.has_attr(DW_AT_external) || member.has_attr(DW_AT_declaration);
            if !(inherited || member.tag() == DW_TAG_member) || elsewhere || member.has_attr(DW_AT_artificial)
            {
                continue;
            }
            let Some(ty) = self.reader.type_of(unit, &member) else { continue };
            let Some(place) = self.place(unit, &member, ty) else { continue };
            let bit = base.saturating_add(place.at);
            match unit.name(&member).filter(|_| !inherited) {
                Some(name) => {
                    let ty = self.convert(ty);
                    named.push(match ty.as_int().filter(|_| place.width > 0) {
                        Some(int) => bitfield(name, ty, int, limited(bit), limited(place.width)),
                        None => Field { name, ty, offset: limited(bit / 8), bits: None },
                    });
                }
                None => {
                    let Some((of, unit, entry)) = self.reader.bare(ty) else { continue };
                    if let Some(at) = at.down().filter(|_| is_composite(entry.tag())) {
                        flattened.extend(self.fields(&unit, of.offset, bit, at));
                    }
                }
            }
        }
        named.extend(flattened);
        named
    }

    /// Where a member begins in its struct. Only of virtual base classes it cannot be told.
    fn place(&self, unit: &UnitData<'d>, member: &Entry<'d>, ty: EntryId) -> Option<Place> {
        place(unit, member, || self.reader.size_of(ty).unwrap_or(4))
    }
}

/// A member's place in its struct, in bits. The width is that of a bitfield, or 0.
pub struct Place {
    pub at: u64,
    pub width: u64,
}

/// See [`Place`]. `size` is that of the member's type in bytes.
pub fn place(unit: &UnitData<'_>, member: &Entry<'_>, size: impl FnOnce() -> u64) -> Option<Place> {
    let number = |name: DwAt| member.attr(name).and_then(|a| constant(&a.raw_value()));
    let unsigned = |name: DwAt| number(name).and_then(|n| u64::try_from(n).ok());
    let width = unsigned(DW_AT_bit_size).unwrap_or(0);
    let bytes = match member.attr(DW_AT_data_member_location).map(|a| a.value()) {
        None => 0,
        Some(AttributeValue::Exprloc(expression)) => {
            let mut operations = expression.operations(unit.unit.encoding());
            match (operations.next().ok()??, operations.next().ok()?) {
                (Operation::PlusConstant { value } | Operation::UnsignedConstant { value }, None) => value,
                _ => return None,
            }
        }
        Some(_) => unsigned(DW_AT_data_member_location)?,
    };
    if let Some(at) = unsigned(DW_AT_data_bit_offset) {
        return Some(Place { at: bytes.saturating_mul(8).saturating_add(at), width });
    }
    let mut at = bytes.saturating_mul(8);
    // Up to DWARF 3, and by some compilers later: from the storage's most significant bit.
    if let Some(above) = number(DW_AT_bit_offset) {
        let storage = unsigned(DW_AT_byte_size).unwrap_or_else(size).saturating_mul(8);
        let below =
            i64::try_from(storage).ok()?.checked_sub(above)?.checked_sub(i64::try_from(width).ok()?)?;
        let from_start = if cfg!(target_endian = "little") { below } else { above };
        at = at.checked_add_signed(from_start)?;
    }
    Some(Place { at, width })
}

pub fn is_composite(kind: DwTag) -> bool {
    matches!(kind, DW_TAG_structure_type | DW_TAG_class_type | DW_TAG_union_type)
}

/// The entries directly below one.
pub fn children<'d>(unit: &UnitData<'d>, offset: usize) -> Vec<Entry<'d>> {
    let mut found = vec![];
    let Ok(mut tree) = unit.unit.entries_tree(Some(UnitOffset(offset))) else { return found };
    let Ok(root) = tree.root() else { return found };
    let mut nodes = root.children();
    while let Ok(Some(node)) = nodes.next() {
        found.push(node.entry().clone());
    }
    found
}

/// How many elements an array of these dimensions has.
pub fn count(dimensions: &[u32]) -> u64 {
    dimensions.iter().fold(1, |count: u64, length| count.saturating_mul(u64::from(*length)))
}

/// The lengths of an array's dimensions, the outermost first; 0 for one that is open.
pub fn dimensions(unit: &UnitData<'_>, offset: usize) -> Vec<u32> {
    let ranges = children(unit, offset).into_iter().filter(|entry| entry.tag() == DW_TAG_subrange_type);
    let lengths: Vec<u32> = ranges
        .take(MAX_DEPTH as usize)
        .map(|range| {
            let number = |name: DwAt| range.attr(name).and_then(|a| constant(&a.raw_value()));
            let from_bounds = || {
                let upper = number(DW_AT_upper_bound)?;
                upper.checked_sub(number(DW_AT_lower_bound).unwrap_or(0))?.checked_add(1)
            };
            let length = number(DW_AT_count).or_else(from_bounds).unwrap_or(0);
            u32::try_from(length).unwrap_or(0)
        })
        .collect();
    if lengths.is_empty() { vec![0] } else { lengths }
}

fn base<'d>(unit: &UnitData<'d>, entry: &Entry<'d>) -> Type {
    let size = entry.attr(DW_AT_byte_size).and_then(|a| a.udata_value()).unwrap_or(0);
    let Some(AttributeValue::Encoding(encoding)) = entry.attr_value(DW_AT_encoding) else {
        return Type::Void;
    };
    let signed = match encoding {
        gimli::DW_ATE_boolean if size == 1 => return Type::Bool,
        gimli::DW_ATE_float if size == 4 => return Type::FLOAT,
        gimli::DW_ATE_float if size == 8 => return Type::DOUBLE,
        gimli::DW_ATE_signed | gimli::DW_ATE_signed_char => true,
        // A script's `char` has a sign whatever the machine's has.
        gimli::DW_ATE_unsigned_char => unit.name(entry).as_deref() == Some("char"),
        gimli::DW_ATE_unsigned
        | gimli::DW_ATE_boolean
        | gimli::DW_ATE_UTF
        | gimli::DW_ATE_ASCII
        | gimli::DW_ATE_UCS
        | gimli::DW_ATE_address => false,
        _ => return bytes(size),
    };
    match size {
        1 | 2 | 4 | 8 => Type::Int(Int { size: size as u8, signed }),
        // `__int128` has no counterpart.
        size => bytes(size),
    }
}

fn bytes(size: u64) -> Type {
    Type::Array { elem: Box::new(Type::U8), len: limited(size) }
}

fn int_size(size: u64) -> u8 {
    match size {
        1 | 2 | 8 => size as u8,
        _ => 4,
    }
}

fn limited(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

impl<'d> Reader<'d> {
    /// The type that an entry's `DW_AT_type` names; `None` for void.
    pub fn type_of(&self, unit: &UnitData<'d>, entry: &Entry<'d>) -> Option<EntryId> {
        self.target(unit, &entry.attr_value(DW_AT_type)?)
    }

    /// A type behind typedefs and qualifiers; `None` for void.
    pub fn bare(&self, id: EntryId) -> Option<(EntryId, std::rc::Rc<UnitData<'d>>, Entry<'d>)> {
        let mut at = id;
        for _ in 0..MAX_DEPTH {
            let (unit, entry) = self.entry(at)?;
            match entry.tag() {
                DW_TAG_typedef
                | DW_TAG_const_type
                | DW_TAG_volatile_type
                | DW_TAG_restrict_type
                | DW_TAG_atomic_type
                | DW_TAG_immutable_type
                | DW_TAG_packed_type => at = self.type_of(&unit, &entry)?,
                // A type unit's is declared where it is used.
                kind if is_composite(kind) && entry.has_attr(gimli::DW_AT_signature) => {
                    at = self.target(&unit, &entry.attr_value(gimli::DW_AT_signature)?)?;
                }
                _ => return Some((at, unit, entry)),
            }
        }
        None
    }

    /// A type's name with its namespaces.
    pub fn qualified(&self, unit: &UnitData<'d>, entry: &Entry<'d>) -> Option<String> {
        let own = unit.name(entry)?;
        let index = self.index(unit);
        Some(index.at(entry.offset().0).map_or(own, |named| named.name.clone()))
    }

    /// Whether an array of these is text: C's `char`, whatever its sign, and `int8_t`.
    fn is_char(&self, id: EntryId) -> bool {
        let Some((_, unit, entry)) = self.bare(id) else { return false };
        entry.tag() == DW_TAG_base_type && base(&unit, &entry) == Type::Int(Int::I8)
    }

    /// In bytes.
    pub fn size_of(&self, id: EntryId) -> Option<u64> {
        self.size_within(id, Limit::new().top())
    }

    /// See [`Reader::size_of`].
    pub fn size_within(&self, id: EntryId, at: Descent<'_>) -> Option<u64> {
        let at = at.down()?;
        let (_, unit, entry) = self.bare(id)?;
        let written = entry.attr(DW_AT_byte_size).and_then(|a| a.udata_value());
        written.or_else(|| match entry.tag() {
            DW_TAG_array_type => {
                let count = count(&dimensions(&unit, entry.offset().0));
                self.size_within(self.type_of(&unit, &entry)?, at)?.checked_mul(count)
            }
            DW_TAG_ptr_to_member_type => {
                let function = self.type_of(&unit, &entry).and_then(|of| self.bare(of));
                let function = function.is_some_and(|(_, _, of)| of.tag() == gimli::DW_TAG_subroutine_type);
                Some(if function { 16 } else { 8 })
            }
            DW_TAG_pointer_type | DW_TAG_reference_type | DW_TAG_rvalue_reference_type => Some(8),
            _ => None,
        })
    }

    /// In bytes; 1 for packed structs.
    pub fn align_of(&self, id: EntryId) -> u32 {
        self.align_within(id, Limit::new().top())
    }

    fn align_within(&self, id: EntryId, at: Descent<'_>) -> u32 {
        let Some(at) = at.down() else { return 1 };
        let Some((id, unit, entry)) = self.bare(id) else { return 1 };
        if let Some(align) = entry.attr(DW_AT_alignment).and_then(|a| a.udata_value()) {
            return limited(align.max(1));
        }
        if !is_composite(entry.tag()) {
            return match entry.tag() {
                DW_TAG_array_type => {
                    self.type_of(&unit, &entry).map_or(1, |elem| self.align_within(elem, at))
                }
                _ => match self.size_within(id, at) {
                    Some(size @ (1 | 2 | 4 | 8 | 16)) => limited(size),
                    _ => 1,
                },
            };
        }
        let mut align = 1;
        let members = children(&unit, id.offset);
        at.spend(members.len());
        for member in members {
            if !matches!(member.tag(), DW_TAG_member | DW_TAG_inheritance) {
                continue;
            }
            let Some(ty) = self.type_of(&unit, &member) else { continue };
            let own = self.align_within(ty, at);
            let Some(place) = place(&unit, &member, || self.size_within(ty, at).unwrap_or(4)) else {
                continue;
            };
            // One that lies elsewhere than its type wants says that the struct is packed.
            if place.width == 0 && (place.at / 8) % u64::from(own) != 0 {
                return 1;
            }
            align = align.max(own);
        }
        let size = self.size_within(id, at).unwrap_or(0);
        if size.is_multiple_of(u64::from(align)) { align } else { 1 }
    }
}
