//! A file of debug information: its sections, mapped as they are or unpacked.

use std::ops::Range;
use std::path::{Path, PathBuf};

use gimli::{DwarfPackageSections, DwarfSections, EndianSlice, RunTimeEndian};
use object::{CompressionFormat, Object, ObjectSection};

use crate::process::archive::Bytes;

/// How everything here is read.
pub type Slice<'d> = EndianSlice<'d, RunTimeEndian>;
pub type Dwarf<'d> = gimli::Dwarf<Slice<'d>>;
pub type Package<'d> = gimli::DwarfPackage<Slice<'d>>;

/// One section of a file.
#[derive(Debug, Default)]
pub enum Section {
    #[default]
    Missing,
    /// Where it is in the file.
    Mapped(Range<usize>),
    /// It was compressed, or is made of several.
    Unpacked(Vec<u8>),
}

/// A file with debug information, and the sections of a program (or of its separate file) or of a package.
pub struct DebugFile<S> {
    pub path: PathBuf,
    map: Bytes,
    endian: RunTimeEndian,
    sections: S,
}

/// `.debug_info` and the others, or for a split unit's file `.debug_info.dwo` and the others.
pub type Sections = DwarfSections<Section>;
/// Those of a `.dwp` file.
pub type Packed = DwarfPackageSections<Section>;

impl DebugFile<Sections> {
    /// The sections of a program or of its separate debug file.
    pub fn of_program(path: PathBuf, map: Bytes) -> Option<Self> {
        Self::load(path, map, |section| DwarfSections::load(|id| Ok::<_, ()>(section(Some(id.name())))).ok())
    }

    /// A `.dwo` file.
    pub fn of_unit(path: PathBuf) -> Option<Self> {
        let map = Bytes::open(&path).ok()?;
        Self::load(path, map, |section| DwarfSections::load(|id| Ok::<_, ()>(section(id.dwo_name()))).ok())
    }

    pub fn dwarf(&self) -> Dwarf<'_> {
        self.sections.borrow(|section| self.slice(section))
    }
}

impl DebugFile<Packed> {
    /// A `.dwp` file.
    pub fn of_package(path: PathBuf) -> Option<Self> {
        let map = Bytes::open(&path).ok()?;
        Self::load(path, map, |section| {
            DwarfPackageSections::load(|id| Ok::<_, gimli::Error>(section(id.dwo_name()))).ok()
        })
    }

    pub fn package(&self) -> Option<Package<'_>> {
        self.sections.borrow(|section| self.slice(section), EndianSlice::new(&[], self.endian)).ok()
    }
}

impl<S> DebugFile<S> {
    fn load(
        path: PathBuf,
        map: Bytes,
        sections: impl FnOnce(&dyn Fn(Option<&str>) -> Section) -> Option<S>,
    ) -> Option<Self> {
        let file = object::File::parse(&*map).ok()?;
        let endian = if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
        let sections =
            sections(&|name| name.map_or(Section::Missing, |name| section(&file, name, map.len())))?;
        drop(file);
        Some(DebugFile { path, map, endian, sections })
    }

    fn slice<'d>(&'d self, section: &'d Section) -> Slice<'d> {
        let bytes = match section {
            Section::Missing => &[],
            Section::Mapped(range) => self.map.get(range.clone()).unwrap_or(&[]),
            Section::Unpacked(bytes) => bytes.as_slice(),
        };
        EndianSlice::new(bytes, self.endian)
    }

    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }
}

/// A section that cannot be read is as good as missing: what refers to it is not found.
fn section(file: &object::File<'_>, name: &str, length: usize) -> Section {
    // Compilers give each type unit of a `.dwo` file a section of the same name.
    let same: Vec<_> = file.sections().filter(|section| section.name() == Ok(name)).collect();
    if same.len() > 1 {
        let parts = same.iter().filter_map(|section| section.uncompressed_data().ok());
        return Section::Unpacked(parts.flat_map(|part| part.into_owned()).collect());
    }
    // By this, old names of compressed sections are known too.
    let Some(section) = file.section_by_name(name) else { return Section::Missing };
    match section.compressed_file_range() {
        Ok(range) if range.format == CompressionFormat::None => {
            let start = usize::try_from(range.offset).unwrap_or(usize::MAX);
            let size = usize::try_from(range.uncompressed_size).unwrap_or(usize::MAX);
            Section::Mapped(start..start.saturating_add(size).min(length))
        }
        Ok(_) => {
            section.uncompressed_data().map_or(Section::Missing, |data| Section::Unpacked(data.into_owned()))
        }
        Err(_) => Section::Missing,
    }
}
