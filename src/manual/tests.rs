use super::*;
use std::collections::BTreeSet;

#[test]
fn there_is_an_entry_for_everything_that_has_a_table() {
    let all = entries();
    let named = |kind: Kind| all.iter().filter(move |e| e.kind == kind).flat_map(Entry::names);
    let probes: Vec<&str> = named(Kind::Probe).collect();
    let providers: Vec<&str> = PROVIDERS.iter().flat_map(|p| p.names()).copied().collect();
    assert_eq!(probes, providers);
    let words: BTreeSet<&str> = named(Kind::Keyword).chain(named(Kind::Function)).collect();
    let tokens = include_str!("../syntax/token.rs").lines();
    let keywords = tokens.filter_map(|line| line.trim().strip_prefix("#[token(\"")?.strip_suffix("\")]"));
    let keywords: Vec<&str> = keywords.filter(|t| t.starts_with(|c: char| c.is_ascii_alphabetic())).collect();
    assert!(keywords.contains(&"comptime"));
    for word in ["macro", "config", "getopt", "typeof"].into_iter().chain(keywords) {
        assert!(words.contains(word), "{word}");
    }
    for variable in VARIABLES {
        assert!(named(Kind::Config).any(|name| name == variable.name), "{}", variable.name);
    }
    for builtin in builtins::all().filter(|b| !b.name.starts_with("__")) {
        assert!(all.iter().any(|e| e.builtin.is_some_and(|b| std::ptr::eq(b, builtin))), "{}", builtin.name);
    }
}

#[test]
fn entries_are_complete() {
    for entry in entries() {
        let name = entry.name;
        assert!(
            !entry.forms.is_empty() && !entry.summary.is_empty() && !entry.summary.ends_with('.'),
            "{name}"
        );
        assert!(entry.paragraphs.iter().all(|p| !p.trim().is_empty()), "{name}");
        let quotes: usize = entry.paragraphs.iter().map(|p| p.matches('`').count()).sum();
        assert!(quotes.is_multiple_of(2), "{name}: a backquote too few");
    }
}

#[test]
fn names_are_found_as_people_write_them() {
    let kinds = |name: &str| -> Vec<(&str, Kind)> { find(name).iter().map(|e| (e.name, e.kind)).collect() };
    assert_eq!(kinds("str"), [("str", Kind::Function)]);
    assert_eq!(kinds("str()"), [("str", Kind::Function)]);
    assert_eq!(kinds("pid"), [("pid", Kind::Builtin)]);
    assert_eq!(kinds("arg3"), [("argN", Kind::Builtin)]);
    assert_eq!(kinds("hist"), [("hist", Kind::Aggregation)]);
    assert_eq!(kinds("config"), [("config", Kind::Builtin), ("config", Kind::Keyword)]);
    assert_eq!(kinds("kfunc"), [("fentry", Kind::Probe)]);
    assert_eq!(kinds("BEGIN"), [("begin", Kind::Probe)]);
    assert_eq!(kinds("max_strlen"), [("max_strlen", Kind::Config)]);
    assert_eq!(kinds("BPFTRACE_MAX_STRLEN"), [("max_strlen", Kind::Config)]);
    assert_eq!(kinds("BPFTRACE_BTF"), [("BPFTRACE_BTF", Kind::Environment)]);
    assert_eq!(kinds("else"), [("if", Kind::Keyword)]);
    assert_eq!(kinds("$#"), [("$#", Kind::Variable)]);
    assert_eq!(kinds("nothing"), []);
}

#[test]
fn unknown_names_come_with_near_ones() {
    let error = look_up(&["str".into(), "prinft".into()]).err().unwrap();
    assert_eq!(error.message, "there is nothing called prinft");
    assert_eq!(error.help, ["did you mean `printf` or `print`?"]);
    assert!(!look_up(&["xyzzyplugh".into()]).err().unwrap().help.is_empty());
}

#[test]
fn a_terminal_shows_an_entry() {
    let shown = text(&find("signal"));
    assert!(shown.starts_with("signal (function)\n\n    void signal(signal)\n\n"), "{shown}");
    assert!(shown.contains("Needs `--unsafe`."), "{shown}");
    assert!(shown.contains("\nExample:\n\n    "), "{shown}");
    for entry in entries() {
        let shown = text(std::slice::from_ref(&entry));
        let (words, _) = shown.split_once("Example:").unwrap_or((&shown, ""));
        let most = words.lines().filter(|line| !line.starts_with("    ")).map(|l| l.chars().count()).max();
        assert!(most <= Some(80), "{shown}");
    }
}

#[test]
fn programs_get_an_object_a_line() {
    let all = json(&entries());
    let lines: Vec<serde_json::Value> = all.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), entries().len());
    let str = lines.iter().find(|l| l["name"] == "str").unwrap();
    assert_eq!(str["forms"][0], "string str(address, [length])");
    assert_eq!(str["parameters"][1]["optional"], true);
    assert_eq!(lines.iter().find(|l| l["name"] == "system").unwrap()["unsafe"], true);
    let pid = lines.iter().find(|l| l["name"] == "pid").unwrap();
    assert_eq!(pid["parameters"][0]["words"][1], "init");
    assert!(lines.iter().find(|l| l["name"] == "kprobe").unwrap().get("parameters").is_none());
}

#[test]
fn the_manual_page_is_that_of_the_tables() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("man/man8/bpftrace.8");
    let written = std::fs::read_to_string(&path).unwrap();
    let renewed = page::renewed(&written).expect("the page has a place for what is generated");
    if std::env::var_os("UPDATE").is_some_and(|v| v == "1") {
        std::fs::write(&path, &renewed).unwrap();
        return;
    }
    assert!(written == renewed, "man/man8/bpftrace.8 is not what the tables say: run with UPDATE=1");
    assert!(!renewed.contains("`"), "a backquote was left in the page");
}
