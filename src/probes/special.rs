//! `begin` and `end`: before everything is attached and after it is detached. The loader runs them itself.

use super::{Group, Host, Listed, Provider, Searched, Uses, View, point};
use crate::diagnostics::Diagnostic;
use crate::image::{Attach, Target};
use crate::ir::Context;
use crate::syntax::ast::AttachPoint;

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

    fn resolve(
        &self,
        point: &AttachPoint,
        uses: Uses,
        _: &mut Host<'_>,
        add_name: &mut dyn FnMut(&str) -> u32,
    ) -> Result<Vec<Group>, Diagnostic> {
        let name = self.names[0];
        point::parts(point, 0..=0, name)?;
        let name_id = if uses.name { add_name(name) } else { 0 };
        let view = View::empty(name, Context::None, name_id);
        let attach = Attach { name: name.into(), span: point.span, what: self.target.clone() };
        Ok(vec![Group { section: "raw_tp".into(), attach: vec![attach], view }])
    }

    fn list(
        &self,
        _: &AttachPoint,
        _: bool,
        _: &mut Host<'_>,
        found: &mut dyn FnMut(Listed),
    ) -> Result<(), Diagnostic> {
        found(Listed { name: self.names[0].into(), args: vec![] });
        Ok(())
    }
}
