//! The parties: each a small machine of atomic steps.

use super::cast::{self, Task};
use super::flush::Flush;
use super::lock::{Locking, Unlocking, Want};
use super::tree::Ordered;
use super::world::{World, bytes_of};
use crate::event::{Holder, HolderKind, How};

/// Column of the timeline for writeback, for ordered I/O, and for everybody else.
pub const WRITEBACK: usize = 1;
/// Completion of ordered I/O.
pub const ORDERED: usize = 2;
/// The rest.
pub const OTHER: usize = 3;

/// Work on an ordered extent ends so soon after its unlock.
const WORKS_ON_NS: u64 = 15_000_000;

/// A party. Its steps return what it has just done; [`DONE`] and [`STEP`] are common to all.
pub trait Party {
    /// Whether it can take a step.
    fn ready(&self, world: &World) -> bool;
    /// Takes one.
    fn step(&mut self, world: &mut World) -> &'static str;
    /// By when it must take one.
    fn deadline(&self, _: &World) -> Option<u64> {
        None
    }
    /// Whether the run must not end before it is idle.
    fn idle(&self) -> bool;
}

/// A step of no importance.
pub const STEP: &str = "";
/// It has nothing left to do.
pub const DONE: &str = "done";

/// Completes ordered extents: `finish_ordered_fn()` to `btrfs_finish_ordered_io()`.
#[derive(Debug)]
pub struct Worker {
    task: Task,
    extent: Option<Ordered>,
    at: Work,
    began_ns: u64,
}

#[derive(Debug)]
enum Work {
    Idle,
    Locking(Locking),
    /// Updates trees, for so many steps.
    Holding(Box<Locking>, u64),
    Unlocking(Unlocking),
    /// Recorded when it ends: parts, moment of the unlock.
    Unlocked(Option<Unlocking>),
}

impl Worker {
    /// A worker.
    pub const fn new(task: Task) -> Self {
        Self {
            task,
            extent: None,
            at: Work::Idle,
            began_ns: 0,
        }
    }

    fn begin(&mut self, world: &mut World) {
        let Some(extent) = world.queue.pop_front() else {
            return;
        };
        self.began_ns = world.now;
        self.extent = Some(extent);
        let want = Want {
            span: extent.span,
            task: self.task,
            column: ORDERED,
            kind: HolderKind::OrderedIo,
            write: extent.write,
            function: "lock_extent()",
        };
        world.say(ORDERED, |_| "btrfs_finish_ordered_io()".to_owned());
        self.at = if extent.nocow {
            Work::Unlocked(None)
        } else {
            Work::Locking(Locking::new(want))
        };
    }

    /// The end of the work, when it is told of.
    fn end(&self, world: &mut World, unlocking: Option<&Unlocking>) {
        let Some(extent) = self.extent else { return };
        if let Some(at) = world.ordered.iter().position(|span| *span == extent.span) {
            world.ordered.swap_remove(at);
        }
        let holder = Holder {
            id: 0,
            kind: HolderKind::OrderedIo,
            dev: world.place.dev,
            ino: world.place.ino,
            root: world.place.root,
            pos: world.pos(extent.span),
            len: extent.span.end - extent.span.start,
            start_ns: self.began_ns,
            locked_ns: None,
            unlocked_ns: unlocking.map(|unlocking| unlocking.given_up_ns),
            end_ns: world.now,
            pid: self.task.pid,
            tid: self.task.tid,
            comm: self.task.comm.into(),
            unlocked_by: None,
            created_ns: Some(extent.created_ns),
            created_by: Some(extent.created_by),
            function: None,
            ordered_flags: vec![if extent.nocow { "nocow" } else { "regular" }.into()],
            stack: Vec::new(),
        };
        let parts = unlocking.map_or(&[][..], Unlocking::parts);
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
            return world.tape.holder(holder, Vec::new());
        };
        // Blocked in the middle it keeps its front (5.10): then two intervals are told of, the
        // front as of the first attempt and the rest as of the last.
        if parts.len() > 1 {
            let front = parts[1].start - first.start;
            let record = Holder {
                len: front,
                locked_ns: Some(first.tried_ns),
                ..holder.clone()
            };
            world.tape.holder(record, vec![first.lock]);
            let record = Holder {
                pos: holder.pos + front,
                len: holder.len - front,
                locked_ns: Some(last.tried_ns),
                ..holder
            };
            let locks = parts[1..].iter().map(|part| part.lock).collect();
            world.tape.holder(record, locks);
        } else {
            let record = Holder {
                locked_ns: Some(first.tried_ns),
                ..holder
            };
            world.tape.holder(record, vec![first.lock]);
        }
    }
}

impl Party for Worker {
    fn ready(&self, world: &World) -> bool {
        match &self.at {
            Work::Idle => !world.queue.is_empty(),
            Work::Locking(locking) => locking.ready(world),
            _ => true,
        }
    }

    fn step(&mut self, world: &mut World) -> &'static str {
        match std::mem::replace(&mut self.at, Work::Idle) {
            Work::Idle => {
                self.begin(world);
                "began"
            }
            Work::Locking(mut locking) => {
                if locking.step(world) {
                    let steps = 1 + world.rng.below(6);
                    self.at = Work::Holding(Box::new(locking), steps);
                    "locked"
                } else {
                    self.at = Work::Locking(locking);
                    STEP
                }
            }
            Work::Holding(locking, 0) => {
                self.at = Work::Unlocking(Unlocking::new(*locking, 1, None));
                "worked"
            }
            Work::Holding(locking, steps) => {
                self.at = Work::Holding(locking, steps - 1);
                STEP
            }
            Work::Unlocking(mut unlocking) => {
                if unlocking.step(world) {
                    self.at = Work::Unlocked(Some(unlocking));
                    "unlocked"
                } else {
                    self.at = Work::Unlocking(unlocking);
                    STEP
                }
            }
            Work::Unlocked(unlocking) => {
                self.end(world, unlocking.as_ref());
                self.extent = None;
                DONE
            }
        }
    }

    fn deadline(&self, world: &World) -> Option<u64> {
        match &self.at {
            Work::Locking(locking) => locking.deadline(world),
            Work::Unlocking(unlocking) => unlocking.deadline(world),
            Work::Unlocked(Some(unlocking)) => Some(unlocking.given_up_ns + WORKS_ON_NS),
            _ => None,
        }
    }

    fn idle(&self) -> bool {
        matches!(self.at, Work::Idle)
    }
}

/// The flusher: writes back what is dirty, again and again.
#[derive(Debug)]
pub struct Flusher {
    rounds: u32,
    flush: Option<Flush>,
}

impl Flusher {
    /// For so many rounds.
    pub const fn new(rounds: u32) -> Self {
        Self {
            rounds,
            flush: None,
        }
    }
}

impl Party for Flusher {
    fn ready(&self, world: &World) -> bool {
        match &self.flush {
            Some(flush) => flush.ready(world),
            None => self.rounds > 0,
        }
    }

    fn step(&mut self, world: &mut World) -> &'static str {
        let mut flush = match self.flush.take() {
            Some(flush) => flush,
            None => {
                self.rounds -= 1;
                world.say(WRITEBACK, |_| "wb_writeback()".to_owned());
                let all = (0, world.place.pages);
                self.flush = Some(Flush::new(cast::FLUSHER, WRITEBACK, all, None));
                return "began";
            }
        };
        if flush.step(world) {
            return DONE;
        }
        self.flush = Some(flush);
        STEP
    }

    fn idle(&self) -> bool {
        self.flush.is_none() && self.rounds == 0
    }
}

/// Stores through a mapping: `filemap_fault()` where nothing is cached, then `page_mkwrite`, whose
/// lock of the range is over at once.
#[derive(Debug)]
pub struct Dirtier {
    pages: Vec<u64>,
}

impl Dirtier {
    /// Stores into these pages, the last first.
    pub const fn new(pages: Vec<u64>) -> Self {
        Self { pages }
    }
}

impl Party for Dirtier {
    fn ready(&self, world: &World) -> bool {
        let page = self.pages.last();
        page.is_some_and(|page| match world.cache.at(*page) {
            Some(_) => world.can_lock_and_dirty(*page),
            None => !world
                .looking
                .iter()
                .any(|(from, end)| from <= page && page < end),
        })
    }

    fn step(&mut self, world: &mut World) -> &'static str {
        let Some(page) = self.pages.last().copied() else {
            return DONE;
        };
        if world.cache.at(page).is_none() {
            world.add_folio(page, cast::MMAP, How::Mmap);
            world.say(OTHER, |_| {
                format!("filemap_fault() {}", World::range(bytes_of(page, page + 1)))
            });
            return "faulted";
        }
        world.dirty(page, cast::MMAP, How::Mmap);
        self.pages.pop();
        world.say(OTHER, |_| {
            format!("page_mkwrite {}", World::range(bytes_of(page, page + 1)))
        });
        "dirtied"
    }

    fn idle(&self) -> bool {
        self.pages.is_empty()
    }
}

/// Keeps buffer heads of ext4 busy: the journal, or a reference.
#[derive(Debug)]
pub struct Buffered {
    /// The journal, and not a mere reference.
    journal: bool,
    /// Pages, the last first.
    pages: Vec<u64>,
    busy: bool,
}

impl Buffered {
    /// Holds the buffers of these pages, one after the other.
    pub const fn new(journal: bool, pages: Vec<u64>) -> Self {
        Self {
            journal,
            pages,
            busy: false,
        }
    }

    fn set(&self, world: &mut World, page: u64, held: bool) {
        let Some(heads) = world
            .cache
            .at_mut(page)
            .and_then(|folio| folio.heads.as_mut())
        else {
            return;
        };
        if self.journal {
            heads.jbd = held;
        } else {
            heads.busy = u32::from(held);
        }
    }
}

impl Party for Buffered {
    fn ready(&self, world: &World) -> bool {
        let Some(page) = self.pages.last() else {
            return false;
        };
        // A file's buffers are given to the journal under the folio's lock, where they are written
        // (fs/ext4/inode.c `ext4_journalled_write_end()`, `ext4_journalled_writepage_callback()`).
        let taken = self.journal && !self.busy;
        !(taken && world.cache.at(*page).is_some_and(|folio| folio.locked))
    }

    fn step(&mut self, world: &mut World) -> &'static str {
        let Some(page) = self.pages.last().copied() else {
            return DONE;
        };
        self.busy = !self.busy;
        self.set(world, page, self.busy);
        let (taken, given) = if self.journal {
            (
                "jbd2_journal_add_journal_head()",
                "jbd2_journal_put_journal_head()",
            )
        } else {
            ("get_bh()", "put_bh()")
        };
        let busy = self.busy;
        world.say(OTHER, |_| (if busy { taken } else { given }).to_owned());
        if self.busy {
            return "taken";
        }
        self.pages.pop();
        "given"
    }

    fn idle(&self) -> bool {
        self.pages.is_empty()
    }
}
