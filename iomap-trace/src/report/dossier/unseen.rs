//! What was not visible, and why.

use serde::Serialize;

use super::runs::Runs;
use crate::event::HookState;
use crate::report::summary::Summary;

/// What no record of this version tells, and how to find it out.
pub const NOT_RECORDED: &[(&str, &str)] = &[
    (
        "the moment at which writeback of the range ended",
        "no probe is set there; it lies between the ordered extent's creation and the start of its completion",
    ),
    (
        "iomap type, flags and length of the mapping",
        "before submission there is none yet; for the rest `trace-cmd record -e iomap:iomap_iter_dstmap`",
    ),
    (
        "whether the data differ",
        "compare a direct read with a buffered one; `iomap-trace repro` checks the data of its own file",
    ),
    (
        "whether an fsync was called afterwards, and by whom it was told EIO",
        "`strace -f -e trace=fsync,fdatasync` on the processes named here",
    ),
];

/// Something that could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// Hook.
    pub hook: String,
    /// There was no probe at all; otherwise one that does not see everything.
    pub skipped: bool,
    /// What was used instead of the best probe.
    pub via: Option<String>,
    /// Why.
    pub why: String,
    /// Better probes that were not possible, and why.
    pub rejected: Vec<(String, String)>,
    /// Verdicts that this hook could have made surer.
    pub verdicts: u64,
}

/// Hooks that saw nothing, or not everything; equal ones of several runs once.
pub(super) fn unseen(runs: &Runs, summary: &Summary) -> Vec<Unseen> {
    let mut list: Vec<Unseen> = Vec::new();
    for hook in runs.kept.iter().flat_map(|run| &run.start.hooks) {
        let skipped = hook.state == HookState::Skipped;
        if !skipped && hook.reason.is_none() && hook.rejected.is_empty() {
            continue;
        }
        let verdicts = summary.evidence_missing.get(&hook.hook);
        let unseen = Unseen {
            hook: hook.hook.clone(),
            skipped,
            via: hook.via.clone(),
            why: hook.reason.clone().unwrap_or_default(),
            rejected: hook
                .rejected
                .iter()
                .map(|r| (r.via.clone(), r.why.clone()))
                .collect(),
            verdicts: verdicts.copied().unwrap_or_default(),
        };
        if !list.contains(&unseen) {
            list.push(unseen);
        }
    }
    // Hooks that were attached, and lost what a verdict would have needed.
    for (hook, verdicts) in &summary.evidence_missing {
        if !list.iter().any(|unseen| unseen.hook == *hook) {
            list.push(Unseen {
                hook: hook.clone(),
                skipped: false,
                via: None,
                why: "records of it were lost".to_owned(),
                rejected: Vec::new(),
                verdicts: *verdicts,
            });
        }
    }
    list
}
