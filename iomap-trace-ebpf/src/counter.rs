//! Counters that the programs keep per CPU, so that every number in a report is accountable.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)+) => {
        /// Index into the per-CPU array `COUNTERS`.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter { $($(#[$doc])* $name,)+ }

        /// Names of the counters, in the order of [`Counter`].
        pub const COUNTER_NAMES: &[&str] = &[$($label,)+];
    };
}

counters! {
    /// Runs of the `iomap_dio_invalidate_fail` probe.
    InvalidateSeen = "invalidate.seen",
    /// Of those, left out by a filter.
    InvalidateFiltered = "invalidate.filtered",
    /// Failures lost because the ring buffer was full, whatever their phase.
    FailureLost = "failure.lost",
    /// Holders lost because the ring buffer was full.
    HolderLost = "holder.lost",
    /// Direct writes that began.
    DioWrites = "dio.writes",
    /// Direct writes whose state could not be kept: their post failure cannot be seen.
    DioMapFull = "dio.map-full",
    /// Inodes that could not be watched.
    InodeMapFull = "inode.map-full",
    /// Page states (who dirtied, who cached) that could not be kept.
    PageMapFull = "page.map-full",
    /// Extent locks that could not be followed.
    LockMapFull = "lock.map-full",
    /// Ordered-I/O completions that could not be followed.
    OrderedMapFull = "ordered.map-full",
    /// Walks of the page cache that were cut short.
    WalkCut = "walk.cut",
    /// Kernel reads that failed.
    ReadFault = "read.fault",
    /// Post failures that a filter left out.
    PostFiltered = "post.filtered",
    /// Completed direct writes that could not be looked at: whether they failed is not known.
    CompleteLost = "complete.lost",
    /// Direct writes that began, but of which too little could be read to follow them.
    BeginLost = "begin.lost",
    /// Completions under an EIO that was there before, whose pages could not be walked to the end.
    PostUnwalked = "post.unwalked",
    /// btrfs writes that turned buffered, with no folio left in their range.
    MapUnwitnessed = "map.unwitnessed",
    /// btrfs writes of which only the first part was direct.
    MapPartial = "map.partial",
    /// Post failures: the invalidation after completion was seen to fail.
    PostSeen = "post.seen",
    /// Calls of `dio_warn_stale_pagecache`: post failures, counted independently.
    StaleWarnSeen = "stale-warn.seen",
    /// Failed invalidations that no direct write asked for; not counted in standby, where it is not
    /// known which writes there are.
    InvalidateOther = "invalidate.other",
    /// Returns of probed functions that never came (kretprobes only).
    ReturnLost = "return.lost",
    /// Refusals lost because the ring buffer was full.
    RefusalLost = "refusal.lost",
    /// Refusals beyond those that one invalidation tells.
    RefusalCut = "refusal.cut",
    /// Ordered extents whose maker could not be kept.
    CreatorMapFull = "creator.map-full",
    /// Parts of a lock that were not followed to their end: there were too many.
    LockLost = "lock.lost",
    /// Unlocks for which no lock had been seen: locked before the inode was watched, or unlocked
    /// in another order than from the front.
    UnlockUnpaired = "unlock.unpaired",
    /// Writes done without a byte of which the end was not seen (kretprobes only): what turned
    /// buffered while it was mapped may be among them.
    MapReturnLost = "map-return.lost",
    /// Direct I/O that completed in standby, and left an EIO in `wb_err` that nobody had fetched: a
    /// post failure may have been among it (plan of tracepoints only).
    UnwatchedLost = "unwatched.lost",
}
