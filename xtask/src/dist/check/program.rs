//! The program's file: static, and silent about the machine that it was built on.

use crate::dist::flags::cargo_home;
use crate::toolchain::Toolchain;
use crate::util;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

/// Checks the file.
///
/// # Errors
/// When it needs a library, or has a path of this machine in it.
pub fn check(program: &Path, toolchain: &Toolchain) -> Result<()> {
    let mut readelf = Command::new("readelf");
    let said = util::output(
        readelf
            .args(["--program-headers", "--dynamic", "--wide"])
            .arg(program),
    )?;
    ensure!(
        said.contains("LOAD"),
        "readelf shows no program in {}",
        program.display()
    );
    for word in ["INTERP", "(NEEDED)"] {
        ensure!(
            !said.contains(word),
            "{} is not static: it has {word}",
            program.display()
        );
    }
    let bytes = std::fs::read(program).with_context(|| format!("no {}", program.display()))?;
    for path in [
        util::workspace(),
        util::target_dir(),
        cargo_home()?,
        toolchain.sysroot.clone(),
    ] {
        let text = path.display().to_string();
        let is_in = bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes());
        ensure!(
            !is_in,
            "{} tells where it was built: {text} is in it",
            program.display()
        );
    }
    Ok(())
}
