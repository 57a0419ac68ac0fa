//! Decides the cause of one failure.

use smallvec::{SmallVec, smallvec};

use crate::event::{Facts, HookState, Phase, Start, Text, Touched};

use super::case::Case;
use super::evidence::Evidence;
use super::folio::{Look, Run, explain};
use super::why::{Who, Why};
use super::{Cause, Confidence, Verdict, Witness};

/// What the judge knows of the run.
#[derive(Debug)]
pub struct Judge {
    facts: Facts,
    run: Run,
    skipped: Vec<Text>,
}

/// The folios' causes: few.
type Whys<'a> = SmallVec<[Why<'a>; 2]>;

impl Judge {
    pub fn new(start: &Start) -> Self {
        let skipped = start.hooks.iter().filter(|h| h.state == HookState::Skipped);
        Self {
            facts: start.facts,
            run: Run {
                page_size: start.page_size,
                ordered_blocks: start.facts.ordered_blocks_release != Some(false),
            },
            skipped: skipped.map(|h| h.hook.as_str().into()).collect(),
        }
    }

    /// What folios are explained with.
    pub fn run(&self) -> Run {
        self.run
    }

    /// Decides a case, if nothing later can change it or nothing later comes; and up to which moment
    /// something could.
    pub fn decide(&self, look: Look, evidence: Evidence) -> (Option<Verdict>, u64) {
        let whys = self.whys(look);
        let until = match look.case.failure.phase {
            Phase::Map => 0,
            _ if look.case.lonely() => look.case.graced(),
            _ => whys.iter().map(|why| why.until).max().unwrap_or(0),
        };
        if !look.ended && until.max(look.case.seen()) > look.complete_ns {
            return (None, until);
        }
        let weighing = Weighing {
            judge: self,
            case: look.case,
            evidence,
            until,
        };
        let verdict = match look.case.failure.phase {
            Phase::Pre => weighing.pre(whys),
            Phase::Map => weighing.map(),
            Phase::Post => weighing.post(whys),
        };
        (Some(verdict), until)
    }

    fn whys<'a>(&self, look: Look<'a>) -> Whys<'a> {
        let refusals = look.case.records.refusals.iter().enumerate();
        if look.case.failure.phase == Phase::Map {
            return Whys::new();
        }
        let mut whys = Whys::new();
        whys.extend(refusals.map(|(number, refusal)| explain(look, number, refusal)));
        if look.case.errno().is_some_and(|errno| errno != -libc::EBUSY) {
            // EBUSY is the one error that the invalidation makes itself: others are the launder's.
            whys.push(Why {
                refused: true,
                ..Why::because(Cause::Launder, "").exact()
            });
        }
        whys
    }
}

/// A case that is decided.
#[derive(Clone, Copy, Debug)]
struct Weighing<'a> {
    judge: &'a Judge,
    case: &'a Case,
    evidence: Evidence<'a>,
    /// Up to when its locks were waited for.
    until: u64,
}

impl<'a> Weighing<'a> {
    fn pre(self, mut whys: Whys<'a>) -> Verdict {
        let case = self.case;
        if let Some(why) = self.writeback_error() {
            return self.verdict(smallvec![why]);
        }
        let unexplained = whys.iter().all(|why| why.cause == Cause::Unknown);
        let before = case.write_back_failed_before() && !case.tried();
        if unexplained && self.flush_can_fire() && before {
            whys = smallvec![Why::because(
                Cause::WritebackError,
                "write-back failed just before the write began, and nothing else explains it",
            )];
        }
        self.verdict(whys)
    }

    /// A flush that fails before the write looks like a failed invalidation.
    fn flush_can_fire(self) -> bool {
        self.judge.facts.writeback_error_fires != Some(false)
    }

    /// The flush before the write failed: nothing was invalidated, nobody stood in the way.
    fn writeback_error(self) -> Option<Why<'a>> {
        let case = self.case;
        if !self.flush_can_fire() || case.tried() {
            return None;
        }
        let seen = case.write_back_failed() || case.flagged("eio-before");
        if !seen {
            return None;
        }
        let collided = case.records.dirtied.iter().any(|t| case.spans(t.ts_ns));
        let why = |reason| Why::because(Cause::WritebackError, reason);
        Some(if collided {
            why("write-back failed, and a folio was dirtied again as well")
        } else if case.return_unseen() {
            why("").exact()
        } else {
            // An error from before can be fetched by somebody's fsync meanwhile.
            why("write-back failed: the write's own flush, or another one before or after it")
        })
    }

    fn map(self) -> Verdict {
        let case = self.case;
        // Whoever touched one last, and whether nobody else touched another.
        let last = |touched: &'a [Touched]| {
            let during = || touched.iter().filter(|t| case.spans(t.ts_ns));
            let last = during().max_by_key(|t| t.ts_ns)?;
            Some((last, during().all(|t| t.tid == last.tid)))
        };
        let cached = last(&case.records.cached).map(|(t, alone)| (Who::Cached(t), alone));
        let party = cached.or_else(|| {
            let dirtied = last(&case.records.dirtied);
            dirtied.map(|(t, alone)| (Who::Dirtied(t), alone))
        });
        let why = |reason| Why::because(Cause::Reappeared, reason);
        self.verdict(smallvec![match party {
            Some((party, true)) => why("").by(party).exact(),
            Some((party, false)) => {
                // The look comes at the end of the write.
                why("several brought folios of the range back: one of them was met").by(party)
            }
            None => why("nobody was seen to bring the folio back during the write"),
        }])
    }

    fn post(self, whys: Whys<'a>) -> Verdict {
        let case = self.case;
        if case.certain() {
            let mut verdict = self.verdict(whys);
            verdict.witness = Some(match case.errno() {
                Some(_) => Witness::Result,
                None => Witness::Warned,
            });
            return verdict;
        }
        let witness = match (case.records.refusals.is_empty(), case.changed_wb_err()) {
            (false, true) => Witness::Both,
            (false, false) => Witness::Folio,
            (true, _) => Witness::WbErr,
        };
        let late = |index| {
            case.records
                .cached
                .iter()
                .any(|t| t.index == index && case.late(t.ts_ns))
        };
        // A clean folio that nothing holds is dropped: one that is there came later.
        let shows = |why: &Why| match why.cause {
            Cause::Unknown => false,
            Cause::ExtentLock | Cause::OrderedIo => why.holds,
            _ => true,
        };
        let shown = case
            .records
            .refusals
            .iter()
            .zip(&whys)
            .any(|(r, why)| why.refused || !late(r.index) && shows(why));
        let mut verdict = self.verdict(whys);
        verdict.witness = Some(witness);
        if witness != Witness::Both && verdict.confidence == Confidence::Exact {
            verdict.confidence = Confidence::Window;
            let reason = if case.write_back_failed() {
                "a failed write-back set wb_err as well"
            } else {
                "wb_err held an unseen EIO and could not change"
            };
            verdict.reason = Some(Text::const_new(reason));
            // What was lost had no part in an exact verdict, or it is named already.
            let named = std::mem::replace(&mut verdict.evidence_missing, self.missing());
            for hook in named {
                if !verdict.evidence_missing.contains(&hook) {
                    verdict.evidence_missing.push(hook);
                }
            }
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
        verdict.withdrawn = Some(Text::const_new(withdrawn));
        verdict
    }

    /// The clearest of the folios' causes speaks for the failure.
    fn verdict(self, mut whys: Whys<'a>) -> Verdict {
        let case = self.case;
        if whys.is_empty() {
            whys.push(nothing_left(case));
        }
        for why in &mut whys {
            self.evidence.doubt(case, why, self.until);
        }
        // Among equals the first folio speaks.
        let clearness = |why: &&Why| {
            let unknown = why.cause == Cause::Unknown;
            (why.confidence, !why.refused, why.came_back, unknown)
        };
        let Some(first) = whys.iter().min_by_key(clearness) else {
            unreachable!("there is always one")
        };
        let mut holders: Vec<u64> = Vec::new();
        let mut also: Vec<Cause> = Vec::new();
        for why in &whys {
            holders.extend(why.held().map(|held| held.id));
            if why.cause != first.cause {
                also.push(why.cause);
            }
        }
        holders.sort_unstable();
        holders.dedup();
        also.sort_unstable();
        also.dedup();
        let certain = first.confidence == Confidence::Exact && first.reason.is_none();
        let mut evidence_missing = if certain { Vec::new() } else { self.missing() };
        self.evidence.name(first.lost, &mut evidence_missing);
        let reason = self.evidence.reason(case, first);
        Verdict {
            failure: case.failure.id,
            cause: first.cause,
            confidence: first.confidence,
            self_inflicted: first
                .own
                .unwrap_or_else(|| first.party.is_some_and(|who| who.tid() == case.failure.tid)),
            cached_by: first
                .cacher
                .filter(|_| case.failure.phase == Phase::Post)
                .map(|toucher| Who::Cached(toucher).party()),
            party: first.party.map(Who::party),
            holders,
            also,
            witness: None,
            outcome: case.outcome_kind(),
            withdrawn: None,
            reason,
            evidence_missing,
        }
    }

    /// Hooks that could have said more about this failure, had they a probe.
    fn missing(self) -> Vec<Text> {
        let case = self.case;
        let btrfs = case.failure.fs == "btrfs";
        let matters = |hook: &str| match hook {
            "ordered" | "extent-lock" => btrfs,
            "stale-warn" => case.failure.phase == Phase::Post,
            _ => true,
        };
        let skipped = self.judge.skipped.iter();
        skipped.filter(|hook| matters(hook)).cloned().collect()
    }
}

fn nothing_left<'a>(case: &Case) -> Why<'a> {
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
