//! Functions on maps.

use super::{Builtin, Kind, optional, required};
use crate::check::{Call, Checked, Stop, Value, build};
use crate::diagnostics::Diagnostic;
use crate::image::EventKind;
use crate::ir::ExprKind;
use crate::syntax::ast;
use crate::types::{Type, layout};

pub const TABLE: &[Builtin] = &[
    Builtin::function(
        "delete",
        &[required("map", Kind::Special("a map")), optional("key", Kind::Special("a key"))],
        "bool",
        "Deletes a key of a map; whether there was one",
        delete,
    )
    .doc("`delete(@x, key)`, or `delete(@x[key])` as it used to be written; `delete(@x)` for a map without keys."),
    Builtin::function(
        "has_key",
        &[required("map", Kind::Map), required("key", Kind::Special("a key"))],
        "bool",
        "Whether a map has a key",
        has_key,
    ),
    Builtin::function(
        "find",
        &[
            required("map", Kind::Map),
            required("key", Kind::Special("a key")),
            required("variable", Kind::Special("a variable")),
        ],
        "bool",
        "Whether a map has a key; if so the variable gets its value",
        find,
    )
    .doc("One look into the map does for both: `if (find(@start, tid, $began)) { … }`."),
    Builtin::function(
        "len",
        &[required("map", Kind::Special("a map or a stack"))],
        "int64",
        "How many keys a map has, or how many frames a stack",
        len,
    ),
    Builtin::action("clear", &[required("map", Kind::Map)], "Deletes all keys of a map", clear),
    Builtin::action("zero", &[required("map", Kind::Map)], "Sets all values of a map to zero", zero),
];

fn delete(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let [target, keys @ ..] = call.syntax else { return Err(Stop::Reported) };
    let ast::ExprKind::Map { name, key } = &target.kind else {
        return call.check.fail(
            Diagnostic::error("argument-type", target.span, "delete() expects a map argument")
                .help("write delete(@map, key)"),
        );
    };
    let key = match (key.as_deref(), keys.first()) {
        (Some(_), Some(extra)) => {
            return call.check.fail(
                Diagnostic::error("argument-count", extra.span, "delete() has two keys here")
                    .help("write delete(@map, key)"),
            );
        }
        (Some(key), None) | (None, Some(key)) => Some(key),
        (None, None) => None,
    };
    // Deleting from a map that nothing ever fills is a slip.
    call.check.whole_map(name, target.span)?;
    let (map, key) = call.check.map_access(name, key, target.span)?;
    let kind = ExprKind::MapDelete { map, key: key.map(Box::new) };
    Ok(Value::new(build::expr(kind, Type::Bool, call.span)))
}

fn has_key(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let map = call.map(0)?;
    let [target, key, ..] = call.syntax else { return Err(Stop::Reported) };
    let ast::ExprKind::Map { name, .. } = &target.kind else { return Err(Stop::Reported) };
    call.check.accessed_map(name, true, target.span)?;
    let key = call.check.map_key(map, key)?;
    let kind = ExprKind::MapHas { map, key: Box::new(key) };
    Ok(Value::new(build::expr(kind, Type::Bool, call.span)))
}

fn find(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let map = call.map(0)?;
    let [target, key, variable] = call.syntax else { return Err(Stop::Reported) };
    let ast::ExprKind::Map { name, .. } = &target.kind else { return Err(Stop::Reported) };
    let ast::ExprKind::Variable(to) = &variable.kind else {
        return call.check.fail(
            Diagnostic::error("argument-type", variable.span, "find() expects a variable here")
                .note("it gets the key's value, and stays as it is if there is no such key"),
        );
    };
    call.check.accessed_map(name, true, target.span)?;
    let key = call.check.map_key(map, key)?;
    call.check.find_in_map(map, key, (to, variable.span), call.span)
}

fn len(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let Some(e) = call.syntax.first() else { return Err(Stop::Reported) };
    let span = call.span;
    if let ast::ExprKind::Map { name, key: None } = &e.kind {
        let map = call.check.whole_map(name, e.span)?;
        if !call.check.has_keys(name) {
            return call.check.fail(
                Diagnostic::error(
                    "map-keys",
                    span,
                    "call to len() expects a map with explicit keys (non-scalar map)",
                )
                .note(format!("@{name} is used without a key, so it holds one value")),
            );
        }
        call.check.accessed_map(name, true, e.span)?;
        call.check.can_iterate("len", "count in a variable of your own: @count++", span)?;
        let count = build::expr(ExprKind::MapLen(map), Type::U64, span);
        return Ok(Value::new(build::cast(count, Type::I64)));
    }
    let value = call.check.value(e)?;
    match value.ty() {
        Type::KStack(_) | Type::UStack(_) => {
            let frames = build::part(value.expr, layout::STACK_FRAMES, Type::U32, span);
            Ok(Value::new(build::cast(frames, Type::I64)))
        }
        ty => {
            let found = call.check.spell(ty);
            call.check.error(
                "argument-type",
                e.span,
                format!("len() expects a map or stack to be provided ({found} provided)"),
            )
        }
    }
}

fn clear(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let map = call.map(0)?;
    Ok(call.send(EventKind::Clear(map), vec![]))
}

fn zero(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let map = call.map(0)?;
    Ok(call.send(EventKind::Zero(map), vec![]))
}
