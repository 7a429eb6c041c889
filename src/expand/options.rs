//! `getopt("name", default, "description")`: what the command line says after `--` takes its place.

use crate::diagnostics::{Diagnostic, Diagnostics, Span, suggest};
use crate::syntax::ast::{Expr, ExprKind, Script, TypeBase, TypeName, UnaryOp};
use crate::syntax::{literal, visit};

/// An option of the script.
struct Known {
    name: String,
    default: Value,
    description: String,
    /// Where the script first asks for it.
    span: Span,
}

/// A value; the default's kind is that of all values of the option.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Bool(bool),
    Text(Vec<u8>),
    /// The default is not negative, so no value is.
    Unsigned(u64),
    Signed(i64),
}

/// Puts the options' values in place. With `--help` among those given, the result is the text to show in place of
/// running the script.
pub fn apply(script: &mut Script, given: &[String], diagnostics: &mut Diagnostics) -> Option<String> {
    let mut options = Options { known: vec![], given: given.iter().map(|g| split(g)).collect(), diagnostics };
    visit::script(script, &mut |e| {
        if let ExprKind::Call { name, args, .. } = &e.kind
            && name == "getopt"
        {
            let value = options.value(args, e.span);
            e.kind = value.map_or(ExprKind::Error, |value| value.expr(e.span));
        }
    });
    if options.given.iter().any(|(name, _)| *name == "help") && !options.knows("help") {
        return Some(options.help());
    }
    options.complain();
    None
}

/// `name=value`, `name`
fn split(option: &str) -> (&str, Option<&str>) {
    option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)))
}

struct Options<'a> {
    known: Vec<Known>,
    /// What the command line says; of one that is given twice, the last counts.
    given: Vec<(&'a str, Option<&'a str>)>,
    diagnostics: &'a mut Diagnostics,
}

impl Options<'_> {
    fn knows(&self, name: &str) -> bool {
        self.known.iter().any(|k| k.name == name)
    }

    /// The value that a call stands for; `None` if there was an error.
    fn value(&mut self, args: &[Expr], span: Span) -> Option<Value> {
        let (name, default, description) = match args {
            [name] => (name, None, None),
            [name, default] => (name, Some(default), None),
            [name, default, description] => (name, Some(default), Some(description)),
            _ => {
                self.diagnostics.push(
                    Diagnostic::error(
                        "argument-count",
                        span,
                        format!("getopt() takes one to three arguments ({} provided)", args.len()),
                    )
                    .help("write getopt(\"name\", default, \"description\")"),
                );
                return None;
            }
        };
        let name_text = self.text(name, "getopt() expects a string literal as the name of the option")?;
        let wanted = "getopt() expects a string literal as the description of the option";
        let description = match description {
            Some(e) => self.text(e, wanted)?,
            None => String::new(),
        };
        let Some(default) = default.map_or(Some(Value::Bool(false)), literal_value) else {
            let place = default.map_or(span, |e| e.span);
            if !matches!(default.map(|e| &e.kind), Some(ExprKind::Error)) {
                self.diagnostics.push(
                    Diagnostic::error(
                        "literal-wanted",
                        place,
                        "getopt() expects an integer, a string or a boolean, written out, as the default of the option",
                    )
                    .note("it is the value that the option has when it is not given, and says of which type it is"),
                );
            }
            return None;
        };
        if let Some(first) = self.known.iter_mut().find(|k| k.name == name_text) {
            if first.default != default {
                let message = format!(
                    "the option --{name_text} has the default {default} here, and {} before",
                    first.default
                );
                self.diagnostics.push(
                    Diagnostic::error("option-default", span, message)
                        .label(first.span, "it was asked for here"),
                );
                return None;
            }
            if first.description.is_empty() {
                first.description = description;
            } else if !description.is_empty() && first.description != description {
                let message = format!("the option --{name_text} was described in other words before");
                self.diagnostics.push(
                    Diagnostic::error("option-description", span, message)
                        .label(first.span, "it was described here")
                        .help("describe it once, or put the call in a macro"),
                );
                return None;
            }
        } else {
            self.known.push(Known { name: name_text.clone(), default: default.clone(), description, span });
        }
        match self.given.iter().rev().find(|(given, _)| *given == name_text) {
            None => Some(default),
            Some((_, value)) => match default.read(*value) {
                Ok(value) => Some(value),
                Err(why) => {
                    let message = format!(
                        "program command line option --{name_text} {why} (value: {})",
                        value.unwrap_or("true")
                    );
                    let known = self.known.iter().find(|k| k.name == name_text);
                    let mut error = Diagnostic::error("bad-option", None, message);
                    if let Some(known) = known {
                        error = error.label(known.span, "the script asks for it here");
                    }
                    self.diagnostics.push(error);
                    None
                }
            },
        }
    }

    fn text(&mut self, e: &Expr, wanted: &str) -> Option<String> {
        match &e.kind {
            ExprKind::Str(bytes) => return Some(String::from_utf8_lossy(bytes).into_owned()),
            ExprKind::Error => {}
            _ => self.diagnostics.push(Diagnostic::error("literal-wanted", e.span, wanted)),
        }
        None
    }

    /// Reports options that the script does not ask for.
    fn complain(&mut self) {
        let unknown: Vec<&str> =
            self.given.iter().map(|(name, _)| *name).filter(|name| !self.knows(name)).collect();
        if unknown.is_empty() {
            return;
        }
        let list: Vec<String> = unknown.iter().map(|name| format!("--{name}")).collect();
        let mut error = Diagnostic::error(
            "unknown-option",
            None,
            format!("unexpected program command line options: {}", list.join(", ")),
        );
        error = if self.known.is_empty() {
            error.help("no custom program options defined.")
        } else {
            let known: Vec<String> = self.known.iter().map(|k| format!("--{}", k.name)).collect();
            error.help(format!("expected program options: {}", known.join(", ")))
        };
        let known = self.known.iter().map(|k| format!("--{}", k.name));
        let similar = list.first().and_then(|first| suggest::did_you_mean(first, known));
        self.diagnostics.push(similar.into_iter().fold(error, Diagnostic::help));
    }

    /// What `--help` shows: all options, one a line.
    fn help(&self) -> String {
        if self.known.is_empty() {
            return "HINT: no custom program options defined.\n".into();
        }
        let mut out = String::from("HINT: expected program options:\n");
        for option in &self.known {
            out.push_str(&format!("--{}", option.name));
            if !option.description.is_empty() {
                out.push_str(&format!(": {}", option.description));
            }
            out.push('\n');
            if option.default != Value::Bool(false) {
                out.push_str(&format!("    default: {}\n", option.default));
            }
        }
        out
    }
}

/// A literal, which may stand in parentheses and have a sign.
fn literal_value(e: &Expr) -> Option<Value> {
    Some(match &e.kind {
        ExprKind::Bool(value) => Value::Bool(*value),
        ExprKind::Str(bytes) => Value::Text(bytes.clone()),
        ExprKind::Int(number) => Value::Unsigned(*number),
        ExprKind::Unary { op: UnaryOp::Neg, operand } => match operand.kind {
            ExprKind::Int(number) => Value::Signed(0i64.checked_sub_unsigned(number)?),
            _ => return None,
        },
        _ => return None,
    })
}

impl Value {
    /// What was given for an option whose default this is.
    fn read(&self, given: Option<&str>) -> Result<Value, &'static str> {
        match self {
            Value::Bool(_) => match given.map(str::to_ascii_lowercase).as_deref() {
                None | Some("true" | "1") => Ok(Value::Bool(true)),
                Some("false" | "0") => Ok(Value::Bool(false)),
                Some(_) => Err("expects a boolean (e.g. 'true')"),
            },
            Value::Text(_) => {
                given.map(|text| Value::Text(text.as_bytes().to_vec())).ok_or("expects a string")
            }
            Value::Unsigned(_) => {
                let text = given.ok_or("expects an integer")?;
                match text.strip_prefix('-') {
                    // What the option is given, and not what it has without, says that it has a sign.
                    Some(digits) => negative(digits),
                    None => number(text).map(Value::Unsigned),
                }
            }
            Value::Signed(_) => {
                let text = given.ok_or("expects an integer")?;
                match text.strip_prefix('-') {
                    Some(digits) => negative(digits),
                    None => {
                        i64::try_from(number(text)?).map(Value::Signed).map_err(|_| "value is out of range")
                    }
                }
            }
        }
    }

    /// The value as an expression of the option's type.
    fn expr(self, span: Span) -> ExprKind {
        let node = |kind| Box::new(Expr { kind, span });
        let cast = |name: &str, operand| ExprKind::Cast {
            ty: TypeName { base: TypeBase::Named { tag: None, name: name.into() }, suffixes: vec![], span },
            operand,
        };
        match self {
            Value::Bool(value) => ExprKind::Bool(value),
            Value::Text(bytes) => ExprKind::Str(bytes),
            Value::Unsigned(value) => cast("uint64", node(ExprKind::Int(value))),
            Value::Signed(value) => {
                let digits = node(ExprKind::Int(value.unsigned_abs()));
                let operand = if value < 0 {
                    node(ExprKind::Unary { op: UnaryOp::Neg, operand: digits })
                } else {
                    digits
                };
                cast("int64", operand)
            }
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Text(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Value::Unsigned(value) => write!(f, "{value}"),
            Value::Signed(value) => write!(f, "{value}"),
        }
    }
}

/// A number with a sign before it.
fn negative(digits: &str) -> Result<Value, &'static str> {
    0i64.checked_sub_unsigned(number(digits)?).map(Value::Signed).ok_or("value is out of range")
}

/// A number as the language writes it, durations too.
fn number(text: &str) -> Result<u64, &'static str> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("invalid integer");
    }
    literal::int(text).map_err(|error| match error {
        literal::IntError::TooLarge => "value is out of range",
        _ => "invalid integer",
    })
}
