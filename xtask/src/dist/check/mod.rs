//! The distribution as its users meet it: what the files say of themselves, and the packages
//! installed, used and removed.

mod completions;
mod deb;
mod pages;
mod program;
mod rpm;
mod running;

use super::packages::Packages;
use super::{Dist, make};
use crate::demo::images::TempDir;
use crate::test::Outcome;
use crate::toolchain::Toolchain;
use crate::util;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

/// Makes the distribution and checks it. Without root nothing can be installed.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn run(toolchain: &Toolchain) -> Result<Outcome> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Ok(Outcome::Skipped("made on x86-64 Linux only".to_owned()));
    }
    check(
        &make(toolchain, &util::target_dir().join("dist"))?,
        toolchain,
    )
}

/// Checks a distribution that has been made.
pub(super) fn check(dist: &Dist, toolchain: &Toolchain) -> Result<Outcome> {
    program::check(&dist.packages.program, toolchain)?;
    let mut left_out = pages::check(dist)?;
    left_out.extend(completions::check(&dist.stage.join("completions"))?);
    sums(&dist.packages)?;
    same_again(dist, toolchain)?;
    left_out.extend(deb::lint(&dist.packages.deb));
    for program in left_out {
        eprintln!("dist: not checked with {program}, which is not installed");
    }
    if !util::is_root() {
        return Ok(Outcome::Skipped(
            "installing packages needs root; all else is right".into(),
        ));
    }
    let dir = TempDir::new_in(&std::env::temp_dir())?;
    let mut skipped = Vec::new();
    for (tool, check) in [
        ("dpkg", deb::check as fn(&Dist, &Path) -> Result<()>),
        ("rpm", rpm::check),
    ] {
        match util::which(tool) {
            Some(_) => check(dist, &dir.path().join(tool))?,
            None => skipped.push(tool),
        }
    }
    Ok(match skipped[..] {
        [] => Outcome::Passed,
        _ => Outcome::Skipped(format!(
            "no {}: run `cargo xtask setup`",
            skipped.join(", no ")
        )),
    })
}

/// The checksums, with the program that users take for it.
fn sums(packages: &Packages) -> Result<()> {
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--strict", "--quiet", super::packages::SUMS]);
    let directory = packages
        .sums
        .parent()
        .context("the checksums are in no directory")?;
    util::output(check.current_dir(directory)).map(drop)
}

/// Packing once more gives the same bytes.
fn same_again(dist: &Dist, toolchain: &Toolchain) -> Result<()> {
    let dir = util::target_dir().join("dist-again");
    let again = Packages::at(&dir, &dist.release);
    again.make(toolchain, &dist.release, &dist.stage)?;
    let read = |file: &Path| {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
    };
    let (first, second) = (read(&dist.packages.sums)?, read(&again.sums)?);
    ensure!(
        first == second,
        "packing again gives other bytes:\n{first}\n{second}"
    );
    std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))
}
