//! Which writes were acknowledged: by their return, or by a later fsync.

use std::collections::BTreeMap;

use super::record::{Kind, Record};
use super::schedule::Role;

/// The fsyncs of a run, by descriptor.
#[derive(Debug, Default)]
pub(super) struct Fsyncs {
    /// Each thread has a descriptor of its own; its calls follow each other.
    by_descriptor: BTreeMap<u32, Vec<Call>>,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    begin_ns: u64,
    end_ns: u64,
    ok: bool,
}

impl Fsyncs {
    /// Those among `records`, which are in order by thread.
    pub(super) fn of(records: &[Record]) -> Self {
        let mut by_descriptor: BTreeMap<u32, Vec<Call>> = BTreeMap::new();
        for record in records.iter().filter(|r| r.kind == Kind::Fsync) {
            by_descriptor
                .entry(record.id.thread)
                .or_default()
                .push(Call {
                    begin_ns: record.begin_ns,
                    end_ns: record.end_ns,
                    ok: record.result >= 0,
                });
        }
        for calls in by_descriptor.values_mut() {
            calls.sort_unstable_by_key(|call| call.begin_ns);
        }
        Self { by_descriptor }
    }

    /// Whether an fsync says that `write` is on disk: one on any descriptor that began after the
    /// write, succeeded, and came after no call on that descriptor that failed since the write began
    /// (a descriptor reports an error once, so the error may have been about this write).
    pub(super) fn cover(&self, write: &Record) -> bool {
        self.by_descriptor.values().any(|calls| {
            let first = calls.partition_point(|call| call.begin_ns < write.end_ns);
            let Some(after) = calls[first..].first() else {
                return false;
            };
            let meanwhile = calls[..first].iter().rev();
            let mut meanwhile = meanwhile.take_while(|call| call.end_ns > write.begin_ns);
            after.ok && meanwhile.all(|call| call.ok)
        })
    }

    /// Whether `write` was acknowledged, as far as it says itself that it was done. `faults`: writeback may
    /// have failed, so that a direct write that the kernel turned buffered is no safer than
    /// another buffered one.
    pub(super) fn acknowledge(&self, write: &Record, faults: bool) -> bool {
        if write.kind != Kind::Write || write.result <= 0 {
            return false;
        }
        match write.role {
            Some(Role::DirectWriter) => write.route.is_some() || !faults || self.cover(write),
            _ => self.cover(write),
        }
    }
}

/// Whether something failed that only a broken or full device makes fail, or a limit: a write or a
/// read with an error of its own, or the last fsync.
pub(super) fn faults(records: &[Record]) -> bool {
    let own = |record: &&Record| match record.kind {
        Kind::Fsync => false,
        Kind::Write | Kind::Read => {
            record.result < 0
                && ![-libc::EBUSY, -libc::EINTR]
                    .map(i64::from)
                    .contains(&record.result)
        }
    };
    let settled = records.iter().rfind(|record| record.role.is_none());
    records.iter().any(|record| own(&record)) || settled.is_some_and(|last| last.result < 0)
}

#[cfg(test)]
mod tests {
    use super::super::record::OpId;
    use super::*;

    fn record(thread: u32, kind: Kind, begin_ns: u64, end_ns: u64, result: i64) -> Record {
        let id = OpId {
            thread,
            round: 0,
            op: 0,
        };
        Record {
            begin_ns,
            end_ns,
            result,
            pos: 0,
            len: 4096,
            ..Record::new(id, Some(Role::BufferedWriter), kind, None)
        }
    }

    #[test]
    fn a_later_success_on_a_descriptor_that_saw_no_error_acknowledges() {
        let write = record(0, Kind::Write, 10, 20, 4096);
        let covered = |calls: &[(u32, u64, u64, i64)]| {
            let calls: Vec<_> = calls
                .iter()
                .map(|(fd, begin, end, ret)| record(*fd, Kind::Fsync, *begin, *end, *ret))
                .collect();
            Fsyncs::of(&calls).acknowledge(&write, false)
        };
        assert!(!covered(&[]));
        assert!(covered(&[(0, 20, 30, 0)]));
        assert!(!covered(&[(0, 19, 30, 0)]), "it may have begun too early");
        assert!(!covered(&[(0, 20, 30, -5), (0, 40, 50, 0)]), "told of once");
        assert!(!covered(&[(0, 5, 15, -5), (0, 40, 50, 0)]));
        assert!(covered(&[(0, 5, 9, -5), (0, 40, 50, 0)]));
        assert!(covered(&[(0, 20, 30, -5), (1, 40, 50, 0)]), "another");
    }

    #[test]
    fn a_direct_write_needs_no_fsync_unless_the_device_fails() {
        let mut write = record(0, Kind::Write, 10, 20, 4096);
        write.role = Some(Role::DirectWriter);
        assert!(Fsyncs::default().acknowledge(&write, false));
        assert!(!Fsyncs::default().acknowledge(&write, true));
        write.result = -16;
        assert!(!faults(&[write]));
        assert!(!Fsyncs::default().acknowledge(&write, false));
        write.result = -5;
        assert!(faults(&[write]));
    }
}
