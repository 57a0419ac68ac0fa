//! Takes events and verdicts as they come.

use foldhash::fast::RandomState;
use std::collections::HashMap;

use super::advice::advice;
use super::example::{Clearness, Example, Origin, at_best};
use super::files::{Files, checksums};
use super::fixes::fixes;
use super::holds::{Holds, Times};
use super::kinds::Kinds;
use super::recent::Recent;
use super::runs::Runs;
use super::unseen::unseen;
use super::{Dossier, LeftOut, TOP};
use crate::correlate::{Cause, Judged};
use crate::event::{Event, Phase, Text};
use crate::report::summary::Summary;
use crate::report::tally::{Counts, Entry};

/// Failures of one number that are kept: each log counts from 1.
const ASKED: usize = 16;

/// Gathers what a [`Dossier`] says, in bounded memory: it does not grow with the log.
#[derive(Debug, Default)]
pub struct Collector {
    asked: Option<u64>,
    found: Vec<Example>,
    runs: Runs,
    files: Files,
    run: u64,
    host: Option<Text>,
    origin: Origin,
    recent: Recent,
    kinds: Kinds,
    holds: Holds,
    too_early: Times,
    clearest: HashMap<(Cause, Phase), (Clearness, Example), RandomState>,
}

impl Collector {
    /// A collector that keeps the clearest failure of each kind as an example.
    pub fn new() -> Self {
        Self::default()
    }

    /// A collector that keeps the failures of this number as examples, one from each log.
    pub fn of_failure(id: u64) -> Self {
        Self {
            asked: Some(id),
            ..Self::default()
        }
    }

    /// The next run is one of this host, where there may be several.
    pub fn host(&mut self, host: Option<&Text>) {
        self.host = host.cloned();
    }

    /// Takes an event, before the verdicts that follow from it.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Start(start) => {
                self.run += 1;
                self.files.start(start);
                self.runs.start(start, self.host.as_ref());
                self.origin = Origin::of(self.run, self.host.as_ref(), start);
                // Numbers begin anew.
                self.recent = Recent::default();
            }
            Event::Failure(failure) => self.recent.failure(failure.id),
            Event::Refusal(record) => self.recent.refusal(record),
            Event::Dirtied(record) => self.recent.dirtied(record),
            Event::Cached(record) => self.recent.cached(record),
            Event::Outcome(record) => self.recent.outcome(record),
            Event::Holder(holder) => {
                self.holds.add(holder);
                self.recent.holder(holder);
            }
            Event::End(end) => self.runs.end(end),
            Event::File(record) => self.files.add(record),
            Event::Loss(_) | Event::Mark(_) => {}
        }
    }

    /// Takes a verdict.
    pub fn judged(&mut self, judged: &Judged) {
        let Judged { failure, verdict } = judged;
        let records = self.recent.take(failure.id);
        if self.asked == Some(failure.id) && self.found.len() < ASKED {
            let records = records.clone().unwrap_or_default();
            let example = self.example(judged, records).with_others(&self.recent);
            self.found.push(example);
        }
        if verdict.withdrawn.is_some() {
            return;
        }
        self.kinds.add(judged);
        if let Some((since, held)) = verdict
            .party
            .as_ref()
            .and_then(|p| Some((p.since_ns, p.held_ns?)))
        {
            let until = since.saturating_add(held);
            self.too_early.add(until.saturating_sub(failure.ts_ns));
        }
        let key = (verdict.cause, failure.phase);
        let records = records.unwrap_or_default();
        let best = self.clearest.get(&key).map(|(clearness, _)| *clearness);
        if best.is_none_or(|best| at_best(judged, &records) < best) {
            let example = self.example(judged, records);
            let clearness = example.clearness();
            if best.is_none_or(|best| clearness < best) {
                let example = example.with_others(&self.recent);
                self.clearest.insert(key, (clearness, example));
            }
        }
    }

    fn example(&self, judged: &Judged, records: super::Records) -> Example {
        Example::of(self.origin.clone(), judged, records, &self.recent)
    }

    /// What it amounts to, beside the sums of the same events.
    pub fn dossier<'a>(&'a self, summary: &'a Summary) -> Dossier<'a> {
        let kinds = self.kinds.ranked();
        let examples = match self.asked {
            Some(_) => self.found.iter().collect(),
            None => kinds
                .iter()
                .filter_map(|kind| self.clearest.get(&(kind.cause, kind.phase)))
                .map(|(_, example)| example)
                .collect(),
        };
        let fixes = fixes(&self.runs, &kinds);
        Dossier {
            summary,
            runs: &self.runs,
            holds: self.holds.rows(),
            too_early: self.too_early.percentiles(),
            asked: self.asked.is_some(),
            examples,
            unseen: unseen(&self.runs, summary),
            files: &self.files,
            checksums: checksums(&self.files, &self.runs, summary, &fixes),
            fixes,
            advice: advice(&kinds),
            files_left_out: left_out(&summary.files.ranked(), summary.files.others()),
            pairs_left_out: left_out(&summary.pairs.ranked(), summary.pairs.others()),
            kinds,
        }
    }
}

fn left_out<K>(ranked: &[(&K, &Entry)], others: Counts) -> LeftOut {
    let rest = ranked.iter().skip(TOP);
    LeftOut {
        rows: ranked.len().saturating_sub(TOP) as u64,
        failures: rest.map(|(_, entry)| entry.counts.total()).sum::<u64>() + others.total(),
    }
}
