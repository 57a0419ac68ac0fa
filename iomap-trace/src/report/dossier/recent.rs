//! What is kept of the log for a moment: the records of failures that are not decided yet, and the
//! last holders. Verdicts come later than both, and name holders by number.

use foldhash::fast::RandomState;
use serde::Serialize;
use std::collections::{HashMap, VecDeque};

use crate::event::{Failure, Holder, Outcome, Refusal, Touched};

/// Failures without a verdict whose records are kept; of more, the oldest go.
const FAILURES: usize = 1024;
/// Records of each kind that are kept of a failure.
const RECORDS: usize = 64;
/// Holders that are kept.
const HOLDERS: usize = 4096;
/// Other holders that are shown beside those that a verdict names.
const BESIDE: usize = 6;

/// The records that follow a failure.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Records {
    /// Folios that were still cached.
    pub refusals: Vec<Refusal>,
    /// Who dirtied them last.
    pub dirtied: Vec<Touched>,
    /// Who cached them last.
    pub cached: Vec<Touched>,
    /// What became of the write.
    pub outcome: Option<Outcome>,
    /// Records of the failure that were too many to be kept.
    pub left_out: u64,
}

/// Records of the last moments, in bounded memory.
#[derive(Debug, Default)]
pub(in crate::report) struct Recent {
    open: HashMap<u64, Records, RandomState>,
    /// The failures in the order in which they came, decided ones among them.
    order: VecDeque<u64>,
    holders: VecDeque<Holder>,
    /// Holders by number: how many had come before each.
    places: HashMap<u64, u64, RandomState>,
    /// Holders that have come and gone.
    gone: u64,
}

impl Recent {
    /// A failure begins.
    pub fn failure(&mut self, id: u64) {
        while self.open.len() >= FAILURES {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.open.remove(&oldest);
        }
        if self.order.len() >= 4 * FAILURES {
            let open = &self.open;
            self.order.retain(|id| open.contains_key(id));
        }
        self.open.insert(id, Records::default());
        self.order.push_back(id);
    }

    /// A folio that was still cached.
    pub fn refusal(&mut self, refusal: &Refusal) {
        self.add(refusal.failure, refusal, |records| &mut records.refusals);
    }

    /// Who dirtied one.
    pub fn dirtied(&mut self, touched: &Touched) {
        self.add(touched.failure, touched, |records| &mut records.dirtied);
    }

    /// Who cached one.
    pub fn cached(&mut self, touched: &Touched) {
        self.add(touched.failure, touched, |records| &mut records.cached);
    }

    /// What became of a write.
    pub fn outcome(&mut self, outcome: &Outcome) {
        if let Some(records) = self.open.get_mut(&outcome.failure) {
            records.outcome.get_or_insert_with(|| outcome.clone());
        }
    }

    fn add<T: Clone>(&mut self, id: u64, record: &T, to: impl Fn(&mut Records) -> &mut Vec<T>) {
        let Some(records) = self.open.get_mut(&id) else {
            return;
        };
        let list = to(records);
        if list.len() < RECORDS {
            list.push(record.clone());
        } else {
            records.left_out += 1;
        }
    }

    /// A holder.
    pub fn holder(&mut self, holder: &Holder) {
        if self.holders.len() == HOLDERS
            && let Some(oldest) = self.holders.pop_front()
        {
            // A number that came twice is at its last place.
            if self.places.get(&oldest.id) == Some(&self.gone) {
                self.places.remove(&oldest.id);
            }
            self.gone += 1;
        }
        self.places
            .insert(holder.id, self.gone + self.holders.len() as u64);
        self.holders.push_back(holder.clone());
    }

    /// The records of a failure that is decided.
    pub fn take(&mut self, id: u64) -> Option<Records> {
        self.open.remove(&id)
    }

    /// The holders of these numbers, oldest lock first; fewer if some are gone.
    pub fn named(&self, ids: &[u64]) -> Vec<Holder> {
        let place = |id| self.places.get(id)?.checked_sub(self.gone);
        sorted(
            ids.iter()
                .filter_map(|id| self.holders.get(usize::try_from(place(id)?).ok()?)),
        )
    }

    /// Failures, places in their order, and holders that are kept.
    #[cfg(test)]
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.open.len(), self.order.len(), self.holders.len())
    }

    /// Others that had a part of the failure's range between its begin and its end.
    pub fn beside(&self, failure: &Failure, ids: &[u64]) -> Vec<Holder> {
        let begin = failure.ts_ns.saturating_sub(failure.duration_ns);
        let end = failure.pos.saturating_add(failure.len);
        let met = |holder: &&Holder| {
            let same = (holder.dev, holder.ino, holder.root.unwrap_or(0))
                == (failure.dev, failure.ino, failure.root.unwrap_or(0));
            let until = holder.unlocked_ns.unwrap_or(holder.end_ns);
            same && !ids.contains(&holder.id)
                && holder.pos < end
                && failure.pos < holder.pos.saturating_add(holder.len)
                && holder.locked_ns.unwrap_or(holder.start_ns) <= failure.ts_ns
                && begin <= until
        };
        let mut beside = sorted(self.holders.iter().filter(met));
        // Those that come last are nearest to the failure.
        let rest = beside.len().saturating_sub(BESIDE);
        beside.drain(..rest);
        beside
    }
}

fn sorted<'a>(holders: impl Iterator<Item = &'a Holder>) -> Vec<Holder> {
    let mut holders: Vec<Holder> = holders.cloned().collect();
    holders.sort_by_key(|holder| (holder.start_ns, holder.id));
    // A log may say a thing twice.
    holders.dedup_by_key(|holder| holder.id);
    holders
}
