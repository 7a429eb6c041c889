//! `/etc/ld.so.cache`: which file a shared library's name means. The format is that of glibc's
//! `sysdeps/generic/dl-cache.h`.

use std::path::PathBuf;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// Caches of glibc before 2.32 begin with the old format, and the new one follows.
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// What an entry's flags are for libraries of this machine's kind: the C library in the lower byte (3 for glibc),
/// the architecture in the next one.
const FLAGS: u32 = if cfg!(target_arch = "aarch64") { 0x0a03 } else { 0x0303 };

/// The libraries of the cache as name and path, in its order, which has newer versions first.
pub fn libraries(cache: &[u8]) -> Option<Vec<(&str, PathBuf)>> {
    let cache = new_format(cache)?;
    let count = usize::try_from(number(cache, MAGIC.len())?).ok()?;
    let entries = cache.get(HEADER..HEADER.checked_add(count.checked_mul(ENTRY)?)?)?;
    let libraries = entries.chunks_exact(ENTRY).filter_map(|entry| {
        if number(entry, 0)? & 0xffff != FLAGS {
            return None;
        }
        Some((text(cache, number(entry, 4)?)?, PathBuf::from(text(cache, number(entry, 8)?)?)))
    });
    Some(libraries.collect())
}

fn new_format(cache: &[u8]) -> Option<&[u8]> {
    if cache.starts_with(MAGIC) {
        return Some(cache);
    }
    if !cache.starts_with(OLD_MAGIC) {
        return None;
    }
    let count = usize::try_from(number(cache, 12)?).ok()?;
    let end = 16usize.checked_add(count.checked_mul(12)?)?.checked_next_multiple_of(8)?;
    cache.get(end..).filter(|rest| rest.starts_with(MAGIC))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn text(cache: &[u8], at: u32) -> Option<&str> {
    let bytes = cache.get(usize::try_from(at).ok()?..)?;
    let end = bytes.iter().position(|&b| b == 0)?;
    std::str::from_utf8(&bytes[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(&str, &str, u32)]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((entries.len() as u32).to_ne_bytes());
        bytes.resize(HEADER, 0);
        let mut strings = vec![];
        let base = HEADER + entries.len() * ENTRY;
        for (name, path, flags) in entries {
            bytes.extend(flags.to_ne_bytes());
            for text in [name, path] {
                bytes.extend(((base + strings.len()) as u32).to_ne_bytes());
                strings.extend(text.bytes().chain([0]));
            }
            bytes.extend([0; 12]);
        }
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn libraries_of_this_machine_are_read() {
        let new = cache(&[
            ("libx.so.2", "/lib/libx.so.2", FLAGS),
            ("libx.so.2", "/lib32/libx.so.2", 0x0003),
            ("libx.so.1", "/lib/libx.so.1", FLAGS),
        ]);
        let expected =
            vec![("libx.so.2", PathBuf::from("/lib/libx.so.2")), ("libx.so.1", "/lib/libx.so.1".into())];
        assert_eq!(libraries(&new).unwrap(), expected);
        // With one entry of the old format before it.
        let mut old = OLD_MAGIC.to_vec();
        old.extend(1u32.to_ne_bytes());
        old.resize(32, 0);
        old.extend(&new);
        assert_eq!(libraries(&old).unwrap(), expected);
    }

    #[test]
    fn damaged_caches_are_not_read() {
        assert_eq!(libraries(b""), None);
        assert_eq!(libraries(b"something else"), None);
        let mut bytes = cache(&[("libx.so.2", "/lib/libx.so.2", FLAGS)]);
        bytes[MAGIC.len()] = 200;
        assert_eq!(libraries(&bytes), None);
        let mut bytes = cache(&[("libx.so.2", "/lib/libx.so.2", FLAGS)]);
        bytes[HEADER + 4..HEADER + 8].fill(0xff);
        assert_eq!(libraries(&bytes), Some(vec![]));
    }
}
