//! Pre failures: the invalidation before a direct write is submitted.

use aya_ebpf::helpers::bpf_get_current_cgroup_id;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use iomap_trace_ebpf::{Counter, FAULT_NO_BEGIN, FAULT_WB_ERR, PHASE_PRE};

use crate::maps::{DIO_BY_KIOCB, DIO_BY_TASK, Dio, FAILURE, Scratch};
use crate::read::{Fault, count, member};
use crate::{actor, dio, walk};

/// `iomap_dio_invalidate_fail(inode, pos, len)`, in the task that submits.
#[raw_tracepoint]
pub fn invalidate_fail(ctx: RawTracePointContext) -> i32 {
    count(Counter::InvalidateSeen);
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
    let record = FAILURE
        .get_ptr_mut(Scratch::Invalidate as u32)
        .ok_or(Fault)?;
    // SAFETY: per-CPU memory that only this program uses.
    let record = unsafe { &mut *record };
    dio::prepare(record, &begun(mapping, pos), host);
    record.pos = pos;
    record.len = len;
    record.phase = PHASE_PRE;
    // Its begin may not have been seen: before 6.5 there is no tracepoint for it.
    dio::watch(ctx, mapping)?;
    if dio::filtered(record, mapping) {
        count(Counter::InvalidateFiltered);
        return Ok(());
    }
    match member!(mapping, mapping_wb_err as u32) {
        Ok(value) => record.wb_err_now = value,
        Err(Fault) => record.faults |= FAULT_WB_ERR,
    }
    walk::walk(record, mapping, Scratch::Invalidate);
    dio::report(ctx, record, mapping);
    Ok(())
}

/// The write that this task began on this range; it will not complete.
#[inline(always)]
fn begun(mapping: u64, pos: u64) -> Dio {
    if let Some(own) = DIO_BY_TASK.get_ptr_mut(actor::tid()) {
        // SAFETY: this entry is only written by this task.
        let dio = unsafe { *own };
        if dio.kiocb != 0 && dio.mapping == mapping && dio.pos == pos {
            // SAFETY: as above.
            unsafe { (*own).kiocb = 0 };
            if dio.queued == 1 {
                let _ = DIO_BY_KIOCB.remove(dio.kiocb);
            }
            return dio;
        }
    }
    Dio {
        kiocb: 0,
        mapping,
        pos,
        count: 0,
        // SAFETY: takes no arguments.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        mapping_flags: 0,
        writer: actor::current(actor::now()),
        ki_flags: 0,
        wb_err: 0,
        queued: 0,
        faults: FAULT_NO_BEGIN,
    }
}
