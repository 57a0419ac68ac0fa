//! `--max-overhead`: which hook to do without when the programs run for too long.
//!
//! The overhead is the run time of this tracer's programs, all CPUs together, in percent of one
//! CPU's time. It is judged over a few seconds, and after each step over as many new ones: neither a
//! short burst nor the echo of one that is over costs a second hook. What was shed stays away for
//! the rest of the run: whether it could come back is known only by attaching it.

use std::collections::{BTreeMap, VecDeque};

/// Seconds over which the overhead is judged.
const SECONDS: usize = 3;

/// Hooks that name parties: without them verdicts say less, and no failure is missed. Of those that
/// cost the same the first one goes first.
const OPTIONAL: [&str; 4] = ["extent-lock", "cached", "dirty", "ordered"];

/// A limit, and what was measured last.
#[derive(Debug)]
pub struct Limit {
    percent: f64,
    seconds: VecDeque<BTreeMap<&'static str, f64>>,
    shed: Vec<&'static str>,
    /// That nothing is left to be shed was said.
    said: bool,
}

/// What is over the limit, and what to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Overhead in percent of one CPU.
    pub percent: f64,
    /// What to do.
    pub step: Step,
}

/// What to do when it is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Do without this hook.
    Shed(&'static str),
    /// Say that what is left cannot be done without; said once.
    Bear,
}

impl Limit {
    /// A limit in percent of one CPU.
    pub fn new(percent: f64) -> Self {
        Self {
            percent,
            seconds: VecDeque::new(),
            shed: Vec::new(),
            said: false,
        }
    }

    /// Takes the run time of the programs in a second, by program, and says what is to be done.
    /// `hook_of` tells the hook of a program.
    pub fn second(
        &mut self,
        elapsed_ns: u64,
        by_program: &BTreeMap<String, u64>,
        hook_of: impl Fn(&str) -> Option<&'static str>,
    ) -> Option<Verdict> {
        let mut second = BTreeMap::new();
        for (program, ns) in by_program {
            let percent = *ns as f64 * 100.0 / elapsed_ns.max(1) as f64;
            *second
                .entry(hook_of(program).unwrap_or_default())
                .or_default() += percent;
        }
        if self.seconds.len() == SECONDS {
            self.seconds.pop_front();
        }
        self.seconds.push_back(second);
        if self.seconds.len() < SECONDS {
            return None;
        }
        let percent = self.mean(|_| true);
        if percent <= self.percent {
            return None;
        }
        let step = match self.hottest() {
            Some(hook) => {
                self.shed.push(hook);
                self.seconds.clear();
                Step::Shed(hook)
            }
            None if self.said => return None,
            None => {
                self.said = true;
                Step::Bear
            }
        };
        Some(Verdict { percent, step })
    }

    fn hottest(&self) -> Option<&'static str> {
        let left = OPTIONAL.iter().filter(|hook| !self.shed.contains(*hook));
        let costs = left.map(|hook| (self.mean(|of| of == *hook), *hook));
        let costly = costs.filter(|(percent, _)| *percent > 0.0);
        // Of equals the first.
        let hottest = costly.reduce(|most, next| if next.0 > most.0 { next } else { most });
        hottest.map(|(_, hook)| hook)
    }

    fn mean(&self, of: impl Fn(&str) -> bool) -> f64 {
        let all = self.seconds.iter().flatten();
        let sum: f64 = all
            .filter(|(hook, _)| of(hook))
            .map(|(_, percent)| percent)
            .sum();
        sum / self.seconds.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Seconds in which these hooks had these percents; programs are called as their hook.
    fn feed(limit: &mut Limit, seconds: usize, rows: &[(&'static str, u64)]) -> Vec<Step> {
        let programs: BTreeMap<_, _> = rows
            .iter()
            .map(|(hook, percent)| ((*hook).to_owned(), percent * SECOND / 100))
            .collect();
        let hook_of = |name: &str| rows.iter().find(|row| row.0 == name).map(|row| row.0);
        let steps = (0..seconds).filter_map(|_| limit.second(SECOND, &programs, hook_of));
        steps.map(|verdict| verdict.step).collect()
    }

    #[test]
    fn the_hottest_optional_hook_goes_first_and_others_only_if_need_be() {
        let mut limit = Limit::new(5.0);
        let rows = [
            ("invalidate", 2),
            ("dirty", 3),
            ("cached", 7),
            ("extent-lock", 2),
        ];
        assert_eq!(feed(&mut limit, 2, &rows), []);
        assert_eq!(feed(&mut limit, 1, &rows), [Step::Shed("cached")]);
        // Still too much: three more seconds, then the next.
        let rows = [("invalidate", 2), ("dirty", 3), ("extent-lock", 2)];
        assert_eq!(feed(&mut limit, 2, &rows), []);
        assert_eq!(feed(&mut limit, 1, &rows), [Step::Shed("dirty")]);
        let rows = [("invalidate", 2), ("extent-lock", 2)];
        assert_eq!(feed(&mut limit, 50, &rows), []);
    }

    #[test]
    fn the_failures_are_never_shed() {
        let mut limit = Limit::new(1.0);
        let rows = [("invalidate", 20), ("dio", 30), ("release", 9)];
        assert_eq!(feed(&mut limit, 30, &rows), [Step::Bear]);
    }

    #[test]
    fn a_burst_is_borne() {
        let mut limit = Limit::new(10.0);
        for _ in 0..20 {
            assert_eq!(feed(&mut limit, 1, &[("dirty", 25)]), []);
            assert_eq!(feed(&mut limit, 2, &[("dirty", 1)]), []);
        }
    }

    #[test]
    fn of_equals_the_lock_goes_first() {
        let mut limit = Limit::new(1.0);
        let rows = [("cached", 4), ("extent-lock", 4), ("ordered", 4)];
        assert_eq!(feed(&mut limit, 3, &rows), [Step::Shed("extent-lock")]);
    }
}
