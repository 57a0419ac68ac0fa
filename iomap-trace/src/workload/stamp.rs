//! What each block carries in its bytes: who wrote it, as which of its writes, and where.

/// Bytes between two stamps: each sector carries its own, so a torn block shows.
pub(crate) const SECTOR: usize = 512;
/// Length of a stamp in bytes.
pub(crate) const LEN: usize = 32;
/// Thread index of the first contents of the file.
pub(crate) const INITIAL: u32 = u32::MAX;

const MAGIC: u64 = 0x696f_6d61 << 32; // "ioma"

/// The identity of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Index of the thread, or [`INITIAL`].
    pub(crate) thread: u32,
    /// Number of the write within its thread.
    pub(crate) seq: u64,
    /// File offset of the sector in bytes.
    pub(crate) pos: u64,
}

impl Stamp {
    /// The stamp as four words; the last one tells a whole stamp from a torn one.
    pub(crate) fn words(self) -> [u64; 4] {
        let first = MAGIC | u64::from(self.thread);
        let check = first
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(23)
            .wrapping_add(self.seq)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
            .rotate_left(23)
            .wrapping_add(self.pos);
        [first, self.seq, self.pos, check]
    }

    /// Reads the stamp at the start of `sector`, if a whole one is there.
    pub(crate) fn read(sector: &[u8]) -> Option<Self> {
        let word = |i: usize| -> Option<u64> {
            let bytes = sector.get(i * 8..i * 8 + 8)?;
            Some(u64::from_ne_bytes(bytes.try_into().ok()?))
        };
        let stamp = Self {
            thread: word(0)? as u32,
            seq: word(1)?,
            pos: word(2)?,
        };
        (stamp.words() == [word(0)?, word(1)?, word(2)?, word(3)?]).then_some(stamp)
    }
}

/// Stamps every sector of `buf`, which will be written at file offset `pos`.
pub(crate) fn fill(buf: &mut [u8], thread: u32, seq: u64, pos: u64) {
    for (i, sector) in buf.chunks_mut(SECTOR).enumerate() {
        let stamp = Stamp {
            thread,
            seq,
            pos: pos + (i * SECTOR) as u64,
        };
        for (place, word) in sector.chunks_exact_mut(8).zip(stamp.words()) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_and_a_torn_one_does_not() {
        let mut block = vec![0u8; 4 * SECTOR];
        fill(&mut block, 3, 99, 1 << 33);
        for (i, sector) in block.chunks(SECTOR).enumerate() {
            let want = Stamp {
                thread: 3,
                seq: 99,
                pos: (1 << 33) + (i * SECTOR) as u64,
            };
            assert_eq!(Stamp::read(sector), Some(want));
        }
        block[8] ^= 1;
        assert_eq!(Stamp::read(&block), None);
        assert_eq!(Stamp::read(&[0; SECTOR]), None);
        assert_eq!(Stamp::read(&block[..8]), None);
    }
}
