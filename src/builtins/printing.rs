//! Printing.

use super::{Builtin, Kind, optional, repeated, required};
use crate::check::{Call, Checked, Value};
use crate::diagnostics::Diagnostic;
use crate::image::{EventKind, MapId, PrintTo};
use crate::syntax::ast;
use crate::types::{Agg, Type};

const FORMAT: &[super::Param] = &[required("format", Kind::Text), repeated("args")];

pub const TABLE: &[Builtin] = &[
    Builtin::action("printf", FORMAT, "Prints a format and its arguments, as printf(3) does", printf).doc(
        "Besides the conversions of C: `%r`, `%rx` and `%rh` for buffers. `%s` takes everything: symbols, stacks, \
         times, enums by name.",
    ),
    Builtin::action("errorf", FORMAT, "As printf, as an error message with its place in the script", errorf),
    Builtin::action("warnf", FORMAT, "As printf, as a warning with its place in the script", warnf),
    Builtin::action(
        "print",
        &[
            required("value", Kind::Special("a value or a map")),
            optional("top", Kind::Number),
            optional("div", Kind::Number),
        ],
        "Prints a value, or a map with all its entries",
        print,
    )
    .doc("For a map, `top` is how many of the largest entries, and `div` a number to divide by."),
];

fn printf(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
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
    let Some(number) = call.number(index) else { return Ok(None) };
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
        .note("top and div are for whole maps"),
    )
}
