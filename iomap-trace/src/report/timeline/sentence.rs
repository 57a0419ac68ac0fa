//! A verdict in one sentence.

use super::super::cell;
use crate::correlate::{Cause, Confidence, Judged};
use crate::event::{OutcomeKind, Phase};

/// What kept the folio, who it was, and what became of the write.
pub fn sentence(Judged { failure, verdict }: &Judged) -> String {
    let task = |comm: &str, pid| cell::task(comm, pid, 40);
    let by = match &verdict.party {
        Some(party) => format!(" ({})", task(&party.comm, party.pid)),
        None => String::new(),
    };
    let held = verdict.party.as_ref().and_then(|party| party.held_ns);
    let held = held.map_or_else(String::new, |ns| format!(" for {}", cell::duration(ns)));
    let own = verdict.self_inflicted;
    let what = match verdict.cause {
        Cause::OrderedIo if own => format!(
            "the completion{by} of an ordered extent that the write's own flush had made held the \
             range{held}"
        ),
        Cause::OrderedIo => format!("the completion{by} of an ordered extent held the range{held}"),
        Cause::ExtentLock => {
            let did = verdict
                .party
                .as_ref()
                .map(|party| cell::clean(&party.did, false));
            let task = verdict
                .party
                .as_ref()
                .map(|party| task(&party.comm, party.pid));
            match (task, did) {
                (Some(task), Some(did)) => format!("{task} {did}{held}"),
                _ => format!("another task held the range{held}"),
            }
        }
        Cause::Redirtied => format!("the folio was dirtied again{by} after the write's flush"),
        Cause::Writeback => format!("the folio was under writeback{by}"),
        Cause::Journal => "the journal held the folio's buffers".to_owned(),
        Cause::Buffers => "a buffer head of the folio was busy".to_owned(),
        Cause::Launder => "the filesystem could not launder the folio".to_owned(),
        Cause::Reappeared => format!("a folio was back in the page cache{by}"),
        Cause::WritebackError => {
            "the flush before the write failed, and nothing was invalidated".to_owned()
        }
        Cause::Unknown => "why the folio was kept is not known".to_owned(),
    };
    let when = match failure.phase {
        Phase::Pre => "before submission",
        Phase::Map => "while the range was mapped",
        Phase::Post => "after completion",
    };
    let so = match verdict.outcome {
        OutcomeKind::BufferedFallback if verdict.cause == Cause::WritebackError => {
            "the write went through the page cache, and only fsync tells whether it is on disk"
        }
        OutcomeKind::BufferedFallback => {
            "the write went through the page cache: harmless, but not direct"
        }
        OutcomeKind::StaleCache => {
            "the data is on disk, the page cache may be stale, and the next fsync returns EIO"
        }
        OutcomeKind::Error => "the write returned an error",
        OutcomeKind::Unknown => "what became of the write is not known",
    };
    let sure = match verdict.confidence {
        Confidence::Exact => "exact",
        Confidence::Window => "not certain: times overlap",
        Confidence::None => "nothing is claimed",
    };
    let reason = match &verdict.reason {
        Some(reason) => format!(": {}", cell::clean(reason, false)),
        None => String::new(),
    };
    format!("{when}, {what}; {so} ({sure}{reason}).")
}
