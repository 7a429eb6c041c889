//! Where distributions and build systems put what they take out of programs: symbol tables and debug information, in a
//! file that `.gnu_debuglink` or the build id names.
//!
//! The places are those of GDB and elfutils: [GDB's manual, "Separate Debug
//! Files"](https://sourceware.org/gdb/current/onlinedocs/gdb.html/Separate-Debug-Files.html).

use std::path::{Path, PathBuf};

use object::{Object, ObjectSymbolTable};

use super::archive::Bytes;

/// Whether a file has a table of all its symbols.
pub fn has_symbols(file: &object::File<'_>) -> bool {
    file.symbol_table().is_some_and(|table| table.symbols().next().is_some())
}

/// Whether a file has debug information of its own.
pub fn has_debug_info(file: &object::File<'_>) -> bool {
    use object::ObjectSection;
    file.section_by_name(".debug_info")
        .is_some_and(|section| section.file_range().is_some_and(|(_, size)| size > 0))
}

/// The directories to search for the debug information of a program. As for elfutils, one that is not absolute is also
/// one beside the program.
pub fn directories(dirs: &[PathBuf], program: &Path) -> Vec<PathBuf> {
    let beside = program.parent().unwrap_or(Path::new(""));
    let each = |dir: &PathBuf| [Some(dir.clone()), dir.is_relative().then(|| beside.join(dir))];
    dirs.iter().flat_map(each).flatten().collect()
}

/// The separate file of a program at `path` that has what is wanted. `dirs` are those of `--debuginfo`, which are
/// searched first.
pub fn find(
    file: &object::File<'_>,
    path: &Path,
    dirs: &[PathBuf],
    wanted: fn(&object::File<'_>) -> bool,
) -> Option<(PathBuf, Bytes)> {
    let id = file.build_id().ok().flatten();
    let link = file.gnu_debuglink().ok().flatten();
    let link = link.and_then(|(name, crc)| Some((std::str::from_utf8(name).ok()?, crc)));
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let usual = [PathBuf::from("/usr/lib/debug")];
    let dirs = directories(dirs, &path);
    let mut places: Vec<(PathBuf, bool)> = vec![];
    for dir in dirs.iter().chain(&usual) {
        places.extend(id.and_then(build_id_path).map(|below| (dir.join(below), false)));
    }
    let own_dir = path.parent().unwrap_or(Path::new("/"));
    let by_default = path.file_name().map(|name| format!("{}.debug", name.to_string_lossy()));
    for name in link.map(|(name, _)| name).into_iter().chain(by_default.as_deref()) {
        for dir in &dirs {
            places.push((dir.join(name), true));
            places.push((dir.join(own_dir.strip_prefix("/").unwrap_or(own_dir)).join(name), true));
        }
        places.push((own_dir.join(name), false));
        places.push((own_dir.join(".debug").join(name), false));
        places.push((usual[0].join(own_dir.strip_prefix("/").unwrap_or(own_dir)).join(name), false));
    }
    places.into_iter().filter(|(place, _)| *place != path).find_map(|(place, named)| {
        let map = Bytes::open(&place).ok()?;
        let found = object::File::parse(&*map).ok()?;
        // What belongs to another build would put probes into the middle of instructions.
        let same = match (id, found.build_id().ok().flatten()) {
            (Some(own), Some(other)) => own == other,
            (None, None) => match link {
                Some((_, crc)) => crc == checksum(&map),
                // Nothing tells builds apart, but whoever named the directory means it.
                None => named,
            },
            _ => false,
        };
        let fits = same && wanted(&found);
        drop(found);
        fits.then_some((place, map))
    })
}

/// The file that several programs' debug information shares, which `dwz` made: `.gnu_debugaltlink` of the file at
/// `path` names it.
pub fn shared(file: &object::File<'_>, path: &Path, dirs: &[PathBuf]) -> Option<(PathBuf, Bytes)> {
    let (name, id) = file.gnu_debugaltlink().ok().flatten()?;
    let name = Path::new(std::str::from_utf8(name).ok()?);
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut places = vec![path.parent().unwrap_or(Path::new("/")).join(name)];
    let usual = [PathBuf::from("/usr/lib/debug")];
    for dir in dirs.iter().chain(&usual) {
        places.extend(build_id_path(id).map(|below| dir.join(below)));
        places.extend(name.file_name().map(|name| dir.join(".dwz").join(name)));
    }
    places.into_iter().find_map(|place| {
        let map = Bytes::open(&place).ok()?;
        let found = object::File::parse(&*map).ok()?;
        let same = found.build_id().ok().flatten() == Some(id);
        drop(found);
        same.then_some((place, map))
    })
}

/// `.build-id/ab/cdef….debug`
fn build_id_path(id: &[u8]) -> Option<PathBuf> {
    let [first, rest @ ..] = id else { return None };
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(PathBuf::from(format!(".build-id/{first:02x}/{rest}.debug")))
}

/// The checksum of `.gnu_debuglink`: CRC-32 as zip has it.
fn checksum(bytes: &[u8]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|n| {
        (0..8).fold(n as u32, |c, _| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 })
    });
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        let index = ((crc ^ u32::from(*byte)) & 0xff) as usize;
        table.get(index).copied().unwrap_or(0) ^ (crc >> 8)
    });
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_zip() {
        // The check value of CRC-32 in every catalogue of checksums.
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
        assert_eq!(checksum(b""), 0);
    }

    #[test]
    fn build_ids_are_directories() {
        assert_eq!(build_id_path(&[0xab, 0xcd, 0x01]), Some(".build-id/ab/cd01.debug".into()));
        assert_eq!(build_id_path(&[]), None);
    }
}
