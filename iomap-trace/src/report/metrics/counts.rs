//! What a session counts for the metrics.

use std::collections::{BTreeMap, BTreeSet};

use super::holds::Times;
use crate::correlate::{Cause, Judged};
use crate::event::{
    Dev, End, Event, Holder, HolderKind, OutcomeKind, Phase, Start, Text, shed_hook,
};
use crate::report::Observer;

/// Devices that are counted apart; the failures of further ones are those of `other`.
pub const DEVICES: usize = 64;

/// What failures are counted by; no device stands for the many.
pub(super) type Key = (Cause, Phase, Text, Option<Dev>);

/// Counts of all runs of a process, from its start on. Withdrawn verdicts are counted apart.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub(super) failures: BTreeMap<Key, u64>,
    pub(super) outcomes: BTreeMap<OutcomeKind, u64>,
    pub(super) self_inflicted: u64,
    pub(super) withdrawn: u64,
    pub(super) ordered_io: Times,
    pub(super) extent_lock: Times,
    /// Facts of the present run.
    pub(super) start: Option<Box<Start>>,
    /// When the first one began, nanoseconds since 1970.
    pub(super) began_wall_ns: u64,
    /// The sums of the runs that ended.
    pub(super) ended: Sums,
    devices: BTreeSet<Dev>,
}

/// The programs' sums.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) losses: BTreeMap<String, u64>,
    /// Nanoseconds and runs, by program.
    pub(super) cost: BTreeMap<String, (u64, u64)>,
    pub(super) direct_writes: u64,
}

impl Sums {
    /// Adds those of a run.
    pub(super) fn add(
        &mut self,
        losses: &BTreeMap<String, u64>,
        cost: &BTreeMap<String, (u64, u64)>,
        direct_writes: Option<u64>,
    ) {
        // That a hook was shed is its state, not a loss.
        for (probe, lost) in losses.iter().filter(|(name, _)| shed_hook(name).is_none()) {
            let sum = self.losses.entry(probe.clone()).or_default();
            *sum = sum.saturating_add(*lost);
        }
        for (program, (ns, runs)) in cost {
            let sum = self.cost.entry(program.clone()).or_default();
            *sum = (sum.0.saturating_add(*ns), sum.1.saturating_add(*runs));
        }
        let more = direct_writes.unwrap_or_default();
        self.direct_writes = self.direct_writes.saturating_add(more);
    }
}

impl Counts {
    fn holder(&mut self, holder: &Holder) {
        // One that never had a lock (NOCOW) held nothing.
        let (Some(locked), Some(unlocked)) = (holder.locked_ns, holder.unlocked_ns) else {
            return;
        };
        let times = match holder.kind {
            HolderKind::OrderedIo => &mut self.ordered_io,
            HolderKind::ExtentLock => &mut self.extent_lock,
        };
        times.add(unlocked.saturating_sub(locked));
    }

    fn end(&mut self, end: &End) {
        let writes = end.counters.get("dio.writes").copied();
        self.ended.add(&end.losses, &end.cost, writes);
    }

    fn device(&mut self, dev: Dev) -> Option<Dev> {
        let room = self.devices.len() < DEVICES;
        (self.devices.contains(&dev) || room && self.devices.insert(dev)).then_some(dev)
    }
}

impl Observer for Counts {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Start(start) => {
                if self.start.is_none() {
                    self.began_wall_ns = start.clock.wall_ns;
                }
                self.start = Some(start.clone());
            }
            Event::Holder(holder) => self.holder(holder),
            Event::End(end) => self.end(end),
            _ => {}
        }
    }

    fn judged(&mut self, Judged { failure, verdict }: &Judged) {
        if verdict.withdrawn.is_some() {
            self.withdrawn += 1;
            return;
        }
        let dev = self.device(failure.dev);
        let key = (verdict.cause, failure.phase, failure.fs.clone(), dev);
        *self.failures.entry(key).or_default() += 1;
        *self.outcomes.entry(verdict.outcome).or_default() += 1;
        self.self_inflicted += u64::from(verdict.self_inflicted);
    }
}
