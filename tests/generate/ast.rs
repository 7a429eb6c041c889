//! Programs as they are generated: each expression knows its type, so that only what fits is put together.

pub use bpftrace::types::Int;

#[derive(Clone, Debug, PartialEq)]
pub enum Ty {
    Bool,
    Int(Int),
    /// Of at most so many bytes, the NUL counted.
    Str(u32),
    Tuple(Vec<Ty>),
    Record(Vec<(String, Ty)>),
    /// A type that nothing is calculated with, as the language spells it where it can.
    Other(String),
}

pub const U64: Ty = Ty::Int(Int::U64);
pub const I64: Ty = Ty::Int(Int::I64);
pub const INTS: [Int; 8] = [Int::I8, Int::I16, Int::I32, Int::I64, Int::U8, Int::U16, Int::U32, Int::U64];

impl Ty {
    pub fn int(&self) -> Option<Int> {
        match self {
            Ty::Int(int) => Some(*int),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: Kind,
    pub ty: Ty,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Written as it is; negative ones with their sign.
    Int(i128),
    Bool(bool),
    Text(String),
    Var(String),
    Map(String, Option<Box<Expr>>),
    Cast(Box<Expr>),
    /// `-`, `~`, `!`
    Unary(&'static str, Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    Choose(Box<Expr>, Box<Expr>, Box<Expr>),
    Tuple(Vec<Expr>),
    Record(Vec<(String, Expr)>),
    Part(Box<Expr>, usize),
    Field(Box<Expr>, String),
    Block(Vec<Stmt>, Box<Expr>),
    /// `++` or `--`, before or after a variable or map.
    Step {
        place: Box<Expr>,
        symbol: &'static str,
        postfix: bool,
    },
    /// `comptime`: decided by the compiler.
    Comptime(Box<Expr>),
    /// What stands where the address of a variable or of a map's value leads.
    Addressed(Box<Expr>),
    /// `find(@map, key, $variable)`
    Find {
        map: String,
        key: Box<Expr>,
        var: Box<Expr>,
    },
    /// A macro's name and its arguments.
    Macro(String, Vec<Expr>),
    /// A function that is as good as an operator.
    Call(&'static str, Vec<Expr>),
    /// What the interpreter has worked out; no program has it.
    Known(crate::eval::Val),
    /// Text with a `#` for each argument; what it yields nobody foretells.
    Opaque(String, Vec<Expr>),
}

impl Expr {
    pub fn new(kind: Kind, ty: Ty) -> Expr {
        Expr { kind, ty }
    }

    pub fn int(n: i128) -> Expr {
        let fits = |int: &&Int| in_range(n, **int) && (int.signed || n > i128::from(i64::MAX));
        let int = INTS.iter().find(fits).copied().unwrap_or(Int::U64);
        Expr::new(Kind::Int(n), Ty::Int(int))
    }

    pub fn var(name: &str, ty: &Ty) -> Expr {
        Expr::new(Kind::Var(name.to_owned()), ty.clone())
    }

    pub fn cast(self, ty: &Ty) -> Expr {
        Expr::new(Kind::Cast(Box::new(self)), ty.clone())
    }

    /// Whether its sign gives way to the other side's, as that of literals does.
    pub fn gives_way(&self) -> bool {
        self.ty == Ty::Bool || matches!(self.kind, Kind::Int(n) if (0..=i128::from(i64::MAX)).contains(&n))
    }

    /// The integer that it is in a calculation.
    pub fn number(&self) -> Option<Int> {
        match self.ty {
            Ty::Bool => Some(Int::U8),
            ref ty => ty.int(),
        }
    }
}

/// The type in which two numbers are calculated with: 64 bits, signed if a side is or the result may be negative.
pub fn arithmetic(op: &str, left: &Expr, right: &Expr) -> Option<Int> {
    let (mut a, mut b) = (left.number()?.signed, right.number()?.signed);
    let shift = if left.ty == Ty::Bool { false } else { a };
    match (left.gives_way(), right.gives_way()) {
        (true, false) => a = b,
        (false, true) => b = a,
        _ => {}
    }
    let signed = match op {
        "<<" | ">>" => shift,
        _ => a || b || op == "-",
    };
    Some(if signed { Int::I64 } else { Int::U64 })
}

/// The type in which two numbers are compared: the smallest that holds both, int64 where there is none.
pub fn comparison(left: &Expr, right: &Expr) -> Option<Int> {
    let (a, b) = (left.number()?, right.number()?);
    if left.ty == Ty::Bool {
        return Some(if right.ty == Ty::Bool { Int::U8 } else { b });
    }
    if right.ty == Ty::Bool {
        return Some(a);
    }
    let size = a.size.max(b.size);
    if a.signed == b.signed {
        return Some(Int { size, signed: a.signed });
    }
    if left.gives_way() || right.gives_way() {
        let signed = (!left.gives_way() && a.signed) || (!right.gives_way() && b.signed);
        return Some(Int { size, signed });
    }
    let (signed, unsigned) = if a.signed { (a, b) } else { (b, a) };
    let size = if signed.size > unsigned.size { signed.size } else { (size * 2).min(8) };
    Some(Int { size, signed: true })
}

pub fn in_range(n: i128, int: Int) -> bool {
    let bits = u32::from(int.size) * 8;
    if int.signed {
        (-(1i128 << (bits - 1))..1i128 << (bits - 1)).contains(&n)
    } else {
        (0..1i128 << bits).contains(&n)
    }
}

/// A number cut to a type.
pub fn cut(n: i128, int: Int) -> i128 {
    let bits = u32::from(int.size) * 8;
    let low = n & ((1i128 << bits) - 1);
    if int.signed && low >> (bits - 1) != 0 { low - (1i128 << bits) } else { low }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Stmt {
    Let {
        name: String,
        ty: Option<Ty>,
        value: Option<Expr>,
    },
    /// `=`, `+=`, …
    Set {
        place: Expr,
        op: &'static str,
        value: Expr,
    },
    /// `@m[k] = count()` and the like.
    Gather {
        place: Expr,
        function: &'static str,
        args: Vec<Expr>,
    },
    Expr(Expr),
    Discard(Expr),
    If {
        condition: Expr,
        then: Vec<Stmt>,
        otherwise: Vec<Stmt>,
    },
    While {
        condition: Expr,
        body: Vec<Stmt>,
    },
    Range {
        var: String,
        start: Expr,
        end: Expr,
        body: Vec<Stmt>,
    },
    Each {
        var: String,
        map: String,
        body: Vec<Stmt>,
    },
    Unroll(u32, Vec<Stmt>),
    Block(Vec<Stmt>),
    Break,
    Continue,
    Return,
    /// From a probe that has a result.
    ReturnValue(Expr),
    Print(Expr),
    Printf(String, Vec<Expr>),
    Delete(String, Expr),
    Opaque(String, Vec<Expr>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Macro {
    pub name: String,
    /// With their sigils.
    pub params: Vec<(String, Ty)>,
    pub body: Vec<Stmt>,
    pub value: Expr,
    /// A `#define`, which has no body; one without parameters is called by its name alone.
    pub of_c: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    pub attach: String,
    pub predicate: Option<Expr>,
    pub body: Vec<Stmt>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    pub config: Vec<(String, String)>,
    pub definitions: Vec<String>,
    /// `let @m = hash(10);`
    pub maps: Vec<String>,
    pub macros: Vec<Macro>,
    pub probes: Vec<Probe>,
}

/// Calls `each` with all lists of statements, outer ones first, until it says that it is done.
pub fn blocks(body: &mut Vec<Stmt>, each: &mut dyn FnMut(&mut Vec<Stmt>) -> bool) -> bool {
    if each(body) {
        return true;
    }
    body.iter_mut().any(|stmt| match stmt {
        Stmt::If { then, otherwise, .. } => blocks(then, each) || blocks(otherwise, each),
        Stmt::While { body, .. } | Stmt::Range { body, .. } | Stmt::Each { body, .. } => blocks(body, each),
        Stmt::Unroll(_, body) | Stmt::Block(body) => blocks(body, each),
        _ => false,
    })
}

/// Calls `each` with all expressions, outer ones first, until it says that it is done.
pub fn expressions(body: &mut [Stmt], each: &mut dyn FnMut(&mut Expr) -> bool) -> bool {
    body.iter_mut().any(|stmt| match stmt {
        Stmt::Let { value, .. } => value.as_mut().is_some_and(|e| within(e, each)),
        Stmt::Set { place, value, .. } => keys(place, each) || within(value, each),
        Stmt::Gather { place, args, .. } => keys(place, each) || args.iter_mut().any(|e| within(e, each)),
        Stmt::Expr(e) | Stmt::Discard(e) | Stmt::Print(e) | Stmt::Delete(_, e) | Stmt::ReturnValue(e) => {
            within(e, each)
        }
        Stmt::If { condition, then, otherwise } => {
            within(condition, each) || expressions(then, each) || expressions(otherwise, each)
        }
        Stmt::While { condition, body } => within(condition, each) || expressions(body, each),
        Stmt::Range { start, end, body, .. } => {
            within(start, each) || within(end, each) || expressions(body, each)
        }
        Stmt::Each { body, .. } | Stmt::Unroll(_, body) | Stmt::Block(body) => expressions(body, each),
        Stmt::Printf(_, args) | Stmt::Opaque(_, args) => args.iter_mut().any(|e| within(e, each)),
        Stmt::Break | Stmt::Continue | Stmt::Return => false,
    })
}

fn keys(place: &mut Expr, each: &mut dyn FnMut(&mut Expr) -> bool) -> bool {
    match &mut place.kind {
        Kind::Map(_, Some(key)) => within(key, each),
        _ => false,
    }
}

fn within(e: &mut Expr, each: &mut dyn FnMut(&mut Expr) -> bool) -> bool {
    if each(e) {
        return true;
    }
    match &mut e.kind {
        Kind::Int(_) | Kind::Bool(_) | Kind::Text(_) | Kind::Var(_) | Kind::Known(_) | Kind::Map(_, None) => {
            false
        }
        Kind::Map(_, Some(a)) | Kind::Cast(a) | Kind::Unary(_, a) | Kind::Part(a, _) | Kind::Field(a, _) => {
            within(a, each)
        }
        Kind::Binary(_, a, b) => within(a, each) || within(b, each),
        Kind::Choose(a, b, c) => within(a, each) || within(b, each) || within(c, each),
        Kind::Tuple(all) | Kind::Macro(_, all) | Kind::Call(_, all) | Kind::Opaque(_, all) => {
            all.iter_mut().any(|e| within(e, each))
        }
        Kind::Record(all) => all.iter_mut().any(|(_, e)| within(e, each)),
        Kind::Block(body, value) => expressions(body, each) || within(value, each),
        Kind::Step { place, .. } | Kind::Addressed(place) => keys(place, each),
        Kind::Find { key, .. } => within(key, each),
        // The compiler must be able to decide it.
        Kind::Comptime(_) => false,
    }
}
