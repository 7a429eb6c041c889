//! Who runs: processes, users, control groups.

use std::os::unix::fs::MetadataExt;

use super::{Builtin, Kind, optional, required};
use crate::check::{Call, Checked, Value, build};
use crate::diagnostics::{Diagnostic, system_words};
use crate::image::Global;
use crate::ir::{Binary, Expr, ExprKind, PlaceKind};
use crate::kernel::kfunc;
use crate::syntax::ast::Tag;
use crate::types::{Space, Type, layout};

/// `TASK_COMM_LEN` of the kernel's `include/linux/sched.h`.
const COMM_SIZE: u32 = 16;

const NAMESPACE: Kind = Kind::Word(&["curr_ns", "init"]);
const FUNCTION_PROBES: &[&str] = &["kprobe", "kretprobe"];

pub const TABLE: &[Builtin] = &[
    Builtin::function("pid", &[optional("namespace", NAMESPACE)], "uint32", "The process id", pid)
        .bare()
        .doc("What user space calls a pid and the kernel a thread group id."),
    Builtin::function("tid", &[optional("namespace", NAMESPACE)], "uint32", "The thread id", tid).bare(),
    Builtin::value("uid", "uint64", "The user id of the process", uid),
    Builtin::value("gid", "uint64", "The group id of the process", gid),
    Builtin::value("username", "username", "The name of the user of the process", username),
    Builtin::function(
        "comm",
        &[optional("tid", Kind::Int)],
        "string[16]",
        "The name of the thread, or of the one with an id",
        comm,
    )
    .bare()
    .doc(
        "It is \"\" if there is no such thread. Ids are those of the initial pid namespace. To look for a thread takes Linux 6.2 in \
         `iter`, `fentry` and `fexit` probes, and 6.12 in tracepoints and timers; others cannot.",
    ),
    Builtin::value("cgroup", "uint64", "The id of the control group of the process", cgroup),
    Builtin::function(
        "cgroupid",
        &[required("path", Kind::Text)],
        "uint64",
        "The id of the control group of a path, such as /sys/fs/cgroup/system.slice",
        cgroupid,
    )
    .doc("Compare it with `cgroup`. The path is looked up before the script runs."),
    Builtin::function(
        "cgroup_path",
        &[required("id", Kind::Int), optional("filter", Kind::Text)],
        "cgroup_path_t",
        "The path of a control group, by its id",
        cgroup_path,
    ),
    Builtin::value("cpid", "uint64", "The process id of the command given with -c", cpid)
        .doc("Only in runs with a command, as the example: `bpftrace -c 'wc -l /etc/passwd' script.bt`."),
    Builtin::value("has_cpid", "bool", "Whether a command was given with -c", has_cpid),
    Builtin::action("signal", &[required("signal", Kind::Any)], "Sends a signal to the process", signal)
        .at_once()
        .needs_unsafe()
        .doc("By number or by name: `signal(9)`, `signal(\"KILL\")`, `signal(\"SIGKILL\")`."),
    Builtin::action(
        "signal_thread",
        &[required("signal", Kind::Any)],
        "Sends a signal to the thread",
        signal_thread,
    )
    .at_once()
    .needs_unsafe(),
    Builtin::action(
        "override",
        &[required("result", Kind::Int)],
        "Makes the traced function return at once, with that result",
        override_return,
    )
    .at_once()
    .needs_unsafe()
    .only(FUNCTION_PROBES)
    .doc("Only for functions that the kernel marks with `ALLOW_ERROR_INJECTION`."),
];

fn upper_half(call: &Call<'_, '_, '_>, both: Expr) -> Expr {
    build::binary(Binary::Shr, both, call.number_expr(32))
}

fn pid(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let both = task_ids(call);
    Ok(Value::new(build::cast(upper_half(call, both), Type::U32)))
}

fn tid(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    Ok(Value::new(build::cast(task_ids(call), Type::U32)))
}

/// The process's id in the upper half, the thread's in the lower, in the namespace that is asked for.
fn task_ids(call: &mut Call<'_, '_, '_>) -> Expr {
    match call.word(0) {
        Some("init") => {
            build::helper(libbpf_sys::BPF_FUNC_get_current_pid_tgid, vec![], Type::U64, call.span)
        }
        _ => build::expr(ExprKind::TaskIds, Type::U64, call.span),
    }
}

/// The group id in the upper half, the user id in the lower.
fn uid_gid(call: &Call<'_, '_, '_>) -> Expr {
    build::helper(libbpf_sys::BPF_FUNC_get_current_uid_gid, vec![], Type::U64, call.span)
}

fn uid(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    Ok(Value::new(build::cast(build::cast(uid_gid(call), Type::U32), Type::U64)))
}

fn gid(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let both = uid_gid(call);
    Ok(Value::new(upper_half(call, both)))
}

fn username(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    Ok(Value::new(build::cast(uid_gid(call), Type::Username)))
}

fn comm(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    if let Some(tid) = call.optional_value(0) {
        return comm_of(call, tid);
    }
    let kind = ExprKind::Fill { id: libbpf_sys::BPF_FUNC_get_current_comm, args: vec![] };
    Ok(Value::new(build::expr(kind, Type::Str(COMM_SIZE), call.span)))
}

/// The name of another thread, which the kernel finds for us.
fn comm_of(call: &mut Call<'_, '_, '_>, tid: Value) -> Checked<Value> {
    const FIND: &str = "bpf_task_from_pid";
    let (span, section) = (call.span, call.check.section().to_owned());
    let problem = if call.check.host.types.function(None, FIND).is_none() {
        Some("this kernel has no function that finds them: Linux 6.2 does, with BTF")
    } else if !kfunc::is_allowed(FIND, &section) {
        Some(
            "the kernel lets iter, fentry and fexit probes look for them, and since 6.12 tracepoints and timers",
        )
    } else {
        None
    };
    if let Some(problem) = problem {
        let message = format!("comm() cannot look for other threads in \"{}\" probes", call.check.provider());
        return call.check.fail(
            Diagnostic::error("not-in-this-probe", span, message)
                .note(problem)
                .help("comm without an argument is the name of the current thread, everywhere"),
        );
    }
    let task = call.check.host.types.find(Some(Tag::Struct), "task_struct").unwrap_or(Type::Void);
    let task = build::constant(0, Type::ptr(task, Space::Kernel), span);
    let name = call.check.field(Value::new(task), "comm", span, span)?;
    let ExprKind::Load(place) = name.expr.kind else {
        return call.fail("no-kernel-types", "comm() needs the kernel's type information (BTF)");
    };
    let PlaceKind::Field { field, .. } = place.kind else {
        return call.fail("no-kernel-types", "comm() needs the kernel's type information (BTF)");
    };
    let tid = Box::new(build::cast(tid.expr, Type::I32));
    let kind = ExprKind::TaskName { tid, comm: field.offset };
    Ok(Value::new(build::expr(kind, Type::Str(COMM_SIZE), span)))
}

fn cgroup(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    Ok(call.helper(libbpf_sys::BPF_FUNC_get_current_cgroup_id, vec![], Type::U64))
}

/// The id of a group of the unified hierarchy is the inode of its directory.
fn cgroupid(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let path = call.text(0).unwrap_or_default();
    match std::fs::metadata(&path) {
        Ok(directory) => Ok(Value::new(call.number_expr(directory.ino()))),
        Err(error) => {
            let span = call.arg_span(0);
            call.check.fail(
                Diagnostic::error(
                    "no-such-cgroup",
                    span,
                    format!("Failed to get cgroup id for {path}: {}", system_words(&error)),
                )
                .help("give the path of its directory, such as /sys/fs/cgroup/system.slice"),
            )
        }
    }
}

fn cgroup_path(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let id = call.value(0)?;
    let filter = call.text(1).unwrap_or_default();
    let filter = call.check.string(&filter, call.span);
    let parts = vec![(0, build::cast(id.expr, Type::U64)), (layout::CGROUP_FILTER, filter)];
    Ok(Value::new(build::expr(ExprKind::Pack(parts), Type::CgroupPath, call.span)))
}

fn cpid(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    if !call.check.options.has_child {
        call.check.warn_of_no_child(call.span);
        return Ok(Value::new(build::constant(0, Type::U64, call.span)));
    }
    Ok(call.global(Global::ChildPid))
}

fn has_cpid(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let given = call.check.has_child();
    Ok(Value { literal: true, ..Value::new(build::boolean(given, call.span)) })
}

fn signal(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    send_signal(call, libbpf_sys::BPF_FUNC_send_signal)
}

fn signal_thread(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    send_signal(call, libbpf_sys::BPF_FUNC_send_signal_thread)
}

fn send_signal(call: &mut Call<'_, '_, '_>, helper: u32) -> Checked<Value> {
    let signal = call.value(0)?;
    let name = call.name;
    let number = if let Some(text) = signal.text() {
        let text = String::from_utf8_lossy(text).into_owned();
        match signal_number(&text) {
            Some(number) => call.number_expr(number),
            None => {
                let span = call.arg_span(0);
                return call.check.error(
                    "unknown-signal",
                    span,
                    format!("Invalid string for signal: {text}"),
                );
            }
        }
    } else {
        let found = signal.ty().clone();
        match call.check.number(signal) {
            Ok(number) if number.literal && number.constant().is_some_and(|n| !(1..=64).contains(&n)) => {
                return call.fail("unknown-signal", format!("{name}: signals are numbered from 1 to 64"));
            }
            Ok(number) => build::cast(number.expr, Type::U64),
            Err(_) => {
                let found = call.check.spell(&found);
                return call.fail(
                    "argument-type",
                    format!("{name}() only supports integer or string arguments ({found} provided)"),
                );
            }
        }
    };
    let sent = build::helper(helper, vec![number], Type::I64, call.span);
    Ok(call.done(vec![build::stmt(crate::ir::StmtKind::Expr(sent), call.span)]))
}

/// A signal's number by its name, with or without `SIG`: signal(7), and the same on all machines that we run on.
fn signal_number(name: &str) -> Option<u64> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    NAMES.iter().position(|n| *n == short).and_then(|n| u64::try_from(n + 1).ok())
}

fn override_return(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let result = build::cast(call.value(0)?.expr, Type::U64);
    let context = build::expr(ExprKind::ContextPointer, Type::U64, call.span);
    let id = libbpf_sys::BPF_FUNC_override_return;
    let call_helper = build::helper(id, vec![context, result], Type::I64, call.span);
    Ok(call.done(vec![build::stmt(crate::ir::StmtKind::Expr(call_helper), call.span)]))
}

#[cfg(test)]
mod tests {
    use super::signal_number;

    #[test]
    fn signals_by_name() {
        for (name, number) in [
            ("KILL", libc::SIGKILL),
            ("sigusr1", libc::SIGUSR1),
            ("SIGSYS", libc::SIGSYS),
            ("CHLD", libc::SIGCHLD),
        ] {
            assert_eq!(signal_number(name), u64::try_from(number).ok(), "{name}");
        }
        assert_eq!(signal_number("SIGNAL"), None);
    }
}
