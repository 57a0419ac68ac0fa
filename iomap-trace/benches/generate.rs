//! Writes a generated event log, of any size in little memory:
//! `generate --shape mixed --events 1000000 --seed 1 FILE...` (`.zst` for a compressed one).

mod shapes;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use iomap_trace::log::Writer;
use std::path::PathBuf;
use std::process::ExitCode;

use shapes::{Generator, Shape, Spec};

/// Writes a generated event log.
#[derive(Parser)]
struct Args {
    /// many-inodes, hot-inode, deep-overlap or mixed
    #[arg(long, default_value_t = Shape::Mixed)]
    shape: Shape,
    /// Records, with the first and the last
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(2..))]
    events: u64,
    /// Holders open at the same moment [default: what the shape is for]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    open: Option<u64>,
    /// The same seed gives the same log
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to write it; each file gets all of it
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

fn run(args: &Args) -> Result<()> {
    let mut logs = args
        .files
        .iter()
        .map(|file| Writer::create(file))
        .collect::<Result<Vec<_>>>()?;
    let spec = Spec {
        open: args.open.unwrap_or(args.shape.usual_open()),
        seed: args.seed,
        ..Spec::usual(args.shape, args.events)
    };
    for event in Generator::new(spec) {
        for log in &mut logs {
            log.append(&event)?;
        }
    }
    for (log, file) in logs.iter_mut().zip(&args.files) {
        log.finish()?;
        ensure!(
            log.records() == args.events,
            "{}: {} of {} records were written",
            file.display(),
            log.records(),
            args.events
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Args::parse()).context("the log cannot be generated") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
