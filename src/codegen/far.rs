//! Programs too long for the usual jumps. A jump of BPF goes 32,767 instructions far; the fourth version of the
//! instruction set has one that goes further, which LLVM uses where it has to. Without it LLVM ends the process over
//! such a program, so that lengths have to be known before.

use std::ffi::{CStr, c_char};
use std::sync::Once;

use inkwell::module::Module;
use inkwell::support::error_handling::install_fatal_error_handler;
use inkwell::targets::{FileType, TargetMachine};
use inkwell::values::FunctionValue;

use super::llvm::{self, Result, Set};
use super::{Error, Settings};
use crate::image::Program;
use crate::kernel::Feature;

/// What a jump has for its distance are 16 bits with a sign.
const FARTHEST: usize = i16::MAX as usize;

/// A function of fewer instructions of LLVM is never as long as that: most become one or two, and the worst, a number
/// of eight bytes at an odd address, 23.
const SHORT: usize = FARTHEST / 25;

/// The machine that a module is emitted for: another one than the usual if it has long functions.
pub(super) fn machine(
    module: &Module<'_>,
    usual: TargetMachine,
    programs: &[Program],
    settings: &Settings<'_>,
) -> Result<TargetMachine> {
    explain_aborts();
    if !module.get_functions().any(|function| instructions(function) > SHORT) {
        return Ok(usual);
    }
    let longest = lengths(module, &usual)?.into_iter().max_by_key(|(_, length)| *length);
    let Some((name, length)) = longest.filter(|(_, length)| *length > FARTHEST) else { return Ok(usual) };
    if (settings.has)(Feature::FarJump) {
        return llvm::machine(Set::FarJumps);
    }
    // What programs call, and the bodies of their loops, have names that begin with theirs.
    let program = programs.iter().filter(|program| name.starts_with(&program.name));
    let span = program.max_by_key(|program| program.name.len()).map(|program| program.span);
    Err(Error::TooLong { span, length, farthest: FARTHEST })
}

fn instructions(function: FunctionValue<'_>) -> usize {
    function.get_basic_block_iter().map(|block| block.get_instructions().count()).sum()
}

/// How many instructions each function becomes, by its name. Read off the assembler text, for which no jump is too far.
fn lengths(module: &Module<'_>, machine: &TargetMachine) -> Result<Vec<(String, usize)>> {
    // Emission changes what it emits.
    let text = machine
        .write_to_memory_buffer(&module.clone(), FileType::Assembly)
        .map_err(|e| Error::Llvm(e.to_string()))?;
    let text = String::from_utf8_lossy(text.as_slice()).into_owned();
    let mut lengths: Vec<(String, usize)> = vec![];
    for line in text.lines() {
        match line.strip_prefix('\t') {
            Some(directive) if directive.starts_with(['.', '#']) => {}
            // `r1 = 5 ll` takes the place of two.
            Some(instruction) => {
                if let Some((_, length)) = lengths.last_mut() {
                    *length += if instruction.split('#').next().is_some_and(|i| i.trim_end().ends_with(" ll"))
                    {
                        2
                    } else {
                        1
                    };
                }
            }
            None => {
                let label = line.split_once(':').map(|(label, _)| label);
                if let Some(name) = label.filter(|name| module.get_function(name).is_some()) {
                    lengths.push((name.to_owned(), 0));
                }
            }
        }
    }
    Ok(lengths)
}

/// For some errors LLVM has no other way than to end the process. Then at least its words are ours, and no core is left.
fn explain_aborts() {
    extern "C" fn explain(reason: *const c_char) {
        // SAFETY: LLVM passes a C string.
        let reason = unsafe { CStr::from_ptr(reason) }.to_string_lossy();
        eprintln!(
            "ERROR: LLVM cannot compile this: {reason}\n\
             NOTE: this is a bug in bpftrace, not in the script\n\
             HINT: please report it with the script"
        );
        std::process::exit(1);
    }
    static ONCE: Once = Once::new();
    // SAFETY: the handler ends the process, as LLVM expects of it, and stays for as long as the process does.
    ONCE.call_once(|| unsafe { install_fatal_error_handler(explain) });
}
