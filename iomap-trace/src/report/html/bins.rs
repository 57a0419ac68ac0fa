//! Failures counted by time, file, pair of tasks, cause and phase, in bounded memory.

use foldhash::fast::RandomState;
use std::collections::HashMap;

use crate::correlate::Cause;
use crate::event::Phase;

/// Bins that are kept: as JSON about 25 bytes each.
pub(super) const BINS: usize = 40_000;
/// First width in microseconds.
const WIDTH_US: i64 = 1_000;
/// So many bins of time are left before names are put together.
const FINE: i64 = 512;
/// So many names of a kind stay apart in any case: with all causes and phases that is less than a
/// fifth of [`BINS`] for one bin of time.
pub(super) const FEWEST: usize = 16;

/// What the failures of a bin have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    /// Number of the bin's time: its begin in units of the width.
    pub slot: i64,
    /// File.
    pub file: u32,
    /// Writer and other party.
    pub pair: u32,
    /// Cause.
    pub cause: Cause,
    /// Phase.
    pub phase: Phase,
}

/// What is to be done when there are too many bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coarser {
    /// Double the width.
    Time,
    /// Tell fewer names apart.
    Names,
}

/// The bins.
#[derive(Debug)]
pub(super) struct Bins {
    counts: HashMap<Key, u64, RandomState>,
    width_us: i64,
    first: i64,
    last: i64,
}

impl Bins {
    /// None.
    pub fn new() -> Self {
        Self {
            counts: HashMap::default(),
            width_us: WIDTH_US,
            first: i64::MAX,
            last: i64::MIN,
        }
    }

    /// Width of a bin in microseconds.
    pub fn width_us(&self) -> i64 {
        self.width_us
    }

    /// Counts a failure at `us`; the key's slot is not looked at.
    pub fn add(&mut self, us: i64, key: Key) {
        let slot = us.div_euclid(self.width_us);
        self.first = self.first.min(slot);
        self.last = self.last.max(slot);
        *self.counts.entry(Key { slot, ..key }).or_default() += 1;
    }

    /// What is to be done, if there are too many; `names` are those told apart.
    pub fn too_many(&self, names: usize) -> Option<Coarser> {
        if self.counts.len() <= BINS {
            return None;
        }
        let slots = self.last.saturating_sub(self.first);
        Some(if slots < FINE && names > FEWEST {
            Coarser::Names
        } else {
            Coarser::Time
        })
    }

    /// Doubles the width.
    pub fn widen(&mut self) {
        self.width_us = self.width_us.saturating_mul(2);
        self.first = self.first.div_euclid(2);
        self.last = self.last.div_euclid(2);
        self.rekey(|key| Key {
            slot: key.slot.div_euclid(2),
            ..key
        });
    }

    /// Gives files and pairs other numbers.
    pub fn rename(&mut self, files: &[u32], pairs: &[u32]) {
        let new = |numbers: &[u32], old: u32| numbers.get(old as usize).copied().unwrap_or(old);
        self.rekey(|key| Key {
            file: new(files, key.file),
            pair: new(pairs, key.pair),
            ..key
        });
    }

    fn rekey(&mut self, new: impl Fn(Key) -> Key) {
        for (key, count) in std::mem::take(&mut self.counts) {
            *self.counts.entry(new(key)).or_default() += count;
        }
    }

    /// The bins in the order of time.
    pub fn sorted(&self) -> Vec<(Key, u64)> {
        let mut bins: Vec<_> = self
            .counts
            .iter()
            .map(|(key, count)| (*key, *count))
            .collect();
        bins.sort_unstable_by_key(|(key, _)| *key);
        bins
    }
}
