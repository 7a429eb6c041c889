//! Maps that the script declares: `let @x = lruhash(100);`.

use super::Checker;
use crate::diagnostics::{Diagnostic, suggest};
use crate::image::MapKind;
use crate::syntax::ast::{ExprKind, MapDeclaration};
use crate::types::Type;

/// What can be declared.
const KINDS: &[(&str, MapKind)] = &[
    ("hash", MapKind::Hash),
    ("lruhash", MapKind::LruHash),
    ("percpuhash", MapKind::PerCpuHash),
    ("percpulruhash", MapKind::LruPerCpuHash),
];

/// What a declaration says of its map.
#[derive(Clone, Copy, Debug)]
pub struct Declared {
    pub kind: MapKind,
    pub max_entries: u32,
}

impl Declared {
    /// What the declaration of a map of that name says, if there is one without mistakes.
    pub fn of(declarations: &[MapDeclaration], name: &str) -> Option<Declared> {
        let declaration = declarations.iter().find(|d| d.name == name)?;
        let (_, kind) = KINDS.iter().find(|(name, _)| *name == declaration.kind)?;
        let [size] = declaration.args.as_slice() else { return None };
        let ExprKind::Int(entries) = size.kind else { return None };
        let max_entries = u32::try_from(entries).ok().filter(|n| *n > 0)?;
        Some(Declared { kind: *kind, max_entries })
    }
}

impl Checker<'_, '_> {
    /// What is wrong with declarations, by themselves and with how their maps are used.
    pub fn check_declarations(&mut self, declarations: &[MapDeclaration]) {
        for (n, declaration) in declarations.iter().enumerate() {
            if let Some(first) = declarations.iter().take(n).find(|d| d.name == declaration.name) {
                self.report(
                    Diagnostic::error(
                        "duplicate-map",
                        declaration.name_span,
                        format!("@{} is declared twice", declaration.name),
                    )
                    .label(first.name_span, "the first declaration"),
                );
            }
            self.check_declaration(declaration);
        }
    }

    fn check_declaration(&mut self, declaration: &MapDeclaration) {
        let names = KINDS.iter().map(|(name, _)| *name);
        let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == declaration.kind) else {
            let error = Diagnostic::error(
                "unknown-map-kind",
                declaration.kind_span,
                format!("Invalid bpf map type: {}", declaration.kind),
            );
            let help = suggest::did_you_mean(&declaration.kind, names.clone());
            let all = format!("there are {}", names.collect::<Vec<_>>().join(", "));
            self.report(error.help(help.unwrap_or(all)));
            return;
        };
        let name = &declaration.name;
        if Declared::of(std::slice::from_ref(declaration), name).is_none() {
            let place = declaration.args.first().map_or(declaration.span, |e| e.span);
            self.report(
                Diagnostic::error(
                    "map-size",
                    place,
                    "A map's declaration takes one number: how many entries it has at most",
                )
                .note(format!("it goes from 1 to {}", u32::MAX))
                .help(format!("write let @{name} = {}(1000);", declaration.kind)),
            );
            return;
        }
        let map = self.env.map_id(name).and_then(|id| self.env.map(id)).cloned();
        let Some(map) = map else {
            self.report(
                Diagnostic::warning("unused-map", declaration.name_span, format!("Unused map: @{name}"))
                    .help("the script does without it: leave the declaration out"),
            );
            return;
        };
        if let Some((false, used)) = map.keyed {
            self.report(
                Diagnostic::error(
                    "map-kind",
                    declaration.kind_span,
                    format!("@{name} is declared as {} and used without keys", declaration.kind),
                )
                .label(used, "used without a key here")
                .help("a map without keys has one value, and needs no declaration"),
            );
            return;
        }
        let Some(value) = map.value.shape.as_ref().map(|s| s.ty.clone()) else { return };
        let per_cpu = matches!(kind, MapKind::PerCpuHash | MapKind::LruPerCpuHash);
        let wanted = match (&value, per_cpu) {
            (Type::Agg(agg), false) => Some((
                format!("{}() is kept for each CPU", agg.name()),
                format!("percpu{}", declaration.kind),
            )),
            (Type::Agg(_), true) | (_, false) => None,
            (_, true) => Some((
                "plain values are shared by all CPUs".to_owned(),
                declaration.kind.trim_start_matches("percpu").to_owned(),
            )),
        };
        if let Some((why, kind)) = wanted {
            let mut error = Diagnostic::error(
                "map-kind",
                declaration.kind_span,
                format!(
                    "Incompatible map types. Type from declaration: {}. Type from value/key type: {kind}",
                    declaration.kind
                ),
            );
            if let Some(at) = map.value.set_at {
                error = error.label(at, "assigned here");
            }
            self.report(error.note(why).help(format!("declare it as {kind}")));
        }
    }
}
