//! Why one folio could not be dropped.

use std::ops::ControlFlow;

use crate::event::{HolderKind, Phase, Touched};

use super::case::{Case, Folio, UNLOCK_LINGERS_NS};
use super::held::Held;
use super::index::{Index, Place};
use super::refused::{explain_refused, state_when_refused};
use super::why::{Who, Why};
use super::{Cause, Confidence};

/// A folio cached so shortly before the end of a write may have come after the kernel had looked:
/// the time from `invalidate_inode_pages2_range()` to the probe, with a wide margin.
pub const AFTER_THE_LOOK_NS: u64 = 20_000;

/// At most this many locks are looked at that can have been in force before another.
const OTHERS: usize = 1024;

/// What the judge knows of the run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub page_size: u64,
    /// Completion of ordered I/O can keep a folio from being released.
    pub ordered_blocks: bool,
}

/// A case when it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    pub case: &'a Case,
    pub index: &'a Index,
    pub run: Run,
    /// Every record up to this moment has come.
    pub complete_ns: u64,
    /// And no more will.
    pub ended: bool,
}

impl<'a> Look<'a> {
    /// Where the locks on a folio are found.
    pub fn places(self, number: usize) -> impl Iterator<Item = &'a Place> {
        let places = self.case.records.places.iter();
        places.filter(move |place| place.folio as usize == number)
    }

    /// The bytes of a folio.
    pub fn bytes(self, refusal: &Folio) -> (u64, u64) {
        bytes(refusal, self.run.page_size)
    }
}

/// First byte of a folio, and the one behind the last.
pub fn bytes(refusal: &Folio, page_size: u64) -> (u64, u64) {
    let first = refusal.index.saturating_mul(page_size);
    let len = u64::from(refusal.pages).saturating_mul(page_size);
    (first, first.saturating_add(len))
}

/// The first and the last moment at which it may have been tested whether somebody held the folio:
/// those of its refusal, or the failure. None where the folio's own state explains it.
pub fn asks_who_held(case: &Case, refusal: &Folio) -> Option<(u64, u64)> {
    if case.failure.fs != "btrfs" || case.failure.phase == Phase::Map {
        return None;
    }
    match refusal.entered_ns {
        Some(entered) => {
            let clean = state_when_refused(case, refusal).is_none();
            clean.then_some((entered.min(refusal.ts_ns), refusal.ts_ns))
        }
        None => {
            let seen = case.failure.ts_ns;
            let ask = was_there(case, refusal) && state_when_found(case, refusal).is_none();
            ask.then_some((seen, seen))
        }
    }
}

/// Explains the `number`th refused folio.
pub fn explain<'a>(look: Look<'a>, number: usize, refusal: &'a Folio) -> Why<'a> {
    match refusal.entered_ns {
        Some(entered) => explain_refused(look, number, refusal, entered),
        None => explain_found(look, number, refusal),
    }
}

fn cached_at<'a>(case: &'a Case, refusal: &Folio) -> Option<&'a Touched> {
    let mut cached = case.records.cached.iter();
    cached.find(|touched| touched.index == refusal.index)
}

/// It was not cached after the failure.
fn was_there(case: &Case, refusal: &Folio) -> bool {
    cached_at(case, refusal).is_none_or(|t| t.ts_ns <= case.failure.ts_ns)
}

/// Whoever dirtied the page last. Whoever did it before it was cached dirtied a folio that is gone.
fn dirtied_at<'a>(case: &'a Case, refusal: &Folio) -> Option<&'a Touched> {
    let since = cached_at(case, refusal).map_or(0, |t| t.ts_ns);
    let here = |touched: &&Touched| touched.index == refusal.index;
    let toucher = case.records.dirtied.iter().find(here);
    toucher.filter(|t| since <= t.ts_ns)
}

/// Explains a folio that was found in the page cache after the failure.
fn explain_found<'a>(look: Look<'a>, number: usize, refusal: &'a Folio) -> Why<'a> {
    let case = look.case;
    if !was_there(case, refusal) {
        return Why::unknown("cached after the failure: another folio was refused");
    }
    let cacher = cached_at(case, refusal).filter(|t| case.spans(t.ts_ns));
    let why =
        state_when_found(case, refusal).unwrap_or_else(|| clean_when_found(look, number, refusal));
    Why {
        came_back: cacher.is_some(),
        cacher,
        // Its state is that of the look, a little after the failure.
        window: why_window(case, why.window, case.failure.ts_ns.max(refusal.ts_ns)),
        ..why
    }
}

/// Where nothing else was said, what happened between the begin of the write and a moment counts.
pub fn why_window(case: &Case, said: (u64, u64), to: u64) -> (u64, u64) {
    if said.0 <= said.1 {
        said
    } else {
        (case.held_since().min(to), to)
    }
}

/// What the state of a folio explains by itself.
fn state_when_found<'a>(case: &'a Case, refusal: &Folio) -> Option<Why<'a>> {
    let toucher = dirtied_at(case, refusal);
    // The walk comes after the probe's clock: what was dirtied in between tells nothing.
    let after = toucher.is_some_and(|t| t.ts_ns > case.failure.ts_ns);
    if refusal.dirty && !after {
        let cached_ns = cached_at(case, refusal).map(|t| t.ts_ns);
        return Some(match toucher.filter(|t| case.spans(t.ts_ns)) {
            Some(toucher) => still_dirty(case, toucher, cached_ns),
            None => dirty_before(case, toucher),
        });
    }
    if refusal.writeback {
        let why = Why::because(Cause::Writeback, "under writeback when it was looked at");
        return Some(why);
    }
    buffered(refusal)
}

fn clean_when_found<'a>(look: Look<'a>, number: usize, refusal: &'a Folio) -> Why<'a> {
    let case = look.case;
    let holdable = case.failure.fs == "btrfs";
    let during = dirtied_at(case, refusal).filter(|t| case.spans(t.ts_ns));
    let held = holdable.then(|| held(look, number, refusal));
    let why = match (held, during) {
        (Some(why), _) if why.cause != Cause::Unknown => why,
        (held, Some(toucher)) => Why {
            locks_since: held.and_then(|why| why.locks_since),
            ..Why::because(
                Cause::Redirtied,
                "dirtied during the write, clean again when it was looked at",
            )
            .by(Who::Dirtied(toucher))
        },
        (Some(unknown), None) => unknown,
        (None, None) => {
            Why::unknown("the folio was clean when it was looked at, just after the refusal")
        }
    };
    let open = holdable && why.confidence != Confidence::Exact && !why.holds;
    Why {
        until: if open { case.graced() } else { why.until },
        ..why
    }
}

/// Why this folio may not be one that was refused: it may have been cached after the look.
fn doubt(case: &Case, cached_ns: Option<u64>) -> Option<&'static str> {
    match (case.failure.phase, cached_ns) {
        (Phase::Pre, Some(cached)) if case.spans(cached) => {
            Some("cached again during the write: another folio of the range may have been refused")
        }
        (Phase::Post, Some(cached)) if case.late(cached) => {
            Some("cached so late that the kernel may have looked before")
        }
        // When the kernel looked is open, and so is whether this folio was met: another one was
        // refused, or nothing but what is left here, and `wb_err`, tells of a failure at all.
        (Phase::Post, Some(cached))
            if case.spans(cached) && (case.refusal_seen() || !case.certain()) =>
        {
            Some("cached again during the write: the kernel may have looked before")
        }
        _ => None,
    }
}

/// Dirtied during the write, and dirty still.
fn still_dirty<'a>(case: &Case, toucher: &'a Touched, cached_ns: Option<u64>) -> Why<'a> {
    let clean_then = case.failure.fs == "btrfs" && case.late(toucher.ts_ns);
    let doubt = doubt(case, cached_ns)
        .or_else(|| clean_then.then_some("dirtied so late that a lock may have refused it before"));
    let why = Why::because(Cause::Redirtied, doubt.unwrap_or_default()).by(Who::Dirtied(toucher));
    match doubt {
        Some(_) => why,
        None => why.exact(),
    }
}

/// Dirty, but nobody was seen to dirty it during the write.
fn dirty_before<'a>(case: &Case, toucher: Option<&'a Touched>) -> Why<'a> {
    let Some(toucher) = toucher else {
        return Why::because(
            Cause::Redirtied,
            "dirtied unseen: before the file was watched, or forgotten since",
        );
    };
    if case.failure.duration_ns == 0 {
        return Why::because(Cause::Redirtied, "the begin of the write was not seen")
            .by(Who::Dirtied(toucher));
    }
    if case.failure.phase == Phase::Pre && !case.tried() {
        return Why::because(
            Cause::WritebackError,
            "dirty since before the write began: the flush did not write it back",
        );
    }
    Why::because(Cause::Redirtied, "dirty since before the write began").by(Who::Dirtied(toucher))
}

/// What keeps its buffer heads.
pub fn buffered<'a>(refusal: &Folio) -> Option<Why<'a>> {
    refusal.buffers.map(|cause| {
        Why::because(
            cause,
            match cause {
                Cause::Journal => "the journal still held it when it was looked at",
                _ => "a buffer head was busy when it was looked at",
            },
        )
    })
}

/// Whether a lock can be what keeps a folio of this write from being released.
pub fn may_refuse(case: &Case, held: &Held) -> bool {
    // The writer holds no lock while it invalidates, but for one that another task gives up: that
    // of a read that goes on in the background.
    let own =
        held.tid == case.failure.tid && case.failure.completed_by.is_none() && !held.handed_on;
    !own && held.start_ns <= case.failure.ts_ns
}

/// A clean folio on btrfs: somebody held its range in the extent io tree.
fn held<'a>(look: Look<'a>, number: usize, refusal: &Folio) -> Why<'a> {
    let case = look.case;
    let (begin, seen) = (case.begin_ns(), case.failure.ts_ns);
    let cached_ns = cached_at(case, refusal).map(|t| t.ts_ns);
    // The look comes at the end of the write; before submission that can be long before the probe.
    let from = match case.failure.phase {
        Phase::Post => begin.max(seen.saturating_sub(AFTER_THE_LOOK_NS)),
        _ => case.held_since(),
    }
    .max(cached_ns.unwrap_or(0));
    let bytes = look.bytes(refusal);
    let may = |held: &Held| held.meets(bytes) && may_refuse(case, held);
    // Locks of a range follow each other, and the refusal is at the end: the last one counts. Of
    // several that held parts of a large folio to the end it is the first record: the verdict does
    // not wait for another.
    let at_the_end = case.records.held.iter().map(AsRef::as_ref);
    let at_the_end = at_the_end.filter(|h: &&Held| h.tried <= seen && seen <= h.given_up && may(h));
    let lock = at_the_end.min_by_key(|held| held.id).or_else(|| {
        let before = look.index;
        before.last_before(look.places(number), (from, seen), may)
    });
    let locks_since = Some(from);
    let Some(held) = lock else {
        return Why {
            locks_since,
            ..Why::unknown(if look.ended && look.complete_ns < case.graced() {
                "clean when it was looked at, and no holder of its range had ended when the run did"
            } else {
                "clean when it was looked at, and no holder of its range was seen"
            })
        };
    };
    let holds = seen <= held.given_up;
    let whole = case.failure.duration_ns != 0 && held.tried <= begin && holds;
    let until = held.given_up.min(case.graced());
    let bar = || {
        if let Some(doubt) = doubt(case, cached_ns) {
            return Some(doubt);
        }
        // Only the one who dirtied it last is known: another may have before the kernel looked.
        if dirtied_at(case, refusal).is_some_and(|t| begin <= t.ts_ns) {
            return Some("dirtied meanwhile: it may have been dirty when it was refused");
        }
        // Of a large folio another may have held another part at the same time.
        if bytes.0 < held.pos || held.end < bytes.1 {
            return Some("held a part of it: another may have held another part");
        }
        // It may have waited all the while, if another can have been met.
        let other = |other: &Held| other.meets(bytes) && !other.same_lock(held);
        let mut looked = 0;
        let met = |held: &'a Held| {
            looked += 1;
            // Of very many it cannot be told.
            if other(held) || looked > OTHERS {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let places = look.places(number);
        let taken = look.index.between(places, (begin, until), met).is_break();
        taken.then_some("another held a part of it meanwhile: this one may have come later")
    };
    let bar = if whole {
        bar()
    } else {
        Some("held for a part of the write; the moment of refusal was not seen")
    };
    let why = Why {
        own: case.made_by_writer(held),
        holds,
        until: if bar.is_none() { until } else { 0 },
        window: (
            lock_window_begin(held.tried),
            if bar.is_none() { until } else { seen }.max(refusal.ts_ns),
        ),
        locks_since: match (whole, holds) {
            (true, _) => Some(begin),
            (false, true) => Some(seen),
            (false, false) => locks_since,
        },
        ..Why::because(
            cause_of(held),
            bar.unwrap_or("the run ended before every holder of its range could be known"),
        )
        .by(Who::Held(held))
    };
    if bar.is_none() && until <= look.complete_ns {
        why.exact()
    } else {
        why
    }
}

/// Since when a lost lock could have been in force instead of one that was tried for at `tried`:
/// one that was given up while this one was being taken, of whose begin nothing is known.
pub fn lock_window_begin(tried: u64) -> u64 {
    tried.saturating_sub(UNLOCK_LINGERS_NS)
}

/// The cause that a holder is.
pub fn cause_of(held: &Held) -> Cause {
    match held.kind {
        HolderKind::OrderedIo => Cause::OrderedIo,
        HolderKind::ExtentLock => Cause::ExtentLock,
    }
}
