//! Where the members of structs and unions lie: the rules of the System V ABI for x86-64, which are those of AAPCS64
//! but for bitfields without a name, with the extensions that GCC and Clang have for `packed`, `aligned` and
//! `#pragma pack`.

use super::scope::Object;
use crate::types::convert::bitfield;
use crate::types::{Bits, Field, Int, Struct, Type};

/// The largest struct, in bytes: more than any map, stack or helper of BPF can hold.
pub const MAX_SIZE: u64 = 1 << 28;

/// A member as declared.
pub struct Member {
    /// `None` for an anonymous struct or union and for a bitfield that only takes space.
    pub name: Option<String>,
    pub object: Object,
    /// In bytes.
    pub size: u64,
    pub align: u32,
    /// Of a bitfield, in bits.
    pub width: Option<u32>,
    /// What its attributes say.
    pub packed: bool,
    pub aligned: Option<u32>,
    /// The fields of an anonymous struct or union, which become the outer one's.
    pub inner: Vec<Field>,
}

/// What is said of the whole struct.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    pub union: bool,
    pub packed: bool,
    pub aligned: Option<u32>,
    /// `#pragma pack(n)`
    pub pack: Option<u32>,
}

/// A struct or union of these members; `None` if it is larger than [`MAX_SIZE`].
pub fn lay_out(name: &str, members: Vec<Member>, rules: Rules) -> Option<Struct> {
    let mut record = Record { rules, end: 0, largest: 0, align: 1, named: vec![], flattened: vec![] };
    for member in members {
        record.add(member)?;
    }
    let align = record.align.max(rules.aligned.unwrap_or(1));
    let size = record.largest.max(record.end).div_ceil(8).checked_next_multiple_of(u64::from(align))?;
    let mut fields = record.named;
    fields.append(&mut record.flattened);
    let size = u32::try_from(size).ok().filter(|s| u64::from(*s) <= MAX_SIZE)?;
    fields.iter_mut().for_each(|field| keep_inside(field, size));
    Some(Struct { name: name.to_owned(), union: rules.union, size, align, fields })
}

/// In a packed struct, the integer of a bitfield may reach beyond the end, where other things are. Then a smaller one,
/// or one that begins earlier, has its bits too.
pub fn keep_inside(field: &mut Field, size: u32) {
    let (Some(bits), Some(int)) = (field.bits, field.ty.as_int()) else { return };
    if field.offset + u32::from(int.size) <= size {
        return;
    }
    let (shift, width) = (u32::from(bits.shift), u32::from(bits.width));
    let (first, end) = (field.offset + shift / 8, field.offset + (shift + width).div_ceil(8));
    let own = (end - first).next_power_of_two();
    let (Some(latest), Ok(own_size)) = (size.checked_sub(own), u8::try_from(own)) else { return };
    let offset = first.min(latest);
    let shift = field.offset * 8 + shift - offset * 8;
    if own_size > 8 || shift + width > own * 8 {
        return;
    }
    if own_size != int.size {
        field.ty = Type::Int(Int { size: own_size, signed: int.signed });
    }
    (field.offset, field.bits) = (offset, Some(Bits { shift: shift as u8, width: bits.width }));
}

struct Record {
    rules: Rules,
    /// Where the next member may begin, in bits.
    end: u64,
    /// Of a union, where its longest member ends, in bits.
    largest: u64,
    align: u32,
    named: Vec<Field>,
    flattened: Vec<Field>,
}

impl Record {
    fn add(&mut self, member: Member) -> Option<()> {
        if self.rules.union {
            self.end = 0;
        }
        match member.width {
            Some(width) => self.bitfield(member, width),
            None => self.plain(member)?,
        }
        self.largest = self.largest.max(self.end);
        (self.end / 8 <= MAX_SIZE).then_some(())
    }

    fn plain(&mut self, member: Member) -> Option<()> {
        let align = self.alignment(&member);
        self.align = self.align.max(align);
        let offset = self.end.div_ceil(8).next_multiple_of(u64::from(align));
        self.end = offset.checked_add(member.size)?.checked_mul(8)?;
        let offset = u32::try_from(offset).ok()?;
        match member.name {
            Some(name) => self.named.push(Field { name, ty: member.object.ty, offset, bits: None }),
            None => self.flattened.extend(
                member.inner.into_iter().map(|f| Field { offset: offset.saturating_add(f.offset), ..f }),
            ),
        }
        Some(())
    }

    /// A bitfield goes where the last one ends, unless it would cross a border between integers of its type.
    fn bitfield(&mut self, member: Member, width: u32) {
        let packed = self.rules.packed || member.packed;
        let (unit, bits) = (member.size * 8, u64::from(width));
        if width == 0 {
            // Whatever `packed` and `#pragma pack` say, as with GCC and Clang.
            let align = member.align;
            self.end = self.end.next_multiple_of(u64::from(align.max(member.aligned.unwrap_or(1))) * 8);
            if cfg!(target_arch = "aarch64") {
                self.align = self.align.max(align);
            }
            return;
        }
        let align = self.alignment(&member);
        // `#pragma pack` lets bitfields cross borders too.
        let crosses = self.rules.pack.is_none_or(|pack| pack >= member.align)
            && self.end / unit != (self.end + bits - 1) / unit;
        if let Some(aligned) = member.aligned {
            self.end = self.end.next_multiple_of(u64::from(aligned) * 8);
        } else if !packed && crosses {
            self.end = self.end.next_multiple_of(u64::from(align) * 8);
        }
        let at = self.end;
        self.end += bits;
        if member.name.is_some() || cfg!(target_arch = "aarch64") {
            self.align = self.align.max(align);
        }
        let (Some(name), Some(int), Ok(at)) = (member.name, member.object.ty.as_int(), u32::try_from(at))
        else {
            return;
        };
        self.named.push(bitfield(name, member.object.ty, int, at, width));
    }

    fn alignment(&self, member: &Member) -> u32 {
        let own = if self.rules.packed || member.packed { 1 } else { member.align };
        let own = own.max(member.aligned.unwrap_or(1));
        self.rules.pack.map_or(own, |pack| own.min(pack))
    }
}
