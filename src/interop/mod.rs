//! BPF C that a script imports: compiled with the machine's clang, and linked with the script's own object by libbpf.
//!
//! Objects are linked, not LLVM's bitcode, so that the version of clang need not be that of the LLVM in this binary.
//! What the files define is known from their BTF: see [`crate::types::linked`].

mod clang;
mod directory;
mod held;
mod link;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind, SymbolKind};

use crate::diagnostics::{Diagnostic, Diagnostics, FileId, Sources, Span};
use crate::expand::open_to_all;
use crate::syntax::ast::{ObjectFile, ObjectKind};
pub use clang::find as find_clang;
use clang::{Clang, Complaint, Level};
use directory::Directory;

pub use link::link;

/// What to do where there is no clang.
const INSTALL: &str = "install clang (Debian, Ubuntu, Fedora and others: the package clang)";

/// The largest object that is read, in bytes.
const MAX_SIZE: u64 = 64 << 20;

/// A file that is ready to be linked.
pub struct Object {
    /// As messages show it.
    pub name: String,
    /// A BPF object.
    pub elf: Vec<u8>,
    /// The import that brought it.
    pub span: Span,
    /// Functions that cannot be called, as far as the text shows: those that are `static`.
    pub hidden: Vec<String>,
}

/// What compiling depends on besides the files.
pub struct Settings<'a> {
    /// `BPFTRACE_CLANG`: the compiler, in place of the one that is found.
    pub clang: Option<OsString>,
    /// Where headers are looked for: `-I`.
    pub includes: &'a [PathBuf],
    /// The kernel's types as C, for files that include a `vmlinux.h` which is nowhere.
    pub vmlinux: &'a mut dyn FnMut() -> Result<String, String>,
}

/// Compiles what is not compiled yet. The files become sources, so that messages can show their lines.
pub fn build(
    files: &[ObjectFile],
    settings: &mut Settings<'_>,
    sources: &mut Sources,
) -> (Vec<Object>, Diagnostics) {
    let mut diagnostics = Diagnostics::default();
    let mut objects = vec![];
    let mut compiler: Option<(Clang, Directory)> = None;
    for file in files {
        let name = file.path.display().to_string();
        let mut builder =
            Builder { file, name: &name, sources, diagnostics: &mut diagnostics, known: HashMap::new() };
        let elf = if file.kind != ObjectKind::Compiled {
            // Without a compiler one message is enough.
            let (clang, directory) = match &mut compiler {
                Some(ready) => ready,
                None => match prepare(settings, file) {
                    Ok(ready) => compiler.insert(ready),
                    Err(problem) => {
                        diagnostics.push(*problem);
                        break;
                    }
                },
            };
            builder.compile(clang, directory, settings)
        } else {
            builder.read()
        };
        if let Some((elf, hidden)) = elf {
            match builder.object(elf, hidden) {
                Ok(object) => objects.push(object),
                Err(problem) => diagnostics.push(*problem),
            }
        }
    }
    (objects, diagnostics)
}

/// The license that the objects agree on, if they have one. The kernel wants one for the whole program.
pub fn license(objects: &[Object], of_script: Option<&str>) -> Result<Option<String>, Box<Diagnostic>> {
    let mut agreed = of_script.map(|license| (license.to_owned(), "the script".to_owned()));
    for object in objects {
        let Some(license) = section_text(&object.elf, "license") else { continue };
        match &agreed {
            Some((before, whose)) if *before != license => {
                let message = format!("{} has the license \"{license}\", {whose} \"{before}\"", object.name);
                return Err(Diagnostic::error("bad-import", object.span, message)
                    .note("both become one program, which has one license")
                    .help(
                        "set the same license in all of them, in a script with config = { license = \"…\" }",
                    )
                    .into());
            }
            Some(_) => {}
            None => agreed = Some((license, object.name.clone())),
        }
    }
    Ok(agreed.map(|(license, _)| license))
}

fn prepare(settings: &Settings<'_>, file: &ObjectFile) -> Result<(Clang, Directory), Box<Diagnostic>> {
    let shown = file.path.display();
    let clang =
        Clang::find(settings.clang.as_deref(), std::env::var_os("PATH").as_deref()).map_err(|missing| {
            let message = format!("{shown} has to be compiled, and {missing}");
            let error = Diagnostic::error("no-clang", file.span, message);
            let error = if settings.clang.is_none() { error.help(INSTALL) } else { error };
            error.help("or compile it elsewhere (clang --target=bpf -O2 -g -c) and import the .bpf.o")
        })?;
    let directory = Directory::new().map_err(|e| {
        let message = format!("{shown} cannot be compiled: no temporary directory: {e}");
        Diagnostic::error("bad-import", file.span, message).help("TMPDIR says where it is made")
    })?;
    Ok((clang, directory))
}

/// One file on its way.
struct Builder<'a> {
    file: &'a ObjectFile,
    name: &'a str,
    sources: &'a mut Sources,
    diagnostics: &'a mut Diagnostics,
    /// The texts that messages were about.
    known: HashMap<String, FileId>,
}

impl Builder<'_> {
    fn compile(
        &mut self,
        clang: &Clang,
        directory: &mut Directory,
        settings: &mut Settings<'_>,
    ) -> Option<(Vec<u8>, Vec<String>)> {
        let (path, text) = match self.source(directory) {
            Ok(source) => source,
            Err(e) => return self.fail(format!("error reading import \"{}\": {e}", self.name)),
        };
        let hidden = statics(&text);
        let id = self.sources.add(self.name, text);
        self.known.insert(path.display().to_string(), id);
        let mut done = clang.compile(&path, directory, settings.includes);
        if done.as_ref().is_ok_and(clang::Done::wants_vmlinux) {
            let added = (settings.vmlinux)()
                .and_then(|header| directory.add("vmlinux.h", &header).map_err(|e| e.to_string()));
            if let Err(why) = added {
                return self.fail(format!("{} includes vmlinux.h, which cannot be made: {why}", self.name));
            }
            done = clang.compile(&path, directory, settings.includes);
        }
        let done = match done {
            Ok(done) => done,
            Err(e) => return self.fail(format!("{} cannot be compiled: {e}", self.name)),
        };
        for path in &done.includes {
            if let Ok(metadata) = fs::metadata(path)
                && let Some(open) = open_to_all(path, &metadata)
            {
                let message = format!(
                    "{} includes {}, and everybody may write to {}",
                    self.name,
                    path.display(),
                    open.display()
                );
                let problem = Diagnostic::error("bad-import", self.file.span, message)
                    .note("what somebody else puts there would run as the user of bpftrace")
                    .help(format!("chmod o-w {}", open.display()));
                self.diagnostics.push(problem);
                return None;
            }
        }
        self.tell(&done, directory);
        done.elf.map(|elf| (elf, hidden))
    }

    /// The file for clang to read, and its text.
    fn source(&self, directory: &mut Directory) -> std::io::Result<(PathBuf, String)> {
        match self.file.kind {
            ObjectKind::Own(text) => {
                const NAME: &str = "own.bpf.c";
                directory.add(NAME, text)?;
                Ok((directory.path().join(NAME), text.to_owned()))
            }
            _ => Ok((self.file.path.clone(), fs::read_to_string(&self.file.path)?)),
        }
    }

    fn read(&mut self) -> Option<(Vec<u8>, Vec<String>)> {
        match fs::metadata(&self.file.path).and_then(|m| {
            if m.len() > MAX_SIZE {
                return Err(std::io::Error::other("it is too large for an object"));
            }
            fs::read(&self.file.path)
        }) {
            Ok(elf) => Some((elf, vec![])),
            Err(e) => self.fail(format!("error reading import \"{}\": {e}", self.name)),
        }
    }

    fn fail<T>(&mut self, message: String) -> Option<T> {
        self.diagnostics.push(Diagnostic::error("bad-import", self.file.span, message));
        None
    }

    /// What clang said, as messages of ours: notes belong to what they follow.
    fn tell(&mut self, done: &clang::Done, directory: &Directory) {
        let mut current: Option<Diagnostic> = None;
        // What is wrong with a header follows from the first error in it.
        let mut headers: Vec<&str> = vec![];
        for complaint in &done.complaints {
            if complaint.file != self.name && complaint.level == Level::Error && !complaint.file.is_empty() {
                if headers.contains(&complaint.file.as_str()) {
                    continue;
                }
                headers.push(&complaint.file);
            }
            let span = self.place(complaint, directory);
            match (complaint.level, &mut current) {
                (Level::Note, Some(diagnostic)) => {
                    let told = diagnostic.clone();
                    *diagnostic = match span {
                        Some(span) => told.label(span, complaint.message.clone()),
                        None => told.note(complaint.message.clone()),
                    };
                }
                (Level::Note, None) => {}
                (level, _) => {
                    self.diagnostics.extend(current.take());
                    let message = complaint.message.clone();
                    let at = span.unwrap_or(self.file.span);
                    let diagnostic = if level == Level::Error {
                        Diagnostic::error("bpf-c", at, message)
                    } else {
                        Diagnostic::warning("bpf-c", at, message)
                    };
                    let in_header = complaint.file != self.name && span.is_some();
                    let label =
                        if in_header { format!("{} includes it", self.name) } else { "imported here".into() };
                    let diagnostic =
                        if span.is_some() { diagnostic.label(self.file.span, label) } else { diagnostic };
                    current = Some(help(diagnostic, complaint));
                }
            }
        }
        self.diagnostics.extend(current);
        if done.elf.is_none() && !self.diagnostics.has_errors() {
            let message = format!("clang does not compile {}", self.name);
            let problem = Diagnostic::error("bpf-c", self.file.span, message);
            let said = done.said.trim();
            self.diagnostics.push(if said.is_empty() {
                problem
            } else {
                problem.note(format!("clang says: {said}"))
            });
        }
    }

    /// Where a message points to, if that can be read.
    fn place(&mut self, complaint: &Complaint, directory: &Directory) -> Option<Span> {
        let file = match self.known.get(&complaint.file) {
            Some(known) => *known,
            None => {
                let path = Path::new(&complaint.file);
                let text = fs::read_to_string(path).ok()?;
                let shown = path.strip_prefix(directory.path()).unwrap_or(path).display().to_string();
                let id = self.sources.add(shown, text);
                self.known.insert(complaint.file.clone(), id);
                id
            }
        };
        let text = &self.sources.get(file)?.text;
        let line_start: usize =
            text.split_inclusive('\n').take(complaint.line.checked_sub(1)?).map(str::len).sum();
        let line = text.get(line_start..)?.lines().next().unwrap_or("");
        let column = complaint.column.saturating_sub(1).min(line.len());
        let word = line.get(column..).unwrap_or("");
        let length = word.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(word.len()).max(1);
        Some(Span::new(
            file,
            line_start + column,
            line_start + (column + length).min(line.len().max(column + 1)),
        ))
    }

    fn object(&mut self, mut elf: Vec<u8>, hidden: Vec<String>) -> Result<Object, Box<Diagnostic>> {
        let span = self.file.span;
        let name = self.name.to_owned();
        let programs = programs(&elf).map_err(|why| {
            Diagnostic::error("bad-import", span, format!("{name} is no BPF object: {why}"))
                .help("compile it with clang --target=bpf -O2 -g -c")
        })?;
        if !programs.is_empty() {
            let list = programs.join(", ");
            let warning = Diagnostic::warning(
                "bpf-c",
                span,
                format!("the programs of {name} are not attached: {list}"),
            )
            .note(
                "of what is imported, a script calls the functions that are in no section of their own (SEC)",
            );
            self.diagnostics.push(warning);
        }
        hide_functions(&mut elf);
        unlock_license(&mut elf);
        Ok(Object { name, elf, span, hidden })
    }
}

/// What else there is to say about a message of clang.
fn help(diagnostic: Diagnostic, complaint: &Complaint) -> Diagnostic {
    let message = &complaint.message;
    if complaint.file.ends_with("bpf_helper_defs.h") && message.contains("unknown type name") {
        return diagnostic.help(
            "#include \"vmlinux.h\" (the kernel's types) or <linux/types.h> before <bpf/bpf_helpers.h>",
        );
    }
    if message.contains("file not found") && message.starts_with("'linux/") {
        return diagnostic
            .help("install the kernel's headers for programs (Debian and Ubuntu: linux-libc-dev; Fedora: kernel-headers)")
            .help("or #include \"vmlinux.h\", which is made from the running kernel's types");
    }
    if message.contains("file not found") {
        return diagnostic.help("-I DIR adds a directory in which headers are looked for");
    }
    diagnostic
}

/// The entry functions of an object: those in sections of their own.
fn programs(elf: &[u8]) -> Result<Vec<String>, String> {
    let file = object::File::parse(elf).map_err(|e| e.to_string())?;
    if file.architecture() != object::Architecture::Bpf {
        return Err(format!("it is for {:?}", file.architecture()));
    }
    let own = |section: &object::Section<'_, '_>| {
        section.kind() == SectionKind::Text && section.name().is_ok_and(|name| name != ".text")
    };
    let sections: Vec<_> = file.sections().filter(own).map(|section| section.index()).collect();
    let functions = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
    let programs = functions.filter(|symbol| symbol.section_index().is_some_and(|n| sections.contains(&n)));
    Ok(programs.filter_map(|symbol| symbol.name().ok().map(str::to_owned)).collect())
}

/// Makes the functions that scripts call hidden symbols. libbpf then has the kernel verify them where they are called,
/// with what is known of the arguments there (`mark_btf_static` in its `libbpf.c`); others are verified by themselves,
/// for any arguments, which few functions with pointers survive. Maps must not be hidden.
fn hide_functions(elf: &mut [u8]) {
    /// `st_other` of `Elf64_Sym`, `STV_HIDDEN`, and the struct's size: elf(5).
    const OTHER: usize = 5;
    const HIDDEN: u8 = 2;
    const SIZE: usize = 24;
    let places: Vec<usize> = {
        let Ok(file) = object::File::parse(&*elf) else { return };
        let Some((start, _)) = file.section_by_name(".symtab").and_then(|section| section.file_range())
        else {
            return;
        };
        let text = file.section_by_name(".text").map(|section| section.index());
        let functions = file.symbols().filter(|symbol| {
            symbol.kind() == SymbolKind::Text
                && symbol.is_global()
                && text.is_some()
                && symbol.section_index() == text
        });
        functions
            .filter_map(|symbol| Some(usize::try_from(start).ok()? + symbol.index().0 * SIZE + OTHER))
            .collect()
    };
    for place in places {
        if let Some(other) = elf.get_mut(place) {
            *other = (*other & !3) | HIDDEN;
        }
    }
}

/// Makes the license a section like the script's own: where C has it `const`, the linker would not put them together.
fn unlock_license(elf: &mut [u8]) {
    /// `e_shoff` of `Elf64_Ehdr`, `sh_flags` of `Elf64_Shdr` and that struct's size, `SHF_WRITE`: elf(5).
    const HEADERS: usize = 40;
    const FLAGS: usize = 8;
    const SIZE: usize = 64;
    const WRITE: u64 = 1;
    let word = |elf: &[u8], at: usize| Some(u64::from_ne_bytes(elf.get(at..at + 8)?.try_into().ok()?));
    let place = || {
        let index = object::File::parse(&*elf).ok()?.section_by_name("license")?.index().0;
        usize::try_from(word(elf, HEADERS)?).ok()?.checked_add(index * SIZE + FLAGS)
    };
    if let Some(at) = place()
        && let Some(flags) = word(elf, at)
        && let Some(bytes) = elf.get_mut(at..at + 8)
    {
        bytes.copy_from_slice(&(flags | WRITE).to_ne_bytes());
    }
}

/// A section's text, without its NUL.
fn section_text(elf: &[u8], name: &str) -> Option<String> {
    let file = object::File::parse(elf).ok()?;
    let data = file.section_by_name(name)?.data().ok()?;
    let text = data.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(String::from_utf8_lossy(text).into_owned())
}

/// The functions that a C text defines or declares as `static`, as far as that stands on one line.
fn statics(text: &str) -> Vec<String> {
    let declarations = text.lines().filter(|line| line.split_whitespace().next() == Some("static"));
    let names = declarations.filter_map(|line| {
        let head = line.split_once('(')?.0.trim_end();
        let start = head.rfind(|c: char| !(c.is_alphanumeric() || c == '_'))? + 1;
        head.get(start..).filter(|name| !name.is_empty()).map(str::to_owned)
    });
    names.collect()
}

#[cfg(test)]
mod tests;
