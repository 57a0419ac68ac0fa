//! The disks of a guest: an empty filesystem of each kind, and one that takes files back.

use super::tools::Tools;
use crate::util;
use anyhow::{Context, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The filesystems, in the order in which they are mounted.
pub const FILESYSTEMS: &[&str] = &["btrfs", "xfs", "ext4", "vfat"];

/// Size of a disk in bytes. They are sparse; mkfs.xfs wants 300 MiB.
const BYTES: u64 = 1 << 30;

/// A disk.
pub struct Disk {
    /// What the guest finds it by: a filesystem, or `out`.
    pub serial: &'static str,
    /// Its content.
    pub file: PathBuf,
}

/// Makes all disks in `dir`, for a guest with the kernel `version` (`6.12`).
///
/// # Errors
/// When a program that makes filesystems fails.
pub fn make(dir: &Path, version: &str, tools: &Tools) -> Result<Vec<Disk>> {
    let mut disks = vec![empty(dir, "out")?];
    for kind in FILESYSTEMS {
        let disk = empty(dir, kind)?;
        util::output(mkfs(kind, version, tools)?.arg(&disk.file))?;
        disks.push(disk);
    }
    Ok(disks)
}

fn empty(dir: &Path, serial: &'static str) -> Result<Disk> {
    let file = dir.join(format!("{serial}.disk"));
    File::create(&file)
        .and_then(|file| file.set_len(BYTES))
        .with_context(|| format!("cannot make {}", file.display()))?;
    Ok(Disk { serial, file })
}

fn mkfs(kind: &str, version: &str, tools: &Tools) -> Result<Command> {
    let (program, args): (_, &[&str]) = match kind {
        "btrfs" => ("mkfs.btrfs", &["-q", "-f", "-d", "single", "-m", "single"]),
        "xfs" => ("mkfs.xfs", &["-q", "-f"]),
        "ext4" => ("mke2fs", &["-q", "-F", "-t", "ext4"]),
        _ => ("mkfs.fat", &["-F", "32"]),
    };
    let mut command = tools.command(program)?;
    command.args(args);
    // An old kernel cannot mount what a new mkfs.xfs makes by default.
    if kind == "xfs"
        && let Some(file) = tools.xfs_options(version)
    {
        let mut options = std::ffi::OsString::from("options=");
        options.push(file);
        command.arg("-c").arg(options);
    }
    Ok(command)
}

/// Takes the files that the guest has written to the disk `out`, and puts them into `dir`.
///
/// # Errors
/// When the guest has not written them completely.
pub fn take(disks: &[Disk], dir: &Path) -> Result<()> {
    let out = disks.iter().find(|disk| disk.serial == "out");
    let file = &out.context("the guest has no disk for files")?.file;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--no-same-owner", "--file"])
        .arg(file);
    util::output(tar.arg("--directory").arg(dir)).map(drop)
}
