//! The record of a failure: filled from the write, filtered, completed and sent.

use aya_ebpf::EbpfContext;
use iomap_trace_ebpf::{
    Counter, FAULT_NO_BEGIN, FAULT_WALK_CUT, FailureRecord, FolioEntry, Header, MAX_FOLIOS,
    RECORD_FAILURE,
};

use crate::inode::BTRFS;
use crate::maps::{Dio, ENTRY_STACKS, FAILURE, INODES, Scratch};
use crate::read::{Fault, member, setting};
use crate::{actor, btrfs, emit, filter, holder, inode, walk};

/// Where the begin of a write was not seen, holders count that ended so shortly before the failure.
const BEGIN_UNSEEN_NS: u64 = 1_000_000;

/// The scratch record of a program.
#[inline(always)]
pub fn record(scratch: Scratch) -> Result<&'static mut FailureRecord, Fault> {
    let record = FAILURE.get_ptr_mut(scratch as u32).ok_or(Fault)?;
    // SAFETY: per-CPU memory that only the program of this scratch uses.
    Ok(unsafe { &mut *record })
}

/// Fills in what is known of the write. It comes before the walk, so that the state which the
/// verifier has to follow through the walk is small.
#[inline(always)]
pub fn prepare(record: &mut FailureRecord, dio: &Dio, host: u64) {
    record.ts_ns = actor::now();
    record.faults = dio.faults | inode::identify(host, &mut record.inode);
    record.writer = dio.writer;
    record.cgroup = dio.cgroup;
    record.pos = dio.pos;
    record.len = dio.count;
    record.ret = 0;
    record.size = member!(host, inode_i_size as u64).unwrap_or(0);
    record.mapping_flags = dio.mapping_flags;
    record.ki_flags = dio.ki_flags;
    record.wb_err_begin = dio.wb_err;
    record.wb_err_now = 0;
    record.wb_error_ns = 0;
    record.mapping = dio.mapping;
    record.errno = 0;
    record.pad = 0;
    record.current_tid = actor::tid();
    record.stack_len = 0;
    record.folios = 0;
}

/// The page cache. After a walk it is read again: a value kept meanwhile would make more states
/// for the verifier to tell apart.
#[inline(always)]
pub fn mapping(record: &mut FailureRecord) -> u64 {
    walk::forget(&mut record.mapping)
}

/// Whether a filter leaves this write out.
#[inline(always)]
pub fn filtered(record: &mut FailureRecord) -> bool {
    if filter::leaves_out_inode(&record.inode)
        || filter::leaves_out_writer(&record.writer, record.cgroup)
    {
        return true;
    }
    if setting!(descendants_of) == 0 {
        return false;
    }
    // SAFETY: a map value stays allocated.
    INODES
        .get_ptr(mapping(record))
        .is_none_or(|state| unsafe { (*state).ours } == 0)
}

/// The bytes that a holder must touch to matter: a large folio reaches beyond the write.
#[inline(always)]
fn refused_range(record: &FailureRecord) -> (u64, u64) {
    let mut pos = record.pos;
    let mut end = record.pos.saturating_add(record.len);
    if record.folios > 0 {
        let first = &record.folio[0];
        let last = &record.folio[(record.folios - 1) as usize & (MAX_FOLIOS - 1)];
        pos = pos.min(first.index << walk::PAGE_SHIFT);
        end = end.max((last.index + last.pages as u64) << walk::PAGE_SHIFT);
    }
    (pos, end)
}

/// Completes the record and sends it, and the holders that its inode had meanwhile.
#[inline(always)]
pub fn report<C: EbpfContext>(ctx: &C, record: &mut FailureRecord) {
    let mapping = mapping(record);
    if let Some(state) = INODES.get_ptr_mut(mapping) {
        // SAFETY: a map value stays allocated; a torn update would need another writer.
        let state = unsafe { &mut *state };
        record.wb_error_ns = state.wb_error_ns;
        state.failed_ns = record.ts_ns;
    }
    if record.faults & FAULT_WALK_CUT != 0 {
        aya_log_ebpf::warn!(ctx, "walk cut short at inode {}", record.inode.ino);
    }
    if setting!(stacks) != 0 {
        record.stack_len = stack(ctx, record);
    }
    // At most `MAX_FOLIOS` were counted; the mask tells the verifier.
    let folios = record.folios as usize & (2 * MAX_FOLIOS - 1);
    let len = FailureRecord::HEAD_LEN + folios * size_of::<FolioEntry>();
    if len > size_of::<FailureRecord>() {
        crate::read::count(Counter::FailureLost);
        return;
    }
    record.head = Header::new(RECORD_FAILURE, len as u32);
    // SAFETY: `len` is at most the size of the record.
    unsafe { emit::send(record, len, Counter::FailureLost) };
    if record.inode.magic == BTRFS {
        let (pos, end) = refused_range(record);
        let since_ns = if record.faults & FAULT_NO_BEGIN != 0 {
            record.ts_ns - BEGIN_UNSEEN_NS
        } else {
            record.writer.ts_ns
        };
        holder::tell_recent(mapping, &record.inode, since_ns, pos, end);
    }
}

/// The stack of the failure: a kretprobe hides it, so the one of the function's begin is taken.
#[inline(always)]
fn stack<C: EbpfContext>(ctx: &C, record: &mut FailureRecord) -> u32 {
    if setting!(plan) == iomap_trace_ebpf::PLAN_KPROBE
        && let Some(stack) = ENTRY_STACKS.get_ptr(actor::tid())
    {
        // SAFETY: this entry is only written by this task.
        record.stack = unsafe { *stack };
        let _ = ENTRY_STACKS.remove(actor::tid());
        let len = record.stack.iter().take_while(|address| **address != 0);
        return len.count() as u32;
    }
    btrfs::kernel_stack(ctx, &mut record.stack)
}
