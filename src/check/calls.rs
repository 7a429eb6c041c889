//! Calls of builtins: what is legal where, and arguments as the declaration wants them.

use super::shape::Value;
use super::{Checked, Checker, Stop, build};
use crate::builtins::{self, Aggregation, Builtin, Kind, Lower, Param};
use crate::diagnostics::{Diagnostic, Span};
use crate::image::{EventKind, MapId};
use crate::ir;
use crate::syntax::ast::{self, ExprKind};
use crate::types::Type;

/// An argument as its parameter wants it.
#[derive(Clone, Debug)]
pub(crate) enum Arg {
    Value(Value),
    Number(i128),
    Text(String),
    Map(MapId),
    Word(&'static str),
    /// Only the syntax is of interest.
    Syntax,
}

/// A call of a builtin whose arguments have been checked.
pub(crate) struct Call<'c, 'a, 'h> {
    pub check: &'c mut Checker<'a, 'h>,
    /// The name as written.
    pub name: &'c str,
    pub syntax: &'c [ast::Expr],
    args: Vec<Option<Arg>>,
    pub span: Span,
}

impl<'a, 'h> Checker<'a, 'h> {
    /// A call in an expression.
    pub fn call(&mut self, name: &str, name_span: Span, args: &[ast::Expr], span: Span) -> Checked<Value> {
        if name == "delete"
            && let Some(deleted) = self.old_delete(args, span)
        {
            return deleted;
        }
        match builtins::find(name) {
            Some(builtin) => {
                self.check_hidden_by_builtin(builtin, name, name_span);
                self.call_builtin(builtin, name, name_span, Some(args), span)
            }
            None => {
                if let Some(called) = self.linked_call(name, name_span, args, span) {
                    return called;
                }
                let mut error =
                    Diagnostic::error("unknown-function", name_span, format!("Unknown function: '{name}'"));
                let linked: Vec<String> = self.host.types.linked_functions().map(str::to_owned).collect();
                let known = builtins::all().flat_map(|b| b.names()).map(str::to_owned).chain(linked);
                if name == "typeof" {
                    error = error.help(
                        "typeof() stands for a type, as in \"let $y: typeof($x)\"; typeinfo() is a value that tells of one",
                    );
                } else if builtins::NOT_YET.contains(&name) {
                    error = error.note(format!("bpftrace 0.26 has {name}(), this build does not yet"));
                } else if self.host.types.is_header_function(name) {
                    error = error
                        .note("a header that the script includes has it, but programs in the kernel cannot call functions of C")
                        .help(format!(
                            "make it a macro, \"#define {name}(x) …\", or put it in BPF C that the script imports, \
                             import \"functions.bpf.c\";"
                        ));
                } else if let Some(names) = super::expr::similar(name, known) {
                    error = error.help(names);
                }
                // What is wrong in the arguments is worth knowing too.
                let _ = self.values(args);
                self.fail(error)
            }
        }
    }

    /// A builtin with arguments or, `None`, as a name alone.
    pub fn call_builtin(
        &mut self,
        builtin: &'static Builtin,
        name: &str,
        name_span: Span,
        args: Option<&[ast::Expr]>,
        span: Span,
    ) -> Checked<Value> {
        if let Some(new) = builtins::renamed(name) {
            self.old_form(name_span, &format!("{name} is now called {new}"), format!("write {new}"));
        }
        if builtin.gathers() {
            return self.fail(
                Diagnostic::error(
                    "aggregation-place",
                    span,
                    format!("{name}() must be assigned directly to a map"),
                )
                .help(format!("write: @x = {builtin};")),
            );
        }
        if args.is_none() && !builtin.bare {
            return self.fail(
                Diagnostic::error("missing-parentheses", span, format!("{name} is a function"))
                    .help(format!("write {builtin}")),
            );
        }
        let mut call = self.checked_call(builtin, name, name_span, args.unwrap_or_default(), span)?;
        match builtin.lower {
            Lower::Value(lower) => lower(&mut call),
            Lower::Gather(_) => Err(Stop::Reported),
        }
    }

    /// `count()` and the like, to the right of `@x =`.
    pub fn aggregation(
        &mut self,
        builtin: &'static Builtin,
        name: &str,
        name_span: Span,
        args: &[ast::Expr],
        span: Span,
    ) -> Checked<Aggregation> {
        let mut call = self.checked_call(builtin, name, name_span, args, span)?;
        match builtin.lower {
            Lower::Gather(lower) => lower(&mut call),
            Lower::Value(_) => Err(Stop::Reported),
        }
    }

    /// Everything about a call that its declaration tells.
    fn checked_call<'c>(
        &'c mut self,
        builtin: &'static Builtin,
        name: &'c str,
        name_span: Span,
        syntax: &'c [ast::Expr],
        span: Span,
    ) -> Checked<Call<'c, 'a, 'h>> {
        self.check_safe(builtin, name, name_span);
        self.check_available(builtin, name, name_span)?;
        self.check_count(builtin, name, syntax, span)?;
        let checked: Vec<Checked<Arg>> = syntax
            .iter()
            .enumerate()
            .map(|(n, e)| match builtin.param(n) {
                Some(param) => self.argument_for(name, param, e),
                None => Err(Stop::Reported),
            })
            .collect();
        // An error matters more than a type that is not known yet.
        if checked.iter().any(|arg| matches!(arg, Err(Stop::Reported))) {
            return Err(Stop::Reported);
        }
        let args = checked.into_iter().map(|arg| arg.map(Some)).collect::<Checked<_>>()?;
        Ok(Call { check: self, name, syntax, args, span })
    }

    fn check_safe(&mut self, builtin: &Builtin, name: &str, span: Span) {
        if builtin.needs_unsafe && !self.host.unsafe_mode {
            self.report(
                Diagnostic::error(
                    "unsafe-function",
                    span,
                    format!("{name}() is an unsafe function being used in safe mode"),
                )
                .note("it changes what it traces")
                .help("run with --unsafe to allow it"),
            );
        }
    }

    fn check_available(&mut self, builtin: &Builtin, name: &str, span: Span) -> Checked<()> {
        let provider = self.provider();
        if builtin.probes.is_empty() || builtin.probes.contains(&provider) {
            return Ok(());
        }
        self.fail(
            Diagnostic::error(
                "not-in-this-probe",
                span,
                format!("{name} can not be used with \"{provider}\" probes"),
            )
            .note(format!("it can with {}", builtin.probes.join(", "))),
        )
    }

    fn check_count(&mut self, builtin: &Builtin, name: &str, args: &[ast::Expr], span: Span) -> Checked<()> {
        let (least, most) = builtin.arity();
        let count = args.len();
        if count >= least && most.is_none_or(|most| count <= most) {
            return Ok(());
        }
        self.fail(miscounted(name, (least, most), count, span).help(format!("write {builtin}")))
    }

    fn argument_for(&mut self, name: &str, param: &Param, e: &ast::Expr) -> Checked<Arg> {
        match param.kind {
            Kind::Any => self.value(e).map(Arg::Value),
            Kind::Int => {
                let value = self.value(e)?;
                match self.number(value) {
                    Ok(value) => Ok(Arg::Value(value)),
                    Err(value) => self.argument_type(name, param, "integer", value.ty(), e),
                }
            }
            Kind::Address => {
                let value = self.value(e)?;
                match value.ty() {
                    Type::Int(_) | Type::Ptr { .. } | Type::KSym | Type::Enum { .. } => Ok(Arg::Value(value)),
                    ty => self.argument_type(name, param, "integer or pointer", &ty.clone(), e),
                }
            }
            Kind::Number => {
                let value = self.value(e)?;
                match value.constant() {
                    Some(number) => Ok(Arg::Number(number)),
                    None => self.literal_wanted(name, param, "integer", value.ty(), e),
                }
            }
            Kind::Text => {
                let value = self.value(e)?;
                match value.text() {
                    Some(text) => Ok(Arg::Text(String::from_utf8_lossy(text).into_owned())),
                    None => self.literal_wanted(name, param, "string", value.ty(), e),
                }
            }
            Kind::Str => {
                let value = self.value(e)?;
                let value = self.name_as_text(value);
                match value.ty() {
                    Type::Str(_) => Ok(Arg::Value(value)),
                    ty => self.argument_type(name, param, "string", &ty.clone(), e),
                }
            }
            Kind::Map => match &e.kind {
                ExprKind::Map { name: map, key: None } => self.whole_map(map, e.span).map(Arg::Map),
                ExprKind::Error => Err(Stop::Reported),
                other => {
                    let mut error = Diagnostic::error(
                        "argument-type",
                        e.span,
                        format!("{name}() expects a map argument"),
                    );
                    if let ExprKind::Map { name: map, .. } = other {
                        error = error.help(format!("name the map without its key: {name}(@{map})"));
                    }
                    self.fail(error)
                }
            },
            Kind::Word(words) => match &e.kind {
                ExprKind::Name(word) if words.contains(&word.as_str()) => {
                    Ok(Arg::Word(words.iter().find(|w| **w == word.as_str()).copied().unwrap_or_default()))
                }
                _ => self.fail(
                    Diagnostic::error(
                        "argument-type",
                        e.span,
                        format!("{name}() expects one of {} here", words.join(", ")),
                    )
                    .note(format!("for its argument '{}'", param.name)),
                ),
            },
            Kind::Special(_) => Ok(Arg::Syntax),
        }
    }

    fn argument_type<T>(
        &mut self,
        name: &str,
        param: &Param,
        wanted: &str,
        found: &Type,
        e: &ast::Expr,
    ) -> Checked<T> {
        let spelled = self.spell(found);
        let mut error = Diagnostic::error(
            "argument-type",
            e.span,
            format!("{name}() only supports {wanted} arguments ({spelled} provided)"),
        )
        .note(format!("for its argument '{}'", param.name));
        if matches!(found, Type::Float { .. }) {
            error = error.note(super::operators::NO_FLOATS);
        }
        if wanted == "string" && matches!(found, Type::Int(_) | Type::Ptr { .. }) {
            error = error.help("read the string that it points to with str(…)");
        }
        self.fail(error)
    }

    fn literal_wanted<T>(
        &mut self,
        name: &str,
        param: &Param,
        wanted: &str,
        found: &Type,
        e: &ast::Expr,
    ) -> Checked<T> {
        let spelled = self.spell(found);
        let article = if wanted == "integer" { "an" } else { "a" };
        let mut error = Diagnostic::error(
            "literal-wanted",
            e.span,
            format!("{name}() expects {article} {wanted} literal ({spelled} provided)"),
        )
        .note(format!("its argument '{}' must be known before the script runs", param.name));
        if let (ExprKind::Positional(n), "string") = (&e.kind, wanted) {
            error = error.help(format!("Use str(${n}) to treat ${n} as a string"));
        }
        self.fail(error)
    }
}

impl Call<'_, '_, '_> {
    /// Takes the argument of that number. Each can be taken once; that those required are there has been checked.
    fn take(&mut self, index: usize) -> Option<Arg> {
        self.args.get_mut(index)?.take()
    }

    pub fn has(&self, index: usize) -> bool {
        self.args.get(index).is_some_and(Option::is_some)
    }

    pub fn count(&self) -> usize {
        self.args.len()
    }

    pub fn value(&mut self, index: usize) -> Checked<Value> {
        self.optional_value(index).ok_or(Stop::Reported)
    }

    pub fn optional_value(&mut self, index: usize) -> Option<Value> {
        match self.take(index)? {
            Arg::Value(value) => Some(value),
            _ => None,
        }
    }

    /// All arguments from there on.
    pub fn rest(&mut self, from: usize) -> Vec<Value> {
        (from..self.args.len()).filter_map(|n| self.optional_value(n)).collect()
    }

    pub fn number(&mut self, index: usize) -> Option<i128> {
        match self.take(index)? {
            Arg::Number(number) => Some(number),
            _ => None,
        }
    }

    pub fn text(&mut self, index: usize) -> Option<String> {
        match self.take(index)? {
            Arg::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn map(&mut self, index: usize) -> Checked<MapId> {
        match self.take(index) {
            Some(Arg::Map(map)) => Ok(map),
            _ => Err(Stop::Reported),
        }
    }

    pub fn word(&mut self, index: usize) -> Option<&'static str> {
        match self.take(index)? {
            Arg::Word(word) => Some(word),
            _ => None,
        }
    }

    /// Where an argument is written.
    pub fn arg_span(&self, index: usize) -> Span {
        self.syntax.get(index).map_or(self.span, |e| e.span)
    }

    /// A call that yields nothing.
    pub fn done(&self, body: Vec<ir::Stmt>) -> Value {
        Value::new(build::void(body, self.span))
    }

    /// A call that only sends a record.
    pub fn send(&mut self, kind: EventKind, args: Vec<ir::Expr>) -> Value {
        let event = self.check.emit(kind, args, self.span);
        self.done(vec![event])
    }

    /// Reports an error about the call.
    pub fn fail<T>(&mut self, code: &'static str, message: impl Into<String>) -> Checked<T> {
        let span = self.span;
        self.check.error(code, span, message)
    }
}

/// The error for a call with too few or too many arguments.
pub(super) fn miscounted(
    name: &str,
    (least, most): (usize, Option<usize>),
    count: usize,
    span: Span,
) -> Diagnostic {
    let wanted = match (least, most) {
        (0, Some(0)) => "requires no arguments".to_owned(),
        (1, Some(1)) => "requires one argument".to_owned(),
        (least, Some(most)) if least == most => format!("requires {least} arguments"),
        (1, _) if count < least => "requires at least one argument".to_owned(),
        (least, _) if count < least => format!("requires at least {least} arguments"),
        (_, Some(1)) => "takes up to one argument".to_owned(),
        (_, most) => format!("takes up to {} arguments", most.unwrap_or(count)),
    };
    Diagnostic::error("argument-count", span, format!("{name}() {wanted} ({count} provided)"))
}
