//! The build itself: one unit, no debug information, and no path of this machine in the object.

use super::{linker, rust_src};
use crate::toolchain::Toolchain;
use crate::util;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use super::fingerprint::PACKAGE;

/// The compiler's name for little-endian BPF.
pub const TARGET: &str = "bpfel-unknown-none";
/// The machine whose registers the programs read.
pub const ARCH: &str = "x86_64";

/// Builds the BPF programs and gives the object's bytes.
///
/// # Errors
/// When a tool is missing and cannot be installed, the build fails, or the object holds a path of
/// this machine or debug information.
pub fn object(toolchain: &Toolchain) -> Result<Vec<u8>> {
    let linker = linker::find_or_install(toolchain)?;
    let target_dir = util::target_dir().join("bpf");
    let mut cargo = cargo_for_bpf(toolchain, "build")?;
    cargo
        .args(["--package", PACKAGE, "--bin", PACKAGE])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker);
    util::run(&mut cargo).context("cannot build the BPF programs")?;
    let file = target_dir.join(TARGET).join("release").join(PACKAGE);
    let object = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    inspect(&object, &machine_paths(toolchain))?;
    Ok(object)
}

/// `cargo SUBCOMMAND` for the target of the BPF programs, with everything fixed that could change
/// the result from one machine to the next.
///
/// # Errors
/// When the sources of `core` are missing and cannot be fetched.
pub fn cargo_for_bpf(toolchain: &Toolchain, subcommand: &str) -> Result<Command> {
    rust_src::ensure(toolchain)?;
    let mut cargo = toolchain.cargo();
    cargo
        .args([subcommand, "--locked", "--release", "--target", TARGET])
        .args(["--features", "programs", "-Z", "build-std=core"])
        // `-Z` on a stable compiler: core is not shipped for this target.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(toolchain)?)
        .env_remove("RUSTFLAGS")
        .env("CARGO_INCREMENTAL", "0");
    // The profile of the host is not this one's.
    for (key, value) in [
        ("OPT_LEVEL", "3"),
        ("LTO", "fat"),
        ("CODEGEN_UNITS", "1"),
        ("PANIC", "abort"),
        ("STRIP", "none"),
        ("DEBUG", "false"),
        ("DEBUG_ASSERTIONS", "false"),
        ("OVERFLOW_CHECKS", "false"),
    ] {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
    }
    Ok(cargo)
}

/// The compiler's flags, separated as `CARGO_ENCODED_RUSTFLAGS` wants them.
fn rustflags(toolchain: &Toolchain) -> Result<String> {
    let mut flags = vec![format!("--cfg=bpf_target_arch=\"{ARCH}\"")];
    let mut remap = |from: &Path, to: &str| -> Result<()> {
        let from = from.to_str().with_context(|| {
            format!(
                "{}: cannot build below a path that is not UTF-8",
                from.display()
            )
        })?;
        flags.push(format!("--remap-path-prefix={from}={to}"));
        Ok(())
    };
    // The last that matches wins: the general ones come first.
    remap(&util::workspace(), ".")?;
    for dir in dependency_dirs(toolchain)? {
        remap(&dir, "deps")?;
    }
    let rust_src = rust_src::dir(toolchain);
    remap(&rust_src, "rust")?;
    if let Ok(real) = rust_src.canonicalize() {
        remap(&real, "rust")?;
    }
    Ok(flags.join("\u{1f}"))
}

/// The directories that hold the dependencies' sources: cargo's registry, or a vendored copy.
fn dependency_dirs(toolchain: &Toolchain) -> Result<BTreeSet<PathBuf>> {
    let mut cargo = toolchain.cargo();
    cargo.args(["metadata", "--locked", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_str(&util::output(&mut cargo)?)
        .context("`cargo metadata` did not print JSON")?;
    let packages = metadata["packages"].as_array();
    Ok(packages
        .into_iter()
        .flatten()
        .filter(|package| !package["source"].is_null())
        .filter_map(|package| {
            Path::new(package["manifest_path"].as_str()?)
                .ancestors()
                .nth(2)
        })
        .map(Path::to_path_buf)
        .collect())
}

/// Paths that would betray, and depend on, the machine of the build.
fn machine_paths(toolchain: &Toolchain) -> Vec<PathBuf> {
    let mut paths = vec![util::workspace(), toolchain.sysroot.clone()];
    paths.extend(std::env::home_dir());
    paths.extend(std::env::var_os("CARGO_HOME").map(PathBuf::from));
    paths.retain(|path| path.components().count() > 1); // Not the root itself.
    paths
}

/// Refuses an object that is not the same everywhere, or larger than it need be.
fn inspect(object: &[u8], paths: &[PathBuf]) -> Result<()> {
    let holds = |needle: &[u8]| object.windows(needle.len()).any(|window| window == needle);
    for path in paths {
        if holds(path.as_os_str().as_encoded_bytes()) {
            bail!(
                "the BPF object holds the path {}: a dependency escapes --remap-path-prefix",
                path.display()
            );
        }
    }
    // Names of sections, in the string table.
    for section in [&b".debug_"[..], &b".BTF"[..]] {
        if holds(section) {
            bail!(
                "the BPF object holds {} sections: unset what turns debug information on",
                String::from_utf8_lossy(section)
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_with_a_path_is_refused() {
        let paths = [PathBuf::from("/home/me")];
        assert!(inspect(b"\x7fELF main.rs", &paths).is_ok());
        let error = inspect(b"\x7fELF /home/me/main.rs", &paths).unwrap_err();
        assert!(error.to_string().contains("/home/me"), "{error}");
    }

    #[test]
    fn an_object_with_debug_information_is_refused() {
        assert!(inspect(b"\x7fELF\0.debug_info\0", &[]).is_err());
    }
}
