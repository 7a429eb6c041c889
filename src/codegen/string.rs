//! Strings and other sequences of bytes: reading, copying, comparing.

use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::debug::Param;
use super::expr::Padding;
use super::helpers::id;
use super::llvm::Result;
use super::loops::{SHARED_BYTES, number_param, pointer_param};
use super::memory::{Mem, word};
use super::place::Address;
use super::program::Gen;
use crate::ir::{Expr, ExprKind};
use crate::kernel::Feature;
use crate::types::layout::{BUF_DATA, sequence};
use crate::types::{Int, Space, Type};

/// Comparisons of up to this many bytes are written out, longer ones are loops.
const UNROLLED_BYTES: u32 = 128;
/// How many rounds of a comparing loop the verifier is made to walk through, where `bpf_loop` can do it instead.
const WALKED_WORDS: u32 = 1024;

impl<'g, 'c> Gen<'g, 'c> {
    /// Writes a constant string and its NUL.
    pub(super) fn write_string(
        &mut self,
        to: Mem<'c>,
        bytes: &[u8],
        size: u32,
        padding: Padding,
    ) -> Result<()> {
        let room = size.saturating_sub(1) as usize;
        let bytes = bytes.get(..room).unwrap_or(bytes);
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let whole = padding == Padding::Zero || to.on_stack;
        let written = if whole { size } else { (len + 1).min(size) };
        self.write_bytes(to, bytes, written)
    }

    /// Reads a string up to its NUL, "" if it cannot be read. The result is the helper's: the length with the NUL,
    /// or negative.
    pub(super) fn read_string(
        &mut self,
        to: Mem<'c>,
        size: u32,
        address: IntValue<'c>,
        len: Option<IntValue<'c>>,
        space: Space,
        padding: Padding,
    ) -> Result<IntValue<'c>> {
        let ll = self.ll;
        // Where the helper may write less than all, the verifier does not count on any of it.
        if padding == Padding::Zero || (to.on_stack && len.is_some()) {
            self.zero(to, size)?;
        }
        let size = match len {
            Some(len) => {
                // Of no bytes at all, the helper writes none.
                ll.store(to.ptr, ll.imm(0), 1, 1)?;
                ll.bound(len, u64::from(size))?
            }
            None => ll.imm(u64::from(size)),
        };
        let args = [to.ptr.into(), size.into(), address.into()];
        self.read_with((id::PROBE_READ_USER_STR, id::PROBE_READ_KERNEL_STR), address, space, &args)
    }

    /// Calls the helper for user or the one for kernel memory. Where the script does not say which it is, a probe in
    /// the kernel may have got the address from either (a system call's argument, kept in a map), and the address
    /// tells: the kernel's are those of the upper half.
    fn read_with(
        &mut self,
        (user, kernel): (u32, u32),
        address: IntValue<'c>,
        space: Space,
        args: &[super::llvm::Arg<'c>],
    ) -> Result<IntValue<'c>> {
        // Where the upper half begins on x86_64; arm64's processors look at this bit, above it may be a tag.
        const UPPER: u64 = if cfg!(target_arch = "aarch64") { 1 << 55 } else { 1 << 63 };
        let read = |g: &mut Self, helper: u32| {
            let result = g.ll.helper(helper, args)?;
            g.check_helper(helper, result)?;
            Ok(result)
        };
        match (space, self.space(space)) {
            (_, Space::User) => read(self, user),
            // A number in the script is nobody's address.
            (Space::Unknown, _) if !address.is_const() => {
                let upper = self.ll.builder.build_and(address, self.ll.imm(UPPER), "")?;
                let is_user = self.ll.compare(IntPredicate::EQ, upper, self.ll.imm(0))?;
                self.choose(is_user, |g| read(g, user), |g| read(g, kernel))
            }
            _ => read(self, kernel),
        }
    }

    pub(super) fn read_string_place(
        &mut self,
        to: Mem<'c>,
        size: u32,
        address: &Address<'c>,
        padding: Padding,
    ) -> Result<()> {
        let from = self.address_of(address)?;
        self.read_string(to, size, from, None, self.space_of(address), padding).map(drop)
    }

    pub(super) fn read_buffer(
        &mut self,
        to: Mem<'c>,
        len: IntValue<'c>,
        address: IntValue<'c>,
        space: Space,
    ) -> Result<()> {
        let args = [to.ptr.into(), len.into(), address.into()];
        self.read_with((id::PROBE_READ_USER, id::PROBE_READ_KERNEL), address, space, &args).map(drop)
    }

    /// Copies a string up to its NUL; the place's size may be another.
    pub(super) fn copy_string(
        &mut self,
        to: Mem<'c>,
        to_size: u32,
        from: Mem<'c>,
        from_size: u32,
        padding: Padding,
    ) -> Result<()> {
        if padding == Padding::Undefined && from_size <= to_size && from_size <= 32 {
            self.copy(to, from, from_size)?;
            return if to.on_stack && from_size < to_size {
                self.zero(self.part(to, from_size)?, to_size - from_size)
            } else {
                Ok(())
            };
        }
        if padding == Padding::Zero {
            self.zero(to, to_size)?;
        }
        self.copy_text(to, to_size.min(from_size), from.ptr.into()).map(drop)
    }

    /// Copies a string within BPF memory; the result is its length with the NUL.
    pub(super) fn copy_text(
        &mut self,
        to: Mem<'c>,
        size: u32,
        from: super::llvm::Arg<'c>,
    ) -> Result<IntValue<'c>> {
        let args = [to.ptr.into(), self.ll.imm(u64::from(size)).into(), from];
        self.ll.helper(id::PROBE_READ_KERNEL_STR, &args)
    }

    /// Writes a string or buffer without its padding at a place that has room for all of its type, and says how
    /// many bytes it has: what a record carries of it.
    pub(super) fn append(&mut self, expr: &'g Expr, to: Mem<'c>) -> Result<IntValue<'c>> {
        let ll = self.ll;
        let size = self.size_of(&expr.ty);
        match (&expr.kind, &expr.ty) {
            (ExprKind::ReadString { address, len, space }, Type::Str(n)) => {
                let address = self.scalar(address)?;
                let len = len.as_deref().map(|len| self.scalar(len)).transpose()?;
                self.locate(expr.span);
                let result = self.read_string(to, *n, address, len, *space, Padding::Undefined)?;
                self.text_length(result, *n)
            }
            (ExprKind::Bytes(bytes), Type::Str(n)) => {
                let room = n.saturating_sub(1) as usize;
                let bytes = bytes.get(..room).unwrap_or(bytes);
                self.write_bytes(to, bytes, u32::try_from(bytes.len()).unwrap_or(0))?;
                Ok(ll.imm(bytes.len() as u64))
            }
            (ExprKind::ReadBuffer { address, len, space }, Type::Buf(n)) => {
                let address = self.scalar(address)?;
                let len = self.scalar(len)?;
                self.locate(expr.span);
                let len = ll.bound(len, u64::from(*n))?;
                self.read_buffer(to, len, address, self.space(*space))?;
                Ok(len)
            }
            // What is shorter has room, and no more bytes for being called longer.
            (ExprKind::Cast(operand), _) if self.size_of(&operand.ty) <= size => self.append(operand, to),
            (ExprKind::Select { condition, then, otherwise }, ty)
                if then.ty == *ty && otherwise.ty == *ty =>
            {
                let condition = self.truth(condition)?;
                self.choose(
                    condition,
                    |g| g.scoped(|g| g.append(then, to)),
                    |g| g.scoped(|g| g.append(otherwise, to)),
                )
            }
            (_, Type::Buf(n)) => {
                let from = self.memory(expr)?;
                let len = ll.load(from.ptr, Int::U32, from.align)?;
                let len = ll.bound(len, u64::from(*n))?;
                let data = ll.at(from.ptr, u64::from(BUF_DATA))?;
                ll.helper(id::PROBE_READ_KERNEL, &[to.ptr.into(), len.into(), data.into()])?;
                Ok(len)
            }
            _ => {
                let from = self.memory(expr)?;
                let result = self.copy_text(to, size, from.ptr.into())?;
                self.text_length(result, size)
            }
        }
    }

    /// From the result of a helper that reads a string: the bytes before the NUL.
    pub(super) fn text_length(&self, result: IntValue<'c>, size: u32) -> Result<IntValue<'c>> {
        let ll = self.ll;
        let some = ll.compare(IntPredicate::SGT, result, ll.imm(0))?;
        let len = ll.builder.build_int_sub(result, ll.imm(1), "")?;
        let len = ll.select(some, len, ll.imm(0))?;
        ll.bound(len, u64::from(size.saturating_sub(1)))
    }

    /// Zeroes what is behind the end of each string and buffer in a value.
    pub(super) fn pad(&mut self, mem: Mem<'c>, ty: &Type) -> Result<()> {
        match ty {
            Type::Str(n) => self.scoped(|g| {
                let copy = g.temp(*n)?;
                g.copy(copy, mem, *n)?;
                g.copy_string(mem, *n, copy, *n, Padding::Zero)
            }),
            Type::Buf(n) => self.scoped(|g| {
                let len = g.ll.load(mem.ptr, Int::U32, mem.align)?;
                let len = g.ll.bound(len, u64::from(*n))?;
                let (copy, data) = (g.temp(*n)?, g.part(mem, BUF_DATA)?);
                g.copy(copy, data, *n)?;
                g.zero(data, *n)?;
                g.read_buffer(data, len, g.ll.address(copy.ptr)?, Space::Kernel)
            }),
            Type::Tuple(types) => {
                let offsets = sequence(types, &self.program.layouts).offsets;
                for (ty, offset) in types.iter().zip(offsets) {
                    self.pad(self.part(mem, offset)?, ty)?;
                }
                Ok(())
            }
            Type::Record(fields) => {
                let offsets = sequence(fields.iter().map(|(_, ty)| ty), &self.program.layouts).offsets;
                for ((_, ty), offset) in fields.iter().zip(offsets) {
                    self.pad(self.part(mem, offset)?, ty)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether two strings are equal, as 0 or 1.
    pub(super) fn string_equal(
        &mut self,
        left: &'g Expr,
        right: &'g Expr,
        limit: Option<u32>,
    ) -> Result<IntValue<'c>> {
        match (&left.kind, &right.kind) {
            (_, ExprKind::Bytes(bytes)) => self.equals_literal(left, bytes, limit),
            (ExprKind::Bytes(bytes), _) => self.equals_literal(right, bytes, limit),
            _ => {
                let (a, b) = (self.memory(left)?, self.memory(right)?);
                let (size_a, size_b) = (self.size_of(&left.ty), self.size_of(&right.ty));
                let size = size_a.min(size_b);
                self.compare_text(a, b, limit.map_or(size, |limit| limit.min(size)))
            }
        }
    }

    fn equals_literal(&mut self, text: &'g Expr, literal: &[u8], limit: Option<u32>) -> Result<IntValue<'c>> {
        let ll = self.ll;
        let len = u32::try_from(literal.len()).unwrap_or(u32::MAX - 1);
        // With its NUL, unless the limit ends it sooner.
        let compared = limit.map_or(len + 1, |limit| limit.min(len + 1));
        let size = self.size_of(&text.ty);
        if compared == 0 || compared > size {
            // Its NUL comes sooner. It may still do something: `strncmp({ $n++; $s }, "", 0)`.
            self.memory(text)?;
            return Ok(ll.imm((compared == 0).into()));
        }
        let mem = match &text.kind {
            // One byte more than is compared tells a longer string from an equal one; the rest is not read.
            ExprKind::ReadString { address, len: None, space } if compared < size => {
                let read = (compared + 1).min(size);
                let address = self.scalar(address)?;
                self.locate(text.span);
                let to = self.temp(read)?;
                self.read_string(to, read, address, None, self.space(*space), Padding::Undefined)?;
                to
            }
            _ => self.memory(text)?,
        };
        if compared > UNROLLED_BYTES {
            let constant = self.object.constant(ll, &[literal, b"\0"].concat())?;
            return self.compare_text(mem, Mem { ptr: constant, align: 8, on_stack: false }, compared);
        }
        self.equals_bytes(mem, literal, compared)
    }

    /// Whether memory begins with these bytes, zeros behind their end, as 0 or 1.
    pub(super) fn equals_bytes(&mut self, mem: Mem<'c>, bytes: &[u8], compared: u32) -> Result<IntValue<'c>> {
        let ll = self.ll;
        // All differences, gathered: one branch instead of one a piece.
        let mut differences = ll.imm(0);
        for (at, piece) in Self::pieces(mem.align, compared) {
            let int = Int { size: piece as u8, signed: false };
            let value = ll.load(self.part(mem, at)?.ptr, int, piece)?;
            let expected = ll.imm(word(bytes, at, piece));
            let difference = ll.builder.build_xor(value, expected, "")?;
            differences = ll.builder.build_or(differences, difference, "")?;
        }
        ll.flag(ll.compare(IntPredicate::EQ, differences, ll.imm(0))?)
    }

    /// Compares two strings of at most `size` bytes each, eight at a time.
    pub(super) fn compare_text(&mut self, a: Mem<'c>, b: Mem<'c>, size: u32) -> Result<IntValue<'c>> {
        let (words, rest) = (size / 8, size % 8);
        if words > WALKED_WORDS && self.has(Feature::Loop) {
            return self.compare_text_outlined(a, b, size);
        }
        let (a, b) = (self.indexable(a, size)?, self.indexable(b, size)?);
        let ll = self.ll;
        let (head, body, next, tail) =
            (ll.block("compare")?, ll.block("word")?, ll.block("next")?, ll.block("tail")?);
        let (equal, differ, done) = (ll.block("equal")?, ll.block("differ")?, ll.block("compared")?);
        let start = ll.here()?;
        ll.jump(head)?;
        ll.enter(head);
        let counter = ll.builder.build_phi(ll.i64, "")?;
        counter.add_incoming(&[(&ll.imm(0), start)]);
        let at = counter.as_basic_value().into_int_value();
        let more = ll.compare(IntPredicate::ULT, at, ll.imm(u64::from(words) * 8))?;
        ll.branch(more, body, tail)?;
        ll.enter(body);
        let (x, y) = (self.word_at(a, at)?, self.word_at(b, at)?);
        let verdict = self.compare_words(x, y)?;
        let undecided = ll.block("undecided")?;
        let decided = ll.compare(IntPredicate::NE, verdict, ll.imm(UNDECIDED))?;
        let which = ll.block("decided")?;
        ll.branch(decided, which, undecided)?;
        ll.enter(which);
        let same = ll.compare(IntPredicate::EQ, verdict, ll.imm(EQUAL))?;
        ll.branch(same, equal, differ)?;
        ll.enter(undecided);
        ll.jump(next)?;
        ll.enter(next);
        let following = ll.builder.build_int_add(at, ll.imm(8), "")?;
        counter.add_incoming(&[(&following, next)]);
        ll.jump(head)?;
        ll.enter(tail);
        for n in 0..rest {
            let at = words * 8 + n;
            let x = ll.load(self.part(a, at)?.ptr, Int::U8, 1)?;
            let y = ll.load(self.part(b, at)?.ptr, Int::U8, 1)?;
            let (same, more) = (ll.block("same")?, ll.block("more")?);
            ll.branch(ll.compare(IntPredicate::EQ, x, y)?, same, differ)?;
            ll.enter(same);
            ll.branch(ll.is_true(x)?, more, equal)?;
            ll.enter(more);
        }
        ll.jump(equal)?;
        ll.enter(equal);
        ll.jump(done)?;
        ll.enter(differ);
        ll.jump(done)?;
        ll.enter(done);
        ll.phi(&[(ll.imm(1), equal), (ll.imm(0), differ)])
    }

    /// [`Gen::compare_text`] for strings that the verifier is not to walk through.
    fn compare_text_outlined(&mut self, a: Mem<'c>, b: Mem<'c>, size: u32) -> Result<IntValue<'c>> {
        let ll = self.ll;
        let (a, b) = (self.indexable(a, size)?, self.indexable(b, size)?);
        let words = size / 8;
        let frame = self.shared_frame(3)?;
        let at = |frame, n: u32| ll.at(frame, u64::from(SHARED_BYTES + 8 * n));
        ll.builder.build_store(at(frame, 0)?, a.ptr)?;
        ll.builder.build_store(at(frame, 1)?, b.ptr)?;
        ll.store(at(frame, 2)?, ll.imm(UNDECIDED), 8, 8)?;
        let params = [Param::number("round"), Param::pointer("frame")];
        let align = a.align.min(b.align);
        let function = self.outline(&params, self.place, |g, function| {
            let frame = pointer_param(function, 1)?;
            let string = |n| -> Result<Mem<'c>> {
                let ptr = ll.builder.build_load(ll.ptr, at(frame, n)?, "")?.into_pointer_value();
                Ok(Mem { ptr, align, on_stack: false })
            };
            let (a, b) = (string(0)?, string(1)?);
            let round = ll.bound(number_param(function, 0)?, u64::from(words - 1))?;
            let offset = ll.builder.build_left_shift(round, ll.imm(3), "")?;
            let verdict = g.compare_words(g.word_at(a, offset)?, g.word_at(b, offset)?)?;
            ll.store(at(frame, 2)?, verdict, 8, 8)?;
            let decided = ll.compare(IntPredicate::NE, verdict, ll.imm(UNDECIDED))?;
            let (stop, go_on) = (ll.block("stop")?, ll.block("go_on")?);
            ll.branch(decided, stop, go_on)?;
            ll.enter(stop);
            ll.builder.build_return(Some(&ll.imm(1)))?;
            ll.enter(go_on);
            Ok(())
        })?;
        let args = [ll.imm(u64::from(words)).into(), function.into(), frame.into(), ll.imm(0).into()];
        ll.helper(id::LOOP, &args)?;
        let verdict = ll.load(at(frame, 2)?, Int::U64, 8)?;
        self.release_stack(frame);
        let undecided = ll.compare(IntPredicate::EQ, verdict, ll.imm(UNDECIDED))?;
        let rest = size % 8;
        self.choose(
            undecided,
            |g| {
                let (a, b) = (g.part(a, words * 8)?, g.part(b, words * 8)?);
                g.compare_text(a, b, rest)
            },
            |_| Ok(verdict),
        )
    }

    /// Memory that may be read at an offset that is not constant.
    pub(super) fn indexable(&mut self, mem: Mem<'c>, size: u32) -> Result<Mem<'c>> {
        if !mem.on_stack {
            return Ok(mem);
        }
        let copy = self.scratch_temp(size)?;
        self.copy(copy, mem, size)?;
        Ok(copy)
    }

    pub(super) fn word_at(&self, mem: Mem<'c>, at: IntValue<'c>) -> Result<IntValue<'c>> {
        self.ll.load(self.ll.at_dynamic(mem.ptr, at)?, Int::U64, mem.align)
    }

    /// What eight bytes of two strings say: [`EQUAL`] or [`DIFFERENT`] if they differ or end, else [`UNDECIDED`].
    pub(super) fn compare_words(&self, x: IntValue<'c>, y: IntValue<'c>) -> Result<IntValue<'c>> {
        let (ll, b) = (self.ll, &self.ll.builder);
        let (x, y) =
            if cfg!(target_endian = "big") { (self.swap_bytes(x)?, self.swap_bytes(y)?) } else { (x, y) };
        let difference = b.build_xor(x, y, "")?;
        // The highest bit of each byte that is zero, and perhaps of bytes above the first of those.
        let lower = b.build_int_sub(x, ll.imm(0x0101_0101_0101_0101), "")?;
        let zeros = b.build_and(lower, b.build_not(x, "")?, "")?;
        let zeros = b.build_and(zeros, ll.imm(0x8080_8080_8080_8080), "")?;
        // All bits up to the lowest of those: the bytes of the string and its NUL. All bits if there is none.
        let text = b.build_xor(zeros, b.build_int_sub(zeros, ll.imm(1), "")?, "")?;
        let visible = b.build_and(difference, text, "")?;
        let ends = ll.is_true(zeros)?;
        let verdict = ll.select(ends, ll.imm(EQUAL), ll.imm(UNDECIDED))?;
        ll.select(ll.is_true(visible)?, ll.imm(DIFFERENT), verdict)
    }

    pub(super) fn swap_bytes(&self, value: IntValue<'c>) -> Result<IntValue<'c>> {
        let b = &self.ll.builder;
        let mut result = self.ll.imm(0);
        for n in 0..8 {
            let byte = b.build_right_shift(value, self.ll.imm(8 * n), false, "")?;
            let byte = b.build_and(byte, self.ll.imm(0xff), "")?;
            let byte = b.build_left_shift(byte, self.ll.imm(56 - 8 * n), "")?;
            result = b.build_or(result, byte, "")?;
        }
        Ok(result)
    }

    /// Whether two values are equal in all their bytes, as 0 or 1.
    pub(super) fn bytes_equal(&mut self, left: &'g Expr, right: &'g Expr) -> Result<IntValue<'c>> {
        let ll = self.ll;
        let (size, other) = (self.size_of(&left.ty), self.size_of(&right.ty));
        if size != other {
            return Ok(ll.imm(0));
        }
        let (a, b) = (self.temp(size)?, self.temp(size)?);
        self.scoped(|g| g.write(left, a, Padding::Zero))?;
        self.scoped(|g| g.write(right, b, Padding::Zero))?;
        if size > UNROLLED_BYTES {
            return self.compare_bytes(a, b, size);
        }
        let mut differences = ll.imm(0);
        for (at, piece) in Self::pieces(a.align.min(b.align), size) {
            let int = Int { size: piece as u8, signed: false };
            let x = ll.load(self.part(a, at)?.ptr, int, piece)?;
            let y = ll.load(self.part(b, at)?.ptr, int, piece)?;
            let difference = ll.builder.build_xor(x, y, "")?;
            differences = ll.builder.build_or(differences, difference, "")?;
        }
        ll.flag(ll.compare(IntPredicate::EQ, differences, ll.imm(0))?)
    }

    /// As [`Gen::compare_text`], but without an end.
    fn compare_bytes(&mut self, a: Mem<'c>, b: Mem<'c>, size: u32) -> Result<IntValue<'c>> {
        let ll = self.ll;
        let words = size / 8;
        let mut differences = ll.imm(0);
        for n in words * 8..size {
            let x = ll.load(self.part(a, n)?.ptr, Int::U8, 1)?;
            let y = ll.load(self.part(b, n)?.ptr, Int::U8, 1)?;
            differences = ll.builder.build_or(differences, ll.builder.build_xor(x, y, "")?, "")?;
        }
        let (head, body, done) = (ll.block("compare")?, ll.block("word")?, ll.block("compared")?);
        let start = ll.here()?;
        ll.jump(head)?;
        ll.enter(head);
        let (counter, found) = (ll.builder.build_phi(ll.i64, "")?, ll.builder.build_phi(ll.i64, "")?);
        counter.add_incoming(&[(&ll.imm(0), start)]);
        found.add_incoming(&[(&differences, start)]);
        let at = counter.as_basic_value().into_int_value();
        let so_far = found.as_basic_value().into_int_value();
        let more = ll.compare(IntPredicate::ULT, at, ll.imm(u64::from(words) * 8))?;
        ll.branch(more, body, done)?;
        ll.enter(body);
        let difference = ll.builder.build_xor(self.word_at(a, at)?, self.word_at(b, at)?, "")?;
        let after = ll.builder.build_or(so_far, difference, "")?;
        let following = ll.builder.build_int_add(at, ll.imm(8), "")?;
        counter.add_incoming(&[(&following, body)]);
        found.add_incoming(&[(&after, body)]);
        ll.jump(head)?;
        ll.enter(done);
        ll.flag(ll.compare(IntPredicate::EQ, so_far, ll.imm(0))?)
    }
}

/// Verdicts of [`Gen::compare_words`].
pub(super) const DIFFERENT: u64 = 0;
pub(super) const EQUAL: u64 = 1;
pub(super) const UNDECIDED: u64 = 2;
