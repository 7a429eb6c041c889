//! The file that an iterator's reader reads, `struct seq_file` of the kernel.

use inkwell::values::PointerValue;

use super::helpers::id;
use super::llvm::Result;
use super::memory::Mem;
use super::program::Gen;
use crate::ir::{Context, Expr, ExprKind};
use crate::types::{Int, Type};

impl<'g, 'c> Gen<'g, 'c> {
    /// Whether somebody else reads the iterator, with nobody in user space who gets records.
    pub(super) fn is_pinned(&self) -> bool {
        self.probe.attach.iter().any(|attach| attach.what.pin().is_some())
    }

    fn seq_file(&self) -> Result<PointerValue<'c>> {
        let ll = self.ll;
        // `struct bpf_iter_meta *` is the first thing in every iterator's context, and `struct seq_file *` in that.
        let meta = ll.load_volatile(self.frame.context, Int::U64)?;
        let file = ll.load_volatile(ll.pointer(meta)?, Int::U64)?;
        ll.pointer(file)
    }

    /// Writes a byte to the file, by which we get the objects in pieces.
    pub(super) fn pace(&mut self) -> Result<()> {
        if self.probe.context != Context::Objects || self.is_pinned() {
            return Ok(());
        }
        let byte = self.stack_temp(8)?;
        self.ll.store(byte.ptr, self.ll.imm(0), 8, 8)?;
        let file = self.seq_file()?;
        self.ll.helper(id::SEQ_WRITE, &[file.into(), byte.ptr.into(), self.ll.imm(1).into()])?;
        Ok(())
    }

    pub(super) fn seq_write(&mut self, text: &'g Expr) -> Result<()> {
        let (ptr, len) = match &text.kind {
            ExprKind::Bytes(bytes) if !bytes.is_empty() => {
                (self.object.constant(self.ll, bytes)?, self.ll.imm(bytes.len() as u64))
            }
            _ => {
                let to = self.scratch_temp(self.size_of(&text.ty))?;
                (to.ptr, self.append(text, to)?)
            }
        };
        let file = self.seq_file()?;
        self.ll.helper(id::SEQ_WRITE, &[file.into(), ptr.into(), len.into()])?;
        Ok(())
    }

    pub(super) fn seq_printf(&mut self, format: &str, args: &'g [Expr]) -> Result<()> {
        let ll = self.ll;
        let size = u32::try_from(args.len()).unwrap_or(u32::MAX).saturating_mul(8);
        let data = self.stack_temp(size)?;
        for (arg, offset) in args.iter().zip((0..).step_by(8)) {
            let word = match arg.ty {
                Type::Str(n) => {
                    let text = self.scratch_temp(n)?;
                    let len = self.append(arg, text)?;
                    let end = Mem { ptr: ll.at_dynamic(text.ptr, len)?, align: 1, on_stack: false };
                    ll.store(end.ptr, ll.imm(0), 1, 1)?;
                    ll.address(text.ptr)?
                }
                _ => self.scalar(arg)?,
            };
            ll.store(self.part(data, offset)?.ptr, word, 8, 8)?;
        }
        let format = [format.as_bytes(), b"\0"].concat();
        let length = ll.imm(format.len() as u64);
        let format = self.object.constant(ll, &format)?;
        let file = self.seq_file()?;
        let args = [file.into(), format.into(), length.into(), data.ptr.into(), ll.imm(size.into()).into()];
        ll.helper(id::SEQ_PRINTF, &args)?;
        Ok(())
    }
}
