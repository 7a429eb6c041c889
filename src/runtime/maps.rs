//! A script's maps as the runtime sees them: read whole, entry by entry, cleared and zeroed.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use libbpf_sys as sys;

use super::entries::Entries;
use super::sums;
use crate::image;
use crate::types::Layouts;
use crate::types::layout::size_of;

/// How many entries are asked for at once, at first.
const BATCH: u32 = 1024;
/// How much memory the values of a batch may take.
const BATCH_BYTES: usize = 8 << 20;

/// A map in the kernel.
pub struct Map {
    fd: OwnedFd,
    key_size: usize,
    /// Of one value, as the type says.
    value_size: usize,
    /// Of what is of it in one entry, and how many of these it takes: see [`image::Map::pieces`].
    piece: usize,
    pieces: u32,
    /// Of one value in the kernel's copies: a multiple of 8 for per-CPU maps.
    slot: usize,
    /// 1 where there is but one value.
    cpus: usize,
    /// See [`image::Map::written_flag`].
    flag: Option<usize>,
    entries: u32,
}

impl Map {
    pub fn new(map: &image::Map, handle: &libbpf_rs::Map<'_>, layouts: &Layouts) -> io::Result<Map> {
        use libbpf_rs::MapCore;
        use std::os::fd::AsFd;
        let per_cpu = map.kind.per_cpu();
        let size = handle.value_size() as usize;
        Ok(Map {
            fd: handle.as_fd().try_clone_to_owned()?,
            key_size: handle.key_size() as usize,
            value_size: size_of(&map.value, layouts) as usize,
            piece: map.entry_size(layouts) as usize,
            pieces: map.pieces(),
            slot: if per_cpu { size.next_multiple_of(8) } else { size },
            cpus: if per_cpu { libbpf_rs::num_possible_cpus().map_err(io::Error::other)? } else { 1 },
            flag: map.written_flag(layouts).map(|flag| flag as usize),
            entries: handle.max_entries(),
        })
    }

    /// Of one key, in bytes.
    pub fn key_size(&self) -> usize {
        self.key_size
    }

    /// All entries, in no order. A map without a key has one if it was written.
    ///
    /// Entries that come or go meanwhile may be missed, but none is seen twice: each bucket of the kernel's is read at
    /// once.
    pub fn read(&self, map: &image::Map) -> io::Result<Entries> {
        if map.key.is_none() {
            let mut entries = Entries::new(0, self.value_size);
            let pieces = self.pieces()?;
            if pieces.iter().any(|values| self.written(values)) {
                entries.push(&[], &self.joined(map, &pieces));
            }
            return Ok(entries);
        }
        let mut entries = Entries::new(self.key_size, self.value_size);
        let whole = self.cpus == 1 && self.slot == self.value_size;
        let size = self.slot * self.cpus;
        let done = self.batches(|keys, values| {
            for (key, values) in keys.chunks_exact(self.key_size).zip(values.chunks_exact(size)) {
                if whole {
                    entries.push(key, values);
                } else {
                    entries.push_with(key, |to| self.sum(map, values, to));
                }
            }
        })?;
        if !done {
            self.one_by_one(|key, values| entries.push_with(key, |to| self.sum(map, values, to)))?;
        }
        Ok(entries)
    }

    /// How many keys there are.
    pub fn count(&self) -> io::Result<usize> {
        Ok(self.keys()?.len())
    }

    /// One value; zeros if the key is not there.
    pub fn value(&self, map: &image::Map, key: &[u8]) -> io::Result<Vec<u8>> {
        let values = match map.key {
            None => return Ok(self.joined(map, &self.pieces()?)),
            Some(_) if key.len() == self.key_size => self.lookup(key)?,
            Some(_) => None,
        };
        let mut value = self.empty();
        if let Some(values) = values {
            self.sum(map, &values, &mut value);
        }
        Ok(value)
    }

    /// What a value without anything in it looks like.
    pub fn empty(&self) -> Vec<u8> {
        vec![0; self.value_size]
    }

    /// Removes all entries. A map without a key is as if it had never been written.
    pub fn clear(&self, map: &image::Map) -> io::Result<()> {
        if map.key.is_none() {
            let zeros = vec![0; self.slot * self.cpus];
            return (0..self.pieces).try_for_each(|n| self.update(&n.to_ne_bytes(), &zeros));
        }
        for key in self.keys()?.keys() {
            // SAFETY: the key is as long as the kernel's.
            let error = unsafe { sys::bpf_map_delete_elem(self.fd.as_raw_fd(), key.as_ptr().cast()) };
            if error < 0 && error != -libc::ENOENT {
                return Err(io::Error::from_raw_os_error(-error));
            }
        }
        Ok(())
    }

    /// Sets all values to zero and leaves the keys.
    pub fn zero(&self, map: &image::Map) -> io::Result<()> {
        let mut zeros = vec![0; self.slot * self.cpus];
        if map.key.is_none() {
            for (n, values) in (0u32..).zip(self.pieces()?) {
                for (new, old) in zeros.chunks_mut(self.slot).zip(values.chunks(self.slot)) {
                    let flag = self.flag.unwrap_or(self.slot)..;
                    if let (Some(new), Some(old)) = (new.get_mut(flag.clone()), old.get(flag)) {
                        new.copy_from_slice(old);
                    }
                }
                self.update(&n.to_ne_bytes(), &zeros)?;
            }
            return Ok(());
        }
        for key in self.keys()?.keys() {
            match self.update(key, &zeros) {
                Err(e) if e.raw_os_error() != Some(libc::ENOENT) => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    fn sum(&self, map: &image::Map, values: &[u8], to: &mut [u8]) {
        let size = to.len();
        let parts = values.chunks_exact(self.slot.max(1)).filter_map(|slot| slot.get(..size));
        sums::over_cpus(&map.value, to, parts);
    }

    /// The entries of a map without keys.
    fn pieces(&self) -> io::Result<Vec<Vec<u8>>> {
        (0..self.pieces).map(|n| Ok(self.lookup(&n.to_ne_bytes())?.unwrap_or_default())).collect()
    }

    /// The value that they hold together.
    fn joined(&self, map: &image::Map, pieces: &[Vec<u8>]) -> Vec<u8> {
        let mut value = vec![0; self.piece * pieces.len()];
        for (values, to) in pieces.iter().zip(value.chunks_mut(self.piece.max(1))) {
            self.sum(map, values, to);
        }
        value.truncate(self.value_size);
        value
    }

    /// Whether any CPU has written a map without a key.
    fn written(&self, values: &[u8]) -> bool {
        let Some(flag) = self.flag else { return true };
        values.chunks_exact(self.slot.max(1)).any(|slot| slot.iter().skip(flag).any(|b| *b != 0))
    }

    fn lookup(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut values = vec![0; self.slot * self.cpus];
        // SAFETY: the key is as long as the kernel's, and there is room for the value of each CPU.
        let error = unsafe {
            sys::bpf_map_lookup_elem(self.fd.as_raw_fd(), key.as_ptr().cast(), values.as_mut_ptr().cast())
        };
        match -error {
            0 => Ok(Some(values)),
            libc::ENOENT => Ok(None),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    fn update(&self, key: &[u8], values: &[u8]) -> io::Result<()> {
        // SAFETY: key and values are as long as the kernel's.
        let error = unsafe {
            sys::bpf_map_update_elem(
                self.fd.as_raw_fd(),
                key.as_ptr().cast(),
                values.as_ptr().cast(),
                sys::BPF_EXIST.into(),
            )
        };
        if error < 0 { Err(io::Error::from_raw_os_error(-error)) } else { Ok(()) }
    }

    /// All keys; their values are left out.
    fn keys(&self) -> io::Result<Entries> {
        let mut keys = Entries::new(self.key_size, 0);
        let done =
            self.batches(|some, _| some.chunks_exact(self.key_size).for_each(|key| keys.push(key, &[])))?;
        if !done {
            self.one_by_one(|key, _| keys.push(key, &[]))?;
        }
        Ok(keys)
    }

    /// Reads many entries in a call (since 5.6 for hashes) and calls `each` with their keys and their values; whether
    /// the kernel can do that.
    fn batches(&self, mut each: impl FnMut(&[u8], &[u8])) -> io::Result<bool> {
        let size = self.slot * self.cpus;
        let mut count = BATCH.min(self.entries.max(1)).min((BATCH_BYTES / size.max(1)).max(1) as u32);
        let (mut keys, mut values) = (vec![], vec![]);
        // The kernel's note of where it stands: its size is no more than a key's, and at least four bytes.
        let mut cursor = vec![0u8; self.key_size.max(8)];
        let mut first = true;
        loop {
            keys.resize(self.key_size * count as usize, 0);
            values.resize(size * count as usize, 0);
            let mut got = count;
            let from = if first { std::ptr::null_mut() } else { cursor.as_mut_ptr() };
            // SAFETY: there is room for `count` keys and values, and for the cursor.
            let error = unsafe {
                sys::bpf_map_lookup_batch(
                    self.fd.as_raw_fd(),
                    from.cast(),
                    cursor.as_mut_ptr().cast(),
                    keys.as_mut_ptr().cast(),
                    values.as_mut_ptr().cast(),
                    &mut got,
                    std::ptr::null(),
                )
            };
            match -error {
                0 | libc::ENOENT => {
                    let got = (got.min(count)) as usize;
                    each(&keys[..got * self.key_size], &values[..got * size]);
                    if error != 0 {
                        return Ok(true);
                    }
                    first = false;
                }
                // A bucket holds more than we have room for.
                libc::ENOSPC => count = count.saturating_mul(2),
                libc::EINTR => {}
                _ if first => return Ok(false),
                error => return Err(io::Error::from_raw_os_error(error)),
            }
        }
    }

    /// The same with a call for each key.
    fn one_by_one(&self, mut each: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
        let mut seen = HashSet::new();
        let mut key = vec![0; self.key_size];
        let mut previous: Option<Vec<u8>> = None;
        // A key that is deleted while we stand on it sends us back to the start, so count.
        for _ in 0..u64::from(self.entries) * 4 {
            let from = previous.as_ref().map_or(std::ptr::null(), |key| key.as_ptr());
            // SAFETY: both keys are as long as the kernel's.
            let error = unsafe {
                sys::bpf_map_get_next_key(self.fd.as_raw_fd(), from.cast(), key.as_mut_ptr().cast())
            };
            match -error {
                0 => {}
                libc::ENOENT => break,
                error => return Err(io::Error::from_raw_os_error(error)),
            }
            if let Some(values) = self.lookup(&key)?
                && seen.insert(key.clone())
            {
                each(&key, &values);
            }
            previous = Some(key.clone());
        }
        Ok(())
    }
}
