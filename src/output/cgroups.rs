//! Control groups by their ids, which are the inode numbers of their directories.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Paths of control groups. The hierarchies are read at the first question, and again for an id that is new.
#[derive(Debug, Default)]
pub(super) struct Cgroups {
    hierarchies: Option<Vec<Hierarchy>>,
    shown: HashMap<(u64, String), String>,
}

#[derive(Debug)]
struct Hierarchy {
    /// `unified` for version 2, the mount point's own name for version 1.
    name: String,
    root: PathBuf,
}

impl Cgroups {
    /// Appends where the group lies in each hierarchy whose name matches the filter:
    /// `unified:/user.slice,cpu:/`. Nothing if it is in none.
    pub fn show(&mut self, out: &mut Vec<u8>, id: u64, filter: &str) {
        let key = (id, filter.to_owned());
        if let Some(text) = self.shown.get(&key) {
            return out.extend_from_slice(text.as_bytes());
        }
        let hierarchies = self
            .hierarchies
            .get_or_insert_with(|| hierarchies(&fs::read_to_string("/proc/self/mounts").unwrap_or_default()));
        let filter = if filter.is_empty() { "*" } else { filter };
        let text = places(hierarchies, id, filter).join(",");
        out.extend_from_slice(text.as_bytes());
        // A group that is not there yet may be there next time.
        if !text.is_empty() {
            self.shown.insert(key, text);
        }
    }
}

/// The mounted hierarchies, version 2 first, then by name.
fn hierarchies(mounts: &str) -> Vec<Hierarchy> {
    let mut found = vec![];
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(root), Some(kind)) = (words.next(), words.next()) else { continue };
        let root = PathBuf::from(root);
        let name = match kind {
            "cgroup2" => "unified".to_owned(),
            "cgroup" => root.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            _ => continue,
        };
        found.push((kind == "cgroup", Hierarchy { name, root }));
    }
    found.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    found.into_iter().map(|(_, hierarchy)| hierarchy).collect()
}

fn places(hierarchies: &[Hierarchy], id: u64, filter: &str) -> Vec<String> {
    let matching = hierarchies.iter().filter(|h| matches(filter.as_bytes(), h.name.as_bytes()));
    matching.filter_map(|h| Some(format!("{}:{}", h.name, path_of(&h.root, id)?))).collect()
}

/// The group's path below the root: `/` for the root itself.
fn path_of(root: &Path, id: u64) -> Option<String> {
    if fs::metadata(root).ok()?.ino() == id {
        return Some("/".to_owned());
    }
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        // A group may go away while we walk.
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
            if entry.ino() == id {
                let path = entry.path();
                let below = path.strip_prefix(root).ok()?;
                return Some(format!("/{}", below.display()));
            }
            directories.push(entry.path());
        }
    }
    None
}

/// Whether a name matches a pattern with `*` for any characters.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|n| name.get(n..).is_some_and(|name| matches(rest, name))),
        Some((letter, rest)) => {
            name.split_first().is_some_and(|(first, name)| first == letter && matches(rest, name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_inode_in_matching_hierarchies() {
        let dir = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(&path).unwrap();
            fs::metadata(path).unwrap().ino()
        };
        let (deep, root) = (make("v2/user.slice/app"), make("v2"));
        make("v1/cpu");
        let mounts = format!(
            "cgroup {0}/v1/cpu cgroup rw 0 0\nproc /proc proc rw 0 0\ncgroup2 {0}/v2 cgroup2 rw 0 0\n",
            dir.path().display()
        );
        let found = hierarchies(&mounts);
        assert_eq!(places(&found, deep, "*"), ["unified:/user.slice/app"]);
        assert_eq!(places(&found, root, "uni*"), ["unified:/"]);
        assert_eq!(places(&found, make("v1/cpu"), "c*u"), ["cpu:/"]);
        assert!(places(&found, deep, "cpu").is_empty());
        assert!(places(&found, 1 << 60, "*").is_empty());
    }
}
