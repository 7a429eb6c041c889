//! Programs too long for the usual jumps. A jump of BPF goes 32,767 instructions far; the fourth version of the
//! instruction set has one that goes further, which LLVM uses where it has to. Without it LLVM ends the process over
//! such a program, so that lengths have to be known before.

use std::collections::HashMap;
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
    let farthest = lengths(module, &usual)?.into_iter().find(|function| function.jump > FARTHEST);
    let Some(Function { name, length, .. }) = farthest else { return Ok(usual) };
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

/// What a function becomes.
struct Function {
    name: String,
    /// In instructions; `r1 = 5 ll` takes the place of two.
    length: usize,
    /// How far its farthest jump goes.
    jump: usize,
}

/// Reads it off the assembler text, for which no jump is too far.
fn lengths(module: &Module<'_>, machine: &TargetMachine) -> Result<Vec<Function>> {
    // Emission changes what it emits.
    let text = machine
        .write_to_memory_buffer(&module.clone(), FileType::Assembly)
        .map_err(|e| Error::Llvm(e.to_string()))?;
    let text = String::from_utf8_lossy(text.as_slice()).into_owned();
    Ok(read(&text, |name| module.get_function(name).is_some()))
}

fn read(text: &str, is_function: impl Fn(&str) -> bool) -> Vec<Function> {
    let mut functions: Vec<Function> = vec![];
    let (mut labels, mut jumps) = (HashMap::new(), vec![]);
    for line in text.lines() {
        let code = line.split('#').next().unwrap_or_default().trim_end();
        let Some(instruction) = code.strip_prefix('\t') else {
            let Some(label) = code.strip_suffix(':') else { continue };
            if is_function(label) {
                functions.push(Function { name: label.to_owned(), length: 0, jump: 0 });
            } else if let Some(function) = functions.last() {
                labels.insert(label, function.length);
            }
            continue;
        };
        let Some(number) = functions.len().checked_sub(1) else { continue };
        let Some(function) = functions.get_mut(number) else { continue };
        if instruction.is_empty() || instruction.starts_with('.') {
            continue;
        }
        function.length += if instruction.ends_with(" ll") { 2 } else { 1 };
        if let Some((_, label)) = instruction.rsplit_once("goto ") {
            jumps.push((number, function.length, label));
        }
    }
    for (number, from, label) in jumps {
        if let (Some(function), Some(to)) = (functions.get_mut(number), labels.get(label)) {
            function.jump = function.jump.max(to.abs_diff(from));
        }
    }
    functions
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

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn lengths_and_jumps_are_read_off_assembler_text() {
        let text = "\t.text\n\t.globl\tf\nf:                       # @f\n.Lfunc_begin0:\n# %bb.0:\n\tr1 = 5 ll\n\
                    \tif r1 == 0 goto LBB0_2\n# %bb.1:\n\tr2 = 1\n\tr3 = *(u64 *)(r1 + 8)     # a comment\nLBB0_2:\n\tgoto LBB0_2\n\
                    .Lfunc_end0:\n\t.size\tf, .Lfunc_end0-f\ng:\n\texit\n";
        let found = read(text, |name| name == "f" || name == "g");
        let found: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.length, f.jump)).collect();
        assert_eq!(found, [("f", 6, 2), ("g", 1, 0)]);
    }
}
