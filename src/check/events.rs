//! Records that programs send to user space.

use std::collections::HashMap;

use super::shape::Value;
use super::{Call, Checked, Checker, Stop, build};
use crate::diagnostics::{Diagnostic, Span};
use crate::format::{CONVERSIONS, Conversion, Format, FormatError, Spec};
use crate::image::{Event, EventId, EventKind, PrintTo, StringId};
use crate::ir;
use crate::syntax::ast;
use crate::types::Type;

/// The events of a program, each once though it is sent by several programs.
#[derive(Default)]
pub struct Events {
    pub list: Vec<Event>,
    by_place: HashMap<Span, Vec<EventId>>,
}

impl Events {
    fn add(&mut self, event: Event) -> EventId {
        let here = self.by_place.entry(event.span).or_default();
        let same = here.iter().copied().find(|id| {
            self.list.get(id.0 as usize).is_some_and(|e| e.kind == event.kind && e.args == event.args)
        });
        same.unwrap_or_else(|| {
            let id = EventId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
            here.push(id);
            self.list.push(event);
            id
        })
    }
}

impl Checker<'_, '_> {
    /// The statement that sends a record. An error where nobody is there to get it, but for warnings about a run.
    pub fn emit(&mut self, kind: EventKind, args: Vec<ir::Expr>, span: Span) -> ir::Stmt {
        if self.is_pinned() {
            if !matches!(kind, EventKind::Warning { .. }) {
                self.report(nobody_there(&kind, span));
            }
            return build::stmt(ir::StmtKind::Block(vec![]), span);
        }
        let types = args.iter().map(|a| a.ty.clone()).collect();
        let event = self.event(kind, types, span);
        build::stmt(ir::StmtKind::Emit { event, args }, span)
    }

    /// An event of the image, by number.
    pub fn event(&mut self, kind: EventKind, args: Vec<Type>, span: Span) -> EventId {
        args.iter().for_each(|ty| self.host.types.close(ty));
        self.pass.events.add(Event { kind, args, span })
    }

    /// Whether the program at hand runs when there is no bpftrace any more.
    pub fn is_pinned(&self) -> bool {
        self.in_view(|view| Some(view.pinned)).unwrap_or_default()
    }

    /// A string of the image, by number.
    pub fn string(&mut self, text: &str, span: Span) -> ir::Expr {
        let strings = &mut self.pass.strings;
        let index = strings.iter().position(|s| s == text).unwrap_or_else(|| {
            strings.push(text.to_owned());
            strings.len() - 1
        });
        let id = StringId(u32::try_from(index).unwrap_or(u32::MAX));
        build::expr(ir::ExprKind::String(id), Type::U32, span)
    }
}

impl Call<'_, '_, '_> {
    /// A format (the first argument) and what it shows (the others), sent as an event of that kind.
    pub fn formatted(&mut self, kind: impl FnOnce(String) -> EventKind) -> Checked<Value> {
        let text = self.text(0).ok_or(Stop::Reported)?;
        let values = self.rest(1);
        self.checked_format(&text, &values)?;
        let args = values.into_iter().map(|v| v.expr).collect();
        let event = self.check.emit(kind(text), args, self.span);
        Ok(self.done(vec![event]))
    }

    /// A format, and that the values are what it shows.
    pub fn checked_format(&mut self, text: &str, values: &[Value]) -> Checked<Format> {
        let format = match Format::parse(text) {
            Ok(format) => format,
            Err(error) => return self.format_error(text, &error),
        };
        for range in &format.unknown {
            let written = text.get(range.clone()).unwrap_or_default();
            let place = self.within_format(text, range);
            self.check.report(
                Diagnostic::warning(
                    "format-string",
                    place,
                    format!("{}: {written} is no conversion, and is printed as it is", self.name),
                )
                .help(format!("there are {CONVERSIONS}, and %% for a percent sign")),
            );
        }
        self.check_format(text, &format, values)?;
        Ok(format)
    }

    fn check_format(&mut self, text: &str, format: &Format, values: &[Value]) -> Checked<()> {
        let specs: Vec<_> = format.specs().collect();
        if specs.len() != values.len() {
            return self.format_count(text, &specs, values);
        }
        let mut result = Ok(());
        for (n, (spec, value)) in specs.into_iter().zip(values).enumerate() {
            self.check_pointer(n + 1, spec, value);
            if let Err(wanted) = spec.accepts(value.ty()) {
                let found = self.check.spell(value.ty());
                let written = text.get(spec.range.clone()).unwrap_or_default().to_owned();
                let name = self.name;
                let span = self.arg_span(n + 1);
                let place = self.within_format(text, &spec.range);
                let mut error = Diagnostic::error(
                    "format-type",
                    span,
                    format!("{name}: {written} expects {wanted}, found {found}"),
                )
                .label(place, format!("shown by {written}"));
                error = match (value.ty(), spec.conversion) {
                    (Type::Str(_), _) => error.help("use %s for strings"),
                    (Type::Float { .. }, _) => error.help("use %f, %e or %g for floating-point numbers"),
                    (_, Conversion::Float(_)) => error
                        .note("BPF programs cannot make such a number of another: these are only read from memory")
                        .help("use %d, and scale the value before (milliseconds instead of seconds)"),
                    _ => error,
                };
                result = self.check.fail(error);
            }
        }
        result
    }

    /// `%s` of a pointer to characters shows where they are, as it does of all pointers.
    fn check_pointer(&mut self, index: usize, spec: &Spec, value: &Value) {
        let Type::Ptr { to, .. } = value.ty() else { return };
        if spec.conversion == Conversion::String && matches!(**to, Type::Int(int) if int.size == 1) {
            let (name, span) = (self.name, self.arg_span(index));
            self.check.report(
                Diagnostic::warning(
                    "pointer-as-string",
                    span,
                    format!("{name}: %s shows the address that this points to, not the string there"),
                )
                .help("read the string with str(…), or show the address with %p"),
            );
        }
    }

    fn format_count(&mut self, text: &str, specs: &[&Spec], values: &[Value]) -> Checked<()> {
        let name = self.name;
        let (wanted, given) = (specs.len(), values.len());
        let span = self.span;
        let few = if given > wanted { "Too many" } else { "Not enough" };
        let mut error = Diagnostic::error(
            "format-count",
            span,
            format!("{name}: {few} arguments for format string ({wanted} expected, {given} provided)"),
        );
        let unknown = Format::parse(text).ok().and_then(|format| text.get(format.unknown.first()?.clone()));
        if let Some(bare) = unknown {
            error = error.help(format!("{bare} is no conversion, and is printed as it is"));
        }
        error = if given > wanted {
            error.label(self.arg_span(wanted + 1), "nothing in the format shows this")
        } else if let Some(spec) = specs.get(given) {
            error.label(self.within_format(text, &spec.range), "has nothing to show")
        } else {
            error
        };
        self.check.fail(error)
    }

    fn format_error<T>(&mut self, text: &str, error: &FormatError) -> Checked<T> {
        let span = self.within_format(text, &error.range);
        let name = self.name;
        self.check.error("format-string", span, format!("{name}: {}", error.message))
    }

    /// The place of a part of the format, where the literal is written as it reads: escapes move what follows
    /// them, so then it is the whole literal.
    pub fn within_format(&self, text: &str, range: &std::ops::Range<usize>) -> Span {
        let Some(ast::Expr { kind: ast::ExprKind::Str(_), span }) = self.syntax.first() else {
            return self.arg_span(0);
        };
        // The quotes and each escape take characters that the text has not.
        let before = text.get(..range.start).unwrap_or(text);
        let escapes = before.chars().filter(|c| matches!(c, '\n' | '\t' | '"' | '\\')).count();
        let extra = text.chars().filter(|c| matches!(c, '\n' | '\t' | '"' | '\\')).count();
        let length = (span.end - span.start) as usize;
        if length != text.len() + extra + 2 {
            return *span;
        }
        let start = span.start as usize + 1 + escapes + range.start;
        Span::new(span.file, start, start + range.len())
    }
}

/// What a pinned iterator asks of a bpftrace that is gone.
fn nobody_there(kind: &EventKind, span: Span) -> Diagnostic {
    const PRINT: &str = "printf() and print() of numbers and strings write to the pinned file";
    const MAPS: &str =
        "printf() shows single values; \"bpftool map dump\" shows maps as long as the pin is there";
    let (what, help) = match kind {
        EventKind::Printf { to: PrintTo::Error, .. } => ("an error message", PRINT),
        EventKind::Printf { to: PrintTo::Warning, .. } => ("a warning", PRINT),
        EventKind::Printf { to: PrintTo::Output, .. } | EventKind::PrintValue => ("this", PRINT),
        EventKind::PrintMap { .. } | EventKind::PrintEntry { .. } => ("printing maps", MAPS),
        EventKind::Clear(_) => ("clear()", "delete(@map, key) deletes one entry"),
        EventKind::Zero(_) => ("zero()", "@map[key] = 0 sets one entry"),
        EventKind::Time { .. } => ("time()", "nsecs is a number"),
        EventKind::Exit => ("exit()", "return goes on to the next object"),
        EventKind::Join { .. } => ("join()", PRINT),
        EventKind::Cat { .. } => ("cat()", PRINT),
        EventKind::System { .. } => ("system()", PRINT),
        EventKind::Unwatch => ("unwatch()", PRINT),
        EventKind::Packet { .. } => ("skboutput()", PRINT),
        EventKind::Warning { .. } | EventKind::HelperError { .. } => ("warnings", PRINT),
    };
    let message =
        format!("a pinned iterator cannot do this: {what} takes bpftrace, which is gone when it is read");
    Diagnostic::error("pinned-iterator", span, message).help(help)
}
