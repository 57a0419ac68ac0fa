//! Where the locks and the folios that wait are found: by inode, by range, by time.
//!
//! A file's bytes are laid out in cells of 64 KiB, of 4 MiB, and so on, 64 times larger on each
//! level. A lock lies in the one or two cells of the lowest level whose cells are no smaller than
//! its range; a folio that waits is entered in the cells that it touches (mostly one) on every
//! level that its inode uses (mostly one or two). So a lock and a folio that share a byte share a
//! cell, and each finds the other there without looking at the rest of the file.
//!
//! In its cell a lock stands in the order of unlocks, a folio in that of refusals: records come
//! nearly in these orders, so entering one is cheap, and a binary search finds those near a given
//! moment. Locks of a byte exclude each other, so few of a cell are in force at one moment, however
//! many were open, waiting for it, or came since. One event thus costs a hash and a logarithm of
//! what its cell holds, and what it really meets.

use foldhash::fast::RandomState;
use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::case::InodeKey;
use super::fetch::fetch;
use super::held::Held;
use super::near::{from_back, from_front};
use crate::event::HolderKind;

/// Size of the smallest cells, as a power of two.
const SMALLEST: u32 = 16;
/// From one level to the next, as a power of two.
const STEP: u32 = 6;
/// Levels: the cell of the last one is the whole file.
const LEVELS: u8 = 9;
/// A folio is entered in at most this many cells of a level: 2 MiB folios touch 32.
const CELLS_OF_A_FOLIO: u64 = 4096;
/// Cells keep their memory for reuse up to this many entries.
const SPARE: usize = 64;

/// A folio that waits: its place in the engine, and its number among the refusals of its case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    pub slot: u32,
    pub folio: u32,
}

/// Where a folio was entered.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub folio: u32,
    cell: u32,
    /// The folio's last moment.
    until: u64,
}

/// A folio that asks who held its bytes at some time between two moments.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub waiter: Waiter,
    /// First byte, and the one behind the last.
    pub bytes: (u64, u64),
    /// First and last moment at which the lock may have been tested.
    pub times: (u64, u64),
}

/// Where an inode is in the index, as long as a lock or a case of it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At(u32);

/// The cells of a lock: one, or two.
#[derive(Clone, Copy, Debug)]
pub struct Cells([u32; 2]);

/// None.
const NO_CELL: u32 = u32::MAX;

#[derive(Debug)]
struct Inode {
    key: InodeKey,
    /// Bit `n`: some lock lies in a cell of level `n`.
    levels: u16,
    held: usize,
    /// Cases that wait.
    cases: Vec<u32>,
}

/// Inode, level, number within the file.
type CellKey = (u32, u8, u64);

/// A lock in a cell: when it was given up stands beside it, so that to search for a moment does
/// not touch the locks themselves.
#[derive(Debug)]
struct Entry {
    given_up: u64,
    held: Arc<Held>,
}

#[derive(Debug, Default)]
struct Cell {
    key: CellKey,
    /// In the order in which they were given up.
    held: VecDeque<Entry>,
    /// How long after that one can have been in force.
    lag: u64,
    /// How long before that work on an ordered extent began at most.
    worked: u64,
    /// In the order of their last moments.
    waiters: VecDeque<Question>,
    /// How long one's moments are apart at most.
    span: u64,
}

/// The index. Its memory is proportional to the locks and folios in it.
#[derive(Debug, Default)]
pub struct Index {
    inodes: Vec<Inode>,
    /// Places of inodes that have gone.
    gone: Vec<u32>,
    by_inode: HashMap<InodeKey, u32, RandomState>,
    cells: Vec<Cell>,
    /// Cells without an entry.
    free: Vec<u32>,
    by_key: HashMap<CellKey, u32, RandomState>,
}

fn cell_of(level: u8, byte: u64) -> u64 {
    byte.checked_shr(SMALLEST + u32::from(level) * STEP)
        .unwrap_or(0)
}

/// The lowest level whose cells are no smaller than the range.
fn level_of(len: u64) -> u8 {
    (0..LEVELS - 1)
        .find(|level| len <= 1 << (SMALLEST + u32::from(*level) * STEP))
        .unwrap_or(LEVELS - 1)
}

/// The cells of a level that a range touches.
fn cells_of(level: u8, (first, end): (u64, u64)) -> std::ops::RangeInclusive<u64> {
    cell_of(level, first)..=cell_of(level, end.saturating_sub(1).max(first))
}

impl Index {
    /// Where an inode is; it is made room for. To be followed by [`Index::add`] or [`Index::join`].
    pub fn inode(&mut self, key: InodeKey) -> At {
        let (inodes, gone) = (&mut self.inodes, &mut self.gone);
        At(*self.by_inode.entry(key).or_insert_with(|| {
            let Some(at) = gone.pop() else {
                inodes.push(Inode {
                    key,
                    levels: 0,
                    held: 0,
                    cases: Vec::new(),
                });
                return inodes.len() as u32 - 1;
            };
            let inode = &mut inodes[at as usize];
            (inode.key, inode.levels) = (key, 0);
            at
        }))
    }

    /// Makes room for `held`, and gives the cases of its inode that have to be entered on a new
    /// level with [`Index::enter`] before [`Index::add`].
    pub fn prepare(&mut self, at: At, held: &Held) -> Option<(u8, Vec<u32>)> {
        let level = level_of(held.end - held.pos);
        let inode = &mut self.inodes[at.0 as usize];
        let new = inode.levels & 1 << level == 0;
        inode.levels |= 1 << level;
        (new && !inode.cases.is_empty()).then(|| (level, inode.cases.clone()))
    }

    /// Enters a lock, and tells the folios that asked for it. Where it is now.
    pub fn add(&mut self, at: At, held: &Arc<Held>, mut tell: impl FnMut(Waiter)) -> Cells {
        self.inodes[at.0 as usize].held += 1;
        let level = level_of(held.end - held.pos);
        let mut its = [NO_CELL; 2];
        let over = held.over();
        // No more than two: a cell of this level is as large as the lock.
        for (its, number) in its.iter_mut().zip(cells_of(level, (held.pos, held.end))) {
            let at = self.cell((at.0, level, number));
            *its = at;
            let cell = &mut self.cells[at as usize];
            cell.lag = cell.lag.max(over - held.given_up);
            if held.kind == HolderKind::OrderedIo {
                let worked = held.given_up.saturating_sub(held.start_ns);
                cell.worked = cell.worked.max(worked);
            }
            let behind = cell.held.iter().rev();
            let behind = behind.take_while(|other| other.given_up > held.given_up);
            // Nearly in order: at the end, or a little before it.
            let to = cell.held.len() - behind.count();
            let entry = Entry {
                given_up: held.given_up,
                held: Arc::clone(held),
            };
            cell.held.insert(to, entry);
            let first = from_back(&cell.waiters, |q| q.times.1 < held.tried);
            let last = over.saturating_add(cell.span);
            for question in cell.waiters.range(first..) {
                if question.times.1 > last {
                    break;
                }
                if question.times.0 <= over && held.meets(question.bytes) {
                    tell(question.waiter);
                }
            }
        }
        Cells(its)
    }

    /// These cells will be wanted soon.
    pub fn fetch(&self, cells: Cells) {
        for at in cells.0.into_iter().filter(|at| *at != NO_CELL) {
            fetch(&raw const self.cells[at as usize]);
        }
    }

    /// Forgets a lock.
    pub fn forget(&mut self, cells: Cells, held: &Arc<Held>) {
        let inode = At(self.cells[cells.0[0] as usize].key.0);
        for at in cells.0.into_iter().filter(|at| *at != NO_CELL) {
            let cell = &mut self.cells[at as usize];
            let first = from_front(&cell.held, |h| h.given_up < held.given_up);
            let mut here = cell.held.range(first..);
            if let Some(further) = here.position(|h| Arc::ptr_eq(&h.held, held)) {
                cell.held.remove(first + further);
            }
            self.tidy(at);
        }
        self.inodes[inode.0 as usize].held -= 1;
        self.leave_inode(inode);
    }

    /// Forgets an inode of which nothing is left.
    fn leave_inode(&mut self, at: At) {
        let inode = &mut self.inodes[at.0 as usize];
        if inode.held == 0 && inode.cases.is_empty() && self.by_inode.remove(&inode.key).is_some() {
            inode.cases.shrink_to(SPARE);
            self.gone.push(at.0);
        }
    }

    /// A case begins to wait: its folios are to be entered on these levels. Also its place among
    /// those of the inode, which [`Index::leave`] wants.
    pub fn join(&mut self, at: At, slot: u32) -> (u16, u32) {
        let inode = &mut self.inodes[at.0 as usize];
        inode.cases.push(slot);
        // The lowest level is always used: most locks lie there.
        inode.levels |= 1;
        (inode.levels, inode.cases.len() as u32 - 1)
    }

    /// A case no longer waits. Another one may have taken its place.
    pub fn leave(&mut self, at: At, place: u32, places: &[Place], slot: u32) -> Option<u32> {
        for place in places {
            let cell = &mut self.cells[place.cell as usize];
            let waiter = Waiter {
                slot,
                folio: place.folio,
            };
            let first = from_front(&cell.waiters, |q| q.times.1 < place.until);
            let mut here = cell.waiters.range(first..);
            if let Some(further) = here.position(|q| q.waiter == waiter) {
                cell.waiters.remove(first + further);
            }
            self.tidy(place.cell);
        }
        let inode = &mut self.inodes[at.0 as usize];
        inode.cases.swap_remove(place as usize);
        let moved = inode.cases.get(place as usize).copied();
        self.leave_inode(at);
        moved
    }

    /// Enters a folio on one level, and finds the locks there that answer it. Whether it was too
    /// large for all of it to be looked at.
    pub fn enter(
        &mut self,
        inode: At,
        level: u8,
        question: Question,
        places: &mut Vec<Place>,
        mut find: impl FnMut(&Arc<Held>),
    ) -> bool {
        let cells = cells_of(level, question.bytes);
        let cut = cells.end() - cells.start() >= CELLS_OF_A_FOLIO;
        for at in cells.take(CELLS_OF_A_FOLIO as usize) {
            let at = self.cell((inode.0, level, at));
            let cell = &mut self.cells[at as usize];
            let since = question.times.0.saturating_sub(cell.lag);
            let first = from_back(&cell.held, |held| held.given_up < since);
            for Entry { held, .. } in cell.held.range(first..) {
                let then = held.tried <= question.times.1 && question.times.0 <= held.over();
                if then && held.meets(question.bytes) {
                    find(held);
                }
            }
            let behind = cell.waiters.iter().rev();
            let behind = behind.take_while(|other| other.times.1 > question.times.1);
            let to = cell.waiters.len() - behind.count();
            cell.waiters.insert(to, question);
            cell.span = cell.span.max(question.times.1 - question.times.0);
            places.push(Place {
                folio: question.waiter.folio,
                cell: at,
                until: question.times.1,
            });
        }
        cut
    }

    /// The locks that were given up after `after` and before `before`, the first ones of each cell
    /// first, until `each` breaks; each can come more than once.
    pub fn between<'a>(
        &'a self,
        places: impl Iterator<Item = &'a Place>,
        (after, before): (u64, u64),
        mut each: impl FnMut(&'a Held) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for place in places {
            let held = &self.cells[place.cell as usize].held;
            let first = from_back(held, |held| held.given_up <= after);
            for Entry { given_up, held } in held.range(first..) {
                if *given_up >= before {
                    break;
                }
                each(held)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// The locks of ordered I/O, among others, whose work had begun by `at` and that were given up
    /// after it and before `before`; as with [`Index::between`].
    pub fn ordered_since<'a>(
        &'a self,
        places: impl Iterator<Item = &'a Place>,
        (at, before): (u64, u64),
        mut each: impl FnMut(&'a Held) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for place in places {
            let last = at.saturating_add(self.cells[place.cell as usize].worked);
            let before = before.min(last.saturating_add(1));
            self.between(std::iter::once(place), (at, before), &mut each)?;
        }
        ControlFlow::Continue(())
    }

    /// The lock of which `of` is true that was given up last, not before `since` but before
    /// `before`; of several the one with the lowest number.
    pub fn last_before<'a>(
        &'a self,
        places: impl Iterator<Item = &'a Place>,
        (since, before): (u64, u64),
        of: impl Fn(&Held) -> bool,
    ) -> Option<&'a Held> {
        let mut best: Option<&Held> = None;
        for place in places {
            let held = &self.cells[place.cell as usize].held;
            let end = from_back(held, |held| held.given_up < before);
            for Entry { given_up, held } in held.range(..end).rev() {
                let floor = best.map_or(since, |best| best.given_up);
                if *given_up < floor {
                    break;
                }
                let held = held.as_ref();
                let better = best.is_none_or(|b| b.given_up < held.given_up || held.id < b.id);
                if better && of(held) {
                    best = Some(held);
                }
            }
        }
        best
    }

    /// Nothing is in it.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.by_inode.is_empty()
            && self.gone.len() == self.inodes.len()
            && self.by_key.is_empty()
            && self.free.len() == self.cells.len()
    }

    fn cell(&mut self, key: CellKey) -> u32 {
        let (cells, free) = (&mut self.cells, &mut self.free);
        *self.by_key.entry(key).or_insert_with(|| {
            let at = free.pop().unwrap_or_else(|| {
                cells.push(Cell::default());
                cells.len() as u32 - 1
            });
            cells[at as usize].key = key;
            at
        })
    }

    /// Frees a cell that has become empty.
    fn tidy(&mut self, at: u32) {
        let cell = &mut self.cells[at as usize];
        if cell.waiters.is_empty() {
            cell.span = 0;
        }
        if cell.held.is_empty() {
            (cell.lag, cell.worked) = (0, 0);
        }
        if cell.held.is_empty()
            && cell.waiters.is_empty()
            && self.by_key.remove(&cell.key).is_some()
        {
            cell.held.shrink_to(SPARE);
            cell.waiters.shrink_to(SPARE);
            self.free.push(at);
        }
    }
}
