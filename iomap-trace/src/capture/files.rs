//! Which files were described, and when: once each, again when they have changed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::attributes::Attributes;
use crate::clock::boot_ns;
use crate::event::{Dev, Failure, FileRecord};

/// Files that are remembered.
const CAPACITY: usize = 4096;
/// How long a file is not looked at again.
const AGAIN: Duration = Duration::from_secs(60);
/// As long as it has not been found.
const RETRY: Duration = Duration::from_secs(1);
/// Files that are looked at in a second: records wait meanwhile.
const PER_SECOND: u32 = 100;

/// An inode, wherever it is.
type Place = (Dev, Option<u64>, u64);

/// Remembers what was said of files.
#[derive(Debug, Default)]
pub struct Files {
    known: HashMap<Place, (Attributes, Instant)>,
    /// The present second, and how many files were looked at in it.
    second: Option<(Instant, u32)>,
}

impl Files {
    /// The record of the file of this failure, where `look` finds something new. `look` is called
    /// seldom: a file is looked at once a minute at most, and a hundred files a second.
    pub fn of(
        &mut self,
        failure: &Failure,
        look: impl FnOnce() -> Attributes,
    ) -> Option<FileRecord> {
        let now = Instant::now();
        let place = (failure.dev, failure.root, failure.ino);
        if let Some((known, when)) = self.known.get(&place) {
            let rest = if known.missing.is_some() {
                RETRY
            } else {
                AGAIN
            };
            if now.duration_since(*when) < rest {
                return None;
            }
        }
        if !self.may_look(now) {
            return None;
        }
        let found = look();
        if let Some((known, when)) = self.known.get_mut(&place) {
            *when = now;
            // A file that is gone has the attributes it had.
            if found.flags.is_none() || same(known, &found) {
                return None;
            }
            known.clone_from(&found);
            return Some(record(failure, found));
        }
        if self.known.len() >= CAPACITY {
            self.known.clear();
        }
        self.known.insert(place, (found.clone(), now));
        Some(record(failure, found))
    }

    fn may_look(&mut self, now: Instant) -> bool {
        let (began, looked) = self.second.unwrap_or((now, 0));
        let (began, looked) = if now.duration_since(began) < Duration::from_secs(1) {
            (began, looked)
        } else {
            (now, 0)
        };
        self.second = Some((began, looked + u32::from(looked < PER_SECOND)));
        looked < PER_SECOND
    }
}

/// Sizes change all the time.
fn same(known: &Attributes, found: &Attributes) -> bool {
    let essence = |a: &Attributes| (a.flags.clone(), a.extent_size, a.compression.clone());
    essence(known) == essence(found)
}

fn record(failure: &Failure, found: Attributes) -> FileRecord {
    FileRecord {
        ts_ns: boot_ns(),
        dev: failure.dev,
        ino: failure.ino,
        root: failure.root,
        size: found.size,
        allocated: found.allocated,
        flags: found.flags,
        extent_size: found.extent_size,
        compression: found.compression,
        missing: found.missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn failure(ino: u64) -> Failure {
        let json = serde_json::json!({
            "id": 1, "ts_ns": 1, "duration_ns": 0, "phase": "pre", "pid": 1, "tid": 1,
            "comm": "w", "cgroup": 0, "dev": "0:1", "ino": ino, "root": 5, "fs": "btrfs",
            "pos": 0, "len": 4096, "size": 4096, "wb_err_begin": 0, "wb_err_now": 0,
            "refusals": 0, "dirtied": 0, "cached": 0, "flags": [],
        });
        serde_json::from_value(json).unwrap()
    }

    fn nocow() -> Attributes {
        Attributes {
            flags: Some(vec!["nocow".into()]),
            ..Attributes::default()
        }
    }

    #[test]
    fn a_file_is_described_once_and_again_when_it_changed() {
        let mut files = Files::default();
        let record = files.of(&failure(7), nocow).unwrap();
        assert_eq!((record.ino, record.root), (7, Some(5)));
        assert_eq!(files.of(&failure(7), || panic!("looked again")), None);
        let age = |files: &mut Files| {
            for (_, when) in files.known.values_mut() {
                *when -= AGAIN;
            }
        };
        age(&mut files);
        assert_eq!(files.of(&failure(7), nocow), None, "nothing new");
        age(&mut files);
        assert!(files.of(&failure(7), Attributes::default).is_none(), "gone");
        let more = || Attributes {
            flags: Some(Vec::new()),
            ..Attributes::default()
        };
        age(&mut files);
        assert!(files.of(&failure(7), more).is_some());
    }

    #[test]
    fn neither_work_nor_memory_grows_with_the_files() {
        let mut files = Files::default();
        let looked = Cell::new(0);
        for ino in 0..20_000 {
            if ino % 50 == 0 {
                files.second = None;
            }
            files.of(&failure(ino), || {
                looked.set(looked.get() + 1);
                nocow()
            });
        }
        assert!(looked.get() > 10_000 && files.known.len() <= CAPACITY);
        files.second = None;
        looked.set(0);
        for ino in 30_000..31_000 {
            files.of(&failure(ino), || {
                looked.set(looked.get() + 1);
                nocow()
            });
        }
        // The loop may take more than a second on a busy machine.
        assert!((100..1000).contains(&looked.get()), "{}", looked.get());
    }
}
