//! The C at the top of a script: conditions are decided, and `#define`s of values take their places in expressions.
//! What they stand for in C definitions is the business of [`crate::types::c`].

mod conditions;
mod elsewhere;
mod functions;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use elsewhere::Elsewhere;

use super::Inputs;
use crate::builtins;
use crate::diagnostics::{Diagnostic, Diagnostics, Sources, Span};
use crate::syntax::ast::{Definition, DefinitionKind, Expr, ExprKind, Script, TypeName, TypeSuffix};
use crate::syntax::visit::Visitor;
use crate::syntax::{self, Deep, MAX_DEPTH, visit};
use crate::types::constants;

/// How many macros' values a script may have in it: they can double with each one that is defined by others.
const MAX_PLACES: usize = 10_000;

/// What a name is defined as.
enum Macro {
    /// `#define NAME`
    Empty,
    Value(Deep<Expr>),
    /// With parameters: where its name is, and what follows that.
    Function(Span, String),
    /// Nothing that a script could have there, and why.
    Other(Span, &'static str),
}

pub fn apply(script: &mut Script, inputs: &Inputs<'_>, sources: &mut Sources, diagnostics: &mut Diagnostics) {
    let definitions = std::mem::take(&mut script.definitions);
    let bodies: HashSet<&str> =
        definitions.iter().filter_map(|d| define(d).map(|(name, _, _)| name)).collect();
    let mut reader = Preprocessor {
        values: bodies,
        macros: HashMap::new(),
        conditions: vec![],
        kept: vec![],
        left: Cell::new(MAX_PLACES),
        inputs,
        diagnostics,
    };
    for definition in &definitions {
        if reader.read(definition) {
            reader.kept.push(definition.clone());
        }
    }
    if let Some(open) = reader.conditions.last() {
        let error = Diagnostic::error("preprocessor", open.span, "this condition has no #endif");
        reader.diagnostics.push(error);
    }
    visit::walk_script(&mut Lengths(&reader), script);
    let Preprocessor { mut macros, kept, values, .. } = reader;
    script.definitions = kept;
    called_functions(script, &mut macros, &values, inputs, sources);
    if !macros.is_empty() {
        let mut places = Places { macros: &macros, diagnostics, left: MAX_PLACES };
        visit::script(script, &mut |expr| places.put(expr, 0));
    }
}

/// Macros with parameters, of the script and of headers, become macros of the script's language if it calls them.
fn called_functions(
    script: &mut Script,
    macros: &mut HashMap<String, Macro>,
    values: &HashSet<&str>,
    inputs: &Inputs<'_>,
    sources: &mut Sources,
) {
    // Names, and whether they are called: a header's macro is none without.
    let mut calls: Vec<(String, bool)> = vec![];
    let mut note = |expr: &mut Expr| calls.extend(named(expr));
    visit::script(script, &mut note);
    for one in macros.values_mut() {
        if let Macro::Value(value) = one {
            visit::expr(&mut value.node, &mut note);
        }
    }
    let own: HashSet<String> = script.macros.iter().map(|m| m.name.clone()).collect();
    let mut asked = HashSet::new();
    while let Some((name, called)) = calls.pop() {
        let elsewhere = called && !own.contains(&name) && builtins::find(&name).is_none();
        if !macros.contains_key(&name)
            && elsewhere
            && asked.insert(name.clone())
            && let Some(found) = Elsewhere::find(&name, &script.definitions, inputs)
            && found.has_parameters(&name)
        {
            macros.insert(name.clone(), found.into_macro(&name, sources));
        }
        let Some(Macro::Function(name_span, text)) = macros.get(&name) else { continue };
        let (name_span, end) = (*name_span, text.lines().next().unwrap_or("").trim_end().len());
        // What it names in capitals is a constant, as far as anybody can tell, and if that does not work a type.
        let capitals = text.split(|c| !in_word(c)).filter(|word| is_constant(word));
        let constants: HashSet<&str> = values.iter().copied().chain(capitals).collect();
        let read = functions::read(&name, name_span, text, &constants);
        match read.or_else(|_| functions::read(&name, name_span, text, values)) {
            Ok(mut function) => {
                macros.remove(&name);
                visit::block(&mut function.body, &mut |expr| calls.extend(named(expr)));
                script.macros.push(function);
            }
            Err(why) => {
                let end = name_span.end as usize + end;
                let head = Span::new(name_span.file, name_span.start as usize, end);
                macros.insert(name, Macro::Other(head, why));
            }
        }
    }
}

/// The name that an expression is, and whether it is a call of it.
fn named(expr: &Expr) -> Option<(String, bool)> {
    match &expr.kind {
        ExprKind::Call { name, .. } => Some((name.clone(), true)),
        ExprKind::Name(name) => Some((name.clone(), false)),
        _ => None,
    }
}

/// A name as constants have them.
fn is_constant(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase()) && !word.contains(|c: char| c.is_ascii_lowercase())
}

/// Lines that go on in the next one as one line. Spaces keep the places in the source.
fn joined(text: &str) -> String {
    text.replace("\\\r\n", "   ").replace("\\\n", "  ")
}

/// An `#if` that is open.
struct Condition {
    span: Span,
    /// What is here counts.
    active: bool,
    /// One of its branches counted.
    taken: bool,
}

struct Preprocessor<'a> {
    /// Every name that a `#define` gives something to.
    values: HashSet<&'a str>,
    macros: HashMap<String, Macro>,
    conditions: Vec<Condition>,
    /// What counts, so far.
    kept: Vec<Definition>,
    /// How many macros' values conditions may still look at.
    left: Cell<usize>,
    inputs: &'a Inputs<'a>,
    diagnostics: &'a mut Diagnostics,
}

impl Preprocessor<'_> {
    /// True for what later stages should see.
    fn read(&mut self, definition: &Definition) -> bool {
        let active = self.conditions.iter().all(|c| c.active);
        match definition.kind {
            DefinitionKind::Include | DefinitionKind::Type => active,
            DefinitionKind::Directive => {
                self.directive(definition, active);
                // C definitions need macros too, and in their order.
                active && !CONDITIONS.contains(&directive(&definition.text).0)
            }
        }
    }

    fn directive(&mut self, definition: &Definition, active: bool) {
        let (name, rest) = directive(&definition.text);
        let span = definition.span;
        match name {
            "if" | "ifdef" | "ifndef" => {
                let holds = active && self.condition(name, rest, span);
                self.conditions.push(Condition { span, active: holds, taken: holds });
            }
            "elif" | "else" => {
                let outer = self.conditions.iter().rev().skip(1).all(|c| c.active);
                let open = self.conditions.last().is_some_and(|c| !c.taken);
                let holds = outer && open && (name == "else" || self.condition("if", rest, span));
                match self.conditions.last_mut() {
                    Some(last) => {
                        last.active = holds;
                        last.taken |= holds;
                    }
                    None => self.error(span, format!("this #{name} belongs to no #if")),
                }
            }
            "endif" => {
                if self.conditions.pop().is_none() {
                    self.error(span, "this #endif belongs to no #if".into());
                }
            }
            _ if !active => {}
            "define" => self.define(definition),
            "undef" => {
                self.macros.remove(word(rest.trim_start()));
            }
            "error" => self.error(span, format!("#error{rest}")),
            "pragma" | "line" | "warning" => {}
            _ => self.error(span, format!("there is no directive #{name}")),
        }
    }

    fn error(&mut self, span: Span, message: String) {
        self.diagnostics.push(Diagnostic::error("preprocessor", span, message));
    }

    fn define(&mut self, definition: &Definition) {
        let Some((name, parameters, body)) = define(definition) else {
            return self.error(definition.span, "#define needs a name".into());
        };
        // Spaces in place of what is no code keep the places in the source.
        let base = definition.span.start as usize + definition.text.len() - body.len();
        let code = joined(body);
        let value = if parameters {
            Macro::Function(Span::new(definition.span.file, base - name.len(), base), code)
        } else if code.trim().is_empty() {
            Macro::Empty
        } else {
            match syntax::parse_expression(&code, base, definition.span.file, &self.values) {
                Ok(expr) => Macro::Value(expr),
                Err(_) => Macro::Other(head(definition), "it is no expression"),
            }
        };
        self.macros.insert(name.to_owned(), value);
    }

    fn defined(&self, name: &str) -> bool {
        match name {
            _ if self.macros.contains_key(name) => true,
            "BPFTRACE_HAVE_BTF" => (self.inputs.has_btf)(),
            _ => self.includes() && (constants::is_macro(name) || self.elsewhere(name).is_some()),
        }
    }

    fn includes(&self) -> bool {
        self.kept.iter().any(|d| d.kind == DefinitionKind::Include)
    }

    fn elsewhere(&self, name: &str) -> Option<Elsewhere> {
        Elsewhere::find(name, &self.kept, self.inputs)
    }

    fn condition(&mut self, directive: &str, text: &str, span: Span) -> bool {
        let name = word(text.trim_start());
        match directive {
            "ifdef" => self.defined(name),
            "ifndef" => !self.defined(name),
            _ => {
                // `defined X` and `defined(X)` are one; the grammar knows the second.
                let text = parenthesized(text);
                let value = syntax::parse_expression(&text, span.start as usize, span.file, &self.values)
                    .ok()
                    .and_then(|expr| self.evaluate(&expr.node, expr.depth, &[]));
                if value.is_none() {
                    self.diagnostics.push(
                        Diagnostic::error("unsupported", span, "this condition cannot be decided").help(
                            "it takes numbers, operators, `defined(NAME)` and macros that stand for numbers",
                        ),
                    );
                }
                value.is_some_and(|v| v != 0)
            }
        }
    }
}

/// Puts numbers in place of macros in `string[NAME]`.
struct Lengths<'p, 'a>(&'p Preprocessor<'a>);

impl Visitor for Lengths<'_, '_> {
    fn ty(&mut self, ty: &mut TypeName) {
        for suffix in &mut ty.suffixes {
            if let TypeSuffix::ArrayOf(name) = suffix
                && let Some(Macro::Value(value)) = self.0.macros.get(name)
                && let Some(length) = self.0.evaluate(&value.node, value.depth, &[])
                && let Ok(length) = u64::try_from(length)
            {
                *suffix = TypeSuffix::Array(Some(length));
            }
        }
        visit::walk_type(self, ty);
    }
}

/// Puts macros' values in place of their names.
struct Places<'a> {
    macros: &'a HashMap<String, Macro>,
    diagnostics: &'a mut Diagnostics,
    left: usize,
}

impl Places<'_> {
    /// `depth` is that of the macros that led here.
    fn put(&mut self, expr: &mut Expr, depth: u16) {
        match &expr.kind {
            ExprKind::Name(name) => match self.macros.get(name) {
                Some(Macro::Value(value)) => {
                    if self.left == 0 || depth + value.depth > MAX_DEPTH {
                        let message = format!("the macro `{name}` leads to itself, or to too much");
                        self.diagnostics.push(Diagnostic::error("preprocessor", expr.span, message));
                        expr.kind = ExprKind::Error;
                        return;
                    }
                    self.left -= 1;
                    let depth = depth + value.depth;
                    let mut value = value.node.clone();
                    visit::expr(&mut value, &mut |inner| {
                        // What is said about it, is said where it is used.
                        inner.span = expr.span;
                        // A macro that names itself is left alone, as in C.
                        if !matches!(&inner.kind, ExprKind::Name(n) if n == name) {
                            self.put(inner, depth);
                        }
                    });
                    *expr = value;
                }
                Some(Macro::Other(at, why)) => {
                    let (name, at) = (name.clone(), *at);
                    self.unsupported(&name, expr.span, at, why);
                    expr.kind = ExprKind::Error;
                }
                Some(Macro::Empty | Macro::Function(..)) | None => {}
            },
            ExprKind::Call { name, name_span, .. } => {
                if let Some(Macro::Other(at, why)) = self.macros.get(name) {
                    let (name, name_span, at) = (name.clone(), *name_span, *at);
                    self.unsupported(&name, name_span, at, why);
                    expr.kind = ExprKind::Error;
                }
            }
            _ => {}
        }
    }

    fn unsupported(&mut self, name: &str, place: Span, definition: Span, why: &str) {
        let message = format!("the macro `{name}` cannot be used here: {why}");
        self.diagnostics
            .push(Diagnostic::error("unsupported", place, message).label(definition, "it is defined here"));
    }
}

const CONDITIONS: [&str; 6] = ["if", "ifdef", "ifndef", "elif", "else", "endif"];

/// A directive's name, and what follows it.
fn directive(text: &str) -> (&str, &str) {
    let text = text.strip_prefix('#').unwrap_or(text).trim_start();
    text.split_at(text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len()))
}

/// The name that a `#define` defines, whether it has parameters, and what it stands for.
fn define(definition: &Definition) -> Option<(&str, bool, &str)> {
    let text = definition.text.strip_prefix('#')?.trim_start().strip_prefix("define")?;
    let text = text.strip_prefix([' ', '\t'])?.trim_start();
    let name = word(text);
    let rest = &text[name.len()..];
    (!name.is_empty()).then(|| (name, rest.starts_with('('), rest))
}

fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The word that a text begins with; empty if it begins with something else.
fn word(text: &str) -> &str {
    let end = text.find(|c| !in_word(c)).unwrap_or(text.len());
    &text[..end]
}

/// The first line of a definition.
fn head(definition: &Definition) -> Span {
    let line = definition.text.lines().next().unwrap_or("").trim_end().len();
    Span::new(definition.span.file, definition.span.start as usize, definition.span.start as usize + line)
}

/// `defined X` with parentheses, without line breaks.
fn parenthesized(text: &str) -> String {
    let text = text.replace("\\\n", " ");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(in_word) {
        let found = word(&rest[at..]);
        out.push_str(&rest[..at + found.len()]);
        rest = &rest[at + found.len()..];
        if found != "defined" {
            continue;
        }
        rest = rest.trim_start();
        let name = word(rest);
        if !name.is_empty() {
            out.push_str(&format!("({name})"));
            rest = &rest[name.len()..];
        }
    }
    out + rest
}
