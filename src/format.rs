//! Format strings of `printf` and its relatives: parsed once when the script is checked, and once when the image
//! is loaded; rendering is in [`crate::output`].

use crate::types::Type;

/// A parsed format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format {
    pub pieces: Vec<Piece>,
}

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
    pub range: std::ops::Range<usize>,
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
    Pointer,
    /// `s`
    String,
    /// `r`: printable characters as they are, others as `\x..`
    Raw,
    /// `rx`: all bytes as `\x..`
    RawHex,
    /// `rh`: all bytes as hex digits, with spaces
    RawPlain,
}

/// Why a format is wrong: the bytes of it, and what about them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FormatError {
    pub range: std::ops::Range<usize>,
    pub message: String,
}

impl Format {
    pub fn parse(text: &str) -> Result<Format, FormatError> {
        let _ = text;
        todo!()
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
        let _ = ty;
        todo!()
    }
}
