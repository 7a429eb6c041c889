//! Functions: their parameters and results, and what a calling convention has to know of them.

use gimli::{
    AttributeValue, DW_AT_abstract_origin, DW_AT_artificial, DW_AT_calling_convention, DW_AT_defaulted,
    DW_AT_deleted, DW_AT_encoding, DW_AT_external, DW_AT_specification, DW_AT_type, DW_AT_virtuality,
    DW_CC_pass_by_reference, DW_CC_pass_by_value, DW_TAG_array_type, DW_TAG_base_type,
    DW_TAG_formal_parameter, DW_TAG_inheritance, DW_TAG_member, DW_TAG_reference_type,
    DW_TAG_rvalue_reference_type, DW_TAG_subprogram, DwAt,
};

use super::convert::{children, count, dimensions, is_composite, place};
use super::descent::{Descent, Limit};
use super::program::{Entry, EntryId, Reader, UnitData};

/// A parameter as the source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// "" for one without a name.
    pub name: String,
    /// `None` where the type is missing.
    pub ty: Option<EntryId>,
}

/// A function of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    pub params: Vec<Parameter>,
    /// `None` for void.
    pub result: Option<EntryId>,
}

/// What decides where a value is passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// In bytes.
    pub size: u64,
    /// In bytes.
    pub align: u64,
    pub composite: bool,
    /// C++ hands it over by its address, since copying it takes a function.
    pub by_address: bool,
    /// What it is made of.
    pub scalars: Vec<Scalar>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar {
    pub offset: u64,
    pub size: u64,
    pub class: Class,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Integers and pointers.
    Integer,
    Float,
    /// x86's `long double`.
    Extended,
    /// Several numbers in one register.
    Vector,
}

/// A value of more parts than this is in memory in every calling convention.
const MAX_SCALARS: usize = 64;

impl<'d> Reader<'d> {
    /// The function of an entry.
    pub fn function(&self, id: EntryId) -> Option<Function> {
        let (unit, entry) = self.entry(id)?;
        let own = parameters(&unit, id.offset);
        let result = self.result(&unit, &entry);
        let of = |unit: &UnitData<'d>, entries: &[Entry<'d>]| {
            entries.iter().map(|entry| self.parameter(unit, entry)).collect()
        };
        let Some(origin) = self.origin(&unit, &entry, DW_AT_abstract_origin) else {
            return Some(Function { params: of(&unit, &own), result });
        };
        // A function that is also inlined elsewhere: of itself it has only what the compiler kept. What the source does
        // not have, as the flags of a destructor, may not be passed to this one.
        let kept: Vec<EntryId> =
            own.iter().filter_map(|entry| self.origin(&unit, entry, DW_AT_abstract_origin)).collect();
        let (origin_unit, _) = self.entry(origin)?;
        let mut declared = parameters(&origin_unit, origin.offset);
        declared.retain(|entry| {
            let id = EntryId { unit: origin_unit.id, offset: entry.offset().0 };
            kept.contains(&id) || !entry.has_attr(DW_AT_artificial)
        });
        let params = if declared.is_empty() { of(&unit, &own) } else { of(&origin_unit, &declared) };
        Some(Function { params, result })
    }

    fn origin(&self, unit: &UnitData<'d>, entry: &Entry<'d>, by: DwAt) -> Option<EntryId> {
        self.target(unit, &entry.attr_value(by)?)
    }

    fn parameter(&self, unit: &UnitData<'d>, entry: &Entry<'d>) -> Parameter {
        let mut parameter =
            Parameter { name: unit.name(entry).unwrap_or_default(), ty: self.type_of(unit, entry) };
        if let Some(origin) = self.origin(unit, entry, DW_AT_abstract_origin)
            && let Some((unit, entry)) = self.entry(origin)
        {
            if parameter.name.is_empty() {
                parameter.name = unit.name(&entry).unwrap_or_default();
            }
            parameter.ty = parameter.ty.or_else(|| self.type_of(&unit, &entry));
        }
        parameter
    }

    fn result(&self, unit: &UnitData<'d>, entry: &Entry<'d>) -> Option<EntryId> {
        if entry.has_attr(DW_AT_type) {
            return self.type_of(unit, entry);
        }
        let elsewhere = [DW_AT_abstract_origin, DW_AT_specification];
        let origin = elsewhere.iter().find_map(|by| self.origin(unit, entry, *by))?;
        let (unit, entry) = self.entry(origin)?;
        if entry.has_attr(DW_AT_type) {
            return self.type_of(&unit, &entry);
        }
        let (unit, entry) = self.entry(self.origin(&unit, &entry, DW_AT_specification)?)?;
        self.type_of(&unit, &entry)
    }

    /// How a value of a type is passed.
    pub fn passed(&self, id: EntryId) -> Passed {
        let Some((bare, unit, entry)) = self.bare(id) else { return Passed::default() };
        let composite = is_composite(entry.tag());
        let by_address = composite && self.takes_a_function_to_copy(bare, Limit::new().top());
        let mut scalars = vec![];
        // Declared only: a value of it cannot be passed.
        self.scalars(bare, 0, Limit::new().top(), &mut scalars);
        let size = self.size_of(bare).unwrap_or(0);
        drop((unit, entry));
        Passed { size, align: self.align_of(bare).into(), composite, by_address, scalars }
    }

    /// Whether a class has a copy constructor or a destructor that does something. Clang says so, GCC does not.
    fn takes_a_function_to_copy(&self, id: EntryId, at: Descent<'_>) -> bool {
        let Some(at) = at.down() else { return false };
        let Some((id, unit, entry)) = self.bare(id) else { return false };
        if entry.tag() == DW_TAG_array_type {
            let elem = self.type_of(&unit, &entry);
            return elem.is_some_and(|elem| self.takes_a_function_to_copy(elem, at));
        }
        if !is_composite(entry.tag()) {
            return false;
        }
        match entry.attr_value(DW_AT_calling_convention) {
            Some(AttributeValue::CallingConvention(DW_CC_pass_by_reference)) => return true,
            Some(AttributeValue::CallingConvention(DW_CC_pass_by_value)) => return false,
            _ => {}
        }
        let name = unit.name(&entry).unwrap_or_default();
        let name = name.split('<').next().unwrap_or_default();
        let parts = children(&unit, id.offset);
        at.spend(parts.len());
        parts.iter().any(|child| match child.tag() {
            DW_TAG_subprogram if !child.has_attr(DW_AT_defaulted) && !child.has_attr(DW_AT_deleted) => {
                let own = unit.name(child).unwrap_or_default();
                let copies = || {
                    let params = parameters(&unit, child.offset().0);
                    let from = params.iter().find(|param| !param.has_attr(DW_AT_artificial));
                    let from = from.and_then(|from| self.bare(self.type_of(&unit, from)?));
                    let of = from
                        .filter(|(_, _, from)| {
                            matches!(from.tag(), DW_TAG_reference_type | DW_TAG_rvalue_reference_type)
                        })
                        .and_then(|(_, unit, from)| self.bare(self.type_of(&unit, &from)?));
                    of.is_some_and(|(of, ..)| of == id)
                };
                own.starts_with('~') || (own == name && copies())
            }
            DW_TAG_member if child.has_attr(DW_AT_artificial) => true,
            DW_TAG_inheritance if child.has_attr(DW_AT_virtuality) => true,
            DW_TAG_member | DW_TAG_inheritance if !child.has_attr(DW_AT_external) => {
                self.type_of(&unit, child).is_some_and(|of| self.takes_a_function_to_copy(of, at))
            }
            _ => false,
        })
    }

    fn scalars(&self, id: EntryId, offset: u64, at: Descent<'_>, found: &mut Vec<Scalar>) {
        // What is empty adds nothing to `found`, however often it is there: the visits are limited, too.
        let Some(at) = at.down().filter(|_| found.len() <= MAX_SCALARS) else { return };
        let Some((id, unit, entry)) = self.bare(id) else { return };
        let size = self.size_within(id, at).unwrap_or(0);
        let tag = entry.tag();
        if is_composite(tag) {
            let members = children(&unit, id.offset);
            at.spend(members.len());
            for member in members {
                if matches!(member.tag(), DW_TAG_member | DW_TAG_inheritance)
                    && !member.has_attr(DW_AT_external)
                    && let Some(ty) = self.type_of(&unit, &member)
                    && let Some(place) = place(&unit, &member, || self.size_within(ty, at).unwrap_or(4))
                {
                    self.scalars(ty, offset.saturating_add(place.at / 8), at, found);
                }
            }
        } else if tag == DW_TAG_array_type {
            if entry.has_attr(gimli::DW_AT_GNU_vector) {
                found.push(Scalar { offset, size, class: Class::Vector });
                return;
            }
            let Some(elem) = self.type_of(&unit, &entry) else { return };
            let each = self.size_within(elem, at).unwrap_or(0);
            let count = count(&dimensions(&unit, id.offset));
            for n in 0..count.min(MAX_SCALARS as u64 + 1) {
                self.scalars(elem, offset.saturating_add(n.saturating_mul(each)), at, found);
            }
        } else if tag == DW_TAG_base_type {
            match entry.attr_value(DW_AT_encoding) {
                Some(AttributeValue::Encoding(gimli::DW_ATE_float)) => {
                    // The long double of x86 has 16 bytes of which it uses 10; `__float128` is in a vector register.
                    let extended = size == 16 && unit.name(&entry).is_some_and(|n| n.contains("long double"));
                    let extended = extended && cfg!(target_arch = "x86_64");
                    let class = if extended { Class::Extended } else { Class::Float };
                    found.push(Scalar { offset, size, class });
                }
                Some(AttributeValue::Encoding(gimli::DW_ATE_complex_float)) => {
                    let half = size / 2;
                    let class = if half == 16 { Class::Extended } else { Class::Float };
                    let halves = [offset, offset.saturating_add(half)];
                    found.extend(halves.map(|offset| Scalar { offset, size: half, class }));
                }
                _ => found.push(Scalar { offset, size, class: Class::Integer }),
            }
        } else if size > 0 {
            found.push(Scalar { offset, size, class: Class::Integer });
        }
    }
}

fn parameters<'d>(unit: &UnitData<'d>, offset: usize) -> Vec<Entry<'d>> {
    let entries = children(unit, offset).into_iter();
    entries.filter(|entry| entry.tag() == DW_TAG_formal_parameter).collect()
}
