//! Whether what a guest has left behind is as it should be. Nothing here runs anything.

use super::counts::{self, Count};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fmt;
use std::path::Path;

/// The filesystems on which the workload runs; xfs and ext4 fail on every kernel, btrfs may not.
const FILESYSTEMS: &[&str] = &["xfs", "ext4", "btrfs"];

/// What was found on a kernel, all of it as it should be.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// The hooks that were attached.
    pub hooks: Vec<String>,
    /// The figures of each filesystem.
    pub counts: Vec<(&'static str, Count)>,
    /// What could be said of the programs after the tracer's end.
    pub programs: &'static str,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hooks", self.hooks.len())?;
        for (fs, count) in &self.counts {
            write!(f, ", {fs} {count}")?;
        }
        write!(f, "; {}", self.programs)
    }
}

/// Judges the files in `dir`, of a guest whose kernel is of `series` (`6.12`).
///
/// # Errors
/// With everything that is not as it should be, in one line.
pub fn judge(dir: &Path, series: &str) -> Result<Report> {
    let mut wrong = Vec::new();
    let mut keep = |what: &str, error: anyhow::Error| wrong.push(format!("{what}: {error:#}"));
    let hooks = doctor(dir, series).unwrap_or_else(|e| {
        keep("doctor", e);
        Vec::new()
    });
    let mut counts = Vec::new();
    for fs in FILESYSTEMS {
        match workload(dir, fs) {
            Ok(count) => counts.push((*fs, count)),
            Err(error) => keep(fs, error),
        }
    }
    let failures = counts.iter().filter(|(fs, _)| *fs != "btrfs");
    if counts.len() == FILESYSTEMS.len() && failures.map(|(_, c)| c.pre).sum::<u64>() == 0 {
        wrong.push("no failure on xfs or ext4: nothing was shown".to_owned());
    }
    let number = |name: &str| read(dir, name)?.trim().parse().context(name.to_owned());
    let programs = ["before", "during", "after"].map(|when| number(&format!("programs.{when}")));
    let programs = match programs {
        [Ok(before), Ok(during), Ok(after)] => left_behind(before, during, after),
        [before, during, after] => [before, during, after]
            .into_iter()
            .collect::<Result<Vec<u64>>>()
            .map(|_| ""),
    };
    let programs = programs.unwrap_or_else(|error| {
        wrong.push(format!("programs: {error:#}"));
        ""
    });
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(Report {
        hooks,
        counts,
        programs,
    })
}

fn read(dir: &Path, name: &str) -> Result<String> {
    std::fs::read_to_string(dir.join(name)).with_context(|| format!("cannot read {name}"))
}

/// The status that a command left, which must be 0; if not, its last words are the error.
fn status(dir: &Path, name: &str) -> Result<()> {
    let status = read(dir, &format!("{name}.status"))?;
    if status.trim() == "0" {
        return Ok(());
    }
    let said = read(dir, &format!("{name}.err")).unwrap_or_default();
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    let last = last.unwrap_or("it did not say why");
    bail!("exit status {}: {last}", status.trim())
}

fn doctor(dir: &Path, series: &str) -> Result<Vec<String>> {
    status(dir, "doctor")?;
    let said = serde_json::from_str(&read(dir, "doctor.json")?).context("not JSON")?;
    attached(&said, series)
}

fn workload(dir: &Path, fs: &str) -> Result<Count> {
    status(dir, fs)?;
    let log = read(dir, &format!("{fs}.jsonl"))?;
    let kernel = read(dir, &format!("{fs}.kernel"))?;
    counts::count(&log, &kernel)
}

/// The hooks that must have a probe on a kernel of `series`. Before 6.12 there are no tracepoints
/// for direct I/O and for the extent lock of the kind that is needed, on 5.10 no types of modules.
fn expected(series: &str) -> Vec<&'static str> {
    let mut hooks = vec!["invalidate", "writeback-error", "cached", "dirty"];
    if series != "5.10" {
        hooks.push("ordered");
        if series != "6.1" {
            hooks.extend(["dio", "extent-lock"]);
        }
    }
    hooks
}

/// The hooks with a probe, if all are there that must be and the verifier refused none.
fn attached(doctor: &Value, series: &str) -> Result<Vec<String>> {
    let release = doctor["kernel"]["release"].as_str().unwrap_or_default();
    let point = format!("{series}.");
    ensure!(
        release.starts_with(&point),
        "the kernel calls itself `{release}`"
    );
    let text = |hook: &Value, key: &str| hook[key].as_str().unwrap_or_default().to_owned();
    let hooks = doctor["hooks"].as_array().context("it tells of no hooks")?;
    let (attached, skipped): (Vec<_>, Vec<_>) = hooks
        .iter()
        .map(|hook| {
            (
                text(hook, "hook"),
                text(hook, "state"),
                text(hook, "reason"),
            )
        })
        .partition(|(_, state, _)| state == "attached");
    let attached: Vec<_> = attached.into_iter().map(|(name, ..)| name).collect();
    let mut wrong = Vec::new();
    for (name, _, why) in skipped {
        if expected(series).contains(&&*name) || why.contains("verifier") {
            wrong.push(format!("{name} is not attached ({why})"));
        }
    }
    for name in expected(series) {
        if !hooks.iter().any(|hook| hook["hook"] == name) {
            wrong.push(format!("there is no hook {name}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join(", "));
    Ok(attached)
}

/// Compares the number of programs loaded before, during and after the tracer ran.
fn left_behind(before: u64, during: u64, after: u64) -> Result<&'static str> {
    ensure!(
        after <= before,
        "{} are left in the kernel after the tracer's end",
        after - before
    );
    // The kernel can be told not to show them; then the other two say nothing.
    Ok(if during > before {
        "no program left"
    } else {
        "programs cannot be counted"
    })
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
