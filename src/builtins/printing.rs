//! Printing.

use super::{Builtin, Kind, optional, repeated, required};
use crate::check::{Call, Checked, Value, build};
use crate::diagnostics::Diagnostic;
use crate::format::{Conversion, Spec};
use crate::image::{EventKind, MapId, PrintTo};
use crate::ir;
use crate::kernel::Version;
use crate::syntax::ast;
use crate::types::{Agg, Space, Type};

const FORMAT: &[super::Param] = &[required("format", Kind::Text), repeated("args")];

pub const TABLE: &[Builtin] = &[
    Builtin::action("printf", FORMAT, "Prints a format and its arguments, as printf(3) does", printf).doc(
        "Besides the conversions of C: `%r`, `%rx` and `%rh` for buffers, `%gr` for the kernel's allocation flags. `%s` takes \
         everything: symbols, stacks, times, enums by name. Without a length (`%ld`, `%llx`) 32 bits of a number are shown. \
         `%f`, `%e`, `%g` and `%a` are for floating-point numbers, which scripts can read from memory, keep and print, but not \
         calculate with.",
    ),
    Builtin::action("errorf", FORMAT, "As printf, as an error message with its place in the script", errorf),
    Builtin::action("warnf", FORMAT, "As printf, as a warning with its place in the script", warnf),
    Builtin::action(
        "print",
        &[
            required("value", Kind::Special("a value or a map")),
            optional("top", Kind::Special("a number")),
            optional("div", Kind::Special("a number")),
        ],
        "Prints a value, or a map with all its entries",
        print,
    )
    .doc("For a map, `top` is how many of the largest entries, and `div` a number to divide by."),
    Builtin::function(
        "debugf",
        &[required("format", Kind::Text), repeated("args")],
        "void",
        "Writes to the kernel's own trace, `trace_pipe` of tracefs",
        debugf,
    )
    .doc("Up to three arguments. The trace is one for all, and slow: it is for finding out why a script fails."),
];

const TUPLE: &str = "to print several values, make them one, print((a, b)), or use printf";

fn printf(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    if call.check.is_pinned() {
        return super::pinned::printf(call);
    }
    call.formatted(|format| EventKind::Printf { format, to: PrintTo::Output })
}

fn errorf(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    call.formatted(|format| EventKind::Printf { format, to: PrintTo::Error })
}

fn warnf(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    call.formatted(|format| EventKind::Printf { format, to: PrintTo::Warning })
}

fn print(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let Some(e) = call.syntax.first() else { return Err(crate::check::Stop::Reported) };
    match &e.kind {
        ast::ExprKind::Map { name, key: None } => {
            let map = call.check.whole_map(name, e.span)?;
            return print_map(call, map);
        }
        ast::ExprKind::Map { name, key } => {
            let (map, key) = call.check.map_access(name, key.as_deref(), e.span)?;
            // What cannot be read as one number is read when it is printed.
            if let Ok(Type::Agg(
                Agg::Stats { .. } | Agg::Hist { .. } | Agg::LHist { .. } | Agg::TSeries { .. },
            )) = call.check.map_type(map)
            {
                only_value(call)?;
                return Ok(call.send(EventKind::PrintEntry { map }, key.into_iter().collect()));
            }
            let value = call.check.map_value(map, key, e.span)?;
            return print_value(call, value);
        }
        _ => {}
    }
    let value = call.check.value(e)?;
    print_value(call, value)
}

fn print_map(call: &mut Call<'_, '_, '_>, map: MapId) -> Checked<Value> {
    let top = count(call, 1, "top")?;
    let div = count(call, 2, "div")?;
    if div == Some(0) {
        let span = call.arg_span(2);
        return call.check.fail(
            Diagnostic::error("division-by-zero", span, "print() cannot divide by 0")
                .help("leave the divisor out, or give 1, to print the numbers as they are"),
        );
    }
    if call.check.in_loop() {
        let span = call.span;
        call.check.report(
            Diagnostic::warning(
                "print-in-loop",
                span,
                "Printing a map in a loop may show it later than meant",
            )
            .note("the map is printed from user space, when it may have changed again"),
        );
    }
    Ok(call.send(EventKind::PrintMap { map, top, div }, vec![]))
}

fn count(call: &mut Call<'_, '_, '_>, index: usize, what: &str) -> Checked<Option<u32>> {
    let Some(e) = call.syntax.get(index) else { return Ok(None) };
    let value = call.check.value(e)?;
    let Some(number) = value.constant() else {
        let found = call.check.spell(value.ty());
        return call.check.fail(
            Diagnostic::error(
                "literal-wanted",
                e.span,
                format!("print() expects an integer literal ({found} provided)"),
            )
            .note(format!("after a map stand '{what}' and the like: print(@map, top, div), both known before the script runs"))
            .help(TUPLE),
        );
    };
    match u32::try_from(number) {
        Ok(number) => Ok(Some(number)),
        Err(_) => {
            let span = call.arg_span(index);
            call.check.error(
                "argument-range",
                span,
                format!("print(): {what} must be between 0 and {} ({number} provided)", u32::MAX),
            )
        }
    }
}

fn print_value(call: &mut Call<'_, '_, '_>, value: Value) -> Checked<Value> {
    only_value(call)?;
    if call.check.is_pinned() {
        return super::pinned::value(call, value);
    }
    Ok(call.send(EventKind::PrintValue, vec![value.expr]))
}

fn only_value(call: &mut Call<'_, '_, '_>) -> Checked<()> {
    let count = call.count();
    if count == 1 {
        return Ok(());
    }
    let span = call.span;
    call.check.fail(
        Diagnostic::error(
            "argument-count",
            span,
            format!("Non-map print() only takes 1 argument, {count} found"),
        )
        .note("top and div are for whole maps")
        .help(TUPLE),
    )
}

/// Since when `bpf_trace_printk` has this conversion, the format's n-th text, if that is after 5.10: what it does not
/// know makes it print nothing. (Commits d9c9e4db186a and 3478cfcfcddf.)
fn newer_conversion(spec: &Spec, texts: u32) -> Option<Version> {
    let adorned = spec.left || spec.plus || spec.space || spec.zero || spec.width.is_some();
    if spec.conversion == Conversion::Char {
        return Some(Version::new(5, 15, 0));
    }
    (adorned || (spec.conversion == Conversion::String && texts > 1)).then_some(Version::new(5, 13, 0))
}

/// `bpf_trace_printk`, which takes the arguments as numbers, and strings by their addresses.
fn debugf(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    const MOST: usize = 3;
    let text = call.text(0).unwrap_or_default();
    let span = call.span;
    let values = call.rest(1);
    let format = call.checked_format(&text, &values)?;
    if values.len() > MOST {
        return call
            .fail("argument-count", format!("debugf() takes up to {MOST} arguments after its format"));
    }
    let plain = |spec: &Spec| {
        use Conversion::{Char, Hex, Pointer, Signed, String, Unsigned};
        matches!(spec.conversion, Signed | Unsigned | Hex { .. } | Char | Pointer | String)
    };
    if let Some(spec) = format.specs().find(|spec| !plain(spec)) {
        let written = text.get(spec.range.clone()).unwrap_or_default().to_owned();
        let at = call.arg_span(0);
        return call.check.error(
            "format-string",
            at,
            format!("debugf() cannot show {written}: the kernel has no such conversion"),
        );
    }
    let kernel = call.check.host.kernel.version();
    let mut texts = 0;
    let newer = format.specs().find_map(|spec| {
        texts += u32::from(spec.conversion == Conversion::String);
        Some((spec, newer_conversion(spec, texts)?)).filter(|(_, since)| kernel < *since)
    });
    if let Some((spec, since)) = newer
        && kernel > Version::default()
    {
        let written = text.get(spec.range.clone()).unwrap_or_default().to_owned();
        let which = if texts > 1 { format!("a second {written}") } else { written };
        let (major, minor) = (since.major, since.minor);
        let message = format!("debugf() shows {which} from Linux {major}.{minor} on, and this is {kernel}");
        let at = call.arg_span(0);
        return call.check.fail(Diagnostic::error("kernel-feature", at, message).help("printf() shows it"));
    }
    let mut body = vec![];
    let mut address = |call: &mut Call<'_, '_, '_>, value: ir::Expr| {
        let (set, copy) = call.check.keep(value);
        body.push(set);
        match copy.kind {
            ir::ExprKind::Var(var) => {
                let place = ir::Place { kind: ir::PlaceKind::Variable(var), ty: copy.ty, span };
                Ok(build::cast(build::address_of(place, Space::Kernel), Type::U64))
            }
            _ => Err(crate::check::Stop::Reported),
        }
    };
    let size = u64::try_from(text.len() + 1).unwrap_or(u64::MAX);
    let mut args =
        vec![address(call, build::text(text.as_bytes(), span))?, build::constant(size, Type::U64, span)];
    for value in values {
        args.push(match value.ty() {
            Type::Str(_) => address(call, value.expr)?,
            _ => build::cast(value.expr, Type::U64),
        });
    }
    let write = build::helper(libbpf_sys::BPF_FUNC_trace_printk, args, Type::I64, span);
    body.push(build::stmt(ir::StmtKind::Expr(write), span));
    Ok(call.done(body))
}
