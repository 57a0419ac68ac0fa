//! A bounded walk of the page cache: which folios of a range are still there.
//!
//! Two passes, so that the verifier sees two short loops: first the folios are collected, then
//! each is described.

use iomap_trace_ebpf::{
    Counter, FAULT_FOLIO, FAULT_WALK, FAULT_WALK_CUT, FOLIO_ADDED, FOLIO_BUFFERS, FOLIO_DIRTIED,
    FOLIO_PRIVATE, FailureRecord, FolioEntry, MAX_FOLIOS, PLAN_TRACEPOINT,
};

use crate::inode::EXT4;
use crate::maps::{INODES, PAGES, PageKey, Scratch, WALK, WalkBuffer};
use crate::read::{Fault, count, member, offset, read, read_into, setting};

/// Pages of 4 KiB; user space skips the walk on other kernels.
pub const PAGE_SHIFT: u64 = 12;
/// Slots of an `xa_node` (user space checks that the kernel's nodes have as many).
const SLOTS: u64 = 64;
/// Slots that are read at once.
const GROUP: u64 = 8;
/// Steps of one walk. Each goes down a level, or passes up to [`GROUP`] slots: of a page each at the
/// bottom of the tree, of 64 pages or more above it.
const MAX_STEPS: u32 = 32;
/// Buffer heads of one folio that are looked at.
const MAX_BUFFERS: u32 = 8;
/// `XA_RETRY_ENTRY` (include/linux/xarray.h).
const RETRY: u64 = 256 << 2 | 2;

/// Fills `record.folio` with what is cached in the record's range.
#[inline(always)]
pub fn walk(record: &mut FailureRecord, scratch: Scratch) {
    let mapping = forget(&mut record.mapping);
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
    buffer.has_buffers = (record.inode.magic == EXT4) as u64;
    // SAFETY: a map value stays allocated.
    buffer.since_ns = INODES
        .get_ptr(mapping)
        .map_or(0, |state| unsafe { (*state).since_ns });
    for at in 0..MAX_FOLIOS {
        if at as u64 >= forget(&mut buffer.found) {
            break;
        }
        tell(record, buffer, at);
    }
}

/// Adds one of the folios that were found to the record. As in [`look`], what comes of it is left in
/// memory.
#[inline(never)]
fn tell(record: &mut FailureRecord, buffer: &mut WalkBuffer, at: usize) {
    let folio = forget(&mut buffer.folios[at & (MAX_FOLIOS - 1)]);
    let mapping = forget(&mut record.mapping);
    let next = forget(&mut record.folios) as usize & (MAX_FOLIOS - 1);
    let entry = &mut record.folio[next];
    // Where refused folios are seen, their buffers were looked at then.
    let has_buffers = setting!(plan) == PLAN_TRACEPOINT && forget(&mut buffer.has_buffers) != 0;
    if describe(folio, mapping, has_buffers, entry).is_err() {
        record.faults |= FAULT_FOLIO;
        return;
    }
    touchers(entry, mapping, forget(&mut buffer.since_ns));
    record.folios = next as u32 + 1;
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

/// One loop, and its state in memory: what the verifier has to tell apart grows with every loop in
/// a loop, and with every value of which it knows something.
#[inline(never)]
fn collect(buffer: &mut WalkBuffer, faults: &mut u32, mapping: u64, first: u64, last: u64) {
    buffer.index = first;
    buffer.node = 0;
    buffer.root = 0;
    for _ in 0..MAX_STEPS {
        match step(buffer, mapping, last) {
            Ok(true) => {}
            Ok(false) => return,
            Err(fault) => {
                *faults |= fault;
                return;
            }
        }
    }
    *faults |= FAULT_WALK_CUT;
}

/// Whether the walk goes on.
#[inline(always)]
fn step(buffer: &mut WalkBuffer, mapping: u64, last: u64) -> Result<bool, u32> {
    let index = forget(&mut buffer.index);
    let node = forget(&mut buffer.node);
    if index > last {
        return Ok(false);
    }
    if node == 0 {
        let entry = member!(mapping, mapping_xa_head as u64).map_err(|_| FAULT_WALK)?;
        if is_node(entry) {
            buffer.node = entry - 2;
            buffer.root = entry - 2;
            return Ok(true);
        }
        // A tree of one entry holds index 0.
        if is_pointer(entry) && index == 0 {
            push(buffer, entry);
        }
        return Ok(false);
    }
    let shift = member!(node, xa_node_shift as u8).map_err(|_| FAULT_WALK)? as u64 & 63;
    let slot = index >> shift;
    if node == buffer.root && slot >= SLOTS {
        return Ok(false);
    }
    let group = slot & !(GROUP - 1);
    let slots = node + offset!(xa_node_slots) as u64;
    read_into(slots + (group & (SLOTS - 1)) * 8, &mut buffer.slots).map_err(|_| FAULT_WALK)?;
    let own = forget(&mut buffer.slots[(slot & (GROUP - 1)) as usize]);
    if is_sibling(own) {
        // Others of its kind are of folios that were found already.
        let first: u64 = read(slots + (own >> 2) * 8).map_err(|_| FAULT_WALK)?;
        buffer.slots[(slot & (GROUP - 1)) as usize] = first;
    }
    buffer.begin = index;
    buffer.slot = slot;
    buffer.more = (last >> shift) - slot;
    buffer.shift = shift;
    buffer.full = 0;
    let next = group + GROUP;
    buffer.index = next << shift;
    if next & (SLOTS - 1) == 0 {
        // The next group belongs to another node: down again from the head.
        buffer.node = 0;
    }
    for n in 0..GROUP {
        look(buffer, n, group + n);
    }
    if forget(&mut buffer.full) == 1 {
        return Err(FAULT_WALK_CUT);
    }
    Ok(true)
}

/// One slot of the group that was read. What comes of it is left in the buffer: the verifier need
/// not tell the cases apart any longer.
#[inline(never)]
fn look(buffer: &mut WalkBuffer, n: u64, at: u64) {
    let entry = forget(&mut buffer.slots[(n & (GROUP - 1)) as usize]);
    if entry == 0 || at.wrapping_sub(forget(&mut buffer.slot)) > forget(&mut buffer.more) {
        return;
    }
    if entry == RETRY || is_node(entry) {
        // Down; or the node is gone, and there is another one in its place.
        buffer.node = if entry == RETRY { 0 } else { entry - 2 };
        buffer.index = forget(&mut buffer.begin).max(at << (forget(&mut buffer.shift) & 63));
        // The rest of the group is for later.
        buffer.slot = u64::MAX;
        buffer.more = 0;
    } else if is_pointer(entry) && !push(buffer, entry) {
        buffer.full = 1;
    }
}

/// A value of which neither the compiler nor the verifier knows anything.
#[inline(always)]
pub fn forget<T: Copy>(value: &mut T) -> T {
    // SAFETY: a reference can be read.
    unsafe { core::ptr::read_volatile(value) }
}

/// Adds a folio unless it is the last one found; false when there is no room.
#[inline(always)]
fn push(buffer: &mut WalkBuffer, folio: u64) -> bool {
    let found = buffer.found;
    if found > 0 && buffer.folios[((found - 1) & (MAX_FOLIOS as u64 - 1)) as usize] == folio {
        return true;
    }
    if found >= MAX_FOLIOS as u64 {
        return false;
    }
    buffer.folios[(found & (MAX_FOLIOS as u64 - 1)) as usize] = folio;
    buffer.found = found + 1;
    true
}

#[inline(always)]
pub fn describe(
    folio: u64,
    mapping: u64,
    has_buffers: bool,
    entry: &mut FolioEntry,
) -> Result<(), Fault> {
    entry.index = 0;
    entry.flags = 0;
    entry.bh_state = 0;
    entry.pages = 1;
    entry.bh_busy = 0;
    entry.present = 0;
    entry.pad = 0;
    if member!(folio, folio_mapping as u64)? != mapping {
        // It was dropped, and is used for something else by now.
        return Err(Fault);
    }
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
    Ok(())
}

/// Who touched the folio, as far as it is about this file: older than `since_ns` it is not.
#[inline(always)]
pub fn touchers(entry: &mut FolioEntry, mapping: u64, since_ns: u64) {
    let key = PageKey {
        mapping,
        index: entry.index,
    };
    if let Some(page) = PAGES.get_ptr(&key) {
        // SAFETY: a map value stays allocated; a torn copy is possible and harmless.
        let page = unsafe { &*page };
        entry.added = page.added;
        entry.dirtied = page.dirtied;
        if entry.added.ts_ns > since_ns {
            entry.present |= FOLIO_ADDED;
        }
        if entry.dirtied.ts_ns > since_ns {
            entry.present |= FOLIO_DIRTIED;
        }
    }
}

#[inline(always)]
fn buffers(head: u64, entry: &mut FolioEntry) -> Result<(), Fault> {
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
