use super::*;

fn variable(written: &str) -> (&'static Variable, bool) {
    match Name::find(written) {
        Some(Name::Variable(variable)) => (variable, false),
        Some(Name::Old { variable, inverse }) => (variable, inverse),
        other => panic!("{written}: {other:?}"),
    }
}

fn set(config: &mut Config, name: &str, value: &str) -> Result<(), BadValue> {
    let (variable, inverse) = variable(name);
    config.set(variable, value, inverse)
}

#[test]
fn variables_have_three_spellings_and_checked_values() {
    let mut config = Config::default();
    set(&mut config, "BPFTRACE_MAX_STRLEN", "64").unwrap();
    set(&mut config, "STACK_MODE", "PERF").unwrap();
    set(&mut config, "missing_probes", "Warn").unwrap();
    assert_eq!(
        (config.max_strlen, config.stack_mode, config.missing_probes),
        (64, StackMode::Perf, Missing::Warn)
    );
    assert_eq!(
        set(&mut config, "max_strlen", "many").unwrap_err().to_string(),
        "Invalid value for max_strlen. Found: many. Valid values: a number of bytes from 1 to 16777216"
    );
    assert!(Name::find("nonsense").is_none());
    assert!(matches!(Name::find("vmlinux"), Some(Name::Environment(e)) if e.name == "BPFTRACE_VMLINUX"));
    assert!(matches!(Name::find("BPFTRACE_UNSTABLE_ADDR"), Some(Name::Retired(_))));
}

#[test]
fn each_variable_takes_what_it_says_it_is_and_refuses_the_rest() {
    for variable in VARIABLES {
        let (mut config, default) = (Config::default(), Config::default());
        if variable.name != "perf_rb_pages" {
            let text = (variable.get)(&default);
            (variable.set)(&mut config, &text).unwrap_or_else(|| panic!("{}: {text}", variable.name));
            assert_eq!(config, default, "{}", variable.name);
        }
        // Whatever another value sets can be read back, and sets nothing else.
        let others = ["0", "true", "ignore", "error", "7", "raw", "NONE", "GPL v2", "x"];
        let (other, text) = others
            .iter()
            .find_map(|text| {
                let mut config = default.clone();
                (variable.set)(&mut config, text).filter(|()| config != default).map(|()| (config, text))
            })
            .unwrap_or_else(|| panic!("{} has one value", variable.name));
        let mut again = default.clone();
        (variable.set)(&mut again, &(variable.get)(&other)).unwrap();
        assert_eq!(again, other, "{} = {text}", variable.name);
        if variable.name != "str_trunc_trailer" {
            assert_eq!((variable.set)(&mut config, "no such value"), None, "{}", variable.name);
            assert_eq!((variable.set)(&mut config, ""), None, "{}", variable.name);
        }
    }
    let mut config = Config::default();
    for (name, bad) in [
        ("max_strlen", "0"),
        ("max_strlen", "16777217"),
        ("max_map_keys", "0"),
        ("max_map_keys", "4294967296"),
        ("max_probes", "-1"),
        ("max_cat_bytes", "18446744073709551616"),
        ("license", "gpl"),
        ("print_maps_on_exit", "2"),
    ] {
        assert!(set(&mut config, name, bad).is_err(), "{name} = {bad}");
    }
    for (written, value) in [("0x10", 16), ("1e3", 1000), ("10_000", 10_000), (" 8 ", 8)] {
        set(&mut config, "max_cat_bytes", written).unwrap();
        assert_eq!(config.max_cat_bytes, value);
    }
}

#[test]
fn names_are_unique_and_in_order() {
    let names: Vec<&str> = VARIABLES.iter().map(|v| v.name).collect();
    assert!(names.is_sorted());
    let old = VARIABLES.iter().flat_map(|v| v.older).map(|old| old.name);
    let retired = table::RETIRED.iter().map(|r| r.name);
    let environment = ENVIRONMENT.iter().map(|e| e.name.trim_start_matches("BPFTRACE_"));
    let mut all: Vec<String> =
        names.into_iter().chain(old).chain(retired).chain(environment).map(str::to_lowercase).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}

/// What the environment says, and the texts of the warnings about it.
fn from(environment: &[(&str, &str)]) -> Result<(Config, Vec<&'static str>, Vec<String>), String> {
    let mut config = Config::default();
    let env = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
    let names = environment.iter().map(|(name, _)| (*name).to_owned());
    let found = config.set_from_env(env, names).map_err(|d| d.message)?;
    let warnings = found
        .warnings
        .iter()
        .map(|w| [std::slice::from_ref(&w.message), &*w.notes, &*w.help].concat().join(" | "));
    Ok((config, found.set, warnings.collect()))
}

#[test]
fn the_environment_says_what_it_set() {
    let (config, set, warnings) = from(&[("BPFTRACE_MAX_MAP_KEYS", "7"), ("MAX_STRLEN", "1")]).unwrap();
    assert_eq!((config.max_map_keys, set, warnings), (7, vec!["max_map_keys"], vec![]));
    let message = from(&[("BPFTRACE_MAX_PROBES", "all")]).unwrap_err();
    assert!(
        message.starts_with("BPFTRACE_MAX_PROBES: Invalid value for max_probes. Found: all."),
        "{message}"
    );
}

#[test]
fn old_names_of_the_environment_are_understood() {
    for (old, value, new) in [
        ("BPFTRACE_STRLEN", "64", "BPFTRACE_MAX_STRLEN"),
        ("BPFTRACE_MAP_KEYS_MAX", "7", "BPFTRACE_MAX_MAP_KEYS"),
        ("BPFTRACE_CAT_BYTES_MAX", "9", "BPFTRACE_MAX_CAT_BYTES"),
    ] {
        let (config, set, warnings) = from(&[(old, value)]).unwrap();
        assert_eq!(warnings, [format!("{old} has been renamed, please use {new}")]);
        assert_eq!(in_environment(set[0]), new);
        assert_eq!((variable(new).0.get)(&config), value);
    }
    let (config, _, warnings) = from(&[("BPFTRACE_NO_CPP_DEMANGLE", "1")]).unwrap();
    assert!(!config.cpp_demangle);
    assert_eq!(
        warnings,
        ["BPFTRACE_NO_CPP_DEMANGLE has been renamed, please use BPFTRACE_CPP_DEMANGLE | \
          BPFTRACE_CPP_DEMANGLE says the opposite: false"]
    );
    let (config, ..) = from(&[("BPFTRACE_NO_USER_SYMBOLS", "1")]).unwrap();
    assert_eq!(config.cache_user_symbols, CacheUserSymbols::None);
    assert!(from(&[("BPFTRACE_NO_CPP_DEMANGLE", "maybe")]).is_err());
    // The new name wins, and then nothing has to be said.
    let (config, set, warnings) = from(&[("BPFTRACE_STRLEN", "64"), ("BPFTRACE_MAX_STRLEN", "65")]).unwrap();
    assert_eq!((config.max_strlen, set, warnings), (65, vec!["max_strlen"], vec![]));
}

#[test]
fn what_nothing_reads_is_said_if_it_looks_like_ours() {
    let warnings = |name| from(&[(name, "1")]).unwrap().2;
    assert_eq!(
        warnings("BPFTRACE_MAX_STRLN"),
        ["BPFTRACE_MAX_STRLN is not read by anything | did you mean `BPFTRACE_MAX_STRLEN`?"]
    );
    assert_eq!(
        warnings("BPFTRACE_COLOUR"),
        ["BPFTRACE_COLOUR is not read by anything | did you mean `BPFTRACE_COLOR`?"]
    );
    assert!(
        warnings("BPFTRACE_MAX_TYPE_RES_ITERATIONS")[0].contains("deprecated and has no effect | types are")
    );
    for fine in
        ["BPFTRACE_PID", "BPFTRACE_EXECUTABLE", "BPFTRACE_BTF", "BPFTRACE_VMLINUX", "STRLN", "BPFTRACE"]
    {
        assert_eq!(warnings(fine), Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn the_manual_is_that_of_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.md");
    let manual = manual::markdown();
    if std::env::var_os("UPDATE").is_some_and(|v| v == "1") {
        std::fs::write(&path, &manual).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == manual, "docs/config.md is not what src/config/table.rs says: run with UPDATE=1");
    let widest = manual.lines().filter(|line| !line.starts_with(['|', '<'])).map(|l| l.chars().count()).max();
    assert!(widest <= Some(140), "{widest:?}");
}
