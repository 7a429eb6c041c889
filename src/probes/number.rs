//! Numbers in attach points: counts, offsets, addresses and times.

/// Why a text is not a number, in words that complete "… is not a number: ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    #[error("it has to start with a digit")]
    NoDigit,
    #[error("it does not fit into 64 bits")]
    TooLarge,
    #[error("before an exponent there is one digit from 1 to 9")]
    Coefficient,
    #[error("after the digits only a unit may follow: ns, us, ms, s, m, h or d")]
    Trailing,
}

/// Reads a number as the language writes integer literals: `1_000`, `0x10`, `0b1`, `017`, `1e6`. With a unit of
/// time the result is in nanoseconds: `1s`, `10ms`.
pub fn parse(text: &str) -> Result<u64, NumberError> {
    let text: String = text.chars().filter(|&c| c != '_').collect();
    let (base, digits) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &text[2..]),
        [b'0', b'b' | b'B', ..] => (2, &text[2..]),
        [b'0', b'0'..=b'7', ..] => (8, &text[1..]),
        _ => (10, text.as_str()),
    };
    let end = digits.find(|c: char| !c.is_digit(base)).unwrap_or(digits.len());
    let (number, rest) = digits.split_at(end);
    if number.is_empty() {
        return Err(NumberError::NoDigit);
    }
    let value = u64::from_str_radix(number, base).map_err(|_| NumberError::TooLarge)?;
    let (value, unit) = exponent(value, rest, base)?;
    let factor = match unit {
        "" | "u" | "l" | "ul" | "ll" | "ull" | "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return Err(NumberError::Trailing),
    };
    value.checked_mul(factor).ok_or(NumberError::TooLarge)
}

/// Applies `e6` and yields what follows it.
fn exponent(value: u64, rest: &str, base: u32) -> Result<(u64, &str), NumberError> {
    let Some(power) = rest.strip_prefix(['e', 'E']).filter(|_| base == 10) else { return Ok((value, rest)) };
    let end = power.find(|c: char| !c.is_ascii_digit()).unwrap_or(power.len());
    let (digits, unit) = power.split_at(end);
    if digits.is_empty() {
        return Err(NumberError::Trailing);
    }
    if !(1..=9).contains(&value) {
        return Err(NumberError::Coefficient);
    }
    let power = digits.parse().map_err(|_| NumberError::TooLarge)?;
    let scale = 10u64.checked_pow(power).ok_or(NumberError::TooLarge)?;
    Ok((value.checked_mul(scale).ok_or(NumberError::TooLarge)?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_read_as_in_the_language() {
        for (text, value) in [
            ("0", 0),
            ("99", 99),
            ("1_000", 1000),
            ("0x1F", 31),
            ("0b101", 5),
            ("017", 15),
            ("1e6", 1_000_000),
            ("1s", 1_000_000_000),
            ("10ms", 10_000_000),
            ("2e3us", 2_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(parse(""), Err(NumberError::NoDigit));
        assert_eq!(parse("vfs_read"), Err(NumberError::NoDigit));
        assert_eq!(parse("0x"), Err(NumberError::NoDigit));
        assert_eq!(parse("18446744073709551616"), Err(NumberError::TooLarge));
        assert_eq!(parse("9e19"), Err(NumberError::TooLarge));
        assert_eq!(parse("99999999999d"), Err(NumberError::TooLarge));
        assert_eq!(parse("10e3"), Err(NumberError::Coefficient));
        assert_eq!(parse("1x"), Err(NumberError::Trailing));
        assert_eq!(parse("1e"), Err(NumberError::Trailing));
    }
}
