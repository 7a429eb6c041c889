//! `%gr`: the kernel's page allocation flags by name, as the kernel's own `%pGg` shows them.
//!
//! The bits are those of `include/linux/gfp_types.h` (unchanged since 5.10 but for bits that came or went at the
//! end), the order that of `include/trace/events/mmflags.h`: combinations first, then what is left of them.

use super::number;

const HIGHMEM: u64 = 1 << 1;
const MOVABLE: u64 = 1 << 3;
const HIGH: u64 = 1 << 5;
const IO: u64 = 1 << 6;
const FS: u64 = 1 << 7;
const DIRECT_RECLAIM: u64 = 1 << 10;
const KSWAPD_RECLAIM: u64 = 1 << 11;
const NOWARN: u64 = 1 << 13;
const COMP: u64 = 1 << 18;
const NOMEMALLOC: u64 = 1 << 19;
const HARDWALL: u64 = 1 << 20;
const ACCOUNT: u64 = 1 << 22;
const SKIP_KASAN: u64 = 1 << 25;

const NOIO: u64 = DIRECT_RECLAIM | KSWAPD_RECLAIM;
const NOFS: u64 = NOIO | IO;
const KERNEL: u64 = NOFS | FS;
const USER: u64 = KERNEL | HARDWALL;
const HIGHUSER: u64 = USER | HIGHMEM;
const HIGHUSER_MOVABLE: u64 = HIGHUSER | MOVABLE | SKIP_KASAN;
const TRANSHUGE_LIGHT: u64 = (HIGHUSER_MOVABLE | COMP | NOMEMALLOC | NOWARN) & !NOIO;

const NAMES: &[(u64, &str)] = &[
    (TRANSHUGE_LIGHT | DIRECT_RECLAIM, "GFP_TRANSHUGE"),
    (TRANSHUGE_LIGHT, "GFP_TRANSHUGE_LIGHT"),
    (HIGHUSER_MOVABLE, "GFP_HIGHUSER_MOVABLE"),
    (HIGHUSER, "GFP_HIGHUSER"),
    (USER, "GFP_USER"),
    (KERNEL | ACCOUNT, "GFP_KERNEL_ACCOUNT"),
    (KERNEL, "GFP_KERNEL"),
    (NOFS, "GFP_NOFS"),
    (HIGH | KSWAPD_RECLAIM, "GFP_ATOMIC"),
    (NOIO, "GFP_NOIO"),
    (KSWAPD_RECLAIM | NOWARN, "GFP_NOWAIT"),
    (1, "GFP_DMA"),
    (HIGHMEM, "__GFP_HIGHMEM"),
    (1 << 2, "GFP_DMA32"),
    (HIGH, "__GFP_HIGH"),
    (IO, "__GFP_IO"),
    (FS, "__GFP_FS"),
    (1 << 8, "__GFP_ZERO"),
    (DIRECT_RECLAIM, "__GFP_DIRECT_RECLAIM"),
    (KSWAPD_RECLAIM, "__GFP_KSWAPD_RECLAIM"),
    (1 << 12, "__GFP_WRITE"),
    (NOWARN, "__GFP_NOWARN"),
    (1 << 14, "__GFP_RETRY_MAYFAIL"),
    (1 << 15, "__GFP_NOFAIL"),
    (1 << 16, "__GFP_NORETRY"),
    (1 << 17, "__GFP_MEMALLOC"),
    (COMP, "__GFP_COMP"),
    (NOMEMALLOC, "__GFP_NOMEMALLOC"),
    (HARDWALL, "__GFP_HARDWALL"),
    (1 << 21, "__GFP_THISNODE"),
    (ACCOUNT, "__GFP_ACCOUNT"),
    (MOVABLE, "__GFP_MOVABLE"),
    (1 << 4, "__GFP_RECLAIMABLE"),
    (1 << 23, "__GFP_ZEROTAGS"),
    (1 << 24, "__GFP_SKIP_ZERO"),
    (SKIP_KASAN, "__GFP_SKIP_KASAN"),
    (1 << 26, "__GFP_NO_OBJ_EXT"),
];

/// Appends the names of all bits, `0` for none; bits without a name in hex.
pub(super) fn flags(out: &mut Vec<u8>, mut flags: u64) {
    if flags == 0 {
        return out.push(b'0');
    }
    let start = out.len();
    let separate = |out: &mut Vec<u8>| {
        if out.len() > start {
            out.push(b'|');
        }
    };
    for (bits, name) in NAMES {
        if flags & bits == *bits {
            separate(out);
            out.extend_from_slice(name.as_bytes());
            flags &= !bits;
        }
    }
    if flags != 0 {
        separate(out);
        out.extend_from_slice(b"0x");
        number::hex(out, flags);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_before_single_bits() {
        for (value, text) in [
            (0, "0"),
            (1, "GFP_DMA"),
            (0xcc0, "GFP_KERNEL"),
            (0x400cc0, "GFP_KERNEL_ACCOUNT"),
            (0x820 | HIGHMEM, "GFP_ATOMIC|__GFP_HIGHMEM"),
            (IO | FS | DIRECT_RECLAIM, "__GFP_IO|__GFP_FS|__GFP_DIRECT_RECLAIM"),
            (0xcc0 | 1 << 40, "GFP_KERNEL|0x10000000000"),
        ] {
            let mut out = vec![];
            flags(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
