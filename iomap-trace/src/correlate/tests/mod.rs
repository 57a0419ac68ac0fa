//! Verdicts of hand-made cases.

mod defects;
mod evidence;
mod exact;
mod found;
mod index;
mod locks;
mod losses;
mod lost;
mod open;
mod oracle;
mod properties;
mod refused;
mod strategies;
mod truth;

use super::*;
use crate::event::*;

fn start(ordered_blocks_release: bool) -> Start {
    Start {
        schema: SCHEMA,
        version: "0.0.0".into(),
        command: vec![],
        kernel: KernelInfo::default(),
        hostname: None,
        page_size: 4096,
        boot_id: String::new(),
        clock: Clock::default(),
        mounts: vec![],
        filesystems: Vec::new(),
        plan: "tracepoint".into(),
        hooks: vec![HookReport {
            hook: "release".into(),
            state: HookState::Skipped,
            via: None,
            symbol: None,
            reason: None,
            rejected: vec![],
        }],
        programs: vec![],
        facts: Facts {
            ordered_blocks_release: Some(ordered_blocks_release),
            writeback_error_fires: Some(true),
        },
        layout: Default::default(),
        limits: Vec::new(),
        part: None,
    }
}

/// A write of four pages at 1 MiB that began at 1000 and failed at 2000.
fn failure(phase: Phase, fs: &str) -> Failure {
    Failure {
        id: 1,
        ts_ns: 2000,
        duration_ns: 1000,
        phase,
        pid: 10,
        tid: 11,
        comm: "writer".into(),
        worker: None,
        completed_by: None,
        cgroup: 1,
        dev: Dev {
            major: 0,
            minor: 35,
        },
        ino: 258,
        root: (fs == "btrfs").then_some(5),
        fs: fs.into(),
        path: None,
        pos: 1 << 20,
        len: 16384,
        size: 1 << 23,
        errno: None,
        wb_err_begin: 0,
        wb_err_now: 0,
        wb_error_ns: None,
        refusals: 0,
        dirtied: 0,
        cached: 0,
        flags: vec![],
        stack: vec![],
    }
}

fn refusal(flags: &[&str]) -> Event {
    let folio_flags = flags.iter().map(|f| (*f).into()).collect();
    Event::Refusal(Refusal {
        failure: 1,
        ts_ns: 2000,
        entered_ns: None,
        index: 256,
        pages: 1,
        folio_flags,
        buffers: None,
    })
}

fn touched(ts_ns: u64, tid: u32) -> Touched {
    Touched {
        failure: 1,
        index: 256,
        ts_ns,
        pid: 20,
        tid,
        comm: "dirtier".into(),
        how: How::Mmap,
    }
}

fn holder(kind: HolderKind, locked: u64, unlocked: u64, tid: u32) -> Event {
    Event::Holder(Box::new(Holder {
        id: 31,
        kind,
        dev: Dev {
            major: 0,
            minor: 35,
        },
        ino: 258,
        root: Some(5),
        pos: 1 << 20,
        len: 4096,
        start_ns: locked,
        locked_ns: Some(locked),
        unlocked_ns: Some(unlocked),
        end_ns: unlocked,
        pid: 30,
        tid,
        comm: "fiemap".into(),
        unlocked_by: None,
        created_ns: None,
        created_by: None,
        function: Some("extent_fiemap".into()),
        ordered_flags: vec![],
        stack: vec![],
    }))
}

fn judge(start: &Start, mut failure: Failure, evidence: Vec<Event>) -> Verdict {
    for event in &evidence {
        match event {
            Event::Refusal(_) => failure.refusals += 1,
            Event::Dirtied(_) => failure.dirtied += 1,
            Event::Cached(_) => failure.cached += 1,
            _ => {}
        }
    }
    let mut engine = Engine::new(start);
    let mut out = Vec::new();
    engine.push(Event::Failure(Box::new(failure)), &mut out);
    let outcome = Outcome {
        failure: 1,
        outcome: OutcomeKind::BufferedFallback,
        ret: None,
    };
    for event in evidence.into_iter().chain([Event::Outcome(outcome)]) {
        engine.push(event, &mut out);
    }
    engine.finish(&mut out);
    assert_eq!(out.len(), 1);
    out.remove(0).verdict
}

#[test]
fn dirtied_during_the_write_and_still_dirty_is_exact() {
    let evidence = vec![
        refusal(&["dirty", "uptodate"]),
        Event::Dirtied(touched(1500, 21)),
    ];
    let verdict = judge(&start(false), failure(Phase::Pre, "ext4"), evidence);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::Redirtied, Confidence::Exact)
    );
    assert_eq!(verdict.party.unwrap().tid, 21);
    assert!(verdict.evidence_missing.is_empty());
}

#[test]
fn cleaned_meanwhile_is_only_a_window() {
    let evidence = vec![refusal(&["uptodate"]), Event::Dirtied(touched(1500, 21))];
    let verdict = judge(&start(false), failure(Phase::Pre, "xfs"), evidence);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::Redirtied, Confidence::Window)
    );
    assert_eq!(verdict.evidence_missing, ["release"]);
}

#[test]
fn dirty_since_before_the_write_means_that_the_flush_failed() {
    let evidence = vec![refusal(&["dirty"]), Event::Dirtied(touched(500, 21))];
    let verdict = judge(&start(false), failure(Phase::Pre, "ext4"), evidence);
    assert_eq!(verdict.cause, Cause::WritebackError);
    assert!(verdict.party.is_none());
}

#[test]
fn a_write_back_error_during_the_write_is_told_apart() {
    let mut failure = failure(Phase::Pre, "ext4");
    failure.wb_error_ns = Some(1200);
    let said = |failure: Failure| {
        let verdict = judge(&start(false), failure, vec![refusal(&["uptodate"])]);
        (verdict.cause, verdict.confidence)
    };
    // Where results are not seen it may have been another's, after the flush.
    let window = (Cause::WritebackError, Confidence::Window);
    assert_eq!(said(failure.clone()), window);
    let exact = (Cause::WritebackError, Confidence::Exact);
    failure.flags = vec!["eio-before".into()];
    assert_eq!(said(failure.clone()), window);
    failure.flags = vec!["return-unseen".into()];
    assert_eq!(said(failure), exact);
}

#[test]
fn a_write_back_error_just_before_the_write_explains_only_what_nothing_else_does() {
    let mut failure = failure(Phase::Pre, "ext4");
    failure.wb_error_ns = Some(900);
    let verdict = judge(&start(false), failure.clone(), vec![refusal(&["uptodate"])]);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::WritebackError, Confidence::Window)
    );
    let evidence = vec![refusal(&["dirty"]), Event::Dirtied(touched(1500, 21))];
    let verdict = judge(&start(false), failure, evidence);
    assert_eq!(verdict.cause, Cause::Redirtied);
}

#[test]
fn a_lock_over_the_whole_write_is_exact() {
    let judged = |mut evidence: Vec<Event>| {
        evidence.push(Event::Mark(Mark { ts_ns: 2100 }));
        judge(&start(false), failure(Phase::Pre, "btrfs"), evidence)
    };
    let folio = refusal(&["uptodate", "private"]);
    let whole = holder(HolderKind::ExtentLock, 900, 2100, 31);
    // Somebody else had its range meanwhile: it was tried for then, and had later.
    let Event::Holder(mut between) = holder(HolderKind::ExtentLock, 1200, 1900, 32) else {
        unreachable!()
    };
    between.id = 30;
    let evidence = vec![folio.clone(), whole.clone(), Event::Holder(between)];
    let verdict = judged(evidence);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::ExtentLock, Confidence::Window)
    );
    let verdict = judged(vec![folio, whole]);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::ExtentLock, Confidence::Exact)
    );
    assert_eq!(verdict.holders, [31]);
    assert_eq!(verdict.party.unwrap().did, "locked in extent_fiemap");
}

#[test]
fn ordered_io_is_not_blamed_where_it_cannot_block() {
    let evidence = || {
        vec![
            refusal(&["uptodate"]),
            holder(HolderKind::OrderedIo, 1500, 2100, 31),
        ]
    };
    let blocks = judge(&start(true), failure(Phase::Pre, "btrfs"), evidence());
    assert_eq!(
        (blocks.cause, blocks.confidence),
        (Cause::OrderedIo, Confidence::Window)
    );
    let does_not = judge(&start(false), failure(Phase::Pre, "btrfs"), evidence());
    assert_eq!(
        (does_not.cause, does_not.confidence),
        (Cause::Unknown, Confidence::None)
    );
}

#[test]
fn the_writers_own_lock_is_no_holder_before_submission() {
    let evidence = vec![
        refusal(&["uptodate"]),
        holder(HolderKind::ExtentLock, 900, 2100, 11),
    ];
    let verdict = judge(&start(false), failure(Phase::Pre, "btrfs"), evidence);
    assert_eq!(verdict.cause, Cause::Unknown);
}

#[test]
fn a_post_failure_with_both_witnesses_is_exact() {
    let mut failure = failure(Phase::Post, "xfs");
    failure.wb_err_now = 5;
    let evidence = vec![refusal(&["dirty"]), Event::Dirtied(touched(1500, 21))];
    let verdict = judge(&start(false), failure, evidence);
    assert_eq!(
        (verdict.witness, verdict.confidence),
        (Some(Witness::Both), Confidence::Exact)
    );
}

#[test]
fn an_eio_that_nobody_saw_leaves_the_folio_as_the_only_witness() {
    let mut failure = failure(Phase::Post, "xfs");
    (failure.wb_err_begin, failure.wb_err_now) = (5, 5);
    let evidence = vec![refusal(&["dirty"]), Event::Dirtied(touched(1500, 21))];
    let verdict = judge(&start(false), failure, evidence);
    assert_eq!(
        (verdict.witness, verdict.confidence),
        (Some(Witness::Folio), Confidence::Window)
    );
    assert_eq!(verdict.withdrawn, None);
}

#[test]
fn a_folio_that_came_after_the_look_is_withdrawn() {
    let mut failure = failure(Phase::Post, "xfs");
    (failure.ts_ns, failure.duration_ns) = (1_000_000, 900_000);
    (failure.wb_err_begin, failure.wb_err_now) = (5, 5);
    let verdict = judge(
        &start(false),
        failure,
        vec![refusal(&["uptodate"]), Event::Cached(touched(995_000, 21))],
    );
    assert!(verdict.withdrawn.is_some());
}

#[test]
fn a_change_of_wb_err_that_another_failure_explains_is_withdrawn() {
    let mut engine = Engine::new(&start(false));
    let mut out = Vec::new();
    let outcome = |failure| {
        Event::Outcome(Outcome {
            failure,
            outcome: OutcomeKind::StaleCache,
            ret: None,
        })
    };
    let mut lonely = failure(Phase::Post, "xfs");
    lonely.wb_err_now = 5;
    let mut seen = lonely.clone();
    (seen.id, seen.ts_ns, seen.duration_ns, seen.refusals) = (2, 2500, 1500, 1);
    engine.push(Event::Failure(Box::new(lonely)), &mut out);
    engine.push(outcome(1), &mut out);
    engine.push(Event::Failure(Box::new(seen)), &mut out);
    let Event::Refusal(mut folio) = refusal(&["dirty"]) else {
        unreachable!()
    };
    folio.failure = 2;
    engine.push(Event::Refusal(folio), &mut out);
    engine.push(outcome(2), &mut out);
    engine.finish(&mut out);
    let withdrawn: Vec<_> = out
        .iter()
        .map(|j| (j.failure.id, j.verdict.withdrawn.is_some()))
        .collect();
    assert_eq!(withdrawn, [(1, true), (2, false)]);
}

#[test]
fn a_folio_met_while_mapping_names_who_brought_it_back() {
    let evidence = vec![refusal(&["uptodate"]), Event::Cached(touched(1900, 21))];
    let verdict = judge(&start(false), failure(Phase::Map, "btrfs"), evidence);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::Reappeared, Confidence::Exact)
    );
    assert_eq!(verdict.party.unwrap().did, "cached");
}

#[test]
fn an_open_case_is_judged_at_the_end() {
    let mut engine = Engine::new(&start(false));
    let mut out = Vec::new();
    let mut failure = failure(Phase::Pre, "ext4");
    failure.refusals = 3;
    engine.push(Event::Failure(Box::new(failure)), &mut out);
    engine.push(refusal(&["dirty"]), &mut out);
    assert!(out.is_empty());
    engine.finish(&mut out);
    assert_eq!(out.len(), 1);
}

#[test]
fn a_clean_folio_alone_does_not_show_a_post_failure() {
    let mut failure = failure(Phase::Post, "xfs");
    (failure.ts_ns, failure.duration_ns) = (1_000_000, 900_000);
    (failure.wb_err_begin, failure.wb_err_now) = (5, 5);
    let evidence = vec![refusal(&["uptodate"]), Event::Cached(touched(500_000, 21))];
    let verdict = judge(&start(false), failure, evidence);
    assert!(verdict.withdrawn.is_some());
}

#[test]
fn a_holder_is_kept_for_a_write_that_lasts_long() {
    let second = 1_000_000_000;
    let mut failure = failure(Phase::Pre, "btrfs");
    (failure.ts_ns, failure.duration_ns, failure.refusals) = (60 * second, 25 * second, 1);
    let mut engine = Engine::new(&start(true));
    let mut out = Vec::new();
    let lock = holder(HolderKind::OrderedIo, 30 * second, 36 * second, 31);
    let outcome = Event::Outcome(Outcome {
        failure: 1,
        outcome: OutcomeKind::BufferedFallback,
        ret: None,
    });
    let mark = |at: u64| Event::Mark(Mark { ts_ns: at * second });
    for event in [lock, mark(59), Event::Failure(Box::new(failure))] {
        engine.push(event, &mut out);
    }
    for event in [refusal(&["uptodate"]), outcome, mark(61), mark(62)] {
        engine.push(event, &mut out);
    }
    assert_eq!(out[0].verdict.cause, Cause::OrderedIo);
}
