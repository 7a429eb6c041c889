//! ELF files of processes, symbolized by offset.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{CodeInfo, Input, Symbolized, Symbolizer};
use object::Object;
use object::read::ReadCache;

use super::maps::{FileKey, Mapping};
use super::{Frame, Inlined, Symbol};
use crate::process::archive;
use crate::process::demangle as mangled;
use crate::process::elf::Elf as Program;

/// All files that were ever asked for, opened once and kept: an executable may be deleted or replaced, and its
/// process gone, by the time that its symbols are shown.
pub(super) struct Files {
    demangle: bool,
    /// Where separate debug information is looked for first.
    debug_files: Vec<PathBuf>,
    opened: HashMap<FileKey, Option<Opened>>,
    /// By symbol tables only.
    plain: Option<Symbolizer>,
    /// With debug information, from the file or a separate one.
    detailed: Option<Symbolizer>,
}

/// How many files are kept open, with their symbols in memory. Past that we begin anew.
const OPEN: usize = 512;
/// How many of them are opened before they are asked for.
const EARLY: usize = 256;

struct Opened {
    file: File,
    build_id: Option<Option<Vec<u8>>>,
    separate: Option<Option<Separate>>,
    /// Where it is an archive: the library that was asked for last.
    library: Option<Option<Program>>,
}

/// What was taken out of a file: its symbol table, its debug information, or both.
struct Separate {
    path: PathBuf,
    /// The file that it was taken out of: the separate one has addresses only.
    program: Program,
}

impl Separate {
    fn of(file: &Path, dirs: &[PathBuf]) -> Option<Separate> {
        let program = Program::open_with(file, dirs).ok()?;
        Some(Separate { path: program.separate()?, program })
    }
}

impl Opened {
    fn new(file: File) -> Opened {
        Opened { file, build_id: None, separate: None, library: None }
    }

    /// The file's separate debug information, and the address in it of an offset of the file.
    fn separate(&mut self, dirs: &[PathBuf], offset: u64) -> Option<(PathBuf, u64)> {
        let path = self.path();
        let separate = self.separate.get_or_insert_with(|| Separate::of(&path, dirs)).as_ref()?;
        Some((separate.path.clone(), separate.program.code_address(offset)?))
    }

    /// The function at an offset of an archive, in the library that is there: its symbol, and how far it is.
    fn in_archive(&mut self, offset: u64) -> Option<(String, u64)> {
        let path = self.path();
        let known = self.library.as_ref().is_some_and(|library| {
            library.as_ref().is_none_or(|library| library.code_address(offset).is_some())
        });
        if !known {
            // What is no archive, or has no library where code was mapped, is not asked again.
            let member = archive::member_at(&path, offset);
            self.library = Some(member.and_then(|member| Program::open(&member).ok()));
        }
        let library = self.library.as_ref()?.as_ref()?;
        let address = library.code_address(offset)?;
        let function = library.function_at(address).ok().flatten()?;
        Some((function.name.to_owned(), address - function.address))
    }

    /// A name that leads to the file whatever became of its own.
    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }
}

impl Files {
    pub fn new(demangle: bool, debug_files: &[PathBuf]) -> Files {
        Files {
            demangle,
            debug_files: debug_files.to_vec(),
            opened: HashMap::new(),
            plain: None,
            detailed: None,
        }
    }

    /// Opens a process's file while there is a way to.
    pub fn open(&mut self, pid: u32, mapping: &Mapping, key: &FileKey) {
        self.opened_file(pid, mapping, key);
    }

    /// Opens a file that may never be asked for, through the first process that leads to it.
    pub fn open_early(&mut self, pids: [u32; 2], mapping: &Mapping, key: &FileKey) {
        if self.opened.len() < EARLY
            && !self.opened.contains_key(key)
            && let Some(file) = pids.iter().find_map(|pid| find(*pid, mapping, key))
        {
            self.opened.insert(key.clone(), Some(Opened::new(file)));
        }
    }

    fn opened_file(&mut self, pid: u32, mapping: &Mapping, key: &FileKey) -> Option<&mut Opened> {
        if !self.opened.contains_key(key) {
            if self.opened.len() >= OPEN {
                // The symbolizers know files by descriptors, which will soon mean others.
                *self = Files::new(self.demangle, &self.debug_files);
            }
            let opened = find(pid, mapping, key).map(Opened::new);
            self.opened.insert(key.clone(), opened);
        }
        self.opened.get_mut(key)?.as_mut()
    }

    /// The symbol at an offset of a file.
    pub fn symbol(&mut self, pid: u32, mapping: &Mapping, key: &FileKey, offset: u64) -> Option<Symbol> {
        let path = self.opened_file(pid, mapping, key)?.path();
        let demangle = self.demangle;
        let plain = self.plain.get_or_insert_with(|| {
            Symbolizer::builder()
                .enable_auto_reload(false)
                .enable_code_info(false)
                .enable_inlined_fns(false)
                .enable_demangling(demangle)
                .build()
        });
        let look = |path: PathBuf, at: Input<u64>| {
            let source = Source::Elf(Elf { debug_syms: false, ..Elf::new(path) });
            match plain.symbolize_single(&source, at).ok()? {
                Symbolized::Sym(symbol) => Some(Symbol {
                    name: symbol.name.into_owned(),
                    offset: symbol.offset as u64,
                    module: Some(key.path.clone()),
                    source: None,
                }),
                Symbolized::Unknown(_) => None,
            }
        };
        look(path, Input::FileOffset(offset))
            .or_else(|| {
                let opened = self.opened.get_mut(key)?.as_mut()?;
                let (path, address) = opened.separate(&self.debug_files, offset)?;
                look(path, Input::VirtOffset(address))
            })
            .or_else(|| {
                let (name, offset) = self.opened.get_mut(key)?.as_mut()?.in_archive(offset)?;
                let spelled = mangled::demangled(&name).filter(|_| demangle);
                let (name, module) = (spelled.unwrap_or(name), Some(key.path.clone()));
                Some(Symbol { name, offset, module, source: None })
            })
    }

    /// The same with the place in the source, and the functions that were inlined there.
    pub fn frame(&mut self, pid: u32, mapping: &Mapping, key: &FileKey, offset: u64) -> Frame {
        let symbol = self.symbol(pid, mapping, key, offset);
        self.detail(pid, mapping, key, offset, symbol.clone()).unwrap_or(Frame { inlined: vec![], symbol })
    }

    fn detail(
        &mut self,
        pid: u32,
        mapping: &Mapping,
        key: &FileKey,
        offset: u64,
        symbol: Option<Symbol>,
    ) -> Option<Frame> {
        let path = self.opened_file(pid, mapping, key)?.path();
        let demangle = self.demangle;
        let detailed = self.detailed.get_or_insert_with(|| {
            Symbolizer::builder().enable_auto_reload(false).enable_demangling(demangle).build()
        });
        let look = |path: PathBuf, at: Input<u64>| {
            let source = Source::Elf(Elf::new(path));
            let Symbolized::Sym(found) = detailed.symbolize_single(&source, at).ok()? else { return None };
            // The symbol table's name is the one that probes attach to; a stripped file has only the other.
            let symbol = symbol.clone().unwrap_or_else(|| Symbol {
                name: found.name.into_owned(),
                offset: found.offset as u64,
                module: Some(key.path.clone()),
                source: None,
            });
            // They come outermost first, stacks go the other way.
            let inlined = found.inlined.iter().rev().map(|function| Inlined {
                name: function.name.clone().into_owned(),
                source: function.code_info.as_ref().map(place),
            });
            let source = found.code_info.as_deref().map(place);
            Some(Frame { inlined: inlined.collect(), symbol: Some(Symbol { source, ..symbol }) })
        };
        let own = look(path, Input::FileOffset(offset));
        if own.as_ref().is_some_and(|frame| frame.symbol.as_ref().is_some_and(|s| s.source.is_some())) {
            return own;
        }
        let opened = self.opened.get_mut(key)?.as_mut()?;
        let separate = opened.separate(&self.debug_files, offset);
        separate.and_then(|(path, address)| look(path, Input::VirtOffset(address))).or(own)
    }

    pub fn build_id(&mut self, pid: u32, mapping: &Mapping, key: &FileKey) -> Option<&[u8]> {
        let opened = self.opened_file(pid, mapping, key)?;
        let build_id = opened.build_id.get_or_insert_with(|| {
            let cache = ReadCache::new(&opened.file);
            let elf = object::File::parse(&cache).ok()?;
            elf.build_id().ok().flatten().map(<[u8]>::to_vec)
        });
        build_id.as_deref()
    }
}

/// `/src/main.c:12`
fn place(info: &CodeInfo<'_>) -> String {
    let path = info.to_path();
    match info.line {
        Some(line) => format!("{}:{line}", path.display()),
        None => path.display().to_string(),
    }
}

/// The mapped file itself: through the mapping where we may, else by its name as the process or as we see it, if
/// that is still the same file.
fn find(pid: u32, mapping: &Mapping, key: &FileKey) -> Option<File> {
    let Mapping { start, end, .. } = mapping;
    let exact = format!("/proc/{pid}/map_files/{start:x}-{end:x}");
    let named = [format!("/proc/{pid}/root{}", key.path), key.path.to_string()];
    let same = |file: &File| {
        // Devices are not compared: some file systems (btrfs, overlayfs) show others in maps than in stat(2).
        file.metadata().is_ok_and(|about| about.is_file() && about.ino() == key.inode)
    };
    open_regular(&exact).or_else(|| named.iter().find_map(|name| open_regular(name).filter(same)))
}

/// Does not wait for the other end of a pipe that has taken the file's name.
fn open_regular(path: &str) -> Option<File> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    File::open(path).ok()
}
