//! `invalidate_inode_pages2_range()` (mm/truncate.c), step by step: from the lock of each folio to
//! its end, and to the return.

use super::cache::{Folio, Touch};
use super::cast::Task;
use super::tree::Span;
use super::truth::Reason;
use super::world::{Fs, Shape, World, bytes_of};
use crate::correlate::Cause;
use crate::event::{Buffers, HolderKind, Phase, Refusal};
use crate::reference::policy::EBUSY;

#[derive(Clone, Copy, Debug)]
enum At {
    /// Looks for the next folio, and locks it.
    Next,
    /// Has it locked, and waits for writeback.
    Locked(u64),
    /// About to ask for its release.
    Ask(u64),
    /// Asked at this moment.
    Asked(u64, u64),
    /// Refused; returns.
    Refused(u64, u64),
    /// Refused without a release having been asked for.
    Left(u64),
    Done,
}

/// A folio that was refused, as a probe saw it, and who had touched it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The record, without its failure.
    pub refusal: Refusal,
    /// Last to dirty it.
    pub dirtied: Option<Touch>,
    /// Last to cache it.
    pub cached: Option<Touch>,
}

/// An invalidation.
#[derive(Debug)]
pub struct Invalidation {
    task: Task,
    column: usize,
    phase: Phase,
    write: u64,
    since_ns: u64,
    first: u64,
    next: u64,
    end: u64,
    at: At,
    /// Result; the last folio that fails wins.
    pub errno: Option<i32>,
    /// Why.
    pub reasons: Vec<(Reason, Option<u64>)>,
    /// Refusals that a probe saw.
    pub seen: Vec<Seen>,
}

impl Invalidation {
    /// Of pages `pages.0..pages.1`, by `task` for the direct write `write` that began at `since_ns`.
    pub const fn new(
        task: Task,
        column: usize,
        phase: Phase,
        pages: (u64, u64),
        write: (u64, u64),
    ) -> Self {
        Self {
            task,
            column,
            phase,
            write: write.0,
            since_ns: write.1,
            first: pages.0,
            next: pages.0,
            end: pages.1,
            at: At::Next,
            errno: None,
            reasons: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// It has not looked at a folio yet.
    pub const fn begins(&self) -> bool {
        self.next == self.first && matches!(self.at, At::Next)
    }

    /// Whether it can go on.
    pub fn ready(&self, world: &World) -> bool {
        let folio = |page| world.cache.at(page);
        match self.at {
            At::Next => {
                let next = world.cache.next(self.next, self.end);
                next.is_none_or(|folio| !folio.locked)
            }
            At::Locked(page) => folio(page).is_none_or(|folio| !folio.writeback),
            _ => true,
        }
    }

    /// Goes on; true when it has returned.
    pub fn step(&mut self, world: &mut World) -> bool {
        match self.at {
            At::Next => match world.cache.next(self.next, self.end).map(|f| f.page) {
                None => self.at = At::Done,
                Some(page) => {
                    if let Some(folio) = world.cache.at_mut(page) {
                        folio.locked = true;
                        self.next = folio.end();
                    }
                    self.at = At::Locked(page);
                }
            },
            At::Locked(page) => self.launder(world, page),
            At::Ask(page) => {
                if world.careless_writeback
                    && let Some(folio) = world.cache.at_mut(page)
                {
                    folio.writeback = true;
                }
                self.at = At::Asked(page, world.now);
            }
            At::Asked(page, asked_ns) => self.test(world, page, asked_ns),
            At::Refused(page, asked_ns) => {
                self.saw(world, page, asked_ns);
                self.unlock(world, page);
            }
            At::Left(page) => self.unlock(world, page),
            At::Done => {}
        }
        matches!(self.at, At::Done)
    }

    /// `folio_launder()`: a dirty folio of a filesystem that can launder it is written first.
    fn launder(&mut self, world: &mut World, page: u64) {
        let Some(folio) = world.cache.at(page).copied() else {
            self.at = At::Next;
            return;
        };
        let asks = world.kernel.asks_without_private() || folio.private;
        self.at = if asks {
            At::Ask(page)
        } else {
            self.recheck(world, folio)
        };
        if world.fs == Fs::Fuse && folio.dirty {
            if world.launder_error {
                let errno = -libc::EIO;
                self.because(world, folio, Cause::Launder, None, None);
                self.dirty(world, folio);
                self.errno = Some(errno);
                world.refuse(self.column, |_| format!("folio_launder() = {errno}"));
                self.at = At::Left(page);
            } else {
                let version = folio.version;
                if let Some(folio) = world.cache.at_mut(page) {
                    folio.dirty = false;
                }
                for at in folio.page..folio.end() {
                    world.disk[at as usize] = version;
                }
            }
        }
    }

    /// The release function's decision, at one instant: `btrfs_release_folio()`,
    /// `ext4_release_folio()` and `drop_buffers()`, `iomap_release_folio()`; then the last check
    /// under the lock of the page cache.
    fn test(&mut self, world: &mut World, page: u64, asked_ns: u64) {
        let Some(folio) = world.cache.at(page).copied() else {
            self.at = At::Next;
            return;
        };
        let span = bytes_of(folio.page, folio.end());
        let before = self.reasons.len();
        // filemap_release_folio() since 3.x: `if (folio_test_writeback(folio)) return false`.
        if folio.writeback {
            self.because(world, folio, Cause::Writeback, None, None);
        }
        // On ext4 a dirty folio has dirty buffers (`drop_buffers()`), whatever else it has.
        let tests = match world.fs {
            Fs::Btrfs | Fs::Ext4 => true,
            Fs::Xfs => folio.private,
            Fs::Fuse => false,
        };
        if folio.dirty && tests {
            self.dirty(world, folio);
        }
        match world.fs {
            Fs::Btrfs if !folio.dirty && !folio.writeback => self.locks(world, folio, span),
            Fs::Ext4 => self.buffers(world, folio),
            _ => {}
        }
        if self.reasons.len() > before {
            self.errno = Some(EBUSY);
            self.at = At::Refused(page, asked_ns);
            let function = match world.fs {
                Fs::Btrfs => world.kernel.release_function(),
                Fs::Xfs => "iomap_release_folio()",
                Fs::Ext4 => "ext4_release_folio()",
                Fs::Fuse => "filemap_release_folio()",
            };
            world.refuse(self.column, |_| {
                format!("{function} refuses {}", World::range(span))
            });
            return;
        }
        self.at = match self.recheck(world, folio) {
            At::Left(page) if world.kernel.sees_last_check() => At::Refused(page, asked_ns),
            at => at,
        };
    }

    /// The last check: a dirty folio stays, any other goes.
    fn recheck(&mut self, world: &mut World, folio: Folio) -> At {
        if folio.dirty {
            self.dirty(world, folio);
            self.errno = Some(EBUSY);
            let span = bytes_of(folio.page, folio.end());
            world.refuse(self.column, |_| {
                format!("folio {} is dirty: it stays", World::range(span))
            });
            return At::Left(folio.page);
        }
        world.cache.remove(folio.page);
        At::Next
    }

    fn dirty(&mut self, world: &World, folio: Folio) {
        let by = world.cache.dirtied[folio.page as usize].map(|touch| touch.task);
        self.because(world, folio, Cause::Redirtied, by, None);
    }

    /// `try_release_extent_state()`: any byte locked refuses, unless (since 6.15) a completion is
    /// among those who hold it.
    fn locks(&mut self, world: &World, folio: Folio, span: Span) {
        let held: Vec<_> = world.tree.held(span).copied().collect();
        let ordered = |kind| kind == HolderKind::OrderedIo;
        if !world.kernel.ordered_blocks() && held.iter().any(|hold| ordered(hold.kind)) {
            return;
        }
        for hold in held {
            let cause = if ordered(hold.kind) {
                Cause::OrderedIo
            } else {
                Cause::ExtentLock
            };
            let lock = Some((hold.lock, hold.write == Some(self.write)));
            self.because(world, folio, cause, Some(hold.task), lock);
        }
    }

    /// `PG_checked` and journal heads are the journal's, references are anybody's.
    fn buffers(&mut self, world: &World, folio: Folio) {
        let heads = folio.heads.unwrap_or_default();
        if folio.checked || heads.jbd {
            self.because(world, folio, Cause::Journal, None, None);
        } else if heads.busy > 0 {
            self.because(world, folio, Cause::Buffers, None, None);
        }
    }

    fn because(
        &mut self,
        world: &World,
        folio: Folio,
        cause: Cause,
        by: Option<Task>,
        lock: Option<(u64, bool)>,
    ) {
        let own = by.is_some_and(|by| lock.is_none() && by.tid == self.task.tid);
        let reason = Reason {
            index: world.place.first_page + folio.page,
            pages: folio.pages,
            cause,
            tid: by.map(|by| by.tid),
            comm: by.map_or("", |by| by.comm),
            holders: Vec::new(),
            self_inflicted: own || lock.is_some_and(|(_, own)| own),
        };
        self.reasons.push((reason, lock.map(|(lock, _)| lock)));
    }

    /// The probe at the return of the release: the folio is still locked.
    fn saw(&mut self, world: &mut World, page: u64, asked_ns: u64) {
        if world.shape == Shape::Tracepoints {
            return;
        }
        let now = world.now;
        if let Some(folio) = world.cache.at(page).copied() {
            self.seen.push(look(world, &folio, now, Some(asked_ns)));
            world
                .tape
                .failed(now, asked_ns.saturating_sub(50_000_000).min(self.since_ns));
        }
    }

    fn unlock(&mut self, world: &mut World, page: u64) {
        if let Some(folio) = world.cache.at_mut(page) {
            folio.locked = false;
            folio.writeback &= !world.careless_writeback;
        }
        self.at = At::Next;
    }

    /// Phase.
    pub const fn phase(&self) -> Phase {
        self.phase
    }
}

/// A folio as a probe finds it now.
pub fn look(world: &World, folio: &Folio, ts_ns: u64, entered_ns: Option<u64>) -> Seen {
    let heads = folio.heads.unwrap_or_default();
    let flags = [
        (true, "uptodate"),
        (folio.dirty, "dirty"),
        (folio.writeback, "writeback"),
        (folio.checked, "checked"),
        (folio.private, "private"),
    ];
    let flags = flags.iter().filter(|(set, _)| *set);
    let buffers = folio.heads.map(|_| Buffers {
        state: if heads.jbd {
            vec!["uptodate".into(), "jbd".into()]
        } else {
            vec!["uptodate".into()]
        },
        busy: heads.busy,
    });
    Seen {
        refusal: Refusal {
            failure: 0,
            ts_ns,
            entered_ns,
            index: world.place.first_page + folio.page,
            pages: folio.pages as u32,
            folio_flags: flags.map(|(_, name)| (*name).into()).collect(),
            buffers,
        },
        dirtied: world.cache.dirtied[folio.page as usize],
        cached: world.cache.cached[folio.page as usize],
    }
}
