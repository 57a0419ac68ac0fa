//! What holds for every run and every order of its records.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::oracle::{Known, Said};
use super::start;
use super::strategies::{GRACE_NS, Run, order, run, tangled};
use crate::correlate::{Confidence, Engine, Judged};
use crate::event::*;

/// Verdicts of a stream, as they came.
pub(super) fn play(start: &Start, stream: &[Event]) -> Vec<Judged> {
    let mut engine = Engine::new(start);
    let mut out = Vec::new();
    for event in stream {
        engine.push(event, &mut out);
    }
    engine.finish(&mut out);
    out
}

/// Verdicts by failure.
fn said(judged: &[Judged]) -> Vec<Said> {
    let mut said: Vec<Said> = judged.iter().map(Said::from).collect();
    said.sort();
    said
}

/// How many records of a stream have come before failure `id` is decided: up to the first mark,
/// after its own last record, that is not within its grace period.
fn decided_at(run: &Run, stream: &[Event], id: u64) -> usize {
    let whole = whole_at(stream, id);
    let ts_ns = run
        .told
        .iter()
        .find(|t| t.failure.id == id)
        .map_or(0, |t| t.failure.ts_ns);
    let decides = |event: &Event| matches!(event, Event::Mark(mark) if mark.ts_ns >= ts_ns.saturating_add(GRACE_NS));
    let mark = stream[whole..].iter().position(decides);
    mark.map_or(stream.len(), |at| whole + at)
}

/// How many records have come when failure `id` has all of its own.
fn whole_at(stream: &[Event], id: u64) -> usize {
    let outcome = |event: &Event| matches!(event, Event::Outcome(o) if o.failure == id);
    stream
        .iter()
        .position(outcome)
        .map_or(stream.len(), |at| at + 1)
}

/// What the oracle says of a stream.
fn expected(run: &Run, stream: &[Event]) -> Vec<Said> {
    let mut said = Vec::new();
    for told in &run.told {
        let at = decided_at(run, stream, told.failure.id);
        let came = |holder: &&Holder| {
            let it = |event: &Event| matches!(event, Event::Holder(h) if h.id == holder.id);
            stream[..at].iter().any(it)
        };
        let known = Known {
            start: &run.start,
            others: run
                .told
                .iter()
                .filter(|other| other.failure.id != told.failure.id)
                .filter(|other| whole_at(stream, other.failure.id) <= at)
                .collect(),
            holders: run.holders.iter().filter(came).collect(),
        };
        said.push(known.judge(told));
    }
    said.sort();
    said
}

/// The time of a record, early enough that no mark before it decides what it bears on.
fn early(run: &Run, event: &Event) -> u64 {
    let first = run.told.iter().map(|t| t.failure.ts_ns).min().unwrap_or(0);
    let graced = first.saturating_add(GRACE_NS);
    match event {
        Event::Holder(holder) => holder.end_ns.min(graced) - 1,
        other => run.time(other) - 1,
    }
}

/// What is true of every list of verdicts of `failures`.
fn sound(judged: &[Judged]) -> TestCaseResult {
    for Judged { failure, verdict } in judged {
        prop_assert_eq!(failure.id, verdict.failure);
        prop_assert_eq!(
            verdict.reason.is_none(),
            verdict.confidence == Confidence::Exact
        );
        prop_assert_eq!(verdict.witness.is_some(), failure.phase == Phase::Post);
        prop_assert!(verdict.withdrawn.is_none() || verdict.confidence != Confidence::Exact);
        prop_assert!(!verdict.also.contains(&verdict.cause));
    }
    Ok(())
}

/// Counter-examples become tests with a name, not files of seeds.
pub(super) fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        // Many stories of the model end well, and leave no record.
        max_global_rejects: u32::MAX,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_oracle_agrees(run in run(), order in order()) {
        let stream = run.stream(&order, true, |event| run.time(event));
        let judged = play(&run.start, &stream);
        sound(&judged)?;
        prop_assert_eq!(said(&judged), expected(&run, &stream), "{:#?}", stream);
    }

    #[test]
    fn the_oracle_agrees_when_failures_are_interleaved(run in run(), order in order()) {
        let stream = run.stream(&order, false, |event| run.time(event));
        let judged = play(&run.start, &stream);
        prop_assert_eq!(said(&judged), expected(&run, &stream), "{:#?}", stream);
    }

    #[test]
    fn the_order_does_not_matter(run in run(), one in order(), other in order()) {
        let stream = |order| run.stream(order, false, |event| early(&run, event));
        let sorted = |mut judged: Vec<Judged>| {
            judged.sort_by_key(|j| j.failure.id);
            judged
        };
        let first = sorted(play(&run.start, &stream(&one)));
        prop_assert_eq!(first, sorted(play(&run.start, &stream(&other))));
    }

    #[test]
    fn a_stream_cut_anywhere_gives_one_verdict_for_each_failure(
        run in run(), order in order(), cut in any::<prop::sample::Index>(),
    ) {
        let mut stream = run.stream(&order, false, |event| run.time(event));
        stream.truncate(cut.index(stream.len() + 1));
        let judged = play(&run.start, &stream);
        sound(&judged)?;
        let mut ids: Vec<u64> = judged.iter().map(|j| j.failure.id).collect();
        ids.sort_unstable();
        let mut begun: Vec<u64> = stream
            .iter()
            .filter_map(|e| if let Event::Failure(f) = e { Some(f.id) } else { None })
            .collect();
        begun.sort_unstable();
        prop_assert_eq!(ids, begun);
    }

    #[test]
    fn a_replay_says_the_same(run in run(), order in order()) {
        let stream = run.stream(&order, true, |event| run.time(event));
        let read: Vec<Event> = stream
            .iter()
            .map(|event| serde_json::to_string(event).unwrap())
            .map(|line| serde_json::from_str(&line).unwrap())
            .collect();
        prop_assert_eq!(&read, &stream);
        let Some(Event::Start(start)) = read.first() else { unreachable!() };
        let lines = |judged: Vec<Judged>| -> Vec<String> {
            judged.iter().map(|j| serde_json::to_string(&j.verdict).unwrap()).collect()
        };
        prop_assert_eq!(lines(play(start, &read)), lines(play(&run.start, &stream)));
    }

    #[test]
    fn a_holder_of_another_inode_is_never_named(run in run(), order in order()) {
        let stream = run.stream(&order, false, |event| run.time(event));
        for Judged { failure, verdict } in play(&run.start, &stream) {
            for id in verdict.holders {
                let holder = run.holders.iter().find(|h| h.id == id).unwrap();
                prop_assert_eq!(
                    (holder.dev, holder.root, holder.ino),
                    (failure.dev, failure.root, failure.ino)
                );
            }
        }
    }

    #[test]
    fn a_far_mark_leaves_nothing_behind(
        run in run(), order in order(), cut in any::<prop::sample::Index>(),
    ) {
        let mut stream = run.stream(&order, false, |event| run.time(event));
        stream.truncate(cut.index(stream.len() + 1));
        stream.push(Event::Mark(Mark { ts_ns: u64::MAX }));
        let mut engine = Engine::new(&run.start);
        for event in &stream {
            engine.push(event, &mut Vec::new());
        }
        let kept = format!("{engine:?}");
        for what in ["Case {", "Holder {", "Explained {"] {
            prop_assert!(!kept.contains(what), "{kept}");
        }
        prop_assert!(kept.contains("waiting_of: {}, "), "{kept}");
    }

    #[test]
    fn any_stream_is_survived_with_one_verdict_for_each_failure(
        stream in vec(tangled(), 0..30),
    ) {
        let failures = stream.iter().filter(|e| matches!(e, Event::Failure(_))).count();
        prop_assert_eq!(play(&start(true), &stream).len(), failures);
    }
}
