//! `-l`: which providers a pattern searches, and what for.

use std::path::Path;

use super::{Host, Listed, PROVIDERS, Provider, Search, Searched, definitions, find_provider};
use crate::diagnostics::Diagnostic;
use crate::pattern::{Pattern, has_wildcard};
use crate::process::archive;
use crate::syntax::ast::{AttachPart, AttachPoint};

/// Calls `found` with every attach point that matches a pattern, provider by provider, in order of their names.
///
/// `kprobe` and `kprobe:vfs_*` search one provider; `*` and `*sleep*` all whose attach points are the kernel's;
/// `k*`, `k*:…` and `*:…` those with such a name. What processes have is searched with `-p`, or where the pattern
/// names a file.
pub fn list(
    pattern: &AttachPoint,
    verbose: bool,
    host: &mut Host<'_>,
    found: &mut dyn FnMut(Listed),
) -> Result<(), Diagnostic> {
    if let Some(asked) = definitions::asked(pattern) {
        return definitions::list(asked, Search { point: pattern, verbose, host, found });
    }
    let first = pattern.parts.first().map_or("", |part| part.text.as_str());
    let everything = first.is_empty() && pattern.parts.len() < 2;
    if !has_wildcard(first) && !everything {
        return find_provider(pattern)?.list(Search { point: pattern, verbose, host, found });
    }
    // One part alone is looked for in all providers.
    let (names, mut point) = match pattern.parts.as_slice() {
        [what] if is_of_provider(what) => (Pattern::new(&what.text), pattern.clone()),
        [what] => (Pattern::any(), search_for(pattern, what)),
        [names, ..] => (Pattern::new(&names.text), pattern.clone()),
        [] => (Pattern::any(), pattern.clone()),
    };
    let file = point
        .parts
        .get(1)
        .is_some_and(|p| !has_wildcard(&p.text) && archive::file(Path::new(&p.text)).is_file());
    let mut searched: Vec<&'static dyn Provider> = PROVIDERS
        .iter()
        .copied()
        .filter(|p| match p.searched() {
            Searched::Always => !file,
            Searched::InProcesses => file || host.pid.is_some(),
            Searched::ByName => false,
        })
        .filter(|p| names.matches(p.names()[0]))
        .collect();
    searched.sort_by_key(|p| p.names()[0]);
    for provider in searched {
        if let Some(first) = point.parts.first_mut() {
            first.text = provider.names()[0].into();
        }
        provider.list(Search { point: &point, verbose, host: &mut *host, found: &mut *found })?;
    }
    Ok(())
}

/// Whether a pattern means providers, as `k*` does.
fn is_of_provider(part: &AttachPart) -> bool {
    let names = Pattern::new(&part.text);
    PROVIDERS.iter().any(|p| p.searched() != Searched::ByName && names.matches(p.names()[0]))
}

/// `provider:what`
fn search_for(pattern: &AttachPoint, what: &AttachPart) -> AttachPoint {
    let text = if what.text.is_empty() { "*".into() } else { what.text.clone() };
    let parts = vec![what.clone(), AttachPart { text, ..what.clone() }];
    AttachPoint { parts, ..pattern.clone() }
}
