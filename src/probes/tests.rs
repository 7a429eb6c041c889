//! Attach points of all providers, resolved and listed on the running kernel.

use super::*;
use crate::diagnostics::FileId;
use crate::image::{Cpus, Sample, Target};
use crate::ir::ExprKind;
use crate::syntax::parse_attach_point;
use crate::types::Type;

const TYPED: Uses =
    Uses { typed: true, types: false, words: false, name: false, addresses: false, objects: false };
const NAMED: Uses =
    Uses { typed: false, types: false, words: false, name: true, addresses: false, objects: false };

/// What a test changes about the host.
#[derive(Default)]
struct Setup {
    pid: Option<u32>,
    command: Option<PathBuf>,
    unsafe_mode: bool,
    fix_renames: bool,
    missing: Option<Missing>,
    denied: Vec<Feature>,
}

impl Setup {
    fn with<T>(&self, use_it: impl FnOnce(&mut Host<'_>) -> T) -> T {
        let kernel = Kernel::new();
        self.denied.iter().for_each(|feature| kernel.deny(*feature));
        let mut types = Types::new(&kernel);
        let mut config = Config::default();
        config.missing_probes = self.missing.unwrap_or(config.missing_probes);
        use_it(&mut Host {
            kernel: &kernel,
            types: &mut types,
            config: &config,
            pid: self.pid,
            command: self.command.clone(),
            unsafe_mode: self.unsafe_mode,
            fix_renames: self.fix_renames,
            warnings: vec![],
        })
    }

    /// The groups, the probe names by number, and the messages.
    fn resolve(&self, points: &[&str], uses: Uses) -> (Vec<Group>, Vec<String>, Vec<Diagnostic>) {
        let points: Vec<_> = points.iter().map(|text| parse_attach_point(text, FileId(0)).unwrap()).collect();
        let mut names: Vec<String> = vec![];
        let mut number = |name: &str| match uses.name {
            true => {
                names.push(name.to_owned());
                names.len() as u32 - 1
            }
            false => 0,
        };
        let (mut groups, problems) = self.with(|host| resolve(&points, uses, host, &mut number));
        groups.iter_mut().for_each(Group::clear_cookies);
        (groups, names, problems.into_iter().collect())
    }

    /// The only group and attach point, without any message.
    fn one(&self, point: &str, uses: Uses) -> (Group, Target) {
        let (mut groups, _, problems) = self.resolve(&[point], uses);
        assert!(problems.is_empty(), "{point}: {problems:?}");
        assert_eq!(groups.len(), 1, "{point}");
        assert_eq!(groups[0].attach.len(), 1, "{point}");
        let group = groups.remove(0);
        let target = group.attach[0].what.clone();
        (group, target)
    }

    /// The message, notes and help of an attach point that cannot be resolved.
    fn error(&self, point: &str) -> String {
        let (groups, _, problems) = self.resolve(&[point], Uses::default());
        assert!(groups.is_empty(), "{point} should not resolve");
        let (warnings, errors): (Vec<_>, Vec<_>) =
            problems.iter().partition(|problem| problem.severity == Severity::Warning);
        assert!(warnings.iter().all(|warning| warning.code == "not-traceable"), "{point}: {problems:?}");
        let [problem] = errors.as_slice() else { panic!("{point}: {problems:?}") };
        assert!(problem.span.is_some(), "{point}: no place");
        let notes = problem.notes.iter().map(|note| format!("\nnote: {note}"));
        let help = problem.help.iter().map(|help| format!("\nhelp: {help}"));
        notes.chain(help).fold(problem.message.clone(), |text, line| text + &line)
    }

    fn list(&self, pattern: &str, verbose: bool) -> Vec<Listed> {
        let pattern = parse_attach_point(pattern, FileId(0)).unwrap();
        let mut found = vec![];
        self.with(|host| list(&pattern, verbose, host, &mut |listed| found.push(listed))).unwrap();
        found
    }

    fn names(&self, pattern: &str) -> Vec<String> {
        self.list(pattern, false).into_iter().map(|listed| listed.name).collect()
    }
}

fn error(point: &str) -> String {
    Setup::default().error(point)
}

fn names(pattern: &str) -> Vec<String> {
    Setup::default().names(pattern)
}

/// Says so where there is no tracefs to read.
fn has_tracefs() -> bool {
    let kernel = Kernel::new();
    let there = kernel.tracefs().is_ok_and(|t| t.read("available_events").is_ok());
    if !there {
        crate::testing::skip("tracefs", "tracefs cannot be read");
    }
    there
}

fn has_btf() -> bool {
    let there = Types::new(&Kernel::new()).problem().is_none();
    if !there {
        crate::testing::skip("btf", "the kernel has no BTF");
    }
    there
}

#[test]
fn begin_and_end_in_any_case() {
    for (text, target) in [("BEGIN", Target::Begin), ("end", Target::End), ("END", Target::End)] {
        let (group, own) = Setup::default().one(text, NAMED);
        assert_eq!((own, group.section.as_str(), group.view.context), (target, "raw_tp", ir::Context::None));
        assert_eq!(group.attach[0].name, text.to_ascii_lowercase());
    }
    assert_eq!(error("BEGIN:x"), "BEGIN takes nothing after its name, this has 1\nhelp: it is written begin");
}

#[test]
fn unknown_providers_have_neighbours() {
    assert_eq!(error("kprove:f"), "Invalid probe type: kprove\nhelp: did you mean `kprobe` or `uprobe`?");
    assert_eq!(error("nonsense:f"), "Invalid probe type: nonsense");
    // Where the case tells two providers apart it counts.
    assert_eq!(provider("u").unwrap().names()[0], "uprobe");
    assert!(provider("kprobes").is_none());
}

#[test]
fn timers_in_all_their_forms() {
    let expected = |sample, cpus| Target::Perf {
        kind: libbpf_sys::PERF_TYPE_SOFTWARE,
        config: libbpf_sys::PERF_COUNT_SW_CPU_CLOCK.into(),
        sample,
        cpus,
        pid: None,
        name_id: 0,
    };
    for (text, name, sample) in [
        ("interval:s:1", "interval:s:1", Sample::Period(1_000_000_000)),
        ("i:ms:10", "interval:ms:10", Sample::Period(10_000_000)),
        ("interval:us:500", "interval:us:500", Sample::Period(500_000)),
        ("interval:hz:99", "interval:hz:99", Sample::Frequency(99)),
        ("interval:1s", "interval:us:1000000", Sample::Period(1_000_000_000)),
        ("interval:1000000000", "interval:us:1000000", Sample::Period(1_000_000_000)),
        ("interval:s:1e1", "interval:s:10", Sample::Period(10_000_000_000)),
    ] {
        let (group, target) = Setup::default().one(text, Uses::default());
        assert_eq!((target, group.attach[0].name.as_str()), (expected(sample, Cpus::One), name));
        assert_eq!((group.section.as_str(), group.view.words.len()), ("perf_event", 0));
    }
    let (_, target) = Setup::default().one("profile:hz:99", Uses::default());
    assert_eq!(target, expected(Sample::Frequency(99), Cpus::All));
    // Only a profile is of a process.
    let of_one = Setup { pid: Some(7), ..Setup::default() };
    for (text, own) in [("profile:hz:99", Some(7)), ("interval:s:1", None)] {
        assert!(matches!(of_one.one(text, Uses::default()).1, Target::Perf { pid, .. } if pid == own));
    }
}

/// The parser goes on after a mistake where it sees one of these names.
#[test]
fn the_parser_knows_every_provider() {
    for name in PROVIDERS.iter().flat_map(|provider| provider.names()) {
        assert!(crate::syntax::is_provider(name) || matches!(*name, "begin" | "end"), "{name}");
    }
}

#[test]
fn wrong_timers() {
    let usage =
        "\nhelp: it is written interval:s:1, interval:ms:100, interval:us:500, interval:hz:10 or interval:1s";
    assert_eq!(error("interval"), format!("interval takes 1 or 2 arguments, this has 0{usage}"));
    assert_eq!(error("interval:s:0"), format!("a timer has to have a count of at least 1{usage}"));
    assert_eq!(error("interval:m:1"), format!("\"m\" is not a unit of time{usage}"));
    assert_eq!(error("interval:999"), format!("999 ns is too short: the shortest time is 1 us{usage}"));
    assert!(error("interval:s:99999999999").contains("longer than the kernel can count"));
    assert!(error("interval:ms:1s").starts_with("1s has a unit of its own beside ms"));
    assert!(error("profile:hz:x").starts_with("\"x\" is not a number\nhelp: it is written profile:hz:99"));
    assert_eq!(error("profile:hz:9x").lines().next(), Some("`x` is not a suffix of numbers"));
}

#[test]
fn counters_have_aliases_and_usual_counts() {
    for (text, name, config, count) in [
        ("software:faults:7", "software:faults:7", libbpf_sys::PERF_COUNT_SW_PAGE_FAULTS, 7),
        ("s:page-faults", "software:page-faults", libbpf_sys::PERF_COUNT_SW_PAGE_FAULTS, 100),
        ("software:cs:", "software:cs", libbpf_sys::PERF_COUNT_SW_CONTEXT_SWITCHES, 1000),
        ("hardware:cycles", "hardware:cycles", libbpf_sys::PERF_COUNT_HW_CPU_CYCLES, 1_000_000),
        ("h:cache-misses:1e3", "hardware:cache-misses:1000", libbpf_sys::PERF_COUNT_HW_CACHE_MISSES, 1000),
    ] {
        let (group, target) = Setup::default().one(text, Uses::default());
        let Target::Perf { config: own, sample, .. } = target else { panic!("{target:?}") };
        assert_eq!(
            (own, sample, group.attach[0].name.as_str()),
            (config.into(), Sample::Period(count), name)
        );
    }
    let wrong = error("software:fault");
    assert!(wrong.starts_with("fault is not a software probe"), "{wrong}");
    assert!(wrong.contains("did you mean `faults`?"), "{wrong}");
    assert!(error("hardware").starts_with("hardware takes 1 or 2 arguments, this has 0"));
}

#[test]
fn one_program_for_probes_that_see_the_same() {
    let points = ["interval:s:1", "profile:hz:9", "software:faults", "interval:ms:5"];
    let (groups, names, _) = Setup::default().resolve(&points, Uses::default());
    assert_eq!(groups.len(), 3, "the two intervals share one");
    assert!(names.is_empty(), "nobody asked for names");
    let (groups, names, _) = Setup::default().resolve(&["interval:s:1", "interval:s:2"], NAMED);
    assert_eq!(names, ["interval:s:1", "interval:s:2"]);
    if Kernel::new().has(Feature::Cookie) {
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].view.name.kind, ExprKind::ProbeName);
        assert!(matches!(groups[0].attach[1].what, Target::Perf { name_id: 1, .. }));
    }
    let old = Setup { denied: vec![Feature::Cookie], ..Setup::default() };
    let (groups, _, _) = old.resolve(&["interval:s:1", "interval:s:2"], NAMED);
    assert_eq!(groups.len(), 2, "a program for each name");
    assert_eq!(groups[1].view.name.kind, ExprKind::Const(1));
    assert!(matches!(groups[1].attach[0].what, Target::Perf { name_id: 0, .. }), "no cookie");
    // BEGIN has no cookie.
    assert_eq!(Setup::default().resolve(&["BEGIN", "END"], NAMED).0.len(), 2);
}

#[test]
fn tracepoints_and_their_fields() {
    if !has_tracefs() {
        return;
    }
    let (group, target) = Setup::default().one("tracepoint:sched:sched_switch", TYPED);
    assert_eq!(
        target,
        Target::Tracepoint { category: "sched".into(), event: "sched_switch".into(), name_id: 0 }
    );
    assert_eq!((group.section.as_str(), group.view.context), ("tp", ir::Context::Record));
    assert!(group.view.filter_pid);
    let args = group.view.args.unwrap();
    assert_eq!(args[0].0, "prev_comm");
    assert_eq!(args[0].1.ty, Type::Str(16));
    assert!(args.iter().any(|(name, _)| name == "common_pid"), "hidden but there");
    // Data that follows the record is a pointer to it.
    let (group, _) = Setup::default().one("t:irq:irq_handler_entry", TYPED);
    let args = group.view.args.unwrap();
    let (_, name) = args.iter().find(|(name, _)| name == "name").unwrap();
    assert!(matches!(&name.ty, Type::Ptr { space: Space::Kernel, .. }), "{:?}", name.ty);
    assert!(matches!(&name.kind, ExprKind::Cast(_)));
}

#[test]
fn tracepoints_of_a_pattern_share_a_program_until_they_differ() {
    if !has_tracefs() {
        return;
    }
    let (groups, _, _) = Setup::default().resolve(&["t:syscalls:sys_enter_*"], Uses::default());
    assert_eq!(groups.len(), 1);
    assert!(groups[0].attach.len() > 100);
    let (groups, _, _) = Setup::default().resolve(&["t:syscalls:sys_exit_re*"], TYPED);
    assert_eq!(groups.len(), 1, "all have the same fields");
    let (groups, _, _) =
        Setup::default().resolve(&["t:sched:sched_switch", "t:sched:sched_process_fork"], TYPED);
    assert_eq!(groups.len(), 2);
    let (groups, names, _) = Setup::default().resolve(&["t:sched:sched_wak*"], NAMED);
    assert!(names.contains(&"tracepoint:sched:sched_wakeup".to_owned()));
    if Kernel::new().has(Feature::Cookie) {
        assert_eq!(groups.len(), 1);
    }
}

#[test]
fn missing_tracepoints_are_explained() {
    if !has_tracefs() {
        return;
    }
    let wrong = error("tracepoint:syscalls:sys_enter_opnat");
    assert!(wrong.starts_with("No matches for tracepoint syscalls:sys_enter_opnat."), "{wrong}");
    assert!(wrong.contains("did you mean `sys_enter_open"), "{wrong}");
    assert!(wrong.contains("missing_probes"), "{wrong}");
    assert!(error("t:syscall:sys_enter_open").contains("did you mean `syscalls:sys_enter_open`?"));
    assert!(error("t:shed:nothing_like_it").contains("did you mean `sched`?"));
    assert!(error("t:sched:nothing*").contains("no event of the kernel matches the pattern"));
    assert!(error("t:sched:").starts_with("No matches for tracepoint sched:."));
    assert!(error("t:sched:../sched/sched_switch").starts_with("No matches"));
    assert!(error("t:sched_switch").starts_with("tracepoint takes 2 arguments"));
}

#[test]
fn missing_probes_may_be_warnings_or_nothing() {
    let points = ["interval:s:1", "uprobe:/proc/self/exe:no_such_function"];
    let with = |missing| Setup { missing: Some(missing), ..Setup::default() };
    let (groups, _, problems) = with(Missing::Warn).resolve(&points, Uses::default());
    assert_eq!((groups.len(), problems.len()), (1, 1));
    assert_eq!(problems[0].severity, Severity::Warning);
    assert!(problems[0].message.ends_with("no_such_function. Skipping."), "{}", problems[0].message);
    let (groups, _, problems) = with(Missing::Ignore).resolve(&points, Uses::default());
    assert_eq!((groups.len(), problems.len()), (1, 0));
    // A pattern may match nothing as long as something is left.
    let points = ["interval:s:1", "uprobe:/proc/self/exe:no_such_function*"];
    let (groups, _, problems) = Setup::default().resolve(&points, Uses::default());
    assert_eq!((groups.len(), problems.len(), problems[0].severity), (1, 1, Severity::Warning));
    let (_, _, problems) = Setup::default().resolve(&points[1..], Uses::default());
    assert_eq!(problems[0].severity, Severity::Error);
    // What is written wrong is never ignored.
    assert_eq!(with(Missing::Ignore).resolve(&["interval:x:1"], Uses::default()).2.len(), 1);
}

#[test]
fn raw_tracepoints_and_their_arguments() {
    if !has_btf() {
        return;
    }
    let (group, target) = Setup::default().one("rawtracepoint:sched_switch", TYPED);
    assert_eq!(target, Target::RawTracepoint { event: "sched_switch".into(), typed: false });
    assert_eq!(group.attach[0].name, "rawtracepoint:vmlinux:sched_switch");
    let args = group.view.args.unwrap();
    let names: Vec<&str> = args.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..3], ["preempt", "prev", "next"]);
    assert_eq!(group.view.words.len(), args.len());
    let (groups, _, _) = Setup::default().resolve(&["rt:vmlinux:sys_*"], Uses::default());
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].attach.len(), 2);
    assert!(error("rt:nonsense").contains(" No matches for rawtracepoint *:nonsense."));
    assert!(error("rt:nonsense:sys_exit").contains("did you mean `vmlinux:sys_exit`?"));
    assert!(error("rt:sys_enter_openat").contains("tracepoint:syscalls:sys_enter_openat is for one"));
    assert!(error("rt:shed_switch").contains("did you mean `sched_switch`?"));
}

#[test]
fn kprobes_one_by_one_and_in_bulk() {
    let (group, target) = Setup::default().one("kprobe:vfs_read", Uses::default());
    let single = |function: &str, module: Option<&str>, offset, ret| Target::Kprobe {
        function: function.into(),
        module: module.map(str::to_owned),
        offset,
        ret,
        name_id: 0,
    };
    assert_eq!(target, single("vfs_read", None, 0, false));
    assert_eq!(group.view.words.len(), 10);
    assert!(group.view.retval.is_none() && group.view.args.is_none() && group.view.filter_pid);
    assert_eq!(group.view.func.unwrap().ty, Type::KSym);
    let (group, target) = Setup::default().one("kr:vmlinux:vfs_read", Uses::default());
    assert_eq!(target, single("vfs_read", None, 0, true));
    assert_eq!(group.attach[0].name, "kretprobe:vmlinux:vfs_read");
    assert!(group.view.words.is_empty() && group.view.retval.is_some());
    let (group, target) = Setup::default().one("k:vfs_read+0x10", Uses::default());
    assert_eq!(target, single("vfs_read", None, 16, false));
    assert_eq!((group.attach[0].name.as_str(), group.view.words.len()), ("kprobe:vfs_read+16", 6));
    // Where the kernel has no bulk, they still share a program.
    let setup = Setup { denied: vec![Feature::KprobeMulti], ..Setup::default() };
    let (groups, _, _) = setup.resolve(&["kprobe:vfs_rea*", "kprobe:vfs_write"], Uses::default());
    assert_eq!(groups.len(), 1);
    assert!(groups[0].attach.iter().any(|a| a.name == "kprobe:vfs_readv"));
    assert_eq!(groups[0].section, "kprobe");
    if Kernel::new().has(Feature::KprobeMulti) {
        let (group, target) = Setup::default().one("kprobe:vfs_rea*", Uses::default());
        let Target::KprobeMulti { functions, name_ids, ret: false } = target else { panic!("{target:?}") };
        assert!(functions.contains(&"vfs_read".to_owned()) && name_ids.is_empty());
        assert_eq!(group.section, "kprobe.multi");
    }
}

#[test]
fn kernel_functions_that_cannot_be_probed() {
    let wrong = error("kprobe:vfs_raed");
    assert!(wrong.starts_with("No matches for kprobe vfs_raed."), "{wrong}");
    assert!(wrong.contains("vfs_raed is not traceable"), "{wrong}");
    // Without kprobes no other function would do.
    let kprobes = Kernel::new().has_kprobes();
    assert_eq!(wrong.contains("did you mean `vfs_read`"), kprobes, "{wrong}");
    assert_eq!(wrong.contains("this kernel was built without kprobes"), !kprobes, "{wrong}");
    assert!(
        error("kprobe:nonsense:vfs_read")
            .starts_with("specified module nonsense in probe kprobe:nonsense:vfs_read is not loaded.")
    );
    assert!(error("kprobe:no_such_*").contains("no function that can be traced matches"));
    assert!(error("kprobe:rcu_*").contains("no function that can be traced matches"));
    assert!(error("kretprobe:vfs_read+4").contains("a return probe cannot be at an offset"));
    assert_eq!(error("kprobe:vfs_read+x"), "\"x\" is not a number");
    assert!(error("kprobe").starts_with("kprobe takes 1 or 2 arguments, this has 0"));
    assert!(error("kprobe:").contains("names no function"));
    assert!(error("kprobe:0xffffffff81000000").starts_with("Probing by address requires --unsafe"));
    let unsafe_mode = Setup { unsafe_mode: true, ..Setup::default() };
    let (group, _) = unsafe_mode.one("kprobe:0x12345678", Uses::default());
    assert_eq!(group.attach[0].name, "kprobe:305419896");
    let (groups, _, problems) = unsafe_mode.resolve(&["kprobe:not_known_here"], Uses::default());
    assert_eq!((groups.len(), problems.len()), (1, 1));
    assert!(problems[0].message.starts_with("not_known_here is not traceable ("), "{problems:?}");
}

#[test]
fn fentry_has_typed_arguments() {
    if !has_btf() {
        return;
    }
    let (group, target) = Setup::default().one("fentry:vfs_read", TYPED);
    assert_eq!(target, Target::Fentry { function: "vfs_read".into(), module: None, ret: false });
    assert_eq!(
        (group.section.as_str(), group.attach[0].name.as_str()),
        ("fentry/vfs_read", "fentry:vmlinux:vfs_read")
    );
    let args = group.view.args.unwrap();
    assert_eq!(args.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["file", "buf", "count", "pos"]);
    assert!(group.view.retval.is_none());
    let (group, _) = Setup::default().one("kretfunc:vfs_read", TYPED);
    let retval = group.view.retval.unwrap();
    assert_eq!(retval.ty, Type::I64);
    let ExprKind::Cast(word) = retval.kind else { panic!("{retval:?}") };
    assert_eq!(*word, view::load(32, Type::U64), "after four arguments");
    assert_eq!(group.view.args.unwrap().len(), 4);
    assert!(Setup::default().one("fexit:kfree", TYPED).0.view.retval.is_none(), "void");
    let (groups, _, _) = Setup::default().resolve(&["f:vmlinu*:vfs_rea*"], Uses::default());
    assert!(groups.len() > 1 && groups.iter().all(|g| g.attach.len() == 1));
    assert!(error("fentry:seq_printf").contains("seq_printf: it takes a variable number of arguments"));
    let wrong = error("fentry:vfs_raed");
    assert!(wrong.starts_with("No matches for fentry vfs_raed.") && wrong.contains("`vfs_read`"), "{wrong}");
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn probes_test_one(n: u64) -> u64 {
    std::hint::black_box(n) + 1
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn probes_test_two(n: u64) -> u64 {
    std::hint::black_box(n) + 2
}

fn own_program() -> String {
    assert_eq!(probes_test_one(1) + probes_test_two(1), 5);
    std::env::current_exe().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn user_functions_by_path_name_and_address() {
    let own = own_program();
    let (group, target) = Setup::default().one(&format!("u:{own}:probes_test_one"), NAMED);
    let Target::Uprobe { path, offset, ret: false, pid: None, .. } = target else { panic!("{target:?}") };
    assert_eq!(path, own);
    assert_eq!(group.attach[0].name, format!("uprobe:{own}:probes_test_one"));
    assert_eq!((group.section.as_str(), group.view.words.len()), ("uprobe", 10));
    assert_eq!((group.view.space, group.view.filter_pid), (Space::User, false));
    let elf = crate::process::elf::Elf::open(own.as_ref()).unwrap();
    let function = elf.function("probes_test_one").unwrap().unwrap();
    // The same by its address.
    let (by_address, target) =
        Setup::default().one(&format!("u:{own}:{:#x}", function.address), Uses::default());
    assert!(matches!(target, Target::Uprobe { offset: same, .. } if same == offset));
    assert_eq!(by_address.view.words.len(), 10, "it is where the function is entered");
    let (group, target) = Setup::default().one("uretprobe:libc:malloc", Uses::default());
    let Target::Uprobe { path, ret: true, .. } = target else { panic!("{target:?}") };
    assert!(path.contains("libc"));
    assert!(group.view.retval.is_some() && group.view.words.is_empty());
    // The process's own program, and the child's.
    let setup = Setup { pid: Some(std::process::id()), ..Setup::default() };
    let (_, target) = setup.one("uprobe:probes_test_one", Uses::default());
    assert!(matches!(target, Target::Uprobe { pid: Some(_), ref path, .. } if *path == own));
    let setup = Setup { command: Some(own.clone().into()), ..Setup::default() };
    assert!(matches!(setup.one("u:probes_test_one", Uses::default()).1, Target::Uprobe { .. }));
}

#[test]
fn user_functions_by_pattern() {
    let own = own_program();
    let pattern = format!("uprobe:{own}:probes_test_*");
    let single = Setup { denied: vec![Feature::UprobeMulti], ..Setup::default() };
    let (groups, names, _) = single.resolve(&[&pattern], NAMED);
    assert_eq!(names, [format!("uprobe:{own}:probes_test_one"), format!("uprobe:{own}:probes_test_two")]);
    let attached: usize = groups.iter().map(|g| g.attach.len()).sum();
    assert_eq!(attached, 2);
    if Kernel::new().has(Feature::UprobeMulti) {
        let (group, target) = Setup::default().one(&pattern, NAMED);
        let Target::UprobeMulti { offsets, name_ids, .. } = target else { panic!("{target:?}") };
        assert_eq!((offsets.len(), name_ids), (2, vec![0, 1]));
        assert_eq!(group.attach[0].name, pattern);
        assert_eq!(group.section, "uprobe.multi");
    }
}

#[test]
fn user_functions_that_are_not_there() {
    let own = own_program();
    let wrong = error(&format!("uprobe:{own}:probes_test_oen"));
    assert!(wrong.starts_with(&format!("No matches for uprobe {own}:probes_test_oen.")), "{wrong}");
    assert!(wrong.contains("did you mean `probes_test_one`"), "{wrong}");
    assert!(error(&format!("u:{own}:nothing_like_this_*")).contains("no function of the files matches"));
    assert!(
        error("uprobe:/no/such/file:f")
            .starts_with("uprobe target file '/no/such/file' does not exist or is not executable")
    );
    assert!(error("uprobe:lib:f").contains("does not exist"));
    assert!(error("uprobe:bassh:f").contains("`bash`"), "{}", error("uprobe:bassh:f"));
    assert!(error("uprobe:libpthraed:f").contains("`libpthread`"), "{}", error("uprobe:libpthraed:f"));
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert!(error(&format!("uprobe:{text}:f")).contains("is not an ELF file"));
    assert!(
        error(&format!("uprobe:{own}:probes_test_one+100000"))
            .starts_with("Offset outside the function bounds ('probes_test_one' size is ")
    );
    if cfg!(target_arch = "x86_64") {
        // No compiler begins this function with an instruction of one byte only at each of the first places.
        let inside =
            (1..8).map(|n| Setup::default().resolve(&[&format!("u:{own}:probes_test_one+{n}")], NAMED));
        let refused: Vec<_> = inside.flat_map(|(_, _, problems)| problems).collect();
        assert!(!refused.is_empty());
        let middle = "Could not add uprobe into middle of instruction: ";
        assert!(refused.iter().all(|p| p.message.starts_with(middle) && p.help[0].contains("begin at +")));
    }
    assert!(error(&format!("u:{own}:1")).starts_with(&format!("Could not resolve address: {own}:0x1")));
    assert!(error(&format!("ur:{own}:probes_test_one+1")).contains("cannot be at an offset"));
    assert!(error("uprobe:f").starts_with("uprobe takes 2 arguments, this has 1"));
    assert!(error(&format!("uprobe:{own}:")).contains("uprobe lacks the function or address"));
    assert!(error(&format!("uprobe:{own}:java:f")).contains("\"java\" is not supported"));
    // With --unsafe any place of any file will do.
    let setup = Setup { unsafe_mode: true, ..Setup::default() };
    let (_, target) = setup.one(&format!("uprobe:{text}:0"), Uses::default());
    assert!(matches!(target, Target::Uprobe { offset: 0, .. }));
}

#[test]
fn libc_says_that_it_is_stripped() {
    let wrong = error("uprobe:libc:malloc_nonsense");
    let libc = crate::process::files::Places::of(None).find("libc").remove(0);
    let stripped = crate::process::elf::Elf::open(&libc).unwrap().is_stripped();
    assert_eq!(wrong.contains("install its debug symbols"), stripped, "{wrong}");
}

#[test]
fn lists_as_bpftrace_does() {
    assert_eq!(
        names("software:c*"),
        [
            "software:context-switches:",
            "software:cpu-clock:",
            "software:cpu-migrations:",
            "software:cpu:",
            "software:cs:"
        ]
    );
    assert_eq!(names("interval"), ["interval:hz:", "interval:ms:", "interval:s:", "interval:us:"]);
    assert!(names("h:*").contains(&"hardware:cache-misses:".to_owned()));
    if has_tracefs() {
        assert_eq!(names("tracepoint:sched:sched_switch"), ["tracepoint:sched:sched_switch"]);
        let all = names("t:*");
        assert!(all.len() > 500 && all.is_sorted());
        assert_eq!(names("tracepoint"), all);
        assert!(names("t:*sched_swit*").contains(&"tracepoint:sched:sched_switch".to_owned()));
        let listed = Setup::default().list("t:sched:sched_switch", true).remove(0);
        assert_eq!(listed.args[..2], ["char prev_comm[16]", "pid_t prev_pid"]);
    }
    if has_btf() {
        let listed = Setup::default().list("fexit:vfs_read", true).remove(0);
        assert_eq!(listed.name, "fexit:vmlinux:vfs_read");
        assert_eq!(
            listed.args,
            ["struct file * file", "char * buf", "size_t count", "loff_t * pos", "ssize_t retval"]
        );
        let listed = Setup::default().list("kprobe:vfs_read", true).remove(0);
        assert_eq!(
            (listed.name.as_str(), listed.args[0].as_str()),
            ("kprobe:vfs_read", "struct file * arg0")
        );
        let listed = Setup::default().list("rt:sched_switch", true).remove(0);
        assert_eq!(
            (listed.name.as_str(), listed.args[0].as_str()),
            ("rawtracepoint:vmlinux:sched_switch", "bool preempt")
        );
    }
}

#[test]
fn lists_search_all_providers() {
    if !has_tracefs() || !has_btf() {
        return;
    }
    let found = names("*nanosleep*");
    let of = |start: &str| found.iter().position(|name| name.starts_with(start)).unwrap();
    assert!(of("fentry:vmlinux:") < of("kprobe:") && of("kprobe:") < of("tracepoint:syscalls:sys_enter_"));
    assert!(!found.iter().any(|name| name.starts_with("kretprobe:") || name.starts_with("fexit:")));
    assert!(names("soft*").iter().all(|name| name.starts_with("software:")));
    let own = own_program();
    assert_eq!(
        names(&format!("*:{own}:probes_test_*")),
        [format!("uprobe:{own}:probes_test_one"), format!("uprobe:{own}:probes_test_two")]
    );
    let setup = Setup { pid: Some(std::process::id()), ..Setup::default() };
    assert!(setup.names("uprobe:probes_test_o*").contains(&format!("uprobe:{own}:probes_test_one")));
    let pattern = parse_attach_point("uprobe", FileId(0)).unwrap();
    let refused = Setup::default().with(|host| list(&pattern, false, host, &mut |_| {})).unwrap_err();
    assert!(refused.message.contains("in which program"));
}
