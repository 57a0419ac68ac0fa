//! A column: what a run of the schedule amounts to.

use std::collections::BTreeMap;
use std::io;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::invariant::{self, Violation};
use super::record::{Kind, Record};
use super::runner::Ran;
use super::schedule::{Role, Schedule};
use super::target::Column;
use super::traced::Traced;
use super::verify::{Findings, verify};
use crate::reference::direct::Route;
use crate::workload::tally::errno_name;

/// Significant digits of latencies.
const DIGITS: u8 = 3;

/// Latency of direct writes in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them took no longer.
    pub p50_ns: u64,
    /// 99 of a hundred took no longer.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

impl Latency {
    fn of(records: &[&Record]) -> Self {
        // 0 is no size of a histogram that can fail, and one that grows records everything.
        let Ok(mut histogram) = Histogram::<u64>::new(DIGITS) else {
            return Self::default();
        };
        for record in records {
            // It grows with its values; one that it cannot hold would be of centuries.
            let _ = histogram.record(record.end_ns.saturating_sub(record.begin_ns));
        }
        if histogram.is_empty() {
            return Self::default();
        }
        Self {
            p50_ns: histogram.value_at_quantile(0.5),
            p99_ns: histogram.value_at_quantile(0.99),
            max_ns: histogram.max(),
        }
    }
}

/// Direct writes of a column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Direct {
    /// Writes.
    pub writes: u64,
    /// Bytes acknowledged.
    pub bytes: u64,
    /// Writes that were cut short.
    pub short: u64,
    /// Writes that met a page that could not be dropped, before they were made. For the kernel
    /// see [`Traced`].
    pub pre: Option<u64>,
    /// Writes made directly after which a page was cached: it may be stale.
    pub post: Option<u64>,
    /// Writes that went through the page cache, in part at least.
    pub buffered: Option<u64>,
    /// Failed writes by errno name.
    pub errors: BTreeMap<String, u64>,
    /// MiB that direct writers wrote in a second.
    pub mib_per_s: f64,
    /// Latency.
    pub latency: Latency,
}

/// Calls that all other threads made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Others {
    /// Writes through the page cache, or stores.
    pub writes: u64,
    /// Reads.
    pub reads: u64,
    /// Failed ones of both by errno name.
    pub errors: BTreeMap<String, u64>,
    /// Calls of fsync and msync, the direct writers' and the runner's own among them.
    pub fsyncs: u64,
    /// Failed ones of these by errno name.
    pub fsync_errors: BTreeMap<String, u64>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnReport {
    /// Which.
    pub column: Column,
    /// Filesystem type.
    pub fs: String,
    /// How long the threads ran, in seconds.
    pub seconds: f64,
    /// Direct writes.
    pub direct: Direct,
    /// Everything else.
    pub others: Others,
    /// What the data says.
    pub data: Findings,
    /// Invariants that did not hold.
    pub violations: Vec<Violation>,
    /// What the tracer saw (kernel only, and only where one could be attached).
    pub traced: Option<Traced>,
    /// What is not known of this column, and why.
    pub notes: Vec<String>,
    /// Results and ways of the direct writes in order: of a serial run only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<i64>,
}

impl ColumnReport {
    /// Judges a run.
    pub fn new(column: Column, schedule: &Schedule, ran: &Ran) -> Self {
        let seconds = ran.elapsed.as_secs_f64();
        let data = verify(&ran.evidence());
        let mut violations = invariant::concurrent(column, schedule, &ran.records, &data);
        let mut results = Vec::new();
        if schedule.serial {
            violations.extend(invariant::serial(column, &ran.records, &data));
            results = direct_writes(&ran.records).map(|r| r.result).collect();
        }
        Self {
            column,
            fs: ran.file.fs.clone(),
            seconds: (seconds * 1000.0).round() / 1000.0,
            direct: direct(column, &ran.records, seconds),
            others: others(&ran.records),
            data,
            violations,
            traced: None,
            notes: Vec::new(),
            results,
        }
    }
}

fn direct_writes(records: &[Record]) -> impl Iterator<Item = &Record> {
    records
        .iter()
        .filter(|r| r.kind == Kind::Write && r.role == Some(Role::DirectWriter))
}

fn direct(column: Column, records: &[Record], seconds: f64) -> Direct {
    let writes: Vec<_> = direct_writes(records).collect();
    let done = |record: &&&Record| record.result >= 0;
    let bytes: u64 = writes.iter().map(|r| r.result.max(0) as u64).sum();
    let known = column != Column::Kernel;
    let count = |is: fn(&Record) -> bool| {
        let number = writes.iter().filter(|record| is(record)).count();
        known.then_some(number as u64)
    };
    Direct {
        writes: writes.len() as u64,
        bytes,
        short: writes.iter().filter(done).filter(|r| !r.whole()).count() as u64,
        pre: count(|record| record.left > 0),
        post: count(|record| record.stale > 0),
        buffered: count(|r| matches!(r.route, Some(Route::Buffered | Route::Mixed))),
        errors: errors(writes.iter().copied()),
        mib_per_s: if seconds > 0.0 {
            (bytes as f64 / f64::from(1 << 20) / seconds * 10.0).round() / 10.0
        } else {
            0.0
        },
        latency: Latency::of(&writes),
    }
}

fn others(records: &[Record]) -> Others {
    let of = |kind| records.iter().filter(move |record| record.kind == kind);
    let cached = || of(Kind::Write).filter(|r| r.role != Some(Role::DirectWriter));
    Others {
        writes: cached().count() as u64,
        reads: of(Kind::Read).count() as u64,
        errors: errors(cached().chain(of(Kind::Read))),
        fsyncs: of(Kind::Fsync).count() as u64,
        fsync_errors: errors(of(Kind::Fsync)),
    }
}

fn errors<'a>(records: impl Iterator<Item = &'a Record>) -> BTreeMap<String, u64> {
    let mut errors = BTreeMap::new();
    for record in records.filter(|record| record.result < 0) {
        let errno = i32::try_from(-record.result).unwrap_or(libc::EIO);
        let name = errno_name(&io::Error::from_raw_os_error(errno));
        *errors.entry(name).or_default() += 1;
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::super::record::OpId;
    use super::*;

    #[test]
    fn latencies_and_errors_are_those_of_direct_writes() {
        let id = OpId {
            thread: 0,
            round: 0,
            op: 0,
        };
        let write = |ns: u64, result: i64| Record {
            len: 1 << 20,
            begin_ns: 1000,
            end_ns: 1000 + ns,
            result,
            ..Record::new(id, Some(Role::DirectWriter), Kind::Write, None)
        };
        let mut records: Vec<_> = (1..=100).map(|us| write(us * 1000, 1 << 20)).collect();
        records.push(write(1_000_000, -28));
        let direct = direct(Column::Kernel, &records, 10.0);
        assert_eq!(
            (direct.writes, direct.pre, direct.buffered),
            (101, None, None)
        );
        assert_eq!(direct.errors["ENOSPC"], 1);
        assert!((direct.mib_per_s - 10.0).abs() < 0.01);
        let latency = direct.latency;
        assert!((50_000..52_000).contains(&latency.p50_ns), "{latency:?}");
        assert!(
            latency.p99_ns >= 99_000 && latency.max_ns >= 999_000,
            "{latency:?}"
        );
        assert_eq!(Latency::of(&[]), Latency::default());
    }
}
