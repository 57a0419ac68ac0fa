//! The sources of `core`, which have to be compiled for BPF: found in the toolchain, or fetched.

use crate::private_apt::{self, PrivateApt};
use crate::toolchain::{RELEASE, Toolchain};
use crate::util;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Suites of Debian that have, or have had, the package of [`RELEASE`].
const SUITES: &[&str] = &["trixie-backports", "forky", "sid"];

/// Where cargo looks for the sources of the standard library.
pub fn dir(toolchain: &Toolchain) -> PathBuf {
    toolchain.sysroot.join("lib/rustlib/src/rust")
}

/// Makes sure that the sources of `core` are in the toolchain: through rustup, or else from
/// Debian's package of the same release.
///
/// # Errors
/// When neither works; the message says what to do.
pub fn ensure(toolchain: &Toolchain) -> Result<()> {
    let dir = dir(toolchain);
    if is_complete(&dir) {
        return Ok(());
    }
    eprintln!("the toolchain has no rust-src: trying rustup");
    let Err(no_rustup) = from_rustup(toolchain, &dir) else {
        return Ok(());
    };
    eprintln!("{no_rustup:#}; trying Debian's package");
    from_debian(&dir).with_context(|| {
        format!("no sources of Rust {RELEASE}'s core; run `rustup component add rust-src`")
    })
}

fn is_complete(rust_src: &Path) -> bool {
    rust_src.join("library/core/src/lib.rs").is_file()
}

fn from_rustup(toolchain: &Toolchain, dir: &Path) -> Result<()> {
    // rustup finds the toolchain by the directory in which, or the variable with which, it runs.
    let mut rustup = Command::new("rustup");
    if let Some((_, Some(name))) = toolchain
        .cargo()
        .get_envs()
        .find(|(key, _)| *key == "RUSTUP_TOOLCHAIN")
    {
        rustup.env("RUSTUP_TOOLCHAIN", name);
    }
    rustup.current_dir(util::workspace());
    util::output(rustup.args(["component", "add", "rust-src"]))?;
    if !is_complete(dir) {
        bail!(
            "`rustup component add rust-src` left {} empty",
            dir.display()
        );
    }
    Ok(())
}

fn from_debian(dir: &Path) -> Result<()> {
    let unpacked = util::cache_dir()?.join(format!("rust-src-{RELEASE}"));
    let sources = unpacked.join(format!("usr/src/rustc-{RELEASE}"));
    if !is_complete(&sources) {
        fetch(&unpacked)?;
    }
    if !is_complete(&sources) {
        bail!("Debian's rust-src has no {}", sources.display());
    }
    link(dir, &sources)
}

/// Downloads the package and unpacks it into `unpacked`.
fn fetch(unpacked: &Path) -> Result<()> {
    let part = unpacked.with_extension("part");
    let _ = fs::remove_dir_all(&part);
    let apt = PrivateApt::new(&part.join("apt"))?;
    let deb = apt.download_upstream("rust-src", RELEASE, SUITES)?;
    private_apt::unpack(&[deb], &part.join("root"))?;
    let _ = fs::remove_dir_all(unpacked);
    fs::rename(part.join("root"), unpacked)
        .with_context(|| format!("cannot make {}", unpacked.display()))?;
    let _ = fs::remove_dir_all(&part);
    Ok(())
}

/// Puts `sources` where cargo looks for them.
fn link(dir: &Path, sources: &Path) -> Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    // A link that leads nowhere any more is in the way; a directory that is not empty stays.
    let _ = fs::remove_file(dir);
    let _ = fs::remove_dir(dir);
    symlink(sources, dir).with_context(|| {
        format!(
            "cannot link {} to {}; run this once as the owner",
            dir.display(),
            sources.display()
        )
    })
}
