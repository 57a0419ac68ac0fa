//! One failure with the records that follow it.

use super::folio::{AFTER_THE_LOOK_NS, overlaps};
use crate::event::{
    Dev, Failure, Holder, HolderKind, Outcome, OutcomeKind, Phase, Refusal, Touched,
};

/// Which inode, as a key: btrfs repeats inode numbers across subvolumes.
pub type InodeKey = (Dev, u64, u64);

/// How long a case waits for holders that have not ended, or for a better witness.
pub const GRACE_NS: u64 = 2_000_000_000;

/// Between the event of an unlock and the unlock itself, with a wide margin: a task can be
/// interrupted there.
pub const UNLOCK_TAKES_NS: u64 = 1_000_000;

/// How long an invalidation before submission may take, of a write whose begin was not seen.
const BEGIN_UNSEEN_NS: u64 = 1_000_000;

/// For how long an unlock of a large range, with many states in it, can be under way.
pub const UNLOCK_LINGERS_NS: u64 = 50_000_000;

/// A task that sets an error can be preempted in the middle of it.
const JUST_BEFORE_NS: u64 = 1_000_000;

/// `SEEN` flag of an `errseq_t` (lib/errseq.c).
const ERRSEQ_SEEN: u32 = 1 << 12;

/// A failure and its evidence.
#[derive(Debug)]
pub struct Case {
    pub failure: Failure,
    pub refusals: Vec<Refusal>,
    pub dirtied: Vec<Touched>,
    pub cached: Vec<Touched>,
    pub outcome: Option<Outcome>,
    /// Holders of the inode that overlap a refused folio in range and the write in time.
    pub holders: Vec<Holder>,
    /// Every record up to this moment has come, when the case is decided.
    pub complete_ns: u64,
}

impl Case {
    pub fn new(failure: Failure) -> Self {
        Self {
            failure,
            refusals: Vec::new(),
            dirtied: Vec::new(),
            cached: Vec::new(),
            outcome: None,
            holders: Vec::new(),
            complete_ns: 0,
        }
    }

    /// Whether every record that the failure announced has come.
    pub fn whole(&self) -> bool {
        let failure = &self.failure;
        self.outcome.is_some()
            && self.refusals.len() >= failure.refusals as usize
            && self.dirtied.len() >= failure.dirtied as usize
            && self.cached.len() >= failure.cached as usize
    }

    pub fn inode(&self) -> InodeKey {
        (
            self.failure.dev,
            self.failure.root.unwrap_or(0),
            self.failure.ino,
        )
    }

    /// When the direct write began; the failure itself when that was not seen.
    pub fn begin_ns(&self) -> u64 {
        self.failure.ts_ns.saturating_sub(self.failure.duration_ns)
    }

    /// Since when holders count: where the begin of the write was not seen, from shortly before the
    /// failure on.
    pub fn held_since(&self) -> u64 {
        match self.failure.duration_ns {
            0 => self.failure.ts_ns.saturating_sub(BEGIN_UNSEEN_NS),
            _ => self.begin_ns(),
        }
    }

    /// Whether `ts_ns` lies between the begin of the write and the failure.
    pub fn spans(&self, ts_ns: u64) -> bool {
        self.failure.duration_ns != 0 && self.begin_ns() <= ts_ns && ts_ns <= self.failure.ts_ns
    }

    /// When it no longer waits, whatever is missing.
    pub fn graced(&self) -> u64 {
        self.failure.ts_ns.saturating_add(GRACE_NS)
    }

    /// What the invalidation returned, where that was seen.
    pub fn errno(&self) -> Option<i32> {
        self.failure.errno.filter(|errno| *errno < 0)
    }

    /// The plan sees results, but not this one.
    pub fn return_unseen(&self) -> bool {
        self.errno().is_none() && self.flagged("return-unseen")
    }

    /// An invalidation took place, and failed: its result or a refusal inside it was seen.
    pub fn tried(&self) -> bool {
        self.errno().is_some() || self.refusals.iter().any(|r| r.entered_ns.is_some())
    }

    /// A post failure that is certain, and not only inferred from `wb_err` and what is cached.
    pub fn certain(&self) -> bool {
        self.failure.phase == Phase::Post && (self.errno().is_some() || self.return_unseen())
    }

    /// A post failure of which `wb_err` is the only witness.
    pub fn lonely(&self) -> bool {
        self.failure.phase == Phase::Post && self.refusals.is_empty() && !self.certain()
    }

    /// Whether the write itself forced the write-back that an ordered extent completes; nothing is
    /// said of other holders.
    pub fn made_by_writer(&self, holder: &Holder) -> Option<bool> {
        (holder.kind == HolderKind::OrderedIo).then(|| {
            holder.created_by == Some(self.failure.tid)
                && holder.created_ns.is_some_and(|ns| self.spans(ns))
        })
    }

    /// So late in the write that the kernel may have looked before.
    pub fn late(&self, ts_ns: u64) -> bool {
        ts_ns > self.failure.ts_ns.saturating_sub(AFTER_THE_LOOK_NS)
    }

    /// Takes a holder if it overlaps a refused folio (which can be larger than the write) in range,
    /// and the write in time. What can still have been held when a release was asked for counts,
    /// even where the begin of the write was not seen.
    pub fn offer(&mut self, holder: &Holder, page_size: u64) -> bool {
        let overlaps = self.refusals.iter().any(|r| overlaps(holder, r, page_size));
        let asked = self.refusals.iter().filter_map(|r| r.entered_ns);
        let asked = asked.map(|ns| ns.saturating_sub(UNLOCK_LINGERS_NS));
        let since = asked.fold(self.held_since(), u64::min);
        let during = holder.start_ns <= self.failure.ts_ns && since <= holder.end_ns;
        if overlaps && during {
            self.holders.push(holder.clone());
        }
        overlaps && during
    }

    pub fn flagged(&self, flag: &str) -> bool {
        self.failure.flags.iter().any(|f| f == flag)
    }

    /// `wb_err` changed between the begin of the write and the failure, whoever saw it.
    pub fn wb_err_changed(&self) -> bool {
        (self.failure.wb_err_begin ^ self.failure.wb_err_now) & !ERRSEQ_SEEN != 0
    }

    /// A real write-back error came during the write: it sets `wb_err`, too.
    pub fn write_back_failed(&self) -> bool {
        self.failure.wb_error_ns.is_some_and(|ts| self.spans(ts))
    }

    /// A real write-back error came just before the write. `mapping_set_error()` marks `wb_err`
    /// first and the mapping's flags after: a write that begins in between sees no flag, and its
    /// flush returns the error all the same.
    pub fn write_back_failed_before(&self) -> bool {
        let begin = self.begin_ns();
        let before = begin.saturating_sub(JUST_BEFORE_NS)..begin;
        let error = self.failure.wb_error_ns;
        self.failure.duration_ns != 0 && error.is_some_and(|ts| before.contains(&ts))
    }

    /// A failed invalidation changed `wb_err` during the write, as far as one can know.
    pub fn changed_wb_err(&self) -> bool {
        self.wb_err_changed() && !self.write_back_failed()
    }

    /// Whether this case saw `wb_err` at this value.
    pub fn sees_wb_err(&self, wb_err: u32) -> bool {
        (self.failure.wb_err_now ^ wb_err) & !ERRSEQ_SEEN == 0
    }

    pub fn outcome_kind(&self) -> OutcomeKind {
        self.outcome
            .as_ref()
            .map_or(OutcomeKind::Unknown, |outcome| outcome.outcome)
    }
}

/// Key of the inode that a holder held.
pub fn inode_of(holder: &Holder) -> InodeKey {
    (holder.dev, holder.root.unwrap_or(0), holder.ino)
}
