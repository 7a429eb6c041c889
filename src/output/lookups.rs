//! What values mean on this host: user names, control groups, clocks. Each is looked up once.

use std::collections::HashMap;
use std::ffi::CStr;

use super::cgroups::Cgroups;
use super::clocks::{Clocks, Moment};

/// Caches of look-ups. Nothing is opened before the first question.
#[derive(Debug, Default)]
pub struct Lookups {
    users: HashMap<u32, Vec<u8>>,
    pub(super) cgroups: Cgroups,
    pub(super) clocks: Clocks,
    /// A conversion without a length modifier has shown less than all of a number: see
    /// [`Spec::cuts`](crate::format::Spec::cuts). Whoever tells the user clears it.
    pub cut: bool,
}

impl Lookups {
    /// The time now by strftime(3) and `%f`, appended: `time(format)`.
    pub fn time(&mut self, out: &mut Vec<u8>, format: &str) {
        self.clocks.now(out, format);
    }

    /// Nanoseconds of wall-clock time, of a time since the machine was started.
    pub fn since_boot(&mut self, nanoseconds: u64) -> u64 {
        let at = Moment { clock: libc::CLOCK_BOOTTIME as u32, nanoseconds };
        u64::try_from(self.clocks.wall(at)).unwrap_or(0)
    }

    /// A user's name; the number for one without.
    pub(super) fn user(&mut self, uid: u32) -> &[u8] {
        self.users.entry(uid).or_insert_with(|| name_of(uid).unwrap_or_else(|| uid.to_string().into_bytes()))
    }
}

/// getpwuid_r(3): the name services of the host, not only `/etc/passwd`.
fn name_of(uid: u32) -> Option<Vec<u8>> {
    // What sysconf(_SC_GETPW_R_SIZE_MAX) says is only a beginning.
    let mut buffer = vec![0 as libc::c_char; 1024];
    loop {
        // SAFETY: all of a passwd's fields may be zero.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found: *mut libc::passwd = std::ptr::null_mut();
        // SAFETY: the pointers are to live values and the buffer is as long as is said.
        let error =
            unsafe { libc::getpwuid_r(uid, &mut entry, buffer.as_mut_ptr(), buffer.len(), &mut found) };
        if error == libc::ERANGE && buffer.len() < 1 << 20 {
            let larger = buffer.len() * 4;
            buffer.resize(larger, 0);
            continue;
        }
        if error != 0 || found.is_null() || entry.pw_name.is_null() {
            return None;
        }
        // SAFETY: on success `pw_name` is a NUL-terminated string in `buffer`, which is still there.
        let name = unsafe { CStr::from_ptr(entry.pw_name) };
        return Some(name.to_bytes().to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users_and_of_nobody() {
        let mut lookups = Lookups::default();
        assert_eq!(lookups.user(0), b"root");
        assert_eq!(lookups.user(0), b"root");
        assert_eq!(lookups.user(4_000_000_123), b"4000000123");
    }
}
