//! What the threads do to the file: the same for every column, and small enough to be kept.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::text::printable;
use crate::workload::stamp::SECTOR;

/// Version of the file's format.
pub const SCHEMA: u32 = 1;

/// Largest file in bytes: its images are held in memory, two of each column.
const MAX_FILE: u64 = 256 << 20;
/// Most threads.
const MAX_THREADS: usize = 256;
/// Most operations of all threads.
const MAX_OPS: usize = 1 << 20;
/// Longest pause in microseconds.
const MAX_PAUSE_US: u64 = 1_000_000;
/// What the length of a file is a multiple of, in bytes: a mapping of it then has no part of a page
/// behind the end.
const PAGE: u64 = 4096;

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Writes with O_DIRECT, by the column's policy.
    DirectWriter,
    /// Writes through the page cache.
    BufferedWriter,
    /// Stores through a shared mapping.
    MmapWriter,
    /// Reads through the page cache.
    BufferedReader,
    /// Reads with O_DIRECT.
    DirectReader,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::DirectWriter,
        Self::BufferedWriter,
        Self::MmapWriter,
        Self::BufferedReader,
        Self::DirectReader,
    ];

    /// Name, as in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DirectWriter => "direct-writer",
            Self::BufferedWriter => "buffered-writer",
            Self::MmapWriter => "mmap-writer",
            Self::BufferedReader => "buffered-reader",
            Self::DirectReader => "direct-reader",
        }
    }

    /// Whether it writes.
    pub const fn writes(self) -> bool {
        !matches!(self, Self::BufferedReader | Self::DirectReader)
    }
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Op {
    /// Writes its identity into each of its sectors.
    Write {
        /// Number, unique in the schedule.
        id: u32,
        /// File offset in bytes.
        pos: u64,
        /// Bytes.
        len: u64,
    },
    /// Reads.
    Read {
        /// Number, unique in the schedule.
        id: u32,
        /// File offset in bytes.
        pos: u64,
        /// Bytes.
        len: u64,
    },
    /// `fsync(2)` on the thread's descriptor; `msync(2)` for a mapping.
    Fsync {
        /// Number, unique in the schedule.
        id: u32,
    },
    /// Does nothing.
    Pause {
        /// Number, unique in the schedule.
        id: u32,
        /// For how long, in microseconds.
        us: u64,
    },
}

impl Op {
    /// Number of the operation.
    pub const fn id(&self) -> u32 {
        match *self {
            Self::Write { id, .. }
            | Self::Read { id, .. }
            | Self::Fsync { id }
            | Self::Pause { id, .. } => id,
        }
    }

    /// File offset and length in bytes, for one that has a range.
    pub const fn range(&self) -> Option<(u64, u64)> {
        match *self {
            Self::Write { pos, len, .. } | Self::Read { pos, len, .. } => Some((pos, len)),
            Self::Fsync { .. } | Self::Pause { .. } => None,
        }
    }
}

/// A thread and what it does, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// How it comes to the file.
    pub role: Role,
    /// Its operations.
    pub ops: Vec<Op>,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Seed that it was made with.
    pub seed: u64,
    /// Length of the file in bytes.
    pub file_size: u64,
    /// What offsets and lengths of operations are multiples of, in bytes.
    pub block: u64,
    /// One thread does everything, in the order of the numbers.
    #[serde(default)]
    pub serial: bool,
    /// How often each thread does all of its operations; 0 for as often as there is time.
    #[serde(default = "once")]
    pub rounds: u32,
    /// The file keeps copy-on-write and checksums (btrfs only).
    #[serde(default)]
    pub cow: bool,
    /// The threads.
    pub threads: Vec<Thread>,
}

const fn once() -> u32 {
    1
}

impl Schedule {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// One line when it cannot be read, is no schedule, or cannot be run.
    pub fn load(path: &Path) -> Result<Self> {
        let shown = printable(&path.to_string_lossy());
        let text = fs::read(path).with_context(|| format!("cannot read the schedule {shown}"))?;
        let schedule = Self::parse(&text).with_context(|| format!("no schedule: {shown}"))?;
        Ok(schedule)
    }

    /// Reads a schedule from JSON, and checks that it can be run.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn parse(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        // A later version is named before its fields are stumbled over.
        let version: Version = serde_json::from_slice(json)?;
        ensure!(
            version.schema == SCHEMA,
            "schema {} is not known, only {SCHEMA} is: use the iomap-trace that wrote it",
            version.schema
        );
        let schedule: Self = serde_json::from_slice(json)?;
        schedule.validate()?;
        Ok(schedule)
    }

    /// Writes it to a file, an operation a line.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let shown = printable(&path.to_string_lossy());
        let text = self.text()?;
        fs::write(path, text).with_context(|| format!("cannot write the schedule {shown}"))
    }

    /// The text of its file.
    ///
    /// # Errors
    /// None that can be met: the types have no maps with other keys than text.
    pub fn text(&self) -> Result<String> {
        let head = Self {
            threads: Vec::new(),
            ..self.clone()
        };
        let mut text = serde_json::to_string(&head)?;
        // The list of threads is empty and stands last.
        text.truncate(text.len() - "]}".len());
        for (number, thread) in self.threads.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let role = thread.role.name();
            text.push_str(&format!("{comma}\n{{\"role\":\"{role}\",\"ops\":["));
            for (number, op) in thread.ops.iter().enumerate() {
                text.push_str(if number == 0 { "\n  " } else { ",\n  " });
                text.push_str(&serde_json::to_string(op)?);
            }
            text.push_str("]}");
        }
        text.push_str("\n]}\n");
        Ok(text)
    }

    /// Refuses what cannot be run.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn validate(&self) -> Result<()> {
        let sector = SECTOR as u64;
        ensure!(
            self.block > 0 && self.block.is_multiple_of(sector),
            "the block size must be a multiple of {sector} bytes"
        );
        ensure!(
            self.file_size >= 2 * self.block
                && self.file_size.is_multiple_of(self.block)
                && self.file_size.is_multiple_of(PAGE)
                && self.file_size <= MAX_FILE,
            "the file must be two blocks or more, in whole blocks and pages, and {MAX_FILE} bytes \
             at most"
        );
        ensure!(
            (1..=MAX_THREADS).contains(&self.threads.len()),
            "there must be 1 to {MAX_THREADS} threads"
        );
        ensure!(
            self.ops().count() <= MAX_OPS,
            "there are more than {MAX_OPS} operations"
        );
        let mut ids: Vec<_> = self.ops().map(|(_, op)| op.id()).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|two| two[0] == two[1]) {
            bail!("two operations have the number {}", twice[0]);
        }
        self.ops()
            .try_for_each(|(role, op)| self.validate_op(role, op))
    }

    fn validate_op(&self, role: Role, op: &Op) -> Result<()> {
        let id = op.id();
        if let Some((pos, len)) = op.range() {
            ensure!(
                len > 0 && pos.is_multiple_of(self.block) && len.is_multiple_of(self.block),
                "operation {id} is not made of whole blocks of {} bytes",
                self.block
            );
            ensure!(
                pos.checked_add(len)
                    .is_some_and(|end| end <= self.file_size),
                "operation {id} reaches beyond the file's {} bytes",
                self.file_size
            );
        }
        match op {
            Op::Write { .. } => ensure!(role.writes(), "operation {id}: a reader does not write"),
            Op::Read { .. } => ensure!(!role.writes(), "operation {id}: a writer does not read"),
            Op::Pause { us, .. } => ensure!(
                *us <= MAX_PAUSE_US,
                "operation {id} pauses for more than {MAX_PAUSE_US} us"
            ),
            Op::Fsync { .. } => {}
        }
        Ok(())
    }

    /// All operations with the role of their thread.
    pub fn ops(&self) -> impl Iterator<Item = (Role, &Op)> {
        self.threads
            .iter()
            .flat_map(|thread| thread.ops.iter().map(|op| (thread.role, op)))
    }

    /// Every write covers whole pages, so that none makes the kernel write back what another wrote
    /// beside it.
    pub fn whole_pages(&self) -> bool {
        let page = rustix::param::page_size() as u64;
        let whole = |(pos, len): (u64, u64)| pos.is_multiple_of(page) && len.is_multiple_of(page);
        self.ops().all(|(_, op)| match op {
            Op::Write { .. } => op.range().is_none_or(whole),
            _ => true,
        })
    }

    /// Threads of a role.
    pub fn count(&self, role: Role) -> usize {
        let of_role = |thread: &&Thread| thread.role == role;
        self.threads.iter().filter(of_role).count()
    }

    /// Length of the longest operation in bytes, at least a block.
    pub fn longest(&self) -> u64 {
        let lengths = self.ops().filter_map(|(_, op)| op.range());
        lengths.map(|(_, len)| len).max().unwrap_or(self.block)
    }
}

#[cfg(test)]
mod tests {
    use super::super::generate::Mix;
    use super::*;

    #[test]
    fn a_schedule_comes_back_from_its_file() {
        let schedule = Mix::default().schedule(3).unwrap();
        let text = schedule.text().unwrap();
        assert_eq!(Schedule::parse(text.as_bytes()).unwrap(), schedule);
        assert!(text.lines().count() > schedule.ops().count());
        assert!(text.ends_with("\n]}\n"));
    }

    #[test]
    fn what_is_wrong_is_one_line() {
        let good = Mix::default().schedule(1).unwrap().text().unwrap();
        let first = good
            .lines()
            .nth(2)
            .unwrap()
            .trim_end_matches(',')
            .to_owned();
        for (from, to, said) in [
            ("\"schema\":1", "\"schema\":9", "schema 9 is not known"),
            ("\"block\":4096", "\"block\":100", "multiple of 512"),
            ("direct-writer", "dyrect-writer", "unknown variant"),
            ("direct-writer", "direct-reader", "a reader does not write"),
            ("{", "", "invalid type"),
            (
                &first,
                "{\"op\":\"pause\",\"id\":9999,\"us\":99999999}",
                "pauses",
            ),
            (
                &first,
                "{\"op\":\"write\",\"id\":9999,\"pos\":8,\"len\":8}",
                "whole blocks",
            ),
            (
                &first,
                "{\"op\":\"write\",\"id\":9999,\"pos\":4096,\"len\":1099511627776}",
                "beyond",
            ),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            let error = format!("{:#}", Schedule::parse(bad.as_bytes()).unwrap_err());
            assert!(error.contains(said), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
        let twice = good.replacen("\"id\":1,", "\"id\":0,", 1);
        let error = Schedule::parse(twice.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "two operations have the number 0");
        let missing = Schedule::load(Path::new("/nonexistent/x")).unwrap_err();
        assert!(format!("{missing:#}").contains("cannot read the schedule /nonexistent/x"));
    }
}
