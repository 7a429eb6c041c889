//! Layouts against those of the C compiler, and what is said of mistakes.

use std::fmt::Write;
use std::process::Command;

use super::*;
use crate::diagnostics::{Diagnostic, FileId, Sources, render};
use crate::kernel::Kernel;
use crate::syntax;
use crate::types::store::Named;
use crate::types::{Int, Space, Spelled, Struct, Type, layout};

/// The types of a script's definitions.
fn defined(text: &str) -> Result<Types, String> {
    let (script, problems) = syntax::parse(text, FileId::default());
    let sources = Sources::single("stdin", text);
    if !problems.is_empty() {
        return Err(render::text(&problems, &sources, false));
    }
    let mut types = Types::new(&Kernel::new());
    let problems: Vec<Diagnostic> = define(&script.definitions, &mut types).into_iter().collect();
    if problems.is_empty() { Ok(types) } else { Err(render::text(&problems, &sources, false)) }
}

fn structure(types: &mut Types, tag: Tag, name: &str) -> Struct {
    match types.find(Some(tag), name) {
        Some(Type::Struct(id)) => types.structure(id).unwrap().clone(),
        other => panic!("{name}: {other:?}"),
    }
}

fn field(types: &mut Types, base: &str, name: &str) -> Type {
    structure(types, Tag::Struct, base).field(name).unwrap_or_else(|| panic!("{base}.{name}")).ty.clone()
}

/// Definitions that need nothing but the compiler. Every `struct` and `union` that begins a line is compared.
const DEFINITIONS: &str = r#"
#define N 4
#define TWICE(x) ((x) * 2)
typedef unsigned char byte;
typedef struct { char c; long l; } pair_t;
typedef int (*callback)(void *, struct nowhere *);
typedef int wide __attribute__((aligned(16)));
enum color { RED, GREEN = 5, BLUE, LAST = (BLUE + 1) * 2 };
enum small { ONE = 1 } __attribute__((packed));
enum negative { MINUS = -1 };
enum big { HUGE_ONE = 0x1ffffffffUL };

struct plain { char a; short b; char c; int d; char e; long long f; };
struct pointers { void *p; char **q; const char *const r; int (*f)(int, char *); int *a[3]; int (*b)[3]; callback c; };
struct arrays { char s[5]; int x[N]; short m[2][3]; byte b[TWICE(N) + 1]; pair_t p[2]; int z[0]; };
struct flexible { int n; long data[]; };
struct nested { char c; struct { char d; int e; } in; union { long l; char m[3]; } u; pair_t p; };
struct anonymous { char c; struct { char d; int e; union { short f; long g; }; }; char h; };
union mixed { char c[7]; int i; struct { short a, b, c, d, e; } s; };
struct enums { enum color c; enum small s; enum negative n; enum big b; };
struct inline_enum { enum { INSIDE = 3 } e; char a[INSIDE]; };
struct floats { char a; float f; char b; double d; char c; long double l; };
struct wides { char a; wide w; char b; };
struct bools { _Bool a; char b; _Bool c; };
struct packed { char a; int b; short c; long d; } __attribute__((packed));
struct packed_first { char c; struct packed p; int i; };
struct __attribute__((packed, aligned(4))) packed_aligned { char a; int b; char c; };
struct aligned { char a; } __attribute__((aligned(32)));
struct holds_aligned { char a; struct aligned b; char c; };
struct packed_member { char a; int b __attribute__((packed)); int c; };
struct aligned_member { char a; char b __attribute__((aligned(8))); char c; };
struct with_alignas { char a; _Alignas(16) char b; char c; };
struct packed_nested { char a; struct { char b; int c; } d; } __attribute__((packed));
struct packed_overaligned { char a; struct aligned b; int c __attribute__((aligned(2))); } __attribute__((packed));

struct bits { unsigned a : 4, b : 8, c : 3, d : 1, e : 16; };
struct bits_mixed { short a : 4, b : 8, c : 3, d : 1; int e : 9, f : 15, g : 1, h : 2, i : 5; };
struct bits_cross { unsigned a : 20; unsigned b : 20; unsigned long c : 40; unsigned char d : 3; };
struct bits_after { char a; unsigned b : 5; char c; unsigned d : 30; unsigned short e : 9; };
struct bits_zero { char a : 3; int : 0; char b : 3; short : 0; char c; };
struct bits_unnamed { char a : 3; int : 4; char b : 2; };
struct bits_unnamed_only { char a; int : 20; };
struct bits_bool { _Bool a : 1; _Bool b : 1; unsigned c : 6; long d : 50; };
struct bits_packed { char a; unsigned b : 20; unsigned c : 20; long d : 60; char e; } __attribute__((packed));
struct bits_enum { enum color c : 4; enum negative n : 3; };
struct bits_aligned { char a : 2; int b : 3 __attribute__((aligned(8))); int c : 3; };
struct bits_member_packed { char a : 6; int b : 30 __attribute__((packed)); int c : 5; };
struct bits_last { char a; unsigned b : 3; } __attribute__((packed));
struct bits_reach { char a[5]; unsigned long b : 4; unsigned long c : 20; } __attribute__((packed));
struct bits_three { unsigned a : 20; } __attribute__((packed));
union bits_union { unsigned a : 3; unsigned long b : 40; char c; };

struct uses_sizeof { char a[sizeof(struct nested)]; char b[sizeof(int *[3]) / sizeof(void *)]; char c[_Alignof(long)]; };
struct uses_offset { char a[__builtin_offsetof(struct nested, in.e)]; char b[(char)300 + 'a' % 10]; };
struct uses_choice { char a[LAST > 10 ? 3 : 4]; char b[1 << N | 1]; char c[!0 + !!7]; char d[~0u >> 28]; };

#pragma pack(push, 2)
struct pack_two { char a; int b; long c; char d; unsigned e : 20; unsigned f : 20; };
#pragma pack(1)
struct pack_one { char a; struct plain p; long b; unsigned c : 5; int : 0; char d; };
#pragma pack(pop)
struct pack_none { char a; int b; };
#define FIELD(type, name) type name ## _field; type name ## _other
struct made { FIELD(char, a); FIELD(long, b); };
typedef int four __attribute__((vector_size(16)));
struct vectors { char a; four b; char c; short d __attribute__((vector_size(8))); char e; float f __attribute__((vector_size(16))); };
struct typeofs { typeof(int) a; __typeof__(struct plain *) b; typeof(((struct nested *)0)->in) c; typeof(((struct arrays *)0)->m[1]) d; typeof(1ul) e; typeof(N + 'a') f; };
struct self { struct self *next, *prev; struct later *later; };
struct later { struct self self; };
"#;

/// The tags and names of the definitions to compare.
fn compared() -> Vec<(Tag, &'static str)> {
    let lines = DEFINITIONS.lines().filter_map(|line| {
        let tag = if line.starts_with("struct ") { Tag::Struct } else { Tag::Union };
        let rest = line.strip_prefix(tag.keyword())?;
        let head = rest.split(" {").next()?;
        Some((tag, head.split_whitespace().last()?))
    });
    lines.collect()
}

/// What the compiler says and what we say, line by line.
fn both() -> Option<(String, String)> {
    let mut types = defined(DEFINITIONS).unwrap_or_else(|e| panic!("{e}"));
    let mut code = format!(
        "#include <stdio.h>\n#include <string.h>\n{DEFINITIONS}\n\
         static void dump(const char *what, void *at, unsigned long size) {{\n\
         printf(\"%s\", what); for (unsigned long i = 0; i < size; i++) printf(\" %02x\", ((unsigned char *)at)[i]);\n\
         puts(\"\"); }}\nint main(void) {{\n"
    );
    let mut ours = String::new();
    for (tag, name) in compared() {
        let s = structure(&mut types, tag, name);
        let ty = types.find(Some(tag), name).unwrap();
        types.close(&ty);
        let c = format!("{} {name}", tag.keyword());
        writeln!(code, "printf(\"{c} %zu %zu\\n\", sizeof({c}), _Alignof({c}));").unwrap();
        writeln!(ours, "{c} {} {}", s.size, s.align).unwrap();
        for f in &s.fields {
            let what = format!("{c}.{}", f.name);
            match f.bits {
                None => {
                    let size = layout::size_of(&f.ty, types.layouts());
                    let member = format!("(({c} *)0)->{}", f.name);
                    // The size of an array without an end is no business of C.
                    let c_size = if size == 0 { "0ul".into() } else { format!("sizeof({member})") };
                    writeln!(
                        code,
                        "printf(\"{what} %zu %zu\\n\", __builtin_offsetof({c}, {}), {c_size});",
                        f.name
                    )
                    .unwrap();
                    writeln!(ours, "{what} {} {size}", f.offset).unwrap();
                }
                Some(bits) => {
                    let end = f.offset + u32::from(f.ty.as_int().unwrap().size);
                    // No integer has three bytes.
                    assert!(end <= s.size || s.size == 3, "{what} reaches beyond the end");
                    writeln!(
                        code,
                        "{{ {c} x; memset(&x, 0, sizeof x); x.{} = -1; dump(\"{what}\", &x, sizeof x); }}",
                        f.name
                    )
                    .unwrap();
                    let mut bytes = vec![0u8; end.max(s.size) as usize];
                    for bit in 0..u32::from(bits.width) {
                        let at = f.offset * 8 + u32::from(bits.shift) + bit;
                        bytes[at as usize / 8] |= 1 << (at % 8);
                    }
                    let hex: Vec<String> =
                        bytes.iter().take(s.size as usize).map(|b| format!(" {b:02x}")).collect();
                    writeln!(ours, "{what}{}", hex.concat()).unwrap();
                }
            }
        }
    }
    code.push_str("return 0; }\n");
    let directory = tempfile::tempdir().unwrap();
    let (source, program) = (directory.path().join("layouts.c"), directory.path().join("layouts"));
    std::fs::write(&source, code).unwrap();
    let compiled = Command::new("cc").args(["-w", "-std=gnu11", "-o"]).arg(&program).arg(&source).output();
    let Ok(compiled) = compiled else {
        crate::testing::skip("cc", "there is no C compiler (cc) to compare with");
        return None;
    };
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let printed = Command::new(&program).output().unwrap();
    Some((String::from_utf8(printed.stdout).unwrap(), ours))
}

#[test]
fn layouts_are_those_of_the_compiler() {
    if cfg!(target_endian = "big") {
        eprintln!("SKIPPED: bits are numbered for little-endian machines here");
        return;
    }
    assert!(compared().len() > 40);
    let Some((theirs, ours)) = both() else { return };
    let different: Vec<_> = theirs.lines().zip(ours.lines()).filter(|(a, b)| a != b).collect();
    assert!(different.is_empty(), "compiler's and ours: {different:#?}");
    assert_eq!(theirs.lines().count(), ours.lines().count());
}

#[test]
fn fields_have_the_language_s_types() {
    let mut types = defined(
        "typedef unsigned int number; enum kind { A, B = -3 };
         struct s { char text[8]; int8_t more[2][4]; char open[]; };
         struct t { number n; enum kind k; struct s *s; void (*f)(int); char __user *u; unsigned char raw[4]; }",
    )
    .unwrap();
    let array = |elem, len| Type::Array { elem: Box::new(elem), len };
    assert_eq!(field(&mut types, "s", "text"), Type::Str(8));
    assert_eq!(field(&mut types, "s", "more"), array(Type::Str(4), 2));
    assert_eq!(field(&mut types, "s", "open"), array(Type::Int(Int::I8), 0));
    assert_eq!(field(&mut types, "t", "n"), Type::U32);
    let Type::Enum { int, .. } = field(&mut types, "t", "k") else { panic!() };
    assert_eq!(int, Int::I32);
    let Some(s) = types.find(Some(Tag::Struct), "s") else { panic!() };
    assert_eq!(types.find(None, "s"), Some(s.clone()));
    assert_eq!(field(&mut types, "t", "s"), Type::ptr(s, Space::Unknown));
    assert_eq!(field(&mut types, "t", "f"), Type::ptr(Type::Void, Space::Unknown));
    assert_eq!(field(&mut types, "t", "u"), Type::ptr(Type::Int(Int::I8), Space::User));
    assert_eq!(field(&mut types, "t", "raw"), array(Type::U8, 4));
    let (ty, value) = types.enumerator("B").unwrap();
    assert_eq!((ty, value), (types.find(Some(Tag::Enum), "kind").unwrap(), -3));
    // The language's names stay what they are.
    assert_eq!(types.find(None, "string"), Some(Type::Str(0)));
}

#[test]
fn the_script_s_types_win_over_the_kernel_s() {
    let mut types = defined(
        "struct holder { struct task_struct *task; struct path path; };
         struct task_struct { int x; };",
    )
    .unwrap();
    if let Some(problem) = types.problem() {
        crate::testing::skip("btf", problem);
        return;
    }
    let task = structure(&mut types, Tag::Struct, "task_struct");
    assert_eq!((task.size, task.fields.len()), (4, 1));
    let Some(task) = types.find(None, "task_struct") else { panic!() };
    assert_eq!(field(&mut types, "holder", "task"), Type::ptr(task.clone(), Space::Unknown));
    // In the kernel's own structs too.
    assert_eq!(field(&mut types, "mutex_waiter", "task"), Type::ptr(task, Space::Kernel));
}

#[test]
fn what_the_script_only_mentions_is_the_kernel_s() {
    let mut types = defined(
        "struct a { struct task_struct *task; struct nobody_knows *other; }; struct b { struct list_head list; int x; };",
    )
    .unwrap();
    if let Some(problem) = types.problem() {
        crate::testing::skip("btf", problem);
        return;
    }
    let Some(task) = types.find(Some(Tag::Struct), "task_struct") else { panic!() };
    assert_eq!(field(&mut types, "a", "task"), Type::ptr(task.clone(), Space::Unknown));
    assert_eq!(field(&mut types, "task_struct", "group_leader"), Type::ptr(task, Space::Kernel));
    assert_eq!(field(&mut types, "task_struct", "pid"), Type::I32);
    let b = structure(&mut types, Tag::Struct, "b");
    assert_eq!((b.size, b.align, b.field("x").unwrap().offset), (24, 8, 16));
    assert_eq!(types.find(Some(Tag::Struct), "nobody_knows"), None);
}

#[test]
fn mistakes_are_told_with_their_places() {
    for (text, message) in [
        ("struct a { int x y; };", "stdin:1:18-19: ERROR: expected `;` after a field, found `y`"),
        ("struct a { int x; }; struct a { int y; };", "stdin:1:29-30: ERROR: struct a is defined twice"),
        ("struct a { int x; int x; };", "stdin:1:23-24: ERROR: there are two fields named `x`"),
        ("struct a { int x; struct { int x; }; };", "there are two fields named `x`"),
        ("struct a { struct a b; };", "stdin:1:21-22: ERROR: struct a is not complete at this place"),
        ("struct a { struct b b; }; struct b { int x; };", "struct b is not complete"),
        ("struct a { void x; };", "`void` has no size"),
        ("struct a { int f(int); };", "a function has no size"),
        ("struct a { int x[-1]; };", "stdin:1:18-20: ERROR: an array cannot have -1 elements"),
        ("struct a { int x[2 / 0]; };", "this divides by zero"),
        ("struct a { int x[1 << 40]; };", "shifts by more bits"),
        ("struct a { int x[1000000000]; };", "this array is too large"),
        ("struct a { int x : 33; };", "a bitfield of this type cannot have 33 bits"),
        ("struct a { int x : 0; };", "the bitfield `x` has no bits"),
        ("struct a { void *x : 3; };", "only integers and enums can be bitfields"),
        ("struct a { long short x; };", "`long short` is not a type of C"),
        ("struct a { string x; };", "it is a type of the language, but not of C"),
        ("struct a { int x; } __attribute__((aligned(3)));", "3 is not an alignment"),
        ("struct a { int x __attribute__((vector_size(2))); };", "this cannot be a vector of 2 bytes"),
        ("struct a { int x __attribute__((mode(QI))); };", "`mode` is not supported"),
        ("enum e { A, A };", "the constant `A` is defined twice"),
        ("enum e { A }; union e { int x; };", "union e is defined twice"),
        ("union e { int x; }; struct a { struct e e; };", "`e` is no struct"),
        ("typedef int t; typedef long t;", "the type `t` is defined twice"),
        ("typedef int 3;", "expected a name, found `3`"),
        ("struct a { int; };", ""),
        ("struct a { typeof(int; };", "expected `)` after `typeof(`"),
        ("struct a { int x; }; struct b { typeof(((struct a *)0)->y) x; };", "there is no field `y`"),
        (
            "struct a { int x; }; struct b { typeof(((struct a *)0)->x[1]) x; };",
            "neither an array nor a pointer",
        ),
        ("#define M(x) x\nstruct a { M() int y; M int z; };", "stdin:2:23-24: ERROR:"),
        ("struct a { int @x; };", "`@` means nothing in C"),
    ] {
        match defined(text) {
            Ok(_) => assert_eq!(message, "", "{text}: no error"),
            Err(error) => assert!(error.contains(message) && !message.is_empty(), "{text}: {error}"),
        }
    }
}

#[test]
fn no_depth_ends_the_stack() {
    let deep = 100_000;
    let chain: String = (1..2000).map(|n| format!("struct s{n} {{ struct s{} x; }};\n", n - 1)).collect();
    let types: String = (1..2000).map(|n| format!("typedef t{} *t{n};\n", n - 1)).collect();
    for text in [
        format!("struct s0 {{ int x; }};\n{chain}"),
        format!("typedef int t0;\n{types}"),
        format!("struct a {{ int {}x; }};", "*".repeat(deep)),
        format!("struct a {{ int x{}; }};", "[1]".repeat(deep)),
        format!("struct a {{ int {}x{}; }};", "(".repeat(deep), ")".repeat(deep)),
        format!("struct a {{ int x[{}1{}]; }};", "(".repeat(deep), ")".repeat(deep)),
        format!("struct a {{ int x[{}1]; }};", "~".repeat(deep)),
        format!("struct a {{ int x[{}1]; }};", "1?1:".repeat(deep)),
        format!("struct a {{ int x[{}1]; }};", "(int)".repeat(deep)),
        format!("struct a {}int x;{};", "{ struct ".repeat(deep), "}".repeat(deep)),
    ] {
        let error = defined(&text).err().unwrap_or_else(|| panic!("{} is no error", &text[..60]));
        assert!(error.contains("deep") || error.contains("too many"), "{error:.300}");
    }
}

/// The types of a script that includes a header of this text; `None`, loudly, where libclang is not installed.
fn with_header(header: &str, script: &str, names: &[&str]) -> Option<Result<Types, Vec<String>>> {
    if let Err(why) = libclang::Clang::open(None) {
        crate::testing::skip("libclang", why);
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("header.h"), header).unwrap();
    let includes = Includes { directories: vec![directory.path().to_owned()], ..Includes::default() };
    Some(included(&format!("#include <header.h>\n{script}"), &includes, names))
}

fn included(text: &str, includes: &Includes, names: &[&str]) -> Result<Types, Vec<String>> {
    let (script, problems) = syntax::parse(text, FileId::default());
    assert!(problems.is_empty(), "{problems:?}");
    let mut types = Types::new(&Kernel::new());
    let names = || names.iter().map(|name| (*name).to_owned()).collect();
    let mut problems = include(&script.definitions, includes, &names, &mut types);
    problems.extend(define(&script.definitions, &mut types));
    if problems.is_empty() { Ok(types) } else { Err(problems.into_iter().map(|d| d.message).collect()) }
}

#[test]
fn headers_and_scripts_have_the_same_layouts() {
    let Some(read) = with_header(DEFINITIONS, "", &[]) else { return };
    let (mut theirs, mut ours) = (read.unwrap_or_else(|e| panic!("{e:?}")), defined(DEFINITIONS).unwrap());
    for (tag, name) in compared() {
        let spelled = |types: &mut Types| {
            let s = structure(types, tag, name);
            let fields: Vec<_> = s
                .fields
                .iter()
                .map(|f| (f.name.clone(), Spelled(&f.ty, types.layouts()).to_string(), f.offset, f.bits))
                .collect();
            (s.name, s.union, s.size, s.align, fields)
        };
        assert_eq!(spelled(&mut theirs), spelled(&mut ours), "{name}");
    }
}

#[test]
fn headers_come_before_the_kernel_and_after_the_script() {
    let header = "#define SIZE 12\n#define TEXT \"a\" \"b\"\n#define BIG (1ull << 63)\n#define NO_VALUE (1 + )\n
                  enum mode { SLOW = -1, FAST = 9 };\ntypedef struct { struct task_struct *t; } holder;
                  struct task_struct { int x; };\nstruct both { int of_header; };\n#define NO_VALUE_YET(x) x\n";
    let script = "struct both { char of_script[SIZE]; }; struct uses { holder h; struct task_struct t; };";
    let names = ["SIZE", "TEXT", "BIG", "NO_VALUE", "NO_VALUE_YET", "FAST", "no_such_name"];
    let Some(read) = with_header(header, script, &names) else { return };
    let mut types = read.unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(types.constant("SIZE"), Some(Named::Number(12)));
    assert_eq!(types.constant("TEXT"), Some(Named::Text(b"ab".to_vec())));
    assert_eq!(types.constant("BIG"), Some(Named::Number(1 << 63)));
    assert!([types.constant("NO_VALUE"), types.constant("NO_VALUE_YET")].iter().all(Option::is_none));
    let mode = types.find(Some(Tag::Enum), "mode").unwrap();
    assert_eq!(types.constant("FAST"), Some(Named::Enumerator(mode, 9)));
    assert_eq!(structure(&mut types, Tag::Struct, "both").size, 12);
    let task = types.find(Some(Tag::Struct), "task_struct").unwrap();
    assert_eq!(structure(&mut types, Tag::Struct, "task_struct").size, 4);
    let uses = structure(&mut types, Tag::Struct, "uses");
    assert_eq!((uses.size, uses.field("t").unwrap().ty.clone()), (16, task.clone()));
    let Type::Struct(holder) = uses.field("h").unwrap().ty else { panic!() };
    let holder = types.structure(holder).unwrap();
    assert_eq!(holder.field("t").unwrap().ty, Type::ptr(task, Space::Unknown));
}

#[test]
fn mistakes_in_headers_are_told() {
    let Some(read) = with_header("int x\nstruct a { unknown_t t; };", "", &[]) else { return };
    let messages = read.err().unwrap();
    assert!(messages[0].contains("header.h:1:6: expected ';'"), "{messages:?}");
    assert!(messages[1].contains("header.h:2:12: unknown type name 'unknown_t'"), "{messages:?}");
}

#[test]
fn without_libclang_only_others_headers_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("nowhere").into_os_string();
    let includes = Includes {
        directories: vec![directory.path().to_owned()],
        libclang: Some(nowhere),
        ..Includes::default()
    };
    std::fs::write(directory.path().join("header.h"), "struct a { int x; };").unwrap();
    let messages = included("#include <header.h>", &includes, &[]).err().unwrap();
    assert!(
        messages[0].starts_with("the header <header.h> cannot be read: LIBCLANG_PATH is"),
        "{messages:?}"
    );
    // Only a name that nothing else defines needs this one.
    std::fs::create_dir(directory.path().join("linux")).unwrap();
    std::fs::write(directory.path().join("linux/some.h"), "struct a { int x; };").unwrap();
    let mut types = included("#include <linux/some.h>\nstruct b { u8 x; };", &includes, &[]).unwrap();
    assert_eq!((types.find(Some(Tag::Struct), "b").is_some(), types.unread_headers()), (true, None));
    assert_eq!(types.find(Some(Tag::Struct), "no_such_struct"), None);
    assert!(types.unread_headers().unwrap().0.contains("were not read"));
}
