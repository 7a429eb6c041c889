//! The expressions of a [`View`]: loads from the context, registers, argument words.

use super::arch::Arch;
use super::{Uses, View};
use crate::diagnostics::Span;
use crate::ir::{Binary, Context, Expr, ExprKind, Nesting, Place, PlaceKind};
use crate::types::{Space, Type, layout};

/// Why something is not there, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub note: String,
    pub help: Option<String>,
}

impl View {
    /// A view of nothing: what a provider has, it adds.
    pub(super) fn empty(provider: &'static str, context: Context, nesting: Nesting, name: u32) -> View {
        View {
            provider,
            context,
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
            ctx: None,
            object: None,
            name: name_constant(name),
            space: Space::Kernel,
            nesting,
            returns_zero: false,
            pinned: false,
            filter_pid: false,
        }
    }

    /// Whether one program can run under both: what the body may use is the same.
    pub(super) fn same(&self, other: &View, uses: Uses) -> bool {
        let typed = !uses.typed
            || (self.args == other.args && self.retval == other.retval && self.no_result == other.no_result);
        let named = !(uses.typed || uses.types) || self.program == other.program;
        typed
            && named
            && (!uses.words || self.words == other.words)
            && (!uses.addresses || self.moved_by == other.moved_by)
            && self.provider == other.provider
            && self.context == other.context
            && self.func == other.func
            && self.ctx == other.ctx
            && self.object == other.object
            && self.space == other.space
            && self.nesting == other.nesting
            && self.returns_zero == other.returns_zero
            && self.pinned == other.pinned
            && self.filter_pid == other.filter_pid
    }
}

pub(super) fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

/// `probe` where there is one name.
pub(super) fn name_constant(id: u32) -> Expr {
    expr(ExprKind::Const(id.into()), Type::ProbeName)
}

/// `probe` where the attach points have several names.
pub(super) fn name_by_cookie() -> Expr {
    expr(ExprKind::ProbeName, Type::ProbeName)
}

/// A value in the context.
pub(super) fn load(offset: u32, ty: Type) -> Expr {
    let place = Place { kind: PlaceKind::Context { offset }, ty: ty.clone(), span: Span::default() };
    expr(ExprKind::Load(Box::new(place)), ty)
}

/// A scalar value that the context holds widened to 64 bits, as registers and argument words do.
pub(super) fn load_word(offset: u32, ty: &Type) -> Expr {
    let word = load(offset, Type::U64);
    if *ty == Type::U64 { word } else { expr(ExprKind::Cast(Box::new(word)), ty.clone()) }
}

/// Arguments as a trampoline or a raw tracepoint hands them to its program: one after the other, in words of eight bytes.
/// A struct of more than eight takes two (`btf_distill_func_proto` and `get_ctx_arg_idx_aligned` of the kernel).
#[derive(Default)]
pub(super) struct Words(u32);

impl Words {
    /// Where an argument of so many bytes is, which is behind those before.
    pub fn take(&mut self, bytes: u32) -> u32 {
        let at = self.end();
        self.0 += bytes.div_ceil(8).max(1);
        at
    }

    /// Where the words end: a function's result comes next.
    pub fn end(&self) -> u32 {
        8 * self.0
    }

    /// `arg0`, `arg1`, …
    pub fn loads(&self) -> Vec<Expr> {
        (0..self.0).map(|n| load(8 * n, Type::U64)).collect()
    }
}

/// A BPF helper's 64-bit result.
pub(super) fn helper(id: libbpf_sys::bpf_func_id, args: Vec<Expr>) -> Expr {
    expr(ExprKind::Helper { id, args }, Type::U64)
}

pub(super) fn number(value: u64) -> Expr {
    expr(ExprKind::Const(value), Type::U64)
}

pub(super) fn binary(op: Binary, left: Expr, right: Expr) -> Expr {
    let ty = left.ty.clone();
    expr(ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) }, ty)
}

/// `arg0`, `arg1`, … of a function, from `struct pt_regs`: those in registers and, where the probe is at the
/// function's first instruction, those on the stack up to `arg9`.
pub(super) fn arguments(space: Space, at_entry: bool) -> Vec<Expr> {
    let arch = Arch::HOST;
    let mut words: Vec<Expr> = arch.arguments.iter().map(|&offset| load(offset, Type::U64)).collect();
    if at_entry {
        let on_stack = (words.len()..10).zip((arch.stack_arguments..).step_by(8));
        words.extend(on_stack.map(|(_, offset)| {
            let address = binary(Binary::Add, load(arch.sp, Type::U64), number(offset.into()));
            dereference(address, space, Type::U64)
        }));
    }
    words
}

/// What is at an address.
pub(super) fn dereference(address: Expr, space: Space, ty: Type) -> Expr {
    let pointer = expr(ExprKind::Cast(Box::new(address)), Type::ptr(ty.clone(), space));
    let kind = PlaceKind::Deref { pointer: Box::new(pointer), space };
    expr(ExprKind::Load(Box::new(Place { kind, ty: ty.clone(), span: Span::default() })), ty)
}

/// How far an address in memory is from that in its file.
pub(super) fn moved_by(there: Expr, address: u64) -> Expr {
    binary(Binary::Sub, there, number(address))
}

/// A function's result, from `struct pt_regs`.
pub(super) fn result() -> Expr {
    load(Arch::HOST.result, Type::U64)
}

/// An address of the current process, as `usym`.
pub(super) fn user_symbol(address: Expr) -> Expr {
    let ids = expr(ExprKind::TaskIds, Type::U64);
    let pid = binary(Binary::Shr, ids, number(32));
    let pid = expr(ExprKind::Cast(Box::new(pid)), Type::U32);
    expr(ExprKind::Pack(vec![(0, address), (layout::USYM_PID, pid)]), Type::USym)
}

/// Data that a tracepoint's record holds behind its fixed part: the field at `offset` has the data's own offset in
/// its lower 16 bits, from the record's start or, `relative`, from the end of the field. The value is a pointer.
pub(super) fn record_data(offset: u32, relative: bool, elem: Type) -> Expr {
    let locator = expr(ExprKind::Cast(Box::new(load(offset, Type::U32))), Type::U64);
    let from_start = binary(Binary::And, locator, number(0xffff));
    let base = if relative { u64::from(offset) + 4 } else { 0 };
    let context = expr(ExprKind::ContextPointer, Type::U64);
    let mut address = binary(Binary::Add, context, from_start);
    if base > 0 {
        address = binary(Binary::Add, address, number(base));
    }
    expr(ExprKind::Cast(Box::new(address)), Type::ptr(elem, Space::Kernel))
}
