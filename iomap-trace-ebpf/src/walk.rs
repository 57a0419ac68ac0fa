//! A bounded walk of the page cache: which folios of a range are still there.
//!
//! Two passes, so that the verifier sees two short loops: first the folios are collected, then
//! each is described.

use aya_ebpf::helpers::bpf_probe_read_kernel_buf;
use iomap_trace_ebpf::{
    Counter, FAULT_FOLIO, FAULT_WALK, FAULT_WALK_CUT, FOLIO_ADDED, FOLIO_BUFFERS, FOLIO_DIRTIED,
    FOLIO_PRIVATE, FailureRecord, FolioEntry, MAX_FOLIOS,
};

use crate::inode::EXT4;
use crate::maps::{PAGES, PageKey, Scratch, WALK, WalkBuffer};
use crate::read::{count, member, offset, read, setting};

/// Pages of 4 KiB; user space skips the walk on other kernels.
const PAGE_SHIFT: u64 = 12;
/// Slots of an `xa_node` (user space checks that the kernel's nodes have as many).
const SLOTS: u64 = 64;
/// Leaves of one walk: 256 pages side by side.
const MAX_LEAVES: u32 = 4;
/// Levels of a tree: 64 bits at 6 bits a level.
const MAX_LEVELS: u32 = 11;
/// Buffer heads of one folio that are looked at.
const MAX_BUFFERS: u32 = 8;

/// Fills `record.folio` with what is cached in the record's range.
#[inline(always)]
pub fn walk(record: &mut FailureRecord, mapping: u64, scratch: Scratch) {
    let first = record.pos >> PAGE_SHIFT;
    let last = record
        .pos
        .wrapping_add(if record.len == 0 { 0 } else { record.len - 1 })
        >> PAGE_SHIFT;
    let Some(buffer) = WALK.get_ptr_mut(scratch as u32) else {
        record.faults |= FAULT_WALK;
        return;
    };
    // SAFETY: per-CPU memory that only this program uses.
    let buffer = unsafe { &mut *buffer };
    buffer.found = 0;
    collect(buffer, &mut record.faults, mapping, first, last);
    if record.faults & FAULT_WALK_CUT != 0 {
        count(Counter::WalkCut);
    }
    let has_buffers = record.inode.magic == EXT4;
    for at in 0..MAX_FOLIOS {
        if at as u64 >= buffer.found {
            break;
        }
        let entry = &mut record.folio[at];
        if describe(buffer.folios[at], mapping, has_buffers, entry).is_err() {
            record.faults |= FAULT_FOLIO;
        }
        record.folios = at as u32 + 1;
    }
}

/// Low bits of an entry: `00` pointer, `10` internal, `x1` value (include/linux/xarray.h).
#[inline(always)]
fn is_pointer(entry: u64) -> bool {
    entry != 0 && entry & 3 == 0
}

#[inline(always)]
fn is_node(entry: u64) -> bool {
    entry & 3 == 2 && entry > 4096
}

/// A sibling of a multi-index entry names the slot that holds it.
#[inline(always)]
fn is_sibling(entry: u64) -> bool {
    entry & 3 == 2 && entry < (SLOTS << 2 | 2)
}

/// Faults are kept in memory, and ranges as bit masks: what the verifier has to tell apart grows
/// with every value it knows.
#[inline(never)]
fn collect(buffer: &mut WalkBuffer, faults: &mut u32, mapping: u64, first: u64, last: u64) {
    let slots_at = offset!(xa_node_slots) as u64;
    let mut index = first;
    for _ in 0..MAX_LEAVES {
        if index > last {
            return;
        }
        let Ok(mut entry) = member!(mapping, mapping_xa_head as u64) else {
            *faults |= FAULT_WALK;
            return;
        };
        // Everything below this shift is covered by `entry`; 64 above the root.
        let mut shift = 64u64;
        let mut leaf = 0u64;
        for _ in 0..MAX_LEVELS {
            if !is_node(entry) {
                break;
            }
            let node = entry - 2;
            let Ok(node_shift) = member!(node, xa_node_shift as u8) else {
                *faults |= FAULT_WALK;
                return;
            };
            let at_root = shift == 64;
            shift = node_shift as u64 & 63;
            let slot = index >> shift;
            if at_root && slot >= SLOTS {
                return;
            }
            if shift == 0 {
                leaf = node;
                break;
            }
            let Ok(next) = read::<u64>(node + slots_at + (slot & (SLOTS - 1)) * 8) else {
                *faults |= FAULT_WALK;
                return;
            };
            entry = next;
            if is_sibling(entry) {
                let Ok(next) = read::<u64>(node + slots_at + (entry >> 2 & (SLOTS - 1)) * 8) else {
                    *faults |= FAULT_WALK;
                    return;
                };
                entry = next;
            }
        }
        if leaf != 0 {
            collect_leaf(buffer, faults, leaf + slots_at, wanted(index, last));
            index = (index | (SLOTS - 1)) + 1;
            continue;
        }
        // Above the leaves: a large folio, nothing, or (a tree of one entry) index 0.
        if is_pointer(entry) && (shift != 64 || index == 0) {
            push(buffer, entry);
        }
        if shift == 64 {
            return;
        }
        index = ((index >> (shift & 63)) + 1) << (shift & 63);
    }
    if index <= last {
        *faults |= FAULT_WALK_CUT;
    }
}

/// The slots of `index`'s leaf from `index` to `last`, one bit each.
#[inline(always)]
fn wanted(index: u64, last: u64) -> u64 {
    let from = u64::MAX << (index & (SLOTS - 1));
    if (index | (SLOTS - 1)) <= last {
        from
    } else {
        from & (u64::MAX >> (SLOTS - 1 - (last & (SLOTS - 1))))
    }
}

#[inline(always)]
fn collect_leaf(buffer: &mut WalkBuffer, faults: &mut u32, slots: u64, wanted: u64) {
    // SAFETY: the slots are 64 words of the scratch buffer.
    let bytes = unsafe { &mut *(&raw mut buffer.slots).cast::<[u8; 512]>() };
    // SAFETY: the helper checks the address.
    if unsafe { bpf_probe_read_kernel_buf(slots as *const u8, bytes) }.is_err() {
        count(Counter::ReadFault);
        *faults |= FAULT_WALK;
        return;
    }
    for slot in 0..SLOTS {
        if wanted >> slot & 1 == 0 {
            continue;
        }
        let mut entry = buffer.slots[slot as usize];
        if is_sibling(entry) {
            entry = buffer.slots[(entry >> 2 & (SLOTS - 1)) as usize];
        }
        if is_pointer(entry) && !push(buffer, entry) {
            *faults |= FAULT_WALK_CUT;
        }
    }
}

/// Adds a folio unless it is the last one found; false when there is no room.
#[inline(always)]
fn push(buffer: &mut WalkBuffer, folio: u64) -> bool {
    let found = buffer.found;
    if found > 0 && buffer.folios[(found - 1 & (MAX_FOLIOS as u64 - 1)) as usize] == folio {
        return true;
    }
    if found >= MAX_FOLIOS as u64 {
        return false;
    }
    buffer.folios[(found & (MAX_FOLIOS as u64 - 1)) as usize] = folio;
    buffer.found = found + 1;
    true
}

#[inline(never)]
fn describe(
    folio: u64,
    mapping: u64,
    has_buffers: bool,
    entry: &mut FolioEntry,
) -> Result<(), crate::read::Fault> {
    entry.index = 0;
    entry.flags = 0;
    entry.bh_state = 0;
    entry.pages = 1;
    entry.bh_busy = 0;
    entry.present = 0;
    entry.pad = 0;
    entry.flags = member!(folio, folio_flags as u64)?;
    entry.index = member!(folio, folio_index as u64)?;
    if entry.flags >> (setting!(pg_head) & 63) & 1 == 1 {
        entry.pages = member!(folio, folio_nr_pages as u32)?;
    }
    let private = member!(folio, folio_private as u64)?;
    if private != 0 {
        entry.present |= FOLIO_PRIVATE;
        if has_buffers {
            buffers(private, entry)?;
        }
    }
    let key = PageKey {
        mapping,
        index: entry.index,
    };
    if let Some(page) = PAGES.get_ptr(&key) {
        // SAFETY: a map value stays allocated; a torn copy is possible and harmless.
        let page = unsafe { &*page };
        entry.added = page.added;
        entry.dirtied = page.dirtied;
        if entry.added.ts_ns != 0 {
            entry.present |= FOLIO_ADDED;
        }
        if entry.dirtied.ts_ns != 0 {
            entry.present |= FOLIO_DIRTIED;
        }
    }
    Ok(())
}

#[inline(always)]
fn buffers(head: u64, entry: &mut FolioEntry) -> Result<(), crate::read::Fault> {
    let mut buffer = head;
    for _ in 0..MAX_BUFFERS {
        entry.bh_state |= member!(buffer, bh_b_state as u64)?;
        if member!(buffer, bh_b_count as u32)? != 0 {
            entry.bh_busy += 1;
        }
        buffer = member!(buffer, bh_b_this_page as u64)?;
        if buffer == head {
            break;
        }
    }
    entry.present |= FOLIO_BUFFERS;
    Ok(())
}
