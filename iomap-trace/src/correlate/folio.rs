//! Why one folio could not be dropped.

use crate::event::{Holder, HolderKind, How, Phase, Refusal, Touched};

use super::case::Case;
use super::refused::explain_refused;
use super::{Cause, Confidence, Party};

/// A folio cached so shortly before the end of a write may have come after the kernel had looked:
/// the time from `invalidate_inode_pages2_range()` to the probe, with a wide margin.
pub const AFTER_THE_LOOK_NS: u64 = 20_000;

/// A cause for one folio.
#[derive(Clone, Debug)]
pub struct Why {
    pub cause: Cause,
    pub confidence: Confidence,
    pub party: Option<Party>,
    pub holder: Option<u64>,
    pub reason: Option<String>,
    /// Whoever cached the folio during the write.
    pub cacher: Option<Party>,
    /// The holder works for this very write.
    pub own: Option<bool>,
    /// It was seen to be refused, and not only found afterwards.
    pub refused: bool,
    /// The folio was brought back during the write: it may not be the one that was refused.
    pub came_back: bool,
    /// What was found held at the very moment at which it was looked at.
    pub holds: bool,
    /// Up to when a holder that is not known yet could change it; 0: none could.
    pub until: u64,
}

impl Why {
    /// A cause of confidence `window`.
    pub fn because(cause: Cause, reason: &str) -> Self {
        Self {
            cause,
            confidence: Confidence::Window,
            party: None,
            holder: None,
            reason: Some(reason.to_owned()),
            cacher: None,
            own: None,
            refused: false,
            came_back: false,
            holds: false,
            until: 0,
        }
    }

    /// Nothing is claimed.
    pub fn unknown(reason: &str) -> Self {
        Self {
            confidence: Confidence::None,
            ..Self::because(Cause::Unknown, reason)
        }
    }

    /// The same, seen to hold at the failure itself.
    pub fn exact(self) -> Self {
        Self {
            confidence: Confidence::Exact,
            reason: None,
            ..self
        }
    }
}

/// What the judge knows of the run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub page_size: u64,
    /// Completion of ordered I/O can keep a folio from being released.
    pub ordered_blocks: bool,
}

/// Explains a refused folio.
pub fn explain(case: &Case, refusal: &Refusal, run: Run) -> Why {
    match refusal.entered_ns {
        Some(entered) => explain_refused(case, refusal, entered, run),
        None => explain_found(case, refusal, run),
    }
}

/// Explains a folio that was found in the page cache after the failure.
fn explain_found(case: &Case, refusal: &Refusal, run: Run) -> Why {
    let here = |touched: &&Touched| touched.index == refusal.index;
    let cached = case.cached.iter().find(here);
    let cached_ns = cached.map(|t| t.ts_ns);
    // Whoever dirtied the page before it was cached last dirtied a folio that is gone.
    let toucher = case.dirtied.iter().find(here);
    let toucher = toucher.filter(|t| cached_ns.is_none_or(|cached| cached <= t.ts_ns));
    if cached_ns.is_some_and(|ts| ts > case.failure.ts_ns) {
        return Why::unknown("cached after the failure: another folio was refused");
    }
    let cacher = cached.filter(|t| case.spans(t.ts_ns));
    let why = explain_state(case, refusal, toucher, cached_ns, run);
    Why {
        came_back: cacher.is_some(),
        cacher: cacher.map(|t| toucher_party(t, "cached")),
        ..why
    }
}

fn explain_state(
    case: &Case,
    refusal: &Refusal,
    toucher: Option<&Touched>,
    cached_ns: Option<u64>,
    run: Run,
) -> Why {
    let has = |flag: &str| refusal.folio_flags.iter().any(|f| f == flag);
    let during = toucher.filter(|t| case.spans(t.ts_ns));
    // The walk comes after the probe's clock: what was dirtied in between tells nothing.
    let after = toucher.is_some_and(|t| t.ts_ns > case.failure.ts_ns);
    if has("dirty") && !after {
        return match during {
            Some(toucher) => still_dirty(case, toucher, cached_ns),
            None => dirty_before(case, toucher),
        };
    }
    if has("writeback") {
        return Why::because(Cause::Writeback, "under writeback when it was looked at");
    }
    if let Some(why) = buffered(refusal, has("checked")) {
        return why;
    }
    let holdable = case.failure.fs == "btrfs";
    let held = holdable.then(|| held(case, refusal, cached_ns, run));
    let why = match (held, during) {
        (Some(why), _) if why.cause != Cause::Unknown => why,
        (_, Some(toucher)) => Why {
            party: Some(toucher_party(toucher, "dirtied")),
            ..Why::because(
                Cause::Redirtied,
                "dirtied during the write, clean again when it was looked at",
            )
        },
        (Some(unknown), None) => unknown,
        (None, None) => {
            Why::unknown("the folio was clean when it was looked at, just after the refusal")
        }
    };
    let open = holdable && why.confidence != Confidence::Exact && !why.holds;
    Why {
        until: if open { case.graced() } else { 0 },
        ..why
    }
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

/// Why this folio may not be one that was refused: it may have been cached after the look.
fn doubt(case: &Case, cached_ns: Option<u64>) -> Option<&'static str> {
    match (case.failure.phase, cached_ns) {
        (Phase::Pre, Some(cached)) if case.spans(cached) => {
            Some("cached again during the write: another folio of the range may have been refused")
        }
        (Phase::Post, Some(cached)) if case.late(cached) => {
            Some("cached so late that the kernel may have looked before")
        }
        _ => None,
    }
}

/// Dirtied during the write, and dirty still.
fn still_dirty(case: &Case, toucher: &Touched, cached_ns: Option<u64>) -> Why {
    let party = Some(toucher_party(toucher, "dirtied"));
    let clean_then = case.failure.fs == "btrfs" && case.late(toucher.ts_ns);
    let doubt = doubt(case, cached_ns)
        .or_else(|| clean_then.then_some("dirtied so late that a lock may have refused it before"));
    let why = Why {
        party,
        ..Why::because(Cause::Redirtied, doubt.unwrap_or_default())
    };
    match doubt {
        Some(_) => why,
        None => why.exact(),
    }
}

/// Dirty, but nobody was seen to dirty it during the write.
fn dirty_before(case: &Case, toucher: Option<&Touched>) -> Why {
    let Some(toucher) = toucher else {
        return Why::because(
            Cause::Redirtied,
            "dirtied unseen: before the file was watched, or forgotten since",
        );
    };
    let party = Some(toucher_party(toucher, "dirtied"));
    if case.failure.duration_ns == 0 {
        return Why {
            party,
            ..Why::because(Cause::Redirtied, "the begin of the write was not seen")
        };
    }
    if case.failure.phase == Phase::Pre && !case.tried() {
        return Why::because(
            Cause::WritebackError,
            "dirty since before the write began: the flush did not write it back",
        );
    }
    Why {
        party,
        ..Why::because(Cause::Redirtied, "dirty since before the write began")
    }
}

/// ext4 and jbd2: what keeps buffer heads from being freed (fs/buffer.c `drop_buffers`).
pub fn buffered(refusal: &Refusal, checked: bool) -> Option<Why> {
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

/// Whether the holder's range and the folio have a byte in common.
pub fn overlaps(holder: &Holder, refusal: &Refusal, page_size: u64) -> bool {
    let first = refusal.index.saturating_mul(page_size);
    let end = first.saturating_add(u64::from(refusal.pages).saturating_mul(page_size));
    holder.len > 0 && holder.pos < end && first < holder.pos.saturating_add(holder.len)
}

/// Whether a holder can be what keeps a folio of this write from being released.
pub fn may_refuse(case: &Case, holder: &Holder, run: Run) -> bool {
    // The writer holds no lock while it invalidates, but for one that another task gives up: that
    // of a read that goes on in the background.
    let own = holder.tid == case.failure.tid
        && case.failure.completed_by.is_none()
        && holder.unlocked_by.is_none();
    (holder.kind != HolderKind::OrderedIo || run.ordered_blocks) && !own
}

/// A clean folio on btrfs: somebody held its range in the extent io tree.
fn held(case: &Case, refusal: &Refusal, cached_ns: Option<u64>, run: Run) -> Why {
    let (begin, seen) = (case.begin_ns(), case.failure.ts_ns);
    // The look comes at the end of the write; before submission that can be long before the probe.
    let from = match case.failure.phase {
        Phase::Post => begin.max(seen.saturating_sub(AFTER_THE_LOOK_NS)),
        _ => case.held_since(),
    }
    .max(cached_ns.unwrap_or(0));
    let lock = case
        .holders
        .iter()
        .filter(|h| may_refuse(case, h, run) && overlaps(h, refusal, run.page_size))
        .filter_map(|h| Some((h.locked_ns?, h.unlocked_ns?, h)))
        .filter(|(locked, unlocked, _)| locked <= unlocked && *locked <= seen && from <= *unlocked)
        // Locks of a range follow each other, and the refusal is at the end: the last one counts.
        // Of several that held parts of a large folio to the end it is the first record: the
        // verdict does not wait for another.
        .max_by_key(|(_, unlocked, h)| (*unlocked.min(&seen), std::cmp::Reverse(h.id)));
    let Some((locked, unlocked, holder)) = lock else {
        return Why::unknown("clean when it was looked at, and no holder of its range was seen");
    };
    let whole = case.failure.duration_ns != 0 && locked <= begin && seen <= unlocked;
    let doubt = doubt(case, cached_ns).filter(|_| whole);
    let certain = whole && doubt.is_none();
    let why = Why {
        party: Some(holder_party(holder, locked, unlocked)),
        holder: Some(holder.id),
        own: case.made_by_writer(holder),
        holds: seen <= unlocked,
        ..Why::because(
            cause_of(holder),
            doubt.unwrap_or("held for a part of the write; the moment of refusal was not seen"),
        )
    };
    if certain { why.exact() } else { why }
}

/// The cause that a holder is.
pub fn cause_of(holder: &Holder) -> Cause {
    match holder.kind {
        HolderKind::OrderedIo => Cause::OrderedIo,
        HolderKind::ExtentLock => Cause::ExtentLock,
    }
}

/// The party that held the range.
pub fn holder_party(holder: &Holder, locked: u64, unlocked: u64) -> Party {
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
