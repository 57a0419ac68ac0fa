//! The engine that makes verdicts of events.

use super::{events, losses};
use iomap_trace::correlate::{Cause, Confidence, Engine, Judged, Verdict};
use iomap_trace::event::{Event, Start};
use std::collections::BTreeSet;

/// Judges a run made of `input`: each failure once, the same way each time, naming nobody who is not
/// in the records, and certain of nothing that rests on what was lost; then again with one hook that
/// loses something all the time.
///
/// # Panics
/// When one of these does not hold.
pub fn engine(input: &[u8]) {
    let (start, events) = events::run(input);
    let judged = judge(&start, &events);
    let mut said: Vec<u64> = judged.iter().map(|judged| judged.failure.id).collect();
    said.sort_unstable();
    // A failure is known by its number: one that comes again is the same one.
    let asked: BTreeSet<u64> = events.iter().filter_map(failure_of).collect();
    assert_eq!(said, Vec::from_iter(asked), "each failure is judged once");
    let known = Known::of(&events);
    for judged in &judged {
        known.check(judged);
        let text = serde_json::to_string(&judged.verdict).expect("a verdict is JSON");
        let read: Verdict = serde_json::from_str(&text).expect("a verdict can be read");
        assert_eq!(read, judged.verdict);
    }
    assert_eq!(judge(&start, &events), judged);
    losses::check(&events, &judged);
    let mut worse = vec![losses::forever(input.len())];
    worse.extend(events);
    losses::check(&worse, &judge(&start, &worse));
}

fn judge(start: &Start, events: &[Event]) -> Vec<Judged> {
    let mut engine = Engine::new(start);
    let mut judged = Vec::new();
    for event in events {
        engine.push(event.clone(), &mut judged);
    }
    engine.finish(&mut judged);
    let all = judged.len();
    engine.finish(&mut judged);
    assert_eq!(judged.len(), all, "an end is the end");
    judged
}

fn failure_of(event: &Event) -> Option<u64> {
    match event {
        Event::Failure(failure) => Some(failure.id),
        _ => None,
    }
}

/// Whom the records name.
#[derive(Default)]
struct Known {
    holders: BTreeSet<u64>,
    /// Process and thread.
    tasks: BTreeSet<(u32, u32)>,
}

impl Known {
    fn of(events: &[Event]) -> Self {
        let mut known = Self::default();
        for event in events {
            match event {
                Event::Holder(holder) => {
                    known.holders.insert(holder.id);
                    known.tasks.insert((holder.pid, holder.tid));
                }
                Event::Dirtied(touched) | Event::Cached(touched) => {
                    known.tasks.insert((touched.pid, touched.tid));
                }
                _ => {}
            }
        }
        known
    }

    fn check(&self, Judged { failure, verdict }: &Judged) {
        assert_eq!(verdict.failure, failure.id);
        let parties = [&verdict.party, &verdict.cached_by];
        for party in parties.into_iter().flatten() {
            assert!(self.tasks.contains(&(party.pid, party.tid)), "{verdict:?}");
        }
        let mut holders = verdict.holders.iter();
        assert!(holders.all(|id| self.holders.contains(id)), "{verdict:?}");
        assert!(!verdict.also.contains(&verdict.cause), "{verdict:?}");
        if verdict.cause == Cause::Unknown {
            assert_eq!(verdict.confidence, Confidence::None, "{verdict:?}");
        }
        if verdict.confidence != Confidence::Exact {
            assert!(verdict.reason.is_some(), "{verdict:?}");
        }
    }
}
