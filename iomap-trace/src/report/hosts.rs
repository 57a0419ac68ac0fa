//! The logs of several hosts in one report.

use serde::Serialize;
use std::collections::BTreeMap;

use super::summary::{Cost, Losses, Summary};
use super::tally::Counts;
use crate::correlate::Cause;
use crate::event::{OutcomeKind, Start, Text};

/// The sums of one host: of one boot of a machine.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    /// Name, after the first of its logs; with the beginning of the boot id if another has the same.
    pub host: Text,
    /// Boot id.
    pub boot_id: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Length of its runs, nanoseconds.
    pub duration_ns: u64,
    /// Direct writes seen.
    pub direct_writes: u64,
    /// Failures by phase.
    pub failures: Counts,
    /// Failures by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// Failures by outcome.
    pub outcomes: BTreeMap<OutcomeKind, u64>,
    /// Failures that were the writer's own doing.
    pub self_inflicted: u64,
    /// Lines that the kernel's rate-limited message would have printed.
    pub kernel_would_have_printed: u64,
    /// Lines it did print, when that could be read.
    pub kernel_printed: Option<u64>,
    /// Records lost.
    pub losses: Losses,
    /// Runs without an `end` record: their losses are not known.
    pub unended: u64,
    /// Run time of the tracer's programs.
    pub cost: Cost,
}

#[derive(Clone, Debug)]
struct Known {
    name: Text,
    boot_id: String,
    kernel: String,
    summary: Summary,
}

/// Keeps the sums of hosts apart. Nothing is kept as long as no host is named.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    /// Name of the log that is read, if several are.
    name: Option<Text>,
    known: Vec<Known>,
    present: usize,
    /// The host whose rows were announced last.
    announced: Option<usize>,
}

impl Hosts {
    /// The next log is called `name`.
    pub(super) fn next(&mut self, name: &str) {
        self.name = Some(name.into());
    }

    /// A run begins; `all` are the sums of all hosts.
    pub(super) fn start(&mut self, start: &Start, all: &mut Summary) {
        if let Some(name) = &self.name {
            let present = self.known.iter().position(|h| h.boot_id == start.boot_id);
            self.present = present.unwrap_or_else(|| {
                self.known.push(Known {
                    name: unique(name, start, &self.known),
                    boot_id: start.boot_id.clone(),
                    kernel: start.kernel.release.clone(),
                    summary: Summary::default(),
                });
                self.known.len() - 1
            });
            all.host = Some(self.known[self.present].name.clone());
        }
        self.each(all, |summary| summary.start(start));
    }

    /// Name of the present host, if rows of another one, or of none, were the last.
    pub(super) fn announce(&mut self) -> Option<&str> {
        if self.announced == Some(self.present) {
            return None;
        }
        self.announced = Some(self.present);
        Some(self.known.get(self.present)?.name.as_str())
    }

    /// Changes the sums of all hosts and those of the present one.
    pub(super) fn each(&mut self, all: &mut Summary, mut change: impl FnMut(&mut Summary)) {
        change(all);
        if let Some(present) = self.known.get_mut(self.present) {
            change(&mut present.summary);
        }
    }

    /// Tells the sums of the hosts, if they are several; else the report is as that of one.
    pub(super) fn finish(&self, all: &mut Summary) {
        if self.known.len() > 1 {
            all.hosts = self.known.iter().map(Known::told).collect();
            // Each has a budget of its own, whatever the order of their logs.
            let lines = all.hosts.iter().map(|host| host.kernel_would_have_printed);
            all.kernel_would_have_printed = lines.sum();
        } else if self.name.is_some() {
            all.files.map_keys(|file| file.host = None);
            all.pairs.map_keys(|pair| pair.host = None);
        }
    }
}

/// A name that no other host has.
fn unique(name: &Text, start: &Start, known: &[Known]) -> Text {
    if known.iter().all(|host| host.name != *name) {
        return name.clone();
    }
    let boot: String = start.boot_id.chars().take(8).collect();
    let longer = Text::from(format!("{name} ({boot})"));
    if known.iter().all(|host| host.name != longer) {
        return longer;
    }
    format!("{name} ({})", start.boot_id).into()
}

impl Known {
    fn told(&self) -> Host {
        let sums = &self.summary;
        Host {
            host: self.name.clone(),
            boot_id: self.boot_id.clone(),
            kernel: self.kernel.clone(),
            duration_ns: sums.duration_ns,
            direct_writes: sums.direct_writes,
            failures: sums.failures,
            causes: sums.causes.clone(),
            outcomes: sums.outcomes.clone(),
            self_inflicted: sums.self_inflicted,
            kernel_would_have_printed: sums.kernel_would_have_printed,
            kernel_printed: sums.kernel_printed,
            losses: sums.losses.clone(),
            unended: sums.unended,
            cost: sums.cost.total,
        }
    }
}
