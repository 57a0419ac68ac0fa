//! Event logs, read by the program itself.

use super::process::Program;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What `report` says of a log that has no end.
const CUT: &str = "tail is missing";

/// What `report` makes of logs.
pub struct Reported {
    /// Failures of the phase `pre` by device.
    pub pre: BTreeMap<String, u64>,
    /// The summary record.
    pub summary: Value,
    /// Standard error.
    pub said: String,
}

impl Reported {
    /// It says that the end of a log is missing.
    pub fn cut(&self) -> bool {
        self.said.contains(CUT)
    }
}

#[derive(Deserialize)]
struct Failure<'a> {
    dev: &'a str,
    phase: &'a str,
}

/// Runs `report` on logs, which are taken for one run if they are its parts.
///
/// # Errors
/// When it does not exit with 0, or its output is not what it should be.
pub fn report(program: &Program, logs: &[PathBuf]) -> Result<Reported> {
    let mut command = program.command();
    command.args(["report", "--format", "json"]).args(logs);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("report cannot be run")?;
    // Warnings are a line for each log: they fit into the pipe.
    let out = child.stdout.take().context("no output")?;
    let read = read(BufReader::with_capacity(1 << 20, out));
    let ended = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    ensure!(ended.status.success(), "{}: {}", ended.status, said.trim());
    Ok(Reported { said, ..read? })
}

/// Reads what `--format json` prints, of `report` or of a live run, to its end.
///
/// # Errors
/// When a line is unreadable, or the last one is no summary.
pub fn read(mut lines: impl BufRead) -> Result<Reported> {
    let mut pre = BTreeMap::new();
    let mut last = String::new();
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        count(&line, &mut pre)?;
        std::mem::swap(&mut line, &mut last);
        line.clear();
    }
    let summary: Value = serde_json::from_str(&last).context("the report has no last line")?;
    ensure!(
        summary["type"] == "summary",
        "the last line is no summary: {last}"
    );
    let said = String::new();
    Ok(Reported { pre, summary, said })
}

fn count(line: &str, pre: &mut BTreeMap<String, u64>) -> Result<()> {
    if !line.starts_with(r#"{"type":"failure","#) {
        return Ok(());
    }
    let failure: Failure<'_> = serde_json::from_str(line).context("a failure is unreadable")?;
    if failure.phase == "pre" {
        match pre.get_mut(failure.dev) {
            Some(count) => *count += 1,
            None => _ = pre.insert(failure.dev.to_owned(), 1),
        }
    }
    Ok(())
}

/// The parts of a log in their order, the one that is written last. Empty ones are left out.
pub fn parts(log: &Path) -> Result<Vec<PathBuf>> {
    let dir = log.parent().context("the log has no directory")?;
    let name = log.file_name().and_then(OsStr::to_str).context("no name")?;
    let mut parts = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let other = entry.file_name();
        if other.to_str().is_some_and(|other| is_part(other, name)) && entry.metadata()?.len() > 0 {
            parts.push(entry.path());
        }
    }
    parts.sort();
    if fs::metadata(log).is_ok_and(|file| file.len() > 0) {
        parts.push(log.to_owned());
    }
    Ok(parts)
}

/// Whether `name` is that of a finished part of `log`: `log.000001.jsonl` of `log.jsonl`.
fn is_part(name: &str, log: &str) -> bool {
    let (stem, end) = log.split_once('.').unwrap_or((log, ""));
    let number = name
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_prefix('.'))
        .and_then(|rest| rest.strip_suffix(end)?.strip_suffix('.'));
    number.is_some_and(|n| n.len() >= 6 && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_a_number_before_the_ending() {
        assert!(is_part("log.000001.jsonl.zst", "log.jsonl.zst"));
        assert!(is_part("log.1234567.jsonl", "log.jsonl"));
        for other in [
            "log.jsonl",
            "log.jsonl.1",
            "log.000001.jsonl.zst",
            "log2.000001.jsonl",
        ] {
            assert!(!is_part(other, "log.jsonl"), "{other}");
        }
    }

    #[test]
    fn failures_are_counted_by_device_and_phase() {
        let mut pre = BTreeMap::new();
        for line in [
            r#"{"type":"failure","id":1,"phase":"pre","dev":"7:0"}"#,
            r#"{"type":"failure","id":2,"phase":"post","dev":"7:0"}"#,
            r#"{"type":"failure","id":3,"phase":"pre","dev":"7:0"}"#,
            r#"{"type":"verdict","failure":3}"#,
        ] {
            count(line, &mut pre).unwrap();
        }
        assert_eq!(pre, BTreeMap::from([("7:0".to_owned(), 2)]));
        assert!(count(r#"{"type":"failure","id":1}"#, &mut pre).is_err());
    }
}
