//! C++ and Rust names as their sources have them.

use cpp_demangle::{DemangleOptions, ParseOptions};

/// How much work one name may be: they are made by compilers, but nobody has to believe that.
const MAX_DEPTH: u32 = 96;

/// A name as the source spells it, parameters and all; `None` for one that is not mangled.
pub fn demangled(name: &str) -> Option<String> {
    spelled(name, true)
}

/// The ways to write a mangled name: those of templates with the type of the result and without.
pub fn spellings(name: &str) -> Vec<String> {
    let Some(full) = spelled(name, true) else { return vec![] };
    let short = spelled(name, false).filter(|short| *short != full);
    [Some(full), short].into_iter().flatten().collect()
}

fn spelled(name: &str, results: bool) -> Option<String> {
    if name.starts_with("_R") || is_old_rust(name) {
        // Without the hash, which nobody writes.
        return rustc_demangle::try_demangle(name).ok().map(|name| format!("{name:#}"));
    }
    if !name.starts_with("_Z") && !name.starts_with("__Z") {
        return None;
    }
    let parse = ParseOptions::default().recursion_limit(MAX_DEPTH);
    let symbol = cpp_demangle::Symbol::new_with_options(name, &parse).ok()?;
    let options = DemangleOptions::new().recursion_limit(MAX_DEPTH);
    symbol.demangle_with_options(&if results { options } else { options.no_return_type() }).ok()
}

/// `_ZN4core3fmt5write17h0123456789abcdefE`
fn is_old_rust(name: &str) -> bool {
    let Some(hash) = name.strip_suffix('E').and_then(|name| name.get(name.len().checked_sub(19)?..)) else {
        return false;
    };
    name.starts_with("_ZN")
        && hash.strip_prefix("17h").is_some_and(|hash| hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A demangled name without its parameters: `ns::f(int)` is `ns::f`.
pub fn without_parameters(name: &str) -> &str {
    // The last parenthesis at the outermost level opens them. `operator()` has a pair of its own.
    let mut depth = 0usize;
    let mut end = name.len();
    for (at, c) in name.char_indices().rev() {
        match c {
            ')' => depth += 1,
            '(' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    end = at;
                    break;
                }
            }
            // What stands behind them: ` const`, ` [clone .cold]`.
            _ => {}
        }
    }
    match name.get(..end) {
        Some(start) if !start.ends_with("operator") => start,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_languages() {
        let shown = |name| demangled(name);
        assert_eq!(shown("_ZN2ns1fEi").as_deref(), Some("ns::f(int)"));
        assert_eq!(shown("_ZNK3Foo3getEv").as_deref(), Some("Foo::get() const"));
        assert_eq!(shown("_ZN4core3fmt5write17h0123456789abcdefE").as_deref(), Some("core::fmt::write"));
        assert_eq!(shown("_RNvC6_123foo3bar").as_deref(), Some("123foo::bar"));
        assert_eq!(shown("main"), None);
        assert_eq!(shown("_Znothing"), None);
        assert_eq!(shown(&format!("_Z{}", "N".repeat(100_000))), None);
    }

    #[test]
    fn parameters_are_left_out() {
        for (name, short) in [
            ("ns::f(int)", "ns::f"),
            ("ns::f", "ns::f"),
            ("Foo::get() const", "Foo::get"),
            ("f(void (*)(int), int)", "f"),
            ("Foo::operator()(int)", "Foo::operator()"),
            ("(anonymous namespace)::f(int)", "(anonymous namespace)::f"),
        ] {
            assert_eq!(without_parameters(name), short, "{name}");
        }
    }
}
