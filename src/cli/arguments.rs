//! The options as clap sees them.

use std::path::PathBuf;

use clap::Parser;

use super::USAGE;

/// The options as clap sees them. The documentation comments are the help text.
#[derive(Debug, Parser)]
#[command(
    name = "bpftrace",
    about = "Traces the kernel and programs with scripts that run as BPF in the kernel",
    override_usage = USAGE,
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    infer_long_args = true,
    next_help_heading = "What to run"
)]
pub(super) struct Arguments {
    /// Run this program; what follows are its parameters
    #[arg(short = 'e', value_name = "PROGRAM", allow_hyphen_values = true, action = clap::ArgAction::Append)]
    pub program: Vec<String>,
    /// List the probes that match a pattern or that a program has; -v adds their arguments
    #[arg(short, long)]
    pub list: bool,
    /// A script, or - for stdin, and its parameters $1, $2, ...; after --, also --NAME=VALUE
    #[arg(value_name = "FILE", allow_negative_numbers = true)]
    pub rest: Vec<String>,
    /// What to do with the program: codegen (compile only), test or bench
    #[arg(long, value_name = "MODE", allow_hyphen_values = true)]
    pub mode: Option<String>,
    /// Run the test: probes, one after the other
    #[arg(long)]
    pub test: bool,
    /// Measure the bench: probes
    #[arg(long)]
    pub bench: bool,
    /// Run only the probes whose names match, and BEGIN and END
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    pub probe_filter: Option<String>,
    /// Print what the kernel and this build support
    #[arg(long)]
    pub info: bool,
    /// Print the version
    #[arg(short = 'V', long)]
    pub version: bool,
    /// Print this help, or what is known about names: --help str kprobe
    #[arg(short, long)]
    pub help: bool,

    /// Trace this process only, and end when it does
    #[arg(
        short,
        long,
        value_name = "PID",
        allow_hyphen_values = true,
        action = clap::ArgAction::Append,
        help_heading = "Processes"
    )]
    pub pid: Vec<String>,
    /// Run a command once all probes are attached, and end when it does
    #[arg(short = 'c', long, value_name = "COMMAND", allow_hyphen_values = true, help_heading = "Processes")]
    pub cmd: Option<String>,
    /// Accepted for old scripts: the kernel activates semaphores for every process that maps the file
    #[arg(long, hide = true)]
    pub usdt_file_activation: bool,

    /// Look for the debug information of programs in these directories first
    #[arg(long, value_name = "DIR[:DIR]", value_delimiter = ':', help_heading = "Processes")]
    pub debuginfo: Vec<PathBuf>,

    /// Write output to a file instead of stdout
    #[arg(short, long, value_name = "FILE", allow_hyphen_values = true, help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// The form of output: text or json (one JSON object a line)
    #[arg(short, value_name = "FORMAT", allow_hyphen_values = true, help_heading = "Output")]
    pub format: Option<String>,
    /// When output is written: line, full or none
    #[arg(short = 'B', value_name = "MODE", allow_hyphen_values = true, help_heading = "Output")]
    pub buffering: Option<String>,
    /// Print only what the program prints
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
    /// Say what is being done
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
    /// Warn when reading memory or updating a map fails while the program runs
    #[arg(short = 'k', long, action = clap::ArgAction::Count, help_heading = "Output")]
    pub warnings: u8,
    /// Print no warnings
    #[arg(long, help_heading = "Output")]
    pub no_warnings: bool,

    /// Allow what can change or stop the system, such as system()
    #[arg(long = "unsafe", help_heading = "Compiling")]
    pub unsafe_mode: bool,
    /// Where a kernel function has another name in this kernel, probe that one
    #[arg(long, help_heading = "Compiling")]
    pub fix_renames: bool,
    /// Look for C headers in this directory
    #[arg(short = 'I', value_name = "DIR", help_heading = "Compiling")]
    pub include_dirs: Vec<PathBuf>,
    /// Include this C header before the program
    #[arg(long = "include", value_name = "FILE", help_heading = "Compiling")]
    pub includes: Vec<PathBuf>,
    /// The kernel functions that can be traced, as in available_filter_functions
    #[arg(long, value_name = "FILE", allow_hyphen_values = true, help_heading = "Compiling")]
    pub traceable_functions: Option<PathBuf>,
    /// Do without kprobe_multi, kprobe_session, uprobe_multi, uprobe_session or fsession
    #[arg(long, value_name = "FEATURE,...", allow_hyphen_values = true, help_heading = "Compiling")]
    pub no_feature: Vec<String>,

    /// Attach the probes, then leave
    #[arg(long, help_heading = "Finding out what goes on")]
    pub dry_run: bool,
    /// Show a stage: ast, ir, codegen, codegen-opt, libbpf, verifier or all; several with commas
    #[arg(
        short,
        long,
        value_name = "STAGE,...",
        allow_hyphen_values = true,
        help_heading = "Finding out what goes on"
    )]
    pub debug: Vec<String>,
    /// Check the generated LLVM IR
    #[arg(long, help_heading = "Finding out what goes on")]
    pub verify_llvm_ir: bool,
    /// Write the BPF object to a file instead of running it
    #[arg(long, value_name = "FILE", allow_hyphen_values = true, help_heading = "Finding out what goes on")]
    pub emit_elf: Option<PathBuf>,
    /// Write the LLVM IR to FILE.original.ll and FILE.optimized.ll
    #[arg(long, value_name = "FILE", allow_hyphen_values = true, help_heading = "Finding out what goes on")]
    pub emit_llvm: Option<PathBuf>,
    /// Accepted for old scripts: BTF is always used
    #[arg(short, long, hide = true)]
    pub btf: bool,
}
