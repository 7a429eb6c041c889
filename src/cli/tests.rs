use super::*;

fn read(args: &[&str]) -> Result<Options, Diagnostic> {
    parse(args.iter().map(OsString::from), &Environment::new())
}

fn program(options: &Options) -> &Program {
    match &options.command {
        Command::Run(program) => program,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_declarations_are_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn a_program_and_its_parameters() {
    let options = read(&["-e", "BEGIN { }", "one", "-v", "two"]).unwrap();
    assert_eq!(program(&options), &Program::Text("BEGIN { }".into()));
    assert_eq!(options.positional, ["one", "two"]);
    assert!(options.verbose);
    let options = read(&["script.bt", "7", "-5", "--", "x", "--aa=20", "--bb"]).unwrap();
    assert_eq!(program(&options), &Program::File("script.bt".into()));
    assert_eq!(options.positional, ["7", "-5", "x"]);
    assert_eq!(options.named, ["aa=20", "bb"]);
    assert_eq!(program(&read(&["-"]).unwrap()), &Program::Stdin);
    assert_eq!(program(&read(&["--", "file.bt"]).unwrap()), &Program::File("file.bt".into()));
    // The last -e counts, as with getopt.
    assert_eq!(program(&read(&["-e", "a", "-e", "-b"]).unwrap()), &Program::Text("-b".into()));
}

#[test]
fn listing() {
    let pattern = |args: &[&str]| match read(args).unwrap().command {
        Command::List(pattern) => pattern,
        other => panic!("{other:?}"),
    };
    assert_eq!(pattern(&["-l"]), "*:*");
    assert_eq!(pattern(&["-l", "*"]), "*:*");
    assert_eq!(pattern(&["-lv", "kprobe:vfs_*"]), "kprobe:vfs_*");
    assert_eq!(pattern(&["kprobe:vfs_*", "-l", "-v"]), "kprobe:vfs_*");
    assert!(read(&["-lv"]).unwrap().verbose);
    assert!(matches!(
        read(&["-l", "-e", "BEGIN {}"]).unwrap().command,
        Command::ListProgram(Program::Text(_))
    ));
    assert!(read(&["-l", "a", "b"]).is_err());
}

#[test]
fn values_are_checked() {
    for (args, message) in [
        (&["--pid", "x", "a.bt"][..], "Failed to parse pid: invalid integer: x"),
        (&["-p", "1x", "a.bt"], "Failed to parse pid: invalid trailing bytes: 1x"),
        (&["-p", "0", "a.bt"], "Pid out of range: 0"),
        (&["-p", "5000000", "a.bt"], "Pid out of range: 5000000"),
        (&["-f", "xml", "a.bt"], "Invalid output format \"xml\""),
        (&["-B", "some", "a.bt"], "there is no buffering mode \"some\""),
        (&["-d", "ast,sema", "a.bt"], "there is no stage \"sema\" to show"),
        (&["--no-feature", "speed", "a.bt"], "there is no feature \"speed\" to do without"),
        (&["-k", "--no-warnings", "a.bt"], "-k and --no-warnings exclude each other"),
        (&["-o"], "--output needs a value"),
        (&["-e", ""], "no program was given"),
        (&[], "nothing to do: give a script or -e 'program'"),
    ] {
        assert_eq!(read(args).unwrap_err().message, message, "{args:?}");
    }
    let options = read(&["-p", "0x10", "-d", "ast,codegen-opt", "-d", "ir", "a.bt"]).unwrap();
    assert_eq!(options.run.pid, Some(16));
    assert_eq!(options.stages, Stages { ast: true, ir: true, codegen_opt: true, ..Stages::default() });
    assert!(options.stages.before_loading() && !options.stages.loading());
}

#[test]
fn unknown_options_come_with_a_suggestion() {
    let error = read(&["--outptu", "x", "a.bt"]).unwrap_err();
    assert_eq!(error.message, "there is no option --outptu");
    assert_eq!(error.help, ["did you mean `--output`?"]);
    assert_eq!(read(&["-Z"]).unwrap_err().message, "there is no option -Z");
}

#[test]
fn long_options_may_be_cut_short() {
    assert!(read(&["--verb", "a.bt"]).unwrap().verbose);
}

#[test]
fn help_names_every_option_and_the_version_has_the_known_shape() {
    let Command::Print(help) = read(&["--help"]).unwrap().command else { panic!() };
    for argument in Arguments::command().get_arguments().filter(|a| !a.is_hide_set()) {
        if let Some(long) = argument.get_long() {
            assert!(help.contains(&format!("--{long}")), "{long}");
        }
    }
    let page = include_str!("../../man/man8/bpftrace.8").replace("\\-", "-");
    for argument in Arguments::command().get_arguments().filter(|a| !a.is_hide_set() && !a.is_positional()) {
        let long = argument.get_long().map(|long| format!("--{long}"));
        let name = long.unwrap_or_else(|| format!("-{}", argument.get_short().unwrap()));
        assert!(page.contains(&name), "{name} is not in the manual page");
    }
    for variable in crate::config::VARIABLES {
        assert!(help.contains(variable.name), "{}", variable.name);
    }
    assert!(help.lines().all(|line| line.chars().count() <= 120), "{help}");
    let Command::Print(version) = read(&["-V"]).unwrap().command else { panic!() };
    assert!(version.starts_with("bpftrace v0."), "{version}");
}

#[test]
fn the_environment_sets_config_variables() {
    let parse = |variables: &[(&str, &str)]| {
        let environment =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        super::parse(["a.bt".into()], &environment)
    };
    let options = parse(&[("BPFTRACE_MAX_STRLEN", "32"), ("BPFTRACE_BTF", "/boot/vmlinux.btf")]).unwrap();
    assert_eq!(options.btf, Some("/boot/vmlinux.btf".into()));
    assert_eq!((options.config.max_strlen, options.config_from_env), (32, vec!["max_strlen"]));
    assert!(options.complaints.is_empty() && !options.verify_llvm_ir);
    assert!(parse(&[("BPFTRACE_MAX_STRLEN", "many")]).unwrap_err().message.contains("max_strlen"));
    let options = parse(&[("BPFTRACE_STRLEN", "32"), ("BPFTRACE_VERIFY_LLVM_IR", "1")]).unwrap();
    assert!(options.verify_llvm_ir);
    assert_eq!((options.config.max_strlen, options.complaints.len()), (32, 1));
}

#[test]
fn help_about_names() {
    let printed = |args: &[&str]| match read(args).unwrap().command {
        Command::Print(text) => text,
        other => panic!("{other:?}"),
    };
    assert!(printed(&["--help", "str"]).starts_with("str (function)\n"));
    assert!(printed(&["--help", "kprobe", "max_strlen"]).contains("\nmax_strlen (config variable)\n"));
    assert_eq!(read(&["--help", "prinft"]).unwrap_err().help, ["did you mean `printf` or `print`?"]);
    // A script beside it is no name.
    for args in [&["--help"][..], &["script.bt", "--help"], &["-h", "./script"], &["-e", "BEGIN { }", "-h"]] {
        assert!(printed(args).contains("USAGE:"), "{args:?}");
    }
    assert!(printed(&["--help", "-f", "json", "pid"]).starts_with("{\"name\":\"pid\""));
    assert!(printed(&["--help", "-f", "json"]).lines().count() > 150);
}

/// What is written for the options of shells: `completions/`.
#[test]
fn shells_complete_the_options() {
    use clap_complete::Shell;
    let mut command = Arguments::command()
        .mut_arg("mode", |a| a.value_parser(["codegen", "test", "bench"]))
        .mut_arg("format", |a| a.value_parser(["text", "json"]))
        .mut_arg("buffering", |a| a.value_parser(["line", "full", "none"]));
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("completions");
    for (shell, file) in
        [(Shell::Bash, "bpftrace.bash"), (Shell::Zsh, "_bpftrace"), (Shell::Fish, "bpftrace.fish")]
    {
        let mut made = vec![];
        clap_complete::generate(shell, &mut command, "bpftrace", &mut made);
        let path = directory.join(file);
        if std::env::var_os("UPDATE").is_some_and(|v| v == "1") {
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(&path, &made).unwrap();
        }
        let written = std::fs::read(&path).unwrap_or_default();
        assert!(written == made, "{} does not know the options: run with UPDATE=1", path.display());
    }
}
