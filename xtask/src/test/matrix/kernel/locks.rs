//! Who held which range of a file, told from the events of the extent lock alone.
//!
//! The event of a lock is an attempt: one that meets a locked range takes what is before it, sleeps
//! and tries again. The event of an unlock comes just before it, can be for a part, and can come
//! from another task.

use super::{Range, Seen, What};
use std::collections::BTreeMap;

/// A range that a thread held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Thread.
    pub tid: u32,
    /// First byte.
    pub start: u64,
    /// Byte behind the last one.
    pub end: u64,
    /// The attempt that took it, nanoseconds since boot.
    pub since_ns: u64,
    /// The event of its unlock, which comes some time before that; `u64::MAX` when there was none.
    pub until_ns: u64,
    /// The next event of the thread that unlocked it, when it certainly had; `u64::MAX` when there
    /// was none.
    pub gone_ns: u64,
}

/// The locks of a file, in the order in which they ended.
pub fn locks(events: &[Seen], file: u64) -> Vec<Lock> {
    let mut tree = Tree::default();
    for seen in events {
        tree.alive(seen.ts_ns, seen.tid);
        match seen.what {
            What::Lock(range) if range.ino == file => tree.attempt(seen.ts_ns, seen.tid, range),
            What::Unlock(range) if range.ino == file => tree.unlock(seen.ts_ns, seen.tid, range),
            _ => {}
        }
    }
    tree.over.append(&mut tree.held);
    tree.over
}

#[derive(Default)]
struct Tree {
    held: Vec<Lock>,
    /// The last attempt of each thread, if it met a lock.
    waiting: BTreeMap<u32, (u64, Range)>,
    over: Vec<Lock>,
    /// The last unlocks of each thread, as places in `over`: it may not have done with them yet.
    unlocking: BTreeMap<u32, Vec<usize>>,
}

impl Tree {
    /// A thread has come to its next event: the unlock before it is done.
    fn alive(&mut self, ts_ns: u64, tid: u32) {
        for at in self.unlocking.remove(&tid).unwrap_or_default() {
            self.over[at].gone_ns = ts_ns;
        }
    }

    fn attempt(&mut self, ts_ns: u64, tid: u32, range: Range) {
        // Nobody locks what he holds: the attempt before this one had failed after all, because
        // the one who unlocked was slower than his event.
        self.cut(range, |lock| lock.tid == tid);
        let first = self.held.iter().filter(|lock| overlap(lock, range));
        let taken = first
            .map(|lock| lock.start.max(range.start))
            .min()
            .unwrap_or(range.end);
        if taken > range.start {
            self.held.push(Lock {
                tid,
                start: range.start,
                end: taken,
                since_ns: ts_ns,
                until_ns: u64::MAX,
                gone_ns: u64::MAX,
            });
        }
        if taken < range.end {
            self.waiting.insert(tid, (ts_ns, range));
        } else {
            self.waiting.remove(&tid);
        }
    }

    fn unlock(&mut self, ts_ns: u64, tid: u32, range: Range) {
        let waited = self.waiting.get(&tid).copied();
        let cut = self.cut(range, |_| true);
        if let Some((since_ns, wanted)) = waited
            && cut.is_empty()
            && wanted.start < range.end
            && range.start < wanted.end
        {
            // Whoever was in the way was gone when he came to lock: he did not have to wait.
            self.waiting.remove(&tid);
            let place = self.over.len();
            self.unlocking.entry(tid).or_default().push(place);
            self.over.push(Lock {
                tid,
                start: wanted.start.max(range.start),
                end: wanted.end.min(range.end),
                since_ns,
                until_ns: ts_ns,
                gone_ns: u64::MAX,
            });
        }
        for mut lock in cut {
            // One who waits sleeps until he tries again. If he unlocks instead, he had it, and was
            // faster than the other one, whose event came first. That one gets it now, or will try
            // again.
            if let Some((since_ns, wanted)) = waited
                && lock.tid != tid
                && wanted.start <= lock.start
                && lock.end <= wanted.end
            {
                self.held.push(lock);
                (lock.tid, lock.since_ns) = (tid, since_ns);
                self.waiting.remove(&tid);
            }
            lock.until_ns = ts_ns;
            let place = self.over.len();
            self.unlocking.entry(tid).or_default().push(place);
            self.over.push(lock);
        }
    }

    /// Takes the parts in `range` out of the locks that are meant, and gives them.
    fn cut(&mut self, range: Range, meant: impl Fn(&Lock) -> bool) -> Vec<Lock> {
        let mut taken = Vec::new();
        for lock in std::mem::take(&mut self.held) {
            if !overlap(&lock, range) || !meant(&lock) {
                self.held.push(lock);
                continue;
            }
            let (start, end) = (lock.start.max(range.start), lock.end.min(range.end));
            taken.push(Lock { start, end, ..lock });
            for (start, end) in [(lock.start, start), (end, lock.end)] {
                if start < end {
                    self.held.push(Lock { start, end, ..lock });
                }
            }
        }
        taken
    }
}

fn overlap(lock: &Lock, range: Range) -> bool {
    lock.start < range.end && range.start < lock.end
}

#[cfg(test)]
mod tests {
    use super::super::event;
    use super::*;

    /// Thread, range and interval of each.
    fn told(events: &[Seen]) -> Vec<(u32, u64, u64, u64, u64)> {
        let locks = locks(events, 7).into_iter();
        locks
            .map(|l| (l.tid, l.start, l.end, l.since_ns, l.until_ns))
            .collect()
    }

    #[test]
    fn a_waiter_holds_from_the_attempt_that_took_it() {
        let events = [
            event(1, 10, true, 0, 8),
            event(2, 20, true, 4, 12),
            event(3, 10, false, 0, 8),
            event(4, 20, true, 4, 12),
            event(5, 20, false, 4, 12),
        ];
        assert_eq!(told(&events), [(10, 0, 8, 1, 3), (20, 4, 12, 4, 5)]);
    }

    #[test]
    fn an_attempt_takes_what_is_before_the_obstacle() {
        // On 5.10 it is kept; later it is given up before the sleep.
        let kept = [
            event(1, 10, true, 4, 8),
            event(2, 20, true, 0, 8),
            event(3, 10, false, 4, 8),
            event(4, 20, true, 4, 8),
            event(5, 20, false, 0, 8),
        ];
        assert_eq!(
            told(&kept),
            [(10, 4, 8, 1, 3), (20, 0, 4, 2, 5), (20, 4, 8, 4, 5)]
        );
        let given_up = [
            event(1, 10, true, 4, 8),
            event(2, 20, true, 0, 8),
            event(3, 20, false, 0, 4),
            event(4, 10, false, 4, 8),
            event(5, 20, true, 0, 8),
            event(6, 20, false, 0, 8),
        ];
        assert_eq!(
            told(&given_up),
            [(20, 0, 4, 2, 3), (10, 4, 8, 1, 4), (20, 0, 8, 5, 6)]
        );
    }

    #[test]
    fn parts_are_unlocked_by_anybody() {
        let events = [
            event(1, 10, true, 0, 12),
            event(2, 30, false, 4, 8),
            event(3, 10, false, 0, 4),
        ];
        assert_eq!(
            told(&events),
            [(10, 4, 8, 1, 2), (10, 0, 4, 1, 3), (10, 8, 12, 1, u64::MAX)]
        );
    }

    #[test]
    fn events_that_overtook_the_lock_are_put_right() {
        // 20 was faster, although its event came second: 10 tries again.
        let attempts = [
            event(1, 10, true, 0, 8),
            event(2, 20, true, 0, 8),
            event(3, 20, false, 0, 8),
            event(4, 10, true, 0, 8),
            event(5, 10, false, 0, 8),
        ];
        assert_eq!(told(&attempts), [(20, 0, 8, 2, 3), (10, 0, 8, 4, 5)]);
        // 10 was so slow that nobody was in its way any more: it does not try again.
        let slow = [
            event(1, 10, true, 0, 8),
            event(2, 20, true, 0, 8),
            event(3, 20, false, 0, 8),
            event(5, 30, false, 0, 8),
        ];
        assert_eq!(told(&slow), [(20, 0, 8, 2, 3), (10, 0, 8, 1, 5)]);
        // The unlock was slower than its event: 20 tries again.
        let unlock = [
            event(1, 10, true, 0, 8),
            event(2, 10, false, 0, 8),
            event(3, 20, true, 0, 8),
            event(4, 20, true, 0, 8),
            event(5, 20, false, 0, 8),
        ];
        assert_eq!(told(&unlock), [(10, 0, 8, 1, 2), (20, 0, 8, 4, 5)]);
    }

    #[test]
    fn an_unlock_is_done_when_its_thread_goes_on() {
        let events = [
            event(1, 10, true, 0, 8),
            event(2, 20, false, 0, 8),
            event(3, 10, true, 8, 9),
            event(5, 20, true, 16, 24),
        ];
        let all = locks(&events, 7);
        assert_eq!((all[0].until_ns, all[0].gone_ns), (2, 5));
        assert_eq!(all[1].gone_ns, u64::MAX);
    }

    #[test]
    fn other_files_do_not_matter() {
        assert_eq!(locks(&[event(1, 10, true, 0, 8)], 8), []);
    }
}
