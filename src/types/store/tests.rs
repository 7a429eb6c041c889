//! On the running kernel's types.

use super::*;
use crate::types::{Field, Int, Space, Spelled};

/// The running kernel's types, or a loud word and nothing.
fn kernel_types() -> Option<Types> {
    let mut types = Types::new(&Kernel::new());
    if let Some(problem) = types.problem() {
        crate::testing::skip("btf", problem);
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
    let mut types = Types::new(&Kernel::new().with_btf("/nonexistent/btf".into()));
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
    // A name that is there, but of something else.
    assert_eq!(types.enumerator("vfs_read"), None);
    assert_eq!(types.enumerator(""), None);
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
    let Prototype { params, result, .. } = types.function(None, "vfs_read").unwrap();
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

#[test]
fn many_searches_find_the_same_as_few() {
    let Some(mut types) = kernel_types() else { return };
    let btf = types.sources.vmlinux().unwrap();
    let kinds = [sys::BTF_KIND_FUNC, sys::BTF_KIND_STRUCT, sys::BTF_KIND_TYPEDEF];
    let find = || {
        let names = ["vfs_read", "task_struct", "pid_t", "path", "no such thing", ""];
        names.map(|name| kinds.map(|kind| btf.find(name, kind)))
    };
    let first = find();
    assert!(first.iter().flatten().any(Option::is_some));
    for _ in 0..5 {
        assert_eq!(find(), first);
    }
}

#[test]
fn raw_tracepoints_have_the_arguments_of_the_kernels_code() {
    let Some(mut types) = kernel_types() else { return };
    let Some(Prototype { params, .. }) = types.raw_tracepoint(None, "sched_switch") else {
        return crate::testing::skip("raw_tracepoint_types", "a kernel before 5.10");
    };
    let names: Vec<&str> = params.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names.get(..3), Some(&["preempt", "prev", "next"][..]));
    assert_eq!(params[0].1, Type::Bool);
    assert_eq!(Spelled(&params[1].1, types.layouts()).to_string(), "struct task_struct *");
    let mut events = vec![];
    types.raw_tracepoints(Some("vmlinux"), &mut |_, event| events.push(event.to_owned()));
    assert_eq!(events.iter().filter(|e| *e == "sched_switch").count(), 1);
    assert_eq!(types.raw_tracepoint(None, "no_such_event"), None);
    let spelled = types.raw_tracepoint_signature(None, "sched_switch").unwrap();
    assert_eq!(spelled.params[1], ("struct task_struct *".to_owned(), "prev".to_owned()));
}

#[test]
fn signatures_read_as_c() {
    let Some(mut types) = kernel_types() else { return };
    let Signature { params, result } = types.signature(None, "vfs_read").unwrap();
    assert_eq!(result, "ssize_t");
    let lines: Vec<String> = params.iter().map(|(ty, name)| format!("{ty} {name}")).collect();
    assert_eq!(lines, ["struct file * file", "char * buf", "size_t count", "loff_t * pos"]);
    assert_eq!(types.signature(None, "kfree").unwrap().params[0].0, "const void *");
    assert_eq!(types.signature(Some("vmlinux"), "kfree").unwrap().result, "void");
    assert_eq!(types.signature(None, "no_such_function"), None);
}

#[test]
fn definitions_read_as_c() {
    let Some(mut types) = kernel_types() else { return };
    let (module, path) = types.definition(Tag::Struct, "path").unwrap();
    assert_eq!(module, "vmlinux");
    assert_eq!(path, "struct path {\n\tstruct vfsmount *mnt;\n\tstruct dentry *dentry;\n};");
    let (_, pid) = types.definition(Tag::Enum, "pid_type").unwrap();
    assert!(
        pid.starts_with("enum pid_type {\n") && pid.contains("PIDTYPE_TGID = 1") && pid.ends_with("};"),
        "{pid}"
    );
    assert!(types.definition(Tag::Struct, "task_struct").unwrap().1.contains("char comm[16];"));
    assert_eq!(types.definition(Tag::Union, "path"), None);
    let mut found = false;
    types.definitions(&mut |module, tag, name| {
        found |= (module, tag, name) == ("vmlinux", Tag::Struct, "path")
    });
    assert!(found);
}

/// The types of every loaded module, where there are any.
#[test]
fn modules_have_types_of_their_own() {
    let Some(mut types) = kernel_types() else { return };
    types.sources.open_modules();
    let objects: Vec<_> =
        types.sources.objects().map(|(n, name, btf)| (n, name.to_owned(), Rc::clone(btf))).collect();
    let (mut functions, mut enums) = (0, 0);
    for (object, module, btf) in &objects[1..] {
        let entries = || btf.ids().filter_map(|id| Some((id, btf.entry(id)?)));
        for (id, entry) in entries().filter(|(_, e)| matches!(e.kind, Kind::Func { .. })).take(3) {
            let found = types.find_function(Some(module), entry.name).unwrap();
            assert_eq!(found, types.sources.at(*object, id), "{module}: {}", entry.name);
            assert!(types.signature(Some(module), entry.name).is_some());
            functions += 1;
        }
        for (id, values) in
            entries().filter_map(|(id, e)| if let Kind::Enum(v) = e.kind { Some((id, v)) } else { None })
        {
            let Some((name, value)) = values.values().next() else { continue };
            // The same enumerator may be in a second enum of the module.
            let found = btf.enumerator(name).unwrap_or_else(|| panic!("{module}: {name}"));
            assert!(found == (id, value) || found.0 < id, "{module}: {name}");
            enums += 1;
        }
    }
    eprintln!("{} modules, {functions} functions, {enums} enums", objects.len() - 1);
}

#[test]
fn types_may_come_from_a_file() {
    if kernel_types().is_none() {
        return;
    }
    let mut types = Types::new(&Kernel::new().with_btf("/sys/kernel/btf/vmlinux".into()));
    assert_eq!(types.problem(), None);
    assert_eq!(field(&mut types, "task_struct", "pid").ty, Type::I32);
    // A file that is no BTF is a problem, not the kernel's own types.
    let mut types = Types::new(&Kernel::new().with_btf("/proc/version".into()));
    assert!(types.problem().is_some());
}
