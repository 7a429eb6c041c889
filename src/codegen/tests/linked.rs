//! Calls of functions that another object defines.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use super::build::*;
use super::run::{Has, image};
use crate::ir::{ExprKind, StmtKind};
use crate::types::Type;
use crate::types::btf::{Btf, Kind, Linkage};
use crate::types::linked::{CFunction, CType};

/// What libbpf's linker wants to find in the object that calls: an undefined symbol, and its type in BTF.
#[test]
fn a_function_of_another_object_is_declared_with_its_type() {
    let pointer = |to| CType::Pointer(Box::new(to));
    let record = |union| CType::Record { union, name: "thing".into() };
    let params = vec![
        CType::Int(2),
        pointer(CType::Void),
        pointer(record(false)),
        pointer(record(true)),
        CType::Enum { name: "color".into(), size: 4 },
    ];
    let function = CFunction { name: "other".into(), params, result: CType::Int(4) };
    let args = (0..5).map(i64c).collect();
    let call = expr(ExprKind::Call { function: Box::new(function), args }, Type::I32);
    let mut script = Script::new();
    script.probe(vec![], vec![stmt(StmtKind::Expr(call.clone())), stmt(StmtKind::Expr(call))]);
    let elf = image(&script, Has::Nothing).elf;
    let file = object::File::parse(&*elf).unwrap();
    let mut symbols = file.symbols().filter(|symbol| symbol.name() == Ok("other"));
    assert!(symbols.next().unwrap().is_undefined());
    assert!(symbols.next().is_none());
    let btf = Btf::from_bytes(file.section_by_name(".BTF").unwrap().data().unwrap()).unwrap();
    let id = btf.find("other", libbpf_sys::BTF_KIND_FUNC).unwrap();
    assert_eq!(btf.linkage(id), Linkage::Extern);
    let Kind::Func { proto } = btf.entry(id).unwrap().kind else { panic!() };
    let Kind::Proto(proto) = btf.entry(proto).unwrap().kind else { panic!() };
    let kind = |id| btf.entry(id).unwrap();
    assert!(matches!(kind(proto.result).kind, Kind::Int(int) if int.size == 4));
    let params: Vec<u32> = proto.params().map(|(_, id)| id).collect();
    assert_eq!(params.len(), 5);
    assert!(matches!(kind(params[0]).kind, Kind::Int(int) if int.size == 2));
    assert!(matches!(kind(params[1]).kind, Kind::Ptr(0)));
    for (param, union) in [(params[2], false), (params[3], true)] {
        let Kind::Ptr(to) = kind(param).kind else { panic!() };
        assert_eq!(kind(to).name, "thing");
        assert!(matches!(kind(to).kind, Kind::Composite(composite) if composite.union == union));
    }
    assert!(matches!(kind(params[4]).kind, Kind::Enum(values) if values.size == 4));
    assert_eq!(kind(params[4]).name, "color");
}
