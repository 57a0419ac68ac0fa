//! Records of the programs to events of the log.

use iomap_trace_ebpf::{
    FAULT_FOLIO, FAULT_IDENTITY, FAULT_NO_BEGIN, FAULT_REFUSALS_CUT, FAULT_RETURN_UNSEEN,
    FAULT_ROOT, FAULT_WALK, FAULT_WALK_CUT, FAULT_WB_ERR, FOLIO_ADDED, FOLIO_BUFFERS,
    FOLIO_DIRTIED, FOLIO_PRIVATE, FailureRecord, FolioEntry, HOLDER_ORDERED_IO, HolderRecord,
    Identity, MAX_REFUSALS, MAX_STACK, PHASE_MAP, PHASE_POST, RefusalRecord,
};
use std::collections::HashMap;

use super::files::Files;
use super::how::{how, worker};
use super::paths::Paths;
use super::stack;
use crate::event::{
    Buffers, Decoded, Dev, Event, Failure, FlagNames, Holder, HolderKind, Outcome, OutcomeKind,
    Phase, Refusal, Text, Touched,
};
use crate::kernel::{Names, filesystems};

/// `IOCB_ATOMIC` (include/uapi/linux/fs.h `RWF_ATOMIC`).
const IOCB_ATOMIC: u32 = 0x40;
/// `AS_EIO` and `AS_ENOSPC` (include/linux/pagemap.h): a write-back error nobody was told of.
const AS_ERRORS: u64 = 0b11;
/// Refusals of one thread that are kept: those of one invalidation, and of one that was filtered.
const KEPT_REFUSALS: usize = 2 * MAX_REFUSALS as usize;
/// Threads whose refusals are kept.
const MAX_THREADS: usize = 4096;

/// Turns records into events, and numbers them.
pub struct Converter {
    names: Names,
    flags: FlagNames,
    stacks: bool,
    paths: Paths,
    files: Files,
    /// Refusals whose failure has not come, by the thread that met them.
    refused: HashMap<u32, Vec<RefusalRecord>>,
    failures: u64,
    holders: u64,
}

impl Converter {
    /// For the kernel that is traced. Without `stacks` only the function that locked is kept.
    pub fn new(names: Names, flags: FlagNames, stacks: bool) -> Self {
        Self {
            names,
            flags,
            stacks,
            paths: Paths::default(),
            files: Files::default(),
            refused: HashMap::new(),
            failures: 0,
            holders: 0,
        }
    }

    /// The events of one record: a failure with what belongs to it, or a holder.
    pub fn events(&mut self, record: &Decoded) -> Vec<Event> {
        match record {
            Decoded::Failure(record) => self.failure(record),
            Decoded::Holder(record) => vec![self.holder(record)],
            Decoded::Refusal(record) => {
                self.keep(record);
                Vec::new()
            }
        }
    }

    /// The numbers of the last failure and of the last holder.
    pub const fn numbers(&self) -> (u64, u64) {
        (self.failures, self.holders)
    }

    /// Goes on with the numbers of an earlier run, so that they differ in a log of both.
    pub const fn number_from(&mut self, (failures, holders): (u64, u64)) {
        (self.failures, self.holders) = (failures, holders);
    }

    /// What the file of a failure is like, when that has not been said or has changed: behind
    /// everything that belongs to the failure.
    pub fn file(&mut self, record: &Decoded, failure: &Failure) -> Option<Event> {
        let Decoded::Failure(record) = record else {
            return None;
        };
        let paths = &mut self.paths;
        let look = || paths.attributes(record.writer.tgid, &record.inode);
        let file = self.files.of(failure, look)?;
        Some(Event::File(Box::new(file)))
    }

    fn failure(&mut self, record: &FailureRecord) -> Vec<Event> {
        self.failures += 1;
        let id = self.failures;
        let refused = self.refused_by(record);
        // What the walk found as well, the release has told better.
        let left = record.folio[..record.folios as usize].iter();
        let left = left.filter(|f| refused.iter().all(|r| r.folio.index != f.index));
        let folios: Vec<(&FolioEntry, u64, Option<u64>)> = refused
            .iter()
            .map(|r| (&r.folio, r.ts_ns, Some(r.entered_ns)))
            .chain(left.map(|folio| (folio, record.ts_ns, None)))
            .collect();
        let mut failure = self.base(id, record);
        let mut events = Vec::with_capacity(2 + 3 * folios.len());
        for (folio, ts_ns, entered_ns) in &folios {
            let entered_ns = entered_ns.filter(|ts| *ts != 0);
            events.push(Event::Refusal(Refusal {
                entered_ns,
                ..self.refusal(id, *ts_ns, folio)
            }));
            failure.refusals += 1;
        }
        let folios = folios.iter().map(|(folio, ..)| *folio);
        for folio in folios.clone().filter(|f| f.present & FOLIO_DIRTIED != 0) {
            events.push(Event::Dirtied(touched(id, folio, false)));
            failure.dirtied += 1;
        }
        for folio in folios.filter(|f| f.present & FOLIO_ADDED != 0) {
            events.push(Event::Cached(touched(id, folio, true)));
            failure.cached += 1;
        }
        events.push(Event::Outcome(outcome(id, &failure, record)));
        events.insert(0, Event::Failure(Box::new(failure)));
        events
    }

    /// Keeps a refusal until its failure comes: the same thread sends it, so it comes after.
    fn keep(&mut self, record: &RefusalRecord) {
        // Threads that refused and never failed are threads whose failures are filtered.
        if self.refused.len() >= MAX_THREADS
            && let Some(oldest) = self.oldest()
        {
            self.refused.remove(&oldest);
        }
        let kept = self.refused.entry(record.tid).or_default();
        // So are those that met another file meanwhile.
        kept.retain(|r| r.mapping == record.mapping);
        if kept.len() >= KEPT_REFUSALS {
            kept.remove(0);
        }
        kept.push(*record);
    }

    /// The thread whose last refusal is the oldest.
    fn oldest(&self) -> Option<u32> {
        let last = |kept: &Vec<RefusalRecord>| kept.last().map_or(0, |r| r.ts_ns);
        let oldest = self.refused.iter().min_by_key(|(_, kept)| last(kept));
        oldest.map(|(tid, _)| *tid)
    }

    /// The refusals of this failure; older ones belonged to failures that a filter left out.
    fn refused_by(&mut self, record: &FailureRecord) -> Vec<RefusalRecord> {
        let mut refused = self.refused.remove(&record.current_tid).unwrap_or_default();
        let begin_ns = record.writer.ts_ns;
        refused.retain(|r| r.mapping == record.mapping && r.ts_ns >= begin_ns);
        refused
    }

    fn base(&mut self, id: u64, record: &FailureRecord) -> Failure {
        let writer = &record.writer;
        let begun = record.faults & FAULT_NO_BEGIN == 0;
        let mut flags = fault_names(record.faults);
        if record.ki_flags & IOCB_ATOMIC != 0 {
            flags.push(Text::const_new("atomic"));
        }
        if record.mapping_flags & AS_ERRORS != 0 {
            flags.push(Text::const_new("eio-before"));
        }
        let found = self.paths.find(writer.tgid, &record.inode);
        flags.extend(found.flags.iter().map(|flag| Text::const_new(flag)));
        let frames = &record.stack[..(record.stack_len as usize).min(MAX_STACK)];
        Failure {
            id,
            ts_ns: record.ts_ns,
            duration_ns: if begun {
                record.ts_ns.saturating_sub(writer.ts_ns)
            } else {
                0
            },
            phase: match record.phase {
                PHASE_POST => Phase::Post,
                PHASE_MAP => Phase::Map,
                _ => Phase::Pre,
            },
            pid: writer.tgid,
            tid: writer.tid,
            comm: text(&writer.comm),
            worker: worker(writer),
            completed_by: (record.current_tid != writer.tid).then_some(record.current_tid),
            cgroup: record.cgroup,
            dev: Dev::from_kernel(record.inode.dev),
            ino: record.inode.ino,
            root: root(&record.inode),
            fs: text(&record.inode.fs),
            path: found.path,
            pos: record.pos,
            len: record.len,
            size: record.size,
            errno: (record.errno != 0).then_some(record.errno),
            wb_err_begin: record.wb_err_begin,
            wb_err_now: record.wb_err_now,
            wb_error_ns: (record.wb_error_ns != 0).then_some(record.wb_error_ns),
            refusals: 0,
            dirtied: 0,
            cached: 0,
            flags,
            stack: stack::from(self.symbolise(frames), stack::FAILING),
        }
    }

    fn refusal(&self, failure: u64, ts_ns: u64, folio: &FolioEntry) -> Refusal {
        let mut folio_flags = FlagNames::of(&self.flags.folio, folio.flags);
        // The `PG_private` bit is not set by every filesystem: the pointer tells.
        folio_flags.retain(|flag| flag != "private");
        if folio.present & FOLIO_PRIVATE != 0 {
            folio_flags.push(Text::const_new("private"));
        }
        let buffers = (folio.present & FOLIO_BUFFERS != 0).then(|| Buffers {
            state: FlagNames::of(&self.flags.buffer, folio.bh_state),
            busy: folio.bh_busy,
        });
        Refusal {
            failure,
            ts_ns,
            entered_ns: None,
            index: folio.index,
            pages: folio.pages,
            folio_flags,
            buffers,
        }
    }

    fn holder(&mut self, record: &HolderRecord) -> Event {
        self.holders += 1;
        let frames = &record.stack[..(record.stack_len as usize).min(record.stack.len())];
        let stack = stack::from(self.symbolise(frames), stack::LOCKING);
        let ordered = record.kind == HOLDER_ORDERED_IO;
        let known = |ts: u64| (ts != 0).then_some(ts);
        Event::Holder(Box::new(Holder {
            id: self.holders,
            kind: if ordered {
                HolderKind::OrderedIo
            } else {
                HolderKind::ExtentLock
            },
            dev: Dev::from_kernel(record.inode.dev),
            ino: record.inode.ino,
            root: root(&record.inode),
            pos: record.pos,
            len: record.len,
            start_ns: record.holder.ts_ns,
            locked_ns: known(record.locked_ns),
            unlocked_ns: known(record.unlocked_ns),
            end_ns: record.end_ns,
            pid: record.holder.tgid,
            tid: record.holder.tid,
            comm: text(&record.holder.comm),
            unlocked_by: Some(record.unlocked_tid)
                .filter(|tid| *tid != 0 && *tid != record.holder.tid),
            created_ns: known(record.created_ns),
            created_by: Some(record.creator_tid).filter(|tid| *tid != 0),
            function: stack::locker(&stack),
            ordered_flags: FlagNames::of(&self.flags.ordered, record.ordered_flags),
            stack: if self.stacks { stack } else { Vec::new() },
        }))
    }

    fn symbolise(&mut self, addresses: &[u64]) -> Vec<String> {
        let name = |address: &u64| self.names.name(*address).to_owned();
        addresses.iter().map(name).collect()
    }
}

fn touched(failure: u64, folio: &FolioEntry, cached: bool) -> Touched {
    let actor = if cached { &folio.added } else { &folio.dirtied };
    Touched {
        failure,
        index: folio.index,
        ts_ns: actor.ts_ns,
        pid: actor.tgid,
        tid: actor.tid,
        comm: text(&actor.comm),
        how: how(actor, cached),
    }
}

fn outcome(id: u64, failure: &Failure, record: &FailureRecord) -> Outcome {
    let outcome = match failure.phase {
        Phase::Post => OutcomeKind::StaleCache,
        Phase::Pre if record.ki_flags & IOCB_ATOMIC != 0 => OutcomeKind::Error,
        _ if filesystems::falls_back(&failure.fs) => OutcomeKind::BufferedFallback,
        _ => OutcomeKind::Unknown,
    };
    Outcome {
        failure: id,
        outcome,
        // Plans that see results tell of a post failure before the write returns; it is never 0.
        ret: match failure.phase {
            Phase::Pre => None,
            Phase::Map => Some(record.ret),
            Phase::Post => Some(record.ret).filter(|ret| *ret != 0),
        },
    }
}

fn root(inode: &Identity) -> Option<u64> {
    (inode.root != 0).then_some(inode.root)
}

fn fault_names(faults: u32) -> Vec<Text> {
    const NAMES: &[(u32, &str)] = &[
        (FAULT_NO_BEGIN, "no-begin"),
        (FAULT_IDENTITY, "identity"),
        (FAULT_ROOT, "root"),
        (FAULT_WALK, "walk"),
        (FAULT_WALK_CUT, "walk-cut"),
        (FAULT_WB_ERR, "wb-err"),
        (FAULT_FOLIO, "folio"),
        (FAULT_RETURN_UNSEEN, "return-unseen"),
        (FAULT_REFUSALS_CUT, "refusals-cut"),
    ];
    NAMES
        .iter()
        .filter(|(bit, _)| faults & bit != 0)
        .map(|(_, name)| Text::const_new(name))
        .collect()
}

/// A zero-padded name.
fn text(bytes: &[u8]) -> Text {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    Text::from_utf8_lossy(&bytes[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_at_the_first_zero() {
        assert_eq!(text(b"fio\0\0junk"), "fio");
        assert_eq!(text(b"kworker/u8:3+dio"), "kworker/u8:3+dio");
    }
}
