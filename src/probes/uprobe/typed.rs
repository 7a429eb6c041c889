//! `args` and `retval` of user functions, from the program's debug information.

use std::path::Path;

use super::super::abi::{self, Convention, Location};
use super::super::arch::Arch;
use super::super::view::{self, Reason};
use super::super::{Host, View};
use crate::diagnostics::Diagnostic;
use crate::ir::{Binary, Expr};
use crate::types::dwarf::{Function, Missing};
use crate::types::{Space, Type};

/// What the compiler calls a function whose parameters it has changed.
const CHANGED: [&str; 4] = [".isra.", ".constprop.", ".part.", ".cold"];

/// Gives a view what the function at an address has. `name` is its symbol.
pub(super) fn describe(
    view: &mut View,
    path: &Path,
    (name, address): (&str, u64),
    ret: bool,
    host: &mut Host<'_>,
) {
    let function = match host.types.program_function(path, address) {
        Ok(Some(function)) => function,
        Ok(None) => {
            let note = format!("the debug information of {} does not describe {name}", path.display());
            view.no_args = Some(Reason { note, help: None });
            return;
        }
        Err(missing) => {
            view.no_args = Some(no_debug_information(path, &missing));
            return;
        }
    };
    if ret {
        if function.result.as_ref().is_some_and(|(_, passed)| abi::result_in_vectors(passed)) {
            view.no_result = Some(format!(
                "{name} returns a floating-point number, in a register that BPF programs cannot read; retval is what another \
                 one happens to hold"
            ));
        }
        let result = function.result.filter(|(ty, passed)| ty.is_scalar() && abi::result_in_register(passed));
        if let Some((ty, _)) = result {
            view.retval = Some(view::load_word(Arch::HOST.result, &ty));
        }
        view.no_args = Some(Reason {
            note: "when a function returns, its arguments are gone".into(),
            help: Some(format!(
                "keep them where it is entered: uprobe:{}:{name} {{ @arg[tid] = args.…; }}",
                path.display()
            )),
        });
        return;
    }
    if CHANGED.iter().any(|suffix| name.contains(suffix)) {
        let note = format!("the compiler made {name} of a function and gave it other parameters");
        view.no_args = Some(Reason { note, help: Some("arg0, arg1, … are what it is called with".into()) });
        return;
    }
    let (args, mut hidden) = arguments(function);
    // Of several functions, this is said of one.
    hidden.iter_mut().for_each(|(_, why)| *why = format!("{why} (in {name})"));
    args.iter().for_each(|(_, value)| host.types.close(&value.ty));
    (view.args, view.hidden) = (Some(args), hidden);
}

/// Things by the name of an argument.
type ByName<T> = Vec<(String, T)>;

/// The arguments that can be read, and those that cannot with the reason.
fn arguments(function: Function) -> (ByName<Expr>, ByName<String>) {
    let Function { params, result } = function;
    let passed: Vec<_> = params.iter().map(|param| param.passed.clone()).collect();
    let places = abi::arguments(Convention::HOST, passed, result.as_ref().map(|(_, passed)| passed));
    let (mut args, mut hidden) = (vec![], vec![]);
    for (param, place) in params.into_iter().zip(places).filter(|(param, _)| !param.name.is_empty()) {
        let scalar = param.ty.is_scalar();
        let value = match place {
            Location::Register(number) => match Arch::HOST.arguments.get(number) {
                Some(register) if scalar => view::load_word(*register, &param.ty),
                _ => {
                    hidden.push((param.name, "its type has no counterpart here".into()));
                    continue;
                }
            },
            Location::Stack(offset) => view::dereference(on_stack(offset), Space::User, param.ty),
            Location::AtRegister(number) => match Arch::HOST.arguments.get(number) {
                Some(register) => view::dereference(view::load(*register, Type::U64), Space::User, param.ty),
                None => continue,
            },
            Location::AtStack(offset) => {
                let address = view::dereference(on_stack(offset), Space::User, Type::U64);
                view::dereference(address, Space::User, param.ty)
            }
            Location::Nowhere(why) => {
                hidden.push((param.name, why.into()));
                continue;
            }
        };
        args.push((param.name, value));
    }
    (args, hidden)
}

/// The address of an argument on the stack, at the function's first instruction.
fn on_stack(offset: u64) -> Expr {
    let above = u64::from(Arch::HOST.stack_arguments).saturating_add(offset);
    view::binary(Binary::Add, view::load(Arch::HOST.sp, Type::U64), view::number(above))
}

/// The parameters of the function at an address for listings, or its result.
pub(super) fn declarations(
    path: &Path,
    address: u64,
    ret: bool,
    host: &mut Host<'_>,
) -> Result<Vec<String>, Diagnostic> {
    let declared = host.types.program_declaration(path, address).map_err(|missing| {
        let message = format!("No DWARF found for \"{}\", cannot show parameter info", path.display());
        let Reason { note, help } = no_debug_information(path, &missing);
        let warning = Diagnostic::warning("no-debug-information", None, message).note(note);
        help.into_iter().fold(warning, Diagnostic::help)
    })?;
    let Some(declared) = declared else { return Ok(vec![]) };
    Ok(if ret { declared.result.into_iter().collect() } else { declared.params })
}

/// Why nothing is known about the functions of a file.
pub(super) fn no_debug_information(path: &Path, missing: &Missing) -> Reason {
    match missing {
        Missing::Unreadable(why) => Reason { note: why.clone(), help: None },
        Missing::None => Reason {
            note: format!(
                "{} has no debug information, and there is no separate file of it (it is not fetched from debuginfod)",
                path.display()
            ),
            help: Some(
                "install its -dbgsym or -debuginfo package, compile it with -g, or say where the file is with --debuginfo DIR"
                    .into(),
            ),
        },
    }
}
