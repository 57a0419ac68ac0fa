//! One failure with all that is known of it.

use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::recent::{Recent, Records};
use crate::correlate::{Confidence, Judged, Verdict};
use crate::event::{Clock, Failure, Holder, KernelInfo, Start, Text};

/// Where a failure comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Number of the run, from 1.
    pub run: u64,
    /// Host, where a report may have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Text>,
    /// Kernel.
    pub kernel: KernelInfo,
    /// Both clocks at the same moment.
    pub clock: Clock,
    /// Page size in bytes.
    pub page_size: u64,
    /// Symbols and tracepoints by hook, of hooks with a probe.
    pub symbols: BTreeMap<String, String>,
}

impl Origin {
    /// The `run`th run, of this host.
    pub(super) fn of(run: u64, host: Option<&Text>, start: &Start) -> Self {
        let hooks = start.hooks.iter();
        let symbols = hooks.filter_map(|hook| Some((hook.hook.clone(), hook.symbol.clone()?)));
        Self {
            run,
            host: host.cloned(),
            kernel: start.kernel.clone(),
            clock: start.clock,
            page_size: start.page_size,
            symbols: symbols.collect(),
        }
    }
}

/// A failure with its records, the holders in its way, and the verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    /// Where it comes from.
    pub origin: Origin,
    /// The failure.
    pub failure: Box<Failure>,
    /// The records that follow it.
    pub records: Records,
    /// The holders that the verdict names.
    pub holders: Vec<Holder>,
    /// Others that had a part of the range meanwhile.
    pub beside: Vec<Holder>,
    /// The verdict.
    pub verdict: Verdict,
}

/// How clear a failure is: the smallest is the clearest. Exact ones come first, then those with the
/// most to show, then the shortest and those with the fewest folios; among equals the first.
pub(super) type Clearness = (Confidence, Reverse<u32>, u64, u32);

/// What the holders of a clear example can add.
const HOLDERS_WEIGH: u32 = 3;

/// The clearness of a failure, its holders not looked at: with them it is no better.
pub(super) fn at_best(judged: &Judged, records: &Records) -> Clearness {
    let Judged { failure, verdict } = judged;
    let came = (
        records.refusals.len(),
        records.dirtied.len(),
        records.cached.len(),
    );
    let said = (
        failure.refusals as usize,
        failure.dirtied as usize,
        failure.cached as usize,
    );
    let refused = records.refusals.iter().any(|r| r.entered_ns.is_some());
    let shows = [
        (failure.duration_ns > 0, 2),
        (refused, 2),
        (came == said, 1),
        (failure.errno.is_some(), 1),
        (failure.path.is_some(), 1),
        (!failure.stack.is_empty(), 1),
        (records.outcome.is_some(), 1),
        (!records.dirtied.is_empty(), 1),
        (verdict.party.is_some(), 1),
        (true, HOLDERS_WEIGH),
    ];
    let shown = shows.iter().filter(|(shown, _)| *shown);
    (
        verdict.confidence,
        Reverse(shown.map(|(_, weight)| weight).sum()),
        failure.duration_ns,
        failure.refusals,
    )
}

impl Example {
    /// A failure with its holders, as far as they are still there, and no others beside them.
    pub(super) fn of(
        origin: Origin,
        Judged { failure, verdict }: &Judged,
        records: Records,
        recent: &Recent,
    ) -> Self {
        Self {
            origin,
            holders: recent.named(&verdict.holders),
            beside: Vec::new(),
            failure: failure.clone(),
            records,
            verdict: verdict.clone(),
        }
    }

    /// Adds the others.
    pub(super) fn with_others(mut self, recent: &Recent) -> Self {
        self.beside = recent.beside(&self.failure, &self.verdict.holders);
        self
    }

    /// How clear it is.
    pub(super) fn clearness(&self) -> Clearness {
        let (confidence, Reverse(shown), duration, folios) = at_best(
            &Judged {
                failure: self.failure.clone(),
                verdict: self.verdict.clone(),
            },
            &self.records,
        );
        let told = |holder: &Holder| holder.function.is_some() || holder.created_ns.is_some();
        let lacks = match self.holders.len() == self.verdict.holders.len() {
            false => HOLDERS_WEIGH,
            true => u32::from(!self.holders.iter().all(told)),
        };
        (
            confidence,
            Reverse(shown.saturating_sub(lacks)),
            duration,
            folios,
        )
    }

    /// When the direct write began; the failure itself when that was not seen.
    pub fn begin_ns(&self) -> u64 {
        self.failure.ts_ns.saturating_sub(self.failure.duration_ns)
    }
}
