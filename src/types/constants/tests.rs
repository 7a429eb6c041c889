use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::types::btf::{Btf, Kind as BtfKind};

/// The kernel's own headers for user space, all in one program.
const KERNEL: &[&str] = &[
    "linux/types.h",
    "linux/capability.h",
    "linux/close_range.h",
    "linux/errno.h",
    "linux/eventpoll.h",
    "linux/fadvise.h",
    "linux/falloc.h",
    "linux/fcntl.h",
    "linux/fs.h",
    "linux/futex.h",
    "linux/icmp.h",
    "linux/icmpv6.h",
    "linux/if_arp.h",
    "linux/if_ether.h",
    "linux/if_packet.h",
    "linux/in.h",
    "linux/in6.h",
    "linux/inotify.h",
    "linux/ip.h",
    "linux/ipc.h",
    "linux/limits.h",
    "linux/magic.h",
    "linux/memfd.h",
    "linux/mman.h",
    "linux/mount.h",
    "linux/msg.h",
    "linux/netfilter.h",
    "linux/netlink.h",
    "linux/openat2.h",
    "linux/pidfd.h",
    "linux/pkt_cls.h",
    "linux/pkt_sched.h",
    "linux/poll.h",
    "linux/prctl.h",
    "linux/ptrace.h",
    "linux/random.h",
    "linux/reboot.h",
    "linux/resource.h",
    "linux/sched.h",
    "linux/seccomp.h",
    "linux/sem.h",
    "linux/shm.h",
    "linux/signal.h",
    "linux/sockios.h",
    "linux/stat.h",
    "linux/tcp.h",
    "linux/time.h",
    "linux/timerfd.h",
    "linux/udp.h",
    "linux/uio.h",
    "linux/vm_sockets.h",
    "linux/wait.h",
    "linux/xattr.h",
    "asm/ioctls.h",
    "asm/siginfo.h",
    "asm/socket.h",
];

/// Those of the C library that define what the kernel keeps to itself. Where both define a name, the kernel's counts.
const LIBRARY: &[&str] = &[
    "dirent.h",
    "fcntl.h",
    "limits.h",
    "netinet/tcp.h",
    "sched.h",
    "stddef.h",
    "stdint.h",
    "sys/eventfd.h",
    "sys/mount.h",
    "sys/socket.h",
    "unistd.h",
];

fn all() -> impl Iterator<Item = (&'static str, i128)> {
    groups().flat_map(|group| group.constants).copied()
}

/// The values that C programs see, of those of these names that are macros. None, and a loud word, without a compiler.
fn compiled(headers: &[&str], names: &BTreeSet<&str>, dir: &Path) -> Option<BTreeMap<String, u64>> {
    let mut source = String::from("#define _GNU_SOURCE\n");
    for header in headers {
        source += &format!("#if __has_include(<{header}>)\n#include <{header}>\n#endif\n");
    }
    source += "extern int printf(const char *, ...);\nint main(void) {\n";
    for name in names {
        source +=
            &format!("#ifdef {name}\nprintf(\"{name} %llu\\n\", (unsigned long long)({name}));\n#endif\n");
    }
    source += "}\n";
    let (file, program) = (dir.join("constants.c"), dir.join("constants"));
    fs::write(&file, source).unwrap();
    let mut compiler = Command::new("cc");
    compiler.arg("-w").arg("-I").arg(dir).arg("-o").arg(&program).arg(&file);
    let output = match compiler.output() {
        Ok(output) => output,
        Err(e) => {
            crate::testing::skip("cc", format!("no C compiler to compare with: cc: {e}"));
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = Command::new(&program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pair = |line: &str| {
        let (name, value) = line.split_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    Some(text.lines().map(pair).collect())
}

#[test]
fn the_c_compiler_agrees() {
    let dir = tempfile::tempdir().unwrap();
    // Two of the kernel's headers want the C library's, which would define much of this otherwise.
    fs::create_dir(dir.path().join("sys")).unwrap();
    let socket = dir.path().join("sys/socket.h");
    let stub = "#pragma once\n#include <linux/socket.h>\ntypedef unsigned short sa_family_t;\n\
                struct sockaddr { sa_family_t sa_family; char sa_data[14]; };\n";
    fs::write(&socket, stub).unwrap();
    let unistd = dir.path().join("unistd.h");
    fs::write(&unistd, "#pragma once\ntypedef __SIZE_TYPE__ size_t;\n").unwrap();

    let mut names: BTreeSet<&str> = all().map(|(name, _)| name).collect();
    // A macro whose own definition is missing from what user space gets.
    names.remove("SIGRTMAX");
    let Some(mut values) = compiled(KERNEL, &names, dir.path()) else { return };
    fs::remove_file(&socket).unwrap();
    fs::remove_file(&unistd).unwrap();
    names.retain(|name| !values.contains_key(*name));
    values.extend(compiled(LIBRARY, &names, dir.path()).unwrap());
    names.retain(|name| !values.contains_key(*name));

    let wrong: Vec<String> = all()
        .filter_map(|(name, value)| {
            let theirs = *values.get(name)?;
            (value as u64 != theirs).then(|| format!("{name} is {value:#x}, the compiler says {theirs:#x}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eprintln!("{} compared, {} that user space does not see: {names:?}", values.len(), names.len());
    if !Path::new("/usr/include/linux/fcntl.h").exists() {
        crate::testing::skip("headers", "no kernel headers to compare with");
        return;
    }
    assert!(values.len() > 1500, "only {} compared", values.len());
}

/// Every enumerator of the running kernel, with all the values that it has in some enum.
fn enumerators() -> Option<BTreeMap<String, Vec<i64>>> {
    let btf = match Btf::vmlinux(None) {
        Ok(btf) => btf,
        Err(e) => {
            crate::testing::skip("btf", format!("no BTF of the kernel: {e}"));
            return None;
        }
    };
    let mut all = BTreeMap::<String, Vec<i64>>::new();
    for entry in btf.ids().filter_map(|id| btf.entry(id)) {
        if let BtfKind::Enum(values) = entry.kind {
            values.values().for_each(|(name, value)| all.entry(name.to_owned()).or_default().push(value));
        }
    }
    Some(all)
}

#[test]
fn the_running_kernel_agrees() {
    let Some(enumerators) = enumerators() else { return };
    let mut compared = 0;
    let mut wrong = vec![];
    let mut compare = |name: &str, value: i128, theirs: Option<&Vec<i64>>| {
        let Some(theirs) = theirs else { return };
        compared += 1;
        // An enum of 32 bits may be signed where the constant is not.
        if theirs.iter().any(|v| i128::from(*v) != value && *v as u32 as i128 != value) {
            wrong.push(format!("{name} is {value:#x}, the kernel says {theirs:x?}"));
        }
    };
    for (name, value) in all() {
        compare(name, value, enumerators.get(name));
        // Macros that the kernel makes of an enumerator.
        let bit = name
            .strip_prefix("REQ_")
            .map(|flag| format!("__REQ_{flag}"))
            .or_else(|| name.strip_prefix("__GFP_").map(|flag| format!("___GFP_{flag}_BIT")));
        let shifted =
            bit.and_then(|bit| enumerators.get(&bit)).map(|bits| bits.iter().map(|b| 1 << b).collect());
        compare(name, value, shifted.as_ref());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 80, "only {compared} compared");
}

/// What is looked for in BTF first should be there: a stray kind would cost every use of the constant some milliseconds.
#[test]
fn enumerators_are_marked() {
    let Some(enumerators) = enumerators() else { return };
    let marked = groups().filter(|g| g.kind == Kind::Enum).flat_map(|g| g.constants);
    let missing: Vec<&str> =
        marked.map(|(name, _)| *name).filter(|name| !enumerators.contains_key(*name)).collect();
    assert!(missing.len() < 10, "{missing:?}");
}

#[test]
fn each_name_stands_once() {
    let mut seen = BTreeSet::new();
    let twice: Vec<&str> = names().filter(|name| !seen.insert(*name)).collect();
    assert_eq!(twice, [""; 0]);
    for (_, names) in VARIES {
        assert_eq!(names.iter().find(|name| seen.contains(**name)), None);
    }
    for (name, value) in all() {
        assert!(i64::try_from(value).is_ok() || u64::try_from(value).is_ok(), "{name}");
    }
    assert!(groups().all(|group| group.header.ends_with(".h") && !group.constants.is_empty()));
}

#[test]
fn constants_have_values_and_headers() {
    let constant = |value, header, enumerator| Some(Constant { value, header, enumerator });
    assert_eq!(lookup("AF_INET6"), constant(10, "linux/socket.h", false));
    assert_eq!(lookup("IPPROTO_TCP"), constant(6, "linux/in.h", true));
    assert_eq!(lookup("S_IFDIR"), constant(0o040_000, "linux/stat.h", false));
    assert_eq!(lookup("INT_MIN").unwrap().value, i32::MIN.into());
    assert_eq!(lookup("ULLONG_MAX").unwrap().value, u64::MAX.into());
    assert_eq!(lookup("RUSAGE_CHILDREN").unwrap().value, -1);
    for name in ["", "AF", "AF_INET7", "af_inet", "GFP_ATOMIC"] {
        assert_eq!(lookup(name), None, "{name}");
    }
    assert_eq!(varies("GFP_ATOMIC"), Some("linux/gfp.h"));
    assert_eq!(varies("GFP_KERNEL"), None);
}

#[test]
fn architectures_have_their_own() {
    let here = [libc::O_DIRECT, libc::O_DIRECTORY, libc::O_NOFOLLOW, libc::O_TMPFILE];
    let named = ["O_DIRECT", "O_DIRECTORY", "O_NOFOLLOW", "O_TMPFILE"];
    assert_eq!(named.map(|name| lookup(name).unwrap().value), here.map(i128::from));
    // To the C library of 64 bits it is 0; the kernel always sets it.
    let large = if cfg!(target_arch = "aarch64") { 0o400_000 } else { 0o100_000 };
    assert_eq!(lookup("O_LARGEFILE").unwrap().value, large);
}

#[test]
fn pages_are_the_running_kernels() {
    let value = |name| lookup(name).unwrap().value;
    assert_eq!(value("PAGE_SIZE"), crate::kernel::page_size() as i128);
    assert_eq!(1 << value("PAGE_SHIFT"), value("PAGE_SIZE"));
    assert_eq!(value("PAGE_MASK"), -value("PAGE_SIZE"));
}
