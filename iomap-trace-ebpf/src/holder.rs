//! Whether a holder is evidence: sent when its inode failed meanwhile, otherwise kept for a while,
//! and sent when a write that had begun before its end fails.

use iomap_trace_ebpf::{Actor, Counter, HOLDER_EXTENT_LOCK, Header, HolderRecord, RECORD_HOLDER};
use iomap_trace_ebpf::{Identity, LOCK_STACK};

use crate::maps::{
    HOLDER, HolderScratch, INODES, InodeState, LockState, RECENT, RECENT_SLOTS, RINGS, RINGS_GIVEN,
};
use crate::read::{count, member};
use crate::{emit, inode, mem};

/// What a record tells of an interval.
pub struct Interval<'a> {
    pub holder: &'a Actor,
    pub locked_ns: u64,
    pub unlocked_ns: u64,
    pub end_ns: u64,
    pub pos: u64,
    pub len: u64,
    pub ordered_flags: u64,
    pub created_ns: u64,
    pub creator_tid: u32,
    pub unlocked_tid: u32,
    pub kind: u32,
    pub stack_len: u32,
    pub stack: Option<&'a [u64; LOCK_STACK]>,
}

impl<'a> Interval<'a> {
    /// A plain lock, of which the part at `pos` is given up by the task `tid`.
    #[inline(always)]
    pub fn of_lock(state: &'a LockState, pos: u64, len: u64, now: u64, tid: u32) -> Self {
        Self {
            holder: &state.holder,
            locked_ns: state.locked_ns,
            unlocked_ns: now,
            end_ns: now,
            pos,
            len,
            ordered_flags: 0,
            created_ns: 0,
            creator_tid: 0,
            unlocked_tid: tid,
            kind: HOLDER_EXTENT_LOCK,
            stack_len: state.stack_len as u32,
            stack: Some(&state.stack),
        }
    }
}

/// Sends the interval if its inode failed during it, else keeps it. Few hold a lock of one file at
/// a time, so the range is not looked at.
#[inline(always)]
pub fn tell(interval: &Interval<'_>, mapping: u64, inode: *mut InodeState, scratch: HolderScratch) {
    // SAFETY: a map value stays allocated; a torn update would need another writer.
    let state = unsafe { &mut *inode };
    if state.failed_ns >= interval.holder.ts_ns {
        let Some(record) = HOLDER.get_ptr_mut(scratch as u32) else {
            count(Counter::HolderLost);
            return;
        };
        // SAFETY: per-CPU memory that only this program uses.
        let record = unsafe { &mut *record };
        fill(record, interval);
        if let Ok(host) = member!(mapping, mapping_host as u64) {
            inode::identify(host, &mut record.inode);
        }
        // SAFETY: the record is complete.
        unsafe { emit::send(record, size_of::<HolderRecord>(), Counter::HolderLost) };
        return;
    }
    let slot = state.next_recent % RECENT_SLOTS;
    state.next_recent = slot + 1;
    if let Some(kept) = RECENT.get_ptr_mut(index(state.ring, slot)) {
        // SAFETY: a map value stays allocated; a torn update would need another writer.
        let kept = unsafe { &mut *kept };
        kept.mapping = mapping;
        fill(&mut kept.record, interval);
    }
}

/// Where a slot of a ring is.
#[inline(always)]
fn index(ring: u64, slot: u32) -> u32 {
    (ring as u32 % RINGS) * RECENT_SLOTS + slot
}

/// A ring for a new inode: the next one, whoever has it. Two that come at once may get the same.
#[inline(always)]
pub fn ring() -> u64 {
    RINGS_GIVEN.get_ptr_mut(0).map_or(0, |given| {
        // SAFETY: a map value stays allocated; a lost increment is harmless, as said.
        let given = unsafe { &mut *given };
        *given = given.wrapping_add(1);
        *given
    })
}

/// All but the inode: that is looked up when the record is sent.
#[inline(always)]
fn fill(record: &mut HolderRecord, interval: &Interval<'_>) {
    record.head = Header::new(RECORD_HOLDER, size_of::<HolderRecord>() as u32);
    // SAFETY: two values of whole words.
    unsafe { mem::copy(&raw mut record.holder, interval.holder) };
    record.locked_ns = interval.locked_ns;
    record.unlocked_ns = interval.unlocked_ns;
    record.end_ns = interval.end_ns;
    record.pos = interval.pos;
    record.len = interval.len;
    record.ordered_flags = interval.ordered_flags;
    record.created_ns = interval.created_ns;
    record.creator_tid = interval.creator_tid;
    record.unlocked_tid = interval.unlocked_tid;
    record.kind = interval.kind;
    record.stack_len = interval.stack_len;
    if interval.stack_len != 0
        && let Some(stack) = interval.stack
    {
        // SAFETY: as above.
        unsafe { mem::copy(&raw mut record.stack, stack) };
    }
}

/// Sends the kept intervals of `pos..end` that had not ended at `since_ns`.
#[inline(always)]
pub fn tell_recent(mapping: u64, inode: &Identity, since_ns: u64, pos: u64, end: u64) {
    let Some(state) = INODES.get_ptr(mapping) else {
        return;
    };
    // SAFETY: a map value stays allocated.
    let state = unsafe { &*state };
    // What is older is about another inode in the same memory, or was sent before.
    let since_ns = since_ns.max(state.since_ns);
    for slot in 0..RECENT_SLOTS {
        if let Some(kept) = RECENT.get_ptr_mut(index(state.ring, slot)) {
            // SAFETY: a map value stays allocated; a torn read would need another writer.
            let kept = unsafe { &mut *kept };
            let holder = &mut kept.record;
            if kept.mapping == mapping && holder.end_ns >= since_ns && overlaps(holder, pos, end) {
                holder.inode = *inode;
                // SAFETY: the record is complete.
                unsafe { emit::send(holder, size_of::<HolderRecord>(), Counter::HolderLost) };
                holder.end_ns = 0;
            }
        }
    }
}

/// Whether the holder's range and `pos..end` have a byte in common.
#[inline(always)]
fn overlaps(holder: &HolderRecord, pos: u64, end: u64) -> bool {
    holder.pos < end && pos < holder.pos.saturating_add(holder.len)
}
