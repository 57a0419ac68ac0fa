//! Builds the program that sees, in the guests, what the kernel holds.

use crate::toolchain::Toolchain;
use crate::util;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Compiles it alone, static, and gives its path.
///
/// # Errors
/// When it does not compile.
pub fn build(toolchain: &Toolchain) -> Result<PathBuf> {
    let dir = util::target_dir().join("vm");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let program = dir.join("observer");
    let mut rustc = toolchain.rustc();
    rustc.args([
        "--edition",
        "2024",
        "-O",
        "-C",
        "target-feature=+crt-static",
    ]);
    rustc.args(["-C", "strip=symbols", "-o"]).arg(&program);
    rustc.arg("xtask/src/test/matrix/guest/observer.rs");
    util::run(&mut rustc).map(|()| program)
}
