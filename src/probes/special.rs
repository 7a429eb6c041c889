//! `begin` and `end`: before everything is attached and after it is detached. The loader runs them itself.

use super::{Ask, Group, Listed, Provider, Search, Searched, View, point};
use crate::diagnostics::Diagnostic;
use crate::image::{Attach, Target};
use crate::ir::{Context, Nesting};

pub(super) struct Special {
    names: &'static [&'static str],
    target: Target,
}

impl Special {
    pub(super) const BEGIN: Special = Special { names: &["begin"], target: Target::Begin };
    pub(super) const END: Special = Special { names: &["end"], target: Target::End };
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
        let name = self.names[0];
        point::parts(point, 0..=0, name)?;
        let name_id = names.id(name);
        let view = View::empty(name, Context::None, Nesting::Interrupts, name_id);
        let attach = Attach { name: name.into(), span: point.span, what: self.target.clone() };
        Ok(vec![Group { section: "raw_tp".into(), attach: vec![attach], view }])
    }

    fn list(&self, search: Search<'_, '_>) -> Result<(), Diagnostic> {
        let Search { found, .. } = search;
        found(Listed { name: self.names[0].into(), args: vec![] });
        Ok(())
    }
}
