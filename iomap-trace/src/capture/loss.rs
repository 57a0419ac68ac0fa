//! Which evidence was lost between two moments: the counters of the programs, from reading to
//! reading.

use std::collections::BTreeMap;

use crate::event::{Loss, Text, shed_counter, standby_counter};
use crate::probe::{hook_of, is_loss};

/// Hooks of which an inode that is not watched shows nothing.
const OF_AN_INODE: &[&str] = &["cached", "dirty", "extent-lock", "ordered"];

/// The counters at the last readings.
#[derive(Debug)]
pub struct Losses {
    /// Value, and when it was read.
    last: BTreeMap<String, (u64, u64)>,
    began_ns: u64,
    read_ns: u64,
    /// Hooks that see nothing.
    blind: Vec<Blind>,
}

/// A hook without programs.
#[derive(Debug)]
struct Blind {
    hook: &'static str,
    /// It was shed, for the rest of the run; else it waits for the first failure.
    shed: bool,
    /// Up to when that was told.
    told_ns: u64,
    /// Since when it sees again.
    until_ns: Option<u64>,
}

impl Losses {
    /// Nothing was lost before `now_ns`.
    pub fn new(now_ns: u64) -> Self {
        Self {
            last: BTreeMap::new(),
            began_ns: now_ns,
            read_ns: now_ns,
            blind: Vec::new(),
        }
    }

    /// From `now_ns` on a hook has no programs.
    pub fn shed(&mut self, hook: &'static str, now_ns: u64) {
        self.blind.push(Blind::new(hook, true, now_ns));
    }

    /// A hook has waited from the begin on.
    pub fn waits(&mut self, hook: &'static str) {
        self.blind.push(Blind::new(hook, false, self.began_ns));
    }

    /// These hooks waited, and see from `now_ns` on.
    pub fn roused(&mut self, hooks: &[&str], now_ns: u64) {
        let waited = |blind: &&mut Blind| !blind.shed && hooks.contains(&blind.hook);
        for blind in self.blind.iter_mut().filter(waited) {
            blind.until_ns = Some(now_ns);
        }
    }

    /// That hooks are without programs since that was told last. To be told before each mark: a
    /// loss bears on what happened up to its end.
    pub fn of_blind(&mut self, now_ns: u64) -> Vec<Loss> {
        let told = self.blind.iter_mut().map(|blind| {
            let ts_ns = blind.until_ns.unwrap_or(now_ns);
            Loss {
                hook: Text::const_new(blind.hook),
                counter: blind.counter().into(),
                count: 0,
                since_ns: std::mem::replace(&mut blind.told_ns, ts_ns),
                ts_ns,
            }
        });
        let told = told.collect();
        self.blind.retain(|blind| blind.until_ns.is_none());
        told
    }

    /// Adds the hooks that were shed to the sums of losses.
    pub fn account_shed(&self, losses: &mut BTreeMap<String, u64>) {
        let shed = self.blind.iter().filter(|blind| blind.shed);
        losses.extend(shed.map(|blind| (blind.counter(), 1)));
    }

    /// When the counters were read last, nanoseconds since boot.
    pub fn read_ns(&self) -> u64 {
        self.read_ns
    }

    /// What was lost since the last reading, by `counters` (all or some), read at `now_ns` or
    /// before.
    pub fn since_last(&mut self, counters: &BTreeMap<String, u64>, now_ns: u64) -> Vec<Loss> {
        self.read_ns = now_ns;
        let mut losses = Vec::new();
        for (counter, &now) in counters.iter().filter(|(counter, _)| is_loss(counter)) {
            let (last, since_ns) = match self.last.get_mut(counter) {
                Some(last) => std::mem::replace(last, (now.max(last.0), now_ns)),
                None => {
                    self.last.insert(counter.clone(), (now, now_ns));
                    (0, self.began_ns)
                }
            };
            if now <= last {
                continue;
            }
            losses.extend(hooks(counter).iter().map(|hook| Loss {
                hook: Text::const_new(hook),
                counter: counter.into(),
                count: now - last,
                since_ns,
                ts_ns: now_ns,
            }));
        }
        losses
    }
}

impl Blind {
    const fn new(hook: &'static str, shed: bool, since_ns: u64) -> Self {
        Self {
            hook,
            shed,
            told_ns: since_ns,
            until_ns: None,
        }
    }

    fn counter(&self) -> String {
        match self.shed {
            true => shed_counter(self.hook),
            false => standby_counter(self.hook),
        }
    }
}

/// The hooks whose evidence a counter counts; `ring` stands for records of any kind.
fn hooks(counter: &str) -> &'static [&'static str] {
    if let Some(program) = counter.strip_suffix(".missed") {
        return hook_of(program);
    }
    match counter {
        "failure.lost" | "holder.lost" | "record.lost" => &["ring"],
        "refusal.lost" => &["release"],
        "inode.map-full" => OF_AN_INODE,
        "page.map-full" => &["cached", "dirty"],
        "lock.map-full" | "lock.lost" => &["extent-lock"],
        "ordered.map-full" | "creator.map-full" => &["ordered"],
        "return.lost" => &["invalidate"],
        _ => &["dio"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(rows: &[(&str, u64)]) -> BTreeMap<String, u64> {
        rows.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect()
    }

    #[test]
    fn what_grew_was_lost_meanwhile() {
        let mut losses = Losses::new(100);
        let first = counters(&[("lock.lost", 2), ("dio.writes", 7), ("holder.lost", 0)]);
        let lost = losses.since_last(&first, 200);
        assert_eq!(lost.len(), 1);
        assert_eq!(
            (
                lost[0].hook.as_str(),
                lost[0].count,
                lost[0].since_ns,
                lost[0].ts_ns
            ),
            ("extent-lock", 2, 100, 200)
        );
        assert_eq!(losses.since_last(&first, 300), []);
        let later = counters(&[("lock.lost", 3), ("page_dirtied.missed", 1)]);
        let lost = losses.since_last(&later, 400);
        let told: Vec<_> = lost
            .iter()
            .map(|l| (&*l.hook, l.count, l.since_ns))
            .collect();
        // A counter that is there for the first time may have grown since the begin.
        assert_eq!(told, [("extent-lock", 1, 300), ("dirty", 1, 100)]);
    }

    #[test]
    fn an_unwatched_inode_lacks_every_party() {
        let counters = counters(&[("inode.map-full", 1)]);
        let lost = Losses::new(0).since_last(&counters, 1);
        let hooks: Vec<_> = lost.iter().map(|l| l.hook.as_str()).collect();
        assert_eq!(hooks, OF_AN_INODE);
    }

    #[test]
    fn a_hook_that_was_shed_is_lost_up_to_each_moment() {
        let mut losses = Losses::new(0);
        assert_eq!(losses.of_blind(5), []);
        losses.shed("cached", 10);
        let told: Vec<_> = [20, 35].map(|now| losses.of_blind(now)).concat();
        let told: Vec<_> = told
            .iter()
            .map(|l| (&*l.hook, l.since_ns, l.ts_ns))
            .collect();
        assert_eq!(told, [("cached", 10, 20), ("cached", 20, 35)]);
        let mut sums = BTreeMap::new();
        losses.account_shed(&mut sums);
        assert_eq!(sums, BTreeMap::from([("cached.shed".to_owned(), 1)]));
    }

    #[test]
    fn a_hook_that_waits_is_lost_from_the_begin_until_it_is_roused() {
        let mut losses = Losses::new(3);
        losses.waits("dirty");
        losses.shed("cached", 10);
        let mut told = losses.of_blind(20);
        losses.roused(&["dirty", "cached"], 25);
        told.extend([30, 40].map(|now| losses.of_blind(now)).concat());
        let told = told.iter().map(|l| (&*l.hook, l.since_ns, l.ts_ns));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                ("dirty", 3, 20),
                ("cached", 10, 20),
                ("dirty", 20, 25),
                ("cached", 20, 30),
                ("cached", 30, 40)
            ]
        );
        let mut sums = BTreeMap::new();
        losses.account_shed(&mut sums);
        assert_eq!(sums, BTreeMap::from([("cached.shed".to_owned(), 1)]));
    }

    #[test]
    fn every_counter_of_a_loss_has_a_hook() {
        for name in iomap_trace_ebpf::COUNTER_NAMES
            .iter()
            .filter(|name| is_loss(name))
        {
            assert!(!hooks(name).is_empty(), "{name}");
        }
        assert_eq!(hooks("extent_lock.missed"), ["extent-lock"]);
        assert_eq!(hooks("work_end.missed"), ["ordered"]);
    }
}
