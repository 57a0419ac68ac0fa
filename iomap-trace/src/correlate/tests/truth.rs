//! A small model of the kernel knows why a write failed; the engine only sees the records of it.
//!
//! What `exact` claims must be what happened. The model makes one assumption of the engine its own:
//! between the refusal and the probe (microseconds) no folio goes from clean to dirty, unless it was
//! cached in that time after a completed write.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeSet;

use super::properties::{config, play};
use super::{failure, start};
use crate::correlate::{Cause, Confidence, Verdict};
use crate::event::*;

/// Nanoseconds of a step of the model.
const STEP: u64 = 4_000;
const PAGES: usize = 4;
const FIRST_PAGE: u64 = (1 << 20) / 4096;
const WRITER: u32 = 11;

/// What another task does to a page.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    /// Stores into it; reads it first if need be.
    Dirty,
    /// Reads it.
    Read,
    /// Writes it back.
    Clean,
}

/// Somebody holds pages `first..=last` from a moment to another, both included.
#[derive(Clone, Debug)]
struct Lock {
    times: (u64, u64),
    pages: (usize, usize),
    tid: u32,
    kind: HolderKind,
}

#[derive(Clone, Copy, Debug, Default)]
struct Page {
    cached: Option<(u64, u32)>,
    dirtied: Option<(u64, u32)>,
    dirty: bool,
    /// What is on record of that.
    cached_seen: Option<(u64, u32)>,
    dirtied_seen: Option<(u64, u32)>,
}

/// One direct write over all pages, and what others did meanwhile. Times are steps.
#[derive(Clone, Debug)]
struct Story {
    phase: Phase,
    btrfs: bool,
    ordered_blocks: bool,
    begin: u64,
    flush: u64,
    /// The flush fails.
    broken: bool,
    /// The kernel tries to drop the pages.
    look: u64,
    /// The probe notes the time.
    seen: u64,
    /// The probe reads the page cache.
    walk: u64,
    eio_unseen: bool,
    present: Vec<bool>,
    /// Step, page, thread, what it does, and whether the probe misses it.
    acts: Vec<(u64, usize, u32, Act, bool)>,
    locks: Vec<Lock>,
}

prop_compose! {
    fn lock()(
        (from, to) in (0_u64..70, 0_u64..70),
        (first, last) in (0..PAGES, 0..PAGES),
        tid in select(vec![WRITER, 31, 32]),
        kind in select(vec![HolderKind::OrderedIo, HolderKind::ExtentLock]),
    ) -> Lock {
        Lock {
            times: (from.min(to), from.max(to)), pages: (first.min(last), first.max(last)), tid, kind,
        }
    }
}

prop_compose! {
    fn story()(
        phase in select(vec![Phase::Pre, Phase::Post]),
        (btrfs, ordered_blocks, eio_unseen) in any::<(bool, bool, bool)>(),
        broken in prop::bool::weighted(0.1),
        (begin, flush, look, seen, walk) in (5_u64..20, 1_u64..10, 1_u64..25, 0_u64..4, 0_u64..4),
        present in vec(any::<bool>(), PAGES),
        mut acts in vec((
            1_u64..70, 0..PAGES, select(vec![WRITER, 21, 22]),
            select(vec![Act::Dirty, Act::Dirty, Act::Read, Act::Clean]),
            prop::bool::weighted(0.1),
        ), 0..8),
        locks in vec(lock(), 0..4),
    ) -> Story {
        acts.sort_by_key(|(at, ..)| *at);
        let (flush, broken) = (begin + flush, broken && phase == Phase::Pre);
        let look = if broken { flush } else { flush + look };
        let (seen, walk) = (look + seen, look + seen + walk);
        let mut alone: Vec<Lock> = Vec::new();
        for lock in locks {
            let apart = |other: &Lock| {
                lock.times.1 < other.times.0 || other.times.1 < lock.times.0
                    || lock.pages.1 < other.pages.0 || other.pages.1 < lock.pages.0
            };
            // Before submission the writer holds no lock while it looks.
            let own = lock.tid == WRITER && phase == Phase::Pre;
            if alone.iter().all(apart) && !(own && (lock.times.0..=lock.times.1).contains(&look)) {
                alone.push(lock);
            }
        }
        Story {
            phase, btrfs, ordered_blocks, begin, flush, broken, look, seen, walk, eio_unseen, present,
            acts, locks: alone,
        }
    }
}

/// Why pages were refused: every cause with its party that was true of a page.
type Truth = BTreeSet<(Cause, u32)>;

impl Story {
    /// Lets it happen: the page cache as the probe finds it, and the truth.
    fn happen(&self) -> (Vec<Page>, Truth) {
        let mut truth = Truth::new();
        let mut pages = vec![Page::default(); PAGES];
        for (page, present) in pages.iter_mut().zip(&self.present) {
            page.cached = present.then_some((0, 20));
            page.cached_seen = page.cached;
        }
        for now in 0..=self.walk {
            for (_, page, tid, act, missed) in self.acts.iter().filter(|(at, ..)| *at == now) {
                let page = &mut pages[*page];
                let before = *page;
                self.act(page, now, *tid, *act);
                if !missed {
                    if page.cached != before.cached {
                        page.cached_seen = page.cached;
                    }
                    if page.dirtied != before.dirtied {
                        page.dirtied_seen = page.dirtied;
                    }
                }
            }
            if now == self.flush && !self.broken {
                pages.iter_mut().for_each(|page| page.dirty = false);
            }
            if now == self.look && !self.broken {
                for (number, page) in pages.iter_mut().enumerate() {
                    let why = self.refused(number, page);
                    if why.is_empty() {
                        // What is on record of a page outlives its folio.
                        *page = Page {
                            cached_seen: page.cached_seen,
                            dirtied_seen: page.dirtied_seen,
                            ..Page::default()
                        };
                    }
                    truth.extend(why);
                }
            }
        }
        (pages, truth)
    }

    fn act(&self, page: &mut Page, now: u64, tid: u32, act: Act) {
        match act {
            Act::Clean => page.dirty = false,
            Act::Read => page.cached = page.cached.or(Some((now, tid))),
            Act::Dirty => {
                let gap = self.look < now && now <= self.seen;
                if gap && (self.phase == Phase::Pre || page.cached.is_some()) {
                    return;
                }
                page.cached = page.cached.or(Some((now, tid)));
                if !page.dirty {
                    (page.dirty, page.dirtied) = (true, Some((now, tid)));
                }
            }
        }
    }

    /// Why this page cannot be dropped now.
    fn refused(&self, number: usize, page: &Page) -> Truth {
        let mut why = Truth::new();
        if page.cached.is_none() {
            return why;
        }
        if let Some((_, tid)) = page.dirtied.filter(|_| page.dirty) {
            why.insert((Cause::Redirtied, tid));
        }
        for lock in self.locks.iter().filter(|_| self.btrfs) {
            let held = (lock.times.0..=lock.times.1).contains(&self.look)
                && (lock.pages.0..=lock.pages.1).contains(&number);
            match lock.kind {
                HolderKind::OrderedIo if held && self.ordered_blocks => {
                    why.insert((Cause::OrderedIo, lock.tid));
                }
                HolderKind::ExtentLock if held => {
                    why.insert((Cause::ExtentLock, lock.tid));
                }
                _ => {}
            }
        }
        why
    }

    /// The records of it; none when the kernel side would not tell.
    fn records(&self, pages: &[Page], failed: bool) -> Option<Vec<Event>> {
        let left = pages.iter().any(|page| page.cached.is_some());
        let told = match self.phase {
            Phase::Post => failed || left && self.eio_unseen,
            _ => failed || self.broken,
        };
        if !told {
            return None;
        }
        let fs = if self.btrfs { "btrfs" } else { "xfs" };
        let mut failure = failure(self.phase, fs);
        failure.ts_ns = self.seen * STEP;
        failure.duration_ns = (self.seen - self.begin) * STEP;
        failure.wb_error_ns = self.broken.then_some(self.flush * STEP);
        failure.wb_err_begin = if self.eio_unseen { 5 } else { 0 };
        failure.wb_err_now = if failed { 5 } else { failure.wb_err_begin };
        let (mut events, mut touched) = (Vec::new(), Vec::new());
        for (index, page) in (FIRST_PAGE..).zip(pages) {
            if page.cached.is_none() {
                continue;
            }
            let touch = |(at, tid): (u64, u32)| Touched {
                index,
                ..super::touched(at * STEP, tid)
            };
            let mut refusal = super::refusal(if page.dirty {
                &["dirty"]
            } else {
                &["uptodate"]
            });
            if let Event::Refusal(refusal) = &mut refusal {
                refusal.index = index;
                refusal.ts_ns = self.walk * STEP;
            }
            events.push(refusal);
            failure.refusals += 1;
            if let Some(dirtied) = page.dirtied_seen {
                touched.push(Event::Dirtied(touch(dirtied)));
                failure.dirtied += 1;
            }
            if let Some(cached) = page.cached_seen.filter(|cached| cached.0 > 0) {
                touched.push(Event::Cached(touch(cached)));
                failure.cached += 1;
            }
        }
        events.insert(0, Event::Failure(Box::new(failure)));
        events.extend(touched);
        events.push(Event::Outcome(Outcome {
            failure: 1,
            outcome: OutcomeKind::Unknown,
            ret: None,
        }));
        events.extend((1..).zip(&self.locks).map(|(id, lock)| lock.record(id)));
        let missed = self.acts.iter().filter(|(.., missed)| *missed);
        events.extend(missed.flat_map(|(at, ..)| {
            ["dirty", "cached"].map(|hook| {
                Event::Loss(Loss {
                    hook: hook.into(),
                    counter: "x.missed".into(),
                    count: 1,
                    since_ns: at * STEP - 1,
                    ts_ns: at * STEP + 1,
                })
            })
        }));
        Some(events)
    }

    fn verdict(&self, events: &[Event]) -> Verdict {
        let mut judged = play(&start(self.ordered_blocks), events);
        assert_eq!(judged.len(), 1);
        judged.remove(0).verdict
    }
}

impl Lock {
    fn record(&self, id: u64) -> Event {
        let times = (self.times.0 * STEP, self.times.1 * STEP);
        let mut record = super::holder(self.kind, times.0, times.1, self.tid);
        if let Event::Holder(holder) = &mut record {
            holder.id = id;
            holder.pos = (FIRST_PAGE + self.pages.0 as u64) * 4096;
            holder.len = (self.pages.1 - self.pages.0 + 1) as u64 * 4096;
        }
        record
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn exact_is_what_happened(story in story()) {
        let (pages, truth) = story.happen();
        let events = story.records(&pages, !truth.is_empty());
        prop_assume!(events.is_some());
        let verdict = story.verdict(&events.unwrap());
        if verdict.confidence == Confidence::Exact {
            let party = verdict.party.as_ref().map_or(0, |party| party.tid);
            let true_of_it = if verdict.cause == Cause::WritebackError {
                story.broken
            } else {
                truth.contains(&(verdict.cause, party))
            };
            prop_assert!(true_of_it, "{:#?} is not in {:?}", verdict, truth);
        }
        let missed = story.acts.iter().any(|(.., missed)| *missed);
        if story.phase == Phase::Post && !truth.is_empty() && !story.eio_unseen && !missed {
            prop_assert!(verdict.withdrawn.is_none(), "{:#?}: {:?}", verdict, truth);
        }
    }
}
