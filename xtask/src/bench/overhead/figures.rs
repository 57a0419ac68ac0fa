//! What the guests and this machine have told.

use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// What one guest has counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// Instructions a write, by filesystem, configuration and workload.
    per_write: BTreeMap<(String, String, String), f64>,
    /// Failures that a plan has seen, by filesystem and plan.
    failures: BTreeMap<(String, String), u64>,
}

impl Counts {
    /// Reads what the script in the guest prints.
    ///
    /// # Errors
    /// When a line is not as it should be.
    pub fn read(text: &str) -> Result<Self> {
        let mut counts = Self::default();
        for line in text.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let unknown = || format!("a line of the guest is not understood: {line}");
            let [filesystem, config, workload, writes, instructions, ..] = words[..] else {
                anyhow::bail!(unknown());
            };
            let writes: u64 = writes.parse().with_context(unknown)?;
            let instructions: u64 = instructions.parse().with_context(unknown)?;
            if config == "failures" {
                let at = (filesystem.to_owned(), workload.to_owned());
                counts.failures.insert(at, writes);
                continue;
            }
            let at = [filesystem, config, workload].map(str::to_owned);
            let per_write = instructions as f64 / writes.max(1) as f64;
            counts.per_write.insert(at.into(), per_write);
        }
        Ok(counts)
    }

    /// Instructions of a write without any tracer.
    pub fn plain(&self, filesystem: &str, workload: &str) -> Option<f64> {
        self.get(filesystem, "none", workload)
    }

    /// Instructions that a configuration adds to a write.
    pub fn added(&self, filesystem: &str, config: &str, workload: &str) -> Option<f64> {
        let with = self.get(filesystem, config, workload)?;
        Some(with - self.plain(filesystem, workload)?)
    }

    /// Failures that a plan has seen in all workloads of a filesystem.
    pub fn failures(&self, filesystem: &str, plan: &str) -> Option<u64> {
        let at = (filesystem.to_owned(), plan.to_owned());
        self.failures.get(&at).copied()
    }

    fn get(&self, filesystem: &str, config: &str, workload: &str) -> Option<f64> {
        let at = [filesystem, config, workload].map(str::to_owned);
        self.per_write.get(&at.into()).copied()
    }
}

/// The median, and the quartiles around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// A quarter lies below.
    pub low: f64,
    /// Half lies below.
    pub median: f64,
    /// A quarter lies above.
    pub high: f64,
}

impl Spread {
    /// Of some values; `None` of none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let at = |part: usize| {
            values
                .get((values.len().checked_sub(1)?) * part / 4)
                .copied()
        };
        Some(Self {
            low: at(1)?,
            median: at(2)?,
            high: at(3)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_told_by_write() {
        let text = "btrfs none direct-none 100 1000 9\nbtrfs fexit direct-none 100 1500\n\
            btrfs failures fexit 7 0\n";
        let counts = Counts::read(text).unwrap();
        let close = |one: Option<f64>, other: f64| (one.unwrap() - other).abs() < 1e-9;
        assert!(close(counts.plain("btrfs", "direct-none"), 10.0));
        assert!(close(counts.added("btrfs", "fexit", "direct-none"), 5.0));
        assert_eq!(counts.added("btrfs", "kprobe", "direct-none"), None);
        assert_eq!(counts.failures("btrfs", "fexit"), Some(7));
        assert_eq!(counts.failures("xfs", "fexit"), None);
    }

    #[test]
    fn other_lines_are_errors() {
        for line in ["btrfs none direct-none 1", "btrfs none direct-none x 1"] {
            assert!(Counts::read(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_spread_is_that_of_the_sorted_values() {
        let spread = Spread::of(vec![5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!((spread.low, spread.median, spread.high), (2.0, 3.0, 4.0));
        let one = Spread::of(vec![1.5]).unwrap();
        assert_eq!((one.low, one.high), (1.5, 1.5));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
