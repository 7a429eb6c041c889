//! Every builtin, function and map function: one declaration each, with what it is called, what it takes and yields,
//! where it is allowed, how it becomes `ir`, and what its documentation says. To add one is to add an entry to the
//! table of its file.

mod addresses;
pub mod examples;
mod gather;
pub mod manual;
mod maps;
mod memory;
mod meta;
mod names;
mod network;
mod output;
mod pinned;
mod printing;
mod process;
mod stacks;
mod strings;
mod syscalls;
mod task;
mod text;
mod time;
mod values;

pub use gather::MAX_KEYED_INTERVALS;
pub use values::numbered;

/// What the documented library has and this one does not: who writes it has not mistyped.
pub const NOT_YET: &[&str] = &["dw_ustack"];

use std::fmt;

use crate::check::{Call, Checked, Value};
use crate::ir;
use crate::types::Agg;

/// A builtin as it is declared.
pub struct Builtin {
    pub name: &'static str,
    /// Other names for the same: old ones, short ones.
    pub aliases: &'static [&'static str],
    pub params: &'static [Param],
    /// The type of its value, as the documentation writes it.
    pub result: &'static str,
    /// One line that says what it is.
    pub summary: &'static str,
    /// What else there is to know, as Markdown. May be empty.
    pub doc: &'static str,
    /// May be written without parentheses.
    pub bare: bool,
    /// Happens in user space, a moment later.
    pub asynchronous: bool,
    /// Changes what it traces, so that `--unsafe` must allow it.
    pub needs_unsafe: bool,
    /// The providers whose probes have it; empty for all.
    pub probes: &'static [&'static str],
    pub(crate) lower: Lower,
}

/// What a call turns into.
pub(crate) enum Lower {
    Value(fn(&mut Call<'_, '_, '_>) -> Checked<Value>),
    /// What a map gathers: `count()`, only to the right of `@x =`.
    Gather(fn(&mut Call<'_, '_, '_>) -> Checked<Aggregation>),
}

/// What `@x = count()` and the like do to their map.
#[derive(Debug)]
pub(crate) struct Aggregation {
    pub agg: Agg,
    pub value: Option<ir::Expr>,
    pub weight: Option<ir::Expr>,
}

/// An argument as it is declared.
pub struct Param {
    pub name: &'static str,
    pub kind: Kind,
    pub need: Need,
}

/// What may be given for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything that has a value.
    Any,
    Int,
    /// An integer or a pointer.
    Address,
    /// An integer that is known before the script runs.
    Number,
    /// A string that is known before the script runs.
    Text,
    Str,
    /// A map as a whole.
    Map,
    /// One of a few words, without quotes.
    Word(&'static [&'static str]),
    /// Something whose meaning depends on the builtin.
    Special(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Required,
    Optional,
    /// None, one or several, at the end.
    Repeated,
}

const fn required(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, need: Need::Required }
}

const fn optional(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, need: Need::Optional }
}

const fn repeated(name: &'static str) -> Param {
    Param { name, kind: Kind::Any, need: Need::Repeated }
}

impl Builtin {
    /// A value without arguments, written with or without parentheses.
    const fn value(
        name: &'static str,
        result: &'static str,
        summary: &'static str,
        lower: fn(&mut Call<'_, '_, '_>) -> Checked<Value>,
    ) -> Builtin {
        Builtin {
            name,
            aliases: &[],
            params: &[],
            result,
            summary,
            doc: "",
            bare: true,
            asynchronous: false,
            needs_unsafe: false,
            probes: &[],
            lower: Lower::Value(lower),
        }
    }

    const fn function(
        name: &'static str,
        params: &'static [Param],
        result: &'static str,
        summary: &'static str,
        lower: fn(&mut Call<'_, '_, '_>) -> Checked<Value>,
    ) -> Builtin {
        Builtin { params, bare: false, ..Builtin::value(name, result, summary, lower) }
    }

    /// Something that user space does.
    const fn action(
        name: &'static str,
        params: &'static [Param],
        summary: &'static str,
        lower: fn(&mut Call<'_, '_, '_>) -> Checked<Value>,
    ) -> Builtin {
        Builtin { asynchronous: true, ..Builtin::function(name, params, "void", summary, lower) }
    }

    /// An action that the program itself takes, there and then.
    const fn at_once(self) -> Builtin {
        Builtin { asynchronous: false, ..self }
    }

    const fn gather(
        name: &'static str,
        params: &'static [Param],
        result: &'static str,
        summary: &'static str,
        lower: fn(&mut Call<'_, '_, '_>) -> Checked<Aggregation>,
    ) -> Builtin {
        Builtin {
            name,
            aliases: &[],
            params,
            result,
            summary,
            doc: "",
            bare: false,
            asynchronous: false,
            needs_unsafe: false,
            probes: &[],
            lower: Lower::Gather(lower),
        }
    }

    const fn doc(self, doc: &'static str) -> Builtin {
        Builtin { doc, ..self }
    }

    const fn bare(self) -> Builtin {
        Builtin { bare: true, ..self }
    }

    const fn alias(self, aliases: &'static [&'static str]) -> Builtin {
        Builtin { aliases, ..self }
    }

    const fn only(self, probes: &'static [&'static str]) -> Builtin {
        Builtin { probes, ..self }
    }

    const fn needs_unsafe(self) -> Builtin {
        Builtin { needs_unsafe: true, ..self }
    }

    /// All its names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Whether it only stands to the right of `@x =`.
    pub fn gathers(&self) -> bool {
        matches!(self.lower, Lower::Gather(_))
    }

    /// How many arguments it takes: at least, and at most if that is limited.
    pub fn arity(&self) -> (usize, Option<usize>) {
        let least = self.params.iter().filter(|p| p.need == Need::Required).count();
        let endless = self.params.iter().any(|p| p.need == Need::Repeated);
        (least, (!endless).then_some(self.params.len()))
    }

    /// The parameter that an argument is for.
    pub fn param(&self, index: usize) -> Option<&'static Param> {
        self.params.get(index).or_else(|| self.params.last().filter(|p| p.need == Need::Repeated))
    }
}

/// How it is written: `str(address, [length])`.
impl fmt::Display for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if self.bare && self.params.is_empty() {
            return Ok(());
        }
        write!(f, "(")?;
        for (n, param) in self.params.iter().enumerate() {
            let comma = if n > 0 { ", " } else { "" };
            match param.need {
                Need::Required => write!(f, "{comma}{}", param.name)?,
                Need::Optional => write!(f, "{comma}[{}]", param.name)?,
                Need::Repeated => write!(f, "{comma}...")?,
            }
        }
        write!(f, ")")
    }
}

/// The tables, in the order of the documentation.
static TABLES: &[(&str, &[Builtin])] = &[
    ("What a probe sees", values::TABLE),
    ("Who runs", process::TABLE),
    ("Tasks", task::TABLE),
    ("Time", time::TABLE),
    ("Stacks", stacks::TABLE),
    ("Strings and bytes", strings::TABLE),
    ("Strings in strings", text::TABLE),
    ("Names of numbers", names::TABLE),
    ("Types and memory", memory::TABLE),
    ("Known before the script runs", meta::TABLE),
    ("Addresses", addresses::TABLE),
    ("Networks", network::TABLE),
    ("Printing", printing::TABLE),
    ("Actions", output::TABLE),
    ("Maps", maps::TABLE),
    ("What maps gather", gather::TABLE),
];

pub fn all() -> impl Iterator<Item = &'static Builtin> {
    TABLES.iter().flat_map(|(_, table)| table.iter())
}

/// Names of before 0.10, and what is called so now.
const RENAMED: &[(&str, &str)] = &[("stack", "kstack"), ("sym", "ksym")];

/// What is called so now, for a name that is no longer used.
pub fn renamed(name: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(old, _)| *old == name).map(|(_, new)| *new)
}

/// The builtin of a name, new or old.
pub fn find(name: &str) -> Option<&'static Builtin> {
    let name = renamed(name).unwrap_or(name);
    let named = |name: &str| all().find(|b| b.names().any(|n| n == name));
    let beneath = || name.strip_prefix("__builtin_").filter(|name| BENEATH.contains(name)).and_then(named);
    named(name).or_else(|| values::numbered(name)).or_else(beneath)
}

/// What the reference's library puts a macro over, so that macros of scripts may name the thing itself, with
/// `__builtin_` before its name.
const BENEATH: &[&str] = &[
    "comm",
    "config",
    "cpid",
    "cpu",
    "elapsed",
    "func",
    "is_literal",
    "kfunc_allowed",
    "kfunc_exist",
    "ncpus",
    "probe",
    "probetype",
    "retval",
    "usermode",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_is_there_is_not_said_to_be_missing() {
        let there: Vec<_> = NOT_YET.iter().filter(|name| find(name).is_some()).collect();
        assert!(there.is_empty(), "{there:?}");
    }

    #[test]
    fn names_are_unique_and_documented() {
        let mut seen = BTreeSet::new();
        for builtin in all() {
            for name in builtin.names() {
                assert!(seen.insert(name), "{name} is declared twice");
                assert!(std::ptr::eq(find(name).unwrap(), builtin));
            }
            assert!(!builtin.summary.is_empty() && !builtin.summary.ends_with('.'), "{}", builtin.name);
            assert!(!builtin.result.is_empty(), "{}", builtin.name);
        }
    }

    #[test]
    fn only_the_last_parameters_may_be_left_out() {
        for builtin in all() {
            let needs: Vec<Need> = builtin.params.iter().map(|p| p.need).collect();
            let first_optional = needs.iter().position(|n| *n != Need::Required).unwrap_or(needs.len());
            assert!(
                needs[first_optional..].iter().all(|n| *n != Need::Required)
                    || builtin.params.iter().any(|p| matches!(p.kind, Kind::Special(_))),
                "{builtin}"
            );
        }
    }

    #[test]
    fn they_are_written_as_declared() {
        assert_eq!(find("str").unwrap().to_string(), "str(address, [length])");
        assert_eq!(find("pid").unwrap().to_string(), "pid([namespace])");
        assert_eq!(find("printf").unwrap().to_string(), "printf(format, ...)");
        assert_eq!(find("cpu").unwrap().to_string(), "cpu");
    }
}
