//! Folios that were seen to be refused: the oracle's part.

use std::cmp::Reverse;

use super::oracle::{Claim, Known, claim, during, inode};
use super::strategies::{GRACE_NS, Told};
use crate::correlate::{Cause, Confidence};
use crate::event::*;

/// The engine's margins, restated: an unlock takes at most a millisecond, and fifty for those that
/// are named with a doubt; an unlock and a lock that
/// are under way together ten microseconds; work on an ordered extent ends within twenty
/// milliseconds of its unlock.
const UNLOCK_TAKES: u64 = 1_000_000;
const UNLOCK_LINGERS: u64 = 50_000_000;
const BOTH_TAKE: u64 = 10_000;
const LOCK_TAKES: u64 = 1_000_000;
pub(super) const SETTLES: u64 = 20_000_000;

/// Locked at the last attempt, unlocked, and whose it is.
type Hold<'a> = (u64, u64, &'a Holder);

/// Whether two ranges have a byte in common.
fn meet(one: (u64, u64), other: (u64, u64)) -> bool {
    let end = |(pos, len): (u64, u64)| u128::from(pos) + u128::from(len);
    u128::from(one.0).max(u128::from(other.0)) < end(one).min(end(other))
}

/// Whether `hold` can have been in force at `at`, given all others.
fn possible(hold: &Hold, all: &[Hold], at: u64) -> bool {
    let (tried, unlocked, holder) = *hold;
    let range = |holder: &Holder| (holder.pos, holder.len);
    let over = match holder.kind {
        HolderKind::OrderedIo => unlocked.max(holder.end_ns),
        HolderKind::ExtentLock => unlocked.saturating_add(UNLOCK_TAKES),
    };
    tried <= at
        && at <= over
        && all.iter().all(|(other_tried, other_unlocked, other)| {
            if !meet(range(holder), range(other)) || *other_unlocked == unlocked {
                true
            } else if *other_unlocked < unlocked {
                // It still had the lock then.
                *other_unlocked < at
            } else if *other_tried <= unlocked {
                // It had the lock at its unlock, and only then for sure.
                at <= *other_unlocked
            } else {
                at < *other_tried || at <= unlocked.saturating_add(BOTH_TAKE)
            }
        })
}

impl Known<'_> {
    /// Whether a holder may have held a folio that asks for one.
    pub fn touches(&self, told: &Told, holder: &Holder) -> bool {
        let (Some(tried), Some(unlocked)) = (holder.locked_ns, holder.unlocked_ns) else {
            return false;
        };
        let ordered = holder.kind == HolderKind::OrderedIo;
        let over = if ordered {
            unlocked.max(holder.end_ns)
        } else {
            unlocked + 1_000_000
        };
        let harmless = ordered && self.start.facts.ordered_blocks_release == Some(false);
        let here = (holder.dev, holder.root, holder.ino) == inode(&told.failure);
        let page = self.start.page_size;
        here && !harmless
            && told.failure.phase != Phase::Map
            && tried <= unlocked
            && holder.start_ns <= told.failure.ts_ns
            && told.refusals.iter().any(|refusal| {
                let asks = self.folio(told, refusal).asks;
                let pages = (refusal.index * page, u64::from(refusal.pages) * page);
                meet(pages, (holder.pos, holder.len))
                    && asks.is_some_and(|(from, to)| tried <= to && from <= over)
            })
    }

    /// A folio of which the kernel was asked at `entered` to release it.
    pub fn refused(&self, told: &Told, refusal: &Refusal, entered: u64) -> Claim {
        let failure = &told.failure;
        let before = |touched: &[Touched]| -> Option<Touched> {
            let mut of: Vec<&Touched> = touched
                .iter()
                .filter(|t| t.index == refusal.index && t.ts_ns <= refusal.ts_ns)
                .collect();
            of.sort_by_key(|t| t.ts_ns);
            of.last().map(|t| (*t).clone())
        };
        let cached = before(&told.cached);
        let since = cached.as_ref().map_or(0, |t| t.ts_ns);
        let dirtied = before(&told.dirtied).filter(|t| t.ts_ns >= since);
        let flag = |name: &str| refusal.folio_flags.iter().any(|flag| flag == name);
        let bits: Vec<&str> = refusal
            .buffers
            .iter()
            .flat_map(|b| b.state.iter().map(Text::as_str))
            .collect();
        let busy = refusal.buffers.as_ref().is_some_and(|b| b.busy != 0);
        let exact = |cause| claim(cause, Confidence::Exact, None);
        let mut found = match dirtied {
            None if flag("dirty") => Claim {
                party_unseen: true,
                ..exact(Cause::Redirtied)
            },
            Some(t) if flag("dirty") => {
                let sure = match during(failure, t.ts_ns) {
                    true => Confidence::Exact,
                    false => Confidence::Window,
                };
                claim(Cause::Redirtied, sure, Some(t.tid))
            }
            _ if flag("writeback") => exact(Cause::Writeback),
            _ if refusal.buffers.is_some() && flag("checked") || bits.contains(&"jbd") => {
                exact(Cause::Journal)
            }
            _ if busy || bits.contains(&"dirty") || bits.contains(&"lock") => {
                let mut found = exact(Cause::Buffers);
                if failure.fs == "ext4" || failure.fs == "ocfs2" {
                    found.confidence = Confidence::Window;
                }
                found
            }
            _ if failure.fs == "btrfs" => Claim {
                asks: Some((entered, refusal.ts_ns)),
                ..self.locked(failure, refusal, entered)
            },
            _ => claim(Cause::Unknown, Confidence::None, None),
        };
        let begin = match failure.duration_ns {
            0 => failure.ts_ns - 1_000_000,
            long => failure.ts_ns - long,
        };
        found.window = found
            .window
            .or(Some((begin.min(refusal.ts_ns), refusal.ts_ns)));
        found.refused = true;
        found.shows = true;
        found.cacher = cached.filter(|t| during(failure, t.ts_ns)).map(|t| t.tid);
        found
    }

    /// An ordered extent waited for a part of the folio when it was refused, and had it later, as
    /// far as that was over within the grace period.
    fn ordered_waited(
        &self,
        failure: &Failure,
        folio: (u64, u64),
        refused: u64,
        best: &Holder,
    ) -> bool {
        let known = failure.ts_ns + GRACE_NS - SETTLES;
        let blocks = self.start.facts.ordered_blocks_release != Some(false);
        let waited = |h: &&Holder| {
            let (Some(tried), Some(unlocked)) = (h.locked_ns, h.unlocked_ns) else {
                return false;
            };
            h.kind == HolderKind::OrderedIo
                && (h.dev, h.root, h.ino) == inode(failure)
                && meet(folio, (h.pos, h.len))
                && h.start_ns <= refused
                && refused < unlocked
                && (h.kind, h.tid, h.locked_ns) != (best.kind, best.tid, best.locked_ns)
                && tried <= unlocked
                && unlocked < known
        };
        blocks && self.holders.iter().any(waited)
    }

    /// The one lock that can have been in force between the two instants of the refusal, or one of
    /// several: the one that was on record for the most of it.
    fn locked(&self, failure: &Failure, refusal: &Refusal, entered: u64) -> Claim {
        let refused = refusal.ts_ns;
        let page = self.start.page_size;
        let folio = (refusal.index * page, u64::from(refusal.pages) * page);
        let holds: Vec<Hold> = self
            .holders
            .iter()
            .filter(|h| (h.dev, h.root, h.ino) == inode(failure) && self.can_refuse(failure, h))
            // What began after the failure is not looked at.
            .filter(|h| h.start_ns <= failure.ts_ns && meet(folio, (h.pos, h.len)))
            .filter_map(|h| Some((h.locked_ns?, h.unlocked_ns?, *h)))
            .filter(|(tried, unlocked, _)| tried <= unlocked)
            .collect();
        let instants = |hold: &Hold| {
            let unlocks = holds.iter().map(|(_, unlocked, _)| unlocked + 1);
            let instants = unlocks.chain([entered, hold.0]);
            instants
                .filter(|at| (entered..=refused).contains(at))
                .collect::<Vec<_>>()
        };
        let mut candidates: Vec<(bool, u64, u64, Reverse<u64>, Hold)> = Vec::new();
        for hold in &holds {
            let first = instants(hold)
                .into_iter()
                .filter(|at| possible(hold, &holds, *at))
                .min();
            if let Some(first) = first {
                let recorded = hold.1.min(refused);
                let whole = first == entered && refused <= hold.1;
                let covers = recorded.saturating_sub(first);
                candidates.push((whole, covers, recorded, Reverse(hold.2.id), *hold));
            }
        }
        let graced = failure.ts_ns + GRACE_NS;
        let best = candidates
            .iter()
            .max_by_key(|(whole, covers, recorded, id, _)| (*whole, *covers, *recorded, *id));
        // Whose unlock may still be under way.
        let last = holds
            .iter()
            .filter(|(_, unlocked, _)| *unlocked < entered)
            .filter(|(_, unlocked, _)| entered - unlocked <= UNLOCK_LINGERS)
            .max_by_key(|(_, unlocked, holder)| (*unlocked, Reverse(holder.id)));
        let Some((whole, _, _, _, (tried, unlocked, holder))) = best else {
            let mut found = claim(Cause::Unknown, Confidence::None, None);
            found.window = Some((entered - UNLOCK_LINGERS, graced));
            if let Some((tried, _, holder)) = last {
                let since = *(tried.min(&entered)) - UNLOCK_LINGERS;
                let (cause, own) = self.named(failure, holder);
                found = claim(cause, Confidence::Window, Some(holder.tid));
                (found.holder, found.own) = (Some(holder.id), own);
                found.window = Some((since, graced));
            }
            found.until = graced;
            return found;
        };
        let one_lock = candidates
            .iter()
            .all(|(_, _, _, _, (other_tried, _, other))| {
                (other.kind, other.tid, other_tried) == (holder.kind, holder.tid, tried)
            });
        // It was tried for, and taken from whoever had it without a record.
        let blocks = self.start.facts.ordered_blocks_release != Some(false);
        let before = match holder.kind {
            _ if !blocks => 0,
            HolderKind::OrderedIo => BOTH_TAKE,
            HolderKind::ExtentLock => LOCK_TAKES,
        };
        let had_at = entered.checked_sub(before);
        let had =
            *whole && had_at.is_some_and(|at| possible(&(*tried, *unlocked, *holder), &holds, at));
        let began = possible(&(*tried, *unlocked, *holder), &holds, entered);
        let until = if one_lock && had {
            graced.min((*unlocked).max(failure.ts_ns).saturating_add(SETTLES))
        } else {
            graced
        };
        let mine = holder.kind == HolderKind::OrderedIo
            && holder.created_by == Some(failure.tid)
            && failure.duration_ns == 0;
        let sure = one_lock
            && !mine
            && holder.unlocked_by.is_none()
            && until <= self.complete_ns
            && (began || last.is_none())
            && (had || !self.ordered_waited(failure, folio, refused, holder));
        let (cause, own) = self.named(failure, holder);
        let confidence = [Confidence::Window, Confidence::Exact][usize::from(sure)];
        let mut found = claim(cause, confidence, Some(holder.tid));
        (found.holder, found.own, found.until) = (Some(holder.id), own, until);
        found.window = Some(((*tried).min(entered) - UNLOCK_LINGERS, until));
        found
    }
}
