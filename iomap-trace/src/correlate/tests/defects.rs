//! Counter-examples that the properties have found, shrunk.

use super::*;

fn outcome(failure: u64) -> Event {
    Event::Outcome(Outcome {
        failure,
        outcome: OutcomeKind::StaleCache,
        ret: None,
    })
}

/// A refusal of page `index` in failure 1.
fn page(index: u64, flags: &[&str]) -> Event {
    match refusal(flags) {
        Event::Refusal(refusal) => Event::Refusal(Refusal { index, ..refusal }),
        other => other,
    }
}

/// A post failure of a write from 100 µs to 1 ms.
fn post(wb_err_begin: u32) -> Failure {
    Failure {
        ts_ns: 1_000_000,
        duration_ns: 900_000,
        wb_err_begin,
        wb_err_now: 5,
        ..failure(Phase::Post, "xfs")
    }
}

fn verdicts(events: &[Event]) -> Vec<Verdict> {
    let mut engine = Engine::new(&start(false));
    let mut out = Vec::new();
    for event in events {
        engine.push(event.clone(), &mut out);
    }
    engine.finish(&mut out);
    out.into_iter().map(|judged| judged.verdict).collect()
}

#[test]
fn dirtied_after_the_failure_is_no_failed_write_back() {
    let evidence = vec![refusal(&["dirty"]), Event::Dirtied(touched(2001, 21))];
    let verdict = judge(&start(false), failure(Phase::Pre, "xfs"), evidence);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::Unknown, Confidence::None)
    );
}

#[test]
fn a_lock_explains_a_folio_that_was_dirtied_after_the_failure() {
    let evidence = vec![
        refusal(&["dirty"]),
        Event::Dirtied(touched(2001, 21)),
        holder(HolderKind::ExtentLock, 900, 2100, 31),
    ];
    let verdict = judge(&start(false), failure(Phase::Pre, "btrfs"), evidence);
    // Somebody else may have dirtied it before: only the last one is known.
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::ExtentLock, Confidence::Window)
    );
}

#[test]
fn a_cut_log_keeps_its_holders() {
    let mut failure = failure(Phase::Pre, "btrfs");
    failure.refusals = 1;
    let verdicts = verdicts(&[
        holder(HolderKind::ExtentLock, 900, 2100, 31),
        Event::Failure(Box::new(failure)),
        refusal(&["uptodate"]),
    ]);
    assert_eq!(verdicts[0].cause, Cause::ExtentLock);
}

#[test]
fn a_late_folio_beside_a_clean_one_shows_nothing() {
    let evidence = vec![
        refusal(&["uptodate"]),
        page(257, &["dirty"]),
        Event::Dirtied(Touched {
            index: 257,
            ..touched(995_000, 21)
        }),
        Event::Cached(Touched {
            index: 257,
            ..touched(995_000, 21)
        }),
    ];
    let verdict = judge(&start(false), post(5), evidence);
    assert!(verdict.withdrawn.is_some());
}

#[test]
fn a_late_folio_is_never_exact() {
    let evidence = vec![
        refusal(&["dirty"]),
        Event::Dirtied(touched(995_000, 21)),
        Event::Cached(touched(995_000, 21)),
    ];
    let verdict = judge(&start(false), post(0), evidence);
    assert_eq!(
        (verdict.witness, verdict.confidence),
        (Some(Witness::Both), Confidence::Window)
    );
}

#[test]
fn a_verdict_made_less_sure_says_which_evidence_is_missing() {
    let evidence = vec![refusal(&["dirty"]), Event::Dirtied(touched(500_000, 21))];
    let verdict = judge(&start(false), post(5), evidence);
    assert_eq!(verdict.confidence, Confidence::Window);
    assert_eq!(verdict.evidence_missing, ["release"]);
}

#[test]
fn no_folio_and_no_change_of_wb_err_is_no_failure() {
    let verdict = judge(&start(false), post(5), vec![]);
    assert!(verdict.withdrawn.is_some());
}

#[test]
fn a_failed_write_back_explains_nothing_of_another_failure() {
    let mut failed = post(0);
    (failed.id, failed.refusals, failed.wb_error_ns) = (2, 1, Some(500_000));
    let Event::Refusal(mut folio) = refusal(&["uptodate"]) else {
        unreachable!()
    };
    folio.failure = 2;
    let verdicts = verdicts(&[
        Event::Failure(Box::new(failed)),
        Event::Refusal(folio),
        outcome(2),
        Event::Failure(Box::new(post(0))),
        outcome(1),
    ]);
    let withdrawn: Vec<_> = verdicts.iter().map(|v| v.withdrawn.is_some()).collect();
    assert_eq!(withdrawn, [true, false]);
}

#[test]
fn a_failure_that_comes_twice_is_one() {
    let failure = Event::Failure(Box::new(failure(Phase::Pre, "btrfs")));
    assert_eq!(verdicts(&[failure.clone(), failure.clone()]).len(), 1);
    let mut clean = post(0);
    clean.refusals = 0;
    let clean = Event::Failure(Box::new(clean));
    let far = Event::Mark(Mark { ts_ns: u64::MAX });
    let twice = [clean.clone(), outcome(1), far, clean, outcome(1)];
    assert_eq!(verdicts(&twice).len(), 1);
}

#[test]
fn a_failure_whose_records_were_lost_is_judged_by_a_mark() {
    let mut engine = Engine::new(&start(false));
    let mut out = Vec::new();
    engine.push(
        Event::Failure(Box::new(failure(Phase::Pre, "ext4"))),
        &mut out,
    );
    engine.push(Event::Mark(Mark { ts_ns: u64::MAX }), &mut out);
    assert_eq!(out.len(), 1);
}

#[test]
fn an_empty_range_holds_nothing() {
    let Event::Holder(mut empty) = holder(HolderKind::ExtentLock, 900, 2100, 31) else {
        unreachable!()
    };
    (empty.pos, empty.len) = (empty.pos + 1, 0);
    let evidence = vec![refusal(&["uptodate"]), Event::Holder(empty)];
    let verdict = judge(&start(false), failure(Phase::Pre, "btrfs"), evidence);
    assert_eq!(verdict.cause, Cause::Unknown);
}

#[test]
fn a_folio_cached_after_the_failure_was_not_refused() {
    let evidence = vec![
        refusal(&["uptodate"]),
        Event::Cached(touched(2001, 21)),
        holder(HolderKind::ExtentLock, 900, 2100, 31),
    ];
    let verdict = judge(&start(false), failure(Phase::Pre, "btrfs"), evidence);
    assert_eq!(verdict.cause, Cause::Unknown);
}

#[test]
fn a_lock_on_a_folio_that_came_back_is_not_exact() {
    let evidence = vec![
        refusal(&["uptodate"]),
        Event::Cached(touched(1999, 21)),
        holder(HolderKind::ExtentLock, 900, 2100, 31),
    ];
    let verdict = judge(&start(false), failure(Phase::Pre, "btrfs"), evidence);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::ExtentLock, Confidence::Window)
    );
}

#[test]
fn a_large_folio_is_held_by_a_lock_beside_the_write() {
    let Event::Refusal(mut large) = refusal(&["uptodate"]) else {
        unreachable!()
    };
    large.pages = 16;
    let Event::Holder(mut lock) = holder(HolderKind::ExtentLock, 900, 2100, 31) else {
        unreachable!()
    };
    lock.pos += 8 * 4096;
    let settled = Event::Mark(Mark { ts_ns: 2100 });
    let mut whole = lock.clone();
    (whole.pos, whole.len) = (256 * 4096, 16 * 4096);
    let said = |lock| {
        let evidence = vec![
            Event::Refusal(large.clone()),
            Event::Holder(lock),
            settled.clone(),
        ];
        let verdict = judge(&start(false), failure(Phase::Pre, "btrfs"), evidence);
        (verdict.cause, verdict.confidence)
    };
    // Another may have held another part.
    assert_eq!(said(lock), (Cause::ExtentLock, Confidence::Window));
    assert_eq!(said(whole), (Cause::ExtentLock, Confidence::Exact));
}

#[test]
fn the_nearest_failure_explains_wb_err_whichever_came_first() {
    let seen = |id: u64, ts_ns: u64| {
        let refusals = 1;
        let failure = Failure {
            id,
            ts_ns,
            refusals,
            ..post(0)
        };
        let Event::Refusal(folio) = refusal(&["dirty"]) else {
            unreachable!()
        };
        let folio = Event::Refusal(Refusal {
            failure: id,
            ..folio
        });
        vec![Event::Failure(Box::new(failure)), folio, outcome(id)]
    };
    let lonely = vec![Event::Failure(Box::new(post(0))), outcome(1)];
    for others in [[2, 3], [3, 2]] {
        let mut events = lonely.clone();
        events.extend(others.into_iter().flat_map(|id| seen(id, 1_000_000 * id)));
        let verdicts = verdicts(&events);
        let verdict = verdicts.iter().find(|v| v.failure == 1).unwrap();
        assert_eq!(verdict.withdrawn.as_deref(), Some("failure 2 set wb_err"));
    }
}
