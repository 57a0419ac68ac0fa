//! Which evidence was lost between two moments: the counters of the programs, from reading to
//! reading.

use std::collections::BTreeMap;

use crate::event::{Loss, Text};
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
}

impl Losses {
    /// Nothing was lost before `now_ns`.
    pub fn new(now_ns: u64) -> Self {
        Self {
            last: BTreeMap::new(),
            began_ns: now_ns,
            read_ns: now_ns,
        }
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
