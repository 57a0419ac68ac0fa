//! Parties that lock a range of the extent io tree: FIEMAP, reads, buffered writes.

use super::cast::{self, Task};
use super::lock::{Locking, Unlocking, Want};
use super::party::{OTHER, Party, STEP};
use super::tree::Span;
use super::world::{Fs, PAGE, World, bytes_of, pages_of};
use crate::event::{HolderKind, How};

/// What a [`Locker`] does under its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// Nothing that matters: FIEMAP (`extent_fiemap()`), SEEK_HOLE.
    Nothing,
    /// A direct read: it is unlocked where its data comes, before 6.12 (`btrfs_dio_iomap_end()`).
    DirectRead,
    /// A buffered read: folios are cached (`btrfs_do_readpage()`).
    Read,
    /// A buffered write: folios are dirtied (`btrfs_buffered_write()`).
    Write,
}

impl Under {
    fn task(self) -> Task {
        match self {
            Self::Nothing => cast::FIEMAP,
            Self::DirectRead => cast::DIRECT_READER,
            Self::Read => cast::READER,
            Self::Write => cast::BUFFERED,
        }
    }

    fn function(self) -> &'static str {
        match self {
            Self::Nothing => "extent_fiemap()",
            Self::DirectRead => "btrfs_dio_iomap_begin()",
            Self::Read => "btrfs_lock_and_flush_ordered_range()",
            Self::Write => "lock_and_cleanup_extent_if_need()",
        }
    }
}

/// Holds a range locked, and does something meanwhile; without a lock on other filesystems.
#[derive(Debug)]
pub struct Locker {
    under: Under,
    /// Ranges, the last first.
    spans: Vec<Span>,
    at: Lock,
}

#[derive(Debug)]
enum Lock {
    Idle,
    Locking(Locking),
    /// At this page.
    Holding(Option<Box<Locking>>, u64, u64),
    /// Gives it up; where an ordered extent was met, to begin anew with this range.
    Unlocking(Unlocking, Option<Span>),
    /// Holds nothing, and waits for the ordered extents of a range.
    Ordered(Span),
}

impl Locker {
    /// Locks these ranges, the last first.
    pub const fn new(under: Under, spans: Vec<Span>) -> Self {
        Self {
            under,
            spans,
            at: Lock::Idle,
        }
    }

    fn writes(&self) -> bool {
        self.under == Under::Write
    }

    /// It looks for ordered extents when it has the range, and waits for them: everybody but FIEMAP.
    fn waits(&self) -> bool {
        self.under != Under::Nothing
    }

    fn lock(&self, span: Span) -> Lock {
        Lock::Locking(Locking::new(Want {
            span,
            task: self.under.task(),
            column: OTHER,
            kind: HolderKind::ExtentLock,
            write: None,
            function: self.under.function(),
        }))
    }

    /// It has the range.
    fn locked(&self, world: &World, locking: Locking) -> Lock {
        let span = locking.want.span;
        if self.waits() && world.is_ordered(span) {
            return Lock::Unlocking(Unlocking::new(locking, 1, None), Some(span));
        }
        let (from, end) = pages_of(span);
        Lock::Holding(Some(Box::new(locking)), from, end)
    }

    /// An ordered extent that a write cannot go beyond, in the folio of this page. Only where the
    /// folio is larger than what was locked.
    fn meets_ordered(&self, world: &World, page: u64) -> bool {
        self.writes() && world.is_ordered(world.folio_at(page))
    }

    fn begin(&mut self, world: &mut World) {
        let Some(span) = self.spans.pop() else { return };
        if span.start == span.end {
            // `if (!iov_iter_count(iter)) return 0`: of no byte, it touches no page.
            return;
        }
        if self.writes() {
            world.exclusive = true;
        }
        let end = pages_of(span).1;
        self.at = if world.fs == Fs::Btrfs {
            self.lock(bytes_of(span.start / PAGE, end))
        } else {
            Lock::Holding(None, span.start / PAGE, end)
        };
    }

    fn touch(&self, world: &mut World, page: u64) {
        let task = self.under.task();
        match self.under {
            Under::Read => world.add_folio(page, task, How::Read),
            Under::Write => {
                world.add_folio(page, task, How::Buffered);
                world.dirty(page, task, How::Buffered);
                world.say(OTHER, |_| {
                    format!(
                        "folio_mark_dirty() {}",
                        World::range(bytes_of(page, page + 1))
                    )
                });
            }
            Under::Nothing | Under::DirectRead => {}
        }
    }

    fn end(&self, world: &mut World) -> &'static str {
        if self.writes() {
            world.exclusive = false;
        }
        "unlocked"
    }
}

impl Party for Locker {
    fn ready(&self, world: &World) -> bool {
        match &self.at {
            Lock::Idle => {
                let shut = world.kernel.shuts_writers_out() && world.writers > 0;
                !(self.spans.is_empty() || self.writes() && (shut || world.exclusive))
            }
            Lock::Locking(locking) => locking.ready(world),
            Lock::Holding(_, page, end) if self.writes() && page < end => {
                world.can_dirty(*page) || self.meets_ordered(world, *page)
            }
            Lock::Ordered(span) => {
                !world.is_ordered(*span) && !self.meets_ordered(world, span.start / PAGE)
            }
            _ => true,
        }
    }

    fn step(&mut self, world: &mut World) -> &'static str {
        match std::mem::replace(&mut self.at, Lock::Idle) {
            Lock::Idle => {
                self.begin(world);
                "began"
            }
            Lock::Locking(mut locking) => {
                if locking.step(world) {
                    self.at = self.locked(world, locking);
                    "locked"
                } else {
                    self.at = Lock::Locking(locking);
                    STEP
                }
            }
            Lock::Holding(Some(locking), page, end)
                if page < end && self.meets_ordered(world, page) =>
            {
                let rest = bytes_of(page, end);
                self.at = Lock::Unlocking(Unlocking::new(*locking, 1, None), Some(rest));
                STEP
            }
            Lock::Holding(locking, page, end) if page < end => {
                self.touch(world, page);
                let next = match self.under {
                    Under::Nothing | Under::DirectRead => end,
                    _ => world
                        .cache
                        .at(page)
                        .map_or(page + 1, super::cache::Folio::end),
                };
                self.at = Lock::Holding(locking, next, end);
                "touched"
            }
            Lock::Holding(None, ..) => self.end(world),
            Lock::Holding(Some(locking), ..) => {
                let reads = matches!(self.under, Under::Read | Under::DirectRead);
                let elsewhere = reads && world.kernel.reads_unlocked_elsewhere();
                let pieces = if elsewhere { 1 + world.rng.below(3) } else { 1 };
                let by = elsewhere.then_some(cast::BIO);
                self.at = Lock::Unlocking(Unlocking::new(*locking, pieces, by), None);
                "worked"
            }
            Lock::Unlocking(mut unlocking, again) => {
                if !unlocking.step(world) {
                    self.at = Lock::Unlocking(unlocking, again);
                    return STEP;
                }
                let Some(span) = again else {
                    return self.end(world);
                };
                self.at = Lock::Ordered(span);
                STEP
            }
            Lock::Ordered(span) => {
                self.at = self.lock(span);
                STEP
            }
        }
    }

    fn deadline(&self, world: &World) -> Option<u64> {
        match &self.at {
            Lock::Locking(locking) => locking.deadline(world),
            Lock::Unlocking(unlocking, _) => unlocking.deadline(world),
            _ => None,
        }
    }

    fn idle(&self) -> bool {
        matches!(self.at, Lock::Idle) && self.spans.is_empty()
    }
}
