//! All columns of one schedule.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::column::ColumnReport;
use super::invariant::{Broken, Violation};
use super::runner::Place;
use super::schedule::{Role, Schedule};
use super::shrink::shrink;
use super::target::Column;
use super::under::{self, Tracing};
use crate::kernel::system;
use crate::reference::policy::EBUSY;

/// How often a schedule is run again, in all, to make one that fails smaller.
const SHRINK_RUNS: u32 = 120;
/// A race is not lost each time: so often a candidate may be run before it counts as not failing.
const CHANCES: u32 = 3;
/// No run of a candidate takes longer.
const SHRINK_TIME: Duration = Duration::from_secs(1);
/// After this time what has been found is small enough.
const SHRINK_ALL: Duration = Duration::from_secs(60);

/// The columns of one schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Release of the kernel.
    pub release: String,
    /// Filesystem type.
    pub fs: String,
    /// Seed of the schedule.
    pub seed: u64,
    /// Length of the file in bytes.
    pub file_size: u64,
    /// Bytes per block.
    pub block: u64,
    /// One thread did everything.
    pub serial: bool,
    /// Copy-on-write and checksums were left on (btrfs only).
    pub cow: bool,
    /// Every write covers whole pages; otherwise lost writes are told, and are no violation.
    pub whole_pages: bool,
    /// Role of each thread.
    pub threads: Vec<Role>,
    /// The columns.
    pub columns: Vec<ColumnReport>,
    /// What columns disagree about (serial runs only).
    pub disagreements: Vec<Violation>,
    /// A signal ended it early: the columns may have come to different ends.
    pub interrupted: bool,
}

impl Comparison {
    /// Runs every column, one after the other. `begun` is told of each as it begins.
    ///
    /// # Errors
    /// In one line, when a column cannot be run.
    pub fn run(
        schedule: &Schedule,
        columns: &[Column],
        place: &Place,
        tracing: Option<Tracing<'_>>,
        stop: &AtomicBool,
        begun: &mut dyn FnMut(Column),
    ) -> Result<Self> {
        let mut reports = Vec::new();
        for column in columns {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            begun(*column);
            reports.push(match column {
                Column::Kernel => under::kernel(schedule, place, tracing, stop)?,
                Column::Policy(_) => under::alone(schedule, *column, place, stop)?,
            });
        }
        Ok(Self {
            release: system::kernel_info().release,
            fs: reports.first().map(|r| r.fs.clone()).unwrap_or_default(),
            seed: schedule.seed,
            file_size: schedule.file_size,
            block: schedule.block,
            serial: schedule.serial,
            cow: schedule.cow,
            whole_pages: schedule.whole_pages(),
            threads: schedule.threads.iter().map(|t| t.role).collect(),
            disagreements: disagreements(schedule, &reports),
            columns: reports,
            interrupted: stop.load(Ordering::Relaxed),
        })
    }

    /// Whether every invariant held.
    pub fn holds(&self) -> bool {
        self.disagreements.is_empty() && self.columns.iter().all(|c| c.violations.is_empty())
    }

    /// The first column with a violation, and that.
    pub fn first_violation(&self) -> Option<(Column, &Violation)> {
        let mut columns = self.columns.iter();
        columns.find_map(|column| Some((column.column, column.violations.first()?)))
    }

    /// A column.
    pub fn column(&self, column: Column) -> Option<&ColumnReport> {
        self.columns.iter().find(|report| report.column == column)
    }
}

/// Without concurrency every column gives the same results where it met no page; `strict` differs
/// where it did. Runs that were ended by the clock are compared as far as both went.
fn disagreements(schedule: &Schedule, columns: &[ColumnReport]) -> Vec<Violation> {
    let mut broken = Vec::new();
    if !schedule.serial {
        return broken;
    }
    let Some((first, others)) = columns.split_first() else {
        return broken;
    };
    // What a policy has no rule for: the kernel writes buffered where the filesystem asks for larger
    // blocks, the reference says EINVAL.
    let busy = i64::from(EBUSY);
    let unaligned = -i64::from(libc::EINVAL);
    let excused = |ret: i64| ret == busy || (ret == unaligned && !schedule.whole_pages());
    for other in others {
        let pairs = first.results.iter().zip(&other.results);
        let differ = |(a, b): &(&i64, &i64)| a != b && !excused(**a) && !excused(**b);
        let count = pairs.clone().filter(differ).count() as u64;
        if let Some((at, (a, b))) = pairs.enumerate().find(|(_, pair)| differ(pair)) {
            broken.push(Violation {
                broken: Broken::Rule,
                count,
                first: None,
                detail: Some(format!(
                    "direct write {at} returned {a} in {} and {b} in {}",
                    first.column, other.column
                )),
            });
        }
    }
    broken
}

/// Makes a schedule smaller that breaks an invariant in a column, untraced.
pub fn minimal(
    schedule: &Schedule,
    column: Column,
    broken: Broken,
    place: &Place,
    stop: &AtomicBool,
) -> Schedule {
    let place = Place {
        dir: place.dir.clone(),
        time: Some(place.time.unwrap_or(SHRINK_TIME).min(SHRINK_TIME)),
    };
    let until = Instant::now() + SHRINK_ALL;
    let mut fails = |candidate: &Schedule| {
        (0..CHANCES).any(|_| {
            !stop.load(Ordering::Relaxed)
                && Instant::now() < until
                && under::alone(candidate, column, &place, stop)
                    .is_ok_and(|report| report.violations.iter().any(|v| v.broken == broken))
        })
    };
    shrink(schedule, SHRINK_RUNS / CHANCES, &mut fails)
}

#[cfg(test)]
mod tests {
    use super::super::generate::Mix;
    use super::*;
    use crate::reference::Policy;

    fn report(column: Column, results: &[i64]) -> ColumnReport {
        ColumnReport {
            column,
            fs: String::new(),
            seconds: 0.0,
            direct: Default::default(),
            others: Default::default(),
            data: Default::default(),
            violations: Vec::new(),
            traced: None,
            notes: Vec::new(),
            results: results.to_vec(),
        }
    }

    #[test]
    fn results_of_serial_columns_agree_but_for_what_has_a_rule() {
        let mut mix = Mix {
            serial: true,
            ..Mix::default()
        };
        let of = |mix: &Mix, results: &[i64]| {
            let kernel = report(Column::Kernel, &[4096, 512, 8192]);
            let strict = report(Column::Policy(Policy::Strict), results);
            disagreements(&mix.schedule(1).unwrap(), &[kernel, strict]).len()
        };
        assert_eq!(of(&mix, &[4096, 512, 8192]), 0);
        assert_eq!(of(&mix, &[4096]), 0, "it ended earlier");
        assert_eq!(of(&mix, &[4096, EBUSY.into(), 8192]), 0);
        assert_eq!(of(&mix, &[4096, -22, 8192]), 1);
        assert_eq!(of(&mix, &[4096, 512, 4096]), 1);
        mix.block = 512;
        assert_eq!(of(&mix, &[4096, -22, 8192]), 0);
        mix.serial = false;
        assert_eq!(of(&mix, &[1, 2, 3]), 0);
    }
}
