//! Filesystems to show failures on: loop-mounted images that leave nothing behind.

use crate::util;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Size of an image in bytes. It is sparse; mkfs.xfs wants 300 MiB.
const IMAGE_BYTES: u64 = 512 << 20;

/// The filesystems of the demonstration, and the arguments of their mkfs.
pub const KINDS: &[(&str, &[&str])] = &[
    ("ext4", &["-q", "-F"]),
    ("xfs", &["-q", "-f"]),
    ("btrfs", &["-q", "-f", "-d", "single", "-m", "single"]),
];

/// A directory that goes away with its content.
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes a new directory in `parent`, only for this user.
    pub fn new_in(parent: &Path) -> Result<Self> {
        let path = parent.join(format!(".iomap-trace-demo-{}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// A mounted image. Its file has no name any more: it ends with the mount.
pub struct Mounted(PathBuf);

impl Mounted {
    /// Makes an image with the filesystem `kind` and mounts it below `dir`.
    ///
    /// # Errors
    /// When `mkfs` or `mount` fails.
    pub fn new(kind: &str, mkfs_args: &[&str], dir: &Path) -> Result<Self> {
        let image = dir.join(format!("{kind}.img"));
        File::create(&image)
            .and_then(|file| file.set_len(IMAGE_BYTES))
            .with_context(|| format!("cannot make {}", image.display()))?;
        // A loop device that `mount` makes frees itself when the filesystem is unmounted.
        let mounted = Self::device(&image, (kind, mkfs_args), "loop", dir)?;
        fs::remove_file(&image)?;
        Ok(mounted)
    }

    /// Makes the filesystem `kind` on a block device, or in a file, and mounts it with these options
    /// of `mount` as `kind` below `dir`.
    ///
    /// # Errors
    /// When `mkfs` or `mount` fails.
    pub fn device(
        device: &Path,
        (kind, mkfs_args): (&str, &[&str]),
        options: &str,
        dir: &Path,
    ) -> Result<Self> {
        let tool = format!("mkfs.{kind}");
        let mkfs = util::which(&tool).with_context(|| format!("no {tool}"))?;
        util::output(Command::new(mkfs).args(mkfs_args).arg(device))?;
        let at = dir.join(kind);
        fs::create_dir(&at).with_context(|| format!("cannot make {}", at.display()))?;
        util::output(
            Command::new("mount")
                .args(["-o", options])
                .args([device, &at]),
        )?;
        Ok(Self(at))
    }

    /// Mounts an empty filesystem in memory, with room for `size` bytes (as `mount` takes them),
    /// as `name` below `dir`.
    ///
    /// # Errors
    /// When `mount` fails.
    pub fn memory(name: &str, size: &str, dir: &Path) -> Result<Self> {
        let at = dir.join(name);
        fs::create_dir(&at).with_context(|| format!("cannot make {}", at.display()))?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        util::output(mount.arg(&at))?;
        Ok(Self(at))
    }

    /// Its loop device no longer goes through the page cache of the filesystem that holds the image:
    /// writes take as long as that filesystem's disk does.
    ///
    /// # Errors
    /// When it is no loop device, or that filesystem takes no direct I/O.
    pub fn past_cache(&self) -> Result<()> {
        let mut findmnt = Command::new("findmnt");
        findmnt.args(["--noheadings", "--output", "SOURCE", "--mountpoint"]);
        let device = util::output(findmnt.arg(&self.0))?;
        util::output(Command::new("losetup").args(["--direct-io=on", &device])).map(drop)
    }

    /// Its root directory.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmount = |args: &[&str]| util::output(Command::new("umount").args(args).arg(&self.0));
        // Lazily, if somebody still looks at it: it then goes when they do.
        if let Err(error) = unmount(&[]).or_else(|_| unmount(&["--lazy"])) {
            eprintln!("{error:#}");
        }
    }
}

/// The type of the filesystem that holds `dir`, `None` when `findmnt` cannot tell.
pub fn kind_of(dir: &Path) -> Option<String> {
    let mut findmnt = Command::new("findmnt");
    findmnt.args(["--noheadings", "--output", "FSTYPE", "--target"]);
    let kinds = util::output(findmnt.arg(dir)).ok()?;
    kinds.lines().last().map(str::to_owned)
}

/// Gives this process a mount table of its own: whatever becomes of it, its mounts go with it.
pub fn own_mounts() -> Result<()> {
    // SAFETY: unshare takes no pointers; this process has one thread and holds no mounts yet.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(std::io::Error::last_os_error()).context("cannot unshare the mount table");
    }
    util::output(Command::new("mount").args(["--make-rprivate", "/"])).map(drop)
}
