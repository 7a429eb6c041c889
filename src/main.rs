use std::process::ExitCode;

fn main() -> ExitCode {
    bpftrace::main(std::env::args_os().skip(1), |name| std::env::var(name).ok())
}
