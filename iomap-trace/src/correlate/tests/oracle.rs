//! The verdicts said again, from the definitions: all records at once, by brute force, and with no
//! regard to cost.

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
        // An error of the last 20 ms before the write explains what nothing else does.
        let just_before = failure.wb_error_ns.is_some_and(|ns| {
            let begin = failure.ts_ns - failure.duration_ns;
            failure.duration_ns > 0 && ns < begin && ns.saturating_add(20_000_000) >= begin
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

pub(super) fn during(failure: &Failure, ts_ns: u64) -> bool {
    failure.duration_ns > 0
        && (failure.ts_ns - failure.duration_ns..=failure.ts_ns).contains(&ts_ns)
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

pub(super) fn flagged(told: &Told, flag: &str) -> bool {
    told.failure.flags.iter().any(|f| f == flag)
}

/// An invalidation took place.
pub(super) fn tried(told: &Told) -> bool {
    let refused = told.refusals.iter().any(|r| r.entered_ns.is_some());
    refused || told.failure.errno.is_some_and(|errno| errno < 0)
}

/// What shows a post failure.
pub(super) fn shown_by(told: &Told) -> Witness {
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
