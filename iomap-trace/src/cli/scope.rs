//! Whether there is anything to see where the user wants to look.

use anyhow::Result;
use std::path::Path;

use super::common::Common;
use crate::error::{ExitKind, Fail};
use crate::kernel::mountinfo::{self, MountLine};
use crate::kernel::{Roots, filesystems};

/// Refuses a path, or a device, of a filesystem that no probe can see.
///
/// # Errors
/// When the filesystem is known not to write directly through iomap.
pub fn check(common: &Common, roots: &Roots) -> Result<()> {
    // Without mountinfo nothing is known, and nothing refused.
    let mounts = mountinfo::read(roots).unwrap_or_default();
    let by_path = common
        .path()
        .and_then(|path| Some((path.display().to_string(), over(&mounts, path)?)));
    let by_dev = || {
        let dev = common.dev()?;
        Some((
            dev.to_string(),
            mounts.iter().find(|mount| mount.dev == dev)?,
        ))
    };
    match by_path.or_else(by_dev) {
        Some((what, mount)) if !filesystems::on_iomap(&mount.fs) => Err(Fail::error(
            ExitKind::NoProbe,
            format!(
                "{what} is on {}, whose direct writes do not go through iomap, so no probe sees \
                 them: choose a file on ext4, xfs, btrfs or another filesystem on iomap",
                mount.fs
            ),
        )),
        _ => Ok(()),
    }
}

/// The mount that a path is on: of the longest mount points the last, which covers the others.
fn over<'a>(mounts: &'a [MountLine], path: &Path) -> Option<&'a MountLine> {
    let path = std::fs::canonicalize(path)
        .or_else(|_| std::path::absolute(path))
        .ok()?;
    mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.at))
        .max_by_key(|mount| mount.at.as_os_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_and_last_mount_counts() {
        let mounts = mountinfo::parse(
            b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
              2 1 0:5 / /proc rw - proc proc rw\n\
              3 1 0:6 / /proc rw - tmpfs none rw\n",
        );
        let fs = |path: &str| over(&mounts, Path::new(path)).map(|mount| mount.fs.as_str());
        assert_eq!(fs("/proc/nothing/here"), Some("tmpfs"));
        assert_eq!(fs("/procedure"), Some("ext4"));
        assert_eq!(over(&[], Path::new("/")), None);
    }
}
