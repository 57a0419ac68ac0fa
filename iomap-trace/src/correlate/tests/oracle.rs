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
    pub holders: Vec<u64>,
    pub also: Vec<Cause>,
    pub self_inflicted: bool,
    pub witness: Option<Witness>,
    pub outcome: OutcomeKind,
    pub withdrawn: bool,
    pub evidence_missing: Vec<String>,
}

impl From<&Judged> for Said {
    fn from(judged: &Judged) -> Self {
        let verdict = judged.verdict.clone();
        Self {
            failure: verdict.failure,
            cause: verdict.cause,
            confidence: verdict.confidence,
            party: verdict.party.map(|party| party.tid),
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
struct Claim {
    cause: Cause,
    confidence: Confidence,
    party: Option<u32>,
    holder: Option<u64>,
    /// The folio came back during the write.
    came_back: bool,
    /// It shows that a folio was refused, whatever `wb_err` says.
    shows: bool,
}

const fn claim(cause: Cause, confidence: Confidence, party: Option<u32>) -> Claim {
    Claim {
        cause,
        confidence,
        party,
        holder: None,
        came_back: false,
        shows: !matches!(cause, Cause::Unknown),
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
}

impl Known<'_> {
    /// The verdict.
    pub fn judge(&self, told: &Told) -> Said {
        let failure = &told.failure;
        let mut claims = match failure.phase {
            Phase::Map => vec![reappeared(told)],
            Phase::Pre if self.write_back_failed(told) => {
                let again = told.dirtied.iter().any(|t| during(failure, t.ts_ns));
                let sure = [Confidence::Exact, Confidence::Window][usize::from(again)];
                vec![claim(Cause::WritebackError, sure, None)]
            }
            _ => told.refusals.iter().map(|r| self.folio(told, r)).collect(),
        };
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
            && self.start.facts.writeback_error_fires != Some(false)
            && claims.iter().all(|c| c.cause == Cause::Unknown)
        {
            claims = vec![claim(Cause::WritebackError, Confidence::Window, None)];
        }
        // The surest speaks, what was there all the time before what came back, what is known before
        // what is not; the first of equals.
        let rank = |c: &Claim| (c.confidence, c.came_back, c.cause == Cause::Unknown);
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
            self_inflicted: first.party == Some(failure.tid),
            witness,
            outcome: told.outcome.outcome,
            withdrawn: self.no_failure(told, witness, &claims),
            evidence_missing: self.missing(failure, confidence),
        }
    }

    /// The write-back before the write failed, so that nothing was invalidated.
    fn write_back_failed(&self, told: &Told) -> bool {
        let fires = self.start.facts.writeback_error_fires != Some(false);
        let before = told.failure.flags.iter().any(|flag| flag == "eio-before");
        fires && (before || real_error(told))
    }

    /// Nothing shows that a post failure took place.
    fn no_failure(&self, told: &Told, witness: Option<Witness>, claims: &[Claim]) -> bool {
        match witness {
            None | Some(Witness::Both) => false,
            Some(Witness::Folio) => !claims.iter().any(|c| c.shows),
            Some(Witness::WbErr) => {
                let wrote = |other: &&Told| {
                    other.failure.phase == Phase::Post
                        && inode(&other.failure) == inode(&told.failure)
                        && shown_by(other) == Witness::Both
                        && seen_less(other.failure.wb_err_now) == seen_less(told.failure.wb_err_now)
                        && other.failure.ts_ns.abs_diff(told.failure.ts_ns) <= GRACE_NS
                };
                real_error(told) || !changed(&told.failure) || self.others.iter().any(wrote)
            }
        }
    }

    /// Skipped hooks that could have made this verdict surer.
    fn missing(&self, failure: &Failure, confidence: Confidence) -> Vec<String> {
        let of_use = |hook: &HookReport| match hook.hook.as_str() {
            _ if hook.state == HookState::Attached || confidence == Confidence::Exact => false,
            "ordered" | "extent-lock" => failure.fs == "btrfs",
            "stale-warn" => failure.phase == Phase::Post,
            _ => true,
        };
        let hooks = self.start.hooks.iter().filter(|hook| of_use(hook));
        hooks.map(|hook| hook.hook.clone()).collect()
    }

    /// One folio: the first of these that is true.
    fn folio(&self, told: &Told, refusal: &Refusal) -> Claim {
        use Cause::*;
        use Confidence::{Exact, Window};
        let failure = &told.failure;
        let flag = |name: &str| refusal.folio_flags.iter().any(|flag| flag == name);
        let of = |touched: &&Touched| touched.index == refusal.index;
        let cached = told.cached.iter().find(of).map(|t| t.ts_ns);
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
        let doubt = if pre { came_back } else { late } || dirty && clean_then;
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
                dirty && when == When::Before && pre,
                claim(WritebackError, Window, None),
            ),
            (
                dirty && when == When::Before && !pre,
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
        let mut found = named
            .map(|(_, claim)| claim)
            .or_else(|| self.lock(failure, refusal, cached.unwrap_or(0)))
            .or(again)
            .unwrap_or(claim(Unknown, Confidence::None, None));
        if doubt {
            found.confidence = found.confidence.max(Window);
        }
        found.came_back = came_back;
        found.shows &= !late;
        found
    }

    /// Who held the folio's range last, since it was `cached`; of those that held it to the end the
    /// older record. A completed write was looked at shortly before the failure was seen.
    fn lock(&self, failure: &Failure, refusal: &Refusal, cached: u64) -> Option<Claim> {
        if failure.fs != "btrfs" {
            return None;
        }
        let ordered_blocks = self.start.facts.ordered_blocks_release != Some(false);
        let page = u128::from(self.start.page_size);
        let first = u128::from(refusal.index) * page;
        let folio = (first, first + u128::from(refusal.pages) * page);
        let write = (failure.ts_ns - failure.duration_ns, failure.ts_ns);
        let from = match failure.phase {
            Phase::Post => write.0.max(failure.ts_ns - 20_000).max(cached),
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
            let harmless = holder.kind == HolderKind::OrderedIo && !ordered_blocks;
            // Who looks holds no lock meanwhile.
            let own = holder.tid == failure.tid && failure.completed_by.is_none();
            let apart = unlocked < from || write.1 < locked || unlocked < locked;
            if shared == 0 || other_inode || harmless || own || apart {
                continue;
            }
            let cause = match holder.kind {
                HolderKind::OrderedIo => Cause::OrderedIo,
                HolderKind::ExtentLock => Cause::ExtentLock,
            };
            let whole = failure.duration_ns > 0 && locked <= write.0 && write.1 <= unlocked;
            let sure = [Confidence::Window, Confidence::Exact][usize::from(whole)];
            let last = unlocked.min(write.1);
            let mut found = claim(cause, sure, Some(holder.tid));
            found.holder = Some(holder.id);
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

fn during(failure: &Failure, ts_ns: u64) -> bool {
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
    let last = |touched: &[Touched]| {
        let mut inside: Vec<&Touched> = touched
            .iter()
            .filter(|t| during(&told.failure, t.ts_ns))
            .collect();
        inside.sort_by_key(|t| t.ts_ns);
        inside.last().map(|t| t.tid)
    };
    let party = last(&told.cached).or_else(|| last(&told.dirtied));
    let sure = [Confidence::Window, Confidence::Exact][usize::from(party.is_some())];
    claim(Cause::Reappeared, sure, party)
}

fn inode(failure: &Failure) -> (Dev, Option<u64>, u64) {
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

/// What shows a post failure.
fn shown_by(told: &Told) -> Witness {
    if told.refusals.is_empty() {
        Witness::WbErr
    } else if changed(&told.failure) && !real_error(told) {
        Witness::Both
    } else {
        Witness::Folio
    }
}
