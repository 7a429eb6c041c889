//! Types and constants of C headers, read by libclang.
//!
//! All of a script's headers are one text for clang. Its declarations are noted by name, and made into types only
//! when something asks for them. The values of macros are those of constants that are added at the end, one for each
//! name that the script uses.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::path::Path;

use super::include::{Header, Includes, compilers, system};
use super::libclang::{
    CType, Clang, Complaint, Cursor, Declared, Detached, Kind, Stretch, Unit, Unsaved, Value,
};
use super::record::keep_inside;
use super::supplies::{Missing, STAND_INS, Supplies, Supply};
use crate::syntax::ast::Tag;
use crate::types::convert::bitfield;
use crate::types::store::{Named, Types};
use crate::types::{Enum, Field, Int, Space, Struct, StructId, Type};

/// The names of the two texts that clang sees.
const MAIN: &str = "/bpftrace/includes.c";
const VALUES: &str = "/bpftrace/values.h";
/// What the script's headers take from headers that are not there.
const KNOWN: &str = "/bpftrace/known.h";
/// What the constants are called, before a number.
const VALUE: &str = "__bpftrace_value_";

/// How deep types may be in each other.
const MAX_DEPTH: u32 = 64;

/// What has to be read.
pub struct Request {
    /// `#include`s and `#define`s in order.
    pub text: String,
    pub headers: Vec<Header>,
    /// The names that the script uses.
    pub names: Vec<String>,
    pub includes: Includes,
    pub btf: bool,
}

/// What was read.
pub struct Headers {
    unit: Unit,
    records: HashMap<(bool, String), Detached>,
    enums: HashMap<String, Detached>,
    typedefs: HashMap<String, Detached>,
    /// With the enum that each is of.
    enumerators: HashMap<String, (Detached, i64)>,
    functions: HashSet<String>,
    values: HashMap<String, Value>,
    /// Structs that have an id but no fields yet.
    pending: HashMap<StructId, Detached>,
    /// Those that have been made already.
    made: HashMap<usize, Type>,
}

/// A macro as a header has it, from its name on: `MAX(a, b) ((a) > (b) ? (a) : (b))`.
#[derive(Clone, Debug)]
pub struct MacroText {
    pub file: String,
    /// All of the file.
    pub text: String,
    /// Where the macro is in it, in bytes.
    pub start: usize,
    pub end: usize,
}

/// Macros of a script's headers.
pub struct MacroTexts {
    places: HashMap<String, Stretch>,
    files: HashMap<String, Option<String>>,
}

impl MacroTexts {
    pub fn find(&mut self, name: &str) -> Option<MacroText> {
        let Stretch { file, start, end } = self.places.get(name)?;
        let text = self.files.entry(file.clone()).or_insert_with(|| std::fs::read_to_string(file).ok());
        let text = text.as_ref().filter(|text| text.get(*start..*end).is_some())?;
        Some(MacroText { file: file.clone(), text: text.clone(), start: *start, end: *end })
    }
}

impl Request {
    /// Reads the headers for their macros only.
    pub fn macros(self) -> Result<MacroTexts, String> {
        let clang = Clang::open(self.includes.libclang.as_deref())?;
        let main = [Unsaved { name: MAIN, text: &self.text }];
        let unit = Unit::parse(clang, &main, &self.args(self.includes_kernels()), true)
            .ok_or("libclang cannot parse them")?;
        Ok(MacroTexts { places: unit.macros(), files: HashMap::new() })
    }

    /// Reads the headers. Also what clang complained about, but for the constants at the end.
    ///
    /// What they lack is asked of `supply`, as long as it knows something.
    pub fn read(
        self,
        supply: &mut dyn FnMut(&Missing) -> Option<Supply>,
    ) -> Result<(Headers, Vec<Complaint>), String> {
        let clang = Clang::open(self.includes.libclang.as_deref())?;
        let mut supplies = Supplies::default();
        let installed: Vec<_> = self.includes.kernel_directories().into_iter().chain(system()).collect();
        let mut kernels = self.includes_kernels();
        let (unit, mut complaints, bad) = loop {
            let read = self.parse(clang, &supplies, kernels)?;
            // The kernel's headers and the system's lack nothing that would not be in the way elsewhere in them.
            let own = |complaint: &&Complaint| {
                !installed.iter().any(|directory| Path::new(&complaint.file).starts_with(directory))
            };
            let found: Vec<Missing> = read.1.iter().filter(own).filter_map(Missing::of).collect();
            // One of the script's own headers includes one of the kernel's.
            if !kernels && found.iter().any(|missing| self.is_kernels(missing)) {
                kernels = true;
            } else if !supplies.add(&found, supply) {
                break read;
            }
        };
        complaints.retain(|c| c.file != VALUES);
        let mut headers = Headers {
            unit,
            records: HashMap::new(),
            enums: HashMap::new(),
            typedefs: HashMap::new(),
            enumerators: HashMap::new(),
            functions: HashSet::new(),
            values: HashMap::new(),
            pending: HashMap::new(),
            made: HashMap::new(),
        };
        headers.index(&self.names, &bad);
        Ok((headers, complaints))
    }

    /// Also the complaints, and the numbers of the names that are no constants.
    fn parse(
        &self,
        clang: Clang,
        supplies: &Supplies,
        kernels: bool,
    ) -> Result<(Unit, Vec<Complaint>, HashSet<usize>), String> {
        let main = format!("#include \"{KNOWN}\"\n{}#include \"{VALUES}\"\n", self.text);
        let mut values = String::new();
        for (number, name) in self.names.iter().enumerate() {
            let _ = writeln!(
                values,
                "#ifdef {name}\nstatic const __typeof__({name}) {VALUE}{number} = {name};\n#endif"
            );
        }
        let mut files = vec![
            Unsaved { name: MAIN, text: &main },
            Unsaved { name: VALUES, text: &values },
            Unsaved { name: KNOWN, text: &supplies.text },
        ];
        files.extend(supplies.headers.iter().map(|name| Unsaved { name, text: "" }));
        let unit =
            Unit::parse(clang, &files, &self.args(kernels), false).ok_or("libclang cannot parse them")?;
        let complaints = unit.complaints();
        // Three lines a name. What is no expression is made something of, with an error.
        let bad =
            complaints.iter().filter(|c| c.file == VALUES).map(|c| c.line.saturating_sub(1) as usize / 3);
        let bad: HashSet<usize> = bad.collect();
        Ok((unit, complaints, bad))
    }

    /// Whether the headers are to be read as the kernel's compiler would: where one of them is the kernel's, or the
    /// environment says which kernel's.
    fn includes_kernels(&self) -> bool {
        let directories = self.includes.kernel_directories();
        let is_in = |path: &Path| directories.iter().any(|directory| path.starts_with(directory));
        let said = self.includes.kernel_source.is_some() || self.includes.kernel_build.is_some();
        (said && !directories.is_empty()) || self.headers.iter().any(|h| h.path.as_deref().is_some_and(is_in))
    }

    fn is_kernels(&self, missing: &Missing) -> bool {
        let Missing::Header(name) = missing else { return false };
        self.includes.kernel_directories().iter().any(|directory| directory.join(name).is_file())
    }

    fn args(&self, kernels: bool) -> Vec<String> {
        let mut args: Vec<String> =
            ["-x", "c", "-std=gnu11", "-w", "-ferror-limit=0"].map(str::to_owned).to_vec();
        args.extend(self.includes.directories.iter().map(|d| format!("-I{}", d.display())));
        if self.btf {
            args.push("-DBPFTRACE_HAVE_BTF".into());
        }
        if kernels {
            let kernel = self.includes.kernel_directories();
            args.extend(kernel.iter().map(|d| format!("-I{}", d.display())));
            if let Some((source, _)) = self.includes.kernel_trees() {
                let config = source.join("include/linux/kconfig.h");
                if config.is_file() {
                    args.extend(["-include".to_owned(), config.display().to_string()]);
                }
            }
            args.extend(
                [
                    "-D__KERNEL__",
                    "-D__BPF_TRACING__",
                    "-D__HAVE_BUILTIN_BSWAP16__",
                    "-D__HAVE_BUILTIN_BSWAP32__",
                    "-D__HAVE_BUILTIN_BSWAP64__",
                    "-DKBUILD_MODNAME=\"bpftrace\"",
                ]
                .map(str::to_owned),
            );
        }
        // libclang comes without the compiler's own headers; another compiler's are as good.
        for directory in compilers().iter().rev() {
            args.push(format!("-idirafter{}", directory.display()));
        }
        args.push(format!("-idirafter{STAND_INS}"));
        args
    }
}

impl Headers {
    fn index(&mut self, names: &[String], bad: &HashSet<usize>) {
        let mut values = vec![];
        let mut seen: Vec<(Cursor<'_>, u32)> =
            self.unit.root().children().into_iter().map(|c| (c, 0)).collect();
        let (mut records, mut enums, mut typedefs, mut enumerators) =
            (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        while let Some((cursor, depth)) = seen.pop() {
            let (declared, name) = (cursor.declared(), cursor.name());
            match declared {
                Declared::Struct | Declared::Union if cursor.is_definition() => {
                    if !name.is_empty() {
                        records.insert((declared == Declared::Union, name), cursor.detach());
                    }
                    if depth < MAX_DEPTH {
                        seen.extend(cursor.children().into_iter().map(|c| (c, depth + 1)));
                    }
                }
                Declared::Enum if cursor.is_definition() => {
                    for value in cursor.children().iter().filter(|c| c.declared() == Declared::Enumerator) {
                        enumerators.insert(value.name(), (cursor.detach(), value.enumerator()));
                    }
                    if !name.is_empty() {
                        enums.insert(name, cursor.detach());
                    }
                }
                Declared::Function => {
                    self.functions.insert(name);
                }
                Declared::Typedef => {
                    typedefs.insert(name, cursor.detach());
                }
                Declared::Variable => {
                    let number = name.strip_prefix(VALUE).and_then(|n| n.parse::<usize>().ok());
                    if let Some(name) = number.filter(|n| !bad.contains(n)).and_then(|n| names.get(n))
                        && let Some(value) = cursor.value()
                    {
                        values.push((name.clone(), value));
                    }
                }
                _ => {}
            }
        }
        self.values.extend(values);
        (self.records, self.enums, self.typedefs, self.enumerators) = (records, enums, typedefs, enumerators);
    }

    pub fn find(&mut self, tag: Option<Tag>, name: &str, types: &mut Types) -> Option<Type> {
        match tag {
            Some(Tag::Struct) => self.record(false, name, types).map(Type::Struct),
            Some(Tag::Union) => self.record(true, name, types).map(Type::Struct),
            Some(Tag::Enum) => self.enums.get(name).copied().map(|decl| self.enumeration(decl, types)),
            None => match self.typedefs.get(name).copied() {
                Some(typedef) => Some(self.typedef(typedef, types)),
                None => Tag::ALL.into_iter().find_map(|tag| self.find(Some(tag), name, types)),
            },
        }
    }

    /// Whether they have a function of that name.
    pub fn has_function(&self, name: &str) -> bool {
        self.functions.contains(name)
    }

    pub fn constant(&mut self, name: &str, types: &mut Types) -> Option<Named> {
        if let Some((decl, value)) = self.enumerators.get(name).copied() {
            return Some(Named::Enumerator(self.enumeration(decl, types), value));
        }
        Some(match self.values.get(name)? {
            Value::Number(number) => Named::Number(*number),
            Value::Text(text) => Named::Text(text.clone()),
        })
    }

    /// The id of a struct or union that is defined here. Its fields are made when someone looks.
    pub fn record(&mut self, union: bool, name: &str, types: &mut Types) -> Option<StructId> {
        let decl = *self.records.get(&(union, name.to_owned()))?;
        if let Some(id) = types.known(union, name) {
            return Some(id);
        }
        let id = types.expect(union, name);
        self.pending.insert(id, decl);
        Some(id)
    }

    /// Makes the fields of a struct, if they are still to be made.
    pub fn define(&mut self, id: StructId, types: &mut Types) -> bool {
        match self.pending.remove(&id) {
            Some(decl) => {
                let layout = self.layout(decl, types, 0);
                types.supply(id, layout);
                true
            }
            None => false,
        }
    }

    /// As [`Headers::define`], of one that has been mentioned before these were read.
    pub fn define_mentioned(&mut self, id: StructId, union: bool, name: &str, types: &mut Types) -> bool {
        match self.records.get(&(union, name.to_owned())) {
            Some(decl) => {
                self.pending.insert(id, *decl);
                self.define(id, types)
            }
            None => false,
        }
    }

    fn typedef(&mut self, decl: Detached, types: &mut Types) -> Type {
        self.with(|unit| unit.attach(decl).underlying(), types, 0)
    }

    /// Converts a type of the unit.
    fn with(&mut self, get: impl FnOnce(&Unit) -> CType<'_>, types: &mut Types, depth: u32) -> Type {
        let step = Step::of(get(&self.unit));
        self.take(step, types, depth)
    }

    fn take(&mut self, step: Step, types: &mut Types, depth: u32) -> Type {
        if depth > MAX_DEPTH {
            return Type::Void;
        }
        match step {
            Step::Done(ty) => ty,
            Step::Pointer(to) => Type::ptr(self.take(*to, types, depth + 1), Space::Unknown),
            Step::Array(elem, len) => match self.take(*elem, types, depth + 1) {
                // As everywhere: an array of characters is text.
                Type::Int(Int::I8) if len > 0 => Type::Str(len),
                elem => Type::Array { elem: Box::new(elem), len },
            },
            Step::Enum(decl) => self.enumeration(decl, types),
            Step::Record { union, name, decl } if name.is_empty() => {
                if let Some(made) = self.made.get(&decl.key()) {
                    return made.clone();
                }
                let layout = self.layout(decl, types, depth + 1);
                let id = types.expect(union, "");
                types.supply(id, layout);
                self.made.insert(decl.key(), Type::Struct(id));
                Type::Struct(id)
            }
            Step::Record { union, name, .. } => {
                let tag = if union { Tag::Union } else { Tag::Struct };
                let id = self.record(union, &name, types);
                Type::Struct(id.unwrap_or_else(|| types.mention(tag, &name)))
            }
        }
    }

    fn enumeration(&mut self, decl: Detached, types: &mut Types) -> Type {
        if let Some(made) = self.made.get(&decl.key()) {
            return made.clone();
        }
        let cursor = self.unit.attach(decl);
        let integer = cursor.integer().canonical();
        let size = integer.size().and_then(|s| u8::try_from(s).ok()).filter(|s| [1, 2, 4, 8].contains(s));
        let signed = integer.kind() == Kind::Signed || integer.kind() == Kind::Char;
        let int = Int { size: size.unwrap_or(4), signed };
        let values = cursor.children().into_iter().filter(|c| c.declared() == Declared::Enumerator);
        let values = values.map(|c| (c.name(), c.enumerator())).collect();
        let ty = types.supply_enum(Enum { name: cursor.name(), int, values });
        self.made.insert(decl.key(), ty.clone());
        ty
    }

    fn layout(&mut self, decl: Detached, types: &mut Types, depth: u32) -> Struct {
        let cursor = self.unit.attach(decl);
        let whole = cursor.of_type();
        let (name, union) = (cursor.name(), cursor.declared() == Declared::Union);
        let (size, align) = (whole.size().unwrap_or(0), whole.align().unwrap_or(1).max(1));
        let mut found = vec![];
        members(cursor, whole, 0, &mut found);
        // Those of anonymous members come after the others.
        found.sort_by_key(|member| member.anonymous);
        let fields = found.into_iter().map(|Member { name, at, width, step, .. }| {
            let ty = self.take(step, types, depth + 1);
            let mut field = match (width, ty.as_int()) {
                (Some(width), Some(int)) => bitfield(name, ty, int, at, width),
                _ => Field { name, ty, offset: at / 8, bits: None },
            };
            keep_inside(&mut field, size);
            field
        });
        Struct { name, union, size, align, fields: fields.collect() }
    }
}

struct Member {
    name: String,
    /// In bits.
    at: u32,
    width: Option<u32>,
    step: Step,
    /// Of an anonymous member.
    anonymous: bool,
}

fn members(cursor: Cursor<'_>, whole: CType<'_>, depth: u32, found: &mut Vec<Member>) {
    for child in cursor.children() {
        match child.declared() {
            Declared::Field => {
                let name = child.name();
                // What has no name has no place that could be asked for.
                if let Some(at) = whole.offset(&name).filter(|_| !name.is_empty()) {
                    let (width, step) = (child.bits(), Step::of(child.of_type()));
                    found.push(Member { name, at, width, step, anonymous: depth > 0 });
                }
            }
            Declared::Struct | Declared::Union if child.is_anonymous_member() && depth < MAX_DEPTH => {
                members(child, whole, depth + 1, found);
            }
            _ => {}
        }
    }
}

/// A type of clang's, without what borrows its unit.
enum Step {
    Done(Type),
    Pointer(Box<Step>),
    Array(Box<Step>, u32),
    Enum(Detached),
    Record { union: bool, name: String, decl: Detached },
}

impl Step {
    fn of(ty: CType<'_>) -> Step {
        Step::at(ty, 0)
    }

    fn at(ty: CType<'_>, depth: u32) -> Step {
        if depth > MAX_DEPTH {
            return Step::Done(Type::Void);
        }
        let ty = ty.canonical();
        let kind = ty.kind();
        match kind {
            Kind::Void | Kind::Function => Step::Done(Type::Void),
            Kind::Bool => Step::Done(Type::Bool),
            // As `char` in scripts, whatever the machine's C has it as.
            Kind::Char => Step::Done(Type::Int(Int::I8)),
            Kind::Signed | Kind::Unsigned => {
                let size = ty.size().and_then(|size| u8::try_from(size).ok()).unwrap_or(4);
                Step::Done(Type::Int(Int { size, signed: kind == Kind::Signed }))
            }
            Kind::Float if ty.size() == Some(4) => Step::Done(Type::FLOAT),
            Kind::Float => Step::Done(Type::DOUBLE),
            Kind::Pointer => Step::Pointer(Box::new(Step::at(ty.pointee(), depth + 1))),
            Kind::Array => Step::Array(Box::new(Step::at(ty.element(), depth + 1)), ty.length().unwrap_or(0)),
            Kind::OpenArray => Step::Array(Box::new(Step::at(ty.element(), depth + 1)), 0),
            Kind::Enum => Step::Enum(ty.declaration().detach()),
            Kind::Record => {
                let decl = ty.declaration();
                Step::Record {
                    union: decl.declared() == Declared::Union,
                    name: decl.name(),
                    decl: decl.detach(),
                }
            }
            Kind::Other => {
                let len = ty.size().unwrap_or(0);
                Step::Done(Type::Array { elem: Box::new(Type::U8), len })
            }
        }
    }
}
