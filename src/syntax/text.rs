//! Bytes to text.

use crate::diagnostics::{Diagnostic, FileId, Span};

/// A script's text, and where in it something stands that was not UTF-8. Old scripts have names in Latin-1 in their
/// comments, so that such bytes are taken for that. `None` for what is no text at all.
pub fn decode(bytes: Vec<u8>) -> Option<(String, Option<usize>)> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Some((text, None)),
        Err(error) => error.into_bytes(),
    };
    if bytes.contains(&0) {
        return None;
    }
    let (mut text, mut first) = (String::with_capacity(bytes.len() + 8), None);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            first.get_or_insert(text.len());
            text.extend(chunk.invalid().iter().map(|byte| char::from(*byte)));
        }
    }
    Some((text, first))
}

/// The warning of what [`decode`] found at `at`.
pub fn not_utf8(file: FileId, at: usize) -> Diagnostic {
    Diagnostic::warning("encoding", Span::new(file, at, at), "this is not UTF-8, and is read as Latin-1")
        .help("iconv -f latin1 -t utf8 converts the script")
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn what_is_not_utf8_is_latin1_and_what_is_not_text_is_nothing() {
        let text = |bytes: &[u8]| decode(bytes.to_vec());
        assert_eq!(text("a é".as_bytes()), Some(("a é".into(), None)));
        assert_eq!(text(b"a\0"), Some(("a\0".into(), None)));
        assert_eq!(text(b"// Jos\xe9, \xc3\xa9 \xff"), Some(("// José, é ÿ".into(), Some(6))));
        assert_eq!(text(b"\xc3"), Some(("Ã".into(), Some(0))));
        assert_eq!(text(b"\x7fELF\0\xff"), None);
    }
}
