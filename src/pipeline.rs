//! From the command line to the exit code: the stages, one after the other.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::cli::{Command, Options, Program};
use crate::config::Config;
use crate::diagnostics::{Diagnostic, Diagnostics, FileId, Severity, Sources, render, system_words};
use crate::image::{Image, Target};
use crate::kernel::Kernel;
use crate::output::Form;
use crate::probes::{Host, Listed};
use crate::runtime::{Child, Job, Process, Purpose};
use crate::syntax::ast::ObjectFile;
use crate::syntax::text;
use crate::types::c::HeaderMacros;
use crate::types::store::Types;
use crate::{check, cli, codegen, expand, interop, ir, kernel, probes, runtime, syntax};

/// Does what the command line says. Errors have been shown when this returns.
pub fn main(args: impl IntoIterator<Item = OsString>, environment: &cli::Environment) -> ExitCode {
    let (color, bad) = match render::use_color(|name| environment.get(name).cloned()) {
        Ok(color) => (color, None),
        Err(other) => (false, Some(other)),
    };
    let mut session = Session { sources: Sources::default(), color, warnings: true };
    let done = cli::parse(args, environment).map_err(Diagnostics::from).and_then(|options| {
        session.warnings = options.warnings;
        if let Some(other) = bad {
            session.show(
                &Diagnostic::warning(
                    "environment",
                    None,
                    format!("\"{other}\" is not a value of BPFTRACE_COLOR"),
                )
                .help("it takes always, never and auto"),
            );
        }
        options.complaints.iter().for_each(|complaint| session.show(complaint));
        session.command(&options)
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(problems) => {
            session.show_all(&problems);
            ExitCode::FAILURE
        }
    }
}

/// What messages need: the texts that they are about, and how they look.
struct Session {
    sources: Sources,
    color: bool,
    warnings: bool,
}

impl Session {
    fn command(&mut self, options: &Options) -> Result<u8, Diagnostics> {
        match &options.command {
            Command::Print(text) => print(text)?,
            Command::Info => {
                let kernel = kernel(options);
                if kernel.capabilities().complaint(kernel.version()).is_some() {
                    let message = "what the kernel has can only be tried with privileges: helpers, features and \
                                   types of probes are guessed from its version";
                    self.show(
                        &Diagnostic::warning("missing-capability", None, message).help("run it as root"),
                    );
                }
                print(&information(&kernel))?;
            }
            Command::List(pattern) => self.list(pattern, options)?,
            Command::ListProgram(program) => self.list_program(program, options)?,
            Command::Compile(program) => {
                let (script, config) = self.parse(program, options)?;
                self.compile(&script, options, &config, &kernel(options), None)?;
            }
            Command::Run(program) => return self.run(program, options),
        }
        Ok(0)
    }

    /// The pipeline, whole.
    fn run(&mut self, program: &Program, options: &Options) -> Result<u8, Diagnostics> {
        let kernel = kernel(options);
        let target = options.run.pid.map(Process::find).transpose()?;
        let (script, config) = self.parse(program, options)?;
        let mut child = options.child.as_deref().map(Child::spawn).transpose()?;
        let image = self.compile(&script, options, &config, &kernel, child.as_ref());
        if let Some(complaint) = kernel.capabilities().complaint(kernel.version()) {
            // What is wrong with a script is worth knowing even for who cannot run it, and whoever only looks at
            // how it compiles need not be able to.
            let looking = options.stages.before_loading() && !options.stages.loading();
            return match image {
                Ok(_) if looking => Ok(0),
                Ok(_) => Err(complaint.into()),
                Err(mut problems) => {
                    if problems.iter().any(|p| p.code == probes::NO_TRACEFS) {
                        problems.push(complaint);
                    }
                    Err(problems)
                }
            };
        }
        let image = image?;
        if options.emit_elf.is_some() {
            return Ok(0);
        }
        let job = Job {
            image: &image,
            options: &options.run,
            config: &config,
            kernel: &kernel,
            sources: &self.sources,
            target: target.as_ref(),
            child: child.as_ref().map(|child| child.process().pid()),
            debug_files: &options.debug_files,
            color: self.color,
            report: &|message| self.show(message),
        };
        Ok(runtime::run(&job, child.as_mut())?)
    }

    /// From a tree to an image.
    fn compile(
        &mut self,
        script: &syntax::ast::Script,
        options: &Options,
        config: &Config,
        kernel: &Kernel,
        child: Option<&Child>,
    ) -> Result<Image, Diagnostics> {
        if options.stages.ast {
            print(&syntax::dump::script(script))?;
        }
        let mut types = Types::new(kernel).with_debug_files(&options.debug_files);
        let objects = self.build(&script.objects, options, &mut types)?;
        let config = &licensed(config, &objects)?;
        let mut host = host(kernel, &mut types, config, options, child);
        let check_options = check::Options {
            positional: options.positional.clone(),
            has_child: options.child.is_some(),
            filter: options.filter.clone(),
            includes: options.includes.clone(),
        };
        let (checked, mut problems) = check::check(script, &mut host, &check_options);
        // What follows from a wrong file says little.
        if let (None, Some(path), Some(why)) = (&checked, &options.btf, types.failure()) {
            problems.push(
                Diagnostic::error("script", None, why.to_owned())
                    .help(format!("BPFTRACE_BTF names that file: {}", path.display())),
            );
        }
        if options.verbose
            && let Some((note, _)) = types.unread_headers()
        {
            warn(&format!("note: {note}; what it defines is looked up without it\n"));
        }
        let mut checked = self.unless_errors(checked, problems)?;
        keep_wanted(&mut checked, options, !script.probes.is_empty())?;
        if options.stages.ir {
            print(&check::dump::program(&checked))?;
        }
        let mut image = self.generate(&checked, options, config, kernel)?;
        if !objects.is_empty() {
            image.elf = interop::link(&image.elf, &objects).map_err(|why| unlinked(&objects, &why))?;
        }
        if let Some(path) = &options.emit_elf {
            write(path, &image.elf)?;
        }
        Ok(image)
    }

    /// Compiles what the script imports to be linked, and makes it known to `types`.
    fn build(
        &mut self,
        files: &[ObjectFile],
        options: &Options,
        types: &mut Types,
    ) -> Result<Vec<interop::Object>, Diagnostics> {
        if files.is_empty() {
            return Ok(vec![]);
        }
        let mut settings = interop::Settings {
            clang: options.includes.clang.clone(),
            includes: &options.includes.directories,
            vmlinux: &mut || types.vmlinux_header(),
        };
        let (objects, problems) = interop::build(files, &mut settings, &mut self.sources);
        let objects = self.unless_errors(Some(objects), problems)?;
        for object in &objects {
            types.link(&object.name, &object.elf, &object.hidden).map_err(|why| {
                Diagnostic::error(
                    "bad-import",
                    object.span,
                    format!("{} cannot be linked: {why}", object.name),
                )
            })?;
        }
        Ok(objects)
    }

    /// From text to a tree in which settings and parameters are in place.
    fn parse(
        &mut self,
        program: &Program,
        options: &Options,
    ) -> Result<(syntax::ast::Script, Config), Diagnostics> {
        let file = self.read(program)?;
        let text = self.sources.get(file).map_or("", |source| &source.text);
        let (script, problems) = syntax::parse(text, file);
        let directory = match program {
            Program::File(path) => path.parent(),
            Program::Text(_) | Program::Stdin => None,
        };
        let has_btf = || options.btf.as_deref().unwrap_or(Path::new("/sys/kernel/btf/vmlinux")).exists();
        let macros = RefCell::new(HeaderMacros::new(&options.includes, &has_btf));
        let inputs = expand::Inputs {
            positional: &options.positional,
            named: &options.named,
            directory: directory.unwrap_or(Path::new("")),
            config: &options.config,
            config_from_env: &options.config_from_env,
            has_btf: &has_btf,
            header_macro: &|definitions, name| macros.borrow_mut().find(definitions, name),
        };
        let expand::Expanded { script, config, diagnostics, help } =
            expand::expand(script, &inputs, &mut self.sources);
        let mut all = Diagnostics::default();
        all.extend(problems);
        all.extend(diagnostics);
        let parsed = self.unless_errors(Some((script, config)), all)?;
        match help {
            Some(help) => {
                print(&help)?;
                // As the reference does: what was asked for did not run.
                Err(Diagnostics::default())
            }
            None => Ok(parsed),
        }
    }

    fn generate(
        &self,
        program: &ir::Program,
        options: &Options,
        config: &Config,
        kernel: &Kernel,
    ) -> Result<Image, Diagnostics> {
        let failed = RefCell::new(None);
        let mut dump = |stage: codegen::Stage, text: &str| {
            if let Err(problem) = show_llvm(options, stage, text) {
                failed.replace(Some(problem));
            }
        };
        let wanted = options.stages.codegen || options.stages.codegen_opt || options.emit_llvm.is_some();
        let image = codegen::compile(
            program,
            codegen::Options {
                config,
                has: &|feature| kernel.has(feature),
                cpus: kernel.possible_cpus(),
                sources: &self.sources,
                own_pids: !kernel.pid_namespace().is_initial(),
                report_helper_errors: options.report_helper_errors,
                verify: options.verify_llvm_ir || cfg!(debug_assertions),
                dump: if wanted { Some(&mut dump) } else { None },
            },
        )
        .map_err(|e| match e {
            codegen::Error::TooLong { span, .. } => {
                Diagnostic::error("too-long", span, format!("this probe is too long for the kernel: {e}"))
                    .note(format!("from Linux 6.6 on there are jumps without that limit; this is {}", kernel.version()))
                    .help("shorten it: fewer statements, `for` or `while` instead of unroll() and of large macros, several probes")
            }
            e => Diagnostic::error("codegen", None, e.to_string())
                .note("this is a bug in bpftrace, not in the script")
                .help("please report it with the script"),
        })?;
        match failed.take() {
            Some(problem) => Err(problem.into()),
            None => Ok(image),
        }
    }

    /// `-l`
    fn list(&mut self, pattern: &str, options: &Options) -> Result<(), Diagnostics> {
        options.run.pid.map(Process::find).transpose()?;
        let kernel = kernel(options);
        let mut types = Types::new(&kernel).with_debug_files(&options.debug_files);
        let config = options.config.clone();
        let mut host = host(&kernel, &mut types, &config, options, None);
        if pattern.contains('.') && !pattern.contains([':', '*']) {
            self.show(&Diagnostic::warning(
                "pattern",
                None,
                format!(
                    "It appears that '{pattern}' is a filename but the file does not exist. \
                     Probes of that name are listed instead"
                ),
            ));
        }
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let mut written = Ok(());
        for pattern in pattern.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            // A name alone is a provider's, or that of a place that any of them may have.
            let anywhere = !pattern.contains([':', '*', ' ']) && probes::provider(pattern).is_none();
            let pattern = if anywhere { format!("*:{pattern}") } else { pattern.to_owned() };
            let file = self.sources.add("pattern", pattern.clone());
            let point = syntax::parse_attach_point(&pattern, file)?;
            let mut any = false;
            probes::list(&point, options.verbose, &mut host, &mut |found| {
                any = true;
                if written.is_ok() {
                    written = write_listed(&mut out, found);
                }
            })?;
            if !any {
                self.show(&nothing_listed(&point));
            }
            host.warnings.drain(..).for_each(|warning| self.show(&warning));
        }
        finish(written.and_then(|()| out.flush()))
    }

    /// `-l` with a program: the probes that it would attach to.
    fn list_program(&mut self, program: &Program, options: &Options) -> Result<(), Diagnostics> {
        options.run.pid.map(Process::find).transpose()?;
        let (script, config) = self.parse(program, options)?;
        let kernel = kernel(options);
        let mut types = Types::new(&kernel).with_debug_files(&options.debug_files);
        let mut host = host(&kernel, &mut types, &config, options, None);
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let mut written = Ok(());
        for point in script.probes.iter().flat_map(|probe| &probe.attach_points) {
            probes::list(point, options.verbose, &mut host, &mut |found| {
                if written.is_ok() {
                    written = write_listed(&mut out, found);
                }
            })?;
            host.warnings.drain(..).for_each(|warning| self.show(&warning));
        }
        finish(written.and_then(|()| out.flush()))
    }

    /// The script's text becomes a source.
    fn read(&mut self, program: &Program) -> Result<FileId, Diagnostic> {
        let (name, bytes) = match program {
            Program::Text(text) => ("stdin".to_owned(), Ok(text.clone().into_bytes())),
            Program::Stdin => {
                let mut bytes = vec![];
                ("stdin".to_owned(), std::io::stdin().read_to_end(&mut bytes).map(|_| bytes))
            }
            Program::File(path) => (path.display().to_string(), std::fs::read(path)),
        };
        let bytes = bytes.map_err(|e| {
            let reason = system_words(&e);
            Diagnostic::error("script", None, format!("failed to open file '{name}': {reason}"))
        })?;
        let is_program = bytes.starts_with(b"\x7fELF");
        let Some((text, wrong)) = text::decode(bytes) else {
            let error = Diagnostic::error("script", None, format!("the script {name} is not text"));
            return Err(match is_program {
                true => {
                    error.note("it is a program").help(format!("its probes: bpftrace -l 'uprobe:{name}:*'"))
                }
                false => error,
            });
        };
        if u32::try_from(text.len()).is_err() {
            return Err(Diagnostic::error("script", None, format!("the script {name} is too large")));
        }
        let file = self.sources.add(name, text);
        if let Some(at) = wrong {
            self.show(&text::not_utf8(file, at));
        }
        Ok(file)
    }

    /// The result of a stage: with warnings, which are shown, or with errors, which end it all.
    fn unless_errors<T>(&self, result: Option<T>, problems: Diagnostics) -> Result<T, Diagnostics> {
        match result {
            Some(result) if !problems.has_errors() => {
                self.show_all(&problems);
                Ok(result)
            }
            _ => Err(problems),
        }
    }

    fn show(&self, message: &Diagnostic) {
        if self.warnings || message.severity == Severity::Error {
            warn(&render::one(message, &self.sources, self.color));
        }
    }

    fn show_all(&self, messages: &Diagnostics) {
        let shown = || messages.iter().filter(|m| self.warnings || m.severity == Severity::Error);
        warn(&render::text(shown().take(MESSAGES), &self.sources, self.color));
        if let more @ 1.. = shown().count().saturating_sub(MESSAGES) {
            warn(&format!("... and {more} more messages\n"));
        }
    }
}

/// Those whose names have a category or a program before them.
const IN_GROUPS: [&str; 7] = ["tracepoint", "t", "uprobe", "u", "uretprobe", "ur", "usdt"];

/// A pattern that matches nothing lists nothing, which is no failure but may be a slip.
fn nothing_listed(pattern: &syntax::ast::AttachPoint) -> Diagnostic {
    let nothing = Diagnostic::warning("no-probes", None, format!("no probe matches {}", pattern.text));
    match pattern.parts.iter().any(|part| part.text.contains('*')) {
        true => nothing,
        false
            if pattern.parts.len() == 2
                && pattern.parts.first().is_some_and(|part| IN_GROUPS.contains(&part.text.as_str())) =>
        {
            nothing.help(format!("to list all that are in it: {}:*", pattern.text))
        }
        false => nothing.help("to search by a part of a name, put * around it"),
    }
}

/// So many messages are shown at once: whoever has mended these sees the others.
const MESSAGES: usize = 40;

fn kernel(options: &Options) -> Kernel {
    let kernel = match &options.btf {
        Some(path) => Kernel::new().with_btf(path.clone()),
        None => Kernel::new(),
    };
    options.disabled.iter().for_each(|feature| kernel.deny(*feature));
    match &options.traceable {
        Some(path) => kernel.with_traceable(path.clone()),
        None => kernel,
    }
}

/// `--info`
fn information(kernel: &Kernel) -> String {
    let (major, minor, patch) = inkwell::support::get_llvm_version();
    let build = kernel::info::Build {
        version: cli::VERSION.trim_start_matches("bpftrace "),
        llvm: &format!("{major}.{minor}.{patch}"),
        dwarf: true,
        systemd: false,
    };
    let mut types = Types::new(kernel);
    kernel::info::report(kernel, &build, types.problem())
}

/// The error for scripts that leave nothing to do. Who wraps bpftrace looks for the line on stdout.
fn nothing_to_attach(options: &Options, why: &str) -> Diagnostic {
    if !options.run.quiet && options.run.form == Form::Text {
        let _ = writeln!(std::io::stdout(), "No probes to attach");
    }
    Diagnostic::error("no-probes", None, why)
}

/// Leaves out the probes that this run does not run.
fn keep_wanted(program: &mut ir::Program, options: &Options, written: bool) -> Result<(), Diagnostics> {
    let purpose = options.run.purpose;
    if let Some(filter) = &options.filter {
        // The rest was left out when the attach points were resolved.
        let own = |target: &Target| matches!(target, Target::Begin | Target::End | Target::Signal);
        let probes = &program.probes;
        if probes.iter().flat_map(|probe| &probe.attach).all(|attach| own(&attach.what)) {
            let message = format!("none of the probes has a name that matches {}", filter.as_str());
            return Err(nothing_to_attach(options, &message)
                .help("bpftrace -l with the script lists its probes")
                .into());
        }
    }
    let before = program.probes.len();
    program.probes.retain(|probe| probe.attach.iter().all(|attach| purpose.wants(&attach.what)));
    let missing = match purpose {
        Purpose::Trace if before == 0 && written => nothing_to_attach(
            options,
            "none of the script's probes matches anything here, and missing_probes says to go on without them",
        )
            .help("with missing_probes = \"warn\" it says what is missing"),
        Purpose::Trace if before == 0 => Diagnostic::error("no-probes", None, "No probes to attach")
            .help("a script is made of probes (BEGIN { printf(\"hello\\n\"); }), and of these one at least has to be there"),
        Purpose::Trace if program.probes.is_empty() && before > 0 => {
            Diagnostic::error("no-probes", None, "the script has only test and bench probes")
                .help("run them with --test or --bench")
        }
        Purpose::Test if !has(program, &Target::Test) => {
            Diagnostic::error("no-probes", None, "the script has no test probes")
                .help("they are written test:name { … return 0; }")
        }
        Purpose::Bench if !has(program, &Target::Bench) => {
            Diagnostic::error("no-probes", None, "the script has no bench probes")
                .help("they are written bench:name { … }")
        }
        _ => return Ok(()),
    };
    Err(missing.into())
}

/// The settings with the license that imported objects have, unless the script sets one: it is the whole program's.
fn licensed(config: &Config, objects: &[interop::Object]) -> Result<Config, Diagnostic> {
    let chosen = (config.license != Config::default().license).then_some(config.license.as_str());
    let mut config = config.clone();
    if let Some(license) = interop::license(objects, chosen).map_err(|problem| *problem)? {
        config.license = license;
    }
    Ok(config)
}

fn unlinked(objects: &[interop::Object], why: &str) -> Diagnostic {
    let names: Vec<&str> = objects.iter().map(|object| object.name.as_str()).collect();
    let span = objects.first().map(|object| object.span);
    Diagnostic::error(
        "bad-import",
        span,
        format!("{} cannot be linked to the script: {why}", names.join(", ")),
    )
}

fn has(program: &ir::Program, target: &Target) -> bool {
    program.probes.iter().flat_map(|probe| &probe.attach).any(|attach| attach.what == *target)
}

fn host<'a>(
    kernel: &'a Kernel,
    types: &'a mut Types,
    config: &'a Config,
    options: &Options,
    child: Option<&Child>,
) -> Host<'a> {
    Host {
        kernel,
        types,
        config,
        pid: options.run.pid.or_else(|| child.map(|child| child.process().pid())),
        command: child.map(|child| child.program().to_owned()),
        unsafe_mode: options.unsafe_mode,
        fix_renames: options.fix_renames,
        warnings: vec![],
    }
}

/// `-d codegen`, `-d codegen-opt` and `--emit-llvm`.
fn show_llvm(options: &Options, stage: codegen::Stage, text: &str) -> Result<(), Diagnostic> {
    let (show, title, suffix) = match stage {
        codegen::Stage::Generated => (options.stages.codegen, "before", "original"),
        codegen::Stage::Optimised => (options.stages.codegen_opt, "after", "optimized"),
    };
    if show {
        print(&format!("LLVM IR {title} optimization\n\n{text}\n"))?;
    }
    match &options.emit_llvm {
        Some(path) => {
            let mut name = path.clone().into_os_string();
            name.push(format!(".{suffix}.ll"));
            write(Path::new(&name), text.as_bytes())
        }
        None => Ok(()),
    }
}

fn write_listed(out: &mut impl Write, found: Listed) -> std::io::Result<()> {
    writeln!(out, "{}", found.name)?;
    found.args.iter().try_for_each(|arg| writeln!(out, "    {arg}"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Diagnostic> {
    std::fs::write(path, bytes).map_err(|e| {
        Diagnostic::error("output", None, format!("cannot write to {}: {}", path.display(), system_words(&e)))
    })
}

fn print(text: &str) -> Result<(), Diagnostic> {
    let mut out = std::io::stdout().lock();
    finish(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// To stderr, if anybody reads that.
fn warn(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// A reader that has seen enough is no error.
fn finish<E: From<Diagnostic>>(written: std::io::Result<()>) -> Result<(), E> {
    match written {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Diagnostic::error("output", None, format!("cannot write to stdout: {}", system_words(&e)))
                .into())
        }
        _ => Ok(()),
    }
}
