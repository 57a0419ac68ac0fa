//! Filesystems in files, mounted for one test.

use super::tool;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Size of an image in bytes: the least that mkfs.xfs takes is 300 MiB. It stays sparse.
pub const SIZE: u64 = 512 << 20;

/// A filesystem under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fs {
    Ext4,
    Xfs,
    Btrfs,
}

impl Fs {
    /// Its mkfs, quiet. btrfs writes in place only with single data.
    fn mkfs(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Ext4 => ("mkfs.ext4", &["-q", "-F"]),
            Self::Xfs => ("mkfs.xfs", &["-q", "-f"]),
            Self::Btrfs => ("mkfs.btrfs", &["-q", "-f", "-d", "single", "-m", "single"]),
        }
    }
}

/// A mount that ends with this value, also when the test panics.
#[derive(Debug)]
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts `what` at `at`.
    pub fn new(at: &Path, options: &[&str], what: &Path) -> Self {
        let mut args: Vec<super::Arg<'_>> = Vec::new();
        for option in options {
            args.push(option);
        }
        args.extend([&what as super::Arg<'_>, &at]);
        tool("mount", &args);
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Something that has not ended yet may hold it for a moment.
        for _ in 0..40 {
            if umount(&[], &self.0) {
                return;
            }
            super::sleep_ms(50);
        }
        umount(&["-l"], &self.0);
    }
}

fn umount(options: &[&str], at: &Path) -> bool {
    let output = Command::new("umount").args(options).arg(at).output();
    output.is_ok_and(|output| output.status.success())
}

/// An image, mounted through a loop device that goes when the mount does.
#[derive(Debug)]
pub struct Image {
    // Unmounted before the directory goes.
    _mounted: Mounted,
    dir: TempDir,
    dev: String,
}

impl Image {
    /// A new filesystem.
    pub fn new(fs: Fs) -> Self {
        let dir = TempDir::with_prefix("iomap-trace-live-").unwrap();
        Self::in_dir(dir, fs, SIZE, &[], &[])
    }

    /// A new filesystem of `size` bytes whose image lies in `dir`.
    pub fn in_dir(dir: TempDir, fs: Fs, size: u64, mkfs: &[&str], mount: &[&str]) -> Self {
        let image = dir.path().join("image");
        File::create_new(&image).unwrap().set_len(size).unwrap();
        let (program, quiet) = fs.mkfs();
        let mut args: Vec<super::Arg<'_>> = Vec::new();
        for option in quiet.iter().chain(mkfs) {
            args.push(option);
        }
        args.push(&image);
        tool(program, &args);
        let at = dir.path().join("mnt");
        std::fs::create_dir(&at).unwrap();
        let options: Vec<_> = ["-o", "loop"].iter().chain(mount).copied().collect();
        let mounted = Mounted::new(&at, &options, &image);
        let dev = super_block_dev(&at);
        Self {
            _mounted: mounted,
            dir,
            dev,
        }
    }

    /// Where it is mounted.
    pub fn mnt(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// A path beside the filesystem, gone after the test.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Device of the super block, `major:minor`.
    pub fn dev(&self) -> &str {
        &self.dev
    }
}

/// The device that mountinfo shows for a mount point without special characters.
fn super_block_dev(at: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts
        .lines()
        .rev()
        .find(|line| line.split(' ').nth(4).map(Path::new) == Some(at))
        .expect("the image is mounted");
    line.split(' ').nth(2).unwrap().to_owned()
}
