//! One thread of a run: does its operations and keeps a record of each.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::record::{Kind, OpId, Record, Seen, contents, fill};
use super::schedule::{Op, Role};
use super::target::{Target, returned};
use crate::clock::boot_ns;
use crate::workload::buffer::AlignedBuf;
use crate::workload::mmap::Mapping;

/// A thread ends when it has done so many operations: its records stay in memory.
const MAX_RECORDS: usize = 1 << 20;
/// So many things that a thread's reads have found are kept, the first ones.
const MAX_SEEN: usize = 4 << 20;

/// How a thread comes to the file.
#[derive(Debug)]
pub(super) enum Access {
    /// By the column's way.
    Direct(Target),
    /// Through a descriptor, of which the role says whether it has O_DIRECT.
    File(File),
    /// Through a mapping of all of it.
    Mapped(Mapping),
}

// SAFETY: the mapping stays valid in whichever thread owns it, and is stored to atomically only.
unsafe impl Send for Access {}

/// A thread's work.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    /// Index in the schedule.
    pub(super) index: u32,
    /// Its role.
    pub(super) role: Role,
    /// How it comes to the file.
    pub(super) access: Access,
    /// Long enough for the longest operation.
    pub(super) buf: AlignedBuf,
    /// When to stop, if not before.
    pub(super) deadline: Option<Instant>,
    /// Set when the run is to end.
    pub(super) halt: &'a AtomicBool,
    /// What was done.
    pub(super) records: Vec<Record>,
    /// What reads found.
    pub(super) seen: Vec<Seen>,
}

impl Worker<'_> {
    /// Does all rounds; 0 for as often as there is time.
    pub(super) fn run(&mut self, ops: &[Op], rounds: u32) {
        if ops.is_empty() {
            return;
        }
        let mut round = 0;
        while rounds == 0 || round < rounds {
            for op in ops {
                if !self.goes_on() {
                    return;
                }
                self.op(round, op);
            }
            round += 1;
        }
    }

    /// Whether there is time left, and room.
    pub(super) fn goes_on(&self) -> bool {
        !self.halt.load(Ordering::Relaxed)
            && self.records.len() < MAX_RECORDS
            && self.deadline.is_none_or(|at| Instant::now() < at)
    }

    /// Does one operation.
    pub(super) fn op(&mut self, round: u32, op: &Op) {
        let id = OpId {
            thread: self.index,
            round,
            op: op.id(),
        };
        let kind = match op {
            Op::Write { .. } => Kind::Write,
            Op::Read { .. } => Kind::Read,
            Op::Fsync { .. } => Kind::Fsync,
            Op::Pause { us, .. } => return std::thread::sleep(Duration::from_micros(*us)),
        };
        let mut record = Record::new(id, Some(self.role), kind, Some(op));
        match kind {
            Kind::Write => self.write(&mut record),
            Kind::Read => self.read(&mut record),
            Kind::Fsync => {
                record.begin_ns = boot_ns();
                record.result = returned(self.sync().map(|()| 0));
                record.end_ns = boot_ns();
            }
        }
        self.records.push(record);
    }

    fn write(&mut self, record: &mut Record) {
        let buf = &mut self.buf[..record.len as usize];
        fill(buf, record.id, record.pos);
        record.begin_ns = boot_ns();
        match &self.access {
            Access::Direct(target) => target.write(buf, record.pos, record),
            Access::File(file) => record.result = returned(file.write_at(buf, record.pos)),
            Access::Mapped(mapping) => {
                let words = buf.chunks_exact(8).map(word);
                mapping.store(record.pos as usize, words);
                record.result = buf.len() as i64;
            }
        }
        record.end_ns = boot_ns();
        if let Access::Mapped(mapping) = &self.access {
            // Else no policy could ever drop it. Of no consequence where it fails.
            let _ = mapping.unmap_pages();
        }
    }

    fn read(&mut self, record: &mut Record) {
        let Access::File(file) = &self.access else {
            return;
        };
        let buf = &mut self.buf[..record.len as usize];
        record.begin_ns = boot_ns();
        record.result = returned(file.read_at(buf, record.pos));
        record.end_ns = boot_ns();
        if self.seen.len() >= MAX_SEEN {
            return;
        }
        let got = usize::try_from(record.result).unwrap_or(0);
        for (first, sectors, content) in contents(&buf[..got], record.pos) {
            self.seen.push(Seen {
                first,
                sectors,
                content,
                begin_ns: record.begin_ns,
                by: record.id,
            });
        }
    }

    fn sync(&self) -> io::Result<()> {
        match &self.access {
            Access::Direct(Target::Kernel(file)) | Access::File(file) => file.sync_all(),
            Access::Direct(Target::Policy(file)) => Ok(file.sync()?),
            Access::Mapped(mapping) => mapping.sync(),
        }
    }
}

fn word(bytes: &[u8]) -> u64 {
    // The chunks are of eight bytes.
    bytes.try_into().map_or(0, u64::from_ne_bytes)
}
