//! What all cases share: the binary under test and the program they trace.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use super::case;

pub struct Setup {
    /// The `bpftrace` under test: `BPFTRACE_TEST_BINARY`, or the one that cargo built with these tests.
    pub bpftrace: PathBuf,
    /// The compiled `workload.c`.
    pub workload: PathBuf,
    pub in_vm: bool,
    /// By what the timeouts of cases are multiplied.
    pub slowness: u64,
    /// The binary where any user may run it: the build's directory may be closed to others.
    for_others: PathBuf,
    /// Where that is.
    _directory: tempfile::TempDir,
}

impl Setup {
    pub fn new() -> Result<Setup, String> {
        let bpftrace = env::var_os("BPFTRACE_TEST_BINARY")
            .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_bpftrace")), PathBuf::from);
        if !bpftrace.is_file() {
            return Err(format!("there is no {}", bpftrace.display()));
        }
        let in_vm = env::var("BPFTRACE_TEST_TIER").is_ok_and(|tier| tier == "vm");
        let slowness = match env::var("BPFTRACE_TEST_SLOWNESS") {
            Ok(text) => text.parse().map_err(|_| format!("BPFTRACE_TEST_SLOWNESS={text} is not a number"))?,
            Err(_) => 1,
        };
        // Before anything is started: a file that another process has inherited open for writing cannot be run.
        let (directory, for_others) =
            copy_for_others(&bpftrace).map_err(|e| format!("cannot copy it: {e}"))?;
        Ok(Setup { bpftrace, workload: workload()?, in_vm, slowness, for_others, _directory: directory })
    }

    /// How long something may take here that may take so many seconds on a machine of its own.
    pub fn timeout(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds * self.slowness)
    }

    /// The binary for this user, or for whoever runs the tests.
    pub fn bpftrace_for(&self, user: Option<&str>) -> &Path {
        if user.is_some() { &self.for_others } else { &self.bpftrace }
    }
}

fn copy_for_others(bpftrace: &Path) -> std::io::Result<(tempfile::TempDir, PathBuf)> {
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let copy = directory.path().join("bpftrace");
    fs::copy(bpftrace, &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    Ok((directory, copy))
}

/// Compiles `workload.c` unless that was done since it last changed (before the VM was booted, for instance).
fn workload() -> Result<PathBuf, String> {
    let source = case::directory().join("workload.c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("workload");
    let modified = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    let newest =
        [&source, &source.with_file_name("marks.h")].into_iter().filter_map(|path| modified(path)).max();
    if modified(&program).is_some_and(|built| newest.is_some_and(|written| built > written)) {
        return Ok(program);
    }
    // Beside it and then renamed: another run of the tests may be using the old one.
    let fresh = program.with_extension(std::process::id().to_string());
    let output = Command::new("cc")
        .args([
            "-g",
            "-O1",
            "-fno-omit-frame-pointer",
            "-fno-pie",
            "-no-pie",
            "-rdynamic",
            "-Wall",
            "-Werror",
        ])
        .arg("-o")
        .args([&fresh, &source])
        .output()
        .map_err(|e| format!("cannot run cc: {e}"))?;
    if !output.status.success() {
        return Err(format!("cc {}:\n{}", source.display(), String::from_utf8_lossy(&output.stderr)));
    }
    fs::rename(&fresh, &program).map_err(|e| format!("{}: {e}", program.display()))?;
    Ok(program)
}
