//! The maps: what is in flight, who touched which page, who holds which range. All are bounded.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, LruHashMap, PerCpuArray, RingBuf};
use iomap_trace_ebpf::{
    Actor, COUNTER_NAMES, FailureRecord, HolderRecord, LOCK_STACK, MAX_STACK, RefusalRecord,
};

/// [`Dio::stage`]: before submission, in a filesystem on iomap.
pub const STAGE_SUBMIT: u32 = 0;
/// [`Dio::stage`]: in `generic_file_direct_write`.
pub const STAGE_GENERIC: u32 = 1;
/// [`Dio::stage`]: in the invalidation after completion.
pub const STAGE_POST: u32 = 2;
/// [`Dio::stage`]: completed without a byte written.
pub const STAGE_EMPTY: u32 = 3;

/// A direct write between its begin and its completion.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Dio {
    pub kiocb: u64,
    pub mapping: u64,
    pub pos: u64,
    pub count: u64,
    pub cgroup: u64,
    pub mapping_flags: u64,
    /// The iterator, which shrinks as the data is written; 0 where the begin was not seen. Once a
    /// write is `queued`, it may be gone.
    pub iter: u64,
    /// The `iomap_dio` of a write that completes, where it is known. A generic write has none, and
    /// the iterator here: no other write's completion is taken for its own.
    pub iomap_dio: u64,
    /// When the invalidation that runs began (kprobes only), 0 outside.
    pub invalidating_ns: u64,
    /// The folio whose release was asked for last (kprobes only), and when.
    pub asked: u64,
    pub asked_ns: u64,
    /// The folio that was refused last.
    pub refused: u64,
    pub writer: Actor,
    pub ki_flags: u32,
    pub wb_err: u32,
    /// `STAGE_*`.
    pub stage: u32,
    /// 1 when the failure of the invalidation that runs has been reported.
    pub told: u32,
    /// Refusals of that invalidation.
    pub refusals: u32,
    /// 1 when the completion may run elsewhere.
    pub queued: u32,
    pub faults: u32,
    /// 1 when `writer` and `cgroup` are filled in.
    pub named: u32,
}

/// What is remembered of an inode that sees direct writes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct InodeState {
    /// The memory of an inode is used again: by these two it is known to be the same.
    pub ino: u64,
    pub generation: u64,
    /// What happened to its pages before is about another file.
    pub since_ns: u64,
    pub wb_error_ns: u64,
    /// Last `wb_err` that a failure has reported.
    pub wb_reported: u32,
    /// 1 when a process of `exec` wrote or dirtied it.
    pub ours: u32,
    /// Next slot in its ring of [`RECENT`].
    pub next_recent: u32,
    /// 0 when nothing was cached at the begin of the last direct write, and nothing came since.
    pub cached: u32,
    /// The last failure or refusal: a holder is evidence if it lies in its interval.
    pub failed_ns: u64,
    /// When that was found last.
    pub bare_ns: u64,
    /// Its ring of [`RECENT`], below [`RINGS`].
    pub ring: u64,
}

impl InodeState {
    /// Whether who locks a range of it has to be followed. Where nothing is cached nothing can be
    /// refused: a folio that comes into a locked range is locked itself, or not up to date, until
    /// the range is unlocked. What has failed once is followed always: whoever was in the way then
    /// may still hold his lock when the cache is empty again.
    #[inline(always)]
    pub fn is_followed(&self) -> bool {
        self.cached == 1 || self.failed_ns != 0
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct PageKey {
    pub mapping: u64,
    pub index: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct PageState {
    pub added: Actor,
    pub dirtied: Actor,
}

/// A lock is followed by tree, start and the task that asked for it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LockKey {
    pub tree: u64,
    pub start: u64,
    pub tid: u64,
}

/// Which lock: where there is one of its kind, the oldest holds and the others wait.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LockPlace {
    pub tree: u64,
    pub start: u64,
}

/// The last attempt of a task to lock.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Attempt {
    pub tree: u64,
    pub start: u64,
    pub len: u64,
    /// Bytes at the front that it gave back before it waited.
    pub gave: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct LockState {
    pub holder: Actor,
    pub locked_ns: u64,
    pub len: u64,
    pub stack_len: u64,
    pub stack: [u64; LOCK_STACK],
}

/// A lock of a task that only itself gives up.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slot {
    /// 0 when the slot is free.
    pub tree: u64,
    pub start: u64,
    pub state: LockState,
}

/// What a task does. Entries stay: an insertion costs several times what a look-up does.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Task {
    pub dio: Dio,
    pub attempt: Attempt,
    pub ordered: OrderedState,
    pub slots: [Slot; 2],
}

/// An ordered extent whose completion runs on this task.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct OrderedState {
    /// 0 when there is none.
    pub extent: u64,
    pub work: u64,
    pub mapping: u64,
    pub pos: u64,
    pub len: u64,
    pub flags: u64,
    pub locked_ns: u64,
    pub unlocked_ns: u64,
    /// Bytes at the front that are held since an earlier attempt, and since when (5.10).
    pub front: u64,
    pub front_locked_ns: u64,
    pub creator: Creator,
    pub worker: Actor,
}

/// Who made an ordered extent.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Creator {
    /// 0 when that was not seen.
    pub ts_ns: u64,
    pub tid: u32,
    pub pad: u32,
}

/// An ended holder that is kept for a while.
#[repr(C)]
pub struct Recent {
    /// Whose it is: inodes share rings when there are more of them than rings.
    pub mapping: u64,
    pub record: HolderRecord,
}

/// How many ended holders are kept for each inode.
pub const RECENT_SLOTS: u32 = 16;
/// How many rings of so many slots there are.
pub const RINGS: u32 = 256;

/// What a thread is about to invalidate, for when that fails.
#[repr(C)]
pub struct Noted {
    pub kiocb: u64,
    pub len: u64,
    pub tid: u64,
}

/// Threads of which that is known at a time. Two may share a slot: then the later one has it.
pub const NOTED_SLOTS: u32 = 1024;

/// Which task began the last release on a CPU, and when.
#[repr(C)]
pub struct Stamp {
    pub task: u64,
    pub ts_ns: u64,
}

/// Where a walk is, and the folios that it found.
#[repr(C)]
pub struct WalkBuffer {
    pub index: u64,
    /// The node to look into, 0 for the head of the tree.
    pub node: u64,
    pub root: u64,
    pub found: u64,
    /// Slots of the node that were read at once.
    pub slots: [u64; 8],
    /// The first of them that matters, the number of those that matter after it, and the index at
    /// which the walk was.
    pub slot: u64,
    pub more: u64,
    pub begin: u64,
    pub shift: u64,
    /// 1 when there was no room for a folio.
    pub full: u64,
    /// Not 0 when a folio's buffers are looked at.
    pub has_buffers: u64,
    /// What touched a page before that is about another file.
    pub since_ns: u64,
    pub folios: [u64; 32],
}

/// Programs that build a record in scratch memory of their own. One program does not interrupt
/// itself on a CPU, but another may.
#[derive(Clone, Copy)]
pub enum Scratch {
    Invalidate = 0,
    Complete = 1,
    Returned = 2,
    StaleWarn = 3,
}

/// Programs that tell of a write which they did not see begin, as [`Scratch`].
#[derive(Clone, Copy)]
pub enum FailedDio {
    Invalidate = 0,
    StaleWarn = 1,
}

/// As [`Scratch`], for holders.
#[derive(Clone, Copy)]
pub enum HolderScratch {
    Unlock = 0,
    WorkDone = 1,
    UnlockSpare = 2,
}

impl HolderScratch {
    /// Of the programs that tell refusals: they come after the others.
    pub const fn of(scratch: RefusalScratch) -> u32 {
        3 + scratch as u32
    }
}

/// As [`Scratch`], for refusals.
#[derive(Clone, Copy)]
pub enum RefusalScratch {
    Any = 0,
    Btrfs = 1,
    Spare = 2,
}

#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);
#[map]
pub static COUNTERS: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(COUNTER_NAMES.len() as u32, 0);
#[map]
pub static FAILURE: PerCpuArray<FailureRecord> = PerCpuArray::with_max_entries(4, 0);
#[map]
pub static WALK: PerCpuArray<WalkBuffer> = PerCpuArray::with_max_entries(4, 0);
#[map]
pub static STAMP: PerCpuArray<Stamp> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub static REFUSAL: PerCpuArray<RefusalRecord> = PerCpuArray::with_max_entries(3, 0);
#[map]
pub static HOLDER: PerCpuArray<HolderRecord> = PerCpuArray::with_max_entries(6, 0);
/// The write of a failure while it is told, by [`FailedDio`]. In a map it is unknown to the verifier,
/// whatever is known of it: it looks at the walk that follows less often.
#[map]
pub static FAILED_DIO: PerCpuArray<Dio> = PerCpuArray::with_max_entries(2, 0);
/// 1 when direct writes are to be followed; user space says so. Asked in standby only.
#[map]
pub static AWAKE: Array<u64> = Array::with_max_entries(1, 0);
/// 1 as soon as the begin of any direct write was seen; known in standby only.
#[map]
pub static FOLLOWED: Array<u64> = Array::with_max_entries(1, 0);
/// By thread, modulo its size; written in standby only.
#[map]
pub static NOTED: Array<Noted> = Array::with_max_entries(NOTED_SLOTS, 0);
#[map]
pub static DIO_BY_KIOCB: LruHashMap<u64, Dio> = LruHashMap::with_max_entries(16384, 0);
#[map]
pub static INODES: LruHashMap<u64, InodeState> = LruHashMap::with_max_entries(4096, 0);
#[map]
pub static PAGES: LruHashMap<PageKey, PageState> = LruHashMap::with_max_entries(32768, 0);
#[map]
pub static LOCKS: LruHashMap<LockKey, LockState> = LruHashMap::with_max_entries(4096, 0);
#[map]
pub static LOCKED_AT: LruHashMap<LockPlace, u64> = LruHashMap::with_max_entries(4096, 0);
#[map]
pub static TASKS: LruHashMap<u32, Task> = LruHashMap::with_max_entries(8192, 0);
/// A [`Task`] of zeros, which is too large for the stack.
#[map]
pub static NO_TASK: Array<Task> = Array::with_max_entries(1, 0);
#[map]
pub static CREATORS: LruHashMap<u64, Creator> = LruHashMap::with_max_entries(4096, 0);
#[map]
pub static ENTRY_STACKS: LruHashMap<u32, [u64; MAX_STACK]> = LruHashMap::with_max_entries(1024, 0);
/// An array: a look-up in it costs a tenth of one in a hash table.
#[map]
pub static RECENT: Array<Recent> = Array::with_max_entries(RINGS * RECENT_SLOTS, 0);
/// How many rings were given to inodes.
#[map]
pub static RINGS_GIVEN: Array<u64> = Array::with_max_entries(1, 0);
