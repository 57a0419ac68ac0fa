//! The program and its tests as static executables, which run on any kernel without libraries.

use crate::artifact;
use crate::dist::flags;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Stdio;

/// Debian's cloud kernels are fetched for this architecture only.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";
const PACKAGE: &str = "iomap-trace";

/// What cargo is to build.
#[derive(Clone, Copy)]
pub enum What<'a> {
    /// The program itself.
    Program,
    /// A test program, `iomap-trace/tests/NAME.rs`.
    Test(&'a str),
}

/// Builds a static executable and gives its path.
///
/// # Errors
/// When it does not build.
pub fn executable(toolchain: &Toolchain, what: What<'_>) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo();
    let (subcommand, kind, name) = match what {
        What::Program => ("build", "bin", PACKAGE),
        What::Test(name) => ("test", "test", name),
    };
    cargo.args([subcommand, "--quiet", "--release", "--locked"]);
    cargo.args(["--package", PACKAGE, "--target", TARGET]);
    cargo.arg("--message-format=json-render-diagnostics");
    match what {
        What::Program => cargo.args(["--bin", name]),
        What::Test(name) => cargo.args(["--no-run", "--test", name]),
    };
    // With a target of its own, these flags are not for build scripts and macros.
    flags::apply(&mut cargo, toolchain)?;
    eprintln!("building {name}, static");
    let out = cargo
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !out.status.success() {
        bail!("cannot build {name}");
    }
    let messages = String::from_utf8_lossy(&out.stdout);
    let path = messages
        .lines()
        .find_map(|line| artifact::executable(line, kind, name));
    path.with_context(|| format!("cargo built no {kind} {name}"))
}
