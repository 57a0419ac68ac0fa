//! What of the evidence is not there, and whether a cause rests on it.
//!
//! A verdict that says `exact` must not depend on a record that may have been lost. So what a cause
//! rests on is written down here, by hook and by time:
//!
//! | cause | hooks | between |
//! | --- | --- | --- |
//! | a lock | `extent-lock`, `ordered`; `cached`, if the folio was only found afterwards | 50 ms before it was tried for, and the moment from which on no other holder is waited for |
//! | redirtied | `dirty`, `cached` | begin of the write, and the refusal |
//! | reappeared | `dirty`, `cached` | begin of the write, and the failure |
//! | write-back error | `writeback-error`, `dio`, `dirty`, `release` | the same |
//! | unknown | all | begin of the write, and the moment up to which it waited |
//!
//! In all of these also `ring` (records of any kind), up to the failure at least; in the last two
//! also `invalidate`: that another failure was missed says nothing of this one.
//! Writeback, journal, buffers and launder are seen at the refusal itself: they rest on nothing
//! else. So does a folio that was dirty at its refusal, but the name of the party does not: where
//! nobody is named the verdict stays exact, and lists the hooks that could have named somebody.

use compact_str::format_compact;

use crate::event::{Phase, Text};

use super::case::Case;
use super::losses::{Hooks, Losses};
use super::why::Why;
use super::{Cause, Confidence};

const LOCKS: Hooks = Hooks::EXTENT_LOCK.and(Hooks::ORDERED);
const TOUCHERS: Hooks = Hooks::DIRTY.and(Hooks::CACHED);
/// Losses that make any record doubtful.
const RECORDS: Hooks = Hooks::RING.and(Hooks::STRANGE);

/// What is known to be missing when a case is decided.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    pub losses: &'a Losses,
    /// The last moment at which a lock that is no longer kept can have been in force.
    pub forgotten_ns: Option<u64>,
    /// The run is over.
    pub ended: bool,
}

/// How a cause depends on evidence.
enum Rests {
    /// On nothing but what was seen.
    Nowhere,
    /// On these hooks; the cause is certain without them.
    Party(Hooks),
    /// On these hooks.
    Wholly(Hooks),
}

fn rests(case: &Case, why: &Why) -> Rests {
    match why.cause {
        Cause::Writeback | Cause::Journal | Cause::Buffers | Cause::Launder => Rests::Nowhere,
        Cause::ExtentLock | Cause::OrderedIo if why.refused => Rests::Wholly(LOCKS.and(RECORDS)),
        // A folio that was found afterwards may have been cached after the kernel had looked.
        Cause::ExtentLock | Cause::OrderedIo => {
            Rests::Wholly(LOCKS.and(Hooks::CACHED).and(RECORDS))
        }
        Cause::Redirtied if why.party.is_none() => Rests::Party(TOUCHERS.and(RECORDS)),
        Cause::Redirtied | Cause::Reappeared => Rests::Wholly(TOUCHERS.and(RECORDS)),
        Cause::WritebackError => Rests::Wholly(
            Hooks::WRITEBACK_ERROR
                .and(Hooks::DIO)
                .and(Hooks::DIRTY)
                .and(Hooks::RELEASE)
                .and(Hooks::INVALIDATE)
                .and(RECORDS),
        ),
        Cause::Unknown => {
            let mut none = Hooks::NONE;
            if case.failure.fs != "btrfs" {
                none = none.and(LOCKS);
            }
            if case.failure.phase != Phase::Post {
                none = none.and(Hooks::STALE_WARN);
            }
            Rests::Wholly(Hooks::ALL.without(none))
        }
    }
}

impl Evidence<'_> {
    /// Notes what `why` rests on and was lost; then it is not exact. `until` is up to when the case
    /// waited.
    pub fn doubt(self, case: &Case, why: &mut Why, until: u64) {
        let (hooks, wholly) = match rests(case, why) {
            Rests::Nowhere => return,
            Rests::Party(hooks) => (hooks, false),
            Rests::Wholly(hooks) => (hooks, true),
        };
        let seen = case.failure.ts_ns;
        let (mut from, mut to) = why.window;
        if from > to {
            (from, to) = (case.held_since(), seen);
        }
        if why.cause == Cause::Unknown {
            (from, to) = (from.min(case.held_since()), to.max(until).max(seen));
        }
        let mut lost = self.losses.met(hooks.without(RECORDS), from, to);
        // Records are written at the end: of a lock when it is over, of others at the failure.
        let records = hooks.without(hooks.without(RECORDS));
        lost = lost.and(self.losses.met(records, from, to.max(seen)));
        if self.forgot(case, why) {
            lost = lost.and(LOCKS);
        }
        lost = lost.and(case.absent());
        why.lost = lost;
        if wholly && !lost.is_empty() && why.confidence == Confidence::Exact {
            why.confidence = Confidence::Window;
        }
    }

    /// Whether locks that are no longer kept bear on it.
    fn forgot(self, case: &Case, why: &Why) -> bool {
        let gone = self.forgotten_ns.zip(why.locks_since);
        let aged = gone.is_some_and(|(gone, since)| since <= gone);
        aged || case.cut && why.locks_since.is_some()
    }

    /// Adds names of hooks that are not among them.
    pub fn name(self, hooks: Hooks, to: &mut Vec<Text>) {
        if hooks.is_empty() {
            return;
        }
        for name in self.losses.names(hooks) {
            if !to.contains(&name) {
                to.push(name);
            }
        }
    }

    /// Why a cause is not exact, or not known, or its party not named.
    pub fn reason(self, case: &Case, why: &Why) -> Option<Text> {
        let absent = case.absent();
        let unknown = why.cause == Cause::Unknown;
        let sound = why.confidence == Confidence::Exact;
        if let Some(reason) = why.reason
            && (sound || !unknown || absent.is_empty())
        {
            let blind = unknown && !why.lost.is_empty();
            return Some(match blind {
                true => format_compact!("{reason}; {}", self.unseen(why)),
                false => Text::const_new(reason),
            });
        }
        if sound {
            return None;
        }
        Some(if !absent.is_empty() {
            Text::const_new(if self.ended {
                "the log ended before all records of the failure had come"
            } else {
                "not all records of the failure came"
            })
        } else if self.forgot(case, why) {
            Text::const_new("more holders than can be kept: one of them may have been in the way")
        } else {
            self.unseen(why)
        })
    }

    /// Of which hooks there is no evidence: it was lost, or nothing was attached.
    fn unseen(self, why: &Why) -> Text {
        let mut names = Vec::new();
        self.name(why.lost, &mut names);
        format_compact!("events of {} were lost meanwhile", names.join(", "))
    }
}
