//! Timestamps as strftime(3) writes them, with `%f` for microseconds.

use std::collections::HashMap;
use std::ffi::CString;
use std::mem::MaybeUninit;

/// A point in time on one of the kernel's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// `CLOCK_BOOTTIME`, `CLOCK_TAI` or `CLOCK_REALTIME`.
    pub clock: u32,
    pub nanoseconds: u64,
}

/// Shows timestamps. Lines of one second differ only in their `%f`, so what strftime made is kept for that long.
#[derive(Debug, Default)]
pub struct Clocks {
    /// What to add to a clock for wall-clock time, in nanoseconds, by clock. Found once: a step of the wall clock
    /// during a run must not tear its timestamps apart.
    offsets: HashMap<u32, i128>,
    formats: HashMap<String, Rendered>,
}

/// A format, and what it gave for the second last seen.
#[derive(Debug)]
struct Rendered {
    pieces: Vec<Piece>,
    second: i64,
    texts: Vec<Vec<u8>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// For strftime.
    Format(CString),
    Microseconds,
}

impl Clocks {
    /// Appends a moment in local time.
    pub fn show(&mut self, out: &mut Vec<u8>, format: &str, at: Moment) {
        let wall = self.wall(at);
        let second = i64::try_from(wall.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
        let micros = (wall.rem_euclid(1_000_000_000) / 1000) as u64;
        if !self.formats.contains_key(format) {
            let pieces = split(format);
            self.formats.insert(format.to_owned(), Rendered { pieces, second: i64::MIN, texts: vec![] });
        }
        let Some(rendered) = self.formats.get_mut(format) else { return };
        if rendered.second != second {
            rendered.second = second;
            rendered.texts = rendered.pieces.iter().map(|p| text(p, second, libc::localtime_r)).collect();
        }
        for (piece, text) in rendered.pieces.iter().zip(&rendered.texts) {
            match piece {
                Piece::Format(_) => out.extend_from_slice(text),
                Piece::Microseconds => out.extend_from_slice(format!("{micros:06}").as_bytes()),
            }
        }
    }

    /// Nanoseconds of wall-clock time.
    pub(super) fn wall(&mut self, at: Moment) -> i128 {
        let offset = *self.offsets.entry(at.clock).or_insert_with(|| offset(at.clock));
        i128::from(at.nanoseconds) + offset
    }

    /// Appends hours, minutes and seconds in local time, and so many digits after the seconds.
    pub fn time_of_day(&mut self, out: &mut Vec<u8>, digits: usize, at: Moment) {
        self.show(out, "%H:%M:%S", at);
        if digits > 0 {
            let nanoseconds = format!("{:09}", self.wall(at).rem_euclid(1_000_000_000));
            out.push(b'.');
            out.extend_from_slice(nanoseconds.get(..digits).unwrap_or_default().as_bytes());
        }
    }

    /// Appends date and time in UTC, with nanoseconds.
    pub fn utc(&mut self, out: &mut Vec<u8>, at: Moment) {
        let wall = self.wall(at);
        let second = i64::try_from(wall.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
        let format = Piece::Format(c"%Y-%m-%d %H:%M:%S".to_owned());
        out.extend_from_slice(&text(&format, second, libc::gmtime_r));
        out.extend_from_slice(format!(".{:09}", wall.rem_euclid(1_000_000_000)).as_bytes());
    }

    /// Appends the time now: `time("%H:%M:%S")`.
    pub fn now(&mut self, out: &mut Vec<u8>, format: &str) {
        let clock = libc::CLOCK_REALTIME as u32;
        self.show(
            out,
            format,
            Moment { clock, nanoseconds: u64::try_from(read(libc::CLOCK_REALTIME)).unwrap_or(0) },
        );
    }
}

fn split(format: &str) -> Vec<Piece> {
    let mut pieces = vec![];
    let mut plain = String::new();
    let mut letters = format.chars();
    let keep = |plain: &mut String, pieces: &mut Vec<Piece>| {
        // A NUL cannot come from a script's string, which ends there.
        if let Ok(text) = CString::new(std::mem::take(plain))
            && !text.is_empty()
        {
            pieces.push(Piece::Format(text));
        }
    };
    while let Some(letter) = letters.next() {
        plain.push(letter);
        if letter == '%' {
            match letters.next() {
                Some('f') => {
                    plain.pop();
                    keep(&mut plain, &mut pieces);
                    pieces.push(Piece::Microseconds);
                }
                Some(other) => plain.push(other),
                None => (),
            }
        }
    }
    keep(&mut plain, &mut pieces);
    pieces
}

/// localtime_r(3) or gmtime_r(3).
type BreakDown = unsafe extern "C" fn(*const libc::time_t, *mut libc::tm) -> *mut libc::tm;

fn text(piece: &Piece, second: i64, break_down: BreakDown) -> Vec<u8> {
    let Piece::Format(format) = piece else { return vec![] };
    let mut broken_down = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are to live values of the right types, and the result is read only if it was written.
    let local = unsafe {
        if break_down(&second, broken_down.as_mut_ptr()).is_null() {
            return b"(?)".to_vec();
        }
        broken_down.assume_init()
    };
    let mut text = vec![0u8; 64 + 32 * format.as_bytes().len()];
    // SAFETY: the buffer is as long as is said, the format ends in NUL, `local` was filled.
    let length = unsafe { libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), &local) };
    text.truncate(length);
    text
}

/// Nanoseconds from that clock to the wall clock.
fn offset(clock: u32) -> i128 {
    let Ok(clock) = libc::clockid_t::try_from(clock) else { return 0 };
    if clock == libc::CLOCK_REALTIME {
        return 0;
    }
    // These two are whole seconds apart.
    let whole = |offset: i128| match clock {
        libc::CLOCK_TAI => (offset + 500_000_000).div_euclid(1_000_000_000) * 1_000_000_000,
        _ => offset,
    };
    // An interruption between the two readings makes the first look older than it is: take the closest pair.
    (0..5)
        .map(|_| {
            let before = read(libc::CLOCK_REALTIME);
            let own = read(clock);
            let after = read(libc::CLOCK_REALTIME);
            (after - before, (before + after) / 2 - own)
        })
        .min()
        .map_or(0, |(_, offset)| whole(offset))
}

fn read(clock: libc::clockid_t) -> i128 {
    crate::kernel::clock(clock).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(clocks: &mut Clocks, format: &str, at: Moment) -> String {
        let mut out = vec![];
        clocks.show(&mut out, format, at);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn microseconds_and_strftimes_own_conversions() {
        let clock = libc::CLOCK_REALTIME as u32;
        let mut clocks = Clocks::default();
        let at = |nanoseconds| Moment { clock, nanoseconds };
        assert_eq!(show(&mut clocks, "%s.%f|%%f|%", at(1_000_123_999)), "1.000123|%f|%");
        assert_eq!(show(&mut clocks, "%s.%f|%%f|%", at(1_999_999_999)), "1.999999|%f|%");
        assert_eq!(show(&mut clocks, "%s.%f|%%f|%", at(2_000_000_000)), "2.000000|%f|%");
        assert_eq!(show(&mut clocks, "", at(5)), "");
        // A date that no time zone moves to another month.
        assert_eq!(show(&mut clocks, "%Y-%m", at(1_000_000_000_000_000_000)), "2001-09");
    }

    #[test]
    fn boot_time_becomes_wall_clock_time() {
        let mut clocks = Clocks::default();
        let boot =
            Moment { clock: libc::CLOCK_BOOTTIME as u32, nanoseconds: read(libc::CLOCK_BOOTTIME) as u64 };
        let now = read(libc::CLOCK_REALTIME);
        let shown = show(&mut clocks, "%s%f000", boot).parse::<i128>().unwrap();
        assert!((now - shown).abs() < 1_000_000_000, "{now} {shown}");
        let mut text = vec![];
        clocks.now(&mut text, "%s");
        let shown = String::from_utf8(text).unwrap().parse::<i128>().unwrap();
        assert!((now / 1_000_000_000 - shown).abs() <= 1);
    }
}
