//! A dirtier that stores through a shared mapping: no lock of the file keeps it out.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use super::job::Job;
use super::stamp::{LEN, SECTOR, Stamp};
use super::tally::{Role, Tally};

/// A shared mapping of the working range.
struct Mapping {
    start: *mut libc::c_void,
    len: usize,
}

impl Mapping {
    fn new(job: &Job<'_>) -> io::Result<Self> {
        let len = job.range.len as usize;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                job.file,
                job.range.pos,
            )
        }?;
        let mapping = Self { start, len };
        // Without this, readahead would put pages of the other half into the page cache in a
        // control run.
        // SAFETY: the advice covers this mapping alone and does not change its contents.
        unsafe { madvise(start, len, Advice::Random) }?;
        Ok(mapping)
    }

    /// Stores a stamp at `offset` into the mapping, which is a multiple of [`SECTOR`] below `len`.
    fn store(&self, offset: usize, stamp: Stamp) {
        assert!(offset + LEN <= self.len);
        for (i, word) in stamp.words().into_iter().enumerate() {
            // SAFETY: inside the mapping, aligned to 8, valid for as long as `self`; other threads
            // store there atomically too. The kernel may refuse the store with SIGBUS, which ends
            // the process.
            let place = unsafe { AtomicU64::from_ptr(self.start.byte_add(offset + i * 8).cast()) };
            place.store(word, Ordering::Relaxed);
        }
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
    let mapping = Mapping::new(&job).context("cannot map the file")?;
    let mut tally = Tally::new(Role::MmapDirtier);
    let sectors = job.range.len / SECTOR as u64;
    while job.running() {
        let offset = job.rng.below(sectors) * SECTOR as u64;
        mapping.store(
            offset as usize,
            Stamp {
                thread: job.index,
                seq: tally.ops,
                pos: job.range.pos + offset,
            },
        );
        tally.ops += 1;
        tally.bytes += LEN as u64;
    }
    Ok(tally)
}
