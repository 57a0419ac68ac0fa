//! Paths of inodes: through the descriptors of the writer, of loop devices, of anybody.

use iomap_trace_ebpf::Identity;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::attributes::Attributes;
use super::owners::{Descriptor, Found, Key, any_process, loop_device, of_process};
use super::subvolume;

/// `BTRFS_SUPER_MAGIC` (include/uapi/linux/magic.h).
const BTRFS: u64 = 0x9123_683e;

/// How long a path is not read again: that takes three system calls, several times what all the rest
/// of a failure does, and a record waits longer in the ring buffer.
const FRESH: Duration = Duration::from_millis(20);
/// How long an inode without a path is not looked for again.
const RETRY: Duration = Duration::from_secs(1);
/// Inodes that are remembered.
const CAPACITY: usize = 4096;

/// What is known of an inode.
#[derive(Debug)]
struct Known {
    /// The writer for which it was looked for.
    pid: u32,
    /// Read again each time, since files are renamed; none when nothing was found.
    through: Option<Descriptor>,
    /// What was found last. It outlives the writer, but not the writer's pid: another writer may
    /// write another file with the same number.
    last: Found,
    /// When it was looked for.
    when: Instant,
    /// When the path was read, and for which writer: another one may write another file with the
    /// same number.
    read: Option<(u32, Instant)>,
}

/// Finds paths, and remembers where.
#[derive(Debug, Default)]
pub struct Paths {
    known: HashMap<Key, Known>,
    /// `stat` devices where the programs could not read them, by writer and by the inode on the
    /// device of its super block; and when they were looked for.
    devices: HashMap<(u32, Key), (Option<u32>, Instant)>,
}

impl Paths {
    /// The present path of an inode that process `pid` writes, or the last one known.
    pub fn find(&mut self, pid: u32, inode: &Identity) -> Found {
        let Some(dev) = self.stat_dev(pid, inode) else {
            return Found::default();
        };
        let key = Key {
            dev,
            ino: inode.ino,
        };
        let known = self.known.get_mut(&key);
        if let Some(known) = known {
            let fresh = |(writer, read): (u32, Instant)| writer == pid && read.elapsed() < FRESH;
            if known.read.is_some_and(fresh) {
                return known.last.clone();
            }
            known.read = None;
            if let Some(found) = known.through.as_ref().and_then(|through| through.read(key)) {
                known.last = found.clone();
                known.read = Some((pid, Instant::now()));
                return found;
            }
            if known.pid == pid && known.when.elapsed() < RETRY {
                return known.last.clone();
            }
        }
        self.look(pid, key)
    }

    /// What is known of an inode of which [`Paths::find`] was just asked, through what led to its
    /// path.
    pub fn attributes(&mut self, pid: u32, inode: &Identity) -> Attributes {
        let through = self.stat_dev(pid, inode).and_then(|dev| {
            let key = Key {
                dev,
                ino: inode.ino,
            };
            Some((self.known.get(&key)?.through.as_ref()?, key))
        });
        match through {
            Some((through, key)) => through.attributes(key),
            None => Attributes {
                missing: Some("no process had it open when it was looked for".to_owned()),
                ..Attributes::default()
            },
        }
    }

    /// The device that `stat` gives. On btrfs it is the subvolume's; where that could not be read,
    /// what the writer has open tells, or told while it was open.
    fn stat_dev(&mut self, pid: u32, inode: &Identity) -> Option<u32> {
        if inode.magic != BTRFS || inode.root != 0 {
            return Some(inode.stat_dev);
        }
        let key = Key {
            dev: inode.dev,
            ino: inode.ino,
        };
        let before = self.devices.get(&(pid, key)).copied();
        if let Some((dev, _)) = before.filter(|(_, when)| when.elapsed() < RETRY) {
            return dev;
        }
        let dev = match subvolume::stat_devs(pid, key.dev, key.ino)[..] {
            [only] => Some(only),
            [] => before.and_then(|(dev, _)| dev),
            // Any of them may be the one.
            _ => None,
        };
        if self.devices.len() >= CAPACITY {
            self.devices.clear();
        }
        self.devices.insert((pid, key), (dev, Instant::now()));
        dev
    }

    fn look(&mut self, pid: u32, key: Key) -> Found {
        let through = of_process(pid, key)
            .or_else(|| loop_device(key))
            .or_else(|| any_process(key));
        let found = through.as_ref().and_then(|through| through.read(key));
        let before = self.known.remove(&key).filter(|known| known.pid == pid);
        let read = found.is_some().then(|| (pid, Instant::now()));
        let last = found.or_else(|| Some(before?.last)).unwrap_or_default();
        if self.known.len() >= CAPACITY {
            self.known.clear();
        }
        let known = Known {
            pid,
            through,
            last: last.clone(),
            when: Instant::now(),
            read,
        };
        self.known.insert(key, known);
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::mountinfo;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_path_read_for_one_writer_is_read_again_for_another() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("file"), dir.path().join("other"));
        let file = std::fs::File::create(&path).unwrap();
        let mounts = mountinfo::parse(&std::fs::read("/proc/self/mountinfo").unwrap());
        let mount = mountinfo::over(&mounts, dir.path()).unwrap();
        let inode = Identity {
            ino: file.metadata().unwrap().ino(),
            root: 0,
            dev: mount.dev.to_kernel(),
            stat_dev: mount.dev.to_kernel(),
            magic: 0,
            fs: [0; 16],
        };
        let us = std::process::id();
        let mut paths = Paths::default();
        assert_eq!(paths.find(us, &inode).path.as_deref(), path.to_str());
        std::fs::rename(&path, &other).unwrap();
        assert_eq!(paths.find(1, &inode).path.as_deref(), other.to_str());
    }

    #[test]
    fn an_inode_whose_subvolume_is_not_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = std::fs::File::create(&path).unwrap();
        let mounts = mountinfo::parse(&std::fs::read("/proc/self/mountinfo").unwrap());
        let mount = mountinfo::over(&mounts, dir.path()).unwrap();
        let mut inode = Identity {
            ino: file.metadata().unwrap().ino(),
            root: 0,
            dev: mount.dev.to_kernel(),
            stat_dev: mount.dev.to_kernel(),
            magic: BTRFS,
            fs: [0; 16],
        };
        let us = std::process::id();
        let mut paths = Paths::default();
        assert_eq!(paths.find(us, &inode).path.as_deref(), path.to_str());
        let other = dir.path().join("other");
        std::fs::rename(&path, &other).unwrap();
        assert_eq!(paths.find(us, &inode).path.as_deref(), path.to_str());
        std::thread::sleep(FRESH);
        assert_eq!(paths.find(us, &inode).path.as_deref(), other.to_str());
        drop(file);
        std::thread::sleep(FRESH);
        assert_eq!(paths.find(us, &inode).path.as_deref(), other.to_str());
        inode.dev ^= 1;
        assert_eq!(paths.find(us, &inode), Found::default());
    }
}
