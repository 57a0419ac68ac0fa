//! Any interleaving, whatever befalls its records: `PROPTEST_CASES` says how many.

use crate::agreement::{judge, truth_of, wrong};
use iomap_trace::correlate::{Cause, Confidence, Judged};
use iomap_trace::event::Phase;
use iomap_trace::reference::model::{Degrade, Kernel, Run, Scenario, Shape, Truth};
use proptest::prelude::*;
use proptest::sample::select;

prop_compose! {
    fn degrade()(
        disorder_ns in select(vec![0, 0, 1_000, 50_000, 5_000_000, 400_000_000]),
        duplicate in select(vec![0, 0, 3]),
        grain_ns in select(vec![1, 1, 16, 40]),
        marks_ns in select(vec![0, 1_000_000]),
        empty_holders in any::<bool>(),
    ) -> Degrade {
        Degrade { disorder_ns, duplicate, grain_ns, marks_ns, empty_holders, ..Degrade::default() }
    }
}

/// What the records cannot tell: a verdict may be wrong here, and be called exact.
///
/// - Completion of an ordered extent gives back a front that it had locked before it waits (since
///   6.1), or locks its range in more than two parts (5.10): there is no record of that hold.
/// - A folio met while the range is mapped is only looked at when the write completes: another may
///   have come meanwhile.
/// - Buffer heads can be taken or let go of between the test and the probe at its end.
/// - Without results, a failed write-back during the write may have come after its flush.
fn untold(judged: &Judged, truth: &Truth, shape: Shape) -> bool {
    let lock = |cause| matches!(cause, Cause::OrderedIo | Cause::ExtentLock);
    let unseen = truth
        .reasons
        .iter()
        .any(|reason| lock(reason.cause) && reason.holders.is_empty());
    let broken = judged.verdict.cause == Cause::WritebackError && shape == Shape::Tracepoints;
    let buffers = |cause| matches!(cause, Cause::Buffers | Cause::Journal);
    let heads = truth.reasons.iter().any(|reason| buffers(reason.cause));
    unseen || heads || truth.phase == Phase::Map || broken
}

fn check(scenario: &Scenario, run: &Run, degrade: Degrade) -> Result<(), TestCaseError> {
    for judged in judge(run.events(degrade)) {
        let truth = truth_of(run, &judged);
        let wrong = wrong(&judged.verdict, truth);
        if !untold(&judged, truth, scenario.shape) {
            prop_assert_eq!(wrong, None, "{:?} is not {:?}", judged.verdict, truth);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn exact_is_what_happened(seed: u64, degrade in degrade()) {
        let scenario = Scenario::random(seed);
        check(&scenario, &scenario.play(), degrade)?;
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
/// kernels before 6.14 show only to a walk.
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
            !untold(judged, truth, scenario.shape)
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
