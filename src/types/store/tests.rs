//! On the running kernel's types.

use super::*;
use crate::types::{Field, Int, Space, Spelled};

/// The running kernel's types, or a loud word and nothing.
fn kernel_types() -> Option<Types> {
    let mut types = Types::new(&Kernel::new());
    if let Some(problem) = types.problem() {
        eprintln!("SKIPPED: {problem}");
        return None;
    }
    Some(types)
}

fn named(types: &mut Types, name: &str) -> StructId {
    match types.find(Some(Tag::Struct), name) {
        Some(Type::Struct(id)) => id,
        other => panic!("struct {name}: {other:?}"),
    }
}

fn field(types: &mut Types, base: &str, name: &str) -> Field {
    let id = named(types, base);
    let s = types.structure(id).unwrap();
    s.field(name).unwrap_or_else(|| panic!("{base}.{name}")).clone()
}

#[test]
fn the_fields_of_a_task() {
    let Some(mut types) = kernel_types() else { return };
    assert_eq!(field(&mut types, "task_struct", "pid").ty, Type::I32);
    assert_eq!(field(&mut types, "task_struct", "comm").ty, Type::Str(16));
    let task = named(&mut types, "task_struct");
    let leader = field(&mut types, "task_struct", "group_leader");
    assert_eq!(leader.ty, Type::ptr(Type::Struct(task), Space::Kernel));
    assert_eq!(Spelled(&leader.ty, types.layouts()).to_string(), "struct task_struct *");
    // A pointer's target is known by name and size, without its fields.
    let files = field(&mut types, "task_struct", "files");
    let Type::Ptr { to, .. } = &files.ty else { panic!("{files:?}") };
    assert_eq!(Spelled(to, types.layouts()).to_string(), "struct files_struct");
    let Type::Struct(id) = **to else { panic!("{to:?}") };
    assert!(types.layouts().structs[&id].fields.is_empty());
    assert!(types.structure(id).unwrap().field("fdt").is_some());
}

#[test]
fn members_of_anonymous_members_and_bitfields() {
    let Some(mut types) = kernel_types() else { return };
    // `len` is named; `sk` and `dev` are in anonymous unions; `pkt_type` is a bitfield within an anonymous struct.
    assert_eq!(field(&mut types, "sk_buff", "len").ty, Type::U32);
    let dev = field(&mut types, "sk_buff", "dev");
    assert!(matches!(dev.ty, Type::Ptr { .. }));
    assert_eq!(dev.offset, 16);
    let packet = field(&mut types, "sk_buff", "pkt_type");
    assert_eq!((packet.ty, packet.bits.unwrap().width), (Type::U8, 3));
    let id = named(&mut types, "sk_buff");
    let s = types.structure(id).unwrap();
    let at = |name| s.fields.iter().position(|f| f.name == name).unwrap();
    assert!(at("len") < at("dev"), "named ones come first");
    // Each bitfield lies within the struct.
    for field in s.fields.iter().filter(|f| f.bits.is_some()) {
        assert!(field.offset < s.size, "{field:?}");
    }
}

#[test]
fn nested_structs_lead_to_a_file_name() {
    let Some(mut types) = kernel_types() else { return };
    let f_path = field(&mut types, "file", "f_path").ty;
    let Some(path) = types.find(None, "path") else { panic!("struct path without its tag") };
    assert_eq!(f_path, path);
    let dentry = field(&mut types, "path", "dentry").ty;
    assert_eq!(Spelled(&dentry, types.layouts()).to_string(), "struct dentry *");
    let name = field(&mut types, "qstr", "name").ty;
    assert_eq!(name, Type::ptr(Type::U8, Space::Kernel));
}

#[test]
fn names_of_integers_and_typedefs() {
    let Some(mut types) = kernel_types() else { return };
    assert_eq!(types.find(None, "pid_t"), Some(Type::I32));
    assert_eq!(types.find(None, "umode_t"), Some(Type::U16));
    assert_eq!(types.find(None, "const char"), Some(Type::Int(Int::I8)));
    assert_eq!(types.find(None, "unsigned long long"), Some(Type::U64));
    assert_eq!(types.find(Some(Tag::Struct), "no_such_struct"), None);
    assert_eq!(types.find(Some(Tag::Struct), "pid_t"), None);
    assert_eq!(types.find(None, "two words"), None);
    assert_eq!(types.find(None, "a\0b"), None);
    assert_eq!(types.find(None, ""), None);
}

#[test]
fn well_known_names_open_nothing() {
    let mut types = Types::with_btf("/nonexistent/btf".into());
    assert_eq!(types.find(None, "uint64"), Some(Type::U64));
    assert_eq!(types.find(None, "struct"), None);
    assert!(types.problem().unwrap().contains("/nonexistent/btf"));
    assert_eq!(types.enumerator("TCP_ESTABLISHED"), None);
    assert_eq!(types.function(None, "vfs_read"), None);
    assert_eq!(types.structure(StructId(7)), None);
}

#[test]
fn enumerators_and_their_enums() {
    let Some(mut types) = kernel_types() else { return };
    let start = std::time::Instant::now();
    let (_, value) = types.enumerator("TCP_ESTABLISHED").unwrap();
    eprintln!("enumerator: {:?}", start.elapsed());
    assert_eq!(value, 1);
    let start = std::time::Instant::now();
    assert_eq!(types.enumerator("NO_SUCH_ENUMERATOR"), None);
    eprintln!("no enumerator: {:?}", start.elapsed());
    let Some(Type::Enum { id, int }) = types.find(Some(Tag::Enum), "pid_type") else {
        panic!("enum pid_type")
    };
    assert_eq!(int, Int::U32);
    let e = types.enumeration(id).unwrap();
    assert_eq!(e.name, "pid_type");
    assert!(e.values.contains(&("PIDTYPE_TGID".to_owned(), 1)));
    assert_eq!(types.find(None, "pid_type"), Some(Type::Enum { id, int }));
}

#[test]
fn functions_have_names_and_types() {
    let Some(mut types) = kernel_types() else { return };
    let Prototype { params, result } = types.function(None, "vfs_read").unwrap();
    assert_eq!(result, Type::I64);
    assert_eq!(params.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["file", "buf", "count", "pos"]);
    assert_eq!(Spelled(&params[0].1, types.layouts()).to_string(), "struct file *");
    assert_eq!(params[2].1, Type::U64);
    assert_eq!(types.function(Some("vmlinux"), "vfs_read").unwrap().result, Type::I64);
    assert_eq!(types.function(Some("no_such_module"), "vfs_read"), None);
    assert_eq!(types.function(Some("../vmlinux"), "vfs_read"), None);
}

#[test]
fn closing_loads_what_values_hold() {
    let Some(mut types) = kernel_types() else { return };
    let task = named(&mut types, "task_struct");
    let start = std::time::Instant::now();
    types.close(&Type::Struct(task));
    eprintln!("closing task_struct: {:?}, {} structs", start.elapsed(), types.layouts().structs.len());
    let layouts = types.layouts();
    let task = &layouts.structs[&task];
    let Type::Struct(se) = task.field("se").unwrap().ty else { panic!("se") };
    assert!(layouts.structs[&se].field("vruntime").is_some());
    // Every field of every loaded struct lies within it.
    for s in layouts.structs.values() {
        for field in &s.fields {
            let size = crate::types::layout::size_of(&field.ty, layouts);
            assert!(field.offset + size <= s.size || field.bits.is_some(), "{}.{field:?}", s.name);
        }
    }
}

#[test]
fn misspelt_names_have_neighbours() {
    let Some(mut types) = kernel_types() else { return };
    assert_eq!(
        types.similar(Some(Tag::Struct), "task_strukt").first().map(String::as_str),
        Some("task_struct")
    );
    assert_eq!(types.similar(None, "unit64").first().map(String::as_str), Some("uint64"));
    assert!(types.similar(Some(Tag::Union), "task_strukt").is_empty());
}
