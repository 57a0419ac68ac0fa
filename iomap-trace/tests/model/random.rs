//! Any interleaving, whatever befalls its records: `PROPTEST_CASES` says how many.

use crate::agreement::{judge, truth_of, wrong};
use iomap_trace::correlate::{Cause, Confidence, Judged};
use iomap_trace::reference::model::{Degrade, Kernel, Reason, Scenario, Shape, Truth};
use proptest::prelude::*;
use proptest::sample::select;

prop_compose! {
    fn degrade()(
        disorder_ns in select(vec![0, 0, 1_000, 50_000, 5_000_000, 400_000_000]),
        duplicate in select(vec![0, 0, 3]),
        lose in select(vec![0, 0, 0, 2, 3, 20]),
        grain_ns in select(vec![1, 1, 16, 40]),
        marks_ns in select(vec![0, 1_000_000]),
        no_begin in select(vec![0, 0, 2]),
        empty_holders in any::<bool>(),
    ) -> Degrade {
        Degrade { disorder_ns, duplicate, lose, grain_ns, marks_ns, no_begin, empty_holders }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn exact_is_what_happened(seed: u64, degrade in degrade()) {
        let run = Scenario::random(seed).play();
        for judged in judge(run.events(degrade)) {
            let truth = truth_of(&run, &judged);
            let wrong = wrong(&judged.verdict, truth);
            prop_assert_eq!(wrong, None, "{:?} is not {:?}", judged.verdict, truth);
        }
    }

    #[test]
    fn nobody_waits_for_ever(seed: u64) {
        prop_assert!(Scenario::random(seed).play().finished);
    }

    /// Where results and refusals are seen, something is found, and what is certain is right.
    #[test]
    fn a_cause_is_found(seed: u64) {
        for (judged, truth) in decidable(seed) {
            let found = truth.reasons.iter().any(|r| r.cause == judged.verdict.cause);
            let doubtful = judged.verdict.confidence == Confidence::Window;
            prop_assert!(found || doubtful, "{:?}: {:?}", judged.verdict, truth);
        }
    }
}

/// Failures whose cause the records can tell: not a folio that only the last check refused, which
/// kernels before 6.14 show only to a walk; not a part of an ordered extent that was locked and
/// given back while its completion waited, of which there is no record; and not buffer heads that
/// were let go of between the test and the probe behind it.
fn decidable(seed: u64) -> Vec<(Judged, Truth)> {
    let scenario = Scenario::random(seed).seen(Shape::Returns);
    let run = scenario.play();
    let judged = judge(run.events(Degrade::default())).into_iter();
    judged
        .map(|judged| {
            let truth = truth_of(&run, &judged).clone();
            (judged, truth)
        })
        .filter(|(judged, truth)| {
            let lock = |cause| matches!(cause, Cause::OrderedIo | Cause::ExtentLock);
            let heads = |cause| matches!(cause, Cause::Buffers | Cause::Journal);
            let unknown = judged.verdict.cause == Cause::Unknown;
            // Its other parts may be on record.
            let front = |r: &Reason| r.holders.is_empty() || unknown && r.cause == Cause::OrderedIo;
            let mut reasons = truth.reasons.iter();
            reasons.all(|r| !(lock(r.cause) && front(r) || heads(r.cause) && unknown))
                && (truth.kernel >= Kernel::V6_18 || judged.failure.fs == "btrfs")
        })
        .collect()
}

#[test]
fn nearly_every_cause_is_found() {
    let all: Vec<_> = (0..3_000).flat_map(decidable).collect();
    let found = |(judged, truth): &&(Judged, Truth)| {
        truth
            .reasons
            .iter()
            .any(|r| r.cause == judged.verdict.cause)
    };
    let found = all.iter().filter(found).count();
    assert!(all.len() > 500, "{}", all.len());
    assert!(found * 100 >= all.len() * 98, "{found} of {}", all.len());
}
