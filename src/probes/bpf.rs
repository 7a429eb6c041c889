//! `fentry:bpf:[ID:]FUNCTION` and `fexit`: the functions of BPF programs that run.

use super::functions::PROGRAMS;
use super::view::Words;
use super::{Ask, Group, Listed, Search, View, point, view};
use crate::diagnostics::{Diagnostic, Span};
use crate::image::{Attach, Target};
use crate::ir::{Context, Nesting};
use crate::kernel::programs::{Running, running};
use crate::pattern::Pattern;
use crate::syntax::ast::{AttachPart, AttachPoint, Tag};
use crate::types::btf::{Btf, Kind};
use crate::types::store::Types;
use crate::types::{Int, Space, Type};

/// Whether an attach point is of this form.
pub(super) fn is_meant(point: &AttachPoint) -> bool {
    point.parts.get(1).is_some_and(|part| part.text == PROGRAMS && !part.quoted)
}

/// Which programs, and which functions of them.
struct Wanted<'a> {
    id: Option<u32>,
    name: &'a str,
}

impl<'a> Wanted<'a> {
    /// From what comes after `bpf`.
    fn parse(parts: &'a [AttachPart], span: Span) -> Result<Wanted<'a>, Diagnostic> {
        let usage = "fentry:bpf:NAME or fentry:bpf:ID:NAME";
        match parts {
            [name] => Ok(Wanted { id: None, name: &name.text }),
            [id, name] if id.text == "*" => Ok(Wanted { id: None, name: &name.text }),
            [id, name] => {
                let number = id.text.parse().map_err(|_| {
                    let message = "the id of a BPF program is a number, or * for any";
                    Diagnostic::error("attach-point-arguments", id.span, message)
                        .help(format!("it is written {usage}; bpftrace -l 'fentry:bpf:*' lists what runs"))
                })?;
                Ok(Wanted { id: Some(number), name: &name.text })
            }
            _ => {
                let message = "the function of a BPF program is named by the program's id and its name";
                Err(Diagnostic::error("attach-point-arguments", span, message)
                    .help(format!("it is written {usage}")))
            }
        }
    }
}

/// A function of a program that runs.
struct Function {
    id: u32,
    name: String,
    /// Names, types (`None` for one that scripts have no values of) and sizes in bytes.
    params: Vec<(String, Option<Type>, u32)>,
    result: Type,
    /// The parameters and the result as C has them.
    spelled: (Vec<String>, String),
}

impl Function {
    fn view(&self, provider: &'static str, ret: bool, name_id: u32) -> View {
        let mut view = View::empty(provider, Context::Words, Nesting::Interrupts, name_id);
        view.filter_pid = true;
        view.returns_zero = true;
        let (mut words, mut args) = (Words::default(), vec![]);
        for (name, ty, size) in &self.params {
            let at = words.take(*size);
            match ty {
                Some(ty) => args.push((name.clone(), view::load_word(at, ty))),
                None => {
                    view.hidden.push((name.clone(), "its type is none that scripts have values of".into()));
                }
            }
        }
        view.words = words.loads();
        view.args = Some(args);
        if ret && self.result != Type::Void {
            view.retval = Some(view::load_word(words.end(), &self.result));
        }
        view
    }
}

fn matching(wanted: &Wanted<'_>, types: &mut Types, span: Span) -> Result<Vec<Function>, Diagnostic> {
    let pattern = Pattern::new(wanted.name);
    let mut found = vec![];
    running(|program| {
        if wanted.id.is_none_or(|id| id == program.id) {
            functions(&program, &pattern, types, &mut found);
        }
    })
    .map_err(|e| {
        Diagnostic::error("no-functions", span, format!("cannot ask which BPF programs run: {e}"))
            .help("run as root, or with the capabilities CAP_BPF and CAP_SYS_ADMIN")
    })?;
    Ok(found)
}

fn functions(program: &Running, pattern: &Pattern, types: &mut Types, found: &mut Vec<Function>) {
    let Ok(btf) = Btf::from_bytes(&program.btf) else { return };
    for function in &program.functions {
        let Some(entry) = btf.entry(*function).filter(|entry| pattern.matches(entry.name)) else { continue };
        let Kind::Func { proto } = entry.kind else { continue };
        let Some(Kind::Proto(proto)) = btf.entry(proto).map(|e| e.kind) else { continue };
        let mut params = vec![];
        let mut spelled = vec![];
        for (n, (name, ty)) in proto.params().enumerate() {
            let name = if name.is_empty() { format!("arg{n}") } else { name.to_owned() };
            let size = btf.size_of(ty);
            let (ty, text) = value(&btf, ty, types);
            spelled.push(format!("{text} {name}"));
            params.push((name, ty, size));
        }
        let (result, text) = value(&btf, proto.result, types);
        let (result, spelled) = (result.unwrap_or(Type::Void), (spelled, text));
        found.push(Function { id: program.id, name: entry.name.to_owned(), params, result, spelled });
    }
}

/// The type of a parameter or result, and how C spells it: numbers, and pointers, to structs that the kernel has too.
fn value(btf: &Btf, id: u32, types: &mut Types) -> (Option<Type>, String) {
    let Some(entry) = btf.entry(id) else { return (Some(Type::Void), "void".into()) };
    match entry.kind {
        Kind::Void => (Some(Type::Void), "void".into()),
        Kind::Typedef(to) | Kind::Qualifier(to) | Kind::TypeTag(to) => {
            let (ty, text) = value(btf, to, types);
            let named = matches!(entry.kind, Kind::Typedef(_));
            (ty, if named { entry.name.to_owned() } else { text })
        }
        Kind::Int(int) => (number(int.size, int.signed), entry.name.to_owned()),
        Kind::Enum(values) => (number(values.size, values.signed), format!("enum {}", entry.name)),
        Kind::Ptr(to) => {
            let tag = |kind| match kind {
                Kind::Composite(composite) => Some(if composite.union { Tag::Union } else { Tag::Struct }),
                Kind::Forward { union } => Some(if union { Tag::Union } else { Tag::Struct }),
                _ => None,
            };
            let mut to = to;
            while let Some(Kind::Qualifier(inner) | Kind::TypeTag(inner)) = btf.entry(to).map(|e| e.kind) {
                to = inner;
            }
            let target = btf.entry(to);
            if let Some((target, tag)) = target.and_then(|target| Some((target, tag(target.kind)?))) {
                let word = if tag == Tag::Union { "union" } else { "struct" };
                let known = types.find(Some(tag), target.name).unwrap_or(Type::Void);
                let text = format!("{word} {} *", target.name);
                return (Some(Type::ptr(known, Space::Kernel)), text);
            }
            let (_, text) = value(btf, to, types);
            (Some(Type::ptr(Type::Void, Space::Kernel)), format!("{text} *"))
        }
        Kind::Composite(composite) => {
            let word = if composite.union { "union" } else { "struct" };
            (None, format!("{word} {}", entry.name))
        }
        _ => (None, entry.name.to_owned()),
    }
}

fn number(size: u32, signed: bool) -> Option<Type> {
    let size = u8::try_from(size).ok().filter(|size| matches!(size, 1 | 2 | 4 | 8))?;
    Some(Type::Int(Int { size, signed }))
}

/// As [`Provider::resolve`].
pub(super) fn resolve(provider: &'static str, ret: bool, ask: Ask<'_, '_>) -> Result<Vec<Group>, Diagnostic> {
    let Ask { point, host, mut names, .. } = ask;
    let wanted = Wanted::parse(point.parts.get(2..).unwrap_or_default(), point.span)?;
    let found = matching(&wanted, host.types, point.span)?;
    if found.is_empty() {
        let id = wanted.id.map(|id| format!("{id}:")).unwrap_or_default();
        let problem = point::missing(provider, &format!("bpf:{id}{}", wanted.name), point.span)
            .note("no BPF program that runs now has such a function; those without BTF and tracers cannot be traced");
        let mut known = vec![];
        for function in matching(&Wanted { id: None, name: "*" }, host.types, point.span)? {
            known.push(function.name);
        }
        return Err(point::did_you_mean(problem, wanted.name, known)
            .help("bpftrace -l 'fentry:bpf:*' lists what runs"));
    }
    let groups = found.into_iter().map(|found| {
        let name = format!("{provider}:bpf:{}:{}", found.id, found.name);
        let view = found.view(provider, ret, names.id(&name));
        let Function { id, name: function, .. } = found;
        let section = format!("{provider}/bpf:{id}:{function}");
        let what = Target::BpfFunction { id, function, ret };
        Group { section, attach: vec![Attach { name, span: point.span, what }], view }
    });
    Ok(groups.collect())
}

/// As [`Provider::list`].
pub(super) fn list(provider: &str, ret: bool, search: Search<'_, '_>) -> Result<(), Diagnostic> {
    let Search { point, verbose, host, found } = search;
    let wanted = match point.parts.get(2..).unwrap_or_default() {
        [] => Wanted { id: None, name: "*" },
        parts => Wanted::parse(parts, point.span)?,
    };
    for function in matching(&wanted, host.types, point.span)? {
        let (mut args, result) = function.spelled;
        if ret && function.result != Type::Void {
            args.push(format!("{result} retval"));
        }
        if !verbose {
            args.clear();
        }
        let name = format!("{provider}:bpf:{}:{}", function.id, function.name);
        found(Listed { name, args });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use libbpf_sys as sys;

    use super::*;
    use crate::kernel::Kernel;

    /// The BTF of `signed enum E f(struct pair p, enum E e, long n)`, and the function's id.
    fn program() -> Running {
        // SAFETY: the object lives until it is freed, names are C strings, and the bytes are copied before that.
        unsafe {
            let btf = sys::btf__new_empty();
            let long = sys::btf__add_int(btf, c"long".as_ptr(), 8, sys::BTF_INT_SIGNED as i32);
            let pair = sys::btf__add_struct(btf, c"pair".as_ptr(), 16);
            assert_eq!(sys::btf__add_field(btf, c"a".as_ptr(), long, 0, 0), 0);
            assert_eq!(sys::btf__add_field(btf, c"b".as_ptr(), long, 64, 0), 0);
            let signed = sys::btf__add_enum(btf, c"E".as_ptr(), 4);
            assert_eq!(sys::btf__add_enum_value(btf, c"LESS".as_ptr(), -1), 0);
            let wide = sys::btf__add_enum64(btf, c"W".as_ptr(), 8, false);
            assert_eq!(sys::btf__add_enum64_value(btf, c"MUCH".as_ptr(), 1 << 40), 0);
            let proto = sys::btf__add_func_proto(btf, signed);
            for (name, ty) in [(c"p", pair), (c"w", wide), (c"n", long)] {
                assert_eq!(sys::btf__add_func_param(btf, name.as_ptr(), ty), 0);
            }
            let function = sys::btf__add_func(btf, c"f".as_ptr(), sys::BTF_FUNC_GLOBAL, proto);
            let mut size = 0;
            let bytes = sys::btf__raw_data(btf, &raw mut size);
            let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), size as usize).to_vec();
            sys::btf__free(btf);
            Running { id: 7, btf: bytes, functions: vec![function as u32] }
        }
    }

    #[test]
    fn what_is_behind_a_struct_is_where_it_ends() {
        let (mut types, mut found) = (Types::new(&Kernel::new()), vec![]);
        functions(&program(), &Pattern::any(), &mut types, &mut found);
        let [f] = found.as_slice() else { panic!("one function") };
        assert_eq!(
            f.spelled,
            (["struct pair p", "enum W w", "long n"].map(str::to_owned).into(), "enum E".into())
        );
        let view = f.view("fexit", true, 0);
        assert_eq!(view.hidden.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["p"]);
        let args = [("w", 16, Type::U64), ("n", 24, Type::I64)];
        let args = args.map(|(name, at, ty)| (name.to_owned(), view::load_word(at, &ty)));
        assert_eq!(view.args.as_deref(), Some(&args[..]));
        assert_eq!(view.words.len(), 4);
        assert_eq!(view.retval, Some(view::load_word(32, &Type::I32)));
    }
}
