//! A whole script for each builtin, for its documentation. A test compiles every one of them.

/// By the builtin's name, in the order of the tables.
pub const EXAMPLES: &[(&str, &str)] = &[
    // What a probe sees.
    ("args", "tracepoint:syscalls:sys_enter_openat { printf(\"%s\\n\", str(args.filename)); }"),
    ("argN", "kprobe:vfs_read { @bytes = hist(arg2); }"),
    ("retval", "kretprobe:vfs_read { @bytes = hist(retval); }"),
    ("func", "kprobe:vfs_* { @[func] = count(); }"),
    ("probe", "kprobe:vfs_read, kprobe:vfs_write { @[probe] = count(); }"),
    ("probetype", "BEGIN { printf(\"%s\\n\", probetype); }"),
    ("ctx", "kprobe:vfs_read { printf(\"%p\\n\", ctx); }"),
    ("cpu", "profile:hz:99 { @[cpu] = count(); }"),
    ("ncpus", "BEGIN { printf(\"%d processors\\n\", ncpus); }"),
    ("numaid", "profile:hz:99 { @[numaid] = count(); }"),
    ("rand", "kprobe:vfs_read /rand % 100 == 0/ { @sampled[comm] = count(); }"),
    ("usermode", "profile:hz:99 { @[usermode ? \"user\" : \"kernel\"] = count(); }"),
    ("reg", "kprobe:vfs_read { printf(\"%p\\n\", reg(\"sp\")); }"),
    // Who runs.
    ("pid", "kprobe:vfs_read { @[pid] = count(); }"),
    ("tid", "kprobe:vfs_read { @start[tid] = nsecs; }"),
    ("uid", "kprobe:vfs_read /uid == 0/ { @ = count(); }"),
    ("gid", "kprobe:vfs_read { @[gid] = count(); }"),
    ("username", "tracepoint:syscalls:sys_enter_execve { printf(\"%s\\n\", username); }"),
    ("comm", "kprobe:vfs_read /comm == \"bash\"/ { @ = count(); }"),
    ("cgroup", "kprobe:vfs_read { @[cgroup] = count(); }"),
    ("cgroupid", "kprobe:vfs_read /cgroup == cgroupid(\"/sys/fs/cgroup\")/ { @ = count(); }"),
    ("cgroup_path", "kprobe:vfs_read { @[cgroup_path(cgroup)] = count(); }"),
    ("cpid", "kprobe:vfs_read /pid == cpid/ { @ = count(); }"),
    ("has_cpid", "BEGIN { if (!has_cpid) { printf(\"give a command with -c\\n\"); } }"),
    ("signal", "kprobe:vfs_read /comm == \"runaway\"/ { signal(\"SIGSTOP\"); }"),
    ("signal_thread", "kprobe:vfs_read /comm == \"runaway\"/ { signal_thread(19); }"),
    ("override", "kprobe:__x64_sys_getpid /comm == \"sleeper\"/ { override(7); }"),
    ("curtask", "kprobe:vfs_read { @[curtask.prio] = count(); }"),
    ("ppid", "tracepoint:syscalls:sys_enter_execve { printf(\"%d is a child of %d\\n\", pid, ppid); }"),
    ("pcomm", "tracepoint:syscalls:sys_enter_execve { @[pcomm] = count(); }"),
    ("leader_tid", "kprobe:vfs_read /tid != leader_tid/ { @threads[comm] = count(); }"),
    ("leader_comm", "kprobe:vfs_read { @[leader_comm, comm] = count(); }"),
    // Time.
    (
        "nsecs",
        "kprobe:vfs_read { @start[tid] = nsecs; }\nkretprobe:vfs_read /@start[tid]/ { @ns = hist(nsecs - @start[tid]); delete(@start, tid); }",
    ),
    ("elapsed", "interval:s:1 { printf(\"%d ms\\n\", elapsed / 1000000); }"),
    ("jiffies", "interval:s:1 { printf(\"%d\\n\", jiffies); }"),
    ("time", "interval:s:1 { time(\"%H:%M:%S\\n\"); print(@); clear(@); }\nkprobe:vfs_read { @ = count(); }"),
    (
        "strftime",
        "tracepoint:syscalls:sys_enter_execve { printf(\"%s %s\\n\", strftime(\"%H:%M:%S.%f\", nsecs), comm); }",
    ),
    // Stacks.
    ("kstack", "kprobe:vfs_read { @[kstack(5)] = count(); }"),
    ("ustack", "kprobe:vfs_read { @[ustack(perf, 5)] = count(); }"),
    // Strings and bytes.
    ("str", "tracepoint:syscalls:sys_enter_openat { @[str(args.filename, 64)] = count(); }"),
    ("buf", "kprobe:vfs_write { printf(\"%r\\n\", buf(uptr(arg1), 16)); }"),
    (
        "strncmp",
        "tracepoint:syscalls:sys_enter_openat /strncmp(str(args.filename), \"/proc\", 5) == 0/ { @ = count(); }",
    ),
    ("strlen", "tracepoint:syscalls:sys_enter_openat { @length = hist(strlen(str(args.filename))); }"),
    ("strcap", "BEGIN { printf(\"%d\\n\", strcap(comm)); }"),
    (
        "strcontains",
        "tracepoint:syscalls:sys_enter_openat /strcontains(str(args.filename), \"passwd\")/ { @[comm] = count(); }",
    ),
    ("strstr", "tracepoint:syscalls:sys_enter_openat { @[strstr(str(args.filename), \"/lib\")] = count(); }"),
    ("str_concat", "kprobe:vfs_read { @[str_concat(comm, \" reads\")] = count(); }"),
    ("strerror", "kretprobe:vfs_read /(int64)retval < 0/ { @[strerror((int32)retval)] = count(); }"),
    ("signal_name", "kprobe:send_signal_locked { @[signal_name(arg0)] = count(); }"),
    ("syscall_name", "BEGIN { printf(\"%s\\n\", syscall_name(0)); }"),
    // Types and memory.
    ("memcmp", "BEGIN { $a = (1, \"x\"); $b = (1, \"y\"); printf(\"%d\\n\", memcmp($a, $b, sizeof($a))); }"),
    ("kptr", "uprobe:/bin/bash:readline { printf(\"%s\\n\", str(kptr(arg0))); }"),
    ("uptr", "kprobe:vfs_write { printf(\"%s\\n\", str(uptr(arg1), 16)); }"),
    ("sizeof", "BEGIN { printf(\"%d\\n\", sizeof(struct task_struct)); }"),
    ("offsetof", "BEGIN { printf(\"%d\\n\", offsetof(struct task_struct, comm)); }"),
    (
        "container_of",
        "kprobe:vfs_open { $file = container_of((struct path *)arg0, typeof(struct file), f_path); printf(\"%p\\n\", $file); }",
    ),
    ("is_err", "kretprobe:do_filp_open /is_err(retval)/ { @failed[comm] = count(); }"),
    ("bswap", "BEGIN { printf(\"%x\\n\", bswap((uint32)0x12345678)); }"),
    (
        "write_user",
        "tracepoint:syscalls:sys_enter_chdir /comm == \"lost\"/ { print(write_user(args.filename, \"/tmp\", 5)); }",
    ),
    ("ksym", "kprobe:vfs_read { @[ksym(reg(\"ip\"))] = count(); }"),
    ("usym", "uprobe:/bin/bash:readline { @[usym(reg(\"ip\"))] = count(); }"),
    ("kaddr", "BEGIN { printf(\"%p\\n\", kaddr(\"_text\")); }"),
    // Networks.
    ("ntop", "BEGIN { printf(\"%s\\n\", ntop(0x0100007f)); }"),
    ("pton", "BEGIN { printf(\"%s\\n\", ntop(pton(\"::1\"))); }"),
    (
        "macaddr",
        "kprobe:eth_type_trans { $skb = (struct sk_buff *)arg0; @[macaddr(((struct ethhdr *)$skb.data).h_source)] = count(); }",
    ),
    ("socket_cookie", "kprobe:tcp_sendmsg { @[socket_cookie((struct sock *)arg0)] = count(); }"),
    // Printing.
    ("printf", "tracepoint:syscalls:sys_enter_openat { printf(\"%-16s %s\\n\", comm, str(args.filename)); }"),
    ("errorf", "BEGIN { errorf(\"not yet: %d\", 1); }"),
    ("warnf", "BEGIN { warnf(\"rather old: %s\", \"x\"); }"),
    ("debugf", "kprobe:vfs_read { debugf(\"%d %s\", pid, comm); }"),
    ("print", "kprobe:vfs_read { @[comm] = count(); }\ninterval:s:1 { print(@, 5); clear(@); }"),
    ("exit", "interval:s:10 { exit(); }"),
    ("join", "tracepoint:syscalls:sys_enter_execve { join(args.argv); }"),
    ("cat", "BEGIN { cat(\"/proc/loadavg\"); }"),
    ("system", "BEGIN { system(\"uptime\"); }"),
    // Maps.
    ("delete", "kprobe:vfs_read { @start[tid] = nsecs; }\nkretprobe:vfs_read { delete(@start, tid); }"),
    (
        "has_key",
        "kprobe:vfs_read { if (!has_key(@seen, comm)) { printf(\"%s\\n\", comm); } @seen[comm] = 1; }",
    ),
    (
        "find",
        "kprobe:vfs_read { @start[tid] = nsecs; }\nkretprobe:vfs_read { let $start; if (find(@start, tid, $start)) { @ns = hist(nsecs - $start); } }",
    ),
    ("len", "kprobe:vfs_read { @[tid] = 1; }\ninterval:s:1 { printf(\"%d threads\\n\", len(@)); }"),
    ("clear", "kprobe:vfs_read { @ = count(); }\ninterval:s:1 { print(@); clear(@); }"),
    ("zero", "kprobe:vfs_read { @[comm] = count(); }\ninterval:s:1 { print(@); zero(@); }"),
    // What maps gather.
    ("count", "kprobe:vfs_read { @[comm] = count(); }"),
    ("sum", "kprobe:vfs_read { @bytes[comm] = sum(arg2); }"),
    ("avg", "kprobe:vfs_read { @bytes[comm] = avg(arg2); }"),
    ("min", "kprobe:vfs_read { @least = min(arg2); }"),
    ("max", "kprobe:vfs_read { @most = max(arg2); }"),
    ("stats", "kprobe:vfs_read { @bytes[comm] = stats(arg2); }"),
    ("hist", "kretprobe:vfs_read { @bytes = hist(retval, 2); }"),
    ("lhist", "kretprobe:vfs_read { @bytes = lhist(retval, 0, 10000, 1000); }"),
    ("tseries", "kretprobe:vfs_read { @most = tseries(retval, 100ms, 20, \"max\"); }"),
    // What is known before a script runs.
    ("is_integer", "BEGIN { $x = 1; print(is_integer($x)); }"),
    ("is_unsigned_integer", "BEGIN { $x = (uint32)1; print(is_unsigned_integer($x)); }"),
    ("is_str", "BEGIN { print(is_str(comm)); }"),
    ("is_ptr", "BEGIN { print(is_ptr(curtask)); }"),
    ("is_array", "BEGIN { print(is_array((uint8[4])1)); }"),
    ("is_literal", "BEGIN { print(is_literal(5)); }"),
    ("is_scalar", "BEGIN { @[1] = 1; print(is_scalar(@)); }"),
    ("typeinfo", "BEGIN { print(typeinfo(pid).full_type); }"),
    ("fail", "BEGIN { if comptime (!is_str(comm)) { fail(\"comm is no string\"); } }"),
    ("static_assert", "BEGIN { static_assert(sizeof(struct list_head) == 16, \"pointers have 8 bytes\"); }"),
    ("assert", "BEGIN { assert(ncpus > 0, \"no processors\"); }"),
    ("assert_str", "BEGIN { assert_str(comm); }"),
    ("kfunc_exist", "BEGIN { print(kfunc_exist(\"bpf_task_from_pid\")); }"),
    ("kfunc_allowed", "BEGIN { print(kfunc_allowed(\"bpf_task_from_pid\")); }"),
    ("config", "BEGIN { printf(\"%d\\n\", config().max_strlen); }"),
    ("default_str_length", "BEGIN { printf(\"%d\\n\", default_str_length()); }"),
];

/// The example of a builtin.
pub fn of(name: &str) -> Option<&'static str> {
    EXAMPLES.iter().find(|(own, _)| *own == name).map(|(_, example)| *example)
}
