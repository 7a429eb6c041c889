//! What only the machine knows: builtins, memory, stacks, symbols. Each is a template with a `#` for each argument.

use crate::ast::{Expr, I64, Int, Kind, Stmt, Ty, U64};
use crate::make::{Maker, readable};

const U8: Ty = Ty::Int(Int::U8);
const U16: Ty = Ty::Int(Int::U16);
const U32: Ty = Ty::Int(Int::U32);
const I8: Ty = Ty::Int(Int::I8);
const I32: Ty = Ty::Int(Int::I32);

/// A template, the types of its arguments and its own. Where the argument is a string, it is a literal of that size.
pub type Template = (&'static str, &'static [Ty], Ty);

const NUMBERS: &[Template] = &[
    ("pid", &[], U32),
    ("tid", &[], U32),
    ("uid", &[], U64),
    ("gid", &[], U64),
    ("nsecs", &[], U64),
    ("nsecs(monotonic)", &[], U64),
    ("elapsed", &[], U64),
    ("jiffies", &[], U64),
    ("cpu", &[], U64),
    ("ncpus", &[], U64),
    ("numaid", &[], U32),
    ("rand", &[], U32),
    ("cgroup", &[], U64),
    ("ppid", &[], U32),
    ("curtask.pid", &[], I32),
    ("curtask->parent->tgid", &[], I32),
    ("curtask.start_time", &[], U64),
    ("curtask.se.vruntime", &[], U64),
    ("(uint64)curtask", &[], U64),
    ("(uint32)sizeof(struct task_struct)", &[], U32),
    ("(uint64)offsetof(struct task_struct, comm)", &[], U64),
    ("*(uint32 *)(#)", &[U64], U32),
    ("*(int8 *)(#)", &[U64], I8),
    ("*kptr((uint16 *)(#))", &[U64], U16),
    ("*uptr((uint16 *)(#))", &[U64], U16),
    ("((uint16 *)(#))[#]", &[U64, U8], U16),
    ("((uint8[8])(#))[# % 8]", &[U64, U8], U8),
    ("((uint16[2])(#))[1]", &[U32], U16),
    ("comm[# % 18]", &[U8], I8),
    ("len(kstack)", &[], I64),
    ("len(ustack(3))", &[], I64),
    ("strncmp(comm, #, 5)", &[Ty::Str(7)], U64),
    ("((struct generated *)(#)).a", &[U64], I8),
    ("((struct generated *)(#)).inner.c", &[U64], U16),
    ("((struct generated *)(#)).array[# % 7]", &[U64, U8], U32),
    ("((struct generated *)(#)).next.next.a", &[U64], I8),
    ("(uint64)((struct generated *)(#)).bits", &[U64], U64),
    ("(int64)((enum letters)1)", &[], I64),
    ("(uint64)((uint32 *)(#) + 3)", &[U64], U64),
    ("bswap(*(uint64 *)(#))", &[U64], U64),
];

const BOOLS: &[Template] = &[
    ("is_err(#)", &[U64], Ty::Bool),
    ("((uint8 *)(#) == (uint8 *)(#))", &[U64, U64], Ty::Bool),
    ("((void *)(#) != 0)", &[U64], Ty::Bool),
    ("(comm == pcomm)", &[], Ty::Bool),
    ("((uint8[4])(#) == (uint8[4])(#))", &[U32, U32], Ty::Bool),
    ("(ntop(#) == ntop(#))", &[U32, U32], Ty::Bool),
    ("(curtask ? true : false)", &[], Ty::Bool),
];

/// Strings, whose size the last word is; 0 for `max_strlen` characters and the NUL.
const STRINGS: &[(&str, &[Ty], u32)] = &[
    ("comm", &[], 16),
    ("pcomm", &[], 16),
    ("curtask.comm", &[], 17),
    ("curtask.group_leader.comm", &[], 17),
    ("strerror(#)", &[I32], 64),
    ("signal_name(#)", &[U32], 64),
    ("syscall_name(#)", &[U64], 64),
    ("str(#)", &[U64], 0),
    ("str(kptr(#))", &[U64], 0),
    ("str(#, #)", &[U64, U16], 0),
    ("str(#, 10)", &[U64], 10),
    ("((struct generated *)(#)).text", &[U64], 8),
];

/// Values that are only kept and printed: a name for their type, and whether a map can have it as its key.
const OTHERS: &[(&str, &[Ty], bool)] = &[
    ("kstack", &[], true),
    ("ustack", &[], true),
    ("kstack(3)", &[], true),
    ("kstack(perf)", &[], true),
    ("ustack(perf, 5)", &[], true),
    ("kstack(raw, 4)", &[], true),
    ("ksym(#)", &[U64], true),
    ("usym(#)", &[U64], true),
    ("ntop(#)", &[U32], true),
    ("ntop(10, pton(\"::1\"))", &[], true),
    ("macaddr(#)", &[U64], true),
    ("buf(#, 8)", &[U64], true),
    ("buf(#, #)", &[U64, U16], true),
    ("strftime(\"%H:%M\", # + 1)", &[U64], true),
    ("username", &[], true),
    ("cgroup_path(#)", &[U64], true),
    ("probe", &[], true),
    ("pton(\"1.2.3.4\")", &[], true),
    ("(uint8[8])(#)", &[U64], true),
    ("curtask", &[], true),
    ("(struct file *)(#)", &[U64], true),
    ("*(struct generated *)(#)", &[U64], true),
    ("((struct generated *)(#)).array", &[U64], true),
    ("((struct generated *)(#)).inner", &[U64], true),
    ("(enum letters)1", &[], true),
    ("(uint8 *)(#)", &[U64], true),
    ("(curtask, ksym(#))", &[U64], true),
    ("(a = ustack(2), b = comm)", &[], false),
];

pub fn definitions() -> Vec<String> {
    [
        "enum letters { LETTER_A, LETTER_B = 1, LETTER_C = 70000 };",
        "struct inner { unsigned char b; unsigned short c; };",
        "struct generated { char a; struct inner inner; unsigned int array[5]; char text[7]; struct generated *next; \
         unsigned long bits : 5; unsigned long more : 40; };",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn filled(maker: &mut Maker, template: &str, types: &[Ty], ty: &Ty) -> Expr {
    let arg = |of: &Ty| match of {
        Ty::Str(size) => Expr::new(Kind::Text(maker.text(*size as usize - 1)), of.clone()),
        _ => maker.expr(of, 1),
    };
    let args = types.iter().map(arg).collect();
    Expr::new(Kind::Opaque(template.to_owned(), args), ty.clone())
}

/// Something of that type.
pub fn value(maker: &mut Maker, ty: &Ty) -> Option<Expr> {
    match ty {
        Ty::Int(_) => {
            let own = maker.arguments;
            let known = if !own.is_empty() && maker.random.once_in(3) { own } else { NUMBERS };
            let (template, types, own) = maker.random.pick(known).clone();
            // An iterator runs in the process that reads it.
            if maker.iterator && template.contains("ustack") {
                return None;
            }
            let made = filled(maker, template, types, &own);
            Some(if own == *ty { made } else { made.cast(ty) })
        }
        Ty::Bool => {
            let (template, types, own) = maker.random.pick(BOOLS).clone();
            Some(filled(maker, template, types, &own))
        }
        Ty::Str(size) => {
            let longest = maker.max_strlen;
            let fits: Vec<_> = STRINGS
                .iter()
                .map(|(template, types, len)| {
                    (*template, *types, if *len == 0 { longest + 1 } else { (*len).min(longest) })
                })
                .filter(|(.., len)| *len <= *size)
                .collect();
            let (template, types, len) =
                if fits.is_empty() { return None } else { *maker.random.pick(&fits) };
            let made = filled(maker, template, types, &Ty::Str(len));
            Some(if len == *size { made } else { made.cast(ty) })
        }
        Ty::Other(name) => Some(other(maker, name)),
        Ty::Tuple(_) | Ty::Record(_) => None,
    }
}

/// A value of a type that only its template names.
pub fn other(maker: &mut Maker, name: &str) -> Expr {
    let types = OTHERS.iter().find(|(template, ..)| *template == name).map_or(&[][..], |(_, types, _)| types);
    filled(maker, name, types, &Ty::Other(name.to_owned()))
}

/// The name of a type that variables and maps can hold.
pub fn storable(maker: &mut Maker) -> &'static str {
    maker.random.pick(OTHERS).0
}

/// The name of a type that keys can have.
pub fn key(maker: &mut Maker) -> &'static str {
    let keys: Vec<&str> = OTHERS.iter().filter(|(_, _, key)| *key).map(|(name, ..)| *name).collect();
    maker.random.pick::<&str>(&keys)
}

/// A probe's place, and what its program sees there.
pub struct Place {
    pub attach: String,
    pub arguments: &'static [Template],
    pub iterator: bool,
}

impl Place {
    pub fn plain(attach: &str) -> Place {
        Place { attach: attach.to_owned(), arguments: &[], iterator: false }
    }
}

/// A test of its own, which has a result.
pub fn test(number: usize) -> Place {
    Place::plain(&format!("test:generated_{number}"))
}

pub fn attach_point(maker: &mut Maker) -> Place {
    const NONE: &[Template] = &[];
    const REGISTERS: &[Template] = &[
        ("arg0", &[], U64),
        ("arg3", &[], U64),
        ("reg(\"ip\")", &[], U64),
        ("*(uint32 *)arg1", &[], U32),
        // Of the kernel's probes only.
        ("(uint64)func", &[], U64),
    ];
    const RETURNED: &[Template] = &[("(uint64)retval", &[], U64), ("(uint64)func", &[], U64)];
    const NAMED: &[Template] =
        &[("(uint64)args.file", &[], U64), ("args.count", &[], U64), ("args.file.f_flags", &[], U32)];
    const NAMED_AND_RESULT: &[Template] = &[("retval", &[], I64), ("args.count", &[], U64)];
    const WORDS: &[Template] = &[("arg0", &[], U64), ("arg1", &[], U64), ("(uint32)arg2", &[], U32)];
    const TASK: &[Template] = &[
        ("ctx.task.pid", &[], I32),
        ("ctx->task->parent->tgid", &[], I32),
        ("(uint64)ctx.task", &[], U64),
        ("(int64)ctx.meta.seq_num", &[], I64),
    ];
    const RECORD: &[Template] = &[("(uint64)args.rqtp", &[], U64)];
    let mut places: Vec<(&str, &'static [Template])> = vec![
        ("END", NONE),
        ("interval:s:100", NONE),
        ("profile:hz:1", NONE),
        ("software:page-faults:1000000", NONE),
        ("tracepoint:syscalls:sys_enter_nanosleep", RECORD),
        ("tracepoint:sched:sched_process_exit", NONE),
        ("rawtracepoint:sched_process_exit", &WORDS[..1]),
        ("uprobe:libc:gnu_get_libc_version", &REGISTERS[..4]),
        ("uretprobe:libc:gnu_get_libc_version", &RETURNED[..1]),
        ("iter:task", TASK),
        ("iter:task_file", &TASK[..2]),
    ];
    if maker.places.kprobe {
        places.extend([
            ("kprobe:vfs_read", REGISTERS),
            ("kretprobe:vfs_read", RETURNED),
            ("kprobe:vfs_*lock*", NONE),
        ]);
    }
    if maker.places.fentry {
        places.extend([("fentry:vfs_read", NAMED), ("fexit:vfs_read", NAMED_AND_RESULT)]);
    }
    let usdt = maker.places.usdt.clone();
    if let Some(place) = &usdt {
        places.push((place, WORDS));
    }
    let (attach, arguments) = *maker.random.pick(&places);
    Place { attach: attach.to_owned(), arguments, iterator: attach.starts_with("iter:") }
}

/// Something about a map as a whole, the clock, a histogram.
pub fn statement(maker: &mut Maker) -> Stmt {
    let maps: Vec<(String, bool, bool)> = maker
        .maps
        .iter()
        .map(|m| (m.name.clone(), m.key.is_some(), m.gathers.is_some_and(|f| !readable(f))))
        .collect();
    let plain = |text: &str| Stmt::Opaque(text.to_owned(), vec![]);
    match maker.random.below(9) {
        0 => plain("time(\"%H:%M:%S \")"),
        1 => {
            let code = maker.expr(&U8, 1);
            Stmt::Opaque("warnf(\"%d\", #)".into(), vec![code])
        }
        2 => {
            let address = maker.expr(&U64, 1);
            Stmt::Opaque("join((char **)(#))".into(), vec![address])
        }
        3 if maker.random.once_in(3) => Stmt::If {
            condition: Expr::new(Kind::Opaque("(cpu > 1000)".into(), vec![]), Ty::Bool),
            then: vec![plain("exit()")],
            otherwise: vec![],
        },
        _ if !maps.is_empty() => {
            let (name, keyed, _) = maker.random.pick(&maps).clone();
            let templates: &[&str] = if keyed {
                &["print(M)", "print(M, 3)", "print(M, 3, 2)", "clear(M)", "zero(M)"]
            } else {
                &["print(M)", "clear(M)", "zero(M)"]
            };
            let template = *maker.random.pick(templates);
            plain(&template.replace('M', &name))
        }
        _ => plain("time()"),
    }
}

/// Something printed that cannot be foretold.
pub fn printed(maker: &mut Maker) -> Stmt {
    let name = storable(maker);
    let value = other(maker, name);
    let is = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    if is(&["buf("]) && maker.random.once_in(2) {
        let format = *maker.random.pick(&["%r\n", "%rx %%\n", "%rh\n"]);
        return Stmt::Printf(format.into(), vec![value]);
    }
    if is(&["curtask", "(struct file", "(uint8 *)"]) && maker.random.once_in(2) {
        return Stmt::Printf("%p %p\n".into(), vec![value.clone(), value]);
    }
    if is(&["kstack", "ustack", "ksym", "usym", "ntop", "macaddr", "strftime", "username", "probe"])
        && maker.random.once_in(2)
    {
        return Stmt::Printf("%s|%s\n".into(), vec![value.clone(), value]);
    }
    Stmt::Print(value)
}
