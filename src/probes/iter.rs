//! `iter`: programs that the kernel runs once for each of its objects (tasks, their files, BPF maps, …) when somebody
//! reads the list of them.

use super::pin::BPF_FS;
use super::{Ask, Group, Host, Listed, Provider, Search, Searched, View, point};
use crate::diagnostics::Diagnostic;
use crate::image::{Attach, Target};
use crate::ir::{Context, Nesting};
use crate::pattern::Pattern;
use crate::syntax::ast::{AttachPart, AttachPoint, Tag};
use crate::types::Type;
use crate::types::store::Signature;

pub(super) struct Iter;

const USAGE: &str = "iter:task or, to leave it behind as a file, iter:task:name";

/// What the kernel calls an iterator's program, and the struct that the program gets: `DEFINE_BPF_ITER_FUNC` in
/// `include/linux/bpf.h`.
const FUNCTION: &str = "bpf_iter_";
const CONTEXT: &str = "bpf_iter__";

/// The kernel's iterators that match, sorted.
fn matching(pattern: &Pattern, host: &mut Host<'_>) -> Vec<String> {
    let mut found = vec![];
    host.types.definitions(&mut |_, tag, name| {
        if tag == Tag::Struct
            && let Some(name) = name.strip_prefix(CONTEXT)
            && pattern.matches(name)
        {
            found.push(name.to_owned());
        }
    });
    found.sort_unstable();
    found.dedup();
    found.retain(|name| !OF_A_MAP.contains(&name.as_str()) && runs(name, host));
    found
}

/// Iterators over the entries of one map, which the kernel wants to be given; a script cannot name one.
const OF_A_MAP: [&str; 3] = ["bpf_map_elem", "bpf_sk_storage_map", "sockmap"];

/// Whether programs can be attached to an iterator whose struct is known.
fn runs(name: &str, host: &mut Host<'_>) -> bool {
    host.types.function(None, &format!("{FUNCTION}{name}")).is_some()
}

/// The file that a pin is: relative ones are below where the BPF file system usually is.
fn pin_path(pin: &AttachPart) -> Result<String, Diagnostic> {
    let text = pin.text.as_str();
    let wrong = |message: String| Diagnostic::error("attach-point-pin", pin.span, message);
    let path = match text.strip_prefix('/') {
        _ if text.is_empty() => {
            let help = format!("write iter:task:name for {BPF_FS}/name, or leave the last colon out");
            return Err(wrong("the pin has no name".into()).help(help));
        }
        _ if crate::pattern::has_wildcard(text) => {
            return Err(wrong("a pin is one file, which takes no wildcards".into()));
        }
        _ if text.contains('\0') => return Err(wrong("no file has a NUL in its name".into())),
        Some(_) => text.to_owned(),
        None if text.split('/').any(|part| part == "..") => {
            let help = format!("a pin elsewhere is written with its whole path, beginning with {BPF_FS}");
            return Err(wrong(format!("\"{text}\" leads out of {BPF_FS}")).help(help));
        }
        None => format!("{BPF_FS}/{text}"),
    };
    let Some(name) = path.rsplit('/').next().filter(|name| !name.is_empty()) else {
        return Err(wrong(format!("\"{text}\" is a directory: the pin has no name")));
    };
    if name.contains('.') {
        return Err(wrong(format!("the pin cannot be called \"{name}\""))
            .note("names in a BPF file system have no dots")
            .help(format!("call it {}", name.replace('.', "_"))));
    }
    Ok(path)
}

fn no_types(host: &mut Host<'_>, point: &AttachPoint) -> Result<(), Diagnostic> {
    let Some(problem) = host.types.problem() else { return Ok(()) };
    Err(Diagnostic::error("no-btf", point.span, problem)
        .help("the kernel has to be built with CONFIG_DEBUG_INFO_BTF"))
}

impl Provider for Iter {
    fn names(&self) -> &'static [&'static str] {
        &["iter", "it"]
    }

    fn searched(&self) -> Searched {
        Searched::Always
    }

    fn resolve(&self, ask: Ask<'_, '_>) -> Result<Vec<Group>, Diagnostic> {
        let Ask { point, host, mut names, .. } = ask;
        let parts = point::parts(point, 1..=2, USAGE)?;
        let [what, pin @ ..] = parts else { return Ok(vec![]) };
        if crate::pattern::has_wildcard(&what.text) {
            let message = "iter probes do not take wildcards";
            return Err(Diagnostic::error("attach-point-wildcard", what.span, message)
                .help("bpftrace -l 'iter:*' lists the iterators of this kernel"));
        }
        let pin = pin.first().map(pin_path).transpose()?;
        if OF_A_MAP.contains(&what.text.as_str()) {
            let message = format!(
                "iter:{} goes over the entries of one map, and there is no way to name it",
                what.text
            );
            return Err(Diagnostic::error("unsupported", what.span, message)
                .help("iter:bpf_map lists the maps; bpftool map dump shows what is in one"));
        }
        no_types(host, point)?;
        let context = host.types.find(Some(Tag::Struct), &format!("{CONTEXT}{}", what.text));
        let (Some(Type::Struct(id)), true) = (context, runs(&what.text, host)) else {
            let known = matching(&Pattern::any(), host);
            let problem = point::missing("iter", &what.text, what.span);
            return Err(point::did_you_mean(problem, &what.text, known)
                .help("bpftrace -l 'iter:*' lists the iterators of this kernel"));
        };
        let name = format!("iter:{}", what.text);
        let name_id = names.id(&name);
        let mut view = View::empty("iter", Context::Objects, Nesting::Interrupts, name_id);
        view.returns_zero = true;
        view.ctx = Some(Type::Struct(id));
        let fields = host.types.structure(id).map(|s| s.fields.as_slice()).unwrap_or_default();
        let object = fields.iter().rfind(|f| matches!(f.ty, Type::Ptr { .. }) && f.name != "meta");
        view.object = object.map(|field| field.offset);
        let cgroups = what.text == "cgroup";
        view.pinned = pin.is_some();
        let over = Target::Iter { pid: host.pid.filter(|_| !cgroups), cgroups, pin };
        let attach = Attach { name, span: point.span, what: over };
        Ok(vec![Group { section: format!("iter/{}", what.text), attach: vec![attach], view }])
    }

    fn list(&self, search: Search<'_, '_>) -> Result<(), Diagnostic> {
        let Search { point, verbose, host, found } = search;
        if host.types.problem().is_some() {
            return Ok(());
        }
        let pattern = point.parts.get(1).map_or_else(Pattern::any, |part| Pattern::new(&part.text));
        for name in matching(&pattern, host) {
            let signature =
                verbose.then(|| host.types.signature(None, &format!("{FUNCTION}{name}"))).flatten();
            let args = signature.map(|Signature { params, .. }| {
                // The first one is about the iteration itself.
                params.into_iter().skip(1).map(|(ty, name)| format!("{ty} {name}")).collect()
            });
            found(Listed { name: format!("iter:{name}"), args: args.unwrap_or_default() });
        }
        Ok(())
    }
}
