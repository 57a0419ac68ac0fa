//! btrfs: unlocks of what is not one lock of this task from its begin to its end: a part of a range,
//! several ranges at once, or what another task has locked.

use iomap_trace_ebpf::Counter;

use crate::actor;
use crate::btrfs::{NOEXIST, OVERTAKEN};
use crate::holder::{self, Interval};
use crate::maps::{
    HolderScratch, INODES, InodeState, LOCKED_AT, LOCKS, LockKey, LockPlace, LockState, TASKS,
};
use crate::read::{Fault, count, setting};

/// Parts of one unlocked range: locked one after the other, or by different tasks.
const MAX_PARTS: u32 = 12;
/// No read holds its lock for longer: what is older was given up unseen.
const FOREIGN_NS: u64 = 1_000_000_000;
/// The smallest block of btrfs, and how many of them are looked at for a lock of a read.
const BLOCK: u64 = 4096;
const BLOCKS: u32 = 32;

/// Ends what of `start..start + len` is not one lock of this task, from its begin to its end.
#[inline(always)]
pub fn parts(
    tree: u64,
    start: u64,
    len: u64,
    mapping: u64,
    scratch: HolderScratch,
) -> Result<(), Fault> {
    let now = actor::now();
    let inode = INODES.get_ptr_mut(mapping).ok_or(Fault)?;
    let end = start.saturating_add(len);
    let mut at = start;
    if setting!(foreign_unlocks) == 1 {
        split_at(tree, start, now);
    }
    let mut found = false;
    for _ in 0..MAX_PARTS {
        match unlock_part(tree, mapping, inode, at, end, now, scratch) {
            Some(next) => {
                found = true;
                at = next;
            }
            // One unlock for several reads need not begin where one of them does.
            None if setting!(foreign_unlocks) == 1 => at = at.wrapping_add(BLOCK),
            None => break,
        }
        if at >= end {
            break;
        }
    }
    if found && at < end && LOCKS.get_ptr(own_key(tree, at)).is_some() {
        count(Counter::LockLost);
    }
    if !found && scratch as u32 == HolderScratch::Unlock as u32 {
        count(Counter::UnlockUnpaired);
    }
    Ok(())
}

/// A lock of this task.
#[inline(always)]
fn own_key(tree: u64, start: u64) -> LockKey {
    LockKey {
        tree,
        start,
        tid: actor::tid() as u64,
    }
}

/// The task whose lock begins at `start`: this one, or the oldest that tried for it.
#[inline(always)]
fn locker(tree: u64, start: u64, now: u64) -> Option<LockKey> {
    let own = own_key(tree, start);
    if LOCKS.get_ptr(&own).is_some() {
        return Some(own);
    }
    let tid = LOCKED_AT.get_ptr(LockPlace { tree, start })?;
    let key = LockKey {
        // SAFETY: a map value stays allocated.
        tid: unsafe { *tid } & !OVERTAKEN,
        ..own
    };
    let state = LOCKS.get_ptr(&key)?;
    // SAFETY: as above.
    (unsafe { (*state).locked_ns } + FOREIGN_NS > now).then_some(key)
}

/// A read is unlocked where its data has come: in the middle as well. The lock that begins before
/// `start` and reaches beyond it becomes two.
#[inline(never)]
fn split_at(tree: u64, start: u64, now: u64) -> u64 {
    if locker(tree, start, now).is_some() {
        return 0;
    }
    let mut before = start;
    for _ in 0..BLOCKS {
        if before < BLOCK {
            break;
        }
        before = before.wrapping_sub(BLOCK);
        let Some(key) = locker(tree, before, now) else {
            continue;
        };
        let Some(state) = LOCKS.get_ptr_mut(&key) else {
            break;
        };
        // SAFETY: its task waits for this unlock, or is this one.
        let state = unsafe { &mut *state };
        let front = start.wrapping_sub(before);
        if state.len > front {
            let rest = state.len - front;
            keep_rest(&key, state, start, rest);
            let place = LockPlace { tree, start };
            let _ = LOCKED_AT.insert(place, key.tid, 0);
            state.len = front;
        }
        break;
    }
    0
}

/// Ends the lock that begins at `at`, as far as `end`; returns where the next one begins.
#[inline(always)]
fn unlock_part(
    tree: u64,
    mapping: u64,
    inode: *mut InodeState,
    at: u64,
    end: u64,
    now: u64,
    scratch: HolderScratch,
) -> Option<u64> {
    let tid = actor::tid();
    let place = LockPlace { tree, start: at };
    let key = if setting!(foreign_unlocks) == 1 {
        let found = locker(tree, at, now);
        if found.is_none() {
            // What is still said of this place is stale.
            let _ = LOCKED_AT.remove(&place);
        }
        found?
    } else {
        own_key(tree, at)
    };
    // SAFETY: a map value stays allocated; its task waits for this unlock, or is this one.
    let state = unsafe { &*LOCKS.get_ptr(&key)? };
    let part = state.len.min(end.wrapping_sub(at));
    let rest = state.len - part;
    let interval = Interval::of_lock(state, at, part, now, tid);
    holder::tell(&interval, mapping, inode, scratch);
    let next = at.wrapping_add(part);
    if rest > 0 {
        keep_rest(&key, state, next, rest);
    }
    let _ = LOCKS.remove(&key);
    if setting!(foreign_unlocks) == 1 {
        let _ = LOCKED_AT.remove(&place);
    }
    Some(next)
}

/// A part was unlocked: the rest goes on under its own start.
#[inline(always)]
fn keep_rest(key: &LockKey, state: &LockState, start: u64, len: u64) {
    let rest = LockKey { start, ..*key };
    if LOCKS.insert(&rest, state, 0).is_err() {
        count(Counter::LockMapFull);
        return;
    }
    if let Some(state) = LOCKS.get_ptr_mut(&rest) {
        // SAFETY: its task waits for this unlock, or is this one.
        unsafe { (*state).len = len };
    }
    if setting!(foreign_unlocks) == 1 {
        let place = LockPlace {
            tree: key.tree,
            start,
        };
        // Another task unlocks only what is held. A task that gives back the front of its own
        // range may be blocked there by the one that holds the rest.
        let flags = if key.tid == actor::tid() as u64 {
            NOEXIST
        } else {
            0
        };
        let _ = LOCKED_AT.insert(place, key.tid, flags);
    }
    if let Some(task) = TASKS.get_ptr_mut(key.tid as u32) {
        // SAFETY: as above.
        let attempt = unsafe { &mut (*task).attempt };
        if attempt.tree == key.tree && attempt.start == key.start {
            attempt.gave = start.wrapping_sub(key.start);
        }
    }
}
