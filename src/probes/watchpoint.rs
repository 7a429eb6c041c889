//! `watchpoint`: memory that is read, written or executed, seen by the processor's debug registers.

use super::{Ask, Group, Listed, Provider, Search, Searched, View, point};
use crate::diagnostics::{Diagnostic, Span};
use crate::image::{Attach, Target};
use crate::ir::{Context, Nesting};
use crate::syntax::ast::AttachPart;
use crate::types::Space;

pub(super) struct Watchpoint;

const USAGE: &str = "watchpoint:0x55d5c2a0:8:w (an address, a length, and what to look for: r, w, x)";

/// `HW_BREAKPOINT_R` and so on: `linux/hw_breakpoint.h`.
const MODES: [(char, u32); 3] = [('r', 1), ('w', 2), ('x', 4)];

/// What a mode such as `rw` asks for.
fn mode(part: &AttachPart) -> Result<u32, Diagnostic> {
    let problem = |message: String| {
        Diagnostic::error("attach-point-mode", part.span, message).help(format!("it is written {USAGE}"))
    };
    let mut all = 0;
    for letter in part.text.chars() {
        let Some((_, bit)) = MODES.into_iter().find(|(own, _)| *own == letter) else {
            return Err(problem(format!("\"{letter}\" is no mode of a watchpoint: r, w and x are")));
        };
        if all & bit != 0 {
            return Err(problem(format!("\"{}\" names a mode twice", part.text)));
        }
        all |= bit;
    }
    match all {
        0 => Err(problem("a watchpoint needs a mode".into())),
        1 if cfg!(target_arch = "x86_64") => {
            Err(problem("this processor cannot look for reads alone".into()).help("use rw"))
        }
        5.. => Err(problem(format!("\"{}\" looks for execution and for access", part.text))
            .help("use a watchpoint for each")),
        _ => Ok(all),
    }
}

/// The lengths that debug registers have.
fn length(part: &AttachPart, address: u64) -> Result<u64, Diagnostic> {
    let length = point::number(part)?;
    let problem = |message: String| Err(Diagnostic::error("attach-point-length", part.span, message));
    if !matches!(length, 1 | 2 | 4 | 8) {
        return problem(format!("invalid watchpoint length: {length}; it is 1, 2, 4 or 8"));
    }
    if !address.is_multiple_of(length) {
        return problem(format!("{address:#x} is not a multiple of the length {length}, which this needs"));
    }
    Ok(length)
}

/// Whether an address is the kernel's: those have the highest bit set on every machine of 64 bits.
fn is_kernel(address: u64) -> bool {
    address >> 63 == 1
}

fn no_process(span: Span) -> Diagnostic {
    Diagnostic::error("needs-process", span, "an address of a process is watched in one process")
        .help("name it with -p PID, or start it with -c COMMAND")
}

impl Provider for Watchpoint {
    fn names(&self) -> &'static [&'static str] {
        &["watchpoint", "w"]
    }

    fn searched(&self) -> Searched {
        Searched::ByName
    }

    fn resolve(&self, ask: Ask<'_, '_>) -> Result<Vec<Group>, Diagnostic> {
        let Ask { point, host, mut names, .. } = ask;
        let [address, len, how] = point::parts(point, 3..=3, USAGE)? else { return Ok(vec![]) };
        let mode = mode(how)?;
        let at = point::number(address)?;
        let length = length(len, at)?;
        let kernel = is_kernel(at);
        if !kernel && host.pid.is_none() {
            return Err(no_process(point.span));
        }
        let name = format!("watchpoint:{}:{}:{}", address.text, len.text, how.text);
        let name_id = names.id(&name);
        let mut view = View::empty("watchpoint", Context::Registers, Nesting::Never, name_id);
        if !kernel {
            view.space = Space::User;
        }
        let pid = host.pid.filter(|_| !kernel);
        // The processor wants the size of a word where it looks for execution.
        let length = if mode == 4 { size_of::<u64>() as u64 } else { length };
        let what = Target::Watchpoint { address: at, length, mode, pid, name_id };
        let attach = vec![Attach { name, span: point.span, what }];
        Ok(vec![Group { section: "perf_event".into(), attach, view }])
    }

    fn list(&self, search: Search<'_, '_>) -> Result<(), Diagnostic> {
        (search.found)(Listed { name: "watchpoint:<address>:<length>:<mode>".into(), args: vec![] });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> AttachPart {
        AttachPart { text: text.into(), quoted: false, span: Span::default() }
    }

    #[test]
    fn modes() {
        let mode = |text: &str| mode(&part(text)).map_err(|e| e.message);
        assert_eq!(mode("w"), Ok(2));
        assert_eq!(mode("wr"), Ok(3));
        assert_eq!(mode("x"), Ok(4));
        for (text, message) in [
            ("", "needs a mode"),
            ("q", "is no mode of a watchpoint"),
            ("ww", "names a mode twice"),
            ("wx", "looks for execution and for access"),
            ("rwx", "looks for execution and for access"),
        ] {
            let error = mode(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
        assert_eq!(mode("r").is_err(), cfg!(target_arch = "x86_64"));
    }

    #[test]
    fn lengths_and_addresses() {
        let length = |text: &str, address| length(&part(text), address).map_err(|e| e.message);
        assert_eq!(length("8", 0x1000), Ok(8));
        assert!(length("3", 0x1000).unwrap_err().contains("1, 2, 4 or 8"));
        assert!(length("8", 0x1004).unwrap_err().contains("not a multiple"));
        assert!(is_kernel(0xffff_ffff_8100_0000) && !is_kernel(0x7fff_0000_0000));
    }
}
