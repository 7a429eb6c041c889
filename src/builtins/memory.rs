//! What is known about memory and types.

use super::{Builtin, Kind, required};
use crate::check::{Call, Checked, Value, build};
use crate::diagnostics::Diagnostic;
use crate::ir::{Binary, Expr, ExprKind, Place, PlaceKind};
use crate::kernel::Feature;
use crate::syntax::ast;
use crate::types::{Int, Space, Type};

pub const TABLE: &[Builtin] = &[
    Builtin::function(
        "kptr",
        &[required("pointer", Kind::Address)],
        "T *",
        "A pointer that is known to point into the kernel's memory",
        kptr,
    ),
    Builtin::function(
        "uptr",
        &[required("pointer", Kind::Address)],
        "T *",
        "A pointer that is known to point into the process's memory",
        uptr,
    ),
    Builtin::function(
        "sizeof",
        &[required("type", Kind::Special("a type or an expression"))],
        "uint64",
        "The size of a type, or of what an expression yields, in bytes",
        sizeof,
    )
    .doc("An expression in it is not run."),
    Builtin::function(
        "offsetof",
        &[
            required("type", Kind::Special("a type or an expression")),
            required("field", Kind::Special("a field")),
        ],
        "uint64",
        "Where a field lies in its struct, in bytes",
        offsetof,
    )
    .doc("Of a field in a field too: `offsetof(struct file, f_path.dentry)`."),
    Builtin::function(
        "container_of",
        &[
            required("pointer", Kind::Address),
            required("type", Kind::Special("typeof(a type)")),
            required("field", Kind::Special("a field")),
        ],
        "T *",
        "A pointer to the struct that a field lies in, from one to the field",
        container_of,
    )
    .doc("`container_of($entry, typeof(struct task_struct), tasks)`"),
    Builtin::function(
        "write_user",
        &[required("address", Kind::Address), required("value", Kind::Any), required("length", Kind::Number)],
        "bool",
        "Writes the first bytes of a value to the memory of the process that runs; whether it could",
        write_user,
    )
    .needs_unsafe()
    .doc("The process may not survive it. What is not mapped, or not writable, cannot be written."),
    Builtin::function(
        "is_err",
        &[required("pointer", Kind::Address)],
        "bool",
        "Whether a pointer that a function returned is an error code",
        is_err,
    )
    .doc("The kernel returns errors as the addresses -4095 to -1."),
    Builtin::function(
        "bswap",
        &[required("number", Kind::Int)],
        "uint8, uint16, uint32 or uint64",
        "The number with its bytes in the other order",
        bswap,
    ),
];

fn kptr(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    in_space(call, Space::Kernel)
}

fn uptr(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    in_space(call, Space::User)
}

fn in_space(call: &mut Call<'_, '_, '_>, space: Space) -> Checked<Value> {
    let value = call.value(0)?;
    let expr = match value.expr.ty {
        Type::Ptr { to, .. } => Expr { ty: Type::Ptr { to, space }, ..value.expr },
        ty => Expr { ty, ..value.expr },
    };
    Ok(Value { space, ..Value::new(expr) })
}

fn sizeof(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let Some(e) = call.syntax.first() else { return Err(crate::check::Stop::Reported) };
    let ty = call.check.type_in_memory(e)?;
    call.check.sizeof(&ty, call.span)
}

fn offsetof(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let [base, path, ..] = call.syntax else { return Err(crate::check::Stop::Reported) };
    let mut ty = call.check.static_type(base)?;
    while let Type::Ptr { to, .. } = ty {
        ty = *to;
    }
    let fields = field_path(call, path)?;
    call.check.offsetof(ty, &fields, call.span)
}

fn container_of(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let pointer = call.value(0)?;
    let [_, of, path] = call.syntax else { return Err(crate::check::Stop::Reported) };
    let ty = call.check.static_type(of)?;
    let fields = field_path(call, path)?;
    let offset = call.check.offsetof(ty.clone(), &fields, call.span)?;
    let space = match pointer.ty() {
        Type::Ptr { space, .. } => *space,
        _ => pointer.space,
    };
    let offset = build::cast(offset.expr, Type::U64);
    let start = build::binary(Binary::Sub, build::cast(pointer.expr, Type::U64), offset);
    let container = build::cast(start, Type::ptr(ty, space));
    Ok(Value::new(Expr { span: call.span, ..container }))
}

/// `a.b.c`, by its names.
fn field_path(call: &mut Call<'_, '_, '_>, path: &ast::Expr) -> Checked<Vec<String>> {
    let mut fields = vec![];
    let mut at = path;
    loop {
        match &at.kind {
            ast::ExprKind::Field { base, name, .. } => {
                fields.push(name.clone());
                at = base;
            }
            ast::ExprKind::Name(name) => {
                fields.push(name.clone());
                break;
            }
            _ => {
                return call.check.fail(
                    Diagnostic::error(
                        "argument-type",
                        path.span,
                        format!("{}() expects a field here", call.name),
                    )
                    .help("such as f_path.dentry"),
                );
            }
        }
    }
    fields.reverse();
    Ok(fields)
}

/// The bytes have to be in memory that BPF may read, so what is written is a copy.
fn write_user(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let (to, from) = (call.value(0)?, call.value(1)?);
    let size = call.check.size_of(from.ty());
    let span = call.span;
    if matches!(from.ty(), Type::Void | Type::Ptr { .. } | Type::Agg(_) | Type::ProbeName) || size == 0 {
        let (found, at) = (call.check.spell(from.ty()), call.arg_span(1));
        return call.check.fail(
            Diagnostic::error(
                "argument-type",
                at,
                format!("write_user() expects a value to write as its second argument ({found} provided)"),
            )
            .help("give the variable itself, not its address"),
        );
    }
    let len = match call.number(2).map(u32::try_from) {
        Some(Ok(len)) if (1..=size).contains(&len) => len,
        _ => {
            let (found, at) = (call.check.spell(from.ty()), call.arg_span(2));
            return call.check.error(
                "argument-range",
                at,
                format!("write_user() can write 1 to {size} bytes of a {found}"),
            );
        }
    };
    if !call.check.host.kernel.has(Feature::WriteUser) {
        return call.check.fail(
            Diagnostic::error("kernel-feature", span, "The kernel does not let programs write to processes")
                .note("it is locked down: see kernel_lockdown(7)"),
        );
    }
    let (set, copy) = call.check.keep(from.expr);
    let ExprKind::Var(var) = copy.kind else { return Err(crate::check::Stop::Reported) };
    let place = Place { kind: PlaceKind::Variable(var), ty: copy.ty, span };
    let args = vec![
        build::cast(to.expr, Type::U64),
        build::cast(build::address_of(place, Space::Kernel), Type::U64),
        build::constant(u64::from(len), Type::U64, span),
    ];
    let result = build::helper(libbpf_sys::BPF_FUNC_probe_write_user, args, Type::I64, span);
    let written = build::binary(Binary::Eq, result, build::constant(0, Type::I64, span));
    let kind = ExprKind::Block { body: vec![set], value: Box::new(written) };
    Ok(Value::new(build::expr(kind, Type::Bool, span)))
}

/// As `IS_ERR` of the kernel's `include/linux/err.h`.
fn is_err(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    const MAX_ERRNO: u64 = 4095;
    let address = build::cast(call.value(0)?.expr, Type::U64);
    let first = build::constant(MAX_ERRNO.wrapping_neg(), Type::U64, call.span);
    Ok(Value::new(Expr { span: call.span, ..build::binary(Binary::Ge, address, first) }))
}

/// Each byte moved to its mirror place; LLVM makes one instruction of it.
fn bswap(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let value = call.value(0)?;
    let int = match value.ty() {
        Type::Int(int) => Int { signed: false, ..*int },
        _ => return Err(crate::check::Stop::Reported),
    };
    let span = call.span;
    let number = |n: u64| build::constant(n, Type::U64, span);
    let value = build::cast(build::cast(value.expr, Type::Int(int)), Type::U64);
    let (set, value) = call.check.keep(value);
    let size = u64::from(int.size);
    let mut swapped: Option<Expr> = None;
    for n in 0..size {
        let down = build::binary(Binary::Shr, value.clone(), number(8 * n));
        let byte = build::binary(Binary::And, down, number(0xff));
        let up = build::binary(Binary::Shl, byte, number(8 * (size - 1 - n)));
        swapped = Some(match swapped {
            Some(before) => build::binary(Binary::Or, before, up),
            None => up,
        });
    }
    let swapped = swapped.unwrap_or_else(|| number(0));
    let swapped = build::cast(swapped, Type::Int(int));
    let kind = crate::ir::ExprKind::Block { body: vec![set], value: Box::new(swapped) };
    Ok(Value::new(build::expr(kind, Type::Int(int), span)))
}
