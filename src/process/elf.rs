//! Functions of ELF files: their names, addresses and places in the file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use object::{
    Object, ObjectSection, ObjectSegment, ObjectSymbol, ObjectSymbolTable, SymbolFlags, SymbolKind,
    SymbolSection, elf,
};

use super::archive::Bytes;
use super::debug_files;

/// An executable or a shared library, mapped into memory. It may lie in an archive: what is said of places in the file
/// is then of the archive.
pub struct Elf {
    path: PathBuf,
    map: Bytes,
    /// Where a file of its symbols may be, besides the usual places.
    dirs: Vec<PathBuf>,
    /// See [`Elf::debug`].
    debug: OnceLock<Option<Bytes>>,
    /// What is loaded.
    segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    address: u64,
    size: u64,
    /// Where it is in the file.
    offset: u64,
    code: bool,
}

/// A function as the symbol table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function<'a> {
    /// As the linker sees it, mangled for C++ and Rust.
    pub name: &'a str,
    /// The virtual address in the file.
    pub address: u64,
    /// In bytes, 0 if not known.
    pub size: u64,
    /// It is not one that a file of the source has for itself.
    pub global: bool,
}

/// A variable or function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    pub name: &'a str,
    /// The virtual address in the file.
    pub address: u64,
    /// In bytes, 0 if not known.
    pub size: u64,
}

/// Why a file cannot be read as a program.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    #[error("cannot open {path}: {error}")]
    Open { path: PathBuf, error: io::Error },
    #[error("{path} is not an ELF file{}", .hint.map(|h| format!(": {h}")).unwrap_or_default())]
    NotElf { path: PathBuf, hint: Option<&'static str> },
    #[error("{path} is damaged: {reason}")]
    Damaged { path: PathBuf, reason: String },
    #[error("{path} is not a program or shared library")]
    NotLoadable { path: PathBuf },
}

impl Elf {
    pub fn open(path: &Path) -> Result<Elf, ElfError> {
        Elf::open_with(path, &[])
    }

    /// As [`Elf::open`]. A file of symbols is also looked for in `dirs`.
    pub fn open_with(path: &Path, dirs: &[PathBuf]) -> Result<Elf, ElfError> {
        let map = Bytes::open(path).map_err(|error| ElfError::Open { path: path.into(), error })?;
        let not_elf = |hint| ElfError::NotElf { path: path.into(), hint };
        match map.get(..4) {
            Some(b"\x7fELF") => {}
            Some([b'#', b'!', ..]) => {
                return Err(not_elf(Some("it is a script, so probe its interpreter instead")));
            }
            Some(b"PK\x03\x04") => {
                return Err(not_elf(Some(
                    "it is a ZIP archive, in which a library is written ARCHIVE!/lib/libx.so",
                )));
            }
            _ => return Err(not_elf(None)),
        }
        let file = parse(&map, path)?;
        if !matches!(file.kind(), object::ObjectKind::Executable | object::ObjectKind::Dynamic) {
            return Err(ElfError::NotLoadable { path: path.into() });
        }
        let segments = file
            .segments()
            .map(|s| Segment {
                address: s.address(),
                size: s.size(),
                offset: s.file_range().0,
                code: s.permissions().executable(),
            })
            .collect();
        drop(file);
        Ok(Elf { path: path.into(), map, dirs: dirs.into(), debug: OnceLock::new(), segments })
    }

    /// Its symbols in a file of their own, looked for when somebody asks for symbols and it has none itself.
    fn debug(&self) -> Option<&Bytes> {
        let find = || {
            let file = parse(&self.map, &self.path).ok().filter(|file| !debug_files::has_symbols(file))?;
            debug_files::find(&file, &self.path, &self.dirs, debug_files::has_symbols).map(|(_, map)| map)
        };
        self.debug.get_or_init(find).as_ref()
    }

    /// The file with the symbols or the debug information that were taken out of this one, if any were.
    pub fn separate(&self) -> Option<PathBuf> {
        let file = parse(&self.map, &self.path).ok()?;
        if debug_files::has_symbols(&file) && debug_files::has_debug_info(&file) {
            return None;
        }
        let either = |f: &object::File<'_>| debug_files::has_symbols(f) || debug_files::has_debug_info(f);
        debug_files::find(&file, &self.path, &self.dirs, either).map(|(path, _)| path)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Calls `each` with every function that has code here, until it returns false. A name or an address may come
    /// more than once.
    pub fn functions<'a>(&'a self, each: &mut dyn FnMut(Function<'a>) -> bool) -> Result<(), ElfError> {
        let own = parse(&self.map, &self.path)?;
        let debug = match self.debug() {
            Some(map) => Some(parse(map, &self.path)?),
            None => None,
        };
        // The static table has all that the dynamic one has, and more.
        let tables = [own.symbol_table(), debug.as_ref().and_then(|d| d.symbol_table())];
        let mut any = false;
        for table in tables.iter().flatten() {
            for symbol in table.symbols() {
                any = true;
                if let Some(function) = function(&symbol)
                    && !each(function)
                {
                    return Ok(());
                }
            }
        }
        if any {
            return Ok(());
        }
        for symbol in own.dynamic_symbols() {
            if let Some(function) = function(&symbol)
                && !each(function)
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The function that a name means: the first of [`Elf::functions_of`].
    pub fn function(&self, name: &str) -> Result<Option<Function<'_>>, ElfError> {
        Ok(self.functions_of(name)?.into_iter().next())
    }

    /// The functions of that name, each address once. A global one is before those that files of the source have for
    /// themselves.
    pub fn functions_of(&self, name: &str) -> Result<Vec<Function<'_>>, ElfError> {
        let mut found: Vec<Function<'_>> = vec![];
        self.functions(&mut |f| {
            if f.name == name && found.iter().all(|other| other.address != f.address) {
                found.push(f);
            }
            true
        })?;
        found.sort_by_key(|f| !f.global);
        Ok(found)
    }

    /// The function whose code an address is in.
    pub fn function_at(&self, address: u64) -> Result<Option<Function<'_>>, ElfError> {
        let mut found = None;
        self.functions(&mut |f| {
            let inside =
                f.address == address || (f.address..f.address.saturating_add(f.size)).contains(&address);
            if inside {
                found = Some(f);
            }
            found.is_none()
        })?;
        Ok(found)
    }

    /// Where the code at an address is in the file, which is what the kernel wants to know.
    pub fn file_offset(&self, address: u64) -> Option<u64> {
        self.offset_in(address, true)?.checked_add(self.map.start())
    }

    /// Where the data at an address is in the file.
    pub fn data_offset(&self, address: u64) -> Option<u64> {
        // A segment may be both: one that is writable and executable.
        let offset = self.offset_in(address, false).or_else(|| self.offset_in(address, true))?;
        offset.checked_add(self.map.start())
    }

    /// From the beginning of the ELF file.
    fn offset_in(&self, address: u64, code: bool) -> Option<u64> {
        self.segments
            .iter()
            .find(|s| s.code == code && (s.address..s.address.saturating_add(s.size)).contains(&address))
            .and_then(|s| (address - s.address).checked_add(s.offset))
    }

    /// The address and the bytes of a section.
    pub fn section(&self, name: &str) -> Result<Option<(u64, &[u8])>, ElfError> {
        let file = parse(&self.map, &self.path)?;
        let Some(section) = file.section_by_name(name) else { return Ok(None) };
        let data = section.data().map_err(|e| self.damaged(e.to_string()))?;
        Ok(Some((section.address(), data)))
    }

    /// The variable or function of that name.
    pub fn symbol(&self, name: &str) -> Result<Option<Symbol<'_>>, ElfError> {
        let mut found = None;
        self.symbols(&mut |symbol| {
            if symbol.name == name {
                found = Some(symbol);
            }
            found.is_none()
        })?;
        Ok(found)
    }

    /// Calls `each` with every variable and function that has an address here, until it returns false. A name may come
    /// more than once.
    pub fn symbols<'a>(&'a self, each: &mut dyn FnMut(Symbol<'a>) -> bool) -> Result<(), ElfError> {
        let own = parse(&self.map, &self.path)?;
        let debug = self.debug().map(|map| parse(map, &self.path)).transpose()?;
        let others = debug.iter().flat_map(|debug| debug.symbols());
        for symbol in own.symbols().chain(own.dynamic_symbols()).chain(others) {
            // What each thread has for itself has no address here.
            let placed = symbol.section() != SymbolSection::Undefined && symbol.kind() != SymbolKind::Tls;
            if let (true, Ok(name)) = (placed, symbol.name())
                && !each(Symbol { name, address: symbol.address(), size: symbol.size() })
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether it may be anywhere in memory: a PIE or a library.
    pub fn is_position_independent(&self) -> bool {
        parse(&self.map, &self.path).is_ok_and(|file| file.kind() == object::ObjectKind::Dynamic)
    }

    /// The address of code that is somewhere in the file: the opposite of [`Elf::file_offset`].
    pub fn code_address(&self, offset: u64) -> Option<u64> {
        let offset = offset.checked_sub(self.map.start())?;
        let code = self.segments.iter().filter(|s| s.code);
        let found = { code }.find(|s| (s.offset..s.offset.saturating_add(s.size)).contains(&offset))?;
        (offset - found.offset).checked_add(found.address)
    }

    pub(super) fn damaged(&self, reason: String) -> ElfError {
        ElfError::Damaged { path: self.path.clone(), reason }
    }

    /// The bytes of code at an address, at most `len`.
    pub fn code(&self, address: u64, len: u64) -> &[u8] {
        let Some(start) = self.offset_in(address, true).and_then(|o| usize::try_from(o).ok()) else {
            return &[];
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let end = start.saturating_add(len).min(self.map.len());
        self.map.get(start..end).unwrap_or(&[])
    }

    /// Whether the file has no table of all its functions, only of those that others may call.
    pub fn is_stripped(&self) -> bool {
        let has_table = |map: &Bytes| parse(map, &self.path).is_ok_and(|f| debug_files::has_symbols(&f));
        !has_table(&self.map) && !self.debug().is_some_and(has_table)
    }
}

fn parse<'a>(map: &'a Bytes, path: &Path) -> Result<object::File<'a>, ElfError> {
    object::File::parse(&**map).map_err(|e| ElfError::Damaged { path: path.into(), reason: e.to_string() })
}

/// A symbol that is a function with code in its file.
fn function<'a>(symbol: &object::Symbol<'a, '_>) -> Option<Function<'a>> {
    let SymbolFlags::Elf { st_info, .. } = symbol.flags() else { return None };
    let is_function = matches!(st_info.st_type(), elf::STT_FUNC | elf::STT_GNU_IFUNC);
    if !is_function || symbol.section() == SymbolSection::Undefined {
        return None;
    }
    let name = symbol.name().ok().filter(|name| !name.is_empty())?;
    // Static tables spell versions out: `memcpy@@GLIBC_2.14`.
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    Some(Function { name, address: symbol.address(), size: symbol.size(), global: symbol.is_global() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[unsafe(no_mangle)]
    #[inline(never)]
    extern "C" fn elf_test_function(n: u64) -> u64 {
        std::hint::black_box(n) + 1
    }

    fn own() -> Elf {
        Elf::open(&std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn functions_are_found_by_name_and_address() {
        assert_eq!(elf_test_function(1), 2);
        let elf = own();
        let found = elf.function("elf_test_function").unwrap().unwrap();
        assert!(found.size > 0);
        let offset = elf.file_offset(found.address).unwrap();
        // The bytes in the file are those in memory.
        let file = std::fs::read(elf.path()).unwrap();
        // SAFETY: the function's own first bytes are readable code.
        let memory = unsafe { std::slice::from_raw_parts(elf_test_function as *const u8, 8) };
        assert_eq!(&file[offset as usize..offset as usize + 8], memory);
        assert_eq!(elf.code(found.address, 8), memory);
        assert_eq!(elf.function_at(found.address + found.size - 1).unwrap().unwrap().address, found.address);
        assert_eq!(elf.function("no such function").unwrap(), None);
        assert_eq!(elf.file_offset(1), None);
        assert!(elf.code(1, 8).is_empty());
        assert!(!elf.is_stripped());
    }

    #[test]
    fn what_is_not_a_program_is_said_so() {
        let error = |path: &Path| Elf::open(path).map(|_| ()).unwrap_err().to_string();
        let text = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(error(Path::new(text)), format!("{text} is not an ELF file"));
        assert_eq!(
            error(Path::new("/nothing")),
            "cannot open /nothing: No such file or directory (os error 2)"
        );
        assert_eq!(error(Path::new("/")), "cannot open /: not a file");
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        assert!(error(&script).contains("it is a script"));
        let half = dir.path().join("half");
        std::fs::write(&half, &std::fs::read(own().path()).unwrap()[..40]).unwrap();
        assert!(error(&half).contains("is damaged"), "{}", error(&half));
    }
}
