//! One failure with the records that follow it.

use std::sync::Arc;

use super::Cause;
use super::fetch::fetch;
use super::folio::AFTER_THE_LOOK_NS;
use super::held::Held;
use super::index::{Place, Question};
use super::losses::Hooks;
use crate::event::{
    Buffers, Dev, Failure, HolderKind, Outcome, OutcomeKind, Phase, Refusal, Touched,
};

/// Which inode, as a key: btrfs repeats inode numbers across subvolumes.
pub type InodeKey = (Dev, u64, u64);

/// How long a case waits for holders that have not ended, or for a better witness.
pub const GRACE_NS: u64 = 2_000_000_000;

/// How long an invalidation before submission may take, of a write whose begin was not seen.
const BEGIN_UNSEEN_NS: u64 = 1_000_000;

/// For how long an unlock of a large range, with many states in it, can be under way.
pub const UNLOCK_LINGERS_NS: u64 = 50_000_000;

/// A task that sets an error can be preempted in the middle of it: for 3 ms on a busy machine.
const JUST_BEFORE_NS: u64 = 20_000_000;

/// `SEEN` flag of an `errseq_t` (lib/errseq.c).
const ERRSEQ_SEEN: u32 = 1 << 12;

/// So many records of a failure are looked through for one that has come before.
const LOOKED_THROUGH: usize = 1024;
/// So many locks of a case are looked at: locks of a byte exclude each other, so more than a few
/// in force at one moment need a folio of many pages, each locked by itself.
const LOCKS: usize = 1024;
/// So many are fetched: there are seldom more.
const FETCHED: usize = 4;

/// What counts of a refusal: cases wait by the thousands, and the names of flags are long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folio {
    pub ts_ns: u64,
    pub entered_ns: Option<u64>,
    /// Index and number in pages.
    pub index: u64,
    pub pages: u32,
    pub dirty: bool,
    pub writeback: bool,
    /// Whoever keeps its buffer heads: the journal, or somebody else.
    pub buffers: Option<Cause>,
}

impl Folio {
    fn of(refusal: &Refusal) -> Self {
        let (mut dirty, mut writeback, mut checked) = (false, false, false);
        for flag in &refusal.folio_flags {
            match flag.as_str() {
                "dirty" => dirty = true,
                "writeback" => writeback = true,
                "checked" => checked = true,
                _ => {}
            }
        }
        Self {
            ts_ns: refusal.ts_ns,
            entered_ns: refusal.entered_ns,
            index: refusal.index,
            pages: refusal.pages,
            dirty,
            writeback,
            buffers: refusal.buffers.as_ref().and_then(|b| kept_by(b, checked)),
        }
    }
}

/// ext4 and jbd2: what keeps buffer heads from being freed (fs/buffer.c `drop_buffers`).
fn kept_by(buffers: &Buffers, checked: bool) -> Option<Cause> {
    let has = |bit: &str| buffers.state.iter().any(|b| b == bit);
    if checked || has("jbd") {
        return Some(Cause::Journal);
    }
    (buffers.busy > 0 || has("dirty") || has("lock")).then_some(Cause::Buffers)
}

/// A failure and its evidence.
#[derive(Debug)]
pub struct Case {
    pub failure: Box<Failure>,
    pub records: Records,
    pub outcome: Option<Outcome>,
    /// Some of its locks were not looked at.
    pub cut: bool,
}

/// The records of a failure, and what was found about them. Reused for the memory in it.
#[derive(Debug, Default)]
pub struct Records {
    pub refusals: Vec<Folio>,
    pub dirtied: Vec<Touched>,
    pub cached: Vec<Touched>,
    /// Locks that can have been in force when one of the folios was refused or found, or shortly
    /// before.
    pub held: Vec<Arc<Held>>,
    /// The folios that ask who held them.
    pub questions: Vec<Question>,
    /// Where in the index the folios are that ask who held them.
    pub places: Vec<Place>,
}

impl Records {
    /// The memory of it, for another failure.
    pub fn emptied(mut self) -> Self {
        self.refusals.clear();
        self.dirtied.clear();
        self.cached.clear();
        self.held.clear();
        self.questions.clear();
        self.places.clear();
        self
    }
}

/// Adds a record that the failure announced; one that equals another has come twice, and counts
/// once.
fn add<T: PartialEq>(to: &mut Vec<T>, record: T, announced: u32) {
    let mut before = to.iter().rev().take(LOOKED_THROUGH);
    if to.len() < announced as usize && !before.any(|other| *other == record) {
        to.push(record);
    }
}

impl Case {
    pub fn new(failure: Box<Failure>, records: Records) -> Self {
        Self {
            failure,
            records,
            outcome: None,
            cut: false,
        }
    }

    /// Its records will be wanted soon.
    pub fn fetch(&self) {
        let records = &self.records;
        fetch(&raw const *self.failure);
        fetch(records.refusals.as_ptr());
        fetch(records.dirtied.as_ptr());
        fetch(records.cached.as_ptr());
        fetch(records.held.as_ptr());
        fetch(records.questions.as_ptr());
        fetch(records.places.as_ptr());
    }

    /// So will its locks; where they are has come by now.
    pub fn fetch_locks(&self) {
        for held in self.records.held.iter().take(FETCHED) {
            fetch(Arc::as_ptr(held));
        }
    }

    pub fn refused(&mut self, refusal: &Refusal) {
        let folio = Folio::of(refusal);
        add(&mut self.records.refusals, folio, self.failure.refusals);
    }

    pub fn dirtied(&mut self, touched: Touched) {
        add(&mut self.records.dirtied, touched, self.failure.dirtied);
    }

    pub fn cached(&mut self, touched: Touched) {
        add(&mut self.records.cached, touched, self.failure.cached);
    }

    /// Whether every record that the failure announced has come.
    pub fn whole(&self) -> bool {
        self.outcome.is_some() && self.absent().is_empty()
    }

    /// Hooks of records that the failure announced, but that have not come.
    pub fn absent(&self) -> Hooks {
        let (failure, records) = (&self.failure, &self.records);
        let rows = [
            (records.refusals.len(), failure.refusals, Hooks::RELEASE),
            (records.dirtied.len(), failure.dirtied, Hooks::DIRTY),
            (records.cached.len(), failure.cached, Hooks::CACHED),
        ];
        let mut absent = Hooks::NONE;
        for (came, announced, hook) in rows {
            if came < announced as usize {
                absent = absent.and(hook);
            }
        }
        absent
    }

    /// Takes a lock that can have been in force; whether it is new.
    pub fn take(&mut self, held: &Arc<Held>) -> bool {
        let locks = &mut self.records.held;
        let known = locks.iter().rev().any(|other| Arc::ptr_eq(other, held));
        if known || held.start_ns > self.failure.ts_ns {
            return false;
        }
        if locks.len() == LOCKS {
            self.cut = true;
            return false;
        }
        locks.push(Arc::clone(held));
        true
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

    /// When all that it tells of had been seen: the folios, which are looked at a little later, too.
    pub fn seen(&self) -> u64 {
        let looked = self.records.refusals.iter().map(|refusal| refusal.ts_ns);
        looked.fold(self.failure.ts_ns, u64::max).min(self.graced())
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
        self.errno().is_some() || self.refusal_seen()
    }

    /// The refusal of a folio was seen, and not only what was left afterwards.
    pub fn refusal_seen(&self) -> bool {
        self.records.refusals.iter().any(|r| r.entered_ns.is_some())
    }

    /// A post failure that is certain, and not only inferred from `wb_err` and what is cached.
    pub fn certain(&self) -> bool {
        self.failure.phase == Phase::Post && (self.errno().is_some() || self.return_unseen())
    }

    /// A post failure of which `wb_err` is the only witness.
    pub fn lonely(&self) -> bool {
        self.failure.phase == Phase::Post && self.records.refusals.is_empty() && !self.certain()
    }

    /// Whether the write itself forced the write-back that an ordered extent completes; nothing is
    /// said of other holders.
    pub fn made_by_writer(&self, held: &Held) -> Option<bool> {
        (held.kind == HolderKind::OrderedIo).then(|| {
            held.created_by(self.failure.tid)
                && held.created_ns.is_some_and(|ns| self.spans(ns.get()))
        })
    }

    /// The writer made the ordered extent, and whether this write did is not known.
    pub fn maker_unsure(&self, held: &Held) -> bool {
        held.kind == HolderKind::OrderedIo
            && held.created_by(self.failure.tid)
            && self.failure.duration_ns == 0
    }

    /// So late in the write that the kernel may have looked before.
    pub fn late(&self, ts_ns: u64) -> bool {
        ts_ns > self.failure.ts_ns.saturating_sub(AFTER_THE_LOOK_NS)
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

    pub fn outcome_kind(&self) -> OutcomeKind {
        self.outcome
            .as_ref()
            .map_or(OutcomeKind::Unknown, |outcome| outcome.outcome)
    }
}
