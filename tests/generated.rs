//! Programs made at random, all of them right: each has to compile, load and run on the kernel at hand, and what
//! can be foretold of its output has to come.
//!
//! `BPFTRACE_TEST_SEED` is the first seed (each program has one of its own, in a row), `BPFTRACE_TEST_COUNT` how
//! many programs there are, or `BPFTRACE_TEST_SECONDS` how long they are made (30). A failing program is made as
//! small as it can be before it is shown.

#[path = "generate/ast.rs"]
mod ast;
#[path = "generate/eval.rs"]
mod eval;
#[path = "generate/make.rs"]
mod make;
#[path = "generate/opaque.rs"]
mod opaque;
#[path = "support/random.rs"]
mod random;
#[path = "generate/run.rs"]
mod run;
#[path = "generate/shrink.rs"]
mod shrink;
#[path = "generate/statements.rs"]
mod statements;
#[path = "../src/testing.rs"]
mod testing;
#[path = "generate/text.rs"]
mod text;

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use ast::Program;
use make::Aim;
use object::{Object as _, ObjectSection as _};
use run::{Failure, Runner, Stage};

/// Run first, each time: programs that once failed can be made again.
const FIXED_SEEDS: std::ops::Range<u64> = 0..60;
/// How many programs are tried to make one that fails smaller.
const SHRINKING: u32 = 600;
/// After so many failures there is enough to mend.
const FAILURES: usize = 5;
/// Of ten programs made to be foretold, how many have to be. The others are only loaded and run.
const FAIR_SHARE: u64 = 8;
/// The main thread's, which scripts are compiled on.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    if std::env::var("BPFTRACE_TEST_TIER").is_ok_and(|tier| tier == "none") {
        println!("left out: `make generated` runs these as root");
        return ExitCode::SUCCESS;
    }
    let kernel = bpftrace::kernel::Kernel::new();
    if kernel.capabilities().complaint(kernel.version()).is_some() {
        testing::skip("root", "loading BPF programs needs root");
        return ExitCode::SUCCESS;
    }
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(all);
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Whether all programs did what they should.
fn all() -> bool {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs() * 1000);
    let given = number("BPFTRACE_TEST_SEED");
    let seed = given.unwrap_or_else(now);
    let count = number("BPFTRACE_TEST_COUNT");
    let limit = match count {
        Some(_) => Duration::MAX,
        None => Duration::from_secs(number("BPFTRACE_TEST_SECONDS").unwrap_or(30)),
    };
    println!("BPFTRACE_TEST_SEED={seed}");
    let fixed = if given.is_none() { FIXED_SEEDS } else { 0..0 };
    let new = seed..seed.saturating_add(count.unwrap_or(u64::MAX));
    let (runner, start) = (Runner::new(), Instant::now());
    let places = places(&runner.kernel);
    println!("probes: {places:?}");
    let told = rejection_is_told(&runner);
    if let Err(message) = &told {
        println!("---- a program that the kernel refuses: {message}");
    }
    let (mut done, mut aimed, mut foretold, mut failures) = (0u64, 0u64, 0u64, 0);
    for seed in fixed.chain(new) {
        if start.elapsed() > limit || failures == FAILURES {
            break;
        }
        let aim = if seed % 2 == 0 { Aim::Foretold } else { Aim::Loaded };
        let program = make::program(seed, aim, &places);
        match tried(&runner, &program, aim) {
            Ok(true) => foretold += 1,
            Ok(false) => {}
            Err(failure) => {
                failures += 1;
                show(&runner, seed, aim, &program, &failure);
            }
        }
        done += 1;
        aimed += u64::from(aim == Aim::Foretold);
    }
    println!(
        "{done} programs, of {foretold} the output was foretold ({aimed} were made for that); {failures} failed; {:?}",
        start.elapsed()
    );
    // Of a few programs it may be that none is foretold.
    let enough = aimed < 10 || foretold * 10 >= aimed * FAIR_SHARE;
    if failures == 0 && !enough {
        println!("---- fewer than {FAIR_SHARE} of 10 programs made to be foretold were");
    }
    failures == 0 && done > 0 && enough && told.is_ok()
}

/// Where probes can be put here.
fn places(kernel: &bpftrace::kernel::Kernel) -> make::Places {
    let exe = std::env::current_exe().ok().and_then(|path| path.to_str().map(str::to_owned));
    make::Places {
        kprobe: kernel.has_kprobes(),
        fentry: kernel.has(bpftrace::kernel::Feature::Fentry),
        usdt: exe.filter(|_| usdt::HERE).map(|exe| format!("usdt:{exe}:generated:mark")),
    }
}

/// A USDT probe of this program itself.
#[cfg(target_arch = "x86_64")]
mod usdt {
    pub const HERE: bool = true;

    std::arch::global_asm!(
        ".pushsection .text",
        ".globl generated_mark",
        "generated_mark:",
        "990: nop",
        "ret",
        ".popsection",
        // As <sys/sdt.h> has it: the provider, the probe, and where its arguments are.
        ".pushsection .note.stapsdt, \"\", \"note\"",
        ".balign 4",
        ".4byte 992f-991f, 994f-993f, 3",
        "991: .asciz \"stapsdt\"",
        "992: .balign 4",
        "993: .8byte 990b, 0, 0",
        ".asciz \"generated\"",
        ".asciz \"mark\"",
        ".asciz \"8@%rdi -4@%esi 1@$7\"",
        "994: .balign 4",
        ".popsection",
        options(att_syntax)
    );

    unsafe extern "C" {
        fn generated_mark();
    }

    /// The linker leaves out code that nothing refers to.
    #[used]
    static KEPT: unsafe extern "C" fn() = generated_mark;
}

#[cfg(not(target_arch = "x86_64"))]
mod usdt {
    pub const HERE: bool = false;
}

/// Makes a program that the verifier refuses, and looks at what is said: the line of the script and the reason, with
/// `-v` the verifier's log too.
fn rejection_is_told(runner: &Runner) -> Result<(), String> {
    const SCRIPT: &str = "BEGIN {\n  $x = nsecs;\n  print($x);\n}\n";
    // The first instruction after the call of a helper reads beyond the stack: r0 = *(u64 *)(r10 + 8).
    let spoil = |image: &mut bpftrace::image::Image| {
        let file = object::File::parse(image.elf.as_slice()).expect("an object");
        let section = file.section_by_name("raw_tp").expect("the program's section");
        let (start, size) = section.file_range().expect("a place in the file");
        let range = start as usize..(start + size) as usize;
        const CALL: u8 = 0x85;
        let call = image.elf[range.clone()].chunks(8).position(|code| code[0] == CALL).expect("a call");
        let next = range.start + 8 * (call + 1);
        image.elf[next..next + 8].copy_from_slice(&[0x79, 0xa0, 8, 0, 0, 0, 0, 0]);
    };
    let said = |verbose| match runner.run_changed(SCRIPT, false, verbose, &spoil) {
        Ok(_) => Err("it was loaded".to_owned()),
        Err(failure) => Ok(failure.message),
    };
    let (short, long) = (said(false)?, said(true)?);
    let log = "R10";
    // Before 6.10 the kernel tells no numbers of lines, and of a script that is no file there is no text.
    let numbered = runner.kernel.version() >= bpftrace::kernel::Version::new(6, 10, 0);
    let (place, line) = if numbered { ("2:3-14", "$x = nsecs;") } else { ("1:1-6", "BEGIN {") };
    let place = format!("stdin:{place}: ERROR: the kernel refused to load the program compiled from this");
    let parts = [
        (&short, place.as_str(), true),
        (&short, line, true),
        (&short, "the verifier's reason: invalid read from stack", true),
        (&short, "-v shows the verifier's log", true),
        (&short, "call bpf_ktime", false),
        (&long, "the verifier's log:", true),
        (&long, "call bpf_ktime", true),
        (&long, log, true),
    ];
    match parts.iter().find(|(text, part, there)| text.contains(part) != *there) {
        Some((text, part, there)) => {
            Err(format!("{part:?} is {}in\n{text}", if *there { "not " } else { "" }))
        }
        None => Ok(()),
    }
}

/// Runs a program. `Ok(true)` if its output was compared.
fn tried(runner: &Runner, program: &Program, aim: Aim) -> Result<bool, Failure> {
    let expected = match aim {
        Aim::Foretold => eval::run(program).ok(),
        Aim::Loaded => None,
    };
    let text = program.to_string();
    keep(&text);
    let dry = program.probes.iter().any(|probe| !matches!(probe.attach.as_str(), "BEGIN" | "END"));
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runner.run(&text, dry)));
    let output = run.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        Err(Failure { stage: Stage::Codegen, message: format!("panicked: {message}") })
    })?;
    let Some(expected) = expected else { return Ok(false) };
    // A division by zero is told in between.
    let lines: Vec<&str> = output.trim_end_matches('\n').split('\n').filter(|line| !is_told(line)).collect();
    let expected = if expected.is_empty() { vec![String::new()] } else { expected };
    let mut expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    while expected.len() > 1 && expected.last().is_some_and(|l| l.is_empty()) {
        expected.pop();
    }
    if lines == expected {
        return Ok(true);
    }
    let differs =
        lines.iter().zip(&expected).position(|(a, b)| a != b).unwrap_or(lines.len().min(expected.len()));
    let message = format!(
        "line {differs} is {:?}, and should be {:?}; there are {} and should be {} lines",
        lines.get(differs),
        expected.get(differs),
        lines.len(),
        expected.len()
    );
    Err(Failure { stage: Stage::Output, message })
}

fn is_told(line: &str) -> bool {
    line.contains("Divide or modulo by 0 detected")
}

/// Writes down what is tried, in case it ends the process.
fn keep(text: &str) {
    let path = std::env::temp_dir().join("bpftrace-generated.bt");
    let _ = std::fs::write(path, text);
}

fn show(runner: &Runner, seed: u64, aim: Aim, program: &Program, failure: &Failure) {
    let kind = |failure: &Failure| (failure.stage, first_words(&failure.message));
    let small = if std::env::var_os("BPFTRACE_TEST_WHOLE").is_some() {
        program.clone()
    } else {
        shrink::shrink(program, SHRINKING, &mut |candidate| {
            tried(runner, candidate, aim).is_err_and(|other| kind(&other) == kind(failure))
        })
    };
    let message = tried(runner, &small, aim).err().map_or(failure.message.clone(), |f| f.message);
    println!("---- seed {seed} failed: {:?}\n{small}\n{}\n", failure.stage, message.trim_end());
}

/// What tells failures of one stage apart.
fn first_words(message: &str) -> String {
    let bare = message.split_once(": ERROR: ").map_or(message, |(_, rest)| rest);
    bare.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
