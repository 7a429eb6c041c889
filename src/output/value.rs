//! Values as text: from the bytes that [`layout`] describes to what `print` and `%s` show.

use std::borrow::Cow;
use std::ffi::CStr;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::clocks::Moment;
use super::{Bytes, Names, number, stack};
use crate::types::layout::{
    BUF_DATA, CGROUP_FILTER, INET_ADDRESS, STACK_FRAMES, TIMESTAMP_CLOCK, TIMESTAMP_FORMAT, USTACK_PID,
    USYM_PID, sequence, size_of,
};
use crate::types::{Agg, Bits, Field, Int, Layouts, StackFormat, Type};

/// What a value without parts is, next to the text it shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Leaf {
    /// `Void`, or a member of an unknown type.
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    /// Shown as a name or in hex; JSON has the number.
    Named(u64),
    Float(f64),
    Text,
    /// Bytes, which JSON lists.
    Buffer,
}

/// Shows values. `div` divides the numbers (not pointers, enums) in them: `print(@, 0, 1000)`.
pub(super) struct Show<'s, 'n> {
    pub names: &'s mut Names<'n>,
    pub div: u64,
}

/// The bytes from an offset on, at most so many; fewer at the end.
pub(super) fn part(bytes: &[u8], offset: u32, size: u32) -> &[u8] {
    let rest = bytes.get(offset as usize..).unwrap_or(&[]);
    rest.get(..size as usize).unwrap_or(rest)
}

/// An unsigned integer of up to 8 bytes in native order. Missing bytes are zero.
pub(super) fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    let n = bytes.len().min(8);
    if let (Some(to), Some(from)) = (word.get_mut(..n), bytes.get(..n)) {
        to.copy_from_slice(from);
    }
    // Native order puts a short number's bytes first on little-endian machines and last on big-endian ones.
    if cfg!(target_endian = "big") {
        u64::from_be_bytes(word) >> (64 - 8 * n.max(1))
    } else {
        u64::from_le_bytes(word)
    }
}

/// The 32-bit number at an offset.
pub(super) fn word32(bytes: &[u8], offset: u32) -> u32 {
    word(part(bytes, offset, 4)) as u32
}

/// A number of so many bits, extended by its sign if it has one.
fn extend(value: u64, bits: u32, signed: bool) -> u64 {
    match 64u32.checked_sub(bits) {
        None | Some(0) => value,
        Some(64) => 0,
        Some(unused) if signed => ((value << unused) as i64 >> unused) as u64,
        Some(unused) => value << unused >> unused,
    }
}

/// An integer from its bytes, extended to 64 bits by its own sign.
pub(super) fn integer(bytes: &[u8], int: Int) -> u64 {
    extend(word(part(bytes, 0, u32::from(int.size))), u32::from(int.size) * 8, int.signed)
}

/// A bitfield's value in the same form.
pub(super) fn bitfield(bytes: &[u8], int: Int, bits: Bits) -> u64 {
    let whole = word(part(bytes, 0, u32::from(int.size)));
    let value = whole.checked_shr(u32::from(bits.shift)).unwrap_or(0);
    extend(value, u32::from(bits.width), int.signed)
}

/// A scalar's number, extended to 64 bits by its own sign; `None` for what is not one number.
pub(super) fn scalar(value: Bytes<'_>) -> Option<u64> {
    match value.ty {
        Type::Bool => Some(u64::from(value.bytes.first().is_some_and(|b| *b != 0))),
        Type::Agg(_) => None,
        ty => ty.as_int().map(|int| integer(value.bytes, int)),
    }
}

/// The characters of a string: up to its NUL.
pub(super) fn characters(value: Bytes<'_>) -> &[u8] {
    if value.bare {
        return value.bytes;
    }
    CStr::from_bytes_until_nul(value.bytes).map_or(value.bytes, CStr::to_bytes)
}

/// The bytes of a buffer.
pub(super) fn buffer(value: Bytes<'_>) -> &[u8] {
    if value.bare {
        return value.bytes;
    }
    part(value.bytes, BUF_DATA, word32(value.bytes, 0))
}

/// How a value is built from others.
pub(super) enum Shape<'a> {
    Leaf,
    Array(Vec<Item<'a>>),
    Tuple(Vec<Item<'a>>),
    Record(Vec<(&'a str, Item<'a>)>),
}

/// A part of a value.
pub(super) struct Item<'a> {
    ty: Cow<'a, Type>,
    /// Owned where the value does not lie there in this form: bitfields, statistics.
    bytes: Cow<'a, [u8]>,
}

impl<'a> Item<'a> {
    fn new(ty: &'a Type, bytes: &'a [u8]) -> Self {
        Item { ty: Cow::Borrowed(ty), bytes: Cow::Borrowed(bytes) }
    }

    fn number(value: u64, int: Int) -> Self {
        Item { ty: Cow::Owned(Type::Int(int)), bytes: Cow::Owned(value.to_ne_bytes().to_vec()) }
    }

    pub fn bytes(&self) -> Bytes<'_> {
        Bytes::new(&self.ty, &self.bytes)
    }
}

/// What the numbers in a value's parts are still to be divided by: those of statistics have been.
pub(super) fn parts_div(ty: &Type, div: u64) -> u64 {
    if matches!(ty, Type::Agg(_)) { 1 } else { div }
}

/// Takes a value apart.
pub(super) fn shape<'a>(value: Bytes<'a>, layouts: &'a Layouts, div: u64) -> Shape<'a> {
    let Bytes { ty, bytes, .. } = value;
    match ty {
        Type::Array { elem, len } => {
            let size = size_of(elem, layouts);
            let at = |n: u32| part(bytes, n.saturating_mul(size), size);
            Shape::Array((0..*len).map(|n| Item::new(elem, at(n))).collect())
        }
        Type::Tuple(types) => {
            let offsets = sequence(types, layouts).offsets;
            let items = types.iter().zip(offsets);
            Shape::Tuple(items.map(|(ty, at)| Item::new(ty, part(bytes, at, size_of(ty, layouts)))).collect())
        }
        Type::Record(fields) => {
            let offsets = sequence(fields.iter().map(|(_, ty)| ty), layouts).offsets;
            let items = fields.iter().zip(offsets).map(|((name, ty), at)| {
                (name.as_str(), Item::new(ty, part(bytes, at, size_of(ty, layouts))))
            });
            Shape::Record(items.collect())
        }
        Type::Struct(id) => {
            let fields = layouts.structs.get(id).map_or(&[][..], |s| &s.fields);
            // Members of anonymous members are listed under their own names.
            let named = fields.iter().filter(|f| !f.name.is_empty());
            Shape::Record(named.map(|f| (f.name.as_str(), member(f, bytes, layouts))).collect())
        }
        Type::Agg(agg @ Agg::Stats { signed }) => {
            let words = [word(part(bytes, 8, 8)), average(agg, bytes, div), word(part(bytes, 0, 8))];
            let int = if *signed { Int::I64 } else { Int::U64 };
            let items = ["count", "average", "total"].into_iter().zip([Int::U64, int, int]).zip(words);
            Shape::Record(items.map(|((name, int), word)| (name, Item::number(word, int))).collect())
        }
        _ => Shape::Leaf,
    }
}

fn member<'a>(field: &'a Field, bytes: &'a [u8], layouts: &Layouts) -> Item<'a> {
    let own = part(bytes, field.offset, size_of(&field.ty, layouts));
    match (field.bits, field.ty.as_int()) {
        (Some(bits), Some(int)) => {
            let value = bitfield(own, int, bits);
            Item { ty: Cow::Borrowed(&field.ty), bytes: Cow::Owned(bytes_of(value, int.size)) }
        }
        _ => Item::new(&field.ty, own),
    }
}

/// The last bytes of a number, as an integer of that size holds it.
fn bytes_of(value: u64, size: u8) -> Vec<u8> {
    match size {
        1 => (value as u8).to_ne_bytes().to_vec(),
        2 => (value as u16).to_ne_bytes().to_vec(),
        4 => (value as u32).to_ne_bytes().to_vec(),
        _ => value.to_ne_bytes().to_vec(),
    }
}

/// The average that `avg` and `stats` keep as sum and count.
fn average(agg: &Agg, bytes: &[u8], div: u64) -> u64 {
    let (sum, count) = (word(part(bytes, 0, 8)), word(part(bytes, 8, 8)));
    if matches!(agg, Agg::Avg { signed: true } | Agg::Stats { signed: true }) {
        divide(divide(sum as i64, count), div) as u64
    } else {
        sum.checked_div(count).unwrap_or(0) / div
    }
}

/// Signed division that neither overflows nor fails.
fn divide(value: i64, by: u64) -> i64 {
    i64::try_from(by).map_or(0, |by| value.checked_div(by).unwrap_or(0))
}

/// The one number that an aggregation shows, and whether it is signed.
fn summary(agg: &Agg, bytes: &[u8], div: u64) -> (u64, bool) {
    let first = word(part(bytes, 0, 8));
    match *agg {
        Agg::Count | Agg::Hist { .. } | Agg::LHist { .. } | Agg::TSeries { .. } => (first / div, false),
        Agg::Sum { signed } | Agg::Min { signed } | Agg::Max { signed } => {
            (if signed { divide(first as i64, div) as u64 } else { first / div }, signed)
        }
        Agg::Avg { signed } | Agg::Stats { signed } => (average(agg, bytes, div), signed),
    }
}

impl Show<'_, '_> {
    /// Appends a value as `print` shows it.
    pub fn text(&mut self, out: &mut Vec<u8>, value: Bytes<'_>) {
        let manifest = self.names.manifest;
        let shape = shape(value, &manifest.layouts, self.div);
        let mut parts = Show { names: &mut *self.names, div: parts_div(value.ty, self.div) };
        match shape {
            Shape::Leaf => {
                self.leaf(out, value);
            }
            Shape::Array(items) => parts.items(out, [b"[", b",", b"]"], &items),
            Shape::Tuple(items) => parts.items(out, [b"(", b", ", b")"], &items),
            Shape::Record(members) if members.is_empty() => out.extend_from_slice(b"{}"),
            Shape::Record(members) => {
                for (n, (name, item)) in members.iter().enumerate() {
                    out.extend_from_slice(if n == 0 { b"{ ." } else { b", ." });
                    out.extend_from_slice(name.as_bytes());
                    out.extend_from_slice(b" = ");
                    parts.text(out, item.bytes());
                }
                out.extend_from_slice(b" }");
            }
        }
    }

    fn items(&mut self, out: &mut Vec<u8>, [open, between, close]: [&[u8]; 3], items: &[Item<'_>]) {
        out.extend_from_slice(open);
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                out.extend_from_slice(between);
            }
            self.text(out, item.bytes());
        }
        out.extend_from_slice(close);
    }

    /// A map's key: a tuple goes without its parentheses.
    pub fn key(&mut self, out: &mut Vec<u8>, key: Bytes<'_>) {
        let manifest = self.names.manifest;
        match shape(key, &manifest.layouts, 1) {
            Shape::Tuple(items) => self.items(out, [b"", b", ", b""], &items),
            _ => self.text(out, key),
        }
    }

    /// Appends the text of a value without parts, and says what it is.
    pub fn leaf(&mut self, out: &mut Vec<u8>, value: Bytes<'_>) -> Leaf {
        let Bytes { ty, bytes, .. } = value;
        match ty {
            Type::Void | Type::Array { .. } | Type::Tuple(_) | Type::Record(_) | Type::Struct(_) => {
                out.extend_from_slice(b"null");
                return Leaf::Null;
            }
            Type::Bool => {
                let set = bytes.first().is_some_and(|b| *b != 0);
                out.extend_from_slice(if set { b"true" } else { b"false" });
                return Leaf::Bool(set);
            }
            Type::Int(int) => {
                let n = integer(bytes, *int);
                return if int.signed {
                    self.signed(out, divide(n as i64, self.div))
                } else {
                    self.unsigned(out, n / self.div)
                };
            }
            Type::Agg(agg) => {
                let (n, signed) = summary(agg, bytes, self.div);
                return if signed { self.signed(out, n as i64) } else { self.unsigned(out, n) };
            }
            Type::Enum { id, int } => {
                let n = integer(bytes, *int);
                let values = self.names.manifest.layouts.enums.get(id).map_or(&[][..], |e| &e.values);
                // Which sign the table's numbers have depends on where they come from.
                let bits = u32::from(int.size) * 8;
                let low = extend(n, bits, false);
                match values.iter().find(|(_, v)| extend(*v as u64, bits, false) == low) {
                    Some((name, _)) => out.extend_from_slice(name.as_bytes()),
                    None if int.signed => number::signed(out, n as i64),
                    None => number::unsigned(out, n),
                }
                return Leaf::Named(n);
            }
            Type::Ptr { .. } => {
                let n = word(part(bytes, 0, 8));
                address(out, n);
                return Leaf::Named(n);
            }
            Type::Str(size) => {
                let text = characters(value);
                out.extend_from_slice(text);
                if self.names.config.is_cut(text.len(), *size) {
                    out.extend_from_slice(self.names.config.str_trunc_trailer.as_bytes());
                }
            }
            Type::Buf(_) => {
                escaped(out, buffer(value));
                return Leaf::Buffer;
            }
            Type::Float { .. } => {
                let n = float(bytes).unwrap_or(f64::NAN);
                return self.float(out, n, bytes.len() == 4);
            }
            Type::Inet => inet(out, bytes),
            Type::Mac => {
                for (n, byte) in part(bytes, 0, 6).iter().enumerate() {
                    if n > 0 {
                        out.push(b':');
                    }
                    number::upper_hex_byte(out, *byte);
                }
            }
            Type::KSym => {
                let at = word(part(bytes, 0, 8));
                match self.names.symbols.kernel(at) {
                    Some(symbol) => out.extend_from_slice(symbol.name.as_bytes()),
                    None => address(out, at),
                }
            }
            Type::USym => {
                let (at, pid) = (word(part(bytes, 0, 8)), word32(bytes, USYM_PID));
                match self.names.symbols.user(pid, at) {
                    Some(symbol) => out.extend_from_slice(symbol.name.as_bytes()),
                    None => address(out, at),
                }
            }
            Type::KStack(format) => self.stack(out, *format, None, bytes),
            Type::UStack(format) => self.stack(out, *format, Some(word32(bytes, USTACK_PID)), bytes),
            Type::Username => {
                let uid = word32(bytes, 0);
                out.extend_from_slice(self.names.lookups.user(uid));
            }
            Type::ProbeName => {
                let name = self.names.manifest.probe_names.get(word32(bytes, 0) as usize);
                out.extend_from_slice(name.map_or("?", String::as_str).as_bytes());
            }
            Type::Timestamp => {
                let format = word32(bytes, TIMESTAMP_FORMAT);
                let clock = word32(bytes, TIMESTAMP_CLOCK);
                let manifest = self.names.manifest;
                if let Some(text) = manifest.strings.get(format as usize) {
                    let at = Moment { clock, nanoseconds: word(part(bytes, 0, 8)) };
                    self.names.lookups.clocks.show(out, text, at);
                }
            }
            Type::CgroupPath => {
                let id = word(part(bytes, 0, 8));
                let manifest = self.names.manifest;
                let filter = manifest.strings.get(word32(bytes, CGROUP_FILTER) as usize);
                self.names.lookups.cgroups.show(out, id, filter.map_or("*", String::as_str));
            }
        }
        Leaf::Text
    }

    fn signed(&self, out: &mut Vec<u8>, n: i64) -> Leaf {
        number::signed(out, n);
        Leaf::Signed(n)
    }

    /// The shortest text that stands for just this number.
    fn float(&self, out: &mut Vec<u8>, n: f64, short: bool) -> Leaf {
        let n = if self.div > 1 { n / self.div as f64 } else { n };
        let text = if short { format!("{:?}", n as f32) } else { format!("{n:?}") };
        out.extend_from_slice(text.to_ascii_lowercase().as_bytes());
        Leaf::Float(n)
    }

    fn unsigned(&self, out: &mut Vec<u8>, n: u64) -> Leaf {
        number::unsigned(out, n);
        Leaf::Unsigned(n)
    }

    fn stack(&mut self, out: &mut Vec<u8>, format: StackFormat, pid: Option<u32>, bytes: &[u8]) {
        let id = word(part(bytes, 0, 8));
        let count = word32(bytes, STACK_FRAMES) as usize;
        let mut frames = if count == 0 { vec![] } else { (self.names.frames)(format.limit, id) };
        if count > 0 && frames.is_empty() {
            return stack::lost(out);
        }
        frames.truncate(count);
        match pid {
            Some(pid) => stack::user(out, format.mode, pid, &frames, self.names.symbols),
            None => stack::kernel(out, format.mode, &frames, self.names.symbols),
        }
    }
}

/// The number of a [`Type::Float`]'s bytes.
pub(super) fn float(bytes: &[u8]) -> Option<f64> {
    match bytes.len() {
        4 => bytes.first_chunk().map(|bytes| f32::from_ne_bytes(*bytes).into()),
        _ => bytes.first_chunk().map(|bytes| f64::from_ne_bytes(*bytes)),
    }
}

/// `0x` and hex digits.
pub(super) fn address(out: &mut Vec<u8>, address: u64) {
    out.extend_from_slice(b"0x");
    number::hex(out, address);
}

/// Printable ASCII as it is, all other bytes as `\x..`.
pub(super) fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b' '..=b'~' => out.push(*byte),
            _ => {
                out.extend_from_slice(b"\\x");
                number::hex_byte(out, *byte);
            }
        }
    }
}

fn inet(out: &mut Vec<u8>, bytes: &[u8]) {
    let address = part(bytes, INET_ADDRESS, 16);
    let text = match word32(bytes, 0) as i32 {
        libc::AF_INET => match address.first_chunk::<4>() {
            Some(octets) => Ipv4Addr::from(*octets).to_string(),
            None => return,
        },
        libc::AF_INET6 => match address.first_chunk::<16>() {
            Some(octets) => Ipv6Addr::from(*octets).to_string(),
            None => return,
        },
        _ => return,
    };
    out.extend_from_slice(text.as_bytes());
}
