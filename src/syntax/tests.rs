//! What goldens cannot show: that any text is parsed without failing, and in time.

use std::time::{Duration, Instant};

use super::*;
use crate::diagnostics::Span;

fn quickly(what: &str, text: &str) -> (ast::Script, Vec<Diagnostic>) {
    let start = Instant::now();
    let parsed = parse(text, FileId(0));
    let taken = start.elapsed();
    // Linear work takes a fraction of this, even on a busy machine; quadratic work takes minutes.
    assert!(taken < Duration::from_secs(10), "{what}: {taken:?}");
    for diagnostic in &parsed.1 {
        if let Some(Span { start, end, .. }) = diagnostic.span {
            assert!(start <= end && end as usize <= text.len(), "{what}: {diagnostic:?}");
        }
    }
    parsed
}

#[test]
fn deep_nesting_is_refused() {
    for (open, inner, close) in [
        ("(", "1", ")"),
        ("{", "1", "}"),
        ("@x[", "1", "]"),
        ("f(", "1", ")"),
        ("!", "1", ""),
        ("-", "1", ""),
        ("(uint8)", "1", ""),
        ("++", "$x", ""),
        ("$a ? ", "1", " : 2"),
        ("if (1) ", "{ }", ""),
        ("if (1) { } else ", "{ }", ""),
        ("while (1) {", "", "}"),
        ("", "1", " + 1"),
        ("", "$x", ".a"),
        ("", "$x", "[0]"),
        ("sizeof(", "1", ")"),
        ("(typeof(", "1", "))"),
        ("(", "", ""),
        ("{", "", ""),
        ("", "", ")"),
        ("", "", "}"),
    ] {
        let text = format!("BEGIN {{ $x = {}{inner}{}; }}", open.repeat(5_000), close.repeat(5_000));
        let (_, errors) = quickly(open, &text);
        assert!(!errors.is_empty(), "{open}{inner}{close}");
        let text = format!("BEGIN /{}{inner}{}/ {{ }}", open.repeat(5_000), close.repeat(5_000));
        quickly(open, &text);
    }
    // What is reasonable is not.
    let sum = format!("BEGIN {{ $x = 1{}; }}", " + 1".repeat(200));
    assert_eq!(quickly("sum", &sum).1, []);
    let nested = format!("BEGIN {{ {}{} }}", "if (1) { ".repeat(100), "}".repeat(100));
    assert_eq!(quickly("nested", &nested).1, []);
}

#[test]
fn long_scripts_of_mistakes_take_no_longer_than_others() {
    for piece in [
        "kprobe:f {\n",
        "kprobe:f { print(1\n",
        "kprobe:f { $x = ; }\n",
        "kprobe:f /1 { }\n",
        "kprobe:f /\n",
        "kprobe:f\n",
        "{ }\n",
        "}\n",
        "struct s {\n",
        "#define X\n",
        "config = { a }\n",
        "\"\n",
        "'",
        "$",
        "/* */",
        "// x\n",
        " \n",
        "\u{1}",
        "é",
        "/*",
        "BEGIN { \"\n",
        "kprobe:f,",
        "a b ",
        "macro f(\n",
        "let ",
        "import \"",
    ] {
        let (_, errors) = quickly(piece, &piece.repeat(5_000));
        assert!(errors.len() <= 51, "{piece}");
        quickly(piece, &format!("BEGIN {{ {} }}", piece.repeat(5_000)));
    }
}

/// Scripts from pieces that have a meaning somewhere, put together without any.
#[test]
fn any_text_is_parsed_somehow() {
    const PIECES: &[&str] = &[
        "kprobe:f",
        "BEGIN",
        "uprobe:/a/b:c",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "/",
        "//",
        "/*",
        "*/",
        "\"",
        "'",
        "\\",
        "\n",
        " ",
        ";",
        ",",
        ":",
        "?",
        ".",
        "..",
        "->",
        "+",
        "-",
        "*",
        "=",
        "==",
        "<",
        ">>=",
        "!",
        "~",
        "++",
        "&",
        "|",
        "$x",
        "$1",
        "$#",
        "$",
        "@",
        "@x",
        "x",
        "pid",
        "1",
        "0x",
        "1e",
        "08",
        "5ms",
        "\"s\\n\"",
        "\"\\q\"",
        "if",
        "else",
        "while",
        "for",
        "unroll",
        "let",
        "return",
        "struct",
        "union",
        "sizeof",
        "offsetof",
        "typeof",
        "uint64",
        "import",
        "config",
        "macro",
        "fn",
        "#include <x>\n",
        "#define X 1\n",
        "#",
        "é",
        "“",
        "\u{a0}",
        "\0",
        "\t",
        "in",
        "comptime",
    ];
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for round in 0..4000 {
        let mut text = String::new();
        if round % 2 == 0 {
            text.push_str("kprobe:f { ");
        }
        for _ in 0..random(40) {
            text.push_str(PIECES[random(PIECES.len())]);
            if random(3) == 0 {
                text.push(' ');
            }
        }
        let (script, errors) = quickly(&text, &text);
        // What is said has to be printable, and the tree as well.
        let sources = crate::diagnostics::Sources::single("stdin", text.as_str());
        let said = crate::diagnostics::render::text(&errors, &sources, false);
        assert_eq!(said.is_empty(), errors.is_empty());
        dump::script(&script);
    }
}

#[test]
fn spans_are_exact() {
    let text = "kprobe:a,\n  uprobe:/b:c /pid/ { $x = (1 + @y[2]) * f(3); }";
    let (script, errors) = parse(text, FileId(0));
    assert_eq!(errors, []);
    let shown = |span: Span| &text[span.start as usize..span.end as usize];
    let probe = &script.probes[0];
    assert_eq!(shown(probe.span), "kprobe:a,\n  uprobe:/b:c");
    assert_eq!(shown(probe.attach_points[1].span), "uprobe:/b:c");
    assert_eq!(shown(probe.attach_points[1].parts[2].span), "c");
    assert_eq!(probe.predicate.as_ref().map(|p| shown(p.span)), Some("pid"));
    assert_eq!(shown(probe.body.span), "{ $x = (1 + @y[2]) * f(3); }");
    let mut spans = vec![];
    visit::script(&mut script.clone(), &mut |e| spans.push(shown(e.span)));
    assert_eq!(spans, ["pid", "$x", "1", "2", "@y[2]", "1 + @y[2]", "3", "f(3)", "(1 + @y[2]) * f(3)"]);
    assert_eq!(shown(probe.body.statements[0].span), "$x = (1 + @y[2]) * f(3)");
}

#[test]
fn patterns_of_listings_are_attach_points() {
    let parts = |text: &str| -> Vec<String> {
        parse_attach_point(text, FileId(0)).unwrap().parts.into_iter().map(|p| p.text).collect()
    };
    assert_eq!(parts("tracepoint:syscalls:sys_enter_*"), ["tracepoint", "syscalls", "sys_enter_*"]);
    assert_eq!(parts("*sleep*"), ["*sleep*"]);
    assert_eq!(parts("uprobe:/bin/a b:f/g"), ["uprobe", "/bin/a b", "f/g"]);
    assert_eq!(parts("uprobe:\"x:y\":z"), ["uprobe", "x:y", "z"]);
    assert_eq!(parts(""), [""]);
    assert_eq!(parse_attach_point("uprobe:\"x", FileId(0)).unwrap_err().code, "unclosed-string");
}
