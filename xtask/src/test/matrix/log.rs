//! A tracer's event log with its verdicts, as far as the judge looks at it.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// A record of `iomap-trace report --format json`.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Record {
    Start(Start),
    Failure(Failure),
    Refusal(Refusal),
    Dirtied(Touched),
    Cached(Touched),
    Holder(Holder),
    Verdict(Verdict),
    End(End),
    #[serde(other)]
    Other,
}

/// The run.
#[derive(Debug, Default, Deserialize)]
pub struct Start {
    pub kernel: KernelInfo,
    pub page_size: u64,
    pub mounts: Vec<Mount>,
    pub plan: String,
    pub hooks: Vec<Hook>,
    #[serde(default)]
    pub programs: Vec<Program>,
}

/// A BPF program.
#[derive(Clone, Debug, Deserialize)]
pub struct Program {
    pub name: String,
    /// Instructions as the kernel translated them.
    pub instructions: u64,
    /// Instructions that the verifier looked at, where the kernel tells.
    pub verified: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
pub struct KernelInfo {
    pub release: String,
}

#[derive(Debug, Deserialize)]
pub struct Mount {
    pub dev: String,
    pub fs: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Hook {
    pub hook: String,
    pub state: String,
    pub reason: Option<String>,
}

/// A failed invalidation.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Failure {
    pub id: u64,
    pub ts_ns: u64,
    #[serde(default)]
    pub duration_ns: u64,
    pub phase: String,
    pub tid: u32,
    pub completed_by: Option<u32>,
    pub ino: u64,
    pub fs: String,
    pub pos: u64,
    pub len: u64,
    #[serde(default)]
    pub flags: Vec<String>,
}

/// A folio that was not released.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Refusal {
    pub failure: u64,
    pub ts_ns: u64,
    pub entered_ns: Option<u64>,
    pub index: u64,
    pub pages: u64,
    pub folio_flags: Vec<String>,
}

/// Who dirtied a folio, or put it into the page cache.
#[derive(Clone, Debug, Deserialize)]
pub struct Touched {
    pub failure: u64,
    pub tid: u32,
}

/// Who held a range.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Holder {
    pub id: u64,
    pub kind: String,
    pub pos: u64,
    pub len: u64,
    pub locked_ns: Option<u64>,
    pub unlocked_ns: Option<u64>,
    pub tid: u32,
    pub function: Option<String>,
}

/// What the tracer says of a failure.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Verdict {
    pub failure: u64,
    pub cause: String,
    pub confidence: String,
    pub party: Option<Party>,
    #[serde(default)]
    pub holders: Vec<u64>,
    /// Causes of other folios.
    #[serde(default)]
    pub also: Vec<String>,
    pub withdrawn: Option<String>,
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Party {
    pub tid: u32,
    pub did: String,
}

/// Totals.
#[derive(Debug, Deserialize)]
pub struct End {
    pub counters: BTreeMap<String, u64>,
    #[serde(default)]
    pub losses: BTreeMap<String, u64>,
}

/// A failure with all that belongs to it.
#[derive(Clone, Debug, Default)]
pub struct Case {
    pub failure: Failure,
    pub refusals: Vec<Refusal>,
    /// Threads that touched its folios.
    pub touched: Vec<u32>,
    pub verdict: Verdict,
}

impl Case {
    /// The verdict's cause and party were seen to hold.
    pub fn exact(&self) -> bool {
        self.verdict.confidence == "exact"
    }

    /// The verdict names one who held the range locked.
    pub fn locked(&self) -> bool {
        ["ordered-io", "extent-lock"].contains(&&*self.verdict.cause)
    }
}

/// A whole log.
#[derive(Debug, Default)]
pub struct Log {
    pub start: Start,
    /// In the order of their numbers; withdrawn ones are not among them.
    pub cases: Vec<Case>,
    pub holders: BTreeMap<u64, Holder>,
    pub end: Option<End>,
}

impl Log {
    /// Has `program` report the log in `file`.
    ///
    /// # Errors
    /// When it does not.
    pub fn read(program: &Path, file: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["report", "--format", "json"]).arg(file);
        let out = command.output().context("cannot run the program here")?;
        let said = String::from_utf8_lossy(&out.stderr);
        anyhow::ensure!(out.status.success(), "no report: {}", said.trim());
        Self::parse(&String::from_utf8_lossy(&out.stdout))
    }

    /// Reads the records.
    ///
    /// # Errors
    /// When one is not as it should be.
    pub fn parse(text: &str) -> Result<Self> {
        let mut log = Self::default();
        let mut cases: BTreeMap<u64, Case> = BTreeMap::new();
        for line in text.lines() {
            let record = serde_json::from_str(line)
                .with_context(|| format!("a record that is none: {line:.80}"))?;
            match record {
                Record::Start(start) => log.start = start,
                Record::Failure(failure) => {
                    let case = cases.entry(failure.id).or_default();
                    case.failure = failure;
                }
                Record::Refusal(refusal) => {
                    let case = cases.entry(refusal.failure).or_default();
                    case.refusals.push(refusal);
                }
                Record::Dirtied(touched) | Record::Cached(touched) => {
                    let case = cases.entry(touched.failure).or_default();
                    case.touched.push(touched.tid);
                }
                Record::Holder(holder) => drop(log.holders.insert(holder.id, holder)),
                Record::Verdict(verdict) => {
                    let case = cases.entry(verdict.failure).or_default();
                    case.verdict = verdict;
                }
                Record::End(end) => log.end = Some(end),
                Record::Other => {}
            }
        }
        let cases = cases.into_values();
        log.cases = cases.filter(|c| c.verdict.withdrawn.is_none()).collect();
        Ok(log)
    }

    /// The failures on a file.
    pub fn on(&self, fs: &str, ino: u64) -> Vec<&Case> {
        let cases = self.cases.iter();
        cases
            .filter(|case| case.failure.fs == fs && case.failure.ino == ino)
            .collect()
    }

    /// Events that the log's end says it has no failure for.
    pub fn lost(&self) -> u64 {
        let Some(end) = &self.end else { return 0 };
        let of_failures = |name: &&String| {
            name.starts_with("failure.") && name.ends_with(".lost")
                || *name == "failure.lost"
                || name.ends_with(".missed") && name.contains("invalidate")
        };
        let counters = end.counters.iter();
        counters
            .filter(|(name, _)| of_failures(name))
            .map(|(_, number)| number)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_together() {
        let text = concat!(
            r#"{"type":"failure","id":1,"ts_ns":9,"phase":"pre","tid":4,"ino":5,"fs":"xfs","pos":0,"len":8,"flags":[]}"#,
            "\n",
            r#"{"type":"refusal","failure":1,"ts_ns":8,"index":0,"pages":1,"folio_flags":["dirty"]}"#,
            "\n",
            r#"{"type":"mark","ts_ns":8}"#,
            "\n",
            r#"{"type":"verdict","failure":1,"cause":"redirtied","confidence":"exact"}"#,
            "\n",
            r#"{"type":"failure","id":2,"ts_ns":9,"phase":"post","tid":4,"ino":5,"fs":"xfs","pos":0,"len":8}"#,
            "\n",
            r#"{"type":"verdict","failure":2,"cause":"unknown","confidence":"none","withdrawn":"x"}"#,
            "\n",
            r#"{"type":"end","why":"x","counters":{"failure.lost":2,"invalidate_fail.missed":1,"x.lost":5}}"#,
        );
        let log = Log::parse(text).unwrap();
        assert_eq!(log.cases.len(), 1);
        let case = log.on("xfs", 5)[0];
        assert!(case.exact() && !case.locked() && case.refusals.len() == 1);
        assert_eq!(log.lost(), 3);
        assert!(Log::parse("x").is_err());
    }
}
