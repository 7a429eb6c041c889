//! Objects of the kernel as the verifier knows them: reached from the context by loads that it follows, so that helpers
//! which want to know what they get take their addresses.

use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::Error;
use super::expr::Padding;
use super::helpers::id;
use super::llvm::Result;
use super::memory::Mem;
use super::program::Gen;
use crate::ir::{Context, Expr, ExprKind, Place, PlaceKind};
use crate::types::{Int, Type};

/// An address that the verifier keeps track of.
struct Followed<'c> {
    address: IntValue<'c>,
    /// What has to be there, before the address is used at all.
    object: Option<IntValue<'c>>,
}

impl<'g, 'c> Gen<'g, 'c> {
    /// See [`ExprKind::KernelPath`].
    pub(super) fn kernel_path(
        &mut self,
        path: &'g Place,
        to: Mem<'c>,
        ty: &Type,
        padding: Padding,
    ) -> Result<()> {
        let size = self.size_of(ty);
        // Whatever goes wrong, there is a string.
        self.zero(to, size)?;
        let base = self.followed_base(path)?;
        let read = |g: &mut Self| {
            let address = match offset_in(path) {
                0 => base.address,
                offset => g.ll.builder.build_int_add(base.address, g.ll.imm(offset), "")?,
            };
            let args = [address.into(), to.ptr.into(), g.ll.imm(u64::from(size)).into()];
            let result = g.ll.helper(id::D_PATH, &args)?;
            g.check_helper(id::D_PATH, result)?;
            // If there is no room for all of it the end of the path is there, without a NUL where that does not fit.
            let last = g.part(to, size.saturating_sub(1))?;
            g.ll.store(last.ptr, g.ll.imm(0), 1, 1)?;
            if padding == Padding::Zero { g.pad(to, ty) } else { Ok(()) }
        };
        match base.object {
            Some(object) => {
                let there = self.ll.compare(IntPredicate::NE, object, self.ll.imm(0))?;
                self.when(there, read)
            }
            None => read(self),
        }
    }

    /// The pointer that the fields of a place are in.
    fn followed_base(&mut self, place: &'g Place) -> Result<Followed<'c>> {
        match &place.kind {
            PlaceKind::Field { base, .. } => self.followed_base(base),
            PlaceKind::Deref { pointer, .. } => self.followed(pointer),
            _ => Err(Error::Internal("a place that the verifier cannot follow".into())),
        }
    }

    fn followed(&mut self, pointer: &'g Expr) -> Result<Followed<'c>> {
        match &pointer.kind {
            ExprKind::Cast(inner) | ExprKind::Reinterpret(inner) => self.followed(inner),
            ExprKind::Load(place) => {
                let offset = offset_in(place);
                if place.is_in_context() {
                    let word = self.ll.at(self.frame.context, offset)?;
                    let address = self.ll.load_volatile(word, Int::U64)?;
                    // What an iterator is at may be null.
                    let object = (self.probe.context == Context::Objects).then_some(address);
                    return Ok(Followed { address, object });
                }
                let base = self.followed_base(place)?;
                let from = match base.object {
                    // Only where the one before is there can be looked further: a null pointer leads nowhere.
                    Some(object) => return self.followed_if(object, offset),
                    None => base.address,
                };
                let word = self.ll.at(self.ll.pointer(from)?, offset)?;
                Ok(Followed { address: self.ll.load_volatile(word, Int::U64)?, object: None })
            }
            _ => Err(Error::Internal("a pointer that the verifier cannot follow".into())),
        }
    }

    /// The pointer at an offset from one that may be null; the program ends if that is so.
    fn followed_if(&mut self, object: IntValue<'c>, offset: u64) -> Result<Followed<'c>> {
        let missing = self.ll.compare(IntPredicate::EQ, object, self.ll.imm(0))?;
        self.when(missing, |g| g.leave(None))?;
        let word = self.ll.at(self.ll.pointer(object)?, offset)?;
        Ok(Followed { address: self.ll.load_volatile(word, Int::U64)?, object: None })
    }
}

/// How far a place is from the pointer or context that it is in.
fn offset_in(place: &Place) -> u64 {
    match &place.kind {
        PlaceKind::Field { base, field } => offset_in(base).wrapping_add(field.offset.into()),
        PlaceKind::Context { offset } => u64::from(*offset),
        _ => 0,
    }
}
