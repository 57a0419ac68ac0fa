//! The kprobe plan: kprobes and kretprobes, on functions of modules as well.
//!
//! A kretprobe does not see the arguments, and a return can be missed: what its function was asked
//! is kept with the write of the task, and what is still there at the next begin was missed.

use aya_ebpf::macros::{kprobe, kretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use iomap_trace_ebpf::Counter;

use crate::maps::RefusalScratch;
use crate::read::count;
use crate::{dio, invalidate, ordered, release, write};

/// Argument `n` of the probed function.
#[inline(always)]
fn arg(ctx: &ProbeContext, n: usize) -> u64 {
    ctx.arg(n).unwrap_or(0)
}

/// `__iomap_dio_rw(kiocb, iter, ...)`, where it has no tracepoint.
#[kprobe]
pub fn kprobe_dio_rw(ctx: ProbeContext) -> u32 {
    write::begin(&ctx, arg(&ctx, 0), arg(&ctx, 1), false);
    0
}

/// `generic_file_direct_write(kiocb, iter)`.
#[kprobe]
pub fn kprobe_generic(ctx: ProbeContext) -> u32 {
    write::begin(&ctx, arg(&ctx, 0), arg(&ctx, 1), true);
    0
}

/// Its end.
#[kretprobe]
pub fn kretprobe_generic(_ctx: RetProbeContext) -> u32 {
    write::generic_end();
    0
}

/// `kiocb_invalidate_post_direct_write(kiocb, count)`, since 6.5 and in the stable series 6.1.
#[kprobe]
pub fn kprobe_post(ctx: ProbeContext) -> u32 {
    if write::post_begin(arg(&ctx, 0), arg(&ctx, 1)).is_err() {
        count(Counter::CompleteLost);
    }
    0
}

/// In standby, instead of [`kprobe_post`].
#[kprobe]
pub fn kprobe_post_note(ctx: ProbeContext) -> u32 {
    write::note(arg(&ctx, 0), arg(&ctx, 1));
    0
}

/// `iomap_dio_complete(dio)`, where it has no tracepoint.
#[kprobe]
pub fn kprobe_complete(ctx: ProbeContext) -> u32 {
    if write::complete_begin(arg(&ctx, 0)).is_err() {
        count(Counter::CompleteLost);
    }
    0
}

/// Its end.
#[kretprobe]
pub fn kretprobe_complete(ctx: RetProbeContext) -> u32 {
    if let Some(dio) = write::complete_end(0, ctx.ret::<u64>() as i64)
        && dio::reappeared(&ctx, dio).is_err()
    {
        count(Counter::CompleteLost);
    }
    0
}

/// `invalidate_inode_pages2_range(mapping, start, end)`.
#[kprobe]
pub fn kprobe_invalidate(ctx: ProbeContext) -> u32 {
    invalidate::entered(&ctx, arg(&ctx, 0));
    0
}

/// Its end.
#[kretprobe]
pub fn kretprobe_invalidate(ctx: RetProbeContext) -> u32 {
    let Some(own) = write::own() else {
        return 0;
    };
    // SAFETY: this entry is only written by this task.
    let own = unsafe { &mut *own };
    if own.invalidating_ns == 0 {
        // Another page cache than the write's.
        return 0;
    }
    own.invalidating_ns = 0;
    let errno = ctx.ret::<u64>() as i32;
    if errno != 0 {
        invalidate::returned(&ctx, own.mapping, errno);
    }
    0
}

/// A release function begins: `filemap_release_folio`, `try_to_release_page`,
/// `btrfs_release_folio` or `btrfs_releasepage`, with the folio first.
#[kprobe]
pub fn kprobe_release(ctx: ProbeContext) -> u32 {
    release::asked(arg(&ctx, 0));
    0
}

/// `folio_unmap_invalidate(mapping, folio, gfp)`, since 6.14.
#[kprobe]
pub fn kprobe_unmap(ctx: ProbeContext) -> u32 {
    release::asked(arg(&ctx, 1));
    0
}

/// Its end: negative when it failed.
#[kretprobe]
pub fn kretprobe_unmap(ctx: RetProbeContext) -> u32 {
    if (ctx.ret::<u64>() as i32) < 0 {
        release::refused(release::last_asked(), RefusalScratch::Any);
    }
    0
}

/// The end of `filemap_release_folio` or `try_to_release_page`: 0 when refused. A `bool` says
/// nothing beyond its first byte.
#[kretprobe]
pub fn kretprobe_release(ctx: RetProbeContext) -> u32 {
    if ctx.ret::<u64>() as u8 == 0 {
        release::refused(release::last_asked(), RefusalScratch::Any);
    }
    0
}

/// As [`kprobe_release`], for btrfs: one program cannot be at two functions when they are nested,
/// or its runs inside itself would be missed.
#[kprobe]
pub fn kprobe_btrfs_release(ctx: ProbeContext) -> u32 {
    release::asked(arg(&ctx, 0));
    0
}

/// As [`kretprobe_release`], for btrfs.
#[kretprobe]
pub fn kretprobe_btrfs_release(ctx: RetProbeContext) -> u32 {
    if ctx.ret::<u64>() as u8 == 0 {
        release::refused(release::last_asked(), RefusalScratch::Btrfs);
    }
    0
}

/// `dio_warn_stale_pagecache(file)`.
#[kprobe]
pub fn kprobe_stale_warn(ctx: ProbeContext) -> u32 {
    invalidate::stale_warn(&ctx, arg(&ctx, 0));
    0
}

/// `btrfs_finish_ordered_io(ordered)`, `btrfs_finish_one_ordered(ordered)` since 6.5.
#[kprobe]
pub fn kprobe_ordered(ctx: ProbeContext) -> u32 {
    ordered::begin(&ctx, arg(&ctx, 0), 0);
    0
}

/// Its end.
#[kretprobe]
pub fn kretprobe_ordered(_ctx: RetProbeContext) -> u32 {
    ordered::end(0);
    0
}
