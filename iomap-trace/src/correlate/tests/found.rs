//! Folios that were found in the page cache after the failure: the oracle's part.

use std::cmp::Reverse;

use super::oracle::{Claim, Known, claim, during, inode, shown_by, tried};
use super::strategies::{GRACE_NS, Told};
use crate::correlate::{Cause, Confidence, Witness};
use crate::event::*;

/// When a folio was dirtied last, seen from the write.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// Nobody was seen to.
    Unseen,
    /// After the failure: it says nothing about it.
    After,
    /// Before the failure, and nobody knows when the write began.
    BeginUnseen,
    Before,
    During,
}

impl Known<'_> {
    /// A folio that was there afterwards.
    pub fn found(&self, told: &Told, refusal: &Refusal) -> Claim {
        use Cause::*;
        use Confidence::{Exact, Window};
        let failure = &told.failure;
        let flag = |name: &str| refusal.folio_flags.iter().any(|flag| flag == name);
        let of = |touched: &&Touched| touched.index == refusal.index;
        let cacher = told.cached.iter().find(of);
        let cached = cacher.map(|t| t.ts_ns);
        // What was dirtied before this folio was cached was another folio.
        let mut dirtied = told.dirtied.iter().filter(of);
        let toucher = dirtied.find(|t| cached.is_none_or(|cached| t.ts_ns >= cached));
        let when = when(failure, toucher);
        let tid = toucher.map(|t| t.tid);
        if cached.is_some_and(|ns| ns > failure.ts_ns) {
            return claim(Unknown, Confidence::None, None);
        }
        let dirty = flag("dirty");
        let pre = failure.phase == Phase::Pre;
        let bit = |bit: &str| {
            refusal
                .buffers
                .iter()
                .flat_map(|b| &b.state)
                .any(|state| state == bit)
        };
        let busy = refusal.buffers.iter().any(|b| b.busy > 0);
        // So late that the kernel may have looked before.
        let late = cached.is_some_and(|ns| ns > failure.ts_ns.saturating_sub(20_000));
        let came_back = cached.is_some_and(|ns| during(failure, ns));
        // On btrfs a lock refuses a clean folio, and so late it may have been clean at the look.
        let clean_then = failure.fs == "btrfs"
            && when == When::During
            && toucher.is_some_and(|t| t.ts_ns > failure.ts_ns.saturating_sub(20_000));
        let certain = matches!(shown_by(told), Witness::Result | Witness::Warned);
        let other = !certain || told.refusals.iter().any(|r| r.entered_ns.is_some());
        let maybe_new = late && !pre || came_back && (pre || other);
        let doubt = maybe_new || dirty && clean_then;
        let table = [
            (dirty && when == When::During, claim(Redirtied, Exact, tid)),
            (
                dirty && when == When::Unseen,
                claim(Redirtied, Window, None),
            ),
            (
                dirty && when == When::BeginUnseen,
                claim(Redirtied, Window, tid),
            ),
            (
                dirty && when == When::Before && pre && !tried(told),
                claim(WritebackError, Window, None),
            ),
            (
                dirty && when == When::Before && (!pre || tried(told)),
                claim(Redirtied, Window, tid),
            ),
            (flag("writeback"), claim(Writeback, Window, None)),
            (flag("checked") || bit("jbd"), claim(Journal, Window, None)),
            (
                busy || bit("dirty") || bit("lock"),
                claim(Buffers, Window, None),
            ),
        ];
        let named = table.into_iter().find(|(applies, _)| *applies);
        let again = (when == When::During).then(|| claim(Redirtied, Window, tid));
        let state = named.is_some();
        let mut found = named
            .map(|(_, claim)| claim)
            .or_else(|| self.lock(failure, refusal, cached.unwrap_or(0)))
            .or(again)
            .unwrap_or(claim(Unknown, Confidence::None, None));
        // It may have been dirty when it was looked at, and clean again afterwards.
        let since = told.failure.ts_ns - told.failure.duration_ns;
        let unsure = found.holder.is_some() && toucher.is_some_and(|t| t.ts_ns >= since);
        if doubt || unsure {
            (found.confidence, found.until) = (found.confidence.max(Window), 0);
        }
        // A lock is certain when whoever can have had it before would be known.
        if found.until > 0 {
            found.window = found.window.map(|(from, _)| (from, found.until));
        }
        if found.until > self.complete_ns {
            found.confidence = Window;
        }
        let held_to_the_end = found.holder.is_some() && found.shows;
        let open = found.confidence != Exact && !held_to_the_end;
        if failure.fs == "btrfs" && !state {
            found.asks = Some((failure.ts_ns, failure.ts_ns));
        }
        if failure.fs == "btrfs" && !state && open {
            found.until = failure.ts_ns + GRACE_NS;
        }
        found.came_back = came_back;
        found.cacher = cacher.filter(|_| came_back).map(|t| t.tid);
        found.shows &= !late;
        found
    }

    /// Who held the folio's range last, since it was `cached`; of those that held it to the end the
    /// older record. A completed write was looked at shortly before the failure was seen.
    fn lock(&self, failure: &Failure, refusal: &Refusal, cached: u64) -> Option<Claim> {
        if failure.fs != "btrfs" {
            return None;
        }
        let page = u128::from(self.start.page_size);
        let first = u128::from(refusal.index) * page;
        let folio = (first, first + u128::from(refusal.pages) * page);
        let write = (failure.ts_ns - failure.duration_ns, failure.ts_ns);
        let from = match failure.phase {
            Phase::Post => write.0.max(failure.ts_ns - 20_000).max(cached),
            _ if failure.duration_ns == 0 => (failure.ts_ns - 1_000_000).max(cached),
            _ => write.0.max(cached),
        };
        let mut best: Option<(Reverse<u64>, u64, Claim)> = None;
        for holder in &self.holders {
            let (Some(locked), Some(unlocked)) = (holder.locked_ns, holder.unlocked_ns) else {
                continue;
            };
            let pos = u128::from(holder.pos);
            let shared = folio
                .1
                .min(pos + u128::from(holder.len))
                .saturating_sub(folio.0.max(pos));
            let other_inode = (holder.dev, holder.root, holder.ino) != inode(failure);
            let apart = unlocked < from || write.1 < locked || unlocked < locked;
            if shared == 0 || other_inode || apart || !self.can_refuse(failure, holder) {
                continue;
            }
            let (cause, own) = self.named(failure, holder);
            let whole = failure.duration_ns > 0 && locked <= write.0 && write.1 <= unlocked;
            // Whoever had the range meanwhile shows that this one waited for it.
            let until = unlocked.min(failure.ts_ns + GRACE_NS);
            let one = |h: &Holder| (h.kind, h.tid, h.locked_ns);
            let ordered_blocks = self.start.facts.ordered_blocks_release != Some(false);
            let waited = self.holders.iter().any(|other| {
                let (pos, end) = (u128::from(other.pos), end_of(other));
                let times = other.locked_ns.zip(other.unlocked_ns);
                (other.dev, other.root, other.ino) == inode(failure)
                    && (ordered_blocks || other.kind != HolderKind::OrderedIo)
                    && one(other) != one(holder)
                    && pos < end
                    && pos < folio.1
                    && folio.0 < end
                    && times.is_some_and(|(tried, up)| tried <= up && write.0 < up && up < until)
            });
            // Locks of a byte exclude each other, those of two parts of a folio do not.
            let last = |end: u128| end.min(u128::from(u64::MAX));
            let covers = pos <= folio.0 && last(folio.1) <= last(end_of(holder));
            let certain = whole && covers && !waited;
            let sure = [Confidence::Window, Confidence::Exact][usize::from(certain)];
            let last = unlocked.min(write.1);
            let mut found = claim(cause, sure, Some(holder.tid));
            (found.holder, found.own) = (Some(holder.id), own);
            found.window = Some((locked - 50_000_000, write.1));
            if certain {
                found.until = until;
            }
            found.shows = write.1 <= unlocked;
            let better = best
                .as_ref()
                .is_none_or(|b| (Reverse(last), holder.id) < (b.0, b.1));
            if better {
                best = Some((Reverse(last), holder.id, found));
            }
        }
        best.map(|(_, _, claim)| claim)
    }
}

fn end_of(holder: &Holder) -> u128 {
    u128::from(holder.pos) + u128::from(holder.len)
}

fn when(failure: &Failure, toucher: Option<&Touched>) -> When {
    match toucher {
        None => When::Unseen,
        Some(t) if t.ts_ns > failure.ts_ns => When::After,
        Some(_) if failure.duration_ns == 0 => When::BeginUnseen,
        Some(t) if during(failure, t.ts_ns) => When::During,
        Some(_) => When::Before,
    }
}
