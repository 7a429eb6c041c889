//! Clocks and times.

use super::{Builtin, Kind, optional, required};
use crate::check::{Call, Checked, Value, build};
use crate::diagnostics::Diagnostic;
use crate::image::{EventKind, Global};
use crate::ir::{Binary, Expr, ExprKind};
use crate::kernel::Feature;
use crate::types::{Type, layout};

const CLOCK: Kind = Kind::Word(&["monotonic", "boot", "tai", "sw_tai"]);

/// The kernel's `CLOCK_BOOTTIME` and `CLOCK_TAI` (`include/uapi/linux/time.h`).
const CLOCK_BOOTTIME: u64 = 7;
const CLOCK_TAI: u64 = 11;

pub const TABLE: &[Builtin] = &[
    Builtin::function("nsecs", &[optional("clock", CLOCK)], "uint64", "The time in nanoseconds", nsecs)
        .bare()
        .doc(
            "The clocks: `boot` since the machine was started (the default), `monotonic` without the time that it \
             slept, `tai` since 1970 without leap seconds; `sw_tai` is an old way to get that.",
        ),
    Builtin::value("elapsed", "uint64", "Nanoseconds since tracing began", elapsed),
    Builtin::value("jiffies", "uint64", "The kernel's count of timer ticks", jiffies),
    Builtin::action(
        "time",
        &[optional("format", Kind::Text)],
        "Prints the time of day, in a format of strftime(3)",
        time,
    )
    .doc("Without a format: `%H:%M:%S` and a line's end. `%f` is microseconds."),
    Builtin::function(
        "strftime",
        &[required("format", Kind::Text), required("timestamp", Kind::Int)],
        "timestamp",
        "A time from nsecs as a date and time of day, in a format of strftime(3)",
        strftime,
    )
    .doc("Only for printing, with `%s`. `%f` is microseconds."),
];

fn nsecs(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let helper = match call.word(0) {
        Some("monotonic") => libbpf_sys::BPF_FUNC_ktime_get_ns,
        Some("sw_tai") => return Ok(Value::new(tai(call))),
        Some(clock @ "tai") => {
            if !call.check.host.kernel.has(Feature::Tai) {
                let span = call.span;
                return call.check.fail(
                    Diagnostic::error(
                        "kernel-feature",
                        span,
                        format!("The kernel cannot give programs the {clock} clock"),
                    )
                    .note("Linux can from 6.1 on")
                    .help("nsecs(sw_tai) is calculated from the time since the start"),
                );
            }
            libbpf_sys::BPF_FUNC_ktime_get_tai_ns
        }
        _ => libbpf_sys::BPF_FUNC_ktime_get_boot_ns,
    };
    Ok(call.helper(helper, vec![], Type::U64))
}

/// The clock without leap seconds; on kernels that cannot tell it, what it was apart from the time since the machine's
/// start when the script was loaded.
fn tai(call: &Call<'_, '_, '_>) -> Expr {
    if call.check.host.kernel.has(Feature::Tai) {
        return call.helper(libbpf_sys::BPF_FUNC_ktime_get_tai_ns, vec![], Type::U64).expr;
    }
    let boot = call.helper(libbpf_sys::BPF_FUNC_ktime_get_boot_ns, vec![], Type::U64);
    let offset = call.global(Global::TaiOffset);
    Expr { span: call.span, ..build::binary(Binary::Add, boot.expr, offset.expr) }
}

/// The time that time series are of, or that of a map which tests set.
pub(super) fn wall_clock(call: &mut Call<'_, '_, '_>) -> Checked<Expr> {
    let map = call.check.host.config.time_map.clone();
    let map = map.as_deref().map(|map| map.trim_start_matches('@'));
    let Some(map) = map.filter(|map| call.check.has_map(map)) else { return Ok(tai(call)) };
    let span = call.span;
    let (map, key) = call.check.map_access(map, None, span)?;
    let value = call.check.map_value(map, key, span)?;
    Ok(build::cast(value.expr, Type::U64))
}

fn elapsed(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let now = call.helper(libbpf_sys::BPF_FUNC_ktime_get_ns, vec![], Type::U64);
    let start = call.global(Global::StartTime);
    Ok(Value::new(Expr { span: call.span, ..build::binary(Binary::Sub, now.expr, start.expr) }))
}

fn jiffies(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    Ok(call.helper(libbpf_sys::BPF_FUNC_jiffies64, vec![], Type::U64))
}

fn time(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let format = call.text(0).unwrap_or_else(|| "%H:%M:%S\n".to_owned());
    Ok(call.send(EventKind::Time { format }, vec![]))
}

fn strftime(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let format = call.text(0).unwrap_or_default();
    let time = call.value(1)?;
    let span = call.arg_span(1);
    if time.constant().is_some_and(|n| n < 0) {
        return call.check.error("invalid-time", span, "strftime() does not accept negative timestamps");
    }
    let clock = match clock_of(&time.expr) {
        Some(libbpf_sys::BPF_FUNC_ktime_get_ns) => {
            return call.check.fail(
                Diagnostic::error("invalid-time", span, "strftime() can not take a monotonic timestamp")
                    .note("that clock stands still while the machine sleeps, so it is at no known distance from the time of day")
                    .help("take nsecs, without a clock"),
            );
        }
        Some(libbpf_sys::BPF_FUNC_ktime_get_tai_ns) => CLOCK_TAI,
        _ => CLOCK_BOOTTIME,
    };
    let format = call.check.string(&format, call.span);
    let parts = vec![
        (0, build::cast(time.expr, Type::U64)),
        (layout::TIMESTAMP_FORMAT, format),
        (layout::TIMESTAMP_CLOCK, build::constant(clock, Type::U32, call.span)),
    ];
    Ok(Value::new(build::expr(ExprKind::Pack(parts), Type::Timestamp, call.span)))
}

/// The helper that a time is read with, where that is plain to see.
fn clock_of(time: &Expr) -> Option<u32> {
    match &time.kind {
        ExprKind::Helper { id, args } if args.is_empty() => Some(*id),
        ExprKind::Cast(inner) => clock_of(inner),
        ExprKind::Binary { right, .. } if right.kind == ExprKind::Global(Global::TaiOffset) => {
            Some(libbpf_sys::BPF_FUNC_ktime_get_tai_ns)
        }
        _ => None,
    }
}
