//! Why the kernel did not load a program, in words, with the line of the script.

use super::Job;
use super::load::BUG;
use crate::diagnostics::{Diagnostic, FileId, Sources, Span};
use crate::image::Target;
use crate::kernel::Feature;

/// What to tell the user about a failed load; `log` is all that libbpf said.
pub fn explain(job: &Job<'_>, error: &libbpf_rs::Error, log: &str) -> Diagnostic {
    let kernel = job.kernel.version();
    if let Some(rejection) = Rejection::find(log) {
        let span = rejection.line(job.sources).or_else(|| {
            let programs = &job.image.manifest.programs;
            programs.iter().find(|p| p.name == rejection.program).map(|p| p.span)
        });
        let imported = rejection.imported(span, job.sources);
        let message = match &imported {
            Some(_) => "the kernel refused to load this function, which the script imports",
            None => "the kernel refused to load the program compiled from this",
        };
        let mut diagnostic = Diagnostic::error("verifier", span, message);
        if let Some(reason) = &rejection.reason {
            diagnostic = diagnostic.note(format!("the verifier's reason: {reason}"));
        }
        if rejection.lacks_helper("bpf_override_return") {
            return diagnostic.note(
                "override() takes a kernel that was built with CONFIG_BPF_KPROBE_OVERRIDE, which this is not",
            );
        }
        if rejection.is_no_packet() {
            return diagnostic
                .note(
                    "skboutput() takes a struct sk_buff that the kernel hands to the probe; for this argument it cannot tell \
                     that it is one",
                )
                .help("give the argument itself (args.skb), not what was calculated from it or kept elsewhere");
        }
        if rejection.is_too_much() && !job.kernel.has(Feature::Loop) {
            return diagnostic
                .note(format!(
                    "this kernel, {kernel}, goes through every round of a loop and every piece of a long string; from \
                     Linux 5.17 on (bpf_loop) it need not"
                ))
                .help("fewer rounds, fewer loops in one another, shorter strings (str(…, 64), a lower max_strlen)");
        }
        if rejection.reason.is_some_and(|reason| reason.contains("number of maps per program")) {
            return diagnostic
                .note("each map of the script that the probe uses counts, and some of bpftrace's own")
                .help("put what the probe does into several probes, or keep several values in one map: @[\"name\", key]");
        }
        if rejection.is_too_much() && imported.is_none() {
            return diagnostic
                .note("the kernel gives up on programs of this length, or with this many branches")
                .help("shorten the probe: fewer statements, `for` or `while` instead of unroll(), or several probes");
        }
        diagnostic = match imported {
            Some(place) => {
                let calls = job.image.manifest.programs.iter().find(|p| p.name == rejection.program);
                let diagnostic = match calls {
                    Some(program) => diagnostic.label(program.span, "called from here"),
                    None => diagnostic,
                };
                let diagnostic =
                    if span == calls.map(|p| p.span) { diagnostic.note(place) } else { diagnostic };
                diagnostic.help(
                    "most pointers of a script are mere numbers to the verifier: read what they point to with \
                     bpf_probe_read_kernel(), bpf_probe_read_user() or BPF_CORE_READ()",
                )
            }
            None => diagnostic
                .note(BUG)
                .help(format!("please report it with the script and the kernel's version, {kernel}")),
        };
        return if job.options.verbose {
            let log = tail(rejection.log.trim_end(), job.config.log_size);
            diagnostic.note(format!("the verifier's log:\n{log}"))
        } else {
            diagnostic.help("-v shows the verifier's log")
        };
    }
    if let Some(complaint) = job.kernel.lockdown().complaint() {
        return complaint;
    }
    if let Some(refused) = no_trampolines(job) {
        return refused;
    }
    let mut diagnostic =
        Diagnostic::error("load", None, format!("the kernel did not load the program: {error}"));
    if let Some((map, reason)) = refused_map(log) {
        let name = job.image.manifest.maps.iter().find(|own| own.symbol == map).map_or(map, |own| &own.name);
        diagnostic.message = format!("the kernel did not create the map {name}: {reason}");
        return diagnostic
            .help(
                "a map's memory is its keys and values times max_map_keys, for some once more times the CPUs",
            )
            .help("set a lower max_map_keys, or for strings as keys a lower max_strlen");
    }
    if let Some(line) = log.lines().rev().find(|line| !line.trim().is_empty()) {
        diagnostic = diagnostic.note(format!("libbpf: {}", line.trim_start_matches("libbpf: ")));
    }
    diagnostic.help("-d libbpf shows everything that libbpf says")
}

/// The last lines of a log, as many as fit into so many bytes, and the last one whatever its length.
fn tail(log: &str, bytes: u64) -> &str {
    let from = log.len().saturating_sub(usize::try_from(bytes).unwrap_or(usize::MAX));
    if from == 0 {
        return log;
    }
    // The line that is cut, with the newline before it, is left out.
    let newline = log.as_bytes().iter().skip(from - 1).position(|b| *b == b'\n').map(|n| from + n);
    let start = newline.or_else(|| log.rfind('\n').map(|n| n + 1)).unwrap_or(0);
    log.get(start..).unwrap_or(log)
}

/// The script has fentry or fexit probes, and the kernel takes none.
fn no_trampolines(job: &Job<'_>) -> Option<Diagnostic> {
    let mut places = job.image.manifest.programs.iter().flat_map(|program| &program.attach);
    let (place, function, ret) = places.find_map(|place| match &place.what {
        Target::Fentry { function, ret, .. } => Some((place, function, *ret)),
        _ => None,
    })?;
    if job.kernel.has(Feature::Fentry) {
        return None;
    }
    let (what, instead) = if ret { ("fexit", "kretprobe") } else { ("fentry", "kprobe") };
    let problem =
        Diagnostic::error("no-fentry", place.span, format!("this kernel does not run {what} probes"));
    Some(problem.help(if job.kernel.has_kprobes() {
        format!("{instead}:{function} sees the same calls, without the names of their arguments")
    } else {
        "nor has it kprobes; a tracepoint may see the same: bpftrace -l 'tracepoint:*' lists them".to_owned()
    }))
}

/// A map that could not be created: its name in the object, and the kernel's error.
fn refused_map(log: &str) -> Option<(&str, &str)> {
    log.lines().find_map(|line| {
        let (map, rest) = line.split_once("map '")?.1.split_once('\'')?;
        Some((map, rest.split_once("failed to create: ")?.1))
    })
}

/// A program that the verifier refused.
#[derive(Debug, PartialEq, Eq)]
struct Rejection<'l> {
    program: &'l str,
    log: &'l str,
    /// The verifier's last word.
    reason: Option<&'l str>,
    /// The last line of source that it looked at: its text and, from 6.10 on, its file's last name and its number.
    source: Option<(&'l str, Option<(&'l str, usize)>)>,
}

impl<'l> Rejection<'l> {
    fn find(log: &'l str) -> Option<Rejection<'l>> {
        let (before, rest) = log.split_once("-- BEGIN PROG LOAD LOG --\n")?;
        let text = rest.split("-- END PROG LOAD LOG --").next()?;
        // libbpf repeats the name before the closing line: `libbpf: prog 'x': `.
        let text = text.rsplit_once('\n').map_or(text, |(text, _)| text);
        let program = before.rsplit_once("prog '")?.1.split('\'').next()?;
        let lines = || walked(text).lines().rev().map(str::trim).filter(|line| !line.is_empty());
        let reason = lines().find(|line| is_reason(line));
        let source = lines().find_map(|line| line.strip_prefix("; ")).map(|line| {
            // `text @ file:line`
            match line.rsplit_once(" @ ") {
                Some((text, place)) => {
                    let place = place.rsplit_once(':').and_then(|(file, n)| Some((file, n.parse().ok()?)));
                    (text, place)
                }
                None => (line, None),
            }
        });
        Some(Rejection { program, log: text, reason, source })
    }

    /// Where in a file of C the fault is, as words, if it is in one: the object that was linked may be all there is of it.
    fn imported(&self, span: Option<Span>, sources: &Sources) -> Option<String> {
        let (text, place) = self.source?;
        let of_c = |name: &str| name.ends_with(".c");
        let shown = span.and_then(|span| sources.get(span.file)).is_some_and(|source| of_c(&source.name));
        match place {
            Some((file, line)) if of_c(file) => {
                Some(format!("it is in line {line} of {file}: {}", text.trim()))
            }
            _ => shown.then(|| format!("it is in: {}", text.trim())),
        }
    }

    /// Whether the program was only too long to be followed: `The sequence of 8193 jumps is too complex`, `BPF program
    /// is too large. Processed 1000001 insn`.
    fn is_too_much(&self) -> bool {
        let too_much =
            |reason: &str| reason.contains("too complex") || reason.contains("program is too large");
        self.reason.is_some_and(too_much)
    }

    /// Whether the kernel does not let such a program call this helper. Linux 5.10 and 6.1 say `unknown func`, later ones
    /// `program of this type cannot use helper`, and the newest go on talking after that.
    fn lacks_helper(&self, helper: &str) -> bool {
        ["unknown func ", "cannot use helper "]
            .iter()
            .any(|words| self.log.contains(&format!("{words}{helper}#")))
    }

    /// Whether it was the packet that `skboutput` was given.
    fn is_no_packet(&self) -> bool {
        let last = walked(self.log).lines().rev().find(|line| line.contains(" call bpf_"));
        let output = last.is_some_and(|line| line.contains(" call bpf_skb_output#"));
        output && self.reason.is_some_and(|reason| reason.starts_with("R1 "))
    }

    /// The line of the script or of what it imports, without the blanks around it.
    fn line(&self, sources: &Sources) -> Option<Span> {
        let (text, place) = self.source?;
        let (text, number) = (text.trim(), place.map(|(_, number)| number));
        let files = sources.ids().filter(|id| sources.expansion(*id).is_none());
        let named = |id: FileId| {
            let name = sources.get(id).and_then(|source| source.name.rsplit('/').next());
            place.is_none_or(|(file, _)| name == Some(file))
        };
        files.filter(|id| named(*id)).find_map(|file| {
            let source = &sources.get(file)?.text;
            let mut start = 0;
            for (n, line) in source.split_inclusive('\n').enumerate() {
                let bare = line.trim();
                if number.map_or(!bare.is_empty() && bare == text, |number| number == n + 1) {
                    let from = start + line.len() - line.trim_start().len();
                    return Some(Span::new(file, from, from + bare.len()));
                }
                start += line.len();
            }
            None
        })
    }
}

/// The log up to where the verifier gave up: from Linux 7.3 on, a report follows that says it all once more.
fn walked(log: &str) -> &str {
    log.split("\nVerification failed: ").next().unwrap_or(log)
}

/// Whether a line of the log is a sentence, not an instruction, a state or a statistic.
fn is_reason(line: &str) -> bool {
    let number =
        line.split(':').next().is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let noise = [
        "processed ",
        "verification time",
        "stack depth",
        "; ",
        "from ",
        "R",
        "last_idx",
        "regs=",
        "parent ",
    ];
    // A register's complaint starts with the register, too: `R1 type=…` against `R0=…`.
    let complaint = line.starts_with('R')
        && line.contains(' ')
        && !line.split(' ').next().is_some_and(|w| w.contains('='));
    complaint || !(number || noise.iter().any(|start| line.starts_with(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
libbpf: prog 'kprobe_1': BPF program load failed: Permission denied
libbpf: prog 'kprobe_1': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
; @x[pid] = *arg0; @ stdin:2
0: (79) r1 = *(u64 *)(r1 +112)        ; R1_w=scalar()
1: (79) r2 = *(u64 *)(r1 +0)
R1 invalid mem access 'scalar'
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 'kprobe_1': failed to load: -EACCES
";

    #[test]
    fn a_log_names_program_line_and_reason() {
        let rejection = Rejection::find(LOG).unwrap();
        assert_eq!(rejection.program, "kprobe_1");
        assert_eq!(rejection.reason, Some("R1 invalid mem access 'scalar'"));
        assert_eq!(rejection.source, Some(("@x[pid] = *arg0;", Some(("stdin", 2)))));
        let sources = Sources::single("stdin", "kprobe:f {\n  @x[pid] = *arg0; }\n");
        assert_eq!(sources.text(rejection.line(&sources).unwrap()), "@x[pid] = *arg0; }");
    }

    #[test]
    fn a_helper_that_the_kernel_lacks_is_known_in_the_words_of_old_and_new_kernels() {
        for reason in [
            "unknown func bpf_override_return#58",
            "program of this type cannot use helper bpf_override_return#58",
        ] {
            let log = LOG.replace("R1 invalid mem access 'scalar'", reason);
            assert!(Rejection::find(&log).unwrap().lacks_helper("bpf_override_return"), "{reason}");
            assert!(!Rejection::find(&log).unwrap().lacks_helper("bpf_override"), "{reason}");
        }
        let call = LOG.replace("(79) r2 = *(u64 *)(r1 +0)", "(85) call bpf_override_return#58");
        assert!(!Rejection::find(&call).unwrap().lacks_helper("bpf_override_return"));
    }

    #[test]
    fn too_much_is_told_from_wrong() {
        assert!(!Rejection::find(LOG).unwrap().is_too_much());
        for reason in
            ["The sequence of 8193 jumps is too complex.", "BPF program is too large. Processed 1000001 insn"]
        {
            let log = LOG.replace("R1 invalid mem access 'scalar'", reason);
            assert!(Rejection::find(&log).unwrap().is_too_much(), "{reason}");
        }
    }

    #[test]
    fn what_is_no_packet_is_known() {
        let log = LOG.replace(
            "1: (79) r2 = *(u64 *)(r1 +0)\nR1 invalid mem access 'scalar'",
            "9: (85) call bpf_skb_output#111\nR1 type=scalar expected=ptr_, trusted_ptr_, rcu_ptr_",
        );
        assert!(Rejection::find(&log).unwrap().is_no_packet());
        assert!(!Rejection::find(&log.replace("skb_output#111", "loop#181")).unwrap().is_no_packet());
        assert!(!Rejection::find(&log.replace("R1 type", "R2 type")).unwrap().is_no_packet());
        let report = "\n\nVerification failed: Call Type Safety\n\nReason:\n  The first argument (R1) to bpf_skb_output \
                      does not do.\n\n  >>> 9 | (85) call bpf_skb_output#111\n  3 | (85) call bpf_loop#181\n\nSuggestion:\n  Pass another.\n\nprocessed 2";
        let rejection = log.replace("\nprocessed 2", report);
        assert!(Rejection::find(&rejection).unwrap().is_no_packet());
    }

    #[test]
    fn a_line_of_an_import_is_found() {
        let log = LOG.replace("stdin:2", "helpers.bt:1");
        let mut sources = Sources::single("stdin", "kprobe:f {\n  read(arg0); }\n");
        sources.add("lib/helpers.bt", "macro read(x) { @x[pid] = *x; }\n");
        let line = Rejection::find(&log).unwrap().line(&sources).unwrap();
        assert_eq!(sources.text(line), "macro read(x) { @x[pid] = *x; }");
    }

    #[test]
    fn older_kernels_give_the_line_without_its_number() {
        let log = LOG.replace(" @ stdin:2", "");
        let rejection = Rejection::find(&log).unwrap();
        let sources = Sources::single("stdin", "kprobe:f {\n\n  @x[pid] = *arg0;\n}\n");
        assert_eq!(sources.text(rejection.line(&sources).unwrap()), "@x[pid] = *arg0;");
        let other = Sources::single("stdin", "BEGIN { }");
        assert_eq!(rejection.line(&other), None);
    }

    #[test]
    fn of_a_long_log_the_end_is_shown() {
        let log = "one\ntwo\nthrée";
        for (bytes, shown) in [
            (100, log),
            (14, log),
            (13, "two\nthrée"),
            (10, "two\nthrée"),
            (9, "thrée"),
            (6, "thrée"),
            (0, "thrée"),
        ] {
            assert_eq!(tail(log, bytes), shown, "{bytes}");
        }
        assert_eq!(tail("", 0), "");
    }

    #[test]
    fn reasons_are_sentences() {
        assert!(is_reason("BPF program is too large. Processed 1000001 insn"));
        assert!(is_reason("R2 unbounded memory access, make sure to bounds check any such access"));
        assert!(!is_reason("R0_w=scalar() R1=ctx() R10=fp0"));
        assert!(!is_reason("12: (85) call bpf_probe_read_kernel#113"));
        assert!(!is_reason("from 3 to 5: R0=scalar()"));
    }

    #[test]
    fn other_failures_are_found_too() {
        assert_eq!(Rejection::find("libbpf: failed to open\n"), None);
        let log = "libbpf: map 'at_x': failed to create: -ENOMEM\n";
        assert_eq!(refused_map(log), Some(("at_x", "-ENOMEM")));
    }
}
