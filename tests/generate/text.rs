//! Programs as scripts.

use std::fmt::{self, Display, Formatter, Write as _};

use crate::ast::{Expr, Kind, Macro, Program, Stmt, Ty};

impl Display for Ty {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Ty::Bool => f.write_str("bool"),
            Ty::Int(int) => write!(f, "{}int{}", if int.signed { "" } else { "u" }, u32::from(int.size) * 8),
            Ty::Str(size) => write!(f, "string[{size}]"),
            Ty::Other(name) => f.write_str(name),
            // Their types cannot be written.
            Ty::Tuple(_) | Ty::Record(_) => Err(fmt::Error),
        }
    }
}

/// Expressions with a comma after each but the last.
struct List<'a>(&'a [Expr]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(n, e)| write!(f, "{}{e}", if n > 0 { ", " } else { "" }))
    }
}

/// Puts the arguments in the place of each `#`.
fn filled(f: &mut Formatter<'_>, template: &str, args: &[Expr]) -> fmt::Result {
    for (n, piece) in template.split('#').enumerate() {
        if let Some(arg) = n.checked_sub(1).and_then(|n| args.get(n)) {
            write!(f, "{arg}")?;
        }
        f.write_str(piece)?;
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out + "\""
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Int(n) if *n < 0 => write!(f, "({n})"),
            Kind::Int(n) => write!(f, "{n}"),
            Kind::Bool(b) => write!(f, "{b}"),
            Kind::Text(text) => f.write_str(&quoted(text)),
            Kind::Var(name) => f.write_str(name),
            Kind::Map(name, None) => f.write_str(name),
            Kind::Map(name, Some(key)) => match &key.kind {
                Kind::Tuple(parts) if parts.len() > 1 => write!(f, "{name}[{}]", List(parts)),
                _ => write!(f, "{name}[{key}]"),
            },
            Kind::Cast(e) => write!(f, "({})({e})", self.ty),
            Kind::Unary(symbol, e) => write!(f, "{symbol}({e})"),
            Kind::Binary(symbol, a, b) => write!(f, "({a} {symbol} {b})"),
            Kind::Choose(condition, a, b) => write!(f, "({condition} ? {a} : {b})"),
            Kind::Tuple(parts) if parts.len() == 1 => write!(f, "({},)", parts[0]),
            Kind::Tuple(parts) => write!(f, "({})", List(parts)),
            Kind::Record(fields) => {
                f.write_str("(")?;
                for (n, (name, e)) in fields.iter().enumerate() {
                    write!(f, "{}{name} = {e}", if n > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
            Kind::Part(e, n) => write!(f, "{e}.{n}"),
            Kind::Field(e, name) => write!(f, "{e}.{name}"),
            Kind::Block(body, value) => {
                f.write_str("{ ")?;
                body.iter().try_for_each(|stmt| write!(f, "{} ", Line(stmt)))?;
                write!(f, "{value} }}")
            }
            Kind::Step { place, symbol, postfix: true } => write!(f, "{place}{symbol}"),
            Kind::Step { place, symbol, postfix: false } => write!(f, "{symbol}{place}"),
            Kind::Comptime(e) => write!(f, "comptime ({e})"),
            Kind::Addressed(place) => write!(f, "(*(&{place}))"),
            Kind::Find { map, key, var } => write!(f, "find({map}, {key}, {var})"),
            Kind::Macro(name, args) if args.is_empty() => f.write_str(name),
            Kind::Macro(name, args) => write!(f, "{name}({})", List(args)),
            Kind::Call(name, args) => write!(f, "{name}({})", List(args)),
            Kind::Opaque(template, args) => filled(f, template, args),
            Kind::Known(_) => Err(fmt::Error),
        }
    }
}

/// A statement in one line.
struct Line<'a>(&'a Stmt);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        write_stmt(&mut text, self.0, 0)?;
        f.write_str(&text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

fn write_body(out: &mut String, body: &[Stmt], depth: usize) -> fmt::Result {
    out.push_str("{\n");
    body.iter().try_for_each(|stmt| write_stmt(out, stmt, depth + 1))?;
    write!(out, "{:1$}}}", "", depth * 2)
}

fn write_stmt(out: &mut String, stmt: &Stmt, depth: usize) -> fmt::Result {
    write!(out, "{:1$}", "", depth * 2)?;
    match stmt {
        Stmt::Let { name, ty, value } => {
            write!(out, "let {name}")?;
            if let Some(ty) = ty {
                write!(out, ": {ty}")?;
            }
            if let Some(value) = value {
                write!(out, " = {value}")?;
            }
            out.push(';');
        }
        Stmt::Set { place, op, value } => write!(out, "{place} {op} {value};")?,
        Stmt::Gather { place, function, args } => write!(out, "{place} = {function}({});", List(args))?,
        Stmt::Expr(e) => write!(out, "{e};")?,
        Stmt::Discard(e) => write!(out, "_ = {e};")?,
        Stmt::If { condition, then, otherwise } => {
            write!(out, "if ({condition}) ")?;
            write_body(out, then, depth)?;
            if !otherwise.is_empty() {
                out.push_str(" else ");
                write_body(out, otherwise, depth)?;
            }
        }
        Stmt::While { condition, body } => {
            write!(out, "while ({condition}) ")?;
            write_body(out, body, depth)?;
        }
        Stmt::Range { var, start, end, body } => {
            write!(out, "for ({var} : {start}..{end}) ")?;
            write_body(out, body, depth)?;
        }
        Stmt::Each { var, map, body } => {
            write!(out, "for ({var} : {map}) ")?;
            write_body(out, body, depth)?;
        }
        Stmt::Unroll(count, body) => {
            write!(out, "unroll ({count}) ")?;
            write_body(out, body, depth)?;
        }
        Stmt::Block(body) => write_body(out, body, depth)?,
        Stmt::Break => out.push_str("break;"),
        Stmt::Continue => out.push_str("continue;"),
        Stmt::Return => out.push_str("return;"),
        Stmt::ReturnValue(e) => write!(out, "return {e};")?,
        Stmt::Print(e) => write!(out, "print({e});")?,
        Stmt::Printf(format, args) if args.is_empty() => write!(out, "printf({});", quoted(format))?,
        Stmt::Printf(format, args) => write!(out, "printf({}, {});", quoted(format), List(args))?,
        Stmt::Delete(map, key) => write!(out, "delete({map}, {key});")?,
        Stmt::Opaque(template, args) => {
            write!(out, "{};", Expr::new(Kind::Opaque(template.clone(), args.clone()), Ty::Bool))?
        }
    }
    out.push('\n');
    Ok(())
}

fn write_macro(out: &mut String, definition: &Macro) -> fmt::Result {
    let params: Vec<&str> = definition.params.iter().map(|(name, _)| name.as_str()).collect();
    if definition.of_c {
        let list = if params.is_empty() { String::new() } else { format!("({})", params.join(", ")) };
        return writeln!(out, "#define {}{list} {}", definition.name, definition.value);
    }
    writeln!(out, "macro {}({}) {{", definition.name, params.join(", "))?;
    definition.body.iter().try_for_each(|stmt| write_stmt(out, stmt, 1))?;
    writeln!(out, "  {}\n}}", definition.value)
}

impl Display for Program {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        if !self.config.is_empty() {
            let settings: Vec<String> =
                self.config.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            writeln!(out, "config = {{ {} }}", settings.join("; "))?;
        }
        self.definitions.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        let (of_c, own): (Vec<&Macro>, Vec<&Macro>) = self.macros.iter().partition(|m| m.of_c);
        of_c.into_iter().try_for_each(|m| write_macro(&mut out, m))?;
        self.maps.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        own.into_iter().try_for_each(|m| write_macro(&mut out, m))?;
        for probe in &self.probes {
            write!(out, "{} ", probe.attach)?;
            if let Some(predicate) = &probe.predicate {
                write!(out, "/ {predicate} / ")?;
            }
            write_body(&mut out, &probe.body, 0)?;
            out.push('\n');
        }
        f.write_str(&out)
    }
}
