//! What is open when a run ends, and what had to be forgotten.

use super::*;
use crate::correlate::store::KEEP_HOLDERS;

const SECOND: u64 = 1_000_000_000;

fn outcome() -> Event {
    Event::Outcome(Outcome {
        failure: 1,
        outcome: OutcomeKind::BufferedFallback,
        ret: None,
    })
}

/// A failure with one clean folio.
fn clean(begin: u64, seen: u64) -> Vec<Event> {
    let failure = Failure {
        ts_ns: seen,
        duration_ns: seen - begin,
        refusals: 1,
        ..failure(Phase::Pre, "btrfs")
    };
    vec![
        Event::Failure(Box::new(failure)),
        refusal(&["uptodate"]),
        outcome(),
    ]
}

fn end(events: Vec<Event>) -> (Verdict, Open) {
    let mut engine = Engine::new(&start(true));
    let mut out = Vec::new();
    for event in events {
        engine.push(event, &mut out);
    }
    let open = engine.finish(&mut out);
    assert!(engine.finish(&mut out) == Open::default());
    assert_eq!(out.len(), 1);
    (out.remove(0).verdict, open)
}

#[test]
fn a_holder_that_had_not_ended_is_said() {
    let (verdict, open) = end(clean(1000, 2000));
    assert!(
        verdict
            .reason
            .unwrap()
            .contains("had ended when the run did")
    );
    assert_eq!((open.partial, open.waiting), (0, 1));
    let mut events = clean(1000, 2000);
    events.push(Event::Mark(Mark { ts_ns: 4 * SECOND }));
    let (verdict, open) = end(events);
    assert!(verdict.reason.unwrap().ends_with("was seen"));
    assert_eq!(open, Open::default());
}

#[test]
fn records_that_had_not_come_are_said() {
    let failure = Failure {
        refusals: 2,
        dirtied: 2,
        ..failure(Phase::Pre, "xfs")
    };
    let mut events = vec![
        Event::Failure(Box::new(failure)),
        refusal(&["dirty"]),
        Event::Dirtied(touched(1500, 21)),
    ];
    let (verdict, open) = end(events.clone());
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::Redirtied, Confidence::Window)
    );
    assert!(verdict.reason.unwrap().contains("before all records"));
    assert_eq!(verdict.evidence_missing, ["release", "dirty"]);
    assert_eq!((open.partial, open.waiting), (1, 0));
    // The same while the run goes on: they are lost.
    events.push(Event::Mark(Mark { ts_ns: 3 * SECOND }));
    let (verdict, open) = end(events);
    assert_eq!(
        verdict.reason.unwrap(),
        "not all records of the failure came"
    );
    assert_eq!(open, Open::default());
}

#[test]
fn a_record_that_comes_twice_does_not_stand_for_another() {
    let failure = Failure {
        refusals: 2,
        ..failure(Phase::Pre, "xfs")
    };
    let folio = refusal(&["dirty"]);
    let begin = Event::Failure(Box::new(failure));
    let events = vec![begin, folio.clone(), folio, outcome()];
    let (_, open) = end(events);
    assert_eq!(open.partial, 1);
}

/// So many holders that the first must be forgotten, of which it is the only one of its range.
fn crowd(lock: Event) -> Vec<Event> {
    let Event::Holder(first) = lock else {
        unreachable!()
    };
    let others = (1..=KEEP_HOLDERS as u64).map(|number| Holder {
        id: 100 + number,
        pos: 1 << 30,
        start_ns: 2 * SECOND,
        locked_ns: Some(2 * SECOND + number),
        unlocked_ns: Some(2 * SECOND + number),
        end_ns: 2 * SECOND + number,
        ..*first.clone()
    });
    let first = Event::Holder(first.clone());
    let others = others.map(|holder| Event::Holder(Box::new(holder)));
    [first].into_iter().chain(others).collect()
}

#[test]
fn what_had_to_be_forgotten_is_said() {
    let lock = holder(HolderKind::ExtentLock, SECOND, SECOND + 1, 31);
    let far = Event::Mark(Mark { ts_ns: 9 * SECOND });
    for (begin, forgotten) in [(SECOND, true), (SECOND + 2, true), (3 * SECOND, false)] {
        let mut events = crowd(lock.clone());
        events.extend(clean(begin, 5 * SECOND));
        events.push(far.clone());
        let (verdict, _) = end(events);
        assert_eq!(verdict.cause, Cause::Unknown);
        let missing: &[&str] = match forgotten {
            true => &["release", "ordered", "extent-lock"],
            false => &["release"],
        };
        assert_eq!(verdict.evidence_missing, missing, "{begin}");
    }
}

#[test]
fn only_so_many_holders_are_kept() {
    let mut engine = Engine::new(&start(true));
    let lock = holder(HolderKind::ExtentLock, SECOND, SECOND + 1, 31);
    for event in crowd(lock) {
        engine.push(event, &mut Vec::new());
    }
    assert_eq!(engine.kept(), KEEP_HOLDERS);
}
