//! Attach points that are made up: what a program sees there is the same on every machine.

use bpftrace::diagnostics::{Diagnostics, Span};
use bpftrace::image::{Attach, Target};
use bpftrace::ir::{Context, Expr, ExprKind, Nesting, Place, PlaceKind};
use bpftrace::probes::{Group, Host, Uses, View};
use bpftrace::syntax::ast::{AttachPoint, Tag};
use bpftrace::types::{Int, Space, Type};

/// One program for each attach point, in place of [`bpftrace::probes::resolve`].
pub fn resolve(
    points: &[AttachPoint],
    _: Uses,
    host: &mut Host<'_>,
    add_name: &mut dyn FnMut(&str) -> u32,
) -> (Vec<Group>, Diagnostics) {
    (points.iter().map(|point| group(point, host, add_name)).collect(), Diagnostics::default())
}

fn group(point: &AttachPoint, host: &mut Host<'_>, add_name: &mut dyn FnMut(&str) -> u32) -> Group {
    let provider = point.parts.first().map_or("", |p| p.text.as_str());
    let char_pointer = |space| Type::ptr(Type::Int(Int::I8), space);
    let number = add_name(&point.text);
    let mut view = View {
        provider: "begin",
        context: Context::None,
        args: None,
        hidden: vec![],
        no_args: None,
        other_args: None,
        program: None,
        words: vec![],
        retval: None,
        no_result: None,
        func: None,
        moved_by: None,
        name: expr(ExprKind::Const(number.into()), Type::ProbeName),
        space: Space::Kernel,
        ctx: None,
        object: None,
        nesting: Nesting::Never,
        returns_zero: false,
        pinned: false,
        filter_pid: false,
    };
    match provider {
        "kprobe" | "uprobe" => {
            view.provider = if provider == "kprobe" { "kprobe" } else { "uprobe" };
            view.space = if provider == "kprobe" { Space::Kernel } else { Space::User };
            view.nesting = if provider == "kprobe" { Nesting::Interrupts } else { Nesting::Preemption };
            view.context = Context::Registers;
            view.words = (0..6).map(|n| load(8 * n, Type::U64)).collect();
            view.func = Some(expr(ExprKind::Cast(Box::new(load(128, Type::U64))), Type::KSym));
        }
        "kretprobe" | "uretprobe" => {
            view.provider = if provider == "kretprobe" { "kretprobe" } else { "uretprobe" };
            view.space = if provider == "kretprobe" { Space::Kernel } else { Space::User };
            view.context = Context::Registers;
            view.retval = Some(load(80, Type::U64));
        }
        "usdt" => {
            view.provider = "usdt";
            view.space = Space::User;
            view.nesting = Nesting::Preemption;
            view.context = Context::Registers;
            view.words = (0..6).map(|n| load(8 * n, Type::U64)).collect();
        }
        "fentry" | "fexit" => {
            view.provider = if provider == "fentry" { "fentry" } else { "fexit" };
            view.context = Context::Words;
            let packet = host.types.find(Some(Tag::Struct), "sk_buff").unwrap_or(Type::Void);
            view.args = Some(vec![
                ("count".into(), load(16, Type::U64)),
                ("skb".into(), load(24, Type::ptr(packet, Space::Kernel))),
            ]);
            view.retval = (provider == "fexit").then(|| load(32, Type::I64));
        }
        "iter" => {
            view.provider = "iter";
            view.context = Context::Objects;
            let what = point.parts.get(1).map_or("task", |p| p.text.as_str());
            view.ctx = host.types.find(Some(Tag::Struct), &format!("bpf_iter__{what}"));
            view.returns_zero = true;
        }
        "tracepoint" => {
            view.provider = "tracepoint";
            view.context = Context::Record;
            view.args = Some(vec![
                ("dfd".into(), load(16, Type::I32)),
                ("filename".into(), load(24, char_pointer(Space::User))),
                ("ret".into(), load(32, Type::I64)),
                ("comm".into(), load(40, Type::Str(16))),
                ("argv".into(), load(56, Type::ptr(char_pointer(Space::User), Space::User))),
            ]);
        }
        "interval" | "profile" => view.provider = "interval",
        _ => {}
    }
    let attach = Attach { name: point.text.clone(), span: point.span, what: Target::Begin };
    Group { section: view.provider.to_owned(), attach: vec![attach], view }
}

fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

fn load(offset: u32, ty: Type) -> Expr {
    let place = Place { kind: PlaceKind::Context { offset }, ty: ty.clone(), span: Span::default() };
    expr(ExprKind::Load(Box::new(place)), ty)
}
