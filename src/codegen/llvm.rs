//! A thin layer over inkwell with what every other file here needs: constants, memory accesses with their true
//! alignment, helper calls, branches. It knows BPF but nothing of scripts.

use std::ffi::{CStr, c_void};
use std::sync::{Mutex, Once, PoisonError};

use inkwell::attributes::{Attribute, AttributeLoc};
use inkwell::basic_block::BasicBlock;
use inkwell::builder::Builder;
use inkwell::context::Context;
use inkwell::llvm_sys::LLVMDiagnosticSeverity;
use inkwell::llvm_sys::core::{
    LLVMContextSetDiagnosticHandler, LLVMDisposeMessage, LLVMGetDiagInfoDescription, LLVMGetDiagInfoSeverity,
};
use inkwell::llvm_sys::prelude::LLVMDiagnosticInfoRef;
use inkwell::llvm_sys::support::LLVMParseCommandLineOptions;
use inkwell::module::{Linkage, Module};
use inkwell::targets::{CodeModel, InitializationConfig, RelocMode, Target, TargetMachine, TargetTriple};
use inkwell::types::{BasicMetadataTypeEnum, IntType, PointerType};
use inkwell::values::{
    BasicMetadataValueEnum, BasicValue, BasicValueEnum, CallSiteValue, FunctionValue, IntValue, PointerValue,
    ValueKind,
};
use inkwell::{AddressSpace, AtomicOrdering, AtomicRMWBinOp, IntPredicate, OptimizationLevel};

use super::Error;
use super::debug::{Debug, Param};
use super::helpers;
use crate::diagnostics::Sources;
use crate::types::Int;
use crate::types::linked::CFunction;

pub(super) type Result<T> = std::result::Result<T, Error>;

/// Sets of instructions.
#[derive(Clone, Copy)]
pub(super) enum Set {
    /// The oldest that has 32-bit operations and jumps, which every kernel since 5.10 takes.
    Oldest,
    /// The one that brought jumps of any length, with [`crate::kernel::Feature::FarJump`].
    FarJumps,
}

/// The target machine.
pub(super) fn machine(set: Set) -> Result<TargetMachine> {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        Target::initialize_bpf(&InitializationConfig {
            asm_parser: false,
            asm_printer: true,
            base: true,
            disassembler: false,
            info: true,
            machine_code: true,
        });
        keep_order_of_blocks();
    });
    let triple = TargetTriple::create(if cfg!(target_endian = "big") { "bpfeb" } else { "bpfel" });
    let target = Target::from_triple(&triple).map_err(|e| Error::Llvm(e.to_string()))?;
    target
        .create_target_machine(
            &triple,
            match set {
                Set::Oldest => "v3",
                Set::FarJumps => "v4",
            },
            "",
            OptimizationLevel::Default,
            RelocMode::PIC,
            CodeModel::Small,
        )
        .ok_or_else(|| Error::Llvm("the BPF target is missing".into()))
}

/// Blocks stay in the order in which they were made. LLVM would turn loops round, so that their end falls through to
/// their head, and before 5.12 the verifier refuses that way back as it is no jump (`check_cfg`).
fn keep_order_of_blocks() {
    let args = [c"bpftrace", c"-disable-block-placement", c"-disable-branch-fold"].map(CStr::as_ptr);
    // SAFETY: three C strings, of which LLVM keeps no pointer, and no other thread uses LLVM yet.
    unsafe { LLVMParseCommandLineOptions(3, args.as_ptr(), c"".as_ptr()) };
}

/// What LLVM reported. Its own handler would print it and end the process, and some errors (an instruction that BPF
/// has not) are known by their report alone: emission still succeeds.
pub(super) struct Reports(Box<Mutex<Vec<String>>>);

impl Reports {
    /// Gathers what is reported in a context. The value must outlive the context's last use.
    pub(super) fn of(context: &Context) -> Reports {
        extern "C" fn report(info: LLVMDiagnosticInfoRef, reports: *mut c_void) {
            // SAFETY: `reports` is the mutex below, which its owner keeps while the context is used; LLVM passes a
            // valid `info`, and the description is a C string of its own that is freed after it was copied.
            let (severity, text, reports) = unsafe {
                let description = LLVMGetDiagInfoDescription(info);
                let text = CStr::from_ptr(description).to_string_lossy().into_owned();
                LLVMDisposeMessage(description);
                (LLVMGetDiagInfoSeverity(info), text, &*reports.cast::<Mutex<Vec<String>>>())
            };
            if matches!(severity, LLVMDiagnosticSeverity::LLVMDSError) {
                reports.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            }
        }
        let reports = Reports(Box::default());
        // SAFETY: the context is alive, and the mutex stays where it is for as long as `reports` lives.
        unsafe {
            LLVMContextSetDiagnosticHandler(
                context.raw(),
                Some(report),
                (&raw const *reports.0).cast_mut().cast(),
            );
        }
        reports
    }

    /// The first error, if there was one.
    pub(super) fn first(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first().cloned()
    }
}

pub(super) struct Llvm<'c> {
    pub(super) context: &'c Context,
    pub(super) module: Module<'c>,
    pub(super) builder: Builder<'c>,
    pub(super) debug: Debug<'c>,
    pub(super) i64: IntType<'c>,
    pub(super) ptr: PointerType<'c>,
}

/// An argument of a call.
pub(super) type Arg<'c> = BasicMetadataValueEnum<'c>;

impl<'c> Llvm<'c> {
    pub(super) fn new(context: &'c Context, machine: &TargetMachine, sources: &Sources) -> Llvm<'c> {
        let module = context.create_module("bpftrace");
        module.set_triple(&machine.get_triple());
        module.set_data_layout(&machine.get_target_data().get_data_layout());
        let debug = Debug::new(context, &module, sources);
        Llvm {
            context,
            module,
            builder: context.create_builder(),
            debug,
            i64: context.i64_type(),
            ptr: context.ptr_type(AddressSpace::default()),
        }
    }

    /// A 64-bit constant.
    pub(super) fn imm(&self, value: u64) -> IntValue<'c> {
        self.i64.const_int(value, false)
    }

    fn int_type(&self, bytes: u32) -> IntType<'c> {
        match bytes {
            1 => self.context.i8_type(),
            2 => self.context.i16_type(),
            4 => self.context.i32_type(),
            _ => self.i64,
        }
    }

    /// `ptr + offset`.
    pub(super) fn at(&self, ptr: PointerValue<'c>, offset: u64) -> Result<PointerValue<'c>> {
        if offset == 0 { Ok(ptr) } else { self.at_dynamic(ptr, self.imm(offset)) }
    }

    pub(super) fn at_dynamic(&self, ptr: PointerValue<'c>, offset: IntValue<'c>) -> Result<PointerValue<'c>> {
        // SAFETY: building the instruction dereferences nothing. That the address is within its object is for the
        // kernel's verifier to say; it is not marked `inbounds`, so LLVM concludes nothing from it.
        Ok(unsafe { self.builder.build_gep(self.context.i8_type(), ptr, &[offset], "")? })
    }

    /// Loads an integer, extended to 64 bits by its sign.
    pub(super) fn load(&self, ptr: PointerValue<'c>, int: Int, align: u32) -> Result<IntValue<'c>> {
        self.load_with(ptr, int, align, false)
    }

    /// Loads what must be neither merged with other loads nor moved: the context, and numbers that the loader sets.
    pub(super) fn load_volatile(&self, ptr: PointerValue<'c>, int: Int) -> Result<IntValue<'c>> {
        self.load_with(ptr, int, u32::from(int.size), true)
    }

    fn load_with(&self, ptr: PointerValue<'c>, int: Int, align: u32, volatile: bool) -> Result<IntValue<'c>> {
        let size = u32::from(int.size);
        let value = self.builder.build_load(self.int_type(size), ptr, "")?;
        if let Some(load) = value.as_instruction_value() {
            load.set_alignment(align.min(size)).map_err(|e| Error::Llvm(e.to_string()))?;
            load.set_volatile(volatile).map_err(|e| Error::Llvm(format!("{e:?}")))?;
        }
        self.extend(value.into_int_value(), int.signed)
    }

    /// Stores the low bytes of a 64-bit value.
    pub(super) fn store(
        &self,
        ptr: PointerValue<'c>,
        value: IntValue<'c>,
        size: u32,
        align: u32,
    ) -> Result<()> {
        let value = self.builder.build_int_truncate_or_bit_cast(value, self.int_type(size), "")?;
        let store = self.builder.build_store(ptr, value)?;
        store.set_alignment(align.min(size)).map_err(|e| Error::Llvm(e.to_string()))
    }

    fn extend(&self, value: IntValue<'c>, signed: bool) -> Result<IntValue<'c>> {
        if value.get_type().get_bit_width() == 64 {
            Ok(value)
        } else if signed {
            Ok(self.builder.build_int_s_extend(value, self.i64, "")?)
        } else {
            Ok(self.builder.build_int_z_extend(value, self.i64, "")?)
        }
    }

    /// Cuts a 64-bit value to an integer type and extends it again by its sign: the form that every scalar has
    /// between operations.
    pub(super) fn normalize(&self, value: IntValue<'c>, int: Int) -> Result<IntValue<'c>> {
        if int.size >= 8 {
            return Ok(value);
        }
        let cut = self.builder.build_int_truncate(value, self.int_type(u32::from(int.size)), "")?;
        self.extend(cut, int.signed)
    }

    /// An `i1` as 0 or 1.
    pub(super) fn flag(&self, value: IntValue<'c>) -> Result<IntValue<'c>> {
        self.extend(value, false)
    }

    pub(super) fn compare(
        &self,
        how: IntPredicate,
        a: IntValue<'c>,
        b: IntValue<'c>,
    ) -> Result<IntValue<'c>> {
        Ok(self.builder.build_int_compare(how, a, b, "")?)
    }

    /// Whether a scalar is not zero, as an `i1`.
    pub(super) fn is_true(&self, value: IntValue<'c>) -> Result<IntValue<'c>> {
        self.compare(IntPredicate::NE, value, self.imm(0))
    }

    pub(super) fn is_null(&self, ptr: PointerValue<'c>) -> Result<IntValue<'c>> {
        Ok(self.builder.build_is_null(ptr, "")?)
    }

    pub(super) fn select(
        &self,
        condition: IntValue<'c>,
        a: IntValue<'c>,
        b: IntValue<'c>,
    ) -> Result<IntValue<'c>> {
        Ok(self.builder.build_select(condition, a, b, "")?.into_int_value())
    }

    pub(super) fn address(&self, ptr: PointerValue<'c>) -> Result<IntValue<'c>> {
        Ok(self.builder.build_ptr_to_int(ptr, self.i64, "")?)
    }

    pub(super) fn pointer(&self, address: IntValue<'c>) -> Result<PointerValue<'c>> {
        Ok(self.builder.build_int_to_ptr(address, self.ptr, "")?)
    }

    /// The same value, but LLVM forgets what it knows of it: the empty assembly might have changed it.
    pub(super) fn opaque(&self, value: IntValue<'c>) -> Result<IntValue<'c>> {
        self.through_assembly(value, false)
    }

    /// The same value, calculated before whatever call comes next. LLVM would rather put off what joins the results of
    /// many calls until after the last one, and until then keep all of them on the stack, where BPF has no room.
    pub(super) fn settled(&self, value: IntValue<'c>) -> Result<IntValue<'c>> {
        self.through_assembly(value, true)
    }

    fn through_assembly(&self, value: IntValue<'c>, in_order: bool) -> Result<IntValue<'c>> {
        let ty = self.i64.fn_type(&[self.i64.into()], false);
        let (code, constraints) = (String::new(), "=r,0".into());
        let asm = self.context.create_inline_asm(ty, code, constraints, in_order, false, None, false);
        self.int_result(self.builder.build_indirect_call(ty, asm, &[value.into()], "")?)
    }

    /// A number that the verifier knows nothing about any more, not even that it was a pointer: it keeps no track of
    /// what is negated (`BPF_NEG` in `check_alu_op`).
    pub(super) fn unknown(&self, value: IntValue<'c>) -> Result<IntValue<'c>> {
        let negative = self.builder.build_int_neg(self.opaque(value)?, "")?;
        Ok(self.builder.build_int_neg(self.opaque(negative)?, "")?)
    }

    /// At most `max`, in a way that the verifier sees: the comparison is made on the very register that is used,
    /// and stays even where LLVM could prove that it is not needed.
    pub(super) fn bound(&self, value: IntValue<'c>, max: u64) -> Result<IntValue<'c>> {
        if let Some(known) = value.get_zero_extended_constant() {
            return Ok(self.imm(known.min(max)));
        }
        let value = self.opaque(value)?;
        let fits = self.compare(IntPredicate::ULE, value, self.imm(max))?;
        let bounded = self.select(fits, value, self.imm(max))?;
        self.opaque(bounded)
    }

    fn int_result(&self, call: CallSiteValue<'c>) -> Result<IntValue<'c>> {
        match call.try_as_basic_value() {
            ValueKind::Basic(BasicValueEnum::IntValue(value)) => Ok(value),
            _ => Err(Error::Internal("a call that yields no integer".into())),
        }
    }

    fn call_helper(&self, id: u32, args: &[Arg<'c>], pointer: bool) -> Result<CallSiteValue<'c>> {
        let types = args
            .iter()
            .map(|a| match a {
                Arg::IntValue(v) => Ok(BasicMetadataTypeEnum::from(v.get_type())),
                Arg::PointerValue(v) => Ok(v.get_type().into()),
                _ => {
                    Err(Error::Internal(format!("an argument of helper {id} is neither number nor pointer")))
                }
            })
            .collect::<Result<Vec<_>>>()?;
        if types.len() > 5 {
            return Err(Error::Internal(format!("helper {id} with {} arguments", types.len())));
        }
        let ty = if pointer { self.ptr.fn_type(&types, false) } else { self.i64.fn_type(&types, false) };
        let target = self.imm(u64::from(id)).const_to_pointer(self.ptr);
        let call = self.builder.build_indirect_call(ty, target, args, "")?;
        if helpers::is_constant(id) {
            // Encoded, no access to memory at all is zero.
            for attribute in ["memory", "nounwind", "willreturn"] {
                let kind = Attribute::get_named_enum_kind_id(attribute);
                call.add_attribute(AttributeLoc::Function, self.context.create_enum_attribute(kind, 0));
            }
        }
        Ok(call)
    }

    /// Calls a function that another object defines, or, in `.ksyms`, the kernel.
    pub(super) fn call(
        &self,
        function: &CFunction,
        args: &[Arg<'c>],
        section: Option<&str>,
    ) -> Result<IntValue<'c>> {
        let declared = match self.module.get_function(&function.name) {
            Some(declared) => declared,
            None => {
                let types = vec![BasicMetadataTypeEnum::from(self.i64); function.params.len()];
                let declared =
                    self.module.add_function(&function.name, self.i64.fn_type(&types, false), None);
                declared.set_section(section);
                // From which LLVM makes the BTF that libbpf's linker wants to see.
                declared.set_subprogram(self.debug.declaration(function)?);
                declared
            }
        };
        let args = args
            .iter()
            .map(|arg| match arg {
                Arg::PointerValue(pointer) => self.address(*pointer).map(Arg::from),
                other => Ok(*other),
            })
            .collect::<Result<Vec<_>>>()?;
        self.int_result(self.builder.build_call(declared, &args, "")?)
    }

    /// Loads what the kernel puts in place of a number when it loads the program: `BPF_PSEUDO_…` of `linux/bpf.h`.
    pub(super) fn pseudo(&self, kind: u64, value: u64) -> Result<IntValue<'c>> {
        const NAME: &str = "llvm.bpf.pseudo";
        let ty = self.i64.fn_type(&[self.i64.into(), self.i64.into()], false);
        let function =
            self.module.get_function(NAME).unwrap_or_else(|| self.module.add_function(NAME, ty, None));
        let args = [self.imm(kind).into(), self.imm(value).into()];
        self.int_result(self.builder.build_call(function, &args, "")?)
    }

    /// Calls a BPF helper by its number (`enum bpf_func_id` in `linux/bpf.h`) for its 64-bit result.
    pub(super) fn helper(&self, id: u32, args: &[Arg<'c>]) -> Result<IntValue<'c>> {
        self.int_result(self.call_helper(id, args, false)?)
    }

    /// Calls a BPF helper that returns a pointer.
    pub(super) fn helper_ptr(&self, id: u32, args: &[Arg<'c>]) -> Result<PointerValue<'c>> {
        match self.call_helper(id, args, true)?.try_as_basic_value() {
            ValueKind::Basic(BasicValueEnum::PointerValue(value)) => Ok(value),
            _ => Err(Error::Internal(format!("helper {id} yields no pointer"))),
        }
    }

    /// `lock *ptr += value`; with `fetch` the value from before (5.12).
    pub(super) fn atomic_add(
        &self,
        ptr: PointerValue<'c>,
        value: IntValue<'c>,
        size: u32,
    ) -> Result<IntValue<'c>> {
        let value = self.builder.build_int_truncate_or_bit_cast(value, self.int_type(size), "")?;
        let before =
            self.builder.build_atomicrmw(AtomicRMWBinOp::Add, ptr, value, AtomicOrdering::Monotonic)?;
        self.extend(before, false)
    }

    pub(super) fn atomic_swap(&self, ptr: PointerValue<'c>, value: IntValue<'c>) -> Result<IntValue<'c>> {
        Ok(self.builder.build_atomicrmw(AtomicRMWBinOp::Xchg, ptr, value, AtomicOrdering::Monotonic)?)
    }

    /// The function that is being built.
    pub(super) fn function(&self) -> Result<FunctionValue<'c>> {
        self.builder
            .get_insert_block()
            .and_then(BasicBlock::get_parent)
            .ok_or_else(|| Error::Internal("code outside of a function".into()))
    }

    /// A new block at the end of the current function.
    pub(super) fn block(&self, name: &str) -> Result<BasicBlock<'c>> {
        Ok(self.context.append_basic_block(self.function()?, name))
    }

    pub(super) fn here(&self) -> Result<BasicBlock<'c>> {
        self.builder.get_insert_block().ok_or_else(|| Error::Internal("no block".into()))
    }

    pub(super) fn jump(&self, to: BasicBlock<'c>) -> Result<()> {
        self.builder.build_unconditional_branch(to)?;
        Ok(())
    }

    pub(super) fn branch(
        &self,
        condition: IntValue<'c>,
        then: BasicBlock<'c>,
        otherwise: BasicBlock<'c>,
    ) -> Result<()> {
        self.builder.build_conditional_branch(condition, then, otherwise)?;
        Ok(())
    }

    /// Goes on at the end of a block. It gets its place in the function when it is first entered, after all code
    /// that was made before.
    pub(super) fn enter(&self, block: BasicBlock<'c>) {
        if block.get_first_instruction().is_none()
            && let Some(last) = block.get_parent().and_then(FunctionValue::get_last_basic_block)
            && last != block
        {
            // Both are in one function, so they can be put in order.
            let _ = block.move_after(last);
        }
        self.builder.position_at_end(block);
    }

    /// Goes on at the end of a block that has its place.
    pub(super) fn resume(&self, block: BasicBlock<'c>) {
        self.builder.position_at_end(block);
    }

    /// Goes on in a new block, whose place is right after another one.
    pub(super) fn enter_after(&self, block: BasicBlock<'c>, previous: BasicBlock<'c>) {
        // Both are in one function, so they can be put in order.
        let _ = block.move_after(previous);
        self.builder.position_at_end(block);
    }

    pub(super) fn phi(&self, incoming: &[(IntValue<'c>, BasicBlock<'c>)]) -> Result<IntValue<'c>> {
        let phi = self.builder.build_phi(self.i64, "")?;
        for (value, block) in incoming {
            phi.add_incoming(&[(value, *block)]);
        }
        Ok(phi.as_basic_value().into_int_value())
    }

    /// A function with debug information, without which the kernel takes no callback. Those without a section are
    /// internal.
    pub(super) fn add_function(
        &self,
        name: &str,
        section: Option<&str>,
        params: &[Param],
        line: u32,
    ) -> Result<FunctionValue<'c>> {
        let types: Vec<BasicMetadataTypeEnum<'c>> =
            params.iter().map(|p| if p.pointer { self.ptr.into() } else { self.i64.into() }).collect();
        let linkage = section.is_none().then_some(Linkage::Internal);
        let function = self.module.add_function(name, self.i64.fn_type(&types, false), linkage);
        function.set_section(Some(section.unwrap_or(".text")));
        let nounwind = Attribute::get_named_enum_kind_id("nounwind");
        let nounwind = self.context.create_enum_attribute(nounwind, 0);
        function.add_attribute(AttributeLoc::Function, nounwind);
        // LLVM gives it another name if this one is taken.
        let name = function.get_name().to_string_lossy().into_owned();
        function.set_subprogram(self.debug.subprogram(&name, params, line, section.is_none())?);
        Ok(function)
    }
}
