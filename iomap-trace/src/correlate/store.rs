//! The locks of the last seconds, and the folios that wait for more of them.

use std::sync::Arc;

use crate::event::Holder;

use super::calendar::Calendar;
use super::case::InodeKey;
use super::fetch::fetch;
use super::folio::Run;
use super::held::Held;
use super::index::{Cells, Index};
use super::shared::Shared;

/// How long an ended holder is kept for failures that had begun before.
pub const KEEP_NS: u64 = 30_000_000_000;
/// At most this many holders are kept, those that ended last: about 11 MB. A busy machine has some
/// thousands a second, and all but the longest writes need those of the last milliseconds; a third
/// of them was not enough for `repro lockers` on 5.10.
pub const KEEP_HOLDERS: usize = 3 << 14;

/// What is forgotten so many locks later is fetched from memory meanwhile.
const AHEAD: usize = 6;

/// Locks by inode, range and time, and by when they are forgotten.
#[derive(Debug, Default)]
pub struct Store {
    pub index: Index,
    calendar: Calendar<Kept>,
    functions: Shared,
    /// The last moment at which one that is forgotten can have been in force.
    pub forgotten_ns: Option<u64>,
}

/// A lock, and where it is in the index.
type Kept = (Cells, Arc<Held>);

impl Store {
    /// The inode and the lock that a holder tells of, if it tells of one.
    pub fn lock_of(&mut self, holder: Box<Holder>, run: Run) -> Option<(InodeKey, Arc<Held>)> {
        let inode = (holder.dev, holder.root.unwrap_or(0), holder.ino);
        Held::of(holder, run, &mut self.functions).map(|held| (inode, held))
    }

    /// A lock was put into the index.
    pub fn keep(&mut self, cells: Cells, held: Arc<Held>) {
        self.calendar.add(held.end_ns, (cells, held));
        if self.calendar.len() > KEEP_HOLDERS
            && let Some(kept) = self.calendar.take_oldest()
        {
            // Nobody has touched these for seconds: fetched now, they are near when it is their turn.
            if let Some((cells, held)) = self.calendar.coming(AHEAD) {
                fetch(Arc::as_ptr(held));
                self.index.fetch(*cells);
            }
            self.forget(&kept);
        }
    }

    /// Forgets what is too old at this moment.
    pub fn age(&mut self, now_ns: u64) {
        let before = now_ns.saturating_sub(KEEP_NS);
        while let Some(kept) = self.calendar.take_before(before) {
            self.forget(&kept);
        }
    }

    /// How many are kept.
    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.calendar.len()
    }

    fn forget(&mut self, (cells, held): &Kept) {
        self.forgotten_ns = self.forgotten_ns.max(Some(held.over()));
        self.index.forget(*cells, held);
    }
}
