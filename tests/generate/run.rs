//! From a script to what it printed, in this process and through the same stages as the binary.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use bpftrace::check;
use bpftrace::config::Config;
use bpftrace::diagnostics::{Diagnostic, Diagnostics, FileId, Sources, render};
use bpftrace::image::Image;
use bpftrace::kernel::Kernel;
use bpftrace::probes::Host;
use bpftrace::types::store::Types;
use bpftrace::{codegen, expand, runtime, syntax};

/// At which stage a program failed, and what was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub stage: Stage,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Parse,
    Check,
    Codegen,
    /// Loading, attaching, running.
    Run,
    /// It printed something else than it should have.
    Output,
}

pub struct Runner {
    pub kernel: Kernel,
    output: PathBuf,
}

impl Runner {
    pub fn new() -> Runner {
        let output = std::env::temp_dir().join(format!("bpftrace-generated-{}.out", std::process::id()));
        Runner { kernel: Kernel::new(), output }
    }

    /// Runs a script; with `dry` it is only attached. The result is what it wrote.
    pub fn run(&self, text: &str, dry: bool) -> Result<String, Failure> {
        let verbose = std::env::var_os("BPFTRACE_TEST_VERBOSE").is_some();
        self.run_changed(text, dry, verbose, &|_| {})
    }

    /// As [`Runner::run`], with something done to the image before it is loaded.
    pub fn run_changed(
        &self,
        text: &str,
        dry: bool,
        verbose: bool,
        change: &dyn Fn(&mut Image),
    ) -> Result<String, Failure> {
        let mut sources = Sources::single("stdin", text);
        let failure = |stage, messages: &Diagnostics, sources: &Sources| Failure {
            stage,
            message: render::text(messages.iter(), sources, false),
        };
        let (script, problems) = syntax::parse(text, FileId::default());
        let mut messages = Diagnostics::default();
        messages.extend(problems);
        let inputs = expand::Inputs {
            positional: &[],
            named: &[],
            directory: Path::new(""),
            config: &Config::default(),
            config_from_env: &[],
            has_btf: &|| true,
            header_macro: &|_, _| None,
        };
        let expanded = expand::expand(script, &inputs, &mut sources);
        messages.extend(expanded.diagnostics);
        if messages.has_errors() {
            return Err(failure(Stage::Parse, &messages, &sources));
        }
        let config = expanded.config;
        let mut types = Types::new(&self.kernel);
        let mut host = Host {
            kernel: &self.kernel,
            types: &mut types,
            config: &config,
            pid: None,
            command: None,
            unsafe_mode: false,
            fix_renames: false,
            warnings: vec![],
        };
        let (program, messages) = check::check(&expanded.script, &mut host, &check::Options::default());
        let program = program.ok_or_else(|| failure(Stage::Check, &messages, &sources))?;
        let mut image = codegen::compile(
            &program,
            codegen::Options {
                config: &config,
                has: &|feature| self.kernel.has(feature),
                cpus: self.kernel.possible_cpus(),
                sources: &sources,
                own_pids: false,
                report_helper_errors: false,
                verify: true,
                dump: None,
            },
        )
        .map_err(|e| Failure { stage: Stage::Codegen, message: e.to_string() })?;
        change(&mut image);
        let reported = RefCell::new(vec![]);
        // Tests run alone; that one fails is no failure.
        let tests = text.lines().any(|line| line.starts_with("test:"));
        let purpose = if tests { runtime::Purpose::Test } else { runtime::Purpose::Trace };
        let options = runtime::Options {
            purpose,
            output: Some(self.output.clone()),
            quiet: true,
            verbose,
            dry_run: dry && !tests,
            warnings: false,
            ..runtime::Options::default()
        };
        let job = runtime::Job {
            image: &image,
            options: &options,
            config: &config,
            kernel: &self.kernel,
            sources: &sources,
            target: None,
            child: None,
            debug_files: &[],
            color: false,
            report: &|message: &Diagnostic| reported.borrow_mut().push(message.message.clone()),
        };
        let ran = runtime::run(&job, None);
        let output = std::fs::read(&self.output).unwrap_or_default();
        match ran {
            Ok(code) if code == 0 || (tests && code == 1) => {
                Ok(String::from_utf8_lossy(&output).into_owned())
            }
            Ok(code) => Err(Failure { stage: Stage::Run, message: format!("exit code {code}") }),
            Err(problem) => {
                Err(Failure { stage: Stage::Run, message: render::one(&problem, &sources, false) })
            }
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.output);
    }
}
