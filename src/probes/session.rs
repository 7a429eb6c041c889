//! Sessions: one program and one link for the entry of functions and their return, where a script probes both.
//!
//! The kernel asks such a program twice a call, and `bpf_session_is_return` tells it which of the two this is.

use super::{Group, Host};
use crate::image::{Attach, Target};
use crate::ir::ExprKind;
use crate::kernel::Feature;

/// Two groups as one: the section and what is attached.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    pub section: String,
    pub attach: Attach,
}

/// The session of what probes the entry of functions and what probes their return; `None` where the two are not of
/// the same functions, or the kernel cannot do it.
pub fn join(entry: &Group, ret: &Group, host: &Host<'_>) -> Option<Joined> {
    let ([before], [after]) = (entry.attach.as_slice(), ret.attach.as_slice()) else { return None };
    let has = |feature| host.kernel.has(feature);
    // A link has one cookie for both.
    let names = |what: &Target| what.name_ids().map(<[u32]>::to_vec).unwrap_or_default();
    let name_ids = match (&entry.view.name.kind, &ret.view.name.kind) {
        (ExprKind::ProbeName, ExprKind::ProbeName) => return None,
        (ExprKind::ProbeName, _) => names(&before.what),
        (_, ExprKind::ProbeName) => names(&after.what),
        _ => vec![],
    };
    let (section, what) = match (&before.what, &after.what) {
        (
            Target::KprobeMulti { functions, ret: false, .. },
            Target::KprobeMulti { functions: same, ret: true, .. },
        ) if functions == same && has(Feature::KprobeSession) => {
            ("kprobe.session".to_owned(), Target::KprobeSession { functions: functions.clone(), name_ids })
        }
        // Unsafe, functions can be probed that only the breakpoints of single probes reach.
        (
            Target::Kprobe { function, module: None, offset: 0, ret: false, .. },
            Target::Kprobe { function: same, module: None, ret: true, .. },
        ) if function == same
            && !function.is_empty()
            && !host.unsafe_mode
            && has(Feature::KprobeMulti)
            && has(Feature::KprobeSession) =>
        {
            let functions = vec![function.clone()];
            ("kprobe.session".to_owned(), Target::KprobeSession { functions, name_ids })
        }
        (
            Target::UprobeMulti { path, offsets, ret: false, pid, .. },
            Target::UprobeMulti { path: same_path, offsets: same, ret: true, pid: same_pid, .. },
        ) if path == same_path && offsets == same && pid == same_pid && has(Feature::UprobeSession) => {
            let (path, offsets) = (path.clone(), offsets.clone());
            ("uprobe.session".to_owned(), Target::UprobeSession { path, offsets, pid: *pid, name_ids })
        }
        (
            Target::Fentry { function, module, ret: false },
            Target::Fentry { function: same, module: same_module, ret: true },
        ) if function == same && module == same_module && has(Feature::Fsession) => {
            let (function, module) = (function.clone(), module.clone());
            (entry.section.replacen("fentry/", "fsession/", 1), Target::Fsession { function, module })
        }
        _ => return None,
    };
    Some(Joined { section, attach: Attach { name: before.name.clone(), span: before.span, what } })
}

#[cfg(test)]
mod tests {
    use super::super::view;
    use super::*;
    use crate::config::Config;
    use crate::diagnostics::Span;
    use crate::ir::{Context, Nesting};
    use crate::kernel::Kernel;
    use crate::types::store::Types;

    fn group(what: Target) -> Group {
        let name = if what.name_ids().is_some_and(|ids| ids.len() > 1) {
            view::name_by_cookie()
        } else {
            view::name_constant(7)
        };
        let view = super::super::View {
            name,
            ..super::super::View::empty("test", Context::Registers, Nesting::Never, 0)
        };
        let attach = vec![Attach { name: "test".into(), span: Span::default(), what }];
        Group { section: "fentry/f".into(), attach, view }
    }

    fn joined(unsafe_mode: bool, entry: Target, ret: Target) -> Option<Joined> {
        let (kernel, config) = (Kernel::new(), Config::default());
        for feature in
            [Feature::KprobeMulti, Feature::KprobeSession, Feature::UprobeSession, Feature::Fsession]
        {
            kernel.allow(feature);
        }
        let types = &mut Types::new(&kernel);
        let host = Host {
            kernel: &kernel,
            types,
            config: &config,
            pid: None,
            command: None,
            unsafe_mode,
            fix_renames: false,
            warnings: vec![],
        };
        join(&group(entry), &group(ret), &host)
    }

    #[test]
    fn what_can_be_one_is() {
        let multi = |names: &[&str], ret, name_ids: &[u32]| Target::KprobeMulti {
            functions: names.iter().map(|n| (*n).to_owned()).collect(),
            ret,
            name_ids: name_ids.to_vec(),
        };
        let both = joined(false, multi(&["a", "b"], false, &[1, 2]), multi(&["a", "b"], true, &[])).unwrap();
        assert_eq!(both.section, "kprobe.session");
        let functions = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(both.attach.what, Target::KprobeSession { functions, name_ids: vec![1, 2] });
        assert_eq!(both.attach.what.probes(), 2);
        // The names of the return, where only that asks.
        let both = joined(false, multi(&["a", "b"], false, &[]), multi(&["a", "b"], true, &[3, 4])).unwrap();
        assert_eq!(both.attach.what.name_ids(), Some(&[3, 4][..]));
        // Other functions, the same way twice, and two names for one cookie.
        assert_eq!(joined(false, multi(&["a"], false, &[]), multi(&["b"], true, &[])), None);
        assert_eq!(joined(false, multi(&["a"], false, &[]), multi(&["a"], false, &[])), None);
        let named = |ret| multi(&["a", "b"], ret, &[1, 2]);
        assert_eq!(joined(false, named(false), named(true)), None);
    }

    #[test]
    fn single_functions_are_joined_where_that_is_safe() {
        let one =
            |offset, ret| Target::Kprobe { function: "f".into(), module: None, offset, ret, name_id: 0 };
        assert!(joined(false, one(0, false), one(0, true)).is_some());
        assert_eq!(joined(true, one(0, false), one(0, true)), None);
        assert_eq!(joined(false, one(4, false), one(0, true)), None);
        let fentry = |ret| Target::Fentry { function: "f".into(), module: None, ret };
        assert_eq!(joined(false, fentry(false), fentry(true)).unwrap().section, "fsession/f");
    }
}
