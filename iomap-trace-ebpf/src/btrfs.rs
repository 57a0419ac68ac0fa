//! btrfs: intervals of extent locks and of ordered-I/O completion, on inodes with direct writes.
//!
//! An interval is sent when its inode failed meanwhile. Otherwise it is kept for a while, and sent
//! when a write that had begun before its end fails.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_get_stack;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use iomap_trace_ebpf::{
    Counter, FailureRecord, HOLDER_EXTENT_LOCK, HOLDER_ORDERED_IO, Header, HolderRecord,
    LOCK_STACK, RECORD_HOLDER,
};

use crate::maps::{
    FAILED_SLOTS, HOLDER, HolderScratch, INODES, LOCKS, LockKey, LockState, ORDERED, OrderedState,
    RECENT, RECENT_SLOTS, RecentKey,
};
use crate::read::{Fault, count, member, offset, setting};
use crate::{actor, dio, emit, inode};

/// `btrfs_set_extent_bit(tree, start, len, bits)`: an attempt to lock, before it succeeds.
#[raw_tracepoint]
pub fn extent_lock(ctx: RawTracePointContext) -> i32 {
    let bits: u64 = ctx.arg::<u32>(3) as u64;
    if bits & setting!(extent_locked) == 0 {
        return 0;
    }
    let _ = lock(&ctx);
    0
}

/// `btrfs_clear_extent_bit(tree, start, len, bits)`, just before the range is unlocked.
#[raw_tracepoint]
pub fn extent_unlock(ctx: RawTracePointContext) -> i32 {
    let bits: u64 = ctx.arg::<u32>(3) as u64;
    if bits & setting!(extent_locked) == 0 {
        return 0;
    }
    let _ = unlock(&ctx);
    0
}

/// `btrfs_work_sched(work)`, just before `work->func(work)`.
#[raw_tracepoint]
pub fn work_begin(ctx: RawTracePointContext) -> i32 {
    let work: u64 = ctx.arg(0);
    let function = setting!(finish_ordered_fn);
    if function == 0 || member!(work, btrfs_work_func as u64).unwrap_or(0) != function {
        return 0;
    }
    let _ = ordered(&ctx, work);
    0
}

/// `btrfs_all_work_done(fs_info, wtag)`, just after it.
#[raw_tracepoint]
pub fn work_end(ctx: RawTracePointContext) -> i32 {
    let work: u64 = ctx.arg(1);
    let tid = actor::tid();
    let Some(state) = ORDERED.get_ptr(tid) else {
        return 0;
    };
    // SAFETY: this entry is only written by this task.
    let state = unsafe { *state };
    let _ = ORDERED.remove(tid);
    if state.work == work {
        let _ = ordered_done(&state);
    }
    0
}

/// The page cache whose io tree this is, when it is watched.
#[inline(always)]
fn watched(tree: u64) -> Result<u64, Fault> {
    if member!(tree, io_tree_owner as u8)? as u32 != setting!(io_tree_inode_io) {
        return Err(Fault);
    }
    let owner = member!(tree, io_tree_inode as u64)?;
    let mapping = if setting!(io_tree_inode_is_vfs) == 1 {
        inode::mapping_of(owner)?
    } else {
        inode::mapping_of_btrfs(owner)?
    };
    if INODES.get_ptr(mapping).is_some() {
        Ok(mapping)
    } else {
        Err(Fault)
    }
}

#[inline(always)]
fn lock(ctx: &RawTracePointContext) -> Result<(), Fault> {
    let tree: u64 = ctx.arg(0);
    let start: u64 = ctx.arg(1);
    let len: u64 = ctx.arg(2);
    let mapping = watched(tree)?;
    let now = actor::now();
    let tid = actor::tid();
    if let Some(state) = ORDERED.get_ptr_mut(tid) {
        // SAFETY: this entry is only written by this task.
        let state = unsafe { &mut *state };
        if state.mapping == mapping && state.unlocked_ns == 0 {
            state.locked_ns = now;
            return Ok(());
        }
    }
    let key = LockKey {
        tree,
        start,
        tid: tid as u64,
    };
    if let Some(state) = LOCKS.get_ptr_mut(&key) {
        // SAFETY: this entry is only written by this task.
        let state = unsafe { &mut *state };
        if state.len == len {
            // It had to wait, and tries again.
            state.locked_ns = now;
            return Ok(());
        }
    }
    let mut state = LockState {
        holder: actor::current(now),
        locked_ns: now,
        len,
        stack_len: 0,
        stack: [0; LOCK_STACK],
    };
    if failed_lately(mapping, now) {
        state.stack_len = kernel_stack(ctx, &mut state.stack) as u64;
    }
    if LOCKS.insert(&key, &state, 0).is_err() {
        count(Counter::LockMapFull);
        aya_log_ebpf::warn!(ctx, "extent lock not followed: map full");
    }
    Ok(())
}

/// Most of a lock's cost is its stack. Where nothing fails nobody asks for it: the first failure of
/// an inode has holders without the function that locked.
#[inline(always)]
fn failed_lately(mapping: u64, now: u64) -> bool {
    const LATELY_NS: u64 = 60_000_000_000;
    INODES.get_ptr(mapping).is_some_and(|state| {
        // SAFETY: a map value stays allocated.
        let state = unsafe { &*state };
        let last = state.next_failed.wrapping_sub(1) as usize & (FAILED_SLOTS - 1);
        let ts_ns = state.failed[last].ts_ns;
        ts_ns != 0 && now < ts_ns + LATELY_NS
    })
}

#[inline(always)]
fn unlock(ctx: &RawTracePointContext) -> Result<(), Fault> {
    let tree: u64 = ctx.arg(0);
    let start: u64 = ctx.arg(1);
    let len: u64 = ctx.arg(2);
    let mapping = watched(tree)?;
    let now = actor::now();
    let tid = actor::tid();
    if let Some(state) = ORDERED.get_ptr_mut(tid) {
        // SAFETY: this entry is only written by this task.
        let state = unsafe { &mut *state };
        if state.mapping == mapping {
            if state.unlocked_ns == 0 {
                state.unlocked_ns = now;
            }
            return Ok(());
        }
    }
    let key = LockKey {
        tree,
        start,
        tid: tid as u64,
    };
    let Some(state) = LOCKS.get_ptr(&key) else {
        count(Counter::UnlockUnpaired);
        return Ok(());
    };
    // SAFETY: this entry is only written by this task.
    let state = unsafe { &*state };
    if len < state.len {
        // The locker gives back the part before the range it has to wait for.
        return Ok(());
    }
    let record = HOLDER
        .get_ptr_mut(HolderScratch::Unlock as u32)
        .ok_or(Fault)?;
    // SAFETY: per-CPU memory that only this program uses.
    let record = unsafe { &mut *record };
    record.holder = state.holder;
    record.locked_ns = state.locked_ns;
    record.unlocked_ns = now;
    record.end_ns = now;
    record.pos = start;
    record.len = state.len;
    record.ordered_flags = 0;
    record.created_ns = 0;
    record.creator_tid = 0;
    record.unlocked_tid = tid;
    record.kind = HOLDER_EXTENT_LOCK;
    record.stack_len = state.stack_len as u32;
    record.stack = state.stack;
    let _ = LOCKS.remove(&key);
    tell(record, mapping);
    Ok(())
}

#[inline(always)]
fn ordered(ctx: &RawTracePointContext, work: u64) -> Result<(), Fault> {
    let work_at = offset!(ordered_work);
    if work_at == iomap_trace_ebpf::MISSING {
        return Err(Fault);
    }
    let extent = work - work_at as u64;
    let owner = member!(extent, ordered_inode as u64)?;
    let mapping = if setting!(ordered_inode_is_vfs) == 1 {
        inode::mapping_of(owner)?
    } else {
        inode::mapping_of_btrfs(owner)?
    };
    if INODES.get_ptr(mapping).is_none() {
        return Ok(());
    }
    let state = OrderedState {
        work,
        mapping,
        pos: member!(extent, ordered_file_offset as u64)?,
        len: member!(extent, ordered_num_bytes as u64)?,
        flags: member!(extent, ordered_flags as u64)?,
        locked_ns: 0,
        unlocked_ns: 0,
        worker: actor::current(actor::now()),
    };
    if ORDERED.insert(actor::tid(), &state, 0).is_err() {
        count(Counter::OrderedMapFull);
        aya_log_ebpf::warn!(ctx, "ordered extent not followed: map full");
    }
    Ok(())
}

#[inline(always)]
fn ordered_done(state: &OrderedState) -> Result<(), Fault> {
    let record = HOLDER
        .get_ptr_mut(HolderScratch::WorkDone as u32)
        .ok_or(Fault)?;
    // SAFETY: per-CPU memory that only this program uses.
    let record = unsafe { &mut *record };
    record.holder = state.worker;
    record.locked_ns = state.locked_ns;
    record.unlocked_ns = state.unlocked_ns;
    record.end_ns = actor::now();
    record.pos = state.pos;
    record.len = state.len;
    record.ordered_flags = state.flags;
    record.created_ns = 0;
    record.creator_tid = 0;
    record.unlocked_tid = state.worker.tid;
    record.kind = HOLDER_ORDERED_IO;
    record.stack_len = 0;
    record.stack = [0; LOCK_STACK];
    tell(record, state.mapping);
    Ok(())
}

/// Sends the interval if a write on its range failed during it, else keeps it.
#[inline(always)]
fn tell(record: &mut HolderRecord, mapping: u64) {
    let Some(state) = INODES.get_ptr_mut(mapping) else {
        return;
    };
    // SAFETY: a map value stays allocated; a torn update would need another writer.
    let state = unsafe { &mut *state };
    if let Ok(host) = member!(mapping, mapping_host as u64) {
        inode::identify(host, &mut record.inode);
    }
    record.head = Header::new(RECORD_HOLDER, size_of::<HolderRecord>() as u32);
    let mut evidence = false;
    // More failures than are remembered: one of the forgotten may have been on this range.
    let mut forgotten = true;
    for failed in &state.failed {
        let during = failed.ts_ns >= record.holder.ts_ns;
        forgotten &= during;
        evidence |= during && overlaps(record, failed.pos, failed.end);
    }
    if evidence || forgotten {
        // SAFETY: the record is complete.
        unsafe { emit::send(record, size_of::<HolderRecord>(), Counter::HolderLost) };
        return;
    }
    let slot = state.next_recent % RECENT_SLOTS;
    state.next_recent = slot + 1;
    let _ = RECENT.insert(
        RecentKey {
            mapping,
            slot: slot as u64,
        },
        &*record,
        0,
    );
}

/// Sends the kept intervals of its range that had not ended when a failed write began.
#[inline(always)]
pub fn tell_recent(mapping: u64, failure: &FailureRecord) {
    for slot in 0..RECENT_SLOTS as u64 {
        let key = RecentKey { mapping, slot };
        if let Some(record) = RECENT.get_ptr(&key) {
            // SAFETY: a map value stays allocated; a torn read would need another writer.
            let holder = unsafe { &*record };
            let (pos, end) = dio::refused_range(failure);
            if holder.end_ns >= failure.writer.ts_ns && overlaps(holder, pos, end) {
                // SAFETY: as above.
                unsafe { emit::send(record, size_of::<HolderRecord>(), Counter::HolderLost) };
                let _ = RECENT.remove(&key);
            }
        }
    }
}

/// Whether the holder's range and `pos..end` have a byte in common.
#[inline(always)]
fn overlaps(holder: &HolderRecord, pos: u64, end: u64) -> bool {
    holder.pos < end && pos < holder.pos.saturating_add(holder.len)
}

/// Return addresses of the current kernel stack; returns their number.
#[inline(always)]
pub fn kernel_stack<const N: usize>(ctx: &RawTracePointContext, stack: &mut [u64; N]) -> u32 {
    // SAFETY: the buffer is as long as said.
    let bytes =
        unsafe { bpf_get_stack(ctx.as_ptr(), stack.as_mut_ptr().cast(), (N * 8) as u32, 0) };
    if bytes <= 0 { 0 } else { bytes as u32 / 8 }
}
