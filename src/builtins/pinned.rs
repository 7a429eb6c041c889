//! Printing in pinned iterators: into the file that somebody reads when there is no bpftrace any more. What is shown is
//! what the kernel can show by itself.

use crate::check::{Call, Checked, Value, build};
use crate::diagnostics::Diagnostic;
use crate::format::{Conversion, Piece, Spec};
use crate::ir;
use crate::kernel::Version;
use crate::types::{Int, Type};

const HELP: &str =
    "the kernel prints numbers and strings here: %d %i %u %x %X %c %p %s, with a width and -, +, 0";

pub(super) fn printf(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let text = call.text(0).unwrap_or_default();
    let values = call.rest(1);
    let format = call.checked_format(&text, &values)?;
    let mut file = SeqFile::default();
    let (mut values, mut result) = (values.into_iter(), Ok(()));
    for piece in &format.pieces {
        match piece {
            Piece::Text(text) => file.text(text, call),
            Piece::Spec(spec) => {
                let Some(value) = values.next() else { continue };
                if let Err((what, found)) = file.shown(spec, value, call) {
                    let written = text.get(spec.range.clone()).unwrap_or_default();
                    let message = match found {
                        Some(found) => {
                            format!("a pinned iterator cannot show {found} with {written}: {what}")
                        }
                        None => format!("a pinned iterator cannot show {written}: {what}"),
                    };
                    let place = call.within_format(&text, &spec.range);
                    let error = Diagnostic::error("pinned-iterator", place, message).help(HELP);
                    result = call.check.fail(error);
                }
            }
        }
    }
    result?;
    file.flush(call);
    Ok(call.done(file.body))
}

/// `print(value)`.
pub(super) fn value(call: &mut Call<'_, '_, '_>, value: Value) -> Checked<Value> {
    let mut file = SeqFile::default();
    if let Err((_, found)) = file.whole("", value, call) {
        let found = found.unwrap_or_else(|| "this".to_owned());
        let message =
            format!("a pinned iterator cannot print {found}: that takes bpftrace, which is gone by then");
        let error = Diagnostic::error("pinned-iterator", call.arg_span(0), message);
        return call.check.fail(error.help("printf() prints its numbers and strings one by one"));
    }
    file.text("\n", call);
    file.flush(call);
    Ok(call.done(file.body))
}

/// Why something cannot be shown, and its type where that is the reason.
type Cannot = (&'static str, Option<String>);

/// Statements that write to the file, as few as do it.
#[derive(Default)]
struct SeqFile {
    body: Vec<ir::Stmt>,
    /// What is to be written next, for the kernel and, as long as there are no arguments, as it is.
    format: String,
    plain: String,
    args: Vec<ir::Expr>,
}

impl SeqFile {
    fn flush(&mut self, call: &Call<'_, '_, '_>) {
        let (format, plain) = (std::mem::take(&mut self.format), std::mem::take(&mut self.plain));
        let args = std::mem::take(&mut self.args);
        let kind = if !args.is_empty() {
            ir::StmtKind::SeqPrintf { format, args }
        } else if !plain.is_empty() {
            ir::StmtKind::SeqWrite(build::text(plain.as_bytes(), call.span))
        } else {
            return;
        };
        self.body.push(build::stmt(kind, call.span));
    }

    fn text(&mut self, text: &str, call: &Call<'_, '_, '_>) {
        // The kernel takes no other bytes in a format.
        let takes = |b: u8| b.is_ascii_graphic() || b == b' ' || b.is_ascii_whitespace();
        if text.bytes().all(takes) {
            self.format.push_str(&text.replace('%', "%%"));
            self.plain.push_str(text);
            return;
        }
        if !self.args.is_empty() {
            self.flush(call);
        }
        self.plain.push_str(text);
        self.flush(call);
    }

    fn arg(&mut self, conversion: &str, value: ir::Expr, call: &Call<'_, '_, '_>) {
        self.format.push_str(conversion);
        self.args.push(value);
        if self.args.len() == ir::SEQ_ARGUMENTS {
            self.flush(call);
        }
    }

    /// A value as `%s` shows it, with a width where there is one.
    fn whole(&mut self, width: &str, value: Value, call: &Call<'_, '_, '_>) -> Result<(), Cannot> {
        let span = value.expr.span;
        let expr = match value.ty() {
            Type::Str(_) => value.expr,
            Type::Bool => {
                // Of one type, which both fit.
                let ty = Type::Str(6);
                let word =
                    |word: &[u8]| Box::new(build::expr(ir::ExprKind::Bytes(word.to_vec()), ty.clone(), span));
                let (then, otherwise) = (word(b"true"), word(b"false"));
                let choice = ir::ExprKind::Select { condition: Box::new(value.expr), then, otherwise };
                build::expr(choice, ty.clone(), span)
            }
            // All places of one program are called the same: what is iterated over is its type.
            Type::ProbeName => {
                let name = call.check.places().first().map_or("", |place| &place.name);
                build::text(name.as_bytes(), span)
            }
            Type::Int(int) => {
                let letter = if int.signed { 'd' } else { 'u' };
                self.arg(&format!("%{width}ll{letter}"), build::cast(value.expr, Type::U64), call);
                return Ok(());
            }
            Type::Ptr { .. } if width.is_empty() => {
                self.arg("0x%llx", build::cast(value.expr, Type::U64), call);
                return Ok(());
            }
            Type::Ptr { .. } => {
                return Err(("the kernel cannot", Some("an address with a width".to_owned())));
            }
            ty => return Err(("that takes bpftrace, which is gone by then", Some(call.check.spell(ty)))),
        };
        if width.is_empty() {
            // As long as it may be: what goes through a format has to be short.
            self.flush(call);
            self.body.push(build::stmt(ir::StmtKind::SeqWrite(expr), call.span));
        } else {
            self.arg(&format!("%{width}s"), expr, call);
            self.flush(call);
        }
        Ok(())
    }

    fn shown(&mut self, spec: &Spec, value: Value, call: &mut Call<'_, '_, '_>) -> Result<(), Cannot> {
        let width = width(spec);
        if spec.precision.is_some() {
            return Err(("the kernel takes no precision", None));
        }
        let letter = match spec.conversion {
            Conversion::String => return self.whole(&width, value, call),
            Conversion::Pointer if width.is_empty() => {
                self.arg("0x%llx", build::cast(value.expr, Type::U64), call);
                return Ok(());
            }
            Conversion::Pointer => return Err(("an address has no width here", None)),
            Conversion::Char if older_than(call, Version::new(5, 15, 0)) => {
                return Err(("the kernel has it since Linux 5.15", None));
            }
            Conversion::Char => {
                self.arg(&format!("%{width}c"), build::cast(value.expr, Type::U64), call);
                return Ok(());
            }
            Conversion::Hex { upper: true } if older_than(call, Version::new(5, 13, 0)) => {
                return Err(("the kernel has it since Linux 5.13", None));
            }
            Conversion::Signed => "d",
            Conversion::Unsigned => "u",
            Conversion::Hex { upper: false } => "x",
            Conversion::Hex { upper: true } => "X",
            Conversion::Octal | Conversion::GfpFlags | Conversion::Float(_) => {
                return Err(("the kernel has no such conversion", None));
            }
            Conversion::Raw | Conversion::RawHex | Conversion::RawPlain => {
                return Err(("that takes bpftrace, which is gone by then", None));
            }
        };
        let prefix = match (spec.alternate, letter) {
            (true, "x" | "X") if width.is_empty() => format!("0{letter}"),
            (true, "x" | "X") => return Err(("the kernel takes no # with a width", None)),
            _ => String::new(),
        };
        // Cut to what the conversion is for, and given to the kernel as 64 bits.
        let cut = Int { size: spec.integer_size(), signed: spec.conversion == Conversion::Signed };
        let number = build::cast(build::cast(value.expr, Type::U64), Type::Int(cut));
        self.arg(&format!("{prefix}%{width}ll{letter}"), build::cast(number, Type::U64), call);
        Ok(())
    }
}

/// The flags that the kernel takes, and the width.
fn width(spec: &Spec) -> String {
    let flags = [(spec.left, "-"), (spec.plus, "+"), (spec.space, " "), (spec.zero, "0")];
    let mut text: String = flags.iter().filter(|(is, _)| *is).map(|(_, flag)| *flag).collect();
    text.extend(spec.width.map(|width| width.to_string()));
    text
}

fn older_than(call: &Call<'_, '_, '_>, version: Version) -> bool {
    let kernel = call.check.host.kernel.version();
    kernel > Version::default() && kernel < version
}
