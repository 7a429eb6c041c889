//! `/proc/PID/maps`: what is mapped where in a process.

use std::collections::HashSet;
use std::sync::Arc;

/// An executable mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub start: u64,
    pub end: u64,
    /// Of its first byte in the file.
    pub offset: u64,
    pub of: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    File(FileKey),
    /// The code that the kernel maps into each process.
    Vdso,
    /// Memory without a file: what compilers at run time fill.
    Anonymous,
}

/// A file as the kernel tells files apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileKey {
    /// `08:01`
    pub device: Arc<str>,
    pub inode: u64,
    /// In the process's own view of the file system; without the ` (deleted)` that the kernel adds.
    pub path: Arc<str>,
}

impl FileKey {
    /// `None` if that is not a file.
    pub fn new(device: &str, inode: u64, path: &str, names: &mut Names) -> Option<FileKey> {
        // The kernel calls memory without a file `//anon`, where it has to call it something.
        let is_file = inode != 0 && path.starts_with('/') && !path.starts_with("//");
        is_file.then(|| FileKey {
            device: names.shared(device),
            inode,
            path: names.shared(path.strip_suffix(" (deleted)").unwrap_or(path)),
        })
    }
}

/// Names that many mappings have: each is kept once.
#[derive(Default)]
pub(super) struct Names(HashSet<Arc<str>>);

impl Names {
    fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.0.insert(name.clone());
        name
    }
}

/// The executable mappings, by address, as the file has them.
pub(super) fn parse(text: &str, names: &mut Names) -> Vec<Mapping> {
    text.lines().filter_map(|text| line(text, names)).collect()
}

fn line(line: &str, names: &mut Names) -> Option<Mapping> {
    // 7f0c9d228000-7f0c9d37d000 r-xp 00026000 08:01 1234                       /usr/lib/libc.so.6
    let (range, rest) = line.split_once(' ')?;
    let (permissions, rest) = rest.split_once(' ')?;
    if !permissions.contains('x') {
        return None;
    }
    let (offset, rest) = rest.split_once(' ')?;
    let (device, rest) = rest.split_once(' ')?;
    let (inode, path) = rest.split_once(' ').unwrap_or((rest, ""));
    let (start, end) = range.split_once('-')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let inode = inode.parse().ok()?;
    let path = path.trim_start();
    let of = match FileKey::new(device, inode, path, names) {
        Some(key) => Content::File(key),
        None if path == "[vdso]" => Content::Vdso,
        None => Content::Anonymous,
    };
    Some(Mapping { start: hex(start)?, end: hex(end)?, offset: hex(offset)?, of })
}

/// The mapping that holds an address.
pub(super) fn find(mappings: &[Mapping], address: u64) -> Option<&Mapping> {
    let after = mappings.partition_point(|m| m.start <= address);
    mappings.get(after.checked_sub(1)?).filter(|m| address < m.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_mappings_of_all_kinds() {
        let text = "\
555555554000-555555556000 r--p 00000000 08:01 42                         /usr/bin/with space\n\
555555556000-55555555a000 r-xp 00002000 08:01 42                         /usr/bin/with space\n\
7f0000000000-7f0000010000 rwxp 00000000 00:00 0 \n\
7f1000000000-7f1000010000 r-xp 00001000 fd:02 77                         /tmp/gone.so (deleted)\n\
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                          [vdso]\n\
broken\n";
        let mappings = parse(text, &mut Names::default());
        let file = |device: &str, inode, path: &str| {
            Content::File(FileKey { device: device.into(), inode, path: path.into() })
        };
        let kinds: Vec<_> = mappings.iter().map(|m| m.of.clone()).collect();
        assert_eq!(
            kinds,
            [
                file("08:01", 42, "/usr/bin/with space"),
                Content::Anonymous,
                file("fd:02", 77, "/tmp/gone.so"),
                Content::Vdso
            ]
        );
        assert_eq!(find(&mappings, 0x5555_5555_6000).unwrap().offset, 0x2000);
        assert_eq!(find(&mappings, 0x5555_5555_9fff).unwrap().start, 0x5555_5555_6000);
        assert_eq!(find(&mappings, 0x5555_5555_a000), None);
        assert_eq!(find(&mappings, 0), None);
        assert_eq!(find(&mappings, u64::MAX), None);
    }
}
