//! Format strings of `printf` and its relatives: parsed once when the script is checked, and once when the image
//! is loaded; rendering is in [`crate::output`].
//!
//! The grammar is that of printf(3) without what makes no sense here (`%n`, widths from arguments), and with the
//! conversions `%r`, `%rx`, `%rh` for buffers and `%gr` for allocation flags.

use std::ops::Range;

use crate::types::Type;

/// A parsed format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format {
    pub pieces: Vec<Piece>,
    /// Where a `%` begins no conversion although a letter follows it. It is text like any other, but hardly on purpose.
    pub unknown: Vec<Range<usize>>,
}

/// The conversions, for messages.
pub const CONVERSIONS: &str = "%d %i %u %o %x %X %c %s %p %f %e %g %a %r %rx %rh %gr";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    Spec(Spec),
}

/// One conversion: `%-16s`, `%08llx`, `%rx`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    pub left: bool,
    pub plus: bool,
    pub space: bool,
    pub alternate: bool,
    pub zero: bool,
    pub width: Option<u32>,
    pub precision: Option<u32>,
    /// `hh`, `h`, `l`, `ll`, …, as written; for integers it says how many bytes are shown.
    pub length: String,
    pub conversion: Conversion,
    /// The bytes of the format string it was parsed from.
    pub range: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// `d`, `i`
    Signed,
    Unsigned,
    Octal,
    /// `x`, `X`
    Hex {
        upper: bool,
    },
    Char,
    /// `f`, `e`, `g`, `a`, or one of them in capitals
    Float(char),
    Pointer,
    /// `s`
    String,
    /// `r`: printable characters as they are, others as `\x..`
    Raw,
    /// `rx`: all bytes as `\x..`
    RawHex,
    /// `rh`: all bytes as hex digits, with spaces
    RawPlain,
    /// `gr`: the names of the kernel's page allocation flags
    GfpFlags,
}

/// Why a format is wrong: the bytes of it, and what about them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FormatError {
    pub range: Range<usize>,
    pub message: String,
}

/// Widths beyond this are taken for mistakes: one line would fill the screen many times.
const MAX_WIDTH: u32 = 65_536;

impl Format {
    /// Parses a format. A `%` before something that cannot begin a conversion (punctuation, a line's end, the end
    /// of the format) stands for itself, as it always has: `"100%\n"`. So does one before a letter that is no conversion.
    pub fn parse(text: &str) -> Result<Format, FormatError> {
        let (mut pieces, mut unknown) = (vec![], vec![]);
        let mut literal = String::new();
        let mut at = 0;
        while let Some(found) = text.get(at..).and_then(|rest| rest.find('%')) {
            let start = at + found;
            literal.push_str(text.get(at..start).unwrap_or(""));
            match Scanner::new(text, start).spec()? {
                Scanned::Percent { end } => {
                    literal.push('%');
                    at = end;
                }
                Scanned::Unknown { end } => {
                    literal.push('%');
                    at = start + 1;
                    unknown.push(start..end);
                }
                Scanned::Spec(spec) => {
                    at = spec.range.end;
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Spec(spec));
                }
            }
        }
        literal.push_str(text.get(at..).unwrap_or(""));
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Format { pieces, unknown })
    }

    pub fn specs(&self) -> impl Iterator<Item = &Spec> {
        self.pieces.iter().filter_map(|p| match p {
            Piece::Spec(spec) => Some(spec),
            Piece::Text(_) => None,
        })
    }
}

impl Spec {
    /// Whether a value of this type can be shown so; otherwise what could be, for the message.
    pub fn accepts(&self, ty: &Type) -> Result<(), &'static str> {
        if *ty == Type::Void {
            return Err("a value");
        }
        let (fits, wanted) = match self.conversion {
            Conversion::String => (true, "any value"),
            Conversion::Float(_) => (matches!(ty, Type::Float { .. }), "a floating-point number"),
            Conversion::Raw | Conversion::RawHex | Conversion::RawPlain => {
                (matches!(ty, Type::Buf(_)), "a buffer, from buf()")
            }
            _ => (
                matches!(ty, Type::Bool | Type::Int(_) | Type::Enum { .. } | Type::Ptr { .. }),
                "an integer, a boolean or a pointer",
            ),
        };
        if fits { Ok(()) } else { Err(wanted) }
    }

    /// How many bytes of an integer the length modifier leaves, as on every 64-bit Linux: `%d` is an `int`, as in
    /// C and bpftrace 0.26. What that cuts is told: see [`Spec::cuts`].
    pub fn integer_size(&self) -> u8 {
        match (self.conversion, self.length.as_str()) {
            (Conversion::Pointer | Conversion::GfpFlags, _) => 8,
            (Conversion::Char, _) | (_, "hh") => 1,
            (_, "h") => 2,
            (_, "") => 4,
            _ => 8,
        }
    }

    /// Whether a conversion without a length modifier loses digits of a number (sign-extended to 64 bits). Older
    /// versions showed all of it, so scripts may count on that; who writes `%hhx` wants it cut.
    pub fn cuts(&self, value: u64) -> bool {
        use Conversion::{Hex, Octal, Signed, Unsigned};
        let number = matches!(self.conversion, Signed | Unsigned | Octal | Hex { .. });
        let fits_signed = i32::try_from(value as i64).is_ok();
        let fits = fits_signed || self.conversion != Signed && u32::try_from(value).is_ok();
        number && self.length.is_empty() && !fits
    }
}

enum Scanned {
    /// `%%`, or a `%` that stands for itself.
    Percent {
        end: usize,
    },
    /// As [`Format::unknown`] has it.
    Unknown {
        end: usize,
    },
    Spec(Spec),
}

/// Reads one conversion, from its `%` on.
struct Scanner<'a> {
    text: &'a str,
    start: usize,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str, start: usize) -> Self {
        Scanner { text, start, at: start + 1 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// What has been read of the conversion so far, with one more character.
    fn written(&self, end: usize) -> &'a str {
        self.text.get(self.start..end).unwrap_or("%")
    }

    fn error(&self, end: usize, message: String) -> FormatError {
        FormatError { range: self.start..end, message }
    }

    fn spec(mut self) -> Result<Scanned, FormatError> {
        let mut spec = Spec {
            left: false,
            plus: false,
            space: false,
            alternate: false,
            zero: false,
            width: None,
            precision: None,
            length: String::new(),
            conversion: Conversion::String,
            range: 0..0,
        };
        loop {
            match self.peek() {
                Some('-') => spec.left = true,
                Some('+') => spec.plus = true,
                Some(' ') => spec.space = true,
                Some('#') => spec.alternate = true,
                Some('0') => spec.zero = true,
                _ => break,
            }
            self.at += 1;
        }
        spec.width = self.number("width")?;
        if self.eat(".") {
            // A point without a number means zero.
            spec.precision = Some(self.number("precision")?.unwrap_or(0));
        }
        spec.length = self.length();
        if self.eat("%") {
            return Ok(Scanned::Percent { end: self.at });
        }
        let Some(letter) = self.peek().filter(char::is_ascii_alphabetic) else {
            return Ok(match spec.length.is_empty() {
                true => Scanned::Percent { end: self.start + 1 },
                false => Scanned::Unknown { end: self.at },
            });
        };
        let Some(conversion) = self.conversion(letter)? else {
            return Ok(Scanned::Unknown { end: self.at + letter.len_utf8() });
        };
        spec.conversion = conversion;
        spec.range = self.start..self.at;
        Ok(Scanned::Spec(spec))
    }

    fn number(&mut self, what: &str) -> Result<Option<u32>, FormatError> {
        if self.peek() == Some('*') {
            let end = self.at + 1;
            return Err(self.error(
                end,
                format!("a {what} of \"*\", taken from an argument, is not supported: write the number here"),
            ));
        }
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let Some(number) = self.rest().get(..digits).filter(|d| !d.is_empty()) else { return Ok(None) };
        let end = self.at + digits;
        match number.parse::<u32>() {
            Ok(n) if n <= MAX_WIDTH => {
                self.at = end;
                Ok(Some(n))
            }
            _ => Err(self.error(end, format!("a {what} of {number} is too large: at most {MAX_WIDTH}"))),
        }
    }

    fn length(&mut self) -> String {
        for length in ["hh", "h", "ll", "l", "j", "z", "t", "L", "q"] {
            if self.eat(length) {
                return length.to_owned();
            }
        }
        String::new()
    }

    fn conversion(&mut self, letter: char) -> Result<Option<Conversion>, FormatError> {
        for (text, conversion) in [
            ("gr", Conversion::GfpFlags),
            ("rx", Conversion::RawHex),
            ("rh", Conversion::RawPlain),
            ("r", Conversion::Raw),
            ("d", Conversion::Signed),
            ("i", Conversion::Signed),
            ("u", Conversion::Unsigned),
            ("o", Conversion::Octal),
            ("x", Conversion::Hex { upper: false }),
            ("X", Conversion::Hex { upper: true }),
            ("c", Conversion::Char),
            ("p", Conversion::Pointer),
            ("s", Conversion::String),
            ("f", Conversion::Float('f')),
            ("F", Conversion::Float('F')),
            ("e", Conversion::Float('e')),
            ("E", Conversion::Float('E')),
            ("g", Conversion::Float('g')),
            ("G", Conversion::Float('G')),
            ("a", Conversion::Float('a')),
            ("A", Conversion::Float('A')),
        ] {
            if self.eat(text) {
                return Ok(Some(conversion));
            }
        }
        let end = self.at + letter.len_utf8();
        let written = self.written(end);
        match letter {
            'n' => Err(self.error(end, format!("\"{written}\" is not supported: it would write to memory"))),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Int, Space, StackFormat, StackMode};

    fn one(text: &str) -> Spec {
        let format = Format::parse(text).unwrap();
        match &format.pieces[..] {
            [Piece::Spec(spec)] => spec.clone(),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn error(text: &str) -> (&str, String) {
        let error = Format::parse(text).unwrap_err();
        (&text[error.range.clone()], error.message)
    }

    #[test]
    fn flags_width_precision_and_length_in_any_combination() {
        let spec = one("%-+ #08.3lld");
        assert!(spec.left && spec.plus && spec.space && spec.alternate && spec.zero);
        assert_eq!((spec.width, spec.precision, spec.length.as_str()), (Some(8), Some(3), "ll"));
        assert_eq!(spec.conversion, Conversion::Signed);
        assert_eq!(spec.range, 0..12);
        let spec = one("%0-5i");
        assert!(spec.left && spec.zero && !spec.plus);
        assert_eq!(one("%.s").precision, Some(0));
        for (text, size) in [
            ("%d", 4),
            ("%hhd", 1),
            ("%hd", 2),
            ("%ld", 8),
            ("%lld", 8),
            ("%jd", 8),
            ("%zu", 8),
            ("%tx", 8),
            ("%p", 8),
            ("%lc", 1),
        ] {
            assert_eq!(one(text).integer_size(), size, "{text}");
        }
        let cut = |text, value: i64| one(text).cuts(value as u64);
        assert!(cut("%d", 1 << 31) && cut("%d", i64::MIN) && cut("%x", 1 << 32) && cut("%u", -(1 << 40)));
        assert!(!cut("%d", -1) && !cut("%x", -1) && !cut("%u", u32::MAX.into()) && !cut("%ld", i64::MAX));
        assert!(!cut("%hhx", i64::MAX) && !cut("%p", i64::MAX) && !cut("%s", i64::MAX));
    }

    #[test]
    fn all_conversions() {
        use Conversion::*;
        for (text, conversion) in [
            ("%d", Signed),
            ("%i", Signed),
            ("%u", Unsigned),
            ("%o", Octal),
            ("%x", Hex { upper: false }),
            ("%X", Hex { upper: true }),
            ("%c", Char),
            ("%p", Pointer),
            ("%s", String),
            ("%r", Raw),
            ("%rx", RawHex),
            ("%rh", RawPlain),
            ("%gr", GfpFlags),
            ("%g", Float('g')),
            ("%F", Float('F')),
        ] {
            assert_eq!(one(text).conversion, conversion, "{text}");
        }
    }

    #[test]
    fn text_and_specs_alternate() {
        let format = Format::parse("é %d%% of %s\n").unwrap();
        let shown: Vec<_> = format
            .pieces
            .iter()
            .map(|p| match p {
                Piece::Text(text) => text.clone(),
                Piece::Spec(spec) => format!("<{}..{}>", spec.range.start, spec.range.end),
            })
            .collect();
        assert_eq!(shown, ["é ", "<3..5>", "% of ", "<11..13>", "\n"]);
        assert_eq!(format.specs().count(), 2);
        assert_eq!(Format::parse("").unwrap().pieces, []);
    }

    #[test]
    fn a_percent_that_begins_nothing_is_itself() {
        for (text, shown) in
            [("100%\n", "100%\n"), ("(5%)", "(5%)"), ("%", "%"), ("%5%", "%"), ("%-é", "%-é"), ("%%%", "%%")]
        {
            assert_eq!(Format::parse(text).unwrap().pieces, [Piece::Text(shown.into())], "{text}");
        }
    }

    #[test]
    fn a_letter_that_is_no_conversion_is_text() {
        let text = "a %y é%-5k%d %%b";
        let format = Format::parse(text).unwrap();
        let unknown: Vec<_> = format.unknown.iter().map(|range| &text[range.clone()]).collect();
        assert_eq!(unknown, ["%y", "%-5k"]);
        assert_eq!(format.pieces.first(), Some(&Piece::Text("a %y é%-5k".into())));
        assert_eq!(format.pieces.last(), Some(&Piece::Text(" %b".into())));
        assert_eq!((format.pieces.len(), format.specs().count()), (3, 1));
    }

    #[test]
    fn errors_say_where_and_what() {
        assert!(error("%n").1.contains("not supported"));
        assert_eq!(error("é%*d").0, "%*");
        assert_eq!(error("%.*d").0, "%.*");
        assert!(error("%99999999999d").1.contains("too large"));
    }

    #[test]
    fn conversions_take_what_they_can_show() {
        let int = Type::Int(Int::I16);
        let ptr = Type::ptr(Type::U8, Space::Kernel);
        let stack = Type::KStack(StackFormat { mode: StackMode::Perf, limit: 3 });
        assert_eq!(one("%d").accepts(&int), Ok(()));
        assert_eq!(one("%x").accepts(&ptr), Ok(()));
        assert_eq!(one("%d").accepts(&Type::Bool), Ok(()));
        assert!(one("%d").accepts(&Type::Str(4)).unwrap_err().contains("integer"));
        assert_eq!(one("%s").accepts(&int), Ok(()));
        assert_eq!(one("%s").accepts(&stack), Ok(()));
        assert_eq!(one("%s").accepts(&Type::Void), Err("a value"));
        assert_eq!(one("%rx").accepts(&Type::Buf(4)), Ok(()));
        assert!(one("%r").accepts(&int).unwrap_err().contains("buf()"));
        assert!(one("%-5.2f").accepts(&int).unwrap_err().contains("floating-point"));
        assert!(one("%d").accepts(&Type::DOUBLE).is_err());
        assert_eq!(one("%g").accepts(&Type::FLOAT), Ok(()));
    }

    #[test]
    fn no_text_makes_it_panic() {
        let alphabet = ["%", "-", "0", "9", ".", "*", "h", "l", "d", "r", "x", "é", "\0", "%%", "f", "g"];
        let mut seed = 7u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..6 {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                text.push_str(alphabet[(seed >> 33) as usize % alphabet.len()]);
            }
            match Format::parse(&text) {
                Ok(format) => assert!(format.specs().all(|s| text.get(s.range.clone()).is_some())),
                Err(error) => assert!(text.get(error.range).is_some(), "{text}"),
            }
        }
    }
}
