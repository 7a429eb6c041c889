//! What user space does for a script, other than printing.

use super::{Builtin, Kind, optional, repeated, required};
use crate::check::{Call, Checked, Stop, Value, build};
use crate::image::EventKind;
use crate::ir::{Binary, Expr, ExprKind, StmtKind};
use crate::types::Type;

/// How many strings `join` takes, and how long each is at most.
const JOIN_STRINGS: u64 = 16;
const JOIN_LENGTH: u32 = 1024;

pub const TABLE: &[Builtin] = &[
    Builtin::action("exit", &[optional("code", Kind::Int)], "Ends tracing, with an exit code", exit)
        .doc("The probe is left at once; what was sent before is still printed."),
    Builtin::action(
        "join",
        &[required("strings", Kind::Address), optional("separator", Kind::Text)],
        "Prints an array of strings, such as argv, in one line",
        join,
    )
    .doc("Up to 16 strings of up to 1024 bytes, separated by a space."),
    Builtin::action(
        "cat",
        &[required("path", Kind::Text), repeated("args")],
        "Prints a file, whose path is a format and its arguments",
        cat,
    ),
    Builtin::action(
        "system",
        &[required("command", Kind::Text), repeated("args")],
        "Runs a command, a format and its arguments, and prints its output",
        system,
    )
    .needs_unsafe(),
    Builtin::action(
        "unwatch",
        &[required("address", Kind::Address)],
        "Ends the watchpoints of an address",
        unwatch,
    )
    .doc(
        "A warning says so if there are none. The example takes a process, as all watchpoints of a program's addresses: \
         `bpftrace -p PID` or `-c COMMAND`.",
    ),
];

fn unwatch(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let address = build::cast(call.value(0)?.expr, Type::U64);
    Ok(call.send(EventKind::Unwatch, vec![address]))
}

fn exit(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let code = match call.optional_value(0) {
        Some(code) => build::cast(code.expr, Type::U8),
        None => build::constant(0, Type::U8, call.span),
    };
    let event = call.check.emit(EventKind::Exit, vec![code], call.span);
    let leave = StmtKind::Return(None);
    Ok(call.done(vec![event, build::stmt(leave, call.span)]))
}

/// The strings end with a null pointer, behind which may lie others (`envp` after `argv`), so each is only looked at
/// if the one before it was there.
fn join(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let array = call.value(0)?;
    let separator = call.text(1).unwrap_or_else(|| " ".to_owned());
    let (base, space) = super::strings::memory(call, array).ok_or(Stop::Reported)?;
    let longest = u32::try_from(call.check.host.config.max_strlen).unwrap_or(u32::MAX);
    let string = Type::Str(JOIN_LENGTH.min(longest));
    let span = call.span;
    let number = |n: u64| build::constant(n, Type::U64, span);

    let (set, base) = call.check.keep(base);
    let mut body = vec![set];
    let mut strings: Vec<Expr> = vec![];
    let mut previous: Option<Expr> = None;
    for n in 0..JOIN_STRINGS {
        let at = build::binary(Binary::Add, base.clone(), number(8 * n));
        let pointer = build::cast(at, Type::ptr(Type::U64, space));
        let mut address = build::load(build::deref(pointer, Type::U64, space, span));
        if let Some(previous) = previous {
            address = build::expr(
                ExprKind::Select {
                    condition: Box::new(build::cast(previous, Type::Bool)),
                    then: Box::new(address),
                    otherwise: Box::new(number(0)),
                },
                Type::U64,
                span,
            );
        }
        let (set, address) = call.check.keep(address);
        body.push(set);
        let read = ExprKind::ReadString { address: Box::new(address.clone()), len: None, space };
        strings.push(build::expr(read, string.clone(), span));
        previous = Some(address);
    }
    body.push(call.check.emit(EventKind::Join { separator }, strings, span));
    Ok(call.done(body))
}

fn cat(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    call.formatted(|format| EventKind::Cat { format })
}

fn system(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    call.formatted(|format| EventKind::System { format })
}
