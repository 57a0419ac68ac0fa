//! btrfs: completion of ordered extents, from the begin of the work to its end.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use iomap_trace_ebpf::{Counter, HOLDER_ORDERED_IO};

use crate::holder::{self, Interval};
use crate::maps::{CREATORS, Creator, HolderScratch, INODES, OrderedState};
use crate::read::{Fault, Words, count, glance, offset, setting, some};
use crate::{actor, inode, mem, task};

/// `btrfs_ordered_extent_add(inode, ordered)`, in the task that writes back, or writes directly.
#[raw_tracepoint]
pub fn ordered_add(ctx: RawTracePointContext) -> i32 {
    let extent: u64 = ctx.arg(1);
    let Ok(mapping) = inode::mapping_of_btrfs(ctx.arg(0)) else {
        return 0;
    };
    if !inode::is_followed(mapping) {
        return 0;
    }
    let creator = Creator {
        ts_ns: actor::now(),
        tid: actor::tid(),
        pad: 0,
    };
    if let Some(known) = CREATORS.get_ptr_mut(extent) {
        // In place: the memory of an extent is used again.
        // SAFETY: a map value stays allocated; an extent is made once at a time.
        unsafe { *known = creator };
    } else if CREATORS.insert(extent, creator, 0).is_err() {
        count(Counter::CreatorMapFull);
    }
    0
}

/// `btrfs_work_sched(work)`, just before `work->func(work)`.
#[raw_tracepoint]
pub fn work_begin(ctx: RawTracePointContext) -> i32 {
    let work: u64 = ctx.arg(0);
    let function = setting!(finish_ordered_fn);
    if function == 0 || glance!(work, btrfs_work_func as u64).unwrap_or(0) != function {
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
    let Ok(mapping) = page_cache(extent) else {
        return;
    };
    if !inode::is_followed(mapping) {
        return;
    }
    let Some(task) = task::own() else {
        count(Counter::OrderedMapFull);
        aya_log_ebpf::warn!(ctx, "ordered extent not followed: map full");
        return;
    };
    // SAFETY: this entry is only written by this task.
    let state = unsafe { &mut (*task).ordered };
    if describe(state, extent, mapping).is_ok() {
        state.work = work;
        state.extent = extent;
    }
}

/// The page cache of the inode of an ordered extent.
#[inline(always)]
fn page_cache(extent: u64) -> Result<u64, Fault> {
    let owner = some(glance!(extent, ordered_inode as u64)?)?;
    if setting!(ordered_inode_is_vfs) == 1 {
        inode::mapping_of(owner)
    } else {
        inode::mapping_of_btrfs(owner)
    }
}

#[inline(always)]
fn describe(state: &mut OrderedState, extent: u64, mapping: u64) -> Result<(), Fault> {
    // Its first members.
    let words = Words::<10>::read(extent)?;
    // SAFETY: zeros are a completion of nothing.
    unsafe { mem::zero(state) };
    state.mapping = mapping;
    state.pos = words.at(offset!(ordered_file_offset))?;
    state.len = words.at(offset!(ordered_num_bytes))?;
    state.flags = words.at(offset!(ordered_flags))?;
    if let Some(creator) = CREATORS.get_ptr_mut(extent) {
        // SAFETY: a map value stays allocated. It is taken once: the memory is used again.
        unsafe {
            mem::copy(&raw mut state.creator, creator);
            (*creator).ts_ns = 0;
            (*creator).tid = 0;
        }
    }
    actor::current(&mut state.worker, actor::now());
    Ok(())
}

/// A lock is tried for: true when it is the completion's. It is tried for again after a wait, from
/// its begin or from where it was blocked, and always to its end.
#[inline(always)]
pub fn locks(state: &mut OrderedState, mapping: u64, start: u64, len: u64, now: u64) -> bool {
    if state.extent == 0 || state.mapping != mapping {
        return false;
    }
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
pub fn unlocks(state: &mut OrderedState, mapping: u64, start: u64, len: u64, now: u64) -> bool {
    if state.extent == 0 || state.mapping != mapping {
        return false;
    }
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
    let Some(task) = task::known() else {
        return;
    };
    // SAFETY: this entry is only written by this task.
    let state = unsafe { &mut (*task).ordered };
    if state.extent == 0 {
        return;
    }
    state.extent = 0;
    if state.work == 0 && work != 0 {
        // The end of the work tells what the function's return did not.
        count(Counter::ReturnLost);
    } else if state.work != work {
        return;
    }
    let mapping = state.mapping;
    let Some(inode) = INODES.get_ptr_mut(mapping) else {
        return;
    };
    let mut interval = Interval {
        holder: &state.worker,
        locked_ns: state.locked_ns,
        unlocked_ns: state.unlocked_ns,
        end_ns: actor::now(),
        pos: state.pos,
        len: state.len,
        ordered_flags: state.flags,
        created_ns: state.creator.ts_ns,
        creator_tid: state.creator.tid,
        unlocked_tid: state.worker.tid,
        kind: HOLDER_ORDERED_IO,
        stack_len: 0,
        stack: None,
    };
    if state.front != 0 && state.front < state.len {
        interval.len = state.front;
        interval.locked_ns = state.front_locked_ns;
        holder::tell(&interval, mapping, inode, HolderScratch::WorkDone);
        interval.pos = state.pos.wrapping_add(state.front);
        interval.len = state.len - state.front;
        interval.locked_ns = state.locked_ns;
    }
    holder::tell(&interval, mapping, inode, HolderScratch::WorkDone);
}
