//! The extent io tree of an inode: who holds which bytes locked (fs/btrfs/extent-io-tree.c; until
//! 5.19 fs/btrfs/extent_io.c).
//!
//! Bytes are counted from the first byte of the model's range.

use super::cast::Task;
use crate::event::HolderKind;

/// An unlock and an attempt to lock can both be under way for at most this long: the assumption of
/// the correlator, which the model shares.
pub const BOTH_TAKE_NS: u64 = 9_000;

/// An attempt to lock finds out within this time of its event whether it has the range, though its
/// task be interrupted in between: an assumption of the correlator too.
pub const ATTEMPT_TAKES_NS: u64 = 900_000;

/// Bytes `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u64,
    /// One past the last.
    pub end: u64,
}

impl Span {
    /// Whether both have a byte in common.
    pub const fn meets(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// What an ordered extent knows of its making.
#[derive(Clone, Copy, Debug)]
pub struct Ordered {
    /// Its range.
    pub span: Span,
    /// Thread that made it.
    pub created_by: u32,
    /// When.
    pub created_ns: u64,
    /// The direct write that made it.
    pub write: Option<u64>,
    /// It locks nothing when it completes (`BTRFS_ORDERED_NOCOW`).
    pub nocow: bool,
}

/// A range that is locked, or was.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// Which lock it is a part of.
    pub lock: u64,
    /// Its bytes.
    pub span: Span,
    /// Whose.
    pub task: Task,
    /// What for.
    pub kind: HolderKind,
    /// The direct write that made the ordered extent.
    pub write: Option<u64>,
    /// Event of the unlock.
    pub given_up_ns: Option<u64>,
    /// By when the unlock takes effect.
    pub over_by: u64,
}

/// The tree: holds that are in force.
#[derive(Debug, Default)]
pub struct Tree {
    holds: Vec<Hold>,
    locks: u64,
}

impl Tree {
    /// A number for a lock.
    pub fn number(&mut self) -> u64 {
        self.locks += 1;
        self.locks
    }

    /// The first byte of `span` that is locked (`__set_extent_bit()`'s `failed_start`).
    pub fn blocked(&self, span: Span) -> Option<u64> {
        let inside = self.holds.iter().filter(|hold| hold.span.meets(span));
        inside.map(|hold| hold.span.start.max(span.start)).min()
    }

    /// Locks what is free.
    pub fn lock(&mut self, hold: Hold) {
        self.holds.push(hold);
    }

    /// What is in force in `span`.
    pub fn held(&self, span: Span) -> impl Iterator<Item = &Hold> {
        self.holds.iter().filter(move |hold| hold.span.meets(span))
    }

    /// An unlock of `span` begins at `now`, and is over by `over_by`: holds are split at its ends.
    /// Returns the pieces.
    pub fn give_up(&mut self, task: Task, span: Span, now: u64, over_by: u64) -> Vec<Hold> {
        let own = |hold: &Hold| hold.task == task && hold.span.meets(span);
        let (own, mut kept): (Vec<Hold>, Vec<Hold>) = self.holds.iter().partition(|hold| own(hold));
        let mut pieces = Vec::with_capacity(own.len());
        for hold in own {
            let inner = Span {
                start: hold.span.start.max(span.start),
                end: hold.span.end.min(span.end),
            };
            let sides = [(hold.span.start, inner.start), (inner.end, hold.span.end)];
            for (start, end) in sides.into_iter().filter(|(start, end)| start < end) {
                let span = Span { start, end };
                kept.push(Hold { span, ..hold });
            }
            pieces.push(Hold {
                span: inner,
                given_up_ns: Some(now),
                over_by,
                ..hold
            });
        }
        kept.extend(&pieces);
        self.holds = kept;
        pieces
    }

    /// The unlock that [`Self::give_up`] began takes effect.
    pub fn release(&mut self, task: Task, span: Span) {
        self.holds.retain(|hold| {
            hold.task != task || hold.given_up_ns.is_none() || !hold.span.meets(span)
        });
    }

    /// Somebody tries for `span` at `now`, while unlocks are under way. Those that have just begun
    /// end soon; true where one takes long, so that whoever tries finds it still locked.
    pub fn hurry(&mut self, span: Span, now: u64) -> bool {
        let mut lingers = false;
        for hold in self.holds.iter_mut().filter(|hold| hold.span.meets(span)) {
            let Some(given_up) = hold.given_up_ns else {
                continue;
            };
            if now <= given_up + BOTH_TAKE_NS {
                hold.over_by = hold.over_by.min(given_up + BOTH_TAKE_NS);
            } else {
                lingers = true;
            }
        }
        lingers
    }

    /// By when this task's unlock of `span` must take effect.
    pub fn over_by(&self, task: Task, span: Span) -> Option<u64> {
        let own = self.held(span).filter(|hold| hold.task == task);
        own.filter(|hold| hold.given_up_ns.is_some())
            .map(|hold| hold.over_by)
            .min()
    }
}
