//! The installed program at work.

use crate::demo::images::{KINDS, Mounted};
use crate::util;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Where the packages put the program.
pub const PROGRAM: &str = "usr/bin/iomap-trace";

/// Runs the program that is installed below `root`: alone in `root`, where there is no library, and
/// then as it is meant to be run.
///
/// # Errors
/// When it does not run, or sees no failure among those that it makes itself.
pub fn check(root: &Path, version: &str) -> Result<()> {
    let mut alone = Command::new("chroot");
    let said = util::output(alone.arg(root).arg(format!("/{PROGRAM}")).arg("--version"))?;
    ensure!(
        said == format!("iomap-trace {version}"),
        "the version is {said:?}"
    );

    let program = root.join(PROGRAM);
    let doctor = util::output(Command::new(&program).args(["doctor", "--json"]))?;
    let doctor: Value = serde_json::from_str(&doctor).context("doctor printed no JSON")?;
    ensure!(doctor["plan"].is_string(), "doctor names no plan");

    let dir = root.join("tmp");
    fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let found = collide(&program, &dir);
    fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    found
}

/// Makes direct writes collide on the first filesystem that can be mounted here, under the tracer.
fn collide(program: &Path, dir: &Path) -> Result<()> {
    let (kind, mkfs) = KINDS.first().context("no filesystem to test on")?;
    let mounted = Mounted::new(kind, mkfs, dir)?;
    let log = dir.join("log.jsonl.zst");
    let mut exec = Command::new(program);
    exec.arg("exec")
        .arg("--output")
        .arg(&log)
        .arg("--")
        .arg(program);
    exec.args(["repro", "mmap", "--seconds", "1", "--dir"])
        .arg(mounted.path());
    util::output(&mut exec)?;
    let mut report = Command::new(program);
    let records = util::output(report.args(["report", "--format", "json"]).arg(&log))?;
    let last = records.lines().last().unwrap_or_default();
    let summary: Value = serde_json::from_str(last).context("the report has no summary")?;
    let failures = summary["failures"]["pre"].as_u64();
    ensure!(
        failures.is_some_and(|number| number > 0),
        "the installed program saw no failure on {kind}: {last}"
    );
    Ok(())
}
