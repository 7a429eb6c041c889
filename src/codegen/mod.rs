//! `ir` to LLVM to a BPF ELF object. The only room that knows LLVM.

mod aggregate;
mod analysis;
mod call;
mod compare;
mod composite;
mod cost;
mod debug;
mod event;
mod expr;
mod far;
mod follow;
mod helpers;
mod llvm;
mod loops;
mod map;
mod memory;
mod object;
mod operators;
mod place;
mod probe_names;
mod program;
mod rounds;
mod search;
mod seq;
mod stack;
mod stmt;
mod string;
mod task;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use inkwell::builder::BuilderError;
use inkwell::context::Context;
use inkwell::passes::PassBuilderOptions;
use inkwell::targets::FileType;

use crate::config::Config;
use crate::diagnostics::{Sources, Span};
use crate::image::{self, Image, MapId};
use crate::ir;
use crate::kernel::Feature;
use llvm::Set;

/// What code generation has to know besides the program.
pub struct Options<'a> {
    pub config: &'a Config,
    pub has: &'a dyn Fn(Feature) -> bool,
    /// Possible CPUs, for the size of scratch memory.
    pub cpus: u32,
    /// Source name and text, for the line information in the object.
    pub sources: &'a Sources,
    /// We are in a pid namespace of our own, where processes have other ids than the kernel's.
    pub own_pids: bool,
    /// `-k`: report failed reads.
    pub report_helper_errors: bool,
    /// Run LLVM's verifier on what was generated (`--verify-llvm-ir`; always in debug builds).
    pub verify: bool,
    /// Called with the module's text before and after optimisation: `-d codegen`, `-d codegen-opt`.
    pub dump: Option<&'a mut Dump<'a>>,
}

/// See [`Options::dump`].
pub type Dump<'a> = dyn FnMut(Stage, &str) + 'a;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Generated,
    Optimised,
}

/// Code generation failed. That is a bug of this program, whatever the script, but for what is too long.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("LLVM: {0}")]
    Llvm(String),
    #[error("cannot generate code: {0}")]
    Internal(String),
    /// A probe of so many instructions, on a kernel that cannot jump as far; the span is the probe's.
    #[error("it compiles to {length} instructions, and a jump goes {farthest} far")]
    TooLong { span: Option<Span>, length: usize, farthest: usize },
}

impl From<BuilderError> for Error {
    fn from(error: BuilderError) -> Error {
        Error::Llvm(error.to_string())
    }
}

/// What the files of this room need of [`Options`].
struct Settings<'a> {
    config: &'a Config,
    has: &'a dyn Fn(Feature) -> bool,
    cpus: u32,
    own_pids: bool,
    report_helper_errors: bool,
    /// Whether programs may be attached for a while after the end.
    lingers: bool,
    /// Maps that some program gathers in which may interrupt another one.
    nested_maps: BTreeSet<MapId>,
    /// Maps that some program deletes keys from.
    emptied_maps: BTreeSet<MapId>,
}

/// The passes that are worth their time: variables to registers, common parts merged, dead blocks gone. The rest of
/// `default<O2>` costs more than it gains, and makes shapes that the verifier does not see through.
const PASSES: &str = "function(sroa,early-cse,simplifycfg)";

/// Compiles a program.
pub fn compile(program: &ir::Program, options: Options<'_>) -> Result<Image, Error> {
    let context = Context::create();
    let reports = llvm::Reports::of(&context);
    let image = generate(&context, program, options);
    // The context tells `reports` what it finds until it is gone.
    drop(context);
    match reports.first() {
        Some(message) if image.is_ok() => Err(Error::Llvm(message)),
        _ => image,
    }
}

fn generate(context: &Context, program: &ir::Program, mut options: Options<'_>) -> Result<Image, Error> {
    let settings = Settings {
        config: options.config,
        has: options.has,
        cpus: options.cpus,
        own_pids: options.own_pids,
        report_helper_errors: options.report_helper_errors,
        lingers: {
            let places = program.probes.iter().flat_map(|probe| &probe.attach);
            places.map(|place| place.what.slow_places()).sum::<usize>() > image::FEW_PLACES
        },
        nested_maps: program
            .probes
            .iter()
            .filter(|probe| probe.nesting != ir::Nesting::Never)
            .flat_map(analysis::gathers)
            .collect(),
        emptied_maps: program.probes.iter().flat_map(analysis::empties).collect(),
    };
    let machine = llvm::machine(Set::Oldest)?;
    let ll = llvm::Llvm::new(context, &machine, options.sources);
    let mut object = object::Object::new(&ll, program, &settings)?;
    let mut programs = vec![];
    for probe in &program.probes {
        programs.push(image::Program {
            name: program::generate(&ll, &mut object, program, probe, &settings)?,
            attach: probe.attach.clone(),
            span: probe.span,
        });
    }
    let manifest = object.finish(&ll, program, &settings)?;
    ll.debug.finish();
    let mut dump = |stage| {
        if let Some(dump) = options.dump.as_mut() {
            dump(stage, &ll.module.print_to_string().to_string());
        }
    };
    dump(Stage::Generated);
    if options.verify || cfg!(debug_assertions) {
        ll.module.verify().map_err(|e| Error::Llvm(e.to_string()))?;
    }
    ll.module
        .run_passes(PASSES, &machine, PassBuilderOptions::create())
        .map_err(|e| Error::Llvm(e.to_string()))?;
    dump(Stage::Optimised);
    let machine = far::machine(&ll.module, machine, &programs, &settings)?;
    let elf = machine
        .write_to_memory_buffer(&ll.module, FileType::Object)
        .map_err(|e| Error::Llvm(e.to_string()))?;
    Ok(Image { elf: elf.as_slice().to_vec(), manifest: image::Manifest { programs, ..manifest } })
}
