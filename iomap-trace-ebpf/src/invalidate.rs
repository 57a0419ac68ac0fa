//! Failed invalidations: by the tracepoint before submission, and by the function's own return.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use iomap_trace_ebpf::{
    Counter, FAULT_RETURN_UNSEEN, FAULT_WB_ERR, FailureRecord, PHASE_POST, PHASE_PRE, PLAN_KPROBE,
    PLAN_TRACEPOINT,
};

use crate::maps::{
    DIO_BY_KIOCB, Dio, ENTRY_STACKS, FAILED_DIO, FailedDio, STAGE_EMPTY, STAGE_GENERIC, STAGE_POST,
    Scratch,
};
use crate::read::{Fault, count, member, setting};
use crate::{actor, btrfs, failure, mem, walk, write};

/// `iomap_dio_invalidate_fail(inode, pos, len)`, in the task that submits.
#[raw_tracepoint]
pub fn invalidate_fail(ctx: RawTracePointContext) -> i32 {
    if failed(&ctx).is_err() {
        // Neither the page cache nor a record to write to: the failure is lost, and counted so.
        count(Counter::FailureLost);
    }
    0
}

#[inline(always)]
fn failed(ctx: &RawTracePointContext) -> Result<(), Fault> {
    let host: u64 = ctx.arg(0);
    let pos: u64 = ctx.arg(1);
    let len: u64 = ctx.arg(2);
    let mapping = member!(host, inode_i_mapping as u64)?;
    let begun = begun(mapping, pos)?;
    if setting!(plan) != PLAN_TRACEPOINT && begun.told == 1 {
        return Ok(());
    }
    count(Counter::InvalidateSeen);
    if setting!(plan) == PLAN_KPROBE && begun.invalidating_ns != 0 {
        count(Counter::ReturnLost);
    }
    let record = failure::record(Scratch::Invalidate)?;
    failure::prepare(record, begun, host);
    record.pos = pos;
    record.len = len;
    record.phase = PHASE_PRE;
    // Its begin may not have been seen: before 6.5 there is no tracepoint for it.
    write::watch(ctx, mapping)?;
    if failure::filtered(record) {
        count(Counter::InvalidateFiltered);
        return Ok(());
    }
    wb_err_now(record, mapping);
    if setting!(plan) != PLAN_TRACEPOINT {
        record.faults |= FAULT_RETURN_UNSEEN;
    }
    walk::walk(record, Scratch::Invalidate);
    failure::report(ctx, record);
    Ok(())
}

#[inline(always)]
fn wb_err_now(record: &mut FailureRecord, mapping: u64) {
    match member!(mapping, mapping_wb_err as u32) {
        Ok(value) => record.wb_err_now = value,
        Err(Fault) => record.faults |= FAULT_WB_ERR,
    }
}

/// Room for the write of a program.
#[inline(always)]
fn failed_dio(of: FailedDio) -> Result<&'static mut Dio, Fault> {
    let dio = FAILED_DIO.get_ptr_mut(of as u32).ok_or(Fault)?;
    // SAFETY: per-CPU memory that only that program uses.
    Ok(unsafe { &mut *dio })
}

/// The write that this task began on this range; it will not complete.
#[inline(always)]
fn begun(mapping: u64, pos: u64) -> Result<&'static Dio, Fault> {
    let begun = failed_dio(FailedDio::Invalidate)?;
    if let Some(own) = write::own() {
        // SAFETY: this entry is only written by this task.
        let dio = unsafe { &mut *own };
        if dio.mapping == mapping && dio.pos == pos {
            write::name(dio);
            // SAFETY: two values of whole words.
            unsafe { mem::copy(begun, dio) };
            dio.kiocb = 0;
            if begun.queued == 1 {
                let _ = DIO_BY_KIOCB.remove(begun.kiocb);
            }
            return Ok(begun);
        }
    }
    write::nothing(begun, mapping);
    Ok(begun)
}

/// `invalidate_inode_pages2_range(mapping, start, end)` begins (kprobes only).
#[inline(always)]
pub fn entered<C: EbpfContext>(ctx: &C, mapping: u64) {
    let Some(own) = write::own() else {
        return;
    };
    // SAFETY: this entry is only written by this task.
    let own = unsafe { &mut *own };
    if own.mapping != mapping {
        return;
    }
    if own.invalidating_ns != 0 {
        count(Counter::ReturnLost);
    }
    own.invalidating_ns = actor::now();
    if setting!(stacks) != 0 {
        let mut stack = [0; iomap_trace_ebpf::MAX_STACK];
        btrfs::kernel_stack(ctx, &mut stack);
        let _ = ENTRY_STACKS.insert(actor::tid(), stack, 0);
    }
}

/// It returned an error. `mapping` is its argument.
#[inline(always)]
pub fn returned<C: EbpfContext>(ctx: &C, mapping: u64, errno: i32) {
    let Some(own) = write::own() else {
        // In standby writes are not followed: it may be for one.
        if setting!(standby) == 0 {
            count(Counter::InvalidateOther);
        }
        return;
    };
    // SAFETY: this entry is only written by this task.
    let own = unsafe { &mut *own };
    if own.mapping != mapping || own.stage >= STAGE_EMPTY {
        count(Counter::InvalidateOther);
        return;
    }
    if own.told == 1 {
        return;
    }
    own.told = 1;
    write::name(own);
    let done = invalidated_after(own);
    let phase = if done.is_some() {
        PHASE_POST
    } else {
        PHASE_PRE
    };
    count(if phase == PHASE_PRE {
        Counter::InvalidateSeen
    } else {
        Counter::PostSeen
    });
    if tell(ctx, own, done.unwrap_or(own.count), phase, errno).is_err() {
        count(Counter::FailureLost);
    }
}

/// The bytes that were written, when the invalidation is the one after that. The second one is made in
/// `kiocb_invalidate_post_direct_write()`, but before 6.5 `generic_file_direct_write()` calls
/// `invalidate_inode_pages2_range()` both times itself, and the program on the former may have been
/// missed: then there is less left in the iterator than at the begin.
#[inline(always)]
fn invalidated_after(dio: &Dio) -> Option<u64> {
    if dio.stage == STAGE_POST {
        return Some(dio.count);
    }
    // Inside the generic function the iterator is there for certain; else only that of a write which
    // its task waits for.
    if dio.iter == 0 || dio.stage != STAGE_GENERIC && dio.queued == 1 {
        return None;
    }
    let left = member!(dio.iter, iov_iter_count as u64).ok()?;
    (left < dio.count).then(|| dio.count - left)
}

#[inline(always)]
fn tell<C: EbpfContext>(ctx: &C, dio: &Dio, len: u64, phase: u32, errno: i32) -> Result<(), Fault> {
    let mapping = dio.mapping;
    let host = member!(mapping, mapping_host as u64)?;
    let record = failure::record(Scratch::Returned)?;
    failure::prepare(record, dio, host);
    record.len = len;
    record.phase = phase;
    record.errno = errno;
    if failure::filtered(record) {
        count(if phase == PHASE_PRE {
            Counter::InvalidateFiltered
        } else {
            Counter::PostFiltered
        });
        return Ok(());
    }
    wb_err_now(record, mapping);
    walk::walk(record, Scratch::Returned);
    failure::report(ctx, record);
    Ok(())
}

/// `dio_warn_stale_pagecache(file)`: reached when the invalidation after completion has failed,
/// which its return has told before, unless that was missed, or is not watched in standby. A write may
/// come here twice: those that are not on iomap invalidate in `dio_complete()` (fs/direct-io.c), and
/// then in `generic_file_direct_write()`.
#[inline(always)]
pub fn stale_warn<C: EbpfContext>(ctx: &C, file: u64) {
    count(Counter::StaleWarnSeen);
    let Ok(dio) = failed_dio(FailedDio::StaleWarn) else {
        count(Counter::PostSeen);
        count(Counter::FailureLost);
        return;
    };
    // SAFETY: this entry is only written by this task.
    let own = write::own().map(|own| unsafe { &mut *own });
    let same = |own: &&mut Dio| write::mapping_of_file(file).is_ok_and(|m| m == own.mapping);
    match own.filter(same) {
        Some(own) => {
            if own.told == 1 {
                write::again(own);
                return;
            }
            count(Counter::PostSeen);
            let Some(done) = invalidated_after(own) else {
                count(Counter::FailureLost);
                return;
            };
            write::name(own);
            if own.invalidating_ns != 0 {
                count(Counter::ReturnLost);
            }
            // SAFETY: two values of whole words.
            unsafe { mem::copy(dio, own) };
            dio.count = done;
            write::again(own);
        }
        None => {
            // Of a write that is not followed: in standby, or begun before we were.
            count(Counter::PostSeen);
            if setting!(standby) == 0 || noted(ctx, dio, file).is_err() {
                count(Counter::FailureLost);
                return;
            }
        }
    }
    if missed(ctx, dio).is_err() {
        count(Counter::FailureLost);
    }
}

/// In standby: the write is known by what was noted of it just before.
#[inline(always)]
fn noted<C: EbpfContext>(ctx: &C, dio: &mut Dio, file: u64) -> Result<(), Fault> {
    write::noted(dio, file)?;
    write::watch(ctx, dio.mapping)
}

#[inline(always)]
fn missed<C: EbpfContext>(ctx: &C, dio: &Dio) -> Result<(), Fault> {
    let host = member!(dio.mapping, mapping_host as u64)?;
    let record = failure::record(Scratch::StaleWarn)?;
    failure::prepare(record, dio, host);
    record.phase = PHASE_POST;
    record.faults |= FAULT_RETURN_UNSEEN;
    if failure::filtered(record) {
        count(Counter::PostFiltered);
        return Ok(());
    }
    wb_err_now(record, dio.mapping);
    // A kretprobe loses returns where many tasks are inside the function; in standby there is none.
    if setting!(plan) == PLAN_KPROBE || setting!(standby) == 1 {
        walk::walk(record, Scratch::StaleWarn);
    }
    failure::report(ctx, record);
    Ok(())
}
