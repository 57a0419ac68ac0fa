//! Files that are opened only when they are what they must be.

use rustix::fs::{Mode, OFlags, Stat, fstat, open};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Opens `path` for reading if `is` says so of what is there. Nothing else is touched: opening a
/// FIFO or a device can do something, so the path is held first (`O_PATH`) and looked at.
///
/// # Errors
/// When there is no such file; `ENODEV` when it is something else.
pub fn open_if(path: &Path, is: impl Fn(&Stat) -> bool) -> rustix::io::Result<OwnedFd> {
    let held = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if !is(&fstat(&held)?) {
        return Err(rustix::io::Errno::NODEV);
    }
    let link = format!("/proc/self/fd/{}", held.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // Only the owner may ask for it; where nothing is read, nothing is noted either.
    open(&link, flags | OFlags::NOATIME, Mode::empty())
        .or_else(|_| open(&link, flags, Mode::empty()))
}
