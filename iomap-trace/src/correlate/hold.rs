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

use std::cmp::Reverse;

use crate::event::{Holder, HolderKind, Refusal};

use super::case::{Case, UNLOCK_LINGERS_NS, UNLOCK_TAKES_NS};
use super::folio::{Run, Why, cause_of, holder_party, may_refuse, overlaps};

/// An unlock and the next lock can both be under way, each between its event and its effect, for at
/// most this long: the time of the probes themselves.
const BOTH_TAKE_NS: u64 = 10_000;
/// Work on an ordered extent goes on for a while after its unlock, and is only told of when it ends.
const SETTLES_NS: u64 = 20_000_000;

/// A recorded hold that could refuse the folio.
#[derive(Clone, Copy, Debug)]
struct Hold<'a> {
    holder: &'a Holder,
    /// Last attempt to lock.
    tried: u64,
    /// Event of the unlock.
    given_up: u64,
}

impl Hold<'_> {
    /// Whether both need the same byte.
    fn excludes(&self, other: &Self) -> bool {
        let end = |holder: &Holder| holder.pos.saturating_add(holder.len);
        self.holder.pos < end(other.holder) && other.holder.pos < end(self.holder)
    }

    /// Whether both are parts of one lock that was given up piece by piece.
    fn same_lock(&self, other: &Self) -> bool {
        let key = |hold: &Self| (hold.holder.kind, hold.holder.tid, hold.tried);
        key(self) == key(other)
    }

    /// The first instant at which it may have been in force.
    fn from(&self, all: &[Hold]) -> u64 {
        let before = all
            .iter()
            .filter(|other| other.given_up < self.given_up && other.excludes(self));
        before
            .map(|other| other.given_up + 1)
            .fold(self.tried, u64::max)
    }

    /// When it was over for certain: work on an ordered extent ends after its unlock.
    fn over(&self) -> u64 {
        match self.holder.kind {
            HolderKind::OrderedIo => self.holder.end_ns.max(self.given_up),
            HolderKind::ExtentLock => self.given_up.saturating_add(UNLOCK_TAKES_NS),
        }
    }

    /// The last instant at which it may have been in force.
    fn to(&self, all: &[Hold]) -> u64 {
        let next = all
            .iter()
            .filter(|other| self.given_up < other.given_up && other.excludes(self));
        let latest = self.over();
        next.map(|next| {
            if next.tried > self.given_up {
                (next.tried - 1).max(self.given_up.saturating_add(BOTH_TAKE_NS))
            } else {
                next.given_up
            }
        })
        .fold(latest, u64::min)
    }
}

/// A hold that may have been in force during the refusal.
#[derive(Clone, Copy, Debug)]
struct Candidate<'a> {
    hold: Hold<'a>,
    /// It was, the whole time.
    contains: bool,
    /// For how much of the refusal it is on record.
    covers: u64,
}

/// A clean folio on btrfs, of which the kernel was asked at `entered` to release it.
pub fn refused_by_lock(case: &Case, refusal: &Refusal, entered: u64, run: Run) -> Why {
    let candidates = candidates(case, refusal, entered, run);
    let best = candidates.iter().max_by_key(|candidate| {
        let last = candidate.hold.given_up.min(refusal.ts_ns);
        let id = Reverse(candidate.hold.holder.id);
        (candidate.contains, candidate.covers, last, id)
    });
    let Some(best) = best else {
        if let Some(why) = lingering(case, refusal, entered, run) {
            return why;
        }
        return Why {
            until: case.graced(),
            ..Why::unknown(if case.complete_ns < case.graced() {
                "clean when refused, and no holder of its range had ended when the run did"
            } else {
                "clean when refused, and no holder of its range was seen"
            })
        };
    };
    let mut others = candidates.iter();
    let alone = others.all(|other| other.hold.same_lock(&best.hold));
    let until = if alone && best.contains {
        let ended = best.hold.given_up.max(case.failure.ts_ns);
        case.graced().min(ended.saturating_add(SETTLES_NS))
    } else {
        case.graced()
    };
    // Of a lock that another task gives up it is not certain who took it.
    let certain = best.hold.holder.unlocked_by.is_none();
    let doubt = if !certain {
        "unlocked by another task: the last one that was seen to lock the range is named"
    } else if alone {
        "the run ended before every holder of its range could be known"
    } else {
        "each of several may have held its range when it was refused"
    };
    let why = Why {
        until,
        ..named(case, best.hold, doubt)
    };
    if alone && certain && until <= case.complete_ns {
        why.exact()
    } else {
        why
    }
}

/// Whoever began to unlock last: where the tree has many states an unlock takes a while, and no
/// event tells its end. Nobody else has locked the range since.
fn lingering(case: &Case, refusal: &Refusal, entered: u64, run: Run) -> Option<Why> {
    let may = |holder: &&Holder| {
        may_refuse(case, holder, run) && overlaps(holder, refusal, run.page_size)
    };
    let holders = case.holders.iter().filter(may);
    let last = holders
        .filter_map(|h| Some((h.unlocked_ns?, h.locked_ns?, h)))
        .filter(|(unlocked, locked, _)| {
            locked <= unlocked
                && *unlocked < entered
                && entered <= unlocked.saturating_add(UNLOCK_LINGERS_NS)
        })
        .max_by_key(|(unlocked, _, h)| (*unlocked, Reverse(h.id)));
    let (given_up, tried, holder) = last?;
    let hold = Hold {
        holder,
        tried,
        given_up,
    };
    Some(Why {
        until: case.graced(),
        ..named(
            case,
            hold,
            "its unlock had begun shortly before, and may not have ended",
        )
    })
}

/// Names the one who held it, with a doubt.
fn named(case: &Case, hold: Hold, doubt: &str) -> Why {
    let holder = hold.holder;
    Why {
        party: Some(holder_party(holder, hold.tried, hold.given_up)),
        holder: Some(holder.id),
        own: case.made_by_writer(holder),
        holds: true,
        ..Why::because(cause_of(holder), doubt)
    }
}

fn candidates<'a>(case: &'a Case, refusal: &Refusal, entered: u64, run: Run) -> Vec<Candidate<'a>> {
    let refused = refusal.ts_ns;
    let holds: Vec<Hold> = case
        .holders
        .iter()
        .filter(|holder| may_refuse(case, holder, run) && overlaps(holder, refusal, run.page_size))
        // Without a lock (NOCOW) nothing was held.
        .filter_map(|holder| {
            let (tried, given_up) = (holder.locked_ns?, holder.unlocked_ns?);
            let hold = Hold {
                holder,
                tried,
                given_up,
            };
            // What was given up long before says nothing of any other.
            (tried <= given_up && entered <= hold.over()).then_some(hold)
        })
        .collect();
    holds
        .iter()
        .map(|hold| (*hold, hold.from(&holds), hold.to(&holds)))
        .filter(|(_, from, to)| *from <= refused && entered <= *to)
        .map(|(hold, from, _)| Candidate {
            hold,
            contains: from <= entered && refused <= hold.given_up,
            covers: hold.given_up.min(refused).saturating_sub(from.max(entered)),
        })
        .collect()
}
