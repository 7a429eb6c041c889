//! Well-known macros with parameters, of headers that need not be there. Each is written anew here, for scripts: their
//! arguments are values of any integer type.

/// Name, header, and what a `#define` would have.
const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("KERNEL_VERSION", "linux/version.h", "(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))"),
    ("MAJOR", "linux/kdev_t.h", "(dev) ((uint32)((dev) >> 20))"),
    ("MINOR", "linux/kdev_t.h", "(dev) ((uint32)((dev) & 0xfffff))"),
    ("MKDEV", "linux/kdev_t.h", "(major, minor) (((major) << 20) | (minor))"),
    ("S_ISLNK", "linux/stat.h", "(mode) (((mode) & 0xf000) == 0xa000)"),
    ("S_ISREG", "linux/stat.h", "(mode) (((mode) & 0xf000) == 0x8000)"),
    ("S_ISDIR", "linux/stat.h", "(mode) (((mode) & 0xf000) == 0x4000)"),
    ("S_ISCHR", "linux/stat.h", "(mode) (((mode) & 0xf000) == 0x2000)"),
    ("S_ISBLK", "linux/stat.h", "(mode) (((mode) & 0xf000) == 0x6000)"),
    ("S_ISFIFO", "linux/stat.h", "(mode) (((mode) & 0xf000) == 0x1000)"),
    ("S_ISSOCK", "linux/stat.h", "(mode) (((mode) & 0xf000) == 0xc000)"),
    ("BIT", "linux/bits.h", "(n) ((uint64)1 << (n))"),
    ("BIT_ULL", "linux/bits.h", "(n) ((uint64)1 << (n))"),
    ("DIV_ROUND_UP", "linux/math.h", "(n, d) (((n) + (d) - 1) / (d))"),
    ("READ_ONCE", "asm/rwonce.h", "(x) (x)"),
    ("likely", "linux/compiler.h", "(x) (x)"),
    ("unlikely", "linux/compiler.h", "(x) (x)"),
    ("IS_ERR", "linux/err.h", "(pointer) ((uint64)(pointer) >= (uint64)-4095)"),
    ("IS_ERR_VALUE", "linux/err.h", "(value) ((uint64)(value) >= (uint64)-4095)"),
    ("IS_ERR_OR_NULL", "linux/err.h", "(pointer) ((pointer) == 0 || (uint64)(pointer) >= (uint64)-4095)"),
    ("PTR_ERR", "linux/err.h", "(pointer) ((int64)(pointer))"),
    ("WIFEXITED", "sys/wait.h", "(status) (((status) & 0x7f) == 0)"),
    ("WEXITSTATUS", "sys/wait.h", "(status) (((status) >> 8) & 0xff)"),
    ("WIFSIGNALED", "sys/wait.h", "(status) (((status) & 0x7f) != 0 && ((status) & 0x7f) != 0x7f)"),
    ("WTERMSIG", "sys/wait.h", "(status) ((status) & 0x7f)"),
];

/// The header of such a macro, and its text from the name on.
pub fn lookup(name: &str) -> Option<(&'static str, String)> {
    let (name, header, text) = FUNCTIONS.iter().find(|(known, ..)| *known == name)?;
    Some((header, format!("{name}{text}")))
}
