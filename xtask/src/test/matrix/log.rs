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
    /// The kernel.
    pub kernel: KernelInfo,
    /// Bytes of a page.
    pub page_size: u64,
    /// Mounted filesystems.
    pub mounts: Vec<Mount>,
    /// Plan.
    pub plan: String,
    /// Hooks, with their probes.
    pub hooks: Vec<Hook>,
    /// Programs that were loaded.
    #[serde(default)]
    pub programs: Vec<Program>,
}

/// A BPF program.
#[derive(Clone, Debug, Deserialize)]
pub struct Program {
    /// Name in the object.
    pub name: String,
    /// Instructions as the kernel translated them.
    pub instructions: u64,
    /// Instructions that the verifier looked at, where the kernel tells.
    pub verified: Option<u64>,
}

/// The kernel that ran.
#[derive(Debug, Default, Deserialize)]
pub struct KernelInfo {
    /// `uname -r`.
    pub release: String,
}

/// A mounted filesystem.
#[derive(Debug, Deserialize)]
pub struct Mount {
    /// Device of the super block, `major:minor`.
    pub dev: String,
    /// Filesystem type.
    pub fs: String,
}

/// A place in the kernel that is watched.
#[derive(Clone, Debug, Deserialize)]
pub struct Hook {
    /// Its name.
    pub hook: String,
    /// `attached` or `skipped`.
    pub state: String,
    /// Why there is no probe.
    pub reason: Option<String>,
}

/// A failed invalidation.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Failure {
    /// Number in the log.
    pub id: u64,
    /// When it was seen, nanoseconds since boot.
    pub ts_ns: u64,
    /// How long before that the write began; 0 when that was not seen.
    #[serde(default)]
    pub duration_ns: u64,
    /// `pre`, `map` or `post`.
    pub phase: String,
    /// Thread of the writer.
    pub tid: u32,
    /// Thread that saw the failure, where it was another one.
    pub completed_by: Option<u32>,
    /// Inode number.
    pub ino: u64,
    /// Filesystem type.
    pub fs: String,
    /// First byte of the write.
    pub pos: u64,
    /// Number of its bytes.
    pub len: u64,
    /// What was special.
    #[serde(default)]
    pub flags: Vec<String>,
}

/// A folio that was not released.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Refusal {
    /// Number of its failure.
    pub failure: u64,
    /// When it was refused, or looked at afterwards.
    pub ts_ns: u64,
    /// When its release was asked for; absent when it was looked at afterwards.
    pub entered_ns: Option<u64>,
    /// First page.
    pub index: u64,
    /// Number of pages.
    pub pages: u64,
    /// Names of its flags.
    pub folio_flags: Vec<String>,
}

/// Who dirtied a folio, or put it into the page cache.
#[derive(Clone, Debug, Deserialize)]
pub struct Touched {
    /// Number of the failure.
    pub failure: u64,
    /// Thread.
    pub tid: u32,
}

/// Who held a range.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Holder {
    /// Number in the log.
    pub id: u64,
    /// `ordered-io` or `extent-lock`.
    pub kind: String,
    /// First byte.
    pub pos: u64,
    /// Number of bytes.
    pub len: u64,
    /// When it was locked, if it was.
    pub locked_ns: Option<u64>,
    /// When it was unlocked.
    pub unlocked_ns: Option<u64>,
    /// Thread.
    pub tid: u32,
    /// Kernel function that locked it.
    pub function: Option<String>,
}

/// What the tracer says of a failure.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Verdict {
    /// Number of its failure.
    pub failure: u64,
    /// Cause.
    pub cause: String,
    /// `exact`, `window` or `none`.
    pub confidence: String,
    /// The other party.
    pub party: Option<Party>,
    /// Holders that were in the way.
    #[serde(default)]
    pub holders: Vec<u64>,
    /// Causes of other folios.
    #[serde(default)]
    pub also: Vec<String>,
    /// Why it turned out to be no failure.
    pub withdrawn: Option<String>,
    /// Why it is not exact.
    pub reason: Option<String>,
}

/// The other party of a failure.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Party {
    /// Thread.
    pub tid: u32,
    /// What it did; of a lock, the function that took it.
    pub did: String,
}

/// Totals.
#[derive(Debug, Default, Deserialize)]
pub struct End {
    /// The programs' counters by name.
    pub counters: BTreeMap<String, u64>,
    /// Records lost, by probe.
    #[serde(default)]
    pub losses: BTreeMap<String, u64>,
}

/// A failure with all that belongs to it.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// The failure.
    pub failure: Failure,
    /// Its folios.
    pub refusals: Vec<Refusal>,
    /// Threads that touched its folios.
    pub touched: Vec<u32>,
    /// What the tracer says.
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
    /// Its first record.
    pub start: Start,
    /// In the order of their numbers; withdrawn ones are not among them.
    pub cases: Vec<Case>,
    /// By number.
    pub holders: BTreeMap<u64, Holder>,
    /// Its last record.
    pub end: Option<End>,
}

impl Log {
    /// Events of extent locks that no program saw, because it was preempted on that CPU (7.x).
    pub fn missed_locks(&self) -> u64 {
        let losses = self.end.iter().flat_map(|end| &end.losses);
        losses
            .filter(|(name, _)| name.starts_with("extent_") && name.ends_with(".missed"))
            .map(|(_, missed)| missed)
            .sum()
    }

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

    /// Failures before or after the write that the log's end says may be missing: records that
    /// found no room, and runs that the kernel left out.
    pub fn lost(&self) -> u64 {
        self.sum(|name| {
            name == "failure.lost" || name.ends_with(".missed") && name.contains("invalidate")
        })
    }

    /// The same, and those that are known from the end of a write alone.
    pub fn missed(&self) -> u64 {
        let of_writes = ["dio_", "post", "stale"];
        let others = self.sum(|name| {
            let missed = name.ends_with(".missed");
            ["map-return.lost", "map.unwitnessed"].contains(&name)
                || missed && of_writes.iter().any(|part| name.contains(part))
        });
        self.lost() + others
    }

    fn sum(&self, wanted: impl Fn(&str) -> bool) -> u64 {
        let counters = self.end.iter().flat_map(|end| &end.counters);
        let counters = counters.filter(|(name, _)| wanted(name));
        counters.map(|(_, number)| number).sum()
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
            r#"{"type":"end","why":"x","counters":{"failure.lost":2,"invalidate_fail.missed":1,"dio_begin.missed":4,"x.lost":5}}"#,
        );
        let log = Log::parse(text).unwrap();
        assert_eq!(log.cases.len(), 1);
        let case = log.on("xfs", 5)[0];
        assert!(case.exact() && !case.locked() && case.refusals.len() == 1);
        assert_eq!((log.lost(), log.missed()), (3, 7));
        assert!(Log::parse("x").is_err());
    }
}
