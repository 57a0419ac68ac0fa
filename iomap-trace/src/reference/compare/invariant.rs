//! What must hold whatever the threads did meanwhile.
//!
//! - What was acknowledged is not lost, in no column but `warn`, if all writes are whole pages: a smaller
//!   one makes the kernel write back what was in the rest of its page, and then an older
//!   neighbour can go over a newer direct write.
//! - The page cache does not differ from the disk without anybody having been told, in no column
//!   but `warn`: by the policy's own look, by a failed fsync, by the tracer. That it differs at all is
//!   possible in every column: `strict` and the others end in a direct write of the kernel's, whose
//!   invalidation after completion can fail.
//! - No read returns what had been replaced before it began, with the same exception.
//! - No sector is torn, or nobody's.
//! - EBUSY reaches the caller under `strict` alone.
//!
//! A serial schedule has no race: there every column has exactly what was written last, and every
//! result is what the policy's rule makes of the pages it met.

use serde::{Deserialize, Serialize};

use super::record::{Kind, Record};
use super::schedule::{Role, Schedule};
use super::target::Column;
use super::verify::{Finding, Findings, Found};
use crate::reference::direct::Route;
use crate::reference::policy::EBUSY;
use crate::reference::{Next, Policy};

/// Which invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Broken {
    /// An acknowledged write is gone.
    Lost,
    /// A sector is parts of several writes.
    Torn,
    /// A sector holds what nobody wrote there.
    Foreign,
    /// The page cache is stale, and nobody was told.
    Stale,
    /// A read returned old data, and nobody was told.
    StaleRead,
    /// EBUSY reached the caller.
    Busy,
    /// Without concurrency: not what was written last.
    Serial,
    /// Without concurrency: a result that the policy's rule does not give.
    Rule,
}

impl Broken {
    /// Name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Torn => "torn",
            Self::Foreign => "foreign",
            Self::Stale => "stale",
            Self::StaleRead => "stale-read",
            Self::Busy => "busy",
            Self::Serial => "serial",
            Self::Rule => "rule",
        }
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which.
    pub broken: Broken,
    /// How often.
    pub count: u64,
    /// Where first, if it has a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Finding>,
    /// What was expected, and what was there instead, where it is no matter of data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Violation {
    fn of(broken: Broken, found: &Found) -> Option<Self> {
        (found.ranges > 0).then(|| Self {
            broken,
            count: found.ranges,
            first: found.examples.first().copied(),
            detail: None,
        })
    }
}

/// What did not hold, of a schedule of any kind.
pub(super) fn concurrent(
    column: Column,
    schedule: &Schedule,
    records: &[Record],
    data: &Findings,
) -> Vec<Violation> {
    let warn = column == Column::Policy(Policy::Warn);
    // The crudest first: it is what a smaller schedule is looked for.
    let mut broken = Vec::new();
    broken.extend(Violation::of(Broken::Foreign, &data.foreign));
    broken.extend(Violation::of(Broken::Torn, &data.torn));
    if schedule.whole_pages() && !warn {
        broken.extend(Violation::of(Broken::Lost, &data.lost));
        if !told(records) {
            broken.extend(Violation::of(Broken::Stale, &data.stale));
            broken.extend(Violation::of(Broken::StaleRead, &data.stale_reads));
        }
    }
    if column != Column::Policy(Policy::Strict) {
        let busy = |record: &&Record| record.result == i64::from(EBUSY);
        let count = records.iter().filter(busy).count() as u64;
        if count > 0 {
            broken.push(Violation {
                broken: Broken::Busy,
                count,
                first: None,
                detail: Some(format!("{count} calls returned EBUSY")),
            });
        }
    }
    broken
}

/// Somebody was told that the page cache may be stale.
fn told(records: &[Record]) -> bool {
    let failed = |record: &Record| record.kind == Kind::Fsync && record.result < 0;
    records
        .iter()
        .any(|record| record.stale > 0 || failed(record))
}

/// What did not hold beside that without concurrency.
pub(super) fn serial(column: Column, records: &[Record], data: &Findings) -> Vec<Violation> {
    let mut broken = Vec::new();
    for found in [
        &data.stale,
        &data.lost,
        &data.neighbour,
        &data.mixed,
        &data.stale_reads,
    ] {
        broken.extend(Violation::of(Broken::Serial, found));
    }
    let against: Vec<_> = records
        .iter()
        .filter(|r| r.kind == Kind::Write && r.role == Some(Role::DirectWriter))
        .filter(|record| !by_rule(column, record))
        .collect();
    if let Some(first) = against.first() {
        broken.push(Violation {
            broken: Broken::Rule,
            count: against.len() as u64,
            first: None,
            detail: Some(format!(
                "operation {} met {} cached pages, returned {} and went {:?}",
                first.id.op, first.left, first.result, first.route
            )),
        });
    }
    broken
}

/// Whether a direct write did what the policy's rule makes of the pages that it met. A fault is no
/// matter of rules.
fn by_rule(column: Column, record: &Record) -> bool {
    let fault = record.result < 0 && record.result != i64::from(EBUSY);
    let Column::Policy(policy) = column else {
        return fault || record.whole();
    };
    let next = match record.left {
        0 => Next::GoOn,
        _ => policy.after_invalidation(EBUSY),
    };
    let route = record.route;
    fault
        || match next {
            Next::GoOn => record.whole() && route == Some(Route::Direct),
            Next::Buffered => record.whole() && route == Some(Route::Buffered),
            Next::Fail(errno) => record.result == i64::from(errno) && route == Some(Route::None),
        }
}

#[cfg(test)]
mod tests {
    use super::super::generate::Mix;
    use super::super::record::{Content, OpId};
    use super::*;

    fn write(left: u64, result: i64, route: Route) -> Record {
        let id = OpId {
            thread: 0,
            round: 0,
            op: 0,
        };
        Record {
            len: 4096,
            left,
            result,
            route: Some(route),
            ..Record::new(id, Some(Role::DirectWriter), Kind::Write, None)
        }
    }

    fn found() -> Found {
        let mut found = Found::default();
        found.add(Finding {
            pos: 0,
            len: 512,
            has: Content::Initial,
            instead_of: None,
            read: None,
        });
        found
    }

    #[test]
    fn rules_are_the_policys() {
        let of = Column::Policy;
        let busy = EBUSY.into();
        for policy in Policy::ALL {
            assert!(by_rule(of(policy), &write(0, 4096, Route::Direct)));
            assert!(!by_rule(of(policy), &write(0, 512, Route::Direct)));
            assert!(!by_rule(of(policy), &write(0, 4096, Route::Buffered)));
            assert!(by_rule(of(policy), &write(1, -28, Route::None)), "a fault");
        }
        assert!(by_rule(of(Policy::Warn), &write(3, 4096, Route::Direct)));
        assert!(by_rule(
            of(Policy::Fallback),
            &write(3, 4096, Route::Buffered)
        ));
        assert!(!by_rule(
            of(Policy::Fallback),
            &write(3, 4096, Route::Direct)
        ));
        assert!(by_rule(of(Policy::Strict), &write(3, busy, Route::None)));
        assert!(!by_rule(of(Policy::Generic), &write(3, busy, Route::None)));
        assert!(!by_rule(Column::Kernel, &write(0, busy, Route::None)));
    }

    #[test]
    fn stale_is_broken_where_nobody_was_told() {
        let schedule = Mix::default().schedule(1).unwrap();
        let data = Findings {
            stale: found(),
            lost: found(),
            ..Findings::default()
        };
        let of = |column, records: &[Record]| -> Vec<_> {
            let broken = concurrent(column, &schedule, records, &data);
            broken.iter().map(|violation| violation.broken).collect()
        };
        let quiet = [write(0, 4096, Route::Direct)];
        let mut told = quiet;
        told[0].stale = 1;
        assert_eq!(of(Column::Kernel, &quiet), [Broken::Lost, Broken::Stale]);
        assert_eq!(of(Column::Kernel, &told), [Broken::Lost]);
        assert_eq!(of(Column::Policy(Policy::Warn), &quiet), []);
        let busy = [write(1, EBUSY.into(), Route::None)];
        assert!(of(Column::Policy(Policy::Enotblk), &busy).contains(&Broken::Busy));
        assert!(!of(Column::Policy(Policy::Strict), &busy).contains(&Broken::Busy));
    }
}
