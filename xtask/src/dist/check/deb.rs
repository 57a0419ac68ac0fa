//! The Debian package: installed into an empty root, used, and removed.

use super::running;
use crate::dist::Dist;
use crate::dist::packages::sha256;
use crate::util;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What must be in every package.
pub const FILES: &[&str] = &[
    running::PROGRAM,
    "usr/share/man/man8/iomap-trace.8.gz",
    "usr/share/man/man8/iomap-trace-exec.8.gz",
    "usr/share/bash-completion/completions/iomap-trace",
    "usr/share/fish/vendor_completions.d/iomap-trace.fish",
    "usr/lib/systemd/system/iomap-trace.service",
    "usr/share/doc/iomap-trace/README.md",
    "usr/share/doc/iomap-trace/THIRD-PARTY.gz",
];

/// Debian's own checks, where they are installed; else the name of the program that has them. Errors
/// are told, not fatal: they change with Debian's policy.
pub fn lint(deb: &Path) -> Option<&'static str> {
    if util::which("lintian").is_none() {
        return Some("lintian");
    }
    let mut lintian = Command::new("lintian");
    if let Err(error) = util::run(lintian.args(["--fail-on", "error"]).arg(deb)) {
        eprintln!("dist: {error:#}");
    }
    None
}

/// Installs the package below `root`, uses and removes it.
///
/// # Errors
/// When one of these fails, or something is left.
pub fn check(dist: &Dist, root: &Path) -> Result<()> {
    let deb = &dist.packages.deb;
    let depends = util::output(
        Command::new("dpkg-deb")
            .args(["--field"])
            .arg(deb)
            .arg("Depends"),
    )?;
    ensure!(depends.is_empty(), "the package depends on {depends}");

    let database = root.join("var/lib/dpkg");
    for directory in ["info", "updates"] {
        fs::create_dir_all(database.join(directory))
            .with_context(|| format!("cannot make {}", root.display()))?;
    }
    fs::write(database.join("status"), "")?;
    dpkg(root, "--install", deb.as_os_str())?;
    for file in FILES {
        ensure!(root.join(file).is_file(), "the package has no {file}");
    }
    let etc = root.join("etc");
    let enabled = if etc.is_dir() {
        files_below(&etc)?
    } else {
        Vec::new()
    };
    ensure!(
        enabled.is_empty(),
        "installing the package enables {enabled:?}"
    );
    let installed = sha256(&root.join(running::PROGRAM))?;
    ensure!(
        installed == sha256(&dist.packages.program)?,
        "the package has another program"
    );
    running::check(root, &dist.release.version)?;

    dpkg(root, "--purge", "iomap-trace".as_ref())?;
    fs::remove_dir_all(&database)?;
    let left = files_below(root)?;
    ensure!(left.is_empty(), "removing the package leaves {left:?}");
    Ok(())
}

/// The machine's own packages are not touched: dpkg works on the root alone, and runs the package's
/// scripts with `DPKG_ROOT` set.
fn dpkg(root: &Path, action: &str, what: &std::ffi::OsStr) -> Result<()> {
    let mut dpkg = Command::new("dpkg");
    dpkg.env("DEBIAN_FRONTEND", "noninteractive");
    // The services that run here are not this package's.
    dpkg.env("SYSTEMD_OFFLINE", "1");
    dpkg.arg(format!("--root={}", root.display()));
    dpkg.args(["--force-script-chrootless", "--log=/dev/null", action]);
    util::output(dpkg.arg(what)).map(drop)
}

/// All files, but no directories.
fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in crate::dist::files_in(directory)? {
        if path.symlink_metadata()?.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}
