//! Failures by cause and phase.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::correlate::{Cause, Confidence, Judged};
use crate::event::{How, OutcomeKind, Phase, Text};

/// Failures of one cause in one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kind {
    /// Cause.
    pub cause: Cause,
    /// Phase.
    pub phase: Phase,
    /// How many.
    pub failures: u64,
    /// How many of these verdicts are exact.
    pub exact: u64,
    /// How many overlap in time only.
    pub window: u64,
    /// How many were the writer's own doing.
    pub self_inflicted: u64,
    /// What became of the writes.
    pub outcomes: BTreeMap<OutcomeKind, u64>,
    /// How the other party came to the page cache, where it did.
    pub how: BTreeMap<How, u64>,
    /// What `invalidate_inode_pages2_range()` returned, where that was seen; sixteen at most.
    pub errnos: BTreeMap<i32, u64>,
    /// Types of the filesystems, sixteen at most.
    pub filesystems: BTreeMap<Text, u64>,
}

/// Values that are told apart: there are no more in use, but a log can say anything.
const VALUES: usize = 16;

/// The sums by kind.
#[derive(Debug, Default)]
pub(super) struct Kinds(BTreeMap<(Cause, Phase), Kind>);

impl Kinds {
    /// A verdict.
    pub fn add(&mut self, Judged { failure, verdict }: &Judged) {
        let (cause, phase) = (verdict.cause, failure.phase);
        let kind = self.0.entry((cause, phase)).or_insert_with(|| Kind {
            cause,
            phase,
            failures: 0,
            exact: 0,
            window: 0,
            self_inflicted: 0,
            outcomes: BTreeMap::new(),
            how: BTreeMap::new(),
            errnos: BTreeMap::new(),
            filesystems: BTreeMap::new(),
        });
        kind.failures += 1;
        kind.exact += u64::from(verdict.confidence == Confidence::Exact);
        kind.window += u64::from(verdict.confidence == Confidence::Window);
        kind.self_inflicted += u64::from(verdict.self_inflicted);
        *kind.outcomes.entry(verdict.outcome).or_default() += 1;
        if let Some(how) = verdict.party.as_ref().and_then(|party| party.how) {
            *kind.how.entry(how).or_default() += 1;
        }
        if let Some(errno) = failure.errno {
            count(&mut kind.errnos, &errno);
        }
        count(&mut kind.filesystems, &failure.fs);
    }

    /// The stale ones first, then the most frequent.
    pub fn ranked(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.0.values().cloned().collect();
        kinds.sort_by_key(|kind| {
            (
                kind.phase != Phase::Post,
                std::cmp::Reverse(kind.failures),
                kind.cause,
            )
        });
        kinds
    }
}

fn count<K: Ord + Clone>(counts: &mut BTreeMap<K, u64>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count += 1;
    } else if counts.len() < VALUES {
        counts.insert(key.clone(), 1);
    }
}
