//! Limits of integers and names, and units.

use super::{Group, table};

pub(super) const LIMITS: &[Group] = table! {
    "linux/limits.h" Macro {
        CHAR_BIT = 8, SCHAR_MIN = -128, SCHAR_MAX = 127, UCHAR_MAX = 255, SHRT_MIN = -32768, SHRT_MAX = 32767,
        USHRT_MAX = 65535, INT_MIN = -0x80000000, INT_MAX = 0x7fffffff, UINT_MAX = 0xffffffff,
        LONG_MIN = -0x8000000000000000, LONG_MAX = 0x7fffffffffffffff, ULONG_MAX = 0xffffffffffffffff,
        LLONG_MIN = -0x8000000000000000, LLONG_MAX = 0x7fffffffffffffff, ULLONG_MAX = 0xffffffffffffffff,
        SSIZE_MAX = 0x7fffffffffffffff, SIZE_MAX = 0xffffffffffffffff, UINTPTR_MAX = 0xffffffffffffffff,
        S8_MIN = -0x80, S8_MAX = 0x7f, U8_MAX = 0xff, S16_MIN = -0x8000, S16_MAX = 0x7fff, U16_MAX = 0xffff,
        S32_MIN = -0x80000000, S32_MAX = 0x7fffffff, U32_MAX = 0xffffffff, S64_MIN = -0x8000000000000000,
        S64_MAX = 0x7fffffffffffffff, U64_MAX = 0xffffffffffffffff,
    }
    "stdint.h" Macro {
        INT8_MIN = -0x80, INT8_MAX = 0x7f, UINT8_MAX = 0xff, INT16_MIN = -0x8000, INT16_MAX = 0x7fff,
        UINT16_MAX = 0xffff, INT32_MIN = -0x80000000, INT32_MAX = 0x7fffffff, UINT32_MAX = 0xffffffff,
        INT64_MIN = -0x8000000000000000, INT64_MAX = 0x7fffffffffffffff, UINT64_MAX = 0xffffffffffffffff,
    }
    "linux/limits.h" Macro {
        NGROUPS_MAX = 65536, ARG_MAX = 131072, LINK_MAX = 127, NAME_MAX = 255, PATH_MAX = 4096,
        PIPE_BUF = 4096, XATTR_NAME_MAX = 255, XATTR_SIZE_MAX = 65536, XATTR_LIST_MAX = 65536,
    }
    "linux/uio.h" Macro {
        UIO_FASTIOV = 8, UIO_MAXIOV = 1024,
    }
    "linux/bits.h" Macro {
        BITS_PER_BYTE = 8, BITS_PER_LONG = 64, BITS_PER_LONG_LONG = 64,
    }
    "linux/time64.h" Macro {
        MSEC_PER_SEC = 1000, USEC_PER_MSEC = 1000, NSEC_PER_USEC = 1000, NSEC_PER_MSEC = 1000000,
        USEC_PER_SEC = 1000000, NSEC_PER_SEC = 1000000000, PSEC_PER_SEC = 1000000000000,
        FSEC_PER_SEC = 1000000000000000,
    }
    "linux/sizes.h" Macro {
        SZ_1 = 0x1, SZ_2 = 0x2, SZ_4 = 0x4, SZ_8 = 0x8, SZ_16 = 0x10, SZ_32 = 0x20, SZ_64 = 0x40,
        SZ_128 = 0x80, SZ_256 = 0x100, SZ_512 = 0x200, SZ_1K = 0x400, SZ_2K = 0x800, SZ_4K = 0x1000,
        SZ_8K = 0x2000, SZ_16K = 0x4000, SZ_32K = 0x8000, SZ_64K = 0x10000, SZ_128K = 0x20000,
        SZ_256K = 0x40000, SZ_512K = 0x80000, SZ_1M = 0x100000, SZ_2M = 0x200000, SZ_4M = 0x400000,
        SZ_8M = 0x800000, SZ_16M = 0x1000000, SZ_32M = 0x2000000, SZ_64M = 0x4000000, SZ_128M = 0x8000000,
        SZ_256M = 0x10000000, SZ_512M = 0x20000000, SZ_1G = 0x40000000, SZ_2G = 0x80000000,
        SZ_4G = 0x100000000, SZ_8G = 0x200000000, SZ_16G = 0x400000000, SZ_32G = 0x800000000,
    }
    "linux/stddef.h" Macro {
        NULL = 0,
    }
};
