//! Debug information that no compiler writes: types that are a part of themselves, and sizes that no memory has. What
//! comes of it does not matter, but it has to come, soon and without a panic.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::*;

/// The entries of the tests below: a code, `DW_TAG_…`, whether it has children, and pairs of `DW_AT_…` and
/// `DW_FORM_…`.
const ABBREVIATIONS: &[(&str, &[u8])] = &[
    // Forms: 0x01 addr, 0x07 data8, 0x08 string, 0x0b data1, 0x13 ref4.
    ("unit", &[0x11, 1, 0x11, 0x01, 0x12, 0x07]),
    ("function", &[0x2e, 1, 0x03, 0x08, 0x11, 0x01, 0x12, 0x07]),
    ("param", &[0x05, 0, 0x03, 0x08, 0x49, 0x13]),
    ("struct", &[0x13, 1, 0x03, 0x08, 0x0b, 0x07]),
    ("member", &[0x0d, 0, 0x03, 0x08, 0x49, 0x13, 0x38, 0x07]),
    ("anonymous", &[0x0d, 0, 0x49, 0x13, 0x38, 0x07]),
    ("array", &[0x01, 1, 0x49, 0x13]),
    ("range", &[0x21, 0, 0x37, 0x07]),
    ("enum", &[0x04, 0, 0x03, 0x08, 0x49, 0x13]),
    ("base", &[0x24, 0, 0x03, 0x08, 0x0b, 0x07, 0x3e, 0x0b]),
    ("routine", &[0x15, 1, 0x49, 0x13]),
    ("takes", &[0x05, 0, 0x49, 0x13]),
    ("bits", &[0x0d, 0, 0x03, 0x08, 0x49, 0x13, 0x38, 0x07, 0x0d, 0x07]),
    ("typedef", &[0x16, 0, 0x03, 0x08, 0x49, 0x13]),
];

/// A program whose `main` has one parameter `arg`, of the type at the label `ty`. Of each line of `types` the first
/// word is an abbreviation (`end` ends the children), with `LABEL:` before it if it is referred to; the others are
/// the values of its attributes.
fn crafted(types: &str) -> Option<Made> {
    let mut text = String::from(
        ".text\n.globl main\n.type main, @function\nmain: ret\nlast:\n.size main, last - main\n\
         .section .note.GNU-stack,\"\",@progbits\n.section .debug_abbrev,\"\",@progbits\n",
    );
    for (code, (_, rest)) in (1..).zip(ABBREVIATIONS) {
        let rest: Vec<String> = rest.iter().map(u8::to_string).collect();
        writeln!(text, ".byte {code}, {}, 0, 0", rest.join(", ")).unwrap();
    }
    text.push_str(
        ".byte 0\n.section .debug_info,\"\",@progbits\nstart: .long finish - version\nversion: .short 4\n\
         .long .debug_abbrev\n.byte 8\n",
    );
    let function = "unit main 1\nfunction main main 1\nparam arg ty\nend\n";
    for line in function.lines().chain(types.lines()).chain(["end"]) {
        let mut words = line.split_whitespace().peekable();
        if let Some(label) = words.next_if(|word| word.ends_with(':')) {
            writeln!(text, "{label}").unwrap();
        }
        let Some(name) = words.next() else { continue };
        let Some(place) = ABBREVIATIONS.iter().position(|(own, _)| *own == name) else {
            assert_eq!(name, "end");
            text.push_str(".byte 0\n");
            continue;
        };
        writeln!(text, ".byte {}", place + 1).unwrap();
        for attribute in ABBREVIATIONS[place].1[2..].chunks(2) {
            let value = words.next().unwrap();
            match attribute[1] {
                0x08 => writeln!(text, ".asciz \"{value}\""),
                0x0b => writeln!(text, ".byte {value}"),
                0x13 => writeln!(text, ".long {value} - start"),
                _ => writeln!(text, ".quad {value}"),
            }
            .unwrap();
        }
    }
    text.push_str("finish:\n");
    Made::new("gcc", "program.s", &text, &["-g0"])
}

/// Asks all that a probe may ask about the parameter.
fn ask(types: &str) -> Option<Function> {
    let made = crafted(types)?;
    let (program, start) = (made.program(), Instant::now());
    let address = address(&program, "main");
    let mut types = super::types(&[]);
    let declared = types.program_declaration(&program, address).unwrap().unwrap();
    assert!(declared.params[0].len() < 1 << 24, "{}", declared.params[0].len());
    let function = types.program_function(&program, address).unwrap().unwrap();
    assert_eq!(function.params[0].name, "arg");
    types.close(&function.params[0].ty);
    types.look_in(Some(&program));
    if let Some(Type::Struct(id)) = types.find(Some(Tag::Struct), "s") {
        assert!(types.structure(id).is_some());
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    Some(function)
}

const INT: &str = "int: base int 4 5\n";

/// That the entries are read at all.
#[test]
fn what_is_right() {
    let types =
        "ty: struct s 8\nmember a int 0\nanonymous inner 4\nend\ninner: struct t 4\nmember b int 0\nend\n";
    let Some(made) = crafted(&format!("{types}{INT}")) else { return };
    let mut types = super::types(&[]);
    let address = address(&made.program(), "main");
    let function = types.program_function(&made.program(), address).unwrap().unwrap();
    assert_eq!((function.params[0].passed.size, function.params[0].passed.scalars.len()), (8, 2));
    let Type::Struct(id) = function.params[0].ty else { panic!("{function:?}") };
    let fields: Vec<_> =
        types.structure(id).unwrap().fields.iter().map(|f| (f.name.clone(), f.offset)).collect();
    assert_eq!(fields, [("a".to_owned(), 0), ("b".to_owned(), 4)]);
}

#[test]
fn arrays_of_themselves() {
    ask("ty: array ty\nrange 2\nend\n");
    ask("ty: array second\nrange 2\nend\nsecond: typedef t ty\n");
}

#[test]
fn enums_of_themselves() {
    ask("ty: enum e ty\n");
    ask("ty: enum e second\nsecond: typedef t ty\n");
}

#[test]
fn arrays_larger_than_numbers() {
    let ranges = "range 0xffffffff\n".repeat(4);
    ask(&format!("ty: array int\n{ranges}end\n{INT}"));
    ask(&format!("ty: struct s 8\nmember a large 0\nend\nlarge: array int\n{ranges}end\n{INT}"));
    let ranges = "range 1\n".repeat(100_000);
    ask(&format!("ty: array int\n{ranges}end\n{INT}"));
}

#[test]
fn structs_twice_in_themselves() {
    ask("ty: struct s 8\nanonymous ty 0\nanonymous ty 4\nend\n");
    ask("ty: struct s 8\nmember a ty 0\nmember b ty 4\nend\n");
    // Each is twice in the next one, none in itself.
    let mut types = String::from("ty: struct s 8\nanonymous t0 0\nanonymous t0 0\nend\n");
    for n in 0..50 {
        let next = if n == 49 { "int".to_owned() } else { format!("t{}", n + 1) };
        writeln!(types, "t{n}: struct t{n} 8\nanonymous {next} 0\nanonymous {next} 0\nend").unwrap();
    }
    ask(&format!("{types}{INT}"));
}

#[test]
fn arrays_of_nothing() {
    let mut types = String::from("empty: struct none 0\nend\nty: struct s 8\nmember a a0 0\nend\n");
    for n in 0..20 {
        let next = if n == 19 { "empty".to_owned() } else { format!("a{}", n + 1) };
        writeln!(types, "a{n}: array {next}\nrange 100\nend").unwrap();
    }
    ask(&types);
}

#[test]
fn offsets_larger_than_numbers() {
    let far = "0x7fffffffffffffff";
    ask(&format!(
        "ty: struct s {far}\nmember a ty {far}\nmember b complex {far}\nend\ncomplex: base complex 0xfffffffffffffff0 3\n"
    ));
    ask(&format!("ty: struct s {far}\nbits a int {far} 3\nbits b int 0 {far}\nend\n{INT}"));
}

#[test]
fn functions_that_take_themselves_twice() {
    ask("ty: routine ty\ntakes ty\ntakes ty\nend\n");
}
