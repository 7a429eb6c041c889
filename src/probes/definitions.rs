//! `-l 'struct path'`: the kernel's types are listed like probes, and with `-v` as C defines them.

use std::collections::BTreeSet;

use super::{Listed, Search};
use crate::diagnostics::Diagnostic;
use crate::pattern::Pattern;
use crate::syntax::ast::{AttachPoint, Tag};

/// The tag and the rest of a pattern such as `struct path` or `enum *state*`; `None` for one of attach points.
pub(super) fn asked(pattern: &AttachPoint) -> Option<(Tag, Pattern)> {
    let (word, rest) = pattern.text.trim().split_once(char::is_whitespace)?;
    let tag = Tag::ALL.into_iter().find(|tag| tag.keyword() == word)?;
    Some((tag, Pattern::new(rest.trim())))
}

pub(super) fn list((tag, wanted): (Tag, Pattern), search: Search<'_, '_>) -> Result<(), Diagnostic> {
    let Search { point, verbose, host, found } = search;
    if let Some(problem) = host.types.problem() {
        return Err(Diagnostic::error("no-btf", point.span, problem)
            .help("the kernel has to be built with CONFIG_DEBUG_INFO_BTF"));
    }
    // A type may be in several modules.
    let mut names = BTreeSet::new();
    host.types.definitions(&mut |_, kind, name| {
        if kind == tag && wanted.matches(name) {
            names.insert(name.to_owned());
        }
    });
    if names.is_empty() && wanted.is_literal() {
        let name = point.text.trim().split_once(char::is_whitespace).map_or("", |(_, name)| name.trim());
        let problem = Diagnostic::error(
            "unknown-type",
            point.span,
            format!("the kernel has no {} {name}", tag.keyword()),
        );
        return Err(match host.types.similar(Some(tag), name).first() {
            Some(near) => problem.help(format!("did you mean `{} {near}`?", tag.keyword())),
            None => problem,
        });
    }
    for name in names {
        let plain = || format!("{} {name}", tag.keyword());
        let text = match verbose.then(|| host.types.definition(tag, &name)).flatten() {
            Some((module, definition)) => format!("{module}: {definition}"),
            None => plain(),
        };
        found(Listed { name: text, args: vec![] });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Host;
    use super::*;
    use crate::config::Config;
    use crate::diagnostics::FileId;
    use crate::kernel::Kernel;
    use crate::syntax::parse_attach_point;
    use crate::types::store::Types;

    fn list(pattern: &str, verbose: bool) -> Option<Result<Vec<String>, Diagnostic>> {
        let kernel = Kernel::new();
        let (mut types, config) = (Types::new(&kernel), Config::default());
        if let Some(problem) = types.problem() {
            crate::testing::skip("btf", problem);
            return None;
        }
        let point = parse_attach_point(pattern, FileId::default()).unwrap();
        let types = &mut types;
        let mut host = Host {
            kernel: &kernel,
            types,
            config: &config,
            pid: None,
            command: None,
            unsafe_mode: false,
            fix_renames: false,
            warnings: vec![],
        };
        let mut names = vec![];
        let listed = super::super::list(&point, verbose, &mut host, &mut |found| names.push(found.name));
        Some(listed.map(|()| names))
    }

    #[test]
    fn types_are_listed_like_probes() {
        let Some(names) = list("struct task_str*", false) else { return };
        assert!(names.unwrap().contains(&"struct task_struct".to_owned()));
        let one = list("enum pid_type", false).unwrap().unwrap();
        assert_eq!(one, ["enum pid_type"]);
        let path = list("struct path", true).unwrap().unwrap();
        assert!(path[0].starts_with("vmlinux: struct path {\n\t"), "{path:?}");
        assert_eq!(list("union no_such_*", true).unwrap().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_type_that_is_not_there_has_neighbours() {
        let Some(listed) = list("struct task_strukt", false) else { return };
        let problem = listed.unwrap_err();
        assert_eq!(problem.message, "the kernel has no struct task_strukt");
        assert_eq!(problem.help, ["did you mean `struct task_struct`?"]);
    }
}
