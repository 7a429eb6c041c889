use std::process::ExitCode;

fn main() -> ExitCode {
    // What is not text is none of our variables.
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    bpftrace::main(std::env::args_os().skip(1), &std::env::vars_os().filter_map(text).collect())
}
