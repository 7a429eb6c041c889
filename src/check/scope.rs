//! The probe that is being checked, and the variables in sight.

use std::collections::HashMap;
use std::rc::Rc;

use super::env::VariableKey;
use super::shape::{Shape, Value};
use super::{Checked, Checker, Stop, build};
use crate::diagnostics::{Diagnostic, FileId, Span};
use crate::image::Attach;
use crate::ir::{self, VarId};
use crate::probes::Group;
use crate::types::Type;

/// What is known while a probe's body is checked.
#[derive(Default)]
pub struct Current {
    /// Which program this is, counted over the whole script.
    pub instance: usize,
    pub group: Option<Rc<Group>>,
    scopes: Vec<HashMap<Name, Local>>,
    /// Variables of blocks that have ended.
    ended: HashMap<Name, Local>,
    variables: Vec<Declared>,
    /// How many loops we are in.
    pub loops: u32,
    /// How many times what is checked now is written out.
    pub unrolled: u128,
    /// In `sizeof` and the like: what is looked at is not run.
    pub unevaluated: u32,
    /// In what a literal condition keeps from ever being run.
    pub unreached: u32,
}

/// A variable's name and the text that it is written in: a macro's variables are not those of its caller.
type Name = (String, FileId);

/// A variable of the program that is being written.
enum Declared {
    /// The script's; its type is known at the end of the pass.
    Script { name: String, key: VariableKey },
    /// One of our own.
    Temporary(Type),
}

#[derive(Clone)]
struct Local {
    id: VarId,
    key: VariableKey,
    assigned: bool,
    /// Declared by its first assignment alone.
    implicit: bool,
}

impl Current {
    pub fn new(instance: usize, group: Rc<Group>) -> Current {
        Current { instance, group: Some(group), ..Current::default() }
    }

    /// The same program goes on with another probe's body.
    pub fn go_on(&mut self, instance: usize, group: Rc<Group>) {
        (self.instance, self.group) = (instance, Some(group));
        self.ended.clear();
    }

    fn find(&mut self, name: &str, place: Span) -> Option<&mut Local> {
        let name = (name.to_owned(), place.file);
        self.scopes.iter_mut().rev().find_map(|s| s.get_mut(&name))
    }

    /// Whether there is a variable of that name here.
    pub fn has(&mut self, name: &str, place: Span) -> bool {
        self.find(name, place).is_some()
    }

    /// Where a variable of that name is declared in another text.
    fn elsewhere(&self, name: &str) -> Option<Span> {
        self.scopes.iter().rev().flatten().find(|((n, _), _)| n == name).map(|(_, local)| local.key.1)
    }

    fn add(&mut self, declared: Declared) -> VarId {
        self.variables.push(declared);
        VarId(u32::try_from(self.variables.len() - 1).unwrap_or(u32::MAX))
    }
}

impl Checker<'_, '_> {
    /// Runs something with a scope of its own.
    pub fn scoped<T>(&mut self, inside: impl FnOnce(&mut Self) -> T) -> T {
        self.probe.scopes.push(HashMap::new());
        let result = inside(self);
        let ended = self.probe.scopes.pop().unwrap_or_default();
        self.probe.ended.extend(ended);
        result
    }

    /// Makes a variable, of the innermost scope. Names may not hide others.
    pub fn declare(&mut self, name: &str, span: Span, assigned: bool) -> (VarId, VariableKey) {
        let key = (self.probe.instance, span);
        if let Some(other) = self.probe.find(name, span) {
            let first = other.key.1;
            if first != span {
                self.report(
                    Diagnostic::error(
                        "variable-shadowed",
                        span,
                        format!("Variable ${name} was already declared"),
                    )
                    .label(first, "declared here")
                    .help("a variable cannot hide another of an outer block: give it a name of its own"),
                );
            }
        }
        let id = self.probe.add(Declared::Script { name: name.to_owned(), key });
        if let Some(scope) = self.probe.scopes.last_mut() {
            scope.insert((name.to_owned(), span.file), Local { id, key, assigned, implicit: false });
        }
        (id, key)
    }

    /// The variable that an assignment goes to; the first one declares it.
    pub fn assigned_variable(&mut self, name: &str, span: Span) -> (VarId, VariableKey) {
        if let Some(local) = self.probe.find(name, span) {
            local.assigned = true;
            return (local.id, local.key);
        }
        let key = (self.probe.instance, span);
        let id = self.probe.add(Declared::Script { name: name.to_owned(), key });
        let used_later = self.env.outliving(self.probe.instance, name, span);
        let scope = match used_later {
            Some(_) => self.probe.scopes.first_mut(),
            None => self.probe.scopes.last_mut(),
        };
        if let Some(scope) = scope {
            scope.insert((name.to_owned(), span.file), Local { id, key, assigned: true, implicit: true });
        }
        if let Some(used) = used_later {
            self.report(
                Diagnostic::warning(
                    "variable-scope",
                    used,
                    format!("${name} is used after the block that assigns to it"),
                )
                .label(span, "assigned here")
                .help(format!("write \"let ${name};\" before the block to say that this is meant")),
            );
        }
        (id, key)
    }

    /// The variable that a name stands for.
    pub fn variable(&mut self, name: &str, span: Span) -> Checked<(VarId, VariableKey)> {
        let unevaluated = self.probe.unevaluated > 0;
        let outlived =
            self.probe.ended.get(&(name.to_owned(), span.file)).is_some_and(|local| local.implicit);
        match self.probe.find(name, span) {
            Some(local) => {
                let (id, key) = (local.id, local.key);
                if !local.assigned && !unevaluated {
                    self.report(Diagnostic::warning(
                        "variable-unassigned",
                        span,
                        format!("Variable used before it was assigned: ${name}"),
                    ));
                }
                Ok((id, key))
            }
            // Variables used to live to the end of the probe, and scripts count on it.
            None if outlived => {
                self.env.outlives(self.probe.instance, name, span);
                Err(Stop::Unresolved)
            }
            None => {
                let here = |(n, text): &Name| (*text == span.file).then(|| format!("${n}"));
                let mut names: Vec<String> =
                    self.probe.scopes.iter().flat_map(|s| s.keys().filter_map(here)).collect();
                names.sort();
                let mut error = Diagnostic::error(
                    "undefined-variable",
                    span,
                    format!("Undefined or undeclared variable: ${name}"),
                );
                let wider = format!("to use it after that block, write \"let ${name};\" before the block");
                let ended = self.probe.ended.get(&(name.to_owned(), span.file));
                let elsewhere = self.probe.elsewhere(name);
                error = match (ended, super::expr::similar(&format!("${name}"), names)) {
                    (Some(local), _) => {
                        error.label(local.key.1, "declared here, in a block that has ended").help(wider)
                    }
                    _ if let Some(other) = elsewhere => error
                        .label(other, "this one belongs to another text")
                        .note("a macro sees its own variables and its parameters only")
                        .help(format!("make it a parameter, ${name}, and pass it")),
                    (None, Some(names)) => error.help(names),
                    (None, None) => error.help(format!("assign to it first: ${name} = …")),
                };
                self.fail(error)
            }
        }
    }

    /// Whether what is checked is never run.
    pub fn is_unreached(&self) -> bool {
        self.probe.unreached > 0 || self.probe.unevaluated > 0
    }

    /// Where the program at hand is attached.
    pub fn places(&self) -> &[Attach] {
        self.probe.group.as_ref().map_or(&[], |group| &group.attach)
    }

    /// The section of the program at hand.
    pub fn section(&self) -> &str {
        self.probe.group.as_ref().map_or("", |group| &group.section)
    }

    pub fn in_loop(&self) -> bool {
        self.probe.loops > 0
    }

    /// A variable's value.
    pub fn read_variable(&mut self, name: &str, span: Span) -> Checked<Value> {
        let (id, key) = self.variable(name, span)?;
        let Shape { ty, flex } = self.env.variable(key)?;
        Ok(Value { flex, ..Value::new(build::var(id, ty, span)) })
    }

    /// A variable that may be set without an assignment that could be seen.
    pub fn set_elsewhere(&mut self, name: &str, span: Span) -> Checked<Value> {
        if let Some(local) = self.probe.find(name, span) {
            local.assigned = true;
        }
        self.read_variable(name, span)
    }

    /// Keeps a value in a variable of our own, so that it can be used more than once.
    pub fn keep(&mut self, value: ir::Expr) -> (ir::Stmt, ir::Expr) {
        let (ty, span) = (value.ty.clone(), value.span);
        let var = self.probe.add(Declared::Temporary(ty.clone()));
        (build::stmt(ir::StmtKind::SetVar { var, value }, span), build::var(var, ty, span))
    }

    /// The variables of the program just checked.
    pub fn take_variables(&mut self) -> Vec<ir::Variable> {
        std::mem::take(&mut self.probe.variables)
            .into_iter()
            .map(|declared| match declared {
                Declared::Script { name, key } => {
                    ir::Variable { name, ty: self.env.variable_type(key).cloned().unwrap_or(Type::U64) }
                }
                Declared::Temporary(ty) => ir::Variable { name: String::new(), ty },
            })
            .collect()
    }
}
