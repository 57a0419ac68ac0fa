//! How the compiler makes an executable that runs anywhere and says nothing of the machine it was
//! built on.

use crate::toolchain::Toolchain;
use crate::util;
use anyhow::{Context, Result};
use std::env;
use std::path::PathBuf;
use std::process::Command;

/// What separates flags in `CARGO_ENCODED_RUSTFLAGS`, where they may contain spaces.
const SEPARATOR: &str = "\x1f";

/// Makes the executables of this cargo static, and their bytes independent of where the sources,
/// the crates and the toolchain are. The C library is the build machine's.
///
/// # Errors
/// When the compiler does not say which one it is.
pub fn apply(cargo: &mut Command, toolchain: &Toolchain) -> Result<()> {
    let flags = rustflags(toolchain)?;
    cargo.env_remove("RUSTFLAGS");
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join(SEPARATOR));
    Ok(())
}

fn rustflags(toolchain: &Toolchain) -> Result<Vec<String>> {
    let said = util::output(toolchain.rustc().arg("-vV"))?;
    let hash = said
        .lines()
        .find_map(|line| line.strip_prefix("commit-hash: "))
        .context("rustc does not say which commit it is of")?;
    let library = toolchain.sysroot.join("lib/rustlib/src/rust");
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    // The last one that fits counts.
    let mut remap = |from: PathBuf, to: &str| {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    };
    remap(util::workspace(), "/iomap-trace");
    remap(util::target_dir(), "/target");
    // Their names tell which registry the crates came from, a mirror's too.
    for directory in super::files_in(&cargo_home()?.join("registry/src"))? {
        remap(directory, "/crates");
    }
    // With the component rust-src the library's sources are found, and their paths used.
    remap(library, &format!("/rustc/{hash}"));
    Ok(flags)
}

/// Cargo's own directory.
///
/// # Errors
/// When neither `CARGO_HOME` nor a home directory is known.
pub fn cargo_home() -> Result<PathBuf> {
    match env::var_os("CARGO_HOME") {
        Some(home) => Ok(home.into()),
        None => {
            let home = env::home_dir().context("no home directory; set CARGO_HOME")?;
            Ok(home.join(".cargo"))
        }
    }
}
