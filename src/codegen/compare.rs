//! Whether strings and bytes are equal.

use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::debug::Param;
use super::expr::Padding;
use super::helpers::id;
use super::llvm::Result;
use super::loops::{SHARED_BYTES, number_param, pointer_param};
use super::memory::{Mem, word};
use super::program::Gen;
use crate::ir::{Expr, ExprKind};
use crate::kernel::Feature;
use crate::types::Int;

/// Comparisons of up to this many bytes are written out, longer ones are loops.
const UNROLLED_BYTES: u32 = 128;
/// How many rounds of a comparing loop the verifier is made to walk through, where `bpf_loop` can do it instead.
const WALKED_WORDS: u32 = 1024;

impl<'g, 'c> Gen<'g, 'c> {
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
        let (equal, differ, done) = (ll.block("equal")?, ll.block("differ")?, ll.block("compared")?);
        self.counted((u64::from(words) * 8, 8), |g, at, _| {
            let (x, y) = (g.word_at(a, at)?, g.word_at(b, at)?);
            let verdict = g.compare_words(x, y)?;
            let (which, undecided) = (ll.block("decided")?, ll.block("undecided")?);
            let decided = ll.compare(IntPredicate::NE, verdict, ll.imm(UNDECIDED))?;
            ll.branch(decided, which, undecided)?;
            ll.enter(which);
            let same = ll.compare(IntPredicate::EQ, verdict, ll.imm(EQUAL))?;
            ll.branch(same, equal, differ)?;
            ll.enter(undecided);
            Ok(())
        })?;
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
        let all = self.folded((u64::from(words) * 8, 8), differences, |g, at, so_far, _| {
            let difference = ll.builder.build_xor(g.word_at(a, at)?, g.word_at(b, at)?, "")?;
            Ok(ll.builder.build_or(so_far, difference, "")?)
        })?;
        ll.flag(ll.compare(IntPredicate::EQ, all, ll.imm(0))?)
    }
}

/// Verdicts of [`Gen::compare_words`].
pub(super) const DIFFERENT: u64 = 0;
pub(super) const EQUAL: u64 = 1;
pub(super) const UNDECIDED: u64 = 2;
