//! Where a function's instructions begin. A uprobe anywhere else would overwrite the middle of one and crash the
//! program.

/// The instructions around an offset into a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// One begins there.
    Begins,
    /// The offset is in the middle of one: where that begins, and the next one.
    Inside { start: u64, next: u64 },
    /// The code before it cannot be told apart.
    Unknown,
}

/// Looks at the machine code of a function from its start.
pub fn around(code: &[u8], offset: u64) -> Around {
    if cfg!(target_arch = "aarch64") {
        let start = offset - offset % 4;
        return if start == offset { Around::Begins } else { Around::Inside { start, next: start + 4 } };
    }
    let mut at = 0u64;
    while at < offset {
        let rest = usize::try_from(at).ok().and_then(|at| code.get(at..)).unwrap_or_default();
        let Some(length) = x86_length(rest) else { return Around::Unknown };
        let next = at + length as u64;
        if next > offset {
            return Around::Inside { start: at, next };
        }
        at = next;
    }
    Around::Begins
}

/// What follows an opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operands {
    Invalid,
    /// Only so many bytes of immediate value.
    Immediate(usize),
    /// A ModRM byte, then so many bytes.
    ModRm(usize),
    /// `test` among its siblings: an immediate value if the ModRM byte's `reg` is 0 or 1.
    Test(usize),
}

/// The length of the x86-64 instruction at the start of the code: volume 2 of Intel's manual, chapter 2 and the opcode
/// maps of appendix A. `None` for what is no instruction there.
fn x86_length(code: &[u8]) -> Option<usize> {
    let byte = |at: usize| code.get(at).copied();
    let (mut at, mut word, mut short_address) = (0, false, false);
    loop {
        match byte(at)? {
            0x66 => word = true,
            0x67 => short_address = true,
            0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0xf0 | 0xf2 | 0xf3 => {}
            _ => break,
        }
        at += 1;
    }
    let mut wide = false;
    if let rex @ 0x40..=0x4f = byte(at)? {
        wide = rex & 8 != 0;
        at += 1;
    }
    let full = if word && !wide { 2 } else { 4 };
    let opcode = byte(at)?;
    at += 1;
    let operands = match opcode {
        0x0f => {
            let second = byte(at)?;
            at += 1;
            match second {
                0x38 | 0x3a => {
                    at += 1;
                    Operands::ModRm(usize::from(second == 0x3a))
                }
                _ => two_bytes(second),
            }
        }
        // VEX with two and three bytes, EVEX with four: the map of the opcode is in the second one.
        0xc5 => vector(1, byte(at + 1)?, &mut at, 2)?,
        0xc4 => vector(byte(at)? & 0x1f, byte(at + 2)?, &mut at, 3)?,
        0x62 => vector(byte(at)? & 0x07, byte(at + 3)?, &mut at, 4)?,
        _ => one_byte(opcode, full, wide, short_address),
    };
    let length = match operands {
        Operands::Invalid => return None,
        Operands::Immediate(size) => at + size,
        Operands::ModRm(size) => at + memory(code, at)? + size,
        Operands::Test(size) => {
            let immediate = if byte(at)? >> 3 & 7 < 2 { size } else { 0 };
            at + memory(code, at)? + immediate
        }
    };
    (length <= code.len().min(15)).then_some(length)
}

/// The ModRM byte with what it says about the address: SIB byte and displacement.
fn memory(code: &[u8], at: usize) -> Option<usize> {
    let modrm = *code.get(at)?;
    let (mode, rm) = (modrm >> 6, modrm & 7);
    if mode == 3 {
        return Some(1);
    }
    let sib = if rm == 4 { Some(*code.get(at + 1)?) } else { None };
    let base = sib.map_or(rm, |sib| sib & 7);
    let displacement = match mode {
        0 if base == 5 => 4,
        0 => 0,
        1 => 1,
        _ => 4,
    };
    Some(1 + usize::from(sib.is_some()) + displacement)
}

fn one_byte(opcode: u8, full: usize, wide: bool, short_address: bool) -> Operands {
    use Operands::*;
    match opcode {
        0x00..=0x3f => match opcode & 7 {
            0..=3 => ModRm(0),
            4 => Immediate(1),
            5 => Immediate(full),
            _ => Invalid,
        },
        0x50..=0x5f | 0x6c..=0x6f | 0x90..=0x99 | 0x9b..=0x9f | 0xa4..=0xa7 | 0xaa..=0xaf => Immediate(0),
        0x63 | 0x84..=0x8f | 0xd0..=0xd3 | 0xd8..=0xdf | 0xfe | 0xff => ModRm(0),
        0x68 | 0xa9 => Immediate(full),
        0x69 | 0x81 | 0xc7 => ModRm(full),
        0x6a | 0x70..=0x7f | 0xa8 | 0xb0..=0xb7 | 0xcd | 0xe0..=0xe7 | 0xeb => Immediate(1),
        0x6b | 0x80 | 0x83 | 0xc0 | 0xc1 | 0xc6 => ModRm(1),
        0xa0..=0xa3 => Immediate(if short_address { 4 } else { 8 }),
        0xb8..=0xbf => Immediate(if wide { 8 } else { full }),
        0xc2 | 0xca => Immediate(2),
        0xc8 => Immediate(3),
        0xc3 | 0xc9 | 0xcb | 0xcc | 0xcf | 0xd7 | 0xec..=0xef | 0xf1 | 0xf4 | 0xf5 | 0xf8..=0xfd => {
            Immediate(0)
        }
        0xe8 | 0xe9 => Immediate(4),
        0xf6 => Test(1),
        0xf7 => Test(full),
        _ => Invalid,
    }
}

/// After `0f`.
fn two_bytes(opcode: u8) -> Operands {
    use Operands::*;
    match opcode {
        0x05..=0x09 | 0x0b | 0x0e | 0x30..=0x35 | 0x37 | 0x77 | 0xa0..=0xa2 | 0xa8..=0xaa | 0xc8..=0xcf => {
            Immediate(0)
        }
        0x80..=0x8f => Immediate(4),
        0x0f | 0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6 => ModRm(1),
        0x04 | 0x0a | 0x0c | 0x24..=0x27 | 0x36 | 0x39 | 0x3b..=0x3f | 0xa6 | 0xa7 => Invalid,
        _ => ModRm(0),
    }
}

/// After a vector prefix, of which `size` bytes follow the first, the opcode being the last of them.
fn vector(map: u8, opcode: u8, at: &mut usize, size: usize) -> Option<Operands> {
    *at += size;
    match (map, opcode) {
        (1, 0x77) => Some(Operands::Immediate(0)),
        (1, 0x70..=0x73 | 0xc2 | 0xc4..=0xc6) | (3, _) => Some(Operands::ModRm(1)),
        (1 | 2 | 5 | 6, _) => Some(Operands::ModRm(0)),
        _ => None,
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_instructions() {
        for (code, name) in [
            (&[0x55][..], "push rbp"),
            (&[0xf3, 0x0f, 0x1e, 0xfa], "endbr64"),
            (&[0x48, 0x89, 0xe5], "mov rbp, rsp"),
            (&[0x48, 0x83, 0xec, 0x20], "sub rsp, 0x20"),
            (&[0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8], "movabs rax"),
            (&[0x8b, 0x44, 0x24, 0x08], "mov eax, [rsp+8]"),
            (&[0x48, 0x8d, 0x05, 0, 0, 0, 0], "lea rax, [rip]"),
            (&[0x8b, 0x04, 0x25, 0, 0, 0, 0], "mov eax, [0]"),
            (&[0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0], "nopw cs:[rax+rax]"),
            (&[0x66, 0xc7, 0x00, 1, 2], "movw [rax], imm16"),
            (&[0xf6, 0xc1, 1], "test cl, 1"),
            (&[0xf7, 0xd8], "neg eax"),
            (&[0xe8, 0, 0, 0, 0], "call"),
            (&[0x0f, 0x84, 0, 0, 0, 0], "je"),
            (&[0xc5, 0xf8, 0x77], "vzeroupper"),
            (&[0xc4, 0xe3, 0x7d, 0x39, 0xc1, 1], "vextracti128"),
            (&[0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x07], "vmovdqu64 zmm0, [rdi]"),
            (&[0x66, 0x0f, 0x3a, 0x0f, 0xc1, 8], "palignr"),
        ] {
            let mut padded = code.to_vec();
            padded.extend([0x90; 8]);
            assert_eq!(x86_length(&padded), Some(code.len()), "{name}");
            assert_eq!(x86_length(&code[..code.len() - 1]), None, "{name}, cut short");
        }
        assert_eq!(x86_length(&[0x06, 0x90]), None, "not in 64-bit mode");
        assert_eq!(x86_length(&[0x66; 16]), None);
        assert_eq!(x86_length(&[]), None);
    }

    #[test]
    fn offsets_are_at_instructions_or_inside() {
        // push rbp; mov rbp, rsp; sub rsp, 0x20; an opcode that is none
        let code = [0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x20, 0x06];
        for (offset, expected) in [
            (0, Around::Begins),
            (1, Around::Begins),
            (2, Around::Inside { start: 1, next: 4 }),
            (4, Around::Begins),
            (7, Around::Inside { start: 4, next: 8 }),
            (8, Around::Begins),
            (9, Around::Unknown),
            (100, Around::Unknown),
        ] {
            assert_eq!(around(&code, offset), expected, "{offset}");
        }
    }

    /// All instructions of a library against a disassembler's opinion.
    #[test]
    fn lengths_as_objdump_sees_them() {
        let libc = crate::process::files::Places::default().find("libc");
        let Some(path) = libc.first() else { return crate::testing::skip("libc", "no libc to disassemble") };
        let run = std::process::Command::new("objdump").args(["-d", "-w"]).arg(path).output();
        let Ok(output) = run else { return crate::testing::skip("objdump", "no objdump") };
        let text = String::from_utf8_lossy(&output.stdout);
        let (mut seen, mut wrong) = (0, vec![]);
        for line in text.lines() {
            // `   27b8e:	48 8d 05 1b 3c 19 00 	lea    0x193c1b(%rip),%rax`
            let mut columns = line.split('\t');
            let (Some(_), Some(bytes), Some(name)) = (columns.next(), columns.next(), columns.next()) else {
                continue;
            };
            let bytes: Vec<u8> =
                bytes.split(' ').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
            if bytes.is_empty() || name.contains("(bad)") {
                continue;
            }
            seen += 1;
            let mut padded = bytes.clone();
            padded.extend([0x90; 15]);
            if x86_length(&padded) != Some(bytes.len()) {
                wrong.push(format!("{line}: {:?}", x86_length(&padded)));
            }
        }
        assert!(seen > 10_000, "{seen}");
        assert!(wrong.is_empty(), "{} of {seen}: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    }
}
