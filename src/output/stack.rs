//! Stacks: an empty line, then a line a frame.

use super::number;
use super::value::address;
use crate::symbols::{Inlined, Symbols};
use crate::types::StackMode;

const INDENT: &[u8] = b"        ";

/// A kernel stack, innermost frame first.
pub(super) fn kernel(out: &mut Vec<u8>, mode: StackMode, frames: &[u64], symbols: &mut Symbols) {
    out.push(b'\n');
    for &at in frames {
        if !start(out, mode, at) {
            continue;
        }
        match symbols.kernel(at) {
            Some(symbol) => named(out, symbol.name, symbol.offset),
            None => address(out, at),
        }
        out.push(b'\n');
    }
}

/// A process's stack, innermost frame first. Inlined functions have lines of their own before the one that they
/// are in.
pub(super) fn user(out: &mut Vec<u8>, mode: StackMode, pid: u32, frames: &[u64], symbols: &mut Symbols) {
    out.push(b'\n');
    for &at in frames {
        if mode == StackMode::BuildId {
            build_id(out, pid, at, symbols);
            continue;
        }
        if mode == StackMode::Raw {
            start(out, mode, at);
            continue;
        }
        let perf = mode == StackMode::Perf;
        let frame = symbols.frame(pid, at);
        for Inlined { name, source } in &frame.inlined {
            start(out, mode, at);
            if perf {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b" (inlined)");
            } else {
                out.extend_from_slice(b"[inlined] ");
                out.extend_from_slice(name.as_bytes());
                place(out, source.as_deref());
            }
            out.push(b'\n');
        }
        start(out, mode, at);
        match &frame.symbol {
            Some(symbol) => named(out, &symbol.name, symbol.offset),
            None => address(out, at),
        }
        match (&frame.symbol, perf) {
            (Some(symbol), false) => place(out, symbol.source.as_deref()),
            (None, false) => (),
            (symbol, true) => {
                let module = symbol.as_ref().and_then(|s| s.module.as_deref()).unwrap_or("[unknown]");
                out.extend_from_slice(b" (");
                out.extend_from_slice(module.as_bytes());
                out.push(b')');
            }
        }
        out.push(b'\n');
    }
}

/// In place of frames that the map of stacks had no room for.
pub(super) fn lost(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\n        <stack lost>\n");
}

/// Begins a frame's line. The whole line in raw mode, where there is nothing to name: then false.
fn start(out: &mut Vec<u8>, mode: StackMode, at: u64) -> bool {
    match mode {
        StackMode::Bpftrace => out.extend_from_slice(INDENT),
        StackMode::Perf => {
            out.push(b'\t');
            number::hex(out, at);
            out.push(b' ');
        }
        StackMode::Raw | StackMode::BuildId => {
            number::hex(out, at);
            out.push(b'\n');
            return false;
        }
    }
    true
}

fn named(out: &mut Vec<u8>, name: &str, offset: u64) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'+');
    number::unsigned(out, offset);
}

fn place(out: &mut Vec<u8>, source: Option<&str>) {
    if let Some(source) = source {
        out.push(b'@');
        out.extend_from_slice(source.as_bytes());
    }
}

/// The build ID of the file and the offset in it, for looking symbols up elsewhere.
fn build_id(out: &mut Vec<u8>, pid: u32, at: u64, symbols: &mut Symbols) {
    match symbols.build_id(pid, at) {
        Some((id, offset)) => {
            for byte in id {
                number::hex_byte(out, *byte);
            }
            out.push(b' ');
            address(out, offset);
        }
        None => number::hex(out, at),
    }
    out.push(b'\n');
}
