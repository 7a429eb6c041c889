//! What a probe sees: arguments, results, the CPU, the event itself.

use super::{Builtin, Kind, required};
use crate::check::{Call, Checked, Value, build};
use crate::diagnostics::Diagnostic;
use crate::image::Global;
use crate::ir::{Binary, Context, ExprKind, Place, PlaceKind};
use crate::kernel::Feature;
use crate::probes::arch::Arch;
use crate::types::{Space, Type};

pub const TABLE: &[Builtin] = &[
    Builtin::value("args", "struct args", "The typed arguments of the probe, by name", args)
        .doc("`args.name` is one of them; `print(args)` shows all. `-lv` lists what a probe has."),
    ARGUMENT,
    Builtin::value("retval", "uint64", "What the traced function returns", retval),
    Builtin::value("func", "ksym_t", "The function that is traced", func),
    Builtin::value("probe", "string", "The full name of the probe that fired", probe),
    Builtin::value("probetype", "string", "The kind of the probe that fired", probetype)
        .doc("`special` for `BEGIN` and `END`, else the provider: `kprobe`."),
    Builtin::value("ctx", "void *", "The context that the kernel gives the program", ctx),
    Builtin::value("cpu", "uint64", "The number of the processor that this runs on", cpu),
    Builtin::value("ncpus", "uint64", "How many processors there are", ncpus),
    Builtin::value("numaid", "uint32", "The number of the NUMA node that this runs on", numaid)
        .alias(&["numa_id"]),
    Builtin::value("rand", "uint32", "A random number", rand),
    Builtin::value(
        "usermode",
        "uint8",
        "1 if the processor was running a process, 0 if the kernel",
        usermode,
    ),
    Builtin::function(
        "reg",
        &[required("name", Kind::Text)],
        "uint64",
        "A register of the processor, as the probe found it",
        reg,
    )
    .doc(
        "`reg(\"ip\")` is where the processor was. Probes without registers have none: tracepoints, fentry.",
    ),
];

/// `arg0`, `arg1`, …: one declaration for all of them.
const ARGUMENT: Builtin =
    Builtin::value("argN", "uint64", "An argument of the traced function: arg0 is the first", arg)
        .doc("Arguments are plain numbers; cast them to what they are: `(struct file *)arg0`.");

static ARGUMENTS: Builtin = ARGUMENT;

/// `sarg0`, `sarg1`, …: gone since 0.25, but they can mean nothing else.
static STACK_ARGUMENTS: Builtin =
    Builtin::value("sargN", "uint64", "An argument that the traced function finds on its stack", stack_arg);

/// The builtin for `arg0`, `arg1`, … and `sarg0`, `sarg1`, ….
pub fn numbered(name: &str) -> Option<&'static Builtin> {
    let builtins = [("arg", &ARGUMENTS), ("sarg", &STACK_ARGUMENTS)];
    builtins.into_iter().find(|(prefix, _)| number(name, prefix).is_some()).map(|(_, builtin)| builtin)
}

/// The number behind a prefix. Numbers too large for any argument are only that.
fn number(name: &str, prefix: &str) -> Option<usize> {
    let digits = name.strip_prefix(prefix)?;
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(usize::MAX))
}

fn args(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    call.check.all_arguments(call.span)
}

fn arg(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let (name, span) = (call.name, call.span);
    let index = number(name, "arg").unwrap_or(usize::MAX);
    let words = call.check.in_view(|v| Some(v.words.clone())).unwrap_or_default();
    if let Some(word) = words.get(index) {
        let space = register_space(call);
        return Ok(Value { space, ..Value::new(crate::ir::Expr { span, ..word.clone() }) });
    }
    if words.is_empty() {
        let mut error = Diagnostic::error(
            "args-unavailable",
            span,
            format!("{name} is an argument by its number, and this probe counts none"),
        );
        let provider = call.check.provider();
        if call.check.in_view(|v| v.args.clone()).is_some() || provider == "tracepoint" {
            error = error.help(format!(
                "this probe's arguments have names, args.NAME: bpftrace -lv '{provider}:…' lists them"
            ));
        } else {
            error = error
                .help("functions have them (kprobe, uprobe) and usdt; what follows a script is $1, $2, …");
        }
        return call.check.fail(error);
    }
    call.check.fail(
        Diagnostic::error("args-unavailable", span, format!("{} doesn't support {name}", Arch::HOST.name))
            .note(format!("here there are arg0 to arg{}", words.len() - 1)),
    )
}

fn stack_arg(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    /// No calling convention's limit, but what no function has.
    const MOST: usize = 255;
    let (name, span) = (call.name, call.span);
    let Some(index) = number(name, "sarg").filter(|n| *n <= MOST) else {
        return call.fail("args-unavailable", format!("there is no {name}: the last is sarg{MOST}"));
    };
    let offset = Arch::HOST.stack_arguments as usize + 8 * index;
    let instead = format!("*(reg(\"sp\") + {offset})");
    call.check.old_form(
        span,
        "sarg0, sarg1, … are no longer part of the language",
        format!("write {instead} for {name}"),
    );
    let pointer = register(call, name, Arch::HOST.sp)?;
    let address = build::binary(Binary::Add, pointer.expr, call.number_expr(offset as u64));
    let space = call.check.in_view(|v| Some(v.space)).unwrap_or_default();
    call.check.deref(Value { space, ..Value::new(address) }, span)
}

/// Where an address leads that a probe finds in a register: a process knows only its own memory, but the kernel's
/// functions get addresses of both kinds.
fn register_space(call: &Call<'_, '_, '_>) -> Space {
    match call.check.in_view(|v| Some(v.space)) {
        Some(Space::User) => Space::User,
        _ => Space::Unknown,
    }
}

fn retval(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let span = call.span;
    if let Some(value) = call.check.in_view(|v| v.retval.clone()) {
        if let Some(why) = call.check.in_view(|v| v.no_result.clone()) {
            call.check.report(
                Diagnostic::warning("retval-unavailable", span, "retval is not what this function returns")
                    .note(why),
            );
        }
        let space = register_space(call);
        return Ok(Value { space, ..Value::new(crate::ir::Expr { span, ..value }) });
    }
    let mut error = Diagnostic::error(
        "retval-unavailable",
        span,
        "retval is what a function returned, and this probe is not at a function's return",
    );
    let args = call.check.in_view(|v| v.args.clone()).unwrap_or_default();
    let at_return = match call.check.provider() {
        "kprobe" => Some("kretprobe"),
        "uprobe" => Some("uretprobe"),
        "fentry" => Some("fexit"),
        _ => None,
    };
    if args.iter().any(|(name, _)| name == "ret") {
        error = error.help("this probe has the result as args.ret");
    } else if let Some(at_return) = at_return {
        error = error.help(format!("a {at_return} of the same function is"));
    }
    call.check.fail(error)
}

fn func(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let span = call.span;
    match call.check.in_view(|v| v.func.clone()) {
        Some(value) => Ok(Value::new(crate::ir::Expr { span, ..value })),
        None => {
            let provider = call.check.provider();
            let newer = matches!(provider, "kretprobe" | "fentry" | "fexit")
                && !call.check.host.kernel.has(Feature::FuncIp);
            let error = if newer {
                Diagnostic::error("kernel-feature", span, "Missing required kernel feature: get_func_ip")
                    .note(format!("a {provider} probe knows its function from Linux 5.15 on"))
            } else {
                Diagnostic::error(
                    "not-in-this-probe",
                    span,
                    format!("The func builtin can not be used with '{provider}' probes"),
                )
            };
            call.check.fail(error.help("use probe, the name of the probe that fired"))
        }
    }
}

fn probe(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let span = call.span;
    let name = call.check.in_view(|v| Some(v.name.clone()));
    name.map(|name| Value::new(crate::ir::Expr { span, ..name })).ok_or(crate::check::Stop::Reported)
}

fn probetype(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let provider = match call.check.provider() {
        "begin" | "end" => "special",
        other => other,
    };
    Ok(Value { literal: true, ..Value::new(build::text(provider.as_bytes(), call.span)) })
}

fn ctx(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let span = call.span;
    if let Some(own) = call.check.in_view(|v| v.ctx.clone()) {
        let pointer = Type::ptr(own, Space::Bpf);
        return Ok(Value::new(build::expr(ExprKind::ContextPointer, pointer, span)));
    }
    match call.check.in_view(|v| Some(v.context)) {
        Some(Context::Registers) => {
            let tag = Some(crate::syntax::ast::Tag::Struct);
            let to = call.check.host.types.find(tag, "pt_regs").unwrap_or(Type::Void);
            Ok(Value::new(build::expr(ExprKind::ContextPointer, Type::ptr(to, Space::Bpf), span)))
        }
        Some(Context::Record) => call.fail("not-in-this-probe", "Use args instead of ctx in tracepoint"),
        _ => {
            let provider = call.check.provider();
            call.fail(
                "not-in-this-probe",
                format!("The ctx builtin can not be used with '{provider}' probes"),
            )
        }
    }
}

fn cpu(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    // The helper yields a u32, but it is a 64-bit number in the language.
    Ok(call.helper(libbpf_sys::BPF_FUNC_get_smp_processor_id, vec![], Type::U64))
}

fn ncpus(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    Ok(call.global(Global::Cpus))
}

fn numaid(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    Ok(call.helper(libbpf_sys::BPF_FUNC_get_numa_node_id, vec![], Type::U32))
}

fn rand(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    Ok(call.helper(libbpf_sys::BPF_FUNC_get_prandom_u32, vec![], Type::U32))
}

/// The lowest two bits of the code segment are the privilege: 3 in processes.
fn usermode(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let Some(segment) = Arch::HOST.register("cs") else {
        return call.fail("not-on-this-machine", "'usermode' builtin is only supported on x86_64");
    };
    let span = call.span;
    if call.check.in_view(|v| Some(v.context)) != Some(Context::Registers) {
        // What has no registers runs in the kernel, but for what this process does itself.
        let own = matches!(call.check.in_view(|v| Some(v.context)), Some(Context::None));
        return Ok(Value { literal: true, ..Value::new(build::constant(u64::from(own), Type::U8, span)) });
    }
    let segment = register(call, "usermode", segment)?;
    let number = |n| build::constant(n, Type::U64, span);
    let privilege = build::binary(Binary::And, segment.expr, number(3));
    let user = build::binary(Binary::Eq, privilege, number(3));
    Ok(Value::new(build::cast(user, Type::U8)))
}

fn reg(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let name = call.text(0).unwrap_or_default();
    let Some(offset) = Arch::HOST.register(&name) else {
        let known: Vec<&str> = Arch::HOST.registers.iter().map(|(name, _)| *name).collect();
        let span = call.arg_span(0);
        return call.check.fail(
            Diagnostic::error(
                "unknown-register",
                span,
                format!("{} has no register '{name}'", Arch::HOST.name),
            )
            .note(format!("it has {}", known.join(", "))),
        );
    };
    register(call, "reg()", offset)
}

fn register(call: &mut Call<'_, '_, '_>, what: &str, offset: u32) -> Checked<Value> {
    let span = call.span;
    if call.check.in_view(|v| Some(v.context)) != Some(Context::Registers) {
        let provider = call.check.provider();
        return call.check.fail(
            Diagnostic::error(
                "not-in-this-probe",
                span,
                format!("{what} can not be used with \"{provider}\" probes"),
            )
            .note("the kernel gives these probes no registers"),
        );
    }
    let place = Place { kind: PlaceKind::Context { offset }, ty: Type::U64, span };
    Ok(Value::new(build::load(place)))
}

impl Call<'_, '_, '_> {
    /// A BPF helper's result.
    pub(super) fn helper(&self, id: u32, args: Vec<crate::ir::Expr>, ty: Type) -> Value {
        Value::new(build::helper(id, args, ty, self.span))
    }

    pub(super) fn global(&self, global: Global) -> Value {
        Value::new(build::expr(ExprKind::Global(global), Type::U64, self.span))
    }

    /// A constant of 64 bits.
    pub(super) fn number_expr(&self, number: u64) -> crate::ir::Expr {
        build::constant(number, Type::U64, self.span)
    }
}
