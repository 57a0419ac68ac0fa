//! What is released: the version, and the moment that stands in all files of the distribution.

use crate::toolchain::Toolchain;
use crate::util;
use anyhow::{Context, Result};
use serde_json::Value;
use std::process::Command;

/// The package that is distributed.
pub const PACKAGE: &str = "iomap-trace";

/// A state of the sources.
pub struct Release {
    /// The version, as in Cargo.toml.
    pub version: String,
    /// Seconds since 1970: the commit's time, or `SOURCE_DATE_EPOCH`.
    pub epoch: u64,
    /// What `cargo metadata` says of the package and all that it is made from.
    pub metadata: Value,
}

impl Release {
    /// The release that the sources here would be.
    ///
    /// # Errors
    /// When cargo does not know the package, or there is no time to put into it: neither git nor
    /// `SOURCE_DATE_EPOCH`.
    pub fn of_workspace(toolchain: &Toolchain, target: &str) -> Result<Self> {
        let mut cargo = toolchain.cargo();
        cargo.args(["metadata", "--locked", "--format-version", "1"]);
        cargo.args(["--filter-platform", target]);
        let metadata: Value = serde_json::from_str(&util::output(&mut cargo)?)?;
        let packages = metadata["packages"].as_array();
        let own = packages
            .into_iter()
            .flatten()
            .find(|package| package["name"] == PACKAGE)
            .with_context(|| format!("cargo knows no package {PACKAGE}"))?;
        let version = own["version"].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            version,
            epoch: epoch()?,
            metadata,
        })
    }

    /// The release's moment in UTC, in a format of `date`.
    ///
    /// # Errors
    /// When there is no `date` that takes it (GNU's or busybox's).
    pub fn date(&self, format: &str) -> Result<String> {
        let at = format!("@{}", self.epoch);
        let mut date = Command::new("date");
        date.env("LC_ALL", "C").args(["-u", "-d", &at, format]);
        util::output(&mut date)
    }
}

fn epoch() -> Result<u64> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => {
            let mut git = Command::new("git");
            git.args(["log", "-1", "--format=%ct"]);
            util::output(git.current_dir(util::workspace()))
                .context("the commit's time is not known; set SOURCE_DATE_EPOCH")?
        }
    };
    let number = text.trim().parse();
    number.with_context(|| format!("{text:?} is no number of seconds (SOURCE_DATE_EPOCH)"))
}
