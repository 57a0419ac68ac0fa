//! A direct write between its begin and its end: who writes what, and how far it has come.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::bpf_get_current_cgroup_id;
use iomap_trace_ebpf::{Counter, FAULT_NO_BEGIN, PLAN_KPROBE};

use crate::maps::{
    AWAKE, DIO_BY_KIOCB, Dio, FOLLOWED, INODES, InodeState, NOTED, NOTED_SLOTS, Noted, STAGE_EMPTY,
    STAGE_GENERIC, STAGE_POST, STAGE_SUBMIT,
};
use crate::read::{Fault, Words, casts, count, glance, member, offset, setting, some};
use crate::{actor, holder, inode, mem, pages, task};

/// `ITER_SOURCE` (include/linux/uio.h), bit 0 of the iterator's type before 5.14: the iterator's
/// data is the source, so this is a write.
const ITER_SOURCE: u8 = 1;

/// A direct read or write begins; `generic` in `generic_file_direct_write`.
#[inline(always)]
pub fn begin<C: EbpfContext>(ctx: &C, kiocb: u64, iter: u64, generic: bool) {
    if !generic && asleep() {
        return;
    }
    // The members that matter come first, and a `struct iov_iter` is at least so long.
    let Ok(words) = Words::<5>::read(iter) else {
        count(Counter::BeginLost);
        return;
    };
    if !generic && words.byte(offset!(iov_iter_data_source)) & 1 != ITER_SOURCE {
        forget(kiocb);
        return;
    }
    count(Counter::DioWrites);
    if setting!(standby) == 1
        && let Some(followed) = FOLLOWED.get_ptr_mut(0)
    {
        // SAFETY: a map value stays allocated; all write the same.
        unsafe { *followed = 1 };
    }
    if begin_write(ctx, kiocb, iter, &words, generic).is_err() {
        count(Counter::BeginLost);
    }
}

/// A read may use the kiocb of a write that never completed.
#[inline(always)]
fn forget(kiocb: u64) {
    if let Some(task) = task::known() {
        // SAFETY: this entry is only written by this task.
        unsafe { (*task).dio.kiocb = 0 };
    }
    if glance!(kiocb, kiocb_ki_complete as u64).unwrap_or(0) != 0 {
        let _ = DIO_BY_KIOCB.remove(kiocb);
    }
}

#[inline(always)]
fn begin_write<C: EbpfContext>(
    ctx: &C,
    kiocb: u64,
    iter: u64,
    words: &Words<5>,
    generic: bool,
) -> Result<(), Fault> {
    let Some(own) = entry() else {
        count(Counter::DioMapFull);
        aya_log_ebpf::warn!(ctx, "direct write not followed: map full");
        return Ok(());
    };
    if setting!(plan) == PLAN_KPROBE && own.kiocb != 0 && own.stage == STAGE_EMPTY {
        count(Counter::MapReturnLost);
    }
    own.kiocb = 0;
    describe(own, kiocb)?;
    own.count = words.at(offset!(iov_iter_count))?;
    own.iter = iter;
    if generic {
        own.stage = STAGE_GENERIC;
        own.iomap_dio = iter;
    }
    own.faults = 0;
    watch(ctx, own.mapping)?;
    own.kiocb = kiocb;
    if own.queued == 1 && DIO_BY_KIOCB.insert(kiocb, &*own, 0).is_err() {
        count(Counter::DioMapFull);
        aya_log_ebpf::warn!(ctx, "direct write not followed: map full");
    }
    Ok(())
}

/// The entry of this task; one of nothing when there was none.
#[inline(always)]
fn entry() -> Option<&'static mut Dio> {
    // SAFETY: this entry is only written by this task.
    task::own().map(|task| unsafe { &mut (*task).dio })
}

/// What the kiocb tells of a write of this task, but for the kiocb itself; whether it begins now the
/// caller knows.
#[inline(always)]
fn describe(dio: &mut Dio, kiocb: u64) -> Result<(), Fault> {
    // As above, of a `struct kiocb`.
    let words = Words::<5>::read(kiocb)?;
    let file = some(words.at(offset!(kiocb_ki_filp))?)?;
    let mapping = some(glance!(file, file_f_mapping as u64)?)?;
    let ki_complete = words.at(offset!(kiocb_ki_complete))?;
    // SAFETY: zeros are a write of which nothing is known.
    unsafe { mem::zero(dio) };
    dio.mapping = mapping;
    dio.stage = STAGE_SUBMIT;
    dio.faults = FAULT_NO_BEGIN;
    dio.writer.ts_ns = actor::now();
    dio.pos = words.at(offset!(kiocb_ki_pos))?;
    dio.mapping_flags = glance!(mapping, mapping_flags as u64).unwrap_or(0);
    dio.ki_flags = words.at(offset!(kiocb_ki_flags)).unwrap_or(0) as u32;
    dio.wb_err = glance!(mapping, mapping_wb_err as u32).unwrap_or(0);
    dio.queued = (ki_complete != 0) as u32;
    if dio.queued == 1 {
        // Another task may ask.
        name(dio);
    }
    Ok(())
}

/// A write of this task of which nothing else was seen.
#[inline(always)]
pub fn nothing(dio: &mut Dio, mapping: u64) {
    // SAFETY: zeros are a write of which nothing is known.
    unsafe { mem::zero(dio) };
    dio.mapping = mapping;
    dio.writer.ts_ns = actor::now();
    dio.stage = STAGE_SUBMIT;
    dio.faults = FAULT_NO_BEGIN;
    name(dio);
}

/// Says who writes, of a write of this task: not before somebody wants to know.
#[inline(always)]
pub fn name(dio: &mut Dio) {
    if dio.named == 1 {
        return;
    }
    dio.named = 1;
    // SAFETY: takes no arguments.
    dio.cgroup = unsafe { bpf_get_current_cgroup_id() };
    let ts_ns = dio.writer.ts_ns;
    actor::current(&mut dio.writer, ts_ns);
}

/// In standby: the hooks wait, and are attached for a trial at most. What is noted then would be
/// believed later, though its end was not seen.
#[inline(always)]
fn asleep() -> bool {
    // SAFETY: a map value stays allocated.
    setting!(standby) == 1 && AWAKE.get_ptr(0).is_none_or(|awake| unsafe { *awake } == 0)
}

/// Whether it is known that no write is followed: in standby there may be none, and to look is cheaper
/// than to look for one.
#[inline(always)]
fn none_followed() -> bool {
    // SAFETY: a map value stays allocated.
    setting!(standby) == 1 && FOLLOWED.get_ptr(0).is_some_and(|any| unsafe { *any } == 0)
}

/// The write that this task is at.
#[inline(always)]
pub fn own() -> Option<*mut Dio> {
    if none_followed() {
        return None;
    }
    // SAFETY: this entry is only written by this task.
    let own = unsafe { &raw mut (*task::known()?).dio };
    // SAFETY: as above.
    (unsafe { (*own).kiocb } != 0).then_some(own)
}

/// Takes the direct write of this kiocb out of the maps.
#[inline(always)]
pub fn taken(kiocb: u64) -> Option<*mut Dio> {
    if let Some(task) = task::known() {
        // SAFETY: this entry is only written by this task.
        let own = unsafe { &mut (*task).dio };
        if own.kiocb == kiocb {
            own.kiocb = 0;
            // A write that may complete elsewhere may have been begun again elsewhere as well.
            if own.queued == 0 {
                return Some(own);
            }
        }
    }
    let dio = DIO_BY_KIOCB.get_ptr_mut(kiocb)?;
    // SAFETY: a map value stays allocated; only this completion writes it now.
    if unsafe { (*dio).kiocb } != kiocb {
        return None;
    }
    // The entry stays, and is overwritten by the next write of this kiocb.
    // SAFETY: as above.
    unsafe { (*dio).kiocb = 0 };
    Some(dio)
}

/// The page cache that a kiocb is for.
#[inline(always)]
pub fn mapping_of(kiocb: u64) -> Result<u64, Fault> {
    mapping_of_file(some(glance!(kiocb, kiocb_ki_filp as u64)?)?)
}

/// The page cache of a file.
#[inline(always)]
pub fn mapping_of_file(file: u64) -> Result<u64, Fault> {
    some(glance!(file, file_f_mapping as u64)?)
}

/// The write of this kiocb is about to invalidate what it wrote, `len` bytes.
#[inline(always)]
pub fn post_begin(kiocb: u64, len: u64) -> Result<(), Fault> {
    if casts() && inode::is_bare(mapping_of(kiocb)?) {
        return Ok(());
    }
    if let Some(own) = own() {
        // SAFETY: this entry is only written by this task.
        let own = unsafe { &mut *own };
        if own.kiocb == kiocb && own.queued == 0 {
            // The kernel's own early-out: with nothing cached nothing is invalidated.
            if !inode::is_bare(own.mapping) {
                at_stage(own, len, STAGE_POST);
            }
            return Ok(());
        }
    }
    let mapping = mapping_of(kiocb)?;
    if glance!(mapping, mapping_nrpages as u64)? == 0 {
        return Ok(());
    }
    completing(kiocb, mapping, len, STAGE_POST, 0)
}

/// As [`post_begin`] in standby: only what cannot be had any more when the invalidation has failed.
#[inline(always)]
pub fn note(kiocb: u64, len: u64) {
    let tid = actor::tid();
    if let Some(slot) = NOTED.get_ptr_mut(tid % NOTED_SLOTS) {
        let tid = tid as u64;
        // SAFETY: a map value stays allocated; who else writes here says who it is, and what is read
        // is checked.
        unsafe { slot.write(Noted { kiocb, len, tid }) };
    }
}

/// What this thread has noted, if it was for `file`.
#[inline(always)]
pub fn noted(dio: &mut Dio, file: u64) -> Result<(), Fault> {
    let tid = actor::tid();
    let slot = NOTED.get_ptr(tid % NOTED_SLOTS).ok_or(Fault)?;
    // SAFETY: as in `note`.
    let (kiocb, len, of) = unsafe { ((*slot).kiocb, (*slot).len, (*slot).tid) };
    if of != tid as u64 || member!(kiocb, kiocb_ki_filp as u64)? != file {
        return Err(Fault);
    }
    describe(dio, kiocb)?;
    dio.count = len;
    name(dio);
    Ok(())
}

/// `generic_file_direct_write` is over: what this task invalidates now is not for that write.
#[inline(always)]
pub fn generic_end() {
    if let Some(own) = own() {
        // SAFETY: this entry is only written by this task.
        let own = unsafe { &mut *own };
        if own.stage == STAGE_GENERIC || own.stage == STAGE_POST {
            own.kiocb = 0;
        }
    }
}

/// Makes the write of this kiocb the one that this task completes, often for another task.
#[inline(always)]
fn completing(kiocb: u64, mapping: u64, len: u64, stage: u32, iomap_dio: u64) -> Result<(), Fault> {
    if asleep() {
        return Ok(());
    }
    let Some(own) = entry() else {
        count(Counter::DioMapFull);
        return Ok(());
    };
    if own.kiocb == kiocb && own.queued == 0 && own.mapping == mapping {
        at_stage(own, len, stage);
        if iomap_dio != 0 {
            own.iomap_dio = iomap_dio;
        }
        return Ok(());
    }
    if setting!(plan) == PLAN_KPROBE && own.kiocb != 0 && own.stage == STAGE_EMPTY {
        count(Counter::MapReturnLost);
    }
    own.kiocb = 0;
    match DIO_BY_KIOCB.get_ptr(kiocb) {
        // SAFETY: a map value stays allocated; only this completion reads it now.
        Some(dio) if unsafe { (*dio).mapping == mapping && (*dio).kiocb == kiocb } => unsafe {
            mem::copy(own, dio);
        },
        _ => describe(own, kiocb)?,
    }
    at_stage(own, len, stage);
    own.iomap_dio = iomap_dio;
    own.kiocb = kiocb;
    Ok(())
}

#[inline(always)]
fn at_stage(dio: &mut Dio, len: u64, stage: u32) {
    dio.stage = stage;
    if stage == STAGE_POST {
        dio.count = len;
    }
    again(dio);
}

/// What this write invalidates from now on is not what has been told of.
#[inline(always)]
pub fn again(dio: &mut Dio) {
    dio.told = 0;
    dio.refused = 0;
    dio.refusals = 0;
    dio.asked_ns = 0;
    dio.invalidating_ns = 0;
}

/// `iomap_dio_complete(dio)` begins, on kernels without a tracepoint for it (before 6.5).
#[inline(always)]
pub fn complete_begin(iomap_dio: u64) -> Result<(), Fault> {
    let words = Words::<8>::read(iomap_dio)?;
    let kiocb = words.at(offset!(dio_iocb))?;
    if let Some(own) = own() {
        // SAFETY: this entry is only written by this task.
        let own = unsafe { &mut *own };
        if own.kiocb == kiocb && own.queued == 0 {
            // The usual case, with few reads.
            if words.half(offset!(dio_error))? == 0 {
                let len = words.at(offset!(dio_size))?;
                at_stage(own, len, if len == 0 { STAGE_EMPTY } else { STAGE_POST });
                own.iomap_dio = iomap_dio;
            }
            return Ok(());
        }
    }
    let known = DIO_BY_KIOCB.get_ptr(kiocb).is_some()
        || own().is_some_and(|own| {
            // SAFETY: this entry is only written by this task.
            unsafe { (*own).kiocb == kiocb }
        });
    // Reads are not followed.
    if !known || words.half(offset!(dio_error))? != 0 {
        return Ok(());
    }
    let mapping = mapping_of(kiocb)?;
    let len = words.at(offset!(dio_size))?;
    let stage = if len == 0 { STAGE_EMPTY } else { STAGE_POST };
    completing(kiocb, mapping, len, stage, iomap_dio)
}

/// It ended with `ret`: the write, if it was done without a byte and without an error. A read can
/// complete in an interrupt meanwhile: `iomap_dio` tells, where it is known (not 0).
#[inline(always)]
pub fn complete_end(iomap_dio: u64, ret: i64) -> Option<&'static Dio> {
    // SAFETY: this entry is only written by this task.
    let dio = unsafe { &mut *own()? };
    let completes = dio.stage == STAGE_EMPTY || dio.stage == STAGE_POST;
    if !completes || iomap_dio != 0 && dio.iomap_dio != 0 && dio.iomap_dio != iomap_dio {
        return None;
    }
    let kiocb = dio.kiocb;
    dio.kiocb = 0;
    if dio.queued == 1 {
        let _ = DIO_BY_KIOCB.remove(kiocb);
    }
    if dio.stage != STAGE_EMPTY || ret != 0 || dio.count == 0 {
        return None;
    }
    // What the entry says of the write stays, beside the kiocb.
    name(dio);
    Some(dio)
}

/// Follows an inode from its first direct write on.
#[inline(always)]
pub fn watch<C: EbpfContext>(ctx: &C, mapping: u64) -> Result<(), Fault> {
    let known = INODES.get_ptr_mut(mapping);
    if let Some(inode) = known {
        // SAFETY: a map value stays allocated.
        let state = unsafe { &mut *inode };
        let mut bare = inode::is_bare(mapping);
        if bare && state.cached == 1 {
            state.cached = 0;
            state.bare_ns = actor::now();
            // Once more: a page that comes after this sets it again.
            bare = inode::is_bare(mapping);
        }
        if bare && setting!(descendants_of) == 0 {
            // Whose memory it was does not matter before something is cached.
            return Ok(());
        }
        state.cached = u32::from(!bare);
    }
    let host = inode::host_of(mapping)?;
    let ino = glance!(host, inode_i_ino as u64)?;
    let generation = glance!(host, inode_i_generation as u32).unwrap_or(0) as u64;
    if let Some(inode) = known {
        // SAFETY: as above.
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
        cached: 1,
        failed_ns: 0,
        bare_ns: 0,
        ring: holder::ring(),
    };
    if INODES.insert(mapping, &state, 0).is_err() {
        count(Counter::InodeMapFull);
        aya_log_ebpf::warn!(ctx, "inode not watched: map full");
    }
    Ok(())
}
