//! Why the kernel refused to release one folio, seen while it did.
//!
//! The folio's state is that at the moment of refusal, and the folio was still locked: nobody can
//! have dirtied it since, or have begun to write it back.

use crate::event::Touched;

use super::Cause;
use super::case::{Case, Folio};
use super::folio::{Look, buffered, why_window};
use super::hold::refused_by_lock;
use super::why::{Who, Why};

/// Explains the `number`th folio, whose release was asked for at `entered`, and refused.
pub fn explain_refused<'a>(
    look: Look<'a>,
    number: usize,
    refusal: &'a Folio,
    entered: u64,
) -> Why<'a> {
    let case = look.case;
    let why = state_when_refused(case, refusal).unwrap_or_else(|| {
        if case.failure.fs == "btrfs" {
            return refused_by_lock(look, number, refusal, entered);
        }
        Why::unknown("the folio was clean, and nothing that held it was seen, when it was refused")
    });
    Why {
        refused: true,
        cacher: last(&case.records.cached, refusal).filter(|t| case.spans(t.ts_ns)),
        window: why_window(case, why.window, refusal.ts_ns),
        ..why
    }
}

/// Whoever touched the folio last before it was refused.
fn last<'a>(touched: &'a [Touched], refusal: &Folio) -> Option<&'a Touched> {
    touched
        .iter()
        .filter(|t| t.index == refusal.index && t.ts_ns <= refusal.ts_ns)
        .max_by_key(|t| t.ts_ns)
}

/// What the state of the folio explains by itself.
pub fn state_when_refused<'a>(case: &'a Case, refusal: &Folio) -> Option<Why<'a>> {
    if refusal.dirty {
        return Some(dirty(case, refusal));
    }
    if refusal.writeback {
        return Some(Why::because(Cause::Writeback, "").exact());
    }
    let why = buffered(refusal)?;
    // jbd2 takes no folio lock to let go of a buffer: a journal head that is there was there, one
    // that is not may have been (fs/jbd2/transaction.c `jbd2_journal_try_to_free_buffers`).
    let journaled = ["ext4", "ocfs2"].contains(&case.failure.fs.as_str());
    Some(if why.cause == Cause::Buffers && journaled {
        Why {
            reason: Some("busy when it was refused; the journal may have held it just before"),
            ..why
        }
    } else {
        why.exact()
    })
}

/// It was dirty: that is a fact. Whoever dirtied it last did it after the flush if after the begin
/// of the write; what was dirtied before should have been written back.
///
/// Without a party `exact` claims the cause and no more: no record that was lost can change it.
fn dirty<'a>(case: &'a Case, refusal: &Folio) -> Why<'a> {
    let why = |reason| Why::because(Cause::Redirtied, reason);
    // Whoever dirtied the page before it was cached last dirtied a folio that is gone.
    let cached = last(&case.records.cached, refusal).map_or(0, |t| t.ts_ns);
    let toucher = last(&case.records.dirtied, refusal).filter(|t| cached <= t.ts_ns);
    let Some(toucher) = toucher else {
        return Why {
            reason: Some("dirtied unseen: before the file was watched, or forgotten since"),
            ..why("").exact()
        };
    };
    let by = Who::Dirtied(toucher);
    if case.spans(toucher.ts_ns) {
        return why("").by(by).exact();
    }
    why(if case.failure.duration_ns == 0 {
        "the begin of the write was not seen"
    } else {
        "dirty since before the write began"
    })
    .by(by)
}
