//! `fentry` and `fexit`: kernel functions through trampolines, with the types of their parameters from BTF.

use super::functions::{self, Request, VMLINUX, params};
use super::view::Words;
use super::{Ask, Group, Host, Listed, Provider, Search, Searched, View, bpf, point, view};
use crate::diagnostics::{Diagnostic, Span};
use crate::image::{Attach, Target};
use crate::ir::{Context, Expr, ExprKind, Nesting};
use crate::kernel::Feature;
use crate::pattern::{Pattern, has_wildcard};
use crate::types::store::{Prototype, Types};
use crate::types::{Type, layout};

pub(super) struct Fentry {
    names: &'static [&'static str],
    ret: bool,
}

impl Fentry {
    pub(super) const ENTRY: Fentry = Fentry { names: &["fentry", "kfunc", "f"], ret: false };
    pub(super) const RETURN: Fentry = Fentry { names: &["fexit", "kretfunc", "fr"], ret: true };

    fn usage(&self) -> &'static str {
        if self.ret {
            "fexit:vfs_read or fexit:xfs:xfs_iread*"
        } else {
            "fentry:vfs_read or fentry:xfs:xfs_iread*"
        }
    }

    /// The modules and names of the functions that are meant.
    fn functions(
        &self,
        request: &Request<'_>,
        host: &mut Host<'_>,
        span: Span,
    ) -> Result<Vec<(String, String)>, Diagnostic> {
        let provider = self.names[0];
        if request.has_wildcard() {
            let pattern = Pattern::new(&request.function.text);
            let found = functions::matching(host.kernel, request.module_pattern().as_ref(), &pattern, span)?;
            let typed: Vec<_> = found
                .into_iter()
                .filter(|f| {
                    let known = host.types.function(Some(&f.module), &f.name);
                    known.is_some_and(|prototype| unfit(&prototype, host.types).is_none())
                })
                .map(|f| (f.module, f.name))
                .collect();
            if typed.is_empty() {
                return Err(functions::missing(provider, request, host, span));
            }
            return Ok(typed);
        }
        let name = request.function.text.as_str();
        let module = request.module.map(|module| module.text.as_str());
        if host.kernel.has_own_list() && !host.kernel.is_traceable(name, module) {
            return Err(functions::missing(provider, request, host, span));
        }
        if let Some(module) = request.module {
            if host.types.function(Some(&module.text), name).is_some() {
                return Ok(vec![(module.text.clone(), name.to_owned())]);
            }
        } else if host.types.function(Some(VMLINUX), name).is_some() {
            return Ok(vec![(VMLINUX.to_owned(), name.to_owned())]);
        } else {
            let mut modules = vec![];
            host.types.functions(None, &mut |module, own| {
                if own == name && !modules.iter().any(|m| m == module) {
                    modules.push(module.to_owned());
                }
            });
            match modules.as_slice() {
                [] => {}
                [module] => return Ok(vec![(module.clone(), name.to_owned())]),
                [first, ..] => {
                    let message =
                        format!("several modules have a function {name}, and it is not said which is meant");
                    return Err(Diagnostic::error("ambiguous-function", span, message)
                        .note(format!("it is in {}", modules.join(", ")))
                        .help(format!("write {provider}:{first}:{name}")));
                }
            }
        }
        Err(self.untyped(request, host, span))
    }

    /// The error for a function that BTF does not have.
    fn untyped(&self, request: &Request<'_>, host: &mut Host<'_>, span: Span) -> Diagnostic {
        if let Some(why) = host.types.problem() {
            return Diagnostic::error(
                "no-btf",
                span,
                format!("{} needs the kernel's BTF: {why}", self.names[0]),
            )
            .help(format!("k{}probe needs none", if self.ret { "ret" } else { "" }));
        }
        let (module, name) = (request.module.map(|m| m.text.as_str()), &request.function.text);
        if host.kernel.is_traceable(name, module) {
            let kprobe = if self.ret { "kretprobe" } else { "kprobe" };
            return point::missing(self.names[0], &request.name(), span)
                .note("BTF does not describe this function, so its parameters are not known")
                .help(format!("{kprobe}:{} can trace it", request.name()));
        }
        functions::missing(self.names[0], request, host, span)
    }

    fn view(&self, name_id: u32, prototype: &Prototype, host: &mut Host<'_>) -> View {
        let mut view = View::empty(self.names[0], Context::Words, Nesting::Interrupts, name_id);
        view.filter_pid = true;
        view.returns_zero = true;
        let (args, words) = arguments(prototype, host.types);
        view.words = words.loads();
        if self.ret && prototype.result != Type::Void {
            view.retval = Some(view::load_word(words.end(), &prototype.result));
        }
        view.args = Some(args);
        if host.kernel.has(Feature::FuncIp) {
            let context = view::expr(ExprKind::ContextPointer, Type::U64);
            let address = view::helper(libbpf_sys::BPF_FUNC_get_func_ip, vec![context]);
            view.func = Some(view::expr(ExprKind::Cast(Box::new(address)), Type::KSym));
        }
        view
    }
}

/// Why the kernel can build no trampoline for a function, if so: what its `btf_distill_func_proto` refuses.
fn unfit(prototype: &Prototype, types: &mut Types) -> Option<&'static str> {
    // `MAX_BPF_FUNC_ARGS`
    const MOST: usize = 12;
    const LARGEST: u32 = 16;
    let mut small = |ty: &Type| {
        types.close(ty);
        layout::size_of(ty, types.layouts()) <= LARGEST
    };
    if prototype.variadic {
        return Some("it takes a variable number of arguments");
    }
    if prototype.result != Type::Void && !prototype.result.is_scalar() {
        return Some("its result is a struct");
    }
    if prototype.params.len() > MOST {
        return Some("it has more than twelve parameters");
    }
    let all = prototype.params.iter().all(|(_, ty)| ty.is_scalar() || (*ty != Type::Void && small(ty)));
    (!all).then_some("a parameter of it is a struct of more than 16 bytes")
}

/// The arguments as they lie in the context, and the words that they take there.
pub(super) fn arguments(prototype: &Prototype, types: &mut Types) -> (Vec<(String, Expr)>, Words) {
    let mut words = Words::default();
    let mut args = vec![];
    for (name, ty) in &prototype.params {
        let value = if ty.is_scalar() {
            view::load_word(words.take(8), ty)
        } else {
            types.close(ty);
            view::load(words.take(layout::size_of(ty, types.layouts())), ty.clone())
        };
        args.push((name.clone(), value));
    }
    (args, words)
}

impl Provider for Fentry {
    fn names(&self) -> &'static [&'static str] {
        self.names
    }

    fn searched(&self) -> Searched {
        if self.ret { Searched::ByName } else { Searched::Always }
    }

    fn resolve(&self, ask: Ask<'_, '_>) -> Result<Vec<Group>, Diagnostic> {
        if bpf::is_meant(ask.point) {
            return bpf::resolve(self.names[0], self.ret, ask);
        }
        let Ask { point, host, mut names, .. } = ask;
        let provider = self.names[0];
        let request = Request::parse(point, self.usage())?;
        let mut groups = vec![];
        for (module, function) in self.functions(&request, host, point.span)? {
            let Some(prototype) = host.types.function(Some(&module), &function) else { continue };
            if let Some(why) = unfit(&prototype, host.types) {
                let kprobe = if self.ret { "kretprobe" } else { "kprobe" };
                return Err(point::missing(provider, &request.name(), point.span)
                    .note(format!("the kernel can make no trampoline for {function}: {why}"))
                    .help(format!("{kprobe}:{} can trace it", request.name())));
            }
            let name = format!("{provider}:{module}:{function}");
            let name_id = names.id(&name);
            let view = self.view(name_id, &prototype, host);
            let own = Some(module).filter(|m| m != VMLINUX);
            let section = match &own {
                Some(module) => format!("{provider}/{module}:{function}"),
                None => format!("{provider}/{function}"),
            };
            let what = Target::Fentry { function, module: own, ret: self.ret };
            groups.push(Group { section, attach: vec![Attach { name, span: point.span, what }], view });
        }
        Ok(groups)
    }

    fn list(&self, search: Search<'_, '_>) -> Result<(), Diagnostic> {
        if bpf::is_meant(search.point) {
            return bpf::list(self.names[0], self.ret, search);
        }
        let Search { point, verbose, host, found } = search;
        let (module, function) = point::module_and_name(point);
        let module_pattern = module.map_or_else(Pattern::any, Pattern::new);
        let matches =
            functions::matching(host.kernel, Some(&module_pattern), &Pattern::new(function), point.span)?;
        let only = module.filter(|m| !has_wildcard(m));
        let mut described = std::collections::HashSet::new();
        host.types.functions(only, &mut |module, name| {
            described.insert(format!("{module}:{name}"));
        });
        let mut names: Vec<(String, String)> = matches.into_iter().map(|f| (f.module, f.name)).collect();
        names.sort_by_cached_key(|(module, name)| format!("{module}:{name}"));
        names.dedup();
        for (module, name) in names {
            let full = format!("{module}:{name}");
            if !described.contains(&full) {
                continue;
            }
            let signature = verbose.then(|| host.types.signature(Some(&module), &name)).flatten();
            let mut args: Vec<String> = signature.iter().flat_map(params).collect();
            if let Some(signature) = signature.filter(|s| self.ret && s.result != "void") {
                args.push(format!("{} retval", signature.result));
            }
            found(Listed { name: format!("{}:{full}", self.names[0]), args });
        }
        Ok(())
    }
}
