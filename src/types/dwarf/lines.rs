//! From a line of a source file to the addresses of its code.

use std::collections::{BTreeMap, BTreeSet};

use gimli::{ColumnType, LineProgramHeader, Range, UnitType};

use super::index::inlined;
use super::program::{Reader, Space, UnitData, UnitId};
use super::sections::Slice;

/// A place in a source file, as a script writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `file.c`, `src/file.c` or the whole path.
    pub file: String,
    pub line: u64,
    /// 0 for any.
    pub column: u64,
}

/// Why there is no code for a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCode {
    /// No unit has such a file; the sources of those that there are.
    File(BTreeSet<String>),
    /// Several files end like this.
    Ambiguous(BTreeSet<String>),
    /// The nearest lines with code before and after it.
    Line(Option<u64>, Option<u64>),
    /// The line has statements that begin in these columns.
    Column(BTreeSet<u64>),
}

/// Where a statement begins.
struct Row {
    address: u64,
    unit: UnitId,
}

impl<'d> Reader<'d> {
    /// The addresses of a line's code: the first one of each function and of each inlined copy that it is in.
    pub fn addresses(&self, source: &Source) -> Result<Vec<u64>, NoCode> {
        let mut files = BTreeSet::new();
        let mut others = BTreeSet::new();
        let mut rows: BTreeMap<(u64, u64), Vec<Row>> = BTreeMap::new();
        for offset in self.unit_offsets() {
            let id = UnitId { space: Space::Main, types: false, offset: *offset };
            let Some(unit) = self.unit(id) else { continue };
            // These share the lines of the unit that they were taken from.
            if matches!(unit.unit.header.type_(), UnitType::Type { .. }) {
                self.forget(id);
                continue;
            }
            others.extend(unit.unit.name.map(|name| name.to_string_lossy().into_owned()));
            unit_rows(&unit, &source.file, &mut files, &mut rows);
            self.forget(id);
        }
        match files.len() {
            0 => return Err(NoCode::File(others)),
            1 => {}
            _ => return Err(NoCode::Ambiguous(files)),
        }
        let of_line = || rows.range((source.line, 0)..=(source.line, u64::MAX));
        let found: Vec<&Row> = of_line()
            .filter(|((_, column), _)| source.column == 0 || *column == source.column)
            .flat_map(|(_, rows)| rows)
            .collect();
        if !found.is_empty() {
            return Ok(self.first_of_each(found));
        }
        let columns: BTreeSet<u64> = of_line().map(|((_, column), _)| *column).collect();
        if !columns.is_empty() {
            return Err(NoCode::Column(columns));
        }
        let before = rows.range(..(source.line, 0)).next_back().map(|((line, _), _)| *line);
        let after = rows.range((source.line, u64::MAX)..).next().map(|((line, _), _)| *line);
        Err(NoCode::Line(before, after))
    }

    /// Of the statements in one function, or in one copy of it, the first.
    fn first_of_each(&self, mut rows: Vec<&Row>) -> Vec<u64> {
        rows.sort_by_key(|row| row.address);
        rows.dedup_by_key(|row| row.address);
        let mut taken: BTreeSet<(Option<usize>, UnitId, Option<usize>)> = BTreeSet::new();
        let mut found = vec![];
        for row in rows {
            let unit = self.full(row.unit);
            let function = unit.as_ref().and_then(|unit| self.index(unit).function(row.address));
            let copy = match (&unit, function) {
                (Some(unit), Some(function)) => innermost(&inlined(unit, function), row.address),
                _ => None,
            };
            if taken.insert((function, row.unit, copy)) {
                found.push(row.address);
            }
        }
        found
    }
}

/// The innermost copy, by its number, that an address is in.
fn innermost(copies: &[Vec<Range>], address: u64) -> Option<usize> {
    // What is inside comes after what it is in.
    copies.iter().rposition(|ranges| ranges.iter().any(|r| r.begin <= address && address < r.end))
}

fn unit_rows<'d>(
    unit: &UnitData<'d>,
    wanted: &str,
    files: &mut BTreeSet<String>,
    rows: &mut BTreeMap<(u64, u64), Vec<Row>>,
) {
    let Some(program) = unit.unit.line_program.clone() else { return };
    let header = program.header();
    let first = u64::from(header.version() < 5);
    let count = header.file_names().len() as u64;
    // Whole paths of the files that the unit's lines can be of, by number.
    let mut own: BTreeMap<u64, String> = BTreeMap::new();
    for number in first..first.saturating_add(count) {
        let Some(path) = file_path(unit, header, number) else { continue };
        if ends_with(&path, wanted) {
            own.insert(number, path);
        }
    }
    if own.is_empty() {
        return;
    }
    let mut found = program.rows();
    let mut last: Option<(u64, u64)> = None;
    while let Ok(Some((_, row))) = found.next_row() {
        let Some(path) = own.get(&row.file_index()) else {
            last = None;
            continue;
        };
        let (Some(line), false, true) = (row.line(), row.end_sequence(), row.is_stmt()) else {
            last = None;
            continue;
        };
        let column = match row.column() {
            ColumnType::LeftEdge => 0,
            ColumnType::Column(column) => column.get(),
        };
        // Sequences of what the linker dropped begin at zero.
        if row.address() == 0 || unit.unit.header.is_tombstone_address(row.address()) {
            continue;
        }
        let place = (line.get(), column);
        // Several rows for one statement are places to skip to, not other statements.
        if last.replace(place) == Some(place) {
            continue;
        }
        files.insert(path.clone());
        rows.entry(place).or_default().push(Row { address: row.address(), unit: unit.id });
    }
}

/// The last part of the name of a unit's file of that number.
pub fn file_name(unit: &UnitData<'_>, number: u64) -> Option<String> {
    let path = file_path(unit, unit.unit.line_program.as_ref()?.header(), number)?;
    path.rsplit('/').next().map(str::to_owned)
}

fn file_path<'d>(unit: &UnitData<'d>, header: &LineProgramHeader<Slice<'d>>, number: u64) -> Option<String> {
    let file = header.file(number)?;
    let name = unit.string(file.path_name())?;
    let mut path = std::path::PathBuf::new();
    if let Some(dir) = unit.unit.comp_dir {
        path.push(dir.to_string_lossy().as_ref());
    }
    if let Some(dir) = file.directory(header).and_then(|dir| unit.string(dir)) {
        path.push(dir);
    }
    path.push(name);
    // `a/./b` and `a/c/../b` are one file.
    let mut clean = std::path::PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if clean.file_name().is_some() => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    Some(clean.to_string_lossy().into_owned())
}

/// Whether a path is, or ends with, another one, in whole parts.
fn ends_with(path: &str, wanted: &str) -> bool {
    let wanted = wanted.strip_prefix("./").unwrap_or(wanted);
    std::path::Path::new(path).ends_with(wanted)
}
