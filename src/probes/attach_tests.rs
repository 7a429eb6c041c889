//! Attaching to the running kernel. What a test sees is how often its program ran, as the kernel counts it.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

use inkwell::OptimizationLevel;
use inkwell::context::Context;
use inkwell::targets::{
    CodeModel, FileType, InitializationConfig, RelocMode, Target as Machine, TargetTriple,
};
use libbpf_rs::{Object, ObjectBuilder, ProgramMut};

use super::attach::{Attachment, attach, missed};
use super::refusal::AttachError;
use crate::diagnostics::Span;
use crate::image::{Attach, Cpus, Sample, Target};
use crate::kernel::{Feature, Kernel, owned};
use crate::process::elf::Elf;

/// Says so and returns false where the test cannot run.
pub(super) fn may_attach() -> bool {
    let kernel = Kernel::new();
    let may = kernel.capabilities().may_trace(kernel.version());
    if !may {
        crate::testing::skip("root", "attaching to the kernel takes CAP_BPF and CAP_PERFMON");
    }
    may
}

/// An object with a program that does nothing.
fn object(section: &str) -> Object {
    Machine::initialize_bpf(&InitializationConfig::default());
    let context = Context::create();
    let module = context.create_module("test");
    let triple = TargetTriple::create("bpf");
    module.set_triple(&triple);
    let int = context.i32_type();
    let pointer = context.ptr_type(Default::default());
    let function = module.add_function("probe", int.fn_type(&[pointer.into()], false), None);
    function.set_section(Some(section));
    // Without it there would be an unwind table, which libbpf complains about.
    let kind = inkwell::attributes::Attribute::get_named_enum_kind_id("nounwind");
    let nounwind = context.create_enum_attribute(kind, 0);
    function.add_attribute(inkwell::attributes::AttributeLoc::Function, nounwind);
    let builder = context.create_builder();
    builder.position_at_end(context.append_basic_block(function, ""));
    builder.build_return(Some(&int.const_zero())).unwrap();
    let text = context.const_string(b"GPL", true);
    let license = module.add_global(text.get_type(), None, "LICENSE");
    license.set_initializer(&text);
    license.set_section(Some("license"));
    let machine = Machine::from_triple(&triple)
        .unwrap()
        .create_target_machine(
            &triple,
            "v3",
            "",
            OptimizationLevel::Default,
            RelocMode::Default,
            CodeModel::Default,
        )
        .unwrap();
    let elf = machine.write_to_memory_buffer(&module, FileType::Object).unwrap();
    ObjectBuilder::default().open_memory(elf.as_slice()).unwrap().load().unwrap()
}

/// Has the kernel count runs while it lives.
fn statistics() -> OwnedFd {
    // SAFETY: takes a number.
    owned(unsafe { libbpf_sys::bpf_enable_stats(libbpf_sys::BPF_STATS_RUN_TIME) }).expect("counted runs")
}

fn runs(program: &ProgramMut<'_>) -> u64 {
    crate::kernel::programs::info(program.as_fd(), &mut []).expect("a program").0.run_cnt
}

pub(super) fn point(name: &str, what: Target) -> Attach {
    Attach { name: name.into(), span: Span::default(), what }
}

/// Attaches, does something, and returns how often the program ran meanwhile, and how often after detaching.
fn hits(section: &str, what: Target, act: impl Fn()) -> Result<(u64, u64), AttachError> {
    let _statistics = statistics();
    let object = object(section);
    let program = object.progs_mut().next().unwrap();
    let attachment: Attachment = attach(&Kernel::new(), program.as_fd(), &point("test", what))?;
    assert!(!attachment.is_empty());
    act();
    let deadline = Instant::now() + Duration::from_secs(5);
    while runs(&program) == 0 && Instant::now() < deadline {
        sleep(Duration::from_millis(5));
        act();
    }
    let before = runs(&program);
    assert_eq!(attachment.missed(), 0);
    drop(attachment);
    let detached = runs(&program);
    act();
    sleep(Duration::from_millis(20));
    assert_eq!(missed(&program), 0);
    Ok((before, runs(&program) - detached))
}

fn perf(config: u32, sample: Sample, cpus: Cpus) -> Target {
    Target::Perf {
        kind: libbpf_sys::PERF_TYPE_SOFTWARE,
        config: config.into(),
        sample,
        cpus,
        pid: None,
        name_id: 7,
    }
}

#[test]
fn an_interval_fires_and_stops() {
    if !may_attach() {
        return;
    }
    let every_5_ms = perf(libbpf_sys::PERF_COUNT_SW_CPU_CLOCK, Sample::Period(5_000_000), Cpus::One);
    let started = Instant::now();
    let (hits, after) = hits("perf_event", every_5_ms, || sleep(Duration::from_millis(100))).unwrap();
    // A busy machine sleeps longer and delays some; on all of its CPUs there would be more.
    let most = started.elapsed().as_millis() as u64 / 5 + 1;
    assert!((5..=most).contains(&hits), "{hits} of {most}");
    assert_eq!(after, 0);
}

#[test]
fn a_software_event_fires() {
    if !may_attach() {
        return;
    }
    let faults = perf(libbpf_sys::PERF_COUNT_SW_PAGE_FAULTS, Sample::Period(1), Cpus::All);
    let (hits, _) = hits("perf_event", faults, || drop(vec![1u8; 1 << 24])).unwrap();
    assert!(hits > 0);
}

#[test]
fn a_frequency_over_the_limit_is_explained() {
    if !may_attach() {
        return;
    }
    let often = perf(libbpf_sys::PERF_COUNT_SW_CPU_CLOCK, Sample::Frequency(i64::MAX as u64), Cpus::All);
    let error = hits("perf_event", often, || {}).unwrap_err();
    assert!(error.message.contains("perf_event_max_sample_rate"), "{error}");
}

#[test]
fn a_tracepoint_fires() {
    if !may_attach() {
        return;
    }
    let openat =
        Target::Tracepoint { category: "syscalls".into(), event: "sys_enter_openat".into(), name_id: 0 };
    let (hits, _) = hits("tp", openat, || drop(File::open("/dev/null"))).unwrap();
    assert!(hits > 0);
    let nothing = Target::Tracepoint { category: "syscalls".into(), event: "nothing".into(), name_id: 0 };
    let error = attach_only("tp", nothing).unwrap_err();
    assert_eq!(error.message, "Unable to attach probe: test: there is no such event");
}

/// Attaches and detaches.
fn attach_only(section: &str, what: Target) -> Result<(), AttachError> {
    let object = object(section);
    let program = object.progs_mut().next().unwrap();
    attach(&Kernel::new(), program.as_fd(), &point("test", what)).map(drop)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn attach_test_one(n: u64) -> u64 {
    std::hint::black_box(n) + 1
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn attach_test_two(n: u64) -> u64 {
    std::hint::black_box(n) + 2
}

/// This program and where in its file the two functions are.
fn own_functions() -> (String, [u64; 2]) {
    let path = std::env::current_exe().unwrap();
    let elf = Elf::open(&path).unwrap();
    let offset = |name| elf.file_offset(elf.function(name).unwrap().unwrap().address).unwrap();
    (path.to_str().unwrap().into(), ["attach_test_one", "attach_test_two"].map(offset))
}

fn call_both() {
    assert_eq!(attach_test_one(1) + attach_test_two(1), 5);
}

#[test]
fn user_probes_fire_once_a_call() {
    if !may_attach() {
        return;
    }
    let (path, [one, _]) = own_functions();
    for ret in [false, true] {
        let what = |pid| Target::Uprobe { path: path.clone(), offset: one, ret, pid, name_id: 0 };
        assert_eq!(hits("uprobe", what(None), call_both).unwrap(), (1, 0));
        assert_eq!(hits("uprobe", what(Some(std::process::id())), call_both).unwrap(), (1, 0));
    }
}

#[test]
fn many_user_probes_share_a_link() {
    if !may_attach() {
        return;
    }
    if !Kernel::new().has(Feature::UprobeMulti) {
        return crate::testing::skip("uprobe_multi", "this kernel has no uprobe_multi");
    }
    let (path, offsets) = own_functions();
    for ret in [false, true] {
        let what = Target::UprobeMulti {
            path: path.clone(),
            offsets: offsets.into(),
            ret,
            pid: None,
            name_ids: vec![3, 4],
        };
        assert_eq!(hits("uprobe.multi", what, call_both).unwrap(), (2, 0));
    }
    let gone = Target::UprobeMulti {
        path: "/no/such/file".into(),
        offsets: vec![0],
        ret: false,
        pid: None,
        name_ids: vec![],
    };
    let error = attach_only("uprobe.multi", gone).unwrap_err();
    assert_eq!(error.message, "Unable to attach probe: test: /no/such/file does not exist any more");
}

#[test]
fn a_raw_tracepoint_fires() {
    if !may_attach() {
        return;
    }
    let what = |event: &str| Target::RawTracepoint { event: event.into(), typed: false };
    let (hits, _) = hits("raw_tp", what("sys_enter"), || drop(File::open("/dev/null"))).unwrap();
    assert!(hits > 0);
    let error = attach_only("raw_tp", what("nothing")).unwrap_err();
    assert_eq!(error.message, "Unable to attach probe: test: there is no such event");
}

#[test]
fn a_kernel_without_kprobes_is_named() {
    if !may_attach() || Kernel::new().has_kprobes() {
        return eprintln!("SKIPPED: for kernels without kprobes");
    }
    let what =
        Target::Kprobe { function: "vfs_read".into(), module: None, offset: 0, ret: false, name_id: 0 };
    let error = attach_only("kprobe", what).unwrap_err();
    assert!(error.message.contains("CONFIG_KPROBES"), "{error}");
}

/// A file that ends at once, read `n` times: as many calls of `vfs_read`, apart from what other processes do.
fn read_file(n: u32) {
    use std::io::Read;
    let mut file = File::open("/proc/self/comm").unwrap();
    for _ in 0..n {
        let _ = file.read(&mut [0; 16]);
    }
}

fn has_kprobes() -> bool {
    let has = may_attach() && Kernel::new().has_kprobes();
    if !has {
        crate::testing::skip("kprobe", "this kernel has no kprobes");
    }
    has
}

#[test]
fn kernel_functions_fire() {
    if !has_kprobes() {
        return;
    }
    let what = |function: &str, offset, ret| Target::Kprobe {
        function: function.into(),
        module: None,
        offset,
        ret,
        name_id: 0,
    };
    for ret in [false, true] {
        let (hits, _) = hits("kprobe", what("vfs_read", 0, ret), || read_file(10)).unwrap();
        assert!(hits >= 10, "{hits}");
    }
    let error = attach_only("kprobe", what("no_such_function", 0, false)).unwrap_err();
    assert!(error.message.contains("no function no_such_function"), "{error}");
    let error = attach_only("kprobe", what("vfs_read", 1, false)).unwrap_err();
    assert!(error.message.contains("middle of an instruction"), "{error}");
}

#[test]
fn many_kernel_functions_share_a_link() {
    if !has_kprobes() {
        return;
    }
    if !Kernel::new().has(Feature::KprobeMulti) {
        return crate::testing::skip("kprobe_multi", "this kernel has no kprobe_multi");
    }
    let names = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
    // What cannot be attached does not keep the others from it.
    let functions: Vec<String> = names(&["vfs_read", "no_such_function", "vfs_write", "vfs_open"]);
    for ret in [false, true] {
        let what = Target::KprobeMulti { functions: functions.clone(), ret, name_ids: vec![1, 2, 3, 4] };
        let (hits, after) = hits("kprobe.multi", what, || read_file(10)).unwrap();
        assert!(hits >= 11, "{hits}");
        assert_eq!(after, 0);
    }
    let object = object("kprobe.multi");
    let program = object.progs_mut().next().unwrap();
    let what = Target::KprobeMulti { functions, ret: false, name_ids: vec![] };
    let place = point("kprobe:vfs_*", what);
    let refused = attach(&Kernel::new(), program.as_fd(), &place).unwrap().take_refused();
    assert_eq!(refused, ["no_such_function"]);
    let said = super::refusal::partly(&place, &refused).message;
    assert_eq!(said, "Unable to attach probe: kprobe:vfs_*: not to no_such_function");
    let what =
        Target::KprobeMulti { functions: names(&["no_such", "nor_this"]), ret: false, name_ids: vec![] };
    let error = attach_only("kprobe.multi", what).unwrap_err();
    assert!(error.message.contains("the kernel has none of the functions"), "{error}");
}

#[test]
fn trampolines_fire() {
    if !may_attach() || !Kernel::new().has(Feature::Fentry) {
        return crate::testing::skip("fentry", "this kernel has no fentry");
    }
    for (section, ret) in [("fentry/vfs_read", false), ("fexit/vfs_read", true)] {
        let what = Target::Fentry { function: "vfs_read".into(), module: None, ret };
        let (hits, _) = hits(section, what, || read_file(10)).unwrap();
        assert!(hits >= 10, "{hits}");
    }
}
