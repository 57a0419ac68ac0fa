//! What every thread of the workload gets.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};

use super::buffer::AlignedBuf;
use super::options::Range;
use super::rng::Rng;
use super::stamp;

/// The work of one thread.
#[derive(Debug)]
pub(super) struct Job<'a> {
    /// Index of the thread, which its writes carry.
    pub(super) index: u32,
    /// The descriptor to write to.
    pub(super) file: &'a File,
    /// Where to write.
    pub(super) range: Range,
    /// The thread's own choices.
    pub(super) rng: Rng,
    /// Set when the run is over.
    pub(super) halt: &'a AtomicBool,
}

impl Job<'_> {
    /// Whether the thread should go on.
    pub(super) fn running(&self) -> bool {
        !self.halt.load(Ordering::Relaxed)
    }

    /// A buffer for one block.
    pub(super) fn buffer(&self) -> AlignedBuf {
        AlignedBuf::new(self.range.block as usize)
    }

    /// Chooses where write number `seq` goes and fills `buf` for it.
    pub(super) fn next_write(&mut self, buf: &mut [u8], seq: u64) -> u64 {
        let pos = self.range.pick(&mut self.rng);
        stamp::fill(buf, self.index, seq, pos);
        pos
    }
}
