//! Who dirtied and who cached a page last, on inodes that see direct writes.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use iomap_trace_ebpf::Counter;

use crate::actor::{self, NOBODY};
use crate::maps::{INODES, InodeState, PAGES, PageKey, PageState};
use crate::read::{count, glance, setting};

/// `writeback_dirty_folio(folio, mapping)`: clean to dirty, in the context of the dirtier.
#[raw_tracepoint]
pub fn page_dirtied(ctx: RawTracePointContext) -> i32 {
    let mapping: u64 = ctx.arg(1);
    let Some(inode) = INODES.get_ptr_mut(mapping) else {
        return 0;
    };
    claim(inode);
    // SAFETY: as in `wb_error`.
    unsafe { (*inode).cached = 1 };
    remember(&ctx, ctx.arg(0), mapping, true);
    0
}

/// `mm_filemap_add_to_page_cache(folio)`.
#[raw_tracepoint]
pub fn page_cached(ctx: RawTracePointContext) -> i32 {
    let folio: u64 = ctx.arg(0);
    let Ok(mapping) = glance!(folio, folio_mapping as u64) else {
        return 0;
    };
    if let Some(inode) = INODES.get_ptr_mut(mapping) {
        // SAFETY: as in `wb_error`.
        unsafe { (*inode).cached = 1 };
        remember(&ctx, folio, mapping, false);
    }
    0
}

/// `filemap_set_wb_err(mapping, eseq)`: a real write-back error; the mark of a post failure does
/// not come this way.
#[raw_tracepoint]
pub fn wb_error(ctx: RawTracePointContext) -> i32 {
    let mapping: u64 = ctx.arg(0);
    if let Some(inode) = INODES.get_ptr_mut(mapping) {
        // SAFETY: a map value stays allocated; a torn update would need another writer.
        unsafe { (*inode).wb_error_ns = actor::now() };
    }
    0
}

/// Marks an inode that a process of `exec` touches.
#[inline(always)]
pub fn claim(inode: *mut InodeState) {
    let ancestor = setting!(descendants_of);
    // SAFETY: as in `wb_error`.
    if ancestor != 0 && unsafe { (*inode).ours } == 0 && actor::descends_from(ancestor) {
        // SAFETY: as above.
        unsafe { (*inode).ours = 1 };
    }
}

#[inline(always)]
fn remember(ctx: &RawTracePointContext, folio: u64, mapping: u64, dirtied: bool) {
    let Ok(index) = glance!(folio, folio_index as u64) else {
        return;
    };
    let key = PageKey { mapping, index };
    if let Some(page) = PAGES.get_ptr_mut(&key) {
        // SAFETY: as in `wb_error`; the folio is locked or its mapping is while this runs.
        let page = unsafe { &mut *page };
        let who = if dirtied {
            &mut page.dirtied
        } else {
            &mut page.added
        };
        actor::current(who, actor::now());
        return;
    }
    let mut page = PageState {
        added: NOBODY,
        dirtied: NOBODY,
    };
    let who = if dirtied {
        &mut page.dirtied
    } else {
        &mut page.added
    };
    actor::current(who, actor::now());
    if PAGES.insert(&key, &page, 0).is_err() {
        count(Counter::PageMapFull);
        aya_log_ebpf::warn!(ctx, "page map full: no room for page {} of a file", index);
    }
}
