//! Integers to text, straight into a buffer.

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
                            2021222324252627282930313233343536373839\
                            4041424344454647484950515253545556575859\
                            6061626364656667686970717273747576777879\
                            8081828384858687888990919293949596979899";

/// The digits of a number, made from the right end of a small buffer.
struct Digits {
    /// 22 octal digits are the most.
    buf: [u8; 24],
    at: usize,
}

impl Digits {
    fn new() -> Self {
        Digits { buf: [0; 24], at: 24 }
    }

    fn push(&mut self, digit: u8) {
        if let Some(at) = self.at.checked_sub(1)
            && let Some(place) = self.buf.get_mut(at)
        {
            *place = digit;
            self.at = at;
        }
    }

    fn decimal(mut value: u64) -> Self {
        let mut digits = Digits::new();
        while value >= 10 {
            let pair = (value % 100) as usize * 2;
            value /= 100;
            digits.push(PAIRS.get(pair + 1).copied().unwrap_or(b'0'));
            digits.push(PAIRS.get(pair).copied().unwrap_or(b'0'));
        }
        // What is left is one digit, or nothing after an even number of them.
        if value > 0 || digits.at == digits.buf.len() {
            digits.push(b'0' + value as u8);
        }
        digits
    }

    /// Base 8 or 16: `shift` bits a digit.
    fn binary(mut value: u64, shift: u32, upper: bool) -> Self {
        let mut digits = Digits::new();
        let letter = if upper { b'A' } else { b'a' };
        loop {
            let digit = (value & ((1 << shift) - 1)) as u8;
            digits.push(if digit < 10 { b'0' + digit } else { letter + digit - 10 });
            value >>= shift;
            if value == 0 {
                return digits;
            }
        }
    }

    fn as_slice(&self) -> &[u8] {
        self.buf.get(self.at..).unwrap_or(&[])
    }
}

pub fn unsigned(out: &mut Vec<u8>, value: u64) {
    if value < 10 {
        return out.push(b'0' + value as u8);
    }
    out.extend_from_slice(Digits::decimal(value).as_slice());
}

pub fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    unsigned(out, value.unsigned_abs());
}

/// Lower-case digits without `0x`.
pub fn hex(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(Digits::binary(value, 4, false).as_slice());
}

pub fn octal(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(Digits::binary(value, 3, false).as_slice());
}

pub fn upper_hex(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(Digits::binary(value, 4, true).as_slice());
}

/// Two hex digits.
pub fn hex_byte(out: &mut Vec<u8>, byte: u8) {
    pair(out, byte, b"0123456789abcdef");
}

pub fn upper_hex_byte(out: &mut Vec<u8>, byte: u8) {
    pair(out, byte, b"0123456789ABCDEF");
}

fn pair(out: &mut Vec<u8>, byte: u8, digits: &[u8; 16]) {
    for digit in [byte >> 4, byte & 15] {
        out.push(digits.get(usize::from(digit)).copied().unwrap_or(b'0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_as_the_standard_librarys() {
        let mut values = vec![0, 9, 10, 11, 99, 100, 101, 999, 1000, u64::MAX, i64::MAX as u64, 1 << 63];
        for power in 0..64 {
            values.extend([1u64 << power, (1u64 << power) - 1, 10u64.wrapping_pow(power)]);
        }
        for value in values {
            let text = |write: &dyn Fn(&mut Vec<u8>)| {
                let mut out = vec![];
                write(&mut out);
                String::from_utf8(out).unwrap()
            };
            assert_eq!(text(&|out| unsigned(out, value)), value.to_string());
            assert_eq!(text(&|out| signed(out, value as i64)), (value as i64).to_string());
            assert_eq!(text(&|out| hex(out, value)), format!("{value:x}"));
            assert_eq!(text(&|out| upper_hex(out, value)), format!("{value:X}"));
            assert_eq!(text(&|out| octal(out, value)), format!("{value:o}"));
        }
    }
}
