//! The values of integer and string literals.

use crate::diagnostics::{Diagnostic, Span};

/// Why a number is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntError {
    TooLarge,
    Suffix(String),
    /// After a leading 0.
    Octal(char),
    Binary,
    /// Nothing after `0x` or `e`.
    NoDigits(&'static str),
    Underscore,
}

impl IntError {
    pub fn diagnostic(self, span: Span) -> Diagnostic {
        let error = |message: String| Diagnostic::error("bad-number", span, message);
        match self {
            IntError::TooLarge => {
                error("the number is too large".into()).note(format!("the largest is {}", u64::MAX))
            }
            IntError::Suffix(suffix) if suffix == "hz" => error("`hz` is not a suffix of numbers".into())
                .help("a rate is written before its number, hz:99"),
            IntError::Suffix(suffix) => error(format!("`{suffix}` is not a suffix of numbers"))
                .help("durations end in ns, us, ms, s, m, h or d; C's u, l, ul, ll and ull are read over"),
            IntError::Octal(digit) => error(format!("`{digit}` is not an octal digit"))
                .note("a number that starts with 0 is octal")
                .help("leave the leading 0 out if it is meant to be decimal"),
            IntError::Binary => {
                error("there are no binary numbers".into()).help("write it in hexadecimal, `0x…`")
            }
            IntError::NoDigits(after) => error(format!("there is no digit after `{after}`")),
            IntError::Underscore => error("a number cannot end with `_`".into()),
        }
    }
}

/// Decimal, octal (`0123`), hexadecimal, with an exponent (`1e6`), with `_` between digits, with a C suffix or a
/// duration's, which makes it nanoseconds.
pub fn int(text: &str) -> Result<u64, IntError> {
    let radix_prefix = text.get(..2).unwrap_or("");
    if radix_prefix.eq_ignore_ascii_case("0x") {
        let rest = &text[2..];
        let end = rest.find(|c: char| !c.is_ascii_hexdigit() && c != '_').unwrap_or(rest.len());
        let digits = digits(&rest[..end], "0x")?;
        let value = u64::from_str_radix(&digits, 16).map_err(|_| IntError::TooLarge)?;
        return scale(value, &rest[end..]);
    }
    if radix_prefix.eq_ignore_ascii_case("0b") {
        return Err(IntError::Binary);
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (mantissa, rest) = text.split_at(end);
    let mantissa = digits(mantissa, "")?;
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let end = exponent.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(exponent.len());
        let power: u32 = digits(&exponent[..end], "e")?.parse().map_err(|_| IntError::TooLarge)?;
        let value: u64 = mantissa.parse().map_err(|_| IntError::TooLarge)?;
        let power = 10u64.checked_pow(power).ok_or(IntError::TooLarge)?;
        return scale(value.checked_mul(power).ok_or(IntError::TooLarge)?, &exponent[end..]);
    }
    let value = if mantissa.len() > 1 && mantissa.starts_with('0') {
        if let Some(digit) = mantissa.chars().find(|c| !c.is_digit(8)) {
            return Err(IntError::Octal(digit));
        }
        u64::from_str_radix(&mantissa, 8)
    } else {
        mantissa.parse()
    };
    scale(value.map_err(|_| IntError::TooLarge)?, rest)
}

fn digits(text: &str, after: &'static str) -> Result<String, IntError> {
    if text.ends_with('_') {
        return Err(IntError::Underscore);
    }
    let digits = text.replace('_', "");
    if digits.is_empty() { Err(IntError::NoDigits(after)) } else { Ok(digits) }
}

fn scale(value: u64, suffix: &str) -> Result<u64, IntError> {
    let factor = match suffix {
        "" | "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => match suffix.to_ascii_lowercase().as_str() {
            "u" | "l" | "ul" | "lu" | "ll" | "ull" | "llu" => 1,
            _ => return Err(IntError::Suffix(suffix.into())),
        },
    };
    value.checked_mul(factor).ok_or(IntError::TooLarge)
}

/// The bytes of a string with its quotes, at `span`, and what is wrong with its escapes.
pub fn string(text: &str, span: Span) -> (Vec<u8>, Vec<Diagnostic>) {
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    let mut bytes = Vec::with_capacity(inner.len());
    let mut errors = vec![];
    let mut chars = inner.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = chars.next().map_or('\\', |(_, c)| c);
        let mut number = |first: Option<u32>, radix: u32, longest: usize| {
            let mut value = first;
            for _ in 0..longest {
                let Some(digit) = chars.peek().and_then(|(_, c)| c.to_digit(radix)) else { break };
                value = Some(value.unwrap_or(0) * radix + digit);
                chars.next();
            }
            value
        };
        let byte = match escape {
            'n' => Some(b'\n'),
            't' => Some(b'\t'),
            'r' => Some(b'\r'),
            '"' => Some(b'"'),
            '\\' => Some(b'\\'),
            '0'..='7' => number(escape.to_digit(8), 8, 2).and_then(|n| u8::try_from(n).ok()),
            'x' | 'X' => number(None, 16, 2).and_then(|n| u8::try_from(n).ok()),
            _ => None,
        };
        match byte {
            Some(byte) => bytes.push(byte),
            None => {
                let end = chars.peek().map_or(inner.len(), |(at, _)| *at);
                // The escape's own place, one past the opening quote.
                let start = span.start + 1 + u32::try_from(at).unwrap_or(0);
                let length = u32::try_from(end - at).unwrap_or(0);
                let place = Span { start, end: start + length, ..span };
                errors.push(bad_escape(&inner[at..end], escape, place));
            }
        }
    }
    (bytes, errors)
}

fn bad_escape(text: &str, escape: char, place: Span) -> Diagnostic {
    let error = |message: String| Diagnostic::error("bad-escape", place, message);
    match escape {
        '0'..='7' => error(format!("`{text}` is no byte")).help("the largest octal escape is \\377"),
        'x' | 'X' => error("`\\x` needs hexadecimal digits".into()).help("write two, such as \\x1b"),
        'e' => error("there is no escape `\\e`".into()).help("the escape character is \\033 or \\x1b"),
        'a' | 'b' | 'f' | 'v' => {
            error(format!("there is no escape `{text}`")).help("write its code as \\xnn or \\0nn")
        }
        '\'' => error("there is no escape `\\'`".into()).help("a `'` needs no backslash"),
        '%' => error("there is no escape `\\%`".into()).help("a percent sign in a format is `%%`"),
        _ => error(format!("there is no escape `{text}`"))
            .help(r#"the escapes are \n \t \r \" \\ \0nn and \xnn; a backslash itself is \\"#),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::FileId;

    #[test]
    fn numbers_have_many_forms() {
        for (text, value) in [
            ("0", 0),
            ("123", 123),
            ("0123", 0o123),
            ("0xFf", 255),
            ("0XaUL", 10),
            ("1_000_123", 1_000_123),
            ("1e6", 1_000_000),
            ("2E3", 2000),
            ("25e2s", 2_500_000_000_000),
            ("123ull", 123),
            ("7LL", 7),
            ("5ns", 5),
            ("1us", 1000),
            ("3ms", 3_000_000),
            ("1m", 60_000_000_000),
            ("2h", 7_200_000_000_000),
            ("1d", 86_400_000_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(int(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn numbers_that_are_none_say_why() {
        use IntError::*;
        for (text, error) in [
            ("18446744073709551616", TooLarge),
            ("1e20", TooLarge),
            ("400000d", TooLarge),
            ("1e99999999999", TooLarge),
            ("08", Octal('8')),
            ("0b11", Binary),
            ("0x", NoDigits("0x")),
            ("0xg", NoDigits("0x")),
            ("1e", NoDigits("e")),
            ("1_", Underscore),
            ("5sec", Suffix("sec".into())),
            ("12abc", Suffix("abc".into())),
        ] {
            assert_eq!(int(text), Err(error), "{text}");
        }
    }

    #[test]
    fn strings_resolve_escapes_to_bytes() {
        let span = Span::new(FileId(0), 10, 20);
        let (bytes, errors) = string(r#""a\n\t\\\"\033[1m\x41\xff\0é""#, span);
        assert_eq!(bytes, b"a\n\t\\\"\x1b[1mA\xff\0\xc3\xa9");
        assert!(errors.is_empty());
        let (bytes, errors) = string(r#""é\q\777\x""#, span);
        assert_eq!(bytes, "é".as_bytes());
        let places: Vec<_> = errors.iter().filter_map(|e| e.span).map(|s| (s.start, s.end)).collect();
        assert_eq!(places, [(13, 15), (15, 19), (19, 21)]);
    }
}
