//! Makes a program that fails smaller while it fails in the same way.

use crate::ast::{Expr, Kind, Program, Stmt, Ty, blocks, expressions};

/// A smaller program for which `fails` still holds. At most `tries` programs are tried.
pub fn shrink(program: &Program, mut tries: u32, fails: &mut dyn FnMut(&Program) -> bool) -> Program {
    let mut smallest = program.clone();
    loop {
        let mut found = false;
        let mut number = 0;
        while let Some(candidate) = smaller(&smallest, number) {
            if tries == 0 {
                return smallest;
            }
            match candidate {
                Some(candidate) if candidate != smallest => {
                    tries -= 1;
                    if fails(&candidate) {
                        // What follows has moved to where this was.
                        smallest = candidate;
                        found = true;
                        continue;
                    }
                }
                _ => {}
            }
            number += 1;
        }
        if !found {
            return smallest;
        }
    }
}

/// The program with its part of that number left out; `None` if it has fewer, `Some(None)` if that changes nothing.
fn smaller(program: &Program, number: usize) -> Option<Option<Program>> {
    let mut number = number;
    let mut take = |count: usize| {
        let here = number < count;
        let index = number;
        number = number.wrapping_sub(if here { 0 } else { count });
        here.then_some(index)
    };
    let mut made = program.clone();
    if let Some(n) = take(program.probes.len()) {
        made.probes.remove(n);
        return Some((!made.probes.is_empty()).then_some(made));
    }
    for list in [0, 1, 2] {
        let len = [program.config.len(), program.definitions.len(), program.maps.len()][list];
        if let Some(n) = take(len) {
            match list {
                // Without it other things are printed.
                0 if made.config[n].0 == "print_maps_on_exit" => return Some(None),
                0 => drop(made.config.remove(n)),
                1 => drop(made.definitions.remove(n)),
                _ => drop(made.maps.remove(n)),
            }
            return Some(Some(made));
        }
    }
    if let Some(n) = take(program.macros.len()) {
        made.macros.remove(n);
        return Some(Some(made));
    }
    if let Some(n) = take(program.probes.len()) {
        made.probes[n].predicate = None;
        return Some(Some(made));
    }
    for n in 0..program.probes.len() {
        // Statements left out.
        let mut count = 0;
        blocks(&mut made.probes[n].body, &mut |body| {
            count += body.len();
            false
        });
        if let Some(index) = take(count) {
            let mut left = index;
            blocks(&mut made.probes[n].body, &mut |body| {
                if left < body.len() {
                    body.remove(left);
                    return true;
                }
                left -= body.len();
                false
            });
            return Some(Some(made));
        }
        // Statements in the place of those around them.
        if let Some(index) = take(count) {
            let mut left = index;
            blocks(&mut made.probes[n].body, &mut |body| {
                if left < body.len() {
                    let inner = inner(&body[left]);
                    body.splice(left..=left, inner);
                    return true;
                }
                left -= body.len();
                false
            });
            return Some(Some(made));
        }
        // Simpler expressions, in two ways.
        for way in [simplest, operand] {
            let mut count = 0;
            expressions(&mut made.probes[n].body, &mut |_| {
                count += 1;
                false
            });
            if let Some(index) = take(count) {
                let (mut at, mut changed) = (0, false);
                expressions(&mut made.probes[n].body, &mut |e| {
                    at += 1;
                    if at <= index {
                        return false;
                    }
                    if let Some(simple) = way(e) {
                        *e = simple;
                        changed = true;
                    }
                    true
                });
                return Some(changed.then_some(made));
            }
        }
    }
    None
}

fn inner(stmt: &Stmt) -> Vec<Stmt> {
    match stmt {
        Stmt::If { then, otherwise, .. } => [then.as_slice(), otherwise].concat(),
        Stmt::While { body, .. } | Stmt::Range { body, .. } | Stmt::Each { body, .. } => body.clone(),
        Stmt::Unroll(_, body) | Stmt::Block(body) => body.clone(),
        other => vec![other.clone()],
    }
}

/// A constant of the same type.
fn simplest(e: &Expr) -> Option<Expr> {
    let simple = match (&e.kind, &e.ty) {
        (Kind::Int(_) | Kind::Bool(_) | Kind::Text(_), _) => return None,
        (_, Ty::Bool) => Expr::new(Kind::Bool(true), Ty::Bool),
        (_, Ty::Int(_)) => Expr::int(1).cast(&e.ty),
        (_, Ty::Str(size)) if *size > 1 => Expr::new(Kind::Text("x".into()), Ty::Str(2)).cast(&e.ty),
        _ => return None,
    };
    (simple != *e).then_some(simple)
}

/// A part of the expression that has its type.
fn operand(e: &Expr) -> Option<Expr> {
    let same = |parts: &[&Expr]| parts.iter().find(|part| part.ty == e.ty).map(|part| (*part).clone());
    match &e.kind {
        Kind::Binary(_, a, b) => same(&[a, b]),
        Kind::Choose(_, a, b) => same(&[b, a]),
        Kind::Unary(_, a) => same(&[a]),
        Kind::Cast(a) => match &a.kind {
            Kind::Cast(b) => Some(Expr::new(Kind::Cast(b.clone()), e.ty.clone())),
            Kind::Binary(_, b, _) => Some(Expr::new(Kind::Cast(b.clone()), e.ty.clone())),
            _ => same(&[a]),
        },
        Kind::Block(_, value) => Some((**value).clone()),
        _ => None,
    }
}
