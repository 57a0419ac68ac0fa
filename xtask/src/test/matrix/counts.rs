//! The kernel's count of failed invalidations against what the event log has of them.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fmt;

/// The figures of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Events that the kernel counted.
    pub kernel: u64,
    /// Failures before submission in the log.
    pub pre: u64,
    /// Runs of the program for that event that the kernel left out.
    pub missed: u64,
    /// Records of failures, of any phase, that found the ring buffer full.
    pub lost: u64,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kernel, self.pre)?;
        for (number, word) in [(self.missed, "missed"), (self.lost, "lost")] {
            if number > 0 {
                write!(f, "+{number} {word}")?;
            }
        }
        Ok(())
    }
}

/// Counts in a log and in the statistics of the kernel's own trace, and compares the two.
///
/// # Errors
/// When they disagree, or one of the two cannot be read.
pub fn count(log: &str, stats: &str) -> Result<Count> {
    let mut count = Count {
        kernel: events(stats)?,
        ..Count::default()
    };
    let mut end = None;
    for line in log.lines() {
        let record: Value = serde_json::from_str(line).context("the log has a line of no JSON")?;
        if record["type"] == "failure" && record["phase"] == "pre" {
            count.pre += 1;
        } else if record["type"] == "end" {
            end = Some(record);
        }
    }
    let end = end.context("the log has no end")?;
    let counter = |name: &str| end["counters"][name].as_u64();
    count.lost = counter("failure.lost").context("the log does not say what was lost")?;
    // Old kernels leave none out, and do not say so.
    count.missed = counter("invalidate_fail.missed").unwrap_or(0);
    // What was lost can be of another phase.
    let least = count.pre + count.missed;
    ensure!(
        (least..=least + count.lost).contains(&count.kernel),
        "the kernel counted {} failures, the log has {}, {} were missed, {} lost",
        count.kernel,
        count.pre,
        count.missed,
        count.lost
    );
    Ok(count)
}

/// The events in the `stats` of all CPUs, those included for which the trace had no room.
fn events(stats: &str) -> Result<u64> {
    let counted = ["entries", "overrun", "commit overrun", "dropped events"];
    let mut sum = None;
    for (key, number) in stats.lines().filter_map(|line| line.split_once(':')) {
        if counted.contains(&key) {
            let number: u64 = number.trim().parse().context("the kernel's count")?;
            sum = Some(sum.unwrap_or(0) + number);
        }
    }
    sum.context("the kernel counted nothing: it has no such trace")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATS: &str = "entries: 2\noverrun: 0\ncommit overrun: 0\nbytes: 96\n\
        oldest event ts:     1.5\nnow ts:     2.0\ndropped events: 0\nread events: 0\n\
        entries: 1\noverrun: 0\ncommit overrun: 0\ndropped events: 0\n";

    fn log(pre: usize, counters: &str) -> String {
        let mut log = String::from("{\"type\":\"start\"}\n");
        log.push_str("{\"type\":\"failure\",\"phase\":\"post\"}\n");
        log.push_str(&"{\"type\":\"failure\",\"phase\":\"pre\"}\n".repeat(pre));
        log.push_str(&format!(
            "{{\"type\":\"end\",\"counters\":{{{counters}}}}}\n"
        ));
        log
    }

    #[test]
    fn every_event_is_accounted_for() {
        let whole = count(&log(3, r#""failure.lost":0"#), STATS).unwrap();
        assert_eq!(whole.to_string(), "3=3");
        let counters = r#""failure.lost":0,"invalidate_fail.missed":1,"page_cached.missed":9"#;
        let missed = count(&log(2, counters), STATS).unwrap();
        assert_eq!(missed.to_string(), "3=2+1 missed");
        let error = count(&log(2, r#""failure.lost":0"#), STATS).unwrap_err();
        assert!(error.to_string().starts_with("the kernel counted 3"));
        assert!(count(&log(4, r#""failure.lost":0"#), STATS).is_err());
    }

    #[test]
    fn what_was_lost_can_be_of_another_phase() {
        for pre in 1..=3 {
            assert!(count(&log(pre, r#""failure.lost":2"#), STATS).is_ok());
        }
        assert!(count(&log(0, r#""failure.lost":2"#), STATS).is_err());
    }

    #[test]
    fn nothing_is_no_account() {
        assert!(count(&log(0, ""), STATS).is_err());
        assert!(count("{\"type\":\"start\"}\n", STATS).is_err());
        assert!(count(&log(0, r#""failure.lost":0"#), "").is_err());
        let overrun = events("entries: 1\noverrun: 4\ndropped events: 2\n");
        assert_eq!(overrun.unwrap(), 7);
    }
}
