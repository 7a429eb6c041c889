//! Macros take their places: a call becomes the macro's body as a block, its parameters the call's arguments.
//!
//! Hygiene needs no renaming. The places of an expanded body are of a text of their own ([`Sources::add_expansion`]),
//! those of arguments stay the caller's, and a variable is told from another of its name by the text that it is
//! written in. Messages about the body get the calls that led there from the same places.

mod arguments;

use std::collections::{HashMap, HashSet};

use arguments::Argument;

use crate::builtins;
use crate::diagnostics::{Diagnostic, Diagnostics, FileId, Sources, Span};
use crate::syntax::MAX_DEPTH;
use crate::syntax::ast::{
    Block, Expr, ExprKind, Macro, MacroParam, MacroParamKind, Script, Stmt, StmtKind, TypeName,
};
use crate::syntax::visit::{self, Visitor};

/// How many nodes all expansions may have together: they can double with each macro that calls another twice.
const MAX_NODES: usize = 300_000;

/// Puts the script's macros in place, and removes their definitions.
pub fn apply(script: &mut Script, sources: &mut Sources, diagnostics: &mut Diagnostics) {
    let macros = std::mem::take(&mut script.macros);
    script.expanded = macros.iter().map(|each| (each.name.clone(), each.name_span)).collect();
    if macros.is_empty() {
        return;
    }
    let mut expander = Expander {
        macros: table(&macros, diagnostics),
        sources,
        diagnostics,
        calls: vec![],
        body: None,
        depth: 0,
        left: MAX_NODES,
        exceeded: HashSet::new(),
        recursive: HashSet::new(),
        unhygienic: HashSet::new(),
        misfits: HashSet::new(),
    };
    visit::walk_probes(&mut expander, script);
}

/// The macros by name, without those that are defined twice.
fn table<'m>(macros: &'m [Macro], diagnostics: &mut Diagnostics) -> HashMap<&'m str, Vec<&'m Macro>> {
    let mut table: HashMap<&str, Vec<&Macro>> = HashMap::new();
    for one in macros {
        let same_name = table.entry(&one.name).or_default();
        let kinds = |m: &Macro| m.params.iter().map(|p| p.kind).collect::<Vec<_>>();
        match same_name.iter().find(|other| kinds(other) == kinds(one)) {
            Some(other) => diagnostics.push(
                Diagnostic::error(
                    "duplicate-macro",
                    one.name_span,
                    format!("Redefinition of macro: {}", one.name),
                )
                .label(other.name_span, "it was defined here first")
                .help("macros of one name differ in how many parameters they have, or of which kinds"),
            ),
            None => same_name.push(one),
        }
    }
    // The one that asks for more is tried first: `$x` before `x`.
    let particular = |m: &&Macro| m.params.iter().filter(|p| p.kind != MacroParamKind::Expr).count();
    table.values_mut().for_each(|list| list.sort_by_key(|m| std::cmp::Reverse(particular(m))));
    table
}

struct Expander<'m, 's> {
    macros: HashMap<&'m str, Vec<&'m Macro>>,
    sources: &'s mut Sources,
    diagnostics: &'s mut Diagnostics,
    /// The macros that are being expanded, outermost first.
    calls: Vec<&'m Macro>,
    /// The body that is being walked; none in a probe.
    body: Option<Box<Body<'m>>>,
    /// Of the tree, from the probe.
    depth: u16,
    left: usize,
    /// The limits that have been complained about.
    exceeded: HashSet<&'static str>,
    /// The macros that have been found to call themselves.
    recursive: HashSet<Span>,
    /// Maps in macros that have been complained about.
    unhygienic: HashSet<Span>,
    /// Calls that no macro fits, and that have been complained about.
    misfits: HashSet<Span>,
}

/// What the names of a macro's parameters stand for while its body is walked.
struct Body<'m> {
    text: FileId,
    arguments: Vec<(&'m MacroParam, Argument)>,
    /// Of a macro of C: variables and maps are the caller's.
    of_c: Option<OfC>,
    /// The body that calls it; none for a probe.
    outer: Option<Box<Body<'m>>>,
}

struct OfC {
    call: Span,
    /// The variables that it declares.
    own: HashSet<String>,
}

/// What a `#define` calls the arguments for `...`.
const REST: &str = "__VA_ARGS__";

impl Body<'_> {
    fn argument(&self, kind: MacroParamKind, name: &str) -> Option<&Argument> {
        let mut arguments = self.arguments.iter();
        arguments.find(|(param, _)| param.kind == kind && param.name == name).map(|(_, argument)| argument)
    }
}

impl<'m> Expander<'m, '_> {
    /// The macro that a call means; an error says why there is none, if there are some of that name.
    fn find(&mut self, name: &str, args: &[Expr], place: Span, bare: bool) -> Result<Option<&'m Macro>, ()> {
        let Some(list) = self.macros.get(name) else { return Ok(None) };
        let fits = |m: &Macro| {
            let count = match m.params.split_last() {
                Some((last, others)) if last.kind == MacroParamKind::Rest => args.len() >= others.len(),
                _ => args.len() == m.params.len(),
            };
            count && m.params.iter().zip(args).all(|(param, arg)| accepts(param, arg))
        };
        if let Some(found) = list.iter().find(|m| fits(m)) {
            return Ok(Some(*found));
        }
        let same_count = list.iter().find(|m| m.params.len() == args.len()).copied();
        let Some(closest) = same_count.or(list.first().copied()) else { return Ok(None) };
        if same_count.is_none() && builtins::find(name).is_some() {
            return Ok(None);
        }
        // Once for each place: a body is put in place in each expansion of the others.
        let written = self.calls.last().map_or(place, |m| Span { file: m.name_span.file, ..place });
        if !self.misfits.insert(written) {
            return Err(());
        }
        let error = if same_count.is_some() {
            mismatch(closest, args)
        } else {
            let counts: Vec<String> = list.iter().map(|m| m.params.len().to_string()).collect();
            let (wanted, plural) = (counts.join(" or "), if counts == ["1"] { "" } else { "s" });
            let error = Diagnostic::error(
                "argument-count",
                place,
                format!("The macro `{name}` takes {wanted} argument{plural}, not {}", args.len()),
            );
            let error = error.label(closest.name_span, "it is defined here");
            if bare { error.help(format!("write {}", shown(closest))) } else { error }
        };
        self.diagnostics.push(error);
        Err(())
    }

    /// A call of a macro becomes its body.
    fn call(&mut self, found: &'m Macro, args: Vec<Expr>, e: &mut Expr) {
        let call = e.span;
        e.kind = ExprKind::Error;
        if let Some(at) = self.calls.iter().position(|m| std::ptr::eq(*m, found)) {
            // Once for each macro: it is called in each expansion of the others.
            if !self.recursive.insert(found.name_span) {
                return;
            }
            let chain: Vec<&str> =
                self.calls.iter().skip(at).chain([&found]).map(|m| m.name.as_str()).collect();
            let error = Diagnostic::error(
                "recursive-macro",
                call,
                format!("Recursive macro call detected. Call chain: {}", chain.join(" > ")),
            );
            self.diagnostics.push(
                error
                    .label(found.name_span, "it is defined here")
                    .note("a macro is text that is put in place"),
            );
            return;
        }
        // The arguments belong to the caller, with its names.
        let rest = found.params.last().filter(|param| param.kind == MacroParamKind::Rest);
        let params = found.params.iter().chain(std::iter::repeat_with(|| rest).map_while(|rest| rest));
        let mut arguments = vec![];
        for (mut arg, param) in args.into_iter().zip(params) {
            match param.kind {
                MacroParamKind::Expr | MacroParamKind::Rest => self.expr(&mut arg),
                // A map or variable is passed on as what it is.
                MacroParamKind::Variable | MacroParamKind::Map => self.name(&mut arg),
            }
            arguments.push((param, Argument::new(arg, param.kind)));
        }
        let text = self.sources.add_expansion(&found.name, found.name_span.file, call);
        let mut body = found.body.clone();
        let of_c = found.of_c.then(|| OfC { call, own: declared(&mut body) });
        let outer = self.body.take();
        self.body = Some(Box::new(Body { text, arguments, of_c, outer }));
        self.calls.push(found);
        self.block(&mut body);
        self.calls.pop();
        self.body = self.body.take().and_then(|body| body.outer);
        *e = result(body, call);
    }

    /// The value of a parameter.
    fn argument(&self, kind: MacroParamKind, name: &str) -> Option<&Argument> {
        self.body.as_ref()?.argument(kind, name)
    }

    /// Each argument for `...` where all of them are named. One after the other, they are parameters by themselves.
    fn spread(&self, args: &mut Vec<Expr>) {
        let Some(body) = &self.body else { return };
        let is_rest = |e: &Expr| matches!(&e.kind, ExprKind::Name(name) if name == REST);
        let rest = self.calls.last().and_then(|m| m.params.last()).filter(|p| p.kind == MacroParamKind::Rest);
        let Some(at) = args.iter().position(is_rest).filter(|_| rest.is_some()) else { return };
        let count = body.arguments.iter().filter(|(param, _)| param.kind == MacroParamKind::Rest).count();
        let span = args.get(at).map_or(Span::default(), |arg| arg.span);
        let each = (0..count).map(|n| Expr { kind: ExprKind::Name(format!("{REST} {n}")), span });
        args.splice(at..=at, each);
    }

    /// The body to which a variable or map belongs, none for a probe; and its place there, if a macro of C names it.
    fn owner(&self, variable: Option<&str>) -> (Option<&Body<'m>>, Option<Span>) {
        let (mut owner, mut place) = (self.body.as_deref(), None);
        while let Some(Body { of_c: Some(c), outer, .. }) = owner
            && variable.is_none_or(|name| !c.own.contains(name))
        {
            (owner, place) = (outer.as_deref(), Some(c.call));
        }
        (owner, place)
    }

    /// What a variable or map is called by the caller, where it is a parameter.
    fn name(&mut self, e: &mut Expr) {
        self.span(&mut e.span);
        match &mut e.kind {
            ExprKind::Variable(name) => {
                let (owner, place) = self.owner(Some(name));
                e.span = place.unwrap_or(e.span);
                if let Some(argument) = owner.and_then(|body| body.argument(MacroParamKind::Variable, name)) {
                    *e = argument.expr.clone();
                }
            }
            ExprKind::Map { name, .. } => {
                let (owner, place) = self.owner(None);
                e.span = place.unwrap_or(e.span);
                let outside = match owner.map(|body| body.argument(MacroParamKind::Map, name)) {
                    Some(Some(Argument {
                        expr: Expr { kind: ExprKind::Map { name: passed, .. }, .. },
                        ..
                    })) => {
                        *name = passed.clone();
                        None
                    }
                    Some(_) => Some(name.clone()),
                    None => None,
                };
                if let Some(name) = outside {
                    self.unhygienic(&name, e.span);
                    e.kind = ExprKind::Error;
                }
            }
            _ => {}
        }
    }

    fn unhygienic(&mut self, name: &str, span: Span) {
        let Some(current) = self.calls.iter().rev().find(|m| !m.of_c) else { return };
        let place = Span { file: current.name_span.file, ..span };
        if self.unhygienic.insert(place) {
            self.diagnostics.push(
                Diagnostic::error(
                    "unhygienic-map",
                    span,
                    format!("Unhygienic access to map: @{name}. It is no parameter of the macro"),
                )
                .label(current.name_span, format!("add it to the parameters here: @{name}")),
            );
        }
    }

    /// Goes one level down. False, and reported, if that is too deep or if there has been too much already.
    fn enter(&mut self, span: Span, nodes: usize, levels: u16) -> bool {
        let problem = if self.left < nodes {
            Some(("too-large", "The script's macros expand to too much"))
        } else if self.depth.saturating_add(levels) > MAX_DEPTH {
            Some(("nested-too-deep", "The macros' bodies nest too deep"))
        } else {
            None
        };
        if let Some((code, message)) = problem {
            // Where it went over the limit says little, and it is told once: it goes over it everywhere from here.
            if self.exceeded.insert(code) {
                self.diagnostics.push(
                    Diagnostic::error(code, self.sources.outermost(span), message)
                        .help("a macro's argument is put in each place that names it: keep it in a variable, `let $x = x;`"),
                );
            }
            return false;
        }
        self.left -= nodes;
        self.depth += 1;
        true
    }

    /// As [`Expander::enter`], for a tree that is not walked.
    fn spend(&mut self, span: Span, nodes: usize, levels: u16) -> bool {
        let fits = self.enter(span, nodes, levels);
        if fits {
            self.leave();
        }
        fits
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Puts an argument in the place of its name.
    fn substitute(&mut self, e: &mut Expr, name: &str) -> bool {
        let nth = name.strip_prefix(REST).and_then(|n| n.trim_start().parse::<usize>().ok());
        let argument = match (nth, &self.body) {
            (Some(n), Some(body)) => {
                let mut rest = body.arguments.iter().filter(|(param, _)| param.kind == MacroParamKind::Rest);
                rest.nth(n).map(|(_, argument)| argument)
            }
            _ => self.argument(MacroParamKind::Expr, name),
        };
        let Some(argument) = argument else { return false };
        let (value, nodes, levels) = (argument.value(), argument.nodes, argument.levels);
        if self.spend(e.span, nodes, levels) {
            *e = value;
        } else {
            e.kind = ExprKind::Error;
        }
        true
    }
}

impl Visitor for Expander<'_, '_> {
    fn span(&mut self, span: &mut Span) {
        if let Some(body) = &self.body {
            span.file = body.text;
        }
    }

    fn block(&mut self, block: &mut Block) {
        if self.enter(block.span, 1, 1) {
            visit::walk_block(self, block);
            self.leave();
        } else {
            block.statements.clear();
            block.value = None;
        }
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        if let StmtKind::Let { name, name_span, .. } = &stmt.kind
            && self.argument(MacroParamKind::Variable, name).is_some()
        {
            let mut place = *name_span;
            self.span(&mut place);
            self.diagnostics.push(
                Diagnostic::error(
                    "variable-shadowed",
                    place,
                    format!("Variable declaration shadows macro arg ${name}"),
                )
                .help("the caller's variable is declared already: assign to it, or choose another name"),
            );
            stmt.kind = StmtKind::Error;
            return;
        }
        if self.enter(stmt.span, 1, 1) {
            visit::walk_stmt(self, stmt);
            self.leave();
        } else {
            stmt.kind = StmtKind::Error;
        }
    }

    fn expr(&mut self, e: &mut Expr) {
        if !self.enter(e.span, 1, 1) {
            e.kind = ExprKind::Error;
            return;
        }
        match &mut e.kind {
            ExprKind::Name(name) => {
                let name = name.clone();
                self.span(&mut e.span);
                if !self.substitute(e, &name) {
                    match self.find(&name, &[], e.span, true) {
                        Ok(Some(found)) => self.call(found, vec![], e),
                        Ok(None) => {}
                        Err(()) => e.kind = ExprKind::Error,
                    }
                }
            }
            ExprKind::Call { name, name_span, args } => {
                let (name, place) = (name.clone(), *name_span);
                let mut place = place;
                self.spread(args);
                let args_taken =
                    if self.macros.contains_key(name.as_str()) { Some(std::mem::take(args)) } else { None };
                self.span(&mut place);
                match args_taken {
                    None => visit::walk_expr(self, e),
                    Some(taken) => match self.find(&name, &taken, place, false) {
                        Ok(Some(found)) => {
                            self.span(&mut e.span);
                            self.call(found, taken, e);
                        }
                        Ok(None) => {
                            if let ExprKind::Call { args, .. } = &mut e.kind {
                                *args = taken;
                            }
                            visit::walk_expr(self, e);
                        }
                        Err(()) => {
                            self.span(&mut e.span);
                            e.kind = ExprKind::Error;
                        }
                    },
                }
            }
            ExprKind::Variable(_) => self.name(e),
            ExprKind::Map { key, .. } => {
                let mut key = key.take();
                key.iter_mut().for_each(|k| self.expr(k));
                self.name(e);
                if let ExprKind::Map { key: place, .. } = &mut e.kind {
                    *place = key;
                }
            }
            ExprKind::TypeCall { fields, .. } => {
                self.field_names(fields);
                visit::walk_expr(self, e);
            }
            _ => visit::walk_expr(self, e),
        }
        self.leave();
    }

    fn ty(&mut self, ty: &mut TypeName) {
        self.type_argument(ty);
    }
}

/// What a macro's body is as an expression: its value, if that is all there is to it. A map's value stays in its
/// block, or a call that takes maps would take the map.
fn result(mut body: Block, call: Span) -> Expr {
    match body.value.take() {
        Some(value) if body.statements.is_empty() && !matches!(value.kind, ExprKind::Map { .. }) => *value,
        value => {
            body.value = value;
            Expr { kind: ExprKind::Block(body), span: call }
        }
    }
}

/// The variables that a body declares, at any depth.
fn declared(body: &mut Block) -> HashSet<String> {
    struct Declared(HashSet<String>);
    impl Visitor for Declared {
        fn stmt(&mut self, stmt: &mut Stmt) {
            if let StmtKind::Let { name, .. } | StmtKind::For { variable: name, .. } = &stmt.kind {
                self.0.insert(name.clone());
            }
            visit::walk_stmt(self, stmt);
        }
    }
    let mut declared = Declared(HashSet::new());
    declared.block(body);
    declared.0
}

/// Whether an argument can be passed for a parameter.
fn accepts(param: &MacroParam, arg: &Expr) -> bool {
    match param.kind {
        MacroParamKind::Variable => matches!(arg.kind, ExprKind::Variable(_)),
        MacroParamKind::Map => matches!(arg.kind, ExprKind::Map { key: None, .. }),
        MacroParamKind::Expr | MacroParamKind::Rest => true,
    }
}

/// What is said about the first argument that is not of the kind that the macro takes there.
fn mismatch(closest: &Macro, args: &[Expr]) -> Diagnostic {
    let wrong = closest.params.iter().zip(args).find(|(param, arg)| !accepts(param, arg));
    let Some((param, arg)) = wrong else {
        return Diagnostic::error("argument-type", closest.name_span, "The macro's arguments do not match");
    };
    let (wanted, shown) = match param.kind {
        MacroParamKind::Variable => ("a variable", format!("${}", param.name)),
        MacroParamKind::Map => ("a map", format!("@{}", param.name)),
        MacroParamKind::Expr | MacroParamKind::Rest => ("an expression", param.name.clone()),
    };
    let found = match arg.kind {
        ExprKind::Variable(_) => "a variable",
        ExprKind::Map { key: None, .. } => "a map",
        ExprKind::Map { key: Some(_), .. } => "a map's value",
        _ => "an expression",
    };
    let error = Diagnostic::error(
        "argument-type",
        arg.span,
        format!("Mismatched arg. {}() expects {wanted} for arg {shown} but got {found}.", closest.name),
    )
    .label(param.span, "the parameter");
    match (param.kind, &arg.kind) {
        (MacroParamKind::Variable, _) => error.help("assign it to a variable first, and pass that"),
        (MacroParamKind::Map, ExprKind::Map { name, .. }) => {
            error.help(format!("name the map without its key: @{name}"))
        }
        _ => error,
    }
}

/// How a call of the macro looks.
fn shown(one: &Macro) -> String {
    let params: Vec<String> = one
        .params
        .iter()
        .map(|p| match p.kind {
            MacroParamKind::Variable => format!("${}", p.name),
            MacroParamKind::Map => format!("@{}", p.name),
            MacroParamKind::Expr => p.name.clone(),
            MacroParamKind::Rest => "...".to_owned(),
        })
        .collect();
    format!("{}({})", one.name, params.join(", "))
}
