//! What can be found out about strings, and strings made of strings. Wherever a string is wanted, an array of
//! characters or a pointer to them does as well.

use super::{Builtin, Kind, required};
use crate::check::{Call, Checked, Value, build, literal_bool, literal_int, literal_text};
use crate::diagnostics::Diagnostic;
use crate::ir::{Binary, Expr, ExprKind, WALKED_BYTES, WALKED_LITERAL, WALKED_NEEDLE};
use crate::kernel::Feature;
use crate::types::{Int, Type};

const TEXT: Kind = Kind::Any;

pub const TABLE: &[Builtin] = &[
    Builtin::function(
        "strlen",
        &[required("string", TEXT)],
        "uint64",
        "How many characters a string has",
        strlen,
    )
    .doc("Of a pointer, no more are counted than `max_strlen`."),
    Builtin::function(
        "strcap",
        &[required("string", TEXT)],
        "int64",
        "How many bytes a string's type has room for, its NUL counted",
        strcap,
    )
    .doc("Of an array, how many elements it has. Of a pointer, the length of the string there, as `strlen`."),
    Builtin::function(
        "strcontains",
        &[required("haystack", TEXT), required("needle", TEXT)],
        "bool",
        "Whether the first string contains the second",
        strcontains,
    )
    .doc("The empty string is in every string. A `needle` that is written as a literal makes it fastest."),
    Builtin::function(
        "strstr",
        &[required("haystack", TEXT), required("needle", TEXT)],
        "int64",
        "Where the second string first occurs in the first, counted from 0, or -1",
        strstr,
    ),
    Builtin::function(
        "str_concat",
        &[required("first", TEXT), required("second", TEXT)],
        "string",
        "Two strings as one",
        str_concat,
    )
    .doc("It has at most `max_strlen` characters; what is more is cut off."),
    Builtin::function(
        "memcmp",
        &[required("left", Kind::Any), required("right", Kind::Any), required("count", Kind::Int)],
        "int32",
        "How the first bytes of two values compare: negative, zero or positive",
        memcmp,
    )
    .doc(
        "Values of any type, compared as the bytes that they are in memory: no more than the shorter one has. What is \
         behind a string's end counts as zeros.",
    ),
];

/// An argument that is a string, or can be read as one.
fn text(call: &mut Call<'_, '_, '_>, index: usize) -> Checked<Value> {
    let value = call.value(index)?;
    let value = call.check.name_as_text(value);
    let character = |ty: &Type| matches!(ty, Type::Int(int) if int.size == 1);
    match value.ty().clone() {
        Type::Str(_) => Ok(value),
        Type::Ptr { to, .. } if character(&to) => {
            let size = call.check.host.config.text_size();
            Ok(read(call, value, size).unwrap_or_else(|| Value::new(build::text(b"", call.span))))
        }
        Type::Array { elem, len } if character(&elem) => {
            // It may be full, with no room for a NUL.
            let size = len.saturating_add(1);
            let whole = value.clone();
            Ok(read(call, value, size).unwrap_or_else(|| {
                let kind = ExprKind::Pack(vec![(0, whole.expr)]);
                Value::new(build::expr(kind, Type::Str(size), call.span))
            }))
        }
        ty => {
            let (found, span, name) = (call.check.spell(&ty), call.arg_span(index), call.name);
            let mut error = Diagnostic::error(
                "argument-type",
                span,
                format!(
                    "{name}() expects a string, or an array of or a pointer to characters ({found} provided)"
                ),
            );
            error = match ty {
                Type::Ptr { .. } => error.help("say what it points to: (int8 *)…"),
                Type::Int(_) => error.help("read the string that it points to with str(…)"),
                _ => error,
            };
            call.check.fail(error)
        }
    }
}

/// The string that lies in kernel or user memory, if the value says where.
fn read(call: &mut Call<'_, '_, '_>, value: Value, size: u32) -> Option<Value> {
    let (address, space) = super::strings::memory(call, value)?;
    let kind = ExprKind::ReadString { address: Box::new(address), len: None, space };
    Some(Value::new(build::expr(kind, Type::Str(size), call.span)))
}

/// The characters of a literal, up to its NUL.
fn known(value: &Value) -> Option<&[u8]> {
    let text = value.text()?;
    text.split(|byte| *byte == 0).next()
}

fn strlen(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let text = text(call, 0)?;
    if let Some(known) = known(&text) {
        return Ok(literal_int(known.len() as u64, call.span));
    }
    Ok(length(text.expr, call))
}

fn length(text: Expr, call: &Call<'_, '_, '_>) -> Value {
    Value::new(build::expr(ExprKind::StringLength(Box::new(text)), Type::U64, call.span))
}

fn strcap(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let span = call.span;
    let written = call.syntax.first().map(|e| call.check.type_in_memory(e)).transpose()?;
    let text = text(call, 0)?;
    match (written, text.ty()) {
        (Some(Type::Array { len, .. }), _) => Ok(literal_int(u64::from(len), span)),
        (Some(Type::Ptr { .. }), _) => Ok(Value::new(build::cast(length(text.expr, call).expr, Type::I64))),
        (_, Type::Str(size)) => Ok(literal_int(u64::from(*size), span)),
        _ => Err(crate::check::Stop::Reported),
    }
}

fn strcontains(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let at = strstr(call)?;
    if let (true, Some(at)) = (at.literal, at.constant()) {
        return Ok(literal_bool(at >= 0, call.span));
    }
    let zero = build::constant(0, Type::I64, call.span);
    Ok(Value::new(build::binary(Binary::Ge, at.expr, zero)))
}

fn strstr(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let (haystack, needle) = (text(call, 0)?, text(call, 1)?);
    if let (Some(haystack), Some(needle)) = (known(&haystack), known(&needle)) {
        let at = if needle.is_empty() {
            Some(0)
        } else {
            haystack.windows(needle.len()).position(|window| window == needle)
        };
        let at = at.map_or(-1, |at| i128::try_from(at).unwrap_or(-1));
        return call.check.folded(Some(at), call.span);
    }
    let limit = if needle.text().is_some() { WALKED_LITERAL + 1 } else { WALKED_NEEDLE };
    check_walk(call, 0, haystack.ty(), WALKED_BYTES)?;
    check_walk(call, 1, needle.ty(), limit)?;
    let kind = ExprKind::StringFind { haystack: Box::new(haystack.expr), needle: Box::new(needle.expr) };
    Ok(Value::new(build::expr(kind, Type::I64, call.span)))
}

/// Refuses what is too large for kernels that have no `bpf_loop`.
fn check_walk(call: &mut Call<'_, '_, '_>, index: usize, ty: &Type, limit: u32) -> Checked<()> {
    let size = call.check.size_of(ty);
    if size <= limit || call.check.host.kernel.has(Feature::Loop) {
        return Ok(());
    }
    let (span, name) = (call.arg_span(index), call.name);
    let mut error = Diagnostic::error(
        "kernel-too-old",
        span,
        format!("{name}() with {size} bytes here needs Linux 5.17, this kernel takes up to {limit}"),
    );
    if matches!(ty, Type::Str(_)) {
        error = error.help(format!("read less of the string: str(…, {limit})"));
    }
    call.check.fail(error)
}

fn str_concat(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let (first, second) = (text(call, 0)?, text(call, 1)?);
    let longest = call.check.host.config.text_size();
    let span = call.span;
    if let (Some(a), Some(b)) = (known(&first), known(&second)) {
        let both = [a, b].concat();
        let room = longest.saturating_sub(1) as usize;
        return Ok(match both.get(..room) {
            Some(cut) if both.len() > room => literal_text(cut, span),
            _ => call.check.text(&both, span),
        });
    }
    // In large steps, since `$s = str_concat($s, "x")` gives `$s` a larger type on every pass over the script.
    let size = match (first.ty(), second.ty()) {
        (Type::Str(a), Type::Str(b)) => {
            let both = a.saturating_add(*b).saturating_sub(1);
            let size = both.checked_next_power_of_two().unwrap_or(longest).min(longest);
            if both <= size { call.check.host.config.whole_text_size(size.saturating_sub(1)) } else { size }
        }
        _ => longest,
    };
    let kind = ExprKind::StringConcat(Box::new(first.expr), Box::new(second.expr));
    Ok(Value::new(build::expr(kind, Type::Str(size), span)))
}

fn memcmp(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let (left, right, count) = (call.value(0)?, call.value(1)?, call.value(2)?);
    for (index, value) in [(0, &left), (1, &right)] {
        if matches!(value.ty(), Type::Void | Type::Agg(_)) {
            let (found, span) = (call.check.spell(value.ty()), call.arg_span(index));
            return call.check.error(
                "argument-type",
                span,
                format!("memcmp() expects a value of so many bytes ({found} provided)"),
            );
        }
    }
    if let Some(count) = count.constant().filter(|count| *count < 0) {
        let span = call.arg_span(2);
        return call.check.error(
            "negative-length",
            span,
            format!("memcmp() cannot use negative length ({count})"),
        );
    }
    let smaller = if call.check.size_of(left.ty()) < call.check.size_of(right.ty()) { &left } else { &right };
    let ty = smaller.ty().clone();
    check_walk(call, 0, &ty, WALKED_BYTES)?;
    let kind = ExprKind::BytesOrder {
        left: Box::new(left.expr),
        right: Box::new(right.expr),
        count: Box::new(build::cast(count.expr, Type::U64)),
    };
    Ok(Value::new(build::expr(kind, Type::Int(Int::I32), call.span)))
}
