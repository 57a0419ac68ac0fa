//! The records between `start` and `end`.

use serde::{Deserialize, Serialize};

use super::Text;
use super::dev::Dev;
use super::filesystem::FileRecord;
use super::start::{End, Start};

/// A record of the event log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// First record.
    Start(Box<Start>),
    /// A failed invalidation. Its [`Failure::refusals`] refusals, [`Failure::dirtied`] and
    /// [`Failure::cached`] records and its outcome follow it directly.
    Failure(Box<Failure>),
    /// A folio that was still in the page cache.
    Refusal(Refusal),
    /// Who dirtied such a folio last.
    Dirtied(Touched),
    /// Who put such a folio into the page cache last.
    Cached(Touched),
    /// What became of the write.
    Outcome(Outcome),
    /// What a file with failures is like. It bears on no verdict.
    File(Box<FileRecord>),
    /// Who held a file range, and when.
    Holder(Box<Holder>),
    /// Evidence that was lost.
    Loss(Loss),
    /// Every record of an earlier time has been seen, as far as one can know.
    Mark(Mark),
    /// Last record.
    End(Box<End>),
}

/// When the page cache was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// By the invalidation before submission: the write turns buffered.
    Pre,
    /// While the filesystem mapped the range (btrfs): the write turns buffered without an event.
    Map,
    /// By the invalidation after completion: the page cache may be stale.
    Post,
}

/// What kind of worker a task was, if it was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Worker {
    /// A kernel thread, for example of the loop driver.
    Kernel,
    /// An io_uring worker of the process.
    IoUring,
}

/// One failed invalidation (or, in phase `map`, a folio met under the extent lock).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Number in this log, from 1.
    pub id: u64,
    /// When the failure was seen, nanoseconds since boot.
    pub ts_ns: u64,
    /// How long before that the direct write began; 0 when that was not seen.
    pub duration_ns: u64,
    /// Phase.
    pub phase: Phase,
    /// Process of the writer.
    pub pid: u32,
    /// Thread of the writer.
    pub tid: u32,
    /// Command name of the writer.
    pub comm: Text,
    /// What kind of worker the writer was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Worker>,
    /// Thread that saw the failure, if it was not the writer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_by: Option<u32>,
    /// cgroup v2 id of the writer.
    pub cgroup: u64,
    /// Device of the super block (as in mountinfo).
    pub dev: Dev,
    /// Inode number.
    pub ino: u64,
    /// btrfs: id of the subvolume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<u64>,
    /// Filesystem type.
    pub fs: Text,
    /// Path, when one could be found. Bytes that are not UTF-8 are written `\xHH`, and then a
    /// backslash `\\`, with `path-escaped` among the flags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// First byte of the range.
    pub pos: u64,
    /// Length in bytes.
    pub len: u64,
    /// File size in bytes.
    pub size: u64,
    /// Result of the invalidation, negative errno; absent where no probe can see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// `mapping.wb_err` when the write began.
    pub wb_err_begin: u32,
    /// `mapping.wb_err` when the failure was seen.
    pub wb_err_now: u32,
    /// Last real write-back error on the file, if one was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wb_error_ns: Option<u64>,
    /// Number of `refusal` records that follow.
    pub refusals: u32,
    /// Number of `dirtied` records that follow.
    pub dirtied: u32,
    /// Number of `cached` records that follow.
    pub cached: u32,
    /// What could not be read, and what was special: `no-begin`, `identity`, `root`, `walk`,
    /// `walk-cut`, `wb-err`, `folio`, `atomic`, `eio-before`, `path-escaped`, `unlinked`,
    /// `return-unseen` (the plan sees results, but not this one), `refusals-cut`.
    pub flags: Vec<Text>,
    /// Kernel stack, innermost first, `function+0xoffset`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stack: Vec<String>,
}

/// State of the buffer heads of a folio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buffers {
    /// Names of the state bits that any of them had.
    pub state: Vec<Text>,
    /// How many had a reference.
    pub busy: u32,
}

/// One folio that was still in the page cache when the failure was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// [`Failure::id`].
    pub failure: u64,
    /// When it was looked at; with [`Refusal::entered_ns`], when its release was refused.
    pub ts_ns: u64,
    /// When the kernel was asked to release it, if that was seen: the refusal was decided between
    /// this moment and `ts_ns`. Absent for a folio that a walk of the page cache found afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entered_ns: Option<u64>,
    /// Index in pages.
    pub index: u64,
    /// Number of pages.
    pub pages: u32,
    /// Names of the folio's flags; `private` says that it had private data.
    pub folio_flags: Vec<Text>,
    /// Buffer heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffers: Option<Buffers>,
}

/// How a task came to the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Through a mapping: a page fault, or a system call that stored into the mapping.
    Mmap,
    /// Through a buffered write (`dirtied`).
    Buffered,
    /// Through a read (`cached`).
    Read,
    /// In an io_uring worker.
    IoUring,
    /// In a kernel thread.
    Kernel,
    /// Not known.
    Unknown,
}

/// Who touched a refused folio last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// [`Failure::id`].
    pub failure: u64,
    /// Index of the folio in pages.
    pub index: u64,
    /// When, nanoseconds since boot.
    pub ts_ns: u64,
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Command name.
    pub comm: Text,
    /// How.
    pub how: How,
}

/// Kind of a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HolderKind {
    /// Completion of an ordered extent.
    OrderedIo,
    /// Another lock in the extent io tree.
    ExtentLock,
}

/// An interval in which a task held a file range locked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// Number in this log, from 1, counted apart from failures.
    pub id: u64,
    /// Kind.
    pub kind: HolderKind,
    /// Device of the super block.
    pub dev: Dev,
    /// Inode number.
    pub ino: u64,
    /// btrfs: id of the subvolume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<u64>,
    /// First byte.
    pub pos: u64,
    /// Length in bytes.
    pub len: u64,
    /// When the work began, or the lock was asked for.
    pub start_ns: u64,
    /// When the range was locked (its last attempt); absent when it never was (NOCOW).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_ns: Option<u64>,
    /// When it was unlocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlocked_ns: Option<u64>,
    /// When the work ended.
    pub end_ns: u64,
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Command name.
    pub comm: Text,
    /// Thread that gave the lock up, where it is not the one that took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlocked_by: Option<u32>,
    /// When the ordered extent was made, if that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_ns: Option<u64>,
    /// Thread that made the ordered extent: the one that forced the write-back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<u32>,
    /// Kernel function that took the lock, if its caller could be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<Text>,
    /// `btrfs_ordered_extent.flags`, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ordered_flags: Vec<Text>,
    /// Return addresses above the lock, innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stack: Vec<String>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// It was done through the page cache instead. Harmless, but not direct.
    BufferedFallback,
    /// It is on disk, and the page cache may hold something older; the next fsync returns EIO.
    StaleCache,
    /// It was refused.
    Error,
    /// Not known.
    Unknown,
}

/// Outcome of the failed write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// [`Failure::id`].
    pub failure: u64,
    /// Outcome.
    pub outcome: OutcomeKind,
    /// Result of the direct write where it was seen: bytes, or a negative errno.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ret: Option<i64>,
}

/// A moment up to which records are complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Nanoseconds since boot.
    pub ts_ns: u64,
}

/// Ends the name of a loss that is none of a moment: the hook was shed, see [`shed_counter`].
const SHED: &str = ".shed";

/// The name that a hook has among losses from the moment on at which it was detached to keep to
/// `--max-overhead`.
pub fn shed_counter(hook: &str) -> String {
    format!("{hook}{SHED}")
}

/// The name that a hook has among losses as long as it waits for the first failure (`--standby`).
pub fn standby_counter(hook: &str) -> String {
    format!("{hook}.standby")
}

/// The hook of a name by [`shed_counter`].
pub fn shed_hook(counter: &str) -> Option<&str> {
    counter.strip_suffix(SHED)
}

/// Evidence of a hook that was lost between two moments. It precedes the first [`Mark`] at or after
/// [`Loss::ts_ns`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Hook, as in [`super::HookReport::hook`].
    pub hook: Text,
    /// What was lost, by the name that it has among [`super::End::losses`].
    pub counter: Text,
    /// How often; an upper bound where a second program may have seen it.
    pub count: u64,
    /// Not before this moment, nanoseconds since boot.
    pub since_ns: u64,
    /// Not after this one.
    pub ts_ns: u64,
}
