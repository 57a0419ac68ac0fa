//! The fexit plan: fentry and fexit programs on functions of vmlinux.
//!
use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};
use iomap_trace_ebpf::Counter;

use crate::maps::RefusalScratch;
use crate::read::count;
use crate::{dio, invalidate, release, write};

/// `__iomap_dio_rw(kiocb, iter, ...)`, where it has no tracepoint.
#[fentry]
pub fn fentry_dio_rw(ctx: FEntryContext) -> i32 {
    write::begin(&ctx, ctx.arg(0), ctx.arg(1), false);
    0
}

/// `generic_file_direct_write(kiocb, iter)`.
#[fentry]
pub fn fentry_generic(ctx: FEntryContext) -> i32 {
    write::begin(&ctx, ctx.arg(0), ctx.arg(1), true);
    0
}

/// Its end.
#[fexit]
pub fn fexit_generic(_ctx: FExitContext) -> i32 {
    write::generic_end();
    0
}

/// `kiocb_invalidate_post_direct_write(kiocb, count)`, since 6.5 and in the stable series 6.1.
#[fentry]
pub fn fentry_post(ctx: FEntryContext) -> i32 {
    if write::post_begin(ctx.arg(0), ctx.arg(1)).is_err() {
        count(Counter::CompleteLost);
    }
    0
}

/// As [`fentry_post`], which it may safely follow: the invalidation has not begun yet.
#[fentry]
pub fn fentry_post_spare(ctx: FEntryContext) -> i32 {
    if write::post_begin(ctx.arg(0), ctx.arg(1)).is_err() {
        count(Counter::CompleteLost);
    }
    0
}

/// In standby, instead of [`fentry_post`].
#[fentry]
pub fn fentry_post_note(ctx: FEntryContext) -> i32 {
    write::note(ctx.arg(0), ctx.arg(1));
    0
}

/// `iomap_dio_complete(dio)`, where it has no tracepoint.
#[fentry]
pub fn fentry_complete(ctx: FEntryContext) -> i32 {
    if write::complete_begin(ctx.arg(0)).is_err() {
        count(Counter::CompleteLost);
    }
    0
}

/// Its end.
#[fexit]
pub fn fexit_complete(ctx: FExitContext) -> i32 {
    if let Some(dio) = write::complete_end(ctx.arg(0), ctx.arg::<u64>(1) as i64)
        && dio::reappeared(&ctx, dio).is_err()
    {
        count(Counter::CompleteLost);
    }
    0
}

/// `invalidate_inode_pages2_range(mapping, start, end)`.
#[fexit]
pub fn fexit_invalidate(ctx: FExitContext) -> i32 {
    let errno = ctx.arg::<u64>(3) as i32;
    if errno != 0 {
        invalidate::returned(&ctx, ctx.arg(0), errno);
    }
    0
}

/// A release function begins: whichever this kernel has.
#[fentry]
pub fn fentry_release(_ctx: FEntryContext) -> i32 {
    release::stamp();
    0
}

/// As [`fentry_release`], which it may safely follow.
#[fentry]
pub fn fentry_release_spare(_ctx: FEntryContext) -> i32 {
    release::stamp();
    0
}

/// `folio_unmap_invalidate(mapping, folio, gfp)`, since 6.14: negative when it failed.
#[fexit]
pub fn fexit_unmap(ctx: FExitContext) -> i32 {
    if (ctx.arg::<u64>(3) as i32) < 0 {
        release::refused(ctx.arg(1), RefusalScratch::Any);
    }
    0
}

/// As [`fexit_unmap`], which it may safely follow: a refusal is told once.
#[fexit]
pub fn fexit_unmap_spare(ctx: FExitContext) -> i32 {
    if (ctx.arg::<u64>(3) as i32) < 0 {
        release::refused(ctx.arg(1), RefusalScratch::Spare);
    }
    0
}

/// `filemap_release_folio(folio, gfp)` or `try_to_release_page(page, gfp)`: 0 when refused. A
/// `bool` says nothing beyond its first byte.
#[fexit]
pub fn fexit_release(ctx: FExitContext) -> i32 {
    if ctx.arg::<u64>(2) as u8 == 0 {
        release::refused(ctx.arg(0), RefusalScratch::Any);
    }
    0
}

/// `dio_warn_stale_pagecache(file)`.
#[fentry]
pub fn fentry_stale_warn(ctx: FEntryContext) -> i32 {
    invalidate::stale_warn(&ctx, ctx.arg(0));
    0
}
