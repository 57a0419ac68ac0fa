//! Who held the range of a folio when the kernel refused to release it.
//!
//! Two instants of a hold are recorded: the last attempt to lock, which comes before the lock is
//! had, and the event of the unlock, at which the lock is still held and is given up a little
//! later. Locks of a byte exclude each other. So
//! - a hold ended after its unlock event, and before the next one of the same bytes began;
//! - it began after its last attempt, and after the unlock event of the one before;
//! - whoever tried later and was not turned away (a waiter's earlier attempts are not recorded)
//!   found the range unlocked.
//!
//! The kernel tested the lock at some instant between the two of the refusal. A clean folio is
//! refused for a lock, so when only one hold can have been in force between them, it was that one.

use smallvec::SmallVec;
use std::cmp::Reverse;
use std::ops::ControlFlow;

use crate::event::HolderKind;

use super::case::{Folio, UNLOCK_LINGERS_NS};
use super::folio::{Look, cause_of, lock_window_begin, may_refuse};
use super::held::{Held, UNLOCK_TAKES_NS};
use super::why::{Who, Why};

/// An unlock and the next lock can both be under way, each between its event and its effect, for at
/// most this long: the time of the probes themselves.
const BOTH_TAKE_NS: u64 = 10_000;
/// Between the event of an attempt and the lock, as with an unlock: a task can be interrupted there.
const LOCK_TAKES_NS: u64 = UNLOCK_TAKES_NS;
/// Work on an ordered extent goes on for a while after its unlock, and is only told of when it ends.
const SETTLES_NS: u64 = 20_000_000;
/// At most this many locks that were not in force are looked at for what they exclude.
const LATER: usize = 1024;

/// The first instant at which it may have been in force.
fn from(held: &Held, all: &[&Held]) -> u64 {
    let before = all
        .iter()
        .filter(|other| other.given_up < held.given_up && other.meets((held.pos, held.end)));
    before
        .map(|other| other.given_up + 1)
        .fold(held.tried, u64::max)
}

/// The last instant at which it may have been in force.
fn to(held: &Held, all: &[&Held]) -> u64 {
    let next = all
        .iter()
        .filter(|other| held.given_up < other.given_up && other.meets((held.pos, held.end)));
    next.map(|next| {
        if next.tried > held.given_up {
            (next.tried - 1).max(held.given_up.saturating_add(BOTH_TAKE_NS))
        } else {
            next.given_up
        }
    })
    .fold(held.over(), u64::min)
}

/// A hold that may have been in force during the refusal.
#[derive(Clone, Copy, Debug)]
struct Candidate<'a> {
    held: &'a Held,
    /// It was, the whole time.
    contains: bool,
    /// So, and nobody who leaves no record of it had a part shortly before.
    settled: bool,
    /// It may have been in force when the refusal began.
    began: bool,
    /// For how much of the refusal it is on record.
    covers: u64,
}

/// The `number`th folio: clean, on btrfs, and the kernel was asked at `entered` to release it.
pub fn refused_by_lock<'a>(
    look: Look<'a>,
    number: usize,
    refusal: &Folio,
    entered: u64,
) -> Why<'a> {
    let case = look.case;
    let (candidates, cut) = candidates(look, number, refusal, entered);
    let best = candidates.iter().max_by_key(|candidate| {
        let last = candidate.held.given_up.min(refusal.ts_ns);
        let id = Reverse(candidate.held.id);
        (candidate.contains, candidate.covers, last, id)
    });
    let locks_since = Some(entered.saturating_sub(UNLOCK_LINGERS_NS));
    let Some(best) = best else {
        if let Some(why) = lingering(look, number, refusal, entered) {
            return Why { locks_since, ..why };
        }
        return Why {
            until: case.graced(),
            window: (lock_window_begin(entered), case.graced()),
            locks_since,
            ..Why::unknown(if look.complete_ns < case.graced() {
                "clean when refused, and no holder of its range had ended when the run did"
            } else {
                "clean when refused, and no holder of its range was seen"
            })
        };
    };
    let mut others = candidates.iter();
    let alone = !cut && others.all(|other| other.held.same_lock(best.held));
    let until = if alone && best.settled {
        let ended = best.held.given_up.max(case.failure.ts_ns);
        case.graced().min(ended.saturating_add(SETTLES_NS))
    } else {
        case.graced()
    };
    if !look.ended && look.complete_ns < until {
        // It is not decided yet, whatever else there is to say.
        return Why {
            until,
            ..Why::unknown("")
        };
    }
    let unsure = doubt(look, number, refusal, entered, best, alone);
    let doubt = unsure.unwrap_or("the run ended before every holder of its range could be known");
    let why = Why {
        until,
        // Whoever had the lock after it bears on it as well.
        locks_since: locks_since.min(Some(best.held.given_up)),
        ..named(look, best.held, entered, until, doubt)
    };
    if unsure.is_none() && until <= look.complete_ns {
        why.exact()
    } else {
        why
    }
}

/// Why it is not certain that `best` held the folio; `alone` when no other is on record that can
/// have.
fn doubt(
    look: Look,
    number: usize,
    refusal: &Folio,
    entered: u64,
    best: &Candidate,
    alone: bool,
) -> Option<&'static str> {
    // Of a lock that another task gives up it is not certain who took it.
    if best.held.handed_on {
        return Some(
            "unlocked by another task: the last one that was seen to lock the range is named",
        );
    }
    if !alone {
        return Some("each of several may have held its range when it was refused");
    }
    if look.case.maker_unsure(best.held) {
        return Some("the begin of the write was not seen: it may have forced this write-back");
    }
    if !best.began && lingering(look, number, refusal, entered).is_some() {
        return Some("another's unlock had begun shortly before, and may not have ended");
    }
    (!best.settled && waited(look, number, refusal, best.held))
        .then_some("ordered I/O waited for its range, and may have held a part of it for a moment")
}

/// Whether completion of an ordered extent had been waiting for a part of the folio, which it had
/// after the refusal: it can have had a front of it for a moment, which it gave back (6.1 on), or
/// have had it before the last attempt that is on record (5.10). When it tried last says nothing: it
/// is none of those that can have had all of it, but for `best`.
fn waited(look: Look, number: usize, refusal: &Folio, best: &Held) -> bool {
    let refused = refusal.ts_ns;
    let bytes = look.bytes(refusal);
    // What is given up later than that may not be known when the case is decided.
    let known = look.case.graced().saturating_sub(SETTLES_NS);
    let mut looked = 0;
    let places = look.places(number);
    let each = |held: &Held| {
        looked += 1;
        let waited = held.start_ns <= refused && !held.same_lock(best) && held.meets(bytes);
        // Of very many it cannot be told.
        if held.kind == HolderKind::OrderedIo && waited || looked == LATER {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    let waited = look.index.ordered_since(places, (refused, known), each);
    waited.is_break()
}

/// Whoever began to unlock last: where the tree has many states an unlock takes a while, and no
/// event tells its end. Nobody else has locked the range since.
fn lingering<'a>(look: Look<'a>, number: usize, refusal: &Folio, entered: u64) -> Option<Why<'a>> {
    let bytes = look.bytes(refusal);
    let may = |held: &Held| held.meets(bytes) && may_refuse(look.case, held);
    let since = entered.saturating_sub(UNLOCK_LINGERS_NS);
    let places = look.places(number);
    let last = look.index.last_before(places, (since, entered), may)?;
    let until = look.case.graced();
    let doubt = "its unlock had begun shortly before, and may not have ended";
    Some(Why {
        until,
        ..named(look, last, entered, until, doubt)
    })
}

/// Names the one who held it, with a doubt.
fn named<'a>(look: Look, held: &'a Held, entered: u64, until: u64, doubt: &'static str) -> Why<'a> {
    Why {
        own: look.case.made_by_writer(held),
        holds: true,
        // A lock that was lost would be known by the time at which none is waited for any more.
        window: (lock_window_begin(held.tried.min(entered)), until),
        ..Why::because(cause_of(held), doubt).by(Who::Held(held))
    }
}

/// Who may have held the folio during the refusal, and whether some locks were left out.
///
/// Of all locks of the folio's bytes only these matter:
/// - those that were tried for before its end and over after its begin, of which the case has all
///   (physically one, and who unlocked shortly before);
/// - those that were given up after one of the first and before the refusal: they had the lock after
///   it (as a rule none: then it is none of the first);
/// - those that were tried for later but given up before one of the first: they had it before
///   (physically none, as before).
fn candidates<'a>(
    look: Look<'a>,
    number: usize,
    refusal: &Folio,
    entered: u64,
) -> (SmallVec<[Candidate<'a>; 4]>, bool) {
    let refused = refusal.ts_ns;
    let bytes = look.bytes(refusal);
    let may = |held: &&Held| held.meets(bytes) && may_refuse(look.case, held);
    let held = look.case.records.held.iter().map(AsRef::as_ref);
    let mut holds: SmallVec<[&Held; 4]> =
        held.filter(may).filter(|h| entered <= h.over()).collect();
    let given_up = || holds.iter().map(|held| held.given_up);
    let (earliest, last) = (given_up().min(), given_up().max());
    let first = holds.len();
    let mut further = |times, of: &dyn Fn(&Held) -> bool| {
        let before = holds.len();
        // When there are very many, that is said below.
        let _ = look.index.between(look.places(number), times, |held| {
            if may(&held) && of(held) {
                holds.push(held);
                if holds.len() - before == LATER {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
    };
    if let Some(earliest) = earliest.filter(|earliest| *earliest < entered) {
        further((earliest, entered), &|held| held.over() < entered);
    }
    if let Some(last) = last.filter(|last| refused < *last) {
        further((refused, last), &|held| refused < held.tried);
    }
    let cut = holds.len() - first >= LATER;
    // The front that ordered I/O gives back is on no record, and can be had as long as whoever tried
    // for the lock has not got to it. Ordered extents do not meet each other.
    let had_after = |held: &Held| match held.kind {
        _ if !look.run.ordered_blocks => 0,
        HolderKind::OrderedIo => BOTH_TAKE_NS,
        HolderKind::ExtentLock => LOCK_TAKES_NS,
    };
    let candidates = holds[..first]
        .iter()
        .map(|held| (*held, from(held, &holds), to(held, &holds)))
        .filter(|(_, from, to)| *from <= refused && entered <= *to)
        .map(|(held, from, _)| Candidate {
            held,
            contains: from <= entered && refused <= held.given_up,
            began: from <= entered,
            settled: refused <= held.given_up && from.saturating_add(had_after(held)) <= entered,
            covers: held.given_up.min(refused).saturating_sub(from.max(entered)),
        })
        .collect();
    (candidates, cut)
}
