//! Whole reports, from the process's start to its end, on generated logs.

use anyhow::{Context, Result};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{self, Run};
use crate::util;

/// A generated log, plain and compressed.
#[derive(Clone, Debug)]
pub struct Log {
    /// Shape.
    pub shape: String,
    /// Records.
    pub events: u64,
    /// Where it is.
    pub plain: PathBuf,
    /// The same, compressed.
    pub zstd: PathBuf,
}

impl Log {
    /// Generates the log below `dir` with the program `generate`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn generate(generate: &Path, dir: &Path, shape: &str, events: u64) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("{} cannot be created", dir.display()))?;
        let plain = dir.join(format!("{shape}-{events}.jsonl"));
        let zstd = dir.join(format!("{shape}-{events}.jsonl.zst"));
        let mut command = Command::new(generate);
        command.args(["--shape", shape, "--events", &events.to_string()]);
        util::run(command.arg(&plain).arg(&zstd))?;
        Ok(Self {
            shape: shape.to_owned(),
            events,
            plain,
            zstd,
        })
    }

    /// Bytes of an event on disk, plain and compressed.
    ///
    /// # Errors
    /// When the files are gone.
    pub fn bytes_per_event(&self) -> Result<(f64, f64)> {
        let each = |path: &Path| -> Result<f64> {
            let file =
                fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?;
            Ok(file.len() as f64 / self.events as f64)
        };
        Ok((each(&self.plain)?, each(&self.zstd)?))
    }

    /// Removes both files.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn remove(&self) -> Result<()> {
        for path in [&self.plain, &self.zstd] {
            fs::remove_file(path)
                .with_context(|| format!("{} cannot be removed", path.display()))?;
        }
        Ok(())
    }
}

/// A report's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Shape of the log.
    pub shape: String,
    /// Its records.
    pub events: u64,
    /// Bytes of an event on disk, uncompressed.
    pub plain_bytes: f64,
    /// Bytes of an event on disk, compressed.
    pub zstd_bytes: f64,
    /// Each way of reporting.
    pub ways: Vec<Way>,
}

/// One way of reporting.
#[derive(Clone, Debug, Serialize)]
pub struct Way {
    /// `zstd`, `plain`: which of the two logs was read.
    pub from: &'static str,
    /// `--format`.
    pub format: &'static str,
    /// The median of some runs.
    pub run: Run,
    /// Events a second.
    pub rate: f64,
}

/// What is compared: the log that is read, and the format.
const WAYS: [(&str, &str); 3] = [("zstd", "table"), ("zstd", "json"), ("plain", "table")];

/// Runs `iomap-trace report` on `log` each way, `times` times in turn.
///
/// # Errors
/// When a report fails.
pub fn measure(program: &Path, log: &Log, times: usize) -> Result<Report> {
    let mut runs: [Vec<Run>; WAYS.len()] = Default::default();
    for _ in 0..times.max(1) {
        for ((from, format), runs) in WAYS.iter().zip(&mut runs) {
            let file = if *from == "zstd" {
                &log.zstd
            } else {
                &log.plain
            };
            let mut command = Command::new(program);
            command.args(["report", "--format", format]).arg(file);
            runs.push(process::run(&mut command)?);
        }
    }
    let (plain_bytes, zstd_bytes) = log.bytes_per_event()?;
    let ways = WAYS.iter().zip(runs).filter_map(|((from, format), runs)| {
        let run = process::median(runs)?;
        Some(Way {
            from,
            format,
            run,
            rate: log.events as f64 / run.seconds,
        })
    });
    Ok(Report {
        shape: log.shape.clone(),
        events: log.events,
        plain_bytes,
        zstd_bytes,
        ways: ways.collect(),
    })
}
