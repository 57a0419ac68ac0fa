//! What runs on this machine: the workload, turn by turn, and a tracer beside it.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::one::OneCpu;

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

/// A tracer that runs; it ends with this value.
pub struct Tracer {
    child: Child,
    roused: Arc<AtomicBool>,
    log: PathBuf,
}

impl Tracer {
    /// Starts one that records into `log`, which it removes when it ends.
    ///
    /// # Errors
    /// When it does not come to run.
    pub fn start(program: &Path, standby: bool, log: &Path) -> Result<Self> {
        let mut trace = Command::new(program);
        trace.args(["record", "--output"]).arg(log);
        if standby {
            trace.arg("--standby");
        }
        let mut child = trace
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run iomap-trace")?;
        let said = child.stderr.take();
        let roused = Arc::new(AtomicBool::new(false));
        let sees = Arc::clone(&roused);
        let log = log.to_owned();
        let tracer = Self { child, roused, log };
        let mut lines = BufReader::new(said.context("iomap-trace says nothing")?).lines();
        let ready = lines.any(|line| line.is_ok_and(|line| line.contains("Ctrl-C ends")));
        ensure!(ready, "iomap-trace does not run");
        // It must not wait for a reader.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains("a failure: attached") {
                    sees.store(true, Ordering::Relaxed);
                }
            }
        });
        Ok(tracer)
    }

    /// Whether hooks that waited were attached.
    pub fn was_roused(&self) -> bool {
        self.roused.load(Ordering::Relaxed)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // SAFETY: kill(2) takes no memory, and the child has not been waited for.
        unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGTERM) };
        let _ = self.child.wait();
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
