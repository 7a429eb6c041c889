use super::*;
use crate::diagnostics::{FileId, Sources, render};
use crate::syntax;

/// The dump of the expanded script, or what was said about it.
fn expanded(text: &str, positional: &[&str]) -> Result<String, String> {
    run(text, positional, &[]).map(|(script, _)| syntax::dump::script(&script))
}

fn run(text: &str, positional: &[&str], from_env: &[&'static str]) -> Result<(Script, Config), String> {
    let (script, errors) = syntax::parse(text, FileId::default());
    assert!(errors.is_empty(), "{errors:?}");
    let positional: Vec<String> = positional.iter().map(|s| (*s).to_owned()).collect();
    let inputs = Inputs {
        positional: &positional,
        named: &[],
        directory: Path::new(""),
        config: &Config::default(),
        config_from_env: from_env,
        has_btf: &|| true,
    };
    let mut sources = Sources::single("stdin", text);
    let Expanded { script, config, diagnostics, .. } = expand(script, &inputs, &mut sources);
    if diagnostics.is_empty() {
        Ok((script, config))
    } else {
        Err(render::text(diagnostics.iter(), &sources, false))
    }
}

#[test]
fn parameters_take_their_places_in_attach_points() {
    let dump = expanded("uprobe:$1:f+$2, uprobe:\"$1\":g { }", &["/bin/sh", "4"]).unwrap();
    assert!(dump.contains(r#"(attach "uprobe" "/bin/sh" "f+4")"#), "{dump}");
    assert!(dump.contains(r#"(attach "uprobe" "$1" "g")"#), "{dump}");
    let dump = expanded("uprobe:$1 { }", &["/bin/sh:main"]).unwrap();
    assert!(dump.contains(r#"(attach "uprobe" "/bin/sh" "main")"#), "{dump}");
    let error = expanded("kprobe:x_$2 { }", &["a"]).unwrap_err();
    assert!(error.starts_with("stdin:1:10-12: ERROR: the probe needs parameter $2"), "{error}");
    assert!(error.contains("only one was given"), "{error}");
    for bad in ["kprobe:a$ { }", "kprobe:$0 { }", "kprobe:$a { }", "kprobe:$# { }"] {
        assert!(expanded(bad, &["1"]).unwrap_err().contains("begins a parameter"), "{bad}");
    }
}

#[test]
fn the_config_block_sets_what_the_environment_does_not() {
    let text = "config = { max_strlen = 64; BPFTRACE_STACK_MODE = perf; license = \"GPL v2\" } BEGIN { }";
    let (_, config) = run(text, &[], &["max_strlen"]).unwrap();
    assert_eq!(config.max_strlen, Config::default().max_strlen);
    assert_eq!(config.stack_mode, crate::types::StackMode::Perf);
    assert_eq!(config.license, "GPL v2");
}

#[test]
fn wrong_settings_are_refused_in_their_place() {
    for (text, message) in [
        (
            "config = { max_strlem = 1 } BEGIN { }",
            "stdin:1:12-26: ERROR: there is no config variable `max_strlem`",
        ),
        ("config = { max_strlem = 1 } BEGIN { }", "HINT: did you mean `max_strlen`?"),
        (
            "config = { max_strlen = many } BEGIN { }",
            "stdin:1:25-29: ERROR: `many` is not a value of `max_strlen`",
        ),
        ("config = { max_strlen = 1 + 1 } BEGIN { }", "cannot be calculated"),
        ("config = { vmlinux = \"x\" } BEGIN { }", "set BPFTRACE_VMLINUX in the environment"),
        (
            "config = { strlen = 64 } BEGIN { }",
            "WARNING: the config variable `strlen` is now called `max_strlen`",
        ),
        ("config = { unstable_macro = enable } BEGIN { }", "WARNING"),
        ("config = { unstable_tseries = maybe } BEGIN { }", "it takes enable, warn or error"),
    ] {
        let error = run(text, &[], &["max_strlen"]).unwrap_err();
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn defines_are_values() {
    let text =
        "#define A 1\n#define B (A + \\\n 2)\n#define FMT \"%d\\n\"\nBEGIN { printf(FMT, B * A); $A = A; }";
    let dump = expanded(text, &[]).unwrap();
    assert!(dump.contains(r#"(call printf "%d\n" (* (+ 1 2) 1))"#), "{dump}");
    assert!(dump.contains("(= $A 1)"), "{dump}");
    // One that names itself is left alone.
    assert!(expanded("#define X X\nBEGIN { print(X); }", &[]).unwrap().contains("(call print X)"));
    let error = expanded("#define X Y\n#define Y X\nBEGIN { print(X); }", &[]).unwrap_err();
    assert!(error.contains("leads to itself"), "{error}");
    let doubling: String = (1..60).map(|n| format!("#define X{n} (X{0} + X{0})\n", n - 1)).collect();
    let error = expanded(&format!("#define X0 1\n{doubling}BEGIN {{ print(X59); }}"), &[]).unwrap_err();
    assert!(error.contains("too much"), "{error}");
    let error = expanded(&format!("#define X0 1\n{doubling}#if X59\n#endif\nBEGIN {{ }}"), &[]).unwrap_err();
    assert!(error.contains("cannot be decided"), "{error}");
}

#[test]
fn what_is_no_value_is_refused_where_it_is_used() {
    assert!(expanded("#define F(x) ((x) + 1)\n#define T struct foo *\nBEGIN { }", &[]).is_ok());
    let error = expanded("#define F(x) ((x) + 1)\nBEGIN { print(F(1)); }", &[]).unwrap_err();
    assert!(error.starts_with("stdin:2:15-16: ERROR: the macro `F` cannot be used yet"), "{error}");
}

#[test]
fn conditions_choose_definitions() {
    let text = "#ifndef BPFTRACE_HAVE_BTF\n#include <a.h>\nstruct s { int a; };\n#define X 1\n#else\n#define X 2\n#endif\n\
                #if defined(X) && !defined Y && X == 2\n#define Z X\n#elif 1\n#define Z 9\n#else\n#define Z 8\n#endif\n\
                BEGIN { print(Z); }";
    let dump = expanded(text, &[]).unwrap();
    assert!(dump.ends_with("(probe\n  (attach \"BEGIN\")\n  (call print 2))\n"), "{dump}");
    // What counts stays for the C definitions.
    assert!(!dump.contains("struct s") && !dump.contains("ifndef") && dump.contains("#define X 2"), "{dump}");
    let dump = expanded("#include <linux/path.h>\nstruct path;\nBEGIN { }", &[]).unwrap();
    assert!(dump.starts_with("(definition Include"), "{dump}");
    for (text, message) in [
        ("#if X(1)\n#endif\nBEGIN { }", "cannot be decided"),
        ("#if 1\nBEGIN { }", "has no #endif"),
        ("#endif\nBEGIN { }", "belongs to no #if"),
        ("#else\nBEGIN { }", "belongs to no #if"),
        ("#error no\nBEGIN { }", "#error no"),
        ("#defin X\nBEGIN { }", "no directive #defin"),
    ] {
        assert!(expanded(text, &[]).unwrap_err().contains(message), "{text}");
    }
}
