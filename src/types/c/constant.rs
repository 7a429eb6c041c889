//! Integers with C's types: what array bounds, widths of bitfields and values of enumerators are made of.

use crate::types::Int;

/// A number and the type that it has in C. It is always in that type's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constant {
    pub value: i128,
    pub int: Int,
}

impl Constant {
    /// The number in that type, wrapped around as C does.
    pub fn new(value: i128, int: Int) -> Constant {
        let bits = 8 * u32::from(int.size);
        let low = value & ((1i128 << bits) - 1);
        let negative = int.signed && low >> (bits - 1) != 0;
        Constant { value: if negative { low - (1i128 << bits) } else { low }, int }
    }

    pub fn truth(value: bool) -> Constant {
        Constant { value: i128::from(value), int: Int::I32 }
    }

    /// The value of a literal: decimal, hexadecimal, octal or binary, with its suffixes.
    pub fn literal(text: &str) -> Option<Constant> {
        let lower = text.to_ascii_lowercase();
        let (radix, digits) = match lower.as_bytes() {
            [b'0', b'x', ..] => (16, &lower[2..]),
            [b'0', b'b', ..] => (2, &lower[2..]),
            [b'0', _, ..] => (8, &lower[1..]),
            _ => (10, lower.as_str()),
        };
        let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
        let (digits, suffix) = digits.split_at(end);
        // `0u` and `0` have no digits left.
        let value =
            if digits.is_empty() && radix == 8 { 0 } else { i128::from_str_radix(digits, radix).ok()? };
        let (unsigned, long) = match suffix {
            "" => (false, false),
            "u" => (true, false),
            "l" | "ll" => (false, true),
            "ul" | "ull" | "lu" | "llu" => (true, true),
            _ => return None,
        };
        // The first of these that holds it; decimal ones stay signed.
        let candidates = [
            (Int::I32, !unsigned && !long),
            (Int::U32, (unsigned || radix != 10) && !long),
            (Int::I64, !unsigned),
            (Int::U64, unsigned || radix != 10),
        ];
        let fits = |int: Int| Constant::new(value, int).value == value;
        let (int, _) = candidates.into_iter().find(|(int, allowed)| *allowed && fits(*int))?;
        Some(Constant { value, int })
    }

    /// The value of a character in its quotes.
    pub fn character(text: &str) -> Option<Constant> {
        let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
        let value = match inner.strip_prefix('\\') {
            None => {
                let mut chars = inner.chars();
                let c = chars.next().filter(char::is_ascii)?;
                chars.next().is_none().then_some(i128::from(u32::from(c)))?
            }
            Some("n") => 10,
            Some("t") => 9,
            Some("r") => 13,
            Some("a") => 7,
            Some("b") => 8,
            Some("f") => 12,
            Some("v") => 11,
            Some("e") => 27,
            Some(quoted @ ("\\" | "'" | "\"" | "?")) => i128::from(*quoted.as_bytes().first()?),
            Some(code) => match code.strip_prefix('x') {
                Some(hex) => i128::from_str_radix(hex, 16).ok()?,
                None => i128::from_str_radix(code, 8).ok()?,
            },
        };
        Some(Constant::new(Constant::new(value, Int::I8).value, Int::I32))
    }

    /// Integers smaller than `int` become `int` in every operation.
    pub fn promoted(self) -> Constant {
        if self.int.size < 4 { Constant { int: Int::I32, ..self } } else { self }
    }

    fn common(self, other: Constant) -> Int {
        let (a, b) = (self.promoted().int, other.promoted().int);
        let size = a.size.max(b.size);
        let signed = [a, b].iter().all(|int| int.signed || int.size < size);
        Int { size, signed }
    }

    pub fn unary(self, op: &str) -> Option<Constant> {
        let Constant { value, int } = self.promoted();
        Some(match op {
            "+" => Constant { value, int },
            "-" => Constant::new(-value, int),
            "~" => Constant::new(!value, int),
            "!" => Constant::truth(value == 0),
            _ => return None,
        })
    }

    /// `None` for a division by zero, a shift that C does not define, and what is no operator.
    pub fn binary(self, op: &str, other: Constant) -> Option<Constant> {
        let int = self.common(other);
        let (a, b) = (Constant::new(self.value, int).value, Constant::new(other.value, int).value);
        let shift = |left: bool| {
            let of = self.promoted();
            let by = u32::try_from(other.value).ok().filter(|by| *by < 8 * u32::from(of.int.size))?;
            Some(Constant::new(if left { of.value << by } else { of.value >> by }, of.int))
        };
        Some(match op {
            "+" => Constant::new(a + b, int),
            "-" => Constant::new(a - b, int),
            "*" => Constant::new(a.wrapping_mul(b), int),
            "/" => Constant::new(a.checked_div(b)?, int),
            "%" => Constant::new(a.checked_rem(b)?, int),
            "&" => Constant::new(a & b, int),
            "|" => Constant::new(a | b, int),
            "^" => Constant::new(a ^ b, int),
            "<<" => shift(true)?,
            ">>" => shift(false)?,
            "==" => Constant::truth(a == b),
            "!=" => Constant::truth(a != b),
            "<" => Constant::truth(a < b),
            "<=" => Constant::truth(a <= b),
            ">" => Constant::truth(a > b),
            ">=" => Constant::truth(a >= b),
            "&&" => Constant::truth(self.value != 0 && other.value != 0),
            "||" => Constant::truth(self.value != 0 || other.value != 0),
            _ => return None,
        })
    }

    /// `condition ? self : other`, the condition being decided.
    pub fn select(self, other: Constant, first: bool) -> Constant {
        Constant::new(if first { self.value } else { other.value }, self.common(other))
    }
}

/// How tight an operator of two operands binds, the loosest being 1.
pub fn precedence(op: &str) -> Option<u8> {
    Some(match op {
        "||" => 1,
        "&&" => 2,
        "|" => 3,
        "^" => 4,
        "&" => 5,
        "==" | "!=" => 6,
        "<" | "<=" | ">" | ">=" => 7,
        "<<" | ">>" => 8,
        "+" | "-" => 9,
        "*" | "/" | "%" => 10,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> (i128, Int) {
        let c = Constant::literal(text).unwrap();
        (c.value, c.int)
    }

    #[test]
    fn literals_have_the_types_of_c() {
        assert_eq!(literal("0"), (0, Int::I32));
        assert_eq!(literal("0u"), (0, Int::U32));
        assert_eq!(literal("010"), (8, Int::I32));
        assert_eq!(literal("0b101"), (5, Int::I32));
        assert_eq!(literal("2147483648"), (1 << 31, Int::I64));
        assert_eq!(literal("0x80000000"), (1 << 31, Int::U32));
        assert_eq!(literal("1UL"), (1, Int::U64));
        assert_eq!(literal("0xffffffffffffffff"), (u64::MAX.into(), Int::U64));
        for bad in ["08", "1.5", "1x", "0x", "18446744073709551616", "1uu"] {
            assert_eq!(Constant::literal(bad), None, "{bad}");
        }
    }

    #[test]
    fn characters() {
        for (text, value) in [("'a'", 97), ("'\\n'", 10), ("'\\0'", 0), ("'\\xff'", -1), ("'\\''", 39)] {
            assert_eq!(Constant::character(text).unwrap().value, value, "{text}");
        }
        assert_eq!(Constant::character("'ab'"), None);
    }

    #[test]
    fn arithmetic_wraps_as_in_c() {
        let of = |text| Constant::literal(text).unwrap();
        assert_eq!(of("0").unary("~").unwrap().value, -1);
        assert_eq!(of("0u").unary("~").unwrap().value, 0xffff_ffff);
        assert_eq!(of("1").binary("-", of("2u")).unwrap().value, 0xffff_ffff);
        assert_eq!(of("1").binary("<<", of("31")).unwrap().value, i128::from(i32::MIN));
        let max = of("0xffffffffffffffff");
        assert_eq!(max.binary("*", max).unwrap().value, 1);
        assert_eq!(of("1").unary("-").unwrap().binary("<", of("1u")).unwrap().value, 0);
        for (a, op, b) in [("1", "/", "0"), ("1", "%", "0"), ("1", "<<", "32"), ("1", "=", "1")] {
            assert_eq!(of(a).binary(op, of(b)), None, "{a} {op} {b}");
        }
    }
}
