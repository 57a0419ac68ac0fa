//! `cargo xtask bench`: how fast the engine and whole reports are, how cost grows with what is open,
//! and the same question asked of DuckDB and of plain Python, all in one run.

mod figures;
mod fit;
mod machine;
mod micro;
mod overhead;
mod process;
pub mod rate;
mod reports;
mod rivals;
mod start;
mod text;

use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::toolchain::Toolchain;
use crate::util;
use figures::{Figures, Join};
use reports::Log;
use rivals::{Found, Rival, Rivals};

/// Sizes of the reports' logs.
const SIZES: [u64; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
/// Size of the logs of the other shapes, and of the joins.
const JOINED: u64 = 1_000_000;
/// How often each way to join is run.
const ROUNDS: usize = 3;
/// Where a report is given up.
const LIMIT: Duration = Duration::from_secs(600);
/// The shape that is like a recorded log.
const USUAL: &str = "mixed";
/// The others.
const OTHERS: [&str; 3] = ["many-inodes", "hot-inode", "deep-overlap"];
/// Shapes of the joins: the usual one, and the one on which an equality of inodes does not help.
const JOINS: [&str; 2] = ["mixed", "hot-inode"];

/// Arguments of `bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Logs of no more than 100,000 events, and short benches
    #[arg(long)]
    quick: bool,
    /// Largest log, in events [default: 10,000,000; with --quick 100,000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1_000..))]
    events: Option<u64>,
    /// Leave DuckDB out
    #[arg(long)]
    no_duckdb: bool,
    /// Leave the criterion benches out
    #[arg(long)]
    no_criterion: bool,
    /// Leave the whole reports out
    #[arg(long)]
    no_reports: bool,
    /// Leave the joins out
    #[arg(long)]
    no_joins: bool,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    overhead: overhead::Options,
    #[command(flatten)]
    start: start::Starts,
    #[command(flatten)]
    rate: rate::Rates,
}

impl Args {
    fn largest(&self) -> u64 {
        let usual = if self.quick { 100_000 } else { 10_000_000 };
        self.events.unwrap_or(usual)
    }
}

/// Runs the benches.
///
/// # Errors
/// When something cannot be built or run, or when the ways to join do not agree.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.overhead.wanted() {
        return overhead::run(&args.overhead);
    }
    if args.start.wanted() {
        return start::run(&args.start);
    }
    if args.rate.wanted() {
        return rate::run(&args.rate);
    }
    let toolchain = Toolchain::pinned()?;
    let dir = util::target_dir().join("bench");
    let mut figures = Figures::default();
    if !args.no_criterion {
        let events = args.quick.then_some(60_000);
        figures.sort_in(micro::run(&toolchain, &dir.join("criterion"), events)?);
    }
    if !(args.no_reports && args.no_joins) {
        let programs = Programs::build(&toolchain)?;
        if !args.no_reports {
            measure(&mut figures, &programs, &dir.join("logs"), args.largest())?;
        }
        if !args.no_joins {
            let rivals = Rivals::new(&dir, !args.no_duckdb)?;
            let events = JOINED.min(args.largest());
            for shape in JOINS {
                let join = join(&programs, &rivals, &dir.join("logs"), shape, events)?;
                figures.joins.push(join);
            }
        }
    }
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print!("{}", text::text(&figures));
    }
    ensure!(
        figures.joins.iter().all(|join| join.agree),
        "the ways to join the same log did not find the same: one of them is wrong"
    );
    Ok(ExitCode::SUCCESS)
}

/// What the bench runs.
struct Programs {
    iomap_trace: PathBuf,
    generate: PathBuf,
}

impl Programs {
    fn build(toolchain: &Toolchain) -> Result<Self> {
        let mut cargo = toolchain.cargo();
        cargo.args(["build", "--locked", "--release", "--package", "iomap-trace"]);
        util::run(cargo.args(["--bin", "iomap-trace", "--example", "generate"]))?;
        let release = util::target_dir().join("release");
        Ok(Self {
            iomap_trace: release.join("iomap-trace"),
            generate: release.join("examples/generate"),
        })
    }
}

/// Whole reports of the usual shape at all sizes, and of the others at one.
fn measure(figures: &mut Figures, programs: &Programs, dir: &Path, largest: u64) -> Result<()> {
    let usual = SIZES.into_iter().filter(|size| *size <= largest);
    let mut logs: Vec<(&str, u64)> = usual.map(|events| (USUAL, events)).collect();
    if !SIZES.contains(&largest) {
        logs.push((USUAL, largest));
    }
    logs.extend(OTHERS.map(|shape| (shape, JOINED.min(largest))));
    for (shape, events) in logs {
        eprintln!("report: {events} events, {shape}");
        let log = Log::generate(&programs.generate, dir, shape, events)?;
        let times = if events <= 100_000 { 5 } else { 3 };
        let report = reports::measure(&programs.iomap_trace, &log, times)?;
        figures.reports.push(report);
        log.remove()?;
    }
    Ok(())
}

/// One log, joined each way.
fn join(
    programs: &Programs,
    rivals: &Rivals,
    dir: &Path,
    shape: &str,
    events: u64,
) -> Result<Join> {
    eprintln!("join: {events} events, {shape}");
    let log = Log::generate(&programs.generate, dir, shape, events)?;
    let mut rows = vec![
        ours(&programs.iomap_trace, &log)?,
        rivals.duckdb(&log.plain),
        rivals.python(&log.plain),
    ];
    // In turn, so that a disturbance does not meet only one; the fastest run of each counts.
    for _ in 1..ROUNDS {
        for (at, best) in rows.iter_mut().enumerate() {
            let Some(run) = best.run else { continue };
            let row = match at {
                0 => ours(&programs.iomap_trace, &log)?,
                1 => rivals.duckdb(&log.plain),
                _ => rivals.python(&log.plain),
            };
            if row.run.is_some_and(|again| again.seconds < run.seconds) {
                *best = row;
            }
        }
    }
    log.remove()?;
    let found: Vec<Found> = rows.iter().filter_map(|row| row.found).collect();
    Ok(Join {
        shape: shape.to_owned(),
        events,
        agree: found.windows(2).all(|pair| pair[0].agrees(&pair[1])),
        rows,
    })
}

/// This program: its verdicts are counted in a run of their own, and its time is that of a report.
fn ours(program: &Path, log: &Log) -> Result<Rival> {
    let report = |format: &str| {
        let mut command = Command::new(program);
        command.args(["report", "--format", format]).arg(&log.plain);
        command
    };
    let mut found = Found::default();
    process::run_lines(&mut report("json"), LIMIT, |line| {
        rivals::count(&mut found, line);
    })?;
    Ok(Rival {
        name: "iomap-trace report".to_owned(),
        note: "every verdict, as a table; join: the engine alone, 1 thread".to_owned(),
        found: Some(found),
        run: Some(process::run(&mut report("table"))?),
        load_seconds: None,
        join_seconds: None,
    })
}
