//! What a write path makes of a page cache that it cannot invalidate.

use serde::Serialize;

/// `EBUSY`, the one error that `invalidate_inode_pages2_range()` makes itself.
pub const EBUSY: i32 = -libc::EBUSY;

/// A policy of the direct write path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// EBUSY becomes 0, and the caller writes buffered (generic_file_direct_write)
    Generic,
    /// Warns of a stale page cache, and writes directly all the same (iomap, 5.8)
    Warn,
    /// EBUSY becomes 0, and the caller writes buffered (the patch of May 2020)
    Fallback,
    /// Any error becomes ENOTBLK, and the caller writes buffered (iomap since 5.9)
    Enotblk,
    /// No fallback: the error reaches the caller (as XFS was to keep it)
    Strict,
}

/// What the write does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Goes on as a direct write, with the kernel's warning.
    GoOn,
    /// Is done through the page cache.
    Buffered,
    /// Returns this negative errno.
    Fail(i32),
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Generic,
        Self::Warn,
        Self::Fallback,
        Self::Enotblk,
        Self::Strict,
    ];

    /// Name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Warn => "warn",
            Self::Fallback => "fallback",
            Self::Enotblk => "enotblk",
            Self::Strict => "strict",
        }
    }

    /// Where it comes from.
    pub const fn source(self) -> &'static str {
        match self {
            Self::Generic => "generic_file_direct_write(), mm/filemap.c",
            Self::Warn => "iomap_dio_rw(), fs/iomap/direct-io.c, 5.8",
            Self::Fallback => "iomap_dio_rw() with the patch of May 2020",
            Self::Enotblk => "__iomap_dio_rw(), fs/iomap/direct-io.c, since 5.9",
            Self::Strict => "iomap_dio_rw() as the maintainer of XFS asked in May 2020",
        }
    }

    /// The invalidation before submission returned `errno`.
    ///
    /// - `generic_file_direct_write()` (5.10 to 7.3): EBUSY is returned as 0, others as they are;
    /// - `iomap_dio_rw()` 5.8: `dio_warn_stale_pagecache()`, then `ret = 0`;
    /// - the patch of May 2020: as generic;
    /// - `__iomap_dio_rw()` since 5.9: `trace_iomap_dio_invalidate_fail()`, then ENOTBLK.
    pub const fn after_invalidation(self, errno: i32) -> Next {
        match self {
            Self::Generic | Self::Fallback if errno == EBUSY => Next::Buffered,
            Self::Enotblk => Next::Buffered,
            Self::Warn => Next::GoOn,
            Self::Generic | Self::Fallback | Self::Strict => Next::Fail(errno),
        }
    }

    /// The flush before it returned `errno`. Where `told`, the kernel makes ENOTBLK of it and fires
    /// `iomap_dio_invalidate_fail` (`__iomap_dio_rw()` with `kiocb_invalidate_pages()`, since 6.5).
    pub const fn after_flush(self, errno: i32, told: bool) -> Next {
        if told {
            Next::Buffered
        } else {
            Next::Fail(errno)
        }
    }

    /// A folio was met under the extent lock (btrfs `lock_extent_direct()` returns ENOTBLK).
    pub const fn after_mapping(self) -> Next {
        match self {
            Self::Strict => Next::Fail(EBUSY),
            _ => Next::Buffered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_patch_and_its_model_tell_errors_apart() {
        for policy in [Policy::Generic, Policy::Fallback] {
            assert_eq!(policy.after_invalidation(EBUSY), Next::Buffered);
            assert_eq!(policy.after_invalidation(-5), Next::Fail(-5));
        }
        assert_eq!(Policy::Enotblk.after_invalidation(-5), Next::Buffered);
        assert_eq!(Policy::Warn.after_invalidation(-5), Next::GoOn);
        assert_eq!(Policy::Strict.after_invalidation(EBUSY), Next::Fail(EBUSY));
    }
}
