//! Which filesystems write directly through iomap, and what they do when that fails.

/// Filesystems whose direct writes go through `iomap_dio_rw()` in some kernel from 5.10 to 7.3.
const ON_IOMAP: &[&str] = &[
    "btrfs", "ext2", "ext3", "ext4", "xfs", "f2fs", "gfs2", "exfat", "ntfs", "ntfs3", "zonefs",
];

/// Whether direct writes of this filesystem type can be seen at all.
pub fn on_iomap(fs: &str) -> bool {
    ON_IOMAP.contains(&fs)
}

/// Whether this filesystem type turns `-ENOTBLK` into a buffered write; zonefs makes an error of it.
pub fn falls_back(fs: &str) -> bool {
    on_iomap(fs) && fs != "zonefs"
}
