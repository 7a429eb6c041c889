//! The table of config variables.

use super::{CacheUserSymbols, Config, MAX_VALUE, Missing, Unstable};
use crate::syntax::literal;
use crate::types::StackMode;

/// One config variable.
#[derive(Debug)]
pub struct Variable {
    pub name: &'static str,
    /// What it was called before, newest first.
    pub older: &'static [Older],
    /// What may be written, for messages and the manual.
    pub expects: &'static str,
    /// What it does, in Markdown.
    pub doc: &'static str,
    /// Sets it from its text; `None` for one that it does not take.
    pub set: fn(&mut Config, &str) -> Option<()>,
    /// The text that would set it to what it is; what stands for a value that no text sets.
    pub get: fn(&Config) -> String,
}

/// An older name of a variable.
#[derive(Debug)]
pub struct Older {
    pub name: &'static str,
    /// It said the opposite of what the variable says today.
    pub inverse: bool,
}

/// A variable that has no effect any more.
#[derive(Debug)]
pub struct Retired {
    pub name: &'static str,
    pub why: &'static str,
}

/// What only the environment can say.
#[derive(Debug)]
pub struct EnvironmentOnly {
    /// As it is written there.
    pub name: &'static str,
    /// What it does, in Markdown.
    pub doc: &'static str,
}

/// Any of the ways to write a number in a script, without its sign.
fn number(text: &str) -> Option<u64> {
    literal::int(text.trim()).ok()
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" => Some(true),
        "0" | "false" | "off" | "no" => Some(false),
        _ => None,
    }
}

impl Unstable {
    fn from_text(text: &str) -> Option<Unstable> {
        match (text.to_ascii_lowercase().as_str(), boolean(text)) {
            ("enable", _) | (_, Some(true)) => Some(Unstable::Enable),
            ("error", _) | (_, Some(false)) => Some(Unstable::Error),
            ("warn", _) => Some(Unstable::Warn),
            _ => None,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Unstable::Enable => "enable",
            Unstable::Warn => "warn",
            Unstable::Error => "error",
        }
    }
}

/// The licenses that open all helpers to a program: `license_is_gpl_compatible` of the kernel's
/// `include/linux/license.h`.
const LICENSES: &[&str] =
    &["Dual MIT/GPL", "Dual BSD/GPL", "Dual MPL/GPL", "GPL and additional rights", "GPL v2", "GPL"];

const BOOLEAN: &str = "true or false";
const UNSTABLE: &str = "enable, warn or error";

const fn renamed(name: &'static str) -> Older {
    Older { name, inverse: false }
}

const fn opposite(name: &'static str) -> Older {
    Older { name, inverse: true }
}

macro_rules! variables {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident $([$($older:expr),+])?: $expects:expr;
        set |$value:ident| $parse:expr;
        get |$field:ident| $show:expr;
    )*) => {
        &[$(Variable {
            name: stringify!($name),
            older: &[$($($older),+)?],
            expects: $expects,
            doc: concat!($($doc, "\n"),+),
            set: |config, $value| {
                config.$name = $parse;
                Some(())
            },
            get: |config| {
                let $field = &config.$name;
                $show.to_string()
            },
        }),*]
    };
}

/// All of them, by name.
pub const VARIABLES: &[Variable] = variables! {
    /// What is remembered of processes, so that addresses of one that has ended still have names.
    ///
    /// With `NONE` only the process that is traced (`-c`, `-p`) is remembered, which needs least memory and makes
    /// stacks slower to print. `PER_PID` remembers every process's mappings. Symbol tables belong to files and are
    /// shared by all processes that map them, so `PER_PROGRAM`, which in other versions saves memory and gives wrong
    /// names where addresses are randomized, does the same here as `PER_PID`, and so does the default.
    cache_user_symbols [opposite("no_user_symbols")]: "PER_PID, PER_PROGRAM or NONE";
    set |v| match (v.to_ascii_lowercase().as_str(), boolean(v)) {
        ("per_pid", _) => CacheUserSymbols::PerPid,
        ("per_program", _) => CacheUserSymbols::PerProgram,
        ("none", _) | (_, Some(false)) => CacheUserSymbols::None,
        (_, Some(true)) => CacheUserSymbols::Auto,
        _ => return None,
    };
    get |f| match f {
        CacheUserSymbols::Auto => "1",
        CacheUserSymbols::PerPid => "PER_PID",
        CacheUserSymbols::PerProgram => "PER_PROGRAM",
        CacheUserSymbols::None => "NONE",
    };

    /// Whether the names of C++ and Rust functions in user stacks are shown as they were written in the source.
    cpp_demangle [opposite("no_cpp_demangle")]: BOOLEAN;
    set |v| boolean(v)?;
    get |f| f;

    /// When it is found out what processes have mapped, for their symbols.
    ///
    /// With `false` the kernel tells it while they run, so that the stacks of a process that has ended, or executes
    /// another program, have names. With `true` a process is looked at when the first of its addresses is printed,
    /// which costs nothing before and finds no names once it is gone. Only scripts that print user stacks or symbols
    /// do either.
    lazy_symbolication: BOOLEAN;
    set |v| boolean(v)?;
    get |f| f;

    /// The license of the program, which the kernel asks for: most helper functions are only for those under the
    /// GPL.
    license: "Dual MIT/GPL, Dual BSD/GPL, Dual MPL/GPL, GPL and additional rights, GPL v2, GPL";
    set |v| LICENSES.iter().find(|l| **l == v)?.to_string();
    get |f| f;

    /// How many bytes of the verifier's log are shown when it refuses a program and `-v` asks for its log. They are
    /// the last ones, where the reason is. The log itself is always complete.
    log_size: "a number of bytes";
    set |v| number(v)?;
    get |f| f;

    /// How many BPF programs may be generated. Wildcards need one for each match where the kernel cannot attach one
    /// program to many places or where each sees other arguments.
    max_bpf_progs: "a number";
    set |v| number(v)?;
    get |f| f;

    /// How much of a file `cat` prints at most.
    max_cat_bytes [renamed("cat_bytes_max")]: "a number of bytes";
    set |v| number(v)?;
    get |f| f;

    /// How many keys a map can have. A map that is declared (`let @m = hash(100);`) has a limit of its own.
    ///
    /// When a map is full, further keys are lost, which is counted and reported. Small maps take their memory when
    /// the script starts.
    max_map_keys [renamed("map_keys_max")]: "a number from 1 to 4294967295";
    set |v| number(v).filter(|n| (1..=u32::MAX.into()).contains(n))?;
    get |f| f;

    /// How many probes a script may attach. A high number costs time at the start, memory, and with frequent
    /// probes the machine's speed.
    max_probes: "a number";
    set |v| number(v)?;
    get |f| f;

    /// How long strings are at most, in bytes without the NUL at their end, where the script does not say it: those that
    /// `str` and `path` read.
    /// `buf` reads at most so many bytes.
    ///
    /// What is longer is cut, and shown with `str_trunc_trailer` behind it.
    ///
    /// Long strings do not live on the BPF stack, so that they may be much longer than it; each costs memory for
    /// every CPU and, as a key or value of a map, for every key. Before Linux 5.11, where the keys of maps have at
    /// most 512 bytes, the default is 240.
    max_strlen [renamed("strlen")]: "a number of bytes from 1 to 16777216";
    set |v| number(v).filter(|n| (1..=MAX_VALUE).contains(n))?;
    get |f| f;

    /// What becomes of a probe that cannot be attached, because it is not there (the function, its module or the
    /// whole program) or the kernel refuses it: `error` ends the script, `warn` goes on without it and says so,
    /// `ignore` goes on in silence. If nothing at all is left to attach, the script ends in any case. What is written
    /// wrong is always an error.
    missing_probes: "error, warn or ignore";
    set |v| match v.to_ascii_lowercase().as_str() {
        "error" => Missing::Error,
        "warn" => Missing::Warn,
        "ignore" => Missing::Ignore,
        _ => return None,
    };
    get |f| match f {
        Missing::Error => "error",
        Missing::Warn => "warn",
        Missing::Ignore => "ignore",
    };

    /// Values up to this size are kept on the BPF stack, which is 512 bytes; larger ones, and all that do not fit
    /// there any more, in memory of their own for each CPU. A script never runs out of stack, so there is hardly a
    /// reason to change it.
    on_stack_limit: "a number of bytes";
    set |v| number(v)?;
    get |f| f;

    /// The size of the ring buffer in pages, rounded up to a power of two and to a page for each CPU. Raise it when
    /// events are lost.
    ///
    /// By default 64 pages of 4 KiB, and for scripts that print at frequent probes a 512th of the memory, 4096 pages
    /// at most. Packets of `skboutput` have buffers of their own, which this sizes too: together they are as large.
    perf_rb_pages: "a number of pages";
    set |v| Some(number(v)?);
    get |f| f.map_or("by the machine's memory".to_owned(), |n| n.to_string());

    /// Whether maps are printed when the script ends.
    print_maps_on_exit: BOOLEAN;
    set |v| boolean(v)?;
    get |f| f;

    /// Whether user stacks show the source's file and line, and the functions that were inlined, where debug
    /// information has them. Reading it takes time and memory.
    show_debug_info: BOOLEAN;
    set |v| boolean(v)?;
    get |f| f;

    /// How `kstack` and `ustack` print where they do not say it themselves:
    ///
    /// * `bpftrace`: the function and the offset in it, `do_mmap+1`
    /// * `perf`: the address before, the module after, as `perf script` has it
    /// * `raw`: the address alone
    /// * `build_id`: the file's build ID and the offset in it; `ustack` only, `kstack` is then `raw`
    stack_mode: "bpftrace, perf, raw or build_id";
    set |v| StackMode::from_name(&v.to_ascii_lowercase())?;
    get |f| f.name();

    /// What is printed after a string that was too long. `""` for nothing.
    str_trunc_trailer: "a text";
    set |v| v.into();
    get |f| f;

    /// Whether a script may use `dw_ustack`, which this version does not have yet.
    unstable_dw_ustack: UNSTABLE;
    set |v| Unstable::from_text(v)?;
    get |f| f.text();

    /// Whether a script may use `tseries`.
    unstable_tseries: UNSTABLE;
    set |v| Unstable::from_text(v)?;
    get |f| f.text();

    /// Whether a script may use `typeinfo`.
    unstable_typeinfo: UNSTABLE;
    set |v| Unstable::from_text(v)?;
    get |f| f.text();
};

/// Names that scripts and environments still have.
pub(super) const RETIRED: &[Retired] = &[
    Retired { name: "debug_output", why: "what goes wrong is reported where it does" },
    Retired {
        name: "max_ast_nodes",
        why: "what macros and `#define`s may become is limited by what memory it needs",
    },
    Retired {
        name: "max_type_res_iterations",
        why: "types are inferred until nothing changes, which needs no limit",
    },
    Retired {
        name: "node_max",
        why: "what macros and `#define`s may become is limited by what memory it needs",
    },
    Retired {
        name: "symbol_source",
        why: "functions are found in symbol tables, and their arguments in debug information",
    },
    Retired { name: "unstable_addr", why: "the address-of operator is part of the language" },
    Retired { name: "unstable_import", why: "imports are part of the language" },
    Retired {
        name: "unstable_import_statement",
        why: "imports stand at the top of a script: in blocks only other versions' own library has them",
    },
    Retired { name: "unstable_macro", why: "macros are part of the language" },
    Retired { name: "unstable_map_decl", why: "map declarations are part of the language" },
    Retired { name: "use_blazesym", why: "blazesym is the only symbolizer of this build" },
];

/// What is no config variable, because it is needed before the script is read.
pub const ENVIRONMENT: &[EnvironmentOnly] = &[
    EnvironmentOnly {
        name: "BPFTRACE_BTF",
        doc: "A file with the kernel's types in BTF, in place of `/sys/kernel/btf/vmlinux`.",
    },
    EnvironmentOnly {
        name: "BPFTRACE_CLANG",
        doc: "The compiler for imported `.bpf.c` files, by its path or its name, in place of the `clang` that is found.",
    },
    EnvironmentOnly {
        name: "BPFTRACE_COLOR",
        doc: "Whether messages have colors: `always`, `never`, or `auto`, which is for terminals. `NO_COLOR` is \
              heard too.",
    },
    EnvironmentOnly {
        name: "BPFTRACE_DUMMY_TS_MAP",
        doc: "For tests: a map of the script (`@time`) with the nanoseconds that `tseries` takes for the time.",
    },
    EnvironmentOnly {
        name: "BPFTRACE_KERNEL_BUILD",
        doc: "Where the kernel was built, if that is not where its source is: generated headers are looked for \
              there.",
    },
    EnvironmentOnly {
        name: "BPFTRACE_KERNEL_SOURCE",
        doc: "Where the kernel's headers are, in place of `/lib/modules/$(uname -r)`. Only scripts with `#include` read any, and\n\
              only for what BTF does not have.",
    },
    EnvironmentOnly { name: "BPFTRACE_VERIFY_LLVM_IR", doc: "Set to anything, it is `--verify-llvm-ir`." },
    EnvironmentOnly {
        name: "BPFTRACE_VMLINUX",
        doc: "Accepted and not needed: other versions read the kernel's symbols from this file for probes at an offset\n\
              in a function. Here they come from the running kernel.",
    },
    EnvironmentOnly {
        name: "CPATH",
        doc: "Directories in which headers are looked for, separated by colons, after those of `-I`.",
    },
    EnvironmentOnly { name: "C_INCLUDE_PATH", doc: "More of them, after those of `CPATH`." },
    EnvironmentOnly {
        name: "LIBCLANG_PATH",
        doc: "The libclang that reads headers, or its directory, in place of the one that is found.",
    },
];
