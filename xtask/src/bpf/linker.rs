//! bpf-linker: the one release that uses rustc's own LLVM, found or installed.

use crate::toolchain::Toolchain;
use crate::util;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release of bpf-linker. Later ones want an LLVM of the system, which gives other bytes.
pub const VERSION: &str = "0.10.3";

/// The linker of [`VERSION`] in `PATH` or in the cache; installed into the cache if it is in neither.
///
/// # Errors
/// When it cannot be installed.
pub fn find_or_install(toolchain: &Toolchain) -> Result<PathBuf> {
    let root = util::cache_dir()?.join(format!("bpf-linker-{VERSION}"));
    let cached = root.join("bin/bpf-linker");
    let in_path = util::which("bpf-linker");
    if let Some(linker) = in_path
        .into_iter()
        .chain([cached.clone()])
        .find(|l| is_right(l))
    {
        return Ok(linker);
    }
    eprintln!(
        "installing bpf-linker {VERSION} into {} (about 75 s)",
        root.display()
    );
    let mut install = toolchain.cargo();
    install
        .args([
            "install",
            "bpf-linker",
            "--locked",
            "--force",
            "--version",
            VERSION,
            "--root",
        ])
        .arg(&root)
        // Not into the workspace's target directory.
        .env("CARGO_TARGET_DIR", root.join("build"));
    util::run(&mut install).with_context(|| {
        format!(
            "no bpf-linker {VERSION}; run `cargo install bpf-linker --version {VERSION} --locked`"
        )
    })?;
    // Only the program is needed from now on.
    let _ = std::fs::remove_dir_all(root.join("build"));
    Ok(cached)
}

fn is_right(linker: &Path) -> bool {
    util::output(Command::new(linker).arg("--version"))
        .is_ok_and(|said| said.split_whitespace().nth(1) == Some(VERSION))
}
