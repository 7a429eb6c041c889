//! Calls: of the kernel's helpers, and of functions that another object defines.

use inkwell::IntPredicate;
use inkwell::values::{IntValue, PointerValue};

use super::Error;
use super::llvm::{Arg, Result};
use super::memory::Mem;
use super::program::Gen;
use crate::diagnostics::Span;
use crate::ir::{Expr, ExprKind, Place, PlaceKind, VarId};
use crate::types::linked::CFunction;

impl<'g, 'c> Gen<'g, 'c> {
    pub(super) fn helper_args(&mut self, args: &'g [Expr]) -> Result<Vec<Arg<'c>>> {
        args.iter()
            .map(|arg| match &arg.kind {
                ExprKind::ContextPointer => Ok(self.frame.context.into()),
                _ => match own_variable(arg) {
                    // What a helper reads or writes there is for the verifier to know.
                    Some(var) => Ok(self.variable(var)?.0.ptr.into()),
                    None => self.scalar(arg).map(Arg::from),
                },
            })
            .collect()
    }

    /// Calls a function of a linked object. BPF passes whole registers, so numbers go as they are, extended to 64 bits.
    pub(super) fn call(
        &mut self,
        function: &CFunction,
        args: &'g [Expr],
        span: Span,
    ) -> Result<IntValue<'c>> {
        let args = args
            .iter()
            .map(|arg| match own_pointer(arg) {
                Some(place) => self.own_pointer(place).map(Arg::from),
                None => self.scalar(arg).map(Arg::from),
            })
            .collect::<Result<Vec<_>>>()?;
        self.locate(span);
        self.ll.call(function, &args, None)
    }

    /// The address of what is in BPF memory, as a pointer that the verifier knows.
    fn own_pointer(&mut self, place: &'g Place) -> Result<PointerValue<'c>> {
        match &place.kind {
            PlaceKind::Variable(var) => Ok(self.variable(*var)?.0.ptr),
            PlaceKind::MapValue { map, key } => self.scoped(|g| {
                let key = g.key(*map, key.as_deref())?;
                g.lookup(*map, key)
            }),
            PlaceKind::Map(map) => Ok(self.object.map(*map)?.pointer),
            _ => Err(Error::Internal("this is not in BPF memory".into())),
        }
    }

    /// Zeroes what a helper that failed may not have written.
    pub(super) fn check_fill(
        &mut self,
        helper: u32,
        result: IntValue<'c>,
        to: Mem<'c>,
        size: u32,
    ) -> Result<()> {
        self.check_helper(helper, result)?;
        if helper == CURRENT_COMM {
            return Ok(());
        }
        let failed = self.ll.compare(IntPredicate::SLT, result, self.ll.imm(0))?;
        self.when(failed, |g| g.zero(to, size))
    }
}

/// The variable whose address an expression is.
fn own_variable(expr: &Expr) -> Option<VarId> {
    match own_pointer(expr)?.kind {
        PlaceKind::Variable(var) => Some(var),
        _ => None,
    }
}

/// The variable, map or map's value whose address an expression is.
fn own_pointer(expr: &Expr) -> Option<&Place> {
    match &expr.kind {
        ExprKind::Cast(inner) => own_pointer(inner),
        ExprKind::AddressOf(place) => {
            let own =
                matches!(place.kind, PlaceKind::Variable(_) | PlaceKind::MapValue { .. } | PlaceKind::Map(_));
            own.then_some(place)
        }
        _ => None,
    }
}

/// `bpf_get_current_comm`, which always fills its buffer.
pub(super) const CURRENT_COMM: u32 = 16;
