//! Generates the parser and, for static builds, names exactly the LLVM archives that the BPF backend needs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=grammar");
    lalrpop::Configuration::new().set_in_dir("grammar").set_out_dir(env::var("OUT_DIR")?).process()?;
    if env::var("PROFILE").is_ok_and(|p| p == "release") {
        // Only what ships is stripped. The profile's own `strip` would strip the tests too, which look for their own
        // functions.
        println!("cargo:rustc-link-arg-bins=-s");
    }
    embed_bpf_headers()?;
    if env::var_os("CARGO_FEATURE_LLVM_STATIC").is_some() {
        link_llvm()?;
    }
    Ok(())
}

/// libbpf's headers for BPF C, which imported files include: those of the very libbpf that links and loads them.
const BPF_HEADERS: [&str; 6] =
    ["bpf_core_read.h", "bpf_endian.h", "bpf_helper_defs.h", "bpf_helpers.h", "bpf_tracing.h", "usdt.bpf.h"];

/// Writes a table of the headers' names and texts, for `src/interop/`.
fn embed_bpf_headers() -> Result<(), Box<dyn std::error::Error>> {
    let directory = env::var_os("DEP_BPF_INCLUDE").ok_or("libbpf-sys does not say where its headers are")?;
    let mut table = String::from("&[\n");
    for name in BPF_HEADERS {
        let path = Path::new(&directory).join("bpf").join(name);
        println!("cargo:rerun-if-changed={}", path.display());
        table += &format!("    ({name:?}, include_str!({path:?})),\n");
    }
    table += "]\n";
    std::fs::write(Path::new(&env::var("OUT_DIR")?).join("bpf_headers.rs"), table)?;
    Ok(())
}

/// llvm-sys can link all of LLVM or none of it; all of it would add Polly, z3 and libxml2 to a binary that only
/// ever emits BPF, so its own linking is switched off and the components are listed here.
fn link_llvm() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-env-changed=LLVM_CONFIG");
    println!("cargo:rerun-if-env-changed=LLVM_SYS_191_PREFIX");
    let config = llvm_config();
    println!("cargo:rustc-link-search=native={}", output(Command::new(&config).arg("--libdir"))?);
    // inkwell's `Module` refers to the execution engine in its destructor, so that has to be there to link.
    let components = ["bpf", "passes", "target", "irreader", "bitwriter", "linker", "executionengine"];
    let archives = output(Command::new(&config).args(["--link-static", "--libnames"]).args(components))?;
    for archive in archives.split_whitespace() {
        let name = archive.strip_prefix("lib").and_then(|n| n.strip_suffix(".a")).unwrap_or(archive);
        println!("cargo:rustc-link-lib=static={name}");
    }
    for library in ["z", "zstd", "stdc++"] {
        let path = output(Command::new("c++").arg(format!("-print-file-name=lib{library}.a")))?;
        if let Some(dir) = Path::new(&path).parent().filter(|d| d.is_absolute()) {
            println!("cargo:rustc-link-search=native={}", dir.canonicalize()?.display());
        }
        println!("cargo:rustc-link-lib=static={library}");
    }
    for library in ["m", "rt", "dl", "pthread"] {
        println!("cargo:rustc-link-lib=dylib={library}");
    }
    // A fixed load address spares the dynamic linker tens of thousands of relocations of LLVM's tables at start.
    println!("cargo:rustc-link-arg-bins=-no-pie");
    Ok(())
}

fn llvm_config() -> PathBuf {
    if let Some(path) = env::var_os("LLVM_CONFIG") {
        return path.into();
    }
    match env::var_os("LLVM_SYS_191_PREFIX") {
        Some(prefix) => Path::new(&prefix).join("bin/llvm-config"),
        None => "llvm-config-19".into(),
    }
}

fn output(command: &mut Command) -> io::Result<String> {
    let out = command.output().map_err(|e| io::Error::other(format!("cannot run {command:?}: {e}")))?;
    if !out.status.success() {
        return Err(io::Error::other(format!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&out.stderr)
        )));
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
