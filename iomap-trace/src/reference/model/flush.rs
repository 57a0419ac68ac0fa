//! Writing a range back and waiting for it: `filemap_write_and_wait_range()` (mm/filemap.c), the
//! flusher, and the second half of a buffered fallback.

use super::cast::Task;
use super::tree::Ordered;
use super::world::{Fs, World, bytes_of};

/// Column of the timeline for writeback.
const WRITEBACK: usize = 1;

#[derive(Clone, Copy, Debug)]
enum At {
    /// Looks for dirty folios.
    Look,
    /// The bio of pages `.0...1` is on its way.
    Written(u64, u64),
    /// The first half of its end is done.
    Ending(u64, u64),
    /// Waits for writeback that others began.
    Wait,
    Done,
}

/// A flush.
#[derive(Debug)]
pub struct Flush {
    task: Task,
    /// The direct write that it works for.
    write: Option<u64>,
    column: usize,
    pages: (u64, u64),
    at: At,
    extent: Option<Ordered>,
    /// It returns errors of write-back.
    asks: bool,
    /// The error that it returns.
    pub errno: Option<i32>,
}

impl Flush {
    /// Of pages `pages.0..pages.1`.
    pub const fn new(task: Task, column: usize, pages: (u64, u64), write: Option<u64>) -> Self {
        Self {
            task,
            write,
            column,
            pages,
            at: At::Look,
            extent: None,
            asks: task.tid != super::cast::FLUSHER.tid,
            errno: None,
        }
    }

    /// Whether it can go on.
    pub fn ready(&self, world: &World) -> bool {
        let (from, end) = self.pages;
        match self.at {
            At::Look => {
                let mut dirty = world.cache.within(from, end).filter(|folio| folio.dirty);
                // The range is locked while an ordered extent is made (find_lock_delalloc_range()).
                dirty.all(|folio| {
                    let span = bytes_of(folio.page, folio.end());
                    !folio.locked && !folio.writeback && world.tree.blocked(span).is_none()
                })
            }
            At::Wait => !world.cache.within(from, end).any(|folio| folio.writeback),
            _ => true,
        }
    }

    /// Goes on; true when it is over.
    pub fn step(&mut self, world: &mut World) -> bool {
        match self.at {
            At::Look => self.begin(world),
            At::Written(from, end) if world.io_error => {
                // end_page_writeback() after mapping_set_error().
                world.io_error = false;
                world.set_wb_err();
                world.wb_error_ns = Some(world.now);
                world.error_unreturned = true;
                self.clear(world, from, end, false);
                // The ordered extent completes all the same (BTRFS_ORDERED_IOERR).
                self.queue(world);
                world.say(WRITEBACK, |_| "mapping_set_error(EIO)".to_owned());
                self.at = At::Wait;
            }
            At::Written(from, end) => {
                if world.kernel.queues_first() {
                    self.queue(world);
                } else {
                    self.clear(world, from, end, true);
                }
                self.at = At::Ending(from, end);
            }
            At::Ending(from, end) => {
                if world.kernel.queues_first() {
                    self.clear(world, from, end, true);
                } else {
                    self.queue(world);
                }
                self.at = At::Look;
            }
            At::Wait => {
                // filemap_check_errors(): whoever comes first is told, whose write it was or not.
                // The flusher does not ask.
                if self.asks && std::mem::take(&mut world.error_unreturned) {
                    self.errno = Some(-libc::EIO);
                }
                self.at = At::Done;
            }
            At::Done => {}
        }
        matches!(self.at, At::Done)
    }

    /// `btrfs_run_delalloc_range()` makes an ordered extent, `extent_writepage()` begins writeback.
    fn begin(&mut self, world: &mut World) {
        let (from, end) = self.pages;
        let first = world.cache.within(from, end).filter(|folio| folio.dirty);
        let Some(first) = first.map(|folio| folio.page).min() else {
            self.at = At::Wait;
            return;
        };
        let mut last = first;
        while let Some(folio) = world.cache.at_mut(last).filter(|folio| folio.dirty) {
            (folio.dirty, folio.writeback) = (false, true);
            last = folio.end();
            if last >= end {
                break;
            }
        }
        if world.fs == Fs::Btrfs {
            let span = bytes_of(first, last);
            self.extent = Some(world.order(Ordered {
                span,
                created_by: self.task.tid,
                created_ns: world.now,
                write: self.write,
                nocow: world.nocow,
            }));
            world.say(self.column, |_| {
                format!("btrfs_run_delalloc_range() {}", World::range(span))
            });
        }
        world.say(self.column, |_| "folio_start_writeback()".to_owned());
        self.at = At::Written(first, last);
    }

    /// `folio_end_writeback()` of each.
    fn clear(&self, world: &mut World, from: u64, end: u64, good: bool) {
        let mut page = from;
        while let Some(folio) = world.cache.at_mut(page).filter(|_| page < end) {
            folio.writeback = false;
            let (first, last, version) = (folio.page, folio.end(), folio.version);
            if good {
                world.disk[first as usize..last as usize].fill(version);
            }
            page = last;
        }
        world.say(WRITEBACK, |_| "folio_end_writeback()".to_owned());
    }

    /// `btrfs_queue_work(wq, &ordered->work)`.
    fn queue(&mut self, world: &mut World) {
        if let Some(extent) = self.extent.take() {
            world.queue.push_back(extent);
            world.say(WRITEBACK, |_| "btrfs_queue_work()".to_owned());
        }
    }
}
