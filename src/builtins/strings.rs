//! Strings and buffers.

use super::{Builtin, Kind, optional, required};
use crate::check::{Call, Checked, Value, build, characters};
use crate::config::MAX_VALUE;
use crate::diagnostics::Diagnostic;
use crate::image::Target;
use crate::ir::{self, Expr, ExprKind};
use crate::syntax::ast;
use crate::types::{Int, Space, Type, layout};

pub const TABLE: &[Builtin] = &[
    Builtin::function(
        "str",
        &[required("address", Kind::Any), optional("length", Kind::Int)],
        "string",
        "The string at an address, up to its NUL",
        string,
    )
    .doc(
        "At most `length` bytes with its NUL, so one character less; without a length, or with a larger one, at most \
         `max_strlen` characters. Of a string, as many are kept; of a literal or a parameter (`str($1, 3)`) `length` \
         characters. A literal number is written out: `str(0)` is \"0\". Where a probe in the kernel does not know \
         whose memory an address is of, as with `arg1` of a system call, the address tells.",
    ),
    Builtin::function(
        "buf",
        &[required("data", Kind::Any), optional("length", Kind::Int)],
        "buffer",
        "The bytes at an address, or of an array",
        buffer,
    )
    .doc("Prints with `%r`, `%rx` or `%rh`. An array needs no length."),
    Builtin::function(
        "strncmp",
        &[required("a", Kind::Str), required("b", Kind::Str), required("length", Kind::Number)],
        "uint64",
        "0 if the strings are equal in that many characters",
        strncmp,
    )
    .doc("`==` compares whole strings."),
    Builtin::function(
        "path",
        &[required("path", Kind::Any), optional("size", Kind::Number)],
        "string",
        "The path of a file, from the kernel's struct path",
        path,
    )
    .only(&["fentry", "fexit", "iter"])
    .doc(
        "`path(args.file.f_path)`, straight from the probe's arguments. At most `size` bytes with the NUL, or `max_strlen` \
         characters; of a longer path the end is kept. The kernel allows it in iterators and at a few functions only: \
         `security_file_open`, `security_file_permission`, `security_inode_getattr`, `security_path_truncate`, \
         `vfs_truncate`, `vfs_fallocate`, `vfs_getattr`, `dentry_open` and `filp_close`.",
    ),
];

/// The functions where programs may call `bpf_d_path`: `btf_allowlist_d_path` of the kernel's
/// `kernel/trace/bpf_trace.c`, since 5.10.
const HAVE_PATHS: &[&str] = &[
    "security_file_permission",
    "security_inode_getattr",
    "security_file_open",
    "security_path_truncate",
    "vfs_truncate",
    "vfs_fallocate",
    "dentry_open",
    "vfs_getattr",
    "filp_close",
];

/// The first function that the program is attached to where it may not make paths.
fn without_paths(call: &Call<'_, '_, '_>) -> Option<String> {
    call.check.places().iter().find_map(|place| match &place.what {
        Target::Fentry { function, .. } if !HAVE_PATHS.contains(&function.as_str()) => Some(function.clone()),
        _ => None,
    })
}

/// `path(args.file.f_path)` or `path(&args.file.f_path)`.
fn path(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let value = call.value(0)?;
    let (at, found) = (call.arg_span(0), value.ty().clone());
    if let Some(function) = without_paths(call) {
        let span = call.span;
        return call.check.fail(
            Diagnostic::error("not-in-this-probe", span, "helper bpf_d_path not allowed in probe")
                .note(format!("the kernel lets programs make paths at a few functions only, and {function} is none"))
                .help("use fentry:security_file_open, or read the last name: str(args.file.f_path.dentry.d_name.name)"),
        );
    }
    let place = match value.expr.kind {
        ExprKind::Load(place) if matches!(found, Type::Struct(_)) => Some(place),
        ExprKind::AddressOf(place) => Some(place),
        _ => match &found {
            Type::Ptr { to, .. } => {
                let to = (**to).clone();
                Some(Box::new(build::deref(value.expr, to, Space::Kernel, at)))
            }
            _ => None,
        },
    };
    let of_path = place.filter(|place| match &place.ty {
        Type::Struct(id) => call.check.host.types.structure(*id).is_some_and(|s| s.name == "path"),
        _ => false,
    });
    let Some(place) = of_path else {
        let found = call.check.spell(&found);
        return call.check.fail(
            Diagnostic::error("argument-type", at, format!("path() expects a struct path, not {found}"))
                .help("such as path(args.file.f_path)"),
        );
    };
    let size = match call.number(1) {
        None => call.check.host.config.text_size(),
        Some(size) => match u32::try_from(size) {
            Ok(size) if size > 0 && u64::from(size) <= MAX_VALUE => size,
            _ => {
                let span = call.arg_span(1);
                let message = format!("path() takes a size from 1 to {MAX_VALUE} ({size} provided)");
                return call.check.error("argument-range", span, message);
            }
        },
    };
    let words = call.check.in_view(|v| v.args.clone()).unwrap_or_default();
    if !is_followed(&place, &words) {
        return call.check.fail(
            Diagnostic::error("argument-type", at, "path() cannot follow where this comes from")
                .note(
                    "the kernel makes paths only of what its verifier can follow from the probe's arguments",
                )
                .help("write the way from the arguments in the call: path(args.file.f_path)"),
        );
    }
    Ok(Value::new(build::expr(ExprKind::KernelPath(place), Type::Str(size), call.span)))
}

/// Whether a place is reached from the context by loads of pointers alone. `args` are those of the probe.
fn is_followed(place: &ir::Place, args: &[(String, Expr)]) -> bool {
    match &place.kind {
        ir::PlaceKind::Field { base, .. } => is_followed(base, args),
        ir::PlaceKind::Deref { pointer, .. } => pointer_is_followed(pointer, args),
        _ => false,
    }
}

/// A pointer as the kernel has it: what is cast from something else is a number to the verifier, or points to what it is not.
fn pointer_is_followed(pointer: &Expr, args: &[(String, Expr)]) -> bool {
    let loaded = uncast(pointer);
    let (Some(ExprKind::Load(place)), Type::Ptr { to: want, .. }) = (loaded.map(|e| &e.kind), &pointer.ty)
    else {
        return false;
    };
    // The context of a function is words; which of them are pointers, the arguments say.
    let have = match &place.kind {
        ir::PlaceKind::Context { offset } => args.iter().find_map(|(_, arg)| match &uncast(arg)?.kind {
            ExprKind::Load(of) if matches!(&of.kind, ir::PlaceKind::Context { offset: at } if at == offset) => {
                Some(&arg.ty)
            }
            _ => None,
        }),
        _ => None,
    };
    match have.or(loaded.map(|e| &e.ty)) {
        Some(Type::Ptr { to: have, .. }) => {
            have == want && (place.is_in_context() || is_followed(place, args))
        }
        _ => false,
    }
}

/// What is cast, if nothing of it is lost on the way.
fn uncast(expr: &Expr) -> Option<&Expr> {
    match &expr.kind {
        ExprKind::Cast(inner) | ExprKind::Reinterpret(inner) => {
            matches!(expr.ty, Type::Ptr { .. } | Type::Int(Int { size: 8, .. })).then(|| uncast(inner))?
        }
        _ => Some(expr),
    }
}

/// The most bytes that are read, as `max_strlen` says.
pub(super) fn longest(call: &Call<'_, '_, '_>) -> u32 {
    u32::try_from(call.check.host.config.max_strlen).unwrap_or(u32::MAX).max(1)
}

/// An argument that is a length: a constant, or an expression of 64 bits.
enum Length {
    Constant(u32),
    Runtime(Expr),
}

fn length(call: &mut Call<'_, '_, '_>, index: usize) -> Checked<Option<Length>> {
    let Some(value) = call.optional_value(index) else { return Ok(None) };
    match value.constant() {
        Some(n) if n < 0 => {
            let (name, span) = (call.name, call.arg_span(index));
            call.check.error("negative-length", span, format!("{name}() cannot use negative length ({n})"))
        }
        Some(n) => Ok(Some(Length::Constant(u32::try_from(n).unwrap_or(u32::MAX)))),
        None => Ok(Some(Length::Runtime(build::cast(value.expr, Type::U64)))),
    }
}

fn string(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let from = first_of_string(call)?;
    let from = call.check.name_as_text(from);
    let limit = length(call, 1)?;
    if from.literal
        && let Some(number) = from.constant()
    {
        return Ok(shortened(call.check.text(number.to_string().as_bytes(), call.span), limit, call));
    }
    if let Type::Str(_) = from.ty() {
        return Ok(shortened(from, limit, call));
    }
    let (found, at) = (from.ty().clone(), call.arg_span(0));
    let Some((address, space)) = memory(call, from) else {
        let found = call.check.spell(&found);
        return call.check.error(
            "argument-type",
            at,
            format!("str() reads text at an address: a string, an integer or a pointer, not {found}"),
        );
    };
    let longest = longest(call);
    let (size, len) = match limit {
        Some(Length::Constant(n)) => {
            if n > longest {
                let span = call.arg_span(1);
                call.check.report(
                    Diagnostic::warning(
                        "long-string",
                        span,
                        format!("of the {n} bytes asked for, at most {longest} are read"),
                    )
                    .help("max_strlen sets how long strings may be"),
                );
            }
            (n.clamp(1, call.check.host.config.text_size()), None)
        }
        Some(Length::Runtime(len)) => (call.check.host.config.text_size(), Some(Box::new(len))),
        None => (call.check.host.config.text_size(), None),
    };
    let kind = ExprKind::ReadString { address: Box::new(address), len, space };
    Ok(Value::new(build::expr(kind, Type::Str(size), call.span)))
}

/// The first argument; a parameter as the text that it is, also with some of it left out: `str($1 + 2)`.
fn first_of_string(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    use ast::{BinaryOp, ExprKind};
    match call.syntax.first() {
        Some(ast::Expr { kind: ExprKind::Positional(number), span }) => {
            Ok(call.check.positional_text(*number, *span))
        }
        Some(ast::Expr { kind: ExprKind::Binary { op: BinaryOp::Add, left, right }, span }) => {
            let ExprKind::Positional(number) = left.kind else { return call.value(0) };
            let skipped = call.check.expr(right)?;
            match skipped.constant().map(usize::try_from) {
                Some(Ok(skipped)) => {
                    let whole = call.check.positional_text(number, left.span);
                    let rest = whole.text().and_then(|text| text.get(skipped..)).unwrap_or_default();
                    Ok(call.check.text(rest, *span))
                }
                _ => call.value(0),
            }
        }
        _ => call.value(0),
    }
}

/// A string of which no more is kept than was asked for.
fn shortened(from: Value, limit: Option<Length>, call: &mut Call<'_, '_, '_>) -> Value {
    let Type::Str(size) = *from.ty() else { return from };
    match limit {
        None => from,
        Some(Length::Constant(n)) => match from.text() {
            Some(text) => {
                let kept = text.get(..n as usize).unwrap_or(text);
                call.check.text(kept, call.span)
            }
            None if n < size => {
                let cut = ExprKind::Cast(Box::new(from.expr));
                Value::new(build::expr(cut, Type::Str(n.max(1)), call.span))
            }
            None => from,
        },
        Some(Length::Runtime(len)) => {
            let span = call.span;
            let (set, copy) = call.check.keep(from.expr);
            let ir::ExprKind::Var(var) = copy.kind else { return Value::new(copy) };
            let place = ir::Place { kind: ir::PlaceKind::Variable(var), ty: copy.ty, span };
            let address = build::cast(build::address_of(place, Space::Kernel), Type::U64);
            let read = ExprKind::ReadString {
                address: Box::new(address),
                len: Some(Box::new(len)),
                space: Space::Kernel,
            };
            let read = build::expr(read, Type::Str(size), span);
            let kind = ExprKind::Block { body: vec![set], value: Box::new(read) };
            Value::new(build::expr(kind, Type::Str(size), span))
        }
    }
}

/// The address, as a number, that a value is or lies at, and the memory that it is in.
pub(super) fn memory(call: &mut Call<'_, '_, '_>, value: Value) -> Option<(Expr, Space)> {
    let (address, space) = match value.ty() {
        Type::Ptr { space, .. } => {
            let space = *space;
            (value.expr, space)
        }
        Type::Int(_) => {
            let space = value.space;
            (value.expr, space)
        }
        _ => call.check.address(value).ok()?,
    };
    Some((build::cast(address, Type::U64), space))
}

fn buffer(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let from = characters(call.value(0)?);
    let limit = length(call, 1)?;
    let longest = longest(call);
    let ty = from.ty().clone();
    let own = match &ty {
        Type::Array { .. } | Type::Str(_) | Type::Struct(_) => Some(call.check.size_of(&ty)),
        Type::Int(_) | Type::Ptr { .. } => None,
        _ => {
            let (found, span) = (call.check.spell(&ty), call.arg_span(0));
            return call.check.error(
                "argument-type",
                span,
                format!("buf() takes bytes of an array, a string or an address, not of {found}"),
            );
        }
    };
    if own.is_none() && limit.is_none() {
        let found = call.check.spell(&ty);
        return call.fail(
            "argument-count",
            format!("buf() needs a length here: {found} does not say how much there is"),
        );
    }
    let span = call.span;
    let constant = |n: u32| build::constant(u64::from(n), Type::U64, span);
    let (size, len) = match (limit, own) {
        (Some(Length::Constant(n)), own) => {
            let size = n.min(own.unwrap_or(u32::MAX)).min(longest);
            (size, constant(size))
        }
        (Some(Length::Runtime(len)), own) => (own.unwrap_or(longest).min(longest), len),
        (None, own) => {
            let size = own.unwrap_or(longest).min(longest);
            (size, constant(size))
        }
    };
    let size = size.max(1);
    if own.is_some() && !matches!(from.expr.kind, ExprKind::Load(_)) {
        return Ok(Value::new(copied(from.expr, size, len, span)));
    }
    let Some((address, space)) = memory(call, from) else { return Err(crate::check::Stop::Reported) };
    let kind = ExprKind::ReadBuffer { address: Box::new(address), len: Box::new(len), space };
    Ok(Value::new(build::expr(kind, Type::Buf(size), call.span)))
}

/// A buffer of the bytes of a value that is no longer in kernel or user memory.
fn copied(value: Expr, size: u32, len: Expr, span: crate::diagnostics::Span) -> Expr {
    let bytes = Type::Array { elem: Box::new(Type::Int(Int::U8)), len: size };
    let parts = vec![(0, build::cast(len, Type::U32)), (layout::BUF_DATA, build::reinterpret(value, bytes))];
    build::expr(ExprKind::Pack(parts), Type::Buf(size), span)
}

fn strncmp(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let (a, b) = (call.value(0)?, call.value(1)?);
    let limit = call.number(2).unwrap_or(0);
    let Ok(limit) = u32::try_from(limit) else {
        let span = call.arg_span(2);
        return call.check.error("negative-length", span, "Builtin strncmp requires a non-negative literal");
    };
    let kind = ExprKind::StringEqual {
        left: Box::new(a.expr),
        right: Box::new(b.expr),
        limit: Some(limit),
        negate: true,
    };
    Ok(Value::new(build::cast(build::expr(kind, Type::Bool, call.span), Type::U64)))
}
