//! What direct I/O on a file must be aligned to.

use super::errno::Errno;
use rustix::fs::{AtFlags, Stat, StatxFlags, fstat, major, minor, statx};
use serde::Serialize;
use std::fs;
use std::os::fd::AsFd;

/// Where an alignment comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// `STATX_DIOALIGN` of this very file (6.1, by filesystem).
    Statx,
    /// The device's logical block size, from sysfs.
    LogicalBlock,
    /// The page size: nothing better is known.
    Page,
}

/// What direct I/O must be aligned to, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Alignment {
    /// Address of the buffer.
    pub memory: u64,
    /// Offset and length.
    pub offset: u64,
    /// Where that is known from.
    pub source: Source,
}

impl Alignment {
    /// Of an open file.
    pub(super) fn of(fd: impl AsFd, page: u64) -> Result<Self, Errno> {
        if let Some(told) = from_statx(&fd) {
            return Ok(told);
        }
        let block = logical_block(&fstat(&fd)?);
        let source = block.map_or(Source::Page, |_| Source::LogicalBlock);
        let unit = block.unwrap_or(page);
        Ok(Self {
            memory: unit,
            offset: unit,
            source,
        })
    }

    /// EINVAL for what the kernel refuses with it, in `iomap_dio_bio_iter()` (5.10 to 7.x) or
    /// `rw_verify_area()`.
    pub(super) fn check(&self, address: usize, len: usize, pos: u64) -> Result<(), Errno> {
        let len = len as u64;
        let end = pos.checked_add(len).ok_or(Errno::INVAL)?;
        let aligned = (address as u64).is_multiple_of(self.memory)
            && self.is_offset(pos)
            && self.is_offset(len);
        if aligned && i64::try_from(end).is_ok() {
            Ok(())
        } else {
            Err(Errno::INVAL)
        }
    }

    /// Can a direct write begin here?
    pub(super) const fn is_offset(&self, pos: u64) -> bool {
        pos.is_multiple_of(self.offset)
    }
}

/// A kernel or a filesystem that does not know the question leaves its bit out of the mask; an
/// alignment of 0 says that there is no direct I/O on this file, though it could be opened for it.
fn from_statx(fd: impl AsFd) -> Option<Alignment> {
    let told = statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
    let answered = told.stx_mask & StatxFlags::DIOALIGN.bits() != 0;
    let (memory, offset) = (told.stx_dio_mem_align, told.stx_dio_offset_align);
    (answered && memory != 0 && offset != 0).then(|| Alignment {
        memory: memory.into(),
        offset: offset.into(),
        source: Source::Statx,
    })
}

/// Of the device of the file, or of the block device that it is. btrfs has none of its own.
fn logical_block(stat: &Stat) -> Option<u64> {
    let is_block = stat.st_mode & libc::S_IFMT == libc::S_IFBLK;
    let dev = if is_block { stat.st_rdev } else { stat.st_dev };
    let dir = format!("/sys/dev/block/{}:{}", major(dev), minor(dev));
    // A partition has no queue; its disk, one directory up, has.
    let told = fs::read_to_string(format!("{dir}/queue/logical_block_size"))
        .or_else(|_| fs::read_to_string(format!("{dir}/../queue/logical_block_size")));
    let bytes = told.ok()?.trim().parse().ok()?;
    (bytes != 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_aligned_is_einval() {
        let alignment = Alignment {
            memory: 512,
            offset: 4096,
            source: Source::Statx,
        };
        assert_eq!(alignment.check(1536, 8192, 4096), Ok(()));
        assert_eq!(alignment.check(1537, 8192, 4096), Err(Errno::INVAL));
        assert_eq!(alignment.check(1536, 8192, 512), Err(Errno::INVAL));
        assert_eq!(alignment.check(1536, 512, 4096), Err(Errno::INVAL));
        let last = i64::MAX as u64 - 4095;
        assert_eq!(alignment.check(0, 4096, last), Err(Errno::INVAL));
        assert_eq!(alignment.check(0, 4096, last - 4096), Ok(()));
        assert_eq!(alignment.check(0, 4096, u64::MAX - 4095), Err(Errno::INVAL));
    }

    #[test]
    fn every_file_has_one() {
        let file = tempfile::tempfile_in(".").unwrap();
        let found = Alignment::of(&file, 4096).unwrap();
        assert!(found.memory.is_power_of_two() && found.offset.is_power_of_two());
    }
}
