//! What each operation did, and when.

use serde::{Deserialize, Serialize};

use super::schedule::{Op, Role};
use crate::reference::direct::Route;
use crate::workload::stamp::{self, INITIAL, LEN, SECTOR, Stamp};

/// An execution of an operation: the schedule's number, and which round of its thread it was. Every
/// sector of a write carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OpId {
    /// Index of the thread in the schedule.
    pub thread: u32,
    /// Round, from 0.
    pub round: u32,
    /// Number of the operation.
    pub op: u32,
}

impl OpId {
    /// What stands in a stamp as the number of the write.
    pub const fn seq(self) -> u64 {
        (self.round as u64) << 32 | self.op as u64
    }

    const fn of(stamp: &Stamp) -> Self {
        Self {
            thread: stamp.thread,
            round: (stamp.seq >> 32) as u32,
            op: stamp.seq as u32,
        }
    }
}

/// What a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A write.
    Write,
    /// A read.
    Read,
    /// An fsync or msync.
    Fsync,
}

/// One operation that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which.
    pub id: OpId,
    /// Role of its thread; `None` for the runner itself.
    pub role: Option<Role>,
    /// What it was.
    pub kind: Kind,
    /// File offset in bytes.
    pub pos: u64,
    /// Length in bytes.
    pub len: u64,
    /// When it began, nanoseconds since boot.
    pub begin_ns: u64,
    /// When it had ended, nanoseconds since boot.
    pub end_ns: u64,
    /// Bytes, or a negative errno.
    pub result: i64,
    /// Which way a write of a policy went; `None` where nobody knows.
    pub route: Option<Route>,
    /// Pages of a write of a policy that were still cached before it.
    pub left: u64,
    /// Pages of a write of a policy that were still cached after it.
    pub stale: u64,
}

impl Record {
    /// A record of `op`, which has not ended.
    pub const fn new(id: OpId, role: Option<Role>, kind: Kind, op: Option<&Op>) -> Self {
        let (pos, len) = match op {
            Some(Op::Write { pos, len, .. } | Op::Read { pos, len, .. }) => (*pos, *len),
            _ => (0, 0),
        };
        Self {
            id,
            role,
            kind,
            pos,
            len,
            begin_ns: 0,
            end_ns: 0,
            result: 0,
            route: None,
            left: 0,
            stale: 0,
        }
    }

    /// Whether it did all that it was asked for.
    pub fn whole(&self) -> bool {
        u64::try_from(self.result).is_ok_and(|done| done == self.len)
    }

    /// The sectors that it said it wrote, as indices.
    pub fn done_sectors(&self) -> std::ops::Range<u64> {
        let done = u64::try_from(self.result).unwrap_or(0).min(self.len);
        let sector = SECTOR as u64;
        self.pos / sector..(self.pos + done) / sector
    }

    /// Whether a sector is in its range, by index.
    pub const fn covers(&self, sector: u64) -> bool {
        let at = sector * SECTOR as u64;
        self.pos <= at && at < self.pos + self.len
    }

    /// Whether both were under way at some moment.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.begin_ns <= other.end_ns && other.begin_ns <= self.end_ns
    }
}

/// What a sector holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Content {
    /// What the file was filled with.
    Initial,
    /// A write's.
    Write(OpId),
    /// Parts of several.
    Torn,
    /// Nothing that was ever written there.
    Foreign,
}

impl Content {
    /// Looks at the sector with this index.
    pub(super) fn of(sector: &[u8], index: u64) -> Self {
        let Some(stamp) = Stamp::read(sector) else {
            let any = sector
                .chunks_exact(LEN)
                .any(|part| Stamp::read(part).is_some());
            return if any { Self::Torn } else { Self::Foreign };
        };
        let (first, rest) = sector.split_at(LEN);
        let whole = match stamp.thread {
            // The file is filled with stamps and zeros.
            INITIAL => rest.iter().all(|byte| *byte == 0),
            _ => rest.chunks_exact(LEN).all(|part| part == first),
        };
        if !whole {
            Self::Torn
        } else if stamp.pos != index * SECTOR as u64 {
            Self::Foreign
        } else if stamp.thread == INITIAL {
            Self::Initial
        } else {
            Self::Write(OpId::of(&stamp))
        }
    }
}

/// What a read found in sectors that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// First sector, as an index.
    pub first: u64,
    /// Number of sectors.
    pub sectors: u64,
    /// What they held.
    pub content: Content,
    /// When the read began, nanoseconds since boot.
    pub begin_ns: u64,
    /// The read.
    pub by: OpId,
}

/// Writes the identity of `id` all over the sectors of `buf`, which goes to file offset `pos`.
pub(super) fn fill(buf: &mut [u8], id: OpId, pos: u64) {
    stamp::fill(buf, id.thread, id.seq(), pos);
    for sector in buf.chunks_exact_mut(SECTOR) {
        let (first, rest) = sector.split_at_mut(LEN);
        for part in rest.chunks_exact_mut(LEN) {
            part.copy_from_slice(first);
        }
    }
}

/// The contents of `bytes`, which are at file offset `pos`: equal neighbours together.
pub(super) fn contents(bytes: &[u8], pos: u64) -> Vec<(u64, u64, Content)> {
    let mut runs: Vec<(u64, u64, Content)> = Vec::new();
    for (index, sector) in (pos / SECTOR as u64..).zip(bytes.chunks_exact(SECTOR)) {
        let content = Content::of(sector, index);
        match runs.last_mut() {
            Some((_, sectors, last)) if *last == content => *sectors += 1,
            _ => runs.push((index, 1, content)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sector_says_whose_it_is() {
        let id = OpId {
            thread: 3,
            round: 7,
            op: 9,
        };
        let mut bytes = vec![0; 4 * SECTOR];
        fill(&mut bytes, id, 4096);
        let all = contents(&bytes, 4096);
        assert_eq!(all, [(8, 4, Content::Write(id))]);
        // Beyond the first stamp of the sector, which a look at its beginning would not find.
        bytes[SECTOR + 300] ^= 1;
        bytes[2 * SECTOR + 2] ^= 1;
        bytes[3 * SECTOR..].fill(0);
        let all = contents(&bytes, 4096);
        let kinds: Vec<_> = all.iter().map(|run| (run.1, run.2)).collect();
        let expected = [
            (1, Content::Write(id)),
            (2, Content::Torn),
            (1, Content::Foreign),
        ];
        assert_eq!(kinds, expected);
        bytes.fill(0);
        stamp::fill(&mut bytes, INITIAL, 0, 0);
        assert_eq!(contents(&bytes, 0), [(0, 4, Content::Initial)]);
        assert_eq!(contents(&bytes, 512), [(1, 4, Content::Foreign)]);
    }
}
