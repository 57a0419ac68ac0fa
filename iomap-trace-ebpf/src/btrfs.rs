//! btrfs: intervals in which a task holds a range of an extent io tree, on inodes with direct writes.
//!
//! `btrfs_set_extent_bit` fires at an attempt to lock, before it succeeds. A blocked attempt is
//! repeated after the wait: from the start, when what it had locked at the front was given back
//! (since 6.1), or from where it was blocked, when that is kept (5.10). `btrfs_clear_extent_bit`
//! fires just before a range is unlocked, which can be a part of what was locked. Before 6.12 a
//! read's lock is given up by the task that completes the read.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_get_stack;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use iomap_trace_ebpf::{Counter, LOCK_STACK};

use crate::actor::NOBODY;
use crate::holder::{self, Interval};
use crate::maps::{
    Attempt, Dio, HolderScratch, INODES, InodeState, LOCKED_AT, LOCKS, LockKey, LockPlace,
    LockState, STAGE_SUBMIT, Task,
};
use crate::read::{Fault, count, member, offset, setting};
use crate::{actor, inode, mem, ordered, task, unlock, write};

/// `BPF_NOEXIST` (include/uapi/linux/bpf.h).
pub const NOEXIST: u64 = 1;
/// Beside the task in [`LOCKED_AT`]: ordered I/O had the range meanwhile, so others may come before
/// that task as well.
pub const OVERTAKEN: u64 = 1 << 63;

/// `btrfs_set_extent_bit(tree, start, len, bits)`.
#[raw_tracepoint]
pub fn extent_lock(ctx: RawTracePointContext) -> i32 {
    locking(&ctx);
    0
}

/// As [`extent_lock`], which it may safely follow: a second look at the same attempt changes
/// nothing but its moment, and the lock is not tried for before both have looked.
#[raw_tracepoint]
pub fn extent_lock_spare(ctx: RawTracePointContext) -> i32 {
    locking(&ctx);
    0
}

/// `btrfs_clear_extent_bit(tree, start, len, bits)`.
#[raw_tracepoint]
pub fn extent_unlock(ctx: RawTracePointContext) -> i32 {
    unlocking(&ctx, HolderScratch::Unlock);
    0
}

/// As [`extent_unlock`], which it may safely follow: it finds nothing left to unlock.
#[raw_tracepoint]
pub fn extent_unlock_spare(ctx: RawTracePointContext) -> i32 {
    unlocking(&ctx, HolderScratch::UnlockSpare);
    0
}

#[inline(always)]
fn locking(ctx: &RawTracePointContext) {
    let bits: u64 = ctx.arg::<u32>(3) as u64;
    if bits & setting!(extent_locked) != 0 {
        let _ = lock(ctx);
    }
}

#[inline(always)]
fn unlocking(ctx: &RawTracePointContext, scratch: HolderScratch) {
    let bits: u64 = ctx.arg::<u32>(3) as u64;
    if bits & setting!(extent_locked) != 0 {
        let _ = unlock(ctx, scratch);
    }
}

/// The page cache whose io tree this is, and its state, when its locks are followed.
#[inline(always)]
fn watched(tree: u64) -> Result<(u64, *mut InodeState), Fault> {
    let io_tree = offset!(btrfs_inode_io_tree);
    let mapping = if io_tree != iomap_trace_ebpf::MISSING {
        // The tree is a part of the inode. From another tree an address comes that nobody watches.
        inode::mapping_of_btrfs(tree.wrapping_sub(io_tree as u64))?
    } else {
        if member!(tree, io_tree_owner as u8)? as u32 != setting!(io_tree_inode_io) {
            return Err(Fault);
        }
        let owner = member!(tree, io_tree_inode as u64)?;
        if setting!(io_tree_inode_is_vfs) == 1 {
            inode::mapping_of(owner)?
        } else {
            inode::mapping_of_btrfs(owner)?
        }
    };
    let inode = INODES.get_ptr_mut(mapping).ok_or(Fault)?;
    // SAFETY: a map value stays allocated.
    if !unsafe { &*inode }.is_followed() {
        return Err(Fault);
    }
    Ok((mapping, inode))
}

#[inline(always)]
fn lock(ctx: &RawTracePointContext) -> Result<(), Fault> {
    let tree: u64 = ctx.arg(0);
    let start: u64 = ctx.arg(1);
    let len: u64 = ctx.arg(2);
    let (mapping, inode) = watched(tree)?;
    let Some(task) = task::own() else {
        count(Counter::LockMapFull);
        return Ok(());
    };
    // SAFETY: this entry is only written by this task.
    let task = unsafe { &mut *task };
    let now = actor::now();
    if ordered::locks(&mut task.ordered, mapping, start, len, now) {
        return Ok(());
    }
    let tid = actor::tid();
    let key = LockKey {
        tree,
        start,
        tid: tid as u64,
    };
    let own = &task.dio;
    let writes = own.kiocb != 0 && own.mapping == mapping && own.stage == STAGE_SUBMIT;
    let writer = writes.then_some(&raw mut task.dio);
    let foreign = setting!(foreign_unlocks) == 1 && writer.is_none();
    if foreign {
        // The oldest of a place holds it: who comes later waits.
        let _ = LOCKED_AT.insert(LockPlace { tree, start }, key.tid, NOEXIST);
    }
    let before = task.attempt;
    task.attempt.tree = tree;
    task.attempt.start = start;
    task.attempt.len = len;
    task.attempt.gave = 0;
    if before.tree == tree {
        if before.start == start && before.len == len && before.gave == 0 || foreign {
            // Perhaps it had to wait, and tries again.
            if let Some(state) = LOCKS.get_ptr_mut(&key) {
                // SAFETY: this entry is only written by this task.
                let state = unsafe { &mut *state };
                if state.len == len {
                    state.locked_ns = now;
                    if foreign {
                        first_again(tree, start, key.tid);
                    }
                    return Ok(());
                }
            }
        }
        if before.gave != 0 || start > before.start {
            spill(task, tree, tid);
            again(&before, &key, len);
        }
    }
    if !foreign {
        // SAFETY: a map value stays allocated.
        let bare_ns = unsafe { (*inode).bare_ns };
        for slot in &mut task.slots {
            if slot.tree == tree
                && slot.start == start
                && slot.state.len == len
                && slot.state.locked_ns > bare_ns
            {
                slot.state.locked_ns = now;
                return Ok(());
            }
        }
        for slot in &mut task.slots {
            if slot.tree == 0 || slot.tree == tree && slot.start == start {
                slot.tree = tree;
                slot.start = start;
                fill(ctx, &mut slot.state, inode, writer, now);
                slot.state.len = len;
                return Ok(());
            }
        }
        // Both are taken, perhaps by locks whose end was not followed.
        spill(task, task.slots[0].tree, tid);
    }
    let mut state = LockState {
        holder: NOBODY,
        locked_ns: now,
        len,
        stack_len: 0,
        stack: [0; LOCK_STACK],
    };
    fill(ctx, &mut state, inode, writer, now);
    if LOCKS.insert(&key, &state, 0).is_err() {
        count(Counter::LockMapFull);
        aya_log_ebpf::warn!(ctx, "extent lock not followed: map full");
    }
    Ok(())
}

/// Who comes back from a wait is the first where the one before was overtaken.
#[inline(always)]
fn first_again(tree: u64, start: u64, tid: u64) {
    if let Some(first) = LOCKED_AT.get_ptr_mut(LockPlace { tree, start }) {
        // SAFETY: a map value stays allocated; whoever writes last is said to be the first.
        let first = unsafe { &mut *first };
        if *first & OVERTAKEN != 0 {
            *first = tid;
        }
    }
}

/// Ordered I/O gives the range up. Who tried for it before is still in front of the others: he may
/// have been preempted after his event, without a wait, and then has it now.
#[inline(always)]
fn overtaken(tree: u64, start: u64) {
    if let Some(first) = LOCKED_AT.get_ptr_mut(LockPlace { tree, start }) {
        // SAFETY: as in `first_again`.
        unsafe { *first |= OVERTAKEN };
    }
}

/// Who locks; for a task that writes directly that is known.
#[inline(always)]
fn fill(
    ctx: &RawTracePointContext,
    state: &mut LockState,
    inode: *mut InodeState,
    writer: Option<*mut Dio>,
    now: u64,
) {
    if let Some(own) = writer {
        // SAFETY: this entry is only written by this task.
        let own = unsafe { &mut *own };
        write::name(own);
        // SAFETY: two values of whole words.
        unsafe { mem::copy(&raw mut state.holder, &raw const own.writer) };
        state.holder.ts_ns = now;
    } else {
        actor::current(&mut state.holder, now);
    }
    state.locked_ns = now;
    state.stack_len = 0;
    if failed_lately(inode, now) {
        state.stack_len = kernel_stack(ctx, &mut state.stack) as u64;
    }
}

/// Puts the locks of this task in `tree` where parts of them can be followed.
#[inline(always)]
fn spill(task: &mut Task, tree: u64, tid: u32) {
    for slot in &mut task.slots {
        if slot.tree != tree {
            continue;
        }
        slot.tree = 0;
        let key = LockKey {
            tree,
            start: slot.start,
            tid: tid as u64,
        };
        if LOCKS.insert(&key, &slot.state, 0).is_err() {
            count(Counter::LockMapFull);
        }
    }
}

/// What a blocked attempt left behind is not held as it says there.
#[inline(always)]
fn again(before: &Attempt, key: &LockKey, len: u64) {
    if before.start == key.start && before.len == len && before.gave != 0 {
        // The front was given back, and what came after it was never locked.
        let start = before.start.wrapping_add(before.gave);
        let _ = LOCKS.remove(LockKey { start, ..*key });
        let place = LockPlace {
            tree: key.tree,
            start,
        };
        // SAFETY: a map value stays allocated.
        let is_own = |tid: *const u64| unsafe { *tid } & !OVERTAKEN == key.tid;
        if setting!(foreign_unlocks) == 1 && LOCKED_AT.get_ptr(&place).is_some_and(is_own) {
            let _ = LOCKED_AT.remove(&place);
        }
    }
    let kept = key.start.wrapping_sub(before.start);
    if key.start > before.start && before.len == kept.wrapping_add(len) {
        // The front is kept, and the rest is tried for again.
        let front = LockKey {
            start: before.start,
            ..*key
        };
        if let Some(state) = LOCKS.get_ptr_mut(&front) {
            // SAFETY: this entry is only written by this task.
            unsafe { (*state).len = kept };
        }
    }
}

/// Most of a lock's cost is its stack. Where nothing fails nobody asks for it: the first failure of
/// an inode has holders without the function that locked.
#[inline(always)]
fn failed_lately(inode: *mut InodeState, now: u64) -> bool {
    const LATELY_NS: u64 = 60_000_000_000;
    // SAFETY: a map value stays allocated.
    let state = unsafe { &*inode };
    state.failed_ns != 0 && now < state.failed_ns + LATELY_NS
}

#[inline(always)]
fn unlock(ctx: &RawTracePointContext, scratch: HolderScratch) -> Result<(), Fault> {
    let tree: u64 = ctx.arg(0);
    let start: u64 = ctx.arg(1);
    let len: u64 = ctx.arg(2);
    let (mapping, inode) = watched(tree)?;
    let tid = actor::tid();
    if let Some(task) = task::known() {
        // SAFETY: this entry is only written by this task.
        let task = unsafe { &mut *task };
        if task.ordered.extent != 0 {
            let now = actor::now();
            if ordered::unlocks(&mut task.ordered, mapping, start, len, now) {
                if setting!(foreign_unlocks) == 1 {
                    overtaken(tree, start);
                }
                return Ok(());
            }
        }
        for slot in &mut task.slots {
            if slot.tree == tree && slot.start == start && slot.state.len == len {
                slot.tree = 0;
                let interval = Interval::of_lock(&slot.state, start, len, actor::now(), tid);
                holder::tell(&interval, mapping, inode, scratch);
                return Ok(());
            }
        }
        spill(task, tree, tid);
    }
    unlock::parts(tree, start, len, mapping, scratch)
}

/// Return addresses of the current kernel stack; returns their number.
#[inline(always)]
pub fn kernel_stack<C: EbpfContext, const N: usize>(ctx: &C, stack: &mut [u64; N]) -> u32 {
    // SAFETY: the buffer is as long as said.
    let bytes =
        unsafe { bpf_get_stack(ctx.as_ptr(), stack.as_mut_ptr().cast(), (N * 8) as u32, 0) };
    if bytes <= 0 { 0 } else { bytes as u32 / 8 }
}
