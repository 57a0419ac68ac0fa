//! Whether a holder is evidence: sent when its inode failed meanwhile, otherwise kept for a while,
//! and sent when a write that had begun before its end fails.

use iomap_trace_ebpf::{Counter, Header, HolderRecord, RECORD_HOLDER};

use crate::maps::{INODES, RECENT, RECENT_SLOTS, RecentKey};
use crate::read::member;
use crate::{emit, inode};

/// Sends the interval if its inode failed during it, else keeps it. Few hold a lock of one file at
/// a time, so the range is not looked at.
#[inline(always)]
pub fn tell(record: &mut HolderRecord, mapping: u64) {
    let Some(state) = INODES.get_ptr_mut(mapping) else {
        return;
    };
    // SAFETY: a map value stays allocated; a torn update would need another writer.
    let state = unsafe { &mut *state };
    if let Ok(host) = member!(mapping, mapping_host as u64) {
        inode::identify(host, &mut record.inode);
    }
    record.head = Header::new(RECORD_HOLDER, size_of::<HolderRecord>() as u32);
    if state.failed_ns >= record.holder.ts_ns {
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

/// Sends the kept intervals of `pos..end` that had not ended at `since_ns`.
#[inline(always)]
pub fn tell_recent(mapping: u64, since_ns: u64, pos: u64, end: u64) {
    for slot in 0..RECENT_SLOTS as u64 {
        let key = RecentKey { mapping, slot };
        if let Some(record) = RECENT.get_ptr(&key) {
            // SAFETY: a map value stays allocated; a torn read would need another writer.
            let holder = unsafe { &*record };
            if holder.end_ns >= since_ns && overlaps(holder, pos, end) {
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
