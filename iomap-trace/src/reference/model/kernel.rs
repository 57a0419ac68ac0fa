//! What differs between kernels, as far as the model plays it.

use serde::Serialize;

/// A kernel, by the version whose behaviour it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Kernel {
    /// 5.8-rc: the one that the mail of May 2020 is about.
    #[serde(rename = "5.8-rc")]
    V5_8,
    /// 5.10.
    #[serde(rename = "5.10")]
    V5_10,
    /// 6.1.
    #[serde(rename = "6.1")]
    V6_1,
    /// 6.12.
    #[serde(rename = "6.12")]
    V6_12,
    /// 6.18.
    #[serde(rename = "6.18")]
    V6_18,
}

impl Kernel {
    /// All of them, oldest first.
    pub const ALL: [Self; 5] = [
        Self::V5_8,
        Self::V5_10,
        Self::V6_1,
        Self::V6_12,
        Self::V6_18,
    ];

    /// Its version.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V5_8 => "5.8-rc",
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V6_18 => "6.18",
        }
    }

    /// `lock_extent_bits()` keeps what it locked in front of a blocked byte while it waits (5.10);
    /// later `lock_extent()` gives it back.
    pub fn keeps_front(self) -> bool {
        self <= Self::V5_10
    }

    /// Completion of an ordered extent can keep a folio from being released: until
    /// `EXTENT_FINISHING_ORDERED` (6.15).
    pub fn ordered_blocks(self) -> bool {
        self < Self::V6_18
    }

    /// Reads are unlocked by the task that completes them, in parts (`end_bio_extent_readpage()`);
    /// since 6.12 the lock covers only the mapping.
    pub fn reads_unlocked_elsewhere(self) -> bool {
        self < Self::V6_12
    }

    /// A failed flush fires `iomap_dio_invalidate_fail` too: since `kiocb_invalidate_pages()` (6.5).
    pub fn tells_flush_errors(self) -> bool {
        self >= Self::V6_12
    }

    /// Buffered writers are shut out while a direct write is submitted (`i_rwsem` shared by the
    /// direct writers); 5.10 drops the lock.
    pub fn shuts_writers_out(self) -> bool {
        self > Self::V5_10
    }

    /// The completion of an ordered extent is queued before the writeback flag is cleared (5.10,
    /// 6.1 `btrfs_writepage_endio_finish_ordered()`), and not after it (6.12
    /// `btrfs_finish_ordered_extent()`).
    pub fn queues_first(self) -> bool {
        self <= Self::V6_1
    }

    /// The probe sees folios that are dirty at the last check under the lock of the page cache:
    /// `folio_unmap_invalidate()` (6.14). Before it only a release that was refused is seen.
    pub fn sees_last_check(self) -> bool {
        self >= Self::V6_18
    }

    /// A clean folio without private data is asked for its release (`filemap_release_folio()`).
    pub fn asks_without_private(self) -> bool {
        self >= Self::V6_1
    }

    /// What btrfs releases a folio with.
    pub fn release_function(self) -> &'static str {
        if self <= Self::V5_10 {
            "btrfs_releasepage()"
        } else {
            "btrfs_release_folio()"
        }
    }
}
