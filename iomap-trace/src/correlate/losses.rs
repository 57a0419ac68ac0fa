//! What was lost, and when.

use crate::event::{Loss, Text};

/// Hooks, as bits, in the order in which a verdict lists them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hooks(u32);

const NAMES: [&str; 10] = [
    "invalidate",
    "release",
    "ordered",
    "extent-lock",
    "dirty",
    "cached",
    "dio",
    "writeback-error",
    "stale-warn",
    "ring",
];
/// The hooks that evidence comes from, by the names that the probes give them.
pub const HOOKS: &[&str] = NAMES.split_at(NAMES.len() - 1).0;
/// Hooks that this version does not know are told apart up to this many; then all are one.
const NAMED: usize = 32;
/// So many intervals are remembered of a hook; of more, the two oldest become one.
const INTERVALS: usize = 256;

impl Hooks {
    pub const NONE: Self = Self(0);
    pub const INVALIDATE: Self = Self(1);
    pub const RELEASE: Self = Self(1 << 1);
    pub const ORDERED: Self = Self(1 << 2);
    pub const EXTENT_LOCK: Self = Self(1 << 3);
    pub const DIRTY: Self = Self(1 << 4);
    pub const CACHED: Self = Self(1 << 5);
    pub const DIO: Self = Self(1 << 6);
    pub const WRITEBACK_ERROR: Self = Self(1 << 7);
    pub const STALE_WARN: Self = Self(1 << 8);
    pub const RING: Self = Self(1 << 9);
    /// Those that this version does not know.
    pub const STRANGE: Self = Self(u32::MAX << NAMES.len());
    pub const ALL: Self = Self(u32::MAX);

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn has(self, at: usize) -> bool {
        self.0 >> at & 1 == 1
    }
}

/// The losses of one hook: intervals, both ends included, apart from each other and in order.
#[derive(Debug, Default)]
struct Lost {
    intervals: Vec<(u64, u64)>,
}

impl Lost {
    fn add(&mut self, since: u64, until: u64) {
        // Intervals that touch are one: a hook that goes on losing needs no memory for it.
        let (mut since, mut until) = (since.min(until), since.max(until));
        let first = self.intervals.partition_point(|(_, to)| *to < since);
        let end = self.intervals.partition_point(|(from, _)| *from <= until);
        for (from, to) in self.intervals.drain(first..end.max(first)) {
            (since, until) = (since.min(from), until.max(to));
        }
        self.intervals.insert(first, (since, until));
        if self.intervals.len() > INTERVALS {
            let (from, _) = self.intervals.remove(0);
            self.intervals[0].0 = from;
        }
    }

    fn meets(&self, from: u64, to: u64) -> bool {
        let first = self.intervals.partition_point(|(_, end)| *end < from);
        self.intervals
            .get(first)
            .is_some_and(|(since, _)| *since <= to)
    }
}

/// The losses of a run. Bounded: what does not fit makes an interval longer, never shorter.
#[derive(Debug, Default)]
pub struct Losses {
    hooks: Vec<Lost>,
    strange: Vec<Text>,
}

impl Losses {
    /// Takes a loss. One that comes twice changes nothing.
    pub fn add(&mut self, loss: Loss) {
        let known = NAMES.iter().position(|name| *name == loss.hook);
        let at = known.unwrap_or_else(|| self.strange(loss.hook));
        if self.hooks.len() <= at {
            self.hooks.resize_with(at + 1, Lost::default);
        }
        self.hooks[at].add(loss.since_ns, loss.ts_ns);
    }

    fn strange(&mut self, hook: Text) -> usize {
        let known = self.strange.iter().position(|name| *name == hook);
        let at = known.unwrap_or_else(|| {
            if NAMES.len() + self.strange.len() < NAMED {
                self.strange.push(hook);
            }
            self.strange.len() - 1
        });
        NAMES.len() + at
    }

    /// Which of these hooks lost something between the two moments.
    pub fn met(&self, hooks: Hooks, from: u64, to: u64) -> Hooks {
        let mut met = 0;
        for (at, lost) in self.hooks.iter().enumerate() {
            if hooks.has(at) && lost.meets(from, to) {
                met |= 1 << at;
            }
        }
        Hooks(met)
    }

    /// Names of hooks.
    pub fn names(&self, hooks: Hooks) -> impl Iterator<Item = Text> {
        let known = NAMES.iter().map(|name| Text::const_new(name));
        let names = known.chain(self.strange.iter().cloned());
        let named = names.enumerate();
        named.filter_map(move |(at, name)| hooks.has(at).then_some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn loss(hook: &str, since_ns: u64, ts_ns: u64) -> Loss {
        Loss {
            hook: hook.into(),
            counter: "x.lost".into(),
            count: 1,
            since_ns,
            ts_ns,
        }
    }

    #[test]
    fn a_hook_that_goes_on_losing_is_one_interval() {
        let mut losses = Losses::default();
        for at in 0..1000 {
            losses.add(loss("dirty", at, at + 1));
        }
        assert_eq!(losses.hooks[4].intervals, [(0, 1000)]);
    }

    #[test]
    fn what_does_not_fit_is_said_rather_too_often() {
        let mut losses = Losses::default();
        for at in 0..2 * INTERVALS as u64 {
            losses.add(loss("ring", at * 10, at * 10));
        }
        assert_eq!(losses.hooks[9].intervals.len(), INTERVALS);
        assert!(!losses.met(Hooks::RING, 5, 5).is_empty());
        let late = 20 * INTERVALS as u64 - 15;
        assert!(losses.met(Hooks::RING, late, late).is_empty());
    }

    #[test]
    fn a_hook_of_a_later_version_has_its_name() {
        let mut losses = Losses::default();
        for at in 0..100 {
            losses.add(loss(&format!("hook{at}"), 1, 2));
        }
        let met = losses.met(Hooks::STRANGE, 2, 3);
        let names: Vec<Text> = losses.names(met).collect();
        assert_eq!(names.len(), NAMED - NAMES.len());
        assert_eq!(names[0], "hook0");
    }

    proptest! {
        #[test]
        fn an_interval_meets_what_any_of_them_meets(
            all in vec((0_u64..50, 0_u64..50), 0..12), (from, to) in (0_u64..50, 0_u64..50),
        ) {
            let mut losses = Losses::default();
            for (since, ts) in &all {
                losses.add(loss("cached", *since, *ts));
            }
            let (from, to) = (from.min(to), from.max(to));
            let any = all.iter().any(|(a, b)| *a.min(b) <= to && from <= *a.max(b));
            prop_assert_eq!(!losses.met(Hooks::CACHED, from, to).is_empty(), any);
        }
    }
}
