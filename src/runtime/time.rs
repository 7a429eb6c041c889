//! The time of day as text.

use std::ffi::CString;

/// The local time now, in `strftime(3)`'s format; empty if the format makes nothing.
pub fn now(format: &str) -> Vec<u8> {
    // SAFETY: a null pointer is allowed.
    at(unsafe { libc::time(std::ptr::null_mut()) }, format)
}

fn at(time: libc::time_t, format: &str) -> Vec<u8> {
    let Ok(format) = CString::new(format) else { return vec![] };
    let mut text = vec![0u8; 64 + format.as_bytes().len() * 16];
    // SAFETY: the struct is plain and ours, the format is a C string, and the room is as said.
    let len = unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&time, &mut parts).is_null() {
            return vec![];
        }
        libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), &parts)
    };
    text.truncate(len);
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_is_formatted_and_bad_formats_make_nothing() {
        assert_eq!(super::at(86_400 * 200, "%Y-%%\n"), b"1970-%\n");
        assert_eq!(super::now("a\0b"), b"");
        assert_eq!(super::now("%H:%M").len(), 5);
    }
}
