//! What is known about the types of maps and variables. It only grows: from unknown to some type, and from there to
//! wider ones, so the passes over the script come to an end.

use std::collections::HashMap;

use super::shape::{Flex, Shape};
use super::walk::FoundMap;
use super::{Checked, Stop};
use crate::diagnostics::{FileId, Span};
use crate::image::MapId;
use crate::types::{Int, Type};

/// A variable of one program: where it is declared tells it from others of its name.
pub type VariableKey = (usize, Span);

#[derive(Default)]
pub struct Env {
    maps: Vec<MapInfo>,
    by_name: HashMap<String, MapId>,
    variables: HashMap<VariableKey, Slot>,
    /// Variables that are used after the block that first assigns to them, by program and name, and where.
    outliving: HashMap<(usize, String, FileId), Span>,
    learned: bool,
    /// Something has to know types that do not change any more, and whether it may take them for that.
    awaited: bool,
    settled: bool,
}

/// What is known about one type.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    pub shape: Option<Shape>,
    /// Where it got its type.
    pub set_at: Option<Span>,
    /// It was declared with this type, which no assignment changes.
    pub fixed: bool,
    /// Something read it before it had a type.
    wanted: bool,
    /// An assignment to it is wrong, so that it is no wonder if it has no type.
    poisoned: bool,
}

/// What is known about a map.
#[derive(Clone, Debug)]
pub struct MapInfo {
    pub name: String,
    /// Whether it has keys, and where that was first seen; `None` if only ever used as a whole.
    pub keyed: Option<(bool, Span)>,
    /// Something reads or sets a value of it.
    pub accessed: bool,
    /// It is given values with `=`, whose types are its own.
    assigned: bool,
    /// See [`FoundMap::optional`].
    pub optional: bool,
    /// Where it is first named.
    pub span: Span,
    pub key: Slot,
    pub value: Slot,
}

/// Why a type cannot be widened to hold another: what it is so far.
pub struct Mismatch {
    pub have: Type,
    pub set_at: Option<Span>,
}

/// Whether a type is another one but for pointers, to variables that turned out to be wider.
fn grows(from: &Type, to: &Type) -> bool {
    let all = |a: &[Type], b: &[Type]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| grows(a, b));
    match (from, to) {
        (Type::Ptr { to: a, .. }, Type::Ptr { to: b, .. }) => {
            grows(a, b)
                || Shape::from((**a).clone()).widen(&(**b).clone().into()).is_some_and(|w| w.ty == **b)
        }
        (Type::Tuple(a), Type::Tuple(b)) => all(a, b),
        (a, b) => a == b,
    }
}

impl Slot {
    fn widen(&mut self, by: &Shape, span: Span, learned: &mut bool) -> Result<(), Mismatch> {
        let wider = match &self.shape {
            None => by.clone(),
            Some(_) if self.fixed => return Ok(()),
            Some(have) => match have.widen(by) {
                Some(wider) => wider,
                // Where that very assignment gave it its type, what its pointers point to has become wider since.
                None if self.set_at == Some(span) && grows(&have.ty, &by.ty) => by.clone(),
                None => return Err(Mismatch { have: have.ty.clone(), set_at: self.set_at }),
            },
        };
        if self.shape.as_ref() != Some(&wider) {
            self.shape = Some(wider);
            *learned = true;
        }
        self.set_at.get_or_insert(span);
        Ok(())
    }

    pub fn poisoned(&self) -> bool {
        self.poisoned
    }

    fn get(&mut self) -> Checked<Shape> {
        match &self.shape {
            Some(shape) => Ok(shape.clone()),
            None if self.poisoned => Err(Stop::Reported),
            None => {
                self.wanted = true;
                Err(Stop::Unresolved)
            }
        }
    }

    /// Gives what was read and never assigned the type of a zero.
    fn settle(&mut self) -> bool {
        let settles = self.wanted && self.shape.is_none() && !self.poisoned;
        if settles {
            self.shape = Some(Shape { ty: Type::Int(Int::I8), flex: Flex::Yes });
        }
        settles
    }
}

impl Env {
    pub fn new(found: Vec<FoundMap>) -> Env {
        let mut env = Env::default();
        for FoundMap { name, keyed, accessed, assigned, optional, span } in found {
            let id = MapId(u32::try_from(env.maps.len()).unwrap_or(u32::MAX));
            env.by_name.insert(name.clone(), id);
            let (key, value) = (Slot::default(), Slot::default());
            env.maps.push(MapInfo { name, keyed, accessed, assigned, optional, span, key, value });
        }
        env
    }

    /// Whether anything is known now that was not when this was last asked.
    pub fn learned(&mut self) -> bool {
        std::mem::take(&mut self.learned)
    }

    /// For what decides by types what is compiled, and so must not see them change afterwards: it is left for a later
    /// pass until all else is known.
    pub fn settled(&mut self) -> Checked<()> {
        self.awaited = true;
        if self.settled { Ok(()) } else { Err(Stop::Unresolved) }
    }

    /// Lets what waits for types go on; whether anything does.
    pub fn release(&mut self) -> bool {
        self.awaited && !std::mem::replace(&mut self.settled, true)
    }

    /// Decides what no assignment has decided; whether there was such a thing.
    pub fn settle(&mut self) -> bool {
        let unassigned = self.maps.iter_mut().filter(|m| !m.assigned);
        // What is assigned to a map or variable may still get its type from those settled before it: one at a time.
        unassigned.fold(false, |any, m| m.value.settle() | any)
            || self.maps.iter_mut().any(|m| m.value.settle())
            || self.variables.values_mut().fold(false, |any, v| v.settle() | any)
    }

    pub fn maps(&self) -> &[MapInfo] {
        &self.maps
    }

    /// The map of a name; every name in the script has one.
    pub fn map_id(&self, name: &str) -> Option<MapId> {
        self.by_name.get(name).copied()
    }

    pub fn map(&self, id: MapId) -> Option<&MapInfo> {
        self.maps.get(id.0 as usize)
    }

    fn slots(&mut self, id: MapId) -> Option<(&mut MapInfo, &mut bool)> {
        self.maps.get_mut(id.0 as usize).map(|map| (map, &mut self.learned))
    }

    pub fn widen_key(&mut self, id: MapId, by: &Shape, span: Span) -> Result<(), Mismatch> {
        self.slots(id).map_or(Ok(()), |(map, learned)| map.key.widen(by, span, learned))
    }

    pub fn widen_value(&mut self, id: MapId, by: &Shape, span: Span) -> Result<(), Mismatch> {
        self.slots(id).map_or(Ok(()), |(map, learned)| map.value.widen(by, span, learned))
    }

    pub fn key(&mut self, id: MapId) -> Checked<Shape> {
        self.slots(id).map_or(Err(Stop::Reported), |(map, _)| map.key.get())
    }

    pub fn value(&mut self, id: MapId) -> Checked<Shape> {
        self.slots(id).map_or(Err(Stop::Reported), |(map, _)| map.value.get())
    }

    /// The map's value could not be told because of an error.
    pub fn poison_value(&mut self, id: MapId) {
        if let Some((map, _)) = self.slots(id) {
            map.value.poisoned = true;
        }
    }

    pub fn poison_key(&mut self, id: MapId) {
        if let Some((map, _)) = self.slots(id) {
            map.key.poisoned = true;
        }
    }

    /// Gives a variable the type it is declared with.
    pub fn fix_variable(&mut self, key: VariableKey, ty: Type, span: Span) {
        let slot = self.variables.entry(key).or_default();
        if !slot.fixed {
            *slot = Slot { shape: Some(ty.into()), set_at: Some(span), fixed: true, ..Slot::default() };
            self.learned = true;
        }
    }

    pub fn widen_variable(&mut self, key: VariableKey, by: &Shape, span: Span) -> Result<(), Mismatch> {
        self.variables.entry(key).or_default().widen(by, span, &mut self.learned)
    }

    pub fn variable(&mut self, key: VariableKey) -> Checked<Shape> {
        self.variables.entry(key).or_default().get()
    }

    pub fn poison_variable(&mut self, key: VariableKey) {
        self.variables.entry(key).or_default().poisoned = true;
    }

    /// A variable is used at a place where the block that assigns to it has ended.
    pub fn outlives(&mut self, instance: usize, name: &str, used: Span) {
        self.learned |= self.outliving.insert((instance, name.to_owned(), used.file), used).is_none();
    }

    /// Where a variable that is assigned to in that place is used after its block, if it is.
    pub fn outliving(&self, instance: usize, name: &str, place: Span) -> Option<Span> {
        self.outliving.get(&(instance, name.to_owned(), place.file)).copied()
    }

    /// A variable's type, of those that have one.
    pub fn variable_type(&self, key: VariableKey) -> Option<&Type> {
        self.variables.get(&key)?.shape.as_ref().map(|s| &s.ty)
    }
}
