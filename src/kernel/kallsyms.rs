//! `/proc/kallsyms`: all symbols of the kernel and its modules, one a line: `ffffffff81000000 T _text    [module]`.
//!
//! The kernel makes the text anew at each reading, so nothing here reads it twice, and nothing keeps it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

/// A line of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// 0 where addresses are hidden (`kernel.kptr_restrict`).
    pub address: u64,
    /// As in `nm`: `t` and `T` are code.
    pub kind: u8,
    pub name: &'a str,
    pub module: Option<&'a str>,
}

impl Symbol<'_> {
    pub fn is_code(&self) -> bool {
        matches!(self.kind, b't' | b'T' | b'w' | b'W')
    }
}

/// Calls `each` with every symbol until it returns false.
pub fn stream(mut each: impl FnMut(Symbol<'_>) -> bool) -> io::Result<()> {
    // The kernel fills a page at a time whatever the size of the buffer.
    read(BufReader::with_capacity(1 << 16, File::open("/proc/kallsyms")?), &mut each)
}

fn read(mut input: impl BufRead, each: &mut dyn FnMut(Symbol<'_>) -> bool) -> io::Result<()> {
    let mut line = vec![];
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if let Some(symbol) = std::str::from_utf8(&line).ok().and_then(parse)
            && !each(symbol)
        {
            return Ok(());
        }
    }
}

fn parse(line: &str) -> Option<Symbol<'_>> {
    let (address, rest) = line.trim_end().split_once(' ')?;
    let (kind, rest) = rest.split_once(' ')?;
    let (name, module) = match rest.split_once('\t') {
        Some((name, module)) => (name, module.strip_prefix('[').and_then(|m| m.strip_suffix(']'))),
        None => (rest, None),
    };
    let address = u64::from_str_radix(address, 16).ok()?;
    Some(Symbol { address, kind: *kind.as_bytes().first()?, name, module })
}

/// The addresses of the named symbols; the first one where several have the name.
pub fn addresses(names: &[&str]) -> HashMap<String, Option<u64>> {
    let mut found: HashMap<String, Option<u64>> = names.iter().map(|n| ((*n).to_owned(), None)).collect();
    let mut left = found.len();
    // Without the file nothing has an address, which is what the answer says.
    let _ = stream(|symbol| {
        if let Some(address) = found.get_mut(symbol.name)
            && address.is_none()
            && symbol.address != 0
        {
            *address = Some(symbol.address);
            left -= 1;
        }
        left > 0
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_and_without_module() {
        let text = b"ffffffff81000000 T _text\nffffffffc0001000 t helper\t[kvm]\nbroken\n0 d data\n";
        let mut seen = vec![];
        read(&text[..], &mut |s| {
            seen.push((s.address, s.is_code(), s.name.to_owned(), s.module.map(str::to_owned)));
            true
        })
        .unwrap();
        assert_eq!(
            seen,
            [
                (0xffff_ffff_8100_0000, true, "_text".to_owned(), None),
                (0xffff_ffff_c000_1000, true, "helper".to_owned(), Some("kvm".to_owned())),
                (0, false, "data".to_owned(), None),
            ]
        );
    }

    #[test]
    fn reading_stops_when_told() {
        let mut lines = 0;
        read(&b"1 T a\n2 T b\n3 T c\n"[..], &mut |_| {
            lines += 1;
            lines < 2
        })
        .unwrap();
        assert_eq!(lines, 2);
    }
}
