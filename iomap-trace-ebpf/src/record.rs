//! The records in the ring buffer. All times are `CLOCK_BOOTTIME` nanoseconds.

use crate::ABI_VERSION;
use core::mem::offset_of;

/// At most this many folios are described in one [`FailureRecord`].
pub const MAX_FOLIOS: usize = 32;
/// At most this many return addresses in a stack.
pub const MAX_STACK: usize = 16;
/// At most this many return addresses above a lock.
pub const LOCK_STACK: usize = 8;

/// Kind of a record: [`FailureRecord`].
pub const RECORD_FAILURE: u16 = 1;
/// Kind of a record: [`HolderRecord`].
pub const RECORD_HOLDER: u16 = 2;
/// Kind of a record: [`RefusalRecord`].
pub const RECORD_REFUSAL: u16 = 3;
/// At most this many refusals are sent for one invalidation.
pub const MAX_REFUSALS: u32 = 32;

/// Phase of a failure: the invalidation before submission.
pub const PHASE_PRE: u32 = 1;
/// Phase of a failure: a folio was found again while the filesystem mapped the range (btrfs).
pub const PHASE_MAP: u32 = 2;
/// Phase of a failure: the invalidation after completion.
pub const PHASE_POST: u32 = 3;

/// Holder: completion of an ordered extent (`btrfs_finish_ordered_io`).
pub const HOLDER_ORDERED_IO: u32 = 1;
/// Holder: another lock in the inode's extent io tree.
pub const HOLDER_EXTENT_LOCK: u32 = 2;

/// The direct write was not seen to begin: its writer is the current task, its start unknown.
pub const FAULT_NO_BEGIN: u32 = 1 << 0;
/// The inode's number, device or filesystem could not be read.
pub const FAULT_IDENTITY: u32 = 1 << 1;
/// The btrfs root (subvolume) could not be read.
pub const FAULT_ROOT: u32 = 1 << 2;
/// The page cache could not be walked.
pub const FAULT_WALK: u32 = 1 << 3;
/// The walk met a limit: there may be more folios.
pub const FAULT_WALK_CUT: u32 = 1 << 4;
/// `wb_err` could not be read.
pub const FAULT_WB_ERR: u32 = 1 << 5;
/// A kernel read inside a folio failed.
pub const FAULT_FOLIO: u32 = 1 << 6;

/// The invalidation's own result was not seen: its return was missed, or it was not tried.
pub const FAULT_RETURN_UNSEEN: u32 = 1 << 7;
/// There were more refusals than [`MAX_REFUSALS`].
pub const FAULT_REFUSALS_CUT: u32 = 1 << 8;

/// [`FolioEntry::present`]: `added` is known.
pub const FOLIO_ADDED: u32 = 1 << 0;
/// [`FolioEntry::present`]: `dirtied` is known.
pub const FOLIO_DIRTIED: u32 = 1 << 1;
/// [`FolioEntry::present`]: the folio has private data.
pub const FOLIO_PRIVATE: u32 = 1 << 2;
/// [`FolioEntry::present`]: the buffer heads were read.
pub const FOLIO_BUFFERS: u32 = 1 << 3;

/// [`Actor::syscall`]: the task was in a page fault or another exception.
pub const SYSCALL_FAULT: i32 = -1;
/// [`Actor::syscall`]: not known.
pub const SYSCALL_UNKNOWN: i32 = i32::MIN;

/// A task, what it was doing, and when.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// When.
    pub ts_ns: u64,
    /// Process id.
    pub tgid: u32,
    /// Thread id.
    pub tid: u32,
    /// Command name, zero-padded.
    pub comm: [u8; 16],
    /// `task_struct.flags`.
    pub task_flags: u32,
    /// System call number, [`SYSCALL_FAULT`] or [`SYSCALL_UNKNOWN`].
    pub syscall: i32,
}

/// One folio that was still in the page cache.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FolioEntry {
    /// Index in pages.
    pub index: u64,
    /// `folio.flags`, raw.
    pub flags: u64,
    /// Buffer heads: their `b_state`, or-ed.
    pub bh_state: u64,
    /// Number of pages.
    pub pages: u32,
    /// Buffer heads: how many have a reference.
    pub bh_busy: u32,
    /// `FOLIO_*` bits.
    pub present: u32,
    /// Zero.
    pub pad: u32,
    /// Who put it into the page cache last.
    pub added: Actor,
    /// Who turned it from clean to dirty last.
    pub dirtied: Actor,
}

/// Head of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// [`ABI_VERSION`].
    pub abi: u16,
    /// `RECORD_*`.
    pub kind: u16,
    /// Length of the record in bytes.
    pub len: u32,
}

impl Header {
    /// The head of a record of this ABI.
    pub const fn new(kind: u16, len: u32) -> Self {
        Self {
            abi: ABI_VERSION,
            kind,
            len,
        }
    }
}

/// Which inode.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Inode number.
    pub ino: u64,
    /// btrfs: id of the subvolume's root; 0 elsewhere.
    pub root: u64,
    /// `s_dev`: `major << 20 | minor`.
    pub dev: u32,
    /// What `stat(2)` gives: btrfs has one device number for each subvolume.
    pub stat_dev: u32,
    /// `s_magic`.
    pub magic: u64,
    /// Name of the filesystem type, zero-padded.
    pub fs: [u8; 16],
}

/// A failed invalidation, or a direct write that met the page cache all the same.
///
/// Only the first [`FailureRecord::folios`] of `folio` are sent.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FailureRecord {
    /// Head.
    pub head: Header,
    /// When the probe ran.
    pub ts_ns: u64,
    /// Who wrote: the task that submitted, when it began, and its system call.
    pub writer: Actor,
    /// cgroup v2 id of the writer.
    pub cgroup: u64,
    /// Which inode.
    pub inode: Identity,
    /// First byte of the range.
    pub pos: u64,
    /// Length of the range in bytes.
    pub len: u64,
    /// File size in bytes.
    pub size: u64,
    /// Result of `iomap_dio_complete` (post and map).
    pub ret: i64,
    /// Last real write-back error on the mapping (`filemap_set_wb_err`), 0 if none was seen.
    pub wb_error_ns: u64,
    /// `mapping.flags` when the write began.
    pub mapping_flags: u64,
    /// The page cache, as an address: refusals of the same one belong to this failure.
    pub mapping: u64,
    /// `PHASE_*`.
    pub phase: u32,
    /// `FAULT_*` bits.
    pub faults: u32,
    /// `kiocb.ki_flags`.
    pub ki_flags: u32,
    /// `mapping.wb_err` when the write began.
    pub wb_err_begin: u32,
    /// `mapping.wb_err` when the probe ran.
    pub wb_err_now: u32,
    /// Thread on which the probe ran: not the writer when a worker completes the write.
    pub current_tid: u32,
    /// Number of folios in `folio`.
    pub folios: u32,
    /// Number of return addresses in `stack`.
    pub stack_len: u32,
    /// What the invalidation returned, a negative errno; 0 when that was not seen.
    pub errno: i32,
    /// Zero.
    pub pad: u32,
    /// Return addresses, innermost first.
    pub stack: [u64; MAX_STACK],
    /// The folios that were still there.
    pub folio: [FolioEntry; MAX_FOLIOS],
}

impl FailureRecord {
    /// Bytes before the folios.
    pub const HEAD_LEN: usize = offset_of!(FailureRecord, folio);
}

/// An interval in which a task held a file range in the extent io tree.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HolderRecord {
    /// Head.
    pub head: Header,
    /// Who locked; `ts_ns` is when the lock was asked for (ordered I/O: when its work began).
    pub holder: Actor,
    /// When the last attempt to lock was seen.
    pub locked_ns: u64,
    /// When the lock was given up.
    pub unlocked_ns: u64,
    /// When the holder's work ended; equal to `unlocked_ns` for a plain lock.
    pub end_ns: u64,
    /// Which inode.
    pub inode: Identity,
    /// First byte.
    pub pos: u64,
    /// Length in bytes.
    pub len: u64,
    /// `btrfs_ordered_extent.flags`, raw; 0 for a plain lock.
    pub ordered_flags: u64,
    /// When the ordered extent was made, 0 when that was not seen.
    pub created_ns: u64,
    /// Thread that made the ordered extent, 0 when that was not seen.
    pub creator_tid: u32,
    /// Thread that gave the lock up: not the one that took it when a read completes in a worker.
    pub unlocked_tid: u32,
    /// `HOLDER_*`.
    pub kind: u32,
    /// Number of return addresses in `stack`.
    pub stack_len: u32,
    /// Return addresses above the lock, innermost first.
    pub stack: [u64; LOCK_STACK],
}

/// A folio that the kernel would not release, seen inside the invalidation that asked for it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusalRecord {
    /// Head.
    pub head: Header,
    /// When the release was refused.
    pub ts_ns: u64,
    /// When it was asked for; 0 when that was not seen.
    pub entered_ns: u64,
    /// The page cache, as an address.
    pub mapping: u64,
    /// Thread that asked.
    pub tid: u32,
    /// Zero.
    pub pad: u32,
    /// The folio as it was then, still locked.
    pub folio: FolioEntry,
}

const _: () = {
    assert!(size_of::<Actor>() == 40 && offset_of!(Actor, syscall) == 36);
    assert!(size_of::<FolioEntry>() == 120 && offset_of!(FolioEntry, dirtied) == 80);
    assert!(size_of::<Header>() == 8);
    assert!(size_of::<Identity>() == 48 && offset_of!(Identity, fs) == 32);
    assert!(offset_of!(FailureRecord, stack) == 208);
    assert!(FailureRecord::HEAD_LEN == 336);
    assert!(size_of::<FailureRecord>() == 336 + 120 * MAX_FOLIOS);
    assert!(size_of::<HolderRecord>() == 232 && offset_of!(HolderRecord, stack) == 168);
    assert!(size_of::<RefusalRecord>() == 160 && offset_of!(RefusalRecord, folio) == 40);
};
