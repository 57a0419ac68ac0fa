//! How long locks were held.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

use crate::event::{Holder, HolderKind, Text};

/// Significant digits: a hundredth is exact enough, and 35 KiB a histogram.
const DIGITS: u8 = 2;
/// An hour; what is longer counts as that.
const LONGEST_NS: u64 = 3_600_000_000_000;
/// Functions that are told apart; further ones are one.
const FUNCTIONS: usize = 32;

/// A distribution of times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// How many.
    pub count: u64,
    /// Half of them were no longer.
    pub p50_ns: u64,
    /// 90 of a hundred were no longer.
    pub p90_ns: u64,
    /// 99 of a hundred were no longer.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// How long one kind of lock was held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// Kind of the holder.
    pub kind: HolderKind,
    /// Function that took the lock; absent where its caller was not named.
    pub function: Option<Text>,
    /// Further functions, which were too many to be told apart.
    pub others: bool,
    /// From lock to unlock.
    pub held: Percentiles,
    /// The same as a histogram: from 1 us on each class is twice as wide as the one before.
    pub classes: Vec<Class>,
}

/// A class of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Class {
    /// No time in it is longer.
    pub up_to_ns: u64,
    /// How many.
    pub count: u64,
}

/// Times, in constant memory.
#[derive(Debug)]
pub(super) struct Times {
    histogram: Option<Histogram<u64>>,
    max_ns: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            // These bounds and digits are valid; without a histogram nothing is said.
            histogram: Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).ok(),
            max_ns: 0,
        }
    }
}

impl Times {
    /// One more.
    pub fn add(&mut self, ns: u64) {
        self.max_ns = self.max_ns.max(ns);
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(ns);
        }
    }

    /// The histogram, without classes at its ends that hold nothing.
    fn classes(&self) -> Vec<Class> {
        let Some(histogram) = &self.histogram else {
            return Vec::new();
        };
        let classes = histogram.iter_log(1_000, 2.0).map(|step| Class {
            up_to_ns: step.value_iterated_to(),
            count: step.count_since_last_iteration(),
        });
        classes.skip_while(|class| class.count == 0).collect()
    }

    /// The distribution, unless there was nothing.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let histogram = self.histogram.as_ref().filter(|h| !h.is_empty())?;
        let at = |quantile| histogram.value_at_quantile(quantile).min(self.max_ns);
        Some(Percentiles {
            count: histogram.len(),
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            max_ns: self.max_ns,
        })
    }
}

/// Locks by function.
#[derive(Debug, Default)]
pub(super) struct Holds {
    by_function: BTreeMap<(bool, Option<Text>), Times>,
    others: Option<Times>,
}

impl Holds {
    /// A holder; one that never had a lock (NOCOW) does not count.
    pub fn add(&mut self, holder: &Holder) {
        let (Some(locked), Some(unlocked)) = (holder.locked_ns, holder.unlocked_ns) else {
            return;
        };
        let held = unlocked.saturating_sub(locked);
        let key = (
            holder.kind == HolderKind::ExtentLock,
            holder.function.clone(),
        );
        if self.by_function.len() < FUNCTIONS || self.by_function.contains_key(&key) {
            self.by_function.entry(key).or_default().add(held);
        } else {
            self.others.get_or_insert_default().add(held);
        }
    }

    /// All of them, the most frequent first.
    pub fn rows(&self) -> Vec<Hold> {
        let named = self.by_function.iter();
        let named = named.map(|((lock, function), times)| (*lock, function.clone(), false, times));
        let others = self.others.iter().map(|times| (true, None, true, times));
        let mut rows: Vec<Hold> = named
            .chain(others)
            .filter_map(|(lock, function, others, times)| {
                Some(Hold {
                    kind: if lock {
                        HolderKind::ExtentLock
                    } else {
                        HolderKind::OrderedIo
                    },
                    function,
                    others,
                    held: times.percentiles()?,
                    classes: times.classes(),
                })
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.held.count));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_to_a_hundredth_and_the_longest_is_kept() {
        let mut times = Times::default();
        assert_eq!(times.percentiles(), None);
        for ns in 1..=1000 {
            times.add(ns * 1000);
        }
        let classes = times.classes();
        assert_eq!(classes.iter().map(|class| class.count).sum::<u64>(), 1000);
        assert!(classes.iter().any(|class| class.count > 400), "{classes:?}");
        times.add(u64::MAX);
        let said = times.percentiles().unwrap();
        assert_eq!((said.count, said.max_ns), (1001, u64::MAX));
        assert!(said.p50_ns.abs_diff(500_000) < 5_000, "{said:?}");
        assert!(said.p99_ns.abs_diff(991_000) < 10_000, "{said:?}");
    }
}
