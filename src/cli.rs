//! The command line and the environment, as one [`Options`] value. No work is done here.

mod arguments;
mod help;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};
use regex_lite::Regex;

use arguments::Arguments;

use crate::config::Config;
use crate::diagnostics::{Diagnostic, suggest};
use crate::kernel::{Feature, Kernel};
use crate::output::{Buffering, Form};
use crate::runtime::{self, Purpose};
use crate::types::c::Includes;

/// The level of the language and of the command line, as wrappers expect it from `--version`.
pub const VERSION: &str = "bpftrace v0.26.0";

/// The variables of the environment.
pub type Environment = BTreeMap<String, String>;

/// What the user asked for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Print this and leave.
    Print(String),
    /// `--info`
    Info,
    /// List what matches a pattern, `*:*` for all.
    List(String),
    /// List the probes of a program.
    ListProgram(Program),
    Run(Program),
    /// Compile and stop: `--mode codegen`.
    Compile(Program),
}

/// Where the script comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// `-e`
    Text(String),
    /// `-`
    Stdin,
    File(PathBuf),
}

/// Everything that the command line and the environment say.
#[derive(Clone, Debug)]
pub struct Options {
    pub command: Command,
    /// `$1`, `$2`, …
    pub positional: Vec<String>,
    /// `--name` and `--name=value` after `--`, without the dashes.
    pub named: Vec<String>,
    /// `-c`
    pub child: Option<String>,
    /// How to run the program, once it is compiled.
    pub run: runtime::Options,
    pub verbose: bool,
    pub stages: Stages,
    pub warnings: bool,
    /// `-k`
    pub report_helper_errors: bool,
    pub unsafe_mode: bool,
    pub fix_renames: bool,
    /// C headers.
    pub includes: Includes,
    /// Where debug information of programs is looked for besides the usual places.
    pub debug_files: Vec<PathBuf>,
    pub verify_llvm_ir: bool,
    pub disabled: Vec<Feature>,
    /// Where to read the kernel's types from, if not from the kernel: `BPFTRACE_BTF`.
    pub btf: Option<PathBuf>,
    /// `--traceable-functions`
    pub traceable: Option<PathBuf>,
    /// `--probe-filter`
    pub filter: Option<Regex>,
    pub emit_elf: Option<PathBuf>,
    pub emit_llvm: Option<PathBuf>,
    /// The defaults, and what the environment sets.
    pub config: Config,
    /// The config variables that the environment sets: they win over the script's.
    pub config_from_env: Vec<&'static str>,
    /// What is to be said about the environment.
    pub complaints: Vec<Diagnostic>,
}

/// The stages whose result is shown: `-d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    pub ast: bool,
    pub ir: bool,
    pub codegen: bool,
    pub codegen_opt: bool,
    pub libbpf: bool,
    pub verifier: bool,
}

impl Stages {
    /// Whether something is shown that is known without loading the program.
    pub fn before_loading(self) -> bool {
        self.ast || self.ir || self.codegen || self.codegen_opt
    }

    /// Whether something is shown that only loading makes known.
    pub fn loading(self) -> bool {
        self.libbpf || self.verifier
    }

    fn set(&mut self, name: &str) -> bool {
        match name {
            "ast" => self.ast = true,
            // The reference's `types` shows what types were inferred, which is what our `ir` adds to the tree.
            "ir" | "types" => self.ir = true,
            "codegen" => self.codegen = true,
            "codegen-opt" => self.codegen_opt = true,
            "libbpf" => self.libbpf = true,
            "verifier" => self.verifier = true,
            "all" => {
                *self = Stages {
                    ast: true,
                    ir: true,
                    codegen: true,
                    codegen_opt: true,
                    libbpf: true,
                    verifier: true,
                }
            }
            _ => return false,
        }
        true
    }
}

const USAGE: &str = "bpftrace [OPTIONS] FILE [PARAMETER...]
       bpftrace [OPTIONS] -e PROGRAM [PARAMETER...]
       bpftrace [OPTIONS] - [PARAMETER...]
       bpftrace [OPTIONS] -l [PATTERN | FILE | -e PROGRAM]";

/// Reads the command line (without the program's name) and the environment.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<Options, Diagnostic> {
    let args: Vec<OsString> = args.into_iter().collect();
    // clap forgets which parameters came after `--`, and only those may be named.
    let after_dashes = args.iter().position(|a| a == "--").map_or(0, |at| args.len() - at - 1);
    if args.is_empty() {
        return Err(synopsis("nothing to do: give a script or -e 'program'"));
    }
    let matches =
        Arguments::command().no_binary_name(true).try_get_matches_from(args).map_err(|e| explain(&e))?;
    let arguments = Arguments::from_arg_matches(&matches).map_err(|e| explain(&e))?;
    options(arguments, after_dashes, environment)
}

fn options(
    arguments: Arguments,
    after_dashes: usize,
    environment: &Environment,
) -> Result<Options, Diagnostic> {
    let env = |name: &str| environment.get(name).cloned();
    if arguments.cmd.is_some() && !arguments.pid.is_empty() {
        return Err(usage(
            "-c and -p exclude each other: tracing follows either a new process or a running one",
        ));
    }
    if arguments.warnings > 0 && arguments.no_warnings {
        return Err(usage("-k and --no-warnings exclude each other"));
    }
    let (mut stages, mut disabled) = (Stages::default(), vec![]);
    for name in arguments.debug.iter().flat_map(|list| list.split(',')).filter(|n| !n.is_empty()) {
        if !stages.set(name) {
            return Err(usage(format!("there is no stage \"{name}\" to show"))
                .help("-d takes ast, ir, codegen, codegen-opt, libbpf, verifier and all"));
        }
    }
    for name in arguments.no_feature.iter().flat_map(|list| list.split(',')).filter(|n| !n.is_empty()) {
        match name {
            "kprobe_multi" => disabled.push(Feature::KprobeMulti),
            "uprobe_multi" => disabled.push(Feature::UprobeMulti),
            "kprobe_session" => disabled.push(Feature::KprobeSession),
            "uprobe_session" => disabled.push(Feature::UprobeSession),
            "fsession" => disabled.push(Feature::Fsession),
            _ => {
                return Err(usage(format!("there is no feature \"{name}\" to do without"))
                    .help("--no-feature takes kprobe_multi, kprobe_session, uprobe_multi, uprobe_session and fsession"));
            }
        }
    }
    let form = match arguments.format.as_deref() {
        None | Some("text" | "") => Form::Text,
        Some("json") => Form::Json,
        Some(other) => {
            return Err(usage(format!("Invalid output format \"{other}\"")).help("-f takes text and json"));
        }
    };
    let buffering = match arguments.buffering.as_deref() {
        None | Some("line") => Buffering::Line,
        Some("full") => Buffering::Full,
        Some("none") => Buffering::None,
        Some(other) => {
            return Err(
                usage(format!("there is no buffering mode \"{other}\"")).help("-B takes line, full and none")
            );
        }
    };
    let pid = arguments.pid.last().map(|text| pid(text)).transpose()?;
    let purpose = purpose(&arguments)?;
    let filter = arguments.probe_filter.as_deref().map(filter).transpose()?;
    let (command, parameters) = command(&arguments, form)?;
    let mut config = match &command {
        // Help asks nothing of the kernel.
        Command::Print(_) => Config::default(),
        _ => Config::for_kernel(&Kernel::new()),
    };
    let from_env = config.set_from_env(env, environment.keys().cloned())?;
    let mut complaints = from_env.warnings;
    if arguments.program.len() > 1 {
        complaints.push(
            Diagnostic::warning("usage", None, "-e was given several times: only the last program counts")
                .help("write all probes in one program: bpftrace -e 'BEGIN { … } END { … }'"),
        );
    }
    if arguments.pid.len() > 1 {
        complaints.push(
            Diagnostic::warning("usage", None, "-p was given several times: only the last process is traced")
                .help("to trace several, compare in the script: /pid == 12 || pid == 34/"),
        );
    }
    let (positional, named) = split_named(parameters, after_dashes);
    let script = match &command {
        Command::Run(Program::File(path)) | Command::Compile(Program::File(path)) => {
            path.parent().map(PathBuf::from).unwrap_or_default()
        }
        _ => PathBuf::new(),
    };
    Ok(Options {
        command,
        positional,
        named,
        child: arguments.cmd,
        run: runtime::Options {
            pid,
            output: arguments.output,
            form,
            buffering,
            quiet: arguments.quiet,
            verbose: arguments.verbose > 0,
            dry_run: arguments.dry_run,
            purpose,
            warnings: !arguments.no_warnings,
            notify_attached: env("__BPFTRACE_NOTIFY_PROBES_ATTACHED").is_some(),
            show_libbpf: stages.libbpf,
            show_verifier: stages.verifier,
        },
        verbose: arguments.verbose > 0,
        stages,
        warnings: !arguments.no_warnings,
        report_helper_errors: arguments.warnings > 0,
        unsafe_mode: arguments.unsafe_mode,
        fix_renames: arguments.fix_renames,
        debug_files: arguments.debuginfo.iter().map(|directory| without_plus(directory)).collect(),
        includes: Includes { script, ..includes(arguments.include_dirs, arguments.includes, env) },
        verify_llvm_ir: arguments.verify_llvm_ir || env("BPFTRACE_VERIFY_LLVM_IR").is_some(),
        disabled,
        btf: env("BPFTRACE_BTF").filter(|path| !path.is_empty()).map(PathBuf::from),
        traceable: arguments.traceable_functions,
        filter,
        emit_elf: arguments.emit_elf,
        emit_llvm: arguments.emit_llvm,
        config,
        config_from_env: from_env.set,
        complaints,
    })
}

/// A directory of `--debuginfo`. The reference compares checksums where a `+` is before it; here they always are.
fn without_plus(directory: &Path) -> PathBuf {
    let bytes = directory.as_os_str().as_encoded_bytes();
    bytes.strip_prefix(b"+").map_or_else(|| directory.to_owned(), |rest| OsStr::from_bytes(rest).into())
}

/// What `-I`, `--include` and the environment say about C headers.
fn includes(
    mut directories: Vec<PathBuf>,
    files: Vec<PathBuf>,
    env: impl Fn(&str) -> Option<String>,
) -> Includes {
    let path = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    for name in ["CPATH", "C_INCLUDE_PATH"] {
        let more = env(name).unwrap_or_default();
        directories.extend(more.split(':').filter(|d| !d.is_empty()).map(PathBuf::from));
    }
    Includes {
        directories,
        files,
        kernel_source: path("BPFTRACE_KERNEL_SOURCE"),
        kernel_build: path("BPFTRACE_KERNEL_BUILD"),
        script: PathBuf::new(),
        libclang: path("LIBCLANG_PATH").map(Into::into),
        clang: path("BPFTRACE_CLANG").map(Into::into),
    }
}

/// What to do, and the parameters that are left for the script.
fn command(arguments: &Arguments, form: Form) -> Result<(Command, Vec<String>), Diagnostic> {
    let mut rest = arguments.rest.clone();
    if arguments.help {
        return Ok((Command::Print(help::text(&rest, form)?), vec![]));
    }
    if arguments.version {
        return Ok((Command::Print(format!("{VERSION}\n")), vec![]));
    }
    if arguments.info {
        return Ok((Command::Info, vec![]));
    }
    let text = arguments.program.last().cloned().filter(|text| !text.is_empty());
    if arguments.list {
        return match (text, rest.len()) {
            (Some(text), _) => Ok((Command::ListProgram(Program::Text(text)), rest)),
            (None, 0) => Ok((Command::List("*:*".into()), rest)),
            (None, 1) => {
                let what = rest.remove(0);
                // A pattern that is also a file's name is taken as the file, as ever.
                Ok(if std::path::Path::new(&what).is_file() {
                    (Command::ListProgram(Program::File(what.into())), rest)
                } else {
                    (Command::List(if what == "*" { "*:*".into() } else { what }), rest)
                })
            }
            _ => Err(usage("-l takes one pattern")
                .help("quote the pattern, so that the shell does not expand it: -l 'kprobe:vfs_*'")),
        };
    }
    let program = match text {
        Some(text) => Program::Text(text),
        // What stands behind `--` is a parameter, except for the script itself: `bpftrace -- file.bt`.
        None if rest.is_empty() => {
            return Err(usage("no program was given").help(
                "name a script, or write the program after -e: bpftrace -e 'BEGIN { printf(\"hello\\n\"); }'",
            ));
        }
        None => match rest.remove(0) {
            dash if dash == "-" => Program::Stdin,
            path => Program::File(path.into()),
        },
    };
    match arguments.mode.as_deref() {
        Some("codegen") => Ok((Command::Compile(program), rest)),
        _ => Ok((Command::Run(program), rest)),
    }
}

/// Which probes of the program are run.
fn purpose(arguments: &Arguments) -> Result<Purpose, Diagnostic> {
    match (arguments.mode.as_deref(), arguments.test, arguments.bench) {
        (None, true, true) => Err(usage("--test and --bench exclude each other")),
        (Some(_), true, _) => Err(usage("--test conflicts with existing --mode")),
        (Some(_), _, true) => Err(usage("--bench conflicts with existing --mode")),
        (Some("test"), ..) | (None, true, _) => Ok(Purpose::Test),
        (Some("bench"), ..) | (None, _, true) => Ok(Purpose::Bench),
        (None | Some("codegen"), ..) => Ok(Purpose::Trace),
        (Some(other), ..) => Err(usage(format!("there is no mode \"{other}\""))
            .help("--mode takes codegen (compile only), test and bench")),
    }
}

fn filter(pattern: &str) -> Result<Regex, Diagnostic> {
    Regex::new(pattern).map_err(|e| usage(format!("Invalid --probe-filter regex '{pattern}': {e}")))
}

/// Splits off the named parameters among the last ones, which stood after `--`.
fn split_named(parameters: Vec<String>, after_dashes: usize) -> (Vec<String>, Vec<String>) {
    let from = parameters.len().saturating_sub(after_dashes);
    let (mut positional, mut named) = (vec![], vec![]);
    for (n, parameter) in parameters.into_iter().enumerate() {
        match parameter.strip_prefix("--") {
            Some(name) if n >= from => named.push(name.to_owned()),
            _ => positional.push(parameter),
        }
    }
    (positional, named)
}

/// The messages begin with the reference's words, which wrappers look for.
fn pid(text: &str) -> Result<u32, Diagnostic> {
    let number = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse::<u32>(),
    };
    match number {
        // The kernel's own limit for 64-bit machines, PID_MAX_LIMIT in include/linux/threads.h.
        Ok(pid @ 1..=0x40_0000) => Ok(pid),
        Ok(pid) => {
            Err(usage(format!("Pid out of range: {pid}")).note("process ids are numbers from 1 to 4194304"))
        }
        Err(_) => {
            let begins = text.starts_with(|c: char| c.is_ascii_digit());
            let what = if begins { "invalid trailing bytes" } else { "invalid integer" };
            Err(usage(format!("Failed to parse pid: {what}: {text}")).help("-p takes the id of one process"))
        }
    }
}

fn usage(message: impl Into<String>) -> Diagnostic {
    Diagnostic::error("usage", None, message)
}

/// As [`usage`], for who may not know how it is called at all.
fn synopsis(message: impl Into<String>) -> Diagnostic {
    usage(message)
        .note(format!(
            "it is called in one of these ways\nUSAGE:\n    {}",
            USAGE.lines().map(str::trim).collect::<Vec<_>>().join("\n    ")
        ))
        .help("bpftrace --help shows all options")
}

/// What clap found wrong, as one of our messages.
fn explain(error: &clap::Error) -> Diagnostic {
    let context = |kind| {
        error.get(kind).and_then(|value| match value {
            ContextValue::String(text) => Some(text.clone()),
            ContextValue::Strings(list) => list.first().cloned(),
            _ => None,
        })
    };
    // `--output <FILE>` → `--output`
    let bare = |text: String| text.split_whitespace().next().unwrap_or_default().to_owned();
    let option = context(ContextKind::InvalidArg).map(bare).unwrap_or_default();
    let unknown = || {
        let message = format!("there is no option {option}");
        let known = Arguments::command();
        let known = known.get_arguments().filter_map(|a| Some(format!("--{}", a.get_long()?)));
        match suggest::did_you_mean(&option, known) {
            Some(suggestion) => usage(message).help(suggestion),
            None => synopsis(message),
        }
    };
    match error.kind() {
        ErrorKind::UnknownArgument => unknown(),
        ErrorKind::InvalidValue | ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues => {
            usage(format!("{option} needs a value"))
        }
        ErrorKind::TooManyValues => usage(format!("{option} takes no value")),
        ErrorKind::InvalidUtf8 => usage("an argument is not valid UTF-8"),
        _ => {
            let text = error.to_string();
            usage(text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
