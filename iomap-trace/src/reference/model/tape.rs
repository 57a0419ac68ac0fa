//! What a tracer records of the model.

use super::truth::Truth;
use crate::event::{Event, Holder};

/// Records that come together, at a moment.
#[derive(Clone, Debug)]
pub struct Unit {
    /// When they were sent.
    pub ns: u64,
    /// The records.
    pub events: Vec<Event>,
}

/// A holder record, with the locks that it tells of.
#[derive(Debug)]
pub struct Recorded {
    /// The record.
    pub holder: Holder,
    /// Numbers of the locks.
    pub locks: Vec<u64>,
}

/// A truth whose holder records may not have been written yet.
#[derive(Debug)]
pub struct Pending {
    /// The truth, without ids of holders.
    pub truth: Truth,
    /// For each reason the number of the lock.
    pub locks: Vec<Option<u64>>,
}

/// The tape.
#[derive(Debug, Default)]
pub struct Tape {
    /// What was sent.
    pub units: Vec<Unit>,
    /// Truths of the failures sent.
    pub truths: Vec<Pending>,
    /// Every holder record made, sent or not.
    pub holders: Vec<Recorded>,
    /// Holders that no failure has asked for (`holder::tell()` of the programs).
    kept: Vec<Holder>,
    /// When the inode failed last.
    failed_ns: Option<u64>,
    /// Failures numbered.
    pub failures: u64,
    /// Holders numbered.
    pub numbered: u64,
}

impl Tape {
    /// A number for a failure.
    pub fn failure(&mut self) -> u64 {
        self.failures += 1;
        self.failures
    }

    /// A hold ended: it is sent when its inode failed meanwhile, and kept otherwise.
    pub fn holder(&mut self, mut holder: Holder, locks: Vec<u64>) {
        self.numbered += 1;
        holder.id = self.numbered;
        if self.failed_ns.is_some_and(|ns| ns >= holder.start_ns) {
            self.send(holder.end_ns, vec![Event::Holder(Box::new(holder.clone()))]);
        } else {
            self.kept.push(holder.clone());
        }
        self.holders.push(Recorded { holder, locks });
    }

    /// A folio was refused, or an invalidation failed, of a write that began at `since_ns`: what
    /// was kept for it is sent.
    pub fn failed(&mut self, now: u64, since_ns: u64) {
        self.failed_ns = Some(now);
        for holder in std::mem::take(&mut self.kept) {
            if holder.end_ns >= since_ns {
                self.send(now, vec![Event::Holder(Box::new(holder))]);
            }
        }
    }

    /// Sends records.
    pub fn send(&mut self, ns: u64, events: Vec<Event>) {
        self.units.push(Unit { ns, events });
    }

    /// The truths, with the ids of the holders.
    pub fn truths(&mut self, first_page: u64, page_size: u64) -> Vec<Truth> {
        let holders = &self.holders;
        let resolved = std::mem::take(&mut self.truths)
            .into_iter()
            .map(|mut pending| {
                let reasons = pending.truth.reasons.iter_mut();
                for (reason, lock) in reasons.zip(&pending.locks) {
                    let first = (reason.index - first_page) * page_size;
                    let end = first + reason.pages * page_size;
                    let base = first_page.saturating_mul(page_size);
                    let told = |recorded: &&Recorded| {
                        let pos = recorded.holder.pos - base;
                        lock.is_some_and(|lock| recorded.locks.contains(&lock))
                            && pos < end
                            && first < pos + recorded.holder.len
                    };
                    reason.holders = holders
                        .iter()
                        .filter(told)
                        .map(|recorded| recorded.holder.id)
                        .collect();
                }
                pending.truth
            });
        resolved.collect()
    }
}
