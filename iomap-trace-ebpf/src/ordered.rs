//! btrfs: completion of ordered extents, from the begin of the work to its end.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use iomap_trace_ebpf::{Counter, HOLDER_ORDERED_IO, LOCK_STACK};

use crate::maps::{CREATORS, Creator, HOLDER, HolderScratch, INODES, ORDERED, OrderedState};
use crate::read::{Fault, count, member, offset, setting};
use crate::{actor, holder, inode};

/// `btrfs_ordered_extent_add(inode, ordered)`, in the task that writes back, or writes directly.
#[raw_tracepoint]
pub fn ordered_add(ctx: RawTracePointContext) -> i32 {
    let extent: u64 = ctx.arg(1);
    let Ok(mapping) = inode::mapping_of_btrfs(ctx.arg(0)) else {
        return 0;
    };
    if INODES.get_ptr(mapping).is_none() {
        // The memory of an extent is used again.
        let _ = CREATORS.remove(extent);
        return 0;
    }
    let creator = Creator {
        ts_ns: actor::now(),
        tid: actor::tid(),
        pad: 0,
    };
    if CREATORS.insert(extent, creator, 0).is_err() {
        count(Counter::CreatorMapFull);
    }
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
    let work_at = offset!(ordered_work);
    if work_at != iomap_trace_ebpf::MISSING {
        begin(&ctx, work - work_at as u64, work);
    }
    0
}

/// `btrfs_all_work_done(fs_info, wtag)`, just after it.
#[raw_tracepoint]
pub fn work_end(ctx: RawTracePointContext) -> i32 {
    end(ctx.arg(1));
    0
}

/// This task begins to complete an ordered extent. `work` is what [`end`] will name.
#[inline(always)]
pub fn begin<C: EbpfContext>(ctx: &C, extent: u64, work: u64) {
    let Ok(state) = described(extent, work) else {
        return;
    };
    if INODES.get_ptr(state.mapping).is_none() {
        return;
    }
    if ORDERED.insert(actor::tid(), &state, 0).is_err() {
        count(Counter::OrderedMapFull);
        aya_log_ebpf::warn!(ctx, "ordered extent not followed: map full");
    }
}

#[inline(always)]
fn described(extent: u64, work: u64) -> Result<OrderedState, Fault> {
    let owner = member!(extent, ordered_inode as u64)?;
    let mapping = if setting!(ordered_inode_is_vfs) == 1 {
        inode::mapping_of(owner)?
    } else {
        inode::mapping_of_btrfs(owner)?
    };
    let creator = CREATORS.get_ptr(extent);
    Ok(OrderedState {
        extent,
        work,
        mapping,
        pos: member!(extent, ordered_file_offset as u64)?,
        len: member!(extent, ordered_num_bytes as u64)?,
        flags: member!(extent, ordered_flags as u64)?,
        locked_ns: 0,
        unlocked_ns: 0,
        front: 0,
        front_locked_ns: 0,
        creator: creator.map_or(
            Creator {
                ts_ns: 0,
                tid: 0,
                pad: 0,
            },
            // SAFETY: a map value stays allocated.
            |creator| unsafe { *creator },
        ),
        worker: actor::current(actor::now()),
    })
}

/// The state of this task, if it completes an ordered extent of this page cache.
#[inline(always)]
fn own(mapping: u64) -> Option<&'static mut OrderedState> {
    let state = ORDERED.get_ptr_mut(actor::tid())?;
    // SAFETY: this entry is only written by this task.
    let state = unsafe { &mut *state };
    (state.mapping == mapping).then_some(state)
}

/// A lock is tried for: true when it is the completion's. It is tried for again after a wait, from
/// its begin or from where it was blocked, and always to its end.
#[inline(always)]
pub fn locks(mapping: u64, start: u64, len: u64, now: u64) -> bool {
    let Some(state) = own(mapping) else {
        return false;
    };
    let to_its_end = start.wrapping_add(len) == state.pos.wrapping_add(state.len);
    if state.locked_ns != 0 && !to_its_end {
        return false;
    }
    if start <= state.pos {
        state.front = 0;
    } else if state.front == 0 {
        // Blocked at `start`, it keeps what is before.
        state.front = start.wrapping_sub(state.pos);
        state.front_locked_ns = state.locked_ns;
    }
    state.locked_ns = now;
    state.unlocked_ns = 0;
    true
}

/// A lock is given up: true when it is the completion's. A front that is given back before a wait
/// is unlocked as well: the last unlock counts.
#[inline(always)]
pub fn unlocks(mapping: u64, start: u64, len: u64, now: u64) -> bool {
    let Some(state) = own(mapping) else {
        return false;
    };
    let inside =
        start < state.pos.saturating_add(state.len) && state.pos < start.saturating_add(len);
    if inside {
        state.unlocked_ns = now;
    }
    inside
}

/// The completion ended.
#[inline(always)]
pub fn end(work: u64) {
    let tid = actor::tid();
    let Some(state) = ORDERED.get_ptr(tid) else {
        return;
    };
    // SAFETY: this entry is only written by this task.
    let state = unsafe { *state };
    let _ = ORDERED.remove(tid);
    let _ = CREATORS.remove(state.extent);
    if state.work == 0 && work != 0 {
        // The end of the work tells what the function's return did not.
        count(Counter::ReturnLost);
    } else if state.work != work {
        return;
    }
    let Some(record) = HOLDER.get_ptr_mut(HolderScratch::WorkDone as u32) else {
        count(Counter::HolderLost);
        return;
    };
    // SAFETY: per-CPU memory that only this program uses.
    let record = unsafe { &mut *record };
    record.holder = state.worker;
    record.locked_ns = state.locked_ns;
    record.unlocked_ns = state.unlocked_ns;
    record.end_ns = actor::now();
    record.pos = state.pos;
    record.len = state.len;
    record.ordered_flags = state.flags;
    record.created_ns = state.creator.ts_ns;
    record.creator_tid = state.creator.tid;
    record.unlocked_tid = state.worker.tid;
    record.kind = HOLDER_ORDERED_IO;
    record.stack_len = 0;
    record.stack = [0; LOCK_STACK];
    if state.front != 0 && state.front < state.len {
        record.len = state.front;
        record.locked_ns = state.front_locked_ns;
        holder::tell(record, state.mapping);
        record.pos = state.pos.wrapping_add(state.front);
        record.len = state.len - state.front;
        record.locked_ns = state.locked_ns;
    }
    holder::tell(record, state.mapping);
}
