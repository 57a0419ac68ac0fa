//! What was lost, and what verdicts say of it.

use super::*;

/// A write from 10 to 11 ms, and a folio that was refused at 10.9 ms.
const MS: u64 = 1_000_000;

fn lost(hook: &str, since_ns: u64, ts_ns: u64) -> Event {
    Event::Loss(Loss {
        hook: hook.into(),
        counter: "some.lost".into(),
        count: 1,
        since_ns,
        ts_ns,
    })
}

fn verdict(fs: &str, flags: &[&str], mut evidence: Vec<Event>) -> Verdict {
    let failure = Failure {
        ts_ns: 100 * MS,
        duration_ns: 10 * MS,
        errno: Some(-16),
        ..failure(Phase::Pre, fs)
    };
    let Event::Refusal(folio) = refusal(flags) else {
        unreachable!()
    };
    evidence.push(Event::Refusal(Refusal {
        entered_ns: Some(98 * MS),
        ts_ns: 99 * MS,
        ..folio
    }));
    evidence.push(Event::Mark(Mark { ts_ns: u64::MAX }));
    let start = Start {
        hooks: vec![],
        ..start(true)
    };
    judge(&start, failure, evidence)
}

fn dirty(evidence: Vec<Event>) -> Verdict {
    let touched = Event::Dirtied(touched(95 * MS, 21));
    verdict("xfs", &["dirty"], [vec![touched], evidence].concat())
}

/// Locked from 97 to 105 ms.
fn locked(evidence: Vec<Event>) -> Verdict {
    let lock = holder(HolderKind::ExtentLock, 97 * MS, 105 * MS, 31);
    verdict("btrfs", &["uptodate"], [vec![lock], evidence].concat())
}

#[test]
fn a_lost_lock_makes_a_lock_doubtful() {
    for hook in ["extent-lock", "ordered", "ring"] {
        for (since, ts) in [(97 * MS, 98 * MS), (0, 1_000 * MS), (99 * MS, 99 * MS)] {
            let verdict = locked(vec![lost(hook, since, ts)]);
            assert_eq!(verdict.cause, Cause::ExtentLock);
            assert_eq!(verdict.confidence, Confidence::Window, "{hook}");
            assert_eq!(verdict.evidence_missing, [hook]);
            let reason = format!("events of {hook} were lost meanwhile");
            assert_eq!(verdict.reason.unwrap(), reason);
        }
    }
}

#[test]
fn what_was_lost_elsewhere_or_at_another_time_does_not_matter() {
    let other = ["dirty", "cached", "dio", "release", "stale-warn"];
    let other = other.map(|hook| lost(hook, 0, 1_000 * MS));
    let before = lost("extent-lock", 0, 46 * MS);
    let after = lost("extent-lock", 126 * MS, 200 * MS);
    let verdict = locked([other.to_vec(), vec![before, after]].concat());
    assert_eq!(verdict.confidence, Confidence::Exact);
    assert_eq!(verdict.evidence_missing, [""; 0]);
    let locks = ["extent-lock", "ordered"].map(|hook| lost(hook, 0, 1_000 * MS));
    let before = lost("dirty", 0, 89 * MS);
    let after = lost("cached", 99 * MS + 1, 200 * MS);
    let verdict = dirty([locks.to_vec(), vec![before, after]].concat());
    assert_eq!(verdict.confidence, Confidence::Exact);
}

#[test]
fn a_lost_toucher_makes_the_last_one_doubtful() {
    for hook in ["dirty", "cached", "ring"] {
        let verdict = dirty(vec![lost(hook, 96 * MS, 97 * MS)]);
        assert_eq!(verdict.confidence, Confidence::Window);
        assert_eq!(verdict.evidence_missing, [hook]);
    }
}

#[test]
fn a_dirty_folio_is_a_fact_whoever_dirtied_it() {
    let verdict = verdict("xfs", &["dirty"], vec![lost("dirty", 96 * MS, 97 * MS)]);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::Redirtied, Confidence::Exact)
    );
    assert_eq!(verdict.party, None);
    assert_eq!(verdict.evidence_missing, ["dirty"]);
}

#[test]
fn what_is_seen_at_the_refusal_needs_no_hook() {
    let all = ["dirty", "cached", "ring", "invalidate", "extent-lock"];
    let all = all.map(|hook| lost(hook, 0, 1_000 * MS)).to_vec();
    let verdict = verdict("ext4", &["writeback"], all);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::Writeback, Confidence::Exact)
    );
    assert_eq!(verdict.evidence_missing, [""; 0]);
}

#[test]
fn what_is_not_known_may_be_among_what_was_lost() {
    let all = ["extent-lock", "stale-warn", "tomorrow", "dirty"];
    let all = all.map(|hook| lost(hook, 0, 1_000 * MS)).to_vec();
    let btrfs = verdict("btrfs", &["uptodate"], all.clone());
    assert_eq!(btrfs.cause, Cause::Unknown);
    assert_eq!(btrfs.evidence_missing, ["extent-lock", "dirty", "tomorrow"]);
    let reason = btrfs.reason.unwrap();
    assert!(
        reason.ends_with("seen; events of extent-lock, dirty, tomorrow were lost meanwhile"),
        "{reason}"
    );
    let xfs = verdict("xfs", &["uptodate"], all);
    assert_eq!(xfs.evidence_missing, ["dirty", "tomorrow"]);
}

#[test]
fn a_loss_that_is_told_between_the_failure_and_the_mark_counts() {
    let mut engine = Engine::new(&start(true));
    let mut out = Vec::new();
    let mut failure = failure(Phase::Pre, "xfs");
    (failure.refusals, failure.dirtied) = (1, 1);
    let outcome = Event::Outcome(Outcome {
        failure: 1,
        outcome: OutcomeKind::BufferedFallback,
        ret: None,
    });
    let case = [
        Event::Failure(Box::new(failure)),
        refusal(&["dirty"]),
        Event::Dirtied(touched(1500, 21)),
        outcome,
        Event::Mark(Mark { ts_ns: 1999 }),
        lost("dirty", 1000, 2000),
    ];
    for event in case {
        engine.push(event, &mut out);
        assert!(out.is_empty());
    }
    engine.push(Event::Mark(Mark { ts_ns: 2000 }), &mut out);
    assert_eq!(out[0].verdict.confidence, Confidence::Window);
    assert_eq!(out[0].verdict.evidence_missing, ["release", "dirty"]);
}

/// A folio that was found in the page cache at 101 ms, after the failure at 100.
fn found(fs: &str, flags: &[&str], mut evidence: Vec<Event>) -> Verdict {
    let failure = Failure {
        ts_ns: 100 * MS,
        duration_ns: 10 * MS,
        ..failure(Phase::Pre, fs)
    };
    let Event::Refusal(folio) = refusal(flags) else {
        unreachable!()
    };
    evidence.push(Event::Refusal(Refusal {
        ts_ns: 101 * MS,
        ..folio
    }));
    evidence.push(Event::Mark(Mark { ts_ns: u64::MAX }));
    judge(&start(true), failure, evidence)
}

#[test]
fn a_folio_can_be_dirtied_unseen_between_the_failure_and_the_look() {
    let toucher = || Event::Dirtied(touched(95 * MS, 21));
    let verdict = found("xfs", &["dirty"], vec![toucher()]);
    assert_eq!(verdict.confidence, Confidence::Exact);
    let missed = lost("dirty", 100 * MS + 1, 100 * MS + 2);
    let verdict = found("xfs", &["dirty"], vec![toucher(), missed]);
    assert_eq!(verdict.confidence, Confidence::Window);
    assert!(verdict.evidence_missing.contains(&"dirty".into()));
}

#[test]
fn a_folio_that_was_found_can_have_been_cached_unseen_after_the_kernel_had_looked() {
    let lock = || holder(HolderKind::ExtentLock, 80 * MS, 105 * MS, 31);
    let verdict = found("btrfs", &["uptodate"], vec![lock()]);
    assert_eq!(verdict.confidence, Confidence::Exact);
    let missed = lost("cached", 100 * MS - 1, 100 * MS - 1);
    let verdict = found("btrfs", &["uptodate"], vec![lock(), missed]);
    assert_eq!(verdict.confidence, Confidence::Window);
    assert!(verdict.evidence_missing.contains(&"cached".into()));
}
