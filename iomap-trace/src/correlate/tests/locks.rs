//! A small model of the extent io tree knows who held a folio's range when its release was refused;
//! the engine sees what the probes record of it, each instant as early as they see it.
//!
//! The model's assumptions are the engine's: an unlock takes effect within a millisecond; while one
//! takes more than ten microseconds nobody who tries is late enough to find it done; work on an
//! ordered extent ends within twenty milliseconds of its unlock. That a record is lost is told before
//! the next mark.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::BTreeSet;

use super::properties::{config, play};
use super::{failure, start};
use crate::correlate::{Cause, Confidence, Judged};
use crate::event::*;

/// Nanoseconds of a step of the model, and where its time begins.
const STEP: u64 = 2_000;
const EPOCH: u64 = 5_000_000_000;
/// Steps that an unlock and a lock can both be under way.
const BOTH: u64 = 5;
const PAGES: u64 = 4;
const FIRST_PAGE: u64 = (1 << 20) / 4096;
const WRITER: u32 = 11;

/// Every pair of a cause and a party that was true.
type Truth = BTreeSet<(Cause, u32)>;

/// A task that wants pages `first..=last` locked. Times are steps.
#[derive(Clone, Debug)]
struct Want {
    at: u64,
    pages: (u64, u64),
    kind: HolderKind,
    by_writer: bool,
    /// From the event to the lock.
    lock_takes: u64,
    /// For how long; then it gives up so many pages, and after so many steps the rest.
    holds: u64,
    first_part: Option<(u64, u64)>,
    /// From the event to the unlock.
    unlock_takes: u64,
    /// From the unlock to the end of the work.
    works_on: u64,
    unlocked_by: Option<u32>,
    /// Who made the ordered extent, and when.
    made: Option<(u32, u64)>,
    /// NOCOW: it locks nothing.
    lockless: bool,
    /// Its record is lost: at the lock, the unlock, or when it is written.
    lost: Option<Lost>,
}

/// Where a record is lost, and how much earlier and later the loss may have been.
#[derive(Clone, Copy, Debug)]
struct Lost {
    at: At,
    around: (u64, u64),
}

#[derive(Clone, Copy, Debug)]
enum At {
    Lock,
    Unlock,
    Record,
}

/// A hold as it was, `from` included and `to` not, and as it is recorded.
#[derive(Clone, Debug)]
struct Hold {
    pages: (u64, u64),
    from: u64,
    to: u64,
    kind: HolderKind,
    tid: u32,
    tried: u64,
    given_up: u64,
    record: Holder,
    lost: Option<Lost>,
}

impl Hold {
    /// The loss of its record, and when that happened.
    fn loss(&self, lost: Lost) -> (u64, Loss) {
        let (hook, at) = match (lost.at, self.kind) {
            (At::Record, _) => ("ring", self.record.end_ns),
            (At::Lock, _) => ("extent-lock", EPOCH + self.tried * STEP),
            (At::Unlock, HolderKind::OrderedIo) => ("ordered", EPOCH + self.given_up * STEP),
            (At::Unlock, HolderKind::ExtentLock) => ("extent-lock", EPOCH + self.given_up * STEP),
        };
        let loss = Loss {
            hook: hook.into(),
            counter: "x.lost".into(),
            count: 1,
            since_ns: at - lost.around.0 * STEP,
            ts_ns: at + lost.around.1 * STEP,
        };
        (at, loss)
    }
}

/// A folio of the write: its pages, when the lock is tested, and the instants around that.
#[derive(Clone, Debug)]
struct Folio {
    pages: (u64, u64),
    tested: u64,
    entered: u64,
    refused: u64,
    dirty: bool,
}

#[derive(Clone, Debug)]
struct Story {
    phase: Phase,
    ordered_blocks: bool,
    begin: Option<u64>,
    wants: Vec<Want>,
    folios: Vec<Folio>,
    marks: Vec<bool>,
    cut: Option<Index>,
}

fn delay() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..4, 1 => 4_u64..40, 1 => Just(300_u64)]
}

prop_compose! {
    fn want()(
        (at, holds, works_on) in (0_u64..60, 1_u64..30, select(vec![0_u64, 1, 40, 5_000])),
        (one, other) in (0..PAGES, 0..PAGES),
        kind in select(vec![HolderKind::OrderedIo, HolderKind::ExtentLock]),
        by_writer in prop::bool::weighted(0.2),
        (lock_takes, unlock_takes) in (delay(), delay()),
        first_part in prop::option::weighted(0.3, (1_u64..3, 1_u64..30)),
        unlocked_by in prop::option::weighted(0.3, Just(77)),
        made in prop::option::of((select(vec![WRITER, 12]), 0_u64..200)),
        lockless in prop::bool::weighted(0.1),
        lost in prop::option::weighted(0.15, (
            select(vec![At::Lock, At::Unlock, At::Record]), (0_u64..9, 0_u64..9),
        )),
    ) -> Want {
        let ordered = kind == HolderKind::OrderedIo;
        Want {
            at, pages: (one.min(other), one.max(other)), kind, by_writer: by_writer && !ordered,
            lock_takes, holds, first_part, unlock_takes,
            works_on: if ordered { works_on } else { 0 },
            unlocked_by: unlocked_by.filter(|_| !ordered),
            made: made.filter(|_| ordered),
            lockless: lockless && ordered,
            lost: lost.map(|(at, around)| Lost { at, around }),
        }
    }
}

prop_compose! {
    fn story()(
        phase in select(vec![Phase::Pre, Phase::Pre, Phase::Post]),
        ordered_blocks in prop::bool::weighted(0.8),
        (begin, before) in (prop::bool::weighted(0.9), 5_u64..60),
        wants in vec(want(), 1..7),
        large in prop::bool::weighted(0.2),
        (mut at, folios) in (
            10_u64..70,
            vec((0_u64..4, 0_u64..6, 0_u64..6, prop::bool::weighted(0.1)), PAGES as usize),
        ),
        marks in vec(any::<bool>(), 24),
        cut in prop::option::weighted(0.3, any::<Index>()),
    ) -> Story {
        let first = at - 6;
        let folios = (0..).zip(folios).take(if large { 1 } else { PAGES as usize });
        let folios = folios.map(|(page, (gap, before, after, dirty))| {
            let tested = at + gap + before;
            at = tested + after;
            let last = if large { PAGES - 1 } else { page };
            Folio { pages: (page, last), tested, entered: tested - before, refused: at, dirty }
        });
        let folios: Vec<Folio> = folios.collect();
        let begin = begin.then(|| first.saturating_sub(before));
        Story { phase, ordered_blocks, begin, wants, folios, marks, cut }
    }
}

const fn apart(one: (u64, u64), other: (u64, u64)) -> bool {
    one.1 < other.0 || other.1 < one.0
}

impl Story {
    /// Lets everybody try for their locks, in the order in which they get to it.
    fn happen(&self) -> Vec<Hold> {
        let mut holds: Vec<Hold> = Vec::new();
        let tries =
            |want: &Want, tried: u64, number: usize| (tried + want.lock_takes, tried, number);
        let mut open: Vec<(u64, u64, usize)> = (0..)
            .zip(&self.wants)
            .map(|(number, want)| tries(want, want.at, number))
            .collect();
        while let Some(next) = open.iter().copied().min() {
            open.retain(|other| *other != next);
            let (now, tried, number) = next;
            let want = &self.wants[number];
            if want.lockless {
                holds.push(self.lockless(want, number));
                continue;
            }
            let in_the_way = holds.iter().filter(|hold| {
                let slow = hold.to > hold.given_up + BOTH;
                let meanwhile = hold.given_up < tried && tried < hold.to;
                !apart(hold.pages, want.pages) && (now < hold.to || slow && meanwhile)
            });
            match in_the_way.map(|hold| hold.to).max() {
                Some(free) => open.push(tries(want, free + 1, number)),
                None => holds.extend(self.parts(want, number, tried, now)),
            }
        }
        let during = |hold: &Hold| {
            let of = |folio: &Folio| hold.tried <= folio.refused && folio.entered <= hold.to;
            self.folios.iter().any(of)
        };
        // The writer holds no lock while it invalidates, but one that somebody else gives up.
        let own = |hold: &Hold| hold.tid == WRITER && hold.record.unlocked_by.is_none();
        holds.retain(|hold| !own(hold) || !during(hold));
        holds
    }

    /// The parts of a lock that was had at `got`.
    fn parts(&self, want: &Want, number: usize, tried: u64, got: u64) -> Vec<Hold> {
        let (first, last) = want.pages;
        let given_up = got + want.holds;
        let part = |pages, given_up: u64| {
            let mut hold = self.hold(want, number, pages, (tried, given_up));
            (hold.from, hold.to) = (got, given_up + want.unlock_takes.max(1));
            hold
        };
        match want.first_part {
            Some((pages, later)) if first + pages <= last => vec![
                part((first, first + pages - 1), given_up),
                part((first + pages, last), given_up + want.unlock_takes + later),
            ],
            _ => vec![part((first, last), given_up)],
        }
    }

    /// Nothing is held; there is a record all the same.
    fn lockless(&self, want: &Want, number: usize) -> Hold {
        let mut hold = self.hold(want, number, want.pages, (want.at, want.at + want.holds));
        (hold.from, hold.to) = (0, 0);
        hold.record.locked_ns = None;
        hold.record.unlocked_ns = None;
        hold
    }

    fn hold(&self, want: &Want, number: usize, pages: (u64, u64), times: (u64, u64)) -> Hold {
        let ns = |step: u64| EPOCH + step * STEP;
        let tid = if want.by_writer {
            WRITER
        } else {
            31 + number as u32
        };
        let Event::Holder(record) = super::holder(want.kind, ns(times.0), ns(times.1), tid) else {
            unreachable!()
        };
        let record = Holder {
            start_ns: ns(want.at),
            end_ns: ns(times.1 + want.unlock_takes + want.works_on),
            pos: (FIRST_PAGE + pages.0) * 4096,
            len: (pages.1 - pages.0 + 1) * 4096,
            unlocked_by: want.unlocked_by,
            created_by: want.made.map(|(tid, _)| tid),
            created_ns: want.made.map(|(_, at)| ns(at)),
            ..*record
        };
        Hold {
            pages,
            from: 0,
            to: 0,
            kind: want.kind,
            tid,
            tried: times.0,
            given_up: times.1,
            record,
            lost: want.lost,
        }
    }

    /// Who held a folio when it was tested.
    fn holders<'a>(
        &'a self,
        holds: &'a [Hold],
        folio: &'a Folio,
    ) -> impl Iterator<Item = &'a Hold> {
        holds.iter().filter(|hold| {
            let blocks = hold.kind != HolderKind::OrderedIo || self.ordered_blocks;
            let then = hold.from <= folio.tested && folio.tested < hold.to;
            blocks && then && !apart(hold.pages, folio.pages)
        })
    }

    /// The stream, and what was true. None if nothing failed.
    fn told(&self, holds: &[Hold]) -> Option<(Vec<Event>, Truth)> {
        let ns = |step: u64| EPOCH + step * STEP;
        let last = self.folios.last()?.refused + 1;
        let mut failure = failure(self.phase, "btrfs");
        failure.ts_ns = ns(last);
        failure.duration_ns = self.begin.map_or(0, |begin| (last - begin) * STEP);
        failure.errno = Some(-16);
        let (mut records, mut truth) = (Vec::new(), Truth::new());
        for folio in &self.folios {
            let holders: Vec<&Hold> = self.holders(holds, folio).collect();
            if holders.is_empty() && !folio.dirty {
                continue;
            }
            if folio.dirty {
                truth.insert((Cause::Redirtied, 0));
            } else {
                truth.extend(holders.iter().map(|hold| {
                    let cause = match hold.kind {
                        HolderKind::OrderedIo => Cause::OrderedIo,
                        HolderKind::ExtentLock => Cause::ExtentLock,
                    };
                    (cause, hold.tid)
                }));
            }
            let flag = if folio.dirty { "dirty" } else { "uptodate" };
            let Event::Refusal(refusal) = super::refusal(&[flag]) else {
                unreachable!()
            };
            records.push(Event::Refusal(Refusal {
                ts_ns: ns(folio.refused),
                entered_ns: Some(ns(folio.entered)),
                index: FIRST_PAGE + folio.pages.0,
                pages: (folio.pages.1 - folio.pages.0 + 1) as u32,
                ..refusal
            }));
        }
        if records.is_empty() {
            return None;
        }
        failure.refusals = records.len() as u32;
        let outcome = Outcome {
            failure: 1,
            outcome: OutcomeKind::Unknown,
            ret: None,
        };
        let group: Vec<Event> = [Event::Failure(Box::new(failure))]
            .into_iter()
            .chain(records)
            .chain([Event::Outcome(outcome)])
            .collect();
        let mut stream = vec![(ns(last), group)];
        for (id, hold) in (1..).zip(holds) {
            let record = Holder {
                id,
                ..hold.record.clone()
            };
            if let Some(lost) = hold.lost {
                let (at, loss) = hold.loss(lost);
                stream.push((at, vec![Event::Loss(loss)]));
                continue;
            }
            stream.push((record.end_ns, vec![Event::Holder(Box::new(record))]));
        }
        stream.sort_by_key(|(at, _)| *at);
        Some((self.marked(stream), truth))
    }

    /// With marks between the records; the last one is far, unless the stream is cut.
    fn marked(&self, stream: Vec<(u64, Vec<Event>)>) -> Vec<Event> {
        let mut events = Vec::new();
        let ends: Vec<u64> = stream.iter().map(|(at, _)| *at).collect();
        for (number, (_, records)) in stream.into_iter().enumerate() {
            events.extend(records);
            let next = ends.get(number + 1).copied().unwrap_or(u64::MAX);
            if self.marks[number % self.marks.len()] || next == u64::MAX {
                events.push(Event::Mark(Mark { ts_ns: next - 1 }));
            }
        }
        if let Some(cut) = self.cut {
            events.truncate(cut.index(events.len()));
        }
        events
    }

    /// The verdict, and what was true; none when nothing failed, or its record was cut away.
    fn verdict(&self) -> Option<(Judged, Truth)> {
        let (events, truth) = self.told(&self.happen())?;
        let mut judged = play(&start(self.ordered_blocks), &events);
        Some((judged.pop()?, truth))
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn exact_is_who_held_it(story in story()) {
        let verdict = story.verdict();
        prop_assume!(verdict.is_some());
        let (Judged { failure, verdict }, truth) = verdict.unwrap();
        let party = verdict.party.as_ref().map_or(0, |party| party.tid);
        if verdict.confidence == Confidence::Exact {
            prop_assert!(truth.contains(&(verdict.cause, party)), "{:#?}: {:?}", verdict, truth);
        }
        if verdict.self_inflicted && verdict.cause == Cause::OrderedIo {
            let want = &story.wants[party as usize - 31];
            let (by, at) = want.made.unwrap();
            prop_assert_eq!(by, WRITER);
            prop_assert!(EPOCH + at * STEP >= failure.ts_ns - failure.duration_ns);
        }
        // Whoever held it can always have held it.
        let lost = story.wants.iter().any(|want| want.lost.is_some());
        if story.cut.is_none() && !lost {
            prop_assert!(verdict.cause != Cause::Unknown, "{:?}", truth);
        }
    }
}
