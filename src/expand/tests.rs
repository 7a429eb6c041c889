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
        header_macro: &|_, _| None,
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
            "stdin:1:12-26: ERROR: max_strlem: not a known configuration option",
        ),
        ("config = { BPFTRACE_MAX_STRLEM = 1 } BEGIN { }", "HINT: did you mean `max_strlen`?"),
        ("config = { nonsense = 1 } BEGIN { }", "HINT: there are cache_user_symbols, cpp_demangle, "),
        (
            "config = { max_strlen = many } BEGIN { }",
            "stdin:1:25-29: ERROR: Invalid value for max_strlen. Found: many. Valid values: a number of bytes",
        ),
        ("config = { max_strlen = 1 + 1 } BEGIN { }", "cannot be calculated"),
        (
            "config = { vmlinux = \"x\" } BEGIN { }",
            "ERROR: vmlinux: can only be set as an environment variable",
        ),
        ("config = { vmlinux = \"x\" } BEGIN { }", "set BPFTRACE_VMLINUX in the environment"),
        ("config = { strlen = 64 } BEGIN { }", "WARNING: strlen has been renamed, please use max_strlen"),
        ("config = { no_cpp_demangle = 1 } BEGIN { }", "`cpp_demangle` says the opposite"),
        (
            "config = { unstable_macro = enable } BEGIN { }",
            "WARNING: unstable_macro is deprecated and has no effect",
        ),
        ("config = { unstable_tseries = maybe } BEGIN { }", "Valid values: enable, warn or error"),
        (
            "config = { license = Potato } BEGIN { }",
            "Invalid value for license. Found: Potato. Valid values: Dual MIT/GPL, ",
        ),
    ] {
        let error = run(text, &[], &["max_strlen"]).unwrap_err();
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn old_names_set_what_they_set() {
    let (script, _) =
        syntax::parse("config = { map_keys_max = 9; NO_CPP_DEMANGLE = true } BEGIN { }", FileId::default());
    let defaults = Config::default();
    let mut diagnostics = Diagnostics::default();
    let inputs = Inputs {
        positional: &[],
        named: &[],
        directory: Path::new(""),
        config: &defaults,
        config_from_env: &[],
        has_btf: &|| true,
        header_macro: &|_, _| None,
    };
    let config = config::apply(&script, &inputs, &mut diagnostics);
    assert_eq!((config.max_map_keys, config.cpp_demangle, diagnostics.has_errors()), (9, false, false));
}

#[test]
fn unstable_features_are_told_once_or_refused() {
    let script = |value: &str| {
        format!("config = {{ {value} }} BEGIN {{ @a = tseries(1, 1s, 2); @b = tseries(2, 1s, 2); }}")
    };
    let warning = run(&script(""), &[], &[]).unwrap_err();
    assert!(
        warning.starts_with("stdin:1:28-35: WARNING: Script is using an unstable feature: tseries"),
        "{warning}"
    );
    assert_eq!(warning.matches("WARNING").count(), 1, "{warning}");
    assert!(run(&script("unstable_tseries = enable"), &[], &[]).is_ok());
    let error = run(&script("unstable_tseries = error"), &[], &[]).unwrap_err();
    assert_eq!(error.matches("ERROR: tseries is unstable").count(), 2, "{error}");
    let text = "config = { unstable_typeinfo = error; unstable_dw_ustack = 0 } BEGIN { typeinfo(1); print(dw_ustack); }";
    let error = run(text, &[], &[]).unwrap_err();
    assert!(error.contains("ERROR: typeinfo is") && error.contains("ERROR: dw_ustack is"), "{error}");
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
    // What nothing calls may be anything.
    assert!(expanded("#define F(x) x ## y\n#define T struct foo *\n#define G( x\nBEGIN { }", &[]).is_ok());
    for (define, why) in [
        ("F(x) x ## 1", "it makes tokens with `#`"),
        ("F(x) #x", "it makes tokens with `#`"),
        ("F(x) x @@ y", "it is neither an expression nor statements"),
        ("F(x, x) x", "its parameters are not names, each another one"),
        ("F(x, 3) x", "its parameters are not names, each another one"),
        ("F(..., x) x", "`...` is not its last parameter"),
        ("F(x", "its parameters have no end"),
    ] {
        let error = expanded(&format!("#define {define}\nBEGIN {{ print(F(1)); }}"), &[]).unwrap_err();
        let expected = format!("stdin:2:15-16: ERROR: the macro `F` cannot be used here: {why}");
        assert!(error.starts_with(&expected), "{define}: {error}");
        assert!(error.contains("stdin:1:9-"), "{error}");
    }
}

#[test]
fn macros_with_parameters_are_put_in_place() {
    let value = |defines: &str, value: &str| {
        let dump = expanded(&format!("{defines}\nBEGIN {{ print({value}); }}"), &[])?;
        let start = dump.find("(call print ").unwrap() + "(call print ".len();
        Ok::<_, String>(dump[start..].lines().next().unwrap().strip_suffix("))").unwrap().to_owned())
    };
    for (define, call, expected) in [
        ("#define F(x) x * 2", "F(1 + 2)", "(* (+ 1 2) 2)"),
        (
            "#define F(a, b) ((a) < (b) ? (a) : (b))",
            "F(1, F(2, 3))",
            "(? (< 1 (? (< 2 3) 2 3)) 1 (? (< 2 3) 2 3))",
        ),
        ("#define N 3\n#define G(x) (x + N)\n#define F(x) G(x) * \\\n 2", "F(1)", "(* (+ 1 3) 2)"),
        ("#define G(x) (x - 1)\n#define F G(4)", "F", "(- 4 1)"),
        ("#define F() pid", "F()", "pid"),
        (
            "#define F(p, t, m) ((t *)((uint64)(p) - offsetof(t, m)))",
            "F(pid, struct s, a.b)",
            "(cast <struct s*> (- (cast <uint64> pid) (call offsetof <struct s> .a .b)))",
        ),
        ("#define F(p, t) ((struct t *)p)->x", "F(pid, s)", "(. (cast <struct s*> pid) x)"),
        ("#define F(fmt, ...) strftime(fmt, ##__VA_ARGS__)", "F(\"a\", 1, 2)", "(call strftime \"a\" 1 2)"),
        ("#define F(fmt, ...) strftime(fmt, __VA_ARGS__)", "F(\"#\")", "(call strftime \"#\")"),
        ("#define G(...) max(__VA_ARGS__)\n#define F(...) G(__VA_ARGS__)", "F(1, 2)", "(call max 1 2)"),
    ] {
        assert_eq!(value(define, call).unwrap_or_else(|e| panic!("{define}: {e}")), expected, "{define}");
    }
    let error = value("#define F(a, b) a", "F(1)").unwrap_err();
    assert!(error.contains("The macro `F` takes 2 arguments, not 1"), "{error}");
    let error = value("#define F(a) F(a) + 1", "F(1)").unwrap_err();
    assert!(error.contains("Recursive macro call detected. Call chain: F > F"), "{error}");
}

#[test]
fn a_call_that_fits_no_macro_is_told_once_for_each_place() {
    let text = "macro one(x) { x } macro inner(x) { x; one() } macro outer(x) { inner(x); inner(x); one(x, 2) }\n\
                BEGIN { outer(1); outer(2); one(); }";
    let error = expanded(text, &[]).unwrap_err();
    assert_eq!(error.matches("The macro `one` takes 1 argument, not 0").count(), 2, "{error}");
    assert_eq!(error.matches("The macro `one` takes 1 argument, not 2").count(), 1, "{error}");
}

#[test]
fn statements_of_c_macros_see_the_caller_s_variables_and_maps() {
    let text = "#define ADD(x) do { @n += x; $sum += x; } while (0)\n\
                #define TWICE(x) ({ let $own = x; $own * 2; })\n\
                #define NOTHING(x)\n#define TWO(x) ADD(x); ADD(x);\n\
                macro all($sum, @n) { TWO(3); }\n\
                BEGIN { $sum = 1; $own = 2; ADD(1); $own = TWICE($own); NOTHING(9); all($sum, @n); }";
    let dump = expanded(text, &[]).unwrap();
    assert_eq!(dump.matches("(+= @n").count(), 3, "{dump}");
    assert_eq!(dump.matches("(+= $sum").count(), 3, "{dump}");
    // In a macro of the language, the map has to be passed.
    let error = expanded("#define ADD(x) @n += x;\nmacro m() { ADD(1); }\nBEGIN { m(); }", &[]).unwrap_err();
    assert!(error.starts_with("stdin:2:13-19: ERROR: Unhygienic access to map: @n"), "{error}");
}

#[test]
fn lengths_of_types_may_be_named() {
    let dump = expanded(
        "#define N (4 * 2)\nBEGIN { let $x: string[N]; sizeof(uint8[N]); $y = (int8[PATH_MAX])$x; }",
        &[],
    )
    .unwrap();
    assert!(
        dump.contains("string[8]") && dump.contains("uint8[8]") && dump.contains("int8[PATH_MAX]"),
        "{dump}"
    );
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
    // `defined` is a word of its own, with parentheses or without.
    let text = "#define defined_x 3\n#define undefined 4\n#if defined_x == 3 && undefined == 4 && defined undefined && defined (defined_x)\n\
                #define Z 5\n#endif\nBEGIN { print(Z); }";
    assert!(expanded(text, &[]).unwrap().ends_with("(call print 5))\n"), "{text}");
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
