//! Stacks.

use super::{Builtin, Kind, Param, optional};
use crate::check::{Call, Checked, Value, build};
use crate::diagnostics::Diagnostic;
use crate::ir::ExprKind;
use crate::syntax::ast;
use crate::types::{StackFormat, StackMode, Type};

/// The most frames that can be asked for.
const MAX_FRAMES: u32 = 1024;

const PARAMS: &[Param] = &[
    optional("mode", Kind::Special("bpftrace, perf, raw or build_id")),
    optional("limit", Kind::Special("an integer literal")),
];

pub const TABLE: &[Builtin] = &[
    Builtin::function("kstack", PARAMS, "kstack", "The kernel's stack", kstack).bare().doc(
        "`kstack(5)` has at most five frames; `kstack(perf)` and `kstack(raw, 5)` choose how it prints.",
    ),
    Builtin::function("ustack", PARAMS, "ustack", "The stack of the process", ustack)
        .bare()
        .doc("As `kstack`. The process must keep frame pointers."),
];

/// Programs for packets, as which benchmarks run, have no stacks.
fn has_stacks(call: &mut Call<'_, '_, '_>) -> Checked<()> {
    if call.check.provider() != "bench" {
        return Ok(());
    }
    let message = format!("The {} builtin can not be used with 'bench' probes", call.name);
    call.check.fail(
        Diagnostic::error("not-in-this-probe", call.span, message)
            .note("they run as programs for network packets, for which the kernel has no stacks"),
    )
}

fn kstack(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    has_stacks(call)?;
    let mut format = format(call)?;
    if format.mode == StackMode::BuildId {
        if !call.syntax.is_empty() {
            return call.fail("stack-mode", "only ustack has build IDs: the kernel's stack has none");
        }
        format.mode = StackMode::Raw;
    }
    Ok(Value::new(build::expr(ExprKind::Stack, Type::KStack(format), call.span)))
}

fn ustack(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    has_stacks(call)?;
    let format = format(call)?;
    Ok(Value::new(build::expr(ExprKind::Stack, Type::UStack(format), call.span)))
}

/// What the arguments say: a mode, a limit, or both in that order.
fn format(call: &mut Call<'_, '_, '_>) -> Checked<StackFormat> {
    let mut format = StackFormat { mode: call.check.host.config.stack_mode, limit: StackFormat::FRAMES };
    let (mode, limit) = match call.syntax {
        [] => (None, None),
        [mode @ ast::Expr { kind: ast::ExprKind::Name(_), .. }] => (Some(mode), None),
        [limit] => (None, Some(limit)),
        [mode, limit, ..] => (Some(mode), Some(limit)),
    };
    if let Some(written) = mode {
        let name = match &written.kind {
            ast::ExprKind::Name(name) => StackMode::from_name(name),
            _ => None,
        };
        let Some(mode) = name else {
            return call.check.fail(
                Diagnostic::error("stack-mode", written.span, format!("{}: invalid stack mode", call.name))
                    .note("the modes are bpftrace, perf, raw and build_id"),
            );
        };
        format.mode = mode;
    }
    if let Some(written) = limit {
        let value = call.check.value(written)?;
        let Some(limit) = value.constant() else {
            return call.check.fail(
                Diagnostic::error("stack-limit", written.span, format!("{}: invalid limit value", call.name))
                    .note("how many frames there are at most must be known before the script runs"),
            );
        };
        match u32::try_from(limit) {
            Ok(limit) if limit <= MAX_FRAMES => format.limit = limit.max(1),
            _ => {
                return call.check.error(
                    "stack-limit",
                    written.span,
                    format!("{}([int limit]): limit shouldn't exceed {MAX_FRAMES}, {limit} given", call.name),
                );
            }
        }
    }
    Ok(format)
}
