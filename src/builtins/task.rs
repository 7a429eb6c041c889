//! The kernel's own record of a thread, `struct task_struct`, and what is commonly looked up in it.

use super::{Builtin, Kind, Param, optional};
use crate::check::{Call, Checked, Value, build};
use crate::diagnostics::Diagnostic;
use crate::ir::ExprKind;
use crate::syntax::ast::Tag;
use crate::types::{Space, Type};

const TASK: &[Param] = &[optional("task", Kind::Any)];

pub const TABLE: &[Builtin] = &[
    Builtin::value("curtask", "struct task_struct *", "The kernel's own record of the thread", curtask),
    Builtin::function("ppid", TASK, "uint32", "The process id of the parent", ppid).bare(),
    Builtin::function("pcomm", TASK, "string[16]", "The name of the parent", pcomm).bare(),
    Builtin::function(
        "leader_tid",
        TASK,
        "uint32",
        "The thread id of the process's first thread",
        leader_tid,
    )
    .bare(),
    Builtin::function(
        "leader_comm",
        TASK,
        "string[16]",
        "The name of the process's first thread",
        leader_comm,
    )
    .bare(),
];

fn curtask(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let to = call.check.host.types.find(Some(Tag::Struct), "task_struct").unwrap_or(Type::Void);
    Ok(call.helper(libbpf_sys::BPF_FUNC_get_current_task, vec![], Type::ptr(to, Space::Kernel)))
}

fn ppid(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let pid = of_task(call, "real_parent", "tgid")?;
    Ok(Value::new(build::cast(pid.expr, Type::U32)))
}

fn pcomm(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    of_task(call, "real_parent", "comm").map(ended)
}

fn leader_tid(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let tid = of_task(call, "group_leader", "pid")?;
    Ok(Value::new(build::cast(tid.expr, Type::U32)))
}

fn leader_comm(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    of_task(call, "group_leader", "comm").map(ended)
}

/// The name of a thread. Unlike other arrays of characters it always ends with a NUL (`__set_task_comm` in the
/// kernel's `fs/exec.c`), for which no room has to be made.
fn ended(mut comm: Value) -> Value {
    if let (ExprKind::Load(place), Type::Str(_)) = (&mut comm.expr.kind, &comm.expr.ty)
        && matches!(place.ty, Type::Array { len: 16, .. })
    {
        place.ty = Type::Str(16);
        comm.expr.ty = Type::Str(16);
    }
    comm
}

/// Whether it is a task or leads to one.
fn is_task(call: &mut Call<'_, '_, '_>, ty: &Type) -> bool {
    let ty = if let Type::Ptr { to, .. } = ty { &**to } else { ty };
    let Type::Struct(id) = ty else { return false };
    call.check.host.types.structure(*id).is_some_and(|s| s.name == "task_struct")
}

/// Something of a task that another, given or the current one, points to.
fn of_task(call: &mut Call<'_, '_, '_>, other: &str, what: &str) -> Checked<Value> {
    let span = call.span;
    let task = match call.optional_value(0) {
        Some(task) if is_task(call, task.ty()) => task,
        Some(task) => {
            let (name, at, found) = (call.name, call.arg_span(0), call.check.spell(task.ty()));
            let message =
                format!("{name}() only supports pointer to struct task_struct arguments ({found} provided)");
            return call.check.fail(
                Diagnostic::error("argument-type", at, message).help(
                    "cast it: (struct task_struct *)…; without an argument it is of the current thread",
                ),
            );
        }
        None => curtask(call)?,
    };
    if *task.ty() == Type::ptr(Type::Void, Space::Kernel) {
        let name = call.name;
        return call.check.fail(
            Diagnostic::error(
                "no-kernel-types",
                span,
                format!("{name} needs the kernel's type information (BTF)"),
            )
            .note("it is read from struct task_struct"),
        );
    }
    let other = call.check.field(task, other, span, span)?;
    call.check.field(other, what, span, span)
}
