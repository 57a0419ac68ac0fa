//! Decides the cause of one failure.

use crate::event::{Facts, HookState, Phase, Start, Touched};

use super::case::Case;
use super::folio::{Run, Why, explain, toucher_party};
use super::{Cause, Confidence, Party, Verdict, Witness};

/// What the judge knows of the run.
#[derive(Debug)]
pub struct Judge {
    facts: Facts,
    run: Run,
    skipped: Vec<String>,
}

impl Judge {
    pub fn new(start: &Start) -> Self {
        let skipped = start.hooks.iter().filter(|h| h.state == HookState::Skipped);
        Self {
            facts: start.facts,
            run: Run {
                page_size: start.page_size,
                ordered_blocks: start.facts.ordered_blocks_release != Some(false),
            },
            skipped: skipped.map(|h| h.hook.clone()).collect(),
        }
    }

    /// Bytes of a page.
    pub fn page_size(&self) -> u64 {
        self.run.page_size
    }

    /// Up to which moment something that is not known yet could still change the verdict; 0 when
    /// nothing could.
    pub fn until(&self, case: &Case) -> u64 {
        if case.lonely() {
            return case.graced();
        }
        if case.failure.phase == Phase::Map {
            return 0;
        }
        let whys = self.whys(case);
        whys.iter().map(|why| why.until).max().unwrap_or(0)
    }

    /// Decides.
    pub fn decide(&self, case: &Case) -> Verdict {
        match case.failure.phase {
            Phase::Pre => self.pre(case),
            Phase::Map => self.map(case),
            Phase::Post => self.post(case),
        }
    }

    fn whys(&self, case: &Case) -> Vec<Why> {
        let mut whys: Vec<Why> = case
            .refusals
            .iter()
            .map(|refusal| explain(case, refusal, self.run))
            .collect();
        if case.errno().is_some_and(|errno| errno != -libc::EBUSY) {
            // EBUSY is the one error that the invalidation makes itself: others are the launder's.
            whys.push(Why {
                refused: true,
                ..Why::because(Cause::Launder, "").exact()
            });
        }
        whys
    }

    fn pre(&self, case: &Case) -> Verdict {
        if let Some(why) = self.writeback_error(case) {
            return self.verdict(case, vec![why]);
        }
        let mut whys = self.whys(case);
        let unexplained = whys.iter().all(|why| why.cause == Cause::Unknown);
        let before = case.write_back_failed_before() && !case.tried();
        if unexplained && self.flush_can_fire() && before {
            whys = vec![Why::because(
                Cause::WritebackError,
                "write-back failed just before the write began, and nothing else explains it",
            )];
        }
        self.verdict(case, whys)
    }

    /// A flush that fails before the write looks like a failed invalidation.
    fn flush_can_fire(&self) -> bool {
        self.facts.writeback_error_fires != Some(false)
    }

    /// The flush before the write failed: nothing was invalidated, nobody stood in the way.
    fn writeback_error(&self, case: &Case) -> Option<Why> {
        if !self.flush_can_fire() || case.tried() {
            return None;
        }
        let seen = case.write_back_failed() || case.flagged("eio-before");
        if !seen {
            return None;
        }
        let collided = case.dirtied.iter().any(|t| case.spans(t.ts_ns));
        let why = Why::because(
            Cause::WritebackError,
            "write-back failed, and a folio was dirtied again as well",
        );
        Some(if collided { why } else { why.exact() })
    }

    fn map(&self, case: &Case) -> Verdict {
        let last = |touched: &[Touched]| {
            touched
                .iter()
                .filter(|t| case.spans(t.ts_ns))
                .max_by_key(|t| t.ts_ns)
                .cloned()
        };
        let cached = last(&case.cached).map(|t| toucher_party(&t, "cached"));
        let party = cached.or_else(|| last(&case.dirtied).map(|t| toucher_party(&t, "dirtied")));
        let why = Why::because(
            Cause::Reappeared,
            "nobody was seen to bring the folio back during the write",
        );
        let why = match party {
            Some(_) => Why { party, ..why }.exact(),
            None => why,
        };
        self.verdict(case, vec![why])
    }

    fn post(&self, case: &Case) -> Verdict {
        if case.certain() {
            let mut verdict = self.verdict(case, self.whys(case));
            verdict.witness = Some(match case.errno() {
                Some(_) => Witness::Result,
                None => Witness::Warned,
            });
            return verdict;
        }
        let witness = match (case.refusals.is_empty(), case.changed_wb_err()) {
            (false, true) => Witness::Both,
            (false, false) => Witness::Folio,
            (true, _) => Witness::WbErr,
        };
        let late = |index| {
            case.cached
                .iter()
                .any(|t| t.index == index && case.late(t.ts_ns))
        };
        let whys = self.whys(case);
        // A clean folio that nothing holds is dropped: one that is there came later.
        let shows = |why: &Why| match why.cause {
            Cause::Unknown => false,
            Cause::ExtentLock | Cause::OrderedIo => why.holds,
            _ => true,
        };
        let shown = case
            .refusals
            .iter()
            .zip(&whys)
            .any(|(r, why)| why.refused || !late(r.index) && shows(why));
        let mut verdict = self.verdict(case, whys);
        verdict.witness = Some(witness);
        if witness != Witness::Both && verdict.confidence == Confidence::Exact {
            verdict.confidence = Confidence::Window;
            let reason = if case.write_back_failed() {
                "a failed write-back set wb_err as well"
            } else {
                "wb_err held an unseen EIO and could not change"
            };
            verdict.reason = Some(reason.to_owned());
            verdict.evidence_missing = self.missing(case);
        }
        let withdrawn = match witness {
            Witness::WbErr if case.write_back_failed() => "a failed write-back set wb_err",
            Witness::WbErr if !case.wb_err_changed() => {
                "no folio was left, and wb_err is as it was"
            }
            Witness::Folio if !shown => {
                "clean and not held, or cached after the kernel had looked: nothing shows a refusal"
            }
            _ => return verdict,
        };
        verdict.withdrawn = Some(withdrawn.to_owned());
        verdict
    }

    /// The clearest of the folios' causes speaks for the failure.
    fn verdict(&self, case: &Case, mut whys: Vec<Why>) -> Verdict {
        // The sort is stable: among equals the first folio speaks.
        whys.sort_by_key(|why| {
            let unknown = why.cause == Cause::Unknown;
            (why.confidence, !why.refused, why.came_back, unknown)
        });
        let holders = {
            let mut ids: Vec<u64> = whys.iter().filter_map(|why| why.holder).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let mut also: Vec<Cause> = whys.iter().skip(1).map(|why| why.cause).collect();
        let first = whys
            .into_iter()
            .next()
            .unwrap_or_else(|| nothing_left(case));
        also.sort_unstable();
        also.dedup();
        also.retain(|cause| *cause != first.cause);
        let certain = first.confidence == Confidence::Exact && first.reason.is_none();
        let by_writer = |party: &Party| party.tid == case.failure.tid;
        Verdict {
            failure: case.failure.id,
            cause: first.cause,
            confidence: first.confidence,
            self_inflicted: first
                .own
                .unwrap_or_else(|| first.party.as_ref().is_some_and(by_writer)),
            cached_by: first.cacher.filter(|_| case.failure.phase == Phase::Post),
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
    Why::unknown(if case.return_unseen() {
        "the return of the invalidation was not seen, so neither its result nor its folios are known"
    } else if case.flagged("walk") {
        "the page cache could not be walked"
    } else if case.flagged("walk-cut") {
        "the walk of the page cache ended before a folio was found"
    } else {
        "no folio of the range was left when it was looked at"
    })
}
