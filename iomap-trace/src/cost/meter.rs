//! The tracer's cost and losses, second by second.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::event::ProcessCost;

/// Shortest time between two readings: a second, whose tick may come a little early.
const SECOND_NS: u64 = 950_000_000;

/// Run time in nanoseconds and number of runs, by program.
pub type ByProgram = BTreeMap<String, (u64, u64)>;

/// What a second or so has cost, and all before. In JSON it carries `"type":"cost"`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(tag = "type", rename = "cost")]
pub struct Second {
    /// When it ended, nanoseconds since boot.
    pub ts_ns: u64,
    /// How long it was.
    pub elapsed_ns: u64,
    /// Run time of the programs in it, in percent of one CPU; absent where it is not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bpf_percent: Option<f64>,
    /// CPU time of the process in it, in percent of one CPU.
    pub cpu_percent: f64,
    /// Run time of the programs since the run began, nanoseconds.
    pub bpf_ns: u64,
    /// Their runs.
    pub bpf_runs: u64,
    /// CPU time and memory of the process.
    #[serde(flatten)]
    pub process: ProcessCost,
    /// What was lost in it, by probe.
    pub lost: BTreeMap<String, u64>,
    /// Run time of each program in it, nanoseconds.
    #[serde(skip)]
    pub by_program: BTreeMap<String, u64>,
}

/// The last readings.
#[derive(Debug, Default)]
pub struct Meter {
    last: Option<Reading>,
}

#[derive(Debug)]
struct Reading {
    ts_ns: u64,
    bpf: ByProgram,
    cpu_ns: u64,
    losses: BTreeMap<String, u64>,
}

impl Meter {
    /// Whether the last reading is a second old. The first one only begins.
    pub fn due(&self, now_ns: u64) -> bool {
        let last = self.last.as_ref();
        last.is_none_or(|last| now_ns.saturating_sub(last.ts_ns) >= SECOND_NS)
    }

    /// Takes a reading: sums since the run began, losses by probe. `None` for the first one.
    pub fn read(
        &mut self,
        ts_ns: u64,
        bpf: ByProgram,
        process: ProcessCost,
        losses: BTreeMap<String, u64>,
    ) -> Option<Second> {
        let now = Reading {
            ts_ns,
            bpf,
            cpu_ns: process.cpu_ns,
            losses,
        };
        let second = self.last.as_ref().map(|last| now.since(last, process));
        self.last = Some(now);
        second
    }

    /// Sums begin anew: other programs are attached.
    pub fn restart(&mut self) {
        self.last = None;
    }
}

impl Reading {
    fn since(&self, last: &Self, process: ProcessCost) -> Second {
        let elapsed_ns = self.ts_ns.saturating_sub(last.ts_ns).max(1);
        let percent = |ns: u64| rounded(ns as f64 * 100.0 / elapsed_ns as f64);
        let before = |program: &String| last.bpf.get(program).map_or(0, |(ns, _)| *ns);
        let ran = |(program, (ns, _)): (&String, &(u64, u64))| {
            (program.clone(), ns.saturating_sub(before(program)))
        };
        let by_program: BTreeMap<_, _> = self.bpf.iter().map(ran).collect();
        let grew = |(probe, now): (&String, &u64)| {
            let more = now.saturating_sub(last.losses.get(probe).copied().unwrap_or_default());
            (more > 0).then(|| (probe.clone(), more))
        };
        Second {
            ts_ns: self.ts_ns,
            elapsed_ns,
            bpf_percent: (!self.bpf.is_empty()).then(|| percent(by_program.values().sum())),
            cpu_percent: percent(self.cpu_ns.saturating_sub(last.cpu_ns)),
            bpf_ns: self.bpf.values().map(|(ns, _)| ns).sum(),
            bpf_runs: self.bpf.values().map(|(_, runs)| runs).sum(),
            process,
            lost: self.losses.iter().filter_map(grew).collect(),
            by_program,
        }
    }
}

/// To a thousandth: more digits than are true only make the line longer.
fn rounded(percent: f64) -> f64 {
    (percent * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bpf(rows: &[(&str, u64)]) -> ByProgram {
        let rows = rows.iter();
        rows.map(|(k, ns)| ((*k).to_owned(), (*ns, *ns / 100)))
            .collect()
    }

    fn process(cpu_ns: u64) -> ProcessCost {
        ProcessCost {
            cpu_ns,
            rss_bytes: 1,
            peak_rss_bytes: 2,
            bpf_measured_ns: None,
        }
    }

    #[test]
    fn a_second_is_the_difference_of_two_readings() {
        let mut meter = Meter::default();
        assert!(meter.due(0));
        let losses = BTreeMap::from([("lock.lost".to_owned(), 1)]);
        let first = meter.read(0, bpf(&[("a", 500)]), process(7), losses.clone());
        assert_eq!(first, None);
        assert!(!meter.due(SECOND_NS - 1) && meter.due(SECOND_NS));
        let mut more = losses;
        more.insert("lock.lost".to_owned(), 4);
        more.insert("dio_begin.missed".to_owned(), 0);
        let now = bpf(&[("a", 10_000_500), ("b", 5_000_000)]);
        let second = meter.read(1_000_000_000, now, process(20_000_007), more);
        insta::assert_snapshot!(
            serde_json::to_string(&second).unwrap(),
            @r#"{"type":"cost","ts_ns":1000000000,"elapsed_ns":1000000000,"bpf_percent":1.5,"cpu_percent":2.0,"bpf_ns":15000500,"bpf_runs":150005,"cpu_ns":20000007,"rss_bytes":1,"peak_rss_bytes":2,"lost":{"lock.lost":3}}"#
        );
        assert_eq!(second.unwrap().by_program["a"], 10_000_000);
    }

    #[test]
    fn what_is_not_measured_is_not_said() {
        let mut meter = Meter::default();
        meter.read(0, bpf(&[]), process(0), BTreeMap::new());
        let second = meter.read(SECOND_NS, bpf(&[]), process(1), BTreeMap::new());
        let text = serde_json::to_string(&second).unwrap();
        assert!(!text.contains("bpf_percent"), "{text}");
    }
}
