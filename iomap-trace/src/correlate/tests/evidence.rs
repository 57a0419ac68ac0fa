//! What the plans that see functions tell: results, and refusals with both instants.

use super::*;
use Cause::{
    ExtentLock, Journal, Launder, OrderedIo, Redirtied, Unknown, Writeback, WritebackError,
};
use Confidence::{Exact, Window};

const EBUSY: i32 = -16;

/// A failed invalidation of the write from 1000 to 2000.
pub(super) fn failed(phase: Phase, fs: &str) -> Failure {
    Failure {
        errno: Some(EBUSY),
        ..failure(phase, fs)
    }
}

/// Page `index` was refused between 1500 and 1600.
pub(super) fn refused_page(index: u64, flags: &[&str]) -> Event {
    let Event::Refusal(refusal) = refusal(flags) else {
        unreachable!()
    };
    Event::Refusal(Refusal {
        index,
        entered_ns: Some(1500),
        ts_ns: 1600,
        ..refusal
    })
}

pub(super) fn refused(flags: &[&str]) -> Event {
    refused_page(256, flags)
}

pub(super) fn lock(id: u64, tid: u32, tried: u64, given_up: u64) -> Holder {
    let Event::Holder(lock) = holder(HolderKind::ExtentLock, tried, given_up, tid) else {
        unreachable!()
    };
    Holder { id, ..*lock }
}

pub(super) fn ordered(id: u64, tid: u32, tried: u64, given_up: u64) -> Holder {
    Holder {
        kind: HolderKind::OrderedIo,
        function: None,
        ..lock(id, tid, tried, given_up)
    }
}

/// The verdict when every record has come.
pub(super) fn settled(start: &Start, failure: Failure, mut evidence: Vec<Event>) -> Verdict {
    evidence.push(Event::Mark(Mark { ts_ns: u64::MAX }));
    judge(start, failure, evidence)
}

/// The verdict on a clean folio of btrfs, with these holders.
pub(super) fn held_by(holders: Vec<Holder>) -> Verdict {
    let holders = holders.into_iter().map(|h| Event::Holder(Box::new(h)));
    let evidence = [refused(&["uptodate", "private"])]
        .into_iter()
        .chain(holders)
        .collect();
    settled(&start(true), failed(Phase::Pre, "btrfs"), evidence)
}

pub(super) fn said(verdict: &Verdict) -> (Cause, Confidence, Option<u32>) {
    let party = verdict.party.as_ref().map(|party| party.tid);
    (verdict.cause, verdict.confidence, party)
}

fn with_plan(plan: &str) -> Start {
    Start {
        plan: plan.into(),
        ..start(true)
    }
}

fn unseen(phase: Phase, fs: &str) -> Failure {
    Failure {
        flags: vec!["return-unseen".into()],
        ..failure(phase, fs)
    }
}

#[test]
fn a_dirty_folio_is_exact_however_late_it_was_dirtied() {
    let evidence = vec![refused(&["dirty"]), Event::Dirtied(touched(1599, 21))];
    let verdict = judge(&start(true), failed(Phase::Pre, "btrfs"), evidence);
    assert_eq!(said(&verdict), (Redirtied, Exact, Some(21)));
}

#[test]
fn a_dirty_folio_that_nobody_was_seen_to_dirty_is_exact_without_a_party() {
    for dirtied in [None, Some(Event::Dirtied(touched(1601, 21)))] {
        let evidence = [refused(&["dirty"])].into_iter().chain(dirtied).collect();
        let verdict = judge(&start(true), failed(Phase::Pre, "xfs"), evidence);
        assert_eq!(said(&verdict), (Redirtied, Exact, None));
        assert!(verdict.reason.unwrap().starts_with("dirtied unseen"));
        assert_eq!(verdict.evidence_missing, ["release"]);
    }
}

#[test]
fn dirty_since_before_an_invalidation_is_no_failed_write_back() {
    for folio in [refused(&["dirty"]), refusal(&["dirty"])] {
        let evidence = vec![folio, Event::Dirtied(touched(500, 21))];
        let verdict = judge(&start(true), failed(Phase::Pre, "ext4"), evidence);
        assert_eq!(said(&verdict), (Redirtied, Window, Some(21)));
    }
}

#[test]
fn a_state_at_the_refusal_is_exact() {
    let buffers = |state: &str, busy| {
        let Event::Refusal(folio) = refused(&["uptodate"]) else {
            unreachable!()
        };
        let state = vec![state.into()];
        Event::Refusal(Refusal {
            buffers: Some(Buffers { state, busy }),
            ..folio
        })
    };
    for (folio, cause) in [
        (refused(&["writeback"]), Writeback),
        (buffers("jbd", 0), Journal),
        (buffers("uptodate", 1), Cause::Buffers),
    ] {
        let verdict = judge(&start(true), failed(Phase::Pre, "vfat"), vec![folio]);
        assert_eq!(said(&verdict), (cause, Exact, None));
        assert_eq!(verdict.reason, None);
    }
    // The journal can have let go of it after the test, and before the look.
    let busy = vec![buffers("uptodate", 1)];
    let verdict = judge(&start(true), failed(Phase::Pre, "ext4"), busy);
    assert_eq!(said(&verdict), (Cause::Buffers, Window, None));
}

#[test]
fn the_lock_over_the_refusal_is_exact() {
    let verdict = held_by(vec![lock(1, 31, 1400, 1700)]);
    assert_eq!(said(&verdict), (ExtentLock, Exact, Some(31)));
    assert_eq!(verdict.holders, [1]);
    assert_eq!(verdict.evidence_missing, [""; 0]);
}

#[test]
fn a_waiter_is_no_holder() {
    let verdict = held_by(vec![lock(1, 31, 900, 1700), lock(2, 32, 1710, 1900)]);
    assert_eq!(said(&verdict), (ExtentLock, Exact, Some(31)));
}

#[test]
fn who_tries_before_an_unlock_has_the_lock_after_it() {
    let verdict = held_by(vec![lock(1, 31, 900, 1700), lock(2, 32, 1450, 1900)]);
    assert_eq!(said(&verdict), (ExtentLock, Exact, Some(31)));
}

#[test]
fn alone_on_a_part_of_the_refusal_is_exact() {
    for (tried, given_up) in [(1550, 1700), (1400, 1550), (1520, 1580)] {
        let verdict = held_by(vec![ordered(1, 31, tried, given_up)]);
        assert_eq!(said(&verdict), (OrderedIo, Exact, Some(31)));
    }
}

#[test]
fn several_on_parts_of_the_refusal_are_a_window() {
    let verdict = held_by(vec![lock(1, 31, 1400, 1520), ordered(2, 32, 1530, 1700)]);
    assert_eq!(said(&verdict), (OrderedIo, Window, Some(32)));
    assert!(verdict.reason.unwrap().starts_with("each of several"));
}

#[test]
fn an_unlock_takes_effect_after_its_event() {
    let verdict = held_by(vec![lock(1, 31, 900, 1490)]);
    assert_eq!(said(&verdict), (ExtentLock, Exact, Some(31)));
    // The next one may have had the lock at the end of the refusal.
    let verdict = held_by(vec![lock(1, 31, 900, 1490), lock(2, 32, 1580, 1700)]);
    assert_eq!(verdict.confidence, Window);
    // An unlock and a lock were both under way.
    let verdict = held_by(vec![lock(1, 31, 900, 1490), lock(2, 32, 1495, 1700)]);
    assert_eq!(said(&verdict), (ExtentLock, Window, Some(32)));
}

#[test]
fn an_unlock_that_lingers_is_named_with_a_doubt() {
    const MS: u64 = 1_000_000;
    let held_until = |given_up| {
        let Event::Refusal(asked) = refused(&["uptodate", "private"]) else {
            unreachable!()
        };
        let asked = Event::Refusal(Refusal {
            entered_ns: Some(15 * MS),
            ts_ns: 15 * MS + 100,
            ..asked
        });
        let failure = Failure {
            ts_ns: 20 * MS,
            duration_ns: 19 * MS,
            ..failed(Phase::Pre, "btrfs")
        };
        let holder = Event::Holder(Box::new(lock(1, 31, 900, given_up)));
        settled(&start(true), failure, vec![asked, holder])
    };
    assert_eq!(
        said(&held_until(14 * MS + 1)),
        (ExtentLock, Exact, Some(31))
    );
    let verdict = held_until(10 * MS);
    assert_eq!(said(&verdict), (ExtentLock, Window, Some(31)));
    assert!(verdict.reason.unwrap().contains("unlock had begun"));
}

#[test]
fn without_a_holder_of_the_range_the_cause_is_unknown() {
    let elsewhere = Holder {
        pos: (1 << 20) + 4096,
        ..lock(1, 31, 1400, 1700)
    };
    let nocow = Holder {
        locked_ns: None,
        ..ordered(2, 31, 1400, 1700)
    };
    let later = lock(3, 31, 1601, 1700);
    for holder in [elsewhere, nocow, later] {
        let verdict = held_by(vec![holder]);
        assert_eq!(verdict.cause, Unknown);
        let reason = verdict.reason.unwrap();
        assert!(
            reason.ends_with("no holder of its range was seen"),
            "{reason}"
        );
    }
}

#[test]
fn ordered_io_that_cannot_refuse_did_not() {
    let evidence = vec![
        refused(&["uptodate"]),
        Event::Holder(Box::new(ordered(1, 31, 1400, 1700))),
    ];
    let verdict = settled(&start(false), failed(Phase::Pre, "btrfs"), evidence);
    assert_eq!(verdict.cause, Unknown);
}

#[test]
fn parts_of_one_lock_are_one_holder() {
    let Event::Refusal(large) = refused(&["uptodate"]) else {
        unreachable!()
    };
    let large = Event::Refusal(Refusal { pages: 16, ..large });
    let part = |id, page: u64, given_up| {
        let pos = (256 + page) * 4096;
        Event::Holder(Box::new(Holder {
            pos,
            ..lock(id, 31, 1400, given_up)
        }))
    };
    let evidence = vec![large, part(1, 0, 1650), part(2, 8, 1700)];
    let verdict = settled(&start(true), failed(Phase::Pre, "btrfs"), evidence);
    assert_eq!(said(&verdict), (ExtentLock, Exact, Some(31)));
}

#[test]
fn the_writer_holds_only_what_another_task_gives_up() {
    assert_eq!(held_by(vec![lock(1, 11, 900, 1700)]).cause, Unknown);
    let read = Holder {
        unlocked_by: Some(77),
        ..lock(1, 11, 900, 1700)
    };
    // Who took a lock that another task gives up is not certain.
    let verdict = held_by(vec![read]);
    assert_eq!(said(&verdict), (ExtentLock, Window, Some(11)));
    assert!(verdict.self_inflicted);
}

#[test]
fn ordered_io_that_the_write_itself_forced_is_self_inflicted() {
    for (created_by, created_ns, own) in [
        (Some(11), Some(1000), true),
        (Some(11), Some(999), false),
        (Some(12), Some(1100), false),
        (None, None, false),
    ] {
        let made = Holder {
            created_by,
            created_ns,
            ..ordered(1, 31, 1400, 1700)
        };
        assert_eq!(held_by(vec![made]).self_inflicted, own);
    }
}

#[test]
fn the_refused_folio_speaks_before_one_that_was_found() {
    let evidence = vec![
        refusal(&["dirty"]),
        Event::Dirtied(touched(1200, 21)),
        refused_page(258, &["writeback"]),
    ];
    let verdict = judge(&start(true), failed(Phase::Pre, "ext4"), evidence);
    assert_eq!(said(&verdict), (Writeback, Exact, None));
    assert_eq!(verdict.also, [Redirtied]);
}

#[test]
fn a_post_failure_with_a_result_is_certain() {
    let evidence = vec![
        refused(&["dirty"]),
        Event::Dirtied(touched(1400, 21)),
        Event::Cached(touched(1300, 22)),
    ];
    let verdict = judge(&start(true), failed(Phase::Post, "xfs"), evidence);
    assert_eq!(said(&verdict), (Redirtied, Exact, Some(21)));
    assert_eq!(verdict.witness, Some(Witness::Result));
    assert_eq!(verdict.cached_by.unwrap().tid, 22);
    // Nothing is left, nothing changed wb_err: it failed all the same, and is decided at once.
    let verdict = judge(&start(true), failed(Phase::Post, "xfs"), vec![]);
    assert_eq!((verdict.cause, verdict.withdrawn), (Unknown, None));
}

#[test]
fn a_post_failure_whose_return_was_not_seen_is_certain_too() {
    let verdict = judge(&with_plan("kprobe"), unseen(Phase::Post, "xfs"), vec![]);
    assert_eq!(said(&verdict), (Unknown, Confidence::None, None));
    assert_eq!(verdict.witness, Some(Witness::Warned));
    assert_eq!(verdict.withdrawn, None);
    assert!(
        verdict
            .reason
            .unwrap()
            .contains("return of the invalidation")
    );
    let evidence = vec![refused(&["dirty"])];
    let verdict = judge(&with_plan("kprobe"), unseen(Phase::Post, "xfs"), evidence);
    assert_eq!(said(&verdict), (Redirtied, Exact, None));
}

#[test]
fn an_invalidation_that_returned_is_no_write_back_error() {
    let mut failure = failed(Phase::Pre, "ext4");
    failure.wb_error_ns = Some(1200);
    failure.flags = vec!["eio-before".into()];
    let verdict = judge(&start(true), failure.clone(), vec![]);
    assert_eq!(verdict.cause, Unknown);
    failure.wb_error_ns = Some(900);
    let verdict = judge(&start(true), failure, vec![refused(&["dirty"])]);
    assert_eq!(verdict.cause, Redirtied);
}

#[test]
fn another_errno_is_the_launder_s() {
    let mut failure = failed(Phase::Pre, "fuse");
    failure.errno = Some(-28);
    let verdict = judge(&start(true), failure.clone(), vec![]);
    assert_eq!(said(&verdict), (Launder, Exact, None));
    let evidence = vec![refusal(&["dirty"]), Event::Dirtied(touched(1500, 21))];
    let verdict = judge(&start(true), failure.clone(), evidence);
    assert_eq!((verdict.cause, verdict.also), (Launder, vec![Redirtied]));
    let evidence = vec![refused(&["dirty"]), Event::Dirtied(touched(1500, 21))];
    let verdict = judge(&start(true), failure, evidence);
    assert_eq!((verdict.cause, verdict.also), (Redirtied, vec![Launder]));
}

#[test]
fn where_returns_are_lost_refusals_decide() {
    // An fexit program is missed, too, when it is preempted on its CPU (since 7.0).
    for plan in ["fexit", "kprobe"] {
        refusals_decide(&with_plan(plan));
    }
}

fn refusals_decide(kprobe: &Start) {
    let verdict = judge(kprobe, unseen(Phase::Pre, "ext4"), vec![]);
    assert_eq!(said(&verdict), (Unknown, Confidence::None, None));
    assert!(
        verdict
            .reason
            .unwrap()
            .contains("return of the invalidation")
    );
    let mut failure = unseen(Phase::Pre, "ext4");
    failure.wb_error_ns = Some(1200);
    let verdict = judge(kprobe, failure.clone(), vec![]);
    assert_eq!(said(&verdict), (WritebackError, Exact, None));
    // A folio was refused: an invalidation was tried.
    let verdict = judge(kprobe, failure, vec![refused(&["writeback"])]);
    assert_eq!(said(&verdict), (Writeback, Exact, None));
}

/// Verdicts as they come.
fn after(events: &[Event]) -> Vec<usize> {
    let mut engine = Engine::new(&start(true));
    let mut out = Vec::new();
    let count = |event: &Event| {
        engine.push(event.clone(), &mut out);
        out.len()
    };
    events.iter().map(count).collect()
}

#[test]
fn a_verdict_waits_until_no_holder_can_change_it() {
    let outcome = Event::Outcome(Outcome {
        failure: 1,
        outcome: OutcomeKind::BufferedFallback,
        ret: None,
    });
    let mark = |ts_ns| Event::Mark(Mark { ts_ns });
    let mut failed = failed(Phase::Pre, "btrfs");
    (failed.ts_ns, failed.refusals) = (2_052_000, 1);
    let Event::Refusal(mut folio) = refused(&["uptodate"]) else {
        unreachable!()
    };
    (folio.entered_ns, folio.ts_ns) = (Some(2_051_500), 2_051_600);
    let folio = Event::Refusal(folio);
    let case = [Event::Failure(Box::new(failed)), folio, outcome];
    let around = Event::Holder(Box::new(lock(1, 31, 1400, 2_053_000)));
    let marks = [mark(22_052_999), mark(22_053_000)];
    let events = [&case[..], std::slice::from_ref(&around), &marks].concat();
    assert_eq!(after(&events), [0, 0, 0, 0, 0, 1], "twenty milliseconds");
    let events = [&[around][..], &case, &marks].concat();
    assert_eq!(after(&events), [0, 0, 0, 0, 0, 1], "whichever came first");
    let just = Event::Holder(Box::new(lock(1, 31, 2_045_000, 2_053_000)));
    let events = [&[just][..], &case, &marks].concat();
    assert_eq!(after(&events), [0; 6], "ordered I/O may have had it before");
    let part = Event::Holder(Box::new(lock(1, 31, 1400, 2_051_550)));
    let marks = [mark(2_002_051_999), mark(2_002_052_000)];
    let events = [&case[..], &[part], &marks].concat();
    assert_eq!(after(&events), [0, 0, 0, 0, 0, 1], "two seconds");
    assert_eq!(after(&[&case[..], &marks].concat()), [0, 0, 0, 0, 1]);
}

#[test]
fn a_run_that_ends_early_is_sure_of_no_lock() {
    let evidence = vec![
        refused(&["uptodate"]),
        Event::Holder(Box::new(lock(1, 31, 1400, 1700))),
    ];
    let verdict = judge(&start(true), failed(Phase::Pre, "btrfs"), evidence);
    assert_eq!(said(&verdict), (ExtentLock, Window, Some(31)));
    assert!(verdict.reason.unwrap().starts_with("the run ended"));
}

#[test]
fn a_holder_counts_where_the_begin_of_the_write_was_not_seen() {
    let mut failure = failed(Phase::Pre, "btrfs");
    failure.duration_ns = 0;
    let evidence = vec![
        refused(&["uptodate"]),
        Event::Holder(Box::new(lock(1, 31, 1400, 1700))),
    ];
    let verdict = settled(&start(true), failure, evidence);
    assert_eq!(said(&verdict), (ExtentLock, Exact, Some(31)));
}

#[test]
fn work_that_goes_on_long_after_its_unlock_holds_nothing_once_another_had_the_lock() {
    let long_done = Holder {
        end_ns: 1700,
        ..ordered(1, 31, 400, 400)
    };
    let next = Holder {
        end_ns: 401,
        ..ordered(2, 32, 400, 401)
    };
    assert_eq!(held_by(vec![long_done.clone()]).cause, OrderedIo);
    let verdict = held_by(vec![long_done, next]);
    assert_eq!(said(&verdict), (OrderedIo, Window, Some(32)));
    assert!(verdict.reason.unwrap().contains("unlock had begun"));
}
