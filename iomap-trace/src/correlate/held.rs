//! What is kept of a holder.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use crate::event::{Holder, HolderKind, Text};

use super::folio::Run;
use super::shared::Shared;

/// Between the event of an unlock and the unlock itself, with a wide margin: a task can be
/// interrupted there.
pub const UNLOCK_TAKES_NS: u64 = 1_000_000;

/// A lock that was had and given up again. A holder without both instants (NOCOW), or of no byte,
/// has kept nobody from anything, and is not kept.
#[derive(Debug)]
pub struct Held {
    pub id: u64,
    pub kind: HolderKind,
    /// First byte, and the one behind the last. What ends at `u64::MAX` has lost its last byte;
    /// the kernel's offsets end at `i64::MAX`.
    pub pos: u64,
    pub end: u64,
    pub start_ns: u64,
    /// Last attempt to lock.
    pub tried: u64,
    /// Event of the unlock.
    pub given_up: u64,
    pub end_ns: u64,
    pub pid: u32,
    pub tid: u32,
    pub comm: Text,
    /// Another task gave it up.
    pub handed_on: bool,
    pub created_ns: Option<NonZeroU64>,
    pub created_by: Option<NonZeroU32>,
    pub function: Option<Arc<Text>>,
}

/// Tens of thousands are kept: with the counters of its [`Arc`] one is 128 bytes, which is all that
/// an allocator takes for it.
const _: () = assert!(size_of::<Held>() <= 112);

impl Held {
    /// The lock that `holder` tells of, if it can keep a folio from being released.
    pub fn of(holder: Box<Holder>, run: Run, functions: &mut Shared) -> Option<Arc<Self>> {
        let (tried, given_up) = (holder.locked_ns?, holder.unlocked_ns?);
        let end = holder.pos.saturating_add(holder.len);
        let harmless = holder.kind == HolderKind::OrderedIo && !run.ordered_blocks;
        if harmless || given_up < tried || end == holder.pos {
            return None;
        }
        // Unboxed where it is put together: it is too large to be passed on.
        let holder = *holder;
        Some(Arc::new(Self {
            id: holder.id,
            kind: holder.kind,
            pos: holder.pos,
            end,
            start_ns: holder.start_ns,
            tried,
            given_up,
            end_ns: holder.end_ns,
            pid: holder.pid,
            tid: holder.tid,
            comm: holder.comm,
            handed_on: holder.unlocked_by.is_some(),
            // Nothing is done at 0, nor by the task 0.
            created_ns: holder.created_ns.and_then(NonZeroU64::new),
            created_by: holder.created_by.and_then(NonZeroU32::new),
            function: holder.function.map(|name| functions.of(name)),
        }))
    }

    /// Whether the thread made the ordered extent that this is the work of.
    pub fn created_by(&self, tid: u32) -> bool {
        self.created_by.is_some_and(|by| by.get() == tid)
    }

    /// Whether it held one of the bytes from the first to before the second.
    pub fn meets(&self, (first, end): (u64, u64)) -> bool {
        self.pos < end && first < self.end
    }

    /// When it was over for certain: work on an ordered extent ends after its unlock.
    pub fn over(&self) -> u64 {
        match self.kind {
            HolderKind::OrderedIo => self.end_ns.max(self.given_up),
            HolderKind::ExtentLock => self.given_up.saturating_add(UNLOCK_TAKES_NS),
        }
    }

    /// Whether both are parts of one lock that was given up piece by piece.
    pub fn same_lock(&self, other: &Self) -> bool {
        let key = |held: &Self| (held.kind, held.tid, held.tried);
        key(self) == key(other)
    }
}
