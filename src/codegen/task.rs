//! The current task, and the kernel's variables.

use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::helpers::id;
use super::llvm::Result;
use super::memory::Mem;
use super::program::Gen;
use crate::image::Global;
use crate::ir::Expr;
use crate::types::Int;
use crate::types::linked::{CFunction, CType};

/// Where libbpf looks for functions of the kernel.
const KSYMS: &str = ".ksyms";

/// `BPF_PSEUDO_BTF_ID` of `linux/bpf.h`: the instruction loads the address of a variable by its BTF.
const PSEUDO_BTF_ID: u64 = 3;

impl<'g, 'c> Gen<'g, 'c> {
    /// See [`crate::ir::ExprKind::PerCpu`].
    pub(super) fn per_cpu(&mut self, variable: u32, cpu: Option<&'g Expr>) -> Result<IntValue<'c>> {
        let cpu = cpu.map(|cpu| self.scalar(cpu)).transpose()?;
        let variable = self.ll.pseudo(PSEUDO_BTF_ID, variable.into())?;
        let variable = self.ll.pointer(variable)?;
        let address = match cpu {
            Some(cpu) => self.ll.helper(id::PER_CPU_PTR, &[variable.into(), cpu.into()])?,
            None => self.ll.helper(id::THIS_CPU_PTR, &[variable.into()])?,
        };
        // It may be null, and the script may calculate with it: the reading helpers take it as a number.
        self.ll.unknown(address)
    }

    /// See [`crate::ir::ExprKind::TaskName`]. The task is held for as long as its name is read.
    pub(super) fn task_name(&mut self, tid: IntValue<'c>, comm: u32, to: Mem<'c>, size: u32) -> Result<()> {
        let task = || CType::Pointer(Box::new(CType::Record { union: false, name: "task_struct".into() }));
        let function =
            |name: &str, param, result| CFunction { name: name.into(), params: vec![param], result };
        let take = function("bpf_task_from_pid", CType::Int(4), task());
        let release = function("bpf_task_release", task(), CType::Void);
        self.zero(to, size)?;
        let found = self.ll.call(&take, &[tid.into()], Some(KSYMS))?;
        let there = self.ll.compare(IntPredicate::NE, found, self.ll.imm(0))?;
        self.when(there, |g| {
            let name = g.ll.builder.build_int_add(found, g.ll.imm(comm.into()), "")?;
            let args = [to.ptr.into(), g.ll.imm(size.into()).into(), name.into()];
            g.ll.helper(id::PROBE_READ_KERNEL, &args)?;
            g.ll.call(&release, &[found.into()], Some(KSYMS))?;
            Ok(())
        })
    }

    /// See [`crate::ir::ExprKind::TaskIds`].
    pub(super) fn task_ids(&mut self) -> Result<IntValue<'c>> {
        if !self.settings.own_pids {
            return self.ll.helper(id::CURRENT_PID_TGID, &[]);
        }
        self.scoped(|g| {
            // `struct bpf_pidns_info` is the thread's id, then the process's: with little endian the same as the
            // other helper's number. The kernel zeroes it when it fails.
            let to = g.stack_temp(8)?;
            let mut args = vec![];
            for number in [Global::PidNamespaceDevice, Global::PidNamespaceInode] {
                let variable = g.object.global(g.ll, number)?;
                args.push(g.ll.load_volatile(variable, Int::U64)?.into());
            }
            args.push(to.ptr.into());
            args.push(g.ll.imm(8).into());
            g.ll.helper(id::NS_PID_TGID, &args)?;
            g.ll.load(to.ptr, Int::U64, 8)
        })
    }
}
