//! What the data says: a pure function of the records and of two images of the file.
//!
//! Order is that of real time, sector by sector: a write comes after another if it began when that
//! had ended. Two that overlapped in time may have been done in either order, so that nothing is
//! said of them. What a sector holds on disk at the end must be a write that no acknowledged one
//! comes after.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::ack::{self, Fsyncs};
use super::record::{Content, Kind, OpId, Record, Seen};
use super::schedule::Role;
use crate::workload::stamp::SECTOR;

/// Findings of a kind that are kept one by one.
const EXAMPLES: usize = 8;
/// What a store through a mapping can make dirty beside what it stores, in bytes: a folio is dirty as
/// a whole when it is mapped writable (`iomap_page_mkwrite()`, `block_page_mkwrite()`), and this
/// is the largest.
const FOLIO: u64 = 2 << 20;

/// What there is to judge by.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Every operation.
    pub records: &'a [Record],
    /// What reads found.
    pub seen: &'a [Seen],
    /// The file through the page cache, as it was after the last fsync.
    pub cache: &'a [u8],
    /// The file as read with O_DIRECT.
    pub disk: &'a [u8],
}

/// Sectors that follow each other and have the same fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// File offset in bytes.
    pub pos: u64,
    /// Length in bytes.
    pub len: u64,
    /// What the disk has in the first of them; for a read, what the read returned.
    pub has: Content,
    /// What it should have: what the page cache has (stale), or the acknowledged write that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<Content>,
    /// The read that found it, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<OpId>,
}

/// Findings of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Ranges.
    pub ranges: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// The first of them.
    pub examples: Vec<Finding>,
    /// Where the last range ends, and which read found it.
    #[serde(skip)]
    end: (u64, Option<OpId>),
}

impl Found {
    pub(super) fn add(&mut self, finding: Finding) {
        self.bytes += finding.len;
        let goes_on = self.ranges > 0 && self.end == (finding.pos, finding.read);
        self.end = (finding.pos + finding.len, finding.read);
        if !goes_on {
            self.ranges += 1;
            if self.examples.len() < EXAMPLES {
                self.examples.push(finding);
            }
        } else if self.ranges as usize == self.examples.len()
            && let Some(last) = self.examples.last_mut()
        {
            last.len += finding.len;
        }
    }
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Bytes looked at.
    pub checked_bytes: u64,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Something failed that only a fault makes fail.
    pub faults: bool,
    /// The page cache differs from the disk.
    pub stale: Found,
    /// Acknowledged writes that are gone from the disk.
    pub lost: Found,
    /// The same, where a store through a mapping was made meanwhile to a neighbour that may have
    /// been in the same folio, which is then dirty, and written back, as a whole.
    pub neighbour: Found,
    /// Sectors on disk that are parts of several writes.
    pub torn: Found,
    /// The same, where a store through a mapping overlapped another write: the CPU stores words.
    pub mixed: Found,
    /// Sectors on disk that nobody wrote there.
    pub foreign: Found,
    /// What reads returned though a later write had ended before they began.
    pub stale_reads: Found,
}

/// Judges.
pub fn verify(evidence: &Evidence<'_>) -> Findings {
    let faults = ack::faults(evidence.records);
    let fsyncs = Fsyncs::of(evidence.records);
    let writes: HashMap<OpId, &Record> = evidence
        .records
        .iter()
        .filter(|record| record.kind == Kind::Write)
        .map(|record| (record.id, record))
        .collect();
    let mut judge = Judge {
        evidence,
        writes,
        last: vec![None; evidence.disk.len() / SECTOR],
        findings: Findings {
            checked_bytes: evidence.disk.len() as u64,
            faults,
            ..Findings::default()
        },
    };
    for record in evidence.records {
        if fsyncs.acknowledge(record, faults) {
            judge.findings.acknowledged += 1;
            judge.acknowledged(record);
        }
    }
    judge.sectors();
    judge.findings.stale_reads = stale_reads(evidence, &judge.writes);
    judge.findings
}

struct Judge<'a> {
    evidence: &'a Evidence<'a>,
    writes: HashMap<OpId, &'a Record>,
    /// By sector: the acknowledged write that began last.
    last: Vec<Option<&'a Record>>,
    findings: Findings,
}

impl<'a> Judge<'a> {
    fn acknowledged(&mut self, record: &'a Record) {
        let sectors = record.done_sectors();
        let end = (sectors.end as usize).min(self.last.len());
        for last in &mut self.last[(sectors.start as usize).min(end)..end] {
            if last.is_none_or(|last| last.begin_ns < record.begin_ns) {
                *last = Some(record);
            }
        }
    }

    fn sectors(&mut self) {
        let evidence = self.evidence;
        let cache = evidence.cache.chunks_exact(SECTOR);
        let both = evidence.disk.chunks_exact(SECTOR).zip(cache);
        for (index, (disk, cache)) in both.enumerate() {
            let has = Content::of(disk, index as u64);
            let finding = |instead_of| Finding {
                pos: (index * SECTOR) as u64,
                len: SECTOR as u64,
                has,
                instead_of,
                read: None,
            };
            if disk != cache {
                let cached = Content::of(cache, index as u64);
                self.findings.stale.add(finding(Some(cached)));
            }
            match has {
                Content::Foreign => self.findings.foreign.add(finding(None)),
                Content::Torn => match self.may_be_mixed(index as u64) {
                    true => self.findings.mixed.add(finding(None)),
                    false => self.findings.torn.add(finding(None)),
                },
                Content::Initial | Content::Write(_) => {
                    let Some(after) = self.superseded(index, has) else {
                        continue;
                    };
                    let gone = finding(after.map(|write| Content::Write(write.id)));
                    match after {
                        None => self.findings.foreign.add(gone),
                        Some(write) if self.beside_a_store(write) => {
                            self.findings.neighbour.add(gone);
                        }
                        Some(_) => self.findings.lost.add(gone),
                    }
                }
            }
        }
    }

    /// The acknowledged write that comes after `has` and is gone; `Some(None)` where nobody made a
    /// write like `has` there.
    fn superseded(&self, index: usize, has: Content) -> Option<Option<&'a Record>> {
        let last = self.last[index];
        match has {
            Content::Write(id) => {
                let Some(write) = self.writes.get(&id).filter(|w| w.covers(index as u64)) else {
                    return Some(None);
                };
                last.filter(|last| comes_after(last, write)).map(Some)
            }
            _ => last.map(Some),
        }
    }

    /// A store through a mapping was under way together with another write to this sector.
    fn may_be_mixed(&self, sector: u64) -> bool {
        let here = || self.writes.values().filter(move |w| w.covers(sector));
        here()
            .filter(|write| write.role == Some(Role::MmapWriter))
            .any(|store| here().any(|w| w.id != store.id && w.overlaps(store)))
    }

    /// A store through a mapping was under way together with `write` in what can have been the same
    /// folio.
    fn beside_a_store(&self, write: &Record) -> bool {
        let reach = |record: &Record| record.pos / FOLIO..=(record.pos + record.len - 1) / FOLIO;
        self.writes.values().any(|store| {
            store.role == Some(Role::MmapWriter)
                && store.overlaps(write)
                && reach(store).start() <= reach(write).end()
                && reach(write).start() <= reach(store).end()
        })
    }
}

/// Whether `later` began when `write` had ended. What failed, or was cut short, may come to an end at
/// any time.
fn comes_after(later: &Record, write: &Record) -> bool {
    write.whole() && write.end_ns < later.begin_ns
}

/// Reads that returned what a write had replaced before they began. A buffered write that
/// nobody has synced counts as well: it is seen when it has returned.
fn stale_reads(evidence: &Evidence<'_>, writes: &HashMap<OpId, &Record>) -> Found {
    let mut found = Found::default();
    if evidence.seen.is_empty() {
        return found;
    }
    let histories = Histories::of(evidence);
    for seen in evidence.seen {
        let ended = match seen.content {
            Content::Initial => Some(0),
            Content::Write(id) => writes.get(&id).filter(|w| w.whole()).map(|w| w.end_ns),
            // A read can see a write half done.
            Content::Torn | Content::Foreign => None,
        };
        let Some(ended) = ended else { continue };
        for sector in seen.first..seen.first + seen.sectors {
            let Some(after) = histories.last_before(sector, seen.begin_ns) else {
                continue;
            };
            if after.begin_ns > ended {
                found.add(Finding {
                    pos: sector * SECTOR as u64,
                    len: SECTOR as u64,
                    has: seen.content,
                    instead_of: Some(Content::Write(after.id)),
                    read: Some(seen.by),
                });
            }
        }
    }
    found
}

/// For each sector that a read saw, the writes to it by the time at which they had ended.
struct Histories<'a> {
    by_sector: Vec<Vec<Past<'a>>>,
}

#[derive(Clone, Copy)]
struct Past<'a> {
    end_ns: u64,
    /// Of all that had ended by then, the write that began last.
    last: &'a Record,
}

impl<'a> Histories<'a> {
    fn of(evidence: &Evidence<'a>) -> Self {
        let mut by_sector = vec![Vec::new(); evidence.disk.len() / SECTOR];
        let writes = evidence.records.iter();
        for record in writes.filter(|r| r.kind == Kind::Write && r.result > 0) {
            for sector in record.done_sectors() {
                if let Some(history) = by_sector.get_mut(sector as usize) {
                    history.push(Past {
                        end_ns: record.end_ns,
                        last: record,
                    });
                }
            }
        }
        for history in &mut by_sector {
            history.sort_unstable_by_key(|past| past.end_ns);
            let mut last: Option<&Record> = None;
            for past in history {
                match last {
                    Some(last) if last.begin_ns >= past.last.begin_ns => past.last = last,
                    _ => last = Some(past.last),
                }
            }
        }
        Self { by_sector }
    }

    fn last_before(&self, sector: u64, ns: u64) -> Option<&'a Record> {
        let history = self.by_sector.get(sector as usize)?;
        let ended = history.partition_point(|past| past.end_ns < ns);
        history[..ended].last().map(|past| past.last)
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
