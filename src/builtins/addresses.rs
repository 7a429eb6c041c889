//! Addresses and the symbols at them.

use super::{Builtin, Kind, required};
use crate::check::{Call, Checked, Value, build};
use crate::diagnostics::Diagnostic;
use crate::ir::{Binary, ExprKind};
use crate::types::{Space, Type, layout};

pub const TABLE: &[Builtin] = &[
    Builtin::function(
        "ksym",
        &[required("address", Kind::Address)],
        "ksym_t",
        "The name of the kernel's function at an address",
        ksym,
    ),
    Builtin::function(
        "usym",
        &[required("address", Kind::Address)],
        "usym_t",
        "The name of the process's function at an address",
        usym,
    ),
    Builtin::function(
        "kaddr",
        &[required("symbol", Kind::Text)],
        "uint64",
        "The address of a symbol of the kernel",
        kaddr,
    )
    .doc("Looked up before the script runs: `*(int32 *)kaddr(\"panic_timeout\")`."),
];

fn ksym(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let address = call.value(0)?;
    Ok(Value::new(build::cast(build::cast(address.expr, Type::U64), Type::KSym)))
}

fn usym(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let address = build::cast(call.value(0)?.expr, Type::U64);
    let both = build::expr(ExprKind::TaskIds, Type::U64, call.span);
    let pid = build::cast(build::binary(Binary::Shr, both, call.number_expr(32)), Type::U32);
    let parts = vec![(0, address), (layout::USYM_PID, pid)];
    Ok(Value::new(build::expr(ExprKind::Pack(parts), Type::USym, call.span)))
}

fn kaddr(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let symbol = call.text(0).unwrap_or_default();
    match call.check.host.kernel.symbol(&symbol) {
        Some(address) => Ok(Value { space: Space::Kernel, ..Value::new(call.number_expr(address)) }),
        None => {
            let span = call.arg_span(0);
            let error = Diagnostic::error(
                "unknown-symbol",
                span,
                format!("Failed to resolve kernel symbol: {symbol}"),
            );
            // Some symbol that every kernel has.
            let shown = call.check.host.kernel.symbol("vfs_read").is_some();
            call.check.fail(if shown {
                error
                    .note("/proc/kallsyms does not have it")
                    .note("kernels without CONFIG_KALLSYMS_ALL list functions only, not variables")
            } else {
                error
                    .note("/proc/kallsyms hides its addresses from this user")
                    .help("run as root; sysctl kernel.kptr_restrict=0 shows them to others")
            })
        }
    }
}
