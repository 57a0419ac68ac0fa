//! Counting by file and by pair of processes, in bounded memory.

use serde::{Serialize, Serializer, ser::SerializeSeq};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::Hash;

use crate::event::{Dev, Phase, Text};

/// Keys that are counted apart; all further ones are counted together.
const KEYS: usize = 4096;

/// Failures by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Before submission.
    pub pre: u64,
    /// While mapping.
    pub map: u64,
    /// After completion.
    pub post: u64,
}

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, phase: Phase) {
        match phase {
            Phase::Pre => self.pre += 1,
            Phase::Map => self.map += 1,
            Phase::Post => self.post += 1,
        }
    }

    /// All of them.
    pub const fn total(&self) -> u64 {
        self.pre + self.map + self.post
    }
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct FileId {
    /// Device of the super block.
    pub dev: Dev,
    /// btrfs: id of the subvolume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<u64>,
    /// Inode number.
    pub ino: u64,
    /// Host, where a report has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Text>,
}

/// A writer and the other party.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Pair {
    /// Command name of the writer.
    pub comm: Text,
    /// Process of the writer.
    pub pid: u32,
    /// Command name of the other party.
    pub party_comm: Text,
    /// Process of the other party.
    pub party_pid: u32,
    /// What it did.
    pub did: Text,
    /// Host, where a report has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Text>,
}

/// What is known of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Name, if there is one beside the key: a path as in [`crate::event::Failure::path`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether `path` is escaped.
    #[serde(skip)]
    pub path_escaped: bool,
    /// Failures.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Failures by key.
#[derive(Clone, Debug)]
pub struct Tally<K> {
    entries: HashMap<K, Entry>,
    others: Counts,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            others: Counts::default(),
        }
    }
}

impl<K: Ord + Hash> Tally<K> {
    /// Counts a failure. The entry, to complete it, unless the key is one too many.
    pub fn add(&mut self, key: K, phase: Phase) -> Option<&mut Entry> {
        let full = self.entries.len() >= KEYS;
        let entry = match self.entries.entry(key) {
            Slot::Occupied(entry) => entry.into_mut(),
            Slot::Vacant(_) if full => {
                self.others.add(phase);
                return None;
            }
            Slot::Vacant(slot) => slot.insert(Entry::default()),
        };
        entry.counts.add(phase);
        Some(entry)
    }

    /// Failures of the keys that were too many to be counted apart.
    pub fn others(&self) -> Counts {
        self.others
    }

    /// Changes the keys, which must stay different.
    pub(super) fn map_keys(&mut self, change: impl Fn(&mut K)) {
        let entries = std::mem::take(&mut self.entries);
        let changed = entries.into_iter().map(|(mut key, entry)| {
            change(&mut key);
            (key, entry)
        });
        self.entries = changed.collect();
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys with the most failures first, equals in the order of the keys.
    pub fn ranked(&self) -> Vec<(&K, &Entry)> {
        let mut ranked: Vec<_> = self.entries.iter().collect();
        ranked.sort_unstable_by_key(|(key, entry)| (Reverse(entry.counts.total()), *key));
        ranked
    }
}

/// As a list, the keys with the most failures first, at most a hundred.
impl<K: Ord + Hash + Serialize> Serialize for Tally<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a, K> {
            #[serde(flatten)]
            key: &'a K,
            #[serde(flatten)]
            entry: &'a Entry,
        }
        let mut list = serializer.serialize_seq(None)?;
        for (key, entry) in self.ranked().into_iter().take(100) {
            list.serialize_element(&Row { key, entry })?;
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_keys_are_counted_together() {
        let mut tally = Tally::default();
        for key in 0..KEYS + 5 {
            tally.add(key, Phase::Pre);
        }
        tally.add(7, Phase::Post);
        assert_eq!((tally.len(), tally.others().pre), (KEYS, 5));
        let ranked = tally.ranked();
        assert_eq!((*ranked[0].0, ranked[0].1.counts.total()), (7, 2));
        assert_eq!(*ranked[1].0, 0);
    }
}
