//! What the loader runs itself: `begin` and `end` before everything is attached and after it is detached, `self` at a
//! signal, `test` and `bench` with `--test` and `--bench`.

use super::{Ask, Group, Listed, Provider, Search, Searched, View, point};
use crate::diagnostics::Diagnostic;
use crate::image::{Attach, Target};
use crate::ir::{Context, Nesting};
use crate::syntax::ast::AttachPart;

pub(super) struct Special {
    names: &'static [&'static str],
    target: Target,
    parts: usize,
    usage: &'static str,
}

impl Special {
    pub(super) const BEGIN: Special =
        Special { names: &["begin"], target: Target::Begin, parts: 0, usage: "begin" };
    pub(super) const END: Special = Special { names: &["end"], target: Target::End, parts: 0, usage: "end" };
    pub(super) const SIGNAL: Special =
        Special { names: &["self"], target: Target::Signal, parts: 2, usage: "self:signal:SIGUSR1" };
    pub(super) const TEST: Special =
        Special { names: &["test"], target: Target::Test, parts: 1, usage: "test:name" };
    pub(super) const BENCH: Special =
        Special { names: &["bench"], target: Target::Bench, parts: 1, usage: "bench:name" };
}

/// Only SIGUSR1 asks nothing else of a tracer.
fn is_signal(what: &AttachPart, signal: &AttachPart) -> Result<(), Diagnostic> {
    let problem = |part: &AttachPart, message| {
        let problem = Diagnostic::error("unknown-event", part.span, message);
        Err(problem.help(format!("it is written {}", Special::SIGNAL.usage)))
    };
    if what.text != "signal" {
        return problem(what, format!("self has no event \"{}\"", what.text));
    }
    if signal.text != "SIGUSR1" {
        return problem(signal, format!("self:signal takes only SIGUSR1, not \"{}\"", signal.text));
    }
    Ok(())
}

impl Provider for Special {
    fn names(&self) -> &'static [&'static str] {
        self.names
    }

    fn searched(&self) -> Searched {
        Searched::ByName
    }

    fn resolve(&self, ask: Ask<'_, '_>) -> Result<Vec<Group>, Diagnostic> {
        let Ask { point, mut names, .. } = ask;
        let parts = point::parts(point, self.parts..=self.parts, self.usage)?;
        match parts {
            [what, signal] => is_signal(what, signal)?,
            [name] if name.text.is_empty() => {
                let message = format!("a {} probe has to have a name", self.names[0]);
                return Err(Diagnostic::error("attach-point-arguments", name.span, message)
                    .help(format!("it is written {}", self.usage)));
            }
            _ => {}
        }
        let name: Vec<&str> =
            [self.names[0]].into_iter().chain(parts.iter().map(|part| part.text.as_str())).collect();
        let name = name.join(":");
        // Of the programs that can be run by hand only those for packets can be run many times in one call.
        let section = if self.target == Target::Bench { "xdp" } else { "raw_tp" };
        let view = View::empty(self.names[0], Context::None, Nesting::Interrupts, names.id(&name));
        let attach = Attach { name, span: point.span, what: self.target.clone() };
        Ok(vec![Group { section: section.into(), attach: vec![attach], view }])
    }

    fn list(&self, search: Search<'_, '_>) -> Result<(), Diagnostic> {
        let name = match self.target {
            Target::Signal => self.usage.into(),
            Target::Test | Target::Bench if search.point.parts.len() > 1 => search.point.text.clone(),
            _ => self.names[0].into(),
        };
        (search.found)(Listed { name, args: vec![] });
        Ok(())
    }
}
