//! Direct writes by their tracepoints (since 6.5): begin, completion, and what the completion shows.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use iomap_trace_ebpf::{
    Counter, FAULT_WALK, FAULT_WALK_CUT, FailureRecord, PHASE_MAP, PHASE_POST, PLAN_TRACEPOINT,
};

use crate::inode::BTRFS;
use crate::maps::{Dio, INODES, STAGE_SUBMIT, Scratch};
use crate::read::{Fault, count, glance, member, setting};
use crate::{actor, failure, filter, walk, write};

/// `MAX_ERRNO` bits of an `errseq_t`, and its `SEEN` flag (lib/errseq.c).
const ERRSEQ_ERRNO: u32 = 0xfff;
const ERRSEQ_SEEN: u32 = 1 << 12;
const EIO: u32 = 5;

/// `iomap_dio_rw_begin(kiocb, iov_iter, dio_flags, done_before)`.
#[raw_tracepoint]
pub fn dio_begin(ctx: RawTracePointContext) -> i32 {
    write::begin(&ctx, ctx.arg(0), ctx.arg(1), false);
    0
}

/// As [`dio_begin`], which it may safely follow: it says the same again.
#[raw_tracepoint]
pub fn dio_begin_spare(ctx: RawTracePointContext) -> i32 {
    let begun = write::own().is_some_and(|own| {
        // SAFETY: this entry is only written by this task.
        let own = unsafe { &*own };
        let recent = actor::now().wrapping_sub(own.writer.ts_ns) < 1_000_000;
        own.kiocb == ctx.arg::<u64>(0) && own.stage == STAGE_SUBMIT && recent
    });
    if !begun {
        write::begin(&ctx, ctx.arg(0), ctx.arg(1), false);
    }
    0
}

/// `iomap_dio_complete(kiocb, error, ret)`, after the kernel's second invalidation.
#[raw_tracepoint]
pub fn dio_complete(ctx: RawTracePointContext) -> i32 {
    let kiocb: u64 = ctx.arg(0);
    let error: i32 = ctx.arg(1);
    let Some(dio) = write::taken(kiocb) else {
        return 0;
    };
    // SAFETY: an entry of this task, or of a write that completes here.
    if error == 0 && completed(&ctx, kiocb, unsafe { &mut *dio }).is_err() {
        count(Counter::CompleteLost);
    }
    0
}

/// In standby, instead of [`dio_complete`]: a failed invalidation leaves an EIO in `wb_err` that nobody
/// has fetched. Whether this wrote, and when it began, is not known: that must be followed to tell more.
#[raw_tracepoint]
pub fn dio_complete_note(ctx: RawTracePointContext) -> i32 {
    let error: i32 = ctx.arg(1);
    let done = ctx.arg::<u64>(2) as i64 > 0;
    if error == 0 && done && unfetched(ctx.arg(0)).is_ok_and(|eio| eio) {
        count(Counter::UnwatchedLost);
    }
    0
}

/// Whether the file of this kiocb has such an EIO.
#[inline(always)]
fn unfetched(kiocb: u64) -> Result<bool, Fault> {
    let wb_err = glance!(write::mapping_of(kiocb)?, mapping_wb_err as u32)?;
    Ok(wb_err & (ERRSEQ_ERRNO | ERRSEQ_SEEN) == EIO)
}

#[inline(always)]
fn completed(ctx: &RawTracePointContext, kiocb: u64, dio: &mut Dio) -> Result<(), Fault> {
    let ret: i64 = ctx.arg::<u64>(2) as i64;
    let written = glance!(kiocb, kiocb_ki_pos as u64)?.wrapping_sub(dio.pos);
    if written != 0 && setting!(plan) != PLAN_TRACEPOINT {
        // The invalidation itself is seen: nothing has to be inferred.
        return Ok(());
    }
    let wb_now = glance!(dio.mapping, mapping_wb_err as u32)?;
    if written == 0 {
        // Nothing written and no error: the filesystem asked for a buffered write.
        if ret != 0 || dio.count == 0 {
            return Ok(());
        }
    } else if wb_now & ERRSEQ_ERRNO != EIO
        || same_error(wb_now, dio.wb_err) && dio.wb_err & ERRSEQ_SEEN != 0
    {
        // A post failure leaves EIO in wb_err, always: without it there was none. An EIO that
        // somebody had seen before the write began would have been replaced by a new one.
        return Ok(());
    }
    if written != 0 && written < dio.count {
        count(Counter::MapPartial);
    }
    write::name(dio);
    let record = prepared(dio, written, wb_now)?;
    record.ret = ret;
    finish(ctx, record)
}

/// btrfs found a folio again under the extent lock, and asked for a buffered write.
#[inline(always)]
pub fn reappeared<C: EbpfContext>(ctx: &C, dio: &Dio) -> Result<(), Fault> {
    let wb_now = member!(dio.mapping, mapping_wb_err as u32)?;
    let record = prepared(dio, 0, wb_now)?;
    finish(ctx, record)
}

#[inline(always)]
fn prepared(dio: &Dio, written: u64, wb_now: u32) -> Result<&'static mut FailureRecord, Fault> {
    let host = member!(dio.mapping, mapping_host as u64)?;
    let record = failure::record(Scratch::Complete)?;
    failure::prepare(record, dio, host);
    record.wb_err_now = wb_now;
    record.phase = if written == 0 { PHASE_MAP } else { PHASE_POST };
    record.len = if written == 0 { dio.count } else { written };
    Ok(record)
}

/// Walks the range, and decides whether there is anything to tell.
#[inline(always)]
fn finish<C: EbpfContext>(ctx: &C, record: &mut FailureRecord) -> Result<(), Fault> {
    if record.phase == PHASE_MAP && record.inode.magic != BTRFS {
        return Ok(());
    }
    walk::walk(record, Scratch::Complete);
    // Read again: the verifier need not tell the phases apart during the walk.
    let phase = walk::forget(&mut record.phase);
    if record.folios == 0 && !alone_is_evidence(record, phase) {
        return Ok(());
    }
    let filtered = failure::filtered(record);
    if phase == PHASE_POST
        && let Some(state) = INODES.get_ptr_mut(failure::mapping(record))
    {
        // A failure that is left out explains the change of wb_err all the same.
        // SAFETY: a map value stays allocated; a torn update would need another writer.
        unsafe { (*state).wb_reported = record.wb_err_now };
    }
    if filtered {
        count(Counter::PostFiltered);
        return Ok(());
    }
    failure::report(ctx, record);
    Ok(())
}

/// The same error of the same moment, whoever has seen it.
#[inline(always)]
fn same_error(one: u32, other: u32) -> bool {
    (one ^ other) & !ERRSEQ_SEEN == 0
}

/// No folio is left: only a change of `wb_err` that no record has told yet is evidence.
#[inline(always)]
fn alone_is_evidence(record: &mut FailureRecord, phase: u32) -> bool {
    if phase == PHASE_MAP {
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
    INODES
        .get_ptr(failure::mapping(record))
        .is_none_or(|state| {
            // SAFETY: a map value stays allocated.
            let state = unsafe { &*state };
            !same_error(state.wb_reported, record.wb_err_now)
                && state.wb_error_ns < record.writer.ts_ns
        })
}
