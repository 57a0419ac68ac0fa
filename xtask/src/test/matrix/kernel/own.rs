//! What a thread's own events say of its lock, whatever the others did meanwhile.
//!
//! [`super::locks`] gives each byte to the attempt whose event came first. A thread that is
//! preempted between the event and the lock is overtaken there, for milliseconds on a busy guest;
//! then its own next event decides: one that had to wait tries again, one that had the lock does not.

use super::{Range, Seen, What};
use std::ops::RangeInclusive;

/// For how long a thread on a busy guest is preempted at most.
pub const LATE_NS: u64 = 20_000_000;

/// Whether thread `tid` can have held the whole of `wanted` at some instant from `from` to `to`, by
/// an attempt made in `tried`.
pub fn can_have_held(
    events: &[Seen],
    tid: u32,
    tried: RangeInclusive<u64>,
    wanted: Range,
    (from, to): (u64, u64),
) -> bool {
    let own = || {
        events.iter().filter(|seen| {
            let range = match seen.what {
                What::Lock(range) | What::Unlock(range) => range,
                _ => return false,
            };
            seen.tid == tid && range.ino == wanted.ino
        })
    };
    let attempts = own().filter(|seen| seen.ts_ns <= to && tried.contains(&seen.ts_ns));
    attempts
        .filter_map(|seen| match seen.what {
            What::Lock(range) if covers(range, wanted) => Some((seen.ts_ns, range)),
            _ => None,
        })
        .any(|(attempt, range)| {
            let mut since = attempt;
            for next in own().filter(|seen| seen.ts_ns > attempt) {
                match next.what {
                    What::Lock(again) if again.end == range.end && again.start > range.start => {
                        // It waits, and holds what is before the obstacle (5.10): until now, too.
                        match wanted.end <= again.start {
                            true if next.ts_ns >= from => return true,
                            true => since = next.ts_ns,
                            false => return false,
                        }
                    }
                    // It has waited for all of it.
                    What::Lock(again) if again.end == range.end => return false,
                    What::Lock(_) => break,
                    // Nobody unlocks what he does not hold (the front that he gives back before he
                    // waits is his, too): unlocks that others made meanwhile were of their locks,
                    // from before this attempt came through.
                    What::Unlock(back) if covers(back, wanted) => {
                        return done_ns(events, next) >= from;
                    }
                    _ => {}
                }
            }
            !unlocked(events, wanted, since, from)
        })
}

/// When a thread had certainly done what one of its events announced: at its next one, or as long
/// after it as a thread is preempted at most.
fn done_ns(events: &[Seen], of: &Seen) -> u64 {
    let mut later = events.iter().filter(|seen| seen.tid == of.tid);
    let next = later.find(|seen| seen.ts_ns > of.ts_ns);
    let latest = of.ts_ns + LATE_NS;
    next.map_or(latest, |next| next.ts_ns.min(latest))
}

fn covers(range: Range, wanted: Range) -> bool {
    range.start <= wanted.start && wanted.end <= range.end
}

/// Whether somebody unlocked all of it after `since`, and had done with that before `before`.
fn unlocked(events: &[Seen], wanted: Range, since: u64, before: u64) -> bool {
    let unlocks = events.iter().enumerate().filter(|(_, seen)| {
        let over = since < seen.ts_ns && seen.ts_ns < before;
        over && matches!(seen.what, What::Unlock(range)
            if range.ino == wanted.ino && covers(range, wanted))
    });
    let mut unlocks = unlocks;
    unlocks.any(|(at, unlock)| {
        let mut later = events[at + 1..].iter();
        !of_its_own(&events[..at], unlock)
            && later
                .find(|seen| seen.tid == unlock.tid)
                .is_some_and(|next| next.ts_ns < before)
    })
}

/// Whether a thread unlocks what itself has locked, and nothing of another's: it came before the
/// one who was overtaken.
fn of_its_own(before: &[Seen], unlock: &Seen) -> bool {
    let (What::Lock(given) | What::Unlock(given)) = unlock.what else {
        return false;
    };
    let mut own = before.iter().rev().filter(|seen| seen.tid == unlock.tid);
    own.find_map(|seen| match seen.what {
        What::Lock(taken) if taken.ino == given.ino && taken.end > given.start => {
            Some(covers(taken, given))
        }
        What::Unlock(other) if other.ino == given.ino && other.end > given.start => Some(false),
        _ => None,
    })
    .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::super::event;
    use super::*;

    fn held(events: &[Seen], tid: u32, start: u64, end: u64, from: u64, to: u64) -> bool {
        let wanted = Range { ino: 7, start, end };
        can_have_held(events, tid, 0..=u64::MAX, wanted, (from, to))
    }

    #[test]
    fn who_was_overtaken_after_the_event_held_all_the_same() {
        let events = [
            event(1, 10, true, 0, 8),
            event(2, 20, true, 0, 8),
            event(5, 20, false, 0, 8),
        ];
        assert!(held(&events, 20, 0, 4, 3, 4));
        assert!(!held(&events, 20, 0, 12, 3, 4));
        assert!(!held(&events, 30, 0, 4, 3, 4));
    }

    #[test]
    fn who_had_the_range_in_between_gave_up_his_own_lock() {
        let events = [
            event(1, 10, true, 0, 8),
            event(2, 20, true, 0, 8),
            event(3, 20, false, 0, 8),
            event(4, 20, true, 16, 24),
            event(9, 30, false, 0, 8),
        ];
        assert!(held(&events, 10, 0, 4, 6, 7));
        // Another's lock it was where he had none.
        let events = [
            event(1, 10, true, 0, 8),
            event(3, 20, false, 0, 8),
            event(4, 20, true, 16, 24),
        ];
        assert!(!held(&events, 10, 0, 4, 6, 7));
    }

    #[test]
    fn a_waiter_holds_the_front_that_it_keeps_only() {
        let kept = [
            event(1, 10, true, 0, 8),
            event(4, 10, true, 4, 8),
            event(6, 10, false, 0, 8),
        ];
        assert!(held(&kept, 10, 0, 4, 2, 3));
        assert!(!held(&kept, 10, 4, 8, 2, 3));
        assert!(held(&kept, 10, 4, 8, 5, 5));
        let given_back = [
            event(1, 10, true, 0, 8),
            event(2, 10, false, 0, 4),
            event(5, 10, true, 0, 8),
        ];
        assert!(!held(&given_back, 10, 4, 8, 3, 4));
    }

    #[test]
    fn what_was_unlocked_before_is_held_no_more() {
        // A read's lock, that another task gives up.
        let events = [
            event(1, 10, true, 0, 8),
            event(2, 30, false, 0, 8),
            event(3, 30, true, 16, 24),
            event(9, 10, true, 8, 16),
        ];
        assert!(!held(&events, 10, 0, 4, 5, 6));
        assert!(held(&events[..2], 10, 0, 4, 5, 6));
    }

    #[test]
    fn an_unlock_is_over_at_the_next_event_of_its_thread() {
        let events = [
            event(1, 10, true, 0, 8),
            event(3, 10, false, 0, 8),
            event(9, 10, true, 16, 24),
        ];
        assert!(held(&events, 10, 0, 4, 8, 9));
        assert!(!held(&events, 10, 0, 4, 10, 11));
        assert!(held(&events[..2], 10, 0, 4, LATE_NS, LATE_NS));
        assert!(!held(&events[..2], 10, 0, 4, LATE_NS + 4, LATE_NS + 4));
    }

    #[test]
    fn who_unlocks_later_has_held_until_then() {
        // 10 is preempted after its event: 20, who asked later, is done before it goes on.
        let events = [
            event(1, 10, true, 0, 8),
            event(2, 20, true, 0, 8),
            event(3, 20, false, 0, 8),
            event(4, 20, true, 0, 8),
            event(9, 10, false, 0, 8),
        ];
        assert!(held(&events, 10, 0, 4, 5, 6));
        assert!(!held(&events, 10, 0, 4, LATE_NS + 10, LATE_NS + 11));
        // The same, where 10 meets an obstacle at 4 in the end.
        let mut front = events;
        front[4] = event(9, 10, true, 4, 8);
        assert!(held(&front, 10, 0, 4, 5, 6));
        assert!(!held(&front, 10, 4, 8, 5, 6));
    }
}
