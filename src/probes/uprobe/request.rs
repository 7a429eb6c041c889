//! What the attach point of a uprobe says.

use std::borrow::Cow;

use super::super::{Host, point};
use super::source;
use crate::diagnostics::Diagnostic;
use crate::syntax::ast::{AttachPart, AttachPoint};
use crate::types::dwarf::Source;

/// What an attach point says.
pub(super) struct Request<'a> {
    /// `None` for the program of `-p` or `-c`.
    pub(super) target: Option<Cow<'a, AttachPart>>,
    pub(super) what: What<'a>,
}

pub(super) enum What<'a> {
    Function {
        name: Cow<'a, AttachPart>,
        /// `cpp:"ns::f"`: the name is as the source has it.
        demangled: bool,
    },
    Source(Source),
}

/// The qualifiers for names as the source has them.
const LANGUAGES: [&str; 2] = ["cpp", "rust"];

impl<'a> Request<'a> {
    pub(super) fn parse(
        point: &'a AttachPoint,
        host: &Host<'_>,
        usage: &str,
    ) -> Result<Request<'a>, Diagnostic> {
        let parts = point.parts.get(1..).unwrap_or_default();
        if let Some(place) = source::parse(parts, host) {
            let (program, place) = place?;
            return Ok(Request { target: Some(Cow::Owned(program)), what: What::Source(place) });
        }
        let of_process = host.pid.is_some() || host.command.is_some();
        let language = |part: &AttachPart| LANGUAGES.contains(&part.text.as_str()) && !part.quoted;
        let plain = |target, name, demangled| {
            let what = What::Function { name, demangled };
            Ok(Request { target, what })
        };
        match parts {
            [function] if of_process => plain(None, Cow::Borrowed(function), false),
            [lang, function] if of_process && language(lang) => plain(None, Cow::Borrowed(function), true),
            [target, function] => plain(Some(Cow::Borrowed(target)), Cow::Borrowed(function), false),
            [target, lang, names @ ..] if language(lang) && !names.is_empty() => {
                plain(Some(Cow::Borrowed(target)), joined(names), true)
            }
            // `ns::f` without quotes.
            [target, first, empty, ..]
                if empty.text.is_empty() && !empty.quoted && !first.text.is_empty() =>
            {
                let names = parts.get(1..).unwrap_or_default();
                plain(Some(Cow::Borrowed(target)), joined(names), false)
            }
            [_, language, _] => {
                let message = format!("the language qualifier \"{}\" is not supported", language.text);
                Err(Diagnostic::error("attach-point-language", language.span, message).help(
                    "there are cpp and rust; without one, write the function's mangled name, which nm shows",
                ))
            }
            _ => Err(point::parts(point, 2..=2, usage).err().unwrap_or_else(|| {
                Diagnostic::error("attach-point-arguments", point.span, format!("it is written {usage}"))
            })),
        }
    }
}

/// Parts that are one name: `ns`, ``, `f` are `ns::f`.
fn joined(parts: &[AttachPart]) -> Cow<'_, AttachPart> {
    match parts {
        [one] => Cow::Borrowed(one),
        _ => {
            let text = parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(":");
            let spans = (parts.first().map(|p| p.span), parts.last().map(|p| p.span));
            let span = match spans {
                (Some(first), Some(last)) => first.to(last),
                _ => Default::default(),
            };
            Cow::Owned(AttachPart { text, quoted: parts.iter().any(|p| p.quoted), span })
        }
    }
}
