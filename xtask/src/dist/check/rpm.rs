//! The RPM package: read back, and unpacked by rpm itself.

use super::{deb, running};
use crate::dist::Dist;
use crate::dist::packages::sha256;
use crate::util;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Checks the package's digests and what it says of itself, and installs it below `root`.
///
/// # Errors
/// When rpm does not like it, or it is not what was packed.
pub fn check(dist: &Dist, root: &Path) -> Result<()> {
    let file = &dist.packages.rpm;
    util::output(
        Command::new("rpm")
            .args(["--checksig", "--nosignature"])
            .arg(file),
    )?;
    let name = query(file, &["--queryformat", "%{NAME} %{VERSION} %{ARCH}"])?;
    ensure!(
        name == format!("iomap-trace {} x86_64", dist.release.version),
        "this is {name}"
    );
    let requires = query(file, &["--requires"])?;
    let others = requires.lines().find(|line| !line.starts_with("rpmlib("));
    ensure!(
        others.is_none(),
        "the package requires {}",
        others.unwrap_or_default()
    );

    fs::create_dir(root).with_context(|| format!("cannot make {}", root.display()))?;
    let mut install = Command::new("rpm");
    install
        .arg("--root")
        .arg(root)
        .args(["--install", "--nodeps", "--nosignature"]);
    util::output(install.arg(file))?;
    for wanted in deb::FILES {
        ensure!(root.join(wanted).is_file(), "the package has no {wanted}");
    }
    let installed = sha256(&root.join(running::PROGRAM))?;
    ensure!(
        installed == sha256(&dist.packages.program)?,
        "the package has another program"
    );
    Ok(())
}

fn query(file: &Path, what: &[&str]) -> Result<String> {
    util::output(
        Command::new("rpm")
            .args(["--query", "--package", "--nosignature"])
            .args(what)
            .arg(file),
    )
}
