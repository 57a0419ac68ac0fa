//! Failures that explain a change of `wb_err` which another one only saw.

use foldhash::fast::RandomState;
use std::collections::{HashMap, VecDeque};

use super::calendar::Calendar;
use super::case::{Case, GRACE_NS, InodeKey};
use super::store::KEEP_NS;

/// `SEEN` flag of an `errseq_t` (lib/errseq.c).
const ERRSEQ_SEEN: u32 = 1 << 12;

/// Inode and value of `wb_err`, whoever saw it.
type Key = (InodeKey, u32);

fn key(case: &Case) -> Key {
    (case.inode(), case.failure.wb_err_now & !ERRSEQ_SEEN)
}

/// Post failures of the last seconds that were seen by more than `wb_err`.
#[derive(Debug, Default)]
pub struct Witnesses {
    /// Moment and number, in order.
    by_value: HashMap<Key, VecDeque<(u64, u64)>, RandomState>,
    calendar: Calendar<Key>,
}

impl Witnesses {
    /// Adds a failure that changed `wb_err`.
    pub fn add(&mut self, case: &Case) {
        let at = (case.failure.ts_ns, case.failure.id);
        let seen = self.by_value.entry(key(case)).or_default();
        let behind = seen.iter().rev().take_while(|other| **other > at).count();
        seen.insert(seen.len() - behind, at);
        self.calendar.add(at.0, key(case));
    }

    /// The nearest failure that set the value which this one saw.
    pub fn explain(&self, case: &Case) -> Option<u64> {
        let seen = self.by_value.get(&key(case))?;
        let now = case.failure.ts_ns;
        let after = seen.partition_point(|(ts, _)| *ts < now);
        let next = seen.get(after).copied();
        // Of several of one moment the one with the lowest number.
        let last = after.checked_sub(1).map(|at| seen[at].0);
        let last = last.map(|ts| seen[seen.partition_point(|(other, _)| *other < ts)]);
        let near = last.into_iter().chain(next);
        near.map(|(ts, id)| (ts.abs_diff(now), id))
            .filter(|(apart, _)| *apart <= GRACE_NS)
            .min()
            .map(|(_, id)| id)
    }

    /// Forgets what is too old at this moment.
    pub fn age(&mut self, now_ns: u64) {
        while let Some(key) = self.calendar.take_before(now_ns.saturating_sub(KEEP_NS)) {
            // The oldest of its key leaves the calendar first.
            if let Some(seen) = self.by_value.get_mut(&key) {
                seen.pop_front();
                if seen.is_empty() {
                    self.by_value.remove(&key);
                }
            }
        }
    }

    /// Nothing is in it.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.by_value.is_empty()
    }
}
