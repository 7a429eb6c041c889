//! What kinds of probes there are, in the order of [`crate::probes::PROVIDERS`].

use super::{Kind, Written};

/// An entry by its provider's full name.
const fn probe(
    name: &'static str,
    forms: &'static [&'static str],
    summary: &'static str,
    text: &'static str,
    example: &'static str,
) -> Written {
    Written { name, aliases: &[], kind: Kind::Probe, forms, summary, text, example }
}

pub(super) const PROBES: &[Written] = &[
    probe("begin", &["BEGIN"], "When tracing begins", "", "BEGIN { printf(\"tracing\\n\"); }"),
    probe(
        "end",
        &["END"],
        "When tracing ends",
        "",
        "kprobe:vfs_read { @ = count(); }\nEND { print(@); clear(@); }",
    ),
    probe(
        "self",
        &["self:signal:SIGUSR1"],
        "When bpftrace itself gets this signal",
        "",
        "kprobe:vfs_read { @ = count(); }\nself:signal:SIGUSR1 { print(@); clear(@); }",
    ),
    probe(
        "test",
        &["test:name"],
        "A test, run with --test",
        "It fails if it returns something else than 0, or calls `errorf` or `exit` with another code.",
        "test:sum { return 1 + 1 != 2; }",
    ),
    probe("bench", &["bench:name"], "A benchmark, run with --bench", "", "bench:count { @ = count(); }"),
    probe(
        "interval",
        &["interval:unit:n"],
        "On one CPU, regularly",
        "Units are `s`, `ms`, `us` and `hz`; `interval:100ms` is the same as `interval:ms:100`.",
        "interval:s:1 { print(@); clear(@); }\nkprobe:vfs_read { @ = count(); }",
    ),
    probe(
        "profile",
        &["profile:unit:n"],
        "On every CPU, regularly",
        "Units are those of `interval`. 99 a second, unlike 100, does not keep pace with other timers.",
        "profile:hz:99 { @[kstack] = count(); }",
    ),
    probe(
        "software",
        &["software:event:[n]"],
        "At every nth event that the kernel counts",
        "`page-faults`, `context-switches` and so on: `bpftrace -l 'software:*'`.",
        "software:page-faults:100 { @[comm] = count(); }",
    ),
    probe(
        "hardware",
        &["hardware:event:[n]"],
        "At every nth event that the processor counts",
        "`cache-misses`, `instructions` and so on: `bpftrace -l 'hardware:*'`. Virtual machines often have none.",
        "hardware:cache-misses:1000000 { @[comm] = count(); }",
    ),
    probe(
        "tracepoint",
        &["tracepoint:category:event"],
        "At an event that the kernel announces",
        "These change less from kernel to kernel than functions do. `bpftrace -lv` shows what `args` has.",
        "tracepoint:syscalls:sys_enter_openat { printf(\"%s %s\\n\", comm, str(args.filename)); }",
    ),
    probe(
        "rawtracepoint",
        &["rawtracepoint:[module:]event"],
        "As tracepoint, with the kernel's own arguments",
        "Quicker, but what the arguments are may change from kernel to kernel.",
        "rawtracepoint:sched_switch { @ = count(); }",
    ),
    probe(
        "kprobe",
        &["kprobe:[module:]function[+offset]"],
        "When a function of the kernel is called",
        "`arg0`, `arg1`, … are its arguments as numbers. `bpftrace -l 'kprobe:vfs_*'` lists functions.",
        "kprobe:vfs_read { @[comm] = count(); }",
    ),
    probe(
        "kretprobe",
        &["kretprobe:[module:]function"],
        "When a function of the kernel returns",
        "`retval` is its result. Its arguments are gone: keep them in a map at its kprobe, or use fexit.",
        "kretprobe:vfs_read { @bytes = hist(retval); }",
    ),
    probe(
        "fentry",
        &["fentry:[module:]function", "fentry:bpf:[id:]name"],
        "When a function of the kernel or of a BPF program is called, with typed arguments",
        "`args.name`; `bpftrace -lv` lists them. Quicker than kprobe. Needs BTF. `bpftrace -l 'fentry:bpf:*'` lists the functions \
         of BPF programs that run.",
        "fentry:vfs_read { @bytes = hist(args.count); }",
    ),
    probe(
        "fexit",
        &["fexit:[module:]function", "fexit:bpf:[id:]name"],
        "When a function of the kernel or of a BPF program returns, with arguments and result",
        "`args.name` and `retval`. Quicker than kretprobe. Needs BTF.",
        "fexit:vfs_read /retval < 0/ { @[comm, args.count] = count(); }",
    ),
    probe(
        "iter",
        &["iter:object[:pin]"],
        "Once for each object of the kernel",
        "`task`, `task_file`, `task_vma`, `bpf_map`, …: `bpftrace -l 'iter:*'`. What is there is seen once, then tracing \
         ends. With a pin (`list` is `/sys/fs/bpf/list`) it is left behind as a file instead: reading that shows what is there then.",
        "iter:task { printf(\"%d %s\\n\", ctx.task.pid, ctx.task.comm); }",
    ),
    probe(
        "uprobe",
        &[
            "uprobe:file:function[+offset]",
            "uprobe:file:address",
            "uprobe:file@source:line[:column]",
            "uprobe:file:cpp:\"name\"",
            "uprobe:archive!/file:function",
        ],
        "When a function of a program or library is called",
        "The file is a path, a command's name or a library's: `uprobe:libc:malloc`. With debug information `args.name` are \
         the arguments. A library that a ZIP archive (an Android APK) stores without compression is `archive!/file`.",
        "uprobe:/bin/bash:readline { @ = count(); }",
    ),
    probe(
        "uretprobe",
        &["uretprobe:file:function"],
        "When a function of a program or library returns",
        "`retval` is its result.",
        "uretprobe:/bin/bash:readline { printf(\"%s\\n\", str(retval)); }",
    ),
    probe(
        "usdt",
        &["usdt:file:[provider:]name", "usdt:*:[provider:]name"],
        "At a place that a program or library marks for tracing",
        "`arg0`, `arg1`, … are what is handed over there; `bpftrace -lv` lists their sizes and signs. With `*` for the file, in the process of `-p`.",
        "usdt:/usr/bin/python3:function__entry { @[str(arg1)] = count(); }",
    ),
    probe(
        "watchpoint",
        &["watchpoint:address:length:mode"],
        "When memory is read, written or executed",
        "The length is 1, 2, 4 or 8, the mode made of `r`, `w` and `x`. An address of a process takes that process: `-p PID` or \
         `-c COMMAND`.",
        "watchpoint:0x10000000:8:rw { printf(\"%d %s\\n\", pid, comm); }",
    ),
];
