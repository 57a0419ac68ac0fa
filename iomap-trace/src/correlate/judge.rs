//! Decides the cause of one failure.

use crate::event::{Facts, Holder, Phase, Start};

use super::case::Case;
use super::folio::{Why, explain, toucher_party};
use super::{Cause, Confidence, Verdict, Witness};

/// A folio cached so shortly before the end of a write may have come after the kernel had looked:
/// the time from `invalidate_inode_pages2_range()` to the probe, with a wide margin.
const AFTER_THE_LOOK_NS: u64 = 20_000;

/// What the judge knows of the run.
#[derive(Debug)]
pub struct Judge {
    facts: Facts,
    page_size: u64,
    skipped: Vec<String>,
}

impl Judge {
    pub fn new(start: &Start) -> Self {
        let skipped = start
            .hooks
            .iter()
            .filter(|h| h.state == crate::event::HookState::Skipped);
        Self {
            facts: start.facts,
            page_size: start.page_size,
            skipped: skipped.map(|h| h.hook.clone()).collect(),
        }
    }

    /// Whether a holder that is not known yet could still change the verdict.
    pub fn wants_holders(&self, case: &Case, holders: &[&Holder]) -> bool {
        case.failure.fs == "btrfs"
            && case.failure.phase != Phase::Map
            && self.whys(case, holders).iter().any(|why| {
                matches!(
                    why.cause,
                    Cause::Unknown | Cause::ExtentLock | Cause::OrderedIo
                ) && why.confidence != Confidence::Exact
            })
    }

    /// Decides. `holders` are those of the inode.
    pub fn decide(&self, case: &Case, holders: &[&Holder]) -> Verdict {
        match case.failure.phase {
            Phase::Pre => self.pre(case, holders),
            Phase::Map => self.map(case),
            Phase::Post => self.post(case, holders),
        }
    }

    fn whys(&self, case: &Case, holders: &[&Holder]) -> Vec<Why> {
        let ordered_blocks = self.facts.ordered_blocks_release != Some(false);
        case.refusals
            .iter()
            .map(|refusal| explain(case, refusal, holders, self.page_size, ordered_blocks))
            .collect()
    }

    fn pre(&self, case: &Case, holders: &[&Holder]) -> Verdict {
        if let Some(why) = self.writeback_error(case) {
            return self.verdict(case, vec![why]);
        }
        self.verdict(case, self.whys(case, holders))
    }

    /// The flush before the write failed: nothing was invalidated, nobody stood in the way.
    fn writeback_error(&self, case: &Case) -> Option<Why> {
        if self.facts.writeback_error_fires == Some(false) {
            return None;
        }
        let during = case.failure.wb_error_ns.is_some_and(|ts| case.spans(ts));
        if !during && !case.flagged("eio-before") {
            return None;
        }
        let collided = case.dirtied.iter().any(|t| case.spans(t.ts_ns));
        Some(Why {
            cause: Cause::WritebackError,
            confidence: if collided {
                Confidence::Window
            } else {
                Confidence::Exact
            },
            party: None,
            holder: None,
            reason: collided
                .then(|| "write-back failed, and a folio was dirtied again as well".to_owned()),
        })
    }

    fn map(&self, case: &Case) -> Verdict {
        let last = |touched: &[crate::event::Touched]| {
            touched
                .iter()
                .filter(|t| case.spans(t.ts_ns))
                .max_by_key(|t| t.ts_ns)
                .cloned()
        };
        let cached = last(&case.cached).map(|t| toucher_party(&t, "cached"));
        let party = cached.or_else(|| last(&case.dirtied).map(|t| toucher_party(&t, "dirtied")));
        let found = party.is_some();
        self.verdict(
            case,
            vec![Why {
                cause: Cause::Reappeared,
                confidence: if found {
                    Confidence::Exact
                } else {
                    Confidence::Window
                },
                party,
                holder: None,
                reason: (!found)
                    .then(|| "nobody was seen to bring the folio back during the write".to_owned()),
            }],
        )
    }

    fn post(&self, case: &Case, holders: &[&Holder]) -> Verdict {
        let write_back_failed = case.failure.wb_error_ns.is_some_and(|ts| case.spans(ts));
        let changed = case.wb_err_changed() && !write_back_failed;
        let late = |index: u64| {
            let limit = case.failure.ts_ns.saturating_sub(AFTER_THE_LOOK_NS);
            case.cached
                .iter()
                .any(|t| t.index == index && t.ts_ns > limit)
        };
        let witness = match (case.refusals.is_empty(), changed) {
            (false, true) => Witness::Both,
            (false, false) => Witness::Folio,
            (true, _) => Witness::WbErr,
        };
        let mut whys = self.whys(case, holders);
        if case.refusals.is_empty() {
            whys.push(Why::unknown(
                "no folio of the range was left when it was looked at",
            ));
        }
        let mut verdict = self.verdict(case, whys);
        verdict.witness = Some(witness);
        if witness != Witness::Both && verdict.confidence == Confidence::Exact {
            verdict.confidence = Confidence::Window;
            verdict.reason =
                Some("wb_err held an unseen EIO and could not change".to_owned());
        }
        let unexplained = verdict.cause == Cause::Unknown;
        verdict.withdrawn = match witness {
            Witness::WbErr if write_back_failed => {
                Some("a failed write-back set wb_err".to_owned())
            }
            Witness::Folio if case.refusals.iter().all(|r| late(r.index)) => {
                Some("cached again after the kernel had looked".to_owned())
            }
            // A clean folio that nothing holds is dropped, so it came later, if not much later.
            Witness::Folio if unexplained => {
                Some("clean and not held: nothing shows that it was refused".to_owned())
            }
            _ => None,
        };
        verdict
    }

    /// The clearest of the folios' causes speaks for the failure.
    fn verdict(&self, case: &Case, mut whys: Vec<Why>) -> Verdict {
        // The sort is stable: among equals the first folio speaks.
        whys.sort_by_key(|why| (why.confidence, why.cause == Cause::Unknown));
        let holders = {
            let mut ids: Vec<u64> = whys.iter().filter_map(|why| why.holder).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let mut also: Vec<Cause> = whys.iter().skip(1).map(|why| why.cause).collect();
        let first = if whys.is_empty() {
            nothing_left(case)
        } else {
            whys.swap_remove(0)
        };
        also.sort_unstable();
        also.dedup();
        also.retain(|cause| *cause != first.cause);
        let certain = first.confidence == Confidence::Exact;
        Verdict {
            failure: case.failure.id,
            cause: first.cause,
            confidence: first.confidence,
            self_inflicted: first
                .party
                .as_ref()
                .is_some_and(|party| party.tid == case.failure.tid),
            party: first.party,
            holders,
            also,
            witness: None,
            outcome: case.outcome_kind(),
            withdrawn: None,
            reason: first.reason,
            evidence_missing: if certain {
                Vec::new()
            } else {
                self.missing(case)
            },
        }
    }

    /// Hooks that could have said more about this failure, had they a probe.
    fn missing(&self, case: &Case) -> Vec<String> {
        let btrfs = case.failure.fs == "btrfs";
        let matters = |hook: &str| match hook {
            "ordered" | "extent-lock" => btrfs,
            "stale-warn" => case.failure.phase == Phase::Post,
            _ => true,
        };
        self.skipped
            .iter()
            .filter(|hook| matters(hook))
            .cloned()
            .collect()
    }
}

fn nothing_left(case: &Case) -> Why {
    Why::unknown(if case.flagged("walk") {
        "the page cache could not be walked"
    } else if case.flagged("walk-cut") {
        "the walk of the page cache ended before a folio was found"
    } else {
        "no folio of the range was left when it was looked at"
    })
}
