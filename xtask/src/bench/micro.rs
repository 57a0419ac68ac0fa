//! The criterion benches, and what they found.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

use crate::toolchain::Toolchain;
use crate::util;

/// One bench.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bench {
    /// Group, such as `engine/hot-inode`.
    pub group: String,
    /// Name in the group: what is open at once, or the stage.
    pub name: String,
    /// Median, nanoseconds an event.
    pub ns: f64,
}

/// What criterion says of a bench (`benchmark.json`).
#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
struct Throughput {
    #[serde(rename = "Elements")]
    elements: u64,
}

/// What it found (`estimates.json`), nanoseconds an iteration.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// Runs the benches `engine` and `stages`, which leave their figures in `home`. `events` is the
/// number of events of a run, where it is not the usual one.
///
/// # Errors
/// When they cannot be built or run, or leave no figures.
pub fn run(toolchain: &Toolchain, home: &Path, events: Option<u64>) -> Result<Vec<Bench>> {
    if home.exists() {
        fs::remove_dir_all(home).with_context(|| format!("{} is in the way", home.display()))?;
    }
    let mut cargo = toolchain.cargo();
    cargo.args(["bench", "--locked", "--package", "iomap-trace"]);
    cargo.args(["--bench", "engine", "--bench", "stages", "--", "--noplot"]);
    cargo.env("CRITERION_HOME", home);
    // Standard output is for the results.
    cargo.stdout(std::io::stderr());
    if let Some(events) = events {
        cargo.env("IOMAP_TRACE_BENCH_EVENTS", events.to_string());
    }
    util::run(&mut cargo)?;
    let benches = collect(home)?;
    ensure!(
        !benches.is_empty(),
        "criterion left no figures in {}",
        home.display()
    );
    Ok(benches)
}

/// The figures below `home`, sorted by group and, in it, by number or name.
fn collect(home: &Path) -> Result<Vec<Bench>> {
    let mut benches = Vec::new();
    visit(home, &mut benches)?;
    benches.sort_by_key(|bench| {
        let number = bench.name.parse::<u64>().unwrap_or(0);
        (bench.group.clone(), number, bench.name.clone())
    });
    Ok(benches)
}

fn visit(dir: &Path, benches: &mut Vec<Bench>) -> Result<()> {
    let said = dir.join("benchmark.json");
    if dir.ends_with("new") && said.is_file() {
        let read = |path: &Path| {
            fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
        };
        let estimates = dir.join("estimates.json");
        let bench = bench(&read(&said)?, &read(&estimates)?)
            .with_context(|| format!("{} is not what criterion writes", dir.display()))?;
        benches.push(bench);
        return Ok(());
    }
    let entries = fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            visit(&path, benches)?;
        }
    }
    Ok(())
}

/// One bench from criterion's two files.
fn bench(benchmark: &[u8], estimates: &[u8]) -> Result<Bench> {
    let benchmark: Benchmark = serde_json::from_slice(benchmark)?;
    let estimates: Estimates = serde_json::from_slice(estimates)?;
    let events = benchmark.throughput.map_or(1, |t| t.elements.max(1));
    Ok(Bench {
        group: benchmark.group_id,
        name: benchmark
            .value_str
            .or(benchmark.function_id)
            .unwrap_or_default(),
        ns: estimates.median.point_estimate / events as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_a_bench_are_read() {
        let benchmark = br#"{"group_id":"engine/hot-inode","function_id":null,"value_str":"100",
            "throughput":{"Elements":1000},"full_id":"engine/hot-inode/100",
            "directory_name":"engine_hot-inode/100","title":"engine/hot-inode/100"}"#;
        let estimates = br#"{"mean":{"point_estimate":2.0},"median":{"confidence_interval":
            {"confidence_level":0.95,"lower_bound":1.0,"upper_bound":2.0},
            "point_estimate":250000.0,"standard_error":1.0},"slope":null}"#;
        let bench = bench(benchmark, estimates).unwrap();
        assert_eq!(bench.group, "engine/hot-inode");
        assert_eq!(bench.name, "100");
        assert!((bench.ns - 250.0).abs() < 1e-9);
    }

    #[test]
    fn other_files_are_refused() {
        assert!(bench(b"{}", b"{}").is_err());
        assert!(bench(b"", b"{\"median\":{\"point_estimate\":1.0}}").is_err());
    }
}
