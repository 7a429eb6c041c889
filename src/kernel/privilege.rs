//! What this process may do, and what it says when that is not enough.

use std::{fmt, fs};

use super::Version;
use crate::diagnostics::Diagnostic;

/// The capabilities that tracing is about, by their numbers in `linux/capability.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    SysPtrace = 19,
    SysAdmin = 21,
    SysResource = 24,
    Syslog = 34,
    /// Since 5.8.
    Perfmon = 38,
    /// Since 5.8.
    Bpf = 39,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Capability::SysPtrace => "CAP_SYS_PTRACE",
            Capability::SysAdmin => "CAP_SYS_ADMIN",
            Capability::SysResource => "CAP_SYS_RESOURCE",
            Capability::Syslog => "CAP_SYSLOG",
            Capability::Perfmon => "CAP_PERFMON",
            Capability::Bpf => "CAP_BPF",
        })
    }
}

/// The kernel that brought `CAP_BPF` and `CAP_PERFMON`; before it, `CAP_SYS_ADMIN` stood for both.
const SPLIT: Version = Version::new(5, 8, 0);

/// The effective capabilities of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    pub(super) fn of_this_process() -> Capabilities {
        fs::read_to_string("/proc/self/status").ok().and_then(|text| Self::parse(&text)).unwrap_or_default()
    }

    /// From the text of `/proc/PID/status`.
    fn parse(status: &str) -> Option<Capabilities> {
        let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(bits.trim(), 16).ok().map(Capabilities)
    }

    pub fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// Whether BPF programs that trace can be loaded and attached.
    pub fn may_trace(self, version: Version) -> bool {
        self.missing_for_tracing(version).is_empty()
    }

    /// Which capabilities are missing to load and attach BPF programs that trace.
    pub fn missing_for_tracing(self, version: Version) -> Vec<Capability> {
        let needed: &[Capability] = match () {
            () if self.has(Capability::SysAdmin) => &[],
            () if version < SPLIT => &[Capability::SysAdmin],
            () => &[Capability::Bpf, Capability::Perfmon],
        };
        needed.iter().copied().filter(|c| !self.has(*c)).collect()
    }

    /// What to tell a user who may not trace; `None` if nothing is missing.
    pub fn complaint(self, version: Version) -> Option<Diagnostic> {
        let missing = self.missing_for_tracing(version);
        if missing.is_empty() {
            return None;
        }
        let names: Vec<String> = missing.iter().map(Capability::to_string).collect();
        let plural = if names.len() > 1 { "capabilities" } else { "capability" };
        let message = format!("tracing needs the {plural} {}, which this process lacks", names.join(" and "));
        let instead = if version < SPLIT {
            format!("before Linux {SPLIT}, BPF programs need CAP_SYS_ADMIN; this is Linux {version}")
        } else {
            "CAP_SYS_ADMIN would do instead of both CAP_BPF and CAP_PERFMON".to_owned()
        };
        Some(
            Diagnostic::error("missing-capability", None, message)
                .note(instead)
                .help("run it as root, for example with sudo")
                .help("or, in a container, give it the capabilities: --cap-add BPF --cap-add PERFMON"),
        )
    }
}

/// How far the kernel is locked down, even for root: see `kernel_lockdown(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    Off,
    /// Writing to the kernel from BPF is refused (`signal`, `override`).
    Integrity,
    /// So is reading its memory, which leaves next to nothing to trace.
    Confidentiality,
    /// securityfs is not mounted, or the kernel was built without lockdown.
    Unknown,
}

impl Lockdown {
    pub(super) fn current() -> Lockdown {
        fs::read_to_string("/sys/kernel/security/lockdown")
            .map_or(Lockdown::Unknown, |text| Self::parse(&text))
    }

    /// From a line such as `none [integrity] confidentiality`.
    fn parse(text: &str) -> Lockdown {
        match text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(word, _)| word) {
            Some("none") => Lockdown::Off,
            Some("integrity") => Lockdown::Integrity,
            Some("confidentiality") => Lockdown::Confidentiality,
            _ => Lockdown::Unknown,
        }
    }

    /// What to tell the user where lockdown leaves nothing to trace.
    pub fn complaint(self) -> Option<Diagnostic> {
        (self == Lockdown::Confidentiality).then(|| {
            Diagnostic::error(
                "lockdown",
                None,
                "the kernel is locked down in confidentiality mode, so BPF programs cannot read its memory",
            )
            .note("/sys/kernel/security/lockdown says so; it comes from `lockdown=` on the kernel's command line or from Secure Boot")
            .help("boot with lockdown=none or lockdown=integrity, or turn Secure Boot off")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Version = Version::new(6, 1, 0);
    const OLD: Version = Version::new(5, 4, 0);

    #[test]
    fn capabilities_are_read_from_status() {
        let caps = Capabilities::parse("Name:\tx\nCapPrm:\t0\nCapEff:\t000000c000000000\n").unwrap();
        assert!(
            caps.has(Capability::Bpf) && caps.has(Capability::Perfmon) && !caps.has(Capability::SysAdmin)
        );
        assert!(caps.may_trace(NEW));
        assert_eq!(caps.missing_for_tracing(OLD), [Capability::SysAdmin]);
        assert_eq!(Capabilities::parse("CapEff:\tzz\n"), None);
    }

    #[test]
    fn the_complaint_names_what_is_missing_and_only_that() {
        let only_bpf = Capabilities(1 << 39);
        let text = only_bpf.complaint(NEW).unwrap().message;
        assert!(text.contains("the capability CAP_PERFMON") && !text.contains("CAP_BPF"), "{text}");
        let none = Capabilities(0).complaint(NEW).unwrap().message;
        assert!(none.contains("CAP_BPF and CAP_PERFMON"), "{none}");
        assert!(Capabilities(0).complaint(OLD).unwrap().message.contains("CAP_SYS_ADMIN"));
        assert_eq!(Capabilities(1 << 21).complaint(OLD), None);
    }

    #[test]
    fn lockdown_is_the_word_in_brackets() {
        assert_eq!(Lockdown::parse("[none] integrity confidentiality\n"), Lockdown::Off);
        assert_eq!(Lockdown::parse("none integrity [confidentiality]\n"), Lockdown::Confidentiality);
        assert_eq!(Lockdown::parse(""), Lockdown::Unknown);
        assert!(Lockdown::Confidentiality.complaint().is_some() && Lockdown::Integrity.complaint().is_none());
    }
}
