//! Small programs, compiled on the spot in every form of debug information that there is.

mod crafted;

use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::kernel::Kernel;
use crate::process::elf::Elf;
use crate::types::store::Named;
use crate::types::{Bits, Field, Int, Space, Spelled};

const C: &str = r#"
typedef unsigned long word;
enum color { RED, GREEN = 5, BLUE = -2 };
enum { LONELY = 77 };
struct later;
struct item {
    int id;
    char name[12];
    const struct item *next;
    struct later *later;
    unsigned low : 3, high : 5;
    union { long number; char bytes[8]; };
    short grid[2][3];
    enum color color;
    double weight;
    void (*call)(int);
};
struct pair { long a, b; };
struct large { long a, b, c; };
struct __attribute__((packed)) tight { char c; int i; };
struct tight tight;
__attribute__((noinline)) int plain(const struct item *item, word count, char letter) {
    return item->id + count + letter;
}
__attribute__((noinline)) struct large mixed(double d, struct pair pair, struct large large, int last)
{
    large.a += pair.a + last + (int)d;
    return large;
}
__attribute__((always_inline)) static inline int twice(int n)
{
    return n + n; // inlined
}
int main(int argc, char **argv)
{
    struct item item = { .id = 1, .color = GREEN };
    struct pair pair = { 1, 2 };
    struct large large = { 1, 2, 3 };
    int sum = plain(&item, 2, 'c');
    sum += twice(argc);
    sum += twice(sum);
    return sum + mixed(1.5, pair, large, 4).a + LONELY + tight.i;
}
"#;

/// A program of one source file; `None` where there is no compiler.
struct Made {
    dir: tempfile::TempDir,
}

impl Made {
    fn new(compiler: &str, name: &str, text: &str, flags: &[&str]) -> Option<Made> {
        let made = Made { dir: tempfile::tempdir().unwrap() };
        std::fs::write(made.path(name), text).unwrap();
        let mut command = Command::new(compiler);
        command.current_dir(made.dir.path()).args(["-g", "-O0", name, "-o", "program"]).args(flags);
        made.run(command).then_some(made)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self) -> PathBuf {
        self.path("program")
    }

    /// Whether there is such a command; that it works is expected.
    fn run(&self, mut command: Command) -> bool {
        match command.output() {
            Ok(output) if output.status.success() => true,
            Ok(output) => panic!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)),
            Err(e) => {
                let name = command.get_program().to_string_lossy().into_owned();
                let need = if matches!(&*name, "gcc" | "g++") { "cc" } else { &*name };
                crate::testing::skip(need, format!("{name} cannot be run: {e}"));
                false
            }
        }
    }

    fn tool(&self, name: &str, args: &[&str]) -> bool {
        let mut command = Command::new(name);
        command.current_dir(self.dir.path()).args(args);
        self.run(command)
    }
}

fn types(dirs: &[PathBuf]) -> Types {
    Types::new(&Kernel::new()).with_debug_files(dirs)
}

fn address(program: &Path, function: &str) -> u64 {
    let elf = Elf::open(program).unwrap();
    elf.function(function).unwrap().unwrap_or_else(|| panic!("no {function}")).address
}

fn declared(types: &mut Types, program: &Path, function: &str) -> Vec<String> {
    let address = address(program, function);
    types.program_declaration(program, address).unwrap().unwrap().params
}

fn spelled(types: &Types, ty: &Type) -> String {
    Spelled(ty, types.layouts()).to_string()
}

/// What every form has to say about the program in C.
fn check(program: &Path, dirs: &[PathBuf]) {
    let mut types = types(dirs);
    let plain = ["const struct item* item", "word count", "char letter"];
    assert_eq!(declared(&mut types, program, "plain"), plain);
    let function = types.program_function(program, address(program, "plain")).unwrap().unwrap();
    let params: Vec<String> = function.params.iter().map(|p| spelled(&types, &p.ty)).collect();
    assert_eq!(params, ["struct item *", "uint64", "int8"]);
    assert_eq!(function.result.unwrap().0, Type::I32);
    types.look_in(Some(program));
    let item = types.find(Some(Tag::Struct), "item").unwrap();
    assert_eq!(
        function.params[0].ty,
        Type::ptr(item.clone(), Space::User),
        "one struct, however it is found"
    );
    let Type::Struct(id) = item else { panic!() };
    let item = types.structure(id).unwrap().clone();
    assert_eq!((item.size, item.align), (80, 8));
    let field = |name: &str| item.field(name).unwrap_or_else(|| panic!("no {name}")).clone();
    assert_eq!(field("name"), Field { name: "name".into(), ty: Type::Str(12), offset: 4, bits: None });
    assert_eq!(field("next").ty, Type::ptr(Type::Struct(id), Space::User));
    let bits = |name: &str| (field(name).offset, field(name).bits.unwrap());
    assert_eq!(bits("low"), (32, Bits { shift: 0, width: 3 }));
    assert_eq!(bits("high"), (32, Bits { shift: 3, width: 5 }));
    assert_eq!((field("number").offset, field("bytes").ty), (40, Type::Str(8)));
    let row = Type::Array { elem: Box::new(Type::Int(Int::I16)), len: 3 };
    assert_eq!(field("grid").ty, Type::Array { elem: Box::new(row), len: 2 });
    assert_eq!(field("weight").ty, Type::DOUBLE);
    let Type::Enum { id, int } = field("color").ty else { panic!("{:?}", field("color")) };
    assert_eq!(int, Int::I32);
    assert_eq!(types.enumeration(id).unwrap().values[2], ("BLUE".into(), -2));
    assert_eq!(types.constant("GREEN"), Some(Named::Enumerator(Type::Enum { id, int }, 5)));
    assert!(matches!(types.constant("LONELY"), Some(Named::Enumerator(_, 77))));
    // What is only declared stays so.
    let Type::Ptr { to, .. } = field("later").ty else { panic!() };
    let Type::Struct(later) = *to else { panic!() };
    assert!(types.structure(later).is_none());
    let Some(Type::Struct(tight)) = types.find(Some(Tag::Struct), "tight") else { panic!() };
    assert_eq!(types.structure(tight).map(|s| (s.size, s.align)), Some((5, 1)));
    // In no program, and then the script's names are the kernel's again.
    types.look_in(None);
    assert_ne!(types.find(Some(Tag::Struct), "tight"), Some(Type::Struct(tight)));
    let line = C.lines().position(|line| line.contains("// inlined")).unwrap() as u64 + 1;
    let at = |types: &mut Types, file: &str, line, column| {
        types.program_line(program, &Source { file: file.into(), line, column }).unwrap()
    };
    assert_eq!(at(&mut types, "program.c", line, 0).unwrap().len(), 2, "a place for each inlined copy");
    let opens = C.lines().position(|l| l.contains("int plain")).unwrap() as u64 + 1;
    let first = at(&mut types, "program.c", opens, 0).unwrap();
    assert_eq!(first, [address(program, "plain")], "a function's line is where it begins");
    assert_eq!(at(&mut types, "program.c", 2, 0), Err(NoCode::Line(None, Some(opens))));
    assert!(matches!(at(&mut types, "program.c", opens, 999), Err(NoCode::Column(_) | NoCode::Line(..))));
    assert!(matches!(at(&mut types, "rogram.c", opens, 0), Err(NoCode::File(_))));
    assert_eq!(types.program_inlined(program, "twice"), Some(("program.c".into(), line - 2)));
    assert_eq!(types.program_inlined(program, "plain"), None);
}

#[test]
fn every_version_and_form_says_the_same() {
    let forms: [&[&str]; 9] = [
        &["-gdwarf-4"],
        &["-gdwarf-5"],
        &["-gdwarf-5", "-gz"],
        &["-gdwarf-4", "-gsplit-dwarf"],
        &["-gdwarf-5", "-gsplit-dwarf"],
        &["-gdwarf-4", "-fdebug-types-section"],
        &["-gdwarf-5", "-fdebug-types-section"],
        &["-gdwarf-4", "-fdebug-types-section", "-gsplit-dwarf"],
        &["-gdwarf-5", "-no-pie", "-gz", "-gsplit-dwarf"],
    ];
    for flags in forms {
        let Some(made) = Made::new("gcc", "program.c", C, flags) else { return };
        eprintln!("{flags:?}");
        check(&made.program(), &[]);
    }
    for flags in
        [&["-gdwarf-5", "-gpubnames"][..], &["-gdwarf-4", "-gsplit-dwarf"], &["-gdwarf-5", "-gsplit-dwarf"]]
    {
        let Some(made) = Made::new("clang", "program.c", C, flags) else { return };
        eprintln!("clang {flags:?}");
        check(&made.program(), &[]);
    }
}

#[test]
fn packages_of_split_units() {
    for (packager, version) in [("dwp", "-gdwarf-4"), ("llvm-dwp-19", "-gdwarf-5")] {
        let Some(made) = Made::new("gcc", "program.c", C, &[version, "-gsplit-dwarf"]) else { return };
        if !made.tool(packager, &["-e", "program", "-o", "program.dwp"]) {
            continue;
        }
        for entry in std::fs::read_dir(made.dir.path()).unwrap().flatten() {
            if entry.path().extension().is_some_and(|e| e == "dwo") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        check(&made.program(), &[]);
        // Without it there are the addresses, and no functions.
        std::fs::remove_file(made.path("program.dwp")).unwrap();
        let mut types = types(&[]);
        let address = address(&made.program(), "plain");
        assert_eq!(types.program_function(&made.program(), address), Ok(None));
    }
}

#[test]
fn separate_files() {
    let Some(made) = Made::new("gcc", "program.c", C, &["-Wl,--build-id"]) else { return };
    let program = made.program();
    if !made.tool("objcopy", &["--only-keep-debug", "program", "whole.debug"])
        || !made.tool("objcopy", &["--strip-debug", "program"])
    {
        return;
    }
    let missing = |program: &Path, dirs: &[PathBuf]| types(dirs).program_function(program, 0).err();
    assert_eq!(missing(&program, &[]), Some(Missing::None));
    let place = |name: &str| {
        std::fs::create_dir_all(made.path(name).parent().unwrap()).unwrap();
        std::fs::copy(made.path("whole.debug"), made.path(name)).unwrap();
    };
    // By the program's own name, beside it, below, and in a directory that is asked for.
    place(".debug/program.debug");
    check(&program, &[]);
    std::fs::remove_dir_all(made.path(".debug")).unwrap();
    place("elsewhere/program.debug");
    assert_eq!(missing(&program, &[]), Some(Missing::None));
    check(&program, &[made.path("nowhere"), made.path("elsewhere")]);
    // One that is not absolute is beside the program.
    check(&program, &["elsewhere".into()]);
    std::fs::remove_dir_all(made.path("elsewhere")).unwrap();
    // By its build id.
    let map = std::fs::read(&program).unwrap();
    let id = object::Object::build_id(&object::File::parse(&*map).unwrap()).unwrap().unwrap().to_vec();
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    place(&format!("ids/.build-id/{}/{}.debug", &hex[..2], &hex[2..]));
    check(&program, &[made.path("ids")]);
    // By a link, with any name.
    if !made.tool("objcopy", &["--add-gnu-debuglink=whole.debug", "program"]) {
        return;
    }
    check(&program, &[]);
    // Not what belongs to another build.
    let other = Made::new("gcc", "program.c", &C.replace("RED", "PURPLE"), &["-Wl,--build-id"]).unwrap();
    std::fs::copy(other.program(), made.path("whole.debug")).unwrap();
    assert_eq!(missing(&program, &[]), Some(Missing::None));
}

#[test]
fn a_link_without_build_ids_goes_by_the_checksum() {
    let Some(made) = Made::new("gcc", "program.c", C, &["-Wl,--build-id=none"]) else { return };
    let steps: [&[&str]; 3] = [
        &["--only-keep-debug", "program", "linked.debug"],
        &["--strip-debug", "program"],
        &["--add-gnu-debuglink=linked.debug", "program"],
    ];
    if !steps.iter().all(|args| made.tool("objcopy", args)) {
        return;
    }
    check(&made.program(), &[]);
    let mut bytes = std::fs::read(made.path("linked.debug")).unwrap();
    bytes.push(0);
    std::fs::write(made.path("linked.debug"), bytes).unwrap();
    let found = types(&[]).program_function(&made.program(), 0).err();
    assert_eq!(found, Some(Missing::None));
}

#[test]
fn what_decides_where_arguments_are() {
    let Some(made) = Made::new("gcc", "program.c", C, &[]) else { return };
    let mut types = types(&[]);
    let program = made.program();
    let function = types.program_function(&program, address(&program, "mixed")).unwrap().unwrap();
    let seen: Vec<_> = function
        .params
        .iter()
        .map(|p| {
            (p.passed.size, p.passed.composite, p.passed.scalars.iter().map(|s| s.class).collect::<Vec<_>>())
        })
        .collect();
    let integers = |n: usize| vec![Class::Integer; n];
    assert_eq!(
        seen,
        [
            (8, false, vec![Class::Float]),
            (16, true, integers(2)),
            (24, true, integers(3)),
            (4, false, integers(1))
        ]
    );
    assert_eq!(function.result.unwrap().1.size, 24);
}

const CPP: &str = r#"
namespace ns {
enum class Color : short { Red = -1, Green = 5 };
enum { HIDDEN = 42 };
struct Base { int base; };
class Foo : public Base {
public:
    int x;
    Color color;
    static int shared;
    Foo *next;
    __attribute__((noinline)) int get(int n) const { return n + x; }
};
struct Counted { Counted(const Counted &); ~Counted(); long n; };
__attribute__((noinline)) Counted::Counted(const Counted &other) { n = other.n + 1; }
__attribute__((noinline)) Counted::~Counted() { n = 0; }
__attribute__((noinline)) long take(Counted counted, Foo &foo, Foo plain) { return counted.n + foo.x + plain.x; }
}
int ns::Foo::shared = 1;
int main() {
    ns::Foo foo{};
    foo.next = &foo;
    alignas(ns::Counted) char bytes[sizeof(ns::Counted)] = {};
    return foo.get(1) + ns::take(*(ns::Counted *)bytes, foo, foo) + ns::HIDDEN;
}
"#;

#[test]
fn classes() {
    for flags in [&["-gdwarf-4"][..], &["-gdwarf-5"], &["-fdebug-types-section"]] {
        let Some(made) = Made::new("g++", "program.cc", CPP, flags) else { return };
        let (mut types, program) = (types(&[]), made.program());
        let get = declared(&mut types, &program, "_ZNK2ns3Foo3getEi");
        assert_eq!(get, ["const class ns::Foo* const this", "int n"], "{flags:?}");
        let take = "_ZN2ns4takeENS_7CountedERNS_3FooES1_";
        let take = types.program_function(&program, address(&program, take)).unwrap().unwrap();
        let by_address: Vec<bool> = take.params.iter().map(|p| p.passed.by_address).collect();
        assert_eq!(by_address, [true, false, false]);
        types.look_in(Some(&program));
        // With the namespace or, as long as that is clear, without.
        let foo = types.find(None, "ns::Foo").unwrap();
        assert_eq!(types.find(Some(Tag::Struct), "Foo").as_ref(), Some(&foo));
        assert_eq!(take.params[1].ty, Type::ptr(foo.clone(), Space::User));
        let Type::Struct(id) = foo else { panic!() };
        let layout = types.structure(id).unwrap();
        assert_eq!(layout.name, "ns::Foo");
        let fields: Vec<(&str, u32)> = layout.fields.iter().map(|f| (f.name.as_str(), f.offset)).collect();
        assert_eq!(fields, [("x", 4), ("color", 8), ("next", 16), ("base", 0)]);
        assert!(matches!(types.constant("HIDDEN"), Some(Named::Enumerator(_, 42))));
        assert!(matches!(
            types.constant("Red"),
            Some(Named::Enumerator(Type::Enum { int: Int::I16, .. }, -1))
        ));
    }
}

#[test]
fn a_declaration_is_found_in_another_unit() {
    let first = "struct secret; int look(struct secret *s) { return s != 0; }";
    let second =
        "struct secret { int code; } s; int look(struct secret *); int main(void) { return look(&s); }";
    let Some(made) = Made::new("gcc", "first.c", first, &["-c"]) else { return };
    std::fs::write(made.path("second.c"), second).unwrap();
    std::fs::rename(made.program(), made.path("first.o")).unwrap();
    assert!(made.tool("gcc", &["-g", "second.c", "first.o", "-o", "program"]));
    let (mut types, program) = (types(&[]), made.program());
    let look = types.program_function(&program, address(&program, "look")).unwrap().unwrap();
    let Type::Ptr { to, .. } = &look.params[0].ty else { panic!() };
    let Type::Struct(id) = **to else { panic!() };
    assert!(types.structure(id).unwrap().field("code").is_some());
}

#[test]
fn damage_is_no_panic() {
    let Some(made) = Made::new("gcc", "program.c", C, &["-gdwarf-5"]) else { return };
    let program = made.program();
    let (whole, address) = (std::fs::read(&program).unwrap(), address(&program, "plain"));
    let file = object::File::parse(&*whole).unwrap();
    let ranges: Vec<(usize, usize)> = [".debug_info", ".debug_abbrev", ".debug_line", ".debug_str"]
        .into_iter()
        .filter_map(|name| object::ObjectSection::file_range(&object::Object::section_by_name(&file, name)?))
        .map(|(start, size)| (start as usize, size as usize))
        .collect();
    let broken = made.path("broken");
    for (start, size) in ranges {
        for at in (start..start + size).step_by(size / 40 + 1) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xa5;
            std::fs::write(&broken, bytes).unwrap();
            let mut types = types(&[]);
            let _ = types.program_declaration(&broken, address);
            if let Ok(Some(function)) = types.program_function(&broken, address) {
                function.params.iter().for_each(|param| types.close(&param.ty));
            }
            types.look_in(Some(&broken));
            if let Some(Type::Struct(id)) = types.find(Some(Tag::Struct), "item") {
                types.structure(id);
            }
            let _ = types.constant("LONELY");
            let _ = types.program_line(&broken, &Source { file: "program.c".into(), line: 30, column: 0 });
        }
    }
}
