//! What a whole run, or several, amounts to.

use serde::Serialize;
use std::collections::BTreeMap;

use super::budget::WarningBudget;
use super::hosts::Host;
use super::tally::{Counts, FileId, Pair, Tally};
use crate::correlate::{Cause, Judged, Open};
use crate::event::{End, OutcomeKind, Phase, ProcessCost, Start, Text, shed_hook};

/// Records lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Losses {
    /// All.
    pub total: u64,
    /// By probe.
    pub by_probe: BTreeMap<String, u64>,
}

/// Run time of the BPF programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Nanoseconds.
    pub ns: u64,
    /// Runs.
    pub runs: u64,
}

/// Run time of the BPF programs, together and one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Costs {
    /// All programs.
    #[serde(flatten)]
    pub total: Cost,
    /// By program.
    pub by_program: BTreeMap<String, Cost>,
    /// CPU time of the tracer's process in all runs, and the most memory it had in any of them;
    /// absent where no run tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessCost>,
}

/// Failures that were judged with what was known, because their run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StillOpen {
    /// Not all of their records had come.
    pub partial: u64,
    /// Holders may not have ended, or a better witness not have come.
    pub waiting: u64,
}

impl StillOpen {
    /// There were none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The sums of one run or several. In JSON it carries `"type":"summary"`.
///
/// Withdrawn verdicts are counted apart and nowhere else.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(tag = "type", rename = "summary")]
pub struct Summary {
    /// Failures by phase.
    pub failures: Counts,
    /// Failures by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// Failures by outcome.
    pub outcomes: BTreeMap<OutcomeKind, u64>,
    /// Lines that the kernel's rate-limited message would have printed for the post failures.
    pub kernel_would_have_printed: u64,
    /// Lines it did print, when that could be read.
    pub kernel_printed: Option<u64>,
    /// Records lost, as far as the runs have an `end` record.
    pub losses: Losses,
    /// Cost of the tracer's programs; empty when it was not measured.
    pub cost: Costs,
    /// Direct writes seen.
    pub direct_writes: u64,
    /// Length of the runs in nanoseconds.
    pub duration_ns: u64,
    /// Number of runs.
    pub runs: u64,
    /// Runs without an `end` record: their losses are not known.
    pub unended: u64,
    /// What was open when the runs ended; in JSON only if there was something.
    #[serde(skip_serializing_if = "StillOpen::is_empty")]
    pub open: StillOpen,
    /// Suspected failures that turned out to be none.
    pub withdrawn: u64,
    /// Failures that were the writer's own doing.
    pub self_inflicted: u64,
    /// Hooks that a run did without after a time, to keep to `--max-overhead`, and in how many
    /// runs or parts of them; in JSON only if there were some.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub shed: BTreeMap<String, u64>,
    /// Verdicts that lacked evidence, by hook.
    pub evidence_missing: BTreeMap<String, u64>,
    /// Failures by file.
    pub files: Tally<FileId>,
    /// Failures by writer and other party, where one is named.
    pub pairs: Tally<Pair>,
    /// The sums of each host, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// The present host, where there may be several.
    #[serde(skip)]
    pub host: Option<Text>,
    #[serde(skip)]
    budget: WarningBudget,
    #[serde(skip)]
    run: Run,
}

/// The present run.
#[derive(Clone, Debug, Default)]
struct Run {
    boot_id: String,
    start_ns: u64,
    /// Length up to the last thing seen.
    duration_ns: u64,
}

impl Summary {
    /// A run begins.
    pub fn start(&mut self, start: &Start) {
        if self.run.boot_id != start.boot_id {
            // Another machine, or another boot of it: a budget of its own.
            self.budget = WarningBudget::default();
        }
        self.run = Run {
            boot_id: start.boot_id.clone(),
            start_ns: start.clock.boot_ns,
            duration_ns: 0,
        };
        self.runs += 1;
        self.unended += 1;
    }

    /// The present run goes on in another part of its log.
    pub fn resume(&mut self) {
        self.unended += 1;
    }

    /// A verdict.
    pub fn judged(&mut self, Judged { failure, verdict }: &Judged) {
        self.reach(failure.ts_ns);
        if verdict.withdrawn.is_some() {
            self.withdrawn += 1;
            return;
        }
        self.failures.add(failure.phase);
        *self.causes.entry(verdict.cause).or_default() += 1;
        *self.outcomes.entry(verdict.outcome).or_default() += 1;
        self.self_inflicted += u64::from(verdict.self_inflicted);
        if failure.phase == Phase::Post && self.budget.prints(failure.ts_ns) {
            self.kernel_would_have_printed += 1;
        }
        for hook in &verdict.evidence_missing {
            add(&mut self.evidence_missing, hook, 1);
        }
        let file = FileId {
            dev: failure.dev,
            root: failure.root,
            ino: failure.ino,
            host: self.host.clone(),
        };
        let entry = self.files.add(file, failure.phase);
        if let (Some(entry), Some(path)) = (entry, &failure.path) {
            // The last name: the file may have been renamed.
            if entry.path.as_ref() != Some(path) {
                entry.path = Some(path.clone());
                entry.path_escaped = failure.flags.iter().any(|flag| flag == "path-escaped");
            }
        }
        if let Some(party) = &verdict.party {
            let pair = Pair {
                comm: failure.comm.clone(),
                pid: failure.pid,
                party_comm: party.comm.clone(),
                party_pid: party.pid,
                did: party.did.as_str().into(),
                host: self.host.clone(),
            };
            self.pairs.add(pair, failure.phase);
        }
    }

    /// The present run ended, in order or not, and this was open.
    pub fn left_open(&mut self, open: Open) {
        self.open.partial = self.open.partial.saturating_add(open.partial);
        self.open.waiting = self.open.waiting.saturating_add(open.waiting);
    }

    /// The present run ended in order.
    pub fn end(&mut self, end: &End) {
        self.reach(end.ts_ns);
        self.unended = self.unended.saturating_sub(1);
        for (probe, lost) in &end.losses {
            if let Some(hook) = shed_hook(probe) {
                add(&mut self.shed, hook, *lost);
                continue;
            }
            add(&mut self.losses.by_probe, probe, *lost);
            self.losses.total = self.losses.total.saturating_add(*lost);
        }
        for (program, (ns, runs)) in &end.cost {
            let by_program = self.cost.by_program.entry(program.clone()).or_default();
            for cost in [by_program, &mut self.cost.total] {
                cost.ns = cost.ns.saturating_add(*ns);
                cost.runs = cost.runs.saturating_add(*runs);
            }
        }
        if let Some(process) = end.process {
            let sum = self.cost.process.get_or_insert_default();
            sum.cpu_ns = sum.cpu_ns.saturating_add(process.cpu_ns);
            sum.rss_bytes = process.rss_bytes;
            sum.bpf_measured_ns = sum.bpf_measured_ns.max(process.bpf_measured_ns);
            sum.peak_rss_bytes = sum.peak_rss_bytes.max(process.peak_rss_bytes);
        }
        let writes = end.counters.get("dio.writes").copied().unwrap_or_default();
        self.direct_writes = self.direct_writes.saturating_add(writes);
        if let Some(printed) = end.kernel_printed {
            let sum = self
                .kernel_printed
                .unwrap_or_default()
                .saturating_add(printed);
            self.kernel_printed = Some(sum);
        }
    }

    fn reach(&mut self, ts_ns: u64) {
        let duration_ns = ts_ns.saturating_sub(self.run.start_ns);
        let more = duration_ns.saturating_sub(self.run.duration_ns);
        self.run.duration_ns += more;
        self.duration_ns = self.duration_ns.saturating_add(more);
    }
}

fn add(map: &mut BTreeMap<String, u64>, key: &str, count: u64) {
    if let Some(sum) = map.get_mut(key) {
        *sum = sum.saturating_add(count);
    } else {
        map.insert(key.to_owned(), count);
    }
}
