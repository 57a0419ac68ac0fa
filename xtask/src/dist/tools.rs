//! cargo-deb and cargo-generate-rpm: found, or installed into the cache.

use crate::toolchain::Toolchain;
use crate::util;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// A tool of one release, so that packages have the same bytes everywhere.
pub struct Tool {
    name: &'static str,
    version: &'static str,
    options: &'static [&'static str],
}

/// Makes Debian packages. Its own xz: the system's gives other bytes from release to release.
pub const DEB: Tool = Tool {
    name: "cargo-deb",
    version: "3.8.0",
    options: &["--no-default-features", "--features", "static-lzma"],
};
/// Makes RPM packages.
pub const RPM: Tool = Tool {
    name: "cargo-generate-rpm",
    version: "0.21.1",
    options: &[],
};

impl Tool {
    /// What cargo calls it, and gives it as its first argument.
    pub fn subcommand(&self) -> &'static str {
        self.name.strip_prefix("cargo-").unwrap_or(self.name)
    }

    /// The program, installed if it is not there yet.
    ///
    /// # Errors
    /// When it cannot be fetched or built.
    pub fn find_or_install(&self, toolchain: &Toolchain) -> Result<PathBuf> {
        let root = util::cache_dir()?.join(format!("{}-{}", self.name, self.version));
        let program = root.join("bin").join(self.name);
        if program.is_file() {
            return Ok(program);
        }
        eprintln!("installing {} {} (about a minute)", self.name, self.version);
        self.install(toolchain, &root).with_context(|| {
            let (name, version) = (self.name, self.version);
            format!("no {name} {version}: it comes from crates.io and needs a C compiler")
        })?;
        Ok(program)
    }

    fn install(&self, toolchain: &Toolchain, root: &Path) -> Result<()> {
        let mut install = toolchain.cargo();
        install.args(["install", self.name, "--quiet", "--locked", "--force"]);
        install.args(["--version", self.version]).args(self.options);
        // Unoptimised but for the compressors: it is built in a third of the time.
        install.arg("--debug");
        for config in [
            "profile.dev.debug=false",
            "profile.dev.package.\"lzma-sys\".opt-level=2",
            "profile.dev.package.\"zstd-sys\".opt-level=2",
        ] {
            install.args(["--config", config]);
        }
        install.arg("--root").arg(root);
        // Not into the workspace's target directory.
        install.env("CARGO_TARGET_DIR", root.join("build"));
        install.env_remove("CARGO_ENCODED_RUSTFLAGS");
        util::run(&mut install)?;
        let _ = std::fs::remove_dir_all(root.join("build"));
        Ok(())
    }
}
