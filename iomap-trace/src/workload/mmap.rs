//! A dirtier that stores through a shared mapping: no lock of the file keeps it out.

use std::fs::File;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use rustix::mm::{Advice, MapFlags, MsyncFlags, ProtFlags, madvise, mmap, msync, munmap};

use super::job::Job;
use super::options::Range;
use super::stamp::{LEN, SECTOR, Stamp};
use super::tally::{Role, Tally};

/// A shared mapping of a range of a file.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: *mut libc::c_void,
    len: usize,
}

impl Mapping {
    /// Maps `range`, which starts on a page boundary.
    pub(crate) fn new(file: &File, range: Range) -> io::Result<Self> {
        let len = range.len as usize;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                range.pos,
            )
        }?;
        let mapping = Self { start, len };
        // Without this, readahead would put pages of the other half into the page cache in a
        // control run.
        // SAFETY: the advice covers this mapping alone and does not change its contents.
        unsafe { madvise(start, len, Advice::Random) }?;
        Ok(mapping)
    }

    /// Stores words at `offset` into the mapping, a multiple of 8 below `len`.
    ///
    /// # Panics
    /// When the words do not fit.
    pub(crate) fn store(&self, offset: usize, words: impl ExactSizeIterator<Item = u64>) {
        assert!(offset.is_multiple_of(8) && offset + words.len() * 8 <= self.len);
        for (i, word) in words.enumerate() {
            // SAFETY: inside the mapping, aligned to 8, valid for as long as `self`; other threads
            // store there atomically too. The kernel may refuse the store with SIGBUS, which ends
            // the process.
            let place = unsafe { AtomicU64::from_ptr(self.start.byte_add(offset + i * 8).cast()) };
            place.store(word, Ordering::Relaxed);
        }
    }

    /// Takes its pages out of the page tables; what was stored stays in the page cache, dirty. A page
    /// that is mapped cannot be dropped by `posix_fadvise(2)`.
    pub(crate) fn unmap_pages(&self) -> io::Result<()> {
        // SAFETY: the mapping is shared, so that no contents are lost; nobody holds a reference
        // into it.
        unsafe { madvise(self.start, self.len, Advice::LinuxDontNeed) }?;
        Ok(())
    }

    /// Writes back what was stored, and waits for it (`msync(2)`).
    pub(crate) fn sync(&self) -> io::Result<()> {
        // SAFETY: the range is this mapping alone, and it is not changed.
        unsafe { msync(self.start, self.len, MsyncFlags::SYNC) }?;
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: unmaps what `new` mapped; no reference into it outlives `store`. Failure would
        // leave the mapping to the end of the process, which harms nothing.
        let _ = unsafe { munmap(self.start, self.len) };
    }
}

/// Stores into random sectors until the run is over.
pub(super) fn run(mut job: Job<'_>) -> Result<Tally> {
    let mapping = Mapping::new(job.file, job.range).context("cannot map the file")?;
    let mut tally = Tally::new(Role::MmapDirtier);
    let sectors = job.range.len / SECTOR as u64;
    while job.running() {
        let offset = job.rng.below(sectors) * SECTOR as u64;
        let stamp = Stamp {
            thread: job.index,
            seq: tally.ops,
            pos: job.range.pos + offset,
        };
        mapping.store(offset as usize, stamp.words().into_iter());
        tally.ops += 1;
        tally.bytes += LEN as u64;
    }
    Ok(tally)
}
