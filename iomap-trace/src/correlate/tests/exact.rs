//! What the model found: verdicts that were called exact, and were wrong.

use super::evidence::{failed, held_by, lock, ordered, refused, said, settled};
use super::*;
use crate::correlate::Cause::*;
use crate::correlate::Confidence::*;

#[test]
fn ordered_io_that_had_to_wait_may_have_held_a_front() {
    let waiter = |start_ns| Holder {
        start_ns,
        ..ordered(2, 32, 1850, 1950)
    };
    let verdict = held_by(vec![ordered(1, 31, 1400, 1550), waiter(1590)]);
    assert_eq!(said(&verdict), (OrderedIo, Window, Some(31)));
    let verdict = held_by(vec![ordered(1, 31, 1400, 1550), waiter(1700)]);
    assert_eq!(said(&verdict), (OrderedIo, Exact, Some(31)));
    // Also while somebody else, who had it from then on, was trying for it.
    let verdict = held_by(vec![lock(1, 31, 1400, 1700), waiter(1390)]);
    assert_eq!(said(&verdict), (ExtentLock, Window, Some(31)));
}

#[test]
fn ordered_io_may_be_the_writer_s_own_where_its_begin_was_not_seen() {
    let own = Holder {
        created_by: Some(11),
        created_ns: Some(1200),
        ..ordered(1, 31, 1400, 1700)
    };
    let failure = Failure {
        duration_ns: 0,
        tid: 11,
        ..failed(Phase::Pre, "btrfs")
    };
    let evidence = vec![
        refused(&["uptodate", "private"]),
        Event::Holder(Box::new(own)),
    ];
    let verdict = settled(&start(true), failure, evidence);
    assert_eq!(said(&verdict), (OrderedIo, Window, Some(31)));
    assert!(verdict.reason.unwrap().contains("begin of the write"));
}

/// A folio that was only found.
fn found(index: u64, flags: &[&str]) -> Event {
    let Event::Refusal(folio) = refusal(flags) else {
        unreachable!()
    };
    Event::Refusal(Refusal { index, ..folio })
}

#[test]
fn a_folio_that_was_found_clean_under_a_lock_may_have_been_dirty_when_it_was_refused() {
    let whole = Event::Holder(Box::new(lock(1, 31, 900, 2100)));
    let verdict = |dirtied_ns| {
        let evidence = vec![
            found(256, &["uptodate", "private"]),
            Event::Dirtied(touched(dirtied_ns, 21)),
            whole.clone(),
        ];
        settled(&start(true), failure(Phase::Pre, "btrfs"), evidence)
    };
    assert_eq!(said(&verdict(1500)), (ExtentLock, Window, Some(31)));
    assert_eq!(said(&verdict(500)), (ExtentLock, Exact, Some(31)));
}

#[test]
fn a_folio_that_came_during_the_write_is_not_the_one_that_was_refused() {
    let at = |ns| Touched {
        index: 257,
        ..touched(ns, 21)
    };
    let failure = Failure {
        errno: Some(-16),
        duration_ns: 900_000,
        ts_ns: 1_000_000,
        ..failure(Phase::Post, "xfs")
    };
    let evidence = |came_ns| {
        vec![
            refused(&["uptodate"]),
            found(257, &["dirty"]),
            Event::Dirtied(at(700_000)),
            Event::Cached(at(came_ns)),
        ]
    };
    let verdict = settled(&start(true), failure.clone(), evidence(700_000));
    assert_eq!(said(&verdict), (Redirtied, Window, Some(21)));
    let verdict = settled(&start(true), failure, evidence(50_000));
    assert_eq!(said(&verdict), (Redirtied, Exact, Some(21)));
}

#[test]
fn one_of_several_that_brought_folios_back_was_met() {
    let verdict = |second| {
        let evidence = vec![
            found(256, &["uptodate"]),
            found(257, &["uptodate"]),
            Event::Cached(touched(1500, 21)),
            Event::Cached(Touched {
                index: 257,
                ..touched(1600, second)
            }),
        ];
        settled(&start(true), failure(Phase::Map, "btrfs"), evidence)
    };
    assert_eq!(said(&verdict(21)), (Reappeared, Exact, Some(21)));
    assert_eq!(said(&verdict(22)), (Reappeared, Window, Some(22)));
}
