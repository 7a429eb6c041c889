//! Names of types that mean the same on every kernel: the language's own and C's integers. No BTF is opened for them.

use super::{Agg, Int, Type};

/// The type of such a name; several words are separated by one space.
///
/// `string`, `buffer` and `inet` may stand without a size; strings and buffers then have size 0, and whoever declares
/// something of them finds the size in its value.
pub fn well_known(name: &str) -> Option<Type> {
    language(name).or_else(|| c_integer(name))
}

fn language(name: &str) -> Option<Type> {
    LANGUAGE.iter().find(|(known, _)| *known == name).map(|(_, ty)| ty.clone())
}

/// The names of one word that need no kernel.
pub fn all() -> impl Iterator<Item = &'static str> {
    LANGUAGE.iter().map(|(name, _)| *name)
}

static LANGUAGE: [(&str, Type); 65] = [
    ("void", Type::Void),
    ("bool", Type::Bool),
    ("_Bool", Type::Bool),
    ("int8", Type::Int(Int::I8)),
    ("int16", Type::Int(Int::I16)),
    ("int32", Type::Int(Int::I32)),
    ("int64", Type::Int(Int::I64)),
    ("uint8", Type::Int(Int::U8)),
    ("uint16", Type::Int(Int::U16)),
    ("uint32", Type::Int(Int::U32)),
    ("uint64", Type::Int(Int::U64)),
    ("s8", Type::Int(Int::I8)),
    ("s16", Type::Int(Int::I16)),
    ("s32", Type::Int(Int::I32)),
    ("s64", Type::Int(Int::I64)),
    ("u8", Type::Int(Int::U8)),
    ("u16", Type::Int(Int::U16)),
    ("u32", Type::Int(Int::U32)),
    ("u64", Type::Int(Int::U64)),
    ("__s8", Type::Int(Int::I8)),
    ("__s16", Type::Int(Int::I16)),
    ("__s32", Type::Int(Int::I32)),
    ("__s64", Type::Int(Int::I64)),
    ("__u8", Type::Int(Int::U8)),
    ("__u16", Type::Int(Int::U16)),
    ("__u32", Type::Int(Int::U32)),
    ("__u64", Type::Int(Int::U64)),
    ("int8_t", Type::Int(Int::I8)),
    ("int16_t", Type::Int(Int::I16)),
    ("int32_t", Type::Int(Int::I32)),
    ("int64_t", Type::Int(Int::I64)),
    ("uint8_t", Type::Int(Int::U8)),
    ("uint16_t", Type::Int(Int::U16)),
    ("uint32_t", Type::Int(Int::U32)),
    ("uint64_t", Type::Int(Int::U64)),
    ("size_t", Type::Int(Int::U64)),
    ("ssize_t", Type::Int(Int::I64)),
    ("intptr_t", Type::Int(Int::I64)),
    ("uintptr_t", Type::Int(Int::U64)),
    ("ptrdiff_t", Type::Int(Int::I64)),
    ("char", Type::Int(Int::I8)),
    ("short", Type::Int(Int::I16)),
    ("int", Type::Int(Int::I32)),
    ("long", Type::Int(Int::I64)),
    ("unsigned", Type::Int(Int::U32)),
    ("float", Type::FLOAT),
    ("double", Type::DOUBLE),
    ("string", Type::Str(0)),
    ("buffer", Type::Buf(0)),
    ("inet", Type::Inet),
    ("macaddr_t", Type::Mac),
    ("timestamp", Type::Timestamp),
    ("cgroup_path_t", Type::CgroupPath),
    ("username_t", Type::Username),
    ("count_t", Type::Agg(Agg::Count)),
    ("sum_t", Type::Agg(Agg::Sum { signed: true })),
    ("usum_t", Type::Agg(Agg::Sum { signed: false })),
    ("min_t", Type::Agg(Agg::Min { signed: true })),
    ("umin_t", Type::Agg(Agg::Min { signed: false })),
    ("max_t", Type::Agg(Agg::Max { signed: true })),
    ("umax_t", Type::Agg(Agg::Max { signed: false })),
    ("avg_t", Type::Agg(Agg::Avg { signed: true })),
    ("uavg_t", Type::Agg(Agg::Avg { signed: false })),
    ("stats_t", Type::Agg(Agg::Stats { signed: true })),
    ("ustats_t", Type::Agg(Agg::Stats { signed: false })),
];

/// `unsigned long long`, `long unsigned int`, `char`: C lets the words stand in any order.
fn c_integer(name: &str) -> Option<Type> {
    let (mut signed, mut unsigned, mut longs, mut short, mut int, mut char) = (0, 0, 0, 0, 0, 0);
    for word in name.split_ascii_whitespace() {
        *match word {
            "signed" => &mut signed,
            "unsigned" => &mut unsigned,
            "long" => &mut longs,
            "short" => &mut short,
            "int" => &mut int,
            "char" => &mut char,
            _ => return None,
        } += 1;
    }
    let size = match (char, short, longs, int) {
        (1, 0, 0, 0) => 1,
        (0, 1, 0, 0 | 1) => 2,
        (0, 0, 1 | 2, 0 | 1) => 8,
        (0, 0, 0, 1) => 4,
        // `unsigned` by itself.
        (0, 0, 0, 0) if signed + unsigned == 1 => 4,
        _ => return None,
    };
    (signed + unsigned <= 1).then_some(Type::Int(Int { size, signed: unsigned == 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_integers_in_any_order() {
        let int = |name| well_known(name).and_then(|t| t.as_int());
        for name in ["unsigned long long", "long unsigned int", "unsigned long", "size_t", "u64", "uint64"] {
            assert_eq!(int(name), Some(Int::U64), "{name}");
        }
        assert_eq!(int("char"), Some(Int::I8));
        assert_eq!(int("unsigned char"), Some(Int::U8));
        assert_eq!(int("short"), Some(Int::I16));
        assert_eq!(int("short unsigned int"), Some(Int::U16));
        assert_eq!(int("unsigned"), Some(Int::U32));
        assert_eq!(int("long"), Some(Int::I64));
        for name in
            ["", "signed unsigned", "long short", "char int", "long long long", "task_struct", "int int"]
        {
            assert_eq!(well_known(name), None, "{name}");
        }
    }
}
