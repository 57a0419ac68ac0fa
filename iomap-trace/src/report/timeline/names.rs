//! Kernel functions by the kernel's version: what a maintainer looks for in the source.
//!
//! Read in the sources and modules of 5.10, 6.1, 6.12, 6.18, 7.2 and 7.3. A release between two of
//! them goes by the names of the older one.

use super::super::dossier::{Origin, Version};

/// The functions that a timeline names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The direct write, up to its submission.
    pub write: &'static str,
    /// Its completion.
    pub complete: &'static str,
    /// What the first one returns when the write is to go buffered.
    pub fallback: &'static str,
    /// The filesystem's operation that releases a folio.
    pub release: String,
    /// Where btrfs looks for folios once more.
    pub map: &'static str,
    /// Completion of an ordered extent.
    pub finish: &'static str,
    /// Locks a range of the extent io tree.
    pub lock: &'static str,
    /// Where a folio that was released, but is dirty again, is kept.
    pub keep: &'static str,
    /// Tracepoint of a folio that becomes dirty.
    pub dirty: &'static str,
}

/// Filesystems whose direct writes go through iomap, in the kernels above.
const ON_IOMAP: [&str; 10] = [
    "btrfs", "xfs", "ext4", "f2fs", "gfs2", "zonefs", "ext2", "exfat", "ntfs3", "ntfs",
];

impl Names {
    /// The names of the kernel of `origin`, for a filesystem of type `fs`.
    pub fn of(origin: &Origin, fs: &str) -> Self {
        let version = Version::of(&origin.kernel);
        let reaches = |major, minor| version.is_none_or(|v| v.reaches(major, minor));
        let since_iomap = match fs {
            "f2fs" => reaches(6, 1),
            "ext2" => reaches(6, 12),
            "exfat" | "ntfs3" | "ntfs" => reaches(7, 3),
            _ => true,
        };
        let iomap = ON_IOMAP.contains(&fs) && since_iomap;
        // The operation went from pages to folios in 5.19.
        let suffix = if reaches(5, 19) {
            "_release_folio"
        } else {
            "_releasepage"
        };
        let release = match fs {
            "btrfs" | "ext4" | "f2fs" => format!("{fs}{suffix}()"),
            "xfs" | "gfs2" | "zonefs" => format!("iomap{suffix}()"),
            _ if reaches(5, 19) => "filemap_release_folio()".to_owned(),
            _ => "try_to_release_page()".to_owned(),
        };
        Self {
            write: if iomap {
                "__iomap_dio_rw()"
            } else {
                "generic_file_direct_write()"
            },
            complete: if iomap {
                "iomap_dio_complete()"
            } else {
                "generic_file_direct_write()"
            },
            fallback: if iomap { "-ENOTBLK" } else { "0" },
            release,
            map: if reaches(7, 3) {
                "btrfs_dio_iomap_next()"
            } else {
                "btrfs_dio_iomap_begin()"
            },
            finish: if reaches(6, 5) {
                "btrfs_finish_one_ordered()"
            } else {
                "btrfs_finish_ordered_io()"
            },
            lock: if reaches(6, 16) {
                "btrfs_lock_extent_bits()"
            } else if reaches(6, 12) {
                "__lock_extent()"
            } else if reaches(6, 1) {
                "lock_extent()"
            } else {
                "lock_extent_bits()"
            },
            keep: if reaches(6, 14) {
                "folio_unmap_invalidate()"
            } else if reaches(5, 19) {
                "invalidate_complete_folio2()"
            } else {
                "invalidate_complete_page2()"
            },
            dirty: if reaches(5, 18) {
                "writeback_dirty_folio"
            } else {
                "writeback_dirty_page"
            },
        }
    }
}
