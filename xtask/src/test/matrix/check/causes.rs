//! How many failures have a cause, and how sure it is.

use super::super::log::Case;
use std::collections::BTreeMap;
use std::fmt;

/// Of a hundred failures of the phase `map`, so many must be exact where that is asked for.
const EXACT_MAP: u64 = 75;

/// The failures of a run in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Causes {
    /// By phase.
    pub phases: BTreeMap<String, u64>,
    /// By cause.
    pub causes: BTreeMap<String, u64>,
    /// By reason, of those without a cause.
    pub unknown: BTreeMap<String, u64>,
    /// By cause and reason, of those that have one but are not exact.
    pub window: BTreeMap<String, u64>,
    /// By what was special about them.
    pub flags: BTreeMap<String, u64>,
    /// Number of exact ones.
    pub exact: u64,
    /// Those of them that are of the phase `map`.
    pub exact_map: u64,
    /// All.
    pub all: u64,
}

impl Causes {
    /// Counts.
    pub fn new(cases: &[&Case]) -> Self {
        let mut sum = Self::default();
        for case in cases {
            let verdict = &case.verdict;
            let reason = verdict.reason.as_deref().unwrap_or("no reason given");
            sum.all += 1;
            *sum.phases.entry(case.failure.phase.clone()).or_default() += 1;
            *sum.causes.entry(verdict.cause.clone()).or_default() += 1;
            for flag in &case.failure.flags {
                *sum.flags.entry(flag.clone()).or_default() += 1;
            }
            if verdict.cause == "unknown" {
                *sum.unknown.entry(reason.to_owned()).or_default() += 1;
            } else if case.exact() {
                sum.exact += 1;
                sum.exact_map += u64::from(case.failure.phase == "map");
            } else {
                let what = format!("{}: {reason}", verdict.cause);
                *sum.window.entry(what).or_default() += 1;
            }
        }
        sum
    }

    /// Failures of a phase.
    pub fn phase(&self, name: &str) -> u64 {
        self.phases.get(name).copied().unwrap_or(0)
    }

    /// Failures with a cause.
    pub fn known(&self) -> u64 {
        self.all - self.causes.get("unknown").copied().unwrap_or(0)
    }

    /// What is wrong when at least so many of a hundred must have a cause.
    pub fn wrong(&self, known: u64) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(number) = self.causes.get("writeback-error") {
            wrong.push(format!(
                "{number} writeback-error, though no write-back failed"
            ));
        }
        if self.known() * 100 < known * self.all {
            let reasons = listed(&self.unknown);
            let share = Share(self.known(), self.all);
            wrong.push(format!("only {share} have a cause; {reasons}"));
        }
        wrong
    }

    /// What is missing when at least so many of a hundred must be exact; of those where the kernel
    /// found folios again while it mapped the range, fewer: when two brought some back, nothing says
    /// whose it met. The share of a single run is a matter of chance, too.
    pub fn inexact(&self, exact: u64) -> Vec<String> {
        let mut missing = Vec::new();
        let map = self.phase("map");
        let refused = (self.exact - self.exact_map, self.all - map);
        let met = (self.exact_map, map);
        for (exact, (part, all)) in [(exact, refused), (EXACT_MAP, met)] {
            // One of a few is no share.
            if (part + 1) * 100 < exact * all {
                let reasons = listed(&self.window);
                let share = Share(part, all);
                missing.push(format!("only {share} of {all} are exact; {reasons}"));
            }
        }
        missing
    }
}

/// A share of a hundred, rounded down to tenths.
pub struct Share(pub u64, pub u64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (part, all) = (self.0, self.1);
        let Some(tenths) = (part * 1000).checked_div(all) else {
            return f.write_str("-");
        };
        match tenths {
            1000 => f.write_str("100 %"),
            _ => write!(f, "{}.{} %", tenths / 10, tenths % 10),
        }
    }
}

/// `12 x, 3 y`, the most frequent ones first.
pub fn listed(counts: &BTreeMap<String, u64>) -> String {
    let mut all: Vec<_> = counts.iter().collect();
    all.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
    let words: Vec<_> = all.iter().map(|(what, n)| format!("{n} {what}")).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::super::log::Verdict;
    use super::*;

    fn case(cause: &str, confidence: &str) -> Case {
        Case {
            verdict: Verdict {
                cause: cause.to_owned(),
                confidence: confidence.to_owned(),
                ..Verdict::default()
            },
            ..Case::default()
        }
    }

    #[test]
    fn shares_are_demanded() {
        let exact = case("redirtied", "exact");
        let window = case("ordered-io", "window");
        let unknown = case("unknown", "none");
        let causes = Causes::new(&[&exact, &exact, &window, &unknown]);
        assert_eq!((causes.all, causes.known(), causes.exact), (4, 3, 2));
        assert!(causes.wrong(75).is_empty() && causes.inexact(50).is_empty());
        let wrong = [causes.wrong(76), causes.inexact(76)].concat();
        assert_eq!(
            wrong,
            [
                "only 75.0 % have a cause; 1 no reason given",
                "only 50.0 % of 4 are exact; 1 ordered-io: no reason given"
            ]
        );
        let mut map = window.clone();
        map.failure.phase = "map".to_owned();
        let causes = Causes::new(&[&exact, &map, &exact]);
        assert!(causes.wrong(99).is_empty() && causes.inexact(99).is_empty());
        let causes = Causes::new(&[&exact, &map, &map]);
        assert_eq!((causes.wrong(99).len(), causes.inexact(99).len()), (0, 1));
        let none = Causes::default();
        assert!(none.wrong(100).is_empty() && none.inexact(100).is_empty());
        let flush = case("writeback-error", "exact");
        assert_eq!(Causes::new(&[&flush]).wrong(98).len(), 1);
        assert_eq!(Share(0, 0).to_string(), "-");
        assert_eq!(Share(999, 1000).to_string(), "99.9 %");
    }
}
