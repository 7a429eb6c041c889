//! USDT probes of ELF files: the notes that `sys/sdt.h` and its like leave for each place in the code.
//!
//! The format: <https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>.

use super::elf::{Elf, ElfError};

/// One place in the code that a probe's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usdt {
    pub provider: String,
    pub name: String,
    /// The virtual address of the instruction, which does nothing.
    pub address: u64,
    /// Of the counter that tells the program whether somebody listens; 0 for none.
    pub semaphore: u64,
    /// The arguments, as the assembler wrote them: `-4@%eax 8@-16(%rbp)`.
    pub arguments: String,
}

const SECTION: &str = ".note.stapsdt";
/// Where the linker put this section tells how far a later tool (prelink) has moved the addresses in the notes.
const BASE: &str = ".stapsdt.base";
const OWNER: &[u8] = b"stapsdt\0";
const KIND: u32 = 3;

/// All USDT places of a file, in its order.
pub fn places(elf: &Elf) -> Result<Vec<Usdt>, ElfError> {
    let Some((_, mut rest)) = elf.section(SECTION)? else { return Ok(vec![]) };
    let base = elf.section(BASE)?.map(|(address, _)| address);
    let mut found = vec![];
    while !rest.is_empty() {
        let (note, more) =
            note(rest, base).ok_or_else(|| elf.damaged(format!("a note in {SECTION} is cut off")))?;
        found.extend(note);
        rest = more;
    }
    Ok(found)
}

/// The first note, if it is of this kind, and what follows it.
fn note(bytes: &[u8], base: Option<u64>) -> Option<(Option<Usdt>, &[u8])> {
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (owner_size, size, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
    let after_owner = 12usize.checked_add(owner_size.checked_next_multiple_of(4)?)?;
    let owner = bytes.get(12..)?.get(..owner_size)?;
    let content = bytes.get(after_owner..)?.get(..size)?;
    let end = after_owner.checked_add(size.checked_next_multiple_of(4)?)?;
    let rest = bytes.get(end..).unwrap_or(&[]);
    if owner != OWNER || kind != KIND {
        return Some((None, rest));
    }
    let number = |n: usize| Some(u64::from_ne_bytes(content.get(8 * n..8 * n + 8)?.try_into().ok()?));
    let moved = base.map_or(0, |now| now.wrapping_sub(number(1).unwrap_or(now)));
    let texts: Vec<&[u8]> = content.get(24..)?.splitn(4, |&b| b == 0).collect();
    let [provider, name, arguments, ..] = texts[..] else { return None };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let semaphore = match number(2)? {
        0 => 0,
        at => at.wrapping_add(moved),
    };
    let address = number(0)?.wrapping_add(moved);
    let place =
        Usdt { provider: text(provider), name: text(name), address, semaphore, arguments: text(arguments) };
    Some((Some(place), rest))
}

/// Where an argument is when the program comes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// In bytes: 1, 2, 4 or 8.
    pub size: u8,
    pub signed: bool,
    pub operand: Operand,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    Constant(i64),
    Register(Register),
    Memory {
        /// What the displacement is relative to, as the file has it: `counter(%rip)`.
        symbol: Option<String>,
        displacement: i64,
        base: Option<Register>,
        /// And by how much it is multiplied.
        index: Option<(Register, u8)>,
    },
}

/// A register, or the part of it that a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// As `reg("…")` calls it.
    pub name: &'static str,
    /// From the low end, in bytes: 1 for `%ah`.
    pub shift: u8,
    /// For an index: how many of its bytes count, and whether they are a signed number.
    pub size: u8,
    pub signed: bool,
}

/// The instruction set whose assembler wrote the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    X86,
    Arm,
}

impl Syntax {
    /// That of this machine.
    pub const HOST: Syntax = if cfg!(target_arch = "aarch64") { Syntax::Arm } else { Syntax::X86 };
}

/// The arguments of a place; an error holds the one that is not understood.
pub fn arguments(text: &str, syntax: Syntax) -> Vec<Result<Argument, String>> {
    split(text).into_iter().map(|one| argument(one, syntax).ok_or_else(|| one.to_owned())).collect()
}

/// At spaces, but for those inside brackets.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0usize;
    text.split(|c: char| {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && c.is_whitespace()
    })
    .filter(|one| !one.is_empty())
    .collect()
}

/// `N@operand`, where a negative N is a signed number's size. Floating point numbers (`8f@%xmm0`) are in registers that
/// the kernel does not show.
fn argument(text: &str, syntax: Syntax) -> Option<Argument> {
    let (size, operand) = match text.split_once('@') {
        Some((size, operand)) => (size.parse::<i8>().ok()?, operand),
        None => (8, text),
    };
    let (signed, size) = (size < 0, size.unsigned_abs());
    if !matches!(size, 1 | 2 | 4 | 8) {
        return None;
    }
    let operand = match syntax {
        Syntax::X86 => x86(operand)?,
        Syntax::Arm => arm(operand)?,
    };
    Some(Argument { size, signed, operand })
}

/// `%eax`, `$5`, `-16(%rbp)`, `8(%rax,%rbx,4)`, `name+8(%rip)`, `name`.
fn x86(text: &str) -> Option<Operand> {
    if let Some(number) = text.strip_prefix('$') {
        return Some(Operand::Constant(number_of(number)?));
    }
    if let Some(name) = text.strip_prefix('%') {
        return Some(Operand::Register(x86_register(name)?));
    }
    let (place, registers) = match text.split_once('(') {
        Some((place, rest)) => (place, rest.strip_suffix(')')?),
        None => (text, ""),
    };
    let (symbol, displacement) = symbol_and_number(place.trim())?;
    let mut parts = registers.split(',').map(str::trim);
    let register = |text: &str| text.strip_prefix('%').and_then(x86_register);
    let base = match parts.next() {
        None | Some("") => None,
        // The symbol's address says it all.
        Some("%rip") if symbol.is_some() => None,
        Some(base) => Some(register(base)?),
    };
    let index = match parts.next() {
        None => None,
        Some(index) => {
            let scale = parts.next().map_or(Some(1), |scale| scale.parse().ok())?;
            Some((register(index)?, scale))
        }
    };
    (parts.next().is_none()).then_some(Operand::Memory { symbol, displacement, base, index })
}

/// `[sp, 60]`, `[x0]`, `[x0, w1, sxtw 3]`, `x0`, `w0`, `5`.
fn arm(text: &str) -> Option<Operand> {
    let Some(inner) = text.strip_prefix('[') else {
        return match arm_register(text) {
            Some(register) => Some(Operand::Register(register)),
            None => Some(Operand::Constant(number_of(text.trim_start_matches('#'))?)),
        };
    };
    let parts: Vec<&str> = inner.strip_suffix(']')?.split(',').map(str::trim).collect();
    let [base, rest @ ..] = &parts[..] else { return None };
    let base = Some(arm_register(base)?);
    let memory =
        |displacement, index| Some(Operand::Memory { symbol: None, displacement, base: base.clone(), index });
    match rest {
        [] => memory(0, None),
        [only] => match arm_register(only) {
            Some(index) => memory(0, Some((index, 1))),
            None => memory(number_of(only.trim_start_matches('#'))?, None),
        },
        [index, shift] => {
            let (kind, amount) = shift.split_once(char::is_whitespace).unwrap_or((shift, "0"));
            let amount: u32 = amount.trim().trim_start_matches('#').parse().ok()?;
            let signed = matches!(kind, "sxtw");
            if !matches!(kind, "sxtw" | "uxtw" | "lsl" | "sxtx") || amount > 4 {
                return None;
            }
            memory(0, Some((Register { signed, ..arm_register(index)? }, 1 << amount)))
        }
        _ => None,
    }
}

/// A decimal or hexadecimal number; those of more than 63 bits are taken as they lie in memory.
fn number_of(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse::<u64>().ok()?,
    };
    Some(if negative { value.wrapping_neg() as i64 } else { value as i64 })
}

/// `-16`, `name`, `name+8`, `16+name`, nothing.
fn symbol_and_number(text: &str) -> Option<(Option<String>, i64)> {
    if text.is_empty() {
        return Some((None, 0));
    }
    if let Some(number) = number_of(text) {
        return Some((None, number));
    }
    let starts_a_name = |text: &str| text.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '.');
    if let Some((number, name)) = text.split_once('+').filter(|(_, name)| starts_a_name(name)) {
        return Some((Some(name.to_owned()), number_of(number)?));
    }
    if !starts_a_name(text) {
        return None;
    }
    let Some(sign) = text.find(['+', '-']) else { return Some((Some(text.to_owned()), 0)) };
    let (name, number) = text.split_at(sign);
    Some((Some(name.to_owned()), number_of(number.strip_prefix('+').unwrap_or(number))?))
}

fn x86_register(name: &str) -> Option<Register> {
    let whole = |name, size| Some(Register { name, shift: 0, size, signed: false });
    // r8, r8d, r8w, r8b
    let numbered = ["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
    for own in numbered {
        match name.strip_prefix(own) {
            Some("") => return whole(own, 8),
            Some("d") => return whole(own, 4),
            Some("w") => return whole(own, 2),
            Some("b" | "l") => return whole(own, 1),
            _ => {}
        }
    }
    let high = |name| Some(Register { name, shift: 1, size: 1, signed: false });
    match name {
        "ah" => return high("ax"),
        "bh" => return high("bx"),
        "ch" => return high("cx"),
        "dh" => return high("dx"),
        _ => {}
    }
    for (own, low) in [
        ("ax", "al"),
        ("bx", "bl"),
        ("cx", "cl"),
        ("dx", "dl"),
        ("si", "sil"),
        ("di", "dil"),
        ("bp", "bpl"),
        ("sp", "spl"),
        ("ip", ""),
    ] {
        if name == low {
            return whole(own, 1);
        }
        match name.strip_suffix(own) {
            Some("r") => return whole(own, 8),
            Some("e") => return whole(own, 4),
            Some("") => return whole(own, 2),
            _ => {}
        }
    }
    None
}

fn arm_register(name: &str) -> Option<Register> {
    let whole = |name, size| Some(Register { name, shift: 0, size, signed: false });
    match name {
        "sp" | "wsp" => return whole("sp", 8),
        "xzr" | "wzr" => return None,
        _ => {}
    }
    let (size, number) = match (name.strip_prefix('x'), name.strip_prefix('w')) {
        (Some(number), _) => (8, number),
        (_, Some(number)) => (4, number),
        _ => return None,
    };
    const NAMES: [&str; 31] = [
        "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
        "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29",
        "r30",
    ];
    whole(NAMES.get(number.parse::<usize>().ok()?)?, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(name: &'static str, size: u8) -> Register {
        Register { name, shift: 0, size, signed: false }
    }

    fn memory(displacement: i64, base: Option<Register>, index: Option<(Register, u8)>) -> Operand {
        Operand::Memory { symbol: None, displacement, base, index }
    }

    #[track_caller]
    fn one(text: &str, syntax: Syntax) -> Argument {
        match arguments(text, syntax).as_slice() {
            [Ok(only)] => only.clone(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn x86_operands() {
        let operand = |text| one(text, Syntax::X86).operand;
        assert_eq!(operand("8@%rax"), Operand::Register(register("ax", 8)));
        assert_eq!(operand("-4@%edi"), Operand::Register(register("di", 4)));
        assert_eq!(operand("1@%r10b"), Operand::Register(register("r10", 1)));
        assert_eq!(operand("1@%ah"), Operand::Register(Register { shift: 1, ..register("ax", 1) }));
        assert_eq!(operand("1@%sil"), Operand::Register(register("si", 1)));
        assert_eq!(operand("8@$-5"), Operand::Constant(-5));
        assert_eq!(operand("8@$18446744073709551615"), Operand::Constant(-1));
        assert_eq!(operand("8@$0x10"), Operand::Constant(16));
        assert_eq!(operand("4@-16(%rbp)"), memory(-16, Some(register("bp", 8)), None));
        assert_eq!(operand("8@(%rdi)"), memory(0, Some(register("di", 8)), None));
        assert_eq!(
            operand("8@-80(%rbp,%rax,8)"),
            memory(-80, Some(register("bp", 8)), Some((register("ax", 8), 8)))
        );
        assert_eq!(
            operand("8@8(%rbp, %rax)"),
            memory(8, Some(register("bp", 8)), Some((register("ax", 8), 1)))
        );
        assert_eq!(operand("8@(,%rbx,4)"), memory(0, None, Some((register("bx", 8), 4))));
        let symbol = |name: &str, displacement| Operand::Memory {
            symbol: Some(name.into()),
            displacement,
            base: None,
            index: None,
        };
        assert_eq!(operand("4@counter(%rip)"), symbol("counter", 0));
        assert_eq!(operand("4@counter+12(%rip)"), symbol("counter", 12));
        assert_eq!(operand("4@counter-4(%rip)"), symbol("counter", -4));
        assert_eq!(operand("4@8+counter(%rip)"), symbol("counter", 8));
        assert_eq!(operand("4@counter"), symbol("counter", 0));
        assert_eq!(operand("4@16(%rip)"), memory(16, Some(register("ip", 8)), None));
    }

    #[test]
    fn arm_operands() {
        let operand = |text| one(text, Syntax::Arm).operand;
        assert_eq!(operand("8@x1"), Operand::Register(register("r1", 8)));
        assert_eq!(operand("-4@w19"), Operand::Register(register("r19", 4)));
        assert_eq!(operand("-4@-7"), Operand::Constant(-7));
        assert_eq!(operand("8@[x0]"), memory(0, Some(register("r0", 8)), None));
        assert_eq!(operand("-4@[sp, 60]"), memory(60, Some(register("sp", 8)), None));
        assert_eq!(operand("8@[x0, x2]"), memory(0, Some(register("r0", 8)), Some((register("r2", 8), 1))));
        assert_eq!(
            operand("8@[x0, w2, sxtw 3]"),
            memory(0, Some(register("r0", 8)), Some((Register { signed: true, ..register("r2", 4) }, 8)))
        );
    }

    #[test]
    fn sizes_and_signs() {
        let sizes = |text| {
            let found = arguments(text, Syntax::X86).into_iter().map(Result::unwrap);
            found.map(|a| (a.size, a.signed)).collect::<Vec<_>>()
        };
        assert_eq!(sizes("-4@%eax 8@8(%rbp, %rax, 4)\t1@$3"), [(4, true), (8, false), (1, false)]);
        assert_eq!(sizes(""), []);
        assert_eq!(sizes("%rax"), [(8, false)]);
    }

    #[test]
    fn what_is_not_understood_is_returned() {
        for text in
            ["8f@%xmm0", "3@%rax", "8@%what", "8@4(%rax", "8@(%rax,%rbx,4,5)", "8@$", "x@%rax", "16@%rax"]
        {
            assert_eq!(arguments(text, Syntax::X86), [Err(text.to_owned())]);
        }
        assert_eq!(arguments("8@[x0, x1, ror 3]", Syntax::Arm), [Err("8@[x0, x1, ror 3]".to_owned())]);
    }

    #[test]
    fn notes_are_read_one_after_the_other() {
        let mut bytes = vec![];
        let mut add = |owner: &[u8], kind: u32, content: &[u8]| {
            for word in [owner.len() as u32, content.len() as u32, kind] {
                bytes.extend(word.to_ne_bytes());
            }
            for part in [owner, content] {
                bytes.extend(part);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
        };
        let mut content: Vec<u8> = [0x1000u64, 0x5000, 0x6000].iter().flat_map(|n| n.to_ne_bytes()).collect();
        content.extend(b"web\0request\x008@%rax\0");
        add(b"GNU\0", 3, b"other");
        add(OWNER, KIND, &content);
        let (first, rest) = note(&bytes, None).unwrap();
        assert_eq!(first, None);
        let (second, rest) = note(rest, Some(0x5010)).unwrap();
        let expected = Usdt {
            provider: "web".into(),
            name: "request".into(),
            address: 0x1010,
            semaphore: 0x6010,
            arguments: "8@%rax".into(),
        };
        assert_eq!(second, Some(expected));
        assert!(rest.is_empty());
        // No cut of it is taken for a whole.
        let whole = bytes.len();
        for len in 1..whole {
            let complete = note(&bytes[..len], None).and_then(|(_, rest)| note(rest, None));
            let place = complete.and_then(|(place, _)| place);
            assert!(place.is_none() || len + 4 > whole, "{len}");
        }
    }
}
