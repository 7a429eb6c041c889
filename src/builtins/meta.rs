//! What is known before a script runs: types, literals, what the kernel offers; and what makes demands on that.

use super::{Builtin, Kind, repeated, required};
use crate::check::{Call, Checked, Stop, Value, build, literal_bool, literal_int, literal_text};
use crate::config::VARIABLES;
use crate::diagnostics::{Diagnostic, Span};
use crate::format::{Conversion, Format, Piece, Spec};
use crate::image::{EventKind, PrintTo};
use crate::ir::StmtKind;
use crate::kernel::kfunc;
use crate::types::{Int, Type};

const VALUE: &[super::Param] = &[required("value", Kind::Special("an expression or a type"))];
const KFUNC: &[super::Param] = &[required("name", Kind::Text)];

pub const TABLE: &[Builtin] = &[
    Builtin::function("is_integer", VALUE, "bool", "Whether something is an integer", is_integer).doc(
        "It is not run, as in `sizeof`; `if comptime is_integer(x)` compiles only the side that is taken.",
    ),
    Builtin::function(
        "is_unsigned_integer",
        VALUE,
        "bool",
        "Whether something is an integer without a sign",
        is_unsigned_integer,
    ),
    Builtin::function("is_str", VALUE, "bool", "Whether something is a string", is_str),
    Builtin::function("is_ptr", VALUE, "bool", "Whether something is a pointer", is_ptr),
    Builtin::function("is_array", VALUE, "bool", "Whether something is an array", is_array),
    Builtin::function(
        "is_literal",
        &[required("value", Kind::Any)],
        "bool",
        "Whether a value is known before the script runs",
        is_literal,
    ),
    Builtin::function(
        "is_scalar",
        &[required("map", Kind::Map)],
        "bool",
        "Whether a map has no keys",
        is_scalar,
    ),
    Builtin::function(
        "typeinfo",
        VALUE,
        "record",
        "What type something is: .base_type and .full_type, as strings",
        typeinfo,
    )
    .doc("`typeinfo(pid).full_type` is `uint32`, its `.base_type` is `int`. Two can be compared as a whole."),
    Builtin::function(
        "fail",
        &[required("format", Kind::Text), repeated("args")],
        "void",
        "Fails with a message when the script is compiled, unless it is on a side that is never taken",
        fail,
    )
    .doc("`if ($# < 1) { fail(\"give me a name\") }`. What the format shows must be literals."),
    Builtin::function(
        "static_assert",
        &[required("condition", Kind::Any), required("message", Kind::Text)],
        "void",
        "Fails with a message when the script is compiled, unless the condition holds",
        static_assert,
    ),
    Builtin::action(
        "assert",
        &[required("condition", Kind::Any), required("message", Kind::Str)],
        "Ends tracing with an error message and exit code 1, unless the condition holds",
        assert,
    ),
    Builtin::function(
        "assert_str",
        VALUE,
        "void",
        "Fails when the script is compiled, unless something is a string or can be read as one",
        assert_str,
    )
    .doc("An array of `int8` can, and a pointer to `int8`."),
    Builtin::function(
        "kfunc_exist",
        KFUNC,
        "bool",
        "Whether the kernel has a function of that name",
        kfunc_exist,
    ),
    Builtin::function(
        "kfunc_allowed",
        KFUNC,
        "bool",
        "Whether programs of this kind of probe may call a kernel function",
        kfunc_allowed,
    ),
    Builtin::value("config", "record", "The settings that the script runs with", config)
        .doc("`config().max_strlen`; see the config block for their names."),
    Builtin::function(
        "default_str_length",
        &[],
        "uint64",
        "How many bytes strings have that are read without a length",
        default_str_length,
    )
    .doc("The config variable `max_strlen`."),
    Builtin::value("__builtin_arch", "string", "The machine's architecture", arch),
    Builtin::value("__builtin_safe_mode", "bool", "Whether --unsafe was not given", safe_mode),
];

fn boolean(call: &Call<'_, '_, '_>, value: bool) -> Value {
    literal_bool(value, call.span)
}

/// The type of the first argument.
fn type_of(call: &mut Call<'_, '_, '_>) -> Checked<Type> {
    let e = call.syntax.first().ok_or(Stop::Reported)?;
    call.check.static_type(e)
}

fn is_integer(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let ty = type_of(call)?;
    Ok(boolean(call, matches!(ty, Type::Int(_) | Type::Enum { .. })))
}

fn is_unsigned_integer(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let ty = type_of(call)?;
    Ok(boolean(call, matches!(ty, Type::Int(Int { signed: false, .. }))))
}

fn is_str(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let ty = type_of(call)?;
    Ok(boolean(call, matches!(ty, Type::Str(_) | Type::ProbeName)))
}

fn is_ptr(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let ty = type_of(call)?;
    Ok(boolean(call, matches!(ty, Type::Ptr { .. })))
}

fn is_array(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let ty = type_of(call)?;
    Ok(boolean(call, matches!(ty, Type::Array { .. })))
}

fn is_literal(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let value = call.value(0)?;
    Ok(boolean(call, value.literal))
}

fn is_scalar(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let map = call.map(0)?;
    let name = call.check.map_name(map);
    let has_keys = call.check.has_keys(name.trim_start_matches('@'));
    Ok(boolean(call, !has_keys))
}

fn typeinfo(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let ty = type_of(call)?;
    Ok(call.check.typeinfo(&ty, call.span))
}

fn fail(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let format = call.text(0).ok_or(Stop::Reported)?;
    let args = call.rest(1);
    let Ok(format) = Format::parse(&format) else {
        return call.fail("format", "This format cannot be read");
    };
    if let Some(other) = args.iter().find(|arg| !arg.literal) {
        let span = other.expr.span;
        return call.check.fail(
            Diagnostic::error("literal-wanted", span, "fail() arguments need to be literals")
                .note("it fails, or does not, before the script runs"),
        );
    }
    let wanted = format.specs().count();
    if wanted != args.len() {
        return call.fail(
            "format-count",
            format!("fail() needs {wanted} arguments for its format ({} provided)", args.len()),
        );
    }
    let mut message = String::new();
    let mut args = args.iter();
    for piece in &format.pieces {
        match (piece, matches!(piece, Piece::Spec(_)).then(|| args.next()).flatten()) {
            (Piece::Text(text), _) => message.push_str(text),
            (Piece::Spec(spec), Some(arg)) => message.push_str(&shown(spec, arg)),
            (Piece::Spec(_), None) => {}
        }
    }
    failed(call, message)
}

/// A literal in a message.
fn shown(spec: &Spec, value: &Value) -> String {
    let Some(number) = value.constant() else {
        return String::from_utf8_lossy(value.text().unwrap_or_default()).into_owned();
    };
    match spec.conversion {
        Conversion::Hex { upper: true } => format!("{number:X}"),
        Conversion::Hex { upper: false } => format!("{number:x}"),
        Conversion::Octal => format!("{number:o}"),
        Conversion::Char => {
            u8::try_from(number).map_or_else(|_| String::new(), |byte| char::from(byte).into())
        }
        Conversion::Pointer => format!("{number:#x}"),
        Conversion::String if *value.ty() == Type::Bool => (number != 0).to_string(),
        _ => number.to_string(),
    }
}

fn failed(call: &mut Call<'_, '_, '_>, message: String) -> Checked<Value> {
    if !call.check.is_unreached() {
        let span = call.span;
        call.check.report(Diagnostic::error("fail", span, message));
    }
    Ok(call.done(vec![]))
}

fn static_assert(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let (condition, message) = (call.value(0)?, call.text(1).unwrap_or_default());
    if call.check.known(condition)? {
        return Ok(call.done(vec![]));
    }
    if !call.check.is_unreached() {
        let (span, asked) = (call.span, call.arg_span(0));
        let error = Diagnostic::error("fail", span, message);
        call.check.report(error.label(asked, "this is false"));
    }
    Ok(call.done(vec![]))
}

fn assert(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let (condition, message, span) = (call.value(0)?, call.value(1)?, call.span);
    let condition = call.check.truth(condition)?;
    let format = "assert failed: %s".to_owned();
    let told = call.check.emit(EventKind::Printf { format, to: PrintTo::Error }, vec![message.expr], span);
    let code = build::constant(1, Type::U8, span);
    let exit = call.check.emit(EventKind::Exit, vec![code], span);
    let leave = build::stmt(StmtKind::Return(None), span);
    let failed = build::conditional(build::not(condition), vec![told, exit, leave], vec![], span);
    Ok(call.done(vec![failed]))
}

fn assert_str(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let ty = type_of(call)?;
    let (found, place) = (call.check.spell(&ty), call.arg_span(0));
    let character = |ty: &Type| *ty == Type::Int(Int::I8);
    let wanted = match &ty {
        Type::Str(_) => return Ok(call.done(vec![])),
        Type::Array { elem, .. } if character(elem) => return Ok(call.done(vec![])),
        Type::Ptr { to, .. } if character(to) => return Ok(call.done(vec![])),
        Type::Array { .. } => "an array is text only if its elements are characters",
        Type::Ptr { .. } => "a pointer is text only if it points to characters",
        _ => "text is a string, an array of characters or a pointer to them",
    };
    if call.check.is_unreached() {
        return Ok(call.done(vec![]));
    }
    call.check
        .fail(Diagnostic::error("argument-type", place, wanted).note(format!("this is of type {found}")))
}

fn kfunc_exist(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let name = call.text(0).unwrap_or_default();
    let exists = call.check.host.types.function(None, &name).is_some();
    Ok(boolean(call, exists))
}

fn kfunc_allowed(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let name = call.text(0).unwrap_or_default();
    let exists = call.check.host.types.function(None, &name).is_some();
    let section = call.check.section().to_owned();
    Ok(boolean(call, exists && kfunc::is_allowed(&name, &section)))
}

fn config(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let (config, span) = (call.check.host.config, call.span);
    let parts = VARIABLES
        .iter()
        .map(|v| (v.name.to_owned(), config_value(&(v.get)(config), v.expects, span)))
        .collect();
    Ok(call.check.pack_record(parts, span))
}

/// A config variable's value: what it is shows in what it takes. A number that is left to us is 0.
fn config_value(text: &str, expects: &str, span: Span) -> Value {
    if expects.starts_with("a number") {
        literal_int(text.parse().unwrap_or(0), span)
    } else if expects == "true or false" {
        literal_bool(text == "true", span)
    } else {
        literal_text(text.as_bytes(), span)
    }
}

fn default_str_length(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let length = call.check.host.config.max_strlen;
    Ok(literal_int(length, call.span))
}

fn arch(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let name = crate::probes::arch::Arch::HOST.name;
    Ok(literal_text(name.as_bytes(), call.span))
}

fn safe_mode(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let safe = !call.check.host.unsafe_mode;
    Ok(boolean(call, safe))
}
