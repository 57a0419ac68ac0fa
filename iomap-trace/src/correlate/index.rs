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
use std::sync::Arc;

use super::case::InodeKey;
use super::held::Held;

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

#[derive(Debug, Default)]
struct Inode {
    number: u32,
    /// Bit `n`: some lock lies in a cell of level `n`.
    levels: u16,
    held: usize,
    /// Cases that wait.
    cases: Vec<u32>,
}

/// Inode, level, number within the file.
type CellKey = (u32, u8, u64);

#[derive(Debug, Default)]
struct Cell {
    key: CellKey,
    /// In the order in which they were given up.
    held: VecDeque<Arc<Held>>,
    /// How long after that one can have been in force.
    lag: u64,
    /// In the order of their last moments.
    waiters: VecDeque<Question>,
    /// How long one's moments are apart at most.
    span: u64,
}

/// The index. Its memory is proportional to the locks and folios in it.
#[derive(Debug, Default)]
pub struct Index {
    inodes: HashMap<InodeKey, Inode, RandomState>,
    numbers: u32,
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
    /// Makes room for `held`, and gives the cases of its inode that have to be entered on a new
    /// level with [`Index::enter`] before [`Index::add`].
    pub fn prepare(&mut self, inode: InodeKey, held: &Held) -> Option<(u8, Vec<u32>)> {
        let level = level_of(held.end - held.pos);
        let inode = self.inode(inode);
        let new = inode.levels & 1 << level == 0;
        inode.levels |= 1 << level;
        (new && !inode.cases.is_empty()).then(|| (level, inode.cases.clone()))
    }

    /// Enters a lock, and tells the folios that asked for it.
    pub fn add(&mut self, key: InodeKey, held: &Arc<Held>, mut tell: impl FnMut(Waiter)) {
        let inode = self.inode(key);
        inode.held += 1;
        let number = inode.number;
        let level = level_of(held.end - held.pos);
        for at in cells_of(level, (held.pos, held.end)) {
            let at = self.cell((number, level, at));
            let cell = &mut self.cells[at as usize];
            cell.lag = cell.lag.max(held.over() - held.given_up);
            let behind = cell.held.iter().rev();
            let behind = behind.take_while(|other| other.given_up > held.given_up);
            // Nearly in order: at the end, or a little before it.
            let to = cell.held.len() - behind.count();
            cell.held.insert(to, Arc::clone(held));
            let first = cell.waiters.partition_point(|q| q.times.1 < held.tried);
            let last = held.over().saturating_add(cell.span);
            for question in cell.waiters.range(first..) {
                if question.times.1 > last {
                    break;
                }
                if question.times.0 <= held.over() && held.meets(question.bytes) {
                    tell(question.waiter);
                }
            }
        }
    }

    /// Forgets a lock.
    pub fn forget(&mut self, key: InodeKey, held: &Arc<Held>) {
        let Some(inode) = self.inodes.get_mut(&key) else {
            return;
        };
        inode.held -= 1;
        let number = inode.number;
        if inode.held == 0 && inode.cases.is_empty() {
            self.inodes.remove(&key);
        }
        let level = level_of(held.end - held.pos);
        for at in cells_of(level, (held.pos, held.end)) {
            let Some(&at) = self.by_key.get(&(number, level, at)) else {
                continue;
            };
            let cell = &mut self.cells[at as usize];
            let first = cell.held.partition_point(|h| h.given_up < held.given_up);
            let mut here = cell.held.range(first..);
            if let Some(further) = here.position(|h| Arc::ptr_eq(h, held)) {
                cell.held.remove(first + further);
            }
            self.tidy(at);
        }
    }

    /// A case begins to wait: its folios are to be entered on these levels. Also its place among
    /// those of the inode, which [`Index::leave`] wants.
    pub fn join(&mut self, key: InodeKey, slot: u32) -> (u16, u32) {
        let inode = self.inode(key);
        inode.cases.push(slot);
        // The lowest level is always used: most locks lie there.
        inode.levels |= 1;
        (inode.levels, inode.cases.len() as u32 - 1)
    }

    /// A case no longer waits. Another one may have taken its place.
    pub fn leave(&mut self, key: InodeKey, place: u32, places: &[Place], slot: u32) -> Option<u32> {
        for place in places {
            let cell = &mut self.cells[place.cell as usize];
            let waiter = Waiter {
                slot,
                folio: place.folio,
            };
            let first = cell.waiters.partition_point(|q| q.times.1 < place.until);
            let mut here = cell.waiters.range(first..);
            if let Some(further) = here.position(|q| q.waiter == waiter) {
                cell.waiters.remove(first + further);
            }
            self.tidy(place.cell);
        }
        let inode = self.inodes.get_mut(&key)?;
        inode.cases.swap_remove(place as usize);
        let moved = inode.cases.get(place as usize).copied();
        if inode.held == 0 && inode.cases.is_empty() {
            self.inodes.remove(&key);
        }
        moved
    }

    /// Enters a folio on one level, and finds the locks there that answer it. Whether it was too
    /// large for all of it to be looked at.
    pub fn enter(
        &mut self,
        key: InodeKey,
        level: u8,
        question: Question,
        places: &mut Vec<Place>,
        mut find: impl FnMut(&Arc<Held>),
    ) -> bool {
        let number = self.inode(key).number;
        let cells = cells_of(level, question.bytes);
        let cut = cells.end() - cells.start() >= CELLS_OF_A_FOLIO;
        for at in cells.take(CELLS_OF_A_FOLIO as usize) {
            let at = self.cell((number, level, at));
            let cell = &mut self.cells[at as usize];
            let since = question.times.0.saturating_sub(cell.lag);
            let first = cell.held.partition_point(|held| held.given_up < since);
            for held in cell.held.range(first..) {
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

    /// The locks that were given up after `after` and before `before` and of which `of` is true,
    /// the first ones first; each can come more than once.
    pub fn between<'a>(
        &'a self,
        places: impl Iterator<Item = &'a Place> + 'a,
        (after, before): (u64, u64),
    ) -> impl Iterator<Item = &'a Held> + 'a {
        places.flat_map(move |place| {
            let held = &self.cells[place.cell as usize].held;
            let first = held.partition_point(|held| held.given_up <= after);
            let them = held.range(first..).map(Arc::as_ref);
            them.take_while(move |held| held.given_up < before)
        })
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
            let end = held.partition_point(|held| held.given_up < before);
            for held in held.range(..end).rev() {
                let floor = best.map_or(since, |best| best.given_up);
                if held.given_up < floor {
                    break;
                }
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
        self.inodes.is_empty() && self.by_key.is_empty() && self.free.len() == self.cells.len()
    }

    fn inode(&mut self, key: InodeKey) -> &mut Inode {
        let numbers = &mut self.numbers;
        self.inodes.entry(key).or_insert_with(|| {
            // A number comes again after four billion inodes, when the first has long gone.
            *numbers = numbers.wrapping_add(1);
            Inode {
                number: *numbers,
                ..Inode::default()
            }
        })
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
            cell.lag = 0;
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
