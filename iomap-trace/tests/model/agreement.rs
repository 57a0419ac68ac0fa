//! What the engine says, beside what was true.

use iomap_trace::correlate::{Cause, Confidence, Engine, Judged, Verdict};
use iomap_trace::event::Event;
use iomap_trace::reference::model::{Run, Truth};

/// The engine's verdicts of a stream.
pub fn judge(events: Vec<Event>) -> Vec<Judged> {
    let mut engine = None;
    let mut out = Vec::new();
    for event in events {
        if let Event::Start(start) = &event {
            engine = Some(Engine::new(start));
        }
        engine.as_mut().unwrap().push(event, &mut out);
    }
    engine.unwrap().finish(&mut out);
    out
}

/// The truth of this verdict.
pub fn truth_of<'a>(run: &'a Run, judged: &Judged) -> &'a Truth {
    let id = judged.failure.id;
    run.truths.iter().find(|truth| truth.failure == id).unwrap()
}

/// Why an `exact` verdict is wrong, if it is.
pub fn wrong(verdict: &Verdict, truth: &Truth) -> Option<String> {
    if verdict.confidence != Confidence::Exact || verdict.withdrawn.is_some() {
        return None;
    }
    let tid = verdict.party.as_ref().map(|party| party.tid);
    let of_cause: Vec<_> = truth
        .reasons
        .iter()
        .filter(|reason| reason.cause == verdict.cause)
        .collect();
    if of_cause.is_empty() {
        return Some("the cause was another".to_owned());
    }
    // Where nobody is named the cause alone is claimed.
    let named = of_cause.iter().filter(|r| tid.is_none() || r.tid == tid);
    let named: Vec<_> = named.collect();
    if named.is_empty() {
        return Some("the party was another".to_owned());
    }
    if tid.is_some()
        && named
            .iter()
            .all(|r| r.self_inflicted != verdict.self_inflicted)
    {
        return Some("self-inflicted is wrong".to_owned());
    }
    // A front that ordered I/O gave back while it waited is on no record of its own.
    let recorded = named.iter().all(|r| !r.holders.is_empty());
    let locks = matches!(verdict.cause, Cause::OrderedIo | Cause::ExtentLock) && recorded;
    let known = |id: &u64| truth.reasons.iter().any(|r| r.holders.contains(id));
    if locks && !verdict.holders.iter().any(known) {
        return Some("none of the holders held it".to_owned());
    }
    None
}
