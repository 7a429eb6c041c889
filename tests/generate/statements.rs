//! Statements: each declares what it needs, and nothing but a condition makes one leave a loop or the program.

use crate::ast::{Expr, I64, Int, Kind, Stmt, Ty, U64};
use crate::make::{Maker, Map, Variable, readable};
use crate::opaque;

impl Maker {
    pub(crate) fn declaration(&mut self, depth: u32) -> Stmt {
        let ty = if self.loaded() && self.once_in(4) {
            Ty::Other(opaque::storable(self).to_owned())
        } else {
            self.value_type(2)
        };
        let value = self.expr(&ty, depth);
        let name = self.name("$v");
        let spelled = matches!(ty, Ty::Bool | Ty::Int(_) | Ty::Str(_));
        let fixed = spelled && !self.once_in(3);
        self.scope().push(Variable { name: name.clone(), ty: ty.clone(), fixed, read_only: false });
        if !fixed && self.once_in(2) {
            return Stmt::Set { place: Expr::var(&name, &ty), op: "=", value };
        }
        Stmt::Let { name, ty: fixed.then_some(ty), value: Some(value) }
    }

    pub(crate) fn scope(&mut self) -> &mut Vec<Variable> {
        if self.scopes.is_empty() {
            self.scopes.push(vec![]);
        }
        self.scopes.last_mut().expect("there is one")
    }

    pub(crate) fn body(&mut self, depth: u32) -> Vec<Stmt> {
        self.scopes.push(vec![]);
        let count = 1 + self.random.below(if depth > 2 { 10 } else { 4 });
        let mut body = vec![];
        for _ in 0..count {
            if self.fuel < 0 && !body.is_empty() {
                break;
            }
            self.stmt(depth, &mut body);
        }
        self.scopes.pop();
        body
    }

    /// The body of a loop of so many rounds.
    pub(crate) fn loop_body(&mut self, rounds: u32, depth: u32) -> Vec<Stmt> {
        let outer = self.rounds;
        self.rounds = outer.saturating_mul(rounds.max(1));
        self.loops += 1;
        let body = self.body(depth - 1);
        self.loops -= 1;
        self.rounds = outer;
        body
    }

    pub(crate) fn stmt(&mut self, depth: u32, out: &mut Vec<Stmt>) {
        self.fuel -= 1;
        let nested = depth > 0 && self.fuel > 0;
        let made = match self.random.below(22) {
            0..=3 => self.declaration(3),
            4 | 5 => match self.assignment() {
                Some(stmt) => stmt,
                None => self.declaration(2),
            },
            6..=8 => self.map_assignment(),
            9 => match self.stepped() {
                Some(step) => Stmt::Expr(step),
                None => self.map_assignment(),
            },
            10 | 11 if nested => {
                let of = self.scalar();
                let condition = if self.once_in(8) { self.decided() } else { self.expr(&of, 3) };
                let maps = self.maps.len();
                let then = self.body(depth - 1);
                let otherwise = if self.once_in(2) { self.body(depth - 1) } else { vec![] };
                if matches!(condition.kind, Kind::Comptime(_)) {
                    // What is left out gives no map its type.
                    self.maps.truncate(maps);
                }
                Stmt::If { condition, then, otherwise }
            }
            12 if nested && self.rounds < 200 => return self.while_loop(depth, out),
            13 if nested && self.rounds < 200 => self.range_loop(depth),
            14 if nested && self.rounds < 200 => match self.map_loop(depth, out) {
                Some(stmt) => stmt,
                None => self.printed(),
            },
            15 if nested && self.rounds < 50 => {
                let count = 1 + self.random.below(4) as u32;
                let outer = self.rounds;
                self.rounds *= count;
                let body = self.body(depth - 1);
                self.rounds = outer;
                Stmt::Unroll(count, body)
            }
            16 if nested => Stmt::Block(self.body(depth - 1)),
            17 if self.in_value == 0 && (self.loops > 0 || self.once_in(4)) => {
                // Only under a condition, so that what follows means something.
                let condition = self.expr(&Ty::Bool, 2);
                let leave = match self.random.below(3) {
                    0 if self.loops > 0 => Stmt::Break,
                    1 if self.loops > 0 => Stmt::Continue,
                    _ if self.loops > 0 && !self.once_in(3) => Stmt::Break,
                    _ if self.tests => {
                        let result = Ty::Int(self.any_int());
                        Stmt::ReturnValue(self.expr(&result, 2))
                    }
                    _ => Stmt::Return,
                };
                Stmt::If { condition, then: vec![leave], otherwise: vec![] }
            }
            18 if self.loaded() => opaque::statement(self),
            19 => match self.deletion() {
                Some(stmt) => stmt,
                None => self.printed(),
            },
            _ => self.printed(),
        };
        out.push(made);
    }

    pub(crate) fn assignment(&mut self) -> Option<Stmt> {
        let variables: Vec<(String, Ty, bool)> = self
            .scopes
            .iter()
            .flatten()
            .filter(|v| !v.read_only)
            .map(|v| (v.name.clone(), v.ty.clone(), v.fixed))
            .collect();
        if variables.is_empty() {
            return None;
        }
        let (name, ty, fixed) = self.random.pick(&variables).clone();
        let place = Expr::var(&name, &ty);
        if fixed && ty.int().is_some() && self.once_in(2) {
            let of = Ty::Int(self.any_int());
            let value = self.expr(&of, 2);
            return Some(Stmt::Set { place, op: self.compound(), value });
        }
        let value = self.expr(&ty, 3);
        Some(Stmt::Set { place, op: "=", value })
    }

    pub(crate) fn compound(&mut self) -> &'static str {
        self.random.pick::<&str>(&["+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="])
    }

    pub(crate) fn map_assignment(&mut self) -> Stmt {
        if self.maps.is_empty() || (self.maps.len() < 6 && self.once_in(3)) {
            return self.new_map();
        }
        let map = self.random.pick(&self.maps).clone();
        self.map_update(&map)
    }

    pub(crate) fn new_map(&mut self) -> Stmt {
        let name = self.name("@m");
        let key = if self.once_in(3) {
            None
        } else if self.loaded() && self.once_in(4) {
            Some(Ty::Other(opaque::key(self).to_owned()))
        } else {
            Some(self.key_type())
        };
        let (value, gathers) = if self.once_in(3) {
            let functions: &[&str] = if self.loaded() {
                &["count", "sum", "avg", "min", "max", "stats", "hist", "lhist", "tseries"]
            } else {
                &["count", "sum", "avg", "min", "max"]
            };
            let function = *self.random.pick(functions);
            let signed = function != "count" && self.once_in(2);
            (if signed { I64 } else { U64 }, Some(function))
        } else if self.loaded() && self.once_in(5) {
            (Ty::Other(opaque::storable(self).to_owned()), None)
        } else if self.once_in(3) {
            (I64, None)
        } else {
            (self.value_type(2), None)
        };
        // What it is first given must not depend on it.
        let map = Map { name, key, value, gathers };
        let update = self.map_update(&map);
        self.maps.push(map);
        update
    }

    pub(crate) fn map_update(&mut self, map: &Map) -> Stmt {
        let Map { name, key, value, gathers } = map.clone();
        let key = key.map(|key| Box::new(self.expr(&key, 2)));
        let place = Expr::new(Kind::Map(name, key), value.clone());
        if let Some(function) = gathers {
            let mut args = vec![];
            if function != "count" {
                // The sign is that of the map, or it would widen.
                let signed = value == I64;
                let int = Int { signed, ..self.any_int() };
                args.push(self.expr(&Ty::Int(int), 2).cast(&Ty::Int(int)));
            }
            if function == "lhist" {
                args.extend([0, 100, 10].map(Expr::int));
            }
            if function == "tseries" {
                args.extend([1_000_000_000, 5].map(Expr::int));
            }
            return Stmt::Gather { place, function, args };
        }
        if value == I64 && self.once_in(3) {
            let of = Ty::Int(self.any_int());
            let operand = self.expr(&of, 2);
            return Stmt::Set { place, op: self.compound(), value: operand };
        }
        let mut value = self.expr(&value, 3);
        // What one map gathers cannot be another's as it is.
        if let Kind::Map(name, _) = &value.kind
            && self.maps.iter().any(|m| m.name == *name && m.gathers.is_some())
        {
            let ty = value.ty.clone();
            value = value.cast(&ty);
        }
        Stmt::Set { place, op: "=", value }
    }

    pub(crate) fn deletion(&mut self) -> Option<Stmt> {
        let keyed: Vec<(String, Ty)> =
            self.maps.iter().filter_map(|m| Some((m.name.clone(), m.key.clone()?))).collect();
        if keyed.is_empty() {
            return None;
        }
        let (name, key) = self.random.pick(&keyed).clone();
        let key = self.expr(&key, 2);
        Some(Stmt::Delete(name, key))
    }

    /// A counter, and a loop that counts it up before anything else.
    pub(crate) fn while_loop(&mut self, depth: u32, out: &mut Vec<Stmt>) {
        let (name, count) = (self.name("$w"), self.random.below(if self.loaded() { 40 } else { 6 }) as u32);
        let counter = Expr::var(&name, &U64);
        out.push(Stmt::Let { name: name.clone(), ty: Some(U64), value: Some(Expr::int(0)) });
        self.scope().push(Variable { name, ty: U64, fixed: true, read_only: true });
        let condition = Kind::Binary("<", Box::new(counter.clone()), Box::new(Expr::int(count.into())));
        let mut body = self.loop_body(count, depth);
        let step = Kind::Step { place: Box::new(counter), symbol: "++", postfix: true };
        body.insert(0, Stmt::Expr(Expr::new(step, U64)));
        out.push(Stmt::While { condition: Expr::new(condition, Ty::Bool), body });
    }

    pub(crate) fn range_loop(&mut self, depth: u32) -> Stmt {
        let var = self.name("$i");
        let start = self.random.below(7) as i128 - 3;
        let count = self.random.below(if self.loaded() { 40 } else { 6 });
        let (mut from, mut to) = (Expr::int(start), Expr::int(start + count as i128));
        if self.once_in(3) {
            (from, to) = (from.cast(&Ty::Int(Int::I8)), to.cast(&Ty::Int(Int::I16)));
        }
        self.scopes.push(vec![Variable { name: var.clone(), ty: I64, fixed: true, read_only: true }]);
        let body = self.loop_body(count as u32, depth);
        self.scopes.pop();
        Stmt::Range { var, start: from, end: to, body }
    }

    pub(crate) fn map_loop(&mut self, depth: u32, out: &mut Vec<Stmt>) -> Option<Stmt> {
        let fits = |m: &&Map| m.key.is_some() && m.gathers.is_none_or(readable);
        if self.loaded() {
            let maps: Vec<(String, Ty)> = self
                .maps
                .iter()
                .filter(fits)
                .map(|m| (m.name.clone(), Ty::Tuple(m.key.iter().chain([&m.value]).cloned().collect())))
                .collect();
            let (map, entry) = if maps.is_empty() { return None } else { self.random.pick(&maps).clone() };
            let var = self.name("$kv");
            self.scopes.push(vec![Variable { name: var.clone(), ty: entry, fixed: true, read_only: true }]);
            let body = self.loop_body(10, depth);
            self.scopes.pop();
            return Some(Stmt::Each { var, map, body });
        }
        // In what order the kernel goes through a map nobody knows: only a sum can be foretold.
        let maps: Vec<(String, Ty, Ty)> = self
            .maps
            .iter()
            .filter(|m| m.gathers.is_none() && m.value.int().is_some())
            .filter_map(|m| Some((m.name.clone(), m.key.clone()?, m.value.clone())))
            .collect();
        let (map, key, value) = if maps.is_empty() { return None } else { self.random.pick(&maps).clone() };
        let (var, sum) = (self.name("$kv"), self.name("$sum"));
        out.push(Stmt::Let { name: sum.clone(), ty: Some(I64), value: Some(Expr::int(0)) });
        self.scope().push(Variable { name: sum.clone(), ty: I64, fixed: true, read_only: false });
        let entry = Expr::var(&var, &Ty::Tuple(vec![key, value.clone()]));
        let add = Expr::new(Kind::Part(Box::new(entry), 1), value);
        let body = vec![Stmt::Set { place: Expr::var(&sum, &I64), op: "+=", value: add }];
        Some(Stmt::Each { var, map, body })
    }

    pub(crate) fn printed(&mut self) -> Stmt {
        if self.loaded() && self.once_in(3) {
            return opaque::printed(self);
        }
        if self.once_in(2) {
            let ty = self.value_type(2);
            let value = self.expr(&ty, 3);
            // A map as a whole is read only when it is printed.
            if matches!(value.kind, Kind::Map(_, None)) && !self.loaded() {
                let ty = Ty::Tuple(vec![value.ty.clone(), Ty::Bool]);
                let whole = vec![value, Expr::new(Kind::Bool(true), Ty::Bool)];
                return Stmt::Print(Expr::new(Kind::Tuple(whole), ty));
            }
            return Stmt::Print(value);
        }
        let count = 1 + self.random.below(3);
        let (mut format, mut args) = (String::new(), vec![]);
        for _ in 0..count {
            if self.once_in(3) {
                format.push_str(self.random.pick::<&str>(&["%s ", "%10s|", "%-12s|"]));
                let ty = self.string();
                args.push(self.expr(&ty, 2));
            } else {
                let int = self.any_int();
                let decimal = *self.random.pick(if int.signed { &["d", "lld"] } else { &["u", "llu"] });
                let flags = *self.random.pick(&["", "5", "-6", "08", "3"]);
                format.push_str(&format!("%{flags}{decimal},"));
                let ty = Ty::Int(int);
                args.push(self.expr(&ty, 3));
            }
        }
        format.push('\n');
        Stmt::Printf(format, args)
    }
}
