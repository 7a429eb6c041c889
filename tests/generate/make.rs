//! Makes programs: types first, then expressions of these types, then statements around them.

use crate::ast::{Expr, I64, INTS, Int, Kind, Macro, Probe, Program, Stmt, Ty, U64, arithmetic};
use crate::eval::OPERATORS;
use crate::opaque;
use crate::random::Random;

/// Where probes can be put on this machine.
#[derive(Clone, Debug, Default)]
pub struct Places {
    pub kprobe: bool,
    pub fentry: bool,
    /// A program with a USDT probe `generated:mark` of three arguments.
    pub usdt: Option<String>,
}

/// What programs are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// All that they print can be foretold.
    Foretold,
    /// They have to load, whatever they print.
    Loaded,
}

#[derive(Clone)]
pub struct Map {
    pub name: String,
    pub key: Option<Ty>,
    pub value: Ty,
    /// What it gathers, if it is one of those.
    pub gathers: Option<&'static str>,
}

pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) ty: Ty,
    /// It was declared with its type, which no assignment changes.
    pub(crate) fixed: bool,
    /// Loops depend on it: it is only read.
    pub(crate) read_only: bool,
}

pub struct Maker {
    pub random: Random,
    pub aim: Aim,
    pub maps: Vec<Map>,
    pub max_strlen: u32,
    pub(crate) scopes: Vec<Vec<Variable>>,
    macros: Vec<Macro>,
    pub(crate) places: Places,
    /// The probe that is being made has a result.
    pub(crate) tests: bool,
    /// What its arguments are, as templates.
    pub(crate) arguments: &'static [opaque::Template],
    /// An iterator, which has no process of its own.
    pub(crate) iterator: bool,
    names: u32,
    pub(crate) loops: u32,
    /// How many times the innermost body is run.
    pub(crate) rounds: u32,
    /// How much of the program is still to be made.
    pub(crate) fuel: i32,
    /// In a block that is a value: nothing may leave it.
    pub(crate) in_value: u32,
    /// In a key of what is read: no further maps there.
    in_key: u32,
}

/// A program of a seed.
pub fn program(seed: u64, aim: Aim, places: &Places) -> Program {
    let mut random = Random::new(seed);
    let max_strlen = *random.pick(&[1024, 1024, 1024, 64, 200, 5000]);
    let fuel = *random.pick(&[40, 120, 250]);
    let mut maker = Maker {
        random,
        aim,
        maps: vec![],
        max_strlen,
        scopes: vec![],
        macros: vec![],
        places: places.clone(),
        tests: false,
        arguments: &[],
        iterator: false,
        names: 0,
        loops: 0,
        rounds: 1,
        fuel,
        in_value: 0,
        in_key: 0,
    };
    maker.program()
}

impl Maker {
    pub(crate) fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.random.once_in(n)
    }

    pub fn loaded(&self) -> bool {
        self.aim == Aim::Loaded
    }

    // Types

    pub fn any_int(&mut self) -> Int {
        *self.random.pick(&INTS)
    }

    pub(crate) fn scalar(&mut self) -> Ty {
        if self.once_in(5) { Ty::Bool } else { Ty::Int(self.any_int()) }
    }

    pub(crate) fn string(&mut self) -> Ty {
        let most = self.max_strlen;
        Ty::Str((*self.random.pick(&[4, 8, 13, 16, 33, 64, 200])).min(most))
    }

    pub(crate) fn value_type(&mut self, depth: u32) -> Ty {
        match self.random.below(10) {
            0 | 1 => self.string(),
            2 if depth > 0 => {
                let count = 1 + self.random.below(4);
                // One element is only a tuple with a comma, which is tried now and then.
                Ty::Tuple((0..count.max(2)).map(|_| self.value_type(depth - 1)).collect())
            }
            3 if depth > 0 => {
                let count = 1 + self.random.below(3);
                Ty::Record((0..count).map(|n| (format!("f{n}"), self.value_type(depth - 1))).collect())
            }
            _ => self.scalar(),
        }
    }

    pub(crate) fn key_type(&mut self) -> Ty {
        match self.random.below(7) {
            0 => self.string(),
            6 => Ty::Record(vec![("a".to_owned(), self.scalar()), ("b".to_owned(), self.string())]),
            1 => {
                let count = 2 + self.random.below(2);
                Ty::Tuple(
                    (0..count).map(|_| if self.once_in(3) { self.string() } else { self.scalar() }).collect(),
                )
            }
            _ => Ty::Int(self.any_int()),
        }
    }

    // Expressions

    /// A number of an interesting size.
    fn literal(&mut self, int: Int) -> i128 {
        let bits = 8 * u32::from(int.size);
        let n = match self.random.below(6) {
            0 => 0,
            1 => i128::from(self.random.next() % 4),
            2 => i128::from(self.random.next() % 100),
            3 => (1i128 << self.random.below(bits as usize + 1)) - i128::from(self.random.next() % 3),
            4 => -i128::from(self.random.next() % 200),
            _ => i128::from(self.random.next()),
        };
        crate::ast::cut(n, int)
    }

    /// A number with a type that does not give way.
    fn typed_literal(&mut self, int: Int) -> Expr {
        // A literal itself has 64 bits, and is at least `-2^63`.
        let n = self.literal(int);
        Expr::int(n).cast(&Ty::Int(int))
    }

    pub fn text(&mut self, longest: usize) -> String {
        let len = self.random.below(longest + 1);
        const LETTERS: &[u8] = b"abcxyzABC019_-+.,:;/()[]{}<>!?$@#%^&*=~|'";
        (0..len).map(|_| char::from(*self.random.pick(LETTERS))).filter(|c| *c != '#').collect()
    }

    pub fn expr(&mut self, ty: &Ty, depth: u32) -> Expr {
        self.fuel -= 1;
        let depth = if self.fuel < 0 { 0 } else { depth };
        if (depth == 0 || self.once_in(3))
            && let Some(found) = self.existing(ty)
        {
            return found;
        }
        if depth > 0 && self.once_in(12) {
            let condition = self.expr(&Ty::Bool, depth - 1);
            let (a, b) = (self.expr(ty, depth - 1), self.expr(ty, depth - 1));
            return Expr::new(Kind::Choose(Box::new(condition), Box::new(a), Box::new(b)), ty.clone());
        }
        if depth > 1 && self.once_in(16) {
            return self.block_value(ty, depth - 1);
        }
        if depth > 0
            && self.loaded()
            && self.once_in(3)
            && let Some(made) = opaque::value(self, ty)
        {
            return made;
        }
        match ty {
            Ty::Bool => self.boolean(depth),
            Ty::Int(int) => self.integer(*int, depth),
            Ty::Str(size) => {
                let text = self.text(*size as usize - 1);
                let literal = Expr::new(Kind::Text(text.clone()), Ty::Str(text.len() as u32 + 1));
                if literal.ty == *ty { literal } else { literal.cast(ty) }
            }
            Ty::Tuple(types) => {
                let parts = types.iter().map(|ty| self.expr(ty, depth.saturating_sub(1))).collect();
                Expr::new(Kind::Tuple(parts), ty.clone())
            }
            Ty::Record(fields) => {
                let part = |(name, ty): &(String, Ty)| (name.clone(), self.expr(ty, depth.saturating_sub(1)));
                Expr::new(Kind::Record(fields.iter().map(part).collect()), ty.clone())
            }
            Ty::Other(name) => opaque::other(self, name),
        }
    }

    /// Something of that type that is there already: a variable, a map's value, a part of one of these.
    fn existing(&mut self, ty: &Ty) -> Option<Expr> {
        let mut found: Vec<Expr> = vec![];
        for variable in self.scopes.iter().flatten() {
            let whole = Expr::var(&variable.name, &variable.ty);
            if variable.ty == *ty {
                found.push(whole);
            } else {
                found.extend(parts(&whole).into_iter().filter(|part| part.ty == *ty));
            }
        }
        let maps: Vec<(String, Option<Ty>)> = self
            .maps
            .iter()
            .filter(|map| map.value == *ty && map.gathers.is_none_or(readable))
            .filter(|_| self.in_key == 0)
            .map(|map| (map.name.clone(), map.key.clone()))
            .collect();
        if !maps.is_empty() && (found.is_empty() || self.once_in(2)) {
            let (name, key) = self.random.pick(&maps).clone();
            self.in_key += 1;
            let key = key.map(|key| Box::new(self.expr(&key, 0)));
            self.in_key -= 1;
            return Some(Expr::new(Kind::Map(name, key), ty.clone()));
        }
        if found.is_empty() { None } else { Some(self.random.pick(&found).clone()) }
    }

    fn block_value(&mut self, ty: &Ty, depth: u32) -> Expr {
        self.scopes.push(vec![]);
        self.in_value += 1;
        let count = 1 + self.random.below(2);
        let mut body = vec![];
        for _ in 0..count {
            let declaration = self.declaration(depth.min(1));
            body.push(declaration);
        }
        let value = self.expr(ty, depth);
        self.in_value -= 1;
        self.scopes.pop();
        Expr::new(Kind::Block(body, Box::new(value)), ty.clone())
    }

    /// Two numbers for an operator; at most one of them is a bare literal.
    fn operands(&mut self, depth: u32) -> (Expr, Expr) {
        let (a, b) = (self.scalar(), self.scalar());
        let (mut a, mut b) = (self.expr(&a, depth), self.expr(&b, depth));
        if a.gives_way() && matches!(a.kind, Kind::Int(_)) {
            a = a.cast(&U64);
        }
        match self.random.below(6) {
            0 => b = Expr::int(i128::from(self.random.next() % 300) - 40),
            1 => a = Expr::int(i128::from(self.random.next() % 300)),
            _ => {}
        }
        // Two literals would be calculated with as they are written.
        let bare = |e: &Expr| matches!(e.kind, Kind::Int(_) | Kind::Bool(_));
        if (bare(&a) || a.ty == Ty::Bool) && (bare(&b) || b.ty == Ty::Bool) {
            a = a.cast(&Ty::Int(Int::U8));
        }
        (a, b)
    }

    fn integer(&mut self, int: Int, depth: u32) -> Expr {
        let ty = Ty::Int(int);
        if depth == 0 {
            return self.typed_literal(int);
        }
        let fitting = |made: Expr| if made.ty == ty { made } else { made.cast(&ty) };
        match self.random.below(14) {
            0 => self.typed_literal(int),
            12 | 13 => match self.addressed() {
                Some(read) => fitting(read),
                None => self.typed_literal(int),
            },
            1 | 2 => {
                let from = self.scalar();
                self.expr(&from, depth - 1).cast(&ty)
            }
            3 => {
                let from = Ty::Int(self.any_int());
                let operand = self.expr(&from, depth - 1);
                let symbol = *self.random.pick(&["-", "~"]);
                let signed = operand.number().is_some_and(|int| int.signed) || symbol == "-";
                let wide = if signed { I64 } else { U64 };
                // Of a literal it would be another literal.
                let operand =
                    if matches!(operand.kind, Kind::Int(_)) { operand.cast(&from) } else { operand };
                fitting(Expr::new(Kind::Unary(symbol, Box::new(operand)), wide))
            }
            4 => match self.stepped() {
                Some(step) => fitting(step),
                None => self.typed_literal(int),
            },
            5 => match self.macro_call(depth) {
                Some(call) => fitting(call),
                None => self.typed_literal(int),
            },
            6 => fitting(self.called(depth)),
            _ => {
                let symbol = *self.random.pick(&OPERATORS);
                let (a, b) = self.operands(depth - 1);
                let result = arithmetic(symbol, &a, &b).unwrap_or(Int::U64);
                fitting(Expr::new(Kind::Binary(symbol, Box::new(a), Box::new(b)), Ty::Int(result)))
            }
        }
    }

    fn boolean(&mut self, depth: u32) -> Expr {
        if depth == 0 {
            return Expr::new(Kind::Bool(self.once_in(2)), Ty::Bool);
        }
        let made = |kind| Expr::new(kind, Ty::Bool);
        match self.random.below(12) {
            10 if self.in_value == 0 => self.find().unwrap_or_else(|| made(Kind::Bool(false))),
            11 => self.decided(),
            0 => {
                let from = Ty::Int(self.any_int());
                self.expr(&from, depth - 1).cast(&Ty::Bool)
            }
            1 => {
                let of = self.scalar();
                let operand = self.expr(&of, depth - 1);
                made(Kind::Unary("!", Box::new(operand)))
            }
            2 | 3 => {
                let (a, b) = (self.scalar(), self.scalar());
                let (a, b) = (self.expr(&a, depth - 1), self.expr(&b, depth - 1));
                let symbol = *self.random.pick(&["&&", "||"]);
                made(Kind::Binary(symbol, Box::new(a), Box::new(b)))
            }
            4 => {
                let (a, b) = (self.string(), self.string());
                let (a, b) = (self.expr(&a, depth - 1), self.expr(&b, depth - 1));
                let symbol = *self.random.pick(&["==", "!="]);
                // Two literals are compared as they are written.
                made(Kind::Binary(symbol, Box::new(a), Box::new(b)))
            }
            7 => {
                let (a, b) = (self.string(), self.string());
                let args = vec![self.expr(&a, depth - 1), self.expr(&b, depth - 1)];
                made(Kind::Call("strcontains", args)).cast(&Ty::Bool)
            }
            5 => {
                let ty = Ty::Tuple(vec![self.scalar(), self.string()]);
                let (a, b) = (self.expr(&ty, depth - 1), self.expr(&ty, depth - 1));
                let symbol = *self.random.pick(&["==", "!="]);
                made(Kind::Binary(symbol, Box::new(a), Box::new(b)))
            }
            6 => {
                let keyed: Vec<(String, Ty)> =
                    self.maps.iter().filter_map(|m| Some((m.name.clone(), m.key.clone()?))).collect();
                if keyed.is_empty() {
                    return made(Kind::Bool(true));
                }
                let (name, key) = self.random.pick(&keyed).clone();
                let key = self.expr(&key, depth - 1);
                made(Kind::Call("has_key", vec![made(Kind::Map(name, None)), key]))
            }
            _ => {
                let symbol = *self.random.pick(&["==", "!=", "<", "<=", ">", ">="]);
                let (a, b) = self.operands(depth - 1);
                made(Kind::Binary(symbol, Box::new(a), Box::new(b)))
            }
        }
    }

    /// `++` and `--` of something of 64 bits, or of a variable that keeps its type.
    pub(crate) fn stepped(&mut self) -> Option<Expr> {
        let postfix = self.once_in(2);
        let mut places: Vec<(Expr, bool)> = self
            .scopes
            .iter()
            .flatten()
            .filter(|v| !v.read_only && v.ty.int().is_some() && (v.fixed || v.ty == I64 || v.ty == U64))
            .map(|v| (Expr::var(&v.name, &v.ty), v.fixed || v.ty == I64))
            .collect();
        let maps: Vec<(String, Option<Ty>, Ty)> = self
            .maps
            .iter()
            .filter(|m| m.gathers.is_none() && (m.value == I64 || m.value == U64))
            .map(|m| (m.name.clone(), m.key.clone(), m.value.clone()))
            .collect();
        if !maps.is_empty() {
            let (name, key, value) = self.random.pick(&maps).clone();
            let key = key.map(|key| Box::new(self.expr(&key, 1)));
            let down = value == I64;
            places.push((Expr::new(Kind::Map(name, key), value), down));
        }
        if places.is_empty() {
            return None;
        }
        let (place, down) = self.random.pick(&places).clone();
        let symbol = if down && self.once_in(2) { "--" } else { "++" };
        let ty = place.ty.clone();
        Some(Expr::new(Kind::Step { place: Box::new(place), symbol, postfix }, ty))
    }

    /// A variable or a map's value, read through its address. Of what changes its type nobody knows how much is read.
    fn addressed(&mut self) -> Option<Expr> {
        let fixed = self.scopes.iter().flatten().filter(|v| v.fixed && v.ty.int().is_some());
        let mut places: Vec<Expr> = fixed.map(|v| Expr::var(&v.name, &v.ty)).collect();
        let wide = |m: &&Map| m.gathers.is_none() && (m.value == I64 || m.value == U64);
        let maps: Vec<Map> = self.maps.iter().filter(wide).filter(|_| self.in_key == 0).cloned().collect();
        if !maps.is_empty() {
            let Map { name, key, value, .. } = self.random.pick(&maps).clone();
            self.in_key += 1;
            let key = key.map(|key| Box::new(self.expr(&key, 0)));
            self.in_key -= 1;
            places.push(Expr::new(Kind::Map(name, key), value));
        }
        let place = if places.is_empty() { return None } else { self.random.pick(&places).clone() };
        let ty = place.ty.clone();
        Some(Expr::new(Kind::Addressed(Box::new(place)), ty))
    }

    /// A look into a map whose value a variable gets.
    fn find(&mut self) -> Option<Expr> {
        let keyed: Vec<(String, Ty, Ty)> = self
            .maps
            .iter()
            .filter(|m| m.gathers.is_none() && self.in_key == 0)
            .filter_map(|m| Some((m.name.clone(), m.key.clone()?, m.value.clone())))
            .collect();
        let (map, key, value) = if keyed.is_empty() { return None } else { self.random.pick(&keyed).clone() };
        let fits = |v: &&Variable| v.fixed && !v.read_only && v.ty == value;
        let var = self.scopes.iter().flatten().find(fits).map(|v| Expr::var(&v.name, &v.ty))?;
        self.in_key += 1;
        let key = self.expr(&key, 1);
        self.in_key -= 1;
        Some(Expr::new(Kind::Find { map, key: Box::new(key), var: Box::new(var) }, Ty::Bool))
    }

    /// A condition that the compiler decides.
    pub(crate) fn decided(&mut self) -> Expr {
        let symbol = *self.random.pick(&["==", "!=", "<", "<=", ">", ">="]);
        let mut number = || Box::new(Expr::int(i128::from(self.random.next() % 4)));
        let (a, b) = (number(), number());
        let compared = Expr::new(Kind::Binary(symbol, a, b), Ty::Bool);
        Expr::new(Kind::Comptime(Box::new(compared)), Ty::Bool)
    }

    fn macro_call(&mut self, depth: u32) -> Option<Expr> {
        if self.macros.is_empty() {
            return None;
        }
        let definition = self.random.pick(&self.macros).clone();
        let mut args = vec![];
        for (name, ty) in &definition.params {
            if name.starts_with('$') {
                let mut variables = self.scopes.iter().flatten();
                let fits = variables.find(|v| !v.read_only && v.fixed && v.ty == *ty)?;
                args.push(Expr::var(&fits.name, ty));
            } else {
                let arg = self.expr(ty, depth - 1);
                // A literal would have no type of its own.
                args.push(if matches!(arg.kind, Kind::Cast(_) | Kind::Var(_)) { arg } else { arg.cast(ty) });
            }
        }
        Some(Expr::new(Kind::Macro(definition.name, args), definition.value.ty))
    }

    fn called(&mut self, depth: u32) -> Expr {
        match self.random.below(5) {
            3 => {
                let text = self.string();
                let text = self.expr(&text, depth - 1);
                // Of a literal it is one, too.
                Expr::new(Kind::Call("strlen", vec![text]), U64).cast(&U64)
            }
            4 => {
                let (a, b) = (self.string(), self.string());
                let args = vec![self.expr(&a, depth - 1), self.expr(&b, depth - 1)];
                Expr::new(Kind::Call("strstr", args), I64).cast(&I64)
            }
            0 => {
                let int = self.any_int();
                let arg = self.expr(&Ty::Int(int), depth - 1).cast(&Ty::Int(int));
                Expr::new(Kind::Call("bswap", vec![arg]), Ty::Int(Int { signed: false, ..int }))
            }
            1 => {
                let (a, b) = (self.string(), self.string());
                let (a, b) = (self.expr(&a, depth - 1), self.expr(&b, depth - 1));
                let count = Expr::int(i128::from(self.random.next() % 20));
                Expr::new(Kind::Call("strncmp", vec![a, b, count]), U64)
            }
            _ => {
                let keyed: Vec<String> =
                    self.maps.iter().filter(|m| m.key.is_some()).map(|m| m.name.clone()).collect();
                if keyed.is_empty() {
                    return self.typed_literal(Int::I64);
                }
                let map = Expr::new(Kind::Map(self.random.pick(&keyed).clone(), None), I64);
                Expr::new(Kind::Call("len", vec![map]), I64)
            }
        }
    }

    // Programs

    fn definition(&mut self) -> Macro {
        let (name, param, value) = (self.name("macro"), self.name("p"), self.name("q"));
        let (a, b) = (Ty::Int(self.any_int()), Ty::Int(self.any_int()));
        if self.once_in(4) {
            // The type of a literal is its own everywhere.
            let constant = self.any_int();
            let value = self.typed_literal(constant);
            return Macro { name: name.to_uppercase(), params: vec![], body: vec![], value, of_c: true };
        }
        let of_c = self.once_in(3);
        let mut params = vec![(param.clone(), a.clone()), (value.clone(), b.clone())];
        let mut body = vec![];
        if !of_c && self.once_in(2) {
            let var = self.name("$p");
            let ty = Ty::Int(self.any_int());
            params.push((var.clone(), ty.clone()));
            let bare = Expr::var(&param, &a);
            body.push(Stmt::Set { place: Expr::var(&var, &ty), op: "=", value: bare.cast(&ty) });
        }
        let symbol = *self.random.pick(&OPERATORS);
        let (left, right) = (Expr::var(&param, &a), Expr::var(&value, &b));
        let int = arithmetic(symbol, &left, &right).unwrap_or(Int::U64);
        let value = Expr::new(Kind::Binary(symbol, Box::new(left), Box::new(right)), Ty::Int(int));
        Macro { name, params, body, value, of_c }
    }

    fn program(&mut self) -> Program {
        let mut config = vec![("max_strlen".to_owned(), self.max_strlen.to_string())];
        if !self.loaded() || self.once_in(2) {
            config.push(("print_maps_on_exit".into(), "false".into()));
        }
        if self.once_in(3) {
            config.push(("on_stack_limit".into(), self.random.below(70).to_string()));
        }
        for _ in 0..self.random.below(3) {
            let definition = self.definition();
            self.macros.push(definition);
        }
        let count = if self.loaded() { 1 + self.random.below(3) } else { 1 };
        let mut probes = vec![];
        let tests = self.loaded() && self.once_in(8);
        for n in 0..count {
            let place = match n {
                _ if tests => opaque::test(n),
                0 => opaque::Place::plain("BEGIN"),
                _ => opaque::attach_point(self),
            };
            let opaque::Place { attach, arguments, iterator } = place;
            (self.tests, self.arguments, self.iterator) = (tests, arguments, iterator);
            let predicate = self.once_in(5).then(|| self.expr(&Ty::Bool, 2));
            self.fuel = self.fuel.max(30);
            let mut body = self.body(4);
            if tests {
                let result = self.any_int();
                body.push(Stmt::ReturnValue(self.typed_literal(result)));
            }
            probes.push(Probe { attach, predicate, body });
        }
        let mut maps = vec![];
        for n in 0..self.maps.len() {
            let (name, keyed, gathers) = {
                let map = &self.maps[n];
                (map.name.clone(), map.key.is_some(), map.gathers.is_some())
            };
            if keyed && self.once_in(4) {
                let lru = self.once_in(2);
                let kind = match (gathers, lru) {
                    (false, false) => "hash",
                    (false, true) => "lruhash",
                    (true, false) => "percpuhash",
                    (true, true) => "percpulruhash",
                };
                maps.push(format!("let {name} = {kind}({});", 1000 + self.random.below(1000)));
            }
        }
        let definitions = if self.loaded() { opaque::definitions() } else { vec![] };
        Program { config, definitions, maps, macros: std::mem::take(&mut self.macros), probes }
    }
}

/// Whether what is gathered can be read as a number.
pub fn readable(function: &str) -> bool {
    matches!(function, "count" | "sum" | "avg" | "min" | "max")
}

/// The parts of a tuple or record, and theirs.
fn parts(whole: &Expr) -> Vec<Expr> {
    let own: Vec<Expr> = match &whole.ty {
        Ty::Tuple(types) => {
            let part = |(n, ty): (usize, &Ty)| Expr::new(Kind::Part(Box::new(whole.clone()), n), ty.clone());
            types.iter().enumerate().map(part).collect()
        }
        Ty::Record(fields) => {
            let field = |(name, ty): &(String, Ty)| {
                Expr::new(Kind::Field(Box::new(whole.clone()), name.clone()), ty.clone())
            };
            fields.iter().map(field).collect()
        }
        _ => vec![],
    };
    let below: Vec<Expr> = own.iter().flat_map(parts).collect();
    own.into_iter().chain(below).collect()
}
