//! What a program has to print: an interpreter of its own, which shares nothing with the compiler but the numbers'
//! ranges.

use std::collections::{BTreeMap, HashMap};

use crate::ast::{Expr, Int, Kind, Macro, Program, Stmt, Ty, arithmetic, comparison, cut};

/// More steps or lines are not worth waiting for, and might not fit in the ring buffer.
const MAX_STEPS: u32 = 20_000;
const MAX_LINES: usize = 120;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Val {
    Bool(bool),
    Int(i128),
    Text(String),
    Tuple(Vec<Val>),
    Record(Vec<(String, Val)>),
}

/// Why nothing is foretold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It depends on the machine, or on a variable that is not there (any more).
    Opaque,
    TooLong,
}

type Known<T> = Result<T, Unknown>;

enum Flow {
    Next,
    Break,
    Continue,
    Return,
}

/// What a map gathers.
#[derive(Clone, Default)]
struct Gathered {
    function: &'static str,
    signed: bool,
    count: i128,
    sum: i128,
    min: i128,
    max: i128,
}

impl Gathered {
    fn read(&self) -> i128 {
        match self.function {
            "count" => self.count,
            "sum" => cut(self.sum, word(self.signed)),
            "avg" => cut(self.sum, word(self.signed)) / self.count,
            "min" => self.min,
            _ => self.max,
        }
    }
}

fn word(signed: bool) -> Int {
    if signed { Int::I64 } else { Int::U64 }
}

struct Machine<'a> {
    macros: &'a [Macro],
    variables: HashMap<String, Val>,
    maps: HashMap<String, BTreeMap<Val, Val>>,
    gathered: HashMap<String, BTreeMap<Val, Gathered>>,
    lines: Vec<String>,
    steps: u32,
}

/// The lines that a program prints.
pub fn run(program: &Program) -> Known<Vec<String>> {
    let mut machine = Machine {
        macros: &program.macros,
        variables: HashMap::new(),
        maps: HashMap::new(),
        gathered: HashMap::new(),
        lines: vec![],
        steps: 0,
    };
    for probe in &program.probes {
        machine.variables.clear();
        if let Some(predicate) = &probe.predicate
            && !machine.truth(predicate)?
        {
            continue;
        }
        machine.body(&probe.body)?;
    }
    Ok(machine.lines)
}

impl Machine<'_> {
    fn step(&mut self) -> Known<()> {
        self.steps += 1;
        if self.steps > MAX_STEPS || self.lines.len() > MAX_LINES { Err(Unknown::TooLong) } else { Ok(()) }
    }

    fn body(&mut self, body: &[Stmt]) -> Known<Flow> {
        for stmt in body {
            match self.stmt(stmt)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn stmt(&mut self, stmt: &Stmt) -> Known<Flow> {
        self.step()?;
        match stmt {
            Stmt::Let { name, value, .. } => {
                if let Some(value) = value {
                    let value = self.eval(value)?;
                    self.variables.insert(name.clone(), value);
                }
            }
            Stmt::Set { place, op: "=", value } => {
                let value = converted(self.eval(value)?, &place.ty);
                self.store(place, value)?;
            }
            Stmt::Set { place, op, value } => {
                // Its key is worked out once, and first.
                let place = self.settled(place)?;
                let symbol =
                    OPERATORS.iter().find(|o| op.strip_suffix('=') == Some(**o)).ok_or(Unknown::Opaque)?;
                let int = arithmetic(symbol, &place, value).ok_or(Unknown::Opaque)?;
                let result = self.binary(symbol, &place, value, &Ty::Int(int))?;
                self.store(&place, converted(result, &place.ty))?;
            }
            Stmt::Gather { place, function, args } => self.gather(place, function, args)?,
            Stmt::Expr(e) | Stmt::Discard(e) => {
                self.eval(e)?;
            }
            Stmt::If { condition, then, otherwise } => {
                let body = if self.truth(condition)? { then } else { otherwise };
                return self.body(body);
            }
            Stmt::While { condition, body } => {
                while self.truth(condition)? {
                    self.step()?;
                    match self.body(body)? {
                        Flow::Break => break,
                        Flow::Return => return Ok(Flow::Return),
                        Flow::Next | Flow::Continue => {}
                    }
                }
            }
            Stmt::Range { var, start, end, body } => {
                let (start, end) = (self.integer(start)?, self.integer(end)?);
                // As signed numbers of 64 bits.
                for n in cut(start, Int::I64)..cut(end, Int::I64) {
                    self.step()?;
                    self.variables.insert(var.clone(), Val::Int(n));
                    match self.body(body)? {
                        Flow::Break => break,
                        Flow::Return => return Ok(Flow::Return),
                        Flow::Next | Flow::Continue => {}
                    }
                }
            }
            Stmt::Each { var, map, body } => {
                let entries = self.maps.get(map).cloned().unwrap_or_default();
                for (key, value) in entries {
                    self.step()?;
                    self.variables.insert(var.clone(), Val::Tuple(vec![key, value]));
                    match self.body(body)? {
                        Flow::Break => break,
                        Flow::Return => return Ok(Flow::Return),
                        Flow::Next | Flow::Continue => {}
                    }
                }
            }
            Stmt::Unroll(count, body) => {
                for _ in 0..*count {
                    // It is no loop: what leaves a loop leaves the one around it.
                    match self.body(body)? {
                        Flow::Next => {}
                        other => return Ok(other),
                    }
                }
            }
            Stmt::Block(body) => return self.body(body),
            Stmt::Break => return Ok(Flow::Break),
            Stmt::Continue => return Ok(Flow::Continue),
            Stmt::Return => return Ok(Flow::Return),
            // What a test makes of it is not printed by it.
            Stmt::ReturnValue(_) => return Err(Unknown::Opaque),
            Stmt::Print(e) => {
                let value = self.eval(e)?;
                let line = shown(&value);
                self.lines.extend(line.split('\n').map(str::to_owned));
            }
            Stmt::Printf(format, args) => {
                let args = args.iter().map(|e| self.eval(e)).collect::<Known<Vec<Val>>>()?;
                let line = formatted(format.trim_end_matches('\n'), &args)?;
                self.lines.push(line);
            }
            Stmt::Delete(map, key) => {
                let key = self.eval(key)?;
                self.maps.get_mut(map).map(|entries| entries.remove(&key));
                self.gathered.get_mut(map).map(|entries| entries.remove(&key));
            }
            Stmt::Opaque(..) => return Err(Unknown::Opaque),
        }
        Ok(Flow::Next)
    }

    /// A place whose key has been worked out.
    fn settled(&mut self, place: &Expr) -> Known<Expr> {
        let Kind::Map(name, Some(key)) = &place.kind else { return Ok(place.clone()) };
        let key = Expr::new(Kind::Known(self.eval(key)?), key.ty.clone());
        Ok(Expr::new(Kind::Map(name.clone(), Some(Box::new(key))), place.ty.clone()))
    }

    fn store(&mut self, place: &Expr, value: Val) -> Known<()> {
        match &place.kind {
            Kind::Var(name) => {
                self.variables.insert(name.clone(), value);
            }
            Kind::Map(name, key) => {
                let key = self.key(key.as_deref())?;
                self.maps.entry(name.clone()).or_default().insert(key, value);
            }
            _ => return Err(Unknown::Opaque),
        }
        Ok(())
    }

    fn key(&mut self, key: Option<&Expr>) -> Known<Val> {
        key.map_or(Ok(Val::Bool(false)), |key| self.eval(key))
    }

    fn gather(&mut self, place: &Expr, function: &'static str, args: &[Expr]) -> Known<()> {
        let Kind::Map(name, key) = &place.kind else { return Err(Unknown::Opaque) };
        let signed = args.first().and_then(Expr::number).is_some_and(|int| int.signed);
        let value = match args.first() {
            Some(e) => self.integer(e)?,
            None => 0,
        };
        let key = self.key(key.as_deref())?;
        if !matches!(function, "count" | "sum" | "avg" | "min" | "max") {
            // Not to be read.
            return Ok(());
        }
        let fresh = Gathered { function, signed, min: value, max: value, ..Gathered::default() };
        let entry = self.gathered.entry(name.clone()).or_default().entry(key).or_insert(fresh);
        entry.count += 1;
        entry.sum += value;
        (entry.min, entry.max) = (entry.min.min(value), entry.max.max(value));
        Ok(())
    }

    fn truth(&mut self, e: &Expr) -> Known<bool> {
        match self.eval(e)? {
            Val::Bool(b) => Ok(b),
            Val::Int(n) => Ok(n != 0),
            Val::Text(_) | Val::Tuple(_) | Val::Record(_) => Err(Unknown::Opaque),
        }
    }

    fn integer(&mut self, e: &Expr) -> Known<i128> {
        match self.eval(e)? {
            Val::Bool(b) => Ok(b.into()),
            Val::Int(n) => Ok(n),
            _ => Err(Unknown::Opaque),
        }
    }

    fn eval(&mut self, e: &Expr) -> Known<Val> {
        self.step()?;
        Ok(match &e.kind {
            Kind::Int(n) => Val::Int(*n),
            Kind::Bool(b) => Val::Bool(*b),
            Kind::Text(text) => Val::Text(text.clone()),
            Kind::Var(name) => self.variables.get(name).cloned().ok_or(Unknown::Opaque)?,
            Kind::Map(name, key) => {
                let key = self.key(key.as_deref())?;
                if let Some(gathered) = self.gathered.get(name) {
                    let read = gathered.get(&key).map_or(0, Gathered::read);
                    return Ok(converted(Val::Int(read), &e.ty));
                }
                let found = self.maps.get(name).and_then(|map| map.get(&key)).cloned();
                match found {
                    Some(value) => value,
                    None => zero(&e.ty)?,
                }
            }
            Kind::Cast(inner) => converted(self.eval(inner)?, &e.ty),
            Kind::Unary("!", a) => Val::Bool(!self.truth(a)?),
            Kind::Unary(symbol, a) => {
                let (n, int) = (self.integer(a)?, e.ty.int().ok_or(Unknown::Opaque)?);
                Val::Int(cut(if *symbol == "-" { -n } else { !n }, int))
            }
            Kind::Binary(symbol @ ("&&" | "||"), a, b) => {
                let first = self.truth(a)?;
                Val::Bool(if (*symbol == "&&") == first { self.truth(b)? } else { first })
            }
            Kind::Binary(symbol, a, b) => return self.binary(symbol, a, b, &e.ty),
            Kind::Choose(condition, a, b) => {
                let chosen = if self.truth(condition)? { a } else { b };
                converted(self.eval(chosen)?, &e.ty)
            }
            Kind::Tuple(parts) => Val::Tuple(parts.iter().map(|e| self.eval(e)).collect::<Known<_>>()?),
            Kind::Record(fields) => {
                let field = |(name, e): &(String, Expr)| Ok((name.clone(), self.eval(e)?));
                Val::Record(fields.iter().map(field).collect::<Known<_>>()?)
            }
            Kind::Part(whole, n) => match self.eval(whole)? {
                Val::Tuple(parts) => parts.get(*n).cloned().ok_or(Unknown::Opaque)?,
                _ => return Err(Unknown::Opaque),
            },
            Kind::Field(whole, name) => match self.eval(whole)? {
                Val::Record(fields) => {
                    let found = fields.into_iter().find(|(n, _)| n == name);
                    found.map(|(_, value)| value).ok_or(Unknown::Opaque)?
                }
                _ => return Err(Unknown::Opaque),
            },
            Kind::Block(body, value) => match self.body(body)? {
                Flow::Next => self.eval(value)?,
                _ => return Err(Unknown::Opaque),
            },
            Kind::Known(value) => value.clone(),
            Kind::Step { place, symbol, postfix } => {
                let place = &self.settled(place)?;
                let old = self.integer(place)?;
                let new = old + if *symbol == "++" { 1 } else { -1 };
                let new = cut(new, place.ty.int().ok_or(Unknown::Opaque)?);
                self.store(place, Val::Int(new))?;
                Val::Int(if *postfix { old } else { new })
            }
            Kind::Comptime(e) => self.eval(e)?,
            Kind::Addressed(place) => self.eval(place)?,
            Kind::Find { map, key, var } => {
                let key = self.eval(key)?;
                let found = self.maps.get(map).and_then(|entries| entries.get(&key)).cloned();
                if let Some(value) = &found {
                    self.store(var, converted(value.clone(), &var.ty))?;
                }
                Val::Bool(found.is_some())
            }
            Kind::Macro(name, args) => {
                let definition = self.macros.iter().find(|m| m.name == *name).ok_or(Unknown::Opaque)?;
                let (body, value) = expanded(definition, args);
                match self.body(&body)? {
                    Flow::Next => self.eval(&value)?,
                    _ => return Err(Unknown::Opaque),
                }
            }
            Kind::Call("has_key", args) => {
                let Some((Kind::Map(name, None), key)) = args.first().map(|m| &m.kind).zip(args.get(1))
                else {
                    return Err(Unknown::Opaque);
                };
                let key = self.eval(key)?;
                let plain = self.maps.get(name).is_some_and(|map| map.contains_key(&key));
                Val::Bool(plain || self.gathered.get(name).is_some_and(|map| map.contains_key(&key)))
            }
            Kind::Call("len", args) => {
                let Some(Kind::Map(name, None)) = args.first().map(|m| &m.kind) else {
                    return Err(Unknown::Opaque);
                };
                let count = self.maps.get(name).map_or(0, BTreeMap::len);
                Val::Int((count + self.gathered.get(name).map_or(0, BTreeMap::len)) as i128)
            }
            Kind::Call("strncmp", args) => {
                let values = args.iter().map(|e| self.eval(e)).collect::<Known<Vec<Val>>>()?;
                let [Val::Text(a), Val::Text(b), Val::Int(n)] = &values[..] else {
                    return Err(Unknown::Opaque);
                };
                let first =
                    |text: &str| text.bytes().take(usize::try_from(*n).unwrap_or(0)).collect::<Vec<u8>>();
                Val::Int((first(a) != first(b)).into())
            }
            Kind::Call(name @ ("strlen" | "strstr" | "strcontains"), args) => {
                let values = args.iter().map(|e| self.eval(e)).collect::<Known<Vec<Val>>>()?;
                match (*name, &values[..]) {
                    ("strlen", [Val::Text(text)]) => Val::Int(text.len() as i128),
                    ("strstr", [Val::Text(text), Val::Text(part)]) => {
                        Val::Int(text.find(part.as_str()).map_or(-1, |at| at as i128))
                    }
                    ("strcontains", [Val::Text(text), Val::Text(part)]) => {
                        Val::Bool(text.contains(part.as_str()))
                    }
                    _ => return Err(Unknown::Opaque),
                }
            }
            Kind::Call("bswap", args) => {
                let int = args.first().and_then(|e| e.ty.int()).ok_or(Unknown::Opaque)?;
                let n = self.integer(&args[0])?;
                let swapped = (cut(n, Int::U64) as u64).swap_bytes() >> (64 - 8 * u32::from(int.size));
                Val::Int(swapped.into())
            }
            Kind::Call(..) | Kind::Opaque(..) => return Err(Unknown::Opaque),
        })
    }

    fn binary(&mut self, symbol: &str, left: &Expr, right: &Expr, ty: &Ty) -> Known<Val> {
        let (a, b) = (self.eval(left)?, self.eval(right)?);
        let (Some(_), Some(_)) = (left.number(), right.number()) else {
            return match symbol {
                "==" => Ok(Val::Bool(a == b)),
                "!=" => Ok(Val::Bool(a != b)),
                _ => Err(Unknown::Opaque),
            };
        };
        let plain = |v: Val| match v {
            Val::Bool(b) => i128::from(b),
            Val::Int(n) => n,
            _ => 0,
        };
        let (a, b) = (plain(a), plain(b));
        if *ty == Ty::Bool && matches!(symbol, "==" | "!=" | "<" | "<=" | ">" | ">=") {
            let int = comparison(left, right).ok_or(Unknown::Opaque)?;
            let (a, b) = (cut(a, int), cut(b, int));
            return Ok(Val::Bool(match symbol {
                "==" => a == b,
                "!=" => a != b,
                "<" => a < b,
                "<=" => a <= b,
                ">" => a > b,
                _ => a >= b,
            }));
        }
        if *ty == Ty::Bool {
            return Ok(Val::Bool(
                match symbol {
                    "&" => a & b,
                    "|" => a | b,
                    _ => a ^ b,
                } != 0,
            ));
        }
        let int = arithmetic(symbol, left, right).ok_or(Unknown::Opaque)?;
        let (a, b) = (cut(a, int), cut(b, int));
        let result = match symbol {
            "+" => a + b,
            "-" => a - b,
            "*" => cut(a, Int::I64) * cut(b, Int::I64),
            // As BPF has it.
            "/" if b == 0 => 0,
            "%" if b == 0 => a,
            "/" => a / b,
            "%" => a % b,
            "&" => a & b,
            "|" => a | b,
            "^" => a ^ b,
            "<<" => (cut(a, Int::U64)) << (b & 63),
            ">>" => a >> (b & 63),
            _ => return Err(Unknown::Opaque),
        };
        Ok(Val::Int(cut(result, int)))
    }
}

pub const OPERATORS: [&str; 10] = ["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"];

/// A macro's body and value with the arguments in their places.
fn expanded(definition: &Macro, args: &[Expr]) -> (Vec<Stmt>, Expr) {
    let mut body = definition.body.clone();
    body.push(Stmt::Discard(definition.value.clone()));
    let argument = |name: &str| {
        let index = definition.params.iter().position(|(param, _)| param == name)?;
        args.get(index).cloned()
    };
    for stmt in &mut body {
        if let Stmt::Set { place, .. } = stmt
            && let Kind::Var(name) = &place.kind
            && let Some(arg) = argument(name)
        {
            *place = arg;
        }
    }
    crate::ast::expressions(&mut body, &mut |e| {
        if let Kind::Var(name) = &e.kind
            && let Some(arg) = argument(name)
        {
            *e = arg;
        }
        false
    });
    match body.pop() {
        Some(Stmt::Discard(value)) => (body, value),
        _ => (body, definition.value.clone()),
    }
}

/// What stands where nothing was assigned.
fn zero(ty: &Ty) -> Known<Val> {
    Ok(match ty {
        Ty::Bool => Val::Bool(false),
        Ty::Int(_) => Val::Int(0),
        Ty::Str(_) => Val::Text(String::new()),
        Ty::Tuple(types) => Val::Tuple(types.iter().map(zero).collect::<Known<_>>()?),
        Ty::Record(fields) => {
            Val::Record(fields.iter().map(|(name, ty)| Ok((name.clone(), zero(ty)?))).collect::<Known<_>>()?)
        }
        Ty::Other(_) => return Err(Unknown::Opaque),
    })
}

fn converted(value: Val, ty: &Ty) -> Val {
    match (value, ty) {
        (Val::Int(n), Ty::Int(int)) => Val::Int(cut(n, *int)),
        (Val::Bool(b), Ty::Int(_)) => Val::Int(b.into()),
        (Val::Int(n), Ty::Bool) => Val::Bool(n != 0),
        (value, _) => value,
    }
}

/// A value as `print` shows it.
fn shown(value: &Val) -> String {
    let list = |parts: Vec<String>| parts.join(", ");
    match value {
        Val::Bool(b) => b.to_string(),
        Val::Int(n) => n.to_string(),
        Val::Text(text) => text.clone(),
        Val::Tuple(parts) => format!("({})", list(parts.iter().map(shown).collect())),
        Val::Record(fields) => {
            format!(
                "{{ {} }}",
                list(fields.iter().map(|(name, v)| format!(".{name} = {}", shown(v))).collect())
            )
        }
    }
}

/// As `printf`: conversions with flags `-` and `0`, a width, and `d`, `u`, `lld`, `llu` or `s`.
fn formatted(format: &str, args: &[Val]) -> Known<String> {
    let (mut out, mut rest, mut args) = (String::new(), format, args.iter());
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let end = after.find(|c: char| c.is_ascii_alphabetic()).ok_or(Unknown::Opaque)?;
        let (spec, rest_of_it) = after.split_at(end);
        let conversion = &rest_of_it[..if rest_of_it.starts_with("ll") { 3 } else { 1 }];
        let text = match (args.next(), conversion) {
            // As in C, it shows an `int` without a length.
            (Some(Val::Int(n)), "d") => cut(*n, Int::I32).to_string(),
            (Some(Val::Int(n)), "u") => cut(*n, Int::U32).to_string(),
            (Some(Val::Int(n)), "lld") => cut(*n, Int::I64).to_string(),
            (Some(Val::Int(n)), "llu") => cut(*n, Int::U64).to_string(),
            (Some(Val::Text(text)), "s") => text.clone(),
            _ => return Err(Unknown::Opaque),
        };
        let (left, zeros) = (spec.starts_with('-'), spec.starts_with('0'));
        let width: usize = spec.trim_start_matches(['-', '0']).parse().unwrap_or(0);
        let missing = width.saturating_sub(text.len());
        match text.strip_prefix('-') {
            _ if left => out.extend([text.as_str(), &" ".repeat(missing)]),
            Some(digits) if zeros => out.extend(["-", &"0".repeat(missing), digits]),
            None if zeros => out.extend([&"0".repeat(missing), text.as_str()]),
            _ => out.extend([&" ".repeat(missing), text.as_str()]),
        }
        rest = &after[end + conversion.len()..];
    }
    out.push_str(rest);
    Ok(out)
}
