//! Where the machine's calling convention puts what probes read: offsets in `struct pt_regs`, in bytes.
//!
//! Sources: the kernel's `arch/*/include/uapi/asm/ptrace.h` and the System V and AAPCS64 calling conventions.

/// One architecture's registers as the kernel saves them.
pub struct Arch {
    /// `uname -m`
    pub name: &'static str,
    /// By the names of `reg("…")`.
    pub registers: &'static [(&'static str, u32)],
    /// The registers of a function's first arguments, in order.
    pub arguments: &'static [u32],
    /// Where the first argument that is on the stack lies above the stack pointer at a function's entry.
    pub stack_arguments: u32,
    pub result: u32,
    pub ip: u32,
    pub sp: u32,
}

impl Arch {
    /// The machine that this program was built for, which is the one it traces.
    pub const HOST: &Arch = if cfg!(target_arch = "aarch64") { &ARM64 } else { &X86_64 };

    /// The offset of a register, by its name in `reg("…")`.
    pub fn register(&self, name: &str) -> Option<u32> {
        self.registers.iter().find(|(own, _)| *own == name).map(|&(_, offset)| offset)
    }
}

const X86_64: Arch = Arch {
    name: "x86_64",
    registers: &[
        ("r15", 0),
        ("r14", 8),
        ("r13", 16),
        ("r12", 24),
        ("bp", 32),
        ("bx", 40),
        ("r11", 48),
        ("r10", 56),
        ("r9", 64),
        ("r8", 72),
        ("ax", 80),
        ("cx", 88),
        ("dx", 96),
        ("si", 104),
        ("di", 112),
        ("orig_rax", 120),
        ("ip", 128),
        ("pc", 128),
        ("cs", 136),
        ("flags", 144),
        ("sp", 152),
        ("ss", 160),
    ],
    arguments: &[112, 104, 96, 88, 72, 64],
    // Above the return address.
    stack_arguments: 8,
    result: 80,
    ip: 128,
    sp: 152,
};

const ARM64: Arch = Arch {
    name: "aarch64",
    registers: &[
        ("r0", 0),
        ("r1", 8),
        ("r2", 16),
        ("r3", 24),
        ("r4", 32),
        ("r5", 40),
        ("r6", 48),
        ("r7", 56),
        ("r8", 64),
        ("r9", 72),
        ("r10", 80),
        ("r11", 88),
        ("r12", 96),
        ("r13", 104),
        ("r14", 112),
        ("r15", 120),
        ("r16", 128),
        ("r17", 136),
        ("r18", 144),
        ("r19", 152),
        ("r20", 160),
        ("r21", 168),
        ("r22", 176),
        ("r23", 184),
        ("r24", 192),
        ("r25", 200),
        ("r26", 208),
        ("r27", 216),
        ("r28", 224),
        ("r29", 232),
        ("r30", 240),
        ("sp", 248),
        ("pc", 256),
        ("pstate", 264),
        ("ip", 256),
        ("lr", 240),
        ("fp", 232),
    ],
    arguments: &[0, 8, 16, 24, 32, 40, 48, 56],
    stack_arguments: 0,
    result: 0,
    ip: 256,
    sp: 248,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_have_names() {
        assert_eq!(X86_64.register("ip"), Some(128));
        assert_eq!(ARM64.register("sp"), Some(248));
        assert_eq!(X86_64.register("x0"), None);
        assert_eq!(X86_64.register("di"), Some(X86_64.arguments[0]));
    }

    #[test]
    fn offsets_are_those_of_the_c_library() {
        // `user_regs_struct` begins as `pt_regs` does.
        #[cfg(target_arch = "x86_64")]
        {
            use std::mem::offset_of;
            assert_eq!(X86_64.ip as usize, offset_of!(libc::user_regs_struct, rip));
            assert_eq!(X86_64.sp as usize, offset_of!(libc::user_regs_struct, rsp));
            assert_eq!(X86_64.result as usize, offset_of!(libc::user_regs_struct, rax));
            assert_eq!(X86_64.arguments[3] as usize, offset_of!(libc::user_regs_struct, rcx));
        }
    }
}
