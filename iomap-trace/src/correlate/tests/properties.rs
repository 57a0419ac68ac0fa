//! What holds for every run and every order of its records.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use std::collections::BTreeSet;

use super::oracle::{Known, Said};
use super::refused::SETTLES;
use super::start;
use super::strategies::{Run, Told, order, run, tangled};
use crate::correlate::{Confidence, Engine, Judged};
use crate::event::*;

/// Verdicts of a stream, as they came.
pub(super) fn play(start: &Start, stream: &[Event]) -> Vec<Judged> {
    let mut engine = Engine::new(start);
    let mut out = Vec::new();
    for event in stream {
        engine.push(event.clone(), &mut out);
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

/// What is known of failure `told` when it is decided: at a mark that is not before it, when nothing
/// can change the verdict any more. That is asked at the first such mark, at one that follows a lock
/// which bears on a folio, and at the moment that the last answer gave; or else at the end.
fn known_at_last<'a>(run: &'a Run, stream: &[Event], told: &Told) -> Known<'a> {
    let seen = told.failure.ts_ns;
    let (mut due, mut touched) = (seen, false);
    for at in whole_at(stream, told.failure.id)..stream.len() {
        match &stream[at] {
            Event::Holder(holder) => {
                touched |= known(run, &stream[..at], told).touches(told, holder);
            }
            Event::Mark(mark) if mark.ts_ns >= due || touched && mark.ts_ns >= seen => {
                let known = known(run, &stream[..=at], told);
                due = known.until(told).max(seen);
                touched = false;
                if due <= mark.ts_ns {
                    return known;
                }
            }
            _ => {}
        }
    }
    known(run, stream, told)
}

/// What is known of failure `told` when the records of `came` have come.
fn known<'a>(run: &'a Run, came: &[Event], told: &Told) -> Known<'a> {
    let has = |holder: &&Holder| {
        let it = |event: &Event| matches!(event, Event::Holder(h) if h.id == holder.id);
        came.iter().any(it)
    };
    let other = |other: &&Told| {
        let id = other.failure.id;
        id != told.failure.id && whole_at(came, id) <= came.len()
    };
    let marks = came.iter().filter_map(|event| match event {
        Event::Mark(mark) => Some(mark.ts_ns),
        _ => None,
    });
    Known {
        start: &run.start,
        others: run.told.iter().filter(other).collect(),
        holders: run.holders.iter().filter(has).collect(),
        losses: came
            .iter()
            .filter_map(|event| match event {
                Event::Loss(loss) => Some(loss.clone()),
                _ => None,
            })
            .collect(),
        complete_ns: marks.max().unwrap_or(0),
    }
}

/// How many records have come when failure `id` has all of its own.
fn whole_at(stream: &[Event], id: u64) -> usize {
    let outcome = |event: &Event| matches!(event, Event::Outcome(o) if o.failure == id);
    stream
        .iter()
        .position(outcome)
        .map_or(stream.len() + 1, |at| at + 1)
}

/// What the oracle says of a stream.
fn expected(run: &Run, stream: &[Event]) -> Vec<Said> {
    let says = |told: &Told| known_at_last(run, stream, told).judge(told);
    let mut said: Vec<Said> = run.told.iter().map(says).collect();
    said.sort();
    said
}

/// The time of a record, early enough that no mark before it decides what it bears on.
fn early(run: &Run, event: &Event) -> u64 {
    let first = run.told.iter().map(|t| t.failure.ts_ns).min().unwrap_or(0);
    let settled = first.saturating_add(SETTLES);
    match event {
        Event::Holder(holder) => holder.end_ns.min(settled) - 1,
        // What is lost is known when the first failure is decided.
        Event::Loss(_) => first - 1,
        other => run.time(other) - 1,
    }
}

/// What is true of every list of verdicts of `failures`.
fn sound(judged: &[Judged]) -> TestCaseResult {
    for Judged { failure, verdict } in judged {
        prop_assert_eq!(failure.id, verdict.failure);
        let exact = verdict.confidence == Confidence::Exact;
        // Of what is certain only the party may be missing.
        let unnamed = exact && verdict.party.is_none();
        prop_assert!(verdict.reason.is_some() != exact || unnamed);
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
        let stream = |order| {
            let mut stream = run.stream(order, false, |event| early(&run, event));
            stream.push(Event::Mark(Mark { ts_ns: u64::MAX }));
            stream
        };
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
        begun.dedup();
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
            engine.push(event.clone(), &mut Vec::new());
        }
        prop_assert!(engine.is_empty(), "{:?}", engine);
    }

    #[test]
    fn any_stream_is_survived_with_one_verdict_for_each_failure(
        stream in vec(tangled(), 0..30),
    ) {
        let ids: BTreeSet<u64> = stream.iter().filter_map(|event| match event {
            Event::Failure(failure) => Some(failure.id),
            _ => None,
        }).collect();
        let judged = play(&start(true), &stream);
        let said: Vec<u64> = judged.iter().map(|j| j.failure.id).collect();
        prop_assert_eq!(said.len(), ids.len());
        prop_assert_eq!(said.into_iter().collect::<BTreeSet<_>>(), ids);
    }
}
