//! Why the kernel refused to release one folio, seen while it did.
//!
//! The folio's state is that at the moment of refusal, and the folio was still locked: nobody can
//! have dirtied it since, or have begun to write it back.

use crate::event::{Refusal, Touched};

use super::Cause;
use super::case::Case;
use super::folio::{Run, Why, buffered, toucher_party};
use super::hold::refused_by_lock;

/// Explains a folio whose release was asked for at `entered`, and refused.
pub fn explain_refused(case: &Case, refusal: &Refusal, entered: u64, run: Run) -> Why {
    let why = state(case, refusal, entered, run);
    let cacher = last(&case.cached, refusal).filter(|t| case.spans(t.ts_ns));
    Why {
        refused: true,
        cacher: cacher.map(|t| toucher_party(t, "cached")),
        ..why
    }
}

/// Whoever touched the folio last before it was refused.
fn last<'a>(touched: &'a [Touched], refusal: &Refusal) -> Option<&'a Touched> {
    touched
        .iter()
        .filter(|t| t.index == refusal.index && t.ts_ns <= refusal.ts_ns)
        .max_by_key(|t| t.ts_ns)
}

fn state(case: &Case, refusal: &Refusal, entered: u64, run: Run) -> Why {
    let has = |flag: &str| refusal.folio_flags.iter().any(|f| f == flag);
    if has("dirty") {
        return dirty(case, refusal);
    }
    if has("writeback") {
        return Why::because(Cause::Writeback, "").exact();
    }
    if let Some(why) = buffered(refusal, has("checked")) {
        return why.exact();
    }
    if case.failure.fs == "btrfs" {
        return refused_by_lock(case, refusal, entered, run);
    }
    Why::unknown("the folio was clean, and nothing that held it was seen, when it was refused")
}

/// It was dirty: that is a fact. Whoever dirtied it last did it after the flush if after the begin
/// of the write; what was dirtied before should have been written back.
fn dirty(case: &Case, refusal: &Refusal) -> Why {
    let why = |reason| Why::because(Cause::Redirtied, reason);
    // Whoever dirtied the page before it was cached last dirtied a folio that is gone.
    let cached = last(&case.cached, refusal).map_or(0, |t| t.ts_ns);
    let Some(toucher) = last(&case.dirtied, refusal).filter(|t| cached <= t.ts_ns) else {
        let unseen = "dirtied unseen: before the file was watched, or forgotten since";
        return Why {
            reason: Some(unseen.to_owned()),
            ..why("").exact()
        };
    };
    let party = Some(toucher_party(toucher, "dirtied"));
    if case.spans(toucher.ts_ns) {
        return Why { party, ..why("") }.exact();
    }
    let reason = if case.failure.duration_ns == 0 {
        "the begin of the write was not seen"
    } else {
        "dirty since before the write began"
    };
    Why {
        party,
        ..why(reason)
    }
}
