//! Reading through the page cache: it leaves the clean pages that a lock keeps from being dropped.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, fadvise};

use super::buffer::AlignedBuf;
use super::options::Range;
use super::rng::Rng;

/// Blocks that a buffered reader reads one after the other, for readahead to set in.
const RUN: u64 = 16;
/// One run in so many is dropped from the page cache first, so that it is read from the disk.
const DROP_EVERY: u64 = 4;

/// Reads runs of blocks through the page cache.
#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    range: Range,
    buf: AlignedBuf,
    runs: u64,
    next: u64,
    left: u64,
}

impl Reader {
    /// A reader of `range`; `file` should be a descriptor of its own, which has its own readahead.
    pub(super) fn new(file: File, range: Range) -> Self {
        Self {
            file,
            range,
            buf: AlignedBuf::new(range.block as usize),
            runs: 0,
            next: range.pos,
            left: 0,
        }
    }

    /// Reads the next block of the run, or the first one of a new run. Returns the bytes read.
    pub(super) fn read(&mut self, rng: &mut Rng) -> io::Result<usize> {
        let end = self.range.pos + self.range.len;
        if self.left == 0 || self.next >= end {
            self.next = self.range.pick(rng);
            self.left = RUN;
            self.runs += 1;
            if self.runs.is_multiple_of(DROP_EVERY) {
                let len = std::num::NonZeroU64::new(RUN * self.range.block);
                fadvise(&self.file, self.next, len, Advice::DontNeed)?;
            }
        }
        let pos = self.next;
        self.next += self.range.block;
        self.left -= 1;
        self.file.read_at(&mut self.buf, pos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_stay_in_the_range_and_are_read_in_full() {
        let file = tempfile::tempfile().unwrap();
        let range = Range {
            pos: 65536,
            len: 20 * 4096,
            block: 4096,
        };
        file.set_len(range.pos + range.len).unwrap();
        let mut reader = Reader::new(file, range);
        let mut rng = Rng::for_thread(1, 1);
        for _ in 0..500 {
            assert_eq!(reader.read(&mut rng).unwrap(), 4096);
            assert!(reader.next > range.pos && reader.next <= range.pos + range.len);
        }
        assert!(reader.runs > DROP_EVERY);
    }
}
