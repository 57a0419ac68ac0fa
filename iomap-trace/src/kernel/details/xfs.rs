//! xfs: `XFS_IOC_FSGEOMETRY` (since 5.2 with 256 bytes), as `xfs_info` asks.

use rustix::fs::{Mode, OFlags, open};
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use std::path::Path;

use super::named;
use crate::event::Filesystem;

/// `struct xfs_fsop_geom` (fs/xfs/libxfs/xfs_fs.h), as far as it is looked at.
#[repr(C)]
struct Geometry {
    block_size: u32,
    rt_extent_size: u32,
    ag: [u32; 2],
    log_blocks: u32,
    sector_size: u32,
    inode_size: u32,
    inode_percent: u32,
    numbers: [u64; 4],
    uuid: [u8; 16],
    stripe: [u32; 2],
    version: i32,
    flags: u32,
    rest: [u64; 20],
}

const _: () = assert!(size_of::<Geometry>() == 256);
const _: () = assert!(std::mem::offset_of!(Geometry, flags) == 92);

const XFS_IOC_FSGEOMETRY: Opcode = opcode::read::<Geometry>(b'X', 126);

/// `XFS_FSOP_GEOM_FLAGS_*`, by the names of `xfs_info`.
const FLAGS: &[(u32, &str)] = &[
    (1 << 0, "attr"),
    (1 << 1, "nlink"),
    (1 << 2, "quota"),
    (1 << 3, "align"),
    (1 << 4, "dalign"),
    (1 << 5, "shared"),
    (1 << 6, "extflg"),
    (1 << 7, "dirv2"),
    (1 << 8, "logv2"),
    (1 << 9, "sector"),
    (1 << 10, "attr2"),
    (1 << 11, "projid32bit"),
    (1 << 12, "ascii-ci"),
    (1 << 14, "lazy-count"),
    (1 << 15, "crc"),
    (1 << 16, "ftype"),
    (1 << 17, "finobt"),
    (1 << 18, "sparse"),
    (1 << 19, "rmapbt"),
    (1 << 20, "reflink"),
    (1 << 21, "bigtime"),
    (1 << 22, "inobtcount"),
    (1 << 23, "nrext64"),
    (1 << 24, "exchange"),
    (1 << 25, "parent"),
    (1 << 26, "metadir"),
    (1 << 27, "zoned"),
];

/// Asks the filesystem whose directory `path` is.
pub fn read(filesystem: &mut Filesystem, path: &Path) -> Result<(), String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let failed = |e| format!("its mount cannot be asked ({e})");
    let directory = open(path, flags, Mode::empty()).map_err(failed)?;
    let mut geometry = Geometry {
        block_size: 0,
        rt_extent_size: 0,
        ag: [0; 2],
        log_blocks: 0,
        sector_size: 0,
        inode_size: 0,
        inode_percent: 0,
        numbers: [0; 4],
        uuid: [0; 16],
        stripe: [0; 2],
        version: 0,
        flags: 0,
        rest: [0; 20],
    };
    // SAFETY: the kernel writes this structure, of this size, and nothing beyond it.
    unsafe {
        ioctl(
            &directory,
            Updater::<XFS_IOC_FSGEOMETRY, _>::new(&mut geometry),
        )
    }
    .map_err(failed)?;
    filesystem.sector_size = Some(geometry.sector_size);
    filesystem.features = named(geometry.flags, FLAGS, "flags");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_that_of_the_header() {
        // _IOR('X', 126, 256 bytes), include/uapi/asm-generic/ioctl.h.
        #[cfg(target_arch = "x86_64")]
        assert_eq!(XFS_IOC_FSGEOMETRY, 0x8100_587e);
    }

    #[test]
    fn another_filesystem_says_no() {
        let mut found = Filesystem::default();
        let why = read(&mut found, Path::new("/proc")).unwrap_err();
        assert!(why.contains("cannot be asked"), "{why}");
        assert!(found.features.is_empty());
    }
}
