//! The ring buffer as a source of events.

use anyhow::Result;
use aya::maps::{MapData, RingBuf};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use super::convert::Converter;
use super::front::Front;
use super::loss::Losses;
use super::muted::Muted;
use super::tally::Tally;
use crate::clock::boot_ns;
use crate::event::{Event, Mark, Phase, decode};
use crate::probe::Filters;

/// Records of one drain: more would keep signals and timers waiting, and their rows take memory.
const BATCH: usize = 1024;
/// Batches of one tick.
const BATCHES: usize = 16;
/// Records after which a mark is due before the next tick: those that are not judged take memory.
const MANY: u64 = 1024;
/// Marks go on for this long after the last record, so that whatever waits is decided.
const MARKS_AFTER_NS: u64 = 4_000_000_000;
/// How often the counters are read while no record comes: then little is said of a loss but that it
/// lies in this time.
const IDLE_READING_NS: u64 = 1_000_000_000;

/// The counters of the programs, read now.
pub type Counters<'a> = &'a dyn Fn() -> BTreeMap<String, u64>;

/// Reads the ring buffer, and marks up to when it is complete.
pub struct Source {
    ring: RingBuf<MapData>,
    converter: Converter,
    filters: Filters,
    front: Front,
    /// Records since the last mark.
    unmarked: u64,
    last_record_ns: u64,
    losses: Losses,
    muted: Muted,
    /// What became of the records.
    pub tally: Tally,
}

impl Source {
    /// A source over a ring buffer. `filters` are those that the programs cannot apply.
    pub fn new(ring: RingBuf<MapData>, converter: Converter, filters: Filters) -> Self {
        Self {
            front: Front::of(ring.as_fd()),
            ring,
            converter,
            filters,
            unmarked: 0,
            last_record_ns: 0,
            losses: Losses::new(boot_ns()),
            muted: Muted::default(),
            tally: Tally::default(),
        }
    }

    /// A descriptor that becomes readable with the ring buffer.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn poll_fd(&self) -> std::io::Result<OwnedFd> {
        self.ring.as_fd().try_clone_to_owned()
    }

    /// Hands what is there to `sink`; true when there may be more.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn drain(&mut self, sink: &mut dyn FnMut(Event) -> Result<()>) -> Result<bool> {
        let began_ns = boot_ns();
        self.front.begin(began_ns);
        for _ in 0..BATCH {
            let Some(item) = self.ring.next() else {
                self.front.emptied();
                return Ok(false);
            };
            let decoded = decode(&item);
            self.front.passed(item.len());
            drop(item);
            self.unmarked += 1;
            self.last_record_ns = began_ns;
            let Ok(record) = decoded else {
                self.tally.undecodable += 1;
                continue;
            };
            let mut events = self.converter.events(&record);
            if let Some(Event::Failure(failure)) = events.first() {
                self.tally.pre += u64::from(failure.phase == Phase::Pre);
                self.tally.post += u64::from(failure.phase == Phase::Post);
                if !self.filters.keeps(failure) {
                    self.tally.filtered += 1;
                    continue;
                }
                self.tally.kept += 1;
                let file = self.converter.file(&record, failure);
                events.extend(file);
            }
            self.muted.strip(&mut events);
            events.into_iter().try_for_each(&mut *sink)?;
        }
        Ok(true)
    }

    /// Drains, tells what was lost, and then marks the moment up to which all have come: called on a
    /// timer.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn tick(
        &mut self,
        counters: Counters,
        sink: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        for _ in 0..BATCHES {
            if !self.drain(sink)? {
                break;
            }
        }
        self.mark_complete(counters, sink)
    }

    /// The same without draining, where many records have come since the last mark: called after
    /// each drain.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn keep_up(
        &mut self,
        counters: Counters,
        sink: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        if self.unmarked < MANY {
            return Ok(());
        }
        self.mark_complete(counters, sink)
    }

    /// Tells what was lost, and marks the moment up to which all have come, if it is a new one.
    fn mark_complete(
        &mut self,
        counters: Counters,
        sink: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let Some(ts_ns) = self.front.complete() else {
            return Ok(());
        };
        if self.busy(ts_ns) || self.accounted_ago_ns() >= IDLE_READING_NS {
            self.account(counters, sink)?;
        }
        self.mark(ts_ns, sink)
    }

    /// Drains what is left when the programs are detached.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn finish(
        &mut self,
        counters: Counters,
        sink: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let ts_ns = boot_ns();
        while self.drain(sink)? {}
        self.account(counters, sink)?;
        self.mark(ts_ns, sink)
    }

    /// Tells what was lost since this was told last.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn account(
        &mut self,
        counters: Counters,
        sink: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let counters = counters();
        let losses = self.losses.since_last(&counters, boot_ns());
        losses.into_iter().map(Event::Loss).try_for_each(sink)
    }

    /// How long ago the losses were told last, nanoseconds.
    pub fn accounted_ago_ns(&self) -> u64 {
        boot_ns().saturating_sub(self.losses.read_ns())
    }

    /// Whether the last record came shortly before.
    fn busy(&self, ts_ns: u64) -> bool {
        ts_ns.saturating_sub(self.last_record_ns) < MARKS_AFTER_NS
    }

    /// The numbers of the last failure and of the last holder.
    pub fn numbers(&self) -> (u64, u64) {
        self.converter.numbers()
    }

    /// Goes on with the numbers of an earlier run, so that they differ in a log of both.
    pub fn number_from(&mut self, numbers: (u64, u64)) {
        self.converter.number_from(numbers);
    }

    /// A hook has no programs from now on: what it would have shown is lost.
    pub fn shed(&mut self, hook: &'static str) {
        self.losses.shed(hook, boot_ns());
        self.muted.shed(hook);
    }

    /// Hooks have waited from the begin on.
    pub fn waits(&mut self, hooks: &[&'static str]) {
        hooks.iter().for_each(|hook| self.losses.waits(hook));
    }

    /// These see from now on.
    pub fn roused(&mut self, hooks: &[&str]) {
        self.losses.roused(hooks, boot_ns());
    }

    /// Adds the hooks that were shed to the sums of losses.
    pub fn account_shed(&self, losses: &mut BTreeMap<String, u64>) {
        self.losses.account_shed(losses);
    }

    fn mark(&mut self, ts_ns: u64, sink: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
        if self.busy(ts_ns) {
            // Of what is judged with this mark they may be missing.
            let blind = self.losses.of_blind(boot_ns());
            blind
                .into_iter()
                .map(Event::Loss)
                .try_for_each(&mut *sink)?;
            sink(Event::Mark(Mark { ts_ns }))?;
            self.unmarked = 0;
        }
        Ok(())
    }
}
