//! What the kernel cannot keep or send, because it is too large: said before anything is loaded.

use super::{Checked, Checker};
use crate::config::MAX_RECORD;
use crate::diagnostics::{Diagnostic, Span};
use crate::kernel::Feature;
use crate::types::{Type, layout};

/// The most bytes of a hash's key and value together: `KMALLOC_MAX_SIZE`, which is 4 MB with pages of 4 KB, without
/// the head of an entry (`htab_map_alloc_check` in the kernel's `kernel/bpf/hashtab.c`).
const MAX_ENTRY: u64 = (4 << 20) - 64;

impl Checker<'_, '_> {
    /// Whether programs can go through a map here.
    pub fn can_iterate(&mut self, what: &str, instead: &str, span: Span) -> Checked<()> {
        if self.host.kernel.has(Feature::ForEachMap) {
            return Ok(());
        }
        self.fail(
            Diagnostic::error("kernel-feature", span, "Missing required kernel feature: for_each_map_elem")
                .note(format!(
                    "{what} goes through the map inside of the kernel, which Linux can from 5.13 on"
                ))
                .help(instead.to_owned()),
        )
    }

    /// Refuses entries of maps and records that are too large. For when all types are known.
    pub fn check_limits(&mut self) {
        let version = self.host.kernel.version();
        let entries: Vec<(String, Span, Type, Option<Type>)> = self
            .env
            .maps()
            .iter()
            .filter_map(|m| {
                let key = m.key.shape.as_ref()?.ty.clone();
                let value = m.value.shape.as_ref().map(|shape| shape.ty.clone());
                Some((m.name.clone(), m.value.set_at.unwrap_or(m.span), key, value))
            })
            .collect();
        let mut problems = vec![];
        for (name, span, key, value) in entries {
            let layouts = self.host.types.layouts();
            let key = u64::from(layout::size_of(&key, layouts));
            let value = value.map_or(0, |value| u64::from(layout::size_of(&value, layouts)));
            let problem = if key + value > MAX_ENTRY {
                let text =
                    format!("An entry of @{name} is too large: its key has {key} bytes, its value {value}");
                Diagnostic::error("map-entry-size", span, text)
                    .note(format!("the kernel keeps at most {MAX_ENTRY} bytes for both"))
            } else if let Some(most) = self.host.kernel.max_key().filter(|most| key > *most) {
                let text = format!("The key of @{name} is too large: it has {key} bytes");
                Diagnostic::error("map-entry-size", span, text)
                    .note(format!("this kernel, {version}, takes keys of up to {most} bytes; from 5.11 on there is no such limit"))
            } else {
                continue;
            };
            problems.push(problem.help("keep less of a string: str(…, 100), or a lower max_strlen"));
        }
        for event in &self.pass.events.list {
            let layouts = self.host.types.layouts();
            let size: u64 = event.args.iter().map(|ty| u64::from(layout::size_of(ty, layouts))).sum();
            if size > MAX_RECORD {
                let text = format!("What is sent from here is too large: it may have {size} bytes");
                problems.push(
                    Diagnostic::error("record-size", event.span, text)
                        .note(format!("a record holds at most {MAX_RECORD} bytes"))
                        .help("print the parts one by one, or set a lower max_strlen"),
                );
            }
        }
        problems.into_iter().for_each(|problem| self.report(problem));
    }
}
