//! `import "…";`: what other files declare becomes part of the script.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use crate::diagnostics::{Diagnostic, Diagnostics, Sources};
use crate::syntax;
use crate::syntax::ast::{Definition, DefinitionKind, Import, ObjectFile, ObjectKind, Script};
use crate::syntax::text;

/// How many imports may lead to one another.
const MAX_DEPTH: usize = 64;

/// The largest file that is read, in bytes. Scripts are a few thousand.
const MAX_SIZE: u64 = 16 << 20;

/// Who does not own a file can change it: the bit for others in its mode.
const WRITABLE_BY_OTHERS: u32 = 0o002;

/// The part of the reference's library that is C on purpose: it shows whether C can be imported.
const TEST: &str = "int __always_true(void)\n{\n\treturn 1;\n}\n";
const TEST_PATH: &str = "stdlib/test/test.bpf.c";

/// Merges what the script imports into it: definitions and probes before its own, in the order of the imports.
///
/// `directory` is where the script is.
pub fn apply(script: &mut Script, directory: &Path, sources: &mut Sources, diagnostics: &mut Diagnostics) {
    if script.imports.is_empty() {
        return;
    }
    let mut importer = Importer { sources, diagnostics, seen: HashSet::new(), depth: 0 };
    importer.merge(script, directory);
}

struct Importer<'a> {
    sources: &'a mut Sources,
    diagnostics: &'a mut Diagnostics,
    /// What has been imported, by its canonical path.
    seen: HashSet<PathBuf>,
    depth: usize,
}

/// What a file is to a script, by its name.
enum Kind {
    Script,
    Header,
    /// `.bpf.c`, and `.bpf.o`, which is compiled already.
    Object(ObjectKind),
    Other,
}

impl Importer<'_> {
    fn merge(&mut self, script: &mut Script, directory: &Path) {
        let mut merged = Script::default();
        for import in std::mem::take(&mut script.imports) {
            if let Err(problem) = self.import(&import, directory, &mut merged) {
                self.diagnostics.push(*problem);
            }
        }
        let Script { definitions, objects, maps, macros, probes, .. } = merged;
        script.definitions.splice(0..0, definitions);
        script.objects.splice(0..0, objects);
        script.maps.splice(0..0, maps);
        script.macros.splice(0..0, macros);
        script.probes.splice(0..0, probes);
    }

    fn import(
        &mut self,
        import: &Import,
        directory: &Path,
        into: &mut Script,
    ) -> Result<(), Box<Diagnostic>> {
        let path = directory.join(&import.path);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            // What the reference has in files is built in here.
            Err(_) if import.path == "stdlib" || import.path.starts_with("stdlib/") => {
                if matches!(import.path.as_str(), "stdlib/test" | TEST_PATH)
                    && self.seen.insert(TEST_PATH.into())
                {
                    let kind = ObjectKind::Own(TEST);
                    into.objects.push(ObjectFile { path: TEST_PATH.into(), kind, span: import.span });
                }
                return Ok(());
            }
            Err(error) => {
                let message = format!("error reading import \"{}\": {error}", path.display());
                return Err(self
                    .error(import, message)
                    .help(format!(
                        "imports are looked for beside the script that names them, here in {}",
                        shown(directory)
                    ))
                    .into());
            }
        };
        self.stays_inside(import, directory, &path)?;
        self.is_private(import, &path, &metadata)?;
        if !metadata.is_dir() {
            return self.file(import, &path, &metadata, into);
        }
        let unreadable = |error: std::io::Error| {
            Box::new(Diagnostic::error(
                "bad-import",
                import.span,
                format!("error reading import \"{}\": {error}", path.display()),
            ))
        };
        let mut entries: Vec<PathBuf> = vec![];
        for entry in fs::read_dir(&path).map_err(unreadable)? {
            entries.push(entry.map_err(unreadable)?.path());
        }
        // The order must not depend on the file system's.
        entries.sort();
        for entry in entries {
            if matches!(kind(&entry), Kind::Other) {
                continue;
            }
            let metadata = fs::metadata(&entry).map_err(unreadable)?;
            if !metadata.is_dir() {
                self.stays_inside(import, &path, &entry)?;
                self.is_private(import, &entry, &metadata)?;
                self.file(import, &entry, &metadata, into)?;
            }
        }
        Ok(())
    }

    fn error(&self, import: &Import, message: String) -> Diagnostic {
        Diagnostic::error("bad-import", import.span, message)
    }

    /// A file that has been found.
    fn file(
        &mut self,
        import: &Import,
        path: &Path,
        metadata: &Metadata,
        into: &mut Script,
    ) -> Result<(), Box<Diagnostic>> {
        let canonical = self.canonical(import, path)?;
        match kind(path) {
            Kind::Script | Kind::Header | Kind::Object(_) if !metadata.is_file() => {
                Err(self.error(import, format!("{} is no regular file", shown(path))).into())
            }
            Kind::Script => self.script(import, path, canonical, metadata, into),
            Kind::Header => {
                if self.seen.insert(canonical.clone()) {
                    let text = format!("#include \"{}\"", canonical.display());
                    let kind = DefinitionKind::Include;
                    into.definitions.push(Definition { kind, text, span: import.span });
                }
                Ok(())
            }
            Kind::Object(kind) => {
                if self.seen.insert(canonical) {
                    into.objects.push(ObjectFile { path: path.to_owned(), kind, span: import.span });
                }
                Ok(())
            }
            Kind::Other => Err(self
                .error(import, format!("unknown import type: {}", shown(path)))
                .help("imports are .bt scripts, .h headers, .bpf.c files, and directories of them")
                .into()),
        }
    }

    fn script(
        &mut self,
        import: &Import,
        path: &Path,
        canonical: PathBuf,
        metadata: &Metadata,
        into: &mut Script,
    ) -> Result<(), Box<Diagnostic>> {
        if !self.seen.insert(canonical) {
            return Ok(());
        }
        if self.depth == MAX_DEPTH {
            return Err(self
                .error(import, format!("more than {MAX_DEPTH} imports lead to one another"))
                .into());
        }
        if metadata.len() > MAX_SIZE {
            return Err(self.error(import, format!("{} is too large for a script", shown(path))).into());
        }
        let text = fs::read(path)
            .map_err(|e| self.error(import, format!("error reading import \"{}\": {e}", path.display())))?;
        let Some((text, wrong)) = text::decode(text) else {
            return Err(self.error(import, format!("{} is not text", shown(path))).into());
        };
        let file = self.sources.add(shown(path), text.as_str());
        self.diagnostics.extend(wrong.map(|at| text::not_utf8(file, at)));
        let (mut script, problems) = syntax::parse(&text, file);
        self.diagnostics.extend(problems);
        if let Some(entry) = script.config.first() {
            self.diagnostics.push(
                Diagnostic::error("import-config", entry.span, "invalid `config` within import")
                    .label(import.span, "imported here")
                    .help("settings belong to the script that is run: move them there"),
            );
        }
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        self.depth += 1;
        self.merge(&mut script, &directory);
        self.depth -= 1;
        into.definitions.append(&mut script.definitions);
        into.objects.append(&mut script.objects);
        into.maps.append(&mut script.maps);
        into.macros.append(&mut script.macros);
        into.probes.append(&mut script.probes);
        Ok(())
    }

    fn canonical(&self, import: &Import, path: &Path) -> Result<PathBuf, Box<Diagnostic>> {
        fs::canonicalize(path).map_err(|e| {
            self.error(import, format!("error reading import \"{}\": {e}", path.display())).into()
        })
    }

    /// Refuses what a symbolic link leads out of the directory that the path names: whoever can write a link there
    /// should not choose what else root reads.
    fn stays_inside(&self, import: &Import, directory: &Path, path: &Path) -> Result<(), Box<Diagnostic>> {
        let below = path
            .strip_prefix(directory)
            .is_ok_and(|rest| rest.is_relative() && !rest.components().any(|c| c == Component::ParentDir));
        // A path that leaves the script's directory by itself says where to go.
        let anchor = if below { directory } else { path.parent().unwrap_or(path) };
        let anchor = if anchor.as_os_str().is_empty() { Path::new(".") } else { anchor };
        if self.canonical(import, path)?.starts_with(self.canonical(import, anchor)?) {
            return Ok(());
        }
        Err(self
            .error(import, format!("{} is a symbolic link out of {}", shown(path), shown(anchor)))
            .help("import the file by its own path")
            .into())
    }

    /// Refuses what anybody may have written.
    fn is_private(&self, import: &Import, path: &Path, metadata: &Metadata) -> Result<(), Box<Diagnostic>> {
        let Some(place) = open_to_all(path, metadata) else { return Ok(()) };
        let message = format!("not imported, since everybody may write to {}", place.display());
        Err(self
            .error(import, message)
            .note("what somebody else puts there would run as the user of bpftrace")
            .help(format!("chmod o-w {}", place.display()))
            .into())
    }
}

/// The file, or the directory that it is in, if everybody may write to it.
pub(crate) fn open_to_all<'p>(path: &'p Path, metadata: &Metadata) -> Option<&'p Path> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let open = |metadata: &Metadata| metadata.mode() & WRITABLE_BY_OTHERS != 0;
    if open(metadata) { Some(path) } else { fs::metadata(parent).is_ok_and(|m| open(&m)).then_some(parent) }
}

fn kind(path: &Path) -> Kind {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.ends_with(".bt") {
        Kind::Script
    } else if name.ends_with(".h") {
        Kind::Header
    } else if name.ends_with(".bpf.c") {
        Kind::Object(ObjectKind::Source)
    } else if name.ends_with(".bpf.o") {
        Kind::Object(ObjectKind::Compiled)
    } else {
        Kind::Other
    }
}

fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() || path == Path::new(".") {
        "the current directory".into()
    } else {
        path.display().to_string()
    }
}
