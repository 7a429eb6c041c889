//! A tree as text: one line a node that has statements below it, expressions in parentheses. It is what `-d ast`
//! prints and what the golden tests compare.

use std::fmt::{self, Display, Formatter, Write as _};

use super::ast::{
    Block, Expr, ExprKind, MacroParamKind, Range, Script, Stmt, StmtKind, TypeBase, TypeName, TypeSuffix,
    UnaryOp,
};

/// The whole script.
pub fn script(script: &Script) -> String {
    let mut dump = Dump { out: String::new(), indent: 0 };
    for definition in &script.definitions {
        dump.line(format_args!("(definition {:?} {:?})", definition.kind, definition.text));
    }
    for entry in &script.config {
        dump.line(format_args!("(config {} {})", entry.name, E(&entry.value)));
    }
    for import in &script.imports {
        dump.line(format_args!("(import {:?})", import.path));
    }
    for map in &script.maps {
        let args: String = map.args.iter().map(|arg| format!(" {}", E(arg))).collect();
        dump.line(format_args!("(map @{} {}{args})", map.name, map.kind));
    }
    for definition in &script.macros {
        let params: String = definition
            .params
            .iter()
            .map(|param| match param.kind {
                MacroParamKind::Variable => format!(" ${}", param.name),
                MacroParamKind::Map => format!(" @{}", param.name),
                MacroParamKind::Expr => format!(" {}", param.name),
                MacroParamKind::Rest => " ...".to_owned(),
            })
            .collect();
        dump.nested(format_args!("macro {}{params}", definition.name), &definition.body);
    }
    for probe in &script.probes {
        dump.line(format_args!("(probe{}", probe.name.iter().fold(String::new(), |_, n| format!(" {n}"))));
        dump.indent += 1;
        for point in &probe.attach_points {
            let parts: Vec<String> = point.parts.iter().map(|p| format!("{:?}", p.text)).collect();
            dump.line(format_args!("(attach {})", parts.join(" ")));
        }
        if let Some(predicate) = &probe.predicate {
            dump.line(format_args!("(predicate {})", E(predicate)));
        }
        dump.block(&probe.body);
        dump.close();
    }
    dump.out
}

struct Dump {
    out: String,
    indent: usize,
}

impl Dump {
    fn line(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.out, "{:1$}{text}", "", self.indent * 2);
    }

    /// Ends the node at the end of the last line.
    fn close(&mut self) {
        self.indent -= 1;
        self.out.pop();
        self.out.push_str(")\n");
    }

    fn block(&mut self, block: &Block) {
        for statement in &block.statements {
            self.stmt(statement);
        }
        if let Some(value) = &block.value {
            self.line(format_args!("(value {})", E(value)));
        }
    }

    fn nested(&mut self, head: fmt::Arguments<'_>, block: &Block) {
        self.line(format_args!("({head}"));
        self.indent += 1;
        self.block(block);
        self.close();
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Expr(e) => self.line(format_args!("{}", E(e))),
            StmtKind::Assign { place, op: None, value } => {
                self.line(format_args!("(= {} {})", E(place), E(value)));
            }
            StmtKind::Assign { place, op: Some(op), value } => {
                self.line(format_args!("({}= {} {})", op.symbol(), E(place), E(value)));
            }
            StmtKind::Discard(e) => self.line(format_args!("(discard {})", E(e))),
            StmtKind::Let { name, ty, value, .. } => {
                let ty = ty.as_ref().map(|t| format!(" : {}", T(t))).unwrap_or_default();
                let value = value.as_ref().map(|v| format!(" {}", E(v))).unwrap_or_default();
                self.line(format_args!("(let ${name}{ty}{value})"));
            }
            StmtKind::If { condition, then, otherwise } => {
                self.line(format_args!("(if {}", E(condition)));
                self.indent += 1;
                self.nested(format_args!("then"), then);
                if let Some(otherwise) = otherwise {
                    self.nested(format_args!("else"), otherwise);
                }
                self.close();
            }
            StmtKind::While { condition, body } => self.nested(format_args!("while {}", E(condition)), body),
            StmtKind::Unroll { count, body } => self.nested(format_args!("unroll {}", E(count)), body),
            StmtKind::For { variable, over: Range::Map(map), body, .. } => {
                self.nested(format_args!("for ${variable} {}", E(map)), body);
            }
            StmtKind::For { variable, over: Range::Numbers { start, end }, body, .. } => {
                self.nested(format_args!("for ${variable} {} .. {}", E(start), E(end)), body);
            }
            StmtKind::Return(None) => self.line(format_args!("(return)")),
            StmtKind::Return(Some(e)) => self.line(format_args!("(return {})", E(e))),
            StmtKind::Break => self.line(format_args!("(break)")),
            StmtKind::Continue => self.line(format_args!("(continue)")),
            StmtKind::Block(block) => self.nested(format_args!("block"), block),
            StmtKind::Error => self.line(format_args!("(error)")),
        }
    }
}

struct E<'a>(&'a Expr);

impl Display for E<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            ExprKind::Int(n) => write!(f, "{n}"),
            ExprKind::Bool(b) => write!(f, "{b}"),
            ExprKind::Str(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            ExprKind::Name(name) => f.write_str(name),
            ExprKind::Variable(name) => write!(f, "${name}"),
            ExprKind::Map { name, key: None } => write!(f, "@{name}"),
            ExprKind::Map { name, key: Some(key) } => write!(f, "@{name}[{}]", E(key)),
            ExprKind::Positional(n) => write!(f, "${n}"),
            ExprKind::PositionalCount => f.write_str("$#"),
            ExprKind::Call { name, args, .. } => list(f, &format!("call {name}"), args),
            ExprKind::Unary { op, operand } => {
                let op = match op {
                    UnaryOp::Neg => "neg",
                    UnaryOp::Not => "!",
                    UnaryOp::Invert => "~",
                    UnaryOp::Deref => "deref",
                    UnaryOp::AddressOf => "address-of",
                    UnaryOp::Comptime => "comptime",
                };
                write!(f, "({op} {})", E(operand))
            }
            ExprKind::Binary { op, left, right } => {
                write!(f, "({} {} {})", op.symbol(), E(left), E(right))
            }
            ExprKind::Step { place, delta, postfix } => {
                let op = if *delta > 0 { "++" } else { "--" };
                let when = if *postfix { "after" } else { "before" };
                write!(f, "({op} {when} {})", E(place))
            }
            ExprKind::Ternary { condition, then: Some(then), otherwise } => {
                write!(f, "(? {} {} {})", E(condition), E(then), E(otherwise))
            }
            ExprKind::Ternary { condition, then: None, otherwise } => {
                write!(f, "(?: {} {})", E(condition), E(otherwise))
            }
            ExprKind::Field { base, name, .. } => write!(f, "(. {} {name})", E(base)),
            ExprKind::TupleField { base, index } => write!(f, "(. {} {index})", E(base)),
            ExprKind::Index { base, index } => write!(f, "(index {} {})", E(base), E(index)),
            ExprKind::Tuple(items) => list(f, "tuple", items),
            ExprKind::Record(fields) => {
                f.write_str("(record")?;
                fields.iter().try_for_each(|(name, value)| write!(f, " {name}={}", E(value)))?;
                f.write_str(")")
            }
            ExprKind::Cast { ty, operand } => write!(f, "(cast <{}> {})", T(ty), E(operand)),
            ExprKind::TypeCall { name, ty, fields, .. } => {
                write!(f, "(call {name} <{}>", T(ty))?;
                fields.iter().try_for_each(|field| write!(f, " .{field}"))?;
                f.write_str(")")
            }
            ExprKind::Block(block) => {
                let mut dump = Dump { out: String::new(), indent: 0 };
                dump.block(block);
                write!(f, "(block {})", dump.out.lines().map(str::trim).collect::<Vec<_>>().join(" "))
            }
            ExprKind::Error => f.write_str("(error)"),
        }
    }
}

fn list(f: &mut Formatter<'_>, head: &str, items: &[Expr]) -> fmt::Result {
    write!(f, "({head}")?;
    items.iter().try_for_each(|item| write!(f, " {}", E(item)))?;
    f.write_str(")")
}

struct T<'a>(&'a TypeName);

impl Display for T<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0.base {
            TypeBase::Named { tag: Some(tag), name } => write!(f, "{} {name}", tag.keyword())?,
            TypeBase::Named { tag: None, name } => f.write_str(name)?,
            TypeBase::Of(e) => write!(f, "typeof {}", E(e))?,
        }
        self.0.suffixes.iter().try_for_each(|suffix| match suffix {
            TypeSuffix::Pointer => f.write_str("*"),
            TypeSuffix::Array(None) => f.write_str("[]"),
            TypeSuffix::Array(Some(n)) => write!(f, "[{n}]"),
            TypeSuffix::ArrayOf(name) => write!(f, "[{name}]"),
        })
    }
}
