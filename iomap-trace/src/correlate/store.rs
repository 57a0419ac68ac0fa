//! The locks of the last seconds, and the folios that wait for more of them.

use std::sync::Arc;

use crate::event::Holder;

use super::calendar::Calendar;
use super::case::InodeKey;
use super::folio::Run;
use super::held::Held;
use super::index::Index;

/// How long an ended holder is kept for failures that had begun before.
pub const KEEP_NS: u64 = 30_000_000_000;
/// At most this many holders are kept, those that ended last: about 15 MB. A busy machine has some
/// thousands a second, and all but the longest writes need those of the last milliseconds.
pub const KEEP_HOLDERS: usize = 1 << 16;

/// Locks by inode, range and time, and by when they are forgotten.
#[derive(Debug, Default)]
pub struct Store {
    pub index: Index,
    calendar: Calendar<(InodeKey, Arc<Held>)>,
    /// The last moment at which one that is forgotten can have been in force.
    pub forgotten_ns: Option<u64>,
}

/// The inode and the lock that a holder tells of, if it tells of one.
pub fn lock_of(holder: Holder, run: Run) -> Option<(InodeKey, Arc<Held>)> {
    let inode = (holder.dev, holder.root.unwrap_or(0), holder.ino);
    Held::of(holder, run).map(|held| (inode, Arc::new(held)))
}

impl Store {
    /// A lock was put into the index.
    pub fn keep(&mut self, inode: InodeKey, held: Arc<Held>) {
        self.calendar.add(held.end_ns, (inode, held));
        if self.calendar.len() > KEEP_HOLDERS
            && let Some((inode, held)) = self.calendar.take_oldest()
        {
            self.forget(inode, &held);
        }
    }

    /// Forgets what is too old at this moment.
    pub fn age(&mut self, now_ns: u64) {
        let before = now_ns.saturating_sub(KEEP_NS);
        while let Some((inode, held)) = self.calendar.take_before(before) {
            self.forget(inode, &held);
        }
    }

    /// How many are kept.
    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.calendar.len()
    }

    fn forget(&mut self, inode: InodeKey, held: &Arc<Held>) {
        self.forgotten_ns = self.forgotten_ns.max(Some(held.over()));
        self.index.forget(inode, held);
    }
}
