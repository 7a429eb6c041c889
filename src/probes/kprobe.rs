//! `kprobe` and `kretprobe`: kernel functions, anywhere that the kernel can put a breakpoint.

use super::arch::Arch;
use super::functions::{self, Found, Request, VMLINUX};
use super::{Ask, Group, Host, Listed, Provider, Search, Searched, Uses, View, point, view};
use crate::config::Missing;
use crate::diagnostics::Diagnostic;
use crate::image::{Attach, Target};
use crate::ir::{Context, ExprKind, Nesting};
use crate::kernel::Feature;
use crate::pattern::Pattern;
use crate::syntax::ast::AttachPoint;
use crate::syntax::literal;
use crate::types::{Space, Type};

pub(super) struct Kprobe {
    names: &'static [&'static str],
    ret: bool,
}

impl Kprobe {
    pub(super) const ENTRY: Kprobe = Kprobe { names: &["kprobe", "k"], ret: false };
    pub(super) const RETURN: Kprobe = Kprobe { names: &["kretprobe", "kr"], ret: true };

    fn usage(&self) -> &'static str {
        match self.ret {
            false => "kprobe:vfs_read, kprobe:vfs_read+8 or kprobe:xfs:xfs_iread*",
            true => "kretprobe:vfs_read or kretprobe:xfs:xfs_iread*",
        }
    }

    fn view(&self, name_id: u32, offset: u64, host: &Host<'_>) -> View {
        let mut view = View::empty(self.names[0], Context::Registers, Nesting::Never, name_id);
        view.filter_pid = true;
        if self.ret {
            view.retval = Some(view::result());
        } else {
            view.words = view::arguments(Space::Kernel, offset == 0);
        }
        // The instruction pointer is in the function as long as it has not returned.
        view.func = if host.kernel.has(Feature::FuncIp) && offset == 0 {
            let context = view::expr(ExprKind::ContextPointer, Type::U64);
            Some(view::helper(libbpf_sys::BPF_FUNC_get_func_ip, vec![context]))
        } else {
            (!self.ret).then(|| view::load(Arch::HOST.ip, Type::U64))
        };
        view.func = view.func.map(|address| view::expr(ExprKind::Cast(Box::new(address)), Type::KSym));
        view
    }

    /// A probe of its own.
    fn single(
        &self,
        point: &AttachPoint,
        (module, function, offset): (Option<&str>, &str, u64),
        id: &mut dyn FnMut(&str) -> u32,
        host: &Host<'_>,
    ) -> Group {
        let mut name = self.names[0].to_owned();
        module.iter().chain(Some(&function)).filter(|part| !part.is_empty()).for_each(|part| {
            name.push(':');
            name.push_str(part);
        });
        match (function.is_empty(), offset) {
            (true, _) => name.push_str(&format!(":{offset}")),
            (false, 0) => {}
            (false, _) => name.push_str(&format!("+{offset}")),
        }
        let name_id = id(&name);
        let view = self.view(name_id, offset, host);
        let what = Target::Kprobe {
            function: function.to_owned(),
            module: module.filter(|m| *m != VMLINUX).map(str::to_owned),
            offset,
            ret: self.ret,
            name_id,
        };
        Group { section: self.names[0].into(), attach: vec![Attach { name, span: point.span, what }], view }
    }

    fn wildcard(
        &self,
        point: &AttachPoint,
        request: &Request<'_>,
        id: &mut dyn FnMut(&str) -> u32,
        host: &Host<'_>,
        uses: Uses,
    ) -> Result<Vec<Group>, Diagnostic> {
        let provider = self.names[0];
        let module = request.module_pattern();
        let pattern = Pattern::new(&request.function.text);
        let mut found = functions::matching(host.kernel, module.as_ref(), &pattern, point.span)?;
        if module.is_none() {
            found.sort_by(|a, b| a.name.cmp(&b.name));
            found.dedup_by(|a, b| a.name == b.name);
        }
        if found.is_empty() {
            return Err(functions::missing(provider, request, host, point.span));
        }
        let full = |f: &Found| match module {
            Some(_) => format!("{provider}:{}:{}", f.module, f.name),
            None => format!("{provider}:{}", f.name),
        };
        // In bulk the kernel takes names only, without their modules.
        let bulk = host.kernel.has(Feature::KprobeMulti);
        let (together, alone): (Vec<Found>, Vec<Found>) =
            found.into_iter().partition(|f| bulk && (module.is_none() || !f.ambiguous));
        let mut groups = vec![];
        if !together.is_empty() {
            let name_ids: Vec<u32> = together.iter().map(|f| id(&full(f))).collect();
            let mut view = self.view(name_ids.first().copied().unwrap_or(0), 0, host);
            if uses.name && together.len() > 1 {
                view.name = view::name_by_cookie();
            }
            let name = format!("{provider}:{}", request.name());
            let functions = together.into_iter().map(|f| f.name).collect();
            let what = Target::KprobeMulti { functions, ret: self.ret, name_ids };
            let attach = vec![Attach { name, span: point.span, what }];
            groups.push(Group { section: format!("{provider}.multi"), attach, view });
        }
        // One at a time the kernel refuses names that several functions of one module have.
        for f in alone.iter().filter(|f| module.is_some() || !f.ambiguous) {
            let module = module.as_ref().map(|_| f.module.as_str());
            groups.push(self.single(point, (module, &f.name, 0), id, host));
        }
        Ok(groups)
    }
}

impl Provider for Kprobe {
    fn names(&self) -> &'static [&'static str] {
        self.names
    }

    fn searched(&self) -> Searched {
        if self.ret { Searched::ByName } else { Searched::Always }
    }

    fn resolve(&self, ask: Ask<'_, '_>) -> Result<Vec<Group>, Diagnostic> {
        let Ask { point, uses, host, mut names, .. } = ask;
        let request = Request::parse(point, self.usage())?;
        let mut id = |name: &str| names.id(name);
        if request.has_wildcard() {
            return self.wildcard(point, &request, &mut id, host, uses);
        }
        let part = request.function;
        if let Ok(address) = literal::int(&part.text) {
            if !host.unsafe_mode {
                return Err(Diagnostic::error(
                    "unsafe-address",
                    part.span,
                    "Probing by address requires --unsafe",
                )
                .note("at an address inside an instruction a probe would crash the kernel"));
            }
            return Ok(vec![self.single(point, (None, "", address), &mut id, host)]);
        }
        let (function, offset) = point::with_offset(part, self.ret)?;
        let module = request.module.map(|m| m.text.as_str());
        // What BTF knows is there; it is looked up in microseconds, while the kernel takes tens of milliseconds to
        // write the list of functions. Should it be one that is not traceable, attaching says so.
        let known = !host.kernel.has_own_list() && host.types.function(module, function).is_some();
        if !known && !host.kernel.is_traceable(function, module) {
            if host.config.missing_probes != Missing::Ignore {
                let message =
                    format!("{function} is not traceable (the kernel's list of functions lacks it)");
                host.warnings.push(Diagnostic::warning("not-traceable", point.span, message).note(
                    "it is not there, or inlined everywhere, or protected, and the kernel may refuse a probe",
                ));
            }
            if !host.unsafe_mode {
                return Err(functions::missing(self.names[0], &request, host, point.span));
            }
        }
        Ok(vec![self.single(point, (module, function, offset), &mut id, host)])
    }

    fn list(&self, search: Search<'_, '_>) -> Result<(), Diagnostic> {
        let Search { point, verbose, host, found } = search;
        let (module, function) = match point.parts.get(1..).unwrap_or_default() {
            [] => (None, Pattern::any()),
            [function] => (None, Pattern::new(&function.text)),
            [module, function, ..] => (Some(Pattern::new(&module.text)), Pattern::new(&function.text)),
        };
        let mut matches = functions::matching(host.kernel, module.as_ref(), &function, point.span)?;
        if module.is_none() {
            matches.sort_by(|a, b| a.name.cmp(&b.name));
            matches.dedup_by(|a, b| a.name == b.name);
        }
        for f in matches {
            let name = match module {
                Some(_) => format!("{}:{}:{}", self.names[0], f.module, f.name),
                None => format!("{}:{}", self.names[0], f.name),
            };
            let args = if verbose { self.declarations(&f, host) } else { vec![] };
            found(Listed { name, args });
        }
        Ok(())
    }
}

impl Kprobe {
    /// `struct file * arg0`, or the result: what the registers hold.
    fn declarations(&self, f: &Found, host: &mut Host<'_>) -> Vec<String> {
        let Some(signature) = host.types.signature(Some(&f.module), &f.name) else { return vec![] };
        match (self.ret, signature.result.as_str()) {
            (true, "void") => vec!["void".into()],
            (true, result) => vec![format!("{result} retval")],
            (false, _) => {
                let types = signature.params.iter().map(|(ty, _)| ty);
                types.enumerate().map(|(n, ty)| format!("{ty} arg{n}")).collect()
            }
        }
    }
}
