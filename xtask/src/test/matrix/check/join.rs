//! The holders that a log names against those that the kernel's own trace shows.

use super::super::files::Run;
use super::super::kernel::locks::{self, Lock};
use super::super::kernel::own::{self, LATE_NS};
use super::super::kernel::{Range, Seen, What};
use super::super::log::{Case, Holder, Log, Refusal};
use std::collections::BTreeMap;

/// How much the clocks of the tracers and of the kernel's trace may differ.
const SKEW_NS: u64 = 50_000;

/// What came of it for a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Exact verdicts that name a holder, and the trace agrees.
    pub pairs: u64,
    /// Those of them where another lock was in force during a part of the time, too.
    pub shared: u64,
    /// Those where it does not.
    pub wrong_pairs: Vec<String>,
    /// Clean folios that the trace says were locked all the time while they were refused.
    pub held: u64,
    /// Those whose holder the verdict does not name.
    pub unnamed: Vec<String>,
    /// Those where it names another one, as the last that was seen to lock the range, and says that
    /// this is all that it knows.
    pub last_seen: Vec<String>,
}

/// What a verdict says whose lock another task gave up: a lock and an attempt that waits for it look
/// the same then, so the later one is named. Mostly, not always, that is the one.
const LAST_SEEN: &str = "unlocked by another task";
/// Of so many locked folios one may be such a case.
const SELDOM: u64 = 20;

impl Joined {
    /// Holders that are not named, and for which what the verdicts say does not account.
    pub fn unaccounted(&self) -> Vec<String> {
        let often = self.last_seen.len() as u64 * SELDOM > self.held;
        let last_seen = self.last_seen.iter().filter(|_| often);
        self.unnamed.iter().chain(last_seen).cloned().collect()
    }
}

/// An interval, nanoseconds since boot.
type Interval = (u64, u64);

/// Joins the events of a run on btrfs with a log.
pub fn join(events: &[Seen], run: &Run, log: &Log) -> Joined {
    let locks = locks::locks(events, run.ino);
    let works = works(events);
    let mut joined = Joined::default();
    for case in log.on(&run.fs, run.ino) {
        if case.exact() && case.locked() {
            match pair(case, log, &locks, &works) {
                Ok(alone) => {
                    joined.pairs += 1;
                    joined.shared += u64::from(!alone);
                }
                // Who was first is not certain where a thread was preempted after its event.
                Err(_) if by_own_events(events, run.ino, case, log, &works) => {
                    joined.pairs += 1;
                    joined.shared += 1;
                }
                Err(why) => joined.wrong_pairs.push(format!("{}: {why}", told(case))),
            }
        }
        for refusal in &case.refusals {
            let holders = holding(refusal, log.start.page_size, &locks);
            if holders.is_empty() {
                continue;
            }
            joined.held += 1;
            let named = case.verdict.holders.iter();
            let named: Vec<_> = named.filter_map(|id| log.holders.get(id)).collect();
            let is_named = |lock: &&Lock| named.iter().any(|h| same(h, lock));
            let own = |h: &&Holder| held_by_own_events(events, run.ino, h, refusal, case, log);
            if !holders.iter().any(is_named) && !named.iter().any(own) {
                let (lock, cause) = (holders[0], &case.verdict.cause);
                let reason = case.verdict.reason.as_deref().unwrap_or_default();
                let list = match reason.starts_with(LAST_SEEN) && !case.exact() && case.locked() {
                    true => &mut joined.last_seen,
                    false => &mut joined.unnamed,
                };
                list.push(format!(
                    "{}: page {} was locked by {} ({}..{}, {}..{} ns), not {cause}",
                    told(case),
                    refusal.index,
                    lock.tid,
                    lock.start,
                    lock.end,
                    lock.since_ns,
                    lock.until_ns
                ));
            }
        }
    }
    joined
}

/// Whether the holder that is named can have held a refused folio, by its own events.
fn by_own_events(
    events: &[Seen],
    ino: u64,
    case: &Case,
    log: &Log,
    works: &BTreeMap<u32, Vec<Interval>>,
) -> bool {
    let named = case.verdict.holders.iter();
    let mut named = named.filter_map(|id| log.holders.get(id));
    let party = case.verdict.party.as_ref().map(|party| party.tid);
    named.any(|holder| {
        let mut refusals = case.refusals.iter();
        let works = works.get(&holder.tid).map_or(&[][..], Vec::as_slice);
        Some(holder.tid) == party
            && refusals.any(|refusal| {
                let moment = moment(case, refusal);
                let at_work = works.iter().any(|work| meet(moment, *work));
                (holder.kind != "ordered-io" || at_work)
                    && held_by_own_events(events, ino, holder, refusal, case, log)
            })
    })
}

fn held_by_own_events(
    events: &[Seen],
    ino: u64,
    holder: &Holder,
    refusal: &Refusal,
    case: &Case,
    log: &Log,
) -> bool {
    let (start, end) = extent(refusal, log.start.page_size);
    let wanted = Range { ino, start, end };
    let Some(locked_ns) = holder.locked_ns else {
        return false;
    };
    let (entered_ns, refused_ns) = moment(case, refusal);
    let tried = locked_ns.saturating_sub(LATE_NS)..=locked_ns + SKEW_NS;
    let refused = (entered_ns.saturating_sub(SKEW_NS), refused_ns + SKEW_NS);
    own::can_have_held(events, holder.tid, tried, wanted, refused)
}

fn told(case: &Case) -> String {
    let failure = &case.failure;
    format!(
        "failure {} ({} at {} ns)",
        failure.id, failure.phase, failure.ts_ns
    )
}

/// The locks that held a clean folio from the moment when its release was asked for to that when it
/// was refused; none when those are not known.
fn holding<'a>(refusal: &Refusal, page: u64, locks: &'a [Lock]) -> Vec<&'a Lock> {
    let busy = |flag: &String| ["dirty", "writeback"].contains(&flag.as_str());
    let Some(entered_ns) = refusal.entered_ns else {
        return Vec::new();
    };
    if refusal.folio_flags.iter().any(busy) {
        return Vec::new();
    }
    let (start, end) = extent(refusal, page);
    let locks = locks.iter().filter(|lock| {
        lock.start < end
            && start < lock.end
            && lock.since_ns <= entered_ns
            && refusal.ts_ns <= lock.until_ns
    });
    locks.collect()
}

/// The bytes of a folio.
fn extent(refusal: &Refusal, page: u64) -> (u64, u64) {
    let start = refusal.index * page;
    (start, start + refusal.pages * page)
}

fn same(holder: &Holder, lock: &Lock) -> bool {
    holder.tid == lock.tid && lock.start < holder.pos + holder.len && holder.pos < lock.end
}

/// Whether the holder that an exact verdict names did hold the range then, and nobody else did.
///
/// # Errors
/// When it did not; with what was seen.
fn pair(
    case: &Case,
    log: &Log,
    locks: &[Lock],
    works: &BTreeMap<u32, Vec<Interval>>,
) -> Result<bool, String> {
    let party = case.verdict.party.as_ref().ok_or("nobody is named")?;
    let named = case.verdict.holders.iter();
    let named = named.filter_map(|id| log.holders.get(id));
    let mut why = format!("no holder is of thread {}", party.tid);
    for holder in named.filter(|holder| holder.tid == party.tid) {
        let moments = moments(case, holder, log.start.page_size);
        let lock = locks.iter().find(|lock| is(holder, lock));
        let (held, problem) = match lock {
            None => (None, "is not in the kernel's trace".to_owned()),
            Some(lock) => {
                let in_force = (lock.since_ns, lock.gone_ns);
                let moment = moments.iter().find(|moment| meet(**moment, in_force));
                (moment, format!("was held {in_force:?} ns"))
            }
        };
        let works = works.get(&holder.tid).map_or(&[][..], Vec::as_slice);
        let at_work = |moment: &&Interval| {
            holder.kind != "ordered-io" || works.iter().any(|work| meet(**moment, *work))
        };
        let Some(moment) = held.filter(at_work) else {
            why = format!(
                "{} by {} ({}..{}, {}..{} ns) {problem}, refused {moments:?}",
                holder.kind,
                holder.tid,
                holder.pos,
                holder.pos + holder.len,
                holder.locked_ns.unwrap_or(0),
                holder.unlocked_ns.unwrap_or(0)
            );
            if held.is_some() {
                why.push_str(", and did not complete ordered I/O then");
            }
            continue;
        };
        let others = locks.iter().filter(|lock| {
            !is(holder, lock)
                && lock.start < holder.pos + holder.len
                && holder.pos < lock.end
                && meet(*moment, (lock.since_ns, lock.until_ns))
        });
        return Ok(others.count() == 0);
    }
    Err(why)
}

/// Whether the holder in a log is this lock of the kernel's trace.
fn is(holder: &Holder, lock: &Lock) -> bool {
    let since_ns = lock.since_ns.saturating_sub(SKEW_NS);
    same(holder, lock)
        && holder
            .locked_ns
            .is_some_and(|locked_ns| (since_ns..=lock.gone_ns).contains(&locked_ns))
}

/// Whether two intervals meet.
fn meet(a: Interval, b: Interval) -> bool {
    a.0 <= b.1.saturating_add(SKEW_NS) && b.0 <= a.1.saturating_add(SKEW_NS)
}

/// Between which instants a folio was refused.
fn moment(case: &Case, refusal: &Refusal) -> Interval {
    let failure = &case.failure;
    let begin = failure.ts_ns.saturating_sub(failure.duration_ns);
    (refusal.entered_ns.unwrap_or(begin), refusal.ts_ns)
}

/// Between which instants the folios in the holder's range were refused.
fn moments(case: &Case, holder: &Holder, page: u64) -> Vec<Interval> {
    let folios = case.refusals.iter().filter(|refusal| {
        let (start, end) = extent(refusal, page);
        start < holder.pos + holder.len && holder.pos < end
    });
    folios.map(|refusal| moment(case, refusal)).collect()
}

/// When each worker was busy with ordered extents.
fn works(events: &[Seen]) -> BTreeMap<u32, Vec<Interval>> {
    let mut begun = BTreeMap::new();
    let mut works: BTreeMap<u32, Vec<Interval>> = BTreeMap::new();
    for seen in events {
        match seen.what {
            What::Begin(work) => drop(begun.insert((seen.tid, work), seen.ts_ns)),
            What::Done(work) => {
                if let Some(since) = begun.remove(&(seen.tid, work)) {
                    works.entry(seen.tid).or_default().push((since, seen.ts_ns));
                }
            }
            _ => {}
        }
    }
    works
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
