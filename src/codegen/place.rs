//! Memory that a script reads: chains of fields and indices from a pointer become one address and one read.

use inkwell::IntPredicate;
use inkwell::values::{IntValue, PointerValue};

use super::Error;
use super::helpers::id;
use super::llvm::Result;
use super::memory::Mem;
use super::program::Gen;
use crate::ir::{Context, ExprKind, Place, PlaceKind};
use crate::types::{Bits, Int, Space, Type};

/// Where a place is.
pub(super) struct Address<'c> {
    base: Base<'c>,
    offset: u64,
    /// What indices that are not constant add to it.
    dynamic: Option<IntValue<'c>>,
    bits: Option<Bits>,
}

impl Address<'_> {
    /// So many bytes further.
    pub(super) fn add(&mut self, offset: u32) {
        self.offset = self.offset.wrapping_add(u64::from(offset));
        self.bits = None;
    }
}

#[derive(Clone, Copy)]
enum Base<'c> {
    Pointer(IntValue<'c>, Space),
    Context,
}

impl<'g, 'c> Gen<'g, 'c> {
    /// Evaluates what a place's address is made of. Every offset into a kernel struct passes through here.
    pub(super) fn resolve(&mut self, place: &'g Place) -> Result<Address<'c>> {
        match &place.kind {
            PlaceKind::Deref { pointer, space } => {
                let base = match pointer.kind {
                    ExprKind::ContextPointer => Base::Context,
                    _ => Base::Pointer(self.scalar(pointer)?, self.space(*space)),
                };
                Ok(Address { base, offset: 0, dynamic: None, bits: None })
            }
            PlaceKind::Context { offset } => {
                let offset = u64::from(*offset);
                Ok(Address { base: Base::Context, offset, dynamic: None, bits: None })
            }
            PlaceKind::Field { base, field } => {
                let mut address = self.resolve(base)?;
                address.offset = address.offset.wrapping_add(u64::from(field.offset));
                address.bits = field.bits;
                Ok(address)
            }
            PlaceKind::Index { base, index } => {
                let mut address = self.resolve(base)?;
                let size = u64::from(self.size_of(&place.ty));
                let index = self.scalar(index)?;
                match index.get_zero_extended_constant() {
                    Some(index) => address.offset = address.offset.wrapping_add(index.wrapping_mul(size)),
                    None => {
                        let add = self.ll.builder.build_int_mul(index, self.ll.imm(size), "")?;
                        address.dynamic = Some(match address.dynamic {
                            Some(before) => self.ll.builder.build_int_add(before, add, "")?,
                            None => add,
                        });
                    }
                }
                address.bits = None;
                Ok(address)
            }
            PlaceKind::Variable(var) => {
                let (mem, _) = self.variable(*var)?;
                self.own_memory(mem.ptr)
            }
            PlaceKind::MapValue { map, key } => self.scoped(|g| {
                let key = g.key(*map, key.as_deref())?;
                let value = g.lookup(*map, key)?;
                g.own_memory(value)
            }),
            PlaceKind::Map(map) => {
                let map = self.object.map(*map)?.pointer;
                self.own_memory(map)
            }
            PlaceKind::Part { base, offset } => {
                let mut address = self.resolve(base)?;
                address.add(*offset);
                Ok(address)
            }
        }
    }

    /// BPF memory as an address of the kernel's, which the script may calculate with and store: the verifier would
    /// refuse most of that for what it knows to be a pointer.
    fn own_memory(&self, pointer: PointerValue<'c>) -> Result<Address<'c>> {
        let address = self.ll.unknown(self.ll.address(pointer)?)?;
        Ok(Address { base: Base::Pointer(address, Space::Kernel), offset: 0, dynamic: None, bits: None })
    }

    /// `&place`: an address that the script may calculate with.
    pub(super) fn address_to_keep(&mut self, place: &'g Place) -> Result<IntValue<'c>> {
        let address = self.resolve(place)?;
        let number = self.address_of(&address)?;
        if is_in_record(place) { self.ll.unknown(number) } else { Ok(number) }
    }

    /// The address as a number.
    pub(super) fn address_of(&mut self, address: &Address<'c>) -> Result<IntValue<'c>> {
        let base = match address.base {
            Base::Pointer(pointer, _) => pointer,
            Base::Context => {
                let context = self.ll.address(self.frame.context)?;
                // To what the verifier knows for the context nothing may be added that is not constant.
                if address.dynamic.is_some() { self.ll.unknown(context)? } else { context }
            }
        };
        let builder = &self.ll.builder;
        let base = match address.dynamic {
            Some(add) => builder.build_int_add(base, add, "")?,
            None => base,
        };
        if address.offset == 0 {
            return Ok(base);
        }
        Ok(builder.build_int_add(base, self.ll.imm(address.offset), "")?)
    }

    /// Reads a scalar.
    pub(super) fn read_scalar(&mut self, address: &Address<'c>, ty: &Type) -> Result<IntValue<'c>> {
        let int = self.int(ty)?;
        let whole = match address.bits {
            // The bits are cut out of the number without its sign.
            Some(_) => Int { signed: false, ..int },
            None => int,
        };
        let value = match address.base {
            Base::Context => self.read_context(address, whole, matches!(ty, Type::Ptr { .. }))?,
            // The verifier wants to see the offset.
            Base::Pointer(_, Space::Bpf) if address.dynamic.is_none() => {
                let pointer = self.ll.pointer(self.address_of(address)?)?;
                self.ll.load_volatile(pointer, whole)?
            }
            Base::Pointer(_, space) => self.scoped(|g| {
                let to = g.stack_temp(8)?;
                g.read_into(to, u32::from(int.size), address, space)?;
                g.ll.load(to.ptr, whole, u32::from(int.size))
            })?,
        };
        match address.bits {
            None => Ok(value),
            Some(bits) => self.cut_bits(value, bits, int.signed),
        }
    }

    fn cut_bits(&self, value: IntValue<'c>, bits: Bits, signed: bool) -> Result<IntValue<'c>> {
        let (shift, width) = (u64::from(bits.shift), u64::from(bits.width).clamp(1, 64));
        let left = 64u64.saturating_sub(shift + width);
        let builder = &self.ll.builder;
        let value = builder.build_left_shift(value, self.ll.imm(left), "")?;
        Ok(builder.build_right_shift(value, self.ll.imm(64 - width), signed, "")?)
    }

    /// Direct loads, which the verifier allows in the context alone: for an array of words whole words only, for
    /// a tracepoint's record whatever is aligned.
    fn read_context(&mut self, address: &Address<'c>, int: Int, pointer: bool) -> Result<IntValue<'c>> {
        if address.dynamic.is_some() {
            // Not a place that the verifier can check; as memory like any other it can be read.
            return self.scoped(|g| {
                let to = g.stack_temp(8)?;
                g.read_into(to, u32::from(int.size), address, Space::Kernel)?;
                g.ll.load(to.ptr, int, u32::from(int.size))
            });
        }
        let size = u64::from(int.size);
        let context = self.frame.context;
        match self.probe.context {
            Context::None => Ok(self.ll.imm(0)),
            Context::Record if address.offset.is_multiple_of(size) => {
                self.ll.load_volatile(self.ll.at(context, address.offset)?, int)
            }
            Context::Record => {
                let mut value = self.ll.imm(0);
                for n in 0..size {
                    let byte = self.ll.load_volatile(self.ll.at(context, address.offset + n)?, Int::U8)?;
                    let place = if cfg!(target_endian = "big") { size - 1 - n } else { n };
                    let byte = self.ll.builder.build_left_shift(byte, self.ll.imm(8 * place), "")?;
                    value = self.ll.builder.build_or(value, byte, "")?;
                }
                self.ll.normalize(value, int)
            }
            Context::Objects if pointer && address.offset.is_multiple_of(8) => {
                let value = self.ll.load_volatile(self.ll.at(context, address.offset)?, int)?;
                // It may be null, so that the verifier would not let the script calculate with it.
                self.ll.unknown(value)
            }
            Context::Registers | Context::Words | Context::Objects => {
                let (word, within) = (address.offset & !7, address.offset & 7);
                let value = self.ll.load_volatile(self.ll.at(context, word)?, Int::U64)?;
                // An argument is in the low bytes of its word, whatever the byte order.
                let shift = if within == 0 {
                    0
                } else if cfg!(target_endian = "big") {
                    8 * (8 - within).saturating_sub(size)
                } else {
                    8 * within
                };
                let value = self.ll.builder.build_right_shift(value, self.ll.imm(shift), false, "")?;
                self.ll.normalize(value, int)
            }
        }
    }

    /// Reads a composite: its bytes as they are.
    pub(super) fn read_bytes(&mut self, to: Mem<'c>, size: u32, address: &Address<'c>) -> Result<()> {
        match address.base {
            Base::Context => self.read_into(to, size, address, Space::Kernel),
            Base::Pointer(_, Space::Bpf) => self.read_into(to, size, address, Space::Kernel),
            Base::Pointer(_, space) => self.read_into(to, size, address, space),
        }
    }

    fn read_into(&mut self, to: Mem<'c>, size: u32, address: &Address<'c>, space: Space) -> Result<()> {
        let from = self.address_of(address)?;
        let helper = if space == Space::User { id::PROBE_READ_USER } else { id::PROBE_READ_KERNEL };
        let args = [to.ptr.into(), self.ll.imm(u64::from(size)).into(), from.into()];
        let result = self.ll.helper(helper, &args)?;
        self.check_helper(helper, result)
    }

    /// Where a string or buffer of this place is read from.
    pub(super) fn space_of(&self, address: &Address<'c>) -> Space {
        match address.base {
            Base::Context | Base::Pointer(_, Space::Bpf) => Space::Kernel,
            Base::Pointer(_, space) => space,
        }
    }

    /// With `-k`, tells the user of a helper's failure.
    pub(super) fn check_helper(&mut self, helper: u32, result: IntValue<'c>) -> Result<()> {
        if !self.settings.report_helper_errors {
            return Ok(());
        }
        let failed = self.ll.compare(IntPredicate::SLT, result, self.ll.imm(0))?;
        self.when(failed, |g| g.report_helper(helper, result))
    }

    pub(super) fn int(&self, ty: &Type) -> Result<Int> {
        ty.as_int().ok_or_else(|| Error::Internal(format!("a value of type {ty:?} is not a number")))
    }
}

/// Whether a place is in the record or the words that a program is given. Those are memory of the kernel, and not only a
/// context from which to load.
fn is_in_record(place: &Place) -> bool {
    match &place.kind {
        PlaceKind::Context { .. } => true,
        PlaceKind::Field { base, .. } | PlaceKind::Index { base, .. } | PlaceKind::Part { base, .. } => {
            is_in_record(base)
        }
        _ => false,
    }
}
