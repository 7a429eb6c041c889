//! `printf`: a parsed format and the bytes of its arguments, straight into a buffer. This runs for every event,
//! so it allocates nothing for numbers and strings.

use std::ffi::CString;

use super::value::{Show, buffer, escaped, float, scalar};
use super::{Bytes, Names, gfp, number};
use crate::format::{Conversion, Format, Piece, Spec};

/// The text that a format and its arguments make, appended: for `errorf`, `cat` and `system`, and what
/// [`Output::printf`](super::Output::printf) prints.
pub fn format_to(out: &mut Vec<u8>, format: &Format, args: &[Bytes<'_>], names: &mut Names<'_>) {
    let mut args = args.iter();
    for piece in &format.pieces {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            // The checker counts the arguments; an image from elsewhere may lack some.
            Piece::Spec(spec) => match args.next() {
                Some(arg) => convert(out, spec, *arg, names),
                None => out.extend_from_slice(b"(missing)"),
            },
        }
    }
}

fn convert(out: &mut Vec<u8>, spec: &Spec, arg: Bytes<'_>, names: &mut Names<'_>) {
    let start = out.len();
    match (spec.conversion, scalar(arg)) {
        (Conversion::Raw, _) => escaped(out, buffer(arg)),
        (Conversion::RawHex, _) => {
            for byte in buffer(arg) {
                out.extend_from_slice(b"\\x");
                number::hex_byte(out, *byte);
            }
        }
        (Conversion::RawPlain, _) => {
            for (n, byte) in buffer(arg).iter().enumerate() {
                if n > 0 {
                    out.push(b' ');
                }
                number::hex_byte(out, *byte);
            }
        }
        (Conversion::Float(style), _) => match float(arg.bytes) {
            Some(n) => floating(out, spec, style, n),
            None => out.extend_from_slice(b"(missing)"),
        },
        // What is not a number has only its text.
        (Conversion::String, _) | (_, None) => {
            Show { names, div: 1 }.text(out, arg);
            if let Some(precision) = spec.precision {
                out.truncate(start.saturating_add(precision as usize).min(out.len()));
            }
        }
        (Conversion::Char, Some(n)) => out.push(n as u8),
        (Conversion::GfpFlags, Some(n)) => gfp::flags(out, n),
        // As streams and the original show a null pointer.
        (Conversion::Pointer, Some(0)) => out.push(b'0'),
        (Conversion::Pointer, Some(n)) => {
            out.extend_from_slice(b"0x");
            number::hex(out, n);
        }
        (Conversion::Signed | Conversion::Unsigned | Conversion::Octal | Conversion::Hex { .. }, Some(n)) => {
            names.lookups.cut |= spec.cuts(n);
            return integer(out, spec, n);
        }
    }
    pad(out, spec, start);
}

/// As snprintf(3) writes it, but for the width.
fn floating(out: &mut Vec<u8>, spec: &Spec, style: char, n: f64) {
    let flags = [(spec.plus, '+'), (spec.space, ' '), (spec.alternate, '#'), (spec.zero, '0')];
    let mut format: String = std::iter::once('%').chain(flags.iter().filter(|f| f.0).map(|f| f.1)).collect();
    // Zeros go between the sign and the number. Spaces are for others to add.
    if let Some(width) = spec.width.filter(|_| spec.zero && !spec.left) {
        format.push_str(&width.to_string());
    }
    if let Some(precision) = spec.precision {
        format.push('.');
        format.push_str(&precision.to_string());
    }
    format.push(style);
    let Ok(format) = CString::new(format) else { return };
    // SAFETY: the format takes one double, and nothing is written into a buffer of no bytes.
    let size = unsafe { libc::snprintf(std::ptr::null_mut(), 0, format.as_ptr(), n) };
    let mut text = vec![0u8; usize::try_from(size).unwrap_or(0) + 1];
    // SAFETY: as above, and the buffer is as long as is said.
    unsafe { libc::snprintf(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), n) };
    text.pop();
    out.append(&mut text);
}

/// An integer conversion of C: the length modifier cuts the number, the precision is the least number of digits,
/// and zeros fill the width only if there is no precision.
fn integer(out: &mut Vec<u8>, spec: &Spec, value: u64) {
    let start = out.len();
    let unused = 64 - 8 * u32::from(spec.integer_size());
    let value = if spec.conversion == Conversion::Signed {
        let value = (value << unused) as i64 >> unused;
        if value < 0 {
            out.push(b'-');
        } else if spec.plus {
            out.push(b'+');
        } else if spec.space {
            out.push(b' ');
        }
        value.unsigned_abs()
    } else {
        value << unused >> unused
    };
    let hex = matches!(spec.conversion, Conversion::Hex { .. });
    if spec.alternate && hex && value != 0 {
        let upper = spec.conversion == Conversion::Hex { upper: true };
        out.extend_from_slice(if upper { b"0X" } else { b"0x" });
    }
    let digits = out.len();
    match spec.conversion {
        // No digits at all are asked for.
        _ if value == 0 && spec.precision == Some(0) => (),
        Conversion::Octal => number::octal(out, value),
        Conversion::Hex { upper: true } => number::upper_hex(out, value),
        Conversion::Hex { upper: false } => number::hex(out, value),
        _ => number::unsigned(out, value),
    }
    let mut least = match (spec.precision, spec.width) {
        (Some(precision), _) => precision as usize,
        (None, Some(width)) if spec.zero && !spec.left => (width as usize).saturating_sub(digits - start),
        _ => 0,
    };
    if spec.alternate && spec.conversion == Conversion::Octal && out.get(digits) != Some(&b'0') {
        least = least.max(out.len() - digits + 1);
    }
    insert(out, digits, b'0', least.saturating_sub(out.len() - digits));
    pad(out, spec, start);
}

/// Fills what was written since `start` up to the width, with spaces.
fn pad(out: &mut Vec<u8>, spec: &Spec, start: usize) {
    let Some(width) = spec.width else { return };
    let missing = (width as usize).saturating_sub(out.len() - start);
    insert(out, if spec.left { out.len() } else { start }, b' ', missing);
}

fn insert(out: &mut Vec<u8>, at: usize, byte: u8, count: usize) {
    if count == 0 {
        return;
    }
    let end = out.len();
    out.resize(end + count, byte);
    if at < end {
        out.copy_within(at..end, at + count);
        if let Some(gap) = out.get_mut(at..at + count) {
            gap.fill(byte);
        }
    }
}
