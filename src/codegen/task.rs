//! The current task.

use inkwell::values::IntValue;

use super::helpers::id;
use super::llvm::Result;
use super::program::Gen;
use crate::image::Global;
use crate::types::Int;

impl<'c> Gen<'_, 'c> {
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
