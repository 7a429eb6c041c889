//! What numbers are called: errors, signals, system calls.

use std::ffi::CStr;
use std::io;
use std::sync::LazyLock;

use super::{Builtin, Kind, required, syscalls};
use crate::check::{Call, Checked, Value, build, literal_text};
use crate::diagnostics::system_words;
use crate::ir::{Binary, Expr, ExprKind, Names};
use crate::types::Type;

pub const TABLE: &[Builtin] = &[
    Builtin::function(
        "strerror",
        &[required("error", Kind::Int)],
        "string[64]",
        "What an error number means, as strerror(3) says it",
        strerror,
    )
    .doc("Negative numbers too, which the kernel's functions return: `strerror(retval)`."),
    Builtin::function(
        "signal_name",
        &[required("signal", Kind::Int)],
        "string[64]",
        "What a signal is called, as strsignal(3) says it",
        signal_name,
    ),
    Builtin::function(
        "syscall_name",
        &[required("number", Kind::Int)],
        "string[64]",
        "The name of a system call, by its number on this machine",
        syscall_name,
    ),
];

const SIZE: u32 = 64;
/// `EHWPOISON`, the last error of the kernel's `include/uapi/asm-generic/errno.h`.
const LAST_ERROR: i32 = 133;
/// `_NSIG` of the kernel.
const LAST_SIGNAL: i32 = 64;

static ERRORS: LazyLock<Names> =
    LazyLock::new(|| Names { names: (0..=LAST_ERROR).map(error_text).collect(), otherwise: "Unknown error" });
static SIGNALS: LazyLock<Names> =
    LazyLock::new(|| Names { names: (0..=LAST_SIGNAL).map(signal_text).collect(), otherwise: "N/A" });
static SYSCALLS: LazyLock<Names> =
    LazyLock::new(|| Names { names: syscalls::by_number(), otherwise: "Unknown syscall" });

fn error_text(number: i32) -> String {
    let text = system_words(&io::Error::from_raw_os_error(number));
    // Numbers without a meaning.
    if text.starts_with("Unknown error") || text.starts_with("No error information") {
        return String::new();
    }
    text
}

fn signal_text(number: i32) -> String {
    // SAFETY: the function takes any number, and yields null or a C string that is copied before the next call.
    let text = unsafe {
        let text = libc::strsignal(number);
        if text.is_null() { None } else { Some(CStr::from_ptr(text).to_string_lossy().into_owned()) }
    };
    text.unwrap_or_default()
}

fn strerror(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let number = call.value(0)?;
    let span = call.span;
    if let (true, Some(number)) = (number.literal, number.constant()) {
        return Ok(known(&ERRORS, number.unsigned_abs(), call));
    }
    let number = build::cast(build::cast(number.expr, Type::I32), Type::I64);
    let (set, number) = call.check.keep(number);
    let zero = build::constant(0, Type::I64, span);
    let negative = build::binary(Binary::Lt, number.clone(), zero.clone());
    let positive = ExprKind::Select {
        condition: Box::new(negative),
        then: Box::new(build::binary(Binary::Sub, zero, number.clone())),
        otherwise: Box::new(number),
    };
    let name = name(&ERRORS, build::expr(positive, Type::I64, span), call);
    let (ty, kind) = (name.ty.clone(), ExprKind::Block { body: vec![set], value: Box::new(name) });
    Ok(Value::new(build::expr(kind, ty, span)))
}

fn signal_name(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    numbered(&SIGNALS, call)
}

fn syscall_name(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    numbered(&SYSCALLS, call)
}

fn numbered(names: &'static Names, call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let number = call.value(0)?;
    if let (true, Some(number)) = (number.literal, number.constant()) {
        return Ok(known(names, u128::try_from(number).unwrap_or(u128::MAX), call));
    }
    Ok(Value::new(name(names, number.expr, call)))
}

fn known(names: &Names, number: u128, call: &Call<'_, '_, '_>) -> Value {
    literal_text(names.of(u64::try_from(number).unwrap_or(u64::MAX)).as_bytes(), call.span)
}

/// Negative numbers are huge ones, which have no names.
fn name(names: &'static Names, number: Expr, call: &Call<'_, '_, '_>) -> Expr {
    let number = build::cast(build::cast(number, Type::I64), Type::U64);
    build::expr(ExprKind::Name { names, number: Box::new(number) }, Type::Str(SIZE), call.span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_signals_have_names() {
        assert_eq!(ERRORS.of(22), "Invalid argument");
        assert_eq!(ERRORS.of(41), "Unknown error");
        assert_eq!(ERRORS.of(u64::MAX), "Unknown error");
        assert_eq!(SIGNALS.of(2), "Interrupt");
        assert_eq!(SIGNALS.of(64), "Real-time signal 30");
        assert_eq!(SIGNALS.of(65), "N/A");
    }

    #[test]
    fn every_name_fits_its_type() {
        for names in [&ERRORS, &SIGNALS, &SYSCALLS] {
            let longest = names.names.iter().map(String::len).max().unwrap();
            assert!(longest < SIZE as usize, "{}", names.otherwise);
            // Where a text begins is a number of 16 bits.
            let bytes: usize = names.names.iter().map(|name| name.len() + 1).sum();
            assert!(bytes < 60_000);
        }
    }
}
