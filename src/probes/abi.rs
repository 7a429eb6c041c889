//! Where functions find their arguments when they are entered.
//!
//! Sources: the System V Application Binary Interface for AMD64, section 3.2.3, and the Procedure Call Standard for the
//! Arm 64-bit Architecture, section 6.8.

use crate::types::dwarf::{Class, Passed};

/// The rules of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Convention {
    X86_64,
    Arm64,
}

impl Convention {
    pub(super) const HOST: Convention =
        if cfg!(target_arch = "aarch64") { Convention::Arm64 } else { Convention::X86_64 };

    fn registers(self) -> usize {
        match self {
            Convention::X86_64 => 6,
            Convention::Arm64 => 8,
        }
    }
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// In the register of that number, of those for arguments.
    Register(usize),
    /// So many bytes into the arguments on the stack.
    Stack(u64),
    /// Its address is in that register.
    AtRegister(usize),
    /// Its address is there on the stack.
    AtStack(u64),
    /// Where a probe cannot get at it, and why.
    Nowhere(&'static str),
}

const FLOAT: &str = "it is passed in a floating-point register, which BPF programs cannot read";
const PIECES: &str = "it is a struct that is passed in pieces, in several registers";
const WIDE: &str = "it is a number of 16 bytes, which is passed in two registers";
const NOTHING: &str = "it is empty, and nothing is passed for it";

/// Where each argument is. `result` is what the function returns.
pub(super) fn arguments(
    convention: Convention,
    params: impl IntoIterator<Item = Passed>,
    result: Option<&Passed>,
) -> Vec<Location> {
    let mut state = State { convention, registers: 0, floats: 0, stack: 0 };
    // On Arm the address of where the result goes has a register of its own.
    if convention == Convention::X86_64
        && result.is_some_and(|r| r.by_address || kind(convention, r) == Kind::Memory)
    {
        state.registers = 1;
    }
    params.into_iter().map(|passed| state.place(&passed)).collect()
}

/// Whether a function's result is in the register that `retval` reads.
pub(super) fn result_in_register(passed: &Passed) -> bool {
    !passed.by_address && kind(Convention::HOST, passed) == Kind::Integer { words: 1 }
}

/// Whether a function's result is in registers for floating-point numbers only.
pub(super) fn result_in_vectors(passed: &Passed) -> bool {
    !passed.by_address && matches!(kind(Convention::HOST, passed), Kind::Float { .. })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nothing,
    /// In so many registers for integers.
    Integer {
        words: usize,
    },
    /// In so many registers for floating-point numbers.
    Float {
        registers: usize,
    },
    /// A struct of an integer register and a floating-point one.
    Mixed,
    /// On the stack.
    Memory,
    /// A copy of it is somewhere, and its address is passed.
    Address,
}

fn kind(convention: Convention, passed: &Passed) -> Kind {
    if passed.by_address {
        return Kind::Address;
    }
    if passed.size == 0 || passed.scalars.is_empty() {
        return Kind::Nothing;
    }
    match convention {
        Convention::X86_64 => x86_64(passed),
        Convention::Arm64 => arm64(passed),
    }
}

/// Each eight bytes have a class of their own.
fn x86_64(passed: &Passed) -> Kind {
    let single = passed.scalars.len() == 1;
    if single && passed.scalars.iter().all(|s| s.class == Class::Vector) {
        return Kind::Float { registers: 1 };
    }
    let unaligned = passed.scalars.iter().any(|s| s.size > 0 && s.offset % s.size.min(16) != 0);
    if passed.size > 16 || unaligned || passed.scalars.iter().any(|s| s.class == Class::Extended) {
        return Kind::Memory;
    }
    let words = passed.size.div_ceil(8) as usize;
    let is_integer = |word: usize| {
        let (start, end) = (word as u64 * 8, word as u64 * 8 + 8);
        passed
            .scalars
            .iter()
            .any(|s| s.class == Class::Integer && s.offset < end && start < s.offset.saturating_add(s.size))
    };
    match (0..words).filter(|word| is_integer(*word)).count() {
        // `__float128` is one register, and two words of a struct are two.
        0 => Kind::Float { registers: if single { 1 } else { words } },
        integers if integers == words => Kind::Integer { words },
        _ => Kind::Mixed,
    }
}

fn arm64(passed: &Passed) -> Kind {
    let floats = |class| matches!(class, Class::Float | Class::Vector | Class::Extended);
    let first = passed.scalars.first().map_or(0, |s| s.size);
    let alike = passed.scalars.iter().all(|s| floats(s.class) && s.size == first);
    match passed.scalars.len() {
        registers @ 1..=4 if alike => Kind::Float { registers },
        _ if passed.size > 16 => Kind::Address,
        _ => Kind::Integer { words: passed.size.div_ceil(8) as usize },
    }
}

struct State {
    convention: Convention,
    /// How many registers for integers are taken.
    registers: usize,
    floats: usize,
    /// How many bytes of the stack are.
    stack: u64,
}

impl State {
    fn place(&mut self, passed: &Passed) -> Location {
        match kind(self.convention, passed) {
            Kind::Nothing => Location::Nowhere(NOTHING),
            Kind::Address => match self.take(1, 8) {
                Some(register) => Location::AtRegister(register),
                None => Location::AtStack(self.push(8, 8)),
            },
            Kind::Integer { words } => match self.take(words, passed.align) {
                Some(register) if !passed.composite && words == 1 => Location::Register(register),
                Some(_) if !passed.composite => Location::Nowhere(WIDE),
                Some(_) => Location::Nowhere(PIECES),
                None => Location::Stack(self.push(passed.size, passed.align)),
            },
            Kind::Float { registers } => {
                if self.floats + registers <= 8 {
                    self.floats += registers;
                    return Location::Nowhere(if passed.composite { PIECES } else { FLOAT });
                }
                if self.convention == Convention::Arm64 {
                    self.floats = 8;
                }
                Location::Stack(self.push(passed.size, passed.align))
            }
            Kind::Mixed if self.floats < 8 && self.registers < self.convention.registers() => {
                self.floats += 1;
                self.registers += 1;
                Location::Nowhere(PIECES)
            }
            Kind::Mixed | Kind::Memory => Location::Stack(self.push(passed.size, passed.align)),
        }
    }

    /// Takes registers for a value, all of it or nothing.
    fn take(&mut self, words: usize, align: u64) -> Option<usize> {
        let arm = self.convention == Convention::Arm64;
        if arm && align > 8 {
            self.registers = self.registers.next_multiple_of(2);
        }
        let first = self.registers;
        if first + words > self.convention.registers() {
            // On Arm nothing after it has a register, on x86 what is small enough has.
            if arm {
                self.registers = self.convention.registers();
            }
            return None;
        }
        self.registers += words;
        Some(first)
    }

    fn push(&mut self, size: u64, align: u64) -> u64 {
        let at = rounded(self.stack, align.clamp(8, 16));
        self.stack = at.saturating_add(rounded(size, 8));
        at
    }
}

/// Up to a multiple. Sizes are the file's word for it, and may be anything.
fn rounded(bytes: u64, to: u64) -> u64 {
    bytes.checked_next_multiple_of(to).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Location::{AtRegister, Nowhere, Register, Stack};
    use super::*;
    use crate::types::dwarf::Scalar;

    fn scalar(size: u64, class: Class) -> Passed {
        let scalars = vec![Scalar { offset: 0, size, class }];
        Passed { size, align: size, composite: false, by_address: false, scalars }
    }

    fn int() -> Passed {
        scalar(8, Class::Integer)
    }

    fn double() -> Passed {
        scalar(8, Class::Float)
    }

    fn structure(classes: &[Class]) -> Passed {
        let scalars =
            (0u64..).zip(classes).map(|(n, class)| Scalar { offset: n * 8, size: 8, class: *class });
        let scalars: Vec<Scalar> = scalars.collect();
        Passed { size: scalars.len() as u64 * 8, align: 8, composite: true, by_address: false, scalars }
    }

    fn x86(params: Vec<Passed>) -> Vec<Location> {
        arguments(Convention::X86_64, params, None)
    }

    #[test]
    fn integers_go_to_registers_and_then_to_the_stack() {
        let places = x86((0..8).map(|_| int()).collect());
        assert_eq!(places[5..], [Register(5), Stack(0), Stack(8)]);
        let places = arguments(Convention::Arm64, (0..9).map(|_| int()), None);
        assert_eq!(places[7..], [Register(7), Stack(0)]);
    }

    #[test]
    fn floats_do_not_take_registers_of_integers() {
        assert_eq!(
            x86(vec![double(), int(), double(), int()])[1..],
            [Register(0), Nowhere(FLOAT), Register(1)]
        );
        let mut many: Vec<Passed> = (0..9).map(|_| double()).collect();
        many.push(int());
        assert_eq!(x86(many)[8..], [Stack(0), Register(0)]);
    }

    #[test]
    fn structs_are_passed_as_their_size_says() {
        use Class::{Float, Integer};
        let after = |passed: Passed| x86(vec![passed, int()]);
        assert_eq!(after(structure(&[Integer])), [Nowhere(PIECES), Register(1)]);
        assert_eq!(after(structure(&[Integer, Integer])), [Nowhere(PIECES), Register(2)]);
        assert_eq!(after(structure(&[Integer, Float])), [Nowhere(PIECES), Register(1)]);
        assert_eq!(after(structure(&[Float, Float])), [Nowhere(PIECES), Register(0)]);
        assert_eq!(after(structure(&[Integer; 3])), [Stack(0), Register(0)]);
        let by_address = Passed { by_address: true, ..structure(&[Integer]) };
        assert_eq!(after(by_address), [AtRegister(0), Register(1)]);
        // Of five registers' worth and a pair, the pair is on the stack, and the next one has the sixth register.
        let mut params: Vec<Passed> = (0..5).map(|_| int()).collect();
        params.extend([structure(&[Integer, Integer]), int()]);
        assert_eq!(x86(params.clone())[5..], [Stack(0), Register(5)]);
        params.splice(0..0, [int(), int()]);
        assert_eq!(arguments(Convention::Arm64, params, None)[7..], [Stack(0), Stack(16)]);
        let arm = |passed| arguments(Convention::Arm64, [passed, int()], None);
        assert_eq!(arm(structure(&[Integer; 3])), [AtRegister(0), Register(1)]);
        assert_eq!(arm(structure(&[Float; 4])), [Nowhere(PIECES), Register(0)]);
    }

    #[test]
    fn a_large_result_takes_the_first_register() {
        let large = structure(&[Class::Integer; 3]);
        assert_eq!(arguments(Convention::X86_64, [int()], Some(&large)), [Register(1)]);
        assert_eq!(arguments(Convention::Arm64, [int()], Some(&large)), [Register(0)]);
        let small = structure(&[Class::Integer; 2]);
        assert_eq!(arguments(Convention::X86_64, [int()], Some(&small)), [Register(0)]);
    }

    #[test]
    fn sizes_that_no_value_has() {
        let huge = Passed { size: u64::MAX - 1, ..structure(&[Class::Integer; 3]) };
        let params = || [huge.clone(), Passed { align: 16, ..huge.clone() }, huge.clone()];
        assert_eq!(arguments(Convention::X86_64, params(), None), [0, u64::MAX, u64::MAX].map(Stack));
        assert_eq!(arguments(Convention::Arm64, params(), None), [0, 1, 2].map(AtRegister));
    }

    #[test]
    fn wide_numbers() {
        let wide = Passed { align: 16, ..scalar(16, Class::Integer) };
        assert_eq!(x86(vec![int(), wide.clone(), int()]), [Register(0), Nowhere(WIDE), Register(3)]);
        let arm = arguments(Convention::Arm64, [int(), wide, int()], None);
        assert_eq!(arm, [Register(0), Nowhere(WIDE), Register(4)]);
        let extended = Passed { align: 16, ..scalar(16, Class::Extended) };
        assert_eq!(x86(vec![extended, int()]), [Stack(0), Register(0)]);
    }
}
