//! A schedule that fails, made smaller while it still fails.

use super::schedule::{Schedule, Thread};

/// Makes `schedule` smaller: threads go, then operations, as long as `fails` says that it still
/// fails. It is asked at most `tries` times.
pub fn shrink(
    schedule: &Schedule,
    mut tries: u32,
    fails: &mut dyn FnMut(&Schedule) -> bool,
) -> Schedule {
    let mut least = schedule.clone();
    let mut attempt = |candidate: Schedule, least: &mut Schedule| {
        let asked = tries > 0 && candidate.validate().is_ok();
        tries -= u32::from(asked);
        let smaller = asked && fails(&candidate);
        if smaller {
            *least = candidate;
        }
        smaller
    };
    let mut at = 0;
    while at < least.threads.len() {
        let mut fewer = least.clone();
        fewer.threads.remove(at);
        if !attempt(fewer, &mut least) {
            at += 1;
        }
    }
    for thread in 0..least.threads.len() {
        let mut piece = least.threads[thread].ops.len().div_ceil(2);
        while piece > 0 {
            let mut from = 0;
            while from < least.threads[thread].ops.len() {
                let mut fewer = least.clone();
                cut(&mut fewer.threads[thread], from, piece);
                if !attempt(fewer, &mut least) {
                    from += piece;
                }
            }
            piece /= 2;
        }
    }
    // A thread is left where it fails whatever is done: a schedule has one at least.
    let idle = |threads: &[Thread]| threads.iter().position(|thread| thread.ops.is_empty());
    while least.threads.len() > 1
        && let Some(at) = idle(&least.threads)
    {
        least.threads.remove(at);
    }
    least
}

fn cut(thread: &mut Thread, from: usize, number: usize) {
    let end = (from + number).min(thread.ops.len());
    thread.ops.drain(from..end);
}

#[cfg(test)]
mod tests {
    use super::super::generate::Mix;
    use super::*;

    #[test]
    fn what_matters_is_left() {
        let schedule = Mix::default().schedule(5).unwrap();
        let wanted = [
            schedule.threads[1].ops[77].id(),
            schedule.threads[3].ops[9].id(),
        ];
        let mut fails = |candidate: &Schedule| {
            let has = |id| candidate.ops().any(|(_, op)| op.id() == id);
            wanted.iter().all(|id| has(*id))
        };
        let least = shrink(&schedule, 10_000, &mut fails);
        assert_eq!(least.threads.len(), 2);
        assert_eq!(least.ops().count(), 2);
        assert!(fails(&least));
    }

    #[test]
    fn what_always_fails_is_one_idle_thread() {
        let schedule = Mix::default().schedule(5).unwrap();
        let least = shrink(&schedule, 10_000, &mut |_| true);
        assert_eq!((least.threads.len(), least.ops().count()), (1, 0));
        least.validate().unwrap();
    }

    #[test]
    fn tries_are_bounded() {
        let schedule = Mix::default().schedule(5).unwrap();
        let mut asked = 0;
        let least = shrink(&schedule, 7, &mut |_| {
            asked += 1;
            false
        });
        assert_eq!((asked, &least), (7, &schedule));
    }
}
