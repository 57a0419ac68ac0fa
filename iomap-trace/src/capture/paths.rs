//! Paths of inodes: through the descriptors of the writer, of loop devices, of anybody.

use iomap_trace_ebpf::Identity;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::owners::{Descriptor, Found, Key, any_process, loop_device, of_process};

/// How long an inode without a path is not looked for again.
const RETRY: Duration = Duration::from_secs(1);
/// Inodes that are remembered.
const CAPACITY: usize = 4096;

#[derive(Debug)]
enum Known {
    /// Through this descriptor, which is read again each time: files are renamed.
    Through(Descriptor),
    /// Not found at that moment.
    Nowhere(Instant),
}

/// Finds paths, and remembers where.
#[derive(Debug, Default)]
pub struct Paths {
    known: HashMap<Key, Known>,
}

impl Paths {
    /// The present path of an inode that process `pid` writes.
    pub fn find(&mut self, pid: u32, inode: &Identity) -> Found {
        let key = Key {
            dev: inode.stat_dev,
            ino: inode.ino,
        };
        match self.known.get(&key) {
            Some(Known::Through(descriptor)) => {
                if let Some(found) = descriptor.read(key) {
                    return found;
                }
            }
            Some(Known::Nowhere(when)) if when.elapsed() < RETRY => return Found::default(),
            _ => {}
        }
        let descriptor = of_process(pid, key)
            .or_else(|| loop_device(key))
            .or_else(|| any_process(key));
        let found = descriptor.as_ref().and_then(|d| d.read(key));
        if self.known.len() >= CAPACITY {
            self.known.clear();
        }
        let known = match descriptor {
            Some(descriptor) if found.is_some() => Known::Through(descriptor),
            _ => Known::Nowhere(Instant::now()),
        };
        self.known.insert(key, known);
        found.unwrap_or_default()
    }
}
