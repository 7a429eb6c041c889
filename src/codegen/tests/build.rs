//! Short names for the pieces of programs.

use crate::config::Config;
use crate::diagnostics::Span;
use crate::image::{Attach, Event, EventId, EventKind, Map, MapId, MapKind, PrintTo, Target};
use crate::ir::{
    Binary, Context, Expr, ExprKind, Nesting, Place, PlaceKind, Probe, Program, Stmt, StmtKind, VarId,
    Variable,
};
use crate::types::{Agg, Space, Type};

pub(super) fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

pub(super) fn stmt(kind: StmtKind) -> Stmt {
    Stmt { kind, span: Span::default() }
}

pub(super) fn u64c(value: u64) -> Expr {
    expr(ExprKind::Const(value), Type::U64)
}

pub(super) fn i64c(value: i64) -> Expr {
    expr(ExprKind::Const(value.cast_unsigned()), Type::I64)
}

/// A word of the context: a number that only the run of the program knows.
pub(super) fn word(n: u32, ty: Type) -> Expr {
    let place = Place { kind: PlaceKind::Context { offset: 8 * n }, ty: ty.clone(), span: Span::default() };
    expr(ExprKind::Load(Box::new(place)), ty)
}

pub(super) fn deref(pointer: Expr, space: Space, ty: Type) -> Expr {
    expr(ExprKind::Load(Box::new(deref_place(pointer, space, ty.clone()))), ty)
}

pub(super) fn deref_place(pointer: Expr, space: Space, ty: Type) -> Place {
    Place { kind: PlaceKind::Deref { pointer: Box::new(pointer), space }, ty, span: Span::default() }
}

pub(super) fn binary(op: Binary, a: Expr, b: Expr, ty: Type) -> Expr {
    expr(ExprKind::Binary { op, left: Box::new(a), right: Box::new(b) }, ty)
}

pub(super) fn var(n: u32, ty: Type) -> Expr {
    expr(ExprKind::Var(VarId(n)), ty)
}

pub(super) fn set_var(n: u32, value: Expr) -> Stmt {
    stmt(StmtKind::SetVar { var: VarId(n), value })
}

pub(super) fn increment(n: u32) -> Stmt {
    let add = ExprKind::VarAdd { var: VarId(n), delta: Box::new(i64c(1)), old: true };
    stmt(StmtKind::Expr(expr(add, Type::I64)))
}

pub(super) fn literal(text: &str, size: u32) -> Expr {
    expr(ExprKind::Bytes(text.as_bytes().to_vec()), Type::Str(size))
}

/// A string at an address in this process.
pub(super) fn user_string(address: Expr, size: u32) -> Expr {
    let read = ExprKind::ReadString { address: Box::new(address), len: None, space: Space::User };
    expr(read, Type::Str(size))
}

pub(super) fn tuple(parts: Vec<(u32, Expr)>) -> Expr {
    let ty = Type::Tuple(parts.iter().map(|(_, e)| e.ty.clone()).collect());
    expr(ExprKind::Pack(parts), ty)
}

pub(super) fn equal(a: Expr, b: Expr) -> Expr {
    let kind = ExprKind::StringEqual { left: Box::new(a), right: Box::new(b), limit: None, negate: false };
    expr(kind, Type::Bool)
}

pub(super) fn comm() -> Expr {
    expr(ExprKind::Fill { id: 16, args: vec![] }, Type::Str(16))
}

/// A program that is made up piece by piece.
pub(super) struct Script {
    pub(super) program: Program,
    pub(super) config: Config,
}

impl Script {
    pub(super) fn new() -> Script {
        Script { program: Program::default(), config: Config::default() }
    }

    pub(super) fn map(&mut self, kind: MapKind, key: Option<Type>, value: Type) -> MapId {
        let n = self.program.maps.len();
        let max_entries = if key.is_some() { 64 } else { 1 };
        self.program.maps.push(Map {
            name: format!("@m{n}"),
            symbol: format!("AT_m{n}"),
            kind,
            key,
            value,
            max_entries,
            declared: false,
        });
        MapId(n as u32)
    }

    /// A 64-bit result by number.
    pub(super) fn results(&mut self) -> MapId {
        self.map(MapKind::Hash, Some(Type::U64), Type::I64)
    }

    pub(super) fn gather(&mut self, key: Option<Type>, agg: Agg) -> MapId {
        let kind = if key.is_some() { MapKind::PerCpuHash } else { MapKind::PerCpuArray };
        self.map(kind, key, Type::Agg(agg))
    }

    pub(super) fn event(&mut self, args: Vec<Type>) -> EventId {
        let kind = EventKind::Printf { format: String::new(), to: PrintTo::Output };
        self.program.events.push(Event { kind, args, span: Span::default() });
        EventId(self.program.events.len() as u32 - 1)
    }

    pub(super) fn probe(&mut self, variables: Vec<Type>, body: Vec<Stmt>) {
        self.probe_at("raw_tp", Context::Words, Target::Begin, variables, body);
    }

    pub(super) fn probe_at(
        &mut self,
        section: &str,
        context: Context,
        what: Target,
        variables: Vec<Type>,
        body: Vec<Stmt>,
    ) {
        let n = self.program.probes.len();
        let (nesting, space) = match section {
            "kprobe" | "perf_event" | "tp" | "tp/syscalls/sys_enter_openat" => {
                (Nesting::Never, Space::Kernel)
            }
            "uprobe" => (Nesting::Preemption, Space::User),
            _ => (Nesting::Interrupts, Space::Kernel),
        };
        self.program.probes.push(Probe {
            name: format!("probe_{n}"),
            section: section.into(),
            context,
            nesting,
            returns_zero: section.starts_with("fentry"),
            object: None,
            space,
            attach: vec![Attach { name: format!("probe:{n}"), span: Span::default(), what }],
            variables: variables.into_iter().map(|ty| Variable { name: "$v".into(), ty }).collect(),
            body,
            span: Span::default(),
        });
    }
}

pub(super) fn set_map(map: MapId, key: Option<Expr>, value: Expr) -> Stmt {
    stmt(StmtKind::SetMap { map, key, value })
}

pub(super) fn set_result(map: MapId, n: u64, value: Expr) -> Stmt {
    set_map(map, Some(u64c(n)), value)
}

pub(super) fn get(map: MapId, key: Option<Expr>, ty: Type) -> Expr {
    expr(ExprKind::MapGet { map, key: key.map(Box::new) }, ty)
}

pub(super) fn aggregate(map: MapId, key: Option<Expr>, value: Option<Expr>) -> Stmt {
    stmt(StmtKind::Aggregate { map, key, value, weight: None })
}

pub(super) fn emit(event: EventId, args: Vec<Expr>) -> Stmt {
    stmt(StmtKind::Emit { event, args })
}

pub(super) fn condition(condition: Expr, then: Vec<Stmt>, otherwise: Vec<Stmt>) -> Stmt {
    stmt(StmtKind::If { condition, then, otherwise })
}
