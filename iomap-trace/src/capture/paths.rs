//! Paths of inodes: through the descriptors of the writer, of loop devices, of anybody.

use iomap_trace_ebpf::Identity;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::owners::{Descriptor, Found, Key, any_process, loop_device, of_process};

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
    when: Instant,
}

/// Finds paths, and remembers where.
#[derive(Debug, Default)]
pub struct Paths {
    known: HashMap<Key, Known>,
}

impl Paths {
    /// The present path of an inode that process `pid` writes, or the last one known.
    pub fn find(&mut self, pid: u32, inode: &Identity) -> Found {
        let key = Key {
            dev: inode.stat_dev,
            ino: inode.ino,
        };
        let known = self.known.get_mut(&key);
        if let Some(known) = known {
            if let Some(found) = known.through.as_ref().and_then(|through| through.read(key)) {
                known.last = found.clone();
                return found;
            }
            if known.pid == pid && known.when.elapsed() < RETRY {
                return known.last.clone();
            }
        }
        self.look(pid, key)
    }

    fn look(&mut self, pid: u32, key: Key) -> Found {
        let through = of_process(pid, key)
            .or_else(|| loop_device(key))
            .or_else(|| any_process(key));
        let found = through.as_ref().and_then(|through| through.read(key));
        let before = self.known.remove(&key).filter(|known| known.pid == pid);
        let last = found.or_else(|| Some(before?.last)).unwrap_or_default();
        if self.known.len() >= CAPACITY {
            self.known.clear();
        }
        let known = Known {
            pid,
            through,
            last: last.clone(),
            when: Instant::now(),
        };
        self.known.insert(key, known);
        last
    }
}
