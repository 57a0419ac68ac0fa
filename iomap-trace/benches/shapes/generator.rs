//! The events in the order in which a recorder would have written them.

use fastrand::Rng;
use iomap_trace::event::{Event, Loss, Mark};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};

use super::failure::{self, Ids};
use super::run::{self, BEGIN_NS};
use super::{Shape, Spec, scene};

/// From one mark to the next.
pub const MARK_NS: u64 = 100_000_000;
/// A record can be written this much later than another of the same time.
pub const DISORDER_NS: u64 = 20_000;
/// Marks go on for this long after the last record.
const MARKS_GO_ON_NS: u64 = 3_000_000_000;
/// Of [`Shape::Mixed`] something is lost once in so many failures.
const FAILURES_TO_A_LOSS: u64 = 4_000;
/// What is lost in turn: a hook, and the counter that tells of it.
const LOSSES: [(&str, &str); 4] = [
    ("extent-lock", "extent_lock.missed"),
    ("dirty", "page_dirtied.missed"),
    ("ring", "holder.lost"),
    ("release", "refusal.lost"),
];
/// At least the records of the largest failure, with its holders, and of the log's frame.
const LARGEST: u64 = 40;

/// An event, and when it is written.
#[derive(Debug)]
struct Written {
    at_ns: u64,
    turn: u64,
    event: Event,
}

impl PartialEq for Written {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Written {}

impl PartialOrd for Written {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Written {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_ns, self.turn).cmp(&(other.at_ns, other.turn))
    }
}

/// The events of a log, from `start` to `end`. Keeps no more than what is open. Everything has ended
/// before the log does; marks fill it up.
#[derive(Debug)]
pub struct Generator {
    spec: Spec,
    rng: Rng,
    /// What will be written, the earliest first.
    queue: BinaryHeap<Reverse<Written>>,
    turns: u64,
    /// When the next failure is seen.
    next_ns: u64,
    next_mark_ns: u64,
    /// The mark before.
    marked_ns: u64,
    last_ns: u64,
    failures: u64,
    /// By counter.
    losses: BTreeMap<String, u64>,
    /// Records of a loss.
    lost: u64,
    holders: u64,
    given: u64,
}

impl Generator {
    /// The log of `spec`.
    pub fn new(spec: Spec) -> Self {
        Self {
            spec,
            rng: Rng::with_seed(spec.seed),
            queue: BinaryHeap::new(),
            turns: 0,
            next_ns: BEGIN_NS + 4 * scene::open_for_ns(&spec) + 1_000_000_000,
            next_mark_ns: BEGIN_NS + MARK_NS,
            marked_ns: BEGIN_NS,
            last_ns: BEGIN_NS,
            failures: 0,
            losses: BTreeMap::new(),
            lost: 0,
            holders: 0,
            given: 0,
        }
    }

    fn write(&mut self, at_ns: u64, event: Event) {
        self.turns += 1;
        self.queue.push(Reverse(Written {
            at_ns,
            turn: self.turns,
            event,
        }));
    }

    /// Adds one failure with its holders.
    fn add(&mut self) {
        let rng = &mut self.rng;
        let scene = scene::scene(&self.spec, self.failures, self.next_ns, rng);
        let ids = Ids {
            failure: self.failures + 1,
            holder: self.holders + 1,
        };
        let records = failure::failure(&scene, ids, rng);
        let holders = failure::holders(&scene, ids, rng);
        self.next_ns += scene::pause_ns(&self.spec, self.failures, rng);
        self.failures += 1;
        self.holders += holders.len() as u64;
        // Records of a failure follow it directly: all of them are written at the same time.
        let at_ns = scene.ts_ns + self.rng.u64(0..DISORDER_NS);
        for record in records {
            self.write(at_ns, record);
        }
        for holder in holders {
            let at_ns = holder.end_ns + self.rng.u64(0..DISORDER_NS);
            self.write(at_ns, Event::Holder(Box::new(holder)));
        }
    }

    /// Whether the rest of the log is taken by what is open and the marks until that has ended.
    fn full(&self) -> bool {
        let marks = 4 * scene::open_for_ns(&self.spec) / MARK_NS;
        self.given + self.queue.len() as u64 + marks + LARGEST > self.spec.events
    }

    /// What was lost since the last mark, told of before the next.
    fn loss(&mut self) -> Option<Loss> {
        let due = (self.lost + 1) * FAILURES_TO_A_LOSS;
        if self.spec.shape != Shape::Mixed || self.failures < due {
            return None;
        }
        let (hook, counter) = LOSSES[(self.lost % LOSSES.len() as u64) as usize];
        self.lost += 1;
        let count = 1 + self.lost % 30;
        *self.losses.entry(counter.to_owned()).or_default() += count;
        Some(Loss {
            hook: hook.into(),
            counter: counter.into(),
            count,
            since_ns: self.marked_ns,
            ts_ns: self.next_mark_ns,
        })
    }

    fn record(&mut self) -> Event {
        // Nothing of a failure to come is written before it is seen.
        while self
            .queue
            .peek()
            .is_none_or(|first| first.0.at_ns >= self.next_ns)
            && !self.full()
        {
            self.add();
        }
        let next_ns = self.queue.peek().map_or(u64::MAX, |first| first.0.at_ns);
        if self.next_mark_ns > self.last_ns + MARKS_GO_ON_NS
            && next_ns > self.next_mark_ns + MARKS_GO_ON_NS
            && next_ns < u64::MAX
        {
            self.next_mark_ns = next_ns - MARK_NS / 2;
        }
        if self.next_mark_ns + DISORDER_NS <= next_ns {
            if let Some(loss) = self.loss() {
                return Event::Loss(loss);
            }
            let ts_ns = self.next_mark_ns;
            self.marked_ns = ts_ns;
            self.next_mark_ns += MARK_NS;
            return Event::Mark(Mark { ts_ns });
        }
        match self.queue.pop() {
            Some(Reverse(written)) => {
                self.last_ns = written.at_ns;
                written.event
            }
            // Cannot be: without anything to come a mark was given above.
            None => Event::Mark(Mark {
                ts_ns: self.last_ns,
            }),
        }
    }
}

impl Iterator for Generator {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.given == self.spec.events.max(2) {
            return None;
        }
        self.given += 1;
        Some(if self.given == 1 {
            Event::Start(Box::new(run::start(self.spec.shape, self.spec.seed)))
        } else if self.given == self.spec.events.max(2) {
            let ts_ns = self.last_ns.max(self.next_mark_ns) + DISORDER_NS;
            Event::End(Box::new(run::end(ts_ns, self.failures, &self.losses)))
        } else {
            self.record()
        })
    }
}
