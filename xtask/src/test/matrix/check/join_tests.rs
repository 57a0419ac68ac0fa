use super::super::super::kernel::Range;
use super::super::super::log::{Failure, Party, Start, Verdict};
use super::*;

const US: u64 = 1000;
const WORKER: u32 = 50;

/// A worker locks the first page from 1 ms to 3 ms, within its work from 0.5 ms to 4 ms.
fn events() -> Vec<Seen> {
    let range = Range {
        ino: 7,
        start: 0,
        end: 4096,
    };
    let at = |us: u64, what| Seen {
        ts_ns: us * US,
        tid: WORKER,
        what,
    };
    vec![
        at(500, What::Begin(1)),
        at(1000, What::Lock(range)),
        at(3000, What::Unlock(range)),
        at(4000, What::Done(1)),
    ]
}

/// A failure at 2.5 ms whose folio was refused meanwhile, and a verdict that names `tid`.
fn log(kind: &str, tid: u32, refused: (u64, u64), flags: &[&str]) -> Log {
    let holder = Holder {
        id: 1,
        kind: kind.to_owned(),
        len: 4096,
        locked_ns: Some(1010 * US),
        tid,
        ..Holder::default()
    };
    let case = Case {
        failure: Failure {
            ts_ns: 2500 * US,
            duration_ns: 1000 * US,
            phase: "pre".to_owned(),
            ino: 7,
            fs: "btrfs".to_owned(),
            len: 4096,
            ..Failure::default()
        },
        refusals: vec![Refusal {
            entered_ns: Some(refused.0 * US),
            ts_ns: refused.1 * US,
            pages: 1,
            folio_flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            ..Refusal::default()
        }],
        touched: Vec::new(),
        verdict: Verdict {
            cause: kind.to_owned(),
            confidence: "exact".to_owned(),
            party: Some(Party {
                tid,
                did: String::new(),
            }),
            holders: vec![1],
            ..Verdict::default()
        },
    };
    Log {
        start: Start {
            page_size: 4096,
            ..Start::default()
        },
        cases: vec![case],
        holders: [(1, holder)].into(),
        end: None,
    }
}

fn run() -> Run {
    Run {
        fs: "btrfs".to_owned(),
        ino: 7,
        ..Run::default()
    }
}

#[test]
fn the_right_holder_is_confirmed() {
    for kind in ["ordered-io", "extent-lock"] {
        let joined = join(&events(), &run(), &log(kind, WORKER, (2000, 2100), &[]));
        assert_eq!((joined.pairs, joined.held), (1, 1), "{joined:?}");
        assert!(joined.wrong_pairs.is_empty() && joined.unnamed.is_empty());
    }
}

#[test]
fn another_holder_is_a_wrong_pair_and_the_right_one_is_missed() {
    let joined = join(&events(), &run(), &log("ordered-io", 51, (2000, 2100), &[]));
    assert_eq!((joined.pairs, joined.held), (0, 1));
    assert_eq!((joined.wrong_pairs.len(), joined.unnamed.len()), (1, 1));
}

#[test]
fn the_lock_must_have_been_held_at_the_refusal() {
    for refused in [(4300, 4400), (700, 900)] {
        let joined = join(&events(), &run(), &log("extent-lock", WORKER, refused, &[]));
        assert_eq!((joined.pairs, joined.held), (0, 0), "{refused:?}");
        assert_eq!(joined.wrong_pairs.len(), 1);
    }
}

#[test]
fn ordered_io_is_completed_by_a_worker_at_work() {
    let mut events = events();
    events.retain(|seen| !matches!(seen.what, What::Begin(_)));
    let joined = join(
        &events,
        &run(),
        &log("ordered-io", WORKER, (2000, 2100), &[]),
    );
    assert!(joined.wrong_pairs[0].contains("did not complete"));
}

#[test]
fn a_dirty_folio_needs_no_holder() {
    let mut log = log("redirtied", 51, (2000, 2100), &["dirty"]);
    log.cases[0].verdict.holders.clear();
    assert_eq!(join(&events(), &run(), &log), Joined::default());
}

#[test]
fn a_look_afterwards_knows_less() {
    let mut log = log("extent-lock", WORKER, (0, 3500), &[]);
    log.cases[0].refusals[0].entered_ns = None;
    let joined = join(&events(), &run(), &log);
    assert_eq!((joined.pairs, joined.held), (1, 0));
}

#[test]
fn an_unlock_takes_until_the_thread_goes_on() {
    let joined = join(
        &events(),
        &run(),
        &log("ordered-io", WORKER, (3300, 3400), &[]),
    );
    assert_eq!((joined.pairs, joined.shared, joined.held), (1, 0, 0));
}

#[test]
fn a_lock_of_another_time_is_another_lock() {
    let mut log = log("extent-lock", WORKER, (2000, 2100), &[]);
    if let Some(holder) = log.holders.get_mut(&1) {
        holder.locked_ns = Some(900 * US);
    }
    assert_eq!(join(&events(), &run(), &log).wrong_pairs.len(), 1);
}

#[test]
fn two_locks_one_after_the_other_share_the_time() {
    let mut events = events();
    let range = Range {
        ino: 7,
        start: 0,
        end: 4096,
    };
    for (us, what) in [(3100, What::Lock(range)), (3600, What::Unlock(range))] {
        events.push(Seen {
            ts_ns: us * US,
            tid: 51,
            what,
        });
    }
    events.sort_by_key(|seen| seen.ts_ns);
    let joined = join(
        &events,
        &run(),
        &log("extent-lock", WORKER, (2500, 3500), &[]),
    );
    assert_eq!((joined.pairs, joined.shared), (1, 1));
}

#[test]
fn a_verdict_that_knows_only_who_locked_last_may_name_the_one_that_waited() {
    let mut log = log("extent-lock", 51, (2000, 2100), &[]);
    log.cases[0].verdict.confidence = "window".to_owned();
    log.cases[0].verdict.reason = Some(format!("{LAST_SEEN}: 51 is named"));
    let mut joined = join(&events(), &run(), &log);
    assert_eq!((joined.held, joined.last_seen.len()), (1, 1));
    assert!(joined.unnamed.is_empty());
    // Of one it is the rule, not the exception.
    assert_eq!(joined.unaccounted().len(), 1);
    joined.held = SELDOM;
    assert!(joined.unaccounted().is_empty());
    log.cases[0].verdict.reason = None;
    assert_eq!(join(&events(), &run(), &log).unnamed.len(), 1);
}
