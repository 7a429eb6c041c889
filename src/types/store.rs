//! The types that a script can name, gathered from every source and loaded as they are used.

use super::{Enum, EnumId, Layouts, Struct, StructId, Type};
use crate::kernel::Kernel;
use crate::syntax::ast::Tag;

/// All named types. Structs are known by id as soon as something mentions them; their fields are read from BTF
/// when someone looks inside.
pub struct Types {
    layouts: Layouts,
}

/// A function's parameters and result, from BTF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    pub params: Vec<(String, Type)>,
    pub result: Type,
}

impl Types {
    /// Nothing is opened before the first question.
    pub fn new(kernel: &Kernel) -> Types {
        let _ = kernel;
        todo!()
    }

    /// The type of that name: a struct, union or enum with its tag or without, a typedef.
    pub fn find(&mut self, tag: Option<Tag>, name: &str) -> Option<Type> {
        let _ = (tag, name);
        todo!()
    }

    /// A struct with its fields, loaded if need be. `None` for one that is only declared.
    pub fn structure(&mut self, id: StructId) -> Option<&Struct> {
        let _ = id;
        todo!()
    }

    pub fn enumeration(&mut self, id: EnumId) -> Option<&Enum> {
        let _ = id;
        todo!()
    }

    /// A constant of any enum of the kernel: `TCP_ESTABLISHED`.
    pub fn enumerator(&mut self, name: &str) -> Option<(Type, i64)> {
        let _ = name;
        todo!()
    }

    /// A kernel function's prototype, of a module where given.
    pub fn function(&mut self, module: Option<&str>, name: &str) -> Option<Prototype> {
        let _ = (module, name);
        todo!()
    }

    /// Names of structs or of typedefs close to this one, best first, for "did you mean".
    pub fn similar(&mut self, tag: Option<Tag>, name: &str) -> Vec<String> {
        let _ = (tag, name);
        todo!()
    }

    /// Loads everything that a value of this type holds, so that [`Types::layouts`] can size and print it.
    pub fn close(&mut self, ty: &Type) {
        let _ = ty;
        todo!()
    }

    /// What has been loaded so far.
    pub fn layouts(&self) -> &Layouts {
        &self.layouts
    }
}
