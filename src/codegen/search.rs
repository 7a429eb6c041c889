//! What else is done with strings and bytes than to read, copy and compare them: length, search, order, concatenation.
//!
//! Everything works on words of eight bytes, the first byte in a word's low bits. Only so many rounds of a loop are
//! written out for the verifier to walk through; longer ones are left to `bpf_loop`.

use inkwell::IntPredicate;
use inkwell::values::{IntValue, PointerValue};

use super::debug::Param;
use super::expr::Padding;
use super::helpers::id;
use super::llvm::Result;
use super::loops::{SHARED_BYTES, number_param, pointer_param};
use super::memory::{Mem, word};
use super::program::Gen;
use super::rounds::Kept;
use crate::ir::{Expr, ExprKind, Names, WALKED_LITERAL, WALKED_NEEDLE};
use crate::kernel::Feature;
use crate::types::Int;

/// Loops of up to so many rounds are walked through by the verifier even where `bpf_loop` could run them: each call of
/// its function costs more than a round.
const WALKED_ROUNDS: u32 = 32;
/// The lowest bit of each byte of a word, and the highest.
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
const NOT_FOUND: u64 = u64::MAX;

/// What is searched for.
struct Needle<'g, 'c> {
    /// Its first eight bytes, zeros where it has fewer.
    first: IntValue<'c>,
    /// Which of them there are.
    mask: IntValue<'c>,
    len: IntValue<'c>,
    rest: Rest<'g, 'c>,
}

/// What of a needle is behind its first eight bytes.
#[derive(Clone, Copy)]
enum Rest<'g, 'c> {
    Nothing,
    /// Bytes that are known.
    Literal(&'g [u8]),
    /// All of it, in memory, with the size of its type: a loop in a loop, which no verifier can walk through.
    Memory(Mem<'c>, u32),
}

impl<'g, 'c> Gen<'g, 'c> {
    /// The characters of a string.
    pub(super) fn text_length_of(&mut self, text: &'g Expr) -> Result<IntValue<'c>> {
        let size = self.size_of(&text.ty);
        match &text.kind {
            ExprKind::Bytes(bytes) => {
                let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
                Ok(self.ll.imm((end as u64).min(u64::from(size.saturating_sub(1)))))
            }
            // The helper that reads it tells its length.
            ExprKind::ReadString { address, len, space } => {
                let address = self.scalar(address)?;
                let len = len.as_deref().map(|len| self.scalar(len)).transpose()?;
                self.locate(text.span);
                let (to, space) = (self.temp(size)?, self.space(*space));
                let result = self.read_string(to, size, address, len, space, Padding::Undefined)?;
                self.text_length(result, size)
            }
            ExprKind::Cast(operand) if self.size_of(&operand.ty) <= size => self.text_length_of(operand),
            _ => {
                let mem = self.memory(text)?;
                self.length_in_memory(mem, size)
            }
        }
    }

    /// The length of a string in memory.
    fn length_in_memory(&mut self, mem: Mem<'c>, size: u32) -> Result<IntValue<'c>> {
        let words = size.div_ceil(8);
        if mem.on_stack || (words > WALKED_ROUNDS && !self.has(Feature::Loop)) {
            // A helper that copies it to where it is tells how much there was, but takes longer.
            let result = self.copy_text(mem, size, mem.ptr.into())?;
            return self.text_length(result, size);
        }
        self.scratch_temp(8)?;
        let most = u64::from(size.saturating_sub(1));
        let len =
            self.rounds((words, WALKED_ROUNDS), &[Kept::Memory(mem)], most, |g, round, kept, result| {
                let [Kept::Memory(mem)] = kept else {
                    return Err(super::Error::Internal("a string without its memory".into()));
                };
                let (ll, b) = (g.ll, &g.ll.builder);
                let at = b.build_left_shift(round, ll.imm(3), "")?;
                let zeros = g.zero_bytes(g.text_word(*mem, at)?)?;
                let ends = ll.is_true(zeros)?;
                g.when(ends, |g| {
                    // One bit of each byte up to the first zero, added up in the highest byte.
                    let up_to = b.build_xor(zeros, b.build_int_sub(zeros, ll.imm(1), "")?, "")?;
                    let bytes = b.build_and(up_to, ll.imm(LOW_BITS), "")?;
                    let count = b.build_int_mul(bytes, ll.imm(LOW_BITS), "")?;
                    let count = b.build_right_shift(count, ll.imm(56), false, "")?;
                    let before = b.build_int_sub(count, ll.imm(1), "")?;
                    ll.store(result, b.build_int_add(at, before, "")?, 8, 8)?;
                    g.break_loop()
                })
            })?;
        self.ll.bound(len, most)
    }

    /// Where a string begins in another, or -1.
    pub(super) fn find_text(&mut self, haystack: &'g Expr, needle: &'g Expr) -> Result<IntValue<'c>> {
        let size = self.size_of(&haystack.ty);
        let hay = self.memory(haystack)?;
        let hay = self.indexable(hay, size)?;
        let needle = self.needle(needle)?;
        // The last words are read in full, whatever lies behind the string; this makes sure that something does.
        self.scratch_temp(16)?;
        let empty = self.ll.compare(IntPredicate::EQ, needle.len, self.ll.imm(0))?;
        let found = self.choose(empty, |g| Ok(g.ll.imm(0)), |g| g.search(hay, size, &needle))?;
        self.forget(found)
    }

    /// The same number, of which the verifier no longer knows by which way it came: what follows, other searches maybe,
    /// it would have to go through once for each.
    fn forget(&mut self, number: IntValue<'c>) -> Result<IntValue<'c>> {
        let cell = self.scratch_temp(8)?.ptr;
        self.ll.store(cell, number, 8, 8)?;
        self.ll.load_volatile(cell, Int::U64)
    }

    fn needle(&mut self, needle: &'g Expr) -> Result<Needle<'g, 'c>> {
        let ll = self.ll;
        let size = self.size_of(&needle.ty);
        if let ExprKind::Bytes(bytes) = &needle.kind {
            let len = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            let text = bytes.get(..len).unwrap_or(bytes);
            let first = word(text, 0, 8).to_le();
            let mask = word(&vec![0xff; len], 0, 8).to_le();
            let rest = match text.get(8..) {
                None | Some([]) => Rest::Nothing,
                Some(rest) if len <= WALKED_LITERAL as usize => Rest::Literal(rest),
                Some(_) => {
                    let mut words = text.to_vec();
                    words.resize((len + 1).next_multiple_of(8), 0);
                    let ptr = self.object.constant(ll, &words)?;
                    let size = u32::try_from(len + 1).unwrap_or(u32::MAX);
                    Rest::Memory(Mem { ptr, align: 8, on_stack: false }, size)
                }
            };
            return Ok(Needle { first: ll.imm(first), mask: ll.imm(mask), len: ll.imm(len as u64), rest });
        }
        let mem = self.memory(needle)?;
        let mem = self.indexable(mem, size)?;
        self.scratch_temp(8)?;
        let len = self.length_in_memory(mem, size)?;
        let first = self.text_word(mem, ll.imm(0))?;
        let zeros = self.zero_bytes(first)?;
        // All bits below the highest one of the first NUL, and those of the bytes before it; all if there is none.
        let below = ll.builder.build_int_sub(zeros, ll.imm(1), "")?;
        let below = ll.builder.build_and(below, ll.builder.build_not(zeros, "")?, "")?;
        let mask = ll.builder.build_right_shift(below, ll.imm(7), true, "")?;
        let first = ll.builder.build_and(first, mask, "")?;
        let rest = if size > WALKED_NEEDLE { Rest::Memory(mem, size) } else { Rest::Nothing };
        Ok(Needle { first, mask, len, rest })
    }

    fn search(&mut self, hay: Mem<'c>, size: u32, needle: &Needle<'g, 'c>) -> Result<IntValue<'c>> {
        let b = &self.ll.builder;
        let start = b.build_and(needle.first, self.ll.imm(0xff), "")?;
        let starts = b.build_int_mul(start, self.ll.imm(LOW_BITS), "")?;
        let mut kept = vec![
            Kept::Memory(hay),
            Kept::Number(needle.first),
            Kept::Number(needle.mask),
            Kept::Number(starts),
        ];
        let rest = needle.rest;
        if let Rest::Memory(mem, _) = rest {
            kept.extend([Kept::Memory(mem), Kept::Number(needle.len)]);
        }
        let walked = if matches!(rest, Rest::Memory(..)) { 0 } else { WALKED_ROUNDS };
        self.rounds((size.div_ceil(8), walked), &kept, NOT_FOUND, |g, round, kept, result| {
            let (hay, first) = match kept {
                [Kept::Memory(hay), Kept::Number(first), Kept::Number(mask), Kept::Number(starts), ..] => {
                    (*hay, (*first, *mask, *starts))
                }
                _ => return Err(super::Error::Internal("a search without its parts".into())),
            };
            let rest = match (rest, kept.get(4), kept.get(5)) {
                (Rest::Memory(_, size), Some(Kept::Memory(mem)), Some(Kept::Number(len))) => {
                    (Rest::Memory(*mem, size), *len)
                }
                _ => (rest, g.ll.imm(0)),
            };
            g.search_word(hay, round, first, rest, result)
        })
    }

    /// Looks for a needle that begins in one word.
    fn search_word(
        &mut self,
        hay: Mem<'c>,
        round: IntValue<'c>,
        (first, mask, starts): (IntValue<'c>, IntValue<'c>, IntValue<'c>),
        (rest, len): (Rest<'g, 'c>, IntValue<'c>),
        result: PointerValue<'c>,
    ) -> Result<()> {
        let ll = self.ll;
        let b = &ll.builder;
        let at = b.build_left_shift(round, ll.imm(3), "")?;
        let text = self.text_word(hay, at)?;
        let zeros = self.zero_bytes(text)?;
        // All bits below the string's end.
        let inside = b.build_and(b.build_int_sub(zeros, ll.imm(1), "")?, b.build_not(zeros, "")?, "")?;
        let candidates = self.zero_bytes(b.build_xor(text, starts, "")?)?;
        let candidates = b.build_and(candidates, inside, "")?;
        let any = ll.is_true(candidates)?;
        self.when(any, |g| {
            let b = &ll.builder;
            let next = g.text_word(hay, b.build_int_add(at, ll.imm(8), "")?)?;
            g.counted((8, 1), |g, k, _| {
                let (hit, go_on) = (ll.block("hit")?, ll.block("go_on")?);
                let bits = b.build_left_shift(k, ll.imm(3), "")?;
                // The eight bytes from there on; the shift by up to 64 is one by one and up to 63.
                let low = b.build_right_shift(text, bits, false, "")?;
                let high = b.build_left_shift(next, ll.imm(1), "")?;
                let high = b.build_left_shift(high, b.build_int_sub(ll.imm(63), bits, "")?, "")?;
                let window = b.build_or(low, high, "")?;
                let difference = b.build_and(b.build_xor(window, first, "")?, mask, "")?;
                let candidate = b.build_right_shift(candidates, bits, false, "")?;
                let candidate = b.build_and(candidate, ll.imm(0x80), "")?;
                let miss = b.build_or(difference, b.build_xor(candidate, ll.imm(0x80), "")?, "")?;
                ll.branch(ll.is_true(miss)?, go_on, hit)?;
                ll.enter(hit);
                let position = b.build_int_add(at, k, "")?;
                let whole = match rest {
                    Rest::Nothing => ll.imm(1),
                    Rest::Literal(rest) => g.scoped(|g| g.continues(hay, position, rest))?,
                    Rest::Memory(needle, size) => g.scoped(|g| g.is_at(hay, position, needle, size, len))?,
                };
                let whole = ll.is_true(whole)?;
                g.when(whole, |g| {
                    ll.store(result, position, 8, 8)?;
                    g.break_loop()
                })?;
                ll.jump(go_on)?;
                ll.enter(go_on);
                Ok(())
            })
        })?;
        let ends = ll.is_true(zeros)?;
        self.when(ends, Self::break_loop)
    }

    /// Whether, eight bytes on from a position, these bytes follow, as 0 or 1.
    fn continues(&mut self, hay: Mem<'c>, position: IntValue<'c>, rest: &[u8]) -> Result<IntValue<'c>> {
        let ll = self.ll;
        let size = u32::try_from(rest.len()).unwrap_or(0);
        let copy = self.scratch_temp(size)?;
        let from = ll.at_dynamic(hay.ptr, ll.builder.build_int_add(position, ll.imm(8), "")?)?;
        // It may read beyond the string's end, but what is there cannot make up for the NUL before it.
        let args = [copy.ptr.into(), ll.imm(u64::from(size)).into(), from.into()];
        ll.helper(id::PROBE_READ_KERNEL, &args)?;
        self.equals_bytes(copy, rest, size)
    }

    /// Whether a string is at that position of another, as 0 or 1.
    fn is_at(
        &mut self,
        hay: Mem<'c>,
        position: IntValue<'c>,
        needle: Mem<'c>,
        size: u32,
        len: IntValue<'c>,
    ) -> Result<IntValue<'c>> {
        let ll = self.ll;
        let room = size.checked_next_power_of_two().unwrap_or(size).max(8);
        let copy = self.scratch_temp(room + 8)?;
        // The length is less than the size: the verifier sees it by the mask, which is no branch.
        let len = ll.builder.build_and(ll.opaque(len)?, ll.imm(u64::from(room - 1)), "")?;
        let len = ll.builder.build_int_add(ll.opaque(len)?, ll.imm(1), "")?;
        let from = ll.at_dynamic(hay.ptr, position)?;
        ll.helper(id::PROBE_READ_KERNEL_STR, &[copy.ptr.into(), len.into(), from.into()])?;
        self.same_text(copy, needle, len, size.div_ceil(8))
    }

    /// Whether two strings that are NUL-terminated at `len - 1` are the same, as 0 or 1. Without a branch, so that the
    /// verifier, which gets here from a loop, goes one way only.
    fn same_text(&mut self, a: Mem<'c>, b: Mem<'c>, len: IntValue<'c>, words: u32) -> Result<IntValue<'c>> {
        let ll = self.ll;
        let frame = self.shared_frame(3)?;
        let at = |frame, n: u32| ll.at(frame, u64::from(SHARED_BYTES + 8 * n));
        ll.builder.build_store(at(frame, 0)?, a.ptr)?;
        ll.builder.build_store(at(frame, 1)?, b.ptr)?;
        ll.store(at(frame, 2)?, ll.imm(0), 8, 8)?;
        let params = [Param::number("round"), Param::pointer("frame")];
        let function = self.outline(&params, self.place, |g, function| {
            let frame = pointer_param(function, 1)?;
            let string = |n, like: Mem<'c>| -> Result<Mem<'c>> {
                let ptr = ll.builder.build_load(ll.ptr, at(frame, n)?, "")?.into_pointer_value();
                Ok(Mem { ptr, ..like })
            };
            let round = g.round_below(words, number_param(function, 0)?)?;
            let offset = ll.builder.build_left_shift(round, ll.imm(3), "")?;
            let x = g.text_word(string(0, a)?, offset)?;
            let y = g.text_word(string(1, b)?, offset)?;
            let builder = &ll.builder;
            // All bits up to the first NUL.
            let zeros = g.zero_bytes(x)?;
            let text = builder.build_xor(zeros, builder.build_int_sub(zeros, ll.imm(1), "")?, "")?;
            let difference = builder.build_and(builder.build_xor(x, y, "")?, text, "")?;
            ll.store(at(frame, 2)?, difference, 8, 8)?;
            // The highest bit says that it is not zero.
            let differ = builder.build_or(difference, builder.build_int_neg(difference, "")?, "")?;
            let differ = ll.opaque(differ)?;
            let differ = builder.build_right_shift(differ, ll.imm(63), false, "")?;
            builder.build_return(Some(&differ))?;
            ll.enter(ll.block("unreached")?);
            Ok(())
        })?;
        let rounds = ll.builder.build_int_add(len, ll.imm(7), "")?;
        let rounds = ll.builder.build_right_shift(rounds, ll.imm(3), false, "")?;
        let args = [rounds.into(), function.into(), frame.into(), ll.imm(0).into()];
        ll.helper(id::LOOP, &args)?;
        let difference = ll.load_volatile(at(frame, 2)?, Int::U64)?;
        let difference = self.forget(difference)?;
        self.release_stack(frame);
        ll.flag(ll.compare(IntPredicate::EQ, difference, ll.imm(0))?)
    }

    /// The order of two values by their bytes.
    pub(super) fn bytes_order(
        &mut self,
        left: &'g Expr,
        right: &'g Expr,
        count: &'g Expr,
    ) -> Result<IntValue<'c>> {
        let ll = self.ll;
        let size = self.size_of(&left.ty).min(self.size_of(&right.ty));
        let (a, b) = (self.padded(left)?, self.padded(right)?);
        let count = self.scalar(count)?;
        let count = ll.bound(count, u64::from(size))?;
        let kept = [Kept::Memory(a), Kept::Memory(b), Kept::Number(count)];
        self.rounds((size.div_ceil(8), WALKED_ROUNDS), &kept, 0, |g, round, kept, result| {
            let [Kept::Memory(x), Kept::Memory(y), Kept::Number(count)] = kept else {
                return Err(super::Error::Internal("a comparison without its parts".into()));
            };
            let b = &ll.builder;
            let at = b.build_left_shift(round, ll.imm(3), "")?;
            let over = ll.compare(IntPredicate::ULE, *count, at)?;
            g.when(over, Self::break_loop)?;
            let left = b.build_int_sub(*count, at, "")?;
            let left = ll.bound(left, 8)?;
            let unused = b.build_left_shift(b.build_int_sub(ll.imm(8), left, "")?, ll.imm(3), "")?;
            let mask = b.build_right_shift(ll.imm(u64::MAX), unused, false, "")?;
            let x = b.build_and(g.text_word(*x, at)?, mask, "")?;
            let y = b.build_and(g.text_word(*y, at)?, mask, "")?;
            let differ = ll.compare(IntPredicate::NE, x, y)?;
            g.when(differ, |g| {
                // The first byte counts most.
                let less = ll.compare(IntPredicate::ULT, g.swap_bytes(x)?, g.swap_bytes(y)?)?;
                let order = ll.select(less, ll.imm(u64::MAX), ll.imm(1))?;
                ll.store(result, order, 8, 8)?;
                g.break_loop()
            })
        })
    }

    /// A value in scratch memory, zeros behind the ends of its strings, in whole words.
    fn padded(&mut self, expr: &'g Expr) -> Result<Mem<'c>> {
        let mem = self.scratch_temp(self.size_of(&expr.ty).next_multiple_of(8))?;
        self.scoped(|g| g.write(expr, mem, Padding::Zero))?;
        Ok(mem)
    }

    /// Writes two strings one after the other.
    pub(super) fn concat(
        &mut self,
        left: &'g Expr,
        right: &'g Expr,
        to: Mem<'c>,
        size: u32,
        padding: Padding,
    ) -> Result<()> {
        let ll = self.ll;
        let room = self.size_of(&left.ty).saturating_add(self.size_of(&right.ty));
        self.scoped(|g| {
            let in_place = !to.on_stack && padding == Padding::Undefined && room <= size.saturating_add(1);
            let whole = if in_place { to } else { g.scratch_temp(room)? };
            let len = g.append(left, whole)?;
            let behind = Mem { ptr: ll.at_dynamic(whole.ptr, len)?, align: 1, on_stack: false };
            let len = g.append(right, behind)?;
            ll.store(ll.at_dynamic(behind.ptr, len)?, ll.imm(0), 1, 1)?;
            if in_place { Ok(()) } else { g.copy_string(to, size, whole, room, padding) }
        })
    }

    /// Writes what a number is called: all texts are in one block, and where each begins in another.
    pub(super) fn name_of(
        &mut self,
        names: &Names,
        number: &'g Expr,
        to: Mem<'c>,
        size: u32,
        padding: Padding,
    ) -> Result<()> {
        let ll = self.ll;
        let mut texts = [names.otherwise.as_bytes(), b"\0"].concat();
        let mut starts: Vec<u16> = vec![];
        for name in &names.names {
            if name.is_empty() {
                starts.push(0);
                continue;
            }
            starts.push(u16::try_from(texts.len()).unwrap_or(0));
            texts.extend(name.bytes().chain([0]));
        }
        // One more for all other numbers.
        starts.push(0);
        let bytes: Vec<u8> = starts.iter().flat_map(|start| start.to_ne_bytes()).collect();
        let (texts, starts) = (self.object.constant(ll, &texts)?, self.object.constant(ll, &bytes)?);
        let number = self.scalar(number)?;
        let number = ll.bound(number, names.names.len() as u64)?;
        let at = ll.builder.build_left_shift(number, ll.imm(1), "")?;
        let start = ll.load(ll.at_dynamic(starts, at)?, Int::U16, 2)?;
        if padding == Padding::Zero || to.on_stack {
            self.zero(to, size)?;
        }
        self.copy_text(to, size, ll.at_dynamic(texts, start)?.into()).map(drop)
    }

    /// Eight bytes of a string.
    fn text_word(&self, mem: Mem<'c>, at: IntValue<'c>) -> Result<IntValue<'c>> {
        let word = self.word_at(mem, at)?;
        if cfg!(target_endian = "big") { self.swap_bytes(word) } else { Ok(word) }
    }

    /// The highest bit of each byte of a word that is zero; above the first of those perhaps of others too.
    fn zero_bytes(&self, word: IntValue<'c>) -> Result<IntValue<'c>> {
        let (ll, b) = (self.ll, &self.ll.builder);
        let lower = b.build_int_sub(word, ll.imm(LOW_BITS), "")?;
        let zeros = b.build_and(lower, b.build_not(word, "")?, "")?;
        Ok(b.build_and(zeros, ll.imm(HIGH_BITS), "")?)
    }
}
