//! Debug information, from which LLVM's BPF backend makes BTF: map definitions, function and line information.

use inkwell::AddressSpace;
use inkwell::context::Context;
use inkwell::debug_info::{
    AsDIScope, DICompileUnit, DIFile, DIFlags, DIFlagsConstants, DILocation, DISubprogram, DIType,
    DWARFEmissionKind, DWARFSourceLanguage, DebugInfoBuilder, debug_metadata_version,
};
use inkwell::llvm_sys::debuginfo::LLVMDIBuilderCreatePointerType;
use inkwell::llvm_sys::prelude::LLVMMetadataRef;
use inkwell::module::{FlagBehavior, Module};
use inkwell::values::GlobalValue;

use super::Error;
use super::llvm::Result;
use crate::diagnostics::{FileId, Sources, Span};
use crate::types::linked::{CFunction, CType};

/// DWARF's base type encodings.
const ATE_SIGNED: u32 = 5;
const ATE_UNSIGNED: u32 = 7;

/// A parameter of a function: a pointer or a 64-bit number.
#[derive(Clone, Copy)]
pub(super) struct Param {
    pub(super) name: &'static str,
    pub(super) pointer: bool,
}

impl Param {
    pub(super) const fn pointer(name: &'static str) -> Param {
        Param { name, pointer: true }
    }

    pub(super) const fn number(name: &'static str) -> Param {
        Param { name, pointer: false }
    }
}

pub(super) struct Debug<'c> {
    builder: DebugInfoBuilder<'c>,
    unit: DICompileUnit<'c>,
    file: DIFile<'c>,
    /// By [`FileId`].
    texts: Vec<Text<'c>>,
}

/// What a place's file is.
enum Text<'c> {
    /// The script, or what it imports, and where its lines begin.
    File { file: DIFile<'c>, lines: Vec<u32> },
    /// A macro's body, whose code belongs to the call.
    Expansion { call: Span },
}

impl<'c> Debug<'c> {
    pub(super) fn new(context: &'c Context, module: &Module<'c>, sources: &Sources) -> Debug<'c> {
        let name = sources.get(FileId::default()).map_or("", |script| &script.name);
        let i32 = context.i32_type();
        let version = i32.const_int(u64::from(debug_metadata_version()), false);
        module.add_basic_value_flag("Debug Info Version", FlagBehavior::Warning, version);
        module.add_basic_value_flag("Dwarf Version", FlagBehavior::Warning, i32.const_int(4, false));
        let (builder, unit) = module.create_debug_info_builder(
            true,
            DWARFSourceLanguage::C,
            name,
            "",
            "bpftrace",
            false,
            "",
            0,
            "",
            DWARFEmissionKind::Full,
            0,
            false,
            false,
            "",
            "",
        );
        let script = unit.get_file();
        let text = |id| match (sources.expansion(id), sources.get(id)) {
            (Some(expansion), _) => Text::Expansion { call: expansion.call },
            (None, source) => {
                let text = source.map_or("", |source| &source.text);
                let next = text.bytes().zip(1u32..).filter(|(byte, _)| *byte == b'\n').map(|(_, next)| next);
                let file = match source {
                    Some(import) if id != FileId::default() => builder.create_file(&import.name, ""),
                    _ => script,
                };
                Text::File { file, lines: std::iter::once(0).chain(next).collect() }
            }
        };
        let texts = sources.ids().map(text).collect();
        Debug { builder, file: script, unit, texts }
    }

    pub(super) fn finish(&self) {
        self.builder.finalize();
    }

    /// File, line and column of a span's start, the latter from 1. Code of a macro is at the outermost call.
    fn place(&self, span: Span) -> (DIFile<'c>, u32, u32) {
        let mut span = span;
        loop {
            match self.texts.get(span.file.0 as usize) {
                // A call is in a text that came before.
                Some(Text::Expansion { call }) if call.file < span.file => span = *call,
                Some(Text::File { file, lines }) => {
                    let line = lines.partition_point(|start| *start <= span.start).max(1);
                    let start = lines.get(line - 1).copied().unwrap_or(0);
                    let column = span.start - start.min(span.start) + 1;
                    return (*file, u32::try_from(line).unwrap_or(u32::MAX), column);
                }
                _ => return (self.file, 1, 1),
            }
        }
    }

    /// The line of a span's start, from 1.
    pub(super) fn line(&self, span: Span) -> u32 {
        self.place(span).1
    }

    pub(super) fn location(
        &self,
        context: &'c Context,
        span: Span,
        function: DISubprogram<'c>,
    ) -> DILocation<'c> {
        let (file, line, column) = self.place(span);
        let scope = function.as_debug_info_scope();
        let scope = if file == self.file {
            scope
        } else {
            self.builder.create_lexical_block(scope, file, line, column).as_debug_info_scope()
        };
        self.builder.create_debug_location(context, line, column, scope, None)
    }

    fn basic(&self, name: &str, bits: u64, encoding: u32) -> Result<DIType<'c>> {
        self.builder
            .create_basic_type(name, bits, encoding, DIFlags::ZERO)
            .map(|t| t.as_type())
            .map_err(|e| Error::Llvm(e.to_string()))
    }

    fn pointer(&self, to: DIType<'c>) -> DIType<'c> {
        self.builder.create_pointer_type("", to, 64, 0, AddressSpace::default()).as_type()
    }

    /// `void *`
    fn void_pointer(&self) -> DIType<'c> {
        // SAFETY: no type is what LLVM takes for `void`. What it returns is a new type of this builder's context, which
        // is all that a `DIType` holds (`repr(transparent)` around the pointer).
        unsafe {
            let raw = LLVMDIBuilderCreatePointerType(
                self.builder.as_mut_ptr(),
                std::ptr::null_mut(),
                64,
                0,
                0,
                c"".as_ptr(),
                0,
            );
            std::mem::transmute::<LLVMMetadataRef, DIType<'c>>(raw)
        }
    }

    fn array(&self, of: DIType<'c>, bits: u64, len: u32) -> DIType<'c> {
        let range = 0..i64::from(len);
        let bits = bits.saturating_mul(u64::from(len));
        self.builder.create_array_type(of, bits, 8, std::slice::from_ref(&range)).as_type()
    }

    /// An unsigned integer of that size, or an array of bytes.
    pub(super) fn bytes(&self, size: u32) -> Result<DIType<'c>> {
        match size {
            1 => self.basic("u8", 8, ATE_UNSIGNED),
            2 => self.basic("u16", 16, ATE_UNSIGNED),
            4 => self.basic("u32", 32, ATE_UNSIGNED),
            8 => self.basic("u64", 64, ATE_UNSIGNED),
            _ => Ok(self.array(self.basic("u8", 8, ATE_UNSIGNED)?, 8, size)),
        }
    }

    /// An array of 64-bit numbers.
    pub(super) fn words(&self, count: u32) -> Result<DIType<'c>> {
        Ok(self.array(self.basic("u64", 64, ATE_UNSIGNED)?, 64, count))
    }

    /// The type of a map definition as libbpf reads it: numbers are the lengths of arrays pointed to
    /// (`__uint` in `bpf_helpers.h`), types are pointed to.
    pub(super) fn map(&self, numbers: &[(&str, u32)], types: &[(&str, DIType<'c>)]) -> Result<DIType<'c>> {
        let int = self.basic("int", 32, ATE_SIGNED)?;
        let numbers = numbers.iter().map(|(name, n)| (*name, self.pointer(self.array(int, 32, *n))));
        let types = types.iter().map(|(name, ty)| (*name, self.pointer(*ty)));
        let scope = self.unit.as_debug_info_scope();
        let members: Vec<DIType<'c>> = numbers
            .chain(types)
            .zip(0u64..)
            .map(|((name, ty), n)| {
                let flags = DIFlags::ZERO;
                self.builder.create_member_type(scope, name, self.file, 0, 64, 0, 64 * n, flags, ty).as_type()
            })
            .collect();
        let bits = 64 * members.len() as u64;
        let ty = self.builder.create_struct_type(
            scope,
            "",
            self.file,
            0,
            bits,
            0,
            DIFlags::ZERO,
            None,
            &members,
            0,
            None,
            "",
        );
        Ok(ty.as_type())
    }

    /// Gives a global variable its type.
    pub(super) fn describe(&self, context: &'c Context, global: GlobalValue<'c>, name: &str, ty: DIType<'c>) {
        let variable = self.builder.create_global_variable_expression(
            self.unit.as_debug_info_scope(),
            name,
            "",
            self.file,
            0,
            ty,
            false,
            None,
            None,
            0,
        );
        global.set_metadata(variable.as_metadata_value(context), context.get_kind_id("dbg"));
    }

    /// A function of another object, as far as the two have to agree on it.
    pub(super) fn declaration(&self, function: &CFunction) -> Result<DISubprogram<'c>> {
        let types = function.params.iter().map(|ty| self.c_type(ty)).collect::<Result<Option<Vec<_>>>>()?;
        let types = types.ok_or_else(|| Error::Internal("a parameter without a type".into()))?;
        let result = self.c_type(&function.result)?;
        let ty = self.builder.create_subroutine_type(self.file, result, &types, DIFlags::PROTOTYPED);
        Ok(self.builder.create_function(
            self.unit.as_debug_info_scope(),
            &function.name,
            Some(&function.name),
            self.file,
            0,
            ty,
            false,
            false,
            0,
            DIFlags::PROTOTYPED,
            true,
        ))
    }

    /// `None` for `void`. Structs have no members here: they are only pointed to, and known by their names.
    fn c_type(&self, ty: &CType) -> Result<Option<DIType<'c>>> {
        let (scope, file) = (self.unit.as_debug_info_scope(), self.file);
        Ok(Some(match ty {
            CType::Void => return Ok(None),
            CType::Int(size) => self.basic("int", 8 * u64::from(*size), ATE_SIGNED)?,
            CType::Pointer(to) => match self.c_type(to)? {
                Some(to) => self.pointer(to),
                None => self.void_pointer(),
            },
            CType::Array(of, len) => match self.c_type(of)? {
                Some(of) => self.array(of, 8, *len),
                None => return Err(Error::Internal("an array of nothing".into())),
            },
            CType::Record { union: false, name } => self
                .builder
                .create_struct_type(scope, name, file, 0, 0, 0, DIFlags::ZERO, None, &[], 0, None, "")
                .as_type(),
            CType::Record { union: true, name } => self
                .builder
                .create_union_type(scope, name, file, 0, 0, 0, DIFlags::ZERO, &[], 0, "")
                .as_type(),
            CType::Enum { name, size } => {
                let int = self.basic("int", 8 * u64::from(*size), ATE_SIGNED)?;
                self.builder
                    .create_enumeration_type(scope, name, file, 0, 8 * u64::from(*size), 0, &[], int)
                    .as_type()
            }
        }))
    }

    /// A function that returns a `u64`.
    pub(super) fn subprogram(
        &self,
        name: &str,
        params: &[Param],
        line: u32,
        internal: bool,
    ) -> Result<DISubprogram<'c>> {
        let number = self.bytes(8)?;
        let pointer = self.pointer(self.bytes(1)?);
        let types: Vec<DIType<'c>> =
            params.iter().map(|p| if p.pointer { pointer } else { number }).collect();
        let ty = self.builder.create_subroutine_type(self.file, Some(number), &types, DIFlags::PROTOTYPED);
        let function = self.builder.create_function(
            self.unit.as_debug_info_scope(),
            name,
            Some(name),
            self.file,
            line,
            ty,
            internal,
            true,
            line,
            DIFlags::PROTOTYPED,
            true,
        );
        // BTF takes the parameters' names from variables.
        for ((param, ty), n) in params.iter().zip(types).zip(1u32..) {
            let scope = function.as_debug_info_scope();
            let flags = DIFlags::ZERO;
            self.builder.create_parameter_variable(scope, param.name, n, self.file, line, ty, true, flags);
        }
        Ok(function)
    }
}
