//! The direct writer: `iomap_dio_rw()` (fs/iomap/direct-io.c) or `generic_file_direct_write()`
//! (mm/filemap.c), and the buffered write that its caller falls back to.

use super::cast::{self, Task};
use super::failure::{self, Reasons, Told};
use super::flush::Flush;
use super::invalidate::Invalidation;
use super::lock::{Locking, Unlocking, Want};
use super::party::{DONE, Party, STEP};
use super::tree::{Ordered, Span};
use super::world::{Fs, Shape, World, bytes_of, pages_of};
use crate::event::{HolderKind, How, OutcomeKind, Phase};
use crate::reference::{Next, Policy};

/// Its column of the timeline.
pub const WRITER: usize = 0;

/// One direct write.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// Its bytes.
    pub span: Span,
    /// It completes in a worker (`s_dio_done_wq`).
    pub queued: bool,
}

/// A write that is under way.
#[derive(Clone, Copy, Debug)]
pub struct Current {
    /// Which.
    pub write: Write,
    /// Its number.
    pub number: u64,
    /// Who writes.
    pub task: Task,
    /// When it began.
    pub begin_ns: u64,
    /// `wb_err` then.
    pub wb_err: u32,
    /// A write-back had failed, and nobody had been told (`AS_EIO`).
    pub eio_before: bool,
}

impl Current {
    /// Pages `.0...1`.
    pub const fn pages(&self) -> (u64, u64) {
        pages_of(self.write.span)
    }
}

#[derive(Debug)]
enum At {
    Idle,
    Flush(Flush),
    Invalidate(Invalidation),
    /// The invalidation returned at this moment; the probe is about to walk the page cache.
    Returned(Invalidation, u64),
    Lock(Locking),
    /// Holds the range while the filesystem maps it.
    Mapped(Box<Locking>),
    /// Gives it up, and then.
    Unlock(Unlocking, After),
    /// Waits for an ordered extent.
    Ordered,
    /// The bio is on its way.
    Submitted(Option<Ordered>),
    /// It came back.
    Written(Option<Ordered>),
    /// A fallback has this page to write next.
    Copy(u64),
    /// A fallback writes back.
    Settle(Flush),
    End(i64),
}

#[derive(Clone, Copy, Debug)]
enum After {
    /// An ordered extent was in the way.
    Wait,
    /// A folio was.
    Met,
    /// Nothing was: the write has an ordered extent of its own.
    Submit(Ordered),
}

/// A direct writer.
#[derive(Debug)]
pub struct Writer {
    task: Task,
    /// Writes to come, the last first.
    writes: Vec<Write>,
    current: Option<Current>,
    at: At,
    /// Truths that wait for the end of the write.
    told: Vec<usize>,
    /// What was met while the range was mapped.
    met: Reasons,
    /// It no longer shuts buffered writers out.
    let_in: bool,
}

impl Writer {
    /// Does these writes, the last first.
    pub const fn new(task: Task, writes: Vec<Write>) -> Self {
        Self {
            task,
            writes,
            current: None,
            at: At::Idle,
            told: Vec::new(),
            met: Vec::new(),
            let_in: false,
        }
    }

    fn function(world: &World) -> &'static str {
        match world.policy {
            Policy::Generic => "generic_file_direct_write()",
            _ => "iomap_dio_rw()",
        }
    }

    fn begin(&mut self, world: &mut World) -> At {
        let Some(write) = self.writes.pop() else {
            return At::Idle;
        };
        if write.span.start >= write.span.end {
            // `if (!iov_iter_count(iter)) return 0`: nothing is invalidated.
            return At::Idle;
        }
        world.writers += 1;
        let current = Current {
            write,
            number: world.write_number(),
            task: self.task,
            begin_ns: world.now,
            wb_err: world.wb_err,
            eio_before: world.error_unreturned,
        };
        self.current = Some(current);
        world.say(WRITER, |world| {
            format!("{} {}", Self::function(world), World::range(write.span))
        });
        world.say(WRITER, |_| "filemap_write_and_wait_range()".to_owned());
        let flush = Flush::new(self.task, WRITER, current.pages(), Some(current.number));
        At::Flush(flush)
    }

    /// Folios that were dirty at the last check are only found by a walk, later: as the correlator
    /// does, the model takes it that nobody dirties one meanwhile.
    fn walks(world: &World) -> bool {
        let all_seen = world.fs == Fs::Btrfs || world.kernel.sees_last_check();
        world.shape == Shape::Tracepoints || !all_seen
    }

    fn invalidate(&self, world: &mut World, current: &Current, phase: Phase) -> At {
        let post = phase == Phase::Post;
        let task = if post && current.write.queued {
            cast::DIO_WORK
        } else {
            self.task
        };
        let which = if post { ", after" } else { "" };
        world.say(WRITER, |_| {
            format!("invalidate_inode_pages2_range(){which}")
        });
        At::Invalidate(Invalidation::new(
            task,
            WRITER,
            phase,
            current.pages(),
            (current.number, current.begin_ns),
        ))
    }

    /// The probe has walked the page cache; the write goes on.
    fn decide(&mut self, world: &mut World, current: &Current, done: Invalidation, ns: u64) -> At {
        if Self::walks(world) {
            let pages = current.pages();
            let own = world.looking.iter().position(|range| *range == pages);
            own.map(|own| world.looking.swap_remove(own));
        }
        let (phase, errno) = (done.phase(), done.errno);
        if phase == Phase::Post {
            if errno.is_some() {
                world.set_wb_err();
                world.say(WRITER, |_| "dio_warn_stale_pagecache()".to_owned());
            }
            let told = Told {
                phase,
                errno,
                outcome: OutcomeKind::StaleCache,
                ns,
            };
            self.tell(world, current, told, done);
            return At::End(current.len());
        }
        let Some(errno) = errno else {
            return self.map(world, current);
        };
        let next = world.policy.after_invalidation(errno);
        let outcome = match next {
            Next::GoOn => OutcomeKind::StaleCache,
            Next::Buffered => OutcomeKind::BufferedFallback,
            Next::Fail(_) => OutcomeKind::Error,
        };
        let told = Told {
            phase,
            errno: Some(errno),
            outcome,
            ns,
        };
        self.tell(world, current, told, done);
        match next {
            Next::GoOn => {
                world.set_wb_err();
                world.say(WRITER, |_| "dio_warn_stale_pagecache()".to_owned());
                self.map(world, current)
            }
            next => self.leave(world, current, next),
        }
    }

    fn tell(&mut self, world: &mut World, current: &Current, told: Told, done: Invalidation) {
        let truth = failure::tell(world, current, told, done);
        self.told.extend(truth);
    }

    /// `iomap_begin`: btrfs locks the range (`lock_extent_direct()`). A path that goes on after a
    /// warning does so here too, as the mail has it.
    fn map(&self, world: &World, current: &Current) -> At {
        if world.fs != Fs::Btrfs || world.policy == Policy::Warn {
            return At::Submitted(None);
        }
        let (from, end) = current.pages();
        At::Lock(Locking::new(Want {
            span: bytes_of(from, end),
            task: self.task,
            column: WRITER,
            kind: HolderKind::ExtentLock,
            write: Some(current.number),
            function: "btrfs_dio_iomap_begin()",
        }))
    }

    /// What is in the way of a range that is locked: an ordered extent is waited for, a folio makes
    /// the write buffered (fs/btrfs/inode.c, 6.12 fs/btrfs/direct-io.c `lock_extent_direct()`).
    fn mapped(&mut self, world: &mut World, current: &Current, locking: Locking) -> At {
        let (from, end) = current.pages();
        let span = bytes_of(from, end);
        let after = if world.is_ordered(span) {
            After::Wait
        } else if world.cache.next(from, end).is_some() {
            world.refuse(WRITER, |_| "filemap_range_has_page(): ENOTBLK".to_owned());
            self.met = failure::met(world, current);
            After::Met
        } else {
            After::Submit(world.order(Ordered {
                span,
                created_by: self.task.tid,
                created_ns: world.now,
                write: Some(current.number),
                nocow: world.nocow,
            }))
        };
        At::Unlock(Unlocking::new(locking, 1, None), after)
    }

    fn mapped_then(&mut self, world: &mut World, current: &Current, after: After) -> At {
        match after {
            After::Wait => At::Ordered,
            After::Submit(extent) => {
                world.say(WRITER, |_| "submit_bio()".to_owned());
                At::Submitted(Some(extent))
            }
            After::Met => {
                let next = world.policy.after_mapping();
                let outcome = match next {
                    Next::Fail(_) => OutcomeKind::Error,
                    _ => OutcomeKind::BufferedFallback,
                };
                let told = Told {
                    phase: Phase::Map,
                    errno: None,
                    outcome,
                    ns: world.now,
                };
                let met = std::mem::take(&mut self.met);
                self.told
                    .push(failure::send(world, current, told, met, Vec::new()));
                self.leave(world, current, next)
            }
        }
    }

    /// The data is on disk; an asynchronous write no longer shuts others out.
    fn written(&mut self, world: &mut World, current: &Current, extent: Option<Ordered>) -> At {
        let (from, end) = current.pages();
        let version = world.version();
        world.disk[from as usize..end as usize].fill(version);
        world.say(WRITER, |_| "iomap_dio_complete()".to_owned());
        if current.write.queued {
            world.writers -= 1;
            self.let_in = true;
        }
        At::Written(extent)
    }

    /// It does not go direct.
    fn leave(&self, world: &mut World, current: &Current, next: Next) -> At {
        match next {
            Next::Buffered => {
                world.say(WRITER, |_| "falls back to a buffered write".to_owned());
                At::Copy(current.pages().0)
            }
            Next::Fail(errno) => At::End(i64::from(errno)),
            Next::GoOn => At::End(current.len()),
        }
    }

    /// The flush came to its end.
    fn flushed(&mut self, world: &mut World, current: &Current, flush: &Flush) -> At {
        let Some(errno) = flush.errno else {
            return self.invalidate(world, current, Phase::Pre);
        };
        let told = world.kernel.tells_flush_errors() && world.policy == Policy::Enotblk;
        let next = world.policy.after_flush(errno, told);
        world.refuse(WRITER, |_| format!("the flush returns {errno}"));
        if told {
            let told = Told {
                phase: Phase::Pre,
                errno: None,
                outcome: OutcomeKind::BufferedFallback,
                ns: world.now,
            };
            self.told.push(failure::flush_failed(world, current, told));
        }
        self.leave(world, current, next)
    }

    /// The write is over: whether the page cache is stale is known now.
    fn end(&mut self, world: &mut World, current: &Current, ret: i64) {
        let (from, end) = current.pages();
        let old = |page: u64| {
            let clean = world.cache.at(page).filter(|folio| !folio.dirty);
            clean.is_some_and(|folio| folio.version < world.disk[page as usize])
        };
        let stale = (from..end).any(old);
        for truth in self.told.drain(..) {
            let truth = &mut world.tape.truths[truth].truth;
            (truth.ret, truth.stale) = (ret, stale);
        }
        if !std::mem::take(&mut self.let_in) {
            world.writers -= 1;
        }
        world.say(WRITER, |_| format!("returns {ret}"));
    }
}

impl Current {
    /// Bytes to write.
    pub const fn len(&self) -> i64 {
        (self.write.span.end - self.write.span.start) as i64
    }
}

impl Party for Writer {
    fn ready(&self, world: &World) -> bool {
        let pages = self.current.map_or((0, 0), |current| current.pages());
        match &self.at {
            At::Idle => !self.writes.is_empty() && !world.exclusive,
            At::Flush(flush) | At::Settle(flush) => flush.ready(world),
            At::Invalidate(invalidation) => invalidation.ready(world),
            At::Lock(locking) => locking.ready(world),
            At::Ordered => {
                let span = bytes_of(pages.0, pages.1);
                !world.is_ordered(span)
            }
            At::Copy(page) if *page < pages.1 => world.can_lock_and_dirty(*page),
            _ => true,
        }
    }

    fn step(&mut self, world: &mut World) -> &'static str {
        let at = std::mem::replace(&mut self.at, At::Idle);
        let Some(current) = self.current else {
            self.at = self.begin(world);
            return "began";
        };
        let (at, label) = match at {
            At::Idle => (At::Idle, DONE),
            At::Flush(mut flush) => {
                if flush.step(world) {
                    (self.flushed(world, &current, &flush), "flushed")
                } else {
                    (At::Flush(flush), STEP)
                }
            }
            At::Invalidate(mut invalidation) => {
                if invalidation.begins() && Self::walks(world) {
                    world.looking.push(current.pages());
                }
                if invalidation.step(world) {
                    (At::Returned(invalidation, world.now), "invalidated")
                } else {
                    (At::Invalidate(invalidation), STEP)
                }
            }
            At::Returned(done, ns) => (self.decide(world, &current, done, ns), "walked"),
            At::Lock(mut locking) => {
                if locking.step(world) {
                    (At::Mapped(Box::new(locking)), "locked")
                } else {
                    (At::Lock(locking), STEP)
                }
            }
            At::Mapped(locking) => (self.mapped(world, &current, *locking), "mapped"),
            At::Unlock(mut unlocking, after) => {
                if unlocking.step(world) {
                    (self.mapped_then(world, &current, after), "unlocked")
                } else {
                    (At::Unlock(unlocking, after), STEP)
                }
            }
            At::Ordered => (self.map(world, &current), "waited"),
            At::Submitted(extent) => (self.written(world, &current, extent), "written"),
            At::Written(extent) => {
                if let Some(extent) = extent {
                    world.queue.push_back(extent);
                }
                (self.invalidate(world, &current, Phase::Post), "queued")
            }
            At::Copy(page) if page < current.pages().1 => {
                world.add_folio(page, self.task, How::Buffered);
                world.dirty(page, self.task, How::Buffered);
                let next = world
                    .cache
                    .at(page)
                    .map_or(page + 1, super::cache::Folio::end);
                (At::Copy(next), STEP)
            }
            At::Copy(_) if world.fs == Fs::Xfs => (At::End(current.len()), "copied"),
            At::Copy(_) => {
                let flush = Flush::new(self.task, WRITER, current.pages(), None);
                (At::Settle(flush), "copied")
            }
            At::Settle(mut flush) => {
                if flush.step(world) {
                    (At::End(current.len()), STEP)
                } else {
                    (At::Settle(flush), STEP)
                }
            }
            At::End(ret) => {
                self.end(world, &current, ret);
                self.current = None;
                (At::Idle, DONE)
            }
        };
        self.at = at;
        label
    }

    fn deadline(&self, world: &World) -> Option<u64> {
        match &self.at {
            At::Lock(locking) => locking.deadline(world),
            At::Unlock(unlocking, _) => unlocking.deadline(world),
            _ => None,
        }
    }

    fn idle(&self) -> bool {
        self.current.is_none() && self.writes.is_empty()
    }
}
