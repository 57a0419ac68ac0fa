//! Each culprit with each policy.

use crate::agreement::{judge, truth_of, wrong};
use iomap_trace::correlate::{Cause, Confidence};
use iomap_trace::event::{OutcomeKind, Phase};
use iomap_trace::reference::Policy;
use iomap_trace::reference::model::{Culprit, Degrade, Scenario, Shape};

#[test]
fn the_engine_names_the_culprit() {
    for culprit in Culprit::ALL {
        for policy in Policy::ALL {
            for seed in 0..20 {
                let run = Scenario::directed(culprit, policy, seed).play();
                let judged = judge(run.events(Degrade::default()));
                assert_eq!(judged.len(), run.truths.len());
                assert_eq!(
                    !judged.is_empty(),
                    culprit.fails(policy),
                    "{culprit:?} {policy:?}"
                );
                assert!(run.finished);
                let Some(first) = judged.first() else {
                    continue;
                };
                let (verdict, truth) = (&first.verdict, truth_of(&run, first));
                let what = format!("{culprit:?} {policy:?} {seed}: {verdict:?} {truth:?}");
                assert_eq!(verdict.cause, culprit.cause(), "{what}");
                assert!(
                    truth.reasons.iter().any(|r| r.cause == verdict.cause),
                    "{what}"
                );
                assert_eq!(wrong(verdict, truth), None, "{what}");
                // What several touched, and what the journal may have let go of meanwhile.
                let open = matches!(verdict.cause, Cause::Reappeared | Cause::Buffers);
                let sure = verdict.confidence == Confidence::Exact;
                assert!(sure || open, "{what}");
            }
        }
    }
}

#[test]
fn only_the_writes_own_ordered_extent_is_self_inflicted() {
    for (culprit, own) in [(Culprit::OrderedIo, true), (Culprit::OrderedIoOther, false)] {
        let run = Scenario::directed(culprit, Policy::Enotblk, 1).play();
        let judged = judge(run.events(Degrade::default()));
        assert_eq!(judged[0].verdict.self_inflicted, own);
        assert!(
            run.truths[0]
                .reasons
                .iter()
                .all(|r| r.self_inflicted == own)
        );
    }
}

#[test]
fn policies_make_different_things_of_it() {
    let of = |policy| {
        let run = Scenario::directed(Culprit::OrderedIo, policy, 1).play();
        let truth = &run.truths[0];
        (truth.outcome, truth.ret, truth.stale)
    };
    for policy in [Policy::Generic, Policy::Fallback, Policy::Enotblk] {
        assert_eq!(of(policy), (OutcomeKind::BufferedFallback, 16384, false));
    }
    assert_eq!(of(Policy::Strict), (OutcomeKind::Error, -16, false));
    // The write that goes on leaves old data in the page cache.
    assert_eq!(of(Policy::Warn), (OutcomeKind::StaleCache, 16384, true));
}

#[test]
fn without_results_only_iomap_tells_and_nothing_exact_is_wrong() {
    for culprit in Culprit::ALL {
        for policy in Policy::ALL {
            let scenario = Scenario::directed(culprit, policy, 1).seen(Shape::Tracepoints);
            let run = scenario.play();
            for judged in judge(run.events(Degrade::default())) {
                let truth = truth_of(&run, &judged);
                assert_eq!(wrong(&judged.verdict, truth), None, "{judged:?} {truth:?}");
                assert!(judged.failure.errno.is_none());
                assert!(policy != Policy::Generic || truth.phase != Phase::Pre);
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_records() {
    for seed in 0..50 {
        let play = |_| Scenario::random(seed).play().events(Degrade::default());
        assert_eq!(play(0), play(1));
    }
}
