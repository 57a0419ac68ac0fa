//! The other party of a failure in words.

use super::cell;
use crate::correlate::{Judged, Party, Witness};
use crate::event::{How, OutcomeKind};

/// Who was the other party, what it did and for how long; who brought the folio back; what shows a
/// post failure, and what follows from it; why more is not known. Empty when there is nothing to say.
pub(super) fn detail(judged: &Judged) -> String {
    let Judged { failure, verdict } = judged;
    let mut parts = Vec::new();
    if let Some(party) = &verdict.party {
        parts.push(party_text(party, failure.ts_ns));
    }
    // Who dirtied a folio has often cached it as well.
    let known = |tid| verdict.party.as_ref().is_some_and(|party| party.tid == tid);
    let cacher = verdict.cached_by.as_ref();
    if let Some(cacher) = cacher.filter(|cacher| !known(cacher.tid)) {
        parts.push(party_text(cacher, failure.ts_ns));
    }
    if verdict.self_inflicted {
        parts.push("self-inflicted".to_owned());
    }
    if !verdict.also.is_empty() {
        let also: Vec<_> = verdict.also.iter().map(|cause| cause.name()).collect();
        parts.push(format!("also {}", also.join(", ")));
    }
    if let Some(witness) = verdict.witness {
        parts.push(
            match witness {
                Witness::Both => "seen by folio and wb_err",
                Witness::Folio => "seen by folio",
                Witness::WbErr => "seen by wb_err",
                Witness::Result => "seen by the result",
                Witness::Warned => "seen by the kernel's warning",
            }
            .to_owned(),
        );
    }
    if verdict.outcome == OutcomeKind::StaleCache {
        parts.push("the next fsync returns EIO".to_owned());
    }
    if let Some(reason) = &verdict.reason {
        parts.push(cell::clean(reason, false));
    }
    parts.join("; ")
}

fn party_text(party: &Party, ts_ns: u64) -> String {
    let how = match party.how {
        None | Some(How::Unknown) => "",
        Some(How::Mmap) => " (mmap)",
        Some(How::Buffered) => " (buffered write)",
        Some(How::Read) => " (read)",
        Some(How::IoUring) => " (io_uring)",
        Some(How::Kernel) => " (kernel thread)",
    };
    let when = match (party.held_ns, ts_ns.checked_sub(party.since_ns)) {
        (Some(held_ns), _) => format!("for {}", cell::duration(held_ns)),
        // Time 0: when is not known.
        (None, _) if party.since_ns == 0 => String::new(),
        (None, Some(before_ns)) => format!("{} before", cell::duration(before_ns)),
        (None, None) => format!("{} after", cell::duration(party.since_ns - ts_ns)),
    };
    let task = cell::task(&party.comm, party.pid, usize::MAX);
    let did = cell::clean(&party.did, false);
    format!("{task} {did}{how} {when}").trim_end().to_owned()
}
