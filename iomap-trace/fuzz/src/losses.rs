//! What verdicts say of what was lost.

use iomap_trace::correlate::{Cause, Confidence, Judged};
use iomap_trace::event::{Event, Failure, Loss};

/// Hooks that a probe can lose something of, the ring of records, and one that is not known.
const HOOKS: [&str; 11] = [
    "invalidate",
    "release",
    "ordered",
    "extent-lock",
    "dirty",
    "cached",
    "dio",
    "writeback-error",
    "stale-warn",
    "ring",
    "other",
];

/// A loss of one hook that lasts as long as time does; `choice` chooses the hook.
pub fn forever(choice: usize) -> Event {
    Event::Loss(Loss {
        hook: HOOKS[choice % HOOKS.len()].into(),
        counter: "missed".into(),
        count: 1,
        since_ns: 0,
        ts_ns: u64::MAX,
    })
}

/// Checks that no verdict is certain which rests on a hook that lost something meanwhile, and that
/// each names the hook. Only losses are looked at that came before the failure and that last longer
/// than anything it tells of: they meet every window that a verdict can have.
///
/// # Panics
/// When one is certain, or does not name the hook.
pub fn check(events: &[Event], judged: &[Judged]) {
    for Judged { failure, verdict } in judged {
        let (from, to) = times(events, failure);
        let lasts = |loss: &&Loss| {
            let ends = (loss.since_ns, loss.ts_ns);
            ends.0.min(ends.1) <= from && to <= ends.0.max(ends.1)
        };
        for loss in known(events, failure.id).filter(lasts) {
            if !rests(verdict.cause, verdict.party.is_some(), &loss.hook) {
                continue;
            }
            let exact = verdict.confidence == Confidence::Exact;
            assert!(!exact, "{loss:?}: {verdict:?}");
            let named = verdict.evidence_missing.contains(&loss.hook);
            assert!(named, "{loss:?}: {verdict:?}");
        }
    }
}

/// The losses that were known when this failure came.
fn known(events: &[Event], id: u64) -> impl Iterator<Item = &Loss> {
    let other = move |event: &&Event| !matches!(event, Event::Failure(f) if f.id == id);
    events.iter().take_while(other).filter_map(|e| match e {
        Event::Loss(loss) => Some(loss),
        _ => None,
    })
}

/// The first and the last moment that the records of a failure tell of: every window of a verdict
/// has one of these, or lies between them.
fn times(events: &[Event], failure: &Failure) -> (u64, u64) {
    let begin = failure.ts_ns.saturating_sub(failure.duration_ns);
    let own = |event: &Event| match event {
        Event::Refusal(r) if r.failure == failure.id => Some((r.entered_ns, r.ts_ns)),
        _ => None,
    };
    let refusals = events.iter().filter_map(own);
    let refusals = refusals.flat_map(|(entered, ts)| [entered.unwrap_or(ts), ts]);
    let all = refusals.chain([begin, failure.ts_ns]);
    all.fold((u64::MAX, 0), |(from, to), ns| (from.min(ns), to.max(ns)))
}

/// Whether a cause rests on a hook: the table in `correlate/evidence.rs`, as far as it does not
/// depend on how a folio was found.
fn rests(cause: Cause, named: bool, hook: &str) -> bool {
    let any = matches!(hook, "ring" | "other");
    match cause {
        Cause::Writeback | Cause::Journal | Cause::Buffers | Cause::Launder => false,
        Cause::OrderedIo | Cause::ExtentLock => any || matches!(hook, "ordered" | "extent-lock"),
        // A folio that was dirty when it was refused is a fact, whoever dirtied it.
        Cause::Redirtied => named && (any || matches!(hook, "dirty" | "cached")),
        Cause::Reappeared => any || matches!(hook, "dirty" | "cached"),
        Cause::WritebackError => {
            any || matches!(
                hook,
                "writeback-error" | "dio" | "dirty" | "release" | "invalidate"
            )
        }
        Cause::Unknown => any || matches!(hook, "invalidate" | "release" | "dirty" | "cached"),
    }
}
