//! What the file is, so that a test can find it in the tracer's output.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{major, minor};
use serde::Serialize;

use crate::text::{escape_path, printable};

/// The file that the threads write to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileInfo {
    /// Absolute path at creation.
    pub path: String,
    /// The path is not UTF-8: bytes that are not are `\xHH` in [`FileInfo::path`], a backslash `\\`.
    pub path_escaped: bool,
    /// `st_dev` as `major:minor`. On btrfs this is the subvolume's device, not the superblock's.
    pub dev: String,
    /// Inode number.
    pub ino: u64,
    /// Filesystem type as in `/proc/self/mountinfo`, or `unknown`.
    pub fs: String,
    /// Size in bytes.
    pub size: u64,
}

impl FileInfo {
    /// Describes the open `file`, created as `path`.
    pub(super) fn of(file: &File, path: &Path) -> Result<Self> {
        use std::os::unix::ffi::OsStrExt;
        let meta = file
            .metadata()
            .with_context(|| format!("cannot stat {}", printable(&path.to_string_lossy())))?;
        let (path, path_escaped) = escape_path(path.as_os_str().as_bytes());
        Ok(Self {
            path,
            path_escaped,
            dev: format!("{}:{}", major(meta.dev()), minor(meta.dev())),
            ino: meta.ino(),
            fs: filesystem(file).unwrap_or_else(|| "unknown".to_owned()),
            size: meta.size(),
        })
    }
}

/// The filesystem type of the mount that `file` was opened through.
pub(super) fn filesystem(file: &File) -> Option<String> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    let mount = info
        .lines()
        .find_map(|line| line.strip_prefix("mnt_id:"))?
        .trim();
    // Mount points may hold bytes that are not UTF-8; the fields read here do not.
    let table = fs::read("/proc/self/mountinfo").ok()?;
    filesystem_of_mount(&String::from_utf8_lossy(&table), mount)
}

/// The filesystem type of mount `id` in the text of a mountinfo file.
fn filesystem_of_mount(table: &str, id: &str) -> Option<String> {
    let line = table
        .lines()
        .find(|line| line.split(' ').next() == Some(id))?;
    // The optional fields end with a single dash; no earlier field can be one.
    let (_, after) = line.split_once(" - ")?;
    after.split(' ').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 28 0:21 / /sys rw,nosuid shared:7 - sysfs sysfs rw
36 22 7:0 / /mnt/a\\040b rw,relatime shared:1 master:2 - ext4 /dev/loop0 rw
136 22 0:40 /sub /mnt/c rw - btrfs /dev/loop1 rw
";

    #[test]
    fn finds_the_type_of_a_mount() {
        assert_eq!(filesystem_of_mount(TABLE, "36").as_deref(), Some("ext4"));
        assert_eq!(filesystem_of_mount(TABLE, "136").as_deref(), Some("btrfs"));
        assert_eq!(filesystem_of_mount(TABLE, "3"), None);
    }

    #[test]
    fn describes_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, b"12345").unwrap();
        let file = File::open(&path).unwrap();
        let info = FileInfo::of(&file, &path).unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert_eq!((info.size, info.ino), (5, meta.ino()));
        assert!(!info.path_escaped);
        assert_ne!(info.fs, "unknown");
        let (major, minor) = info.dev.split_once(':').unwrap();
        let dev = libc::makedev(major.parse().unwrap(), minor.parse().unwrap());
        assert_eq!(dev, meta.dev());
    }
}
