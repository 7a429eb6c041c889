//! Addresses and the symbols at them.

use super::{Builtin, Kind, optional, required};
use crate::check::{Call, Checked, Value, build};
use crate::diagnostics::{Diagnostic, suggest};
use crate::ir::{Binary, Expr, ExprKind};
use crate::process::elf::Elf;
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
    Builtin::function(
        "percpu_kaddr",
        &[required("variable", Kind::Text), optional("cpu", Kind::Int)],
        "T *",
        "The address of a variable that the kernel has once for each CPU",
        percpu_kaddr,
    )
    .doc(
        "That of the CPU where this runs, or of one by its number; 0 if there is no such CPU. It has the variable's type, \
         which BTF knows. Variables of modules cannot be found.",
    ),
    Builtin::function(
        "uaddr",
        &[required("symbol", Kind::Text)],
        "T *",
        "The address of a symbol of the probed program or library, in the process that is traced",
        uaddr,
    )
    .only(&["uprobe", "uretprobe", "usdt"])
    .doc(
        "Looked up before the script runs. What it points to is an unsigned number of the symbol's size, or of 64 bits if \
         no number has that size.",
    ),
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

fn percpu_kaddr(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let name = call.text(0).unwrap_or_default();
    let (span, at) = (call.span, call.arg_span(0));
    let Some((variable, ty)) = call.check.host.types.variable(&name) else {
        let error = Diagnostic::error(
            "unknown-symbol",
            at,
            format!("Unknown per-CPU variable of the kernel: '{name}'"),
        );
        if let Some(problem) = call.check.host.types.problem() {
            let error = error.note(problem.to_owned());
            return call.check.fail(error);
        }
        let near = suggest::one_of(&call.check.host.types.similar_variables(&name));
        return call.check.fail(match near {
            Some(near) => error.help(near),
            None => error
                .note("BTF has no such variable: there is none, or one for all CPUs")
                .help("kaddr(\"name\") finds those that all CPUs share"),
        });
    };
    // The verifier looks it up in the kernel's symbol table.
    let kernel = call.check.host.kernel;
    if kernel.symbol(&name).is_none() && kernel.symbol("vfs_read").is_some() {
        let message = format!("percpu_kaddr() cannot tell where '{name}' is in this kernel");
        return call.check.fail(
            Diagnostic::error("unknown-symbol", at, message)
                .note("its symbol table has functions only: it was built without CONFIG_KALLSYMS_ALL"),
        );
    }
    let cpu = call.optional_value(1).map(|cpu| Box::new(build::cast(cpu.expr, Type::U32)));
    let address = build::expr(ExprKind::PerCpu { variable, cpu }, Type::U64, span);
    // As in the reference, where nothing says what is there.
    let ty = if ty == Type::Void { Type::U64 } else { ty };
    Ok(Value::new(build::cast(address, Type::ptr(ty, Space::Kernel))))
}

fn uaddr(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let name = call.text(0).unwrap_or_default();
    let (span, at) = (call.span, call.arg_span(0));
    let Some(program) = call.check.in_view(|v| v.program.clone()) else {
        return call.fail("unknown-symbol", "uaddr() needs a program or library that has symbols");
    };
    let elf = match Elf::open_with(&program, call.check.host.types.debug_files()) {
        Ok(elf) => elf,
        Err(error) => return call.fail("unreadable-program", error.to_string()),
    };
    let Some(symbol) = elf.symbol(&name).ok().flatten() else {
        let error = Diagnostic::error(
            "unknown-symbol",
            at,
            format!("Could not find symbol \"{name}\" in {}", program.display()),
        );
        let mut names = vec![];
        let _ = elf.symbols(&mut |symbol| {
            names.push(symbol.name);
            true
        });
        let near = suggest::did_you_mean(&name, names);
        return call.check.fail(match near {
            Some(near) => error.help(near),
            None if elf.is_stripped() => error.note("it is stripped: only what it exports has a name"),
            None => error,
        });
    };
    let to = match symbol.size {
        1 => Type::U8,
        2 => Type::U16,
        4 => Type::U32,
        _ => Type::U64,
    };
    let address = if elf.is_position_independent() {
        let Some(moved) = call.check.in_view(|v| v.moved_by.clone()) else {
            return call.check.fail(
                Diagnostic::error(
                    "unknown-symbol",
                    span,
                    "uaddr() cannot tell where this program is in memory",
                )
                .note("it is position-independent, and where this probe fired is not known")
                .help("use a uprobe at a function of the same file"),
            );
        };
        let moved = Expr { span, ..moved };
        build::binary(Binary::Add, moved, call.number_expr(symbol.address))
    } else {
        call.number_expr(symbol.address)
    };
    Ok(Value::new(build::cast(address, Type::ptr(to, Space::User))))
}

fn kaddr(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let symbol = call.text(0).unwrap_or_default();
    match call.check.host.kernel.symbol(&symbol) {
        Some(address) => Ok(Value { space: Space::Kernel, ..Value::new(call.number_expr(address)) }),
        None => {
            let error = Diagnostic::error(
                "unknown-symbol",
                call.span,
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
