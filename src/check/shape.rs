//! How types widen: what a variable or map can hold that is assigned values of several types.

use crate::ir;
use crate::types::{Agg, Int, Space, Type};

/// Which integers of a type come from literals that are not negative. Such an integer has the smallest signed type,
/// and becomes unsigned without complaint where it meets an unsigned one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Flex {
    #[default]
    No,
    Yes,
    /// For the parts of a tuple or record, in order.
    Parts(Vec<Flex>),
}

impl Flex {
    fn part(&self, index: usize) -> Flex {
        match self {
            Flex::Parts(parts) => parts.get(index).cloned().unwrap_or_default(),
            _ => Flex::No,
        }
    }

    /// Of parts; `No` if none of them is flexible.
    pub fn of(parts: Vec<Flex>) -> Flex {
        if parts.iter().all(|p| *p == Flex::No) { Flex::No } else { Flex::Parts(parts) }
    }
}

/// A type, and how much of it may still change its sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub ty: Type,
    pub flex: Flex,
}

impl From<Type> for Shape {
    fn from(ty: Type) -> Shape {
        Shape { ty, flex: Flex::No }
    }
}

impl Shape {
    pub fn part(&self, index: usize) -> Option<Shape> {
        let ty = match &self.ty {
            Type::Tuple(types) => types.get(index)?.clone(),
            Type::Record(fields) => fields.get(index)?.1.clone(),
            _ => return None,
        };
        Some(Shape { ty, flex: self.flex.part(index) })
    }

    /// The smallest type that holds the values of both; `None` if there is no such type.
    pub fn widen(&self, other: &Shape) -> Option<Shape> {
        if self == other {
            return Some(self.clone());
        }
        match (&self.ty, &other.ty) {
            (Type::Tuple(a), Type::Tuple(b)) => {
                if a.len() != b.len() {
                    return None;
                }
                let parts: Vec<Shape> =
                    (0..a.len()).map(|n| self.part(n)?.widen(&other.part(n)?)).collect::<Option<_>>()?;
                let (types, flex) = parts.into_iter().map(|p| (p.ty, p.flex)).unzip();
                Some(Shape { ty: Type::Tuple(types), flex: Flex::of(flex) })
            }
            (Type::Record(a), Type::Record(b)) => {
                if a.len() != b.len() {
                    return None;
                }
                // The order is the one that came first.
                let (mut fields, mut flex) = (vec![], vec![]);
                for (n, (name, _)) in a.iter().enumerate() {
                    let index = b.iter().position(|(other, _)| other == name)?;
                    let part = self.part(n)?.widen(&other.part(index)?)?;
                    fields.push((name.clone(), part.ty));
                    flex.push(part.flex);
                }
                Some(Shape { ty: Type::Record(fields), flex: Flex::of(flex) })
            }
            (a, b) if a == b => {
                let flex = if self.flex == other.flex { self.flex.clone() } else { Flex::No };
                Some(Shape { ty: a.clone(), flex })
            }
            (Type::Bool, b) if integral(b).is_some() => Some(other.clone()),
            (a, Type::Bool) if integral(a).is_some() => Some(self.clone()),
            (a, b) => {
                if let (Some(x), Some(y)) = (integral(a), integral(b)) {
                    let (x_flex, y_flex) = (self.flex == Flex::Yes, other.flex == Flex::Yes);
                    let flex = if x_flex && y_flex { Flex::Yes } else { Flex::No };
                    return Some(Shape { ty: Type::Int(widen_ints(x, x_flex, y, y_flex)), flex });
                }
                Some(widen_others(a, b)?.into())
            }
        }
    }

    /// Whether every value is kept by a conversion to that type.
    pub fn fits(&self, to: &Type) -> bool {
        match (integral(&self.ty), integral(to)) {
            (Some(from), Some(to)) => {
                if from.signed == to.signed || self.flex == Flex::Yes {
                    from.size <= to.size
                } else {
                    !from.signed && from.size < to.size
                }
            }
            _ => true,
        }
    }
}

fn widen_others(a: &Type, b: &Type) -> Option<Type> {
    Some(match (a, b) {
        (Type::Str(a), Type::Str(b)) => Type::Str(*a.max(b)),
        (Type::Buf(a), Type::Buf(b)) => Type::Buf(*a.max(b)),
        (Type::Ptr { to: a, space: x }, Type::Ptr { to: b, space: y }) => {
            let to = match (&**a, &**b) {
                (Type::Void, other) | (other, Type::Void) => other.clone(),
                (a, b) if a == b => a.clone(),
                _ => return None,
            };
            Type::ptr(to, if *x == Space::Unknown { *y } else { *x })
        }
        (Type::Agg(a), Type::Agg(b)) => Type::Agg(widen_aggs(*a, *b)?),
        _ => return None,
    })
}

/// Aggregations differ only by sign, and signed wins.
fn widen_aggs(a: Agg, b: Agg) -> Option<Agg> {
    Some(match (a, b) {
        (Agg::Sum { signed: x }, Agg::Sum { signed: y }) => Agg::Sum { signed: x || y },
        (Agg::Min { signed: x }, Agg::Min { signed: y }) => Agg::Min { signed: x || y },
        (Agg::Max { signed: x }, Agg::Max { signed: y }) => Agg::Max { signed: x || y },
        (Agg::Avg { signed: x }, Agg::Avg { signed: y }) => Agg::Avg { signed: x || y },
        (Agg::Stats { signed: x }, Agg::Stats { signed: y }) => Agg::Stats { signed: x || y },
        (
            Agg::TSeries { interval, intervals, each, signed: x },
            Agg::TSeries { interval: b, intervals: c, each: d, signed: y },
        ) if (interval, intervals, each) == (b, c, d) => {
            Agg::TSeries { interval, intervals, each, signed: x || y }
        }
        _ => return None,
    })
}

fn widen_ints(a: Int, a_flex: bool, b: Int, b_flex: bool) -> Int {
    let size = a.size.max(b.size);
    if a.signed == b.signed {
        return Int { size, signed: a.signed };
    }
    if a_flex || b_flex {
        return Int { size, signed: (!a_flex && a.signed) || (!b_flex && b.signed) };
    }
    let (signed, unsigned) = if a.signed { (a, b) } else { (b, a) };
    // Two 64-bit ones of different sign share no type; the signed one it is, with a warning elsewhere.
    let size = if signed.size > unsigned.size { signed.size } else { (size * 2).min(8) };
    Int { size, signed: true }
}

/// The integer behind an integer or enum: what arithmetic sees.
pub fn integral(ty: &Type) -> Option<Int> {
    match ty {
        Type::Int(int) | Type::Enum { int, .. } => Some(*int),
        _ => None,
    }
}

/// What an aggregation reads as in an expression; `None` for those that are more than one number.
pub fn readable(agg: &Agg) -> Option<Int> {
    match agg {
        Agg::Count => Some(Int::U64),
        Agg::Sum { signed } | Agg::Min { signed } | Agg::Max { signed } | Agg::Avg { signed } => {
            Some(if *signed { Int::I64 } else { Int::U64 })
        }
        Agg::Stats { .. } | Agg::Hist { .. } | Agg::LHist { .. } | Agg::TSeries { .. } => None,
    }
}

/// The type of a literal: the smallest signed one, or `uint64` for what no signed one holds.
pub fn literal(value: u64) -> Int {
    match i64::try_from(value) {
        Ok(value) => negative_literal(value),
        Err(_) => Int::U64,
    }
}

/// As [`literal`], for numbers of either sign.
pub fn negative_literal(value: i64) -> Int {
    if i8::try_from(value).is_ok() {
        Int::I8
    } else if i16::try_from(value).is_ok() {
        Int::I16
    } else if i32::try_from(value).is_ok() {
        Int::I32
    } else {
        Int::I64
    }
}

/// Whether a number can be written in that type.
pub fn in_range(value: i128, int: Int) -> bool {
    let bits = u32::from(int.size) * 8;
    if int.signed {
        let limit = 1i128 << (bits - 1);
        (-limit..limit).contains(&value)
    } else {
        (0..1i128 << bits).contains(&value)
    }
}

/// What an expression of the script turned into, with what the types of `ir` do not say.
#[derive(Clone, Debug)]
pub struct Value {
    pub expr: ir::Expr,
    pub flex: Flex,
    /// A literal, or an operation on literals that was carried out.
    pub literal: bool,
    /// Where an integer points when it is used as a pointer: `kaddr("…")`. Pointers have it in their type.
    pub space: Space,
}

impl Value {
    pub fn new(expr: ir::Expr) -> Value {
        Value { expr, flex: Flex::No, literal: false, space: Space::Unknown }
    }

    pub fn shape(&self) -> Shape {
        Shape { ty: self.expr.ty.clone(), flex: self.flex.clone() }
    }

    pub fn ty(&self) -> &Type {
        &self.expr.ty
    }

    /// The number that it is, where that is known.
    pub fn constant(&self) -> Option<i128> {
        let ir::ExprKind::Const(bits) = self.expr.kind else { return None };
        let int = match &self.expr.ty {
            Type::Bool => Int::U8,
            ty => integral(ty)?,
        };
        // `Const` holds values extended to 64 bits.
        Some(if int.signed { i128::from(bits as i64) } else { i128::from(bits) })
    }

    /// The text of a string literal.
    pub fn text(&self) -> Option<&[u8]> {
        match (&self.expr.kind, &self.expr.ty) {
            (ir::ExprKind::Bytes(bytes), Type::Str(_)) if self.literal => Some(bytes),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(int: Int) -> Shape {
        Type::Int(int).into()
    }

    fn literal_shape(value: u64) -> Shape {
        Shape { ty: Type::Int(literal(value)), flex: Flex::Yes }
    }

    fn widened(a: &Shape, b: &Shape) -> Type {
        a.widen(b).unwrap().ty
    }

    #[test]
    fn integers_widen_until_both_fit() {
        assert_eq!(widened(&int(Int::I8), &int(Int::I16)), Type::Int(Int::I16));
        assert_eq!(widened(&int(Int::U32), &int(Int::I8)), Type::I64);
        assert_eq!(widened(&int(Int::U8), &int(Int::I32)), Type::I32);
        assert_eq!(widened(&int(Int::U16), &int(Int::I16)), Type::I32);
        assert_eq!(widened(&int(Int::U64), &int(Int::I64)), Type::I64);
    }

    #[test]
    fn literals_take_the_sign_of_what_they_meet() {
        assert_eq!(widened(&literal_shape(1), &int(Int::U64)), Type::U64);
        assert_eq!(widened(&literal_shape(300), &int(Int::U8)), Type::U16);
        assert_eq!(widened(&literal_shape(1), &int(Int::I32)), Type::I32);
        let both = literal_shape(1).widen(&literal_shape(1000)).unwrap();
        assert_eq!(both, Shape { ty: Type::Int(Int::I16), flex: Flex::Yes });
        assert!(literal_shape(1).fits(&Type::U8) && !int(Int::I8).fits(&Type::U64));
    }

    #[test]
    fn tuples_widen_part_by_part() {
        let a = Shape {
            ty: Type::Tuple(vec![Type::Int(Int::I8), Type::Str(4)]),
            flex: Flex::Parts(vec![Flex::Yes, Flex::No]),
        };
        let b = Shape::from(Type::Tuple(vec![Type::U32, Type::Str(16)]));
        assert_eq!(widened(&a, &b), Type::Tuple(vec![Type::U32, Type::Str(16)]));
        assert_eq!(a.widen(&Type::Tuple(vec![Type::U32]).into()), None);
        assert_eq!(a.widen(&Type::Str(3).into()), None);
    }

    #[test]
    fn pointers_keep_what_they_point_to() {
        let void = Shape::from(Type::ptr(Type::Void, Space::Unknown));
        let kernel = Shape::from(Type::ptr(Type::U8, Space::Kernel));
        assert_eq!(widened(&void, &kernel), kernel.ty);
        assert_eq!(kernel.widen(&Type::ptr(Type::U16, Space::Kernel).into()), None);
    }

    #[test]
    fn ranges_of_integers() {
        assert!(in_range(-128, Int::I8) && !in_range(-129, Int::I8) && !in_range(128, Int::I8));
        assert!(in_range(i128::from(u64::MAX), Int::U64) && !in_range(-1, Int::U64));
    }
}
