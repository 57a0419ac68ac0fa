//! What the page's script reads.

use serde::Serialize;
use std::collections::{BTreeSet, HashMap};

use super::failures::{CAUSES, CONFIDENCES, Failures, OUTCOMES, PHASES};
use crate::correlate::{Cause, Confidence};
use crate::event::{OutcomeKind, Phase, Text};
use crate::report::cell;

/// Columns of a command name with its process.
const TASK: usize = 80;

/// One failure.
#[derive(Clone, Debug)]
pub(super) struct Point {
    /// When it was seen, microseconds since 1970.
    pub us: i64,
    /// Microseconds since the write began.
    pub took_us: u64,
    /// Number of the file.
    pub file: u32,
    /// Number of the pair.
    pub pair: u32,
    /// Cause.
    pub cause: Cause,
    /// Phase.
    pub phase: Phase,
    /// What became of the write.
    pub outcome: OutcomeKind,
    /// How sure the verdict is.
    pub confidence: Confidence,
    /// First byte.
    pub pos: u64,
    /// Bytes.
    pub len: u64,
    /// Number in its log.
    pub id: u64,
    /// Number of the run, from 1.
    pub run: u64,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct File {
    /// Path, or device and inode number; text that is safe to show.
    pub name: String,
    /// Failures.
    pub failures: u64,
    /// Its host, where there are several: the name ends with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// A writer and the other party, as numbers of [`Data::tasks`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The writer; absent for those that are not told apart.
    pub writer: Option<usize>,
    /// The other party, if one is named.
    pub party: Option<usize>,
    /// What it did.
    pub did: String,
}

/// What the page's script reads. Rows are lists of numbers, to keep the file small.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Data {
    /// Failures in all.
    pub failures: u64,
    /// Runs.
    pub runs: u64,
    /// The first failure or bin, microseconds since 1970; the rows' times count from it.
    pub base_us: i64,
    /// Files by number; the first stands for all that are not told apart.
    pub files: Vec<File>,
    /// Tasks by number.
    pub tasks: Vec<String>,
    /// Pairs by number; the first stands for all that are not told apart.
    pub pairs: Vec<Pair>,
    /// Names of the causes by number.
    pub causes: Vec<&'static str>,
    /// Names of the phases by number.
    pub phases: Vec<&'static str>,
    /// Names of the outcomes by number.
    pub outcomes: Vec<&'static str>,
    /// Names of the confidences by number.
    pub confidences: Vec<&'static str>,
    /// Failures: time and duration in microseconds, file, pair, cause, phase, outcome, confidence,
    /// first byte and length (as text: they may be beyond what a script counts exactly), number,
    /// run. Empty when there are bins.
    pub points: Vec<Row>,
    /// Width of a bin in microseconds; 0 without bins.
    pub width_us: i64,
    /// Bins: begin in microseconds, file, pair, cause, phase, failures.
    pub bins: Vec<(i64, u32, u32, usize, usize, u64)>,
}

/// A failure, as in [`Data::points`].
pub type Row = (
    i64,
    u64,
    u32,
    u32,
    usize,
    usize,
    usize,
    usize,
    String,
    String,
    u64,
    u64,
);

impl Data {
    /// Of these failures.
    pub(super) fn of(all: &Failures) -> Self {
        let mut data = Self {
            failures: all.total,
            runs: all.runs,
            causes: CAUSES.iter().map(|cause| cause.name()).collect(),
            phases: PHASES.iter().map(|(_, name)| *name).collect(),
            outcomes: OUTCOMES.iter().map(|(_, name)| *name).collect(),
            confidences: CONFIDENCES.iter().map(|(_, name)| *name).collect(),
            ..Self::default()
        };
        let files = all.files.entries().iter();
        let hosts: BTreeSet<_> = all
            .files
            .entries()
            .iter()
            .flat_map(|entry| &entry.value.host)
            .collect();
        let several = hosts.len() > 1;
        data.files = files
            .map(|entry| File {
                name: on(several, entry.value.host.as_ref(), entry.value.name.clone()),
                failures: entry.failures,
                host: entry.value.host.as_ref().filter(|_| several).map(shown),
            })
            .collect();
        data.name_pairs(all, several);
        data.add_points(all);
        data.add_bins(all);
        data
    }

    fn name_pairs(&mut self, all: &Failures, several: bool) {
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let tasks = &mut self.tasks;
        let mut number = |comm: &str, pid, host| {
            let name = on(several, host, cell::task(comm, pid, TASK));
            *numbers.entry(name).or_insert_with_key(|name| {
                tasks.push(name.clone());
                tasks.len() - 1
            })
        };
        for entry in all.pairs.entries() {
            self.pairs.push(match &entry.value {
                None => Pair {
                    writer: None,
                    party: None,
                    did: String::new(),
                },
                Some(pair) => Pair {
                    writer: Some(number(&pair.writer.0, pair.writer.1, pair.host.as_ref())),
                    party: pair
                        .party
                        .as_ref()
                        .map(|((comm, pid), _)| number(comm, *pid, pair.host.as_ref())),
                    did: pair.party.as_ref().map_or_else(String::new, |(_, did)| {
                        cell::fit_end(&cell::clean(did, true), TASK)
                    }),
                },
            });
        }
    }

    fn add_points(&mut self, all: &Failures) {
        let mut points: Vec<_> = all.points.iter().collect();
        points.sort_by_key(|point| point.us);
        self.base_us = points.first().map_or(0, |first| first.us);
        let base = self.base_us;
        self.points = points
            .into_iter()
            .map(|point| {
                (
                    point.us.saturating_sub(base),
                    point.took_us,
                    point.file,
                    point.pair,
                    place(&CAUSES, |cause| *cause == point.cause),
                    place(&PHASES, |(phase, _)| *phase == point.phase),
                    place(&OUTCOMES, |(outcome, _)| *outcome == point.outcome),
                    place(&CONFIDENCES, |(sure, _)| *sure == point.confidence),
                    point.pos.to_string(),
                    point.len.to_string(),
                    point.id,
                    point.run,
                )
            })
            .collect();
    }

    fn add_bins(&mut self, all: &Failures) {
        let Some(bins) = &all.bins else {
            return;
        };
        self.width_us = bins.width_us();
        let bins = bins.sorted();
        let begin = |slot: i64| slot.saturating_mul(self.width_us);
        self.base_us = bins.first().map_or(0, |(key, _)| begin(key.slot));
        self.bins = bins
            .iter()
            .map(|(key, count)| {
                (
                    begin(key.slot).saturating_sub(self.base_us),
                    key.file,
                    key.pair,
                    place(&CAUSES, |cause| *cause == key.cause),
                    place(&PHASES, |(phase, _)| *phase == key.phase),
                    *count,
                )
            })
            .collect();
    }
}

/// `name`, with its host where there are several.
fn on(several: bool, host: Option<&Text>, name: String) -> String {
    match host.filter(|_| several) {
        Some(host) => format!("{name} on {}", shown(host)),
        None => name,
    }
}

fn shown(host: &Text) -> String {
    cell::fit_end(&cell::clean(host, true), TASK)
}

/// The number of one of `all`: these lists have every value that there is.
fn place<T>(all: &[T], is: impl Fn(&T) -> bool) -> usize {
    all.iter().position(is).unwrap_or(all.len() - 1)
}
