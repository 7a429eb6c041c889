//! The debug information of one program or library: its files, its units, and where a unit or an entry is.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use gimli::{
    AttributeValue, DebugInfoOffset, DebugTypeSignature, DebuggingInformationEntry, Section, UnitOffset,
    UnitType,
};

use super::index::Index;
use super::sections::{DebugFile, Dwarf, Package, Packed, Sections, Slice};
use crate::process::archive::Bytes;
use crate::process::debug_files;

pub type Unit<'d> = gimli::Unit<Slice<'d>>;
pub type Entry<'d> = DebuggingInformationEntry<Slice<'d>>;
pub type Value<'d> = AttributeValue<Slice<'d>>;

/// A program's debug information, wherever it lies.
pub struct Program {
    /// The program itself.
    path: PathBuf,
    /// The program, or its separate debug file.
    main: DebugFile<Sections>,
    /// What `dwz` moved to a file that several programs share.
    shared: Option<DebugFile<Sections>>,
    /// The `.dwp` file.
    package: OnceCell<Option<DebugFile<Packed>>>,
    /// The directories of `--debuginfo`.
    dirs: Vec<PathBuf>,
    /// Where the units of `main` begin.
    units: OnceCell<Vec<usize>>,
    /// The `.dwo` file of each unit.
    split: OnceCell<Vec<OnceCell<Option<DebugFile<Sections>>>>>,
    is_split: OnceCell<bool>,
    indexes: RefCell<HashMap<UnitId, Rc<Index>>>,
    signatures: RefCell<HashMap<Space, Rc<HashMap<u64, UnitId>>>>,
}

/// Sections that entries refer to each other in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    Main,
    Shared,
    /// The `.dwo` file, or its part of the package, of the unit of that number.
    Split(u32),
    /// The type unit of that signature in the package, which has sections of its own; the unit that refers to it.
    Type(u64, u32),
}

/// A unit, by where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId {
    pub space: Space,
    /// In `.debug_types` instead of `.debug_info`.
    pub types: bool,
    pub offset: usize,
}

/// An entry, by where it begins in its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryId {
    pub unit: UnitId,
    pub offset: usize,
}

/// Why there is no debug information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    Unreadable(String),
    /// Neither the program nor a separate file has any.
    None,
}

impl Program {
    pub fn open(path: &Path, dirs: &[PathBuf]) -> Result<Program, Missing> {
        let unreadable = |e: &dyn std::fmt::Display| Missing::Unreadable(format!("{}: {e}", path.display()));
        let map = Bytes::open(path).map_err(|e| unreadable(&e))?;
        let file = object::File::parse(&*map).map_err(|e| unreadable(&e))?;
        let separate = if debug_files::has_debug_info(&file) {
            None
        } else {
            Some(debug_files::find(&file, path, dirs, debug_files::has_debug_info).ok_or(Missing::None)?)
        };
        drop(file);
        let (main_path, map) = separate.unwrap_or_else(|| (path.to_owned(), map));
        let shared = object::File::parse(&*map)
            .ok()
            .and_then(|file| debug_files::shared(&file, &main_path, dirs))
            .and_then(|(path, map)| DebugFile::of_program(path, map));
        let main = DebugFile::of_program(main_path, map).ok_or(Missing::None)?;
        Ok(Program {
            path: path.to_owned(),
            main,
            shared,
            package: OnceCell::new(),
            dirs: debug_files::directories(dirs, path),
            units: OnceCell::new(),
            split: OnceCell::new(),
            is_split: OnceCell::new(),
            indexes: RefCell::default(),
            signatures: RefCell::default(),
        })
    }

    pub fn reader(&self) -> Reader<'_> {
        let mut main = self.main.dwarf();
        if let Some(shared) = &self.shared {
            main.set_sup(shared.dwarf());
        }
        Reader {
            program: self,
            main: Rc::new(main),
            package: OnceCell::new(),
            spaces: RefCell::default(),
            units: RefCell::default(),
        }
    }

    fn package(&self) -> Option<&DebugFile<Packed>> {
        let open = || {
            let mut candidates = vec![];
            for path in [&self.path, &self.main.path] {
                let mut name = path.clone().into_os_string();
                name.push(".dwp");
                let name = PathBuf::from(name);
                candidates.extend(name.file_name().map(|n| n.to_owned()).into_iter().flat_map(|n| {
                    let in_dirs = self.dirs.iter().map(move |dir| dir.join(&n));
                    in_dirs.collect::<Vec<_>>()
                }));
                candidates.push(name);
                candidates.push(path.with_extension("dwp"));
            }
            candidates.into_iter().find_map(DebugFile::of_package)
        };
        self.package.get_or_init(open).as_ref()
    }
}

/// Reads a program's debug information. Units that have been parsed stay so for as long as it lives.
pub struct Reader<'d> {
    pub program: &'d Program,
    main: Rc<Dwarf<'d>>,
    package: OnceCell<Option<Package<'d>>>,
    spaces: RefCell<HashMap<Space, Option<Rc<Dwarf<'d>>>>>,
    units: RefCell<HashMap<UnitId, Option<Rc<UnitData<'d>>>>>,
}

/// A unit, and the sections that it is in.
pub struct UnitData<'d> {
    pub id: UnitId,
    pub dwarf: Rc<Dwarf<'d>>,
    pub unit: Unit<'d>,
}

impl<'d> Reader<'d> {
    pub fn main(&self) -> &Dwarf<'d> {
        &self.main
    }

    /// Where the units of the program begin in its `.debug_info`.
    pub fn unit_offsets(&self) -> &'d [usize] {
        self.program.units.get_or_init(|| {
            let mut units = self.main.units();
            std::iter::from_fn(|| units.next().ok().flatten())
                .filter_map(|header| header.debug_info_offset())
                .map(|offset| offset.0)
                .collect()
        })
    }

    /// The units of the program, which may be split off, and of the file that `dwz` made.
    pub fn unit_ids(&self) -> Vec<UnitId> {
        let mut ids: Vec<UnitId> = self
            .unit_offsets()
            .iter()
            .map(|offset| UnitId { space: Space::Main, types: false, offset: *offset })
            .collect();
        let mut type_units = self.main.type_units();
        while let Ok(Some(header)) = type_units.next() {
            let offset = header.debug_types_offset().map_or(0, |o| o.0);
            ids.push(UnitId { space: Space::Main, types: true, offset });
        }
        if let Some(shared) = self.dwarf(Space::Shared) {
            let mut units = shared.units();
            while let Ok(Some(header)) = units.next() {
                let offset = header.debug_info_offset().map_or(0, |o| o.0);
                ids.push(UnitId { space: Space::Shared, types: false, offset });
            }
        }
        ids
    }

    /// The number of a unit of the program.
    fn number(&self, offset: usize) -> Option<u32> {
        self.unit_offsets().binary_search(&offset).ok().and_then(|n| u32::try_from(n).ok())
    }

    pub fn dwarf(&self, space: Space) -> Option<Rc<Dwarf<'d>>> {
        if space == Space::Main {
            return Some(Rc::clone(&self.main));
        }
        if let Some(known) = self.spaces.borrow().get(&space) {
            return known.clone();
        }
        let found = match space {
            Space::Main => None,
            Space::Shared => self.program.shared.as_ref().map(DebugFile::dwarf),
            Space::Split(number) => self.split_sections(number),
            Space::Type(signature, _) => self.package().and_then(|package| {
                package.find_tu(DebugTypeSignature(signature), &self.main).ok().flatten()
            }),
        };
        let found = found.map(Rc::new);
        self.spaces.borrow_mut().insert(space, found.clone());
        found
    }

    fn package(&self) -> Option<&Package<'d>> {
        self.package.get_or_init(|| self.program.package()?.package()).as_ref()
    }

    /// The sections of what was split off from a unit.
    fn split_sections(&self, number: u32) -> Option<Dwarf<'d>> {
        let offset = *self.unit_offsets().get(number as usize)?;
        let skeleton = self.unit(UnitId { space: Space::Main, types: false, offset })?;
        let id = skeleton.unit.dwo_id?;
        if let Some(package) = self.package()
            && let Ok(Some(found)) = package.find_cu(id, &self.main)
        {
            return Some(found);
        }
        let split = self.program.split.get_or_init(|| {
            let mut cells = vec![];
            cells.resize_with(self.unit_offsets().len(), OnceCell::new);
            cells
        });
        let file = split.get(number as usize)?.get_or_init(|| {
            let name = skeleton.unit.dwo_name().ok().flatten()?;
            let name = self.main.attr_string(&skeleton.unit, name).ok()?;
            let name = PathBuf::from(name.to_string_lossy().into_owned());
            let directory =
                skeleton.unit.comp_dir.map(|dir| PathBuf::from(dir.to_string_lossy().into_owned()));
            let mut places = vec![directory.unwrap_or_default().join(&name)];
            let file_name = name.file_name().map(PathBuf::from).unwrap_or_default();
            let dirs = [self.program.path.parent(), Some(self.program.main.directory())];
            for dir in dirs.into_iter().flatten().chain(self.program.dirs.iter().map(PathBuf::as_path)) {
                places.push(dir.join(&name));
                places.push(dir.join(&file_name));
            }
            places.into_iter().find_map(DebugFile::of_unit)
        });
        let mut dwarf = file.as_ref()?.dwarf();
        dwarf.make_dwo(&self.main);
        Some(dwarf)
    }

    /// A unit, parsed.
    pub fn unit(&self, id: UnitId) -> Option<Rc<UnitData<'d>>> {
        if let Some(known) = self.units.borrow().get(&id) {
            return known.clone();
        }
        let found = self.parse(id).map(Rc::new);
        self.units.borrow_mut().insert(id, found.clone());
        found
    }

    fn parse(&self, id: UnitId) -> Option<UnitData<'d>> {
        let dwarf = self.dwarf(id.space)?;
        let header = if id.types {
            let mut units = dwarf.type_units();
            std::iter::from_fn(|| units.next().ok().flatten())
                .find(|header| header.debug_types_offset().is_some_and(|o| o.0 == id.offset))?
        } else {
            dwarf.unit_header(DebugInfoOffset(id.offset)).ok()?
        };
        let mut unit = dwarf.unit(header).ok()?;
        if let Space::Split(number) = id.space {
            let offset = *self.unit_offsets().get(number as usize)?;
            let skeleton = self.unit(UnitId { space: Space::Main, types: false, offset })?;
            unit.copy_relocated_attributes(&skeleton.unit);
        }
        Some(UnitData { id, dwarf, unit })
    }

    /// Lets go of a unit that was only looked through: of a large program all of them would fill the memory.
    pub fn forget(&self, id: UnitId) {
        self.units.borrow_mut().remove(&id);
    }

    /// Whether units have their entries in files of their own.
    pub fn is_split(&self) -> bool {
        *self.program.is_split.get_or_init(|| {
            // What is left of a split unit has its addresses there.
            let addresses = !self.main.debug_addr.reader().slice().is_empty();
            addresses
                && self.unit_offsets().iter().any(|offset| {
                    let id = UnitId { space: Space::Main, types: false, offset: *offset };
                    let split = self.unit(id).is_some_and(|unit| unit.unit.dwo_id.is_some());
                    self.forget(id);
                    split
                })
        })
    }

    /// A unit with all its entries: what was split off from it, if that is so and it can be found.
    pub fn full(&self, id: UnitId) -> Option<Rc<UnitData<'d>>> {
        let unit = self.unit(id)?;
        if id.space != Space::Main || unit.unit.dwo_id.is_none() {
            return Some(unit);
        }
        let split = || {
            let space = Space::Split(self.number(id.offset)?);
            let dwarf = self.dwarf(space)?;
            let mut units = dwarf.units();
            let ids = std::iter::from_fn(|| units.next().ok().flatten())
                .filter(|header| {
                    matches!(header.type_(), UnitType::Compilation | UnitType::SplitCompilation(_))
                })
                .filter_map(|header| header.debug_info_offset())
                .map(|offset| UnitId { space, types: false, offset: offset.0 });
            // The linker may have put several units into one file.
            let units: Vec<Rc<UnitData<'d>>> = ids.filter_map(|id| self.unit(id)).collect();
            let wanted = unit.unit.dwo_id;
            let same = |other: &&Rc<UnitData<'d>>| other.unit.dwo_id == wanted;
            units.iter().find(same).or(units.first().filter(|_| units.len() == 1)).cloned()
        };
        Some(split().unwrap_or(unit))
    }

    /// What a unit has, by name and by address.
    pub fn index(&self, unit: &UnitData<'d>) -> Rc<Index> {
        if let Some(known) = self.program.indexes.borrow().get(&unit.id) {
            return Rc::clone(known);
        }
        let index = Rc::new(Index::of(unit));
        self.program.indexes.borrow_mut().insert(unit.id, Rc::clone(&index));
        index
    }

    /// An entry's unit and the entry.
    pub fn entry(&self, id: EntryId) -> Option<(Rc<UnitData<'d>>, Entry<'d>)> {
        let unit = self.unit(id.unit)?;
        let entry = unit.unit.entry(UnitOffset(id.offset)).ok()?;
        Some((unit, entry))
    }

    /// The entry that an attribute of an entry of that unit refers to.
    pub fn target(&self, unit: &UnitData<'d>, value: &Value<'d>) -> Option<EntryId> {
        match *value {
            AttributeValue::UnitRef(offset) => Some(EntryId { unit: unit.id, offset: offset.0 }),
            AttributeValue::DebugInfoRef(offset) => self.at(unit.id.space, offset.0),
            AttributeValue::DebugInfoRefSup(offset) => self.at(Space::Shared, offset.0),
            AttributeValue::DebugTypesRef(signature) => self.signed(unit.id.space, signature.0),
            _ => None,
        }
    }

    /// The entry at an offset in a `.debug_info`.
    fn at(&self, space: Space, offset: usize) -> Option<EntryId> {
        let dwarf = self.dwarf(space)?;
        let unit = if space == Space::Main {
            let units = self.unit_offsets();
            *units.get(units.partition_point(|start| *start <= offset).checked_sub(1)?)?
        } else {
            let mut units = dwarf.units();
            std::iter::from_fn(|| units.next().ok().flatten())
                .filter_map(|header| header.debug_info_offset())
                .map(|start| start.0)
                .take_while(|start| *start <= offset)
                .last()?
        };
        let id = UnitId { space, types: false, offset: unit };
        Some(EntryId { unit: id, offset: offset.checked_sub(unit)? })
    }

    /// The type of a signature, in a type unit.
    fn signed(&self, space: Space, signature: u64) -> Option<EntryId> {
        let packed = |number| {
            self.package()?;
            self.type_units(Space::Type(signature, number)).get(&signature).copied()
        };
        let unit = self.type_units(space).get(&signature).copied().or_else(|| match space {
            Space::Split(number) | Space::Type(_, number) => packed(number),
            _ => None,
        })?;
        let data = self.unit(unit)?;
        match data.unit.header.type_() {
            UnitType::Type { type_offset, .. } | UnitType::SplitType { type_offset, .. } => {
                Some(EntryId { unit, offset: type_offset.0 })
            }
            _ => None,
        }
    }

    /// The type units of some sections, by signature.
    pub fn type_units(&self, space: Space) -> Rc<HashMap<u64, UnitId>> {
        if let Some(known) = self.program.signatures.borrow().get(&space) {
            return Rc::clone(known);
        }
        let mut found = HashMap::new();
        if let Some(dwarf) = self.dwarf(space) {
            let mut add = |header: gimli::UnitHeader<Slice<'d>>| {
                let (types, offset) = match (header.debug_info_offset(), header.debug_types_offset()) {
                    (Some(offset), _) => (false, offset.0),
                    (None, Some(offset)) => (true, offset.0),
                    (None, None) => return,
                };
                if let UnitType::Type { type_signature, .. } | UnitType::SplitType { type_signature, .. } =
                    header.type_()
                {
                    found.insert(type_signature.0, UnitId { space, types, offset });
                }
            };
            let mut units = dwarf.units();
            std::iter::from_fn(|| units.next().ok().flatten()).for_each(&mut add);
            let mut units = dwarf.type_units();
            std::iter::from_fn(|| units.next().ok().flatten()).for_each(&mut add);
        }
        let found = Rc::new(found);
        self.program.signatures.borrow_mut().insert(space, Rc::clone(&found));
        found
    }
}

impl<'d> UnitData<'d> {
    pub fn string(&self, value: Value<'d>) -> Option<String> {
        let text = self.dwarf.attr_string(&self.unit, value).ok()?;
        Some(text.to_string_lossy().into_owned())
    }

    pub fn name(&self, entry: &Entry<'d>) -> Option<String> {
        self.string(entry.attr_value(gimli::DW_AT_name)?).filter(|name| !name.is_empty())
    }
}
