//! Who has an inode open: descriptors in procfs, and backing files of loop devices.

use rustix::fs::{AtFlags, CWD, StatxFlags, readlink, statx};
use std::fs::read_dir;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::text::escape_path;

/// An inode as `stat(2)` names it; the device in the kernel's encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub dev: u32,
    pub ino: u64,
}

/// A path, or none, with flags for the failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub path: Option<String>,
    pub flags: Vec<&'static str>,
}

/// Where a path can be read.
#[derive(Clone, Debug)]
pub enum Descriptor {
    /// A link in procfs.
    Link(PathBuf),
    /// A loop device's attribute that holds the path of its backing file.
    Loop(PathBuf),
}

impl Descriptor {
    /// Where this leads to, without a look at what is there.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Link(link) => Some(link.clone()),
            Self::Loop(attribute) => backing_file(attribute),
        }
    }

    /// The path, if this still leads to the inode.
    pub fn read(&self, key: Key) -> Option<Found> {
        let path = match self {
            Self::Link(link) => {
                let links = links_to(link, key)?;
                let target = readlink(link, Vec::new()).ok()?.into_bytes();
                // The descriptor may have been closed and used again in between.
                links_to(link, key)?;
                return Some(named(&target, links == 0));
            }
            Self::Loop(attribute) => backing_file(attribute)?,
        };
        links_to(&path, key).map(|_| named(path.as_os_str().as_bytes(), false))
    }
}

/// The kernel adds this to the path of a file without a name.
const DELETED: &[u8] = b" (deleted)";

fn named(target: &[u8], unlinked: bool) -> Found {
    let target = if unlinked {
        target.strip_suffix(DELETED).unwrap_or(target)
    } else {
        target
    };
    let (path, escaped) = escape_path(target);
    let flags = [(escaped, "path-escaped"), (unlinked, "unlinked")];
    Found {
        path: Some(path),
        flags: flags
            .iter()
            .filter(|(set, _)| *set)
            .map(|(_, flag)| *flag)
            .collect(),
    }
}

/// Number of names of the inode, if `path` leads to it. Never waits for a remote filesystem.
fn links_to(path: &Path, key: Key) -> Option<u32> {
    let wanted = StatxFlags::INO | StatxFlags::NLINK;
    let found = statx(CWD, path, AtFlags::STATX_DONT_SYNC, wanted).ok()?;
    let dev = found.stx_dev_major << 20 | found.stx_dev_minor;
    (found.stx_ino == key.ino && dev == key.dev).then_some(found.stx_nlink)
}

/// A descriptor of the process that leads to the inode, or a mapping of it (a file that is only
/// registered with io_uring has neither).
pub fn of_process(pid: u32, key: Key) -> Option<Descriptor> {
    links_of(pid)
        .find(|link| links_to(link, key).is_some())
        .map(Descriptor::Link)
}

/// Links in procfs to what a process has open, and then to what it has mapped.
pub fn links_of(pid: u32) -> impl Iterator<Item = PathBuf> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let links = ["fd", "map_files"].into_iter().filter_map(move |dir| {
        let links = read_dir(process.join(dir)).ok()?;
        Some(links.filter_map(|entry| Some(entry.ok()?.path())))
    });
    links.flatten()
}

/// A loop device over the inode: its worker has no descriptors.
pub fn loop_device(key: Key) -> Option<Descriptor> {
    backing_files()
        .find(|(_, path)| links_to(path, key).is_some())
        .map(|(attribute, _)| Descriptor::Loop(attribute))
}

/// Files of loop devices: the attribute that has the path, and the path.
pub fn backing_files() -> impl Iterator<Item = (PathBuf, PathBuf)> {
    let devices = read_dir("/sys/block").into_iter().flatten();
    devices.filter_map(|entry| {
        let attribute = entry.ok()?.path().join("loop/backing_file");
        let file = backing_file(&attribute)?;
        Some((attribute, file))
    })
}

/// Path of a loop device's file; a line break ends the attribute.
fn backing_file(attribute: &Path) -> Option<PathBuf> {
    let mut bytes = std::fs::read(attribute).ok()?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

/// Any process that has the inode open, unless it takes too long to find: records wait meanwhile.
pub fn any_process(key: Key) -> Option<Descriptor> {
    const BUDGET: Duration = Duration::from_millis(20);
    let began = Instant::now();
    let mut processes = read_dir("/proc")
        .ok()?
        .take_while(|_| began.elapsed() < BUDGET);
    processes.find_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        of_process(pid, key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn key(file: &std::fs::File) -> Key {
        let found = file.metadata().unwrap();
        let dev = found.dev();
        Key {
            dev: libc::major(dev) << 20 | libc::minor(dev),
            ino: found.ino(),
        }
    }

    #[test]
    fn our_own_file_is_found_renamed_and_unlinked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a b\nc");
        let file = std::fs::File::create(&path).unwrap();
        let key = key(&file);
        let found = of_process(std::process::id(), key).unwrap();
        assert_eq!(found.read(key).unwrap().path.as_deref(), path.to_str());
        let other = dir.path().join("other (deleted)");
        std::fs::rename(&path, &other).unwrap();
        assert_eq!(found.read(key).unwrap().path.as_deref(), other.to_str());
        std::fs::remove_file(&other).unwrap();
        let gone = found.read(key).unwrap();
        assert_eq!(gone.path.as_deref(), other.to_str());
        assert_eq!(gone.flags, ["unlinked"]);
        drop(file);
        assert_eq!(found.read(key), None);
    }
}
