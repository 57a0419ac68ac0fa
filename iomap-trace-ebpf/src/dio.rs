//! Direct writes: their begin, their completion, and what the completion shows.

use aya_ebpf::helpers::bpf_get_current_cgroup_id;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use iomap_trace_ebpf::{
    Counter, FAULT_WALK, FAULT_WALK_CUT, FailureRecord, Header, MAX_FOLIOS, PHASE_MAP, PHASE_POST,
    RECORD_FAILURE,
};

use crate::inode::BTRFS;
use crate::maps::{
    DIO_BY_KIOCB, DIO_BY_TASK, Dio, FAILED_SLOTS, FAILURE, Failed, INODES, InodeState, Scratch,
};
use crate::read::{Fault, count, member, setting};
use crate::{actor, btrfs, emit, filter, inode, pages, walk};

/// `ITER_SOURCE` (include/linux/uio.h): the iterator's data is the source, so this is a write.
const ITER_SOURCE: u8 = 1;
/// `MAX_ERRNO` bits of an `errseq_t`, and its `SEEN` flag (lib/errseq.c).
const ERRSEQ_ERRNO: u32 = 0xfff;
const ERRSEQ_SEEN: u32 = 1 << 12;
const EIO: u32 = 5;

/// `iomap_dio_rw_begin(kiocb, iov_iter, dio_flags, done_before)`.
#[raw_tracepoint]
pub fn dio_begin(ctx: RawTracePointContext) -> i32 {
    let kiocb: u64 = ctx.arg(0);
    let iter: u64 = ctx.arg(1);
    if member!(iter, iov_iter_data_source as u8).unwrap_or(0) != ITER_SOURCE {
        forget(kiocb);
        return 0;
    }
    count(Counter::DioWrites);
    if begin(&ctx, kiocb, iter).is_err() {
        count(Counter::BeginLost);
    }
    0
}

/// A read may use the kiocb of a write that never completed.
#[inline(always)]
fn forget(kiocb: u64) {
    if let Some(dio) = DIO_BY_TASK.get_ptr_mut(actor::tid()) {
        // SAFETY: this entry is only written by this task.
        unsafe { (*dio).kiocb = 0 };
    }
    if member!(kiocb, kiocb_ki_complete as u64).unwrap_or(0) != 0 {
        let _ = DIO_BY_KIOCB.remove(kiocb);
    }
}

#[inline(always)]
fn begin(ctx: &RawTracePointContext, kiocb: u64, iter: u64) -> Result<(), Fault> {
    let file = member!(kiocb, kiocb_ki_filp as u64)?;
    let mapping = member!(file, file_f_mapping as u64)?;
    // SAFETY: takes no arguments.
    let cgroup = unsafe { bpf_get_current_cgroup_id() };
    let writer = actor::current(actor::now());
    let ki_complete = member!(kiocb, kiocb_ki_complete as u64)?;
    let dio = Dio {
        kiocb,
        mapping,
        pos: member!(kiocb, kiocb_ki_pos as u64)?,
        count: member!(iter, iov_iter_count as u64)?,
        cgroup,
        mapping_flags: member!(mapping, mapping_flags as u64).unwrap_or(0),
        writer,
        ki_flags: member!(kiocb, kiocb_ki_flags as u32).unwrap_or(0),
        wb_err: member!(mapping, mapping_wb_err as u32).unwrap_or(0),
        queued: (ki_complete != 0) as u32,
        faults: 0,
    };
    watch(ctx, mapping)?;
    if !follow(&dio) {
        count(Counter::DioMapFull);
        aya_log_ebpf::warn!(ctx, "direct write not followed: map full");
    }
    Ok(())
}

/// Remembers a write by its task, and by its kiocb if it may complete elsewhere.
#[inline(always)]
fn follow(dio: &Dio) -> bool {
    let tid = actor::tid();
    let by_task = if let Some(own) = DIO_BY_TASK.get_ptr_mut(tid) {
        // In place: an insertion would take a new element each time.
        // SAFETY: this entry is only written by this task.
        unsafe { *own = *dio };
        true
    } else {
        DIO_BY_TASK.insert(tid, dio, 0).is_ok()
    };
    by_task && (dio.queued == 0 || DIO_BY_KIOCB.insert(dio.kiocb, dio, 0).is_ok())
}

/// Follows an inode from its first direct write on.
#[inline(always)]
pub fn watch(ctx: &RawTracePointContext, mapping: u64) -> Result<(), Fault> {
    let host = member!(mapping, mapping_host as u64)?;
    let ino = member!(host, inode_i_ino as u64)?;
    let generation = member!(host, inode_i_generation as u32).unwrap_or(0) as u64;
    if let Some(inode) = INODES.get_ptr_mut(mapping) {
        // SAFETY: a map value stays allocated.
        let state = unsafe { &*inode };
        if state.ino == ino && state.generation == generation {
            pages::claim(inode);
            return Ok(());
        }
    }
    let ancestor = setting!(descendants_of);
    let ours = ancestor != 0 && actor::descends_from(ancestor);
    let state = InodeState {
        ino,
        generation,
        since_ns: actor::now(),
        wb_error_ns: 0,
        wb_reported: 0,
        ours: ours as u32,
        next_recent: 0,
        next_failed: 0,
        failed: [Failed {
            ts_ns: 0,
            pos: 0,
            end: 0,
        }; FAILED_SLOTS],
    };
    if INODES.insert(mapping, &state, 0).is_err() {
        count(Counter::InodeMapFull);
        aya_log_ebpf::warn!(ctx, "inode not watched: map full");
    }
    Ok(())
}

/// `iomap_dio_complete(kiocb, error, ret)`, after the kernel's second invalidation.
#[raw_tracepoint]
pub fn dio_complete(ctx: RawTracePointContext) -> i32 {
    let kiocb: u64 = ctx.arg(0);
    let error: i32 = ctx.arg(1);
    let Some(dio) = taken(kiocb) else {
        return 0;
    };
    if error == 0 && completed(&ctx, kiocb, &dio).is_err() {
        count(Counter::CompleteLost);
    }
    0
}

/// Takes the direct write of this kiocb out of the maps.
#[inline(always)]
fn taken(kiocb: u64) -> Option<Dio> {
    if let Some(own) = DIO_BY_TASK.get_ptr_mut(actor::tid()) {
        // SAFETY: this entry is only written by this task.
        let dio = unsafe { *own };
        if dio.kiocb == kiocb {
            // SAFETY: as above.
            unsafe { (*own).kiocb = 0 };
            // A write that may complete elsewhere may have been begun again elsewhere as well.
            if dio.queued == 0 {
                return Some(dio);
            }
        }
    }
    // SAFETY: the entry is copied before it is removed.
    let dio = unsafe { *DIO_BY_KIOCB.get_ptr(kiocb)? };
    let _ = DIO_BY_KIOCB.remove(kiocb);
    Some(dio)
}

#[inline(always)]
fn completed(ctx: &RawTracePointContext, kiocb: u64, dio: &Dio) -> Result<(), Fault> {
    let ret: i64 = ctx.arg::<u64>(2) as i64;
    let written = member!(kiocb, kiocb_ki_pos as u64)?.wrapping_sub(dio.pos);
    let wb_now = member!(dio.mapping, mapping_wb_err as u32)?;
    if written == 0 {
        // Nothing written and no error: the filesystem asked for a buffered write.
        if ret != 0 || dio.count == 0 {
            return Ok(());
        }
    } else {
        // A post failure leaves EIO in wb_err, always: without it there was none. An EIO that
        // somebody had seen before the write began would have been replaced by a new one.
        if wb_now & ERRSEQ_ERRNO != EIO
            || same_error(wb_now, dio.wb_err) && dio.wb_err & ERRSEQ_SEEN != 0
        {
            return Ok(());
        }
    }
    if written != 0 && written < dio.count {
        count(Counter::MapPartial);
    }
    let host = member!(dio.mapping, mapping_host as u64)?;
    let record = FAILURE.get_ptr_mut(Scratch::Complete as u32).ok_or(Fault)?;
    // SAFETY: per-CPU memory that only this program uses.
    let record = unsafe { &mut *record };
    prepare(record, dio, host);
    record.ret = ret;
    record.wb_err_now = wb_now;
    record.phase = if written == 0 { PHASE_MAP } else { PHASE_POST };
    record.len = if written == 0 { dio.count } else { written };
    finish(ctx, record, dio.mapping)
}

/// Walks the written range, and decides whether there is anything to tell.
#[inline(always)]
fn finish(
    ctx: &RawTracePointContext,
    record: &mut FailureRecord,
    mapping: u64,
) -> Result<(), Fault> {
    if record.phase == PHASE_MAP && record.inode.magic != BTRFS {
        return Ok(());
    }
    walk::walk(record, mapping, Scratch::Complete);
    if record.folios == 0 && !alone_is_evidence(record, mapping) {
        return Ok(());
    }
    let filtered = filtered(record, mapping);
    if record.phase == PHASE_POST
        && let Some(state) = INODES.get_ptr_mut(mapping)
    {
        // A failure that is left out explains the change of wb_err all the same.
        // SAFETY: a map value stays allocated; a torn update would need another writer.
        unsafe { (*state).wb_reported = record.wb_err_now };
    }
    if filtered {
        count(Counter::PostFiltered);
        return Ok(());
    }
    report(ctx, record, mapping);
    Ok(())
}

/// The same error of the same moment, whoever has seen it.
#[inline(always)]
fn same_error(one: u32, other: u32) -> bool {
    (one ^ other) & !ERRSEQ_SEEN == 0
}

/// No folio is left: only a change of `wb_err` that no record has told yet is evidence.
#[inline(always)]
fn alone_is_evidence(record: &FailureRecord, mapping: u64) -> bool {
    if record.phase == PHASE_MAP {
        count(Counter::MapUnwitnessed);
        return false;
    }
    if same_error(record.wb_err_now, record.wb_err_begin) {
        if record.faults & (FAULT_WALK | FAULT_WALK_CUT) != 0 {
            count(Counter::PostUnwalked);
        }
        return false;
    }
    // Left to itself it would be laid to the wrong writer: the right one may be filtered.
    if filter::by_writer() {
        return false;
    }
    INODES.get_ptr(mapping).is_none_or(|state| {
        // SAFETY: a map value stays allocated.
        let state = unsafe { &*state };
        !same_error(state.wb_reported, record.wb_err_now) && state.wb_error_ns < record.writer.ts_ns
    })
}

/// Whether a filter leaves this write out.
#[inline(always)]
pub fn filtered(record: &FailureRecord, mapping: u64) -> bool {
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
        .get_ptr(mapping)
        .is_none_or(|state| unsafe { (*state).ours } == 0)
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

/// The bytes that a holder must touch to matter: a large folio reaches beyond the write.
#[inline(always)]
pub fn refused_range(record: &FailureRecord) -> (u64, u64) {
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
pub fn report(ctx: &RawTracePointContext, record: &mut FailureRecord, mapping: u64) {
    if let Some(state) = INODES.get_ptr_mut(mapping) {
        // SAFETY: a map value stays allocated; a torn update would need another writer.
        let state = unsafe { &mut *state };
        record.wb_error_ns = state.wb_error_ns;
        let slot = state.next_failed as usize & (FAILED_SLOTS - 1);
        state.next_failed = slot as u32 + 1;
        let (pos, end) = refused_range(record);
        state.failed[slot] = Failed {
            ts_ns: record.ts_ns,
            pos,
            end,
        };
    }
    if record.faults & FAULT_WALK_CUT != 0 {
        aya_log_ebpf::warn!(ctx, "walk cut short at inode {}", record.inode.ino);
    }
    if setting!(stacks) != 0 {
        record.stack_len = btrfs::kernel_stack(ctx, &mut record.stack);
    }
    let folios = record.folios as usize & 63;
    let len = FailureRecord::HEAD_LEN + folios * size_of::<iomap_trace_ebpf::FolioEntry>();
    if len > size_of::<FailureRecord>() {
        return;
    }
    record.head = Header::new(RECORD_FAILURE, len as u32);
    // SAFETY: `len` is at most the size of the record.
    unsafe { emit::send(record, len, Counter::FailureLost) };
    if record.inode.magic == BTRFS {
        btrfs::tell_recent(mapping, record);
    }
}
