//! The verdicts said again, from the definitions: all records at once, by brute force, and with no
//! regard to cost.

use std::cmp::Reverse;

use super::strategies::{GRACE_NS, Told};
use crate::correlate::{Cause, Confidence, Judged, Witness};
use crate::event::*;

/// What of a verdict is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Said {
    pub failure: u64,
    pub cause: Cause,
    pub confidence: Confidence,
    pub party: Option<u32>,
    pub cached_by: Option<u32>,
    pub holders: Vec<u64>,
    pub also: Vec<Cause>,
    pub self_inflicted: bool,
    pub witness: Option<Witness>,
    pub outcome: OutcomeKind,
    pub withdrawn: bool,
    pub evidence_missing: Vec<Text>,
}

impl From<&Judged> for Said {
    fn from(judged: &Judged) -> Self {
        let verdict = judged.verdict.clone();
        Self {
            failure: verdict.failure,
            cause: verdict.cause,
            confidence: verdict.confidence,
            party: verdict.party.map(|party| party.tid),
            cached_by: verdict.cached_by.map(|party| party.tid),
            holders: verdict.holders,
            also: verdict.also,
            self_inflicted: verdict.self_inflicted,
            witness: verdict.witness,
            outcome: verdict.outcome,
            withdrawn: verdict.withdrawn.is_some(),
            evidence_missing: verdict.evidence_missing,
        }
    }
}

/// One explanation of one folio.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub cause: Cause,
    pub confidence: Confidence,
    pub party: Option<u32>,
    /// The party could not be named although the cause is certain.
    pub party_unseen: bool,
    /// Ordered I/O: it completes a write-back that the write itself forced.
    pub own: Option<bool>,
    pub cacher: Option<u32>,
    pub holder: Option<u64>,
    /// It was seen to be refused.
    pub refused: bool,
    /// The folio came back during the write.
    pub came_back: bool,
    /// It shows that a folio was refused, whatever `wb_err` says.
    pub shows: bool,
    /// Until when another holder could change it.
    pub until: u64,
    /// When it may have been tested whether somebody held it, if that explains it.
    pub asks: Option<(u64, u64)>,
    /// What was lost between these two moments counts, if it rests on it.
    pub window: Option<(u64, u64)>,
}

pub(super) const fn claim(cause: Cause, confidence: Confidence, party: Option<u32>) -> Claim {
    Claim {
        cause,
        confidence,
        party,
        party_unseen: false,
        own: None,
        cacher: None,
        holder: None,
        refused: false,
        came_back: false,
        shows: !matches!(cause, Cause::Unknown),
        until: 0,
        asks: None,
        window: None,
    }
}

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

/// What is known when a failure is decided.
pub(super) struct Known<'a> {
    pub start: &'a Start,
    /// Every other failure whose records are complete.
    pub others: Vec<&'a Told>,
    pub holders: Vec<&'a Holder>,
    pub losses: Vec<Loss>,
    /// All records up to here have come.
    pub complete_ns: u64,
}

impl Known<'_> {
    /// The verdict.
    pub fn judge(&self, told: &Told) -> Said {
        let failure = &told.failure;
        let mut claims = self.claims(told);
        if claims.is_empty() {
            claims.push(claim(Cause::Unknown, Confidence::None, None));
        }
        // An error of the last millisecond before the write explains what nothing else does.
        let just_before = failure.wb_error_ns.is_some_and(|ns| {
            let begin = failure.ts_ns - failure.duration_ns;
            failure.duration_ns > 0 && ns < begin && ns.saturating_add(1_000_000) >= begin
        });
        if failure.phase == Phase::Pre
            && just_before
            && !tried(told)
            && self.start.facts.writeback_error_fires != Some(false)
            && claims.iter().all(|c| c.cause == Cause::Unknown)
        {
            claims = vec![claim(Cause::WritebackError, Confidence::Window, None)];
        }
        let lost: Vec<Vec<Text>> = claims.iter().map(|c| self.lost(told, c)).collect();
        for (claim, lost) in claims.iter_mut().zip(&lost) {
            if !lost.is_empty() && !claim.party_unseen {
                claim.confidence = claim.confidence.max(Confidence::Window);
            }
        }
        // The surest speaks, what was seen to be refused before what was found, what was there all the time before what came back, what is known before
        // what is not; the first of equals.
        let rank = |c: &Claim| {
            let unknown = c.cause == Cause::Unknown;
            (c.confidence, !c.refused, c.came_back, unknown)
        };
        let speaks = (0..claims.len())
            .min_by_key(|at| rank(&claims[*at]))
            .unwrap_or(0);
        let first = claims[speaks].clone();
        let mut also: Vec<Cause> = claims.iter().map(|c| c.cause).collect();
        also.sort_unstable();
        also.dedup();
        also.retain(|cause| *cause != first.cause);
        let mut holders: Vec<u64> = claims.iter().filter_map(|c| c.holder).collect();
        holders.sort_unstable();
        holders.dedup();
        let witness = (failure.phase == Phase::Post).then(|| shown_by(told));
        let confidence = match witness {
            Some(Witness::Folio | Witness::WbErr) => first.confidence.max(Confidence::Window),
            _ => first.confidence,
        };
        Said {
            failure: failure.id,
            cause: first.cause,
            confidence,
            party: first.party,
            holders,
            also,
            cached_by: first.cacher.filter(|_| witness.is_some()),
            self_inflicted: first.own.unwrap_or(first.party == Some(failure.tid)),
            witness,
            outcome: told.outcome.outcome,
            withdrawn: self.no_failure(told, witness, &claims),
            evidence_missing: {
                let sure = match first.party_unseen {
                    true => Confidence::None,
                    false => confidence,
                };
                let mut missing = self.missing(failure, sure);
                for hook in &lost[speaks] {
                    if !missing.contains(hook) {
                        missing.push(hook.clone());
                    }
                }
                missing
            },
        }
    }

    /// Up to when the verdict can change; 0: it cannot.
    pub fn until(&self, told: &Told) -> u64 {
        match told.failure.phase {
            Phase::Map => 0,
            Phase::Post if shown_by(told) == Witness::WbErr => told.failure.ts_ns + GRACE_NS,
            // Also where a failed flush explains it.
            _ => {
                let folios = told.refusals.iter().map(|r| self.folio(told, r).until);
                folios.max().unwrap_or(0)
            }
        }
    }

    fn claims(&self, told: &Told) -> Vec<Claim> {
        if told.failure.phase == Phase::Map {
            return vec![reappeared(told)];
        }
        if let Some(flush) = self.flush_failed(told) {
            return vec![flush];
        }
        let folios = told.refusals.iter().map(|r| self.folio(told, r));
        let mut launder = claim(Cause::Launder, Confidence::Exact, None);
        launder.refused = true;
        let laundered = told.failure.errno.is_some_and(|e| e < 0 && e != -16);
        folios.chain(laundered.then_some(launder)).collect()
    }

    /// The write-back before the write failed, so that nothing was invalidated.
    fn flush_failed(&self, told: &Told) -> Option<Claim> {
        let fires = self.start.facts.writeback_error_fires != Some(false);
        if told.failure.phase != Phase::Pre || !fires || tried(told) {
            return None;
        }
        let seen = flagged(told, "eio-before") || real_error(told);
        let again = told.dirtied.iter().any(|t| during(&told.failure, t.ts_ns));
        let own = flagged(told, "return-unseen") && told.failure.errno.is_none_or(|e| e >= 0);
        let sure = match seen {
            false => return None,
            true if !again && own => Confidence::Exact,
            true => Confidence::Window,
        };
        Some(claim(Cause::WritebackError, sure, None))
    }

    /// Nothing shows that a post failure took place.
    fn no_failure(&self, told: &Told, witness: Option<Witness>, claims: &[Claim]) -> bool {
        match witness {
            None | Some(Witness::Both | Witness::Result | Witness::Warned) => false,
            Some(Witness::Folio) => !claims.iter().any(|c| c.shows),
            Some(Witness::WbErr) => {
                let wrote = |other: &&Told| {
                    other.failure.phase == Phase::Post
                        && inode(&other.failure) == inode(&told.failure)
                        && shown_by(other) != Witness::WbErr
                        && changed(&other.failure)
                        && !real_error(other)
                        && seen_less(other.failure.wb_err_now) == seen_less(told.failure.wb_err_now)
                        && other.failure.ts_ns.abs_diff(told.failure.ts_ns) <= GRACE_NS
                };
                real_error(told) || !changed(&told.failure) || self.others.iter().any(wrote)
            }
        }
    }

    /// Skipped hooks that could have made this verdict surer.
    fn missing(&self, failure: &Failure, confidence: Confidence) -> Vec<Text> {
        let of_use = |hook: &HookReport| match hook.hook.as_str() {
            _ if hook.state == HookState::Attached || confidence == Confidence::Exact => false,
            "ordered" | "extent-lock" => failure.fs == "btrfs",
            "stale-warn" => failure.phase == Phase::Post,
            _ => true,
        };
        let hooks = self.start.hooks.iter().filter(|hook| of_use(hook));
        hooks.map(|hook| hook.hook.as_str().into()).collect()
    }

    /// One folio: the first of these that is true.
    pub fn folio(&self, told: &Told, refusal: &Refusal) -> Claim {
        match refusal.entered_ns {
            Some(entered) => self.refused(told, refusal, entered),
            None => self.found(told, refusal),
        }
    }

    /// A folio that was there afterwards.
    fn found(&self, told: &Told, refusal: &Refusal) -> Claim {
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
        let other = told.refusals.iter().any(|r| r.entered_ns.is_some());
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
                    && pos < folio.1.min(end_of(holder))
                    && folio.0.max(u128::from(holder.pos)) < end
                    && pos < end_of(holder)
                    && times.is_some_and(|(tried, up)| tried <= up && write.0 < up && up < until)
            });
            let certain = whole && !waited;
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

    /// Who looks holds no lock meanwhile, but for a read's that another task gives up.
    pub fn can_refuse(&self, failure: &Failure, holder: &Holder) -> bool {
        let ordered_blocks = self.start.facts.ordered_blocks_release != Some(false);
        let harmless = holder.kind == HolderKind::OrderedIo && !ordered_blocks;
        let by_writer = holder.tid == failure.tid && failure.completed_by.is_none();
        !(harmless || by_writer && holder.unlocked_by.is_none())
    }

    /// The cause that a holder is, and whether it works for the write.
    pub fn named(&self, failure: &Failure, holder: &Holder) -> (Cause, Option<bool>) {
        if holder.kind == HolderKind::ExtentLock {
            return (Cause::ExtentLock, None);
        }
        let made = holder.created_by == Some(failure.tid);
        let then = holder.created_ns.is_some_and(|ns| during(failure, ns));
        (Cause::OrderedIo, Some(made && then))
    }
}

fn end_of(holder: &Holder) -> u128 {
    u128::from(holder.pos) + u128::from(holder.len)
}

pub(super) fn during(failure: &Failure, ts_ns: u64) -> bool {
    failure.duration_ns > 0
        && (failure.ts_ns - failure.duration_ns..=failure.ts_ns).contains(&ts_ns)
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

/// Whoever cached a folio during the write, and if nobody did, whoever dirtied one; the last.
fn reappeared(told: &Told) -> Claim {
    let inside = |touched: &[Touched]| {
        let mut inside: Vec<Touched> = touched.to_vec();
        inside.retain(|t| during(&told.failure, t.ts_ns));
        inside.sort_by_key(|t| t.ts_ns);
        inside
    };
    let mut touched = inside(&told.cached);
    if touched.is_empty() {
        touched = inside(&told.dirtied);
    }
    let party = touched.last().map(|t| t.tid);
    let sure = party.is_some() && touched.iter().all(|t| Some(t.tid) == party);
    let confidence = [Confidence::Window, Confidence::Exact][usize::from(sure)];
    claim(Cause::Reappeared, confidence, party)
}

pub(super) fn inode(failure: &Failure) -> (Dev, Option<u64>, u64) {
    (failure.dev, failure.root, failure.ino)
}

/// An `errseq_t` without its `SEEN` flag.
const fn seen_less(wb_err: u32) -> u32 {
    wb_err & !0x1000
}

fn changed(failure: &Failure) -> bool {
    seen_less(failure.wb_err_begin) != seen_less(failure.wb_err_now)
}

/// A real write-back error during the write.
fn real_error(told: &Told) -> bool {
    let error = told.failure.wb_error_ns;
    error.is_some_and(|ns| during(&told.failure, ns))
}

fn flagged(told: &Told, flag: &str) -> bool {
    told.failure.flags.iter().any(|f| f == flag)
}

/// An invalidation took place.
fn tried(told: &Told) -> bool {
    let refused = told.refusals.iter().any(|r| r.entered_ns.is_some());
    refused || told.failure.errno.is_some_and(|errno| errno < 0)
}

/// What shows a post failure.
fn shown_by(told: &Told) -> Witness {
    if told.failure.errno.is_some_and(|errno| errno < 0) {
        Witness::Result
    } else if flagged(told, "return-unseen") {
        Witness::Warned
    } else if told.refusals.is_empty() {
        Witness::WbErr
    } else if changed(&told.failure) && !real_error(told) {
        Witness::Both
    } else {
        Witness::Folio
    }
}
