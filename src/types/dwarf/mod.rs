//! Debug information of programs and libraries: the types and parameters of their functions, their types by name, and
//! the addresses of source lines.
//!
//! Nothing is opened before a script asks, and a program is not read whole to find one function: tables of addresses
//! and of names say in which unit it is. Sources: the DWARF standards 4 and 5, and GCC's extensions for split and
//! shared (`dwz`) information.
#![allow(non_upper_case_globals, reason = "DWARF's constants keep their names: DW_TAG_base_type")]

mod convert;
mod descent;
mod functions;
mod index;
mod lines;
mod lookup;
mod program;
mod sections;
mod spell;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

pub use functions::{Class, Passed, Scalar};
pub use lines::{NoCode, Source};
pub use program::Missing;

use self::convert::{Converter, Known};
use self::program::{Program, Reader};
use super::store::Types;
use super::{StructId, Type};
use crate::syntax::ast::Tag;

/// The debug information of the programs that a script probes.
#[derive(Default)]
pub struct Programs {
    /// The directories of `--debuginfo`.
    dirs: Vec<PathBuf>,
    opened: Vec<Program>,
    numbers: HashMap<PathBuf, Result<u32, Missing>>,
    known: Known,
    /// The program whose types a name means first: that of the probe that is looked at.
    current: Option<PathBuf>,
    enumerators: HashMap<(u32, String), Option<(Type, i64)>>,
    named: HashMap<(u32, Option<Tag>, String), Option<Type>>,
}

/// A parameter of a program's function.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    pub name: String,
    pub ty: Type,
    pub passed: Passed,
}

/// A function of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    pub params: Vec<Parameter>,
    /// `None` for void.
    pub result: Option<(Type, Passed)>,
}

/// The parameters of a program's function and its result, as its language spells them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// `const char* str`
    pub params: Vec<String>,
    /// `int retval`; `None` for void.
    pub result: Option<String>,
}

impl Programs {
    fn number(&mut self, path: &Path) -> Result<u32, Missing> {
        if let Some(known) = self.numbers.get(path) {
            return known.clone();
        }
        let opened = Program::open(path, &self.dirs).map(|program| {
            self.opened.push(program);
            u32::try_from(self.opened.len() - 1).unwrap_or(u32::MAX)
        });
        self.numbers.insert(path.to_owned(), opened.clone());
        opened
    }

    fn current(&mut self) -> Option<u32> {
        let path = self.current.clone()?;
        self.number(&path).ok()
    }

    fn reader(&self, number: u32) -> Option<Reader<'_>> {
        self.opened.get(number as usize).map(Program::reader)
    }
}

impl Types {
    /// Debug information is also looked for in these directories: `--debuginfo`.
    pub fn with_debug_files(mut self, dirs: &[PathBuf]) -> Types {
        self.programs.dirs = dirs.to_vec();
        self
    }

    /// The directories of `--debuginfo`.
    pub fn debug_files(&self) -> &[PathBuf] {
        &self.programs.dirs
    }

    /// From here on names mean this program's types before the kernel's.
    pub fn look_in(&mut self, program: Option<&Path>) {
        self.programs.current = program.map(Path::to_owned);
    }

    /// The function of a program at an address (of the file, as its symbols have it); `Ok(None)` where the debug
    /// information does not have it.
    pub fn program_function(&mut self, path: &Path, address: u64) -> Result<Option<Function>, Missing> {
        let number = self.programs.number(path)?;
        Ok(self.with_program(number, |converter| {
            let reader = converter.reader;
            let function = reader.function(reader.function_at(address)?)?;
            let params = function.params.into_iter().map(|param| Parameter {
                name: param.name,
                ty: param.ty.map_or(Type::Void, |ty| converter.convert(ty)),
                passed: param.ty.map_or_else(Passed::default, |ty| reader.passed(ty)),
            });
            let params = params.collect();
            let result = function.result.map(|ty| (converter.convert(ty), reader.passed(ty)));
            Some(Function { params, result })
        }))
    }

    /// The same as the program's language spells it, for listings.
    pub fn program_declaration(&mut self, path: &Path, address: u64) -> Result<Option<Declared>, Missing> {
        let number = self.programs.number(path)?;
        let Some(reader) = self.programs.reader(number) else { return Ok(None) };
        let declared = || {
            let function = reader.function(reader.function_at(address)?)?;
            let params = function.params.iter().map(|p| reader.declaration(p.ty, &p.name));
            let result = function.result.map(|ty| reader.declaration(Some(ty), "retval"));
            Some(Declared { params: params.collect(), result })
        };
        Ok(declared())
    }

    /// The addresses of a source line's code.
    pub fn program_line(
        &mut self,
        path: &Path,
        source: &Source,
    ) -> Result<Result<Vec<u64>, NoCode>, Missing> {
        let number = self.programs.number(path)?;
        let reader = self.programs.reader(number).ok_or(Missing::None)?;
        Ok(reader.addresses(source))
    }

    /// Where the source is of a function that the compiler put into its callers: file and line.
    pub fn program_inlined(&mut self, path: &Path, function: &str) -> Option<(String, u64)> {
        let number = self.programs.number(path).ok()?;
        self.programs.reader(number)?.inlined_function(function)
    }

    /// The type of that name in the program of the probe at hand.
    pub(super) fn program_type(&mut self, tag: Option<Tag>, name: &str) -> Option<Type> {
        let number = self.programs.current()?;
        let key = (number, tag, name.to_owned());
        if let Some(known) = self.programs.named.get(&key) {
            return known.clone();
        }
        let found = self.with_program(number, |converter| {
            let found = converter.reader.find_type(tag, name)?;
            Some(converter.convert(found))
        });
        self.programs.named.insert(key, found.clone());
        found
    }

    /// The enumerator of that name in the program of the probe at hand.
    pub(super) fn program_enumerator(&mut self, name: &str) -> Option<(Type, i64)> {
        let number = self.programs.current()?;
        let key = (number, name.to_owned());
        if let Some(known) = self.programs.enumerators.get(&key) {
            return known.clone();
        }
        let found = self.with_program(number, |converter| {
            let (of, value) = converter.reader.enumerator(name)?;
            Some((converter.convert(of), value))
        });
        self.programs.enumerators.insert(key, found.clone());
        found
    }

    /// Reads the fields of a struct of a program. Whether it is one and has been read just now.
    pub(super) fn program_fields(&mut self, id: StructId) -> bool {
        let Some((number, _)) = self.programs.known.unread(id) else { return false };
        self.with_program(number, |converter| converter.load(id).then_some(())).is_some()
    }

    /// The names of types in the program of the probe at hand.
    pub(super) fn program_type_names(&mut self, tag: Option<Tag>) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        if let Some(reader) = self.programs.current().and_then(|number| self.programs.reader(number)) {
            reader.type_names(tag, &mut |name| {
                names.insert(name.to_owned());
            });
        }
        names
    }

    fn with_program<T>(
        &mut self,
        number: u32,
        read: impl FnOnce(&mut Converter<'_, '_>) -> Option<T>,
    ) -> Option<T> {
        let Programs { opened, known, .. } = &mut self.programs;
        let reader = opened.get(number as usize)?.reader();
        read(&mut Converter { reader: &reader, number, known, table: &mut self.table })
    }
}
