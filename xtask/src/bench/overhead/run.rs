//! What runs on this machine: the workload, turn by turn, and a tracer beside it.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::one::OneCpu;
use crate::soak::process::Running;

/// Rounds of 512 writes of each kind in one run. What else the machine does makes some of them longer:
/// the one counts that a tenth of them is quicker than.
const ROUNDS: &str = "40";

/// Ticks of the time stamp counter in a good round, by workload.
pub type Ticks = BTreeMap<String, f64>;

/// What writes, when it is told to; it ends with this value.
pub struct Load {
    child: Child,
    asked: Option<ChildStdin>,
    told: Lines<BufReader<ChildStdout>>,
}

impl Load {
    /// Starts it, on new files below `at`.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn start(program: &Path, at: &Path, one: Option<&OneCpu>) -> Result<Self> {
        let mut load = one.map_or_else(|| Command::new(program), |one| one.command(program));
        let mut child = load
            .arg(at)
            .args([ROUNDS, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run the workload")?;
        let told = child.stdout.take().context("the workload tells nothing")?;
        Ok(Self {
            asked: child.stdin.take(),
            child,
            told: BufReader::new(told).lines(),
        })
    }

    /// Runs these workloads, all where none is named.
    ///
    /// # Errors
    /// When it ends, or tells something else.
    pub fn run(&mut self, workloads: &str) -> Result<Ticks> {
        let asked = self
            .asked
            .as_mut()
            .context("the workload does not listen")?;
        writeln!(asked, "{workloads}").context("the workload does not listen")?;
        let mut ticks = Ticks::new();
        loop {
            let line = self.told.next().context("the workload has ended")??;
            if line.is_empty() {
                return Ok(ticks);
            }
            let (name, tenth) = time(&line)?;
            ticks.insert(name, tenth);
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Where nothing more can be asked it ends.
        self.asked = None;
        let _ = self.child.wait();
    }
}

/// Reads `NAME WRITES TICKS TENTH`.
fn time(line: &str) -> Result<(String, f64)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [name, _, _, tenth] = words[..] else {
        bail!("a line of the workload is not understood: {line}");
    };
    Ok((name.to_owned(), tenth.parse()?))
}

/// How long a tracer that was told to end may take.
const ENDS: Duration = Duration::from_secs(60);

/// A tracer that runs; it ends with this value.
pub struct Tracer {
    running: Running,
    log: PathBuf,
}

impl Tracer {
    /// Starts one that records into a log in `dir`, which it removes when it ends.
    ///
    /// # Errors
    /// When it does not come to run.
    pub fn start(program: &Path, standby: bool, dir: &Path) -> Result<Self> {
        let log = dir.join("log.jsonl");
        let mut record = Command::new(program);
        record.stdin(Stdio::null()).args(["record", "-o"]).arg(&log);
        if standby {
            record.arg("--standby");
        }
        let mut running = Running::start(record, Stdio::null(), dir.join("said"))?;
        running.attached()?;
        Ok(Self { running, log })
    }

    /// Whether hooks that waited were attached.
    pub fn was_roused(&self) -> bool {
        self.running.words().contains("a failure: attached")
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.running.signal(libc::SIGTERM);
        let _ = self.running.wait(ENDS);
        let _ = std::fs::remove_file(&self.log);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_workload_prints() {
        let (name, ticks) = time("direct-none 1024 99 40").unwrap();
        assert_eq!(name, "direct-none");
        assert!((ticks - 40.0).abs() < 1e-9);
        assert!(time("direct-none 512 1").is_err());
        assert!(time("direct-none 512 1 x").is_err());
    }
}
