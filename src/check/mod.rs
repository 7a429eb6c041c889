//! From what a script says to what it means: names, types, conversions, and what is legal where.
//!
//! One walk over the syntax both types and lowers it. It needs the types of maps and variables, which depend on all
//! assignments to them, so it is repeated: each pass widens what the one before it learned ([`env`]), and the first
//! that learns nothing new is the one whose program and messages count.

mod address;
mod assign;
pub(crate) mod build;
mod calls;
mod comptime;
mod control;
mod convert;
mod declarations;
pub mod dump;
mod env;
mod events;
mod expr;
mod limits;
mod linked;
mod maps;
mod old;
mod operators;
mod place;
mod program;
mod scope;
pub(crate) mod shape;
mod type_names;
mod walk;

pub(crate) use calls::Call;
pub(crate) use operators::{literal_bool, literal_int, literal_text};
pub(crate) use place::characters;
pub(crate) use shape::Value;

use regex_lite::Regex;

use crate::diagnostics::{Diagnostic, Diagnostics, Span};
use crate::ir;
use crate::probes::{Group, Host, Uses};
use crate::syntax::ast;
use crate::types::c;

/// What the command line says about the program.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `$1`, `$2`, …
    pub positional: Vec<String>,
    /// `-c` was given, so `cpid` has a value.
    pub has_child: bool,
    /// Of the probes, only those with such names.
    pub filter: Option<Regex>,
    /// Where C headers are, and which the command line includes.
    pub includes: c::Includes,
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// An error has been reported; whatever depends on this is left unsaid.
    Reported,
    /// A type is not known yet; a later pass will know it.
    Unresolved,
}

pub(crate) type Checked<T> = Result<T, Stop>;

/// Finds what attach points mean: [`crate::probes::resolve`], or a stand-in for it.
pub type Resolve<'r> = &'r mut dyn FnMut(
    &[ast::AttachPoint],
    Uses,
    &mut Host<'_>,
    &mut dyn FnMut(&str) -> u32,
) -> (Vec<Group>, Diagnostics);

/// Checks a script. The program is absent if there were errors; warnings come with it.
pub fn check(
    script: &ast::Script,
    host: &mut Host<'_>,
    options: &Options,
) -> (Option<ir::Program>, Diagnostics) {
    check_with(script, host, options, &mut crate::probes::resolve)
}

/// As [`check`], with attach points of one's own: for tests, which must not depend on the running kernel.
pub fn check_with(
    script: &ast::Script,
    host: &mut Host<'_>,
    options: &Options,
    resolve: Resolve<'_>,
) -> (Option<ir::Program>, Diagnostics) {
    // First of all: from here on the script's names mean what it says.
    let names = || walk::names(script);
    let mut diagnostics = c::include(&script.definitions, &options.includes, &names, host.types);
    diagnostics.extend(c::define(&script.definitions, host.types));
    if diagnostics.has_errors() {
        return (None, diagnostics);
    }
    let mut names = program::Names::default();
    let instances =
        program::resolve(script, host, options.filter.as_ref(), &mut names, resolve, &mut diagnostics);

    let mut checker = Checker {
        env: env::Env::new(walk::maps(script)),
        pass: Pass::default(),
        probe: scope::Current::default(),
        names,
        host,
        options,
    };
    let probes = loop {
        checker.pass = Pass::default();
        let probes = checker.probes(&instances);
        if !checker.env.learned() && !checker.env.release() && !checker.env.settle() {
            break probes;
        }
    };
    checker.check_declarations(&script.maps);
    checker.check_hidden_functions(&script.expanded);
    // What is missing may be what an error is about.
    if !diagnostics.has_errors() && !checker.pass.diagnostics.has_errors() {
        checker.check_maps();
        checker.check_limits();
    }
    if let Some(span) = checker.pass.unresolved
        && !checker.pass.diagnostics.has_errors()
    {
        checker.report(
            Diagnostic::error("unresolved-type", span, "Could not resolve the types in this statement")
                .help("give what it uses a type, with a cast or \"let $x: type\""),
        );
    }
    diagnostics.extend(std::mem::take(&mut checker.pass.diagnostics));
    if diagnostics.has_errors() {
        return (None, diagnostics);
    }
    (Some(checker.program(probes, &script.maps)), diagnostics)
}

/// What one pass produces besides the probes.
#[derive(Default)]
struct Pass {
    diagnostics: Diagnostics,
    events: events::Events,
    strings: Vec<String>,
    /// The first statement whose types are not all known.
    unresolved: Option<Span>,
    /// The script has asked whether there is a child.
    asked_for_child: bool,
}

/// A script being checked.
pub(crate) struct Checker<'a, 'h> {
    pub host: &'a mut Host<'h>,
    pub options: &'a Options,
    env: env::Env,
    pass: Pass,
    /// The probe that is being checked.
    probe: scope::Current,
    names: program::Names,
}

impl Checker<'_, '_> {
    /// Reports something, and goes on.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.pass.diagnostics.push_first(diagnostic);
    }

    /// `has_cpid`: whether a command was given. Who asks is not told that there is none.
    pub fn has_child(&mut self) -> bool {
        self.pass.asked_for_child = true;
        self.options.has_child
    }

    /// Without a command, `cpid` is zero.
    pub fn warn_of_no_child(&mut self, span: Span) {
        if !self.pass.asked_for_child {
            self.report(
                Diagnostic::warning("no-child", span, "there is no child command, so cpid is 0")
                    .help("give a command with -c; has_cpid tells whether there is one"),
            );
        }
    }

    /// Reports an error that leaves no result.
    pub fn fail<T>(&mut self, diagnostic: Diagnostic) -> Checked<T> {
        self.report(diagnostic);
        Err(Stop::Reported)
    }

    /// As [`Checker::fail`], for an error without labels or help.
    pub fn error<T>(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> Checked<T> {
        self.fail(Diagnostic::error(code, span, message))
    }

    /// A type as the language spells it.
    pub fn spell(&self, ty: &crate::types::Type) -> String {
        crate::types::Spelled(ty, self.host.types.layouts()).to_string()
    }
}
