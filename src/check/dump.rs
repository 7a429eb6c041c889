//! A program as text: what `-d ir` shows and tests compare. Not meant to be read back.

use std::fmt::{self, Write};

use crate::image::EventKind;
use crate::ir::{Binary, Expr, ExprKind, Place, PlaceKind, Program, Stmt, StmtKind, Unary};
use crate::types::{Layouts, Space, Spelled, Type};

/// The whole program.
pub fn program(program: &Program) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = Dump { program, out: &mut text }.all();
    text
}

struct Dump<'p, 'o> {
    program: &'p Program,
    out: &'o mut String,
}

impl Dump<'_, '_> {
    fn all(&mut self) -> fmt::Result {
        for map in &self.program.maps {
            write!(self.out, "map {}", map.name)?;
            if let Some(key) = &map.key {
                write!(self.out, "[{}]", self.ty(key))?;
            }
            writeln!(self.out, ": {} ({:?})", self.ty(&map.value), map.kind)?;
        }
        for (n, event) in self.program.events.iter().enumerate() {
            let args: Vec<String> = event.args.iter().map(|ty| self.ty(ty)).collect();
            let kind = match &event.kind {
                EventKind::Printf { format, to } => format!("printf {format:?} to {to:?}"),
                other => format!("{other:?}"),
            };
            writeln!(self.out, "event {n}: {kind} ({})", args.join(", "))?;
        }
        for (n, string) in self.program.strings.iter().enumerate() {
            writeln!(self.out, "string {n}: {string:?}")?;
        }
        for probe in &self.program.probes {
            let attach: Vec<&str> = probe.attach.iter().map(|a| a.name.as_str()).collect();
            writeln!(self.out, "probe {} at {} ({})", probe.name, attach.join(", "), probe.section)?;
            for (n, variable) in probe.variables.iter().enumerate() {
                writeln!(self.out, "  var {n}{}: {}", named(&variable.name), self.ty(&variable.ty))?;
            }
            self.stmts(&probe.body, 1)?;
        }
        Ok(())
    }

    fn layouts(&self) -> &Layouts {
        &self.program.layouts
    }

    fn ty(&self, ty: &Type) -> String {
        Spelled(ty, self.layouts()).to_string()
    }

    fn stmts(&mut self, stmts: &[Stmt], depth: usize) -> fmt::Result {
        stmts.iter().try_for_each(|stmt| self.stmt(stmt, depth))
    }

    fn line(&mut self, depth: usize, text: &str) -> fmt::Result {
        writeln!(self.out, "{:1$}{text}", "", depth * 2)
    }

    fn stmt(&mut self, stmt: &Stmt, depth: usize) -> fmt::Result {
        match &stmt.kind {
            StmtKind::Expr(e) => {
                let text = self.expr(e);
                self.line(depth, &text)
            }
            StmtKind::SetVar { var, value } => {
                let text = format!("v{} = {}", var.0, self.expr(value));
                self.line(depth, &text)
            }
            StmtKind::SetMap { map, key, value } => {
                let text = format!("{} = {}", self.map(*map, key.as_ref()), self.expr(value));
                self.line(depth, &text)
            }
            StmtKind::Aggregate { map, key, value, weight } => {
                let mut text = format!("gather {}", self.map(*map, key.as_ref()));
                for part in value.iter().chain(weight) {
                    let _ = write!(text, " {}", self.expr(part));
                }
                self.line(depth, &text)
            }
            StmtKind::If { condition, then, otherwise } => {
                let text = format!("if {}", self.expr(condition));
                self.line(depth, &text)?;
                self.stmts(then, depth + 1)?;
                if !otherwise.is_empty() {
                    self.line(depth, "else")?;
                    self.stmts(otherwise, depth + 1)?;
                }
                Ok(())
            }
            StmtKind::While { condition, body } => {
                let text = format!("while {}", self.expr(condition));
                self.line(depth, &text)?;
                self.stmts(body, depth + 1)
            }
            StmtKind::ForRange { var, start, end, body } => {
                let text = format!("for v{} in {}..{}", var.0, self.expr(start), self.expr(end));
                self.line(depth, &text)?;
                self.stmts(body, depth + 1)
            }
            StmtKind::ForMap { var, map, body } => {
                let text = format!("for v{} in {}", var.0, self.map(*map, None));
                self.line(depth, &text)?;
                self.stmts(body, depth + 1)
            }
            StmtKind::Break => self.line(depth, "break"),
            StmtKind::Continue => self.line(depth, "continue"),
            StmtKind::Return(value) => {
                let text = match value {
                    Some(value) => format!("return {}", self.expr(value)),
                    None => "return".to_owned(),
                };
                self.line(depth, &text)
            }
            StmtKind::Emit { event, args } => {
                let text = format!("emit {}({})", event.0, self.list(args));
                self.line(depth, &text)
            }
            StmtKind::SeqWrite(text) => {
                let text = format!("write {}", self.expr(text));
                self.line(depth, &text)
            }
            StmtKind::SeqPrintf { format, args } => {
                let text = format!("write {format:?}({})", self.list(args));
                self.line(depth, &text)
            }
            StmtKind::Block(body) => {
                self.line(depth, "block")?;
                self.stmts(body, depth + 1)
            }
        }
    }

    fn map(&self, map: crate::image::MapId, key: Option<&Expr>) -> String {
        let name = self.program.maps.get(map.0 as usize).map_or("@?", |m| m.name.as_str());
        match key {
            Some(key) => format!("{name}[{}]", self.expr(key)),
            None => name.to_owned(),
        }
    }

    fn list(&self, list: &[Expr]) -> String {
        let texts: Vec<String> = list.iter().map(|e| self.expr(e)).collect();
        texts.join(", ")
    }

    /// An expression; its type stands where it is not that of its parts.
    fn expr(&self, e: &Expr) -> String {
        let ty = || self.ty(&e.ty);
        match &e.kind {
            ExprKind::Const(bits) => match e.ty.as_int() {
                Some(int) if int.signed => format!("{}:{}", bits.cast_signed(), ty()),
                _ => format!("{bits}:{}", ty()),
            },
            ExprKind::Bytes(bytes) => format!("{:?}:{}", String::from_utf8_lossy(bytes), ty()),
            ExprKind::Var(var) => format!("v{}", var.0),
            ExprKind::MapGet { map, key } => format!("{}:{}", self.map(*map, key.as_deref()), ty()),
            ExprKind::MapHas { map, key } => format!("has {}", self.map(*map, Some(key))),
            ExprKind::MapFind { map, key, var } => {
                format!("find {} in v{}", self.map(*map, Some(key)), var.0)
            }
            ExprKind::MapDelete { map, key } => format!("delete {}", self.map(*map, key.as_deref())),
            ExprKind::MapLen(map) => format!("len {}", self.map(*map, None)),
            ExprKind::MapAdd { map, key, delta, old } => {
                let which = if *old { "old" } else { "new" };
                format!("{which}({} += {})", self.map(*map, key.as_deref()), self.expr(delta))
            }
            ExprKind::VarAdd { var, delta, old } => {
                let which = if *old { "old" } else { "new" };
                format!("{which}(v{} += {})", var.0, self.expr(delta))
            }
            ExprKind::Load(place) => format!("load {}:{}", self.place(place), ty()),
            ExprKind::AddressOf(place) => format!("&{}", self.place(place)),
            ExprKind::ContextPointer => "ctx".to_owned(),
            ExprKind::TaskIds => "taskids".to_owned(),
            // The number is another one in every kernel.
            ExprKind::PerCpu { cpu, .. } => {
                format!("percpu({})", cpu.as_ref().map_or_else(String::new, |cpu| self.expr(cpu)))
            }
            ExprKind::Helper { id, args } => format!("helper{id}({}):{}", self.list(args), ty()),
            ExprKind::SkbOutput { event, packet, length, head } => format!(
                "packet event{}({}, {}; {})",
                event.0,
                self.expr(packet),
                self.expr(length),
                self.list(head)
            ),
            ExprKind::Call { function, args } | ExprKind::Kfunc { function, args } => {
                format!("{}({}):{}", function.name, self.list(args), ty())
            }
            ExprKind::Fill { id, args } => format!("fill{id}({}):{}", self.list(args), ty()),
            ExprKind::Global(global) => global.symbol().to_owned(),
            ExprKind::ReadString { address, len, space } => {
                let len = len.as_ref().map_or(String::new(), |len| format!(", {}", self.expr(len)));
                format!("str{}({}{len}):{}", space_name(*space), self.expr(address), ty())
            }
            ExprKind::TaskName { tid, .. } => format!("comm({})", self.expr(tid)),
            ExprKind::KernelPath(path) => format!("path {}:{}", self.place(path), ty()),
            ExprKind::ReadBuffer { address, len, space } => {
                format!("buf{}({}, {}):{}", space_name(*space), self.expr(address), self.expr(len), ty())
            }
            ExprKind::Pack(parts) => {
                let parts: Vec<String> =
                    parts.iter().map(|(offset, e)| format!("{offset}: {}", self.expr(e))).collect();
                format!("pack{{{}}}:{}", parts.join(", "), ty())
            }
            ExprKind::Stack => format!("stack:{}", ty()),
            ExprKind::Reinterpret(inner) => format!("bytes({}):{}", self.expr(inner), ty()),
            ExprKind::Cast(inner) => format!("({}){}", ty(), self.expr(inner)),
            ExprKind::Unary { op, operand } => format!("{}{}", unary(*op), self.expr(operand)),
            ExprKind::Binary { op, left, right } => {
                format!("({} {} {})", self.expr(left), binary(*op), self.expr(right))
            }
            ExprKind::StringEqual { left, right, limit, negate } => {
                let op = if *negate { "!=" } else { "==" };
                let limit = limit.map_or(String::new(), |n| format!(" in {n}"));
                format!("({} str{op} {}{limit})", self.expr(left), self.expr(right))
            }
            ExprKind::BytesOrder { left, right, count } => {
                format!("order({}, {}, {})", self.expr(left), self.expr(right), self.expr(count))
            }
            ExprKind::StringLength(text) => format!("length({})", self.expr(text)),
            ExprKind::StringFind { haystack, needle } => {
                format!("find({}, {})", self.expr(haystack), self.expr(needle))
            }
            ExprKind::StringConcat(left, right) => {
                format!("concat({}, {}):{}", self.expr(left), self.expr(right), ty())
            }
            ExprKind::Name { names, number } => {
                format!("name({}, {:?}):{}", self.expr(number), names.otherwise, ty())
            }
            ExprKind::BytesEqual { left, right, negate } => {
                let op = if *negate { "!=" } else { "==" };
                format!("({} bytes{op} {})", self.expr(left), self.expr(right))
            }
            ExprKind::And(left, right) => format!("({} && {})", self.expr(left), self.expr(right)),
            ExprKind::Or(left, right) => format!("({} || {})", self.expr(left), self.expr(right)),
            ExprKind::Select { condition, then, otherwise } => {
                format!("({} ? {} : {})", self.expr(condition), self.expr(then), self.expr(otherwise))
            }
            ExprKind::Block { body, value } => {
                let mut text = String::new();
                let _ = Dump { program: self.program, out: &mut text }.stmts(body, 0);
                let lines: Vec<&str> = text.lines().map(str::trim).collect();
                format!("{{ {}; {} }}", lines.join("; "), self.expr(value))
            }
            ExprKind::Part { base, offset } => format!("{}@{offset}:{}", self.expr(base), ty()),
            ExprKind::Element { base, index } => format!("{}[{}]", self.expr(base), self.expr(index)),
            ExprKind::String(id) => format!("string{}", id.0),
            ExprKind::ProbeName => "probe".to_owned(),
            ExprKind::ProbeText(number) => format!("text({}):{}", self.expr(number), ty()),
        }
    }

    fn place(&self, place: &Place) -> String {
        match &place.kind {
            PlaceKind::Deref { pointer, space } => {
                format!("*{}({})", space_name(*space), self.expr(pointer))
            }
            PlaceKind::Context { offset } => format!("ctx+{offset}"),
            PlaceKind::Field { base, field } => format!("{}.{}", self.place(base), field.name),
            PlaceKind::Index { base, index } => format!("{}[{}]", self.place(base), self.expr(index)),
            PlaceKind::Variable(var) => format!("v{}", var.0),
            PlaceKind::MapValue { map, key } => self.map(*map, key.as_deref()),
            PlaceKind::Map(map) => format!("map {}", self.map(*map, None)),
            PlaceKind::Part { base, offset } => format!("{}@{offset}", self.place(base)),
        }
    }
}

fn named(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" ${name}") }
}

fn space_name(space: Space) -> &'static str {
    match space {
        Space::Unknown => "?",
        Space::Kernel => "k",
        Space::User => "u",
        Space::Bpf => "b",
    }
}

fn unary(op: Unary) -> &'static str {
    match op {
        Unary::Neg => "-",
        Unary::Not => "!",
        Unary::Invert => "~",
    }
}

fn binary(op: Binary) -> &'static str {
    match op {
        Binary::Add => "+",
        Binary::Sub => "-",
        Binary::Mul => "*",
        Binary::Div => "/",
        Binary::Rem => "%",
        Binary::And => "&",
        Binary::Or => "|",
        Binary::Xor => "^",
        Binary::Shl => "<<",
        Binary::Shr => ">>",
        Binary::Eq => "==",
        Binary::Ne => "!=",
        Binary::Lt => "<",
        Binary::Le => "<=",
        Binary::Gt => ">",
        Binary::Ge => ">=",
    }
}
