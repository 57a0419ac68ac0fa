//! Releases of folios inside an invalidation, and those that are refused.

use aya_ebpf::helpers::bpf_get_current_task;
use iomap_trace_ebpf::{
    Counter, FAULT_REFUSALS_CUT, Header, MAX_REFUSALS, PLAN_FEXIT, RECORD_REFUSAL, RefusalRecord,
};

use crate::inode::{self, BTRFS, EXT4};
use crate::maps::{
    Dio, HOLDER, HolderScratch, INODES, REFUSAL, RefusalScratch, STAGE_EMPTY, STAMP,
};
use crate::read::{Fault, count, member, setting};
use crate::{actor, emit, filter, holder, walk, write};

/// A holder counts that gave its lock up so shortly before the release was asked for.
const LINGERS_NS: u64 = 50_000_000;

/// A release of `folio` is asked for: by this task, in whatever it does.
#[inline(always)]
pub fn asked(folio: u64) {
    let Some(own) = write::own() else {
        return;
    };
    // SAFETY: this entry is only written by this task.
    let own = unsafe { &mut *own };
    own.asked = folio;
    own.asked_ns = actor::now();
}

/// A release begins whose end will tell the folio. Most of them are granted and of no interest, so
/// no more is done than to note the moment.
#[inline(always)]
pub fn stamp() {
    if let Some(stamp) = STAMP.get_ptr_mut(0) {
        // SAFETY: per-CPU memory; what another task writes here has its own name on it. The helper
        // takes no arguments.
        unsafe {
            (*stamp).task = bpf_get_current_task();
            (*stamp).ts_ns = actor::now();
        }
    }
}

/// When the release began that ends in this task; 0 when that is not known: it went to another CPU
/// meanwhile, or was interrupted by a task with a release of its own.
#[inline(always)]
fn stamped(own: &Dio) -> u64 {
    STAMP.get_ptr(0).map_or(0, |stamp| {
        // SAFETY: as in `stamp`.
        let (stamp, task) = unsafe { (&*stamp, bpf_get_current_task()) };
        if stamp.task == task && stamp.ts_ns >= own.writer.ts_ns {
            stamp.ts_ns
        } else {
            0
        }
    })
}

/// The folio of the last [`asked`], where the function's end does not tell it.
#[inline(always)]
pub fn last_asked() -> u64 {
    // SAFETY: this entry is only written by this task.
    write::own().map_or(0, |own| unsafe { (*own).asked })
}

/// The release of `folio` was refused.
#[inline(always)]
pub fn refused(folio: u64, scratch: RefusalScratch) {
    let left_ns = actor::now();
    let Some(own) = write::own() else {
        return;
    };
    // SAFETY: this entry is only written by this task.
    let own = unsafe { &mut *own };
    // One release asks another: the innermost knows the moment best.
    if folio == 0 || own.stage >= STAGE_EMPTY || own.told == 1 || own.refused == folio {
        return;
    }
    // Reclaim asks for folios of others.
    if !member!(folio, folio_mapping as u64).is_ok_and(|mapping| mapping == own.mapping) {
        return;
    }
    own.refused = folio;
    write::name(own);
    if filter::leaves_out_writer(&own.writer, own.cgroup) {
        return;
    }
    own.refusals += 1;
    if own.refusals > MAX_REFUSALS {
        own.faults |= FAULT_REFUSALS_CUT;
        count(Counter::RefusalCut);
        return;
    }
    if tell(own, folio, left_ns, scratch).is_err() {
        count(Counter::RefusalLost);
    }
}

#[inline(always)]
fn tell(own: &Dio, folio: u64, left_ns: u64, scratch: RefusalScratch) -> Result<(), Fault> {
    let record = REFUSAL.get_ptr_mut(scratch as u32).ok_or(Fault)?;
    // SAFETY: per-CPU memory that only the programs of this scratch use.
    let record = unsafe { &mut *record };
    let host = member!(own.mapping, mapping_host as u64)?;
    let sb = member!(host, inode_i_sb as u64)?;
    let magic = member!(sb, sb_s_magic as u64)?;
    record.head = Header::new(RECORD_REFUSAL, size_of::<RefusalRecord>() as u32);
    record.ts_ns = left_ns;
    record.entered_ns = if setting!(plan) == PLAN_FEXIT {
        stamped(own)
    } else if own.asked == folio {
        own.asked_ns
    } else {
        0
    };
    record.mapping = own.mapping;
    record.tid = actor::tid();
    record.pad = 0;
    walk::describe(folio, own.mapping, magic == EXT4, &mut record.folio)?;
    let pos = record.folio.index << walk::PAGE_SHIFT;
    let end = pos + ((record.folio.pages as u64) << walk::PAGE_SHIFT);
    if pos >= own.pos.saturating_add(own.count) || end <= own.pos {
        // Not of this range: reclaim asked for it.
        return Ok(());
    }
    let mut since_ns = 0;
    if let Some(state) = INODES.get_ptr_mut(own.mapping) {
        // SAFETY: a map value stays allocated; whichever failure is written is a late one.
        let state = unsafe { &mut *state };
        since_ns = state.since_ns;
        state.failed_ns = left_ns;
    }
    walk::touchers(&mut record.folio, own.mapping, since_ns);
    // SAFETY: the record is complete.
    unsafe { emit::send(record, size_of::<RefusalRecord>(), Counter::RefusalLost) };
    if magic == BTRFS {
        // An unlock takes a while after its event on a large range.
        let since_ns = record.entered_ns.saturating_sub(LINGERS_NS);
        let identity = HOLDER
            .get_ptr_mut(HolderScratch::of(scratch))
            .ok_or(Fault)?;
        // SAFETY: per-CPU memory that only the programs of this scratch use.
        let identity = unsafe { &mut (*identity).inode };
        inode::identify(host, identity);
        holder::tell_recent(own.mapping, identity, since_ns, pos, end);
    }
    Ok(())
}
