//! The device that `stat(2)` gives for an inode of btrfs whose subvolume is not known.
//!
//! Each subvolume has a device of its own, and inode numbers repeat across them. What a process has
//! open is on a mount, and a mount is of one filesystem: that leads from the filesystem's device to
//! the subvolume's, when just one file fits.

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::owners::{backing_files, links_of};
use crate::kernel::mountinfo;

/// A file somebody has open.
#[derive(Clone, Copy, Debug)]
struct Open {
    ino: u64,
    /// The mount it was opened through.
    mount: u64,
    stat_dev: u32,
}

/// The devices that `stat` gives for the inodes `ino` of the filesystem on `dev` which process
/// `pid`, or a loop device when it has none, has open: several when they are of several subvolumes.
pub fn stat_devs(pid: u32, dev: u32, ino: u64) -> Vec<u32> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let fitting = |paths: &mut dyn Iterator<Item = PathBuf>, mounts: &Path| {
        let found: Vec<Open> = paths
            .filter_map(|path| opened(&path))
            .filter(|open| open.ino == ino)
            .collect();
        if found.is_empty() {
            // The list of mounts is long on some machines.
            return Vec::new();
        }
        on_filesystem(&found, dev, &devices(mounts))
    };
    let mut devices = fitting(&mut links_of(pid), &process.join("mountinfo"));
    if devices.is_empty() {
        let mut files = backing_files().map(|(_, file)| file);
        devices = fitting(&mut files, Path::new("/proc/self/mountinfo"));
    }
    devices
}

/// What is open under `path`; the mount is known since 5.8.
fn opened(path: &Path) -> Option<Open> {
    let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
    let found = statx(CWD, path, AtFlags::STATX_DONT_SYNC, wanted).ok()?;
    let got = StatxFlags::from_bits_retain(found.stx_mask);
    got.contains(wanted).then_some(Open {
        ino: found.stx_ino,
        mount: found.stx_mnt_id,
        stat_dev: found.stx_dev_major << 20 | found.stx_dev_minor,
    })
}

/// Devices of the filesystems by the ids of their mounts; empty when they cannot be read.
fn devices(mounts: &Path) -> HashMap<u64, u32> {
    let text = std::fs::read(mounts).unwrap_or_default();
    let lines = mountinfo::parse(&text).into_iter();
    lines.map(|line| (line.id, line.dev.to_kernel())).collect()
}

/// Different `stat` devices of those files that are on the filesystem `dev`.
fn on_filesystem(open: &[Open], dev: u32, devices: &HashMap<u64, u32>) -> Vec<u32> {
    let there = open.iter().filter(|o| devices.get(&o.mount) == Some(&dev));
    let mut found: Vec<u32> = there.map(|o| o.stat_dev).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn only_files_of_that_filesystem_count() {
        let open = |mount, stat_dev| Open {
            ino: 257,
            mount,
            stat_dev,
        };
        let devices = HashMap::from([(1, 40), (2, 40), (3, 8)]);
        let on = |open: &[Open]| on_filesystem(open, 40, &devices);
        assert_eq!(on(&[open(1, 50), open(2, 50), open(3, 8)]), [50]);
        assert_eq!(on(&[open(1, 50), open(2, 51)]), [50, 51]);
        assert_eq!(on(&[open(3, 8), open(9, 50)]), [0; 0]);
    }

    #[test]
    fn our_own_file_through_its_mount() {
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(dir.path().join("x")).unwrap();
        let mounts = mountinfo::parse(&std::fs::read("/proc/self/mountinfo").unwrap());
        let dev = mountinfo::over(&mounts, dir.path())
            .unwrap()
            .dev
            .to_kernel();
        let found = file.metadata().unwrap();
        let st_dev = libc::major(found.dev()) << 20 | libc::minor(found.dev());
        let us = std::process::id();
        assert_eq!(stat_devs(us, dev, found.ino()), [st_dev]);
        assert_eq!(stat_devs(us, dev ^ 1, found.ino()), [0; 0]);
        drop(file);
        assert_eq!(stat_devs(us, dev, found.ino()), [0; 0]);
    }
}
