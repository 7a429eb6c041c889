//! Libraries inside ZIP archives, as Android maps them from an APK: `/data/app.apk!/lib/arm64-v8a/libapp.so`.
//!
//! The format: [APPNOTE.TXT](https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT), sections 4.3 and 4.4; the way
//! of writing it is that of Android's linker and of libbpf. What is larger than 4 GiB (ZIP64) is not read.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};

use memmap2::Mmap;

/// What a path means, mapped into memory: a whole file, or a member of an archive.
pub struct Bytes {
    map: Mmap,
    range: Range<usize>,
}

impl Bytes {
    /// Maps a file, or a member of an archive, if no file has that name.
    pub fn open(path: &Path) -> io::Result<Bytes> {
        let error = match map(path) {
            Ok(map) => {
                let range = 0..map.len();
                return Ok(Bytes { map, range });
            }
            Err(error) => error,
        };
        let Some((archive, name)) = member(path) else { return Err(error) };
        let map = map(archive)?;
        let range = find(&map, name).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        Ok(Bytes { map, range })
    }

    /// Where they begin in the file that the kernel knows.
    pub fn start(&self) -> u64 {
        self.range.start as u64
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.get(self.range.clone()).unwrap_or(&[])
    }
}

fn map(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    // SAFETY: the map is read only. A file that shrinks meanwhile ends this process with SIGBUS, as it does every
    // tool that maps the programs that it reads; package managers replace files instead of writing to them.
    unsafe { Mmap::map(&file) }
}

/// What stands between the path of an archive and the name in it.
const MARK: &str = "!/";

/// The archive and the name in it, if a path is written so and there is a file of the archive's name.
pub fn member(path: &Path) -> Option<(&Path, &str)> {
    let text = path.to_str()?;
    let mut marks = text.match_indices(MARK);
    marks.find_map(|(at, _)| {
        let archive = Path::new(text.get(..at)?);
        archive.is_file().then_some((archive, text.get(at + MARK.len()..)?))
    })
}

/// The file that the kernel knows: the archive of a member, else the path itself.
pub fn file(path: &Path) -> &Path {
    match path.exists() {
        true => path,
        false => member(path).map_or(path, |(archive, _)| archive),
    }
}

/// The files in an archive, as paths: `ARCHIVE!/NAME`. None if it cannot be read.
pub fn members(archive: &Path) -> Vec<PathBuf> {
    let Ok(map) = map(archive) else { return vec![] };
    let Ok(entries) = entries(&map) else { return vec![] };
    let names = entries.filter_map(|entry| Some(std::str::from_utf8(entry.ok()?.name).ok()?.to_owned()));
    let archive = archive.to_string_lossy();
    names.filter(|name| !name.ends_with('/')).map(|name| format!("{archive}{MARK}{name}").into()).collect()
}

/// The file in an archive whose bytes are at an offset, as a path; `None` for what is no archive.
pub fn member_at(archive: &Path, offset: u64) -> Option<PathBuf> {
    let map = map(archive).ok().filter(|map| map.starts_with(LOCAL))?;
    let offset = usize::try_from(offset).ok()?;
    let found = entries(&map).ok()?.flatten().find_map(|entry| {
        let name = std::str::from_utf8(entry.name).ok()?;
        entry.content(&map, name).is_ok_and(|range| range.contains(&offset)).then(|| name.to_owned())
    })?;
    Some(format!("{}{MARK}{found}", archive.display()).into())
}

/// Why a member of an archive cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    #[error("what stands before !/ is not a ZIP archive")]
    NotZip,
    #[error("the archive is larger than 4 GiB (ZIP64)")]
    TooLarge,
    #[error("the archive is damaged: {0}")]
    Damaged(&'static str),
    #[error("the archive has no file '{name}'")]
    Missing {
        name: String,
        /// What it has.
        others: Vec<String>,
    },
    #[error("{name} is compressed in the archive, so no process runs it from there")]
    Compressed { name: String },
    #[error("{name} is encrypted in the archive")]
    Encrypted { name: String },
}

/// Why what a path means in an archive cannot be read; `None` where it can, or is in none.
pub fn error(path: &Path) -> Option<ArchiveError> {
    let (archive, name) = member(path).filter(|_| !path.exists())?;
    find(&map(archive).ok()?, name).err()
}

/// Where a member's bytes are in an archive.
pub fn find(archive: &[u8], name: &str) -> Result<Range<usize>, ArchiveError> {
    let mut others = vec![];
    for entry in entries(archive)? {
        let entry = entry?;
        if entry.name == name.as_bytes() {
            return entry.content(archive, name);
        }
        others.extend(std::str::from_utf8(entry.name).ok().map(str::to_owned));
    }
    Err(ArchiveError::Missing { name: name.into(), others })
}

/// An entry of the central directory.
#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    name: &'a [u8],
    flags: u16,
    method: u16,
    compressed: u32,
    size: u32,
    /// Where the header before its bytes is.
    header: u32,
}

const END: &[u8] = b"PK\x05\x06";
const END_SIZE: usize = 22;
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_SIZE: usize = 46;
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_SIZE: usize = 30;
/// A number of ZIP64 is elsewhere.
const ELSEWHERE: u32 = u32::MAX;

impl Entry<'_> {
    fn content(&self, archive: &[u8], name: &str) -> Result<Range<usize>, ArchiveError> {
        if self.flags & 1 != 0 {
            return Err(ArchiveError::Encrypted { name: name.into() });
        }
        if self.method != 0 {
            return Err(ArchiveError::Compressed { name: name.into() });
        }
        if self.header == ELSEWHERE || self.size == ELSEWHERE {
            return Err(ArchiveError::TooLarge);
        }
        let content = || {
            let at = self.header as usize;
            let header = archive.get(at..)?.get(..LOCAL_SIZE).filter(|header| header.starts_with(LOCAL))?;
            // The extra field here is another one than in the directory: it pads what follows to a page.
            let names = usize::from(half(header, 26)?) + usize::from(half(header, 28)?);
            let start = at.checked_add(LOCAL_SIZE + names)?;
            let end = start.checked_add(self.size as usize)?;
            (self.compressed == self.size && end <= archive.len()).then_some(start..end)
        };
        content().ok_or(ArchiveError::Damaged("its directory points outside of it"))
    }
}

/// The entries of the central directory. After an error there are no more.
fn entries(archive: &[u8]) -> Result<impl Iterator<Item = Result<Entry<'_>, ArchiveError>>, ArchiveError> {
    let (count, start) = directory(archive).ok_or(ArchiveError::NotZip)?;
    if start == ELSEWHERE || count == u16::MAX {
        return Err(ArchiveError::TooLarge);
    }
    let mut rest = archive.get(start as usize..).ok_or(ArchiveError::Damaged("its directory is cut off"))?;
    let mut left = count;
    Ok(std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        match entry(rest) {
            Some((entry, more)) => {
                rest = more;
                Some(Ok(entry))
            }
            None => {
                left = 0;
                Some(Err(ArchiveError::Damaged("its directory is cut off")))
            }
        }
    }))
}

/// How many entries the central directory has, and where it begins. The record that says so is the last thing in an
/// archive but for a comment.
fn directory(archive: &[u8]) -> Option<(u16, u32)> {
    let last = archive.len().checked_sub(END_SIZE)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    (first..=last).rev().find_map(|at| {
        let record = archive.get(at..).filter(|record| record.starts_with(END))?;
        let whole = usize::from(half(record, 20)?) == record.len() - END_SIZE;
        whole.then_some((half(record, 10)?, word(record, 16)?))
    })
}

/// The first entry, and what follows it.
fn entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let fixed = bytes.get(..ENTRY_SIZE).filter(|fixed| fixed.starts_with(ENTRY))?;
    let (name, extra, comment) = (half(fixed, 28)?, half(fixed, 30)?, half(fixed, 32)?);
    let (name, rest) = bytes.get(ENTRY_SIZE..)?.split_at_checked(name.into())?;
    let rest = rest.get(usize::from(extra) + usize::from(comment)..)?;
    let entry = Entry {
        name,
        flags: half(fixed, 8)?,
        method: half(fixed, 10)?,
        compressed: word(fixed, 20)?,
        size: word(fixed, 24)?,
        header: word(fixed, 42)?,
    };
    Some((entry, rest))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of these names, methods and contents.
    fn zip(members: &[(&str, u16, &[u8])], comment: &[u8]) -> Vec<u8> {
        let (mut archive, mut directory) = (vec![], vec![]);
        for (name, method, content) in members {
            let header = archive.len() as u32;
            let (size, name_size) = ((content.len() as u32).to_le_bytes(), (name.len() as u16).to_le_bytes());
            // From the version that is needed up to the length of the name, as both headers have it.
            let mut common = vec![10, 0, 0, 0];
            common.extend(method.to_le_bytes());
            common.extend([0; 8]);
            common.extend(size.into_iter().chain(size).chain(name_size));
            archive.extend(LOCAL.iter().chain(&common).chain(&[3, 0]));
            archive.extend(name.bytes().chain(*b"pad").chain(content.iter().copied()));
            directory.extend(ENTRY.iter().chain(&[20, 3]).chain(&common));
            directory.extend([0; 12]);
            directory.extend(header.to_le_bytes().into_iter().chain(name.bytes()));
        }
        let (start, count) = (archive.len() as u32, members.len() as u16);
        let size = directory.len() as u32;
        archive.extend(directory);
        archive.extend(END.iter().copied().chain([0; 4]));
        archive.extend(count.to_le_bytes().into_iter().chain(count.to_le_bytes()));
        archive.extend(size.to_le_bytes().into_iter().chain(start.to_le_bytes()));
        archive.extend((comment.len() as u16).to_le_bytes());
        archive.extend(comment);
        archive
    }

    fn sample() -> Vec<u8> {
        let members: [(&str, u16, &[u8]); 4] = [
            ("a", 0, b"first"),
            ("lib/x86_64/libx.so", 0, b"code"),
            ("lib/packed.so", 8, b"zz"),
            ("e", 0, b""),
        ];
        // A comment may look like the record that it belongs to.
        zip(&members, b"PK\x05\x06 and more than twenty-two bytes")
    }

    #[test]
    fn members_are_found() {
        let archive = sample();
        let content = |name| &archive[find(&archive, name).unwrap()];
        assert_eq!(content("a"), b"first");
        assert_eq!(content("lib/x86_64/libx.so"), b"code");
        assert_eq!(content("e"), b"");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let archive = sample();
        let error = |name| find(&archive, name).unwrap_err();
        let others = ["a", "lib/x86_64/libx.so", "lib/packed.so", "e"].map(str::to_owned).into();
        assert_eq!(error("lib/packd.so"), ArchiveError::Missing { name: "lib/packd.so".into(), others });
        assert_eq!(error("lib/packed.so"), ArchiveError::Compressed { name: "lib/packed.so".into() });
        assert_eq!(find(b"no archive, but longer than the record", "a"), Err(ArchiveError::NotZip));
        assert_eq!(find(b"", "a"), Err(ArchiveError::NotZip));
        let mut encrypted = zip(&[("a", 0, b"x")], b"");
        let directory = encrypted.windows(4).position(|four| four == ENTRY).unwrap();
        encrypted[directory + 8] = 1;
        assert_eq!(find(&encrypted, "a"), Err(ArchiveError::Encrypted { name: "a".into() }));
    }

    #[test]
    fn damage_is_no_panic() {
        let archive = sample();
        for at in 0..archive.len() {
            for value in [0, 0x7f, 0xff] {
                let mut damaged = archive.clone();
                damaged[at] = value;
                for name in ["a", "lib/packed.so", "none"] {
                    if let Ok(range) = find(&damaged, name) {
                        assert!(damaged.get(range).is_some());
                    }
                }
            }
            assert!(find(&archive[..at], "none").is_err());
            assert!(find(&archive[at..], "none").is_err());
        }
    }

    #[test]
    fn a_path_leads_into_an_archive() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("odd!");
        std::fs::create_dir(&odd).unwrap();
        let archive = odd.join("x.zip");
        std::fs::write(&archive, sample()).unwrap();
        let path = PathBuf::from(format!("{}!/lib/x86_64/libx.so", archive.display()));
        assert_eq!(member(&path), Some((archive.as_path(), "lib/x86_64/libx.so")));
        assert_eq!(file(&path), archive);
        let bytes = Bytes::open(&path).unwrap();
        assert_eq!(&*bytes, b"code");
        assert_eq!(&std::fs::read(&archive).unwrap()[bytes.start() as usize..][..4], b"code");
        // A file is a file, whatever it is called.
        assert_eq!(member(&archive), None);
        assert_eq!(file(&archive), archive);
        assert_eq!(Bytes::open(&archive).unwrap().start(), 0);
        assert_eq!(members(&archive).len(), 4);
        assert_eq!(member_at(&archive, bytes.start() + 3).as_deref(), Some(path.as_path()));
        assert_eq!(member_at(&archive, bytes.start() + 4), None);
        assert_eq!(member_at(Path::new("/proc/self/exe"), 0), None);
        let none = Bytes::open(&odd.join("x.zip!/none")).map(|_| ()).unwrap_err();
        assert_eq!(none.to_string(), "the archive has no file 'none'");
        assert!(Bytes::open(&odd.join("y.zip!/a")).is_err());
    }
}
