//! The files that are handed out, from the staged ones.

use super::release::{PACKAGE, Release};
use super::tools;
use crate::toolchain::Toolchain;
use crate::util;
use crate::vm::build::TARGET;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The list of checksums, in the form of `sha256sum --check`.
pub const SUMS: &str = "SHA256SUMS";

/// What a distribution consists of.
pub struct Packages {
    /// The program alone, static.
    pub program: PathBuf,
    /// The program, man pages, completions and documents.
    pub tar: PathBuf,
    /// For Debian and what comes from it.
    pub deb: PathBuf,
    /// For Fedora, openSUSE and what comes from them.
    pub rpm: PathBuf,
    /// The checksums of all of these.
    pub sums: PathBuf,
}

impl Packages {
    /// Where the packages of `release` are put in `out`.
    pub fn at(out: &Path, release: &Release) -> Self {
        let version = &release.version;
        let full = full_name(release);
        Self {
            program: out.join(&full),
            tar: out.join(format!("{full}.tar.gz")),
            deb: out.join(format!("{PACKAGE}_{version}-1_amd64.deb")),
            rpm: out.join(format!("{PACKAGE}-{version}-1.x86_64.rpm")),
            sums: out.join(SUMS),
        }
    }

    /// All packages.
    pub fn files(&self) -> [&Path; 4] {
        [&self.program, &self.tar, &self.deb, &self.rpm]
    }

    /// Makes them all from what is staged in `stage`.
    ///
    /// # Errors
    /// When a tool is missing and cannot be installed, or fails.
    pub fn make(&self, toolchain: &Toolchain, release: &Release, stage: &Path) -> Result<()> {
        let out = self.sums.parent().unwrap_or(stage);
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        fs::copy(stage.join(PACKAGE), &self.program)
            .with_context(|| format!("cannot write {}", self.program.display()))?;
        self.make_tar(release, stage)?;
        self.make_deb(toolchain, release)?;
        self.make_rpm(toolchain, release)?;
        self.sum_up()
    }

    /// GNU tar: owners, order and times are not those of this machine.
    fn make_tar(&self, release: &Release, stage: &Path) -> Result<()> {
        let plain = self.tar.with_extension("");
        let mut tar = Command::new("tar");
        tar.args(["--create", "--format=gnu", "--sort=name", "--numeric-owner"]);
        tar.args(["--owner=0", "--group=0", "--mode=u+rw,go=rX"]);
        tar.arg(format!("--mtime=@{}", release.epoch));
        tar.arg(format!("--transform=s,^,{}/,", full_name(release)));
        tar.arg("--directory").arg(stage).arg("--file").arg(&plain);
        util::run(tar.args([PACKAGE, "man8", "completions", "doc"]))?;
        util::run(
            Command::new("gzip")
                .args(["--best", "--no-name", "--force"])
                .arg(&plain),
        )
    }

    fn make_deb(&self, toolchain: &Toolchain, release: &Release) -> Result<()> {
        let mut deb = tool(&tools::DEB, toolchain, release)?;
        deb.args(["--quiet", "--locked", "--no-build", "--no-strip"]);
        deb.args(["--package", PACKAGE, "--target", TARGET]);
        util::output(deb.arg("--output").arg(&self.deb)).map(drop)
    }

    fn make_rpm(&self, toolchain: &Toolchain, release: &Release) -> Result<()> {
        let mut rpm = tool(&tools::RPM, toolchain, release)?;
        rpm.args(["--package", PACKAGE, "--target", TARGET]);
        rpm.arg("--target-dir").arg(util::target_dir());
        util::output(rpm.arg("--output").arg(&self.rpm)).map(drop)
    }

    fn sum_up(&self) -> Result<()> {
        let mut sums = String::new();
        for file in self.files() {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            sums.push_str(&format!("{}  {name}\n", sha256(file)?));
        }
        fs::write(&self.sums, sums).with_context(|| format!("cannot write {}", self.sums.display()))
    }
}

/// The checksum of a file, in hexadecimal.
///
/// # Errors
/// When the file cannot be read.
pub fn sha256(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let hash = Sha256::digest(bytes);
    Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn full_name(release: &Release) -> String {
    format!("{PACKAGE}-{}-x86_64-linux", release.version)
}

/// A subcommand of cargo, called as cargo would call it.
fn tool(tool: &tools::Tool, toolchain: &Toolchain, release: &Release) -> Result<Command> {
    let program = tool.find_or_install(toolchain)?;
    let mut command = Command::new(program);
    command.current_dir(util::workspace());
    command.envs(
        toolchain
            .cargo()
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command.arg(tool.subcommand());
    command.env("SOURCE_DATE_EPOCH", release.epoch.to_string());
    Ok(command)
}
