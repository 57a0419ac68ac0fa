//! The one Rust toolchain: the BPF object's bytes and the lints depend on its exact version.

use crate::util;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// The release of rustc that this project is built and tested with.
pub const RELEASE: &str = "1.95.0";

/// A rustc of [`RELEASE`], and how to call it.
pub struct Toolchain {
    /// What rustup calls it; `None` when the default one is right, or there is no rustup.
    rustup_name: Option<&'static str>,
    /// First line of `rustc --version`.
    pub version: String,
    /// `rustc --print sysroot`.
    pub sysroot: PathBuf,
}

impl Toolchain {
    /// The toolchain that is active, or else the one that rustup knows or can fetch.
    ///
    /// # Errors
    /// When there is none of [`RELEASE`].
    pub fn pinned() -> Result<Self> {
        let active = Self::called(None);
        if let Ok(toolchain) = active {
            return Ok(toolchain);
        }
        if let Ok(toolchain) = Self::called(Some(RELEASE)) {
            return Ok(toolchain);
        }
        eprintln!("installing the Rust toolchain {RELEASE} with rustup");
        let mut install = Command::new("rustup");
        install.args(["toolchain", "install", RELEASE, "--profile", "minimal"]);
        install.args(["--component", "rustfmt", "--component", "clippy"]);
        util::run(&mut install)
            .and_then(|()| Self::called(Some(RELEASE)))
            .with_context(|| {
                format!("this needs rustc {RELEASE}; run `rustup toolchain install {RELEASE}`")
            })
    }

    fn called(rustup_name: Option<&'static str>) -> Result<Self> {
        let rustc = |arg: &[&str]| util::output(command("rustc", rustup_name).args(arg));
        let version = rustc(&["--version"])?;
        if release(&version) != Some(RELEASE) {
            bail!("{version} is not {RELEASE}");
        }
        Ok(Self {
            rustup_name,
            version,
            sysroot: rustc(&["--print", "sysroot"])?.into(),
        })
    }

    /// `cargo` of this toolchain, in the workspace's root.
    pub fn cargo(&self) -> Command {
        command("cargo", self.rustup_name)
    }

    /// `rustc` of this toolchain, in the workspace's root.
    pub fn rustc(&self) -> Command {
        command("rustc", self.rustup_name)
    }

    /// Builds the program as it is handed out.
    ///
    /// # Errors
    /// When cargo fails.
    pub fn program(&self) -> Result<PathBuf> {
        let mut cargo = self.cargo();
        cargo.args(["build", "--quiet", "--release", "--locked"]);
        util::run(cargo.args(["--package", "iomap-trace"]))?;
        Ok(util::target_dir().join("release/iomap-trace"))
    }
}

fn command(program: &str, rustup_name: Option<&str>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(util::workspace());
    if let Some(name) = rustup_name {
        command.env("RUSTUP_TOOLCHAIN", name);
    }
    command
}

/// `1.95.0` of `rustc 1.95.0 (59807616e 2026-04-14)`.
fn release(version: &str) -> Option<&str> {
    version.split_whitespace().nth(1)
}

#[cfg(test)]
mod tests {
    use super::release;

    #[test]
    fn release_is_the_second_word() {
        assert_eq!(
            release("rustc 1.95.0 (59807616e 2026-04-14)"),
            Some("1.95.0")
        );
        assert_eq!(
            release("rustc 1.97.0-nightly (1 2)"),
            Some("1.97.0-nightly")
        );
        assert_eq!(release(""), None);
    }
}
