//! Whether there is anything to see where the user wants to look.

use anyhow::Result;
use std::path::Path;

use super::common::Common;
use crate::error::{ExitKind, Fail};
use crate::kernel::filesystems;
use crate::kernel::mountinfo::{MountLine, over};

/// Refuses a path, or a device, of a filesystem that no probe can see.
///
/// # Errors
/// When the filesystem is known not to write directly through iomap.
pub fn check(common: &Common, mounts: &[MountLine]) -> Result<()> {
    let by_path = common
        .path()
        .and_then(|path| Some((path.display().to_string(), over(mounts, path)?)));
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

/// Says which filters match nothing that is there now.
pub fn warn(common: &Common, mounts: &[MountLine]) {
    let absent = |what: String| eprintln!("iomap-trace: {what} does not exist (yet)");
    if let Some(path) = common.path().filter(|path| !path.exists()) {
        absent(format!("{}", path.display()));
    }
    if let Some(pid) = common
        .pid()
        .filter(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    {
        absent(format!("process {pid}"));
    }
    if let Some(dev) = common
        .dev()
        .filter(|dev| mounts.iter().all(|mount| mount.dev != *dev))
    {
        eprintln!("iomap-trace: no filesystem on device {dev} is in mountinfo");
    }
}
