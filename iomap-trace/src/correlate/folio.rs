//! Why one folio could not be dropped.

use crate::event::{Holder, HolderKind, How, Phase, Refusal, Touched};

use super::case::Case;
use super::{Cause, Confidence, Party};

/// A cause for one folio.
#[derive(Clone, Debug)]
pub struct Why {
    pub cause: Cause,
    pub confidence: Confidence,
    pub party: Option<Party>,
    pub holder: Option<u64>,
    pub reason: Option<String>,
}

impl Why {
    fn because(cause: Cause, reason: &str) -> Self {
        Self {
            cause,
            confidence: Confidence::Window,
            party: None,
            holder: None,
            reason: Some(reason.to_owned()),
        }
    }

    /// Nothing is claimed.
    pub fn unknown(reason: &str) -> Self {
        Self {
            confidence: Confidence::None,
            ..Self::because(Cause::Unknown, reason)
        }
    }
}

/// Explains a refused folio. `holders` are those of the inode.
pub fn explain(
    case: &Case,
    refusal: &Refusal,
    holders: &[&Holder],
    page_size: u64,
    ordered_blocks: bool,
) -> Why {
    let has = |flag: &str| refusal.folio_flags.iter().any(|f| f == flag);
    let toucher = case.dirtied.iter().find(|t| t.index == refusal.index);
    if let Some(toucher) = toucher.filter(|t| case.spans(t.ts_ns)) {
        return dirtied(toucher, has("dirty"));
    }
    if has("dirty") {
        return still_dirty(case, toucher);
    }
    if has("writeback") {
        return Why::because(Cause::Writeback, "under writeback when it was looked at");
    }
    if let Some(why) = buffered(refusal, has("checked")) {
        return why;
    }
    if case.failure.fs == "btrfs" {
        return held(case, refusal, holders, page_size, ordered_blocks);
    }
    Why::unknown("the folio was clean when it was looked at, just after the refusal")
}

/// The party that touched the page cache.
pub fn toucher_party(toucher: &Touched, did: &str) -> Party {
    Party {
        pid: toucher.pid,
        tid: toucher.tid,
        comm: toucher.comm.clone(),
        did: did.to_owned(),
        how: Some(toucher.how).filter(|how| *how != How::Unknown),
        since_ns: toucher.ts_ns,
        held_ns: None,
    }
}

fn dirtied(toucher: &Touched, still: bool) -> Why {
    let party = Some(toucher_party(toucher, "dirtied"));
    if still {
        return Why {
            cause: Cause::Redirtied,
            confidence: Confidence::Exact,
            party,
            holder: None,
            reason: None,
        };
    }
    Why {
        party,
        ..Why::because(
            Cause::Redirtied,
            "dirtied during the write, clean again when it was looked at",
        )
    }
}

/// Dirty, but nobody was seen to dirty it during the write.
fn still_dirty(case: &Case, toucher: Option<&Touched>) -> Why {
    if toucher.is_none() {
        return Why::because(
            Cause::Redirtied,
            "dirtied unseen: before the file was watched, or forgotten since",
        );
    }
    if case.failure.duration_ns == 0 {
        let party = toucher.map(|t| toucher_party(t, "dirtied"));
        return Why {
            party,
            ..Why::because(Cause::Redirtied, "the begin of the write was not seen")
        };
    }
    if case.failure.phase == Phase::Pre {
        return Why::because(
            Cause::WritebackError,
            "dirty since before the write began: the flush did not write it back",
        );
    }
    let party = toucher.map(|t| toucher_party(t, "dirtied"));
    Why {
        party,
        ..Why::because(Cause::Redirtied, "dirty since before the write began")
    }
}

/// ext4 and jbd2: what keeps buffer heads from being freed (fs/buffer.c `drop_buffers`).
fn buffered(refusal: &Refusal, checked: bool) -> Option<Why> {
    let buffers = refusal.buffers.as_ref()?;
    let has = |bit: &str| buffers.state.iter().any(|b| b == bit);
    if checked || has("jbd") {
        return Some(Why::because(
            Cause::Journal,
            "the journal still held it when it was looked at",
        ));
    }
    (buffers.busy > 0 || has("dirty") || has("lock")).then(|| {
        Why::because(
            Cause::Buffers,
            "a buffer head was busy when it was looked at",
        )
    })
}

/// A clean folio on btrfs: somebody held its range in the extent io tree.
fn held(
    case: &Case,
    refusal: &Refusal,
    holders: &[&Holder],
    page_size: u64,
    ordered_blocks: bool,
) -> Why {
    let first = refusal.index.saturating_mul(page_size);
    let end = first.saturating_add(u64::from(refusal.pages).saturating_mul(page_size));
    let (begin, seen) = (case.begin_ns(), case.failure.ts_ns);
    // Clean folios are refused for a lock alone, and the writer holds none while it invalidates.
    let lock = holders
        .iter()
        .filter(|h| h.kind != HolderKind::OrderedIo || ordered_blocks)
        .filter(|h| case.failure.phase != Phase::Pre || h.tid != case.failure.tid)
        .filter(|h| h.pos < end && first < h.pos.saturating_add(h.len))
        .filter_map(|h| Some((h.locked_ns?, h.unlocked_ns?, *h)))
        .filter(|(locked, unlocked, _)| *locked <= seen && begin <= *unlocked)
        .max_by_key(|(locked, unlocked, h)| {
            (
                unlocked.min(&seen).saturating_sub(*locked.max(&begin)),
                std::cmp::Reverse(h.id),
            )
        });
    let Some((locked, unlocked, holder)) = lock else {
        return Why::unknown("clean when it was looked at, and no holder of its range was seen");
    };
    let certain = case.failure.duration_ns != 0 && locked <= begin && seen <= unlocked;
    Why {
        cause: match holder.kind {
            HolderKind::OrderedIo => Cause::OrderedIo,
            HolderKind::ExtentLock => Cause::ExtentLock,
        },
        confidence: if certain {
            Confidence::Exact
        } else {
            Confidence::Window
        },
        party: Some(holder_party(holder, locked, unlocked)),
        holder: Some(holder.id),
        reason: (!certain)
            .then(|| "held for a part of the write; the moment of refusal was not seen".to_owned()),
    }
}

fn holder_party(holder: &Holder, locked: u64, unlocked: u64) -> Party {
    let did = match (&holder.kind, &holder.function) {
        (HolderKind::OrderedIo, _) => "completed ordered I/O".to_owned(),
        (HolderKind::ExtentLock, Some(function)) => format!("locked in {function}"),
        (HolderKind::ExtentLock, None) => "locked the extent".to_owned(),
    };
    Party {
        pid: holder.pid,
        tid: holder.tid,
        comm: holder.comm.clone(),
        did,
        how: None,
        since_ns: locked,
        held_ns: Some(unlocked.saturating_sub(locked)),
    }
}
