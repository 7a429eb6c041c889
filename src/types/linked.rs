//! The functions and types of objects that a script links, from their BTF.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use libbpf_sys as sys;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use super::Type;
use super::btf::{Btf, Kind, Linkage};
use super::convert::TypeRef;
use super::store::Types;
use crate::syntax::ast::Tag;

/// How deep types may be in each other.
const MAX_DEPTH: u32 = 64;

/// A type as C has it, as far as two objects have to agree on it: `glob_sym_btf_matches` in libbpf's linker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CType {
    Void,
    /// Of so many bytes.
    Int(u32),
    Pointer(Box<CType>),
    Array(Box<CType>, u32),
    /// Only ever pointed to.
    Record {
        union: bool,
        name: String,
    },
    Enum {
        name: String,
        size: u32,
    },
}

/// A function's type in C.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CFunction {
    pub name: String,
    pub params: Vec<CType>,
    pub result: CType,
}

/// A function that a script can call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    pub c: CFunction,
    /// Names ("" where there is none) and types.
    pub params: Vec<(String, Type)>,
    pub result: Type,
    /// As C spells it: `int add(int a, struct foo *f)`.
    pub spelled: String,
}

/// What a name stands for in the linked objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Function(Box<Function>),
    /// One whose type a script has no values for, and what of it.
    Unfit {
        file: String,
        why: String,
    },
    /// A program of its own.
    Program {
        file: String,
    },
    /// One that only its own file can call.
    Static {
        file: String,
    },
}

/// The objects that have been linked.
#[derive(Default)]
pub struct Linked {
    /// The file and the function's place.
    functions: HashMap<String, (String, TypeRef)>,
    /// Those that are `static`, with their files.
    hidden: HashMap<String, String>,
    /// Those in sections of their own, which are programs.
    programs: HashMap<String, String>,
    found: HashMap<String, Found>,
}

impl Types {
    /// Makes an object's functions and types known. `hidden` are functions of which no more is known than that they are
    /// `static`. The error says what is wrong with the object.
    pub fn link(&mut self, file: &str, elf: &[u8], hidden: &[String]) -> Result<(), String> {
        self.linked.hidden.extend(hidden.iter().map(|name| (name.clone(), file.to_owned())));
        let parsed = object::File::parse(elf).map_err(|e| e.to_string())?;
        // A file without functions and variables has none.
        let Some(section) = parsed.section_by_name(".BTF") else { return Ok(()) };
        let bytes = section.data().map_err(|e| e.to_string())?;
        let btf = Rc::new(Btf::from_bytes(bytes).map_err(|e| format!("its BTF cannot be read: {e}"))?);
        let functions: Vec<(String, u32)> = btf
            .ids()
            .filter_map(|id| Some((id, btf.entry(id)?)))
            .filter(|(_, entry)| matches!(entry.kind, Kind::Func { .. }))
            .map(|(id, entry)| (entry.name.to_owned(), id))
            .collect();
        let text = parsed.section_by_name(".text").map(|section| section.index());
        let in_text = |symbol: &object::Symbol<'_, '_>| text.is_some() && symbol.section_index() == text;
        let called: HashSet<&str> = parsed.symbols().filter(in_text).filter_map(|s| s.name().ok()).collect();
        let object = self.sources.link(Rc::clone(&btf));
        for (name, id) in functions {
            match btf.linkage(id) {
                Linkage::Global if !called.contains(name.as_str()) => {
                    self.linked.programs.insert(name, file.to_owned());
                }
                Linkage::Global => {
                    if let Some((other, _)) = self.linked.functions.get(&name) {
                        return Err(format!("it defines {name}(), and so does {other}"));
                    }
                    self.linked.functions.insert(name, (file.to_owned(), self.sources.at(object, id)));
                }
                Linkage::Static => {
                    self.linked.hidden.insert(name, file.to_owned());
                }
                // What others define.
                Linkage::Extern => {}
            }
        }
        Ok(())
    }

    /// What a script can call by that name.
    pub fn linked_function(&mut self, name: &str) -> Option<Found> {
        if let Some(known) = self.linked.found.get(name) {
            return Some(known.clone());
        }
        let found = match self.linked.functions.get(name).cloned() {
            Some((file, at)) => match self.callable(name, at) {
                Ok(function) => Found::Function(Box::new(function)),
                Err(why) => Found::Unfit { file, why },
            },
            None => match self.linked.programs.get(name) {
                Some(file) => Found::Program { file: file.clone() },
                None => Found::Static { file: self.linked.hidden.get(name)?.clone() },
            },
        };
        self.linked.found.insert(name.to_owned(), found.clone());
        Some(found)
    }

    /// The file that defines a function of that name, whether it can be called or not.
    pub fn linked_file(&self, name: &str) -> Option<&str> {
        self.linked.functions.get(name).map(|(file, _)| file.as_str())
    }

    /// The names of the linked functions.
    pub fn linked_functions(&self) -> impl Iterator<Item = &str> {
        self.linked.functions.keys().map(String::as_str)
    }

    /// A type that only linked objects define.
    pub(super) fn linked_type(&mut self, tag: Option<Tag>, name: &str) -> Option<Type> {
        let found = self.sources.find_linked(name, super::store::kinds(tag))?;
        Some(self.converter().convert(found))
    }

    fn callable(&mut self, name: &str, at: TypeRef) -> Result<Function, String> {
        let btf = self.sources.object(at).ok_or("its type is missing")?;
        let proto = super::store::proto(&btf, at).ok_or("its type is missing")?;
        let listed: Vec<(String, u32)> = proto.params().map(|(name, ty)| (name.to_owned(), ty)).collect();
        let mut params = vec![];
        let mut types = vec![];
        for (n, (param, id)) in listed.iter().enumerate() {
            if *id == 0 && param.is_empty() {
                return Err("it takes any number of arguments".to_owned());
            }
            let what =
                if param.is_empty() { format!("argument {}", n + 1) } else { format!("argument '{param}'") };
            types.push(by_value(&btf, *id).map_err(|why| format!("its {what} is {why}"))?);
            let ty = self.sources.within(at, *id);
            params.push((param.clone(), self.converter().convert(ty)));
        }
        let result = match proto.result {
            0 => CType::Void,
            id => by_value(&btf, id).map_err(|why| format!("its result is {why}"))?,
        };
        let ty = self.sources.within(at, proto.result);
        let converted = self.converter().convert(ty);
        let spelled = self.spell(at).map_or_else(String::new, |signature| {
            let params: Vec<String> = signature.params.iter().map(|(ty, name)| declared(ty, name)).collect();
            declared(&signature.result, &format!("{name}({})", params.join(", ")))
        });
        let c = CFunction { name: name.to_owned(), params: types, result };
        Ok(Function { c, params, result: converted, spelled })
    }
}

/// `int a`, `struct foo *a`
fn declared(ty: &str, name: &str) -> String {
    if name.is_empty() || ty.ends_with('*') { format!("{ty}{name}") } else { format!("{ty} {name}") }
}

/// A type whose values fit a register, or what it is.
fn by_value(btf: &Btf, id: u32) -> Result<CType, String> {
    match c_type(btf, id, 0)? {
        CType::Int(size @ 9..) => Err(format!("an integer of {size} bytes")),
        CType::Record { union, .. } => {
            Err(format!("a {} itself, not a pointer to one", if union { "union" } else { "struct" }))
        }
        CType::Array(..) => Err("an array".to_owned()),
        CType::Void => Err("nothing".to_owned()),
        fit => Ok(fit),
    }
}

fn c_type(btf: &Btf, id: u32, depth: u32) -> Result<CType, String> {
    if depth > MAX_DEPTH {
        return Err("a type that is too deep".to_owned());
    }
    let entry = btf.entry(id).ok_or("of an unknown type")?;
    Ok(match entry.kind {
        Kind::Void => CType::Void,
        Kind::Int(int) => CType::Int(int.size),
        Kind::Ptr(to) => CType::Pointer(Box::new(c_type(btf, to, depth + 1).map_err(|what| {
            if what.starts_with("a pointer to ") { what } else { format!("a pointer to {what}") }
        })?)),
        Kind::Array { elem, len } => CType::Array(Box::new(c_type(btf, elem, depth + 1)?), len),
        Kind::Composite(composite) => CType::Record { union: composite.union, name: entry.name.to_owned() },
        Kind::Forward { union } => CType::Record { union, name: entry.name.to_owned() },
        Kind::Enum(values) => CType::Enum { name: entry.name.to_owned(), size: values.size },
        Kind::Typedef(of) | Kind::Qualifier(of) | Kind::TypeTag(of) => c_type(btf, of, depth + 1)?,
        Kind::Float { .. } => return Err("a floating-point number".to_owned()),
        Kind::Func { .. } | Kind::Proto(_) => return Err("a function".to_owned()),
        Kind::Var(_) | Kind::Other => return Err("of an unknown type".to_owned()),
    })
}

/// The kinds under which BTF has a struct or union.
pub(super) fn record_kind(union: bool) -> u32 {
    if union { sys::BTF_KIND_UNION } else { sys::BTF_KIND_STRUCT }
}
